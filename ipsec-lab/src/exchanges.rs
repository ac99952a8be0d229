//! The exchanges of one ISAKMP SA: where each encrypted message stands in them, and what its hash must be. The decoder of
//! captures and the runner of recorded exchanges both follow an SA with this.

use std::collections::{BTreeMap, HashMap};

use ike_codec::{Chain, PayloadKind};
use ike_v1::{IvChain, NextIv, Nonces, Phase1Keys, Protection};
use ipsec_crypto::PrfOutput;

/// Every exchange of an SA, by message ID; 0 is phase 1.
#[derive(Default)]
pub struct Exchanges {
    exchanges: BTreeMap<u32, Exchange>,
    /// Where the messages were that are confirmed: a retransmission stands where it stood.
    places: HashMap<Vec<u8>, Place>,
}

#[derive(Default)]
struct Exchange {
    chain: Option<IvChain>,
    messages: usize,
    nonces: Vec<Vec<u8>>,
}

/// Where a message stands.
#[derive(Clone, Copy)]
pub struct Place {
    /// The chain that opens it.
    pub chain: IvChain,
    /// Its number in its exchange, from 1.
    pub number: usize,
}

impl Exchanges {
    /// Begins an exchange with this chain, unless it has begun already.
    pub fn begin(&mut self, id: u32, chain: IvChain) {
        self.exchanges.entry(id).or_default().chain.get_or_insert(chain);
    }

    /// Where a message stands; `None` while phase 1 has no chain.
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

    /// Moves an exchange behind a message; one that was confirmed before moves nothing.
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

    /// Whether any message was confirmed.
    pub fn any_confirmed(&self) -> bool {
        !self.places.is_empty()
    }

    /// HASH(1), HASH(2) or HASH(3), by its number, of a message with these payloads that begin with a hash; `None` without
    /// the nonces it is over.
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
