use core::fmt;

use ike_codec::{
    AhTransform, AttributeError, AttributeWriter, Attributes, AuthAlgorithm, AuthMethod, EncapsulationMode, Encryption,
    EspTransform, Group, Hash, IpcompTransform, IpsecAttribute, IpsecAttributes, LifeType, Lifetimes, NoSpace,
    OakleyAttributes, ProtocolId, Quirks, TransformId,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm, KeyError, KeyLengths, SuiteKeys};

/// Encryption algorithms of phase 1 that are implemented.
const PHASE_1: &[(Encryption, CipherAlgorithm)] = &[
    //= RFC 2409 4/9
    //# MUST: des-cbc with a check for weak and semi-weak keys is supported
    (Encryption::DES_CBC, CipherAlgorithm::DesCbc),
    //= RFC 2409 4/13
    //# SHOULD: 3des is supported
    (Encryption::TRIPLE_DES_CBC, CipherAlgorithm::TripleDesCbc),
    (Encryption::BLOWFISH_CBC, CipherAlgorithm::BlowfishCbc),
    (Encryption::CAST_CBC, CipherAlgorithm::Cast128Cbc),
    (Encryption::AES_CBC, CipherAlgorithm::AesCbc),
];

/// Hash algorithms of phase 1 that are implemented.
const HASHES: &[(Hash, HashFunction)] = &[
    //= RFC 2409 4/10
    //# MUST: md5 and sha are supported
    #[cfg(feature = "legacy")]
    (Hash::MD5, HashFunction::Md5),
    //= RFC 2409 4/10
    //# MUST: md5 and sha are supported
    (Hash::SHA1, HashFunction::Sha1),
    #[cfg(feature = "modern")]
    (Hash::SHA2_256, HashFunction::Sha2_256),
    #[cfg(feature = "modern")]
    (Hash::SHA2_384, HashFunction::Sha2_384),
    #[cfg(feature = "modern")]
    (Hash::SHA2_512, HashFunction::Sha2_512),
];

/// ESP transforms that are implemented.
//= RFC 4303 1/1
//# MUST: integrity-only offered as a choice, also when keys are negotiated
const ESP: &[(EspTransform, CipherAlgorithm)] = &[
    //= RFC 2407 4.4.4.2/1
    //# MUST: esp_des with hmac-md5 is supported
    (EspTransform::DES, CipherAlgorithm::DesCbc),
    (EspTransform::TRIPLE_DES, CipherAlgorithm::TripleDesCbc),
    (EspTransform::CAST, CipherAlgorithm::Cast128Cbc),
    (EspTransform::BLOWFISH, CipherAlgorithm::BlowfishCbc),
    //= RFC 2407 4.4.4.11/1
    //# MUST: esp_null is supported
    (EspTransform::NULL, CipherAlgorithm::Null),
    (EspTransform::AES_CBC, CipherAlgorithm::AesCbc),
    (EspTransform::AES_CTR, CipherAlgorithm::AesCtr),
    (EspTransform::AES_CCM_8, CipherAlgorithm::AesCcm8),
    (EspTransform::AES_CCM_12, CipherAlgorithm::AesCcm12),
    (EspTransform::AES_CCM_16, CipherAlgorithm::AesCcm16),
    (EspTransform::AES_GCM_8, CipherAlgorithm::AesGcm8),
    (EspTransform::AES_GCM_12, CipherAlgorithm::AesGcm12),
    (EspTransform::AES_GCM_16, CipherAlgorithm::AesGcm16),
    (EspTransform::NULL_AUTH_AES_GMAC, CipherAlgorithm::NullAesGmac),
    (EspTransform::CHACHA20_POLY1305, CipherAlgorithm::ChaCha20Poly1305),
];

