//! Aggressive and base mode with pre-shared keys.

use std::time::Duration;

use ike_codec::{AuthMethod, ExchangeKind, Flags, Group, Header, IdKind, Message, MessageWriter, PayloadKind};
use ike_v1::{Counter, Follower, HashForm, NotVerified, Protection, Refusal, Role, Secrets, Verdict, plaintext};
use ipsec_crypto::{CipherAlgorithm, HashFunction};

use crate::endpoint::{Config, configs, phase_1};
use crate::signatures::signing;
use crate::wire::Link;

/// Configurations of two gateways that use one exchange in phase 1.
fn with_exchange(exchange: ExchangeKind) -> [Config; 2] {
    configs().map(|config| Config { exchanges: vec![exchange], ..config })
}

/// Negotiates once and returns the link.
fn negotiated(configs: [Config; 2], seed: u64) -> Link {
    let mut link = Link::new(configs, seed);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(20));
    link
}

/// Kinds and flags of the messages of phase 1: sender, exchange and whether it is encrypted.
fn messages(link: &Link, exchange: ExchangeKind) -> Vec<(usize, bool)> {
    let parsed = link.sent.iter().map(|(side, datagram)| (*side, Message::parse(datagram).unwrap()));
    let of_exchange = parsed.filter(|(_, message)| message.header().exchange == exchange);
    of_exchange.map(|(side, message)| (side, message.is_encrypted())).collect()
}

#[test]
fn aggressive_mode_negotiates_with_fqdn_identities() {
    for seed in 0..20 {
        let link = negotiated(with_exchange(ExchangeKind::AGGRESSIVE), seed);
        assert_eq!(link.agreed(), 1, "{:?}", link.counts());
        assert_eq!(messages(&link, ExchangeKind::AGGRESSIVE)[..3], [(0, false), (1, false), (0, true)]);
        assert!(messages(&link, ExchangeKind::MAIN).is_empty());
    }
}

#[test]
fn aggressive_mode_offers_transforms_of_one_group() {
    let [a, b] = with_exchange(ExchangeKind::AGGRESSIVE);
    let offer = |group| phase_1(CipherAlgorithm::AesCbc, HashFunction::Sha1, group);
    let proposals = vec![offer(Group::MODP_1024), offer(Group::MODP_768), offer(Group::MODP_1024)];
    let a = Config { proposals, ..a };
    let mut link = Link::new([a, b], 1);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.collect();
    let message = Message::parse(&link.sent[0].1).unwrap();
    let sa = message.payloads().find_map(|payload| match payload.view() {
        ike_codec::Body::SecurityAssociation(sa) => Some(sa),
        _ => None,
    });
    let count: usize = sa.unwrap().proposals().map(|proposal| proposal.transforms().count()).sum();
    assert_eq!(count, 2);
}

#[test]
fn aggressive_and_base_mode_accept_every_identity_type() {
    let identities: [(IdKind, &[u8]); 5] = [
        (IdKind::IPV4, &[192, 0, 2, 1]),
        (IdKind::FQDN, b"client.example"),
        (IdKind::USER_FQDN, b"user@example.org"),
        (IdKind::KEY_ID, b"group name \xff"),
        (IdKind::DER_ASN1_DN, &[0x30, 0x00]),
    ];
    for exchange in [ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        for (kind, data) in identities {
            let [mut a, mut b] = with_exchange(exchange);
            a.local_identity = (kind, data.to_vec());
            b.remote_identity = Some((kind, data.to_vec()));
            assert_eq!(negotiated([a, b], 2).agreed(), 1, "{exchange} with {kind}");
        }
    }
}

