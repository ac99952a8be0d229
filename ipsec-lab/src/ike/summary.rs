//! Summary of the messages of a capture.

use std::collections::BTreeSet;
use std::fmt;

use ike_codec::{Cookie, Message};
use ike_v1::{NotVerified, Verdict};

use super::session::Opened;
use super::source::Found;

/// Largest number of SAs that are counted.
const MAX_SAS: usize = 1 << 16;

/// Numbers of messages by result.
#[derive(Default)]
pub struct Summary {
    messages: u64,
    malformed: u64,
    encrypted: u64,
    decrypted: u64,
    good: u64,
    wrong: u64,
    not_verified: u64,
    sas: BTreeSet<Cookie>,
}

impl Summary {
    /// Returns the number of messages.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Returns whether there are encrypted messages, and none of them was decrypted.
    pub const fn is_closed(&self) -> bool {
        self.encrypted > 0 && self.decrypted == 0
    }

    /// Counts a message by its result.
    pub fn count(&mut self, found: &Found, opened: &Opened) {
        self.messages += 1;
        match Message::parse(&found.message) {
            Ok(message) => {
                if self.sas.len() < MAX_SAS {
                    self.sas.insert(message.header().initiator_cookie);
                }
                self.encrypted += u64::from(message.is_encrypted());
                self.decrypted += u64::from(message.is_encrypted() && opened.message.is_some());
            }
            Err(_) => self.malformed += 1,
        }
        match opened.hash {
            Verdict::Absent => {}
            Verdict::Good => self.good += 1,
            Verdict::Bad | Verdict::NotVerified(NotVerified::Missing) => self.wrong += 1,
            Verdict::NotVerified(_) => self.not_verified += 1,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, malformed, encrypted, decrypted, good, wrong, not_verified, sas } = self;
        write!(f, "messages: {messages}, of {} ISAKMP SAs; malformed: {malformed}; ", sas.len())?;
        write!(f, "encrypted: {encrypted}, decrypted: {decrypted}; ")?;
        write!(f, "hashes: {good} verified, {wrong} failed or missing, {not_verified} not checked")
    }
}