/// Authentication algorithms of ESP and AH, and the corresponding AH transforms. [`PeerDefaults`] selects the
/// truncation of HMAC-SHA2-256.
const AUTH: &[(AuthAlgorithm, AhTransform, IntegrityAlgorithm)] = &[
    //= RFC 2407 4.4.3.1/1
    //# MUST: ah_md5 with hmac-md5 is supported
    (AuthAlgorithm::HMAC_MD5, AhTransform::MD5, IntegrityAlgorithm::HmacMd5_96),
    //= RFC 2407 4.4.3.2/1
    //# MUST: ah_sha with hmac-sha is supported
    (AuthAlgorithm::HMAC_SHA1, AhTransform::SHA, IntegrityAlgorithm::HmacSha1_96),
    (AuthAlgorithm::HMAC_SHA2_256, AhTransform::SHA2_256, IntegrityAlgorithm::HmacSha2_256_128),
    (AuthAlgorithm::HMAC_SHA2_384, AhTransform::SHA2_384, IntegrityAlgorithm::HmacSha2_384_192),
    (AuthAlgorithm::HMAC_SHA2_512, AhTransform::SHA2_512, IntegrityAlgorithm::HmacSha2_512_256),
    (AuthAlgorithm::HMAC_RIPEMD, AhTransform::RIPEMD, IntegrityAlgorithm::HmacRipemd160_96),
    (AuthAlgorithm::AES_XCBC_MAC, AhTransform::AES_XCBC_MAC, IntegrityAlgorithm::AesXcbcMac96),
    (AuthAlgorithm::AES_128_GMAC, AhTransform::AES_128_GMAC, IntegrityAlgorithm::AesGmac),
    (AuthAlgorithm::AES_192_GMAC, AhTransform::AES_192_GMAC, IntegrityAlgorithm::AesGmac),
    (AuthAlgorithm::AES_256_GMAC, AhTransform::AES_256_GMAC, IntegrityAlgorithm::AesGmac),
    (AuthAlgorithm::AES_CMAC, AhTransform::KEYED_SHA, IntegrityAlgorithm::AesCmac96),
    (AuthAlgorithm::HMAC_SHA2_256_96, AhTransform::SHA2_256_TRUNCATED, IntegrityAlgorithm::HmacSha2_256_96),
];

/// Values that a peer assumes when a proposal does not contain them (RFC 2451 section 2.2, RFC 4868 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerDefaults {
    /// Key length in bits of Blowfish in ESP without a key length attribute.
    pub blowfish_bits: u16,
    /// Key length in bits of Blowfish in phase 1 without a key length attribute.
    pub phase_1_blowfish_bits: u16,
    /// Set if HMAC-SHA2-256 is truncated to 96 bits, as by KAME and by Linux under PF_KEY, instead of 128.
    pub sha2_256_at_96: bool,
}

impl PeerDefaults {
    /// Defaults of the RFCs: Blowfish with 128 bits (RFC 2451 section 2.2), in phase 1 with 448 (RFC 2409 appendix B),
    /// HMAC-SHA2-256 truncated to 128 bits (RFC 4868).
    pub const RFC: Self = Self { blowfish_bits: 128, phase_1_blowfish_bits: 448, sha2_256_at_96: false };
    /// Defaults of racoon over KAME: Blowfish with 448 bits, HMAC-SHA2-256 truncated to 96 bits.
    pub const RACOON: Self = Self { blowfish_bits: 448, sha2_256_at_96: true, ..Self::RFC };

    /// Selects the defaults that the vendor IDs of a peer suggest.
    pub const fn of(quirks: &Quirks) -> Self {
        if quirks.racoon { Self::RACOON } else { Self::RFC }
    }
}

/// Error for a transform that cannot be chosen (RFC 2408 section 5.6, RFC 2407 section 4.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposalError {
    /// The attributes are invalid or contradict each other.
    Attributes(AttributeError),
    /// The mandatory attribute of this type is missing.
    Missing(u16),
    /// The encryption algorithm of phase 1 is not supported.
    Encryption(Encryption),
    /// The hash algorithm is not supported.
    Hash(Hash),
    /// A prf was negotiated by number, but no numbers are assigned.
    Prf(u16),
    /// The protocol is not AH, ESP or IPComp in phase 2, or not ISAKMP in phase 1.
    Protocol(ProtocolId),
    /// The transform ID is not supported.
    Transform(TransformId),
    /// The authentication algorithm is not supported, is not valid for the transform, or is missing (`None`).
    Auth(Option<AuthAlgorithm>),
    /// The attribute of this type, or its value, is not supported: the SA must not be established (RFC 2407 section
    /// 4.5.3).
    Attribute(u16),
    /// The key length is not valid for the algorithm.
    KeyLength {
        /// Negotiated key length in bits.
        bits: u16,
    },
}

