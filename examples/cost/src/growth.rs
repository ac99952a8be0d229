//! Growth of parsers and loaders with their input: ten times the input must cost at most twelve times the instructions.

use std::fmt::Write;
use std::fs;
use std::hint::black_box;

use ike_codec::{Message, Quirks, Reassembly};
use ipcomp_core::{Decompressor, Inflate, Lzs};
use ipsec_config::Language;
use ipsec_config::setkey::{Add, LoadOptions, PolicyStatement, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Engine, SaBackend, Settings};
use ipsec_packet::Instant;
use ipsec_pfkey::{Dialect, Message as PfkeyMessage, Order};

use crate::configuration::{add_peers, load_bad, load_good, write};
use crate::generate::{deflate, ike, lzs, pfkey};
use crate::measure::measured;
use crate::scratch::Scratch;

/// Parser or loader whose growth is measured.
pub struct Family {
    /// Name in the output.
    pub name: &'static str,
    /// Smaller of the two input sizes, in items; the other is ten times as large.
    pub size: usize,
    /// Processes an input of this size once, within [`measured`].
    pub run: fn(usize),
}

const ESP: &str =
    "-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";

/// Parsers and loaders whose growth is measured.
pub const FAMILIES: &[Family] = &[
    Family { name: "setkey-add", size: 20, run: |n| setkey(&adds(n)) },
    Family { name: "setkey-spdadd", size: 20, run: |n| setkey(&policies(n)) },
    Family { name: "setkey-errors", size: 100, run: |n| setkey(&"x;\n".repeat(n)) },
    Family { name: "setkey-option-errors", size: 20, run: |n| setkey(&adds(n).replace("-E", "-Z")) },
    Family { name: "setkey-words", size: 100, run: |n| setkey(&"word ".repeat(n)) },
    Family { name: "setkey-semicolons", size: 100, run: |n| setkey(&";".repeat(n)) },
    Family { name: "setkey-comments", size: 100, run: |n| setkey(&"# comment\n".repeat(n)) },
    Family { name: "setkey-slashes", size: 20, run: |n| setkey(&format!("spdadd 10.0.0.0 {}", "/ ".repeat(n))) },
    Family { name: "setkey-glued-policy", size: 20, run: |n| setkey(&format!("{POLICY}{};", "/ ".repeat(n))) },
    Family { name: "setkey-quotes", size: 100, run: |n| setkey(&"\"x\" ".repeat(n)) },
    Family { name: "setkey-open-quotes", size: 100, run: |n| setkey(&"x \";\n".repeat(n)) },
    Family { name: "setkey-flags", size: 100, run: |n| setkey(&format!("add {}", "-4 ".repeat(n))) },
    Family { name: "setkey-options", size: 100, run: |n| setkey(&format!("{SA}{};", " -u 1".repeat(n))) },
    Family { name: "setkey-blanks", size: 100, run: |n| setkey(&format!("{}x", " \n".repeat(n))) },
    Family { name: "config-setkey", size: 200, run: |n| load_good(Language::Setkey, n) },
    Family { name: "config-racoon", size: 200, run: |n| load_good(Language::Racoon, n) },
    Family { name: "config-psk", size: 200, run: |n| load_good(Language::Psk, n) },
    Family { name: "config-openbsd", size: 200, run: |n| load_good(Language::OpenBsd, n) },
    Family { name: "config-isakmpd", size: 200, run: |n| load_good(Language::Isakmpd, n) },
    Family { name: "config-rc", size: 200, run: |n| load_good(Language::Rc, n) },
    Family { name: "config-xfrm", size: 200, run: |n| load_good(Language::Xfrm, n) },
    Family { name: "config-gateway", size: 200, run: |n| load_good(Language::Gateway, n) },
    Family { name: "config-setkey-errors", size: 200, run: |n| load_bad(Language::Setkey, n) },
    Family { name: "config-racoon-errors", size: 200, run: |n| load_bad(Language::Racoon, n) },
    Family { name: "config-psk-errors", size: 200, run: |n| load_bad(Language::Psk, n) },
    Family { name: "config-openbsd-errors", size: 200, run: |n| load_bad(Language::OpenBsd, n) },
    // Suggestions come from a limited number of names, which 200 lines do not have yet.
    Family { name: "config-isakmpd-errors", size: 400, run: |n| load_bad(Language::Isakmpd, n) },
    Family { name: "config-rc-errors", size: 200, run: |n| load_bad(Language::Rc, n) },
    Family { name: "config-xfrm-errors", size: 200, run: |n| load_bad(Language::Xfrm, n) },
    Family { name: "config-gateway-errors", size: 200, run: |n| load_bad(Language::Gateway, n) },
    Family { name: "write-setkey", size: 60, run: |n| write(Language::Setkey, n) },
    Family { name: "write-racoon", size: 60, run: |n| write(Language::Racoon, n) },
    Family { name: "write-psk", size: 60, run: |n| write(Language::Psk, n) },
    Family { name: "write-openbsd", size: 60, run: |n| write(Language::OpenBsd, n) },
    Family { name: "write-isakmpd", size: 60, run: |n| write(Language::Isakmpd, n) },
    Family { name: "write-rc", size: 60, run: |n| write(Language::Rc, n) },
    Family { name: "write-xfrm", size: 60, run: |n| write(Language::Xfrm, n) },
    Family { name: "write-gateway", size: 60, run: |n| write(Language::Gateway, n) },
    Family { name: "peers-of-policies", size: 60, run: add_peers },
    Family { name: "engine-install", size: 200, run: install },
    Family { name: "engine-policies", size: 200, run: |n| add_policies(&policies(n)) },
    // Each policy precedes all those before it, so that two octets of each are moved: about an instruction for four
    // policies. Therefore the ratio grows with the size: 11.98 for 100 policies, 12.92 for 200.
    Family { name: "engine-priorities", size: 50, run: |n| add_policies(&policies_by_priority(n)) },
    Family { name: "pfkey-messages", size: 50, run: pfkey_messages },
    Family { name: "pfkey-extensions", size: 100, run: |n| pfkey(&pfkey::with_header(300, Vec::new()).repeat(n)) },
    Family { name: "pfkey-transforms", size: 100, run: |n| pfkey(&pfkey::with_header(18, pfkey::policy(n))) },
    Family { name: "ike-payloads", size: 200, run: |n| ike(&vec![(13, Vec::new()); n]) },
    Family { name: "ike-vendor-ids", size: 100, run: |n| vendor_ids(&vec![(13, vec![1; 16]); n]) },
    Family { name: "ike-deletes", size: 200, run: |n| ike(&[(12, ike::deletes(n, 4))]) },
    Family { name: "ike-proposals", size: 100, run: |n| ike(&[(1, ike::association(n, 1, 1, true))]) },
    Family { name: "ike-transforms", size: 25, run: |n| ike(&[(1, ike::association(1, n, 1, true))]) },
    Family { name: "ike-attributes", size: 100, run: |n| ike(&[(1, ike::association(1, 1, n, true))]) },
    Family { name: "ike-fragments", size: 6, run: fragments },
    Family { name: "inflate", size: 400, run: |n| inflate(&deflate::literals(n)) },
    Family { name: "inflate-blocks", size: 400, run: |n| inflate(&deflate::blocks(&[(7, 0)], n)) },
    Family { name: "lzs", size: 400, run: |n| unpack_lzs(&lzs::literals(n)) },
    Family { name: "vector-file", size: 50, run: vector_file },
    Family { name: "vector-line", size: 200, run: |n| vector_line(n) },
    Family { name: "cavp-file", size: 50, run: cavp_file },
];

