//! Rules of nftables that drop cleartext packets which a PROTECT policy covers, or which are those of a gif tunnel.
//!
//! The engine does not see packets that the kernel forwards. The table therefore repeats the SPD: where the policy of a
//! packet is PROTECT, the packet passes only through the TUN interface. The table is not owned by the process of the
//! daemon: it exists before the daemon starts, and after it has ended.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use ipsec_engine::{Action, PolicyDirection, PolicyId, PolicyParams};
use ipsec_packet::{AddressRange, IpProto, PortRange, Selector, Upper};

use crate::config::{Config, NAT_TRAVERSAL_PORT};
use crate::gif;

/// Name of the table.
const TABLE: &str = "ipsec_gatewayd";

/// Replaces the rules in one step.
///
/// # Errors
/// The message of `nft`, or the reason why it was not started.
pub fn install(rules: &str) -> Result<(), String> {
    nft(rules)
}

/// Removes the rules, if there are any.
///
/// # Errors
/// The message of `nft`.
pub fn remove() -> Result<(), String> {
    // The first command creates the table if it is missing, so that the second one cannot fail for that reason.
    nft(&format!("table inet {TABLE}\ndelete table inet {TABLE}\n"))
}

fn nft(script: &str) -> Result<(), String> {
    let run = || -> io::Result<std::process::Output> {
        let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "the command `nft` is missing: without its rules, cleartext packets pass when the \
            daemon does not run; install nftables, or accept this with --without-firewall"
            .to_owned(),
        _ => format!("nft: {e}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(format!("nft: {}", message.lines().next().unwrap_or("no message")))
}

/// Returns the script that replaces the table by the rules for these policies, which are in the order of the SPD.
pub fn rules<'p>(config: &Config, policies: impl Iterator<Item = (PolicyId, &'p PolicyParams)> + Clone) -> String {
    let mut text = format!("table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
    let tun = &config.tun.name;
    let arrival = arrival_rules(config, policies.clone());
    // Connection tracking and address translation follow `prerouting`, and change addresses. The rules are therefore
    // applied to the addresses before them and, in the other two hooks, to those after them.
    for (name, hook) in [
        ("enter", "prerouting priority raw"),
        ("forward", "forward priority filter"),
        ("input", "input priority filter"),
    ] {
        text += &format!("\tchain {name} {{\n\t\ttype filter hook {hook}; policy accept;\n{arrival}\t}}\n");
    }
    text += "\tchain leave {\n\t\ttype filter hook postrouting priority raw; policy accept;\n";
    text += &format!("\t\toifname \"{tun}\" accept\n\t\tmeta mark {} accept\n", config.mark);
    text += &gif_rules(config, ["oifname", "daddr"]);
    for (id, policy) in policies.filter(|(_, policy)| policy.direction == PolicyDirection::Out) {
        add_rules(&mut text, "", id, policy);
    }
    text += "\t}\n}\n";
    text
}

/// Returns the rules for packets that arrive: those of the TUN interface and of the sockets of the daemon are accepted.
fn arrival_rules<'p>(config: &Config, policies: impl Iterator<Item = (PolicyId, &'p PolicyParams)>) -> String {
    let mut text = format!("\t\tiifname \"{}\" accept\n", config.tun.name);
    for local in &config.locals {
        let (ip, address) = (if local.is_ipv4() { "ip" } else { "ip6" }, local.ip());
        text += &format!("\t\t{ip} daddr {address} udp dport {{ {}, {NAT_TRAVERSAL_PORT} }} accept\n", local.port());
        text += &format!("\t\t{ip} daddr {address} meta l4proto {{ esp, ah, comp }} accept\n");
    }
    text += &gif_rules(config, ["iifname", "saddr"]);
    for (id, policy) in policies {
        match policy.direction {
            PolicyDirection::In | PolicyDirection::Forward => add_rules(&mut text, "", id, policy),
            // A packet with the addresses of this side does not come from the unprotected side.
            PolicyDirection::Out => {
                for wan in config.wan.iter().filter(|_| matches!(policy.action, Action::Protect(_))) {
                    add_rules(&mut text, &format!("iifname \"{wan}\" "), id, policy);
                }
            }
        }
    }
    text
}

/// Returns the rules for packets of the networks behind IP-in-IP tunnels. Their policies are for the outer packets; the
/// packets themselves pass through the TUN interface only.
fn gif_rules(config: &Config, [interface, address]: [&str; 2]) -> String {
    let mut text = String::new();
    for (network, _) in gif::destinations(&config.configuration) {
        let ip = if network.first().is_ipv4() { "ip" } else { "ip6" };
        for wan in &config.wan {
            // Writing to a string does not fail.
            let condition = format!("{interface} \"{wan}\" {ip} {address} {}", show(network));
            let _ = writeln!(text, "\t\t{condition} counter drop comment \"network of a gif interface\"");
        }
    }
    text
}

/// Adds the rules of a policy. `interface` is a condition before its selector.
fn add_rules(text: &mut String, interface: &str, id: PolicyId, policy: &PolicyParams) {
    let Selector { source, destination, upper } = policy.selector;
    let ip = if source.first().is_ipv4() { "ip" } else { "ip6" };
    let addresses = format!("{interface}{ip} saddr {} {ip} daddr {}", show(source), show(destination));
    let verdict = match policy.action {
        Action::Bypass => "accept",
        Action::Discard | Action::Protect(_) => "counter drop",
    };
    // Writing to a string does not fail.
    let mut rule = |condition: &str| {
        let _ = writeln!(text, "\t\t{addresses}{condition} {verdict} comment \"policy {id}\"");
    };
    // A later fragment has neither ports nor types. It is dropped where a policy for some of them may protect it.
    if verdict != "accept" && !matches!(upper, Upper::Any) {
        rule(if ip == "ip" { " ip frag-off & 0x1fff != 0" } else { " frag frag-off != 0" });
    }
    rule(&upper_condition(upper));
}

fn upper_condition(upper: Upper) -> String {
    let ports = |from: PortRange, to: PortRange| {
        let one = |name: &str, range: PortRange| match range {
            PortRange::ANY => String::new(),
            PortRange { first, last } => format!(" th {name} {first}-{last}"),
        };
        one("sport", from) + &one("dport", to)
    };
    match upper {
        Upper::Any => String::new(),
        Upper::Protocol(protocol) => format!(" meta l4proto {}", protocol.0),
        Upper::Ports(Some(protocol), from, to) => format!(" meta l4proto {}{}", protocol.0, ports(from, to)),
        Upper::Ports(None, from, to) => {
            format!(" meta l4proto {{ tcp, udp, udplite, sctp, dccp }}{}", ports(from, to))
        }
        Upper::Icmp(protocol, kind, code) => {
            let name = if protocol == IpProto::ICMP { "icmp" } else { "icmpv6" };
            let code = code.map(|code| format!(" {name} code {code}")).unwrap_or_default();
            format!(" {name} type {kind}{code}")
        }
    }
}

/// Returns a range of addresses in the syntax of nftables.
fn show(range: AddressRange) -> String {
    match range.prefix_length() {
        Some(length) => format!("{}/{length}", range.first()),
        None => format!("{}-{}", range.first(), range.last()),
    }
}

#[cfg(test)]
mod tests;
