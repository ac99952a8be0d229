//! The engine as the databases of key exchange and configuration ([`SaBackend`], [`PolicyBackend`]).

use core::fmt;
use core::net::IpAddr;

use ipsec_crypto::{KeyedAhIntegrity, KeyedSuite};
use ipsec_packet::{AntiReplay, Instant, Selector};
use ipsec_sa::{
    PolicyBackend, PolicyDirection, PolicyId, PolicyParams, Protocol, SaBackend, SaChange, SaEvent, SaId, SaParams,
    SaStatus, SpiRequest, Usage,
};

use crate::algorithms::{Algorithms, SizedWindow};
use crate::engine::Engine;
use crate::from_params::SaError;
use crate::policy_set::{self, PolicyError};
use crate::sa::{MixedFamilies, Sa, Transform};
use crate::sad_error::{InstallRefusal, ReserveError, UpdateError};
use crate::slot::Slot;

/// Number of SPIs that are tried for one request.
const SPI_TRIES: u32 = 64;

/// Error of a command of [`SaBackend`] or [`PolicyBackend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendError {
    /// The parameters of the SA are refused.
    Sa(SaError),
    /// An SA with this identifier exists.
    Exists(SaId),
    /// No SA has this identifier.
    NotFound(SaId),
    /// The SAD is full.
    Full,
    /// No SPI of the range was free.
    NoSpi,
    /// The new address of the peer has another family.
    Families(MixedFamilies),
    /// The policy is refused.
    Policy(PolicyError),
    /// The SPI of the SA is owned by another engine (`Shard`).
    OtherShard {
        /// Identifier of the SA.
        id: SaId,
        /// Number of the engine that owns the SPI.
        owner: u16,
    },
    /// The shared SA has ended.
    Revoked(SaId),
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sa(e) => e.fmt(f),
            Self::Exists(id) => write!(f, "SA {id} already exists"),
            Self::NotFound(id) => write!(f, "no SA {id}"),
            Self::Full => f.write_str("SA table is full"),
            Self::NoSpi => f.write_str("no free SPI in the range"),
            Self::Families(e) => e.fmt(f),
            Self::Policy(e) => e.fmt(f),
            Self::OtherShard { id, owner } => write!(f, "SPI of SA {id} is owned by shard {owner}"),
            Self::Revoked(id) => write!(f, "shared SA {id} has ended"),
        }
    }
}

impl core::error::Error for BackendError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Sa(e) => Some(e),
            Self::Families(e) => Some(e),
            Self::Policy(e) => Some(e),
            Self::Exists(_)
            | Self::NotFound(_)
            | Self::Full
            | Self::NoSpi
            | Self::OtherShard { .. }
            | Self::Revoked(_) => None,
        }
    }
}

impl From<InstallRefusal> for BackendError {
    fn from(e: InstallRefusal) -> Self {
        match e {
            InstallRefusal::Exists(id) => Self::Exists(id),
            InstallRefusal::Full => Self::Full,
        }
    }
}

impl From<SaError> for BackendError {
    fn from(e: SaError) -> Self {
        Self::Sa(e)
    }
}

impl From<PolicyError> for BackendError {
    fn from(e: PolicyError) -> Self {
        Self::Policy(e)
    }
}

