use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};

/// Security Parameters Index (RFC 4303 section 2.1). It is never 0, and 1 to 255 only if created by
/// [`Spi::reserved`].
//= RFC 4303 2.1/6
//# MUST NOT: SPI 0 is sent on the wire
//= RFC 3948 1/3
//# MUST NOT: an SPI of zero is not used for ESP packets
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(NonZeroU32);

impl Spi {
    /// Creates an SPI that may be negotiated or configured: 256 and above.
    ///
    /// # Errors
    /// [`ReservedSpi`] for 0 to 255, which IANA reserves (RFC 4303 section 2.1).
    pub const fn new(value: u32) -> Result<Self, ReservedSpi> {
        match NonZeroU32::new(value) {
            Some(spi) if value > 255 => Ok(Self(spi)),
            _ => Err(ReservedSpi(value)),
        }
    }

    /// Creates any SPI except 0, for test vectors and peers that use the reserved numbers 1 to 255.
    ///
    /// # Errors
    /// [`ReservedSpi`] for 0, which is never transmitted (RFC 4303 section 2.1).
    //= RFC 3948 2.1/4
    //# MUST NOT: the SPI of ESP in UDP is not zero
    pub const fn reserved(value: u32) -> Result<Self, ReservedSpi> {
        match NonZeroU32::new(value) {
            Some(spi) => Ok(Self(spi)),
            None => Err(ReservedSpi(value)),
        }
    }

    /// Returns the value of the SPI.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the octets on the wire (RFC 4303 section 2.1).
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.get().to_be_bytes()
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.get())
    }
}

/// Error of an SPI in the range 0 to 255 where it is not allowed (RFC 4303 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedSpi(pub u32);

impl fmt::Display for ReservedSpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SPI {} is reserved", self.0)
    }
}

impl core::error::Error for ReservedSpi {}

/// Compression Parameter Index of 16 bits (RFC 3173 section 3.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpi(NonZeroU16);

impl Cpi {
    /// Well-known CPI of a vendor's own algorithm (RFC 3173 section 3.3).
    pub const OUI: Self = Self::well_known(1);
    /// Well-known CPI of DEFLATE (RFC 2394).
    pub const DEFLATE: Self = Self::well_known(2);
    /// Well-known CPI of LZS (RFC 2395).
    pub const LZS: Self = Self::well_known(3);
    /// Well-known CPI of LZJH (RFC 3051).
    pub const LZJH: Self = Self::well_known(4);

    /// Creates a CPI of the well-known (1 to 63), negotiated (256 to 61439) or private (61440 and above) range (RFC
    /// 3173 section 3.3).
    ///
    /// # Errors
    /// [`ReservedCpi`] for 0 and for 64 to 255.
    pub const fn new(value: u16) -> Result<Self, ReservedCpi> {
        match NonZeroU16::new(value) {
            Some(cpi) if value < 64 || value > 255 => Ok(Self(cpi)),
            _ => Err(ReservedCpi(value)),
        }
    }

    const fn well_known(value: u16) -> Self {
        match NonZeroU16::new(value) {
            Some(cpi) => Self(cpi),
            None => Self(NonZeroU16::MIN),
        }
    }

    /// Returns the value of the CPI.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// Returns whether the CPI identifies an algorithm (0 to 63; RFC 3173 section 3.3).
    pub const fn is_well_known(self) -> bool {
        self.get() < 64
    }

    /// Returns whether the CPI was negotiated between the peers (256 to 61439; RFC 3173 section 3.3).
    pub const fn is_negotiated(self) -> bool {
        self.get() >= 256 && self.get() < 61440
    }

    /// Returns whether the CPI is for private use (61440 and above; RFC 3173 section 3.3).
    pub const fn is_private(self) -> bool {
        self.get() >= 61440
    }
}

impl fmt::Debug for Cpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Cpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04x}", self.get())
    }
}

/// Error of a CPI that RFC 3173 section 3.3 reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedCpi(pub u16);

impl fmt::Display for ReservedCpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPI {} is reserved", self.0)
    }
}

impl core::error::Error for ReservedCpi {}
