//! Shared by the tests of this crate: every suite of the registry, buffers with guard octets, and crafted packets.
#![allow(dead_code)] // each test binary uses its part

use esp_core::{Inbound, Outbound};
use ipsec_crypto::{AnySuite, CipherAlgorithm, EspParts, IntegrityAlgorithm, KeyLengths, Layout, Suite};
use ipsec_packet::{PacketBuf, ReplayWindow, Seq, SeqWidth, Spi};

pub use test_vectors::Random;

/// Algorithms with their keys, from which any number of suites can be made.
#[derive(Clone, Debug)]
pub struct Choice {
    pub cipher: CipherAlgorithm,
    pub integrity: IntegrityAlgorithm,
    pub cipher_key: Vec<u8>,
    pub integrity_key: Vec<u8>,
}

impl Choice {
    pub fn new(cipher: CipherAlgorithm, key: usize, integrity: IntegrityAlgorithm) -> Self {
        let octets = integrity.row().map_or(0, |row| row.default_key);
        let (cipher_key, integrity_key) = (Random(key as u64).octets(key), Random(octets as u64 + 99).octets(octets));
        Self { cipher, integrity, cipher_key, integrity_key }
    }

    /// Returns the same algorithms with other keys.
    pub fn rekeyed(&self, seed: u64) -> Self {
        let keys = |octets: &[u8], salt: u64| Random(seed ^ salt).octets(octets.len());
        let (cipher_key, integrity_key) = (keys(&self.cipher_key, 1 << 60), keys(&self.integrity_key, 1 << 61));
        Self { cipher: self.cipher, integrity: self.integrity, cipher_key, integrity_key }
    }

    pub fn suite(&self) -> AnySuite {
        let made = match (self.cipher.row().unwrap().icv, self.integrity) {
            (0, IntegrityAlgorithm::None) => AnySuite::without_integrity(self.cipher, &self.cipher_key),
            _ => AnySuite::from_slices(self.cipher, &self.cipher_key, self.integrity, &self.integrity_key),
        };
        made.unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }

    pub fn layout(&self) -> Layout {
        self.suite().layout()
    }

    pub fn name(&self) -> String {
        format!("{} ({} octets of key), {}", self.cipher, self.cipher_key.len(), self.integrity)
    }
}

/// Returns the shortest, the default and the longest key length, and all three lengths of AES.
fn key_lengths(keys: KeyLengths, usual: usize) -> Vec<usize> {
    let all: Vec<usize> = (keys.min..=keys.max).step_by(keys.step).collect();
    match all.len() {
        ..=3 => all,
        _ => vec![keys.min, usual, keys.max],
    }
}

/// Returns every cipher of the registry with every integrity algorithm that it can be combined with.
pub fn all_choices() -> Vec<Choice> {
    let mut choices = Vec::new();
    for row in CipherAlgorithm::ALL {
        let mut lengths = key_lengths(row.keys, row.default_key);
        lengths.dedup();
        for key in lengths {
            let fits = |integrity: IntegrityAlgorithm| match integrity {
                IntegrityAlgorithm::None => row.icv > 0,
                IntegrityAlgorithm::AesGmac => false, // for AH only
                _ => row.icv == 0,
            };
            let rows = IntegrityAlgorithm::ALL.iter().map(|row| row.algorithm);
            choices.extend(rows.filter(|i| fits(*i)).map(|integrity| Choice::new(row.algorithm, key, integrity)));
        }
    }
    choices
}

/// Returns every cipher other than NULL and the AEADs, without integrity.
pub fn without_integrity() -> Vec<Choice> {
    let rows = CipherAlgorithm::ALL.iter().filter(|row| row.icv == 0 && row.algorithm != CipherAlgorithm::Null);
    rows.map(|row| Choice::new(row.algorithm, row.default_key, IntegrityAlgorithm::None)).collect()
}

