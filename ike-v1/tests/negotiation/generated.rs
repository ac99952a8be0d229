//! Policies that the host of a responder makes for the selectors of an initiator.

use std::net::IpAddr;
use std::time::Duration;

use ike_codec::{AuthMethod, IdKind, ProtocolId};
use ike_v1::{Counter, ModeConfig, PeerId, Refusal, Target};
use ipsec_crypto::IntegrityAlgorithm;
use ipsec_packet::{AddressRange, Selector, Upper};
use ipsec_sa::Mode;

use crate::bundles::ah;
use crate::endpoint::{Config, configs, network, paths};
use crate::wire::Link;
use crate::xauth::{ADDRESS, access, initiated};

const PULL: Option<(ModeConfig, ModeConfig)> = Some((ModeConfig::Request, ModeConfig::Answer));

/// Configurations of an initiator with the remote selector `own` at the responder, which has no policies.
fn with_selector([mut a, mut b]: [Config; 2], own: AddressRange, server: AddressRange) -> [Config; 2] {
    a.policy = Some(Selector { source: own, destination: server, upper: Upper::Any });
    (b.policy, b.generates) = (None, true);
    [a, b]
}

fn host(address: IpAddr) -> AddressRange {
    AddressRange::host(address)
}

fn established(link: &mut Link) {
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1, "{:?} {:?}", link.ends[1].failures, link.counts());
}

#[test]
fn policies_are_generated_for_the_selectors_of_an_initiator() {
    let [a, _] = paths().map(|path| path.local.ip());
    // A client of Mode Config, as vpnc: everything to the address that is assigned to it.
    let client = access(AuthMethod::XAUTH_INIT_PRE_SHARED, 0, PULL);
    let client = with_selector(client, host(ADDRESS.into()), AddressRange::ANY_V4);
    // A host without an assigned address, in both modes.
    let tunnel = with_selector(configs(), host(a), network(2));
    let mut transport = with_selector(configs(), host(a), host(paths()[0].remote.ip()));
    transport[0].mode = Mode::Transport;
    for (number, (configs, mode)) in
        [(client, Mode::Tunnel), (tunnel, Mode::Tunnel), (transport, Mode::Transport)].into_iter().enumerate()
    {
        let proposed = configs[0].policy.unwrap();
        let mut link = initiated(configs, 4100 + number as u64);
        established(&mut link);
        let [own] = &link.ends[1].host.generated[..] else { panic!("{number}: one policy is generated") };
        assert_eq!((own.selector.source, own.selector.destination), (proposed.destination, proposed.source));
        assert_eq!((own.protocol, own.mode), (ProtocolId::ESP, mode), "those of the first proposal");
        let (policy, selector) = (own.number, own.selector);
        let installed: Vec<_> = link.ends[1].inbound.values().map(|sa| (sa.selector, sa.mode)).collect();
        assert_eq!(installed, [(selector, mode)]);
        // New SAs of the same client are for the same policy.
        let now = link.now;
        link.ends[0].negotiator.delete(now, Target::All, &mut link.ends[0].host);
        link.run(Duration::from_secs(60));
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        established(&mut link);
        let made: Vec<_> = link.ends[1].host.generated.iter().map(|own| own.number).collect();
        assert_eq!(made, [policy], "{number}");
    }
}

