//! The main job: two security gateways join two private networks over ESP, with an attacker on the wire between them.

mod attacker;
mod esp_sa;
mod gateway;
mod nat;
mod setkey_dump;
mod story;
mod tcpdump;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use esp_core::RngIv;
use ipsec_packet::{Ip, PacketBuf, SeqWidth};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::capture::{self, Captured, Writer};
use crate::road::Received;
use crate::suites::{self, SuiteName};
use attacker::Attacker;
use gateway::{Gateway, Layout, Proto, WireMode, pair};
use nat::Nat;
use story::Story;

/// Join two networks over ESP and show what each side and the wire see.
///
/// Reads the traffic of two private networks from a capture (one is built in), sends every packet out through its gateway
/// and in through the other, and writes to the output directory: lan-a.pcap (what entered the gateways), wan.pcap (what
/// is on the wire), lan-b.pcap (what was delivered), attack.pcap (what an attacker injected) and esp_sa, the keys in
/// Wireshark's format: copy it into Wireshark's profile directory and wan.pcap opens.
#[derive(clap::Args)]
pub struct Args {
    /// Where the captures and the key table go.
    #[arg(long, value_name = "DIR", default_value = "vpn-out")]
    out: PathBuf,
    /// The algorithms of both SAs.
    #[arg(long, value_name = "NAME", default_value = "aes128-sha1", long_help = suites::HELP)]
    suite: SuiteName,
    /// LAN traffic to carry: a pcap of raw IP or Ethernet frames.
    #[arg(long, value_name = "FILE.pcap")]
    lan: Option<PathBuf>,
    /// ESP, AH, or AH around ESP.
    #[arg(long, value_enum, default_value_t = Proto::Esp)]
    proto: Proto,
    /// Tunnel between the gateways, ESP from host to host, or bound end-to-end tunnel.
    #[arg(long, value_enum, default_value_t = WireMode::Tunnel)]
    mode: WireMode,
    /// Carry IPv6 networks between IPv6 gateways.
    #[arg(long)]
    ipv6: bool,
    /// Put a NAT in front of gateway A: ESP goes in UDP.
    #[arg(long)]
    nat: bool,
    /// Compress what is inside with IPComp DEFLATE, where it gets smaller.
    #[arg(long)]
    ipcomp: bool,
    /// Count with 64-bit extended sequence numbers.
    #[arg(long)]
    esn: bool,
    /// Whether somebody on the wire replays, alters and cuts packets.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    attack: bool,
    /// Draw keys and IVs from this seed instead of the system's entropy: the same output each time.
    #[arg(long)]
    seed: Option<u64>,
}

const LAN_V4: &[u8] = include_bytes!("../../data/lan.pcap");
const LAN_V6: &[u8] = include_bytes!("../../data/lan6.pcap");

