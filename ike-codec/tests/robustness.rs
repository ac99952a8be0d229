//! Robustness against malformed messages, and against deviations of known IKE implementations from the RFCs. Deviations
//! that are resolved by vendor IDs are tested in `vendor.rs`.

mod common;

use common::{hex, one, payload, raw};
use ike_codec::DecodeErrorKind as Kind;
use ike_codec::{
    AttributeError, Attributes, Body, Chain, Doi, EcnTunnel, EncapsulationMode, Encryption, ExchangeKind, Flags,
    Header, IdAddress, IpsecAttributes, LifeType, Lifetimes, Message, MessageWriter, NatTraversal, NotifyKind,
    OakleyAttributes, PayloadKind, ProtocolId, Quirks, Reassembly, Situation, identify, vendor_ids,
};

fn parse_error(bytes: &[u8]) -> Option<Kind> {
    Message::parse(bytes).err().map(|error| error.kind)
}

fn sa(rest: &str) -> Vec<u8> {
    one(1, &[&hex("00000001 00000001")[..], &hex(rest)].concat())
}

//= RFC 2408 5.1/1, 5.1/2
//# SHOULD: a packet is checked to be as long as its header says
//# MUST: a message whose length is not that in its header is rejected
#[test]
fn parse_refuses_header_length_other_than_datagram_length() {
    let valid = one(13, b"vendor");
    for declared in [0u32, 1, 27, 28, 37, 39, 0x7fff_ffff, 0xffff_ffff] {
        let mut bytes = valid.clone();
        bytes[24..28].copy_from_slice(&declared.to_be_bytes());
        let (truncated, received) = (declared > 38, 38);
        let mismatch = Kind::LengthMismatch { declared, received };
        let expected = if truncated { Kind::Truncated { declared, received } } else { mismatch };
        assert_eq!(parse_error(&bytes), Some(expected));
    }
    assert_eq!(parse_error(&valid), None);
}

#[test]
fn reassembly_accepts_any_order_and_duplicates() {
    let pieces: Vec<_> = (1..=40u8).map(|n| one(132, &[&[0, 1, n, u8::from(n == 40)][..], &[n; 5]].concat())).collect();
    let (mut store, mut out) = ([0; 200], [0; 200]);
    let mut reassembly = Reassembly::new(&mut store);
    for start in [39, 0, 1, 2] {
        for piece in pieces.iter().skip(start).step_by(3).chain(pieces.last()) {
            reassembly.add(&Message::parse(piece).unwrap()).unwrap();
        }
    }
    let expected: Vec<u8> = (1..=40).flat_map(|n| [n; 5]).collect();
    assert_eq!(reassembly.message(&mut out).unwrap(), &expected[..]);
    let above_last = one(132, &[0, 1, 41, 0, 9]);
    assert!(reassembly.add(&Message::parse(&above_last).unwrap()).is_err());
}

#[test]
fn parse_refuses_fragment_payload_shorter_than_eight_octets() {
    for length in 0..8u8 {
        let bytes = raw(132, &[0, 0, 0, length, 0, 1, 1, 1]);
        let expected = match length {
            0..4 => Kind::PayloadLength(PayloadKind::FRAGMENT),
            _ => Kind::BodyTooShort(PayloadKind::FRAGMENT),
        };
        assert_eq!(parse_error(&bytes), Some(expected), "{length}");
    }
    assert_eq!(parse_error(&raw(132, &[0, 0, 0, 8, 0, 1, 1, 1])), None);
}

//= RFC 2408 5.3/4
//# MUST: receiving: a message with an invalid next payload is discarded
#[test]
fn parse_refuses_ikev2_payloads() {
    for kind in 0..=255u8 {
        let is_ikev2 = (33..=53).contains(&kind);
        let found = Message::parse(&raw(13, &[&payload(kind, b"v")[..], &payload(0, &[0; 8])].concat())).err();
        let is_refused = matches!(found.map(|e| e.kind), Some(Kind::Ikev2Payload(_)));
        assert_eq!(is_refused, is_ikev2, "{kind}");
        let mut encrypted = raw(kind, &[7; 8]);
        encrypted[19] = 1;
        assert_eq!(
            parse_error(&encrypted) == Some(Kind::Ikev2Payload(PayloadKind(kind))),
            is_ikev2,
            "payload {kind}, encrypted"
        );
        let plain = Chain::decrypted(PayloadKind(kind), &payload(0, &[0; 8])).err();
        let is_refused = matches!(plain.map(|e| e.kind), Some(Kind::Ikev2Payload(_)));
        assert_eq!(is_refused, is_ikev2, "payload {kind}, decrypted");
    }
}

