//! Demonstration: two security gateways join two private networks over IPsec, with an attacker on the wire between
//! them.

mod attacker;
mod configuration;
mod gateway;
mod nat;
mod report;
mod tcpdump;

use std::error::Error;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ipsec_config::setkey::LoadOptions;
use ipsec_engine::Direction;
use ipsec_packet::{Instant, Ip};
use rand::SeedableRng;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::capture::{self, Captured, Writer};
use crate::esp_sa;
use crate::gateway::{Config, print_sas};
use crate::private_file;
use crate::suites::{self, SuiteName};
use attacker::Attacker;
use configuration::{Layout, Proto, Texts, WireMode, texts};
use gateway::{Gateway, Received};
use nat::Nat;
use report::Report;

/// Join two networks over ESP and show the traffic at each side and on the wire.
///
/// Without options, each gateway is configured by a setkey.conf file (ipsec-lab/conf), joins the networks by an IP
/// in IP tunnel and encrypts it. With --suite, --mode and similar options the files are generated, with policies for
/// the networks instead of the tunnel; they are written to the output directory.
///
/// Reads the traffic of two private networks from a capture (one is built in), sends every packet through its
/// gateway and the other, and writes to the output directory: lan-a.pcap (packets that entered the gateways),
/// wan.pcap (packets on the wire), lan-b.pcap (packets that were delivered), attack.pcap (packets that an attacker
/// injected) and esp_sa, the keys in Wireshark's format: copied into Wireshark's profile directory, it decrypts
/// wan.pcap.
#[derive(clap::Args)]
pub struct Args {
    /// Output directory for the captures and the key table.
    #[arg(long, value_name = "DIR", default_value = "vpn-out")]
    out: PathBuf,
    /// The setkey.conf files of gateway A and gateway B.
    #[arg(long, value_names = ["A.conf", "B.conf"], num_args = 2,
        conflicts_with_all = ["suite", "proto", "mode", "ipv6", "nat", "ipcomp", "esn"])]
    configs: Option<Vec<PathBuf>>,
    /// Algorithms of the SAs; aes128-sha1 by default.
    #[arg(long, value_name = "NAME", long_help = suites::HELP)]
    suite: Option<SuiteName>,
    /// LAN traffic to send: a pcap of raw IP or Ethernet frames.
    #[arg(long, value_name = "FILE.pcap")]
    lan: Option<PathBuf>,
    /// Protocols: ESP, AH, or AH around ESP.
    #[arg(long, value_enum)]
    proto: Option<Proto>,
    /// Tunnel mode between the gateways, transport mode between the hosts, or BEET mode.
    #[arg(long, value_enum)]
    mode: Option<WireMode>,
    /// Use IPv6 networks and IPv6 gateways.
    #[arg(long)]
    ipv6: bool,
    /// Put a NAT in front of gateway A and use UDP encapsulation.
    #[arg(long)]
    nat: bool,
    /// Compress payloads with IPComp (DEFLATE).
    #[arg(long)]
    ipcomp: bool,
    /// Use 64-bit extended sequence numbers.
    #[arg(long)]
    esn: bool,
    /// Let an attacker on the wire replay, alter and truncate packets.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    attack: bool,
    /// Derive keys and IVs from this seed instead of the system's random source, for reproducible output.
    #[arg(long)]
    seed: Option<u64>,
}

const LAN_V4: &[u8] = include_bytes!("../../data/lan.pcap");
const LAN_V6: &[u8] = include_bytes!("../../data/lan6.pcap");

