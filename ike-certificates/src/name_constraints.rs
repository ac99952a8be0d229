//! Name constraints of CAs (RFC 5280 section 4.2.1.10), for the names that certificates of IKE have: addresses, FQDNs,
//! user FQDNs and distinguished names.

use der::asn1::{Any, ObjectIdentifier};
use der::{Decode as _, Tag, Tagged};
use ike_codec::IdKind;
use x509_cert::ext::pkix::NameConstraints as Constraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName as Decoded;
use x509_cert::name::Name;

/// Largest number of comparisons of names with subtrees for one message of a peer.
pub(crate) const MAX_COMPARISONS: u32 = 16_384;

const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// Attributes of a relative distinguished name, sorted: type and comparable value of each.
type Rdn = Vec<(ObjectIdentifier, Vec<u8>)>;

/// Name of a subject, or base of a subtree (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GeneralName {
    Email(Vec<u8>),
    Dns(Vec<u8>),
    Directory(Vec<Rdn>),
    /// Octets of an address, or of an address and a mask.
    Address(Vec<u8>),
    /// Form that is not evaluated, with the number of its tag.
    Other(u32),
}

impl From<&Decoded> for GeneralName {
    fn from(name: &Decoded) -> Self {
        match name {
            Decoded::Rfc822Name(name) => Self::Email(name.as_bytes().to_vec()),
            Decoded::DnsName(name) => Self::Dns(name.as_bytes().to_vec()),
            Decoded::DirectoryName(name) => Self::Directory(directory(name)),
            Decoded::IpAddress(address) => Self::Address(address.as_bytes().to_vec()),
            other => Self::Other(other.tag().number().value()),
        }
    }
}

impl GeneralName {
    /// Returns the name as an identity of IKE, `None` if it cannot be one (RFC 4945 section 5.1.3.6).
    pub(crate) fn identity(&self) -> Option<(IdKind, &[u8])> {
        match self {
            Self::Email(name) => Some((IdKind::USER_FQDN, name)),
            Self::Dns(name) => Some((IdKind::FQDN, name)),
            Self::Address(address) if address.len() == 4 => Some((IdKind::IPV4, address)),
            Self::Address(address) if address.len() == 16 => Some((IdKind::IPV6, address)),
            Self::Address(_) | Self::Directory(_) | Self::Other(_) => None,
        }
    }

    fn is_same_form(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(own), Self::Other(other)) => own == other,
            _ => core::mem::discriminant(self) == core::mem::discriminant(other),
        }
    }

    /// Returns whether the name is within the subtree of a base of the same form.
    fn is_within(&self, base: &Self) -> bool {
        match (self, base) {
            (Self::Email(name), Self::Email(base)) => is_email_within(name, base),
            (Self::Dns(name), Self::Dns(base)) => is_domain_within(name, base),
            (Self::Directory(name), Self::Directory(base)) => name.starts_with(base),
            (Self::Address(address), Self::Address(base)) => is_address_within(address, base),
            _ => false,
        }
    }
}

/// Names that a CA permits and excludes in the certificates below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameConstraints {
    permitted: Vec<GeneralName>,
    excluded: Vec<GeneralName>,
}

/// Reason why the names of a certificate do not satisfy the constraints of a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    NotPermitted,
    Excluded,
    /// A constraint of a form that is not evaluated applies to a name.
    NotSupported,
    TooManyComparisons,
}

impl NameConstraints {
    /// Returns the contents of the extension; `None` if it has a minimum or maximum, which RFC 5280 does not use.
    pub(crate) fn new(extension: &Constraints) -> Option<Self> {
        let bases = |subtrees: &Option<Vec<GeneralSubtree>>| -> Option<Vec<GeneralName>> {
            let subtrees = subtrees.iter().flatten();
            let is_plain = |subtree: &GeneralSubtree| subtree.minimum == 0 && subtree.maximum.is_none();
            subtrees.map(|subtree| is_plain(subtree).then(|| GeneralName::from(&subtree.base))).collect()
        };
        let (permitted, excluded) = (bases(&extension.permitted_subtrees)?, bases(&extension.excluded_subtrees)?);
        Some(Self { permitted, excluded })
    }

