//! Memory of the daemon, which contains keys: it is neither dumped nor written to swap space.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use crate::log;

/// Forbids core dumps and debuggers of the same user, and locks all memory that is in use. A protection that the system
/// refuses is a warning in the log, and the daemon continues without it.
pub fn protect() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let dumps = setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(e) = dumps {
        log::warning(format!("core dumps, which contain keys, are possible: {e}"));
    }
    // With a limit, memory that is allocated later could not be locked, and the allocation would fail.
    let is_exempt = || capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::IPC_LOCK));
    let unlimited = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    let unlimited = unlimited.or_else(|e| if is_exempt() { Ok(()) } else { Err(e) });
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(e) = unlimited.and_then(|()| mlockall(flags)) {
        log::warning(format!("keys in memory may be written to swap space: {e}"));
    }
}
