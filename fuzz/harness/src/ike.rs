use ike_certificates::{Credential, Trust};
use ike_codec::{
    Attributes, CertificateEncoding, Chain, Datagram, ExchangeKind, Header, IdKind, Identification, IpsecAttributes,
    Message, OakleyAttributes, PayloadKind, Port, Quirks, Reassembly, identify, split_tcp, strip_tcp_prefix,
    unframe_udp, write_fragment,
};
use ike_v1::{IvChain, Protection, plaintext as plaintext_of};
use ipsec_crypto::{CipherAlgorithm as C, HashFunction};

/// Visits all parts of a message; from the tests of ike-codec.
#[path = "../../../ike-codec/tests/common/mod.rs"]
mod walk;

pub fn message(octets: &[u8]) {
    let mut scratch = vec![0; octets.len()];
    for parsed in [Message::parse(octets), Message::parse_strict(octets)].into_iter().flatten() {
        assert!(walk::walk(&parsed, octets, &mut scratch), "written message differs");
        Quirks::of(&parsed);
    }
    if Message::parse_strict(octets).is_ok() {
        assert!(Message::parse(octets).is_ok(), "strictly parsed message is refused by the lenient parser");
    }
}

pub fn plaintext(octets: &[u8]) {
    let Some((&first, rest)) = octets.split_first() else { return };
    if let Ok(chain) = Chain::decrypted(PayloadKind(first), rest) {
        walk::walk_chain(&chain);
        let _ = chain.check_strictly();
        assert_eq!([chain.bytes(), chain.padding()].concat(), rest);
    }
}

/// Decrypts and encrypts: the first octets select cipher and IV; the rest is a received message, and payloads to be
/// sent.
pub fn encrypted(octets: &[u8]) {
    const CIPHERS: [(C, usize); 6] = [
        (C::DesCbc, 8),
        (C::TripleDesCbc, 24),
        (C::BlowfishCbc, 16),
        (C::Cast128Cbc, 16),
        (C::AesCbc, 16),
        (C::AesCbc, 32),
    ];
    let [choice, iv, rest @ ..] = octets else { return };
    let (cipher, key) = CIPHERS[usize::from(*choice) % CIPHERS.len()];
    let key: Vec<u8> = (0..key).map(|n| (n as u8).wrapping_mul(37).wrapping_add(11)).collect();
    let Ok(protection) = Protection::new(cipher, &key, HashFunction::Sha1) else { return };
    let chain = IvChain::starting_at(&[*iv; 16]);

    let mut received = rest.to_vec();
    if protection.decrypt(&chain, &mut received).is_ok() {
        if let Ok(payloads) = plaintext_of(&received) {
            walk::walk_chain(&payloads);
        }
        assert_eq!(protection.restore_ciphertext(&chain, &mut received), Ok(()));
    }
    assert_eq!(received, rest, "refused message was modified");

    let Some((&first, payloads)) = rest.split_first() else { return };
    let length = payloads.len().next_multiple_of(protection.block());
    let header = Header {
        next_payload: PayloadKind(first),
        length: 28 + length as u32,
        ..Header::new([1; 8], [2; 8], ExchangeKind::MAIN, 0)
    };
    let mut sent = [&header.to_bytes()[..], payloads].concat();
    sent.resize(28 + length, 0);
    let before = sent.clone();
    if length > 0 && protection.encrypt(&chain, &mut sent).is_ok() {
        assert!(sent[28..] != before[28..], "message is not encrypted");
        if Message::parse(&sent).is_err() {
            return; // an encrypted message does not begin with this payload
        }
        assert!(protection.decrypt(&chain, &mut sent).is_ok());
        let (read, expected) = (plaintext_of(&sent), Chain::decrypted(PayloadKind(first), &sent[28..]));
        assert_eq!(read.is_ok(), expected.is_ok());
    }
    assert_eq!(sent, before, "decrypted message differs");
}

