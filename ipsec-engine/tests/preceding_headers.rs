//! Headers before ESP and AH that no ICV covers: which of them cause a discard, and which of them are delivered.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, ipv4, udp};
use gateway_pair::{A, A6, B, B6, SECRET, ah, count, esp, host, hosts, one_way, policy};
use ipsec_engine::{Counter, Direction, DiscardReason};
use ipsec_packet::{Ip, IpError, IpProto, Ipv4};

/// Inserts an extension header after the IPv6 header.
fn insert6(wire: &[u8], kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = wire.to_vec();
    packet.splice(40..40, [&[wire[6]][..], rest].concat());
    packet[6] = kind;
    let octets = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&octets.to_be_bytes());
    packet
}

/// Inserts options after the fixed IPv4 header.
fn insert4(wire: &[u8], options: &[u8]) -> Vec<u8> {
    let mut packet = wire.to_vec();
    packet.splice(20..20, options.to_vec());
    packet[0] += (options.len() / 4) as u8;
    ipsec_packet::set_length(&mut packet).unwrap();
    packet
}

fn pair6() -> (Gateway, Gateway) {
    one_way(&esp(A6, B6, 0x1001, "-m transport"), A6, B6, "ipsec esp/transport//require", (A6, B6))
}

#[test]
fn options_with_discard_action_are_refused_before_esp() {
    for (kind, option) in [(0, 0x40), (0, 0x80), (0, 0xc0), (60, 0x7e), (60, 0xb0), (60, 0xc9), (0, 0xc2)] {
        let (mut a, mut b) = pair6();
        let wire = a.send(&udp(A6, B6, 1, 2, SECRET)).unwrap();
        let forged = insert6(&wire, kind, &[0, option, 4, 0, 0, 0, 0]);
        let refused = DiscardReason::Malformed(IpError::Option { offset: 42 });
        assert_eq!(b.receive(&forged), (Received::Discard(refused), forged), "option {option:#04x} of header {kind}");
        assert_eq!(
            (count(&b, Direction::Inbound, Counter::PrecedingHeaders), count(&b, Direction::Inbound, Counter::Esp)),
            (1, 0)
        );
        assert_eq!(b.engine.poll_audit().unwrap().spi, Some(0x1001));
        assert_eq!(b.receive(&wire).0, Received::Deliver, "sequence number of the refused packet was recorded");
    }
}

