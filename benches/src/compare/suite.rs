//! The suites that are compared, and ESP packets of them.

use ipsec_packet::{AntiReplay, ReplayWindow, Seq};

/// A cipher, with the octets of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Null,
    DesCbc,
    TripleDesCbc,
    BlowfishCbc,
    Cast128Cbc,
    AesCbc(usize),
    AesCtr(usize),
    AesGcm(usize),
    AesCcm(usize),
    ChaCha20Poly1305,
}

/// What authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// The cipher itself.
    None,
    Md5,
    Sha1,
    Sha256,
}

/// One suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    pub name: &'static str,
    pub cipher: Cipher,
    pub mac: Mac,
}

const fn suite(name: &'static str, cipher: Cipher, mac: Mac) -> Suite {
    Suite { name, cipher, mac }
}

/// All of them.
pub const SUITES: [Suite; 16] = [
    suite("aes128cbc-sha1", Cipher::AesCbc(16), Mac::Sha1),
    suite("aes256cbc-sha256", Cipher::AesCbc(32), Mac::Sha256),
    suite("aes128cbc-sha256", Cipher::AesCbc(16), Mac::Sha256),
    suite("aes128cbc-md5", Cipher::AesCbc(16), Mac::Md5),
    suite("aes128ctr-sha1", Cipher::AesCtr(16), Mac::Sha1),
    suite("null-sha1", Cipher::Null, Mac::Sha1),
    suite("aes128gcm", Cipher::AesGcm(16), Mac::None),
    suite("aes256gcm", Cipher::AesGcm(32), Mac::None),
    suite("aes128ccm", Cipher::AesCcm(16), Mac::None),
    suite("chacha20poly1305", Cipher::ChaCha20Poly1305, Mac::None),
    suite("aes128cbc", Cipher::AesCbc(16), Mac::None),
    suite("aes256cbc", Cipher::AesCbc(32), Mac::None),
    suite("3des-md5", Cipher::TripleDesCbc, Mac::Md5),
    suite("des-md5", Cipher::DesCbc, Mac::Md5),
    suite("bf128-sha1", Cipher::BlowfishCbc, Mac::Sha1),
    suite("cast128-sha1", Cipher::Cast128Cbc, Mac::Sha1),
];

/// Key octets for everybody: the halves of a 3DES key differ, and no DES key is weak.
pub const KEY: [u8; 64] = {
    let mut key = [0; 64];
    let mut n = 0;
    while n < key.len() {
        key[n] = (n as u8).wrapping_mul(37).wrapping_add(11);
        n += 1;
    }
    key
};

impl Suite {
    /// Octets of the cipher's key, without salt.
    pub fn key(self) -> usize {
        match self.cipher {
            Cipher::Null => 0,
            Cipher::DesCbc => 8,
            Cipher::TripleDesCbc => 24,
            Cipher::BlowfishCbc | Cipher::Cast128Cbc => 16,
            Cipher::ChaCha20Poly1305 => 32,
            Cipher::AesCbc(key) | Cipher::AesCtr(key) | Cipher::AesGcm(key) | Cipher::AesCcm(key) => key,
        }
    }

    /// The cipher's part of other suites, which no peer is asked for.
    pub fn cipher_alone(self) -> bool {
        matches!((self.cipher, self.mac), (Cipher::AesCbc(_), Mac::None))
    }

    /// Octets of salt behind the key.
    pub fn salt(self) -> usize {
        match self.cipher {
            Cipher::AesCtr(_) | Cipher::AesGcm(_) | Cipher::ChaCha20Poly1305 => 4,
            Cipher::AesCcm(_) => 3,
            _ => 0,
        }
    }

    /// Octets of the MAC's key.
    pub fn mac_key(self) -> usize {
        match self.mac {
            Mac::None => 0,
            Mac::Md5 => 16,
            Mac::Sha1 => 20,
            Mac::Sha256 => 32,
        }
    }

    /// Octets of IV in a packet.
    pub fn iv(self) -> usize {
        match self.cipher {
            Cipher::Null => 0,
            Cipher::AesCbc(_) => 16,
            _ => 8,
        }
    }

    /// Octets of the ICV.
    pub fn icv(self) -> usize {
        match self.mac {
            Mac::None | Mac::Sha256 => 16,
            Mac::Md5 | Mac::Sha1 => 12,
        }
    }

    /// Octets of the body that a payload of so many makes.
    pub fn body(self, payload: usize) -> usize {
        let align = match self.cipher {
            Cipher::AesCbc(_) => 16,
            Cipher::DesCbc | Cipher::TripleDesCbc | Cipher::BlowfishCbc | Cipher::Cast128Cbc => 8,
            _ => 4,
        };
        (payload + 2).next_multiple_of(align)
    }

    /// Octets of the ESP packet of a payload.
    pub fn packet(self, payload: usize) -> usize {
        8 + self.iv() + self.body(payload) + self.icv()
    }

    /// What every peer does before its library's turn: header, IV, padding and trailer.
    pub fn frame(self, packet: &mut [u8], payload: usize, number: u32) {
        let front = 8 + self.iv();
        packet[..4].copy_from_slice(&0x1001u32.to_be_bytes());
        packet[4..8].copy_from_slice(&number.to_be_bytes());
        if self.salt() > 0 {
            packet[8..front].copy_from_slice(&u64::from(number).to_be_bytes());
        } else {
            packet[8..front].fill(number as u8);
        }
        let end = front + self.body(payload);
        let pad = end - front - payload - 2;
        packet[front + payload..end - 2].iter_mut().zip(1..).for_each(|(to, n)| *to = n);
        packet[end - 2] = pad as u8;
        packet[end - 1] = 4;
    }
}

/// What a caller does around a library that opens, as we do: SPI, window, padding and trailer.
pub struct Receiver {
    suite: Suite,
    window: ReplayWindow<2>,
}

/// What padding is.
static NUMBERS: [u8; 255] = {
    let mut numbers = [0; 255];
    let mut n = 0;
    while n < 255 {
        numbers[n] = n as u8 + 1;
        n += 1;
    }
    numbers
};

impl Receiver {
    pub fn new(suite: Suite) -> Self {
        Self { suite, window: ReplayWindow::new() }
    }

    /// The number of a packet that may be opened.
    pub fn admit(&self, packet: &[u8]) -> Option<Seq> {
        let (spi, rest) = packet.split_first_chunk()?;
        let seq = Seq::new(u32::from_be_bytes(*rest.first_chunk()?).into());
        (*spi == 0x1001u32.to_be_bytes() && self.window.check(seq).is_ok()).then_some(seq)
    }

    /// What an opened packet carries.
    pub fn take_off<'p>(&mut self, packet: &'p [u8], seq: Seq) -> Option<(u8, &'p [u8])> {
        self.window.record(seq);
        let body = packet.get(8 + self.suite.iv()..packet.len() - self.suite.icv())?;
        let (rest, &[pad, next_header]) = body.split_last_chunk::<2>()?;
        let (payload, padding) = rest.split_at_checked(rest.len().checked_sub(pad.into())?)?;
        (*padding == NUMBERS[..padding.len()]).then_some((next_header, payload))
    }
}

/// The payloads of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All of so many octets.
    Of(usize),
    /// Seven of 64 octets, four of 576 and one of 1500, and so on.
    Imix,
}

impl Sizes {
    /// Octets of the payload of packet `n`.
    pub fn payload(self, n: usize) -> usize {
        match self {
            Self::Of(size) => size,
            Self::Imix => [64, 576, 64, 64, 576, 64, 1500, 64, 576, 64, 64, 576][n % 12],
        }
    }
}
