//! Sequence numbers and the anti-replay window of an SA, including mistakes known from other implementations.

mod common;

use std::cell::Cell;
use std::collections::BTreeSet;

use common::*;
use esp_core::{Inbound, OpenError, Outbound, Resync, SealError};
use ipsec_crypto::{AnySuite, EspParts, IcvMismatch, Layout, Suite};
use ipsec_packet::{AntiReplay, IpProto, NoReplay, PacketBuf, ReplayError, ReplayWindow, Seq, SeqWidth};

fn packet(seq: u64, width: SeqWidth) -> Vec<u8> {
    sealed(&mut sender_at(&gcm(), width, seq), b"inside", IpProto::UDP)
}

fn open<S: Suite, W: AntiReplay>(rx: &mut Inbound<S, W>, packet: &[u8]) -> Result<u64, OpenError> {
    let opened = rx.open(&mut PacketBuf::received(&mut packet.to_vec()))?;
    Ok(opened.seq.get())
}

fn receiver<W>(width: SeqWidth, window: W) -> Inbound<AnySuite, W> {
    Inbound::with_window(spi(), gcm().suite(), width, window)
}

const DUPLICATE: Result<u64, OpenError> = Err(OpenError::Replayed(ReplayError::Duplicate));
const TOO_OLD: Result<u64, OpenError> = Err(OpenError::Replayed(ReplayError::TooOld));

//= RFC 4303 3.4.3/5
//# MUST: each received number is verified to be no duplicate during the life of the SA
#[test]
fn open_refuses_a_replayed_packet() {
    for width in WIDTHS {
        let mut rx = receiver(width, ReplayWindow::<2>::new());
        for seq in [1, 2, 5, 4, 64, 63] {
            assert_eq!(open(&mut rx, &packet(seq, width)), Ok(seq));
            assert_eq!(open(&mut rx, &packet(seq, width)), DUPLICATE);
        }
    }
}

#[test]
fn open_refuses_packets_below_the_window() {
    for width in WIDTHS {
        let mut rx = receiver(width, ReplayWindow::<2>::new());
        assert_eq!(open(&mut rx, &packet(10, width)), Ok(10));
        assert_eq!(open(&mut rx, &packet(100, width)), Ok(100));
        for (seq, expected) in [(10, TOO_OLD), (9, TOO_OLD), (36, TOO_OLD), (37, Ok(37)), (37, DUPLICATE)] {
            // With ESN a sequence number below the window is taken for one of the next subspace, and the ICV fails.
            let expected = match (width, expected) {
                (SeqWidth::Extended64, TOO_OLD) => Err(OpenError::IcvMismatch),
                _ => expected,
            };
            assert_eq!(open(&mut rx, &packet(seq, width)), expected, "sequence number {seq}, {width:?}");
        }
    }
}

//= RFC 2406 3.4.3/12
//# MUST: a packet is authenticated before the window is updated
#[test]
fn modified_sequence_number_does_not_move_the_window() {
    for width in WIDTHS {
        let mut rx = receiver(width, ReplayWindow::<2>::new());
        for seq in 1..=5 {
            assert_eq!(open(&mut rx, &packet(seq, width)), Ok(seq));
        }
        let before = window_state(rx.window());
        for far in [6u32, 70, 0x7fff_ffff, 0xffff_ffff, 0] {
            let mut forged = packet(6, width);
            forged[4..8].copy_from_slice(&far.to_be_bytes());
            forged[20] ^= 1;
            assert!(open(&mut rx, &forged).is_err());
            assert_eq!(window_state(rx.window()), before, "sequence number {far}");
        }
        assert_eq!(open(&mut rx, &packet(6, width)), Ok(6));
    }
}

