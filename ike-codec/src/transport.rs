use core::fmt;

use crate::error::NoSpace;

/// Four zero octets in front of IKE on port 4500, where an SPI of ESP would be (RFC 3948 2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// What a connection over TCP begins with (RFC 8229 4).
pub const TCP_PREFIX: [u8; 6] = *b"IKETCP";

/// The UDP port a datagram came to (RFC 3947 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Port {
    /// 500: IKE only.
    Ike,
    /// 4500: IKE behind a marker, ESP, keep-alives (RFC 3948).
    NatTraversal,
    /// 500 with the NAT-T drafts 00 and 01: ESP follows eight zero octets, which no initiator cookie is.
    IkeAndEsp,
}

/// What a datagram or a frame holds (RFC 3948 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// An IKE message, its marker taken off.
    Ike(&'a [u8]),
    /// An ESP packet.
    Esp(&'a [u8]),
    /// A NAT keep-alive: one octet 0xff.
    KeepAlive,
}

/// What a UDP payload holds (RFC 3948 2).
///
/// Anything of port 4500 that is neither marked nor a keep-alive is ESP, and judged there.
pub fn unframe_udp(port: Port, payload: &[u8]) -> Framed<'_> {
    match (port, payload) {
        (_, [0xff]) => Framed::KeepAlive,
        (Port::IkeAndEsp, [0, 0, 0, 0, 0, 0, 0, 0, packet @ ..]) => Framed::Esp(packet),
        (Port::Ike | Port::IkeAndEsp, message) => Framed::Ike(message),
        (Port::NatTraversal, [0, 0, 0, 0, message @ ..]) => Framed::Ike(message),
        (Port::NatTraversal, packet) => Framed::Esp(packet),
    }
}

/// Why a stream cannot be split any further; the connection is to be closed (RFC 8229 3, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// It does not begin with [`TCP_PREFIX`].
    NoPrefix,
    /// A frame shorter than its own length field.
    FrameLength(u16),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefix => f.write_str("the stream does not begin with IKETCP"),
            Self::FrameLength(length) => write!(f, "frame of {length} octets"),
        }
    }
}

impl core::error::Error for StreamError {}

/// Takes the prefix off the start of a stream (RFC 8229 4); `None` while it may still be coming.
///
/// # Errors
/// [`StreamError::NoPrefix`], as soon as an octet differs.
pub fn strip_tcp_prefix(stream: &[u8]) -> Result<Option<&[u8]>, StreamError> {
    match stream.strip_prefix(&TCP_PREFIX) {
        Some(rest) => Ok(Some(rest)),
        None if TCP_PREFIX.starts_with(stream) => Ok(None),
        None => Err(StreamError::NoPrefix),
    }
}

/// Takes one frame off a stream (RFC 8229 3): what it holds, and the rest; `None` while the frame is not whole.
///
/// ```text
/// | length (2), these two included | non-ESP marker (4) and IKE message, or ESP packet |
/// ```
///
/// # Errors
/// [`StreamError::FrameLength`] for a length below 2.
pub fn split_tcp(stream: &[u8]) -> Result<Option<(Framed<'_>, &[u8])>, StreamError> {
    let Some((length, rest)) = stream.split_first_chunk::<2>() else { return Ok(None) };
    let length = u16::from_be_bytes(*length);
    let octets = usize::from(length).checked_sub(2).ok_or(StreamError::FrameLength(length))?;
    Ok(rest.split_at_checked(octets).map(|(frame, rest)| (unframe_udp(Port::NatTraversal, frame), rest)))
}

/// The length field and marker to be sent in front of an IKE message over TCP (RFC 8229 3.1).
///
/// # Errors
/// [`NoSpace`] when the message is longer than a frame can be, 65,529 octets.
pub fn tcp_frame_head(message: usize) -> Result<[u8; 6], NoSpace> {
    let length = message.checked_add(6).and_then(|n| u16::try_from(n).ok()).ok_or(NoSpace)?;
    let [l0, l1] = length.to_be_bytes();
    Ok([l0, l1, 0, 0, 0, 0])
}
