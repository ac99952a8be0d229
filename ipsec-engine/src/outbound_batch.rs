//! Outbound processing of several packets at a time.

use esp_core::{IvSource, Prepared, Unsealed, seal_prepared};
use heapless::{Deque, Vec};
use ipsec_packet::{Instant, PacketBuf};
use ipsec_sa::PolicyDirection;

use crate::action::OutboundAction;
use crate::algorithms::Algorithms;
use crate::encapsulate::BatchSeal;
use crate::engine::Engine;
use crate::outbound::ReadPacket;
use crate::sa::Transform;
use crate::sad::Sad;
use crate::table::SlotNumber;

/// Number of packets that are processed together. Larger batches are processed in parts.
const GROUP_LEN: usize = 32;

/// Number of packets whose headers, flow and SAs are read before the first of them is processed. With more, what was
/// read first has left the nearest cache of the processor when it is needed.
const AHEAD: usize = 4;

/// Packet of a batch that is to be sent.
#[derive(Debug)]
pub struct OutboundSlot<'b> {
    /// Packet to be protected, and after the call the protected packet.
    pub packet: PacketBuf<'b>,
    /// Result of the call; `None` before it.
    pub action: Option<OutboundAction>,
}

impl<'b> OutboundSlot<'b> {
    /// Creates a slot for a packet.
    pub const fn new(packet: PacketBuf<'b>) -> Self {
        Self { packet, action: None }
    }
}

/// ESP packet of a group that is not complete.
struct Pending {
    /// Position of the packet in the group.
    at: usize,
    sa: SlotNumber,
    prepared: Prepared,
}

/// Packets of a group. If a panic of the IV source unwinds, those that are not complete are wiped, as they contain
/// plaintext after the ESP header.
struct Group<'g, 'b> {
    slots: &'g mut [OutboundSlot<'b>],
    pending: Vec<Pending, GROUP_LEN>,
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Protects packets of any flows in their order, with the result of [`outbound`](Self::outbound) for each: the same
    /// packets, actions, counters and events. Slots that have a result are skipped.
    ///
    /// A batch is faster because the headers, flows and SAs of the next packets are read before they are needed, and
    /// because the ciphers and hashes of several packets run together ([`esp_core::seal_batch`]).
    ///
    /// Results are set after the packets are complete. If `iv` panics, packets without a result are unmodified or
    /// wiped, and sequence numbers may be skipped.
    pub fn outbound_batch(&mut self, slots: &mut [OutboundSlot<'_>], now: Instant, iv: &mut impl IvSource) {
        for slots in slots.chunks_mut(GROUP_LEN) {
            let packets = slots.iter().filter(|slot| slot.action.is_none()).count();
            let mut group = Group { slots, pending: Vec::new() };
            let (mut ahead, mut next): (Deque<ReadPacket, AHEAD>, usize) = (Deque::new(), 0);
            for at in 0..group.slots.len() {
                while let Some(slot) = group.slots.get(next).filter(|_| !ahead.is_full()) {
                    let _ = ahead.push_back(self.read_ahead(slot)); // there is room
                    next = next.saturating_add(1);
                }
                let Some(mut read) = ahead.pop_front() else { break };
                let Some(slot) = group.slots.get_mut(at).filter(|slot| slot.action.is_none()) else { continue };
                let mut batch = BatchSeal { packets, sa: None, prepared: None };
                let action = self.send(&mut read, &mut slot.packet, (now, Some(&mut batch)), iv);
                match batch.sa.zip(batch.prepared).filter(|_| action == OutboundAction::Send) {
                    Some((sa, prepared)) => _ = group.pending.push(Pending { at, sa, prepared }), // there is room
                    None => slot.action = Some(action),
                }
            }
            group.seal(&self.sad);
        }
    }

    /// Reads the headers of a packet, and the data of its flow and its SAs, into the cache of the processor.
    fn read_ahead(&self, slot: &OutboundSlot<'_>) -> ReadPacket {
        let mut read = ReadPacket::of(slot.packet.data());
        if let Some(flow) = read.ip.as_ref().ok().and_then(|ip| ip.flow().ok()) {
            let ahead = self.spd.look_ahead(PolicyDirection::Out, &flow);
            read.ahead = Some(ahead);
            if let Some(known) = self.spd.chosen(&ahead) {
                known.chosen.iter().for_each(|(at, _)| self.sad.read_ahead(at));
            }
        }
        read
    }
}

impl Group<'_, '_> {
    /// Completes the packets that wait, and sets their results.
    fn seal<A: Algorithms, const N: usize>(mut self, sad: &Sad<A, N>) {
        let (mut slots, mut passed) = (self.slots.iter_mut(), 0usize);
        let complete = seal_prepared(self.pending.iter().filter_map(|&Pending { at, sa, prepared }| {
            let slot = slots.nth(at.checked_sub(passed)?)?;
            passed = at.saturating_add(1);
            match &sad.get(sa)?.sa.as_ref()?.transform {
                Transform::EspOut(esp) => {
                    Some(Unsealed { suite: esp.suite(), prepared, packet: slot.packet.data_mut() })
                }
                _ => None,
            }
        }));
        debug_assert_eq!(complete, self.pending.len(), "an SA is removed by an event only");
        if complete != self.pending.len() {
            return; // the packets are wiped, and have no result
        }
        for Pending { at, .. } in &self.pending {
            if let Some(slot) = self.slots.get_mut(*at) {
                slot.action = Some(OutboundAction::Send);
            }
        }
        self.pending.clear(); // no packet is left to be wiped
    }
}

impl Drop for Group<'_, '_> {
    fn drop(&mut self) {
        for Pending { at, .. } in &self.pending {
            if let Some(slot) = self.slots.get_mut(*at) {
                slot.packet.data_mut().fill(0);
            }
        }
    }
}
