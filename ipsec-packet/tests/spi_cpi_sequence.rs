//! SPIs, CPIs and sequence numbers: wire encoding, reserved values and display; and the sequence number counter of an
//! outbound SA.

use ipsec_packet::{
    Cpi, ReplayError, ReservedCpi, ReservedSpi, Seq, SeqCounter, SeqWidth, SequenceExhausted, Spi, StateError,
};
use test_vectors::Random;

#[test]
fn sequence_number_splits_into_two_halves() {
    let seq = Seq::new(0x0102_0304_0506_0708);
    assert_eq!((seq.high(), seq.low()), ([1, 2, 3, 4], [5, 6, 7, 8]));
    assert_eq!(Seq::new(4_294_967_297).to_string(), "4294967297");
    assert_eq!(SequenceExhausted.to_string(), "sequence numbers exhausted");
}

#[test]
fn counter_import_refuses_number_beyond_width() {
    let state = |used: u64| [&[1, b'C', 32, 0][..], &used.to_be_bytes()].concat();
    let mut counter = SeqCounter::new(SeqWidth::Bits32);
    assert_eq!(counter.import(&state(0x1_0000_0000)), Err(StateError::Malformed));
    assert_eq!(counter.import(&state(0xffff_ffff)), Ok(()));
    assert_eq!(counter.peek(), Err(SequenceExhausted));
    assert_eq!(counter.import(&state(7)), Err(StateError::Outdated { held: 0xffff_ffff, offered: 7 }));
}

//= RFC 3948 1/3
//# MUST NOT: an SPI of zero is not used for ESP packets
#[test]
fn spi_is_big_endian_and_displays_as_hexadecimal() {
    let spi = Spi::new(0x0001_0203).unwrap();
    assert_eq!(spi.to_be_bytes(), [0, 1, 2, 3]);
    assert_eq!((format!("{spi}"), format!("{spi:?}")), ("0x00010203".into(), "0x00010203".into()));
    assert_eq!(Spi::new(0), Err(ReservedSpi(0)));
    assert_eq!(Spi::new(255), Err(ReservedSpi(255)));
    assert_eq!(ReservedSpi(255).to_string(), "SPI 255 is reserved");
}

#[test]
fn cpis_have_the_ranges_of_rfc_3173() {
    for value in 0..=u16::MAX {
        let cpi = Cpi::new(value);
        match value {
            0 | 64..=255 => assert_eq!(cpi, Err(ReservedCpi(value))),
            _ => {
                let cpi = cpi.unwrap();
                let ranges = (cpi.is_well_known(), cpi.is_negotiated(), cpi.is_private());
                assert_eq!(ranges, (value <= 63, (256..=61439).contains(&value), value >= 61440), "{value}");
                assert_eq!(cpi.get(), value);
            }
        }
    }
    assert_eq!((format!("{}", Cpi::DEFLATE), format!("{:?}", Cpi::LZS)), ("0x0002".into(), "0x0003".into()));
    assert_eq!(ReservedCpi(64).to_string(), "CPI 64 is reserved");
    assert_eq!((Cpi::OUI.get(), Cpi::DEFLATE.get(), Cpi::LZS.get(), Cpi::LZJH.get()), (1, 2, 3, 4));
}

#[test]
fn replay_errors_name_their_cause() {
    assert_eq!(ReplayError::Duplicate.to_string(), "sequence number was received before");
    assert_eq!(ReplayError::TooOld.to_string(), "sequence number is left of the window");
    assert_eq!(ReplayError::Zero.to_string(), "sequence number is 0");
}

const WIDTHS: [(SeqWidth, u8, u64); 2] = [(SeqWidth::Bits32, 32, 0xffff_ffff), (SeqWidth::Extended64, 64, u64::MAX)];

/// Builds the exported state of a counter: version 1, kind C, width, 0, last number used.
fn state(width: u8, used: u64) -> Vec<u8> {
    [&[1, b'C', width, 0][..], &used.to_be_bytes()].concat()
}

//= RFC 4303 2.2/1
//# MUST: the sender counts the sequence number up for each packet
#[test]
fn first_sequence_number_is_1() {
    for (width, ..) in WIDTHS {
        let mut counter = SeqCounter::new(width);
        assert_eq!((counter.last_used().get(), counter.peek()), (0, Ok(Seq::new(1))));
        assert_eq!([counter.advance(), counter.advance()], [Ok(Seq::new(1)), Ok(Seq::new(2))]);
        assert_eq!((counter.last_used().get(), counter.width()), (2, width));
    }
}

