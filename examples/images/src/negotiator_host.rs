//! Host of a negotiator whose answers are taken from the input, so that the compiler cannot assume their values.

use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::task::Poll;
use core::time::Duration;

use ike_codec::{AuthMethod, EncapsulationMode, Group, IdKind, Identification, ProtocolId};
use ike_v1::{
    ClientConfig, ConfigRequest, Credentials, DeadPeerDetection, DhError, Event, Failure, Host, IpsecPolicy,
    IpsecTemplate, ModeConfig, Negotiator, Path, Peer, PeerHint, PeerId, Phase1Choice, Phase2Choice, Phase2Suite,
    PolicyRefusal, PolicyRequest, PreSharedKey, Settings, ShortText, Target, XauthAnswer, XauthRequest, XauthRole,
};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, Instant, Selector, Upper};
use ipsec_sa::Mode;

/// Two ISAKMP SAs, two exchanges and three pairs of SAs.
pub type Firmware = Negotiator<2, 2, 3, 1536>;

/// Host with one peer.
pub struct InputHost<'i> {
    input: &'i [u8],
    path: Path,
    selector: Selector,
    proposals: [Phase1Choice; 1],
    esp: [Phase2Choice; 1],
}

impl<'i> InputHost<'i> {
    /// Creates a host with addresses of the input.
    pub fn new(input: &'i [u8]) -> Self {
        let octets = input.first_chunk::<4>().copied().unwrap_or([192, 0, 2, 1]);
        let address = IpAddr::V4(Ipv4Addr::from(octets));
        let end = SocketAddr::new(address, u16::from(octets[0]));
        let range = AddressRange::host(address);
        let suite = Phase2Suite::Keyed {
            cipher: CipherAlgorithm::AesCbc,
            cipher_key: 16,
            integrity: IntegrityAlgorithm::HmacSha1_96,
            integrity_key: 20,
        };
        let (cipher, group) = (CipherAlgorithm::AesCbc, Group::MODP_2048);
        Self {
            input,
            path: Path { local: end, remote: end },
            selector: Selector { source: range, destination: range, upper: Upper::Any },
            proposals: [Phase1Choice::new(cipher, HashFunction::Sha1, AuthMethod(u16::from(octets[1])), group)],
            esp: [Phase2Choice::new(ProtocolId::ESP, suite, EncapsulationMode::TUNNEL)],
        }
    }

    fn fill(&self, octets: &mut [u8]) {
        octets.iter_mut().zip(self.input).for_each(|(to, from)| *to = *from);
    }

    /// Returns an answer, or `Pending`.
    fn answer<T>(&self, answer: T) -> Poll<T> {
        if self.input.len() > 64 { Poll::Pending } else { Poll::Ready(answer) }
    }

    /// Calls every function of the negotiator. Returns the number of octets to be sent.
    pub fn drive(
        mut self,
        negotiator: &mut Firmware,
        datagram: &mut [u8],
        out: &mut [u8],
        report: impl Fn(&Failure) -> usize,
    ) -> usize {
        let now = Instant::from_micros(self.input.len() as u64);
        let path = self.path;
        negotiator.handle_datagram(now, path, datagram, &mut self);
        let begun = negotiator.initiate(now, PeerId(0), 1, &mut self);
        negotiator.handle_timeout(now, &mut self);
        negotiator.resume(now, &mut self);
        let mut sum = 0usize;
        while let Some(event) = negotiator.poll_event() {
            sum = sum.wrapping_add(match event {
                Event::InboundReady(ready) => {
                    negotiator.installed(now, ready.sa);
                    negotiator.heard_from(now, ready.sa);
                    negotiator.sent_in(now, ready.sa);
                    negotiator.install_failed(ready.sa);
                    ready.params.id.spi as usize
                }
                Event::Failed(failure) => report(&failure),
                Event::Leased { config, .. } => config.banner.octets().len(),
                _ => 1,
            });
        }
        if begun.is_ok() {
            negotiator.delete(now, Target::All, &mut self);
        }
        while let Some(transmit) = negotiator.poll_transmit(now, out) {
            sum = sum.wrapping_add(transmit.datagram.len());
        }
        let due = negotiator.poll_timeout().map_or(0, |due| due.as_secs() as usize);
        let counted = negotiator.counters().iter().map(|(_, value)| value as usize).fold(due, usize::wrapping_add);
        let keys = negotiator.sas().map(|sa| sa.expose_encryption_key().len()).fold(counted, usize::wrapping_add);
        sum.wrapping_add(keys).wrapping_add(usize::from(negotiator.is_idle()))
    }
}

