//! TUN interface and routes, by the command `ip`.
//!
//! A routing table of its own contains the destinations of the PROTECT policies: by the TUN interface, and behind it as
//! `unreachable`, for a TUN interface that was removed. A rule leads every packet to this table that does not have the
//! mark of the daemon, so that protected packets of the daemon do not return to the TUN interface.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::process::Command;

use ipsec_engine::{Action, PolicyDirection, PolicyParams};

use crate::config::Config;

/// Word of `ip` for the MTU of an interface.
const MTU: &str = "mtu";
/// Metric of the routes by the TUN interface.
const TUN_METRIC: &str = "100";
/// Metric of the routes behind them.
const UNREACHABLE_METRIC: &str = "200";

/// Creates the persistent TUN interface and the routes of the policies. What exists already is not changed.
///
/// # Errors
/// The message of `ip`, or the reason why it was not started.
pub fn install<'p>(config: &Config, policies: impl Iterator<Item = &'p PolicyParams>) -> Result<(), String> {
    let tun = &config.tun.name;
    if !fs::exists(format!("/sys/class/net/{tun}")).unwrap_or(false) {
        ip(&["tuntap", "add", "dev", tun, "mode", "tun"])?;
    } else if !fs::exists(format!("/sys/class/net/{tun}/tun_flags")).unwrap_or(false) {
        return Err(format!("interface {tun} is not a TUN interface"));
    }
    for command in commands(config, policies)? {
        let arguments: Vec<_> = command.split(' ').collect();
        match (ip(&arguments), arguments.as_slice()) {
            // A rule that exists already.
            (Err(e), [_, "rule", ..]) if e.contains("File exists") => {}
            // At boot, the source address may not exist yet; the daemon sets it later.
            (Err(_), [route @ .., "src", _]) => ip(route)?,
            (done, _) => done?,
        }
    }
    Ok(())
}

/// Removes the routes and the TUN interface. Parts that are missing are skipped.
///
/// # Errors
/// The reason why `ip` was not started.
pub fn remove(config: &Config) -> Result<(), String> {
    let table = config.table.to_string();
    for family in ["-4", "-6"] {
        let _ = ip(&[family, "rule", "del", "pref", &table, "lookup", &table]);
        let _ = ip(&[family, "route", "flush", "table", &table]);
    }
    match fs::exists(format!("/sys/class/net/{}/tun_flags", config.tun.name)) {
        Ok(true) => ip(&["link", "del", "dev", &config.tun.name]),
        _ => Ok(()),
    }
}

/// Returns the commands of `ip` for the addresses of the TUN interface and the routes of the policies.
fn commands<'p>(config: &Config, policies: impl Iterator<Item = &'p PolicyParams>) -> Result<Vec<String>, String> {
    let (tun, table, mark) = (&config.tun.name, config.table, config.mark);
    // Without a link-local address the kernel sends no router solicitations.
    let mut commands =
        vec![format!("link set dev {tun} addrgenmode none"), format!("link set dev {tun} {MTU} {} up", config.tun.mtu)];
    for (address, length) in &config.tun.addresses {
        // There is no other host on the link whose address could be a duplicate.
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        commands.push(format!("address replace {address}/{length} dev {tun}{nodad}"));
    }
    let destinations = destinations(config, policies)?;
    for ((family, destination), source) in &destinations {
        let route = format!("{family} route replace table {table}");
        let source = source.map(|source| format!(" src {source}")).unwrap_or_default();
        commands.push(format!("{route} unreachable {destination} metric {UNREACHABLE_METRIC}"));
        commands.push(format!("{route} {destination} dev {tun} metric {TUN_METRIC}{source}"));
    }
    for family in destinations.keys().map(|(family, _)| *family).collect::<BTreeSet<_>>() {
        commands.push(format!("{family} rule add pref {table} not fwmark {mark:#x} lookup {table}"));
    }
    Ok(commands)
}

/// Destinations with the option of `ip` for their family, and the source addresses of packets of this host.
type Destinations = BTreeMap<(&'static str, String), Option<IpAddr>>;

/// Returns the destinations of the PROTECT policies for packets that leave. The source address is one that the first
/// policy for the destination covers.
fn destinations<'p>(config: &Config, policies: impl Iterator<Item = &'p PolicyParams>) -> Result<Destinations, String> {
    let own: Vec<_> =
        config.local_addresses().into_iter().chain(config.tun.addresses.iter().map(|own| own.0)).collect();
    let mut destinations = Destinations::new();
    for PolicyParams { selector, direction, action, .. } in policies {
        if *direction != PolicyDirection::Out || !matches!(action, Action::Protect(_)) {
            continue;
        }
        let range = selector.destination;
        let length = range.prefix_length().ok_or(format!("destination {range} is not a prefix"))?;
        let family = if range.first().is_ipv4() { "-4" } else { "-6" };
        let source = own.iter().copied().find(|own| selector.source.contains(*own));
        let known = destinations.entry((family, format!("{}/{length}", range.first()))).or_default();
        *known = known.or(source);
    }
    Ok(destinations)
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|e| format!("command `ip`: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {}: {}", arguments.join(" "), message.lines().next().unwrap_or("no message")))
}

#[cfg(test)]
mod tests {
    use ipsec_packet::Instant;

    use super::*;
    use crate::policy::new_engine;

    #[test]
    fn each_protected_destination_has_two_routes() {
        let config = "policies \"p\"; keys \"k\"; local 192.0.2.1; tun ipsec0 mtu 1300 address 10.1.0.1/32
            address fd00:1::1/128; mark 16; table 9;";
        let text = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
            spdadd 10.1.0.0/16 10.2.0.0/16 tcp -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
            spdadd 192.0.2.1 198.51.100.1 any -P out ipsec esp/transport//require;
            spdadd 10.1.0.0/16 10.3.0.0/16 any -P out none;
            spdadd 10.2.0.0/16 10.1.0.0/16 any -P in ipsec esp/tunnel/198.51.100.1-192.0.2.1/require;";
        let mut engine = new_engine();
        ipsec_config::setkey::apply(&mut *engine, text.as_bytes(), &[], Instant::ZERO).unwrap();
        let policies = engine.policies().map(|(_, policy)| policy);
        let expected = [
            "link set dev ipsec0 addrgenmode none",
            &format!("link set dev ipsec0 {MTU} 1300 up"),
            "address replace 10.1.0.1/32 dev ipsec0",
            "address replace fd00:1::1/128 dev ipsec0 nodad",
            "-4 route replace table 9 unreachable 10.2.0.0/16 metric 200",
            "-4 route replace table 9 10.2.0.0/16 dev ipsec0 metric 100 src 10.1.0.1",
            "-4 route replace table 9 unreachable 198.51.100.1/32 metric 200",
            "-4 route replace table 9 198.51.100.1/32 dev ipsec0 metric 100 src 192.0.2.1",
            "-4 rule add pref 9 not fwmark 0x10 lookup 9",
        ];
        assert_eq!(commands(&Config::parse(config).unwrap(), policies).unwrap(), expected);
    }
}
