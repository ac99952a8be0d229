use ipsec_packet::PacketBuf;

use crate::IpsecStatus;
use crate::memory::{octets_mut, one};

/// Position of a packet in a buffer of the caller. The buffer has `size` octets at `bytes`; the packet has `len`
/// octets from offset `start` on. Headers are written in front of the packet, and trailers after it.
#[repr(C)]
pub struct IpsecPacket {
    /// Pointer to the buffer.
    pub bytes: *mut u8,
    /// Length of the buffer in octets.
    pub size: usize,
    /// Offset of the packet in the buffer.
    pub start: usize,
    /// Length of the packet in octets.
    pub len: usize,
}

impl IpsecPacket {
    /// Runs `work` on the packet and stores its new position if `work` succeeds.
    ///
    /// # Safety
    /// `at` is null or points to a packet whose buffer is valid for `size` octets, without other accesses to either.
    pub(crate) unsafe fn change<T>(
        at: *mut Self,
        work: impl FnOnce(&mut PacketBuf<'_>) -> Result<T, IpsecStatus>,
    ) -> Result<T, IpsecStatus> {
        // SAFETY: guaranteed by the caller.
        let packet = unsafe { one(at) }?;
        // SAFETY: guaranteed by the caller.
        let bytes = unsafe { octets_mut(packet.bytes, packet.size) }?;
        let mut buffer = PacketBuf::with_headroom(bytes, packet.start, packet.len).map_err(|_| IpsecStatus::NoSpace)?;
        let done = work(&mut buffer)?;
        (packet.start, packet.len) = (buffer.headroom(), buffer.len());
        Ok(done)
    }
}
