//! Files of RSA keys without a certificate: PEM and DER as of isakmpd(8), and the text of racoon(8), `plain_rsa`.
//!
//! The text has one or more keys; `#` begins a comment.
//!
//! ```text
//! : PUB 0sBase64                         exponent and modulus (RFC 3110 section 2); 0x for hexadecimal
//! : RSA { Modulus: 0x.. PublicExponent: 0x.. PrivateExponent: 0x.. Prime1: 0x.. Prime2: 0x.. .. }
//! ```

use base64ct::{Base64, Encoding};
use der::Decode;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::{BoxedUint, PrivateKey};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

use crate::encoding::{ENCRYPTED_KEY, LoadError, objects};
use crate::public_key::{KeyError, PublicKey, RsaKey};

/// Reads all public keys of a file.
pub(crate) fn public_keys(file: &[u8]) -> Result<Vec<RsaKey>, LoadError> {
    if let Some(text) = text(file) {
        return public_keys_of_text(text);
    }
    let mut keys = Vec::new();
    for object in objects(file)? {
        let info = || {
            let info = SubjectPublicKeyInfoOwned::from_der(&object.octets).map_err(|_| KeyError::Malformed)?;
            PublicKey::read(&info)?.rsa().cloned()
        };
        let key = match object.label {
            Some("PUBLIC KEY") => info(),
            Some("RSA PUBLIC KEY") => RsaKey::read(&object.octets),
            None => info().or_else(|e| RsaKey::read(&object.octets).map_err(|_| e)),
            Some(_) => continue,
        };
        keys.push(key.map_err(LoadError::Key)?);
    }
    if keys.is_empty() { Err(LoadError::NoPublicKey) } else { Ok(keys) }
}

/// Reads the first private key of a file.
pub(crate) fn private_key(file: &[u8]) -> Result<PrivateKey, LoadError> {
    if let Some(text) = text(file) {
        return private_key_of_text(text);
    }
    let objects = objects(file)?;
    let pkcs1 = |octets: &Zeroizing<Vec<u8>>| PrivateKey::from_pkcs1_der(octets).ok();
    let pkcs8 = |octets: &Zeroizing<Vec<u8>>| PrivateKey::from_pkcs8_der(octets).ok();
    for object in &objects {
        let octets = &object.octets;
        let key = match object.label {
            Some("RSA PRIVATE KEY") => pkcs1(octets),
            Some("PRIVATE KEY") => pkcs8(octets),
            None => pkcs8(octets).or_else(|| pkcs1(octets)),
            Some(ENCRYPTED_KEY) => return Err(LoadError::EncryptedKey),
            Some(_) => continue,
        };
        return key.ok_or(LoadError::MalformedKey);
    }
    Err(LoadError::NoPrivateKey)
}

/// Returns the text of a file that has keys of racoon(8).
fn text(file: &[u8]) -> Option<&str> {
    let text = str::from_utf8(file).ok()?;
    words(text).next().is_some_and(|word| word.starts_with(':')).then_some(text)
}

/// Returns the words of a text without its comments. A colon and a brace are words of their own or end one.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split_inclusive([':', '{', '}']).flat_map(str::split_ascii_whitespace))
}

fn public_keys_of_text(text: &str) -> Result<Vec<RsaKey>, LoadError> {
    let (mut words, mut keys) = (words(text), Vec::new());
    while let Some(word) = words.next() {
        // A line may name the addresses for which its key is.
        if word != ":" {
            return Err(LoadError::KeyAddresses);
        }
        match words.next() {
            Some("PUB") => keys.push(public_key(words.next().unwrap_or_default())?),
            // The public numbers of a private key are not those of a peer.
            Some("RSA") => _ = words.by_ref().find(|word| word.ends_with('}')),
            _ => return Err(LoadError::Encoding),
        }
    }
    if keys.is_empty() { Err(LoadError::NoPublicKey) } else { Ok(keys) }
}

/// Reads exponent and modulus (RFC 3110 section 2): the length of the exponent has one octet, or a zero octet and two.
fn public_key(word: &str) -> Result<RsaKey, LoadError> {
    let octets = number(word)?;
    let split = match octets.as_slice() {
        [0, high, low, rest @ ..] => rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))),
        [length, rest @ ..] if *length > 0 => rest.split_at_checked(usize::from(*length)),
        _ => None,
    };
    let (exponent, modulus) = split.ok_or(LoadError::MalformedKey)?;
    RsaKey::new(modulus, exponent).map_err(LoadError::Key)
}

