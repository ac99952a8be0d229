//! Vendor IDs of phase 1, which announce the extensions that a peer supports (RFC 2408 section 3.16).

use ike_codec::{Body, MessageWriter, NatTraversal, NatTraversals, NoSpace, PayloadKind, Quirks, VendorIdMeaning};

use super::census::Census;
use super::features::{DEAD_PEER_DETECTION, FRAGMENTS, NAT_TRAVERSAL, VENDOR_IDS, XAUTH};
use super::{Peer, Role, natt};
use crate::Phase1Choice;

/// Writes the vendor IDs of a first message. The initiator announces all that it supports; the responder answers
/// with the latest document for NAT traversal that both support, and with what the initiator has named.
pub(crate) fn write(
    writer: &mut MessageWriter<'_>,
    peer: &Peer<'_>,
    role: Role,
    theirs: &Quirks,
) -> Result<(), NoSpace> {
    if !VENDOR_IDS {
        return Ok(());
    }
    //= RFC 2408 3.16/2
    //# MUST: vendor ids are sent in phase 1
    let offered = match role {
        Role::Initiator if NAT_TRAVERSAL => peer.nat_traversal,
        Role::Initiator => NatTraversals::NONE,
        Role::Responder => {
            natt::document(peer, theirs).map_or(NatTraversals::NONE, |document| NatTraversals::NONE.with(document))
        }
    };
    for document in NatTraversal::ALL.into_iter().rev().filter(|document| offered.contains(*document)) {
        write_one(writer, VendorIdMeaning::NatTraversal(document), &[])?;
    }
    if DEAD_PEER_DETECTION && (role == Role::Initiator || theirs.dead_peer_detection) {
        // Version 1.0.
        //= RFC 3706 5.1/2
        //# MUST: a peer that takes part sends the vendor ID
        write_one(writer, VendorIdMeaning::DeadPeerDetection, &[1, 0])?;
    }
    if FRAGMENTS && peer.fragment_size > 0 && (role == Role::Initiator || theirs.fragmentation.is_some()) {
        write_one(writer, VendorIdMeaning::Fragmentation, &IN_IDENTITY_PROTECTION)?;
    }
    let has_xauth = |offer: &Phase1Choice| matches!(peer.check_xauth_role(offer.auth_method, role), Ok(Some(_)));
    let has_login = peer.proposals.iter().any(has_xauth);
    if XAUTH && has_login && (role == Role::Initiator || theirs.xauth) {
        write_one(writer, VendorIdMeaning::Xauth, &[])?;
    }
    if XAUTH && peer.mode_config.is_some() && (role == Role::Initiator || theirs.unity) {
        write_one(writer, VendorIdMeaning::Unity, &[1, 0])?;
    }
    Ok(())
}

/// Capabilities after the vendor ID of fragmentation: fragments are accepted in main and aggressive mode.
const IN_IDENTITY_PROTECTION: [u8; 4] = [0x80, 0, 0, 0];

fn write_one(writer: &mut MessageWriter<'_>, meaning: VendorIdMeaning, version: &[u8]) -> Result<(), NoSpace> {
    let known = ike_codec::vendor_ids().iter().find(|known| known.meaning == meaning).ok_or(NoSpace)?;
    let payload = writer.payload(PayloadKind::VENDOR_ID, |body| {
        body.put(known.bytes)?;
        body.put(version)
    });
    payload.map(drop)
}

/// Adds the properties that the vendor IDs of a message announce to those of its sender. Some peers send them in later
/// messages of phase 1.
pub(crate) fn collect(mut known: Quirks, message: &Census<'_>) -> Quirks {
    if !VENDOR_IDS {
        return known;
    }
    for payload in message.payloads() {
        if let Body::VendorId(body) = payload.view() {
            known.add(body);
        }
    }
    known
}