/// Returns one choice for each distinct layout.
pub fn one_per_layout() -> Vec<Choice> {
    let mut seen = Vec::new();
    let mut choices = all_choices();
    choices.extend(without_integrity());
    choices.retain(|choice| {
        let layout = choice.layout();
        let new = !seen.contains(&layout);
        seen.push(layout);
        new
    });
    choices
}

pub fn cbc_hmac() -> Choice {
    Choice::new(CipherAlgorithm::AesCbc, 16, IntegrityAlgorithm::HmacSha1_96)
}

pub fn gcm() -> Choice {
    Choice::new(CipherAlgorithm::AesGcm16, 20, IntegrityAlgorithm::None)
}

pub fn null_hmac() -> Choice {
    Choice::new(CipherAlgorithm::Null, 0, IntegrityAlgorithm::HmacSha2_256_128)
}

pub const WIDTHS: [SeqWidth; 2] = [SeqWidth::Bits32, SeqWidth::Extended64];

pub fn spi() -> Spi {
    Spi::new(0x8000_1001).unwrap()
}

/// Returns sender and receiver of an SA.
pub fn pair(choice: &Choice, width: SeqWidth) -> (Outbound<AnySuite>, Inbound<AnySuite>) {
    (Outbound::new(spi(), choice.suite(), width), Inbound::new(spi(), choice.suite(), width))
}

/// Returns a sender whose next sequence number is `seq`.
pub fn sender_at(choice: &Choice, width: SeqWidth, seq: u64) -> Outbound<AnySuite> {
    let mut outbound = Outbound::new(spi(), choice.suite(), width);
    let bits = if width == SeqWidth::Bits32 { 32 } else { 64 };
    outbound.import(&[&[1, b'C', bits, 0][..], &(seq - 1).to_be_bytes()].concat()).unwrap();
    outbound
}

/// Fills an IV that is different for each packet and the same in each run.
pub fn test_iv(seq: Seq, iv: &mut [u8]) {
    let bytes = Random(seq.get()).octets(iv.len());
    iv.copy_from_slice(&bytes);
}

pub fn window_state<const WORDS: usize>(window: &ReplayWindow<WORDS>) -> Vec<u8> {
    let mut state = vec![0; ReplayWindow::<WORDS>::STATE];
    window.export(SeqWidth::Extended64, &mut state).unwrap();
    state
}

/// Payload in a buffer with `front` random octets of headroom and `back` random octets of tailroom.
pub struct Framed {
    pub bytes: Vec<u8>,
    pub front: usize,
    pub len: usize,
}

impl Framed {
    pub fn new(payload: &[u8], front: usize, back: usize) -> Self {
        let mut rng = Random((front * 4099 + back) as u64);
        let bytes = [&rng.octets(front)[..], payload, &rng.octets(back)].concat();
        Self { bytes, front, len: payload.len() }
    }

    pub fn packet(&mut self) -> PacketBuf<'_> {
        PacketBuf::with_headroom(&mut self.bytes, self.front, self.len).unwrap()
    }
}

/// Seals the payload and returns the ESP packet without headroom and tailroom.
pub fn sealed(outbound: &mut Outbound<AnySuite>, payload: &[u8], next: ipsec_packet::IpProto) -> Vec<u8> {
    let room = outbound.overhead(payload.len());
    let mut framed = Framed::new(payload, room.front, room.back);
    let mut packet = framed.packet();
    outbound.seal(&mut packet, next, &mut test_iv).unwrap();
    packet.data().to_vec()
}

/// Returns a packet with a valid ICV whose plaintext, trailer included, is `body`.
pub fn crafted(suite: &AnySuite, seq: u64, width: SeqWidth, body: &[u8]) -> Vec<u8> {
    let (layout, seq) = (suite.layout(), Seq::new(seq));
    let mut packet =
        [&spi().to_be_bytes()[..], &seq.low(), &vec![0x5a; layout.iv_len()], body, &vec![0; layout.icv_len()]].concat();
    let high = (width == SeqWidth::Extended64).then(|| seq.high());
    suite.seal(&mut EspParts::split(layout, &mut packet, high).unwrap());
    packet
}
