use core::fmt;

#[cfg(feature = "null")]
use crate::IcvLen;
use crate::Layout;
use crate::append::excluded;
use crate::batch::KeyUse;
use crate::internal::Internal;
#[cfg(feature = "null")]
use crate::layout::layout;

/// Initialization vector, left-aligned. A cipher reads as many octets as its layout specifies (RFC 4303 section 2.3).
pub type Iv = [u8; 16];

/// Cipher without integrity, one half of [`crate::EncryptThenMac`] (RFC 4303 section 3.2.1).
///
/// Both directions process a body in place whose length is a multiple of the alignment; [`crate::EspParts`]
/// guarantees that.
///
/// A cipher is a primitive over octets without an ICV: IKEv1 decrypts messages with it whose hash is inside.
/// ESP packets are decrypted by [`Suite::open`](crate::Suite::open), or with the proof [`Verified`](crate::Verified).
pub trait Cipher {
    /// Returns the lengths that the cipher adds to a packet (RFC 4303 sections 2.3 and 2.4). The ICV is that of the
    /// integrity algorithm: [`EncryptThenMac`](crate::EncryptThenMac) replaces its length.
    fn layout(&self) -> Layout;

    /// Encrypts the body in place.
    fn encrypt(&self, iv: &Iv, body: &mut [u8]);

    /// Decrypts the body in place.
    fn decrypt(&self, iv: &Iv, body: &mut [u8]);

    /// Encrypts `text` from octet `from` on, and passes all of `text` to `follow`: in order, in pieces of a multiple
    /// of 64 octets except for the last. A MAC can thus hash one piece while the next is encrypted.
    #[doc(hidden)]
    fn encrypt_and_mac(&self, iv: &Iv, text: &mut [u8], from: usize, follow: &mut dyn FnMut(&[u8]), _: Internal) {
        self.encrypt(iv, text.get_mut(from..).unwrap_or_else(excluded));
        follow(text);
    }

    /// Reads the keys for one use into the cache of the processor.
    #[doc(hidden)]
    fn read_ahead(&self, _: KeyUse, _: Internal) {}

    /// Returns the number of packets from which [`encrypt_batch`](Self::encrypt_batch) is faster than encrypting and
    /// hashing the packets one by one. The default is never.
    #[doc(hidden)]
    fn min_batch(&self, _: Internal) -> usize {
        usize::MAX
    }

    /// Returns whether [`encrypt_batch`](Self::encrypt_batch) gains from packets with other keys as well.
    #[doc(hidden)]
    fn interleaves_keys(&self, _: Internal) -> bool {
        false
    }

    /// Encrypts the bodies of several packets, each under its own key, with the result of [`encrypt`](Self::encrypt)
    /// for each. It is called for at least [`min_batch`](Self::min_batch) packets.
    #[doc(hidden)]
    fn encrypt_batch(lanes: &mut [BatchItem<'_, Self>], _: Internal)
    where
        Self: Sized,
    {
        lanes.iter_mut().for_each(|lane| lane.cipher.encrypt(&lane.iv, lane.body));
    }
}

/// Packet of a batch that a [`Cipher`] encrypts.
pub struct BatchItem<'a, C> {
    /// Cipher of the packet's SA.
    pub cipher: &'a C,
    /// IV of the packet.
    pub iv: Iv,
    /// Body that is encrypted in place.
    pub body: &'a mut [u8],
}

/// Prints the length only, as the body may be plaintext.
impl<C> fmt::Debug for BatchItem<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchItem({} octets)", self.body.len())
    }
}

/// Cipher that encrypts the body: every [`Cipher`] except `Null` (RFC 4303 section 3.2.1).
//= RFC 4303 3.2/1
//# MUST: confidentiality or integrity is selected: the algorithms are never both null
pub trait Confidential: Cipher {}

/// Block cipher in CBC mode, from which IVs of an encrypted counter can be made (RFC 2451 section 2.1, RFC 3602
/// section 2.1).
pub trait Cbc: Confidential {}

/// NULL encryption (RFC 2410): the body is unchanged. It requires integrity.
#[cfg(feature = "null")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

#[cfg(feature = "null")]
impl Cipher for Null {
    fn layout(&self) -> Layout {
        layout!(0, 4, IcvLen::NONE, None)
    }

    fn encrypt(&self, _: &Iv, _: &mut [u8]) {}

    fn decrypt(&self, _: &Iv, _: &mut [u8]) {}
}