/// Control with quadratic work, which the check must detect.
pub const CONTROL: Family = Family {
    name: "control",
    size: 50,
    run: |n| {
        let input = vec![1u8; n];
        let before = |at: usize| input.get(..at).unwrap_or_default().iter().map(|b| usize::from(black_box(*b)));
        measured(&mut || (0..n).flat_map(before).sum());
    },
};

const SA: &str = "add 192.0.2.1 192.0.2.2 esp 0x1000 -E null";
const POLICY: &str = "spdadd 10.0.0.0/8 10.0.0.0/8 any -P out ipsec esp ";

/// Returns `add` statements for `count` SAs.
pub fn adds(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "add 192.0.2.1 198.51.100.{} esp 0x{:x} -m tunnel {ESP};", n % 250, 0x1000 + n);
        text
    })
}

/// Returns `spdadd` statements for `count` policies.
pub fn policies(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let range = format!("10.{}.{}.0/24", n / 250, n % 250);
        let _ = writeln!(text, "spdadd {range} 10.0.0.0/8 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;");
        text
    })
}

/// Returns the text of policies with ascending priority.
fn policies_by_priority(count: usize) -> String {
    (0..count).zip(policies(count).lines()).fold(String::new(), |mut text, (n, policy)| {
        let _ = writeln!(text, "{}", policy.replace("-P out", &format!("-P out prio def + {n}")));
        text
    })
}

fn setkey(text: &str) {
    measured(&mut || {
        let (mut statements, mut count) = (Statements::of(text), 0);
        loop {
            match statements.next() {
                Ok(None) => return count,
                Ok(Some(statement)) => drop(black_box(statement)),
                Err(error) => drop(black_box(error)),
            }
            black_box(statements.location());
            count += 1;
        }
    });
}

const NOW: Instant = Instant::from_secs(1_795_000_000);

/// Engine with space for the largest input.
type Databases = Engine<AnyAlgorithms, 2048, 2048, 64>;

fn databases() -> Box<Databases> {
    Box::new(Databases::new(Settings::SETKEY, None, None))
}

