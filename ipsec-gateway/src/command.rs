//! Command line of `ipsec-gatewayd`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ike_codec::ProtocolId;
use ike_v1::{Phase2Suite, hash_number};
use ipsec_gateway::access::Access;
use ipsec_gateway::config::{Config, PeerConfig};
use ipsec_gateway::daemon::{self, Options};
use ipsec_gateway::host::{KeyExchange, pre_shared_key, show};
use ipsec_gateway::protection::{self, Firewall};
use ipsec_gateway::psk::PskFile;
use ipsec_gateway::{clock, log, policy};

/// Join networks over IPsec: IKEv1 and ESP in user space.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Configuration of the gateway.
    #[arg(short, long, default_value = "/etc/ipsec-gateway/gateway.conf", value_name = "FILE")]
    config: PathBuf,
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
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Run the daemon (default).
    Run,
    /// Install firewall rules, TUN interface and routes, which remain without the daemon.
    Protect,
    /// Remove firewall rules, TUN interface and routes: cleartext packets pass again.
    Unprotect,
}

/// Runs the command.
pub fn run() -> ExitCode {
    match execute(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log::error(e);
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<(), String> {
    let config = Config::read(&cli.config)?;
    let firewall = if cli.without_firewall { Firewall::Unused } else { Firewall::Required };
    if cli.check {
        return check(config);
    }
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => daemon::run(config, &Options { firewall, export_keys: cli.export_keys }),
        Command::Protect => {
            let mut engine = policy::new_engine();
            policy::load(&config, &mut engine, clock::now())?;
            protection::install(&config, &engine, firewall)
        }
        Command::Unprotect => protection::remove(&config, firewall),
    }
}

/// Prints the effective configuration. Warnings are log lines.
fn check(config: Config) -> Result<(), String> {
    let mut engine = policy::new_engine();
    let policies = policy::load(&config, &mut engine, clock::now())?;
    let mut keys = PskFile::read(&config.keys)?;
    Access::read(&config)?;
    let exchange = KeyExchange::new(config, policies)?;
    for peer in &exchange.config.peers {
        print_peer(peer);
        if peer.needs_key() && pre_shared_key(&mut keys, peer, None).is_none() {
            return Err(format!("peer {}: {} contains no key for it", peer.name, exchange.config.keys.display()));
        }
        if peer.login.as_deref().is_some_and(|login| keys.named(login).is_none()) {
            let file = exchange.config.keys.display();
            return Err(format!("peer {}: {file} contains no password for its `xauth_login`", peer.name));
        }
    }
    for policy in &exchange.policies {
        let peer = exchange.config.peers.get(policy.peer).map_or("", |peer| &peer.name);
        let templates: Vec<_> =
            policy.templates.iter().map(|template| format!("{} {}", template.protocol, template.mode)).collect();
        let (id, selector, templates) = (policy.id, policy::show(&policy.selector), templates.join(", "));
        println!("policy {id}: {selector}, {templates}, peer {peer}");
    }
    Ok(())
}

fn print_peer(peer: &PeerConfig) {
    let address = peer.address.map_or("any".to_owned(), show);
    let check = format!("{:?}", peer.check).to_lowercase();
    println!("peer {} address {address}, check {check}", peer.name);
    let exchanges: Vec<_> = peer.exchanges.iter().map(ToString::to_string).collect();
    let nat_traversal = format!("{:?}", peer.nat_traversal).to_lowercase();
    println!("\t{}, NAT traversal {nat_traversal}", exchanges.join(", "));
    if let Some(warning) = peer.weakness() {
        log::warning(format_args!("peer {}: {warning}", peer.name));
    }
    let detection = peer.dead_peer_detection;
    if !detection.delay.is_zero() {
        let (delay, retry) = (detection.delay.as_secs(), detection.retry.as_secs());
        println!("\tdead peer detection after {delay} s, {} times every {retry} s", detection.max_failures);
    }
    for proposal in &peer.proposals {
        let (cipher, bits, group) = (proposal.cipher, proposal.cipher_key * 8, proposal.group);
        let hash = hash_number(proposal.hash).map(|hash| hash.to_string()).unwrap_or_default();
        let (method, seconds) = (proposal.auth_method, proposal.lifetimes.seconds.unwrap_or_default());
        println!("\tproposal {cipher} {bits}, {hash}, {group}, {method}, {seconds} s");
    }
    for transform in &peer.transforms {
        let algorithms = match transform.suite {
            Phase2Suite::Keyed { integrity, .. } if transform.protocol == ProtocolId::AH => format!("ah {integrity}"),
            Phase2Suite::Keyed { cipher, cipher_key, integrity, .. } => {
                format!("esp {cipher} {}, {integrity}", cipher_key * 8)
            }
            Phase2Suite::Compression(algorithm) => format!("ipcomp {algorithm}"),
            _ => continue,
        };
        let seconds = transform.lifetimes.seconds.unwrap_or_default();
        let pfs = transform.group.map(|group| format!(", pfs {group}")).unwrap_or_default();
        println!("\t{algorithms}, {seconds} s{pfs}");
    }
}
