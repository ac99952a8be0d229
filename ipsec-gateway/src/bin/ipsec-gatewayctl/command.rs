//! Command line of `ipsec-gatewayctl`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ipsec_gateway::control::protocol::{DEFAULT_SOCKET, PolicyEntry, Reply, Request, SaEntry};
use serde_json::{Value, json};

use super::connection::{Connection, Failure};
use super::{prometheus, text};

/// Control a running ipsec-gatewayd.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Control socket of the daemon.
    #[arg(short, long, default_value = DEFAULT_SOCKET, value_name = "PATH", global = true)]
    socket: PathBuf,
    /// Print JSON, one object or array on a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the peers with their ISAKMP SAs and the number of their policies that have SAs.
    Status,
    /// Show SAs and policies in the format of `setkey -D` and `setkey -DP`.
    Dump(Dump),
    /// Show the counters of packets and of key exchange.
    Counters {
        /// Print the text format of Prometheus, with gauges of the peers.
        #[arg(long, conflicts_with = "json")]
        prometheus: bool,
    },
    /// Negotiate SAs for the policies with a peer that have none.
    Initiate {
        /// Name of the peer.
        peer: String,
    },
    /// Delete all SAs with a peer, or those with an SPI, and notify the peer.
    Delete {
        /// Name of the peer, or SPI in decimal or, after 0x, hexadecimal digits.
        #[arg(value_name = "PEER|SPI")]
        what: String,
    },
    /// Negotiate new SAs for the policies that have some.
    Rekey {
        /// Name of a peer, or SPI; all peers if it is missing.
        #[arg(value_name = "PEER|SPI")]
        what: Option<String>,
    },
    /// Read the configuration again. Unchanged peers and policies keep their SAs.
    Reload,
    /// Print the keys of all SAs as tables of Wireshark. The configuration must have `export_keys on;`.
    ExportKeys,
    /// Print log lines as they are written, until the daemon ends.
    Watch,
    /// Statements of setkey(8) on the running gateway.
    Setkey(Setkey),
}

#[derive(Args)]
struct Dump {
    /// Show the SAs without the policies.
    #[arg(short = 'D', conflicts_with = "policies")]
    sas: bool,
    /// Show the policies without the SAs.
    #[arg(short = 'P')]
    policies: bool,
    /// Use the format of `ipsecctl -sa`.
    #[arg(long, conflicts_with_all = ["sas", "policies", "json"])]
    ipsecctl: bool,
    /// Show the keys of the SAs. The configuration must have `export_keys on;`.
    #[arg(long)]
    keys: bool,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("operation").required(true).args(["file", "standard_input", "dump", "flush"]))]
struct Setkey {
    /// Apply the statements of a file; `-` for standard input.
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Apply the statements of standard input.
    #[arg(short = 'c')]
    standard_input: bool,
    /// Show the SAs, or with -P the policies.
    #[arg(short = 'D')]
    dump: bool,
    /// Remove the SAs, or with -P the policies.
    #[arg(short = 'F')]
    flush: bool,
    /// Use the policies instead of the SAs with -D and -F.
    #[arg(short = 'P', conflicts_with_all = ["file", "standard_input"])]
    policies: bool,
}

/// Runs the command. The exit status is 1 if the daemon has refused the request, and 2 if it could not be reached.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let (status, errors) = match execute(&cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Refused(errors)) => (1, errors),
        Err(Failure::Connection(error)) => (2, vec![error]),
    };
    if cli.json {
        // The output of a request that was refused is JSON as well.
        let _ = print(&format!("{}\n", json!({ "error": errors })));
    } else {
        errors.iter().for_each(|error| eprintln!("ipsec-gatewayctl: {error}"));
    }
    ExitCode::from(status)
}

fn execute(cli: &Cli) -> Result<(), Failure> {
    // A file is read before the request is sent.
    let request = match &cli.command {
        Command::Setkey(setkey) => statements(setkey)?,
        Command::Initiate { peer } => Some(Request::Initiate { peer: peer.clone() }),
        Command::Delete { what } => Some(Request::Delete { what: what.clone() }),
        Command::Rekey { what } => Some(Request::Rekey { what: what.clone() }),
        Command::Reload => Some(Request::Reload),
        Command::ExportKeys => Some(Request::ExportKeys),
        Command::Status => Some(Request::Status),
        Command::Counters { .. } => Some(Request::Counters),
        Command::Dump(_) | Command::Watch => None,
    };
    let mut connection = Connection::open(&cli.socket)?;
    match (&cli.command, request) {
        (Command::Dump(dump), _) => show_databases(&mut connection, cli.json, dump),
        (Command::Setkey(setkey), None) => {
            let (sas, policies) = (!setkey.policies, setkey.policies);
            show_databases(&mut connection, cli.json, &Dump { sas, policies, ipsecctl: false, keys: false })
        }
        (Command::Counters { prometheus: true }, Some(request)) => {
            let (counters, status) = (connection.ask(&request)?, connection.ask(&Request::Status)?);
            match (counters, status) {
                (Reply::Counters(counters), Reply::Status(status)) => print(&prometheus::write(&counters, &status)),
                _ => Err(Failure::Connection("unexpected reply of the daemon".to_owned())),
            }
        }
        (_, Some(request)) => {
            let reply = connection.ask(&request)?;
            show(cli.json, &reply)
        }
        (_, None) => watch(&mut connection, cli.json),
    }
}

