//! `ipsec-lab seal` and `ipsec-lab open`: a capture through an engine, or through SAs without policies.

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ipsec_engine::{Direction, Expiry, SaEvent};
use ipsec_packet::{Flow, Instant, IpProto};

use super::packet_log::{PacketLog, Processed, Verbosity, seconds};
use super::packets::Packets;
use super::{Config, Host, LoadingArgs, Outcome, PacketResult, WireHeader};
use crate::capture::{Fragments, Frame, Writer};
use crate::counters::{self, Stack};
use crate::esp_keys::{EspKeys, Opener, Sealer};
use crate::output;
use crate::progress::Progress;

/// Decapsulate the packets of a capture.
///
/// With --config, the SAs and policies of a setkey.conf file decide as in a host: packets that pass are written, others
/// are counted by reason. With --esp-keys, every ESP, AH or IPComp packet for whose SA the file has a key is opened, in
/// both directions and any mode, without policies and anti-replay windows; packets without IPsec are written as they
/// are. Fragments are reassembled.
///
/// Exit status: 0 if packets were opened and none was refused, 1 if one was refused or none opened, 2 for errors.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    ipsec-lab open --esp-keys ~/.config/wireshark/esp_sa -v wan.pcap plain.pcap\n  \
    ip xfrm state > keys; tcpdump -w - esp | ipsec-lab open --esp-keys keys - - | tcpdump -r -\n  \
    ipsec-lab open --config /etc/ipsec.conf wan.pcap plain.pcap")]
pub struct OpenArgs {
    #[command(flatten)]
    common: Common,
    /// Output capture: pcap of raw IP; `-` is standard output. Without it, nothing is written.
    output: Option<PathBuf>,
}

/// Protect the packets of a capture.
///
/// With --config, the SAs and policies of a setkey.conf file decide as in a host: packets that pass are written, others
/// are counted by reason. With --esp-keys, an ESP SA in transport mode protects the packets between its addresses; of
/// the SAs in tunnel mode, the first protects packets in the direction of the first one, and the SA with exchanged
/// addresses those in the other. In Wireshark's table, which has no mode, an SA with addresses that are not those of a
/// packet is a tunnel; of rows with wildcards, the first two protect both directions in transport mode.
///
/// Keys of AES-CTR, GCM, CCM and ChaCha20 are never used twice with a sequence number: the numbers are kept in a file
/// beside that of the keys, FILE.sequence.
///
/// Exit status: 0 if packets were protected and none was refused, 1 if one was refused or none protected, 2 for errors.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    ipsec-lab seal --config gateway-a.conf lan.pcap wan.pcap\n  \
    ipsec-lab seal --esp-keys esp_sa -v lan.pcap wan.pcap")]
pub struct SealArgs {
    #[command(flatten)]
    common: Common,
    /// Output capture: pcap of raw IP; `-` is standard output.
    output: PathBuf,
}

/// Arguments of both commands.
#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    sas: SaFile,
    #[command(flatten)]
    loading: LoadingArgs,
    /// Use the configuration as the peer does: its outbound policies and SAs become inbound. Without it, `open`
    /// determines the side by the destination of the packets.
    #[arg(long, conflicts_with = "esp_keys")]
    mirror: bool,
    /// Print one line for each packet: frame number, time, addresses, SPI, sequence number, result or reason, and the
    /// inner packet.
    #[arg(short, long)]
    verbose: bool,
    /// Print one JSON object for each packet, and one with the totals.
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
    /// Show the counters at the end under the names of this stack.
    #[arg(long, value_enum, value_name = "STACK", conflicts_with = "esp_keys")]
    counters: Option<Stack>,
    /// Input capture: pcap or pcapng, also compressed with gzip; `-` is standard input.
    input: PathBuf,
}

/// File of the SAs.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct SaFile {
    /// SAs and policies in the language of setkey(8).
    #[arg(long, value_name = "setkey.conf")]
    config: Option<PathBuf>,
    /// SAs without policies: Wireshark's table esp_sa (also as `uat:esp_sa:` rows), the output of `ip xfrm state`, or
    /// setkey(8); `-` is standard input.
    #[arg(long, value_name = "FILE")]
    esp_keys: Option<PathBuf>,
}

