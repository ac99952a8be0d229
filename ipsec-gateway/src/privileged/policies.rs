//! Policies in requests: the fields on which firewall rules and routes depend.

use std::net::IpAddr;

use ipsec_engine::{Action, PolicyDirection, PolicyId, PolicyParams};
use ipsec_packet::{AddressRange, IpProto, PortRange, Selector, Upper};
use ipsec_sa::{Bundle, Priority};
use serde::{Deserialize, Serialize};

/// Policy of a request. Its values are checked by [`PolicyEntry::params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEntry {
    /// Number of the policy; 0 where it is not used.
    pub number: u32,
    /// First and last source address.
    pub source: (IpAddr, IpAddr),
    /// First and last destination address.
    pub destination: (IpAddr, IpAddr),
    /// Condition for the upper-layer protocol.
    pub upper: UpperEntry,
    /// Direction of the packets.
    pub direction: DirectionEntry,
    /// Treatment of the packets.
    pub action: ActionEntry,
}

/// Condition for the upper-layer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpperEntry {
    /// Packets of any protocol.
    Any,
    /// Protocol, or all with ports, and port ranges.
    Ports(Option<u8>, (u16, u16), (u16, u16)),
    /// Packets of one protocol.
    Protocol(u8),
    /// Protocol, type and code of ICMP.
    Icmp(u8, u8, Option<u8>),
}

/// Direction of the packets of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // those of `PolicyDirection`
pub enum DirectionEntry {
    In,
    Out,
    Forward,
}

/// Action of a policy, without templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // those of `Action`
pub enum ActionEntry {
    Discard,
    Bypass,
    Protect,
}

impl PolicyEntry {
    /// Returns the entry of a policy.
    pub fn of(id: PolicyId, policy: &PolicyParams) -> Self {
        Self { number: id.get(), ..Self::without_number(policy) }
    }

    /// Returns the entry of a policy whose number is not used.
    pub fn without_number(policy: &PolicyParams) -> Self {
        let Selector { source, destination, upper } = policy.selector;
        let ports = |range: PortRange| (range.first, range.last);
        Self {
            number: 0,
            source: (source.first(), source.last()),
            destination: (destination.first(), destination.last()),
            upper: match upper {
                Upper::Any => UpperEntry::Any,
                Upper::Ports(protocol, from, to) => {
                    UpperEntry::Ports(protocol.map(|protocol| protocol.0), ports(from), ports(to))
                }
                Upper::Protocol(protocol) => UpperEntry::Protocol(protocol.0),
                Upper::Icmp(protocol, kind, code) => UpperEntry::Icmp(protocol.0, kind, code),
            },
            direction: match policy.direction {
                PolicyDirection::In => DirectionEntry::In,
                PolicyDirection::Out => DirectionEntry::Out,
                PolicyDirection::Forward => DirectionEntry::Forward,
            },
            action: match policy.action {
                Action::Discard => ActionEntry::Discard,
                Action::Bypass => ActionEntry::Bypass,
                Action::Protect(_) => ActionEntry::Protect,
            },
        }
    }

    /// Returns the policy. Its templates are missing.
    ///
    /// # Errors
    /// The message about a value that no policy has.
    pub fn params(&self) -> Result<(PolicyId, PolicyParams), String> {
        let (source, destination) = (range("source", self.source)?, range("destination", self.destination)?);
        if source.first().is_ipv4() != destination.first().is_ipv4() {
            return Err(format!("policy {}: the address families of {source} and {destination} differ", self.number));
        }
        let upper = match self.upper {
            UpperEntry::Any => Upper::Any,
            UpperEntry::Ports(protocol, from, to) => Upper::Ports(protocol.map(IpProto), ports(from)?, ports(to)?),
            UpperEntry::Protocol(protocol) => Upper::Protocol(IpProto(protocol)),
            UpperEntry::Icmp(protocol, kind, code) => Upper::Icmp(IpProto(protocol), kind, code),
        };
        let direction = match self.direction {
            DirectionEntry::In => PolicyDirection::In,
            DirectionEntry::Out => PolicyDirection::Out,
            DirectionEntry::Forward => PolicyDirection::Forward,
        };
        let action = match self.action {
            ActionEntry::Discard => Action::Discard,
            ActionEntry::Bypass => Action::Bypass,
            ActionEntry::Protect => Action::Protect(Bundle::default()),
        };
        let selector = Selector { source, destination, upper };
        Ok((PolicyId::new(self.number), PolicyParams { selector, direction, priority: Priority::default(), action }))
    }
}

