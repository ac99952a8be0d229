//! Protection that exists without the daemon: firewall rules, TUN interface and routes.

use ipsec_engine::{PolicyId, PolicyParams};

use crate::config::Config;
use crate::log;
use crate::policy::Databases;
use crate::{firewall, routes};

/// Use of the firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// The rules are installed; without `nft` it is an error.
    Required,
    /// No rules are installed: cleartext packets can pass when the daemon does not run.
    Unused,
}

/// Installs firewall rules, TUN interface and routes for the policies of an engine, or replaces them.
///
/// # Errors
/// The message of the command that failed.
pub fn install(config: &Config, engine: &Databases, firewall: Firewall) -> Result<(), String> {
    let policies: Vec<(PolicyId, &PolicyParams)> = engine.policies().collect();
    match firewall {
        // The rules come first: the routes of former policies may be missing for a moment.
        Firewall::Required => firewall::install(&firewall::rules(config, policies.iter().copied()))?,
        Firewall::Unused => log::warning(
            "no firewall rules are installed: cleartext packets that a PROTECT policy covers are accepted from the \
             unprotected side",
        ),
    }
    routes::install(config, policies.iter().map(|(_, policy)| *policy))
}

/// Removes firewall rules, TUN interface and routes.
///
/// # Errors
/// The message of the command that failed.
pub fn remove(config: &Config, firewall: Firewall) -> Result<(), String> {
    routes::remove(config)?;
    match firewall {
        Firewall::Required => firewall::remove(),
        Firewall::Unused => Ok(()),
    }
}
