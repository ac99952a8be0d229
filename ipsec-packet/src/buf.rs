use core::cell::Cell;
use core::fmt;

/// Packet within a buffer of the caller: `headroom | data | tailroom`.
///
/// Headers are added and removed at the front, trailers at the back. Nothing is allocated and the payload is not
/// moved.
pub struct PacketBuf<'a> {
    bytes: &'a mut [u8],
    start: usize, // start <= end <= bytes.len(), kept by every method
    end: usize,
}

impl<'a> PacketBuf<'a> {
    /// Creates a buffer of a received packet: all of `bytes` is data, without head- and tailroom.
    pub fn received(bytes: &'a mut [u8]) -> Self {
        let end = bytes.len();
        Self { bytes, start: 0, end }
    }

    /// Creates a buffer whose packet of `len` octets begins at offset `headroom` of `bytes`; the rest is tailroom.
    ///
    /// # Errors
    /// [`NoSpace::Back`] if `headroom + len` exceeds the length of `bytes`.
    pub fn with_headroom(bytes: &'a mut [u8], headroom: usize, len: usize) -> Result<Self, NoSpace> {
        let available = bytes.len().saturating_sub(headroom);
        match headroom.checked_add(len) {
            Some(end) if end <= bytes.len() => Ok(Self { bytes, start: headroom, end }),
            _ => Err(NoSpace::Back { needed: len, available }),
        }
    }

    /// Returns the octets of the packet.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns the packet for changes in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Returns the packet for the lifetime of the buffer.
    pub fn into_data(self) -> &'a mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Returns the length of the packet in octets.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Returns whether the packet is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of octets that can be added at the front.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Returns the number of octets that can be added at the back.
    pub fn tailroom(&self) -> usize {
        self.bytes.len().saturating_sub(self.end)
    }

    /// Checks that `front` and `back` octets can be added, without adding them.
    ///
    /// # Errors
    /// [`NoSpace`] with the side that is too small.
    pub fn check_space(&self, front: usize, back: usize) -> Result<(), NoSpace> {
        if front > self.headroom() {
            return Err(NoSpace::Front { needed: front, available: self.headroom() });
        }
        if back > self.tailroom() {
            return Err(NoSpace::Back { needed: back, available: self.tailroom() });
        }
        Ok(())
    }

    /// Extends the packet by `n` octets at the front and returns them to be written; their contents are undefined.
    ///
    /// # Errors
    /// [`NoSpace::Front`]; the packet is unchanged.
    pub fn push_front(&mut self, n: usize) -> Result<&mut [u8], NoSpace> {
        let old = self.start;
        let new = old.checked_sub(n).ok_or(NoSpace::Front { needed: n, available: old })?;
        self.start = new;
        Ok(self.bytes.get_mut(new..old).unwrap_or_default())
    }

    /// Extends the packet by `n` octets at the back and returns them to be written; their contents are undefined.
    ///
    /// # Errors
    /// [`NoSpace::Back`]; the packet is unchanged.
    pub fn push_back(&mut self, n: usize) -> Result<&mut [u8], NoSpace> {
        let (old, available) = (self.end, self.tailroom());
        let new = old.checked_add(n).filter(|_| n <= available).ok_or(NoSpace::Back { needed: n, available })?;
        self.end = new;
        Ok(self.bytes.get_mut(old..new).unwrap_or_default())
    }

    /// Adds `bytes` in front of the packet.
    ///
    /// # Errors
    /// [`NoSpace::Front`]; the packet is unchanged.
    pub fn prepend(&mut self, bytes: &[u8]) -> Result<(), NoSpace> {
        fill(self.push_front(bytes.len())?, bytes);
        Ok(())
    }

