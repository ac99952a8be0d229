//! Test vectors of the IPsec workspace, and the loader that tests and tools use.
//!
//! Packets, replay sequences and IKE messages are records in JSON lines ([`Record`]). Cipher and MAC vectors are in the
//! formats of their publishers ([`cavp`], [`rfc`]). [`Random`] generates further test inputs.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

mod hex;
mod ike_record;
mod isakmp_record;
mod nist;
mod random;
mod record;
mod schema;
pub mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

pub use hex::{Hex, from_hex, to_hex};
pub use ike_record::{ConversationMessage, ConversationRecord, FlowMessage, FlowRecord, KeymatRecord, Phase1Record};
pub use isakmp_record::{IsakmpBytesRecord, IsakmpFragmentsRecord, IsakmpHeaderRecord, IsakmpRecord, PayloadNode};
pub use nist::cavp;
pub use random::Random;
pub use record::{
    Expected, IpcompRecord, Located, PacketRecord, Record, ReplayPacket, ReplayRecord, SaRecord, UdpPorts, parse_line,
    read_file,
};

pub use schema::{json_schema, record_types};

/// Returns the directory of the vectors, in the source directory of this crate.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// Reads the vectors of an RFC: those of one name in `rfc.json`, such as `rfc3602_aes_cbc`.
///
/// # Panics
/// If the file is missing, is not JSON or has no such name: vectors that cannot be read must not count as passed.
pub fn rfc(name: &str) -> Vec<serde_json::Value> {
    let path = data().join("rfc.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut all: BTreeMap<String, Vec<serde_json::Value>> =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    all.remove(name).unwrap_or_else(|| panic!("{}: no vectors named {name}", path.display()))
}

/// Reads the recorded conversations of IKEv1 daemons.
///
/// # Panics
/// If the file is missing or contains another record.
pub fn conversations() -> Vec<ConversationRecord> {
    let path = data().join("ike/recorded.jsonl");
    let records = read_file(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    records
        .into_iter()
        .map(|located| match located.record {
            Record::Conversation(record) => *record,
            other => panic!("{}: line {}: {}", path.display(), located.line, other.kind()),
        })
        .collect()
}

/// Returns the record files below a path: the path itself if it is a file, else every `.jsonl` file below it, sorted.
///
/// # Errors
/// If the path cannot be read.
pub fn record_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(record_files(&path)?);
        } else if path.extension().is_some_and(|e| e == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
