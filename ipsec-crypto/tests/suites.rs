//! Suites chosen by type and by value: sealing, opening, modified packets, and comparison with the AEADs called
//! encrypt_directly.
#![cfg(all(feature = "modern", feature = "legacy", feature = "runtime-suites"))]

use aes_gcm::aead::{AeadInOut, KeyInit};
use ipsec_crypto::{
    Aes128Cbc, Aes128Ccm8, Aes128Ccm12, Aes128Ccm16, Aes128Ctr, Aes128Gcm8, Aes128Gcm12, Aes128Gcm16, Aes128Gmac,
    Aes192Cbc, Aes192Ccm8, Aes192Ccm12, Aes192Ccm16, Aes192Ctr, Aes192Gcm8, Aes192Gcm12, Aes192Gcm16, Aes192Gmac,
    Aes256Cbc, Aes256Ccm8, Aes256Ccm12, Aes256Ccm16, Aes256Ctr, Aes256Gcm8, Aes256Gcm12, Aes256Gcm16, Aes256Gmac,
    AesCmac96, AesXcbcMac96, AnySuite, BlowfishCbc, Cast128Cbc, ChaCha20Poly1305, Cipher, CipherAlgorithm as C,
    Confidential, DesCbc, EncryptThenMac, EncryptWithoutIntegrity, EspParts, HmacMd5_96, HmacRipemd160_96, HmacSha1_96,
    HmacSha2_256_96, HmacSha2_256_128, HmacSha2_384_192, HmacSha2_512_256, IcvLen, IcvMismatch,
    IntegrityAlgorithm as I, IvRule, Layout, MAX_ICV, Null, Suite, TripleDesCbc,
};
use test_vectors::Random;

/// Typed suite and [`AnySuite`] with the same algorithms and keys.
struct SuitePair {
    cipher: C,
    integrity: I,
    key: Vec<u8>,
    typed: Box<dyn Suite>,
    any: AnySuite,
}

impl SuitePair {
    fn each(&self) -> [&dyn Suite; 2] {
        [&*self.typed, &self.any]
    }

    fn name(&self) -> String {
        format!("{} with {} octets, {}", self.cipher, self.key.len(), self.integrity)
    }
}

/// Splits a key from the salt at its end.
fn salted<const K: usize, const S: usize>(key: &[u8]) -> (&[u8; K], [u8; S]) {
    (key[..K].try_into().unwrap(), key[K..].try_into().unwrap())
}

/// Appends the cipher with each key length and every integrity algorithm.
fn with_integrity<K: Cipher + 'static>(
    all: &mut Vec<SuitePair>,
    cipher: C,
    lengths: impl IntoIterator<Item = usize>,
    keyed: fn(&[u8]) -> K,
) {
    macro_rules! pair {
        ($random:ident, $length:ident; $($integrity:ident),*) => {$({
            let (key, integrity_key) = ($random.octets($length), $random.array());
            let integrity = I::$integrity;
            let typed = Box::new(EncryptThenMac::new(keyed(&key), $integrity::new(&integrity_key)));
            let any = AnySuite::from_slices(cipher, &key, integrity, &integrity_key).unwrap();
            all.push(SuitePair { cipher, integrity, key, typed, any });
        })*};
    }
    for length in lengths {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (all.len() as u64));
        pair!(random, length; HmacMd5_96, HmacSha1_96, HmacSha2_256_96, HmacSha2_256_128, HmacSha2_384_192,
            HmacSha2_512_256, HmacRipemd160_96, AesXcbcMac96, AesCmac96);
    }
}