/// Returns the request for statements; `None` for a dump.
fn statements(setkey: &Setkey) -> Result<Option<Request>, Failure> {
    let mut text = String::new();
    let read = match &setkey.file {
        _ if setkey.dump => return Ok(None),
        _ if setkey.flush => {
            text.push_str(if setkey.policies { "spdflush;\n" } else { "flush;\n" });
            Ok(0)
        }
        Some(file) if file.as_os_str() != "-" => {
            fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
        }
        _ => io::stdin().read_to_string(&mut text),
    };
    let name = setkey.file.as_ref().map_or("standard input".into(), |file| file.to_string_lossy());
    read.map_err(|e| Failure::Connection(format!("{name}: {e}")))?;
    Ok(Some(Request::Setkey { text }))
}

fn show_databases(connection: &mut Connection, is_json: bool, dump: &Dump) -> Result<(), Failure> {
    let (mut sas, mut policies): (Option<Vec<SaEntry>>, Option<Vec<PolicyEntry>>) = (None, None);
    if !dump.policies {
        let request = |from| Request::Sas { from, keys: dump.keys };
        sas = Some(connection.list(request, |reply| if let Reply::Sas(page) = reply { Some(page) } else { None })?);
    }
    if !dump.sas {
        let request = |from| Request::Policies { from };
        policies =
            Some(connection.list(request, |reply| if let Reply::Policies(page) = reply { Some(page) } else { None })?);
    }
    if dump.ipsecctl {
        return print(&text::ipsecctl(&sas.unwrap_or_default(), &policies.unwrap_or_default()));
    }
    if is_json {
        // The text has the keys.
        if let Some(sas) = sas.as_mut().filter(|_| !dump.keys) {
            sas.iter_mut().for_each(|sa| sa.text.clear());
        }
        policies.iter_mut().flatten().for_each(|policy| policy.text.clear());
        let (sas, policies) = (sas.map(|sas| json!(sas)), policies.map(|policies| json!(policies)));
        let object = [("sas", sas), ("policies", policies)].into_iter();
        let object: serde_json::Map<_, _> =
            object.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        return print(&format!("{}\n", Value::Object(object)));
    }
    let mut texts = String::new();
    if let Some(sas) = sas {
        texts += &text::entries(sas.iter().map(|sa| sa.text.as_str()), "No SAD entries.");
    }
    if let Some(policies) = policies {
        texts += &text::entries(policies.iter().map(|policy| policy.text.as_str()), "No SPD entries.");
    }
    print(&texts)
}

fn show(is_json: bool, reply: &Reply) -> Result<(), Failure> {
    if is_json {
        // The name of the reply is that of the request.
        let value = match reply {
            Reply::Done(lines) => json!({ "done": lines }),
            Reply::Status(status) => json!(status),
            Reply::Counters(counters) => json!(counters),
            Reply::Keys(rows) => json!(rows),
            Reply::Setkey(output) => json!(output),
            other => json!(other),
        };
        return print(&format!("{value}\n"));
    }
    if let Reply::Setkey(output) = reply {
        output.warnings.iter().for_each(|warning| eprintln!("ipsec-gatewayctl: warning: {warning}"));
    }
    print(&text::reply(reply))
}

fn watch(connection: &mut Connection, is_json: bool) -> Result<(), Failure> {
    connection.send(&Request::Watch)?;
    while let Some(reply) = connection.receive()? {
        let Reply::Event(event) = reply else { continue };
        if is_json {
            print(&format!("{}\n", json!(event)))?;
        } else {
            print(&format!("{}: {}: {}\n", event.time, event.level, event.text))?;
        }
    }
    Ok(())
}

/// Prints a text. A reader that has ended is not an error.
fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Connection(format!("standard output: {e}"))),
        Err(_) => std::process::exit(0),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(arguments: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("ipsec-gatewayctl").chain(arguments.split_whitespace()))
    }

    #[test]
    fn command_line_is_that_of_setkey() {
        Cli::command().debug_assert();
        let operation = |arguments: &str| match parsed(arguments).map(|cli| cli.command) {
            Ok(Command::Setkey(setkey)) => statements(&setkey).ok().flatten(),
            _ => panic!("{arguments}"),
        };
        assert_eq!(operation("setkey -F"), Some(Request::Setkey { text: "flush;\n".to_owned() }));
        assert_eq!(operation("setkey -FP"), Some(Request::Setkey { text: "spdflush;\n".to_owned() }));
        assert_eq!(operation("setkey -D"), None);
        assert_eq!(operation("setkey -DP"), None);
        for arguments in ["setkey", "setkey -P", "setkey -D -F", "setkey -c -P", "delete", "initiate", "dump -D -P"] {
            assert!(parsed(arguments).is_err(), "{arguments}");
        }
        assert!(parsed("counters --prometheus --json").is_err());
        assert!(parsed("rekey --json -s /run/other.sock").is_ok_and(|cli| cli.json));
    }
}
