//! Batches: packets of one or several SAs in one call, each with its own result.

use core::borrow::BorrowMut;
use core::slice;

use heapless::Vec;
use ipsec_crypto::batch::{self, Received};
use ipsec_crypto::{EspParts, Layout, Suite};
use ipsec_packet::{AntiReplay, IpProto, PacketBuf, Seq};

use crate::header::Peek;
use crate::open::Payload;
use crate::receiver::{Receiver, is_authentic};
use crate::{Inbound, IvSource, OpenError, Opened, Outbound, SealError, header};

/// Number of packets that are sealed together. Larger batches are processed in parts.
pub(crate) const GROUP_LEN: usize = 32;

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
        let gains = |sa: &Outbound<S>| batch::seals_together(sa.suite(), packets);
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
/// they contain plaintext after the ESP header.
struct PreparedPackets<'p>(Vec<(usize, EspParts<'p>), GROUP_LEN>);

impl<'p> PreparedPackets<'p> {
    fn seal<S: Suite>(mut self, sas: &[impl BorrowMut<Outbound<S>>]) {
        let mut packets: Vec<(&S, &mut EspParts<'p>), GROUP_LEN> = Vec::new();
        for (index, parts) in &mut self.0 {
            // The SA exists, and the list has space.
            let _ = sas.get(*index).map(|sa| packets.push((sa.borrow().suite(), parts)));
        }
        batch::seal(&mut packets);
        drop(packets);
        self.0.clear(); // no packet is left to be wiped
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
///
/// Results are set after the packets are opened. If a suite panics, packets without a result are received, decrypted
/// or not.
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
        let gains = |sa: &Inbound<S, W>| batch::verifies_together(sa.suite(), packets, octets);
        let together = packets > 1 && meant().any(|slot| sas.get(slot.sa).is_some_and(|sa| gains(sa.borrow())));
        if together {
            opened = opened.saturating_add(open_group(sas, slots, (packets, octets)));
            continue;
        }
        for OpenSlot { sa, packet, outcome } in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
            let of = sas.get_mut(*sa).ok_or(OpenError::NoSa(*sa));
            let found = outcome.insert(of.and_then(|sa| sa.borrow_mut().open(packet)));
            opened = opened.saturating_add(usize::from(found.is_ok()));
        }
    }
    opened
}

/// SA of a group of packets, borrowed until all of them are opened.
struct GroupSa<'s, S, W> {
    index: usize,
    suite: &'s S,
    layout: Layout,
    receiver: &'s mut Receiver<W>,
}

/// Packet of a group before its turn.
struct Waiting<'s, 'p, S> {
    slot: usize,
    /// Position of its SA in the group.
    sa: usize,
    header: Peek,
    /// Sequence number with which the ICV is verified first; `None` if the window refused it.
    predicted: Option<Seq>,
    received: Result<Received<'s, 'p, S>, OpenError>,
}

/// Packet of a group after its turn, before header and trailer are removed.
struct Decrypted {
    slot: usize,
    layout: Layout,
    seq: Seq,
    payload: Payload,
}

/// Opens at most [`GROUP_LEN`] packets: all ICVs are verified first, with predicted sequence numbers, then each packet
/// has its turn.
#[inline(never)]
fn open_group<S: Suite, W: AntiReplay>(
    sas: &mut [impl BorrowMut<Inbound<S, W>>],
    slots: &mut [OpenSlot<'_>],
    (packets, octets): (usize, usize),
) -> usize {
    let mut sas = group_sas(sas, slots);
    let decrypted = decrypt_group(&mut sas, slots, (packets, octets));
    let opened = decrypted.len();
    // The result is set here, after the packet is released.
    for Decrypted { slot, layout, seq, payload } in decrypted {
        if let Some(slot) = slots.get_mut(slot) {
            slot.outcome = Some(Ok(payload.keep(layout, seq, &mut slot.packet)));
        }
    }
    opened
}

/// Borrows the SAs of packets without a result, each once, in the order of their indices.
fn group_sas<'s, S: Suite + 's, W: AntiReplay + 's>(
    sas: &'s mut [impl BorrowMut<Inbound<S, W>>],
    slots: &[OpenSlot<'_>],
) -> Vec<GroupSa<'s, S, W>, GROUP_LEN> {
    let mut group = Vec::new();
    let (mut rest, mut passed) = (sas, 0);
    let next = |passed| {
        slots.iter().filter(|slot| slot.outcome.is_none()).map(|slot| slot.sa).filter(|sa| *sa >= passed).min()
    };
    while let Some(index) = next(passed) {
        let from = rest.split_at_mut_checked(index.saturating_sub(passed)).map(|(_, from)| from);
        let Some((sa, behind)) = from.and_then(<[_]>::split_first_mut) else { break };
        let (suite, receiver) = sa.borrow_mut().split();
        let _ = group.push(GroupSa { index, layout: suite.layout(), suite, receiver }); // there is room
        (rest, passed) = (behind, index.saturating_add(1));
    }
    group
}

