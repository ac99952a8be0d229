//! `ipsec-lab ike`: decoder of IKEv1 messages.

pub mod key_table;
mod session;
mod source;
mod tree;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use ike_codec::Message;
use ike_v1::Verdict;
use serde_json::json;
use test_vectors::{from_hex, to_hex};
use zeroize::Zeroizing;

use crate::json_text;
pub use key_table::KeyTable;
use session::{Opened, is_accepted};
pub use session::{Secrets, Sessions};
pub use source::Found;

/// Decode the IKEv1 messages of a capture, or one message in hexadecimal.
///
/// Prints each message as a tree, or with --json as one JSON object per line. Fragments are reassembled. Encrypted
/// messages are decrypted if a key is given and the capture contains their SA from its beginning, and their hashes
/// are verified; signatures are not. A message that cannot be parsed is printed as an error with its offset. The exit
/// status is 0 if every message was parsed, every message with a key was decrypted, and no hash was wrong or missing.
///
/// Secrets may be given more than once, for captures of several SAs; each SA uses those that open it.
#[derive(clap::Args)]
pub struct Args {
    /// Capture file (pcap or pcapng), or a message in hexadecimal.
    source: String,
    /// Print one JSON object for each message.
    #[arg(long)]
    json: bool,
    /// Pre-shared key, or 0x and its octets in hexadecimal: verifies the hashes of phase 1.
    #[arg(long, value_name = "SECRET")]
    psk: Vec<String>,
    /// g^xy in hexadecimal, from the log of a peer: decrypts and verifies all messages, with the pre-shared key if that
    /// authenticates the peers.
    #[arg(long, value_name = "HEX")]
    shared_secret: Vec<String>,
    /// Table of encryption keys in the format of Wireshark's ikev1_decryption_table, or file of Wireshark's preferences
    /// that contains it.
    #[arg(long, value_name = "FILE")]
    ike_keys: Option<PathBuf>,
    /// Write the keys of the decrypted SAs as such a table.
    #[arg(long, value_name = "FILE")]
    write_ike_keys: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut sessions = Sessions::new(secrets(args)?);
    let mut out = std::io::stdout().lock();
    let mut all_good = true;
    for found in source::messages(&args.source)? {
        let opened = sessions.see(&found);
        all_good &= is_good(&found, &opened);
        let text = if args.json { json_line(&found, &opened) } else { lines(&found, &opened) };
        if out.write_all(text.as_bytes()).is_err() {
            break; // nobody reads any further
        }
    }
    if let Some(path) = &args.write_ike_keys {
        key_table::write(path, sessions.keys())?;
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns whether a message, and its decrypted or reassembled contents, was parsed, decrypted if there was a key,
/// and verified.
fn is_good(found: &Found, opened: &Opened) -> bool {
    let parses = |bytes: &[u8]| tree::clear(bytes).is_ok();
    Message::parse(&found.message).is_ok()
        && opened.reassembled.as_deref().is_none_or(parses)
        && opened.closed.is_none_or(|why| why.is_incomplete())
        && is_accepted(opened.hash)
}

fn secrets(args: &Args) -> Result<Secrets, Box<dyn Error>> {
    let hex = |text: &str| from_hex(text).map(Zeroizing::new).ok_or("secret is not hexadecimal");
    let psk = |text: &String| match text.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None => Ok(text.as_bytes().to_vec().into()),
    };
    let psks = args.psk.iter().map(psk).collect::<Result<Vec<_>, _>>()?;
    let shared = args.shared_secret.iter().map(|text| hex(text)).collect::<Result<_, _>>()?;
    let keys = args.ike_keys.as_deref().map(key_table::read).transpose()?.unwrap_or_default();
    if psks.iter().any(|psk| psk.is_empty()) {
        return Err("the pre-shared key is empty".into());
    }
    Ok(Secrets { psks, shared, keys })
}

fn lines(found: &Found, opened: &Opened) -> String {
    let mut text = match found.ends {
        Some((source, destination)) => format!("{}: {source} > {destination}: ", found.frame),
        None => String::new(),
    };
    match Message::parse(&found.message) {
        Ok(message) => tree::message(&message).write(&mut text, 0).unwrap_or_default(), // a String takes everything
        Err(e) => text.push_str(&format!("{} octets: {e}\n", found.message.len())),
    }
    if let Some(whole) = &opened.reassembled {
        nested(&mut text, "reassembled", whole);
    }
    if let Some(clear) = &opened.message {
        nested(&mut text, "decrypted", clear);
    }
    if let Some(why) = &opened.closed {
        text.push_str(&format!("    not decrypted: {why}\n"));
    }
    match opened.hash {
        Verdict::Absent => {}
        Verdict::Good => text.push_str("    hash: good\n"),
        Verdict::Bad => text.push_str("    hash: WRONG\n"),
        Verdict::NotVerified(why) => text.push_str(&format!("    hash: not verified: {why}\n")),
    }
    text
}

fn nested(text: &mut String, what: &str, bytes: &[u8]) {
    text.push_str(&format!("    {what}:\n"));
    match tree::clear(bytes) {
        Ok(node) => node.write(text, 2).unwrap_or_default(),
        Err(e) => text.push_str(&format!("        {} octets: {e}\n", bytes.len())),
    }
}

fn json_line(found: &Found, opened: &Opened) -> String {
    let ends = found.ends.map(|(source, destination)| [source.to_string(), destination.to_string()]);
    let mut value = match Message::parse(&found.message) {
        Ok(message) => json!({"encrypted": message.is_encrypted(), "message": tree::message(&message).json()}),
        Err(e) => json!({"error": e.kind.to_string(), "offset": e.offset}),
    };
    let clear =
        |bytes: &Vec<u8>| tree::clear(bytes).map_or_else(|e| json!({"error": e.to_string()}), |node| node.json());
    value["frame"] = json!(found.frame);
    value["ends"] = json!(ends);
    value["reassembled"] = json!(opened.reassembled.as_ref().map(clear));
    value["decrypted"] = json!(opened.message.as_ref().map(clear));
    value["not_decrypted"] = json!(opened.closed.as_ref().map(ToString::to_string));
    let (is_good, not_verified) = match opened.hash {
        Verdict::Absent => (None, None),
        Verdict::Good => (Some(true), None),
        Verdict::Bad => (Some(false), None),
        Verdict::NotVerified(why) => (None, Some(why.to_string())),
    };
    value["hash_is_good"] = json!(is_good);
    value["hash_not_verified"] = json!(not_verified);
    value["signed_value"] = json!(opened.signed.as_deref().map(to_hex));
    json_text::line(&value) + "\n"
}
