use ike_codec::{ExchangeKind, PayloadKind};

/// State of an exchange, named after the message that it waits for (RFC 2409 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Main mode, initiator: message 2 with the SA of the responder.
    MainAwaitsSa,
    /// Main mode, responder: message 3 with the public value of the initiator.
    MainAwaitsKeyI,
    /// Main mode, initiator: message 4 with the public value of the responder.
    MainAwaitsKeyR,
    /// Main mode, responder: message 5 with the identity and hash of the initiator.
    MainAwaitsAuthI,
    /// Main mode, initiator: message 6 with the identity and hash of the responder.
    MainAwaitsAuthR,
    /// Aggressive mode, responder: message 2 waits for an answer of the host.
    AggressiveBegins,
    /// Aggressive mode, initiator: message 2 with the SA, public value, identity and hash of the responder.
    AggressiveAwaitsAnswer,
    /// Aggressive mode, responder: message 3 with the hash of the initiator.
    AggressiveAwaitsProof,
    /// Base mode, initiator: message 2 with the SA and identity of the responder.
    BaseAwaitsSa,
    /// Base mode, responder: message 3 with the public value and hash of the initiator.
    BaseAwaitsKeyI,
    /// Base mode, initiator: message 4 with the public value and hash of the responder.
    BaseAwaitsKeyR,
    /// Quick mode, initiator: message 2 with the SA of the responder.
    QuickAwaitsAnswer,
    /// Quick mode, responder: message 3.
    QuickAwaitsHash3,
    /// Quick mode, initiator: message 4 with CONNECTED, as the responder has set the commit flag (RFC 2408 section
    /// 3.1).
    QuickAwaitsConnected,
    /// Extended authentication, server: the reply with name and password.
    XauthAwaitsReply,
    /// Extended authentication, server: the acknowledgement of the result.
    XauthAwaitsAck,
    /// Mode Config, client: the reply with the configuration.
    ConfigAwaitsReply,
    /// Mode Config, server: the acknowledgement of the configuration.
    ConfigAwaitsAck,
    /// Transaction exchange of the peer whose first message waits for the host.
    TransactionAwaitsHost,
    /// Fragments of a first message; its exchange is known from their headers only.
    Reassembles,
    /// The exchange is complete; its last message is repeated for a duplicate of the message that it answers.
    Answers,
}

/// Hash that authenticates a message (RFC 2409 sections 5 and 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashForm {
    /// HASH_I or HASH_R, which covers the identity in the same message.
    Phase1,
    /// HASH(1) of quick mode, and of other exchanges after phase 1.
    One,
    /// HASH(2) of quick mode, in message 2.
    Two,
    /// HASH(3) of quick mode, in message 3.
    Three,
}

/// Message that a stage accepts: one row for each message of the exchanges.
///
/// ```text
/// main mode     I > R  SA                          quick mode   I > R  HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr]
///               R > I  SA                                       R > I  HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]
///               I > R  KE, Ni                                   I > R  HDR*, HASH(3)
///               R > I  KE, Nr                                   R > I  HDR*, HASH(1), N   (with the commit flag)
///               I > R  HDR*, IDii, HASH_I        informational         HDR*, HASH(1), N or D
///               R > I  HDR*, IDir, HASH_R
/// aggressive    I > R  SA, KE, Ni, IDii            base mode    I > R  SA, IDii, Ni
/// mode          R > I  SA, KE, Nr, IDir, HASH_R                 R > I  SA, IDir, Nr
///               I > R  HDR*, HASH_I  or  HASH_I                 I > R  KE, HASH_I
///                                                               R > I  KE, HASH_R
/// transaction           HDR*, HASH(1), ATTR    in both directions
/// ```
///
/// In the place of HASH_I or HASH_R there may be certificates and a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Stage that accepts the message; `None` for the first message of an exchange.
    pub stage: Option<Stage>,
    /// Exchange of the message.
    pub exchange: ExchangeKind,
    /// Set for a message that must be encrypted, clear for one that must not.
    pub is_encrypted: bool,
    /// Form of the hash, `None` for a message without one.
    pub hash: Option<HashForm>,
    /// Payloads of which the message has exactly one.
    pub required: &'static [PayloadKind],
    /// Payloads of which the message has one or none.
    pub optional: &'static [PayloadKind],
    /// Number of identification payloads that the message may have.
    pub identities: Identities,
}