#[test]
fn unknown_group_number_has_no_name() {
    let list = hex("8004 0401");
    let read = OakleyAttributes::read(&Attributes::parse(&list).unwrap()).unwrap();
    let group = read.group.unwrap();
    assert_eq!((group.0, group.name()), (1025, None));
    assert_eq!(group.to_string(), "1025");
}

//= RFC 2408 3.1/3, 3.1/6, 5.2/7
//# SHOULD NOT: packets of a higher major version are not accepted
//# SHOULD NOT: packets of a higher minor version are not accepted
//# MUST: receiving: a message of a wrong version is discarded
#[test]
fn parse_checks_version_first_and_accepts_1_0_only() {
    for version in 0..=255u8 {
        let mut bytes = one(33, b"vendor");
        bytes[17] = version;
        bytes[27] = 0xee;
        let expected = match (version >> 4, version & 15) {
            (1, 0) => Kind::Truncated { declared: 0xee, received: 38 },
            (1, minor) => Kind::MinorVersion(minor),
            (2, _) => Kind::Ikev2,
            (major, _) => Kind::MajorVersion(major),
        };
        assert_eq!(parse_error(&bytes), Some(expected), "{version:#x}");
    }
}

#[test]
fn parse_refuses_less_than_a_header() {
    for end in 0..28 {
        assert_eq!(parse_error(&one(13, b"vendor")[..end]), Some(Kind::TooShort), "{end} octets");
    }
}

#[test]
fn unknown_values_are_displayed_as_numbers() {
    for number in [0u32, 3, 0x8000_0000, u32::MAX] {
        let text = format!("{} {:?} {:?} {:?}", Doi(number), Doi(number), Situation(number), Flags(0xff));
        assert!(text.len() < 80, "{text}");
    }
    assert_eq!(Doi(u32::MAX).to_string(), "4294967295");
    assert_eq!(PayloadKind(254).to_string(), "254");
    assert_eq!(format!("{:?}", PayloadKind(254)), "PayloadKind(254)");
    assert_eq!(ProtocolId(77).name(), None);
}

#[test]
fn payload_15_is_not_nat_d_without_nat_t_draft() {
    let bytes = one(15, &[7; 20]);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.payloads().next().unwrap().view(), Body::Other(&[7; 20]));
    assert_eq!(NatTraversal::Draft05.detection(), PayloadKind(15));
}

#[test]
fn parse_refuses_delete_whose_spis_do_not_fill_it() {
    for (count, size, octets, valid) in [
        (1u16, 4u8, 4, true),
        (0, 4, 0, true),
        (2, 4, 4, false),
        (1, 4, 5, false),
        (0x4001, 4, 4, false),
        (257, 255, 255, false),
        (65_535, 255, 0, false),
    ] {
        let body = [&hex("00000001 03")[..], &[size], &count.to_be_bytes(), &vec![7; octets]].concat();
        let found = parse_error(&one(12, &body));
        assert_eq!(found, (!valid).then_some(Kind::SpiCount { count, size }), "{count} x {size} in {octets}");
    }
}

#[test]
fn find_returns_none_for_absent_payload() {
    let bytes = one(13, b"vendor");
    let message = Message::parse(&bytes).unwrap();
    assert!(message.find(PayloadKind::VENDOR_ID).is_some());
    assert!(message.find(PayloadKind::SA).is_none());
    let empty = raw(0, &[]);
    assert!(Message::parse(&empty).unwrap().find(PayloadKind::NONE).is_none());
}

