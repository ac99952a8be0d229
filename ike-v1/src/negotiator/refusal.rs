use core::fmt;

use ike_codec::{
    AuthAlgorithm, AuthMethod, ConfigKind, DecodeError, Doi, EncapsulationMode, Encryption, EspTransform, ExchangeKind,
    FragmentError, Group, Hash, IdKind, NotifyKind, PayloadKind, Situation,
};

use super::counters::Counter;
use super::proof::CertificateRefusal;
use super::xauth::XauthRole;
use crate::{DhError, ProposalError, ProtectError};

/// Reason why a message is discarded or a negotiation fails. It carries numbers, never octets of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The message is malformed.
    Malformed(DecodeError),
    /// The initiator cookie is zero (RFC 2408 section 3.1).
    InitiatorCookie,
    /// The responder cookie of a message after phase 1 is zero (RFC 2408 section 3.1).
    ResponderCookie,
    /// The message ID is zero in phase 2, or not zero in phase 1 (RFC 2408 section 3.1).
    MessageId(u32),
    /// No ISAKMP SA and no exchange has the cookies of the message.
    UnknownSa,
    /// The message repeats one that was processed before, and is not answered again.
    Duplicate,
    /// A fragment of a message is refused.
    Fragment(FragmentError),
    /// Message 3 of aggressive mode is missing; message 2 is sent again.
    AwaitsProof,
    /// The message came from another address or port than its SA has.
    WrongPath,
    /// No message of this exchange type is expected, or it is encrypted where it must not be, or in cleartext where it
    /// must be encrypted.
    OutOfState(ExchangeKind),
    /// The message cannot be decrypted.
    Undecryptable(ProtectError),
    /// A message after the key exchange is malformed or not authentic when decrypted: the pre-shared keys probably
    /// differ.
    WrongKeyLikely,
    /// A payload of this type is missing.
    MissingPayload(PayloadKind),
    /// The message has more payloads of this type than it may have.
    DuplicatePayload(PayloadKind),
    /// A payload of this type is not allowed in the message, or not at its position.
    UnexpectedPayload(PayloadKind),
    /// The hash does not verify (RFC 2408 section 5.11).
    HashMismatch,
    /// The message ID was used before in this ISAKMP SA (RFC 2408 section 3.1).
    MessageIdReused(u32),
    /// No peer is configured for the address.
    NoPeer,
    /// The peer has been removed from the configuration.
    Superseded,
    /// This host does not initiate to the peer.
    Passive,
    /// The peer may not use this exchange in phase 1.
    ModeNotAllowed(ExchangeKind),
    /// This host has no certificate or private key for the peer.
    NoCredential,
    /// The signature of the peer is refused.
    Certificate(CertificateRefusal),
    /// The SA payload is of this DOI, which is not the IPSEC DOI.
    Doi(Doi),
    /// The SA payload is of this situation, which is not `SIT_IDENTITY_ONLY` (RFC 2407 section 4.2.1).
    Situation(Situation),
    /// No transform of the peer is acceptable.
    NoProposal(Mismatch),
    /// The answer is not one of the transforms that were offered (RFC 2409 section 5).
    ModifiedAnswer(Mismatch),
    /// The public value or the group is not acceptable (RFC 2408 section 5.7).
    KeyExchange(DhError),
    /// The length of the nonce in octets is not between 8 and 256 (RFC 2409 section 5).
    NonceLength(usize),
    /// The peer reflected the cookie, nonce or public value of this host.
    Reflected,
    /// No pre-shared key is configured for the peer.
    NoKey,
    /// The identity of the peer, of this type, differs from the configured one.
    IdentityMismatch(IdKind),
    /// The client identities cannot be selectors of an SA, or are not those of the policy (RFC 2409 section 5.5).
    Selectors,
    /// No policy has or contains the selectors.
    NoPolicy,
    /// The selectors are not those of the address that is assigned to the client (draft-dukes-ike-mode-cfg-02).
    NotLeased,
    /// The selectors are those of another client or peer, for instance behind the same NAT: packets could be sent to
    /// either.
    SelectorTaken,
    /// No SPI is available.
    NoSpi,
    /// The SPI in the proposal has another size than four octets, or is below 256 (RFC 4303 section 2.1).
    Spi,
    /// The source has too many exchanges in which it is not authenticated.
    TooManyHalfOpen,
    /// Peers that are not authenticated have caused too many key exchanges in this second.
    TooManyKeyExchanges,
    /// Initiators have caused too many verifications of signatures in this second.
    TooManyVerifications,
    /// Too many users of the source, or of all sources, are still to be authenticated.
    TooManyLogins,
    /// Too many messages with the cookies of the ISAKMP SA were not authentic in this second.
    TooManyBadMessages,
    /// The peer has reached the limit of pairs for the same selectors.
    TooManySas,
    /// A table is full.
    Full(Table),
    /// The exchange buffer is too small for the messages of the exchange.
    BufferTooSmall,
    /// The peer did not answer.
    NoAnswer {
        /// Number of times that the last message was sent.
        sends: u8,
    },
    /// The peer reported an error under the protection of the ISAKMP SA.
    PeerRefused(NotifyKind),
    /// No proposal gives this host its role in extended authentication, or the peer that has the identity has another
    /// role.
    XauthRole,
    /// The user of the client is not authenticated (draft-beaulieu-ike-xauth-02).
    XauthOwed,
    /// The server has rejected the user, or there are no credentials for it.
    XauthRejected,
    /// The server has assigned no address.
    NoAddress,
    /// An attribute payload of this type is not expected in the transaction exchange.
    ConfigKind {
        /// Type of the attribute payload.
        got: ConfigKind,
        /// Type that this state of the exchange requires; `None` if another condition is not met.
        expected: Option<ConfigKind>,
    },
    /// The identifier of the attribute payload is not that of the request.
    ConfigIdentifier {
        /// Identifier of the attribute payload.
        got: u16,
        /// Identifier of the request; 0 is accepted, too.
        expected: u16,
    },
    /// The peer has not answered dead peer detection (RFC 3706).
    PeerDead,
    /// The peer deleted the SA.
    DeletedByPeer,
    /// The lifetime of the ISAKMP SA ended during the negotiation.
    Expired,
    /// The caller deleted the SA.
    Deleted,
    /// The host has not answered a query before the end of the exchange lifetime, or at once without the feature
    /// `suspension`.
    HostTimeout,
    /// The back end did not install the inbound SA.
    NotInstalled,
    /// The negotiator has reached a state that it excludes, which is a fault of this crate.
    Internal,
}

