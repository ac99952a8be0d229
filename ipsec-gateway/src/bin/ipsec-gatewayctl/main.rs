//! Control of a running `ipsec-gatewayd`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod command;
#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod prometheus;
#[cfg(target_os = "linux")]
mod text;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    command::run()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("ipsec-gatewayctl: Linux is required");
    ExitCode::from(2)
}