#[test]
fn parse_refuses_payload_length_below_four() {
    for length in 0..4u8 {
        for kind in [1u8, 5, 7, 12, 13, 132] {
            let bytes = raw(kind, &[kind, 0, 0, length, 0, 0, 0, 0]);
            assert_eq!(parse_error(&bytes), Some(Kind::PayloadLength(PayloadKind(kind))));
            let error = Chain::decrypted(PayloadKind(kind), &[kind, 0, 0, length]).unwrap_err();
            let never_encrypted = kind == 132;
            let expected = if never_encrypted { Kind::Misplaced } else { Kind::PayloadLength };
            assert_eq!(error.kind, expected(PayloadKind(kind)));
        }
        let proposal = sa(&format!("02 00 000{length} 01 01 00 01 00 00 0008 01 01 0000"));
        assert_eq!(parse_error(&proposal), Some(Kind::PayloadLength(PayloadKind::PROPOSAL)));
        let transform = sa(&format!("00 00 0010 01 01 00 01 03 00 000{length} 01 01 0000"));
        assert_eq!(parse_error(&transform), Some(Kind::PayloadLength(PayloadKind::TRANSFORM)));
    }
}

//= RFC 2408 3.14/1
//# MUST: the octets of an ISAKMP SPI in a notification are ignored
#[test]
fn parse_refuses_address_and_spi_past_their_payload() {
    for (kind, right) in [(1u8, 4usize), (4, 8), (5, 16), (6, 32), (7, 8), (8, 32)] {
        for length in 0..40 {
            let bytes = one(5, &[&[kind, 0, 0, 0][..], &vec![7; length]].concat());
            let expected = (length != right).then_some(Kind::AddressLength(PayloadKind::ID));
            assert_eq!(parse_error(&bytes), expected, "type {kind} with {length}");
        }
    }
    for size in 0..=255u8 {
        let body = [&hex("00000001 01")[..], &[size, 0x60, 0x02], &[7; 16]].concat();
        let expected = (size > 16).then_some(Kind::TruncatedPayload(PayloadKind::NOTIFICATION));
        assert_eq!(parse_error(&one(11, &body)), expected, "SPI of {size}");
    }
}

/// Covers the groups of the PROTOS test suite c09: header, payload chain, lengths, counts, attributes and truncated
/// messages.
#[test]
fn modified_sa_message_is_refused_or_written_identically() {
    let valid =
        sa("00 00 0028  01 01 08 01 c1c2c3c4c5c6c7c8  00 00 0018  01 01 0000 8001 0005 8002 0002 000c 0004 00007080");
    let mut scratch = [0; 200];
    Message::parse(&valid).unwrap();
    let mut accepted = 0;
    for at in 0..valid.len() {
        for value in 0..=255u8 {
            let mut bytes = valid.clone();
            bytes[at] = value;
            if let Ok(message) = Message::parse(&bytes) {
                accepted += 1;
                assert!(common::walk(&message, &bytes, &mut scratch), "octet {at} as {value}");
            }
        }
    }
    assert!(accepted > valid.len() && accepted < 255 * valid.len(), "{accepted}");
    for at in [30usize, 31, 42, 43, 46, 47, 58, 59, 74, 75] {
        for value in 0..=255u8 {
            let mut bytes = valid.clone();
            bytes[at] = value;
            assert_eq!(Message::parse(&bytes).is_ok(), value == valid[at], "length or count at {at} as {value}");
        }
    }
}

//= RFC 2408 3.4/1
//# MUST NOT: the next payload of an SA payload is neither proposal nor transform
#[test]
fn parse_refuses_proposal_or_transform_outside_its_sa() {
    for (kind, inner) in [(2u8, "00 00 0008 01 01 0000"), (3, "01 01 0000")] {
        assert_eq!(parse_error(&one(kind, &hex(inner))), Some(Kind::Misplaced(PayloadKind(kind))));
        let plain = Chain::decrypted(PayloadKind(kind), &payload(0, &hex(inner))).unwrap_err();
        assert_eq!(plain.kind, Kind::Misplaced(PayloadKind(kind)));
    }
}

