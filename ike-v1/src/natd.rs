use core::net::{IpAddr, SocketAddr};

use ipsec_crypto::{HashFunction, IcvMismatch, PrfOutput};

use crate::Cookies;

/// Computes the body of a NAT-D payload: `hash(CKY-I | CKY-R | address | port)` with the negotiated hash algorithm (RFC
/// 3947 section 3.2, and all of its drafts).
pub fn detection_hash(hash: HashFunction, cookies: &Cookies, address: SocketAddr) -> PrfOutput {
    let port = address.port().to_be_bytes();
    // A dual-stack socket reports IPv4 addresses as IPv4-mapped IPv6 addresses.
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => hash.digest(&[&cookies.initiator, &cookies.responder, &ip.octets(), &port]),
        IpAddr::V6(ip) => hash.digest(&[&cookies.initiator, &cookies.responder, &ip.octets(), &port]),
    }
}

/// Result of NAT detection from the point of view of the receiver of a message (RFC 3947 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NatDetection {
    /// Set if the receiver is behind a NAT: its own address is translated.
    pub here: bool,
    /// Set if the sender is behind a NAT: its address is translated.
    pub there: bool,
}

/// Compares the NAT-D payloads of a message with the addresses of its datagram, `(source, destination)` (RFC 3947
/// section 3.2).
///
/// The first hash is that of the destination address; all others are hashes of source addresses, because a sender with
/// several addresses cannot tell which one is used. One match is sufficient. A peer that forces NAT traversal sends
/// hashes that do not match.
///
/// The result is `None` for fewer than two hashes: the sender does not use NAT traversal.
pub fn detect<'a>(
    hash: HashFunction,
    cookies: &Cookies,
    datagram: (SocketAddr, SocketAddr),
    hashes: impl IntoIterator<Item = &'a [u8]>,
) -> Option<NatDetection> {
    let (source, destination) = datagram;
    let mut hashes = hashes.into_iter();
    let own = hashes.next()?;
    let here = detection_hash(hash, cookies, destination).verify(own) == Err(IcvMismatch);
    let expected = detection_hash(hash, cookies, source);
    let (count, matches) = hashes.fold((0usize, false), |(count, matches), received| {
        (count.saturating_add(1), matches | expected.verify(received).is_ok())
    });
    (count > 0).then_some(NatDetection { here, there: !matches })
}
