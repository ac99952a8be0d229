//! Names of transforms and suites that isakmpd(8) makes: `AES-SHA-GRP2-RSA_SIG`, `QM-ESP-AES-SHA2-256-PFS-SUITE`.

use ike_codec::{AuthMethod, Group, ProtocolId};
use ipsec_crypto::{CipherAlgorithm as C, HashFunction, IntegrityAlgorithm as I};

/// Ciphers with the lengths of their keys in octets, longer names first.
const CIPHERS: &[(&str, C, usize)] = &[
    ("AES-128", C::AesCbc, 16),
    ("AES-192", C::AesCbc, 24),
    ("AES-256", C::AesCbc, 32),
    ("AESCTR-128", C::AesCtr, 20),
    ("AESCTR-192", C::AesCtr, 28),
    ("AESCTR-256", C::AesCtr, 36),
    ("AESCTR", C::AesCtr, 20),
    ("AESGCM-128", C::AesGcm16, 20),
    ("AESGCM-192", C::AesGcm16, 28),
    ("AESGCM-256", C::AesGcm16, 36),
    ("AESGMAC-128", C::NullAesGmac, 20),
    ("AESGMAC-192", C::NullAesGmac, 28),
    ("AESGMAC-256", C::NullAesGmac, 36),
    ("AES", C::AesCbc, 16),
    ("3DES", C::TripleDesCbc, 24),
    ("DES", C::DesCbc, 8),
    ("BLF", C::BlowfishCbc, 16),
    ("CAST", C::Cast128Cbc, 16),
    ("NULL", C::Null, 0),
];

/// Hash algorithms of phase 1 and integrity algorithms of phase 2, longer names first.
const HASHES: &[(&str, Option<HashFunction>, I)] = &[
    ("SHA2-256", Some(HashFunction::Sha2_256), I::HmacSha2_256_128),
    ("SHA2-384", Some(HashFunction::Sha2_384), I::HmacSha2_384_192),
    ("SHA2-512", Some(HashFunction::Sha2_512), I::HmacSha2_512_256),
    ("SHA", Some(HashFunction::Sha1), I::HmacSha1_96),
    ("MD5", Some(HashFunction::Md5), I::HmacMd5_96),
    ("RIPEMD", None, I::HmacRipemd160_96),
];

/// Group without a name.
const DEFAULT_GROUP: Group = Group(2);

/// Transform of phase 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phase1 {
    pub cipher: C,
    pub octets: usize,
    pub hash: HashFunction,
    pub group: Group,
    pub method: AuthMethod,
}

/// Transform of phase 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phase2 {
    pub protocol: ProtocolId,
    pub is_tunnel: bool,
    pub cipher: (C, usize),
    pub integrity: I,
    pub group: Option<Group>,
}

/// Consumes one of the names of a table in front of a text, and the `-` after it.
fn prefix<'t, 'r, R>(text: &'t str, table: &'r [R], name: impl Fn(&R) -> &'static str) -> Option<(&'r R, &'t str)> {
    table.iter().find_map(|row| {
        let rest = text.strip_prefix(name(row))?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix('-')? };
        Some((row, rest))
    })
}

fn group(text: &str) -> Option<(Group, &str)> {
    let rest = text.strip_prefix("GRP")?;
    let end = rest.find('-').unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(end);
    let number = digits.parse().ok().filter(|number| [1, 2, 5, 14, 15, 16, 17, 18, 19, 20, 21].contains(number))?;
    Some((Group(number), rest.strip_prefix('-').unwrap_or(rest)))
}

/// Returns the transform of phase 1 with a name.
pub(super) fn phase_1(name: &str) -> Option<Phase1> {
    let (&(_, cipher, octets), rest) = prefix(name, CIPHERS, |row| row.0)?;
    let (&(_, hash, _), rest) = prefix(rest, HASHES, |row| row.0)?;
    let (group, rest) = group(rest).unwrap_or((DEFAULT_GROUP, rest));
    let method = match rest {
        "" => AuthMethod::PRE_SHARED_KEY,
        "RSA_SIG" => AuthMethod::RSA_SIGNATURE,
        _ => return None,
    };
    ike_v1::encryption_number(cipher)?;
    Some(Phase1 { cipher, octets, hash: hash?, group, method })
}

