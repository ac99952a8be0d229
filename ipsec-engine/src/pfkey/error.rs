use core::fmt;

/// What is wrong with a message, and where (RFC 2367 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PfkeyError {
    /// The octet where the header or extension begins that is wrong.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: PfkeyErrorKind,
}

/// What is wrong with a header or an extension (RFC 2367 2.1, 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PfkeyErrorKind {
    /// It is cut off.
    TooShort,
    /// Another version than 2.
    Version(u8),
    /// The length of the message, in units of 8 octets, is not that of the octets there.
    MessageLength(u16),
    /// The length of the extension, in units of 8 octets, is 0 or larger than the rest, or too small for its kind.
    ExtensionLength(u16),
    /// An extension for the second time (RFC 2367 2.3).
    Twice(u16),
    /// An address that is neither IPv4 nor IPv6.
    Family(u16),
    /// A key of more bits than there are octets.
    KeyLength(u16),
    /// A transform of a policy whose length does not fit, or that names a protocol, mode or level that there is none of.
    Template,
    /// A policy of no type that is known.
    Policy,
}

impl fmt::Display for PfkeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "octet {}: ", self.offset)?;
        match self.kind {
            PfkeyErrorKind::TooShort => f.write_str("cut off"),
            PfkeyErrorKind::Version(version) => write!(f, "pf_key version {version}"),
            PfkeyErrorKind::MessageLength(units) => write!(f, "a message of {units} units of 8 octets"),
            PfkeyErrorKind::ExtensionLength(units) => write!(f, "an extension of {units} units of 8 octets"),
            PfkeyErrorKind::Twice(kind) => write!(f, "extension {kind} for the second time"),
            PfkeyErrorKind::Family(family) => write!(f, "address family {family}"),
            PfkeyErrorKind::KeyLength(bits) => write!(f, "a key of {bits} bits in fewer octets"),
            PfkeyErrorKind::Template => f.write_str("a transform that is none"),
            PfkeyErrorKind::Policy => f.write_str("a policy that is none"),
        }
    }
}

impl core::error::Error for PfkeyError {}

/// The buffer is too small for the message, or the message too long for its length field (RFC 2367 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSpace;

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no space for the message")
    }
}

impl core::error::Error for NoSpace {}
