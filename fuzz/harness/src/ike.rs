use ike_codec::{
    Attributes, Chain, Framed, IpsecAttributes, Message, OakleyAttributes, PayloadKind, Port, Quirks, Reassembly,
    identify, split_tcp, strip_tcp_prefix, unframe_udp, write_fragment,
};

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