#[test]
fn both_hosts_receive_the_authenticated_identity_of_the_peer() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        let [mut a, mut b] = with_exchange(exchange);
        (a.local_identity, a.remote_identity) = ((IdKind::FQDN, b"a.example".to_vec()), None);
        (b.local_identity, b.remote_identity) = ((IdKind::FQDN, b"b.example".to_vec()), None);
        let link = negotiated([a, b], 4);
        for (end, name) in link.ends.iter().zip(["b.example", "a.example"]) {
            let path = end.negotiator.sas().next().unwrap().path();
            assert_eq!(end.host.authenticated, [(path, IdKind::FQDN, name.as_bytes().to_vec())], "{exchange}");
        }
        let [mut a, b] = with_exchange(exchange);
        a.key = Some(b"another key".to_vec());
        let link = negotiated([a, b], 5);
        assert!(link.ends.iter().all(|end| end.host.authenticated.is_empty()), "{exchange} with another key");
    }
}

#[test]
fn a_wrong_identity_is_refused_before_the_key_exchange() {
    for exchange in [ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        let [a, mut b] = with_exchange(exchange);
        b.remote_identity = Some((IdKind::FQDN, b"another.example".to_vec()));
        let link = negotiated([a, b], 3);
        assert_eq!(link.ends[1].last_reason(), Some(Refusal::IdentityMismatch(IdKind::FQDN)), "{exchange}");
        assert_eq!(link.ends[1].host.exponentiations, 0);
    }
}

#[test]
fn initiator_computes_no_shared_secret_with_a_wrong_key_in_aggressive_mode() {
    let [a, mut b] = with_exchange(ExchangeKind::AGGRESSIVE);
    b.key = Some(b"another key".to_vec());
    let mut link = Link::new([a, b], 4);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(100));
    assert_eq!(link.ends[0].last_reason(), Some(Refusal::HashMismatch), "{:?}", link.counts());
    // Only its public value.
    assert_eq!(link.ends[0].host.exponentiations, 1);
    assert!(link.ends.iter().all(|end| end.phase_1_up == 0));
}

#[test]
fn responder_computes_no_shared_secret_with_a_wrong_key_in_base_mode() {
    let [a, mut b] = with_exchange(ExchangeKind::BASE);
    b.key = Some(b"another key".to_vec());
    let mut link = Link::new([a, b], 5);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(100));
    assert!(link.ends[1].negotiator.counters().get(Counter::HashMismatch) > 0);
    assert_eq!(link.ends[1].host.exponentiations, 0);
    assert!(link.ends.iter().all(|end| end.phase_1_up == 0));
}

#[test]
fn base_mode_completes_in_cleartext() {
    for seed in 0..20 {
        let link = negotiated(with_exchange(ExchangeKind::BASE), seed);
        assert_eq!(link.agreed(), 1, "{:?}", link.counts());
        let sent = messages(&link, ExchangeKind::BASE);
        assert_eq!(sent, [(0, false), (1, false), (0, false), (1, false)]);
    }
}

#[test]
fn refusal_names_the_exchange_that_is_not_configured() {
    for exchange in [ExchangeKind::AGGRESSIVE, ExchangeKind::BASE, ExchangeKind::MAIN] {
        let [a, mut b] = with_exchange(exchange);
        let all = [ExchangeKind::AGGRESSIVE, ExchangeKind::BASE, ExchangeKind::MAIN];
        b.exchanges = all.into_iter().filter(|other| *other != exchange).collect();
        let link = negotiated([a, b], 6);
        assert_eq!(link.ends[1].last_reason(), Some(Refusal::ModeNotAllowed(exchange)));
        assert_eq!(link.ends[1].host.exponentiations, 0);
    }
}

#[test]
fn a_lost_message_of_each_mode_is_retransmitted() {
    for exchange in [ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        for lost in 0..8 {
            let mut link = Link::new(with_exchange(exchange), 7);
            link.loses_message(lost);
            let now = link.now;
            link.ends[0].initiate(now).unwrap();
            link.run(Duration::from_secs(60));
            assert_eq!(link.agreed(), 1, "{exchange} without message {lost}: {:?}", link.counts());
        }
    }
}

