//! Hosts that answer later: every query, each single query, and over a faulty network.

use std::time::Duration;

use ike_codec::{AuthMethod, ExchangeKind, Group};
use ike_v1::{Counter, ModeConfig, Refusal, Target};
use ipsec_sa::Mode;

use crate::bundles;
use crate::endpoint::{Config, configs, first_message};
use crate::order::check_spis;
use crate::renewal::{agreed, initiate};
use crate::wire::{Faults, Link};
use crate::xauth;

/// Returns configurations without and with perfect forward secrecy, with a bundle, with other exchanges of phase 1, and
/// with extended authentication.
fn all_configs() -> Vec<[Config; 2]> {
    let secret = || {
        configs().map(|mut config| {
            config.esp[0] = config.esp[0].with_group(Group::MODP_768);
            config
        })
    };
    let bundle = bundles::both(&bundles::templates(Mode::Tunnel));
    let with = |exchange| configs().map(|config| Config { exchanges: vec![exchange], ..config });
    let (aggressive, base) = (with(ExchangeKind::AGGRESSIVE), with(ExchangeKind::BASE));
    let push = Some((ModeConfig::Accept, ModeConfig::Assign));
    let pushed = xauth::access(AuthMethod::XAUTH_RESP_PRE_SHARED, 1, push);
    vec![configs(), secret(), bundle, aggressive, base, xauth::pull(), pushed]
}

fn link(configs: [Config; 2], seed: u64, questions: fn(usize) -> bool, delay: u64) -> Link {
    let mut link = Link::new(configs, seed);
    for end in &mut link.ends {
        end.host.later.questions = Some(questions);
        end.host.later.delay = Duration::from_millis(delay);
    }
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link
}

/// Returns the number of queries of a negotiation without faults, by endpoint.
fn count(configs: [Config; 2]) -> [usize; 2] {
    let mut link = link(configs, 800, |_| false, 0);
    link.run(Duration::from_secs(5));
    assert!(link.agreed() > 0);
    link.ends.each_ref().map(|end| end.host.later.count)
}

#[test]
fn the_host_may_answer_every_query_later() {
    for (number, configs) in all_configs().into_iter().enumerate() {
        let expected = count(configs.clone());
        for delay in [0, 700, 3000] {
            let mut link = link(configs.clone(), 801, |_| true, delay);
            link.run(Duration::from_secs(60));
            let protocols = configs[0].bundle.len().max(1);
            assert_eq!(link.agreed(), protocols, "{number}, {delay}: {:?}", link.counts());
            for (side, end) in link.ends.iter().enumerate() {
                // The pre-shared key is requested again with each later query.
                let suspended = end.negotiator.counters().get(Counter::Suspended) as usize;
                assert!(suspended >= expected[side] && suspended <= 2 * expected[side], "{suspended}");
                assert!(end.host.later.waiting.is_empty() && end.failures.is_empty());
            }
        }
    }
}

#[test]
fn the_host_may_answer_each_single_query_later() {
    // A function pointer has no captures: the queries are selected by constants.
    const ALONE: [fn(usize) -> bool; 12] = [
        |n| n == 0,
        |n| n == 1,
        |n| n == 2,
        |n| n == 3,
        |n| n == 4,
        |n| n == 5,
        |n| n == 6,
        |n| n == 7,
        |n| n == 8,
        |n| n == 9,
        |n| n % 2 == 0,
        |n| n % 3 == 0,
    ];
    for configs in all_configs() {
        assert!(count(configs.clone()).iter().all(|count| *count <= 10), "every question is forced");
        for questions in ALONE {
            let mut link = link(configs.clone(), 802, questions, 300);
            link.run(Duration::from_secs(60));
            assert_eq!(link.agreed(), configs[0].bundle.len().max(1));
        }
    }
}

#[test]
fn repeated_messages_do_not_disturb_a_step_that_waits_for_the_host() {
    for seed in 0..600 {
        let configs = all_configs().swap_remove(seed as usize % 7);
        let protocols = configs[0].bundle.len().max(1);
        let mut link = link(configs, 900 + seed, |n| n % 2 == 0, seed % 4 * 900);
        link.faults = Faults { lost: seed % 3 * 10, repeated: 50, delayed: 20, truncated: 20, forged: 0 };
        link.run(Duration::from_secs(200));
        assert_eq!(link.agreed(), protocols, "seed {seed}: {:?}", link.counts());
        assert!(link.ends.iter().all(|end| end.host.later.waiting.is_empty()));
    }
}

