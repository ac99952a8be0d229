//! A setkey.conf file into the databases.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipsec_engine::setkey::{
    Add, ApplyError, DumpPolicy, DumpSa, Loading, PolicyStatement, SaProtocol, SaSpec, Sha2256, Statement, Statements,
};
use ipsec_engine::{Action, Direction, Mode, Policy, PolicyDirection, Protocol, SaId, TunnelEndpoints};
use ipsec_packet::AddressRange;
use zeroize::Zeroizing;

use super::{Host, Numbers};

/// Which file, and what it leaves open.
#[derive(clap::Args)]
pub struct ConfigArgs {
    /// SAs and policies, in the language of setkey(8).
    #[arg(long, value_name = "setkey.conf")]
    config: PathBuf,
    /// Cut HMAC-SHA2-256 to 96 bits, as KAME and Linux's PF_KEY do.
    #[arg(long)]
    sha256_96: bool,
    /// Accept ESP without a MAC, which anybody on the way can tamper with.
    #[arg(long)]
    allow_unauthenticated: bool,
}

impl ConfigArgs {
    /// Reads the file.
    pub fn read(&self) -> Result<Config, Box<dyn Error>> {
        let sha2_256 = if self.sha256_96 { Sha2256::Bits96 } else { Sha2256::Bits128 };
        let loading = Loading { sha2_256, without_integrity: self.allow_unauthenticated, ..Loading::RFC };
        Config::read(&self.config, loading)
    }
}

