//! `ipsec-lab dump`: the SAs and policies of a file in the format of setkey(8).

use std::error::Error;
use std::process::ExitCode;
use std::time::SystemTime;

use ipsec_packet::Instant;

use super::config::{print_policies, print_sas};
use super::{ConfigArgs, Host};

/// Show the SAs and policies of a setkey.conf file like `setkey -D` and `setkey -DP`.
///
/// Keys are not shown. Below each SA, `direction` is the direction in which the policies of the file use it.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Show SAs only
    #[arg(short = 'D', conflicts_with = "policies")]
    sas: bool,
    /// Show policies only
    #[arg(short = 'P')]
    policies: bool,
}

/// Runs the command.
#[allow(clippy::disallowed_methods)] // the dump contains the current time
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut host = Host::with_entropy();
    host.start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = Instant::ZERO;
    args.config.read()?.load(&mut host, now, false)?;
    if !args.policies {
        print_sas(&host, now);
    }
    if !args.sas {
        print_policies(&host.engine);
    }
    Ok(ExitCode::SUCCESS)
}
