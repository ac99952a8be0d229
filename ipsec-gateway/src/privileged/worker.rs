//! Worker: the process that runs the daemon without privileges.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use rustix::process::{Signal, getegid, geteuid, getgid, getgroups, getuid, set_parent_process_death_signal, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, no_new_privs, set_capabilities,
    set_name, set_no_new_privs,
};

use super::Privileges;
use super::channel::Channel;
use super::message::{Reply, Request};
use crate::log::LogOptions;
use crate::{daemon, log, memory};

/// Runs the daemon. Standard input is the channel to the privileged process.
///
/// # Errors
/// The message about what prevents its start.
pub fn run() -> Result<(), String> {
    give_up_privileges()?;
    let problem = |e: io::Error| format!("channel to the privileged process failed: {e}");
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(problem)?);
    stream.peer_addr().map_err(|e| problem(io::Error::other(format!("{e}: the command is for the daemon itself"))))?;
    let channel = Channel::new(stream);
    let mut answer = channel.call(&Request::Start)?;
    let Reply::Started { debug, is_verbose } = answer.reply else {
        return Err(super::unexpected(&answer));
    };
    log::set(LogOptions { file: None, debug, is_verbose }, answer.descriptors.pop().map(Into::into));
    // Before keys are read.
    memory::protect();
    daemon::run(Privileges::of_process(channel))
}

/// Drops all privileges permanently, and checks that none remains.
fn give_up_privileges() -> Result<(), String> {
    let problem = |e: rustix::io::Errno| format!("privileges were not dropped: {e}");
    // The name would be that of the link by which the program was started.
    let _ = set_name(c"ipsec-gatewayd");
    // A terminal of root is not that of the worker, which could otherwise write commands to its input (TIOCSTI).
    setsid().map_err(problem)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(problem)?;
    set_no_new_privs(true).map_err(problem)?;
    clear_ambient_capability_set().map_err(problem)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).map_err(problem)?;
    check(&Rights::own().map_err(problem)?).map_err(|e| format!("the worker has privileges: {e}"))
}

/// Rights of a process.
#[derive(Clone, Debug)]
struct Rights {
    /// Real and effective user and group.
    ids: [u32; 4],
    groups: Vec<u32>,
    capabilities: CapabilitySets,
    has_no_new_privs: bool,
}

impl Rights {
    fn own() -> rustix::io::Result<Self> {
        Ok(Self {
            ids: [getuid().as_raw(), geteuid().as_raw(), getgid().as_raw(), getegid().as_raw()],
            groups: getgroups()?.into_iter().map(rustix::process::Gid::as_raw).collect(),
            capabilities: capabilities(None)?,
            has_no_new_privs: no_new_privs()?,
        })
    }
}

/// Refuses the rights of root, further groups, and capabilities.
fn check(own: &Rights) -> Result<(), String> {
    let got = |name: &str, got: &dyn Display, expected: &str| Err(format!("{name}: got {got}, expected {expected}"));
    if own.ids.contains(&0) {
        return got("user and group", &format_args!("{:?}", own.ids), "none of root");
    }
    if !own.groups.iter().all(|group| own.ids[2..].contains(group)) {
        return got("further groups", &format_args!("{:?}", own.groups), "none");
    }
    let CapabilitySets { effective, permitted, inheritable } = own.capabilities;
    let all = effective | permitted | inheritable;
    if !all.is_empty() {
        return got("capabilities", &format_args!("{:#x}", all.bits()), "none");
    }
    if !own.has_no_new_privs {
        return got("no_new_privs", &"off", "on");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Change of the rights of a process.
    type Change = fn(&mut Rights);

    #[test]
    fn processes_with_privileges_are_refused() {
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        let own = Rights { ids: [65_534; 4], groups: vec![65_534], capabilities: sets, has_no_new_privs: true };
        assert_eq!(check(&own), Ok(()));
        let with = |change: Change| {
            let mut own = own.clone();
            change(&mut own);
            check(&own).unwrap_err()
        };
        let table: [(Change, &str); 8] = [
            (|own| own.ids[0] = 0, "user and group"),
            (|own| own.ids[1] = 0, "user and group"),
            (|own| own.ids[3] = 0, "user and group"),
            (|own| own.groups.push(4), "further groups: got [65534, 4], expected none"),
            (|own| own.capabilities.effective = CapabilitySet::NET_ADMIN, "capabilities: got 0x1000, expected none"),
            (|own| own.capabilities.permitted = CapabilitySet::NET_RAW, "capabilities"),
            (|own| own.capabilities.inheritable = CapabilitySet::CHOWN, "capabilities"),
            (|own| own.has_no_new_privs = false, "no_new_privs"),
        ];
        for (change, expected) in table {
            assert!(with(change).starts_with(expected), "{}", with(change));
        }
    }
}
