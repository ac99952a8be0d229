//! Exchanges of an ISAKMP SA: the IV of each message and the nonces that hashes cover.

use ike_codec::{Chain, PayloadKind};
use ipsec_crypto::{PrfOutput, Secret};

use super::NotVerified;
use crate::{IvChain, NextIv, Nonces, Phase1Keys, Role};

/// Number of IVs that an exchange keeps: retransmissions of as many messages are recognised.
const IVS: usize = 9;

/// Length in octets of the longest nonce (RFC 2409 section 5).
pub(super) const MAX_NONCE: usize = 256;

/// Hash that a message contains (RFC 2409 sections 5, 5.5 and 5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashForm {
    /// HASH_I or HASH_R of phase 1, or a signature of it.
    Phase1(Role),
    /// HASH(1) of quick mode, or the hash of any other exchange after phase 1.
    One,
    /// HASH(2) of quick mode.
    Two,
    /// HASH(3) of quick mode.
    Three,
}

/// Exchange by its message ID; 0 is phase 1.
#[derive(Debug)]
pub(super) struct Exchange {
    message_id: u32,
    /// IVs of the messages. A message decrypts with one of them, and its last block is the next one.
    chains: [IvChain; IVS],
    /// Number of IVs in use, at least 1.
    len: usize,
    /// Number of messages before the first IV that is kept.
    dropped: usize,
    nonces: [Option<Secret<MAX_NONCE>>; 2],
}

/// Position of a message in its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// IV that decrypts the message.
    pub chain: IvChain,
    /// Number of the message in its exchange, from 1.
    pub number: usize,
    /// Relation of the message to the messages that were followed.
    pub begin: Begin,
}

/// Relation of a message to the messages of its exchange that were followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// The message begins an exchange.
    New,
    /// The message is the next one of an exchange.
    Next,
    /// The message repeats one of an exchange.
    Repeated,
}

impl Place {
    /// Creates the position of the first message of an exchange.
    pub const fn first(chain: IvChain) -> Self {
        Self { chain, number: 1, begin: Begin::New }
    }
}

impl Exchange {
    /// Creates an exchange without messages.
    pub const fn new(message_id: u32, chain: IvChain) -> Self {
        Self { message_id, chains: [chain; IVS], len: 1, dropped: 0, nonces: [None, None] }
    }

    /// Returns the positions that a message may have, which leaves the chain at `after`: that of a message that left it
    /// there before, then the next one.
    pub fn places(&self, after: IvChain) -> impl Iterator<Item = Place> {
        let known = self.chains.iter().take(self.len);
        let steps = known.clone().zip(known.skip(1)).enumerate();
        let repeated = steps.filter(move |(_, (_, next))| **next == after).map(|(index, (chain, _))| Place {
            chain: *chain,
            number: self.dropped.saturating_add(index).saturating_add(1),
            begin: Begin::Repeated,
        });
        repeated.chain(core::iter::once(self.next()))
    }

    /// Returns the position of the next message.
    pub fn next(&self) -> Place {
        let chain = self.chains.get(self.len.saturating_sub(1)).copied().unwrap_or(IvChain::starting_at(&[]));
        Place { chain, number: self.dropped.saturating_add(self.len), begin: Begin::Next }
    }

    /// Returns the IVs of phase 1 from which other exchanges may be derived, the last one first.
    pub fn bases(&self) -> impl Iterator<Item = IvChain> {
        self.chains.iter().take(self.len).rev().copied()
    }

    /// Advances past a message, unless it is a retransmission.
    pub fn advance(&mut self, place: Place, next: NextIv, payloads: &Chain<'_>) {
        if place.begin == Begin::Repeated {
            return;
        }
        let nonce = payloads.payloads().find(|payload| payload.kind == PayloadKind::NONCE);
        let slot = place.number.checked_sub(1).and_then(|index| self.nonces.get_mut(index));
        if let (Some(slot), Some(nonce)) = (slot, nonce) {
            *slot = Secret::new(nonce.body).ok();
        }
        let mut chain = place.chain;
        chain.confirm(next);
        if self.len == IVS {
            self.chains.rotate_left(1);
            self.len = IVS.saturating_sub(1);
            self.dropped = self.dropped.saturating_add(1);
        }
        if let Some(slot) = self.chains.get_mut(self.len) {
            *slot = chain;
            self.len = self.len.saturating_add(1);
        }
    }
}

/// Computes the hash of a message after phase 1 (RFC 2409 sections 5.5 and 5.7). `exchange` contains the nonces of the
/// messages before it; `rest` are the payloads after the hash.
pub(super) fn hash(
    keys: &Phase1Keys,
    form: HashForm,
    (message_id, exchange): (u32, Option<&Exchange>),
    rest: &[u8],
) -> Result<PrfOutput, NotVerified> {
    let [initiator, responder] =
        exchange.map_or([None, None], |exchange| exchange.nonces.each_ref().map(Option::as_ref));
    let [initiator, responder] =
        [initiator, responder].map(|nonce| nonce.map(Secret::expose).ok_or(NotVerified::NoNonce));
    Ok(match form {
        HashForm::Two => keys.hash_2(message_id, initiator?, rest),
        HashForm::Three => keys.hash_3(message_id, &Nonces { initiator: initiator?, responder: responder? }),
        HashForm::One | HashForm::Phase1(_) => keys.hash_1(message_id, rest),
    })
}

/// Exchanges after phase 1. The oldest is replaced.
#[derive(Debug)]
pub(super) struct Exchanges<const N: usize> {
    slots: [Option<Exchange>; N],
    oldest: usize,
}

impl<const N: usize> Exchanges<N> {
    pub const fn new() -> Self {
        Self { slots: [const { None }; N], oldest: 0 }
    }

    pub fn find(&self, message_id: u32) -> Option<&Exchange> {
        self.slots.iter().flatten().find(|exchange| exchange.message_id == message_id)
    }

    pub fn find_mut(&mut self, message_id: u32) -> Option<&mut Exchange> {
        self.slots.iter_mut().flatten().find(|exchange| exchange.message_id == message_id)
    }

    /// Adds an exchange, in place of one with the same message ID.
    pub fn insert(&mut self, exchange: Exchange) {
        if let Some(known) = self.find_mut(exchange.message_id) {
            *known = exchange;
            return;
        }
        if let Some(slot) = self.slots.get_mut(self.oldest) {
            *slot = Some(exchange);
        }
        self.oldest = self.oldest.saturating_add(1).checked_rem(N).unwrap_or(0);
    }
}