impl fmt::Display for ProposalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attributes(e) => fmt::Display::fmt(e, f),
            Self::Missing(kind) => write!(f, "mandatory attribute {kind} is missing"),
            Self::Encryption(algorithm) => write!(f, "encryption algorithm {algorithm} is not supported"),
            Self::Hash(algorithm) => write!(f, "hash algorithm {algorithm} is not supported"),
            Self::Prf(number) => write!(f, "PRF {number} is not supported"),
            Self::Protocol(protocol) => {
                write!(f, "protocol: got {protocol}, expected ISAKMP in phase 1, and AH, ESP or IPComp in phase 2")
            }
            Self::Transform(id) => write!(f, "transform {} is not supported", id.0),
            Self::Auth(Some(algorithm)) => {
                write!(f, "authentication algorithm {algorithm} is not valid for this transform")
            }
            Self::Auth(None) => f.write_str("authentication algorithm is missing"),
            Self::Attribute(kind) => write!(f, "attribute {kind} is not supported"),
            Self::KeyLength { bits } => write!(f, "key length of {bits} bits is not valid for this algorithm"),
        }
    }
}

impl core::error::Error for ProposalError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Attributes(e) => Some(e),
            _ => None,
        }
    }
}

impl From<AttributeError> for ProposalError {
    fn from(e: AttributeError) -> Self {
        Self::Attributes(e)
    }
}

/// Algorithms and parameters of an ISAKMP transform (RFC 2409 section 4 and appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phase1Choice {
    /// Cipher that encrypts messages.
    pub cipher: CipherAlgorithm,
    /// Length of the cipher key in octets.
    pub cipher_key: usize,
    /// Hash algorithm of IVs and NAT-D; the prf is HMAC with it.
    pub hash: HashFunction,
    /// Authentication method of phase 1.
    pub auth_method: AuthMethod,
    /// Diffie-Hellman group of phase 1.
    pub group: Group,
    /// Lifetimes in seconds and kilobytes.
    pub lifetimes: Lifetimes,
}

impl Phase1Choice {
    /// Creates the algorithms and parameters of an offer, with the default key length of the cipher and without
    /// lifetimes.
    pub fn new(cipher: CipherAlgorithm, hash: HashFunction, auth_method: AuthMethod, group: Group) -> Self {
        let cipher_key = cipher.row().map_or(0, |row| row.default_key);
        Self { cipher, cipher_key, hash, auth_method, group, lifetimes: Lifetimes::default() }
    }

    /// Sets the length of the cipher key in octets.
    #[must_use]
    pub const fn with_cipher_key(self, octets: usize) -> Self {
        Self { cipher_key: octets, ..self }
    }

    /// Sets the lifetimes of the SA.
    #[must_use]
    pub const fn with_lifetimes(self, lifetimes: Lifetimes) -> Self {
        Self { lifetimes, ..self }
    }

    /// Writes the attributes of an ISAKMP transform (RFC 2409 appendix A), so that [`read`](Self::read) returns this
    /// choice. The key length is written for ciphers of variable key length only.
    ///
    /// # Errors
    /// [`NoSpace`], also for an algorithm without a number in phase 1 and a lifetime above 2^32 - 1.
    pub fn write(&self, attributes: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        use ike_codec::OakleyAttribute as Kind;
        let encryption = encryption_number(self.cipher).ok_or(NoSpace)?;
        attributes.basic(Kind::ENCRYPTION.0, encryption.0)?;
        write_key_length(attributes, Kind::KEY_LENGTH.0, self.cipher, self.cipher_key)?;
        attributes.basic(Kind::HASH.0, hash_number(self.hash).ok_or(NoSpace)?.0)?;
        attributes.basic(Kind::AUTH_METHOD.0, self.auth_method.0)?;
        attributes.basic(Kind::GROUP.0, self.group.0)?;
        write_lifetimes(attributes, (Kind::LIFE_TYPE.0, Kind::LIFE_DURATION.0), &self.lifetimes)
    }

