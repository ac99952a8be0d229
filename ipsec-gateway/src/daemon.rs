//! Event loop: one thread waits for the TUN interface, the sockets, clients, signals and timers.

mod protection;
mod reload;
mod requests;
mod setkey;
mod stored;

use std::fmt::Display;
use std::io::{self, ErrorKind, Read as _};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ike_v1::Path;
use ipsec_engine::{DiscardReason, SaBackend as _};
use ipsec_packet::{Datagram, Instant, Marker, Ports, classify, restore_udp_headers};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::protection::Retry;
use crate::access::Access;
use crate::buffer::Buffer;
use crate::clock::Alarm;
use crate::config::{Backend, Config, NAT_TRAVERSAL_PORT};
use crate::control::Control;
use crate::gif::Gifs;
use crate::host::{missing_keys, show};
use crate::ike::Ike;
use crate::key_exchange::KeyExchange;
use crate::log::{self, Level, Limiter};
use crate::plane::{PacketSink, Plane};
use crate::privileged::Privileges;
use crate::privileged::message::Which;
use crate::psk::PskFile;
use crate::raw::RawSockets;
use crate::state::ManualState;
use crate::tun::Tun;
use crate::udp::Udp;
use crate::{clock, policy, sockets};

/// Number of packets that are read from one socket before the next one.
const BATCH: usize = 64;
/// Number of packets from the TUN interface whose ciphers and hashes run together.
const TUN_BATCH: usize = 32;
/// Longest time for sending delete payloads after the stop signal.
const STOP_TIME: Duration = Duration::from_secs(3);

/// Runs the daemon until it receives SIGTERM or SIGINT.
///
/// # Errors
/// The message about what prevents its start.
pub fn run(privileges: Privileges) -> Result<(), String> {
    let mut daemon = Daemon::start(privileges)?;
    log::info("the gateway runs");
    let ended = daemon.run();
    daemon.close_state();
    ended?;
    log::info("the gateway has stopped; firewall rules and routes remain");
    Ok(())
}

/// State of the running daemon.
struct Daemon {
    /// Access to operations that need privileges.
    privileges: Privileges,
    control: Control,
    /// Time of the start.
    started: Instant,
    plane: Plane,
    ike: Ike,
    /// `None` if the kernel processes packets.
    tun: Option<Tun>,
    raw: RawSockets,
    udp: Vec<Udp>,
    signals: Signals,
    /// Timer for the next event.
    alarm: Alarm,
    buffer: Buffer,
    /// Buffers for packets from the TUN interface.
    tun_buffers: Vec<Buffer>,
    errors: Limiter,
    /// Next attempt after an update of firewall rules and routes has failed.
    retry: Option<Retry>,
    /// Time at which the daemon ends at the latest; `None` before the signal.
    stop: Option<Instant>,
}

