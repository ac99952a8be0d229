//! Many packets of one SA in one call, each with its own outcome.

use heapless::Vec;
use ipsec_crypto::{Parts, Suite, Verdict};
use ipsec_packet::{AntiReplay, IpProto, PacketBuf, Seq};

use crate::{Inbound, IvSource, OpenError, Opened, Outbound, SealError};

/// Packets that are sealed at once: of more, the first so many, then the next.
const AT_ONCE: usize = 32;

/// A packet to be sealed with others (RFC 4303 3.3).
#[derive(Debug)]
pub struct SealSlot<'b> {
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
        Self { packet, next_header, outcome: None }
    }
}

/// A packet to be opened with others (RFC 4303 3.4).
#[derive(Debug)]
pub struct OpenSlot<'b> {
    /// The ESP packet, and then the payload.
    pub packet: PacketBuf<'b>,
    /// What became of it: `None` until then.
    pub outcome: Option<Result<Opened, OpenError>>,
}

impl<'b> OpenSlot<'b> {
    /// For an ESP packet.
    pub const fn new(packet: PacketBuf<'b>) -> Self {
        Self { packet, outcome: None }
    }
}

impl<S: Suite> Outbound<S> {
    /// Seals packets in place, under the next numbers in their order, and says how many it could: octet for octet what
    /// [`seal`](Self::seal) makes of one after the other (RFC 4303 3.3). Packets without an outcome are meant; those with one stay as they
    /// are. A slot that is refused takes no number.
    ///
    /// What is gained is time: CBC, which waits for each block before the next, goes through many packets side by side.
    pub fn seal_batch(&mut self, slots: &mut [SealSlot<'_>], iv: &mut impl IvSource) -> usize {
        let mut sealed = 0usize;
        for slots in slots.chunks_mut(AT_ONCE) {
            let mut framed: Vec<Parts<'_>, AT_ONCE> = Vec::new();
            for SealSlot { packet, next_header, outcome } in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
                let framed_as = self.frame(packet, *next_header, iv).map(|(seq, parts)| {
                    let _ = framed.push(parts); // there is room
                    seq
                });
                *outcome = Some(framed_as);
            }
            sealed = sealed.saturating_add(framed.len());
            self.suite().seal_batch(&mut framed);
        }
        sealed
    }
}

impl<S: Suite, W: AntiReplay> Inbound<S, W> {
    /// Opens packets in place, in their order, and says how many it could: what [`open`](Self::open) does with one after the
    /// other (RFC 4303 3.4). Packets without an outcome are meant.
    ///
    /// What is gained is time: the ICVs of many packets are computed side by side, those of packets that turn out to be replays of
    /// others in the batch, too. A number that turns out to be another than the window let foresee, because of what else is in the batch,
    /// has its ICV computed again.
    pub fn open_batch(&mut self, slots: &mut [OpenSlot<'_>]) -> usize {
        let each = slots.chunks_mut(AT_ONCE).map(|slots| {
            let octets = slots.iter().map(|slot| slot.packet.len()).fold(0, usize::saturating_add);
            if self.suite().gains_by_batch(slots.len(), octets) {
                let foreseen = self.verify_batch(slots);
                self.open_each(slots, foreseen)
            } else {
                self.open_each(slots, [])
            }
        });
        each.fold(0, usize::saturating_add)
    }

    fn open_each(
        &mut self,
        slots: &mut [OpenSlot<'_>],
        foreseen: impl IntoIterator<Item = Option<(Seq, Verdict)>>,
    ) -> usize {
        let (mut opened, mut foreseen) = (0usize, foreseen.into_iter());
        for slot in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
            let outcome = self.open_foreseen(&mut slot.packet, foreseen.next().flatten());
            opened = opened.saturating_add(usize::from(outcome.is_ok()));
            slot.outcome = Some(outcome);
        }
        opened
    }

    /// Of each packet without an outcome.
    fn verify_batch(&self, slots: &mut [OpenSlot<'_>]) -> Vec<Option<(Seq, Verdict)>, AT_ONCE> {
        let mut foreseen: Vec<Option<(Seq, Verdict)>, AT_ONCE> = Vec::new();
        let mut looked_at: Vec<Parts<'_>, AT_ONCE> = Vec::new();
        for slot in slots.iter_mut().filter(|slot| slot.outcome.is_none()) {
            let seen = self.foresee(&mut slot.packet).map(|(seq, parts)| {
                let _ = looked_at.push(parts); // there is room
                (seq, Verdict::default())
            });
            let _ = foreseen.push(seen); // as there is here
        }
        let mut verdicts = [Verdict::default(); AT_ONCE];
        self.suite().verify_batch(&looked_at, &mut verdicts);
        for ((_, to), verdict) in foreseen.iter_mut().flatten().zip(verdicts) {
            *to = verdict;
        }
        foreseen
    }
}
