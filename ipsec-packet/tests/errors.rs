//! Messages of the errors, and the values that they carry.

mod packet_builder;

use ipsec_packet::{
    BeetError, DfPolicy, HopLimitPolicy, Ip, IpError, IpProto, Ipv4, NoSpace, StateError, TooShort, Tunnel,
    TunnelError, UdpError,
};
use packet_builder::*;

#[test]
fn buffer_errors_name_side_and_octets() {
    let front = NoSpace::Front { needed: 24, available: 8 };
    assert_eq!(front.to_string(), "headroom too small: 24 octets needed, 8 available");
    let back = NoSpace::Back { needed: 30, available: 0 };
    assert_eq!(back.to_string(), "tailroom too small: 30 octets needed, 0 available");
    let short = TooShort { needed: 20, available: 19 };
    assert_eq!(short.to_string(), "packet too short: 20 octets needed, 19 available");
    assert_eq!(IpError::from(short).to_string(), short.to_string());
    assert_eq!(IpError::from(back).to_string(), back.to_string());
}

#[test]
fn header_errors_name_the_field() {
    for (error, text) in [
        (IpError::Version(5), "unknown IP version 5"),
        (IpError::HeaderLength(4), "invalid IPv4 header length: got 4 words, expected 5 or more"),
        (IpError::Length { claimed: 9, available: 40 }, "IP length mismatch: length field has 9 octets, 40 available"),
        (IpError::TooLong(65536), "IP packet too long: 65536 octets, at most 65535 allowed"),
        (IpError::Fragment, "fragment"),
        (IpError::TooManyExtensions, "too many IPv6 extension headers: expected at most 16"),
        (IpError::Extension { offset: 48 }, "malformed IPv6 extension header at octet 48"),
        (IpError::NotFound, "header not found in the packet"),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(BeetError::from(error).to_string(), text);
    }
}

#[test]
fn beet_errors_name_their_cause() {
    assert_eq!(BeetError::InnerAddressMismatch.to_string(), "addresses do not match the inner addresses of the SA");
    assert_eq!(BeetError::PseudoHeader.to_string(), "malformed or misplaced BEET header");
}

#[test]
fn tunnel_errors_name_their_cause() {
    for (error, text) in [
        (TunnelError::Inner(IpError::Fragment), "inner packet: fragment"),
        (TunnelError::InnerVersion, "IP version of the inner packet does not match the next header"),
        (TunnelError::NotIp(IpProto::ESP), "unexpected next header esp: expected an inner IP packet"),
        (TunnelError::EndpointMismatch, "outer addresses do not match the tunnel"),
        (TunnelError::CongestionLost, "congestion marked on a packet without ECN"),
        (TunnelError::HopLimit, "hop limit exceeded"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn udp_errors_name_the_length() {
    let length = UdpError::Length { claimed: 9, available: 8 };
    assert_eq!(length.to_string(), "UDP length mismatch: length field has 9 octets, 8 available");
    assert_eq!(UdpError::AddressFamily.to_string(), "source and destination address families differ");
    assert_eq!(UdpError::TooLong(65536).to_string(), "UDP datagram too long: 65536 octets, at most 65535 allowed");
}

#[test]
fn state_errors_name_version_and_numbers() {
    assert_eq!(StateError::Malformed.to_string(), "malformed state");
    assert_eq!(StateError::Version(9).to_string(), "unknown state version 9");
    let back = StateError::Outdated { held: 7, offered: 6 };
    assert_eq!(back.to_string(), "state is outdated: got 6, expected 7 or above");
}

#[test]
fn with_ends_replaces_the_endpoints_only() {
    let tunnel = Tunnel::v4(V4_A, V4_B).with_hop_limit(HopLimitPolicy::Set(9)).with_df(DfPolicy::Clear);
    let v4 = Tunnel::v4(V4_B, V4_A).with_hop_limit(HopLimitPolicy::Set(9)).with_df(DfPolicy::Clear);
    let v6 = Tunnel::v6(V6_A, V6_B).with_hop_limit(HopLimitPolicy::Set(9)).with_df(DfPolicy::Clear);
    assert_eq!(tunnel.with_endpoints(V4_B.into(), V4_A.into()), Some(v4));
    assert_eq!(tunnel.with_endpoints(V6_A.into(), V6_B.into()), Some(v6));
    assert_eq!(tunnel.with_endpoints(V4_A.into(), V6_B.into()), None);
    assert_eq!(tunnel.with_endpoints(V6_A.into(), V4_B.into()), None);
}

#[test]
fn version_error_carries_the_received_version() {
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
fn changed_ipv4_header_has_invalid_checksum() {
    let packet = v4(&[1, 1, 1, 0], IpProto::UDP, &[7; 8]);
    assert!(Ipv4::parse(&packet).unwrap().has_valid_checksum());
    for at in (1..24).filter(|at| !(2..4).contains(at)) {
        let mut changed = packet.clone();
        changed[at] ^= 1;
        assert!(!Ipv4::parse(&changed).unwrap().has_valid_checksum(), "octet {at}");
    }
}

#[test]
fn protocol_displays_as_name_or_number() {
    assert_eq!((format!("{}", IpProto::ESP), format!("{:?}", IpProto::ESP)), ("esp".into(), "esp".into()));
    assert_eq!((format!("{}", IpProto(253)), format!("{:?}", IpProto(253))), ("proto-253".into(), "proto-253".into()));
}
