use ipsec_crypto::AhIntegrity;
use ipsec_packet::{
    AntiReplay, DestinationOptions, Ip, PacketBuf, ReplayWindow, Seq, SeqCounter, SeqRun, SeqWidth, Spi, StateError,
};

use crate::verify::{authenticate, find, strip};
use crate::{Profile, SignError, SignParams, Verified, VerifyError, immutable_view, overhead, sign_with};

/// Outbound half of an SA: an integrity algorithm and the sequence counter, which never repeats under its key (RFC
/// 4302 section 3.3).
#[derive(Debug)]
pub struct Outbound<I> {
    spi: Spi,
    integrity: I,
    counter: SeqCounter,
    profile: Profile,
    options: DestinationOptions,
}

//= RFC 4302 2.5/3
//# MUST: sequence numbers can be generated and verified as 3.3.2 and 3.4.3 say
impl<I: AhIntegrity> Outbound<I> {
    /// Creates a new SA, with sequence numbers from 1 and destination options after AH.
    pub const fn new(spi: Spi, integrity: I, width: SeqWidth, profile: Profile) -> Self {
        let counter = SeqCounter::new(width);
        Self { spi, integrity, counter, profile, options: DestinationOptions::Protected }
    }

    /// Sets the position of AH relative to destination options (RFC 4302 section 3.1.1).
    pub const fn set_destination_options(&mut self, options: DestinationOptions) {
        self.options = options;
    }

    /// Returns the number of octets that signing adds to a packet of this IP version, the headroom that it needs (RFC
    /// 4302 section 2).
    pub fn overhead(&self, version: u8) -> usize {
        overhead(&self.integrity, self.profile, version)
    }

    /// Checks whether AH at offset `at` of this packet can cover the headers in front of it (RFC 4302 section
    /// 3.3.3.1). [`sign`](Self::sign) does that itself; this is for a packet that is changed before it is signed.
    ///
    /// # Errors
    /// [`SignError`] if the packet is malformed, its options or routing headers are, or no header ends at `at`.
    pub fn check_headers(&self, packet: &[u8], at: usize) -> Result<(), SignError> {
        Ok(immutable_view(&Ip::parse(packet)?, at, self.profile, &mut |_| {})?)
    }

    /// Signs one IP packet in place with the next sequence number (RFC 4302 section 3.3), which is the IV of
    /// AES-GMAC as well.
    ///
    /// Stack: 892 octets on Cortex-M4 with HMAC-SHA1-96, over IPv4 and IPv6, as measured by `ci/firmware`.
    ///
    /// # Errors
    /// [`SignError`]; packet and counter are unchanged.
    //= RFC 4302 3.3.2/1
    //# MUST NOT: a packet is sent that would make the number cycle
    pub fn sign(&mut self, packet: &mut PacketBuf<'_>) -> Result<Seq, SignError> {
        //= RFC 4302 2.5/4
        //# MUST: a new SA takes over before the counter would pass 2^32 - 1
        let seq = self.counter.peek()?;
        let (width, profile, options) = (self.counter.width(), self.profile, self.options);
        let envelope = SignParams { spi: self.spi, seq, width, profile, options };
        sign_with(&self.integrity, &envelope, seq.get().to_be_bytes(), packet)?;
        //= RFC 4302 2.5/1
        //# MUST: the sender counts the sequence number up for each packet
        self.counter.advance()?;
        Ok(seq)
    }

    /// Reserves `n` sequence numbers for packets that are signed elsewhere with [`sign_with`],
    /// [`integrity`](Self::integrity) and [`profile`](Self::profile) (RFC 4302 section 3.3.2). With AES-GMAC the
    /// sequence number must be the IV there, too: `seq.get().to_be_bytes()`.
    ///
    /// # Errors
    /// [`SignError::SequenceExhausted`] if fewer numbers are left; none is reserved.
    pub fn reserve(&mut self, n: u32) -> Result<SeqRun, SignError> {
        Ok(self.counter.reserve(n)?)
    }

