//! Authentication by signatures, and hybrid authentication, in all modes.

use std::time::Duration;

use ike_codec::{AuthMethod, ExchangeKind, IdKind, Message, PayloadKind};
use ike_v1::{CertificateRefusal, Counter, Refusal, XauthRole};

use crate::endpoint::{Config, configs};
use crate::wire::{Faults, Link};

const MODES: [ExchangeKind; 3] = [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE];

/// Configurations of two gateways with certificates.
pub fn signing(exchange: ExchangeKind, method: AuthMethod) -> [Config; 2] {
    let mut number = 0;
    configs().map(|mut config| {
        number += 1;
        let name = format!("gateway-{number}.example").into_bytes();
        config.proposals[0].auth_method = method;
        config.certificate = Some([&name, &b" certificate"[..]].concat());
        Config { local_identity: (IdKind::FQDN, name), exchanges: vec![exchange], key: None, ..config }
    })
}

fn negotiated(configs: [Config; 2], seed: u64) -> Link {
    let mut link = Link::new(configs, seed);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(90));
    link
}

fn kinds(datagram: &[u8]) -> Vec<PayloadKind> {
    Message::parse(datagram).unwrap().payloads().map(|payload| payload.kind).collect()
}

#[test]
fn rsa_signatures_authenticate_both_roles_in_every_mode() {
    for mode in MODES {
        for side in 0..2 {
            let mut link = Link::new(signing(mode, AuthMethod::RSA_SIGNATURE), 1);
            let now = link.now;
            link.ends[side].initiate(now).unwrap();
            link.run(Duration::from_secs(15));
            assert_eq!(link.agreed(), 1, "{mode}: {:?}", link.counts());
        }
    }
}

#[test]
fn signatures_are_sent_with_certificates_and_certificate_requests() {
    let link = negotiated(signing(ExchangeKind::AGGRESSIVE, AuthMethod::RSA_SIGNATURE), 2);
    assert!(kinds(&link.sent[0].1).contains(&PayloadKind::CERTIFICATE_REQUEST));
    let answer = kinds(&link.sent[1].1);
    for kind in [PayloadKind::CERTIFICATE, PayloadKind::SIGNATURE, PayloadKind::CERTIFICATE_REQUEST] {
        assert!(answer.contains(&kind), "{kind} in {answer:?}");
    }
    assert!(!answer.contains(&PayloadKind::HASH));
    let link = negotiated(signing(ExchangeKind::MAIN, AuthMethod::RSA_SIGNATURE), 2);
    for message in 2..4 {
        assert!(kinds(&link.sent[message].1).contains(&PayloadKind::CERTIFICATE_REQUEST));
    }
}

/// Returns the end of the certificate that the peer of a side has seen, in a run with these authorities of the other
/// side.
fn sent_to(link: &Link) -> Vec<u8> {
    link.ends[1].host.seen_certificates.last().cloned().unwrap_or_default()
}

/// The certificate is the one of the requested authority; the first one if none is requested, or that of another one.
#[test]
fn certificate_requests_choose_the_certificate() {
    let authorities: [(&[u8], &[u8]); 4] =
        [(b"first CA", b"first CA"), (b"second CA", b"second CA"), (b"third CA", b"first CA"), (b"", b"first CA")];
    for mode in MODES {
        for (requested, expected) in authorities {
            for side in 0..2 {
                let mut configs = signing(mode, AuthMethod::RSA_SIGNATURE);
                for config in &mut configs {
                    let own =
                        |authority: &[u8]| [&config.local_identity.1[..], b" certificate of the ", authority].concat();
                    config.certificate = Some(own(b"first CA"));
                    config.further_certificates = vec![own(b"second CA")];
                    config.authority = requested;
                }
                let mut link = Link::new(configs, 9);
                let now = link.now;
                link.ends[side].initiate(now).unwrap();
                link.run(Duration::from_secs(15));
                assert_eq!(link.agreed(), 1, "{mode}: {:?}", link.counts());
                let seen = sent_to(&link);
                // The initiator of aggressive mode has the request of the other end in message 2, in time for its
                // proof.
                assert!(seen.ends_with(expected), "{mode}, {}: {}", requested.escape_ascii(), seen.escape_ascii());
            }
        }
    }
}

/// A certificate is requested from each peer that signs, as those of Cisco send none without a request; a host without
/// authorities requests none.
#[test]
fn certificate_is_sent_for_a_request_of_an_unknown_ca() {
    for mode in MODES {
        let mut configs = signing(mode, AuthMethod::RSA_SIGNATURE);
        configs[0].authority = b"unknown CA";
        let link = negotiated(configs, 10);
        assert_eq!(link.agreed(), 1, "{mode}: the configured certificate is sent: {:?}", link.counts());
    }
}

