//! Command line tool of the IPsec workspace.

mod capture;
mod conform;
mod counters;
mod esp_sa;
mod gateway;
mod ike;
mod json_text;
mod negotiate;
mod ping;
mod private_file;
mod suites;
mod vpn;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// IPsec tools that need no kernel support: captures, vectors, IKEv1 messages, a live host.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Vpn(vpn::Args),
    /// Protect the packets of a capture with the SAs and policies of a setkey.conf file.
    Seal(gateway::OfflineArgs),
    /// Decapsulate the packets of a capture with the SAs and policies of a setkey.conf file.
    Open(gateway::OfflineArgs),
    Dump(gateway::DumpArgs),
    Ping(ping::Args),
    Negotiate(negotiate::Args),
    Ike(ike::Args),
    Conform(conform::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Vpn(args) => vpn::run(&args),
        Command::Seal(args) => gateway::seal(&args),
        Command::Open(args) => gateway::open(&args),
        Command::Dump(args) => gateway::dump(&args),
        Command::Ping(args) => ping::run(&args),
        Command::Negotiate(args) => negotiate::run(&args),
        Command::Ike(args) => ike::run(&args),
        Command::Conform(args) => conform::run(&args),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("ipsec-lab: {problem}");
        ExitCode::from(2)
    })
}
