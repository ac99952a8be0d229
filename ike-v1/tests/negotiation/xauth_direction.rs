//! Direction of the methods of extended and hybrid authentication: their number says which side is the client.

use std::time::Duration;

use ike_codec::{AuthMethod, Body, ExchangeKind, Message};
use ike_v1::{Counter, Difference, Mismatch, Refusal, XauthRole};

use crate::wire::Link;
use crate::xauth::{access, count, initiated, pull};

/// Methods of XAUTH and hybrid authentication. Those of the first column make the initiator the client.
const DIRECTIONS: [[AuthMethod; 2]; 7] = [
    [AuthMethod::XAUTH_INIT_PRE_SHARED, AuthMethod::XAUTH_RESP_PRE_SHARED],
    [AuthMethod::XAUTH_INIT_DSS, AuthMethod::XAUTH_RESP_DSS],
    [AuthMethod::XAUTH_INIT_RSA, AuthMethod::XAUTH_RESP_RSA],
    [AuthMethod::XAUTH_INIT_RSA_ENCRYPTION, AuthMethod::XAUTH_RESP_RSA_ENCRYPTION],
    [AuthMethod::XAUTH_INIT_RSA_REVISED, AuthMethod::XAUTH_RESP_RSA_REVISED],
    [AuthMethod::HYBRID_INIT_RSA, AuthMethod::HYBRID_RESP_RSA],
    [AuthMethod::HYBRID_INIT_DSS, AuthMethod::HYBRID_RESP_DSS],
];

/// Two clients, two servers, or a side without extended authentication: a method gives one of them another role than
/// the configured one.
#[test]
fn a_responder_refuses_methods_in_the_wrong_direction() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        for (column, initiator) in [(0, XauthRole::Client), (1, XauthRole::Server)] {
            for configured in [Some(initiator), None] {
                for row in DIRECTIONS {
                    let method = row[column];
                    // Encryption by public keys is not supported: this initiator gets as far as the offer of main mode.
                    if row[0].0 >= AuthMethod::XAUTH_INIT_RSA_ENCRYPTION.0 && exchange != ExchangeKind::MAIN {
                        continue;
                    }
                    let mut configs = access(method, 0, None);
                    configs.iter_mut().for_each(|config| config.exchanges = vec![exchange]);
                    (configs[0].xauth, configs[1].xauth) = (Some(initiator), configured);
                    let mut link = initiated(configs, 3016);
                    link.run(Duration::from_secs(5));
                    let given = if initiator == XauthRole::Client { XauthRole::Server } else { XauthRole::Client };
                    let difference = Difference::XauthRole { method, given, configured };
                    let expected = Refusal::NoProposal(Mismatch { transform: 1, difference });
                    assert_eq!(link.ends[1].last_reason(), Some(expected), "{exchange}, {method}");
                    assert!(link.ends.iter().all(|end| end.phase_1_up == 0 && end.host.exponentiations < 2));
                    let text = expected.to_string();
                    assert!(
                        text.contains(&format!("{method} makes this host the {given} of XAUTH, expected ")),
                        "{text}"
                    );
                }
            }
        }
    }
}

/// Proposals in the wrong direction are not sent; the others are.
#[test]
fn an_initiator_does_not_offer_methods_in_the_wrong_direction() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        for part in [Some(XauthRole::Server), None] {
            for [method, _] in DIRECTIONS {
                let mut configs = access(method, 0, None);
                configs[0].exchanges = vec![exchange];
                configs[0].xauth = part;
                let mut link = Link::new(configs, 3017);
                let now = link.now;
                // The request waits for phase 1, which does not begin.
                let _ = link.ends[0].initiate(now);
                link.run(Duration::from_secs(5));
                assert_eq!(link.ends[0].last_reason(), Some(Refusal::XauthRole), "{exchange}, {method}");
                assert_eq!((link.sent.len(), count(&link, 0, Counter::XauthRole)), (0, 1));
            }
        }
        let mut configs = pull();
        for config in &mut configs {
            config.exchanges = vec![exchange];
            let mut other = config.proposals[0];
            other.auth_method = AuthMethod::XAUTH_RESP_PRE_SHARED;
            config.proposals.insert(0, other);
        }
        let mut link = initiated(configs, 3018);
        link.run(Duration::from_secs(5));
        assert_eq!(link.agreed(), 1, "{exchange}: {:?}", link.counts());
        let first = Message::parse(&link.sent[0].1).unwrap();
        let Some(Body::SecurityAssociation(sa)) = first.payloads().next().map(|payload| payload.view()) else {
            panic!()
        };
        let offered: Vec<_> = sa.proposals().flat_map(|proposal| proposal.transforms()).collect();
        assert_eq!(offered.len(), 1, "{exchange}: that in its direction");
    }
}

/// The answer of a responder to an offer in the right direction that is altered to the other method.
#[test]
fn an_initiator_refuses_an_answer_in_the_wrong_direction() {
    let mut configs = pull();
    configs[1].proposals[0].auth_method = AuthMethod::XAUTH_RESP_PRE_SHARED;
    configs[1].xauth = Some(XauthRole::Client);
    let mut link = Link::new(configs, 3019);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    let alter = |message: &mut Vec<u8>, (from, to): (u16, u16)| {
        let [attribute, altered] = [from, to].map(|method| [&[0x80, 3][..], &method.to_be_bytes()].concat());
        let at = message.windows(4).position(|octets| octets == attribute).unwrap();
        message[at..at + 4].copy_from_slice(&altered);
    };
    let [init, resp] = [AuthMethod::XAUTH_INIT_PRE_SHARED, AuthMethod::XAUTH_RESP_PRE_SHARED];
    let mut first = link.ends[0].poll(now).pop().unwrap();
    alter(&mut first, (init.0, resp.0));
    link.ends[1].receive(now, first);
    let answer = link.ends[1].poll(now).pop().unwrap();
    link.ends[0].receive(now, answer);
    assert_eq!(count(&link, 0, Counter::ModifiedAnswer), 1);
    link.run(Duration::from_secs(120));
    let difference =
        Difference::XauthRole { method: resp, given: XauthRole::Server, configured: Some(XauthRole::Client) };
    let expected = Refusal::ModifiedAnswer(Mismatch { transform: 1, difference });
    assert_eq!(link.ends[0].last_reason(), Some(expected));
}
