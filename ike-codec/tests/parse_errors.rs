//! Every error of the parsers with its offset: by payload for both parsers, and for the strict parser only.

mod common;

use common::{PROPOSAL, hex, one, payload, raw};
use ike_codec::DecodeErrorKind as Kind;
use ike_codec::{Message, PayloadKind};

/// Returns a message with a vendor ID and one changed octet.
fn with_octet(at: usize, to: u8) -> Vec<u8> {
    with_byte(at, to, &one(13, b"vendor"))
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
        ("header length one above", with_octet(27, 39), Kind::Truncated { declared: 39, received: 38 }, 24),
        ("header length one below", with_octet(27, 37), Kind::LengthMismatch { declared: 37, received: 38 }, 24),
        ("length 0", with_octet(27, 0), Kind::LengthMismatch { declared: 0, received: 38 }, 24),
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
        ("nonce of 7", one(10, &[7; 7]), Kind::NonceLength(7), 28),
        ("nonce of 257", one(10, &[7; 257]), Kind::NonceLength(257), 28),
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
            Kind::NonceLength(7),
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
