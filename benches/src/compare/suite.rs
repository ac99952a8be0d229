//! Suites of the comparison, and the layout of their ESP packets.

use ipsec_packet::{AntiReplay, ReplayWindow, Seq};

/// Cipher with its key length in octets.
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

/// Integrity algorithm of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac {
    /// No integrity algorithm: the cipher is an AEAD, or is measured alone.
    None,
    Md5,
    Sha1,
    Sha256,
}

/// Suite of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    pub name: &'static str,
    pub cipher: Cipher,
    pub mac: Mac,
}

const fn suite(name: &'static str, cipher: Cipher, mac: Mac) -> Suite {
    Suite { name, cipher, mac }
}

/// Suites that are compared.
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

/// Key octets for every suite: the parts of a 3DES key differ, and no DES key is weak.
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
    /// Returns the length of the cipher key in octets, without salt.
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

    /// Returns whether the suite is AES-CBC without an integrity algorithm; other libraries are not measured for it.
    pub fn cipher_alone(self) -> bool {
        matches!((self.cipher, self.mac), (Cipher::AesCbc(_), Mac::None))
    }

    /// Returns the length of the salt after the key in octets.
    pub fn salt(self) -> usize {
        match self.cipher {
            Cipher::AesCtr(_) | Cipher::AesGcm(_) | Cipher::ChaCha20Poly1305 => 4,
            Cipher::AesCcm(_) => 3,
            _ => 0,
        }
    }

    /// Returns the length of the MAC key in octets.
    pub fn mac_key(self) -> usize {
        match self.mac {
            Mac::None => 0,
            Mac::Md5 => 16,
            Mac::Sha1 => 20,
            Mac::Sha256 => 32,
        }
    }

    /// Returns the length of the IV in octets.
    pub fn iv(self) -> usize {
        match self.cipher {
            Cipher::Null => 0,
            Cipher::AesCbc(_) => 16,
            _ => 8,
        }
    }

    /// Returns the length of the ICV in octets.
    pub fn icv(self) -> usize {
        match self.mac {
            Mac::None | Mac::Sha256 => 16,
            Mac::Md5 | Mac::Sha1 => 12,
        }
    }

    /// Returns the length of payload, padding and trailer in octets for a payload of this length.
    pub fn body(self, payload: usize) -> usize {
        let align = match self.cipher {
            Cipher::AesCbc(_) => 16,
            Cipher::DesCbc | Cipher::TripleDesCbc | Cipher::BlowfishCbc | Cipher::Cast128Cbc => 8,
            _ => 4,
        };
        (payload + 2).next_multiple_of(align)
    }

    /// Returns the length of the ESP packet in octets for a payload of this length.
    pub fn packet(self, payload: usize) -> usize {
        8 + self.iv() + self.body(payload) + self.icv()
    }

    /// Writes header, IV, padding and trailer, which the other libraries do not.
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

/// Receiver around the other libraries, which checks SPI, anti-replay window, padding and trailer.
pub struct Receiver {
    suite: Suite,
    window: ReplayWindow<2>,
}

/// Default padding of RFC 4303 section 2.4: 1, 2, 3, ..
static PADDING: [u8; 255] = {
    let mut padding = [0; 255];
    let mut n = 0;
    while n < 255 {
        padding[n] = n as u8 + 1;
        n += 1;
    }
    padding
};

impl Receiver {
    pub fn new(suite: Suite) -> Self {
        Self { suite, window: ReplayWindow::new() }
    }

    /// Returns the sequence number of a packet with the right SPI that was not received before.
    pub fn admit(&self, packet: &[u8]) -> Option<Seq> {
        let (spi, rest) = packet.split_first_chunk()?;
        let seq = Seq::new(u32::from_be_bytes(*rest.first_chunk()?).into());
        (*spi == 0x1001u32.to_be_bytes() && self.window.check(seq).is_ok()).then_some(seq)
    }

    /// Records the sequence number and returns next header and payload, or `None` if the padding is invalid.
    pub fn decapsulate<'p>(&mut self, packet: &'p [u8], seq: Seq) -> Option<(u8, &'p [u8])> {
        self.window.record(seq);
        let body = packet.get(8 + self.suite.iv()..packet.len() - self.suite.icv())?;
        let (rest, &[pad, next_header]) = body.split_last_chunk::<2>()?;
        let (payload, padding) = rest.split_at_checked(rest.len().checked_sub(pad.into())?)?;
        (*padding == PADDING[..padding.len()]).then_some((next_header, payload))
    }
}

/// Payload lengths of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// The same length for all packets, in octets.
    Of(usize),
    /// Repeated groups of seven packets of 64 octets, four of 576 and one of 1500.
    Imix,
}

impl Sizes {
    /// Returns the payload length of packet `n` in octets.
    pub fn payload(self, n: usize) -> usize {
        match self {
            Self::Of(size) => size,
            Self::Imix => [64, 576, 64, 64, 576, 64, 1500, 64, 576, 64, 64, 576][n % 12],
        }
    }
}
