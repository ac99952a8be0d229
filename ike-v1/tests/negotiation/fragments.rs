//! Fragments of messages that are too long for one datagram.

use std::time::Duration;

use ike_codec::{ExchangeKind, IdKind, Message, PayloadKind, write_fragment};
use ike_v1::{Counter, Negotiator, Settings};
use ipsec_packet::Instant;

use crate::endpoint::{Config, Endpoint, configs, first_message, paths};
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
fn fragments_are_reassembled_in_any_order() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE] {
        for seed in 0..50 {
            // The network delivers datagrams of one time in any order.
            let faults = Faults { delayed: 30, repeated: 30, ..Faults::default() };
            let link = negotiated(long(exchange, 600), faults, seed);
            assert_eq!(link.agreed(), 1, "{exchange}, {seed}: {:?}", link.counts());
            assert!(link.sent.iter().any(|(_, datagram)| is_fragment(datagram)), "{exchange}");
        }
    }
}

#[test]
fn fragments_have_the_configured_size() {
    for size in [552, 1280] {
        let link = negotiated(long(ExchangeKind::MAIN, size), Faults::default(), 1);
        let fragments = link.sent.iter().filter(|(_, datagram)| is_fragment(datagram));
        // Without IPv4 header, UDP header and non-ESP marker.
        assert_eq!(fragments.map(|(_, datagram)| datagram.len()).max(), Some(usize::from(size) - 20 - 8 - 4));
        assert_eq!(link.agreed(), 1);
    }
}

#[test]
fn messages_are_fragmented_only_if_both_peers_support_it() {
    for side in 0..2 {
        let mut configs = long(ExchangeKind::MAIN, 600);
        configs[side].fragment_size = 0;
        let link = negotiated(configs, Faults::default(), 2);
        assert_eq!(link.agreed(), 1);
        assert!(!link.sent.iter().any(|(_, datagram)| is_fragment(datagram)));
    }
}

#[test]
fn a_lost_fragment_is_replaced_by_the_retransmission() {
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

/// Returns a link whose responder waits for message 5, and the fragments of that message.
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
fn the_first_copy_of_a_fragment_is_used() {
    let (mut link, fragments) = before_message_5();
    let mut changed = fragments[0].clone();
    *changed.last_mut().unwrap() ^= 1;
    let now = link.now;
    for datagram in [&fragments[0], &changed].into_iter().chain(&fragments[1..]) {
        link.ends[1].receive(now, datagram.clone());
    }
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::Fragment), 1);
    link.ends[1].poll(now);
    assert_eq!(link.ends[1].phase_1_up, 1, "the first copy is used");
}

#[test]
fn fragments_with_inconsistent_headers_are_refused() {
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
    // Those of another message replace them.
    for datagram in fragments {
        link.ends[1].receive(now, datagram);
    }
    link.ends[1].poll(now);
    assert_eq!(link.ends[1].phase_1_up, 1);
}

#[test]
fn incomplete_fragments_are_discarded_after_half_a_minute() {
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

/// Divides a message into fragments of this many octets.
fn divided(message: &[u8], size: usize) -> Vec<Vec<u8>> {
    let fragment = |number| {
        let mut buf = vec![0; size + 100];
        write_fragment(&mut buf, message, 1, number, size).unwrap().map(|fragment| fragment.to_vec())
    };
    (1..).map_while(fragment).collect()
}

fn exponentiations(link: &Link) -> usize {
    link.ends[1].host.exponentiations
}

/// strongSwan divides first messages, too, with `fragmentation = force`.
#[test]
fn first_messages_of_phase_1_are_accepted_in_fragments() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        for is_reversed in [false, true] {
            let configs = configs().map(|config| Config { exchanges: vec![exchange], ..config });
            let mut link = Link::new(configs, 5);
            let now = link.now;
            link.ends[0].initiate(now).unwrap();
            let first = link.ends[0].poll(now).pop().unwrap();
            let mut fragments = divided(&first, 60);
            if is_reversed {
                fragments.reverse();
            }
            let last = fragments.pop().unwrap();
            for _ in 0..2 {
                fragments.iter().for_each(|fragment| link.inject(1, fragment.clone()));
            }
            assert_eq!((link.sent.len(), exponentiations(&link)), (0, 0), "{exchange}");
            link.inject(1, last);
            assert_eq!(link.sent.len(), 1, "{exchange}: {:?}", link.counts());
            // All of them again are a duplicate of the message, which is answered again.
            divided(&first, 60).into_iter().for_each(|fragment| link.inject(1, fragment));
            assert_eq!(link.ends[1].negotiator.counters().get(Counter::AnsweredAgain), 1);
            link.sent.insert(0, (0, first));
            link.run(Duration::from_secs(15));
            assert_eq!(link.agreed(), 1, "{exchange}: {:?}", link.counts());
        }
    }
}

