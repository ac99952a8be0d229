//! Sealing, opening and every refusal work without allocation. A separate test binary, because the allocator is global.

mod common;

use common::*;
use esp_core::{
    EncryptedCounterIv, Inbound, OpenError, PadCheck, Padding, Resync, SealError, largest_payload, null_esp_heuristic,
    open_with, peek,
};
use ipsec_crypto::Aes128Cbc;
use ipsec_packet::{
    AntiReplay, Beet, Checksum, ChecksumRepair, Datagram, DestinationOptions, Ip, IpProto, Marker, NoReplay,
    OriginalAddresses, OuterFields, PacketBuf, Ports, ReplayWindow, Seq, SeqCounter, SeqWidth, Tunnel, UdpChecksum,
    adjust_checksum, clamp_tcp_mss, classify, close_gap, locate, open_gap, pop_udp, push_udp, repair_checksum,
    set_length, transport_position,
};
use test_vectors::support::allocation::{CountingAllocator, assert_operations_are_counted, without_allocation};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn allocator_counts_heap_operations() {
    assert_operations_are_counted();
}

/// Seals and opens packets of one SA with every outcome: success and each error.
fn seal_and_open_with_every_outcome(choice: &Choice, width: SeqWidth, padding: Padding) {
    let name = choice.name();
    let (mut tx, mut rx) = pair(choice, width);
    tx.set_padding(padding);
    rx.set_resync(Some(Resync { after: 0, tries: 2 }));
    let room = tx.overhead(700);
    let mut short = Framed::new(&[7; 700], room.front - 1, room.back);
    let mut short = short.packet();
    let refused = without_allocation(&name, || tx.seal(&mut short, IpProto::UDP, &mut |_, iv: &mut [u8]| iv.fill(7)));
    assert!(matches!(refused, Err(SealError::NoSpace(_))));

    let mut source = EncryptedCounterIv(Aes128Cbc::new(&[9; 16]));
    let mut framed = Framed::new(&[7; 700], room.front, room.back);
    let mut packet = framed.packet();
    assert_eq!(without_allocation(&name, || tx.seal(&mut packet, IpProto::UDP, &mut source)), Ok(Seq::new(1)));

    let good = packet.data().to_vec();
    let ending = |seq, trailer: [u8; 2]| crafted(&choice.suite(), seq, width, &[&[0; 30][..], &trailer].concat());
    let (unpadded, overlong, bad_pad) = (ending(2, [0, 17]), ending(3, [255, 17]), ending(4, [9, 17]));
    let changed = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let (wrong_spi, forged) = (changed(0), changed(good.len() - 1));
    let unaligned = good[..good.len() - 1].to_vec();
    let mut out = vec![0; good.len()];
    for (bytes, expected) in [
        (&good[..5], Err(OpenError::TooShort)),
        (&good[..9], Err(OpenError::TooShort)),
        (&unaligned, Err(OpenError::Unaligned)),
        (&wrong_spi, Err(OpenError::SpiMismatch { expected: spi(), found: spi().get() ^ 0x0100_0000 })),
        (&forged, Err(OpenError::IcvMismatch)),
        (&unpadded, Ok(30)),
        (&overlong, Err(OpenError::InvalidPadLength { pad_len: 255 })),
        (&bad_pad, Err(OpenError::InvalidPadding)),
        (&good, Ok(700.max(room_of(padding)))),
        (&good, Err(OpenError::Replayed(ipsec_packet::ReplayError::Duplicate))),
    ] {
        let mut copy = bytes.to_vec();
        let mut packet = PacketBuf::received(&mut copy);
        let opened = without_allocation(&name, || rx.open(&mut packet).map(|_| packet.len()));
        assert_eq!(opened, expected, "{name}");
        let again = without_allocation(&name, || rx.open_into(bytes, &mut out).map(|(_, inside)| inside.len()));
        assert!(again.is_err(), "{name}: a packet that was opened or refused before was accepted");
    }
    let mut copy = good.clone();
    let mut packet = PacketBuf::received(&mut copy);
    let suite = choice.suite();
    let pure = without_allocation(&name, || open_with(&suite, Seq::new(1), width, PadCheck::LengthOnly, &mut packet));
    assert!(pure.is_ok());
    assert!(without_allocation("an output buffer that is too short", || rx.open_into(&good, &mut out[1..]).is_err()));
}

