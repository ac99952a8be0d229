//! HMAC and the compression of SHA-1 agree with RustCrypto octet for octet.
#![cfg(all(target_arch = "x86_64", not(target_os = "none")))]

use hmac::{Hmac, KeyInit, Mac};
use ipsec_crypto_simd::{KeyedText, Md5, MultiBufferHash, Sha1, Sha256, available, hmac_batch, sha_ni};

/// Returns the same pseudo-random words in each run.
fn words() -> impl FnMut() -> u32 {
    let mut seed = 1u64;
    move || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        u32::try_from(seed >> 32).unwrap()
    }
}

fn octets(word: &mut impl FnMut() -> u32, count: usize) -> Vec<u8> {
    (0..count).map(|_| word().to_be_bytes()[0]).collect()
}

/// Prints that the processor lacks the instructions.
fn skip(test: &str) {
    eprintln!("{test}: skipped, as the processor lacks AVX-512 with VAES and SHA");
}

/// States after the inner and the outer block of a key (RFC 2104 section 2).
fn states<const N: usize>(start: [u32; N], compress: impl Fn(&mut [u32; N], &[[u8; 64]]), key: &[u8]) -> [[u32; N]; 2] {
    [0x36, 0x5c].map(|pad| {
        let (mut state, mut block) = (start, [pad; 64]);
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        compress(&mut state, &[block]);
        state
    })
}

const SHA1: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
const SHA256: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const MD5: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8], high: Option<&[u8; 4]>) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(text);
    high.into_iter().for_each(|high| mac.update(high));
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn sha1_compression_matches_the_reference() {
    let Some(simd) = available() else { return skip("sha1_compression_matches_the_reference") };
    let mut word = words();
    for blocks in (0..=5).cycle().take(1000) {
        let (mut ours, mut text) = ([0; 5].map(|_: u32| word()), [[0; 64]; 5]);
        text.as_flattened_mut().fill_with(|| word().to_be_bytes()[0]);
        let mut theirs = ours;
        sha_ni::sha1::compress_all(simd, &mut ours, &text[..blocks]);
        sha1::block_api::compress(&mut theirs, &text[..blocks]);
        assert_eq!(ours, theirs, "{blocks} blocks");
    }
}

macro_rules! one_text {
    ($($name:ident: $mac:ty, $kernel:ident, $start:expr, $compress:path, $octets:literal;)*) => {$(
        /// Tests every length up to four blocks and more, with and without the high half of ESN.
        #[test]
        fn $name() {
            let Some(simd) = available() else { return skip(stringify!($name)) };
            let mut word = words();
            for length in 0..300 {
                for high in [None, Some(&[0x12, 0x34, 0x56, 0x78])] {
                    let (key, text) = (octets(&mut word, 1 + length % 64), octets(&mut word, length));
                    let [inner, outer] = states($start, $compress, &key);
                    let mut tag = [0xff; 32];
                    let keyed = KeyedText { inner: &inner, outer: &outer, octets: &text, high };
                    sha_ni::$kernel::hmac(simd, keyed, &mut tag);
                    assert_eq!(tag[..$octets], mac::<$mac>(&key, &text, high)[..], "{length} octets");
                    assert!(tag[$octets..].iter().all(|&octet| octet == 0), "octets after the hash value");
                }
            }
        }
    )*};
}
one_text! {
    hmac_sha1_of_one_text: Hmac<sha1::Sha1>, sha1, SHA1, sha1::block_api::compress, 20;
    hmac_sha256_of_one_text: Hmac<sha2::Sha256>, sha256, SHA256, sha2::block_api::compress256, 32;
}

/// Tests every number of texts up to two groups of lanes, of equal and of different lengths, each under its own key.
fn several_texts<H: MultiBufferHash<N>, M: Mac + KeyInit, const N: usize>(
    test: &str,
    start: [u32; N],
    compress: fn(&mut [u32; N], &[[u8; 64]]),
) {
    let Some(simd) = available() else { return skip(test) };
    assert!((2..=16).contains(&H::MIN_BATCH));
    let mut word = words();
    for count in 0..=32 {
        for (shortest, variation) in [(0, 1), (52, 1), (0, 9), (40, 40), (0, 300), (600, 1000)] {
            let items: Vec<_> = (0..count)
                .map(|n| {
                    let length = shortest + usize::try_from(word()).unwrap() % variation;
                    let key = octets(&mut word, 20);
                    let states = states(start, compress, &key);
                    let high = if n % 3 == 0 { Some(word().to_be_bytes()) } else { None };
                    (key, states, octets(&mut word, length), high)
                })
                .collect();
            let texts = items.iter().map(|(_, [inner, outer], octets, high)| KeyedText {
                inner,
                outer,
                octets,
                high: high.as_ref(),
            });
            let mut hashes = vec![[0; N]; count];
            hmac_batch::<H, N>(simd, texts, &mut hashes, compress);
            for (n, (hash, (key, _, text, high))) in hashes.iter().zip(&items).enumerate() {
                let order = if H::BIG_ENDIAN { u32::to_be_bytes } else { u32::to_le_bytes };
                let hash: Vec<_> = hash.iter().copied().flat_map(order).collect();
                assert_eq!(hash, mac::<M>(key, text, high.as_ref()), "text {n} of {count}, {} octets", text.len());
            }
        }
    }
}

#[test]
fn hmac_md5_of_several_texts_match_the_reference() {
    several_texts::<Md5, Hmac<md5::Md5>, 4>(
        "hmac_md5_of_several_texts_match_the_reference",
        MD5,
        md5::block_api::compress,
    );
}

#[test]
fn hmac_sha1_of_several_texts_match_the_reference() {
    several_texts::<Sha1, Hmac<sha1::Sha1>, 5>(
        "hmac_sha1_of_several_texts_match_the_reference",
        SHA1,
        sha1::block_api::compress,
    );
}

#[test]
fn hmac_sha256_of_several_texts_match_the_reference() {
    several_texts::<Sha256, Hmac<sha2::Sha256>, 8>(
        "hmac_sha256_of_several_texts_match_the_reference",
        SHA256,
        sha2::block_api::compress256,
    );
}

#[test]
fn texts_are_not_printed() {
    let text = KeyedText { inner: &[1; 4], outer: &[2; 4], octets: b"secret", high: Some(&[0; 4]) };
    assert_eq!(format!("{text:?}"), "KeyedText(6 + 4 octets)");
}
