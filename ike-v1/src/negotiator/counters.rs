macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Counter of a negotiator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Counter {
            $($(#[$doc])* $name,)*
        }

        impl Counter {
            /// All counters in their order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name of the counter.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

counters! {
    /// Datagrams that were given to the negotiator.
    Received = "datagrams received",
    /// Datagrams that were sent, retransmissions included.
    Sent = "datagrams sent",
    /// Datagrams that were sent again by a timer.
    Retransmitted = "datagrams retransmitted",
    /// Datagrams that were sent again because the peer repeated its message.
    AnsweredAgain = "duplicates answered",
    /// Steps that had to wait for the host.
    Suspended = "steps suspended",
    /// NAT-keepalive packets that were received.
    KeepAlive = "NAT-keepalives received",
    /// NAT-keepalive packets that were sent.
    KeepAliveSent = "NAT-keepalives sent",
    /// Changes of the address or port of a peer behind a NAT.
    PeerMoved = "peer address changes",
    /// ISAKMP SAs that were established.
    Phase1Up = "ISAKMP SAs established",
    /// Pairs of IPsec SAs established.
    Phase2Up = "IPsec SAs established",
    /// Datagrams that are not IKE messages, or ESP.
    Framing = "not an IKE message",
    /// Messages that are malformed.
    Malformed = "malformed message",
    /// Messages with an invalid cookie.
    Cookie = "invalid cookie",
    /// Messages with an invalid message ID.
    MessageId = "invalid message ID",
    /// Fragments that are refused.
    Fragment = "fragment refused",
    /// Messages of an unknown ISAKMP SA.
    UnknownSa = "unknown ISAKMP SA",
    /// Duplicates that were not answered.
    Duplicate = "duplicate message",
    /// Messages from another address or port than that of their SA.
    WrongPath = "address mismatch",
    /// Messages of an exchange that does not expect them.
    OutOfState = "unexpected exchange",
    /// Messages that cannot be decrypted.
    Undecryptable = "decryption failed",
    /// Messages that indicate different pre-shared keys.
    WrongKeyLikely = "pre-shared keys differ",
    /// Messages with missing, repeated or misplaced payloads.
    Payloads = "missing or unexpected payloads",
    /// Messages whose hash does not verify.
    HashMismatch = "hash verification failed",
    /// Messages with a message ID that was used before.
    MessageIdReused = "message ID reused",
    /// Messages of addresses without a configured peer.
    NoPeer = "no peer configured",
    /// First messages of an exchange that is not configured for the peer.
    ModeNotAllowed = "mode not allowed",
    /// Signatures and certificates of peers that are refused.
    Certificate = "signature refused",
    /// SA payloads that are too long, or whose DOI or situation is not supported.
    Offer = "SA payload not supported",
    /// Offers without an acceptable transform.
    NoProposal = "no proposal chosen",
    /// Answers that are not one of the transforms offered.
    ModifiedAnswer = "answer differs from the offer",
    /// Key exchanges that failed.
    KeyExchange = "key exchange failed",
    /// Nonces that are too short or too long.
    NonceLength = "invalid nonce length",
    /// Messages that contain values of this host as those of the peer.
    Reflected = "reflected value",
    /// Negotiations without a pre-shared key.
    NoKey = "no pre-shared key",
    /// Identities that differ from the configured one.
    IdentityMismatch = "identity mismatch",
    /// Client identities that do not match.
    Selectors = "selector mismatch",
    /// Client identities without a policy.
    NoPolicy = "no policy",
    /// Client identities that are not the address of the client.
    NotLeased = "selector not the assigned address",
    /// Client identities that an SA with another peer identity has already.
    SelectorTaken = "selector taken",
    /// SPIs that are invalid or not available.
    Spi = "SPI invalid or not available",
    /// First messages of a source that has too many half-open exchanges.
    TooManyHalfOpen = "too many half-open exchanges",
    /// Half-open exchanges that were evicted for others.
    Shed = "half-open exchanges evicted",
    /// Key exchanges above the limit.
    TooManyKeyExchanges = "too many key exchanges",
    /// Signatures of initiators above the limit, which are not verified.
    TooManyVerifications = "too many signatures to verify",
    /// ISAKMP SAs whose user was still to be authenticated, and that were evicted or refused above the limit.
    TooManyLogins = "too many logins",
    /// Messages of an ISAKMP SA above the limit of those that are not authentic.
    TooManyBadMessages = "too many messages not authentic",
    /// First messages of quick mode above the limit of pairs of one selector.
    TooManySas = "too many SAs of one selector",
    /// Negotiations refused because a table is full.
    Full = "table full",
    /// Exchanges whose buffer is too small.
    BufferTooSmall = "exchange buffer too small",
    /// Negotiations without an answer.
    NoAnswer = "no answer",
    /// Errors that peers reported with authentication.
    PeerRefused = "refused by the peer",
    /// Error notifications without authentication, which change nothing.
    ClearNotify = "cleartext notifications ignored",
    /// R-U-THERE messages that were sent, repetitions included (RFC 3706).
    DpdSent = "R-U-THERE sent",
    /// R-U-THERE-ACK messages that were sent.
    DpdAnswersSent = "R-U-THERE-ACK sent",
    /// R-U-THERE-ACK messages with the number of the query that waited for it.
    DpdAnswered = "R-U-THERE-ACK received",
    /// R-U-THERE messages with a number below the last one, or repeated too often.
    DpdReplay = "R-U-THERE replayed",
    /// R-U-THERE-ACK messages with another number than that of a query, and messages of peers without the vendor ID.
    DpdUnexpected = "dead peer detection not expected",
    /// R-U-THERE and R-U-THERE-ACK messages with another SPI than the cookies, or without a number.
    DpdMalformed = "dead peer detection malformed",
    /// Peers that have not answered dead peer detection.
    PeerDead = "dead peers",
    /// Negotiations in which no proposal gives this host its role in extended authentication.
    XauthRole = "wrong XAUTH role",
    /// Messages of clients whose user is not authenticated, and users that were not authenticated in time.
    XauthOwed = "user not authenticated",
    /// Users that were rejected.
    XauthRejected = "users rejected",
    /// Clients without an address.
    NoAddress = "no address for the client",
    /// Messages of transaction exchanges that are not expected, or have another identifier.
    Transaction = "unexpected transaction",
    /// Negotiations that were deleted.
    Deleted = "negotiation deleted",
    /// Negotiations for which the host has not answered in time.
    HostTimeout = "no answer from the host",
    /// SAs that the back end did not install.
    NotInstalled = "installation failed",
    /// Failures that were not reported as events because more than eight were pending.
    FailuresLost = "failure events lost",
    /// Errors that only a fault of this crate can cause.
    Internal = "internal error",
}

const COUNT: usize = Counter::ALL.len();

/// Counters of a negotiator, which begin at zero and saturate.
#[derive(Clone, Debug)]
pub struct Counters([u32; COUNT]);

impl Counters {
    pub(crate) const fn new() -> Self {
        Self([0; COUNT])
    }

    pub(crate) fn count(&mut self, counter: Counter) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.saturating_add(1);
        }
    }

    /// Returns the value of a counter.
    pub fn get(&self, counter: Counter) -> u32 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Iterates over all counters with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u32)> + '_ {
        Counter::ALL.iter().map(|&counter| (counter, self.get(counter)))
    }
}
