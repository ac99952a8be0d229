//! Many packets of one SA or of several in one call, each with its own outcome.

use core::borrow::BorrowMut;
use core::slice;

use heapless::Vec;
use ipsec_crypto::{EspParts, Suite, Verification};
use ipsec_packet::{AntiReplay, IpProto, PacketBuf, Seq};

use crate::{Inbound, IvSource, OpenError, Opened, Outbound, SealError};

/// Packets that are sealed at once: of more, the first so many, then the next.
const AT_ONCE: usize = 32;

/// A packet to be sealed with others (RFC 4303 3.3).
#[derive(Debug)]
pub struct SealSlot<'b> {
    /// Its SA: an index into those that are given, 0 where there is one.
    pub sa: usize,
    /// The payload, and then the ESP packet.
    pub packet: PacketBuf<'b>,
    /// What the payload is.
    pub next_header: IpProto,
    /// What became of it: `None` until then.
    pub outcome: Option<Result<Seq, SealError>>,
}

impl<'b> SealSlot<'b> {
    /// For a payload.
    pub const fn new(packet: PacketBuf<'b>, next_header: IpProto) -> Self {
        Self { sa: 0, packet, next_header, outcome: None }
    }

    /// Of another SA than the first (RFC 4303 3.3.1).
    #[must_use]
    pub const fn of(mut self, sa: usize) -> Self {
        self.sa = sa;
        self
    }
}

/// A packet to be opened with others (RFC 4303 3.4).
#[derive(Debug)]
pub struct OpenSlot<'b> {
    /// Its SA: an index into those that are given, 0 where there is one.
    pub sa: usize,
    /// The ESP packet, and then the payload.
    pub packet: PacketBuf<'b>,
    /// What became of it: `None` until then.
    pub outcome: Option<Result<Opened, OpenError>>,
}

impl<'b> OpenSlot<'b> {
    /// For an ESP packet.
    pub const fn new(packet: PacketBuf<'b>) -> Self {
        Self { sa: 0, packet, outcome: None }
    }

    /// Of another SA than the first (RFC 4303 3.4.2).
    #[must_use]
    pub const fn of(mut self, sa: usize) -> Self {
        self.sa = sa;
        self
    }
}

/// Seals packets of several SAs in place, each under the next number of its own, in their order, and says how many it could: octet for octet
/// what [`Outbound::seal`] makes of one after the other (RFC 4303 3.3). `iv` is asked with the index of the SA: an
/// [`EncryptedCounterIv`](crate::EncryptedCounterIv) is of one SA, as its IVs follow from the number.
///
/// Packets without an outcome are meant; those with one stay as they are. A slot that is refused takes no number.
///
/// Outcomes are set when the packets are sealed. Where `iv` panics, packets that say so are sealed, those without an outcome are as they
/// were or wiped, and numbers may be missing.
///
/// What is gained is time: CBC, which waits for each block before the next, goes through many packets side by side, and so do hashes.
/// An SA is looked up more than once, and must be the same each time.
pub fn seal_batch<S: Suite>(
    sas: &mut [impl BorrowMut<Outbound<S>>],
    slots: &mut [SealSlot<'_>],
    mut iv: impl FnMut(usize, Seq, &mut [u8]),
) -> usize {
    let mut sealed = 0usize;
    for slots in slots.chunks_mut(AT_ONCE) {
        let meant = || slots.iter().filter(|slot| slot.outcome.is_none());
        let packets = meant().count();
        let gains = |sa: &Outbound<S>| sa.suite().prefers_batch(packets);
        let together = meant().any(|slot| sas.get(slot.sa).is_some_and(|sa| gains(sa.borrow())));
        let mut framed = Framed(Vec::new());
        let mut numbers: Vec<(usize, Seq), AT_ONCE> = Vec::new();
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
        // Said to be sealed only now, when it is.
        for (at, seq) in numbers {
            if let Some(slot) = slots.get_mut(at) {
                slot.outcome = Some(Ok(seq));
            }
        }
    }
    sealed
}

/// Packets that have everything but the cryptography. Where a panic of the IV source unwinds, they are wiped: they hold plaintext behind the
/// header of ESP.
struct Framed<'p>(Vec<(usize, EspParts<'p>), AT_ONCE>);

