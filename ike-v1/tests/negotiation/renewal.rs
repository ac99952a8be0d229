//! Change from an old pair of SAs to a new one without loss, and negotiations that cross.

use std::time::Duration;

use ike_v1::{Counter, Gone, Refusal, Role, Settings, Target};
use ipsec_packet::Instant;
use ipsec_sa::Direction;

use crate::endpoint::{Config, TestNegotiator, configs, seconds};
use crate::wire::{Faults, Link};

pub fn agreed(seed: u64) -> Link {
    let mut link = Link::new(configs(), seed);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    // A negotiation of the other end within half a minute would be one that has crossed.
    link.run(Duration::from_secs(40));
    assert_eq!(link.agreed(), 1);
    link
}

pub fn initiate(link: &mut Link, side: usize) {
    let now = link.now;
    link.ends[side].initiate(now).unwrap();
}

/// Runs for a time, in which each endpoint can always send packets that the other one receives.
fn run_without_loss(link: &mut Link, time: Duration) {
    let end = link.now + time;
    loop {
        link.collect();
        for side in 0..2 {
            let other = &link.ends[1 - side];
            let outbound = &link.ends[side].outbound;
            assert!(outbound.keys().all(|spi| other.inbound.contains_key(spi)), "the peer receives with every SA");
            assert!((1..=2).contains(&outbound.len()), "there is always an outbound SA");
            assert!(!link.ends[side].has_gap, "a new SA is installed before the old one is removed");
        }
        if !link.step(end) {
            break;
        }
    }
    link.now = end;
}

/// Returns the SPIs with which each endpoint sends.
pub fn senders(link: &Link) -> [Vec<u32>; 2] {
    [0, 1].map(|side| link.ends[side].outbound.keys().copied().collect())
}

fn reasons(link: &Link, side: usize, direction: Direction) -> Vec<Gone> {
    let of_direction = link.ends[side].gone.iter().filter(|gone| gone.0 == direction);
    of_direction.map(|gone| gone.2).collect()
}

/// One event for each exchange, also if a message is repeated.
#[test]
fn the_beginning_of_phase_1_is_an_event_of_both_ends() {
    let mut link = agreed(490);
    assert_eq!([0, 1].map(|side| link.ends[side].begun.clone()), [vec![Role::Initiator], vec![Role::Responder]]);
    initiate(&mut link, 1);
    link.run(Duration::from_secs(10));
    assert_eq!(link.ends[1].begun.len(), 1, "phase 2 uses the ISAKMP SA");
}

#[test]
fn the_old_outbound_sa_is_used_until_the_peer_sends_on_the_new_one() {
    for shows in [false, true] {
        let mut link = agreed(500);
        let old = senders(&link);
        initiate(&mut link, 0);
        // Three messages of 10 to 19 milliseconds.
        run_without_loss(&mut link, Duration::from_millis(100));
        let new = senders(&link);
        assert_eq!(new[0], old[0], "the initiator has no confirmation of the peer");
        assert_ne!(new[1], old[1], "message 3 confirms the pair to the responder only");
        assert!(link.ends.iter().all(|end| end.inbound.len() == 2));
        if shows {
            let (now, end) = (link.now, &mut link.ends[0]);
            let sa = end.inbound[&new[1][0]].sa;
            end.negotiator.heard_from(now, sa);
        } else {
            run_without_loss(&mut link, Duration::from_secs(2));
        }
        run_without_loss(&mut link, Duration::from_millis(1));
        assert_ne!(senders(&link)[0], old[0]);
        for side in 0..2 {
            assert_eq!(reasons(&link, side, Direction::Outbound), [Gone::Renewed]);
        }
    }
}

#[test]
fn the_initiator_deletes_the_old_pair_after_two_minutes() {
    let mut link = agreed(501);
    initiate(&mut link, 1);
    run_without_loss(&mut link, Duration::from_secs(119));
    assert!(link.ends.iter().all(|end| end.inbound.len() == 2));
    let before = link.sent.len();
    run_without_loss(&mut link, Duration::from_secs(10));
    assert_eq!(link.sent.len() - before, 2, "one delete payload, twice");
    assert_eq!(reasons(&link, 1, Direction::Inbound), [Gone::Renewed]);
    assert_eq!(reasons(&link, 0, Direction::Inbound), [Gone::DeletedByPeer]);
    assert_eq!(link.agreed(), 1);
    run_without_loss(&mut link, Duration::from_secs(600));
    assert_eq!(link.sent.len() - before, 2);
}

