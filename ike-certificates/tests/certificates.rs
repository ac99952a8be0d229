//! Verification of peers with paths that are made here and have one error each.

use base64ct::{Base64, Encoding};
use ike_certificates::{CertificateRefusal, IdentityCheck, KeyError, RevocationCheck, Trust};
use ike_codec::{CertificateEncoding, IdKind, Identification};
use rsa::BoxedUint;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::Digest;

/// 2027-01-15T08:00:00Z
const NOW: u64 = 1_800_000_000;
const HASH: [u8; 20] = [7; 20];
const X509: CertificateEncoding = CertificateEncoding::X509_SIGNATURE;

fn section(name: &str) -> &'static str {
    let bundle = include_str!("bundle.pem");
    let found = bundle.split("==== ").find_map(|section| section.strip_prefix(name)?.strip_prefix('\n'));
    found.unwrap_or_else(|| panic!("no section {name}"))
}

fn decode(name: &str) -> Vec<u8> {
    let lines = section(name).lines().skip_while(|line| !line.starts_with("-----B")).skip(1);
    Base64::decode_vec(&lines.take_while(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

fn identity(kind: IdKind, data: &[u8]) -> Identification<'_> {
    Identification { kind, protocol: 0, port: 0, data }
}

fn key(name: &str) -> rsa::PrivateKey {
    rsa::PrivateKey::from_pkcs8_der(&decode(&format!("{name} key"))).unwrap()
}

/// Applies the private key to a block.
fn private(key: &rsa::PrivateKey, block: &[u8]) -> Vec<u8> {
    let number = BoxedUint::from_be_slice(block, key.n_bits_precision()).unwrap();
    rsa::hazmat::rsa_decrypt::<rand::rngs::ThreadRng>(None, key, &number).unwrap().to_be_bytes().to_vec()
}

fn block(length: usize, contents: &[u8]) -> Vec<u8> {
    [&[0, 1][..], &vec![0xff; length - 3 - contents.len()], &[0], contents].concat()
}

fn sha1(contents: &[u8]) -> Vec<u8> {
    let info = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
    [&info[..], &sha1::Sha1::digest(contents)].concat()
}

// DER.

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = contents.len();
    let header = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header, contents].concat()
}

fn name(common_name: &str) -> Vec<u8> {
    der(0x30, &[&der(0x31, &[&der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0c, &[common_name.as_bytes()])])])])
}

/// Returns an extension `2.5.29.number`.
fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    der(0x30, &[&[6, 3, 0x55, 0x1d, number], critical, &der(4, &[value])])
}

fn ca(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map_or(vec![], |length| vec![2, 1, length]);
    extension(19, true, &der(0x30, &[&[1, 1, 0xff], &length]))
}

fn key_usage(bits: u8) -> Vec<u8> {
    extension(15, true, &[3, 2, 0, bits])
}

fn alternative_name() -> Vec<u8> {
    extension(17, false, &der(0x30, &[&der(0x82, &[b"gw.example.org"])]))
}

/// Certificate to be made.
#[derive(Clone)]
struct Template {
    serial: u8,
    issuer: &'static str,
    subject: &'static str,
    validity: [&'static [u8]; 2],
    /// Key in the certificate; the modulus and exponent, if they differ from it.
    key: &'static str,
    numbers: Option<(Vec<u8>, Vec<u8>)>,
    signer: &'static str,
    algorithm: &'static [u8],
    version: u8,
    extensions: Vec<Vec<u8>>,
}

const SHA1_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";
const MD5_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04\x05\x00";
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

impl Template {
    fn new(subject: &'static str, key: &'static str, issuer: &'static str, signer: &'static str) -> Self {
        let validity: [&[u8]; 2] = [b"260101000000Z", b"280101000000Z"];
        let extensions = vec![alternative_name()];
        let (algorithm, numbers) = (SHA1_WITH_RSA, None);
        Self { serial: 1, issuer, subject, validity, key, numbers, signer, algorithm, version: 2, extensions }
    }

    fn ca(mut self) -> Self {
        self.extensions = vec![ca(None), key_usage(0x06)];
        self
    }