#[test]
fn counter_is_exhausted_after_the_last_number() {
    for (width, bits, last) in WIDTHS {
        let mut counter = SeqCounter::new(width);
        assert_eq!(counter.remaining(), last);
        assert_eq!(counter.import(&state(bits, last - 3)), Ok(()));
        assert_eq!(counter.reserve(4).map(|_| ()), Err(SequenceExhausted));
        assert_eq!(counter.remaining(), 3);
        let taken: Vec<_> = (0..5).map(|_| counter.advance().map(Seq::get)).collect();
        assert_eq!(taken, [Ok(last - 2), Ok(last - 1), Ok(last), Err(SequenceExhausted), Err(SequenceExhausted)]);
        assert_eq!((counter.peek(), counter.remaining(), counter.last_used().get()), (Err(SequenceExhausted), 0, last));
        assert_eq!(counter.reserve(0).map(Iterator::count), Ok(0));
        assert_eq!(counter.reserve(1).map(|_| ()), Err(SequenceExhausted));
        assert_eq!(counter.export(), *state(bits, last));
    }
}

#[test]
fn reserve_returns_the_last_sequence_numbers() {
    for (width, bits, last) in WIDTHS {
        let mut counter = SeqCounter::new(width);
        counter.import(&state(bits, last - 3)).unwrap();
        let run: Vec<_> = counter.reserve(3).unwrap().map(Seq::get).collect();
        assert_eq!(run, [last - 2, last - 1, last]);
        assert_eq!(counter.advance(), Err(SequenceExhausted));
    }
}

#[test]
fn reserved_and_single_numbers_never_overlap() {
    let (mut counter, mut random) = (SeqCounter::new(SeqWidth::Extended64), Random(1));
    let (mut taken, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        match random.below(3) {
            0 => taken.push(counter.advance().unwrap().get()),
            _ => runs.push(counter.reserve(random.below(20) as u32).unwrap()),
        }
    }
    taken.extend(runs.into_iter().flatten().map(Seq::get)); // reservations are used after later numbers were assigned
    taken.sort_unstable();
    assert_eq!(taken, (1..=counter.last_used().get()).collect::<Vec<_>>());
}

#[test]
fn exhausted_reservation_returns_none() {
    let mut run = SeqCounter::new(SeqWidth::Bits32).reserve(2).unwrap();
    assert_eq!([run.next(), run.next(), run.next(), run.next()], [Some(Seq::new(1)), Some(Seq::new(2)), None, None]);
}

#[test]
fn imported_counter_continues_after_the_exported_number() {
    for (width, bits, _) in WIDTHS {
        let mut counter = SeqCounter::new(width);
        counter.reserve(1000).unwrap();
        assert_eq!(counter.export(), *state(bits, 1000));
        let mut restarted = SeqCounter::new(width);
        assert_eq!(restarted.import(&counter.export()), Ok(()));
        assert_eq!(restarted.advance(), Ok(Seq::new(1001)));
    }
}

#[test]
fn import_refuses_lower_counter() {
    for (width, bits, _) in WIDTHS {
        let mut counter = SeqCounter::new(width);
        counter.reserve(1000).unwrap();
        for (used, verdict) in [
            (0, Err(StateError::Outdated { held: 1000, offered: 0 })),
            (999, Err(StateError::Outdated { held: 1000, offered: 999 })),
            (1000, Ok(())),
        ] {
            assert_eq!(counter.import(&state(bits, used)), verdict);
            assert_eq!(counter.last_used().get(), 1000);
        }
    }
}

#[test]
fn import_refuses_the_state_of_a_counter_of_another_width() {
    let mut counter = SeqCounter::new(SeqWidth::Bits32);
    let good = state(32, 77);
    for at in 0..4 {
        for flip in 1..=255 {
            let mut bad = good.clone();
            bad[at] ^= flip;
            let expected = if at == 0 { StateError::Version(bad[0]) } else { StateError::Malformed };
            assert_eq!(counter.import(&bad), Err(expected), "octet {at} ^ {flip}");
        }
    }
    for len in 0..good.len() {
        assert_eq!(counter.import(&good[..len]), Err(StateError::Malformed), "{len} octets");
    }
    for beyond in [0x1_0000_0000, u64::MAX] {
        assert_eq!(counter.import(&state(32, beyond)), Err(StateError::Malformed), "used {beyond:#x}");
    }
    assert_eq!(counter.import(&[&good[..], &[0]].concat()), Err(StateError::Malformed));
    assert_eq!(counter.last_used().get(), 0);
    assert_eq!(counter.import(&good), Ok(()));
}

//= RFC 4303 3.3.3/4
//# MUST: with anti-replay and manual keys, the counter is kept across reboots
#[test]
fn state_exported_ahead_repeats_no_number_after_a_crash() {
    let mut running = SeqCounter::new(SeqWidth::Bits32);
    for _ in 0..100 {
        running.advance().unwrap();
    }
    let stored = running.export_ahead(150);
    let used_before_the_crash: Vec<u64> = (0..150).map(|_| running.advance().unwrap().get()).collect();
    let mut restarted = SeqCounter::new(SeqWidth::Bits32);
    restarted.import(&stored).unwrap();
    let next = restarted.advance().unwrap().get();
    assert_eq!(next, 251);
    assert!(!used_before_the_crash.contains(&next));
    // The margin is limited by the last sequence number.
    assert_eq!(running.export_ahead(u64::MAX)[4..], 0xffff_ffff_u64.to_be_bytes());
}