//= RFC 2408 3.5/1, 3.6/1, 5.5/7
//# MUST: the next payload of a proposal is 2 or 0
//# MUST: the next payload of a transform is 3 or 0
//# MUST: receiving: proposals and transforms are processed by the next payload field
#[test]
fn parse_refuses_other_payloads_after_proposal_or_transform() {
    for next in 1..=255u8 {
        let after_proposal = sa(&format!("{next:02x} 00 0010 01 01 00 01 00 00 0008 01 01 0000"));
        let expected =
            if next == 2 { Kind::MissingPayload(PayloadKind::PROPOSAL) } else { Kind::Misplaced(PayloadKind(next)) };
        assert_eq!(parse_error(&after_proposal), Some(expected), "{next}");
        let after_transform = sa(&format!("00 00 0010 01 01 00 01 {next:02x} 00 0008 01 01 0000"));
        let expected =
            if next == 3 { Kind::MissingPayload(PayloadKind::TRANSFORM) } else { Kind::Misplaced(PayloadKind(next)) };
        assert_eq!(parse_error(&after_transform), Some(expected), "{next}");
    }
}

#[test]
fn parse_refuses_wrong_transform_count() {
    for declared in 0..=255u8 {
        let found = parse_error(&sa(&format!("00 00 0010 01 01 00 {declared:02x} 00 00 0008 01 01 0000")));
        assert_eq!(found, (declared != 1).then_some(Kind::TransformCount { declared, found: 1 }), "{declared}");
    }
}

//= RFC 2408 3.5/2
//# MUST: the octets of an ISAKMP SPI are ignored
#[test]
fn parse_accepts_spi_of_any_size_in_an_isakmp_proposal() {
    for size in [0usize, 4, 8, 16] {
        let spi = "5a".repeat(size);
        let bytes = sa(&format!("00 00 {:04x} 01 01 {size:02x} 01 {spi} 00 00 0008 01 01 0000", 16 + size));
        let message = Message::parse(&bytes).unwrap();
        let Body::SecurityAssociation(sa) = message.payloads().next().unwrap().view() else { panic!() };
        assert_eq!(sa.proposals().next().unwrap().spi, vec![0x5a; size], "{size} octets");
    }
}

//= RFC 2409 5/8
//# MUST: a nonce has 8 to 256 octets
#[test]
fn parse_strict_requires_a_nonce_of_8_to_256_octets() {
    for (length, valid) in [(0, false), (7, false), (8, true), (256, true), (257, false)] {
        let bytes = one(10, &vec![7; length]);
        assert_eq!((Message::parse(&bytes).is_ok(), Message::parse_strict(&bytes).is_ok()), (true, valid), "{length}");
    }
}

//= RFC 2407 4.6.1/1
//# MUST: the reserved octet of the generic header is zero
//= RFC 2408 2.5.2/2, 5.3/5
//# SHOULD: messages with a reserved field that is not zero are discarded
//# MUST: receiving: a message with a reserved field that is not zero is discarded
#[test]
fn parse_preserves_reserved_octets_and_parse_strict_refuses_them() {
    let valid = sa("00 00 0010 01 01 00 01 00 00 0008 01 01 0000");
    let mut scratch = [0; 100];
    for at in [29, 41, 49, 54, 55] {
        let mut bytes = valid.clone();
        bytes[at] = 0xa5;
        assert_eq!(Message::parse(&bytes).unwrap().write(&mut scratch).unwrap(), &bytes[..], "{at}");
        assert_eq!(Message::parse_strict(&bytes).unwrap_err().kind, Kind::Reserved, "{at}");
    }
    assert!(Message::parse_strict(&valid).is_ok());
}

//= RFC 2408 3.6/2
//# SHOULD: SA attributes have the format of data attributes
#[test]
fn parse_refuses_attribute_past_its_transform() {
    for length in 0..=0xffffu16 {
        let bytes = sa(&format!("00 00 0018 01 01 00 01 00 00 0010 01 01 0000 000c {length:04x} 00007080"));
        assert_eq!(Message::parse(&bytes).is_ok(), length == 4, "{length}");
    }
}

#[test]
fn oakley_group_prime_in_basic_encoding_is_not_read() {
    let odd = hex("8006 0007 8006 0007");
    let list = Attributes::parse(&odd).unwrap();
    let read = OakleyAttributes::read(&list).unwrap();
    assert_eq!((read.group_prime, read.other), (None, Some(6)));
}

