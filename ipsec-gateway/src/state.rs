//! Sequence numbers, anti-replay windows and usage of SAs with manual keys in a file, for the time after a restart.
//!
//! The file is written before packets need it. An outbound SA uses no number that the file does not reserve, and a
//! packet of an inbound SA is delivered only if the window of the file refuses it: one that is full up to a number
//! ahead while packets arrive, or the window itself when none has arrived for a second. After a clean stop, or one
//! without traffic, nothing is lost; otherwise the numbers that were reserved ahead are skipped or refused.
//!
//! SAs that statements of setkey(8) add to the running gateway are in the file with their keys if the configuration
//! allows that, and are added again after a restart. Keys of negotiated SAs are never in it.
//!
//! A file that was replaced by an older copy cannot be recognized. Algorithms whose nonce is the sequence number are
//! therefore refused with manual keys (`policy::check_manual_sa`).

pub mod added;
pub mod backend;
pub mod file;
mod manual_sa;
pub mod name;
mod restore;
pub mod store;

use std::collections::HashMap;
use std::time::Duration;

use ipsec_engine::{Counter, Direction};
use ipsec_packet::Instant;
use ipsec_sa::{SaId, SaParams};

use crate::databases::Databases;
use crate::log::{self, Level, Limiter};
use crate::shown_keys::ShownKeys;
use added::{AddStatement, AddedSas};
use file::{SavedSa, SavedState};
use manual_sa::{IDLE, ManualSa, Moment};
use name::{SALT, SaName};
use restore::restore;
use store::Store;

/// Interval in which the usage of SAs is written.
const INTERVAL: Duration = Duration::from_secs(60);
/// Time between attempts to write the file.
const RETRY: Duration = Duration::from_secs(1);
/// Number of packets after which the numbers that are left are compared.
const CHECK_AFTER: u64 = 64;

/// State of the SAs with manual keys, and its file.
pub struct ManualState {
    store: Box<dyn Store>,
    /// Contents of the file.
    saved: SavedState,
    sas: HashMap<SaId, ManualSa>,
    /// SAs whose keys are stored; `None` if the configuration does not allow that.
    added: Option<AddedSas>,
    /// Set if the file lacks a change.
    is_changed: bool,
    /// Time of the next attempt after the file was not written.
    retry: Option<Instant>,
    /// Time of the next write without a change.
    next_write: Instant,
    /// Time at which an inbound SA may be idle.
    next_idle: Option<Instant>,
    /// Numbers of packets when the numbers that are left were compared, and when the file was written.
    compared: u64,
    packets_written: u64,
    counters: StateCounters,
    errors: Limiter,
}

/// Counters of the state file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounters {
    /// Number of times that the file was written.
    pub writes: u64,
    /// Number of times that the file was not written because of an error.
    pub failures: u64,
    /// Inbound packets that were refused because the file was not written.
    pub refused: u64,
}

impl ManualState {
    /// Reads the state. If there is no file, one without SAs is created with a random number. Returns whether there was
    /// one.
    ///
    /// # Errors
    /// The message about a file that cannot be read or is damaged.
    pub fn open(store: Box<dyn Store>, salt: [u8; SALT], now: Instant) -> Result<(Self, bool), String> {
        let contents = store.read()?;
        let saved = contents.as_ref().map_or_else(|| Ok(SavedState::new(salt)), |contents| SavedState::parse(contents));
        let saved = saved.map_err(|damage| {
            format!(
                "the state file is damaged: {damage}; sequence numbers and windows of SAs with manual keys are \
                 unknown: give them new keys at both ends, and remove the file"
            )
        })?;
        let state = Self {
            store,
            saved,
            sas: HashMap::new(),
            added: None,
            is_changed: false,
            retry: None,
            next_write: now,
            next_idle: None,
            compared: 0,
            packets_written: 0,
            counters: StateCounters::default(),
            errors: Limiter::default(),
        };
        Ok((state, contents.is_some()))
    }

    /// Stores the keys of SAs that are added to the running gateway.
    pub fn store_keys(&mut self) {
        self.added = Some(AddedSas::default());
    }

    /// Returns the statements of the file that have added SAs to the running gateway. The next file has those for which
    /// [`keep_statement`](Self::keep_statement) is called.
    pub fn take_statements(&mut self) -> Vec<AddStatement> {
        std::mem::take(&mut self.saved.added)
    }