/// The configuration of the client has no address at the responder, so that only its pair and its ISAKMP SA tell where
/// it is.
#[test]
fn the_responder_renews_the_pair_of_a_client() {
    let client = access(AuthMethod::XAUTH_INIT_PRE_SHARED, 0, PULL);
    let client = with_selector(client, host(ADDRESS.into()), AddressRange::ANY_V4);
    let mut link = initiated(client, 4150);
    established(&mut link);
    link.ends[1].host.is_passive = true;
    link.run(Duration::from_secs(60));
    let (now, old) = (link.now, link.ends[1].inbound.values().next().unwrap().sa);
    let end = &mut link.ends[1];
    let initiated = end.negotiator.initiate(now, PeerId(0), end.host.generated[0].number, &mut end.host);
    assert_eq!(initiated, Err(Refusal::Passive));
    end.host.drawn.clear();
    let renewed = end.negotiator.renew_pair(now, old, &mut end.host).unwrap();
    assert!(end.host.drawn.contains(&20) && !end.host.drawn.contains(&32), "the nonce: {:?}", end.host.drawn);
    assert_eq!(end.negotiator.renew_pair(now, old, &mut end.host), Ok(renewed), "the negotiation is in progress");
    established(&mut link);
    let now = link.now;
    let end = &mut link.ends[1];
    assert!(end.inbound.values().any(|sa| sa.sa == renewed), "{:?}", end.failures);
    let made: Vec<_> = end.host.generated.iter().map(|own| own.selector.destination).collect();
    assert_eq!(made, [host(ADDRESS.into())], "it is for the same policy");
    // Without an ISAKMP SA, the client has to begin.
    let isakmp = end.negotiator.sas().next().unwrap().id();
    end.negotiator.delete(now, Target::IsakmpSa(isakmp), &mut end.host);
    assert_eq!(end.negotiator.renew_pair(now, renewed, &mut end.host), Err(Refusal::Passive));
}

#[test]
fn selectors_outside_of_the_bounds_have_no_policy() {
    let [a, b] = paths().map(|path| path.local.ip());
    for (remote, local) in [
        (AddressRange::ANY_V4, network(2)),
        (network(1), network(2)),
        (AddressRange::prefix(a, 31).unwrap(), network(2)),
        (host(IpAddr::from([192, 0, 2, 2])), host(b)),
    ] {
        let mut link = initiated(with_selector(configs(), remote, local), 4200);
        link.run(Duration::from_secs(5));
        assert_eq!((link.agreed(), link.ends[1].last_reason()), (0, Some(Refusal::NoPolicy)), "{remote}");
        assert_eq!(link.ends[1].host.refused, [format!("{local} {remote}")]);
        let end = &link.ends[1];
        assert!(end.host.generated.is_empty() && end.host.reserved.is_empty() && end.inbound.is_empty());
        let reason = link.ends[0].last_reason();
        assert!(matches!(reason, Some(Refusal::PeerRefused(_))), "the initiator is notified: {reason:?}");
    }
}

#[test]
fn a_bundle_that_the_host_does_not_support_has_no_policy() {
    let [a, _] = paths().map(|path| path.local.ip());
    let mut configs = with_selector(configs(), host(a), network(2));
    let esp = configs[0].esp.clone();
    let ah = vec![ah(IntegrityAlgorithm::HmacSha1_96)];
    configs[0].bundle = vec![(ProtocolId::ESP, Mode::Tunnel, esp), (ProtocolId::AH, Mode::Transport, ah)];
    let mut link = initiated(configs, 4300);
    link.run(Duration::from_secs(5));
    assert_eq!((link.agreed(), link.ends[1].last_reason()), (0, Some(Refusal::NoPolicy)));
}

#[test]
fn the_selector_of_another_client_is_refused() {
    // The second client has the address of the first one, and another identity.
    let [a, _] = paths().map(|path| path.local.ip());
    let configs = with_selector(configs(), host(a), network(2));
    let mut second = configs[0].clone();
    second.local_identity = (IdKind::FQDN, b"another.example".to_vec());
    let mut link = initiated(configs, 4400);
    established(&mut link);
    let owner = link.ends[1].host.generated[0].owner;
    link.restart(0, second);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(15));
    assert_eq!(link.ends[1].last_reason(), Some(Refusal::SelectorTaken), "{:?}", link.ends[1].failures);
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::SelectorTaken), 1);
    let reason = link.ends[0].last_reason();
    assert!(matches!(reason, Some(Refusal::PeerRefused(_))), "the second client is notified: {reason:?}");
    let owners: Vec<_> = link.ends[1].host.generated.iter().map(|own| own.owner).collect();
    assert_eq!((owners, owner.0), (vec![owner], PeerId(0)), "the policy is that of the first client");
}
