//! Demonstration: two security gateways join two private networks over IPsec, with an attacker on the path between
//! them.

mod attacker;
mod configuration;
mod gateway;
mod nat;
mod networks;
mod report;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ipsec_config::setkey::LoadOptions;
use ipsec_engine::Direction;
use ipsec_packet::Instant;
use rand::SeedableRng;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use crate::capture::{self, Frame, Writer};
use crate::esp_sa;
use crate::gateway::{Config, print_sas};
use crate::private_file;
use crate::suites::{self, SuiteName};
use attacker::Attacker;
use configuration::{Layout, Proto, Texts, WireMode, texts};
use gateway::{Gateway, Received};
use nat::Nat;
use networks::{Network, Networks, Side};
use report::Report;

/// Join two networks over ESP and show the traffic at each side and on the wire.
///
/// Two security gateways join 192.168.1.0/24 and 192.168.2.0/24, or the networks of --net, by policies such as
/// `spdadd 192.168.1.0/24 192.168.2.0/24 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require`. Their setkey.conf
/// files are generated with new keys, or are those of --configs; with --gif, they are those of the FreeBSD handbook,
/// whose policies encrypt an IP-in-IP tunnel between the gateways.
///
/// The traffic of the networks is that of a capture (one is built in). Every packet goes through its gateway and the
/// other, and an attacker replays, alters and truncates packets between them. Written to the output directory:
/// lan-a.pcap (packets that entered the gateways), wan.pcap (packets on the wire), lan-b.pcap (packets that were
/// delivered), attack.pcap (injected packets), gateway-a.conf and gateway-b.conf, and esp_sa, the keys in Wireshark's
/// format. The last line of the output is the command that opens wan.pcap decrypted.
///
/// Exit status: 0 if exactly the packets that entered were delivered, 1 if not, 2 for errors.
#[derive(clap::Args)]
pub struct Args {
    /// Output directory for the captures and the key table.
    #[arg(long, value_name = "DIR", default_value = "vpn-out")]
    out: PathBuf,
    /// The setkey.conf files of gateway A and gateway B.
    #[arg(long, value_names = ["A.conf", "B.conf"], num_args = 2,
        conflicts_with_all = ["suite", "proto", "mode", "ipv6", "nat", "ipcomp", "esn", "gif"])]
    configs: Option<Vec<PathBuf>>,
    /// Networks behind gateway A and gateway B, as in 10.1.0.0/16 10.2.0.0/16. The built-in traffic gets their
    /// addresses.
    #[arg(long, value_names = ["A", "B"], num_args = 2)]
    net: Option<Vec<Network>>,
    /// Use the files of the FreeBSD handbook: an IP-in-IP tunnel (gif) whose packets are encrypted.
    #[arg(long, conflicts_with_all = ["suite", "proto", "mode", "ipv6", "nat", "ipcomp", "esn"])]
    gif: bool,
    /// Algorithms of the SAs; aes128-sha1 by default.
    #[arg(long, value_name = "NAME", long_help = suites::suite_help())]
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
    #[arg(long, conflicts_with = "net")]
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
    /// Let an attacker on the path replay, alter and truncate packets.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    attack: bool,
    /// Derive keys and IVs from this seed instead of the system's random source, for reproducible output.
    #[arg(long)]
    seed: Option<u64>,
}

const LAN_V4: &[u8] = include_bytes!("../../data/lan.pcap");
const LAN_V6: &[u8] = include_bytes!("../../data/lan6.pcap");

/// Configuration files of gateways with an IP-in-IP tunnel.
const GIF_CONFIGS: [(&str, &str); 2] = [
    ("gateway-a.conf", include_str!("../../conf/gateway-a.conf")),
    ("gateway-b.conf", include_str!("../../conf/gateway-b.conf")),
];

