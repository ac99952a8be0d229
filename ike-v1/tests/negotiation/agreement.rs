//! Negotiations that succeed, in every suite, group, mode and identity type.

use std::time::Duration;

use ike_codec::{Group, Header, IdKind, Message, MessageWriter, PayloadKind};
use ike_v1::{Counter, Phase2Suite, ProposalCheck, plaintext};
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, IpProto, PortRange, Selector, Upper};
use ipsec_sa::Mode;

use crate::endpoint::{Config, configs, esp, first_message, paths, phase_1, seconds};
use crate::spy::Spy;
use crate::wire::Link;

/// Negotiates one pair without faults and returns the link.
fn agree(configs: [Config; 2], seed: u64) -> Link {
    let mut link = Link::new(configs, seed);
    let now = link.now;
    link.ends[0].initiate(now).expect("the request is accepted");
    link.run(Duration::from_secs(5));
    for end in &link.ends {
        assert_eq!(end.failures, [], "no failure");
        assert_eq!((end.inbound.len(), end.outbound.len(), end.phase_1_up), (1, 1, 1), "{:?}", link.counts());
    }
    assert_eq!(link.agreed(), 1);
    link
}

#[test]
fn main_mode_and_quick_mode_take_nine_messages() {
    let link = agree(configs(), 1);
    let senders: Vec<usize> = link.sent.iter().map(|(side, _)| *side).collect();
    assert_eq!(senders, [0, 1, 0, 1, 0, 1, 0, 1, 0]);
    for end in &link.ends {
        assert_eq!(end.negotiator.counters().get(Counter::Retransmitted), 0);
        assert_eq!(end.negotiator.sas().count(), 1);
    }
    assert_eq!(link.ends[0].host.exponentiations, 2);
    assert_eq!(link.ends[1].host.exponentiations, 2);
}

#[test]
fn a_second_request_uses_the_same_isakmp_sa() {
    let mut link = agree(configs(), 2);
    let (now, before) = (link.now, link.sent.len());
    let first = link.ends[0].initiate_policy(now, 2).unwrap();
    assert_eq!(link.ends[0].initiate_policy(now, 2), Ok(first), "one negotiation for repeated requests");
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 2);
    assert_eq!(link.sent.len() - before, 3, "quick mode only");
}

#[test]
fn the_responder_may_initiate_the_next_quick_mode() {
    let mut link = agree(configs(), 3);
    let now = link.now;
    link.ends[1].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 2);
    assert_eq!(link.ends[0].phase_1_up, 1);
}

#[test]
fn both_sides_may_initiate_at_the_same_time() {
    let mut link = Link::new(configs(), 4);
    let now = link.now;
    for end in &mut link.ends {
        end.initiate(now).unwrap();
    }
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1, "one of two pairs is redundant");
    assert!(link.ends.iter().all(|end| end.failures.is_empty() && end.phase_1_up == 2 && end.inbound.len() == 2));
}

#[test]
fn main_mode_with_pre_shared_keys_negotiates_every_cipher_and_hash() {
    let ciphers = [
        CipherAlgorithm::DesCbc,
        CipherAlgorithm::TripleDesCbc,
        CipherAlgorithm::BlowfishCbc,
        CipherAlgorithm::Cast128Cbc,
        CipherAlgorithm::AesCbc,
    ];
    let hashes =
        [HashFunction::Md5, HashFunction::Sha1, HashFunction::Sha2_256, HashFunction::Sha2_384, HashFunction::Sha2_512];
    for (cipher, hash) in ciphers.into_iter().flat_map(|cipher| hashes.map(|hash| (cipher, hash))) {
        let offers = vec![phase_1(cipher, hash, Group::MODP_768)];
        agree(configs().map(|config| Config { proposals: offers.clone(), ..config }), 5);
    }
}

#[test]
fn every_key_length_of_phase_1_is_negotiated() {
    for octets in [16, 24, 32] {
        let offers =
            vec![phase_1(CipherAlgorithm::AesCbc, HashFunction::Sha1, Group::MODP_768).with_cipher_key(octets)];
        agree(configs().map(|config| Config { proposals: offers.clone(), ..config }), 6);
    }
}

