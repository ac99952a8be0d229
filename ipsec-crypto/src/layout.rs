use core::fmt;

use crate::esp_parts::HEADER;

/// Lengths that a suite adds to a packet, in octets (RFC 4303 section 2). A suite processes only packets that were
/// split by its own layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Length of the IV in each packet, at most 16.
    pub iv: usize,
    /// Alignment of the encrypted body, a power of two: the block size of the cipher, but at least 4 (RFC 4303
    /// section 2.4).
    pub align: usize,
    /// Requirement of the suite on its IVs.
    pub icv: usize,
    /// Requirement on IVs.
    pub iv_rule: IvRule,
}

impl Layout {
    /// Returns the length of the body of a packet of this length, in octets (RFC 4303 sections 2 and 2.4).
    ///
    /// # Errors
    /// [`LengthError`] if the body is empty or not a multiple of the alignment.
    pub fn body_of(self, packet: usize) -> Result<usize, LengthError> {
        let around = HEADER.saturating_add(self.iv).saturating_add(self.icv);
        let body = packet.checked_sub(around).filter(|&body| body > 0).ok_or(LengthError::TooShort)?;
        let fits = self.align.is_power_of_two() && body & self.align.saturating_sub(1) == 0;
        if fits { Ok(body) } else { Err(LengthError::Unaligned) }
    }
}

/// Requirement of a suite on its IVs (RFC 4303 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IvRule {
    /// The suite has no IV.
    None,
    /// IVs must be unpredictable: CBC mode (RFC 3602 section 2.1, RFC 2405 section 4).
    Unpredictable,
    /// IVs must never repeat under one key: counter modes (RFC 3686 section 3.1, RFC 4106 section 2, RFC 7634 section
    /// 2).
    Unique,
}

/// Error of a packet whose length does not fit the layout of a suite (RFC 4303 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthError {
    /// The packet is shorter than header, IV, one octet of body and ICV.
    TooShort,
    /// The length of the body is not a multiple of the alignment.
    Unaligned,
}

impl fmt::Display for LengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "packet too short for the suite",
            Self::Unaligned => "ciphertext length is not a multiple of the block size",
        })
    }
}

impl core::error::Error for LengthError {}
