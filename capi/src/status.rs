//! What a call says of itself.

use core::ffi::{CStr, c_char};

use ah_core::{SignError, VerifyError};
use esp_core::{OpenError, SealError};
use ipsec_crypto::KeyError;

/// How a call ended. What is refused is unchanged, if nothing else is said.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpsecStatus {
    /// Done.
    Ok = 0,
    /// A pointer is null.
    Null = 1,
    /// The struct was never initialised, or was cleared.
    Uninitialised = 2,
    /// No such algorithm, or not with this one.
    Algorithm = 3,
    /// A key of the wrong length, or a weak one.
    Key = 4,
    /// An SPI or CPI that is reserved.
    Reserved = 5,
    /// The buffer has no room for what is added.
    NoSpace = 6,
    /// The packet is too short to be one.
    TooShort = 7,
    /// It is malformed.
    Malformed = 8,
    /// It is of another SA.
    SpiMismatch = 9,
    /// Its number was received before, or is too old.
    Replayed = 10,
    /// Its ICV does not hold.
    IcvMismatch = 11,
    /// Its padding is not what it should be. It was authentic, and its plaintext is wiped.
    Padding = 12,
    /// Every number of the SA was used.
    SequenceExhausted = 13,
    /// An IV of another length.
    Iv = 14,
    /// Compression gains nothing: to be sent as it is.
    NotWorthwhile = 15,
    /// It is larger than its kind may be.
    TooLong = 16,
}

/// What a status means, in English. The text is the library's, and constant.
#[unsafe(no_mangle)]
pub extern "C" fn ipsec_status_text(status: i32) -> *const c_char {
    const TEXTS: [(IpsecStatus, &CStr); 17] = [
        (IpsecStatus::Ok, c"done"),
        (IpsecStatus::Null, c"a null pointer"),
        (IpsecStatus::Uninitialised, c"not initialised"),
        (IpsecStatus::Algorithm, c"no such algorithm"),
        (IpsecStatus::Key, c"key of a wrong length, or a weak one"),
        (IpsecStatus::Reserved, c"reserved spi or cpi"),
        (IpsecStatus::NoSpace, c"no room in the buffer"),
        (IpsecStatus::TooShort, c"packet too short"),
        (IpsecStatus::Malformed, c"malformed packet"),
        (IpsecStatus::SpiMismatch, c"packet of another sa"),
        (IpsecStatus::Replayed, c"replayed, or too old"),
        (IpsecStatus::IcvMismatch, c"icv does not hold"),
        (IpsecStatus::Padding, c"padding is wrong"),
        (IpsecStatus::SequenceExhausted, c"sequence numbers are exhausted"),
        (IpsecStatus::Iv, c"iv of a wrong length"),
        (IpsecStatus::NotWorthwhile, c"compression gains nothing"),
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
            OpenError::BadPadLength { .. } | OpenError::BadPadding => Self::Padding,
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