/// Appends every AEAD, and NULL with AES-GMAC.
fn aeads(all: &mut Vec<SuitePair>) {
    let mut random = Random(0x6a09_e667_f3bc_c908);
    macro_rules! pair {
        ($($name:ident: $cipher:ident, $octets:literal;)*) => {$({
            let key = random.octets($octets);
            let (secret, salt) = salted(&key);
            let typed = Box::new($name::new(secret, salt));
            let any = AnySuite::from_slices(C::$cipher, &key, I::None, &[]).unwrap();
            all.push(SuitePair { cipher: C::$cipher, integrity: I::None, key, typed, any });
        })*};
    }
    pair! {
        Aes128Gcm8: AesGcm8, 20; Aes128Gcm12: AesGcm12, 20; Aes128Gcm16: AesGcm16, 20; Aes128Gmac: NullAesGmac, 20;
        Aes192Gcm8: AesGcm8, 28; Aes192Gcm12: AesGcm12, 28; Aes192Gcm16: AesGcm16, 28; Aes192Gmac: NullAesGmac, 28;
        Aes256Gcm8: AesGcm8, 36; Aes256Gcm12: AesGcm12, 36; Aes256Gcm16: AesGcm16, 36; Aes256Gmac: NullAesGmac, 36;
        Aes128Ccm8: AesCcm8, 19; Aes128Ccm12: AesCcm12, 19; Aes128Ccm16: AesCcm16, 19;
        Aes192Ccm8: AesCcm8, 27; Aes192Ccm12: AesCcm12, 27; Aes192Ccm16: AesCcm16, 27;
        Aes256Ccm8: AesCcm8, 35; Aes256Ccm12: AesCcm12, 35; Aes256Ccm16: AesCcm16, 35;
        ChaCha20Poly1305: ChaCha20Poly1305, 36;
    }
}

/// Returns every suite with every key length.
fn every_suite() -> Vec<SuitePair> {
    let mut all = Vec::new();
    with_integrity(&mut all, C::Null, [0], |_| Null);
    with_integrity(&mut all, C::DesCbc, [8], |key| DesCbc::from_slice(key).unwrap());
    with_integrity(&mut all, C::TripleDesCbc, [24], |key| TripleDesCbc::from_slice(key).unwrap());
    with_integrity(&mut all, C::BlowfishCbc, 5..=56, |key| BlowfishCbc::from_slice(key).unwrap());
    with_integrity(&mut all, C::Cast128Cbc, 5..=16, |key| Cast128Cbc::from_slice(key).unwrap());
    with_integrity(&mut all, C::AesCbc, [16], |key| Aes128Cbc::new(key.try_into().unwrap()));
    with_integrity(&mut all, C::AesCbc, [24], |key| Aes192Cbc::new(key.try_into().unwrap()));
    with_integrity(&mut all, C::AesCbc, [32], |key| Aes256Cbc::new(key.try_into().unwrap()));
    with_integrity(&mut all, C::AesCtr, [20], |key| {
        let (key, nonce) = salted(key);
        Aes128Ctr::new(key, nonce)
    });
    with_integrity(&mut all, C::AesCtr, [28], |key| {
        let (key, nonce) = salted(key);
        Aes192Ctr::new(key, nonce)
    });
    with_integrity(&mut all, C::AesCtr, [36], |key| {
        let (key, nonce) = salted(key);
        Aes256Ctr::new(key, nonce)
    });
    aeads(&mut all);
    assert_eq!(all.len(), (1 + 1 + 1 + 52 + 12 + 3 + 3) * 9 + 22);
    all
}

/// Returns every suite, with Blowfish and CAST-128 in the default key length only.
fn every_suite_once() -> Vec<SuitePair> {
    let mut all = every_suite();
    all.retain(|pair| !matches!(pair.cipher, C::BlowfishCbc | C::Cast128Cbc) || pair.key.len() == 16);
    assert_eq!(all.len(), 11 * 9 + 22);
    all
}

/// Returns a packet of random octets with an ICV of zeros, and the offset of the ICV.
fn packet(random: &mut Random, layout: Layout, body: usize) -> (Vec<u8>, usize) {
    let rest = 8 + layout.iv_len() + body;
    let mut packet = random.octets(rest);
    packet.resize(rest + layout.icv_len(), 0);
    (packet, rest)
}

fn seal(suite: &dyn Suite, packet: &[u8], high: Option<[u8; 4]>) -> Vec<u8> {
    let mut packet = packet.to_vec();
    suite.seal(&mut EspParts::split(suite.layout(), &mut packet, high).unwrap());
    packet
}

fn open(suite: &dyn Suite, packet: &mut [u8], high: Option<[u8; 4]>) -> Result<(), IcvMismatch> {
    suite.open(&mut EspParts::split(suite.layout(), packet, high).unwrap())
}