/// Runs the command `vpn`.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let read = configurations_of_arguments(args)?;
    let networks = networks(args, read.as_ref().map(|[a, _]| a))?;
    let traffic = traffic(args, &networks)?;
    let mut rng = args.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let ([config_a, config_b], nat) = match read {
        Some(read) => (read, None),
        None => made_configurations(args, networks, &mut rng)?,
    };
    let begin = traffic.first().map_or(Duration::ZERO, |first| first.time);
    let mut gateway = |name, config| Gateway::new(name, config, StdRng::from_rng(&mut rng), begin);
    let (a, b) = (gateway('A', config_a)?, gateway('B', config_b)?);
    write_keys(&args.out.join("esp_sa"), &[&a, &b])?;
    let mut demonstration = Demonstration {
        a,
        b,
        networks,
        nat,
        host_nat: nat.filter(|_| args.mode == Some(WireMode::Transport)),
        attacker: args.attack.then(Attacker::default),
        report: Report::default(),
        captures: Captures::create(&args.out)?,
    };
    report::print_explanation(&networks, &demonstration.a, &demonstration.b, &args.out);
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
        sayln!("SAs of gateway {}:", gateway.name);
        print_sas(&gateway.host, Instant::from_start(end));
        sayln!();
    }
    report.print_totals(attacker.as_ref(), &[&a, &b], &args.out);
    report.print_no_traffic(&networks);
    Ok(if report.is_successful() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the configurations of the files in the arguments.
fn configurations_of_arguments(args: &Args) -> Result<Option<[Config; 2]>, Box<dyn Error>> {
    match args.configs.as_deref() {
        Some([a, b]) => Ok(Some([Config::read(a, LoadOptions::RFC)?, Config::read(b, LoadOptions::RFC)?])),
        _ => Ok(None),
    }
}

/// Returns the built-in or generated configurations of both gateways, and the NAT between them.
fn made_configurations(
    args: &Args,
    networks: Networks,
    rng: &mut StdRng,
) -> Result<([Config; 2], Option<Nat>), Box<dyn Error>> {
    let ([a, b], nat) = made_texts(args, networks, rng)?;
    let made = |name, text: Zeroizing<String>| {
        Config::of(&format!("gateway {name}"), text.as_bytes().to_vec().into(), LoadOptions::RFC)
    };
    Ok(([made('A', a)?, made('B', b)?], nat))
}

/// Returns the networks of the arguments, or those between which the policies of gateway A protect packets.
fn networks(args: &Args, a: Option<&Config>) -> Result<Networks, Box<dyn Error>> {
    let of_policy = || {
        let (from, to) = a?.protected_networks()?;
        Networks::new(Network::of_range(from)?, Network::of_range(to)?).ok()
    };
    match args.net.as_deref() {
        Some(&[a, b]) => Ok(Networks::new(a, b)?),
        _ if args.ipv6 => Ok(Networks::V6),
        _ => Ok(of_policy().unwrap_or(Networks::V4)),
    }
}

/// Returns the traffic of the networks: that of a capture, or the built-in one with their addresses.
fn traffic(args: &Args, networks: &Networks) -> Result<Vec<Frame>, Box<dyn Error>> {
    if let Some(path) = &args.lan {
        return capture::open(path)?.collect();
    }
    let mut traffic = capture::read(if networks.is_v6() { LAN_V6 } else { LAN_V4 })?.collect::<Result<Vec<_>, _>>()?;
    if *networks != networks.built_in() {
        traffic.iter_mut().for_each(|frame| networks.take_over(&mut frame.packet));
    }
    Ok(traffic)
}

/// Returns the built-in or generated texts, which are written to the output directory.
fn made_texts(args: &Args, networks: Networks, rng: &mut StdRng) -> Result<Texts, Box<dyn Error>> {
    let (texts, nat) = if args.gif {
        (GIF_CONFIGS.map(|(_, text)| text.to_owned().into()), None)
    } else {
        let layout = Layout {
            mode: args.mode.unwrap_or(WireMode::Tunnel),
            networks,
            proto: args.proto.unwrap_or(Proto::Esp),
            nat: args.nat,
            ipcomp: args.ipcomp,
            esn: args.esn,
        };
        let suite = args.suite.map_or_else(|| "aes128-sha1".parse(), Ok)?;
        texts(&layout, &suite, rng)?
    };
    for ((name, _), text) in GIF_CONFIGS.iter().zip(&texts) {
        private_file::write(&args.out.join(name), text.as_bytes())?;
    }
    Ok((texts, nat))
}

/// Gateways, attacker and captures of the demonstration.
struct Demonstration {
    a: Gateway,
    b: Gateway,
    networks: Networks,
    nat: Option<Nat>,
    /// NAT whose address the hosts see because there is no tunnel.
    host_nat: Option<Nat>,
    attacker: Option<Attacker>,
    report: Report,
    captures: Captures,
}

impl Demonstration {
    /// Sends one packet from its network to the other.
    fn carry(&mut self, mut seen: Frame) -> Result<(), Box<dyn Error>> {
        let Some(side) = self.networks.side(&seen.packet) else {
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
        self.report.on_the_wire(&Frame::new(seen.time, wan.clone()));
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

    /// Processes a received packet at the other gateway.
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
