//! SAs and policies of a setkey.conf file.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipsec_config::setkey::{
    self, Add, DumpPolicy, DumpSa, Environment, LoadOptions, Location, PolicyStatement, SaDirections, SaSpec, Sha2256,
    Shown, Statement, StatementError, Statements, Warning,
};
use ipsec_engine::{
    Action, Direction, Mode, PolicyBackend, PolicyDirection, PolicyParams, SaBackend, SaId, SaStatus, TunnelEndpoints,
};
use ipsec_packet::{AddressRange, Instant, Seq, Upper};
use zeroize::Zeroizing;

use super::{Databases, Host, Numbers};
use crate::capture::FileKind;

/// Command line arguments for a setkey.conf file and the properties that it does not specify.
#[derive(clap::Args)]
pub struct ConfigArgs {
    /// SAs and policies in the language of setkey(8).
    #[arg(long, value_name = "setkey.conf")]
    config: PathBuf,
    #[command(flatten)]
    pub loading: LoadingArgs,
}

impl ConfigArgs {
    /// Reads and parses the file.
    pub fn read(&self) -> Result<Config, Box<dyn Error>> {
        self.loading.read(&self.config)
    }
}

/// Command line arguments for the properties that a setkey.conf file does not specify.
#[derive(clap::Args)]
pub struct LoadingArgs {
    /// Truncate HMAC-SHA2-256 to 96 bits, like KAME and Linux PF_KEY.
    #[arg(long)]
    sha256_96: bool,
    /// Accept ESP without an integrity algorithm, which an attacker can modify.
    #[arg(long)]
    allow_unauthenticated: bool,
}

impl LoadingArgs {
    /// Returns the truncation of HMAC-SHA2-256.
    pub const fn sha2_256(&self) -> Sha2256 {
        if self.sha256_96 { Sha2256::Bits96 } else { Sha2256::Bits128 }
    }

    /// Reads and parses a file.
    pub fn read(&self, path: &Path) -> Result<Config, Box<dyn Error>> {
        let loading = LoadOptions {
            sha2_256: self.sha2_256(),
            without_integrity: self.allow_unauthenticated,
            ..LoadOptions::RFC
        };
        Config::read(path, loading)
    }
}

/// Configuration whose statements are well-formed.
pub struct Config {
    name: String,
    /// Path of the file; `None` for a text.
    path: Option<PathBuf>,
    text: Zeroizing<Vec<u8>>,
    loading: LoadOptions,
    directions: Directions,
}

impl Config {
    /// Reads and parses a file.
    pub fn read(path: &Path, loading: LoadOptions) -> Result<Self, Box<dyn Error>> {
        let name = path.display().to_string();
        if path.is_dir() {
            return Err(format!("{name}: a directory, expected a file with statements of setkey(8)").into());
        }
        let text = Zeroizing::new(fs::read(path).map_err(|e| format!("{name}: {e}"))?);
        let expected = "statements of setkey(8)";
        let hint = match FileKind::of(&text[..text.len().min(4096)]) {
            kind @ (FileKind::EspKeys | FileKind::Xfrm) => {
                let found = if kind == FileKind::Xfrm { "output of ip-xfrm(8)" } else { "Wireshark's table esp_sa" };
                Some(format!("expected {expected}, found {found}: `open` and `seal` take it as `--esp-keys`"))
            }
            _ if text.trim_ascii().is_empty() => Some(format!("the file is empty: expected {expected}")),
            kind => kind.as_text(expected),
        };
        if let Some(hint) = hint {
            return Err(format!("{name}: {hint}").into());
        }
        let config = Self::of(&name, text, loading).map_err(|e| format!("{e} (`ipsec-lab check` shows the line)"))?;
        Ok(Self { path: Some(path.to_owned()), ..config })
    }

    /// Parses a text. Statements that are skipped are reported on standard error, once.
    pub fn of(name: &str, text: Zeroizing<Vec<u8>>, loading: LoadOptions) -> Result<Self, Box<dyn Error>> {
        let mut directions = Directions::default();
        let mut statements = Statements::of_bytes(&text);
        while let Some(statement) = statements.next().map_err(|e| format!("{name}: {e}"))? {
            let at = statements.location();
            let skipped = match &statement {
                Statement::SpdAdd(policy) | Statement::SpdUpdate(policy) => match policy.policy() {
                    Ok(policy) => {
                        directions.add(&policy);
                        None
                    }
                    Err(why) if why.is_skipped() => Some(why),
                    Err(why) => return Err(format!("{name}: {at}: {statement} {why}").into()),
                },
                // The direction and the sequence number do not matter for this check.
                Statement::Add(add) | Statement::Update(add) => {
                    add.params(Direction::Inbound, None, &loading).err().filter(StatementError::is_skipped)
                }
                Statement::SpdDelete(policy) => policy.selector().err().filter(StatementError::is_skipped),
                _ => None,
            };
            if let Some(why) = skipped {
                noteln!("{name}: {at}: warning: {why}; statement skipped");
            }
        }
        Ok(Self { name: name.to_owned(), path: None, text, loading, directions })
    }

