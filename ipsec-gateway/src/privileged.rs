//! Separation of privileges. The process that is started keeps its privileges and runs no protocol; its worker, another
//! process of the same program, runs the daemon as a user without privileges.
//!
//! The privileged process opens the TUN interface, the sockets and the files, and passes their descriptors to the
//! worker over a pair of Unix sockets. What needs privileges later is a typed request ([`message::Request`]), which is
//! checked against the configuration that the privileged process has read itself ([`server::Server`]). The end of one
//! process is the end of the other.
//!
//! A daemon that is not started as root is one process. Its requests are the same, and are carried out in place.

pub mod channel;
pub mod message;
pub mod monitor;
pub mod policies;
pub mod recording;
pub mod script;
pub mod server;
pub mod snapshot;
pub mod user;
pub mod worker;

use std::cell::RefCell;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ipsec_config::racoon::ScriptEvent;
use ipsec_engine::PolicyParams;
use zeroize::Zeroizing;

use crate::control::socket::Listener;
use crate::databases::Databases;
use crate::files::{GatewayFiles, KeyChanges, KeyFile, Version};
use crate::generated::Changes;
use crate::hooks::Environment;
use crate::kernel::PfkeySocket;
use crate::key_tables::KeyTables;
use crate::log;
use crate::raw::{RawLocal, RawSockets};
use crate::state::store::Store;
use crate::tun::Tun;
use crate::udp::Udp;
use channel::Channel;
use message::{Answer, Contents, EventEntry, PolicyChange, Reply, Request, Which};
use policies::PolicyEntry;
use server::Server;
use snapshot::Snapshot;

/// Access of the daemon to operations that need privileges.
#[derive(Clone)]
pub struct Privileges(Rc<Access>);

enum Access {
    /// The daemon is one process.
    Own(Box<RefCell<Server>>),
    /// The daemon is a worker.
    Process(Channel),
}

impl Privileges {
    /// Returns the privileges of this process.
    pub fn own(server: Server) -> Self {
        Self(Rc::new(Access::Own(Box::new(RefCell::new(server)))))
    }

    /// Returns the privileges of the process at the other end of a channel.
    pub fn of_process(channel: Channel) -> Self {
        Self(Rc::new(Access::Process(channel)))
    }

