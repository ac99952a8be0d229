//! Scripts that are run at events of phase 1: `script` of racoon.conf(5). Their environment describes the ISAKMP SA,
//! and for a client of Mode Config what the server has assigned.

mod variables;

use std::collections::HashMap;
use std::hash::Hash;

use ike_v1::{ClientConfig, Identity, IsakmpSaId, Path, PeerId};
use ipsec_config::ConfiguredPeer;
use ipsec_config::racoon::ScriptEvent;

pub use variables::Variable;

use crate::log;

/// Values of the environment of a script.
pub type Environment = Vec<(Variable, String)>;

/// Largest number of identities that are kept between authentication and the event of the ISAKMP SA.
const MAX_IDENTITIES: usize = 64;

/// Call of the scripts of a peer for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Peer of the ISAKMP SA.
    pub peer: PeerId,
    /// Event of phase 1.
    pub event: ScriptEvent,
    /// Environment of the scripts.
    pub environment: Environment,
}

/// Events of phase 1 for which scripts are run, by the identifiers `H` of ISAKMP SAs.
pub struct Hooks<H = IsakmpSaId> {
    /// ISAKMP SAs of peers with scripts.
    established: HashMap<H, Established>,
    /// Identities that were authenticated, by the addresses of ISAKMP SAs whose events follow.
    identities: HashMap<Path, Identity>,
    calls: Vec<Call>,
}

/// ISAKMP SA of a peer with scripts.
struct Established {
    peer: PeerId,
    path: Path,
    identity: Option<Identity>,
    lease: Option<ClientConfig>,
    /// Set if the peer was announced to its scripts.
    is_up: bool,
}

impl<H> Default for Hooks<H> {
    fn default() -> Self {
        Self { established: HashMap::new(), identities: HashMap::new(), calls: Vec::new() }
    }
}

impl<H: Copy + Eq + Hash> Hooks<H> {
    /// Records the authenticated identity of a peer, for the event of the ISAKMP SA with these addresses.
    pub fn authenticated(&mut self, path: Path, identity: Identity) {
        // An SA that was not established has no event.
        if self.identities.len() >= MAX_IDENTITIES {
            self.identities.clear();
        }
        self.identities.insert(path, identity);
    }

    /// Records that phase 1 with a peer is complete. Its scripts are run at once, or, if a user is still to be
    /// authenticated or an address to be assigned, after that.
    pub fn established(&mut self, (sa, path): (H, Path), (id, peer): (PeerId, &ConfiguredPeer)) {
        let identity = self.identities.remove(&path);
        if peer.scripts.is_empty() {
            return;
        }
        self.established.insert(sa, Established { peer: id, path, identity, lease: None, is_up: false });
        if !is_incomplete(peer) {
            self.up(sa, peer);
        }
    }

    /// Records that the user of a client was authenticated, and runs the scripts unless an address is still to be
    /// assigned.
    pub fn logged_in(&mut self, sa: H, peer: &ConfiguredPeer) {
        if !requests_address(peer) {
            self.up(sa, peer);
        }
    }

    /// Records the address that a server has assigned to this host, and runs the scripts.
    pub fn leased(&mut self, sa: H, peer: &ConfiguredPeer, config: &ClientConfig) {
        if let Some(own) = self.established.get_mut(&sa) {
            own.lease = Some(*config);
            self.up(sa, peer);
        }
    }

    /// Runs the scripts for a peer that does not answer dead peer detection.
    pub fn dead(&mut self, sa: H, peer: &ConfiguredPeer) {
        if let Some(own) = self.established.get(&sa).filter(|own| own.is_up) {
            call(&mut self.calls, own, peer, ScriptEvent::Phase1Dead);
        }
    }

    /// Removes an ISAKMP SA, and runs the scripts for its end.
    pub fn removed(&mut self, sa: H, peer: Option<&ConfiguredPeer>) {
        if let (Some(own), Some(peer)) = (self.established.remove(&sa).filter(|own| own.is_up), peer) {
            call(&mut self.calls, &own, peer, ScriptEvent::Phase1Down);
        }
    }

    /// Returns the calls since the last time.
    pub fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    fn up(&mut self, sa: H, peer: &ConfiguredPeer) {
        if let Some(own) = self.established.get_mut(&sa).filter(|own| !own.is_up) {
            own.is_up = true;
            call(&mut self.calls, own, peer, ScriptEvent::Phase1Up);
        }
    }
}

fn requests_address(peer: &ConfiguredPeer) -> bool {
    peer.config.mode_config.is_some_and(|mode| mode != ike_v1::ModeConfig::Answer)
}

/// Returns whether a user is to be authenticated, or an address to be assigned to this host, after phase 1.
fn is_incomplete(peer: &ConfiguredPeer) -> bool {
    peer.config.xauth.is_some() || requests_address(peer)
}

/// Adds a call, if the peer has a script for the event.
fn call(calls: &mut Vec<Call>, own: &Established, peer: &ConfiguredPeer, event: ScriptEvent) {
    if !peer.scripts.iter().any(|(wanted, _)| *wanted == event) {
        return;
    }
    let lease = own.lease.as_ref().filter(|_| requests_address(peer));
    let (environment, omitted) = variables::environment(&own.path, own.identity.as_ref(), lease);
    for variable in omitted {
        let name = &peer.config.name;
        log::warning(format_args!(
            "peer {name}: {variable} is not in the environment of scripts: expected printable ASCII, at most {} octets",
            variables::MAX_VALUE
        ));
    }
    calls.push(Call { peer: own.peer, event, environment });
}

#[cfg(test)]
mod tests;
