//! Host with an engine that is configured by a setkey.conf file, and captures through it.

mod config;
mod dump;
mod offline;
mod outcome;
mod packet_log;
mod packets;
mod sequence_file;
mod wire_header;
mod work_buffer;

use std::error::Error;
use std::time::Duration;

use esp_core::RngIv;
use ipcomp_core::{Deflate, Inflate};
use ipsec_engine::{AnyAlgorithms, Capacity, HeapEngine, InboundAction, OutboundAction, Settings};
use ipsec_packet::{Instant, PacketBuf};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use config::{Config, ConfigArgs, LoadingArgs, print_sas};
pub use dump::{Args as DumpArgs, run as dump};
pub use offline::{OpenArgs, SealArgs, open, seal};
pub use outcome::{Outcome, PacketResult};
pub use sequence_file::Numbers;
pub use wire_header::WireHeader;
pub use work_buffer::WorkBuffer;

/// Engine of a host.
pub type Databases = HeapEngine<AnyAlgorithms>;

/// Largest numbers of SAs, policies and cached flows.
const CAPACITY: Capacity = Capacity { sas: 1 << 17, policies: 1 << 17, flows: 1 << 10 };

/// Headroom in front of each packet for the headers of its policy, in octets.
pub const HEADROOM: usize = 512;
/// Tailroom after each packet, for IPComp, in octets.
pub const TAILROOM: usize = 65536 + 512;

/// Host or security gateway.
pub struct Host {
    /// Engine with SPD and SAD.
    pub engine: Box<Databases>,
    /// Sequence numbers that its keys have used before.
    pub numbers: Numbers,
    /// Wall-clock time at the start of [`Instant`], since 1970, for dumps. The times of a capture are since 1970
    /// themselves.
    pub start: Duration,
    rng: StdRng,
    buffer: WorkBuffer,
}

impl Host {
    /// Creates a host without SAs and policies, with the defaults of setkey(8). IVs are drawn from `rng`.
    pub fn new(mut rng: StdRng) -> Self {
        let (compressor, decompressor) = (Some(Deflate::new()), Some(Inflate::new()));
        let mut engine = Box::new(HeapEngine::with_capacity(Settings::SETKEY, CAPACITY, compressor, decompressor));
        engine.set_identification(rng.random());
        Self { engine, numbers: Numbers::New, start: Duration::ZERO, rng, buffer: WorkBuffer::default() }
    }

    /// Creates a host whose IVs are drawn from the system's random source.
    pub fn with_entropy() -> Self {
        Self::new(StdRng::from_rng(&mut rand::rng()))
    }

    /// Processes an outbound packet and returns the result and the contents of the buffer. Sequence numbers are
    /// stored before.
    pub fn send(&mut self, now: Instant, packet: &[u8]) -> Result<(OutboundAction, Vec<u8>), Box<dyn Error>> {
        self.numbers.store_ahead(&self.engine)?;
        let (engine, rng) = (&mut self.engine, &mut self.rng);
        Ok(in_buffer(&mut self.buffer, packet, |packet| engine.outbound(packet, now, &mut RngIv(rng))))
    }

    /// Processes a received packet and returns the result and the contents of the buffer.
    pub fn receive(&mut self, now: Instant, packet: &[u8]) -> (InboundAction, Vec<u8>) {
        let engine = &mut self.engine;
        in_buffer(&mut self.buffer, packet, |packet| engine.inbound(packet, now))
    }
}

/// Copies a packet into a buffer with head- and tailroom and processes it.
fn in_buffer<T>(buffer: &mut WorkBuffer, packet: &[u8], work: impl FnOnce(&mut PacketBuf<'_>) -> T) -> (T, Vec<u8>) {
    let mut packet = buffer.packet(packet, HEADROOM, TAILROOM);
    let action = work(&mut packet);
    (action, packet.data().to_vec())
}
