//! A setkey.conf file into the databases.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipsec_engine::setkey::{
    Add, DumpPolicy, DumpSa, Loading, PolicyStatement, SaId, SaProtocol, Sha2256, Statement, Statements,
};
use ipsec_engine::{Action, Direction, Mode, Policy, Protocol, SaKey, Way};
use zeroize::Zeroizing;

use super::Host;

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
        let name = self.config.display().to_string();
        let text = Zeroizing::new(fs::read_to_string(&self.config).map_err(|e| format!("{name}: {e}"))?);
        let sha2_256 = if self.sha256_96 { Sha2256::Bits96 } else { Sha2256::Bits128 };
        let loading = Loading { sha2_256, without_integrity: self.allow_unauthenticated, ..Loading::RFC };
        Config::of(&name, text, loading)
    }
}

/// A file whose statements are well-formed.
pub struct Config {
    name: String,
    text: Zeroizing<String>,
    loading: Loading,
    /// Every policy of the file, with the statements that take some back left aside: what they say about which SA is
    /// whose is true all the same.
    policies: Vec<Policy>,
}

impl Config {
    /// Reads a text.
    pub fn of(name: &str, text: Zeroizing<String>, loading: Loading) -> Result<Self, Box<dyn Error>> {
        let mut policies = Vec::new();
        let mut statements = Statements::of(&text);
        while let Some(statement) = statements.next().map_err(|e| format!("{name}: {e}"))? {
            if let Statement::SpdAdd(policy) | Statement::SpdUpdate(policy) = statement {
                policies.push(policy.policy().map_err(|e| format!("{name}: {statement} {e}"))?);
            }
        }
        Ok(Self { name: name.to_owned(), text, loading, policies })
    }

    /// Does what the statements say, at this time. `mirrored`: for the other side, where what is out here comes in.
    pub fn load(&self, host: &mut Host, now: Duration, mirrored: bool) -> Result<(), Box<dyn Error>> {
        let mut statements = Statements::of(&self.text);
        while let Ok(Some(statement)) = statements.next() {
            if let Statement::Exit = statement {
                break;
            }
            self.apply(host, &statement, now, mirrored).map_err(|e| match &statement {
                // Not the statement itself: there are keys in it.
                Statement::Add(add) | Statement::Update(add) => format!("{}: add {}: {e}", self.name, add.id),
                statement => format!("{}: {statement} {e}", self.name),
            })?;
        }
        Ok(())
    }

