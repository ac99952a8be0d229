//! Diffie-Hellman: known answers, the primes of the RFCs, and refused public and private values.
#![cfg(all(feature = "modp", feature = "ecp"))]

mod values;

use ike_codec::Group;
use ike_v1::{DhError, DiffieHellman, GroupLengths, MAX_PUBLIC, Software};
use proptest::collection::vec;
use proptest::prelude::*;
use test_vectors::from_hex;

/// Group number, size of the prime in bits, length of a private value in octets, and addend of the formula of the prime
/// (RFC 2409 sections 6.1 and 6.2, RFC 3526 sections 2 to 7).
const MODP: [(u16, usize, usize, u32); 8] = [
    (1, 768, 32, 149_686),
    (2, 1024, 32, 129_093),
    (5, 1536, 32, 741_804),
    (14, 2048, 40, 124_476),
    (15, 3072, 52, 1_690_314),
    (16, 4096, 60, 240_904),
    (17, 6144, 68, 929_484),
    (18, 8192, 78, 4_743_158),
];

/// Group number and length of a coordinate in octets.
const ECP: [(u16, usize); 3] = [(19, 32), (20, 48), (21, 66)];

fn public(group: u16, private: &[u8]) -> Result<Vec<u8>, DhError> {
    let mut public = vec![0; GroupLengths::of(Group(group)).unwrap().public];
    Software.public(Group(group), private, &mut public)?;
    Ok(public)
}

fn shared(group: u16, private: &[u8], public: &[u8]) -> Result<Vec<u8>, DhError> {
    let mut shared = vec![0; GroupLengths::of(Group(group)).unwrap().shared];
    Software.shared(Group(group), private, public, &mut shared)?;
    Ok(shared)
}

/// Encodes a number in `octets` octets, in network byte order.
fn number(octets: usize, value: u32) -> Vec<u8> {
    let mut number = vec![0; octets];
    number[octets - 4..].copy_from_slice(&value.to_be_bytes());
    number
}

/// Adds two numbers; the sum has the length of `a`.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let (mut sum, mut carry) = (a.to_vec(), 0u16);
    for (i, octet) in sum.iter_mut().rev().enumerate() {
        let other = if i < b.len() { b[b.len() - 1 - i] } else { 0 };
        carry += u16::from(*octet) + u16::from(other);
        *octet = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0, "the sum exceeds the length of a");
    sum
}

/// Subtracts a small number.
fn subtract(a: &[u8], b: u8) -> Vec<u8> {
    let mut rest = a.to_vec();
    let mut borrow = b;
    for octet in rest.iter_mut().rev() {
        let (less, under) = octet.overflowing_sub(borrow);
        (*octet, borrow) = (less, u8::from(under));
    }
    rest
}

/// Computes the prime `2^n - 2^(n-64) - 1 + 2^64 (floor(2^(n-130) pi) + c)`: 64 one bits, the sum in parentheses less
/// 1, and 64 one bits.
fn prime(bits: usize, c: u32) -> Vec<u8> {
    let pi = from_hex(values::PI).unwrap();
    let middle = add(&pi[..bits / 8 - 16], &(c - 1).to_be_bytes());
    [&[0xff; 8][..], &middle, &[0xff; 8]].concat()
}

//= RFC 2409 6.1/1
//# MUST: the first oakley group has this prime and generator
#[test]
fn prime_formula_gives_primes_of_rfc_2409() {
    let printed = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
                   EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
                   EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF";
    assert_eq!(prime(1024, 129_093), from_hex(printed).unwrap());
    let printed = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
                   EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A3620FFFFFFFFFFFFFFFF";
    assert_eq!(prime(768, 149_686), from_hex(printed).unwrap());
}

/// Verifies that the modulus m is the prime p of the RFC: since p - 2 is accepted, m > p - 1; since p - 1 is refused, m
/// <= p.
//= RFC 2409 6.1/1, 6.2/1
//# MUST: the first oakley group has this prime and generator
//# SHOULD: the second oakley group has this prime and generator
#[test]
fn moduli_are_primes_of_rfc_2409_and_rfc_3526() {
    let mut wrong = Vec::new();
    for (group, bits, private, c) in MODP {
        let p = prime(bits, c);
        let (one, two) = (number(private, 1), number(private, 2));
        let below = subtract(&p, 2);
        let is_correct = shared(group, &one, &below).as_ref() == Ok(&below)
            && shared(group, &two, &below) == Ok(number(bits / 8, 4))
            && shared(group, &one, &subtract(&p, 1)) == Err(DhError::InvalidPublicValue);
        if !is_correct {
            wrong.push(group);
        }
    }
    assert_eq!(wrong, [0u16; 0], "groups with a wrong modulus");
}

fn failed_rows(table: &[values::Exchange]) -> Vec<(u16, usize)> {
    let mut wrong = Vec::new();
    for (row, &(group, a, g_a, b, g_ab)) in table.iter().enumerate() {
        let [a, g_a, b, g_ab] = [a, g_a, b, g_ab].map(|text| from_hex(text).unwrap());
        let g_b = public(group, &b).unwrap();
        let is_correct = public(group, &a).as_ref() == Ok(&g_a)
            && shared(group, &a, &g_b).as_ref() == Ok(&g_ab)
            && shared(group, &b, &g_a).as_ref() == Ok(&g_ab);
        if !is_correct {
            wrong.push((group, row));
        }
    }
    wrong
}

