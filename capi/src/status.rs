//! Status codes of the C functions, and their texts.

use core::ffi::{CStr, c_char};

use ah_core::{SignError, VerifyError};
use esp_core::{OpenError, SealError};
use ipsec_crypto::KeyError;

/// Result of a call. A packet that is refused is unchanged, unless the status states otherwise.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpsecStatus {
    /// The call has succeeded.
    Ok = 0,
    /// A required pointer is null.
    Null = 1,
    /// The struct was not initialised, or was cleared.
    Uninitialised = 2,
    /// The algorithm is unknown or not compiled in, or cipher and integrity algorithm cannot be combined.
    Algorithm = 3,
    /// The key has a wrong length or is weak.
    Key = 4,
    /// The SPI or CPI is reserved.
    Reserved = 5,
    /// The buffer has not enough space in front of or after the packet.
    NoSpace = 6,
    /// The packet is too short for its headers.
    TooShort = 7,
    /// The packet or message is malformed.
    Malformed = 8,
    /// The SPI or CPI of the packet does not match the SA.
    SpiMismatch = 9,
    /// The sequence number was received before, or is below the anti-replay window.
    Replayed = 10,
    /// The ICV of the packet differs from the computed one.
    IcvMismatch = 11,
    /// The ESP padding of an authentic packet is invalid. Its plaintext is wiped.
    Padding = 12,
    /// The sequence numbers of the SA are exhausted.
    SequenceExhausted = 13,
    /// Fewer random octets were passed than the IV needs.
    Iv = 14,
    /// Compression does not make the packet smaller. The packet is unchanged and is sent uncompressed.
    NotWorthwhile = 15,
    /// The packet would exceed the maximum length of an IP packet.
    TooLong = 16,
}

/// Returns the English text of a status, a constant string of the library.
#[unsafe(no_mangle)]
pub extern "C" fn ipsec_status_text(status: i32) -> *const c_char {
    const TEXTS: [(IpsecStatus, &CStr); 17] = [
        (IpsecStatus::Ok, c"success"),
        (IpsecStatus::Null, c"null pointer"),
        (IpsecStatus::Uninitialised, c"not initialised"),
        (IpsecStatus::Algorithm, c"unknown or invalid algorithm"),
        (IpsecStatus::Key, c"invalid key length or weak key"),
        (IpsecStatus::Reserved, c"reserved SPI or CPI"),
        (IpsecStatus::NoSpace, c"not enough space in the buffer"),
        (IpsecStatus::TooShort, c"packet too short"),
        (IpsecStatus::Malformed, c"malformed packet"),
        (IpsecStatus::SpiMismatch, c"SPI or CPI mismatch"),
        (IpsecStatus::Replayed, c"sequence number replayed or too old"),
        (IpsecStatus::IcvMismatch, c"ICV verification failed"),
        (IpsecStatus::Padding, c"invalid ESP padding"),
        (IpsecStatus::SequenceExhausted, c"sequence numbers exhausted"),
        (IpsecStatus::Iv, c"not enough random octets for the IV"),
        (IpsecStatus::NotWorthwhile, c"compression does not make the packet smaller"),
        (IpsecStatus::TooLong, c"packet too long"),
    ];
    let found = TEXTS.iter().find(|(known, _)| *known as i32 == status);
    found.map_or(c"unknown status", |(_, text)| text).as_ptr()
}

impl From<KeyError> for IpsecStatus {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unsupported
            | KeyError::NoIntegrity
            | KeyError::IntegrityTwice
            | KeyError::NullWithoutIntegrity => Self::Algorithm,
            _ => Self::Key,
        }
    }
}

impl From<SealError> for IpsecStatus {
    fn from(error: SealError) -> Self {
        match error {
            SealError::SequenceExhausted => Self::SequenceExhausted,
            SealError::NoSpace(_) => Self::NoSpace,
            SealError::TooLong(_) => Self::TooLong,
            SealError::IvLength { .. } => Self::Iv,
            _ => Self::Malformed,
        }
    }
}

impl From<OpenError> for IpsecStatus {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TooShort => Self::TooShort,
            OpenError::SpiMismatch { .. } => Self::SpiMismatch,
            OpenError::Replayed(_) => Self::Replayed,
            OpenError::IcvMismatch => Self::IcvMismatch,
            OpenError::InvalidPadLength { .. } | OpenError::InvalidPadding => Self::Padding,
            OpenError::NoSpace(_) => Self::NoSpace,
            _ => Self::Malformed,
        }
    }
}

impl From<SignError> for IpsecStatus {
    fn from(error: SignError) -> Self {
        match error {
            SignError::SequenceExhausted => Self::SequenceExhausted,
            SignError::Ip(ipsec_packet::IpError::NoSpace(_)) => Self::NoSpace,
            SignError::Ip(ipsec_packet::IpError::TooLong(_)) => Self::TooLong,
            _ => Self::Malformed,
        }
    }
}

impl From<VerifyError> for IpsecStatus {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::SpiMismatch { .. } => Self::SpiMismatch,
            VerifyError::Replayed(_) => Self::Replayed,
            VerifyError::IcvMismatch => Self::IcvMismatch,
            VerifyError::TooShort => Self::TooShort,
            _ => Self::Malformed,
        }
    }
}