    /// Keeps the statement of an SA that was added to the running gateway, if keys are stored.
    pub fn keep_statement(&mut self, statement: AddStatement, id: SaId) {
        if let Some(added) = &mut self.added {
            added.add(statement, id);
            self.is_changed = true;
        }
    }

    /// Returns the keys of the SAs that were added to the running gateway, as far as they are stored.
    pub fn keys(&self) -> impl Iterator<Item = (SaId, ShownKeys)> {
        self.added.iter().flat_map(AddedSas::keys)
    }

    /// Returns whether keys are stored.
    pub const fn stores_keys(&self) -> bool {
        self.added.is_some()
    }

    /// Removes the statements of SAs that are removed from the engine.
    pub fn drop_statements(&mut self, is_removed: impl Fn(&SaId) -> bool) {
        self.is_changed |= self.added.as_mut().is_some_and(|added| added.remove(is_removed));
    }

    /// Continues an SA that was added to the engine. It sends nothing until the file is written.
    pub fn adopt(&mut self, engine: &mut Databases, sa: &SaParams, wall: u64) {
        let Some(name) = SaName::of(sa, &self.saved.salt) else { return };
        let before = self.saved.sas.get(&name).cloned();
        if let Some(before) = &before {
            restore(engine, sa, before, wall);
        }
        let before = before.unwrap_or(SavedSa { added: wall, ..SavedSa::default() });
        self.sas.insert(sa.id, ManualSa::new(engine, sa, name, before));
        self.is_changed = true;
    }

    /// Keeps the state of an SA that will be removed from the engine.
    pub fn release(&mut self, engine: &Databases, id: &SaId, now: Instant, wall: u64) {
        let Some(mut sa) = self.sas.remove(id) else { return };
        if let Some(entry) = sa.entry(engine, id, Moment { now, wall, is_last: true }) {
            self.saved.sas.insert(sa.name, entry);
            self.is_changed = true;
        }
    }

    /// Records that an SA has reached its hard limit: it stays expired after a restart.
    pub fn expired(&mut self, id: &SaId) {
        self.drop_statements(|own| own == id);
        let Some(sa) = self.sas.remove(id) else { return };
        let entry = self.saved.sas.entry(sa.name).or_insert(sa.before);
        entry.is_expired = true;
        self.is_changed = true;
    }

    /// Ensures that the file refuses a packet before it is delivered. `sa` has authenticated it, and `headers` is
    /// the number of its ESP and AH headers.
    ///
    /// # Errors
    /// The message about the file; the packet must be discarded.
    pub fn before_delivery(
        &mut self,
        engine: &Databases,
        (sa, headers): (&SaId, u64),
        (now, wall): (Instant, u64),
    ) -> Result<(), String> {
        let is_of_packet = |id: &SaId| engine.sa(id, sa.destination).is_some_and(|sa| sa.usage.last == Some(now));
        let mut is_needed = false;
        if headers <= 1 {
            let Some(own) = self.sas.get_mut(sa) else { return Ok(()) };
            is_needed = own.note_delivery(engine, sa, now);
        } else {
            // The other SAs of the packet are those that were used at this time.
            for (id, own) in self.sas.iter_mut().filter(|(id, _)| is_of_packet(id)) {
                is_needed |= own.note_delivery(engine, id, now);
            }
        }
        if self.next_idle.is_none() {
            self.next_idle = Some(now + IDLE);
        }
        if !is_needed {
            return Ok(());
        }
        let written = match self.retry.filter(|retry| now < *retry) {
            Some(retry) => {
                let rest = retry.saturating_duration_since(now).as_millis();
                Err(format!("state file: the last attempt to write it failed; the next one is in {rest} ms"))
            }
            None => self.write(engine, Moment { now, wall, is_last: false }),
        };
        written.map_err(|e| {
            self.counters.refused = self.counters.refused.saturating_add(1);
            format!("packet of SA {sa} refused: {e}")
        })
    }

