use crate::error::DecodeErrorKind;

/// Value of an attribute (RFC 2408 section 3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Basic encoding: two octets in place of the length.
    Basic(u16),
    /// Variable encoding: a length and that number of octets.
    Variable(&'a [u8]),
}

/// Attribute of a transform or mode config message (RFC 2408 section 3.3).
///
/// ```text
/// |1| type (15 bits) | value (2)  |      |0| type (15 bits) | length (2) | value |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// Type without the format bit; its meaning depends on the payload that contains the attribute.
    pub kind: u16,
    /// Value in basic or variable encoding.
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// Returns the value as a number in network byte order, from either encoding; at most eight octets may be
    /// significant (RFC 2408 section 3.3).
    ///
    /// The result is `None` for an empty value or a number of more than 64 bits.
    pub fn number(&self) -> Option<u64> {
        match self.value {
            Value::Basic(value) => Some(u64::from(value)),
            Value::Variable([]) => None,
            Value::Variable(bytes) => bytes.iter().try_fold(0u64, |sum, &b| Some(sum.checked_mul(256)? | u64::from(b))),
        }
    }

    /// Returns the octets of a value in variable encoding, `None` for the basic encoding (RFC 2408 section 3.3).
    pub const fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Basic(_) => None,
            Value::Variable(bytes) => Some(bytes),
        }
    }

    /// Splits the first attribute from a list.
    #[inline]
    fn split_first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[k0, k1, v0, v1], rest) = bytes.split_first_chunk::<4>()?;
        //= RFC 2409 A/2
        //# MUST: a key length is in network byte order
        let (kind, value) = (u16::from_be_bytes([k0, k1]), u16::from_be_bytes([v0, v1]));
        if kind & BASIC != 0 {
            return Some((Self { kind: kind & !BASIC, value: Value::Basic(value) }, rest));
        }
        let (value, rest) = rest.split_at_checked(usize::from(value))?;
        Some((Self { kind, value: Value::Variable(value) }, rest))
    }
}

/// Attribute format bit: set in the type of an attribute in basic encoding.
pub(crate) const BASIC: u16 = 0x8000;

/// Validated list of attributes (RFC 2408 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Verifies that `bytes` is a sequence of whole attributes.
    ///
    /// # Errors
    /// Returns the octets from the start of the truncated attribute to the end of the list.
    #[inline]
    pub(crate) fn check(bytes: &'a [u8]) -> Result<(), &'a [u8]> {
        // Most lists contain basic attributes only; they are valid without an iteration.
        let (words, tail) = bytes.as_chunks::<4>();
        if tail.is_empty() && words.iter().fold(0x80, |all, [first, ..]| all & first) != 0 {
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = Attribute::split_first(rest).ok_or(rest)?.1;
        }
        Ok(())
    }

    /// Parses a list of attributes that fills `bytes` exactly (RFC 2408 section 3.3).
    ///
    /// # Errors
    /// [`DecodeErrorKind::TruncatedAttribute`] for a truncated attribute.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeErrorKind> {
        Self::check(bytes).map_err(|_| DecodeErrorKind::TruncatedAttribute)?;
        Ok(Self { bytes })
    }

    /// Wraps octets that have passed [`check`](Self::check).
    pub(crate) const fn checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Returns the encoded attributes.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Iterates over the attributes in wire order.
    pub const fn iter(&self) -> AttributeIter<'a> {
        AttributeIter { rest: self.bytes }
    }

    /// Returns the first attribute of a type (RFC 2408 section 3.3).
    pub fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        self.iter().find(|a| a.kind == kind)
    }
}

impl<'a> IntoIterator for &Attributes<'a> {
    type Item = Attribute<'a>;
    type IntoIter = AttributeIter<'a>;

    fn into_iter(self) -> AttributeIter<'a> {
        self.iter()
    }
}

/// Iterator over attributes, returned by [`Attributes::iter`] (RFC 2408 section 3.3).
#[derive(Clone, Debug)]
pub struct AttributeIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AttributeIter<'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attribute, rest) = Attribute::split_first(self.rest)?;
        self.rest = rest;
        Some(attribute)
    }
}