fn room_of(padding: Padding) -> usize {
    if padding == Padding::MINIMAL { 0 } else { 1400 }
}

#[test]
fn seal_and_open_do_not_allocate_in_any_suite_or_error() {
    for choice in all_choices() {
        for width in WIDTHS {
            seal_and_open_with_every_outcome(&choice, width, Padding::MINIMAL);
        }
        seal_and_open_with_every_outcome(
            &choice,
            SeqWidth::Bits32,
            Padding::MINIMAL.to_boundary(128).at_least(20).tfc_to(1400),
        );
    }
}

#[test]
fn encryption_without_integrity_does_not_allocate() {
    for choice in without_integrity() {
        let (mut tx, mut rx) = pair(&choice, SeqWidth::Bits32);
        let mut packet = sealed(&mut tx, &[7; 700], IpProto::UDP);
        let mut packet = PacketBuf::received(&mut packet);
        assert!(without_allocation(choice.name(), || rx.open(&mut packet)).is_ok());
    }
}

#[test]
fn counters_and_windows_do_not_allocate() {
    let mut state = [0; ReplayWindow::<2048>::STATE];
    let results = without_allocation("windows and counters", || {
        let (mut window, mut counter) = (ReplayWindow::<2048>::new(), SeqCounter::new(SeqWidth::Extended64));
        let mut rx: Inbound<Option<()>, NoReplay> =
            Inbound::with_window(spi(), None, SeqWidth::Bits32, NoReplay::default());
        for seq in counter.reserve(1000).into_iter().flatten() {
            window.record(seq);
            rx.window_mut().record(window.reconstruct(7));
        }
        let exported = window.export(SeqWidth::Extended64, &mut state);
        let imported = ReplayWindow::<2048>::new().import(SeqWidth::Extended64, &state);
        let refused = window.import(SeqWidth::Bits32, &state);
        let counter = SeqCounter::new(SeqWidth::Extended64).import(&counter.export());
        (exported.is_ok(), imported.is_ok(), refused.is_err(), counter.is_ok())
    });
    assert_eq!(results, (true, true, true, true));
}

/// Returns an IPv4 packet with 8 octets of options and an IPv6 packet with hop-by-hop options, both with a TCP SYN of
/// MSS 1460.
fn packets() -> [Vec<u8>; 2] {
    let mut tcp = [0; 40];
    (tcp[12], tcp[13]) = (6 << 4, 2);
    tcp[20..24].copy_from_slice(&[2, 4, 5, 0xb4]);
    let v4 = [&[0x47, 0, 0, 0, 0, 7, 0, 0, 64, 6, 0, 0][..], &[192, 0, 2, 1], &[192, 0, 2, 2], &[1; 8], &tcp].concat();
    let v6 = [&[0x60, 0, 0, 0, 0, 0, 0, 64][..], &[0x20; 32], &[6, 0, 1, 4, 0, 0, 0, 0], &tcp].concat();
    [v4, v6].map(|mut packet| {
        set_length(&mut packet).unwrap();
        packet
    })
}

