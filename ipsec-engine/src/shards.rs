//! Engines of several cores, which share policies and outbound SAs.

mod numbers;
mod policies;

use alloc::sync::Arc;
use core::fmt;
use core::net::IpAddr;

use ipsec_crypto::{KeyedAhIntegrity, KeyedSuite};
use ipsec_packet::{Datagram, Fragment, Instant, IpProto, Marker, ParsedIp, Ports, UDP_HEADER, classify};
use ipsec_sa::{Direction, Protocol, SaId};

pub(crate) use numbers::Numbers;
pub use numbers::{NotShareable, PermittedNumbers, SharedSa};
pub use policies::HeapPolicies;
pub(crate) use policies::Held;

use crate::algorithms::{Algorithms, SizedWindow};
use crate::backend::BackendError;
use crate::engine::Settings;
use crate::heap_engine::{Capacity, HeapEngine};
use crate::ipsec_header::spi_and_sequence;
use crate::sa::Sa;

/// Position of an engine among the engines of several cores. Each engine runs on one core, so that no packet waits
/// for a lock.
///
/// | | in which engine |
/// |---|---|
/// | policies | in every one: they share a read-only set ([`HeapEngine::set_policies`]) |
/// | inbound ESP and AH SAs | in the one that owns the SPI ([`owner`](Self::owner)) |
/// | outbound ESP and AH SAs | in any number of them as a [`SharedSa`], or in the one that owns the SPI |
/// | IPComp SAs | in every one that needs them: they have neither numbers nor a window |
///
/// The engines enforce this, and two guarantees follow. No sequence number repeats: all numbers of an SA come from one
/// counter, from which engines take runs of numbers that do not overlap. No replay passes between engines: an inbound
/// SA with its window is in one engine, and another engine that receives its packets has no key for them.
///
/// [`receiver`](Self::receiver) returns the engine that processes a received packet. SAs that are applied to the same
/// packet must be installed in the same engine, so their SPIs have the same owner; an engine reserves only SPIs that it
/// owns. Packets that are sent may go to any engine; packets of one flow keep their order if they go to the same one.
/// Reports of a path MTU go to every engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u16,
    count: u16,
}

impl Shard {
    /// Creates the position of one of `count` engines, from 0. Returns `None` if `index` is not below `count`.
    pub const fn new(index: u16, count: u16) -> Option<Self> {
        if index < count { Some(Self { index, count }) } else { None }
    }

    /// Returns the number of the engine, from 0.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// Returns the number of engines.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// Returns the number of the engine that owns an SPI: the remainder of the SPI divided by the number of engines.
    pub fn owner(self, spi: u32) -> u16 {
        let owner = spi.checked_rem(self.count.into()).unwrap_or_default();
        u16::try_from(owner).unwrap_or_default() // it is below the number of engines
    }

    /// Returns the number of the engine that has the SA of a received packet, by the SPI of the outermost ESP or AH
    /// header (RFC 4301 section 4.1). ESP in UDP is recognized at the destination ports `nat_port` and 500 (RFC 3948).
    ///
    /// `None` if the packet has no such header, or is malformed or a fragment: any engine may process it.
    pub fn receiver(self, packet: &[u8], nat_port: u16) -> Option<u16> {
        received_spi(packet, nat_port).map(|spi| self.owner(spi))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.index, self.count)
    }
}

/// Returns the SPI of the outermost ESP or AH header of a packet.
fn received_spi(packet: &[u8], nat_port: u16) -> Option<u32> {
    let ip = ParsedIp::read(packet).ok()?;
    let (place, fragment) = ip.first_header().ok()?;
    if fragment != Fragment::Whole {
        return None;
    }
    let protocol = match place.next {
        IpProto::ESP => Protocol::Esp,
        IpProto::AH => Protocol::Ah,
        IpProto::UDP => {
            let (&[s1, s2, d1, d2, ..], payload) = packet.get(place.at..ip.len())?.split_first_chunk::<UDP_HEADER>()?;
            let ports = Ports { source: u16::from_be_bytes([s1, s2]), destination: u16::from_be_bytes([d1, d2]) };
            let marker = match ports.destination {
                port if port == nat_port => Marker::NonEsp,
                500 => Marker::NonIke,
                _ => return None,
            };
            let Datagram::Esp(_) = classify(payload, marker) else { return None };
            let spi = payload.get(marker.esp_offset()..)?.first_chunk()?;
            return Some(u32::from_be_bytes(*spi));
        }
        _ => return None,
    };
    spi_and_sequence(packet, protocol, place, None).ok().map(|(spi, _)| spi)
}