    /// Decodes the attributes of an ISAKMP transform (RFC 2409 appendix A).
    ///
    /// # Errors
    /// [`ProposalError`] for a transform that cannot be chosen.
    //= RFC 2407 4.4.1.1/1
    //# MUST: proto_isakmp is supported
    pub fn read(attributes: &Attributes<'_>, defaults: &PeerDefaults) -> Result<Self, ProposalError> {
        use ike_codec::OakleyAttribute as Kind;
        let seen = OakleyAttributes::read(attributes)?;
        let missing = |kind: Kind| ProposalError::Missing(kind.0);
        //= RFC 2409 4/5
        //# MUST: cipher, hash, authentication method and group are negotiated
        let encryption = seen.encryption.ok_or(missing(Kind::ENCRYPTION))?;
        let row = PHASE_1.iter().find(|(wire, _)| *wire == encryption);
        let &(_, cipher) = row.ok_or(ProposalError::Encryption(encryption))?;
        let hash = seen.hash.ok_or(missing(Kind::HASH))?;
        //= RFC 2408 5.11/3
        //# MUST: receiving: a message of a hash that is not supported is discarded
        let &(_, hash) = HASHES.iter().find(|(wire, _)| *wire == hash).ok_or(ProposalError::Hash(hash))?;
        // Only assigned groups are supported; described groups are used in new group mode. The GSS-API identity is used
        // by its authentication method and is ignored here.
        let described = [
            (seen.group_prime, Kind::GROUP_PRIME),
            (seen.group_generator, Kind::GROUP_GENERATOR_ONE),
            (seen.group_generator_two, Kind::GROUP_GENERATOR_TWO),
            (seen.group_curve_a, Kind::GROUP_CURVE_A),
            (seen.group_curve_b, Kind::GROUP_CURVE_B),
            (seen.group_order, Kind::GROUP_ORDER),
        ];
        let described = described.iter().find(|(value, _)| value.is_some()).map(|(_, kind)| kind.0);
        //= RFC 2409 4/8
        //# MUST NOT: a group that is named is not described as well
        if let Some(kind) = seen.other.or(described) {
            return Err(ProposalError::Attribute(kind));
        }
        let defaults = &PeerDefaults { blowfish_bits: defaults.phase_1_blowfish_bits, ..*defaults };
        if let Some(prf) = seen.prf {
            return Err(ProposalError::Prf(prf));
        }
        Ok(Self {
            cipher,
            cipher_key: key_octets(cipher, seen.key_length, defaults)?,
            hash,
            //= RFC 2409 4/5
            //# MUST: cipher, hash, authentication method and group are negotiated
            auth_method: seen.auth_method.ok_or(missing(Kind::AUTH_METHOD))?,
            //= RFC 2409 4/7
            //# MUST: a group is named, or described by all its attributes
            group: seen.group.ok_or(missing(Kind::GROUP))?,
            lifetimes: seen.lifetimes,
        })
    }

    /// Decodes the attributes of a recorded transform on which the keys of its SA depend. Others may have any value and
    /// order: the peers agreed on them. A missing group or authentication method is zero.
    pub(crate) fn recorded(attributes: &Attributes<'_>, defaults: &PeerDefaults) -> Result<Self, ProposalError> {
        use ike_codec::OakleyAttribute as Kind;
        let value = |kind: Kind| {
            let number = attributes.iter().find(|attribute| attribute.kind == kind.0)?.number()?;
            u16::try_from(number).ok()
        };
        let missing = |kind: Kind| ProposalError::Missing(kind.0);
        let encryption = Encryption(value(Kind::ENCRYPTION).ok_or(missing(Kind::ENCRYPTION))?);
        let row = PHASE_1.iter().find(|(wire, _)| *wire == encryption);
        let &(_, cipher) = row.ok_or(ProposalError::Encryption(encryption))?;
        let hash = Hash(value(Kind::HASH).ok_or(missing(Kind::HASH))?);
        let &(_, hash) = HASHES.iter().find(|(wire, _)| *wire == hash).ok_or(ProposalError::Hash(hash))?;
        let defaults = &PeerDefaults { blowfish_bits: defaults.phase_1_blowfish_bits, ..*defaults };
        // A cipher of one key length needs no attribute, and some peers send one of their own.
        let is_fixed = cipher.row().is_some_and(|row| row.keys.min == row.keys.max);
        let key_length = value(Kind::KEY_LENGTH).filter(|_| !is_fixed);
        Ok(Self {
            cipher,
            cipher_key: key_octets(cipher, key_length, defaults)?,
            hash,
            auth_method: AuthMethod(value(Kind::AUTH_METHOD).unwrap_or(0)),
            group: Group(value(Kind::GROUP).unwrap_or(0)),
            lifetimes: Lifetimes::default(),
        })
    }
}

