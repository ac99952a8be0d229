//! Output of `ip xfrm state` and `ip xfrm policy` of Linux.

mod policy;
mod record;
mod records;
mod state;
mod transform;

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use ipsec_crypto::{CipherAlgorithm as C, IntegrityAlgorithm as I};
use ipsec_sa::{Action, PolicyDirection, SaId};

use self::record::Record;
use self::records::records;
use crate::secret::Secrets;
use crate::{Configuration, Diagnostics, Files, Sources};

/// Names of ciphers in the kernel, with the length of the ICV in bits of an AEAD.
pub(crate) const CIPHERS: &[(&str, C, Option<u16>)] = &[
    ("cbc(aes)", C::AesCbc, None),
    ("cbc(des3_ede)", C::TripleDesCbc, None),
    ("cbc(des)", C::DesCbc, None),
    ("cbc(blowfish)", C::BlowfishCbc, None),
    ("cbc(cast5)", C::Cast128Cbc, None),
    ("rfc3686(ctr(aes))", C::AesCtr, None),
    ("ecb(cipher_null)", C::Null, None),
    ("rfc4106(gcm(aes))", C::AesGcm16, Some(128)),
    ("rfc4106(gcm(aes))", C::AesGcm12, Some(96)),
    ("rfc4106(gcm(aes))", C::AesGcm8, Some(64)),
    ("rfc4309(ccm(aes))", C::AesCcm16, Some(128)),
    ("rfc4309(ccm(aes))", C::AesCcm12, Some(96)),
    ("rfc4309(ccm(aes))", C::AesCcm8, Some(64)),
    ("rfc4543(gcm(aes))", C::NullAesGmac, Some(128)),
    ("rfc7539esp(chacha20,poly1305)", C::ChaCha20Poly1305, Some(128)),
    // Short names that the kernel translates.
    ("aes", C::AesCbc, None),
    ("des3_ede", C::TripleDesCbc, None),
    ("des", C::DesCbc, None),
    ("blowfish", C::BlowfishCbc, None),
    ("cast5", C::Cast128Cbc, None),
    ("cipher_null", C::Null, None),
];

/// Names of integrity algorithms in the kernel, with the length of the ICV in bits.
pub(crate) const AUTH: &[(&str, I, u16)] = &[
    ("hmac(md5)", I::HmacMd5_96, 96),
    ("hmac(sha1)", I::HmacSha1_96, 96),
    ("hmac(sha256)", I::HmacSha2_256_128, 128),
    ("hmac(sha256)", I::HmacSha2_256_96, 96),
    ("hmac(sha384)", I::HmacSha2_384_192, 192),
    ("hmac(sha512)", I::HmacSha2_512_256, 256),
    ("hmac(rmd160)", I::HmacRipemd160_96, 96),
    ("xcbc(aes)", I::AesXcbcMac96, 96),
    ("cmac(aes)", I::AesCmac96, 96),
    ("md5", I::HmacMd5_96, 96),
    ("sha1", I::HmacSha1_96, 96),
    // Without a length, as the output of old kernels, SHA2-256 is truncated to 96 bits.
    ("sha256", I::HmacSha2_256_96, 96),
    ("digest_null", I::None, 0),
];

/// Reads the output of both commands, in one file or two, and adds SAs and policies. Errors and warnings are added to
/// `diagnostics`.
///
/// # Errors
/// The error of the file system.
pub fn read(
    files: &dyn Files,
    path: &Path,
    sources: &mut Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) -> io::Result<()> {
    let text = files.read(path)?;
    let file = sources.add(path.to_string_lossy(), text, Secrets::KeysInLines);
    let text = sources.shared_text(file);
    let mut has_socket = false;
    for words in records(&text, file, diagnostics) {
        let mut record = Record { words: &words, at: 0, diagnostics };
        if record.is_socket() {
            // Each socket of a daemon of key exchange has two.
            if !core::mem::replace(&mut has_socket, true) {
                let text = "policies of sockets are skipped";
                record.diagnostics.warning(record.span(), text);
            }
        } else if record.is_policy() {
            configuration.policies.extend(record.policy());
        } else {
            configuration.sas.extend(record.state());
        }
    }
    let locals: HashSet<IpAddr> = configuration
        .policies
        .iter()
        .filter(|policy| policy.params.direction == PolicyDirection::Out)
        .filter_map(|policy| match policy.params.action {
            Action::Protect(bundle) => bundle.iter().find_map(|template| template.ends?.source.0),
            _ => None,
        })
        .collect();
    for sa in &mut configuration.sas {
        if locals.contains(&sa.params.id.destination) {
            sa.params.id = SaId::inbound(sa.params.id.destination, sa.params.id.protocol, sa.params.id.spi);
        }
    }
    Ok(())
}
