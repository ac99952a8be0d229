//! Requests of the worker in the privileged process: each is checked against the configuration that this process has
//! read itself, and then carried out.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ike_v1::ModeConfig;
use ipsec_config::ProcessUser;
use ipsec_config::racoon::ScriptEvent;
use ipsec_engine::{PolicyId, PolicyParams};

use super::message::{Answer, EventEntry, PolicyChange, Reply, Request, Which};
use super::policies::PolicyEntry;
use super::recording::{Recorder, Recording};
use super::script::{self, MAX_SCRIPTS, Scripts};
use super::snapshot::Snapshot;
use crate::access::Access;
use crate::config::{Backend, Config};
use crate::control::socket::ControlSocket;
use crate::files::{GatewayFiles, KeyFile, NoChanges, Version};
use crate::generated::Changes;
use crate::hooks::Environment;
use crate::host::missing_keys;
use crate::kernel::PfkeySocket;
use crate::key_exchange::KeyExchange;
use crate::key_tables::KeyTables;
use crate::log::LogOptions;
use crate::protection::{self, Firewall};
use crate::psk::PskFile;
use crate::raw::{RawLocal, RawSockets};
use crate::state::store::{FileStore, Store as _};
use crate::tun::Tun;
use crate::udp::Udp;
use crate::{clock, control, log, policy, routes, sockets};

/// Largest number of addresses that servers have assigned at a time.
const MAX_ASSIGNED: usize = 256;

/// Options of the privileged process.
pub struct Options {
    /// File of the configuration.
    pub path: PathBuf,
    /// Use of the firewall.
    pub firewall: Firewall,
    /// Directory for the tables of Wireshark.
    pub export_keys: Option<PathBuf>,
}

/// State of the privileged process.
pub struct Server {
    files: Rc<dyn GatewayFiles>,
    options: Options,
    /// Configuration that is in effect.
    running: Option<Checked>,
    /// Configuration that was read last, if it is valid.
    next: Option<Checked>,
    /// Files of the first configuration, until the worker requests them.
    recording: Option<Recording>,
    /// Control socket, whose file is removed at the end.
    control: Option<ControlSocket>,
    /// Addresses that servers have assigned.
    assigned: BTreeSet<IpAddr>,
    state: Option<FileStore>,
    scripts: Scripts,
}

/// Configuration that was checked, without its keys.
struct Checked {
    config: Config,
    /// Files of pre-shared keys and passwords.
    key_files: BTreeSet<PathBuf>,
}

/// Request that was checked, with the parts of the configuration that it is for.
#[derive(Debug)]
enum Permitted<'s> {
    /// The request changes the state of this process.
    Change,
    KeyFile {
        path: &'s Path,
        known: Option<Version>,
    },
    Protect {
        config: &'s Config,
        policies: Vec<(PolicyId, PolicyParams)>,
        change: Routes,
    },
    Tun {
        name: &'s str,
    },
    Pfkey,
    KeyTables,
    Udp {
        local: SocketAddr,
        mark: u32,
        backend: Backend,
    },
    Raw {
        local: RawLocal,
        mark: u32,
    },
    AddAddress {
        config: &'s Config,
        address: IpAddr,
        policies: Vec<PolicyParams>,
    },
    RemoveAddress {
        config: &'s Config,
        address: IpAddr,
    },
    ReopenLog,
}

/// Change of the routes.
#[derive(Debug)]
enum Routes {
    Installed,
    Replaced,
    Generated(Changes),
}

impl Server {
    /// Reads the configuration and checks it.
    ///
    /// # Errors
    /// All errors of the files. Warnings are logged in this case; the daemon logs them otherwise.
    pub fn new(files: Rc<dyn GatewayFiles>, options: Options) -> Result<Self, String> {
        let mut server = Self {
            files,
            options,
            running: None,
            next: None,
            recording: None,
            control: None,
            assigned: BTreeSet::new(),
            state: None,
            scripts: Scripts::default(),
        };
        let recording = server.read();
        if server.next.is_some() {
            server.recording = Some(recording);
            return Ok(server);
        }
        let files: Rc<dyn GatewayFiles> = Rc::new(Snapshot::new(recording, Rc::new(NoChanges)));
        Err(read_all(&files, &server.options.path).err().unwrap_or_else(|| "the configuration is invalid".to_owned()))
    }

    /// Returns the user of the worker.
    pub fn user(&self) -> Option<&ProcessUser> {
        self.running.as_ref().or(self.next.as_ref())?.config.configuration.process_user.as_ref()
    }

