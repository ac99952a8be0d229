//! Selectors compared with packets; address ranges compared with a bit-string model.

mod packet_builder;

use std::net::IpAddr;

use ipsec_packet::{AddressRange, Detail, Flow, IpProto, Match, PortRange, Selector, Upper};
use packet_builder::{v4_between, v6_between};
use test_vectors::support::address;
use test_vectors::support::checksum::set_ipv4_checksum;

/// Builds an IPv4 packet with these 16 bits of flags and fragment offset.
fn v4(proto: u8, flags_and_offset: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = v4_between([10, 1, 2, 3].into(), [10, 2, 3, 4].into(), &[], IpProto(proto), payload);
    packet[6..8].copy_from_slice(&flags_and_offset.to_be_bytes());
    set_ipv4_checksum(&mut packet);
    packet
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    v6_between([0x20; 16].into(), [0x21; 16].into(), IpProto(next), payload)
}

const PORTS: [u8; 8] = [0, 7, 0, 9, 0, 8, 0, 0];

#[test]
fn flow_is_read_from_packet() {
    let dst_opts = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |next, offset: u16, more: u16| {
        let word = (offset << 3 | more).to_be_bytes();
        [next, 0, word[0], word[1], 0, 0, 0, 1]
    };
    for (packet, proto, detail, what) in [
        (v4(17, 0, &PORTS), 17, Detail::Ports(7, 9), "UDP"),
        (v4(6, 0x4000, &PORTS), 6, Detail::Ports(7, 9), "TCP with DF"),
        (v4(132, 0, &PORTS), 132, Detail::Ports(7, 9), "SCTP"),
        (v4(136, 0, &PORTS), 136, Detail::Ports(7, 9), "UDP-Lite"),
        (v4(33, 0, &PORTS), 33, Detail::Ports(7, 9), "DCCP"),
        (v4(1, 0, &[8, 3, 1, 1]), 1, Detail::Icmp(8, 3), "ICMP"),
        (v4(17, 0x2000, &PORTS), 17, Detail::Ports(7, 9), "first fragment"),
        (v4(17, 0x2001, &PORTS), 17, Detail::Opaque, "later fragment"),
        (v4(1, 1, &[8, 3]), 1, Detail::Opaque, "last fragment"),
        (v4(50, 1, &PORTS), 50, Detail::None, "later fragment of ESP, which has no ports"),
        (v4(17, 0x2000, &PORTS[..3]), 17, Detail::Opaque, "tiny first fragment"),
        (v4(1, 0, &[8]), 1, Detail::Opaque, "truncated"),
        (v4(17, 0, &[]), 17, Detail::Opaque, "empty"),
        (v4(47, 0, &[]), 47, Detail::None, "GRE"),
        (v6(17, &PORTS), 17, Detail::Ports(7, 9), "UDP"),
        (v6(58, &[135, 0]), 58, Detail::Icmp(135, 0), "neighbor solicitation"),
        (
            v6(0, &[&dst_opts(60)[..], &dst_opts(17), &PORTS].concat()),
            17,
            Detail::Ports(7, 9),
            "after destination options",
        ),
        (v6(44, &[&fragment(17, 0, 1)[..], &PORTS].concat()), 17, Detail::Ports(7, 9), "first fragment"),
        (v6(44, &[&fragment(17, 0, 0)[..], &PORTS].concat()), 17, Detail::Ports(7, 9), "atomic fragment"),
        (v6(44, &[&fragment(17, 5, 1)[..], &PORTS].concat()), 44, Detail::Opaque, "later fragment"),
        (v6(44, &[&fragment(59, 5, 0)[..], &PORTS].concat()), 44, Detail::Opaque, "later fragment with no next header"),
        (v6(44, &[&fragment(50, 5, 0)[..], &PORTS].concat()), 44, Detail::Opaque, "later fragment of ESP"),
        (
            v6(44, &[&fragment(60, 5, 0)[..], &PORTS].concat()),
            44,
            Detail::Opaque,
            "later fragment with destination options",
        ),
        (
            v6(44, &[&fragment(60, 0, 1)[..], &dst_opts(17), &PORTS].concat()),
            17,
            Detail::Ports(7, 9),
            "destination options in the first fragment",
        ),
        (v6(51, &[&[17, 4][..], &[0; 22], &PORTS].concat()), 51, Detail::None, "headers after AH are not read"),
        (v6(50, &PORTS), 50, Detail::None, "headers after ESP are not read"),
    ] {
        let flow = Flow::read(&packet).unwrap();
        assert_eq!((flow.protocol, flow.detail), (IpProto(proto), detail), "{what}");
    }
    assert!(Flow::read(&v6(60, &[17])).is_err() && Flow::read(&[0x45]).is_err() && Flow::read(&[]).is_err());
}

#[test]
fn reversed_flow_matches_the_reply() {
    let flow = Flow::read(&v4(17, 0, &PORTS)).unwrap();
    let back = flow.reversed();
    assert_eq!((back.source, back.destination), (address("10.2.3.4"), address("10.1.2.3")));
    assert_eq!((back.detail, back.reversed()), (Detail::Ports(9, 7), flow));
    assert_eq!(flow.to_string(), "10.1.2.3[7] 10.2.3.4[9] udp");
}

