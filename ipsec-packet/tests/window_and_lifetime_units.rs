//! Anti-replay window sizes and byte lifetimes in the units of setkey, PF_KEY, iproute2 and IKE.

use ipsec_packet::{ByteLimit, ReplayWindow, WindowSize};

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