/// Reassembles fragments: the first octets determine their size and order, and which of them is altered.
pub fn fragments(octets: &[u8]) {
    let [cut, order, alter, whole @ ..] = octets else { return };
    let size = usize::from(*cut).max(1) * 4;
    let mut buffer = vec![0; size + 64];
    let mut fragments = Vec::new();
    while let Ok(Some(fragment)) =
        write_fragment(&mut buffer, whole, 7, u8::try_from(fragments.len() + 1).unwrap_or(u8::MAX), size)
    {
        fragments.push(fragment.to_vec());
    }
    let mut store = vec![0; 65536];
    let mut reassembly = Reassembly::new(&mut store);
    for n in 0..fragments.len() * 2 {
        let mut fragment = fragments[n * usize::from(*order | 1) % fragments.len()].clone();
        if n == usize::from(*alter) {
            let at = usize::from(*alter) * 7 % fragment.len();
            fragment[at] ^= 1;
        }
        if let Ok(message) = Message::parse(&fragment) {
            let _ = reassembly.add(&message);
        }
    }
    let mut out = vec![0; 65536];
    // A well-formed message is reassembled from a single fragment.
    let readable = fragments.iter().all(|fragment| Message::parse(fragment).is_ok());
    if readable && usize::from(*alter) >= 2 && fragments.len() == 1 {
        assert_eq!(reassembly.message(&mut out).ok().as_deref(), Some(whole), "reassembled message differs");
    }
    // The octets themselves are received as a fragment.
    if let Ok(message) = Message::parse(whole) {
        let _ = reassembly.add(&message);
    }
    let _ = reassembly.message(&mut out);
}

pub fn datagram(octets: &[u8]) {
    for port in [Port::Ike, Port::NatTraversal, Port::IkeAndEsp] {
        if let Datagram::Ike(inner) | Datagram::Esp(inner) = unframe_udp(port, octets) {
            assert!(octets.ends_with(inner));
        }
    }
    let mut stream = strip_tcp_prefix(octets).ok().flatten().unwrap_or(octets);
    while let Ok(Some((_, rest))) = split_tcp(stream) {
        assert!(rest.len() + 2 <= stream.len(), "TCP framing does not advance");
        stream = rest;
    }
    if let Some(id) = identify(octets) {
        assert!(octets.starts_with(id.bytes));
    }
    Quirks::default().add(octets);
    if let Ok(list) = Attributes::parse(octets) {
        let _ = (OakleyAttributes::read(&list), IpsecAttributes::read(&list));
    }
}

/// Processes a series of fields: one octet that selects the operation, the length of the field, and its octets.
///
/// The payloads of the series come with the signature of the genuine certificate. It is accepted if only genuine
/// payloads are sent, and no other certificate ever is.
pub fn certificates(octets: &[u8]) {
    let bundle = crate::seeds::certificates();
    let mut trust = Trust::default();
    trust.add_authorities(&bundle.authority).expect("authority of the tests");
    let (mut payloads, mut rest, mut genuine) = (Vec::new(), octets, [0; 2]);
    let identity = Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data: b"gw.example.org" };
    let mut is_revoking = false;
    while let [choice, high, low, after @ ..] = rest {
        let (field, behind) = after.split_at(after.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
        rest = behind;
        match choice % 12 {
            0..=3 => payloads.push((CertificateEncoding::X509_SIGNATURE, field)),
            4 => payloads.push((CertificateEncoding::PKCS7, field)),
            5 => payloads.push((CertificateEncoding::CRL, field)),
            6 => payloads.push((CertificateEncoding(*choice), field)),
            choice @ 7..=8 => {
                let which = usize::from(choice) - 7;
                genuine[which] += 1;
                payloads.push((CertificateEncoding::X509_SIGNATURE, [&bundle.gateway, &bundle.intermediate][which]));
            }
            9 => is_revoking |= trust.add_crls(field).is_ok(),
            10 => drop(Trust::default().add_authorities(field)),
            _ => {
                drop(Credential::load(&bundle.gateway, field));
                drop(Credential::from_key(field));
                let _ = Trust::default().add_public_keys(field, Some(&identity));
            }
        }
    }
    let hash: [u8; 20] = core::array::from_fn(|at| at as u8);
    // Many times the same certificates are longer than is processed.
    let is_chain = !is_revoking && genuine.iter().sum::<usize>() == payloads.len() && payloads.len() < 64;
    match trust.verify(1_800_000_000, &identity, payloads, &hash, &bundle.signature) {
        Ok(verified) => assert_eq!(verified.certificate, bundle.gateway, "another certificate was accepted"),
        Err(refusal) => assert!(!is_chain || genuine.contains(&0), "{refusal}"),
    }
}
