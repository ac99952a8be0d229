//! Error messages: each is a single line, distinct, and contains the values of its variant.

use ike_codec::DecodeErrorKind as Kind;
use ike_codec::{AttributeError, FragmentError, Header, NoSpace, PayloadKind, StreamError};

/// Verifies that each message is a single line, distinct from the others, and contains the given words.
fn check(rows: &[(String, &[&str])]) {
    for (index, (text, words)) in rows.iter().enumerate() {
        assert!(!text.trim().is_empty() && text.lines().count() == 1, "row {index}: {text:?}");
        for word in *words {
            assert!(text.contains(word), "{word} is missing in {text:?}");
        }
        assert!(rows[..index].iter().all(|(other, _)| other != text), "duplicate message {text:?}");
    }
}

#[test]
fn decode_error_names_field_and_values() {
    let nonce = PayloadKind::NONCE;
    let rows: Vec<(String, &[&str])> = [
        (Kind::TooShort, &[][..]),
        (Kind::TooLong, &["65535"]),
        (Kind::Ikev2, &["IKEv2"]),
        (Kind::MajorVersion(7), &["major", "7"]),
        (Kind::MinorVersion(7), &["minor", "7"]),
        (Kind::Truncated { declared: 77_777, received: 38 }, &["77777", "38"]),
        (Kind::LengthMismatch { declared: 77_777, received: 38 }, &["77777", "38"]),
        (Kind::MissingPayload(nonce), &["nonce"]),
        (Kind::TruncatedPayload(nonce), &["nonce"]),
        (Kind::PayloadLength(nonce), &["nonce"]),
        (Kind::TrailingData, &[]),
        (Kind::Ikev2Payload(PayloadKind(46)), &["IKEv2", "46"]),
        (Kind::Misplaced(nonce), &["nonce"]),
        (Kind::BodyTooShort(nonce), &["nonce"]),
        (Kind::TransformCount { declared: 77, found: 88 }, &["77", "88"]),
        (Kind::TruncatedAttribute, &["attribute"]),
        (Kind::SpiCount { count: 777, size: 88 }, &["777", "88"]),
        (Kind::AddressLength(PayloadKind::ID), &["identification"]),
        (Kind::TruncatedLabels, &["labels"]),
        (Kind::FragmentNumber, &["fragment"]),
        (Kind::EncryptedLength, &["ciphertext"]),
        (Kind::Reserved, &["reserved"]),
        (Kind::Unassigned, &["unassigned"]),
        (Kind::NonceLength(7), &["nonce", "7", "8", "256"]),
        (Kind::ZeroCookie, &["cookie"]),
        (Kind::Empty(nonce), &["nonce"]),
    ]
    .map(|(kind, words)| (kind.to_string(), words))
    .into();
    check(&rows);
    let error = Header::parse(&[0; 27]).unwrap_err();
    assert_eq!(error.to_string(), format!("{} at octet 0", Kind::TooShort));
}

#[test]
fn fragment_error_names_fragment_number() {
    let rows: Vec<(String, &[&str])> = [
        (FragmentError::NotAFragment, &[][..]),
        (FragmentError::OtherMessage { id: 777 }, &["777"]),
        (FragmentError::NumberTooLarge(77), &["77", "64"]),
        (FragmentError::Conflict(7), &["7"]),
        (FragmentError::LastMismatch(7), &["7"]),
        (FragmentError::Empty(7), &["7"]),
        (FragmentError::NoSpace, &["buffer"]),
    ]
    .map(|(error, words)| (error.to_string(), words))
    .into();
    check(&rows);
}

#[test]
fn attribute_error_names_attribute_type() {
    let rows: Vec<(String, &[&str])> = [
        (AttributeError::Duplicate(77), &["77"][..]),
        (AttributeError::OutOfRange(77), &["77"]),
        (AttributeError::UnpairedLifetime, &["life"]),
    ]
    .map(|(error, words)| (error.to_string(), words))
    .into();
    check(&rows);
}

#[test]
fn stream_error_and_no_space_name_the_cause() {
    check(&[
        (StreamError::NoPrefix.to_string(), &["IKETCP"]),
        (StreamError::FrameLength(1).to_string(), &["1"]),
        (NoSpace.to_string(), &["space"]),
    ]);
}
