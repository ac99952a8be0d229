//! Wireshark's `ikev1_decryption_table`: lines of initiator cookie and encryption key in hexadecimal.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use ike_codec::Cookie;
use test_vectors::{from_hex, to_hex};
use zeroize::Zeroizing;

use crate::private_file;

/// Encryption keys by initiator cookie.
pub type KeyTable = BTreeMap<Cookie, Zeroizing<Vec<u8>>>;

/// Reads a table. Fields may be quoted; lines that begin with `#` are comments. In a file of preferences, the rows
/// begin with `uat:ikev1_decryption_table:`, and those of other tables are left out.
pub fn read(path: &Path) -> Result<KeyTable, Box<dyn Error>> {
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?);
    let rows = text.lines().map(|line| line.strip_prefix("uat:ikev1_decryption_table:").unwrap_or(line));
    let is_row = |line: &str| !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with("uat:");
    let rows = rows.enumerate().filter(|(_, line)| is_row(line));
    rows.map(|(number, line)| {
        parse(line)
            .ok_or_else(|| format!("{}:{}: expected COOKIE,KEY in hexadecimal", path.display(), number + 1).into())
    })
    .collect()
}

fn parse(line: &str) -> Option<(Cookie, Zeroizing<Vec<u8>>)> {
    let (cookie, key) = line.split_once(',')?;
    let octets = |field: &str| from_hex(field.trim().trim_matches('"').trim_start_matches("0x"));
    Some((octets(cookie)?.try_into().ok()?, octets(key)?.into()))
}

/// Writes a table with one line per SA.
pub fn write<'k>(path: &Path, keys: impl Iterator<Item = (&'k Cookie, &'k [u8])>) -> Result<(), Box<dyn Error>> {
    let rows: Zeroizing<String> =
        keys.map(|(cookie, key)| format!("{},{}\n", to_hex(cookie), to_hex(key))).collect::<String>().into();
    private_file::write(path, rows.as_bytes())
}