#[test]
fn every_esp_suite_is_negotiated() {
    let ciphers = [
        CipherAlgorithm::DesCbc,
        CipherAlgorithm::TripleDesCbc,
        CipherAlgorithm::Cast128Cbc,
        CipherAlgorithm::BlowfishCbc,
        CipherAlgorithm::Null,
        CipherAlgorithm::AesCbc,
        CipherAlgorithm::AesCtr,
    ];
    let integrity = [
        IntegrityAlgorithm::HmacMd5_96,
        IntegrityAlgorithm::HmacSha1_96,
        IntegrityAlgorithm::HmacSha2_256_128,
        IntegrityAlgorithm::HmacSha2_384_192,
        IntegrityAlgorithm::HmacSha2_512_256,
        IntegrityAlgorithm::HmacRipemd160_96,
        IntegrityAlgorithm::AesXcbcMac96,
        IntegrityAlgorithm::AesCmac96,
        IntegrityAlgorithm::HmacSha2_256_96,
    ];
    let aeads = [
        CipherAlgorithm::AesCcm8,
        CipherAlgorithm::AesCcm12,
        CipherAlgorithm::AesCcm16,
        CipherAlgorithm::AesGcm8,
        CipherAlgorithm::AesGcm12,
        CipherAlgorithm::AesGcm16,
        CipherAlgorithm::NullAesGmac,
        CipherAlgorithm::ChaCha20Poly1305,
    ];
    let pairs = ciphers.into_iter().flat_map(|cipher| integrity.map(|integrity| (cipher, integrity)));
    for (cipher, integrity) in pairs.chain(aeads.map(|cipher| (cipher, IntegrityAlgorithm::None))) {
        let offers = vec![esp(cipher, integrity)];
        agree(configs().map(|config| Config { esp: offers.clone(), ..config }), 7);
    }
}

#[test]
fn every_group_of_phase_1_is_negotiated() {
    let groups = [
        Group::MODP_768,
        Group::MODP_1024,
        Group::MODP_1536,
        Group::MODP_2048,
        Group::MODP_3072,
        Group::ECP_256,
        Group::ECP_384,
        Group::ECP_521,
    ];
    for group in groups {
        let offers = vec![phase_1(CipherAlgorithm::AesCbc, HashFunction::Sha2_256, group)];
        agree(configs().map(|config| Config { proposals: offers.clone(), has_real_groups: true, ..config }), 8);
    }
}

#[test]
fn perfect_forward_secrecy_is_negotiated_with_every_group() {
    for group in [Group::MODP_768, Group::MODP_1536, Group::MODP_2048, Group::ECP_256, Group::ECP_521] {
        let plain = esp(CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha1_96);
        let offers = vec![plain.with_group(group)];
        let link = agree(configs().map(|config| Config { esp: offers.clone(), has_real_groups: true, ..config }), 17);
        assert_eq!(link.ends[0].host.exponentiations, 4);
        assert_eq!(link.ends[1].host.exponentiations, 4);
    }
}

#[test]
fn one_quick_mode_offers_one_group() {
    let [mut a, mut b] = configs();
    let aes = esp(CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha1_96);
    let des = esp(CipherAlgorithm::DesCbc, IntegrityAlgorithm::HmacMd5_96);
    a.esp = vec![aes.with_group(Group::MODP_1024), des.with_group(Group::MODP_768), des.with_group(Group::MODP_1024)];
    b.esp = vec![des.with_group(Group::MODP_768), des.with_group(Group::MODP_1024)];
    let link = agree([a, b], 18);
    assert_eq!(link.ends[0].outbound.values().next().unwrap().cipher_key.len(), 8);
}