#[test]
fn a_missing_answer_of_the_host_ends_the_exchange() {
    for side in 0..2 {
        let mut link = link(configs(), 803, |_| false, 0);
        link.ends[side].host.later.questions = Some(|n| n == 3);
        link.ends[side].host.later.delay = Duration::from_secs(100_000);
        link.run(Duration::from_secs(400));
        assert_eq!(link.agreed(), 0);
        assert_eq!(link.ends[side].last_reason(), Some(Refusal::HostTimeout), "side {side}: {:?}", link.counts());
        // Whatever was reserved is released.
        assert!(link.ends.iter().all(|end| end.inbound.is_empty() && end.host.reserved.is_empty()));
    }
}

#[test]
fn a_refusal_after_an_answer_of_the_host_leaves_no_state() {
    for side in 0..2 {
        let mut configs = configs();
        configs[side].spis = 0;
        let mut link = link(configs, 804, |_| true, 400);
        link.run(Duration::from_secs(300));
        assert_eq!(link.agreed(), 0);
        assert!(link.ends[side].failures.iter().any(|failure| failure.reason == Refusal::NoSpi));
        assert!(link.ends.iter().all(|end| end.inbound.is_empty() && end.host.later.waiting.is_empty()));
    }
    let mut configs = configs();
    configs[1].key = Some(b"another key".to_vec());
    let mut link = link(configs, 805, |_| true, 400);
    link.run(Duration::from_secs(300));
    assert!(link.ends.iter().all(|end| end.inbound.is_empty() && end.phase_1_up == 0));
    assert!(link.ends[1].negotiator.counters().get(Counter::WrongKeyLikely) > 0);
}

#[test]
fn a_deletion_ends_a_step_that_waits_for_the_host() {
    for messages in 0..9 {
        let mut link = link(configs(), 806, |_| true, 1000);
        let end = link.now + Duration::from_secs(30);
        while link.sent.len() < messages && link.step(end) {}
        for _ in 0..2 {
            let now = link.now;
            for side in &mut link.ends {
                side.negotiator.delete(now, Target::All, &mut side.host);
            }
        }
        link.run(Duration::from_secs(300));
        assert_eq!(link.agreed(), 0);
        assert!(link.ends.iter().all(|end| end.inbound.is_empty() && end.outbound.is_empty()));
        assert!(link.ends.iter().all(|end| end.negotiator.is_idle()), "{:?}", link.counts());
    }
}

#[test]
fn a_reflected_message_causes_no_query_to_the_host() {
    let mut link = link(configs(), 807, |_| false, 0);
    let end = link.now + Duration::from_secs(1);
    while link.sent.len() < 3 {
        assert!(link.step(end));
    }
    let (own, asked) = (link.sent[2].1.clone(), link.ends[0].host.later.count);
    // Each of many copies; the exchange permits two key exchanges.
    for _ in 0..5 {
        link.inject(0, own.clone());
    }
    assert_eq!(link.ends[0].negotiator.counters().get(Counter::Reflected), 5, "{:?}", link.counts());
    assert_eq!(link.ends[0].host.later.count, asked);
    link.run(Duration::from_secs(5));
    assert_eq!(link.agreed(), 1);
}

/// The initiator has returned the cookie: its exchange must not be evicted for forged addresses.
#[test]
fn an_exchange_that_waits_for_the_host_is_not_replaced() {
    for (is_late, seed) in [(false, 60), (true, 61)] {
        let mut link = Link::new(configs(), seed);
        if is_late {
            link.ends[1].host.later.questions = Some(|n| n == 0);
            link.ends[1].host.later.delay = Duration::from_secs(5);
        }
        initiate(&mut link, 0);
        while link.sent.len() < 3 {
            let end = link.now + Duration::from_secs(1);
            link.step(end);
        }
        link.run(Duration::from_millis(20));
        for last in 1..10 {
            link.inject_from(last, first_message(configs()[0].clone(), 100 + u64::from(last)));
        }
        link.run(Duration::from_secs(100));
        assert_eq!(link.agreed(), 1, "late: {is_late}: {:?}", link.counts());
    }
}