/// Opens every sequence number of [top - 2W, top + 2W], shuffled, twice; a number above the top moves the window.
fn check_numbers_around<const WORDS: usize>(width: SeqWidth, top: u64) {
    let size = u64::from(ReplayWindow::<WORDS>::size());
    let mut rx = receiver(width, ReplayWindow::<WORDS>::with_top(Seq::new(top)));
    let (mut seen, mut highest) = (BTreeSet::new(), top);
    let (low, high) = (top.saturating_sub(2 * size).max(1), top.saturating_add(2 * size));
    let high = if width == SeqWidth::Bits32 { high.min(0xffff_ffff) } else { high };
    let below = (low..=top).filter(|seq| seq % 3 != 0);
    let shuffled = (0..=high - low).map(|n| low + n * 7919 % (high - low + 1));
    for seq in below.rev().chain(shuffled.clone()).chain(shuffled) {
        let expected = if u128::from(seq) + u128::from(size) <= u128::from(highest) {
            TOO_OLD
        } else if seen.contains(&seq) {
            DUPLICATE
        } else {
            Ok(seq)
        };
        let expected = match (width, expected) {
            // As in the test above; but after the last subspace there is none that the number could be taken for.
            (SeqWidth::Extended64, TOO_OLD) if seq >> 32 != 0xffff_ffff => Err(OpenError::IcvMismatch),
            _ => expected,
        };
        assert_eq!(open(&mut rx, &packet(seq, width)), expected, "sequence number {seq}, top {highest}, window {size}");
        if expected.is_ok() {
            seen.insert(seq);
            highest = highest.max(seq);
        }
        assert_eq!(rx.window().top().get(), highest);
    }
}

//= RFC 4303 2.2/3, 3.4.3/5
//# MUST: sequence numbers can be generated and verified as 3.3.3 and 3.4.3 say
//# MUST: each received number is verified to be no duplicate during the life of the SA
#[test]
fn every_number_around_the_window_is_accepted_once_or_refused() {
    for (width, top) in [
        (SeqWidth::Bits32, 1),
        (SeqWidth::Bits32, 200),
        (SeqWidth::Bits32, 0xffff_ff80),
        (SeqWidth::Extended64, 200),
        (SeqWidth::Extended64, 0xffff_fff0),
        (SeqWidth::Extended64, 0x1_0000_0010),
        (SeqWidth::Extended64, 0x7_0000_0000),
        (SeqWidth::Extended64, u64::MAX - 200),
    ] {
        check_numbers_around::<1>(width, top);
        check_numbers_around::<2>(width, top);
        check_numbers_around::<3>(width, top);
    }
    check_numbers_around::<32>(SeqWidth::Bits32, 5000);
    check_numbers_around::<32>(SeqWidth::Extended64, 0x2_0000_0100);
}

#[test]
fn old_packet_of_the_last_subspace_is_refused() {
    let (top, old) = (u64::MAX - 1, 0xffff_ffff_0000_0005);
    let mut rx = receiver(SeqWidth::Extended64, ReplayWindow::<2>::with_top(Seq::new(top)));
    let before = window_state(rx.window());
    assert!(open(&mut rx, &packet(old, SeqWidth::Extended64)).is_err(), "a replay from far below the window");
    assert_eq!(window_state(rx.window()), before);
    assert_eq!(open(&mut rx, &packet(u64::MAX, SeqWidth::Extended64)), Ok(u64::MAX));
}

#[test]
fn sequence_number_0_is_refused_but_low_half_0_is_valid() {
    let zero = crafted(&gcm().suite(), 0, SeqWidth::Bits32, &[1, 2, 2, 59]);
    let mut rx = receiver(SeqWidth::Bits32, ReplayWindow::<2>::new());
    assert_eq!(open(&mut rx, &zero), Err(OpenError::Replayed(ReplayError::Zero)));
    let zero = crafted(&gcm().suite(), 0, SeqWidth::Extended64, &[1, 2, 2, 59]);
    for top in [0, 1, 0xffff_fff0, 0xffff_ffff] {
        let mut rx = receiver(SeqWidth::Extended64, ReplayWindow::<2>::with_top(Seq::new(top)));
        assert_eq!(open(&mut rx, &zero), Err(OpenError::IcvMismatch), "top {top}");
        let wrapped = packet(1 << 32, SeqWidth::Extended64);
        assert_eq!(open(&mut rx, &wrapped), Ok(1 << 32), "top {top}");
        assert_eq!(open(&mut rx, &wrapped), DUPLICATE);
    }
}

