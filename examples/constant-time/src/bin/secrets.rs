//! Keys and plaintext that valgrind believes to be uninitialised: it counts each branch and each address that depends on them. There must be
//! none in sealing, and at most one in opening: the verdict on the ICV, which the receiver of a packet is told anyway. What an authentic packet
//! says (its padding, its next header) comes after that and is not looked at here.
//!
//! With `control` it does what must be found: a cipher of tables, and a comparison that stops early.

use std::hint::black_box;

use constant_time::suites::{Choice, constant_time};
use crabgrind::memcheck::{MemState, mark_memory};
use crabgrind::valgrind::count_errors;
use esp_core::{SealParams, Padding, seal_with};
use ipsec_crypto::{AnySuite, CipherAlgorithm, IcvMismatch, IntegrityAlgorithm, EspParts, Suite};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};

fn mark<T: ?Sized>(what: &T, state: MemState) {
    mark_memory((&raw const *what).cast(), size_of_val(what), state).expect("to be run by valgrind");
}

/// So many octets that must not be seen.
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
            there_and_back(*choice, payload);
        }
    }
    println!(
        "{} suites with packets of six sizes: no branch and no address depends on a secret, but for each verdict",
        all.len()
    );
}

fn there_and_back((cipher, key, mac, mac_key): Choice, len: usize) {
    let before = count_errors();
    let suite = || {
        let (key, mac_key) = (secret(key, 11), secret(mac_key, 99));
        AnySuite::from_slices(cipher, &key, mac, &mac_key).expect("a key of this length")
    };
    let (sealing, opening) = (suite(), suite());
    let payload = secret(len, 5);
    let spi = Spi::new(0x1001).expect("not reserved");
    let (width, padding) = (SeqWidth::Bits32, Padding::MINIMAL);
    let envelope = SealParams { spi, seq: Seq::new(7), width, next_header: IpProto::TCP, padding };
    let layout = sealing.layout();
    let mut bytes = vec![0; len + 200];
    bytes[64..64 + len].copy_from_slice(&payload);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 64, len).expect("room");
    seal_with(&sealing, &envelope, &[3; 16][..layout.iv], &mut packet).expect("room");
    assert_eq!(count_errors() - before, 0, "sealing {len} octets with {cipher} and {mac}");

    // It is sent, and so everybody's.
    mark(packet.data(), MemState::Defined);
    let mut parts = EspParts::split(layout, packet.data_mut(), None).expect("sealed");
    let verdict: Result<(), IcvMismatch> = black_box(opening.open(&mut parts));
    assert!(count_errors() - before <= 1, "opening {len} octets with {cipher} and {mac}");

    // It is delivered.
    mark(&verdict, MemState::Defined);
    mark(parts.body(), MemState::Defined);
    mark(&payload[..], MemState::Defined);
    assert!(verdict.is_ok() && parts.body().starts_with(&payload));
}

/// What must be seen.
fn control() {
    let before = count_errors();
    let cipher =
        AnySuite::from_slices(CipherAlgorithm::BlowfishCbc, &secret(16, 1), IntegrityAlgorithm::HmacSha1_96, &[2; 20]);
    black_box(&cipher);
    assert!(count_errors() > before, "a cipher of tables was keyed");
    let before = count_errors();
    black_box(secret(12, 3).iter().zip(black_box([14; 12])).all(|(one, other)| *one == other));
    assert!(count_errors() > before, "a secret was compared octet by octet");
    println!("a cipher of tables and a comparison that stops early are found");
}
