use core::fmt;

use crate::MAX_ICV;
use crate::esp_parts::HEADER;

/// Lengths that a suite adds to a packet, in octets (RFC 4303 section 2). A suite processes only packets that were
/// split by its own layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    iv: u8,
    align: u8,
    icv: IcvLen,
    iv_rule: IvRule,
}

impl Layout {
    /// Creates the layout of a suite with an IV of `iv` octets and a body that is a multiple of `align` octets: the
    /// block size of the cipher, but at least 4 (RFC 4303 section 2.4).
    ///
    /// # Errors
    /// [`LayoutError`]: an IV has at most 16 octets, at least 8 if it must be unique, and no octets exactly if there
    /// is no requirement on it; the alignment is a power of two from 4 to 128.
    pub const fn new(iv: usize, align: usize, icv: IcvLen, iv_rule: IvRule) -> Result<Self, LayoutError> {
        let iv_fits = match iv_rule {
            IvRule::None => iv == 0,
            IvRule::Unpredictable => iv >= 1 && iv <= MAX_IV,
            IvRule::Unique => iv >= 8 && iv <= MAX_IV,
        };
        if !iv_fits {
            return Err(LayoutError::IvLength(iv));
        }
        if !align.is_power_of_two() || align < 4 || align > 128 {
            return Err(LayoutError::Alignment(align));
        }
        let ([iv, ..], [align, ..]) = (iv.to_le_bytes(), align.to_le_bytes());
        Ok(Self { iv, align, icv, iv_rule })
    }

    /// Returns the layout with another ICV: that of a cipher becomes that of a suite.
    #[must_use]
    pub const fn with_icv(self, icv: IcvLen) -> Self {
        Self { icv, ..self }
    }

    /// Returns a layout for test vectors of algorithms, which are not aligned as ESP.
    #[cfg(all(test, feature = "modern", feature = "legacy", feature = "runtime-suites"))]
    pub(crate) const fn without_alignment(self) -> Self {
        Self { align: 1, ..self }
    }

    /// Returns the length of the IV in each packet, at most 16 (RFC 4303 section 2.3).
    pub const fn iv_len(self) -> usize {
        self.iv as usize
    }

    /// Returns the alignment of the encrypted body, a power of two from 4 to 128 (RFC 4303 section 2.4).
    pub const fn align(self) -> usize {
        self.align as usize
    }

    /// Returns the length of the ICV, at most 32 (RFC 4303 section 2.8).
    pub const fn icv_len(self) -> usize {
        self.icv.octets()
    }

    /// Returns the requirement of the suite on its IVs.
    pub const fn iv_rule(self) -> IvRule {
        self.iv_rule
    }

    /// Returns the length of the body of a packet of this length, in octets (RFC 4303 sections 2 and 2.4).
    ///
    /// # Errors
    /// [`LengthError`] if the body is empty or not a multiple of the alignment.
    pub fn body_of(self, packet: usize) -> Result<usize, LengthError> {
        let around = HEADER.saturating_add(self.iv_len()).saturating_add(self.icv_len());
        let body = packet.checked_sub(around).filter(|&body| body > 0).ok_or(LengthError::TooShort)?;
        if body & self.align().saturating_sub(1) == 0 { Ok(body) } else { Err(LengthError::Unaligned) }
    }
}

/// Length of the longest IV, in octets.
pub(crate) const MAX_IV: usize = 16;

/// Creates a layout from lengths that the compiler checks.
#[allow(unused_macros)] // without any algorithm
macro_rules! layout {
    ($iv:expr, $align:expr, $icv:expr, $rule:ident) => {
        const {
            match $crate::Layout::new($iv, $align, $icv, $crate::IvRule::$rule) {
                Ok(layout) => layout,
                Err(_) => panic!("invalid layout"),
            }
        }
    };
}
#[allow(unused_imports)]
pub(crate) use layout;

/// Length of an ICV in octets, from 0 to [`MAX_ICV`] (RFC 4303 section 2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IcvLen(u8);

impl IcvLen {
    /// Length of the ICV of a suite without integrity.
    pub const NONE: Self = Self(0);

    /// Creates a length. Returns `None` if it exceeds [`MAX_ICV`].
    pub const fn new(octets: usize) -> Option<Self> {
        if octets > MAX_ICV {
            return None;
        }
        let [len, ..] = octets.to_le_bytes();
        Some(Self(len))
    }

    /// Creates a length that the compiler checks.
    pub const fn of<const OCTETS: usize>() -> Self {
        const {
            match Self::new(OCTETS) {
                Some(len) => len,
                None => panic!("an ICV has at most 32 octets"),
            }
        }
    }

    /// Returns the number of octets.
    pub const fn octets(self) -> usize {
        self.0 as usize
    }
}

/// Reason why lengths are not those of a suite (RFC 4303 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The length of the IV in octets does not match the requirement on it.
    IvLength(usize),
    /// The alignment in octets is not a power of two from 4 to 128.
    Alignment(usize),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IvLength(octets) => write!(f, "invalid IV length: {octets} octets"),
            Self::Alignment(octets) => {
                write!(f, "invalid alignment: got {octets} octets, expected a power of two from 4 to 128")
            }
        }
    }
}

impl core::error::Error for LayoutError {}

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
