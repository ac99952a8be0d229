//! Loaders of the tool. The cost is that of a complete run, less that of a run with an empty input.

use std::error::Error;
use std::fs;
use std::path::Path;

use ipsec_packet::IpProto;

use crate::callgrind::whole_program;
use crate::generate::{ike, ip};
use crate::growth::{adds, policies, record};
use crate::scratch::Scratch;

/// Loader of the tool with its inputs.
pub struct Loader {
    /// Name in the output.
    pub name: &'static str,
    /// Smaller of the two input sizes, in items; the other is ten times as large.
    pub size: usize,
    /// Arguments of the tool; `FILE` is replaced by the input, `CONFIG` by a setkey.conf file of the same size, and
    /// `OUT` by an output file.
    arguments: &'static [&'static str],
    /// Generates an input of this size.
    input: fn(usize) -> Vec<u8>,
}

const IKE: &[&str] = &["ike", "FILE"];
const DUMP: &[&str] = &["dump", "--config", "FILE"];
const OPEN: &[&str] = &["open", "--config", "CONFIG", "FILE", "OUT"];

/// Loaders that are measured. The databases of the tool have space for 256 entries.
pub const LOADERS: &[Loader] = &[
    Loader { name: "tool-capture", size: 200, arguments: IKE, input: |n| pcap(&vec![ip::normal(200); n]) },
    Loader { name: "tool-pcapng", size: 200, arguments: IKE, input: |n| pcapng(&vec![ip::normal(200); n]) },
    Loader { name: "tool-ike-sessions", size: 40, arguments: IKE, input: |n| pcap(&messages(n, session)) },
    Loader { name: "tool-ike-messages", size: 40, arguments: IKE, input: |n| pcap(&messages(n, |_| session(0))) },
    Loader { name: "tool-ike-vendor-ids", size: 10, arguments: IKE, input: vendor_ids },
    Loader {
        name: "tool-ike-fragments",
        size: 6,
        arguments: IKE,
        input: |n| pcap(&messages(n, |at| nth_fragment(at, n))),
    },
    Loader {
        name: "tool-ike-retransmission",
        size: 20,
        arguments: IKE,
        input: |n| pcap(&messages(n, |_| nth_fragment(0, 9))),
    },
    Loader { name: "tool-ike-incomplete", size: 20, arguments: IKE, input: |n| pcap(&messages(n, incomplete)) },
    Loader { name: "tool-ike-conflict", size: 20, arguments: IKE, input: |n| pcap(&messages(n, conflict)) },
    Loader { name: "tool-key-table", size: 100, arguments: &["ike", "00", "--ike-keys", "FILE"], input: key_table },
    Loader { name: "tool-dump-sas", size: 10, arguments: DUMP, input: |n| configuration(&adds(n)) },
    Loader { name: "tool-dump-policies", size: 10, arguments: DUMP, input: |n| configuration(&policies(n)) },
    Loader { name: "tool-dump-both", size: 25, arguments: DUMP, input: |n| configuration(&(policies(n) + &adds(n))) },
    Loader { name: "tool-dump-deletes", size: 10, arguments: DUMP, input: |n| configuration(&deletes().repeat(n)) },
    Loader {
        name: "tool-open",
        size: 25,
        arguments: OPEN,
        input: |n| pcap(&(0..n).map(between_endpoints).collect::<Vec<_>>()),
    },
    Loader { name: "tool-records", size: 50, arguments: &["conform", "FILE"], input: |n| record(64).repeat(n).into() },
];

impl Loader {
    /// Returns the arguments of the tool, which identify its run with an empty input.
    pub const fn arguments(&self) -> &'static [&'static str] {
        self.arguments
    }
}

/// Counts the instructions of a loader on an input of `size`; `tool` is the path of the program.
pub fn count(tool: &Path, loader: &Loader, size: usize) -> Result<u64, Box<dyn Error>> {
    let scratch = Scratch::new()?;
    let extension = if loader.arguments[0] == "conform" { "input.jsonl" } else { "input" };
    let path = scratch.file(extension);
    fs::write(&path, (loader.input)(size))?;
    fs::write(scratch.file("config"), configuration(&adds(size)))?;
    let file = |argument: &str| match argument {
        "FILE" => path.display().to_string(),
        "CONFIG" => scratch.file("config").display().to_string(),
        "OUT" => scratch.file("out").display().to_string(),
        other => other.to_owned(),
    };
    let arguments: Vec<String> = loader.arguments.iter().map(|argument| file(argument)).collect();
    // Hostile input may be refused, but the tool must exit with one of its own statuses.
    whole_program(tool, &arguments, &[0, 1])
}

