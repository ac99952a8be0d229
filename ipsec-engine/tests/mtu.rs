//! `policy_mtu` compared with exhaustive search, "packet too big", and path MTU reports of routers.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, ip, udp};
use gateway_pair::*;
use ipsec_engine::{Direction, DiscardReason, OutboundAction, Protocol};
use ipsec_packet::{DfPolicy, IpProto, TooBig, too_big_reply};

/// Builds a packet of exactly this length with DF set.
fn of_length(from: &str, to: &str, length: usize) -> Vec<u8> {
    let head = if from.contains(':') { 40 } else { 20 };
    let mut packet = ip(from, to, IpProto(99), &vec![7; length - head]);
    if head == 20 {
        packet[6] |= 0x40;
    }
    packet
}

const SUITES: [&str; 6] = [
    KEYS,
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha2-256 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "-E aes-gcm-16 0x000102030405060708090a0b0c0d0e0f10111213",
    "-E aes-ctr 0x000102030405060708090a0b0c0d0e0f10111213 -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213",
    "-E null -A hmac-md5 0x000102030405060708090a0b0c0d0e0f",
    "-E 3des-cbc 0x0001020304050607f0e0d0c0b0a09080a1a2a3a4a5a6a7a8 -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213",
];

fn one_sa(suite: &str, protocol: &str, from: &str, to: &str, rest: &str) -> String {
    let ports = if protocol == "esp-udp" { "[4500]" } else { "" };
    format!("add {from}{ports} {to}{ports} {protocol} 0x1001 {rest} {suite};\n")
}

//= RFC 4303 1/2
//# MUST: integrity-only can be configured through a management interface
#[test]
fn policy_mtu_agrees_with_exhaustive_search() {
    let mut cases = Vec::new();
    for suite in SUITES {
        for (from, to) in [(A, B), (A6, B6)] {
            let t = format!("{from}-{to}");
            cases.push((
                one_sa(suite, "esp", from, to, "-m tunnel"),
                format!("esp/tunnel/{t}/require"),
                ("10.1.2.3", "10.2.3.4"),
            ));
            cases.push((
                one_sa(suite, "esp-udp", from, to, "-m tunnel"),
                format!("esp/tunnel/{t}/require"),
                ("2001:db8:1::1", "2001:db8:2::1"),
            ));
            cases.push((one_sa(suite, "esp", from, to, "-m transport"), "esp/transport//require".into(), (from, to)));
            let sas = one_sa(suite, "esp", from, to, "-m tunnel")
                + &ah(from, to, 0x1002, "-m tunnel")
                + &ah(from, to, 0x1003, "-m transport");
            cases.push((
                sas.clone(),
                format!("esp/tunnel/{t}/require ah/transport//require"),
                ("10.1.2.3", "10.2.3.4"),
            ));
            cases.push((
                sas.clone(),
                format!("ah/tunnel/{t}/require esp/tunnel/{t}/require"),
                ("10.1.2.3", "10.2.3.4"),
            ));
            cases.push((
                sas,
                format!("esp/tunnel/{t}/require ah/tunnel/{t}/require"),
                ("2001:db8:1::1", "2001:db8:2::1"),
            ));
        }
    }
    for (sas, action, (from, to)) in cases {
        let any = if from.contains(':') { "::/0" } else { "0.0.0.0/0" };
        let mut a =
            Gateway::new(&format!("{sas}{}", policy(any, any, "any", "out", &format!("ipsec {action}"))), "0.0.0.0");
        for mtu in [1380, 1411, 1500] {
            a.engine.settings_mut().link_mtu = None;
            let fits = |a: &mut Gateway, inner| a.send(&of_length(from, to, inner)).unwrap().len() <= usize::from(mtu);
            let Some(largest) = (1281..=usize::from(mtu)).rev().find(|&inner| fits(&mut a, inner)) else { continue };
            // The outer length grows with the inner length in steps and never decreases.
            assert!((largest - 40..largest).all(|inner| fits(&mut a, inner)));
            a.engine.settings_mut().link_mtu = Some(mtu);
            let like = of_length(from, to, 200);
            assert_eq!(a.engine.policy_mtu(&like, a.now).map(usize::from), Some(largest), "{sas} {action} {mtu}");
            assert!(a.send(&of_length(from, to, largest)).is_ok());
            let over = of_length(from, to, largest + 1);
            let reported = DiscardReason::TooBig { mtu: largest as u16 };
            assert_eq!(a.send(&over), Err(not_sent(reported)), "{sas} {action}");
        }
    }
}

