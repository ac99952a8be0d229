//! UDP encapsulation of ESP (RFC 3948): ports, markers and NAT-keepalive packets, and peers whose NAT mapping changes.

mod gateway;
mod gateway_pair;

use ah_core::Profile;
use esp_core::OpenError;
use gateway::{Gateway, Received, ip, tcp, udp};
use gateway_pair::*;
use ipsec_config::setkey::{LoadOptions, Statement, Statements};
use ipsec_engine::{
    AnyAlgorithms, Counter, Direction, DiscardReason, Protocol, Sa, SaBackend, SaEvent, UdpEncap, UpdateError,
};
use ipsec_packet::{ChecksumRepair, IpProto, Marker, Ports, UdpError};

fn natted(spi: u32, rest: &str) -> String {
    format!("add {A}[4500] {B}[4500] esp-udp {spi:#x} -r 8 {rest} {KEYS};\n")
}

fn natted_tunnel() -> (Gateway, Gateway) {
    tunnel(&natted(0x1001, "-m tunnel"), &format!("ipsec esp/tunnel/{A}-{B}/require"))
}

/// Builds a UDP-encapsulated SA with this marker from its setkey statement.
fn sa_with(statement: &str, direction: Direction, marker: Marker, ports: Ports) -> Sa<AnyAlgorithms> {
    let mut statements = Statements::of(statement);
    let Ok(Some(Statement::Add(add))) = statements.next() else { panic!("{statement}") };
    let params = add.params(direction, None, &LoadOptions::RFC).unwrap();
    let sa = Sa::from_params(&params, Profile::RFC).unwrap();
    sa.with_encap(UdpEncap { ports, marker }, ChecksumRepair::Recompute)
}

/// Returns the packet after a NAT that maps A to another address and port.
fn translated(wire: &[u8], last: u8, port: u16) -> Vec<u8> {
    let mut wire = wire.to_vec();
    wire[15] = last;
    wire[20..22].copy_from_slice(&port.to_be_bytes());
    wire
}

//= RFC 3948 1/2, 2.1/2, 2.1/3
//# MUST: tunnel mode clients support tunnel mode
//# SHOULD: over IPv4 the UDP checksum is sent as zero
//# MUST NOT: receivers do not depend on a UDP checksum of zero
#[test]
fn esp_in_udp_on_port_4500_is_delivered_over_both_ip_versions() {
    let (mut a, mut b) = natted_tunnel();
    let wire = carries(&mut a, &mut b, &inner());
    assert_eq!((wire[9], &wire[20..24], &wire[26..28]), (17, &[0x11, 0x94, 0x11, 0x94][..], &[0, 0][..]));
    let sa = natted(0x1001, "-m tunnel").replace(A, A6).replace(B, B6);
    let action = format!("ipsec esp/tunnel/{A6}-{B6}/require");
    let (mut a, mut b) = one_way(&sa, "10.1.0.0/16", "10.2.0.0/16", &action, (A6, B6));
    let wire = carries(&mut a, &mut b, &inner());
    assert_eq!(wire[6], 17);
    assert_ne!(&wire[46..48], &[0, 0], "UDP over IPv6 requires a checksum");
}

#[test]
fn transport_mode_in_udp_is_delivered() {
    let (mut a, mut b) = hosts(&natted(0x1001, "-m transport"), "ipsec esp/transport//require");
    for packet in [host(), tcp(A, B, 5, 6, b"x")] {
        let wire = a.send(&packet).unwrap();
        let (action, data) = b.receive(&wire);
        assert_eq!(action, Received::Deliver);
        assert_eq!((data.len(), &data[..24]), (packet.len(), &packet[..24]));
    }
}

