//! Key tables with which Wireshark decrypts IKE messages and ESP packets, for debugging.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ike_codec::Cookie;
use ipsec_crypto::CipherAlgorithm;
use ipsec_sa::{SaParams, TransformParams};
use zeroize::Zeroizing;

/// Name of the table of ISAKMP SAs.
const IKE_TABLE: &str = "ikev1_decryption_table";
/// Name of the table of ESP SAs.
const ESP_TABLE: &str = "esp_sa";

/// Tables with the keys of all SAs. Only the user of the daemon can read them.
pub struct KeyTables {
    ike: File,
    esp: File,
}

impl KeyTables {
    /// Creates empty tables in a directory. Existing tables are removed.
    ///
    /// # Errors
    /// The message of the system with the name of the file.
    pub fn create(directory: &Path) -> Result<Self, String> {
        let create = |name: &str| {
            let path = directory.join(name);
            let create = || -> io::Result<File> {
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
                // It fails if the name exists, also as a symbolic link.
                File::options().write(true).create_new(true).mode(0o600).open(&path)
            };
            create().map_err(|e| format!("{}: {e}", path.display()))
        };
        Ok(Self { ike: create(IKE_TABLE)?, esp: create(ESP_TABLE)? })
    }

    /// Returns the tables in files that were created: of ISAKMP SAs, and of ESP SAs.
    pub fn from_files([ike, esp]: [File; 2]) -> Self {
        Self { ike, esp }
    }

    /// Returns the descriptors of both files.
    pub fn into_descriptors(self) -> [OwnedFd; 2] {
        [self.ike.into(), self.esp.into()]
    }

    /// Adds an ISAKMP SA: the cookie of the initiator and the key of the cipher.
    ///
    /// # Errors
    /// The error of the system.
    pub fn add_isakmp(&mut self, initiator: &Cookie, key: &[u8]) -> io::Result<()> {
        self.ike.write_all(isakmp_row(initiator, key).as_bytes())
    }

    /// Adds an ESP SA. SAs of other protocols are skipped.
    ///
    /// # Errors
    /// The error of the system.
    pub fn add_esp(&mut self, sa: &SaParams) -> io::Result<()> {
        esp_row(sa).map_or(Ok(()), |row| self.esp.write_all(row.as_bytes()))
    }
}

/// Returns the row of an ISAKMP SA: the cookie of the initiator and the key of the cipher.
pub fn isakmp_row(initiator: &Cookie, key: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(format!("{},{}\n", hex(initiator).as_str(), hex(key).as_str()))
}

/// Returns the row of an ESP SA: version, source, destination, SPI, and the algorithms with their keys. Addresses are
/// wildcards, as a NAT may change them.
pub fn esp_row(sa: &SaParams) -> Option<Zeroizing<String>> {
    let (TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys)) = &sa.transform else { return None };
    let version = if sa.source.is_ipv6() { "IPv6" } else { "IPv4" };
    // Algorithms that Wireshark does not support have their own names, so that the row still documents the keys.
    let cipher = keys.cipher.row().and_then(|row| row.wireshark).map_or_else(|| keys.cipher.to_string(), str::to_owned);
    let integrity = keys.integrity.row().and_then(|row| row.wireshark);
    let integrity = integrity.map_or_else(|| keys.integrity.to_string(), str::to_owned);
    let with_prefix = |key: &[u8]| {
        let digits = hex(key);
        Zeroizing::new(if key.is_empty() { String::new() } else { format!("0x{}", digits.as_str()) })
    };
    let cipher_key = if keys.cipher == CipherAlgorithm::Null { &[][..] } else { keys.cipher_key.expose() };
    let (cipher_key, integrity_key) = (with_prefix(cipher_key), with_prefix(keys.integrity_key.expose()));
    let spi = sa.id.spi;
    Some(Zeroizing::new(format!(
        "\"{version}\",\"*\",\"*\",\"0x{spi:08x}\",\"{cipher}\",\"{}\",\"{integrity}\",\"{}\"\n",
        cipher_key.as_str(),
        integrity_key.as_str()
    )))
}

/// Returns octets as hexadecimal digits.
pub fn hex(octets: &[u8]) -> Zeroizing<String> {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    // The capacity is that of the result: no part of a key remains where a shorter text was.
    let mut text = Zeroizing::new(String::with_capacity(octets.len() * 2));
    for octet in octets {
        text.push(digit(octet >> 4));
        text.push(digit(octet & 15));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ipsec_crypto::{IntegrityAlgorithm, SuiteKeys};
    use ipsec_sa::{Protocol, SaId};

    use super::*;

    #[test]
    fn key_tables_are_private_and_have_the_format_of_wireshark() {
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-tables", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(ESP_TABLE), "an old table").unwrap();
        let mut tables = KeyTables::create(&folder).unwrap();
        tables.add_isakmp(&[0x1f; 8], &[0xab; 4]).unwrap();
        let keys =
            SuiteKeys::new(CipherAlgorithm::AesCbc, &[1; 16], IntegrityAlgorithm::HmacSha1_96, &[2; 20]).unwrap();
        let id = SaId::outbound("198.51.100.1".parse().unwrap(), Protocol::Esp, 0x1001);
        let sa = SaParams::new(id, "192.0.2.1".parse().unwrap(), TransformParams::Esp(keys));
        tables.add_esp(&sa).unwrap();
        let read = |name| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read(IKE_TABLE), "1f1f1f1f1f1f1f1f,abababab\n");
        let (cipher, integrity) = ("01".repeat(16), "02".repeat(20));
        let row = format!(
            "\"IPv4\",\"*\",\"*\",\"0x00001001\",\"AES-CBC [RFC3602]\",\"0x{cipher}\",\"HMAC-SHA-1-96 [RFC2404]\",\"0x{integrity}\"\n"
        );
        assert_eq!(read(ESP_TABLE), row);
        for name in [IKE_TABLE, ESP_TABLE] {
            assert_eq!(fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
