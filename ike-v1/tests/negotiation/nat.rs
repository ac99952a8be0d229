//! NAT traversal (RFC 3947).

use std::net::IpAddr;
use std::time::Duration;

use ike_codec::{
    AuthMethod, Body, EncapsulationMode, ExchangeKind, IdKind, Identification, NatTraversal, NatTraversals, PayloadKind,
};
use ike_v1::{DeadPeerDetection, Path, Phase2Choice, Refusal, plaintext};
use ipsec_packet::{Marker, Ports, Selector, Upper};
use ipsec_sa::{Mode, UdpEncap};

use crate::endpoint::{Config, configs, paths};
use crate::quick;
use crate::signatures::signing;
use crate::spy::Spy;
use crate::wire::{Link, Nat};

const MODES: [ExchangeKind; 3] = [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE];

fn nat(last: u8, shift: u16) -> Nat {
    Nat { outer: IpAddr::from([203, 0, 113, last]), shift }
}

fn with_exchange(exchange: ExchangeKind) -> [Config; 2] {
    configs().map(|config| Config { exchanges: vec![exchange], ..config })
}

/// Negotiates with endpoint 0 as initiator behind a NAT.
fn negotiated(configs: [Config; 2], nat: Nat) -> Link {
    let mut link = Link::new(configs, 1).behind_nat(nat);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(15));
    link
}

/// Returns the UDP encapsulation of the only outbound and inbound SA of an endpoint.
fn encaps(link: &Link, side: usize) -> [Option<UdpEncap>; 2] {
    let one = |sas: &std::collections::BTreeMap<u32, crate::endpoint::Installed>| sas.values().next().unwrap().encap;
    [one(&link.ends[side].outbound), one(&link.ends[side].inbound)]
}

fn ports(source: u16, destination: u16) -> Option<UdpEncap> {
    Some(UdpEncap { ports: Ports { source, destination }, marker: Marker::NonEsp })
}

#[test]
fn nat_in_front_of_the_initiator_is_detected() {
    for mode in MODES {
        let link = negotiated(with_exchange(mode), nat(7, 10_000));
        assert_eq!(link.agreed(), 1, "{mode}: {:?}", link.counts());
        let (path, situation) = link.ends[0].last_nat.unwrap();
        assert_eq!(situation.document, Some(NatTraversal::Rfc3947));
        assert!(situation.detection.here && !situation.detection.there, "{mode}: {situation:?}");
        assert_eq!((path.local.port(), path.remote.port()), (4500, 4500));
        let (_, seen) = link.ends[1].last_nat.unwrap();
        assert!(!seen.detection.here && seen.detection.there, "{mode}: {seen:?}");
        assert_eq!(encaps(&link, 0), [ports(4500, 4500), ports(4500, 4500)]);
        assert_eq!(encaps(&link, 1), [ports(4500, 14_500), ports(14_500, 4500)]);
    }
}

/// Negotiates with a responder behind a NAT that forwards its ports unchanged.
fn negotiate_to_nat(link: &mut Link) {
    let outer = nat(9, 0);
    link.nats[1] = Some(outer);
    link.ends[0].host.path.remote.set_ip(outer.outer);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(15));
}

#[test]
fn nat_in_front_of_the_responder_is_detected() {
    for mode in MODES {
        let mut link = Link::new(with_exchange(mode), 2);
        negotiate_to_nat(&mut link);
        assert_eq!(link.agreed(), 1, "{mode}: {:?}", link.counts());
        let (_, situation) = link.ends[0].last_nat.unwrap();
        assert!(!situation.detection.here && situation.detection.there, "{mode}: {situation:?}");
        let (_, seen) = link.ends[1].last_nat.unwrap();
        assert!(seen.detection.here && !seen.detection.there, "{mode}: {seen:?}");
        assert_eq!(encaps(&link, 0), [ports(4500, 4500), ports(4500, 4500)]);
    }
}

#[test]
fn nat_in_front_of_both_peers_is_detected() {
    for mode in MODES {
        let mut link = Link::new(with_exchange(mode), 3).behind_nat(nat(7, 20_000));
        negotiate_to_nat(&mut link);
        assert_eq!(link.agreed(), 1, "{mode}: {:?}", link.counts());
        let (_, situation) = link.ends[1].last_nat.unwrap();
        assert!(situation.detection.here && situation.detection.there, "{mode}: {situation:?}");
    }
}

