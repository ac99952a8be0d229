//! Debug lines about IKE messages. Keys and plaintext are not written: an encrypted message is shown as on the wire.

use std::fmt::Write as _;

use ike_codec::{Header, Message, PayloadKind, Port, identify, unframe_udp};
use ike_v1::{Counter, Path};
use ipsec_packet::Datagram;

use super::GatewayNegotiator;
use crate::config::NAT_TRAVERSAL_PORT;
use crate::host::show;
use crate::log;

/// Debug level of lines about messages.
const MESSAGES: u8 = 1;
/// Debug level of lines about the counters that a message has changed.
const COUNTERS: u8 = 2;
/// Octets of a message that are shown at most.
const MAX_SHOWN: usize = 4096;

/// Writes a line about a datagram that was received.
pub fn received(path: &Path, datagram: &[u8]) {
    if log::has_debug(MESSAGES) {
        let text = describe(path, datagram, log::is_verbose());
        log::debug(MESSAGES, format_args!("received by {} from {}: {text}", show(path.local), show(path.remote)));
    }
}

/// Writes a line about a datagram that was sent.
pub fn sent(path: &Path, datagram: &[u8]) {
    if log::has_debug(MESSAGES) {
        let text = describe(path, datagram, log::is_verbose());
        log::debug(MESSAGES, format_args!("sent by {} to {}: {text}", show(path.local), show(path.remote)));
    }
}

/// Counters before a datagram is processed, if lines about them are written.
pub fn counters(negotiator: &GatewayNegotiator) -> Option<Vec<(Counter, u32)>> {
    log::has_debug(COUNTERS).then(|| negotiator.counters().iter().collect())
}

/// Writes a line about the counters that a datagram has changed.
pub fn counted(before: Option<Vec<(Counter, u32)>>, negotiator: &GatewayNegotiator) {
    let Some(before) = before else { return };
    let changed = before.into_iter().filter(|(counter, value)| negotiator.counters().get(*counter) != *value);
    let names: Vec<_> = changed.map(|(counter, _)| counter.name()).collect();
    log::debug(COUNTERS, format_args!("counted as: {}", names.join(", ")));
}

/// Returns the fields of the header of a message, with its octets if they are wanted.
fn describe(path: &Path, datagram: &[u8], has_octets: bool) -> String {
    let port = if path.local.port() == NAT_TRAVERSAL_PORT { Port::NatTraversal } else { Port::Ike };
    let mut text = match unframe_udp(port, datagram) {
        Datagram::Ike(message) => match Header::read(message) {
            Ok((header, _)) => {
                let cookie = |octets: &[u8]| crate::key_tables::hex(octets).as_str().to_owned();
                let Header { exchange, message_id, length, .. } = header;
                let more = if header.is_encrypted() { ", encrypted".to_owned() } else { vendor_names(message) };
                format!(
                    "{exchange}, cookies {}:{}, message ID {message_id:#010x}, {length} octets{more}",
                    cookie(&header.initiator_cookie),
                    cookie(&header.responder_cookie)
                )
            }
            Err(e) => format!("{} octets, malformed IKE header: {e}", message.len()),
        },
        Datagram::KeepAlive => "NAT-keepalive".to_owned(),
        _ => format!("{} octets, not an IKE message", datagram.len()),
    };
    if has_octets {
        text.push_str(": ");
        for octet in datagram.iter().take(MAX_SHOWN) {
            let _ = write!(text, "{octet:02x}"); // a String takes everything
        }
        text.push_str(if datagram.len() > MAX_SHOWN { ".." } else { "" });
    }
    text
}

/// Returns the names of the vendor IDs of a message in cleartext; an unknown one is shown by its octets.
fn vendor_names(message: &[u8]) -> String {
    let Ok(message) = Message::parse(message) else { return String::new() };
    let ids = message.payloads().filter(|payload| payload.kind == PayloadKind::VENDOR_ID);
    let name = |body: &[u8]| match identify(body) {
        Some(known) => known.name.to_owned(),
        None => crate::key_tables::hex(body).as_str().to_owned(),
    };
    let names: Vec<_> = ids.map(|payload| name(payload.body)).collect();
    if names.is_empty() { String::new() } else { format!(", vendor IDs: {}", names.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_shown_with_the_fields_of_their_header() {
        let path = |port: u16| Path { local: ([192, 0, 2, 1], port).into(), remote: ([192, 0, 2, 2], port).into() };
        let mut message = vec![0x11; 8];
        message.extend([0x22; 8]);
        message.extend([8, 0x10, 32, 1, 0, 0, 0, 7, 0, 0, 0, 28]);
        let text = "Quick Mode, cookies 1111111111111111:2222222222222222, message ID 0x00000007, 28 octets, encrypted";
        let shown = describe(&path(500), &message, false);
        assert_eq!(shown.to_lowercase(), text.to_lowercase());
        let framed = [&[0; 4][..], &message].concat();
        assert_eq!(describe(&path(4500), &framed, false), shown);
        assert_eq!(describe(&path(4500), &[0xff], true), "NAT-keepalive: ff");
        // A vendor ID of RFC 3706, and an unknown one.
        let mut clear = [[0x11; 8], [0; 8]].concat();
        clear.extend([13, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 54]);
        clear
            .extend([13, 0, 0, 20, 0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57]);
        clear.extend([1, 0, 0, 0, 0, 6, 0xbe, 0xef]);
        let shown = describe(&path(500), &clear, false);
        assert!(
            shown.contains(", vendor IDs: ") && shown.ends_with("; beef") && shown.contains("Dead Peer Detection"),
            "{shown}"
        );
        let cut = describe(&path(500), &message[..10], false);
        assert!(cut.starts_with("10 octets, malformed IKE header: "), "{cut}");
    }
}
