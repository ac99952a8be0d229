use core::net::IpAddr;
use core::time::Duration;

use ah_core::Profile;
use ipsec_crypto::{
    AnyAhIntegrity, AnySuite, CipherAlgorithm, CipherRow, IntegrityAlgorithm, IntegrityRow, KeyLengths, Secret,
    SuiteKeys,
};
use ipsec_engine::{
    AnyAlgorithms, AnyWindow, Direction, Lifetimes, Limit, Protocol, Sa, SaId, SaParams, Transform, TransformParams,
};
use ipsec_packet::{Instant, SeqWidth, Spi, WindowSize};

/// Time at which an SA is installed.
pub const NOW: Instant = Instant::from_secs(1_795_000_000);
/// SPI of the SA whose keys are searched for.
pub const SPI: u32 = 0x1001;
/// Source address of an SA.
pub const SOURCE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
/// Destination address of an SA.
pub const DESTINATION: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(198, 51, 100, 1));

/// Lengths of HMAC keys to test. HMAC accepts any length, and first hashes keys longer than its block of 64 or 128
/// octets. Keys below 4 octets are left out, as two SAs may have the same.
const HMAC_KEYS: [usize; 11] = [4, 5, 8, 16, 20, 32, 64, 65, 128, 129, 140];

/// Algorithms and key lengths of an SA.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Protocol, ESP or AH.
    pub protocol: Protocol,
    /// Direction of the SA.
    pub direction: Direction,
    cipher: (CipherAlgorithm, usize),
    integrity: (IntegrityAlgorithm, usize),
}

impl Case {
    /// Returns the keys of the SA; `number` selects them.
    pub fn keys(&self, number: u64) -> Vec<Vec<u8>> {
        vec![key(2 * number, self.cipher.1), key(2 * number + 1, self.integrity.1)]
    }

    /// Returns the same case in this direction.
    #[must_use]
    pub fn with_direction(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }

    /// Returns whether the SA has a key of at least four octets, which can be distinguished from random matches in
    /// memory.
    pub fn is_keyed(&self) -> bool {
        self.cipher.1.max(self.integrity.1) >= 4
    }

    /// Returns whether the SA stores the complete key unchanged: ChaCha20 does not expand its key.
    pub fn keeps_its_key(&self) -> bool {
        self.cipher.0 == CipherAlgorithm::ChaCha20Poly1305
    }

    /// Returns the identifier of the SA with this SPI.
    pub fn key(&self, spi: u32) -> SaId {
        SaId { direction: self.direction, destination: DESTINATION, protocol: self.protocol, spi, peer_port: None }
    }

    /// Returns the SA with this SPI and the keys selected by `number`. Its hard lifetime ends ten seconds after
    /// installation.
    pub fn sa(&self, number: u64, spi: u32) -> Sa<AnyAlgorithms> {
        let (keys, spi, width) = (self.keys(number), Spi::new(spi).expect("valid SPI"), SeqWidth::Bits32);
        let suite = || match self.cipher.0 {
            cipher if self.is_unauthenticated() => AnySuite::without_integrity(cipher, &keys[0]).expect("valid suite"),
            cipher => AnySuite::from_slices(cipher, &keys[0], self.integrity.0, &keys[1]).expect("valid suite"),
        };
        let integrity = || AnyAhIntegrity::new(self.integrity.0, &keys[1]).expect("valid integrity algorithm");
        let window = || AnyWindow::new(WindowSize::packets(64)).expect("valid window size");
        let transform = match (self.protocol, self.direction) {
            (Protocol::Ah, Direction::Outbound) => {
                Transform::AhOut(ah_core::Outbound::new(spi, integrity(), width, Profile::RFC))
            }
            (Protocol::Ah, Direction::Inbound) => {
                Transform::AhIn(ah_core::Inbound::with_window(spi, integrity(), width, Profile::RFC, window()))
            }
            (_, Direction::Outbound) => Transform::EspOut(esp_core::Outbound::new(spi, suite(), width)),
            (_, Direction::Inbound) => Transform::EspIn(esp_core::Inbound::with_window(spi, suite(), width, window())),
        };
        let sa = Sa::new(SOURCE, DESTINATION, transform).expect("addresses of the same family");
        sa.with_lifetimes(lifetimes())
    }

