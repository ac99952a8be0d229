//! Records of types `ike-phase1`, `ike-skeyid`, `ike-psk-hash` and `ike-keymat`.

use ike_codec::ProtocolId;
use ike_v1::{Cookies, KeymatSeed, Nonces, Phase1Keys, Phase1Publics, Skeyid};
use ipsec_crypto::{CipherAlgorithm, HashFunction, Prf};
use test_vectors::{Hex, KeymatRecord, Phase1Record, to_hex};

use super::Failure;

/// Derives the values that the record contains; a record without any value fails.
pub fn check_phase_1(record: &Phase1Record) -> Result<(), Failure> {
    let (prf, hash) = (prf(&record.prf)?, hash_of(&record.prf, record.hash.as_deref()));
    let nonces = Nonces { initiator: &record.ni, responder: &record.nr };
    let (skeyid, g_xy) = (skeyid(record, prf, hash, &nonces)?, record.g_xy.as_deref());
    let mut compared = Compared(0);
    compared.equal("SKEYID", record.skeyid.as_ref(), skeyid.expose())?;
    if let Some(g_xy) = g_xy {
        let keys = skeyid.derive(g_xy, &cookies(record)?);
        compared.equal("SKEYID_d", record.skeyid_d.as_ref(), keys.d())?;
        compared.equal("SKEYID_a", record.skeyid_a.as_ref(), keys.a())?;
        compared.equal("SKEYID_e", record.skeyid_e.as_ref(), keys.e())?;
        if let Some(ka) = &record.ka {
            let algorithm = if ka.len() == 8 { CipherAlgorithm::DesCbc } else { CipherAlgorithm::AesCbc };
            let key = keys.cipher_key(algorithm, ka.len()).map_err(|e| Failure::new("Ka", e))?;
            compared.equal("Ka", Some(ka), key.expose())?;
        }
    }
    if let (Some(g_xi), Some(g_xr)) = (&record.g_xi, &record.g_xr) {
        if let Some(iv) = &record.initial_iv {
            let hash = hash.ok_or(Failure::new("a known hash", &record.prf))?;
            let digest = hash.digest(&[g_xi, g_xr]);
            compared.equal("initial IV", Some(iv), digest.expose().get(..iv.len()).unwrap_or_default())?;
        }
        hashes(record, &skeyid, g_xi, g_xr, &mut compared)?;
    }
    if compared.0 == 0 { Err(Failure::new("a result to compare with", "none")) } else { Ok(()) }
}

fn hashes(r: &Phase1Record, skeyid: &Skeyid, g_xi: &[u8], g_xr: &[u8], compared: &mut Compared) -> Result<(), Failure> {
    if r.hash_i.is_none() && r.hash_r.is_none() {
        return Ok(());
    }
    let cookies = cookies(r)?;
    let publics = Phase1Publics { cookies, g_xi, g_xr, sai_b: &r.sai_b };
    // The data begins with known values, so that the rest of it is the identity.
    let fixed = g_xi.len() + g_xr.len() + 16 + r.sai_b.len();
    let identity = |body: &Option<Hex>, data: &Option<Hex>| match (body, data) {
        (Some(body), _) => Ok(body.to_vec()),
        (None, Some(data)) => {
            data.get(fixed..).map(<[u8]>::to_vec).ok_or(Failure::new("an identity", "too few octets"))
        }
        (None, None) => Err(Failure::new("an identity", "none")),
    };
    if r.hash_i.is_some() {
        let id = identity(&r.idii_b, &r.hash_i_data)?;
        compared.equal("HASH_I", r.hash_i.as_ref(), skeyid.hash_i(&publics, &id).expose())?;
    }
    if r.hash_r.is_some() {
        let id = identity(&r.idir_b, &r.hash_r_data)?;
        compared.equal("HASH_R", r.hash_r.as_ref(), skeyid.hash_r(&publics, &id).expose())?;
    }
    Ok(())
}