fn private_key_of_text(text: &str) -> Result<PrivateKey, LoadError> {
    const NAMES: [&str; 5] = ["Modulus:", "PublicExponent:", "PrivateExponent:", "Prime1:", "Prime2:"];
    let mut words = words(text).skip_while(|word| *word != "RSA").skip(1).peekable();
    if words.next_if_eq(&"{").is_none() {
        return Err(LoadError::NoPrivateKey);
    }
    let mut numbers: [Option<Zeroizing<Vec<u8>>>; 5] = Default::default();
    while let Some(name) = words.next().filter(|word| *word != "}") {
        let value = number(words.next().unwrap_or_default())?;
        // Exponents and the coefficient of the Chinese remainder theorem are computed from the primes.
        if let Some((slot, _)) = numbers.iter_mut().zip(NAMES).find(|(_, own)| *own == name) {
            *slot = Some(value);
        }
    }
    let [Some(n), Some(e), Some(d), Some(p), Some(q)] = numbers else { return Err(LoadError::MalformedKey) };
    // Before any arithmetic with the numbers.
    RsaKey::new(&n, &e).map_err(LoadError::Key)?;
    if [&d, &p, &q].iter().any(|number| number.len() > n.len()) {
        return Err(LoadError::MalformedKey);
    }
    let [n, e, d, p, q] = [n, e, d, p, q].map(|number| BoxedUint::from_be_slice_vartime(&number));
    PrivateKey::from_components(n, e, d, vec![p, q]).map_err(|_| LoadError::MalformedKey)
}

/// Reads a number in hexadecimal or Base64, with the prefix `0x` or `0s`.
fn number(word: &str) -> Result<Zeroizing<Vec<u8>>, LoadError> {
    if let Some(base64) = word.strip_prefix("0s") {
        return Base64::decode_vec(base64).map(Zeroizing::new).map_err(|_| LoadError::Base64);
    }
    let digits = word.strip_prefix("0x").ok_or(LoadError::MalformedKey)?;
    // A number may begin with a single digit.
    let even = Zeroizing::new(if digits.len() % 2 == 0 { digits.to_owned() } else { format!("0{digits}") });
    base16ct::mixed::decode_vec(even.as_str()).map(Zeroizing::new).map_err(|_| LoadError::MalformedKey)
}

#[cfg(test)]
mod tests {
    use ike_codec::{IdKind, Identification};
    use rsa::traits::{PrivateKeyParts, PublicKeyParts};

    use super::*;
    use crate::tests::{decode, section};
    use crate::{Credential, Trust};

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    /// Returns private and public key of the gateway as racoon(8) writes them, with comments and all numbers.
    fn texts() -> (String, String) {
        let key = private_key(section("gateway key").as_bytes()).unwrap();
        let (n, e) = (key.n_bytes().to_vec(), key.e_bytes().to_vec());
        let wire = [&[u8::try_from(e.len()).unwrap()][..], &e, &n].concat();
        let public = format!(": PUB 0s{}", Base64::encode_string(&wire));
        let [p, q] = [0, 1].map(|index| hex(&key.primes()[index].to_be_bytes()));
        let private = format!(
            "# {public}\n: RSA\t{{\n\t# RSA 2048 bits\n\tModulus: 0x{}\n\tPublicExponent: 0x{}\n\tPrivateExponent: \
             0x{}\n\tPrime1: 0x{p}\n\tPrime2: 0x{q}\n\tExponent1: 0x3\n\tExponent2: 0x3\n\tCoefficient: 0x3\n  }}\n",
            hex(&n),
            hex(&e).trim_start_matches('0'),
            hex(&key.d().to_be_bytes()),
        );
        (private, public)
    }

    #[test]
    fn keys_of_racoon_equal_those_in_pem() {
        let (private, public) = texts();
        let key = private_key(section("gateway key").as_bytes()).unwrap();
        let read = private_key(private.as_bytes()).unwrap();
        assert_eq!((read.n_bytes(), read.d()), (key.n_bytes(), key.d()));
        let expected = RsaKey::new(&key.n_bytes(), &key.e_bytes()).unwrap();
        let keys = public_keys(format!("# peers\n{public}\n: PUB 0x{}", hex_of(&public)).as_bytes()).unwrap();
        assert!(keys.len() == 2 && keys.iter().all(|key| key.is_same(&expected)));
        // An exponent of more than 255 octets has a length of three; the modulus is what follows.
        let long = [&[0, 0, 3, 1, 0, 1][..], &key.n_bytes()].concat();
        assert!(public_keys(format!(":PUB 0x{}", hex(&long)).as_bytes()).unwrap()[0].is_same(&expected));
    }

