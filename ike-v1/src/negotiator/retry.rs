use core::time::Duration;

use ipsec_packet::Instant;

use super::Settings;

/// Retransmission of the message that an exchange has sent last (RFC 2408 section 5.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    /// Number of times that a timer may send the message, the first time included.
    left: u8,
    /// Number of times that it was sent by a timer.
    sends: u8,
    /// Number of duplicates of the peer that may still be answered.
    answers: u8,
    /// Set while the message is to be sent because of a duplicate of the peer.
    is_answer: bool,
    /// Time until the next transmission.
    wait: Duration,
    /// Time of the next transmission, if a timer sends the message.
    due: Option<Instant>,
    /// Deviation of the waiting times, in 1/1280 of them above 90 %.
    jitter: u8,
}

/// Duplicates of one message that are answered.
const ANSWERS: u8 = 5;

impl Retry {
    /// Creates the state of a message that has not been sent yet. `jitter` is random.
    pub const fn new(settings: &Settings, jitter: u8) -> Self {
        Self {
            left: settings.sends,
            sends: 0,
            answers: ANSWERS,
            is_answer: false,
            wait: settings.first_wait,
            due: None,
            jitter,
        }
    }

    /// Returns the random deviation.
    pub const fn jitter(&self) -> u8 {
        self.jitter
    }

    /// Restarts the retransmission for a new message.
    pub const fn restart(&mut self, settings: &Settings) {
        *self = Self::new(settings, self.jitter);
    }

    /// Records that the message was sent. With `is_timed` a timer sends it again. An answer to a duplicate changes
    /// nothing: an attacker may repeat a message of the peer.
    //= RFC 2408 5.1/4
    //# MUST: a message is sent again by timer and counter, and then abandoned
    pub fn sent(&mut self, now: Instant, settings: &Settings, is_timed: bool) {
        if core::mem::take(&mut self.is_answer) {
            return;
        }
        self.sends = self.sends.saturating_add(1);
        self.left = self.left.saturating_sub(1);
        //= RFC 2408 5.1/5
        //# MUST NOT: the timer is not a fixed one
        self.due = is_timed.then(|| now.saturating_add(self.deviating()));
        self.wait = self.wait.saturating_mul(2).min(settings.longest_wait);
    }

    /// Returns the waiting time with a deviation of up to 10 % in either direction.
    fn deviating(&self) -> Duration {
        let base = self.wait.saturating_mul(9).checked_div(10).unwrap_or_default();
        let deviation = self.wait.saturating_mul(self.jitter.into()).checked_div(1280).unwrap_or_default();
        base.saturating_add(deviation)
    }

    /// Permits an answer to a duplicate of the peer.
    pub const fn answer(&mut self) -> bool {
        match self.answers.checked_sub(1) {
            Some(left) => {
                self.answers = left;
                self.is_answer = true;
                true
            }
            None => false,
        }
    }

    /// Permits one more transmission at most: the peer has reported an error, but not with authentication.
    pub fn shorten(&mut self) {
        self.left = self.left.min(1);
    }

    /// Ends the retransmission by timer.
    pub const fn stop(&mut self) {
        self.due = None;
    }

    /// Returns the time of the next transmission.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns whether the message may be sent again.
    pub const fn may_send(&self) -> bool {
        self.left > 0
    }

    /// Returns how often the message was sent.
    pub const fn sends(&self) -> u8 {
        self.sends
    }
}