    /// Returns whether a configuration is in effect: the daemon runs.
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Reads the configuration and all files that it names. Returns their contents.
    fn read(&mut self) -> Recording {
        let recorder = Rc::new(Recorder::new(Rc::clone(&self.files)));
        let files: Rc<dyn GatewayFiles> = Rc::clone(&recorder) as _;
        // The daemon reads the same files, and logs the messages.
        let read = log::silenced(|| read_all(&files, &self.options.path));
        let recording = recorder.take();
        let is_permitted =
            |next: &Config| self.running.as_ref().is_none_or(|running| running.config.check_changes(next).is_ok());
        let valid = read.ok().filter(is_permitted);
        self.next = valid.map(|config| Checked { config, key_files: recording.key_files() });
        recording
    }

    /// Carries out a request. One that is refused is an error in the log.
    pub fn handle(&mut self, request: &Request) -> Answer {
        self.reap();
        let done = match self.permit(request) {
            Ok(permitted) => self.carry_out(permitted),
            Err(e) => {
                log::error(format_args!("privileged process: a request was refused: {e}"));
                Err(format!("the request was refused: {e}"))
            }
        };
        match done.and_then(|answer| self.change(request, answer)) {
            Ok(answer) => answer,
            Err(e) => Reply::Error(e).into(),
        }
    }

    /// Checks a request against the configuration.
    fn permit<'s>(&'s self, request: &'s Request) -> Result<Permitted<'s>, String> {
        Ok(match request {
            Request::Start | Request::ReadConfiguration => Permitted::Change,
            Request::Adopt => self.config(Which::Next).map(|_| Permitted::Change)?,
            Request::Tun | Request::Pfkey | Request::OpenState | Request::Control | Request::KeyTables
                if self.running.is_some() =>
            {
                return Err(format!("{request:?}: expected the request before the daemon runs"));
            }
            Request::Control | Request::OpenState => self.config(Which::Next).map(|_| Permitted::Change)?,
            Request::ReplaceState { .. } if self.state.is_none() => {
                return Err("state file: got a request to replace a file that is not open".to_owned());
            }
            Request::ReplaceState { .. } => Permitted::Change,
            Request::Tun => Permitted::Tun { name: &self.config(Which::Next)?.tun.name },
            Request::Pfkey => match self.config(Which::Next)?.backend {
                Backend::Pfkey => Permitted::Pfkey,
                _ => return Err("PF_KEY socket: expected the back end `pfkey` in the configuration".to_owned()),
            },
            Request::KeyTables => Permitted::KeyTables,
            Request::KeyFile { path, known } => {
                if ![&self.running, &self.next].into_iter().flatten().any(|own| own.key_files.contains(path)) {
                    return Err(format!("file {}: expected a file that the configuration names", path.display()));
                }
                Permitted::KeyFile { path, known: *known }
            }
            Request::Protect { which, change, policies } => {
                let config = self.config(*which)?;
                let change = match change {
                    PolicyChange::Installed => Routes::Installed,
                    PolicyChange::Replaced => Routes::Replaced,
                    PolicyChange::Generated { added, has_removed } => {
                        let added = params(config, added)?.into_iter().map(|(_, policy)| policy).collect();
                        Routes::Generated(Changes { added, has_removed: *has_removed })
                    }
                };
                Permitted::Protect { config, policies: params(config, policies)?, change }
            }
            Request::Udp(local) => {
                let config = self.last()?;
                if !sockets::udp_addresses(&config.locals).contains(local) {
                    return Err(format!("UDP socket {local}: expected a `local` address of the configuration"));
                }
                Permitted::Udp { local: *local, mark: config.mark, backend: config.backend }
            }
            Request::Raw(local) => {
                let config = self.last()?;
                if !config.local_addresses().contains(local) {
                    return Err(format!("raw socket {local}: expected a `local` address of the configuration"));
                }
                Permitted::Raw { local: config.raw_local(*local), mark: config.mark }
            }
            Request::AddAddress { address, policies } => {
                let config = self.config(Which::Running)?;
                self.check_assigned(config, *address)?;
                let policies = params(config, policies)?.into_iter().map(|(_, policy)| policy).collect();
                Permitted::AddAddress { config, address: *address, policies }
            }
            Request::RemoveAddress(address) => {
                if !self.assigned.contains(address) {
                    return Err(format!("address {address}: expected an assigned address"));
                }
                Permitted::RemoveAddress { config: self.config(Which::Running)?, address: *address }
            }
            Request::ReopenLog => Permitted::ReopenLog,
            Request::RunScripts { peer, event, environment } => {
                self.check_scripts(*peer, *event, environment).map(|()| Permitted::Change)?
            }
        })
    }

