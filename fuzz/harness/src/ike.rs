use ike_codec::{
    Attributes, Chain, ExchangeKind, Framed, Header, IpsecAttributes, Message, OakleyAttributes, PayloadKind, Port,
    Quirks, Reassembly, identify, split_tcp, strip_tcp_prefix, unframe_udp, write_fragment,
};
use ike_v1::{IvChain, Protection, plaintext as plaintext_of};
use ipsec_crypto::{CipherAlgorithm as C, HashFunction};

/// The walk over everything a message holds is that of the codec's own tests.
#[path = "../../../ike-codec/tests/common/mod.rs"]
mod walk;

pub fn message(octets: &[u8]) {
    let mut scratch = vec![0; octets.len()];
    for parsed in [Message::parse(octets), Message::parse_strict(octets)].into_iter().flatten() {
        assert!(walk::walk(&parsed, octets, &mut scratch), "written otherwise");
        Quirks::of(&parsed);
    }
    if Message::parse_strict(octets).is_ok() {
        assert!(Message::parse(octets).is_ok(), "what is strict is lenient");
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

/// The first octets choose a cipher and an IV; the rest is a message that arrived, and what is in one that is sent.
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
        assert_eq!(protection.undo(&chain, &mut received), Ok(()));
    }
    assert_eq!(received, rest, "undone, or never done");

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
        assert!(sent[28..] != before[28..], "in clear");
        if Message::parse(&sent).is_err() {
            return; // no encrypted message begins with such a payload
        }
        assert!(protection.decrypt(&chain, &mut sent).is_ok());
        let (read, expected) = (plaintext_of(&sent), Chain::decrypted(PayloadKind(first), &sent[28..]));
        assert_eq!(read.is_ok(), expected.is_ok());
    }
    assert_eq!(sent, before, "there and back");
}

/// The first octets say how a message is cut, in which order the pieces come, and which of them comes altered.
pub fn fragments(octets: &[u8]) {
    let [cut, order, alter, whole @ ..] = octets else { return };
    let size = usize::from(*cut).max(1) * 4;
    let mut buffer = vec![0; size + 64];
    let mut pieces = Vec::new();
    while let Ok(Some(piece)) =
        write_fragment(&mut buffer, whole, 7, u8::try_from(pieces.len() + 1).unwrap_or(u8::MAX), size)
    {
        pieces.push(piece.to_vec());
    }
    let mut store = vec![0; 65536];
    let mut reassembly = Reassembly::new(&mut store);
    for n in 0..pieces.len() * 2 {
        let mut piece = pieces[n * usize::from(*order | 1) % pieces.len()].clone();
        if n == usize::from(*alter) {
            let at = usize::from(*alter) * 7 % piece.len();
            piece[at] ^= 1;
        }
        if let Ok(message) = Message::parse(&piece) {
            let _ = reassembly.add(&message);
        }
    }
    let mut out = vec![0; 65536];
    // A message whose own header is good comes back from its only piece.
    let readable = pieces.iter().all(|piece| Message::parse(piece).is_ok());
    if readable && usize::from(*alter) >= 2 && pieces.len() == 1 {
        assert_eq!(reassembly.message(&mut out).ok().as_deref(), Some(whole), "what was cut comes back");
    }
    // And whatever comes as a fragment by itself.
    if let Ok(message) = Message::parse(whole) {
        let _ = reassembly.add(&message);
    }
    let _ = reassembly.message(&mut out);
}

pub fn datagram(octets: &[u8]) {
    for port in [Port::Ike, Port::NatTraversal, Port::IkeAndEsp] {
        if let Framed::Ike(inner) | Framed::Esp(inner) = unframe_udp(port, octets) {
            assert!(octets.ends_with(inner));
        }
    }
    let mut stream = strip_tcp_prefix(octets).ok().flatten().unwrap_or(octets);
    while let Ok(Some((_, rest))) = split_tcp(stream) {
        assert!(rest.len() + 2 <= stream.len(), "a frame makes progress");
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
