//! Properties of any octets and any message: parsing never panics, writing restores the parsed octets, truncated
//! messages are refused, and an incomplete message is never valid.

mod common;

use ike_codec::{
    AttributeWriter, Attributes, Body, Chain, Datagram, DecodeErrorKind, ExchangeKind, Flags, Header, IpsecAttributes,
    Message, MessageWriter, NoSpace, OakleyAttributes, PayloadKind, Port, ProposalHead, ProtocolId, Quirks, Reassembly,
    TransformHead, TransformId, Value, identify, split_tcp, strip_tcp_prefix, tcp_frame_header, unframe_udp,
};
use proptest::collection::vec;
use proptest::prelude::*;
use test_vectors::PayloadNode;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Passes the octets to every parser of the crate, and verifies that parsed messages are written identically.
fn check_all_parsers(bytes: &[u8], scratch: &mut [u8]) {
    for parsed in [Message::parse(bytes), Message::parse_strict(bytes)].into_iter().flatten() {
        assert!(common::walk(&parsed, bytes, scratch), "written octets differ: {}", test_vectors::to_hex(bytes));
    }
    if let Ok((header, rest)) = Header::read(bytes) {
        assert_eq!([&header.to_bytes()[..], rest].concat(), bytes);
        if let Ok(chain) = Chain::decrypted(header.next_payload, rest) {
            common::walk_chain(&chain);
            assert_eq!([chain.bytes(), chain.padding()].concat(), rest);
        }
    }
    for port in [Port::Ike, Port::NatTraversal] {
        if let Datagram::Ike(inner) | Datagram::Esp(inner) = unframe_udp(port, bytes) {
            assert!(bytes.ends_with(inner) && bytes.len() - inner.len() <= 4);
        }
    }
    if let Ok(Some((_, rest))) = split_tcp(bytes) {
        assert!(
            bytes.ends_with(rest) && bytes.len() - rest.len() >= 2,
            "a frame must consume at least its length field"
        );
    }
    if let Ok(Some(rest)) = strip_tcp_prefix(bytes) {
        assert_eq!(rest.len() + 6, bytes.len());
    }
    if let Some(id) = identify(bytes) {
        assert!(bytes.starts_with(id.bytes));
    }
    Quirks::default().add(bytes);
    if let Ok(list) = Attributes::parse(bytes) {
        let oakley = OakleyAttributes::read(&list);
        let ipsec = IpsecAttributes::read(&list);
        assert!(oakley.is_err() || oakley.unwrap().other.is_none_or(|kind| list.find(kind).is_some()));
        assert!(ipsec.is_err() || ipsec.unwrap().other.is_none_or(|kind| list.find(kind).is_some()));
    }
}

/// Builds a message with a valid header before the octets, so that payloads are parsed.
fn framed(first: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = common::raw(first, rest);
    bytes[19] = flags;
    bytes
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn parsers_do_not_panic_on_arbitrary_octets(bytes in vec(any::<u8>(), 0..300), first: u8, flags in 0u8..8) {
        let mut scratch = vec![0; 1000];
        check_all_parsers(&bytes, &mut scratch);
        check_all_parsers(&framed(first, flags, &bytes), &mut scratch);
    }

    #[test]
    fn parsers_do_not_panic_on_arbitrary_payloads(kinds in vec(any::<u8>(), 1..6), bodies in vec(vec(any::<u8>(), 0..60), 6), tail in vec(Just(0u8), 0..5)) {
        let mut rest = Vec::new();
        for (index, body) in bodies.iter().take(kinds.len()).enumerate() {
            let next = kinds.get(index + 1).copied().unwrap_or(0);
            rest.extend(common::payload(next, body));
        }
        rest.extend(tail);
        check_all_parsers(&framed(kinds[0], 0, &rest), &mut [0; 1000]);
    }

    #[test]
    fn parsers_do_not_panic_on_arbitrary_sa_payloads(words in vec(prop_oneof![Just([0u8, 0, 0, 8]), Just([3, 0, 0, 8]), Just([2, 0, 0, 16]), Just([0, 0, 0, 16]), Just([1, 1, 0, 1]), Just([1, 1, 0, 0]), Just([0x80, 1, 0, 1]), Just([0, 1, 0, 4]), any::<[u8; 4]>()], 0..24), situation in 0u8..8) {
        let body = [&[0, 0, 0, 1, 0, 0, 0, situation][..], &words.concat()].concat();
        check_all_parsers(&common::one(1, &body), &mut [0; 1000]);
    }

    #[test]
    fn reassembly_does_not_panic_on_arbitrary_fragments(pieces in vec((1u8..8, 0u8..2, vec(any::<u8>(), 0..9)), 0..30), capacity in 0usize..64) {
        let (mut store, mut out) = (vec![0; capacity], vec![0; capacity]);
        let mut reassembly = Reassembly::new(&mut store);
        for (number, flags, data) in &pieces {
            let bytes = common::one(132, &[&[0, 1, *number, *flags][..], data].concat());
            let before = reassembly.is_complete();
            let added = reassembly.add(&Message::parse(&bytes).unwrap());
            prop_assert!(reassembly.is_complete() || !before, "a complete message must stay complete");
            prop_assert_eq!(added == Ok(ike_codec::Progress::Complete), reassembly.is_complete() && !before);
        }
        prop_assert_eq!(reassembly.message(&mut out).is_ok(), reassembly.is_complete());
    }

    #[test]
    fn split_tcp_returns_the_framed_messages(messages in vec(vec(any::<u8>(), 0..40), 0..6)) {
        let mut stream = b"IKETCP".to_vec();
        for message in &messages {
            stream.extend(tcp_frame_header(message.len()).unwrap());
            stream.extend(message);
        }
        let mut rest = strip_tcp_prefix(&stream).unwrap().unwrap();
        for message in &messages {
            let whole = rest;
            let (frame, behind) = split_tcp(rest).unwrap().unwrap();
            prop_assert_eq!(frame, Datagram::Ike(message));
            for end in 0..whole.len() - behind.len() {
                prop_assert_eq!(split_tcp(&whole[..end]), Ok(None));
            }
            rest = behind;
        }
        prop_assert_eq!(split_tcp(rest), Ok(None));
    }
}

