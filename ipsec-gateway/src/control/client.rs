//! One client of the control socket: its request that is not complete yet, and the replies that it has not read yet.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use ipsec_packet::Instant;
use zeroize::{Zeroize, Zeroizing};

use super::protocol::{self, MAX_REQUEST, Reply, Request};

/// Octets that are read or written at most in one turn of the event loop.
const CHUNK: usize = 64 * 1024;
/// Octets of replies that may wait for a client. Longer ones can only be the first.
const MAX_WAITING: usize = 1 << 20;
/// Longest time in which a client neither completes a request nor reads a reply.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Client with a stream that does not block.
pub struct Client<S> {
    stream: S,
    input: Zeroizing<Vec<u8>>,
    /// Replies, the first octets of which are sent.
    output: Zeroizing<Vec<u8>>,
    sent: usize,
    /// Time of the last progress.
    active: Instant,
    is_watching: bool,
    /// Set if no further request is read: after an error, and when the client has closed its side.
    is_ending: bool,
}

/// Reason why a client is disconnected.
#[derive(Debug)]
pub enum Disconnect {
    /// The client has closed the connection, or its requests have ended.
    Done,
    /// The client has sent nothing, or read nothing, for ten seconds.
    Timeout,
    /// Too many octets wait for the client.
    SlowReader,
    /// Error of the system.
    Io(io::Error),
}

impl<S: Read + Write> Client<S> {
    /// Creates a client that was accepted at this time.
    pub fn new(now: Instant, stream: S) -> Self {
        Self {
            stream,
            input: Zeroizing::default(),
            output: Zeroizing::default(),
            sent: 0,
            active: now,
            is_watching: false,
            is_ending: false,
        }
    }

    /// Returns the stream of the client.
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// Returns whether replies wait for the client.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Returns whether a request may be read. The next one waits until the reply to the last one was sent.
    pub fn reads(&self) -> bool {
        !self.has_output() && !self.is_ending
    }

    /// Returns whether a request has arrived and may be read, for which the event loop would not wait.
    pub fn has_request(&self) -> bool {
        self.reads() && self.input.contains(&b'\n')
    }

    /// Returns whether the client receives events.
    pub const fn is_watching(&self) -> bool {
        self.is_watching
    }

    /// Returns the time at which the client is disconnected without further progress; `None` for one that waits for
    /// events.
    pub fn due(&self) -> Option<Instant> {
        (self.has_output() || !self.is_watching).then(|| self.active.saturating_add(TIMEOUT))
    }

    /// Reads the octets that have arrived, and returns a request, or the reply to one that is refused.
    ///
    /// # Errors
    /// [`Disconnect`].
    pub fn receive(&mut self, now: Instant) -> Result<Option<Result<Request, Reply>>, Disconnect> {
        if !self.input.contains(&b'\n') && !self.fill(now)? {
            return Ok(None);
        }
        let Some(end) = self.input.iter().position(|octet| *octet == b'\n') else {
            if self.input.len() < MAX_REQUEST {
                return if self.is_ending { Err(Disconnect::Done) } else { Ok(None) };
            }
            self.is_ending = true;
            let text = format!("invalid request: got more than {MAX_REQUEST} octets, expected the end of the line");
            return Ok(Some(Err(Reply::error(text))));
        };
        let rest = Zeroizing::new(self.input.get(end + 1..).unwrap_or_default().to_vec());
        let line = std::mem::replace(&mut self.input, rest);
        let request = protocol::parse(line.get(..end).unwrap_or_default());
        if request == Ok(Request::Watch) {
            self.is_watching = true;
        }
        Ok(Some(request.map_err(Reply::error)))
    }

