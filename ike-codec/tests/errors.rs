//! What errors say: one line each, no two alike, with the numbers they carry.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use ike_codec::DecodeErrorKind as Kind;
use ike_codec::{AttributeError, FragmentError, Header, NoSpace, PayloadKind, StreamError};

/// Texts that are one line each, no two alike, and have the words given.
fn check(rows: &[(String, &[&str])]) {
    for (index, (text, words)) in rows.iter().enumerate() {
        assert!(!text.trim().is_empty() && text.lines().count() == 1, "row {index}: {text:?}");
        for word in *words {
            assert!(text.contains(word), "{word} is not in {text:?}");
        }
        assert!(rows[..index].iter().all(|(other, _)| other != text), "{text:?} is there twice");
    }
}

#[test]
fn every_refusal_of_a_parser_says_what_is_wrong() {
    let nonce = PayloadKind::NONCE;
    let rows: Vec<(String, &[&str])> = [
        (Kind::TooShort, &[][..]),
        (Kind::TooLong, &["65535"]),
        (Kind::Ikev2, &["IKEv2"]),
        (Kind::MajorVersion(7), &["major", "7"]),
        (Kind::MinorVersion(7), &["minor", "7"]),
        (Kind::Truncated { declared: 77_777 }, &["77777"]),
        (Kind::WrongLength { declared: 77_777 }, &["77777"]),
        (Kind::Dangling(nonce), &["nonce"]),
        (Kind::Cut(nonce), &["nonce"]),
        (Kind::PayloadLength(nonce), &["nonce"]),
        (Kind::UnparsedBytes, &[]),
        (Kind::Ikev2Payload(PayloadKind(46)), &["IKEv2", "46"]),
        (Kind::Misplaced(nonce), &["nonce"]),
        (Kind::BodyTooShort(nonce), &["nonce"]),
        (Kind::TransformCount { declared: 77, found: 88 }, &["77", "88"]),
        (Kind::AttributeCut, &["attribute"]),
        (Kind::SpiCount { count: 777, size: 88 }, &["777", "88"]),
        (Kind::AddressLength(PayloadKind::ID), &["identification"]),
        (Kind::LabelsCut, &["labels"]),
        (Kind::FragmentNumber, &["fragment"]),
        (Kind::EncryptedLength, &["encrypted"]),
        (Kind::Reserved, &["reserved"]),
        (Kind::Unassigned, &["unassigned"]),
        (Kind::NonceLength, &["nonce", "8", "256"]),
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
fn every_fragment_that_is_not_taken_has_its_reason() {
    let rows: Vec<(String, &[&str])> = [
        (FragmentError::NotAFragment, &[][..]),
        (FragmentError::OtherMessage { id: 777 }, &["777"]),
        (FragmentError::TooMany(77), &["77", "64"]),
        (FragmentError::Conflict(7), &["7"]),
        (FragmentError::BehindTheLast(7), &["7"]),
        (FragmentError::Empty(7), &["7"]),
        (FragmentError::NoSpace, &["buffer"]),
    ]
    .map(|(error, words)| (error.to_string(), words))
    .into();
    check(&rows);
}

#[test]
fn attributes_that_make_no_sense_are_named() {
    let rows: Vec<(String, &[&str])> = [
        (AttributeError::Duplicate(77), &["77"][..]),
        (AttributeError::NotANumber(77), &["77"]),
        (AttributeError::UnpairedLifetime, &["life"]),
    ]
    .map(|(error, words)| (error.to_string(), words))
    .into();
    check(&rows);
}

#[test]
fn a_stream_that_ends_and_a_buffer_that_is_full_say_so() {
    check(&[
        (StreamError::NoPrefix.to_string(), &["IKETCP"]),
        (StreamError::FrameLength(1).to_string(), &["1"]),
        (NoSpace.to_string(), &["space"]),
    ]);
}