#[test]
fn an_old_pair_that_expires_earlier_is_not_deleted() {
    let mut configs = configs();
    for config in &mut configs {
        config.esp[0] = config.esp[0].with_lifetimes(seconds(100));
    }
    let mut link = Link::new(configs, 502);
    initiate(&mut link, 0);
    link.run(Duration::from_secs(85));
    initiate(&mut link, 0);
    run_without_loss(&mut link, Duration::from_secs(30));
    for side in 0..2 {
        assert_eq!(reasons(&link, side, Direction::Inbound), [Gone::Expired]);
        assert_eq!(reasons(&link, side, Direction::Outbound), [Gone::Renewed]);
    }
}

#[test]
fn a_pair_of_another_policy_stays_in_use() {
    let mut link = agreed(503);
    let now = link.now;
    link.ends[0].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_secs(300));
    assert_eq!(link.agreed(), 2);
    assert!(link.ends.iter().all(|end| end.gone.is_empty()));
}

#[test]
fn simultaneous_renewals_leave_one_pair_in_use() {
    let mut winners = [0; 2];
    for seed in 0..200 {
        let mut link = agreed(600 + seed);
        let old = senders(&link);
        initiate(&mut link, 0);
        // The second first message leaves before the other one arrives.
        link.run(Duration::from_millis(seed % 10));
        initiate(&mut link, 1);
        run_without_loss(&mut link, Duration::from_secs(5));
        let [a, b] = senders(&link);
        assert_eq!((a.len(), b.len()), (1, 1));
        assert!(a != old[0] && b != old[1]);
        let pair_of = |side: usize, spi: u32| link.ends[side].outbound[&spi].sa;
        for (side, spi) in [(0, a[0]), (1, b[0])] {
            let other = if side == 0 { b[0] } else { a[0] };
            assert_eq!(link.ends[side].inbound[&other].sa, pair_of(side, spi), "both send with the same pair");
        }
        assert!(link.ends.iter().all(|end| end.inbound.len() == 3), "all inbound SAs receive");
        // The redundant pair is deleted by its initiator after a minute.
        let before = link.sent.len();
        run_without_loss(&mut link, Duration::from_secs(70));
        let deletions = &link.sent[before..];
        assert_eq!(deletions.len(), 2, "seed {seed}");
        assert_eq!(deletions[0].0, deletions[1].0);
        winners[1 - deletions[0].0] += 1;
        assert!(link.ends.iter().all(|end| end.inbound.len() == 2));
    }
    assert!(winners.iter().all(|count| *count > 60), "the nonces select the redundant pair: {winners:?}");
}

#[test]
fn crossing_main_modes_leave_one_isakmp_sa_in_use() {
    for seed in 0..50 {
        let mut link = Link::new(configs(), 700 + seed);
        initiate(&mut link, 0);
        link.run(Duration::from_millis(seed % 10));
        initiate(&mut link, 1);
        link.run(Duration::from_secs(40));
        assert!(link.ends.iter().all(|end| end.phase_1_up == 2 && end.negotiator.sas().count() == 2));
        // The cookies of the next quick mode of each end.
        let cookies = [0, 1].map(|side| {
            let (before, now) = (link.sent.len(), link.now);
            link.ends[side].initiate_policy(now, 2 + side as u32).unwrap();
            link.run(Duration::from_secs(5));
            link.sent[before].1[..16].to_vec()
        });
        assert_eq!(cookies[0], cookies[1], "seed {seed}");
        assert_eq!(link.agreed(), 3);
    }
}

#[test]
fn a_renewal_waits_for_the_renewal_of_the_peer() {
    let mut link = agreed(504);
    initiate(&mut link, 0);
    link.run(Duration::from_millis(60));
    let (before, now) = (link.sent.len(), link.now);
    let of_peer = link.ends[1].initiate(now).unwrap();
    link.run(Duration::from_secs(4));
    assert!(link.ends[1].inbound.values().any(|installed| installed.sa == of_peer));
    assert_eq!(link.sent.len(), before, "the pair of the peer is used");
    link.run(Duration::from_secs(2));
    initiate(&mut link, 1);
    link.run(Duration::from_secs(1));
    assert_eq!(link.sent.len() - before, 3, "five seconds later this host renews the SA itself");
}