    /// Returns the SPI of the SA.
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// Returns the integrity algorithm of the SA.
    pub const fn integrity(&self) -> &I {
        &self.integrity
    }

    /// Returns the profile of the peer.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Returns the sequence counter, for its remaining numbers or for export.
    pub const fn counter(&self) -> &SeqCounter {
        &self.counter
    }

    /// Advances the counter to an exported state (RFC 4302 section 3.3.2). After a crash, only a state that was
    /// exported ahead is sure to repeat no number: see [`SeqCounter::export_ahead`].
    ///
    /// # Errors
    /// [`StateError`]; the counter is unchanged.
    pub fn import(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.counter.import(state)
    }
}

/// Inbound half of an SA: an integrity algorithm and the anti-replay window (RFC 4302 section 3.4).
//= RFC 4302 3.4.3/9
//# SHOULD: a window of 64 packets is the default
#[derive(Debug)]
pub struct Inbound<I, W = ReplayWindow<2>> {
    spi: Spi,
    integrity: I,
    width: SeqWidth,
    profile: Profile,
    window: W,
}

impl<I: AhIntegrity> Inbound<I> {
    /// Creates a new SA with a window of 64 packets (RFC 4302 section 3.4.3).
    pub const fn new(spi: Spi, integrity: I, width: SeqWidth, profile: Profile) -> Self {
        Self::with_window(spi, integrity, width, profile, ReplayWindow::new())
    }
}

impl<I, W> Inbound<I, W> {
    /// Creates an SA with a window of another size or start, or [`ipsec_packet::NoReplay`] (RFC 4302 section 3.4.3).
    //= RFC 4302 3.4.3/1
    //# MUST: anti-replay is supported, to be enabled for each SA
    pub const fn with_window(spi: Spi, integrity: I, width: SeqWidth, profile: Profile, window: W) -> Self {
        Self { spi, integrity, width, profile, window }
    }

    /// Returns the SPI of the SA.
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// Returns the anti-replay window, for export.
    pub const fn window(&self) -> &W {
        &self.window
    }

    /// Returns the anti-replay window, for import.
    pub const fn window_mut(&mut self) -> &mut W {
        &mut self.window
    }
}

//= RFC 4302 2.5/3
//# MUST: sequence numbers can be generated and verified as 3.3.2 and 3.4.3 say
impl<I: AhIntegrity, W: AntiReplay> Inbound<I, W> {
    /// Verifies one IP packet and removes its outermost AH header in place (RFC 4302 section 3.4). Nested AH headers
    /// are verified one by one, the outermost first.
    ///
    /// The window is checked before the ICV and updated after it, so that a forged packet cannot move it.
    ///
    /// Stack: 936 octets on Cortex-M4 with HMAC-SHA1-96 over IPv4.
    ///
    /// # Errors
    /// [`VerifyError`]; packet and window are unchanged.
    //= RFC 4302 3.4.3/5
    //# SHOULD: that is the first check of AH
    pub fn verify(&mut self, packet: &mut PacketBuf<'_>) -> Result<Verified, VerifyError> {
        let found = find(packet.data())?;
        if found.header.spi.get() != self.spi.get() {
            return Err(VerifyError::SpiMismatch { expected: self.spi, found: found.header.spi.get() });
        }
        let seq = match self.width {
            SeqWidth::Bits32 => Seq::new(found.header.seq.get().into()),
            //= RFC 4302 2.5.1/1
            //# SHOULD: extended sequence numbers are offered
            SeqWidth::Extended64 => self.window.reconstruct(found.header.seq.get()),
        };
        //= RFC 4302 3.4.3/4
        //# MUST: each received number is verified to be no duplicate during the life of the SA
        self.window.check(seq)?;
        authenticate(&self.integrity, &found, seq, self.width, self.profile, packet.data())?;
        //= RFC 2402 3.4.3/11
        //# MUST: a packet is authenticated before the window is updated
        self.window.record(seq);
        strip(&found, seq, packet)
    }
}
