//! `ipsec-lab ping`: IPsec host in user space over raw sockets.

mod echo;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use ipsec_engine::{Action, Direction, InboundAction, OutboundAction, PolicyDirection};

use crate::gateway::{Config, ConfigArgs, Host, Outcome};
pub use echo::Echo;
use wire::{Arrival, Wire};

/// Ping a host through IPsec in user space.
///
/// Sends echo requests through the policies and SAs of the file over raw sockets (ESP, AH, IPComp, IP in IP, or
/// UDP), decapsulates the replies, and prints them like ping. Echo requests of the peer that match their policy are
/// answered. Requires root, and no SAs of the kernel between the two hosts.
///
/// Exit status: 0 if every request was answered, 1 if not, 2 for errors.
#[derive(clap::Args)]
pub struct Args {
    /// Address to ping; host names are not resolved.
    #[arg(value_parser = address)]
    address: IpAddr,
    #[command(flatten)]
    config: ConfigArgs,
    /// Use the file as the peer does: its outbound policies and SAs become inbound.
    #[arg(long)]
    mirror: bool,
    /// Number of echo requests.
    #[arg(long, short, default_value_t = 4)]
    count: u16,
    /// Payload length in octets.
    #[arg(long, short, default_value_t = 56)]
    size: u16,
    /// Source address: an address of this host, or of a network that a policy protects.
    #[arg(long, value_parser = address)]
    source: Option<IpAddr>,
    /// Interval between requests in milliseconds.
    #[arg(long, default_value_t = 200)]
    interval: u64,
    /// Time to wait for the last reply in milliseconds, during which requests of the peer are answered.
    #[arg(long, default_value_t = 1000)]
    wait: u64,
    /// Number of requests of the peer after which the command ends, if it has received every reply.
    #[arg(long)]
    answers: Option<u64>,
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IP address, as in 192.0.2.1 (host names are not resolved)".to_owned())
}

/// Runs the command `ping`.
#[allow(clippy::disallowed_methods)] // see below
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let config = args.config.read()?;
    let mut endpoint = Endpoint::new(args, &config)?;
    sayln!("PING {} from {}: {} data bytes", args.address, endpoint.source, args.size);
    for number in 1..=args.count {
        endpoint.request(number)?;
        endpoint.listen(Duration::from_millis(args.interval))?;
    }
    endpoint.listen(Duration::from_millis(args.wait))?;
    endpoint.host.numbers.store_used(&endpoint.host.engine)?;
    Ok(endpoint.print_statistics())
}

/// State of the local host: engine, sockets, requests and replies.
struct Endpoint<'a> {
    args: &'a Args,
    host: Host,
    /// Start of the clock of the host.
    started: Instant,
    wire: Wire,
    source: IpAddr,
    id: u16,
    /// Time of each request.
    sent: BTreeMap<u16, Instant>,
    transmitted: u64,
    received: u64,
    answered: u64,
    dropped: BTreeMap<String, u64>,
}

#[allow(clippy::disallowed_methods)] // packets are sent and received now
impl<'a> Endpoint<'a> {
    fn new(args: &'a Args, config: &Config) -> Result<Self, Box<dyn Error>> {
        let (mut host, started) = (Host::with_entropy(), Instant::now());
        host.numbers = config.numbers()?;
        host.start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        config.load(&mut host, ipsec_packet::Instant::ZERO, args.mirror)?;
        let source = match args.source {
            Some(source) => source,
            None => source_for(&host, args.address)?,
        };
        let local = local_end(&host, source);
        let encaps =
            host.engine.sas().filter(|sa| sa.key.direction == Direction::Inbound).filter_map(|sa| sa.sa?.encap());
        let ports: BTreeSet<u16> = encaps.map(|encap| encap.ports.destination).chain([4500]).collect();
        let wire = Wire::open(local, &ports)?;
        let id = u16::try_from(std::process::id() & 0xffff)?;
        Ok(Self {
            args,
            host,
            started,
            wire,
            source,
            id,
            sent: BTreeMap::new(),
            transmitted: 0,
            received: 0,
            answered: 0,
            dropped: BTreeMap::new(),
        })
    }

    fn now(&self) -> ipsec_packet::Instant {
        ipsec_packet::Instant::from_start(self.started.elapsed())
    }

    fn request(&mut self, number: u16) -> Result<(), Box<dyn Error>> {
        let request = Echo::request(self.source, self.args.address, self.id, number, self.args.size);
        let packet = request.packet()?;
        self.sent.insert(number, Instant::now());
        match self.send(&packet)? {
            None => self.transmitted += 1,
            Some(why) => sayln!("icmp_seq={number}: not sent: {why}"),
        }
        Ok(())
    }

    /// Sends a packet according to its policy. Returns the reason if it was not sent.
    fn send(&mut self, packet: &[u8]) -> Result<Option<String>, Box<dyn Error>> {
        let why = match self.host.send(self.now(), packet)? {
            (OutboundAction::Send, protected) => self.wire.send(&protected).err().map(|e| e.to_string()),
            (refused, _) => Some(reason(refused)),
        };
        if let Some(why) = &why {
            self.count_dropped(format!("not sent: {why}"));
        }
        Ok(why)
    }

