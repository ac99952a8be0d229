//! Runs vector files through the public interfaces of the libraries.

mod ike_flow;
mod ike_keys;
mod ipcomp;
mod isakmp;
mod packet;
mod replay;
mod sa;

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use serde_json::json;
use test_vectors::{Located, Record, json_schema, read_file, record_files, record_types};

use crate::capture::FileKind;
use crate::progress::Progress;
use crate::{output, terminal_text};

/// Octets of a file by which its kind is found.
const LOOKED_AT: u64 = 4096;

/// Run vector files and print the records that fail.
///
/// Files are JSON lines; a directory means every .jsonl file below it. --schema prints the fields of each type of
/// record as a JSON Schema. A record that passes is not printed, one that fails prints `FAIL FILE:LINE id: expected X,
/// got Y`. A record of an unknown type or algorithm fails, and one with an unknown field.
///
/// `expected` is "accept", "reject", "any", or {"reject": "REASON"}: the reason of the refusal, as this command prints
/// it for a record that fails, has to contain REASON.
///
/// Exit status: 0 if at least one record ran and none failed, 1 if one failed or none ran, 2 for errors.
#[derive(clap::Args)]
pub struct Args {
    /// Vector files, or directories that contain them.
    #[arg(required_unless_present = "schema")]
    paths: Vec<PathBuf>,
    /// Run only the records of this type, such as `packet` or `replay`.
    #[arg(long, value_name = "TYPE", value_parser = PossibleValuesParser::new(record_types()))]
    only: Option<String>,
    /// Print one JSON object for each record that fails, and one at the end.
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of a record, and nothing else.
    #[arg(long, conflicts_with_all = ["paths", "only", "json"])]
    schema: bool,
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

/// Runs the command `conform`.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    if args.schema {
        sayln!("{}", serde_json::to_string_pretty(&json_schema())?);
        return Ok(ExitCode::SUCCESS);
    }
    let (mut passed, mut failed) = (0u64, 0u64);
    let mut progress = Progress::new("records", true);
    for path in &args.paths {
        let files = record_files(path).map_err(|e| format!("{}: {e}", path.display()))?;
        if files.is_empty() {
            noteln!("ipsec-lab: warning: {} has no file whose name ends in .jsonl", path.display());
        }
        for file in files {
            for located in read(&file)? {
                if args.only.as_deref().is_some_and(|only| only != located.record.kind()) {
                    continue;
                }
                progress.advance();
                match check(&located.record) {
                    Ok(()) => passed += 1,
                    Err(failure) => {
                        failed += 1;
                        print(args, &file, &located, &failure);
                    }
                }
                if output::is_closed() {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
    }
    progress.finish();
    if args.json {
        sayln!("{}", terminal_text::json_line(&json!({"passed": passed, "failed": failed})));
    } else {
        sayln!("{passed} passed, {failed} failed");
    }
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads the records of a file.
fn read(file: &Path) -> Result<Vec<Located>, Box<dyn Error>> {
    let mut first = Vec::new();
    let problem = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    File::open(file).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut first)).map_err(|e| problem(&e))?;
    match FileKind::of(&first).as_text("records in JSON, one on each line") {
        Some(hint) => Err(problem(&hint).into()),
        None => Ok(read_file(file).map_err(|e| problem(&e))?),
    }
}

fn print(args: &Args, file: &Path, located: &Located, failure: &Failure) {
    let (id, line) = (name(&located.record), located.line);
    if args.json {
        let failed = json!({"id": id, "file": file.display().to_string(), "line": line,
            "expected": failure.expected, "got": failure.got});
        sayln!("{}", terminal_text::json_line(&failed));
    } else {
        let id = id.replace('\n', "\\n");
        sayln!("FAIL {}:{line} {id}: expected {}, got {}", file.display(), failure.expected, failure.got);
    }
}

/// Compares the reason of a refusal with the part of it that a record names.
fn refused(expected: Option<&str>, reason: &str) -> Result<(), Failure> {
    match expected {
        Some(expected) if !reason.to_lowercase().contains(&expected.to_lowercase()) => {
            Err(Failure::new(format!("reject: {expected}"), format!("reject: {reason}")))
        }
        _ => Ok(()),
    }
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
            let kind = if kind.is_empty() { "a known type" } else { kind };
            Err(Failure::new(format!("a record of {kind} (`conform --schema`)"), problem))
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
    fn every_record_of_the_test_vectors_passes() {
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
    fn reasons_of_refusals_are_compared() {
        let line = r#"{"type":"isakmp-bytes","id":"x","hex":"00112233","expected":{"reject":"REASON"}}"#;
        let reason = |reason: &str| check(&test_vectors::parse_line(&line.replace("REASON", reason)));
        let failure = reason("no such reason").err().unwrap();
        assert_eq!(failure.expected, "reject: no such reason");
        let actual = failure.got.strip_prefix("reject: ").unwrap();
        assert!(reason(actual).is_ok() && reason(&actual.to_uppercase()).is_ok(), "{actual}");
    }

    #[test]
    fn unknown_records_fail() {
        for line in [r#"{"type":"packet","id":"x"}"#, r#"{"type":"riddle","id":"x"}"#, "{", r#"{"id":"x"}"#] {
            assert!(check(&test_vectors::parse_line(line)).is_err(), "{line}");
        }
    }
}
