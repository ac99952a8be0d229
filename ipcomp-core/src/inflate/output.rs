use super::InflateError;

/// Output buffer, which is also the window, and the number of octets written.
pub(super) struct Output<'a> {
    octets: &'a mut [u8],
    at: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(octets: &'a mut [u8]) -> Self {
        Self { octets, at: 0 }
    }

    /// Returns the number of octets written.
    pub(super) fn len(&self) -> usize {
        self.at
    }

    /// Overwrites the written octets with zeros.
    pub(super) fn clear(&mut self) {
        self.octets.get_mut(..self.at).unwrap_or_default().fill(0);
    }

    #[inline]
    pub(super) fn push(&mut self, octet: u8) -> Result<(), InflateError> {
        *self.octets.get_mut(self.at).ok_or(InflateError::OutputFull)? = octet;
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    pub(super) fn extend(&mut self, octets: &[u8]) -> Result<(), InflateError> {
        let end = self.at.saturating_add(octets.len());
        let slot = self.octets.get_mut(self.at..end).ok_or(InflateError::OutputFull)?;
        slot.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        self.at = end;
        Ok(())
    }

    /// Repeats `length` octets from `distance` back; source and destination may overlap.
    #[inline]
    pub(super) fn repeat(&mut self, distance: usize, length: usize) -> Result<(), InflateError> {
        self.at = repeat(self.octets, self.at, distance, length)?;
        Ok(())
    }

    /// Calls `write` with a local copy of this output, which the compiler keeps in registers, while a reference would
    /// keep it in memory.
    #[inline]
    pub(super) fn with<R>(&mut self, write: impl FnOnce(&mut Output<'_>) -> R) -> R {
        let mut local = Output { octets: &mut *self.octets, at: self.at };
        let result = write(&mut local);
        self.at = local.at;
        result
    }
}

#[inline]
fn repeat(output: &mut [u8], at: usize, distance: usize, length: usize) -> Result<usize, InflateError> {
    let (done, free) = output.split_at_mut_checked(at).ok_or(InflateError::OutputFull)?;
    //= RFC 2394 2/1
    //# MUST: history is cleared between packets, both ways
    let from = done.len().checked_sub(distance).ok_or(InflateError::DistanceTooLarge)?;
    let free = free.get_mut(..length).ok_or(InflateError::OutputFull)?;
    let source = done.get(from..).unwrap_or_default();
    let end = at.saturating_add(length);
    if let (Some(source), true) = (source.get(..length), length <= distance) {
        // Copy short matches by words, and the tail octet by octet.
        let (to, to_tail) = free.as_chunks_mut::<8>();
        let (from, from_tail) = source.as_chunks::<8>();
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        to_tail.iter_mut().zip(from_tail).for_each(|(to, from)| *to = *from);
        return Ok(end);
    }
    if let [octet] = source {
        free.fill(*octet);
        return Ok(end);
    }
    // The pattern repeats: the octets already written are the source of the following ones.
    free.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
    let mut written = distance;
    while let Some((pattern, rest)) = free.split_at_mut_checked(written).filter(|(_, rest)| !rest.is_empty()) {
        rest.iter_mut().zip(pattern.iter()).for_each(|(to, from)| *to = *from);
        written = written.saturating_mul(2);
    }
    Ok(end)
}
