//! Exchanges of one ISAKMP SA: the position of each encrypted message and the hash that it must contain. The decoder
//! of captures and the runner of recorded exchanges use this module.

use std::collections::{BTreeMap, HashMap};

use ike_codec::{Chain, PayloadKind};
use ike_v1::{IvChain, NextIv, Nonces, Phase1Keys, Protection};
use ipsec_crypto::PrfOutput;

/// Exchanges of an SA by message ID; 0 is phase 1.
#[derive(Default)]
pub struct Exchanges {
    exchanges: BTreeMap<u32, Exchange>,
    /// Positions of the messages that were confirmed: a retransmission has the position of the original.
    places: HashMap<Vec<u8>, Place>,
}

#[derive(Default)]
struct Exchange {
    chain: Option<IvChain>,
    messages: usize,
    nonces: Vec<Vec<u8>>,
}

/// Position of a message in its exchange.
#[derive(Clone, Copy)]
pub struct Place {
    /// IV chain that decrypts the message.
    pub chain: IvChain,
    /// Number of the message in its exchange, from 1.
    pub number: usize,
}

impl Exchanges {
    /// Begins an exchange with this IV chain, unless it has begun.
    pub fn begin(&mut self, id: u32, chain: IvChain) {
        self.exchanges.entry(id).or_default().chain.get_or_insert(chain);
    }

    /// Returns the position of a message; `None` while phase 1 has no IV chain.
    pub fn place(&self, protection: &Protection, id: u32, bytes: &[u8]) -> Option<Place> {
        if let Some(place) = self.places.get(bytes) {
            return Some(*place);
        }
        let exchange = self.exchanges.get(&id);
        let chain = exchange.and_then(|exchange| exchange.chain);
        let from_phase_1 = || Some(protection.phase_2(&self.exchanges.get(&0)?.chain?, id));
        let number = exchange.map_or(0, |exchange| exchange.messages) + 1;
        Some(Place { chain: chain.or_else(from_phase_1)?, number })
    }

    /// Advances an exchange past a message. A message that was confirmed before advances nothing.
    pub fn confirm(&mut self, id: u32, bytes: &[u8], place: Place, next: NextIv, payloads: &Chain<'_>) {
        if self.places.insert(bytes.to_vec(), place).is_some() {
            return;
        }
        let mut chain = place.chain;
        chain.confirm(next);
        let exchange = self.exchanges.entry(id).or_default();
        (exchange.chain, exchange.messages) = (Some(chain), place.number);
        exchange.nonces.extend(nonces(payloads));
    }

    /// Returns whether any message was confirmed.
    pub fn any_confirmed(&self) -> bool {
        !self.places.is_empty()
    }

    /// Computes HASH(1), HASH(2) or HASH(3), by number, of a message with these payloads, the first of which is the
    /// hash payload; `None` without the nonces that it covers.
    pub fn hash(&self, keys: &Phase1Keys, which: usize, id: u32, payloads: &Chain<'_>) -> Option<PrfOutput> {
        let first = payloads.payloads().next().filter(|p| p.kind == PayloadKind::HASH)?;
        let rest = payloads.bytes().get(first.length()..)?;
        let nonces = self.exchanges.get(&id).map_or(&[][..], |exchange| &exchange.nonces);
        match (which, nonces) {
            (1, _) => Some(keys.hash_1(id, rest)),
            (2, [initiator, ..]) => Some(keys.hash_2(id, initiator, rest)),
            (3, [initiator, responder, ..]) => Some(keys.hash_3(id, &Nonces { initiator, responder })),
            _ => None,
        }
    }
}

fn nonces(payloads: &Chain<'_>) -> impl Iterator<Item = Vec<u8>> {
    payloads.payloads().filter(|p| p.kind == PayloadKind::NONCE).map(|p| p.body.to_vec())
}
