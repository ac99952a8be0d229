//! Offers of other daemons, as they were recorded: the responder answers them as the peer in the recording did.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ike_codec::{
    Body, EncapsulationMode, ExchangeKind, Header, IdKind, Identification, Message, MessageWriter, NotifyKind,
    PayloadKind, SecurityAssociation,
};
use ike_v1::{
    Follower, PeerDefaults, Phase1Choice, Phase2Choice, ProposalCheck, Role, Secrets, Verdict, XauthRole, plaintext,
};
use ipsec_packet::{AddressRange, Selector, Upper};
use ipsec_sa::Mode;
use test_vectors::{ConversationRecord, conversations};

use crate::endpoint::configs;
use crate::spy::{Spy, check_form, message, notification};
use crate::wire::Link;
use crate::xauth;

/// Messages of one exchange.
type Exchange = Vec<Vec<u8>>;

/// Returns the payload of a kind in a message, by its position among those of the kind.
fn body(message: &[u8], kind: PayloadKind, position: usize) -> Option<Vec<u8>> {
    let chain = plaintext(message).ok()?;
    let found = chain.payloads().filter(|payload| payload.kind == kind).nth(position);
    found.map(|payload| payload.body.to_vec())
}

fn with_sa<T>(message: &[u8], read: impl FnOnce(&SecurityAssociation<'_>) -> T) -> Option<T> {
    let chain = plaintext(message).ok()?;
    let sa = chain.payloads().find_map(|payload| match payload.view() {
        Body::SecurityAssociation(sa) => Some(sa),
        _ => None,
    })?;
    Some(read(&sa))
}

/// Returns the choice of an answer, without its SPIs: number and protocol of each proposal, number and ID of its
/// transform, and its attributes, which some daemons return in another order.
fn chosen(message: &[u8]) -> Vec<String> {
    let chosen = |sa: &SecurityAssociation<'_>| {
        let transforms = sa.proposals().flat_map(|proposal| {
            let transforms: Vec<_> = proposal.transforms().collect();
            transforms.into_iter().map(move |transform| {
                let mut attributes: Vec<_> = (&transform.attributes).into_iter().map(|a| format!("{a:?}")).collect();
                attributes.sort();
                let (number, protocol) = (proposal.number, proposal.protocol);
                format!("{number} {protocol} {} {} {attributes:?}", transform.number, transform.id.0)
            })
        });
        transforms.collect()
    };
    with_sa(message, chosen).unwrap()
}

/// Exchanges of phase 1.
const PHASE_1: [ExchangeKind; 3] = [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE];

/// Returns the first two messages of each phase 1 of a conversation.
fn phase_1_modes(record: &ConversationRecord) -> Vec<Exchange> {
    let wires = || record.messages.iter().map(|entry| entry.wire.to_vec());
    let header = |wire: &[u8]| *Message::parse(wire).unwrap().header();
    let firsts = wires().filter(|wire| {
        let header = header(wire);
        PHASE_1.contains(&header.exchange) && header.responder_cookie == [0; 8]
    });
    let mut found: Vec<Exchange> = Vec::new();
    for first in firsts {
        let answer = wires().find(|wire| {
            let (answer, first) = (header(wire), header(&first));
            answer.exchange == first.exchange
                && answer.initiator_cookie == first.initiator_cookie
                && answer.responder_cookie != [0; 8]
        });
        if let Some(answer) = answer.filter(|_| !found.iter().any(|exchange| exchange[0] == first)) {
            found.push(vec![first, answer]);
        }
    }
    found
}

