//! What is fuzzed, as plain functions of octets: one for each door that takes some, and one for each pair of ways to do the
//! same. They panic when something is wrong, and do nothing else.
//!
//! The targets of libFuzzer in `fuzz/fuzz_targets`, and the tests of this crate, call them by the names of [`TARGETS`].

mod ah;
pub mod corpus;
mod engine;
mod esp;
mod headers;
mod ike;
mod ipcomp;
mod pcap;
mod replay;
pub mod seeds;

/// A target: octets in, a panic if something is wrong.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($name:ident = $function:path, $what:literal;)*) => {
        /// Every target by its name, and what it shows.
        pub const TARGETS: &[(&str, Target, &str)] = &[$((stringify!($name), $function, $what),)*];
    };
}

targets! {
    ike_message = ike::message, "any octets as a message: every view of it taken, and written again octet for octet";
    ike_plaintext = ike::plaintext, "any octets as the decrypted payloads of a message";
    ike_encrypted = ike::encrypted, "any octets as an encrypted message, and as the payloads of one: there and back";
    ike_fragments = ike::fragments, "fragments of a message in any order, doubled, altered, mixed with others";
    ike_datagram = ike::datagram, "any octets as a datagram, a TCP stream, a vendor ID, attributes";
    esp_open = esp::open, "any octets as an ESP packet, for every suite";
    esp_hostile = esp::hostile, "authentic ESP around any plaintext: pad lengths, next headers, inner packets";
    esp_suites = esp::suites, "a suite chosen at compile time and the same at run time do the same";
    esp_batch = esp::batch, "a batch does what a loop does, octet for octet";
    ah_verify = ah::verify, "any octets as a packet with AH";
    ah_mutable = ah::mutable, "what AH sees of the headers, and what a slow second version sees";
    headers = headers::headers, "any octets as IPv4 and IPv6: chains, places, gaps, selectors, MSS, ICMP";
    tunnel = headers::tunnel, "any octets out of a tunnel, and into one and back";
    udp = headers::udp, "any octets as UDP around ESP";
    inflate = ipcomp::inflate, "any octets inflated, by ours and by miniz_oxide";
    deflate = ipcomp::deflate, "any octets deflated and back, by ours and by miniz_oxide";
    lzs = ipcomp::lzs, "any octets through LZS and back, and back without having been through";
    replay = replay::replay, "windows of every size, and a set that forgets nothing";
    setkey = engine::setkey, "any text as a setkey.conf: written, it is read as it was";
    pfkey = engine::pfkey, "any octets as PF_KEY, in every dialect: written, they are read as they were";
    engine_out = engine::outbound, "any packet to a gateway: what must be protected is, and what is refused is as it was";
    engine_in = engine::inbound, "genuine, altered and invented packets to a gateway: only what was sealed comes out, and once";
    engine_choices = engine::choices, "two gateways with any policies and SAs, and a naive model of them";
    pcap = pcap::pcap, "any octets as a capture file";
}

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|row| row.0 == name).map(|row| row.1)
}
