use core::fmt;

/// Error in a message, with its position (RFC 2367 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PfkeyError {
    /// Offset of the invalid header or extension, in octets.
    pub offset: usize,
    /// Kind of the error.
    pub kind: PfkeyErrorKind,
}

/// Kind of an error in a header or an extension (RFC 2367 sections 2.1 and 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PfkeyErrorKind {
    /// The header or extension is truncated.
    TooShort,
    /// The version is this one instead of 2.
    Version(u8),
    /// The length of the message, in units of 8 octets, differs from that of the input.
    MessageLength {
        /// Length field of the header, in units of 8 octets.
        units: u16,
        /// Length of the input in octets.
        received: usize,
    },
    /// The length of the extension, in units of 8 octets, is 0, exceeds the message, or is too small for its kind.
    ExtensionLength(u16),
    /// The extension is a duplicate (RFC 2367 section 2.3).
    Duplicate(u16),
    /// The address family is neither IPv4 nor IPv6.
    Family(u16),
    /// The key has more bits than the extension has octets for.
    KeyLength(u16),
    /// The length of a template is invalid, or its protocol, mode or level is unknown.
    Template,
    /// The type of the policy is unknown.
    Policy,
}

impl fmt::Display for PfkeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "octet {}: {}", self.offset, self.kind)
    }
}

impl fmt::Display for PfkeyErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("truncated header or extension"),
            Self::Version(version) => write!(f, "unsupported PF_KEY version: got {version}, expected 2"),
            Self::MessageLength { units, received } => {
                write!(f, "message length mismatch: got {received} octets, header declares {units} units of 8 octets")
            }
            Self::ExtensionLength(units) => write!(f, "invalid extension length: {units} units of 8 octets"),
            Self::Duplicate(kind) => write!(f, "duplicate extension {kind}"),
            Self::Family(family) => write!(f, "unknown address family {family}"),
            Self::KeyLength(bits) => write!(f, "key length of {bits} bits exceeds the extension"),
            Self::Template => f.write_str("invalid template"),
            Self::Policy => f.write_str("unknown policy type"),
        }
    }
}

impl core::error::Error for PfkeyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.kind)
    }
}

impl core::error::Error for PfkeyErrorKind {}

/// The buffer is too small for the message, or the message exceeds its length field (RFC 2367 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSpace;

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("buffer too small for the PF_KEY message")
    }
}

impl core::error::Error for NoSpace {}