#[test]
fn first_messages_of_quick_mode_are_accepted_in_fragments() {
    let mut link = Link::new(configs(), 7);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
    let now = link.now;
    link.ends[0].initiate_policy(now, 2).unwrap();
    let first = link.ends[0].poll(now).pop().unwrap();
    assert_eq!(first[18], 32);
    // One with the same message ID that is not authentic is replaced by that of the peer.
    let forged = divided(&first, 50).remove(0);
    let mut datagram = forged.clone();
    *datagram.last_mut().unwrap() ^= 1;
    link.inject(1, datagram);
    link.inject(1, first.clone());
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 2, "{:?}", link.counts());
    let now = link.now;
    link.ends[0].initiate_policy(now, 3).unwrap();
    let first = link.ends[0].poll(now).pop().unwrap();
    divided(&first, 50).into_iter().rev().for_each(|fragment| link.inject(1, fragment));
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 3, "{:?}", link.counts());
    // A message ID that was used is refused before anything is stored.
    link.inject(1, divided(&first, 50).remove(0));
    assert_eq!(link.ends[1].negotiator.counters().get(Counter::MessageIdReused), 1, "{:?}", link.counts());
}

#[test]
fn first_fragments_of_others_are_refused() {
    let config = || configs().map(|config| Config { exchanges: vec![ExchangeKind::AGGRESSIVE], ..config });
    let [initiator, _] = config();
    let fragment = divided(&first_message(initiator, 8), 60).remove(0);
    let refused = |change: fn(&mut Link), last, counter| {
        let mut link = Link::new(config(), 8);
        change(&mut link);
        let (now, mut path) = (link.now, link.ends[1].host.path);
        path.remote.set_ip([192, 0, 2, last].into());
        link.ends[1].receive_on(path, now, fragment.clone());
        assert_eq!(link.ends[1].negotiator.counters().get(counter), 1, "{:?}", link.counts());
        assert_eq!(link.ends[1].negotiator.poll_timeout(), None, "nothing is stored");
    };
    refused(|_| {}, 77, Counter::NoPeer);
    refused(|link| link.ends[1].host.config.exchanges = vec![ExchangeKind::MAIN], 1, Counter::ModeNotAllowed);
    refused(|link| link.ends[1].host.config.fragment_size = 0, 1, Counter::OutOfState);
}

/// First messages that are never complete, from many sources: others take their places, and nothing is computed.
#[test]
fn first_fragments_of_many_sources_do_not_prevent_a_negotiation() {
    let configs = configs().map(|config| Config { exchanges: vec![ExchangeKind::AGGRESSIVE], ..config });
    let mut link = Link::new(configs.clone(), 9);
    let flood = |link: &mut Link, seed: u64| {
        for last in 100..200 {
            let [config, _] = configs.clone();
            let fragments = divided(&first_message(config, seed + u64::from(last)), 60);
            link.inject_from(last, fragments[0].clone());
        }
    };
    flood(&mut link, 9000);
    assert_eq!((exponentiations(&link), link.sent.len()), (0, 0));
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    let first = link.ends[0].poll(now).pop().unwrap();
    // The newest source takes the place of the oldest one.
    let fragments = divided(&first, 60);
    fragments.into_iter().for_each(|fragment| link.inject(1, fragment));
    assert_eq!(link.sent.len(), 1, "{:?}", link.counts());
    link.sent.insert(0, (0, first));
    flood(&mut link, 10_000);
    link.run(Duration::from_secs(15));
    assert_eq!(link.agreed(), 1, "{:?}", link.counts());
    // All other places are in use by exchanges that have begun: fragments are refused.
    let counters = link.ends[1].negotiator.counters();
    assert_eq!((counters.get(Counter::Shed), counters.get(Counter::Internal)), (0, 0));
    flood(&mut link, 11_000);
    // They end without a report, and leave the place.
    let failures = link.ends[1].failures.len();
    link.run(Duration::from_secs(31));
    assert_eq!(link.ends[1].failures.len(), failures);
}

/// Sixteen exchanges: four are for first messages in fragments, two of them for one source.
#[test]
fn first_fragments_of_one_source_are_bounded() {
    let [config, other] = configs();
    let mut end = Endpoint::new(other, paths()[1], 10);
    end.host.accepts_every_address = true;
    let mut negotiator = Box::new(Negotiator::<2, 16, 2, 2048>::new(Settings::DAEMON, end.secret));
    let (mut now, mut seed) = (Instant::from_secs(5), 11);
    // The first fragments of messages of these sources, and then their others, from the newest message to the oldest.
    let mut answered = |sources: &[u8]| -> Vec<bool> {
        let mut receive = |fragment: &[u8], last: u8| {
            let mut path = paths()[1];
            path.remote.set_ip([203, 0, 113, last].into());
            now += Duration::from_millis(1);
            negotiator.handle_datagram(now, path, &mut fragment.to_vec(), &mut end.host);
            negotiator.poll_transmit(now, &mut [0; 2048]).is_some()
        };
        let messages = sources.iter().map(|last| {
            seed += 1;
            let fragments = divided(&first_message(config.clone(), seed), 60);
            assert!(!receive(&fragments[0], *last));
            (fragments, *last)
        });
        let messages: Vec<_> = messages.collect();
        let rest = messages.iter().rev().map(|(fragments, last)| {
            let answers: Vec<_> = fragments[1..].iter().map(|fragment| receive(fragment, *last)).collect();
            answers.contains(&true)
        });
        rest.collect()
    };
    assert_eq!(answered(&[1, 1, 1]), [true, true, false], "the oldest one of the source was evicted");
    assert_eq!(answered(&[2, 3, 4, 5, 6]), [true, true, true, true, false], "the oldest one of all");
}

#[test]
fn a_repeated_last_fragment_is_not_answered() {
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