/// Table of a negotiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Table of ISAKMP SAs.
    IsakmpSas,
    /// Table of exchanges in progress.
    Exchanges,
    /// Table of pairs of IPsec SAs.
    IpsecSas,
}

/// Received transform that is nearest to a configured one, and the first parameter that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Number of the transform, 0 if there is none.
    pub transform: u8,
    /// First parameter that differs.
    pub difference: Difference,
}

/// Difference between a transform of the peer and a configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The SA payload has no proposal of the protocol.
    Protocol,
    /// The transform is not supported or malformed.
    Unusable(ProposalError),
    /// The authentication method gives this host another role in extended authentication than the configured one: it is
    /// one in the wrong direction (draft-beaulieu-ike-xauth-02, draft-ietf-ipsec-isakmp-hybrid-auth-05).
    XauthRole {
        /// Method of the transform.
        method: AuthMethod,
        /// Role that this host would have.
        given: XauthRole,
        /// Configured role; `None` without extended authentication.
        configured: Option<XauthRole>,
    },
    /// The number of this parameter differs.
    Value {
        /// Parameter that differs from the configured one.
        parameter: Parameter,
        /// Value of the peer; the highest one represents all above it.
        theirs: u32,
        /// Value that this host has configured.
        ours: u32,
    },
}

/// Parameter of a transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Parameter {
    /// Encryption algorithm of phase 1.
    Encryption,
    /// ESP transform of phase 2.
    Transform,
    /// Key length in bits.
    KeyLength,
    /// Hash algorithm of phase 1.
    Hash,
    /// Authentication algorithm of phase 2.
    Authentication,
    /// Authentication method of phase 1.
    Method,
    /// Diffie-Hellman group, 0 for none.
    Group,
    /// Encapsulation mode of phase 2.
    Encapsulation,
    /// Extended sequence numbers of phase 2.
    ExtendedSequence,
    /// Lifetime of an SA in seconds.
    Seconds,
    /// Lifetime of an SA in kilobytes.
    Kilobytes,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Encryption => "encryption algorithm",
            Self::Transform => "ESP transform",
            Self::KeyLength => "key length",
            Self::Hash => "hash algorithm",
            Self::Authentication => "authentication algorithm",
            Self::Method => "authentication method",
            Self::Group => "group",
            Self::Encapsulation => "encapsulation mode",
            Self::ExtendedSequence => "extended sequence numbers",
            Self::Seconds => "lifetime in seconds",
            Self::Kilobytes => "lifetime in kilobytes",
        })
    }
}

