//! Mode Config (draft-dukes-ike-mode-cfg-02): a server assigns addresses and networks to a client, which requests them
//! (pull), or which the server sets (push).
//!
//! ```text
//! pull   client   REQUEST(types)    -->   <--   REPLY(values)   server
//! push   server   SET(values)       -->   <--   ACK(types)      client
//! ```

use core::fmt;
use core::net::{Ipv4Addr, SocketAddr};

use ike_codec::{AttributeWriter, Attributes, Config, ConfigAttribute, ConfigKind, NoSpace, Notification};

use super::counters::Counter;
use super::event::{Event, Gone, IsakmpSaId, SlotId};
use super::ipsec_sa::Negotiation;
use super::scratch::Span;
use super::stage::Stage;
use super::suspend::{Stop, answered};
use super::transaction::{Outcome, Step, identifier};
use super::xauth::{Access, Denied};
use super::{Negotiator, Refusal, Role};
use crate::{IvChain, NextIv};

/// Part of this host in the configuration of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModeConfig {
    /// This host is a client that requests its configuration before quick mode.
    Request,
    /// This host is a client that waits until the server sets its configuration.
    Accept,
    /// This host is a server that answers the requests of its clients.
    Answer,
    /// This host is a server that sets the configuration of its clients, and answers their requests.
    Assign,
}

/// Text of at most `N` octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortText<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl<const N: usize> ShortText<N> {
    /// Copies the first `N` octets of a text.
    pub fn new(text: &[u8]) -> Self {
        let mut octets = [0; N];
        octets.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        Self { octets, len: text.len().min(N) }
    }

    /// Returns the octets.
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> Default for ShortText<N> {
    fn default() -> Self {
        Self { octets: [0; N], len: 0 }
    }
}

impl<const N: usize> fmt::Debug for ShortText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.octets().escape_ascii())
    }
}

/// IPv4 network behind a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNetwork {
    /// Address of the network.
    pub address: Ipv4Addr,
    /// Mask of the network.
    pub mask: Ipv4Addr,
}

/// Configuration of a client: what a server assigns to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Address of the client (INTERNAL_IP4_ADDRESS).
    pub address: Option<Ipv4Addr>,
    /// Mask of the network of the client (INTERNAL_IP4_NETMASK).
    pub netmask: Option<Ipv4Addr>,
    /// Name servers (INTERNAL_IP4_DNS), the first four of them.
    pub dns: [Option<Ipv4Addr>; 4],
    /// NetBIOS name servers (INTERNAL_IP4_NBNS), the first four of them.
    pub nbns: [Option<Ipv4Addr>; 4],
    /// Time in seconds for which the address is assigned (INTERNAL_ADDRESS_EXPIRY).
    pub expiry: Option<u32>,
    /// Networks that are reached through the server (UNITY_SPLIT_INCLUDE, INTERNAL_IP4_SUBNET), the first eight of
    /// them; all networks if there are none.
    pub split_include: [Option<ClientNetwork>; 8],
    /// Default domain (UNITY_DEF_DOMAIN), its first 64 octets.
    pub domain: ShortText<64>,
    /// Text for the user (UNITY_BANNER), its first 128 octets.
    pub banner: ShortText<128>,
}

/// Request of a client for its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigRequest {
    /// ISAKMP SA of the client.
    pub sa: IsakmpSaId,
    /// Address that the client would like to have, probably one that it had before.
    pub address: Option<Ipv4Addr>,
}

/// Attributes of a request. Those of Unity are for servers with its vendor ID.
const REQUESTED: [ConfigAttribute; 5] = [
    ConfigAttribute::IP4_ADDRESS,
    ConfigAttribute::IP4_NETMASK,
    ConfigAttribute::IP4_DNS,
    ConfigAttribute::IP4_NBNS,
    ConfigAttribute::ADDRESS_EXPIRY,
];
const REQUESTED_OF_UNITY: [ConfigAttribute; 3] =
    [ConfigAttribute::UNITY_BANNER, ConfigAttribute::UNITY_DEFAULT_DOMAIN, ConfigAttribute::UNITY_SPLIT_INCLUDE];

/// UDP port of IKE (RFC 2408 section 2.5.1).
const IKE_PORT: u16 = 500;

/// Octets of one network in UNITY_SPLIT_INCLUDE: address, mask, protocol and two ports; and in INTERNAL_IP4_SUBNET.
const UNITY_NETWORK: usize = 14;
const SUBNET: usize = 8;

