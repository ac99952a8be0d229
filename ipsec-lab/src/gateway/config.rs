//! SAs and policies of a setkey.conf file.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipsec_engine::setkey::{
    Add, ApplyError, DumpPolicy, DumpSa, LoadOptions, PolicyStatement, SaProtocol, SaSpec, Sha2256, Statement,
    Statements,
};
use ipsec_engine::{Action, Direction, Mode, Policy, PolicyDirection, Protocol, SaId, TunnelEndpoints};
use ipsec_packet::AddressRange;
use zeroize::Zeroizing;

use super::{Host, Numbers};

/// Command line arguments for a setkey.conf file and the properties that it does not specify.
#[derive(clap::Args)]
pub struct ConfigArgs {
    /// SAs and policies in the language of setkey(8).
    #[arg(long, value_name = "setkey.conf")]
    config: PathBuf,
    /// Truncate HMAC-SHA2-256 to 96 bits, like KAME and Linux PF_KEY.
    #[arg(long)]
    sha256_96: bool,
    /// Accept ESP without an integrity algorithm, which an attacker can modify.
    #[arg(long)]
    allow_unauthenticated: bool,
}

impl ConfigArgs {
    /// Reads and parses the file.
    pub fn read(&self) -> Result<Config, Box<dyn Error>> {
        let sha2_256 = if self.sha256_96 { Sha2256::Bits96 } else { Sha2256::Bits128 };
        let loading = LoadOptions { sha2_256, without_integrity: self.allow_unauthenticated, ..LoadOptions::RFC };
        Config::read(&self.config, loading)
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
        let text = Zeroizing::new(fs::read(path).map_err(|e| format!("{name}: {e}"))?);
        Ok(Self { path: Some(path.to_owned()), ..Self::of(&name, text, loading)? })
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
                    add.sa(Direction::Inbound, None, &loading).err().filter(ApplyError::is_skipped)
                }
                Statement::SpdDelete(policy) => policy.selector().err().filter(ApplyError::is_skipped),
                _ => None,
            };
            if let Some(why) = skipped {
                eprintln!("{name}: {at}: warning: {why}; statement skipped");
            }
        }
        Ok(Self { name: name.to_owned(), path: None, text, loading, directions })
    }

    /// Returns the sequence numbers that the keys of the file have used, if it is a file.
    pub fn numbers(&self) -> Result<Numbers, Box<dyn Error>> {
        self.path.as_deref().map_or(Ok(Numbers::New), Numbers::of_configuration)
    }

    /// Applies the statements at this time. `mirrored` exchanges the directions, for the host of the peer.
    pub fn load(&self, host: &mut Host, now: Duration, mirrored: bool) -> Result<(), Box<dyn Error>> {
        let mut statements = Statements::of_bytes(&self.text);
        while let Ok(Some(statement)) = statements.next() {
            let at = statements.location();
            let problem = |why: &dyn std::fmt::Display| match &statement {
                // The statement is not printed, as it contains keys.
                Statement::Add(add) | Statement::Update(add) => format!("{}: {at}: add {}: {why}", self.name, add.id),
                statement => format!("{}: {at}: {statement} {why}", self.name),
            };
            match self.apply(host, &statement, now, mirrored) {
                Ok(Applied::Done) => {}
                Ok(Applied::NotThere) => eprintln!("{}", problem(&"warning: no such entry")),
                Err(why) if why.downcast_ref().is_some_and(ApplyError::is_skipped) => {} // said before
                Err(why) => return Err(problem(&why).into()),
            }
        }
        Ok(())
    }

    /// Returns the SAs of the file with the directions in which its policies use them.
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
                // `in` and `fwd` of Linux are one outbound policy of the peer.
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
            _ => return Err("unsupported statement".into()),
        }
        Ok(Applied::Done)
    }

    fn policy(&self, statement: &PolicyStatement<'_>, mirrored: bool) -> Result<Policy, Box<dyn Error>> {
        let policy = statement.policy()?;
        let direction = if mirrored { turned(policy.direction) } else { policy.direction };
        Ok(Policy { direction, ..policy })
    }
}

/// Result of a statement.
enum Applied {
    Done,
    /// The statement deletes an entry that does not exist.
    NotThere,
}

/// Removes the SAs that a statement selects.
fn remove(host: &mut Host, which: impl Fn(&Seen) -> bool) -> Applied {
    let keys = keys(host, which);
    for (key, source) in &keys {
        host.engine.remove(key, *source);
    }
    if keys.is_empty() { Applied::NotThere } else { Applied::Done }
}

/// Directions of the SAs of a file. A statement does not specify the direction, but the policies that use the SA do.
/// SAs that later statements delete are included.
#[derive(Default)]
struct Directions {
    /// Policies with both endpoints of a tunnel or both hosts of transport mode.
    between: BTreeMap<(IpAddr, IpAddr), Served>,
    /// Policies with an unspecified endpoint, or for networks in transport mode.
    open: Vec<(PolicyDirection, OpenEnds)>,
    /// Inner addresses of BEET mode SAs, by their endpoints.
    beet: BTreeMap<(IpAddr, IpAddr), (IpAddr, IpAddr)>,
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

    /// Returns the directions of an SA. An SA that no policy uses is inbound, as nothing would be sent with it.
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

    /// Returns the inner addresses of a BEET mode SA: the hosts of the policy that uses it.
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

/// Identifier and source of an SA, and the number under which it is shown.
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

/// Prints the SAs in the format of `setkey -D`.
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

/// Prints the policies in the format of `setkey -DP`.
pub fn print_policies(host: &Host) {
    if host.engine.policies().next().is_none() {
        println!("No SPD entries.");
    }
    for (id, policy) in host.engine.policies() {
        println!("{}", DumpPolicy { id, policy });
    }
}
