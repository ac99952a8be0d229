//! Time of one shared secret of each Diffie-Hellman group, compared with OpenSSL with private values of the same
//! length.

use std::hint::black_box;
use std::time::Instant;

use ike_codec::Group;
use ike_v1::{DiffieHellman, GroupLengths, Software};
use openssl::bn::{BigNum, BigNumContext};
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::PKey;

/// Runs the comparison and prints medians.
pub fn run() {
    println!("{:10} {:>12} {:>12} {:>8}", "group", "ours us", "OpenSSL us", "ratio");
    for group in [1, 2, 5, 14, 15, 16, 17, 18].map(Group) {
        compare(group, modp(group));
    }
    for (group, nid) in [(19, Nid::X9_62_PRIME256V1), (20, Nid::SECP384R1), (21, Nid::SECP521R1)] {
        compare(Group(group), ecp(Group(group), nid));
    }
}

/// Measures both implementations alternately on the same secret.
fn compare(group: Group, theirs: impl Fn(&[u8], &[u8]) -> Vec<u8>) {
    let lengths = GroupLengths::of(group).unwrap();
    let (private, other) = (private(lengths.private, 0x41), private(lengths.private, 0x17));
    let (mut public, mut shared) = (vec![0; lengths.public], vec![0; lengths.shared]);
    Software.public(group, &other, &mut public).unwrap();
    Software.shared(group, &private, &public, &mut shared).unwrap();
    assert_eq!(shared, theirs(&private, &public), "group {group}");
    let rounds = if lengths.public > 500 { 5 } else { 21 };
    let (mut ours_us, mut theirs_us) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours_us.push(time(|| Software.shared(group, black_box(&private), &public, &mut shared).unwrap()));
        theirs_us.push(time(|| drop(black_box(theirs(black_box(&private), &public)))));
    }
    let (ours, theirs) = (median(ours_us), median(theirs_us));
    println!("{:10} {ours:12.1} {theirs:12.1} {:8.2}", group.name().unwrap_or_default(), ours / theirs);
}

fn private(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| if i == 0 { 0 } else { seed.wrapping_mul(i as u8 | 1) }).collect()
}

/// Returns OpenSSL's constant-time modular exponentiation, which its own Diffie-Hellman uses.
fn modp(group: Group) -> impl Fn(&[u8], &[u8]) -> Vec<u8> {
    let mut prime = match group.0 {
        1 => BigNum::get_rfc2409_prime_768(),
        2 => BigNum::get_rfc2409_prime_1024(),
        5 => BigNum::get_rfc3526_prime_1536(),
        14 => BigNum::get_rfc3526_prime_2048(),
        15 => BigNum::get_rfc3526_prime_3072(),
        16 => BigNum::get_rfc3526_prime_4096(),
        17 => BigNum::get_rfc3526_prime_6144(),
        _ => BigNum::get_rfc3526_prime_8192(),
    }
    .unwrap();
    prime.set_const_time();
    move |private, public| {
        let mut exponent = BigNum::from_slice(private).unwrap();
        exponent.set_const_time();
        let (mut result, mut context) = (BigNum::new().unwrap(), BigNumContext::new().unwrap());
        result.mod_exp(&BigNum::from_slice(public).unwrap(), &exponent, &prime, &mut context).unwrap();
        result.to_vec_padded(public.len() as i32).unwrap()
    }
}

fn ecp(group: Group, nid: Nid) -> impl Fn(&[u8], &[u8]) -> Vec<u8> {
    let curve = EcGroup::from_curve_name(nid).unwrap();
    let length = GroupLengths::of(group).unwrap().shared;
    move |private, public| {
        let mut context = BigNumContext::new().unwrap();
        let encoded = [&[4][..], public].concat();
        let peer =
            EcKey::from_public_key(&curve, &EcPoint::from_bytes(&curve, &encoded, &mut context).unwrap()).unwrap();
        let base = curve.generator_opt().unwrap();
        let own = EcKey::from_private_components(&curve, &BigNum::from_slice(private).unwrap(), base).unwrap();
        let (own, peer) = (PKey::from_ec_key(own).unwrap(), PKey::from_ec_key(peer).unwrap());
        let mut deriver = Deriver::new(&own).unwrap();
        deriver.set_peer(&peer).unwrap();
        let shared = deriver.derive_to_vec().unwrap();
        [vec![0; length - shared.len()], shared].concat()
    }
}

fn time(mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_nanos() as f64 / 1000.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
