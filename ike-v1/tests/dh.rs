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

/// Values of group 2 of which the public value (first row) or the shared value (second row) begins with a zero octet:
/// private value, public value, shared value with [`PEER`].
const ZERO_IN_ONE: [(&str, &str, &str); 2] = [
    (
        "7a8f3d15c88351b482b38e5864b05ae012023ae93f935be18b973911903a8375",
        "\
         00a4576cac2fa2f428994b49d7641da17861ecced68a13a11af345b6cd8e473e2d073fc5bef83dbae5679059fc677482c8369e8b3ff4b2\
         9b1914322cc40652b735e75efb166a80ed5748cd856edd9050387a178e43af93d146ce8c4a9c93d130d54acb874b9985efad7f88b9b420\
         1add5a975e7e08c50aa28da31942a01b506b",
        "\
         190c7844d2d18b6ea830f20c53af17b55277daafa53cff6c38922376f92c23a337851e5dde0f87497dbadc87c33c8638f808f707cabac4\
         71b156a3608d094b8b3f526f48ff02c58fb123730130c4d9410094c620c1ef0a81cd8f6fd531c3352debb78bf4856de952a2f400988c63\
         d50088a353e08f3657afc94403599d7eda4e",
    ),
    (
        "20c4b486b60105aca7e55caaf7479fbf65cb86bc5bbfae3aca56089d9f54ccf4",
        "\
         7654cdcb247674354d99a37c869b7aad4625e5428c42668b641700dd60ef881dc7e173051e58ffc93311782d2328530dbb08de2a2ad5fc\
         6b79631aee3eb994a2b1363b7db06064107a4a954d58ab1065b889b29060b886fea53f96b2a173541cdef6ab9f6b6f50408be45a25dab3\
         fcbce63c6a0395540a0b00cf83f19638132f",
        "\
         00afc2ad84faa36ba704ec5487a24ba7fed656c26de0b0ebeb6dde0f169e487dea2b127e071d405749319d10cafcb5423fcdf8e4f3f0bc\
         d1f9c96091ca21fc9d3a6f0cce4a25b60c657b7894d9126209dba32e6bc251984533df8aad9c3a8db44795728606bf58a7a42aa801d95e\
         048c96a87bdc0ed0980bbabc95367714829b",
    ),
];

/// Public value of a peer in group 2.
const PEER: &str = "\
    5581d2099ebed189b24257e7fa774374bbd74237e5bb7967de618c3b0a02324ff32e92d441bfc9d2a937839bfe4c1888e035b609bb2397\
    60eb2f874a216d751f5352a1eef1bda11753289d5ec033b55b286a5155052b96c98bfef8332f1cb58e9caaa0f457b9dca3c1366ba48412\
    c4e747b1067dfbff8e8e612d192d5bb59a71";

//= RFC 2409 5/7
//# MUST: a public value has the length of its group, with zeros in front
#[test]
fn either_value_may_begin_with_a_zero_octet() {
    let peer = from_hex(PEER).unwrap();
    let starts_with_zero = ZERO_IN_ONE.map(|(_, public, shared)| [public, shared].map(|value| value.starts_with("00")));
    assert_eq!(starts_with_zero, [[true, false], [false, true]]);
    for row in ZERO_IN_ONE {
        let [a, g_a, g_ab] = [row.0, row.1, row.2].map(|text| from_hex(text).unwrap());
        assert_eq!((public(2, &a), shared(2, &a, &peer)), (Ok(g_a), Ok(g_ab)));
    }
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
            // A coordinate of 66 octets has space for more than 521 bits.
            invalid.push(("y + p for y", [&x[..], &add(&y, &p)].concat()));
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
fn dh_errors_name_group_and_lengths() {
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
