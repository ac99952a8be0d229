use core::net::IpAddr;

use ike_codec::{BodyWriter, IdAddress, IdKind, Identification, NoSpace};
use ipsec_packet::{AddressRange, IpProto, PortRange, Selector, Upper};

use super::{Path, Refusal, Role};
use crate::NatDetection;

/// One client identity: addresses, protocol and port of one side of a selector (RFC 2407 section 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    addresses: AddressRange,
    protocol: u8,
    port: u16,
}

/// Returns the client identities of a selector of outbound packets in the order of the payloads: IDci and IDcr.
pub(crate) fn clients(selector: &Selector, role: Role) -> Result<[Client; 2], Refusal> {
    let (protocol, source, destination) = match selector.upper {
        Upper::Any => (0, PortRange::ANY, PortRange::ANY),
        Upper::Protocol(protocol) => (protocol.0, PortRange::ANY, PortRange::ANY),
        Upper::Ports(Some(protocol), source, destination) => (protocol.0, source, destination),
        Upper::Ports(None, ..) | Upper::Icmp(..) => return Err(Refusal::Selectors),
    };
    let client = |addresses, ports| port(ports).map(|port| Client { addresses, protocol, port });
    let (local, remote) = (client(selector.source, source)?, client(selector.destination, destination)?);
    //= RFC 2409 5.5/5
    //# MUST: client identities are passed as idci and then idcr
    Ok(match role {
        Role::Initiator => [local, remote],
        Role::Responder => [remote, local],
    })
}

/// Returns the number of a port: an identification payload has one port, or 0 for any.
fn port(ports: PortRange) -> Result<u16, Refusal> {
    match ports {
        PortRange::ANY => Ok(0),
        PortRange { first, last } if first == last && first != 0 => Ok(first),
        _ => Err(Refusal::Selectors),
    }
}

impl Client {
    /// Writes the body of the identification payload. A single address is written as one; a peer that expects a subnet
    /// of full length treats both alike.
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        let (first, last) = (self.addresses.first(), self.addresses.last());
        let mut data = [0; 32];
        let (kind, octets) = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let (kind, second) = match self.addresses.prefix_length() {
                    Some(32) => (IdKind::IPV4, None),
                    Some(length) => (IdKind::IPV4_SUBNET, Some(mask_v4(length).to_be_bytes())),
                    None => (IdKind::IPV4_RANGE, Some(last.octets())),
                };
                (kind, pair(&mut data, &first.octets(), second.as_ref().map(|octets| &octets[..])))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let (kind, second) = match self.addresses.prefix_length() {
                    Some(128) => (IdKind::IPV6, None),
                    Some(length) => (IdKind::IPV6_SUBNET, Some(mask_v6(length).to_be_bytes())),
                    None => (IdKind::IPV6_RANGE, Some(last.octets())),
                };
                (kind, pair(&mut data, &first.octets(), second.as_ref().map(|octets| &octets[..])))
            }
            _ => return Err(NoSpace),
        };
        Identification { kind, protocol: self.protocol, port: self.port, data: octets }.write(body)
    }

    /// Reads a client identity. A peer behind a NAT has this address.
    fn through(id: &Identification<'_>, nat: Option<IpAddr>) -> Result<Self, Refusal> {
        let Some(address) = nat else { return Self::read(id) };
        if id.kind == IdKind::FQDN && (id.protocol != 0 || id.port == 0) {
            return Ok(Self { addresses: AddressRange::host(address), protocol: id.protocol, port: id.port });
        }
        let client = Self::read(id)?;
        let is_host = client.addresses.first() == client.addresses.last();
        let addresses = if is_host { AddressRange::host(address) } else { client.addresses };
        Ok(Self { addresses, ..client })
    }

    /// Reads a client identity.
    fn read(id: &Identification<'_>) -> Result<Self, Refusal> {
        let addresses = match id.address().ok_or(Refusal::Selectors)? {
            IdAddress::V4(address) => Some(AddressRange::host(address.into())).filter(|_| !address.is_unspecified()),
            IdAddress::V6(address) => Some(AddressRange::host(address.into())).filter(|_| !address.is_unspecified()),
            IdAddress::V4Range(first, last) => AddressRange::new(first.into(), last.into()),
            IdAddress::V6Range(first, last) => AddressRange::new(first.into(), last.into()),
            IdAddress::V4Subnet(address, mask) => {
                let length = mask.to_bits().leading_ones();
                let is_prefix = mask.to_bits().count_ones() == length;
                u8::try_from(length).ok().filter(|_| is_prefix).and_then(|n| AddressRange::prefix(address.into(), n))
            }
            IdAddress::V6Subnet(address, mask) => {
                let length = mask.to_bits().leading_ones();
                let is_prefix = mask.to_bits().count_ones() == length;
                u8::try_from(length).ok().filter(|_| is_prefix).and_then(|n| AddressRange::prefix(address.into(), n))
            }
        };
        if id.protocol == 0 && id.port != 0 {
            return Err(Refusal::Selectors);
        }
        Ok(Self { addresses: addresses.ok_or(Refusal::Selectors)?, protocol: id.protocol, port: id.port })
    }
}

