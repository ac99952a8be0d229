//! Purposes of keys, and name constraints of CAs.

use ike_certificates::CertificateRefusal;
use ike_codec::IdKind;

use crate::template::{Case, Template, ca, der, extension, identity, key_usage, name, refused};

/// Returns an extended key usage with these purposes, each as the contents of an object identifier.
fn purposes(critical: bool, all: &[&[u8]]) -> Vec<u8> {
    let all: Vec<_> = all.iter().map(|purpose| der(6, &[purpose])).collect();
    extension(37, critical, &der(0x30, &[&all.concat()]))
}

const PKIX: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03";
const CODE_SIGNING: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x03";
const EMAIL_PROTECTION: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x04";
const ANY: &[u8] = b"\x55\x1d\x25\x00";
const IKE_INTERMEDIATE: &[u8] = b"\x2b\x06\x01\x05\x05\x08\x02\x02";

#[test]
fn purposes_of_ike_are_accepted() {
    let of_pkix = [5, 6, 7, 17, 1, 2].map(|number| [PKIX, &[number]].concat());
    for purpose in of_pkix.iter().map(|purpose| &purpose[..]).chain([ANY, IKE_INTERMEDIATE]) {
        for critical in [false, true] {
            for others in [&[purpose][..], &[CODE_SIGNING, purpose]] {
                let mut case = Case::new();
                case.gateway.extensions.push(purposes(critical, others));
                case.intermediate.extensions.push(purposes(critical, others));
                assert_eq!(case.verify(), Ok(()), "{purpose:x?}");
            }
        }
    }
}

#[test]
fn other_purposes_are_refused() {
    refused(&[
        ("extended-key-usage", |case| case.gateway.extensions.push(purposes(false, &[CODE_SIGNING]))),
        ("extended-key-usage", |case| case.gateway.extensions.push(purposes(true, &[CODE_SIGNING, EMAIL_PROTECTION]))),
        ("extended-key-usage", |case| case.gateway.extensions.push(purposes(false, &[]))),
        ("extended-key-usage", |case| case.intermediate.extensions.push(purposes(false, &[EMAIL_PROTECTION]))),
    ]);
    // The CA itself is trusted by the configuration.
    let mut case = Case::new();
    case.root.extensions.push(purposes(false, &[EMAIL_PROTECTION]));
    assert_eq!(case.verify(), Ok(()));
}

/// Returns name constraints: subtrees that are permitted and excluded.
fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let list = |tag: u8, bases: &[Vec<u8>]| {
        let subtrees: Vec<_> = bases.iter().map(|base| der(0x30, &[base])).collect();
        if bases.is_empty() { vec![] } else { der(tag, &[&subtrees.concat()]) }
    };
    extension(30, true, &der(0x30, &[&list(0xa0, permitted), &list(0xa1, excluded)]))
}

fn dns(name: &str) -> Vec<u8> {
    der(0x82, &[name.as_bytes()])
}

fn email(name: &str) -> Vec<u8> {
    der(0x81, &[name.as_bytes()])
}

fn directory(common_name: &str) -> Vec<u8> {
    der(0xa4, &[&name(common_name)])
}

fn address(octets: &[u8]) -> Vec<u8> {
    der(0x87, &[octets])
}

fn uri(name: &str) -> Vec<u8> {
    der(0x86, &[name.as_bytes()])
}

/// Verifies the certificate of the gateway with these names below a CA with these constraints, at both positions.
fn verify(names: &[Vec<u8>], permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Option<&'static str> {
    let found = [false, true].map(|is_root| {
        let mut case = Case::new();
        let own = [vec![dns("gw.example.org")], names.to_vec()].concat();
        case.gateway.extensions = vec![extension(17, false, &der(0x30, &[&own.concat()]))];
        let issuer = if is_root { &mut case.root } else { &mut case.intermediate };
        issuer.extensions.push(constraints(permitted, excluded));
        case.verify().err().map(|refusal| refusal.label())
    });
    assert_eq!(found[0], found[1]);
    found[0]
}

