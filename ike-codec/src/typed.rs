use core::fmt;

use crate::attribute::{Attribute, Attributes};
use crate::number::{
    AuthAlgorithm, AuthMethod, EcnTunnel, EncapsulationMode, Encryption, Group, GroupType, Hash, IpsecAttribute,
    LifeType, OakleyAttribute,
};

/// Invalid attribute, or invalid combination of attributes, of a transform (RFC 2407 sections 4.5 and 4.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AttributeError {
    /// Two attributes of this type have different values.
    Duplicate(u16),
    /// The value of the attribute of this type is out of range: empty, or wider than 16 bits (64 bits for lifetimes).
    OutOfRange(u16),
    /// A life duration has no life type, or a life type has no duration.
    UnpairedLifetime,
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(kind) => write!(f, "duplicate attribute {kind}"),
            Self::OutOfRange(kind) => write!(f, "value of attribute {kind} is out of range"),
            Self::UnpairedLifetime => {
                f.write_str("life type without life duration, or life duration without life type")
            }
        }
    }
}

impl core::error::Error for AttributeError {}

/// Lifetimes of a transform (RFC 2407 section 4.5, RFC 2409 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lifetimes {
    /// Lifetime in seconds; the default is 28,800 when neither peer sends one (RFC 2407 section 4.5).
    pub seconds: Option<u64>,
    /// Lifetime in kilobytes of protected traffic.
    pub kilobytes: Option<u64>,
    /// Lifetime of another life type.
    pub other: Option<(LifeType, u64)>,
}

/// Pairs life types with durations: the type precedes its duration, but the reverse order is accepted as well.
#[derive(Default)]
struct Pairing {
    life_type: Option<LifeType>,
    duration: Option<u64>,
    lifetimes: Lifetimes,
}

impl Pairing {
    fn life_type(&mut self, attribute: &Attribute<'_>) -> Result<(), AttributeError> {
        set(&mut self.life_type, attribute.kind, LifeType(short(attribute)?))?;
        self.pair(attribute.kind)
    }

    fn duration(&mut self, attribute: &Attribute<'_>) -> Result<(), AttributeError> {
        let value = attribute.number().ok_or(AttributeError::OutOfRange(attribute.kind))?;
        set(&mut self.duration, attribute.kind, value)?;
        self.pair(attribute.kind)
    }

    //= RFC 2407 4.5.2/1
    //# MUST: attributes may come several times, as long as they do not conflict
    fn pair(&mut self, kind: u16) -> Result<(), AttributeError> {
        let (Some(life_type), Some(duration)) = (self.life_type, self.duration) else { return Ok(()) };
        (self.life_type, self.duration) = (None, None);
        match life_type {
            LifeType::SECONDS => set(&mut self.lifetimes.seconds, kind, duration),
            LifeType::KILOBYTES => set(&mut self.lifetimes.kilobytes, kind, duration),
            other => set(&mut self.lifetimes.other, kind, (other, duration)),
        }
    }

    fn finish(self) -> Result<Lifetimes, AttributeError> {
        match (self.life_type, self.duration) {
            (None, None) => Ok(self.lifetimes),
            _ => Err(AttributeError::UnpairedLifetime),
        }
    }
}

/// Attributes of an ISAKMP transform (RFC 2409 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OakleyAttributes<'a> {
    /// Encryption algorithm of the ISAKMP SA.
    pub encryption: Option<Encryption>,
    /// Key length in bits, for ciphers of variable key length.
    pub key_length: Option<u16>,
    /// Hash algorithm of the ISAKMP SA.
    pub hash: Option<Hash>,
    /// Number of the prf, when it is not HMAC with the hash algorithm.
    pub prf: Option<u16>,
    /// Authentication method of the exchange.
    pub auth_method: Option<AuthMethod>,
    /// Diffie-Hellman group, by its assigned number.
    pub group: Option<Group>,
    /// Type of a group that is described by the following attributes.
    pub group_type: Option<GroupType>,
    /// Prime or irreducible polynomial of the described group.
    pub group_prime: Option<&'a [u8]>,
    /// Generator of the described group.
    pub group_generator: Option<&'a [u8]>,
    /// Second generator of a described curve.
    pub group_generator_two: Option<&'a [u8]>,
    /// Coefficient A of a described curve.
    pub group_curve_a: Option<&'a [u8]>,
    /// Coefficient B of a described curve.
    pub group_curve_b: Option<&'a [u8]>,
    /// Order of the described group.
    pub group_order: Option<&'a [u8]>,
    /// Size of a field element in bits.
    pub field_size: Option<u16>,
    /// Block size of the cipher in bits.
    pub block_size: Option<u16>,
    /// GSS-API identity as sent by Windows, UTF-16 in little-endian order.
    pub gss_id: Option<&'a [u8]>,
    /// Lifetimes in seconds and kilobytes.
    pub lifetimes: Lifetimes,
    /// Type of the first attribute that is not listed above.
    pub other: Option<u16>,
}

