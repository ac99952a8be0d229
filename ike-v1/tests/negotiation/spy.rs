//! Keys of a negotiation from its messages and the shared secret of an endpoint, to write further messages of a peer.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ike_codec::{
    Body, ConfigAttribute, ConfigKind, Doi, ExchangeKind, Header, Message, MessageWriter, NoSpace, Notification,
    NotifyKind, PayloadKind, ProtocolId, Value,
};
use ike_v1::{Cookies, Counter, Follower, IvChain, Phase1Keys, Protection, Role, Secrets, Verdict, plaintext};

use ipsec_crypto::PrfOutput;

use crate::endpoint::configs;
use crate::wire::Link;

/// Keys of an ISAKMP SA that was negotiated with the key of the default configuration.
pub struct Spy {
    pub cookies: Cookies,
    pub keys: Phase1Keys,
    protection: Protection,
    follower: RefCell<Follower<32, 1024>>,
}

/// Returns the body of the first payload of a kind.
fn body(message: &[u8], kind: PayloadKind) -> Vec<u8> {
    let parsed = Message::parse(message).unwrap();
    parsed.payloads().find(|payload| payload.kind == kind).unwrap().body.to_vec()
}

impl Spy {
    /// Derives the keys from the first six messages of a link.
    pub fn new(link: &Link) -> Self {
        Self::of(&link.sent[..6], &link.ends[0].host.first_shared)
    }

    /// Derives the keys from the first messages of a main mode of side 0, which are four at least.
    pub fn of(messages: &[(usize, Vec<u8>)], shared: &[u8]) -> Self {
        Self::try_of(messages, 0, shared).unwrap()
    }

    /// Derives the keys of every main mode that was completed on a link.
    pub fn all(link: &Link) -> Vec<Self> {
        let mut modes: BTreeMap<[u8; 8], Vec<(usize, Vec<u8>)>> = BTreeMap::new();
        for sent in &link.sent {
            let header = Header::parse(&sent.1).unwrap().0;
            let messages = modes.entry(header.initiator_cookie).or_default();
            if header.exchange == ExchangeKind::MAIN && !messages.contains(sent) {
                messages.push(sent.clone());
            }
        }
        // A restarted endpoint has forgotten its secrets, but the other one has them.
        let secrets = || link.ends.iter().flat_map(|end| &end.host.secrets);
        let complete = modes.values().filter(|messages| messages.len() == 6);
        let spies = complete.map(|messages| secrets().find_map(|shared| Self::try_of(messages, messages[0].0, shared)));
        spies.map(|spy| spy.expect("a secret of one endpoint is the shared one")).collect()
    }

    /// Derives the keys. Returns `None` if the secret is another one.
    fn try_of(messages: &[(usize, Vec<u8>)], initiator: usize, shared: &[u8]) -> Option<Self> {
        let [config, _] = configs();
        let secrets = Secrets { pre_shared_key: config.key.as_deref(), shared: Some(shared), ..Secrets::default() };
        let mut follower = Follower::new();
        for (side, message) in messages {
            let sender = if *side == initiator { Role::Initiator } else { Role::Responder };
            let followed = follower.follow(sender, &mut message.clone(), &secrets).ok()?;
            if !matches!(followed.verdict, Verdict::Absent | Verdict::Good) {
                return None;
            }
        }
        let keys = follower.phase_1_keys()?;
        let keys = Phase1Keys::import(keys.prf(), keys.d(), keys.a(), keys.e()).ok()?;
        let (cookies, protection) = (follower.cookies(), follower.protection()?);
        Some(Self { cookies, keys, protection, follower: RefCell::new(follower) })
    }

    /// Returns the informational exchanges of the SA on a link in cleartext, each with its position and its sender.
    pub fn informational(&self, link: &Link) -> Vec<(usize, usize, Vec<u8>)> {
        let of_sa = |(at, (side, message)): (usize, &(usize, Vec<u8>))| {
            let header = Header::parse(message).unwrap().0;
            let cookies = Cookies { initiator: header.initiator_cookie, responder: header.responder_cookie };
            let is_it = header.exchange == ExchangeKind::INFORMATIONAL && header.is_encrypted();
            (is_it && cookies == self.cookies).then(|| (at, *side, self.follow(message)))
        };
        link.sent.iter().enumerate().filter_map(of_sa).collect()
    }

    /// Returns message 5 of the first main mode in cleartext, with the chain of its encryption.
    pub fn message_5(&self, link: &Link) -> (Vec<u8>, IvChain) {
        let public = |message: &[u8]| body(message, PayloadKind::KEY_EXCHANGE);
        let chain = self.protection.phase_1(&public(&link.sent[2].1), &public(&link.sent[3].1));
        let mut message = link.sent[4].1.clone();
        let _next = self.protection.decrypt(&chain, &mut message).unwrap();
        (message, chain)
    }

