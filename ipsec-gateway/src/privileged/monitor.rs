//! Privileged process: starts the worker, carries out its requests, and passes signals on to it.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::channel::{receive_request, send_answer};
use super::server::Server;
use super::user::Ids;
use crate::log;

/// Argument with which the program runs the worker.
pub const WORKER: &str = "worker";

/// Runs the worker until it ends. Returns its exit status.
///
/// # Errors
/// The message about what prevents its start.
pub fn run(mut server: Server, ids: Ids) -> Result<ExitCode, String> {
    let mut signals = Signals::register().map_err(|e| format!("signal handlers were not installed: {e}"))?;
    let (own, other) = UnixStream::pair().map_err(|e| format!("channel to the worker was not created: {e}"))?;
    let mut worker = start(other.into(), ids)?;
    if let Err(e) = serve(&mut server, &own, &worker, &mut signals) {
        log::error(format_args!("channel to the worker failed: {e}"));
        let _ = worker.kill();
    }
    drop(own);
    let status = worker.wait().map_err(|e| format!("waiting for the worker failed: {e}"))?;
    if let Some(signal) = status.signal() {
        log::error(format_args!("the worker was ended by signal {signal}; firewall rules and routes remain"));
    }
    Ok(exit_code(status))
}

/// Starts the program of this process as another user, whose standard input is the channel.
fn start(channel: OwnedFd, Ids { user, group }: Ids) -> Result<Child, String> {
    // The file of the program may have been replaced meanwhile: the link leads to the one of this process.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ipsec-gatewayd").arg(WORKER).env_clear().stdin(Stdio::from(channel));
    // What the C library must not use on this machine, the worker must not use either.
    if let Some(tunables) = std::env::var_os("GLIBC_TUNABLES") {
        command.env("GLIBC_TUNABLES", tunables);
    }
    // Without further groups: those of root are removed with the user.
    command.uid(user).gid(group);
    command.spawn().map_err(|e| {
        format!("the worker was not started as user {user} and group {group}: {e}: root, or CAP_SETUID and CAP_SETGID")
    })
}

/// Carries out requests until the worker ends.
fn serve(server: &mut Server, channel: &UnixStream, worker: &Child, signals: &mut Signals) -> io::Result<()> {
    loop {
        // Signals wait until the worker handles them.
        let is_ready = server.is_running();
        let mut descriptors = vec![PollFd::new(channel, PollFlags::IN)];
        descriptors.extend(
            signals.0.iter().filter(|_| is_ready).map(|(_, own)| PollFd::from_borrowed_fd(own.as_fd(), PollFlags::IN)),
        );
        match poll(&mut descriptors, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let has_request = descriptors.first().is_some_and(|own| !own.revents().is_empty());
        drop(descriptors);
        if is_ready {
            signals.pass_on(worker);
            server.reap();
        }
        if has_request {
            let Some(request) = receive_request(channel)? else { return Ok(()) };
            send_answer(channel, &server.handle(&request))?;
        }
    }
}

/// Returns the exit status of the worker; for a signal that of a shell.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Signals as octets on sockets, with those that are sent to the worker.
struct Signals(Vec<(Option<Signal>, UnixStream)>);

impl Signals {
    fn register() -> io::Result<Self> {
        let to_worker = |number, signal| (number, Some(signal));
        let table = [
            to_worker(SIGTERM, Signal::TERM),
            to_worker(SIGINT, Signal::INT),
            to_worker(SIGHUP, Signal::HUP),
            // A script has ended.
            (SIGCHLD, None),
        ];
        let registered = table.into_iter().map(|(number, signal)| {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(number, writer)?;
            Ok((signal, reader))
        });
        registered.collect::<io::Result<_>>().map(Self)
    }

    /// Sends the signals that have arrived to the worker. Its number is not reused before its status is read.
    fn pass_on(&mut self, worker: &Child) {
        let Some(worker) = i32::try_from(worker.id()).ok().and_then(Pid::from_raw) else { return };
        let mut octets = [0; 16];
        for (signal, reader) in &mut self.0 {
            if matches!(reader.read(&mut octets), Ok(1..))
                && let Some(signal) = *signal
                && let Err(e) = kill_process(worker, signal)
            {
                log::warning(format_args!("the signal was not sent to the worker: {e}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_status_is_that_of_the_worker() {
        let table = [(0, 0), (1 << 8, 1), (2 << 8, 2), (9, 137), (15, 143)];
        for (raw, expected) in table {
            let got = format!("{:?}", exit_code(ExitStatus::from_raw(raw)));
            assert_eq!(got, format!("{:?}", ExitCode::from(expected)), "{raw}");
        }
    }
}