#[test]
fn parsers_do_not_panic_on_mutated_records() {
    let corpus: Vec<_> = common::corpus().into_iter().filter(|bytes| bytes.len() > 28).collect();
    let (mut rng, mut scratch, mut parsed, mut refused) =
        (test_vectors::Random(0x1ce_b00da), vec![0; 65_535], 0u32, 0u32);
    for round in 0..300_000 {
        let mut bytes = corpus[round % corpus.len()].clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len());
            match rng.below(4) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes[at] = [0, 1, 3, 4, 8, 0x7f, 0x80, 0xff][rng.below(8)],
                2 => bytes[at] = rng.below(256) as u8,
                _ => bytes.truncate(at.max(28)),
            }
        }
        if rng.below(8) != 0 {
            bytes[17] = 0x10;
            common::fix_length(&mut bytes);
        }
        match Message::parse(&bytes) {
            Ok(message) => {
                parsed += 1;
                assert!(common::walk(&message, &bytes, &mut scratch), "{}", test_vectors::to_hex(&bytes));
            }
            Err(error) => {
                refused += 1;
                assert!(usize::from(error.offset) <= bytes.len(), "{error}: {}", test_vectors::to_hex(&bytes));
            }
        }
        if round % 16 == 0 {
            check_all_parsers(&bytes, &mut scratch);
        }
    }
    assert!(parsed > 10_000 && refused > 10_000, "{parsed} parsed, {refused} refused");
}

/// Returns the tree of offsets and lengths of a payload, in the format of the records.
fn tree(payload: &ike_codec::Payload<'_>) -> PayloadNode {
    let (kind, at, length) = (payload.kind.0, i64::from(payload.offset), payload.length() as u64);
    let Body::SecurityAssociation(sa) = payload.view() else { return PayloadNode::Leaf(kind, at, length) };
    let transform = |t: ike_codec::Transform<'_>| PayloadNode::Leaf(3, t.offset.into(), t.length.into());
    let proposal = |p: ike_codec::Proposal<'_>| {
        PayloadNode::Branch(2, p.offset.into(), p.length.into(), p.transforms().map(transform).collect())
    };
    PayloadNode::Branch(kind, at, length, sa.proposals().map(proposal).collect())
}

#[test]
fn valid_records_are_written_identically_and_match_their_tree() {
    let mut scratch = vec![0; 65_535];
    for record in common::messages() {
        let message = Message::parse(&record.hex).unwrap();
        assert!(common::walk(&message, &record.hex, &mut scratch), "{}", record.id);
        assert_eq!(message.is_encrypted(), record.encrypted, "{}", record.id);
        if let Some(udp) = &record.udp_payload {
            assert_eq!(unframe_udp(Port::NatTraversal, udp), Datagram::Ike(&record.hex));
        }
        let (false, Some(nodes)) = (record.encrypted, &record.payloads) else { continue };
        let found: Vec<_> = message.payloads().map(|p| tree(&p)).collect();
        assert_eq!(&found, nodes, "{}", record.id);
    }
}