impl Common {
    const fn verbosity(&self) -> Verbosity {
        match (self.json, self.verbose) {
            (true, _) => Verbosity::Json,
            (_, true) => Verbosity::Lines,
            _ => Verbosity::Totals,
        }
    }

    /// Sends the text to the standard error stream if the standard output is the capture, and refuses to read an input
    /// twice or to overwrite it.
    fn check_files(&self, output: Option<&Path>) -> Result<(), Box<dyn Error>> {
        let is_stdin = |path: &Path| path.as_os_str() == "-";
        if is_stdin(&self.input) && self.sas.esp_keys.as_deref().is_some_and(is_stdin) {
            return Err("capture and keys cannot both be standard input".into());
        }
        let Some(output) = output else { return Ok(()) };
        if output.as_os_str() == "-" {
            output::divert();
            return Ok(());
        }
        let same = |input: &Path| {
            let resolved = input.canonicalize().ok();
            resolved.is_some() && resolved == output.canonicalize().ok()
        };
        let inputs = [Some(&self.input), self.sas.config.as_ref(), self.sas.esp_keys.as_ref()];
        match inputs.into_iter().flatten().find(|input| same(input)) {
            Some(input) => Err(format!("{}: the output would overwrite this input", input.display()).into()),
            None => Ok(()),
        }
    }
}

/// Number of packets at the start of a capture by which `open` determines the side.
const LOOK_AHEAD: usize = 10_000;

/// Runs the command `seal`.
pub fn seal(args: &SealArgs) -> Result<ExitCode, Box<dyn Error>> {
    let (common, output) = (&args.common, Some(args.output.as_path()));
    common.check_files(output)?;
    let mut packets = Packets::open(&common.input, None)?;
    if let Some(path) = &common.sas.esp_keys {
        let keys = EspKeys::read(path, common.loading.sha2_256())?;
        let ports = keys.udp_ports().into_iter().collect();
        let mut sealer = Sealer::new(keys)?;
        // Packets of a pipe are not delayed. With a configuration there are no batches, because the time of each
        // packet decides about lifetimes.
        if common.input.is_file() && sealer.gains_from_batches(MAX_BATCH) {
            packets.most = MAX_BATCH;
        }
        let ran = run(packets, common, output, &ports, Kind::Seal, |frames| sealer.seal(frames), |_, _| {})?;
        sealer.finish()?;
        return Ok(ran.finish(common, Kind::Seal, &[]));
    }
    let config = common.loading.read(common.sas.config.as_deref().ok_or("--config is missing")?)?;
    let mut host = Host::with_entropy();
    host.numbers = config.numbers()?;
    packets.look_ahead(1)?;
    through(host, &config, common.mirror, packets, common, output, Kind::Seal)
}

/// Runs the command `open`.
pub fn open(args: &OpenArgs) -> Result<ExitCode, Box<dyn Error>> {
    let (common, output) = (&args.common, args.output.as_deref());
    common.check_files(output)?;
    let mut packets = Packets::open(&common.input, Some(Fragments::default()))?;
    if let Some(path) = &common.sas.esp_keys {
        let mut opener = Opener::new(EspKeys::read(path, common.loading.sha2_256())?);
        let ports = opener.ports().clone();
        let open = one_by_one(|frame| Ok(opener.open(&frame.packet)));
        let ran = run(packets, common, output, &ports, Kind::Open, open, |_, _| {})?;
        return Ok(ran.finish(common, Kind::Open, &[]));
    }
    let config = common.loading.read(common.sas.config.as_deref().ok_or("--config is missing")?)?;
    packets.look_ahead(if common.mirror { 1 } else { LOOK_AHEAD })?;
    let mirrored = common.mirror || is_of_the_other_side(&config, &packets.ahead);
    if mirrored && !common.mirror {
        noteln!("the packets are addressed to the peer of this file: opened with its directions (--mirror)");
    }
    through(Host::with_entropy(), &config, mirrored, packets, common, output, Kind::Open)
}

