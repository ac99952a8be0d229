use crate::number::{EncapsulationMode, PayloadKind};

/// NAT traversal document: the RFC and its drafts differ in payload numbers, modes, ports and markers (RFC 3947 section
/// 3.1).
///
/// Later documents compare greater, so that the maximum of the common documents is the preferred one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NatTraversal {
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-00.
    Draft00,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-01.
    Draft01,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-02.
    Draft02,
    /// Draft draft-ietf-ipsec-nat-t-ike-02 with a vendor ID that was hashed with a newline by accident; it is more
    /// widely sent.
    Draft02Newline,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-03.
    Draft03,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-04.
    Draft04,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-05.
    Draft05,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-06.
    Draft06,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-07.
    Draft07,
    /// NAT traversal according to draft-ietf-ipsec-nat-t-ike-08 and 09.
    Draft08,
    /// RFC 3947, the published standard.
    Rfc3947,
}

impl NatTraversal {
    /// All documents, oldest first.
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

    /// Returns the type of the NAT-D payload (RFC 3947 section 3.2).
    pub fn detection(self) -> PayloadKind {
        match self {
            draft if draft <= Self::Draft03 => PayloadKind::NAT_DETECTION_DRAFT,
            Self::Rfc3947 => PayloadKind::NAT_DETECTION,
            _ => PayloadKind::SAK,
        }
    }

    /// Returns the type of the NAT-OA payload (RFC 3947 section 5.2).
    pub fn original_address(self) -> PayloadKind {
        match self {
            draft if draft <= Self::Draft03 => PayloadKind::NAT_ORIGINAL_ADDRESS_DRAFT,
            Self::Rfc3947 => PayloadKind::NAT_ORIGINAL_ADDRESS,
            _ => PayloadKind::SAT,
        }
    }

    /// Returns the encapsulation mode of a UDP-encapsulated tunnel (RFC 3947 section 5.1).
    pub fn tunnel(self) -> EncapsulationMode {
        if self <= Self::Draft03 { EncapsulationMode::UDP_TUNNEL_DRAFT } else { EncapsulationMode::UDP_TUNNEL }
    }

    /// Returns the encapsulation mode of UDP-encapsulated transport mode (RFC 3947 section 5.1).
    pub fn transport(self) -> EncapsulationMode {
        if self <= Self::Draft03 { EncapsulationMode::UDP_TRANSPORT_DRAFT } else { EncapsulationMode::UDP_TRANSPORT }
    }

    /// Returns whether both peers change to port 4500 when a NAT is detected (RFC 3947 section 4). The first two drafts
    /// stay on port 500, where ESP follows eight zero octets; on port 4500, IKE follows four zero octets.
    pub fn changes_port(self) -> bool {
        self > Self::Draft01
    }
}

/// Set of NAT traversal documents ([`NatTraversal`]), such as those that a peer announces (RFC 3947 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NatTraversals(u16);

impl NatTraversals {
    /// Set without any document.
    pub const NONE: Self = Self(0);
    /// Set of all documents.
    pub const ALL: Self = Self(0x7ff);

    /// Returns the set with a document added.
    #[must_use]
    pub const fn with(self, one: NatTraversal) -> Self {
        Self(self.0 | 1 << one as u16)
    }

    /// Returns whether the set contains a document.
    pub const fn contains(self, one: NatTraversal) -> bool {
        self.0 & 1 << one as u16 != 0
    }

    /// Returns the latest document in both sets, which the peers use after the exchange of vendor IDs (RFC 3947 section
    /// 3.1).
    pub fn latest_common(self, other: Self) -> Option<NatTraversal> {
        NatTraversal::ALL.into_iter().rfind(|&one| self.contains(one) && other.contains(one))
    }
}
