//! Writers of configurations in other languages than those they were read from.

mod gateway;
mod gateway_peer;
mod isakmpd;
mod psk;
mod racoon;
mod rc;
mod setkey;
mod strongswan;
mod tcpdump;
mod wireshark;
mod xfrm;

use std::borrow::ToOwned;
use std::collections::HashMap;
use std::fmt;
use std::string::String;
use std::vec::Vec;

use zeroize::Zeroizing;

use crate::{Configuration, ConfiguredKey, openbsd};

/// Language or table that a configuration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// SAs and policies for setkey(8).
    Setkey,
    /// Peers and parameters of phase 2 for racoon(8). Its policies are those of setkey(8).
    Racoon,
    /// Pre-shared keys of the configuration itself, for racoon(8).
    Psk,
    /// Interfaces, routes and daemons for rc.conf(5).
    Rc,
    /// Rules of ipsec.conf(5) for OpenBSD.
    OpenBsd,
    /// Sections and tags of isakmpd.conf(5).
    Isakmpd,
    /// Statements and peers of gateway.conf.
    Gateway,
    /// Commands of ip-xfrm(8) for Linux.
    Xfrm,
    /// Connections of swanctl.conf(5) for strongSwan.
    StrongSwan,
    /// SAs for Wireshark, the table `esp_sa`.
    Wireshark,
    /// SAs for option `-E` of tcpdump(8).
    Tcpdump,
}

impl Target {
    /// All targets with their names.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("setkey", Self::Setkey),
        ("racoon", Self::Racoon),
        ("psk", Self::Psk),
        ("rc", Self::Rc),
        ("openbsd", Self::OpenBsd),
        ("isakmpd", Self::Isakmpd),
        ("gateway", Self::Gateway),
        ("xfrm", Self::Xfrm),
        ("strongswan", Self::StrongSwan),
        ("wireshark", Self::Wireshark),
        ("tcpdump", Self::Tcpdump),
    ];
}

/// List of the properties that a language cannot express, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    notes: Vec<String>,
}

impl Lost {
    pub(crate) fn note(&mut self, what: &str) {
        if !self.notes.iter().any(|note| note == what) {
            self.notes.push(what.to_owned());
        }
    }

    /// Iterates over the properties that are left out or changed.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(String::as_str)
    }
}

impl Configuration {
    /// Returns the text of the configuration in a language, and the properties that it cannot express. The text
    /// contains keys and is wiped when it is dropped.
    pub fn write(&self, target: Target) -> (Zeroizing<String>, Lost) {
        let mut lost = Lost::default();
        let text = match target {
            Target::Setkey => setkey::write(self, &mut lost),
            Target::Racoon => racoon::write(self, &mut lost),
            Target::Psk => psk::write(self, &mut lost),
            Target::Rc => rc::write(self, &mut lost),
            Target::OpenBsd => openbsd::write(self, &mut lost),
            Target::Isakmpd => isakmpd::write(self, &mut lost),
            Target::Gateway => gateway::write(self, &mut lost),
            Target::Xfrm => xfrm::write(self, &mut lost),
            Target::StrongSwan => strongswan::write(self, &mut lost),
            Target::Wireshark => wireshark::write(self, &mut lost),
            Target::Tcpdump => tcpdump::write(self, &mut lost),
        };
        (Zeroizing::new(text), lost)
    }

    /// Returns the keys by the indices of their peers.
    pub(crate) fn keys_of_peers(&self) -> HashMap<usize, &ConfiguredKey> {
        let mut keys = HashMap::new();
        for key in &self.keys {
            keys.entry(key.peer).or_insert(key);
        }
        keys
    }

    /// Records the parts that a language for manual SAs cannot express.
    fn note_key_exchange(&self, lost: &mut Lost) {
        if !self.peers.is_empty() {
            lost.note("peers and parameters of phase 2");
        }
    }
}

/// Key in hexadecimal after `0x`.
pub(crate) struct Hex<'k>(pub &'k [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
