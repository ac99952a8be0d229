//! TUN interface and routes, by the command `ip`.
//!
//! A routing table of its own contains the destinations of the PROTECT policies: by the TUN interface, and after it as
//! `unreachable`, for a TUN interface that was removed. A rule leads every packet to this table that does not have the
//! mark of the daemon, so that protected packets of the daemon do not return to the TUN interface.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::process::Command;

use ipsec_engine::{Action, PolicyDirection, PolicyParams};

use crate::config::{Backend, Config};
use crate::gif;

/// Word of `ip` for the MTU of an interface.
const MTU: &str = "mtu";
/// Metric of the routes by the TUN interface.
const TUN_METRIC: &str = "100";
/// Metric of the unreachable routes, which apply if the TUN interface is missing.
const UNREACHABLE_METRIC: &str = "200";

/// Creates the persistent TUN interface and the routes of the policies. Existing ones are not changed.
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

/// Removes the routes to destinations of former policies.
///
/// # Errors
/// The message of `ip`, or the reason why it was not started.
pub fn remove_former<'p>(config: &Config, policies: impl Iterator<Item = &'p PolicyParams>) -> Result<(), String> {
    let (wanted, table) = (destinations(config, policies)?, config.table.to_string());
    for family in ["-4", "-6"] {
        // Without routes, the table does not exist, which is an error.
        let Ok(routes) = ip_output(&[family, "route", "show", "table", &table]) else { continue };
        for (destination, metric) in routes.lines().filter_map(|line| shown_route(family, line)) {
            let is_own = [TUN_METRIC, UNREACHABLE_METRIC].contains(&metric.as_str());
            if is_own && !wanted.contains_key(&(family, destination.clone())) {
                ip(&[family, "route", "del", "table", &table, &destination, "metric", &metric])?;
            }
        }
    }
    Ok(())
}

/// Returns destination and metric of a line of `ip route show`. It shows no prefix length for one address, and
/// `default` for all.
fn shown_route(family: &str, line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let destination = if first == "unreachable" { words.next()? } else { first };
    let metric = words.skip_while(|word| *word != "metric").nth(1)?.to_owned();
    let full = match (destination, family) {
        ("default", "-4") => "0.0.0.0/0".to_owned(),
        ("default", _) => "::/0".to_owned(),
        (prefix, _) if prefix.contains('/') => prefix.to_owned(),
        (address, "-4") => format!("{address}/32"),
        (address, _) => format!("{address}/128"),
    };
    Some((full, metric))
}

/// Sets an address of the TUN interface, and makes it the source of packets of this host where a policy covers it.
///
/// # Errors
/// The message of `ip`, or the reason why it was not started.
pub fn add_address<'p>(
    config: &Config,
    address: IpAddr,
    policies: impl Iterator<Item = &'p PolicyParams>,
) -> Result<(), String> {
    for command in address_commands(config, address, policies)? {
        ip(&command.split(' ').collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Removes an address of the TUN interface that is none of the configuration. The routes remain.
///
/// # Errors
/// The message of `ip`, or the reason why it was not started.
pub fn remove_address(config: &Config, address: IpAddr) -> Result<(), String> {
    if config.tun.addresses.iter().any(|(own, _)| *own == address) {
        return Ok(());
    }
    ip(&["address", "del", &format!("{address}/{}", length_of(address)), "dev", &config.tun.name])
}

/// Returns the commands for an address that a server has assigned.
fn address_commands<'p>(
    config: &Config,
    address: IpAddr,
    policies: impl Iterator<Item = &'p PolicyParams>,
) -> Result<Vec<String>, String> {
    let (tun, table) = (&config.tun.name, config.table);
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    let mut commands = vec![format!("address replace {address}/{} dev {tun}{nodad}", length_of(address))];
    if config.backend == Backend::Pfkey {
        return Ok(commands); // the kernel routes the packets, and no rule leads to the table
    }
    let covering = policies.filter(|policy| policy.selector.source.contains(address));
    for (family, destination) in destinations(config, covering)?.into_keys() {
        let route = format!("{family} route replace table {table} {destination} dev {tun}");
        commands.push(format!("{route} metric {TUN_METRIC} src {address}"));
    }
    Ok(commands)
}

/// Returns the length of the prefix of one address.
const fn length_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
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
    let of_gifs =
        config.configuration.gifs.iter().flat_map(|gif| gif.inner.iter().map(|(own, _, length)| (*own, *length)));
    for (address, length) in config.tun.addresses.iter().copied().chain(of_gifs) {
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
        let is_outer = gif::is_outer(&config.configuration, selector);
        if *direction != PolicyDirection::Out || !matches!(action, Action::Protect(_)) || is_outer {
            continue;
        }
        let range = selector.destination;
        let length = range.prefix_length().ok_or(format!("destination {range} is not a prefix"))?;
        let family = if range.first().is_ipv4() { "-4" } else { "-6" };
        let source = own.iter().copied().find(|own| selector.source.contains(*own));
        let known = destinations.entry((family, format!("{}/{length}", range.first()))).or_default();
        *known = known.or(source);
    }
    for (range, source) in gif::destinations(&config.configuration) {
        let length = range.prefix_length().ok_or(format!("destination {range} is not a prefix"))?;
        let family = if range.first().is_ipv4() { "-4" } else { "-6" };
        destinations.entry((family, format!("{}/{length}", range.first()))).or_insert(source);
    }
    Ok(destinations)
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    ip_output(arguments).map(drop)
}

/// Runs `ip`, and returns its output.
fn ip_output(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|e| format!("command `ip`: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
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
    fn shown_routes_have_destination_and_metric() {
        let table = [
            ("-4", "10.2.0.0/16 dev ipsec0 metric 100 src 10.1.0.1", Some(("10.2.0.0/16", "100"))),
            ("-4", "unreachable 198.51.100.1 metric 200", Some(("198.51.100.1/32", "200"))),
            ("-4", "default dev ipsec0 scope link metric 100", Some(("0.0.0.0/0", "100"))),
            ("-6", "unreachable fd00:2::/64 dev lo metric 200 pref medium", Some(("fd00:2::/64", "200"))),
            ("-6", "fd00:2::1 dev ipsec0 metric 100 pref medium", Some(("fd00:2::1/128", "100"))),
            ("-4", "10.2.0.0/16 dev ipsec0", None),
            ("-4", "", None),
        ];
        for (family, line, expected) in table {
            let expected = expected.map(|(destination, metric)| (destination.to_owned(), metric.to_owned()));
            assert_eq!(shown_route(family, line), expected, "{line}");
        }
    }

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
        let config = crate::config::tests::config(config, "").unwrap();
        assert_eq!(commands(&config, policies).unwrap(), expected);
        // An address that a server has assigned: the first and the last policy cover it.
        let policies = engine.policies().map(|(_, policy)| policy);
        let expected = [
            "address replace 10.1.0.9/32 dev ipsec0",
            "-4 route replace table 9 10.2.0.0/16 dev ipsec0 metric 100 src 10.1.0.9",
        ];
        assert_eq!(address_commands(&config, IpAddr::from([10, 1, 0, 9]), policies).unwrap(), expected);
    }
}
