//! Batches: packets of one or several SAs in one call, each with its own result.

use core::borrow::BorrowMut;
use core::slice;

use heapless::Vec;
use ipsec_crypto::{EspParts, Suite, Verification};
use ipsec_packet::{AntiReplay, IpProto, PacketBuf, Seq};

use crate::{Inbound, IvSource, OpenError, Opened, Outbound, SealError};

/// Number of packets that are sealed together. Larger batches are processed in parts.
const GROUP_LEN: usize = 32;

/// Packet of a batch that is to be sealed (RFC 4303 section 3.3).
#[derive(Debug)]
pub struct SealSlot<'b> {
    /// Index of the SA among those of the call; 0 if there is one.
    pub sa: usize,
    /// Payload, and after the call the ESP packet.
    pub packet: PacketBuf<'b>,
    /// Protocol number of the payload.
    pub next_header: IpProto,
    /// Result of the call; `None` before it.
    pub outcome: Option<Result<Seq, SealError>>,
}

impl<'b> SealSlot<'b> {
    /// Creates a slot for a payload of the first SA.
    pub const fn new(packet: PacketBuf<'b>, next_header: IpProto) -> Self {
        Self { sa: 0, packet, next_header, outcome: None }
    }

    /// Sets the index of the SA (RFC 4303 section 3.3.1).
    #[must_use]
    pub const fn of(mut self, sa: usize) -> Self {
        self.sa = sa;
        self
    }
}

/// Packet of a batch that is to be opened (RFC 4303 section 3.4).
#[derive(Debug)]
pub struct OpenSlot<'b> {
    /// Index of the SA among those of the call; 0 if there is one.
    pub sa: usize,
    /// ESP packet, and after the call the payload.
    pub packet: PacketBuf<'b>,
    /// Result of the call; `None` before it.
    pub outcome: Option<Result<Opened, OpenError>>,
}

impl<'b> OpenSlot<'b> {
    /// Creates a slot for an ESP packet of the first SA.
    pub const fn new(packet: PacketBuf<'b>) -> Self {
        Self { sa: 0, packet, outcome: None }
    }

    /// Sets the index of the SA (RFC 4303 section 3.4.2).
    #[must_use]
    pub const fn of(mut self, sa: usize) -> Self {
        self.sa = sa;
        self
    }
}

/// Seals packets of several SAs in place, in their order, each with the next sequence number of its SA, and returns
/// how many succeeded. The result is that of [`Outbound::seal`] for each packet (RFC 4303 section 3.3). `iv` is
/// called with the index of the SA: an [`EncryptedCounterIv`](crate::EncryptedCounterIv) is for one SA, as its IVs
/// depend on the sequence number.
///
/// Slots that have a result are skipped. A slot that fails uses no sequence number.
///
/// Results are set after the packets are sealed. If `iv` panics, slots with a successful result are sealed, packets
/// without a result are unmodified or wiped, and sequence numbers may be skipped.
///
/// A batch is faster because CBC encryption, which is serial within a packet, and hashes process several packets at a
/// time. `sas` is called more than once per index, and must return the same SA each time.
pub fn seal_batch<S: Suite>(
    sas: &mut [impl BorrowMut<Outbound<S>>],
    slots: &mut [SealSlot<'_>],
    mut iv: impl FnMut(usize, Seq, &mut [u8]),
) -> usize {
    let mut sealed = 0usize;
    for slots in slots.chunks_mut(GROUP_LEN) {
        let meant = || slots.iter().filter(|slot| slot.outcome.is_none());
        let packets = meant().count();
        let gains = |sa: &Outbound<S>| sa.suite().prefers_batch(packets);
        let together = meant().any(|slot| sas.get(slot.sa).is_some_and(|sa| gains(sa.borrow())));
        let mut framed = PreparedPackets(Vec::new());
        let mut numbers: Vec<(usize, Seq), GROUP_LEN> = Vec::new();
        for (at, SealSlot { sa, packet, next_header, outcome }) in
            slots.iter_mut().enumerate().filter(|(_, slot)| slot.outcome.is_none())
        {
            let (index, of) = (*sa, sas.get_mut(*sa));
            let found = of.ok_or(SealError::NoSa(index)).and_then(|sa| {
                let iv = &mut |seq: Seq, octets: &mut [u8]| iv(index, seq, octets);
                if !together {
                    return sa.borrow_mut().seal(packet, *next_header, iv).map(Some);
                }
                let padding = sa.borrow().padding();
                let (seq, parts) = sa.borrow_mut().frame(packet, *next_header, padding, iv)?;
                let _ = (framed.0.push((index, parts)), numbers.push((at, seq))); // there is room
                Ok(None)
            });
            sealed = sealed.saturating_add(usize::from(found.is_ok()));
            *outcome = found.transpose();
        }
        framed.seal(sas);
        // The result is set here, after the packet is sealed.
        for (at, seq) in numbers {
            if let Some(slot) = slots.get_mut(at) {
                slot.outcome = Some(Ok(seq));
            }
        }
    }
    sealed
}

/// Packets that are complete except for the cryptography. If a panic of the IV source unwinds, they are wiped, as
/// they contain plaintext behind the ESP header.
struct PreparedPackets<'p>(Vec<(usize, EspParts<'p>), GROUP_LEN>);

