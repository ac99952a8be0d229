use core::fmt;
use core::net::IpAddr;

use heapless::{Deque, Vec};
use ipsec_packet::Instant;
use zeroize::Zeroize;

use crate::algorithms::Algorithms;
use crate::hash_index::{Index, address, hash};
use crate::sa::Sa;
use crate::table::Slots;
use ipsec_sa::{Direction, Protocol, SaId, SaState, Usage};

/// Security Association Database (RFC 4301 section 4.4.2).
#[derive(Debug)]
pub(crate) struct Sad<A: Algorithms, const N: usize> {
    slots: Slots<Place<A>, N>,
    /// Number of slots that are empty.
    vacant: usize,
    index: Index<N>,
    serial: u32,
    /// Number that changes whenever another SA may have to be chosen for a flow.
    generation: u32,
    /// Number of inbound IPComp SAs.
    ipcomp_in: usize,
    /// Number of slots with pending events.
    pub(crate) with_pending: usize,
    /// Dead SAs that were evicted before their expiry was polled.
    pub(crate) expired: Deque<SaId, MAX_EXPIRED>,
}

/// Largest number of those SAs that are remembered. When more are evicted, the oldest are lost.
const MAX_EXPIRED: usize = 8;

/// Slot of one SA. An SA is dropped in its slot and never moved out, so that no copy of its keys remains.
#[derive(Debug)]
struct Place<A: Algorithms>(Vec<Slot<A>, 1, u8>);

impl<A: Algorithms> Place<A> {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn get(&self) -> Option<&Slot<A>> {
        self.0.first()
    }

    fn get_mut(&mut self) -> Option<&mut Slot<A>> {
        self.0.first_mut()
    }

    /// Drops the SA and overwrites all of its memory, including gaps between fields.
    fn wipe(&mut self) {
        self.0.clear();
        self.0.zeroize();
    }

    fn put(&mut self, slot: Slot<A>) {
        self.wipe();
        let _ = self.0.push(slot); // there is room
    }
}

impl<A: Algorithms> Drop for Place<A> {
    fn drop(&mut self) {
        self.wipe();
    }
}

pub(crate) struct Slot<A: Algorithms> {
    pub(crate) key: SaId,
    pub(crate) source: IpAddr,
    pub(crate) state: SaState,
    pub(crate) usage: Usage,
    /// The SA itself; `None` while it is larval.
    pub(crate) sa: Option<Sa<A>>,
    pub(crate) pending: PendingEvents,
    serial: u32,
}

impl<A: Algorithms> Slot<A> {
    fn larval(key: SaId, source: IpAddr, now: Instant) -> Self {
        let (usage, pending) = (Usage::new(now), PendingEvents::default());
        Self { key, source, state: SaState::Larval, usage, sa: None, pending, serial: 0 }
    }
}

/// Reason why there is no slot for an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstallRefusal {
    /// An SA with this identifier exists.
    Exists(SaId),
    /// The SAD is full.
    Full,
}

impl<A: Algorithms> fmt::Debug for Slot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({}, {})", self.key, self.state)
    }
}

/// Events of a slot that were not polled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct PendingEvents {
    pub(crate) soft: bool,
    pub(crate) hard: bool,
    pub(crate) sequence: Report,
    /// Address and port of the peer according to its newest packet.
    pub(crate) moved: Option<(IpAddr, u16)>,
    /// Address and port of the peer that were reported last.
    pub(crate) reported_peer: Option<(IpAddr, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Report {
    #[default]
    No,
    Due,
    Yes,
}

impl PendingEvents {
    pub(crate) fn has_new_peer(&self) -> bool {
        self.moved.is_some() && self.moved != self.reported_peer
    }

    pub(crate) fn any(&self) -> bool {
        self.soft || self.hard || self.sequence == Report::Due || self.has_new_peer()
    }
}

/// Reason why an SA was not installed (RFC 2367 section 3.1.3). The SA is returned.
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is no heap
pub enum InstallError<A: Algorithms> {
    /// An SA with this identifier exists.
    Exists(Sa<A>),
    /// The SAD is full.
    Full(Sa<A>),
}

impl<A: Algorithms> fmt::Display for InstallError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(sa) => write!(f, "SA {} exists", sa.key()),
            Self::Full(_) => f.write_str("SA table is full"),
        }
    }
}

