use core::fmt;

use ike_codec::{Chain, DecodeError, Flags, Header, Message};
use ipsec_crypto::{AnyCipher, Cipher, CipherAlgorithm, HashFunction, KeyError};

/// What encrypts the messages of one ISAKMP SA: its cipher with its key, and the hash that IVs are made with (RFC 2409 appendix B).
#[derive(Debug)]
pub struct Protection {
    cipher: AnyCipher,
    hash: HashFunction,
}

/// The IV of the next message of one exchange (RFC 2409 appendix B).
///
/// Phase 1 has one chain; each message ID after it has its own, which starts from the last block of phase 1. Encryption
/// and decryption leave a chain alone: they give the [`NextIv`], which the caller confirms once the message was sent, or
/// its hash was found good. A retransmission or a forged message therefore moves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IvChain {
    iv: [u8; 16],
}

/// Where a chain goes when the message it came with is confirmed (RFC 2409 appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the chain stays where it was until this is confirmed"]
pub struct NextIv {
    iv: [u8; 16],
}

impl IvChain {
    /// A chain that begins with this IV, of which a cipher uses as many octets as its block has (RFC 2409 appendix B).
    pub fn starting_at(iv: &[u8]) -> Self {
        let mut chain = Self { iv: [0; 16] };
        chain.iv.iter_mut().zip(iv).for_each(|(to, from)| *to = *from);
        chain
    }

    /// The IV of the next message, of which a cipher uses as many octets as its block has (RFC 2409 appendix B).
    pub const fn iv(&self) -> &[u8; 16] {
        &self.iv
    }

    /// Moves the chain behind a message that was sent, or found to be authentic (RFC 2409 appendix B).
    //= RFC 2409 10/3
    pub const fn confirm(&mut self, next: NextIv) {
        self.iv = next.iv;
    }
}

/// Why a message is not encrypted or decrypted; it is as it was (RFC 2409 appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtectError {
    /// The message does not parse.
    Malformed(DecodeError),
    /// To be decrypted, but without the encryption flag; or to be encrypted, but encrypted already.
    Flag,
    /// What follows the header is empty or no whole number of blocks.
    Length {
        /// Octets behind the header.
        body: usize,
        /// Octets of a block.
        block: usize,
    },
}

impl fmt::Display for ProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(e) => fmt::Display::fmt(e, f),
            Self::Flag => f.write_str("the encryption flag does not fit"),
            Self::Length { body, block } => write!(f, "{body} octets are no whole blocks of {block}"),
        }
    }
}

impl core::error::Error for ProtectError {}

impl Protection {
    /// Sets up the cipher with the key that [`Phase1Keys::cipher_key`](crate::Phase1Keys::cipher_key) gives; `hash` is the
    /// negotiated one, also when the PRF is not HMAC with it (RFC 2409 appendix B).
    ///
    /// # Errors
    /// [`KeyError`]; [`KeyError::Unsupported`] for a cipher without blocks.
    pub fn new(algorithm: CipherAlgorithm, key: &[u8], hash: HashFunction) -> Result<Self, KeyError> {
        let cipher = AnyCipher::new(algorithm, key)?;
        if !matches!(cipher.block(), 8 | 16) {
            return Err(KeyError::Unsupported);
        }
        Ok(Self { cipher, hash })
    }

    /// Octets of a block (RFC 2409 appendix B).
    pub fn block(&self) -> usize {
        self.cipher.block()
    }

    /// The chain of phase 1: `hash(g^xi | g^xr)` (RFC 2409 appendix B).
    pub fn phase_1(&self, g_xi: &[u8], g_xr: &[u8]) -> IvChain {
        IvChain::starting_at(self.hash.digest(&[g_xi, g_xr]).expose())
    }