/// Octets kept free in front of each packet for what the gateways add.
const HEADROOM: usize = 160;
/// Octets kept free behind it, to work in and for what IPComp gives back.
const TAILROOM: usize = 65536;

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let traffic = match &args.lan {
        Some(path) => capture::read(File::open(path).map_err(|e| format!("{}: {e}", path.display()))?)?,
        None => capture::read(if args.ipv6 { LAN_V6 } else { LAN_V4 })?,
    };
    let mut rng = args.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
    let layout = Layout {
        mode: args.mode,
        ipv6: args.ipv6,
        proto: args.proto,
        nat: args.nat,
        ipcomp: args.ipcomp,
        width: width(args.esn),
    };
    let (mut a, mut b, nat) = pair(&layout, &args.suite, &mut rng)?;
    fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let file = |name: &str| args.out.join(name);
    write_keys(&file("esp_sa"), &[&a, &b])?;

    let mut captures = Captures {
        entered: Writer::create(&file("lan-a.pcap"))?,
        wire: Writer::create(&file("wan.pcap"))?,
        delivered: Writer::create(&file("lan-b.pcap"))?,
        attack: Writer::create(&file("attack.pcap"))?,
    };
    let mut attacker = args.attack.then(Attacker::default);
    let mut story = Story::default();
    let host_nat = nat.filter(|_| args.mode == WireMode::Transport);
    for seen in &traffic {
        let mut seen = seen.clone();
        let Some(side) = side(&seen.packet) else {
            story.not_ours += 1;
            continue;
        };
        captures.entered.write(seen.time, &seen.packet)?;
        story.entered(&seen);
        // Without a tunnel the hosts of B know those of A by the address that the NAT gives them.
        let mut expected = seen.packet.clone();
        if let Some(nat) = host_nat {
            match side {
                Side::A => nat.hide_source(&mut expected),
                Side::B => nat.hide_destination(&mut seen.packet),
            }
        }
        let (from, to) = if side == Side::A { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let Some(sealed) = seal(&seen, from, &mut rng, &mut story)? else { continue };
        let wire = Wire { sealed, nat, from_inside: side == Side::A };
        captures.wire.write(seen.time, &wire.on_the_wan())?;
        story.on_the_wire(&Captured { time: seen.time, packet: wire.on_the_wan() });
        // What an attacker sends before the genuine packet arrives, and what after it.
        let (before, after) = attacker.as_mut().map(|who| who.watch(&wire.on_the_wan())).unwrap_or_default();
        for forged in &before {
            captures.attack.write(seen.time, forged)?;
            let (mut bytes, len) = wire.arriving(forged);
            story.attacked(to.receive(&mut PacketBuf::with_headroom(&mut bytes, 0, len)?));
        }
        let (mut arriving, len) = wire.arriving(&wire.on_the_wan());
        let mut packet = PacketBuf::with_headroom(&mut arriving, 0, len)?;
        let received = to.receive(&mut packet);
        if received == Ok(Received::Packet) {
            captures.delivered.write(seen.time, packet.data())?;
        }
        story.received(received, &Captured { time: seen.time, packet: packet.data().to_vec() }, &expected);
        for forged in &after {
            captures.attack.write(seen.time, forged)?;
            let (mut bytes, len) = wire.arriving(forged);
            story.attacked(to.receive(&mut PacketBuf::with_headroom(&mut bytes, 0, len)?));
        }
    }
    story.print_traffic();
    setkey_dump::print(&[&a, &b], story.duration());
    story.print_totals(attacker.as_ref(), &[&a, &b], &args.out);
    Ok(if story.all_is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Captures {
    entered: Writer,
    wire: Writer,
    delivered: Writer,
    attack: Writer,
}

/// Which of the two networks a packet comes from; `None` where it does not go from one to the other.
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

/// Networks 192.168.1.0/24 and fd00:1::/64 are A, 192.168.2.0/24 and fd00:2::/64 are B.
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

fn width(esn: bool) -> SeqWidth {
    if esn { SeqWidth::Extended64 } else { SeqWidth::Bits32 }
}

/// Protects one packet; `None` where the gateway refuses.
fn seal(
    seen: &Captured,
    from: &mut Gateway,
    rng: &mut StdRng,
    story: &mut Story,
) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    let mut bytes = vec![0; HEADROOM + seen.packet.len() + TAILROOM];
    bytes[HEADROOM..HEADROOM + seen.packet.len()].copy_from_slice(&seen.packet);
    let mut packet = PacketBuf::with_headroom(&mut bytes, HEADROOM, seen.packet.len())?;
    Ok(match from.send(&mut packet, &mut RngIv(rng)) {
        Ok(()) => Some(packet.data().to_vec()),
        Err(refused) => {
            story.not_sent.count(refused.counter());
            None
        }
    })
}

/// A sealed packet between the gateways, one of which may be behind a NAT.
struct Wire {
    sealed: Vec<u8>,
    nat: Option<Nat>,
    from_inside: bool,
}

impl Wire {
    /// As an eavesdropper beyond the NAT sees it.
    fn on_the_wan(&self) -> Vec<u8> {
        let mut packet = self.sealed.clone();
        if let Some(nat) = self.nat.filter(|_| self.from_inside) {
            nat.outwards(&mut packet);
        }
        packet
    }

    /// What arrives at the gateway when `packet` is sent to it on the wan, in a buffer of its own, and its length.
    fn arriving(&self, packet: &[u8]) -> (Vec<u8>, usize) {
        let mut bytes = packet.to_vec();
        if let Some(nat) = self.nat.filter(|_| !self.from_inside) {
            nat.inwards(&mut bytes);
        }
        bytes.resize(packet.len() + TAILROOM, 0);
        (bytes, packet.len())
    }
}

fn write_keys(path: &Path, gateways: &[&Gateway]) -> Result<(), Box<dyn Error>> {
    let mut file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
    for gateway in gateways.iter().filter(|gateway| gateway.proto != Proto::Ah) {
        writeln!(file, "{}", esp_sa::row(gateway))?;
    }
    Ok(())
}