    /// Writes the file if numbers are needed or something has changed. Errors are logged.
    pub fn tick(&mut self, engine: &Databases, now: Instant, wall: u64) {
        if self.retry.is_some_and(|retry| now < retry) {
            return;
        }
        let packets = packets(engine);
        if packets.saturating_sub(self.compared) >= CHECK_AFTER {
            self.compared = packets;
            self.is_changed |= self.sas.values().any(ManualSa::is_low);
        }
        if self.next_idle.is_some_and(|due| now >= due) {
            self.is_changed |= self.sas.values().any(|sa| !sa.is_exact && sa.is_idle(now));
            self.next_idle = self.sas.values().filter(|sa| !sa.is_idle(now)).filter_map(ManualSa::idle_at).min();
        }
        let is_due = now >= self.next_write && packets != self.packets_written && !self.sas.is_empty();
        if self.is_changed || is_due {
            // The error is logged.
            let _ = self.write(engine, Moment { now, wall, is_last: false });
        }
    }

    /// Writes the file for the begin of this run: the SAs may send.
    ///
    /// # Errors
    /// The message about the file.
    pub fn begin(&mut self, engine: &Databases, now: Instant, wall: u64) -> Result<(), String> {
        self.write(engine, Moment { now, wall, is_last: false })
    }

    /// Writes the file for the end of this run. The engine must not process packets afterwards.
    pub fn close(&mut self, engine: &Databases, now: Instant, wall: u64) {
        // The error is logged.
        let _ = self.write(engine, Moment { now, wall, is_last: true });
    }

    /// Returns the time at which [`tick`](Self::tick) has to be called.
    pub fn due(&self, engine: &Databases, now: Instant) -> Option<Instant> {
        let is_used = packets(engine) != self.packets_written && !self.sas.is_empty();
        let timers = [self.is_changed.then_some(now), is_used.then_some(self.next_write), self.next_idle];
        let due = timers.into_iter().flatten().min()?;
        Some(self.retry.map_or(due, |retry| due.max(retry)))
    }

    /// Returns the counters of the state file.
    pub const fn counters(&self) -> StateCounters {
        self.counters
    }

    fn write(&mut self, engine: &Databases, moment: Moment) -> Result<(), String> {
        let mut next = self.saved.clone();
        let mut entries = Vec::with_capacity(self.sas.len());
        for (id, sa) in &mut self.sas {
            // What the file says of an SA that is not in the engine remains valid.
            let Some(entry) = sa.entry(engine, id, moment) else { continue };
            let is_exact = sa.is_exact_at(moment);
            next.sas.insert(sa.name.clone(), entry.clone());
            entries.push((*id, entry.sequence, is_exact));
        }
        next.added = self.added.as_ref().map_or_else(Vec::new, AddedSas::statements);
        let written = self.store.replace(next.text().as_bytes());
        for (id, sequence, is_exact) in entries {
            if let Some(sa) = self.sas.get_mut(&id) {
                sa.written(sequence, is_exact, written.is_ok());
            }
        }
        match &written {
            Ok(()) => {
                self.saved = next;
                self.counters.writes = self.counters.writes.saturating_add(1);
                if self.retry.take().is_some() {
                    log::info("the state file is written again");
                }
                self.is_changed = false;
                self.packets_written = packets(engine);
                self.next_write = moment.now + INTERVAL;
            }
            Err(e) => {
                self.counters.failures = self.counters.failures.saturating_add(1);
                self.errors.write(
                    moment.now,
                    "state file",
                    Level::Error,
                    format_args!(
                        "{e}: packets of SAs with manual keys are refused when their reserved numbers are exhausted"
                    ),
                );
                (self.is_changed, self.retry) = (true, Some(moment.now + RETRY));
            }
        }
        written
    }
}

/// Returns the number of ESP and AH headers that the engine has written and verified.
fn packets(engine: &Databases) -> u64 {
    let counters = engine.counters();
    let of = |direction| counters.get(direction, Counter::Esp).saturating_add(counters.get(direction, Counter::Ah));
    of(Direction::Inbound).saturating_add(of(Direction::Outbound))
}

/// Returns the number of ESP and AH headers that the engine has verified.
pub fn verified(engine: &Databases) -> u64 {
    let counters = engine.counters();
    let of = |counter| counters.get(Direction::Inbound, counter);
    of(Counter::Esp).saturating_add(of(Counter::Ah))
}

#[cfg(test)]
mod tests;
