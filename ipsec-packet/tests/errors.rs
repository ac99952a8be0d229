//! What errors say, and the values they carry.

mod common;

use common::*;
use ipsec_packet::{
    BeetError, DfPolicy, HopLimitPolicy, Ip, IpError, IpProto, Ipv4, NoSpace, StateError, TooShort, Tunnel,
    TunnelError, UdpError,
};

#[test]
fn errors_of_buffers_name_the_side_and_the_octets() {
    let front = NoSpace::Front { needed: 24, available: 8 };
    assert_eq!(front.to_string(), "no room in front of the packet: 24 octets needed, 8 there");
    let back = NoSpace::Back { needed: 30, available: 0 };
    assert_eq!(back.to_string(), "no room behind the packet: 30 octets needed, 0 there");
    let short = TooShort { needed: 20, available: 19 };
    assert_eq!(short.to_string(), "packet too short: 20 octets needed, 19 there");
    assert_eq!(IpError::from(short).to_string(), short.to_string());
    assert_eq!(IpError::from(back).to_string(), back.to_string());
}

#[test]
fn errors_of_headers_name_the_field() {
    for (error, text) in [
        (IpError::Version(5), "ip version 5"),
        (IpError::HeaderLength(4), "ipv4 header length of 4 words"),
        (IpError::Length { claimed: 9, available: 40 }, "ip length field says 9 octets, 40 are there"),
        (IpError::TooLong(65536), "ip packet of 65536 octets"),
        (IpError::Fragment, "fragment"),
        (IpError::TooManyExtensions, "too many ipv6 extension headers"),
        (IpError::Extension { offset: 48 }, "malformed ipv6 extension header at octet 48"),
        (IpError::NotFound, "no such header in the packet"),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(BeetError::from(error).to_string(), text);
    }
    assert_eq!(BeetError::WrongInner.to_string(), "addresses are not the inner addresses of the sa");
    assert_eq!(BeetError::PseudoHeader.to_string(), "malformed or misplaced beet header");
}

#[test]
fn errors_of_tunnels_udp_and_states_say_what_is_wrong() {
    for (error, text) in [
        (TunnelError::Inner(IpError::Fragment), "inner packet: fragment"),
        (TunnelError::InnerVersion, "inner packet has another ip version than the next header says"),
        (TunnelError::NotIp(IpProto::ESP), "esp where an inner ip packet belongs"),
        (TunnelError::WrongEnds, "outer addresses are not those of the tunnel"),
        (TunnelError::CongestionLost, "congestion marked on a packet without ecn"),
        (TunnelError::HopLimit, "hop limit used up"),
    ] {
        assert_eq!(error.to_string(), text);
    }
    let length = UdpError::Length { claimed: 9, available: 8 };
    assert_eq!(length.to_string(), "udp length field says 9 octets, 8 are there");
    assert_eq!(UdpError::TooLong(65536).to_string(), "udp datagram of 65536 octets");
    assert_eq!(StateError::Malformed.to_string(), "malformed state");
    assert_eq!(StateError::Version(9).to_string(), "state of unknown version 9");
    let back = StateError::GoesBack { held: 7, offered: 6 };
    assert_eq!(back.to_string(), "state goes back: 6 offered, 7 held");
}

#[test]
fn a_tunnel_takes_new_ends_and_keeps_the_rest() {
    let tunnel = Tunnel::v4(V4_A, V4_B).with_hop_limit(HopLimitPolicy::Set(9)).with_df(DfPolicy::Clear);
    let v4 = Tunnel::v4(V4_B, V4_A).with_hop_limit(HopLimitPolicy::Set(9)).with_df(DfPolicy::Clear);
    let v6 = Tunnel::v6(V6_A, V6_B).with_hop_limit(HopLimitPolicy::Set(9)).with_df(DfPolicy::Clear);
    assert_eq!(tunnel.with_ends(V4_B.into(), V4_A.into()), Some(v4));
    assert_eq!(tunnel.with_ends(V6_A.into(), V6_B.into()), Some(v6));
    assert_eq!(tunnel.with_ends(V4_A.into(), V6_B.into()), None);
    assert_eq!(tunnel.with_ends(V6_A.into(), V4_B.into()), None);
}

#[test]
fn the_version_that_is_wrong_is_told() {
    let packet = v4(&[], IpProto::UDP, &[7; 8]);
    for version in (0..=15).filter(|version| *version != 4) {
        let mut other = packet.clone();
        other[0] = version << 4 | 5;
        assert_eq!(Ipv4::parse(&other).err(), Some(IpError::Version(version)));
        if version != 6 {
            assert_eq!(Ip::parse(&other).err(), Some(IpError::Version(version)));
        }
    }
}

#[test]
fn a_header_checksum_holds_or_does_not() {
    let packet = v4(&[1, 1, 1, 0], IpProto::UDP, &[7; 8]);
    assert!(Ipv4::parse(&packet).unwrap().has_valid_checksum());
    for at in (1..24).filter(|at| !(2..4).contains(at)) {
        let mut changed = packet.clone();
        changed[at] ^= 1;
        assert!(!Ipv4::parse(&changed).unwrap().has_valid_checksum(), "octet {at}");
    }
}

#[test]
fn protocols_have_names_and_numbers() {
    assert_eq!((format!("{}", IpProto::ESP), format!("{:?}", IpProto::ESP)), ("esp".into(), "esp".into()));
    assert_eq!((format!("{}", IpProto(253)), format!("{:?}", IpProto(253))), ("proto-253".into(), "proto-253".into()));
}
