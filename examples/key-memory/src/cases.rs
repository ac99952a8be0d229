use core::net::IpAddr;
use core::time::Duration;

use ah_core::Profile;
use ipsec_crypto::{
    AnyAhIntegrity, AnySuite, CipherAlgorithm, CipherRow, IntegrityAlgorithm, IntegrityRow, KeyLengths,
};
use ipsec_engine::{AnyAlgorithms, AnyWindow, Lifetimes, Limit, Protocol, Sa, SaId, Transform, Direction};
use ipsec_packet::{SeqWidth, Spi, WindowSize};

/// When an SA is installed.
pub const NOW: Duration = Duration::from_secs(1_795_000_000);
/// The SPI of the SA that is looked for.
pub const SPI: u32 = 0x1001;
/// Where the packets of an SA come from.
pub const SOURCE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
/// Where they go.
pub const DESTINATION: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(198, 51, 100, 1));

/// Lengths of HMAC keys that are tried: HMAC takes any (of one octet two SAs may have the same), and hashes one that is longer than a block, of 64 or 128 octets, first.
const HMAC_KEYS: [usize; 11] = [4, 5, 8, 16, 20, 32, 64, 65, 128, 129, 140];

/// The algorithms and key lengths of an SA.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// ESP or AH.
    pub protocol: Protocol,
    /// In or out.
    pub direction: Direction,
    cipher: (CipherAlgorithm, usize),
    integrity: (IntegrityAlgorithm, usize),
}

impl Case {
    /// The keys of the SA, which `number` chooses.
    pub fn keys(&self, number: u64) -> Vec<Vec<u8>> {
        vec![key(2 * number, self.cipher.1), key(2 * number + 1, self.integrity.1)]
    }

    /// The same in this direction.
    #[must_use]
    pub fn with_direction(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }

    /// Whether the SA has a key of at least four octets, of which memory holds something that can be told from chance.
    pub fn is_keyed(&self) -> bool {
        self.cipher.1.max(self.integrity.1) >= 4
    }

    /// Whether all of the key is in memory as it was given: ChaCha20 does not expand its key.
    pub fn keeps_its_key(&self) -> bool {
        self.cipher.0 == CipherAlgorithm::ChaCha20Poly1305
    }

    /// What names the SA of this SPI.
    pub fn key(&self, spi: u32) -> SaId {
        SaId { direction: self.direction, destination: DESTINATION, protocol: self.protocol, spi }
    }

    /// The SA of this SPI with the keys that `number` chooses. Its hard limit is reached ten seconds after it was installed.
    pub fn sa(&self, number: u64, spi: u32) -> Sa<AnyAlgorithms> {
        let (keys, spi, width) = (self.keys(number), Spi::new(spi).expect("an SPI"), SeqWidth::Bits32);
        let suite = || match (self.cipher.0, self.integrity.0) {
            (cipher, IntegrityAlgorithm::None) if cipher.row().is_some_and(|row| row.icv == 0) => {
                AnySuite::without_integrity(cipher, &keys[0]).expect("a suite")
            }
            (cipher, integrity) => AnySuite::from_slices(cipher, &keys[0], integrity, &keys[1]).expect("a suite"),
        };
        let integrity = || AnyAhIntegrity::new(self.integrity.0, &keys[1]).expect("an integrity algorithm");
        let window = || AnyWindow::new(WindowSize::packets(64)).expect("a window");
        let transform = match (self.protocol, self.direction) {
            (Protocol::Ah, Direction::Outbound) => Transform::AhOut(ah_core::Outbound::new(spi, integrity(), width, Profile::RFC)),
            (Protocol::Ah, Direction::Inbound) => {
                Transform::AhIn(ah_core::Inbound::with_window(spi, integrity(), width, Profile::RFC, window()))
            }
            (_, Direction::Outbound) => Transform::EspOut(esp_core::Outbound::new(spi, suite(), width)),
            (_, Direction::Inbound) => Transform::EspIn(esp_core::Inbound::with_window(spi, suite(), width, window())),
        };
        let hard = Limit { age: Some(Duration::from_secs(10)), ..Limit::default() };
        let sa = Sa::new(SOURCE, DESTINATION, transform).expect("addresses of one family");
        sa.with_lifetimes(Lifetimes { hard, ..Lifetimes::default() })
    }
}

/// An SA of the same protocol, direction and SPI as little as an SA can be, whose keys are others.
pub fn replacement(case: &Case) -> Sa<AnyAlgorithms> {
    let integrity = (IntegrityAlgorithm::HmacMd5_96, 16);
    Case { cipher: (CipherAlgorithm::Null, 0), integrity, ..*case }.sa(u64::MAX / 4, SPI)
}

/// Every cipher and integrity algorithm in every key length, every pair of them, ESP and AH, in and out.
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
    let both = |(protocol, cipher, integrity)| [Direction::Outbound, Direction::Inbound].map(|direction| Case { protocol, direction, cipher, integrity });
    suites.chain(ah).flat_map(both).collect()
}

fn lengths(keys: &KeyLengths) -> Vec<usize> {
    if *keys == KeyLengths::HMAC { HMAC_KEYS.to_vec() } else { (keys.min..=keys.max).step_by(keys.step).collect() }
}

/// Octets without zeros, so that a run of them is not broken (splitmix64).
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
