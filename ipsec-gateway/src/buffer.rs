//! Buffer for one packet with space for the headers and trailers of its policy.

use std::io;

use ipsec_packet::PacketBuf;

/// Octets in front of a received packet.
const HEADROOM: usize = 512;
/// Largest IP packet in octets.
const MAX_PACKET: usize = 65_535;
/// Octets after the largest packet, for trailers and for compression.
const TAILROOM: usize = MAX_PACKET + 512;

/// Buffer for one packet.
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// Allocates the memory of a buffer.
    pub fn new() -> Self {
        Self(vec![0; HEADROOM + MAX_PACKET + TAILROOM])
    }

    /// Receives a packet: `read` writes it and returns its length.
    ///
    /// # Errors
    /// The error of `read`.
    pub fn receive(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<PacketBuf<'_>> {
        let space = self.0.get_mut(HEADROOM..HEADROOM + MAX_PACKET).ok_or(io::ErrorKind::InvalidInput)?;
        let length = read(space)?;
        PacketBuf::with_headroom(&mut self.0, HEADROOM, length).map_err(io::Error::other)
    }

    /// Copies a packet of at most 65,535 octets.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a longer packet.
    pub fn copy(&mut self, packet: &[u8]) -> io::Result<PacketBuf<'_>> {
        self.receive(|buffer| {
            let space = buffer.get_mut(..packet.len()).ok_or(io::ErrorKind::InvalidInput)?;
            space.copy_from_slice(packet);
            Ok(packet.len())
        })
    }
}

/// Buffer without memory, which remains where a buffer was taken. It receives no packet.
impl Default for Buffer {
    fn default() -> Self {
        Self(Vec::new())
    }
}