impl ClientConfig {
    /// Reads the attributes of a server. Unknown ones, and those with another length than their type has, are ignored.
    pub(crate) fn read(attributes: &Attributes<'_>) -> Self {
        let mut config = Self::default();
        for attribute in attributes {
            let octets = attribute.bytes().unwrap_or_default();
            let address = || <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from).filter(|a| !a.is_unspecified());
            match ConfigAttribute(attribute.kind) {
                ConfigAttribute::IP4_ADDRESS => config.address = config.address.or(address()),
                ConfigAttribute::IP4_NETMASK => config.netmask = config.netmask.or(address()),
                ConfigAttribute::IP4_DNS => add(&mut config.dns, address()),
                ConfigAttribute::IP4_NBNS => add(&mut config.nbns, address()),
                ConfigAttribute::ADDRESS_EXPIRY => {
                    config.expiry = attribute.number().and_then(|seconds| u32::try_from(seconds).ok());
                }
                ConfigAttribute::UNITY_SPLIT_INCLUDE => config.add_networks(octets, UNITY_NETWORK),
                ConfigAttribute::IP4_SUBNET => config.add_networks(octets, SUBNET),
                ConfigAttribute::UNITY_DEFAULT_DOMAIN => config.domain = ShortText::new(octets),
                ConfigAttribute::UNITY_BANNER => config.banner = ShortText::new(octets),
                _ => {}
            }
        }
        config
    }

    fn add_networks(&mut self, octets: &[u8], len: usize) {
        for network in octets.chunks_exact(len) {
            let Some((&[a, b, c, d, e, f, g, h], _)) = network.split_first_chunk::<8>() else { continue };
            let (address, mask) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
            // The network 0.0.0.0/0 of some servers stands for all.
            add(&mut self.split_include, Some(ClientNetwork { address, mask }).filter(|_| !mask.is_unspecified()));
        }
    }

    /// Writes the values of an attribute, of which there may be none.
    fn write(&self, attribute: ConfigAttribute, list: &mut AttributeWriter<'_>) -> Result<(), NoSpace> {
        let mut put = |octets: &[u8]| list.variable(attribute.0, octets);
        let mut addresses =
            |all: &[Option<Ipv4Addr>]| all.iter().flatten().try_for_each(|address| put(&address.octets()));
        match attribute {
            ConfigAttribute::IP4_ADDRESS => addresses(&[self.address]),
            ConfigAttribute::IP4_NETMASK => addresses(&[self.netmask]),
            ConfigAttribute::IP4_DNS => addresses(&self.dns),
            ConfigAttribute::IP4_NBNS => addresses(&self.nbns),
            ConfigAttribute::ADDRESS_EXPIRY => self.expiry.map_or(Ok(()), |seconds| put(&seconds.to_be_bytes())),
            ConfigAttribute::UNITY_DEFAULT_DOMAIN if self.domain.len > 0 => put(self.domain.octets()),
            ConfigAttribute::UNITY_BANNER if self.banner.len > 0 => put(self.banner.octets()),
            ConfigAttribute::UNITY_SPLIT_INCLUDE => {
                // Each network is an attribute of its own, as racoon sends them.
                self.split_include.iter().flatten().try_for_each(|network| {
                    let (address, mask) = (network.address.octets(), network.mask.octets());
                    let mut octets = [0; UNITY_NETWORK];
                    let values = address.iter().chain(&mask);
                    octets.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
                    put(&octets)
                })
            }
            _ => Ok(()),
        }
    }
}

/// Puts a value into the first free place, if there is one.
fn add<T, const N: usize>(list: &mut [Option<T>; N], value: Option<T>) {
    if let Some(slot) = list.iter_mut().find(|slot| slot.is_none()) {
        *slot = value;
    }
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Acts on LOAD-BALANCE of a server of Cisco, before IPsec SAs are negotiated: its data is the IPv4 address of
    /// another server, with which the requests that wait begin phase 1, on port 500.
    pub(super) fn take_load_balance(&mut self, sa_id: SlotId, notification: &Notification<'_>) {
        let Ok(sa) = self.isakmp_sa_mut(sa_id) else { return };
        let address = <[u8; 4]>::try_from(notification.data).map(Ipv4Addr::from);
        let is_client = matches!(sa.access, Access::AwaitsLogin | Access::RequestsConfig | Access::AwaitsConfig);
        let Some(address) = address.ok().filter(|address| is_client && !address.is_unspecified()) else {
            return self.counters.count(Counter::Transaction);
        };
        sa.path.local.set_port(IKE_PORT);
        sa.path.remote = SocketAddr::from((address, IKE_PORT));
        let (peer, path) = (sa.peer, sa.path);
        sa.end(Gone::Redirected);
        let wanted = self.pairs.values_mut().filter(|pair| pair.peer == peer && pair.stage == Negotiation::Wanted);
        wanted.for_each(|pair| pair.path = path);
        self.end_orphans();
        self.has_wanted = true;
        self.touch();
    }

    /// Returns the configuration of this host that a server has sent. Quick mode may begin when it is fetched.
    pub(super) fn next_lease(&mut self) -> Option<Event> {
        let index = self.exchanges.position(|exchange| !exchange.state.spans.attributes.is_empty())?;
        let (state, mut scratch) = self.exchanges.get_mut(index)?.parts();
        let span = core::mem::replace(&mut state.spans.attributes, Span::NONE);
        let attributes = Attributes::parse(scratch.get(span)).ok()?;
        let config = ClientConfig::read(&attributes);
        scratch.remove(span);
        let (peer, id, role) = (state.peer, state.isakmp?, state.role);
        if role == Role::Initiator {
            self.exchanges.clear(index);
        }
        if let Ok(sa) = self.isakmp_sa_mut(id) {
            sa.access = if sa.access == Access::HasConfig { Access::Open } else { sa.access };
        }
        self.has_wanted = true;
        Some(Event::Leased { peer, sa: IsakmpSaId(id), config })
    }
}

