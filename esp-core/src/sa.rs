use ipsec_crypto::{EspParts, IvRule, Suite};
use ipsec_packet::{
    AntiReplay, IpProto, NoSpace, PacketBuf, ReplayWindow, Seq, SeqCounter, SeqRun, SeqWidth, Spi, StateError,
};

use crate::open::{decrypt, strip};
use crate::receiver::{Receiver, is_authentic};
use crate::seal::frame;
use crate::{IvSource, OpenError, Opened, Overhead, PadCheck, Padding, SealError, SealParams, header, overhead, size};

/// Outbound half of an SA: a suite and the sequence counter, which never repeats under its keys (RFC 4303 section
/// 3.3).
#[derive(Debug)]
pub struct Outbound<S> {
    spi: Spi,
    suite: S,
    counter: SeqCounter,
    padding: Padding,
}

//= RFC 4303 5/1
//# MUST: syntax and processing of ESP for unicast traffic are implemented
impl<S: Suite> Outbound<S> {
    /// Creates a new SA, with sequence numbers from 1 and minimum padding.
    pub const fn new(spi: Spi, suite: S, width: SeqWidth) -> Self {
        Self { spi, suite, counter: SeqCounter::new(width), padding: Padding::MINIMAL }
    }

    /// Sets the padding of the packets that follow (RFC 4303 sections 2.4 and 2.7).
    //= RFC 4303 2.7/4
    //# SHOULD: TFC padding can be controlled for each SA
    pub fn set_padding(&mut self, padding: Padding) {
        self.padding = padding;
    }

    /// Returns the octets that sealing adds to a payload of this length (RFC 4303 section 2).
    pub fn overhead(&self, payload: usize) -> Overhead {
        overhead(self.suite.layout(), self.padding, payload)
    }

    /// Returns the padding of the SA.
    pub const fn padding(&self) -> Padding {
        self.padding
    }

    /// Returns the octets that sealing adds to a payload with another padding than that of the SA.
    pub fn overhead_with(&self, padding: Padding, payload: usize) -> Overhead {
        overhead(self.suite.layout(), padding, payload)
    }

    /// Returns the length of the largest payload whose ESP packet fits into `room` octets; `None` if none does (RFC
    /// 4303 section 2).
    pub fn largest_payload(&self, room: usize) -> Option<usize> {
        size::largest_payload(self.suite.layout(), self.padding, room)
    }

    /// Seals one packet in place with the next sequence number (RFC 4303 section 3.3). Suites with unpredictable IVs
    /// take the IV from `iv`, those with unique IVs use the sequence number.
    ///
    /// Stack: 728 octets on Cortex-M4 for AES-128-CBC with HMAC-SHA1-96 and `--cfg ipsec_small`, as
    /// measured by `ci/firmware`; without the feature 140 octets more.
    ///
    /// # Errors
    /// [`SealError`]; packet and counter are unchanged.
    //= RFC 4303 2.6/2
    //# MUST: dummy packets can be generated
    pub fn seal(
        &mut self,
        packet: &mut PacketBuf<'_>,
        next_header: IpProto,
        iv: &mut impl IvSource,
    ) -> Result<Seq, SealError> {
        self.seal_padded(packet, next_header, self.padding, iv)
    }

    /// Seals one packet like [`seal`](Self::seal), with another padding than that of the SA (RFC 4303 sections 2.4
    /// and 2.7).
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_padded(
        &mut self,
        packet: &mut PacketBuf<'_>,
        next_header: IpProto,
        padding: Padding,
        iv: &mut impl IvSource,
    ) -> Result<Seq, SealError> {
        let (seq, mut parts) = self.frame(packet, next_header, padding, iv)?;
        self.suite.seal(&mut parts);
        Ok(seq)
    }

    /// Completes the packet except for the cryptography, and uses the sequence number.
    pub(crate) fn frame<'p>(
        &mut self,
        packet: &'p mut PacketBuf<'_>,
        next_header: IpProto,
        padding: Padding,
        iv: &mut impl IvSource,
    ) -> Result<(Seq, EspParts<'p>), SealError> {
        let seq = self.counter.peek()?;
        let layout = self.suite.layout();
        let mut octets = [0; 16];
        let Some((octets, _)) = octets.split_at_mut_checked(layout.iv_len()) else {
            debug_assert!(false, "an IV has at most 16 octets");
            return Err(SealError::IvLength { needed: layout.iv_len(), given: octets.len() });
        };
        match layout.iv_rule() {
            IvRule::None => {}
            IvRule::Unpredictable => iv.fill(seq, octets),
            // The number is right-aligned, so that the octets that change are included for any IV length.
            IvRule::Unique => {
                octets.iter_mut().rev().zip(seq.get().to_le_bytes()).for_each(|(to, from)| *to = from);
            }
        }
        let envelope = SealParams { spi: self.spi, seq, width: self.counter.width(), next_header, padding };
        let parts = frame(layout, &envelope, octets, packet)?;
        //= RFC 4303 2.2/1
        //# MUST: the sender counts the sequence number up for each packet
        self.counter.advance()?;
        Ok((seq, parts))
    }

    /// Reserves `n` sequence numbers for packets that are sealed elsewhere with [`seal_with`](crate::seal_with) and
    /// [`suite`](Self::suite), by a hardware engine or another thread (RFC 4303 section 3.3.3). For suites with
    /// [`IvRule::Unique`] the sequence number must be the IV there as well.
    ///
    /// # Errors
    /// [`SealError::SequenceExhausted`] if fewer numbers are left; none is reserved.
    pub fn reserve(&mut self, n: u32) -> Result<SeqRun, SealError> {
        Ok(self.counter.reserve(n)?)
    }

    /// Returns the SPI of the SA.
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// Returns the suite of the SA.
    pub const fn suite(&self) -> &S {
        &self.suite
    }

    /// Returns the sequence counter, for its remaining numbers or for export.
    pub const fn counter(&self) -> &SeqCounter {
        &self.counter
    }

    /// Advances the counter to an exported state (RFC 4303 section 3.3.3). After a crash, only a state that was
    /// exported ahead is sure to repeat no number: see [`SeqCounter::export_ahead`].
    ///
    /// # Errors
    /// [`StateError`]; the counter is unchanged.
    pub fn import(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.counter.import(state)
    }
}