#[test]
fn quick_modes_beyond_the_limit_of_pairs_are_refused() {
    let mut link = agreed(505);
    let refused = |link: &Link| link.ends[1].negotiator.counters().get(Counter::TooManySas);
    for _ in 0..7 {
        initiate(&mut link, 0);
        link.run(Duration::from_millis(500));
    }
    assert_eq!(refused(&link), 0);
    assert!(link.ends.iter().all(|end| end.inbound.len() == 8 && end.failures.is_empty()));
    let exponentiations = link.ends[1].host.exponentiations;
    initiate(&mut link, 0);
    link.run(Duration::from_secs(9));
    assert!(refused(&link) > 0);
    assert_eq!(link.ends[1].last_reason(), Some(Refusal::TooManySas));
    assert_eq!(link.ends[1].host.exponentiations, exponentiations);
    assert_eq!(link.ends[1].inbound.len(), 8);
    // The initiator has no answer, as it may try again later.
    link.run(Duration::from_secs(60));
    let before = link.ends[1].inbound.len();
    initiate(&mut link, 0);
    link.run(Duration::from_secs(3));
    assert_eq!(link.ends[1].inbound.len(), before + 1);
    assert_eq!(link.agreed(), 1);
}

#[test]
fn renewals_over_a_lossy_network_drop_no_packets() {
    for seed in 0..1000 {
        let mut link = agreed(10_000 + seed);
        link.faults = Faults { lost: seed % 4 * 10, repeated: 20, delayed: seed % 3 * 10, ..Faults::default() };
        for round in 0..3 {
            link.run(Duration::from_secs(6));
            let sides: &[usize] = [&[0][..], &[1], &[0, 1]][(seed as usize + round) % 3];
            sides.iter().for_each(|side| initiate(&mut link, *side));
            run_with_traffic(&mut link, Duration::from_secs(100));
        }
        link.faults = Faults::default();
        run_with_traffic(&mut link, Duration::from_secs(200));
        assert_eq!(link.agreed(), 1, "seed {seed}: {:?}", link.counts());
    }
}

/// Runs for a time, in which each endpoint sends packets at any moment. The other one receives all of them.
fn run_with_traffic(link: &mut Link, time: Duration) {
    let end: Instant = link.now + time;
    while link.step(end) {
        let now = link.now;
        for side in 0..2 {
            let senders: Vec<u32> = link.ends[side].outbound.keys().copied().collect();
            assert!(!senders.is_empty(), "{:?}", link.counts());
            for spi in senders {
                let received = link.ends[1 - side].inbound.get(&spi).map(|installed| installed.sa);
                let sa = received.unwrap_or_else(|| panic!("packet of an unknown SA: {:?}", link.counts()));
                link.ends[1 - side].negotiator.heard_from(now, sa);
            }
        }
        link.collect();
    }
    link.now = end;
}

fn with_lifetime(life: u64) -> [Config; 2] {
    configs().map(|mut config| {
        config.esp[0] = config.esp[0].with_lifetimes(seconds(life));
        config
    })
}

#[test]
fn soft_lifetimes_are_random_and_shorter_for_the_initiator() {
    // Parts of the lifetime in permille: of the initiator, and of the responder.
    let (mut least, mut most) = ([u128::MAX; 2], [0; 2]);
    for seed in 0..100 {
        let mut link = Link::new(with_lifetime(3600), 1200 + seed);
        initiate(&mut link, 0);
        link.run(Duration::from_secs(5));
        for (side, end) in link.ends.iter().enumerate() {
            for installed in end.inbound.values().chain(end.outbound.values()) {
                assert_eq!(installed.limits.hard.age, Some(Duration::from_secs(3600)));
                let soft = installed.limits.soft.age.unwrap().as_millis() / 3600;
                (least[side], most[side]) = (least[side].min(soft), most[side].max(soft));
            }
        }
    }
    assert!((800..810).contains(&least[0]) && (890..=900).contains(&most[0]), "{} to {}", least[0], most[0]);
    assert!((900..905).contains(&least[1]) && (945..=950).contains(&most[1]), "{} to {}", least[1], most[1]);
}

#[test]
fn sas_with_a_lifetime_of_two_seconds_are_renewed_in_time() {
    let mut link = Link::new(with_lifetime(2), 1300);
    initiate(&mut link, 0);
    link.run(Duration::from_millis(200));
    assert_eq!(link.agreed(), 1);
    for (end, soft) in link.ends.iter().zip([1000, 1500]) {
        let mut limits = end.inbound.values().chain(end.outbound.values()).map(|installed| installed.limits);
        assert!(limits.all(|limits| limits.soft.age == Some(Duration::from_millis(soft))));
    }
    // The initiator renews at its soft limit.
    for _ in 0..30 {
        run_without_loss(&mut link, Duration::from_secs(1));
        initiate(&mut link, 0);
    }
    run_without_loss(&mut link, Duration::from_secs(1));
    assert!(link.ends.iter().all(|end| end.failures.is_empty()), "{:?}", link.counts());
    // Without a renewal no SA is left.
    link.run(Duration::from_secs(5));
    assert!(link.ends.iter().all(|end| end.inbound.is_empty() && end.outbound.is_empty()));
}

