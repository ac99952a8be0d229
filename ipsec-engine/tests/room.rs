//! Too little room in the buffer, dummies, and IPComp's oddities.

mod common;
mod world;

use common::{Gateway, ip, udp};
use ipsec_engine::{Counter, Direction, DiscardReason, Disposition, Protocol};
use ipsec_packet::{IpError, IpProto, PacketBuf, Seq};
use std::time::Duration;
use world::*;

/// Sends with so much room in front and behind.
fn send_in(a: &mut Gateway, packet: &[u8], front: usize, back: usize) -> (Disposition, Vec<u8>) {
    let mut bytes = vec![0xee; front + packet.len() + back];
    bytes[front..front + packet.len()].copy_from_slice(packet);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, front, packet.len()).unwrap();
    let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(3);
    let disposition = a.engine.outbound(a.now, &mut buffer, &mut iv);
    (disposition, buffer.data().to_vec())
}

#[test]
fn no_room_leaves_everything_as_it_was() {
    let t = format!("{A}-{B}");
    for (sas, action) in [
        (esp(A, B, 0x1001, "-m tunnel"), format!("esp/tunnel/{t}/require")),
        (esp(A, B, 0x1001, "-m tunnel").replace("esp ", "esp-udp "), format!("esp/tunnel/{t}/require")),
        (
            esp(A, B, 0x1001, "-m tunnel") + &ah(A, B, 0x1002, "-m transport"),
            format!("esp/tunnel/{t}/require ah/transport//require"),
        ),
        (
            esp(A, B, 0x1001, "-m tunnel") + &ah(A, B, 0x1002, "-m tunnel"),
            format!("esp/tunnel/{t}/require ah/tunnel/{t}/require"),
        ),
    ] {
        let new = || tunnel(&sas, &format!("ipsec {action}")).0;
        let enough = |front, back| send_in(&mut new(), &inner(), front, back).0 == Disposition::Send;
        let front = (0..200).find(|&front| enough(front, 200)).unwrap();
        let back = (0..200).find(|&back| enough(front, back)).unwrap();
        for (less_front, less_back) in [(front - 1, back), (front, back - 1), (0, 0), (0, 500), (500, 0)] {
            let mut a = new();
            let (disposition, data) = send_in(&mut a, &inner(), less_front, less_back);
            assert!(
                matches!(disposition, Disposition::Discard(DiscardReason::Malformed(IpError::NoSpace(_)))),
                "{action}"
            );
            assert_eq!(data, inner());
            assert!(
                a.engine.sas().all(|sa| sa.usage.packets == 0
                    && sa.sa.unwrap().transform().sequence().is_some_and(|seq| seq.get() == 0))
            );
            let counted = counted(&a);
            assert_eq!(counted, [(Direction::Outbound, Counter::NoSpace, 1)], "{action}");
        }
        assert!(
            send_in(&mut new(), &inner(), front, back).1.len() == inner().len() + front + back,
            "not an octet more"
        );
    }
}

#[test]
fn ipcomp_without_room_goes_out_as_it_is_and_does_not_come_in() {
    let packet = udp(A, B, 1, 2, &[7; 1000]);
    let (mut a, mut b) = hosts(&ipcomp(A, B, 0x1100, "-m transport"), "ipsec ipcomp/transport//require");
    let (disposition, plain) = send_in(&mut a, &packet, 0, 0);
    assert_eq!((disposition, plain), (Disposition::Send, packet.clone()));
    assert_eq!(
        counted(&a),
        [(Direction::Outbound, Counter::Processed, 1), (Direction::Outbound, Counter::Uncompressed, 1)]
    );
    let mut wire = a.send(&packet).unwrap();
    let mut buffer = PacketBuf::received(&mut wire);
    let disposition = b.engine.inbound(b.now, &mut buffer);
    assert!(matches!(disposition, Disposition::Discard(DiscardReason::Ipcomp(_))), "{disposition:?}");
    assert_eq!(count(&b, Direction::Inbound, Counter::Ipcomp) + count(&b, Direction::Inbound, Counter::NoSpace), 1);
}

//= RFC 4303 2.6/3
#[test]
fn dummies_are_discarded_without_an_error() {
    let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    for payload in [&[0][..], &[1, 2, 3], &[0; 1000]] {
        let wire = a.send(&ip(A, B, IpProto(59), payload)).unwrap();
        refused_and_wiped(&mut b, &wire, DiscardReason::Dummy);
    }
    assert_eq!(count(&b, Direction::Inbound, Counter::Dummy), 3);
    assert_eq!(b.engine.poll_audit(), None);
    assert_eq!(b.engine.sas().next().unwrap().usage.packets, 3, "they are charged");
}

/// An IP packet that says "no next header" itself has nothing to protect in transport mode. It is what it was, not a dummy,
/// which has something that means nothing.
#[test]
fn a_packet_without_content_is_no_dummy() {
    let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
    let empty = ip(A, B, IpProto(59), &[]);
    let wire = a.send(&empty).unwrap();
    delivered(&mut b, &wire, &empty);
}

/// IPComp by hand: this payload as a block of DEFLATE that is stored.
fn stored(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_le_bytes();
    [&[next, 0, 0x11, 0, 1, length[0], length[1], !length[0], !length[1]][..], payload].concat()
}

#[test]
fn nested_ipcomp_is_refused() {
    let (_, mut b) = hosts(&ipcomp(A, B, 0x1100, "-m transport"), "ipsec ipcomp/transport//require");
    let payload = &host()[20..];
    let once = stored(17, payload);
    assert_eq!(b.receive(&ip(A, B, IpProto::IPCOMP, &once)), (Disposition::Deliver, host()));
    let twice = ip(A, B, IpProto::IPCOMP, &stored(108, &once));
    refused_as_it_was(&mut b, &twice, DiscardReason::Ipcomp(ipcomp_core::DecompressError::Nested));
}

fn noise() -> Vec<u8> {
    udp("10.1.2.3", "10.2.3.4", 1, 2, &[9; 20])
}

#[test]
fn a_packet_not_worth_compressing_comes_by_any_living_sa() {
    let action = format!("ipsec ipcomp/tunnel/{A}-{B}/require");
    let sas = ipcomp(A, B, 0x1100, "-m tunnel -lh 60") + &ipcomp(A, B, 0x1101, "-m tunnel");
    let (mut a, mut b) = tunnel(&sas, &action);
    carries(&mut a, &mut b, &noise());
    (a.now, b.now) = (a.now + Duration::from_secs(60), b.now + Duration::from_secs(60));
    carries(&mut a, &mut b, &noise());
}

#[test]
fn a_packet_not_worth_compressing_is_counted_as_such_on_arrival() {
    let action = format!("ipsec ipcomp/tunnel/{A}-{B}/require");
    let (mut a, mut b) = tunnel(&ipcomp(A, B, 0x1100, "-m tunnel"), &action);
    carries(&mut a, &mut b, &noise());
    assert_eq!(
        (count(&b, Direction::Inbound, Counter::Compressed), count(&b, Direction::Inbound, Counter::Uncompressed)),
        (0, 1)
    );
    assert!(a.engine.remove(&key(Direction::Outbound, B, Protocol::Ipcomp, 0x1100), address(A)).is_some());
}
