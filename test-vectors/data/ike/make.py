#!/usr/bin/env python3
"""Key schedule and IV chain of IKEv1 (RFC 2409), written from the RFC with nothing but Python's standard library.

Prints the records that stand beside it: make.py phase1 | keymat | flows. Every input is a hash of its own name, so that
the output is the same each time.
"""
import functools
import hashlib
import hmac
import json
import sys


# AES (FIPS 197), slow and plain.
def xtime(a):
    return ((a << 1) ^ 0x11B) & 0xFF if a & 0x80 else a << 1


@functools.cache
def times(a, b):
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = xtime(a), b >> 1
    return product


def sbox_of(a):
    inverse = next((b for b in range(256) if times(a, b) == 1), 0)
    return 0x63 ^ inverse ^ rol8(inverse, 1) ^ rol8(inverse, 2) ^ rol8(inverse, 3) ^ rol8(inverse, 4)


def rol8(a, n):
    return ((a << n) | (a >> (8 - n))) & 0xFF


SBOX = [sbox_of(a) for a in range(256)]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


@functools.cache
def round_keys(key):
    words = [key[i:i + 4] for i in range(0, len(key), 4)]
    n, rcon = len(words), 1
    for i in range(n, 4 * (n + 7)):
        word = words[-1]
        if i % n == 0:
            word = xor(bytes(SBOX[b] for b in word[1:] + word[:1]), bytes([rcon, 0, 0, 0]))
            rcon = xtime(rcon)
        elif n > 6 and i % n == 4:
            word = bytes(SBOX[b] for b in word)
        words.append(xor(words[i - n], word))
    return [b"".join(words[i:i + 4]) for i in range(0, len(words), 4)]


def aes(key, block):
    keys = round_keys(key)
    state = xor(block, keys[0])
    for number, key in enumerate(keys[1:], 1):
        state = bytes(SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))
        if number < len(keys) - 1:
            mixed = b""
            for c in range(0, 16, 4):
                a = state[c:c + 4]
                mixed += bytes(times(2, a[i]) ^ times(3, a[(i + 1) % 4]) ^ a[(i + 2) % 4] ^ a[(i + 3) % 4] for i in range(4))
            state = mixed
        state = xor(state, key)
    return state


def cbc(key, iv, text):
    out = b""
    for i in range(0, len(text), 16):
        iv = aes(key, xor(iv, text[i:i + 16]))
        out += iv
    return out


# PRFs (RFC 2104, RFC 3566, RFC 4434).
def xcbc(key, data):
    k1, k2, k3 = (aes(key, bytes([n]) * 16) for n in (1, 2, 3))
    blocks = [data[i:i + 16] for i in range(0, len(data), 16)] or [b""]
    last = blocks.pop()
    last = xor(last, k2) if len(last) == 16 else xor(last + b"\x80" + bytes(15 - len(last)), k3)
    state = bytes(16)
    for block in blocks + [last]:
        state = aes(k1, xor(state, block))
    return state


def aes_xcbc_prf(key, data):
    key = xcbc(bytes(16), key) if len(key) > 16 else key + bytes(16 - len(key))
    return xcbc(key, data)


PRFS = {
    "hmac-md5": ("md5", None), "hmac-sha1": ("sha1", None), "hmac-sha256": ("sha256", None),
    "hmac-sha384": ("sha384", None), "hmac-sha512": ("sha512", None), "aes-xcbc": ("sha1", aes_xcbc_prf),
}


def prf(name, key, data):
    hash_name, other = PRFS[name]
    return other(key, data) if other else hmac.new(key, data, hash_name).digest()


def digest(name, data):
    return hashlib.new(PRFS[name][0], data).digest()


def octets(name, n):
    return hashlib.shake_128(name.encode()).digest(n)


def expand(name, key, first, again, n):
    """K1 | K2 | .. with K1 = prf(key, first) and Kn = prf(key, Kn-1 | again)."""
    out = last = prf(name, key, first)
    while len(out) < n:
        last = prf(name, key, last + again)
        out += last
    return out[:n]


