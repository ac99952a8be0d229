//! SAD and SPD as text, in the format of `setkey -D` and `setkey -DP`. Keys are not shown.

use core::fmt;
use core::time::Duration;

use ipsec_packet::{AddressRange, Instant, IpProto, PortRange, Upper};
use ipsec_sa::{Action, PolicyId, PolicyParams, Protocol, SaStatus};

use super::algorithm::{cipher_name, mac_name};

/// SA in the format of `setkey -D`. Dates are shown in UTC.
#[derive(Clone, Copy, Debug)]
pub struct DumpSa<'a> {
    /// SA that is shown.
    pub sa: &'a SaStatus,
    /// Time of the dump, on the clock of the SA.
    pub now: Instant,
    /// Wall-clock time at the start of [`Instant`], as the time since 1970 in UTC.
    pub start: Duration,
}

impl fmt::Display for DumpSa<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sa, now, start } = *self;
        let SaStatus { id, source, usage, lifetimes, .. } = sa;
        match sa.encap {
            Some(encap) => {
                writeln!(f, "{source}[{}] {}[{}]", encap.ports.source, id.destination, encap.ports.destination)?;
            }
            None => writeln!(f, "{source} {}", id.destination)?,
        }
        let protocol = match (id.protocol, sa.encap) {
            (Protocol::Esp, Some(_)) => "esp-udp",
            (protocol, _) => protocol.name(),
        };
        let (spi, mode, reqid) = (sa.managed_spi, sa.mode, sa.reqid);
        writeln!(f, "\t{protocol} mode={mode} spi={spi}({spi:#010x}) reqid={reqid}({reqid:#010x})")?;
        if let Some(cipher) = sa.algorithms.cipher {
            writeln!(f, "\tE: {}", cipher_name(cipher).unwrap_or("unknown"))?;
        }
        if let Some(compression) = sa.algorithms.compression {
            writeln!(f, "\tC: {compression}")?;
        }
        if let Some(integrity) = sa.algorithms.integrity {
            writeln!(f, "\tA: {}", mac_name(integrity).unwrap_or("unknown"))?;
        }
        let sequence = sa.sequence.map_or(0, |sequence| sequence.get());
        writeln!(f, "\tseq={sequence:#010x} replay={} flags=0x00000000 state={}", sa.window >> 3, sa.state)?;
        let (hard, soft) = (&lifetimes.hard, &lifetimes.soft);
        let seconds = |limit: Option<Duration>| limit.map_or(0, |limit| limit.as_secs());
        let date = |at: Instant| Date(start.as_secs().saturating_add(at.as_secs()));
        writeln!(f, "\tcreated: {}\tcurrent: {}", date(usage.added), date(now))?;
        let age = now.as_secs().saturating_sub(usage.added.as_secs());
        writeln!(f, "\tdiff: {age}(s)\thard: {}(s)\tsoft: {}(s)", seconds(hard.age), seconds(soft.age))?;
        let last = LastUse(usage.last.map(date));
        writeln!(f, "\tlast: {last}\thard: {}(s)\tsoft: {}(s)", seconds(hard.use_age), seconds(soft.use_age))?;
        let (hard_octets, soft_octets) = (hard.octets.unwrap_or(0), soft.octets.unwrap_or(0));
        writeln!(f, "\tcurrent: {}(bytes)\thard: {hard_octets}(bytes)\tsoft: {soft_octets}(bytes)", usage.octets)?;
        let (hard_packets, soft_packets) = (hard.packets.unwrap_or(0), soft.packets.unwrap_or(0));
        writeln!(f, "\tallocated: {}\thard: {hard_packets}\tsoft: {soft_packets}", usage.packets)?;
        write!(f, "\tdirection={}", id.direction)
    }
}

/// Policy in the format of `setkey -DP`.
#[derive(Clone, Copy, Debug)]
pub struct DumpPolicy<'a> {
    /// Number of the policy.
    pub id: PolicyId,
    /// Policy that is shown.
    pub policy: &'a PolicyParams,
}

impl fmt::Display for DumpPolicy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PolicyParams { selector, direction, priority, action } = self.policy;
        let (from, to) = match selector.upper {
            Upper::Ports(_, from, to) => (from, to),
            _ => (PortRange::ANY, PortRange::ANY),
        };
        end(f, &selector.source, from)?;
        f.write_str(" ")?;
        end(f, &selector.destination, to)?;
        match selector.upper {
            Upper::Any | Upper::Ports(None, ..) => f.write_str(" any")?,
            Upper::Protocol(protocol) | Upper::Ports(Some(protocol), ..) => write!(f, " {}", Named(protocol))?,
            Upper::Icmp(protocol, kind, None) => write!(f, " {},{kind}", Named(protocol))?,
            Upper::Icmp(protocol, kind, Some(code)) => write!(f, " {},{kind},{code}", Named(protocol))?,
        }
        write!(f, "\n\t{direction}")?;
        super::write::priority(f, *priority)?;
        match action {
            Action::Protect(bundle) => {
                f.write_str(" ipsec")?;
                bundle.iter().try_for_each(|template| write!(f, "\n\t{template}"))?;
            }
            other => write!(f, " {other}")?,
        }
        write!(f, "\n\tspid={}", self.id)
    }
}

fn end(f: &mut fmt::Formatter<'_>, addresses: &AddressRange, ports: PortRange) -> fmt::Result {
    match addresses.prefix_length() {
        Some(32) if addresses.first().is_ipv4() => write!(f, "{}", addresses.first())?,
        Some(128) => write!(f, "{}", addresses.first())?,
        _ => write!(f, "{addresses}")?,
    }
    match ports {
        PortRange::ANY => f.write_str("[any]"),
        PortRange { first, last } if first == last => write!(f, "[{first}]"),
        PortRange { first, last } => write!(f, "[{first}-{last}]"),
    }
}

/// Name of an upper-layer protocol in /etc/protocols, or its number.
struct Named(IpProto);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0.0),
        }
    }
}

struct LastUse(Option<Date>);

impl fmt::Display for LastUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(f.pad(""), |last| last.fmt(f))
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 in the format `Nov 21 07:23:34 2026`.
struct Date(u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(seconds) = *self;
        let (days, second) = (seconds.wrapping_div(86_400), seconds.wrapping_rem(86_400));
        let (hour, minute) = (second.wrapping_div(3600), second.wrapping_div(60).wrapping_rem(60));
        let (mut year, mut day) = (1970u64, days);
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            let Some(rest) = day.checked_sub(length).filter(|_| year < 9999) else { break };
            (year, day) = (year.saturating_add(1), rest);
        }
        let february = if is_leap(year) { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31u64];
        let mut month = "Dec";
        for (name, length) in MONTHS.into_iter().zip(lengths) {
            month = name;
            match day.checked_sub(length) {
                Some(rest) => day = rest,
                None => break,
            }
        }
        let (day, second) = (day.saturating_add(1), second.wrapping_rem(60));
        write!(f, "{month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}
