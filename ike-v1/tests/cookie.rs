//! Stateless responder cookies: validity in two epochs, and binding to the secret, the addresses and the initiator
//! cookie.

mod values;

use std::net::SocketAddr;

use ike_codec::Cookie;
use ike_v1::CookieGenerator;
use ipsec_crypto::IcvMismatch;
use proptest::prelude::*;
use test_vectors::from_hex;
use test_vectors::support::address;

fn jar() -> CookieGenerator {
    CookieGenerator::new(&from_hex(values::SECRET).unwrap().try_into().unwrap())
}

fn initiator() -> Cookie {
    from_hex(values::INITIATOR).unwrap().try_into().unwrap()
}

fn ends() -> (SocketAddr, SocketAddr) {
    (address("192.0.2.1:500"), address("198.51.100.77:4500"))
}

//= RFC 2408 2.5.3/2
//# MUST: only its issuer can create a cookie, and the local secret cannot be derived from one
#[test]
fn cookies_match_python() {
    assert_eq!(values::COOKIE.len(), 4);
    for &(local, remote, epoch, expected) in values::COOKIE {
        let ends = [local, remote].map(|(address, port)| SocketAddr::new(address.parse().unwrap(), port));
        let cookie = jar().cookie((ends[0], ends[1]), &initiator(), epoch);
        assert_eq!(cookie[..], from_hex(expected).unwrap(), "{ends:?} {epoch}");
    }
}

//= RFC 2408 2.5.3/4
//# MUST: date and time are part of what a cookie is hashed from
#[test]
fn cookie_is_valid_in_its_epoch_and_the_next_only() {
    for made in [0, 1, 2, 1000, u32::MAX - 1, u32::MAX] {
        let cookie = jar().cookie(ends(), &initiator(), made);
        for (age, good) in [(0, true), (1, true), (2, false), (3, false), (1 << 31, false), (u32::MAX, false)] {
            let now = made.wrapping_add(age);
            let checked = jar().check(ends(), &initiator(), now, &cookie);
            assert_eq!(
                checked,
                if good { Ok(()) } else { Err(IcvMismatch) },
                "computed in epoch {made}, checked in epoch {now}"
            );
        }
    }
}

//= RFC 2408 2.5.3/1
//# MUST: a cookie depends on the parties
#[test]
fn cookie_is_bound_to_addresses_and_ports() {
    let (local, remote) = ends();
    let cookie = jar().cookie(ends(), &initiator(), 7);
    assert_eq!(jar().check(ends(), &initiator(), 7, &cookie), Ok(()));
    let others = [
        ("other remote address", (local, address("198.51.100.78:4500"))),
        ("other remote port", (local, address("198.51.100.77:4501"))),
        ("other high octet of the remote port", (local, address("198.51.100.77:4244"))),
        ("other local address", (address("192.0.2.2:500"), remote)),
        ("other local port", (address("192.0.2.1:4500"), remote)),
        ("ports exchanged", (address("192.0.2.1:4500"), address("198.51.100.77:500"))),
        ("addresses exchanged", (remote, local)),
        ("IPv6 address with the same last four octets", (local, address("[2001:db8::c633:644d]:4500"))),
    ];
    for (name, ends) in others {
        assert_eq!(jar().check(ends, &initiator(), 7, &cookie), Err(IcvMismatch), "{name}");
    }
}

#[test]
fn cookie_is_bound_to_every_bit_of_itself_and_of_the_initiator_cookie() {
    let cookie = jar().cookie(ends(), &initiator(), 7);
    for bit in 0..64 {
        let (mut other, mut forged) = (initiator(), cookie);
        other[bit / 8] ^= 1 << (bit % 8);
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(jar().check(ends(), &other, 7, &cookie), Err(IcvMismatch), "bit {bit} of the initiator cookie");
        assert_eq!(jar().check(ends(), &initiator(), 7, &forged), Err(IcvMismatch), "bit {bit}");
    }
}

//= RFC 2408 2.5.3/2
//# MUST: only its issuer can create a cookie, and the local secret cannot be derived from one
#[test]
fn cookie_is_bound_to_every_bit_of_the_secret() {
    let cookie = jar().cookie(ends(), &initiator(), 7);
    for bit in 0..256 {
        let mut secret: [u8; 32] = from_hex(values::SECRET).unwrap().try_into().unwrap();
        secret[bit / 8] ^= 1 << (bit % 8);
        let checked = CookieGenerator::new(&secret).check(ends(), &initiator(), 7, &cookie);
        assert_eq!(checked, Err(IcvMismatch), "bit {bit} of the secret");
    }
}

#[test]
fn cookie_covers_every_bit_of_ipv6_addresses() {
    let (local, remote) = (address("[2001:db8::1]:500"), address("[2001:db8::2]:500"));
    let cookie = jar().cookie((local, remote), &initiator(), 7);
    assert_eq!(jar().check((local, remote), &initiator(), 7, &cookie), Ok(()));
    let flipped = |end: SocketAddr, bit: u32| {
        let SocketAddr::V6(v6) = end else { return end };
        SocketAddr::new(std::net::Ipv6Addr::from_bits(v6.ip().to_bits() ^ (1 << bit)).into(), end.port())
    };
    for bit in 0..128 {
        assert_eq!(jar().check((flipped(local, bit), remote), &initiator(), 7, &cookie), Err(IcvMismatch), "{bit}");
        assert_eq!(jar().check((local, flipped(remote, bit)), &initiator(), 7, &cookie), Err(IcvMismatch), "{bit}");
    }
}

#[test]
fn zero_cookie_is_never_generated_or_accepted() {
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 0..20_000 {
        let cookie = jar().cookie(ends(), &initiator(), epoch);
        assert_ne!(cookie, [0; 8]);
        assert!(seen.insert(cookie), "epoch {epoch} has the cookie of another epoch");
        assert_eq!(jar().check(ends(), &initiator(), epoch, &[0; 8]), Err(IcvMismatch));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_cookie_is_accepted_and_random_cookie_refused(
        secret: [u8; 32], local: SocketAddr, remote: SocketAddr, initiator: Cookie, epoch: u32, guess: Cookie,
    ) {
        let jar = CookieGenerator::new(&secret);
        let cookie = jar.cookie((local, remote), &initiator, epoch);
        prop_assert_ne!(cookie, [0; 8]);
        prop_assert_eq!(jar.check((local, remote), &initiator, epoch, &cookie), Ok(()));
        prop_assert_eq!(jar.check((local, remote), &initiator, epoch.wrapping_add(1), &cookie), Ok(()));
        prop_assert_eq!(jar.check((local, remote), &initiator, epoch, &guess), Err(IcvMismatch));
    }
}
