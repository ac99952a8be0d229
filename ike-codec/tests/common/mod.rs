//! Helpers of the tests: hand-made messages, the records of the test vectors, and functions that read every field of a
//! message.
#![allow(dead_code)]

use std::hint::black_box;

use ike_codec::{Body, Chain, IpsecAttributes, Message, OakleyAttributes, Payload, Quirks};
use test_vectors::{IsakmpFragmentsRecord, IsakmpRecord, Record};

/// Proposal of one transform without attributes.
pub const PROPOSAL: &str = "00 00 0010  01 01 00 01  00 00 0008  01 01 0000";

/// Decodes hexadecimal digits, ignoring white space.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    test_vectors::from_hex(&digits).unwrap()
}

/// Builds a main mode message of the given octets after the header (RFC 2408 section 3.1).
pub fn raw(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = hex("a1a2a3a4a5a6a7a8 b1b2b3b4b5b6b7b8 00 10 02 00 00000000 00000000");
    message[16] = first;
    message.extend_from_slice(rest);
    fix_length(&mut message);
    message
}

/// Builds a payload with its generic header.
pub fn payload(next: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[next, 0][..], &length, body].concat()
}

/// Builds a message of one payload.
pub fn one(kind: u8, body: &[u8]) -> Vec<u8> {
    raw(kind, &payload(0, body))
}

/// Sets the length field of the header to the actual length.
pub fn fix_length(message: &mut [u8]) {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    message[24..28].copy_from_slice(&length);
}

fn all_records() -> Vec<Record> {
    let files = test_vectors::record_files(&test_vectors::data().join("ikev1")).unwrap();
    files.iter().flat_map(|file| test_vectors::read_file(file).unwrap()).map(|located| located.record).collect()
}

/// Returns the records of valid messages, which every parser accepts.
pub fn messages() -> Vec<IsakmpRecord> {
    let only = |record| if let Record::Isakmp(record) = record { Some(*record) } else { None };
    let found: Vec<_> = all_records().into_iter().filter_map(only).collect();
    assert!(found.len() >= 50, "only {} messages", found.len());
    found
}

/// Returns the octets of all messages of the records, including malformed ones and fragments.
pub fn corpus() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for record in all_records() {
        match record {
            Record::Isakmp(record) => found.push(record.hex.0),
            Record::IsakmpBytes(record) => found.push(record.hex.0),
            Record::IsakmpFragments(record) => found.extend(record.fragments.into_iter().map(|f| f.0)),
            other => panic!("{other:?}"),
        }
    }
    assert!(found.len() >= 100, "only {} messages", found.len());
    found
}

/// Returns the records of fragmented messages.
pub fn fragment_sets() -> Vec<IsakmpFragmentsRecord> {
    let only = |record| if let Record::IsakmpFragments(record) = record { Some(*record) } else { None };
    let found: Vec<_> = all_records().into_iter().filter_map(only).collect();
    assert!(found.len() >= 2);
    found
}

/// Reads every field of a payload. Returns the number of octets of its attributes, so that nothing is optimised away.
pub fn walk_payload(payload: &Payload<'_>) -> usize {
    black_box((payload.length(), payload.kind.name()));
    let mut seen = 0;
    match payload.view() {
        Body::SecurityAssociation(sa) => {
            for proposal in sa.proposals() {
                assert_eq!(proposal.transforms().count(), usize::from(proposal.transform_count));
                for transform in proposal.transforms() {
                    seen += walk_attributes(&transform.attributes);
                    black_box(OakleyAttributes::read(&transform.attributes).is_ok());
                    black_box(IpsecAttributes::read(&transform.attributes).is_ok());
                }
            }
        }
        Body::Identification(id) => {
            black_box((id.address(), id.name()));
        }
        Body::Notification(notification) => {
            black_box((notification.number(), notification.kind.is_error()));
        }
        Body::Delete(delete) => {
            let octets: usize = delete.spis().map(<[u8]>::len).sum();
            assert_eq!(octets, delete.spi_bytes.len());
        }
        Body::Config(config) => seen += walk_attributes(&config.attributes),
        Body::NatOriginalAddress(original) => {
            black_box(original.address());
        }
        Body::Fragment(fragment) => {
            assert_ne!(fragment.number, 0);
            black_box(fragment.is_last());
        }
        other => {
            black_box(other);
        }
    }
    seen
}

fn walk_attributes(attributes: &ike_codec::Attributes<'_>) -> usize {
    let mut seen = 0;
    for attribute in attributes {
        black_box(attribute.number());
        seen += 4 + attribute.bytes().map_or(0, <[u8]>::len);
        assert!(attributes.find(attribute.kind).is_some());
    }
    assert_eq!(seen, attributes.bytes().len(), "the attributes must fill their list");
    seen
}

/// Reads every payload of a chain, and verifies that the payloads fill the chain and start at their stated offsets.
pub fn walk_chain(chain: &Chain<'_>) {
    let mut at = 28usize;
    for payload in chain.payloads() {
        assert_eq!(usize::from(payload.offset), at);
        walk_payload(&payload);
        at += payload.length();
    }
    assert_eq!(at, 28 + chain.bytes().len());
}

/// Reads every field of a message and writes it again. Returns whether the written octets are the same.
pub fn walk(message: &Message<'_>, bytes: &[u8], scratch: &mut [u8]) -> bool {
    walk_chain(message.chain());
    black_box(Quirks::of(message));
    message.write(scratch).is_ok_and(|written| written == bytes)
}
