//! Event loop: one thread waits for the TUN interface, the sockets, signals and timers.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read as _};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ike_v1::Path;
use ipsec_engine::DiscardReason;
use ipsec_packet::{Datagram, Instant, Marker, classify};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::access::Access;
use crate::buffer::Buffer;
use crate::config::{Config, NAT_TRAVERSAL_PORT};
use crate::host::{KeyExchange, pre_shared_key, show};
use crate::ike::Ike;
use crate::key_tables::KeyTables;
use crate::log::{self, Level, Limiter};
use crate::plane::Plane;
use crate::protection::{self, Firewall};
use crate::psk::PskFile;
use crate::raw::RawSockets;
use crate::tun::Tun;
use crate::udp::{self, Udp, restore_headers};
use crate::{clock, policy};

/// Number of packets that are read from one socket before the next one.
const BATCH: usize = 64;
/// Longest time for the delete messages of a clean stop.
const STOP_TIME: Duration = Duration::from_secs(3);

/// Options of the daemon.
pub struct Options {
    /// Use of the firewall.
    pub firewall: Firewall,
    /// Directory for the tables of Wireshark.
    pub export_keys: Option<PathBuf>,
}

/// Runs the daemon until it receives SIGTERM or SIGINT.
///
/// # Errors
/// The message about what prevents its start.
pub fn run(config: Config, options: &Options) -> Result<(), String> {
    let mut daemon = Daemon::start(config, options)?;
    log::info("the gateway runs");
    daemon.run()?;
    log::info("the gateway has stopped; firewall rules and routes remain");
    Ok(())
}

/// State of the running daemon.
struct Daemon {
    plane: Plane,
    ike: Ike,
    tun: Tun,
    raw: RawSockets,
    udp: Vec<Udp>,
    signals: UnixStream,
    buffer: Buffer,
    errors: Limiter,
    /// Time at which the daemon ends at the latest; `None` before the signal.
    stop: Option<Instant>,
}