//= RFC 3948 2.3/3, 2.3/5, 4/1
//# MUST NOT: receivers of NAT-keepalive packets do not depend on a UDP checksum of zero
//# SHOULD: a received NAT-keepalive packet is ignored
//# MUST NOT: NAT-keepalive packets are not used to detect whether a connection is live
#[test]
fn ike_is_bypassed_and_keep_alives_and_runts_are_discarded() {
    let (_, mut b) = natted_tunnel();
    for (to, payload, expected) in [
        (4500, &[&[0, 0, 0, 0][..], &[7; 60]].concat()[..], Received::Bypass),
        (4500, &[0, 0, 0, 0], Received::Bypass),
        (4500, &[0xff], discarded(DiscardReason::KeepAlive)),
        (500, &[0xff], discarded(DiscardReason::KeepAlive)),
        (4500, &[0xfe], Received::Bypass),
        (4500, &[], Received::Bypass),
        (500, &[7; 60], Received::Bypass),
        (4500, &[7; 60], discarded(DiscardReason::NoSa)),
        (500, &[&[0; 8][..], &[7; 60]].concat(), discarded(DiscardReason::NoSa)),
        (4501, &[7; 60], Received::Bypass),
    ] {
        let packet = udp(A, B, 4500, to, payload);
        assert_eq!(b.receive(&packet), (expected, packet), "port {to}, {} octets", payload.len());
    }
    let mut summed = udp(A, B, 4500, 4500, &[0xff]);
    summed[26..28].copy_from_slice(&[0x12, 0x34]);
    assert_eq!(b.receive(&summed).0, discarded(DiscardReason::KeepAlive), "NAT-keepalive packet with a checksum");
    assert_eq!(count(&b, Direction::Inbound, Counter::KeepAlive), 3);
    assert_eq!(b.engine.poll_event(), None, "NAT-keepalive packet caused an event");
    assert!(b.engine.poll_audit().is_some_and(|audit| audit.spi == Some(0x0707_0707)));
}

#[test]
fn udp_to_other_hosts_is_bypassed() {
    let (_, mut b) = natted_tunnel();
    for payload in [&[7; 60][..], &[0, 0, 0x10, 1, 0, 0, 0, 1, 7, 7, 7, 7], &[0, 0, 0, 0, 5, 5, 5, 5]] {
        let packet = udp(A, "203.0.113.9", 4500, 4500, payload);
        assert_eq!(b.receive(&packet), (Received::Bypass, packet));
    }
}

#[test]
fn keep_alives_to_other_hosts_are_bypassed() {
    let (_, mut b) = natted_tunnel();
    assert_eq!(b.receive(&udp(A, "203.0.113.9", 4500, 4500, &[0xff])).0, Received::Bypass);
}

#[test]
fn esp_in_udp_is_recognised_on_the_ports_of_its_sa() {
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let sa = |spi: u32, from: u16, to: u16| {
        natted(spi, "-m tunnel")
            .replace("[4500]", "")
            .replace(&format!("add {A} {B}"), &format!("add {A}[{from}] {B}[{to}]"))
    };
    let ports = [(4500, 4500), (24500, 24500), (4500, 24501), (1024, 500), (65535, 1)];
    let sas: String = ports.iter().enumerate().map(|(n, &(from, to))| sa(0x1001 + n as u32, from, to)).collect();
    let mut b = Gateway::new(&(sas + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &action)), B);
    for (n, &(from, to)) in ports.iter().enumerate() {
        let text = sa(0x1001 + n as u32, from, to) + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action);
        let mut a = Gateway::new(&text, A);
        let wire = a.send(&inner()).unwrap();
        assert_eq!(wire[20..24], [from.to_be_bytes(), to.to_be_bytes()].concat());
        delivered(&mut b, &wire, &inner());
        // The source port may change by a NAT; the destination port must be that of the SA.
        let again = a.send(&inner()).unwrap();
        delivered(&mut b, &translated(&again, 77, 1026), &inner());
        let mut elsewhere = a.send(&inner()).unwrap();
        elsewhere[22..24].copy_from_slice(&4499u16.to_be_bytes());
        assert_eq!(b.receive(&elsewhere).0, Received::Bypass, "UDP to a port without an SA");
        if to != 4500 {
            elsewhere[22..24].copy_from_slice(&4500u16.to_be_bytes());
            refused_unmodified(&mut b, &elsewhere, DiscardReason::Encapsulation);
        }
        let keep_alive = udp(A, B, from, to, &[0xff]);
        assert_eq!(b.receive(&keep_alive).0, Received::Discard(DiscardReason::KeepAlive), "port {to}");
        if ![500, 4500].contains(&to) {
            let of_another_address = udp(A, "198.51.100.77", from, to, &[0xff]);
            assert_eq!(b.receive(&of_another_address).0, Received::Bypass, "port {to} of another address");
        }
    }
    assert_eq!(b.receive(&udp(A, B, 7, 24502, &[0xff])).0, Received::Bypass, "no SA has this port");
}

