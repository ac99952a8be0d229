//! Serialized form of counters and windows: `version | kind | width | 0 | body`, with all integers big-endian.

use core::fmt;

use crate::SeqWidth;

const VERSION: u8 = 1;
const HEADER: usize = 4;

const fn header(kind: u8, width: SeqWidth) -> [u8; HEADER] {
    let width = match width {
        SeqWidth::Bits32 => 32,
        SeqWidth::Extended64 => 64,
    };
    [VERSION, kind, width, 0]
}

pub(crate) struct StateWriter<'a> {
    rest: &'a mut [u8],
}

impl<'a> StateWriter<'a> {
    pub(crate) fn new(bytes: &'a mut [u8], kind: u8, width: SeqWidth) -> Self {
        let mut writer = Self { rest: bytes };
        writer.put(&header(kind, width));
        writer
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn put(&mut self, value: &[u8]) {
        if let Some((front, rest)) = core::mem::take(&mut self.rest).split_at_mut_checked(value.len()) {
            front.copy_from_slice(value);
            self.rest = rest;
        }
    }
}

pub(crate) struct StateReader<'a> {
    rest: &'a [u8],
}

impl<'a> StateReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], kind: u8, width: SeqWidth) -> Result<Self, StateError> {
        match bytes.split_first_chunk::<HEADER>() {
            Some((&[version, ..], _)) if version != VERSION => Err(StateError::Version(version)),
            Some((found, rest)) if *found == header(kind, width) => Ok(Self { rest }),
            _ => Err(StateError::Malformed),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        self.take().map(u32::from_be_bytes)
    }

    pub(crate) fn end(&self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::Malformed) }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(StateError::Malformed)?;
        self.rest = rest;
        Ok(*value)
    }
}

/// Error of an exported state that cannot be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The octets are not the state of such a counter or window: length, kind, width or size is wrong, or the
    /// contents are contradictory.
    Malformed,
    /// The format has this unknown version.
    Version(u8),
    /// The state is behind the current one: to import it would repeat numbers or accept replays.
    Outdated {
        /// Last number used, or highest number received, of the current state.
        held: u64,
        /// Last number used, or highest number received, of the imported state.
        offered: u64,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed state"),
            Self::Version(v) => write!(f, "unknown state version {v}"),
            Self::Outdated { held, offered } => write!(f, "state is outdated: got {offered}, expected {held} or above"),
        }
    }
}

impl core::error::Error for StateError {}
