use super::numbers;

numbers! {
    /// Payload type (RFC 2408 section 3.1, RFC 3547, RFC 3947, drafts and private use).
    ///
    /// Types 15 and 16 are SAK and SAT of GDOI as well as NAT-D and NAT-OA of the NAT-T drafts 04 to 08; the vendor IDs
    /// of the peer resolve the ambiguity ([`NatTraversal`](crate::NatTraversal)).
    PayloadKind(u8) {
        NONE = 0 "none",
        SA = 1 "security association",
        PROPOSAL = 2 "proposal",
        TRANSFORM = 3 "transform",
        KEY_EXCHANGE = 4 "key exchange",
        ID = 5 "identification",
        CERTIFICATE = 6 "certificate",
        CERTIFICATE_REQUEST = 7 "certificate request",
        HASH = 8 "hash",
        SIGNATURE = 9 "signature",
        NONCE = 10 "nonce",
        NOTIFICATION = 11 "notification",
        DELETE = 12 "delete",
        VENDOR_ID = 13 "vendor ID",
        CONFIG = 14 "mode config attributes",
        SAK = 15 "SA KEK (GDOI), or NAT-D of drafts 04 to 08",
        SAT = 16 "SA TEK (GDOI), or NAT-OA of drafts 04 to 08",
        KEY_DOWNLOAD = 17 "key download (GDOI)",
        SEQUENCE = 18 "sequence number (GDOI)",
        PROOF_OF_POSSESSION = 19 "proof of possession (GDOI)",
        NAT_DETECTION = 20 "NAT-D",
        NAT_ORIGINAL_ADDRESS = 21 "NAT-OA",
        GROUP_ASSOCIATED_POLICY = 22 "group associated policy (GDOI)",
        GSS_TOKEN = 129 "GSS-API token (Windows 2000)",
        NAT_DETECTION_DRAFT = 130 "NAT-D of drafts 00 to 03",
        NAT_ORIGINAL_ADDRESS_DRAFT = 131 "NAT-OA of drafts 00 to 03",
        FRAGMENT = 132 "IKE fragment",
    }
}

impl PayloadKind {
    /// First number for private use (RFC 2408 section 3.1).
    pub const PRIVATE_MIN: Self = Self(128);
    /// NAT-D payload, `15`, of the NAT-T drafts 04 to 08 (draft-ietf-ipsec-nat-t-ike-04).
    pub const NAT_DETECTION_DRAFT_04: Self = Self::SAK;
    /// NAT-OA payload, `16`, of the NAT-T drafts 04 to 08 (draft-ietf-ipsec-nat-t-ike-04).
    pub const NAT_ORIGINAL_ADDRESS_DRAFT_04: Self = Self::SAT;

    /// Returns whether the payload type is one of IKEv2 (33 to 53). Such a payload in an IKEv1 message is an attack or
    /// a bug (CVE-2015-3991; RFC 4306 section 3.2).
    pub const fn is_ikev2(self) -> bool {
        matches!(self.0, 33..=53)
    }
}

numbers! {
    /// Exchange type (RFC 2408 section 3.1, RFC 2409 appendix A, drafts and private use).
    ExchangeKind(u8) {
        NONE = 0 "none",
        BASE = 1 "base",
        MAIN = 2 "identity protection (main mode)",
        AUTHENTICATION_ONLY = 3 "authentication only",
        AGGRESSIVE = 4 "aggressive",
        INFORMATIONAL = 5 "informational",
        TRANSACTION = 6 "transaction (mode config)",
        QUICK = 32 "quick mode",
        NEW_GROUP = 33 "new group mode",
        ACKNOWLEDGED_INFORMATIONAL = 34 "acknowledged informational",
        AUTHIP_MAIN = 243 "AuthIP main mode",
        AUTHIP_QUICK = 244 "AuthIP quick mode",
        AUTHIP_EXTENDED = 245 "AuthIP extended mode",
        AUTHIP_NOTIFY = 246 "AuthIP notify",
    }
}

impl ExchangeKind {
    /// Returns whether the exchange type is for private use (240 to 255; RFC 2408 section 3.1).
    pub const fn is_private(self) -> bool {
        self.0 >= 240
    }
}

