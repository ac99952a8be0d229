//! Authentication methods of phase 1.

use ike_codec::{AuthMethod, Quirks, XauthOrGssApi};

use crate::Role;

/// Authentication of both sides in phase 1 (RFC 2409 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// Both sides have a pre-shared key.
    PreSharedKey,
    /// Both sides sign the hash.
    Signature,
    /// The side of this role sends a hash, which does not prove its identity, and is authenticated by XAUTH later; the
    /// other end signs (draft-ietf-ipsec-isakmp-hybrid-auth-05).
    Hybrid(Role),
}

impl Authentication {
    /// Returns whether the side of a role signs.
    pub fn signs(self, role: Role) -> bool {
        match self {
            Self::PreSharedKey => false,
            Self::Signature => true,
            Self::Hybrid(client) => client != role,
        }
    }
}

/// Returns the authentication of a method, `None` if it is not supported (RFC 2409 section 5,
/// draft-beaulieu-ike-xauth-02, draft-ietf-ipsec-isakmp-hybrid-auth-05).
pub(crate) fn authentication(method: AuthMethod, quirks: &Quirks) -> Option<Authentication> {
    match method {
        AuthMethod::XAUTH_INIT_PRE_SHARED if quirks.xauth_or_gss_api() == XauthOrGssApi::GssApi => None,
        AuthMethod::PRE_SHARED_KEY | AuthMethod::XAUTH_INIT_PRE_SHARED | AuthMethod::XAUTH_RESP_PRE_SHARED => {
            Some(Authentication::PreSharedKey)
        }
        AuthMethod::HYBRID_INIT_RSA | AuthMethod::HYBRID_INIT_DSS => Some(Authentication::Hybrid(Role::Initiator)),
        AuthMethod::HYBRID_RESP_RSA | AuthMethod::HYBRID_RESP_DSS => Some(Authentication::Hybrid(Role::Responder)),
        AuthMethod::DSS_SIGNATURE
        | AuthMethod::RSA_SIGNATURE
        | AuthMethod::ECDSA_SIGNATURE
        | AuthMethod::ECDSA_256
        | AuthMethod::ECDSA_384
        | AuthMethod::ECDSA_521
        | AuthMethod::XAUTH_INIT_DSS
        | AuthMethod::XAUTH_RESP_DSS
        | AuthMethod::XAUTH_INIT_RSA
        | AuthMethod::XAUTH_RESP_RSA => Some(Authentication::Signature),
        _ => None,
    }
}
