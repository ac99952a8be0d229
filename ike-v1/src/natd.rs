use core::net::{IpAddr, SocketAddr};

use ipsec_crypto::{HashFunction, IcvMismatch, PrfOutput};

use crate::Cookies;

/// The body of a NAT-D payload: `hash(CKY-I | CKY-R | address | port)` with the negotiated hash (RFC 3947 3.2, and all of
/// its drafts).
pub fn detection_hash(hash: HashFunction, cookies: &Cookies, end: SocketAddr) -> PrfOutput {
    let port = end.port().to_be_bytes();
    // A socket for both families shows IPv4 addresses mapped into IPv6.
    match end.ip().to_canonical() {
        IpAddr::V4(ip) => hash.digest(&[&cookies.initiator, &cookies.responder, &ip.octets(), &port]),
        IpAddr::V6(ip) => hash.digest(&[&cookies.initiator, &cookies.responder, &ip.octets(), &port]),
    }
}

/// Where NATs are, as the receiver of a message sees it (RFC 3947 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NatSituation {
    /// The receiver's own address is translated.
    pub here: bool,
    /// The sender's address is translated.
    pub there: bool,
}

/// Compares the NAT-D payloads of a message with the addresses that its datagram carried (RFC 3947 3.2).
///
/// The first hash is that of the destination, all others are of the sender, who may not know which of its addresses is
/// used: one match is enough. A peer that wants NAT traversal in any case sends hashes that match nothing.
///
/// `None` when there are fewer than two hashes: the sender does not do NAT traversal.
pub fn detect<'a>(
    hash: HashFunction,
    cookies: &Cookies,
    datagram: (SocketAddr, SocketAddr),
    hashes: impl IntoIterator<Item = &'a [u8]>,
) -> Option<NatSituation> {
    let (source, destination) = datagram;
    let mut hashes = hashes.into_iter();
    let own = hashes.next()?;
    let here = detection_hash(hash, cookies, destination).verify(own) == Err(IcvMismatch);
    let expected = detection_hash(hash, cookies, source);
    let (count, matches) = hashes.fold((0usize, false), |(count, matches), received| {
        (count.saturating_add(1), matches | expected.verify(received).is_ok())
    });
    (count > 0).then_some(NatSituation { here, there: !matches })
}
