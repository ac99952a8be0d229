//! Command line of `ipsec-gatewayd`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ipsec_gateway::access::Access;
use ipsec_gateway::config::{Backend, Config};
use ipsec_gateway::host::missing_keys;
use ipsec_gateway::kernel::PfkeySocket;
use ipsec_gateway::key_exchange::KeyExchange;
use ipsec_gateway::log::LogOptions;
use ipsec_gateway::privileged::server::{Options, Server};
use ipsec_gateway::privileged::{Privileges, monitor, user, worker};
use ipsec_gateway::protection::{self, Firewall};
use ipsec_gateway::psk::PskFile;
use ipsec_gateway::{clock, daemon, demo, files, log, memory, policy};

/// Join networks over IPsec: IKEv1 and ESP in user space.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Configuration of the gateway. Option -f is the same, as for racoon.
    #[arg(short, long, short_alias = 'f', default_value = "/etc/ipsec-gateway/gateway.conf", value_name = "FILE")]
    config: PathBuf,
    /// Run in the foreground. The daemon always does; the option is there for the scripts of racoon.
    #[arg(short = 'F', long)]
    foreground: bool,
    /// Write debug lines: a line for each IKE message; twice, the counters that it changes as well.
    #[arg(short, long, action = clap::ArgAction::Count)]
    debug: u8,
    /// Write the log to standard error as well as to the file of -l, and the octets of IKE messages to debug lines.
    #[arg(short, long)]
    verbose: bool,
    /// Append the log to a file instead of standard error. SIGHUP opens it again.
    #[arg(short, long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print the effective configuration and its warnings, and exit.
    #[arg(long, conflicts_with = "export_keys")]
    check: bool,
    /// Run without the rules of nftables. Cleartext packets of protected networks are then accepted from the
    /// unprotected side, and leave when the routes are removed.
    #[arg(long, global = true)]
    without_firewall: bool,
    /// Write the keys of all SAs to the tables of Wireshark in this directory, for debugging.
    #[arg(long, value_name = "DIRECTORY")]
    export_keys: Option<PathBuf>,
    /// Join two network namespaces of this machine by two gateways, ping through the tunnel, and remove them. Root and
    /// the commands `ip`, `nft` and `ping` are required.
    #[arg(long, exclusive = true)]
    demo: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, PartialEq, Eq, Subcommand)]
enum Command {
    /// Run the daemon (default).
    Run,
    /// Install firewall rules, TUN interface and routes, which remain without the daemon.
    Protect,
    /// Remove firewall rules, TUN interface and routes: cleartext packets pass again.
    Unprotect,
    /// Run the daemon without privileges, for the process with privileges that has started it.
    #[command(hide = true, name = monitor::WORKER)]
    Worker,
}

/// Parses the arguments and runs the command.
pub fn run() -> ExitCode {
    match execute(Cli::parse()) {
        Ok(status) => status,
        Err(e) => {
            log::error(e);
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<ExitCode, String> {
    let command = cli.command.unwrap_or(Command::Run);
    if command == Command::Worker {
        return worker::run().map(|()| ExitCode::SUCCESS);
    }
    log::open(LogOptions { file: cli.log.clone(), debug: cli.debug, is_verbose: cli.verbose })?;
    if cli.demo {
        return demo::run().map(|()| ExitCode::SUCCESS);
    }
    if cli.check {
        return check(&cli.config).map(|()| ExitCode::SUCCESS);
    }
    // Before keys are read.
    memory::protect();
    let firewall = if cli.without_firewall { Firewall::Unused } else { Firewall::Required };
    if command == Command::Run {
        let options = Options { path: cli.config, firewall, export_keys: cli.export_keys };
        return run_daemon(Server::new(files::local(), options)?);
    }
    let mut config = Config::read(&*files::local(), &cli.config)?;
    // The policies protect. SAs are those of the daemon, which may run.
    config.configuration.sas.clear();
    let open = || PfkeySocket::open().map_err(|e| format!("PF_KEY socket: {e}"));
    match (command, config.backend) {
        (Command::Unprotect, Backend::Pfkey) => {
            let mut databases = policy::databases_for(&config, open)?;
            policy::load(&config, &mut databases, clock::now())?;
            policy::unload(&mut databases);
        }
        (Command::Unprotect, _) => protection::remove(&config, firewall)?,
        _ => {
            let mut engine = policy::databases_for(&config, open)?;
            policy::load(&config, &mut engine, clock::now())?;
            protection::install(&config, &engine.policies().collect::<Vec<_>>(), firewall)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the daemon: as two processes if this one is root, otherwise as one.
fn run_daemon(server: Server) -> Result<ExitCode, String> {
    if rustix::process::geteuid().is_root() {
        let ids = user::find(server.user())?;
        return monitor::run(server, ids);
    }
    daemon::run(Privileges::own(server)).map(|()| ExitCode::SUCCESS)
}

/// Prints the effective configuration. Warnings are log lines.
fn check(path: &Path) -> Result<(), String> {
    let files = files::local();
    let (config, loaded) = Config::from_files(&*files, path)?;
    let mut engine = policy::engine_for(&config.limits);
    let policies = policy::load(&config, &mut engine, clock::now())?;
    let mut keys = PskFile::read_optional(&files, config.keys.as_deref())?;
    print!("{}", config.configuration.describe(&loaded.sources));
    if let Some(missing) = missing_keys(&config, &mut keys).into_iter().next() {
        return Err(missing);
    }
    Access::read(&files, &KeyExchange::new(&*files, config, policies)?).map(drop)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_of_racoon_are_accepted() {
        Cli::command().debug_assert();
        let parsed = |arguments: &str| {
            Cli::try_parse_from(std::iter::once("ipsec-gatewayd").chain(arguments.split_whitespace())).unwrap()
        };
        let cli = parsed("-F -f /etc/a.conf -dd -v -l /var/log/gateway.log");
        assert_eq!((cli.foreground, cli.config, cli.debug), (true, PathBuf::from("/etc/a.conf"), 2));
        assert_eq!((cli.verbose, cli.log), (true, Some(PathBuf::from("/var/log/gateway.log"))));
        let cli = parsed("-c /etc/b.conf --without-firewall protect");
        assert_eq!((cli.config, cli.debug, cli.log), (PathBuf::from("/etc/b.conf"), 0, None));
    }
}