# RFC 2409 5 and appendix B.
def phase1(name, method, key_octets):
    v = {k: octets(f"{name}/{method}/{key_octets}/{k}", n) for k, n in
         dict(psk=13, cky_i=8, cky_r=8, ni=16, nr=20, g_xi=96, g_xr=96, g_xy=96, sai_b=52, idii_b=8, idir_b=12).items()}
    v["idii_b"] = bytes.fromhex("011101f4") + v["idii_b"][4:]  # ID_IPV4_ADDR, UDP, port 500
    v["idir_b"] = bytes.fromhex("02000000") + v["idir_b"][4:].hex()[:8].encode()  # ID_FQDN
    nonces, cookies = v["ni"] + v["nr"], v["cky_i"] + v["cky_r"]
    v["skeyid"] = {
        "psk": lambda: prf(name, v["psk"], nonces),
        "signature": lambda: prf(name, nonces, v["g_xy"]),
        "encryption": lambda: prf(name, digest(name, nonces), cookies),
        "revised-encryption": lambda: prf(name, digest(name, nonces), cookies),
    }[method]()
    v["skeyid_d"] = prf(name, v["skeyid"], v["g_xy"] + cookies + b"\0")
    v["skeyid_a"] = prf(name, v["skeyid"], v["skeyid_d"] + v["g_xy"] + cookies + b"\1")
    v["skeyid_e"] = prf(name, v["skeyid"], v["skeyid_a"] + v["g_xy"] + cookies + b"\2")
    e = v["skeyid_e"]
    v["ka"] = e[:key_octets] if len(e) >= key_octets else expand(name, e, b"\0", b"", key_octets)
    v["initial_iv"] = digest(name, v["g_xi"] + v["g_xr"])[:16]
    v["hash_i_data"] = v["g_xi"] + v["g_xr"] + v["cky_i"] + v["cky_r"] + v["sai_b"] + v["idii_b"]
    v["hash_r_data"] = v["g_xr"] + v["g_xi"] + v["cky_r"] + v["cky_i"] + v["sai_b"] + v["idir_b"]
    v["hash_i"] = prf(name, v["skeyid"], v["hash_i_data"])
    v["hash_r"] = prf(name, v["skeyid"], v["hash_r_data"])
    return v


def phase1_records():
    for name in PRFS:
        for method in ("psk", "signature", "encryption", "revised-encryption"):
            for key_octets in (16, 24, 32, 56):
                v = {k: x.hex() for k, x in phase1(name, method, key_octets).items()}
                yield {"type": "ike-phase1", "id": f"{name}-{method}-ka{key_octets}", "prf": name, "hash": PRFS[name][0],
                       "auth_method": method, **v}


def keymat_records():
    for name in PRFS:
        for pfs in (False, True):
            for enc, integ in ((8, 16), (24, 20), (36, 0), (56, 64)):
                label = f"{name}-{'pfs' if pfs else 'plain'}-{enc}-{integ}"
                d = octets(label + "/skeyid_d", len(prf(name, b"", b"")))
                record = {"type": "ike-keymat", "id": label, "prf": name, "skeyid_d": d.hex(), "pfs": pfs}
                shared = octets(label + "/g_xy", 128) if pfs else b""
                for side, protocol in (("initiator", 3), ("responder", 2)):
                    seed = shared + bytes([protocol]) + octets(f"{label}/{side}/spi", 4) + octets(label + "/nonces", 40)
                    keymat = expand(name, d, seed, seed, enc + integ)
                    record[f"seed_{side}_sa"] = seed.hex()
                    record[f"enc_key_{side}"], record[f"integ_key_{side}"] = keymat[:enc].hex(), keymat[enc:].hex()
                yield record


def payloads(parts):
    """(kind, body) pairs as a chain."""
    kinds = [kind for kind, _ in parts[1:]] + [0]
    return b"".join(bytes([n, 0]) + (len(body) + 4).to_bytes(2, "big") + body for n, (_, body) in zip(kinds, parts))