impl Parameter {
    /// Writes the name of a value, or its number.
    fn write_value(self, f: &mut fmt::Formatter<'_>, value: u32) -> fmt::Result {
        let number = u16::try_from(value).unwrap_or(u16::MAX);
        let octet = u8::try_from(value).unwrap_or(u8::MAX);
        let name = match self {
            Self::Encryption => Encryption(number).name(),
            Self::Transform => EspTransform(octet).name(),
            Self::Hash => Hash(number).name(),
            Self::Method => AuthMethod(number).name(),
            // A quick mode without perfect forward secrecy, and a suite that has its integrity from the cipher.
            Self::Group | Self::Authentication if value == 0 => Some("none"),
            Self::Authentication => AuthAlgorithm(number).name(),
            Self::Group => Group(number).name(),
            Self::Encapsulation => EncapsulationMode(number).name(),
            Self::KeyLength | Self::ExtendedSequence | Self::Seconds | Self::Kilobytes => None,
        };
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "{value}"),
        }
    }
}

impl Mismatch {
    /// Mismatch of a message without any proposal that could be compared.
    pub(crate) const NONE: Self = Self { transform: 0, difference: Difference::Protocol };
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.difference {
            Difference::Protocol => f.write_str("no proposal of the protocol"),
            Difference::Unusable(why) => write!(f, "transform {}: {why}", self.transform),
            Difference::XauthRole { method, given, configured } => {
                let number = self.transform;
                write!(f, "transform {number}: {method} makes this host the {given} of XAUTH, expected ")?;
                match configured {
                    Some(own) => write!(f, "the {own}"),
                    None => f.write_str("no XAUTH"),
                }
            }
            Difference::Value { parameter, theirs, ours } => {
                write!(f, "transform {} differs in {parameter}: got ", self.transform)?;
                parameter.write_value(f, theirs)?;
                f.write_str(", expected ")?;
                parameter.write_value(f, ours)
            }
        }
    }
}

impl Refusal {
    /// Returns whether the refusal is the reason why a negotiation does not succeed, rather than that a message is
    /// not one of it.
    pub(crate) const fn concerns_negotiation(&self) -> bool {
        !matches!(
            self,
            Self::Malformed(_)
                | Self::InitiatorCookie
                | Self::ResponderCookie
                | Self::MessageId(_)
                | Self::UnknownSa
                | Self::Duplicate
                | Self::Fragment(_)
                | Self::AwaitsProof
                | Self::WrongPath
                | Self::OutOfState(_)
                | Self::Undecryptable(_)
                | Self::MissingPayload(_)
                | Self::DuplicatePayload(_)
                | Self::UnexpectedPayload(_)
                | Self::MessageIdReused(_)
                | Self::TooManyHalfOpen
                | Self::TooManyKeyExchanges
                | Self::TooManyVerifications
                | Self::TooManyLogins
                | Self::TooManyBadMessages
                | Self::ConfigKind { .. }
                | Self::ConfigIdentifier { .. }
        )
    }

