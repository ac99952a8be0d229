use core::fmt;
use core::net::IpAddr;

use crate::dialect::{Kind, Wire};
use crate::error::NoSpace;
use crate::extension::{Extension, Lifetime};
use crate::message::VERSION;
use crate::number::{MessageKind, SaType};
use crate::policy::{PolicyKind, template_head};
use ipsec_sa::{Action, Level, PolicyDirection, Priority, Protocol, Template};

/// Writer of a message into the caller's buffer (RFC 2367 section 2). The length field is set at the end.
pub struct MessageWriter<'b> {
    buffer: &'b mut [u8],
    length: usize,
    wire: Wire,
}

impl fmt::Debug for MessageWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageWriter({} octets)", self.length) // there may be keys among them
    }
}

impl<'b> MessageWriter<'b> {
    /// Begins a message (RFC 2367 section 2.1).
    ///
    /// # Errors
    /// [`NoSpace`]; also for an SA type without a number in the dialect.
    pub fn new(
        buffer: &'b mut [u8],
        wire: Wire,
        kind: MessageKind,
        sa_type: SaType,
        sequence: u32,
        pid: u32,
    ) -> Result<Self, NoSpace> {
        let sa_type = wire.dialect.sa_type_number(sa_type).ok_or(NoSpace)?;
        let mut writer = Self { buffer, length: 0, wire };
        writer.put(&[VERSION, kind.0, 0, sa_type, 0xff, 0xff, 0, 0])?;
        writer.put(&wire.order.octets32(sequence))?;
        writer.put(&wire.order.octets32(pid))?;
        Ok(writer)
    }

    /// Adds an extension (RFC 2367 section 2.3).
    ///
    /// # Errors
    /// [`NoSpace`], also for an extension without a number in the dialect; the message is unchanged.
    pub fn push(&mut self, extension: &Extension<'_>) -> Result<&mut Self, NoSpace> {
        let number = self.number(extension).ok_or(NoSpace)?;
        self.extension(number, |writer| writer.body(extension))
    }

    /// Adds the extension of a policy (KAME, FreeBSD and Linux). With `id` 0 the kernel chooses the number.
    ///
    /// # Errors
    /// [`NoSpace`], also in the dialect of OpenBSD, which has flows instead; the message is unchanged.
    pub fn push_policy(
        &mut self,
        action: &Action,
        direction: PolicyDirection,
        id: u32,
        priority: Priority,
    ) -> Result<&mut Self, NoSpace> {
        let number = self.wire.dialect.number(Kind::Policy).ok_or(NoSpace)?;
        let kind = match action {
            Action::Discard => PolicyKind::Discard,
            Action::Bypass => PolicyKind::None,
            Action::Protect(_) => PolicyKind::Ipsec,
        };
        let dir = match direction {
            PolicyDirection::In => 1,
            PolicyDirection::Out => 2,
            PolicyDirection::Forward => 3,
        };
        let priority = if self.wire.dialect.has_priorities() { priority.0 } else { 0 };
        self.extension(number, |writer| {
            writer.policy_head(kind, dir, id, priority)?;
            match action {
                Action::Protect(bundle) => bundle.iter().try_for_each(|template| writer.template(template)),
                _ => Ok(()),
            }
        })
    }

