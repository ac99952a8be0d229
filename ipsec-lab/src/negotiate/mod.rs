//! Demonstration of key exchange: two gateways in one process negotiate over a network that may lose packets, with a
//! simulated clock.

mod endpoint;
mod payload_list;
mod wire;

use std::error::Error;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ike_codec::{EncapsulationMode, ExchangeKind, Lifetimes, ProtocolId};
use ike_v1::{Counter, Path, Phase2Choice, Phase2Suite};
use ipsec_config::setkey::LoadOptions;
use ipsec_packet::Instant;
use rand::SeedableRng;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::capture::Writer;
use crate::gateway::{Config, Host, print_sas};
use crate::ike::{Found, KeyTable, Secrets, Sessions, key_table};
use crate::ping::Echo;
use crate::private_file;
use crate::suites::{self, IkeSuite, SuiteName};
use crate::wireshark;
use endpoint::{Configuration, Endpoint};
use wire::Wire;

/// Negotiate SAs between two gateways in one process, and ping through them.
///
/// Gateway A joins 192.168.1.0/24 to 192.168.2.0/24 behind gateway B by main, aggressive or base mode with a pre-shared
/// key and quick mode. The first ping has no SA and starts the negotiation. Prints the messages with their payloads as
/// tcpdump -v does, what each gateway did, the SAs in the format of setkey -D, and the result of the pings. Writes to
/// the output directory: wire.pcap, and the keys for Wireshark (ikev1_decryption_table and esp_sa). The clock is
/// simulated: lost messages cost no time. The exit status is 0 if both gateways agreed and accepted every packet that
/// arrived.
#[derive(clap::Args)]
pub struct Args {
    /// Output directory for the capture and the key tables.
    #[arg(long, value_name = "DIR", default_value = "negotiate-out")]
    out: PathBuf,
    /// Algorithms of the ESP SAs.
    #[arg(long, value_name = "NAME", default_value = "aes128-sha1", long_help = suites::suite_help())]
    suite: SuiteName,
    /// Algorithms of phase 1: cipher, hash and group, as in 3des-md5-modp1024 or aes256-sha256-ecp256.
    #[arg(long, value_name = "NAME", default_value = "aes128-sha1-modp1024", long_help = suites::ike_help())]
    ike: IkeSuite,
    /// Percentage of packets that the network loses.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percentage)]
    loss: f64,
    /// Derive keys, cookies and losses from this seed instead of the system's random source.
    #[arg(long)]
    seed: Option<u64>,
    /// Exchange of phase 1.
    #[arg(long, value_name = "MODE", default_value = "main", value_parser = ["main", "aggressive", "base"])]
    exchange: String,
    /// Send ESP in UDP, as through a NAT.
    #[arg(long)]
    udp: bool,
    /// Use transport mode between the gateways instead of a tunnel between networks.
    #[arg(long)]
    transport: bool,
    /// Give gateway B another pre-shared key, to see how the negotiation fails.
    #[arg(long)]
    wrong_key: bool,
    /// Number of pings in each direction.
    #[arg(long, default_value_t = 3)]
    count: u16,
}

fn percentage(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| (0.0..=100.0).contains(value));
    value.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

/// Time after which a negotiation is ended.
const PATIENCE: Duration = Duration::from_secs(150);

