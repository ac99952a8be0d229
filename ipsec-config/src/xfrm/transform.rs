//! Algorithms and keys of an SA.

use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec::Vec;

use ipsec_crypto::{CipherAlgorithm as C, IntegrityAlgorithm as I, Secret, SuiteKeys};
use ipsec_sa::{CompressionAlgorithm, Protocol, TransformParams};

use super::record::Record;
use super::{AUTH, CIPHERS};
use crate::diagnostic::shown_word;
use crate::psk::from_hex;

impl Record<'_, '_> {
    fn key(&mut self) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        match self.words.get(self.at) {
            Some((word, span)) if word.starts_with("0x") => {
                self.at = self.at.saturating_add(1);
                let key = from_hex(word.trim_start_matches("0x").as_bytes());
                let is_empty = *word == "0x";
                if key.is_none() && !is_empty {
                    self.diagnostics.error(*span, "expected a key in pairs of hexadecimal digits after `0x`");
                    return None;
                }
                Some(key.unwrap_or_default())
            }
            // A key of a command may be a text.
            Some((word, _)) if word.len() >= 2 && word.starts_with(['\'', '"']) && word.ends_with(['\'', '"']) => {
                self.at = self.at.saturating_add(1);
                let last = word.len().saturating_sub(1);
                Some(zeroize::Zeroizing::new(word.get(1..last).unwrap_or_default().as_bytes().to_vec()))
            }
            // The cipher NULL has none, and users without privileges do not see keys.
            _ => Some(zeroize::Zeroizing::default()),
        }
    }

    pub(super) fn cipher(&mut self, is_aead: bool) -> Option<(C, zeroize::Zeroizing<Vec<u8>>)> {
        let (name, span) = self.next()?;
        let name = name.trim_matches(['\'', '"']).to_owned();
        let key = self.key()?;
        let icv = if is_aead { Some(self.number::<u16>("the length of the ICV in bits")?) } else { None };
        let row = CIPHERS.iter().find(|row| row.0 == name && row.2 == icv);
        if row.is_none() {
            self.diagnostics.error(span, format!("cipher {} is not implemented", algorithm(&name)));
        }
        row.map(|row| (row.1, key))
    }

    pub(super) fn auth(&mut self, is_truncated: bool) -> Option<(I, zeroize::Zeroizing<Vec<u8>>)> {
        let (name, span) = self.next()?;
        let name = name.trim_matches(['\'', '"']).to_owned();
        let key = self.key()?;
        let bits = if is_truncated { Some(self.number::<u16>("the length of the ICV in bits")?) } else { None };
        // Without a length, the kernel has its own default: for SHA2-256 that of the old draft.
        let row = AUTH
            .iter()
            .find(|row| row.0 == name && bits.map_or(row.0 != "hmac(sha256)" || row.2 == 96, |bits| row.2 == bits));
        if row.is_none() {
            let bits = bits.map(|bits| format!(" with {bits} bits")).unwrap_or_default();
            self.diagnostics.error(span, format!("integrity algorithm {}{bits} is not implemented", algorithm(&name)));
        }
        row.map(|row| (row.1, key))
    }

    pub(super) fn transform(
        &mut self,
        protocol: Protocol,
        cipher: Option<(C, zeroize::Zeroizing<Vec<u8>>)>,
        auth: Option<(I, zeroize::Zeroizing<Vec<u8>>)>,
        spi: u32,
    ) -> Result<TransformParams, String> {
        let (integrity, auth_key) = auth.unwrap_or((I::None, zeroize::Zeroizing::default()));
        match protocol {
            Protocol::Ipcomp => Ok(TransformParams::Ipcomp { algorithm: CompressionAlgorithm::Deflate, spi }),
            Protocol::Ah if integrity == I::None => Err("expected `auth` in the SA of AH".to_owned()),
            Protocol::Ah => {
                Secret::new(&auth_key).map(|key| TransformParams::Ah { integrity, key }).map_err(|e| format!("{e}"))
            }
            Protocol::Esp => {
                let (cipher, key) = cipher.ok_or("expected `enc` or `aead` in the SA of ESP")?;
                let is_aead = cipher.row().is_some_and(|row| row.icv > 0);
                let keys = SuiteKeys::new(cipher, &key, integrity, &auth_key).map_err(|e| format!("{e}"))?;
                let refusing = cipher.row().filter(|row| cipher != C::Null && !row.keys.allow(key.len()));
                if let Some(row) = refusing {
                    return Err(format!("key of {cipher}: got {} octets, expected {}", key.len(), row.keys));
                }
                if integrity == I::None && !is_aead {
                    return Ok(TransformParams::EspWithoutIntegrity(keys));
                }
                Ok(TransformParams::Esp(keys))
            }
        }
    }
}

/// Returns the name of an algorithm for a message. In the place of one, there may be a key.
fn algorithm(name: &str) -> String {
    let is_name = name.contains('(') && name.ends_with(')');
    if is_name { format!("`{}`", shown_word(name)) } else { "with this name".to_owned() }
}