#[test]
fn the_last_message_of_aggressive_mode_precedes_quick_mode() {
    let link = negotiated(with_exchange(ExchangeKind::AGGRESSIVE), 8);
    let kinds = link.sent.iter().map(|(side, datagram)| (*side, Message::parse(datagram).unwrap().header().exchange));
    let is_shown = |(side, kind): &(usize, ExchangeKind)| *side == 0 && *kind != ExchangeKind::INFORMATIONAL;
    let of_initiator: Vec<_> = kinds.filter(is_shown).map(|(_, kind)| kind).collect();
    let aggressive = ExchangeKind::AGGRESSIVE;
    assert_eq!(of_initiator, [aggressive, aggressive, ExchangeKind::QUICK, ExchangeKind::QUICK]);
}

#[test]
fn many_first_messages_of_aggressive_mode_cost_a_bounded_number_of_key_exchanges() {
    let mut link = Link::new(with_exchange(ExchangeKind::AGGRESSIVE), 9);
    for seed in 0..200u8 {
        let config = with_exchange(ExchangeKind::AGGRESSIVE)[0].clone();
        let first = crate::endpoint::first_message(config, 1000 + u64::from(seed));
        link.inject_from(seed, first);
    }
    // Five in a second, each with a public value and a shared secret.
    assert_eq!(link.ends[1].host.exponentiations, 10, "{:?}", link.counts());
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::TooManyKeyExchanges), 195);
}

#[test]
fn aggressive_mode_message_2_has_every_payload_of_the_mode() {
    let link = negotiated(with_exchange(ExchangeKind::AGGRESSIVE), 10);
    let kinds = |index: usize| -> Vec<PayloadKind> {
        Message::parse(&link.sent[index].1).unwrap().payloads().map(|payload| payload.kind).collect()
    };
    let expected = [PayloadKind::SA, PayloadKind::KEY_EXCHANGE, PayloadKind::NONCE, PayloadKind::ID];
    assert_eq!(kinds(0)[..4], expected);
    assert_eq!(kinds(1)[..4], expected);
    assert_eq!(kinds(1)[4], PayloadKind::HASH);
}

#[test]
fn initial_contact_follows_aggressive_and_base_mode() {
    for exchange in [ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        let configs = with_exchange(exchange);
        let mut link = negotiated(configs.clone(), 11);
        link.restart(0, configs[0].clone());
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(20));
        assert_eq!(link.agreed(), 1, "{:?}", link.counts());
        // The former SAs are removed.
        assert_eq!(link.ends[1].phase_1_gone, [ike_v1::Gone::PeerRestarted], "{exchange}");
        assert_eq!(link.ends[1].inbound.len(), 1);
    }
}

#[test]
fn initial_contact_before_aggressive_mode_message_3_is_processed_once() {
    // Message 3 is overtaken by the informational message, which is not sent again.
    let configs = with_exchange(ExchangeKind::AGGRESSIVE);
    let mut link = negotiated(configs.clone(), 12);
    link.restart(0, configs[0].clone());
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    let before = link.sent.len();
    link.loses_message(before + 2);
    link.run(Duration::from_secs(20));
    assert_eq!(link.agreed(), 1, "{:?}", link.counts());
    assert_eq!(link.ends[1].phase_1_gone, [ike_v1::Gone::PeerRestarted]);
}

