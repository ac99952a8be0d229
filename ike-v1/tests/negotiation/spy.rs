//! Keys of a negotiation from its messages and the shared secret of an endpoint, to write further messages of a peer.

use std::cell::RefCell;

use ike_codec::{ExchangeKind, Header, Message, MessageWriter, NoSpace, PayloadKind};
use ike_v1::{Cookies, Follower, IvChain, Phase1Keys, Protection, Role, Secrets, Verdict};

use ipsec_crypto::PrfOutput;

use crate::endpoint::configs;
use crate::wire::Link;

/// Keys of an ISAKMP SA that was negotiated with the key of the default configuration.
pub struct Spy {
    cookies: Cookies,
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
        let [config, _] = configs();
        let secrets = Secrets { pre_shared_key: config.key.as_deref(), shared: Some(shared), ..Secrets::default() };
        let mut follower = Follower::new();
        for (side, message) in messages {
            let sender = if *side == 0 { Role::Initiator } else { Role::Responder };
            let followed = follower.follow(sender, &mut message.clone(), &secrets).unwrap();
            assert!(matches!(followed.verdict, Verdict::Absent | Verdict::Good), "{followed:?}");
        }
        let keys = follower.phase_1_keys().unwrap();
        let keys = Phase1Keys::import(keys.prf(), keys.d(), keys.a(), keys.e()).unwrap();
        let (cookies, protection) = (follower.cookies(), follower.protection().unwrap());
        Self { cookies, keys, protection, follower: RefCell::new(follower) }
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

    /// Returns the chain of a message ID behind these messages.
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
