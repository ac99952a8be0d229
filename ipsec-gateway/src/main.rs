//! Program `ipsec-gatewayd`, the security gateway.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod command;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    command::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("ipsec-gatewayd: Linux is required");
    ExitCode::from(2)
}
