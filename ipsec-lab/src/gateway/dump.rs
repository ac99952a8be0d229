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
///
/// Exit status: 0, 1 if there is nothing to show, or 2 if the file has errors.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Show the SAs without the policies.
    #[arg(short = 'D', conflicts_with = "policies")]
    sas: bool,
    /// Show the policies without the SAs.
    #[arg(short = 'P')]
    policies: bool,
}

/// Runs the command `dump`.
#[allow(clippy::disallowed_methods)] // the dump contains the current time
pub fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut host = Host::with_entropy();
    host.start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = Instant::ZERO;
    let config = args.config.read()?;
    config.load(&mut host, now, false)?;
    let (has_sas, has_policies) = (host.engine.sas().next().is_some(), host.engine.policies().next().is_some());
    if !args.policies {
        print_sas(&host, now);
    }
    if !args.sas {
        print_policies(&host.engine);
    }
    let (shown, nothing) = match (args.sas, args.policies) {
        (true, _) => (has_sas, "no SA"),
        (_, true) => (has_policies, "no policy"),
        _ => (has_sas || has_policies, "neither SA nor policy"),
    };
    if !shown {
        noteln!("ipsec-lab: {} has {nothing}", config.name());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
