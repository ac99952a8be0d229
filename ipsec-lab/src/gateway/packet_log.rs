//! Output of `seal` and `open`: a line for each packet, and the totals.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use ipsec_engine::Counter;
use serde_json::{Value, json};

use super::wire_header::WireHeader;
use super::{Outcome, PacketResult};
use crate::capture::Frame;
use crate::{tcpdump, terminal_text};

/// Largest number of SPIs without a key that are listed.
const MAX_SPIS: usize = 16;

/// Output for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Totals of all packets only.
    Totals,
    /// One line for each packet.
    Lines,
    /// One JSON object for each packet.
    Json,
}

/// Packet before and after processing.
pub struct Processed<'p> {
    /// Frame of the capture.
    pub frame: &'p Frame,
    /// IPsec header on the wire, if there is one.
    pub wire: Option<WireHeader>,
    /// Packet without protection, if it is known.
    pub inner: Option<&'p [u8]>,
    /// Result of the packet.
    pub outcome: &'p Outcome,
}

/// Counters of the packets of a run.
pub struct PacketLog {
    verbosity: Verbosity,
    packets: u64,
    outcomes: BTreeMap<&'static str, u64>,
    /// Number of packets by result.
    results: BTreeMap<&'static str, u64>,
    /// Packets with an IPsec header.
    with_ipsec: u64,
    /// Packets whose ICV verification failed.
    with_wrong_icv: u64,
    /// SPIs without a key, with the number of their packets.
    unknown: BTreeMap<(u32, std::net::IpAddr), u64>,
}

impl PacketLog {
    /// Creates a log without packets.
    pub const fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            packets: 0,
            outcomes: BTreeMap::new(),
            results: BTreeMap::new(),
            with_ipsec: 0,
            with_wrong_icv: 0,
            unknown: BTreeMap::new(),
        }
    }

    /// Counts a packet and prints its line.
    pub fn add(&mut self, packet: &Processed<'_>) {
        self.packets += 1;
        *self.outcomes.entry(packet.outcome.name).or_default() += 1;
        *self.results.entry(packet.outcome.result.word()).or_default() += 1;
        self.with_ipsec += u64::from(packet.wire.is_some());
        self.with_wrong_icv += u64::from(packet.outcome.has_wrong_icv());
        if let (Some(wire), Some(Counter::NoSa)) = (packet.wire, packet.outcome.counter) {
            let key = (wire.spi, wire.destination);
            if self.unknown.len() < MAX_SPIS || self.unknown.contains_key(&key) {
                *self.unknown.entry(key).or_default() += 1;
            }
        }
        match self.verbosity {
            Verbosity::Totals => {}
            Verbosity::Lines => sayln!("{}", line(packet)),
            Verbosity::Json => sayln!("{}", terminal_text::json_line(&object(packet))),
        }
    }

    /// Returns the number of packets with a result.
    pub fn count(&self, result: PacketResult) -> u64 {
        self.results.get(result.word()).copied().unwrap_or(0)
    }

    /// Returns the number of packets.
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Returns the number of packets with an IPsec header.
    pub const fn with_ipsec(&self) -> u64 {
        self.with_ipsec
    }

    /// Returns the number of packets whose ICV was wrong.
    pub const fn with_wrong_icv(&self) -> u64 {
        self.with_wrong_icv
    }

    /// Prints the totals. `counters` are those of an engine under the names of a stack.
    pub fn print(&self, counters: &[(&'static str, u64)]) {
        if self.verbosity == Verbosity::Json {
            let counters: BTreeMap<_, _> = counters.iter().copied().collect();
            let totals = json!({"packets": self.packets, "results": self.results, "reasons": self.outcomes,
                "counters": counters});
            sayln!("{}", terminal_text::json_line(&totals));
        } else {
            sayln!("{} packets", self.packets);
            self.outcomes.iter().for_each(|(outcome, count)| sayln!("{count:8} {outcome}"));
            counters.iter().for_each(|(name, count)| sayln!("{count:8} {name}"));
        }
        for ((spi, destination), count) in &self.unknown {
            noteln!("ipsec-lab: no key for SPI {spi:#010x} to {destination}: packets: {count}");
        }
    }

    /// Returns the exit status: success if packets were processed and none was refused.
    pub fn exit_code(&self) -> ExitCode {
        match (self.count(PacketResult::Processed), self.count(PacketResult::Refused)) {
            (1.., 0) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

fn line(packet: &Processed<'_>) -> String {
    let Processed { frame, wire, inner, outcome } = packet;
    let inner = inner.map(tcpdump::summary);
    let result = match (&outcome.reason, outcome.result) {
        (Some(reason), PacketResult::Refused) => format!("refused: {reason}"),
        (Some(reason), _) => format!("ignored: {reason}"),
        (None, _) => outcome.name.to_owned(),
    };
    let wire = wire.map(|wire| format!("{wire} ")).unwrap_or_default();
    let inner = inner.map(|inner| format!(": {inner}")).unwrap_or_default();
    format!("{}: {} {wire}{result}{inner}", frame.number, seconds(frame.time))
}

fn object(packet: &Processed<'_>) -> Value {
    let Processed { frame, wire, inner, outcome } = packet;
    json!({
        "frame": frame.number,
        "time": seconds(frame.time),
        "wire": wire.map(|wire| wire.json()),
        "result": outcome.result.word(),
        "outcome": outcome.name,
        "reason": outcome.reason,
        "inner": inner.and_then(tcpdump::flow),
    })
}

/// Returns the seconds since the epoch with microseconds.
pub fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}