#[test]
fn the_first_acceptable_transform_of_the_initiator_is_chosen() {
    let [mut a, mut b] = configs();
    let aes = phase_1(CipherAlgorithm::AesCbc, HashFunction::Sha2_256, Group::MODP_1024);
    let triple_des = phase_1(CipherAlgorithm::TripleDesCbc, HashFunction::Md5, Group::MODP_768);
    let des = phase_1(CipherAlgorithm::DesCbc, HashFunction::Md5, Group::MODP_768);
    a.proposals = vec![aes, triple_des, des];
    b.proposals = vec![des, triple_des];
    a.esp = vec![
        esp(CipherAlgorithm::AesGcm16, IntegrityAlgorithm::None),
        esp(CipherAlgorithm::TripleDesCbc, IntegrityAlgorithm::HmacMd5_96),
    ];
    b.esp = vec![esp(CipherAlgorithm::TripleDesCbc, IntegrityAlgorithm::HmacMd5_96)];
    let link = agree([a, b], 9);
    for end in &link.ends {
        let sa = end.negotiator.sas().next().unwrap();
        assert_eq!(sa.choice().cipher, CipherAlgorithm::TripleDesCbc);
        assert_eq!(end.outbound.values().next().unwrap().cipher_key.len(), 24);
    }
}

#[test]
fn transport_mode_is_negotiated_between_the_two_hosts() {
    let [path, _] = paths();
    let (a, b) = (AddressRange::host(path.local.ip()), AddressRange::host(path.remote.ip()));
    let ports = Upper::Ports(Some(IpProto::UDP), PortRange::one(1701), PortRange::ANY);
    let reversed = Upper::Ports(Some(IpProto::UDP), PortRange::ANY, PortRange::one(1701));
    for (upper, of_b) in
        [(Upper::Any, Upper::Any), (Upper::Protocol(IpProto::ICMP), Upper::Protocol(IpProto::ICMP)), (ports, reversed)]
    {
        let [mut first, mut second] = configs();
        first.policy = Some(Selector { source: a, destination: b, upper });
        second.policy = Some(Selector { source: b, destination: a, upper: of_b });
        (first.mode, second.mode) = (Mode::Transport, Mode::Transport);
        let link = agree([first, second], 10);
        let selector = link.ends[1].inbound.values().next().unwrap().selector;
        assert_eq!((selector.source, selector.destination, selector.upper), (b, a, of_b));
    }
}

#[test]
fn selectors_of_every_form_are_equal_at_both_peers() {
    let v4 = |text: &str, length| AddressRange::prefix(text.parse().unwrap(), length).unwrap();
    let ranges = [
        (v4("10.0.0.0", 8), v4("10.1.2.3", 32)),
        (v4("0.0.0.0", 0), v4("172.16.0.0", 12)),
        (v4("fd00:1::", 64), v4("fd00:2::1", 128)),
        (AddressRange::new("10.0.0.5".parse().unwrap(), "10.0.0.9".parse().unwrap()).unwrap(), v4("10.9.0.0", 16)),
        (AddressRange::new("fd00::5".parse().unwrap(), "fd00::9".parse().unwrap()).unwrap(), AddressRange::ANY_V6),
    ];
    for (local, remote) in ranges {
        let [mut first, mut second] = configs();
        first.policy = Some(Selector { source: local, destination: remote, upper: Upper::Protocol(IpProto::IPV4) });
        second.policy = Some(Selector { source: remote, destination: local, upper: Upper::Any });
        let link = agree([first.clone(), second], 11);
        let selector = link.ends[1].outbound.values().next().unwrap().selector;
        assert_eq!((selector.source, selector.destination), (remote, local), "narrower than the policy");
        assert_eq!(selector.upper, Upper::Protocol(IpProto::IPV4));
    }
}