#[test]
fn policy_mtu_is_that_of_the_route_of_the_outermost_header() {
    let (mut a, _) = esp_tunnel();
    let ends = (address(A), address(B));
    let mut over = |mtu: Option<u16>| {
        let route = |source, destination| {
            assert_eq!((source, destination), ends);
            mtu
        };
        a.engine.policy_mtu_over(&inner(), a.now, route)
    };
    let (none, narrow, wide) = (over(None), over(Some(1000)).unwrap(), over(Some(1500)).unwrap());
    assert_eq!(none, None);
    assert!(narrow < 1000 && (1000..1500).contains(&wide), "{narrow} {wide}");
    a.engine.settings_mut().link_mtu = Some(1000);
    assert_eq!(a.engine.policy_mtu_over(&inner(), a.now, |_, _| Some(1500)), Some(narrow));
    assert_eq!(a.engine.policy_mtu(&inner(), a.now), Some(narrow));
}

#[test]
fn an_sa_with_a_packet_limit_names_the_size_of_fragments() {
    let sas = one_sa(SUITES[5], "esp", A, B, "-m tunnel -esp_frag 552");
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let gateway = |from: &str, upper: &str| {
        Gateway::new(&format!("{sas}{}", policy(from, "0.0.0.0/0", upper, "out", &action)), "0.0.0.0")
    };
    let size = |a: &mut Gateway, packet: &[u8]| a.engine.fragment_size(packet, a.now);
    let mut long = of_length("10.1.2.3", "10.2.3.4", 1400);
    let mut a = gateway("0.0.0.0/0", "any");
    let mtu = a.engine.policy_mtu(&long, a.now).unwrap();
    assert_eq!(size(&mut a, &long), None, "the packet must not be fragmented");
    assert_eq!(a.send(&long), Err(not_sent(DiscardReason::TooBig { mtu })));
    // UDP with the ports 0x0707.
    (long[6], long[9]) = (0, 17);
    assert_eq!(size(&mut a, &long), Some(mtu));
    let fits = of_length("10.1.2.3", "10.2.3.4", mtu.into());
    assert_eq!(size(&mut a, &[&fits[..6], &[0], &fits[7..]].concat()), None);
    assert!((545..=552).contains(&a.send(&fits).unwrap().len()));
    assert_eq!(size(&mut gateway("0.0.0.0/0", "udp"), &long), Some(mtu));
    assert_eq!(size(&mut gateway("0.0.0.0/0[1799]", "udp"), &long), None, "later fragments have no ports");
    assert_eq!(size(&mut gateway("10.9.0.0/16", "any"), &long), None, "no policy matches");
    (long[6], long[7]) = (0x20, 0);
    assert_eq!(size(&mut a, &long), None, "it is a fragment");
}

#[test]
fn policy_mtu_is_none_without_limit_policy_or_sa() {
    let (mut a, _) = esp_tunnel();
    assert_eq!(a.engine.policy_mtu(&inner(), a.now), None, "no link MTU");
    a.engine.settings_mut().link_mtu = Some(1500);
    assert!(a.engine.policy_mtu(&inner(), a.now).is_some());
    assert_eq!(a.engine.policy_mtu(&host(), a.now), None, "no policy");
    a.engine.remove(&key(Direction::Outbound, B, Protocol::Esp, 0x1001), address(A)).unwrap();
    assert_eq!(a.engine.policy_mtu(&inner(), a.now), None, "no SA");
    assert_eq!(events(&mut a), [], "policy_mtu requests no SA");
}