    /// Returns the name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the sequence numbers that the keys of the file have used, if it is a file.
    pub fn numbers(&self) -> Result<Numbers, Box<dyn Error>> {
        self.path.as_deref().map_or(Ok(Numbers::New), Numbers::of_configuration)
    }

    /// Applies the statements at this time. `mirrored` exchanges the directions, for the host of the peer.
    pub fn load(&self, host: &mut Host, now: Instant, mirrored: bool) -> Result<(), Box<dyn Error>> {
        let turned = if mirrored { Some(with_directions_exchanged(&self.text)?) } else { None };
        let text = turned.as_ref().map_or(self.text.as_slice(), |turned| turned.as_bytes());
        let Host { engine, numbers, start, .. } = host;
        let mut loading = Loading { config: self, mirrored, numbers, now, start: *start, failed: None };
        let applied = setkey::apply_with(&mut **engine, text, &mut loading, &self.loading, now);
        // Without its numbers an SA is refused; the reason is that of the file.
        match loading.failed {
            Some(failed) => Err(failed),
            None => Ok(applied.map_err(|e| format!("{}: {e}", self.name))?),
        }
    }

    /// Returns the selectors of the first outbound PROTECT policy between networks.
    pub fn protected_networks(&self) -> Option<(AddressRange, AddressRange)> {
        let mut statements = Statements::of_bytes(&self.text);
        while let Ok(Some(statement)) = statements.next() {
            let (Statement::SpdAdd(policy) | Statement::SpdUpdate(policy)) = statement else { continue };
            let Ok(policy) = policy.policy() else { continue };
            let is_protect = matches!(policy.action, Action::Protect(_)) && policy.direction == PolicyDirection::Out;
            if is_protect && policy.selector.upper == Upper::Any {
                return Some((policy.selector.source, policy.selector.destination));
            }
        }
        None
    }

    /// Returns the SAs of the file with the directions in which its policies use them.
    pub fn sas(&self) -> Vec<(Add<'_>, Vec<Direction>)> {
        let mut statements = Statements::of_bytes(&self.text);
        let mut sas = Vec::new();
        while let Ok(Some(statement)) = statements.next() {
            if let Statement::Add(add) | Statement::Update(add) = statement {
                sas.push((add, directions(self.directions.of_sa(&add.id))));
            }
        }
        sas
    }
}

/// Environment of a configuration that is loaded into a host.
struct Loading<'l> {
    config: &'l Config,
    mirrored: bool,
    numbers: &'l mut Numbers,
    now: Instant,
    /// Wall-clock time at the start of the clock.
    start: Duration,
    /// Error of the file of sequence numbers.
    failed: Option<Box<dyn Error>>,
}

impl Environment for Loading<'_> {
    fn directions(&self, sa: &SaSpec) -> SaDirections {
        match self.config.directions.of_sa(sa) {
            SaDirections::Inbound if self.mirrored => SaDirections::Outbound,
            SaDirections::Outbound if self.mirrored => SaDirections::Inbound,
            directions => directions,
        }
    }

    fn last_sequence(&mut self, sa: &SaSpec) -> Option<Seq> {
        self.numbers.last(sa).map_err(|e| self.failed = Some(e)).ok()
    }

    fn added(&mut self, sa: &Add<'_>, id: SaId, is_numbered: bool) {
        if is_numbered {
            self.numbers.installed(sa, id);
        }
    }

    fn warning(&mut self, at: Location, statement: &Statement<'_>, warning: Warning) {
        // Statements that are skipped were reported when the file was read.
        match (warning, statement) {
            (Warning::Skipped(_), _) => {}
            (_, Statement::Add(add) | Statement::Update(add)) => {
                noteln!("{}: {at}: add {}: warning: {warning}", self.config.name, add.id);
            }
            _ => noteln!("{}: {at}: {statement} warning: {warning}", self.config.name),
        }
    }

    fn show(&mut self, shown: Shown<'_>) {
        match shown {
            Shown::Sa(sa) => sayln!("{}", DumpSa { sa, now: self.now, start: self.start }),
            Shown::Policy(id, policy) => sayln!("{}", DumpPolicy { id, policy }),
            Shown::NoSa => sayln!("No SAD entries."),
            Shown::NoPolicy => sayln!("No SPD entries."),
            _ => {}
        }
    }
}

