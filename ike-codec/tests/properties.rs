//! What holds for any octets and any message: no panic, the same octets again, no truncation, no half-written message.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::panic)]

mod common;

use ike_codec::{
    AttributeWriter, Attributes, Body, Chain, DecodeErrorKind, ExchangeKind, Flags, Framed, Header, IpsecAttributes,
    Message, MessageWriter, NoSpace, OakleyAttributes, PayloadKind, Port, ProposalHead, ProtocolId, Quirks, Reassembly,
    TransformHead, TransformId, Value, identify, split_tcp, strip_tcp_prefix, tcp_frame_head, unframe_udp,
};
use proptest::collection::vec;
use proptest::prelude::*;
use test_vectors::PayloadNode;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Everything that takes octets takes these; what parses is written again as it was.
fn everything(bytes: &[u8], scratch: &mut [u8]) {
    for parsed in [Message::parse(bytes), Message::parse_strict(bytes)].into_iter().flatten() {
        assert!(common::walk(&parsed, bytes, scratch), "written otherwise: {}", test_vectors::to_hex(bytes));
    }
    if let Ok((header, rest)) = Header::read(bytes) {
        assert_eq!([&header.to_bytes()[..], rest].concat(), bytes);
        if let Ok(chain) = Chain::decrypted(header.next_payload, rest) {
            common::walk_chain(&chain);
            assert_eq!([chain.bytes(), chain.padding()].concat(), rest);
        }
    }
    for port in [Port::Ike, Port::NatTraversal] {
        if let Framed::Ike(inner) | Framed::Esp(inner) = unframe_udp(port, bytes) {
            assert!(bytes.ends_with(inner) && bytes.len() - inner.len() <= 4);
        }
    }
    if let Ok(Some((_, rest))) = split_tcp(bytes) {
        assert!(bytes.ends_with(rest) && bytes.len() - rest.len() >= 2, "a frame makes progress");
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

/// Octets behind a header that is good, so that payloads are reached.
fn framed(first: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = common::raw(first, rest);
    bytes[19] = flags;
    bytes
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn arbitrary_octets_panic_nowhere(bytes in vec(any::<u8>(), 0..300), first: u8, flags in 0u8..8) {
        let mut scratch = vec![0; 1000];
        everything(&bytes, &mut scratch);
        everything(&framed(first, flags, &bytes), &mut scratch);
    }

    #[test]
    fn arbitrary_bodies_of_any_kind_panic_nowhere(kinds in vec(any::<u8>(), 1..6), bodies in vec(vec(any::<u8>(), 0..60), 6), tail in vec(Just(0u8), 0..5)) {
        let mut rest = Vec::new();
        for (index, body) in bodies.iter().take(kinds.len()).enumerate() {
            let next = kinds.get(index + 1).copied().unwrap_or(0);
            rest.extend(common::payload(next, body));
        }
        rest.extend(tail);
        everything(&framed(kinds[0], 0, &rest), &mut [0; 1000]);
    }

    #[test]
    fn arbitrary_associations_panic_nowhere(words in vec(prop_oneof![Just([0u8, 0, 0, 8]), Just([3, 0, 0, 8]), Just([2, 0, 0, 16]), Just([0, 0, 0, 16]), Just([1, 1, 0, 1]), Just([1, 1, 0, 0]), Just([0x80, 1, 0, 1]), Just([0, 1, 0, 4]), any::<[u8; 4]>()], 0..24), situation in 0u8..8) {
        let body = [&[0, 0, 0, 1, 0, 0, 0, situation][..], &words.concat()].concat();
        everything(&common::one(1, &body), &mut [0; 1000]);
    }

    #[test]
    fn arbitrary_fragments_panic_nowhere_and_never_give_more_than_they_held(pieces in vec((1u8..8, 0u8..2, vec(any::<u8>(), 0..9)), 0..30), room in 0usize..64) {
        let (mut store, mut out) = (vec![0; room], vec![0; room]);
        let mut reassembly = Reassembly::new(&mut store);
        for (number, flags, data) in &pieces {
            let bytes = common::one(132, &[&[0, 1, *number, *flags][..], data].concat());
            let before = reassembly.is_complete();
            let added = reassembly.add(&Message::parse(&bytes).unwrap());
            prop_assert!(reassembly.is_complete() || !before, "whole stays whole");
            prop_assert_eq!(added == Ok(ike_codec::Progress::Complete), reassembly.is_complete() && !before);
        }
        prop_assert_eq!(reassembly.message(&mut out).is_ok(), reassembly.is_complete());
    }

    #[test]
    fn a_stream_of_frames_is_split_into_what_was_put_in(messages in vec(vec(any::<u8>(), 0..40), 0..6)) {
        let mut stream = b"IKETCP".to_vec();
        for message in &messages {
            stream.extend(tcp_frame_head(message.len()).unwrap());
            stream.extend(message);
        }
        let mut rest = strip_tcp_prefix(&stream).unwrap().unwrap();
        for message in &messages {
            let whole = rest;
            let (frame, behind) = split_tcp(rest).unwrap().unwrap();
            prop_assert_eq!(frame, Framed::Ike(message));
            for end in 0..whole.len() - behind.len() {
                prop_assert_eq!(split_tcp(&whole[..end]), Ok(None));
            }
            rest = behind;
        }
        prop_assert_eq!(split_tcp(rest), Ok(None));
    }
}

/// xorshift64*, seeded: the same mutations in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    }
}

#[test]
fn mutated_records_panic_nowhere_and_are_written_as_they_were_parsed() {
    let corpus: Vec<_> = common::corpus().into_iter().filter(|bytes| bytes.len() > 28).collect();
    let (mut dice, mut scratch, mut parsed, mut refused) = (Dice(0x1ce_b00da), vec![0; 65_535], 0u32, 0u32);
    for round in 0..300_000 {
        let mut bytes = corpus[round % corpus.len()].clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            match dice.roll(4) {
                0 => bytes[at] ^= 1 << dice.roll(8),
                1 => bytes[at] = [0, 1, 3, 4, 8, 0x7f, 0x80, 0xff][dice.roll(8)],
                2 => bytes[at] = dice.roll(256) as u8,
                _ => bytes.truncate(at.max(28)),
            }
        }
        if dice.roll(8) != 0 {
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
            everything(&bytes, &mut scratch);
        }
    }
    assert!(parsed > 10_000 && refused > 10_000, "{parsed} parsed, {refused} refused");
}

