//! Requests of the worker, and replies of the privileged process.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ipsec_config::racoon::ScriptEvent;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::policies::PolicyEntry;
use super::recording::Index;
use crate::files::Version;
use crate::hooks::Environment;

/// Request of the worker. None of them names a command, and none a file that is not one of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The worker has dropped its privileges: the reply has the options of the log and its file.
    Start,
    /// The configuration is read, and all files that it names. The reply has their contents.
    ReadConfiguration,
    /// The configuration that was read last is in effect.
    Adopt,
    /// A file of pre-shared keys or passwords is read again unless it has the known properties.
    KeyFile {
        /// File of a configuration.
        path: PathBuf,
        /// Properties of the file when it was read; `None` if it was missing.
        known: Option<Version>,
    },
    /// Firewall rules and routes are installed for policies.
    Protect {
        /// Configuration with the interfaces and addresses.
        which: Which,
        /// Change of the policies.
        change: PolicyChange,
        /// All policies in the order of the SPD.
        policies: Vec<PolicyEntry>,
    },
    /// The TUN interface is attached to.
    Tun,
    /// The PF_KEY socket of the kernel is opened.
    Pfkey,
    /// The state file is locked and read, if the configuration names one. The reply has its contents.
    OpenState,
    /// The state file is replaced.
    ReplaceState {
        /// Contents of the file, outside of the JSON.
        #[serde(skip)]
        contents: Contents,
    },
    /// The control socket is opened.
    Control,
    /// The tables of Wireshark are created, if the command line requests them.
    KeyTables,
    /// The UDP socket of a local address and port is opened.
    Udp(SocketAddr),
    /// The raw sockets of a local address are opened.
    Raw(IpAddr),
    /// An address that a server has assigned is set on the TUN interface.
    AddAddress {
        /// Address that a server has assigned.
        address: IpAddr,
        /// Policies whose routes have the address as source, where they cover it.
        policies: Vec<PolicyEntry>,
    },
    /// An address that a server has assigned is removed.
    RemoveAddress(IpAddr),
    /// The file of the log is opened again.
    ReopenLog,
    /// The scripts that the configuration has for an event of a peer are run.
    RunScripts {
        /// Index of the peer in the configuration.
        peer: usize,
        /// Event of phase 1.
        event: EventEntry,
        /// Variables with their values, which are checked.
        environment: Environment,
    },
}

/// Event of phase 1 at which scripts are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // those of `ScriptEvent`
pub enum EventEntry {
    Up,
    Down,
    Dead,
}

impl From<ScriptEvent> for EventEntry {
    fn from(event: ScriptEvent) -> Self {
        match event {
            ScriptEvent::Phase1Up => Self::Up,
            ScriptEvent::Phase1Down => Self::Down,
            ScriptEvent::Phase1Dead => Self::Dead,
        }
    }
}

impl From<EventEntry> for ScriptEvent {
    fn from(event: EventEntry) -> Self {
        match event {
            EventEntry::Up => Self::Phase1Up,
            EventEntry::Down => Self::Phase1Down,
            EventEntry::Dead => Self::Phase1Dead,
        }
    }
}

/// Configuration to which a request refers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// Configuration that is in effect.
    Running,
    /// Configuration that was read last.
    Next,
}

/// Change of the policies since the last request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyChange {
    /// The policies are installed; the routes of former ones remain.
    Installed,
    /// The policies were replaced: the routes of former ones are removed.
    Replaced,
    /// Generated policies were added to the SPD, or removed from it.
    Generated {
        /// Policies that were added to the SPD.
        added: Vec<PolicyEntry>,
        /// Set if policies were removed from it.
        has_removed: bool,
    },
}

/// Reply to a request.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The request was carried out.
    Done,
    /// The request was refused, or has failed.
    Error(String),
    /// The worker may start, with these options of the log.
    Started {
        /// Debug level of the log.
        debug: u8,
        /// Set if debug lines have the octets of messages.
        is_verbose: bool,
    },
    /// Files of the configuration; their texts follow in the order of the index.
    Configuration {
        /// Path of the configuration.
        path: PathBuf,
        /// Index of the files.
        index: Index,
    },
    /// The state file was read.
    State {
        /// Set if the configuration names a file.
        is_named: bool,
        /// Set if the file exists.
        is_found: bool,
    },
    /// The file has not changed.
    Unchanged,
    /// The file was read.
    KeyFile {
        /// Properties of the file; `None` if it is missing.
        version: Option<Version>,
        /// Reason why it was not read.
        error: Option<String>,
    },
}

impl Reply {
    /// Returns the name of the reply for messages.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Error(_) => "Error",
            Self::Started { .. } => "Started",
            Self::Configuration { .. } => "Configuration",
            Self::State { .. } => "State",
            Self::Unchanged => "Unchanged",
            Self::KeyFile { .. } => "KeyFile",
        }
    }
}

/// Contents of a file, wiped on drop and not written to logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contents(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl Request {
    /// Returns the contents of files, which follow the JSON.
    pub fn secret(&self) -> &[u8] {
        match self {
            Self::ReplaceState { contents } => &contents.0,
            _ => &[],
        }
    }

    /// Sets the contents of files that have followed the JSON. Returns whether the request has some.
    pub fn set_secret(&mut self, secret: Zeroizing<Vec<u8>>) -> bool {
        match self {
            Self::ReplaceState { contents } => contents.0 = secret,
            _ => return secret.is_empty(),
        }
        true
    }
}

/// Reply with contents of files and descriptors, which are not written to logs.
pub struct Answer {
    /// Reply without contents and descriptors.
    pub reply: Reply,
    /// Contents of files, wiped on drop.
    pub secret: Zeroizing<Vec<u8>>,
    /// Descriptors of sockets and files.
    pub descriptors: Vec<OwnedFd>,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, secret: Zeroizing::default(), descriptors: Vec::new() }
    }
}