#[test]
fn first_messages_of_phase_1_are_answered_as_by_the_recorded_daemons() {
    let mut answered = BTreeMap::new();
    for record in conversations() {
        for exchange in phase_1_modes(&record) {
            let [first, answer] = &exchange[..] else { panic!() };
            let read = |sa: &SecurityAssociation<'_>| {
                let transform = sa.proposals().next()?.transforms().next()?;
                Phase1Choice::read(&transform.attributes, &PeerDefaults::RFC).ok()
            };
            let Some(choice) = with_sa(answer, read).flatten() else { continue };
            // The responders of these recordings have changed the number of the proposal, which vpnc begins at 0.
            if record.id.starts_with("vpnc-") {
                continue;
            }
            let mut configs = configs();
            (configs[1].proposals, configs[1].check) = (vec![choice], ProposalCheck::Obey);
            configs[1].exchanges = PHASE_1.to_vec();
            configs[1].has_real_groups = true;
            configs[1].xauth = Some(XauthRole::Server);
            configs[1].certificate = Some(b"certificate".to_vec());
            let mut link = Link::new(configs, 990);
            link.inject(1, first.clone());
            let (_, own) = link.sent.last().unwrap_or_else(|| panic!("{}: {:?}", record.id, link.ends[1].failures));
            assert_eq!(chosen(own), chosen(answer), "{}", record.id);
            let mode = Message::parse(first).unwrap().header().exchange;
            *answered.entry(mode.0).or_insert(0) += 1;
        }
    }
    let [main, aggressive, base] = PHASE_1.map(|mode| answered.get(&mode.0).copied().unwrap_or(0));
    assert_eq!((main, aggressive, base), (33, 3, 2));
}

/// Returns the first two messages of each quick mode of a conversation in cleartext.
fn quick_modes(record: &ConversationRecord) -> Vec<Exchange> {
    let exchanges = exchanges(record, ExchangeKind::QUICK);
    exchanges.into_iter().filter(|exchange| exchange.len() >= 2).collect()
}

/// Returns the messages of each exchange of a type in a conversation in cleartext, in the order of the wire.
fn exchanges(record: &ConversationRecord, exchange: ExchangeKind) -> Vec<Exchange> {
    let mut found: Vec<(u32, Exchange)> = Vec::new();
    let shared: Vec<Option<&[u8]>> = match &record.shared[..] {
        [] => vec![None],
        all => all.iter().map(|shared| Some(&shared[..])).collect(),
    };
    for shared in shared {
        let mut followers: Vec<([u8; 8], Follower<16, 1024>)> = Vec::new();
        for entry in &record.messages {
            let mut wire = entry.wire.to_vec();
            let header = *Message::parse(&wire).unwrap().header();
            let cookie = header.initiator_cookie;
            if !followers.iter().any(|(known, _)| *known == cookie) {
                followers.push((cookie, Follower::new()));
            }
            let (_, follower) = followers.iter_mut().find(|(known, _)| *known == cookie).unwrap();
            let sender = if entry.from_ == "initiator" { Role::Initiator } else { Role::Responder };
            let ka = record.ka.iter().find(|(known, _)| known[..] == cookie[..]);
            let secrets = Secrets {
                pre_shared_key: record.psk.as_deref(),
                shared,
                encryption_key: ka.map(|(_, ka)| &ka[..]),
                ..Secrets::default()
            };
            let Ok(followed) = follower.follow(sender, &mut wire, &secrets) else { continue };
            if header.exchange != exchange || followed.verdict == Verdict::Absent {
                continue;
            }
            match found.iter_mut().find(|(id, _)| *id == header.message_id) {
                Some((_, exchange)) if !exchange.contains(&wire) => exchange.push(wire),
                Some(_) => {}
                None => found.push((header.message_id, vec![wire])),
            }
        }
    }
    found.into_iter().map(|(_, exchange)| exchange).collect()
}