/// Algorithms and parameters of a transform of phase 2 (RFC 2407 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phase2Choice {
    /// Protocol of the SA: AH, ESP or IPComp.
    pub protocol: ProtocolId,
    /// Algorithms and the lengths of their keys.
    pub suite: Phase2Suite,
    /// Tunnel or transport mode, with or without UDP encapsulation; `None` leaves the choice to the responder (RFC 2407
    /// section 4.5).
    pub encapsulation: Option<EncapsulationMode>,
    /// Diffie-Hellman group for perfect forward secrecy.
    pub group: Option<Group>,
    /// Set for extended sequence numbers of 64 bits (RFC 4304).
    pub extended_sequence: bool,
    /// Lifetimes in seconds and kilobytes.
    pub lifetimes: Lifetimes,
}

/// Algorithms of an AH, ESP or IPComp transform (RFC 2407 sections 4.4.3 and 4.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase2Suite {
    /// Cipher and integrity algorithm with the lengths of their keys; the cipher of AH is NULL.
    Keyed {
        /// Cipher or AEAD algorithm.
        cipher: CipherAlgorithm,
        /// Length of the cipher key in octets, including its salt or nonce.
        cipher_key: usize,
        /// Integrity algorithm; none for an AEAD.
        integrity: IntegrityAlgorithm,
        /// Length of the integrity key in octets, including its salt.
        integrity_key: usize,
    },
    /// Compression algorithm of IPComp, which has no keys.
    Compression(IpcompTransform),
}

impl Phase2Choice {
    /// Creates the algorithms and parameters of an offer for ESP, AH or IPComp, without a group and lifetimes.
    pub fn new(protocol: ProtocolId, suite: Phase2Suite, encapsulation: EncapsulationMode) -> Self {
        Self {
            protocol,
            suite,
            encapsulation: Some(encapsulation),
            group: None,
            extended_sequence: false,
            lifetimes: Lifetimes::default(),
        }
    }

    /// Sets the group of perfect forward secrecy.
    #[must_use]
    pub const fn with_group(self, group: Group) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Offers extended sequence numbers (RFC 4304).
    #[must_use]
    pub const fn with_extended_sequence(self) -> Self {
        Self { extended_sequence: true, ..self }
    }

    /// Sets the lifetimes of the SA.
    #[must_use]
    pub const fn with_lifetimes(self, lifetimes: Lifetimes) -> Self {
        Self { lifetimes, ..self }
    }

    /// Returns the transform ID of the choice, `None` for algorithms without one (RFC 2407 sections 4.4.3 to 4.4.5).
    pub fn transform_id(&self) -> Option<TransformId> {
        Some(TransformId(match (self.protocol, self.suite) {
            (ProtocolId::ESP, Phase2Suite::Keyed { cipher, .. }) => esp_number(cipher)?.0,
            (ProtocolId::AH, Phase2Suite::Keyed { integrity, integrity_key, .. }) => {
                auth_numbers(integrity, integrity_key)?.1.0
            }
            (ProtocolId::IPCOMP, Phase2Suite::Compression(id)) => id.0,
            _ => return None,
        }))
    }

