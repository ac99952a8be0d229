use ipsec_packet::PacketBuf;

use crate::IpsecStatus;
use crate::memory::{octets_mut, one};

/// Where a packet lies in a buffer of the caller: `size` octets at `bytes`, of which `len` from `start` on are the packet. Headers are
/// written in front of it, and trailers behind it.
#[repr(C)]
pub struct IpsecPacket {
    /// The buffer.
    pub bytes: *mut u8,
    /// Octets of the buffer.
    pub size: usize,
    /// Where the packet begins.
    pub start: usize,
    /// Octets of the packet.
    pub len: usize,
}

impl IpsecPacket {
    /// Changes the packet at `at`, and says where it lies afterwards.
    ///
    /// # Safety
    /// A pointer that is not null points to a packet whose buffer is good for `size` octets, and nobody else uses either.
    pub(crate) unsafe fn change<T>(
        at: *mut Self,
        work: impl FnOnce(&mut PacketBuf<'_>) -> Result<T, IpsecStatus>,
    ) -> Result<T, IpsecStatus> {
        // SAFETY: the caller's promise.
        let packet = unsafe { one(at) }?;
        // SAFETY: the caller's promise.
        let bytes = unsafe { octets_mut(packet.bytes, packet.size) }?;
        let mut buffer = PacketBuf::with_headroom(bytes, packet.start, packet.len).map_err(|_| IpsecStatus::NoSpace)?;
        let done = work(&mut buffer)?;
        (packet.start, packet.len) = (buffer.headroom(), buffer.len());
        Ok(done)
    }
}