/// Runs the command `negotiate`.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut rng = args.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let mut demonstration = Demonstration::new(args, &mut rng)?;
    demonstration.negotiate()?;
    if demonstration.is_up() {
        demonstration.ping()?;
    }
    demonstration.report(args)?;
    let is_successful = demonstration.is_up() && demonstration.ends.iter().all(|end| end.discarded == 0);
    Ok(if is_successful { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Gateways and the network between them.
struct Demonstration {
    now: Instant,
    ends: [Endpoint; 2],
    wire: Wire,
    /// Hosts behind the gateways; in transport mode the gateways themselves.
    hosts: [IpAddr; 2],
    count: u16,
    /// Pings of each host that were sent and answered.
    sent: [u16; 2],
    answered: [u16; 2],
}

impl Demonstration {
    fn new(args: &Args, rng: &mut StdRng) -> Result<Self, Box<dyn Error>> {
        let addresses: [IpAddr; 2] = ["192.0.2.1".parse()?, "198.51.100.1".parse()?];
        let hosts = if args.transport { addresses } else { ["192.168.1.1".parse()?, "192.168.2.1".parse()?] };
        let mut key = Zeroizing::new(vec![0; 32]);
        rand::Rng::fill_bytes(rng, &mut key);
        let end = |side: usize, rng: &mut StdRng| -> Result<Endpoint, Box<dyn Error>> {
            let name = ['A', 'B'][side];
            let (local, remote) = (addresses[side], addresses[1 - side]);
            let text = policies(args.transport, side, local, remote);
            let mut host = Host::new(StdRng::from_rng(rng));
            let name_of_text = format!("gateway {name}");
            Config::of(&name_of_text, text.into_bytes().into(), LoadOptions::RFC)?.load(
                &mut host,
                Instant::ZERO,
                false,
            )?;
            let mut key = key.clone();
            if args.wrong_key && side == 1 {
                key.reverse();
            }
            let path = Path { local: SocketAddr::new(local, 500), remote: SocketAddr::new(remote, 500) };
            let identities = [local, remote].map(|address| match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            });
            let (ike, esp) = (vec![args.ike.choice()], vec![esp_choice(&args.suite, args.transport)]);
            let exchange = match args.exchange.as_str() {
                "aggressive" => ExchangeKind::AGGRESSIVE,
                "base" => ExchangeKind::BASE,
                _ => ExchangeKind::MAIN,
            };
            let forces_nat_traversal = args.udp;
            let configuration = Configuration { name, path, identities, key, ike, esp, exchange, forces_nat_traversal };
            Ok(Endpoint::new(configuration, host, StdRng::from_rng(rng)))
        };
        Ok(Self {
            now: Instant::ZERO,
            ends: [end(0, rng)?, end(1, rng)?],
            wire: Wire::new(args.loss / 100.0, rng),
            hosts,
            count: args.count,
            sent: [0; 2],
            answered: [0; 2],
        })
    }

    fn is_up(&self) -> bool {
        self.ends.iter().all(|end| end.is_up)
    }

    /// Sends the first ping, which starts the negotiation, and waits for its end.
    fn negotiate(&mut self) -> Result<(), Box<dyn Error>> {
        self.request(0)?;
        let end = self.now + PATIENCE;
        while !self.is_up() && !self.ends[0].has_failed && self.step(end)? {}
        // The message that completes the negotiation may be in transit.
        self.run(Duration::from_secs(1))
    }

    /// Sends the other pings, one a second in each direction.
    fn ping(&mut self) -> Result<(), Box<dyn Error>> {
        for number in 0..self.count {
            for side in 0..2 {
                if number > 0 || side == 1 {
                    self.request(side)?;
                    self.run(Duration::from_millis(500))?;
                }
            }
        }
        Ok(())
    }

    /// Sends a ping of the host behind a gateway.
    fn request(&mut self, side: usize) -> Result<(), Box<dyn Error>> {
        self.sent[side] += 1;
        let id = u16::try_from(side)? + 1;
        let echo = Echo::request(self.hosts[side], self.hosts[1 - side], id, self.sent[side], 56);
        self.send(side, echo.packet()?)
    }

    /// Sends a packet of the network behind a gateway.
    fn send(&mut self, side: usize, packet: Vec<u8>) -> Result<(), Box<dyn Error>> {
        if let Some(protected) = self.ends[side].send(self.now, packet)? {
            self.wire.send(self.now, side, protected);
        }
        Ok(())
    }

    fn run(&mut self, time: Duration) -> Result<(), Box<dyn Error>> {
        let end = self.now + time;
        while self.step(end)? {}
        self.now = end;
        Ok(())
    }

    /// Advances to the next arrival or timeout before `end`. Returns false if there is none.
    fn step(&mut self, end: Instant) -> Result<bool, Box<dyn Error>> {
        self.collect()?;
        let timeouts = self.ends.iter().filter_map(|end| end.negotiator.poll_timeout());
        let next = self.wire.next_arrival().into_iter().chain(timeouts).min().filter(|next| *next <= end);
        let Some(next) = next else { return Ok(false) };
        self.now = self.now.max(next);
        while let Some((side, packet)) = self.wire.receive(self.now) {
            self.receive(side, &packet)?;
        }
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.collect()?;
        Ok(true)
    }

    /// Delivers a packet of the network to a gateway.
    fn receive(&mut self, side: usize, packet: &[u8]) -> Result<(), Box<dyn Error>> {
        match wire::ike_datagram(packet) {
            Some(datagram) => self.ends[side].receive_ike(self.now, &datagram),
            None => {
                let Some(inner) = self.ends[side].receive_esp(self.now, packet) else { return Ok(()) };
                match Echo::read(&inner) {
                    Some(echo) if echo.is_request => self.send(side, echo.reply().packet()?)?,
                    Some(_) => self.answered[side] += 1,
                    None => {}
                }
            }
        }
        self.collect()
    }

    /// Fetches the events and datagrams of both gateways.
    fn collect(&mut self) -> Result<(), Box<dyn Error>> {
        for side in 0..2 {
            let mut out = vec![0; 8200];
            loop {
                if let Some(packet) = self.ends[side].handle_events(self.now)? {
                    self.send(side, packet)?;
                }
                let end = &mut self.ends[side];
                let Some(transmit) = end.negotiator.poll_transmit(self.now, &mut out) else { break };
                let packet = wire::udp_packet(transmit.path.local, transmit.path.remote, transmit.datagram)?;
                self.wire.send(self.now, side, packet);
            }
        }
        Ok(())
    }

    /// Prints the logs and the totals, and writes the files.
    fn report(&self, args: &Args) -> Result<(), Box<dyn Error>> {
        let mut keys = KeyTable::new();
        let mut esp_sa = Zeroizing::new(String::new());
        for end in &self.ends {
            for sa in end.negotiator.sas() {
                keys.insert(sa.cookies().initiator, sa.expose_encryption_key().to_vec().into());
            }
            esp_sa.push_str(&end.esp_sa);
        }
        self.print_messages(&keys);
        for end in &self.ends {
            sayln!("\nGateway {}:", end.services.configuration.name);
            for (time, text) in &end.log {
                sayln!("{} {text}", clock(*time));
            }
            let counters = end.negotiator.counters();
            let (sent, again) = (counters.get(Counter::Sent), counters.get(Counter::Retransmitted));
            sayln!("{sent} messages sent, {again} of them retransmissions");
            print_sas(&end.services.host, self.now);
        }
        sayln!();
        for side in 0..2 {
            let (from, to) = (self.hosts[side], self.hosts[1 - side]);
            sayln!("ping {from} > {to}: {} sent, {} answered", self.sent[side], self.answered[side]);
        }
        let mut capture = Writer::create(&args.out.join("wire.pcap"))?;
        for sent in &self.wire.sent {
            capture.write(sent.time.since_start(), &sent.packet)?;
        }
        key_table::write(
            &args.out.join("ikev1_decryption_table"),
            keys.iter().map(|(cookie, key)| (cookie, &key[..])),
        )?;
        private_file::write(&args.out.join("esp_sa"), esp_sa.as_bytes())?;
        sayln!("written to {}: wire.pcap, ikev1_decryption_table, esp_sa", args.out.display());
        wireshark::print_command(&args.out, "wire.pcap");
        Ok(())
    }

    fn print_messages(&self, keys: &KeyTable) {
        let mut sessions = Sessions::new(Secrets { keys: keys.clone(), ..Secrets::default() });
        for (index, sent) in self.wire.sent.iter().enumerate() {
            let Some(datagram) = wire::ike_datagram(&sent.packet) else { continue };
            let Some(message) = datagram.message() else { continue };
            let (from, to) = (datagram.path.remote, datagram.path.local);
            let ends = Some((from, to));
            let opened = sessions.see(&Found {
                frame: index as u64 + 1,
                time: None,
                cut: None,
                ends,
                message: message.to_vec(),
            });
            let role = if sent.side == 0 { 'I' } else { 'R' };
            let lost = if sent.is_lost { " (lost)" } else { "" };
            let text = payload_list::text(message, role, opened.message.as_deref());
            sayln!(
                "{} {}.{} > {}.{}:{lost} {}",
                clock(sent.time),
                from.ip(),
                from.port(),
                to.ip(),
                to.port(),
                text.trim_end()
            );
        }
    }
}

/// Returns a time as seconds and microseconds.
fn clock(time: Instant) -> String {
    let elapsed = time.since_start();
    format!("{:3}.{:06}", elapsed.as_secs(), elapsed.subsec_micros())
}

/// Returns the policies of a gateway in the language of setkey(8).
fn policies(transport: bool, side: usize, local: IpAddr, remote: IpAddr) -> String {
    let networks = ["192.168.1.0/24", "192.168.2.0/24"];
    let (here, there) = match transport {
        true => (local.to_string(), remote.to_string()),
        false => (networks[side].to_owned(), networks[1 - side].to_owned()),
    };
    let template = |from: IpAddr, to: IpAddr| match transport {
        true => "esp/transport//require".to_owned(),
        false => format!("esp/tunnel/{from}-{to}/require"),
    };
    format!(
        "spdadd {here} {there} any -P out ipsec {};\nspdadd {there} {here} any -P in ipsec {};\n",
        template(local, remote),
        template(remote, local)
    )
}

/// Returns the transform of ESP for a suite.
fn esp_choice(suite: &SuiteName, transport: bool) -> Phase2Choice {
    let integrity_key = suite.integrity.row().map_or(0, |row| row.default_key);
    let keyed = Phase2Suite::Keyed {
        cipher: suite.cipher,
        cipher_key: suite.cipher_key,
        integrity: suite.integrity,
        integrity_key,
    };
    let mode = if transport { EncapsulationMode::TRANSPORT } else { EncapsulationMode::TUNNEL };
    let lifetimes = Lifetimes { seconds: Some(3600), ..Lifetimes::default() };
    Phase2Choice::new(ProtocolId::ESP, keyed, mode).with_lifetimes(lifetimes)
}