fn skeyid(r: &Phase1Record, prf: Prf, hash: Option<HashFunction>, nonces: &Nonces<'_>) -> Result<Skeyid, Failure> {
    let method = r.auth_method.as_deref().unwrap_or("psk").to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| method.contains(word));
    if is(&["psk", "pre-shared", "preshared"]) {
        return Skeyid::pre_shared_key(prf, &r.psk, nonces).map_err(|e| Failure::new("a pre-shared key", e));
    }
    if is(&["enc", "pke"]) {
        let hash = hash.ok_or(Failure::new("a known hash", &r.prf))?;
        return Ok(Skeyid::encryption(prf, hash, nonces, &cookies(r)?));
    }
    if is(&["sig", "dsa", "dss", "rsa", "pubkey", "hybrid"]) {
        let g_xy = r.g_xy.as_deref().ok_or(Failure::new("g_xy", "none"))?;
        return Skeyid::signature(prf, nonces, g_xy).map_err(|e| Failure::new("SKEYID", e));
    }
    Err(Failure::new("a known authentication method", method))
}

/// Derives the key material of both directions.
pub fn check_keymat(record: &KeymatRecord) -> Result<(), Failure> {
    // The other two keys are not used here.
    let keys =
        Phase1Keys::import(prf(&record.prf)?, &record.skeyid_d, &[0], &[0]).map_err(|e| Failure::new("keys", e))?;
    let directions = [
        (&record.seed_initiator_sa, &record.enc_key_initiator, &record.integ_key_initiator),
        (&record.seed_responder_sa, &record.enc_key_responder, &record.integ_key_responder),
    ];
    for (seed, enc, integ) in directions {
        let mut keymat = vec![0; enc.len() + integ.len()];
        // The record does not separate g(qm)^xy from the nonces; the PRF takes both as one string.
        let (&[protocol, ref spi @ ..], rest) = seed.split_first_chunk::<5>().ok_or(Failure::new("a seed", "none"))?;
        let nonces = Nonces { initiator: rest, responder: &[] };
        let seed = KeymatSeed { shared: None, protocol: ProtocolId(protocol), spi, nonces };
        keys.keymat(&seed, &mut keymat).map_err(|e| Failure::new("KEYMAT", e))?;
        let expected = [&enc[..], &integ[..]].concat();
        if keymat != expected {
            return Err(Failure::new(to_hex(&expected), to_hex(&keymat)));
        }
    }
    Ok(())
}

/// Number of values that were compared.
struct Compared(usize);

impl Compared {
    fn equal(&mut self, name: &str, expected: Option<&Hex>, got: &[u8]) -> Result<(), Failure> {
        let Some(expected) = expected else { return Ok(()) };
        self.0 += 1;
        let same = **expected == *got;
        if same { Ok(()) } else { Err(Failure::new(format!("{name} {}", to_hex(expected)), to_hex(got))) }
    }
}

fn cookies(r: &Phase1Record) -> Result<Cookies, Failure> {
    let cookie = |octets: &[u8]| octets.try_into().map_err(|_| Failure::new("a cookie of 8 octets", octets.len()));
    Ok(Cookies { initiator: cookie(&r.cky_i)?, responder: cookie(&r.cky_r)? })
}

/// Returns the PRF with a name such as `hmac-sha256`, `hmac-sha2-256` or `aes-xcbc-128`.
pub fn prf(name: &str) -> Result<Prf, Failure> {
    if name.contains("xcbc") {
        return Ok(Prf::AesXcbc128);
    }
    hash_of(name, None).map(HashFunction::prf).ok_or(Failure::new("a known PRF", name))
}

/// Returns the hash of a record, by its own name or that of its PRF.
pub fn hash_of(prf: &str, hash: Option<&str>) -> Option<HashFunction> {
    let name: String = hash.unwrap_or(prf).chars().filter(char::is_ascii_alphanumeric).collect();
    match name.trim_start_matches("hmac").trim_start_matches("prf") {
        "md5" => Some(HashFunction::Md5),
        "sha" | "sha1" => Some(HashFunction::Sha1),
        "sha256" | "sha2256" => Some(HashFunction::Sha2_256),
        "sha384" | "sha2384" => Some(HashFunction::Sha2_384),
        "sha512" | "sha2512" => Some(HashFunction::Sha2_512),
        _ => None,
    }
}
