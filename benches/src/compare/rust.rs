//! Other libraries in Rust: RustCrypto called directly, ring and aws-lc-rs.

use cbc::cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit,
};
use hmac::Hmac;

use super::peer::{OneByOne, Peer};
use super::suite::{Cipher, KEY, Mac, Suite};

type Named = (&'static str, &'static str, usize, Box<dyn Peer>);

/// Returns the libraries that implement this suite.
pub fn peers(suite: Suite) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    all.extend(rustcrypto(suite).map(|peer| ("rustcrypto", "packet", 1, peer)));
    all.extend(ring_peer(suite).map(|peer| ("ring", "packet", 1, peer)));
    all.extend(aws_lc_peer(suite).map(|peer| ("aws-lc-rs", "packet", 1, peer)));
    all
}

fn rustcrypto(suite: Suite) -> Option<Box<dyn Peer>> {
    Some(match (suite.cipher, suite.mac) {
        (Cipher::AesCbc(16), Mac::Sha1) => cbc_hmac::<aes::Aes128, Hmac<sha1::Sha1>>(suite),
        (Cipher::AesCbc(16), Mac::Sha256) => cbc_hmac::<aes::Aes128, Hmac<sha2::Sha256>>(suite),
        (Cipher::AesCbc(16), Mac::Md5) => cbc_hmac::<aes::Aes128, Hmac<md5::Md5>>(suite),
        (Cipher::AesCbc(32), Mac::Sha256) => cbc_hmac::<aes::Aes256, Hmac<sha2::Sha256>>(suite),
        (Cipher::TripleDesCbc, Mac::Md5) => cbc_hmac::<des::TdesEde3, Hmac<md5::Md5>>(suite),
        (Cipher::DesCbc, Mac::Md5) => cbc_hmac::<des::Des, Hmac<md5::Md5>>(suite),
        (Cipher::BlowfishCbc, Mac::Sha1) => cbc_hmac::<blowfish::Blowfish, Hmac<sha1::Sha1>>(suite),
        (Cipher::Cast128Cbc, Mac::Sha1) => cbc_hmac::<cast5::Cast5, Hmac<sha1::Sha1>>(suite),
        (Cipher::AesGcm(16), Mac::None) => aead::<aes_gcm::Aes128Gcm>(suite),
        (Cipher::AesGcm(32), Mac::None) => aead::<aes_gcm::Aes256Gcm>(suite),
        (Cipher::AesCcm(16), Mac::None) => aead::<ccm::Ccm<aes::Aes128, ccm::consts::U16, ccm::consts::U11>>(suite),
        (Cipher::ChaCha20Poly1305, Mac::None) => aead::<chacha20poly1305::ChaCha20Poly1305>(suite),
        _ => return None,
    })
}

fn cbc_hmac<C, M>(suite: Suite) -> Box<dyn Peer>
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + KeyInit + Clone + 'static,
    M: hmac::Mac + KeyInit + Clone + 'static,
{
    let cipher = C::new_from_slice(&KEY[..suite.key()]).expect("valid key");
    let mac = <M as KeyInit>::new_from_slice(&KEY[..suite.mac_key()]).expect("valid key");
    let (decryptor, verifying_mac) = (cipher.clone(), mac.clone());
    let (front, icv) = (8 + suite.iv(), suite.icv());
    let seal = move |packet: &mut [u8]| {
        let end = packet.len() - icv;
        let iv: Block<C> = packet[8..front].try_into().expect("IV length");
        let blocks = Block::<C>::slice_as_chunks_mut(&mut packet[front..end]).0;
        cbc::Encryptor::inner_iv_init(&cipher, &iv).encrypt_blocks(blocks);
        let (text, tag) = packet.split_at_mut(end);
        let mut mac = mac.clone();
        mac.update(text);
        tag.copy_from_slice(&mac.finalize().into_bytes()[..icv]);
    };
    let open = move |packet: &mut [u8]| {
        let (text, tag) = packet.split_at_mut(packet.len() - icv);
        let mut mac = verifying_mac.clone();
        mac.update(text);
        if mac.verify_truncated_left(tag).is_err() {
            return false;
        }
        let iv: Block<C> = text[8..front].try_into().expect("IV length");
        let blocks = Block::<C>::slice_as_chunks_mut(&mut text[front..]).0;
        cbc::Decryptor::inner_iv_init(&decryptor, &iv).decrypt_blocks(blocks);
        true
    };
    Box::new(OneByOne { seal, open })
}

