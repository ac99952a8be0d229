//! Runs vector files through the public interfaces of the libraries.

mod ike_flow;
mod ike_keys;
mod ipcomp;
mod isakmp;
mod packet;
mod replay;
mod sa;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use test_vectors::{Record, read_file, record_files};

use crate::json_text;

/// Run vector files and print the records that fail.
///
/// Files are JSON lines; a directory stands for every .jsonl file below it. A record that passes prints nothing,
/// one that fails prints `FAIL id: expected X, got Y`. A record of an unknown type or algorithm fails. The exit
/// status is 0 if at least one record ran and none failed.
#[derive(clap::Args)]
pub struct Args {
    /// Vector files, or directories that contain them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Run only the records of this type, such as `packet` or `replay`.
    #[arg(long, value_name = "TYPE")]
    only: Option<String>,
    /// Print one JSON object for each record that fails, and one at the end.
    #[arg(long)]
    json: bool,
}

/// Difference between a record and the result.
pub struct Failure {
    /// Value in the record.
    pub expected: String,
    /// Value that was computed.
    pub got: String,
}

impl Failure {
    /// Creates a failure from both values.
    pub fn new(expected: impl Into<String>, got: impl ToString) -> Self {
        Self { expected: expected.into(), got: got.to_string() }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let (mut passed, mut failed) = (0u64, 0u64);
    for path in &args.paths {
        for file in record_files(path).map_err(|e| format!("{}: {e}", path.display()))? {
            let records = read_file(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            for located in records {
                if args.only.as_deref().is_some_and(|only| only != located.record.kind()) {
                    continue;
                }
                match check(&located.record) {
                    Ok(()) => passed += 1,
                    Err(failure) => {
                        failed += 1;
                        let id = match name(&located.record) {
                            "" => format!("{}:{}", file.display(), located.line),
                            id => id.to_owned(),
                        };
                        if args.json {
                            let failed = json!({"id": id, "expected": failure.expected, "got": failure.got});
                            println!("{}", json_text::line(&failed));
                        } else {
                            println!("FAIL {id}: expected {}, got {}", failure.expected, failure.got);
                        }
                    }
                }
            }
        }
    }
    if args.json {
        println!("{}", json_text::line(&json!({"passed": passed, "failed": failed})));
    } else {
        println!("{passed} passed, {failed} failed");
    }
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(record: &Record) -> Result<(), Failure> {
    match record {
        Record::Packet(record) => packet::check(record),
        Record::Replay(record) => replay::check(record),
        Record::Ipcomp(record) => ipcomp::check(record),
        Record::Isakmp(record) => isakmp::check(record),
        Record::IsakmpBytes(record) => isakmp::check_bytes(record),
        Record::IsakmpFragments(record) => isakmp::check_fragments(record),
        Record::Phase1(record) => ike_keys::check_phase_1(record),
        Record::Keymat(record) => ike_keys::check_keymat(record),
        Record::Flow(record) => ike_flow::check(record),
        Record::Conversation(record) => ike_flow::check_conversation(record),
        Record::Unknown { kind, problem, .. } => {
            Err(Failure::new("a record of a known type", format!("{problem} ({kind:?})")))
        }
    }
}

fn name(record: &Record) -> &str {
    match record {
        Record::Packet(record) => &record.id,
        Record::Replay(record) => &record.id,
        Record::Ipcomp(record) => &record.id,
        Record::Isakmp(record) => &record.id,
        Record::IsakmpBytes(record) => &record.id,
        Record::IsakmpFragments(record) => &record.id,
        Record::Phase1(record) => &record.id,
        Record::Keymat(record) => &record.id,
        Record::Flow(record) => &record.id,
        Record::Conversation(record) => &record.id,
        Record::Unknown { id, .. } => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= RFC 4303 5/1
    //# MUST: syntax and processing of ESP for unicast traffic are implemented
    #[test]
    fn every_open_record_passes() {
        let mut ran = 0;
        let files = ["packets", "ipcomp", "ikev1", "ike"]
            .map(|directory| record_files(&test_vectors::data().join(directory)).unwrap());
        for file in files.concat() {
            for located in read_file(&file).unwrap() {
                if let Err(failure) = check(&located.record) {
                    panic!("{}: expected {}, got {}", name(&located.record), failure.expected, failure.got);
                }
                ran += 1;
            }
        }
        assert_eq!(ran, 481, "records");
    }

    #[test]
    fn records_have_the_type_of_their_file() {
        for kind in ["ike-phase1", "ike-skeyid", "ike-psk-hash"] {
            let line = format!(r#"{{"type":"{kind}","id":"x","prf":"hmac-md5","skeyid":"00"}}"#);
            assert_eq!(test_vectors::parse_line(&line).kind(), kind);
        }
    }

    #[test]
    fn unknown_records_fail() {
        for line in [r#"{"type":"packet","id":"x"}"#, r#"{"type":"riddle","id":"x"}"#, "{", r#"{"id":"x"}"#] {
            assert!(check(&test_vectors::parse_line(line)).is_err(), "{line}");
        }
    }
}
