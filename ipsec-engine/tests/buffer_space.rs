//! Buffers with too little headroom or tailroom.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, udp};
use gateway_pair::*;
use ipsec_engine::{Counter, Direction, DiscardReason, InboundAction, OutboundAction};
use ipsec_packet::{IpError, PacketBuf, Seq};

/// Sends a packet with this headroom and tailroom.
fn send_in(a: &mut Gateway, packet: &[u8], front: usize, back: usize) -> (OutboundAction, Vec<u8>) {
    let mut bytes = vec![0xee; front + packet.len() + back];
    bytes[front..front + packet.len()].copy_from_slice(packet);
    let mut buffer = PacketBuf::with_headroom(&mut bytes, front, packet.len()).unwrap();
    let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(3);
    let action = a.engine.outbound(&mut buffer, a.now, &mut iv);
    (action, buffer.data().to_vec())
}

#[test]
fn too_small_buffer_changes_neither_packet_nor_sa() {
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
        let enough = |front, back| send_in(&mut new(), &inner(), front, back).0 == OutboundAction::Send;
        let front = (0..200).find(|&front| enough(front, 200)).unwrap();
        let back = (0..200).find(|&back| enough(front, back)).unwrap();
        for (less_front, less_back) in [(front - 1, back), (front, back - 1), (0, 0), (0, 500), (500, 0)] {
            let mut a = new();
            let (sent, data) = send_in(&mut a, &inner(), less_front, less_back);
            assert!(matches!(sent, OutboundAction::Discard(DiscardReason::Malformed(IpError::NoSpace(_)))), "{action}");
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
            "packet does not fill the buffer"
        );
    }
}

#[test]
fn ipcomp_with_too_small_buffer_sends_uncompressed_and_refuses_inbound() {
    let packet = udp(A, B, 1, 2, &[7; 1000]);
    let (mut a, mut b) = hosts(&ipcomp(A, B, 0x1100, "-m transport"), "ipsec ipcomp/transport//require");
    let (action, plain) = send_in(&mut a, &packet, 0, 0);
    assert_eq!((action, plain), (OutboundAction::Send, packet.clone()));
    assert_eq!(
        counted(&a),
        [(Direction::Outbound, Counter::Processed, 1), (Direction::Outbound, Counter::Uncompressed, 1)]
    );
    let mut wire = a.send(&packet).unwrap();
    let mut buffer = PacketBuf::received(&mut wire);
    let action = b.engine.inbound(&mut buffer, b.now);
    assert!(matches!(action, InboundAction::Discard(DiscardReason::Ipcomp(_))), "{action:?}");
    assert_eq!(count(&b, Direction::Inbound, Counter::Ipcomp) + count(&b, Direction::Inbound, Counter::NoSpace), 1);
}
