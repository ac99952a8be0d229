#!/usr/bin/env python3
"""Generates the expected values of the ike-v1 tests with the Python standard library only: make.py > mod.rs, then rustfmt."""
import hashlib
import hmac
import ipaddress
from itertools import count

# MODP groups (RFC 2409 section 6, RFC 3526): 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + c).
MODP = {768: (1, 149686, 32), 1024: (2, 129093, 32), 1536: (5, 741804, 32), 2048: (14, 124476, 40),
        3072: (15, 1690314, 52), 4096: (16, 240904, 60), 6144: (17, 929484, 68), 8192: (18, 4743158, 78)}


def pi(bits):
    """floor(2^bits pi), by Machin's formula."""
    def arctan(x):
        term = total = (1 << bits + 64) // x
        for n in count(3, 2):
            term //= -x * x
            if term in (0, -1):
                return total
            total += term // n
    return 4 * (4 * arctan(5) - arctan(239)) >> 64


def prime(n):
    return 2**n - 2**(n - 64) - 1 + 2**64 * (pi(n - 130) + MODP[n][1])


# Curves: p, b, order, generator; a is -3 (FIPS 186-4 D.1.2).
ECP = {
    19: (2**256 - 2**224 + 2**192 + 2**96 - 1,
         0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
         0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
         0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
         0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5),
    20: (2**384 - 2**128 - 2**96 + 2**32 - 1,
         0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
         0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
         0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
         0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F),
    21: (2**521 - 1,
         0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
         2**521 - 2**264 + 0xFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
         0x00C6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3DBAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66,
         0x011839296A789A3BC0045C8A5FB42C7D1BD998F54449579B446817AFBD17273E662C97EE72995EF42640C550B9013FAD0761353C7086A272C24088BE94769FD16650),
}
# Private values of RFC 5903 sections 8.1 to 8.3.
ECP_PRIVATE = {
    19: (0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433,
         0xC6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53),
    20: (0x099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194,
         0x41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC),
    21: (0x0037ADE9319A89F4DABDB3EF411AACCCA5123C61ACAB57B5393DCE47608172A095AA85A30FE1C2952C6771D937BA9777F5957B2639BAB072462F68C27A57382D4A52,
         0x0145BA99A847AF43793FDD0E872E7CDFA16BE30FDC780F97BCCC3F078380201E9C677D600B343757A3BDBF2A3163E4C2F869CCA7458AA4A4EFFC311F5CB151685EB9),
}


def add(p, one, other):
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % p == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, p) if one == other else (y2 - y1) * pow(x2 - x1, -1, p)
    x = (slope * slope - x1 - x2) % p
    return x, (slope * (x1 - x) - y1) % p


def times(p, k, point):
    product = None
    while k:
        product = add(p, product, point) if k & 1 else product
        point, k = add(p, point, point), k >> 1
    return product


def octets(name, n):
    return hashlib.shake_128(name.encode()).digest(n)


def literal(value):
    text = value.hex()
    return '"\\\n' + "".join(f"{text[i:i + 116]}\\\n" for i in range(0, len(text), 116)) + '"'


def row(*fields):
    print("(" + ", ".join(literal(f) if isinstance(f, bytes) else str(f) for f in fields) + "),")


def table(name, kind, rows):
    print(f"pub const {name}: &[{kind}] = &[")
    for fields in rows:
        row(*fields)
    print("];")


