//! Control of the running daemon by clients on a Unix socket. The event loop never waits for them.

pub mod client;
pub mod protocol;
pub mod socket;

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use ipsec_packet::Instant;
use rustix::event::{PollFd, PollFlags};

use crate::config;
use crate::log::{self, Keep};
use client::{Client, Disconnect};
use protocol::{DEFAULT_SOCKET, EventEntry, Reply, Request};
use socket::{ControlSocket, Listener, SocketError};

/// Time without clients after one could not be accepted.
const PAUSE: Duration = Duration::from_secs(1);
/// Largest number of clients. Others wait until one of them ends.
const MAX_CLIENTS: usize = 8;

/// Opens the control socket of a configuration. Returns `None` for a daemon without one. Without a statement for it, a
/// socket that is not available is not an error, so that several gateways in network namespaces need none.
///
/// # Errors
/// The message with the path of the socket.
pub fn open_socket(configured: &config::ControlSocket) -> Result<Option<ControlSocket>, String> {
    let path = match configured {
        config::ControlSocket::Off => return Ok(None),
        config::ControlSocket::Path(path) => path,
        _ => DEFAULT_SOCKET,
    };
    let problem = |e: SocketError| format!("control socket {path}: {e}");
    match ControlSocket::open(Path::new(path)) {
        Ok(socket) => Ok(Some(socket)),
        Err(e) if *configured == config::ControlSocket::Default => {
            log::warning(format_args!("{}; this daemon has none", problem(e)));
            Ok(None)
        }
        Err(e) => Err(problem(e)),
    }
}

/// Socket with its clients.
#[derive(Default)]
pub struct Control {
    socket: Option<Listener>,
    clients: Vec<(u64, Client<UnixStream>)>,
    /// Number of the next client.
    next: u64,
    /// Time until which no client is accepted, after an error such as too many open files.
    pause: Option<Instant>,
}

impl Control {
    /// Returns the control of a daemon with a socket; without one, there are no clients.
    pub fn new(socket: Option<Listener>) -> Self {
        Self { socket, ..Self::default() }
    }

    /// Returns the descriptors for which the event loop waits.
    pub fn descriptors(&self) -> impl Iterator<Item = PollFd<'_>> {
        let accepts = self.clients.len() < MAX_CLIENTS && self.pause.is_none();
        let socket = self.socket.iter().filter(move |_| accepts);
        let socket = socket.map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
        let clients = self.clients.iter().map(|(_, client)| {
            let flags = if client.has_output() { PollFlags::OUT } else { PollFlags::IN };
            PollFd::from_borrowed_fd(client.stream().as_fd(), flags)
        });
        socket.chain(clients)
    }

    /// Returns the time of the next call of [`poll`](Self::poll), if no descriptor is ready before: at once for a
    /// request that has arrived with another one, or when a client is disconnected without progress.
    pub fn due(&self) -> Option<Instant> {
        let due = |client: &Client<UnixStream>| if client.has_request() { Some(Instant::ZERO) } else { client.due() };
        self.clients.iter().filter_map(|(_, client)| due(client)).chain(self.pause).min()
    }

    /// Accepts clients, sends pending replies, and returns at most one request of each with the number of the client.
    pub fn poll(&mut self, now: Instant) -> Vec<(u64, Request)> {
        self.pause = self.pause.filter(|end| *end > now);
        while self.clients.len() < MAX_CLIENTS
            && self.pause.is_none()
            && let Some(socket) = &self.socket
        {
            match socket.accept() {
                Ok(stream) => self.clients.push((self.next, Client::new(now, stream))),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => {
                    log::warning(format_args!("control socket: a client was not accepted: {e}"));
                    self.pause = Some(now.saturating_add(PAUSE));
                }
            }
            self.next += 1;
        }
        let mut requests = Vec::new();
        self.clients.retain_mut(|(number, client)| match turn(now, client) {
            Ok(request) => {
                requests.extend(request.map(|request| (*number, request)));
                true
            }
            Err(why) => {
                report(&why);
                false
            }
        });
        self.keep_events();
        requests
    }

    /// Sends the reply to a request.
    pub fn reply(&mut self, now: Instant, number: u64, reply: &Reply) {
        self.clients.retain_mut(|(other, client)| {
            if *other != number {
                return true;
            }
            client.reply(now, reply).map_err(|why| report(&why)).is_ok()
        });
    }

    /// Sends the lines that were logged since the last call to the clients that wait for them.
    pub fn send_events(&mut self, now: Instant) {
        for line in log::take_lines() {
            let (time, level) = (line.date(), line.level.to_string());
            let event = EventEntry { time, level, text: line.text, event: line.event };
            let reply = Reply::Event(Box::new(event));
            // A line about a client that does not read would cause the next one: it is written when the next client
            // ends.
            self.clients.retain_mut(|(_, client)| !client.is_watching() || client.reply(now, &reply).is_ok());
        }
        self.keep_events();
    }

    fn keep_events(&self) {
        let is_watched = self.clients.iter().any(|(_, client)| client.is_watching());
        log::keep_lines(if is_watched { Keep::Lines } else { Keep::Nothing });
    }
}

/// Serves one client: sends pending replies, or reads a request.
fn turn(now: Instant, client: &mut Client<UnixStream>) -> Result<Option<Request>, Disconnect> {
    if client.due().is_some_and(|due| due <= now) {
        return Err(Disconnect::Timeout);
    }
    if client.has_output() {
        client.flush(now)?;
    }
    if !client.reads() {
        return Ok(None);
    }
    match client.receive(now)? {
        Some(Ok(request)) if client.is_watching() && request != Request::Watch => {
            client.reply(now, &Reply::error("invalid request: events follow, expected none"))?;
            Ok(None)
        }
        Some(Ok(request)) => Ok(Some(request)),
        Some(Err(reply)) => client.reply(now, &reply).map(|()| None),
        None => Ok(None),
    }
}

fn report(why: &Disconnect) {
    match why {
        Disconnect::Done => {}
        Disconnect::Timeout => log::warning("control client disconnected: no progress for ten seconds"),
        Disconnect::SlowReader => log::warning("control client disconnected: it does not read its replies"),
        Disconnect::Io(e) => log::warning(format_args!("control client disconnected: {e}")),
    }
}

#[cfg(test)]
mod tests;