#[test]
fn udp_port_for_unknown_spis_is_configurable() {
    let mut b = Gateway::new(&natted(0x1001, "-m tunnel"), B);
    b.engine.settings_mut().nat_port = 4600;
    let unknown = |port| udp(A, B, 4500, port, &[&[0, 0, 0x77, 0x77][..], &[0; 40]].concat());
    assert_eq!(b.receive(&unknown(4600)).0, Received::Discard(DiscardReason::NoSa));
    assert_eq!(b.receive(&unknown(4500)).0, Received::Bypass);
}

#[test]
fn packet_with_other_encapsulation_than_its_sa_is_refused() {
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let plain = esp(A, B, 0x1001, "-m tunnel");
    let in_udp = natted(0x1001, "-m tunnel");
    for (sent, wanted) in [(&plain, &in_udp), (&in_udp, &plain)] {
        let mut a = Gateway::new(&(sent.clone() + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action)), A);
        let mut b = Gateway::new(&(wanted.clone() + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &action)), B);
        let wire = a.send(&inner()).unwrap();
        refused_unmodified(&mut b, &wire, DiscardReason::Encapsulation);
        assert_eq!(b.engine.sas().next().unwrap().usage.packets, 0);
    }
}

#[test]
fn non_ike_marker_of_the_drafts_is_accepted_on_port_500() {
    let ports = Ports { source: 500, destination: 500 };
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let statement = natted(0x1001, "-m tunnel");
    let mut a = Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action), A);
    let mut b = Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "in", &action), B);
    a.engine.install(sa_with(&statement, Direction::Outbound, Marker::NonIke, ports), a.now).unwrap();
    b.engine.install(sa_with(&statement, Direction::Inbound, Marker::NonIke, ports), b.now).unwrap();
    let wire = carries(&mut a, &mut b, &inner());
    assert_eq!(&wire[20..36], &[1, 244, 1, 244, 0, (wire.len() - 20) as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Each marker is refused on an SA with the other one.
    let (mut rfc, mut receiver) = natted_tunnel();
    let of_the_drafts = a.send(&inner()).unwrap();
    refused_unmodified(&mut receiver, &of_the_drafts, DiscardReason::Encapsulation);
    let of_the_rfc = rfc.send(&inner()).unwrap();
    refused_unmodified(&mut b, &of_the_rfc, DiscardReason::Encapsulation);
}

#[test]
fn only_authenticated_packet_reports_nat_mapping() {
    let (mut a, mut b) = natted_tunnel();
    let sa = key(Direction::Inbound, B, Protocol::Esp, 0x1001);
    carries(&mut a, &mut b, &inner());
    assert_eq!(events(&mut b), []);
    let wire = a.send(&inner()).unwrap();
    let mut forged = translated(&wire, 77, 1026);
    *forged.last_mut().unwrap() ^= 1;
    refused_unmodified(&mut b, &forged, DiscardReason::Open(OpenError::IcvMismatch));
    assert_eq!(events(&mut b), [], "forged packet reported a NAT mapping");
    delivered(&mut b, &translated(&wire, 77, 1026), &inner());
    refused_unmodified(
        &mut b,
        &translated(&wire, 78, 1027),
        DiscardReason::Open(OpenError::Replayed(ipsec_packet::ReplayError::Duplicate)),
    );
    assert_eq!(
        events(&mut b),
        [SaEvent::NatMapping { sa, source: address("192.0.2.77"), port: 1026 }],
        "replayed packet reported a NAT mapping"
    );
    let wire = a.send(&inner()).unwrap();
    delivered(&mut b, &translated(&wire, 1, 1028), &inner());
    assert_eq!(events(&mut b), [SaEvent::NatMapping { sa, source: address(A), port: 1028 }], "only the port changed");
}

/// Further packets from the reported address and port cause no event.
#[test]
fn nat_mapping_is_reported_once() {
    let (mut a, mut b) = natted_tunnel();
    for expected in [1, 0, 0] {
        let wire = a.send(&inner()).unwrap();
        delivered(&mut b, &translated(&wire, 77, 1026), &inner());
        assert_eq!(events(&mut b).len(), expected);
    }
}

/// The source address of a transport mode packet is delivered, although ESP does not authenticate it.
#[test]
fn transport_mode_sa_in_udp_refuses_the_address_of_another_peer() {
    let victim = "192.0.2.77";
    let (mut m, _) = hosts(&natted(0x1001, "-m transport"), "ipsec esp/transport//require");
    let sas = natted(0x1001, "-m transport") + &natted(0x2001, "-m transport").replace(A, victim);
    let mut b = Gateway::new(&(sas + &policy(victim, B, "any", "in", "ipsec esp/transport//require")), B);
    let spoofed = translated(&m.send(&host()).unwrap(), 77, 4500);
    let action = b.receive(&spoofed).0;
    assert!(matches!(action, Received::Discard(_)), "packet of A with source {victim}: {action:?}");
}

#[test]
fn invalid_udp_length_is_refused() {
    let (mut a, mut b) = natted_tunnel();
    let wire = a.send(&inner()).unwrap();
    for (length, what) in [(7u16, "shorter than its header"), (4000, "longer than the packet")] {
        let mut bad = wire.clone();
        bad[24..26].copy_from_slice(&length.to_be_bytes());
        let (action, data, _) = receive_in_large_buffer(&mut b, &bad);
        assert!(matches!(action, Received::Discard(DiscardReason::Udp(UdpError::Length { .. }))), "{what}");
        assert_eq!(data, bad);
    }
    // Octets after the UDP datagram are not part of the ESP packet.
    let mut longer = wire.clone();
    longer.extend([9; 11]);
    let total = (longer.len() as u16).to_be_bytes();
    longer[2..4].copy_from_slice(&total);
    delivered(&mut b, &longer, &inner());
    assert_eq!(count(&b, Direction::Inbound, Counter::Udp), 2);
}

#[test]
fn forged_datagram_shorter_than_its_packet_is_unmodified() {
    let (mut a, mut b) = natted_tunnel();
    let mut wire = a.send(&inner()).unwrap();
    wire.extend([9; 24]);
    let total = (wire.len() as u16).to_be_bytes();
    wire[2..4].copy_from_slice(&total);
    wire[60] ^= 1;
    let (action, data, _) = receive_in_large_buffer(&mut b, &wire);
    assert_eq!(action, discarded(DiscardReason::Open(OpenError::IcvMismatch)));
    assert_eq!(data, wire);
    assert_eq!(b.engine.poll_audit().unwrap().source, Some(address(A)));
}

#[test]
fn esp_in_udp_inside_a_tunnel_for_another_host_is_delivered() {
    let (mut a, mut b) = natted_tunnel();
    carries(&mut a, &mut b, &udp("10.1.2.3", "10.2.3.4", 4500, 4500, &[7; 60]));
    carries(&mut a, &mut b, &udp("10.1.2.3", "10.2.3.4", 500, 500, &[0; 60]));
    let nothing = ip(A, B, IpProto::UDP, &[1, 2]);
    assert_eq!(b.receive(&nothing).0, Received::Bypass);
}

#[test]
fn return_to_the_original_address_is_reported_as_nat_mapping() {
    let (mut a, mut b) = natted_tunnel();
    let sa = key(Direction::Inbound, B, Protocol::Esp, 0x1001);
    // An attacker on the path delays one packet and forwards it from another address.
    let diverted = a.send(&inner()).unwrap();
    delivered(&mut b, &translated(&diverted, 77, 1026), &inner());
    assert_eq!(events(&mut b), [SaEvent::NatMapping { sa, source: address("192.0.2.77"), port: 1026 }]);
    // The owner has moved the outbound SA to that address; the peer still sends from its original address.
    for _ in 0..3 {
        let wire = a.send(&inner()).unwrap();
        delivered(&mut b, &wire, &inner());
    }
    assert_eq!(
        events(&mut b),
        [SaEvent::NatMapping { sa, source: address(A), port: 4500 }],
        "replies would be sent to the other address"
    );
}

#[test]
fn superseded_nat_mapping_is_not_reported() {
    let (mut a, mut b) = natted_tunnel();
    let diverted = a.send(&inner()).unwrap();
    delivered(&mut b, &translated(&diverted, 77, 1026), &inner());
    let wire = a.send(&inner()).unwrap();
    delivered(&mut b, &wire, &inner());
    assert_eq!(events(&mut b), [], "the newest packet has the known source address");
}

#[test]
fn packet_older_than_the_newest_reports_no_nat_mapping() {
    let (mut a, mut b) = natted_tunnel();
    let delayed = a.send(&inner()).unwrap();
    let newer = a.send(&inner()).unwrap();
    delivered(&mut b, &newer, &inner());
    delivered(&mut b, &translated(&delayed, 77, 1026), &inner());
    assert_eq!(events(&mut b), []);
}

#[test]
fn move_peer_refuses_the_id_of_another_sa() {
    // Each peer chooses its SPI, so that equal SPIs of two peers are valid.
    let c = "203.0.113.9";
    let mut a = Gateway::new(&(natted(0x1001, "-m tunnel") + &natted(0x1001, "-m tunnel").replace(B, c)), A);
    let second = key(Direction::Outbound, c, Protocol::Esp, 0x1001).with_peer_port(4500);
    let moved = a.engine.update(&second, address(A), |sa| sa.move_peer(address(B), 4500).unwrap());
    let first = key(Direction::Outbound, B, Protocol::Esp, 0x1001).with_peer_port(4500);
    assert_eq!(moved, Err(UpdateError::Exists(first)));
    let left: Vec<_> = a.engine.sas().map(|sa| sa.key).collect();
    assert!(left.contains(&first) && !left.contains(&second), "{left:?}");
}

/// Both peers have the address of the NAT; their ports distinguish their SAs (RFC 3948 section 5.1).
#[test]
fn two_peers_behind_one_nat_may_choose_the_same_spi() {
    let sa = |port: u16, reqid: u32| {
        let tunnel = format!("-m tunnel -u {reqid}");
        natted(0x1001, &tunnel).replace(&format!("{B}[4500]"), &format!("{B}[{port}]"))
    };
    let policy = |network: &str, reqid: u32| {
        format!("spdadd 10.1.0.0/16 {network} any -P out ipsec esp/tunnel/{A}-{B}/unique:{reqid};")
    };
    let text = sa(1026, 1) + &sa(1027, 2) + &policy("10.2.0.0/16", 1) + &policy("10.3.0.0/16", 2);
    let mut a = Gateway::new(&text, A);
    for (destination, port) in [("10.2.3.4", 1026u16), ("10.3.3.4", 1027)] {
        let wire = a.send(&udp("10.1.2.3", destination, 1000, 2000, SECRET)).unwrap();
        assert_eq!(wire[22..24], port.to_be_bytes(), "UDP port of the peer");
        let id = key(Direction::Outbound, B, Protocol::Esp, 0x1001).with_peer_port(port);
        let status = SaBackend::get(&*a.engine, &id, address(A)).expect("SA of the peer");
        assert_eq!(status.usage.packets, 1, "{id}");
    }
}