fn install(count: usize) {
    let (text, mut engine) = (adds(count), databases());
    let mut statements = Statements::of(&text);
    let mut sas: Vec<Add<'_>> = Vec::new();
    while let Ok(Some(Statement::Add(add))) = statements.next() {
        sas.push(add);
    }
    let sas: Vec<_> = sas.iter().flat_map(|add| add.params(Direction::Inbound, None, &LoadOptions::RFC)).collect();
    measured(&mut || sas.iter().filter_map(|sa| SaBackend::add(&mut *engine, sa, NOW).ok()).count());
    assert_eq!(engine.sas().count(), count, "an SA was not installed");
}

fn add_policies(text: &str) {
    let mut engine = databases();
    let mut statements = Statements::of(text);
    let mut policies: Vec<PolicyStatement<'_>> = Vec::new();
    while let Ok(Some(Statement::SpdAdd(policy))) = statements.next() {
        policies.push(policy);
    }
    let policies: Vec<_> = policies.iter().filter_map(|policy| policy.policy().ok()).collect();
    measured(&mut || policies.iter().filter_map(|policy| engine.add_policy(*policy).ok()).count());
    assert_eq!(engine.policies().count(), policies.len(), "a policy was not added");
}

fn pfkey_messages(count: usize) {
    let extensions = [pfkey::with_header(1, vec![0; 12]), pfkey::with_header(3, vec![0; 28])].concat();
    let message = pfkey::of(&extensions);
    let dump = message.repeat(count);
    measured(&mut || {
        dump.chunks(message.len())
            .filter_map(|message| PfkeyMessage::parse(message, Dialect::Linux.with(Order::Little)).ok())
            .map(|message| message.extensions().count())
            .sum()
    });
}

fn pfkey(extensions: &[u8]) {
    let message = pfkey::of(extensions);
    let parse = || PfkeyMessage::parse(&message, Dialect::Linux.with(Order::Little));
    assert!(parse().is_ok(), "malformed message");
    measured(&mut || parse().map_or(0, |message| message.extensions().count()));
}

fn ike(payloads: &[(u8, Vec<u8>)]) {
    let message = ike::of(payloads);
    assert_eq!(Message::parse(&message).map(drop), Ok(()), "malformed message");
    measured(&mut || {
        let strict = black_box(Message::parse_strict(&message).is_ok());
        Message::parse(&message).map_or(0, |message| message.payloads().count()) + usize::from(strict)
    });
}

fn vendor_ids(payloads: &[(u8, Vec<u8>)]) {
    let message = ike::of(payloads);
    measured(&mut || Message::parse(&message).map_or(0, |message| usize::from(Quirks::of(&message).racoon)));
}

fn fragments(count: usize) {
    let last = u8::try_from(count).unwrap_or(u8::MAX);
    let messages: Vec<_> = (1..=last).rev().map(|number| ike::fragment(7, number, number == last, 400)).collect();
    let (mut store, mut out) = (vec![0; 65535], vec![0; 65535]);
    measured(&mut || {
        let mut reassembly = Reassembly::new(&mut store);
        for message in &messages {
            let _ = black_box(Message::parse(message).map(|message| reassembly.add(&message)));
        }
        reassembly.message(&mut out).map_or(0, |message| message.len())
    });
}

fn inflate(data: &[u8]) {
    let (mut inflate, mut output) = (Inflate::new(), vec![0; 65536]);
    measured(&mut || inflate.decompress(data, &mut output).unwrap_or(0));
}

fn unpack_lzs(data: &[u8]) {
    let (mut lzs, mut output) = (Lzs::new(), vec![0; 65536]);
    measured(&mut || lzs.decompress(data, &mut output).unwrap_or(0));
}

/// Returns a record of a vector file.
pub fn record(octets: usize) -> String {
    format!("{{\"id\":\"a\",\"type\":\"isakmp-bytes\",\"hex\":\"{}\",\"expected\":\"any\"}}\n", "5a".repeat(octets))
}

fn vector_file(count: usize) {
    let scratch = Scratch::new().expect("temporary directory");
    let path = scratch.file("records.jsonl");
    fs::write(&path, record(64).repeat(count)).expect("writable file");
    measured(&mut || test_vectors::read_file(&path).map_or(0, |records| records.len()));
}

fn vector_line(octets: usize) {
    let line = record(octets);
    measured(&mut || black_box(test_vectors::parse_line(&line)).kind().len());
}

fn cavp_file(count: usize) {
    let scratch = Scratch::new().expect("temporary directory");
    let path = scratch.file("cases.rsp");
    let text = "COUNT = 0\nKEY = 000102030405060708090a0b0c0d0e0f\nIV = 00010203\nPLAINTEXT = 00\n\n".repeat(count);
    fs::write(&path, format!("[ENCRYPT]\n\n{text}")).expect("writable file");
    let name = path.display().to_string();
    measured(&mut || test_vectors::cavp(&name).len());
}