def message(v, first, exchange, flags, message_id, body):
    return (v["cky_i"] + v["cky_r"] + bytes([first, 0x10, exchange, flags]) + message_id
            + (28 + len(body)).to_bytes(4, "big") + body)


def flow(name, key_octets):
    v = phase1(name, "psk", key_octets)
    messages, chains = [], {}
    for side, value, nonce in (("initiator", "g_xi", "ni"), ("responder", "g_xr", "nr")):
        body = payloads([(4, v[value]), (10, v[nonce])])
        messages.append({"from_": side, "wire": message(v, 4, 2, 0, bytes(4), body).hex()})
    last = {"phase1": v["initial_iv"]}

    def protect(side, exchange, message_id, parts, hash_name=None, pad_to=16):
        text = payloads(parts)
        padding = bytes(-len(text) % pad_to)
        if message_id == bytes(4):
            iv = last["phase1"]
        else:
            iv = chains.get(message_id) or digest(name, last["phase1"] + message_id)[:16]
        wire = cbc(v["ka"], iv, text + padding)
        if message_id == bytes(4):
            last["phase1"] = wire[-16:]
        else:
            chains[message_id] = wire[-16:]
        record = {"from_": side, "wire": message(v, parts[0][0], exchange, 1, message_id, wire).hex(), "cipher": "AES",
                  "iv": iv.hex(), "plaintext": (text + padding).hex(), "payloads": [[k, len(b) + 4] for k, b in parts],
                  "padding": padding.hex()}
        messages.append(record | ({"hash": hash_name} if hash_name else {}))

    protect("initiator", 2, bytes(4), [(5, v["idii_b"]), (8, v["hash_i"])])
    protect("responder", 2, bytes(4), [(5, v["idir_b"]), (8, v["hash_r"])], pad_to=32)
    a = v["skeyid_a"]

    def hashed(prefix, message_id, rest):
        return (8, prf(name, a, prefix + message_id + rest))

    for number in range(2):
        mid = octets(f"{name}/{key_octets}/mid/{number}", 4)
        ni, nr = octets(f"{name}/ni/{number}", 16 + number), octets(f"{name}/nr/{number}", 32)
        sa = bytes.fromhex("00000001000000010000001801030401112233440000000c0103000080040001")
        first = [(1, sa), (10, ni)]
        body = payloads(first)
        protect("initiator", 32, mid, [hashed(b"", mid, body)] + first, "HASH(1) prf(SKEYID_a,M-ID|rest)")
        body = payloads([(1, sa), (10, nr)])
        protect("responder", 32, mid, [hashed(b"", mid, ni + body), (1, sa), (10, nr)], "HASH(2) prf(SKEYID_a,M-ID|Ni_b|rest)")
        protect("initiator", 32, mid, [hashed(b"\0", mid, ni + nr)], "HASH(3) prf(SKEYID_a,0|M-ID|Ni_b|Nr_b)")
    mid = octets(f"{name}/{key_octets}/mid/delete", 4)
    delete = [(12, bytes.fromhex("000000010304000111223344"))]
    protect("responder", 5, mid, [hashed(b"", mid, payloads(delete))] + delete, "HASH(1) prf(SKEYID_a,M-ID|rest)")
    mid = octets(f"{name}/{key_octets}/mid/config", 4)
    config = [(14, bytes.fromhex("0100001240890000") + bytes.fromhex("408a0003616263"))]
    protect("responder", 6, mid, [hashed(b"", mid, payloads(config))] + config, "HASH(1) prf(SKEYID_a,M-ID|rest)")
    return {"type": "ike-flow", "id": f"{name}-aes{8 * key_octets}", "prf": name, "hash": PRFS[name][0],
            "ka": v["ka"].hex(), "skeyid_a": a.hex(), "messages": messages}


def flow_records():
    for name in PRFS:
        for key_octets in (16, 24, 32):
            yield flow(name, key_octets)


if __name__ == "__main__":
    makers = {"phase1": phase1_records, "keymat": keymat_records, "flows": flow_records}
    for record in makers[sys.argv[1]]():
        print(json.dumps(record))