//= RFC 4303 3.4.3/4
//# MUST: the receive counter is zero when the SA is established
#[test]
fn initial_window_determines_the_accepted_first_packet() {
    for (window, seq, expected) in [
        (ReplayWindow::<2>::new(), 1, Ok(1)),
        (ReplayWindow::new(), 5000, Ok(5000)),
        (ReplayWindow::new(), 0xffff_ffff, Ok(0xffff_ffff)),
        (ReplayWindow::starting_at(Seq::new(5000)), 4999, TOO_OLD),
        (ReplayWindow::starting_at(Seq::new(5000)), 5000, Ok(5000)),
        (ReplayWindow::starting_at(Seq::new(5000)), 9000, Ok(9000)),
        (ReplayWindow::with_top(Seq::new(5000)), 4936, TOO_OLD),
        (ReplayWindow::with_top(Seq::new(5000)), 4937, Ok(4937)),
        (ReplayWindow::with_top(Seq::new(5000)), 5000, Ok(5000)),
    ] {
        let mut rx = receiver(SeqWidth::Bits32, window);
        assert_eq!(open(&mut rx, &packet(seq, SeqWidth::Bits32)), expected, "sequence number {seq}");
    }
}

//= RFC 4303 3.3.3/1
//# MUST NOT: a packet is sent that would make the number cycle
#[test]
fn seal_refuses_after_the_last_sequence_number() {
    for (width, last) in [(SeqWidth::Bits32, 0xffff_ffff), (SeqWidth::Extended64, u64::MAX)] {
        let mut tx = sender_at(&gcm(), width, last);
        let mut rx = receiver(width, ReplayWindow::<2>::with_top(Seq::new(last - 1)));
        assert_eq!(open(&mut rx, &sealed(&mut tx, b"inside", IpProto::UDP)), Ok(last));
        for _ in 0..3 {
            let mut framed = Framed::new(b"inside", 64, 64);
            let before = framed.bytes.clone();
            let refused = tx.seal(&mut framed.packet(), IpProto::UDP, &mut test_iv);
            assert_eq!((refused, framed.bytes), (Err(SealError::SequenceExhausted), before));
            assert_eq!(tx.reserve(1).map(|_| ()), Err(SealError::SequenceExhausted));
        }
        assert_eq!(tx.counter().remaining(), 0);
    }
}

//= RFC 4303 2.2.1/1
//# SHOULD: extended sequence numbers are implemented
#[test]
fn esn_crosses_the_subspace_in_and_out_of_order() {
    let mut tx = sender_at(&gcm(), SeqWidth::Extended64, 0xffff_fff0);
    let packets: Vec<_> = (0..32).map(|_| sealed(&mut tx, b"inside", IpProto::UDP)).collect();
    let mut rx = receiver(SeqWidth::Extended64, ReplayWindow::<2>::with_top(Seq::new(0xffff_ffef)));
    for n in (0..32).map(|n| n ^ 17) {
        assert_eq!(open(&mut rx, &packets[n]), Ok(0xffff_fff0 + n as u64));
    }
    assert!(packets.iter().all(|packet| open(&mut rx, packet) == DUPLICATE));
}

//= RFC 4303 3.4.3/1, 3.4.3/10
//# MUST: anti-replay is supported, to be enabled for each SA
//# SHOULD: a window of 64 packets is the default
#[test]
fn default_window_is_64_and_no_replay_accepts_replays() {
    let (mut tx, mut rx) = pair(&gcm(), SeqWidth::Bits32);
    let packets: Vec<_> = (0..70).map(|_| sealed(&mut tx, b"inside", IpProto::UDP)).collect();
    assert_eq!(open(&mut rx, &packets[69]), Ok(70));
    assert_eq!([open(&mut rx, &packets[5]), open(&mut rx, &packets[6])], [TOO_OLD, Ok(7)]);
    let mut rx = receiver(SeqWidth::Bits32, NoReplay::default());
    assert_eq!([70, 1, 1].map(|seq| open(&mut rx, &packets[seq - 1])), [Ok(70), Ok(1), Ok(1)]);
}

