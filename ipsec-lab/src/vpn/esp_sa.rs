//! Wireshark's table of ESP SAs.

use ipsec_config::setkey::{Add, Key};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use test_vectors::to_hex;
use zeroize::Zeroizing;

/// Returns the row by which Wireshark decrypts an SA: version, source, destination, SPI, and the algorithms with
/// their keys. Addresses are wildcards, as a NAT may have changed them. `None` if the SA is not ESP.
pub fn row(add: &Add<'_>) -> Option<Zeroizing<String>> {
    let version = if add.id.source.0.is_ipv6() { "IPv6" } else { "IPv4" };
    let (cipher, key) = add.cipher.as_ref()?;
    let (cipher, octets) = (cipher.known?, self::octets(key));
    let (mac, auth) = match &add.mac {
        Some((mac, key)) => (mac.known?, self::octets(key)),
        None => (IntegrityAlgorithm::None, Zeroizing::default()),
    };
    let octets = if cipher == CipherAlgorithm::Null { Zeroizing::default() } else { octets };
    // Algorithms that Wireshark does not support have their own names, so that the row still documents the keys.
    let named = cipher.row().and_then(|row| row.wireshark).map_or_else(|| cipher.to_string(), str::to_owned);
    let mac = mac.row().and_then(|row| row.wireshark).map_or_else(|| mac.to_string(), str::to_owned);
    let (spi, key, auth) = (add.id.spi, hex(&octets), hex(&auth));
    let row = format!(
        "\"{version}\",\"*\",\"*\",\"0x{spi:08x}\",\"{named}\",\"{}\",\"{mac}\",\"{}\"",
        key.as_str(),
        auth.as_str()
    );
    Some(Zeroizing::new(row))
}

fn octets(key: &Key<'_>) -> Zeroizing<Vec<u8>> {
    let mut octets = Zeroizing::new(vec![0; key.len()]);
    key.decode(&mut octets);
    octets
}

fn hex(key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(if key.is_empty() { String::new() } else { format!("0x{}", to_hex(key)) })
}