impl<'p> PreparedPackets<'p> {
    fn seal<S: Suite>(mut self, sas: &[impl BorrowMut<Outbound<S>>]) {
        let mut batch: Vec<(&S, &mut EspParts<'p>), GROUP_LEN> = Vec::new();
        for (index, parts) in &mut self.0 {
            let _ = sas.get(*index).map(|sa| batch.push((sa.borrow().suite(), parts))); // the SA was there, and there is room
        }
        S::seal_batch(&mut batch);
        drop(batch);
        self.0.clear(); // nothing of it is to be wiped any more
    }
}

impl Drop for PreparedPackets<'_> {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, parts)| parts.body().fill(0));
    }
}

/// Opens packets of several SAs in place, in their order, and returns how many succeeded. The result is that of
/// [`Inbound::open`] for each packet (RFC 4303 section 3.4). Slots that have a result are skipped.
///
/// A batch is faster because the ICVs of several packets are computed at a time, including those of packets that are
/// replays of others in the batch. If the high half of a sequence number was predicted wrongly because of other
/// packets in the batch, the ICV is computed again.
pub fn open_batch<S: Suite, W: AntiReplay>(
    sas: &mut [impl BorrowMut<Inbound<S, W>>],
    slots: &mut [OpenSlot<'_>],
) -> usize {
    let mut opened = 0usize;
    for slots in slots.chunks_mut(GROUP_LEN) {
        let meant = || slots.iter().filter(|slot| slot.outcome.is_none());
        let (packets, octets) = meant().fold((0usize, 0usize), |(packets, octets), slot| {
            (packets.saturating_add(1), octets.saturating_add(slot.packet.len()))
        });
        let gains = |sa: &Inbound<S, W>| sa.suite().prefers_verify_batch(packets, octets);
        let together = packets > 1 && meant().any(|slot| sas.get(slot.sa).is_some_and(|sa| gains(sa.borrow())));
        if !together {
            for slot in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
                opened = opened.saturating_add(open_one(sas, slot, None));
            }
            continue;
        }
        let mut foreseen = Vec::new();
        verify_batch(sas, slots, (packets, octets), &mut foreseen);
        let waiting = slots.iter_mut().filter(|slot| slot.outcome.is_none());
        for (slot, foreseen) in waiting.zip(foreseen.iter().copied()) {
            opened = opened.saturating_add(open_one(sas, slot, foreseen));
        }
    }
    opened
}

/// Opens one packet and counts it if it succeeded.
#[inline(always)]
fn open_one<S: Suite, W: AntiReplay>(
    sas: &mut [impl BorrowMut<Inbound<S, W>>],
    OpenSlot { sa, packet, outcome }: &mut OpenSlot<'_>,
    foreseen: Option<(Seq, Verification)>,
) -> usize {
    let of = sas.get_mut(*sa).ok_or(OpenError::NoSa(*sa));
    let found = outcome.insert(of.and_then(|sa| sa.borrow_mut().open_at_sequence(packet, foreseen)));
    usize::from(found.is_ok())
}

/// Verifies the ICVs of packets without a result whose suite gains by it, each with the predicted sequence number.
/// The stack of this function is not in use while packets are opened.
#[inline(never)]
fn verify_batch<S: Suite, W: AntiReplay>(
    sas: &[impl BorrowMut<Inbound<S, W>>],
    slots: &mut [OpenSlot<'_>],
    (packets, octets): (usize, usize),
    foreseen: &mut Vec<Option<(Seq, Verification)>, GROUP_LEN>,
) {
    let mut split: Vec<(&S, EspParts<'_>), GROUP_LEN> = Vec::new();
    for OpenSlot { sa, packet, .. } in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
        let sa = sas.get(*sa).map(|sa| sa.borrow()).filter(|sa| sa.suite().prefers_verify_batch(packets, octets));
        let seen = sa.and_then(|sa| {
            let (seq, parts) = sa.peek_sequence(packet)?;
            let _ = split.push((sa.suite(), parts)); // there is room
            Some((seq, Verification::default()))
        });
        let _ = foreseen.push(seen); // as there is here
    }
    let mut looked_at: Vec<(&S, &EspParts<'_>), GROUP_LEN> = Vec::new();
    for (suite, parts) in &split {
        let _ = looked_at.push((suite, parts)); // and here
    }
    let mut verdicts = [Verification::default(); GROUP_LEN];
    S::verify_batch(&looked_at, &mut verdicts);
    for ((_, to), verdict) in foreseen.iter_mut().flatten().zip(verdicts) {
        *to = verdict;
    }
}

impl<S: Suite> Outbound<S> {
    /// Seals packets of one SA like [`seal_batch`]; all slots must have index 0 (RFC 4303 section 3.3).
    pub fn seal_batch(&mut self, slots: &mut [SealSlot<'_>], iv: &mut impl IvSource) -> usize {
        seal_batch(slice::from_mut(self), slots, |_, seq, octets| iv.fill(seq, octets))
    }
}

impl<S: Suite, W: AntiReplay> Inbound<S, W> {
    /// Opens packets of one SA like [`open_batch`]; all slots must have index 0 (RFC 4303 section 3.4).
    pub fn open_batch(&mut self, slots: &mut [OpenSlot<'_>]) -> usize {
        open_batch(slice::from_mut(self), slots)
    }
}
