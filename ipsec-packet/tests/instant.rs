//! Arithmetic of points in time.

use std::time::Duration;

use ipsec_packet::Instant;

#[test]
fn units_agree() {
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