/// Position of an engine among several, or a single engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership(Option<Shard>);

impl Membership {
    pub(crate) const ALONE: Self = Self(None);

    /// Returns the owner of an SA that must not be in this engine, unless it is shared.
    pub(crate) fn other_owner(self, id: &SaId) -> Option<u16> {
        let shard = self.0.filter(|_| id.protocol != Protocol::Ipcomp)?;
        Some(shard.owner(id.spi)).filter(|owner| *owner != shard.index)
    }

    /// Returns the number of engines.
    pub(crate) const fn count(self) -> u16 {
        match self.0 {
            Some(shard) => shard.count,
            None => 1,
        }
    }
}

impl<A: Algorithms> HeapEngine<A> {
    /// Creates the engine of one of several cores, like [`with_capacity`](Self::with_capacity). It refuses SAs of
    /// other engines, see [`Shard`].
    pub const fn of_shard(
        shard: Shard,
        settings: Settings,
        capacity: Capacity,
        compressor: Option<A::Compressor>,
        decompressor: Option<A::Decompressor>,
    ) -> Self {
        let mut engine = Self::with_capacity(settings, capacity, compressor, decompressor);
        engine.membership = Membership(Some(shard));
        engine
    }

    /// Replaces the policies of the engine by a set that it shares with others (RFC 4301 section 4.4.1). The flow cache
    /// is emptied. The engine does not change shared policies: [`add_policy`](Self::add_policy) returns
    /// [`PolicyError::Shared`](crate::PolicyError::Shared), and [`remove_policy`](Self::remove_policy) removes none. To
    /// change policies, change a copy of the set and give it to each engine; meanwhile the engines differ.
    pub fn set_policies(&mut self, policies: Arc<HeapPolicies>) {
        self.acquires.retain(|id| policies.contains(id));
        self.spd.replace_policies(Held::shared(policies));
    }
}

impl<A> HeapEngine<A>
where
    A: Algorithms<Suite: KeyedSuite, Integrity: KeyedAhIntegrity, Window: SizedWindow>,
{
    /// Installs an outbound SA that other engines have as well (RFC 4301 section 4.4.2). The engine takes sequence
    /// numbers from `sa` in runs, and adds its packets to the usage by which the SA expires.
    ///
    /// [`remove`](Self::remove) in any engine, the hard limit and [`SharedSa::revoke`] end the SA in all engines: none
    /// of them sends another packet with it. An engine reports [`Expiry::Hard`](crate::Expiry::Hard) and wipes its keys
    /// when it would use the SA, or when the SA is removed from it.
    ///
    /// # Errors
    /// [`BackendError`]; nothing has changed.
    pub fn install_shared(&mut self, sa: &SharedSa, now: Instant) -> Result<SaId, BackendError> {
        let (params, profile) = (sa.params(), self.settings.ah_profile);
        if sa.is_revoked() {
            return Err(BackendError::Revoked(params.id));
        }
        let create = || Sa::from_params(params, profile).map_err(BackendError::Sa);
        let at = self.sad.install_with(params.id, params.source, now, create)?;
        self.sad.share_numbers(at, Numbers::of(sa));
        self.check_sequence_left(at);
        Ok(params.id)
    }
}

impl<A: Algorithms> HeapEngine<A> {
    /// Limits the sequence numbers of an outbound SA of this engine to those that the result permits, at first none:
    /// its packets are refused as [`SequenceExhausted`](esp_core::SealError::SequenceExhausted) until numbers are
    /// permitted. Returns `None` if there is no such SA, if it has no sequence numbers, or if they are shared or
    /// limited already.
    pub fn limit_numbers(&mut self, id: &SaId, source: IpAddr) -> Option<PermittedNumbers> {
        let at = self.sad.find(id, source)?;
        let slot = self.sad.get(at).filter(|slot| slot.numbers.are_own())?;
        let (numbers, permitted) = Numbers::limited(slot.sa.as_ref()?.transform.counter()?.last_used());
        self.sad.share_numbers(at, numbers);
        Some(permitted)
    }
}

/// Returns whether an identifier is that of an outbound SA with sequence numbers.
const fn has_counter(id: &SaId) -> bool {
    matches!((id.direction, id.protocol), (Direction::Outbound, Protocol::Esp | Protocol::Ah))
}