/// Configuration files of the default gateways.
const DEFAULT_CONFIGS: [(&str, &str); 2] = [
    ("gateway-a.conf", include_str!("../../conf/gateway-a.conf")),
    ("gateway-b.conf", include_str!("../../conf/gateway-b.conf")),
];

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let traffic = match &args.lan {
        Some(path) => capture::read(File::open(path).map_err(|e| format!("{}: {e}", path.display()))?)?,
        None => capture::read(if args.ipv6 { LAN_V6 } else { LAN_V4 })?,
    };
    let mut rng = args.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let ([config_a, config_b], nat) = configurations(args, &mut rng)?;
    let begin = traffic.first().map_or(Duration::ZERO, |first| first.time);
    let mut gateway = |name, config| Gateway::new(name, config, StdRng::from_rng(&mut rng), begin);
    let (a, b) = (gateway('A', config_a)?, gateway('B', config_b)?);
    write_keys(&args.out.join("esp_sa"), &[&a, &b])?;
    let mut demonstration = Demonstration {
        a,
        b,
        nat,
        host_nat: nat.filter(|_| args.mode == Some(WireMode::Transport)),
        attacker: args.attack.then(Attacker::default),
        report: Report::default(),
        captures: Captures::create(&args.out)?,
    };
    for seen in &traffic {
        demonstration.carry(seen.clone())?;
    }
    let Demonstration { mut a, mut b, attacker, report, .. } = demonstration;
    for gateway in [&mut a, &mut b] {
        gateway.host.numbers.store_used(&gateway.host.engine)?;
    }
    report.print_traffic();
    let end = traffic.last().map_or(begin, |last| last.time);
    for gateway in [&a, &b] {
        println!("SAs of gateway {}:", gateway.name);
        print_sas(&gateway.host, Instant::from_start(end));
        println!();
    }
    report.print_totals(attacker.as_ref(), &[&a, &b], &args.out);
    Ok(if report.is_successful() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the configurations of both gateways, and the NAT between them. Generated texts are written to the output
/// directory.
fn configurations(args: &Args, rng: &mut StdRng) -> Result<([Config; 2], Option<Nat>), Box<dyn Error>> {
    if let Some([a, b]) = args.configs.as_deref() {
        return Ok(([Config::read(a, LoadOptions::RFC)?, Config::read(b, LoadOptions::RFC)?], None));
    }
    let ([a, b], nat) = made_texts(args, rng)?;
    let made = |name, text: Zeroizing<String>| {
        Config::of(&format!("gateway {name}"), text.as_bytes().to_vec().into(), LoadOptions::RFC)
    };
    Ok(([made('A', a)?, made('B', b)?], nat))
}

/// Returns the built-in or generated texts.
fn made_texts(args: &Args, rng: &mut StdRng) -> Result<Texts, Box<dyn Error>> {
    let plain = !(args.ipv6 || args.nat || args.ipcomp || args.esn);
    if plain && args.suite.is_none() && args.mode.is_none() && args.proto.is_none() {
        return Ok((DEFAULT_CONFIGS.map(|(_, text)| text.to_owned().into()), None));
    }
    let layout = Layout {
        mode: args.mode.unwrap_or(WireMode::Tunnel),
        ipv6: args.ipv6,
        proto: args.proto.unwrap_or(Proto::Esp),
        nat: args.nat,
        ipcomp: args.ipcomp,
        esn: args.esn,
    };
    let suite = args.suite.map_or_else(|| "aes128-sha1".parse(), Ok)?;
    let (texts, nat) = texts(&layout, &suite, rng)?;
    for ((name, _), text) in DEFAULT_CONFIGS.iter().zip(&texts) {
        private_file::write(&args.out.join(name), text.as_bytes())?;
    }
    Ok((texts, nat))
}

/// Gateways, attacker and captures of the demonstration.
struct Demonstration {
    a: Gateway,
    b: Gateway,
    nat: Option<Nat>,
    /// NAT whose address the hosts see because there is no tunnel.
    host_nat: Option<Nat>,
    attacker: Option<Attacker>,
    report: Report,
    captures: Captures,
}

impl Demonstration {
    /// Sends one packet from its network to the other.
    fn carry(&mut self, mut seen: Captured) -> Result<(), Box<dyn Error>> {
        let Some(side) = side(&seen.packet) else {
            self.report.not_ours += 1;
            return Ok(());
        };
        self.captures.entered.write(seen.time, &seen.packet)?;
        self.report.entered(&seen);
        // Without a tunnel the hosts of B see the address of the NAT.
        let mut expected = seen.packet.clone();
        if let Some(nat) = self.host_nat {
            match side {
                Side::A => nat.hide_source(&mut expected),
                Side::B => nat.hide_destination(&mut seen.packet),
            }
        }
        let from = if side == Side::A { &mut self.a } else { &mut self.b };
        let sealed = match from.send(seen.time, &seen.packet)? {
            Ok(sealed) => sealed,
            Err(reason) => {
                self.report.not_sent.count(reason);
                return Ok(());
            }
        };
        let wan = self.beyond_the_nat(sealed, side);
        self.captures.wire.write(seen.time, &wan)?;
        self.report.on_the_wire(&Captured { time: seen.time, packet: wan.clone() });
        // Packets that the attacker injects before the genuine packet and after it.
        let (before, after) = self.attacker.as_mut().map(|who| who.watch(&wan)).unwrap_or_default();
        self.attack(seen.time, side, &before)?;
        let received = self.arrive(seen.time, side, &wan);
        if let Received::Packet(packet) = &received {
            self.captures.delivered.write(seen.time, packet)?;
        }
        self.report.received(seen.time, received, &expected);
        self.attack(seen.time, side, &after)
    }

    fn attack(&mut self, time: Duration, side: Side, packets: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
        for forged in packets {
            self.captures.attack.write(time, forged)?;
            let received = self.arrive(time, side, forged);
            self.report.attacked(&received);
        }
        Ok(())
    }

    /// Returns a packet from this side as it is on the wire behind the NAT.
    fn beyond_the_nat(&self, mut sealed: Vec<u8>, from: Side) -> Vec<u8> {
        if let Some(nat) = self.nat.filter(|_| from == Side::A) {
            nat.outwards(&mut sealed);
        }
        sealed
    }

    /// Processes a packet from the wire at the other gateway.
    fn arrive(&mut self, time: Duration, from: Side, packet: &[u8]) -> Received {
        let mut packet = packet.to_vec();
        match from {
            Side::A => self.b.receive(time, &packet),
            Side::B => {
                if let Some(nat) = self.nat {
                    nat.inwards(&mut packet);
                }
                self.a.receive(time, &packet)
            }
        }
    }
}

struct Captures {
    entered: Writer,
    wire: Writer,
    delivered: Writer,
    attack: Writer,
}

impl Captures {
    fn create(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let create = |name: &str| Writer::create(&folder.join(name));
        Ok(Self {
            entered: create("lan-a.pcap")?,
            wire: create("wan.pcap")?,
            delivered: create("lan-b.pcap")?,
            attack: create("attack.pcap")?,
        })
    }
}

/// Returns the network from which a packet comes; `None` if it does not go from one network to the other.
fn side(packet: &[u8]) -> Option<Side> {
    let ip = Ip::parse(packet).ok()?;
    match (net(ip.source())?, net(ip.destination())?) {
        (Side::A, Side::B) => Some(Side::A),
        (Side::B, Side::A) => Some(Side::B),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

/// Returns the side of an address: 192.168.1.0/24 and fd00:1::/64 are A, 192.168.2.0/24 and fd00:2::/64 are B.
fn net(address: IpAddr) -> Option<Side> {
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [192, 168, 1, _] => Some(Side::A),
            [192, 168, 2, _] => Some(Side::B),
            _ => None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0xfd00, 1, 0, 0, ..] => Some(Side::A),
            [0xfd00, 2, 0, 0, ..] => Some(Side::B),
            _ => None,
        },
    }
}

/// Writes the keys of the outbound SAs of each gateway in Wireshark's format.
fn write_keys(path: &Path, gateways: &[&Gateway]) -> Result<(), Box<dyn Error>> {
    let mut rows = Zeroizing::new(String::new());
    for gateway in gateways {
        for (add, _) in gateway.config.sas().iter().filter(|(_, ways)| ways.contains(&Direction::Outbound)) {
            if let Some(row) = esp_sa::row(add) {
                rows.push_str(row.as_str());
                rows.push('\n');
            }
        }
    }
    private_file::write(path, rows.as_bytes())
}