impl<A: Algorithms> fmt::Debug for InstallError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(sa) => write!(f, "Exists({sa:?})"),
            Self::Full(sa) => write!(f, "Full({sa:?})"),
        }
    }
}

impl<A: Algorithms> core::error::Error for InstallError<A> {}

/// Reason why an SA was not updated (RFC 2367 section 3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateError {
    /// No SA has this identifier, or the SA is larval.
    Missing,
    /// The update gave the SA the identifier of another SA, this one. It was removed and wiped.
    Exists(SaId),
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no SA with this identifier"),
            Self::Exists(key) => write!(f, "SA {key} exists"),
        }
    }
}

impl core::error::Error for UpdateError {}

/// Reason why an SPI was not reserved (RFC 2367 section 3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReserveError {
    /// An SA with this SPI exists.
    InUse,
    /// The SAD is full.
    Full,
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "SPI is in use",
            Self::Full => "SA table is full",
        })
    }
}

impl core::error::Error for ReserveError {}

/// CPIs below this number identify an algorithm, not an association: several peers may use the same (RFC 3173 section
/// 3.3).
const WELL_KNOWN_CPIS: u32 = 64;

impl<A: Algorithms, const N: usize> Sad<A, N> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Slots::new(),
            vacant: 0,
            index: Index::new(),
            serial: 0,
            generation: 0,
            ipcomp_in: 0,
            with_pending: 0,
            expired: Deque::new(),
        }
    }

    /// Returns whether there is an inbound IPComp SA.
    pub(crate) const fn has_ipcomp_in(&self) -> bool {
        self.ipcomp_in > 0
    }

    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Invalidates the SAs that were chosen for flows.
    pub(crate) const fn forget_choices(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    pub(crate) fn get(&self, at: u16) -> Option<&Slot<A>> {
        self.slots.get(usize::from(at))?.get()
    }

    pub(crate) fn get_mut(&mut self, at: u16) -> Option<&mut Slot<A>> {
        self.slots.get_mut(usize::from(at))?.get_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &Slot<A>)> {
        (0u16..).zip(self.slots.iter()).filter_map(|(at, place)| Some((at, place.get()?)))
    }

    /// Finds an SA by its identifier. If a CPI identifies an algorithm only, the source of the packet is compared,
    /// too.
    //= RFC 4303 2.1/1
    //# MUST: inbound unicast traffic is mapped to an SA by SPI, alone or with the protocol
    //= RFC 2408 4.3/3
    //# SHOULD: inbound traffic is taken by the old SA until it is deleted
    pub(crate) fn find(&self, key: &SaId, source: IpAddr) -> Option<u16> {
        let shared = key.protocol == Protocol::Ipcomp && key.spi < WELL_KNOWN_CPIS;
        self.index
            .find(hash_of(key))
            .find(|&at| self.get(at).is_some_and(|slot| slot.key == *key && (!shared || slot.source == source)))
    }

    /// Installs an SA. A larval SA with its identifier is replaced.
    #[allow(clippy::result_large_err)] // the SA is the caller's
    pub(crate) fn install(&mut self, sa: Sa<A>, now: Instant) -> Result<u16, InstallError<A>> {
        let (key, source) = (sa.key(), sa.source);
        let known = self.find(&key, source);
        if let Some(at) = known {
            self.refresh(at, now);
        }
        let at = match known {
            Some(at) if self.get(at).is_some_and(|slot| matches!(slot.state, SaState::Larval | SaState::Dead)) => {
                self.evict(at);
                at
            }
            Some(_) => return Err(InstallError::Exists(sa)),
            None => match self.free_slot() {
                Some(at) => at,
                None => return Err(InstallError::Full(sa)),
            },
        };
        let peer = sa.peer();
        let pending = PendingEvents { reported_peer: peer, ..PendingEvents::default() };
        self.put(
            at,
            Slot { key, source, state: SaState::Mature, usage: Usage::new(now), sa: Some(sa), pending, serial: 0 },
        );
        Ok(at)
    }

    /// Installs an SA like [`install`](Self::install), and creates it in its slot. A larval SA with its identifier
    /// becomes mature, and stays larval if the SA is refused.
    pub(crate) fn install_with<E: From<InstallRefusal>>(
        &mut self,
        key: SaId,
        source: IpAddr,
        now: Instant,
        create: impl FnOnce() -> Result<Sa<A>, E>,
    ) -> Result<u16, E> {
        let known = self.find(&key, source);
        if let Some(at) = known {
            self.refresh(at, now);
        }
        let is_larval = |at: &u16| self.get(*at).is_some_and(|slot| slot.state == SaState::Larval);
        let (at, is_new) = match known {
            Some(at) if is_larval(&at) => (at, false),
            Some(at) if self.get(at).is_some_and(|slot| slot.state != SaState::Dead) => {
                return Err(InstallRefusal::Exists(key).into());
            }
            dead => {
                if let Some(at) = dead {
                    self.evict(at);
                }
                let at = self.free_slot().ok_or(InstallRefusal::Full)?;
                self.put(at, Slot::larval(key, source, now));
                (at, true)
            }
        };
        let created = match self.get_mut(at) {
            Some(slot) => create().map(|sa| slot.sa = Some(sa)),
            None => Ok(()),
        };
        if let Err(refused) = created {
            if is_new {
                self.remove(at);
            }
            return Err(refused);
        }
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        if let Some(slot) = self.get_mut(at) {
            slot.pending.reported_peer = slot.sa.as_ref().and_then(Sa::peer);
            (slot.state, slot.source, slot.usage, slot.serial) = (SaState::Mature, source, Usage::new(now), serial);
        }
        self.forget_choices();
        Ok(at)
    }

    pub(crate) fn reserve(&mut self, key: SaId, source: IpAddr, now: Instant) -> Result<(), ReserveError> {
        if self.find(&key, source).is_some() {
            return Err(ReserveError::InUse);
        }
        let at = self.free_slot().ok_or(ReserveError::Full)?;
        self.put(at, Slot::larval(key, source, now));
        Ok(())
    }

    /// Updates the identifier of a slot after the address of its peer was changed; protocol, direction and SPI stay. An
    /// SA that got the identifier of another one is removed.
    pub(crate) fn rename(&mut self, at: u16) -> Result<SaId, UpdateError> {
        let slot = self.get(at).ok_or(UpdateError::Missing)?;
        let (old, sa) = (slot.key, slot.sa.as_ref().ok_or(UpdateError::Missing)?);
        let (key, source) = (sa.key(), sa.source);
        if self.find(&key, source).is_some_and(|other| other != at) {
            self.remove(at);
            return Err(UpdateError::Exists(key));
        }
        if key != old {
            self.index.remove(hash_of(&old), at);
            self.index.insert(hash_of(&key), at);
        }
        if let Some(slot) = self.get_mut(at) {
            (slot.key, slot.source) = (key, source);
        }
        self.forget_choices();
        Ok(key)
    }

    fn put(&mut self, at: u16, slot: Slot<A>) {
        self.index.insert(hash_of(&slot.key), at);
        self.ipcomp_in = self.ipcomp_in.saturating_add(usize::from(slot.key.is_ipcomp_in()));
        self.serial = self.serial.wrapping_add(1);
        self.forget_choices();
        if let Some(place) = self.slots.get_mut(usize::from(at)) {
            self.vacant = self.vacant.saturating_sub(1);
            place.put(Slot { serial: self.serial, ..slot });
        }
    }

    /// Returns an empty slot, a new one, or that of a dead SA.
    fn free_slot(&mut self) -> Option<u16> {
        let at = if self.vacant > 0 {
            self.slots.iter().position(|place| place.get().is_none())?
        } else if self.slots.push(Place::new()).is_ok() {
            self.vacant = 1;
            self.slots.len().checked_sub(1)?
        } else {
            let dead = |place: &Place<A>| place.get().is_some_and(|slot| slot.state == SaState::Dead);
            let at = u16::try_from(self.slots.iter().position(dead)?).ok()?;
            self.evict(at);
            at.into()
        };
        u16::try_from(at).ok()
    }

    /// Removes an SA whose slot is needed, and keeps its expiry event if that was not polled.
    fn evict(&mut self, at: u16) {
        if let Some(slot) = self.get(at).filter(|slot| slot.pending.hard) {
            let key = slot.key;
            if self.expired.is_full() {
                self.expired.pop_front();
            }
            // The queue has space: one entry was removed if it was full.
            let _ = self.expired.push_back(key);
        }
        self.remove(at);
    }

    /// Removes an SA and returns its usage. The SA is dropped in its slot and never moved, so that no copy of its
    /// keys remains; then the whole slot is wiped, including gaps between fields.
    pub(crate) fn remove(&mut self, at: u16) -> Option<Usage> {
        let usage = self.get(at)?.usage;
        self.unlink(at);
        if let Some(place) = self.slots.get_mut(usize::from(at)) {
            place.wipe();
            self.vacant = self.vacant.saturating_add(1);
        }
        Some(usage)
    }

    /// Removes an SA from the index and from the totals.
    fn unlink(&mut self, at: u16) {
        let Some((key, any)) = self.get(at).map(|slot| (slot.key, slot.pending.any())) else { return };
        self.index.remove(hash_of(&key), at);
        self.forget_choices();
        self.with_pending = self.with_pending.saturating_sub(usize::from(any));
        self.ipcomp_in = self.ipcomp_in.saturating_sub(usize::from(key.is_ipcomp_in()));
    }

    /// Changes the pending events of a slot, and the number of slots that have any.
    pub(crate) fn update_pending(&mut self, at: u16, next_pending: impl FnOnce(&mut PendingEvents)) {
        let Some(slot) = self.get_mut(at) else { return };
        let before = slot.pending.any();
        next_pending(&mut slot.pending);
        match (before, slot.pending.any()) {
            (false, true) => self.with_pending = self.with_pending.saturating_add(1),
            (true, false) => self.with_pending = self.with_pending.saturating_sub(1),
            _ => {}
        }
    }

    /// Checks the lifetimes of an SA and returns its state.
    pub(crate) fn refresh(&mut self, at: u16, now: Instant) -> Option<SaState> {
        let slot = self.get_mut(at)?;
        let (before, Some(sa)) = (slot.state, &slot.sa) else { return Some(slot.state) };
        let state = if sa.lifetimes.hard.reached(&slot.usage, now) {
            SaState::Dead
        } else if sa.lifetimes.soft.reached(&slot.usage, now) {
            SaState::Dying
        } else {
            SaState::Mature
        };
        let state = state.max(before); // nothing comes back to life
        if state != before {
            slot.state = state;
            self.forget_choices();
            self.update_pending(at, |pending| match state {
                SaState::Dead => pending.hard = true,
                _ => pending.soft = true,
            });
        }
        Some(state)
    }

    /// Chooses the SA of a template: the newest mature SA that matches, otherwise the newest dying one.
    //= RFC 2408 4.3/2
    //# SHOULD: outbound traffic uses a new protocol SA as soon as it is there
    pub(crate) fn choose(&self, mut serves: impl FnMut(&Sa<A>) -> bool) -> Option<u16> {
        let usable = |slot: &Slot<A>| matches!(slot.state, SaState::Mature | SaState::Dying);
        self.iter()
            .filter(|(_, slot)| slot.key.direction == Direction::Outbound && usable(slot))
            .filter(|(_, slot)| slot.sa.as_ref().is_some_and(&mut serves))
            .max_by_key(|(_, slot)| (slot.state == SaState::Mature, slot.serial))
            .map(|(at, _)| at)
    }
}

fn hash_of(key: &SaId) -> u64 {
    let [high, low] = address(key.destination);
    let kind = match (key.direction, key.protocol) {
        (Direction::Inbound, Protocol::Esp) => 0,
        (Direction::Inbound, Protocol::Ah) => 1,
        (Direction::Inbound, Protocol::Ipcomp) => 2,
        (Direction::Outbound, Protocol::Esp) => 3,
        (Direction::Outbound, Protocol::Ah) => 4,
        (Direction::Outbound, Protocol::Ipcomp) => 5,
    };
    hash([high, low, u64::from(key.spi) << 3 | kind])
}
