//! File of secrets for option `-E` of tcpdump(8).

use std::format;
use std::string::String;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_sa::{SaParams, TransformParams};

use super::{Hex, Lost};
use crate::Configuration;

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    configuration.note_key_exchange(lost);
    configuration.sas.iter().filter_map(|sa| row(&sa.params, lost)).collect()
}

/// Returns the row of an SA: SPI and destination, cipher and key. The cipher has the name of OpenSSL, and the length of
/// the ICV, which tcpdump subtracts from the packet, after it.
fn row(sa: &SaParams, lost: &mut Lost) -> Option<String> {
    let (TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys)) = &sa.transform else {
        lost.note("SAs of AH and IPComp: tcpdump needs no keys for them");
        return None;
    };
    let octets = keys.cipher_key.expose();
    let cipher = match (keys.cipher, octets.len()) {
        (CipherAlgorithm::DesCbc, _) => "des-cbc",
        (CipherAlgorithm::TripleDesCbc, _) => "3des-cbc",
        (CipherAlgorithm::BlowfishCbc, 16) => "blowfish-cbc",
        (CipherAlgorithm::Cast128Cbc, 16) => "cast128-cbc",
        (CipherAlgorithm::AesCbc, 16) => "aes-128-cbc",
        (CipherAlgorithm::AesCbc, 24) => "aes-192-cbc",
        (CipherAlgorithm::AesCbc, 32) => "aes-256-cbc",
        _ => {
            lost.note("ciphers that tcpdump does not decrypt: the SA is left out");
            return None;
        }
    };
    let icv = match keys.integrity {
        IntegrityAlgorithm::None => "",
        IntegrityAlgorithm::HmacMd5_96 | IntegrityAlgorithm::HmacSha1_96 | IntegrityAlgorithm::HmacSha2_256_96 => {
            "-hmac96"
        }
        _ => {
            lost.note("ICVs of other lengths than 96 bits: tcpdump shows them as padding");
            "-hmac96"
        }
    };
    Some(format!("{:#x}@{} {cipher}{icv}:{}\n", sa.id.spi, sa.id.destination, Hex(octets)))
}
