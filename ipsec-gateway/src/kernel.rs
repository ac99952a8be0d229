//! SAD and SPD of the kernel, by PF_KEY messages (RFC 2367). The daemon has the same entries in its engine, and this
//! module gives them to the kernel, which processes the packets.

mod socket;
mod socket_options;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use ipsec_crypto::IntegrityAlgorithm;
use ipsec_pfkey::{BackendError, Dialect, Extension, LifetimeRole, Message, PfkeyBackend, Wire, event};
use ipsec_sa::{
    Acquire, Action, Bundle, Expiry, Level, Mode, PolicyBackend, PolicyDirection, PolicyId, PolicyParams, Priority,
    Protocol, SaBackend, SaEvent, SaId, SaParams, Template, TransformParams,
};

use crate::log;

pub use socket::{Channel, Connection, PfkeySocket};
pub use socket_options::set_for_keying;

/// Error numbers for an entry that does not exist: those of Linux for an SA and for a policy, of which KAME has the
/// second for an SA.
const NO_ENTRY: [i32; 2] = [rustix::io::Errno::SRCH.raw_os_error(), rustix::io::Errno::NOENT.raw_os_error()];
/// Error number of KAME for a policy that does not exist.
const NO_POLICY_OF_KAME: i32 = rustix::io::Errno::INVAL.raw_os_error();
/// Largest request ID that a policy of level `unique` may name; the kernel gives larger ones itself.
const MAX_REQID: u32 = 0x3fff;
/// Largest number of events that wait.
const MAX_EVENTS: usize = 1024;

/// Reason why the kernel does not have an SA or a policy.
#[derive(Debug)]
pub enum KernelError {
    /// The dialect has no message for it, the socket has failed, or the kernel has refused it.
    Command(BackendError<io::Error>),
    /// The kernel would process packets otherwise than the peer.
    Unsupported(&'static str),
}

impl KernelError {
    /// Refusal of a change of an SA.
    pub const UNCHANGEABLE: Self =
        Self::Unsupported("addresses and lifetimes of an installed SA are not changed with the back end `pfkey`");
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(e) => e.fmt(f),
            Self::Unsupported(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for KernelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Command(e) => Some(e),
            Self::Unsupported(_) => None,
        }
    }
}

impl From<BackendError<io::Error>> for KernelError {
    fn from(e: BackendError<io::Error>) -> Self {
        Self::Command(e)
    }
}

/// SAD and SPD of the kernel.
pub struct Kernel {
    backend: PfkeyBackend<Connection>,
    wire: Wire,
    /// Addresses of this host, by which the direction of an SA is found.
    locals: Vec<IpAddr>,
    /// Numbers of the policies in the engine, by those in the kernel.
    policies: HashMap<u32, PolicyId>,
    /// Request IDs in the kernel, by those in the engine, of policies of level `unique`.
    reqids: HashMap<u32, u32>,
    events: VecDeque<SaEvent>,
}

impl Kernel {
    /// Opens the SAD and SPD of the kernel over a PF_KEY socket, and registers the socket for its events
    /// (SADB_REGISTER).
    ///
    /// # Errors
    /// The message of the kernel.
    pub fn of_socket(socket: PfkeySocket, locals: &[SocketAddr]) -> Result<Self, String> {
        Self::new(Box::new(socket), PfkeySocket::WIRE, locals)
    }

    /// Opens the SAD and SPD of a kernel over a channel, and registers for its events (SADB_REGISTER).
    ///
    /// # Errors
    /// The message of the kernel.
    pub fn new(channel: Box<dyn Channel>, wire: Wire, locals: &[SocketAddr]) -> Result<Self, String> {
        let connection = Connection::new(channel, wire);
        let mut kernel = Self {
            backend: PfkeyBackend::new(connection, wire, std::process::id()),
            wire,
            locals: locals.iter().map(SocketAddr::ip).collect(),
            policies: HashMap::new(),
            reqids: HashMap::new(),
            events: VecDeque::new(),
        };
        for protocol in [Protocol::Esp, Protocol::Ah, Protocol::Ipcomp] {
            kernel.backend.register(protocol).map_err(|e| format!("PF_KEY registration for {protocol}: {e}"))?;
        }
        Ok(kernel)
    }

