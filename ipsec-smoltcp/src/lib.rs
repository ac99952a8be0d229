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
//! let device: Protected<_, _, _, 2048> = Protected::new(Loopback::new(Medium::Ip), engine, RngIv(rand::rng()))?;
//! assert!(device.capabilities().max_transmission_unit < 2048);
//! # Ok::<(), ipsec_smoltcp::UnknownMedium>(())
//! ```
//!
//! The engine is any [`Ipsec`]: an [`Engine`] by value, or a reference to one.
//!
//! Features: `ethernet` accepts devices of medium Ethernet. The application selects the features of smoltcp for IPv6
//! and sockets.
//!
//! Ethernet: frames of IPv4 and IPv6 are processed by the policies, ARP passes, and other frames are dropped in both
//! directions. Neighbour discovery is ICMPv6 and follows the policies: with [`ipsec_engine::Settings::STRICT`] it needs
//! policies that bypass types 133 to 137, such as `spdadd ::/0 ::/0 icmp6 135,0 -P out none;` of setkey(8). A packet of
//! a tunnel is sent to the link address that the stack has found for the inner packet: a route for the inner network
//! through the remote gateway, or through the router that leads to it, makes them the same.
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

mod link;

use core::fmt;

use esp_core::IvSource;
use ipsec_engine::{Algorithms, Engine, InboundAction, OutboundAction};
use ipsec_packet::PacketBuf;
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities};
use smoltcp::time::Instant;

use crate::link::{Frame, Link};

/// Space in front of a packet, in octets: outer IPv6 header, UDP, AH, ESP with an IV.
const HEADROOM: usize = 128;
/// Space after a packet, in octets: padding, ESP trailer and ICV.
const TAILROOM: usize = 64;
/// Difference in octets between an inner IPv6 header and an outer IPv4 header in BEET mode.
const BEET_HEADROOM: usize = 20;
/// Largest number of frames that one call receives from the inner device and discards.
const MAX_DISCARDED: usize = 16;

/// Outbound and inbound processing of packets (RFC 4301 sections 5.1 and 5.2), independent of the algorithms and the
/// capacity of an engine.
pub trait Ipsec {
    /// Protects a packet that is to be sent: [`Engine::outbound`].
    fn outbound<I: IvSource>(
        &mut self,
        packet: &mut PacketBuf<'_>,
        now: ipsec_packet::Instant,
        iv: &mut I,
    ) -> OutboundAction;