    /// Checks a name of a certificate below the CA. `left` is the number of comparisons that may still be made.
    pub(crate) fn check(&self, name: &GeneralName, left: &mut u32) -> Result<(), Violation> {
        let mut of_form = |bases: &[GeneralName]| {
            let count = u32::try_from(bases.len()).unwrap_or(u32::MAX);
            *left = left.checked_sub(count).ok_or(Violation::TooManyComparisons)?;
            let mut same = bases.iter().filter(|base| name.is_same_form(base)).peekable();
            let has_any = same.peek().is_some();
            Ok((has_any, same.any(|base| name.is_within(base))))
        };
        let ((is_constrained, is_permitted), (has_excluded, is_excluded)) =
            (of_form(&self.permitted)?, of_form(&self.excluded)?);
        match name {
            GeneralName::Other(_) if is_constrained || has_excluded => Err(Violation::NotSupported),
            _ if is_excluded => Err(Violation::Excluded),
            _ if is_constrained && !is_permitted => Err(Violation::NotPermitted),
            _ => Ok(()),
        }
    }
}

/// Returns a distinguished name whose values are comparable: strings without regard to their type, case and repeated
/// blanks (RFC 5280 section 7.1).
pub(crate) fn directory(name: &Name) -> Vec<Rdn> {
    let rdns = name.iter_rdn().map(|rdn| {
        let mut rdn: Rdn = rdn.iter().map(|attribute| (attribute.oid, comparable(&attribute.value))).collect();
        rdn.sort_unstable();
        rdn
    });
    rdns.collect()
}

/// Returns whether the encodings of two distinguished names are of the same name (RFC 5280 section 7.1).
pub(crate) fn is_same_name(a: &[u8], b: &[u8]) -> bool {
    a == b || matches!((Name::from_der(a), Name::from_der(b)), (Ok(a), Ok(b)) if directory(&a) == directory(&b))
}

/// Returns the e-mail addresses in a distinguished name, which are constrained like those in a subjectAltName.
pub(crate) fn email_addresses(name: &[Rdn]) -> impl Iterator<Item = GeneralName> {
    let of_kind = name.iter().flatten().filter(|(kind, _)| *kind == EMAIL_ADDRESS);
    of_kind.map(|(_, value)| GeneralName::Email(value.clone()))
}

/// Returns the contents of a string that are compared; the encoding of other values.
fn comparable(value: &Any) -> Vec<u8> {
    let octets = value.value();
    let text = match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::TeletexString
        | Tag::VisibleString
        | Tag::NumericString => core::str::from_utf8(octets).ok().map(str::to_owned),
        Tag::BmpString => {
            let (pairs, rest) = octets.as_chunks();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
        _ => None,
    };
    let folded = text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
    folded.map_or_else(|| octets.to_vec(), String::into_bytes)
}

/// Returns whether a domain name is a base or below it. A base that begins with a dot is for the names below it alone.
fn is_domain_within(name: &[u8], base: &[u8]) -> bool {
    let Some(at) = name.len().checked_sub(base.len()) else { return false };
    let (before, end) = name.split_at(at);
    let is_at_label = base.is_empty() || base.starts_with(b".") || before.is_empty() || before.ends_with(b".");
    end.eq_ignore_ascii_case(base) && is_at_label
}

/// Returns whether an e-mail address is a base, without regard to case as identities are compared, at the host that the
/// base names, or at a host below the domain that it names by a dot in front.
fn is_email_within(name: &[u8], base: &[u8]) -> bool {
    let split = |name: &[u8]| name.iter().rposition(|&octet| octet == b'@');
    let Some((user, host)) = split(name).and_then(|at| name.split_at_checked(at)) else { return false };
    let host = host.get(1..).unwrap_or_default();
    match split(base).and_then(|at| base.split_at_checked(at)) {
        Some((base_user, base_host)) => {
            user.eq_ignore_ascii_case(base_user) && host.eq_ignore_ascii_case(base_host.get(1..).unwrap_or_default())
        }
        None if base.is_empty() => true,
        None if base.starts_with(b".") => is_domain_within(host, base),
        None => host.eq_ignore_ascii_case(base),
    }
}

