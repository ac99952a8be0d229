//! NAT traversal in phase 1: NAT-D payloads, and the change to the port for NAT traversal (RFC 3947 sections 3 and 4).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ike_codec::{IpsecAttributes, MessageWriter, NatTraversal, NoSpace, OriginalAddress, Quirks};

use super::census::Census;
use super::choose::is_udp_transport;
use super::features::NAT_TRAVERSAL;
use super::ipsec_sa::IpsecSlot;
use super::{Path, Peer, Role};
use crate::{Cookies, NatDetection, Phase1Choice, detect, detection_hash};

/// NAT traversal of an ISAKMP SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NatSituation {
    /// Document that both ends support; `None` without NAT traversal.
    pub document: Option<NatTraversal>,
    /// Result of NAT detection, from the point of view of this host.
    pub detection: NatDetection,
}

impl NatSituation {
    /// Returns the document by which ESP is sent in UDP, `None` if there is no NAT.
    pub fn in_udp(&self) -> Option<NatTraversal> {
        self.document.filter(|_| NAT_TRAVERSAL && self.is_detected())
    }

    /// Returns whether there is a NAT.
    pub(crate) const fn is_detected(&self) -> bool {
        self.detection.here || self.detection.there
    }

    /// Returns whether the address or port of the peer may change: that of a peer behind a NAT, unless this host is
    /// behind one (RFC 3947 section 7).
    pub(crate) const fn may_peer_move(&self) -> bool {
        self.detection.there && !self.detection.here
    }

    /// Returns the path after the change of ports of the initiator (RFC 3947 section 4).
    pub(crate) fn changed(&self, path: Path, port: u16) -> Path {
        if !self.in_udp().is_some_and(NatTraversal::changes_port) {
            return path;
        }
        let with_port = |address: SocketAddr| SocketAddr::new(address.ip(), port);
        Path { local: with_port(path.local), remote: with_port(path.remote) }
    }
}

/// Returns the document of NAT traversal that this host and the peer support.
pub(crate) fn document(peer: &Peer<'_>, theirs: &Quirks) -> Option<NatTraversal> {
    if NAT_TRAVERSAL { peer.nat_traversal.latest_common(theirs.nat_traversal) } else { None }
}

/// Writes the NAT-D payloads: the hash of the peer's end of the path, then that of this host's end, which is wrong if
/// NAT traversal is forced.
pub(crate) fn write(
    writer: &mut MessageWriter<'_>,
    peer: &Peer<'_>,
    theirs: &Quirks,
    (choice, cookies, path): (&Phase1Choice, &Cookies, &Path),
) -> Result<(), NoSpace> {
    let Some(document) = document(peer, theirs) else { return Ok(()) };
    let unspecified = match path.local.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let own = if peer.forces_nat_traversal { SocketAddr::new(unspecified, 0) } else { path.local };
    for address in [path.remote, own] {
        writer.bytes(document.detection(), detection_hash(choice.hash, cookies, address).expose())?;
    }
    Ok(())
}

/// Compares the NAT-D payloads of a message with the addresses of its datagram. Those of other documents are ignored:
/// some peers send several. Without any, the peer does not use NAT traversal.
pub(crate) fn read(
    peer: &Peer<'_>,
    theirs: &Quirks,
    (choice, cookies, path): (&Phase1Choice, &Cookies, &Path),
    message: &Census<'_>,
) -> NatSituation {
    let Some(document) = document(peer, theirs) else { return NatSituation::default() };
    let hashes = message.payloads().filter(|payload| payload.kind == document.detection()).map(|payload| payload.body);
    match detect(choice.hash, cookies, (path.remote, path.local), hashes) {
        Some(detection) => {
            let here = detection.here || peer.forces_nat_traversal;
            NatSituation { document: Some(document), detection: NatDetection { here, ..detection } }
        }
        None => NatSituation::default(),
    }
}

/// Writes the NAT-OA payloads of transport mode in UDP: the addresses of the initiator and of the responder as this
/// host sees them (RFC 3947 section 5.2).
pub(crate) fn write_originals(
    writer: &mut MessageWriter<'_>,
    pair: &IpsecSlot,
    role: Role,
    is_transport: bool,
) -> Result<(), NoSpace> {
    let Some(document) = pair.nat.in_udp().filter(|_| is_transport) else { return Ok(()) };
    let (local, remote) = (pair.path.local.ip(), pair.path.remote.ip());
    let addresses = match role {
        Role::Initiator => [local, remote],
        Role::Responder => [remote, local],
    };
    for address in addresses {
        writer.payload(document.original_address(), |body| OriginalAddress::write_address(address, body))?;
    }
    Ok(())
}

/// Returns the NATs of a first message of quick mode that requests transport mode in UDP; `None` for other messages.
pub(crate) fn transport_through(message: &Census<'_>, nat: &NatSituation) -> Option<NatDetection> {
    nat.in_udp()?;
    let (sa, _) = message.sa().ok()?;
    let transform = sa.proposals().next()?.transforms().next()?;
    let mode = IpsecAttributes::read(&transform.attributes).ok()?.encapsulation?;
    is_udp_transport(mode).then_some(nat.detection)
}