fn range(id: &Identification<'_>) -> AddressRange {
    match (id.kind, id.data) {
        (IdKind::IPV4, &[a, b, c, d]) => AddressRange::host(IpAddr::from([a, b, c, d])),
        (IdKind::IPV4_SUBNET, &[a, b, c, d, ref mask @ ..]) => {
            let length = mask.iter().map(|octet| octet.count_ones()).sum::<u32>() as u8;
            AddressRange::prefix(IpAddr::from([a, b, c, d]), length).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_messages_of_quick_mode_are_answered_as_in_the_recording() {
    let mut answered = 0;
    for (number, (record, exchange)) in
        conversations().iter().flat_map(|record| quick_modes(record).into_iter().map(move |e| (record, e))).enumerate()
    {
        let [first, answer, ..] = &exchange[..] else { panic!() };
        let read = |sa: &SecurityAssociation<'_>| {
            let proposal = sa.proposals().next()?;
            let transform = proposal.transforms().next()?;
            Phase2Choice::read(proposal.protocol, transform.id, &transform.attributes, &PeerDefaults::RFC).ok()
        };
        let choice = with_sa(answer, read).flatten().unwrap_or_else(|| panic!("{}", record.id));
        // The responder of this recording has changed the transform number, against RFC 2408 section 4.2.
        if record.id == "vpnc-none-3des-md5-modp1024" {
            continue;
        }
        // Encapsulation in UDP is not negotiated.
        let mode = match choice.encapsulation {
            Some(EncapsulationMode::TUNNEL) => Mode::Tunnel,
            Some(EncapsulationMode::TRANSPORT) => Mode::Transport,
            _ => continue,
        };
        let mut link = Link::new(configs(), 991);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(5));
        let spy = Spy::new(&link);
        let ids: Vec<_> = (0..2).filter_map(|position| body(first, PayloadKind::ID, position)).collect();
        let chain = plaintext(first).unwrap();
        let mut ranges = chain.payloads().filter_map(|payload| match payload.view() {
            Body::Identification(id) => Some(range(&id)),
            _ => None,
        });
        let [peer, own] = [(); 2].map(|()| ranges.next().unwrap());
        let config = &mut link.ends[1].host.config;
        config.policy = Some(Selector { source: own, destination: peer, upper: Upper::Any });
        (config.esp, config.mode, config.check) = (vec![choice], mode, ProposalCheck::Obey);
        config.has_real_groups = true;
        let message_id = 1000 + number as u32;
        let message = spy.message((ExchangeKind::QUICK, message_id), &spy.chain(message_id, []), |writer| {
            let chain = plaintext(first).unwrap();
            for payload in chain.payloads().filter(|payload| payload.kind != PayloadKind::HASH) {
                writer.bytes(payload.kind, payload.body)?;
            }
            Ok(())
        });
        let before = link.sent.len();
        link.inject(1, message.clone());
        let own = link.sent.get(before).unwrap_or_else(|| panic!("{}: {:?}", record.id, link.ends[1].failures));
        let own = spy.open(message_id, &[&message, &own.1]);
        assert_eq!(chosen(&own), chosen(answer), "{}", record.id);
        for (position, id) in ids.iter().enumerate() {
            assert_eq!(body(&own, PayloadKind::ID, position).as_ref(), Some(id), "{}", record.id);
        }
        answered += 1;
    }
    assert_eq!(answered, 26);
}

#[test]
fn dead_peer_detection_matches_the_recording() {
    let record = conversations().into_iter().find(|record| record.id == "racoon-isakmpd-dpd-30s").unwrap();
    let recorded: Vec<_> = exchanges(&record, ExchangeKind::INFORMATIONAL).into_iter().flatten().collect();
    let read = |message: &Vec<u8>| {
        let header = Header::parse(message).unwrap().0;
        let of_dpd = [NotifyKind::R_U_THERE, NotifyKind::R_U_THERE_ACK];
        let notification = notification(message).filter(|notification| of_dpd.contains(&notification.kind))?;
        let number = check_form(&notification, &[header.initiator_cookie, header.responder_cookie]);
        Some((notification.kind, number))
    };
    let all: Vec<_> = recorded.iter().filter_map(read).collect();
    let numbers = |kind| all.iter().filter(move |(own, _)| *own == kind).map(|(_, number)| *number).collect::<Vec<_>>();
    let (asked, answered) = (numbers(NotifyKind::R_U_THERE), numbers(NotifyKind::R_U_THERE_ACK));
    assert_eq!(answered, asked[..2], "the first two queries are answered");
    let first = asked[0];
    assert_eq!(asked.iter().map(|number| number - first).collect::<Vec<_>>(), [0, 1, 2, 2, 2, 2, 2]);
    // The same queries under the keys of another SA have the same answers, and repeated ones are answered again.
    let mut link = Link::new(configs(), 992);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    let spy = Spy::new(&link);
    let cookies = [spy.cookies.initiator, spy.cookies.responder];
    for (message_id, number) in (2000..).zip(asked) {
        let before = link.sent.len();
        let data = number.to_be_bytes();
        link.inject(1, message(&spy, message_id, NotifyKind::R_U_THERE, (&cookies, &data)));
        let answer = spy.open(0, &[&link.sent[before].1]);
        let answer = notification(&answer).unwrap();
        assert_eq!((answer.kind, check_form(&answer, &cookies)), (NotifyKind::R_U_THERE_ACK, number));
    }
}

/// Plays the part of one side of recorded transaction exchanges, with an endpoint as the other side.
#[test]
fn extended_authentication_matches_the_recording() {
    let mut exchanged = 0;
    for id in ["strongswan-main-xauth-psk", "vpnc-strongswan-aggressive-xauth-psk", "vpnc-none-3des-md5-modp1024"] {
        let record = conversations().into_iter().find(|record| record.id == id).unwrap();
        let recorded = exchanges(&record, ExchangeKind::TRANSACTION);
        let payload = |message: &Vec<u8>| body(message, PayloadKind::CONFIG, 0).unwrap();
        let (login, status) = (&recorded[0], &recorded[1]);
        let mut configs = xauth::pull();
        let user = Some((b"alice".to_vec(), b"wonder-land".to_vec()));
        configs.iter_mut().for_each(|config| config.user = user.clone());
        // The server of the recording sends its request to the client of the test.
        let mut link = xauth::until_asked(configs, 993);
        let spy = Spy::new(&link);
        for (message_id, exchange) in (8000..).zip([login, status]) {
            let write =
                |writer: &mut MessageWriter<'_>| writer.bytes(PayloadKind::CONFIG, &payload(&exchange[0])).map(drop);
            let first = spy.message((ExchangeKind::TRANSACTION, message_id), &spy.chain(message_id, []), write);
            let before = link.sent.len();
            link.inject(0, first.clone());
            let own = spy.open(message_id, &[&first, &link.sent[before].1]);
            let (own, theirs) = (payload(&own), payload(&exchange[1]));
            match message_id {
                8000 => assert_eq!(own, theirs, "{id}"),
                // An acknowledgement repeats the value, or is empty.
                _ => assert_eq!((&own[..4], own[4] & 0x7f, own[5]), (&theirs[..4], theirs[4] & 0x7f, theirs[5])),
            }
            exchanged += 1;
        }
        assert_eq!(link.ends[0].logged_in, 1);
        // The client of the recording answers the server of the test, and requests its configuration.
        let request = link.sent.iter().find(|(side, message)| *side == 1 && message[18] == 6).unwrap().1.clone();
        let cleartext = spy.open(0, &[&request]);
        let (header, asked) = (Header::parse(&request).unwrap().0, payload(&cleartext));
        let mut reply = payload(&login[1]);
        reply[2..4].copy_from_slice(&asked[2..4]);
        let write =
            |body: Vec<u8>| move |writer: &mut MessageWriter<'_>| writer.bytes(PayloadKind::CONFIG, &body).map(drop);
        let reply = spy.message(
            (ExchangeKind::TRANSACTION, header.message_id),
            &spy.chain(header.message_id, []),
            write(reply),
        );
        let before = link.sent.len();
        link.inject(1, reply);
        let set = spy.open(0, &[&link.sent[before].1]);
        assert_eq!(payload(&set)[4..], payload(&status[0])[4..], "{id}");
        assert_eq!(link.ends[1].logged_in, 1);
        let Some(config) = recorded.get(2) else { continue };
        let first = spy.message((ExchangeKind::TRANSACTION, 8100), &spy.chain(8100, []), write(payload(&config[0])));
        let before = link.sent.len();
        link.inject(1, first.clone());
        let own = payload(&spy.open(8100, &[&first, &link.sent[before].1]));
        let theirs = payload(&config[1]);
        // Type, identifier, and the attribute of the address, which is the first one.
        assert_eq!(own[..12], theirs[..12], "{id}");
        exchanged += 1;
    }
    assert_eq!(exchanged, 8);
}