    fn make(&self) -> Vec<u8> {
        let key = key(self.key);
        let (n, e) = self.numbers.clone().unwrap_or_else(|| (key.n_bytes().to_vec(), key.e_bytes().to_vec()));
        let key = der(0x30, &[&der(2, &[&[0], &n]), &der(2, &[&e])]);
        let version = der(0xa0, &[&[2, 1, self.version]]);
        let extensions = der(0xa3, &[&der(0x30, &[&self.extensions.concat()])]);
        let contents = der(
            0x30,
            &[
                if self.version == 0 { &[] } else { &version },
                &[2, 1, self.serial],
                self.algorithm,
                &name(self.issuer),
                &der(0x30, &self.validity.map(|time| der(0x17, &[time])).each_ref().map(|time| &time[..])),
                &name(self.subject),
                &der(0x30, &[RSA, &der(3, &[&[0], &key])]),
                if self.extensions.is_empty() { &[] } else { &extensions },
            ],
        );
        sign(&contents, self.algorithm, self.signer)
    }
}

fn sign(contents: &[u8], algorithm: &[u8], signer: &str) -> Vec<u8> {
    let signer = key(signer);
    let signature = private(&signer, &block(signer.size(), &sha1(contents)));
    der(0x30, &[contents, algorithm, &der(3, &[&[0], &signature])])
}

fn crl(issuer: &str, signer: &str, next_update: &[u8], revoked: u8) -> Vec<u8> {
    let time = der(0x17, &[b"260101000000Z"]);
    let list = der(0x30, &[&der(0x30, &[&[2, 1, revoked], &time])]);
    let contents = der(0x30, &[SHA1_WITH_RSA, &name(issuer), &time, &der(0x17, &[next_update]), &list]);
    sign(&contents, SHA1_WITH_RSA, signer)
}

/// Path of three certificates with one private key each, and what the peer sends.
struct Case {
    root: Template,
    intermediate: Template,
    gateway: Template,
    /// Certificates of the peer besides these two.
    more: Vec<Vec<u8>>,
    trust: Trust,
    crls: Vec<Vec<u8>>,
    signature: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        Self {
            root: Template::new("root", "root", "root", "root").ca(),
            intermediate: Template::new("intermediate", "intermediate", "root", "root").ca(),
            gateway: Template::new("gateway", "gateway", "intermediate", "intermediate"),
            more: vec![],
            trust: Trust::default(),
            crls: vec![],
            signature: private(&key("gateway"), &block(128, &HASH)),
        }
    }

    fn verify_as(mut self, identity: &Identification<'_>) -> Result<(), CertificateRefusal> {
        self.trust.add_authorities(&self.root.make()).unwrap();
        for crl in &self.crls {
            self.trust.add_crls(crl).unwrap();
        }
        let (gateway, intermediate) = (self.gateway.make(), self.intermediate.make());
        let sent = [&intermediate, &gateway].into_iter().chain(&self.more).map(|octets| (X509, &octets[..]));
        self.trust.verify(NOW, identity, sent, &HASH, &self.signature).map(drop)
    }

    fn verify(self) -> Result<(), CertificateRefusal> {
        self.verify_as(&identity(IdKind::FQDN, b"GW.Example.org"))
    }
}

type Change = fn(&mut Case);

/// Verifies a path with one change each, and compares the label of the refusal.
fn refused(table: &[(&str, Change)]) {
    assert_eq!(Case::new().verify(), Ok(()));
    for (row, (label, change)) in table.iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        let found = case.verify().err();
        assert_eq!(found.as_ref().map(CertificateRefusal::label), Some(*label), "row {row}: {found:?}");
    }
}

#[test]
fn certificate_contents_are_checked() {
    refused(&[
        ("expired", |case| case.gateway.validity = [b"260101000000Z", b"270115075959Z"]),
        ("not-yet-valid", |case| case.gateway.validity = [b"270115080001Z", b"280101000000Z"]),
        ("expired", |case| case.intermediate.validity = [b"260101000000Z", b"260102000000Z"]),
        ("expired", |case| case.root.validity = [b"260101000000Z", b"260102000000Z"]),
        ("key-usage", |case| case.gateway.extensions.push(key_usage(0x20))),
        ("critical-extension", |case| case.gateway.extensions.push(extension(99, true, &[5, 0]))),
        // Name constraints are refused also where they are not marked as critical.
        ("critical-extension", |case| case.intermediate.extensions.push(extension(30, false, &[0x30, 0]))),
        ("algorithm", |case| case.gateway.algorithm = MD5_WITH_RSA),
        ("algorithm", |case| case.intermediate.algorithm = MD5_WITH_RSA),
    ]);
}