    /// Writes the attributes of a transform of phase 2 (RFC 2407 section 4.5), so that [`read`](Self::read) with the
    /// [`transform_id`](Self::transform_id) returns this choice.
    ///
    /// # Errors
    /// [`NoSpace`], also for an algorithm without a number and a lifetime above 2^32 - 1.
    pub fn write(&self, attributes: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        use IpsecAttribute as Kind;
        write_lifetimes(attributes, (Kind::LIFE_TYPE.0, Kind::LIFE_DURATION.0), &self.lifetimes)?;
        if let Some(mode) = self.encapsulation {
            attributes.basic(Kind::ENCAPSULATION_MODE.0, mode.0)?;
        }
        if let Some(group) = self.group {
            attributes.basic(Kind::GROUP.0, group.0)?;
        }
        if let Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key } = self.suite {
            if integrity != IntegrityAlgorithm::None {
                let (auth, _) = auth_numbers(integrity, integrity_key).ok_or(NoSpace)?;
                attributes.basic(Kind::AUTH_ALGORITHM.0, auth.0)?;
            }
            if self.protocol == ProtocolId::ESP {
                write_key_length(attributes, Kind::KEY_LENGTH.0, cipher, cipher_key)?;
            }
        }
        if self.extended_sequence {
            attributes.basic(Kind::EXTENDED_SEQUENCE.0, 1)?;
        }
        Ok(())
    }

    /// Writes the lifetimes only, as in RESPONDER-LIFETIME (RFC 2407 section 4.6.3.1).
    ///
    /// # Errors
    /// [`NoSpace`], also for a lifetime above 2^32 - 1.
    pub fn write_lifetimes(&self, attributes: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        let types = (IpsecAttribute::LIFE_TYPE.0, IpsecAttribute::LIFE_DURATION.0);
        write_lifetimes(attributes, types, &self.lifetimes)
    }

    /// Decodes a transform of a proposal for `protocol` (RFC 2407 section 4.5).
    ///
    /// # Errors
    /// [`ProposalError`] for a transform that cannot be chosen.
    pub fn read(
        protocol: ProtocolId,
        id: TransformId,
        attributes: &Attributes<'_>,
        defaults: &PeerDefaults,
    ) -> Result<Self, ProposalError> {
        let seen = IpsecAttributes::read(attributes)?;
        //= RFC 2407 4.5.3/2
        //# MUST: and abort the association
        if let Some(kind) = unsupported(&seen) {
            return Err(ProposalError::Attribute(kind));
        }
        let suite = match protocol {
            ProtocolId::ESP => esp(id, &seen, defaults)?,
            ProtocolId::AH => ah(id, &seen, defaults)?,
            //= RFC 3173 4.1/8
            //# MUST NOT: a proposal is not rejected for lack of attributes of other protocols
            ProtocolId::IPCOMP => compression(id)?,
            //= RFC 2408 5.5/4
            //# MUST: receiving: a proposal of an invalid protocol is discarded
            other => return Err(ProposalError::Protocol(other)),
        };
        Ok(Self {
            protocol,
            suite,
            //= RFC 2407 4.5/4
            //# MUST: without an encapsulation mode the host decides
            encapsulation: seen.encapsulation,
            group: seen.group,
            extended_sequence: seen.extended_sequence == Some(1),
            lifetimes: seen.lifetimes,
        })
    }
}

impl Phase2Suite {
    /// Returns the length in octets of KEYMAT for one SA (RFC 2409 section 5.5).
    pub const fn keymat_len(&self) -> usize {
        match self {
            Self::Keyed { cipher_key, integrity_key, .. } => cipher_key.saturating_add(*integrity_key),
            Self::Compression(_) => 0,
        }
    }

    /// Splits KEYMAT into the cipher key, which comes first, and the integrity key (RFC 2409 section 5.5).
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for IPComp; [`KeyError::Length`] when the length is not
    /// [`keymat_len`](Self::keymat_len).
    //= RFC 2409 B/2
    //# MUST: a service derives a suitable key from the keying material
    pub fn split(&self, keymat: &[u8]) -> Result<SuiteKeys, KeyError> {
        let &Self::Keyed { cipher, cipher_key, integrity, .. } = self else { return Err(KeyError::Unsupported) };
        KeyLengths::exactly(self.keymat_len()).check(keymat)?;
        let (cipher_key, integrity_key) = keymat.split_at_checked(cipher_key).unwrap_or_default();
        SuiteKeys::new(cipher, cipher_key, integrity, integrity_key)
    }
}

