//! PF_KEY socket: one request and its reply at a time, and messages of the kernel between them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ipsec_pfkey::{Dialect, Message, MessageKind, Order, Socket, Wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Type};
use zeroize::Zeroizing;

use crate::clock;

/// Address family PF_KEY of Linux, and protocol PF_KEY_V2.
const FAMILY: (i32, i32) = (15, 2);
/// Longest message in octets: the length field has units of 8 octets, and Linux sends no longer ones.
const LONGEST: usize = 1 << 16;
/// Time after which a request without a reply has failed. Linux replies before the request returns.
const REPLY_TIME: Duration = Duration::from_secs(1);
/// Largest number of messages that wait.
const MAX_WAITING: usize = 4096;
/// Size of the receive buffer in octets: many SAs may expire at the same time.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Transport of PF_KEY messages: a socket, or a substitute for a kernel.
pub trait Channel: AsFd {
    /// Sends one message to the kernel.
    ///
    /// # Errors
    /// Those of the system.
    fn send(&self, message: &[u8]) -> io::Result<()>;

    /// Receives one message and returns its length.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is none within the time, and those of the system.
    fn receive(&self, buffer: &mut [u8], time: Duration) -> io::Result<usize>;
}

/// PF_KEY socket of this machine.
pub struct PfkeySocket(socket2::Socket);

impl PfkeySocket {
    /// Dialect and byte order of the kernel of this machine.
    pub const WIRE: Wire = Dialect::Linux.with(Order::NATIVE);

    /// Opens the PF_KEY socket of this machine.
    ///
    /// # Errors
    /// Those of the system, for instance of a kernel without PF_KEY.
    pub fn open() -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::from(FAMILY.0), Type::RAW, Some(Protocol::from(FAMILY.1)))?;
        socket.set_nonblocking(true)?;
        // The limit of the system applies.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        Ok(Self(socket))
    }
}

impl From<OwnedFd> for PfkeySocket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl From<PfkeySocket> for OwnedFd {
    fn from(socket: PfkeySocket) -> Self {
        socket.0.into()
    }
}

impl AsFd for PfkeySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel for PfkeySocket {
    fn send(&self, message: &[u8]) -> io::Result<()> {
        self.0.send(message).map(drop)
    }

    fn receive(&self, buffer: &mut [u8], time: Duration) -> io::Result<usize> {
        let timeout =
            Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(1), tv_nsec: time.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
            // After a signal there may be no message yet: the caller waits for the rest of the time.
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        io::Read::read(&mut &self.0, buffer)
    }
}

/// Requests with their replies, and the other messages of the kernel. Messages may contain keys, and are wiped.
pub struct Connection {
    channel: Box<dyn Channel>,
    wire: Wire,
    buffer: Zeroizing<Vec<u8>>,
    reply: Zeroizing<Vec<u8>>,
    waiting: VecDeque<Vec<u8>>,
}

impl Connection {
    /// Creates a connection to the kernel over a channel.
    pub fn new(channel: Box<dyn Channel>, wire: Wire) -> Self {
        let buffer = Zeroizing::new(vec![0; LONGEST]);
        Self { channel, wire, buffer, reply: Zeroizing::default(), waiting: VecDeque::new() }
    }

    /// Returns the reply to the last request, and removes it.
    pub fn take_reply(&mut self) -> Zeroizing<Vec<u8>> {
        std::mem::take(&mut self.reply)
    }

    /// Returns the next message that is not a reply: SADB_ACQUIRE, SADB_EXPIRE or SADB_X_NAT_T_NEW_MAPPING. It contains
    /// no keys.
    pub fn next_message(&mut self) -> Option<Vec<u8>> {
        while let Ok(length) = self.channel.receive(&mut self.buffer, Duration::ZERO) {
            self.keep(length);
        }
        self.waiting.pop_front()
    }

    /// Keeps a received message if it is an event.
    fn keep(&mut self, length: usize) {
        let octets = self.buffer.get(..length).unwrap_or_default();
        let kind = Message::parse(octets, self.wire).ok().map(|message| message.header().kind);
        let is_event =
            matches!(kind, Some(MessageKind::ACQUIRE | MessageKind::EXPIRE | MessageKind::NAT_T_NEW_MAPPING));
        if is_event && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(octets.to_vec());
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Socket for Connection {
    type Error = io::Error;

    /// Sends a request and waits for its reply, whose error number is the error.
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
        let sent = *Message::parse(message, self.wire).map_err(invalid)?.header();
        self.channel.send(message)?;
        let end = clock::now() + REPLY_TIME;
        loop {
            let left = end.saturating_duration_since(clock::now());
            let received = self.channel.receive(&mut self.buffer, left);
            let length = match received {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && !left.is_zero() => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
                Err(e) => return Err(e),
            };
            let octets = self.buffer.get(..length).unwrap_or_default();
            let header = Message::parse(octets, self.wire).ok().map(|message| *message.header());
            match header {
                Some(header) if (header.kind, header.sequence, header.pid) == (sent.kind, sent.sequence, sent.pid) => {
                    self.reply = Zeroizing::new(octets.to_vec());
                    return match header.errno {
                        0 => Ok(()),
                        errno => Err(io::Error::from_raw_os_error(errno.into())),
                    };
                }
                _ => self.keep(length),
            }
        }
    }
}