/// Returns the configuration of the peer: inbound and outbound policies are exchanged. `in` and `fwd` of Linux are one
/// outbound policy of the peer.
fn with_directions_exchanged(text: &[u8]) -> Result<Zeroizing<String>, Box<dyn Error>> {
    let mut statements = Statements::of_bytes(text);
    let (mut exchanged, mut known) = (Zeroizing::new(String::new()), BTreeSet::new());
    while let Some(statement) = statements.next()? {
        let statement = match statement {
            Statement::SpdAdd(policy) => {
                let is_inbound = policy.direction != PolicyDirection::Out;
                let policy = of_peer(policy);
                if is_inbound && !known.insert(format!("{}", Statement::SpdDelete(policy))) {
                    continue;
                }
                Statement::SpdAdd(policy)
            }
            Statement::SpdUpdate(policy) => Statement::SpdUpdate(of_peer(policy)),
            Statement::SpdDelete(policy) => Statement::SpdDelete(of_peer(policy)),
            other => other,
        };
        writeln!(exchanged, "{statement}")?;
    }
    Ok(exchanged)
}

/// Returns a policy with the direction that it has at the peer.
fn of_peer(mut policy: PolicyStatement<'_>) -> PolicyStatement<'_> {
    policy.direction = match policy.direction {
        PolicyDirection::Out => PolicyDirection::In,
        PolicyDirection::In | PolicyDirection::Forward => PolicyDirection::Out,
    };
    policy
}

fn directions(of_sa: SaDirections) -> Vec<Direction> {
    match of_sa {
        SaDirections::Inbound => vec![Direction::Inbound],
        SaDirections::Outbound => vec![Direction::Outbound],
        SaDirections::Both => vec![Direction::Inbound, Direction::Outbound],
    }
}

/// Directions of the SAs of a file. A statement does not specify the direction, but the policies that use the SA do.
/// SAs that later statements delete are included.
#[derive(Default)]
struct Directions {
    /// Policies with both endpoints of a tunnel or both hosts of transport mode.
    between: BTreeMap<(IpAddr, IpAddr), Served>,
    /// Policies with an unspecified endpoint, or for networks in transport mode.
    open: Vec<(PolicyDirection, OpenEnds)>,
}

/// Set if outbound, or inbound, policies use the SA.
#[derive(Clone, Copy, Default)]
struct Served {
    out: bool,
    inward: bool,
}

enum OpenEnds {
    Tunnel(TunnelEndpoints),
    Transport(AddressRange, AddressRange),
}

impl Directions {
    fn add(&mut self, policy: &PolicyParams) {
        let Action::Protect(bundle) = policy.action else { return };
        let (from, to) = (policy.selector.source, policy.selector.destination);
        for request in bundle.iter() {
            match request.ends {
                Some(ends) => match (ends.source.0, ends.destination.0) {
                    (Some(source), Some(destination)) => self.serve((source, destination), policy.direction),
                    _ => self.open.push((policy.direction, OpenEnds::Tunnel(ends))),
                },
                None if request.mode != Mode::Transport => {}
                None if from.first() == from.last() && to.first() == to.last() => {
                    self.serve((from.first(), to.first()), policy.direction);
                }
                None => self.open.push((policy.direction, OpenEnds::Transport(from, to))),
            }
        }
    }

    fn serve(&mut self, ends: (IpAddr, IpAddr), direction: PolicyDirection) {
        self.between.entry(ends).or_default().serve(direction);
    }

    /// Returns the directions of an SA. An SA that no policy uses is inbound, as no packet would be sent with it.
    fn of_sa(&self, sa: &SaSpec) -> SaDirections {
        let ends @ (source, destination) = (sa.source.0, sa.destination.0);
        let mut served = self.between.get(&ends).copied().unwrap_or_default();
        for (direction, open) in &self.open {
            let serves = match open {
                OpenEnds::Tunnel(ends) => ends.matches(source, destination),
                OpenEnds::Transport(from, to) => from.contains(source) && to.contains(destination),
            };
            if serves {
                served.serve(*direction);
            }
        }
        match (served.inward, served.out) {
            (true, true) => SaDirections::Both,
            (false, true) => SaDirections::Outbound,
            (_, false) => SaDirections::Inbound,
        }
    }
}

impl Served {
    fn serve(&mut self, direction: PolicyDirection) {
        match direction {
            PolicyDirection::Out => self.out = true,
            PolicyDirection::In | PolicyDirection::Forward => self.inward = true,
        }
    }
}

/// Prints the SAs in the format of `setkey -D`.
pub fn print_sas(host: &Host, now: Instant) {
    let mut is_empty = true;
    SaBackend::dump(&*host.engine, &mut |sa: &SaStatus| {
        is_empty = false;
        sayln!("{}", DumpSa { sa, now, start: host.start });
    });
    if is_empty {
        sayln!("No SAD entries.");
    }
}

/// Prints the policies in the format of `setkey -DP`.
pub fn print_policies(engine: &Databases) {
    let mut is_empty = true;
    PolicyBackend::dump_policies(engine, &mut |id, policy: &PolicyParams| {
        is_empty = false;
        sayln!("{}", DumpPolicy { id, policy });
    });
    if is_empty {
        sayln!("No SPD entries.");
    }
}