impl Daemon {
    fn start(privileges: Privileges) -> Result<Self, String> {
        let now = clock::now();
        let signals = Signals::register().map_err(|e| format!("signal handlers were not installed: {e}"))?;
        let (path, files) = privileges.read()?;
        let config = Config::read(&*files, &path)?;
        let mut engine = policy::databases_for(&config, || privileges.open_pfkey())?;
        // A kernel has the SAs of a daemon that was killed, with which no other one can negotiate.
        engine.flush(None).map_err(|e| format!("SAs of the kernel were not removed: {e}"))?;
        let policies = policy::load(&config, &mut engine, now)?;
        let mut keys = PskFile::read_optional(&files, config.keys.as_deref())?;
        for warning in missing_keys(&config, &mut keys) {
            log::warning(warning);
        }
        let tables = privileges.create_tables()?;
        if tables.is_some() {
            log::warning("the keys of all SAs are exported: the traffic can be decrypted with the tables");
        }
        privileges.protect(Which::Next, &engine)?;
        let state = stored::open(&config, privileges.open_state()?, &mut engine, now)?;
        let is_userspace = config.backend == Backend::Userspace;
        let tun = is_userspace.then(|| privileges.open_tun()).transpose()?;
        let (udp, raw) = sockets::open_missing(&privileges, &config, (&[], &RawSockets::default()))?;
        let control = Control::new(privileges.open_control()?);
        let addresses = addresses_of(&config).collect();
        let gifs = Gifs::new(&config.configuration);
        let (clamped_to, has_limits) = (clamped_to(&config), limits_packets(&config));
        let exchange = KeyExchange::new(&*files, config, policies)?;
        let access = Access::read(&files, &exchange)?;
        let mut ike = Ike::new(exchange, keys, access, tables);
        ike.show_keys(state.iter().flat_map(ManualState::keys), &engine);
        privileges.adopt()?;
        Ok(Self {
            privileges,
            control,
            started: now,
            plane: Plane::new(engine)
                .with_addresses(addresses)
                .with_gifs(gifs)
                .with_state(state)
                .with_mss_clamping(clamped_to)
                .with_packet_limits(has_limits),
            ike,
            tun,
            raw,
            udp,
            signals,
            alarm: Alarm::new().map_err(|e| format!("timer: {e}"))?,
            buffer: Buffer::new(),
            tun_buffers: std::iter::repeat_with(Buffer::new).take(if is_userspace { TUN_BATCH } else { 0 }).collect(),
            errors: Limiter::default(),
            retry: None,
            stop: None,
        })
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            self.wait().map_err(|e| format!("waiting for packets and clients failed: {e}"))?;
            if self.privileges.has_ended() {
                return Err("the privileged process has ended; firewall rules and routes remain".to_owned());
            }
            let now = clock::now();
            self.read_signals(now);
            self.read_udp(now);
            self.read_raw(now);
            // A peer may have moved: answers to its packets go to its new address.
            self.handle_sa_events(now);
            self.read_tun(now)?;
            self.plane.engine.tick(now);
            self.ike.read_usage(now, &mut self.plane.engine);
            self.ike.handle_timeout(now, &mut self.plane.engine);
            self.handle_sa_events(now);
            while let Some(audit) = self.plane.engine.engine_mut().poll_audit() {
                let reason = audit.reason.counter().name();
                self.errors.write(now, reason, Level::Warning, format_args!("packet discarded: {audit}"));
                if let (DiscardReason::NoSa, Some(source)) = (audit.reason, audit.source) {
                    self.ike.handle_unknown_spi(now, source, &mut self.plane.engine);
                }
            }
            self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
            self.change_addresses();
            self.update_protection(now);
            self.run_scripts();
            self.handle_requests(now);
            self.store_state(now);
            self.control.send_events(now);
            if self.stop.is_some_and(|end| now >= end || self.ike.is_idle()) {
                self.remove_addresses();
                return Ok(());
            }
        }
    }

    /// Runs the scripts for events of phase 1.
    fn run_scripts(&mut self) {
        self.privileges.reap();
        for (peer, call) in self.ike.take_script_calls() {
            if let Err(e) = self.privileges.run_scripts(peer, call.event, call.environment) {
                log::error(e);
            }
        }
    }

    fn handle_sa_events(&mut self, now: Instant) {
        let mut is_idle = true;
        while let Some(event) = self.plane.engine.poll_event() {
            self.note_expiry(&event);
            self.ike.handle_sa_event(now, &event, &mut self.plane.engine);
            is_idle = false;
        }
        if !is_idle {
            self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
        }
    }

    /// Waits until a descriptor is readable or a timer has ended.
    fn wait(&self) -> io::Result<()> {
        let timers = [
            self.plane.engine.poll_timeout(),
            self.ike.poll_timeout(),
            self.control.due(),
            self.state_due(),
            self.retry.as_ref().map(Retry::due),
            self.stop,
        ];
        self.alarm.set(timers.into_iter().flatten().min())?;
        let sockets = self.raw.receivers.iter().map(AsFd::as_fd).chain(self.udp.iter().map(AsFd::as_fd));
        let signals = [self.alarm.as_fd(), self.signals.stop.as_fd(), self.signals.reload.as_fd()].into_iter();
        let packets = self.tun.iter().map(AsFd::as_fd).chain(self.plane.engine.kernel().map(AsFd::as_fd));
        let descriptors = signals.chain(packets).chain(self.privileges.descriptor()).chain(sockets);
        let descriptors = descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut descriptors: Vec<_> = descriptors.chain(self.control.descriptors()).collect();
        match poll(&mut descriptors, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn read_signals(&mut self, now: Instant) {
        let mut octets = [0; 16];
        if matches!(self.signals.reload.read(&mut octets), Ok(1..)) {
            log::info("SIGHUP received: the configuration is read again");
            if let Err(e) = self.privileges.reopen_log() {
                log::error(e);
            }
            match self.reload(now) {
                Ok(lines) => lines.iter().for_each(log::info),
                Err(e) => {
                    e.lines().for_each(log::error);
                    log::error("the configuration was not read: the running one remains in effect");
                }
            }
        }
        if matches!(self.signals.stop.read(&mut octets), Ok(1..)) && self.stop.is_none() {
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
                    Err(e) => {
                        let text = problem("UDP", show(self.udp[at].local()), &e);
                        self.errors.write(now, "UDP socket", Level::Warning, text);
                    }
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
            if !(Ports { source: remote.port(), destination: local.port() }).is_answerable() {
                return Ok(());
            }
            let is_ike = local.port() != NAT_TRAVERSAL_PORT;
            match classify(packet.data(), Marker::NonEsp) {
                Datagram::KeepAlive => Ok(()),
                Datagram::Esp(_) if !is_ike => {
                    restore_udp_headers(&mut packet, remote, local).map_err(|_| ErrorKind::InvalidData)?;
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
                let is_icmp = self.raw.receivers[at].is_icmp();
                let done = received.and_then(|mut packet| {
                    if is_icmp {
                        self.read_report(now, packet.data());
                        return Ok(());
                    }
                    self.deliver(now, &mut packet)
                });
                self.buffer = buffer;
                match done {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => {
                        let text = problem("raw", &self.raw.receivers[at], &e);
                        self.errors.write(now, "raw socket", Level::Warning, text);
                    }
                }
            }
        }
    }

    /// Applies a report of a router about a packet of an SA.
    fn read_report(&mut self, now: Instant, packet: &[u8]) {
        if let Some((destination, mtu)) = self.plane.report_path_mtu(now, packet) {
            self.raw.note_path_mtu(destination, mtu, now);
            log::debug(1, format_args!("path MTU to {destination} is {mtu}"));
        }
    }

    fn deliver(&mut self, now: Instant, packet: &mut ipsec_packet::PacketBuf<'_>) -> io::Result<()> {
        let Some(tun) = &self.tun else { return Ok(()) };
        if let Some(sa) = self.plane.inbound(now, packet, &Host { tun, wire: &self.raw })? {
            self.ike.heard_from(now, &sa);
        }
        Ok(())
    }

    fn read_tun(&mut self, now: Instant) -> Result<(), String> {
        let Some(tun) = &self.tun else { return Ok(()) };
        let (mut packets, mut ended) = (Vec::with_capacity(TUN_BATCH), Ok(()));
        for buffer in &mut self.tun_buffers {
            match buffer.receive(|buffer| tun.receive(buffer)) {
                Ok(packet) => packets.push(packet),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // The interface was removed; this process cannot attach to it again.
                Err(e) => {
                    ended = Err(format!("TUN interface: {e}"));
                    break;
                }
            }
        }
        if !packets.is_empty() {
            self.ike.note_sent(now);
            let (errors, from) = (&mut self.errors, "packet from the TUN interface");
            let mut failed = |e| errors.write(now, from, Level::Warning, problem(from, "", &e));
            self.plane.outbound_batch(now, packets, &self.raw, &mut failed);
        }
        ended
    }
}

/// TUN interface, with the routes of the unprotected side.
struct Host<'d> {
    tun: &'d Tun,
    wire: &'d RawSockets,
}

impl PacketSink for Host<'_> {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.tun.send(packet)
    }

    fn route_mtu(&self, source: IpAddr, destination: IpAddr) -> Option<u16> {
        self.wire.route_mtu(source, destination)
    }
}