#[test]
fn hybrid_authentication_succeeds_with_either_side_as_the_client() {
    // The client has no certificate: its user is authenticated by a password after phase 1.
    for (method, client) in [(AuthMethod::HYBRID_INIT_RSA, 0), (AuthMethod::HYBRID_RESP_RSA, 1)] {
        for mode in MODES {
            let mut configs = signing(mode, method);
            configs[client].certificate = None;
            (configs[client].xauth, configs[1 - client].xauth) = (Some(XauthRole::Client), Some(XauthRole::Server));
            for config in &mut configs {
                config.user = Some((b"user".to_vec(), b"password".to_vec()));
            }
            let link = negotiated(configs, 3);
            assert_eq!(link.agreed(), 1, "{method}, {mode}: {:?}", link.counts());
        }
    }
}

#[test]
fn refusal_names_the_fault_of_a_signature() {
    let with_other_name = |config: &mut Config| config.certificate = Some(b"another.example certificate".to_vec());
    for mode in MODES {
        for side in 0..2 {
            let mut configs = signing(mode, AuthMethod::RSA_SIGNATURE);
            with_other_name(&mut configs[side]);
            let link = negotiated(configs, 4);
            let reasons: Vec<_> = link.ends[1 - side].failures.iter().map(|failure| failure.reason).collect();
            let expected = Refusal::Certificate(CertificateRefusal::Identity);
            assert!(reasons.contains(&expected), "{mode}, side {side}: {reasons:?}");
            assert_eq!(link.ends[1 - side].phase_1_up, 0);
            assert!(link.ends[1 - side].negotiator.counters().get(Counter::Certificate) > 0);
        }
    }
}

#[test]
fn without_a_private_key_the_negotiation_fails() {
    for mode in MODES {
        let mut configs = signing(mode, AuthMethod::RSA_SIGNATURE);
        configs[0].certificate = None;
        let link = negotiated(configs, 5);
        assert_eq!(link.ends[0].last_reason(), Some(Refusal::NoCredential), "{mode}: {:?}", link.counts());
        assert!(link.ends.iter().all(|end| end.phase_1_up == 0));
    }
}

#[test]
fn a_hash_in_the_place_of_a_signature_is_refused() {
    // One end is configured for the method of the other, and has the same key.
    for mode in MODES {
        let [signing, _] = signing(mode, AuthMethod::RSA_SIGNATURE);
        let [_, mut other] = self::signing(mode, AuthMethod::PRE_SHARED_KEY);
        other.key = Some(b"pre-shared key of the test".to_vec());
        let link = negotiated([signing, other], 6);
        let reason = link.ends[1].last_reason();
        assert!(matches!(reason, Some(Refusal::NoProposal(_))), "{mode}: {reason:?}");
    }
}

#[test]
fn signatures_may_be_supplied_later_by_the_host() {
    for mode in MODES {
        for number in 0..12 {
            let mut link = Link::new(signing(mode, AuthMethod::RSA_SIGNATURE), 7);
            for end in &mut link.ends {
                end.host.later.questions = Some(match number {
                    0 => |_| true,
                    1 => |n| n == 0,
                    2 => |n| n == 1,
                    3 => |n| n == 2,
                    4 => |n| n == 3,
                    5 => |n| n == 4,
                    6 => |n| n == 5,
                    7 => |n| n % 2 == 0,
                    _ => |n| n % 3 == 0,
                });
                end.host.later.delay = Duration::from_millis(300);
            }
            let now = link.now;
            link.ends[0].initiate(now).unwrap();
            link.run(Duration::from_secs(60));
            assert_eq!(link.agreed(), 1, "{mode}, {number}: {:?}", link.counts());
        }
    }
}

#[test]
fn signatures_are_verified_over_a_lossy_network() {
    let (mut agreed, runs) = (0, 600);
    for seed in 0..runs {
        let mode = MODES[(seed % 3) as usize];
        let mut link = Link::new(signing(mode, AuthMethod::RSA_SIGNATURE), seed);
        link.faults = Faults { lost: 20, repeated: 20, delayed: 20, ..Faults::default() };
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(300));
        agreed += usize::from(link.agreed() == 1);
    }
    assert!(agreed * 1000 >= runs as usize * 990, "{agreed} of {runs}");
}

#[test]
fn refused_signatures_end_an_exchange() {
    let mut configs = signing(ExchangeKind::MAIN, AuthMethod::RSA_SIGNATURE);
    configs[0].certificate = Some(b"another.example certificate".to_vec());
    let link = negotiated(configs, 8);
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::Certificate), 4, "three messages, and the end");
}