#[test]
fn parse_refuses_every_truncation() {
    for record in common::messages() {
        for end in 0..record.hex.len() {
            let error = Message::parse(&record.hex[..end]).unwrap_err();
            let (declared, received) = (record.hex.len() as u32, end as u16);
            let truncated = DecodeErrorKind::Truncated { declared, received };
            let expected = if end < 28 { DecodeErrorKind::TooShort } else { truncated };
            assert_eq!(error.kind, expected, "{} at {end}", record.id);
        }
        let longer = [&record.hex[..], &[0]].concat();
        assert!(matches!(Message::parse(&longer).unwrap_err().kind, DecodeErrorKind::LengthMismatch { .. }));
    }
}

#[derive(Clone, Debug)]
struct OneTransform {
    number: u8,
    id: u8,
    reserved: (u8, u16),
    attributes: Vec<(u16, Result<u16, Vec<u8>>)>,
}

#[derive(Clone, Debug)]
struct OneProposal {
    head: (u8, u8, u8),
    spi: Vec<u8>,
    transforms: Vec<OneTransform>,
}

fn transforms() -> impl Strategy<Value = OneTransform> {
    let value = prop_oneof![any::<u16>().prop_map(Ok), vec(any::<u8>(), 0..12).prop_map(Err)];
    (any::<u8>(), any::<u8>(), any::<(u8, u16)>(), vec((0u16..0x8000, value), 0..6))
        .prop_map(|(number, id, reserved, attributes)| OneTransform { number, id, reserved, attributes })
}

fn proposals() -> impl Strategy<Value = Vec<OneProposal>> {
    let one = (any::<(u8, u8, u8)>(), vec(any::<u8>(), 0..20), vec(transforms(), 1..5));
    vec(one.prop_map(|(head, spi, transforms)| OneProposal { head, spi, transforms }), 1..4)
}

/// Generates payloads of kinds whose body has no structure.
fn opaque() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let kind = prop::sample::select(vec![4u8, 8, 9, 10, 13, 15, 16, 17, 20, 54, 129, 130, 200, 255]);
    (kind, vec(any::<u8>(), 0..40))
}

fn list(writer: &mut AttributeWriter<'_>, transform: &OneTransform) -> Result<(), NoSpace> {
    transform.attributes.iter().try_for_each(|(kind, value)| match value {
        Ok(number) => writer.basic(*kind, *number),
        Err(octets) => writer.variable(*kind, octets),
    })
}

