//! Keys of a negotiation from its messages and the shared secret of an endpoint, to write further messages of a peer.

use ike_codec::{ExchangeKind, Header, Message, MessageWriter, NoSpace, PayloadKind};
use ike_v1::{Cookies, IvChain, Nonces, Phase1Keys, Protection, Skeyid};

use ipsec_crypto::PrfOutput;

use crate::endpoint::configs;
use crate::wire::Link;

/// Keys of an ISAKMP SA that was negotiated with the first proposal and the key of the default configuration.
pub struct Spy {
    cookies: Cookies,
    pub keys: Phase1Keys,
    protection: Protection,
    phase_1: IvChain,
}

impl Spy {
    /// Derives the keys from the first six messages of a link.
    pub fn new(link: &Link) -> Self {
        let [config, _] = configs();
        let body = |index: usize, kind: PayloadKind| {
            let message = Message::parse(&link.sent[index].1).unwrap();
            message.find(kind).unwrap().body.to_vec()
        };
        let header = Header::parse(&link.sent[2].1).unwrap().0;
        let cookies = Cookies { initiator: header.initiator_cookie, responder: header.responder_cookie };
        let (ni, nr) = (body(2, PayloadKind::NONCE), body(3, PayloadKind::NONCE));
        let choice = config.proposals[0];
        let nonces = Nonces { initiator: &ni, responder: &nr };
        let skeyid = Skeyid::pre_shared_key(choice.hash.prf(), config.key.as_deref().unwrap(), &nonces).unwrap();
        let keys = skeyid.derive(&link.ends[0].host.first_shared, &cookies);
        let ka = keys.cipher_key(choice.cipher, choice.cipher_key).unwrap();
        let protection = Protection::new(choice.cipher, ka.expose(), choice.hash).unwrap();
        let mut phase_1 = protection.phase_1(&body(2, PayloadKind::KEY_EXCHANGE), &body(3, PayloadKind::KEY_EXCHANGE));
        for index in [4, 5] {
            let mut message = link.sent[index].1.clone();
            phase_1.confirm(protection.decrypt(&phase_1, &mut message).unwrap());
        }
        Self { cookies, keys, protection, phase_1 }
    }

    /// Returns the chain of a message ID behind these messages.
    pub fn chain<'m>(&self, message_id: u32, messages: impl IntoIterator<Item = &'m Vec<u8>>) -> IvChain {
        let mut chain = self.protection.phase_2(&self.phase_1, message_id);
        for message in messages {
            chain.confirm(self.protection.decrypt(&chain, &mut message.clone()).unwrap());
        }
        chain
    }

    /// Returns the last of these messages of a message ID in cleartext.
    pub fn open(&self, message_id: u32, messages: &[&Vec<u8>]) -> Vec<u8> {
        let (last, before) = messages.split_last().unwrap();
        let mut message = last.to_vec();
        let _next = self.protection.decrypt(&self.chain(message_id, before.iter().copied()), &mut message).unwrap();
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