/// A file whose statements are well-formed.
pub struct Config {
    name: String,
    /// The file, where it is one.
    path: Option<PathBuf>,
    text: Zeroizing<Vec<u8>>,
    loading: Loading,
    directions: Directions,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path, loading: Loading) -> Result<Self, Box<dyn Error>> {
        let name = path.display().to_string();
        let text = Zeroizing::new(fs::read(path).map_err(|e| format!("{name}: {e}"))?);
        Ok(Self { path: Some(path.to_owned()), ..Self::of(&name, text, loading)? })
    }

    /// Reads a text. What this tool leaves aside is said on standard error, once.
    pub fn of(name: &str, text: Zeroizing<Vec<u8>>, loading: Loading) -> Result<Self, Box<dyn Error>> {
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
                // Whichever way it goes, and under whatever number.
                Statement::Add(add) | Statement::Update(add) => {
                    add.sa(Direction::Inbound, None, &loading).err().filter(ApplyError::is_skipped)
                }
                Statement::SpdDelete(policy) => policy.selector().err().filter(ApplyError::is_skipped),
                _ => None,
            };
            if let Some(why) = skipped {
                eprintln!("{name}: {at}: warning: {why}; the statement is left aside");
            }
        }
        Ok(Self { name: name.to_owned(), path: None, text, loading, directions })
    }

    /// The sequence numbers that the keys of the file have used, where it is a file.
    pub fn numbers(&self) -> Result<Numbers, Box<dyn Error>> {
        self.path.as_deref().map_or(Ok(Numbers::New), Numbers::beside)
    }

    /// Does what the statements say, at this time. `mirrored`: for the other side, where what is out here comes in.
    pub fn load(&self, host: &mut Host, now: Duration, mirrored: bool) -> Result<(), Box<dyn Error>> {
        let mut statements = Statements::of_bytes(&self.text);
        while let Ok(Some(statement)) = statements.next() {
            let at = statements.location();
            let problem = |why: &dyn std::fmt::Display| match &statement {
                // Not the statement itself: there are keys in it.
                Statement::Add(add) | Statement::Update(add) => format!("{}: {at}: add {}: {why}", self.name, add.id),
                statement => format!("{}: {at}: {statement} {why}", self.name),
            };
            match self.apply(host, &statement, now, mirrored) {
                Ok(Applied::Done) => {}
                Ok(Applied::NotThere) => eprintln!("{}", problem(&"warning: there is no such entry")),
                Err(why) if why.downcast_ref().is_some_and(ApplyError::is_skipped) => {} // said before
                Err(why) => return Err(problem(&why).into()),
            }
        }
        Ok(())
    }

    /// The SAs of the file, with the ways that its policies use them.
    pub fn sas(&self) -> Vec<(Add<'_>, Vec<Direction>)> {
        let mut statements = Statements::of_bytes(&self.text);
        let mut sas = Vec::new();
        while let Ok(Some(statement)) = statements.next() {
            if let Statement::Add(add) | Statement::Update(add) = statement {
                sas.push((add, self.directions.of_sa(&add)));
            }
        }
        sas
    }

    fn apply(
        &self,
        host: &mut Host,
        statement: &Statement<'_>,
        now: Duration,
        mirrored: bool,
    ) -> Result<Applied, Box<dyn Error>> {
        match statement {
            Statement::Add(add) | Statement::Update(add) => {
                for direction in self.directions.of_sa(add) {
                    let direction = if mirrored { other(direction) } else { direction };
                    let inner = self.directions.inner(add);
                    let (sa, is_numbered) = match add.sa(direction, inner, &self.loading) {
                        Err(ApplyError::NonceReuse(_)) => {
                            let loading = self.loading.continuing_after(host.numbers.last(&add.id)?);
                            (add.sa(direction, inner, &loading)?, true)
                        }
                        sa => (sa?, false),
                    };
                    if let Statement::Update(_) = statement {
                        host.engine.remove(&sa.key(), add.id.source.0);
                    }
                    let key = host.engine.install(sa, now).map_err(|refused| refused.to_string())?;
                    if is_numbered {
                        host.numbers.installed(add, key);
                    }
                }
            }
            Statement::Delete(id) => return Ok(remove(host, |sa| is(sa, id))),
            Statement::DeleteAll { source, destination, protocol } => {
                return Ok(remove(host, |sa| {
                    (sa.1, sa.0.destination) == (*source, *destination) && of(sa, Some(*protocol))
                }));
            }
            Statement::Flush(protocol) => drop(remove(host, |sa| of(sa, *protocol))),
            Statement::Get(id) => print_sas(host, now, |sa| is(sa, id)),
            Statement::Dump(protocol) => print_sas(host, now, |sa| of(sa, *protocol)),
            Statement::SpdAdd(statement) => {
                let policy = self.policy(statement, mirrored)?;
                // `in` and `fwd` of Linux are one way out on the other side.
                let is_twice = mirrored
                    && statement.direction != PolicyDirection::Out
                    && host.engine.find_policy(policy.direction, &policy.selector).is_some();
                if !is_twice {
                    host.engine.add_policy(policy)?;
                }
            }
            Statement::SpdUpdate(policy) => {
                let policy = self.policy(policy, mirrored)?;
                if let Some(id) = host.engine.find_policy(policy.direction, &policy.selector) {
                    host.engine.remove_policy(id);
                }
                host.engine.add_policy(policy)?;
            }
            Statement::SpdDelete(policy) => {
                let direction = if mirrored { turned(policy.direction) } else { policy.direction };
                match host.engine.find_policy(direction, &policy.selector()?) {
                    Some(id) => drop(host.engine.remove_policy(id)),
                    None => return Ok(Applied::NotThere),
                }
            }
            Statement::SpdFlush => {
                let ids: Vec<_> = host.engine.policies().map(|(id, _)| id).collect();
                for id in ids {
                    host.engine.remove_policy(id);
                }
            }
            Statement::SpdDump => print_policies(host),
            Statement::Exit => {}
            _ => return Err("a statement that this tool does not know".into()),
        }
        Ok(Applied::Done)
    }

    fn policy(&self, statement: &PolicyStatement<'_>, mirrored: bool) -> Result<Policy, Box<dyn Error>> {
        let policy = statement.policy()?;
        let direction = if mirrored { turned(policy.direction) } else { policy.direction };
        Ok(Policy { direction, ..policy })
    }
}

/// What became of a statement.
enum Applied {
    Done,
    /// It takes back what is not there.
    NotThere,
}

/// Removes the SAs that a statement names.
fn remove(host: &mut Host, which: impl Fn(&Seen) -> bool) -> Applied {
    let keys = keys(host, which);
    for (key, source) in &keys {
        host.engine.remove(key, *source);
    }
    if keys.is_empty() { Applied::NotThere } else { Applied::Done }
}