#[test]
fn forced_nat_traversal_uses_esp_in_udp() {
    for mode in MODES {
        for side in 0..2 {
            let mut configs = with_exchange(mode);
            configs[side].forces_nat_traversal = true;
            let mut link = Link::new(configs, 4);
            let now = link.now;
            link.ends[0].initiate(now).unwrap();
            link.run(Duration::from_secs(15));
            assert_eq!(link.agreed(), 1, "{mode}, forced by side {side}: {:?}", link.counts());
            assert_eq!(encaps(&link, 0), [ports(4500, 4500), ports(4500, 4500)]);
            assert_eq!(encaps(&link, 1), [ports(4500, 4500), ports(4500, 4500)]);
        }
    }
}

#[test]
fn port_500_is_used_without_a_nat() {
    let mut link = Link::new(configs(), 5);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(60));
    assert_eq!(link.agreed(), 1);
    assert_eq!(encaps(&link, 0), [None, None]);
    assert!(link.sent_on.iter().all(|path| (path.local.port(), path.remote.port()) == (500, 500)));
}

#[test]
fn a_peer_without_nat_traversal_is_sent_no_nat_d() {
    for side in 0..2 {
        let mut configs = configs();
        configs[side].nat_traversal = NatTraversals::NONE;
        let link = negotiated(configs, nat(7, 0));
        let (_, situation) = link.ends[0].last_nat.unwrap();
        assert_eq!(situation.document, None);
        assert_eq!(link.agreed(), 1, "{:?}", link.counts());
        assert_eq!(encaps(&link, 0), [None, None]);
    }
}

#[test]
fn nat_d_payloads_of_several_drafts_are_accepted() {
    use NatTraversal::{Draft00, Draft02, Draft02Newline, Draft03, Draft05, Rfc3947};
    for document in [Draft00, Draft02, Draft02Newline, Draft03, Draft05, Rfc3947] {
        let mut configs = configs();
        configs[1].nat_traversal = NatTraversals::NONE.with(document);
        configs[0].nat_traversal = NatTraversals::ALL;
        let link = negotiated(configs, nat(7, 1_000));
        assert_eq!(link.agreed(), 1, "{document:?}: {:?}", link.counts());
        let (path, situation) = link.ends[0].last_nat.unwrap();
        assert_eq!(situation.document, Some(document));
        let expected = if document.changes_port() { 4500 } else { 500 };
        assert_eq!(path.local.port(), expected, "{document:?}");
    }
}

#[test]
fn draft_00_stays_on_port_500() {
    let mut configs = configs();
    configs[1].nat_traversal = NatTraversals::NONE.with(NatTraversal::Draft00);
    configs[0].nat_traversal = NatTraversals::ALL;
    let link = negotiated(configs, nat(7, 1_000));
    assert!(link.sent_on.iter().all(|path| path.local.port() == 500));
    let expected = UdpEncap { ports: Ports { source: 500, destination: 500 }, marker: Marker::NonIke };
    assert_eq!(encaps(&link, 0)[0], Some(expected));
}

#[test]
fn nat_keepalives_are_sent_only_without_other_traffic() {
    let mut link = negotiated(configs(), nat(7, 1_000));
    let before = link.sent.len();
    link.run(Duration::from_secs(100));
    let sent: Vec<_> = link.sent[before..].iter().map(|(side, datagram)| (*side, datagram.clone())).collect();
    // Every 20 seconds, from behind the NAT only.
    assert_eq!(sent, vec![(0, vec![0xff]); 5]);
    // Without a NAT, and in front of it, there are none.
    let mut link = Link::new(configs(), 6);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(100));
    assert!(link.sent.iter().all(|(_, datagram)| datagram.len() > 1));
}

#[test]
fn sas_follow_the_new_port_of_a_rebooted_nat() {
    let mut link = negotiated(configs(), nat(7, 1_000));
    link.nats[0] = Some(nat(8, 3_000));
    let now = link.now;
    // The former address of the initiator is no longer valid; one of its messages shows the new one.
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(15));
    let end = &link.ends[1];
    let [(from, to)] = end.moves[..] else { panic!("{:?}", end.moves) };
    assert_eq!((from.remote, to.remote), ("203.0.113.7:5500".parse().unwrap(), "203.0.113.8:7500".parse().unwrap()));
    assert_eq!(from.local, to.local);
}