/// Names of the certificate besides its FQDN, permitted and excluded subtrees, and the refusal.
type Row = (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>, Option<&'static str>);

#[test]
fn names_are_constrained() {
    const NOT_PERMITTED: Option<&str> = Some("name-not-permitted");
    const EXCLUDED: Option<&str> = Some("name-excluded");
    let (none, other) = (|| vec![], |names: &[Vec<u8>]| names.to_vec());
    let intermediate = directory("intermediate");
    let table: [Row; 21] = [
        (none(), other(&[dns("example.org")]), none(), None),
        (none(), other(&[dns("example.com"), dns("example.org")]), none(), None),
        (none(), other(&[dns("example.com")]), none(), NOT_PERMITTED),
        (none(), none(), other(&[dns("example.org")]), EXCLUDED),
        (none(), none(), other(&[dns("example.com")]), None),
        (none(), other(&[dns("example.org")]), other(&[dns("gw.example.org")]), EXCLUDED),
        (other(&[dns("gw.example.com")]), other(&[dns("example.org")]), none(), NOT_PERMITTED),
        (other(&[email("a@example.org")]), other(&[email("example.org")]), none(), None),
        (other(&[email("a@example.com")]), other(&[email("example.org")]), none(), NOT_PERMITTED),
        (other(&[email("a@example.com")]), none(), other(&[email("example.com")]), EXCLUDED),
        (other(&[address(&[192, 0, 2, 1])]), other(&[address(&[192, 0, 2, 0, 255, 255, 255, 0])]), none(), None),
        (
            other(&[address(&[192, 0, 3, 1])]),
            other(&[address(&[192, 0, 2, 0, 255, 255, 255, 0])]),
            none(),
            NOT_PERMITTED,
        ),
        (other(&[address(&[0; 16])]), other(&[address(&[192, 0, 2, 0, 255, 255, 255, 0])]), none(), NOT_PERMITTED),
        (other(&[address(&[0; 16])]), none(), other(&[address(&[0; 32])]), EXCLUDED),
        // The subject is a name, too: that of the gateway, and below the root that of the intermediate CA.
        (none(), other(&[directory("gateway"), intermediate.clone()]), none(), None),
        (none(), vec![intermediate.clone()], none(), NOT_PERMITTED),
        (none(), none(), other(&[directory("GATEWAY")]), EXCLUDED),
        (other(&[directory("other")]), none(), other(&[directory("other")]), EXCLUDED),
        // A form that is not evaluated.
        (none(), other(&[uri("example.org")]), none(), None),
        (other(&[uri("http://example.org")]), other(&[uri("example.org")]), none(), Some("critical-extension")),
        (other(&[uri("http://example.org")]), none(), other(&[uri("example.org")]), Some("critical-extension")),
    ];
    for (row, (names, permitted, excluded, expected)) in table.iter().enumerate() {
        assert_eq!(verify(names, permitted, excluded), *expected, "row {row}");
    }
}

#[test]
fn refusals_name_both_certificates() {
    let mut case = Case::new();
    case.root.extensions.push(constraints(&[dns("example.com")], &[]));
    let refused = case.verify().unwrap_err();
    let (subject, issuer) = ("CN=gateway".to_owned(), "CN=root".to_owned());
    assert_eq!(refused, CertificateRefusal::NameNotPermitted { subject, issuer });
    let text = "certificate of CN=gateway has a name that is not permitted by the name constraints of CN=root";
    assert_eq!(refused.to_string(), text);
}

/// The e-mail address in a subject counts if the subjectAltName has none.
#[test]
fn e_mail_addresses_in_subjects_are_constrained() {
    let subject = |value: &[u8]| {
        let oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01";
        der(0x30, &[&der(0x31, &[&der(0x30, &[oid, &der(0x16, &[value])])])])
    };
    for (value, expected) in [(&b"a@example.org"[..], None), (b"a@example.com", Some("name-not-permitted"))] {
        for is_in_alternative_name in [false, true] {
            let mut case = Case::new();
            let own = [dns("gw.example.org"), if is_in_alternative_name { email("a@example.org") } else { vec![] }];
            case.gateway.extensions = vec![extension(17, false, &der(0x30, &[&own.concat()]))];
            case.gateway.subject_name = Some(subject(value));
            case.intermediate.extensions.push(constraints(&[email("example.org")], &[]));
            let found = case.verify().err().map(|refusal| refusal.label());
            assert_eq!(found, expected.filter(|_| !is_in_alternative_name));
        }
    }
}

/// A CA below one with constraints has to satisfy them itself, and cannot extend them. Renewed keys of a CA are free.
#[test]
fn constraints_are_those_of_all_cas_of_a_path() {
    let (permits_all, permits_one) = (constraints(&[dns("")], &[]), constraints(&[dns("example.com")], &[]));
    let mut case = Case::new();
    case.root.extensions.push(permits_one.clone());
    case.intermediate.extensions.push(permits_all.clone());
    assert_eq!(case.verify().map_err(|refusal| refusal.label()), Err("name-not-permitted"));
    let mut case = Case::new();
    case.root.extensions.push(permits_all);
    case.intermediate.extensions.push(permits_one);
    assert_eq!(case.verify().map_err(|refusal| refusal.label()), Err("name-not-permitted"));
    // The intermediate certificate of a CA with the name of the root.
    let mut case = Case::new();
    case.root.extensions.push(constraints(&[directory("gateway")], &[]));
    case.intermediate = Template::new("root", "intermediate", "root", "root").ca();
    case.gateway.issuer = "root";
    assert_eq!(case.verify(), Ok(()));
}

#[test]
fn constraints_with_limits_or_without_contents_are_refused() {
    refused(&[
        ("critical-extension", |case| {
            let subtree = der(0x30, &[&dns("example.org"), &der(0x80, &[&[1]])]);
            case.intermediate.extensions.push(extension(30, false, &der(0x30, &[&der(0xa0, &[&subtree])])));
        }),
        ("unknown-issuer", |case| case.intermediate.extensions.push(extension(30, true, &[5, 0]))),
    ]);
    let mut case = Case::new();
    case.intermediate.extensions.push(extension(30, true, &[0x30, 0]));
    assert_eq!(case.verify(), Ok(()));
}

#[test]
fn comparisons_are_bounded() {
    let mut case = Case::new();
    let many: Vec<_> = (0..200).map(|number| dns(&format!("host-{number}.example.org"))).collect();
    case.gateway.extensions = vec![extension(17, false, &der(0x30, &[&many.concat()]))];
    case.intermediate.extensions = vec![ca(None), key_usage(0x06), constraints(&many, &[])];
    let verified = case.verify_as(&identity(IdKind::FQDN, b"host-7.example.org"));
    assert_eq!(verified, Err(CertificateRefusal::NameConstraintsLimit { limit: 16_384 }));
}