/// Returns whether more protected packets have the destination of outbound SAs than that of inbound SAs.
fn is_of_the_other_side(config: &Config, packets: &VecDeque<Frame>) -> bool {
    let (mut balance, sas) = (0i64, config.sas());
    for flow in packets.iter().filter_map(|seen| Flow::read(&seen.packet).ok()) {
        if matches!(
            flow.protocol,
            IpProto::ESP | IpProto::AH | IpProto::IPCOMP | IpProto::UDP | IpProto::IPV4 | IpProto::IPV6
        ) {
            let ends = (flow.source, flow.destination);
            for (add, ways) in &sas {
                if (add.id.source.0, add.id.destination.0) == ends {
                    balance +=
                        i64::from(ways.contains(&Direction::Outbound)) - i64::from(ways.contains(&Direction::Inbound));
                }
            }
        }
    }
    balance > 0
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Seal,
    Open,
}

/// Passes the packets through an engine with the SAs and policies of a configuration.
fn through(
    mut host: Host,
    config: &Config,
    mirrored: bool,
    packets: Packets,
    common: &Common,
    output: Option<&Path>,
    kind: Kind,
) -> Result<ExitCode, Box<dyn Error>> {
    let begin = packets.ahead.front().map_or(Duration::ZERO, |first| first.time);
    config.load(&mut host, Instant::from_start(begin), mirrored)?;
    let ports: BTreeSet<u16> = host
        .engine
        .sas()
        .filter_map(|sa| sa.sa?.encap())
        .flat_map(|encap| [encap.ports.source, encap.ports.destination])
        .collect();
    let host = std::cell::RefCell::new(host);
    let process = one_by_one(|frame: &Frame| {
        let (mut host, now) = (host.borrow_mut(), Instant::from_start(frame.time));
        Ok(match kind {
            Kind::Seal => {
                let (sent, packet) = host.send(now, &frame.packet)?;
                (Outcome::from(sent), packet)
            }
            Kind::Open => {
                let (received, packet) = host.receive(now, &frame.packet);
                (Outcome::from(received), packet)
            }
        })
    });
    let events = |frame: &Frame, progress: &Progress| {
        while let Some(event) = host.borrow_mut().engine.poll_event() {
            progress.suspend(|| print_event(common, frame.time, &event));
        }
    };
    let ran = run(packets, common, output, &ports, kind, process, events)?;
    let mut host = host.into_inner();
    let Host { engine, numbers, .. } = &mut host;
    numbers.store_used(engine)?;
    let shown: Vec<_> = common.counters.map_or_else(Vec::new, |stack| {
        counters::rows(engine.counters(), stack).filter(|(_, count)| *count > 0).collect()
    });
    ran.warn_without_policy(config, mirrored, kind);
    Ok(ran.finish(common, kind, &shown))
}

/// Largest number of packets of a batch.
const MAX_BATCH: usize = 32;

/// Processes the packets of a batch one after the other.
fn one_by_one<T>(mut process: impl FnMut(&Frame) -> T) -> impl FnMut(&[Frame]) -> Vec<T> {
    move |frames| frames.iter().map(&mut process).collect()
}

/// Capture that was processed.
struct Ran {
    log: PacketLog,
    packets: Packets,
}

