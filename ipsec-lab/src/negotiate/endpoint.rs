//! Gateway of the demonstration: a negotiator and an engine.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::task::Poll;

use ike_codec::{ExchangeKind, Group, IdKind, Identification, ProtocolId};
use ike_v1::{
    DhError, DiffieHellman, Event, IpsecPolicy, IpsecSaId, IpsecTemplate, Negotiator, Path, Peer, PeerHint, PeerId,
    Phase1Choice, Phase2Choice, PolicyRefusal, PolicyRequest, PreSharedKey, Software,
};
use ipsec_engine::{Action, Direction, InboundAction, OutboundAction, PolicyDirection, SaBackend, SaId};
use ipsec_packet::{Instant, Selector};
use ipsec_sa::{Protocol, SpiRequest};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use zeroize::Zeroizing;

use crate::esp_sa;
use crate::gateway::{Host, Outcome};
use crate::negotiate::wire::IkeDatagram;

/// Negotiator with buffers for the largest group.
type GatewayNegotiator = Negotiator<4, 8, 16, 8192>;

/// Configuration of a gateway.
pub struct Configuration {
    /// Name of the gateway, `A` or `B`.
    pub name: char,
    /// Addresses and ports of key exchange.
    pub path: Path,
    /// Identities of both gateways: their addresses.
    pub identities: [Vec<u8>; 2],
    /// Pre-shared key of the gateway.
    pub key: Zeroizing<Vec<u8>>,
    /// Algorithms of phase 1.
    pub ike: Vec<Phase1Choice>,
    /// Algorithms of the ESP SAs.
    pub esp: Vec<Phase2Choice>,
    /// Exchange of phase 1.
    pub exchange: ExchangeKind,
    /// Set if ESP is sent in UDP without a NAT.
    pub forces_nat_traversal: bool,
}

/// Gateway with its negotiated SAs.
pub struct Endpoint {
    pub negotiator: Box<GatewayNegotiator>,
    pub services: Services,
    /// Packet that waits for an SA.
    waiting: Option<Vec<u8>>,
    /// Rows of Wireshark's table of ESP SAs.
    pub esp_sa: Zeroizing<String>,
    /// Log lines with their times.
    pub log: Vec<(Instant, String)>,
    /// Inbound SAs by SPI.
    inbound: BTreeMap<u32, IpsecSaId>,
    pub is_up: bool,
    pub has_failed: bool,
    /// Number of received packets that were discarded.
    pub discarded: u64,
}

/// Services of the negotiator.
pub struct Services {
    pub configuration: Configuration,
    pub host: Host,
    now: Instant,
    rng: StdRng,
}

impl Endpoint {
    /// Creates a gateway whose engine has its policies.
    pub fn new(configuration: Configuration, host: Host, mut rng: StdRng) -> Self {
        let negotiator = Box::new(Negotiator::new(ike_v1::Settings::DAEMON, rng.random()));
        let services = Services { configuration, host, now: Instant::ZERO, rng };
        let esp_sa = Zeroizing::new(String::new());
        Self {
            negotiator,
            services,
            waiting: None,
            esp_sa,
            log: Vec::new(),
            inbound: BTreeMap::new(),
            is_up: false,
            has_failed: false,
            discarded: 0,
        }
    }

    /// Sends a packet of the network behind the gateway. Returns the protected packet; the first packet waits for its
    /// SA.
    pub fn send(&mut self, now: Instant, packet: Vec<u8>) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        self.services.now = now;
        match self.services.host.send(now, &packet)? {
            (OutboundAction::Send, protected) => Ok(Some(protected)),
            (OutboundAction::Acquire(acquire), _) => {
                self.note(now, format!("no SA for policy {}, negotiating", acquire.policy));
                self.waiting = Some(packet);
                let policy = acquire.policy.get();
                self.negotiator.initiate(now, PeerId(0), policy, &mut self.services)?;
                Ok(None)
            }
            (other, _) => Err(format!("packet is not sent: {}", Outcome::from(other).name).into()),
        }
    }

    /// Processes a received datagram of IKE.
    pub fn receive_ike(&mut self, now: Instant, datagram: &IkeDatagram<'_>) {
        self.services.now = now;
        self.negotiator.handle_datagram(now, datagram.path, &mut datagram.payload.to_vec(), &mut self.services);
    }

    /// Decapsulates a received packet. Returns the packet for the network, `None` if it is discarded.
    pub fn receive_esp(&mut self, now: Instant, packet: &[u8]) -> Option<Vec<u8>> {
        match self.services.host.receive(now, packet) {
            (InboundAction::Deliver { sa }, inner) => {
                if let Some(sa) = self.inbound.get(&sa.spi) {
                    self.negotiator.heard_from(now, *sa);
                }
                Some(inner)
            }
            (other, _) => {
                self.discarded += 1;
                self.note(now, format!("received packet is discarded: {}", Outcome::from(other).name));
                None
            }
        }
    }

    /// Handles the timeout of the negotiator, if it is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.services.now = now;
        if self.negotiator.poll_timeout().is_some_and(|due| due <= now) {
            self.negotiator.handle_timeout(now, &mut self.services);
        }
    }

    /// Installs and removes the SAs of the events of the negotiator. Returns the packet that has waited for an SA.
    pub fn handle_events(&mut self, now: Instant) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        self.services.now = now;
        let mut released = None;
        while let Some(event) = self.negotiator.poll_event() {
            match event {
                Event::Phase1Up { sa, role, nat, .. } => {
                    let udp = if nat.in_udp().is_some() { ", ESP in UDP" } else { "" };
                    self.note(now, format!("{sa} is established as {role}{udp}"));
                }
                Event::InboundReady(ready) => {
                    self.services.host.engine.add(&ready.params, now)?;
                    self.note(now, format!("installed {}", ready.params));
                    self.inbound.insert(ready.params.id.spi, ready.sa);
                    self.negotiator.installed(now, ready.sa);
                }
                Event::OutboundReady(ready) => {
                    self.services.host.engine.add(&ready.params, now)?;
                    self.note(now, format!("installed {}", ready.params));
                    self.esp_sa.push_str(esp_sa::row_of(&ready.params).as_deref().map_or("", String::as_str));
                    self.is_up = true;
                    released = self.waiting.take();
                }
                Event::IpsecSaGone { direction, spi, path, why, .. } => {
                    let outbound = SaId::outbound(path.remote.ip(), Protocol::Esp, spi);
                    let is_in_udp = self.services.host.engine.sa(&outbound, path.local.ip()).is_none();
                    let (id, source) = match direction {
                        Direction::Inbound => (SaId::inbound(path.local.ip(), Protocol::Esp, spi), path.remote.ip()),
                        Direction::Outbound if is_in_udp => {
                            (outbound.with_peer_port(path.remote.port()), path.local.ip())
                        }
                        Direction::Outbound => (outbound, path.local.ip()),
                    };
                    self.services.host.engine.delete(&id, source)?;
                    self.note(now, format!("removed {id}: {why}"));
                }
                Event::Phase1Gone { sa, why, .. } => self.note(now, format!("{sa} has ended: {why}")),
                Event::Failed(failure) => {
                    self.has_failed = true;
                    self.note(now, failure.to_string());
                }
                _ => {}
            }
        }
        Ok(released)
    }

    fn note(&mut self, now: Instant, text: String) {
        self.log.push((now, text));
    }
}