/// Verifies and decrypts the packets without a result, and sets the result of those that fail.
fn decrypt_group<S: Suite, W: AntiReplay>(
    sas: &mut [GroupSa<'_, S, W>],
    slots: &mut [OpenSlot<'_>],
    (packets, octets): (usize, usize),
) -> Vec<Decrypted, GROUP_LEN> {
    let mut waiting: Vec<Waiting<'_, '_, S>, GROUP_LEN> = Vec::new();
    let mut results: Vec<&mut Option<Result<Opened, OpenError>>, GROUP_LEN> = Vec::new();
    for (slot, OpenSlot { sa: index, packet, outcome }) in
        slots.iter_mut().enumerate().filter(|(_, slot)| slot.outcome.is_none())
    {
        let found = sas.iter().enumerate().find(|(_, sa)| sa.index == *index).ok_or(OpenError::NoSa(*index));
        let entry = found.and_then(|(at, GroupSa { suite, layout, receiver, .. })| {
            let header = header::peek(packet.data()).map_err(|_| OpenError::TooShort)?;
            let predicted = receiver.admit(header, is_authentic(*layout)).ok();
            let seq_high = predicted.and_then(|seq| receiver.seq_high(seq));
            let parts = EspParts::split(*layout, packet.data_mut(), seq_high);
            let received = parts.map(|parts| Received::new(*suite, parts)).map_err(OpenError::from);
            Ok(Waiting { slot, sa: at, header, predicted, received })
        });
        match entry {
            Ok(entry) => _ = (waiting.push(entry), results.push(outcome)), // there is room
            Err(error) => *outcome = Some(Err(error)),
        }
    }
    Received::verify(waiting.iter_mut().filter_map(|Waiting { sa, predicted, received, .. }| {
        let suite = sas.get(*sa).map(|sa| sa.suite)?;
        let gains = predicted.is_some() && batch::verifies_together(suite, packets, octets);
        received.as_mut().ok().filter(|_| gains)
    }));
    let mut decrypted = Vec::new();
    for (Waiting { slot, sa, header, predicted, received }, outcome) in waiting.into_iter().zip(results) {
        let Some(GroupSa { layout, receiver, .. }) = sas.get_mut(sa) else { continue };
        match at_its_turn(receiver, *layout, header, predicted, received) {
            // The list has space.
            Ok((seq, payload)) => _ = decrypted.push(Decrypted { slot, layout: *layout, seq, payload }),
            Err(error) => *outcome = Some(Err(error)),
        }
    }
    decrypted
}

/// Opens a packet like [`Inbound::open`], with the ICV that was verified, unless the sequence number was another one.
fn at_its_turn<S: Suite, W: AntiReplay>(
    receiver: &mut Receiver<W>,
    layout: Layout,
    header: Peek,
    predicted: Option<Seq>,
    received: Result<Received<'_, '_, S>, OpenError>,
) -> Result<(Seq, Payload), OpenError> {
    let seq = receiver.admit(header, is_authentic(layout))?;
    let mut received = received?;
    let mut verified = predicted.map(|seq| receiver.seq_high(seq));
    let seq = receiver.open(is_authentic(layout), seq, &mut |seq_high| {
        if verified.take() != Some(seq_high) {
            received.parts_mut().set_seq_high(seq_high);
        }
        Ok(received.open()?)
    })?;
    Ok((seq, Payload::find(received.parts_mut().body(), receiver.check)?))
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