#[test]
fn oakley_attributes_refuse_conflicts_and_values_out_of_range() {
    for (text, expected) in [
        ("8001 0005 8001 0007", AttributeError::Duplicate(1)),
        ("0006 0001 07 0006 0001 08", AttributeError::Duplicate(6)),
        ("0001 0000", AttributeError::OutOfRange(1)),
        ("0001 0003 010000", AttributeError::OutOfRange(1)),
    ] {
        let bytes = hex(text);
        assert_eq!(OakleyAttributes::read(&Attributes::parse(&bytes).unwrap()), Err(expected), "{text}");
    }
}

#[test]
fn equal_duplicates_do_not_conflict() {
    let bytes = hex("8001 0005 8001 0005 0001 0002 0005 8002 0002 0006 0001 07 0006 0001 07");
    let read = OakleyAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap();
    assert_eq!((read.encryption, read.group_prime), (Some(Encryption(5)), Some(&[7][..])));
}

#[test]
fn oakley_attributes_of_an_empty_list_are_the_default() {
    let none = OakleyAttributes::read(&Attributes::parse(&[]).unwrap());
    assert_eq!(none, Ok(OakleyAttributes::default()));
}

#[test]
fn short_vendor_id_does_not_match_and_config_attribute_past_payload_is_refused() {
    for id in vendor_ids() {
        for end in 0..id.bytes.len() {
            let found = identify(&id.bytes[..end]);
            assert!(found.is_none_or(|found| found.bytes.len() <= end), "{} at {end}", id.name);
        }
    }
    for length in 0..=12u16 {
        let body = [&hex("02 00 0000 0001")[..], &length.to_be_bytes(), &[10, 0, 0, 1]].concat();
        // With a length below four, the remaining octets are neither an attribute nor padding.
        let expected = (length != 4).then_some(Kind::TruncatedAttribute);
        assert_eq!(parse_error(&one(14, &body)), expected, "{length}");
    }
    assert_eq!(parse_error(&one(14, &hex("02 00 0000 0001 0004 0a0000"))), Some(Kind::TruncatedAttribute));
}

#[test]
fn written_message_equals_parsed_message() {
    for bytes in common::corpus() {
        let Ok(message) = Message::parse(&bytes) else { continue };
        let mut scratch = vec![0xee; bytes.len() + 50];
        let length = message.write(&mut scratch).unwrap().len();
        assert_eq!(length, bytes.len());
        assert_eq!(&scratch[..length], &bytes[..]);
        assert!(scratch[length..].iter().all(|&b| b == 0xee));
    }
}

//= RFC 2407 4.5.2/1, 4.5/3
//# MUST: attributes may come several times, as long as they do not conflict
//# MUST: a life duration follows the life type of its unit
#[test]
fn lifetimes_are_read_in_any_width_and_order() {
    let some = |seconds, kilobytes| Ok(Lifetimes { seconds, kilobytes, other: None });
    let unpaired = Err(AttributeError::UnpairedLifetime);
    let rows: &[(&str, Result<Lifetimes, AttributeError>)] = &[
        ("", some(None, None)),
        ("8001 0001 8002 7080", some(Some(28_800), None)),
        ("8001 0001 0002 0001 3c", some(Some(60), None)),
        ("8001 0001 0002 0003 015180", some(Some(86_400), None)),
        ("8001 0001 0002 0004 00007080", some(Some(28_800), None)),
        ("8001 0001 0002 0008 ffffffffffffffff", some(Some(u64::MAX), None)),
        ("8001 0001 0002 000a 0000 0000000000000e10", some(Some(3600), None)),
        ("0001 0002 0001 0002 0004 00000e10", some(Some(3600), None)),
        ("8002 0e10 8001 0001", some(Some(3600), None)),
        ("8001 0001 8002 0e10 8001 0002 0002 0004 00465000", some(Some(3600), Some(4_608_000))),
        ("8001 0002 8002 0064 8003 0002 8001 0001 8002 0e10", some(Some(3600), Some(100))),
        ("8001 0007 8002 0001", Ok(Lifetimes { other: Some((LifeType(7), 1)), ..Lifetimes::default() })),
        ("8001 0001", unpaired),
        ("8002 0e10", unpaired),
        ("8001 0001 0002 0000", Err(AttributeError::OutOfRange(2))),
        ("8001 0001 0002 0009 010000000000000000", Err(AttributeError::OutOfRange(2))),
        ("8001 0001 8001 0001", unpaired),
        ("8001 0001 8001 0002", Err(AttributeError::Duplicate(1))),
        ("8001 0001 8001 0001 8002 0e10", some(Some(3600), None)),
        ("8001 0001 8002 0e10 8001 0001 8002 0e10", some(Some(3600), None)),
        ("8001 0001 8002 0001 8001 0001 8002 0002", Err(AttributeError::Duplicate(2))),
    ];
    for (text, expected) in rows {
        let bytes = hex(text);
        let read = IpsecAttributes::read(&Attributes::parse(&bytes).unwrap());
        assert_eq!(read.map(|list| list.lifetimes), *expected, "{text}");
    }
}