#[test]
fn options_with_skip_action_are_removed() {
    let cases: [(&[u8], &[u8]); 3] = [
        (&[0, 5, 2, 0, 0, 0x1e, 0], &[0, 5, 2, 0, 0, 1, 0]),
        (&[0, 0x1e, 4, 1, 2, 3, 4], &[0, 1, 4, 0, 0, 0, 0]),
        (&[0, 0, 0, 1, 2, 7, 7], &[0, 0, 0, 1, 2, 0, 0]),
    ];
    for (sent, delivered) in cases {
        let (mut a, mut b) = pair6();
        let plain = udp(A6, B6, 1, 2, SECRET);
        let wire = a.send(&plain).unwrap();
        let both = insert6(&insert6(&wire, 60, &[0, 1, 4, 0, 0, 0, 0]), 0, sent);
        assert_eq!(b.receive(&both), (Received::Deliver, insert6(&plain, 0, delivered)), "{sent:02x?}");
    }
    let (mut a, mut b) = pair6();
    let wire = a.send(&udp(A6, B6, 1, 2, SECRET)).unwrap();
    let refused = DiscardReason::Malformed(IpError::Extension { offset: 48 });
    let misplaced = insert6(&insert6(&wire, 0, &[0, 0x1e, 4, 1, 2, 3, 4]), 60, &[0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(b.receive(&misplaced).0, Received::Discard(refused), "hop-by-hop options after another header");
}

#[test]
fn routing_and_atomic_fragment_headers_are_removed_or_refused() {
    for kind in [0, 2, 3, 4, 200] {
        let (mut a, mut b) = pair6();
        let plain = udp(A6, B6, 1, 2, SECRET);
        let wire = a.send(&plain).unwrap();
        let unfinished = insert6(&wire, 43, &[&[2, kind, 1, 0, 0, 0, 0][..], &[0x66; 16]].concat());
        let refused = DiscardReason::Malformed(IpError::RouteNotFinished { offset: 40 });
        assert_eq!(b.receive(&unfinished).0, Received::Discard(refused), "routing type {kind}");
        let finished = insert6(&wire, 43, &[&[2, kind, 0, 0, 0, 0, 0][..], &[0x66; 16]].concat());
        assert_eq!(b.receive(&finished), (Received::Deliver, plain), "routing type {kind}");
    }
    let (mut a, mut b) = pair6();
    let plain = udp(A6, B6, 1, 2, SECRET);
    let wire = a.send(&plain).unwrap();
    assert_eq!(b.receive(&insert6(&wire, 44, &[0, 0, 0, 0, 0, 0, 7])), (Received::Deliver, plain));
}

#[test]
fn headers_covered_by_ah_are_delivered() {
    let sas = esp(A6, B6, 0x1001, "-m transport") + &ah(A6, B6, 0x2001, "-m transport");
    let action = "ipsec esp/transport//require ah/transport//require";
    let (mut a, mut b) = one_way(&sas, A6, B6, action, (A6, B6));
    let plain = insert6(&udp(A6, B6, 1, 2, SECRET), 0, &[0, 0x1e, 4, 1, 2, 3, 4]);
    let wire = a.send(&plain).unwrap();
    let forged = insert6(&wire, 0, &[0, 0x1e, 4, 1, 2, 3, 4]);
    assert_eq!(b.receive(&forged).0, Received::Discard(DiscardReason::Malformed(IpError::Extension { offset: 48 })));
    let mut fragmented = wire.clone();
    fragmented.splice(48..48, [51, 0, 0, 0, 0, 0, 0, 7]);
    fragmented[40] = 44;
    let octets = (fragmented.len() - 40) as u16;
    fragmented[4..6].copy_from_slice(&octets.to_be_bytes());
    assert_eq!(b.receive(&fragmented), (Received::Deliver, plain));
}

#[test]
fn headers_before_esp_around_ah_are_delivered() {
    let sas = esp(A6, B6, 0x1001, "-m transport") + &ah(A6, B6, 0x2001, "-m transport");
    let action = "ipsec ah/transport//require esp/transport//require";
    let (mut a, mut b) = one_way(&sas, A6, B6, action, (A6, B6));
    let plain = insert6(&udp(A6, B6, 1, 2, SECRET), 0, &[0, 0x1e, 4, 1, 2, 3, 4]);
    let wire = a.send(&plain).unwrap();
    assert_eq!(b.receive(&wire), (Received::Deliver, plain));
}

#[test]
fn unfinished_source_route_is_refused() {
    for options in [[0x83, 7, 4, 203, 0, 113, 66, 0], [1, 0x89, 7, 4, 203, 0, 113, 66]] {
        let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
        let wire = a.send(&host()).unwrap();
        let offset = 20 + usize::from(options[0] == 1);
        let refused = DiscardReason::Malformed(IpError::RouteNotFinished { offset });
        assert_eq!(b.receive(&insert4(&wire, &options)).0, Received::Discard(refused));
    }
}

#[test]
fn unfinished_source_route_is_refused_in_tunnel_mode() {
    let (mut a, mut b) = gateway_pair::esp_tunnel();
    let wire = a.send(&gateway_pair::inner()).unwrap();
    let refused = DiscardReason::Malformed(IpError::RouteNotFinished { offset: 20 });
    assert_eq!(b.receive(&insert4(&wire, &[0x83, 7, 4, 203, 0, 113, 66, 0])).0, Received::Discard(refused));
    gateway_pair::delivered(&mut b, &insert4(&wire, &[0x83, 7, 8, 203, 0, 113, 66, 0]), &gateway_pair::inner());
}

#[test]
fn malformed_ipv4_options_are_refused() {
    let malformed: [[u8; 8]; 8] = [
        [7, 6, 4, 0, 0, 0, 0, 0],     // record route of half an address
        [7, 7, 5, 0, 0, 0, 0, 0],     // pointer into an address
        [7, 7, 0, 0, 0, 0, 0, 0],     // pointer into the option
        [68, 8, 5, 0xf2, 0, 0, 0, 0], // timestamp with a flag that does not exist
        [68, 8, 9, 0xf0, 0, 0, 0, 0], // full, and overflow counter at its maximum
        [148, 3, 0, 1, 1, 1, 1, 1],   // router alert without its value
        [0x86, 12, 0, 0, 0, 0, 0, 0], // longer than the header
        [7, 3, 4, 7, 3, 4, 1, 1],     // record route twice
    ];
    for options in malformed {
        let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
        let wire = insert4(&a.send(&host()).unwrap(), &options);
        let found = b.receive(&wire).0;
        assert!(
            matches!(found, Received::Discard(DiscardReason::Malformed(IpError::Option { .. }))),
            "{options:?}: {found:?}"
        );
    }
}

#[test]
fn ipv4_options_are_kept_or_replaced_by_no_operation() {
    let kept: [([u8; 8], [u8; 8]); 4] = [
        ([0x86, 8, 0, 0, 0, 1, 2, 2], [1; 8]),                    // CIPSO
        ([0x83, 7, 8, 9, 9, 9, 9, 0], [1, 1, 1, 1, 1, 1, 1, 0]),  // finished source route
        ([7, 7, 4, 0, 0, 0, 0, 1], [7, 7, 4, 0, 0, 0, 0, 1]),     // record route
        ([148, 4, 0, 0, 0, 9, 9, 9], [148, 4, 0, 0, 0, 0, 0, 0]), // router alert, end of options
    ];
    for (sent, delivered) in kept {
        let (mut a, mut b) = hosts(&esp(A, B, 0x1001, "-m transport"), "ipsec esp/transport//require");
        let wire = insert4(&a.send(&host()).unwrap(), &sent);
        let (action, packet) = b.receive(&wire);
        assert_eq!(action, Received::Deliver, "{sent:?}");
        let Ok(Ip::V4(ip)) = Ip::parse(&packet) else { panic!("not IPv4") };
        assert_eq!((ip.options(), ip.has_valid_checksum()), (&delivered[..], true), "{sent:?}");
    }
}

/// Replaces the options of an IPv4 packet by others of the same length.
fn rewrite4(wire: &[u8], options: &[u8]) -> Vec<u8> {
    let mut packet = wire.to_vec();
    packet[20..20 + options.len()].copy_from_slice(options);
    ipsec_packet::set_length(&mut packet).unwrap();
    packet
}

#[test]
fn mutable_options_before_ah_are_replaced() {
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let written: [([u8; 8], [u8; 8]); 5] = [
        ([0x83, 7, 8, 203, 0, 113, 66, 0], [1, 1, 1, 1, 1, 1, 1, 0]), // finished source routes
        ([0x89, 7, 8, 203, 0, 113, 66, 0], [1, 1, 1, 1, 1, 1, 1, 0]),
        ([0x52, 7, 1, 2, 3, 4, 5, 0], [1, 1, 1, 1, 1, 1, 1, 0]), // traceroute
        ([0x5e, 7, 1, 2, 3, 4, 5, 0], [1, 1, 1, 1, 1, 1, 1, 0]), // unknown
        ([7, 7, 8, 203, 0, 113, 66, 0], [7, 7, 8, 203, 0, 113, 66, 0]), // filled
    ];
    let both = "ipsec esp/transport//require ah/transport//require";
    let sas = esp(A, B, 0x1001, "-m transport") + &ah(A, B, 0x2001, "-m transport");
    for (bundle, sas) in [("ipsec ah/transport//require", ah(A, B, 0x2001, "-m transport")), (both, sas)] {
        for (options, delivered) in written {
            let (mut a, mut b) = hosts(&sas, bundle);
            let wire = a.send(&insert4(&host(), &record_route)).unwrap();
            let (action, packet) = b.receive(&rewrite4(&wire, &options));
            assert_eq!(action, Received::Deliver, "{options:?}");
            let Ok(Ip::V4(ip)) = Ip::parse(&packet) else { panic!("not IPv4") };
            assert_eq!((ip.options(), ip.has_valid_checksum()), (&delivered[..], true), "{bundle}");
        }
        // Options covered by AH are delivered, and a change of them is detected.
        let (mut a, mut b) = hosts(&sas, bundle);
        for options in [[0x82, 8, 1, 2, 3, 4, 5, 6], [0x85, 8, 1, 2, 3, 4, 5, 6], [0x86, 8, 0, 0, 0, 1, 2, 2]] {
            let wire = a.send(&insert4(&host(), &options)).unwrap();
            let mut other = options;
            other[7] ^= 1;
            assert!(matches!(b.receive(&rewrite4(&wire, &other)).0, Received::Discard(_)), "{options:?}");
            let (action, packet) = b.receive(&wire);
            assert_eq!((action, &packet[20..28]), (Received::Deliver, &options[..]));
        }
    }
}

#[test]
fn inner_packet_of_a_tunnel_keeps_its_options() {
    let (mut a, mut b) = gateway_pair::esp_tunnel();
    let inner = insert4(&gateway_pair::inner(), &[0x5e, 7, 1, 2, 3, 4, 5, 0]);
    let wire = a.send(&inner).unwrap();
    gateway_pair::delivered(&mut b, &wire, &inner);
}

#[test]
fn bypassed_packets_keep_their_headers() {
    let mut b = Gateway::new(&policy(A, B, "any", "in", "none"), B);
    let packet = insert4(&ipv4(A, B, IpProto::UDP, &[0; 16]), &[0x83, 7, 4, 203, 0, 113, 66, 0]);
    assert_eq!(b.receive(&packet), (Received::Bypass, packet.clone()));
    assert!(Ipv4::parse(&packet).is_ok());
}