fn range(name: &str, (first, last): (IpAddr, IpAddr)) -> Result<AddressRange, String> {
    AddressRange::new(first, last)
        .ok_or_else(|| format!("{name} addresses: got {first} to {last}, expected a range of one address family"))
}

fn ports((first, last): (u16, u16)) -> Result<PortRange, String> {
    let is_range = first <= last;
    is_range
        .then_some(PortRange { first, last })
        .ok_or_else(|| format!("ports: got {first} to {last}, expected a range"))
}

#[cfg(test)]
pub(super) mod tests {
    use ipsec_packet::Instant;

    use super::*;
    use crate::policy::new_engine;

    /// Returns the entry of a policy between two networks.
    pub fn entry() -> PolicyEntry {
        let ip = |text: &str| text.parse().unwrap();
        PolicyEntry {
            number: 1,
            source: (ip("10.1.0.0"), ip("10.1.255.255")),
            destination: (ip("10.2.0.0"), ip("10.2.255.255")),
            upper: UpperEntry::Any,
            direction: DirectionEntry::Out,
            action: ActionEntry::Protect,
        }
    }

    #[test]
    fn policies_of_requests_have_the_rules_and_routes_of_the_engine() {
        let text = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
            spdadd 10.1.0.0/16[80] 10.3.0.0/16[9] tcp -P in none;
            spdadd 10.1.0.0/16 10.4.0.0/16 47 -P out discard;
            spdadd fd00::/64 fd01::/64 icmp6 135,0 -P out none;";
        let mut engine = new_engine();
        ipsec_config::setkey::apply(&mut *engine, text.as_bytes(), &[], Instant::ZERO).unwrap();
        let config =
            crate::config::tests::config("policies \"p\"; keys \"k\"; local 192.0.2.1; tun ipsec0;", "").unwrap();
        let policies: Vec<_> = engine.policies().collect();
        let read: Vec<_> = policies.iter().map(|(id, policy)| PolicyEntry::of(*id, policy).params().unwrap()).collect();
        let rules = crate::firewall::rules(&config, read.iter().map(|(id, policy)| (*id, policy)));
        assert_eq!((read.len(), rules), (4, crate::firewall::rules(&config, policies.into_iter())));
        for ((_, read), (_, policy)) in read.iter().zip(engine.policies()) {
            assert_eq!((read.selector, read.direction), (policy.selector, policy.direction));
        }
    }

    #[test]
    fn invalid_policy_entries_are_refused() {
        let ip = |text: &str| text.parse().unwrap();
        let own = entry();
        assert!(own.params().is_ok());
        let table = [
            PolicyEntry { source: (own.source.1, own.source.0), ..own },
            PolicyEntry { source: (ip("10.1.0.0"), ip("fd00::1")), ..own },
            PolicyEntry { destination: (ip("fd00::"), ip("fd00::ff")), ..own },
            PolicyEntry { upper: UpperEntry::Ports(None, (9, 1), (0, 65_535)), ..own },
            PolicyEntry { upper: UpperEntry::Ports(Some(6), (0, 65_535), (2, 1)), ..own },
        ];
        for entry in table {
            assert!(entry.params().is_err(), "{entry:?}");
        }
    }
}