#[test]
fn only_authentic_messages_change_the_port_of_a_peer() {
    let mut link = negotiated(configs(), nat(7, 1_000));
    let before = link.sent.len();
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.collect();
    let mut forged = link.sent[before].1.clone();
    *forged.last_mut().unwrap() ^= 1;
    let local = paths()[1].local;
    let from = Path { local: (local.ip(), 4500).into(), remote: "198.18.0.1:4500".parse().unwrap() };
    link.ends[1].receive_on(from, now, forged);
    link.run(Duration::from_secs(15));
    assert!(link.ends[1].moves.is_empty());
    assert_eq!((link.agreed(), link.ends[1].inbound.len()), (1, 2));
}

#[test]
fn a_host_behind_a_nat_does_not_follow_address_changes_of_its_peer() {
    let mut link = negotiated(configs(), nat(7, 1_000));
    let before = link.sent.len();
    let now = link.now;
    link.ends[1].initiate(now).unwrap();
    link.collect();
    let authentic = link.sent[before].1.clone();
    let local = paths()[0].local;
    let from = Path { local: (local.ip(), 4500).into(), remote: "198.18.0.1:4500".parse().unwrap() };
    link.ends[0].receive_on(from, now, authentic);
    link.run(Duration::from_secs(15));
    assert!(link.ends[0].moves.is_empty());
}

#[test]
fn address_changes_reported_by_the_engine_apply_to_the_negotiator() {
    let mut link = negotiated(configs(), nat(7, 1_000));
    let sa = link.ends[1].outbound.values().next().unwrap().sa;
    let (path, _) = link.ends[1].last_nat.unwrap();
    let to = Path { remote: "203.0.113.7:60000".parse().unwrap(), ..path };
    link.ends[1].negotiator.moved(sa, to);
    link.collect();
    assert_eq!(link.ends[1].moves, [(path, to)]);
}

/// Returns a link with SAs in transport mode between endpoint 0 behind a NAT and endpoint 1.
fn transport() -> (Link, Spy) {
    let host = |address: IpAddr| ipsec_packet::AddressRange::host(address);
    let [path_a, path_b] = paths();
    let outer = nat(7, 1_000);
    let selector =
        |source, destination| Selector { source: host(source), destination: host(destination), upper: Upper::Any };
    let [mut a, mut b] = configs();
    for config in [&mut a, &mut b] {
        config.mode = Mode::Transport;
    }
    a.policy = Some(selector(path_a.local.ip(), path_a.remote.ip()));
    b.policy = Some(selector(path_b.local.ip(), outer.outer));
    let link = negotiated([a, b], outer);
    assert_eq!(link.agreed(), 1, "{:?} {:?}", link.ends[1].failures, link.counts());
    // The marker of the port for NAT traversal is not part of a message.
    let messages: Vec<_> = link.sent.iter().map(|(side, datagram)| (*side, without_marker(datagram))).collect();
    let spy = Spy::of(&messages[..6], &link.ends[0].host.first_shared);
    (link, spy)
}

fn without_marker(datagram: &[u8]) -> Vec<u8> {
    datagram.strip_prefix(&[0; 4]).unwrap_or(datagram).to_vec()
}

