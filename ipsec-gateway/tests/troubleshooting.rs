//! Lines of the troubleshooting page: each one is written by the sources.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

/// Crates whose messages reach the log.
const CRATES: &[&str] = &["ipsec-gateway", "ike-v1", "ipsec-engine", "esp-core"];
/// Messages of the system.
const OF_SYSTEM: &[&str] = &["Address already in use", "Cannot assign requested address"];

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "rs") && !entry.ends_with("tests.rs") {
            files.push(entry);
        }
    }
}

/// Returns a text without line breaks, continuation signs and repeated blanks, so that a message is on one line.
fn joined(text: &str) -> String {
    text.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_message_of_the_guide_is_in_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    CRATES.iter().for_each(|name| sources(&root.join("..").join(name).join("src"), &mut files));
    let without_tests = |text: String| text.split("#[cfg(test)]\nmod tests {").next().map(joined).unwrap();
    let text: String = files.iter().map(|file| without_tests(fs::read_to_string(file).unwrap())).collect();
    let page = fs::read_to_string(root.join("TROUBLESHOOTING.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    let mut unknown = Vec::new();
    for row in rows {
        // A message may be put together at a colon or a semicolon.
        let parts = row.split("..").flat_map(|part| part.split(": ")).flat_map(|part| part.split("; "));
        for part in parts.map(|part| part.trim_matches([' ', ':', ',', ';', '(', ')'])) {
            let is_known = part.is_empty() || text.contains(part) || OF_SYSTEM.contains(&part);
            if !is_known {
                unknown.push(format!("`{part}` of `{row}`"));
            }
        }
    }
    assert!(unknown.is_empty(), "in no source: {unknown:#?}");
}
