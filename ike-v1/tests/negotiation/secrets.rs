//! Secrets of a negotiator in the text of `Debug`.

use std::time::Duration;

use ike_codec::Group;

use crate::endpoint::configs;
use crate::wire::Link;

/// A link whose initiator has sent its public value: its private value is in memory.
fn with_private_value() -> Link {
    let mut configs = configs();
    for config in &mut configs {
        config.esp[0] = config.esp[0].with_group(Group::MODP_768);
    }
    let mut link = Link::new(configs, 1600);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    while link.sent.len() < 3 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    link
}

#[test]
fn debug_shows_no_secret() {
    let link = with_private_value();
    let text = format!("{:?}", link.ends[0].negotiator);
    let private = format!("{:?}", link.ends[0].host.secrets[0]);
    assert!(!text.contains(private.trim_matches(['[', ']'])), "private value of an exchange");
    let key = format!("{:?}", link.ends[0].secret);
    assert!(!text.contains(&key), "key of the digests");
    assert!(text.contains("MainAwaitsKeyR"), "the state is shown");
}