    /// Carries out a request that was checked.
    fn carry_out(&self, permitted: Permitted<'_>) -> Result<Answer, String> {
        match permitted {
            Permitted::Change => Ok(Reply::Done.into()),
            Permitted::KeyFile { path, known } => Ok(match self.files.changes().changed_key_file(path, known) {
                None => Reply::Unchanged.into(),
                Some(KeyFile { version, text: Ok(secret) }) => {
                    Answer { secret, ..Reply::KeyFile { version, error: None }.into() }
                }
                Some(KeyFile { version, text: Err(e) }) => Reply::KeyFile { version, error: Some(e) }.into(),
            }),
            Permitted::Protect { config, policies, change } => {
                let policies: Vec<_> = policies.iter().map(|(id, policy)| (*id, policy)).collect();
                let firewall = self.options.firewall;
                match change {
                    Routes::Installed => protection::install(config, &policies, firewall),
                    Routes::Replaced => protection::update(config, &policies, firewall),
                    Routes::Generated(changes) => protection::follow(config, &policies, &changes, firewall),
                }?;
                Ok(Reply::Done.into())
            }
            Permitted::Tun { name } => Tun::open(name).map(|descriptor| with([descriptor])),
            Permitted::Pfkey => {
                let socket = PfkeySocket::open().map_err(|e| format!("PF_KEY socket: {e}"));
                socket.map(|socket| with([socket.into()]))
            }
            Permitted::KeyTables => match &self.options.export_keys {
                Some(directory) => KeyTables::create(directory).map(|tables| with(tables.into_descriptors())),
                None => Ok(Reply::Done.into()),
            },
            Permitted::Udp { local, mark, backend } => {
                Udp::open(local, mark, backend).map(|descriptor| with([descriptor]))
            }
            Permitted::Raw { local, mark } => RawSockets::open(local, mark).map(with),
            Permitted::AddAddress { config, address, policies } => {
                routes::add_address(config, address, policies.iter()).map(|()| Reply::Done.into())
            }
            Permitted::RemoveAddress { config, address } => {
                routes::remove_address(config, address).map(|()| Reply::Done.into())
            }
            Permitted::ReopenLog => {
                log::reopen()?;
                Ok(with(log::file()))
            }
        }
    }

    /// Changes the state of this process after a request was carried out, and completes the answer.
    fn change(&mut self, request: &Request, answer: Answer) -> Result<Answer, String> {
        match request {
            Request::Start => {
                let LogOptions { debug, is_verbose, .. } = log::options();
                let reply = Reply::Started { debug, is_verbose };
                return Ok(Answer { reply, ..with(log::file()) });
            }
            Request::ReadConfiguration => {
                let (index, secret) = self.recording.take().unwrap_or_else(|| self.read()).into_parts();
                let reply = Reply::Configuration { path: self.options.path.clone(), index };
                return Ok(Answer { secret, ..reply.into() });
            }
            Request::Control => {
                self.control = control::open_socket(&self.config(Which::Next)?.control)?;
                let listener = self.control.as_ref().map(ControlSocket::listener).transpose();
                return listener.map(with).map_err(|e| format!("control socket: {e}"));
            }
            Request::OpenState => {
                let path = self.config(Which::Next)?.state.clone();
                self.state = path.as_deref().map(FileStore::open).transpose()?;
                let contents = self.state.as_ref().map_or(Ok(None), FileStore::read)?;
                let reply = Reply::State { is_named: path.is_some(), is_found: contents.is_some() };
                return Ok(Answer { secret: contents.unwrap_or_default(), ..reply.into() });
            }
            Request::ReplaceState { contents } => {
                self.state.as_ref().map_or(Ok(()), |state| state.replace(&contents.0))?;
            }
            Request::RunScripts { peer, event, environment } => {
                self.run_scripts(*peer, ScriptEvent::from(*event), environment)?;
            }
            Request::Adopt => (self.running, self.recording) = (self.next.take(), None),
            Request::AddAddress { address, .. } => _ = self.assigned.insert(*address),
            Request::RemoveAddress(address) => _ = self.assigned.remove(address),
            _ => {}
        }
        Ok(answer)
    }

