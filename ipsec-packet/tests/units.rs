//! Units: points in time, and anti-replay window sizes and byte lifetimes as setkey, PF_KEY, iproute2 and IKE give
//! them.

use std::time::Duration;

use ipsec_packet::{ByteLimit, Instant, ReplayWindow, WindowSize};

#[test]
fn instants_of_different_units_are_equal() {
    assert_eq!(Instant::from_secs(3), Instant::from_millis(3_000));
    assert_eq!(Instant::from_secs(3), Instant::from_micros(3_000_000));
    assert_eq!(Instant::from_secs(3), Instant::from_start(Duration::from_secs(3)));
    assert_eq!(Instant::from_micros(3_999_999).as_secs(), 3);
    assert_eq!(Instant::from_millis(1_500).since_start(), Duration::from_millis(1_500));
    assert_eq!(Instant::ZERO.as_micros(), 0);
}

#[test]
fn fractions_of_a_microsecond_are_dropped() {
    assert_eq!(Instant::ZERO + Duration::from_nanos(1_999), Instant::from_micros(1));
    assert_eq!(Instant::from_micros(u64::MAX).since_start(), Duration::from_micros(u64::MAX));
}

#[test]
fn arithmetic_saturates_at_both_ends() {
    let last = Instant::from_micros(u64::MAX);
    assert_eq!(Instant::from_secs(1) + Duration::MAX, last);
    assert_eq!((Instant::from_secs(u64::MAX), Instant::from_millis(u64::MAX)), (last, last));
    assert_eq!(last.saturating_add(Duration::from_micros(1)), last);
    assert_eq!(Instant::from_secs(1).saturating_duration_since(Instant::from_secs(2)), Duration::ZERO);
    assert_eq!(Instant::from_secs(5).saturating_duration_since(Instant::from_secs(2)), Duration::from_secs(3));
}

#[test]
fn seconds_are_printed_with_milliseconds() {
    assert_eq!(Instant::from_micros(61_007_999).to_string(), "61.007");
}

#[test]
fn bitmap_octets_are_eight_packets_each() {
    // setkey -r and PF_KEY count octets of the bitmap; iproute2 counts packets.
    let table = [(0, 0), (4, 32), (8, 64), (32, 256), (255, 2040), (256, 2048), (u32::MAX, u32::MAX)];
    for (octets, packets) in table {
        assert_eq!(WindowSize::bitmap_octets(octets), WindowSize::packets(packets), "{octets} octets");
    }
    let words =
        [(0, Some(1)), (1, Some(1)), (32, Some(1)), (33, Some(2)), (64, Some(2)), (65536, Some(2048)), (65537, None)];
    for (packets, words) in words {
        assert_eq!(WindowSize::packets(packets).words(), words, "{packets} packets");
    }
    assert_eq!(WindowSize::bitmap_octets(8).in_packets(), ReplayWindow::<2>::size());
}

#[test]
fn soft_byte_limit_is_80_percent_of_hard_limit() {
    let table = [(0, 0), (1, 1), (10, 8), (100, 80), (1_000_000, 800_000)];
    for (hard, soft) in table {
        assert_eq!((ByteLimit::octets(hard).hard(), ByteLimit::octets(hard).soft()), (hard, soft));
    }
    // racoon truncates kilobytes to 31 bits, which turns the largest IKE lifetime into a small one.
    assert_eq!(ByteLimit::kilobytes(0xffff_ffff).hard(), 0xffff_ffff * 1024);
    assert_eq!(ByteLimit::kilobytes(u64::MAX).hard(), u64::MAX);
    assert_eq!(ByteLimit::kilobytes(u64::MAX).soft(), u64::MAX - u64::MAX / 5);
    assert!(ByteLimit::kilobytes(1 << 54) >= ByteLimit::kilobytes((1 << 54) - 1));
}
