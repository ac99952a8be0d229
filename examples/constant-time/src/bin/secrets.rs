//! Test of constant time with valgrind: keys and plaintext are marked as uninitialised, so that valgrind counts each
//! branch and each address that depends on them.
//!
//! There must be none in sealing, and at most one in opening: the result of the ICV verification, which is not
//! secret. The contents of an authentic packet (padding, next header) are processed later and are not tested here.
//!
//! The argument `control` runs code that must be detected: a cipher with tables, and a comparison that stops early.

use std::hint::black_box;

use constant_time::suites::{Choice, constant_time};
use crabgrind::memcheck::{MemState, mark_memory};
use crabgrind::valgrind::count_errors;
use esp_core::{Padding, SealParams, seal_with};
use ipsec_crypto::{AnySuite, CipherAlgorithm, EspParts, IcvMismatch, IntegrityAlgorithm, Suite};
use ipsec_crypto_simd::{BitslicedDes, Cbc64, ChaCha20Poly1305};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

fn mark<T: ?Sized>(what: &T, state: MemState) {
    mark_memory((&raw const *what).cast(), size_of_val(what), state).expect("running under valgrind");
}

/// Returns octets that are marked as uninitialised.
fn secret(len: usize, seed: u8) -> Vec<u8> {
    let octets: Vec<u8> = (0..len).map(|n| (n as u8).wrapping_mul(37).wrapping_add(seed)).collect();
    mark(&octets[..], MemState::Undefined);
    octets
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("control") {
        return control();
    }
    let all = constant_time();
    for choice in &all {
        for payload in [0, 1, 63, 64, 300, 1400] {
            seal_and_open(*choice, payload);
        }
    }
    process_bitsliced();
    process_chacha20_poly1305();
    println!(
        "{} suites with packets of six sizes: no branch or address depends on a secret, except for the result of the ICV verification; \
         none in bitsliced DES and 3DES and in ChaCha20-Poly1305 with AVX2",
        all.len()
    );
}

fn seal_and_open((cipher, key, mac, mac_key): Choice, len: usize) {
    let before = count_errors();
    let suite = || {
        let (key, mac_key) = (secret(key, 11), secret(mac_key, 99));
        AnySuite::from_slices(cipher, &key, mac, &mac_key).expect("valid key length")
    };
    let (sealing, opening) = (suite(), suite());
    let payload = secret(len, 5);
    let spi = Spi::new(0x1001).expect("not reserved");
    let (width, padding) = (SeqWidth::Bits32, Padding::MINIMAL);
    let envelope = SealParams { spi, seq: Seq::new(7), width, next_header: IpProto::TCP, padding };
    let layout = sealing.layout();
    let mut bytes = vec![0; len + 200];
    bytes[64..64 + len].copy_from_slice(&payload);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 64, len).expect("buffer too small");
    seal_with(&sealing, &envelope, &[3; 16][..layout.iv_len()], &mut packet).expect("buffer too small");
    assert_eq!(count_errors() - before, 0, "sealing {len} octets with {cipher} and {mac}");

    // The packet is sent, and is no longer secret.
    mark(packet.data(), MemState::Defined);
    let mut parts = EspParts::split(layout, packet.data_mut(), None).expect("sealed");
    let result: Result<(), IcvMismatch> = black_box(opening.open(&mut parts));
    assert!(count_errors() - before <= 1, "opening {len} octets with {cipher} and {mac}");

    // The payload is delivered.
    mark(&result, MemState::Defined);
    mark(parts.body(), MemState::Defined);
    mark(&payload[..], MemState::Defined);
    assert!(result.is_ok() && parts.body().starts_with(&payload));
}

/// Creates, encrypts and decrypts with DES and 3DES in the widest form that valgrind emulates. There must be nothing.
fn process_bitsliced() {
    let before = count_errors();
    let (key, keys) = (secret(8, 21), secret(24, 77));
    let des = BitslicedDes::<1>::new(key.first_chunk().expect("8 octets"));
    let triple = BitslicedDes::<3>::new(keys.first_chunk().expect("24 octets"));
    for blocks in [1, 31, 257] {
        let mut body = secret(8 * blocks, 5);
        des.decrypt(&[3; 8], &mut body);
        triple.decrypt(&[3; 8], &mut body);
        let (front, back) = body.as_chunks_mut().0.split_at_mut(blocks / 2);
        triple.encrypt_chain(&mut [3; 8], front);
        BitslicedDes::encrypt_chains(&[&des, &des], &mut [[3; 8]; 2], &mut [front, back], blocks / 2);
        black_box(&body);
        assert_eq!(count_errors() - before, 0, "bitsliced DES of {blocks} blocks");
    }
}

/// Seals and opens with ChaCha20-Poly1305 in AVX2. There must be nothing.
fn process_chacha20_poly1305() {
    let before = count_errors();
    let aead = ChaCha20Poly1305::new(secret(32, 9).first_chunk().expect("32 octets")).expect("x86-64 has SSE2");
    for len in [0, 1, 64, 68, 192, 193, 1412, 3000] {
        let mut text = secret(len, 5);
        let icv = aead.seal(&[3; 12], &[7; 8], &mut text);
        // The packet is sent, and the result of the verification is not secret.
        mark(&icv, MemState::Defined);
        let valid = aead.open(&[3; 12], &[7; 8], &mut text, &|computed| {
            mark(computed, MemState::Defined);
            black_box(computed) == black_box(&icv)
        });
        assert!(valid && count_errors() - before == 0, "ChaCha20-Poly1305 of {len} octets");
    }
}

/// Runs code that valgrind must detect.
fn control() {
    let before = count_errors();
    let cipher =
        AnySuite::from_slices(CipherAlgorithm::BlowfishCbc, &secret(16, 1), IntegrityAlgorithm::HmacSha1_96, &[2; 20]);
    black_box(&cipher);
    assert!(count_errors() > before, "key expansion of a cipher with tables was not detected");
    let before = count_errors();
    black_box(secret(12, 3).iter().zip(black_box([14; 12])).all(|(one, other)| *one == other));
    assert!(count_errors() > before, "comparison that stops early was not detected");
    println!("control: a cipher with tables and a comparison that stops early are detected");
}
