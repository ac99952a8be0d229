use core::cell::Cell;
use core::fmt;

/// The caller's bytes and a movable window over them: `headroom | data | tailroom`.
///
/// Headers are pushed and pulled at the front, trailers at the back; nothing is allocated and the payload never moves.
pub struct PacketBuf<'a> {
    bytes: &'a mut [u8],
    start: usize, // start <= end <= bytes.len(), kept by every method
    end: usize,
}

impl<'a> PacketBuf<'a> {
    /// A packet as it was received: all of `bytes` is data, there is no room around it.
    pub fn received(bytes: &'a mut [u8]) -> Self {
        let end = bytes.len();
        Self { bytes, start: 0, end }
    }

    /// A packet of `len` octets that begins `headroom` octets into `bytes`; what follows it is tailroom.
    ///
    /// # Errors
    /// [`NoSpace::Back`] when `headroom + len` exceeds `bytes`.
    pub fn with_headroom(bytes: &'a mut [u8], headroom: usize, len: usize) -> Result<Self, NoSpace> {
        let available = bytes.len().saturating_sub(headroom);
        match headroom.checked_add(len) {
            Some(end) if end <= bytes.len() => Ok(Self { bytes, start: headroom, end }),
            _ => Err(NoSpace::Back { needed: len, available }),
        }
    }

    /// The packet.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The packet, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// The packet, for as long as the buffer lives.
    pub fn into_data(self) -> &'a mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Octets in the packet.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the packet has no octets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets that can still be pushed at the front.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Octets that can still be pushed at the back.
    pub fn tailroom(&self) -> usize {
        self.bytes.len().saturating_sub(self.end)
    }

    /// Checks that `front` and `back` octets can be pushed, without pushing them.
    ///
    /// # Errors
    /// [`NoSpace`] naming the side that is too small.
    pub fn check_space(&self, front: usize, back: usize) -> Result<(), NoSpace> {
        if front > self.headroom() {
            return Err(NoSpace::Front { needed: front, available: self.headroom() });
        }
        if back > self.tailroom() {
            return Err(NoSpace::Back { needed: back, available: self.tailroom() });
        }
        Ok(())
    }

    /// Grows the packet by `n` octets at the front and gives them to be written; they hold what was there before.
    ///
    /// # Errors
    /// [`NoSpace::Front`]; the packet is unchanged.
    pub fn push_front(&mut self, n: usize) -> Result<&mut [u8], NoSpace> {
        let old = self.start;
        let new = old.checked_sub(n).ok_or(NoSpace::Front { needed: n, available: old })?;
        self.start = new;
        Ok(self.bytes.get_mut(new..old).unwrap_or_default())
    }

    /// Grows the packet by `n` octets at the back and gives them to be written; they hold what was there before.
    ///
    /// # Errors
    /// [`NoSpace::Back`]; the packet is unchanged.
    pub fn push_back(&mut self, n: usize) -> Result<&mut [u8], NoSpace> {
        let (old, available) = (self.end, self.tailroom());
        let new = old.checked_add(n).filter(|_| n <= available).ok_or(NoSpace::Back { needed: n, available })?;
        self.end = new;
        Ok(self.bytes.get_mut(old..new).unwrap_or_default())
    }

    /// Writes `bytes` in front of the packet.
    ///
    /// # Errors
    /// [`NoSpace::Front`]; the packet is unchanged.
    pub fn prepend(&mut self, bytes: &[u8]) -> Result<(), NoSpace> {
        fill(self.push_front(bytes.len())?, bytes);
        Ok(())
    }

    /// Writes `bytes` behind the packet.
    ///
    /// # Errors
    /// [`NoSpace::Back`]; the packet is unchanged.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), NoSpace> {
        fill(self.push_back(bytes.len())?, bytes);
        Ok(())
    }

    /// Takes `n` octets off the front; they become headroom and keep their contents.
    ///
    /// # Errors
    /// [`TooShort`]; the packet is unchanged.
    pub fn pull_front(&mut self, n: usize) -> Result<(), TooShort> {
        let new = self.start.checked_add(n).filter(|&s| s <= self.end);
        self.start = new.ok_or(TooShort { needed: n, available: self.len() })?;
        Ok(())
    }

    /// Takes `n` octets off the back; they become tailroom and keep their contents.
    ///
    /// # Errors
    /// [`TooShort`]; the packet is unchanged.
    pub fn pull_back(&mut self, n: usize) -> Result<(), TooShort> {
        let new = self.end.checked_sub(n).filter(|&e| e >= self.start);
        self.end = new.ok_or(TooShort { needed: n, available: self.len() })?;
        Ok(())
    }

    /// Cuts the packet to its first `len` octets; a packet that is not longer stays as it is.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Overwrites the packet, and `front` octets in front of it and `back` octets behind it, as far as they are there, with zeros.
    pub fn wipe(&mut self, front: usize, back: usize) {
        let (start, end) = (self.start.saturating_sub(front), self.end.saturating_add(back).min(self.bytes.len()));
        self.bytes.get_mut(start..end).unwrap_or_default().fill(0);
    }

    /// The packet, and the room behind it to work in.
    pub fn data_and_tailroom(&mut self) -> (&[u8], &mut [u8]) {
        let len = self.len();
        let rest = self.bytes.get_mut(self.start..).unwrap_or_default();
        let (data, tailroom) = rest.split_at_mut_checked(len).unwrap_or_default();
        (data, tailroom)
    }

    /// Makes `head` and the first `len` octets of the tailroom the packet, in the place of the old one. What is left of both
    /// behind it is wiped.
    ///
    /// # Errors
    /// [`NoSpace::Back`] when `head` is longer than the old packet or `len` than the tailroom; nothing has changed.
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
        // Piece by piece, each as long as the way it moves: source and destination never overlap.
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

    /// Puts a gap of `size` octets behind the first `head` octets, which move to the front: `head | gap | rest`.
    ///
    /// # Errors
    /// [`NoSpace`] when the headroom is smaller than `size` or the packet shorter than `head`; nothing has moved.
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

    /// Removes the `size` octets behind the first `head` octets, which move to the back: `head | rest`.
    ///
    /// # Errors
    /// [`TooShort`] when the packet is shorter than `head + size`; nothing has moved.
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

/// Lengths only: the packet may be plaintext.
impl fmt::Debug for PacketBuf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketBuf({} | {} | {} octets)", self.headroom(), self.len(), self.tailroom())
    }
}

fn fill(slot: &mut [u8], bytes: &[u8]) {
    for (to, from) in slot.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// The buffer around a packet is too small for what was to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSpace {
    /// Not enough headroom.
    Front {
        /// Octets asked for.
        needed: usize,
        /// Octets there.
        available: usize,
    },
    /// Not enough tailroom.
    Back {
        /// Octets asked for.
        needed: usize,
        /// Octets there.
        available: usize,
    },
}

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, needed, available) = match self {
            Self::Front { needed, available } => ("in front of", needed, available),
            Self::Back { needed, available } => ("behind", needed, available),
        };
        write!(f, "no room {side} the packet: {needed} octets needed, {available} there")
    }
}

impl core::error::Error for NoSpace {}

/// A packet has fewer octets than its headers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort {
    /// Octets needed.
    pub needed: usize,
    /// Octets there.
    pub available: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packet too short: {} octets needed, {} there", self.needed, self.available)
    }
}

impl core::error::Error for TooShort {}
