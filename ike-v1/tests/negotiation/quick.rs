//! Messages of quick mode as other implementations write them, and the reaction of the peer.

use std::time::Duration;

use ike_codec::{
    BodyWriter, Doi, ExchangeKind, Group, Header, IdKind, Identification, Lifetimes, MessageWriter, NoSpace,
    Notification, NotifyKind, Payload, PayloadKind, ProposalHead, ProtocolId, TransformHead,
};
use ike_v1::{Counter, Gone, Phase2Choice, Refusal, plaintext};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, Selector, Upper};
use ipsec_sa::Mode;

use crate::endpoint::{Config, configs, esp, paths, seconds};
use crate::spy::Spy;
use crate::wire::Link;

pub type Written = Result<(), NoSpace>;

/// SPI of the inbound SA of a peer that exists in these messages only.
const SPI: [u8; 4] = [1, 2, 3, 4];

fn agreed(configs: [Config; 2]) -> (Link, Spy) {
    let mut link = Link::new(configs, 1100);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1, "{:?}", link.counts());
    let spy = Spy::new(&link);
    (link, spy)
}

fn id(kind: IdKind, data: &[u8]) -> Identification<'_> {
    Identification { kind, protocol: 0, port: 0, data }
}

/// Client identities of the networks of both endpoints.
const NETWORKS: [[u8; 8]; 2] = [[192, 168, 1, 0, 255, 255, 255, 0], [192, 168, 2, 0, 255, 255, 255, 0]];

pub fn write_sa(writer: &mut MessageWriter<'_>, offer: &Phase2Choice) -> Written {
    write_transforms(writer, core::slice::from_ref(offer))
}

/// Writes an SA payload with one proposal of these transforms.
pub fn write_transforms(writer: &mut MessageWriter<'_>, offers: &[Phase2Choice]) -> Written {
    let protocol = offers[0].protocol;
    writer
        .sa(|sa| {
            sa.proposal(&ProposalHead::new(1, protocol, &SPI), |proposal| {
                (1..).zip(offers).try_for_each(|(number, offer)| {
                    let head = TransformHead::new(number, offer.transform_id().unwrap());
                    proposal.transform(&head, |list| offer.write(list)).map(drop)
                })
            })
        })
        .map(drop)
}

