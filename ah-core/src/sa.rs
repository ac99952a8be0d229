use ipsec_crypto::AhIntegrity;
use ipsec_packet::{
    AntiReplay, DestinationOptions, PacketBuf, ReplayWindow, Seq, SeqCounter, SeqRun, SeqWidth, Spi, StateError,
};

use crate::verify::{authenticate, find, strip};
use crate::{Envelope, Profile, SignError, Verified, VerifyError, overhead, sign_with};

/// The sending half of an SA: an integrity algorithm and the counter that never repeats under its key (RFC 4302 3.3).
#[derive(Debug)]
pub struct Outbound<I> {
    spi: Spi,
    integrity: I,
    counter: SeqCounter,
    profile: Profile,
    options: DestinationOptions,
}

//= RFC 4302 2.5/3
impl<I: AhIntegrity> Outbound<I> {
    /// A new SA: numbers from 1, destination options behind AH.
    pub const fn new(spi: Spi, integrity: I, width: SeqWidth, profile: Profile) -> Self {
        let counter = SeqCounter::new(width);
        Self { spi, integrity, counter, profile, options: DestinationOptions::Protected }
    }

    /// Puts AH in front of destination options, or behind them (RFC 4302 3.1.1).
    pub const fn set_destination_options(&mut self, options: DestinationOptions) {
        self.options = options;
    }

    /// Octets that signing adds to a packet of this IP version: the headroom it needs (RFC 4302 2).
    pub fn overhead(&self, version: u8) -> usize {
        overhead(&self.integrity, self.profile, version)
    }

    /// Signs one IP packet in place under the next number (RFC 4302 3.3), which is the IV of AES-GMAC, too.
    ///
    /// Stack: 924 octets on Cortex-M4 with HMAC-SHA1-96, over IPv4 and IPv6, as `ci/firmware` measures it.
    ///
    /// # Errors
    /// [`SignError`]; neither packet nor counter have changed.
    //= RFC 4302 3.3.2/1
    pub fn sign(&mut self, packet: &mut PacketBuf<'_>) -> Result<Seq, SignError> {
        //= RFC 4302 2.5/4
        let seq = self.counter.peek()?;
        let (width, profile, options) = (self.counter.width(), self.profile, self.options);
        let envelope = Envelope { spi: self.spi, seq, width, profile, options };
        sign_with(&self.integrity, &envelope, seq.get().to_be_bytes(), packet)?;
        //= RFC 4302 2.5/1
        self.counter.advance()?;
        Ok(seq)
    }

    /// Takes `n` numbers for somebody else to sign with [`sign_with`], [`integrity`](Self::integrity) and
    /// [`profile`](Self::profile) (RFC 4302 3.3.2). With AES-GMAC the number must be the IV there, too: `seq.get().to_be_bytes()`.
    ///
    /// # Errors
    /// [`SignError::SequenceExhausted`] when fewer are left; none is taken.
    pub fn reserve(&mut self, n: u32) -> Result<SeqRun, SignError> {
        Ok(self.counter.reserve(n)?)
    }

    /// The SA's number.
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// Its integrity algorithm.
    pub const fn integrity(&self) -> &I {
        &self.integrity
    }

    /// What its peer makes of ambiguous rules.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Its counter, to be asked how much is left or to be exported.
    pub const fn counter(&self) -> &SeqCounter {
        &self.counter
    }

    /// Moves the counter on to an exported one (RFC 4302 3.3.2). After a crash only a state exported ahead is sure to repeat nothing: see
    /// [`SeqCounter::export_ahead`].
    ///
    /// # Errors
    /// [`StateError`]; the counter is unchanged.
    pub fn import(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.counter.import(state)
    }
}

/// The receiving half of an SA: an integrity algorithm and the window that remembers what was received (RFC 4302 3.4).
//= RFC 4302 3.4.3/9
#[derive(Debug)]
pub struct Inbound<I, W = ReplayWindow<2>> {
    spi: Spi,
    integrity: I,
    width: SeqWidth,
    profile: Profile,
    window: W,
}

impl<I: AhIntegrity> Inbound<I> {
    /// A new SA with a window of 64 packets (RFC 4302 3.4.3).
    pub const fn new(spi: Spi, integrity: I, width: SeqWidth, profile: Profile) -> Self {
        Self::with_window(spi, integrity, width, profile, ReplayWindow::new())
    }
}

impl<I, W> Inbound<I, W> {
    /// An SA with a window of its own size or start, or [`ipsec_packet::NoReplay`] (RFC 4302 3.4.3).
    //= RFC 4302 3.4.3/1
    pub const fn with_window(spi: Spi, integrity: I, width: SeqWidth, profile: Profile, window: W) -> Self {
        Self { spi, integrity, width, profile, window }
    }

    /// The SA's number.
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// Its window, to be exported.
    pub const fn window(&self) -> &W {
        &self.window
    }

    /// Its window, to be imported into.
    pub const fn window_mut(&mut self) -> &mut W {
        &mut self.window
    }
}

//= RFC 4302 2.5/3
impl<I: AhIntegrity, W: AntiReplay> Inbound<I, W> {
    /// Verifies one IP packet and takes its outermost AH off in place. Nested AH is verified one by one, from the outside
    /// (RFC 4302 3.4).
    ///
    /// The window is consulted before the ICV and updated only after it, so a forged packet cannot move it.
    ///
    /// Stack: 936 octets on Cortex-M4 with HMAC-SHA1-96 over IPv4.
    ///
    /// # Errors
    /// [`VerifyError`]; packet and window are unchanged.
    //= RFC 4302 3.4.3/5
    pub fn verify(&mut self, packet: &mut PacketBuf<'_>) -> Result<Verified, VerifyError> {
        let found = find(packet.data())?;
        if found.header.spi.get() != self.spi.get() {
            return Err(VerifyError::WrongSpi { expected: self.spi, found: found.header.spi.get() });
        }
        let seq = match self.width {
            SeqWidth::Bits32 => Seq::new(found.header.seq.get().into()),
            //= RFC 4302 2.5.1/1
            SeqWidth::Extended64 => self.window.reconstruct(found.header.seq.get()),
        };
        //= RFC 4302 3.4.3/4
        self.window.check(seq)?;
        authenticate(&self.integrity, &found, seq, self.width, self.profile, packet.data())?;
        //= RFC 2402 3.4.3/11
        self.window.record(seq);
        strip(&found, seq, packet)
    }
}