    /// Reads octets. Returns false if none have arrived.
    fn fill(&mut self, now: Instant) -> Result<bool, Disconnect> {
        let mut chunk = Zeroizing::new(vec![0; CHUNK.min(MAX_REQUEST - self.input.len())]);
        match self.stream.read(&mut chunk) {
            Ok(0) => self.is_ending = true,
            Ok(length) => {
                // A request makes progress when it is complete: one octet at a time does not keep the client.
                if self.input.is_empty() {
                    self.active = now;
                }
                grow(&mut self.input, length);
                self.input.extend_from_slice(chunk.get(..length).unwrap_or_default());
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(e) => return Err(Disconnect::Io(e)),
        }
        Ok(true)
    }

    /// Adds a reply, and sends as many octets as the stream accepts.
    ///
    /// # Errors
    /// [`Disconnect`].
    pub fn reply(&mut self, now: Instant, reply: &Reply) -> Result<(), Disconnect> {
        if !self.has_output() {
            self.active = now;
        } else if self.output.len() - self.sent > MAX_WAITING {
            return Err(Disconnect::SlowReader);
        }
        let line = Zeroizing::new(protocol::write(reply));
        grow(&mut self.output, line.len());
        self.output.extend_from_slice(&line);
        self.flush(now)
    }

    /// Sends as many octets of the replies as the stream accepts.
    ///
    /// # Errors
    /// [`Disconnect`].
    pub fn flush(&mut self, now: Instant) -> Result<(), Disconnect> {
        let waiting = self.output.get(self.sent..).unwrap_or_default();
        match self.stream.write(waiting.get(..CHUNK).unwrap_or(waiting)) {
            Ok(0) if !waiting.is_empty() => return Err(Disconnect::Done),
            Ok(length) => {
                self.sent += length;
                self.active = now;
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) => return Err(Disconnect::Io(e)),
        }
        if self.sent == self.output.len() {
            self.output.zeroize();
            self.sent = 0;
            if self.is_ending {
                return Err(Disconnect::Done);
            }
        }
        Ok(())
    }
}

/// Reserves memory for more octets. Memory that is released is wiped, as it may contain keys.
fn grow(octets: &mut Zeroizing<Vec<u8>>, more: usize) {
    if octets.capacity() - octets.len() < more {
        let mut grown = Zeroizing::new(Vec::with_capacity((octets.len() + more).next_power_of_two()));
        grown.extend_from_slice(octets);
        *octets = grown;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    const NOW: Instant = Instant::from_secs(100);

    fn pair() -> (UnixStream, Client<UnixStream>) {
        let (peer, own) = UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        (peer, Client::new(NOW, own))
    }

    fn received(client: &mut Client<UnixStream>) -> Result<Request, Reply> {
        loop {
            if let Some(request) = client.receive(NOW).unwrap() {
                return request;
            }
        }
    }

    #[test]
    fn requests_may_arrive_in_parts_and_several_at_once() {
        let (mut peer, mut client) = pair();
        assert!(client.receive(NOW).unwrap().is_none());
        peer.write_all(b"{\"verb\":").unwrap();
        assert!(client.receive(NOW).unwrap().is_none());
        peer.write_all(b"\"status\"}\n{\"verb\":\"counters\"}\nnonsense\n{\"ve").unwrap();
        assert_eq!(received(&mut client), Ok(Request::Status));
        assert_eq!(received(&mut client), Ok(Request::Counters));
        assert!(matches!(received(&mut client), Err(Reply::Error(_))));
        assert!(client.receive(NOW).unwrap().is_none());
        drop(peer);
        assert!(matches!(client.receive(NOW), Err(Disconnect::Done)), "the last request is not complete");
    }

    #[test]
    fn request_without_an_end_is_refused() {
        let (mut peer, mut client) = pair();
        let writer = std::thread::spawn(move || {
            let _ = peer.write_all(&vec![b' '; 2 * MAX_REQUEST]);
            peer
        });
        let Err(Reply::Error(errors)) = received(&mut client) else { panic!("an error") };
        assert_eq!(errors, ["invalid request: got more than 1048576 octets, expected the end of the line"]);
        assert!(!client.reads());
        drop(client);
        drop(writer.join());
    }

    #[test]
    fn reply_is_sent_as_the_client_reads_it() {
        let (mut peer, mut client) = pair();
        let reply = Reply::Done(vec!["x".repeat(3 << 20)]);
        client.reply(NOW, &reply).unwrap();
        assert!(client.has_output() && !client.reads(), "the socket does not take all of it");
        assert!(matches!(client.reply(NOW, &Reply::Done(Vec::new())), Err(Disconnect::SlowReader)));
        assert_eq!(client.due(), Some(NOW + TIMEOUT));
        let length = protocol::write(&reply).len();
        let reader = std::thread::spawn(move || {
            let mut octets = vec![0; length];
            peer.read_exact(&mut octets).map(|()| octets)
        });
        while client.has_output() {
            client.flush(NOW + Duration::from_secs(1)).unwrap();
        }
        assert_eq!(reader.join().unwrap().unwrap(), protocol::write(&reply));
        assert_eq!(client.due(), Some(NOW + Duration::from_secs(11)), "a part that was read is progress");
    }

    #[test]
    fn client_that_waits_for_events_has_no_timeout() {
        let (mut peer, mut client) = pair();
        assert_eq!(client.due(), Some(NOW + TIMEOUT));
        peer.write_all(b"{\"verb\":\"watch\"}\n").unwrap();
        assert_eq!(received(&mut client), Ok(Request::Watch));
        assert!(client.is_watching());
        assert_eq!(client.due(), None);
    }
}