#[test]
fn identities_of_every_type_are_accepted_in_main_mode() {
    let identities = [
        (IdKind::IPV4, vec![192, 0, 2, 1]),
        (IdKind::FQDN, b"Gateway.Example".to_vec()),
        (IdKind::USER_FQDN, b"admin@Example.org".to_vec()),
        (IdKind::KEY_ID, vec![0, 255, 1]),
        (IdKind::DER_ASN1_DN, vec![0x30, 0]),
    ];
    for (kind, data) in identities {
        let [mut a, mut b] = configs();
        a.local_identity = (kind, data.clone());
        let other_case = if kind == IdKind::FQDN { data.to_ascii_uppercase() } else { data };
        b.remote_identity = Some((kind, other_case));
        agree([a, b], 12);
    }
}

#[test]
fn sas_expire_after_the_shorter_of_the_two_lifetimes() {
    let [mut a, mut b] = configs();
    a.esp[0] = a.esp[0].with_lifetimes(seconds(300));
    b.esp[0] = b.esp[0].with_lifetimes(seconds(600));
    a.proposals[0] = a.proposals[0].with_lifetimes(seconds(1200));
    let mut link = agree([a, b], 13);
    link.run(Duration::from_secs(310));
    for end in &link.ends {
        assert!(end.inbound.is_empty() && end.outbound.is_empty(), "expired");
        assert_eq!((end.gone.len(), end.phase_1_gone.len()), (2, 0));
    }
    link.run(Duration::from_secs(1000));
    assert!(link.ends.iter().all(|end| end.phase_1_gone.len() == 1 && end.negotiator.sas().count() == 0));
}

#[test]
fn obey_accepts_longer_lifetimes_and_shorter_keys() {
    let [mut a, mut b] = configs();
    a.proposals[0] = a.proposals[0].with_lifetimes(seconds(100_000));
    b.proposals[0] = b.proposals[0].with_cipher_key(32);
    b.esp[0] = b.esp[0].with_lifetimes(seconds(60));
    b.check = ProposalCheck::Obey;
    let link = agree([a, b], 14);
    assert_eq!(link.ends[1].negotiator.sas().next().unwrap().choice().cipher_key, 16);
}

#[test]
fn messages_on_port_4500_begin_with_the_non_esp_marker() {
    let mut link = Link::new(configs(), 15);
    for end in &mut link.ends {
        end.host.path.local.set_port(4500);
        end.host.path.remote.set_port(4500);
    }
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    assert!(link.sent.iter().all(|(_, datagram)| datagram.starts_with(&[0; 4]) && datagram[4..8] != [0; 4]));
    link.inject(0, vec![0xff]);
    link.inject(0, vec![1; 40]);
    let counters = link.ends[0].negotiator.counters();
    assert_eq!((counters.get(Counter::KeepAlive), counters.get(Counter::Framing)), (1, 1));
}

#[test]
fn the_message_that_announces_an_inbound_sa_waits_for_its_installation() {
    for side in 0..2 {
        let mut link = Link::new(configs(), 16);
        link.ends[side].confirms = false;
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_millis(1500));
        let (_, inbound) = link.ends[side].inbound.iter().next().expect("the event came");
        let (sa, other) = (inbound.sa, 1 - side);
        assert_eq!(link.sent.len(), 7 + (1 - side), "neither message 2 nor message 3 of quick mode is sent");
        assert!(link.ends[side].outbound.is_empty());
        assert!(link.ends[other].outbound.is_empty());
        let now = link.now;
        link.ends[side].negotiator.installed(now, sa);
        link.ends[side].confirms = true;
        link.run(Duration::from_secs(3));
        assert_eq!(link.agreed(), 1);
    }
}

/// Lets the endpoints exchange messages at once, each of which `alter` may change; the first one has the number 1.
fn exchange(configs: [Config; 2], seed: u64, alter: impl Fn(usize, Vec<u8>) -> Vec<u8>) -> Link {
    let mut link = Link::new(configs, seed);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    let mut side = 0;
    for number in 1..=9 {
        let Some(message) = link.ends[side].poll(now).pop() else { break };
        side = 1 - side;
        link.ends[side].receive(now, alter(number, message));
    }
    link.ends.iter_mut().for_each(|end| drop(end.poll(now)));
    link
}

