//! Statements as text. The text contains the keys and is as secret as the text that was parsed.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use super::algorithm::Key;
use super::policy::{PolicyStatement, Range, Selector, Upper};
use super::statement::{Add, Padding, Statement};
use super::values::{SaProtocol, SaSpec, SecurityContext};
use ipsec_sa::{Mode, Priority};

impl fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(sa) => write!(f, "add {sa}")?,
            Self::Update(sa) => write!(f, "update {sa}")?,
            Self::Delete(id) => write!(f, "delete {id}")?,
            Self::Get(id) => write!(f, "get {id}")?,
            Self::DeleteAll { source, destination, protocol } => {
                write!(f, "deleteall {source} {destination} {protocol}")?
            }
            Self::Flush(protocol) => protocol_only(f, "flush", *protocol)?,
            Self::Dump(protocol) => protocol_only(f, "dump", *protocol)?,
            Self::SpdAdd(policy) => write!(f, "spdadd {policy}")?,
            Self::SpdUpdate(policy) => write!(f, "spdupdate {policy}")?,
            Self::SpdDelete(policy) => write!(f, "spddelete {policy}")?,
            Self::SpdFlush => f.write_str("spdflush")?,
            Self::SpdDump => f.write_str("spddump")?,
            Self::Exit => f.write_str("exit")?,
        }
        f.write_str(";")
    }
}

fn protocol_only(f: &mut fmt::Formatter<'_>, name: &str, protocol: Option<SaProtocol>) -> fmt::Result {
    f.write_str(name)?;
    protocol.map_or(Ok(()), |protocol| write!(f, " {protocol}"))
}

fn host(f: &mut fmt::Formatter<'_>, (address, port): (IpAddr, Option<u16>)) -> fmt::Result {
    write!(f, "{address}")?;
    port.map_or(Ok(()), |port| write!(f, "[{port}]"))
}

impl fmt::Display for SaSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(f, self, None)
    }
}

fn write_id(f: &mut fmt::Formatter<'_>, id: &SaSpec, original: Option<IpAddr>) -> fmt::Result {
    host(f, id.source)?;
    f.write_str(" ")?;
    host(f, id.destination)?;
    write!(f, " {}", id.protocol)?;
    if let Some(original) = original {
        write!(f, " {original}")?;
    }
    write!(f, " {:#x}", id.spi)
}

impl fmt::Display for Add<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(f, &self.id, self.original_address)?;
        if self.mode != Mode::Any {
            write!(f, " -m {}", self.mode)?;
        }
        let limits = &self.lifetimes;
        let numbers = [
            ("-u", u64::from(self.reqid)),
            ("-r", u64::from(self.window_octets)),
            ("-lh", limits.hard_seconds),
            ("-ls", limits.soft_seconds),
            ("-bh", limits.hard_bytes),
            ("-bs", limits.soft_bytes),
            ("-esp_frag", self.natt_mtu.into()),
        ];
        numbers.iter().filter(|(_, n)| *n != 0).try_for_each(|(name, n)| write!(f, " {name} {n}"))?;
        if !self.cyclic {
            f.write_str(" -f nocyclic-seq")?;
        }
        match self.padding {
            Padding::Sequence => {}
            Padding::Zero => f.write_str(" -f zero-pad")?,
            Padding::Random => f.write_str(" -f random-pad")?,
        }
        if self.extended {
            f.write_str(" -esn")?;
        }
        if let Some((source, destination)) = self.natt {
            f.write_str(" -natt ")?;
            host(f, source)?;
            f.write_str(" ")?;
            host(f, destination)?;
        }
        write_context(f, self.context)?;
        if let Some((algorithm, key)) = &self.cipher {
            write!(f, " -E {}", algorithm.name)?;
            write_key(f, key)?;
        }
        if let Some((algorithm, key)) = &self.mac {
            write!(f, " -A {}", algorithm.name)?;
            write_key(f, key)?;
        }
        match self.compression {
            Some((algorithm, raw)) => write!(f, " -C {algorithm}{}", if raw { " -R" } else { "" }),
            None => Ok(()),
        }
    }
}

fn write_key(f: &mut fmt::Formatter<'_>, key: &Key<'_>) -> fmt::Result {
    match key {
        // The algorithm needs no key.
        Key::Text([]) => Ok(()),
        Key::Text(octets) => match core::str::from_utf8(octets) {
            Ok(text) => write!(f, " \"{text}\""),
            Err(_) => {
                f.write_str(" 0x")?;
                octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        },
        Key::Hex(digits) => write!(f, " 0x{digits}"),
    }
}

fn write_context(f: &mut fmt::Formatter<'_>, context: Option<SecurityContext<'_>>) -> fmt::Result {
    context.map_or(Ok(()), |SecurityContext { doi, algorithm, context }| {
        write!(f, " -ctx {doi} {algorithm} \"{context}\"")
    })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        match self.port {
            Some(port) => write!(f, "[{port}]"),
            None => f.write_str("[any]"),
        }
    }
}

impl fmt::Display for Upper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Protocol(protocol) => write!(f, "{}", protocol.0),
            // setkey(8) has no syntax for any code. This one is an extension.
            Self::Icmp(protocol, kind, None) => write!(f, "{protocol},{kind}"),
            Self::Icmp(protocol, kind, Some(code)) => write!(f, "{protocol} {kind},{code}"),
            Self::Gre(key) => write!(f, "gre {}", Ipv4Addr::from_bits(*key)),
        }
    }
}

impl fmt::Display for PolicyStatement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Flow { source, destination, upper } => write!(f, "{source} {destination} {upper}")?,
            Selector::Tagged(tag) => write!(f, "tagged \"{tag}\"")?,
        }
        write_context(f, self.context)?;
        write!(f, " -P {}", self.direction)?;
        priority(f, self.priority)?;
        self.action.map_or(Ok(()), |action| write!(f, " {action}"))
    }
}

pub(super) fn priority(f: &mut fmt::Formatter<'_>, priority: Priority) -> fmt::Result {
    let bases = [(Priority::DEFAULT, "def"), (Priority::HIGH, "high"), (Priority::LOW, "low")];
    if priority == Priority::DEFAULT {
        return Ok(());
    }
    let distance = |base: Priority| i64::from(base.0).saturating_sub(i64::from(priority.0));
    let nearest = bases.into_iter().min_by_key(|(base, _)| distance(*base).unsigned_abs());
    let Some((base, name)) = nearest else { return Ok(()) };
    match distance(base) {
        0 => write!(f, " prio {name}"),
        above if above > 0 => write!(f, " prio {name} + {above}"),
        below => write!(f, " prio {name} - {}", below.unsigned_abs()),
    }
}
