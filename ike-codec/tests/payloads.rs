//! Fields of every payload type, from hand-encoded octets after the diagrams of RFC 2407, 2408 and 3947.

mod common;

use std::net::IpAddr;

use common::{PROPOSAL, hex, one, payload, raw};
use ike_codec::DecodeErrorKind as Kind;
use ike_codec::{
    Attributes, Body, CertificateEncoding, Chain, ConfigKind, Doi, ExchangeKind, Flags, Header, IdAddress, IdKind,
    Message, NotifyKind, PayloadKind, ProtocolId, Situation, TransformId, Value, Version,
};

/// Parses a message of one payload, verifies that it is written identically, and passes its body to `look`.
fn with<T>(kind: u8, body: &[u8], look: impl FnOnce(Body<'_>) -> T) -> T {
    let bytes = one(kind, body);
    let message = Message::parse(&bytes).unwrap_or_else(|e| panic!("{kind}: {e}"));
    assert_eq!(message.payloads().count(), 1);
    let only = message.payloads().next().unwrap();
    assert_eq!((only.kind, only.offset, only.reserved, only.body), (PayloadKind(kind), 28, 0, body));
    assert_eq!(only.length(), body.len() + 4);
    assert_eq!(message.write(&mut [0; 4096]).unwrap(), &bytes[..]);
    look(only.view())
}

//= RFC 2408 5.2/3
//# MUST: sending: a header with the fields of section 3.1 is constructed
#[test]
fn header_fields_are_those_of_rfc_2408_section_3_1() {
    let bytes = hex("0102030405060708 1112131415161718 00 10 20 06 deadbeef 0000001c");
    let (header, rest) = Header::parse(&bytes).unwrap();
    let expected = Header {
        initiator_cookie: [1, 2, 3, 4, 5, 6, 7, 8],
        responder_cookie: [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18],
        next_payload: PayloadKind::NONE,
        version: Version::IKEV1,
        exchange: ExchangeKind::QUICK,
        flags: Flags::COMMIT.with(Flags::AUTHENTICATION_ONLY),
        message_id: 0xdead_beef,
        length: 28,
    };
    assert_eq!((header, rest), (expected, &[][..]));
    assert_eq!(header.to_bytes(), bytes[..]);
    assert!(!header.is_encrypted());
}

#[test]
fn exchange_types_from_240_are_private() {
    for number in 0..=255u8 {
        let private = (240..=255).contains(&number);
        assert_eq!(ExchangeKind(number).is_private(), private, "{number}");
    }
}

#[test]
fn flags_are_combined_as_sets() {
    let (one, two) = (Flags::ENCRYPTION, Flags::ENCRYPTION.with(Flags::COMMIT));
    assert_eq!((two, two.with(one), one.with(one), two.with(two)), (Flags(3), Flags(3), Flags(1), Flags(3)));
    assert_eq!((two.without(one), two.without(two), one.without(Flags::COMMIT)), (Flags::COMMIT, Flags(0), one));
    assert!(two.contains(one) && !one.contains(two));
}

#[test]
fn ikev2_flags_are_bits_3_to_5() {
    // The diagram shows X X R V I X X X, with the least significant bit last (RFC 7296 section 3.1).
    for bits in 0..=255u8 {
        let expected = [3, 4, 5].into_iter().any(|bit| bits & (1 << bit) != 0);
        assert_eq!(Flags(bits).has_ikev2(), expected, "{bits:#010b}");
    }
}

//= RFC 3173 4.1/13
//# MUST: the receiver processes each of these forms
//= RFC 2408 5.4/2, 5.4/5, 5.5/3, 5.6/2, 5.6/7
//# MUST: sending: an SA payload is constructed
//# MUST: receiving: the proposals and transforms are processed
//# MUST: sending: a proposal payload is constructed
//# MUST: sending: a transform payload is constructed
//# MUST: receiving: further transforms and proposals are processed by the next payload field
#[test]
fn sa_fields_are_those_of_rfc_2407_section_4_6_1_and_rfc_2408_sections_3_5_and_3_6() {
    let body = hex("00000001 00000001
         02 00 0028  01 03 04 02  c0ffee01
           03 00 0010  01 0c 0000  8001 0001  8002 0e10
           00 00 000c  02 03 0000  8004 0003
         00 00 0020  01 02 04 01  0a0b0c0d
           00 00 0014  01 02 0000  8005 0001  0002 0004 00015180");
    with(1, &body, |view| {
        let Body::SecurityAssociation(sa) = view else { panic!("{view:?}") };
        assert_eq!((sa.situation, sa.labels), (Situation::IDENTITY_ONLY, &[][..]));
        let proposals: Vec<_> = sa.proposals().collect();
        assert_eq!(proposals.len(), 2);
        let first = &proposals[0];
        assert_eq!((first.offset, first.length, first.reserved), (40, 40, 0));
        assert_eq!((first.number, first.protocol, first.transform_count), (1, ProtocolId::ESP, 2));
        assert_eq!(first.spi, [0xc0, 0xff, 0xee, 1]);
        let transforms: Vec<_> = first.transforms().collect();
        let heads: Vec<_> = transforms.iter().map(|t| (t.offset, t.length, t.number, t.id.0)).collect();
        assert_eq!(heads, [(52, 16, 1, 12), (68, 12, 2, 3)]);
        let attributes: Vec<_> = transforms[0].attributes.iter().map(|a| (a.kind, a.value)).collect();
        assert_eq!(attributes, [(1, Value::Basic(1)), (2, Value::Basic(3600))]);
        let second = &proposals[1];
        assert_eq!((second.offset, second.length, second.number, second.protocol), (80, 32, 1, ProtocolId::AH));
        let transform = second.transforms().next().unwrap();
        assert_eq!((transform.offset, transform.length, transform.id), (92, 20, TransformId(2)));
        let attributes: Vec<_> = transform.attributes.iter().map(|a| (a.kind, a.value, a.number())).collect();
        assert_eq!(
            attributes,
            [(5, Value::Basic(1), Some(1)), (2, Value::Variable(&[0, 1, 0x51, 0x80]), Some(86_400))]
        );
    });
}

//= RFC 2407 4.2.1/3
//# MUST: with secrecy or integrity the situation has a labeled domain identifier
#[test]
fn situation_labels_precede_proposals() {
    let secrecy = "0003 0000 aabbcc00  0009 0000 ff800000";
    let integrity = "0004 0000 01020304  0000 0000";
    for (situation, labels) in [
        (3, format!("00000007 {secrecy}")),
        (5, format!("00000007 {integrity}")),
        (6, format!("00000007 {secrecy} {integrity}")),
    ] {
        let labels = hex(&labels);
        let body = [&hex("00000001 000000")[..], &[situation], &labels, &hex(PROPOSAL)].concat();
        with(1, &body, |view| {
            let Body::SecurityAssociation(sa) = view else { panic!("{view:?}") };
            assert_eq!((sa.situation.0, sa.labels), (u32::from(situation), &labels[..]));
            assert_eq!(sa.proposals().next().map(|p| usize::from(p.offset)), Some(40 + labels.len()));
        });
    }
}

#[test]
fn level_and_category_are_padded_to_four_octets() {
    // A level counts octets, a category bits.
    for (octets, bits, words) in
        [(0, 0, 0), (1, 1, 2), (4, 32, 2), (5, 33, 4), (8, 64, 4), (3, 31, 2), (0, 40, 2), (4, 65, 4), (1, 8, 2)]
    {
        for situation in [2, 4] {
            let level = [&[0, octets, 0, 0][..], &vec![7; usize::from(octets).next_multiple_of(4)]].concat();
            let labels = [&[0, 0, 0, 1][..], &level, &[0, bits, 0, 0]].concat();
            let category = vec![0xff; 12 + 4 * words - labels.len()];
            let labels = [labels, category].concat();
            let body = [&[0, 0, 0, 1, 0, 0, 0, situation][..], &labels, &hex(PROPOSAL)].concat();
            with(1, &body, |view| {
                let Body::SecurityAssociation(sa) = view else { panic!("{view:?}") };
                assert_eq!((sa.labels, sa.proposals().count()), (&labels[..], 1), "{octets} octets, {bits} bits");
            });
            let strictly = Message::parse_strict(&one(1, &body)).map(|message| message.payloads().count());
            assert_eq!(strictly, Ok(1), "{octets} octets, {bits} bits");
        }
    }
}

//= RFC 2407 4.6.1/2
//# MUST: the reserved fields after the lengths of labels are zero
#[test]
fn parse_strict_refuses_reserved_fields_of_labels() {
    let labels =
        hex("00000007  0003 0000 aabbcc00  0009 0000 ff800000  0004 0000 01020304  0021 0000 ffffffff 80000000");
    let good = one(1, &[&hex("00000001 00000006")[..], &labels, &hex(PROPOSAL)].concat());
    Message::parse_strict(&good).unwrap();
    for field in [6, 14, 22, 30] {
        for at in [40 + field, 41 + field] {
            let mut bytes = good.clone();
            assert_eq!(std::mem::replace(&mut bytes[at], 1), 0);
            assert_eq!(Message::parse(&bytes).unwrap().write(&mut [0; 200]).unwrap(), &bytes[..], "{at}");
            let error = Message::parse_strict(&bytes).unwrap_err();
            assert_eq!((error.kind, error.offset), (Kind::Reserved, 28), "{at}");
        }
    }
}

#[test]
fn parse_strict_accepts_situation_bits_of_rfc_2407_4_2_only() {
    let label = hex("0001 0000 aa000000  0000 0000");
    for situation in 1..=7u8 {
        let count = (situation >> 1).count_ones() as usize;
        let labels = if count == 0 { Vec::new() } else { [hex("00000007"), label.repeat(count)].concat() };
        let body = [&[0, 0, 0, 1, 0, 0, 0, situation][..], &labels, &hex(PROPOSAL)].concat();
        let good = one(1, &body);
        assert!(Message::parse_strict(&good).is_ok(), "{situation}");
        for (at, bit) in [(36, 0x80), (37, 1), (38, 0x10), (39, 8), (39, 0x80)] {
            let mut bytes = good.clone();
            bytes[at] |= bit;
            assert!(Message::parse(&bytes).is_ok(), "{situation}, {bit:#x} at {at}");
            assert_eq!(
                Message::parse_strict(&bytes).unwrap_err().kind,
                Kind::Reserved,
                "{situation}, {bit:#x} at {at}"
            );
        }
    }
}

//= RFC 2408 2.1/1
//# SHOULD: several domains of interpretation are supported at once
#[test]
fn sa_of_another_doi_is_not_decoded() {
    with(1, &hex("00000002 00"), |view| assert_eq!(view, Body::OtherDoi(Doi::GDOI, &[0])));
}

#[test]
fn payloads_without_fields_return_their_octets() {
    let octets: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];
    let rows: &[(u8, Body<'_>)] = &[
        (4, Body::KeyExchange(octets)),
        (8, Body::Hash(octets)),
        (9, Body::Signature(octets)),
        (10, Body::Nonce(octets)),
        (13, Body::VendorId(octets)),
        (15, Body::Other(octets)),
        (16, Body::Other(octets)),
        (17, Body::Other(octets)),
        (20, Body::NatDetection(octets)),
        (130, Body::NatDetection(octets)),
        (129, Body::GssToken(octets)),
        (32, Body::Other(octets)),
        (54, Body::Other(octets)),
        (255, Body::Other(octets)),
    ];
    for (kind, expected) in rows {
        with(*kind, octets, |view| assert_eq!(view, *expected));
    }
}

//= RFC 2408 5.8/2
//# MUST: sending: an identification payload is constructed
#[test]
fn identification_fields_are_those_of_rfc_2407_section_4_6_2() {
    let six = |last: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    let rows: &[(u8, &str, Option<IdAddress>, Option<&str>)] = &[
        (1, "c0000201", Some(IdAddress::V4([192, 0, 2, 1].into())), None),
        (2, "6c61622e6578", None, Some("lab.ex")),
        (3, "6140622e63", None, Some("a@b.c")),
        (2, "ff", None, None),
        (4, "0a000000 ff000000", Some(IdAddress::V4Subnet([10, 0, 0, 0].into(), [255, 0, 0, 0].into())), None),
        (5, "20010db8000000000000000000000001", Some(IdAddress::V6(six(1))), None),
        (
            6,
            "20010db8000000000000000000000001 20010db8000000000000000000000002",
            Some(IdAddress::V6Subnet(six(1), six(2))),
            None,
        ),
        (7, "0a000001 0a000009", Some(IdAddress::V4Range([10, 0, 0, 1].into(), [10, 0, 0, 9].into())), None),
        (
            8,
            "20010db8000000000000000000000003 20010db8000000000000000000000004",
            Some(IdAddress::V6Range(six(3), six(4))),
            None,
        ),
        (9, "3000", None, None),
        (11, "6b6579", None, None),
        (200, "01", None, None),
        (2, "", None, Some("")),
    ];
    for (kind, data, address, name) in rows {
        let data = hex(data);
        with(5, &[&[*kind, 17, 0x01, 0xf4][..], &data].concat(), |view| {
            let Body::Identification(id) = view else { panic!("{view:?}") };
            assert_eq!((id.kind, id.protocol, id.port, id.data), (IdKind(*kind), 17, 500, &data[..]));
            assert_eq!((id.address(), id.name()), (*address, *name), "{kind}");
        });
    }
}

//= RFC 2408 3.10/2, 3.9/2, 5.10/2, 5.9/2
//# MUST: certificate requests are accepted in any message of an exchange
//# MUST: certificate payloads are accepted in any message of an exchange
//# MUST: sending: a certificate request payload is constructed
//# MUST: sending: a certificate payload is constructed
#[test]
fn certificate_and_request_fields_are_those_of_rfc_2408_section_3_9() {
    for (kind, request) in [(6, false), (7, true)] {
        with(kind, &[4, 0x30, 0x00], |view| match (view, request) {
            (Body::Certificate(c), false) | (Body::CertificateRequest(c), true) => {
                assert_eq!((c.encoding, c.data), (CertificateEncoding::X509_SIGNATURE, &[0x30, 0][..]));
            }
            other => panic!("{other:?}"),
        });
    }
    with(7, &[4], |view| assert!(matches!(view, Body::CertificateRequest(c) if c.data.is_empty())));
}

//= RFC 2408 5.14/3
//# MUST: sending: a notification payload is constructed
#[test]
fn notification_fields_are_those_of_rfc_2408_section_3_14() {
    with(11, &hex("00000001 03 04 000e 01020304 aabb"), |view| {
        let Body::Notification(n) = view else { panic!("{view:?}") };
        assert_eq!((n.doi, n.protocol, n.kind), (Doi::IPSEC, ProtocolId::ESP, NotifyKind::NO_PROPOSAL_CHOSEN));
        assert_eq!((n.spi, n.data, n.number()), (&[1, 2, 3, 4][..], &[0xaa, 0xbb][..], None));
        assert!(n.kind.is_error());
    });
    with(11, &hex("00000001 01 10 8d28 a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8 00000007"), |view| {
        let Body::Notification(n) = view else { panic!("{view:?}") };
        assert_eq!((n.kind, n.spi.len(), n.number()), (NotifyKind::R_U_THERE, 16, Some(7)));
        assert!(!n.kind.is_error());
    });
}

//= RFC 2408 3.15/1, 5.15/5
//# MUST: all SPIs of a delete payload are of one protocol
//# MUST: sending: a delete payload is constructed
#[test]
fn delete_fields_are_those_of_rfc_2408_section_3_15() {
    with(12, &hex("00000001 03 04 0002 01020304 05060708"), |view| {
        let Body::Delete(d) = view else { panic!("{view:?}") };
        assert_eq!((d.doi, d.protocol, d.spi_size, d.spi_count), (Doi::IPSEC, ProtocolId::ESP, 4, 2));
        assert_eq!(d.spis().collect::<Vec<_>>(), [[1, 2, 3, 4], [5, 6, 7, 8]]);
    });
    with(12, &hex("00000001 03 04 0000"), |view| {
        assert!(matches!(view, Body::Delete(d) if d.spis().count() == 0));
    });
}

#[test]
fn mode_config_fields_are_those_of_the_draft_section_3_2() {
    with(14, &hex("01 00 1234 0001 0000 0003 0004 0a000001 c088 0000"), |view| {
        let Body::Config(c) = view else { panic!("{view:?}") };
        assert_eq!((c.kind, c.reserved, c.identifier, c.padding), (ConfigKind::REQUEST, 0, 0x1234, &[][..]));
        let attributes: Vec<_> = c.attributes.iter().map(|a| (a.kind, a.value)).collect();
        let address: &[u8] = &[10, 0, 0, 1];
        assert_eq!(attributes, [(1, Value::Variable(&[])), (3, Value::Variable(address)), (16520, Value::Basic(0))]);
    });
}

#[test]
fn nat_oa_fields_are_those_of_rfc_3947_section_5_2() {
    for kind in [21, 131] {
        for (text, expected) in [
            ("01 000000 c0000201", Some(IpAddr::from([192, 0, 2, 1]))),
            ("05 000000 20010db8000000000000000000000001", Some("2001:db8::1".parse().unwrap())),
            ("63 000000 01", None),
        ] {
            with(kind, &hex(text), |view| {
                let Body::NatOriginalAddress(o) = view else { panic!("{view:?}") };
                assert_eq!((o.address(), o.reserved), (expected, [0; 3]));
            });
        }
    }
}

#[test]
fn fragment_fields_are_read() {
    with(132, &hex("0102 03 81 aabb"), |view| {
        let Body::Fragment(f) = view else { panic!("{view:?}") };
        assert_eq!((f.id, f.number, f.flags, f.is_last(), f.data), (0x102, 3, 0x81, true, &[0xaa, 0xbb][..]));
    });
}

#[test]
fn encrypted_body_is_opaque_and_plaintext_parses_as_chain() {
    let mut bytes = raw(8, &[0xee; 16]);
    bytes[19] = 1;
    let message = Message::parse(&bytes).unwrap();
    assert!(message.is_encrypted());
    assert_eq!((message.ciphertext(), message.payloads().count()), (Some(&[0xee; 16][..]), 0));
    let plaintext = [&payload(10, &[1; 3])[..], &payload(0, &[2; 3]), &[0xab, 0xcd]].concat();
    let chain = Chain::decrypted(PayloadKind::HASH, &plaintext).unwrap();
    let seen: Vec<_> = chain.payloads().map(|p| (p.kind, p.offset, p.body.to_vec())).collect();
    assert_eq!(seen, [(PayloadKind::HASH, 28, vec![1; 3]), (PayloadKind::NONCE, 35, vec![2; 3])]);
    assert_eq!((chain.first(), chain.padding()), (PayloadKind::HASH, &[0xab, 0xcd][..]));
}

#[test]
fn attributes_parse_refuses_truncated_attribute() {
    for (text, expected) in
        [("", Some(0)), ("8001 0001", Some(1)), ("0001 0000 8002 0003", Some(2)), ("0001 0002 aabb", Some(1))]
    {
        assert_eq!(Attributes::parse(&hex(text)).ok().map(|list| list.iter().count()), expected, "{text}");
    }
    for text in ["80", "800100", "0001 0001", "8001 0001 00", "8001 0001 0002 0004 aabbcc", "0001 ffff"] {
        assert_eq!(Attributes::parse(&hex(text)), Err(Kind::TruncatedAttribute), "{text}");
    }
}