#[test]
fn lifetime_of_phase_1_is_read_in_any_width_and_order() {
    for text in ["800b 0001 000c 0004 00007080", "800c 7080 800b 0001"] {
        let bytes = hex(text);
        let read = OakleyAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap();
        assert_eq!(read.lifetimes.seconds, Some(28_800), "{text}");
    }
}

#[test]
fn lifetime_is_written_with_a_duration_of_four_octets() {
    let mut buf = [0; 100];
    let mut writer = MessageWriter::new(&mut buf, &Header::new([1; 8], [0; 8], ExchangeKind::QUICK, 1)).unwrap();
    writer.payload(PayloadKind::HASH, |b| b.attributes(|list| list.lifetime((1, 2), 1, 28_800))).unwrap();
    assert_eq!(writer.finish()[32..], hex("8001 0001 0002 0004 00007080")[..], "the duration must have four octets");
}

#[test]
fn ecn_and_old_security_context_are_distinguished_by_length() {
    for (text, ecn, other) in [
        ("800a 0001", Some(EcnTunnel::ALLOWED), None),
        ("000a 0002 0002", Some(EcnTunnel::FORBIDDEN), None),
        ("000a 0006 010173797374", None, Some(10)),
    ] {
        let bytes = hex(text);
        let read = IpsecAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap();
        assert_eq!((read.ecn, read.other), (ecn, other), "{text}");
    }
}

#[test]
fn udp_encapsulation_modes_of_rfc_and_drafts_are_read() {
    for (value, mode) in [
        (3u16, EncapsulationMode::UDP_TUNNEL),
        (4, EncapsulationMode::UDP_TRANSPORT),
        (61_443, EncapsulationMode::UDP_TUNNEL_DRAFT),
        (61_444, EncapsulationMode::UDP_TRANSPORT_DRAFT),
    ] {
        let bytes = [&[0x80, 4][..], &value.to_be_bytes()].concat();
        let read = IpsecAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap();
        assert_eq!(read.encapsulation, Some(mode));
    }
}

//= RFC 2408 5.2/11, 5.3/6
//# MUST: receiving: processing goes on by the next payload field
//# MUST: receiving: the payloads that follow are processed by the next payload field
#[test]
fn all_nat_d_payloads_are_decoded() {
    let chain = [&payload(20, &[1; 20])[..], &payload(20, &[2; 20]), &payload(130, &[3; 16]), &payload(0, &[4; 16])];
    let bytes = raw(20, &chain.concat());
    let message = Message::parse(&bytes).unwrap();
    let seen: Vec<_> = message
        .payloads()
        .filter_map(|p| if let Body::NatDetection(hash) = p.view() { Some(hash[0]) } else { None })
        .collect();
    assert_eq!(seen, [1, 2, 3, 4]);
}

