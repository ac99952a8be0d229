//! Decodes IKEv1 messages.

mod source;
mod tree;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use ike_codec::Message;
use serde_json::json;

use source::Found;

/// Decode the IKEv1 messages of a capture, or one in hexadecimal.
///
/// Prints each message as a tree, or with --json as one JSON object a line. A message that cannot be parsed is printed as
/// an error with its place; the exit status is 0 when every message could be.
#[derive(clap::Args)]
pub struct Args {
    /// A capture file (pcap or pcapng), or a message in hexadecimal.
    source: String,
    /// Print one JSON object for each message.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let mut all_good = true;
    for found in source::messages(&args.source)? {
        all_good &= Message::parse(&found.message).is_ok();
        let text = if args.json { json_line(&found) } else { lines(&found) };
        if out.write_all(text.as_bytes()).is_err() {
            break; // nobody reads any further
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(found: &Found) -> String {
    let mut text = match found.ends {
        Some((source, destination)) => format!("{}: {source} > {destination}: ", found.frame),
        None => String::new(),
    };
    match Message::parse(&found.message) {
        Ok(message) => {
            tree::message(&message).write(&mut text, 0).unwrap_or_default(); // a String takes everything
        }
        Err(e) => text.push_str(&format!("{} octets: {e}\n", found.message.len())),
    }
    text
}

fn json_line(found: &Found) -> String {
    let ends = found.ends.map(|(source, destination)| [source.to_string(), destination.to_string()]);
    let value = match Message::parse(&found.message) {
        Ok(message) => {
            json!({"frame": found.frame, "ends": ends, "encrypted": message.is_encrypted(), "message": tree::message(&message).json()})
        }
        Err(e) => json!({"frame": found.frame, "ends": ends, "error": e.to_string(), "offset": e.offset}),
    };
    format!("{value}\n")
}
