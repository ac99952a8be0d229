//! Protection that exists without the daemon: firewall rules, TUN interface and routes. With the back end `pfkey`, it
//! is the SPD of the kernel.

use ipsec_engine::{PolicyId, PolicyParams};

use crate::config::{Backend, Config};
use crate::generated::Changes;
use crate::log;
use crate::{firewall, routes};

/// Use of the firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firewall {
    /// The rules are installed; without `nft` it is an error.
    Required,
    /// No rules are installed: cleartext packets can pass when the daemon does not run.
    Unused,
}

/// Policy with its number, in the order of the SPD.
pub type Policy<'p> = (PolicyId, &'p PolicyParams);

/// Installs firewall rules, TUN interface and routes for policies, or replaces them.
///
/// # Errors
/// The message of the command that failed.
pub fn install(config: &Config, policies: &[Policy<'_>], firewall: Firewall) -> Result<(), String> {
    if config.backend == Backend::Pfkey {
        return Ok(());
    }
    if firewall == Firewall::Unused {
        log::warning(
            "no firewall rules are installed: cleartext packets that a PROTECT policy covers are accepted from the \
             unprotected side",
        );
    }
    replace(config, policies, firewall)
}

/// Replaces firewall rules and routes after a change of the policies, and removes the routes of former policies.
///
/// # Errors
/// The message of the command that failed.
pub fn update(config: &Config, policies: &[Policy<'_>], firewall: Firewall) -> Result<(), String> {
    if config.backend == Backend::Pfkey {
        return Ok(());
    }
    replace(config, policies, firewall)?;
    routes::remove_former(config, policies.iter().map(|(_, policy)| *policy))
}

/// Updates firewall rules and routes after generated policies were added to the SPD or removed from it, while the
/// others have not changed.
///
/// # Errors
/// The message of the command that failed.
pub fn follow(config: &Config, policies: &[Policy<'_>], changes: &Changes, firewall: Firewall) -> Result<(), String> {
    if config.backend == Backend::Pfkey {
        return Ok(());
    }
    if firewall == Firewall::Required {
        firewall::install(&firewall::rules(config, policies.iter().copied()))?;
    }
    routes::install(config, changes.added.iter())?;
    if changes.has_removed { routes::remove_former(config, policies.iter().map(|(_, policy)| *policy)) } else { Ok(()) }
}

fn replace(config: &Config, policies: &[Policy<'_>], firewall: Firewall) -> Result<(), String> {
    // The rules come first: the routes of former policies may be missing for a moment.
    if firewall == Firewall::Required {
        firewall::install(&firewall::rules(config, policies.iter().copied()))?;
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
