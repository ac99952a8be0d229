//! `ipsec-lab dump`: the databases that a file makes, as setkey(8) shows those of a kernel.

use std::error::Error;
use std::process::ExitCode;
use std::time::SystemTime;

use super::config::{print_policies, print_sas};
use super::{ConfigArgs, Host};

/// Show the SAs and policies that a setkey.conf file makes, as `setkey -D` and `setkey -DP` do.
///
/// Keys are not shown. Below each SA, `direction` says whether it seals or opens: by the policies of the file that it serves.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only the SAs.
    #[arg(short = 'D', conflicts_with = "policies")]
    sas: bool,
    /// Only the policies.
    #[arg(short = 'P')]
    policies: bool,
}

/// Runs the command.
#[allow(clippy::disallowed_methods)] // the dump says when it was made
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut host = Host::with_entropy();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    args.config.read()?.load(&mut host, now, false)?;
    if !args.policies {
        print_sas(&host, now, |_| true);
    }
    if !args.sas {
        print_policies(&host);
    }
    Ok(ExitCode::SUCCESS)
}