    /// Processes received packets for this time, or until the last one that is expected.
    fn listen(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if self.is_complete() {
                break;
            }
            for arrival in self.wire.receive(left)? {
                self.take(&arrival)?;
            }
        }
        Ok(())
    }

    /// Returns whether every reply was received and every expected request of the peer answered.
    fn is_complete(&self) -> bool {
        self.received >= u64::from(self.args.count) && self.args.answers.is_some_and(|count| self.answered >= count)
    }

    fn take(&mut self, arrival: &Arrival) -> Result<(), Box<dyn Error>> {
        let octets = arrival.packet.len();
        match self.host.receive(self.now(), &arrival.packet) {
            (InboundAction::Deliver { .. }, opened) => self.deliver(&opened, arrival.time),
            // Packets of this host are received on the loopback interface, and cleartext packets of others are
            // ignored.
            (InboundAction::Bypass, _) => Ok(()),
            (InboundAction::Discard(reason), _) => {
                sayln!("{octets} bytes dropped: {reason}");
                self.count_dropped(reason.to_string());
                Ok(())
            }
        }
    }

    fn deliver(&mut self, packet: &[u8], arrived: Instant) -> Result<(), Box<dyn Error>> {
        let Some(echo) = Echo::read(packet) else {
            self.count_dropped("not an echo message".to_owned());
            return Ok(());
        };
        if echo.is_request {
            self.answered += 1;
            self.send(&echo.reply().packet()?)?;
            return Ok(());
        }
        let asked = (echo.id == self.id).then(|| self.sent.remove(&echo.number)).flatten();
        match asked {
            Some(sent) if echo.payload == echo::payload(self.args.size) => {
                self.received += 1;
                let time = arrived.saturating_duration_since(sent).as_secs_f64() * 1000.0;
                let (octets, from) = (echo.payload.len() + 8, echo.source);
                sayln!("{octets} bytes from {from}: icmp_seq={} ttl={} time={time:.3} ms", echo.number, echo.hops);
            }
            Some(_) => self.count_dropped("reply with a different payload".to_owned()),
            None => self.count_dropped("unexpected reply".to_owned()),
        }
        Ok(())
    }

    fn count_dropped(&mut self, reason: String) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    fn print_statistics(&self) -> ExitCode {
        sayln!("\n--- {} ping statistics ---", self.args.address);
        let lost = (self.transmitted - self.received.min(self.transmitted)) * 100;
        let lost = lost.checked_div(self.transmitted).unwrap_or(100);
        sayln!("{} packets transmitted, {} received, {lost}% packet loss", self.transmitted, self.received);
        if self.answered > 0 {
            sayln!("{} echo requests answered", self.answered);
        }
        self.dropped.iter().for_each(|(reason, count)| sayln!("{count:8} {reason}"));
        if self.received > 0 && self.received == u64::from(self.args.count) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Returns the reason why a packet was not protected.
fn reason(action: OutboundAction) -> String {
    match action {
        OutboundAction::Discard(reason) => reason.to_string(),
        // This command sends no cleartext.
        OutboundAction::Bypass => "no PROTECT policy for its addresses: compare --source with `dump -P`".to_owned(),
        other => {
            let outcome = Outcome::from(other);
            outcome.reason.unwrap_or_else(|| outcome.name.to_owned())
        }
    }
}

/// Returns the source address that the system would use.
fn source_for(host: &Host, address: IpAddr) -> Result<IpAddr, Box<dyn Error>> {
    // A network behind a tunnel has no route on this host. The source is then the first address of its policy.
    let policy = host
        .engine
        .policies()
        .find(|(_, policy)| policy.direction == PolicyDirection::Out && policy.selector.destination.contains(address));
    let unspecified: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
    let probe = UdpSocket::bind((unspecified, 0))?;
    match (probe.connect((address, 9)).and_then(|()| probe.local_addr()), policy) {
        (Ok(local), Some((_, policy))) if policy.selector.source.contains(local.ip()) => Ok(local.ip()),
        (_, Some((_, policy))) => Ok(policy.selector.source.first()),
        (local, None) => Ok(local?.ip()),
    }
}

/// Returns the local address of protected packets: the local endpoint of the tunnel, or the source itself.
fn local_end(host: &Host, source: IpAddr) -> IpAddr {
    let tunnels = host
        .engine
        .policies()
        .filter(|(_, policy)| policy.direction == PolicyDirection::Out && policy.selector.source.contains(source));
    let ends = tunnels.filter_map(|(_, policy)| match policy.action {
        Action::Protect(bundle) => bundle.iter().filter_map(|request| request.ends).last(),
        _ => None,
    });
    ends.filter_map(|ends| ends.source.0).next().unwrap_or(source)
}
