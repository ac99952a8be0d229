//! Table `esp_sa` of Wireshark.

use std::format;
use std::string::{String, ToString};

use ipsec_crypto::CipherAlgorithm;
use ipsec_sa::{SaParams, TransformParams};

use super::{Hex, Lost};
use crate::Configuration;

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    configuration.note_key_exchange(lost);
    configuration.sas.iter().filter_map(|sa| row(&sa.params, lost)).collect()
}

fn row(sa: &SaParams, lost: &mut Lost) -> Option<String> {
    let (TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys)) = &sa.transform else {
        lost.note("SAs of AH and IPComp: Wireshark needs no keys for them");
        return None;
    };
    let cipher = keys.cipher.row().and_then(|row| row.wireshark);
    let integrity = keys.integrity.row().and_then(|row| row.wireshark);
    let (Some(cipher), Some(integrity)) = (cipher, integrity) else {
        lost.note("algorithms that Wireshark does not decrypt: the SA is left out");
        return None;
    };
    let key = |octets: &[u8]| if octets.is_empty() { String::new() } else { Hex(octets).to_string() };
    let cipher_key = if keys.cipher == CipherAlgorithm::Null { String::new() } else { key(keys.cipher_key.expose()) };
    let version = if sa.source.is_ipv4() { "IPv4" } else { "IPv6" };
    Some(format!(
        "\"{version}\",\"{}\",\"{}\",\"{:#010x}\",\"{cipher}\",\"{cipher_key}\",\"{integrity}\",\"{}\"\n",
        sa.source,
        sa.id.destination,
        sa.id.spi,
        key(keys.integrity_key.expose())
    ))
}