/// Returns whether an address is in the network of an address and a mask.
fn is_address_within(address: &[u8], base: &[u8]) -> bool {
    let Some((network, mask)) = base.split_at_checked(address.len()) else { return false };
    let octets = address.iter().zip(network).zip(mask);
    mask.len() == address.len() && octets.into_iter().all(|((own, network), mask)| (own ^ network) & mask == 0)
}

#[cfg(test)]
mod tests {
    use der::Decode;

    use super::*;

    #[test]
    fn names_are_within_subtrees() {
        let dns = |name: &str| GeneralName::Dns(name.as_bytes().to_vec());
        let email = |name: &str| GeneralName::Email(name.as_bytes().to_vec());
        let address = |octets: &[u8]| GeneralName::Address(octets.to_vec());
        let table = [
            (dns("gw.example.org"), dns("example.org"), true),
            (dns("GW.Example.ORG"), dns("example.org"), true),
            (dns("example.org"), dns("example.org"), true),
            (dns("badexample.org"), dns("example.org"), false),
            (dns("example.org"), dns("gw.example.org"), false),
            (dns("example.org"), dns(""), true),
            (dns("gw.example.org"), dns(".example.org"), true),
            (dns("example.org"), dns(".example.org"), false),
            (email("a@example.org"), email("example.org"), true),
            (email("a@gw.example.org"), email("example.org"), false),
            (email("a@gw.example.org"), email(".example.org"), true),
            (email("a@example.org"), email(".example.org"), false),
            (email("a@Example.org"), email("a@example.org"), true),
            (email("A@example.org"), email("a@example.org"), true),
            (email("b@example.org"), email("a@example.org"), false),
            (email("example.org"), email("example.org"), false),
            (email("a@b@example.org"), email("example.org"), true),
            (address(&[192, 0, 2, 1]), address(&[192, 0, 2, 0, 255, 255, 255, 0]), true),
            (address(&[192, 0, 3, 1]), address(&[192, 0, 2, 0, 255, 255, 255, 0]), false),
            (address(&[192, 0, 2, 1]), address(&[0; 8]), true),
            (address(&[192, 0, 2, 1]), address(&[0; 32]), false),
            (address(&[0; 16]), address(&[0; 32]), true),
            (address(&[0; 16]), address(&[0; 8]), false),
            (dns("example.org"), email("example.org"), false),
        ];
        for (name, base, expected) in table {
            assert_eq!(name.is_within(&base), expected, "{name:?} in {base:?}");
        }
    }

    #[test]
    fn distinguished_names_are_compared_by_their_contents() {
        let name = |tag: u8, value: &[u8]| {
            let der = |tag: u8, value: &[u8]| [&[tag, u8::try_from(value.len()).unwrap()][..], value].concat();
            let attribute = [&b"\x06\x03\x55\x04\x0a"[..], &der(tag, value)].concat();
            directory(&Name::from_der(&der(0x30, &der(0x31, &der(0x30, &attribute)))).unwrap())
        };
        let printable = name(0x13, b"Example Org");
        for alike in
            [name(0x0c, b"EXAMPLE  org "), name(0x16, b"example org"), name(0x1e, b"\0E\0x\0a\0m\0p\0l\0e\0 \0o\0r\0g")]
        {
            assert_eq!(alike, printable);
        }
        for other in [name(0x0c, b"exampleorg"), name(4, b"example org!"), name(0x0c, b"\xff")] {
            assert_ne!(other, printable);
        }
        assert!(directory(&Name::default()).is_empty());
    }
}
