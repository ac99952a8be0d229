use ipsec_crypto::Layout;
use ipsec_packet::{AntiReplay, Seq, SeqWidth, Spi};

use crate::header::Peek;
use crate::seal::high_half;
use crate::{OpenError, PadCheck, Resync};

/// Inbound half of an SA without its suite, which the packets borrow: the state that changes while they are opened.
#[derive(Debug)]
pub(crate) struct Receiver<W> {
    pub(crate) spi: Spi,
    pub(crate) width: SeqWidth,
    pub(crate) window: W,
    pub(crate) check: PadCheck,
    pub(crate) resync: Option<Resync>,
    pub(crate) forged_in_a_row: u32,
}

impl<W: AntiReplay> Receiver<W> {
    /// Checks that a packet has the SPI of this SA and an acceptable sequence number, which is returned with its high
    /// half. The state is unchanged.
    pub(crate) fn admit(&self, found: Peek, authentic: bool) -> Result<Seq, OpenError> {
        if found.spi != self.spi.get() {
            return Err(OpenError::SpiMismatch { expected: self.spi, found: found.spi });
        }
        let seq = match self.width {
            SeqWidth::Bits32 => Seq::new(found.seq_low.into()),
            SeqWidth::Extended64 => self.window.reconstruct(found.seq_low),
        };
        if authentic {
            //= RFC 4303 3.4.3/6
            //# SHOULD: that is the first check of ESP
            self.window.check(seq)?;
        }
        Ok(seq)
    }

    /// Opens an admitted packet with `decrypt`, which verifies the ICV first, updates the window, and returns the
    /// sequence number of the packet.
    #[inline(always)]
    pub(crate) fn open(
        &mut self,
        authentic: bool,
        seq: Seq,
        decrypt: &mut impl FnMut(Option<[u8; 4]>) -> Result<(), OpenError>,
    ) -> Result<Seq, OpenError> {
        let seq = match decrypt(self.seq_high(seq)) {
            Ok(()) => seq,
            //= RFC 4303 3.4.4.1/1
            //# MUST: a packet whose ICV verification fails is discarded
            Err(OpenError::IcvMismatch) => self.resynchronise(seq, decrypt)?,
            Err(e) => return Err(e),
        };
        self.forged_in_a_row = 0;
        if authentic {
            //= RFC 2406 3.4.3/12
            //# MUST: a packet is authenticated before the window is updated
            self.window.record(seq);
        }
        Ok(seq)
    }

    /// Returns the half of the sequence number that is authenticated but not transmitted.
    pub(crate) fn seq_high(&self, seq: Seq) -> Option<[u8; 4]> {
        high_half(seq, self.width)
    }

    /// Tries further high halves after the first one has failed (RFC 4303 appendix A3).
    //= RFC 4303 A3/1
    //# SHOULD: with ESN, a receiver finds its place again after 2^32 packets were lost
    fn resynchronise(
        &mut self,
        guess: Seq,
        decrypt: &mut impl FnMut(Option<[u8; 4]>) -> Result<(), OpenError>,
    ) -> Result<Seq, OpenError> {
        self.forged_in_a_row = self.forged_in_a_row.saturating_add(1);
        let resync = self.resync.filter(|r| self.width == SeqWidth::Extended64 && self.forged_in_a_row > r.after);
        let Some(Resync { tries, .. }) = resync else { return Err(OpenError::IcvMismatch) };
        for ahead in 1..=u64::from(tries) {
            let Some(seq) = guess.get().checked_add(ahead << 32).map(Seq::new) else { break };
            if decrypt(self.seq_high(seq)).is_ok() {
                return Ok(seq);
            }
        }
        Err(OpenError::IcvMismatch)
    }
}

/// Returns whether packets have an ICV. Otherwise any packet could move the window, so there is no anti-replay (RFC
/// 4303 section 3.4.3).
pub(crate) const fn is_authentic(layout: Layout) -> bool {
    //= RFC 4303 3.4.3/2
    //# MUST NOT: anti-replay is enabled without integrity
    layout.icv_len() > 0
}
