//! Wireshark's table of ESP SAs.

use ipsec_config::setkey::{Add, Key};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_sa::{SaParams, TransformParams};
use test_vectors::to_hex;
use zeroize::Zeroizing;

/// Returns the row of a statement of setkey(8). `None` if the SA is not ESP.
pub fn row(add: &Add<'_>) -> Option<Zeroizing<String>> {
    let (cipher, key) = add.cipher.as_ref()?;
    let (mac, auth) = match &add.mac {
        Some((mac, key)) => (mac.known?, octets(key)),
        None => (IntegrityAlgorithm::None, Zeroizing::default()),
    };
    Some(row_with(add.id.source.0.is_ipv6(), add.id.spi, (cipher.known?, &octets(key)), (mac, &auth)))
}

/// Returns the row of an SA, with a line feed. `None` if the SA is not ESP.
pub fn row_of(sa: &SaParams) -> Option<Zeroizing<String>> {
    let TransformParams::Esp(keys) = &sa.transform else { return None };
    let (cipher, integrity) = (keys.cipher_key.expose(), keys.integrity_key.expose());
    let mut row = row_with(sa.source.is_ipv6(), sa.id.spi, (keys.cipher, cipher), (keys.integrity, integrity));
    row.push('\n');
    Some(row)
}

/// Returns the row by which Wireshark decrypts an SA: version, source, destination, SPI, and the algorithms with
/// their keys. Addresses are wildcards, as a NAT may have changed them.
fn row_with(
    is_v6: bool,
    spi: u32,
    (cipher, key): (CipherAlgorithm, &[u8]),
    (mac, auth): (IntegrityAlgorithm, &[u8]),
) -> Zeroizing<String> {
    let version = if is_v6 { "IPv6" } else { "IPv4" };
    let key = if cipher == CipherAlgorithm::Null { &[] } else { key };
    // Algorithms that Wireshark does not support have their own names, so that the row still documents the keys.
    let named = cipher.row().and_then(|row| row.wireshark).map_or_else(|| cipher.to_string(), str::to_owned);
    let mac = mac.row().and_then(|row| row.wireshark).map_or_else(|| mac.to_string(), str::to_owned);
    let (key, auth) = (hex(key), hex(auth));
    Zeroizing::new(format!(
        "\"{version}\",\"*\",\"*\",\"0x{spi:08x}\",\"{named}\",\"{}\",\"{mac}\",\"{}\"",
        key.as_str(),
        auth.as_str()
    ))
}

fn octets(key: &Key<'_>) -> Zeroizing<Vec<u8>> {
    let mut octets = Zeroizing::new(vec![0; key.len()]);
    key.decode(&mut octets);
    octets
}

fn hex(key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(if key.is_empty() { String::new() } else { format!("0x{}", to_hex(key)) })
}
