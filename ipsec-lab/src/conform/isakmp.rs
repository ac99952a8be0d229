//! Records of types `isakmp`, `isakmp-bytes` and `isakmp-fragments`.

use ike_codec::{Body, Datagram, Message, Payload, Port, Progress, Reassembly, unframe_udp};
use test_vectors::{Expected, IsakmpBytesRecord, IsakmpFragmentsRecord, IsakmpRecord, PayloadNode, to_hex};

use super::Failure;

/// Length of the longest message in octets.
const ROOM: usize = 65535;

/// Parses the message, compares header and payload tree, and writes it again.
pub fn check(record: &IsakmpRecord) -> Result<(), Failure> {
    if let Some(datagram) = &record.udp_payload {
        let framed = unframe_udp(Port::NatTraversal, datagram);
        if framed != Datagram::Ike(&record.hex) {
            return Err(Failure::new("an IKE message after the marker", format!("{framed:?}")));
        }
    }
    let message = match (record.expected, Message::parse(&record.hex)) {
        (Expected::Reject, Err(e)) => return super::refused(record.expected_reason.as_deref(), &e.to_string()),
        (Expected::Any, Err(_)) => return Ok(()),
        (Expected::Reject, Ok(_)) => return Err(Failure::new("reject", "accept")),
        (Expected::Accept, Err(e)) => return Err(Failure::new("accept", e)),
        (_, Ok(message)) => message,
    };
    compare_header(record, &message)?;
    if record.encrypted != message.is_encrypted() {
        return Err(Failure::new(format!("encrypted {}", record.encrypted), message.is_encrypted()));
    }
    if let Some(expected) = &record.payloads {
        let found: Vec<_> = message.payloads().map(|payload| tree(&payload)).collect();
        if !same(expected, &found) {
            return Err(Failure::new(format!("{expected:?}"), format!("{found:?}")));
        }
    }
    round_trip(&message, &record.hex)
}

/// Parses arbitrary octets. An accepted message must be written again unchanged.
pub fn check_bytes(record: &IsakmpBytesRecord) -> Result<(), Failure> {
    match (record.expected, Message::parse(&record.hex)) {
        (Expected::Reject, Err(e)) => super::refused(record.expected_reason.as_deref(), &e.to_string()),
        (Expected::Any, Err(_)) => Ok(()),
        (Expected::Reject, Ok(_)) => Err(Failure::new("reject", "accept")),
        (Expected::Accept, Err(e)) => Err(Failure::new("accept", e)),
        (Expected::Accept | Expected::Any, Ok(message)) => round_trip(&message, &record.hex),
    }
}

/// Reassembles the message from its fragments, in order and in reverse order.
pub fn check_fragments(record: &IsakmpFragmentsRecord) -> Result<(), Failure> {
    let in_order: Vec<&[u8]> = record.fragments.iter().map(|f| &**f).collect();
    let reversed: Vec<&[u8]> = in_order.iter().rev().copied().collect();
    for order in [in_order, reversed] {
        match (record.expected, reassemble(&order, record.fragment_id)) {
            (Expected::Reject, Err(problem)) => super::refused(record.expected_reason.as_deref(), &problem)?,
            (Expected::Any, Err(_)) => {}
            (Expected::Reject, Ok(_)) => return Err(Failure::new("reject", "accept")),
            (Expected::Accept, Err(problem)) => return Err(Failure::new("accept", problem)),
            (_, Ok(message)) if message == *record.reassembled => {}
            (_, Ok(message)) => return Err(Failure::new(to_hex(&record.reassembled), to_hex(&message))),
        }
    }
    Ok(())
}

fn reassemble(fragments: &[&[u8]], id: u16) -> Result<Vec<u8>, String> {
    let (mut store, mut out) = (vec![0; ROOM], vec![0; ROOM]);
    let mut reassembly = Reassembly::new(&mut store);
    let mut progress = Progress::Stored;
    for fragment in fragments {
        let message = Message::parse(fragment).map_err(|e| e.to_string())?;
        match message.payloads().next().map(|p| p.view()) {
            Some(Body::Fragment(fragment)) if fragment.id == id => {}
            other => return Err(format!("{other:?} instead of a fragment with ID {id}")),
        }
        progress = reassembly.add(&message).map_err(|e| e.to_string())?;
    }
    match progress {
        Progress::Complete => reassembly.message(&mut out).map(|m| m.to_vec()).map_err(|e| e.to_string()),
        other => Err(format!("{other:?} after the last fragment")),
    }
}

fn compare_header(record: &IsakmpRecord, message: &Message<'_>) -> Result<(), Failure> {
    let (expected, header) = (&record.header, message.header());
    let version = format!("{}.{}", header.version.major(), header.version.minor());
    let equal = *expected.initiator_cookie == header.initiator_cookie
        && *expected.responder_cookie == header.responder_cookie
        && expected.next_payload == header.next_payload.0
        && expected.version == version
        && expected.exchange == header.exchange.0
        && expected.flags == header.flags.0
        && *expected.message_id == header.message_id.to_be_bytes()
        && expected.length == header.length;
    if equal { Ok(()) } else { Err(Failure::new(format!("{expected:?}"), format!("{header:?}"))) }
}

fn tree(payload: &Payload<'_>) -> PayloadNode {
    let (kind, offset, length) = (payload.kind.0, i64::from(payload.offset), payload.length() as u64);
    let Body::SecurityAssociation(sa) = payload.view() else { return PayloadNode::Leaf(kind, offset, length) };
    let proposals = sa.proposals().map(|proposal| {
        let transforms =
            proposal.transforms().map(|t| PayloadNode::Leaf(3, i64::from(t.offset), u64::from(t.length))).collect();
        PayloadNode::Branch(2, i64::from(proposal.offset), u64::from(proposal.length), transforms)
    });
    PayloadNode::Branch(kind, offset, length, proposals.collect())
}

/// Compares trees. Children are not compared where the other dissector shows none, or an empty list.
fn same(expected: &[PayloadNode], found: &[PayloadNode]) -> bool {
    let parts = |node: &PayloadNode| match node {
        PayloadNode::Branch(kind, offset, length, children) => (*kind, *offset, *length, children.clone()),
        PayloadNode::Leaf(kind, offset, length) => (*kind, *offset, *length, Vec::new()),
    };
    expected.len() == found.len()
        && expected.iter().zip(found).all(|(expected, found)| {
            let (expected, found) = (parts(expected), parts(found));
            let children = expected.3.is_empty() || same(&expected.3, &found.3);
            (expected.0, expected.1, expected.2) == (found.0, found.1, found.2) && children
        })
}

fn round_trip(message: &Message<'_>, bytes: &[u8]) -> Result<(), Failure> {
    let mut out = vec![0; bytes.len()];
    match message.write(&mut out) {
        Ok(written) if *written == *bytes => Ok(()),
        Ok(written) => Err(Failure::new(format!("rewritten message {}", to_hex(bytes)), to_hex(written))),
        Err(e) => Err(Failure::new("rewritten message", e)),
    }
}
