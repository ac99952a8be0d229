//! Addresses that a server has assigned to a client by Mode Config: its SAs are for them only.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipsec_packet::{AddressRange, Selector};

use super::event::SlotId;
use super::features::XAUTH;
use super::isakmp_sa::IsakmpSa;
use super::{ClientConfig, Negotiator, Refusal};

/// Addresses that this host has assigned in an ISAKMP SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Lease {
    /// Lease without an assigned address.
    pub const NONE: Self = Self { v4: None, v6: None };

    /// Adds the addresses of a message to the client, which replace earlier ones.
    pub fn add(&mut self, sent: &ClientConfig) {
        *self = Self { v4: sent.address.or(self.v4), v6: sent.address_v6.or(self.v6) };
    }

    fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns whether a range is one of the addresses.
    fn is(&self, range: &AddressRange) -> bool {
        let addresses = [self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6)];
        addresses.into_iter().flatten().any(|address| AddressRange::host(address) == *range)
    }
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Refuses selectors of outbound packets to another address than that of the client. A client whose phase 1 was
    /// renewed, and who has not requested its configuration again, has the addresses of its other ISAKMP SAs.
    pub(super) fn check_lease(&self, sa: SlotId, selector: &Selector) -> Result<(), Refusal> {
        if !XAUTH {
            return Ok(());
        }
        let sa = self.isakmp_sa(sa)?;
        let is_of_client = |other: &&IsakmpSa| {
            let is_same = (other.peer, other.identity) == (sa.peer, sa.identity);
            other.is_usable() && !other.lease.is_none() && is_same && (sa.lease.is_none() || other.id == sa.id)
        };
        let mut leases = self.isakmp.values().filter(is_of_client).map(|other| other.lease).peekable();
        let is_free = leases.peek().is_none();
        let is_leased = is_free || leases.any(|lease| lease.is(&selector.destination));
        if is_leased { Ok(()) } else { Err(Refusal::NotLeased) }
    }
}
