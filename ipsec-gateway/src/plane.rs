//! Packets between the protected side (TUN) and the unprotected side (raw sockets), by the engine.

use std::collections::BTreeMap;
use std::io;

use esp_core::RngIv;
use ipsec_engine::{Acquire, InboundAction, OutboundAction, PolicyId, SaId};
use ipsec_packet::{Instant, PacketBuf};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::buffer::Buffer;
use crate::policy::Databases;

/// Destination of packets: an interface or a socket.
pub trait PacketSink {
    /// Sends an IP packet.
    ///
    /// # Errors
    /// Those of the system.
    fn send(&self, packet: &[u8]) -> io::Result<()>;
}

/// Engine with the packets that wait for an SA.
pub struct Plane {
    /// Databases of policies and SAs.
    pub engine: Box<Databases>,
    /// Last packet of each policy that has caused an acquire.
    waiting: BTreeMap<PolicyId, Vec<u8>>,
    rng: StdRng,
    buffer: Buffer,
}

impl Plane {
    /// Creates the plane for an engine. IVs are drawn from the system's random source.
    pub fn new(mut engine: Box<Databases>) -> Self {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        engine.set_identification(rng.random());
        Self { engine, waiting: BTreeMap::new(), rng, buffer: Buffer::new() }
    }

    /// Processes a packet of the protected side: protects and sends it, or keeps it until its SA exists.
    ///
    /// # Errors
    /// Those of `wire`.
    pub fn outbound(&mut self, now: Instant, packet: &mut PacketBuf<'_>, wire: &impl PacketSink) -> io::Result<()> {
        match self.engine.outbound(packet, now, &mut RngIv(&mut self.rng)) {
            OutboundAction::Send | OutboundAction::Bypass => wire.send(packet.data()),
            OutboundAction::Acquire(Acquire { policy, .. }) => {
                self.waiting.insert(policy, packet.data().to_vec());
                Ok(())
            }
            OutboundAction::Discard(_) => Ok(()),
        }
    }

    /// Processes a packet of the unprotected side and passes its contents to `host`. Returns the SA that has
    /// authenticated it.
    ///
    /// # Errors
    /// Those of `host`.
    pub fn inbound(
        &mut self,
        now: Instant,
        packet: &mut PacketBuf<'_>,
        host: &impl PacketSink,
    ) -> io::Result<Option<SaId>> {
        match self.engine.inbound(packet, now) {
            InboundAction::Deliver { sa } => host.send(packet.data()).map(|()| Some(sa)),
            // The sockets receive ESP, AH and IPComp only. A packet without an SA that passes is one of the kernel.
            InboundAction::Bypass | InboundAction::Discard(_) => Ok(None),
        }
    }

    /// Sends the packet that waits for an SA of this policy, if there is one.
    ///
    /// # Errors
    /// Those of `wire`.
    pub fn send_waiting(&mut self, now: Instant, policy: PolicyId, wire: &impl PacketSink) -> io::Result<()> {
        let Some(packet) = self.waiting.remove(&policy) else { return Ok(()) };
        let mut buffer = std::mem::take(&mut self.buffer);
        let sent = buffer.copy(&packet).and_then(|mut packet| self.outbound(now, &mut packet, wire));
        self.buffer = buffer;
        sent
    }

    /// Drops the packet that waits for an SA of this policy: its negotiation has failed.
    pub fn drop_waiting(&mut self, policy: PolicyId) {
        self.waiting.remove(&policy);
    }
}

#[cfg(test)]
mod tests;