/// Flags of an ISAKMP header (RFC 2408 section 3.1). Unknown bits are preserved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// Encryption flag: the octets after the header are encrypted (RFC 2408 section 3.1).
    pub const ENCRYPTION: Self = Self(1);
    /// Commit flag: the peer waits for CONNECTED before it uses the SA (RFC 2408 section 3.1).
    pub const COMMIT: Self = Self(2);
    /// Authentication only flag: the message is authenticated, but not encrypted (RFC 2408 section 3.1).
    pub const AUTHENTICATION_ONLY: Self = Self(4);

    /// Initiator flag of IKEv2, which is invalid in IKEv1 (RFC 4306 section 3.1).
    pub const IKEV2_INITIATOR: Self = Self(0x08);
    /// Version flag of IKEv2, which is invalid in IKEv1 (RFC 4306 section 3.1).
    pub const IKEV2_VERSION: Self = Self(0x10);
    /// Response flag of IKEv2, which is invalid in IKEv1 (RFC 4306 section 3.1).
    pub const IKEV2_RESPONSE: Self = Self(0x20);

    /// Returns whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the union of both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the flags of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether a flag that is defined by IKEv2 only is set (RFC 4306 section 3.1).
    pub const fn has_ikev2(self) -> bool {
        self.0 & (Self::IKEV2_INITIATOR.0 | Self::IKEV2_VERSION.0 | Self::IKEV2_RESPONSE.0) != 0
    }
}

/// Protocol version: the major version in the upper four bits, the minor version in the lower four (RFC 2408 section
/// 3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(pub u8);

impl Version {
    /// Version 1.0, IKEv1 (RFC 2408 section 3.1).
    //= RFC 2408 3.1/4
    //# MUST: the minor version sent is 0
    pub const IKEV1: Self = Self(0x10);

    /// Returns the major version (RFC 2408 section 3.1).
    pub const fn major(self) -> u8 {
        self.0 >> 4
    }

    /// Returns the minor version (RFC 2408 section 3.1).
    pub const fn minor(self) -> u8 {
        self.0 & 0x0f
    }
}

numbers! {
    /// Domain of interpretation (RFC 2407 section 2, RFC 6407).
    Doi(u32) {
        ISAKMP = 0 "ISAKMP",
        IPSEC = 1 "IPSEC",
        GDOI = 2 "GDOI",
    }
}

/// Situation of an SA, a set of bits (RFC 2407 section 4.2). Unknown bits are preserved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Situation(pub u32);

impl Situation {
    /// SIT_IDENTITY_ONLY: the SA is identified by the identification payloads. This is the common situation (RFC 2407
    /// section 4.2.1).
    pub const IDENTITY_ONLY: Self = Self(1);
    /// SIT_SECRECY: labelled secrecy is required (RFC 2407 section 4.2.2).
    pub const SECRECY: Self = Self(2);
    /// SIT_INTEGRITY: labelled integrity is required (RFC 2407 section 4.2.3).
    pub const INTEGRITY: Self = Self(4);

    /// Returns whether a labelled domain identifier and labels follow the situation (RFC 2407 section 4.6.1).
    pub const fn is_labelled(self) -> bool {
        self.0 & 6 != 0
    }
}

numbers! {
    /// Security protocol of a proposal, notification or delete payload (RFC 2407 section 4.4.1).
    ProtocolId(u8) {
        NONE = 0 "none",
        //= RFC 2408 A.3/1
        //# MUST: ISAKMP has protocol 1 in every domain of interpretation
        ISAKMP = 1 "ISAKMP",
        AH = 2 "AH",
        ESP = 3 "ESP",
        IPCOMP = 4 "IPCOMP",
        GIGABEAM_RADIO = 5 "GIGABEAM_RADIO",
    }
}