    /// Adds `bytes` after the packet.
    ///
    /// # Errors
    /// [`NoSpace::Back`]; the packet is unchanged.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), NoSpace> {
        fill(self.push_back(bytes.len())?, bytes);
        Ok(())
    }

    /// Removes `n` octets at the front. They become headroom and keep their contents.
    ///
    /// # Errors
    /// [`TooShort`]; the packet is unchanged.
    pub fn pull_front(&mut self, n: usize) -> Result<(), TooShort> {
        let new = self.start.checked_add(n).filter(|&s| s <= self.end);
        self.start = new.ok_or(TooShort { needed: n, available: self.len() })?;
        Ok(())
    }

    /// Removes `n` octets at the back. They become tailroom and keep their contents.
    ///
    /// # Errors
    /// [`TooShort`]; the packet is unchanged.
    pub fn pull_back(&mut self, n: usize) -> Result<(), TooShort> {
        let new = self.end.checked_sub(n).filter(|&e| e >= self.start);
        self.end = new.ok_or(TooShort { needed: n, available: self.len() })?;
        Ok(())
    }

    /// Returns the position of the packet in the buffer, to which [`restore`](Self::restore) returns.
    pub const fn checkpoint(&self) -> Checkpoint {
        Checkpoint { start: self.start, end: self.end }
    }

    /// Returns the packet to the position that it had at a checkpoint of this buffer: octets that were pulled or
    /// truncated are part of it again, and octets that were pushed are not. The contents of the buffer are unchanged.
    pub const fn restore(&mut self, checkpoint: Checkpoint) {
        // A checkpoint of a larger buffer is truncated.
        let len = self.bytes.len();
        self.end = if checkpoint.end < len { checkpoint.end } else { len };
        self.start = if checkpoint.start < self.end { checkpoint.start } else { self.end };
    }

    /// Reduces the packet to its first `len` octets. A shorter packet is unchanged.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Overwrites the packet with zeros, and up to `front` octets of headroom and `back` octets of tailroom.
    pub fn wipe(&mut self, front: usize, back: usize) {
        let (start, end) = (self.start.saturating_sub(front), self.end.saturating_add(back).min(self.bytes.len()));
        self.bytes.get_mut(start..end).unwrap_or_default().fill(0);
    }

    /// Returns the packet and the tailroom.
    pub fn data_and_tailroom(&mut self) -> (&[u8], &mut [u8]) {
        let len = self.len();
        let rest = self.bytes.get_mut(self.start..).unwrap_or_default();
        let (data, tailroom) = rest.split_at_mut_checked(len).unwrap_or_default();
        (data, tailroom)
    }

    /// Replaces the packet by `head` followed by the first `len` octets of the tailroom. The remains of both are
    /// wiped.
    ///
    /// # Errors
    /// [`NoSpace::Back`] if `head` is longer than the old packet or `len` exceeds the tailroom; nothing has changed.
    pub fn replace(&mut self, head: &[u8], len: usize) -> Result<(), NoSpace> {
        let (old, available) = (self.len(), self.tailroom());
        if len > available {
            return Err(NoSpace::Back { needed: len, available });
        }
        let Some(distance) = old.checked_sub(head.len()) else {
            return Err(NoSpace::Back { needed: head.len(), available: old });
        };
        let rest = self.bytes.get_mut(self.start..).unwrap_or_default();
        let (front, mut window) = rest.split_at_mut_checked(head.len()).unwrap_or_default();
        fill(front, head);
        let mut left = if distance == 0 { 0 } else { len }; // at distance 0 it is in its place already
        // The data is moved in pieces no longer than the distance, so that source and destination never overlap.
        while let Some((to, from)) = window.split_at_mut_checked(distance).filter(|_| left > 0) {
            fill(to.get_mut(..left.min(distance)).unwrap_or_default(), from);
            left = left.saturating_sub(distance);
            window = from;
        }
        let worked_on = self.end.saturating_add(len);
        self.end = self.start.saturating_add(head.len()).saturating_add(len);
        self.bytes.get_mut(self.end..worked_on).unwrap_or_default().fill(0);
        Ok(())
    }

    /// Inserts a gap of `size` octets after the first `head` octets, which move to the front: `head | gap | rest`.
    ///
    /// # Errors
    /// [`NoSpace`] if the headroom is smaller than `size` or the packet shorter than `head`; nothing has changed.
    pub fn open_gap(&mut self, head: usize, size: usize) -> Result<(), NoSpace> {
        if head > self.len() {
            return Err(NoSpace::Back { needed: head, available: self.len() });
        }
        self.push_front(size)?;
        let cells = Cell::from_mut(self.data_mut()).as_slice_of_cells();
        let moved = cells.get(size..).unwrap_or_default();
        for (to, from) in cells.iter().zip(moved).take(head) {
            to.set(from.get());
        }
        Ok(())
    }

    /// Removes the `size` octets after the first `head` octets, which move to the back: `head | rest`.
    ///
    /// # Errors
    /// [`TooShort`] if the packet is shorter than `head + size`; nothing has changed.
    pub fn close_gap(&mut self, head: usize, size: usize) -> Result<(), TooShort> {
        let available = self.len();
        let both = head.checked_add(size).filter(|&n| n <= available);
        let both = both.ok_or(TooShort { needed: head.saturating_add(size), available })?;
        let cells = Cell::from_mut(self.data_mut()).as_slice_of_cells();
        let (from, to) = (cells.get(..head).unwrap_or_default(), cells.get(size..both).unwrap_or_default());
        for (to, from) in to.iter().zip(from).rev() {
            to.set(from.get());
        }
        self.pull_front(size)
    }
}

/// Position of a packet in its buffer, from [`PacketBuf::checkpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    start: usize,
    end: usize,
}

/// Prints lengths only, as the packet may be plaintext.
impl fmt::Debug for PacketBuf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketBuf({} | {} | {} octets)", self.headroom(), self.len(), self.tailroom())
    }
}

/// Copies octets into a slot of the same length.
pub(crate) fn fill(slot: &mut [u8], bytes: &[u8]) {
    for (to, from) in slot.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Error of a buffer with too little head- or tailroom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSpace {
    /// The headroom is too small.
    Front {
        /// Number of octets that are needed.
        needed: usize,
        /// Number of octets that are available.
        available: usize,
    },
    /// The tailroom is too small.
    Back {
        /// Number of octets that are needed.
        needed: usize,
        /// Number of octets that are available.
        available: usize,
    },
}

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, needed, available) = match self {
            Self::Front { needed, available } => ("headroom", needed, available),
            Self::Back { needed, available } => ("tailroom", needed, available),
        };
        write!(f, "{side} too small: {needed} octets needed, {available} available")
    }
}

impl core::error::Error for NoSpace {}

/// Error of a packet that is shorter than its headers require.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort {
    /// Number of octets that are needed.
    pub needed: usize,
    /// Number of octets that are available.
    pub available: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet too short: {} octets needed, {} available", self.needed, self.available)
    }
}

impl core::error::Error for TooShort {}
