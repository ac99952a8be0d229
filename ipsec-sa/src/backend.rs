//! Interfaces of the databases: user space (`ipsec-engine`) or a kernel behind a PF_KEY socket (`ipsec-pfkey`). The
//! names are those of RFC 2367.

use core::net::IpAddr;

use ipsec_packet::{Instant, Selector};

use crate::{Lifetimes, PolicyDirection, PolicyId, PolicyParams, Protocol, SaEvent, SaId, SaParams, SaStatus, Usage};

/// Security association database (RFC 4301 section 4.4.2, RFC 2367 section 3.1).
pub trait SaBackend {
    /// Error of a command.
    type Error: core::error::Error;

    /// Set for a database in this process: it answers at once, and has an SA of its own for each direction. A kernel
    /// answers by messages and has one SA for both directions.
    const IS_LOCAL: bool;

    /// Reserves an SPI; the SA is larval (SADB_GETSPI, section 3.1.1). Returns `None` if the answer comes later, as a
    /// PF_KEY message.
    ///
    /// # Errors
    /// [`Self::Error`], among others if no SPI of the range is free; the database is unchanged.
    fn get_spi(&mut self, request: &SpiRequest, now: Instant) -> Result<Option<u32>, Self::Error>;

    /// Installs an SA (SADB_ADD, section 3.1.3). A larval SA with its identifier becomes mature.
    ///
    /// # Errors
    /// [`Self::Error`], among others for an algorithm that the back end lacks; the database is unchanged.
    fn add(&mut self, sa: &SaParams, now: Instant) -> Result<(), Self::Error>;

    /// Changes an SA (SADB_UPDATE, section 3.1.2). Returns its identifier, which may have changed with the peer.
    ///
    /// # Errors
    /// [`Self::Error`], among others if there is no such SA.
    fn update(&mut self, id: &SaId, source: IpAddr, change: &SaChange, now: Instant) -> Result<SaId, Self::Error>;

    /// Removes an SA (SADB_DELETE, section 3.1.4). Returns its usage, if the back end has it and reports it at once.
    /// `source` distinguishes SAs of IPComp with a well-known CPI.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn delete(&mut self, id: &SaId, source: IpAddr) -> Result<Option<Usage>, Self::Error>;

    /// Removes all SAs of a protocol, or of all protocols (SADB_FLUSH, section 3.1.9).
    ///
    /// # Errors
    /// [`Self::Error`].
    fn flush(&mut self, protocol: Option<Protocol>) -> Result<(), Self::Error>;

    /// Returns the status of an SA (SADB_GET, section 3.1.5); `None` if there is none, or if the back end does not
    /// answer at once.
    fn get(&self, id: &SaId, source: IpAddr) -> Option<SaStatus>;

    /// Passes the status of every SA to `each` (SADB_DUMP, section 3.1.10). A back end that does not answer at once
    /// passes nothing.
    fn dump(&self, each: &mut dyn FnMut(&SaStatus));

    /// Returns the next event (SADB_ACQUIRE and SADB_EXPIRE, sections 3.1.6 and 3.1.8).
    fn poll_event(&mut self) -> Option<SaEvent>;
}

/// Security policy database (RFC 4301 section 4.4.1). RFC 2367 has none: these are the messages of KAME and Linux.
pub trait PolicyBackend {
    /// Error of a command.
    type Error: core::error::Error;

    /// Adds a policy after the others of its priority (SADB_X_SPDADD). Returns its number, if it is known at once.
    ///
    /// # Errors
    /// [`Self::Error`], among others for a policy with the same selector and direction; the database is unchanged.
    fn add_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, Self::Error>;

    /// Replaces the policy with the same selector and direction, or adds it (SADB_X_SPDUPDATE).
    ///
    /// # Errors
    /// [`Self::Error`].
    fn update_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, Self::Error>;

    /// Removes the policy with this selector and direction (SADB_X_SPDDELETE). Returns whether there was one, as far as
    /// it is known at once.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn delete_policy(&mut self, direction: PolicyDirection, selector: &Selector) -> Result<bool, Self::Error>;

    /// Removes all policies (SADB_X_SPDFLUSH).
    ///
    /// # Errors
    /// [`Self::Error`].
    fn flush_policies(&mut self) -> Result<(), Self::Error>;

    /// Passes every policy in the order of the SPD to `each` (SADB_X_SPDDUMP). A back end that does not answer at once
    /// passes nothing.
    fn dump_policies(&self, each: &mut dyn FnMut(PolicyId, &PolicyParams));
}

/// Request for an SPI (SADB_GETSPI, RFC 2367 section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiRequest {
    /// Source address of the packets of the SA: the peer.
    pub source: IpAddr,
    /// Destination address of the packets of the SA: this host.
    pub destination: IpAddr,
    /// Security protocol of the SA.
    pub protocol: Protocol,
    /// Lowest SPI of the range, at least 256; of IPComp, the lowest CPI.
    pub min: u32,
    /// Highest SPI of the range.
    pub max: u32,
    /// Random number by which a back end in user space chooses within the range.
    pub random: u32,
}

impl SpiRequest {
    /// Returns the identifier of the larval SA with this SPI.
    pub const fn id(&self, spi: u32) -> SaId {
        SaId::inbound(self.destination, self.protocol, spi)
    }

    /// Iterates over SPIs of the range, from a random one, each once, at most `tries` of them.
    pub fn candidates(&self, tries: u32) -> impl Iterator<Item = u32> {
        let (min, last) = (self.min, self.max.saturating_sub(self.min));
        let begin = u64::from(self.random).checked_rem(u64::from(last).saturating_add(1)).unwrap_or(0);
        (0..tries.min(last.saturating_add(1))).filter_map(move |step| {
            let offset = begin.saturating_add(step.into()).checked_rem(u64::from(last).saturating_add(1))?;
            min.checked_add(u32::try_from(offset).ok()?)
        })
    }
}

/// Change of an SA (SADB_UPDATE, RFC 2367 section 3.1.2); `None` leaves a parameter as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SaChange {
    /// New soft and hard limits.
    pub lifetimes: Option<Lifetimes>,
    /// New address and UDP port of a peer that a NAT has moved (RFC 3947 section 7).
    pub peer: Option<(IpAddr, u16)>,
}
