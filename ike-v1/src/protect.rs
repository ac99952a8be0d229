use core::fmt;

use ike_codec::{Chain, DecodeError, Flags, Header, Message};
use ipsec_crypto::{AnyCipher, Cipher, CipherAlgorithm, HashFunction, KeyError};

/// Encryption of the messages of one ISAKMP SA: the keyed cipher, and the hash algorithm that derives IVs (RFC 2409
/// appendix B).
#[derive(Debug)]
pub struct Protection {
    cipher: AnyCipher,
    hash: HashFunction,
}

/// Chain of IVs of one exchange, which contains the IV of the next message (RFC 2409 appendix B).
///
/// Phase 1 has one chain; each message ID after it has its own, which is derived from the last ciphertext block of
/// phase 1. Encryption and decryption do not modify a chain. They return the [`NextIv`], which the caller confirms
/// after the message has been sent, or its hash has been verified. A retransmission or a forged message therefore does
/// not advance the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IvChain {
    iv: [u8; 16],
}

/// Next IV of a chain, which takes effect when the caller confirms it (RFC 2409 appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the chain does not advance until this is confirmed"]
pub struct NextIv {
    iv: [u8; 16],
}

impl IvChain {
    /// Creates a chain that starts with `iv`, of which the cipher uses the first block (RFC 2409 appendix B).
    pub fn starting_at(iv: &[u8]) -> Self {
        let mut chain = Self { iv: [0; 16] };
        chain.iv.iter_mut().zip(iv).for_each(|(to, from)| *to = *from);
        chain
    }

    /// Returns the IV of the next message, of which the cipher uses the first block (RFC 2409 appendix B).
    pub const fn iv(&self) -> &[u8; 16] {
        &self.iv
    }

    /// Advances the chain past a message that has been sent or authenticated (RFC 2409 appendix B).
    //= RFC 2409 10/3
    //# SHOULD NOT: the running IV does not move before a message is found to be good and new
    pub const fn confirm(&mut self, next: NextIv) {
        self.iv = next.iv;
    }
}

/// Error of encryption and decryption; the message is unchanged (RFC 2409 appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtectError {
    /// The message is malformed.
    Malformed(DecodeError),
    /// The message to be encrypted has the encryption flag already.
    FlagSet,
    /// The message to be decrypted does not have the encryption flag.
    FlagNotSet,
    /// The body after the header is empty, or its length is not a multiple of the block size.
    Length {
        /// Length of the body in octets.
        body: usize,
        /// Block size of the cipher in octets.
        block: usize,
    },
}

impl fmt::Display for ProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(e) => fmt::Display::fmt(e, f),
            Self::FlagSet => f.write_str("encryption flag is already set"),
            Self::FlagNotSet => f.write_str("encryption flag is not set"),
            Self::Length { body, block } => {
                write!(f, "body of {body} octets is empty or not a multiple of the block size {block}")
            }
        }
    }
}

impl core::error::Error for ProtectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(e) => Some(e),
            _ => None,
        }
    }
}

impl Protection {
    /// Creates the cipher with a key from [`Phase1Keys::cipher_key`](crate::Phase1Keys::cipher_key). `hash` is the
    /// negotiated hash algorithm, even if the prf is not HMAC with it (RFC 2409 appendix B).
    ///
    /// # Errors
    /// [`KeyError`] for an invalid key; [`KeyError::Unsupported`] for a cipher that is not a block cipher.
    pub fn new(algorithm: CipherAlgorithm, key: &[u8], hash: HashFunction) -> Result<Self, KeyError> {
        let cipher = AnyCipher::new(algorithm, key)?;
        if !matches!(cipher.layout().align(), 8 | 16) {
            return Err(KeyError::Unsupported);
        }
        Ok(Self { cipher, hash })
    }

    /// Returns the block size of the cipher in octets (RFC 2409 appendix B).
    pub fn block(&self) -> usize {
        self.cipher.layout().align()
    }

    /// Derives the IV chain of phase 1: `hash(g^xi | g^xr)` (RFC 2409 appendix B).
    pub fn phase_1(&self, g_xi: &[u8], g_xr: &[u8]) -> IvChain {
        IvChain::starting_at(self.hash.digest(&[g_xi, g_xr]).expose())
    }

    /// Derives the IV chain of a message ID after phase 1: `hash(last block of phase 1 | M-ID)` (RFC 2409 appendix B).
    ///
    /// `phase_1` is the chain of phase 1 after its last message.
    //= RFC 2408 4.8/2
    //# MUST: every exchange begins with its cryptography synchronised
    pub fn phase_2(&self, phase_1: &IvChain, message_id: u32) -> IvChain {
        //= RFC 2408 4.8/3
        //# SHOULD: the message ID of an informational exchange does not touch the ivs of others
        let last = phase_1.iv.get(..self.block()).unwrap_or_default();
        IvChain::starting_at(self.hash.digest(&[last, &message_id.to_be_bytes()]).expose())
    }