impl<A, const SAS: usize, const POLICIES: usize, const FLOWS: usize> SaBackend for Engine<A, SAS, POLICIES, FLOWS>
where
    A: Algorithms<Suite: KeyedSuite, Integrity: KeyedAhIntegrity, Window: SizedWindow>,
{
    type Error = BackendError;

    const IS_LOCAL: bool = true;

    fn get_spi(&mut self, request: &SpiRequest, now: Instant) -> Result<Option<u32>, BackendError> {
        // Of N SPIs that are tried, with N engines, one is owned by this engine.
        for spi in request.candidates(SPI_TRIES.saturating_mul(self.membership.count().into())) {
            match self.reserve(request.id(spi), request.source, now) {
                Ok(()) => return Ok(Some(spi)),
                Err(ReserveError::InUse | ReserveError::OtherShard { .. }) => {}
                Err(ReserveError::Full) => return Err(BackendError::Full),
            }
        }
        Err(BackendError::NoSpi)
    }

    fn add(&mut self, sa: &SaParams, now: Instant) -> Result<(), BackendError> {
        if let Some(owner) = self.membership.other_owner(&sa.id) {
            return Err(BackendError::OtherShard { id: sa.id, owner });
        }
        let profile = self.settings.ah_profile;
        let at =
            self.sad.install_with(sa.id, sa.source, now, || Sa::from_params(sa, profile).map_err(BackendError::Sa))?;
        self.check_sequence_left(at);
        Ok(())
    }

    fn update(&mut self, id: &SaId, source: IpAddr, change: &SaChange, _: Instant) -> Result<SaId, BackendError> {
        let mut moved = Ok(());
        let updated = Self::update(self, id, source, |sa| {
            if let Some((address, port)) = change.peer {
                moved = sa.move_peer(address, port);
            }
            if let (Ok(()), Some(lifetimes)) = (moved, change.lifetimes) {
                sa.set_lifetimes(lifetimes);
            }
        });
        moved.map_err(BackendError::Families)?;
        updated.map_err(|e| match e {
            UpdateError::Missing => BackendError::NotFound(*id),
            UpdateError::Exists(other) => BackendError::Exists(other),
        })
    }

    fn delete(&mut self, id: &SaId, source: IpAddr) -> Result<Option<Usage>, BackendError> {
        self.remove(id, source).map(Some).ok_or(BackendError::NotFound(*id))
    }

    fn flush(&mut self, protocol: Option<Protocol>) -> Result<(), BackendError> {
        for at in self.sad.numbers() {
            let selected = |slot: &Slot<A>| protocol.is_none_or(|protocol| slot.key.protocol == protocol);
            if self.sad.get(at).is_some_and(selected) {
                self.sad.remove(at);
            }
        }
        Ok(())
    }

    fn get(&self, id: &SaId, source: IpAddr) -> Option<SaStatus> {
        self.sad.get(self.sad.find(id, source)?).map(status)
    }

    fn dump(&self, each: &mut dyn FnMut(&SaStatus)) {
        self.sad.iter().for_each(|(_, slot)| each(&status(slot)));
    }

    fn poll_event(&mut self) -> Option<SaEvent> {
        Self::poll_event(self)
    }
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> PolicyBackend
    for Engine<A, SAS, POLICIES, FLOWS>
{
    type Error = BackendError;

    fn add_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, BackendError> {
        Ok(Some(Self::add_policy(self, *policy)?))
    }

    fn update_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, BackendError> {
        // A policy that is refused replaces none.
        policy_set::check(policy)?;
        if let Some(id) = self.find_policy(policy.direction, &policy.selector) {
            self.remove_policy(id).ok_or(PolicyError::Shared)?;
        }
        Ok(Some(Self::add_policy(self, *policy)?))
    }

    fn delete_policy(&mut self, direction: PolicyDirection, selector: &Selector) -> Result<bool, BackendError> {
        let Some(found) = self.find_policy(direction, selector) else { return Ok(false) };
        self.remove_policy(found).ok_or(PolicyError::Shared)?;
        Ok(true)
    }

    fn flush_policies(&mut self) -> Result<(), BackendError> {
        loop {
            let first = self.policies().next().map(|(id, _)| id);
            let Some(id) = first else { return Ok(()) };
            self.remove_policy(id).ok_or(PolicyError::Shared)?;
        }
    }

    fn dump_policies(&self, each: &mut dyn FnMut(PolicyId, &PolicyParams)) {
        self.policies().for_each(|(id, policy)| each(id, policy));
    }
}

/// Returns the status of the SA of a slot.
pub(crate) fn status<A: Algorithms>(slot: &Slot<A>) -> SaStatus {
    let sa = slot.sa.as_ref();
    let window = match sa.map(|sa| &sa.transform) {
        Some(Transform::EspIn(esp)) => esp.window().packets(),
        Some(Transform::AhIn(ah)) => ah.window().packets(),
        _ => 0,
    };
    SaStatus {
        id: slot.key,
        source: slot.source,
        state: slot.state,
        mode: sa.map(|sa| sa.mode).unwrap_or_default(),
        reqid: sa.map_or(0, |sa| sa.reqid),
        managed_spi: sa.and_then(|sa| sa.managed_spi).unwrap_or(slot.key.spi),
        algorithms: sa.map(|sa| sa.algorithms).unwrap_or_default(),
        encap: sa.and_then(|sa| sa.encap),
        sequence: sa.and_then(|sa| sa.transform.sequence()),
        window,
        lifetimes: sa.map(|sa| sa.lifetimes).unwrap_or_default(),
        usage: slot.usage,
    }
}