#[test]
fn too_big_applies_only_to_packets_with_df() {
    let (mut a, _) = esp_tunnel();
    a.engine.settings_mut().link_mtu = Some(1400);
    let mut packet = of_length("10.1.2.3", "10.2.3.4", 1400);
    let Err(OutboundAction::Discard(DiscardReason::TooBig { mtu })) = a.send(&packet) else {
        panic!("expected TooBig")
    };
    let sa = key(Direction::Outbound, B, Protocol::Esp, 0x1001);
    assert_eq!(a.engine.sa(&sa, address(A)).unwrap().usage.packets, 0, "sequence number was used");
    assert!(a.send(&of_length("10.1.2.3", "10.2.3.4", mtu.into())).unwrap().len() <= 1400);
    packet[6] &= !0x40;
    let wire = a.send(&packet).unwrap();
    assert!(wire.len() > 1400 && wire[6] & 0x40 == 0, "outer packet must be fragmentable as the inner packet is");
}

/// RFC 8200 section 5: a sender need not make packets smaller than 1280 octets.
#[test]
fn ipv6_packets_up_to_1280_octets_are_always_sent() {
    let sa = esp(A6, B6, 0x1001, "-m tunnel");
    let action = format!("ipsec esp/tunnel/{A6}-{B6}/require");
    let (mut a, _) = one_way(&sa, "2001:db8:1::/48", "2001:db8:2::/48", &action, (A6, B6));
    a.engine.settings_mut().link_mtu = Some(1280);
    let packet = |length| of_length("2001:db8:1::1", "2001:db8:2::1", length);
    assert_eq!(a.send(&packet(1281)), Err(not_sent(DiscardReason::TooBig { mtu: 1280 })));
    assert!(a.send(&packet(1280)).unwrap().len() > 1280);
    a.engine.settings_mut().link_mtu = Some(1500);
    let Err(OutboundAction::Discard(DiscardReason::TooBig { mtu })) = a.send(&packet(1500)) else {
        panic!("expected TooBig")
    };
    assert!(mtu > 1280 && a.send(&packet(mtu.into())).unwrap().len() <= 1500);
}

/// RFC 4213 section 3.2.1: an IPv6 packet of at most 1280 octets that exceeds the IPv4 path MTU must not get DF.
#[test]
fn ipv4_tunnel_of_ipv6_packets_up_to_1280_octets_is_fragmentable() {
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let (mut a, _) = one_way(&esp(A, B, 0x1001, "-m tunnel"), "2001:db8:1::/48", "2001:db8:2::/48", &action, (A, B));
    a.engine.settings_mut().link_mtu = Some(1300);
    let wire = a.send(&of_length("2001:db8:1::1", "2001:db8:2::1", 1280)).unwrap();
    assert!(wire.len() <= 1300 || wire[6] & 0x40 == 0, "{} octets with DF over a link of 1300", wire.len());
}

fn report(mtu: u16) -> TooBig {
    TooBig {
        source: address(A),
        destination: address(B),
        protocol: IpProto::ESP,
        spi: ipsec_packet::Spi::new(0x1001).ok(),
        ports: None,
        sequence: None,
        mtu,
    }
}

fn mtu(gateway: &mut Gateway) -> Option<u16> {
    gateway.engine.policy_mtu(&inner(), gateway.now)
}

#[test]
fn path_mtu_report_about_another_sa_is_ignored() {
    let (mut a, _) = esp_tunnel();
    let strangers = [
        TooBig { source: address("192.0.2.9"), ..report(1000) },
        TooBig { destination: address("198.51.100.9"), ..report(1000) },
        TooBig { protocol: IpProto::AH, ..report(1000) },
        TooBig { spi: ipsec_packet::Spi::new(0x1002).ok(), ..report(1000) },
    ];
    for stranger in strangers {
        assert!(!a.engine.path_mtu_report(&stranger, a.now), "{stranger:?}");
    }
    assert_eq!(mtu(&mut a), None);
}

#[test]
fn path_mtu_report_lowers_the_mtu_and_never_raises_it() {
    let (mut a, _) = esp_tunnel();
    assert_eq!(mtu(&mut a), None);
    assert!(a.engine.path_mtu_report(&report(1400), a.now));
    let first = mtu(&mut a).unwrap();
    assert!(first < 1400 && first > 1300);
    for higher in [1400, 1500, u16::MAX] {
        assert!(!a.engine.path_mtu_report(&report(higher), a.now), "report raised the path MTU");
    }
    assert_eq!(mtu(&mut a), Some(first));
}

