//! IPsec under smoltcp: [`Protected`] is a device around another, with an engine in between.
//!
//! What it is: one choke point. What the stack sends goes through [`Engine::outbound`], and what arrives through [`Engine::inbound`]; there
//! is no other way to the inner device and from it. Nothing is allocated.
//! What it is not: key exchange (SAs and policies are put into [`Protected::engine`]), or a gateway: the interface is the host that the SAs
//! begin and end at, in transport or in tunnel mode.
//!
//! ```
//! # use ipsec_engine::{AnyAlgorithms, Engine, Settings};
//! # use ipsec_packet::Seq;
//! use ipsec_smoltcp::Protected;
//! use smoltcp::phy::{Device, Loopback, Medium};
//!
//! let engine = Engine::<AnyAlgorithms, 4, 4>::new(Settings::STRICT, None, None);
//! let random = |_: Seq, iv: &mut [u8]| iv.fill(7); // not so: see esp_core::IvSource
//! let device: Protected<_, _, _, 4, 4, 64, 2048> = Protected::new(Loopback::new(Medium::Ip), engine, random)?;
//! assert!(device.capabilities().max_transmission_unit < 2048);
//! # Ok::<(), ipsec_smoltcp::NotIp>(())
//! ```
//!
//! Features: none. Those of smoltcp for IPv6 and sockets are its user's to choose.
//!
//! Time: packets let limits of the SAs they use take effect. For idle SAs, call `device.engine().tick(now)` at the time that
//! `poll_timeout` of the engine names, and poll its events.
//!
//! Security notes: what no policy speaks of is treated as [`ipsec_engine::Settings`] say; with `Settings::STRICT` it neither leaves nor
//! comes in. A packet whose SA is missing is dropped, and the engine's events tell which; TCP sends it again. Checksums are computed by the
//! stack, whatever the inner device could do: it sees ciphertext.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

use core::fmt;
use core::time::Duration;

use esp_core::IvSource;
use ipsec_engine::{Algorithms, Disposition, Engine};
use ipsec_packet::PacketBuf;
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Octets in front of a packet: an outer IPv6 header, UDP, AH, ESP with an IV.
const HEADROOM: usize = 128;
/// Octets behind it: padding, trailer, ICV.
const TAILROOM: usize = 64;
/// Octets that an inner IPv6 header of BEET mode needs beyond an outer IPv4 one.
const BEET_HEADROOM: usize = 20;

/// A device `D` behind an engine, with buffers for packets of `SIZE` octets, 192 of them for what protection adds (RFC 4301 3.3). A packet
/// that arrives compressed and what it gives back must fit together.
pub struct Protected<
    D,
    A: Algorithms,
    I,
    const SAS: usize,
    const POLICIES: usize,
    const FLOWS: usize,
    const SIZE: usize,
> {
    inner: D,
    choke: Choke<A, I, SAS, POLICIES, FLOWS, SIZE>,
    arrived: [u8; SIZE],
    /// What of `arrived` waits to be taken.
    waiting: Option<(usize, usize)>,
}

/// What a packet goes through on its way out.
struct Choke<A: Algorithms, I, const SAS: usize, const POLICIES: usize, const FLOWS: usize, const SIZE: usize> {
    engine: Engine<A, SAS, POLICIES, FLOWS>,
    iv: I,
    leaving: [u8; SIZE],
}

impl<D, A, I, const SAS: usize, const POLICIES: usize, const FLOWS: usize, const SIZE: usize>
    Protected<D, A, I, SAS, POLICIES, FLOWS, SIZE>