impl<'a> OakleyAttributes<'a> {
    /// Decodes the attributes, in basic or variable encoding and in any order.
    ///
    /// # Errors
    /// Returns [`AttributeError`] for attributes that conflict, a value out of range or an unpaired lifetime.
    pub fn read(attributes: &Attributes<'a>) -> Result<Self, AttributeError> {
        let (mut this, mut numbers, mut pairing) = (Self::default(), Numbers::default(), Pairing::default());
        for a in attributes {
            match OakleyAttribute(a.kind) {
                OakleyAttribute::ENCRYPTION
                | OakleyAttribute::KEY_LENGTH
                | OakleyAttribute::HASH
                | OakleyAttribute::PRF
                | OakleyAttribute::AUTH_METHOD
                | OakleyAttribute::GROUP
                | OakleyAttribute::GROUP_TYPE
                | OakleyAttribute::FIELD_SIZE
                | OakleyAttribute::BLOCK_SIZE => numbers.set(&a)?,
                OakleyAttribute::LIFE_TYPE => pairing.life_type(&a)?,
                OakleyAttribute::LIFE_DURATION => pairing.duration(&a)?,
                kind => match (kind, a.bytes()) {
                    (OakleyAttribute::GROUP_PRIME, Some(b)) => set(&mut this.group_prime, a.kind, b)?,
                    (OakleyAttribute::GROUP_GENERATOR_ONE, Some(b)) => set(&mut this.group_generator, a.kind, b)?,
                    (OakleyAttribute::GROUP_GENERATOR_TWO, Some(b)) => {
                        set(&mut this.group_generator_two, a.kind, b)?;
                    }
                    (OakleyAttribute::GROUP_CURVE_A, Some(b)) => set(&mut this.group_curve_a, a.kind, b)?,
                    (OakleyAttribute::GROUP_CURVE_B, Some(b)) => set(&mut this.group_curve_b, a.kind, b)?,
                    (OakleyAttribute::GROUP_ORDER, Some(b)) => set(&mut this.group_order, a.kind, b)?,
                    (OakleyAttribute::GSS_ID | OakleyAttribute::GSS_ID_WINDOWS, Some(b)) => {
                        set(&mut this.gss_id, a.kind, b)?;
                    }
                    _ => this.other = this.other.or(Some(a.kind)),
                },
            }
        }
        let number = |kind: OakleyAttribute| numbers.get(kind.0);
        this.encryption = number(OakleyAttribute::ENCRYPTION).map(Encryption);
        this.key_length = number(OakleyAttribute::KEY_LENGTH);
        this.hash = number(OakleyAttribute::HASH).map(Hash);
        this.prf = number(OakleyAttribute::PRF);
        this.auth_method = number(OakleyAttribute::AUTH_METHOD).map(AuthMethod);
        this.group = number(OakleyAttribute::GROUP).map(Group);
        this.group_type = number(OakleyAttribute::GROUP_TYPE).map(GroupType);
        this.field_size = number(OakleyAttribute::FIELD_SIZE);
        this.block_size = number(OakleyAttribute::BLOCK_SIZE);
        this.lifetimes = pairing.finish()?;
        Ok(this)
    }
}

/// Attributes of an AH, ESP or IPComp transform (RFC 2407 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IpsecAttributes<'a> {
    /// Lifetimes in seconds and kilobytes.
    pub lifetimes: Lifetimes,
    /// Diffie-Hellman group for perfect forward secrecy.
    pub group: Option<Group>,
    /// Tunnel or transport mode, with or without UDP encapsulation.
    pub encapsulation: Option<EncapsulationMode>,
    /// Integrity algorithm of ESP or AH.
    pub auth_algorithm: Option<AuthAlgorithm>,
    /// Key length of the cipher in bits.
    pub key_length: Option<u16>,
    /// Number of rounds of the cipher.
    pub key_rounds: Option<u16>,
    /// Dictionary size of the compression algorithm, as log2.
    pub compress_dictionary_size: Option<u16>,
    /// Compression algorithm of a vendor.
    pub compress_private_algorithm: Option<&'a [u8]>,
    /// Encoding of RSA signatures of ESP and AH (RFC 4359).
    pub signature_encoding: Option<u16>,
    /// Address preservation of multicast SAs (RFC 6407).
    pub address_preservation: Option<u16>,
    /// Direction of a multicast SA (RFC 6407).
    pub direction: Option<u16>,
    /// ECN in the tunnel. An older use of the same number, a security context of variable length, is reported in
    /// [`other`](Self::other).
    pub ecn: Option<EcnTunnel>,
    /// Extended sequence numbers (RFC 4304): 1 when they are used.
    pub extended_sequence: Option<u16>,
    /// Security context of labelled IPsec.
    pub security_context: Option<&'a [u8]>,
    /// Type of the first attribute that is not listed above.
    pub other: Option<u16>,
}

