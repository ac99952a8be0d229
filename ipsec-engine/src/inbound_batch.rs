//! Inbound processing of several packets at a time.

use heapless::Deque;
use ipsec_packet::{Instant, PacketBuf, ParsedIp};
use ipsec_sa::SaId;

use crate::action::InboundAction;
use crate::algorithms::Algorithms;
use crate::engine::Engine;
use crate::inbound::ReadPacket;
use crate::ipsec_header::{FirstHeader, spi_and_sequence};
use crate::outbound_batch::AHEAD;

/// Received packet of a batch.
#[derive(Debug)]
pub struct InboundSlot<'b> {
    /// Packet from the wire, and after the call the packet that was inside.
    pub packet: PacketBuf<'b>,
    /// Result of the call; `None` before it.
    pub action: Option<InboundAction>,
}

impl<'b> InboundSlot<'b> {
    /// Creates a slot for a packet.
    pub const fn new(packet: PacketBuf<'b>) -> Self {
        Self { packet, action: None }
    }
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Processes received packets in their order, with the result of [`inbound`](Self::inbound) for each: the same
    /// packets, actions, counters and events. Slots that have a result are skipped.
    ///
    /// A batch is faster because the headers and the SAs of the next packets are read before they are needed.
    pub fn inbound_batch(&mut self, slots: &mut [InboundSlot<'_>], now: Instant) {
        let (mut ahead, mut next): (Deque<ReadPacket, AHEAD>, usize) = (Deque::new(), 0);
        for at in 0..slots.len() {
            while let Some(slot) = slots.get(next).filter(|_| !ahead.is_full()) {
                let _ = ahead.push_back(self.read_received_ahead(slot)); // there is room
                next = next.saturating_add(1);
            }
            let (Some(read), Some(slot)) = (ahead.pop_front(), slots.get_mut(at)) else { return };
            if slot.action.is_none() {
                slot.action = Some(self.receive(read, &mut slot.packet, now));
            }
        }
    }

    /// Reads the headers of a packet, and what its SA needs, into the cache of the processor.
    fn read_received_ahead(&self, slot: &InboundSlot<'_>) -> ReadPacket {
        let read = ParsedIp::read(slot.packet.data());
        if let Ok(ip) = &read
            && let Ok(FirstHeader::Ipsec(protocol, place, encap)) = self.find_ipsec_header(ip, slot.packet.data())
            && let Ok((spi, _)) = spi_and_sequence(slot.packet.data(), protocol, place, encap)
            && let Some(at) = self.sad.find(&SaId::inbound(ip.destination(), protocol, spi), ip.source())
        {
            self.sad.read_ahead(at);
        }
        ReadPacket(read)
    }
}
