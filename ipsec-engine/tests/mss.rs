//! Clamping of the TCP MSS to the path MTU of the policy, in both directions.

mod gateway;

use std::net::IpAddr;

use gateway::{Gateway, NOW};
use ipsec_engine::{AnyAlgorithms, Engine, MssLimits};
use ipsec_packet::Checksum;

type OwnEngine = Box<Engine<AnyAlgorithms, 16, 16, 8>>;

fn engine(sa: &str, policy: &str) -> OwnEngine {
    let keys = "-E aes-cbc \"sixteen octets !\" -A hmac-sha1 \"twenty octets it has\"";
    Gateway::new(&format!("add 192.0.2.1 198.51.100.1 {sa}{keys}; {policy}"), "192.0.2.1").engine
}

fn tunnel() -> OwnEngine {
    tunnel_for("10.1.0.0/16 10.2.0.0/16")
}

/// Returns the engine of a tunnel for TCP segments between these ranges.
fn tunnel_for(ranges: &str) -> OwnEngine {
    let policy = format!("spdadd {ranges} tcp -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;");
    engine("esp 0x1001 -m tunnel ", &policy)
}

/// Returns a SYN with an MSS, and valid checksums.
fn syn(from: [u8; 4], to: [u8; 4], mss: u16) -> Vec<u8> {
    let mut segment = vec![0x30, 0x39, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4];
    segment.extend(mss.to_be_bytes());
    let pseudo = [&from[..], &to, &[0, 6, 0, 24]].concat();
    let sum = Checksum::new().over(&pseudo).over(&segment).finish();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    in_ip(from, to, 6, &segment)
}

fn in_ip(from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0x1c, 0x46, 0x40, 0, 64, protocol, 0, 0];
    header.extend([from, to].concat());
    let sum = Checksum::new().over(&header).finish();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, payload].concat()
}

/// Returns the MSS after clamping, and verifies that the rest is that of a SYN with this MSS.
fn mss_of(packet: &[u8], from: [u8; 4], to: [u8; 4]) -> u16 {
    let mss = u16::from_be_bytes([packet[42], packet[43]]);
    assert_eq!(packet, syn(from, to, mss), "checksum and other fields");
    mss
}

const HOST: [u8; 4] = [10, 1, 0, 2];
const PEER: [u8; 4] = [10, 2, 0, 2];

/// The largest packet of the MSS fits into the route, and one of the next block of the cipher does not.
#[test]
fn segments_of_the_mss_fit_into_the_path() {
    for mtu in [600, 1000, 1280, 1281, 1300, 1500] {
        let (mut engine, mut packet) = (tunnel(), syn(HOST, PEER, 1460));
        engine.clamp_outbound_mss(&mut packet, NOW, MssLimits { interface_mtu: 1400, route_mtu: |_, _| Some(mtu) });
        let mss = mss_of(&packet, HOST, PEER);
        // Outer header, ESP header, IV and ICV, and the packet with its trailer.
        let sealed = |inner: u16| 20 + 8 + 16 + (inner + 2).div_ceil(16) * 16 + 12;
        assert!(sealed(mss + 40) <= mtu, "{mtu}: {mss}");
        assert!(mss == 1360 || sealed(mss + 41) > mtu, "{mtu}: {mss}");
    }
}

#[test]
fn the_mss_of_received_segments_is_that_of_the_path_back() {
    let mut engine = tunnel();
    let route_mtu = |source: IpAddr, destination: IpAddr| {
        let is_back = (source.to_string(), destination.to_string());
        (is_back == ("192.0.2.1".to_owned(), "198.51.100.1".to_owned())).then_some(1000)
    };
    let mut packet = syn(PEER, HOST, 1460);
    engine.clamp_inbound_mss(&mut packet, NOW, MssLimits { interface_mtu: 1400, route_mtu });
    let received = mss_of(&packet, PEER, HOST);
    let mut packet = syn(HOST, PEER, 1460);
    engine.clamp_outbound_mss(&mut packet, NOW, MssLimits { interface_mtu: 1400, route_mtu });
    assert_eq!(received, mss_of(&packet, HOST, PEER));
    assert!(received < 1000);
}