where
    D: Device,
    A: Algorithms,
    I: IvSource,
{
    /// Around a device of IP packets (RFC 4301 3.3). IVs come from `iv`.
    ///
    /// # Errors
    /// [`NotIp`] when the device carries frames.
    pub fn new(inner: D, engine: Engine<A, SAS, POLICIES, FLOWS>, iv: I) -> Result<Self, NotIp> {
        if inner.capabilities().medium != Medium::Ip {
            return Err(NotIp);
        }
        Ok(Self { inner, choke: Choke { engine, iv, leaving: [0; SIZE] }, arrived: [0; SIZE], waiting: None })
    }

    /// The engine: policies, SAs, counters, events.
    pub const fn engine(&mut self) -> &mut Engine<A, SAS, POLICIES, FLOWS> {
        &mut self.choke.engine
    }

    /// The device inside. What is sent through it directly is not protected.
    pub const fn inner(&mut self) -> &mut D {
        &mut self.inner
    }

    /// Takes packets from the inner device until one is for the stack, or none is left.
    fn wait(&mut self, now: Instant) -> Option<(usize, usize)> {
        while self.waiting.is_none() {
            let (packet, _) = self.inner.receive(now)?;
            let (start, len) = smoltcp::phy::RxToken::consume(packet, |octets| copy(octets, &mut self.arrived));
            // What IPComp gives back goes into the room behind the packet, a BEET header into that in front of it.
            let Ok(mut packet) = PacketBuf::with_headroom(&mut self.arrived, start, len) else { continue };
            if let Disposition::Deliver | Disposition::Bypass = self.choke.engine.inbound(elapsed(now), &mut packet) {
                let start = packet.headroom();
                self.waiting = Some((start, start.saturating_add(packet.len())));
            }
        }
        self.waiting
    }
}

/// Copies a packet that fits, with room in front of it if there is, and says where it is and how long.
fn copy(from: &[u8], to: &mut [u8]) -> (usize, usize) {
    let start = to.len().saturating_sub(from.len()).min(BEET_HEADROOM);
    let Some(to) = to.get_mut(start..).and_then(|to| to.get_mut(..from.len())) else { return (0, 0) };
    to.copy_from_slice(from);
    (start, from.len())
}

/// The engine's clock is smoltcp's.
fn elapsed(now: Instant) -> Duration {
    Duration::from_micros(u64::try_from(now.total_micros()).unwrap_or(0))
}

impl<D, A, I, const SAS: usize, const POLICIES: usize, const FLOWS: usize, const SIZE: usize> Device
    for Protected<D, A, I, SAS, POLICIES, FLOWS, SIZE>
where
    D: Device,
    A: Algorithms,
    I: IvSource,
{
    type RxToken<'a>
        = RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, D::TxToken<'a>, A, I, SAS, POLICIES, FLOWS, SIZE>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (start, end) = self.wait(now)?;
        let inner = self.inner.transmit(now)?;
        self.waiting = None;
        let packet = self.arrived.get(start..end).unwrap_or_default();
        Some((RxToken(packet), TxToken { inner, choke: &mut self.choke, now: elapsed(now) }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        Some(TxToken { inner: self.inner.transmit(now)?, choke: &mut self.choke, now: elapsed(now) })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.inner.capabilities();
        let room = capabilities.max_transmission_unit.min(SIZE);
        capabilities.max_transmission_unit = room.saturating_sub(HEADROOM).saturating_sub(TAILROOM);
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

/// A packet that arrived, as the stack may see it (RFC 4301 5.2).
#[derive(Debug)]
pub struct RxToken<'a>(&'a [u8]);

impl smoltcp::phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// The way out (RFC 4301 5.1).
pub struct TxToken<
    'a,
    T,
    A: Algorithms,
    I,
    const SAS: usize,
    const POLICIES: usize,
    const FLOWS: usize,
    const SIZE: usize,
> {
    inner: T,
    choke: &'a mut Choke<A, I, SAS, POLICIES, FLOWS, SIZE>,
    now: Duration,
}

impl<T, A, I, const SAS: usize, const POLICIES: usize, const FLOWS: usize, const SIZE: usize> smoltcp::phy::TxToken
    for TxToken<'_, T, A, I, SAS, POLICIES, FLOWS, SIZE>
where
    T: smoltcp::phy::TxToken,
    A: Algorithms,
    I: IvSource,
{
    /// The stack gives no more than the MTU says; a longer packet would meet a buffer of no octets.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Choke { engine, iv, leaving } = self.choke;
        let end = HEADROOM.saturating_add(len);
        let result = f(leaving.get_mut(HEADROOM..end).unwrap_or_default());
        let Ok(mut packet) = PacketBuf::with_headroom(leaving, HEADROOM, len) else { return result };
        // The one place where anything leaves.
        if let Disposition::Send | Disposition::Bypass = engine.outbound(self.now, &mut packet, iv) {
            let packet = packet.data();
            self.inner.consume(packet.len(), |out| out.iter_mut().zip(packet).for_each(|(to, from)| *to = *from));
        }
        result
    }
}

/// The device carries frames, not IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotIp;

impl fmt::Display for NotIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a device of ip packets")
    }
}

impl core::error::Error for NotIp {}
