//! `ipsec-lab suites`: every name of an algorithm on the command line, with its names elsewhere.

use std::error::Error;
use std::process::ExitCode;

use ike_codec::Group;
use ike_v1::names::{self, CipherName};
use ipsec_config::setkey::{cipher_name, mac_name};
use ipsec_crypto::{CipherAlgorithm, CipherRow, HashFunction, IntegrityAlgorithm};
use serde_json::json;

use crate::terminal_text;

/// List the names of algorithms that --suite and --ike take, with their names in setkey(8) and Wireshark.
///
/// The other commands print and read the names of setkey(8) in its files, and those of this list elsewhere.
///
/// Exit status: 0.
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON object for each algorithm.
    #[arg(long)]
    json: bool,
}

/// Bits of keys that are listed for ciphers with a wide range.
const COMMON_BITS: &[usize] = &[128, 192, 256, 448];

/// Hash algorithms of phase 1.
const HASHES: &[HashFunction] =
    &[HashFunction::Md5, HashFunction::Sha1, HashFunction::Sha2_256, HashFunction::Sha2_384, HashFunction::Sha2_512];

/// Returns the names of a cipher with each length of its key, or the common lengths of a wide range.
pub fn cipher_names(row: &CipherRow) -> Vec<String> {
    let is_wide = row.keys.step == 1 && row.keys.max > row.keys.min;
    let lengths = (row.keys.min..=row.keys.max).filter(|octets| row.keys.allow(*octets));
    let listed = lengths.filter(|octets| !is_wide || COMMON_BITS.contains(&((octets - row.salt) * 8)));
    listed.map(|octets| CipherName(row.algorithm, octets).to_string()).collect()
}

/// Returns the names of integrity algorithms of ESP and AH.
pub fn integrity_names() -> Vec<&'static str> {
    IntegrityAlgorithm::ALL.iter().filter_map(|row| names::integrity_name(row.algorithm)).collect()
}

/// Returns the names of hash algorithms of phase 1.
pub fn hash_names() -> Vec<&'static str> {
    HASHES.iter().filter_map(|hash| names::hash_name(*hash)).collect()
}

/// Returns the names of groups that are implemented.
pub fn group_names() -> Vec<&'static str> {
    (1..=u16::from(u8::MAX))
        .filter_map(|number| Group(number).name())
        .filter(|name| names::group(name).is_some())
        .collect()
}

/// Returns the names of ciphers that need an integrity algorithm, and those that have their own.
pub fn ciphers(has_icv: bool) -> Vec<String> {
    CipherAlgorithm::ALL.iter().filter(|row| (row.icv > 0) == has_icv).flat_map(cipher_names).collect()
}

/// Returns the names of ciphers of phase 1.
pub fn ike_ciphers() -> Vec<String> {
    let is_ike = |row: &&CipherRow| ike_v1::encryption_number(row.algorithm).is_some();
    CipherAlgorithm::ALL.iter().filter(is_ike).flat_map(cipher_names).collect()
}

/// Returns the help of an option for the algorithms of ESP and AH.
pub fn suite_help() -> String {
    format!(
        "Algorithms of ESP or AH: CIPHER-INTEGRITY, or a cipher with its own ICV alone.\n\
         CIPHER: {}\n  (blowfish40 to blowfish448 and cast40 to cast128 in steps of 8)\n\
         INTEGRITY: {}\n\
         Alone: {}",
        ciphers(false).join(" "),
        integrity_names().join(" "),
        ciphers(true).join(" ")
    )
}

/// Returns the help of an option for the algorithms of phase 1.
pub fn ike_help() -> String {
    format!(
        "Algorithms of phase 1: CIPHER-HASH-GROUP.\nCIPHER: {}\nHASH: {}\nGROUP: {}",
        ike_ciphers().join(" "),
        hash_names().join(" "),
        group_names().join(" ")
    )
}

/// Runs the command `suites`.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let row = |kind: &str, name: &str, setkey: Option<&str>, wireshark: Option<&str>| {
        if args.json {
            let value = json!({"kind": kind, "name": name, "setkey": setkey, "wireshark": wireshark});
            sayln!("{}", terminal_text::json_line(&value));
        } else {
            let line = format!("{kind:10} {name:18} {:18} {}", setkey.unwrap_or("-"), wireshark.unwrap_or("-"));
            sayln!("{}", line.trim_end());
        }
    };
    if !args.json {
        sayln!("{}\n", suite_help());
        sayln!("{}\n", ike_help());
        sayln!("{:10} {:18} {:18} wireshark", "kind", "name", "setkey");
    }
    for cipher in CipherAlgorithm::ALL {
        for name in cipher_names(cipher) {
            let kind = if cipher.icv > 0 { "aead" } else { "cipher" };
            row(kind, &name, cipher_name(cipher.algorithm), cipher.wireshark);
        }
    }
    for integrity in IntegrityAlgorithm::ALL {
        if let Some(name) = names::integrity_name(integrity.algorithm) {
            row("integrity", name, mac_name(integrity.algorithm), integrity.wireshark);
        }
    }
    hash_names().iter().for_each(|name| row("hash", name, None, None));
    group_names().iter().for_each(|name| row("group", name, None, None));
    Ok(ExitCode::SUCCESS)
}
