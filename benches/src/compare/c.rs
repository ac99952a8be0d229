//! Bindings to the libraries in C; the only module with `unsafe` code.
#![allow(unsafe_code)]

use std::ffi::c_void;

use super::peer::Peer;
use super::suite::{Cipher, KEY, Mac, Suite};

/// Layout of the suite in `c/peer.h`.
#[repr(C)]
struct CSuite {
    cipher: i32,
    mac: i32,
    key_len: u32,
    salt_len: u32,
    mac_key_len: u32,
    iv_len: u32,
    icv_len: u32,
    key: *const u8,
}

/// Layout of a packet in `c/peer.h`.
#[repr(C)]
struct CPacket {
    at: *mut u8,
    len: usize,
}

type New = unsafe extern "C" fn(*const CSuite) -> *mut c_void;
type Seal = unsafe extern "C" fn(*mut c_void, *mut CPacket, usize);
type Open = unsafe extern "C" fn(*mut c_void, *mut CPacket, usize) -> i32;

/// C library set up for one suite. Its memory is not freed before the process ends.
struct CPeer {
    state: *mut c_void,
    seal: Seal,
    open: Open,
}

impl Peer for CPeer {
    fn seal(&mut self, packets: &mut [Vec<u8>]) {
        let mut packets = pointers(packets);
        // SAFETY: `state` was returned by the constructor that matches `seal`, and the packets live through the call.
        unsafe { (self.seal)(self.state, packets.as_mut_ptr(), packets.len()) }
    }

    fn open(&mut self, packets: &mut [Vec<u8>]) -> bool {
        let mut packets = pointers(packets);
        // SAFETY: as above.
        unsafe { (self.open)(self.state, packets.as_mut_ptr(), packets.len()) == 1 }
    }
}

fn pointers(packets: &mut [Vec<u8>]) -> Vec<CPacket> {
    packets.iter_mut().map(|packet| CPacket { at: packet.as_mut_ptr(), len: packet.len() }).collect()
}

macro_rules! peers {
    ($($(#[$cfg:meta])* $name:literal, $mode:literal, $at_once:literal: $new:ident, $seal:ident, $open:ident;)*) => {
        $($(#[$cfg])* unsafe extern "C" {
            fn $new(suite: *const CSuite) -> *mut c_void;
            fn $seal(peer: *mut c_void, packets: *mut CPacket, n: usize);
            fn $open(peer: *mut c_void, packets: *mut CPacket, n: usize) -> i32;
        })*

        /// Returns the C libraries that implement this suite, with name, mode and packets per call.
        pub fn peers(suite: Suite) -> Vec<(&'static str, &'static str, usize, Box<dyn Peer>)> {
            let mut all: Vec<(&'static str, &'static str, usize, Box<dyn Peer>)> = Vec::new();
            $($(#[$cfg])* all.extend(set_up(suite, $new, $seal, $open).map(|peer| ($name, $mode, $at_once, peer)));)*
            all
        }
    };
}

peers! {
    #[cfg(has_openssl)] "openssl", "packet", 1: openssl_new, openssl_seal, openssl_open;
    #[cfg(has_openssl)] "openssl-low", "packet", 1: openssl_low_new, openssl_low_seal, openssl_low_open;
    #[cfg(has_gcrypt)] "libgcrypt", "packet", 1: libgcrypt_new, libgcrypt_seal, libgcrypt_open;
    #[cfg(has_mb)] "ipsec-mb", "packet", 1: ipsec_mb_sse_new, ipsec_mb_sse_seal, ipsec_mb_sse_open;
    #[cfg(has_mb)] "ipsec-mb", "batch32", 32: ipsec_mb_new, ipsec_mb_seal, ipsec_mb_open;
}

/// Libraries that were not installed when the benchmark was compiled.
pub const MISSING: &[&str] = &[
    #[cfg(not(has_openssl))]
    "openssl (libssl-dev)",
    #[cfg(not(has_gcrypt))]
    "libgcrypt (libgcrypt20-dev)",
    #[cfg(not(has_mb))]
    "ipsec-mb (libipsec-mb-dev)",
];

#[allow(dead_code)] // unused without any of the libraries
fn set_up(suite: Suite, new: New, seal: Seal, open: Open) -> Option<Box<dyn Peer>> {
    let cipher = match suite.cipher {
        Cipher::Null => 0,
        Cipher::DesCbc => 1,
        Cipher::TripleDesCbc => 2,
        Cipher::BlowfishCbc => 3,
        Cipher::Cast128Cbc => 4,
        Cipher::AesCbc(_) => 5,
        Cipher::AesCtr(_) => 6,
        Cipher::AesGcm(_) => 7,
        Cipher::AesCcm(_) => 8,
        Cipher::ChaCha20Poly1305 => 9,
    };
    let mac = match suite.mac {
        Mac::None => 0,
        Mac::Md5 => 1,
        Mac::Sha1 => 2,
        Mac::Sha256 => 3,
    };
    let suite = CSuite {
        cipher,
        mac,
        key_len: suite.key() as u32,
        salt_len: suite.salt() as u32,
        mac_key_len: suite.mac_key() as u32,
        iv_len: suite.iv() as u32,
        icv_len: suite.icv() as u32,
        key: KEY.as_ptr(),
    };
    // SAFETY: the suite lives through the call, and its key is static.
    let state = unsafe { new(&raw const suite) };
    (!state.is_null()).then(|| Box::new(CPeer { state, seal, open }) as Box<dyn Peer>)
}
