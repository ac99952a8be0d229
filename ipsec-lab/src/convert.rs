//! Writes configuration files in another language.

use std::error::Error;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use ipsec_config::{Lost, Target};
use zeroize::Zeroizing;

use crate::check::{self, Input};
use crate::output;

/// Write configuration files in another language.
///
/// The text is written to the standard output; it contains keys. Errors, warnings, and what the other language cannot
/// express are written to the standard error stream. The exit status is 0 without errors, 1 with errors, and then
/// nothing is written.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    input: Input,
    /// Language or table that is written: those of setkey(8), racoon.conf(5), OpenBSD's ipsec.conf(5) and
    /// isakmpd.conf(5), psk.txt, rc.conf(5), gateway.conf, ip-xfrm(8) and swanctl.conf(5); `wireshark` is the table `esp_sa`, `tcpdump` a
    /// file for -E.
    #[arg(long, value_name = "TARGET", value_parser = PossibleValuesParser::new(targets()))]
    to: String,
}

fn targets() -> Vec<&'static str> {
    Target::NAMES.iter().map(|row| row.0).collect()
}

/// Runs the command `convert`.
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let loaded = args.input.load()?;
    if check::report(&loaded) {
        return Ok(ExitCode::FAILURE);
    }
    let target = Target::NAMES.iter().find(|row| row.0 == args.to).map(|row| row.1).ok_or("unknown target")?;
    // The parsed form has statements that the common configuration has no place for.
    let (text, lost) = match (target, loaded.racoon.as_slice(), &loaded.gateway) {
        (Target::Racoon, [conf], _) => (Zeroizing::new(conf.to_string()), Lost::default()),
        (Target::Gateway, _, Some(conf)) => {
            let (text, lost) = conf.write(&loaded.configuration);
            (Zeroizing::new(text), lost)
        }
        _ => loaded.configuration.write(target),
    };
    lost.iter().for_each(|note| noteln!("not expressed: {note}"));
    output::write_unchanged(&text);
    Ok(ExitCode::SUCCESS)
}
