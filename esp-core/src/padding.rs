use ipsec_crypto::Layout;

/// How a payload is padded before it is sealed (RFC 4303 2.4 and 2.7). The default is the least the suite needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Padding {
    boundary: usize, // 0 or a power of two
    at_least: u8,
    payload_to: usize,
}

impl Padding {
    /// The least the suite needs (RFC 4303 2.4).
    pub const MINIMAL: Self = Self { boundary: 0, at_least: 0, payload_to: 0 };

    /// To a longer boundary than the suite's: the next power of two from `octets`, at most 128 (RFC 4303 2.4).
    #[must_use]
    pub const fn to_boundary(self, octets: u8) -> Self {
        let octets = if octets > 128 { 128 } else { octets };
        Self { boundary: (octets as usize).next_power_of_two(), ..self }
    }

    /// With at least so many octets of padding: a caller that hides lengths draws the number at random for each packet (RFC 4303 2.4, 2.5).
    /// As the pad length field ends at 255, the boundary may leave fewer than asked for.
    #[must_use]
    pub const fn at_least(self, octets: u8) -> Self {
        Self { at_least: octets, ..self }
    }

    /// With zeros behind a payload shorter than `octets`, so that all look alike: TFC padding (RFC 4303 2.7). Only where
    /// the payload knows its own length: an IP packet in tunnel mode.
    //= RFC 4303 2.7/1
    #[must_use]
    pub const fn tfc_to(self, octets: usize) -> Self {
        Self { payload_to: octets, ..self }
    }

    /// With at most so many octets of TFC padding behind a payload of so many: where a packet would not fit on its path otherwise.
    #[must_use]
    pub const fn with_tfc_limit(self, payload: usize, most: usize) -> Self {
        let limit = payload.saturating_add(most);
        let payload_to = if self.payload_to > limit { limit } else { self.payload_to };
        Self { payload_to, ..self }
    }

    /// Octets of TFC padding behind a payload.
    pub(crate) fn tfc(self, payload: usize) -> usize {
        self.payload_to.saturating_sub(payload)
    }

    /// Octets of padding behind a payload and its TFC padding, without pad length and next header.
    pub(crate) fn len(self, layout: Layout, payload: usize) -> u8 {
        let at_least = self.floor(layout);
        let used = payload.saturating_add(at_least).saturating_add(2);
        let align = self.align(layout);
        let missing = used.wrapping_neg() & align.saturating_sub(1);
        u8::try_from(at_least.saturating_add(missing)).unwrap_or(u8::MAX)
    }

    /// What the encrypted body is a multiple of: a power of two, as every block is.
    pub(crate) fn align(self, layout: Layout) -> usize {
        self.boundary.max(layout.align)
    }

    /// The padding that is always there: so much that rounding up to the boundary stays within 255.
    pub(crate) fn floor(self, layout: Layout) -> usize {
        usize::from(self.at_least).min(256usize.saturating_sub(self.align(layout)))
    }
}

/// How the padding of a received packet is checked, once its ICV was found good (RFC 4303 2.4, 3.4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PadCheck {
    /// Every octet is 1, 2, 3 .. (RFC 4303 2.4: the receiver SHOULD inspect it).
    #[default]
    Full,
    /// Only the last octet equals the pad length, as BSD stacks check.
    LastByte,
    /// Only the length fits: for peers that pad with zeros or noise.
    LengthOnly,
}

impl PadCheck {
    /// Whether the padding passes; in time that depends on its length only.
    pub(crate) fn passes(self, padding: &[u8]) -> bool {
        match self {
            Self::Full => padding.iter().zip(&NUMBERS).fold(0, |wrong, (is, ought)| wrong | (is ^ ought)) == 0,
            Self::LastByte => padding.last().is_none_or(|last| usize::from(*last) == padding.len()),
            Self::LengthOnly => true,
        }
    }
}

/// What padding is: 1, 2, 3 .. (RFC 4303 2.4).
//= RFC 4303 2.4/2
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

/// Writes 1, 2, 3 .. (RFC 4303 2.4).
//= RFC 4303 2.4/1
pub(crate) fn write(padding: &mut [u8]) {
    padding.iter_mut().zip(&NUMBERS).for_each(|(octet, number)| *octet = *number);
}
