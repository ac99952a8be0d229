//! IPsec for smoltcp: [`Protected`] is a device that wraps another device and applies IPsec policies to every packet.
//!
//! Packets from the stack pass through [`Engine::outbound`], received packets through [`Engine::inbound`]; the stack
//! has no other access to the inner device. The crate does not allocate. The application adds SAs and policies to
//! [`Protected::engine`]; key exchange is not part of this crate. The interface is a host that is the endpoint of the
//! SAs in transport or tunnel mode, not a gateway.
//!
//! ```
//! use esp_core::RngIv;
//! use ipsec_engine::{AnyAlgorithms, Engine, Settings};
//! use ipsec_smoltcp::Protected;
//! use smoltcp::phy::{Device, Loopback, Medium};
//!
//! let engine = Engine::<AnyAlgorithms, 4, 4>::new(Settings::STRICT, None, None);
//! let device: Protected<_, _, _, 4, 4, 64, 2048> =
//!     Protected::new(Loopback::new(Medium::Ip), engine, RngIv(rand::rng()))?;
//! assert!(device.capabilities().max_transmission_unit < 2048);
//! # Ok::<(), ipsec_smoltcp::NotIp>(())
//! ```
//!
//! Features: none. The application selects the features of smoltcp for IPv6 and sockets.
//!
//! Lifetimes: packets apply the lifetimes of the SAs that they use. For idle SAs, call `device.engine().tick(now)` at
//! the time that `poll_timeout` of the engine returns, and poll its events.
//!
//! Security notes: a packet that matches no policy is treated as [`ipsec_engine::Settings`] specify;
//! `Settings::STRICT` discards it in both directions. A packet without an SA is dropped and the engine reports an
//! event for the missing SA; TCP retransmits it. The stack computes all checksums, even if the inner device supports
//! them: the device sees ciphertext.
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

use esp_core::IvSource;
use ipsec_engine::{Algorithms, Engine, InboundAction, OutboundAction};
use ipsec_packet::PacketBuf;
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Space in front of a packet, in octets: outer IPv6 header, UDP, AH, ESP with an IV.
const HEADROOM: usize = 128;
/// Space after a packet, in octets: padding, ESP trailer and ICV.
const TAILROOM: usize = 64;
/// Difference in octets between an inner IPv6 header and an outer IPv4 header in BEET mode.
const BEET_HEADROOM: usize = 20;

/// Device `D` with an engine in front of it (RFC 4301 section 3.3). Its two buffers have `SIZE` octets each, of which
/// 192 are for the overhead of IPsec. A received IPComp packet must fit in the buffer together with its decompressed
/// payload.
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
    egress: Egress<A, I, SAS, POLICIES, FLOWS, SIZE>,
    receive_buffer: [u8; SIZE],
    /// Start and end of the received packet in `receive_buffer` that the stack has not taken yet.
    pending: Option<(usize, usize)>,
}

/// Outbound path, which transmit tokens borrow: engine, IV source and transmit buffer.
struct Egress<A: Algorithms, I, const SAS: usize, const POLICIES: usize, const FLOWS: usize, const SIZE: usize> {
    engine: Engine<A, SAS, POLICIES, FLOWS>,
    iv: I,
    transmit_buffer: [u8; SIZE],
}

impl<D, A, I, const SAS: usize, const POLICIES: usize, const FLOWS: usize, const SIZE: usize>
    Protected<D, A, I, SAS, POLICIES, FLOWS, SIZE>
