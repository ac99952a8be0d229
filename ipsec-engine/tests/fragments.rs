//! Later IPv6 fragments: the next header of their fragment header is not trusted (RFC 8200 section 4.5).

mod gateway;
mod gateway_pair;

use gateway::{Gateway, Received, ipv6};
use gateway_pair::{A6, B6, policy};
use ipsec_engine::{DiscardReason, OutboundAction};
use ipsec_packet::IpProto;

const NET_A: &str = "2001:db8:1::/48";
const NET_B: &str = "2001:db8:2::/48";

fn later_fragment(next: u8) -> Vec<u8> {
    let header = [next, 0, 4, 208, 0, 0, 0, 77];
    ipv6("2001:db8:1::9", "2001:db8:2::9", IpProto::FRAGMENT, &[&header[..], b"24 octets of a segment.."].concat())
}

/// Returns a gateway with a PROTECT policy for one protocol and a BYPASS policy for the rest.
fn gateway(upper: &str, direction: &str, local: &str) -> Gateway {
    let action = format!("ipsec esp/tunnel/{A6}-{B6}/require");
    let text = policy(NET_A, NET_B, upper, direction, &action) + &policy(NET_A, NET_B, "any", direction, "none");
    Gateway::new(&text, local)
}

#[test]
fn later_fragment_is_discarded_if_it_may_match_a_protect_policy() {
    for upper in ["tcp", "udp", "icmp6", "47", "59", "44"] {
        for next in 0..=255 {
            let piece = later_fragment(next);
            let found = gateway(upper, "in", B6).receive(&piece).0;
            assert_eq!(found, Received::Discard(DiscardReason::Opaque), "{upper} in, next header {next}");
            let refused = OutboundAction::Discard(DiscardReason::Opaque);
            assert_eq!(gateway(upper, "out", A6).send(&piece), Err(refused), "{upper} out, next header {next}");
        }
    }
}

#[test]
fn policy_for_any_protocol_matches_later_fragments() {
    let action = format!("ipsec esp/tunnel/{A6}-{B6}/require");
    let text = |direction| policy(NET_A, NET_B, "any", direction, &action);
    for next in [6, 17, 59, 60, 200] {
        let piece = later_fragment(next);
        assert!(matches!(Gateway::new(&text("out"), A6).send(&piece), Err(OutboundAction::Acquire(_))));
        assert_eq!(Gateway::new(&text("in"), B6).receive(&piece).0, Received::Discard(DiscardReason::Cleartext));
    }
}

#[test]
fn bypass_policy_for_one_protocol_does_not_affect_later_fragments() {
    let text = policy(NET_A, NET_B, "tcp", "out", "none") + &policy(NET_A, NET_B, "any", "out", "discard");
    let mut a = Gateway::new(&text, A6);
    assert_eq!(a.send(&later_fragment(6)), Err(OutboundAction::Discard(DiscardReason::Policy)));
}