impl Daemon {
    fn start(config: Config, options: &Options) -> Result<Self, String> {
        let now = clock::now();
        let mut engine = policy::new_engine();
        let policies = policy::load(&config, &mut engine, now)?;
        let mut keys = PskFile::read(&config.keys)?;
        let access = Access::read(&config)?;
        for peer in &config.peers {
            if peer.needs_key() && pre_shared_key(&mut keys, peer, None).is_none() {
                log::warning(format_args!("peer {}: {} contains no key for it", peer.name, config.keys.display()));
            }
            if peer.login.as_deref().is_some_and(|login| keys.named(login).is_none()) {
                let (name, file) = (&peer.name, config.keys.display());
                log::warning(format_args!("peer {name}: {file} contains no password for its `xauth_login`"));
            }
            if let Some(warning) = peer.weakness() {
                log::warning(format_args!("peer {}: {warning}", peer.name));
            }
        }
        let tables = options.export_keys.as_deref().map(KeyTables::create).transpose()?;
        if tables.is_some() {
            log::warning("the keys of all SAs are exported: the traffic can be decrypted with the tables");
        }
        protection::install(&config, &engine, options.firewall)?;
        let tun = Tun::open(&config.tun.name)?;
        let mut udp = Vec::new();
        let mut raw = RawSockets::default();
        for local in &config.locals {
            udp.push(Udp::open(*local, config.mark)?);
            if !raw.has(local.ip()) {
                raw.open(local.ip(), config.mark)?;
                udp.push(Udp::open(SocketAddr::new(local.ip(), NAT_TRAVERSAL_PORT), config.mark)?);
            }
        }
        let (signals, writer) = UnixStream::pair().map_err(|e| format!("signals: {e}"))?;
        signals.set_nonblocking(true).map_err(|e| format!("signals: {e}"))?;
        for signal in [SIGTERM, SIGINT] {
            let registered =
                writer.try_clone().and_then(|writer| signal_hook::low_level::pipe::register(signal, writer));
            registered.map_err(|e| format!("signal {signal}: {e}"))?;
        }
        let addresses = config.tun.addresses.iter().map(|(address, _)| *address).collect();
        let ike = Ike::new(KeyExchange::new(config, policies)?, keys, access, tables);
        Ok(Self {
            plane: Plane::new(engine).with_addresses(addresses),
            ike,
            tun,
            raw,
            udp,
            signals,
            buffer: Buffer::new(),
            errors: Limiter::default(),
            stop: None,
        })
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            self.wait().map_err(|e| format!("poll: {e}"))?;
            let now = clock::now();
            self.read_signals(now);
            self.read_udp(now);
            self.read_raw(now);
            // A peer may have moved: answers to its packets go to its new address.
            self.handle_sa_events(now);
            self.read_tun(now)?;
            self.plane.engine.tick(now);
            self.ike.handle_timeout(now, &mut self.plane.engine);
            self.handle_sa_events(now);
            while let Some(audit) = self.plane.engine.poll_audit() {
                self.errors.write(now, Level::Warning, format_args!("packet discarded: {audit}"));
                if let (DiscardReason::NoSa, Some(source)) = (audit.reason, audit.source) {
                    self.ike.handle_unknown_spi(now, source, &mut self.plane.engine);
                }
            }
            self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
            if self.stop.is_some_and(|end| now >= end || self.ike.is_idle()) {
                return Ok(());
            }
        }
    }

    fn handle_sa_events(&mut self, now: Instant) {
        let mut is_idle = true;
        while let Some(event) = self.plane.engine.poll_event() {
            self.ike.handle_sa_event(now, &event, &mut self.plane.engine);
            is_idle = false;
        }
        if !is_idle {
            self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
        }
    }

    /// Waits until a descriptor is readable or a timer has ended.
    fn wait(&self) -> io::Result<()> {
        let timers = [self.plane.engine.poll_timeout(), self.ike.poll_timeout(), self.stop];
        let timeout = timers.into_iter().flatten().min().map(|due| {
            let left = due.saturating_duration_since(clock::now());
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
        });
        let sockets = self.raw.receivers.iter().map(AsFd::as_fd).chain(self.udp.iter().map(AsFd::as_fd));
        let descriptors = [self.signals.as_fd(), self.tun.as_fd()].into_iter().chain(sockets);
        let mut descriptors: Vec<_> = descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn read_signals(&mut self, now: Instant) {
        let mut octets = [0; 16];
        if matches!(self.signals.read(&mut octets), Ok(1..)) && self.stop.is_none() {
            log::info("signal received: SAs are deleted");
            self.stop = Some(now + STOP_TIME);
            self.ike.stop(now, &mut self.plane.engine);
        }
    }

    fn read_udp(&mut self, now: Instant) {
        for at in 0..self.udp.len() {
            for _ in 0..BATCH {
                match self.read_datagram(now, at) {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    // An ICMP error for an earlier datagram is reported by the next call.
                    Err(e) => self.errors.write(now, Level::Warning, problem("UDP", show(self.udp[at].local()), &e)),
                }
            }
        }
    }

    fn read_datagram(&mut self, now: Instant, at: usize) -> io::Result<()> {
        let socket = &self.udp[at];
        let local = socket.local();
        let (mut buffer, mut sender) = (std::mem::take(&mut self.buffer), None);
        let received = buffer.receive(|buffer| {
            let (length, from) = socket.receive(buffer)?;
            sender = Some(from);
            Ok(length)
        });
        let done = received.and_then(|mut packet| {
            let remote = sender.ok_or(ErrorKind::InvalidData)?;
            if !udp::is_answerable(remote) {
                return Ok(());
            }
            let is_ike = local.port() != NAT_TRAVERSAL_PORT;
            match classify(packet.data(), Marker::NonEsp) {
                Datagram::KeepAlive => Ok(()),
                Datagram::Esp(_) if !is_ike => {
                    restore_headers(&mut packet, remote, local)?;
                    self.deliver(now, &mut packet)
                }
                Datagram::Runt if !is_ike => Ok(()),
                _ => {
                    let path = Path { local, remote };
                    self.ike.handle_datagram(now, path, packet.data_mut(), &mut self.plane.engine);
                    // Replies leave at once, and SAs exist before the next packet is read.
                    self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
                    Ok(())
                }
            }
        });
        self.buffer = buffer;
        done
    }

    fn read_raw(&mut self, now: Instant) {
        for at in 0..self.raw.receivers.len() {
            for _ in 0..BATCH {
                let mut buffer = std::mem::take(&mut self.buffer);
                let received = self.raw.receivers[at].receive(&mut buffer);
                let done = received.and_then(|mut packet| self.deliver(now, &mut packet));
                self.buffer = buffer;
                match done {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => self.errors.write(now, Level::Warning, problem("raw", &self.raw.receivers[at], &e)),
                }
            }
        }
    }

    fn deliver(&mut self, now: Instant, packet: &mut ipsec_packet::PacketBuf<'_>) -> io::Result<()> {
        if let Some(sa) = self.plane.inbound(now, packet, &self.tun)? {
            self.ike.heard_from(now, &sa);
        }
        Ok(())
    }

    fn read_tun(&mut self, now: Instant) -> Result<(), String> {
        for _ in 0..BATCH {
            let mut buffer = std::mem::take(&mut self.buffer);
            let sent = match buffer.receive(|buffer| self.tun.receive(buffer)) {
                Ok(mut packet) => {
                    self.ike.note_sent(now);
                    self.plane.outbound(now, &mut packet, &self.raw)
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.buffer = buffer;
                    return Ok(());
                }
                // The interface was removed; it does not come back for this process.
                Err(e) => return Err(format!("TUN interface: {e}")),
            };
            self.buffer = buffer;
            if let Err(e) = sent {
                self.errors.write(now, Level::Warning, problem("packet from the TUN interface", "", &e));
            }
        }
        Ok(())
    }
}

fn problem(what: &str, address: impl Display, e: &io::Error) -> String {
    format!("{what} {address}: {e}")
}
