//! Fields of every payload kind, from hand-encoded octets after the diagrams of RFC 2407, 2408 and 3947, and every
//! parse error with its offset.

mod common;

use std::net::IpAddr;

use common::{hex, one, payload, raw};
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
//# MUST: sending: a header with the fields of section 3.1 is made
#[test]
fn header_fields_of_rfc_2408_3_1() {
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
//# MUST: sending: an SA payload is made
//# MUST: receiving: the proposals and transforms are processed
//# MUST: sending: a proposal payload is made
//# MUST: sending: a transform payload is made
//# MUST: receiving: further transforms and proposals are processed by the next payload field
#[test]
fn sa_fields_of_rfc_2407_4_6_1_and_rfc_2408_3_5_and_3_6() {
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

/// Proposal of one transform without attributes.
const PROPOSAL: &str = "00 00 0010  01 01 00 01  00 00 0008  01 01 0000";

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
//# MUST: the reserved fields behind the lengths of labels are zero
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
//# MUST: sending: an identification payload is made
#[test]
fn identification_fields_of_rfc_2407_4_6_2() {
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
//# MUST: sending: a certificate request payload is made
//# MUST: sending: a certificate payload is made
#[test]
fn certificate_and_request_fields_of_rfc_2408_3_9() {
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
//# MUST: sending: a notification payload is made
#[test]
fn notification_fields_of_rfc_2408_3_14() {
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
//# MUST: sending: a delete payload is made
#[test]
fn delete_fields_of_rfc_2408_3_15() {
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
fn mode_config_fields_of_draft_3_2() {
    with(14, &hex("01 00 1234 0001 0000 0003 0004 0a000001 c088 0000"), |view| {
        let Body::Config(c) = view else { panic!("{view:?}") };
        assert_eq!((c.kind, c.reserved, c.identifier, c.padding), (ConfigKind::REQUEST, 0, 0x1234, &[][..]));
        let attributes: Vec<_> = c.attributes.iter().map(|a| (a.kind, a.value)).collect();
        let address: &[u8] = &[10, 0, 0, 1];
        assert_eq!(attributes, [(1, Value::Variable(&[])), (3, Value::Variable(address)), (16520, Value::Basic(0))]);
    });
}

#[test]
fn nat_oa_fields_of_rfc_3947_5_2() {
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
fn fragment_fields() {
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

/// Returns a message with one modified octet.
fn with_octet(at: usize, to: u8) -> Vec<u8> {
    let mut bytes = one(13, b"vendor");
    bytes[at] = to;
    bytes
}

fn sa(rest: &str) -> Vec<u8> {
    one(1, &[&hex("00000001 00000001")[..], &hex(rest)].concat())
}

fn encrypted(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = raw(first, rest);
    bytes[19] = 1;
    bytes
}

/// Name, octets of the message, expected kind and offset of the error.
type Row = (&'static str, Vec<u8>, Kind, u16);

/// Asserts that both parsers refuse each message with this error.
#[track_caller]
fn refused(rows: &[Row]) {
    for (name, bytes, kind, offset) in rows {
        let error = Message::parse(bytes).err().unwrap_or_else(|| panic!("{name} is accepted"));
        assert_eq!((error.kind, error.offset), (*kind, *offset), "{name}");
        assert_eq!(Message::parse_strict(bytes).err(), Some(error), "{name}, strict");
        assert!(error.to_string().ends_with(&format!("at octet {offset}")), "{name}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{name}");
    }
}

/// Returns a message with a vendor ID of four octets, then these octets, which begin with a payload of this kind.
fn second(kind: u8, body: &[u8]) -> Vec<u8> {
    raw(13, &[&payload(kind, &[7; 4])[..], body].concat())
}

#[test]
fn invalid_length_or_version_of_the_header_is_refused() {
    let vendor = one(13, b"vendor");
    let long = [&vendor[..24], &66_000u32.to_be_bytes(), &vec![0; 66_000 - 28]].concat();
    refused(&[
        ("empty input", vec![], Kind::TooShort, 0),
        ("27 octets", vendor[..27].to_vec(), Kind::TooShort, 0),
        ("too long", long, Kind::TooLong, 0),
        ("IKEv2", with_octet(17, 0x20), Kind::Ikev2, 17),
        ("version 0", with_octet(17, 0x00), Kind::MajorVersion(0), 17),
        ("version 15", with_octet(17, 0xff), Kind::MajorVersion(15), 17),
        ("version 1.1", with_octet(17, 0x11), Kind::MinorVersion(1), 17),
        ("header length one above", with_octet(27, 39), Kind::Truncated { declared: 39 }, 24),
        ("header length one below", with_octet(27, 37), Kind::LengthMismatch { declared: 37 }, 24),
        ("length 0", with_octet(27, 0), Kind::LengthMismatch { declared: 0 }, 24),
    ]);
}

#[test]
fn invalid_chain_of_payloads_is_refused() {
    let (p, t) = (PayloadKind::PROPOSAL, PayloadKind::TRANSFORM);
    refused(&[
        ("first payload missing", raw(13, &[]), Kind::MissingPayload(PayloadKind::VENDOR_ID), 28),
        ("second payload missing", raw(13, &payload(10, &[7; 4])), Kind::MissingPayload(PayloadKind::NONCE), 36),
        ("truncated generic header", raw(13, &[0, 0, 0]), Kind::TruncatedPayload(PayloadKind::VENDOR_ID), 28),
        ("truncated body", second(10, &[0, 0, 0, 5]), Kind::TruncatedPayload(PayloadKind::NONCE), 36),
        ("length 3", second(10, &[0, 0, 0, 3]), Kind::PayloadLength(PayloadKind::NONCE), 36),
        ("first payload with length 0", raw(13, &[13, 0, 0, 0]), Kind::PayloadLength(PayloadKind::VENDOR_ID), 28),
        ("four trailing octets", second(0, &[0; 4]), Kind::TrailingData, 36),
        ("trailing octet that is not zero", second(0, &[1]), Kind::TrailingData, 36),
        ("octets without payload", raw(0, &[0; 4]), Kind::TrailingData, 28),
        ("IKEv2 payload", one(33, &[7; 4]), Kind::Ikev2Payload(PayloadKind(33)), 28),
        ("IKEv2 payload 53", second(53, &payload(0, &[])), Kind::Ikev2Payload(PayloadKind(53)), 36),
        ("proposal alone", one(2, &hex(PROPOSAL)), Kind::Misplaced(p), 28),
        ("transform alone", second(3, &payload(0, &[7; 4])), Kind::Misplaced(t), 36),
        (
            "fragment after another payload",
            second(132, &payload(0, &[0, 1, 1, 1])),
            Kind::Misplaced(PayloadKind::FRAGMENT),
            36,
        ),
        (
            "fragment before another payload",
            raw(132, &[&payload(13, &[0, 1, 1, 1])[..], &payload(0, b"x")].concat()),
            Kind::Misplaced(PayloadKind::FRAGMENT),
            28,
        ),
    ]);
}

//= RFC 2408 3.4/2, 3.4/3
//# MUST: an SA payload has a domain of interpretation
//# MUST: an SA payload has a situation
#[test]
fn sa_payload_without_doi_situation_or_proposal_is_refused() {
    let (p, sa_kind) = (PayloadKind::PROPOSAL, PayloadKind::SA);
    refused(&[
        ("SA without DOI", one(1, &[0; 3]), Kind::BodyTooShort(sa_kind), 32),
        ("SA without situation", one(1, &hex("00000001 000000")), Kind::BodyTooShort(sa_kind), 36),
        ("truncated label header", one(1, &hex("00000001 00000002 00000000 0009")), Kind::TruncatedLabels, 36),
        ("truncated label", one(1, &hex("00000001 00000002 00000000 0009 0000 0102")), Kind::TruncatedLabels, 36),
        ("no proposal", sa(""), Kind::MissingPayload(p), 40),
    ]);
}

#[test]
fn invalid_proposal_is_refused() {
    let (p, t) = (PayloadKind::PROPOSAL, PayloadKind::TRANSFORM);
    let count = |declared, found| Kind::TransformCount { declared, found };
    let transforms_256 = [&[0, 0, 8, 8, 1, 1, 0, 0][..], &hex("03 00 0008 01 01 0000").repeat(256)].concat();
    refused(&[
        ("truncated proposal", sa("00 00 0011  01 01 00 01  00 00 0008  01 01 0000"), Kind::TruncatedPayload(p), 40),
        ("proposal length", sa("00 00 0003  01 01 00 01"), Kind::PayloadLength(p), 40),
        ("proposal short", sa("00 00 0007  01 01 00"), Kind::BodyTooShort(p), 40),
        ("truncated SPI", sa("00 00 0009  01 03 04 01 00"), Kind::TruncatedPayload(p), 40),
        ("transform after a proposal", sa(&format!("03 {} {PROPOSAL}", &PROPOSAL[3..])), Kind::Misplaced(t), 56),
        ("octet after the proposals", sa(&format!("{PROPOSAL} 00")), Kind::TrailingData, 56),
        ("no transform", sa("00 00 0008  01 01 00 00"), count(0, 0), 40),
        ("no transform of one", sa("00 00 0008  01 01 00 01"), count(1, 0), 40),
        ("one transform of two", sa(&PROPOSAL.replace("00 01  00", "00 02  00")), count(2, 1), 40),
        ("one transform of 255", sa(&PROPOSAL.replace("00 01  00", "00 ff  00")), count(255, 1), 40),
        (
            "256 transforms",
            one(
                1,
                &[&hex("00000001 00000001")[..], &payload(0, &[&[1, 1, 0, 0][..], &transforms_256[8..]].concat())]
                    .concat(),
            ),
            count(0, 255),
            40,
        ),
    ]);
}

#[test]
fn invalid_transform_is_refused() {
    let (p, t) = (PayloadKind::PROPOSAL, PayloadKind::TRANSFORM);
    refused(&[
        ("truncated transform", sa("00 00 0010  01 01 00 01  00 00 0009  01 01 0000"), Kind::TruncatedPayload(t), 48),
        ("transform length", sa("00 00 0010  01 01 00 01  00 00 0003  01 01 0000"), Kind::PayloadLength(t), 48),
        ("transform short", sa("00 00 000f  01 01 00 01  00 00 0007  01 01 00"), Kind::BodyTooShort(t), 48),
        ("proposal for transform", sa("00 00 0010 01 01 00 01  02 00 0008 01 01 0000"), Kind::Misplaced(p), 56),
        ("second transform missing", sa("00 00 0010 01 01 00 02  03 00 0008 01 01 0000"), Kind::MissingPayload(t), 56),
        ("octet after the transforms", sa("00 00 0011 01 01 00 01  00 00 0008 01 01 0000 00"), Kind::TrailingData, 56),
    ]);
}

#[test]
fn truncated_attribute_of_a_transform_is_refused() {
    refused(&[
        (
            "truncated attribute header",
            sa("00 00 0017 01 01 00 01  00 00 000f 01 01 0000 8001 0001 800200"),
            Kind::TruncatedAttribute,
            60,
        ),
        (
            "truncated attribute value",
            sa("00 00 0018 01 01 00 01  00 00 0010 01 01 0000 8001 0001 0002 0001"),
            Kind::TruncatedAttribute,
            60,
        ),
        (
            "truncated attribute of the second transform",
            sa("00 00 001c 01 01 00 02  03 00 0008 01 01 0000  00 00 000c 02 01 0000 0001 ffff"),
            Kind::TruncatedAttribute,
            64,
        ),
    ]);
}

#[test]
fn invalid_body_of_other_payloads_is_refused() {
    refused(&[
        ("ID short", one(5, &[1, 0, 0]), Kind::BodyTooShort(PayloadKind::ID), 32),
        ("ID of IPv4 with 3", one(5, &[1, 0, 0, 0, 1, 2, 3]), Kind::AddressLength(PayloadKind::ID), 32),
        ("ID of a subnet with 4", one(5, &[4, 0, 0, 0, 1, 2, 3, 4]), Kind::AddressLength(PayloadKind::ID), 32),
        ("CERT empty", one(6, &[]), Kind::BodyTooShort(PayloadKind::CERTIFICATE), 32),
        ("CERTREQ empty", one(7, &[]), Kind::BodyTooShort(PayloadKind::CERTIFICATE_REQUEST), 32),
        ("notification short", one(11, &[0; 7]), Kind::BodyTooShort(PayloadKind::NOTIFICATION), 32),
        (
            "truncated notification SPI",
            one(11, &hex("00000001 03 04 000e 010203")),
            Kind::TruncatedPayload(PayloadKind::NOTIFICATION),
            32,
        ),
        (
            "notification without SPI",
            one(11, &hex("00000001 03 04 000e")),
            Kind::TruncatedPayload(PayloadKind::NOTIFICATION),
            32,
        ),
        ("delete short", one(12, &[0; 7]), Kind::BodyTooShort(PayloadKind::DELETE), 32),
        (
            "delete with too few SPIs",
            one(12, &hex("00000001 03 04 0002 01020304")),
            Kind::SpiCount { count: 2, size: 4 },
            32,
        ),
        (
            "delete with too many SPIs",
            one(12, &hex("00000001 03 04 0000 01020304")),
            Kind::SpiCount { count: 0, size: 4 },
            32,
        ),
        (
            "delete with 65535 SPIs",
            one(12, &hex("00000001 03 ff ffff")),
            Kind::SpiCount { count: 65_535, size: 255 },
            32,
        ),
        ("config short", one(14, &[1, 0, 0]), Kind::BodyTooShort(PayloadKind::CONFIG), 32),
        (
            "truncated config attribute",
            one(14, &hex("01 00 0000 0001 0000 0003 0004 0a0000")),
            Kind::TruncatedAttribute,
            40,
        ),
        ("config padding", one(14, &hex("01 00 0000 0001 0000 000001")), Kind::TruncatedAttribute, 40),
        ("NAT-OA short", one(21, &[1, 0, 0]), Kind::BodyTooShort(PayloadKind::NAT_ORIGINAL_ADDRESS), 32),
        (
            "NAT-OA length",
            one(131, &[5, 0, 0, 0, 1, 2, 3, 4]),
            Kind::AddressLength(PayloadKind::NAT_ORIGINAL_ADDRESS_DRAFT),
            32,
        ),
        ("fragment short", one(132, &[0, 1, 1]), Kind::BodyTooShort(PayloadKind::FRAGMENT), 32),
        ("fragment 0", one(132, &[0, 1, 0, 1]), Kind::FragmentNumber, 32),
    ]);
}

#[test]
fn invalid_encrypted_message_is_refused() {
    let p = PayloadKind::PROPOSAL;
    refused(&[
        ("ciphertext empty", encrypted(5, &[]), Kind::EncryptedLength, 28),
        ("ciphertext of 7", encrypted(5, &[7; 7]), Kind::EncryptedLength, 28),
        ("ciphertext of 12", encrypted(5, &[7; 12]), Kind::EncryptedLength, 28),
        ("encrypted without payload", encrypted(0, &[7; 8]), Kind::TrailingData, 28),
        ("encrypted proposal", encrypted(2, &[7; 8]), Kind::Misplaced(p), 16),
        ("encrypted IKEv2", encrypted(46, &[7; 8]), Kind::Ikev2Payload(PayloadKind(46)), 16),
    ]);
}

/// Returns a copy of the message with this octet changed.
fn with_byte(at: usize, to: u8, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = to;
    bytes
}

//= RFC 2407 4.6.2/6
//# MUST: the reserved octet of the generic header is zero
//= RFC 2408 5.10/3, 5.14/9, 5.15/10, 5.2/6, 5.2/8, 5.2/9, 5.8/3
//# MUST: receiving: a request of an invalid encoding is discarded
//# MUST: receiving: a notification of a protocol that is not supported is discarded
//# MUST: receiving: a delete payload of a protocol that is not supported is discarded
//# MUST: receiving: a message with an invalid next payload is discarded
//# MUST: receiving: a message of an invalid exchange type is discarded
//# MUST: receiving: a message with wrong flags is discarded
//# MUST: receiving: a message of an identification type that is not supported is discarded
#[test]
fn parse_strict_error_has_kind_and_offset_and_parse_accepts() {
    let vendor = one(13, b"vendor");
    let zero_cookie = [&[0; 8][..], &vendor[8..]].concat();
    let good_sa = sa(PROPOSAL);
    let rows: &[Row] = &[
        ("zero cookie", zero_cookie, Kind::ZeroCookie, 0),
        ("no payload", raw(0, &[]), Kind::Empty(PayloadKind::NONE), 16),
        ("exchange 0", with_byte(18, 0, &vendor), Kind::Unassigned, 18),
        ("exchange 200", with_byte(18, 200, &vendor), Kind::Unassigned, 18),
        ("flag 0x08", with_byte(19, 8, &vendor), Kind::Reserved, 19),
        ("flag 0x80", with_byte(19, 0x80, &vendor), Kind::Reserved, 19),
        ("reserved octet", with_byte(29, 1, &vendor), Kind::Reserved, 28),
        ("proposal's reserved octet", with_byte(41, 1, &good_sa), Kind::Reserved, 40),
        ("unknown kind", one(100, b"x"), Kind::Unassigned, 28),
        ("unknown protocol", with_byte(45, 9, &good_sa), Kind::Unassigned, 40),
        ("unknown DOI", one(1, &hex("00000009 00")), Kind::Unassigned, 28),
        ("nonce of 7", one(10, &[7; 7]), Kind::NonceLength, 28),
        ("nonce of 257", one(10, &[7; 257]), Kind::NonceLength, 28),
        ("empty KE", one(4, &[]), Kind::Empty(PayloadKind::KEY_EXCHANGE), 28),
        ("empty hash", one(8, &[]), Kind::Empty(PayloadKind::HASH), 28),
        ("empty signature", one(9, &[]), Kind::Empty(PayloadKind::SIGNATURE), 28),
        ("empty vendor ID", one(13, &[]), Kind::Empty(PayloadKind::VENDOR_ID), 28),
        ("empty NAT-D", one(20, &[]), Kind::Empty(PayloadKind::NAT_DETECTION), 28),
        ("unknown ID type", one(5, &[99, 0, 0, 0]), Kind::Unassigned, 28),
        ("unknown encoding", one(6, &[99]), Kind::Unassigned, 28),
        ("unknown encoding requested", one(7, &[99]), Kind::Unassigned, 28),
        ("unknown protocol of a notification", one(11, &hex("00000001 09 00 000e")), Kind::Unassigned, 28),
        ("unknown protocol of a delete", one(12, &hex("00000001 09 04 0000")), Kind::Unassigned, 28),
        ("unknown config type", one(14, &[99, 0, 0, 0]), Kind::Unassigned, 28),
        ("config reserved", one(14, &[1, 1, 0, 0]), Kind::Reserved, 28),
        ("NAT-OA reserved", one(21, &[1, 0, 1, 0, 1, 2, 3, 4]), Kind::Reserved, 28),
        (
            "the second payload",
            raw(13, &[&payload(10, b"x")[..], &payload(0, &[7; 7])].concat()),
            Kind::NonceLength,
            33,
        ),
    ];
    let mut scratch = [0; 1000];
    for (name, bytes, kind, offset) in rows {
        let error = Message::parse_strict(bytes).err().unwrap_or_else(|| panic!("{name} is accepted"));
        assert_eq!((error.kind, error.offset), (*kind, *offset), "{name}");
        let lenient = Message::parse(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(lenient.write(&mut scratch).unwrap(), &bytes[..], "{name}");
    }
}

#[test]
fn parse_strict_refuses_reserved_octets_of_a_transform() {
    let good_sa = sa(PROPOSAL);
    for at in [49, 54, 55] {
        let error = Message::parse_strict(&with_byte(at, 1, &good_sa)).unwrap_err();
        assert_eq!(error.kind, Kind::Reserved, "reserved octet of a transform at {at}");
    }
}

#[test]
fn parse_strict_accepts_valid_payloads_and_limits_of_the_nonce_length() {
    for (name, good) in [
        ("vendor ID", one(13, b"vendor")),
        ("SA", sa(PROPOSAL)),
        ("nonce of 8", one(10, &[7; 8])),
        ("nonce of 256", one(10, &[7; 256])),
        ("certificate request", one(7, &[4])),
    ] {
        Message::parse_strict(&good).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
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
