//! Packets that are not sent: they stay unmodified and use no sequence number, whichever transform refuses them.

mod gateway;
mod gateway_pair;

use gateway::{Gateway, udp};
use gateway_pair::{A, A6, B, B6, SECRET, ah, esp, ipcomp, policy, sa};
use ipsec_engine::{Direction, DiscardReason, OutboundAction, SaId};
use ipsec_packet::{DestinationOptions, HopLimitPolicy, Seq, TunnelError};

/// Returns all sequences of two and three protocols; IPComp is innermost.
fn bundles() -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for first in ["ipcomp", "esp", "ah"] {
        for second in ["esp", "ah"] {
            all.push(vec![first, second]);
            for third in ["esp", "ah"] {
                all.push(vec![first, second, third]);
            }
        }
    }
    all
}

/// Returns a gateway that sends with this bundle. The SAs of a set bit in `behind` are placed after destination
/// options. `mode` is that of the last transform; a tunnel decrements the hop limit.
fn sender((from, to): (&str, &str), bundle: &[&str], mode: &str, behind: u32) -> Gateway {
    let mut action = String::from("ipsec");
    let mut sas = Vec::new();
    for (n, protocol) in (0..).zip(bundle) {
        let is_last = usize::try_from(n + 1) == Ok(bundle.len());
        let mode = if is_last { mode } else { "transport" };
        let (spi, rest) = (0x1100 + n, format!("-m {mode}"));
        let text = match *protocol {
            "esp" => esp(from, to, spi, &rest),
            "ah" => ah(from, to, spi, &rest),
            _ => ipcomp(from, to, spi, &rest),
        };
        let options =
            if behind >> n & 1 == 1 { DestinationOptions::Unprotected } else { DestinationOptions::Protected };
        let sa = sa(&text, Direction::Outbound).with_destination_options(options);
        sas.push(sa.with_tunnel(|tunnel| tunnel.with_hop_limit(HopLimitPolicy::Decrement(64))));
        let ends = if mode == "tunnel" { format!("{from}-{to}") } else { String::new() };
        action += &format!(" {protocol}/{mode}/{ends}/require");
    }
    let mut gateway = Gateway::new(&policy(from, to, "any", "out", &action), from);
    for sa in sas {
        gateway.engine.install(sa, gateway.now).unwrap();
    }
    gateway
}

fn sequences(gateway: &Gateway) -> Vec<(SaId, Option<Seq>)> {
    gateway.engine.sas().map(|view| (view.key, view.sa.and_then(|sa| sa.transform().sequence()))).collect()
}

/// Sends a packet; if it is refused, asserts that neither packet nor sequence numbers have changed. Returns the reason.
fn send(gateway: &mut Gateway, packet: &[u8]) -> Option<DiscardReason> {
    let before = sequences(gateway);
    match gateway.send(packet) {
        Ok(_) => None,
        Err(OutboundAction::Discard(reason)) => {
            assert_eq!(sequences(gateway), before, "sequence number was used for a refused packet: {reason:?}");
            Some(reason)
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Returns a packet with the extension headers of these kinds and contents in front of UDP.
fn with_extensions(extensions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut packet = udp(A6, B6, 1, 2, &SECRET.repeat(8));
    let mut last = packet[6];
    for (kind, rest) in extensions.iter().rev() {
        packet.splice(40..40, [&[last][..], rest].concat());
        last = *kind;
    }
    packet[6] = last;
    let octets = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&octets.to_be_bytes());
    packet
}

/// Extension headers: options of hop-by-hop and destination options, and a routing header, good and malformed.
const GOOD: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
const OPTION_TOO_LONG: &[u8] = &[0, 1, 200, 0, 0, 0, 0];
const UNKNOWN_ROUTING: &[u8] = &[0, 77, 1, 0, 0, 0, 0];

#[test]
fn packets_refused_by_a_later_transform_are_unmodified() {
    let mut refused = 0;
    for bundle in bundles() {
        for behind in 0..1 << bundle.len() {
            for mode in ["transport", "tunnel"] {
                let mut gateway = sender((A6, B6), &bundle, mode, behind);
                for extensions in [
                    &[(0, GOOD), (60, GOOD)][..],
                    &[(0, OPTION_TOO_LONG)],
                    &[(60, OPTION_TOO_LONG)],
                    &[(60, OPTION_TOO_LONG), (43, UNKNOWN_ROUTING)],
                    &[(0, GOOD), (43, UNKNOWN_ROUTING), (60, GOOD)],
                    &[(0, GOOD), (60, OPTION_TOO_LONG)],
                ] {
                    refused += u32::from(send(&mut gateway, &with_extensions(extensions)).is_some());
                }
                assert_eq!(send(&mut gateway, &with_extensions(&[(0, GOOD)])), None, "{bundle:?}");
            }
        }
    }
    assert!(refused > 200, "only {refused} packets were refused");
}

#[test]
fn packets_with_a_hop_limit_of_1_are_refused_unmodified() {
    for (from, to) in [(A, B), (A6, B6)] {
        for bundle in bundles() {
            let mut gateway = sender((from, to), &bundle, "tunnel", 0);
            let mut packet = udp(from, to, 1, 2, &SECRET.repeat(8));
            set_hop_limit(&mut packet, 1);
            assert_eq!(send(&mut gateway, &packet), Some(DiscardReason::Tunnel(TunnelError::HopLimit)), "{bundle:?}");
            set_hop_limit(&mut packet, 2);
            assert_eq!(send(&mut gateway, &packet), None, "{bundle:?}");
        }
    }
}

/// Sets the hop limit of a packet, and the checksum of an IPv4 header.
fn set_hop_limit(packet: &mut [u8], hops: u8) {
    if packet[0] >> 4 == 4 {
        packet[8] = hops;
        ipsec_packet::set_length(packet).unwrap();
    } else {
        packet[7] = hops;
    }
}
