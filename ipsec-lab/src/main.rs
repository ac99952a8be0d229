//! Command line tool of the IPsec workspace.

#[macro_use]
mod output;

mod capture;
mod check;
mod conform;
mod convert;
mod counters;
mod esp_keys;
mod esp_sa;
mod gateway;
mod ike;
mod negotiate;
mod ping;
mod private_file;
mod progress;
mod shell;
mod suites;
mod tcpdump;
mod terminal_text;
mod vpn;
mod wireshark;

use std::error::Error;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// IPsec tools that need no kernel support: decode captures and IKEv1 messages, check vectors, ping a host.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// End of the help: properties of all commands.
const AFTER_HELP: &str = "\
Exit status:
  0  the command has succeeded
  1  it ran, and something was refused, failed or did not match: the output names it
  2  it did not run: usage, a file that cannot be read or written, or missing rights

Names of algorithms are those of `ipsec-lab suites`. `ipsec-lab completions SHELL` and `ipsec-lab man` write shell
completions and manual pages.";

#[derive(Subcommand)]
enum Command {
    Vpn(vpn::Args),
    Seal(gateway::SealArgs),
    Open(gateway::OpenArgs),
    Dump(gateway::DumpArgs),
    Ping(ping::Args),
    Negotiate(negotiate::Args),
    Check(check::Args),
    Convert(convert::Args),
    Ike(ike::Args),
    Conform(conform::Args),
    Suites(suites::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

fn main() -> ExitCode {
    let done = run();
    let written = output::finish().map_err(|e| format!("standard output: {e}").into());
    done.and_then(|code| written.map(|()| code)).unwrap_or_else(|problem| {
        noteln!("ipsec-lab: {problem}");
        ExitCode::from(2)
    })
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    match Cli::parse().command {
        Command::Vpn(args) => vpn::run(&args),
        Command::Seal(args) => gateway::seal(&args),
        Command::Open(args) => gateway::open(&args),
        Command::Dump(args) => gateway::dump(&args),
        Command::Ping(args) => ping::run(&args),
        Command::Negotiate(args) => negotiate::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Ike(args) => ike::run(&args),
        Command::Conform(args) => conform::run(&args),
        Command::Suites(args) => suites::run(&args),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
    }
}
