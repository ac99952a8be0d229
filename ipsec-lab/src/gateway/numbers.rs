//! Sequence numbers that the keys of a file have used, kept beside the file.
//!
//! Keys in a setkey.conf outlive a run of this tool. Where the nonce of a cipher is the sequence number, no number may be used twice under a
//! key (RFC 3686 section 7, RFC 4106 section 9), so the last one of each SA is stored before it is used.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipsec_engine::SaKey;
use ipsec_engine::setkey::{Add, SaId};
use ipsec_packet::{Seq, SeqWidth};

use super::Databases;
use crate::private_file;

/// Numbers that are stored ahead of use at a time.
const AHEAD: u64 = 4096;
/// Numbers that one packet takes of one SA at most: once for each transform of its policy, with room to spare.
const PER_PACKET: u64 = 16;

/// The numbers that SAs have used before this run.
pub enum Numbers {
    /// The keys were made for this run, or nothing is protected in it.
    New,
    /// They are kept in a file.
    Kept(Kept),
}

/// Numbers kept in a file, which is locked against other runs.
pub struct Kept {
    path: PathBuf,
    /// The highest number that may have been used, by SA.
    last: BTreeMap<String, u64>,
    /// The SAs of this run whose nonces are their sequence numbers.
    sas: Vec<Numbered>,
    /// The configuration, whose lock nobody else has.
    _lock: File,
}

/// An outbound SA.
struct Numbered {
    key: SaKey,
    source: IpAddr,
    name: String,
    width: SeqWidth,
}

impl Numbers {
    /// Those beside a configuration: in `FILE.sequence`.
    pub fn beside(config: &Path) -> Result<Self, Box<dyn Error>> {
        let lock = File::open(config).map_err(|e| format!("{}: {e}", config.display()))?;
        lock.lock().map_err(|e| format!("{}: {e}", config.display()))?;
        let mut path = config.as_os_str().to_owned();
        path.push(".sequence");
        let path = PathBuf::from(path);
        let last = match fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or_else(|| format!("{}: not a file of sequence numbers", path.display()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(format!("{}: {e}", path.display()).into()),
        };
        Ok(Self::Kept(Kept { path, last, sas: Vec::new(), _lock: lock }))
    }

    /// The last number that an SA has used.
    pub fn last(&self, id: &SaId) -> Seq {
        Seq::new(match self {
            Self::New => 0,
            Self::Kept(kept) => kept.last.get(&name(id)).copied().unwrap_or(0),
        })
    }

    /// An outbound SA was installed whose nonce is its sequence number.
    pub fn installed(&mut self, add: &Add<'_>, key: SaKey) {
        if let Self::Kept(kept) = self {
            let width = if add.extended { SeqWidth::Extended64 } else { SeqWidth::Bits32 };
            kept.sas.push(Numbered { key, source: add.id.source.0, name: name(&add.id), width });
        }
    }

    /// Stores numbers ahead, so that what the next packet takes is in the file before it is used.
    pub fn before_a_packet(&mut self, engine: &Databases) -> Result<(), Box<dyn Error>> {
        let Self::Kept(kept) = self else { return Ok(()) };
        let mut behind = false;
        for sa in &kept.sas {
            let Some(used) = sa.used(engine) else { continue };
            let last = kept.last.entry(sa.name.clone()).or_default();
            if used.saturating_add(PER_PACKET).min(sa.width.last()) > *last {
                (*last, behind) = (used.saturating_add(AHEAD).min(sa.width.last()), true);
            }
        }
        if behind { kept.write() } else { Ok(()) }
    }

    /// Stores what was used, as nothing more is.
    pub fn at_the_end(&mut self, engine: &Databases) -> Result<(), Box<dyn Error>> {
        let Self::Kept(kept) = self else { return Ok(()) };
        for sa in &kept.sas {
            if let Some(used) = sa.used(engine) {
                kept.last.insert(sa.name.clone(), used);
            }
        }
        if kept.sas.is_empty() { Ok(()) } else { kept.write() }
    }
}

impl Kept {
    fn write(&self) -> Result<(), Box<dyn Error>> {
        let mut text = "# The last sequence number of each SA. Without this file numbers are used again: keep it as long as the keys.\n".to_owned();
        self.last.iter().try_for_each(|(name, last)| writeln!(text, "{name} {last}"))?;
        private_file::write(&self.path, text.as_bytes())
    }
}

impl Numbered {
    /// The last number that it has used; `None` when it is gone.
    fn used(&self, engine: &Databases) -> Option<u64> {
        let sa = engine.sa(&self.key, self.source)?;
        sa.sa?.transform().sequence().map(Seq::get)
    }
}

fn name(id: &SaId) -> String {
    format!("{} {} {} {:#x}", id.source.0, id.destination.0, id.protocol, id.spi)
}

fn parse(text: &str) -> Option<BTreeMap<String, u64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, last) = line.rsplit_once(' ')?;
            Some((name.to_owned(), last.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let text = "# a comment\n192.0.2.1 198.51.100.1 esp 0x1001 4096\n2001:db8::1 2001:db8::2 ah 0x2 7\n";
        let numbers = parse(text).unwrap();
        assert_eq!(numbers["192.0.2.1 198.51.100.1 esp 0x1001"], 4096);
        assert_eq!(numbers["2001:db8::1 2001:db8::2 ah 0x2"], 7);
        for wrong in ["x", "192.0.2.1 198.51.100.1 esp 0x1001", "a -1", "a 18446744073709551616"] {
            assert_eq!(parse(wrong), None, "{wrong}: never taken for a file without numbers");
        }
    }
}
