//! A kernel behind a PF_KEY socket as the databases of key exchange and configuration.

use core::fmt;
use core::net::IpAddr;

use ipsec_packet::{AddressRange, Detail, Flow, Instant, IpProto, Selector};
use ipsec_sa::{
    Acquire, Action, Direction, Expiry, Level, Mode, PolicyBackend, PolicyDirection, PolicyId, PolicyParams, Priority,
    Protocol, SaBackend, SaChange, SaEvent, SaId, SaParams, SaStatus, SpiRequest, Template, TunnelEndpoints, Usage,
};
use zeroize::Zeroize;

use crate::dialect::{Dialect, Wire};
use crate::extension::{AddressRole, Extension, LifetimeRole, Side};
use crate::message::Message;
use crate::number::{MessageKind, SaFlags, SaType};
use crate::sa::{WriteError, push_address, push_selector, sa_type, write_sa_with};
use crate::write::MessageWriter;

/// Length of the longest message that is written, in octets.
const LONGEST: usize = 1024;

/// Sender of messages to a kernel: a PF_KEY socket, or a substitute.
pub trait Socket {
    /// Error of the socket.
    type Error: core::error::Error + 'static;

    /// Sends one message to the kernel.
    ///
    /// # Errors
    /// [`Self::Error`].
    fn send(&mut self, message: &[u8]) -> Result<(), Self::Error>;
}

impl<E: core::error::Error + 'static, F: FnMut(&[u8]) -> Result<(), E>> Socket for F {
    type Error = E;

    fn send(&mut self, message: &[u8]) -> Result<(), E> {
        self(message)
    }
}

/// Error of a command of [`PfkeyBackend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendError<E> {
    /// The message cannot be written: the dialect does not support the command, or the buffer is too small.
    Write(WriteError),
    /// The socket refused the message.
    Socket(E),
}

impl<E> From<WriteError> for BackendError<E> {
    fn from(e: WriteError) -> Self {
        Self::Write(e)
    }
}

impl<E> From<crate::NoSpace> for BackendError<E> {
    fn from(e: crate::NoSpace) -> Self {
        Self::Write(e.into())
    }
}

impl<E: fmt::Display> fmt::Display for BackendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(e) => e.fmt(f),
            Self::Socket(e) => e.fmt(f),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for BackendError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Write(e) => Some(e),
            Self::Socket(e) => Some(e),
        }
    }
}

/// SADB and SPD of a kernel, by PF_KEY messages (RFC 2367 section 3.1). It answers by messages of its own, which the
/// caller receives from the socket: [`read_sa`](crate::read_sa), [`read_policy`](crate::read_policy) and [`event`] read
/// them.
pub struct PfkeyBackend<S> {
    socket: S,
    wire: Wire,
    pid: u32,
    sequence: u32,
}

impl<S> fmt::Debug for PfkeyBackend<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PfkeyBackend({:?}, {} messages)", self.wire, self.sequence)
    }
}

impl<S: Socket> PfkeyBackend<S> {
    /// Creates the back end of a socket. `pid` is the process ID of the sender.
    pub const fn new(socket: S, wire: Wire, pid: u32) -> Self {
        Self { socket, wire, pid, sequence: 0 }
    }

    /// Returns the sequence number of the last message, which its answer repeats.
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Returns the socket of the back end.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// Returns the socket of the back end, to receive messages.
    pub const fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Registers for the messages of the kernel about SAs of a protocol (SADB_REGISTER, RFC 2367 section 3.1.7).
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn register(&mut self, protocol: Protocol) -> Result<(), BackendError<S::Error>> {
        self.send_plain(MessageKind::REGISTER, sa_type(protocol), |_| Ok(()))
    }