    /// Encrypts the body of a message in place and sets its encryption flag (RFC 2409 appendix B).
    ///
    /// The caller has padded the message to whole blocks
    /// ([`MessageWriter::finish_padded`](ike_codec::MessageWriter::finish_padded)).
    ///
    /// # Errors
    /// [`ProtectError`]; the message is unchanged.
    pub fn encrypt(&self, chain: &IvChain, message: &mut [u8]) -> Result<NextIv, ProtectError> {
        let (header, _) = Header::parse(message).map_err(ProtectError::Malformed)?;
        if header.flags.contains(Flags::ENCRYPTION) {
            return Err(ProtectError::FlagSet);
        }
        let (header_octets, body) = self.split(message)?;
        if let Some(flags) = header_octets.get_mut(FLAGS) {
            //= RFC 2408 3.1/7
            //# MUST: flags without a name are sent as 0
            *flags |= Flags::ENCRYPTION.0;
        }
        //= RFC 2408 4.1.1/3
        //# MUST: all payloads after the header are encrypted
        self.cipher.encrypt(&chain.iv, body);
        Ok(self.last_block(body))
    }

    /// Decrypts the body of a message in place and clears its encryption flag (RFC 2409 appendix B).
    ///
    /// Decryption does not authenticate: the caller parses the payloads ([`plaintext`]) and verifies their hash before
    /// it confirms the [`NextIv`]. [`restore_ciphertext`](Self::restore_ciphertext) restores the ciphertext.
    ///
    /// # Errors
    /// [`ProtectError`]; the message is unchanged.
    //= RFC 2408 5.14/6
    //# MUST: receiving: an encrypted informational exchange is decrypted
    pub fn decrypt(&self, chain: &IvChain, message: &mut [u8]) -> Result<NextIv, ProtectError> {
        if !Message::parse(message).map_err(ProtectError::Malformed)?.is_encrypted() {
            return Err(ProtectError::FlagNotSet);
        }
        let (header_octets, body) = self.split(message)?;
        if let Some(flags) = header_octets.get_mut(FLAGS) {
            *flags &= !Flags::ENCRYPTION.0;
        }
        let next = self.last_block(body);
        self.cipher.decrypt(&chain.iv, body);
        Ok(next)
    }

    /// Restores the ciphertext of a message that was decrypted with this chain, so that decryption can be tried with
    /// other keys (RFC 2409 appendix B).
    ///
    /// # Errors
    /// [`ProtectError`]; the message is unchanged.
    pub fn restore_ciphertext(&self, chain: &IvChain, message: &mut [u8]) -> Result<(), ProtectError> {
        self.encrypt(chain, message).map(drop)
    }

    /// Returns the chain after an encrypted message, whichever IV it was encrypted with.
    pub(crate) fn chain_after(&self, message: &[u8]) -> IvChain {
        IvChain { iv: self.last_block(message).iv }
    }

    fn split<'m>(&self, message: &'m mut [u8]) -> Result<(&'m mut [u8], &'m mut [u8]), ProtectError> {
        let (length, block) = (message.len().saturating_sub(Header::LEN), self.block());
        //= RFC 2408 4.1.1/2
        //# MUST: encryption begins directly after the ISAKMP header
        match message.split_at_mut_checked(Header::LEN) {
            Some((header_octets, body)) if !body.is_empty() && body.len().is_multiple_of(block) => {
                Ok((header_octets, body))
            }
            _ => Err(ProtectError::Length { body: length, block }),
        }
    }

    fn last_block(&self, ciphertext: &[u8]) -> NextIv {
        //= RFC 2409 B/4
        //# MUST: the IV of a message is the last block of the one before
        let at = ciphertext.len().saturating_sub(self.block());
        NextIv { iv: IvChain::starting_at(ciphertext.get(at..).unwrap_or_default()).iv }
    }
}

/// Offset of the flags octet in the ISAKMP header.
const FLAGS: usize = 19;

/// Parses the payloads of a decrypted message (RFC 2408 section 3.2).
///
/// # Errors
/// [`DecodeError`] for a wrong key, a wrong IV or a malformed message.
pub fn plaintext(message: &[u8]) -> Result<Chain<'_>, DecodeError> {
    let (header, body) = Header::parse(message)?;
    Chain::decrypted(header.next_payload, body)
}