/// Creates a negotiator without SAs.
pub fn negotiator(input: &[u8]) -> Firmware {
    Negotiator::new(Settings::FIRMWARE, input.first_chunk().copied().unwrap_or([0; 16]))
}

/// Returns the length of the text of a failure.
#[allow(dead_code)] // not in the image without texts
pub fn text(failure: &Failure) -> usize {
    let mut counter = Counter(0);
    usize::from(write!(counter, "{failure}").is_ok()).wrapping_add(counter.0)
}

struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 = self.0.wrapping_add(text.len());
        Ok(())
    }
}

impl Host for InputHost<'_> {
    fn random(&mut self, octets: &mut [u8]) {
        self.fill(octets);
    }

    fn find_peer(&self, hint: &PeerHint<'_>) -> Option<PeerId> {
        self.input.get(usize::from(hint.path.remote.port())).map(|octet| PeerId(u16::from(*octet)))
    }

    fn peer(&self, peer: PeerId) -> Option<Peer<'_>> {
        let data = self.input.get(..usize::from(peer.0))?;
        Some(Peer {
            path: Some(self.path),
            dead_peer_detection: data
                .first()
                .map(|octet| DeadPeerDetection::after(Duration::from_secs((*octet).into()))),
            xauth: match data.get(2)? {
                0 => Some(XauthRole::Client),
                1 => Some(XauthRole::Server),
                _ => None,
            },
            mode_config: match data.get(1)? {
                0 => Some(ModeConfig::Request),
                1 => Some(ModeConfig::Accept),
                2 => Some(ModeConfig::Answer),
                3 => Some(ModeConfig::Assign),
                _ => None,
            },
            remote_identity: Some(Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data }),
            ..Peer::new(Identification { kind: IdKind::KEY_ID, protocol: 0, port: 0, data }, &self.proposals)
        })
    }

    fn pre_shared_key(&mut self, _: PeerId, _: &Path) -> Poll<Option<PreSharedKey>> {
        self.answer(PreSharedKey::new(self.input).ok())
    }

    fn policy(&self, number: u32) -> Option<IpsecPolicy<'_>> {
        let (protocol, mode, proposals) = (ProtocolId::ESP, Mode::Tunnel, &self.esp);
        let template = IpsecTemplate { protocol, mode, reqid: 0, inbound_reqid: 0, proposals };
        IpsecPolicy::new(number, self.selector).with(template)
    }

    fn find_policy(&mut self, _: PeerId, request: &PolicyRequest<'_>) -> Result<u32, PolicyRefusal> {
        let found = self.policy(1).filter(|policy| policy.selector.contains(&request.selector));
        found.map(|policy| policy.number).ok_or(PolicyRefusal::NoPolicy)
    }

    fn reserve_spi(&mut self, _: ProtocolId, _: &Path) -> Poll<Option<u32>> {
        self.answer(self.input.first_chunk().map(|octets| u32::from_be_bytes(*octets)))
    }

    fn release_spi(&mut self, _: ProtocolId, _: &Path, _: u32) {}

    fn login(&mut self, _: PeerId, answer: &XauthAnswer<'_>) -> Poll<bool> {
        self.answer(answer.user == answer.password)
    }

    fn credentials(&mut self, _: PeerId, request: &XauthRequest<'_>) -> Poll<Option<Credentials>> {
        self.answer(Credentials::new(request.message(), self.input).ok())
    }

    fn lease(&mut self, _: PeerId, request: &ConfigRequest) -> Poll<Option<ClientConfig>> {
        let mut config = ClientConfig::default();
        config.address = request.address;
        config.domain = ShortText::new(self.input);
        self.answer(Some(config))
    }

    #[cfg(feature = "modp")]
    fn public(&mut self, group: Group, private: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>> {
        self.answer(ike_v1::DiffieHellman::public(&mut ike_v1::Software, group, private, public))
    }

    #[cfg(feature = "modp")]
    fn shared(&mut self, group: Group, private: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>> {
        self.answer(ike_v1::DiffieHellman::shared(&mut ike_v1::Software, group, private, public, shared))
    }

    #[cfg(not(feature = "modp"))]
    fn public(&mut self, _: Group, _: &[u8], public: &mut [u8]) -> Poll<Result<(), DhError>> {
        self.fill(public);
        self.answer(Ok(()))
    }

    #[cfg(not(feature = "modp"))]
    fn shared(&mut self, group: Group, _: &[u8], public: &[u8], shared: &mut [u8]) -> Poll<Result<(), DhError>> {
        shared.iter_mut().zip(public).for_each(|(to, from)| *to = *from);
        self.answer(if self.input.is_empty() { Err(DhError::Unsupported(group)) } else { Ok(()) })
    }
}