#[test]
fn typed_and_any_suites_seal_alike_and_open_each_others_packets() {
    let mut random = Random(0x3c6e_f372_fe94_f82b);
    for pair in every_suite() {
        let (layout, name) = (pair.typed.layout(), pair.name());
        assert_eq!(layout, pair.any.layout(), "{name}");
        // Blowfish and CAST-128 are tested in all sizes with the default key length, and in one size with the others.
        let once = matches!(pair.cipher, C::BlowfishCbc | C::Cast128Cbc) && pair.key.len() != 16;
        let sizes = if once { 96..=96 } else { 4..=256 };
        for body in sizes.filter(|body| body % layout.align() == 0) {
            for high in [None, Some(random.array())] {
                let (clear, rest) = packet(&mut random, layout, body);
                let [sealed, again] = pair.each().map(|suite| seal(suite, &clear, high));
                assert_eq!(sealed, again, "{name}");
                let front = 8 + layout.iv_len();
                let plain = matches!(pair.cipher, C::Null | C::NullAesGmac);
                assert_eq!(sealed[..front], clear[..front], "{name}: header and IV are unchanged");
                assert_eq!(sealed[front..rest] == clear[front..rest], plain, "{name}: the body is encrypted");
                for suite in pair.each() {
                    let mut opened = sealed.clone();
                    assert_eq!(open(suite, &mut opened, high), Ok(()), "{name}");
                    assert_eq!(opened[..rest], clear[..rest], "{name}");
                }
            }
        }
    }
}

//= RFC 4303 3.4.4.2/1
//# MUST: a packet that a combined mode algorithm finds wrong is discarded
#[test]
fn open_refuses_every_flipped_bit_and_leaves_the_packet_unchanged() {
    let mut random = Random(0x510e_527f_ade6_82d1);
    let mut flips = 0;
    for pair in every_suite_once() {
        let (layout, name) = (pair.typed.layout(), pair.name());
        let number = random.array();
        for high in [None, Some(number)] {
            let (clear, _) = packet(&mut random, layout, layout.align());
            let sealed = seal(&*pair.typed, &clear, high);
            let mut refuse = |packet: &[u8], high| {
                for suite in pair.each() {
                    let mut opened = packet.to_vec();
                    assert_eq!(open(suite, &mut opened, high), Err(IcvMismatch), "{name} {high:?}");
                    assert_eq!(opened, packet, "{name} {high:?}");
                }
                flips += 1;
            };
            for bit in 0..sealed.len() * 8 {
                let mut packet = sealed.clone();
                packet[bit / 8] ^= 1 << (bit % 8);
                refuse(&packet, high);
            }
            for bit in 0..32 {
                let wrong = high.map(|high| u32::from_be_bytes(high) ^ (1 << bit));
                refuse(&sealed, Some(wrong.unwrap_or(1 << bit).to_be_bytes()));
            }
            refuse(&sealed, if high.is_some() { None } else { Some([0; 4]) });
        }
    }
    assert_eq!(flips, 86_322);
}