/// Returns the suite of phase 2 with a name.
pub(super) fn phase_2(name: &str) -> Option<Phase2> {
    let rest = name.strip_prefix("QM-")?.strip_suffix("-SUITE")?;
    let (protocol, rest) = match (rest.strip_prefix("ESP-"), rest.strip_prefix("AH-")) {
        (Some(rest), _) => (ProtocolId::ESP, rest),
        (_, Some(rest)) => (ProtocolId::AH, rest),
        _ => return None,
    };
    let (is_tunnel, rest) = rest.strip_prefix("TRP-").map_or((true, rest), |rest| (false, rest));
    let (cipher, rest) = match protocol {
        ProtocolId::ESP => {
            let (&(_, cipher, octets), rest) = prefix(rest, CIPHERS, |row| row.0)?;
            ((cipher, octets), rest)
        }
        _ => ((C::Null, 0), rest),
    };
    let is_aead = cipher.0.row().is_some_and(|row| row.icv > 0);
    let (integrity, rest) = match prefix(rest, HASHES, |row| row.0) {
        Some((&(_, _, integrity), rest)) if !is_aead => (integrity, rest),
        None if is_aead => (I::None, rest),
        _ => return None,
    };
    let group = match rest.strip_prefix("PFS") {
        Some("") => Some(DEFAULT_GROUP),
        Some(named) => {
            let (group, rest) = group(named.strip_prefix('-')?)?;
            rest.is_empty().then_some(Some(group))?
        }
        None => rest.is_empty().then_some(None)?,
    };
    Some(Phase2 { protocol, is_tunnel, cipher, integrity, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_1_transform_names_are_parsed_and_unknown_names_refused() {
        let psk = AuthMethod::PRE_SHARED_KEY;
        let table = [
            ("DES-SHA", C::DesCbc, 8, HashFunction::Sha1, Group(2), psk),
            ("3DES-MD5-GRP5", C::TripleDesCbc, 24, HashFunction::Md5, Group(5), psk),
            (
                "AES-256-SHA2-256-GRP14-RSA_SIG",
                C::AesCbc,
                32,
                HashFunction::Sha2_256,
                Group(14),
                AuthMethod::RSA_SIGNATURE,
            ),
            ("BLF-SHA-RSA_SIG", C::BlowfishCbc, 16, HashFunction::Sha1, Group(2), AuthMethod::RSA_SIGNATURE),
        ];
        for (name, cipher, octets, hash, group, method) in table {
            assert_eq!(phase_1(name), Some(Phase1 { cipher, octets, hash, group, method }), "{name}");
        }
        for name in ["DES", "DES-", "DES-SHA-GRP3", "DESSHA", "NULL-SHA", "AES-RIPEMD", "AES-SHA-GRP2-DSS", ""] {
            assert_eq!(phase_1(name), None, "{name}");
        }
    }

    #[test]
    fn phase_2_suite_names_are_parsed_and_unknown_names_refused() {
        let esp = |is_tunnel, cipher, integrity, group| Phase2 {
            protocol: ProtocolId::ESP,
            is_tunnel,
            cipher,
            integrity,
            group,
        };
        let table = [
            ("QM-ESP-DES-SHA-SUITE", esp(true, (C::DesCbc, 8), I::HmacSha1_96, None)),
            (
                "QM-ESP-TRP-AES-SHA2-256-PFS-GRP14-SUITE",
                esp(false, (C::AesCbc, 16), I::HmacSha2_256_128, Some(Group(14))),
            ),
            ("QM-ESP-3DES-MD5-PFS-SUITE", esp(true, (C::TripleDesCbc, 24), I::HmacMd5_96, Some(Group(2)))),
            ("QM-ESP-AESGCM-256-PFS-SUITE", esp(true, (C::AesGcm16, 36), I::None, Some(Group(2)))),
        ];
        for (name, expected) in table {
            assert_eq!(phase_2(name), Some(expected), "{name}");
        }
        let ah = phase_2("QM-AH-MD5-SUITE").unwrap();
        assert_eq!((ah.protocol, ah.integrity), (ProtocolId::AH, I::HmacMd5_96));
        for name in [
            "QM-ESP-DES-SUITE",
            "QM-ESP-DES-SHA",
            "QM-ESP-DES-SHA-PFS-GRP3-SUITE",
            "ESP-DES-SHA-SUITE",
            "QM-ESP-AESGCM-128-SHA-SUITE",
        ] {
            assert_eq!(phase_2(name), None, "{name}");
        }
    }
}