    /// The SAs of the file, with the ways that its policies use them.
    pub fn sas(&self) -> Vec<(Add<'_>, Vec<Way>)> {
        let mut statements = Statements::of(&self.text);
        let mut sas = Vec::new();
        while let Ok(Some(statement)) = statements.next() {
            if let Statement::Add(add) | Statement::Update(add) = statement {
                sas.push((add, self.ways(&add)));
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
    ) -> Result<(), Box<dyn Error>> {
        let engine = &mut host.engine;
        match statement {
            Statement::Add(add) | Statement::Update(add) => {
                for way in self.ways(add) {
                    let way = if mirrored { other(way) } else { way };
                    let inner = self.inner(add);
                    let sa = add.sa(way, inner, &self.loading)?;
                    if let Statement::Update(_) = statement {
                        engine.remove(&sa.key(), add.id.source.0);
                    }
                    engine.install(sa, now).map_err(|refused| refused.to_string())?;
                }
            }
            Statement::Delete(id) => keys(host, |sa| is(sa, id)).iter().for_each(|(key, source)| {
                host.engine.remove(key, *source);
            }),
            Statement::DeleteAll { source, destination, protocol } => {
                let of_both =
                    |sa: &Seen| (sa.1, sa.0.destination) == (*source, *destination) && of(sa, Some(*protocol));
                keys(host, of_both).iter().for_each(|(key, source)| {
                    host.engine.remove(key, *source);
                });
            }
            Statement::Flush(protocol) => keys(host, |sa| of(sa, *protocol)).iter().for_each(|(key, source)| {
                host.engine.remove(key, *source);
            }),
            Statement::Get(id) => print_sas(host, now, |sa| is(sa, id)),
            Statement::Dump(protocol) => print_sas(host, now, |sa| of(sa, *protocol)),
            Statement::SpdAdd(policy) => {
                engine.add_policy(self.policy(policy, mirrored)?)?;
            }
            Statement::SpdUpdate(policy) => {
                let policy = self.policy(policy, mirrored)?;
                if let Some(id) = engine.find_policy(policy.direction, &policy.selector) {
                    engine.remove_policy(id);
                }
                engine.add_policy(policy)?;
            }
            Statement::SpdDelete(policy) => {
                let direction = if mirrored { turned(policy.direction) } else { policy.direction };
                let id = engine.find_policy(direction, &policy.selector()?).ok_or("there is no such policy")?;
                engine.remove_policy(id);
            }
            Statement::SpdFlush => {
                let ids: Vec<_> = engine.policies().map(|(id, _)| id).collect();
                for id in ids {
                    engine.remove_policy(id);
                }
            }
            Statement::SpdDump => print_policies(host),
            Statement::Exit => {}
            _ => return Err("a statement that this tool does not know".into()),
        }
        Ok(())
    }

    fn policy(&self, statement: &PolicyStatement<'_>, mirrored: bool) -> Result<Policy, Box<dyn Error>> {
        let policy = statement.policy()?;
        let direction = if mirrored { turned(policy.direction) } else { policy.direction };
        Ok(Policy { direction, ..policy })
    }

    /// Whether an SA seals or opens here: a statement does not say, but the policies that it serves do. It opens, where none
    /// does: nothing would be sent by it.
    fn ways(&self, add: &Add<'_>) -> Vec<Way> {
        let (source, destination) = (add.id.source.0, add.id.destination.0);
        let serves = |policy: &&Policy| {
            let Action::Ipsec(bundle) = policy.action else { return false };
            bundle.iter().any(|request| match request.ends {
                Some(ends) => ends.name(source, destination),
                None => {
                    let (from, to) = (policy.selector.source, policy.selector.destination);
                    request.mode == Mode::Transport && from.contains(source) && to.contains(destination)
                }
            })
        };
        let seals = self.policies.iter().filter(serves).any(|policy| way(policy.direction) == Way::Out);
        let opens = self.policies.iter().filter(serves).any(|policy| way(policy.direction) == Way::In);
        match (opens, seals) {
            (true, true) => vec![Way::In, Way::Out],
            (false, true) => vec![Way::Out],
            (_, false) => vec![Way::In],
        }
    }

    /// The addresses of the packets inside an SA of BEET mode: those of the hosts whose policy it serves.
    fn inner(&self, add: &Add<'_>) -> Option<(IpAddr, IpAddr)> {
        self.policies.iter().find_map(|policy| {
            let Action::Ipsec(bundle) = policy.action else { return None };
            let ends = bundle.iter().find_map(|request| request.ends.filter(|_| request.mode == Mode::Beet))?;
            let own = (Some(add.id.source.0), Some(add.id.destination.0));
            ((ends.source.0, ends.destination.0) == own)
                .then_some((policy.selector.source.first(), policy.selector.destination.first()))
        })
    }
}

fn way(direction: Direction) -> Way {
    if direction == Direction::Out { Way::Out } else { Way::In }
}

fn other(way: Way) -> Way {
    if way == Way::Out { Way::In } else { Way::Out }
}

fn turned(direction: Direction) -> Direction {
    if direction == Direction::Out { Direction::In } else { Direction::Out }
}

/// The name of an SA and its source, and the number it is shown under.
type Seen = (SaKey, IpAddr, u32);

fn seen(host: &Host) -> impl Iterator<Item = Seen> {
    host.engine.sas().map(|sa| {
        let index = sa.sa.map_or(0, |sa| sa.label().index);
        (sa.key, sa.source, if index == 0 { sa.key.spi } else { index })
    })
}

fn keys(host: &Host, which: impl Fn(&Seen) -> bool) -> Vec<(SaKey, IpAddr)> {
    seen(host).filter(which).map(|(key, source, _)| (key, source)).collect()
}

fn is(sa: &Seen, id: &SaId) -> bool {
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
