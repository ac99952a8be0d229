//! Messages between both processes: a header with two lengths, JSON, and the contents of files. Descriptors are passed
//! with the header (SCM_RIGHTS).

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use zeroize::Zeroizing;

use super::message::{Answer, Reply, Request};

/// Largest number of descriptors of one message.
const MAX_DESCRIPTORS: usize = 8;
/// Longest JSON of a message in octets: that of 131,072 policies.
const MAX_HEAD: usize = 64 << 20;
/// Longest contents of files of one configuration in octets.
const MAX_SECRET: usize = 1 << 30;
/// Longest contents of a file that is replaced, in octets.
const MAX_CONTENTS: usize = 64 << 20;
const CONTENTS: &str = "contents of files";
/// Time for the rest of a request that has begun.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Octets of the lengths.
const HEADER: usize = 8;

/// End of the worker.
pub struct Channel(UnixStream);

impl Channel {
    /// Returns the end of a worker.
    pub const fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Sends a request, and waits for the reply.
    ///
    /// # Errors
    /// The message about the channel, or about a request that is too long, which is not sent.
    pub fn call(&self, request: &Request) -> Result<Answer, String> {
        let call = || -> io::Result<Answer> {
            let head = serde_json::to_vec(request)?;
            check_length(head.len(), MAX_HEAD, "message")?;
            check_length(request.secret().len(), MAX_CONTENTS, CONTENTS)?;
            send(&self.0, &head, request.secret(), &[])?;
            let (head, secret, descriptors) = receive(&self.0, MAX_SECRET)?.ok_or(ErrorKind::UnexpectedEof)?;
            Ok(Answer { reply: serde_json::from_slice(&head)?, secret, descriptors })
        };
        call().map_err(|e| format!("privileged process: {e}"))
    }

    /// Returns the descriptor, which is readable when the other process has ended: it sends replies only.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Returns whether the other process has ended.
    pub(super) fn has_ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut descriptors = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut descriptors, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// Receives a request. Returns `None` if the worker has ended.
///
/// # Errors
/// The error of the system, or about a message that is not a request.
pub fn receive_request(stream: &UnixStream) -> io::Result<Option<Request>> {
    stream.set_read_timeout(Some(REQUEST_TIME))?;
    let Some((head, secret, _)) = receive(stream, MAX_CONTENTS)? else { return Ok(None) };
    let mut request: Request = serde_json::from_slice(&head)?;
    let is_valid = request.set_secret(secret);
    let error = || io::Error::new(ErrorKind::InvalidData, format!("{CONTENTS}: got some, expected none"));
    if is_valid { Ok(Some(request)) } else { Err(error()) }
}

/// Sends the reply to a request.
///
/// # Errors
/// The error of the system.
pub fn send_answer(stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    stream.set_write_timeout(Some(REQUEST_TIME))?;
    let head = match serde_json::to_vec(&answer.reply) {
        Ok(head) => head,
        // A path that is not UTF-8.
        Err(e) => serde_json::to_vec(&Reply::Error(e.to_string()))?,
    };
    let descriptors: Vec<_> = answer.descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
    send(stream, &head, &answer.secret, &descriptors)
}

fn send(mut stream: &UnixStream, head: &[u8], secret: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let length = |octets: &[u8]| u32::try_from(octets.len()).map_err(|_| ErrorKind::InvalidInput);
    let header = [length(head)?.to_be_bytes(), length(secret)?.to_be_bytes()].concat();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(ErrorKind::InvalidInput.into());
    }
    let sent = loop {
        match sendmsg(stream, &[IoSlice::new(&header)], &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            sent => break sent?,
        }
    };
    stream.write_all(header.get(sent..).unwrap_or_default())?;
    stream.write_all(head)?;
    stream.write_all(secret)
}

/// JSON, contents of files, and descriptors.
type Received = (Vec<u8>, Zeroizing<Vec<u8>>, Vec<OwnedFd>);