where
    D: Device,
    A: Algorithms,
    I: IvSource,
{
    /// Wraps a device of medium IP (RFC 4301 section 3.3). `iv` supplies the IVs of CBC suites.
    ///
    /// # Errors
    /// [`NotIp`] if the medium of the device is not IP, such as Ethernet.
    pub fn new(inner: D, engine: Engine<A, SAS, POLICIES, FLOWS>, iv: I) -> Result<Self, NotIp> {
        if inner.capabilities().medium != Medium::Ip {
            return Err(NotIp);
        }
        Ok(Self {
            inner,
            egress: Egress { engine, iv, transmit_buffer: [0; SIZE] },
            receive_buffer: [0; SIZE],
            pending: None,
        })
    }

    /// Returns the engine, with its policies, SAs, counters and events.
    pub const fn engine(&mut self) -> &mut Engine<A, SAS, POLICIES, FLOWS> {
        &mut self.egress.engine
    }

    /// Returns the inner device. Packets sent through it directly are not protected.
    pub const fn inner(&mut self) -> &mut D {
        &mut self.inner
    }

    /// Receives packets from the inner device until the policies permit one or none is left, and returns the range of
    /// the permitted packet.
    fn receive_permitted(&mut self, now: Instant) -> Option<(usize, usize)> {
        while self.pending.is_none() {
            let (packet, _) = self.inner.receive(now)?;
            let (start, len) = smoltcp::phy::RxToken::consume(packet, |octets| copy(octets, &mut self.receive_buffer));
            // IPComp decompresses into the space after the packet; BEET mode needs space in front of it.
            let Ok(mut packet) = PacketBuf::with_headroom(&mut self.receive_buffer, start, len) else { continue };
            let action = self.egress.engine.inbound(&mut packet, elapsed(now));
            if let InboundAction::Deliver { .. } | InboundAction::Bypass = action {
                let start = packet.headroom();
                self.pending = Some((start, start.saturating_add(packet.len())));
            }
        }
        self.pending
    }
}

/// Copies a packet with headroom for BEET mode, if there is space, and returns offset and length. A packet that does
/// not fit has length 0.
fn copy(from: &[u8], to: &mut [u8]) -> (usize, usize) {
    let start = to.len().saturating_sub(from.len()).min(BEET_HEADROOM);
    let Some(to) = to.get_mut(start..).and_then(|to| to.get_mut(..from.len())) else { return (0, 0) };
    to.copy_from_slice(from);
    (start, from.len())
}

/// Converts smoltcp's time to the time of the engine.
fn elapsed(now: Instant) -> ipsec_packet::Instant {
    ipsec_packet::Instant::from_micros(u64::try_from(now.total_micros()).unwrap_or(0))
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
        let (start, end) = self.receive_permitted(now)?;
        let inner = self.inner.transmit(now)?;
        self.pending = None;
        let packet = self.receive_buffer.get(start..end).unwrap_or_default();
        Some((RxToken(packet), TxToken { inner, egress: &mut self.egress, now: elapsed(now) }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        Some(TxToken { inner: self.inner.transmit(now)?, egress: &mut self.egress, now: elapsed(now) })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.inner.capabilities();
        let room = capabilities.max_transmission_unit.min(SIZE);
        capabilities.max_transmission_unit = room.saturating_sub(HEADROOM).saturating_sub(TAILROOM);
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

/// Received packet that the policies permit (RFC 4301 section 5.2).
#[derive(Debug)]
pub struct RxToken<'a>(&'a [u8]);

impl smoltcp::phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Transmit token whose packet is processed by the engine (RFC 4301 section 5.1).
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
    egress: &'a mut Egress<A, I, SAS, POLICIES, FLOWS, SIZE>,
    now: ipsec_packet::Instant,
}

impl<T, A, I, const SAS: usize, const POLICIES: usize, const FLOWS: usize, const SIZE: usize> smoltcp::phy::TxToken
    for TxToken<'_, T, A, I, SAS, POLICIES, FLOWS, SIZE>
where
    T: smoltcp::phy::TxToken,
    A: Algorithms,
    I: IvSource,
{
    /// Sends a packet of `len` octets, if the policies permit it. A packet above the MTU, which the stack does not
    /// send, would get an empty buffer.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Egress { engine, iv, transmit_buffer } = self.egress;
        let end = HEADROOM.saturating_add(len);
        let result = f(transmit_buffer.get_mut(HEADROOM..end).unwrap_or_default());
        let Ok(mut packet) = PacketBuf::with_headroom(transmit_buffer, HEADROOM, len) else { return result };
        // All packets to the inner device are sent here.
        if let OutboundAction::Send | OutboundAction::Bypass = engine.outbound(&mut packet, self.now, iv) {
            let packet = packet.data();
            self.inner.consume(packet.len(), |out| out.iter_mut().zip(packet).for_each(|(to, from)| *to = *from));
        }
        result
    }
}

/// Error of [`Protected::new`]: the medium of the device is not IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotIp;

impl fmt::Display for NotIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("medium of the device is not IP")
    }
}

impl core::error::Error for NotIp {}
