//! Test of constant time by measurement (dudect): times of two classes of input. A `t` above 10 means that they differ.
//!
//! All inputs are made before the first measurement. An octet that is written just before it is read with its
//! neighbours delays the processor, and by its position.

use dudect_bencher::rand::{Rng, RngExt};
use dudect_bencher::{BenchRng, Class, CtRunner, ctbench_main};
use esp_core::{Padding, SealParams, seal_with};
use ipsec_crypto::{AnySuite, CipherAlgorithm, EspParts, Icv, IcvLen, IntegrityAlgorithm, Suite};
use ipsec_packet::{IpProto, PacketBuf, Seq, SeqWidth, Spi};
use std::hint::black_box;

const RUNS: usize = 100_000;

/// Returns copies of `octets`, each altered at one of two positions, which is its class.
fn altered<const N: usize>(
    octets: &[u8; N],
    (left, right): (usize, usize),
    rng: &mut BenchRng,
) -> Vec<(Class, [u8; N])> {
    let copy = |_| {
        let (class, at) = if rng.random() { (Class::Left, left) } else { (Class::Right, right) };
        let mut copy = *octets;
        copy[at] ^= 1;
        (class, copy)
    };
    (0..RUNS).map(copy).collect()
}

/// Compares ICVs that differ in their first octet with ICVs that differ in their last.
fn icv_comparison(runner: &mut CtRunner, rng: &mut BenchRng) {
    let mut mac = [0; 32];
    rng.fill_bytes(&mut mac);
    let expected = Icv::truncated(&mac, IcvLen::of::<32>()).expect("a MAC of 32 octets");
    for (class, icv) in &altered(&mac, (0, 31), rng) {
        runner.run_one(*class, || {
            (0..20).map(|_| black_box(&expected).verify(black_box(icv)).is_ok()).filter(|ok| *ok).count()
        });
    }
}

/// Compares two values and stops at the first difference: a control, which must be detected.
fn control_of_comparison(runner: &mut CtRunner, rng: &mut BenchRng) {
    let mut mac = [0; 32];
    rng.fill_bytes(&mut mac);
    for (class, icv) in &altered(&mac, (0, 31), rng) {
        let equal = || black_box(&mac).iter().zip(black_box(icv)).all(|(one, other)| one == other);
        runner.run_one(*class, || (0..20).map(|_| equal()).filter(|ok| *ok).count());
    }
}

/// Seals payloads of zeros and random payloads with AES-CBC and HMAC-SHA1.
fn sealing(runner: &mut CtRunner, rng: &mut BenchRng) {
    let (cipher, mac) = (CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha1_96);
    let Ok(suite) = AnySuite::from_slices(cipher, &[7; 16], mac, &[9; 20]) else { return };
    let Ok(spi) = Spi::new(0x1001) else { return };
    let (width, padding) = (SeqWidth::Bits32, Padding::MINIMAL);
    let envelope = SealParams { spi, seq: Seq::new(1), width, next_header: IpProto::TCP, padding };
    let mut input = || {
        let mut bytes = [0; 400];
        let (class, keep) = if rng.random() { (Class::Left, 0) } else { (Class::Right, 0xff) };
        let mut some = [0; 256];
        rng.fill_bytes(&mut some);
        bytes[64..320].iter_mut().zip(some).for_each(|(to, from)| *to = from & keep);
        (class, bytes)
    };
    let inputs: Vec<(Class, [u8; 400])> = (0..RUNS).map(|_| input()).collect();
    for (class, bytes) in &inputs {
        runner.run_one(*class, || {
            let mut bytes = black_box(*bytes);
            let Ok(mut packet) = PacketBuf::with_headroom(&mut bytes, 64, 256) else { return false };
            seal_with(&suite, &envelope, &[3; 16], &mut packet).is_ok()
        });
    }
}

/// Opens packets whose ICV is wrong in its first octet, and in its last.
fn opening_forged(runner: &mut CtRunner, rng: &mut BenchRng) {
    let (cipher, mac) = (CipherAlgorithm::AesCbc, IntegrityAlgorithm::HmacSha2_256_128);
    let Ok(suite) = AnySuite::from_slices(cipher, &[7; 16], mac, &[9; 32]) else { return };
    let mut sealed = [5; 8 + 16 + 128 + 16];
    let Ok(mut parts) = EspParts::split(suite.layout(), &mut sealed, None) else { return };
    suite.seal(&mut parts);
    let len = sealed.len();
    for (class, forged) in &altered(&sealed, (len - 16, len - 1), rng) {
        runner.run_one(*class, || {
            let mut forged = black_box(*forged);
            EspParts::split(suite.layout(), &mut forged, None).is_ok_and(|mut parts| suite.open(&mut parts).is_ok())
        });
    }
}

ctbench_main!(icv_comparison, control_of_comparison, sealing, opening_forged);
