//! Packets that are sealed in two steps: each gets its header, IV, padding and trailer first; encryption and ICVs of
//! several follow together.

use heapless::Vec;
use ipsec_crypto::batch;
use ipsec_crypto::{EspParts, Suite};
use ipsec_packet::{IpProto, PacketBuf, Seq};

use crate::batch::GROUP_LEN;
use crate::seal::high_half;
use crate::{IvSource, Outbound, Padding, SealError};

/// Packet that is complete except for the cryptography. It contains plaintext, and must not be sent before
/// [`seal_prepared`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Prepared {
    /// Sequence number that the packet has used.
    pub seq: Seq,
    /// Length of the ESP packet, in octets.
    pub length: usize,
    seq_high: Option<[u8; 4]>,
}

/// Prepared packet and the suite that completes it.
#[derive(Debug)]
pub struct Unsealed<'p, S> {
    /// Suite of the SA that has prepared the packet.
    pub suite: &'p S,
    /// Packet that [`Outbound::prepare`] has prepared.
    pub prepared: Prepared,
    /// Packet, whose last [`Prepared::length`] octets are the ESP packet.
    pub packet: &'p mut [u8],
}

impl<S: Suite> Outbound<S> {
    /// Adds header, IV, padding and trailer with space for the ICV, and uses the next sequence number (RFC 4303
    /// section 3.3). Headers may be added in front before the packet is completed by [`seal_prepared`].
    ///
    /// # Errors
    /// [`SealError`], as for [`seal`](Self::seal); packet and counter are unchanged.
    pub fn prepare(
        &mut self,
        packet: &mut PacketBuf<'_>,
        next_header: IpProto,
        padding: Padding,
        iv: &mut impl IvSource,
    ) -> Result<Prepared, SealError> {
        let (seq, _) = self.frame(packet, next_header, padding, iv)?;
        Ok(Prepared { seq, length: packet.len(), seq_high: high_half(seq, self.counter().width()) })
    }

    /// Returns whether this number of packets is faster together than one after the other.
    pub fn gains_from_batch(&self, packets: usize) -> bool {
        batch::seals_together(self.suite(), packets)
    }
}

/// Encrypts prepared packets and computes their ICVs, with the result of [`Outbound::seal`] for each (RFC 4303 section
/// 3.3.2). Returns the number of complete packets. A packet that is shorter than it was prepared is unchanged, and not
/// counted.
pub fn seal_prepared<'p, S: Suite + 'p>(packets: impl IntoIterator<Item = Unsealed<'p, S>>) -> usize {
    let (mut packets, mut complete) = (packets.into_iter(), 0usize);
    loop {
        let mut parts: Vec<(&S, EspParts<'p>), GROUP_LEN> = Vec::new();
        for Unsealed { suite, prepared, packet } in packets.by_ref().take(GROUP_LEN) {
            let esp = packet.len().checked_sub(prepared.length).and_then(|at| packet.get_mut(at..));
            if let Some(Ok(split)) = esp.map(|esp| EspParts::split(suite.layout(), esp, prepared.seq_high)) {
                let _ = parts.push((suite, split)); // there is room
            }
        }
        if parts.is_empty() {
            return complete;
        }
        complete = complete.saturating_add(parts.len());
        let mut group: Vec<(&S, &mut EspParts<'p>), GROUP_LEN> = Vec::new();
        for (suite, parts) in &mut parts {
            let _ = group.push((*suite, parts)); // there is room
        }
        batch::seal(&mut group);
    }
}
