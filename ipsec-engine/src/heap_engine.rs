//! Engine whose capacity is chosen at run time.

use crate::algorithms::Algorithms;
use crate::engine::{Engine, Settings};

/// Engine whose capacity is chosen at run time. Its memory grows with the SAs, policies and flows that it has, and the
/// cost of a packet does not grow with them.
pub type HeapEngine<A> = Engine<A, 0, 0, 0>;

/// Largest numbers of entries of an engine. Each is at most 2^32 - 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Number of SAs, larval ones included.
    pub sas: usize,
    /// Number of policies of all directions.
    pub policies: usize,
    /// Number of flows whose SPD lookup is cached.
    pub flows: usize,
}

impl<A: Algorithms> HeapEngine<A> {
    /// Creates an engine without SAs and policies, for at most these numbers of them. The flow cache is allocated
    /// with the first policy, and SAs and policies when they are added. A hub should set a random key of the flow
    /// cache, see [`set_hash_key`](Self::set_hash_key).
    pub const fn with_capacity(
        settings: Settings,
        capacity: Capacity,
        compressor: Option<A::Compressor>,
        decompressor: Option<A::Decompressor>,
    ) -> Self {
        let mut engine = Self::new(settings, compressor, decompressor);
        engine.sad.set_limit(capacity.sas);
        engine.spd.set_limits(capacity.policies, capacity.flows);
        engine
    }
}
