use core::fmt;

use crate::body::Body;
use crate::error::{DecodeErrorKind, NoSpace};
use crate::header::Header;
use crate::message::Message;
use crate::number::{Flags, PayloadKind};
use crate::writer::{BodyWriter, MessageWriter, fill};

/// Fragment payload (132): part of an IKE message that is too large for one datagram, as sent by Cisco and Microsoft.
///
/// ```text
/// | generic header (4) | fragment ID (2) | number (1), from 1 | flags (1), 1 for the last | data |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Fragment ID, equal in all fragments of a message.
    pub id: u16,
    /// Fragment number, counted from 1.
    pub number: u8,
    /// Flags: bit 0 marks the last fragment; the other bits are preserved.
    pub flags: u8,
    /// Part of the message; the first fragment contains its ISAKMP header.
    pub data: &'a [u8],
}

impl<'a> Fragment<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (&[i0, i1, number, flags], data) = body.split_first_chunk::<4>()?;
        Some(Self { id: u16::from_be_bytes([i0, i1]), number, flags, data })
    }

    pub(crate) fn check(&self) -> Result<(), DecodeErrorKind> {
        if self.number == 0 { Err(DecodeErrorKind::FragmentNumber) } else { Ok(()) }
    }

    /// Returns whether this is the last fragment of the message.
    pub const fn is_last(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Writes the body of the fragment payload.
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&self.id.to_be_bytes())?;
        body.put(&[self.number, self.flags])?;
        body.put(self.data)
    }
}

/// Divides a message into fragments of at most `data` octets and writes fragment `number` (from 1) into `buf`.
///
/// The result is `None` when the message has no such fragment. The flags in the ISAKMP header of a fragment are zero,
/// as Microsoft sends them.
///
/// # Errors
/// [`NoSpace`] when `buf` is too small, when the message is shorter than an ISAKMP header, or when it requires more
/// than [`MAX_FRAGMENTS`].
pub fn write_fragment<'b>(
    buf: &'b mut [u8],
    message: &[u8],
    id: u16,
    number: u8,
    data: usize,
) -> Result<Option<&'b mut [u8]>, NoSpace> {
    let (header, _) = Header::read(message).map_err(|_| NoSpace)?;
    let count = u8::try_from(message.len().div_ceil(data.max(1))).map_err(|_| NoSpace)?;
    if count > MAX_FRAGMENTS {
        return Err(NoSpace);
    }
    let Some(piece) = number.checked_sub(1).and_then(|index| message.chunks(data.max(1)).nth(usize::from(index)))
    else {
        return Ok(None);
    };
    let fragment = Fragment { id, number, flags: u8::from(number == count), data: piece };
    let header = Header { flags: Flags(0), ..header };
    let mut writer = MessageWriter::new(buf, &header)?;
    writer.payload(PayloadKind::FRAGMENT, |body| fragment.write(body))?;
    Ok(Some(writer.finish()))
}

/// Maximum number of fragments of a message: 64 fragments of 552 octets, as Microsoft sends them, exceed 32 KiB.
pub const MAX_FRAGMENTS: u8 = 64;

/// Reassembles a message from fragments received in any order.
///
/// The fragments are stored in the caller's buffer in the order of their arrival and copied once more when the message
/// is complete: the work is linear in the length of the message, for any order. A fragment is stored only if it fits,
/// and a refused fragment changes nothing.
#[derive(Debug)]
pub struct Reassembly<'b> {
    store: &'b mut [u8],
    used: usize,
    message: Option<(Header, u16)>, // common to all fragments: the header without length and flags, and the fragment ID
    last: u8,                       // number of the last fragment, 0 until it is received
    pieces: [(u32, u16); MAX_FRAGMENTS as usize], // start and length of each fragment in `store`
    received: u64,                  // one bit for each fragment number
}

/// Result of adding a fragment to a [`Reassembly`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The fragment was stored; others are missing.
    Stored,
    /// The fragment was stored, and the message is complete.
    Complete,
    /// The fragment was received before, with the same data.
    Duplicate,
}

/// Error for a fragment that was refused; the [`Reassembly`] is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentError {
    /// The message does not contain a fragment payload.
    NotAFragment,
    /// The fragment ID, the cookies, the exchange type or the message ID differ; the caller decides whether to
    /// [`reset`](Reassembly::reset).
    OtherMessage {
        /// Fragment ID of the refused fragment.
        id: u16,
    },
    /// The fragment number is above [`MAX_FRAGMENTS`].
    NumberTooLarge(u8),
    /// A fragment of this number was received before, with different data.
    Conflict(u8),
    /// The fragment number is above that of the last fragment, or the fragment is a second last fragment.
    LastMismatch(u8),
    /// The fragment contains no data.
    Empty(u8),
    /// The message is longer than the buffer of the [`Reassembly`].
    NoSpace,
}

