//! Every kind of message in every state of an exchange. None of them changes an SA, and the exchange completes.

use std::collections::BTreeMap;
use std::time::Duration;

use ike_codec::{
    BodyWriter, Delete, Doi, ExchangeKind, Flags, Header, MessageWriter, NoSpace, Notification, NotifyKind,
    PayloadKind, ProtocolId,
};
use ike_v1::{Cookies, Counter, Target};

use crate::endpoint::{Endpoint, configs, seconds};
use crate::wire::Link;
use crate::xauth;

/// Exchange types: base, main, aggressive, informational, transaction, quick and new group mode, and two without a
/// meaning.
const EXCHANGES: [u8; 9] = [1, 2, 4, 5, 6, 32, 33, 99, 240];

/// Counters that do not count a refused or ignored message.
const OTHERS: [Counter; 10] = [
    Counter::Received,
    Counter::Sent,
    Counter::Retransmitted,
    Counter::Suspended,
    Counter::Phase1Up,
    Counter::Phase2Up,
    Counter::Shed,
    Counter::NoAnswer,
    Counter::Deleted,
    Counter::FailuresLost,
];

/// Negotiations over a link, message by message.
struct Conversation {
    link: Link,
    /// Messages of the present exchanges in the order in which they were sent.
    messages: Vec<Vec<u8>>,
    /// Receiver of the last message, which is not delivered yet.
    to: usize,
    /// Set if message 2 of quick mode has the commit flag.
    sets_commit: bool,
    /// Exchange of phase 1, and its number of messages.
    exchange: ExchangeKind,
    phase_1: usize,
}

/// Exchanges of phase 1 with their numbers of messages.
const PHASE_1: [(ExchangeKind, usize); 3] =
    [(ExchangeKind::MAIN, 6), (ExchangeKind::AGGRESSIVE, 3), (ExchangeKind::BASE, 4)];

/// SAs that an endpoint has.
#[derive(Debug, PartialEq)]
struct Sas {
    isakmp: Vec<Cookies>,
    inbound: Vec<u32>,
    outbound: Vec<u32>,
    gone: usize,
    phase_1_up: usize,
}

impl Sas {
    fn of(end: &Endpoint) -> Self {
        Self {
            isakmp: end.negotiator.sas().map(|sa| sa.cookies()).collect(),
            inbound: end.inbound.keys().copied().collect(),
            outbound: end.outbound.keys().copied().collect(),
            gone: end.gone.len() + end.phase_1_gone.len(),
            phase_1_up: end.phase_1_up,
        }
    }
}

impl Conversation {
    /// Establishes an ISAKMP SA and a pair, and waits until the ISAKMP SA is renewed: its message 1 is to be delivered.
    fn new(seed: u64, (exchange, phase_1): (ExchangeKind, usize), is_later: bool, sets_commit: bool) -> Self {
        let lifetime = configs().map(|mut config| {
            config.proposals[0] = config.proposals[0].with_lifetimes(seconds(600));
            config.exchanges = vec![exchange];
            config
        });
        let mut link = Link::new(lifetime, seed);
        let now = link.now;
        link.ends[0].initiate(now).unwrap();
        link.run(Duration::from_secs(5));
        assert_eq!(link.agreed(), 1);
        let mut conversation = Self { link, messages: Vec::new(), to: 1, sets_commit, exchange, phase_1 };
        for end in &mut conversation.link.ends {
            end.host.later.questions = is_later.then_some(|_| true);
        }
        while conversation.messages.is_empty() {
            let end = &mut conversation.link.ends[0];
            conversation.link.now = end.negotiator.poll_timeout().unwrap();
            end.negotiator.handle_timeout(conversation.link.now, &mut end.host);
            conversation.collect(0);
            // The first query of aggressive and base mode precedes their first message.
            while !conversation.link.ends[0].host.later.waiting.is_empty() {
                conversation.link.ends[0].resume(conversation.link.now);
                conversation.collect(0);
            }
        }
        conversation
    }