/// Receives a message. Returns `None` if the other process has ended before it.
fn receive(mut stream: &UnixStream, max_secret: usize) -> io::Result<Option<Received>> {
    let (mut header, mut descriptors) = ([0; HEADER], Vec::new());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(stream, &mut [IoSliceMut::new(&mut header)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?.bytes,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if received == 0 {
        return Ok(None);
    }
    stream.read_exact(header.get_mut(received..).unwrap_or_default())?;
    let [a, b, c, d, e, f, g, h] = header;
    let length = |octets, limit: usize, name: &str| {
        check_length(usize::try_from(u32::from_be_bytes(octets)).unwrap_or(usize::MAX), limit, name)
    };
    let (head, secret) = (length([a, b, c, d], MAX_HEAD, "message")?, length([e, f, g, h], max_secret, CONTENTS)?);
    let (mut head, mut secret) = (vec![0; head], Zeroizing::new(vec![0; secret]));
    stream.read_exact(&mut head)?;
    stream.read_exact(&mut secret)?;
    Ok(Some((head, secret, descriptors)))
}

/// Returns the length of a part of a message, if it is within a limit.
fn check_length(length: usize, limit: usize, name: &str) -> io::Result<usize> {
    let text = || format!("{name}: got {length} octets, expected at most {limit}");
    if length <= limit { Ok(length) } else { Err(io::Error::new(ErrorKind::InvalidData, text())) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::thread;

    use super::super::message::Contents;
    use super::*;

    #[test]
    fn replies_have_contents_and_descriptors() {
        let (own, other) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let request = receive_request(&own).unwrap();
            let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
            let secret = Zeroizing::new(vec![7; 300_000]);
            send_answer(&own, &Answer { reply: Reply::Done, secret, descriptors: vec![file.into()] }).unwrap();
            (request, receive_request(&own).unwrap())
        });
        let channel = Channel::new(other);
        let answer = channel.call(&Request::ReopenLog).unwrap();
        assert!(matches!(answer.reply, Reply::Done) && answer.secret.as_slice() == [7; 300_000]);
        let mut text = String::new();
        let [file] = <[OwnedFd; 1]>::try_from(answer.descriptors).unwrap();
        File::from(file).read_to_string(&mut text).unwrap();
        assert!(text.contains("name = \"ipsec-gateway\""));
        assert!(!channel.has_ended());
        drop(channel);
        assert_eq!(server.join().unwrap(), (Some(Request::ReopenLog), None));
    }

    #[test]
    fn contents_arrive_with_the_request_that_has_some_and_no_other() {
        let (own, other) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let request = receive_request(&own).unwrap();
            send_answer(&own, &Reply::Done.into()).unwrap();
            (request, receive_request(&own).map_err(|e| e.to_string()))
        });
        let request = Request::ReplaceState { contents: Contents(vec![0xff; 300_000].into()) };
        assert_eq!(format!("{request:?}"), "ReplaceState { contents: 300000 octets }");
        let channel = Channel::new(other);
        channel.call(&request).unwrap();
        send(&channel.0, &serde_json::to_vec(&Request::ReopenLog).unwrap(), &[7], &[]).unwrap();
        assert_eq!(
            server.join().unwrap(),
            (Some(request), Err("contents of files: got some, expected none".to_owned()))
        );
    }

    #[test]
    fn a_request_that_is_too_long_is_not_sent() {
        let (own, other) = UnixStream::pair().unwrap();
        let channel = Channel::new(other);
        let contents = Contents(vec![0; MAX_CONTENTS + 1].into());
        let error = channel.call(&Request::ReplaceState { contents }).err().unwrap();
        assert!(error.contains("expected at most 67108864"), "{error}");
        own.set_nonblocking(true).unwrap();
        assert_eq!(receive(&own, 0).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!channel.has_ended());
    }

    #[test]
    fn malformed_requests_are_refused() {
        let request = |octets: &[u8]| {
            let (own, mut other) = UnixStream::pair().unwrap();
            other.write_all(octets).unwrap();
            drop(other);
            receive_request(&own)
        };
        assert_eq!(request(&[]).unwrap(), None);
        assert_eq!(request(b"\0\0\0\x07\0\0\0\0\"Start\"").unwrap(), Some(Request::Start));
        let table: [&[u8]; 6] = [
            b"\0\0\0",
            b"\0\0\0\x07\0\0\0\0\"St",
            b"\0\0\0\x07\0\0\0\0\"Shell\"",
            b"\0\0\0\x02\0\0\0\0{}",
            b"\xff\0\0\0\0\0\0\0",
            b"\0\0\0\x07\0\0\0\x01\"Start\"x",
        ];
        for octets in table {
            assert!(request(octets).is_err(), "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn end_of_the_privileged_process_is_seen() {
        let (own, other) = UnixStream::pair().unwrap();
        drop(own);
        let channel = Channel::new(other);
        assert!(channel.has_ended());
        assert!(channel.call(&Request::Start).is_err());
    }
}
