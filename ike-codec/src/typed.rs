use core::fmt;

use crate::attribute::{Attribute, Attributes};
use crate::number::{
    AuthAlgorithm, AuthMethod, EcnTunnel, EncapsulationMode, Encryption, Group, GroupType, Hash, IpsecAttribute,
    LifeType, OakleyAttribute,
};

/// Why the attributes of a transform make no sense together (RFC 2407 4.5, 4.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AttributeError {
    /// An attribute is there twice.
    Duplicate(u16),
    /// A value that is no number of the width of its type: empty, or above 16 bits (64 for lifetimes).
    NotANumber(u16),
    /// A life duration without a life type, or the reverse.
    UnpairedLifetime,
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(kind) => write!(f, "attribute {kind} is there twice"),
            Self::NotANumber(kind) => write!(f, "attribute {kind} is no number that fits"),
            Self::UnpairedLifetime => f.write_str("life type and life duration do not pair"),
        }
    }
}

impl core::error::Error for AttributeError {}

/// The lifetimes of a transform, each at most once (RFC 2407 4.5, RFC 2409 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lifetimes {
    /// In seconds; 28,800 when nobody says anything (RFC 2407 4.5).
    pub seconds: Option<u64>,
    /// In kilobytes.
    pub kilobytes: Option<u64>,
    /// Of a type that is neither.
    pub other: Option<(LifeType, u64)>,
}

/// Pairs life types with durations: a type comes before its duration, but the reverse is understood as well.
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
        let value = attribute.number().ok_or(AttributeError::NotANumber(attribute.kind))?;
        set(&mut self.duration, attribute.kind, value)?;
        self.pair(attribute.kind)
    }

    //= RFC 2407 4.5.2/1
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

/// The attributes of an ISAKMP transform (RFC 2409 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OakleyAttributes<'a> {
    /// The encryption algorithm.
    pub encryption: Option<Encryption>,
    /// Bits of its key, for those with more than one length.
    pub key_length: Option<u16>,
    /// The hash algorithm.
    pub hash: Option<Hash>,
    /// The PRF, when it is not HMAC with the hash.
    pub prf: Option<u16>,
    /// The authentication method.
    pub auth_method: Option<AuthMethod>,
    /// The Diffie-Hellman group.
    pub group: Option<Group>,
    /// The type of a group that is described here.
    pub group_type: Option<GroupType>,
    /// Its prime or irreducible polynomial.
    pub group_prime: Option<&'a [u8]>,
    /// Its generator.
    pub group_generator: Option<&'a [u8]>,
    /// Its second generator, of a curve.
    pub group_generator_two: Option<&'a [u8]>,
    /// The curve's A.
    pub group_curve_a: Option<&'a [u8]>,
    /// The curve's B.
    pub group_curve_b: Option<&'a [u8]>,
    /// The order of the group.
    pub group_order: Option<&'a [u8]>,
    /// Bits of the elements of its field.
    pub field_size: Option<u16>,
    /// Bits of a block of the cipher.
    pub block_size: Option<u16>,
    /// The GSS-API identity of Windows, UTF-16 with the low octet first.
    pub gss_id: Option<&'a [u8]>,
    /// The lifetimes.
    pub lifetimes: Lifetimes,
    /// The type of the first attribute that is none of these.
    pub other: Option<u16>,
}

impl<'a> OakleyAttributes<'a> {
    /// Reads the attributes, in either encoding and any order.
    ///
    /// # Errors
    /// [`AttributeError`].
    pub fn read(attributes: &Attributes<'a>) -> Result<Self, AttributeError> {
        let (mut this, mut pairing) = (Self::default(), Pairing::default());
        for a in attributes {
            match OakleyAttribute(a.kind) {
                OakleyAttribute::ENCRYPTION => set(&mut this.encryption, a.kind, Encryption(short(&a)?))?,
                OakleyAttribute::KEY_LENGTH => set(&mut this.key_length, a.kind, short(&a)?)?,
                OakleyAttribute::HASH => set(&mut this.hash, a.kind, Hash(short(&a)?))?,
                OakleyAttribute::PRF => set(&mut this.prf, a.kind, short(&a)?)?,
                OakleyAttribute::AUTH_METHOD => set(&mut this.auth_method, a.kind, AuthMethod(short(&a)?))?,
                OakleyAttribute::GROUP => set(&mut this.group, a.kind, Group(short(&a)?))?,
                OakleyAttribute::GROUP_TYPE => set(&mut this.group_type, a.kind, GroupType(short(&a)?))?,
                OakleyAttribute::FIELD_SIZE => set(&mut this.field_size, a.kind, short(&a)?)?,
                OakleyAttribute::BLOCK_SIZE => set(&mut this.block_size, a.kind, short(&a)?)?,
                OakleyAttribute::LIFE_TYPE => pairing.life_type(&a)?,
                OakleyAttribute::LIFE_DURATION => pairing.duration(&a)?,
                kind => match (kind, a.bytes()) {
                    (OakleyAttribute::GROUP_PRIME, Some(b)) => set(&mut this.group_prime, a.kind, b)?,
                    (OakleyAttribute::GROUP_GENERATOR_ONE, Some(b)) => set(&mut this.group_generator, a.kind, b)?,
                    (OakleyAttribute::GROUP_GENERATOR_TWO, Some(b)) => set(&mut this.group_generator_two, a.kind, b)?,
                    (OakleyAttribute::GROUP_CURVE_A, Some(b)) => set(&mut this.group_curve_a, a.kind, b)?,
                    (OakleyAttribute::GROUP_CURVE_B, Some(b)) => set(&mut this.group_curve_b, a.kind, b)?,
                    (OakleyAttribute::GROUP_ORDER, Some(b)) => set(&mut this.group_order, a.kind, b)?,
                    (OakleyAttribute::GSS_ID | OakleyAttribute::GSS_ID_WINDOWS, Some(b)) => {
                        set(&mut this.gss_id, a.kind, b)?
                    }
                    _ => this.other = this.other.or(Some(a.kind)),
                },
            }
        }
        this.lifetimes = pairing.finish()?;
        Ok(this)
    }
}