impl fmt::Display for FragmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFragment => f.write_str("message is not a fragment"),
            Self::OtherMessage { id } => write!(f, "fragment with ID {id} is part of another message"),
            Self::NumberTooLarge(number) => write!(f, "fragment number {number} exceeds {MAX_FRAGMENTS}"),
            Self::Conflict(number) => write!(f, "fragment {number} was received before with different data"),
            Self::LastMismatch(number) => write!(f, "fragment {number} contradicts the number of the last fragment"),
            Self::Empty(number) => write!(f, "fragment {number} is empty"),
            Self::NoSpace => f.write_str("message is longer than the reassembly buffer"),
        }
    }
}

impl core::error::Error for FragmentError {}

impl<'b> Reassembly<'b> {
    /// Creates an empty reassembly; the length of `store` limits the length of the message.
    pub const fn new(store: &'b mut [u8]) -> Self {
        Self { store, used: 0, message: None, last: 0, pieces: [(0, 0); MAX_FRAGMENTS as usize], received: 0 }
    }

    /// Discards all received fragments.
    pub fn reset(&mut self) {
        (self.used, self.message, self.last, self.received) = (0, None, 0, 0);
    }

    /// Adds the fragment that a message contains.
    ///
    /// # Errors
    /// [`FragmentError`]; the reassembly is unchanged.
    pub fn add(&mut self, message: &Message<'_>) -> Result<Progress, FragmentError> {
        let Some(Body::Fragment(fragment)) = message.payloads().next().map(|p| p.view()) else {
            return Err(FragmentError::NotAFragment);
        };
        let key = (Header { length: 0, flags: Flags(0), ..*message.header() }, fragment.id);
        if self.message.is_some_and(|known| known != key) {
            return Err(FragmentError::OtherMessage { id: fragment.id });
        }
        let progress = self.store(&fragment)?;
        self.message = Some(key);
        Ok(progress)
    }

    fn store(&mut self, fragment: &Fragment<'_>) -> Result<Progress, FragmentError> {
        let number = fragment.number;
        let bit = number.checked_sub(1).and_then(|n| 1u64.checked_shl(u32::from(n)));
        let bit = bit.ok_or(FragmentError::NumberTooLarge(number))?;
        if self.received & bit != 0 {
            let same = self.piece(number) == Some(fragment.data) && fragment.is_last() == (self.last == number);
            return if same { Ok(Progress::Duplicate) } else { Err(FragmentError::Conflict(number)) };
        }
        let contradicts_last = if fragment.is_last() {
            self.last != 0 || self.received >= bit
        } else {
            self.last != 0 && number > self.last
        };
        if contradicts_last {
            return Err(FragmentError::LastMismatch(number));
        }
        if fragment.data.is_empty() {
            return Err(FragmentError::Empty(number));
        }
        let end = self.used.checked_add(fragment.data.len()).ok_or(FragmentError::NoSpace)?;
        let target = self.store.get_mut(self.used..end).ok_or(FragmentError::NoSpace)?;
        let entry =
            self.pieces.get_mut(usize::from(number.saturating_sub(1))).ok_or(FragmentError::NumberTooLarge(number))?;
        let start = u32::try_from(self.used).map_err(|_| FragmentError::NoSpace)?;
        let length = u16::try_from(fragment.data.len()).map_err(|_| FragmentError::NoSpace)?;
        fill(target, fragment.data).map_err(|_| FragmentError::NoSpace)?;
        *entry = (start, length);
        self.used = end;
        self.received |= bit;
        if fragment.is_last() {
            self.last = number;
        }
        Ok(if self.is_complete() { Progress::Complete } else { Progress::Stored })
    }

    fn piece(&self, number: u8) -> Option<&[u8]> {
        let &(start, length) = self.pieces.get(usize::from(number.checked_sub(1)?))?;
        let start = usize::try_from(start).ok()?;
        self.store.get(start..start.checked_add(usize::from(length))?)
    }

    /// Returns whether every fragment up to the last one has been received.
    pub const fn is_complete(&self) -> bool {
        self.last != 0 && self.received.trailing_ones() >= self.last as u32
    }

    /// Copies the complete message to the start of `out`.
    ///
    /// # Errors
    /// [`NoSpace`] when fragments are missing or `out` is shorter than the message.
    pub fn message<'o>(&self, out: &'o mut [u8]) -> Result<&'o mut [u8], NoSpace> {
        if !self.is_complete() {
            return Err(NoSpace);
        }
        let out = out.get_mut(..self.used).ok_or(NoSpace)?;
        let mut rest = &mut *out;
        for number in 1..=self.last {
            let piece = self.piece(number).ok_or(NoSpace)?;
            let (target, remaining) = rest.split_at_mut_checked(piece.len()).ok_or(NoSpace)?;
            fill(target, piece)?;
            rest = remaining;
        }
        Ok(out)
    }
}