    /// Returns the message that an endpoint sends.
    fn collect(&mut self, side: usize) {
        if let Some(message) = self.link.ends[side].poll(self.link.now).pop() {
            self.messages.push(message);
            self.to = 1 - side;
        }
    }

    /// Delivers the last message, and calls `waits` each time that the host has to be called again. Quick mode follows
    /// when phase 1 is complete. Returns false when no message follows.
    fn deliver(&mut self, mut waits: impl FnMut(&mut Self, bool)) -> bool {
        let (count, to) = (self.messages.len(), self.to);
        let mut message = self.messages[count - 1].clone();
        if self.sets_commit && count == self.phase_1 + 2 {
            message[19] |= Flags::COMMIT.0;
        }
        self.link.ends[to].receive(self.link.now, message);
        if count == self.phase_1 {
            self.collect(to);
            self.link.ends[to].initiate_policy(self.link.now, 2).unwrap();
        }
        self.collect(to);
        while !self.link.ends[to].host.later.waiting.is_empty() {
            // A message that is sent while another step waits is not delivered yet.
            let is_delivered = self.messages.len() == count;
            waits(self, is_delivered);
            self.link.ends[to].resume(self.link.now);
            self.collect(to);
        }
        self.messages.len() > count
    }

    /// Copies of the last message, if it is encrypted, in each of which another octet is changed.
    fn altered(&self) -> Vec<Vec<u8>> {
        let message = self.messages.last().unwrap();
        let is_encrypted = message[19] & Flags::ENCRYPTION.0 != 0;
        // The hash of message 3 of aggressive mode, which is its first payload, does not cover NAT-D.
        let end = if message[18] == ExchangeKind::AGGRESSIVE.0 { 52 } else { message.len() };
        let octets = (28..end).step_by(2).filter(|_| is_encrypted);
        let alter = |at| {
            let mut altered = message.clone();
            altered[at] ^= 1;
            altered
        };
        octets.map(alter).collect()
    }

    /// Returns messages that no step expects: those of another run, those that were delivered before, and others that
    /// are composed of every exchange type, flag, cookie, message ID and contents.
    fn noise(&self, recorded: &[Vec<u8>], is_delivered: bool) -> Vec<Vec<u8>> {
        let delivered = self.messages.len() - usize::from(!is_delivered);
        let first_run = self.link.sent.iter().map(|(_, message)| message);
        let mut noise: Vec<_> = recorded.iter().chain(first_run).chain(&self.messages[..delivered]).cloned().collect();
        let header = Header::parse(self.messages.last().unwrap()).unwrap().0;
        let (initiator, responder) = (header.initiator_cookie, header.responder_cookie);
        let old = Header::parse(&self.link.sent[2].1).unwrap().0;
        let wrong = [9; 8];
        let cookies = [
            (initiator, responder),
            (initiator, [0; 8]),
            ([0; 8], responder),
            ([0; 8], [0; 8]),
            (initiator, wrong),
            (wrong, wrong),
            (old.initiator_cookie, old.responder_cookie),
        ];
        let spi = *self.link.ends[1].outbound.keys().next().unwrap();
        for exchange in EXCHANGES.map(ExchangeKind) {
            for (initiator, responder) in cookies {
                for message_id in [0, header.message_id.max(1), 0x1234_5678] {
                    let header = Header::new(initiator, responder, exchange, message_id);
                    let composed = compose(&header, spi);
                    let flags = [Flags(0), Flags::ENCRYPTION, Flags::COMMIT, Flags(3)];
                    noise.extend(flags.iter().flat_map(|flags| composed.iter().map(|message| with(message, *flags))));
                }
            }
        }
        noise
    }

