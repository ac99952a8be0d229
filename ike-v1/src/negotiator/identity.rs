use ike_codec::{IdKind, Identification};

use super::Refusal;
use super::keyed_digest::KeyedDigest;
use crate::Cookies;

/// Compares the identity of a peer in phase 1 with the configured one, if there is one (RFC 2407 section 4.6.2).
pub(crate) fn check(received: &Identification<'_>, configured: Option<&Identification<'_>>) -> Result<(), Refusal> {
    //= RFC 2407 4.6.2/4
    //# MUST: and abort the association
    let mismatch = Refusal::IdentityMismatch(received.kind);
    //= RFC 2407 4.6.2/3
    //# MUST: other values in phase 1 are an error
    // Port 0 with UDP is that of RFC 3947 section 4.
    if !matches!((received.protocol, received.port), (0, 0) | (17, 0 | 500)) || !is_identity(received.kind) {
        return Err(mismatch);
    }
    match configured {
        Some(configured) if !matches(received, configured) => Err(mismatch),
        _ => Ok(()),
    }
}

/// Returns the keyed digest of an identity: of its type and data, as [`check`] compares them.
pub(crate) fn digest(identity: &Identification<'_>, secret: &[u8; 16]) -> u64 {
    let (user, domain) = match identity.kind {
        IdKind::FQDN => (&[][..], identity.data),
        IdKind::USER_FQDN => split(identity.data),
        _ => (identity.data, &[][..]),
    };
    let mut digest = KeyedDigest::new(secret);
    digest.write(&[identity.kind.0]);
    digest.write(user);
    domain.iter().for_each(|octet| digest.write(&[octet.to_ascii_lowercase()]));
    digest.finish()
}

/// Returns the digest that identifies the SA of a user who is not authenticated: that of its cookies.
pub(crate) fn cookie_digest(secret: &[u8; 16], cookies: &Cookies) -> u64 {
    let mut digest = KeyedDigest::new(secret);
    digest.write([cookies.initiator, cookies.responder].as_flattened());
    digest.finish()
}

/// Returns the digest that identifies the authenticated user of an SA.
pub(crate) fn user_digest(secret: &[u8; 16], user: &[u8]) -> u64 {
    let mut digest = KeyedDigest::new(secret);
    digest.write(b"user");
    digest.write(user);
    digest.finish()
}

/// Returns whether a type identifies one peer: subnets, ranges and lists do not.
const fn is_identity(kind: IdKind) -> bool {
    matches!(
        kind,
        IdKind::IPV4
            | IdKind::IPV6
            | IdKind::FQDN
            | IdKind::USER_FQDN
            | IdKind::DER_ASN1_DN
            | IdKind::DER_ASN1_GN
            | IdKind::KEY_ID
    )
}

/// Compares types and data; domain names without regard to the case of ASCII letters.
fn matches(received: &Identification<'_>, configured: &Identification<'_>) -> bool {
    if received.kind != configured.kind {
        return false;
    }
    match received.kind {
        IdKind::FQDN => received.data.eq_ignore_ascii_case(configured.data),
        IdKind::USER_FQDN => {
            let ((user, domain), (configured_user, configured_domain)) = (split(received.data), split(configured.data));
            user == configured_user && domain.eq_ignore_ascii_case(configured_domain)
        }
        _ => received.data == configured.data,
    }
}

/// Splits a user FQDN into its user and its domain, which follows the last `@`.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let at = name.iter().rposition(|&octet| octet == b'@').unwrap_or(0);
    name.split_at_checked(at).unwrap_or((name, &[]))
}
