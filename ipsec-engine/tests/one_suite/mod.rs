//! Algorithms of an engine with one suite.

use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HmacSha1_96};
use ipsec_engine::{Algorithms, Never};
use ipsec_packet::ReplayWindow;

/// AES-128-CBC with HMAC-SHA1-96, without AH and IPComp.
pub enum One {}

impl Algorithms for One {
    type Suite = EncryptThenMac<Aes128Cbc, HmacSha1_96>;
    type Integrity = Never;
    type Window = ReplayWindow<2>;
    type Compressor = Never;
    type Decompressor = Never;
}