/// Sends message 1 of quick mode to endpoint 1 through the NAT.
fn ask(link: &mut Link, spy: &Spy, message_id: u32, offer: &Phase2Choice, ids: &[Identification<'_>]) {
    ask_for_one_of(link, spy, message_id, core::slice::from_ref(offer), ids);
}

fn ask_for_one_of(link: &mut Link, spy: &Spy, message_id: u32, offers: &[Phase2Choice], ids: &[Identification<'_>]) {
    let message = spy.message((ExchangeKind::QUICK, message_id), &spy.chain(message_id, []), |writer| {
        quick::write_transforms(writer, offers)?;
        writer.bytes(PayloadKind::NONCE, &[7; 16])?;
        quick::write_ids(writer, ids)
    });
    let (path, _) = link.ends[1].last_nat.unwrap();
    let now = link.now;
    link.ends[1].receive_on(path, now, [&[0; 4], &message[..]].concat());
    link.collect();
}

fn udp_transport(mode: EncapsulationMode) -> Phase2Choice {
    let mut choice = configs()[0].esp[0];
    choice.encapsulation = Some(mode);
    choice
}

#[test]
fn nat_oa_payloads_contain_the_original_addresses_in_transport_mode() {
    let (link, spy) = transport();
    let destination = link.ends[1].outbound.values().next().unwrap().selector.destination;
    assert_eq!(destination, ipsec_packet::AddressRange::host(nat(7, 0).outer));
    // Both addresses, as each peer sees them.
    let originals = |index: usize| -> Vec<IpAddr> {
        let message = without_marker(&link.sent[index].1);
        let opened = spy.open(0, &[&message]);
        let chain = plaintext(&opened).unwrap();
        let addresses = chain.payloads().filter_map(|payload| match payload.view() {
            Body::NatOriginalAddress(original) => original.address(),
            _ => None,
        });
        addresses.collect()
    };
    let [path_a, path_b] = paths();
    assert_eq!(originals(6), [path_a.local.ip(), path_a.remote.ip()]);
    assert_eq!(originals(7), [nat(7, 0).outer, path_b.local.ip()]);
}

#[test]
fn fqdn_client_identity_behind_a_nat_is_replaced_by_the_address() {
    // Windows renews SAs in transport mode with its name as client identity.
    let (mut link, spy) = transport();
    let [_, path_b] = paths();
    let IpAddr::V4(own) = path_b.local.ip() else { panic!() };
    let name = Identification { kind: IdKind::FQDN, protocol: 17, port: 1701, data: b"client.example" };
    let address = Identification { kind: IdKind::IPV4, protocol: 17, port: 1701, data: &own.octets() };
    let before = link.ends[1].inbound.len();
    ask(&mut link, &spy, 91, &udp_transport(EncapsulationMode::UDP_TRANSPORT), &[name, address]);
    assert_eq!(link.ends[1].inbound.len(), before + 1, "{:?}", link.ends[1].failures);
    let selector = link.ends[1].inbound.values().map(|sa| sa.selector).find(|selector| selector.upper != Upper::Any);
    assert_eq!(selector.unwrap().destination, ipsec_packet::AddressRange::host(nat(7, 0).outer));
    // In tunnel mode a name is not a client identity.
    ask(&mut link, &spy, 92, &udp_transport(EncapsulationMode::UDP_TUNNEL), &[name, address]);
    assert_eq!(link.ends[1].last_reason(), Some(Refusal::Selectors));
}

#[test]
fn encapsulation_modes_of_another_nat_traversal_document_are_accepted() {
    let (mut link, spy) = transport();
    let before = link.ends[1].inbound.len();
    ask(&mut link, &spy, 93, &udp_transport(EncapsulationMode::UDP_TRANSPORT_DRAFT), &client_ids());
    assert_eq!(link.ends[1].inbound.len(), before + 1, "{:?}", link.ends[1].failures);
    // Behind a NAT ESP is sent in UDP.
    let [private, own] = client_ids();
    let outer = Identification { data: &[203, 0, 113, 7], ..private };
    ask(&mut link, &spy, 94, &udp_transport(EncapsulationMode::TRANSPORT), &[outer, own]);
    assert!(matches!(link.ends[1].last_reason(), Some(Refusal::NoProposal(_))), "{:?}", link.ends[1].failures);
    assert_eq!(link.ends[1].inbound.len(), before + 1);
}

/// Returns the client identities of endpoint 0 in transport mode: its private address, and that of endpoint 1.
fn client_ids() -> [Identification<'static>; 2] {
    let id = |data| Identification { kind: IdKind::IPV4, protocol: 0, port: 0, data };
    [id(&[192, 0, 2, 1]), id(&[198, 51, 100, 1])]
}

#[test]
fn a_second_client_behind_one_nat_with_the_same_selectors_is_refused() {
    // Another client behind the NAT has another identity, and proposes the same selectors: packets to it and to the
    // first one could not be distinguished.
    let (mut link, _) = transport();
    let [mut config, _] = [link.ends[0].host.config.clone(), link.ends[1].host.config.clone()];
    config.local_identity = (IdKind::FQDN, b"another.example".to_vec());
    link.restart(0, config);
    link.nats[0] = Some(nat(7, 2_000));
    let (now, before) = (link.now, link.sent.len());
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(15));
    assert_eq!(link.ends[1].last_reason(), Some(Refusal::SelectorTaken), "{:?}", link.ends[1].failures);
    // Its first transform is for a tunnel, and its client identities are the addresses of the path.
    let messages: Vec<_> = link.sent[before..].iter().map(|(side, message)| (*side, without_marker(message))).collect();
    let spy = Spy::of(&messages[..6], &link.ends[0].host.first_shared);
    let [private, own] = client_ids();
    let outer = Identification { data: &[203, 0, 113, 7], ..private };
    let offers = [EncapsulationMode::UDP_TUNNEL, EncapsulationMode::UDP_TRANSPORT].map(udp_transport);
    link.ends[1].failures.clear();
    ask_for_one_of(&mut link, &spy, 95, &offers, &[outer, own]);
    assert_eq!(link.ends[1].last_reason(), Some(Refusal::SelectorTaken), "{:?}", link.ends[1].failures);
}

#[test]
fn draft_02_with_newline_is_negotiated_alone() {
    let mut configs = configs();
    configs[1].nat_traversal = NatTraversals::NONE.with(NatTraversal::Draft02Newline);
    let link = negotiated(configs, nat(7, 1_000));
    assert_eq!(link.agreed(), 1);
    assert_eq!(link.ends[0].last_nat.unwrap().1.document, Some(NatTraversal::Draft02Newline));
}

#[test]
fn a_copied_message_does_not_change_the_address_of_an_sa_without_a_nat() {
    for (mode, number) in [(ExchangeKind::MAIN, 5), (ExchangeKind::AGGRESSIVE, 3)] {
        let mut link = Link::new(with_exchange(mode), 31);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        while link.sent.len() < number {
            assert!(link.step(now + Duration::from_secs(1)));
        }
        let (now, copy) = (link.now, link.sent[number - 1].1.clone());
        let from = Path { remote: "198.18.0.1:500".parse().unwrap(), ..paths()[1] };
        link.ends[1].host.accepts_every_address = true;
        link.ends[1].receive_on(from, now, copy);
        link.ends[1].poll(now);
        assert_eq!(link.ends[1].phase_1_up, 0, "{mode}: {:?}", link.counts());
        link.run(Duration::from_secs(15));
        assert_eq!(link.agreed(), 1, "{mode}");
        assert_eq!(link.ends[1].last_nat.unwrap().0, paths()[1]);
    }
}

#[test]
fn a_recorded_dpd_query_does_not_change_the_address_of_an_sa() {
    // Of dead peer detection: its message ID is forgotten after sixteen others.
    let mut configs = configs();
    configs[0].dead_peer_detection = Some(DeadPeerDetection::after(Duration::from_secs(1)));
    let mut link = negotiated(configs, nat(7, 1_000));
    let before = link.sent.len();
    for _ in 0..40 {
        let now = link.now;
        let sas: Vec<_> = link.ends[0].outbound.values().map(|installed| installed.sa).collect();
        sas.iter().for_each(|sa| link.ends[0].negotiator.sent_in(now, *sa));
        link.run(Duration::from_secs(3));
    }
    let queries: Vec<_> =
        link.sent[before..].iter().filter(|(side, datagram)| *side == 0 && datagram.len() > 1).collect();
    assert!(queries.len() > 20, "{}", queries.len());
    let (recorded, local) = (queries[0].1.clone(), paths()[1].local);
    let from = Path { local: (local.ip(), 4500).into(), remote: "198.18.0.1:4500".parse().unwrap() };
    let now = link.now;
    link.ends[1].receive_on(from, now, recorded);
    link.ends[1].poll(now);
    assert!(link.ends[1].moves.is_empty());
}

#[test]
fn nat_is_detected_if_the_host_answers_later() {
    for mode in MODES {
        let mut link = Link::new(signing(mode, AuthMethod::RSA_SIGNATURE), 32).behind_nat(nat(7, 1_000));
        for end in &mut link.ends {
            end.host.later.questions = Some(|_| true);
            end.host.later.delay = Duration::from_millis(300);
        }
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(30));
        assert_eq!(link.agreed(), 1, "{mode}: {:?}", link.counts());
        let (_, seen) = link.ends[1].last_nat.unwrap();
        assert!(!seen.detection.here && seen.detection.there, "{mode}: {seen:?}");
    }
}
