//! Bounds on what peers cause that have no more than the key of a group, or any certificate.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ike_codec::{AuthMethod, ExchangeKind};
use ike_v1::{CertificateRefusal, Counter, Gone, Negotiator, Refusal, Settings};

use crate::endpoint::{Config, Endpoint, paths};
use crate::signatures::signing;
use crate::wire::Link;
use crate::xauth::pull;

/// Creates a server whose clients are silent after phase 1.
fn server(settings: Settings) -> Endpoint {
    let [_, config] = pull();
    let mut end = Endpoint::new(config, paths()[1], 3300);
    end.host.accepts_every_address = true;
    *end.negotiator = Negotiator::new(settings, end.secret);
    end
}

/// Begins phase 1 between a new client at an address and a server. The client is silent when the server has completed
/// it.
fn open(server: &mut Endpoint, link: &mut Link, last: u8, seed: u64) {
    let now = link.now;
    let [config, _] = pull();
    let [mut path, mut back] = paths();
    let address: SocketAddr = ([192, 0, 2, last], 500).into();
    (path.local, back.remote) = (address, address);
    let mut client = Endpoint::new(config, path, seed);
    client.initiate(now).unwrap();
    let before = server.phase_1_up;
    for _ in 0..4 {
        let sent = client.poll_with_paths(now);
        sent.into_iter().for_each(|(_, datagram)| server.receive_on(back, now, datagram));
        let answers = server.poll_with_paths(now);
        if server.phase_1_up > before {
            break;
        }
        let to_client = answers.into_iter().filter(|(path, _)| path.remote == address);
        to_client.for_each(|(_, datagram)| client.receive(now, datagram));
    }
    link.now = now + Duration::from_secs(1);
}

fn holders(server: &Endpoint) -> Vec<IpAddr> {
    let mut all: Vec<_> = server.negotiator.sas().map(|view| view.path().remote.ip()).collect();
    all.sort();
    all
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// The table has three places: one source may use one of them for users that are not authenticated.
#[test]
fn isakmp_sas_without_an_authenticated_user_are_limited_for_each_source() {
    for limit in [1, 2] {
        let mut link = Link::new(pull(), 3301);
        let mut server = server(Settings { logins_per_source: limit, ..Settings::DAEMON });
        for number in 0..3 {
            open(&mut server, &mut link, 10, 3310 + number);
            assert_eq!(holders(&server), [address(10)], "limit {limit}");
        }
        let counters = server.negotiator.counters();
        // The second one of a source with one of one: half of the table is in use, and no other source has more.
        assert!(counters.get(Counter::TooManyLogins) > 0);
        assert_eq!(server.phase_1_up, if limit == 1 { 3 } else { 1 });
        assert_eq!(server.phase_1_gone, vec![Gone::Superseded; server.phase_1_up - 1]);
        // Another source is not refused.
        open(&mut server, &mut link, 11, 3320);
        assert_eq!(holders(&server), [address(11)], "an SA of the busiest source is removed");
    }
}

/// An SA whose user is authenticated is removed for none.
#[test]
fn isakmp_sas_with_an_authenticated_user_are_not_evicted() {
    let mut link = Link::new(pull(), 3302);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!((link.agreed(), link.ends[1].logged_in), (1, 1));
    let user = link.ends[1].host.path.remote.ip();
    link.ends[1].host.accepts_every_address = true;
    let mut other = Link::new(pull(), 3303);
    other.now = link.now;
    for (number, last) in (50..60).enumerate() {
        open(&mut link.ends[1], &mut other, last, 3330 + number as u64);
        let holders = holders(&link.ends[1]);
        assert_eq!(holders.len(), 2);
        assert!(holders.contains(&user) && holders.contains(&address(last)), "{holders:?}");
    }
}

/// The ISAKMP SAs of other users remain.
#[test]
fn the_oldest_isakmp_sa_of_a_user_with_many_ends() {
    let mut link = Link::new(pull(), 3305);
    for seed in 3306..3310 {
        let [mut config, _] = pull();
        (config.nat_traversal, config.initial_contact) = (ike_codec::NatTraversals::NONE, false);
        // Main mode and the login.
        link.begin_from(address(9), 5, Endpoint::new(config, paths()[0], seed));
        link.run(Duration::from_millis(100));
    }
    let end = &link.ends[1];
    // An ISAKMP SA whose user is not authenticated could be only one.
    assert_eq!((end.negotiator.sas().count(), end.negotiator.counters().get(Counter::TooManyLogins)), (2, 0));
}

/// Signatures of initiators in excess are not given to the host.
#[test]
fn signature_verifications_are_limited_for_all_initiators_together() {
    for mode in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        let configs = signing(mode, AuthMethod::RSA_SIGNATURE);
        let settings = Settings { verifications_per_second: 2, ..Settings::DAEMON };
        let mut link = Link::new(configs, 3304);
        *link.ends[1].negotiator = Negotiator::new(settings, link.ends[1].secret);
        link.ends[0].host.config.certificate = Some(b"another.example certificate".to_vec());
        let (mut refused, start) = (0, link.now);
        for seed in 0..4 {
            let [config, _] = signing(mode, AuthMethod::RSA_SIGNATURE);
            let mut config = Config { certificate: Some(b"another.example certificate".to_vec()), ..config };
            config.nat_traversal = ike_codec::NatTraversals::NONE;
            link.ends[0] = Endpoint::new(config, paths()[0], 3340 + seed);
            link.ends[0].initiate(start).unwrap();
            link.run(Duration::from_millis(100));
            refused += 1;
        }
        let counters = link.ends[1].negotiator.counters();
        let certificates = counters.get(Counter::Certificate);
        // In aggressive mode, the initiator repeats its last message because of what follows.
        assert_eq!(certificates, 2, "{mode}");
        assert!(counters.get(Counter::TooManyVerifications) >= refused - 2, "{mode}: {:?}", link.counts());
        // A second later, a peer with its certificate is authenticated.
        link.run(Duration::from_secs(200));
        let [config, _] = signing(mode, AuthMethod::RSA_SIGNATURE);
        link.ends[0] = Endpoint::new(config, paths()[0], 3350);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(10));
        assert_eq!(link.ends[0].phase_1_up, 1, "{mode}: {:?}", link.counts());
        let reasons: Vec<_> = link.ends[1].failures.iter().map(|failure| failure.reason).collect();
        assert!(reasons.contains(&Refusal::Certificate(CertificateRefusal::Identity)), "{reasons:?}");
    }
}