    /// Encrypts a message.
    pub fn encrypt(&self, chain: &IvChain, writer: MessageWriter<'_>) -> Vec<u8> {
        let message = writer.finish_padded(self.protection.block()).unwrap();
        let _next = self.protection.encrypt(chain, message).unwrap();
        message.to_vec()
    }

    /// Returns the chain of a message ID after these messages.
    pub fn chain<'m>(&self, message_id: u32, messages: impl IntoIterator<Item = &'m Vec<u8>>) -> IvChain {
        for message in messages {
            self.follow(message);
        }
        self.follower.borrow().chain(message_id).unwrap()
    }

    /// Returns the last of these messages of a message ID in cleartext.
    pub fn open(&self, _message_id: u32, messages: &[&Vec<u8>]) -> Vec<u8> {
        messages.iter().map(|message| self.follow(message)).last().unwrap()
    }

    /// Decrypts the next message of an exchange.
    fn follow(&self, message: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        // The sender of a message after phase 1 does not matter.
        let followed = self.follower.borrow_mut().follow(Role::Initiator, &mut message, &Secrets::default()).unwrap();
        assert_eq!(followed.verdict, Verdict::Good);
        message
    }

    /// Writes a message with HASH(1) over its payloads.
    pub fn message(
        &self,
        (exchange, message_id): (ExchangeKind, u32),
        chain: &IvChain,
        payloads: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), NoSpace>,
    ) -> Vec<u8> {
        self.message_with(exchange, message_id, chain, payloads, |rest| self.keys.hash_1(message_id, rest))
    }

    /// Writes a message with a hash over its payloads.
    pub fn message_with(
        &self,
        exchange: ExchangeKind,
        message_id: u32,
        chain: &IvChain,
        payloads: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), NoSpace>,
        hash: impl FnOnce(&[u8]) -> PrfOutput,
    ) -> Vec<u8> {
        let mut buf = [0; 1024];
        let header = Header::new(self.cookies.initiator, self.cookies.responder, exchange, message_id);
        let mut writer = MessageWriter::new(&mut buf, &header).unwrap();
        let hash_len = self.keys.prf().output_len();
        writer.bytes(PayloadKind::HASH, &vec![0; hash_len]).unwrap();
        let begin = writer.len();
        payloads(&mut writer).unwrap();
        let end = writer.len();
        let message = writer.finish_padded(self.protection.block()).unwrap();
        let hash = hash(&message[begin..end]);
        message[begin - hash_len..begin].copy_from_slice(hash.expose());
        let _next = self.protection.encrypt(chain, message).unwrap();
        message.to_vec()
    }
}

/// Message of dead peer detection on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub side: usize,
    pub is_query: bool,
    pub number: u32,
    pub message_id: u32,
    pub sa: [u8; 8],
}

/// Returns the notification that follows the hash of a decrypted message.
pub fn notification(message: &[u8]) -> Option<Notification<'_>> {
    let chain = plaintext(message).unwrap();
    let [Body::Hash(_), Body::Notification(notification)] = chain.payloads().map(|p| p.view()).collect::<Vec<_>>()[..]
    else {
        return None;
    };
    Some(notification)
}