impl<'a> IpsecAttributes<'a> {
    /// Decodes the attributes, in basic or variable encoding and in any order.
    ///
    /// # Errors
    /// Returns [`AttributeError`] for attributes that conflict, a value out of range or an unpaired lifetime.
    pub fn read(attributes: &Attributes<'a>) -> Result<Self, AttributeError> {
        let (mut this, mut numbers, mut pairing) = (Self::default(), Numbers::default(), Pairing::default());
        for a in attributes {
            match IpsecAttribute(a.kind) {
                //= RFC 2407 4.5.1/1
                //# MUST: life type, life duration and authentication algorithm can be negotiated
                IpsecAttribute::LIFE_TYPE => pairing.life_type(&a)?,
                IpsecAttribute::LIFE_DURATION => pairing.duration(&a)?,
                IpsecAttribute::GROUP
                | IpsecAttribute::ENCAPSULATION_MODE
                | IpsecAttribute::AUTH_ALGORITHM
                | IpsecAttribute::KEY_LENGTH
                | IpsecAttribute::KEY_ROUNDS
                | IpsecAttribute::COMPRESS_DICTIONARY_SIZE
                | IpsecAttribute::SIGNATURE_ENCODING
                | IpsecAttribute::ADDRESS_PRESERVATION
                | IpsecAttribute::DIRECTION
                | IpsecAttribute::EXTENDED_SEQUENCE => numbers.set(&a)?,
                IpsecAttribute::ECN_TUNNEL if a.bytes().is_none_or(|b| b.len() == 2) => numbers.set(&a)?,
                kind => match (kind, a.bytes()) {
                    (IpsecAttribute::SECURITY_CONTEXT, Some(b)) => set(&mut this.security_context, a.kind, b)?,
                    (IpsecAttribute::COMPRESS_PRIVATE_ALGORITHM, Some(b)) => {
                        set(&mut this.compress_private_algorithm, a.kind, b)?;
                    }
                    _ => this.other = this.other.or(Some(a.kind)),
                },
            }
        }
        let number = |kind: IpsecAttribute| numbers.get(kind.0);
        this.group = number(IpsecAttribute::GROUP).map(Group);
        this.encapsulation = number(IpsecAttribute::ENCAPSULATION_MODE).map(EncapsulationMode);
        //= RFC 2407 4.5.1/1
        //# MUST: life type, life duration and authentication algorithm can be negotiated
        this.auth_algorithm = number(IpsecAttribute::AUTH_ALGORITHM).map(AuthAlgorithm);
        this.key_length = number(IpsecAttribute::KEY_LENGTH);
        this.key_rounds = number(IpsecAttribute::KEY_ROUNDS);
        this.compress_dictionary_size = number(IpsecAttribute::COMPRESS_DICTIONARY_SIZE);
        this.signature_encoding = number(IpsecAttribute::SIGNATURE_ENCODING);
        this.address_preservation = number(IpsecAttribute::ADDRESS_PRESERVATION);
        this.direction = number(IpsecAttribute::DIRECTION);
        this.ecn = number(IpsecAttribute::ECN_TUNNEL).map(EcnTunnel);
        this.extended_sequence = number(IpsecAttribute::EXTENDED_SEQUENCE);
        this.lifetimes = pairing.finish()?;
        Ok(this)
    }
}

/// Decodes a 16-bit number in basic or variable encoding.
fn short(attribute: &Attribute<'_>) -> Result<u16, AttributeError> {
    let number = attribute.number().and_then(|n| u16::try_from(n).ok());
    number.ok_or(AttributeError::OutOfRange(attribute.kind))
}

/// Values of 16 bits, by the type of their attribute.
#[derive(Default)]
struct Numbers([Option<u16>; 18]);

impl Numbers {
    fn get(&self, kind: u16) -> Option<u16> {
        self.0.get(usize::from(kind)).copied().flatten()
    }

    fn set(&mut self, attribute: &Attribute<'_>) -> Result<(), AttributeError> {
        let value = short(attribute)?;
        match self.0.get_mut(usize::from(attribute.kind)) {
            Some(slot) => set(slot, attribute.kind, value),
            None => Err(AttributeError::OutOfRange(attribute.kind)),
        }
    }
}

/// Stores a value, unless another one of this type was stored. Equal ones do not conflict.
//= RFC 2407 4.5.2/1
//# MUST: attributes may come several times, as long as they do not conflict
fn set<T: PartialEq>(slot: &mut Option<T>, kind: u16, value: T) -> Result<(), AttributeError> {
    match slot {
        None => {
            *slot = Some(value);
            Ok(())
        }
        Some(known) if *known == value => Ok(()),
        //= RFC 2407 4.5.2/3
        //# MUST: and abort the association
        Some(_) => Err(AttributeError::Duplicate(kind)),
    }
}