/// Processes every packet of a capture, and writes those that pass.
fn run(
    mut packets: Packets,
    common: &Common,
    output: Option<&Path>,
    ports: &BTreeSet<u16>,
    kind: Kind,
    mut process: impl FnMut(&[Frame]) -> Vec<Result<(Outcome, Vec<u8>), Box<dyn Error>>>,
    after: impl Fn(&Frame, &Progress),
) -> Result<Ran, Box<dyn Error>> {
    let mut writer = output.map(Writer::create).transpose()?;
    let mut log = PacketLog::new(common.verbosity());
    let mut progress = Progress::new("packets", common.verbosity() != Verbosity::Totals);
    'capture: loop {
        let (frames, end) = packets.batch();
        let is_end = frames.is_empty();
        for (frame, processed) in frames.iter().zip(process(&frames)) {
            let (outcome, packet) = processed?;
            if let Some(writer) = writer.as_mut().filter(|_| outcome.passes()) {
                writer.write(frame.time, &packet)?;
            }
            let is_done = outcome.result == PacketResult::Processed;
            let (on_wire, inner) = match kind {
                Kind::Open => (&frame.packet, is_done.then_some(packet.as_slice())),
                Kind::Seal => (&packet, Some(frame.packet.as_slice())),
            };
            let wire = WireHeader::read(on_wire, ports);
            let inner = inner.or_else(|| wire.is_none().then_some(frame.packet.as_slice()));
            log.add(&Processed { frame, wire, inner, outcome: &outcome });
            after(frame, &progress);
            progress.advance();
            let is_useless = |writer: &Writer| writer.is_closed();
            if writer.as_ref().map_or_else(output::is_closed, is_useless) {
                break 'capture;
            }
        }
        end?;
        if is_end {
            break;
        }
    }
    progress.finish();
    if let Some(writer) = writer {
        writer.finish()?;
    }
    Ok(Ran { log, packets })
}

impl Ran {
    /// Prints the totals and returns the exit status.
    fn finish(self, common: &Common, kind: Kind, counters: &[(&'static str, u64)]) -> ExitCode {
        let has_lost = self.packets.print_skipped();
        self.log.print(counters);
        if self.log.packets() == 0 && !has_lost {
            let (name, frames) = (common.input.display(), self.packets.skipped());
            noteln!("ipsec-lab: warning: {name} has no IP packets: frames without IP: {frames}");
        }
        if kind == Kind::Open && self.log.packets() > 0 && self.log.with_ipsec() == 0 {
            noteln!("ipsec-lab: warning: no packet of {} is ESP, AH or IPComp", common.input.display());
        }
        if kind == Kind::Open && self.log.with_wrong_icv() > 0 && self.log.count(PacketResult::Processed) == 0 {
            let hint = "compare keys and algorithms, for SHA2-256 with --sha256-96 as well";
            let failed = self.log.with_wrong_icv();
            noteln!("ipsec-lab: no packet was opened; packets whose ICV verification failed: {failed}; {hint}");
        }
        self.log.exit_code()
    }

    /// Warns if no packet matched a PROTECT policy, with the selectors of the policies.
    fn warn_without_policy(&self, config: &Config, mirrored: bool, kind: Kind) {
        let log = &self.log;
        let has_met = match kind {
            Kind::Seal => log.packets() > log.count(PacketResult::Bypassed),
            Kind::Open => log.count(PacketResult::Processed) > 0 || log.with_ipsec() == 0 || log.with_wrong_icv() > 0,
        };
        if has_met || log.packets() == 0 {
            return;
        }
        let hint = match (kind, mirrored) {
            (Kind::Open, _) => "with the keys alone, `--esp-keys` opens packets without policies",
            (Kind::Seal, false) => {
                "compare the addresses with `ipsec-lab dump -P`, or use the file as the peer does (--mirror)"
            }
            (Kind::Seal, true) => "compare the addresses with `ipsec-lab dump -P`, or omit --mirror",
        };
        noteln!("ipsec-lab: warning: no packet matched a PROTECT policy of {}: {hint}", config.name());
    }
}

fn print_event(common: &Common, time: Duration, event: &SaEvent) {
    let what = match event {
        SaEvent::Acquire(wanted) => {
            format!("acquire: policy {}, template {}, flow {}", wanted.policy, wanted.template, wanted.flow)
        }
        SaEvent::Expire(sa, Expiry::Soft) => format!("soft lifetime expired: {sa}"),
        SaEvent::Expire(sa, Expiry::Hard) => format!("hard lifetime expired: {sa}"),
        SaEvent::SequenceLow(sa) => format!("sequence numbers nearly exhausted: {sa}"),
        SaEvent::NatMapping { sa, source, port } => format!("peer address changed to {source}[{port}]: {sa}"),
        other => format!("{other:?}"),
    };
    let line = format!("{} {what}", seconds(time));
    if common.json {
        noteln!("{line}");
    } else {
        sayln!("{line}");
    }
}
