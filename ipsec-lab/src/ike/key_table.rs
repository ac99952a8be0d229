//! Wireshark's `ikev1_decryption_table`: lines of initiator cookie and encryption key in hexadecimal.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use ike_codec::Cookie;
use test_vectors::{from_hex, to_hex};
use zeroize::Zeroizing;

use crate::capture::FileKind;
use crate::private_file;
use crate::wireshark::has_rows;

/// Encryption keys by initiator cookie.
pub type KeyTable = BTreeMap<Cookie, Zeroizing<Vec<u8>>>;

/// Prefix of the rows on the command line of Wireshark.
const PREFIX: &str = "uat:ikev1_decryption_table:";

/// Reads a table. Fields may be quoted; lines that begin with `#` are comments. In a file of preferences or options,
/// the rows begin with `uat:ikev1_decryption_table:`, and other lines are left out. A table without a key is a warning, as
/// peers that did not agree on one leave it.
pub fn read(path: &Path) -> Result<KeyTable, Box<dyn Error>> {
    let expected = "Wireshark's table ikev1_decryption_table";
    let problem = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    if path.is_dir() {
        return Err(problem(&format_args!("a directory, expected {expected}")).into());
    }
    let octets = Zeroizing::new(fs::read(path).map_err(|e| problem(&e))?);
    let is_prefixed = has_rows(&octets, PREFIX);
    let found = match FileKind::of(&octets[..octets.len().min(4096)]) {
        _ if is_prefixed => None,
        FileKind::EspKeys => {
            Some(format!("expected {expected}, found its table esp_sa, which is for `ipsec-lab open --esp-keys`"))
        }
        kind => kind.as_text(expected),
    };
    if let Some(found) = found {
        return Err(problem(&found).into());
    }
    let text = Zeroizing::new(String::from_utf8_lossy(&octets).into_owned());
    let mut keys = KeyTable::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let row = match line.split_once(PREFIX) {
            _ if line.trim().is_empty() || line.starts_with('#') => continue,
            // The quotes of a shell around the option.
            Some((_, row)) => row.trim_end_matches(['\'', '"', '\\', ' ']),
            None if line.starts_with("uat:") => continue,
            None => line,
        };
        match parse(row) {
            Some((cookie, key)) => keys.insert(cookie, key),
            None if is_prefixed && row.len() == line.len() => continue,
            None => {
                let expected = "expected COOKIE,KEY: 16 hexadecimal digits, a comma, and the key in hexadecimal";
                return Err(format!("{}:{}: {expected}", path.display(), number + 1).into());
            }
        };
    }
    if keys.is_empty() {
        noteln!("ipsec-lab: warning: {}: the table has no key", path.display());
    }
    Ok(keys)
}

fn parse(line: &str) -> Option<(Cookie, Zeroizing<Vec<u8>>)> {
    let (cookie, key) = line.split_once(',')?;
    let octets = |field: &str| from_hex(field.trim().trim_matches(['"', '\\']).trim_start_matches("0x"));
    Some((octets(cookie)?.try_into().ok()?, octets(key)?.into()))
}

/// Writes a table with one line per SA.
pub fn write<'k>(path: &Path, keys: impl Iterator<Item = (&'k Cookie, &'k [u8])>) -> Result<(), Box<dyn Error>> {
    let rows: Zeroizing<String> =
        keys.map(|(cookie, key)| format!("{},{}\n", to_hex(cookie), to_hex(key))).collect::<String>().into();
    private_file::write(path, rows.as_bytes())
}