/// Follows the messages of phase 1 with the secrets of the initiator. Returns the forms of the hashes, all of which are
/// good.
fn hashes(link: &Link, exchange: ExchangeKind) -> Vec<HashForm> {
    let config = &link.ends[0].host.config;
    let secrets = Secrets {
        pre_shared_key: config.key.as_deref(),
        shared: Some(&link.ends[0].host.first_shared),
        ..Secrets::default()
    };
    let mut follower = Follower::<16, 4096>::new();
    let mut forms = Vec::new();
    for (side, datagram) in &link.sent {
        let mut message = datagram.clone();
        let is_phase_1 = Message::parse(&message).unwrap().header().exchange == exchange;
        let sender = if *side == 0 { Role::Initiator } else { Role::Responder };
        let followed = follower.follow(sender, &mut message, &secrets).unwrap();
        if is_phase_1 && followed.verdict != Verdict::Absent {
            // The follower has no certificates: it computes what is signed.
            let is_signed = followed.verdict == Verdict::NotVerified(NotVerified::Signature);
            let is_right = followed.verdict == Verdict::Good || (is_signed && followed.computed.is_some());
            assert!(is_right, "{exchange}: {followed:?}");
            if is_signed {
                let parsed = plaintext(&message).unwrap();
                let signature = parsed.payloads().find(|payload| payload.kind == PayloadKind::SIGNATURE).unwrap().body;
                let certificate = link.ends[*side].host.config.certificate.as_ref().unwrap();
                let computed = followed.computed.unwrap();
                let method = config.proposals[0].auth_method;
                assert_eq!(signature, crate::endpoint::signature_of(certificate, method, computed.expose()));
            }
            forms.extend(followed.form);
        }
    }
    forms
}

/// The follower verifies the recordings of racoon with the same code.
#[test]
fn follower_verifies_the_hashes_of_base_and_aggressive_mode() {
    for exchange in [ExchangeKind::BASE, ExchangeKind::AGGRESSIVE] {
        let link = negotiated(with_exchange(exchange), 13);
        let forms = hashes(&link, exchange);
        for role in [Role::Initiator, Role::Responder] {
            assert!(forms.contains(&HashForm::Phase1(role)), "{exchange}: {forms:?}");
        }
    }
}

#[test]
fn follower_verifies_the_signed_hashes_of_every_mode() {
    for exchange in [ExchangeKind::BASE, ExchangeKind::AGGRESSIVE, ExchangeKind::MAIN] {
        let link = negotiated(signing(exchange, AuthMethod::RSA_SIGNATURE), 14);
        let forms = hashes(&link, exchange);
        for role in [Role::Initiator, Role::Responder] {
            assert!(forms.contains(&HashForm::Phase1(role)), "{exchange}: {forms:?}");
        }
    }
}

#[test]
fn aggressive_mode_message_3_in_cleartext_is_accepted() {
    let mut link = Link::new(with_exchange(ExchangeKind::AGGRESSIVE), 15);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    while link.sent.len() < 3 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    let message = link.sent[2].1.clone();
    let key = link.ends[0].negotiator.sas().next().unwrap().expose_encryption_key().to_vec();
    let protection = Protection::new(CipherAlgorithm::AesCbc, &key, HashFunction::Sha1).unwrap();
    let public = |message: &[u8]| {
        let parsed = Message::parse(message).unwrap();
        parsed.payloads().find(|payload| payload.kind == PayloadKind::KEY_EXCHANGE).unwrap().body.to_vec()
    };
    let chain = protection.phase_1(&public(&link.sent[0].1), &public(&link.sent[1].1));
    let mut opened = message.clone();
    let _next = protection.decrypt(&chain, &mut opened).unwrap();
    let header = Header::parse(&message).unwrap().0;
    let mut buf = [0; 400];
    let mut writer = MessageWriter::new(&mut buf, &Header { flags: Flags(0), ..header }).unwrap();
    for payload in plaintext(&opened).unwrap().payloads() {
        writer.copy(&payload).unwrap();
    }
    let clear = writer.finish().to_vec();
    let mut wrong = clear.clone();
    wrong[40] ^= 1;
    for (datagram, expected) in [(wrong, 0), (clear, 1)] {
        let now = link.now;
        link.ends[1].receive(now, datagram);
        link.ends[1].poll(now);
        assert_eq!(link.ends[1].phase_1_up, expected, "{:?}", link.counts());
    }
}