/// A forged report does not lower the path MTU below [`Settings::min_path_mtu`].
#[test]
fn path_mtu_report_does_not_lower_the_path_mtu_below_576_for_ipv4() {
    let (mut a, _) = esp_tunnel();
    assert!(a.engine.path_mtu_report(&report(0), a.now));
    let least = mtu(&mut a).unwrap();
    assert!(least > 500 && least < 576);
    assert!(!a.engine.path_mtu_report(&report(68), a.now));
    assert_eq!(mtu(&mut a), Some(least));
}

#[test]
fn path_mtu_report_does_not_lower_the_path_mtu_below_1280_for_ipv6() {
    let (mut b, _) = one_way(&esp(A6, B6, 0x1001, "-m transport"), A6, B6, "ipsec esp/transport//require", (A6, B6));
    let six = TooBig { source: address(A6), destination: address(B6), ..report(600) };
    assert!(b.engine.path_mtu_report(&six, b.now) && !b.engine.path_mtu_report(&six, b.now));
    assert!(b.engine.policy_mtu(&udp(A6, B6, 1, 2, b""), b.now).is_some_and(|mtu| mtu > 1200 && mtu < 1280));
}

/// A router reports an ESP packet as too big, the report lowers the path MTU, and the next packet is answered with
/// ICMP.
//= RFC 4303 3.3.4/1
//# MUST: ICMP pmtu messages can be generated
#[test]
fn path_mtu_report_reaches_the_host_behind_the_tunnel() {
    let (mut a, _) = esp_tunnel();
    let big = of_length("10.1.2.3", "10.2.3.4", 1400);
    let wire = a.send(&big).unwrap();
    let mut room = [0; 576];
    let answer = too_big_reply(&wire, 1300, address("203.0.113.254"), &mut room).unwrap();
    let report = TooBig::read(answer).unwrap().unwrap();
    assert_eq!((report.spi.unwrap().get(), report.mtu, report.protocol), (0x1001, 1300, IpProto::ESP));
    assert!(a.engine.path_mtu_report(&report, a.now));
    let Err(OutboundAction::Discard(DiscardReason::TooBig { mtu })) = a.send(&big) else {
        panic!("expected TooBig after the report")
    };
    let mut room = [0; 576];
    let answer = too_big_reply(&big, mtu, address("10.1.0.1"), &mut room).unwrap();
    assert_eq!(
        (&answer[16..20], &answer[20..22], &answer[26..28]),
        (&[10, 1, 2, 3][..], &[3, 4][..], &mtu.to_be_bytes()[..])
    );
    assert!(a.send(&of_length("10.1.2.3", "10.2.3.4", mtu.into())).unwrap().len() <= 1300);
}

/// RFC 4301 section 8.2.2: the path MTU of an SA MUST be aged.
#[test]
fn reported_path_mtu_is_aged() {
    let (mut a, _) = esp_tunnel();
    a.engine.settings_mut().link_mtu = Some(1500);
    let before = a.engine.policy_mtu(&inner(), a.now);
    a.engine.path_mtu_report(&report(576), a.now);
    a.now += std::time::Duration::from_secs(24 * 3600);
    a.engine.tick(a.now);
    assert_eq!(a.engine.policy_mtu(&inner(), a.now), before);
}

#[test]
fn tfc_padding_does_not_exceed_the_mtu() {
    let packet = |length| of_length("10.1.2.3", "10.2.3.4", length);
    for (link, reported) in
        [(Some(1400), None), (Some(600), None), (None, Some(1000)), (None, Some(300)), (Some(1300), Some(900))]
    {
        let (mut a, mut b) = esp_tunnel();
        a.engine.settings_mut().link_mtu = link;
        let padded = a.engine.update(&key(Direction::Outbound, B, Protocol::Esp, 0x1001), address(A), |sa| {
            assert!(sa.set_padding(esp_core::Padding::MINIMAL.tfc_to(1400)));
        });
        padded.unwrap();
        if let Some(mtu) = reported {
            assert!(a.engine.path_mtu_report(&report(mtu), a.now));
        }
        let mtu = link.into_iter().chain(reported.map(|reported| reported.max(576))).min().unwrap();
        for length in [33, 60, 500] {
            let sent = packet(length);
            let wire = carries(&mut a, &mut b, &sent);
            assert!(wire.len() <= mtu.into(), "{} octets exceed the MTU {mtu}", wire.len());
            assert!(wire.len() + 16 > mtu.into(), "not padded to the MTU: {} of {mtu} octets", wire.len());
        }
        // A packet that does not fit without padding is refused with the MTU for the inner packet.
        let Err(OutboundAction::Discard(DiscardReason::TooBig { mtu: inner })) = a.send(&packet(1450)) else {
            panic!("expected TooBig")
        };
        assert!(usize::from(inner) + 100 > mtu.into() && inner < mtu, "inner MTU {inner} at MTU {mtu}");
        carries(&mut a, &mut b, &packet(inner.into()));
    }
}