#[test]
fn selector_matches_flow() {
    let one = PortRange::one;
    let (ports, icmp) = (|p| Upper::Ports(p, PortRange::ANY, one(9)), |code| Upper::Icmp(IpProto::ICMP, 8, code));
    let (udp, tcp) = (Some(IpProto::UDP), Some(IpProto::TCP));
    use Match::{No, Unknown, Yes};
    let whole = v4(17, 0, &PORTS);
    let later = v4(17, 1, &PORTS);
    let echo = v4(1, 0, &[8, 0]);
    let gre = v4(47, 0, &PORTS);
    let named = v6(44, &[59, 0, 0, 8, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    let hidden = v6(44, &[60, 0, 0, 8, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    for (packet, upper, expected) in [
        (&whole, Upper::Any, Yes),
        (&later, Upper::Any, Yes),
        (&hidden, Upper::Any, Yes),
        (&whole, Upper::Protocol(IpProto::UDP), Yes),
        (&later, Upper::Protocol(IpProto::UDP), Yes),
        (&later, Upper::Protocol(IpProto::TCP), No),
        (&whole, ports(udp), Yes),
        (&whole, ports(None), Yes),
        (&whole, ports(tcp), No),
        (&whole, Upper::Ports(udp, one(8), one(9)), No),
        (&whole, Upper::Ports(udp, one(7), one(8)), No),
        (&later, ports(udp), Unknown),
        (&later, ports(None), Unknown),
        (&later, ports(tcp), No),
        (&later, Upper::Ports(udp, PortRange::ANY, PortRange::ANY), Yes),
        (&later, Upper::Ports(None, PortRange::ANY, PortRange::ANY), Yes),
        (&gre, ports(None), No),
        (&v4(47, 1, &PORTS), ports(None), No),
        (&v4(1, 1, &[8, 0]), ports(None), No),
        (&gre, Upper::Ports(Some(IpProto(47)), PortRange::ANY, PortRange::ANY), Yes),
        (&gre, Upper::Ports(None, PortRange::ANY, PortRange::ANY), No),
        (&echo, icmp(None), Yes),
        (&echo, icmp(Some(0)), Yes),
        (&echo, icmp(Some(1)), No),
        (&echo, Upper::Icmp(IpProto::ICMP, 0, None), No),
        (&v4(1, 1, &[8, 0]), icmp(None), Unknown),
        (&whole, icmp(None), No),
        (&hidden, Upper::Protocol(IpProto::UDP), Unknown),
        (&hidden, Upper::Protocol(IpProto::FRAGMENT), Unknown),
        (&hidden, Upper::Ports(None, PortRange::ANY, PortRange::ANY), Unknown),
        (&hidden, Upper::Ports(udp, PortRange::ANY, PortRange::ANY), Unknown),
        (&named, Upper::Protocol(IpProto::TCP), Unknown),
        (&named, Upper::Protocol(IpProto(59)), Unknown),
        (&named, Upper::Any, Yes),
        (&hidden, ports(udp), Unknown),
        (&hidden, Upper::Icmp(IpProto::ICMPV6, 135, None), Unknown),
    ] {
        let flow = Flow::read(packet).unwrap();
        let any = if packet[0] >> 4 == 4 { AddressRange::ANY_V4 } else { AddressRange::ANY_V6 };
        let selector = Selector { source: any, destination: any, upper };
        assert_eq!(selector.matches(&flow), expected, "{upper:?} {flow}");
        let elsewhere = AddressRange::host(address(if packet[0] >> 4 == 4 { "10.9.9.9" } else { "::9" }));
        assert_eq!(Selector { source: elsewhere, ..selector }.matches(&flow), No);
        assert_eq!(Selector { destination: elsewhere, ..selector }.matches(&flow), No);
    }
}

#[test]
fn prefix_range_agrees_with_bit_string_model() {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(a) => format!("{:032b}", a.to_bits()),
        IpAddr::V6(a) => format!("{:0128b}", a.to_bits()),
    };
    let samples = ["0.0.0.0", "10.1.2.3", "10.1.2.255", "10.1.3.0", "128.0.0.0", "255.255.255.255"];
    let six =
        ["::", "2001:db8::1", "2001:db8::ffff", "2001:db9::", "8000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
    for (samples, longest) in [(samples, 32), (six, 128)] {
        for of in samples.map(address) {
            for length in 0..=longest {
                let range = AddressRange::prefix(of, length).unwrap();
                assert_eq!(range.prefix_length(), Some(length));
                for other in samples.map(address) {
                    let expected = bits(of)[..length.into()] == bits(other)[..length.into()];
                    assert_eq!(range.contains(other), expected, "{of}/{length} {other}");
                }
            }
            assert_eq!(AddressRange::prefix(of, longest + 1), None);
        }
    }
    assert!(!AddressRange::ANY_V4.contains(address("::")) && !AddressRange::ANY_V6.contains(address("0.0.0.0")));
}

#[test]
fn range_that_is_not_a_prefix_contains_its_addresses_only() {
    let range = AddressRange::new(address("10.0.0.5"), address("10.0.1.7")).unwrap();
    for (inside, expected) in
        [("10.0.0.4", false), ("10.0.0.5", true), ("10.0.1.0", true), ("10.0.1.7", true), ("10.0.1.8", false)]
    {
        assert_eq!(range.contains(address(inside)), expected, "{inside}");
    }
    assert_eq!((range.prefix_length(), range.to_string()), (None, "10.0.0.5-10.0.1.7".into()));
    assert_eq!(AddressRange::new(address("10.0.0.5"), address("10.0.0.4")), None);
    assert_eq!(AddressRange::new(address("10.0.0.5"), address("::1")), None);
    assert_eq!(AddressRange::prefix(address("10.1.2.3"), 8).unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(AddressRange::new(address("10.0.0.0"), address("10.0.0.2")).unwrap().prefix_length(), None);
}