/// Returns the MTU of the TUN interface, if the MSS of TCP connections is lowered.
fn clamped_to(config: &Config) -> Option<u16> {
    config.clamps_mss.then_some(config.tun.mtu)
}

/// Returns whether SAs may limit the size of their packets: `esp_frag` of peers and `-esp_frag` of manual SAs.
fn limits_packets(config: &Config) -> bool {
    config.peers().iter().any(|peer| peer.esp_fragment_size.is_some())
        || config.configuration.sas.iter().any(|sa| sa.params.max_packet.is_some())
}

/// Returns the addresses of this host in the protected network.
fn addresses_of(config: &Config) -> impl Iterator<Item = IpAddr> {
    let of_gifs = config.configuration.gifs.iter().flat_map(|gif| gif.inner.iter().map(|(own, ..)| *own));
    config.tun.addresses.iter().map(|(address, _)| *address).chain(of_gifs)
}

/// Signals as octets on sockets.
struct Signals {
    /// Socket for SIGTERM and SIGINT.
    stop: UnixStream,
    /// Socket for the signal SIGHUP.
    reload: UnixStream,
}

impl Signals {
    fn register() -> io::Result<Self> {
        let socket_for = |signals: &[i32]| -> io::Result<UnixStream> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            for signal in signals {
                signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
            }
            Ok(reader)
        };
        Ok(Self { stop: socket_for(&[SIGTERM, SIGINT])?, reload: socket_for(&[SIGHUP])? })
    }
}

fn problem(what: &str, address: impl Display, e: &io::Error) -> String {
    format!("{what} {address}: {e}")
}
