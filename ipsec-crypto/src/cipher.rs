use core::fmt;

use crate::IvRule;

/// An initialization vector, left-aligned; a cipher reads as many octets of it as its layout says (RFC 4303 2.3).
pub type Iv = [u8; 16];

/// A cipher without integrity, as half of [`crate::EncryptThenMac`] (RFC 4303 3.2.1).
///
/// Both directions work in place on a body whose length is a multiple of [`block`](Self::block); [`crate::EspParts`] sees
/// to that.
pub trait Cipher {
    /// Octets of IV in each packet (RFC 4303 2.3).
    fn iv_len(&self) -> usize;

    /// Octets of a block; 1 for stream ciphers (RFC 4303 2.4).
    fn block(&self) -> usize;

    /// What the IV must be (RFC 4303 2.3).
    fn iv_rule(&self) -> IvRule;

    /// Encrypts the body.
    fn encrypt(&self, iv: &Iv, body: &mut [u8]);

    /// Decrypts the body.
    fn decrypt(&self, iv: &Iv, body: &mut [u8]);

    /// Encrypts `text` from octet `from` on, and meanwhile hands all of it, from its beginning, to `follow`: in order, and
    /// in pieces of whole 64 octets but for the last. A MAC that follows hashes one piece while the next is encrypted.
    fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8])) {
        self.encrypt(iv, text.get_mut(from..).unwrap_or_default());
        follow(text);
    }

    /// From how many packets on [`encrypt_batch`](Self::encrypt_batch) takes so much less time than one after the other that it is worth more
    /// than to encrypt and hash each at once; never, if not said otherwise.
    fn min_batch(&self) -> usize {
        usize::MAX
    }

    /// Encrypts the bodies of several packets, each under its own key, as [`encrypt`](Self::encrypt) would one after the other. It is called
    /// from [`min_batch`](Self::min_batch) packets on.
    fn encrypt_batch(lanes: &mut [BatchItem<'_, Self>])
    where
        Self: Sized,
    {
        lanes.iter_mut().for_each(|lane| lane.cipher.encrypt(&lane.iv, lane.body));
    }
}

/// One packet of a batch that a [`Cipher`] encrypts.
pub struct BatchItem<'a, C> {
    /// The cipher of its SA.
    pub cipher: &'a C,
    /// Its IV.
    pub iv: Iv,
    /// What is encrypted.
    pub body: &'a mut [u8],
}

/// A length only: the body may be plaintext.
impl<C> fmt::Debug for BatchItem<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({} octets)", self.body.len())
    }
}

/// A [`Cipher`] that hides the body: every one but `Null` (RFC 4303 3.2.1).
//= RFC 4303 3.2/1
pub trait Confidential: Cipher {}

/// A block cipher in CBC mode: what an encrypted-counter IV can be made with (RFC 2451 2.1, RFC 3602 2.1).
pub trait Cbc: Confidential {}

/// NULL encryption (RFC 2410): the body stays as it is. Only with integrity.
#[cfg(feature = "null")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

#[cfg(feature = "null")]
impl Cipher for Null {
    fn iv_len(&self) -> usize {
        0
    }

    fn block(&self) -> usize {
        1
    }

    fn iv_rule(&self) -> IvRule {
        IvRule::None
    }

    fn encrypt(&self, _: &Iv, _: &mut [u8]) {}

    fn decrypt(&self, _: &Iv, _: &mut [u8]) {}
}