/// Which ways the SAs of a file go: a statement does not say, but the policies that it serves do. Those that other statements take back are
/// among them: what they say about which SA is whose is true all the same.
#[derive(Default)]
struct Directions {
    /// By both ends of a tunnel, or both hosts of transport mode.
    between: BTreeMap<(IpAddr, IpAddr), Served>,
    /// Policies that leave an end open, or are for networks in transport mode.
    open: Vec<(PolicyDirection, OpenEnds)>,
    /// Inner addresses of SAs in BEET mode, by their ends.
    beet: BTreeMap<(IpAddr, IpAddr), (IpAddr, IpAddr)>,
}

/// Whether outbound and inbound policies are served.
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
    fn add(&mut self, policy: &Policy) {
        let Action::Ipsec(bundle) = policy.action else { return };
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
            if let (
                Mode::Beet,
                Some(TunnelEndpoints { source: (Some(source), _), destination: (Some(destination), _) }),
            ) = (request.mode, request.ends)
            {
                self.beet.entry((source, destination)).or_insert((from.first(), to.first()));
            }
        }
    }

    fn serve(&mut self, ends: (IpAddr, IpAddr), direction: PolicyDirection) {
        self.between.entry(ends).or_default().serve(direction);
    }

    /// An SA that no policy uses is inbound: nothing would be sent by it.
    fn of_sa(&self, add: &Add<'_>) -> Vec<Direction> {
        let ends @ (source, destination) = (add.id.source.0, add.id.destination.0);
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
            (true, true) => vec![Direction::Inbound, Direction::Outbound],
            (false, true) => vec![Direction::Outbound],
            (_, false) => vec![Direction::Inbound],
        }
    }

    /// The addresses of the packets inside an SA of BEET mode: those of the hosts whose policy it serves.
    fn inner(&self, add: &Add<'_>) -> Option<(IpAddr, IpAddr)> {
        self.beet.get(&(add.id.source.0, add.id.destination.0)).copied()
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

fn other(direction: Direction) -> Direction {
    if direction == Direction::Outbound { Direction::Inbound } else { Direction::Outbound }
}

fn turned(direction: PolicyDirection) -> PolicyDirection {
    if direction == PolicyDirection::Out { PolicyDirection::In } else { PolicyDirection::Out }
}

/// The name of an SA and its source, and the number it is shown under.
type Seen = (SaId, IpAddr, u32);

fn seen(host: &Host) -> impl Iterator<Item = Seen> {
    host.engine.sas().map(|sa| {
        let index = sa.sa.map_or(0, |sa| sa.label().index);
        (sa.key, sa.source, if index == 0 { sa.key.spi } else { index })
    })
}

fn keys(host: &Host, which: impl Fn(&Seen) -> bool) -> Vec<(SaId, IpAddr)> {
    seen(host).filter(which).map(|(key, source, _)| (key, source)).collect()
}

fn is(sa: &Seen, id: &SaSpec) -> bool {
    (sa.1, sa.0.destination, sa.2) == (id.source.0, id.destination.0, id.spi) && of(sa, Some(id.protocol))
}

fn of(sa: &Seen, protocol: Option<SaProtocol>) -> bool {
    protocol.is_none_or(|protocol| match protocol {
        SaProtocol::Esp | SaProtocol::EspUdp => sa.0.protocol == Protocol::Esp,
        SaProtocol::Ah => sa.0.protocol == Protocol::Ah,
        SaProtocol::Ipcomp => sa.0.protocol == Protocol::Ipcomp,
        SaProtocol::EspOld | SaProtocol::AhOld | SaProtocol::Tcp => false,
    })
}

/// The SAs, as `setkey -D` shows them.
pub fn print_sas(host: &Host, now: Duration, which: impl Fn(&Seen) -> bool) {
    let chosen = keys(host, which);
    if chosen.is_empty() {
        println!("No SAD entries.");
    }
    for (key, source) in chosen {
        if let Some(sa) = host.engine.sa(&key, source) {
            println!("{}", DumpSa { sa, now });
        }
    }
}

/// The policies, as `setkey -DP` shows them.
pub fn print_policies(host: &Host) {
    if host.engine.policies().next().is_none() {
        println!("No SPD entries.");
    }
    for (id, policy) in host.engine.policies() {
        println!("{}", DumpPolicy { id, policy });
    }
}