    /// Returns the parameters of the same SA as [`sa`](Self::sa).
    pub fn params(&self, number: u64, spi: u32) -> SaParams {
        let keys = self.keys(number);
        let suite = || SuiteKeys::new(self.cipher.0, &keys[0], self.integrity.0, &keys[1]).expect("short keys");
        let transform = match self.protocol {
            Protocol::Ah => {
                TransformParams::Ah { integrity: self.integrity.0, key: Secret::new(&keys[1]).expect("a short key") }
            }
            _ if self.is_unauthenticated() => TransformParams::EspWithoutIntegrity(suite()),
            _ => TransformParams::Esp(suite()),
        };
        SaParams { lifetimes: lifetimes(), ..SaParams::new(self.key(spi), SOURCE, transform) }
    }

    fn is_unauthenticated(&self) -> bool {
        self.integrity.0 == IntegrityAlgorithm::None && self.cipher.0.row().is_some_and(|row| row.icv == 0)
    }
}

fn lifetimes() -> Lifetimes {
    let hard = Limit { age: Some(Duration::from_secs(10)), ..Limit::default() };
    Lifetimes { hard, ..Lifetimes::default() }
}

/// Returns the smallest possible SA with the same protocol, direction and SPI, and other keys.
pub fn replacement(case: &Case) -> Sa<AnyAlgorithms> {
    let integrity = (IntegrityAlgorithm::HmacMd5_96, 16);
    Case { cipher: (CipherAlgorithm::Null, 0), integrity, ..*case }.sa(u64::MAX / 4, SPI)
}

/// Returns every cipher and integrity algorithm with every key length, and every pair of them, for ESP and AH, in
/// both directions.
pub fn all() -> Vec<Case> {
    let mut suites = Vec::new();
    let separate =
        |row: &&IntegrityRow| ![IntegrityAlgorithm::None, IntegrityAlgorithm::AesGmac].contains(&row.algorithm);
    let none = (IntegrityAlgorithm::None, 0);
    for cipher in CipherAlgorithm::ALL {
        for length in lengths(&cipher.keys) {
            let integrity = if cipher.icv > 0 { none } else { (IntegrityAlgorithm::HmacSha1_96, 20) };
            suites.push(((cipher.algorithm, length), integrity));
        }
        let needs_integrity = |row: &CipherRow| row.icv == 0;
        if needs_integrity(cipher) {
            let pairs = IntegrityAlgorithm::ALL.iter().filter(separate);
            let default = (cipher.algorithm, cipher.default_key);
            suites.extend(pairs.map(|row| (default, (row.algorithm, row.default_key))));
            if cipher.algorithm != CipherAlgorithm::Null {
                suites.push((default, none));
            }
        }
    }
    for row in IntegrityAlgorithm::ALL.iter().filter(separate) {
        suites.extend(
            lengths(&row.keys).into_iter().map(|length| ((CipherAlgorithm::AesCbc, 16), (row.algorithm, length))),
        );
    }
    let macs = IntegrityAlgorithm::ALL.iter().filter(|row| row.algorithm != IntegrityAlgorithm::None);
    let ah = macs.flat_map(|row| lengths(&row.keys).into_iter().map(|length| (row.algorithm, length)));
    let suites = suites.into_iter().map(|(cipher, integrity)| (Protocol::Esp, cipher, integrity));
    let ah = ah.map(|integrity| (Protocol::Ah, (CipherAlgorithm::Null, 0), integrity));
    let both = |(protocol, cipher, integrity)| {
        [Direction::Outbound, Direction::Inbound].map(|direction| Case { protocol, direction, cipher, integrity })
    };
    suites.chain(ah).flat_map(both).collect()
}

fn lengths(keys: &KeyLengths) -> Vec<usize> {
    if *keys == KeyLengths::HMAC { HMAC_KEYS.to_vec() } else { (keys.min..=keys.max).step_by(keys.step).collect() }
}

/// Returns pseudo-random octets without zeros, which would interrupt a run of equal octets (splitmix64).
fn key(number: u64, length: usize) -> Vec<u8> {
    let mut state = number;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as u8 | 1
    };
    std::iter::repeat_with(next).take(length).collect()
}
