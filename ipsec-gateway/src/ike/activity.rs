//! Reports of packets to the negotiator: authentic ones of the peers prove liveliness, and those to them are the
//! reason to send a query (RFC 3706 section 5.5).

use std::time::Duration;

use ipsec_engine::{Direction, SaId};
use ipsec_packet::Instant;

use super::Ike;
use crate::databases::Databases;
use crate::log::Level;

/// Shortest time between two reports of packets of one SA to the negotiator.
const INTERVAL: Duration = Duration::from_secs(1);

/// Interval of the queries of a kernel about the packets of its SAs.
const KERNEL_INTERVAL: Duration = Duration::from_secs(5);

/// Times of the reports of packets that were sent.
#[derive(Default)]
pub struct SentReports {
    /// Time of the next report, if packets were sent since the last one.
    due: Option<Instant>,
    last: Option<Instant>,
}

impl SentReports {
    /// Returns the time of the next report.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Ike {
    /// Reports an authentic packet of an inbound SA to the negotiator: until the outbound SA exists, and once a second
    /// afterwards.
    pub fn heard_from(&mut self, now: Instant, sa: &SaId) {
        let Some(installed) = self.installed.get_mut(sa) else { return };
        let is_recent = |heard| now.saturating_duration_since(heard) < INTERVAL;
        if installed.is_complete && installed.heard.is_some_and(is_recent) {
            return;
        }
        installed.heard = Some(now);
        self.negotiator.heard_from(now, installed.pair);
    }

    /// Reports the SAs of a kernel in which packets were sent or received since the last call, and those that it no
    /// longer has, with the back end `pfkey`.
    pub fn read_usage(&mut self, now: Instant, databases: &mut Databases) {
        let Some(kernel) = databases.kernel_mut() else { return };
        if self.usage_due.is_some_and(|due| due > now) {
            return;
        }
        self.usage_due = (!self.installed.is_empty()).then_some(now + KERNEL_INTERVAL);
        for (id, installed) in &mut self.installed {
            let packets = match kernel.packets(id, installed.source) {
                Ok(Some(packets)) => packets,
                Ok(None) => {
                    kernel.report_missing(*id);
                    continue;
                }
                Err(e) => {
                    let text = format_args!("kernel: usage of SA {id}: {e}");
                    self.limiters.peers.write(now, "usage of the kernel", Level::Warning, text);
                    continue;
                }
            };
            if packets == installed.packets {
                continue;
            }
            installed.packets = packets;
            match id.direction {
                Direction::Inbound => self.negotiator.heard_from(now, installed.pair),
                Direction::Outbound => self.negotiator.sent_in(now, installed.pair),
            }
        }
    }

    /// Records that packets for the peers were passed to the engine. They are reported to the negotiator once a second.
    pub fn note_sent(&mut self, now: Instant) {
        let next = self.sent.last.map_or(now, |last| last.saturating_add(INTERVAL));
        self.sent.due.get_or_insert(now.max(next));
    }

    /// Reports the outbound SAs in which packets were sent since the last report.
    pub(super) fn report_sent(&mut self, now: Instant, engine: &Databases) {
        if self.sent.due.is_none_or(|due| due > now) {
            return;
        }
        let since = self.sent.last.replace(now);
        self.sent.due = None;
        for (id, installed) in self.installed.iter().filter(|(id, _)| id.direction == Direction::Outbound) {
            let used = engine.sa(id, installed.source).and_then(|sa| sa.usage.last);
            if let Some(used) = used.filter(|used| since.is_none_or(|since| *used >= since)) {
                self.negotiator.sent_in(used, installed.pair);
            }
        }
    }
}