/// Returns a configuration that is not empty without statements either: the tool refuses an empty file.
fn configuration(statements: &str) -> Vec<u8> {
    format!("# setkey.conf\n{statements}").into()
}

/// Returns a pcap file of raw IP packets.
fn pcap(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [0xa1b2_c3d4u32.to_le_bytes(), [2, 0, 4, 0], [0; 4], [0; 4]].concat();
    bytes.extend([65535u32.to_le_bytes(), 101u32.to_le_bytes()].concat());
    for packet in packets {
        let length = u32::try_from(packet.len()).unwrap_or(0).to_le_bytes();
        bytes.extend([[0; 4], [0; 4], length, length].concat());
        bytes.extend(packet);
    }
    bytes
}

/// Returns a pcapng file of raw IP packets.
fn pcapng(packets: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(body.len() + 12).unwrap_or(0).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    };
    let section = [&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let mut bytes = block(0x0a0d_0d0a, section);
    bytes.extend(block(1, [101u32.to_le_bytes(), 65535u32.to_le_bytes()].concat()));
    for packet in packets {
        let length = u32::try_from(packet.len()).unwrap_or(0).to_le_bytes();
        let head = [[0; 4], [0; 4], [0; 4], length, length].concat();
        bytes.extend(block(6, [head, packet.clone()].concat()));
    }
    bytes
}

/// Returns `count` packets with an ISAKMP message each.
fn messages(count: usize, message: impl Fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    let packet = |message: &[u8]| ip::v4(ip::PEER[0], ip::HOST[0], &[], IpProto::UDP, &ip::udp(500, 500, message));
    (0..count).map(|n| packet(&message(n))).collect()
}

/// Returns a packet between the endpoints of an SA.
fn between_endpoints(number: usize) -> Vec<u8> {
    let destination = format!("198.51.100.{}", number % 250);
    ip::v4("192.0.2.1", &destination, &[], IpProto::UDP, &ip::udp(7, 7, &[0; 64]))
}

/// Returns the first message of a separate session.
fn session(number: usize) -> Vec<u8> {
    with_cookie(number, ike::of(&[(1, ike::association(1, 4, 4, false)), (13, vec![1; 16])]))
}

fn with_cookie(number: usize, mut message: Vec<u8>) -> Vec<u8> {
    let number = u32::try_from(number).unwrap_or(0).to_be_bytes();
    message[4..8].copy_from_slice(&number);
    message
}

fn vendor_ids(count: usize) -> Vec<u8> {
    pcap(&messages(1, |_| ike::of(&vec![(13, vec![1; 16]); count])))
}

/// Returns fragment `at` of `of`, counted from 0.
fn nth_fragment(at: usize, of: usize) -> Vec<u8> {
    ike::fragment(7, u8::try_from(at + 1).unwrap_or(u8::MAX), at + 1 == of, 400)
}

/// Returns the first fragment of a separate message.
fn incomplete(number: usize) -> Vec<u8> {
    with_cookie(number, ike::fragment(7, 1, false, 400))
}

/// Returns alternating fragments with the same number and different lengths.
fn conflict(number: usize) -> Vec<u8> {
    ike::fragment(7, 1, false, 400 + number % 2)
}

fn key_table(count: usize) -> Vec<u8> {
    (0..count).map(|n| format!("{n:016x},000102030405060708090a0b0c0d0e0f\n")).collect::<String>().into_bytes()
}

/// Returns statements that add and delete an SA and a policy.
fn deletes() -> String {
    let policy = "10.0.0.0/8 10.1.0.0/16 any -P out";
    format!("{}delete 192.0.2.1 198.51.100.0 esp 0x1000;\nspdadd {policy} discard;\nspddelete {policy};\n", adds(1))
}
