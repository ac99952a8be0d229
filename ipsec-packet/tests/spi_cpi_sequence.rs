//! Wire encoding, reserved values and display of SPIs, CPIs and sequence numbers.

use ipsec_packet::{
    Cpi, ReplayError, ReservedCpi, ReservedSpi, Seq, SeqCounter, SeqWidth, SequenceExhausted, Spi, StateError,
};

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
fn cpi_ranges_of_rfc_3173() {
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
