use ike_codec::{ExchangeKind, PayloadKind};

/// State of an exchange, named after the message that it waits for (RFC 2409 sections 5.4 and 5.5).
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
    /// Quick mode, initiator: message 2 with the SA of the responder.
    QuickAwaitsAnswer,
    /// Quick mode, responder: message 3.
    QuickAwaitsHash3,
    /// Quick mode, initiator: message 4 with CONNECTED, as the responder has set the commit flag (RFC 2408 section
    /// 3.1).
    QuickAwaitsConnected,
    /// The exchange is complete; its last message is repeated for a duplicate of the message that it answers.
    Answers,
}

/// Hash that authenticates a message (RFC 2409 sections 5 and 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashForm {
    /// HASH_I or HASH_R, which covers the identity in the same message.
    Phase1,
    /// HASH(1).
    One,
    /// HASH(2).
    Two,
    /// HASH(3).
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
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Stage that accepts the message; `None` for the first message of an exchange.
    pub stage: Option<Stage>,
    /// Exchange of the message.
    pub exchange: ExchangeKind,
    /// Form of the hash, `None` for a message in cleartext.
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

const fn row(
    stage: Option<Stage>,
    exchange: ExchangeKind,
    hash: Option<HashForm>,
    required: &'static [PayloadKind],
    identities: Identities,
) -> Row {
    let optional: &[PayloadKind] = match hash {
        // The key exchange of perfect forward secrecy.
        Some(HashForm::One | HashForm::Two) if required.len() > 1 => &[KE],
        _ => &[],
    };
    Row { stage, exchange, hash, required, optional, identities }
}

/// Messages of main mode, quick mode and informational exchanges.
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
];

impl Row {
    /// Returns the message that a stage accepts in an exchange.
    pub fn find(stage: Option<Stage>, exchange: ExchangeKind, is_encrypted: bool) -> Option<&'static Self> {
        ROWS.iter().find(|row| (row.stage, row.exchange, row.hash.is_some()) == (stage, exchange, is_encrypted))
    }
}

impl Stage {
    /// Returns whether a timer repeats the message that was sent last. The responder of phase 1 repeats nothing before
    /// the initiator is authenticated: an attacker with a forged address would use it as an amplifier.
    pub const fn is_retransmitted(self) -> bool {
        !matches!(self, Self::MainAwaitsKeyI | Self::MainAwaitsAuthI | Self::QuickAwaitsConnected | Self::Answers)
    }

    /// Returns whether the stage is one of phase 1 that is not complete.
    pub const fn is_phase_1(self) -> bool {
        matches!(
            self,
            Self::MainAwaitsSa
                | Self::MainAwaitsKeyI
                | Self::MainAwaitsKeyR
                | Self::MainAwaitsAuthI
                | Self::MainAwaitsAuthR
        )
    }

    /// Returns whether a quick mode is in this stage and waits for an answer.
    pub const fn is_open_quick(self) -> bool {
        matches!(self, Self::QuickAwaitsAnswer | Self::QuickAwaitsHash3)
    }
}