impl Services {
    /// Returns the outbound policy with this number, or the first one that contains these selectors.
    fn find(&self, accepts: impl Fn(u32, &Selector) -> bool) -> Option<IpsecPolicy<'_>> {
        self.host.engine.policies().find_map(|(id, policy)| {
            let Action::Protect(bundle) = policy.action else { return None };
            let template = *bundle.iter().next()?;
            let is_meant = policy.direction == PolicyDirection::Out && accepts(id.get(), &policy.selector);
            let esp = IpsecTemplate {
                protocol: ProtocolId::ESP,
                mode: template.mode,
                reqid: id.reqid(&template),
                inbound_reqid: 0,
                proposals: &self.configuration.esp,
            };
            IpsecPolicy::new(id.get(), policy.selector).with(esp).filter(|_| is_meant)
        })
    }

    fn identity(&self, side: usize) -> Identification<'_> {
        let data = &self.configuration.identities[side];
        let kind = if data.len() == 4 { IdKind::IPV4 } else { IdKind::IPV6 };
        Identification { kind, protocol: 0, port: 0, data }
    }
}

impl ike_v1::Host for Services {
    fn random(&mut self, octets: &mut [u8]) {
        self.rng.fill_bytes(octets);
    }

    fn find_peer(&self, hint: &PeerHint<'_>) -> Option<PeerId> {
        (hint.path.remote.ip() == self.configuration.path.remote.ip()).then_some(PeerId(0))
    }

    fn peer(&self, peer: PeerId) -> Option<Peer<'_>> {
        (peer == PeerId(0)).then(|| Peer {
            path: Some(self.configuration.path),
            remote_identity: Some(self.identity(1)),
            exchanges: std::slice::from_ref(&self.configuration.exchange),
            forces_nat_traversal: self.configuration.forces_nat_traversal,
            ..Peer::new(self.identity(0), &self.configuration.ike)
        })
    }

    fn pre_shared_key(&mut self, _: PeerId, _: &Path) -> Poll<Option<PreSharedKey>> {
        Poll::Ready(PreSharedKey::new(&self.configuration.key).ok())
    }

    fn policy(&self, policy: u32) -> Option<IpsecPolicy<'_>> {
        self.find(|number, _| number == policy)
    }

    fn find_policy(&mut self, _: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        let found = self.find(|_, policy| policy.contains(&request.selector)).ok_or(PolicyRefusal::NoPolicy)?;
        Ok(found.number)
    }

    fn reserve_spi(&mut self, _: ProtocolId, path: &Path) -> Poll<Option<u32>> {
        let request = SpiRequest {
            source: path.remote.ip(),
            destination: path.local.ip(),
            protocol: Protocol::Esp,
            min: 256,
            max: u32::MAX,
            random: self.rng.random(),
        };
        Poll::Ready(self.host.engine.get_spi(&request, self.now).ok().flatten())
    }

    fn release_spi(&mut self, _: ProtocolId, path: &Path, spi: u32) {
        let (local, remote): (IpAddr, IpAddr) = (path.local.ip(), path.remote.ip());
        // The SA is larval; without one there is no SA to remove.
        let _ = self.host.engine.delete(&SaId::inbound(local, Protocol::Esp, spi), remote);
    }

    fn public(&mut self, group: Group, private: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>> {
        Poll::Ready(Software.public(group, private, public))
    }

    fn shared(&mut self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>> {
        Poll::Ready(Software.shared(group, private, public, shared))
    }
}
