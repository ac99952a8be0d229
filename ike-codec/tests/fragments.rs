//! Reassembly of fragments in every order, and every error of a fragment.

mod common;

use ike_codec::{
    DecodeErrorKind, FragmentError, MAX_FRAGMENTS, Message, NoSpace, PayloadKind, Progress, Reassembly, write_fragment,
};

/// Builds a message with one fragment payload.
fn fragment(id: u16, number: u8, flags: u8, data: &[u8]) -> Vec<u8> {
    common::one(132, &[&id.to_be_bytes()[..], &[number, flags], data].concat())
}

fn add(reassembly: &mut Reassembly<'_>, bytes: &[u8]) -> Result<Progress, FragmentError> {
    reassembly.add(&Message::parse(bytes).unwrap())
}

/// Returns every permutation of `0..n` (Heap's algorithm).
fn permutations(n: usize) -> Vec<Vec<usize>> {
    fn permute(k: usize, order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if k <= 1 {
            return all.push(order.clone());
        }
        for i in 0..k {
            permute(k - 1, order, all);
            order.swap(if k.is_multiple_of(2) { i } else { 0 }, k - 1);
        }
    }
    let mut all = Vec::new();
    permute(n, &mut (0..n).collect(), &mut all);
    all
}

/// Returns pieces of unequal lengths, so that a wrong order is detected.
fn pieces(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| vec![i as u8 + 1; 3 + (i * 7) % 11]).collect()
}

#[test]
fn reassembly_completes_in_every_order() {
    for count in 1..=6 {
        let data = pieces(count);
        let whole = data.concat();
        let all = permutations(count);
        assert_eq!(all.len(), (1..=count).product::<usize>());
        for order in all {
            let (mut store, mut out) = ([0; 256], [0; 256]);
            let mut reassembly = Reassembly::new(&mut store);
            for (step, &index) in order.iter().enumerate() {
                assert_eq!(reassembly.message(&mut out), Err(NoSpace), "{order:?} at {step}");
                assert!(!reassembly.is_complete());
                let progress =
                    add(&mut reassembly, &fragment(9, index as u8 + 1, u8::from(index + 1 == count), &data[index]));
                let expected = if step + 1 == count { Progress::Complete } else { Progress::Stored };
                assert_eq!(progress, Ok(expected), "{order:?} at {step}");
            }
            assert!(reassembly.is_complete());
            assert_eq!(reassembly.message(&mut out).unwrap(), &whole[..], "{order:?}");
        }
    }
}

#[test]
fn recorded_fragments_are_reassembled_in_either_direction() {
    for set in common::fragment_sets() {
        for backwards in [false, true] {
            let (mut store, mut out) = (vec![0; 65_535], vec![0; 65_535]);
            let mut reassembly = Reassembly::new(&mut store);
            let mut fragments: Vec<_> = set.fragments.iter().collect();
            if backwards {
                fragments.reverse();
            }
            for bytes in fragments {
                add(&mut reassembly, bytes).unwrap();
            }
            let whole = reassembly.message(&mut out).unwrap();
            assert_eq!(whole, &set.reassembled[..], "{}", set.id);
            Message::parse(whole).unwrap();
        }
    }
}

#[test]
fn duplicate_fragment_is_ignored_before_and_after_completion() {
    let (mut store, mut out) = ([0; 64], [0; 64]);
    let mut reassembly = Reassembly::new(&mut store);
    let (first, last) = (fragment(1, 1, 0, b"abc"), fragment(1, 2, 1, b"de"));
    for (bytes, expected) in [
        (&last, Progress::Stored),
        (&last, Progress::Duplicate),
        (&first, Progress::Complete),
        (&first, Progress::Duplicate),
        (&last, Progress::Duplicate),
    ] {
        assert_eq!(add(&mut reassembly, bytes), Ok(expected));
    }
    assert_eq!(reassembly.message(&mut out).unwrap(), b"abcde");
}

