//! Octets of a capture file, read in order.

use std::io::{self, ErrorKind, Read};

/// Octets of a file with the offset of the next one. The end of the file and the end of truncated compressed data are
/// the same: fewer octets are returned than were requested.
pub struct Source<'r> {
    inner: Box<dyn Read + 'r>,
    /// Offset of the next octet, in the decompressed file.
    pub offset: u64,
}

impl<'r> Source<'r> {
    /// Reads from the start of a file.
    pub fn new(inner: impl Read + 'r) -> Self {
        Self { inner: Box::new(inner), offset: 0 }
    }

    /// Returns the next `N` octets, or as many as the file contains, followed by zeros, with their number.
    pub fn array<const N: usize>(&mut self) -> io::Result<([u8; N], usize)> {
        let mut octets = Vec::with_capacity(N);
        let length = self.append(N, &mut octets)?;
        octets.resize(N, 0);
        Ok((octets.try_into().unwrap_or([0; N]), length))
    }

    /// Appends the next `length` octets, or as many as the file contains, and returns their number. Memory grows with
    /// the octets that are present.
    pub fn append(&mut self, length: usize, octets: &mut Vec<u8>) -> io::Result<usize> {
        let before = octets.len();
        let done = self.inner.by_ref().take(length as u64).read_to_end(octets);
        let read = octets.len().saturating_sub(before);
        self.offset = self.offset.saturating_add(read as u64);
        until_the_end(done)?;
        Ok(read)
    }

    /// Skips the next `length` octets, or as many as the file contains, and returns their number.
    pub fn skip(&mut self, length: u64) -> io::Result<u64> {
        let mut counted = Counted(0);
        let done = io::copy(&mut self.inner.by_ref().take(length), &mut counted);
        self.offset = self.offset.saturating_add(counted.0);
        until_the_end(done)?;
        Ok(counted.0)
    }
}

/// Sink that counts octets.
struct Counted(u64);

impl io::Write for Counted {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(octets.len() as u64);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn until_the_end<T>(done: io::Result<T>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() != ErrorKind::UnexpectedEof => Err(e),
        _ => Ok(()),
    }
}