    /// Sets the length field and returns the message (RFC 2367 section 2.1).
    ///
    /// # Errors
    /// [`NoSpace`] above 65,535 units of 8 octets.
    pub fn finish(self) -> Result<&'b mut [u8], NoSpace> {
        let units = u16::try_from(self.length >> 3).map_err(|_| NoSpace)?;
        let octets = self.wire.order.octets16(units);
        let message = self.buffer.get_mut(..self.length).ok_or(NoSpace)?;
        message.get_mut(4..).and_then(<[u8]>::first_chunk_mut).map(|field| *field = octets).ok_or(NoSpace)?;
        Ok(message)
    }

    fn number(&self, extension: &Extension<'_>) -> Option<u16> {
        let kind = match *extension {
            Extension::Sa { .. } => Kind::Sa,
            Extension::Lifetime(role, _) => Kind::Lifetime(role),
            Extension::Address { role, .. } => Kind::Address(role),
            Extension::Key(role, _) => Kind::Key(role),
            Extension::Identity(side, ..) => Kind::Identity(side),
            Extension::Supported(role, _) => Kind::Supported(role),
            Extension::SpiRange { .. } => Kind::SpiRange,
            Extension::Policy(_) => Kind::Policy,
            Extension::Sa2 { .. } => Kind::Sa2,
            Extension::NatType(_) => Kind::NatType,
            Extension::NatPort(side, _) => Kind::NatPort(side),
            Extension::NatFragment(_) => Kind::NatFragment,
            Extension::ReplayWindow(_) => Kind::ReplayWindow,
            Extension::UdpEncap(_) => Kind::UdpEncap,
            Extension::Other(number, _) => return Some(number),
        };
        self.wire.dialect.number(kind)
    }

    fn extension(
        &mut self,
        number: u16,
        body: impl FnOnce(&mut Self) -> Result<(), NoSpace>,
    ) -> Result<&mut Self, NoSpace> {
        let begin = self.length;
        let written = self.put(&[0, 0]).and_then(|()| self.put16(number)).and_then(|()| body(self));
        let written = written.and_then(|()| self.pad()).and_then(|()| self.set_length(begin));
        match written {
            Ok(()) => Ok(self),
            Err(NoSpace) => {
                self.length = begin;
                Err(NoSpace)
            }
        }
    }

    fn body(&mut self, extension: &Extension<'_>) -> Result<(), NoSpace> {
        let order = self.wire.order;
        match *extension {
            Extension::Sa { spi, replay, state, integrity, cipher, flags } => {
                self.put(&spi.to_be_bytes())?;
                self.put(&[replay, state, integrity, cipher])?;
                self.put(&order.octets32(flags.0))
            }
            Extension::Lifetime(_, Lifetime { allocations, octets, added, used }) => {
                self.put(&order.octets32(allocations))?;
                [octets, added, used].into_iter().try_for_each(|n| self.put(&order.octets64(n)))
            }
            Extension::Address { proto, prefix, address, port, .. } => {
                self.put(&[proto.0, prefix, 0, 0])?;
                self.sockaddr(address, port)
            }
            Extension::Key(_, key) => {
                self.put16(key.bits)?;
                self.put(&[0, 0])?;
                self.put(key.octets)
            }
            Extension::Identity(_, kind, id, text) => {
                self.put16(kind)?;
                self.put(&[0, 0])?;
                self.put(&order.octets64(id))?;
                self.put(text)?;
                // The text is terminated by a zero.
                if text.is_empty() { Ok(()) } else { self.put(&[0]) }
            }
            Extension::Supported(_, algorithms) => {
                self.put(&[0; 4])?;
                self.put(algorithms.octets())
            }
            Extension::SpiRange { min, max } => {
                self.put(&order.octets32(min))?;
                self.put(&order.octets32(max))?;
                self.put(&[0; 4])
            }
            Extension::Policy(policy) => {
                self.policy_head(policy.kind, policy.direction, policy.id, policy.priority)?;
                self.put(policy.templates.octets())
            }
            Extension::Sa2 { mode, sequence, reqid } => {
                self.put(&[mode, 0, 0, 0])?;
                self.put(&order.octets32(sequence))?;
                self.put(&order.octets32(reqid))
            }
            Extension::NatType(kind) => self.put(&[kind, 0, 0, 0]),
            Extension::NatPort(_, port) | Extension::UdpEncap(port) => {
                let [high, low] = port.to_be_bytes();
                self.put(&[high, low, 0, 0])
            }
            Extension::NatFragment(octets) => {
                self.put16(octets)?;
                self.put(&[0, 0])
            }
            Extension::ReplayWindow(packets) => self.put(&order.octets32(packets)),
            Extension::Other(_, body) => self.put(body),
        }
    }

    fn policy_head(&mut self, kind: PolicyKind, dir: u8, id: u32, priority: u32) -> Result<(), NoSpace> {
        let order = self.wire.order;
        self.put16(match kind {
            PolicyKind::Discard => 0,
            PolicyKind::None => 1,
            PolicyKind::Ipsec => 2,
            PolicyKind::Entrust => 3,
            PolicyKind::Bypass => 4,
        })?;
        self.put(&[dir, 0])?;
        self.put(&order.octets32(id))?;
        self.put(&order.octets32(priority))
    }

    fn template(&mut self, template: &Template) -> Result<(), NoSpace> {
        let begin = self.length;
        let protocol: u16 = match template.protocol {
            Protocol::Esp => 50,
            Protocol::Ah => 51,
            Protocol::Ipcomp => 108,
        };
        let (level, id) = match template.level {
            Level::Default => (0, 0),
            Level::Use => (1, 0),
            Level::Require => (2, 0),
            Level::Unique => (3, 0),
            Level::UniqueId(id) => (3, id),
        };
        let head = template_head(self.wire.dialect);
        self.put(&[0, 0])?;
        self.put16(protocol)?;
        self.put(&[Extension::mode_number(template.mode), level])?;
        if head == 8 {
            self.put16(u16::try_from(id).map_err(|_| NoSpace)?)?;
        } else {
            self.put(&[0, 0])?;
            self.put(&self.wire.order.octets32(id))?;
            self.put(&[0; 4])?;
        }
        if let Some(ends) = &template.ends {
            let known = ends.source.0.or(ends.destination.0).ok_or(NoSpace)?;
            // If one address is any, it is the unspecified address of the family of the other.
            let any = if known.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
            for (address, port) in [ends.source, ends.destination] {
                self.sockaddr(address.unwrap_or(any), port.unwrap_or(0))?;
            }
        }
        // The length is in octets, and a multiple of 8.
        self.pad()?;
        let length = self.length.checked_sub(begin).filter(|length| *length >= head).ok_or(NoSpace)?;
        let octets = self.wire.order.octets16(u16::try_from(length).map_err(|_| NoSpace)?);
        self.patch(begin, octets)
    }

    fn sockaddr(&mut self, address: IpAddr, port: u16) -> Result<(), NoSpace> {
        let dialect = self.wire.dialect;
        let (length, family) = if address.is_ipv4() { (16, 2) } else { (28, dialect.inet6()) };
        let head = if dialect.has_sa_len() { [length, family] } else { self.wire.order.octets16(family.into()) };
        self.put(&head)?;
        self.put(&port.to_be_bytes())?;
        match address {
            IpAddr::V4(address) => {
                self.put(&address.octets())?;
                self.put(&[0; 8])
            }
            IpAddr::V6(address) => {
                self.put(&[0; 4])?;
                self.put(&address.octets())?;
                self.put(&[0; 4])
            }
        }
    }

    fn put16(&mut self, value: u16) -> Result<(), NoSpace> {
        self.put(&self.wire.order.octets16(value))
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), NoSpace> {
        let end = self.length.checked_add(octets.len()).ok_or(NoSpace)?;
        let room = self.buffer.get_mut(self.length..end).ok_or(NoSpace)?;
        room.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        self.length = end;
        Ok(())
    }

    /// Adds zeros up to a multiple of 8 octets.
    fn pad(&mut self) -> Result<(), NoSpace> {
        let over = self.length & 7;
        let zeros = [0u8; 8];
        self.put(zeros.get(over..).filter(|_| over > 0).unwrap_or_default())
    }

    fn set_length(&mut self, begin: usize) -> Result<(), NoSpace> {
        let units = self.length.checked_sub(begin).ok_or(NoSpace)? >> 3;
        let octets = self.wire.order.octets16(u16::try_from(units).map_err(|_| NoSpace)?);
        self.patch(begin, octets)
    }

    fn patch(&mut self, at: usize, octets: [u8; 2]) -> Result<(), NoSpace> {
        let field = self.buffer.get_mut(at..).and_then(<[u8]>::first_chunk_mut).ok_or(NoSpace)?;
        *field = octets;
        Ok(())
    }
}