    /// Returns whether a message that was decrypted, and is refused for this reason, is not authentic.
    pub(crate) const fn is_unauthentic(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::Undecryptable(_)
                | Self::WrongKeyLikely
                | Self::MissingPayload(_)
                | Self::DuplicatePayload(_)
                | Self::UnexpectedPayload(_)
                | Self::HashMismatch
                | Self::Certificate(_)
        )
    }

    /// Returns the counter of the refusal.
    pub const fn counter(&self) -> Counter {
        match self {
            Self::Malformed(_) => Counter::Malformed,
            Self::InitiatorCookie | Self::ResponderCookie => Counter::Cookie,
            Self::MessageId(_) => Counter::MessageId,
            Self::UnknownSa => Counter::UnknownSa,
            Self::Duplicate => Counter::Duplicate,
            Self::Fragment(_) => Counter::Fragment,
            Self::AwaitsProof => Counter::AnsweredAgain,
            Self::WrongPath => Counter::WrongPath,
            Self::OutOfState(_) => Counter::OutOfState,
            Self::Undecryptable(_) => Counter::Undecryptable,
            Self::WrongKeyLikely => Counter::WrongKeyLikely,
            Self::MissingPayload(_) | Self::DuplicatePayload(_) | Self::UnexpectedPayload(_) => Counter::Payloads,
            Self::HashMismatch => Counter::HashMismatch,
            Self::MessageIdReused(_) => Counter::MessageIdReused,
            Self::NoPeer | Self::Superseded | Self::Passive => Counter::NoPeer,
            Self::ModeNotAllowed(_) => Counter::ModeNotAllowed,
            Self::NoCredential => Counter::NoKey,
            Self::Certificate(_) => Counter::Certificate,
            Self::Doi(_) | Self::Situation(_) => Counter::Offer,
            Self::NoProposal(_) => Counter::NoProposal,
            Self::ModifiedAnswer(_) => Counter::ModifiedAnswer,
            Self::KeyExchange(_) => Counter::KeyExchange,
            Self::NonceLength(_) => Counter::NonceLength,
            Self::Reflected => Counter::Reflected,
            Self::NoKey => Counter::NoKey,
            Self::IdentityMismatch(_) => Counter::IdentityMismatch,
            Self::Selectors => Counter::Selectors,
            Self::NoPolicy => Counter::NoPolicy,
            Self::NotLeased => Counter::NotLeased,
            Self::SelectorTaken => Counter::SelectorTaken,
            Self::NoSpi | Self::Spi => Counter::Spi,
            Self::TooManyHalfOpen => Counter::TooManyHalfOpen,
            Self::TooManyKeyExchanges => Counter::TooManyKeyExchanges,
            Self::TooManyVerifications => Counter::TooManyVerifications,
            Self::TooManyLogins => Counter::TooManyLogins,
            Self::TooManyBadMessages => Counter::TooManyBadMessages,
            Self::TooManySas => Counter::TooManySas,
            Self::Full(_) => Counter::Full,
            Self::BufferTooSmall => Counter::BufferTooSmall,
            Self::NoAnswer { .. } | Self::PeerDead => Counter::NoAnswer,
            Self::PeerRefused(_) => Counter::PeerRefused,
            Self::XauthRole => Counter::XauthRole,
            Self::XauthOwed => Counter::XauthOwed,
            Self::XauthRejected => Counter::XauthRejected,
            Self::NoAddress => Counter::NoAddress,
            Self::ConfigKind { .. } | Self::ConfigIdentifier { .. } => Counter::Transaction,
            Self::DeletedByPeer | Self::Deleted | Self::Expired => Counter::Deleted,
            Self::HostTimeout => Counter::HostTimeout,
            Self::NotInstalled => Counter::NotInstalled,
            Self::Internal => Counter::Internal,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(e) => write!(f, "malformed message: {e}"),
            Self::InitiatorCookie => f.write_str("initiator cookie is zero"),
            Self::ResponderCookie => f.write_str("responder cookie is zero"),
            Self::MessageId(0) => f.write_str("message ID: got 0, expected another value after phase 1"),
            Self::MessageId(id) => write!(f, "message ID: got {id:#010x}, expected 0 in phase 1"),
            Self::UnknownSa => f.write_str("no ISAKMP SA has these cookies"),
            Self::Duplicate => f.write_str("duplicate message"),
            Self::Fragment(e) => write!(f, "fragment is refused: {e}"),
            Self::AwaitsProof => f.write_str("message 3 of aggressive mode is missing; message 2 is sent again"),
            Self::WrongPath => f.write_str("source address or port does not match the ISAKMP SA"),
            Self::OutOfState(exchange) => write!(f, "message of exchange {exchange} is not expected"),
            Self::Undecryptable(e) => write!(f, "message cannot be decrypted: {e}"),
            Self::WrongKeyLikely => {
                f.write_str("decrypted message is malformed or not authentic: the pre-shared keys probably differ")
            }
            Self::MissingPayload(kind) => write!(f, "{kind} payload is missing"),
            Self::DuplicatePayload(kind) => write!(f, "too many {kind} payloads"),
            Self::UnexpectedPayload(kind) => write!(f, "{kind} payload is not allowed here"),
            Self::HashMismatch => f.write_str("hash verification failed"),
            Self::MessageIdReused(id) => write!(f, "message ID {id:#010x} was used before"),
            Self::NoPeer => f.write_str("no peer is configured for this address"),
            Self::Superseded => f.write_str("peer has been removed from the configuration"),
            Self::Passive => f.write_str("no address to initiate phase 1 with the peer is configured"),
            Self::ModeNotAllowed(exchange) => write!(f, "exchange {exchange} is not configured for the peer"),
            Self::NoCredential => f.write_str("no certificate and private key are configured for the peer"),
            Self::Certificate(why) => write!(f, "signature of the peer is refused: {why}"),
            Self::Doi(doi) => write!(f, "DOI of the SA payload: got {doi}, expected {}", Doi::IPSEC),
            Self::Situation(Situation(bits)) => {
                write!(f, "situation of the SA payload: got {bits:#x}, expected 0x1, SIT_IDENTITY_ONLY")
            }
            Self::NoProposal(nearest) => write!(f, "no proposal chosen; nearest: {nearest}"),
            Self::ModifiedAnswer(how) => write!(f, "answer is none of the transforms offered: {how}"),
            Self::KeyExchange(e) => write!(f, "key exchange: {e}"),
            Self::NonceLength(octets) => write!(f, "nonce length is {octets} octets, expected 8 to 256"),
            Self::Reflected => f.write_str("peer reflected the cookie, nonce or public value of this host"),
            Self::NoKey => f.write_str("no pre-shared key is configured for the peer"),
            Self::IdentityMismatch(kind) => write!(f, "identity of the peer ({kind}) is not the configured one"),
            Self::Selectors => f.write_str("client identities do not match the policy"),
            Self::NoPolicy => f.write_str("no policy for the client identities"),
            Self::NotLeased => f.write_str("client identities are not the address that is assigned to the client"),
            Self::SelectorTaken => f.write_str("selectors share packets with those of another client or peer"),
            Self::NoSpi => f.write_str("no SPI is available"),
            Self::Spi => f.write_str("SPI in the proposal is not valid"),
            Self::TooManyHalfOpen => f.write_str("source has too many half-open exchanges"),
            Self::TooManyKeyExchanges => f.write_str("too many key exchanges in this second"),
            Self::TooManyVerifications => f.write_str("too many signatures to verify in this second"),
            Self::TooManyLogins => f.write_str("too many users are still to be authenticated"),
            Self::TooManyBadMessages => f.write_str("too many messages of the ISAKMP SA were not authentic"),
            Self::TooManySas => {
                f.write_str("peer has negotiated 8 pairs of SAs for the same selectors, the last one within 10 s")
            }
            Self::Full(Table::IsakmpSas) => f.write_str("table of ISAKMP SAs is full"),
            Self::Full(Table::Exchanges) => f.write_str("table of exchanges is full"),
            Self::Full(Table::IpsecSas) => f.write_str("table of IPsec SAs is full"),
            Self::BufferTooSmall => f.write_str("exchange buffer is too small"),
            Self::NoAnswer { sends } => write!(f, "no answer after sending {sends} times"),
            Self::PeerRefused(kind) => write!(f, "peer reported {kind}"),
            Self::XauthRole => f.write_str("no proposal gives this host its role in extended authentication"),
            Self::XauthOwed => f.write_str("user of the client is not authenticated"),
            Self::XauthRejected => f.write_str("user was rejected, or has no credentials"),
            Self::NoAddress => f.write_str("no address is assigned to the client"),
            Self::ConfigKind { got, expected: Some(expected) } => {
                write!(f, "type of the attribute payload: got {got}, expected {expected}")
            }
            Self::ConfigKind { got, expected: None } => write!(f, "attribute payload of type {got} is not expected"),
            Self::ConfigIdentifier { got, expected } => {
                write!(f, "identifier of the attribute payload: got {got}, expected {expected}")
            }
            Self::PeerDead => f.write_str("peer has not answered dead peer detection"),
            Self::DeletedByPeer => f.write_str("peer deleted the SA"),
            Self::Expired => f.write_str("lifetime of the ISAKMP SA has ended"),
            Self::Deleted => f.write_str("SA was deleted"),
            Self::HostTimeout => f.write_str("key, SPI or Diffie-Hellman value was not available in time"),
            Self::NotInstalled => f.write_str("inbound SA could not be installed"),
            Self::Internal => f.write_str("internal error"),
        }
    }
}

impl core::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(e) => Some(e),
            Self::Undecryptable(e) => Some(e),
            Self::KeyExchange(e) => Some(e),
            Self::Certificate(e) => Some(e),
            Self::Fragment(e) => Some(e),
            _ => None,
        }
    }
}

impl From<ike_codec::NoSpace> for Refusal {
    fn from(_: ike_codec::NoSpace) -> Self {
        Self::BufferTooSmall
    }
}

impl From<DhError> for Refusal {
    fn from(e: DhError) -> Self {
        Self::KeyExchange(e)
    }
}
