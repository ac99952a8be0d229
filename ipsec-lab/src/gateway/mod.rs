//! A gateway from a setkey.conf file: the databases, and packets on files through them.

mod config;
mod dump;
mod offline;
mod sequence_file;

use std::error::Error;
use std::time::Duration;

use esp_core::RngIv;
use ipcomp_core::{Deflate, Inflate};
use ipsec_engine::{AnyAlgorithms, Disposition, Engine, Settings};
use ipsec_packet::PacketBuf;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use config::{Config, ConfigArgs, print_sas};
pub use dump::{Args as DumpArgs, run as dump};
pub use offline::{Args as OfflineArgs, open, seal};
pub use sequence_file::Numbers;

/// The databases: as many SAs and policies as files of this kind have.
pub type Databases = Engine<AnyAlgorithms, 256, 256, 256>;

/// Octets kept free in front of each packet for what its policy adds.
const HEADROOM: usize = 512;
/// Octets kept free behind it, to work in and for what IPComp gives back.
const TAILROOM: usize = 65536 + 512;

/// A host or gateway.
pub struct Host {
    /// Its databases.
    pub engine: Box<Databases>,
    /// What its keys have used before.
    pub numbers: Numbers,
    rng: StdRng,
    buffer: Vec<u8>,
}

impl Host {
    /// Without SAs and policies, as the systems of setkey(8) begin; `rng` makes the IVs.
    pub fn new(mut rng: StdRng) -> Self {
        let mut engine = Box::new(Engine::new(Settings::SETKEY, Some(Deflate::new()), Some(Inflate::new())));
        engine.set_identification(rng.random());
        Self { engine, numbers: Numbers::New, rng, buffer: Vec::new() }
    }

    /// As [`new`](Self::new), with the system's entropy.
    pub fn with_entropy() -> Self {
        Self::new(StdRng::from_rng(&mut rand::rng()))
    }

    /// What becomes of a packet that leaves, and what is in the buffer then. Sequence numbers that are kept are stored before.
    pub fn send(&mut self, now: Duration, packet: &[u8]) -> Result<(Disposition, Vec<u8>), Box<dyn Error>> {
        self.numbers.before_a_packet(&self.engine)?;
        let (engine, rng) = (&mut self.engine, &mut self.rng);
        Ok(in_buffer(&mut self.buffer, packet, |packet| engine.outbound(now, packet, &mut RngIv(rng))))
    }

    /// What becomes of a packet that arrived, and what is in the buffer then.
    pub fn receive(&mut self, now: Duration, packet: &[u8]) -> (Disposition, Vec<u8>) {
        let engine = &mut self.engine;
        in_buffer(&mut self.buffer, packet, |packet| engine.inbound(now, packet))
    }
}

/// Does something with a copy of a packet that has room around it.
fn in_buffer(
    buffer: &mut Vec<u8>,
    packet: &[u8],
    work: impl FnOnce(&mut PacketBuf<'_>) -> Disposition,
) -> (Disposition, Vec<u8>) {
    buffer.resize(HEADROOM + packet.len() + TAILROOM, 0);
    buffer[HEADROOM..HEADROOM + packet.len()].copy_from_slice(packet);
    // The buffer was made for it.
    let mut work_on = PacketBuf::with_headroom(buffer, HEADROOM, packet.len()).expect("room around the packet");
    let disposition = work(&mut work_on);
    (disposition, work_on.data().to_vec())
}

/// What became of a packet, in the words that it is counted by.
pub fn outcome(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Send => "protected",
        Disposition::Deliver => "opened",
        Disposition::Bypass => "passed in clear",
        Disposition::Pending(_) => "waiting for an sa",
        Disposition::Discard(reason) => reason.counter().name(),
    }
}
