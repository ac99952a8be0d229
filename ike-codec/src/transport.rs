use core::fmt;

use ipsec_packet::{Datagram, Marker, classify};

use crate::error::NoSpace;

/// Non-ESP marker: four zero octets before an IKE message on port 4500, in the position of the ESP SPI (RFC 3948
/// section 2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// Stream prefix at the start of a TCP connection (RFC 8229 section 4).
pub const TCP_PREFIX: [u8; 6] = *b"IKETCP";

/// UDP port on which a datagram was received (RFC 3947 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Port {
    /// Port 500, which carries IKE only.
    Ike,
    /// Port 4500, which carries IKE with a non-ESP marker, ESP and NAT-keepalive packets (RFC 3948).
    NatTraversal,
    /// Port 500 with the NAT-T drafts 00 and 01: ESP follows eight zero octets, which are not a valid initiator cookie.
    IkeAndEsp,
}

/// Classifies a UDP payload and removes the non-ESP marker (RFC 3948 section 2). The rules are those of
/// [`ipsec_packet::classify`]; on port 500 every payload except a NAT-keepalive packet is an IKE message.
pub fn unframe_udp(port: Port, payload: &[u8]) -> Datagram<'_> {
    match (port, payload) {
        (Port::NatTraversal, _) => classify(payload, Marker::NonEsp),
        (Port::IkeAndEsp, _) => classify(payload, Marker::NonIke),
        (Port::Ike, [0xff]) => Datagram::KeepAlive,
        (Port::Ike, message) => Datagram::Ike(message),
    }
}

/// Framing error of a TCP stream, after which the connection has to be closed (RFC 8229 sections 3 and 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The stream does not begin with [`TCP_PREFIX`].
    NoPrefix,
    /// The length of a frame is less than that of its length field.
    FrameLength(u16),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefix => f.write_str("stream does not begin with IKETCP"),
            Self::FrameLength(length) => write!(f, "frame length {length} is less than 2"),
        }
    }
}

impl core::error::Error for StreamError {}

/// Removes the prefix from the start of a stream (RFC 8229 section 4). The result is `None` while the prefix is
/// incomplete.
///
/// # Errors
/// [`StreamError::NoPrefix`] as soon as an octet differs from the prefix.
pub fn strip_tcp_prefix(stream: &[u8]) -> Result<Option<&[u8]>, StreamError> {
    match stream.strip_prefix(&TCP_PREFIX) {
        Some(rest) => Ok(Some(rest)),
        None if TCP_PREFIX.starts_with(stream) => Ok(None),
        None => Err(StreamError::NoPrefix),
    }
}

/// Splits the first frame from a stream and returns its content and the remaining octets (RFC 8229 section 3). The
/// result is `None` while the frame is incomplete.
///
/// ```text
/// | length (2), these two included | non-ESP marker (4) and IKE message, or ESP packet |
/// ```
///
/// # Errors
/// [`StreamError::FrameLength`] for a length below 2.
pub fn split_tcp(stream: &[u8]) -> Result<Option<(Datagram<'_>, &[u8])>, StreamError> {
    let Some((length, rest)) = stream.split_first_chunk::<2>() else { return Ok(None) };
    let length = u16::from_be_bytes(*length);
    let octets = usize::from(length).checked_sub(2).ok_or(StreamError::FrameLength(length))?;
    Ok(rest.split_at_checked(octets).map(|(frame, rest)| (unframe_udp(Port::NatTraversal, frame), rest)))
}

/// Returns the length field and the non-ESP marker that precede an IKE message of `message` octets over TCP (RFC 8229
/// section 3.1).
///
/// # Errors
/// [`NoSpace`] when the message is longer than 65,529 octets, the maximum of a frame.
pub fn tcp_frame_header(message: usize) -> Result<[u8; 6], NoSpace> {
    let length = message.checked_add(6).and_then(|n| u16::try_from(n).ok()).ok_or(NoSpace)?;
    let [l0, l1] = length.to_be_bytes();
    Ok([l0, l1, 0, 0, 0, 0])
}
