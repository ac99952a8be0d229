//! Records of type `ike-flow`.

use std::collections::{BTreeMap, HashMap};

use ike_codec::{Body, Chain, Message, PayloadKind};
use ike_v1::{IvChain, Nonces, Protection, Skeyids, plaintext};
use ipsec_crypto::CipherAlgorithm;
use test_vectors::{FlowMessage, FlowRecord, to_hex};

use super::Failure;
use super::ike_keys::{hash_of, prf};

/// Follows the exchange: the IV of each message, its plaintext, its payloads and padding, its hash, and the same message
/// encrypted again.
pub fn check(record: &FlowRecord) -> Result<(), Failure> {
    let mut flow = Flow::new(record)?;
    for (index, message) in record.messages.iter().enumerate() {
        flow.message(message).map_err(|f| Failure::new(format!("message {}: {}", index + 1, f.expected), f.got))?;
    }
    if flow.decrypted == 0 { Err(Failure::new("an encrypted message", "none")) } else { Ok(()) }
}

struct Flow {
    protection: Protection,
    keys: Skeyids,
    publics: Vec<Vec<u8>>,
    phase_1: Option<IvChain>,
    phase_2: BTreeMap<u32, IvChain>,
    nonces: BTreeMap<u32, Vec<Vec<u8>>>,
    /// The chain that each message was opened with.
    used: HashMap<Vec<u8>, IvChain>,
    decrypted: usize,
}

impl Flow {
    fn new(record: &FlowRecord) -> Result<Self, Failure> {
        let hash = hash_of(&record.prf, record.hash.as_deref()).ok_or(Failure::new("a known hash", &record.prf))?;
        let name = record.messages.iter().find_map(|m| m.cipher.as_deref()).unwrap_or_default();
        let protection = Protection::new(cipher(name)?, &record.ka, hash).map_err(|e| Failure::new("a key", e))?;
        // The other two keys have no part in this.
        let keys =
            Skeyids::import(prf(&record.prf)?, &[0], &record.skeyid_a, &[0]).map_err(|e| Failure::new("keys", e))?;
        let (phase_2, nonces, used) = (BTreeMap::new(), BTreeMap::new(), HashMap::new());
        Ok(Self { protection, keys, publics: Vec::new(), phase_1: None, phase_2, nonces, used, decrypted: 0 })
    }

    fn message(&mut self, record: &FlowMessage) -> Result<(), Failure> {
        let message = Message::parse(&record.wire).map_err(|e| Failure::new("a message", e))?;
        if message.is_encrypted() {
            return self.encrypted(record, &message);
        }
        let value = message.find(PayloadKind::KEY_EXCHANGE).map(|p| p.body.to_vec());
        self.publics.extend(value.filter(|value| !self.publics.contains(value))); // a retransmission says nothing new
        if let ([g_xi, g_xr], None) = (&self.publics[..], self.phase_1) {
            self.phase_1 = Some(self.protection.phase_1(g_xi, g_xr));
        }
        Ok(())
    }

    fn encrypted(&mut self, record: &FlowMessage, message: &Message<'_>) -> Result<(), Failure> {
        let id = message.header().message_id;
        // An exchange that is recorded from its middle on begins with the IV that the record gives.
        let given = record.iv.as_ref().map(|iv| IvChain::starting_at(iv));
        let again = self.used.get(&*record.wire).copied();
        let chain = match (id, &self.phase_1) {
            _ if again.is_some() => again,
            (0, Some(phase_1)) => Some(*phase_1),
            (0, None) => given,
            (id, Some(phase_1)) => {
                Some(*self.phase_2.entry(id).or_insert_with(|| self.protection.phase_2(phase_1, id)))
            }
            (id, None) => self.phase_2.get(&id).copied().or(given),
        };
        let chain = chain.ok_or(Failure::new("an IV", "none"))?;
        let block = self.protection.block();
        if let Some(iv) = &record.iv {
            equal("IV", iv, &chain.iv()[..block.min(iv.len())])?;
        }
        let mut bytes = record.wire.to_vec();
        let next = self.protection.decrypt(&chain, &mut bytes).map_err(|e| Failure::new("decryption", e))?;
        if let Some(expected) = &record.plaintext {
            equal("plaintext", expected, &bytes[28..])?;
        }
        let payloads = plaintext(&bytes).map_err(|e| Failure::new("payloads", e))?;
        self.contents(record, id, &payloads, again.is_some())?;
        self.protection.undo(&chain, &mut bytes).map_err(|e| Failure::new("encryption", e))?;
        equal("encrypted again", &record.wire, &bytes)?;
        self.decrypted += 1;
        if self.used.insert(record.wire.to_vec(), chain).is_some() {
            return Ok(()); // a retransmission moves nothing
        }
        let mut moved = chain;
        moved.confirm(next);
        match id {
            0 => self.phase_1 = Some(moved),
            id => drop(self.phase_2.insert(id, moved)),
        }
        Ok(())
    }

    fn contents(&mut self, record: &FlowMessage, id: u32, chain: &Chain<'_>, again: bool) -> Result<(), Failure> {
        if let Some(expected) = &record.payloads {
            let found: Vec<_> = chain.payloads().map(|p| (p.kind.0, p.length())).collect();
            if *expected != found {
                return Err(Failure::new(format!("{expected:?}"), format!("{found:?}")));
            }
        }
        if let Some(padding) = &record.padding {
            equal("padding", padding, chain.padding())?;
        }
        let nonces = self.nonces.entry(id).or_default();
        let new = chain.payloads().filter(|p| p.kind == PayloadKind::NONCE && !again);
        nonces.extend(new.map(|p| p.body.to_vec()));
        let Some(name) = &record.hash else { return Ok(()) };
        let Some(Body::Hash(received)) = chain.payloads().next().map(|p| p.view()) else {
            return Err(Failure::new(name, "no hash payload"));
        };
        let rest = chain.bytes().get(4 + received.len()..).unwrap_or_default();
        let nonce = |index: usize| nonces.get(index).map_or(&[][..], |n| n);
        let computed = match name.get(..7) {
            Some("HASH(1)") => self.keys.hash_1(id, rest),
            Some("HASH(2)") => self.keys.hash_2(id, nonce(0), rest),
            Some("HASH(3)") => self.keys.hash_3(id, &Nonces { initiator: nonce(0), responder: nonce(1) }),
            _ => return Err(Failure::new("a known hash", name)),
        };
        computed
            .verify(received)
            .map_err(|_| Failure::new(format!("{name} {}", to_hex(computed.expose())), to_hex(received)))
    }
}

fn equal(what: &str, expected: &[u8], got: &[u8]) -> Result<(), Failure> {
    if expected == got { Ok(()) } else { Err(Failure::new(format!("{what} {}", to_hex(expected)), to_hex(got))) }
}

fn cipher(name: &str) -> Result<CipherAlgorithm, Failure> {
    let name = name.to_ascii_lowercase();
    let known = [
        ("3des", CipherAlgorithm::TripleDesCbc),
        ("aes", CipherAlgorithm::AesCbc),
        ("des", CipherAlgorithm::DesCbc),
        ("blowfish", CipherAlgorithm::BlowfishCbc),
        ("cast", CipherAlgorithm::Cast128Cbc),
    ];
    let found = known.into_iter().find(|(word, _)| name.contains(word));
    found.map(|(_, cipher)| cipher).ok_or(Failure::new("a known cipher", name))
}