    /// Refuses scripts that the configuration does not have, and values that no variable has.
    fn check_scripts(&self, peer: usize, event: EventEntry, environment: &Environment) -> Result<(), String> {
        let config = self.config(Which::Running)?;
        let event = ScriptEvent::from(event);
        let scripts = config.peers().get(peer).map(|peer| peer.scripts.as_slice()).unwrap_or_default();
        let count = scripts.iter().filter(|(own, _)| *own == event).count();
        let name = script::name(event);
        if count == 0 {
            return Err(format!("scripts of peer {peer} for {name}: the configuration has none"));
        }
        if self.scripts.count().saturating_add(count) > MAX_SCRIPTS {
            return Err(format!("scripts of peer {peer} for {name}: expected at most {MAX_SCRIPTS} that run"));
        }
        let mut known = HashSet::new();
        for (variable, value) in environment {
            if !variable.accepts(value) {
                return Err(format!("scripts of peer {peer} for {name}: {variable} has another kind of value"));
            }
            if !known.insert(*variable) {
                return Err(format!("scripts of peer {peer} for {name}: duplicate {variable}"));
            }
        }
        Ok(())
    }

    /// Runs the scripts of a peer. Each of them is started, whether or not another one was.
    fn run_scripts(&mut self, peer: usize, event: ScriptEvent, environment: &Environment) -> Result<(), String> {
        let Some(running) = &self.running else { return Err(unread()) };
        let peer = running.config.peers().get(peer);
        let scripts = peer.into_iter().flat_map(|peer| &peer.scripts).filter(|(own, _)| *own == event);
        let mut problems = Vec::new();
        for (_, path) in scripts {
            problems.extend(self.scripts.start(Path::new(path), script::name(event), environment).err());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Reaps the processes of scripts that have ended.
    pub fn reap(&mut self) {
        self.scripts.reap();
    }

    fn config(&self, which: Which) -> Result<&Config, String> {
        let found = match which {
            Which::Running => &self.running,
            Which::Next => &self.next,
        };
        found.as_ref().map(|own| &own.config).ok_or_else(unread)
    }

    /// Returns the configuration that was read last.
    fn last(&self) -> Result<&Config, String> {
        self.config(Which::Next).or_else(|_| self.config(Which::Running))
    }

    /// Refuses an address that no server assigns to a host.
    fn check_assigned(&self, config: &Config, address: IpAddr) -> Result<(), String> {
        let is_client = |mode: Option<ModeConfig>| mode.is_some_and(|mode| mode != ModeConfig::Answer);
        if !config.peers().iter().any(|peer| is_client(peer.config.mode_config)) {
            return Err(format!("address {address}: no peer of the configuration assigns addresses to this host"));
        }
        let is_unusual = match address {
            IpAddr::V4(own) => own.is_broadcast() || own.is_link_local(),
            IpAddr::V6(own) => own.is_unicast_link_local() || own.to_ipv4_mapped().is_some(),
        };
        if is_unusual || address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            return Err(format!("address {address}: expected a unicast address"));
        }
        if config.is_end(address) {
            return Err(format!("address {address}: expected none of this host or of a peer"));
        }
        if !self.assigned.contains(&address) && self.assigned.len() >= MAX_ASSIGNED {
            return Err(format!("address {address}: expected at most {MAX_ASSIGNED} assigned addresses"));
        }
        Ok(())
    }
}

/// Returns the answer with descriptors.
fn with(descriptors: impl IntoIterator<Item = OwnedFd>) -> Answer {
    Answer { descriptors: descriptors.into_iter().collect(), ..Reply::Done.into() }
}

/// Returns the error of a request for a configuration that was not read.
fn unread() -> String {
    "no valid configuration was read".to_owned()
}

/// Returns the policies of a request, whose number is limited as that of the engine.
fn params(config: &Config, entries: &[PolicyEntry]) -> Result<Vec<(PolicyId, PolicyParams)>, String> {
    let limit = policy::max_policies(&config.limits);
    if entries.len() > limit {
        return Err(format!("policies: got {}, expected at most {limit}", entries.len()));
    }
    entries.iter().map(PolicyEntry::params).collect()
}

/// Reads all files as the daemon does. The result has neither manual SAs nor pre-shared keys.
fn read_all(files: &Rc<dyn GatewayFiles>, path: &Path) -> Result<Config, String> {
    let config = Config::read(&**files, path)?;
    let mut engine = policy::engine_for(&config.limits);
    let policies = policy::load(&config, &mut engine, clock::now())?;
    let mut keys = PskFile::read_optional(files, config.keys.as_deref())?;
    missing_keys(&config, &mut keys).iter().for_each(log::warning);
    let exchange = KeyExchange::new(&**files, config, policies)?;
    Access::read(files, &exchange)?;
    let mut config = exchange.config;
    config.configuration.sas.clear();
    config.configuration.keys.clear();
    Ok(config)
}

#[cfg(test)]
mod tests;
