//! Processing steps before the check of an ICV or policy, or the use of a key, with their inputs.

use std::hint::black_box;

use ike_codec::{Message, Quirks, Reassembly};
use ipcomp_core::{Decompressor, Inflate, Lzs};
use ipsec_packet::{DestinationOptions, Flow, Ip, IpProto, TooBig, locate, transport_position};
use ipsec_pfkey::{Dialect, Message as PfkeyMessage, Order};

use crate::engine;
use crate::generate::{Genome, deflate, ike, ip, lzs, pfkey};
use crate::measure::measured;

/// Processing step with generators of its inputs.
pub struct Step {
    /// Name of the step in the table of bounds.
    pub name: &'static str,
    /// Generates the input of a genome.
    pub input: fn(&[u8]) -> Vec<u8>,
    /// Generates a normal input of this length.
    pub normal: fn(usize) -> Vec<u8>,
    /// Performs the step on an input within [`measured`], and returns the length of its output in octets.
    pub run: fn(&[u8]) -> usize,
}

/// Steps with bounds in the table.
pub const STEPS: &[Step] = &[
    Step { name: "ip-parse", input: headers, normal: ip::normal, run: |b| step(|| Ip::parse(b).is_ok()) },
    Step { name: "flow-read", input: headers, normal: ip::normal, run: |b| step(|| Flow::read(b).is_ok()) },
    Step { name: "locate", input: headers, normal: ip::normal, run: |b| step(|| locate(b, IpProto::ESP).is_ok()) },
    Step {
        name: "placement",
        input: headers,
        normal: ip::normal,
        run: |b| step(|| transport_position(b, DestinationOptions::Unprotected).is_ok()),
    },
    Step { name: "too-big", input: too_big, normal: too_big_normal, run: |b| step(|| TooBig::read(b).is_ok()) },
    Step { name: "inflate", input: deflate::data, normal: deflate::literals, run: inflate },
    Step { name: "lzs", input: lzs::data, normal: lzs::literals, run: unpack_lzs },
    Step { name: "ike-parse", input: ike::message, normal: ike::normal, run: |b| step(|| Message::parse(b).is_ok()) },
    Step {
        name: "ike-parse-strict",
        input: ike::message,
        normal: ike::normal,
        run: |b| step(|| Message::parse_strict(b).is_ok()),
    },
    Step { name: "ike-vendor-ids", input: ike::message, normal: ike::normal, run: vendor_ids },
    Step { name: "ike-fragments", input: ike_fragments, normal: ike_fragments_normal, run: reassemble },
    Step {
        name: "pfkey-parse",
        input: pfkey::message,
        normal: pfkey::normal,
        run: |b| step(|| PfkeyMessage::parse(b, Dialect::Linux.with(Order::Little)).is_ok()),
    },
    Step { name: "inbound-clear", input: engine::clear, normal: ip::normal, run: engine::inbound },
    Step { name: "inbound-spi", input: engine::unknown_spi, normal: ip::normal, run: engine::inbound },
    Step { name: "inbound-esp", input: engine::forged_esp, normal: engine::genuine_esp, run: engine::inbound },
    Step { name: "inbound-ah", input: engine::forged_ah, normal: engine::genuine_ah, run: engine::inbound },
    Step { name: "inbound-fragment", input: engine::fragment, normal: ip::normal, run: engine::inbound },
    Step { name: "inbound-udp", input: engine::encapsulated, normal: ip::normal, run: engine::inbound },
    Step { name: "inbound-ipcomp", input: engine::ipcomp, normal: engine::ipcomp_normal, run: engine::inbound },
    Step { name: "inbound-nested", input: engine::nested, normal: engine::ipcomp_normal, run: engine::inbound },
    Step { name: "control", input: |genome| genome.to_vec(), normal: |length| vec![0; length], run: control },
];

fn step(mut what: impl FnMut() -> bool) -> usize {
    measured(&mut || usize::from(black_box(what())));
    0
}

/// Does quadratic work: a control, which the check must detect.
fn control(input: &[u8]) -> usize {
    measured(&mut || input.iter().flat_map(|a| input.iter().map(move |b| black_box(a ^ b))).map(usize::from).sum());
    0
}

fn headers(genome: &[u8]) -> Vec<u8> {
    ip::packet(&mut Genome::new(genome), IpProto::ESP, |genome| vec![0; usize::from(genome.take())])
}

fn too_big(genome: &[u8]) -> Vec<u8> {
    ip::packet(&mut Genome::new(genome), IpProto::ICMPV6, |genome| {
        let mut icmp = vec![0; genome.length()];
        icmp[0] = 2;
        icmp
    })
}

/// Returns an ICMP message that is too short for a report of the path MTU.
fn too_big_normal(length: usize) -> Vec<u8> {
    ip::v4(ip::PEER[0], ip::HOST[0], &[], IpProto::ICMP, &vec![3; length.max(28) - 20])
}

fn inflate(input: &[u8]) -> usize {
    let (mut inflate, mut output, mut octets) = (Inflate::new(), vec![0; 65536], 0);
    measured(&mut || {
        octets = black_box(inflate.decompress(input, &mut output).unwrap_or(0));
        octets
    });
    octets
}

fn unpack_lzs(input: &[u8]) -> usize {
    let (mut lzs, mut output, mut octets) = (Lzs::new(), vec![0; 65536], 0);
    measured(&mut || {
        octets = black_box(lzs.decompress(input, &mut output).unwrap_or(0));
        octets
    });
    octets
}

fn vendor_ids(input: &[u8]) -> usize {
    let Ok(message) = Message::parse(input) else { return step(|| false) };
    step(|| black_box(Quirks::of(&message)) == Quirks::default())
}

/// Returns concatenated messages with fragments; each has a length field.
fn ike_fragments(genome: &[u8]) -> Vec<u8> {
    ike::fragments(genome).concat()
}

/// Returns a message with one fragment: a normal input.
fn ike_fragments_normal(length: usize) -> Vec<u8> {
    ike::fragment(7, 1, true, length.clamp(37, 65000) - 36)
}

fn reassemble(input: &[u8]) -> usize {
    let (mut store, mut out, mut octets) = (vec![0; 65535], vec![0; 65535], 0);
    measured(&mut || {
        let (mut rest, mut reassembly) = (input, Reassembly::new(&mut store));
        while let Some(length) = rest.get(24..28).and_then(|four| four.try_into().ok()).map(u32::from_be_bytes) {
            let Some((message, behind)) = rest.split_at_checked(length as usize) else { break };
            if let Ok(message) = Message::parse(message) {
                let _ = black_box(reassembly.add(&message));
            }
            rest = behind;
        }
        octets = reassembly.message(&mut out).map_or(0, |message| message.len());
        octets
    });
    octets
}
