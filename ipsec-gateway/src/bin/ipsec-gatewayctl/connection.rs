//! Connection to the daemon.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ipsec_gateway::control::protocol::{self, MAX_REQUEST, Page, Reply, Request};

/// Reason why there is no result.
pub enum Failure {
    /// The daemon has refused the request; each line is an error.
    Refused(Vec<String>),
    /// The daemon could not be reached.
    Connection(String),
}

/// Connection to the control socket of a daemon.
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects to a socket.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path);
        let stream = stream.map_err(|e| Failure::Connection(format!("control socket {}: {e}", path.display())))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request to the daemon.
    pub fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let line = protocol::write(request);
        if line.len() > MAX_REQUEST {
            let text = format!("request too long: got {} octets, expected at most {MAX_REQUEST}", line.len());
            return Err(Failure::Connection(text));
        }
        self.stream.get_mut().write_all(&line).map_err(|e| Failure::Connection(format!("control socket: {e}")))
    }

    /// Receives a reply. Returns `None` if the daemon has ended the connection.
    pub fn receive(&mut self) -> Result<Option<Reply>, Failure> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        if read.map_err(|e| Failure::Connection(format!("control socket: {e}")))? == 0 {
            return Ok(None);
        }
        match serde_json::from_str(&line) {
            Ok(Reply::Error(errors)) => Err(Failure::Refused(errors)),
            Ok(reply) => Ok(Some(reply)),
            Err(e) => Err(Failure::Connection(format!("malformed reply of the daemon: {e}"))),
        }
    }

    /// Sends a request and receives its reply.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, Failure> {
        self.send(request)?;
        self.receive()?.ok_or_else(|| Failure::Connection("the daemon has ended the connection".to_owned()))
    }

    /// Receives the entries of all pages of a list. `request` returns the request for those from a number on.
    pub fn list<T>(
        &mut self,
        request: impl Fn(usize) -> Request,
        page: impl Fn(Reply) -> Option<Page<T>>,
    ) -> Result<Vec<T>, Failure> {
        let (mut entries, mut from) = (Vec::new(), 0);
        loop {
            let reply = page(self.ask(&request(from))?);
            let mut part = reply.ok_or_else(|| Failure::Connection("unexpected reply of the daemon".to_owned()))?;
            entries.append(&mut part.entries);
            match part.next {
                Some(next) if next > from => from = next,
                _ => return Ok(entries),
            }
        }
    }
}