#[test]
fn tunnel_and_beet_mode_do_not_allocate() {
    let (a, b) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    let six = [0x2020; 8].into();
    for original in packets() {
        for (tx, rx) in [(Tunnel::v4(a, b), Tunnel::v4(b, a)), (Tunnel::v6(six, six), Tunnel::v6(six, six))] {
            let mut framed = Framed::new(&original, 40, 0);
            let mut packet = framed.packet();
            let seen = without_allocation("tunnel mode", || {
                let (outer, next) = tx.outer_for(packet.data_mut()).ok()?;
                outer.push(&mut packet, IpProto::ESP, 7).ok()?;
                let seen = OuterFields::read(&Ip::parse(packet.data()).ok()?);
                packet.pull_front(outer.overhead()).ok()?;
                let refused = rx.accept(&seen, IpProto::UDP, &mut packet).is_err();
                rx.check_endpoints(&seen).ok()?;
                rx.accept(&seen, next, &mut packet).ok()?;
                Some((seen, refused && outer.push(&mut PacketBuf::received(&mut []), next, 7).is_err()))
            });
            let (seen, refused) = seen.unwrap();
            assert!(refused && packet.data() == original);
            let beet = if original[0] >> 4 == 4 { Beet::v4(a, b) } else { Beet::v6(six, six) };
            let restored = without_allocation("BEET mode", || {
                let next = beet.strip(&mut packet).ok()?;
                let refused = beet.restore(&seen, IpProto::BEET, &mut PacketBuf::received(&mut [])).is_err();
                beet.restore(&seen, next, &mut packet).ok()?;
                Some(refused && beet.strip(&mut PacketBuf::received(&mut [])).is_err())
            });
            assert_eq!((restored, packet.len()), (Some(true), original.len()));
        }
    }
}

#[test]
fn transport_mode_and_udp_do_not_allocate() {
    for original in packets() {
        let mut framed = Framed::new(&original, 40, 0);
        let mut packet = framed.packet();
        let (source, destination) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let ports = Ports { source: 4500, destination: 4500 };
        let done = without_allocation("transport mode", || {
            let place = transport_position(packet.data(), DestinationOptions::Protected).ok()?;
            open_gap(&mut packet, place, 24, IpProto::ESP).ok()?;
            set_length(packet.data_mut()).ok()?;
            let found = locate(packet.data(), IpProto::ESP).ok()?;
            let refused = locate(packet.data(), IpProto::AH).is_err();
            close_gap(&mut packet, found, 24, place.next).ok()?;
            repair_checksum(packet.data_mut(), ChecksumRepair::Recompute).ok()?;
            let was = OriginalAddresses { source, destination };
            repair_checksum(packet.data_mut(), ChecksumRepair::Incremental(was)).ok()?;
            Some(refused && clamp_tcp_mss(packet.data_mut(), 1000).ok()?)
        });
        assert_eq!(done, Some(true));
        for (marker, checksum) in
            [(Marker::NonEsp, UdpChecksum::Zero), (Marker::NonIke, UdpChecksum::Computed { source, destination })]
        {
            let done = without_allocation("UDP encapsulation", || {
                push_udp(&mut packet, ports, marker, checksum).ok()?;
                let popped = pop_udp(&mut packet).ok()?;
                let esp = matches!(classify(packet.data(), marker), Datagram::Esp(_));
                let refused = push_udp(&mut PacketBuf::received(&mut []), ports, marker, checksum).is_err();
                packet.pull_front(marker.esp_offset()).ok()?;
                Some((esp, refused && pop_udp(&mut PacketBuf::received(&mut [])).is_err(), popped))
            });
            assert_eq!(done, Some((true, true, ports)));
        }
        let (sum, adjusted) = without_allocation("checksums and inspection", || {
            let sum = Checksum::new().over(packet.data()).finish();
            let inspected = (peek(packet.data()).is_ok(), null_esp_heuristic(packet.data()));
            std::hint::black_box(inspected);
            (sum, adjust_checksum(sum, &[1, 2], &[3, 4]))
        });
        assert_ne!(sum, adjusted);
    }
    let layout = gcm().layout();
    assert!(without_allocation("sizes", || largest_payload(layout, Padding::MINIMAL, 1480)).is_some());
}