//= RFC 4303 2.3/3
//# MUST: the payload begins at a multiple of 4 octets (IPv4) or 8 (IPv6) from the ESP header
#[test]
fn layouts_match_the_rfcs() {
    use IvRule::{None as Absent, Unique, Unpredictable};
    #[rustfmt::skip]
    let ciphers = [
        // cipher              IV  align ICV  rule            source
        (C::Null,              0,  4,    0,   Absent),        // RFC 2410
        (C::DesCbc,            8,  8,    0,   Unpredictable), // RFC 2405
        (C::TripleDesCbc,      8,  8,    0,   Unpredictable), // RFC 2451
        (C::BlowfishCbc,       8,  8,    0,   Unpredictable), // RFC 2451
        (C::Cast128Cbc,        8,  8,    0,   Unpredictable), // RFC 2451
        (C::AesCbc,            16, 16,   0,   Unpredictable), // RFC 3602
        (C::AesCtr,            8,  4,    0,   Unique),        // RFC 3686
        (C::AesGcm8,           8,  4,    8,   Unique),        // RFC 4106
        (C::AesGcm12,          8,  4,    12,  Unique),        // RFC 4106
        (C::AesGcm16,          8,  4,    16,  Unique),        // RFC 4106
        (C::AesCcm8,           8,  4,    8,   Unique),        // RFC 4309
        (C::AesCcm12,          8,  4,    12,  Unique),        // RFC 4309
        (C::AesCcm16,          8,  4,    16,  Unique),        // RFC 4309
        (C::ChaCha20Poly1305,  8,  4,    16,  Unique),        // RFC 7634
        (C::NullAesGmac,       8,  4,    16,  Unique),        // RFC 4543
    ];
    #[rustfmt::skip]
    let integrity = [
        (I::None, 0),              (I::HmacMd5_96, 12),       (I::HmacSha1_96, 12),      (I::HmacSha2_256_96, 12),
        (I::HmacSha2_256_128, 16), (I::HmacSha2_384_192, 24), (I::HmacSha2_512_256, 32), (I::HmacRipemd160_96, 12),
        (I::AesXcbcMac96, 12),     (I::AesCmac96, 12),        (I::AesGmac, 16),
    ];
    assert_eq!((ciphers.len(), integrity.len()), (C::ALL.len(), I::ALL.len()));
    for (algorithm, icv) in integrity {
        assert_eq!(algorithm.row().unwrap().icv, icv, "{algorithm}");
    }
    for (algorithm, iv, _, icv, _) in ciphers {
        let row = algorithm.row().unwrap();
        assert_eq!((row.iv, row.icv), (iv, icv), "{algorithm}");
    }
    for pair in every_suite() {
        let (_, iv, align, own, iv_rule) = ciphers.into_iter().find(|row| row.0 == pair.cipher).unwrap();
        let (_, icv) = integrity.into_iter().find(|row| row.0 == pair.integrity).unwrap();
        for suite in pair.each() {
            assert_eq!(
                suite.layout(),
                Layout::new(iv, align, IcvLen::new(icv + own).unwrap(), iv_rule).unwrap(),
                "{}",
                pair.name()
            );
        }
    }
}

/// Encrypts with the AEAD of its crate. GCM truncates one tag to each length; the tag of CCM depends on its length.
fn encrypt_directly<A: KeyInit + AeadInOut>(key: &[u8], nonce: &[u8], aad: &[u8], body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let aead = A::new_from_slice(key).unwrap();
    let mut body = body.to_vec();
    let tag = aead.encrypt_inout_detached(nonce.try_into().unwrap(), aad, body.as_mut_slice().into()).unwrap();
    (body, tag.to_vec())
}

#[test]
fn aeads_authenticate_spi_and_64_bit_sequence_number() {
    use aes::{Aes128, Aes192, Aes256};
    use aes_gcm::AesGcm;
    use ccm::Ccm;
    use ccm::consts::{U8, U11, U12, U16};
    type Direct = fn(&[u8], &[u8], &[u8], &[u8]) -> (Vec<u8>, Vec<u8>);
    // Key sizes of 128, 192 and 256 bits.
    const GCM: [Direct; 3] = [
        encrypt_directly::<AesGcm<Aes128, U12>>,
        encrypt_directly::<AesGcm<Aes192, U12>>,
        encrypt_directly::<AesGcm<Aes256, U12>>,
    ];
    const CHACHA: [Direct; 3] = [encrypt_directly::<chacha20poly1305::ChaCha20Poly1305>; 3];
    #[rustfmt::skip]
    let table: [(C, [Direct; 3]); 8] = [
        (C::AesGcm8, GCM), (C::AesGcm12, GCM), (C::AesGcm16, GCM), (C::NullAesGmac, GCM), (C::ChaCha20Poly1305, CHACHA),
        (C::AesCcm8,  [encrypt_directly::<Ccm<Aes128, U8, U11>>,  encrypt_directly::<Ccm<Aes192, U8, U11>>,
             encrypt_directly::<Ccm<Aes256, U8, U11>>]),
        (C::AesCcm12, [encrypt_directly::<Ccm<Aes128, U12, U11>>, encrypt_directly::<Ccm<Aes192, U12, U11>>,
            encrypt_directly::<Ccm<Aes256, U12, U11>>]),
        (C::AesCcm16, [encrypt_directly::<Ccm<Aes128, U16, U11>>, encrypt_directly::<Ccm<Aes192, U16, U11>>,
            encrypt_directly::<Ccm<Aes256, U16, U11>>]),
    ];
    let mut random = Random(0x1f83_d9ab_fb41_bd6b);
    let mut run = 0;
    for pair in every_suite().into_iter().filter(|pair| pair.integrity == I::None) {
        let direct = table.into_iter().find(|row| row.0 == pair.cipher).unwrap().1[(pair.key.len() - 16) / 8];
        let (key, salt) = pair.key.split_at(pair.key.len() - pair.cipher.row().unwrap().salt);
        let layout = pair.typed.layout();
        for body in [4, 12, 16, 20, 32, 256, 1400] {
            for high in [None, Some(random.array::<4>())] {
                let (clear, rest) = packet(&mut random, layout, body);
                let (front, body) = clear[..rest].split_at(16);
                let (nonce, high_octets) = ([salt, &front[8..]].concat(), high.as_ref().map_or(&[][..], |high| high));
                let aad = [&front[..4], high_octets, &front[4..8]].concat();
                let (body, tag) = match pair.cipher {
                    // RFC 4543 section 3.3: IV and body are authenticated after the AAD, and nothing is encrypted.
                    C::NullAesGmac => (body.to_vec(), direct(key, &nonce, &[&aad, &front[8..], body].concat(), &[]).1),
                    _ => direct(key, &nonce, &aad, body),
                };
                let expected = [front, &body, &tag[..layout.icv_len()]].concat();
                assert_eq!(seal(&*pair.typed, &clear, high), expected, "{} {high:?}", pair.name());
                run += 1;
            }
        }
    }
    assert_eq!(run, 22 * 7 * 2);
}