#[test]
fn responder_returns_the_proposal_and_transform_numbers_of_the_initiator() {
    // Offsets of the numbers of the first proposal and the first transform in messages 1 and 2.
    let (proposal, transform) = (44, 52);
    let mut link = Link::new(configs(), 19);
    let mut message = first_message(configs()[0].clone(), 19);
    assert_eq!((message[proposal], message[transform]), (1, 1));
    (message[proposal], message[transform]) = (3, 20);
    link.inject(1, message);
    let answer = &link.sent[0].1;
    assert_eq!((answer[proposal], answer[transform]), (3, 20));
    // As initiator: the contents of the answer decide, not its numbers.
    let link = exchange(configs(), 20, |number, mut message| {
        if number == 2 {
            (message[proposal], message[transform]) = (7, 9);
        }
        message
    });
    assert_eq!(link.agreed(), 1, "{:?}", link.counts());
}

/// Copies the payloads of a message, and appends a vendor ID.
fn with_vendor_id<'b>(buf: &'b mut [u8], header: &Header, payloads: ike_codec::Payloads<'_>) -> MessageWriter<'b> {
    let mut writer = MessageWriter::new(buf, header).unwrap();
    for payload in payloads {
        writer.copy(&payload).unwrap();
    }
    writer.bytes(PayloadKind::VENDOR_ID, b"vendor of a test").unwrap();
    writer
}

#[test]
fn vendor_ids_are_accepted_in_any_phase_1_message() {
    for with_id in 1..=4 {
        let link = exchange(configs(), 21, |number, message| {
            let parsed = Message::parse(&message).unwrap();
            if number != with_id {
                return message;
            }
            with_vendor_id(&mut [0; 1024], parsed.header(), parsed.payloads()).finish().to_vec()
        });
        assert_eq!(link.agreed(), 1, "message {with_id}: {:?}", link.counts());
    }
    let genuine = agree(configs(), 21);
    let spy = Spy::new(&genuine);
    let (message_5, chain) = spy.message_5(&genuine);
    let header = Header::parse(&message_5).unwrap().0;
    let mut buf = [0; 1024];
    let altered = spy.encrypt(&chain, with_vendor_id(&mut buf, &header, plaintext(&message_5).unwrap().payloads()));
    let link = exchange(configs(), 21, |number, message| if number == 5 { altered.clone() } else { message });
    assert_eq!(link.ends[1].phase_1_up, 1, "message 5: {:?}", link.counts());
}

#[test]
fn commit_bit_in_phase_1_is_ignored() {
    let link = exchange(configs(), 22, |number, mut message| {
        message[19] |= if number <= 6 { 2 } else { 0 };
        message
    });
    assert_eq!(link.agreed(), 1, "{:?}", link.counts());
    assert!(link.ends.iter().all(|end| end.phase_1_up == 1 && end.failures.is_empty()));
}

#[test]
fn obey_accepts_the_blowfish_key_length_of_the_peer() {
    for (theirs, ours) in [(16, 56), (56, 16)] {
        let [mut a, mut b] = configs();
        let blowfish = phase_1(CipherAlgorithm::BlowfishCbc, HashFunction::Sha1, Group::MODP_768);
        (a.proposals, b.proposals) = (vec![blowfish.with_cipher_key(theirs)], vec![blowfish.with_cipher_key(ours)]);
        let keyed = |octets| {
            let mut offer = esp(CipherAlgorithm::BlowfishCbc, IntegrityAlgorithm::HmacSha1_96);
            let Phase2Suite::Keyed { cipher_key, .. } = &mut offer.suite else { unreachable!() };
            *cipher_key = octets;
            vec![offer]
        };
        (a.esp, b.esp) = (keyed(theirs), keyed(ours));
        b.check = ProposalCheck::Obey;
        let link = agree([a, b], 23);
        for end in &link.ends {
            assert_eq!(end.negotiator.sas().next().unwrap().choice().cipher_key, theirs);
            assert!(end.inbound.values().all(|installed| installed.cipher_key.len() == theirs));
        }
    }
}