    /// Replaces the addresses of this host.
    pub fn set_locals(&mut self, locals: &[SocketAddr]) {
        self.locals = locals.iter().map(SocketAddr::ip).collect();
    }

    /// Installs an SA. Its request ID is the one that the kernel has given to its policy.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn add(&mut self, sa: &SaParams) -> Result<(), KernelError> {
        check_algorithms(self.wire.dialect, sa)?;
        let reqid = self.reqids.get(&sa.reqid).copied().unwrap_or(sa.reqid);
        Ok(self.backend.add_with_reqid(sa, reqid)?)
    }

    /// Removes an SA, which may have expired before.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn remove(&mut self, id: &SaId, source: IpAddr) -> Result<(), KernelError> {
        ignore_missing(self.backend.delete(id, source).map(drop))
    }

    /// Removes all SAs of a protocol, or of all.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn flush(&mut self, protocol: Option<Protocol>) -> Result<(), KernelError> {
        ignore_missing(self.backend.flush(protocol))
    }

    /// Adds a policy, or replaces the one of another program with its selector and direction. Packets that are
    /// forwarded are subject to a policy of their own in Linux, which is that of received packets.
    ///
    /// # Errors
    /// [`KernelError`]; the policy is in the kernel for no packets.
    pub fn add_policy(&mut self, id: PolicyId, policy: &PolicyParams) -> Result<(), KernelError> {
        self.update_policy(id, policy)?;
        self.update_forwarded(id, policy).inspect_err(|_| {
            self.forget_policy(id, policy);
            // The error of the update is the one that is reported.
            let _ = self.backend.delete_policy(policy.direction, &policy.selector);
        })
    }

    /// Replaces a policy by one with the same selector and direction, after the others of its priority. Its packets are
    /// discarded meanwhile.
    ///
    /// # Errors
    /// [`KernelError`]; the former policy remains, or its packets are discarded if the kernel refuses that as well. SAs
    /// of level `unique` are negotiated again, unless the first message was refused: the kernel gives new request IDs.
    pub fn replace_policy(
        &mut self,
        (former_id, former): (PolicyId, &PolicyParams),
        (id, policy): (PolicyId, &PolicyParams),
    ) -> Result<(), KernelError> {
        // A policy whose priority does not change would keep its place in Linux.
        let priority = match self.wire.dialect.has_priorities() {
            true => Priority(former.priority.min(policy.priority).0.saturating_sub(1)),
            false => Priority::DEFAULT,
        };
        let forwarded = self.forwarded(former_id, former);
        let discard = |policy: &PolicyParams| PolicyParams { priority, action: Action::Discard, ..*policy };
        // If this is refused, nothing has changed.
        self.backend.update_policy(&discard(former))?;
        let discarded = forwarded.as_ref().map_or(Ok(None), |own| self.backend.update_policy(&discard(own)));
        let replaced = discarded
            .map_err(KernelError::from)
            .and_then(|_| {
                self.forget_policy(former_id, former);
                self.update_policy(id, policy)
            })
            .and_then(|()| self.update_forwarded(id, policy));
        if replaced.is_err() {
            self.forget_policy(id, policy);
            // The error of the replacement is the one that is reported.
            let _ = self.update_policy(former_id, former).and_then(|()| self.update_forwarded(former_id, former));
            return replaced;
        }
        if let Some(forwarded) = forwarded.filter(|_| self.forwarded(id, policy).is_none())
            && let Err(e) = self.delete_policy(&forwarded)
        {
            // Its packets are discarded.
            log::error(format_args!("kernel: policy {former_id} of forwarded packets was not removed: {e}"));
        }
        Ok(())
    }

    /// Gives a policy to the kernel, and records the numbers that the kernel has given to it.
    fn update_policy(&mut self, id: PolicyId, policy: &PolicyParams) -> Result<(), KernelError> {
        self.backend.update_policy(policy)?;
        if let Some((number, reqids)) = self.given() {
            self.policies.insert(number, id);
            if let Action::Protect(bundle) = &policy.action {
                let own = bundle.iter().map(|template| (template.level, id.reqid(template)));
                let pairs = own.zip(reqids).filter(|((level, _), _)| *level == Level::Unique);
                self.reqids.extend(pairs.map(|((_, own), given)| (own, given)));
            }
        }
        Ok(())
    }

    /// Gives the policy of forwarded packets to the kernel, if a policy has one.
    fn update_forwarded(&mut self, id: PolicyId, policy: &PolicyParams) -> Result<(), KernelError> {
        let Some(forwarded) = self.forwarded(id, policy) else { return Ok(()) };
        self.backend.update_policy(&forwarded)?;
        Ok(())
    }

    /// Removes the numbers of a policy.
    fn forget_policy(&mut self, id: PolicyId, policy: &PolicyParams) {
        self.policies.retain(|_, own| *own != id);
        if let Action::Protect(bundle) = &policy.action {
            bundle.iter().for_each(|template| _ = self.reqids.remove(&id.reqid(template)));
        }
    }

    /// Removes a policy from the SPD of the kernel, and that of its forwarded packets unless `has_forward` is set: the
    /// SPD has such a policy of its own.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn remove_policy(&mut self, id: PolicyId, policy: &PolicyParams, has_forward: bool) -> Result<(), KernelError> {
        let forwarded = self.forwarded(id, policy).filter(|_| !has_forward);
        self.forget_policy(id, policy);
        let removed = self.delete_policy(policy);
        if let Some(forwarded) = forwarded {
            self.delete_policy(&forwarded)?;
        }
        removed
    }

    /// Removes a policy, which another program may have removed before.
    fn delete_policy(&mut self, policy: &PolicyParams) -> Result<(), KernelError> {
        match self.backend.delete_policy(policy.direction, &policy.selector) {
            Err(BackendError::Socket(e))
                if !matches!(self.wire.dialect, Dialect::Linux) && e.raw_os_error() == Some(NO_POLICY_OF_KAME) =>
            {
                Ok(())
            }
            other => ignore_missing(other.map(drop)),
        }
    }

    /// Returns the number of packets that an SA has processed, and `None` without the SA.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn packets(&mut self, id: &SaId, source: IpAddr) -> Result<Option<u32>, KernelError> {
        if let Err(e) = self.backend.request_status(id, source) {
            return ignore_missing(Err(e)).map(|()| None);
        }
        let reply = self.backend.socket_mut().take_reply();
        let packets = Message::parse(&reply, self.wire).ok().and_then(|message| {
            message.extensions().find_map(|extension| match extension {
                Extension::Lifetime(LifetimeRole::Current, current) => Some(current.allocations),
                _ => None,
            })
        });
        Ok(Some(packets.unwrap_or_default()))
    }

    /// Reports an SA as expired that the kernel no longer has: it was removed by another program, or the message was
    /// lost.
    pub fn report_missing(&mut self, id: SaId) {
        self.events.push_back(SaEvent::Expire(id, Expiry::Hard));
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<SaEvent> {
        while self.events.len() < MAX_EVENTS {
            let Some(octets) = self.backend.socket_mut().next_message() else { break };
            let Ok(message) = Message::parse(&octets, self.wire) else { continue };
            let event = event(&message, &self.locals).and_then(|event| self.translated(event));
            self.events.extend(event);
        }
        self.events.pop_front()
    }

    /// Returns an event with the number that the policy has in the engine; `None` for policies of others.
    fn translated(&self, event: SaEvent) -> Option<SaEvent> {
        let SaEvent::Acquire(acquire) = event else { return Some(event) };
        let policy = *self.policies.get(&acquire.policy.get())?;
        Some(SaEvent::Acquire(Acquire { policy, ..acquire }))
    }

    /// Returns the number and the request IDs that the kernel has given to the last policy.
    fn given(&mut self) -> Option<(u32, Vec<u32>)> {
        let reply = self.backend.socket_mut().take_reply();
        let message = Message::parse(&reply, self.wire).ok()?;
        let policy = message.extensions().find_map(|extension| match extension {
            Extension::Policy(policy) => Some(policy),
            _ => None,
        })?;
        let reqid = |template: Template| match template.level {
            Level::UniqueId(reqid) => reqid,
            _ => 0,
        };
        Some((policy.id, policy.templates.iter().map(reqid).collect()))
    }

    /// Returns the policy of forwarded packets for one of received packets in tunnel mode, in Linux.
    fn forwarded(&self, id: PolicyId, policy: &PolicyParams) -> Option<PolicyParams> {
        if !self.wire.dialect.has_forward_policies() {
            return None;
        }
        let Action::Protect(bundle) = &policy.action else {
            let is_inbound = policy.direction == PolicyDirection::In;
            return is_inbound.then_some(PolicyParams { direction: PolicyDirection::Forward, ..*policy });
        };
        let is_tunnel = bundle.iter().any(|template| template.mode == Mode::Tunnel);
        if policy.direction != PolicyDirection::In || !is_tunnel {
            return None;
        }
        // The SAs are those of the policy of received packets.
        let bundle = bundle.iter().try_fold(Bundle::default(), |all, template| {
            let reqid = self.reqids.get(&id.reqid(template)).copied();
            let level = match (template.level, reqid) {
                (Level::Unique, Some(reqid @ 1..=MAX_REQID)) => Level::UniqueId(reqid),
                // The kernel compares no request ID; the SPI has found the SA.
                (Level::Unique, _) => Level::Require,
                (level, _) => level,
            };
            all.with(Template { level, ..*template })
        })?;
        let action = Action::Protect(bundle);
        Some(PolicyParams { direction: PolicyDirection::Forward, action, ..*policy })
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.backend.socket().as_fd()
    }
}

