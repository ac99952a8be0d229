use std::collections::BTreeMap;
use std::fs;

use crate::{data, from_hex};

/// Reads the cases of a file in NIST's format: `NAME = value` lines between blank lines. Names are converted to lower
/// case. Each case has the section that contains it (such as `[ENCRYPT]`) as `section`. Values that are not
/// hexadecimal are left out.
///
/// # Panics
/// If the file is missing or contains no case: vectors that cannot be read must not count as passed.
pub fn cavp(name: &str) -> Vec<BTreeMap<String, Vec<u8>>> {
    let path = data().join("cavp").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut cases, mut case, mut section) = (Vec::new(), BTreeMap::new(), Vec::new());
    for line in text.lines().map(str::trim).chain([""]) {
        if line.is_empty() {
            if case.len() > 1 {
                cases.push(std::mem::take(&mut case));
            }
            case = BTreeMap::from([("section".to_owned(), section.clone())]);
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.as_bytes().to_vec();
            case.insert("section".to_owned(), section.clone());
        } else if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let (name, value) = (name.trim().to_lowercase(), value.trim());
            if name != "count" && name != "len" {
                case.extend(from_hex(value).map(|octets| (name, octets)));
            }
        }
    }
    assert!(!cases.is_empty(), "{} contains no case", path.display());
    cases
}
