use core::fmt;

use crate::body::Body;
use crate::error::{DecodeErrorKind, NoSpace};
use crate::header::Header;
use crate::message::Message;
use crate::number::{Flags, PayloadKind};
use crate::writer::{BodyWriter, MessageWriter, fill};

/// A piece of a message that was too large for one datagram: the fragmentation of Cisco and Microsoft, payload 132.
///
/// ```text
/// | generic header (4) | fragment ID (2) | number (1), from 1 | flags (1), 1 for the last | data |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The same in all fragments of a message.
    pub id: u16,
    /// From 1 upwards.
    pub number: u8,
    /// Bit 0 marks the last fragment; the others are kept.
    pub flags: u8,
    /// A piece of the message, the ISAKMP header in the first.
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

    /// Whether the message ends with this fragment.
    pub const fn is_last(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Writes the body.
    ///
    /// # Errors
    /// [`NoSpace`].
    pub fn write(&self, body: &mut BodyWriter<'_>) -> Result<(), NoSpace> {
        body.put(&self.id.to_be_bytes())?;
        body.put(&[self.number, self.flags])?;
        body.put(self.data)
    }
}

/// Cuts a message into fragments of at most `data` octets each and writes number `number` (from 1) into `buf`.
///
/// `None` when the message has no such fragment. The flags of the fragments' headers are zero, as Microsoft sends them.
///
/// # Errors
/// [`NoSpace`], also when the message is no ISAKMP message or would need more than [`MAX_FRAGMENTS`].
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

/// The most fragments a message may have: 64 of Microsoft's 552 octets are more than 32 KiB.
pub const MAX_FRAGMENTS: u8 = 64;

/// Puts a message together from fragments that come in any order.
///
/// The pieces are stored in the caller's bytes in the order of their arrival, so that each is copied once, and once more
/// when the message is whole: the work is linear in its length, whatever the order. Nothing is stored before it is known
/// to fit, and a fragment that does not belong here changes nothing.
#[derive(Debug)]
pub struct Reassembly<'b> {
    store: &'b mut [u8],
    used: usize,
    message: Option<(Header, u16)>, // what all fragments have in common: a header, but for its length, and an ID
    last: u8,                       // the number of the last fragment, 0 while it is not there
    pieces: [(u32, u16); MAX_FRAGMENTS as usize], // where each number begins, and its octets
    received: u64,                  // a bit for each number
}

/// What a fragment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Stored; more are to come.
    Stored,
    /// Stored, and the message is whole.
    Complete,
    /// It was there already, with the same octets.
    Duplicate,
}

/// Why a fragment is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentError {
    /// The message has no fragment payload.
    NotAFragment,
    /// Another fragment ID, other cookies, another exchange or message ID: the caller decides whether to start anew.
    OtherMessage {
        /// The ID of the fragment.
        id: u16,
    },
    /// A number above [`MAX_FRAGMENTS`].
    TooMany(u8),
    /// The fragment was there already, with other octets.
    Conflict(u8),
    /// A number behind the last fragment, or a second last fragment.
    BehindTheLast(u8),
    /// A fragment without octets.
    Empty(u8),
    /// The message is longer than the caller's buffer.
    NoSpace,
}

impl fmt::Display for FragmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFragment => f.write_str("not a fragment"),
            Self::OtherMessage { id } => write!(f, "fragment of another message, ID {id}"),
            Self::TooMany(number) => write!(f, "fragment number {number} above {MAX_FRAGMENTS}"),
            Self::Conflict(number) => write!(f, "fragment {number} was there with other octets"),
            Self::BehindTheLast(number) => write!(f, "fragment {number} contradicts the last one"),
            Self::Empty(number) => write!(f, "fragment {number} is empty"),
            Self::NoSpace => f.write_str("the message is longer than the buffer"),
        }
    }
}

impl core::error::Error for FragmentError {}

impl<'b> Reassembly<'b> {
    /// Nothing received; `store` bounds the length of the message.
    pub const fn new(store: &'b mut [u8]) -> Self {
        Self { store, used: 0, message: None, last: 0, pieces: [(0, 0); MAX_FRAGMENTS as usize], received: 0 }
    }

    /// Forgets what was received.
    pub fn reset(&mut self) {
        (self.used, self.message, self.last, self.received) = (0, None, 0, 0);
    }

    /// Takes a message that holds a fragment.
    ///
    /// # Errors
    /// [`FragmentError`]; nothing is changed.
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
        let bit = bit.ok_or(FragmentError::TooMany(number))?;
        if self.received & bit != 0 {
            let same = self.piece(number) == Some(fragment.data) && fragment.is_last() == (self.last == number);
            return if same { Ok(Progress::Duplicate) } else { Err(FragmentError::Conflict(number)) };
        }
        let behind = if fragment.is_last() {
            self.last != 0 || self.received >= bit
        } else {
            self.last != 0 && number > self.last
        };
        if behind {
            return Err(FragmentError::BehindTheLast(number));
        }
        if fragment.data.is_empty() {
            return Err(FragmentError::Empty(number));
        }
        let end = self.used.checked_add(fragment.data.len()).ok_or(FragmentError::NoSpace)?;
        let room = self.store.get_mut(self.used..end).ok_or(FragmentError::NoSpace)?;
        let entry = self.pieces.get_mut(usize::from(number.saturating_sub(1))).ok_or(FragmentError::TooMany(number))?;
        let start = u32::try_from(self.used).map_err(|_| FragmentError::NoSpace)?;
        let length = u16::try_from(fragment.data.len()).map_err(|_| FragmentError::NoSpace)?;
        fill(room, fragment.data).map_err(|_| FragmentError::NoSpace)?;
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

    /// Whether every fragment up to the last is there.
    pub const fn is_complete(&self) -> bool {
        self.last != 0 && self.received.trailing_ones() >= self.last as u32
    }

    /// Copies the message, when it is whole, to the front of `out`.
    ///
    /// # Errors
    /// [`NoSpace`] when fragments are missing or `out` is too short for them.
    pub fn message<'o>(&self, out: &'o mut [u8]) -> Result<&'o mut [u8], NoSpace> {
        if !self.is_complete() {
            return Err(NoSpace);
        }
        let out = out.get_mut(..self.used).ok_or(NoSpace)?;
        let mut rest = &mut *out;
        for number in 1..=self.last {
            let piece = self.piece(number).ok_or(NoSpace)?;
            let (room, behind) = rest.split_at_mut_checked(piece.len()).ok_or(NoSpace)?;
            fill(room, piece)?;
            rest = behind;
        }
        Ok(out)
    }
}
