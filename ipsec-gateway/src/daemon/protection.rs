//! Firewall rules, routes and assigned addresses, which follow the SPD while the daemon runs. An update that has failed
//! is repeated until it succeeds.

use std::time::Duration;

use ipsec_packet::Instant;

use super::Daemon;
use crate::generated::Changes;
use crate::log;
use crate::own_addresses::AddressChange;

/// Delay of the first repetition of an update; each further one doubles it.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Longest delay of a repetition.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Repetition of an update that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    due: Instant,
    delay: Duration,
}

impl Retry {
    /// Returns the repetition after another failure.
    fn after(former: Option<Self>, now: Instant) -> Self {
        let delay = former.map_or(FIRST_DELAY, |former| former.delay.saturating_mul(2).min(MAX_DELAY));
        Self { due: now.saturating_add(delay), delay }
    }

    /// Returns the time of the repetition.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }
}

impl Daemon {
    /// Updates firewall rules and routes after a change of the generated policies, or after a failed update.
    pub(super) fn update_protection(&mut self, now: Instant) {
        let changes = self.ike.take_policy_changes();
        let updated = match self.retry {
            None if changes == Changes::default() => return,
            None => self.privileges.follow(&self.plane.engine, &changes),
            Some(retry) if changes == Changes::default() && now < retry.due => return,
            // It is not known which part of the last update was carried out.
            Some(_) => self.privileges.update(&self.plane.engine),
        };
        let is_repeated = self.retry.is_some();
        match self.note_update(now, updated) {
            Ok(()) if is_repeated => log::info("firewall rules and routes are those of the SPD again"),
            Ok(()) => {}
            Err(e) => log::error(e),
        }
    }

    /// Replaces firewall rules and routes by those of the SPD.
    ///
    /// # Errors
    /// The message of the command that failed. The update is repeated.
    pub(super) fn replace_protection(&mut self, now: Instant) -> Result<(), String> {
        let updated = self.privileges.update(&self.plane.engine);
        self.note_update(now, updated)
    }

    /// Restores the assigned addresses after an update, or schedules its repetition.
    fn note_update(&mut self, now: Instant, updated: Result<(), String>) -> Result<(), String> {
        match updated {
            Ok(()) => {
                self.retry = None;
                self.restore_addresses();
                Ok(())
            }
            Err(e) => {
                let retry = Retry::after(self.retry, now);
                self.retry = Some(retry);
                let seconds = retry.delay.as_secs();
                Err(format!("firewall rules and routes were not updated, next attempt in {seconds} s: {e}"))
            }
        }
    }

    /// Sets the addresses that servers have assigned to this host.
    pub(super) fn change_addresses(&mut self) {
        for change in self.ike.take_address_changes() {
            let done = match change {
                AddressChange::Added(address) => {
                    self.plane.add_address(address);
                    let policies = self.plane.engine.policies().map(|(_, policy)| policy);
                    self.privileges.add_address(address, policies)
                }
                AddressChange::Removed(address) => {
                    self.plane.remove_address(address);
                    self.privileges.remove_address(address)
                }
            };
            if let Err(e) = done {
                log::error(format_args!("assigned address was not set or removed: {e}"));
            }
        }
    }

    /// Restores the addresses that servers have assigned to this host as sources of the routes, which were replaced.
    fn restore_addresses(&self) {
        for address in self.ike.own_addresses() {
            let policies = self.plane.engine.policies().map(|(_, policy)| policy);
            if let Err(e) = self.privileges.add_address(address, policies) {
                log::error(format_args!("assigned address {address} was not set: {e}"));
            }
        }
    }

    /// Removes the addresses that servers have assigned to this host: they are not valid without its SAs.
    pub(super) fn remove_addresses(&self) {
        for address in self.ike.own_addresses() {
            if let Err(e) = self.privileges.remove_address(address) {
                log::warning(format_args!("assigned address {address} was not removed: {e}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_of_a_failing_update_double_up_to_a_minute() {
        let (mut now, mut retry, mut delays) = (Instant::ZERO, None, Vec::new());
        for _ in 0..8 {
            let next = Retry::after(retry, now);
            delays.push(next.due().saturating_duration_since(now).as_secs());
            (now, retry) = (next.due(), Some(next));
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