//= RFC 4303 3.4.3/9
//# MUST: windows of 32 packets are supported
#[test]
fn window_covers_its_size_in_sequence_numbers() {
    fn width_of<const WORDS: usize>() {
        let size = u64::from(ReplayWindow::<WORDS>::size());
        assert_eq!(size, WORDS as u64 * 32);
        let mut rx = receiver(SeqWidth::Bits32, ReplayWindow::<WORDS>::new());
        let top = 3 * size + 1;
        assert_eq!(open(&mut rx, &packet(top, SeqWidth::Bits32)), Ok(top));
        assert_eq!(open(&mut rx, &packet(top - size, SeqWidth::Bits32)), TOO_OLD);
        for _ in 0..2 {
            let accepted =
                (top - size - 2..=top).filter(|seq| rx.window().check(Seq::new(*seq)).is_ok()).count() as u64;
            assert_eq!(accepted, size - 1);
        }
        let oldest = top - size + 1;
        assert_eq!(open(&mut rx, &packet(oldest, SeqWidth::Bits32)), Ok(oldest));
        assert_eq!(open(&mut rx, &packet(oldest, SeqWidth::Bits32)), DUPLICATE);
    }
    width_of::<1>();
    width_of::<2>();
    width_of::<4>();
    width_of::<33>();
    width_of::<2048>();
}

/// Suite that counts its calls of `open`.
struct Counted<'c> {
    suite: AnySuite,
    opens: &'c Cell<u32>,
}

impl Suite for Counted<'_> {
    fn layout(&self) -> Layout {
        self.suite.layout()
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.suite.seal(parts);
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.opens.set(self.opens.get() + 1);
        self.suite.open(parts)
    }
}

const FORGED: Result<u64, OpenError> = Err(OpenError::IcvMismatch);