    /// Requests the status of an SA (SADB_GET, RFC 2367 section 3.1.5). The reply contains its keys.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn request_status(&mut self, id: &SaId, source: IpAddr) -> Result<(), BackendError<S::Error>> {
        self.send_id(MessageKind::GET, id, source)
    }

    /// Installs an SA like [`add`](SaBackend::add) with another request ID: the one that the kernel has given to the
    /// policy of the SA.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn add_with_reqid(&mut self, sa: &SaParams, reqid: u32) -> Result<(), BackendError<S::Error>> {
        self.send(
            |buffer, wire, numbers| Ok(write_sa_with(buffer, wire, MessageKind::ADD, (sa, reqid), numbers)?.len()),
        )
    }

    /// Sends a message that names an SA.
    fn send_id(&mut self, kind: MessageKind, id: &SaId, source: IpAddr) -> Result<(), BackendError<S::Error>> {
        self.send_plain(kind, sa_type(id.protocol), |writer| {
            let flags = SaFlags::default();
            writer.push(&Extension::Sa { spi: id.spi, replay: 0, state: 0, integrity: 0, cipher: 0, flags })?;
            push_ends(writer, source, id.destination)
        })
    }

    /// Sends the message that a function writes. The buffer is wiped, as it may contain keys.
    fn send(
        &mut self,
        write: impl FnOnce(&mut [u8], Wire, (u32, u32)) -> Result<usize, BackendError<S::Error>>,
    ) -> Result<(), BackendError<S::Error>> {
        let mut buffer = [0; LONGEST];
        self.sequence = self.sequence.wrapping_add(1);
        let sent = write(&mut buffer, self.wire, (self.sequence, self.pid)).and_then(|length| {
            let message = buffer.get(..length).ok_or(BackendError::Write(WriteError::NoSpace))?;
            self.socket.send(message).map_err(BackendError::Socket)
        });
        buffer.zeroize();
        sent
    }

    fn send_plain(
        &mut self,
        kind: MessageKind,
        sa_type: SaType,
        body: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), WriteError>,
    ) -> Result<(), BackendError<S::Error>> {
        self.send(|buffer, wire, (sequence, pid)| {
            let mut writer = MessageWriter::new(buffer, wire, kind, sa_type, sequence, pid)?;
            body(&mut writer)?;
            Ok(writer.finish()?.len())
        })
    }

    fn send_policy(&mut self, kind: MessageKind, policy: &PolicyParams) -> Result<(), BackendError<S::Error>> {
        self.policies_supported()?;
        self.policy_supported(policy)?;
        self.send_plain(kind, SaType::Unspecified, |writer| {
            push_selector(writer, &policy.selector)?;
            writer.push_policy(&policy.action, policy.direction, 0, policy.priority)?;
            Ok(())
        })
    }

    /// Refuses policies for OpenBSD, which has flows instead.
    fn policies_supported(&self) -> Result<(), WriteError> {
        if self.wire.dialect == Dialect::OpenBsd { Err(WriteError::Unsupported("policies")) } else { Ok(()) }
    }

    /// Refuses policies that only some kernels have: those of forwarded packets, and those with priorities or with
    /// request IDs of more than 16 bits.
    fn policy_supported(&self, policy: &PolicyParams) -> Result<(), WriteError> {
        let dialect = self.wire.dialect;
        let has_long_id =
            |template: &Template| matches!(template.level, Level::UniqueId(id) if id > u32::from(u16::MAX));
        match &policy.action {
            _ if policy.direction == PolicyDirection::Forward && !dialect.has_forward_policies() => {
                Err(WriteError::Unsupported("policies of forwarded packets"))
            }
            _ if policy.priority != Priority::DEFAULT && !dialect.has_priorities() => {
                Err(WriteError::Unsupported("priorities of policies"))
            }
            Action::Protect(bundle) if dialect.is_kame() && bundle.iter().any(has_long_id) => {
                Err(WriteError::Unsupported("request IDs above 65535 in policies"))
            }
            _ => Ok(()),
        }
    }
}

impl<S: Socket> SaBackend for PfkeyBackend<S> {
    type Error = BackendError<S::Error>;

    const IS_LOCAL: bool = false;

    fn get_spi(&mut self, request: &SpiRequest, _: Instant) -> Result<Option<u32>, Self::Error> {
        self.send_plain(MessageKind::GETSPI, sa_type(request.protocol), |writer| {
            push_ends(writer, request.source, request.destination)?;
            writer.push(&Extension::SpiRange { min: request.min, max: request.max })?;
            Ok(())
        })?;
        Ok(None)
    }

    fn add(&mut self, sa: &SaParams, _: Instant) -> Result<(), Self::Error> {
        self.add_with_reqid(sa, sa.reqid)
    }

    fn update(&mut self, _: &SaId, _: IpAddr, _: &SaChange, _: Instant) -> Result<SaId, Self::Error> {
        // SADB_UPDATE replaces all parameters, and the back end has no copy of the keys.
        Err(WriteError::Unsupported("change of an SA without its keys").into())
    }

    fn delete(&mut self, id: &SaId, source: IpAddr) -> Result<Option<Usage>, Self::Error> {
        self.send_id(MessageKind::DELETE, id, source)?;
        Ok(None)
    }

    fn flush(&mut self, protocol: Option<Protocol>) -> Result<(), Self::Error> {
        self.send_plain(MessageKind::FLUSH, protocol.map_or(SaType::Unspecified, sa_type), |_| Ok(()))
    }

    fn get(&self, _: &SaId, _: IpAddr) -> Option<SaStatus> {
        None
    }

    fn dump(&self, _: &mut dyn FnMut(&SaStatus)) {}