    /// Returns the descriptor that is readable when the privileged process has ended; `None` if there is none.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &*self.0 {
            Access::Own(_) => None,
            Access::Process(channel) => Some(channel.descriptor()),
        }
    }

    /// Returns whether the privileged process has ended.
    pub fn has_ended(&self) -> bool {
        match &*self.0 {
            Access::Own(_) => false,
            Access::Process(channel) => channel.has_ended(),
        }
    }

    /// Reads the configuration again. Returns its path, and its files as they were read.
    ///
    /// # Errors
    /// The message about the channel.
    pub fn read(&self) -> Result<(PathBuf, Rc<dyn GatewayFiles>), String> {
        let answer = self.call(&Request::ReadConfiguration)?;
        let Reply::Configuration { path, index } = answer.reply else { return Err(unexpected(&answer)) };
        let recording = index.with_texts(&answer.secret)?;
        Ok((path, Rc::new(Snapshot::new(recording, Rc::new(self.clone())))))
    }

    /// Declares that the configuration that was read last is in effect.
    ///
    /// # Errors
    /// The message about the channel.
    pub fn adopt(&self) -> Result<(), String> {
        self.call(&Request::Adopt).map(drop)
    }

    /// Installs the firewall rules and routes for the policies of an engine.
    ///
    /// # Errors
    /// The message of the command that failed.
    pub fn protect(&self, which: Which, engine: &Databases) -> Result<(), String> {
        let policies = engine.policies().map(|(id, policy)| PolicyEntry::of(id, policy)).collect();
        self.call(&Request::Protect { which, change: PolicyChange::Installed, policies }).map(drop)
    }

    /// Replaces firewall rules and routes after a change of the policies, and removes the routes of former policies.
    ///
    /// # Errors
    /// The message of the command that failed.
    pub fn update(&self, engine: &Databases) -> Result<(), String> {
        let policies = engine.policies().map(|(id, policy)| PolicyEntry::of(id, policy)).collect();
        self.call(&Request::Protect { which: Which::Running, change: PolicyChange::Replaced, policies }).map(drop)
    }

    /// Updates firewall rules and routes after a change of the generated policies.
    ///
    /// # Errors
    /// The message of the command that failed.
    pub fn follow(&self, engine: &Databases, changes: &Changes) -> Result<(), String> {
        let policies = engine.policies().map(|(id, policy)| PolicyEntry::of(id, policy)).collect();
        let added = changes.added.iter().map(PolicyEntry::without_number).collect();
        let change = PolicyChange::Generated { added, has_removed: changes.has_removed };
        self.call(&Request::Protect { which: Which::Running, change, policies }).map(drop)
    }

    /// Attaches to the TUN interface.
    ///
    /// # Errors
    /// The message of the system with the name of the interface.
    pub fn open_tun(&self) -> Result<Tun, String> {
        self.descriptors(&Request::Tun).map(|[descriptor]| Tun::from(descriptor))
    }

    /// Locks the state file. Returns `None` if the configuration names none.
    ///
    /// # Errors
    /// The message with the name of the file.
    pub fn open_state(&self) -> Result<Option<Box<dyn Store>>, String> {
        let answer = self.call(&Request::OpenState)?;
        let Reply::State { is_named, is_found } = answer.reply else { return Err(unexpected(&answer)) };
        let contents = is_found.then_some(answer.secret);
        Ok(is_named.then(|| Box::new(StateOfProcess { privileges: self.clone(), contents }) as Box<dyn Store>))
    }

    /// Opens the PF_KEY socket of the kernel, for the back end `pfkey`.
    ///
    /// # Errors
    /// The message of the system.
    pub fn open_pfkey(&self) -> Result<PfkeySocket, String> {
        self.descriptors(&Request::Pfkey).map(|[descriptor]| PfkeySocket::from(descriptor))
    }

    /// Opens a UDP socket of the configuration.
    ///
    /// # Errors
    /// The message of the system with the address.
    pub fn open_udp(&self, local: SocketAddr) -> Result<Udp, String> {
        self.descriptors(&Request::Udp(local)).map(|[descriptor]| Udp::from_descriptor(local, descriptor))
    }

    /// Opens the raw sockets of a local address.
    ///
    /// # Errors
    /// The message of the system with the address.
    pub fn open_raw(&self, local: RawLocal) -> Result<RawSockets, String> {
        let descriptors = self.call(&Request::Raw(local.address))?.descriptors;
        let got = descriptors.len();
        let sockets = RawSockets::from_descriptors(local, descriptors);
        sockets.ok_or_else(|| format!("privileged process: got {got} descriptors of raw sockets"))
    }

    /// Opens the control socket. Returns `None` if the daemon has none.
    ///
    /// # Errors
    /// The message with the path of the socket.
    pub fn open_control(&self) -> Result<Option<Listener>, String> {
        let mut answer = self.call(&Request::Control)?;
        Ok(answer.descriptors.pop().map(Listener::from))
    }

    /// Creates the key tables for Wireshark. Returns `None` if they were not requested.
    ///
    /// # Errors
    /// The message of the system with the name of the file.
    pub fn create_tables(&self) -> Result<Option<KeyTables>, String> {
        let answer = self.call(&Request::KeyTables)?;
        let descriptors: Result<[OwnedFd; 2], _> = answer.descriptors.try_into();
        Ok(descriptors.ok().map(|descriptors| KeyTables::from_files(descriptors.map(File::from))))
    }

    /// Sets an address of the TUN interface, and makes it the source of packets of this host where a policy covers it.
    ///
    /// # Errors
    /// The message of `ip`.
    pub fn add_address<'p>(
        &self,
        address: IpAddr,
        policies: impl Iterator<Item = &'p PolicyParams>,
    ) -> Result<(), String> {
        let policies = policies.map(PolicyEntry::without_number).collect();
        self.call(&Request::AddAddress { address, policies }).map(drop)
    }

    /// Removes an address of the TUN interface that was set before.
    ///
    /// # Errors
    /// The message of `ip`.
    pub fn remove_address(&self, address: IpAddr) -> Result<(), String> {
        self.call(&Request::RemoveAddress(address)).map(drop)
    }

    /// Opens the file of the log again.
    ///
    /// # Errors
    /// The message of the system; the former file remains in use.
    pub fn reopen_log(&self) -> Result<(), String> {
        let mut answer = self.call(&Request::ReopenLog)?;
        if let Some(file) = answer.descriptors.pop() {
            log::replace_file(file.into());
        }
        Ok(())
    }

    /// Runs the scripts of a peer, which is a place in the configuration, for an event.
    ///
    /// # Errors
    /// The message about a script that was not started.
    pub fn run_scripts(&self, peer: usize, event: ScriptEvent, environment: Environment) -> Result<(), String> {
        let event = EventEntry::from(event);
        self.call(&Request::RunScripts { peer, event, environment }).map(drop)
    }

    /// Reaps the processes of scripts that have ended, if this process runs them itself.
    pub fn reap(&self) {
        if let Access::Own(server) = &*self.0 {
            server.borrow_mut().reap();
        }
    }

    fn descriptors<const N: usize>(&self, request: &Request) -> Result<[OwnedFd; N], String> {
        let descriptors = self.call(request)?.descriptors;
        let got = descriptors.len();
        descriptors.try_into().map_err(|_| format!("privileged process: got {got} descriptors, expected {N}"))
    }

    fn call(&self, request: &Request) -> Result<Answer, String> {
        let answer = match &*self.0 {
            Access::Own(server) => server.borrow_mut().handle(request),
            Access::Process(channel) => channel.call(request)?,
        };
        match answer.reply {
            Reply::Error(e) => Err(e),
            _ => Ok(answer),
        }
    }
}

/// State file that the privileged process has opened.
struct StateOfProcess {
    privileges: Privileges,
    /// Contents of the file when it was opened; `None` if it did not exist.
    contents: Option<Zeroizing<Vec<u8>>>,
}

impl Store for StateOfProcess {
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Ok(self.contents.clone())
    }

    fn replace(&self, contents: &[u8]) -> Result<(), String> {
        let contents = Contents(contents.to_vec().into());
        self.privileges.call(&Request::ReplaceState { contents }).map(drop)
    }
}

impl KeyChanges for Privileges {
    fn changed_key_file(&self, path: &Path, known: Option<Version>) -> Option<KeyFile> {
        let answer = self.call(&Request::KeyFile { path: path.to_owned(), known });
        let text = |e: String| KeyFile { version: known, text: Err(e) };
        match answer {
            Ok(Answer { reply: Reply::Unchanged, .. }) => None,
            Ok(Answer { reply: Reply::KeyFile { version, error: None }, secret, .. }) => {
                Some(KeyFile { version, text: Ok(secret) })
            }
            Ok(Answer { reply: Reply::KeyFile { version, error: Some(e) }, .. }) => {
                Some(KeyFile { version, text: Err(e) })
            }
            Ok(answer) => Some(text(unexpected(&answer))),
            Err(e) => Some(text(e)),
        }
    }
}

fn unexpected(answer: &Answer) -> String {
    format!("privileged process: unexpected reply {}", answer.reply.name())
}
