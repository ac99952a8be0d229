//! `ipsec-lab ike`: decoder of IKEv1 messages.

mod contents;
mod filter;
pub mod key_table;
mod partial;
mod partial_sa;
mod session;
mod sides;
mod source;
mod summary;
mod tree;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ike_codec::{DecodeError, Message};
use ike_v1::{Role, Verdict};
use serde_json::json;
use test_vectors::{from_hex, to_hex};
use zeroize::Zeroizing;

use crate::progress::Progress;
use crate::{output, terminal_text};
use filter::Filter;
pub use key_table::KeyTable;
use session::{Opened, is_accepted};
pub use session::{Secrets, Sessions};
pub use source::Found;
use summary::Summary;

/// Decode the IKEv1 messages of a capture, or one message in hexadecimal.
///
/// Prints each message as a tree, or with --json as one JSON object per line, and a summary. Fragments are
/// reassembled, and tunnels without protection followed. Encrypted messages are decrypted if a key is given and the
/// capture contains their SA from its beginning, and their hashes are verified; signatures are not. A message that
/// cannot be parsed is printed up to the fault, with the rest in hexadecimal. The exit status is 0 if every message was
/// parsed, every message with a key was decrypted, and no hash was wrong or missing; otherwise 1, also if there is no
/// message or if no key fits, and 2 for errors.
///
/// Secrets may be given more than once, for captures of several SAs; each SA uses those that open it.
#[derive(clap::Args)]
pub struct Args {
    /// Capture file (pcap or pcapng, also compressed with gzip; `-` is standard input), or a message in hexadecimal.
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
    /// Print only messages with this value: host=ADDRESS, port=NUMBER, cookie=HEX, frame=NUMBER or FIRST-LAST,
    /// exchange=NAME, message-id=HEX. Several have to match all. The others are decrypted, and do not affect the exit
    /// status.
    #[arg(long, value_name = "FIELD=VALUE")]
    filter: Vec<Filter>,
    /// Write the keys of the decrypted SAs as such a table.
    #[arg(long, value_name = "FILE")]
    write_ike_keys: Option<PathBuf>,
}

/// Runs the command `ike`.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut sessions = Sessions::new(secrets(args)?);
    let (mut all_good, mut ended) = (true, Ok(()));
    let mut messages = source::messages(&args.source)?;
    let (mut summary, mut progress) = (Summary::default(), Progress::new("messages", true));
    for found in messages.by_ref() {
        let found = match found {
            Ok(found) => found,
            Err(e) => {
                ended = Err(e);
                break;
            }
        };
        let opened = sessions.see(&found);
        progress.advance();
        if !args.filter.iter().all(|filter| filter.matches(&found)) {
            continue;
        }
        summary.count(&found, &opened);
        all_good &= is_good(&found, &opened);
        let text = if args.json { json_line(&found, &opened) } else { lines(&found, &opened) };
        say!("{text}");
        if output::is_closed() && args.write_ike_keys.is_none() {
            break;
        }
    }
    progress.finish();
    if !args.json && messages.is_capture() {
        sayln!("{summary}");
    }
    messages.print_skipped();
    let mut has_failed = false;
    if ended.is_ok() && !output::is_closed() {
        has_failed = explain(args, &summary, &messages);
    }
    if let Some(path) = &args.write_ike_keys {
        key_table::write(path, sessions.keys())?;
    }
    ended?;
    Ok(if all_good && !has_failed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the reason why nothing was found or decrypted, and the remedy. Returns whether that is a failure: without a
/// message, or if keys were given and none of them decrypts a message.
fn explain(args: &Args, summary: &Summary, messages: &source::Messages) -> bool {
    if summary.messages() == 0 {
        match args.filter.is_empty() {
            true => noteln!("ipsec-lab: {} has no IKE message: {}", args.source, messages.contents()),
            false => noteln!("ipsec-lab: {} has no IKE message that --filter selects", args.source),
        }
        return true;
    }
    if !summary.is_closed() {
        return false;
    }
    let has_keys = args.ike_keys.is_some() || !args.shared_secret.is_empty();
    if has_keys {
        noteln!("ipsec-lab: no encrypted message was decrypted: the reasons are with the messages");
    } else if args.psk.is_empty() {
        noteln!("ipsec-lab: to decrypt messages, give their keys with `--ike-keys`, or g^xy with `--shared-secret`");
    } else {
        noteln!("ipsec-lab: a pre-shared key alone decrypts no message: give g^xy with `--shared-secret` as well");
    }
    has_keys
}

/// Returns whether a message, and its decrypted or reassembled contents, was parsed, decrypted if there was a key,
/// and verified.
fn is_good(found: &Found, opened: &Opened) -> bool {
    let parses = |bytes: &[u8]| tree::clear(bytes).is_ok();
    Message::parse(&found.message).is_ok()
        && opened.reassembled.as_deref().is_none_or(parses)
        && opened.closed.is_none_or(|why| why.is_incomplete() && !opened.has_secret)
        && is_accepted(opened.hash)
}

fn secrets(args: &Args) -> Result<Secrets, Box<dyn Error>> {
    let hex = |option: &str, text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        from_hex(digits).map(Zeroizing::new).ok_or_else(|| {
            match digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                true => format!("{option}: an odd number of hexadecimal digits: {}", digits.len()),
                false => format!("{option}: not hexadecimal"),
            }
        })
    };
    let psk = |text: &String| match text.strip_prefix("0x") {
        Some(digits) => hex("--psk", digits),
        None => Ok(text.as_bytes().to_vec().into()),
    };
    let psks = args.psk.iter().map(psk).collect::<Result<Vec<_>, _>>()?;
    let shared = args.shared_secret.iter().map(|text| hex("--shared-secret", text)).collect::<Result<_, _>>()?;
    let keys = args.ike_keys.as_deref().map(key_table::read).transpose()?.unwrap_or_default();
    if psks.iter().any(|psk| psk.is_empty()) {
        return Err("the pre-shared key is empty".into());
    }
    Ok(Secrets { psks, shared, keys })
}

