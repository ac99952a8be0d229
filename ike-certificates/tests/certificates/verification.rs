//! Verification of peers with generated certification paths, each of which has one error.

use ike_certificates::{CertificateRefusal, IdentityCheck, KeyError, RevocationCheck, Trust};
use ike_codec::{CertificateEncoding, IdKind};
use rsa::BoxedUint;
use rsa::traits::PublicKeyParts;

use crate::template::{
    Case, HASH, MD5_WITH_RSA, NOW, Template, X509, block, ca, crl, der, extension, identity, key, key_usage, private,
    refused,
};

#[test]
fn validity_extensions_and_algorithm_of_certificates_are_checked() {
    refused(&[
        ("expired", |case| case.gateway.validity = [b"260101000000Z", b"270115075959Z"]),
        ("not-yet-valid", |case| case.gateway.validity = [b"270115080001Z", b"280101000000Z"]),
        ("expired", |case| case.intermediate.validity = [b"260101000000Z", b"260102000000Z"]),
        ("expired", |case| case.root.validity = [b"260101000000Z", b"260102000000Z"]),
        ("key-usage", |case| case.gateway.extensions.push(key_usage(0x20))),
        ("critical-extension", |case| case.gateway.extensions.push(extension(99, true, &[5, 0]))),
        ("algorithm", |case| case.gateway.algorithm = MD5_WITH_RSA),
        ("algorithm", |case| case.intermediate.algorithm = MD5_WITH_RSA),
    ]);
}

/// Another encoding of the same contents has another signature, and a name with its attributes in another order is
/// another name.
#[test]
fn certificates_are_used_in_the_encoding_that_was_signed() {
    let attribute = |value: &[u8]| der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0c, &[value])]);
    let name = |values: [&[u8]; 2]| der(0x30, &[&der(0x31, &values.map(attribute).each_ref().map(|der| &der[..]))]);
    let (sorted, unsorted) = (name([b"gateway", b"host"]), name([b"host", b"gateway"]));
    for (claimed, expected) in [(&unsorted, None), (&sorted, Some("subject-mismatch"))] {
        let mut case = Case::new();
        case.gateway.subject_name = Some(unsorted.clone());
        // Explicit defaults: `critical FALSE`, and `cA FALSE`.
        let not_critical = der(0x30, &[&[6, 3, 0x55, 0x1d, 19], &[1, 1, 0], &der(4, &[&[0x30, 3, 1, 1, 0]])]);
        case.gateway.extensions.push(not_critical);
        let found = case.verify_as(&identity(IdKind::DER_ASN1_DN, claimed));
        assert_eq!(found.err().map(|refusal| refusal.label()), expected);
    }
}

#[test]
fn issuers_of_a_certificate_path_are_checked() {
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
fn path_search_for_one_peer_is_bounded() {
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
fn certificate_paths_have_at_most_five_certificates() {
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
fn revoked_certificates_and_invalid_revocation_lists_are_refused() {
    const LATER: &[u8] = b"280101000000Z";
    refused(&[
        ("revoked", |case| case.crls = vec![crl("intermediate", "intermediate", LATER, 1)]),
        ("revoked", |case| case.crls = vec![crl("root", "root", LATER, 1)]),
        // Names are compared without regard to case and repeated blanks.
        ("revoked", |case| case.crls = vec![crl(" Intermediate", "intermediate", LATER, 1)]),
        ("crl-signature", |case| case.crls = vec![crl("INTERMEDIATE", "root", LATER, 1)]),
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
fn received_revocation_lists_can_only_revoke_certificates() {
    let mut case = Case::new();
    case.trust.add_authorities(&case.root.make()).unwrap();
    let (gateway, intermediate) = (case.gateway.make(), case.intermediate.make());
    let verify = |list: &[u8]| {
        let sent = [(X509, &gateway[..]), (X509, &intermediate), (CertificateEncoding::CRL, list)];
        case.trust.verify(NOW, &identity(IdKind::FQDN, b"gw.example.org"), sent, &HASH, &case.signature).map(drop)
    };
    let revoked = verify(&crl("intermediate", "intermediate", b"280101000000Z", 1));
    assert_eq!(revoked, Err(CertificateRefusal::Revoked { subject: "CN=gateway".into() }));
    // One of another key is ignored.
    assert_eq!(verify(&crl("intermediate", "gateway", b"280101000000Z", 1)), Ok(()));
    assert_eq!(verify(&[1, 2, 3]), Ok(()));
}

//= RFC 2409 5.1/1
//# MUST: rsa signatures are private key encryptions of pkcs #1, without an oid
#[test]
fn signature_with_digest_info_is_refused() {
    refused(&[("signature-digest-info", |case| {
        let info = b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14";
        case.signature = private(&key("gateway"), &block(128, &[&info[..], &HASH].concat()));
    })]);
}

/// Windows sends its certificate and those of its intermediate CAs in one PKCS#7 payload.
#[test]
fn certificates_in_pkcs7_are_accepted_in_any_order() {
    let mut case = Case::new();
    case.trust.add_authorities(&case.root.make()).unwrap();
    let verify = |certificates: &[Vec<u8>]| {
        let data = der(0x30, &[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"]);
        let all = der(0xa0, &[&certificates.concat()]);
        let signed = der(0x30, &[&[2, 1, 1], &[0x31, 0], &data, &all, &[0x31, 0]]);
        let bag = der(0x30, &[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", &der(0xa0, &[&signed])]);
        let sent = [(CertificateEncoding::PKCS7, &bag[..])];
        case.trust.verify(NOW, &identity(IdKind::FQDN, b"gw.example.org"), sent, &HASH, &case.signature).map(drop)
    };
    let (gateway, intermediate) = (case.gateway.make(), case.intermediate.make());
    assert_eq!(verify(&[gateway.clone(), intermediate.clone()]), Ok(()));
    assert_eq!(verify(&[intermediate.clone(), gateway.clone()]), Ok(()));
    let unknown = verify(&[gateway]).map_err(|refusal| refusal.label());
    assert_eq!((unknown, verify(&[intermediate]).is_err()), (Err("unknown-issuer"), true));
}

//= RFC 2409 5.1/1
//# MUST: rsa signatures are private key encryptions of pkcs #1, without an oid
#[test]
fn signature_is_the_whole_block() {
    refused(&[
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
    // The rounded cube root of a block with eight octets of padding, the hash, and any octets after it. It is computed
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