/// Reason why Linux is given no SA with HMAC-SHA2-256.
pub const TRUNCATION: &str =
    "PF_KEY of Linux truncates HMAC-SHA2-256 to 96 bits, and RFC 4868 specifies 128: use another algorithm";
/// Reason why KAME is given no SA with HMAC-SHA2.
const TRUNCATION_OF_KAME: &str =
    "KAME truncates HMAC-SHA2 to 96 bits, and RFC 4868 specifies half of the hash: use another algorithm";

/// Returns whether the kernel of this machine and a peer would use an integrity algorithm differently.
pub const fn is_truncated(integrity: IntegrityAlgorithm) -> bool {
    PfkeySocket::WIRE.dialect.truncates(integrity)
}

/// Refuses algorithms that a kernel does not process as the peer does.
const fn check_algorithms(dialect: Dialect, sa: &SaParams) -> Result<(), KernelError> {
    let integrity = match &sa.transform {
        TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => keys.integrity,
        TransformParams::Ah { integrity, .. } => *integrity,
        TransformParams::Ipcomp { .. } => return Ok(()),
    };
    match (dialect.truncates(integrity), dialect) {
        (true, Dialect::Linux) => Err(KernelError::Unsupported(TRUNCATION)),
        (true, _) => Err(KernelError::Unsupported(TRUNCATION_OF_KAME)),
        (false, _) => Ok(()),
    }
}

/// Returns the result of a removal; an entry that does not exist is removed.
fn ignore_missing(result: Result<(), BackendError<io::Error>>) -> Result<(), KernelError> {
    match result {
        Err(BackendError::Socket(e)) if e.raw_os_error().is_some_and(|number| NO_ENTRY.contains(&number)) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
pub(crate) mod tests;
