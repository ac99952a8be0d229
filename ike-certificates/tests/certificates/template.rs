//! Certificates that a test issues, and the verification of a path of them.

use base64ct::{Base64, Encoding};
use ike_certificates::{CertificateRefusal, Trust};
use ike_codec::{CertificateEncoding, IdKind, Identification};
use rsa::BoxedUint;
use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use sha2::Digest;

/// 2027-01-15T08:00:00Z
pub const NOW: u64 = 1_800_000_000;
pub const HASH: [u8; 20] = [7; 20];
pub const X509: CertificateEncoding = CertificateEncoding::X509_SIGNATURE;

pub fn section(name: &str) -> &'static str {
    let bundle = include_str!("../bundle.pem");
    let found = bundle.split("==== ").find_map(|section| section.strip_prefix(name)?.strip_prefix('\n'));
    found.unwrap_or_else(|| panic!("no section {name}"))
}

pub fn decode(name: &str) -> Vec<u8> {
    let lines = section(name).lines().skip_while(|line| !line.starts_with("-----B")).skip(1);
    Base64::decode_vec(&lines.take_while(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

pub fn identity(kind: IdKind, data: &[u8]) -> Identification<'_> {
    Identification { kind, protocol: 0, port: 0, data }
}

pub fn key(name: &str) -> rsa::PrivateKey {
    rsa::PrivateKey::from_pkcs8_der(&decode(&format!("{name} key"))).unwrap()
}

/// Applies the private key to a block.
pub fn private(key: &rsa::PrivateKey, block: &[u8]) -> Vec<u8> {
    let number = BoxedUint::from_be_slice(block, key.n_bits_precision()).unwrap();
    rsa::hazmat::rsa_decrypt::<rand::rngs::ThreadRng>(None, key, &number).unwrap().to_be_bytes().to_vec()
}

pub fn block(length: usize, contents: &[u8]) -> Vec<u8> {
    [&[0, 1][..], &vec![0xff; length - 3 - contents.len()], &[0], contents].concat()
}

pub fn sha1(contents: &[u8]) -> Vec<u8> {
    let info = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
    [&info[..], &sha1::Sha1::digest(contents)].concat()
}

// DER.

pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = contents.len();
    let header = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header, contents].concat()
}

pub fn name(common_name: &str) -> Vec<u8> {
    der(0x30, &[&der(0x31, &[&der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0c, &[common_name.as_bytes()])])])])
}

/// Returns an extension `2.5.29.number`.
pub fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    der(0x30, &[&[6, 3, 0x55, 0x1d, number], critical, &der(4, &[value])])
}

pub fn ca(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map_or(vec![], |length| vec![2, 1, length]);
    extension(19, true, &der(0x30, &[&[1, 1, 0xff], &length]))
}

pub fn key_usage(bits: u8) -> Vec<u8> {
    extension(15, true, &[3, 2, 0, bits])
}

pub fn alternative_name() -> Vec<u8> {
    extension(17, false, &der(0x30, &[&der(0x82, &[b"gw.example.org"])]))
}

/// Certificate to be made.
#[derive(Clone)]
pub struct Template {
    pub serial: u8,
    pub issuer: &'static str,
    pub subject: &'static str,
    /// Distinguished name in the place of that of `subject`.
    pub subject_name: Option<Vec<u8>>,
    pub validity: [&'static [u8]; 2],
    /// Key in the certificate; the modulus and exponent, if they differ from it.
    pub key: &'static str,
    pub numbers: Option<(Vec<u8>, Vec<u8>)>,
    pub signer: &'static str,
    pub algorithm: &'static [u8],
    pub version: u8,
    pub extensions: Vec<Vec<u8>>,
}

pub const SHA1_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";
pub const MD5_WITH_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04\x05\x00";
pub const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

impl Template {
    pub fn new(subject: &'static str, key: &'static str, issuer: &'static str, signer: &'static str) -> Self {
        let validity: [&[u8]; 2] = [b"260101000000Z", b"280101000000Z"];
        let extensions = vec![alternative_name()];
        let (algorithm, numbers) = (SHA1_WITH_RSA, None);
        Self {
            serial: 1,
            issuer,
            subject,
            subject_name: None,
            validity,
            key,
            numbers,
            signer,
            algorithm,
            version: 2,
            extensions,
        }
    }

    pub fn ca(mut self) -> Self {
        self.extensions = vec![ca(None), key_usage(0x06)];
        self
    }

    pub fn make(&self) -> Vec<u8> {
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
                &self.subject_name.clone().unwrap_or_else(|| name(self.subject)),
                &der(0x30, &[RSA, &der(3, &[&[0], &key])]),
                if self.extensions.is_empty() { &[] } else { &extensions },
            ],
        );
        sign(&contents, self.algorithm, self.signer)
    }
}

pub fn sign(contents: &[u8], algorithm: &[u8], signer: &str) -> Vec<u8> {
    let signer = key(signer);
    let signature = private(&signer, &block(signer.size(), &sha1(contents)));
    der(0x30, &[contents, algorithm, &der(3, &[&[0], &signature])])
}

pub fn crl(issuer: &str, signer: &str, next_update: &[u8], revoked: u8) -> Vec<u8> {
    let time = der(0x17, &[b"260101000000Z"]);
    let list = der(0x30, &[&der(0x30, &[&[2, 1, revoked], &time])]);
    let contents = der(0x30, &[SHA1_WITH_RSA, &name(issuer), &time, &der(0x17, &[next_update]), &list]);
    sign(&contents, SHA1_WITH_RSA, signer)
}

/// Path of three certificates with one private key each, and what the peer sends.
pub struct Case {
    pub root: Template,
    pub intermediate: Template,
    pub gateway: Template,
    /// Certificates of the peer besides these two.
    pub more: Vec<Vec<u8>>,
    pub trust: Trust,
    pub crls: Vec<Vec<u8>>,
    pub signature: Vec<u8>,
}

impl Case {
    pub fn new() -> Self {
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

    pub fn verify_as(mut self, identity: &Identification<'_>) -> Result<(), CertificateRefusal> {
        self.trust.add_authorities(&self.root.make()).unwrap();
        for crl in &self.crls {
            self.trust.add_crls(crl).unwrap();
        }
        let (gateway, intermediate) = (self.gateway.make(), self.intermediate.make());
        let sent = [&intermediate, &gateway].into_iter().chain(&self.more).map(|octets| (X509, &octets[..]));
        self.trust.verify(NOW, identity, sent, &HASH, &self.signature).map(drop)
    }

    pub fn verify(self) -> Result<(), CertificateRefusal> {
        self.verify_as(&identity(IdKind::FQDN, b"GW.Example.org"))
    }
}

pub type Change = fn(&mut Case);

/// Verifies a path with one change each, and compares the label of the refusal.
pub fn refused(table: &[(&str, Change)]) {
    assert_eq!(Case::new().verify(), Ok(()));
    for (row, (label, change)) in table.iter().enumerate() {
        let mut case = Case::new();
        change(&mut case);
        let found = case.verify().err();
        assert_eq!(found.as_ref().map(CertificateRefusal::label), Some(*label), "row {row}: {found:?}");
    }
}