def modp_rows():
    for n, (group, _, private) in MODP.items():
        p = prime(n)
        a, b = (octets(f"modp/{n}/{side}", private) for side in "ab")
        x, y = int.from_bytes(a, "big"), int.from_bytes(b, "big")
        yield (group, a, pow(2, x, p).to_bytes(n // 8, "big"), b, pow(2, x * y, p).to_bytes(n // 8, "big"))


def ecp_rows():
    for group, (p, b, order, gx, gy) in ECP.items():
        size = (p.bit_length() + 7) // 8
        assert (gy * gy - gx**3 + 3 * gx - b) % p == 0 and times(p, order, (gx, gy)) is None
        i, r = ECP_PRIVATE[group]
        public = times(p, i, (gx, gy))
        shared = times(p, i * r % order, (gx, gy))
        yield (group, i.to_bytes(size, "big"), b"".join(c.to_bytes(size, "big") for c in public), r.to_bytes(size, "big"),
               shared[0].to_bytes(size, "big"))


def leading_zero_rows():
    """Rows whose public value and shared secret begin with a zero octet; the private value of the peer is 7."""
    p = prime(768)
    yield 1, *next((x.to_bytes(32, "big"), pow(2, x, p).to_bytes(96, "big"), (7).to_bytes(32, "big"),
                    pow(2, 7 * x, p).to_bytes(96, "big")) for x in count(1000)
                   if pow(2, x, p) >> 760 == 0 and pow(2, 7 * x, p) >> 760 == 0)
    p = prime(1024)
    yield 2, *next((x.to_bytes(32, "big"), pow(2, x, p).to_bytes(128, "big"), (7).to_bytes(32, "big"),
                    pow(2, 7 * x, p).to_bytes(128, "big")) for x in count(1100)
                   if pow(2, x, p) >> 1016 == 0 and pow(2, 7 * x, p) >> 1016 == 0)
    p, _, order, gx, gy = ECP[19]
    point = times(p, 1000, (gx, gy))
    for x in count(1000):
        if point[0] >> 248 == 0:
            shared = times(p, 7, point)[0]
            if shared >> 248 == 0:
                break
        point = add(p, point, (gx, gy))
    yield (19, x.to_bytes(32, "big"), b"".join(c.to_bytes(32, "big") for c in point), (7).to_bytes(32, "big"),
           shared.to_bytes(32, "big"))


def curve_rows():
    for group, (p, b, order, _, _) in ECP.items():
        size = (p.bit_length() + 7) // 8
        # x is small, so that the coordinates stay below 2^(8 size) when p is added.
        x = next(x for x in count(2) if pow(x**3 - 3 * x + b, (p - 1) // 2, p) == 1)
        y = pow(x**3 - 3 * x + b, (p + 1) // 4, p)
        assert (y * y - x**3 + 3 * x - b) % p == 0
        yield (group, *(v.to_bytes(size, "big") for v in (p, order, x, y)))


COOKIES = octets("cookies", 16)
ENDS = [("192.0.2.1", 500), ("198.51.100.77", 4500), ("2001:db8::5", 500), ("2001:db8:ffff::1", 1)]


def natd_rows():
    for name in ("md5", "sha1", "sha256", "sha384", "sha512"):
        for address, port in ENDS:
            body = COOKIES + ipaddress.ip_address(address).packed + port.to_bytes(2, "big")
            yield f'"{name}"', f'"{address}"', port, hashlib.new(name, body).digest()


def cookie_rows():
    secret, initiator = octets("secret", 32), octets("initiator", 8)
    for local, remote, epoch in ((0, 1, 0), (0, 1, 7), (1, 0, 7), (2, 2, 2**32 - 1)):
        body = b""
        for address, _ in (ENDS[local], ENDS[remote]):
            packed = ipaddress.ip_address(address).packed
            body += packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed
        body += b"".join(ENDS[end][1].to_bytes(2, "big") for end in (local, remote)) + initiator + epoch.to_bytes(4, "big")
        yield (*(f'("{a}", {p})' for a, p in (ENDS[local], ENDS[remote])), epoch,
               hmac.new(secret, body, "sha1").digest()[:8])


def main():
    print("//! Expected values of the tests, generated by `make.py` in this directory.\n#![allow(dead_code, missing_docs, clippy::type_complexity)]\n")
    print("/// MODP rows: group, private value, its public value, private value of the peer, shared secret.")
    table("MODP", "Exchange", modp_rows())
    print("/// ECP rows of the same form, with the private values of RFC 5903 sections 8.1 to 8.3.")
    table("ECP", "Exchange", ecp_rows())
    print("/// Rows whose public value and shared secret begin with a zero octet.")
    table("LEADING_ZERO", "Exchange", leading_zero_rows())
    print("pub type Exchange = (u16, &'static str, &'static str, &'static str, &'static str);")
    print("/// Curve rows: group, prime, order, and coordinates of a point with small x.")
    table("CURVES", "Exchange", curve_rows())
    print("/// First 8064 bits of pi.")
    print(f"pub const PI: &str = {literal(pi(8062).to_bytes(1008, 'big'))};")
    print(f"pub const COOKIES: &str = {literal(COOKIES)};")
    print("/// NAT-D rows: hash algorithm, address, port, hash.")
    table("NATD", "(&str, &str, u16, &str)", natd_rows())
    print(f"pub const SECRET: &str = {literal(octets('secret', 32))};")
    print(f"pub const INITIATOR: &str = {literal(octets('initiator', 8))};")
    print("/// Cookie rows: local address, remote address, epoch, cookie.")
    table("COOKIE", "((&str, u16), (&str, u16), u32, &str)", cookie_rows())


if __name__ == "__main__":
    main()