fn aead<A: aes_gcm::aead::AeadInOut + KeyInit + Clone + 'static>(suite: Suite) -> Box<dyn Peer> {
    let sealing = A::new_from_slice(&KEY[..suite.key()]).expect("valid key");
    let opening = sealing.clone();
    let nonce = move |packet: &[u8]| {
        let mut nonce = aes_gcm::aead::Nonce::<A>::default();
        let (salt, iv) = nonce.split_at_mut(suite.salt());
        salt.copy_from_slice(&KEY[suite.key()..suite.key() + suite.salt()]);
        iv.copy_from_slice(&packet[8..16]);
        nonce
    };
    let seal = move |packet: &mut [u8]| {
        let nonce = nonce(packet);
        let (text, tag) = packet.split_at_mut(packet.len() - 16);
        let (front, body) = text.split_at_mut(16);
        let made = sealing.encrypt_inout_detached(&nonce, &front[..8], body.into()).expect("sealed");
        tag.copy_from_slice(&made);
    };
    let open = move |packet: &mut [u8]| {
        let nonce = nonce(packet);
        let (text, tag) = packet.split_at_mut(packet.len() - 16);
        let (front, body) = text.split_at_mut(16);
        let tag = (&*tag).try_into().expect("tag length");
        opening.decrypt_inout_detached(&nonce, &front[..8], body.into(), tag).is_ok()
    };
    Box::new(OneByOne { seal, open })
}

/// Defines the peer of ring or aws-lc-rs, which have the same interface.
macro_rules! of_ring {
    ($name:ident, $ring:ident) => {
        fn $name(suite: Suite) -> Option<Box<dyn Peer>> {
            use $ring::{aead, hmac};

            let algorithm = match suite.cipher {
                Cipher::AesGcm(16) => &aead::AES_128_GCM,
                Cipher::AesGcm(32) => &aead::AES_256_GCM,
                Cipher::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
                Cipher::Null if suite.mac == Mac::Sha1 => {
                    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &KEY[..suite.mac_key()]);
                    let verifying_mac = key.clone();
                    let seal = move |packet: &mut [u8]| {
                        let (text, icv) = packet.split_at_mut(packet.len() - 12);
                        icv.copy_from_slice(&hmac::sign(&key, text).as_ref()[..12]);
                    };
                    let open = move |packet: &mut [u8]| {
                        let (text, icv) = packet.split_at_mut(packet.len() - 12);
                        let tag = hmac::sign(&verifying_mac, text);
                        tag.as_ref()[..12].iter().zip(icv).fold(0, |differs, (a, b)| differs | (a ^ *b)) == 0
                    };
                    return Some(Box::new(OneByOne { seal, open }));
                }
                _ => return None,
            };
            let key = || {
                let key = aead::UnboundKey::new(algorithm, &KEY[..suite.key()]).expect("valid key");
                aead::LessSafeKey::new(key)
            };
            let (sealing, opening) = (key(), key());
            let nonce = move |packet: &[u8]| {
                let mut nonce = [0; 12];
                nonce[..4].copy_from_slice(&KEY[suite.key()..suite.key() + 4]);
                nonce[4..].copy_from_slice(&packet[8..16]);
                aead::Nonce::assume_unique_for_key(nonce)
            };
            let seal = move |packet: &mut [u8]| {
                let nonce = nonce(packet);
                let (text, tag) = packet.split_at_mut(packet.len() - 16);
                let (front, body) = text.split_at_mut(16);
                let made = sealing.seal_in_place_separate_tag(nonce, aead::Aad::from(&front[..8]), body);
                tag.copy_from_slice(made.expect("sealed").as_ref());
            };
            let open = move |packet: &mut [u8]| {
                let nonce = nonce(packet);
                let (front, body) = packet.split_at_mut(16);
                opening.open_in_place(nonce, aead::Aad::from(&front[..8]), body).is_ok()
            };
            Some(Box::new(OneByOne { seal, open }))
        }
    };
}
of_ring!(ring_peer, ring);
of_ring!(aws_lc_peer, aws_lc_rs);
