//! Sequence numbers that the keys of a configuration have used, stored in a file beside it.
//!
//! Keys in a setkey.conf outlive a run of this tool. If the nonce of a cipher contains the sequence number, no
//! number may be used twice with a key (RFC 3686 section 7, RFC 4106 section 9). The last number of each SA is
//! therefore stored before it is used.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::fs::{self, File, TryLockError};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipsec_config::setkey::{Add, SaProtocol, SaSpec};
use ipsec_engine::SaId;
use ipsec_packet::{Seq, SeqWidth};

use super::Databases;
use crate::private_file;

/// Number of sequence numbers that are stored ahead of use at a time.
const AHEAD: u64 = 4096;
/// Largest number of sequence numbers that one packet uses of one SA: one for each template of its policy, with a
/// reserve.
const PER_PACKET: u64 = 16;

/// Sequence numbers that SAs have used before this run.
pub enum Numbers {
    /// The keys were created for this run, or no packet is sealed in it.
    New,
    /// The numbers are stored beside this configuration, and no SA has needed them yet.
    Unopened(PathBuf),
    /// The numbers are stored in a file that is open.
    SequenceFile(SequenceFile),
}

/// File of sequence numbers, locked against other runs.
pub struct SequenceFile {
    path: PathBuf,
    /// Highest number that may have been used, by SA.
    last: BTreeMap<String, u64>,
    /// SAs of this run whose nonces contain the sequence number.
    sas: Vec<Numbered>,
    /// Lock file. It is separate, because the file of numbers is replaced during use.
    _lock: File,
}

/// Outbound SA whose numbers are stored.
struct Numbered {
    key: SaId,
    source: IpAddr,
    name: String,
    width: SeqWidth,
}

impl Numbers {
    /// Returns the numbers of a configuration: in `FILE.sequence`, locked by `FILE.sequence.lock`, where `FILE` is
    /// the path without symbolic links. Both files are created when an SA needs them.
    pub fn of_configuration(config: &Path) -> Result<Self, Box<dyn Error>> {
        Ok(Self::Unopened(fs::canonicalize(config).map_err(|e| format!("{}: {e}", config.display()))?))
    }

    /// Returns the last number that an SA has used.
    pub fn last(&mut self, id: &SaSpec) -> Result<Seq, Box<dyn Error>> {
        Ok(Seq::new(self.last_of(&name(id))?))
    }

    /// Returns the last number that the SA with this name in the file has used.
    pub fn last_of(&mut self, name: &str) -> Result<u64, Box<dyn Error>> {
        if let Self::Unopened(config) = self {
            *self = Self::SequenceFile(SequenceFile::open(config)?);
        }
        Ok(match self {
            Self::New | Self::Unopened(_) => 0,
            Self::SequenceFile(kept) => kept.last.get(name).copied().unwrap_or(0),
        })
    }

    /// Stores numbers ahead for the SA with this name, which has used the number `used`.
    pub fn reserve(&mut self, name: &str, used: u64, width: SeqWidth) -> Result<(), Box<dyn Error>> {
        let Self::SequenceFile(kept) = self else { return Ok(()) };
        let last = kept.last.entry(name.to_owned()).or_default();
        if used.saturating_add(PER_PACKET).min(width.last()) <= *last {
            return Ok(());
        }
        *last = used.saturating_add(AHEAD).min(width.last());
        kept.write()
    }