#[test]
fn path_mtu_report_about_unsent_packet_is_ignored() {
    let (mut a, _) = esp_tunnel();
    let of = |sequence| TooBig { sequence: Some(sequence), ..report(1000) };
    let now = a.now;
    assert!(!a.engine.path_mtu_report(&of(1), now), "no packet was sent");
    for _ in 0..3 {
        a.send(&inner()).unwrap();
    }
    assert!(!a.engine.path_mtu_report(&of(4), now) && !a.engine.path_mtu_report(&of(0), now));
    assert!(a.engine.path_mtu_report(&of(3), now));
    a.engine.settings_mut().min_path_mtu = [1200, 1400];
    let (mut a, _) = esp_tunnel();
    a.engine.settings_mut().min_path_mtu = [1200, 1400];
    a.engine.path_mtu_report(&report(100), now);
    assert_eq!(a.engine.policy_mtu(&inner(), now).map(|mtu| mtu > 1100), Some(true), "minimum path MTU is a setting");
}

#[test]
fn path_mtu_report_about_esp_in_udp_finds_its_sa_by_ports() {
    let text = |from: u16, to: u16, spi: u32| {
        esp(&format!("{A}[{from}]"), &format!("{B}[{to}]"), spi, "-m tunnel").replace(" esp ", " esp-udp ")
    };
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let all = text(4500, 4500, 0x1001)
        + &text(4500, 1024, 0x1002)
        + &policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action);
    let ports = |source, destination| Some(ipsec_packet::Ports { source, destination });
    for (ports, spi, lowered) in [
        (ports(4500, 4500), None, true),
        (ports(4500, 1024), None, true),
        (ports(4500, 1025), None, false),
        (ports(4500, 4500), Some(0x1001), true),
        (ports(4500, 4500), Some(0x1002), false),
        (None, Some(0x1001), false),
    ] {
        let mut a = Gateway::new(&all, A);
        let spi = spi.map(|spi| ipsec_packet::Spi::new(spi).unwrap());
        let reported = TooBig { ports, spi, ..report(1000) };
        assert_eq!(a.engine.path_mtu_report(&reported, a.now), lowered, "{reported:?}");
    }
}

#[test]
fn outer_packet_with_df_fits_the_link_mtu() {
    let action = format!("ipsec esp/tunnel/{A}-{B}/require");
    let mut a = Gateway::new(&policy("10.1.0.0/16", "10.2.0.0/16", "any", "out", &action), A);
    let sa =
        sa(&esp(A, B, 0x1001, "-m tunnel"), Direction::Outbound).with_tunnel(|tunnel| tunnel.with_df(DfPolicy::Set));
    a.engine.install(sa, a.now).unwrap();
    a.engine.settings_mut().link_mtu = Some(1000);
    if let Ok(wire) = a.send(&udp("10.1.2.3", "10.2.3.4", 1, 2, &[7; 1200])) {
        assert!(wire[6] & 0x40 == 0, "{} octets with DF on a link of 1000", wire.len());
    }
}

#[test]
fn packet_that_would_exceed_65535_octets_is_refused() {
    let (mut a, _) = esp_tunnel();
    let large = udp("10.1.2.3", "10.2.3.4", 1, 2, &vec![7; 65_500]);
    let refused = a.send(&large).unwrap_err();
    assert!(
        matches!(refused, OutboundAction::Discard(DiscardReason::Malformed(ipsec_packet::IpError::TooLong(_)))),
        "{refused:?}"
    );
    assert_eq!(a.engine.sas().next().unwrap().usage.packets, 0);
    let fits = udp("10.1.2.3", "10.2.3.4", 1, 2, &vec![7; 65_400]);
    assert!(a.send(&fits).is_ok());
}
