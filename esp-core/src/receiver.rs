use ipsec_crypto::batch::Received;
use ipsec_crypto::{IcvMismatch, Layout, Suite};
use ipsec_packet::{AntiReplay, Seq, SeqWidth, Spi};

use crate::header::Peek;
use crate::open::Payload;
use crate::seal::high_half;
use crate::{OpenError, PadCheck, Resync};

/// Inbound half of an SA without its suite, which is borrowed by the packets: what changes while they are opened.
pub(crate) struct Receiver<'r, W> {
    pub(crate) spi: Spi,
    pub(crate) width: SeqWidth,
    pub(crate) window: &'r mut W,
    pub(crate) check: PadCheck,
    pub(crate) resync: Option<Resync>,
    pub(crate) forged_in_a_row: &'r mut u32,
}

impl<W: AntiReplay> Receiver<'_, W> {
    /// Checks that a packet has the SPI of this SA and an acceptable sequence number, which is returned with its high
    /// half. Nothing is changed.
    pub(crate) fn admit(&self, found: Peek, layout: Layout) -> Result<Seq, OpenError> {
        if found.spi != self.spi.get() {
            return Err(OpenError::SpiMismatch { expected: self.spi, found: found.spi });
        }
        let seq = match self.width {
            SeqWidth::Bits32 => Seq::new(found.seq_low.into()),
            SeqWidth::Extended64 => self.window.reconstruct(found.seq_low),
        };
        if is_authentic(layout) {
            //= RFC 4303 3.4.3/6
            //# SHOULD: that is the first check of ESP
            self.window.check(seq)?;
        }
        Ok(seq)
    }

    /// Verifies the ICV of an admitted packet, decrypts it and updates the window, and returns its sequence number.
    pub(crate) fn open<S: Suite>(
        &mut self,
        received: &mut Received<'_, '_, S>,
        layout: Layout,
        seq: Seq,
    ) -> Result<Seq, OpenError> {
        let seq = match received.open() {
            Ok(()) => seq,
            //= RFC 4303 3.4.4.1/1
            //# MUST: a packet whose ICV verification fails is discarded
            Err(IcvMismatch) => self.resynchronise(seq, received)?,
        };
        *self.forged_in_a_row = 0;
        if is_authentic(layout) {
            //= RFC 2406 3.4.3/12
            //# MUST: a packet is authenticated before the window is updated
            self.window.record(seq);
        }
        Ok(seq)
    }

    /// Finds the payload of an opened packet.
    pub(crate) fn payload<S: Suite>(&self, received: &mut Received<'_, '_, S>) -> Result<Payload, OpenError> {
        Payload::find(received.parts_mut().body(), self.check)
    }

    /// Returns the half of the sequence number that is authenticated but not transmitted.
    pub(crate) fn seq_high(&self, seq: Seq) -> Option<[u8; 4]> {
        high_half(seq, self.width)
    }

    /// Tries further high halves after the first one has failed (RFC 4303 appendix A3).
    //= RFC 4303 A3/1
    //# SHOULD: with ESN, a receiver finds its place again after 2^32 packets were lost
    fn resynchronise<S: Suite>(&mut self, guess: Seq, received: &mut Received<'_, '_, S>) -> Result<Seq, OpenError> {
        *self.forged_in_a_row = self.forged_in_a_row.saturating_add(1);
        let resync = self.resync.filter(|r| self.width == SeqWidth::Extended64 && *self.forged_in_a_row > r.after);
        let Some(Resync { tries, .. }) = resync else { return Err(OpenError::IcvMismatch) };
        for ahead in 1..=u64::from(tries) {
            let Some(seq) = guess.get().checked_add(ahead << 32).map(Seq::new) else { break };
            received.parts_mut().set_seq_high(self.seq_high(seq));
            if received.open().is_ok() {
                return Ok(seq);
            }
        }
        Err(OpenError::IcvMismatch)
    }
}

/// Returns whether packets have an ICV. Otherwise any packet could move the window, so there is no anti-replay (RFC
/// 4303 section 3.4.3).
const fn is_authentic(layout: Layout) -> bool {
    //= RFC 4303 3.4.3/2
    //# MUST NOT: anti-replay is enabled without integrity
    layout.icv > 0
}
