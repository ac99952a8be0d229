//! Steps that wait for an answer of the host.
//!
//! A step makes its queries before it changes state, except for the random values that it has drawn and the SPIs that
//! it has reserved, which are kept with its message. When the host has an answer, the same step is taken again: it
//! repeats the same queries, and receives the answers.

use core::task::Poll;

use ike_codec::{ExchangeKind, Header, NoSpace};
use ipsec_packet::Instant;
use zeroize::Zeroize;

use super::counters::Counter;
use super::event::Phase;
use super::exchange::{Spans, State};
use super::features::{AGGRESSIVE, SUSPENSION, XAUTH};
use super::inbound::Received;
use super::scratch::{Scratch, Span};
use super::stage::{Row, Stage};
use super::{Host, Negotiator, Refusal};
use crate::{DhError, NextIv};

/// Reason why a step is not completed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// The message is refused, or the negotiation fails.
    Refused(Refusal),
    /// The host answers later.
    Later,
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NoSpace> for Stop {
    fn from(no_space: NoSpace) -> Self {
        Self::Refused(no_space.into())
    }
}

impl From<DhError> for Stop {
    fn from(error: DhError) -> Self {
        Self::Refused(error.into())
    }
}

/// Returns the answer of the host, or stops the step.
pub(crate) fn answered<T>(answer: Poll<T>) -> Result<T, Stop> {
    match answer {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => Err(Stop::Later),
    }
}

/// State of the exchange before a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    position: u16,
    spans: Spans,
}

/// Message of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<'m> {
    /// Octets of the message in cleartext.
    pub message: &'m [u8],
    /// IV of the message that follows it; `None` if it was not encrypted.
    pub next: Option<NextIv>,
    pub digest: u64,
}

/// Step that waits for the host. Without the feature `suspension` it has no value, takes no memory, and the compiler
/// removes the code for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspended(Content);

#[cfg(feature = "suspension")]
type Content = Waiting;
#[cfg(not(feature = "suspension"))]
type Content = core::convert::Infallible;

/// State with which a step is taken again.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    start: Start,
    /// Message in cleartext; quick mode of this host begins without one.
    message: Option<Span>,
    /// IV of the message that follows `message`; `None` if this step did not begin with a decrypted message.
    next: Option<NextIv>,
    digest: u64,
}

#[cfg(feature = "suspension")]
impl Suspended {
    #[allow(clippy::unnecessary_wraps)] // there is none without the feature
    const fn new(waiting: Waiting) -> Option<Self> {
        Some(Self(waiting))
    }

    const fn waiting(&self) -> Waiting {
        self.0
    }
}

#[cfg(not(feature = "suspension"))]
impl Suspended {
    const fn new(_: Waiting) -> Option<Self> {
        None
    }

    const fn waiting(&self) -> Waiting {
        match self.0 {}
    }
}

/// Begins a step, or begins it again.
pub(crate) fn begin_step(state: &mut State, scratch: &mut Scratch<'_>) -> Start {
    state.fragments.drop_from(scratch);
    let new = Start { position: scratch.position(), spans: state.spans };
    scratch.keep();
    state.suspended.take().map_or(new, |suspended| suspended.waiting().start)
}

/// Ends a step: one that is refused leaves the exchange as it was before, and one that waits is suspended with its
/// message. Returns `None` for the latter.
pub(crate) fn end_step<T>(
    state: &mut State,
    scratch: &mut Scratch<'_>,
    start: Start,
    taken: Option<Taken<'_>>,
    result: Result<T, Stop>,
) -> Result<Option<T>, Refusal> {
    let refusal = match result {
        Ok(done) => return Ok(Some(done)),
        Err(Stop::Refused(refusal)) => refusal,
        Err(Stop::Later) if SUSPENSION => {
            scratch.revert();
            match taken.map(|taken| scratch.store(taken.message)).transpose() {
                Ok(message) => {
                    let (next, digest) = taken.map_or((None, 0), |taken| (taken.next, taken.digest));
                    state.suspended = Suspended::new(Waiting { start, message, next, digest });
                    return Ok(None);
                }
                Err(no_space) => no_space.into(),
            }
        }
        Err(Stop::Later) => Refusal::HostTimeout,
    };
    scratch.truncate(start.position);
    state.spans = start.spans;
    Err(refusal)
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Continues the exchanges that wait for the host, which calls this when it has an answer that was
    /// [`Poll::Pending`]. Each repeats the same queries. Events and datagrams are to be fetched afterwards.
    ///
    /// A copy of one exchange buffer is on the stack.
    pub fn resume(&mut self, now: Instant, host: &mut dyn Host) {
        for index in 0..self.exchanges.len() {
            let Some(suspended) = self.exchange(index).ok().and_then(|exchange| exchange.state.suspended) else {
                continue;
            };
            if let Err(refusal) = self.resume_exchange(now, index, &suspended.waiting(), host) {
                self.counters.count(refusal.counter());
                self.note_refusal(index, refusal);
            }
            self.touch();
        }
        self.has_wanted = true;
        self.start_wanted(now, host);
    }

    fn resume_exchange(
        &mut self,
        now: Instant,
        index: usize,
        suspended: &Waiting,
        host: &mut dyn Host,
    ) -> Result<(), Refusal> {
        let (is_phase_1, kind) = {
            let state = &self.exchange(index)?.state;
            (state.phase() == Phase::One, state.kind)
        };
        let span = match suspended.message {
            Some(span) => span,
            None if is_phase_1 => return self.begin_phase_1_again(index, now, host),
            None if XAUTH && kind == ExchangeKind::TRANSACTION => return self.take_opening_step(index, host),
            None => return self.begin_quick_again(index, host),
        };
        let mut copy = [0; BUFFER];
        let (state, mut scratch) = self.exchange_mut(index)?.parts();
        let message = scratch.get(span);
        let len = message.len();
        copy.iter_mut().zip(message).for_each(|(to, from)| *to = *from);
        scratch.revert();
        // A message of phase 1 may have come through a NAT, on another path.
        let (path, stage) = (if is_phase_1 { state.arrived } else { state.path }, state.stage);
        let result = match copy.get(..len).and_then(|message| Some((message, Header::parse(message).ok()?.0))) {
            Some((message, header)) => {
                let is_encrypted = suspended.next.is_some();
                let received = Received { now, path, header, is_encrypted, digest: suspended.digest };
                match (is_phase_1, suspended.next) {
                    (true, _) if AGGRESSIVE && stage == Stage::AggressiveBegins => {
                        self.answer_first_again(index, &received, message, host)
                    }
                    (true, next) => {
                        let row = Row::find(Some(stage), header.exchange, is_encrypted).ok_or(Refusal::Internal)?;
                        self.take_phase_1(index, row, &received, (message, next), host)
                    }
                    (_, Some(next)) if XAUTH && kind == ExchangeKind::TRANSACTION => {
                        self.resume_transaction(index, &received, (message, next), host)
                    }
                    (_, Some(next)) if stage == Stage::QuickAwaitsHash3 => {
                        self.answer_quick_again(index, &received, (message, next), host)
                    }
                    (_, Some(next)) => self.take_quick(index, &received, (message, next), host),
                    _ => Err(Refusal::Internal),
                }
            }
            None => Err(Refusal::Internal),
        };
        copy.zeroize();
        result
    }

    /// Counts a step that waits for the host.
    pub(super) fn note_suspended(&mut self) {
        self.counters.count(Counter::Suspended);
    }
}