/// Number of identification payloads in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identities {
    None,
    One,
    /// Both client identities or none (RFC 2409 section 5.5).
    NoneOrTwo,
}

const SA: PayloadKind = PayloadKind::SA;
const KE: PayloadKind = PayloadKind::KEY_EXCHANGE;
const NONCE: PayloadKind = PayloadKind::NONCE;
const HASH: PayloadKind = PayloadKind::HASH;

/// Creates the row of an encrypted message if it has a hash, otherwise of one in cleartext.
const fn row(
    stage: Option<Stage>,
    exchange: ExchangeKind,
    hash: Option<HashForm>,
    required: &'static [PayloadKind],
    identities: Identities,
) -> Row {
    let optional: &[PayloadKind] = match hash {
        // The key exchange of perfect forward secrecy.
        Some(HashForm::One | HashForm::Two) if required.len() > 2 => &[KE],
        _ => &[],
    };
    Row { stage, exchange, is_encrypted: hash.is_some(), hash, required, optional, identities }
}

/// Creates the row of a message in cleartext with a hash of phase 1.
const fn clear(stage: Stage, exchange: ExchangeKind, required: &'static [PayloadKind], identities: Identities) -> Row {
    let hash = Some(HashForm::Phase1);
    Row { stage: Some(stage), exchange, is_encrypted: false, hash, required, optional: &[], identities }
}

/// Messages of all exchanges.
//= RFC 2409 4/1, 4/2, 5/5
//# MUST: main and aggressive mode are used in phase 1 only
//# MUST: quick mode is used in phase 2 only
//# MUST NOT: the exchange type does not change within an exchange
pub(crate) const ROWS: &[Row] = &[
    row(None, ExchangeKind::MAIN, None, &[SA], Identities::None),
    row(Some(Stage::MainAwaitsSa), ExchangeKind::MAIN, None, &[SA], Identities::None),
    row(Some(Stage::MainAwaitsKeyI), ExchangeKind::MAIN, None, &[KE, NONCE], Identities::None),
    row(Some(Stage::MainAwaitsKeyR), ExchangeKind::MAIN, None, &[KE, NONCE], Identities::None),
    row(Some(Stage::MainAwaitsAuthI), ExchangeKind::MAIN, Some(HashForm::Phase1), &[HASH], Identities::One),
    row(Some(Stage::MainAwaitsAuthR), ExchangeKind::MAIN, Some(HashForm::Phase1), &[HASH], Identities::One),
    row(None, ExchangeKind::AGGRESSIVE, None, &[SA, KE, NONCE], Identities::One),
    clear(Stage::AggressiveAwaitsAnswer, ExchangeKind::AGGRESSIVE, &[SA, KE, NONCE, HASH], Identities::One),
    row(
        Some(Stage::AggressiveAwaitsProof),
        ExchangeKind::AGGRESSIVE,
        Some(HashForm::Phase1),
        &[HASH],
        Identities::None,
    ),
    // Some peers do not encrypt the last message.
    clear(Stage::AggressiveAwaitsProof, ExchangeKind::AGGRESSIVE, &[HASH], Identities::None),
    row(None, ExchangeKind::BASE, None, &[SA, NONCE], Identities::One),
    row(Some(Stage::BaseAwaitsSa), ExchangeKind::BASE, None, &[SA, NONCE], Identities::One),
    clear(Stage::BaseAwaitsKeyI, ExchangeKind::BASE, &[KE, HASH], Identities::None),
    clear(Stage::BaseAwaitsKeyR, ExchangeKind::BASE, &[KE, HASH], Identities::None),
    row(None, ExchangeKind::QUICK, Some(HashForm::One), &[HASH, SA, NONCE], Identities::NoneOrTwo),
    row(
        Some(Stage::QuickAwaitsAnswer),
        ExchangeKind::QUICK,
        Some(HashForm::Two),
        &[HASH, SA, NONCE],
        Identities::NoneOrTwo,
    ),
    row(Some(Stage::QuickAwaitsHash3), ExchangeKind::QUICK, Some(HashForm::Three), &[HASH], Identities::None),
    //= RFC 2408 4.1/3
    //# MUST: the informational exchange is implemented
    row(Some(Stage::QuickAwaitsConnected), ExchangeKind::QUICK, Some(HashForm::One), &[HASH], Identities::None),
    row(Some(Stage::QuickAwaitsConnected), ExchangeKind::INFORMATIONAL, Some(HashForm::One), &[HASH], Identities::None),
    row(None, ExchangeKind::INFORMATIONAL, Some(HashForm::One), &[HASH], Identities::None),
    row(None, ExchangeKind::NEW_GROUP, Some(HashForm::One), &[HASH, SA], Identities::None),
    row(None, ExchangeKind::TRANSACTION, Some(HashForm::One), &[HASH], Identities::None),
    row(Some(Stage::XauthAwaitsReply), ExchangeKind::TRANSACTION, Some(HashForm::One), &[HASH], Identities::None),
    row(Some(Stage::XauthAwaitsAck), ExchangeKind::TRANSACTION, Some(HashForm::One), &[HASH], Identities::None),
    row(Some(Stage::ConfigAwaitsReply), ExchangeKind::TRANSACTION, Some(HashForm::One), &[HASH], Identities::None),
    row(Some(Stage::ConfigAwaitsAck), ExchangeKind::TRANSACTION, Some(HashForm::One), &[HASH], Identities::None),
];

