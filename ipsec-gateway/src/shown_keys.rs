//! Keys of SAs for clients of the control socket, if the configuration allows that.

use std::fmt::Write as _;

use ipsec_config::setkey::{Add, LoadOptions};
use ipsec_sa::{Direction, SaParams, TransformParams};
use zeroize::Zeroizing;

use crate::key_tables::{esp_row, hex};

/// Keys of one SA as text.
#[derive(Clone)]
pub struct ShownKeys {
    /// Row of the table of Wireshark; `None` for other protocols than ESP.
    pub row: Option<Zeroizing<String>>,
    cipher: Zeroizing<String>,
    integrity: Zeroizing<String>,
}

impl ShownKeys {
    /// Writes the keys of an SA.
    pub fn of(sa: &SaParams) -> Self {
        let (cipher, integrity) = match &sa.transform {
            TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
                (keys.cipher_key.expose(), keys.integrity_key.expose())
            }
            TransformParams::Ah { key, .. } => (&[][..], key.expose()),
            TransformParams::Ipcomp { .. } => (&[][..], &[][..]),
        };
        Self { row: esp_row(sa), cipher: groups(cipher), integrity: groups(integrity) }
    }

    /// Writes the keys of the SA of a statement in one direction. Returns `None` if it has no valid parameters.
    pub fn of_statement(sa: &Add<'_>, direction: Direction) -> Option<Self> {
        // The inner addresses of BEET mode are those of a policy, and no part of the keys.
        let inner = Some((sa.id.source.0, sa.id.destination.0));
        Some(Self::of(&sa.params(direction, inner, &LoadOptions::RFC).ok()?))
    }

    /// Returns output of `setkey -D` with the keys of the SA appended to its lines `E:` and `A:`.
    pub fn added_to(&self, text: &str) -> Zeroizing<String> {
        let size = text.len() + self.cipher.len() + self.integrity.len() + 8;
        let mut with_keys = Zeroizing::new(String::with_capacity(size));
        for line in text.lines() {
            let key = match line.trim_start() {
                name if name.starts_with("E: ") => self.cipher.as_str(),
                name if name.starts_with("A: ") => self.integrity.as_str(),
                _ => "",
            };
            let separator = if key.is_empty() { "" } else { "  " };
            let _ = writeln!(with_keys, "{line}{separator}{key}"); // a String takes everything
        }
        with_keys.pop();
        with_keys
    }
}

/// Returns a key in hexadecimal digits, in groups of four octets as `setkey -D` shows them.
fn groups(key: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(key.len() * 3));
    for (position, group) in key.chunks(4).enumerate() {
        text.push_str(if position > 0 { " " } else { "" });
        text.push_str(&hex(group));
    }
    text
}

#[cfg(test)]
mod tests {
    use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, SuiteKeys};
    use ipsec_sa::{Protocol, SaId};

    use super::*;

    #[test]
    fn keys_follow_the_names_of_the_algorithms() {
        let keys =
            SuiteKeys::new(CipherAlgorithm::AesCbc, &[1; 16], IntegrityAlgorithm::HmacSha1_96, &[0xab; 20]).unwrap();
        let id = SaId::outbound("198.51.100.1".parse().unwrap(), Protocol::Esp, 0x1001);
        let sa = SaParams::new(id, "192.0.2.1".parse().unwrap(), TransformParams::Esp(keys));
        let shown = ShownKeys::of(&sa);
        let text = "192.0.2.1 198.51.100.1\n\tesp mode=any\n\tE: aes-cbc\n\tA: hmac-sha1\n\tdirection=out";
        let expected = "192.0.2.1 198.51.100.1\n\tesp mode=any\n\tE: aes-cbc  01010101 01010101 01010101 01010101\n\
                        \tA: hmac-sha1  abababab abababab abababab abababab abababab\n\tdirection=out";
        assert_eq!(shown.added_to(text).as_str(), expected);
        assert!(shown.row.is_some_and(|row| row.contains("\"0x00001001\"")));
    }
}