#[test]
fn quick_mode_message_1_is_accepted_again_after_the_host_had_no_spi() {
    for is_late in [false, true] {
        let mut configs = configs();
        configs[1].spis = 0;
        let mut link = Link::new(configs, 9);
        if is_late {
            for end in &mut link.ends {
                end.host.later.questions = Some(|_| true);
                end.host.later.delay = Duration::from_millis(100);
            }
        }
        initiate(&mut link, 0);
        let end = link.now + Duration::from_secs(30);
        while link.ends[1].last_reason() != Some(Refusal::NoSpi) && link.step(end) {}
        assert_eq!(link.ends[1].last_reason(), Some(Refusal::NoSpi));
        link.ends[1].host.config.spis = u32::MAX;
        link.run(Duration::from_secs(30));
        assert_eq!(link.agreed(), 1, "late: {is_late}: {:?}", link.counts());
    }
}

/// A shared secret that was computed is not computed again because the SPI comes later.
#[test]
fn the_shared_secret_is_computed_once_while_the_spi_is_pending() {
    for is_late in [false, true] {
        let configs = configs().map(|mut config| {
            config.esp[0] = config.esp[0].with_group(ike_codec::Group::MODP_768);
            config
        });
        let mut link = Link::new(configs, 13);
        if is_late {
            link.ends[1].host.later.questions = Some(|n| n == 5);
        }
        initiate(&mut link, 0);
        link.run(Duration::from_secs(10));
        assert_eq!(link.agreed(), 1);
        assert_eq!(link.ends[1].negotiator.counters().get(Counter::Suspended), u32::from(is_late));
        assert_eq!(link.ends[1].host.exponentiations, 4, "late: {is_late}");
    }
}

/// The policy of a responder changes while it waits for an SPI.
#[test]
fn a_policy_change_during_a_pending_step_leaves_no_reserved_spi() {
    let mut link = Link::new(bundles::both(&bundles::templates(Mode::Tunnel)), 17);
    let all = configs();
    // Pre-shared key, public value, shared secret, SPIs.
    link.ends[1].host.later.questions = Some(|n| n == 4);
    link.ends[1].host.later.delay = Duration::from_secs(3);
    initiate(&mut link, 0);
    let end = link.now + Duration::from_secs(1);
    while link.step(end) {}
    assert_eq!(link.ends[1].host.later.waiting.len(), 1);
    assert_eq!(link.ends[1].host.reserved.len(), 1, "one SPI is reserved");
    link.ends[1].host.config.bundle.clear();
    link.ends[1].host.config.esp = all[1].esp.clone();
    link.run(Duration::from_secs(300));
    assert_eq!(link.agreed(), 0);
    let now = link.now;
    for end in &mut link.ends {
        end.negotiator.delete(now, Target::All, &mut end.host);
    }
    link.run(Duration::from_secs(300));
    check_spis(&link);
    assert!(link.ends.iter().all(|end| end.inbound.is_empty() && end.negotiator.is_idle()));
}

/// An ISAKMP SA is evicted for a newer one while a quick mode in it waits for the host.
#[test]
fn quick_mode_that_waits_for_the_host_completes_after_the_end_of_its_isakmp_sa() {
    let mut link = agreed(18);
    link.ends[0].host.later.questions = Some(|_| true);
    link.ends[0].host.later.delay = Duration::from_secs(100_000);
    let now = link.now;
    let id = link.ends[0].initiate_policy(now, 2).unwrap();
    link.run(Duration::from_millis(10));
    link.ends[0].host.later.questions = None;
    for round in 0..3 {
        link.ends[0].deaf = true;
        let now = link.now;
        let sa = link.ends[1].negotiator.sas().next().unwrap().id();
        let end = &mut link.ends[1];
        end.negotiator.delete(now, Target::IsakmpSa(sa), &mut end.host);
        link.run(Duration::from_secs(1));
        link.ends[0].deaf = false;
        let now = link.now;
        link.ends[1].initiate_policy(now, 3 + round).unwrap();
        let end = link.now + Duration::from_secs(1);
        while link.ends[0].phase_1_gone.is_empty() && link.step(end) {}
    }
    assert_eq!(link.ends[0].phase_1_gone, [ike_v1::Gone::Superseded]);
    let now = link.now;
    link.ends[0].resume(now);
    link.run(Duration::from_secs(100));
    let end = &link.ends[0];
    let has_pair = end.outbound.values().any(|installed| installed.sa == id);
    assert!(has_pair, "{:?} {:?}", end.failures, link.counts());
}