/// Client: requests the configuration.
pub(crate) fn begin_request(step: &mut Step<'_>) -> Result<(), Stop> {
    let (chain, id) = (step.first_chain()?, identifier(step.state.message_id));
    let of_unity = if step.sa.quirks.unity { &REQUESTED_OF_UNITY[..] } else { &[] };
    step.send(&chain, ConfigKind::REQUEST, id, &mut |list| {
        REQUESTED.iter().chain(of_unity).try_for_each(|attribute| list.variable(attribute.0, &[]))
    })?;
    step.state.stage = Stage::ConfigAwaitsReply;
    Ok(())
}

/// Client: takes the answer to its request. The exchange keeps it until the caller has fetched it.
pub(crate) fn take_reply(step: &mut Step<'_>, config: &Config<'_>) -> Result<Outcome, Stop> {
    if ClientConfig::read(&config.attributes).address.is_none() {
        step.sa.access = Access::Denied(Denied::NoAddress);
        return Ok(Outcome::Ended);
    }
    step.state.spans.attributes = step.scratch.store(config.attributes.bytes())?;
    step.state.stage = Stage::Answers;
    step.sa.access = Access::HasConfig;
    Ok(Outcome::Ended)
}

/// Server: answers with the values of the attributes that the client has requested.
pub(crate) fn answer(step: &mut Step<'_>, config: &Config<'_>, next: NextIv) -> Result<Outcome, Stop> {
    let address = ClientConfig::read(&config.attributes).address;
    let request = ConfigRequest { sa: IsakmpSaId(step.sa.id), address };
    let lease = answered(step.host.lease(step.state.peer, &request))?.unwrap_or_default();
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(next);
    step.send(&chain, ConfigKind::REPLY, config.identifier, &mut |list| {
        let requested = |attribute: &&ConfigAttribute| config.attributes.find(attribute.0).is_some();
        let all = REQUESTED.iter().chain(&REQUESTED_OF_UNITY).filter(requested);
        all.copied().try_for_each(|attribute| lease.write(attribute, list))
    })?;
    step.state.stage = Stage::Answers;
    Ok(Outcome::Sent)
}

/// Server: sets the configuration of the client.
pub(crate) fn begin_set(step: &mut Step<'_>) -> Result<(), Stop> {
    let request = ConfigRequest { sa: IsakmpSaId(step.sa.id), address: None };
    let lease = answered(step.host.lease(step.state.peer, &request))?.ok_or(Refusal::NoAddress)?;
    let (chain, id) = (step.first_chain()?, identifier(step.state.message_id));
    let of_unity = if step.sa.quirks.unity { &REQUESTED_OF_UNITY[..] } else { &[] };
    step.send(&chain, ConfigKind::SET, id, &mut |list| {
        REQUESTED.iter().chain(of_unity).try_for_each(|attribute| lease.write(*attribute, list))
    })?;
    step.state.stage = Stage::ConfigAwaitsAck;
    Ok(())
}

/// Client: takes what the server sets, and acknowledges it by empty attributes.
pub(crate) fn take_set(step: &mut Step<'_>, config: &Config<'_>, next: NextIv) -> Result<Outcome, Stop> {
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(next);
    let attributes = step.scratch.store(config.attributes.bytes())?;
    step.send(&chain, ConfigKind::ACK, config.identifier, &mut |list| {
        config.attributes.iter().try_for_each(|attribute| list.variable(attribute.kind, &[]))
    })?;
    step.state.stage = Stage::Answers;
    if !attributes.is_empty() {
        step.state.spans.attributes = attributes;
        step.sa.access = Access::HasConfig;
    }
    Ok(Outcome::Sent)
}