/// Inbound half of an SA: a suite and the anti-replay window (RFC 4303 section 3.4).
//= RFC 4303 3.4.3/10
//# SHOULD: a window of 64 packets is the default
#[derive(Debug)]
pub struct Inbound<S, W = ReplayWindow<2>> {
    suite: S,
    receiver: Receiver<W>,
}

/// Resynchronization of a receiver with extended sequence numbers after the loss of 2^32 packets or more (RFC 4303
/// appendix A3): after a number of failures in a row, each further packet is verified with the next high halves as
/// well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resync {
    /// Number of failures in a row before it starts.
    pub after: u32,
    /// Number of high halves that are tried for each packet, the work that an attacker can cause with one packet.
    pub tries: u8,
}

impl<S: Suite> Inbound<S> {
    /// Creates a new SA with a window of 64 packets (RFC 4303 section 3.4.3).
    pub const fn new(spi: Spi, suite: S, width: SeqWidth) -> Self {
        Self::with_window(spi, suite, width, ReplayWindow::new())
    }
}

impl<S, W> Inbound<S, W> {
    /// Creates an SA with a window of another size or start, or [`ipsec_packet::NoReplay`] (RFC 4303 section 3.4.3).
    //= RFC 4303 3.4.3/1
    //# MUST: anti-replay is supported, to be enabled for each SA
    pub const fn with_window(spi: Spi, suite: S, width: SeqWidth, window: W) -> Self {
        let check = PadCheck::Full;
        Self { suite, receiver: Receiver { spi, width, window, check, resync: None, forged_in_a_row: 0 } }
    }

    /// Sets the check of the padding (RFC 4303 sections 2.4 and 3.4.4.1).
    pub const fn set_pad_check(&mut self, check: PadCheck) {
        self.receiver.check = check;
    }

    /// Sets resynchronization after a long loss; without ESN it has no effect (RFC 4303 appendix A3).
    pub const fn set_resync(&mut self, resync: Option<Resync>) {
        self.receiver.resync = resync;
    }

    /// Returns the SPI of the SA.
    pub const fn spi(&self) -> Spi {
        self.receiver.spi
    }

    /// Returns the suite of the SA.
    pub const fn suite(&self) -> &S {
        &self.suite
    }

    /// Returns the anti-replay window, for export.
    pub const fn window(&self) -> &W {
        &self.receiver.window
    }

    /// Returns the anti-replay window, for import.
    pub const fn window_mut(&mut self) -> &mut W {
        &mut self.receiver.window
    }

    /// Borrows the suite and the other parts of the SA separately.
    pub(crate) const fn split(&mut self) -> (&S, &mut Receiver<W>) {
        (&self.suite, &mut self.receiver)
    }
}

//= RFC 4303 5/1
//# MUST: syntax and processing of ESP for unicast traffic are implemented
impl<S: Suite, W: AntiReplay> Inbound<S, W> {
    /// Verifies the ICV of one packet and decrypts it in place (RFC 4303 section 3.4.4).
    ///
    /// The window is checked before the ICV and updated after it (RFC 4303 section 3.4.3), so that a forged packet
    /// cannot move it, and a replayed one costs no cryptography. A suite without integrity has no anti-replay.
    ///
    /// Stack: 760 octets on Cortex-M4 for AES-128-CBC with HMAC-SHA1-96 and `--cfg ipsec_small`;
    /// without it 750 octets more.
    ///
    /// # Errors
    /// [`OpenError`]; packet and window are unchanged, except for [`OpenError::InvalidPadLength`] and
    /// [`OpenError::InvalidPadding`]: those packets were authentic, so that their sequence number counts as received,
    /// and their plaintext was wiped.
    pub fn open(&mut self, packet: &mut PacketBuf<'_>) -> Result<Opened, OpenError> {
        let (suite, receiver) = self.split();
        let layout = suite.layout();
        let seq =
            receiver.admit(header::peek(packet.data()).map_err(|_| OpenError::TooShort)?, is_authentic(layout))?;
        let seq = receiver.open(is_authentic(layout), seq, &mut |seq_high| decrypt(suite, seq_high, packet))?;
        strip(layout, seq, receiver.check, packet)
    }

    /// Opens one packet like [`open`](Self::open) from a buffer that is only read. The payload is returned as a part
    /// of `out`, which must be as long as `received` (RFC 4303 section 3.4).
    ///
    /// # Errors
    /// [`OpenError`]; octets that were copied to `out` are wiped.
    pub fn open_into<'o>(&mut self, received: &[u8], out: &'o mut [u8]) -> Result<(Opened, &'o [u8]), OpenError> {
        let (needed, available) = (received.len(), out.len());
        let copy = out.get_mut(..needed).ok_or(OpenError::NoSpace(NoSpace::Back { needed, available }))?;
        copy.iter_mut().zip(received).for_each(|(to, from)| *to = *from);
        let mut packet = PacketBuf::received(copy);
        match self.open(&mut packet) {
            Ok(opened) => Ok((opened, packet.into_data())),
            Err(refused) => {
                packet.into_data().fill(0);
                Err(refused)
            }
        }
    }
}