#[test]
fn windows_gss_names_and_missing_version_are_read() {
    for kind in ["4000", "7d01"] {
        let bytes = hex(&format!("{kind} 0004 61006200 8003 fde9"));
        let read = OakleyAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap();
        assert_eq!((read.gss_id, read.auth_method.map(|m| m.0)), (Some(&b"a\0b\0"[..]), Some(65_001)));
    }
    let windows = vendor_ids().iter().find(|id| id.name == "Microsoft ISAKMP/Oakley").unwrap();
    let mut quirks = Quirks::default();
    quirks.add(windows.bytes);
    assert_eq!(quirks.windows, Some(0));
}

#[test]
fn notification_and_delete_of_doi_0_are_read() {
    let bytes = raw(
        11,
        &[
            payload(12, &hex("00000000 01 00 000e")),
            payload(0, &hex("00000000 01 10 0001 a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8")),
        ]
        .concat(),
    );
    let message = Message::parse_strict(&bytes).unwrap();
    let views: Vec<_> = message.payloads().map(|p| p.view()).collect();
    assert!(matches!(views[0], Body::Notification(n) if n.doi == Doi(0) && n.kind == NotifyKind::NO_PROPOSAL_CHOSEN));
    assert!(matches!(views[1], Body::Delete(d) if d.doi == Doi(0) && d.spis().next().unwrap().len() == 16));
}

#[test]
fn parse_accepts_up_to_three_zero_octets_of_padding() {
    let mut scratch = [0; 100];
    for zeros in 0..6usize {
        let bytes = raw(13, &[payload(0, b"x"), vec![0; zeros]].concat());
        assert_eq!(Message::parse(&bytes).is_ok(), zeros <= 3, "{zeros}");
        if let Ok(message) = Message::parse(&bytes) {
            assert_eq!(message.chain().padding().len(), zeros, "{zeros}");
            assert_eq!(message.write(&mut scratch).unwrap(), &bytes[..], "{zeros}");
        }
    }
}

#[test]
fn config_attributes_end_with_up_to_three_zero_octets_of_padding() {
    for zeros in 0..9usize {
        let bytes = one(14, &[hex("02 00 0000 8001 0001"), vec![0; zeros]].concat());
        let message = Message::parse(&bytes).unwrap_or_else(|e| panic!("{zeros}: {e}"));
        let Body::Config(config) = message.payloads().next().unwrap().view() else { panic!() };
        assert_eq!((config.attributes.iter().count(), config.padding.len()), (1 + zeros / 4, zeros % 4), "{zeros}");
    }
}

#[test]
fn finish_padded_is_read_as_padding() {
    let mut scratch = [0; 100];
    let mut writer = MessageWriter::new(&mut scratch, &Header::new([1; 8], [0; 8], ExchangeKind::MAIN, 0)).unwrap();
    writer.bytes(PayloadKind::VENDOR_ID, b"x").unwrap();
    let padded = writer.finish_padded(4).unwrap();
    assert_eq!((padded.len(), Message::parse(padded).unwrap().chain().padding()), (36, &[0; 3][..]));
}

#[test]
fn decrypted_accepts_any_padding() {
    for padding in [&[][..], &[0; 7], &[0, 0, 0, 3], &[0xde, 0xad, 0xbe, 0xef, 5], &[0xff; 255]] {
        let plaintext = [&payload(0, &[7; 20])[..], padding].concat();
        let chain = Chain::decrypted(PayloadKind::HASH, &plaintext).unwrap();
        assert_eq!((chain.payloads().count(), chain.padding()), (1, padding));
    }
    assert!(Chain::decrypted(PayloadKind::NONE, &[0; 8]).is_err());
}

#[test]
fn r_u_there_contains_both_cookies_and_sequence_number() {
    for (data, number) in [("00000000", Some(0)), ("ffffffff", Some(u32::MAX)), ("000001", None), ("0000000001", None)]
    {
        let bytes = one(11, &hex(&format!("00000001 01 10 8d28 a1a2a3a4a5a6a7a8 b1b2b3b4b5b6b7b8 {data}")));
        let message = Message::parse(&bytes).unwrap();
        let Body::Notification(n) = message.payloads().next().unwrap().view() else { panic!() };
        assert_eq!((n.kind, n.number()), (NotifyKind::R_U_THERE, number));
        assert_eq!(n.spi, [message.header().initiator_cookie, message.header().responder_cookie].concat());
    }
}