    /// Sends messages to an endpoint, each of which is counted and changes no state.
    fn disturb(&mut self, recorded: &[Vec<u8>], is_delivered: bool) {
        let (altered, noise) = (self.altered(), self.noise(recorded, is_delivered));
        for side in 0..2 {
            let before = Sas::of(&self.link.ends[side]);
            let is_later = self.link.ends[side].host.later.questions.is_some();
            for (number, message) in altered.iter().chain(&noise).enumerate() {
                // The host is called before a first message of aggressive mode is answered.
                if is_later && message[8..16] == [0; 8] && message[18] == ExchangeKind::AGGRESSIVE.0 {
                    continue;
                }
                // Of the messages of an ISAKMP SA that are not authentic, fifty in a second are decrypted.
                let pause = if number < altered.len() { 25 } else { 1 };
                self.link.now += Duration::from_millis(pause);
                let (now, end) = (self.link.now, &mut self.link.ends[side]);
                let counts = counts(end);
                end.receive(now, message.clone());
                let answers = end.poll(now);
                let refused: u32 = self::counts(end).iter().map(|(name, count)| count - counts[name]).sum();
                // The first message of another exchange is the only one that is accepted.
                let is_first = message[8..16] == [0; 8] && message[18] == self.exchange.0 && !answers.is_empty();
                let text = format!("{} messages, side {side}: {message:02x?}", self.messages.len());
                assert!(refused == 1 || (is_first && refused == 0), "counted {refused} times, {text}");
                assert_eq!(Sas::of(end), before, "{text}");
            }
            assert_eq!(self.link.ends[side].negotiator.counters().get(Counter::Internal), 0);
        }
    }

    /// Completes the negotiations.
    fn complete(mut self, context: &str) {
        let count = self.messages.len();
        let message = self.messages.pop().unwrap();
        for end in &mut self.link.ends {
            end.host.later.questions = None;
        }
        self.link.inject(self.to, message);
        self.link.run(Duration::from_secs(10));
        let end = &self.link.ends[0];
        assert!(self.link.ends.iter().all(|end| end.phase_1_up == 2), "{context}: {:?}", self.link.counts());
        if count <= self.phase_1 {
            assert_eq!(end.phase_1_gone, []);
            let now = self.link.now;
            self.link.ends[0].initiate_policy(now, 2).unwrap();
            self.link.run(Duration::from_secs(10));
        }
        assert_eq!(self.link.agreed(), 2, "{context}: {:?}", self.link.counts());
        assert!(self.link.ends.iter().all(|end| end.gone.is_empty()), "{context}");
    }
}

/// Returns the counters of refused and ignored messages.
fn counts(end: &Endpoint) -> BTreeMap<&'static str, u32> {
    let all = end.negotiator.counters().iter().filter(|(counter, _)| !OTHERS.contains(counter));
    all.map(|(counter, value)| (counter.name(), value)).collect()
}

/// Returns messages with this header: without payloads, with a notification, with a delete payload, and with octets
/// that are not the ciphertext of any message.
fn compose(header: &Header, spi: u32) -> [Vec<u8>; 4] {
    let (doi, protocol) = (Doi::IPSEC, ProtocolId::ESP);
    let write = |kind, payload: &dyn Fn(&mut BodyWriter<'_>) -> Result<(), NoSpace>| {
        let mut buf = [0; 256];
        let mut writer = MessageWriter::new(&mut buf, header).unwrap();
        writer.payload(kind, |body| payload(body)).unwrap();
        writer.finish().to_vec()
    };
    let mut empty = [0; 28];
    let notification = Notification { doi, protocol, kind: NotifyKind::INVALID_COOKIE, spi: &[], data: &[] };
    let spi = spi.to_be_bytes();
    let delete = Delete { doi, protocol, spi_size: 4, spi_count: 1, spi_bytes: &spi };
    [
        MessageWriter::new(&mut empty, header).unwrap().finish().to_vec(),
        write(PayloadKind::NOTIFICATION, &|body| notification.write(body)),
        write(PayloadKind::DELETE, &|body| delete.write(body)),
        write(PayloadKind::HASH, &|body| body.put(&[0x5a; 60])),
    ]
}

fn with(message: &[u8], flags: Flags) -> Vec<u8> {
    let mut message = message.to_vec();
    message[19] = flags.0;
    message
}