    fn poll_event(&mut self) -> Option<SaEvent> {
        None
    }
}

impl<S: Socket> PolicyBackend for PfkeyBackend<S> {
    type Error = BackendError<S::Error>;

    fn add_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, Self::Error> {
        self.send_policy(MessageKind::SPDADD, policy).map(|()| None)
    }

    fn update_policy(&mut self, policy: &PolicyParams) -> Result<Option<PolicyId>, Self::Error> {
        self.send_policy(MessageKind::SPDUPDATE, policy).map(|()| None)
    }

    fn delete_policy(&mut self, direction: PolicyDirection, selector: &Selector) -> Result<bool, Self::Error> {
        let action = Action::Discard; // the kernel compares the selector and the direction only
        let policy = PolicyParams { selector: *selector, direction, priority: Priority::DEFAULT, action };
        self.send_policy(MessageKind::SPDDELETE, &policy).map(|()| true)
    }

    fn flush_policies(&mut self) -> Result<(), Self::Error> {
        self.policies_supported()?;
        self.send_plain(MessageKind::SPDFLUSH, SaType::Unspecified, |_| Ok(()))
    }

    fn dump_policies(&self, _: &mut dyn FnMut(PolicyId, &PolicyParams)) {}
}

fn push_ends(writer: &mut MessageWriter<'_>, source: IpAddr, destination: IpAddr) -> Result<(), WriteError> {
    push_address(writer, AddressRole::Source, IpProto(0), AddressRange::host(source), 0)?;
    push_address(writer, AddressRole::Destination, IpProto(0), AddressRange::host(destination), 0)
}

/// Returns the event of a message of the kernel: SADB_ACQUIRE, SADB_EXPIRE, or SADB_X_NAT_T_NEW_MAPPING of Linux (RFC
/// 2367 sections 3.1.6 and 3.1.8). `local` are the addresses of this host, by which the direction of an SA is found.
///
/// A new mapping is reported only if this host has one address of the family. Of an acquire, the kernel reports the
/// addresses of the SA, not the packet: its flow has no protocol and no ports.
pub fn event(message: &Message<'_>, local: &[IpAddr]) -> Option<SaEvent> {
    let (mut source, mut destination, mut spi, mut soft, mut policy) = (None, None, None, false, PolicyId::new(0));
    let (mut reqid, mut new_port, mut mode) = (0, None, Mode::Any);
    for extension in message.extensions() {
        match extension {
            Extension::Address { role: AddressRole::Source, address, .. } => source = Some(address),
            Extension::Address { role: AddressRole::Destination, address, port, .. } => {
                destination = Some(address);
                new_port = new_port.or(Some(port));
            }
            Extension::NatPort(Side::Destination, port) => new_port = Some(port),
            Extension::Sa { spi: found, .. } => spi = Some(found),
            Extension::Sa2 { mode: number, reqid: found, .. } => {
                (mode, reqid) = (Extension::mode(number).unwrap_or_default(), found);
            }
            Extension::Lifetime(LifetimeRole::Soft, _) => soft = true,
            Extension::Policy(found) => policy = PolicyId::new(found.id),
            _ => {}
        }
    }
    let (source, destination) = (source?, destination?);
    let protocol = match message.header().sa_type {
        SaType::Esp => Protocol::Esp,
        SaType::Ah => Protocol::Ah,
        SaType::Ipcomp => Protocol::Ipcomp,
        _ => return None,
    };
    let direction = if local.contains(&destination) { Direction::Inbound } else { Direction::Outbound };
    let id = |spi| SaId { direction, destination, protocol, spi, peer_port: None };
    match message.header().kind {
        MessageKind::ACQUIRE => {
            let end = |address| (Some(address), None);
            let ends = TunnelEndpoints { source: end(source), destination: end(destination) };
            let template = Template { protocol, mode, ends: Some(ends), level: Level::Require };
            let flow = Flow { source, destination, protocol: IpProto(0), detail: Detail::None };
            let (source, destination) = (Some(source), Some(destination));
            Some(SaEvent::Acquire(Acquire { policy, template, source, destination, reqid, flow }))
        }
        MessageKind::EXPIRE => Some(SaEvent::Expire(id(spi?), if soft { Expiry::Soft } else { Expiry::Hard })),
        MessageKind::NAT_T_NEW_MAPPING => {
            // The message has the old and the new address of the peer, and not that of this host.
            let mut own = local.iter().filter(|address| address.is_ipv4() == source.is_ipv4());
            let (Some(own), None) = (own.next(), own.next()) else { return None };
            let sa = SaId::inbound(*own, protocol, spi?);
            Some(SaEvent::NatMapping { sa, source: destination, port: new_port? })
        }
        _ => None,
    }
}
