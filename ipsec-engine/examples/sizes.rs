//! Prints the memory sizes of SAs and engines on this machine, in octets.

use ipsec_crypto::{Aes128Cbc, AnySuite, EncryptThenMac, HmacSha1_96};
use ipsec_engine::{Algorithms, AnyAlgorithms, Engine, Never};
use ipsec_packet::ReplayWindow;

/// Algorithms of an engine with one suite, without AH and IPComp.
enum One {}

impl Algorithms for One {
    type Suite = Suite;
    type Integrity = Never;
    type Window = ReplayWindow<2>;
    type Compressor = Never;
    type Decompressor = Never;
}

type Suite = EncryptThenMac<Aes128Cbc, HmacSha1_96>;

fn main() {
    for (name, octets) in [
        ("sa-esp-out-aes128cbc-sha1", size_of::<esp_core::Outbound<Suite>>()),
        ("sa-esp-in-aes128cbc-sha1", size_of::<esp_core::Inbound<Suite>>()),
        ("sa-esp-in-any-suite", size_of::<esp_core::Inbound<AnySuite>>()),
        ("sa-ah-in-sha1", size_of::<ah_core::Inbound<HmacSha1_96>>()),
        ("engine-one-suite-per-sa", per_sa::<One>()),
        ("engine-one-suite-per-policy", size_of::<Engine<One, 64, 65>>() - size_of::<Engine<One, 64, 64>>()),
        ("engine-any-suite-per-sa", per_sa::<AnyAlgorithms>()),
        ("deflate", size_of::<ipcomp_core::Deflate>()),
        ("deflate-fixed", size_of::<ipcomp_core::FixedDeflate>()),
        ("inflate", size_of::<ipcomp_core::Inflate>()),
    ] {
        println!("{name} {octets}");
    }
}

fn per_sa<A: Algorithms>() -> usize {
    (size_of::<Engine<A, 128, 64>>() - size_of::<Engine<A, 64, 64>>()) / 64
}
