//! Mode Config (draft-dukes-ike-mode-cfg-02): a server assigns addresses and networks to a client, which requests them
//! (pull), or which the server sets (push).
//!
//! ```text
//! pull   client   REQUEST(types)    -->   <--   REPLY(values)   server
//! push   server   SET(values)       -->   <--   ACK(types)      client
//! ```

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ike_codec::{Attributes, Config, ConfigAttribute, ConfigKind, Notification};

use super::counters::Counter;
use super::event::{Event, Gone, IsakmpSaId, SlotId};
use super::ipsec_sa::Negotiation;
use super::scratch::Span;
use super::stage::Stage;
use super::suspend::{Stop, answered};
use super::transaction::{Outcome, Step, identifier};
use super::xauth::{Access, Denied};
use super::{ClientConfig, Negotiator, Refusal, Role};
use crate::{IvChain, NextIv};

/// Role of this host in the configuration of clients.
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

/// Request of a client for its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigRequest {
    /// ISAKMP SA of the client.
    pub sa: IsakmpSaId,
    /// Address that the client requests, probably one that was assigned to it before.
    pub address: Option<Ipv4Addr>,
    /// IPv6 address that the client would like to have.
    pub address_v6: Option<Ipv6Addr>,
}

/// Attributes of a request. Those of Unity are for servers with its vendor ID.
const REQUESTED: [ConfigAttribute; 9] = [
    ConfigAttribute::IP4_ADDRESS,
    ConfigAttribute::IP4_NETMASK,
    ConfigAttribute::IP4_DNS,
    ConfigAttribute::IP4_NBNS,
    ConfigAttribute::ADDRESS_EXPIRY,
    ConfigAttribute::IP6_ADDRESS,
    ConfigAttribute::IP6_NETMASK,
    ConfigAttribute::IP6_DNS,
    ConfigAttribute::IP6_SUBNET,
];
const REQUESTED_OF_UNITY: [ConfigAttribute; 5] = [
    ConfigAttribute::UNITY_BANNER,
    ConfigAttribute::UNITY_DEFAULT_DOMAIN,
    ConfigAttribute::UNITY_SPLIT_DNS,
    ConfigAttribute::UNITY_SPLIT_INCLUDE,
    ConfigAttribute::UNITY_LOCAL_LAN,
];

/// UDP port of IKE (RFC 2408 section 2.5.1).
const IKE_PORT: u16 = 500;

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Processes LOAD-BALANCE of a server of Cisco, before IPsec SAs are negotiated: its data is the IPv4 address of
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

/// Requests the configuration as client.
pub(crate) fn begin_request(step: &mut Step<'_>) -> Result<(), Stop> {
    let (chain, id) = (step.first_chain()?, identifier(step.state.message_id));
    let of_unity = if step.sa.quirks.unity { &REQUESTED_OF_UNITY[..] } else { &[] };
    step.send(&chain, ConfigKind::REQUEST, id, &mut |list| {
        REQUESTED.iter().chain(of_unity).try_for_each(|attribute| list.variable(attribute.0, &[]))
    })?;
    step.state.stage = Stage::ConfigAwaitsReply;
    Ok(())
}

/// Processes the answer to the request of this client. The exchange keeps it until the caller has fetched it.
pub(crate) fn take_reply(step: &mut Step<'_>, config: &Config<'_>) -> Result<Outcome, Stop> {
    let ClientConfig { address, address_v6, .. } = ClientConfig::read(&config.attributes);
    if address.is_none() && address_v6.is_none() {
        step.sa.access = Access::Denied(Denied::NoAddress);
        return Ok(Outcome::Ended);
    }
    step.state.spans.attributes = step.scratch.store(config.attributes.bytes())?;
    step.state.stage = Stage::Answers;
    step.sa.access = Access::HasConfig;
    Ok(Outcome::Ended)
}

/// Answers as server with the values of the attributes that the client has requested.
pub(crate) fn answer(step: &mut Step<'_>, config: &Config<'_>, next: NextIv) -> Result<Outcome, Stop> {
    let ClientConfig { address, address_v6, .. } = ClientConfig::read(&config.attributes);
    let request = ConfigRequest { sa: IsakmpSaId(step.sa.id), address, address_v6 };
    let lease = answered(step.host.lease(step.state.peer, &request))?.unwrap_or_default();
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(next);
    step.send(&chain, ConfigKind::REPLY, config.identifier, &mut |list| {
        let requested = |attribute: &&ConfigAttribute| config.attributes.find(attribute.0).is_some();
        let all = REQUESTED.iter().chain(&REQUESTED_OF_UNITY).filter(requested);
        all.copied().try_for_each(|attribute| lease.write(attribute, list))
    })?;
    let is_requested = |attribute: ConfigAttribute| config.attributes.find(attribute.0).is_some();
    step.sa.lease.add(&ClientConfig {
        address: lease.address.filter(|_| is_requested(ConfigAttribute::IP4_ADDRESS)),
        address_v6: lease.address_v6.filter(|_| is_requested(ConfigAttribute::IP6_ADDRESS)),
        ..ClientConfig::default()
    });
    step.state.stage = Stage::Answers;
    Ok(Outcome::Sent)
}

/// Sets the configuration of the client as server.
pub(crate) fn begin_set(step: &mut Step<'_>) -> Result<(), Stop> {
    let request = ConfigRequest { sa: IsakmpSaId(step.sa.id), address: None, address_v6: None };
    let lease = answered(step.host.lease(step.state.peer, &request))?.ok_or(Refusal::NoAddress)?;
    let (chain, id) = (step.first_chain()?, identifier(step.state.message_id));
    let of_unity = if step.sa.quirks.unity { &REQUESTED_OF_UNITY[..] } else { &[] };
    step.send(&chain, ConfigKind::SET, id, &mut |list| {
        REQUESTED.iter().chain(of_unity).try_for_each(|attribute| lease.write(*attribute, list))
    })?;
    step.sa.lease.add(&lease);
    step.state.stage = Stage::ConfigAwaitsAck;
    Ok(())
}

/// Processes the attributes that the server sets, and acknowledges them with empty attributes.
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