fn lines(found: &Found, opened: &Opened) -> String {
    let mut text = match (found.ends, found.time) {
        (Some((source, destination)), Some(time)) => {
            let [from, to] = [source, destination].map(|end| format!("{}[{}]", end.ip(), end.port()));
            format!("{}: {} {from} > {to}: ", found.frame, seconds(time))
        }
        _ => String::new(),
    };
    if let Some(original) = found.cut {
        text.push_str(&format!("[frame of {original} octets is truncated] "));
    }
    match Message::parse(&found.message) {
        Ok(message) => tree::message(&message).write(&mut text, 0).unwrap_or_default(), // a String takes everything
        Err(e) => malformed(&mut text, &found.message, &e, 0),
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
        Verdict::Good => text.push_str("    hash: verified\n"),
        Verdict::Bad => text.push_str("    hash: VERIFICATION FAILED\n"),
        Verdict::NotVerified(why) => text.push_str(&format!("    hash: not verified: {why}\n")),
    }
    text
}

/// Returns the seconds since the epoch with microseconds, or with nanoseconds where they are not zero.
fn seconds(time: Duration) -> String {
    match time.subsec_nanos() % 1000 {
        0 => format!("{}.{:06}", time.as_secs(), time.subsec_micros()),
        _ => format!("{}.{:09}", time.as_secs(), time.subsec_nanos()),
    }
}

fn nested(text: &mut String, what: &str, bytes: &[u8]) {
    text.push_str(&format!("    {what}:\n"));
    match tree::clear(bytes) {
        Ok(node) => node.write(text, 2).unwrap_or_default(),
        Err(e) => malformed(text, bytes, &e, 2),
    }
}

/// Writes the error of a malformed message, its tree up to the fault, and the rest in hexadecimal.
fn malformed(text: &mut String, bytes: &[u8], error: &DecodeError, depth: usize) {
    let indent = " ".repeat(depth * 4);
    text.push_str(&format!("{indent}{} octets: {error}\n", bytes.len()));
    let (node, rest) = partial::tree(bytes);
    if let Some(node) = node {
        node.write(text, depth + 1).unwrap_or_default();
    }
    text.push_str(&format!("{indent}    rest octets={} data={}\n", rest.len(), to_hex(rest)));
}

fn json_line(found: &Found, opened: &Opened) -> String {
    let ends = found.ends.map(|(source, destination)| [source.ip().to_string(), destination.ip().to_string()]);
    let mut value = match Message::parse(&found.message) {
        Ok(message) => json!({"encrypted": message.is_encrypted(), "message": tree::message(&message).json()}),
        Err(e) => malformed_json(&found.message, &e),
    };
    let clear = |bytes: &Vec<u8>| tree::clear(bytes).map_or_else(|e| malformed_json(bytes, &e), |node| node.json());
    value["frame"] = json!(found.frame);
    value["truncated_from"] = json!(found.cut);
    value["time"] = json!(found.time.map(seconds));
    value["ends"] = json!(ends);
    value["ports"] = json!(found.ends.map(|(source, destination)| [source.port(), destination.port()]));
    value["sender"] = json!(opened.sender.map(|sender| match sender {
        Role::Initiator => "initiator",
        Role::Responder => "responder",
    }));
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
    terminal_text::json_line(&value) + "\n"
}

/// Returns the error of a malformed message with its offset, its tree up to the fault, and the rest in hexadecimal.
fn malformed_json(bytes: &[u8], error: &DecodeError) -> serde_json::Value {
    let (node, rest) = partial::tree(bytes);
    json!({
        "error": error.kind.to_string(),
        "offset": error.offset,
        "message": node.map(|node| node.json()),
        "rest": to_hex(rest),
    })
}
