use ike_codec::NoSpace;
use zeroize::Zeroize;

/// Octets of an exchange buffer, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Span {
    start: u16,
    len: u16,
}

/// Buffer of one exchange. Values that later messages need are stored from its front; the datagram that was sent last
/// is at its end. The octets between them are free, and the next datagram is written there. Functions that check bounds
/// are not inlined into the steps of the exchanges.
///
/// ```text
/// | SAi_b, private value, public values, nonces, identities .. | free | datagram sent last |
/// ```
pub(crate) struct Scratch<'b> {
    octets: &'b mut [u8],
    marks: &'b mut Marks,
}

/// Occupied parts of an exchange buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    pub front: u16,
    pub sent: u16,
    /// Position up to which values stay if the present step has to wait.
    pub kept: u16,
}

impl Span {
    /// Span of a value that does not exist.
    pub const NONE: Self = Self { start: 0, len: 0 };

    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl<'b> Scratch<'b> {
    pub const fn new(octets: &'b mut [u8], marks: &'b mut Marks) -> Self {
        Self { octets, marks }
    }

    /// Returns the octets of a span.
    pub fn get(&self, span: Span) -> &[u8] {
        let start = usize::from(span.start);
        self.octets.get(start..start.saturating_add(span.len.into())).unwrap_or_default()
    }

    /// Returns the values that are stored.
    pub fn stored(&self) -> Stored<'_> {
        Stored(self.octets.get(..self.marks.front.into()).unwrap_or_default())
    }

    /// Stores octets after those stored before.
    pub fn store(&mut self, octets: &[u8]) -> Result<Span, NoSpace> {
        self.store_with(|free, _| {
            let target = free.get_mut(..octets.len()).ok_or(NoSpace)?;
            target.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
            Ok::<usize, NoSpace>(octets.len())
        })
    }

    /// Stores the octets that `fill` writes to the free part; `fill` returns their number. `fill` may read what was
    /// stored before. On an error the free part is wiped.
    pub fn store_with<E: From<NoSpace>>(
        &mut self,
        fill: impl FnOnce(&mut [u8], Stored<'_>) -> Result<usize, E>,
    ) -> Result<Span, E> {
        let (free, stored) = self.free()?;
        let filled = fill(free, stored).and_then(|len| Ok(self.occupy(len)?));
        if filled.is_err() {
            self.wipe_free();
        }
        filled
    }

    /// Adds the first octets of the free part to the values that are stored.
    #[inline(never)]
    fn occupy(&mut self, len: usize) -> Result<Span, NoSpace> {
        let available = self.free()?.0.len();
        let len = if len <= available { u16::try_from(len).ok() } else { None };
        let span = Span { start: self.marks.front, len: len.ok_or(NoSpace)? };
        self.marks.front = self.marks.front.saturating_add(span.len);
        Ok(span)
    }

    #[inline(never)]
    fn wipe_free(&mut self) {
        if let Ok((free, _)) = self.free() {
            free.zeroize();
        }
    }

    /// Returns the free part, and the values stored before it.
    #[inline(never)]
    fn free(&mut self) -> Result<(&mut [u8], Stored<'_>), NoSpace> {
        let end = self.octets.len().saturating_sub(self.marks.sent.into());
        let occupied = self.octets.get_mut(..end).ok_or(NoSpace)?;
        let (stored, free) = occupied.split_at_mut_checked(self.marks.front.into()).ok_or(NoSpace)?;
        Ok((free, Stored(stored)))
    }

    /// Returns the position up to which values are stored, for [`truncate`](Self::truncate).
    pub const fn position(&self) -> u16 {
        self.marks.front
    }

    /// Wipes the values that were stored after a position.
    #[inline(never)]
    pub fn truncate(&mut self, position: u16) {
        if let Some(values) = self.octets.get_mut(position.into()..self.marks.front.into()) {
            values.zeroize();
            self.marks.front = position;
        }
    }

    /// Keeps the values that are stored now if the present step has to wait.
    pub const fn keep(&mut self) {
        self.marks.kept = self.marks.front;
    }

    /// Wipes the values that are not kept.
    pub fn revert(&mut self) {
        self.truncate(self.marks.kept);
    }

    /// Wipes the octets of a span, which stays occupied.
    #[inline(never)]
    pub fn wipe(&mut self, span: Span) {
        let start = usize::from(span.start);
        if let Some(octets) = self.octets.get_mut(start..start.saturating_add(span.len.into())) {
            octets.zeroize();
        }
    }

    /// Writes a datagram into the free part, which `write` returns with its length, and keeps it in place of the one
    /// sent before. On an error that one stays.
    pub fn send<E: From<NoSpace>>(
        &mut self,
        write: impl FnOnce(&mut [u8], Stored<'_>) -> Result<usize, E>,
    ) -> Result<(), E> {
        let (free, stored) = self.free()?;
        match write(free, stored) {
            Ok(len) => Ok(self.keep_sent(len)?),
            Err(e) => {
                self.wipe_free();
                Err(e)
            }
        }
    }

    /// Moves the datagram at the start of the free part to the end of the buffer.
    #[inline(never)]
    fn keep_sent(&mut self, len: usize) -> Result<(), NoSpace> {
        let front = usize::from(self.marks.front);
        let sent = u16::try_from(len).map_err(|_| NoSpace)?;
        let target = self.octets.len().checked_sub(len).ok_or(NoSpace)?;
        // The parts may overlap: the last octet is moved first.
        for at in (0..len).rev() {
            let octet = self.octets.get(front.saturating_add(at)).copied().ok_or(NoSpace)?;
            *self.octets.get_mut(target.saturating_add(at)).ok_or(NoSpace)? = octet;
        }
        self.marks.sent = sent;
        Ok(())
    }

    /// Returns the datagram that was sent last.
    pub fn sent(&self) -> &[u8] {
        let start = self.octets.len().saturating_sub(self.marks.sent.into());
        self.octets.get(start..).unwrap_or_default()
    }

    /// Wipes a value and those that were stored after it.
    pub fn remove(&mut self, span: Span) {
        self.truncate(span.start);
        self.marks.kept = self.marks.kept.min(span.start);
    }

    /// Wipes all octets except the datagram that was sent last.
    //= RFC 2409 8/1
    //# MUST: for forward secrecy of keys the state of a quick mode is deleted
    pub fn wipe_stored(&mut self) {
        self.truncate(0);
    }
}

/// Values in an exchange buffer, while new ones are written.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'b>(&'b [u8]);

impl<'b> Stored<'b> {
    /// Returns the octets from a position on.
    pub fn from(&self, position: u16) -> &'b [u8] {
        self.0.get(position.into()..).unwrap_or_default()
    }

    #[inline(never)]
    pub fn get(&self, span: Span) -> &'b [u8] {
        let start = usize::from(span.start);
        self.0.get(start..start.saturating_add(span.len.into())).unwrap_or_default()
    }
}
