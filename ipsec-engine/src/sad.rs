#[cfg(feature = "alloc")]
use core::hint::black_box;
use core::net::IpAddr;
use core::time::Duration;

use heapless::Deque;
#[cfg(feature = "alloc")]
use ipsec_crypto::batch::{self, KeyUse};
use ipsec_packet::Instant;

use crate::algorithms::Algorithms;
use crate::sa::Sa;
#[cfg(feature = "alloc")]
use crate::sa::Transform;
use crate::sad_error::{InstallError, InstallRefusal, ReserveError, UpdateError};
use crate::sad_index::{Due, KnownChoice, Linked, SadIndex, Wanted};
use crate::slot::{PendingEvents, Place, Slot};
use crate::spd::Chosen;
use crate::table::{SlotNumber, Slots};
use crate::update::SaUpdate;
use ipsec_sa::{Direction, Protocol, SaId, SaState, Usage};

/// Security Association Database (RFC 4301 section 4.4.2).
#[derive(Debug)]
pub(crate) struct Sad<A: Algorithms, const N: usize> {
    slots: Slots<Place<A>, N>,
    index: SadIndex<N>,
    serial: u32,
    /// Number of inbound IPComp SAs.
    ipcomp_in: usize,
    /// Dead SAs that were evicted before their expiry was polled.
    pub(crate) expired: Deque<SaId, MAX_EXPIRED>,
}

/// Largest number of expired SAs whose events are kept. When more are evicted, the oldest are lost.
const MAX_EXPIRED: usize = 8;

/// CPIs below this number identify an algorithm, not an association: several peers may use the same (RFC 3173 section
/// 3.3).
const WELL_KNOWN_CPIS: u32 = 64;

impl<A: Algorithms, const N: usize> Sad<A, N> {
    pub(crate) const fn new() -> Self {
        Self { slots: Slots::new(), index: SadIndex::new(), serial: 0, ipcomp_in: 0, expired: Deque::new() }
    }

    /// Returns whether there is an inbound IPComp SA.
    pub(crate) const fn has_ipcomp_in(&self) -> bool {
        self.ipcomp_in > 0
    }

    /// Sets the largest number of SAs.
    #[cfg(feature = "alloc")]
    pub(crate) const fn set_limit(&mut self, sas: usize) {
        self.slots.set_limit(sas);
    }

    /// Returns whether the SAs that were chosen for a flow would be chosen again.
    pub(crate) fn is_current(&self, known: &KnownChoice) -> bool {
        self.index.is_current(known)
    }

    /// Describes the state in which SAs were chosen for these templates.
    pub(crate) fn known(&self, chosen: Chosen, wanted: impl Iterator<Item = Wanted>) -> KnownChoice {
        self.index.known(chosen, wanted)
    }

