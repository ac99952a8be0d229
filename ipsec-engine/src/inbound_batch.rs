//! Inbound processing of several packets at a time.

use ipsec_packet::{Instant, PacketBuf};

use crate::action::InboundAction;
use crate::algorithms::Algorithms;
use crate::engine::Engine;

/// Received packet of a batch.
#[derive(Debug)]
pub struct InboundSlot<'b> {
    /// Received packet, and after the call the decapsulated packet.
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
    /// The packets are processed one after the other: neither reading their SAs ahead nor looking them up ahead was
    /// faster. ICVs of several packets are verified together by [`esp_core::open_batch`] only.
    pub fn inbound_batch(&mut self, slots: &mut [InboundSlot<'_>], now: Instant) {
        for InboundSlot { packet, action } in slots.iter_mut().filter(|slot| slot.action.is_none()) {
            *action = Some(self.inbound(packet, now));
        }
    }
}