//= RFC 2409 4/12, 4/17
//# MUST: the modp group 1 is supported
//# SHOULD: the modp group 2 is supported
#[test]
fn modp_groups_match_python() {
    assert_eq!(values::MODP.iter().map(|row| row.0).collect::<Vec<_>>(), MODP.map(|row| row.0));
    assert_eq!(failed_rows(values::MODP), []);
}

#[test]
fn ecp_groups_match_rfc_5903() {
    assert_eq!(values::ECP.iter().map(|row| row.0).collect::<Vec<_>>(), ECP.map(|row| row.0));
    assert_eq!(failed_rows(values::ECP), []);
}

//= RFC 2409 5/7
//# MUST: a public value has the length of its group, with zeros in front
#[test]
fn values_keep_leading_zeros() {
    assert_eq!(values::LEADING_ZERO.len(), 3);
    assert!(values::LEADING_ZERO.iter().all(|row| row.2.starts_with("00") && row.4.starts_with("00")));
    assert_eq!(failed_rows(values::LEADING_ZERO), []);
}

#[test]
fn group_lengths_match_rfcs_and_max_public() {
    for (group, bits, private, _) in MODP {
        let expected = GroupLengths { private, public: bits / 8, shared: bits / 8 };
        assert_eq!(GroupLengths::of(Group(group)), Some(expected), "group {group}");
    }
    for (group, octets) in ECP {
        let expected = GroupLengths { private: octets, public: 2 * octets, shared: octets };
        assert_eq!(GroupLengths::of(Group(group)), Some(expected), "group {group}");
    }
    let longest = (0..=u16::MAX).filter_map(|group| GroupLengths::of(Group(group))).map(|lengths| lengths.public).max();
    assert_eq!(longest, Some(MAX_PUBLIC));
}

//= RFC 2408 5.7/3
//# MUST: receiving: a message of a key exchange that is not supported is discarded
#[test]
fn unknown_groups_are_unsupported() {
    let known: Vec<u16> = MODP.iter().map(|row| row.0).chain(ECP.iter().map(|row| row.0)).collect();
    for number in (0..=u16::MAX).filter(|number| !known.contains(number)) {
        let (group, error) = (Group(number), Err(DhError::Unsupported(Group(number))));
        assert_eq!(GroupLengths::of(group), None);
        assert_eq!(Software.public(group, &[1; 32], &mut [0; 96]), error);
        assert_eq!(Software.shared(group, &[1; 32], &[2; 96], &mut [0; 96]), error);
    }
}

#[test]
fn values_of_wrong_length_are_refused() {
    for group in MODP.iter().map(|row| row.0).chain(ECP.iter().map(|row| row.0)) {
        let GroupLengths { private, public, shared } = GroupLengths::of(Group(group)).unwrap();
        let mut scratch = [0; MAX_PUBLIC + 1];
        let (ones, twos) = ([1; MAX_PUBLIC + 1], [2; MAX_PUBLIC + 1]);
        let lengths = |expected: usize| [0, 1, expected - 1, expected + 1];
        for actual in lengths(private) {
            let error = Err(DhError::Length { expected: private, actual });
            assert_eq!(Software.public(Group(group), &ones[..actual], &mut scratch[..public]), error);
            let given = Software.shared(Group(group), &ones[..actual], &twos[..public], &mut scratch[..shared]);
            assert_eq!(given, error);
        }
        for actual in lengths(public) {
            let error = Err(DhError::Length { expected: public, actual });
            assert_eq!(Software.public(Group(group), &ones[..private], &mut scratch[..actual]), error);
            let given = Software.shared(Group(group), &ones[..private], &twos[..actual], &mut scratch[..shared]);
            assert_eq!(given, error);
        }
        for actual in lengths(shared) {
            let error = Err(DhError::Length { expected: shared, actual });
            let given = Software.shared(Group(group), &ones[..private], &twos[..public], &mut scratch[..actual]);
            assert_eq!(given, error);
        }
    }
}

#[test]
fn modp_refuses_public_values_outside_2_to_p_minus_2() {
    for (group, bits, private, c) in MODP {
        let (p, octets) = (prime(bits, c), bits / 8);
        let invalid = [
            ("0", number(octets, 0)),
            ("1", number(octets, 1)),
            ("p - 1", subtract(&p, 1)),
            ("p", p.clone()),
            ("p + 1", add(&p, &[1])),
            ("p + 2", add(&p, &[2])),
            ("all ones", vec![0xff; octets]),
        ];
        for (name, value) in invalid {
            assert_eq!(
                shared(group, &vec![3; private], &value),
                Err(DhError::InvalidPublicValue),
                "group {group}: {name}"
            );
        }
        let (two, eight) = (number(octets, 2), number(octets, 8));
        assert_eq!(shared(group, &number(private, 3), &two), Ok(eight), "group {group}: 2 must be accepted");
    }
}

