//! Result of a packet in either direction.

use ipsec_engine::{Counter, DiscardReason, InboundAction, OutboundAction};

/// Kind of result of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketResult {
    /// The packet was protected or opened.
    Processed,
    /// The packet passes unchanged.
    Bypassed,
    /// The packet is discarded without a fault: a dummy packet or a NAT-keepalive packet.
    Ignored,
    /// The packet is discarded.
    Refused,
}

impl PacketResult {
    /// Returns the word for the result in the output for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Bypassed => "bypassed",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }
}

/// Result of a packet, for counting and printing.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the result; of a discarded packet, that of its counter.
    pub name: &'static str,
    /// Kind of the result.
    pub result: PacketResult,
    /// Counter of a packet that the engine has discarded.
    pub counter: Option<Counter>,
    /// Reason of a discarded packet.
    pub reason: Option<String>,
}

impl Outcome {
    /// Creates the result of a packet that was not discarded.
    pub const fn of(name: &'static str, result: PacketResult) -> Self {
        Self { name, result, counter: None, reason: None }
    }

    /// Creates the result of a packet that was refused before it reached an SA.
    pub const fn refused(name: &'static str, reason: String) -> Self {
        Self { name, result: PacketResult::Refused, counter: None, reason: Some(reason) }
    }

    /// Returns whether ICV verification failed: the key, the algorithm or the packet differs.
    pub const fn has_wrong_icv(&self) -> bool {
        matches!(self.counter, Some(Counter::EspIcvMismatch | Counter::AhIcvMismatch))
    }

    /// Returns whether the packet is sent or delivered.
    pub fn passes(&self) -> bool {
        matches!(self.result, PacketResult::Processed | PacketResult::Bypassed)
    }
}

impl From<DiscardReason> for Outcome {
    fn from(reason: DiscardReason) -> Self {
        let result = match reason {
            DiscardReason::Dummy | DiscardReason::KeepAlive => PacketResult::Ignored,
            _ => PacketResult::Refused,
        };
        let counter = reason.counter();
        Self { name: counter.name(), result, counter: Some(counter), reason: Some(reason.to_string()) }
    }
}

impl From<OutboundAction> for Outcome {
    fn from(action: OutboundAction) -> Self {
        match action {
            OutboundAction::Send => Self::of("protected", PacketResult::Processed),
            OutboundAction::Bypass => Self::of("bypassed", PacketResult::Bypassed),
            OutboundAction::Acquire(acquire) => Self {
                reason: Some(format!("no SA for policy {}", acquire.policy)),
                ..Self::of("acquire pending", PacketResult::Refused)
            },
            OutboundAction::Discard(reason) => reason.into(),
        }
    }
}

impl From<InboundAction> for Outcome {
    fn from(action: InboundAction) -> Self {
        match action {
            InboundAction::Deliver { .. } => Self::of("opened", PacketResult::Processed),
            InboundAction::Bypass => Self::of("bypassed", PacketResult::Bypassed),
            InboundAction::Discard(reason) => reason.into(),
        }
    }
}