numbers! {
    /// Notify message type (RFC 2408 section 3.14.1, RFC 2407 section 4.6.3, RFC 3706 and private use).
    NotifyKind(u16) {
        INVALID_PAYLOAD_TYPE = 1 "INVALID-PAYLOAD-TYPE",
        DOI_NOT_SUPPORTED = 2 "DOI-NOT-SUPPORTED",
        SITUATION_NOT_SUPPORTED = 3 "SITUATION-NOT-SUPPORTED",
        INVALID_COOKIE = 4 "INVALID-COOKIE",
        INVALID_MAJOR_VERSION = 5 "INVALID-MAJOR-VERSION",
        INVALID_MINOR_VERSION = 6 "INVALID-MINOR-VERSION",
        INVALID_EXCHANGE_TYPE = 7 "INVALID-EXCHANGE-TYPE",
        INVALID_FLAGS = 8 "INVALID-FLAGS",
        INVALID_MESSAGE_ID = 9 "INVALID-MESSAGE-ID",
        INVALID_PROTOCOL_ID = 10 "INVALID-PROTOCOL-ID",
        INVALID_SPI = 11 "INVALID-SPI",
        INVALID_TRANSFORM_ID = 12 "INVALID-TRANSFORM-ID",
        ATTRIBUTES_NOT_SUPPORTED = 13 "ATTRIBUTES-NOT-SUPPORTED",
        NO_PROPOSAL_CHOSEN = 14 "NO-PROPOSAL-CHOSEN",
        BAD_PROPOSAL_SYNTAX = 15 "BAD-PROPOSAL-SYNTAX",
        PAYLOAD_MALFORMED = 16 "PAYLOAD-MALFORMED",
        INVALID_KEY_INFORMATION = 17 "INVALID-KEY-INFORMATION",
        INVALID_ID_INFORMATION = 18 "INVALID-ID-INFORMATION",
        INVALID_CERT_ENCODING = 19 "INVALID-CERT-ENCODING",
        INVALID_CERTIFICATE = 20 "INVALID-CERTIFICATE",
        CERT_TYPE_UNSUPPORTED = 21 "CERT-TYPE-UNSUPPORTED",
        INVALID_CERT_AUTHORITY = 22 "INVALID-CERT-AUTHORITY",
        INVALID_HASH_INFORMATION = 23 "INVALID-HASH-INFORMATION",
        AUTHENTICATION_FAILED = 24 "AUTHENTICATION-FAILED",
        INVALID_SIGNATURE = 25 "INVALID-SIGNATURE",
        ADDRESS_NOTIFICATION = 26 "ADDRESS-NOTIFICATION",
        NOTIFY_SA_LIFETIME = 27 "NOTIFY-SA-LIFETIME",
        CERTIFICATE_UNAVAILABLE = 28 "CERTIFICATE-UNAVAILABLE",
        UNSUPPORTED_EXCHANGE_TYPE = 29 "UNSUPPORTED-EXCHANGE-TYPE",
        UNEQUAL_PAYLOAD_LENGTHS = 30 "UNEQUAL-PAYLOAD-LENGTHS",
        CHECK_POINT_TEXT = 9101 "Check Point text",
        CHECK_POINT_TEXT_2 = 9110 "Check Point text (9110)",
        MICROSOFT_STATUS = 12345 "Microsoft status",
        CONNECTED = 16384 "CONNECTED",
        //= RFC 2407 4.6.3.1/1
        //# MUST: responder-lifetime has DOI, protocol, SPI, type and attributes as drawn
        RESPONDER_LIFETIME = 24576 "RESPONDER-LIFETIME",
        //= RFC 2407 4.6.3.2/1
        //# MUST: replay-status has DOI, protocol, SPI, type and four octets as drawn
        REPLAY_STATUS = 24577 "REPLAY-STATUS",
        //= RFC 2407 4.6.3.3/2
        //# MUST: initial-contact has DOI, protocol, SPI and type as drawn
        INITIAL_CONTACT = 24578 "INITIAL-CONTACT",
        CISCO_HELLO = 30000 "Cisco HELLO",
        CISCO_WWTEBR = 30001 "Cisco WWTEBR",
        CISCO_SHUT_UP = 30002 "Cisco SHUT-UP",
        IOS_KEEPALIVE_REQUEST = 32768 "IOS keepalive request",
        IOS_KEEPALIVE_ACK = 32769 "IOS keepalive ack",
        R_U_THERE = 36136 "R-U-THERE",
        R_U_THERE_ACK = 36137 "R-U-THERE-ACK",
        NETSCREEN_NHTB = 40001 "NetScreen NHTB",
        UNITY_HEARTBEAT = 40500 "Unity heartbeat",
        CISCO_LOAD_BALANCE = 40501 "Cisco LOAD-BALANCE",
        CISCO_40502 = 40502 "Cisco 40502",
        HEARTBEAT = 40503 "HEARTBEAT (racoon) or PSK-HASH (Cisco)",
        RACOON_INTERNAL = 65530 "racoon 65530",
    }
}

impl NotifyKind {
    /// Returns whether the type is an error (1 to 16383, RFC 2408 section 3.14.1). The private status of Microsoft in
    /// this range is not an error.
    pub const fn is_error(self) -> bool {
        matches!(self.0, 1..=16383) && self.0 != Self::MICROSOFT_STATUS.0
    }
}