    fn hex_of(public: &str) -> String {
        hex(&Base64::decode_vec(public.strip_prefix(": PUB 0s").unwrap()).unwrap())
    }

    #[test]
    fn public_keys_are_trusted_for_their_identity() {
        let file = section("gateway key");
        let own = Credential::from_key(file.as_bytes()).unwrap();
        let hash = [7; 20];
        let signature = own.sign(&hash, &mut rand::rng()).unwrap();
        assert!(own.subject().is_none() && own.certificates().next().is_none() && !own.is_issued_by(&[]));
        assert!(own.alternative_names().next().is_none() && own.validity().is_none());
        let (public, other) = (texts().1, ": PUB 0x0103".to_owned() + &"ff".repeat(own.signature_len()));
        let identity = |data: &'static [u8]| Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data };
        let (gw, peer) = (identity(b"gw.example.org"), identity(b"peer.example.org"));
        let verify = |trust: &Trust, claimed| {
            let verified = trust.verify(0, &claimed, [], &hash, &signature);
            verified.map(|own| (own.certificate.len(), own.not_after, own.is_pinned)).map_err(|e| e.label())
        };
        let accepted = Ok((0, u64::MAX, true));
        let mut trust = Trust::default();
        assert_eq!(trust.add_public_keys(public.as_bytes(), Some(&gw)), Ok(1));
        assert_eq!(verify(&trust, gw), accepted);
        assert_eq!(verify(&trust, identity(b"GW.example.org")), accepted);
        assert_eq!(verify(&trust, peer), Err("no-certificate"));
        assert_eq!(trust.add_public_keys(other.as_bytes(), Some(&peer)), Ok(1));
        assert_eq!(verify(&trust, peer), Err("signature-wrong"));
        // A second key for the identity is that of the signature.
        assert_eq!(trust.add_public_keys(format!("{other}\n{public}").as_bytes(), Some(&peer)), Ok(2));
        assert_eq!(verify(&trust, peer), accepted);
        let mut trust = Trust::default();
        assert_eq!(trust.add_public_keys(format!("{public}\n").repeat(16).as_bytes(), None), Ok(16));
        assert_eq!(trust.add_public_keys(other.as_bytes(), None), Err(LoadError::TooManyKeys { limit: 16 }));
        assert_eq!((verify(&trust, gw), verify(&trust, peer)), (accepted, accepted));
    }

    #[test]
    fn public_keys_of_openssl_are_read() {
        let key = private_key(section("gateway key").as_bytes()).unwrap();
        let expected = RsaKey::new(&key.n_bytes(), &key.e_bytes()).unwrap();
        for name in ["gateway public key", "gateway public key PKCS#1"] {
            for file in [section(name).as_bytes().to_vec(), decode(name)] {
                assert!(public_keys(&file).unwrap()[0].is_same(&expected), "{name}");
            }
        }
    }

    #[test]
    fn unusable_texts_are_refused_with_the_reason() {
        let (private, public) = texts();
        let refused = |text: &str| public_keys(text.as_bytes()).err();
        assert_eq!(refused(&format!("{public}\n192.0.2.1 {public}")), Some(LoadError::KeyAddresses));
        assert_eq!(refused(&private), Some(LoadError::NoPublicKey));
        assert_eq!(refused(": PUB 0sAw=="), Some(LoadError::MalformedKey));
        assert_eq!(refused(": PUB 0s*"), Some(LoadError::Base64));
        assert_eq!(refused(": PUB"), Some(LoadError::MalformedKey));
        assert_eq!(refused(": X"), Some(LoadError::Encoding));
        assert_eq!(refused(section("gateway certificate")), Some(LoadError::NoPublicKey));
        let refused = |text: &str| private_key(text.as_bytes()).err();
        assert_eq!(refused(&public), Some(LoadError::NoPrivateKey));
        assert_eq!(refused(&private.replace("Prime2", "Prime3")), Some(LoadError::MalformedKey));
        assert_eq!(refused(&private.replace("Prime1: 0x", "Prime1: 0x1")), Some(LoadError::MalformedKey));
        assert_eq!(refused(&private.replace("0x", "")), Some(LoadError::MalformedKey));
    }
}
