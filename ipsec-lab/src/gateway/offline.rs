//! `ipsec-lab seal` and `ipsec-lab open`: a capture through an engine, in one direction.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ipsec_engine::{Direction, Expiry, SaEvent};
use ipsec_packet::{Flow, Instant, IpProto};

use super::{Config, ConfigArgs, Host, Outcome};
use crate::capture::{self, Captured, Writer};
use crate::counters::{self, Stack};

/// Process a capture with the SAs and policies of a setkey.conf file. Packets that pass are written with the times of
/// the capture, others are counted by reason.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Use the file as the peer does: its outbound policies and SAs become inbound. Without it, `open` determines the
    /// side by the destination of the packets.
    #[arg(long)]
    mirror: bool,
    /// Show the counters at the end under the names of this stack.
    #[arg(long, value_enum, value_name = "STACK")]
    counters: Option<Stack>,
    /// Input capture: pcap or pcapng of raw IP, Ethernet, Linux cooked or loopback frames.
    input: PathBuf,
    /// Output capture: pcap of raw IP.
    output: PathBuf,
}

/// Number of packets from which a progress bar is shown.
const LONG: usize = 10_000;

/// Runs the command `seal`.
pub fn seal(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let (config, packets) = (args.config.read()?, read(&args.input)?);
    let mut host = Host::with_entropy();
    host.numbers = config.numbers()?;
    let send = |host: &mut Host, now, packet: &[u8]| {
        let (sent, packet) = host.send(now, packet)?;
        Ok((sent.into(), packet))
    };
    through(host, &config, args.mirror, &packets, args, send)
}

/// Runs the command `open`.
pub fn open(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let (config, packets) = (args.config.read()?, read(&args.input)?);
    let mirrored = args.mirror || is_of_the_other_side(&config, &packets);
    if mirrored && !args.mirror {
        println!("the packets are addressed to the peer of this file: opened with its directions (--mirror)");
    }
    let receive = |host: &mut Host, now, packet: &[u8]| {
        let (received, packet) = host.receive(now, packet);
        Ok((received.into(), packet))
    };
    through(Host::with_entropy(), &config, mirrored, &packets, args, receive)
}

fn read(path: &Path) -> Result<Vec<Captured>, Box<dyn Error>> {
    capture::read(File::open(path).map_err(|e| format!("{}: {e}", path.display()))?)
        .map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Returns whether more protected packets have the destination of outbound SAs than that of inbound SAs.
fn is_of_the_other_side(config: &Config, packets: &[Captured]) -> bool {
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

fn through(
    mut host: Host,
    config: &Config,
    mirrored: bool,
    packets: &[Captured],
    args: &Args,
    mut process: impl FnMut(&mut Host, Instant, &[u8]) -> Result<(Outcome, Vec<u8>), Box<dyn Error>>,
) -> Result<ExitCode, Box<dyn Error>> {
    let begin = packets.first().map_or(Duration::ZERO, |first| first.time);
    config.load(&mut host, Instant::from_start(begin), mirrored)?;
    let (mut writer, mut outcomes) = (Writer::create(&args.output)?, BTreeMap::<_, u64>::new());
    let bar = if packets.len() < LONG { ProgressBar::hidden() } else { ProgressBar::new(packets.len() as u64) };
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} packets, {per_sec}, {eta} left")?);
    for seen in packets {
        let (outcome, packet) = process(&mut host, Instant::from_start(seen.time), &seen.packet)?;
        if outcome.passes {
            writer.write(seen.time, &packet)?;
        }
        *outcomes.entry(outcome.name).or_default() += 1;
        while let Some(event) = host.engine.poll_event() {
            bar.suspend(|| print_event(seen.time, &event));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    host.numbers.store_used(&host.engine)?;
    println!("{} packets", packets.len());
    outcomes.iter().for_each(|(outcome, count)| println!("{count:8} {outcome}"));
    if let Some(stack) = args.counters {
        let shown = counters::rows(host.engine.counters(), stack).filter(|(_, count)| *count > 0);
        shown.for_each(|(name, count)| println!("{count:8} {name}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_event(time: Duration, event: &SaEvent) {
    let what = match event {
        SaEvent::Acquire(wanted) => {
            format!("acquire: policy {}, template {}, flow {}", wanted.policy, wanted.template, wanted.flow)
        }
        SaEvent::Expire(sa, Expiry::Soft) => format!("soft lifetime expired: {sa}"),
        SaEvent::Expire(sa, Expiry::Hard) => format!("hard lifetime expired: {sa}"),
        SaEvent::SequenceLow(sa) => format!("sequence numbers nearly exhausted: {sa}"),
        SaEvent::NatMapping { sa, source, port } => format!("peer moved to {source}[{port}]: {sa}"),
        other => format!("{other:?}"),
    };
    println!("{}.{:06} {what}", time.as_secs(), time.subsec_micros());
}