#[test]
fn fragment_is_cleartext_regardless_of_encryption_flag() {
    let (mut store, mut out) = ([0; 8], [0; 8]);
    let mut reassembly = Reassembly::new(&mut store);
    for (number, flags) in [(1u8, 1u8), (2, 0)] {
        let mut bytes = one(132, &[0, 1, number, number - 1, 7, 7, 7]);
        bytes[19] = flags;
        let message = Message::parse(&bytes).unwrap();
        assert!(!message.is_encrypted());
        assert_eq!(message.write(&mut [0; 100]).unwrap(), &bytes[..]);
        reassembly.add(&message).unwrap();
    }
    assert_eq!(reassembly.message(&mut out).unwrap(), [7; 6]);
}

#[test]
fn parse_preserves_message_id() {
    for id in [0u32, 1, u32::MAX] {
        let mut bytes = one(8, &[7; 20]);
        bytes[18] = 32;
        bytes[20..24].copy_from_slice(&id.to_be_bytes());
        assert_eq!(Message::parse(&bytes).unwrap().header().message_id, id);
    }
}

#[test]
fn commit_and_authentication_only_flags_do_not_imply_encryption() {
    for flags in 0..8u8 {
        let mut bytes = one(8, &[7; 20]);
        bytes[19] = flags;
        let message = Message::parse_strict(&bytes).unwrap();
        assert_eq!(message.is_encrypted(), flags & 1 != 0);
        assert_eq!(message.header().flags.contains(Flags::COMMIT), flags & 2 != 0);
        assert_eq!(message.header().flags.contains(Flags::AUTHENTICATION_ONLY), flags & 4 != 0);
    }
    assert!(!NotifyKind::CONNECTED.is_error());
}

//= RFC 3173 4.1/13, 4.1/5
//# MUST: the receiver processes each of these forms
//# MUST: both sizes of a proposed CPI are processed
#[test]
fn ipcomp_cpi_is_read_in_two_and_four_octets() {
    for (size, spi) in [(2, "1234"), (4, "00001234")] {
        let bytes = sa(&format!("00 00 {:04x} 01 04 0{size} 01 {spi} 00 00 0008 01 02 0000", 16 + size));
        let message = Message::parse_strict(&bytes).unwrap();
        let Body::SecurityAssociation(sa) = message.payloads().next().unwrap().view() else { panic!() };
        let proposal = sa.proposals().next().unwrap();
        assert_eq!((proposal.protocol, proposal.spi), (ProtocolId::IPCOMP, &hex(spi)[..]));
    }
}

#[test]
fn subnet_identification_with_host_mask_is_read() {
    let bytes = one(5, &hex("06 00 0000 00000000000000000000000000000001 ffffffffffffffffffffffffffffffff"));
    let message = Message::parse(&bytes).unwrap();
    let Body::Identification(id) = message.payloads().next().unwrap().view() else { panic!() };
    let (host, all) = ("::1".parse().unwrap(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap());
    assert_eq!(id.address(), Some(IdAddress::V6Subnet(host, all)));
}

#[test]
fn nat_oa_payloads_of_both_families_are_read() {
    let four = payload(131, &hex("01 000000 c0000201"));
    let six = payload(0, &hex("05 000000 00000000000000000000ffffc0000201"));
    let bytes = raw(131, &[four, six].concat());
    let message = Message::parse(&bytes).unwrap();
    let found: Vec<_> = message
        .payloads()
        .map(|p| if let Body::NatOriginalAddress(o) = p.view() { o.address().unwrap().to_string() } else { panic!() })
        .collect();
    assert_eq!(found, ["192.0.2.1", "::ffff:192.0.2.1"]);
}

// Deviations that other crates handle:
// - Checksums of transport mode behind a NAT: data path (ipsec-packet).
// - INITIAL-CONTACT and error notifications without authentication: authentication of messages (ike-v1).
// - Offline search of pre-shared keys: choice of authentication methods (documentation of ike-v1).
// - Keys and IVs, and the hashes of quick mode: key schedule (ike-v1).
// - Use of the lifetime that a responder sends: negotiation (ike-v1).
// - Comparison of distinguished names: caller.