/// A payload as the records draw it.
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
fn every_open_record_is_written_byte_for_byte_and_has_the_tree_it_says() {
    let mut scratch = vec![0; 65_535];
    for record in common::messages() {
        let message = Message::parse(&record.hex).unwrap();
        assert!(common::walk(&message, &record.hex, &mut scratch), "{}", record.id);
        assert_eq!(message.is_encrypted(), record.encrypted, "{}", record.id);
        if let Some(udp) = &record.udp_payload {
            assert_eq!(unframe_udp(Port::NatTraversal, udp), Framed::Ike(&record.hex));
        }
        let (false, Some(nodes)) = (record.encrypted, &record.payloads) else { continue };
        let found: Vec<_> = message.payloads().map(|p| tree(&p)).collect();
        assert_eq!(&found, nodes, "{}", record.id);
    }
}

#[test]
fn every_truncation_of_every_record_is_refused() {
    for record in common::messages() {
        for end in 0..record.hex.len() {
            let error = Message::parse(&record.hex[..end]).unwrap_err();
            let declared = record.hex.len() as u32;
            let expected = if end < 28 { DecodeErrorKind::TooShort } else { DecodeErrorKind::Truncated { declared } };
            assert_eq!(error.kind, expected, "{} at {end}", record.id);
        }
        let longer = [&record.hex[..], &[0]].concat();
        assert!(matches!(Message::parse(&longer).unwrap_err().kind, DecodeErrorKind::WrongLength { .. }));
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

/// Kinds whose body may be anything.
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
    fn what_the_writer_wrote_parses_to_the_same_values(sa in proposals(), others in vec(opaque(), 0..5)) {
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
    fn a_writer_without_room_says_so_and_leaves_nothing_that_parses(sa in proposals(), others in vec(opaque(), 0..4)) {
        let mut whole = vec![0; 8192];
        let length = write(&mut whole, &sa, &others).unwrap().len();
        let message = Message::parse(&whole[..length]).unwrap();
        for room in 0..length {
            let mut buf = vec![0; room];
            prop_assert_eq!(write(&mut buf, &sa, &others), Err(NoSpace), "room {}", room);
            prop_assert!(Message::parse(&buf).is_err());
            if room >= 28 {
                prop_assert_eq!(&buf[24..28], &[0xff; 4]);
            }
            buf.fill(0);
            prop_assert_eq!(message.write(&mut buf), Err(NoSpace), "copy into room {}", room);
            prop_assert!(Message::parse(&buf).is_err());
        }
        let mut exact = vec![0; length];
        prop_assert_eq!(write(&mut exact, &sa, &others).map(|b| b.to_vec()), Ok(whole[..length].to_vec()));
    }

    #[test]
    fn a_payload_that_fails_leaves_the_message_as_it_was(body in vec(any::<u8>(), 0..40), room in 0usize..40) {
        let mut buf = vec![0; 28 + 12 + 4 + room];
        let mut writer = MessageWriter::new(&mut buf, &Header::new([1; 8], [2; 8], ExchangeKind::MAIN, 0)).unwrap();
        writer.bytes(PayloadKind::NONCE, &[7; 8]).unwrap();
        let fits = writer.bytes(PayloadKind::VENDOR_ID, &body).is_ok();
        prop_assert_eq!(fits, body.len() <= room);
        let failed = writer.payload(PayloadKind::HASH, |out| { let _full = out.put(&[1]); Err(NoSpace) });
        prop_assert!(failed.is_err());
        let message = Message::parse(writer.finish()).unwrap();
        let kinds: Vec<_> = message.payloads().map(|p| p.kind).collect();
        let expected = [PayloadKind::NONCE, PayloadKind::VENDOR_ID];
        prop_assert_eq!(&kinds[..], &expected[..1 + usize::from(fits)]);
    }
}

//= RFC 2408 5.11/2, 5.12/2, 5.13/2, 5.7/2
//= RFC 2409 B/3
#[test]
fn flags_and_padding_of_the_writer_are_what_encryption_needs() {
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
fn a_plaintext_longer_than_a_message_is_refused_or_has_true_offsets() {
    for (length, padding) in [(60_000, 0), (65_507, 0), (65_508, 0), (65_520, 0), (65_520, 10)] {
        let plaintext = [common::payload(0, &vec![7; length - 4]), vec![0; padding]].concat();
        let Ok(chain) = Chain::decrypted(PayloadKind::HASH, &plaintext) else {
            assert!(length + padding > 65_507, "{length} octets fit into a message");
            continue;
        };
        let offsets: Vec<_> = chain.payloads().map(|p| p.offset).collect();
        assert_eq!(offsets, [28], "{length} octets, {padding} of padding");
    }
}
