use crate::error::DecodeErrorKind;

/// The value of an attribute (RFC 2408 3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// "Basic": two octets in place of the length.
    Basic(u16),
    /// "Variable": any number of octets.
    Variable(&'a [u8]),
}

/// One attribute of a transform or mode config message (RFC 2408 3.3).
///
/// ```text
/// |1| type (15 bits) | value (2)  |      |0| type (15 bits) | length (2) | value |
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// The type, without the format bit; what it names depends on where the attribute is.
    pub kind: u16,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> Attribute<'a> {
    /// The value as a number, from either encoding: big-endian, of any width whose significant octets are at most eight (RFC 2408 3.3).
    ///
    /// `None` for an empty value or a number that does not fit.
    pub fn number(&self) -> Option<u64> {
        match self.value {
            Value::Basic(value) => Some(u64::from(value)),
            Value::Variable([]) => None,
            Value::Variable(bytes) => bytes.iter().try_fold(0u64, |sum, &b| Some(sum.checked_mul(256)? | u64::from(b))),
        }
    }

    /// The value as octets, of the variable encoding only (RFC 2408 3.3).
    pub const fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Basic(_) => None,
            Value::Variable(bytes) => Some(bytes),
        }
    }

    /// Takes one attribute off the front.
    #[inline]
    fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[k0, k1, v0, v1], rest) = bytes.split_first_chunk::<4>()?;
        //= RFC 2409 A/2
        let (kind, value) = (u16::from_be_bytes([k0, k1]), u16::from_be_bytes([v0, v1]));
        if kind & BASIC != 0 {
            return Some((Self { kind: kind & !BASIC, value: Value::Basic(value) }, rest));
        }
        let (value, rest) = rest.split_at_checked(usize::from(value))?;
        Some((Self { kind, value: Value::Variable(value) }, rest))
    }
}

/// The bit of the type that says that the value is two octets.
pub(crate) const BASIC: u16 = 0x8000;

/// A list of attributes, checked (RFC 2408 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The list that fills `bytes`.
    ///
    /// # Errors
    /// The octets from the end at which an attribute is cut.
    #[inline]
    pub(crate) fn check(bytes: &'a [u8]) -> Result<(), &'a [u8]> {
        // Basic attributes only, as most lists are, need no walk.
        let (words, tail) = bytes.as_chunks::<4>();
        if tail.is_empty() && words.iter().fold(0x80, |all, [first, ..]| all & first) != 0 {
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = Attribute::take(rest).ok_or(rest)?.1;
        }
        Ok(())
    }

    /// Attributes that fill `bytes` exactly (RFC 2408 3.3).
    ///
    /// # Errors
    /// [`DecodeErrorKind::AttributeCut`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeErrorKind> {
        Self::check(bytes).map_err(|_| DecodeErrorKind::AttributeCut)?;
        Ok(Self { bytes })
    }

    /// Octets that were checked before.
    pub(crate) const fn checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The octets of the list.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes in their order.
    pub const fn iter(&self) -> AttributeIter<'a> {
        AttributeIter { rest: self.bytes }
    }

    /// The first attribute of a type (RFC 2408 3.3).
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

/// Iterates over attributes (RFC 2408 3.3).
#[derive(Clone, Debug)]
pub struct AttributeIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AttributeIter<'a> {
    type Item = Attribute<'a>;

    #[inline]
    fn next(&mut self) -> Option<Attribute<'a>> {
        let (attribute, rest) = Attribute::take(self.rest)?;
        self.rest = rest;
        Some(attribute)
    }
}