#[test]
fn issuers_are_checked() {
    refused(&[
        ("unknown-issuer", |case| case.gateway.issuer = "unknown"),
        ("unknown-issuer", |case| case.intermediate.issuer = "unknown"),
        ("certificate-signature", |case| case.gateway.signer = "root"),
        ("certificate-signature", |case| case.intermediate.signer = "intermediate"),
        ("not-a-ca", |case| case.intermediate.extensions = vec![]),
        ("not-a-ca", |case| case.intermediate.extensions = vec![extension(19, true, &[0x30, 0])]),
        ("not-a-ca", |case| (case.intermediate.version, case.intermediate.extensions) = (0, vec![])),
        ("issuer-key-usage", |case| case.intermediate.extensions = vec![ca(None), key_usage(0x82)]),
        ("path-too-long", |case| case.root.extensions = vec![ca(Some(0))]),
        // The peer is its own CA.
        ("unknown-issuer", |case| (case.gateway.issuer, case.gateway.signer) = ("gateway", "gateway")),
    ]);
    let mut case = Case::new();
    (case.intermediate.extensions, case.root.extensions) = (vec![ca(Some(0))], vec![ca(Some(1))]);
    assert_eq!(case.verify(), Ok(()));
}

#[test]
fn work_for_one_peer_is_bounded() {
    let same_name = |case: &mut Case, count: u8| {
        // Valid certificates of one CA with one name and key, which issue each other in any order.
        case.intermediate.issuer = "intermediate";
        case.intermediate.signer = "intermediate";
        case.more = (2..=count).map(|serial| Template { serial, ..case.intermediate.clone() }.make()).collect();
    };
    let mut case = Case::new();
    same_name(&mut case, 7);
    assert_eq!(case.verify(), Err(CertificateRefusal::PathSearchLimit));
    let mut case = Case::new();
    same_name(&mut case, 8);
    assert_eq!(case.verify(), Err(CertificateRefusal::TooMany { limit: 8 }));
    // Repeated certificates count once (RFC 4945 section 3.3.10.4).
    let mut case = Case::new();
    case.more = vec![case.gateway.make(); 20];
    assert_eq!(case.verify(), Ok(()));
    // Those that cannot be decoded count as others do.
    let mut case = Case::new();
    case.more = (0..7).map(|n| vec![0x30, n]).collect();
    assert_eq!(case.verify(), Err(CertificateRefusal::TooMany { limit: 8 }));
    let long = vec![0; 65_536];
    let refused = Trust::default().verify(NOW, &identity(IdKind::FQDN, b"a"), [(X509, &long[..])], &HASH, &[]);
    assert_eq!(refused, Err(CertificateRefusal::TooLarge { limit: 65_535 }));
}