/// The attributes of an AH, ESP or IPComp transform (RFC 2407 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IpsecAttributes<'a> {
    /// The lifetimes.
    pub lifetimes: Lifetimes,
    /// The group for perfect forward secrecy.
    pub group: Option<Group>,
    /// Tunnel or transport, in UDP or not.
    pub encapsulation: Option<EncapsulationMode>,
    /// The authentication algorithm.
    pub auth_algorithm: Option<AuthAlgorithm>,
    /// Bits of the key.
    pub key_length: Option<u16>,
    /// Rounds of the cipher.
    pub key_rounds: Option<u16>,
    /// Log2 of the dictionary of a compression.
    pub compress_dictionary_size: Option<u16>,
    /// A compression that a vendor knows.
    pub compress_private_algorithm: Option<&'a [u8]>,
    /// How signatures of AH are encoded (RFC 4359).
    pub signature_encoding: Option<u16>,
    /// Whether multicast keeps addresses (RFC 6407).
    pub address_preservation: Option<u16>,
    /// Which way the SA is for (RFC 6407).
    pub direction: Option<u16>,
    /// Whether the tunnel carries ECN; an old use of the same number is a security context of variable length, which is
    /// none of these.
    pub ecn: Option<EcnTunnel>,
    /// Extended sequence numbers (RFC 4304): 1 for yes.
    pub extended_sequence: Option<u16>,
    /// The security context.
    pub security_context: Option<&'a [u8]>,
    /// The type of the first attribute that is none of these.
    pub other: Option<u16>,
}

impl<'a> IpsecAttributes<'a> {
    /// Reads the attributes, in either encoding and any order.
    ///
    /// # Errors
    /// [`AttributeError`].
    pub fn read(attributes: &Attributes<'a>) -> Result<Self, AttributeError> {
        let (mut this, mut pairing) = (Self::default(), Pairing::default());
        for a in attributes {
            match IpsecAttribute(a.kind) {
                //= RFC 2407 4.5.1/1
                IpsecAttribute::LIFE_TYPE => pairing.life_type(&a)?,
                IpsecAttribute::LIFE_DURATION => pairing.duration(&a)?,
                IpsecAttribute::GROUP => set(&mut this.group, a.kind, Group(short(&a)?))?,
                IpsecAttribute::ENCAPSULATION_MODE => {
                    set(&mut this.encapsulation, a.kind, EncapsulationMode(short(&a)?))?
                }
                //= RFC 2407 4.5.1/1
                IpsecAttribute::AUTH_ALGORITHM => set(&mut this.auth_algorithm, a.kind, AuthAlgorithm(short(&a)?))?,
                IpsecAttribute::KEY_LENGTH => set(&mut this.key_length, a.kind, short(&a)?)?,
                IpsecAttribute::KEY_ROUNDS => set(&mut this.key_rounds, a.kind, short(&a)?)?,
                IpsecAttribute::COMPRESS_DICTIONARY_SIZE => {
                    set(&mut this.compress_dictionary_size, a.kind, short(&a)?)?
                }
                IpsecAttribute::SIGNATURE_ENCODING => set(&mut this.signature_encoding, a.kind, short(&a)?)?,
                IpsecAttribute::ADDRESS_PRESERVATION => set(&mut this.address_preservation, a.kind, short(&a)?)?,
                IpsecAttribute::DIRECTION => set(&mut this.direction, a.kind, short(&a)?)?,
                IpsecAttribute::EXTENDED_SEQUENCE => set(&mut this.extended_sequence, a.kind, short(&a)?)?,
                IpsecAttribute::ECN_TUNNEL if a.bytes().is_none_or(|b| b.len() == 2) => {
                    set(&mut this.ecn, a.kind, EcnTunnel(short(&a)?))?;
                }
                kind => match (kind, a.bytes()) {
                    (IpsecAttribute::SECURITY_CONTEXT, Some(b)) => set(&mut this.security_context, a.kind, b)?,
                    (IpsecAttribute::COMPRESS_PRIVATE_ALGORITHM, Some(b)) => {
                        set(&mut this.compress_private_algorithm, a.kind, b)?;
                    }
                    _ => this.other = this.other.or(Some(a.kind)),
                },
            }
        }
        this.lifetimes = pairing.finish()?;
        Ok(this)
    }
}

/// A number of 16 bits, from either encoding.
fn short(attribute: &Attribute<'_>) -> Result<u16, AttributeError> {
    let number = attribute.number().and_then(|n| u16::try_from(n).ok());
    number.ok_or(AttributeError::NotANumber(attribute.kind))
}

fn set<T>(slot: &mut Option<T>, kind: u16, value: T) -> Result<(), AttributeError> {
    match slot.replace(value) {
        None => Ok(()),
        //= RFC 2407 4.5.2/3
        Some(_) => Err(AttributeError::Duplicate(kind)),
    }
}