fn write<'b>(buf: &'b mut [u8], sa: &[OneProposal], others: &[(u8, Vec<u8>)]) -> Result<&'b mut [u8], NoSpace> {
    let mut writer = MessageWriter::new(buf, &Header::new([1; 8], [2; 8], ExchangeKind::QUICK, 77))?;
    writer.sa(|out| {
        sa.iter().try_for_each(|p| {
            let (number, protocol, reserved) = p.head;
            let head = ProposalHead { number, protocol: ProtocolId(protocol), spi: &p.spi, reserved };
            out.proposal(&head, |out| {
                p.transforms.iter().try_for_each(|t| {
                    let (reserved, reserved2) = t.reserved;
                    let head = TransformHead { number: t.number, id: TransformId(t.id), reserved, reserved2 };
                    out.transform(&head, |out| list(out, t))
                })
            })
        })
    })?;
    for (kind, body) in others {
        writer.bytes(PayloadKind(*kind), body)?;
    }
    Ok(writer.finish())
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn written_values_are_parsed_unchanged(sa in proposals(), others in vec(opaque(), 0..5)) {
        let mut buf = vec![0xee; 8192];
        let bytes = write(&mut buf, &sa, &others).unwrap();
        let message = Message::parse(bytes).unwrap();
        prop_assert_eq!(message.header().length as usize, bytes.len());
        prop_assert_eq!((message.header().exchange, message.header().message_id), (ExchangeKind::QUICK, 77));
        let mut payloads = message.payloads();
        let Body::SecurityAssociation(read) = payloads.next().unwrap().view() else { panic!("no SA") };
        let again: Vec<_> = read.proposals().map(|p| {
            let transforms = p.transforms().map(|t| OneTransform {
                number: t.number,
                id: t.id.0,
                reserved: (t.reserved, t.reserved2),
                attributes: t.attributes.iter().map(|a| (a.kind, match a.value {
                    Value::Basic(number) => Ok(number),
                    Value::Variable(octets) => Err(octets.to_vec()),
                })).collect(),
            }).collect();
            OneProposal { head: (p.number, p.protocol.0, p.reserved), spi: p.spi.to_vec(), transforms }
        }).collect();
        prop_assert_eq!(format!("{again:?}"), format!("{sa:?}"));
        let rest: Vec<_> = payloads.map(|p| (p.kind.0, p.body.to_vec())).collect();
        prop_assert_eq!(rest, others);
        prop_assert!(common::walk(&message, bytes, &mut vec![0; 8192]));
    }

    #[test]
    fn writer_without_space_fails_and_leaves_an_invalid_message(sa in proposals(), others in vec(opaque(), 0..4)) {
        let mut whole = vec![0; 8192];
        let length = write(&mut whole, &sa, &others).unwrap().len();
        let message = Message::parse(&whole[..length]).unwrap();
        for capacity in 0..length {
            let mut buf = vec![0; capacity];
            prop_assert_eq!(write(&mut buf, &sa, &others), Err(NoSpace), "capacity {}", capacity);
            prop_assert!(Message::parse(&buf).is_err());
            if capacity >= 28 {
                prop_assert_eq!(&buf[24..28], &[0xff; 4]);
            }
            buf.fill(0);
            prop_assert_eq!(message.write(&mut buf), Err(NoSpace), "copy with capacity {}", capacity);
            prop_assert!(Message::parse(&buf).is_err());
        }
        let mut exact = vec![0; length];
        prop_assert_eq!(write(&mut exact, &sa, &others).map(|b| b.to_vec()), Ok(whole[..length].to_vec()));
    }

    #[test]
    fn failed_payload_leaves_message_unchanged(body in vec(any::<u8>(), 0..40), capacity in 0usize..40) {
        let mut buf = vec![0; 28 + 12 + 4 + capacity];
        let mut writer = MessageWriter::new(&mut buf, &Header::new([1; 8], [2; 8], ExchangeKind::MAIN, 0)).unwrap();
        writer.bytes(PayloadKind::NONCE, &[7; 8]).unwrap();
        let fits = writer.bytes(PayloadKind::VENDOR_ID, &body).is_ok();
        prop_assert_eq!(fits, body.len() <= capacity);
        let failed = writer.payload(PayloadKind::HASH, |out| { let _full = out.put(&[1]); Err(NoSpace) });
        prop_assert!(failed.is_err());
        let message = Message::parse(writer.finish()).unwrap();
        let kinds: Vec<_> = message.payloads().map(|p| p.kind).collect();
        let expected = [PayloadKind::NONCE, PayloadKind::VENDOR_ID];
        prop_assert_eq!(&kinds[..], &expected[..1 + usize::from(fits)]);
    }
}

//= RFC 2408 5.11/2, 5.12/2, 5.13/2, 5.7/2
//# MUST: sending: a hash payload is constructed
//# MUST: sending: a signature payload is constructed
//# MUST: sending: a nonce payload is constructed
//# MUST: sending: a key exchange payload is constructed
//= RFC 2409 B/3
//# MUST: the length in the header includes the padding
#[test]
fn finish_padded_pads_to_cipher_block() {
    for block in [1, 4, 8, 16] {
        for length in 0..40 {
            let mut buf = [0xee; 128];
            let mut writer =
                MessageWriter::new(&mut buf, &Header::new([1; 8], [2; 8], ExchangeKind::QUICK, 1)).unwrap();
            writer.bytes(PayloadKind::HASH, &vec![7; length]).unwrap();
            writer.flags(Flags::ENCRYPTION);
            let bytes = writer.finish_padded(block).unwrap();
            assert_eq!((bytes.len() - 28) % block, 0);
            assert!(bytes.len() < 28 + 4 + length + block);
            let chain = Chain::decrypted(PayloadKind::HASH, &bytes[28..]).unwrap();
            assert_eq!(chain.payloads().next().unwrap().body, vec![7; length]);
            assert!(chain.padding().iter().all(|&b| b == 0));
            assert_eq!(Message::parse(bytes).is_ok(), (bytes.len() - 28).is_multiple_of(8));
        }
    }
}

#[test]
fn decrypted_refuses_plaintext_longer_than_a_message() {
    for (length, padding) in [(60_000, 0), (65_507, 0), (65_508, 0), (65_520, 0), (65_520, 10)] {
        let plaintext = [common::payload(0, &vec![7; length - 4]), vec![0; padding]].concat();
        let Ok(chain) = Chain::decrypted(PayloadKind::HASH, &plaintext) else {
            assert!(length + padding > 65_507, "{length} octets and {padding} of padding fit into a message");
            continue;
        };
        let offsets: Vec<_> = chain.payloads().map(|p| p.offset).collect();
        assert_eq!(offsets, [28], "{length} octets, {padding} of padding");
    }
}