pub fn write_ids(writer: &mut MessageWriter<'_>, ids: &[Identification<'_>]) -> Written {
    let mut ids = ids.iter();
    ids.try_for_each(|id| writer.payload(PayloadKind::ID, |body: &mut BodyWriter<'_>| id.write(body)).map(drop))
}

/// Sends message 1 of a quick mode to side 1, and returns it.
fn ask(
    link: &mut Link,
    spy: &Spy,
    message_id: u32,
    payloads: impl FnOnce(&mut MessageWriter<'_>) -> Written,
) -> Vec<u8> {
    let message = spy.message((ExchangeKind::QUICK, message_id), &spy.chain(message_id, []), payloads);
    link.inject(1, message.clone());
    message
}

/// Sends message 1 with an offer, a nonce and client identities.
fn ask_for(link: &mut Link, spy: &Spy, message_id: u32, offer: &Phase2Choice, ids: &[Identification<'_>]) -> Vec<u8> {
    ask(link, spy, message_id, |writer| {
        write_sa(writer, offer)?;
        writer.bytes(PayloadKind::NONCE, &[7; 16])?;
        write_ids(writer, ids)
    })
}

/// Negotiates up to message 2 of quick mode, and sends another message 2 instead: `write` writes each of its
/// payloads, which are numbered from 0.
fn answered(configs: [Config; 2], write: impl Fn(usize, &Payload<'_>, &mut MessageWriter<'_>) -> Written) -> Link {
    let mut link = Link::new(configs, 1101);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(7);
    while link.sent.len() < 8 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    let spy = Spy::new(&link);
    let (first, second) = (&link.sent[6].1, &link.sent[7].1);
    let message_id = Header::parse(first).unwrap().0.message_id;
    let question = spy.open(message_id, &[first]);
    let ni = plaintext(&question).unwrap().payloads().find(|payload| payload.kind == PayloadKind::NONCE).unwrap();
    let chain = spy.chain(message_id, []);
    let opened = spy.open(message_id, &[second]);
    let payloads = |writer: &mut MessageWriter<'_>| {
        let answer = plaintext(&opened).unwrap();
        let mut payloads = answer.payloads().skip(1).enumerate();
        payloads.try_for_each(|(number, payload)| write(number, &payload, writer))
    };
    let hash = |rest: &[u8]| spy.keys.hash_2(message_id, ni.body, rest);
    let message = spy.message_with(ExchangeKind::QUICK, message_id, &chain, payloads, hash);
    link.inject(0, message);
    link
}

/// Positions of the client identities in message 2.
const IDS: [usize; 2] = [2, 3];

/// Sends message 2 with other client identities.
fn answered_with(ids: &[Identification<'_>; 2]) -> Link {
    answered(configs(), |number, payload, writer| match IDS.iter().position(|at| *at == number) {
        Some(which) => write_ids(writer, &ids[which..=which]),
        None => writer.copy(payload).map(drop),
    })
}

#[test]
fn quick_mode_without_client_identities_uses_the_peer_addresses() {
    let hosts = configs().map(|config| config.policy.unwrap());
    let mut configs = configs();
    for ((config, policy), path) in configs.iter_mut().zip(hosts).zip(paths()) {
        let (source, destination) = (AddressRange::host(path.local.ip()), AddressRange::host(path.remote.ip()));
        config.policy = Some(Selector { source, destination, ..policy });
        config.mode = Mode::Transport;
    }
    let mut offer = configs[0].esp[0];
    offer.encapsulation = Some(ike_codec::EncapsulationMode::TRANSPORT);
    let policy = configs[1].policy;
    let (mut link, spy) = agreed(configs);
    let before = link.sent.len();
    let question = ask_for(&mut link, &spy, 9, &offer, &[]);
    assert_eq!(link.ends[1].inbound.len(), 2, "{:?}", link.ends[1].failures);
    assert!(link.ends[1].inbound.values().all(|installed| Some(installed.selector) == policy));
    let opened = spy.open(9, &[&question, &link.sent[before].1]);
    let kinds: Vec<_> = plaintext(&opened).unwrap().payloads().map(|payload| payload.kind).collect();
    assert_eq!(kinds, [PayloadKind::HASH, PayloadKind::SA, PayloadKind::NONCE]);
}

#[test]
fn host_and_32_bit_prefix_identities_are_equal() {
    let hosts = [AddressRange::host([192, 168, 1, 7].into()), AddressRange::host([192, 168, 2, 7].into())];
    let [mut a, mut b] = configs();
    a.policy = Some(Selector { source: hosts[0], destination: hosts[1], upper: Upper::Any });
    b.policy = Some(Selector { source: hosts[1], destination: hosts[0], upper: Upper::Any });
    let (own, theirs): ([u8; 8], [u8; 8]) =
        ([192, 168, 1, 7, 255, 255, 255, 255], [192, 168, 2, 7, 255, 255, 255, 255]);
    let ids = [id(IdKind::IPV4_SUBNET, &own), id(IdKind::IPV4, &theirs[..4])];
    let (mut link, spy) = agreed([a.clone(), b.clone()]);
    let before = link.sent.len();
    let question = ask_for(&mut link, &spy, 9, &a.esp[0], &ids);
    assert_eq!(link.ends[1].inbound.len(), 2, "{:?}", link.ends[1].failures);
    // The identities are echoed as they were received.
    let opened = spy.open(9, &[&question, &link.sent[before].1]);
    let answer = plaintext(&opened).unwrap();
    let bodies: Vec<_> = answer.payloads().filter(|payload| payload.kind == PayloadKind::ID).collect();
    assert_eq!(bodies[0].body, [&[4, 0, 0, 0][..], &own].concat());
    assert_eq!(bodies[1].body, [&[1, 0, 0, 0][..], &theirs[..4]].concat());
    // The initiator has sent addresses, and its peer answers with a subnet.
    let link = answered([a, b], |number, payload, writer| match number {
        2 => write_ids(writer, &[id(IdKind::IPV4_SUBNET, &own)]),
        _ => writer.copy(payload).map(drop),
    });
    assert_eq!(link.ends[0].inbound.len(), 1, "{:?}", link.ends[0].failures);
}

#[test]
fn swapped_client_identities_are_refused() {
    let [first, second] = NETWORKS.each_ref().map(|network| id(IdKind::IPV4_SUBNET, network));
    let (mut link, spy) = agreed(configs());
    ask_for(&mut link, &spy, 9, &configs()[0].esp[0], &[second, first]);
    assert_eq!((link.ends[1].last_reason(), link.ends[1].inbound.len()), (Some(Refusal::NoPolicy), 1));
    let link = answered_with(&[second, first]);
    assert_eq!(link.ends[0].negotiator.counters().get(Counter::Selectors), 1);
    assert!(link.ends[0].inbound.is_empty());
    let link = answered_with(&[first, second]);
    assert_eq!(link.ends[0].inbound.len(), 1, "the identities that were sent are accepted");
}

#[test]
fn fqdn_as_client_identity_of_the_responder_is_refused() {
    let (first, name) = (id(IdKind::IPV4_SUBNET, &NETWORKS[0]), id(IdKind::FQDN, b"example"));
    let (mut link, spy) = agreed(configs());
    ask_for(&mut link, &spy, 9, &configs()[0].esp[0], &[first, name]);
    assert_eq!((link.ends[1].last_reason(), link.ends[1].inbound.len()), (Some(Refusal::Selectors), 1));
    let link = answered_with(&[first, name]);
    assert_eq!(link.ends[0].negotiator.counters().get(Counter::Selectors), 1);
    assert!(link.ends[0].inbound.is_empty());
}

#[test]
fn client_identities_wider_than_the_policy_are_refused() {
    let (mut link, spy) = agreed(configs());
    let second = id(IdKind::IPV4_SUBNET, &NETWORKS[1]);
    for (message_id, wider) in (9..).zip([[192, 168, 0, 0, 255, 255, 254, 0], [0; 8]]) {
        let before = link.sent.len();
        ask_for(&mut link, &spy, message_id, &configs()[0].esp[0], &[id(IdKind::IPV4_SUBNET, &wider), second]);
        assert_eq!((link.ends[1].last_reason(), link.ends[1].inbound.len()), (Some(Refusal::NoPolicy), 1));
        assert_eq!(link.sent.len() - before, 1, "the initiator is notified");
    }
}

#[test]
fn client_identities_narrower_than_the_policy_are_accepted() {
    let (mut link, spy) = agreed(configs());
    let (inside, host) = ([192, 168, 1, 64, 255, 255, 255, 192], [192, 168, 2, 9]);
    let ids = [id(IdKind::IPV4_SUBNET, &inside), Identification { protocol: 6, ..id(IdKind::IPV4, &host) }];
    let ids = ids.map(|id| Identification { protocol: 6, ..id });
    let known: Vec<u32> = link.ends[1].inbound.keys().copied().collect();
    ask_for(&mut link, &spy, 9, &configs()[0].esp[0], &ids);
    let new = link.ends[1].inbound.iter().find(|(spi, _)| !known.contains(spi)).expect("the offer is accepted").1;
    let expected = Selector {
        source: AddressRange::host(host.into()),
        destination: AddressRange::prefix([192, 168, 1, 64].into(), 26).unwrap(),
        upper: Upper::Protocol(ipsec_packet::IpProto::TCP),
    };
    assert_eq!(new.selector, expected, "the SA is as narrow as its client identities");
}

#[test]
fn an_address_range_identity_equals_its_prefix() {
    let range = [192, 168, 1, 0, 192, 168, 1, 255];
    let ids = [id(IdKind::IPV4_RANGE, &range), id(IdKind::IPV4_SUBNET, &NETWORKS[1])];
    let (mut link, spy) = agreed(configs());
    ask_for(&mut link, &spy, 9, &configs()[0].esp[0], &ids);
    let selectors: Vec<_> = link.ends[1].inbound.values().map(|installed| installed.selector).collect();
    assert_eq!(selectors.len(), 2, "{:?}", link.ends[1].failures);
    assert_eq!(selectors[0], selectors[1]);
    assert_eq!(answered_with(&ids).ends[0].inbound.len(), 1);
    let shorter = [192, 168, 1, 0, 192, 168, 1, 254];
    assert!(answered_with(&[id(IdKind::IPV4_RANGE, &shorter), ids[1]]).ends[0].inbound.is_empty());
}

#[test]
fn missing_perfect_forward_secrecy_is_refused() {
    let mut configs = configs();
    let plain = configs[0].esp[0];
    configs[1].esp[0] = plain.with_group(Group::MODP_768);
    let mut link = Link::new(configs.clone(), 1102);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!((link.agreed(), link.ends[1].host.exponentiations), (0, 2), "the exponentiations of phase 1 only");
    let text = link.ends[1].failures.last().unwrap().to_string();
    assert!(text.contains("differs in group: got none, expected modp768"), "{text}");
    // The initiator offers it, and the answer has a transform without the group and no key exchange payload.
    configs[0].esp[0] = plain.with_group(Group::MODP_768);
    let link = answered(configs, |_, payload, writer| match payload.kind {
        PayloadKind::SA => write_sa(writer, &plain.with_lifetimes(seconds(28_800))),
        PayloadKind::KEY_EXCHANGE => Ok(()),
        _ => writer.copy(payload).map(drop),
    });
    assert_eq!(link.ends[0].negotiator.counters().get(Counter::ModifiedAnswer), 1, "{:?}", link.counts());
    assert!(link.ends[0].inbound.is_empty());
}

#[test]
fn key_exchange_payload_without_a_group_is_refused() {
    let ids = NETWORKS.each_ref().map(|network| id(IdKind::IPV4_SUBNET, network));
    let (mut link, spy) = agreed(configs());
    let exponentiations = link.ends[1].host.exponentiations;
    ask(&mut link, &spy, 9, |writer| {
        write_sa(writer, &configs()[0].esp[0])?;
        writer.bytes(PayloadKind::NONCE, &[7; 16])?;
        writer.bytes(PayloadKind::KEY_EXCHANGE, &[7; 96])?;
        write_ids(writer, &ids)
    });
    let reason = Some(Refusal::UnexpectedPayload(PayloadKind::KEY_EXCHANGE));
    assert_eq!((link.ends[1].last_reason(), link.ends[1].inbound.len()), (reason, 1));
    assert_eq!(link.ends[1].host.exponentiations, exponentiations);
    let link = answered(configs(), |number, payload, writer| {
        if number == 1 {
            writer.bytes(PayloadKind::KEY_EXCHANGE, &[7; 96])?;
        }
        writer.copy(payload).map(drop)
    });
    assert_eq!(link.ends[0].negotiator.counters().get(Counter::Payloads), 1, "{:?}", link.counts());
    assert!(link.ends[0].inbound.is_empty());
}

#[test]
fn several_sa_payloads_are_refused() {
    let ids = NETWORKS.each_ref().map(|network| id(IdKind::IPV4_SUBNET, network));
    let (mut link, spy) = agreed(configs());
    ask(&mut link, &spy, 9, |writer| {
        write_sa(writer, &configs()[0].esp[0])?;
        write_sa(writer, &configs()[0].esp[0])?;
        writer.bytes(PayloadKind::NONCE, &[7; 16])?;
        write_ids(writer, &ids)
    });
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::Payloads), 1, "{:?}", link.counts());
    assert_eq!(link.ends[1].inbound.len(), 1);
}

#[test]
fn a_chosen_transform_that_was_not_offered_is_refused() {
    let des = esp(CipherAlgorithm::DesCbc, IntegrityAlgorithm::HmacSha1_96).with_lifetimes(seconds(28_800));
    let longer = configs()[0].esp[0].with_lifetimes(seconds(28_800)).with_group(Group::MODP_768);
    for transform in [des, longer] {
        let link = answered(configs(), |number, payload, writer| match number {
            0 => write_sa(writer, &transform),
            _ => writer.copy(payload).map(drop),
        });
        assert_eq!(link.ends[0].negotiator.counters().get(Counter::ModifiedAnswer), 1, "{:?}", link.counts());
        assert!(link.ends[0].inbound.is_empty());
    }
}

#[test]
fn a_reused_message_id_is_refused() {
    let ids = NETWORKS.each_ref().map(|network| id(IdKind::IPV4_SUBNET, network));
    let (mut link, spy) = agreed(configs());
    let offer = configs()[0].esp[0];
    let used = Header::parse(&link.sent[6].1).unwrap().0.message_id;
    let notification =
        Notification { doi: Doi::IPSEC, protocol: ProtocolId::ISAKMP, kind: NotifyKind(24_577), spi: &[], data: &[] };
    let message = spy.message((ExchangeKind::INFORMATIONAL, 77), &spy.chain(77, []), |writer| {
        writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
    });
    link.inject(1, message);
    let fresh = Spy::new(&link);
    let reused = |link: &Link| link.ends[1].negotiator.counters().get(Counter::MessageIdReused);
    assert_eq!(reused(&link), 0);
    // An ID of a quick mode, and one of an informational exchange.
    for (count, message_id) in (1..).zip([used, 77]) {
        let before = link.sent.len();
        ask_for(&mut link, &fresh, message_id, &offer, &ids);
        assert_eq!((reused(&link), link.ends[1].inbound.len(), link.sent.len()), (count, 1, before));
    }
    ask_for(&mut link, &fresh, 78, &offer, &ids);
    assert_eq!(link.ends[1].inbound.len(), 2, "a new one is accepted");
}

#[test]
fn a_fourth_message_of_quick_mode_is_ignored() {
    let (mut link, spy) = agreed(configs());
    let message_id = Header::parse(&link.sent[6].1).unwrap().0.message_id;
    let chain = spy.chain(message_id, link.sent[6..9].iter().map(|(_, message)| message));
    let before = link.sent.len();
    for kind in [NotifyKind::CONNECTED, NotifyKind::INITIAL_CONTACT] {
        let notification = Notification { doi: Doi::IPSEC, protocol: ProtocolId::ESP, kind, spi: &[], data: &[] };
        let message = spy.message((ExchangeKind::QUICK, message_id), &chain, |writer| {
            writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
        });
        for side in 0..2 {
            link.inject(side, message.clone());
        }
    }
    link.run(Duration::from_secs(100));
    assert_eq!((link.agreed(), link.sent.len()), (1, before));
    assert!(link.ends.iter().all(|end| end.failures.is_empty() && end.gone.is_empty()));
}

#[test]
fn phase_2_lifetime_absent_means_28800() {
    let ids = NETWORKS.each_ref().map(|network| id(IdKind::IPV4_SUBNET, network));
    for (configured, is_accepted) in [(28_800, true), (28_799, false)] {
        let mut configs = configs();
        configs.iter_mut().for_each(|config| config.esp[0] = config.esp[0].with_lifetimes(seconds(configured)));
        let (mut link, spy) = agreed(configs.clone());
        let known: Vec<u32> = link.ends[1].inbound.keys().copied().collect();
        ask_for(&mut link, &spy, 9, &configs[0].esp[0].with_lifetimes(Lifetimes::default()), &ids);
        let new = link.ends[1].inbound.iter().find(|(spi, _)| !known.contains(spi));
        assert_eq!(new.is_some(), is_accepted, "{:?}", link.ends[1].failures);
        if let Some((_, installed)) = new {
            assert_eq!(installed.limits.hard.age, Some(Duration::from_secs(28_800)));
        }
    }
}

#[test]
fn lifetimes_in_kilobytes_and_seconds_both_apply() {
    let mut configs = configs();
    let life = Lifetimes { seconds: Some(3600), kilobytes: Some(100_000), ..Lifetimes::default() };
    configs[0].esp[0] = configs[0].esp[0].with_lifetimes(life);
    let (link, _) = agreed(configs);
    let octets = 100_000 * 1024;
    for (end, shares) in link.ends.iter().zip([800..=900, 900..=950]) {
        for installed in end.inbound.values().chain(end.outbound.values()) {
            assert_eq!(installed.limits.hard.age, Some(Duration::from_secs(3600)));
            assert_eq!(installed.limits.hard.octets, Some(octets));
            let soft = installed.limits.soft.octets.unwrap();
            assert!(shares.contains(&(soft * 1000 / octets)), "{soft}");
        }
        assert_eq!(end.gone.iter().filter(|(.., why)| *why == Gone::Expired).count(), 0);
    }
}