/// Returns the messages of another run, with its deletions.
fn recorded() -> Vec<Vec<u8>> {
    let mut link = Link::new(configs(), 1700);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    link.run(Duration::from_secs(5));
    let (now, end) = (link.now, &mut link.ends[1]);
    end.negotiator.delete(now, Target::All, &mut end.host);
    link.run(Duration::from_secs(5));
    assert!(link.sent.len() > 11);
    link.sent.into_iter().map(|(_, message)| message).collect()
}

#[test]
fn no_recorded_message_disturbs_an_exchange_in_any_state() {
    let recorded = recorded();
    let runs = PHASE_1.into_iter().flat_map(|phase_1| [false, true].map(|sets_commit| (phase_1, sets_commit)));
    for (phase_1, sets_commit) in runs {
        // The number of messages that were sent, the last of which is not delivered; the last stage is the end.
        let end = phase_1.1 + 4;
        for stage in 1..=end {
            let mut conversation = Conversation::new(1701, phase_1, false, sets_commit);
            let mut follows = true;
            while conversation.messages.len() < stage && follows {
                follows = conversation.deliver(|_, _| panic!("the host answers at once"));
            }
            assert_eq!(conversation.messages.len(), stage.min(end - 1));
            conversation.disturb(&recorded, stage == end);
            conversation.complete(&format!("{phase_1:?}, stage {stage}, commit flag {sets_commit}"));
        }
    }
}

#[test]
fn no_recorded_message_disturbs_a_step_that_waits_for_the_host() {
    for phase_1 in PHASE_1 {
        every_message_while_a_step_of_one_exchange_waits(phase_1);
    }
}

fn every_message_while_a_step_of_one_exchange_waits(phase_1: (ExchangeKind, usize)) {
    let recorded = recorded();
    let mut questions = 0;
    for number in 0.. {
        let mut conversation = Conversation::new(1702, phase_1, true, false);
        let (mut asked, mut is_disturbed) = (0, false);
        while conversation.deliver(|waiting, is_delivered| {
            if asked == number {
                waiting.disturb(&recorded, is_delivered);
                is_disturbed = true;
            }
            asked += 1;
        }) {}
        if !is_disturbed {
            questions = asked;
            break;
        }
        conversation.complete(&format!("{phase_1:?}, question {number}"));
    }
    assert!(questions >= 8, "{phase_1:?}: {questions}");
}

/// Each message of extended authentication and Mode Config arrives after altered copies of it, to both ends.
#[test]
fn altered_messages_of_transaction_exchanges_change_nothing() {
    let mut link = Link::new(xauth::pull(), 1703);
    let start = link.now;
    link.ends[0].initiate(start).unwrap();
    let (mut altered, mut seen) = (0, 0);
    while link.agreed() == 0 {
        assert!(link.step(start + Duration::from_secs(100)), "{:?}", link.counts());
        let new: Vec<_> = link.sent[seen..].iter().filter(|(_, message)| message[18] == 6).cloned().collect();
        seen = link.sent.len();
        for (at, (_, message)) in new.iter().flat_map(|sent| (28..sent.1.len()).step_by(5).map(move |at| (at, sent))) {
            let mut message = message.clone();
            message[at] ^= 1 << (at % 8);
            // Of the messages that are not authentic, fifty in a second are decrypted.
            link.now += Duration::from_millis(25);
            for side in 0..2 {
                let state = |link: &Link| {
                    let end = &link.ends[side];
                    (Sas::of(end), end.logged_in, end.leases.len(), end.failures.len(), end.host.later.count)
                };
                let (before, counted) = (state(&link), counts(&link.ends[side]));
                let now = link.now;
                link.ends[side].receive(now, message.clone());
                assert!(link.ends[side].poll(now).is_empty(), "octet {at}");
                let refused: u32 = counts(&link.ends[side]).iter().map(|(name, count)| count - counted[name]).sum();
                assert_eq!((state(&link), refused), (before, 1), "octet {at}: {:?}", link.counts());
            }
            altered += 1;
        }
    }
    assert!(altered > 80, "{altered}");
    assert!(link.ends.iter().all(|end| (end.logged_in, end.failures.len(), end.phase_1_up) == (1, 0, 1)));
    assert_eq!(link.ends[0].leases.len(), 1);
}
