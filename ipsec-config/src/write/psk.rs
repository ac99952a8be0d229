//! Writer of the lines of psk.txt.

use std::fmt::Write;
use std::string::String;

use super::{Hex, Lost};
use crate::Configuration;

/// Writes the keys of the configuration, by the identity or the address of their peers. Keys that a line cannot contain
/// as text are hexadecimal.
pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    let mut text = String::new();
    for key in &configuration.keys {
        let Some(peer) = configuration.peers.get(key.peer) else { continue };
        let config = &peer.config;
        let _ = match (&config.remote_identity, config.address) {
            (_, Some(address)) => write!(text, "{}\t", address.ip()),
            (Some(identity), None) => write!(text, "{identity}\t"),
            (None, None) => write!(text, "*\t"),
        };
        let is_text = core::str::from_utf8(&key.key).ok().filter(|key| {
            !key.is_empty() && !key.starts_with("0x") && key.trim() == *key && !key.contains(['\n', '\r'])
        });
        let _ = match is_text {
            Some(key) => writeln!(text, "{key}"),
            None => writeln!(text, "{}", Hex(&key.key)),
        };
    }
    if configuration.keys.is_empty() && configuration.peers.iter().any(|peer| peer.config.needs_key()) {
        lost.note("pre-shared keys, which are in another file");
    }
    text
}