#[test]
fn the_policy_of_the_path_back_is_found_by_exchanged_ports() {
    for (ranges, is_clamped) in
        [("10.1.0.0/16[443] 10.2.0.0/16[12345]", true), ("10.1.0.0/16[12345] 10.2.0.0/16[443]", false)]
    {
        let (mut engine, mut packet) = (tunnel_for(ranges), syn(PEER, HOST, 1460));
        let limits = MssLimits { interface_mtu: 1400, route_mtu: |_, _| Some(1000) };
        assert_eq!(engine.clamp_inbound_mss(&mut packet, NOW, limits), is_clamped, "{ranges}");
        assert_eq!(mss_of(&packet, PEER, HOST) < 1000, is_clamped);
    }
}

#[test]
fn segments_without_a_tunnel_are_unchanged() {
    let mut engine = tunnel();
    let other = syn(HOST, [10, 3, 0, 2], 1460);
    let mut packet = other.clone();
    engine.clamp_outbound_mss(&mut packet, NOW, MssLimits { interface_mtu: 1000, route_mtu: |_, _| Some(1000) });
    engine.clamp_inbound_mss(&mut packet, NOW, MssLimits { interface_mtu: 1000, route_mtu: |_, _| Some(1000) });
    assert_eq!(packet, other);
    let own = syn(HOST, PEER, 1460);
    let mut packet = own.clone();
    engine.clamp_outbound_mss(&mut packet, NOW, MssLimits { interface_mtu: 1000, route_mtu: |_, _| None });
    assert_eq!(packet, own, "the path is not known");
}

#[test]
fn segments_within_ip_in_ip_are_clamped() {
    let policy = "spdadd 192.0.2.1 198.51.100.1 ipencap -P out ipsec esp/transport//require;";
    let mut engine = engine("esp 0x1001 -m transport ", policy);
    let mut packet = in_ip([192, 0, 2, 1], [198, 51, 100, 1], 4, &syn(HOST, PEER, 1460));
    engine.clamp_outbound_mss(&mut packet, NOW, MssLimits { interface_mtu: 1480, route_mtu: |_, _| Some(1000) });
    let mss = mss_of(&packet[20..], HOST, PEER);
    // Outer header, ESP header, IV and ICV, and the inner packet with its trailer.
    let sealed = |inner: u16| 20 + 8 + 16 + (inner + 2).div_ceil(16) * 16 + 12;
    assert!(sealed(mss + 40) <= 1000 && sealed(mss + 41) > 1000, "{mss}");
}

#[test]
fn truncated_segments_are_unchanged_and_modified_ones_do_not_panic() {
    let mut engine = tunnel();
    let whole = in_ip([10, 1, 0, 1], [10, 2, 0, 1], 4, &syn(HOST, PEER, 1460));
    for packet in [&whole[..], &whole[20..]] {
        for length in 0..packet.len() {
            let mut cut = packet[..length].to_vec();
            engine.clamp_outbound_mss(&mut cut, NOW, MssLimits { interface_mtu: 600, route_mtu: |_, _| Some(600) });
            engine.clamp_inbound_mss(&mut cut, NOW, MssLimits { interface_mtu: 600, route_mtu: |_, _| Some(600) });
            assert_eq!(cut, packet[..length], "{length} octets");
        }
        for at in 0..packet.len() * 8 {
            let mut changed = packet.to_vec();
            changed[at / 8] ^= 1 << (at % 8);
            engine.clamp_outbound_mss(&mut changed, NOW, MssLimits { interface_mtu: 600, route_mtu: |_, _| Some(600) });
            engine.clamp_inbound_mss(&mut changed, NOW, MssLimits { interface_mtu: 600, route_mtu: |_, _| Some(600) });
        }
    }
}