    /// Stores the numbers that SAs have used by their names, at the end of a run.
    pub fn store<'n>(&mut self, used: impl Iterator<Item = (&'n str, u64)>) -> Result<(), Box<dyn Error>> {
        let Self::SequenceFile(kept) = self else { return Ok(()) };
        kept.last.extend(used.map(|(name, used)| (name.to_owned(), used)));
        kept.write()
    }

    /// Registers an outbound SA whose nonce contains the sequence number.
    pub fn installed(&mut self, add: &Add<'_>, key: SaId) {
        if let Self::SequenceFile(kept) = self {
            let width = if add.extended { SeqWidth::Extended64 } else { SeqWidth::Bits32 };
            kept.sas.push(Numbered { key, source: add.id.source.0, name: name(&add.id), width });
        }
    }

    /// Stores numbers ahead, so that those of the next packet are in the file before they are used.
    pub fn store_ahead(&mut self, engine: &Databases) -> Result<(), Box<dyn Error>> {
        let Self::SequenceFile(kept) = self else { return Ok(()) };
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

    /// Stores the numbers that were used, at the end of a run.
    pub fn store_used(&mut self, engine: &Databases) -> Result<(), Box<dyn Error>> {
        let Self::SequenceFile(kept) = self else { return Ok(()) };
        for sa in &kept.sas {
            if let Some(used) = sa.used(engine) {
                kept.last.insert(sa.name.clone(), used);
            }
        }
        if kept.sas.is_empty() { Ok(()) } else { kept.write() }
    }
}

impl SequenceFile {
    fn open(config: &Path) -> Result<Self, Box<dyn Error>> {
        let path = with_suffix(config, ".sequence");
        let problem = |e: &dyn Display| format!("{}: {e}", path.display());
        let mut options = File::options();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(with_suffix(config, ".sequence.lock")).map_err(|e| problem(&e))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => problem(&"the keys are in use by another process"),
            TryLockError::Error(e) => problem(&e),
        })?;
        let last = match fs::read_to_string(&path) {
            Ok(text) => parse(&text).ok_or_else(|| problem(&"incomplete file of sequence numbers"))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(problem(&e).into()),
        };
        Ok(Self { path, last, sas: Vec::new(), _lock: lock })
    }

    fn write(&self) -> Result<(), Box<dyn Error>> {
        private_file::write(&self.path, text(&self.last).as_bytes())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Numbered {
    /// Returns the last number that the SA has used; `None` if it was removed.
    fn used(&self, engine: &Databases) -> Option<u64> {
        let sa = engine.sa(&self.key, self.source)?;
        sa.sa?.transform().sequence().map(Seq::get)
    }
}

/// Returns the name of an SA in the file. ESP in UDP has the name of ESP, because the key is the same.
fn name(id: &SaSpec) -> String {
    let protocol = if id.protocol == SaProtocol::EspUdp { SaProtocol::Esp } else { id.protocol };
    format!("{} {} {protocol} {:#x}", id.source.0, id.destination.0, id.spi)
}

fn text(last: &BTreeMap<String, u64>) -> String {
    let mut text =
        "# The last sequence number of each SA. Without this file numbers are used again: keep it as long as the keys.\n"
            .to_owned();
    for (name, last) in last {
        text += &format!("{name} {last}\n");
    }
    text + &format!("end {}\n", last.len())
}

/// Parses a complete file: its last line contains the number of SAs.
fn parse(text: &str) -> Option<BTreeMap<String, u64>> {
    let mut lines: Vec<_> = text.strip_suffix('\n')?.lines().filter(|line| !line.starts_with('#')).collect();
    let count: usize = lines.pop()?.strip_prefix("end ")?.parse().ok()?;
    let entry = |line: &str| line.rsplit_once(' ').and_then(|(name, last)| Some((name.to_owned(), last.parse().ok()?)));
    let numbers: BTreeMap<_, _> = lines.into_iter().map(entry).collect::<Option<_>>()?;
    (numbers.len() == count).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_sequence_numbers_are_read_back() {
        let numbers = BTreeMap::from([
            ("192.0.2.1 198.51.100.1 esp 0x1001".to_owned(), 4096),
            ("2001:db8::1 2001:db8::2 ah 0x2".to_owned(), u64::MAX),
        ]);
        assert_eq!(parse(&text(&numbers)), Some(numbers));
        assert_eq!(parse(&text(&BTreeMap::new())), Some(BTreeMap::new()));
    }

    #[test]
    fn incomplete_files_are_refused() {
        let whole = text(&BTreeMap::from([("192.0.2.1 198.51.100.1 esp 0x1001".to_owned(), 4096)]));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{:?}", &whole[..length]);
        }
        for wrong in
            ["end 1\n", "a 1\nend 0\n", "a -1\nend 1\n", "a 18446744073709551616\nend 1\n", "a 1\na 2\nend 2\n"]
        {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