    /// Iterates over the slots that may have an SA for a template.
    pub(crate) fn wanted(&self, wanted: &Wanted) -> impl Iterator<Item = SlotNumber> + '_ {
        self.index.wanted(wanted, self.slots.len())
    }

    /// Returns the slot after another one in that order; the first one after `None`.
    pub(crate) fn next_wanted(&self, wanted: &Wanted, behind: Option<SlotNumber>) -> Option<SlotNumber> {
        self.index.next_wanted(wanted, behind, self.slots.len())
    }

    /// Iterates over the slots that may have an inbound IPComp SA between these addresses.
    pub(crate) fn ipcomp_between(&self, ends: (IpAddr, IpAddr)) -> impl Iterator<Item = (SlotNumber, &Slot<A>)> {
        self.index.ipcomp_between(ends, self.slots.len()).filter_map(|at| Some((at, self.get(at)?)))
    }

    /// Returns whether an inbound SA has this destination, and this UDP port if there is one.
    pub(crate) fn has_local(&self, address: IpAddr, port: Option<u16>) -> bool {
        self.index.has_local(address, port, || {
            self.iter().any(|(_, slot)| {
                let Linked { id, local_port, .. } = slot.linked();
                (id.direction, id.destination) == (Direction::Inbound, address)
                    && (port.is_none() || port == local_port)
            })
        })
    }

    /// Returns a slot whose SA changes its state at this time.
    pub(crate) fn overdue(&self, now: Instant, larval_lifetime: Duration) -> Option<SlotNumber> {
        self.index.overdue(now, larval_lifetime, self.iter().map(|(at, slot)| (at, slot.due())))
    }

    /// Returns the earliest time at which an SA changes its state.
    pub(crate) fn next_due(&self, larval_lifetime: Duration) -> Option<Instant> {
        self.index.next_due(larval_lifetime, self.iter().map(|(at, slot)| (at, slot.due())))
    }

    /// Returns the first slot with pending events.
    pub(crate) fn next_pending(&self) -> Option<(SlotNumber, &Slot<A>)> {
        let walk = || self.iter().find(|(_, slot)| slot.pending.any()).map(|(at, _)| at);
        let at = self.index.pending(walk)?;
        Some((at, self.get(at)?))
    }

    pub(crate) fn get(&self, at: SlotNumber) -> Option<&Slot<A>> {
        self.slots.get(at.index())?.get()
    }

    pub(crate) fn get_mut(&mut self, at: SlotNumber) -> Option<&mut Slot<A>> {
        self.slots.get_mut(at.index())?.get_mut()
    }

    /// Reads the parts of an SA that a packet needs into the cache of the processor, all at once: a packet that needs
    /// them one after the other waits for each.
    #[cfg(feature = "alloc")]
    pub(crate) fn read_ahead(&self, at: SlotNumber) {
        let Some(slot) = self.get(at) else { return };
        black_box((slot.state, slot.usage.packets, slot.serial, slot.pending.soft));
        let Some(sa) = &slot.sa else { return };
        black_box((sa.mode, sa.tunnel.overhead(), sa.transform.sequence(), sa.encap.is_some(), sa.reqid));
        match &sa.transform {
            Transform::EspOut(esp) => batch::read_ahead(esp.suite(), KeyUse::Seal),
            Transform::EspIn(esp) => batch::read_ahead(esp.suite(), KeyUse::Open),
            _ => {}
        }
    }

    #[cfg(not(feature = "alloc"))]
    pub(crate) const fn read_ahead(&self, _: SlotNumber) {}

    /// Iterates over the numbers of all slots.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = SlotNumber> + use<A, N> {
        SlotNumber::first(self.slots.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SlotNumber, &Slot<A>)> {
        self.numbers().zip(self.slots.iter()).filter_map(|(at, place)| Some((at, place.get()?)))
    }

    /// Finds an SA by its identifier. If a CPI identifies an algorithm only, the source of the packet is compared,
    /// too.
    //= RFC 4303 2.1/1
    //# MUST: inbound unicast traffic is mapped to an SA by SPI, alone or with the protocol
    //= RFC 2408 4.3/3
    //# SHOULD: inbound traffic is taken by the old SA until it is deleted
    pub(crate) fn find(&self, key: &SaId, source: IpAddr) -> Option<SlotNumber> {
        let shared = key.protocol == Protocol::Ipcomp && key.spi < WELL_KNOWN_CPIS;
        self.index
            .find(key)
            .find(|&at| self.get(at).is_some_and(|slot| slot.key == *key && (!shared || slot.source == source)))
    }

    /// Installs an SA. A larval SA with its identifier is replaced.
    #[allow(clippy::result_large_err)] // the SA is the caller's
    pub(crate) fn install(&mut self, sa: Sa<A>, now: Instant) -> Result<SlotNumber, InstallError<A>> {
        let (key, source) = (sa.key(), sa.source);
        let known = self.find(&key, source);
        if let Some(at) = known {
            self.refresh(at, now);
        }
        let at = match known {
            Some(at) if self.get(at).is_some_and(|slot| matches!(slot.state, SaState::Larval | SaState::Dead)) => {
                self.evict(at);
                self.free_slot().unwrap_or(at) // that of the SA before
            }
            Some(_) => return Err(InstallError::Exists(sa)),
            None => match self.free_slot() {
                Some(at) => at,
                None => return Err(InstallError::Full(sa)),
            },
        };
        let peer = sa.peer();
        let pending = PendingEvents { reported_peer: peer, ..PendingEvents::default() };
        self.put(at, Slot { state: SaState::Mature, sa: Some(sa), pending, ..Slot::larval(key, source, now) });
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
    ) -> Result<SlotNumber, E> {
        let known = self.find(&key, source);
        if let Some(at) = known {
            self.refresh(at, now);
        }
        let is_larval = |at: &SlotNumber| self.get(*at).is_some_and(|slot| slot.state == SaState::Larval);
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
        let before = self.get(at).map(Slot::linked);
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
        self.relink(at, before);
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

    /// Changes an SA in its slot, and its identifier with the address of its peer; protocol, direction and SPI stay. An
    /// SA that gets the identifier of another one is removed.
    pub(crate) fn change(
        &mut self,
        at: SlotNumber,
        change: impl FnOnce(&mut SaUpdate<'_, A>),
    ) -> Result<SaId, UpdateError> {
        let slot = self.get_mut(at).ok_or(UpdateError::Missing)?;
        let before = slot.linked();
        let sa = slot.sa.as_mut().ok_or(UpdateError::Missing)?;
        let peer_before = sa.peer();
        change(&mut SaUpdate::new(sa));
        let (key, source, peer) = (sa.key(), sa.source, sa.peer());
        if peer != peer_before {
            self.update_pending(at, |pending| (pending.reported_peer, pending.moved) = (peer, None));
        }
        let is_taken = self.find(&key, source).is_some_and(|other| other != at);
        if let Some(slot) = self.get_mut(at).filter(|_| !is_taken) {
            (slot.key, slot.source) = (key, source);
        }
        self.relink(at, Some(before));
        if is_taken {
            self.remove(at);
            return Err(UpdateError::Exists(key));
        }
        Ok(key)
    }

    fn put(&mut self, at: SlotNumber, slot: Slot<A>) {
        self.ipcomp_in = self.ipcomp_in.saturating_add(usize::from(slot.key.is_ipcomp_in()));
        self.serial = self.serial.wrapping_add(1);
        if let Some(place) = self.slots.get_mut(at.index()) {
            place.put(Slot { serial: self.serial, ..slot });
        }
        self.relink(at, None);
    }

    /// Moves an SA to its position in the order after it was installed or changed; `before` are its properties before
    /// the change.
    fn relink(&mut self, at: SlotNumber, before: Option<Linked>) {
        let Some(after) = self.get(at).map(Slot::linked) else { return };
        if let Some(before) = before {
            self.index.unlink(at, &before);
            self.index.void_choices(&before);
        }
        self.index.link(at, &after);
        self.index.void_choices(&after);
        self.schedule(at);
    }

    /// Determines when an SA changes its state next.
    fn schedule(&mut self, at: SlotNumber) {
        let Some(slot) = self.get_mut(at) else { return };
        #[cfg(feature = "alloc")]
        {
            slot.next = slot.next_change();
        }
        let due = slot.due();
        self.index.set_due(at, due);
    }

    /// Returns an empty slot, a new one, or that of a dead SA.
    fn free_slot(&mut self) -> Option<SlotNumber> {
        let empty = || {
            let at = self.slots.iter().position(|place| place.get().is_none())?;
            SlotNumber::of(at)
        };
        if let Some(at) = self.index.take_vacant(empty) {
            return Some(at);
        }
        let new = SlotNumber::of(self.slots.len())?;
        if self.slots.push(Place::new()).is_ok() {
            return Some(new);
        }
        let walk = || self.iter().find(|(_, slot)| slot.state == SaState::Dead).map(|(at, _)| at);
        let at = self.index.dead(walk)?;
        self.evict(at);
        self.index.take_vacant(|| Some(at))
    }

    /// Removes an SA whose slot is needed, and keeps its expiry event if that was not polled.
    fn evict(&mut self, at: SlotNumber) {
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
    pub(crate) fn remove(&mut self, at: SlotNumber) -> Option<Usage> {
        let slot = self.get(at)?;
        slot.numbers.revoke();
        let usage = slot.usage;
        self.unlink(at);
        if let Some(place) = self.slots.get_mut(at.index()) {
            place.wipe();
            self.index.add_vacant(at);
        }
        Some(usage)
    }

    /// Removes an SA from the index and from the totals.
    fn unlink(&mut self, at: SlotNumber) {
        let Some((linked, any)) = self.get(at).map(|slot| (slot.linked(), slot.pending.any())) else { return };
        self.index.unlink(at, &linked);
        self.index.void_choices(&linked);
        self.index.set_due(at, Due::Never);
        self.index.set_pending(at, any, false);
        self.index.set_dead(at, false);
        self.ipcomp_in = self.ipcomp_in.saturating_sub(usize::from(linked.id.is_ipcomp_in()));
    }

    /// Returns how many sequence numbers an outbound SA has left, or `None` if it has no counter. If an SA that is
    /// shared has fewer than `uses`, it takes another run.
    pub(crate) fn numbers_left(&mut self, at: SlotNumber, uses: u64) -> Option<u64> {
        let Slot { sa, numbers, .. } = self.get_mut(at)?;
        let transform = &mut sa.as_mut()?.transform;
        let left = numbers.left(transform.counter()?);
        if left < uses
            && let Some(before) = numbers.take_run(transform.counter()?, uses)
        {
            // An SA that cannot use the run has no numbers left; `None` would be an SA without a counter.
            if transform.skip_to(before).is_none() {
                return Some(0);
            }
        }
        Some(numbers.left(transform.counter()?))
    }

    /// Gives an SA the sequence numbers that it shares with the SAs of other engines.
    #[cfg(all(feature = "shards", target_has_atomic = "64"))]
    pub(crate) fn share_numbers(&mut self, at: SlotNumber, numbers: crate::shards::Numbers) {
        if let Some(slot) = self.get_mut(at) {
            slot.numbers = numbers;
        }
    }

    /// Changes the pending events of a slot, and the number of slots that have any.
    pub(crate) fn update_pending(&mut self, at: SlotNumber, next_pending: impl FnOnce(&mut PendingEvents)) {
        let Some(slot) = self.get_mut(at) else { return };
        let before = slot.pending.any();
        next_pending(&mut slot.pending);
        let after = slot.pending.any();
        self.index.set_pending(at, before, after);
    }

    /// Adds a packet to the usage of an SA and checks its lifetimes.
    pub(crate) fn charge(&mut self, at: SlotNumber, now: Instant, octets: usize) {
        let Some(slot) = self.get_mut(at) else { return };
        let is_first = slot.usage.first.is_none();
        slot.usage.charge(now, octets);
        slot.numbers.report(&slot.usage);
        if is_first {
            self.schedule(at); // a lifetime may begin with the first packet
        }
        self.refresh(at, now);
    }

    /// Checks the lifetimes of an SA and returns its state.
    pub(crate) fn refresh(&mut self, at: SlotNumber, now: Instant) -> Option<SaState> {
        let slot = self.get_mut(at)?;
        let is_revoked = slot.numbers.is_revoked();
        if !is_revoked && slot.is_unchanged(now) {
            return Some(slot.state);
        }
        let (before, Some(sa)) = (slot.state, &slot.sa) else { return Some(slot.state) };
        let usage = slot.numbers.total(&slot.usage);
        let state = if is_revoked || sa.lifetimes.hard.reached(&usage, now) {
            slot.numbers.revoke();
            SaState::Dead
        } else if sa.lifetimes.soft.reached(&usage, now) {
            SaState::Dying
        } else {
            SaState::Mature
        };
        let state = state.max(before); // an expired SA does not become mature again
        if state != before {
            slot.state = state;
            let linked = slot.linked();
            self.index.void_choices(&linked);
            self.schedule(at);
            self.index.set_dead(at, state == SaState::Dead);
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
    pub(crate) fn choose(&self, wanted: &Wanted, mut serves: impl FnMut(&Sa<A>) -> bool) -> Option<SlotNumber> {
        let usable = |slot: &Slot<A>| matches!(slot.state, SaState::Mature | SaState::Dying);
        self.wanted(wanted)
            .filter_map(|at| Some((at, self.get(at)?)))
            .filter(|(_, slot)| slot.key.direction == Direction::Outbound && usable(slot))
            .filter(|(_, slot)| slot.sa.as_ref().is_some_and(&mut serves))
            .max_by_key(|(_, slot)| (slot.state == SaState::Mature, slot.serial))
            .map(|(at, _)| at)
    }
}
