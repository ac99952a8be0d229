//! BEET mode through the engine.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, udp};
use gateway_pair::*;
use ipsec_engine::{Direction, DiscardReason, OutboundAction};
use ipsec_packet::{PacketBuf, Seq};

#[test]
fn beet_tunnel_carries_packets_with_the_overhead_of_transport_mode() {
    let text = esp(A, B, 0x1001, "-m beet");
    let rule = |direction| policy("10.1.2.3", "10.2.3.4", "any", direction, &format!("ipsec esp/beet/{A}-{B}/require"));
    let (mut a, mut b) = (Gateway::new(&rule("out"), A), Gateway::new(&rule("in"), B));
    a.engine.install(sa(&text, Direction::Outbound), a.now).unwrap();
    b.engine.install(sa(&text, Direction::Inbound), b.now).unwrap();
    for length in [0, 1, 100, 1000] {
        let wire = a.send(&udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length])).unwrap();
        assert_eq!(&wire[12..20], &[192, 0, 2, 1, 198, 51, 100, 1]);
        let (action, data) = b.receive(&wire);
        assert_eq!(
            (action, &data[12..]),
            (Received::Deliver, &udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length])[12..])
        );
    }
}

#[test]
fn policy_for_tunnel_mode_refuses_packets_of_a_beet_sa() {
    let text = esp(A, B, 0x1001, "-m beet");
    let rule = policy("10.1.2.3", "10.2.3.4", "any", "out", &format!("ipsec esp/beet/{A}-{B}/require"));
    let mut a = Gateway::new(&rule, A);
    a.engine.install(sa(&text, Direction::Outbound), a.now).unwrap();
    let mut tunnelling =
        Gateway::new(&policy("10.1.2.3", "10.2.3.4", "any", "in", &format!("ipsec esp/tunnel/{A}-{B}/require")), B);
    tunnelling.engine.install(sa(&text, Direction::Inbound), a.now).unwrap();
    refused_and_wiped(&mut tunnelling, &a.send(&inner()).unwrap(), DiscardReason::SaMismatch);
}

#[test]
fn beet_with_too_small_tailroom_leaves_the_packet_unmodified() {
    let rule = policy("10.1.2.3", "10.2.3.4", "any", "out", &format!("ipsec esp/beet/{A}-{B}/require"));
    for length in 0..32 {
        for back in 0..64 {
            let mut a = Gateway::new(&rule, A);
            a.engine.install(sa(&esp(A, B, 0x1001, "-m beet"), Direction::Outbound), a.now).unwrap();
            let packet = udp("10.1.2.3", "10.2.3.4", 7, 9, &vec![7; length]);
            let mut bytes = vec![0xee; 100 + packet.len() + back];
            bytes[100..100 + packet.len()].copy_from_slice(&packet);
            let mut buffer = PacketBuf::with_headroom(&mut bytes, 100, packet.len()).unwrap();
            let mut iv = |_: Seq, iv: &mut [u8]| iv.fill(3);
            let action = a.engine.outbound(&mut buffer, a.now, &mut iv);
            if action != OutboundAction::Send {
                assert_eq!(buffer.data(), packet, "{action:?}, {length} octets of payload, {back} of tailroom");
            }
        }
    }
}