/// The rows are: resync, high-order half that the sender has reached, and for each packet acceptance and ICV checks.
//= RFC 4303 A3/1
//# SHOULD: with ESN, a receiver finds its place again after 2^32 packets were lost
#[test]
fn resync_accepts_a_sender_ahead_within_its_bounds() {
    type Results<'v> = &'v [(bool, u32)];
    let cases: &[(Option<Resync>, u64, Results<'_>)] = &[
        (None, 3, &[(false, 1), (false, 1), (false, 1)]),
        (Some(Resync { after: 2, tries: 3 }), 3, &[(false, 1), (false, 1), (true, 4), (true, 1)]),
        (Some(Resync { after: 2, tries: 9 }), 3, &[(false, 1), (false, 1), (true, 4), (true, 1)]),
        (Some(Resync { after: 2, tries: 2 }), 3, &[(false, 1), (false, 1), (false, 3), (false, 3)]),
        (Some(Resync { after: 0, tries: 1 }), 1, &[(true, 2), (true, 1)]),
        (Some(Resync { after: 0, tries: 0 }), 1, &[(false, 1), (false, 1)]),
        (Some(Resync { after: 0, tries: 255 }), 256, &[(false, 256), (false, 256)]),
        (Some(Resync { after: 0, tries: 255 }), 255, &[(true, 256), (true, 1)]),
        (Some(Resync { after: u32::MAX, tries: 255 }), 1, &[(false, 1), (false, 1)]),
    ];
    for (resync, high, results) in cases {
        let opens = Cell::new(0);
        let window = ReplayWindow::<2>::with_top(Seq::new(1000));
        let suite = Counted { suite: gcm().suite(), opens: &opens };
        let mut rx = Inbound::with_window(spi(), suite, SeqWidth::Extended64, window);
        rx.set_resync(*resync);
        for (seq, (accepted, tries)) in (*high << 32 | 2000..).zip(*results) {
            opens.set(0);
            let before = window_state(rx.window());
            let expected = if *accepted { Ok(seq) } else { FORGED };
            assert_eq!(open(&mut rx, &packet(seq, SeqWidth::Extended64)), expected, "{resync:?}");
            assert_eq!(opens.get(), *tries, "{resync:?}");
            assert_eq!(window_state(rx.window()) == before, !accepted);
        }
    }
}

#[test]
fn resync_does_not_accept_old_packets() {
    let mut rx = receiver(SeqWidth::Extended64, ReplayWindow::<2>::with_top(Seq::new(0x5_0000_0400)));
    rx.set_resync(Some(Resync { after: 0, tries: 50 }));
    let before = window_state(rx.window());
    for old in [1, 0x400, 0x4_ffff_ffff, 0x5_0000_0001, 0x5_0000_03c0] {
        assert_eq!(open(&mut rx, &packet(old, SeqWidth::Extended64)), FORGED, "sequence number {old:#x}");
        assert_eq!(window_state(rx.window()), before);
    }
    assert_eq!(open(&mut rx, &packet(0x5_0000_03c1, SeqWidth::Extended64)), Ok(0x5_0000_03c1));
}

#[test]
fn any_valid_packet_resets_the_resync_count() {
    let mut rx = receiver(SeqWidth::Extended64, ReplayWindow::<2>::new());
    rx.set_resync(Some(Resync { after: 2, tries: 5 }));
    let ahead = packet(0x1_0000_4000, SeqWidth::Extended64);
    for seq in 1..20 {
        assert_eq!([open(&mut rx, &ahead), open(&mut rx, &ahead)], [FORGED, FORGED]);
        assert_eq!(open(&mut rx, &packet(seq, SeqWidth::Extended64)), Ok(seq));
        assert_eq!(open(&mut rx, &packet(seq, SeqWidth::Extended64)), DUPLICATE); // a replay is not counted
    }
    assert_eq!([open(&mut rx, &ahead), open(&mut rx, &ahead)], [FORGED, FORGED]);
    assert_eq!(open(&mut rx, &ahead), Ok(0x1_0000_4000));
}

#[test]
fn resync_does_nothing_without_esn_or_after_the_last_subspace() {
    let mut rx = receiver(SeqWidth::Bits32, ReplayWindow::<2>::new());
    rx.set_resync(Some(Resync { after: 0, tries: 255 }));
    assert_eq!(open(&mut rx, &packet(0x1_0000_0001, SeqWidth::Extended64)), FORGED);
    let mut rx = receiver(SeqWidth::Extended64, ReplayWindow::<2>::with_top(Seq::new(u64::MAX - 0x1_0000_0000)));
    rx.set_resync(Some(Resync { after: 0, tries: 255 }));
    let mut forged = packet(u64::MAX, SeqWidth::Extended64);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(open(&mut rx, &forged), FORGED);
    assert_eq!(open(&mut rx, &packet(u64::MAX, SeqWidth::Extended64)), Ok(u64::MAX));
}

#[test]
fn reserved_sequence_numbers_are_not_used_by_seal() {
    let mut tx: Outbound<AnySuite> = pair(&gcm(), SeqWidth::Bits32).0;
    let run: Vec<_> = tx.reserve(5).unwrap().map(Seq::get).collect();
    let next = sealed(&mut tx, b"inside", IpProto::UDP);
    assert_eq!((run, &next[4..8]), (vec![1, 2, 3, 4, 5], &[0, 0, 0, 6][..]));
}

#[test]
fn modified_and_replayed_packets_do_not_change_the_sa() {
    // Lifetimes are charged for the packets that `open` returns; all others must leave the SA unchanged.
    for width in WIDTHS {
        let mut rx = receiver(width, ReplayWindow::<2>::new());
        let genuine = packet(70, width);
        assert_eq!(open(&mut rx, &genuine), Ok(70));
        let before = window_state(rx.window());
        let mut charged = 0;
        for round in 0..200 {
            let mut forged = packet(71 + round, width);
            let at = forged.len() - 1 - (round as usize % 8);
            forged[at] ^= 0x10;
            for attack in [&forged, &genuine, &packet(1, width)[..20].to_vec()] {
                charged += usize::from(open(&mut rx, attack).is_ok());
            }
        }
        assert_eq!((charged, window_state(rx.window())), (0, before));
        assert_eq!(open(&mut rx, &packet(71, width)), Ok(71));
    }
}

//= RFC 4303 3.4.3/2
//# MUST NOT: anti-replay is enabled without integrity
#[test]
fn replay_window_is_unused_without_integrity() {
    for choice in without_integrity() {
        let mut rx = Inbound::with_window(spi(), choice.suite(), SeqWidth::Bits32, ReplayWindow::<2>::new());
        let before = window_state(rx.window());
        let far = sealed(&mut sender_at(&choice, SeqWidth::Bits32, 0xffff_ffff), b"inside", IpProto::UDP);
        let near = sealed(&mut sender_at(&choice, SeqWidth::Bits32, 5), b"inside", IpProto::UDP);
        assert_eq!(open(&mut rx, &far), Ok(0xffff_ffff), "{}", choice.name());
        assert_eq!(open(&mut rx, &near), Ok(5), "{}", choice.name());
        assert_eq!(window_state(rx.window()), before);
    }
}
