//! Fuzz targets as functions of octets: one for each parser or entry point, and one for each pair of implementations
//! of the same function. A finding is a panic.
//!
//! The libFuzzer targets (`fuzz/Cargo.toml`) and the tests of this crate call them by the names in [`TARGETS`].

mod ah;
mod config;
pub mod corpus;
mod engine;
mod engine_batch;
mod esp;
mod headers;
mod ike;
mod ipcomp;
mod negotiation;
mod pcap;
mod replay;
pub mod seeds;

/// Fuzz target, which panics if it finds an error.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($name:ident = $function:path, $what:literal;)*) => {
        /// All targets: name, function and description.
        pub const TARGETS: &[(&str, Target, &str)] = &[$((stringify!($name), $function, $what),)*];
    };
}

targets! {
    ike_message = ike::message,
    "arbitrary octets as a message: all views are read, and it is rewritten octet for octet";
    ike_plaintext = ike::plaintext, "arbitrary octets as the decrypted payloads of a message";
    ike_encrypted = ike::encrypted, "arbitrary octets as an encrypted message, and encrypted and decrypted as payloads";
    ike_fragments = ike::fragments, "fragments of a message: reordered, duplicated, altered, mixed with others";
    ike_datagram = ike::datagram, "arbitrary octets as a datagram, a TCP stream, a vendor ID, attributes";
    ike_negotiation = negotiation::negotiation,
    "two negotiators over a network that loses, repeats, alters and forges datagrams: SAs have equal keys, inbound first";
    ike_hostile = negotiation::hostile, "arbitrary payloads with a valid hash, from a peer with the key";
    ike_certificates = ike::certificates,
    "arbitrary, altered and genuine certificate payloads and files: no certificate but the genuine one is accepted";
    esp_open = esp::open, "arbitrary octets as an ESP packet, for every suite";
    esp_hostile = esp::hostile, "authenticated ESP with arbitrary plaintext: pad lengths, next headers, inner packets";
    esp_suites = esp::suites, "the same suite chosen at compile time and at run time, compared";
    esp_batch = esp::batch, "batch processing compared with a loop, octet for octet";
    ah_verify = ah::verify, "arbitrary octets as a packet with AH";
    ah_mutable = ah::mutable, "ICV input of AH, compared with a reference implementation";
    headers = headers::headers,
    "arbitrary octets as IPv4 and IPv6: extension headers, placement, gaps, selectors, MSS, ICMP";
    tunnel = headers::tunnel, "arbitrary octets as an inner packet, and encapsulated and decapsulated";
    udp = headers::udp, "arbitrary octets as UDP-encapsulated ESP";
    inflate = ipcomp::inflate, "arbitrary octets inflated, compared with miniz_oxide";
    deflate = ipcomp::deflate, "arbitrary octets deflated and inflated, compared with miniz_oxide";
    lzs = ipcomp::lzs, "arbitrary octets compressed with LZS and restored, and decompressed";
    replay = replay::replay, "anti-replay windows of all sizes, compared with a complete set";
    setkey = engine::setkey, "arbitrary text as setkey.conf: parsed statements print as equal statements";
    config_racoon = config::racoon, "arbitrary text as racoon.conf: what is written is read as an equal text";
    config_openbsd = config::openbsd, "arbitrary text as ipsec.conf(5): written in every language";
    config_isakmpd = config::isakmpd, "arbitrary text as isakmpd.conf: written in every language";
    config_rc = config::rc, "arbitrary text as rc.conf: interfaces and routes";
    config_xfrm = config::xfrm, "arbitrary text as the output of ip xfrm: written as setkey.conf and read again";
    config_gateway = config::gateway, "arbitrary text as gateway.conf: written in every language";
    config_psk = config::psk, "arbitrary text as psk.txt";
    pfkey = engine::pfkey,
    "arbitrary octets as PF_KEY in every dialect: parsed messages are rewritten as equal messages";
    engine_out = engine::outbound,
    "arbitrary packets sent by a gateway: protected as the policy requires, and unmodified if refused";
    engine_in = engine::inbound,
    "genuine, altered and arbitrary packets received by a gateway: only sent packets are delivered, once";
    engine_batch = engine_batch::batches, "batches of packets of many SAs, compared with the same packets one by one";
    engine_choices = engine::choices, "two gateways with arbitrary policies and SAs, compared with a simple model";
    pcap = pcap::pcap,
    "arbitrary octets as a capture file, in large and small reads; fragments, tunnels and TCP connections in it";
}

/// Returns the target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|row| row.0 == name).map(|row| row.1)
}
