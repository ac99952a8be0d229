use ipsec_crypto::Layout;

/// Padding of a payload before it is sealed (RFC 4303 sections 2.4 and 2.7). The default is the minimum for the
/// suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Padding {
    boundary: usize, // 0 or a power of two
    at_least: u8,
    payload_to: usize,
}

impl Padding {
    /// Minimum padding for the suite (RFC 4303 section 2.4).
    pub const MINIMAL: Self = Self { boundary: 0, at_least: 0, payload_to: 0 };

    /// Sets a larger alignment than that of the suite: the next power of two from `octets`, at most 128 (RFC 4303
    /// section 2.4).
    #[must_use]
    pub const fn to_boundary(self, octets: u8) -> Self {
        let octets = if octets > 128 { 128 } else { octets };
        Self { boundary: (octets as usize).next_power_of_two(), ..self }
    }

    /// Sets a minimum number of padding octets. To conceal lengths, a caller draws the number at random for each
    /// packet (RFC 4303 sections 2.4 and 2.5). As the pad length field ends at 255, the alignment may leave fewer
    /// octets than requested.
    #[must_use]
    pub const fn at_least(self, octets: u8) -> Self {
        Self { at_least: octets, ..self }
    }

    /// Adds TFC padding of zeros after a payload that is shorter than `octets`, so that all packets have one length
    /// (RFC 4303 section 2.7). The payload must contain its own length: an IP packet in tunnel mode.
    //= RFC 4303 2.7/1
    //# SHOULD: octets can be added between payload and padding to hide lengths
    #[must_use]
    pub const fn tfc_to(self, octets: usize) -> Self {
        Self { payload_to: octets, ..self }
    }

    /// Limits TFC padding after a payload of this length to `most` octets, for a packet that would exceed the path
    /// MTU otherwise.
    #[must_use]
    pub const fn with_tfc_limit(self, payload: usize, most: usize) -> Self {
        let limit = payload.saturating_add(most);
        let payload_to = if self.payload_to > limit { limit } else { self.payload_to };
        Self { payload_to, ..self }
    }

    /// Returns the length of TFC padding after a payload.
    pub(crate) fn tfc(self, payload: usize) -> usize {
        self.payload_to.saturating_sub(payload)
    }

    /// Returns the length of the padding after a payload and its TFC padding, without pad length and next header.
    pub(crate) fn len(self, layout: Layout, payload: usize) -> u8 {
        let at_least = self.floor(layout);
        let used = payload.saturating_add(at_least).saturating_add(2);
        let align = self.align(layout);
        let missing = used.wrapping_neg() & align.saturating_sub(1);
        let pad = u8::try_from(at_least.saturating_add(missing));
        debug_assert!(pad.is_ok(), "`floor` leaves space for the alignment");
        pad.unwrap_or(u8::MAX)
    }

    /// Returns the alignment of the encrypted body, a power of two.
    pub(crate) fn align(self, layout: Layout) -> usize {
        self.boundary.max(layout.align())
    }

    /// Returns the padding that is always added, limited so that the alignment stays within 255 octets.
    pub(crate) fn floor(self, layout: Layout) -> usize {
        usize::from(self.at_least).min(256usize.saturating_sub(self.align(layout)))
    }
}

/// Check of the padding of a received packet after its ICV was verified (RFC 4303 sections 2.4 and 3.4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PadCheck {
    /// Every octet must be 1, 2, 3 and so on (RFC 4303 section 2.4: the receiver SHOULD inspect it).
    #[default]
    Full,
    /// The last octet must equal the pad length, as in BSD stacks.
    LastByte,
    /// The length must be valid, for peers that pad with zeros or random octets.
    LengthOnly,
}

impl PadCheck {
    /// Returns whether the padding is acceptable, in time that depends on its length only.
    pub(crate) fn passes(self, padding: &[u8]) -> bool {
        match self {
            Self::Full => padding.iter().zip(&NUMBERS).fold(0, |wrong, (is, ought)| wrong | (is ^ ought)) == 0,
            Self::LastByte => padding.last().is_none_or(|last| usize::from(*last) == padding.len()),
            Self::LengthOnly => true,
        }
    }
}

/// Padding octets 1, 2, 3 and so on (RFC 4303 section 2.4).
//= RFC 4303 2.4/2
//# MUST: padding is 1, 2, 3 .. where the algorithm says nothing else
static NUMBERS: [u8; 255] = {
    let (mut numbers, mut number) = ([0; 255], 0u8);
    let mut left: &mut [u8] = &mut numbers;
    while let [first, others @ ..] = left {
        number = number.saturating_add(1);
        *first = number;
        left = others;
    }
    numbers
};

/// Writes padding octets 1, 2, 3 and so on (RFC 4303 section 2.4).
//= RFC 4303 2.4/1
//# MUST: padding can be generated and consumed
pub(crate) fn write(padding: &mut [u8]) {
    padding.iter_mut().zip(&NUMBERS).for_each(|(octet, number)| *octet = *number);
}