impl Row {
    /// Returns the row of the message that a stage accepts in an exchange.
    pub fn find(stage: Option<Stage>, exchange: ExchangeKind, is_encrypted: bool) -> Option<&'static Self> {
        ROWS.iter().find(|row| (row.stage, row.exchange, row.is_encrypted) == (stage, exchange, is_encrypted))
    }

    /// Returns whether the message is one of phase 1.
    pub const fn is_phase_1(&self) -> bool {
        matches!(self.hash, None | Some(HashForm::Phase1))
    }
}

impl Stage {
    /// Returns whether a timer repeats the message that was sent last. The responder of phase 1 does not repeat
    /// messages before the initiator is authenticated: an attacker with a forged address would use it as an amplifier.
    pub const fn is_retransmitted(self) -> bool {
        !matches!(self, Self::QuickAwaitsConnected | Self::TransactionAwaitsHost | Self::Reassembles | Self::Answers)
            && !self.awaits_initiator()
    }

    /// Returns whether the stage is one of a responder of phase 1, whose initiator is not authenticated.
    pub const fn awaits_initiator(self) -> bool {
        matches!(
            self,
            Self::MainAwaitsKeyI
                | Self::MainAwaitsAuthI
                | Self::AggressiveBegins
                | Self::AggressiveAwaitsProof
                | Self::BaseAwaitsKeyI
        )
    }

    /// Returns whether the stage is one of phase 1 that is not complete.
    pub const fn is_phase_1(self) -> bool {
        self.awaits_initiator()
            || matches!(
                self,
                Self::MainAwaitsSa
                    | Self::MainAwaitsKeyR
                    | Self::MainAwaitsAuthR
                    | Self::AggressiveAwaitsAnswer
                    | Self::BaseAwaitsSa
                    | Self::BaseAwaitsKeyR
            )
    }

    /// Returns whether the initiator may change its address and port with the message that the stage waits for, as it
    /// has detected a NAT (RFC 3947 section 4).
    pub const fn may_change_path(self) -> bool {
        matches!(self, Self::MainAwaitsAuthI | Self::AggressiveAwaitsProof)
    }

    /// Returns whether the peer waits for the answer to the message that authenticates it.
    pub const fn is_answered(self) -> bool {
        matches!(self, Self::MainAwaitsAuthI | Self::AggressiveAwaitsAnswer | Self::BaseAwaitsKeyI)
    }

    /// Returns whether a quick mode is in this stage and waits for an answer.
    pub const fn is_open_quick(self) -> bool {
        matches!(self, Self::QuickAwaitsAnswer | Self::QuickAwaitsHash3)
    }
}