/// Returns the type of the first attribute that is not supported. ECN in tunnels and security contexts are left to the
/// policy.
fn unsupported(seen: &IpsecAttributes<'_>) -> Option<u16> {
    let unsupported_attributes = [
        (seen.key_rounds.is_some(), IpsecAttribute::KEY_ROUNDS),
        (seen.compress_dictionary_size.is_some(), IpsecAttribute::COMPRESS_DICTIONARY_SIZE),
        (seen.compress_private_algorithm.is_some(), IpsecAttribute::COMPRESS_PRIVATE_ALGORITHM),
        (seen.signature_encoding.is_some(), IpsecAttribute::SIGNATURE_ENCODING),
        (seen.address_preservation.is_some(), IpsecAttribute::ADDRESS_PRESERVATION),
        (seen.direction.is_some(), IpsecAttribute::DIRECTION),
        (seen.extended_sequence.is_some_and(|value| value > 1), IpsecAttribute::EXTENDED_SEQUENCE),
    ];
    unsupported_attributes.iter().find(|(is_present, _)| *is_present).map(|(_, kind)| kind.0).or(seen.other)
}

fn esp(id: TransformId, seen: &IpsecAttributes<'_>, defaults: &PeerDefaults) -> Result<Phase2Suite, ProposalError> {
    //= RFC 2408 5.6/3
    //# MUST: receiving: whether a transform is supported is determined
    let row = ESP.iter().find(|(wire, _)| wire.0 == id.0).ok_or(ProposalError::Transform(id))?;
    let cipher = row.1;
    let cipher_key = key_octets(cipher, seen.key_length, defaults)?;
    let is_aead = cipher.row().is_some_and(|row| row.icv != 0);
    let (integrity, integrity_key) = match (is_aead, seen.auth_algorithm) {
        (true, None) => (IntegrityAlgorithm::None, 0),
        //= RFC 2407 4.4.4/1, 4.5/6
        //# MUST: a transform of ESP that authenticates has an authentication algorithm attribute
        //# MUST: ESP without confidentiality has that attribute, and is esp_null
        (true, some) | (false, some @ None) => return Err(ProposalError::Auth(some)),
        (false, Some(wire)) => {
            let row = AUTH.iter().find(|row| row.0 == wire).ok_or(ProposalError::Auth(Some(wire)))?;
            if row.2 == IntegrityAlgorithm::AesGmac {
                return Err(ProposalError::Auth(Some(wire)));
            }
            integrity_key(row, defaults)
        }
    };
    Ok(Phase2Suite::Keyed { cipher, cipher_key, integrity, integrity_key })
}

fn ah(id: TransformId, seen: &IpsecAttributes<'_>, defaults: &PeerDefaults) -> Result<Phase2Suite, ProposalError> {
    let row = AUTH.iter().find(|row| row.1.0 == id.0).ok_or(ProposalError::Transform(id))?;
    // RFC 2407 section 4.4.3: the attribute is mandatory and names the same algorithm as the transform.
    //= RFC 2407 4.4.3/1
    //# MUST: a transform of AH has an authentication algorithm attribute
    if seen.auth_algorithm != Some(row.0) {
        return Err(ProposalError::Auth(seen.auth_algorithm));
    }
    let (integrity, integrity_key) = integrity_key(row, defaults);
    //= RFC 2407 4.4.1.2/1
    //# MUST NOT: transforms of AH give no confidentiality
    Ok(Phase2Suite::Keyed { cipher: CipherAlgorithm::Null, cipher_key: 0, integrity, integrity_key })
}

fn compression(id: TransformId) -> Result<Phase2Suite, ProposalError> {
    match IpcompTransform(id.0) {
        known @ (IpcompTransform::DEFLATE | IpcompTransform::LZS) => Ok(Phase2Suite::Compression(known)),
        _ => Err(ProposalError::Transform(id)),
    }
}

fn integrity_key(
    row: &(AuthAlgorithm, AhTransform, IntegrityAlgorithm),
    defaults: &PeerDefaults,
) -> (IntegrityAlgorithm, usize) {
    let algorithm = match row.2 {
        IntegrityAlgorithm::HmacSha2_256_128 if defaults.sha2_256_at_96 => IntegrityAlgorithm::HmacSha2_256_96,
        other => other,
    };
    let octets = match row.0 {
        AuthAlgorithm::AES_192_GMAC => 28,
        AuthAlgorithm::AES_256_GMAC => 36,
        _ => algorithm.row().map_or(0, |row| row.default_key),
    };
    (algorithm, octets)
}

