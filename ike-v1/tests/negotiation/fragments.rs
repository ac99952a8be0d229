//! Fragments of messages that are too long for one datagram.

use std::time::Duration;

use ike_codec::{ExchangeKind, IdKind, Message, PayloadKind, write_fragment};
use ike_v1::Counter;

use crate::endpoint::{Config, configs, first_message};
use crate::wire::{Faults, Link};

/// Configurations whose identities are so long that the messages with them are divided.
fn long(exchange: ExchangeKind, size: u16) -> [Config; 2] {
    configs().map(|config| Config {
        exchanges: vec![exchange],
        local_identity: (IdKind::KEY_ID, vec![7; 1700]),
        fragment_size: size,
        ..config
    })
}

fn is_fragment(datagram: &[u8]) -> bool {
    Message::parse(datagram).unwrap().payloads().any(|payload| payload.kind == PayloadKind::FRAGMENT)
}

/// Negotiates with side 0 as initiator.
fn negotiated(configs: [Config; 2], faults: Faults, seed: u64) -> Link {
    let mut link = Link::new(configs, seed);
    link.faults = faults;
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(60));
    link
}

#[test]
fn fragments_any_order() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE] {
        for seed in 0..50 {
            // The wire delivers datagrams of one time in any order.
            let faults = Faults { delayed: 30, repeated: 30, ..Faults::default() };
            let link = negotiated(long(exchange, 600), faults, seed);
            assert_eq!(link.agreed(), 1, "{exchange}, {seed}: {:?}", link.counts());
            assert!(link.sent.iter().any(|(_, datagram)| is_fragment(datagram)), "{exchange}");
        }
    }
}

#[test]
fn fragments_of_racoon_552() {
    for size in [552, 1280] {
        let link = negotiated(long(ExchangeKind::MAIN, size), Faults::default(), 1);
        let fragments = link.sent.iter().filter(|(_, datagram)| is_fragment(datagram));
        // Without IPv4 header, UDP header and non-ESP marker.
        assert_eq!(fragments.map(|(_, datagram)| datagram.len()).max(), Some(usize::from(size) - 20 - 8 - 4));
        assert_eq!(link.agreed(), 1);
    }
}

#[test]
fn fragments_go_to_peers_that_support_them_only() {
    for side in 0..2 {
        let mut configs = long(ExchangeKind::MAIN, 600);
        configs[side].fragment_size = 0;
        let link = negotiated(configs, Faults::default(), 2);
        assert_eq!(link.agreed(), 1);
        assert!(!link.sent.iter().any(|(_, datagram)| is_fragment(datagram)));
    }
}

#[test]
fn a_lost_fragment_is_healed_by_the_retransmission() {
    let count = negotiated(long(ExchangeKind::MAIN, 600), Faults::default(), 3).sent.len();
    for lost in 0..count {
        let mut link = Link::new(long(ExchangeKind::MAIN, 600), 3);
        link.loses_message(lost);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(60));
        assert_eq!(link.agreed(), 1, "datagram {lost}: {:?}", link.counts());
    }
}

/// A link whose responder waits for message 5, and the fragments of that.
fn before_message_5() -> (Link, Vec<Vec<u8>>) {
    let mut link = Link::new(long(ExchangeKind::MAIN, 600), 4);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    while link.sent.len() < 4 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    let (now, message) = (link.now, link.sent[3].1.clone());
    link.ends[0].receive(now, message);
    let fragments = link.ends[0].poll(now);
    assert!(fragments.len() > 2 && fragments.iter().all(|datagram| is_fragment(datagram)));
    (link, fragments)
}

#[test]
fn fragment_conflict() {
    let (mut link, fragments) = before_message_5();
    let mut changed = fragments[0].clone();
    *changed.last_mut().unwrap() ^= 1;
    let now = link.now;
    for datagram in [&fragments[0], &changed].into_iter().chain(&fragments[1..]) {
        link.ends[1].receive(now, datagram.clone());
    }
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::Fragment), 1);
    link.ends[1].poll(now);
    assert_eq!(link.ends[1].phase_1_up, 1, "the first copy counts");
}

#[test]
fn fragments_that_contradict_each_other_are_refused() {
    let (mut link, fragments) = before_message_5();
    let whole = [&fragments[0][..28], &[0; 2000]].concat();
    let forge = |id, number, data| {
        let mut buf = [0; 1200];
        write_fragment(&mut buf, &whole, id, number, data).unwrap().unwrap().to_vec()
    };
    let now = link.now;
    let mut too_high = forge(9, 1, 600);
    too_high[34] = 65;
    // A last fragment that is followed by another one, and a number above 64.
    for datagram in [forge(9, 2, 1100), forge(9, 3, 600), too_high] {
        link.ends[1].receive(now, datagram);
    }
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::Fragment), 2);
    // Those of another message take their place.
    for datagram in fragments {
        link.ends[1].receive(now, datagram);
    }
    link.ends[1].poll(now);
    assert_eq!(link.ends[1].phase_1_up, 1);
}

#[test]
fn fragments_come_in_half_a_minute() {
    let (mut link, fragments) = before_message_5();
    let now = link.now;
    link.ends[1].receive(now, fragments[0].clone());
    let late = now + Duration::from_secs(31);
    for datagram in &fragments[1..] {
        link.ends[1].receive(late, datagram.clone());
    }
    link.ends[1].poll(late);
    assert_eq!(link.ends[1].phase_1_up, 0);
    link.ends[1].receive(late, fragments[0].clone());
    link.ends[1].poll(late);
    assert_eq!(link.ends[1].phase_1_up, 1);
}

#[test]
fn fragmented_first_message() {
    let [config, _] = long(ExchangeKind::AGGRESSIVE, 600);
    let first = first_message(config.clone(), 5);
    let mut link = Link::new([config.clone(), config], 6);
    for number in 1..=4 {
        let mut buf = [0; 700];
        if let Some(fragment) = write_fragment(&mut buf, &first, 1, number, 600).unwrap() {
            link.inject(1, fragment.to_vec());
        }
    }
    assert!(link.ends[1].negotiator.counters().get(Counter::UnknownSa) >= 3, "{:?}", link.counts());
    assert_eq!(link.ends[1].host.exponentiations, 0);
}

#[test]
fn last_fragment_again() {
    let (mut link, fragments) = before_message_5();
    let now = link.now;
    for datagram in &fragments {
        link.ends[1].receive(now, datagram.clone());
    }
    let answers = link.ends[1].poll(now);
    assert!(!answers.is_empty());
    // The fragment alone is not the message; all of them are its duplicate, which is answered.
    link.ends[1].receive(now, fragments.last().unwrap().clone());
    assert_eq!(link.ends[1].poll(now), Vec::<Vec<u8>>::new());
    for datagram in &fragments {
        link.ends[1].receive(now, datagram.clone());
    }
    assert_eq!(link.ends[1].poll(now), answers);
}

#[test]
fn a_fragment_with_the_encryption_flag_is_accepted() {
    let (mut link, fragments) = before_message_5();
    let now = link.now;
    for mut datagram in fragments {
        datagram[19] |= 1;
        link.ends[1].receive(now, datagram);
    }
    link.ends[1].poll(now);
    assert_eq!(link.ends[1].phase_1_up, 1, "{:?}", link.counts());
}