#[test]
fn invalid_fragment_is_refused_and_changes_nothing() {
    let mut other_cookie = fragment(1, 2, 0, b"cd");
    other_cookie[15] ^= 1;
    let mut other_initiator = fragment(1, 2, 0, b"cd");
    other_initiator[0] ^= 1;
    let wrong: &[(&str, Vec<u8>, FragmentError)] = &[
        ("other octets", fragment(1, 1, 0, b"aB"), FragmentError::Conflict(1)),
        ("more octets", fragment(1, 1, 0, b"abc"), FragmentError::Conflict(1)),
        ("fewer octets", fragment(1, 1, 0, b"a"), FragmentError::Conflict(1)),
        ("no octets", fragment(1, 1, 0, b""), FragmentError::Conflict(1)),
        ("first fragment with last flag", fragment(1, 1, 1, b"ab"), FragmentError::Conflict(1)),
        ("last fragment without last flag", fragment(1, 3, 0, b"ef"), FragmentError::Conflict(3)),
        ("last fragment with other octets", fragment(1, 3, 1, b"eF"), FragmentError::Conflict(3)),
        ("second last fragment after the last", fragment(1, 4, 1, b"gh"), FragmentError::LastMismatch(4)),
        ("second last fragment before the last", fragment(1, 2, 1, b"cd"), FragmentError::LastMismatch(2)),
        ("number above the last", fragment(1, 4, 0, b"gh"), FragmentError::LastMismatch(4)),
        ("number 64 above the last", fragment(1, 64, 0, b"gh"), FragmentError::LastMismatch(64)),
        ("number above the maximum", fragment(1, 65, 0, b"gh"), FragmentError::NumberTooLarge(65)),
        ("number 255 with last flag", fragment(1, 255, 1, b"gh"), FragmentError::NumberTooLarge(255)),
        ("empty", fragment(1, 2, 0, b""), FragmentError::Empty(2)),
        ("other fragment ID", fragment(2, 2, 0, b"cd"), FragmentError::OtherMessage { id: 2 }),
        ("other responder cookie", other_cookie, FragmentError::OtherMessage { id: 1 }),
        ("other initiator cookie", other_initiator, FragmentError::OtherMessage { id: 1 }),
        ("too long", fragment(1, 2, 0, b"cde"), FragmentError::NoSpace),
        ("no fragment", common::one(13, b"vendor"), FragmentError::NotAFragment),
        ("no payload", common::raw(0, &[]), FragmentError::NotAFragment),
    ];
    for (name, bytes, expected) in wrong {
        let (mut store, mut out) = ([0; 6], [0; 6]);
        let mut reassembly = Reassembly::new(&mut store);
        assert_eq!(add(&mut reassembly, &fragment(1, 3, 1, b"ef")), Ok(Progress::Stored));
        assert_eq!(add(&mut reassembly, &fragment(1, 1, 0, b"ab")), Ok(Progress::Stored));
        assert_eq!(add(&mut reassembly, bytes), Err(*expected), "{name}");
        assert!(!reassembly.is_complete(), "{name}");
        assert_eq!(add(&mut reassembly, &fragment(1, 2, 0, b"cd")), Ok(Progress::Complete), "{name}");
        let late = add(&mut reassembly, bytes);
        assert!(late.is_err(), "{name} after completion: {late:?}");
        assert_eq!(reassembly.message(&mut out).unwrap(), b"abcdef", "{name}");
    }
}

#[test]
fn last_fragment_below_received_number_is_refused() {
    let mut store = [0; 64];
    let mut reassembly = Reassembly::new(&mut store);
    add(&mut reassembly, &fragment(1, 5, 0, b"ee")).unwrap();
    assert_eq!(add(&mut reassembly, &fragment(1, 4, 1, b"dd")), Err(FragmentError::LastMismatch(4)));
    assert_eq!(add(&mut reassembly, &fragment(1, 6, 1, b"ff")), Ok(Progress::Stored));
}

#[test]
fn refused_first_fragment_does_not_set_the_message() {
    let (mut store, mut out) = ([0; 4], [0; 4]);
    let mut reassembly = Reassembly::new(&mut store);
    assert_eq!(add(&mut reassembly, &fragment(7, 1, 1, b"")), Err(FragmentError::Empty(1)));
    assert_eq!(add(&mut reassembly, &fragment(7, 1, 1, b"12345")), Err(FragmentError::NoSpace));
    assert_eq!(add(&mut reassembly, &fragment(8, 1, 1, b"1234")), Ok(Progress::Complete));
    assert_eq!(reassembly.message(&mut out).unwrap(), b"1234");
}

#[test]
fn reassembly_needs_a_store_of_the_length_of_the_message() {
    for (capacity, expected) in [(10, Ok(Progress::Complete)), (9, Err(FragmentError::NoSpace))] {
        let mut store = vec![0; capacity];
        let mut reassembly = Reassembly::new(&mut store);
        add(&mut reassembly, &fragment(1, 2, 1, b"67890")).unwrap();
        assert_eq!(add(&mut reassembly, &fragment(1, 1, 0, b"12345")), expected, "{capacity}");
    }
    assert_eq!(add(&mut Reassembly::new(&mut []), &fragment(1, 1, 1, b"1")), Err(FragmentError::NoSpace));
}

#[test]
fn reassembled_message_needs_an_output_of_its_length() {
    let mut store = [0; 10];
    let mut reassembly = Reassembly::new(&mut store);
    add(&mut reassembly, &fragment(1, 2, 1, b"67890")).unwrap();
    add(&mut reassembly, &fragment(1, 1, 0, b"12345")).unwrap();
    assert_eq!(reassembly.message(&mut [0; 9]), Err(NoSpace));
    let mut out = [0xee; 11];
    assert_eq!(reassembly.message(&mut out).unwrap(), b"1234567890");
    assert_eq!(out[10], 0xee);
}