/// Checks the form of every message of dead peer detection, and returns them in the order of the wire.
pub fn seen(link: &Link) -> Vec<Seen> {
    let mut all = Vec::new();
    for spy in Spy::all(link) {
        let mut of_sa: Vec<Seen> = Vec::new();
        let mut ids = Vec::new();
        for (at, side, message) in spy.informational(link) {
            let message_id = Header::parse(&message).unwrap().0.message_id;
            assert!(!ids.contains(&message_id), "the message ID of an informational exchange is new");
            ids.push(message_id);
            let Some(notification) = notification(&message) else { continue };
            let is_query = notification.kind == NotifyKind::R_U_THERE;
            if !is_query && notification.kind != NotifyKind::R_U_THERE_ACK {
                continue;
            }
            let number = check_form(&notification, &[spy.cookies.initiator, spy.cookies.responder]);
            let mut before = of_sa.iter().filter(|seen| seen.is_query && seen.side == side);
            match before.next_back() {
                _ if !is_query => {
                    let is_it = |seen: &&Seen| (seen.side, seen.number) == (1 - side, number);
                    let asked = of_sa.iter().filter(|seen| seen.is_query).filter(is_it).count();
                    let is_own = |seen: &&Seen| (seen.side, seen.number, seen.is_query) == (side, number, false);
                    assert!(of_sa.iter().filter(is_own).count() < asked, "an answer to each query at most");
                }
                None => assert!((1..1 << 31).contains(&number), "the first number is below 2^31"),
                Some(last) => assert!([0, 1].contains(&(number - last.number)), "the same number, or the next one"),
            }
            let row = Seen { side, is_query, number, message_id, sa: spy.cookies.initiator };
            of_sa.push(row);
            all.push((at, row));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    let all: Vec<Seen> = all.into_iter().map(|(_, seen)| seen).collect();
    for side in 0..2 {
        let sent = |is_query| all.iter().filter(|seen| (seen.side, seen.is_query) == (side, is_query)).count();
        let count = |counter| link.ends[side].negotiator.counters().get(counter);
        // A restarted endpoint has new counters.
        assert!(count(Counter::DpdSent) as usize <= sent(true));
        assert!(count(Counter::DpdAnswersSent) as usize <= sent(false));
        assert_eq!(count(Counter::DpdMalformed), 0);
    }
    all
}

/// Checks a query or an answer, and returns its number.
//= RFC 3706 5.3/2, 5.3/3, 5.3/4, 5.3/6, 5.3/7, 6.1/1
//# SHOULD: the domain of interpretation is IPSEC
//# MUST: the protocol is ISAKMP
//# SHOULD: the SPI has sixteen octets
//# SHOULD: the SPI is the cookies of initiator and responder, in this order
//# MUST: the data is the sequence number
//# MUST: each query has a 32-bit sequence number
pub fn check_form(notification: &Notification<'_>, cookies: &[[u8; 8]; 2]) -> u32 {
    assert_eq!((notification.doi, notification.protocol), (Doi::IPSEC, ProtocolId::ISAKMP));
    assert_eq!(notification.spi, cookies.as_flattened(), "the SPI is both cookies in the order of the header");
    notification.number().expect("the data is a number of four octets")
}

/// Writes a notification with the number of octets in `data`.
pub fn message(spy: &Spy, message_id: u32, kind: NotifyKind, (spi, data): (&[[u8; 8]; 2], &[u8])) -> Vec<u8> {
    let (doi, protocol) = (Doi::IPSEC, ProtocolId::ISAKMP);
    let notification = Notification { doi, protocol, kind, spi: spi.as_flattened(), data };
    let write = |writer: &mut MessageWriter<'_>| -> Result<(), NoSpace> {
        writer.payload(PayloadKind::NOTIFICATION, |body| notification.write(body)).map(drop)
    };
    spy.message((ExchangeKind::INFORMATIONAL, message_id), &spy.chain(message_id, []), write)
}

/// Attribute payload on the wire: its sender, type and identifier, and the types and values of its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub side: usize,
    pub kind: ConfigKind,
    pub identifier: u16,
    pub message_id: u32,
    pub attributes: Vec<(u16, Vec<u8>)>,
}

/// Reads the attribute payload of a decrypted message.
pub fn attribute_payload(side: usize, message: &[u8]) -> Transaction {
    let chain = plaintext(message).unwrap();
    let [Body::Hash(_), Body::Config(config)] = chain.payloads().map(|payload| payload.view()).collect::<Vec<_>>()[..]
    else {
        panic!("the payloads are a hash and attributes");
    };
    let octets = |value: Value<'_>| match value {
        Value::Basic(value) => value.to_be_bytes().to_vec(),
        Value::Variable(octets) => octets.to_vec(),
    };
    let attributes = config.attributes.iter().map(|attribute| (attribute.kind, octets(attribute.value))).collect();
    let message_id = Header::parse(message).unwrap().0.message_id;
    Transaction { side, kind: config.kind, identifier: config.identifier, message_id, attributes }
}

/// Returns the messages of all transaction exchanges of an SA, without repetitions.
pub fn transactions(spy: &Spy, link: &Link) -> Vec<Transaction> {
    let mut all: Vec<Transaction> = Vec::new();
    for (at, (side, message)) in link.sent.iter().enumerate() {
        let is_repeated = link.sent[..at].iter().any(|(_, before)| before == message);
        if Header::parse(message).unwrap().0.exchange == ExchangeKind::TRANSACTION && !is_repeated {
            let seen = attribute_payload(*side, &spy.open(0, &[message]));
            let first = all.iter().find(|first| first.message_id == seen.message_id);
            let answer = match first.map(|first| first.kind) {
                Some(ConfigKind::REQUEST) => Some(ConfigKind::REPLY),
                Some(ConfigKind::SET) => Some(ConfigKind::ACK),
                _ => None,
            };
            assert!(answer.map_or(seen.kind.0 % 2 == 1, |answer| seen.kind == answer), "{seen:?}");
            assert!(first.is_none_or(|first| (first.identifier, 1 - first.side) == (seen.identifier, seen.side)));
            all.push(seen);
        }
    }
    all
}

/// Writes a message of a transaction exchange.
pub fn transaction(
    spy: &Spy,
    message_id: u32,
    (kind, identifier): (ConfigKind, u16),
    attributes: &[(ConfigAttribute, &[u8])],
    padding: &[u8],
) -> Vec<u8> {
    let write = |writer: &mut MessageWriter<'_>| -> Result<(), NoSpace> {
        let payload = writer.payload(PayloadKind::CONFIG, |body| {
            body.put(&[kind.0, 0])?;
            body.put(&identifier.to_be_bytes())?;
            body.attributes(|list| attributes.iter().try_for_each(|(kind, value)| list.variable(kind.0, value)))?;
            body.put(padding)
        });
        payload.map(drop)
    };
    spy.message((ExchangeKind::TRANSACTION, message_id), &spy.chain(message_id, []), write)
}
