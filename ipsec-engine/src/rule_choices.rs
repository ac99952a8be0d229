//! SAs that the templates of a policy select, where they do not depend on the packet: a new flow of a tunnel has those
//! of the flows before.

use alloc::vec::Vec;

use crate::sad_index::KnownChoice;
use crate::table::SlotNumber;

/// SAs of policies by their slots.
#[derive(Debug)]
pub(crate) struct RuleChoices {
    choices: Vec<Option<RuleChoice>>,
    /// Number of the current state of the SPD. Choices with another number are void.
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct RuleChoice {
    generation: u32,
    known: KnownChoice,
}

impl RuleChoices {
    pub(crate) const fn new() -> Self {
        Self { choices: Vec::new(), generation: 0 }
    }

    /// Voids all choices, because a policy was changed.
    pub(crate) fn clear(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.choices.fill(None); // a choice could have the new number
        }
    }

    /// Allocates space for the policies in the first `slots` slots, so that no packet does.
    pub(crate) fn allocate(&mut self, slots: usize) {
        if self.choices.len() < slots {
            self.choices.resize(slots, None);
        }
    }

    /// Returns the SAs that were chosen for the policy in a slot.
    pub(crate) fn get(&self, rule: SlotNumber) -> Option<&KnownChoice> {
        let choice = self.choices.get(rule.index())?.as_ref()?;
        (choice.generation == self.generation).then_some(&choice.known)
    }

    /// Records the SAs that were chosen for the policy in a slot.
    pub(crate) fn set(&mut self, rule: SlotNumber, known: KnownChoice) {
        if let Some(choice) = self.choices.get_mut(rule.index()) {
            *choice = Some(RuleChoice { generation: self.generation, known });
        }
    }
}