#[test]
fn a_new_pair_is_used_when_the_old_one_expires_before_the_peer_sends_on_it() {
    let mut link = agreed(506);
    let old = senders(&link)[0][0];
    initiate(&mut link, 0);
    link.run(Duration::from_millis(100));
    assert_eq!(senders(&link)[0], [old], "the old SA is used until the peer sends on the new one");
    let (now, sa) = (link.now, link.ends[0].inbound[&senders(&link)[1][0]].sa);
    let of_old = link.ends[0].outbound[&old].sa;
    assert_ne!(of_old, sa);
    let end = &mut link.ends[0];
    end.negotiator.delete(now, Target::IpsecSa(of_old), &mut end.host);
    link.collect();
    assert_eq!(link.ends[0].outbound.values().map(|installed| installed.sa).collect::<Vec<_>>(), [sa]);
}

#[test]
fn a_redundant_pair_is_not_renewed() {
    let lifetime = |mut config: Config| {
        config.proposals[0] = config.proposals[0].with_lifetimes(seconds(600));
        config
    };
    for seed in 0..20 {
        let mut link = Link::new(configs().map(lifetime), 1400 + seed);
        initiate(&mut link, 0);
        initiate(&mut link, 1);
        link.run(Duration::from_secs(40));
        assert!(link.ends.iter().all(|end| end.phase_1_up == 2), "both main modes complete");
        link.run(Duration::from_secs(550));
        assert!(link.ends.iter().all(|end| end.phase_1_up == 3), "one of them is renewed: {:?}", link.counts());
        assert_eq!(link.agreed(), 1);
        // The redundant pair was deleted, and was not replaced by another negotiation.
        let deleted = [Gone::Redundant, Gone::DeletedByPeer];
        for (side, end) in link.ends.iter().enumerate() {
            assert_eq!(end.inbound.len(), 1);
            assert!(reasons(&link, side, Direction::Inbound).iter().all(|why| deleted.contains(why)));
        }
    }
}

/// Runs for a time, in which side 1 sends a packet each second with its oldest SA, which side 0 receives.
fn run_with_oldest_sa(link: &mut Link, time: u64) {
    for _ in 0..time {
        link.run(Duration::from_secs(1));
        let now = link.now;
        let oldest = link.ends[0].inbound.values().map(|installed| installed.sa).next().unwrap();
        link.ends[0].negotiator.heard_from(now, oldest);
        link.collect();
    }
}

#[test]
fn the_old_pair_is_deleted_for_peers_that_send_on_the_oldest_sa() {
    for deletes in [true, false] {
        let mut link = Link::new(with_lifetime(1000), 1500);
        let settings = Settings { delete_renewed: deletes, ..Settings::DAEMON };
        *link.ends[0].negotiator = TestNegotiator::new(settings, [7; 16]);
        initiate(&mut link, 0);
        link.run(Duration::from_secs(40));
        let old: Vec<u32> = link.ends[0].inbound.keys().copied().collect();
        initiate(&mut link, 0);
        run_with_oldest_sa(&mut link, 119);
        assert!(link.ends[0].inbound.contains_key(&old[0]), "packets of the old SA are accepted");
        run_with_oldest_sa(&mut link, 10);
        // The delete payload makes the peer use the new SA.
        assert_eq!(link.ends[0].inbound.contains_key(&old[0]), !deletes);
        assert!(link.ends[1].gone.contains(&(Direction::Outbound, old[0], Gone::Renewed)));
        link.run(Duration::from_secs(850));
        let why = if deletes { Gone::Renewed } else { Gone::Expired };
        assert_eq!(
            reasons(&link, 0, Direction::Inbound),
            [why],
            "without the deletion, the old SA exists until its lifetime ends"
        );
        assert_eq!(link.agreed(), 1);
    }
}

#[test]
fn renewals_every_second_over_a_lossy_network_leave_one_pair() {
    for seed in 0..20 {
        let mut link = agreed(20_000 + seed);
        link.faults = Faults { lost: 20, repeated: 10, delayed: 10, ..Faults::default() };
        for _ in 0..120 {
            let (now, end) = (link.now, &mut link.ends[seed as usize % 2]);
            // The table of twelve pairs may be full: old ones exist for two minutes.
            let refused = end.initiate(now).err();
            assert!(matches!(refused, None | Some(Refusal::Full(_))), "{refused:?}");
            run_with_traffic(&mut link, Duration::from_secs(1));
        }
        link.faults = Faults::default();
        run_with_traffic(&mut link, Duration::from_secs(400));
        assert_eq!(link.agreed(), 1, "seed {seed}: {:?}", link.counts());
        assert!(link.ends.iter().all(|end| end.outbound.len() == 1), "seed {seed}: one pair is used");
    }
}