#[test]
fn paths_have_at_most_five_certificates() {
    let path = |count: usize| {
        const NAMES: [&str; 7] = ["gateway", "intermediate", "a", "b", "c", "d", "root"];
        let mut case = Case::new();
        let last = count - 2;
        case.intermediate.issuer = if last == 1 { "root" } else { NAMES[2] };
        case.intermediate.signer = if last == 1 { "root" } else { "gateway" };
        case.more = (2..=last)
            .map(|at| {
                let (issuer, signer) = if at == last { ("root", "root") } else { (NAMES[at + 1], "gateway") };
                Template::new(NAMES[at], "gateway", issuer, signer).ca().make()
            })
            .collect();
        case.verify()
    };
    assert_eq!((path(3), path(4), path(5)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(path(6), Err(CertificateRefusal::PathTooLong { limit: 5 }));
}

#[test]
fn revocation_lists_are_compared() {
    const LATER: &[u8] = b"280101000000Z";
    refused(&[
        ("revoked", |case| case.crls = vec![crl("intermediate", "intermediate", LATER, 1)]),
        ("revoked", |case| case.crls = vec![crl("root", "root", LATER, 1)]),
        ("revoked", |case| case.crls = vec![crl("intermediate", "intermediate", b"260601000000Z", 1)]),
        ("crl-expired", |case| case.crls = vec![crl("intermediate", "intermediate", b"260601000000Z", 2)]),
        ("crl-signature", |case| case.crls = vec![crl("intermediate", "root", LATER, 2)]),
        ("crl-signature", |case| {
            case.crls = vec![crl("intermediate", "intermediate", LATER, 2)];
            case.intermediate.extensions = vec![ca(None), key_usage(0x04)];
        }),
        ("no-crl", |case| case.trust = Trust::new(IdentityCheck::Certificate, RevocationCheck::Required)),
    ]);
    let mut case = Case::new();
    case.trust = Trust::new(IdentityCheck::Certificate, RevocationCheck::Required);
    case.crls = vec![crl("intermediate", "intermediate", LATER, 2), crl("root", "root", LATER, 2)];
    assert_eq!(case.verify(), Ok(()));
}

#[test]
fn received_revocation_lists_only_revoke() {
    let mut case = Case::new();
    case.trust.add_authorities(&case.root.make()).unwrap();
    let (gateway, intermediate) = (case.gateway.make(), case.intermediate.make());
    let verify = |list: &[u8]| {
        let sent = [(X509, &gateway[..]), (X509, &intermediate), (CertificateEncoding::CRL, list)];
        case.trust.verify(NOW, &identity(IdKind::FQDN, b"gw.example.org"), sent, &HASH, &case.signature).map(drop)
    };
    let revoked = verify(&crl("intermediate", "intermediate", b"280101000000Z", 1));
    assert_eq!(revoked, Err(CertificateRefusal::Revoked { subject: "CN=gateway".into() }));
    // One of another key is no information.
    assert_eq!(verify(&crl("intermediate", "gateway", b"280101000000Z", 1)), Ok(()));
    assert_eq!(verify(&[1, 2, 3]), Ok(()));
}

//= RFC 2409 5.1/1
//# MUST: rsa signatures are private key encryptions of pkcs #1, without an oid
#[test]
fn signature_is_the_whole_block_without_digest_info() {
    refused(&[
        ("signature-digest-info", |case| {
            let info = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
            case.signature = private(&key("gateway"), &block(128, &[&info[..], &HASH].concat()));
        }),
        ("signature-wrong", |case| case.signature = private(&key("gateway"), &block(128, &[8; 20]))),
        ("signature-wrong", |case| case.signature = private(&key("root"), &block(128, &HASH))),
        ("signature-wrong", |case| {
            // Block of type 2, as for encryption.
            let mut block = block(128, &HASH);
            block[1] = 2;
            case.signature = private(&key("gateway"), &block);
        }),
        // The number plus the modulus would have the same result.
        ("signature-wrong", |case| case.signature = vec![0xff; 128]),
        ("signature-length", |case| case.signature.truncate(127)),
        ("signature-length", |case| case.signature.insert(0, 0)),
        ("signature-length", |case| case.signature.clear()),
    ]);
    let case = Case::new();
    let sent = case.gateway.make();
    let result = Trust::default().verify(NOW, &identity(IdKind::FQDN, b"a"), [(X509, &sent[..])], &[7; 15], &[]);
    assert_eq!(result, Err(CertificateRefusal::HashLength { octets: 15 }));
}

#[test]
fn forged_signature_for_exponent_3_is_refused() {
    // The rounded cube root of a block with eight octets of padding, the hash, and any octets behind it. It is computed
    // without the private key (Bleichenbacher 2006).
    let root = "01428a2f98d728ae22081a7e41eccdc535ba6d3c6074794659bee3a81c00b0bdaf204a28d8ab7ac7253465";
    let digits = format!("{root:0>256}");
    let forged: Vec<u8> = (0..128).map(|at| u8::from_str_radix(&digits[2 * at..][..2], 16).unwrap()).collect();
    let public = key("small exponent").to_public_key();
    let number = BoxedUint::from_be_slice(&forged, public.n_bits_precision()).unwrap();
    let block = rsa::hazmat::rsa_encrypt(&public, &number).unwrap().to_be_bytes();
    assert!(block.starts_with(&[&[0, 1][..], &[0xff; 8], &[0], &HASH].concat()));
    let mut case = Case::new();
    (case.gateway.key, case.signature) = ("small exponent", forged);
    assert_eq!(case.verify(), Err(CertificateRefusal::SignatureWrong));
    let mut case = Case::new();
    case.gateway.key = "small exponent";
    case.signature = private(&key("small exponent"), &self::block(128, &HASH));
    assert_eq!(case.verify(), Ok(()));
}

#[test]
fn keys_in_certificates_are_checked() {
    let modulus = |octets: usize, last: u8| [vec![0xff; octets - 1], vec![last]].concat();
    let table = [
        (modulus(127, 1), vec![3], KeyError::TooShort { bits: 1016 }),
        (modulus(513, 1), vec![3], KeyError::TooLong { bits: 4104 }),
        (modulus(128, 2), vec![3], KeyError::EvenModulus),
        (modulus(128, 1), vec![1], KeyError::ExponentIsOne),
        (modulus(128, 1), vec![0], KeyError::EvenExponent),
        (modulus(128, 1), vec![4], KeyError::EvenExponent),
        (modulus(128, 1), vec![127; 5], KeyError::ExponentTooLarge),
    ];
    for (modulus, exponent, reason) in table {
        let mut case = Case::new();
        case.gateway.numbers = Some((modulus.clone(), exponent.clone()));
        assert_eq!(case.verify(), Err(CertificateRefusal::Key { subject: "CN=gateway".into(), reason }));
        let mut case = Case::new();
        case.intermediate.numbers = Some((modulus, exponent));
        assert_eq!(case.verify(), Err(CertificateRefusal::Key { subject: "CN=intermediate".into(), reason }));
    }
}