#[test]
fn encryption_without_integrity_is_equal_for_typed_and_any_suites() {
    let mut random = Random(0x5be0_cd19_137e_2179);
    fn typed<K: Confidential + 'static>(cipher: K) -> Box<dyn Suite> {
        Box::new(EncryptWithoutIntegrity::new(cipher))
    }
    type KeyedInput = fn(&[u8]) -> Box<dyn Suite>;
    #[rustfmt::skip]
    let suites: [(C, usize, KeyedInput); 7] = [
        (C::DesCbc,       8,  |key| typed(DesCbc::from_slice(key).unwrap())),
        (C::TripleDesCbc, 24, |key| typed(TripleDesCbc::from_slice(key).unwrap())),
        (C::BlowfishCbc,  16, |key| typed(BlowfishCbc::from_slice(key).unwrap())),
        (C::Cast128Cbc,   16, |key| typed(Cast128Cbc::from_slice(key).unwrap())),
        (C::AesCbc,       16, |key| typed(Aes128Cbc::new(key.try_into().unwrap()))),
        (C::AesCbc,       32, |key| typed(Aes256Cbc::new(key.try_into().unwrap()))),
        (C::AesCtr,       20, |key| { let (key, nonce) = salted(key); typed(Aes128Ctr::new(key, nonce)) }),
    ];
    for (cipher, length, keyed) in suites {
        let key = random.octets(length);
        let (typed, any) = (keyed(&key), AnySuite::without_integrity(cipher, &key).unwrap());
        assert_eq!((typed.layout(), typed.layout().icv_len()), (any.layout(), 0), "{cipher}");
        let (clear, _) = packet(&mut random, any.layout(), 48);
        let mut sealed = seal(&*typed, &clear, None);
        assert_eq!(sealed, seal(&any, &clear, Some([1; 4])), "{cipher}: without integrity, ESN changes nothing");
        assert_ne!(sealed, clear, "{cipher}");
        assert_eq!((open(&any, &mut sealed, None), &sealed), (Ok(()), &clear), "{cipher}");
    }
}

#[test]
fn open_refuses_parts_with_another_icv_length() {
    let mut random = Random(0xcbbb_9d5d_c105_9ed8);
    let all = every_suite_once();
    for pair in &all {
        for icv in (0..=MAX_ICV).filter(|icv| *icv != pair.typed.layout().icv_len()) {
            let layout = pair.typed.layout().with_icv(IcvLen::new(icv).unwrap());
            let (mut packet, _) = packet(&mut random, layout, 48);
            let before = packet.clone();
            for suite in pair.each() {
                let opened = suite.open(&mut EspParts::split(layout, &mut packet, None).unwrap());
                assert_eq!((opened, &packet), (Err(IcvMismatch), &before), "{} with {icv} octets", pair.name());
            }
        }
    }
}
