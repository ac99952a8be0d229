//! Conversion of a statement to the parameters of a policy.

use ipsec_packet::{AddressRange, IpProto, PortRange};
use ipsec_sa::PolicyParams;

use super::apply::Warning;
use super::params::StatementError;
use super::policy::{PolicyAction, PolicyStatement, Range, Selector, Upper};

impl PolicyStatement<'_> {
    /// Returns the warning about an action that is meant for the policies of sockets.
    pub(super) fn warning(&self) -> Option<Warning> {
        self.action.filter(PolicyAction::is_for_sockets).map(|_| Warning::SocketAction)
    }

    /// Converts the selector of the policy (RFC 4301 section 4.4.1.1).
    ///
    /// # Errors
    /// [`StatementError::Tagged`], [`StatementError::GreKey`], [`StatementError::Label`], [`StatementError::Ports`].
    pub fn selector(&self) -> Result<ipsec_packet::Selector, StatementError> {
        let Selector::Flow { source, destination, upper } = self.selector else { return Err(StatementError::Tagged) };
        if self.context.is_some() {
            return Err(StatementError::Label);
        }
        let ports = |range: Range| range.port.map_or(PortRange::ANY, PortRange::one);
        let (from, to) = (ports(source), ports(destination));
        let upper = match (upper, from == PortRange::ANY && to == PortRange::ANY) {
            (Upper::Any, true) => ipsec_packet::Upper::Any,
            (Upper::Any, false) => ipsec_packet::Upper::Ports(None, from, to),
            (Upper::Protocol(protocol), true) => ipsec_packet::Upper::Protocol(protocol),
            (Upper::Protocol(protocol), false) => icmp_or_ports(protocol, source.port, destination.port, from, to)?,
            (Upper::Gre(_), _) => return Err(StatementError::GreKey),
            (Upper::Icmp(protocol, kind, code), _) => ipsec_packet::Upper::Icmp(protocol, kind, code),
        };
        Ok(ipsec_packet::Selector { source: addresses(source), destination: addresses(destination), upper })
    }

    /// Converts the policy (RFC 4301 section 4.4.1.2).
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn policy(&self) -> Result<PolicyParams, StatementError> {
        Ok(PolicyParams {
            selector: self.selector()?,
            direction: self.direction,
            priority: self.priority,
            action: self.action.ok_or(StatementError::NoAction)?.action(),
        })
    }
}

/// Converts ports. With ICMP they are type and code, as in setkey(8).
fn icmp_or_ports(
    protocol: IpProto,
    source: Option<u16>,
    destination: Option<u16>,
    from: PortRange,
    to: PortRange,
) -> Result<ipsec_packet::Upper, StatementError> {
    match protocol {
        IpProto::ICMP | IpProto::ICMPV6 => {
            let octet = |port: u16| u8::try_from(port).map_err(|_| StatementError::Ports(protocol));
            let kind = octet(source.ok_or(StatementError::Ports(protocol))?)?;
            Ok(ipsec_packet::Upper::Icmp(protocol, kind, destination.map(octet).transpose()?))
        }
        _ if protocol.has_ports() => Ok(ipsec_packet::Upper::Ports(Some(protocol), from, to)),
        // A policy that no packet matches would protect nothing.
        _ => Err(StatementError::Ports(protocol)),
    }
}

/// Converts a range. The parser has checked that the prefix is no longer than the address.
fn addresses(range: Range) -> AddressRange {
    AddressRange::prefix(range.address, range.prefix).unwrap_or(AddressRange::host(range.address))
}