    /// The chain of a message ID after phase 1: `hash(last block of phase 1 | M-ID)` (RFC 2409 appendix B).
    ///
    /// `phase_1` is the chain of phase 1 as it stood after its last message.
    //= RFC 2408 4.8/2
    pub fn phase_2(&self, phase_1: &IvChain, message_id: u32) -> IvChain {
        //= RFC 2408 4.8/3
        let last = phase_1.iv.get(..self.block()).unwrap_or_default();
        IvChain::starting_at(self.hash.digest(&[last, &message_id.to_be_bytes()]).expose())
    }

    /// Encrypts a message in place, from the octet behind its header on, and sets its encryption flag (RFC 2409 appendix B).
    ///
    /// The message is padded to whole blocks already
    /// ([`MessageWriter::finish_padded`](ike_codec::MessageWriter::finish_padded)).
    ///
    /// # Errors
    /// [`ProtectError`].
    pub fn encrypt(&self, chain: &IvChain, message: &mut [u8]) -> Result<NextIv, ProtectError> {
        let (header, _) = Header::parse(message).map_err(ProtectError::Malformed)?;
        if header.flags.contains(Flags::ENCRYPTION) {
            return Err(ProtectError::Flag);
        }
        let (head, body) = self.split(message)?;
        if let Some(flags) = head.get_mut(FLAGS) {
            //= RFC 2408 3.1/7
            *flags |= Flags::ENCRYPTION.0;
        }
        //= RFC 2408 4.1.1/3
        self.cipher.encrypt(&chain.iv, body);
        Ok(self.last_block(body))
    }

    /// Decrypts a message in place, from the octet behind its header on, and clears its encryption flag (RFC 2409 appendix B).
    ///
    /// Nothing is authenticated by this: the payloads are to be parsed ([`plaintext`]) and the hash in them verified before
    /// the [`NextIv`] is confirmed. [`undo`](Self::undo) gives the ciphertext back.
    ///
    /// # Errors
    /// [`ProtectError`].
    //= RFC 2408 5.14/6
    pub fn decrypt(&self, chain: &IvChain, message: &mut [u8]) -> Result<NextIv, ProtectError> {
        if !Message::parse(message).map_err(ProtectError::Malformed)?.is_encrypted() {
            return Err(ProtectError::Flag);
        }
        let (head, body) = self.split(message)?;
        if let Some(flags) = head.get_mut(FLAGS) {
            *flags &= !Flags::ENCRYPTION.0;
        }
        let next = self.last_block(body);
        self.cipher.decrypt(&chain.iv, body);
        Ok(next)
    }

    /// Makes a message that was decrypted with this chain what it was before, for somebody else to try (RFC 2409 appendix B).
    ///
    /// # Errors
    /// [`ProtectError`].
    pub fn undo(&self, chain: &IvChain, message: &mut [u8]) -> Result<(), ProtectError> {
        self.encrypt(chain, message).map(drop)
    }

    fn split<'m>(&self, message: &'m mut [u8]) -> Result<(&'m mut [u8], &'m mut [u8]), ProtectError> {
        let (length, block) = (message.len().saturating_sub(Header::LEN), self.block());
        //= RFC 2408 4.1.1/2
        match message.split_at_mut_checked(Header::LEN) {
            Some((head, body)) if !body.is_empty() && body.len().is_multiple_of(block) => Ok((head, body)),
            _ => Err(ProtectError::Length { body: length, block }),
        }
    }

    fn last_block(&self, ciphertext: &[u8]) -> NextIv {
        //= RFC 2409 B/4
        let at = ciphertext.len().saturating_sub(self.block());
        NextIv { iv: IvChain::starting_at(ciphertext.get(at..).unwrap_or_default()).iv }
    }
}

/// Where the flags are in a message.
const FLAGS: usize = 19;

/// The payloads of a message that was decrypted (RFC 2408 3.2).
///
/// # Errors
/// [`DecodeError`]: the wrong key, the wrong IV, or a message that is no good.
pub fn plaintext(message: &[u8]) -> Result<Chain<'_>, DecodeError> {
    let (header, body) = Header::parse(message)?;
    Chain::decrypted(header.next_payload, body)
}