/// Returns the length in octets of a cipher key in KEYMAT, including its salt. The key length attribute counts the bits
/// of the key without the salt.
fn key_octets(cipher: CipherAlgorithm, bits: Option<u16>, defaults: &PeerDefaults) -> Result<usize, ProposalError> {
    let row = cipher.row().ok_or(ProposalError::KeyLength { bits: 0 })?;
    let bits = match (bits, cipher) {
        (Some(bits), _) => bits,
        (None, CipherAlgorithm::BlowfishCbc) => defaults.blowfish_bits,
        (None, _) => return Ok(row.default_key),
    };
    let wrong = ProposalError::KeyLength { bits };
    let octets = usize::from(bits / 8).checked_add(row.salt).ok_or(wrong)?;
    if bits.is_multiple_of(8) && row.keys.allow(octets) { Ok(octets) } else { Err(wrong) }
}

/// Writes the key length of a cipher in bits, without the salt, unless the cipher has one key length only.
fn write_key_length(
    attributes: &mut AttributeWriter<'_>,
    kind: u16,
    cipher: CipherAlgorithm,
    octets: usize,
) -> Result<(), NoSpace> {
    let row = cipher.row().ok_or(NoSpace)?;
    if row.keys.min == row.keys.max {
        return Ok(());
    }
    let bits = octets.checked_sub(row.salt).and_then(|octets| u16::try_from(octets.checked_mul(8)?).ok());
    attributes.basic(kind, bits.ok_or(NoSpace)?)
}

/// Writes life types and durations of four octets each.
fn write_lifetimes(
    attributes: &mut AttributeWriter<'_>,
    types: (u16, u16),
    lifetimes: &Lifetimes,
) -> Result<(), NoSpace> {
    for (unit, duration) in [(LifeType::SECONDS, lifetimes.seconds), (LifeType::KILOBYTES, lifetimes.kilobytes)] {
        if let Some(duration) = duration {
            attributes.lifetime(types, unit.0, u32::try_from(duration).map_err(|_| NoSpace)?)?;
        }
    }
    Ok(())
}

/// Returns the number of a hash algorithm in phase 1 (RFC 2409 appendix A).
pub fn hash_number(hash: HashFunction) -> Option<Hash> {
    HASHES.iter().find(|row| row.1 == hash).map(|row| row.0)
}

/// Returns the number of an encryption algorithm in phase 1, `None` if it has none (RFC 2409 appendix A).
pub fn encryption_number(cipher: CipherAlgorithm) -> Option<Encryption> {
    PHASE_1.iter().find(|row| row.1 == cipher).map(|row| row.0)
}

/// Returns the ESP transform ID of a cipher (RFC 2407 section 4.4.4).
pub fn esp_number(cipher: CipherAlgorithm) -> Option<EspTransform> {
    ESP.iter().find(|row| row.1 == cipher).map(|row| row.0)
}

/// Returns the numbers of an integrity algorithm as an authentication algorithm attribute and as an AH transform (RFC
/// 2407 sections 4.4.3 and 4.5). HMAC-SHA2-256-96 has the number of HMAC-SHA2-256, as for all peers except libreswan.
/// `key` is the key length in octets, including the salt; it selects the number of GMAC.
pub fn auth_numbers(integrity: IntegrityAlgorithm, key: usize) -> Option<(AuthAlgorithm, AhTransform)> {
    let wire = match (integrity, key) {
        (IntegrityAlgorithm::HmacSha2_256_96, _) => AuthAlgorithm::HMAC_SHA2_256,
        (IntegrityAlgorithm::AesGmac, 28) => AuthAlgorithm::AES_192_GMAC,
        (IntegrityAlgorithm::AesGmac, 36) => AuthAlgorithm::AES_256_GMAC,
        _ => AUTH.iter().find(|row| row.2 == integrity)?.0,
    };
    AUTH.iter().find(|row| row.0 == wire).map(|row| (row.0, row.1))
}
