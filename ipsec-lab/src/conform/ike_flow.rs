//! Records of type `ike-flow`.

use ike_codec::{Body, Chain, Message, PayloadKind};
use ike_v1::{IvChain, Phase1Keys, Protection, plaintext};
use ipsec_crypto::CipherAlgorithm;
use test_vectors::{FlowMessage, FlowRecord, to_hex};

use super::Failure;
use super::ike_keys::{hash_of, prf};
use crate::exchanges::Exchanges;

/// Checks each message of the exchange: IV, plaintext, payloads and padding, hash, and the ciphertext when it is
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
    keys: Phase1Keys,
    publics: Vec<Vec<u8>>,
    exchanges: Exchanges,
    decrypted: usize,
}

impl Flow {
    fn new(record: &FlowRecord) -> Result<Self, Failure> {
        let hash = hash_of(&record.prf, record.hash.as_deref()).ok_or(Failure::new("a known hash", &record.prf))?;
        let name = record.messages.iter().find_map(|m| m.cipher.as_deref()).unwrap_or_default();
        let protection = Protection::new(cipher(name)?, &record.ka, hash).map_err(|e| Failure::new("a key", e))?;
        // The other two keys are not used here.
        let keys =
            Phase1Keys::import(prf(&record.prf)?, &[0], &record.skeyid_a, &[0]).map_err(|e| Failure::new("keys", e))?;
        Ok(Self { protection, keys, publics: Vec::new(), exchanges: Exchanges::default(), decrypted: 0 })
    }

    fn message(&mut self, record: &FlowMessage) -> Result<(), Failure> {
        let message = Message::parse(&record.wire).map_err(|e| Failure::new("a message", e))?;
        if message.is_encrypted() {
            return self.encrypted(record, &message);
        }
        let value = message.find(PayloadKind::KEY_EXCHANGE).map(|p| p.body.to_vec());
        self.publics.extend(value.filter(|value| !self.publics.contains(value))); // a retransmission says nothing new
        if let [g_xi, g_xr] = &self.publics[..] {
            self.exchanges.begin(0, self.protection.phase_1(g_xi, g_xr));
        }
        Ok(())
    }

    fn encrypted(&mut self, record: &FlowMessage, message: &Message<'_>) -> Result<(), Failure> {
        let id = message.header().message_id;
        // An exchange that was recorded from its middle on begins with the IV of the record.
        if let (None, Some(iv)) = (self.exchanges.place(&self.protection, id, &record.wire), &record.iv) {
            self.exchanges.begin(id, IvChain::starting_at(iv));
        }
        let place = self.exchanges.place(&self.protection, id, &record.wire).ok_or(Failure::new("an IV", "none"))?;
        let chain = place.chain;
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
        self.contents(record, id, &payloads)?;
        self.exchanges.confirm(id, &record.wire, place, next, &payloads);
        self.protection.restore_ciphertext(&chain, &mut bytes).map_err(|e| Failure::new("encryption", e))?;
        equal("ciphertext", &record.wire, &bytes)?;
        self.decrypted += 1;
        Ok(())
    }

    fn contents(&self, record: &FlowMessage, id: u32, chain: &Chain<'_>) -> Result<(), Failure> {
        if let Some(expected) = &record.payloads {
            let found: Vec<_> = chain.payloads().map(|p| (p.kind.0, p.length())).collect();
            if *expected != found {
                return Err(Failure::new(format!("{expected:?}"), format!("{found:?}")));
            }
        }
        if let Some(padding) = &record.padding {
            equal("padding", padding, chain.padding())?;
        }
        let Some(name) = &record.hash else { return Ok(()) };
        let which = match name.get(..7) {
            Some("HASH(1)") => 1,
            Some("HASH(2)") => 2,
            Some("HASH(3)") => 3,
            _ => return Err(Failure::new("a known hash", name)),
        };
        let Some(Body::Hash(received)) = chain.payloads().next().map(|p| p.view()) else {
            return Err(Failure::new(name, "no hash payload"));
        };
        let computed = self.exchanges.hash(&self.keys, which, id, chain);
        let computed = computed.ok_or(Failure::new(name, "missing nonces"))?;
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