/// Returns the selector of outbound packets of two client identities. Without identities it is that of the
/// ends of the ISAKMP SA (RFC 2409 section 5.5).
///
/// In transport mode through a NAT the identities are addresses before it, or, from some peers, a name: those of the
/// path replace them (RFC 3947 section 5.2).
pub(crate) fn selector(
    ids: Option<[Identification<'_>; 2]>,
    role: Role,
    path: &Path,
    through: Option<NatDetection>,
) -> Result<Selector, Refusal> {
    let Some([initiator, responder]) = ids else {
        let (source, destination) = (path.local.ip(), path.remote.ip());
        return Ok(Selector {
            source: AddressRange::host(source),
            destination: AddressRange::host(destination),
            upper: Upper::Any,
        });
    };
    let (local, remote) = match role {
        Role::Initiator => (initiator, responder),
        Role::Responder => (responder, initiator),
    };
    let here = through.filter(|nat| nat.here).map(|_| path.local.ip());
    let there = through.filter(|nat| nat.there).map(|_| path.remote.ip());
    let (local, remote) = (Client::through(&local, here)?, Client::through(&remote, there)?);
    let is_one_family = local.addresses.first().is_ipv4() == remote.addresses.first().is_ipv4();
    if local.protocol != remote.protocol || !is_one_family {
        return Err(Refusal::Selectors);
    }
    let ports = |client: &Client| if client.port == 0 { PortRange::ANY } else { PortRange::one(client.port) };
    let upper = match (local.protocol, local.port, remote.port) {
        (0, ..) => Upper::Any,
        (protocol, 0, 0) => Upper::Protocol(IpProto(protocol)),
        (protocol, ..) => Upper::Ports(Some(IpProto(protocol)), ports(&local), ports(&remote)),
    };
    Ok(Selector { source: local.addresses, destination: remote.addresses, upper })
}

/// Compares the client identities of an answer with those that were sent.
pub(crate) fn are_equal(ids: Option<[Identification<'_>; 2]>, sent: &[Client; 2]) -> bool {
    ids.is_some_and(|ids| ids.iter().zip(sent).all(|(id, sent)| Client::read(id) == Ok(*sent)))
}

fn mask_v4(length: u8) -> u32 {
    !u32::MAX.checked_shr(length.into()).unwrap_or(0)
}

fn mask_v6(length: u8) -> u128 {
    !u128::MAX.checked_shr(length.into()).unwrap_or(0)
}

/// Concatenates one or two addresses.
fn pair<'d>(data: &'d mut [u8; 32], first: &[u8], second: Option<&[u8]>) -> &'d [u8] {
    let octets = first.iter().chain(second.unwrap_or_default());
    let len = data.iter_mut().zip(octets).map(|(to, from)| *to = *from).count();
    data.get(..len).unwrap_or_default()
}