impl<'p> Framed<'p> {
    fn seal<S: Suite>(mut self, sas: &[impl BorrowMut<Outbound<S>>]) {
        let mut batch: Vec<(&S, &mut EspParts<'p>), AT_ONCE> = Vec::new();
        for (index, parts) in &mut self.0 {
            let _ = sas.get(*index).map(|sa| batch.push((sa.borrow().suite(), parts))); // the SA was there, and there is room
        }
        S::seal_batch(&mut batch);
        drop(batch);
        self.0.clear(); // nothing of it is to be wiped any more
    }
}

impl Drop for Framed<'_> {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, parts)| parts.body().fill(0));
    }
}

/// Opens packets of several SAs in place, in their order, and says how many it could: what [`Inbound::open`] does with one after the other
/// (RFC 4303 3.4). Packets without an outcome are meant.
///
/// What is gained is time: the ICVs of many packets are computed side by side, those of packets that turn out to be replays of
/// others in the batch, too. A number that turns out to be another than the window let foresee, because of what else is in the batch,
/// has its ICV computed again.
pub fn open_batch<S: Suite, W: AntiReplay>(
    sas: &mut [impl BorrowMut<Inbound<S, W>>],
    slots: &mut [OpenSlot<'_>],
) -> usize {
    let mut opened = 0usize;
    for slots in slots.chunks_mut(AT_ONCE) {
        let meant = || slots.iter().filter(|slot| slot.outcome.is_none());
        let (packets, octets) = meant().fold((0usize, 0usize), |(packets, octets), slot| {
            (packets.saturating_add(1), octets.saturating_add(slot.packet.len()))
        });
        let gains = |sa: &Inbound<S, W>| sa.suite().gains_by_verifying(packets, octets);
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

/// Opens a packet in its turn, and counts it if it could.
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

/// Of each packet without an outcome whose suite gains by it: its number, and whether its ICV holds with that. Its stack is not in use while
/// packets are opened.
#[inline(never)]
fn verify_batch<S: Suite, W: AntiReplay>(
    sas: &[impl BorrowMut<Inbound<S, W>>],
    slots: &mut [OpenSlot<'_>],
    (packets, octets): (usize, usize),
    foreseen: &mut Vec<Option<(Seq, Verification)>, AT_ONCE>,
) {
    let mut split: Vec<(&S, EspParts<'_>), AT_ONCE> = Vec::new();
    for OpenSlot { sa, packet, .. } in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
        let sa = sas.get(*sa).map(|sa| sa.borrow()).filter(|sa| sa.suite().gains_by_verifying(packets, octets));
        let seen = sa.and_then(|sa| {
            let (seq, parts) = sa.peek_sequence(packet)?;
            let _ = split.push((sa.suite(), parts)); // there is room
            Some((seq, Verification::default()))
        });
        let _ = foreseen.push(seen); // as there is here
    }
    let mut looked_at: Vec<(&S, &EspParts<'_>), AT_ONCE> = Vec::new();
    for (suite, parts) in &split {
        let _ = looked_at.push((suite, parts)); // and here
    }
    let mut verdicts = [Verification::default(); AT_ONCE];
    S::verify_batch(&looked_at, &mut verdicts);
    for ((_, to), verdict) in foreseen.iter_mut().flatten().zip(verdicts) {
        *to = verdict;
    }
}

impl<S: Suite> Outbound<S> {
    /// As [`seal_batch`], of one SA, which all slots must name as the first (RFC 4303 3.3).
    pub fn seal_batch(&mut self, slots: &mut [SealSlot<'_>], iv: &mut impl IvSource) -> usize {
        seal_batch(slice::from_mut(self), slots, |_, seq, octets| iv.fill(seq, octets))
    }
}

impl<S: Suite, W: AntiReplay> Inbound<S, W> {
    /// As [`open_batch`], of one SA, which all slots must name as the first (RFC 4303 3.4).
    pub fn open_batch(&mut self, slots: &mut [OpenSlot<'_>]) -> usize {
        open_batch(slice::from_mut(self), slots)
    }
}