#[test]
fn reassembly_accepts_64_fragments_and_refuses_the_65th() {
    assert_eq!(MAX_FRAGMENTS, 64);
    for backwards in [false, true] {
        let (mut store, mut out) = ([0; 64 * 3], [0; 64 * 3]);
        let mut reassembly = Reassembly::new(&mut store);
        let mut numbers: Vec<u8> = (1..=64).collect();
        if backwards {
            numbers.reverse();
        }
        for (step, &number) in numbers.iter().enumerate() {
            let expected = if step == 63 { Progress::Complete } else { Progress::Stored };
            let got = add(&mut reassembly, &fragment(1, number, u8::from(number == 64), &[number; 3]));
            assert_eq!(got, Ok(expected), "{number}");
        }
        let expected: Vec<u8> = (1..=64).flat_map(|number| [number; 3]).collect();
        assert_eq!(reassembly.message(&mut out).unwrap(), &expected[..]);
        assert_eq!(add(&mut reassembly, &fragment(1, 65, 1, b"x")), Err(FragmentError::NumberTooLarge(65)));
    }
}

#[test]
fn reset_discards_all_state() {
    let (mut store, mut out) = ([0; 4], [0; 4]);
    let mut reassembly = Reassembly::new(&mut store);
    add(&mut reassembly, &fragment(1, 1, 1, b"1234")).unwrap();
    reassembly.reset();
    assert!(!reassembly.is_complete());
    assert_eq!(reassembly.message(&mut out), Err(NoSpace));
    assert_eq!(add(&mut reassembly, &fragment(2, 2, 1, b"cd")), Ok(Progress::Stored));
    assert_eq!(add(&mut reassembly, &fragment(2, 1, 0, b"ab")), Ok(Progress::Complete));
    assert_eq!(reassembly.message(&mut out).unwrap(), b"abcd");
}

#[test]
fn write_fragment_output_is_reassembled_for_any_fragment_size() {
    for record in common::messages() {
        let message = &record.hex[..];
        for size in (1..=message.len() + 3).step_by(if message.len() > 150 { 13 } else { 5 }) {
            let count = message.len().div_ceil(size);
            let (mut buf, mut store, mut out) = (vec![0; 1000], vec![0; message.len()], vec![0; message.len()]);
            if count > 64 {
                assert_eq!(write_fragment(&mut buf, message, 5, 1, size), Err(NoSpace));
                continue;
            }
            let mut reassembly = Reassembly::new(&mut store);
            for number in (1..=count as u8).rev() {
                let written = write_fragment(&mut buf, message, 5, number, size).unwrap().unwrap();
                let parsed = Message::parse_strict(written).unwrap();
                assert_eq!(parsed.header().next_payload, PayloadKind::FRAGMENT);
                assert_eq!(parsed.header().flags.0, 0);
                assert_eq!(parsed.header().message_id, Message::parse(message).unwrap().header().message_id);
                let whole = reassembly.add(&parsed);
                let expected = if number == 1 { Progress::Complete } else { Progress::Stored };
                assert_eq!(whole, Ok(expected));
            }
            assert_eq!(reassembly.message(&mut out).unwrap(), message, "{} in {size}", record.id);
            for number in [0, count as u8 + 1] {
                assert!(write_fragment(&mut buf, message, 5, number, size).unwrap().is_none());
            }
        }
    }
}

#[test]
fn write_fragment_refuses_short_buffer_and_short_message() {
    let message = common::one(13, &[7; 100]);
    for capacity in 0..28 + 8 + 50 {
        assert_eq!(write_fragment(&mut vec![0; capacity], &message, 1, 1, 50), Err(NoSpace), "{capacity}");
    }
    assert!(write_fragment(&mut [0; 28 + 8 + 50], &message, 1, 1, 50).unwrap().is_some());
    assert_eq!(write_fragment(&mut [0; 100], &message[..27], 1, 1, 50), Err(NoSpace));
    assert_eq!(write_fragment(&mut [0; 100], &vec![7; 256], 1, 1, 1), Err(NoSpace));
}

#[test]
fn write_fragment_writes_64_fragments_and_refuses_65() {
    let message = common::one(13, &[7; 32]);
    assert_eq!(message.len(), 64);
    for number in 1..=64 {
        let mut buf = [0; 50];
        let written = write_fragment(&mut buf, &message, 1, number, 1).unwrap().unwrap();
        let expected = fragment(1, number, u8::from(number == 64), &[message[usize::from(number) - 1]]);
        assert_eq!(written[28..], expected[28..], "{number}");
    }
    assert_eq!(write_fragment(&mut [0; 50], &message, 1, 65, 1), Ok(None));
    assert_eq!(write_fragment(&mut [0; 50], &common::one(13, &[7; 33]), 1, 1, 1), Err(NoSpace));
}

#[test]
fn parse_refuses_fragment_number_0() {
    let error = Message::parse(&fragment(1, 0, 1, b"x")).unwrap_err();
    assert_eq!((error.kind, error.offset), (DecodeErrorKind::FragmentNumber, 32));
}