#[test]
fn ecp_refuses_points_not_on_the_curve() {
    assert_eq!(values::CURVES.iter().map(|row| row.0).collect::<Vec<_>>(), ECP.map(|row| row.0));
    for &(group, p, _, x, y) in values::CURVES {
        let [p, x, y] = [p, x, y].map(|text| from_hex(text).unwrap());
        let (size, zero, ones) = (p.len(), vec![0; p.len()], vec![0xff; p.len()]);
        let flipped: Vec<u8> = y[..size - 1].iter().copied().chain([y[size - 1] ^ 2]).collect();
        let mut invalid = vec![
            ("the point at infinity, as (0, 0)", [&zero[..], &zero].concat()),
            ("(x, 0)", [&x[..], &zero].concat()),
            ("(0, y)", [&zero[..], &y].concat()),
            ("y of another point", [&x[..], &flipped].concat()),
            ("x and y exchanged", [&y[..], &x].concat()),
            ("x + p for x", [&add(&x, &p)[..], &y].concat()),
            ("(p, p)", [&p[..], &p].concat()),
            ("(p, y)", [&p[..], &y].concat()),
            ("all ones", [&ones[..], &ones].concat()),
            ("x = all ones", [&ones[..], &y].concat()),
            ("y = all ones", [&x[..], &ones].concat()),
        ];
        if group == 21 {
            invalid.push(("y + p for y", [&x[..], &add(&y, &p)].concat())); // a coordinate of 66 octets holds more than 521 bits
        }
        let one = number(size, 1);
        assert_eq!(shared(group, &one, &[&x[..], &y].concat()), Ok(x.clone()), "the point itself must be accepted");
        for (name, point) in invalid {
            assert_eq!(shared(group, &one, &point), Err(DhError::InvalidPublicValue), "group {group}: {name}");
        }
    }
}

#[test]
fn private_value_zero_of_modp_groups_is_refused() {
    for (group, bits, private, _) in MODP {
        let (zero, eight) = (vec![0; private], number(bits / 8, 8));
        assert_eq!(public(group, &zero), Err(DhError::InvalidPrivateValue), "group {group}");
        assert_eq!(shared(group, &zero, &eight), Err(DhError::InvalidPrivateValue), "group {group}");
        assert_eq!(public(group, &number(private, 3)), Ok(eight), "group {group}");
        assert!(public(group, &vec![0xff; private]).is_ok(), "group {group}");
    }
}

#[test]
fn private_values_of_curves_are_refused_outside_1_to_n_minus_1() {
    for &(group, _, order, x, y) in values::CURVES {
        let [n, x, y] = [order, x, y].map(|text| from_hex(text).unwrap());
        let point = [&x[..], &y].concat();
        for (name, value) in [("0", vec![0; n.len()]), ("n", n.clone()), ("n + 1", add(&n, &[1]))]
            .into_iter()
            .chain([("all ones", vec![0xff; n.len()])])
        {
            assert_eq!(public(group, &value), Err(DhError::InvalidPrivateValue), "group {group}: {name}");
            assert_eq!(shared(group, &value, &point), Err(DhError::InvalidPrivateValue), "group {group}: {name}");
        }
        // n - 1 is valid: its product is the inverse of the point, which has the same x.
        assert_eq!(shared(group, &subtract(&n, 1), &point), Ok(x.clone()), "group {group}: n - 1");
        assert_eq!(
            public(group, &subtract(&n, 1)).unwrap()[..n.len()],
            public(group, &number(n.len(), 1)).unwrap()[..n.len()]
        );
    }
}

#[test]
fn dh_error_messages() {
    let texts = [
        (DhError::Unsupported(Group(31)), "group curve25519 is not supported"),
        (DhError::Unsupported(Group(999)), "group 999 is not supported"),
        (DhError::Length { expected: 32, actual: 31 }, "length mismatch: got 31 octets, the group requires 32"),
        (DhError::InvalidPublicValue, "public value is out of range"),
        (DhError::InvalidPrivateValue, "private value is out of range"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn peers_compute_same_secret_and_wrong_private_value_does_not(a in vec(any::<u8>(), 78), b in vec(any::<u8>(), 78)) {
        for group in MODP.iter().map(|row| row.0).chain(ECP.iter().map(|row| row.0)) {
            let octets = GroupLengths::of(Group(group)).unwrap().private;
            let (mut a, mut b) = (a[78 - octets..].to_vec(), b[78 - octets..].to_vec());
            if group >= 19 {
                (a[0], b[0]) = (0, 0); // below the order of the curve
            }
            (a[1], b[1]) = (a[1] | 1, b[1] | 1);
            let (g_a, g_b) = (public(group, &a).unwrap(), public(group, &b).unwrap());
            let (one, other) = (shared(group, &a, &g_b).unwrap(), shared(group, &b, &g_a).unwrap());
            prop_assert_eq!(&one, &other);
            let mut c = a.clone();
            c[octets - 1] ^= 1;
            prop_assert_ne!(shared(group, &c, &g_b).unwrap(), one);
        }
    }
}
