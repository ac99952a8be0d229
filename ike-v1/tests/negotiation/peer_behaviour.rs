//! Behaviour of peers that differs from the RFCs, and the messages that this host sends to them and accepts from them.

use std::time::Duration;

use ike_codec::{Doi, ExchangeKind, Header, Message, Notification, NotifyKind, PayloadKind, ProtocolId};
use ike_v1::{Nonces, plaintext};

use crate::endpoint::{Config, configs};
use crate::spy::Spy;
use crate::wire::Link;
use crate::xauth::pull;

/// Returns the number of octets of a message in cleartext up to the end of its last payload.
fn used(message: &[u8]) -> usize {
    28 + plaintext(message).unwrap().payloads().map(|payload| 4 + payload.body.len()).sum::<usize>()
}

/// Check Point drops messages whose length is padded to a multiple of four octets.
#[test]
fn messages_have_no_padding_but_that_of_the_cipher() {
    for exchange in [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE] {
        let configs = pull().map(|config| {
            let local_identity = (config.local_identity.0, b"odd.example".to_vec());
            Config { exchanges: vec![exchange], local_identity, ..config }
        });
        let mut link = Link::new(configs, 3400);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(10));
        assert_eq!(link.agreed(), 1, "{exchange}: {:?}", link.counts());
        let spy = Spy::new(&link);
        let (mut odd, mut encrypted) = (0, 0);
        for (_, message) in &link.sent {
            let header = Header::parse(message).unwrap().0;
            if !header.is_encrypted() {
                assert_eq!((message.len(), used(message)), (header.length as usize, message.len()), "{exchange}");
                odd += usize::from(message.len() % 4 != 0);
            } else if header.message_id != 0 {
                let opened = spy.open(header.message_id, &[message]);
                assert!(opened.len() - used(&opened) < 16 && (opened.len() - 28).is_multiple_of(16), "{exchange}");
                encrypted += 1;
            }
        }
        assert!(encrypted >= 9 && (odd > 0 || exchange == ExchangeKind::MAIN), "{exchange}: {odd}, {encrypted}");
    }
}

/// Completes quick mode with a RESPONDER-LIFETIME of this data in message 2. Returns the lifetime in seconds of the
/// outbound SA of the initiator.
fn with_responder_lifetime(data: &[u8]) -> Option<u64> {
    let mut link = Link::new(configs(), 3401);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.loses_message(7);
    while link.sent.len() < 8 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    let (first, answer) = (link.sent[6].1.clone(), link.sent[7].1.clone());
    let spy = Spy::new(&link);
    let opened = spy.open(0, &[&first, &answer]);
    let opened_first = Spy::new(&link).open(0, &[&first]);
    let nonce_of = |message: &[u8]| {
        let chain = plaintext(message).unwrap();
        chain.payloads().find(|payload| payload.kind == PayloadKind::NONCE).unwrap().body.to_vec()
    };
    let (initiator, responder) = (nonce_of(&opened_first), nonce_of(&opened));
    let nonces = Nonces { initiator: &initiator, responder: &responder };
    let id = Header::parse(&answer).unwrap().0.message_id;
    let spy = Spy::new(&link);
    let chain = spy.chain(id, [&first]);
    let message = spy.message_with(
        ExchangeKind::QUICK,
        id,
        &chain,
        |writer| {
            for payload in plaintext(&opened).unwrap().payloads().filter(|payload| payload.kind != PayloadKind::HASH) {
                writer.copy(&payload)?;
            }
            let (doi, protocol, kind) = (Doi::IPSEC, ProtocolId::ESP, NotifyKind::RESPONDER_LIFETIME);
            let notification = Notification { doi, protocol, kind, spi: &[1, 2, 3, 4], data };
            writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
        },
        |rest| spy.keys.hash_2(id, nonces.initiator, rest),
    );
    assert!(Message::parse(&message).is_ok());
    link.inject(0, message);
    // The responder has sent another message, and cannot read the answer.
    assert_eq!(link.ends[0].outbound.len(), 1, "{:?}", link.counts());
    link.ends[0].outbound.values().next().unwrap().limits.hard.age.map(|age| age.as_secs())
}

/// FortiGate sends a RESPONDER-LIFETIME whose attribute after the type is not a duration.
#[test]
fn responder_lifetime_without_a_duration_is_ignored() {
    let configured = with_responder_lifetime(&[]);
    assert_eq!(with_responder_lifetime(&[0x80, 1, 0, 1, 0x80, 2, 0, 120]), Some(120), "a valid one counts");
    let bogus: [&[u8]; 6] = [
        &[0x80, 1, 0, 1],
        &[0x80, 1, 0, 1, 0x80, 5, 0, 120],
        &[0x80, 1, 0, 1, 0x80, 4, 0, 1],
        &[0x80, 1, 0, 1, 0x80, 2, 0, 0],
        &[0x80, 1, 0, 1, 0, 2, 0, 9, 1],
        &[0x80, 1, 0],
    ];
    for data in bogus {
        assert_eq!(with_responder_lifetime(data), configured, "{data:x?}");
    }
}

/// The last column of the table of peer behaviour in the README is a test, or a file of tests.
#[test]
fn table_of_peer_behaviour_names_tests_that_exist() {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = ["tests", "tests/negotiation"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(own.join(directory)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let exists = |name: &str| match name.strip_suffix(".rs") {
        Some(_) => files.iter().any(|file| file.ends_with(name)),
        None => text.contains(&format!("#[test]\nfn {name}() {{")),
    };
    let readme = std::fs::read_to_string(own.join("README.md")).unwrap();
    let (_, table) = readme.split_once("| peer | behaviour | negotiator | test |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells: Vec<_> = rows.map(|row| row.rsplit('|').nth(1).unwrap()).collect();
    assert!(cells.len() > 20, "{} rows", cells.len());
    for cell in cells {
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() && names.iter().all(|name| exists(name)), "{cell}");
    }
}
