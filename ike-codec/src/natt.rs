use crate::number::{EncapsulationMode, PayloadKind};

/// A document that NAT traversal is done by: they differ in payload numbers, modes, ports and markers (RFC 3947 3.1).
///
/// Later ones are greater, so that the best that both sides know is the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NatTraversal {
    /// draft-ietf-ipsec-nat-t-ike-00.
    Draft00,
    /// draft-ietf-ipsec-nat-t-ike-01.
    Draft01,
    /// draft-ietf-ipsec-nat-t-ike-02.
    Draft02,
    /// The same, hashed with a newline by accident, and more widely sent.
    Draft02Newline,
    /// draft-ietf-ipsec-nat-t-ike-03.
    Draft03,
    /// draft-ietf-ipsec-nat-t-ike-04.
    Draft04,
    /// draft-ietf-ipsec-nat-t-ike-05.
    Draft05,
    /// draft-ietf-ipsec-nat-t-ike-06.
    Draft06,
    /// draft-ietf-ipsec-nat-t-ike-07.
    Draft07,
    /// draft-ietf-ipsec-nat-t-ike-08 and 09.
    Draft08,
    /// RFC 3947.
    Rfc3947,
}

impl NatTraversal {
    /// All of them, the oldest first.
    pub const ALL: [Self; 11] = [
        Self::Draft00,
        Self::Draft01,
        Self::Draft02,
        Self::Draft02Newline,
        Self::Draft03,
        Self::Draft04,
        Self::Draft05,
        Self::Draft06,
        Self::Draft07,
        Self::Draft08,
        Self::Rfc3947,
    ];

    /// The payload that carries a hash of address and port (RFC 3947 3.2).
    pub fn detection(self) -> PayloadKind {
        match self {
            draft if draft <= Self::Draft03 => PayloadKind::NAT_DETECTION_DRAFT,
            Self::Rfc3947 => PayloadKind::NAT_DETECTION,
            _ => PayloadKind::SAK,
        }
    }

    /// The payload that carries an original address (RFC 3947 5.2).
    pub fn original_address(self) -> PayloadKind {
        match self {
            draft if draft <= Self::Draft03 => PayloadKind::NAT_ORIGINAL_ADDRESS_DRAFT,
            Self::Rfc3947 => PayloadKind::NAT_ORIGINAL_ADDRESS,
            _ => PayloadKind::SAT,
        }
    }

    /// The encapsulation mode of a tunnel in UDP (RFC 3947 5.1).
    pub fn tunnel(self) -> EncapsulationMode {
        if self <= Self::Draft03 { EncapsulationMode::UDP_TUNNEL_DRAFT } else { EncapsulationMode::UDP_TUNNEL }
    }

    /// The encapsulation mode of transport in UDP (RFC 3947 5.1).
    pub fn transport(self) -> EncapsulationMode {
        if self <= Self::Draft03 { EncapsulationMode::UDP_TRANSPORT_DRAFT } else { EncapsulationMode::UDP_TRANSPORT }
    }

    /// Whether both sides move to port 4500 once a NAT is seen; the first two drafts stay on 500, where ESP follows eight
    /// zero octets instead of IKE following four (RFC 3947 4).
    pub fn floats(self) -> bool {
        self > Self::Draft01
    }
}

/// A set of [`NatTraversal`]s (RFC 3947 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NatTraversals(u16);

impl NatTraversals {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every one.
    pub const ALL: Self = Self(0x7ff);

    /// The set with one more.
    #[must_use]
    pub const fn with(self, one: NatTraversal) -> Self {
        Self(self.0 | 1 << one as u16)
    }

    /// Whether one is in the set.
    pub const fn contains(self, one: NatTraversal) -> bool {
        self.0 & 1 << one as u16 != 0
    }

    /// The best that is in both sets: what is done when each side has sent its vendor IDs (RFC 3947 3.1).
    pub fn best_of_both(self, other: Self) -> Option<NatTraversal> {
        NatTraversal::ALL.into_iter().rfind(|&one| self.contains(one) && other.contains(one))
    }
}