    /// Processes a received packet: [`Engine::inbound`].
    fn inbound(&mut self, packet: &mut PacketBuf<'_>, now: ipsec_packet::Instant) -> InboundAction;
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Ipsec
    for Engine<A, SAS, POLICIES, FLOWS>
{
    fn outbound<I: IvSource>(
        &mut self,
        packet: &mut PacketBuf<'_>,
        now: ipsec_packet::Instant,
        iv: &mut I,
    ) -> OutboundAction {
        Self::outbound(self, packet, now, iv)
    }

    fn inbound(&mut self, packet: &mut PacketBuf<'_>, now: ipsec_packet::Instant) -> InboundAction {
        Self::inbound(self, packet, now)
    }
}

impl<E: Ipsec> Ipsec for &mut E {
    fn outbound<I: IvSource>(
        &mut self,
        packet: &mut PacketBuf<'_>,
        now: ipsec_packet::Instant,
        iv: &mut I,
    ) -> OutboundAction {
        E::outbound(self, packet, now, iv)
    }

    fn inbound(&mut self, packet: &mut PacketBuf<'_>, now: ipsec_packet::Instant) -> InboundAction {
        E::inbound(self, packet, now)
    }
}

/// Device `D` with an engine `E` in front of it (RFC 4301 section 3.3). `I` supplies the IVs of CBC suites. Its two
/// buffers have `SIZE` octets each, of which 192 are for the overhead of IPsec. A received IPComp packet must fit in
/// the buffer together with its decompressed payload.
pub struct Protected<D, E, I, const SIZE: usize> {
    inner: D,
    link: Link,
    egress: Egress<E, I, SIZE>,
    receive_buffer: [u8; SIZE],
    /// Start and end of the received frame in `receive_buffer` that the stack has not taken yet.
    pending: Option<(usize, usize)>,
}

/// Outbound path, which transmit tokens borrow: engine, IV source and transmit buffer.
struct Egress<E, I, const SIZE: usize> {
    engine: E,
    iv: I,
    transmit_buffer: [u8; SIZE],
}

impl<D: Device, E: Ipsec, I: IvSource, const SIZE: usize> Protected<D, E, I, SIZE> {
    /// Wraps a device of medium IP or, with feature `ethernet`, Ethernet (RFC 4301 section 3.3).
    ///
    /// # Errors
    /// [`UnknownMedium`] for another medium.
    pub fn new(inner: D, engine: E, iv: I) -> Result<Self, UnknownMedium> {
        let link = Link::of(inner.capabilities().medium).ok_or(UnknownMedium)?;
        Ok(Self {
            inner,
            link,
            egress: Egress { engine, iv, transmit_buffer: [0; SIZE] },
            receive_buffer: [0; SIZE],
            pending: None,
        })
    }

    /// Returns the engine, with its policies, SAs, counters and events.
    pub const fn engine(&mut self) -> &mut E {
        &mut self.egress.engine
    }

    /// Returns the inner device. Packets sent through it directly are not protected.
    pub const fn inner(&mut self) -> &mut D {
        &mut self.inner
    }

    /// Receives frames from the inner device until the policies permit one or none is left, and returns the range of
    /// the permitted frame. After [`MAX_DISCARDED`] others, the stack continues with its timers first; the frames that
    /// are left are received by its next poll.
    fn receive_permitted(&mut self, now: Instant) -> Option<(usize, usize)> {
        for _ in 0..MAX_DISCARDED {
            if self.pending.is_some() {
                break;
            }
            let (frame, _) = self.inner.receive(now)?;
            let (start, len) = smoltcp::phy::RxToken::consume(frame, |octets| copy(octets, &mut self.receive_buffer));
            self.pending = match self.link.split(self.receive_buffer.get(start..).unwrap_or_default(), len) {
                Frame::Ip(header) => self.open(now, start, len, &header),
                Frame::Arp => Some((start, start.saturating_add(len))),
                Frame::Other => None,
            };
        }
        self.pending
    }

    /// Processes the packet of a received frame, and returns the range of the frame that the stack receives.
    fn open(&mut self, now: Instant, start: usize, len: usize, header: &link::Header) -> Option<(usize, usize)> {
        let (at, length) = (start.checked_add(header.len())?, len.checked_sub(header.len())?);
        // IPComp decompresses into the space after the packet; BEET mode needs space in front of it.
        let mut packet = PacketBuf::with_headroom(&mut self.receive_buffer, at, length).ok()?;
        match self.egress.engine.inbound(&mut packet, elapsed(now)) {
            InboundAction::Deliver { .. } | InboundAction::Bypass => {
                header.push(&mut packet)?;
                let start = packet.headroom();
                Some((start, start.saturating_add(packet.len())))
            }
            InboundAction::Discard(_) => None,
        }
    }
}

/// Copies a frame with headroom for BEET mode, if there is space, and returns offset and length. A frame that does not
/// fit has length 0.
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

impl<D: Device, E: Ipsec, I: IvSource, const SIZE: usize> Device for Protected<D, E, I, SIZE> {
    type RxToken<'a>
        = RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, D::TxToken<'a>, E, I, SIZE>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (start, end) = self.receive_permitted(now)?;
        let inner = self.inner.transmit(now)?;
        self.pending = None;
        let frame = self.receive_buffer.get(start..end).unwrap_or_default();
        let (link, egress) = (self.link, &mut self.egress);
        Some((RxToken(frame), TxToken { inner, link, egress, now: elapsed(now) }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let (link, egress) = (self.link, &mut self.egress);
        Some(TxToken { inner: self.inner.transmit(now)?, link, egress, now: elapsed(now) })
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
pub struct TxToken<'a, T, E, I, const SIZE: usize> {
    inner: T,
    link: Link,
    egress: &'a mut Egress<E, I, SIZE>,
    now: ipsec_packet::Instant,
}

impl<T: smoltcp::phy::TxToken, E: Ipsec, I: IvSource, const SIZE: usize> smoltcp::phy::TxToken
    for TxToken<'_, T, E, I, SIZE>
{
    /// Sends a frame of `len` octets, if the policies permit it. A frame above the MTU, which the stack does not send,
    /// would get an empty buffer.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Egress { engine, iv, transmit_buffer } = self.egress;
        let end = HEADROOM.saturating_add(len);
        let result = f(transmit_buffer.get_mut(HEADROOM..end).unwrap_or_default());
        let split = self.link.split(transmit_buffer.get(HEADROOM..).unwrap_or_default(), len);
        let send = |frame: &[u8]| {
            self.inner.consume(frame.len(), |out| out.iter_mut().zip(frame).for_each(|(to, from)| *to = *from));
        };
        // All frames to the inner device are sent here.
        match split {
            Frame::Ip(header) => {
                let (at, length) = (HEADROOM.saturating_add(header.len()), len.saturating_sub(header.len()));
                let Ok(mut packet) = PacketBuf::with_headroom(transmit_buffer, at, length) else { return result };
                let action = engine.outbound(&mut packet, self.now, iv);
                if matches!(action, OutboundAction::Send | OutboundAction::Bypass) && header.push(&mut packet).is_some()
                {
                    send(packet.data());
                }
            }
            Frame::Arp => send(transmit_buffer.get(HEADROOM..end).unwrap_or_default()),
            Frame::Other => {}
        }
        result
    }
}

/// Error of [`Protected::new`]: the medium of the device is neither IP nor, with feature `ethernet`, Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMedium;

impl fmt::Display for UnknownMedium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("medium of the device is neither IP nor Ethernet")
    }
}

impl core::error::Error for UnknownMedium {}
