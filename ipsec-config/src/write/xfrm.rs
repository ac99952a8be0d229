//! Writer of the commands of ip-xfrm(8).

use std::fmt::Write;
use std::format;
use std::string::{String, ToString};

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{PortRange, SeqWidth, Upper};
use ipsec_sa::{Action, Direction, Level, Mode, PolicyDirection, PolicyParams, Priority, SaParams, TransformParams};

use super::{Hex, Lost};
use crate::Configuration;
use crate::xfrm::{AUTH, CIPHERS};

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    configuration.note_key_exchange(lost);
    let mut text = String::new();
    for sa in &configuration.sas {
        if let Some(command) = state(&sa.params, lost) {
            let _ = writeln!(text, "ip xfrm state add {command}");
        }
    }
    for policy in &configuration.policies {
        for direction in directions(policy.params.direction) {
            let _ = writeln!(text, "ip xfrm policy add {}", policy_text(&policy.params, direction, lost));
        }
    }
    text
}

/// Returns the directions of a policy: on Linux, packets for other hosts have one of their own.
fn directions(direction: PolicyDirection) -> impl Iterator<Item = &'static str> {
    let (first, second) = match direction {
        PolicyDirection::Out => ("out", None),
        PolicyDirection::Forward => ("fwd", None),
        PolicyDirection::In => ("in", Some("fwd")),
    };
    [first].into_iter().chain(second)
}

fn policy_text(policy: &PolicyParams, direction: &str, lost: &mut Lost) -> String {
    let selector = &policy.selector;
    let network = |range: &ipsec_packet::AddressRange, lost: &mut Lost| {
        if range.prefix_length().is_none() {
            lost.note("address ranges that are not prefixes: only the first address is written");
        }
        format!("{}/{}", range.first(), range.prefix_length().unwrap_or(if range.first().is_ipv4() { 32 } else { 128 }))
    };
    let mut text = format!("src {} dst {}", network(&selector.source, lost), network(&selector.destination, lost));
    match selector.upper {
        Upper::Any => {}
        Upper::Protocol(protocol) => _ = write!(text, " proto {}", protocol.0),
        Upper::Icmp(protocol, kind, code) => {
            let _ = write!(text, " proto {} type {kind}", protocol.0);
            if let Some(code) = code {
                let _ = write!(text, " code {code}");
            }
        }
        Upper::Ports(protocol, source, destination) => {
            match protocol {
                Some(protocol) => _ = write!(text, " proto {}", protocol.0),
                None => lost.note("ports without a protocol: ip-xfrm(8) needs one"),
            }
            for (name, ports) in [("sport", source), ("dport", destination)] {
                if ports != PortRange::ANY {
                    if ports.first != ports.last {
                        lost.note("port ranges: only the first port is written");
                    }
                    let _ = write!(text, " {name} {}", ports.first);
                }
            }
        }
    }
    let _ = write!(text, " dir {direction}");
    if policy.priority != Priority::DEFAULT {
        let _ = write!(text, " priority {}", policy.priority.0);
    }
    match policy.action {
        Action::Discard => text.push_str(" action block"),
        Action::Bypass => {}
        Action::Protect(bundle) => {
            for template in bundle.iter() {
                let ends = template.ends;
                let end =
                    |address: Option<std::net::IpAddr>| address.map_or("0.0.0.0".to_string(), |own| own.to_string());
                let (source, destination) = match template.mode {
                    Mode::Transport => ("0.0.0.0".to_string(), "0.0.0.0".to_string()),
                    _ => (end(ends.and_then(|ends| ends.source.0)), end(ends.and_then(|ends| ends.destination.0))),
                };
                let protocol =
                    if template.protocol == ipsec_sa::Protocol::Ipcomp { "comp" } else { template.protocol.name() };
                let reqid = match template.level {
                    Level::UniqueId(id) => format!(" reqid {id}"),
                    _ => String::new(),
                };
                let level = if template.level == Level::Use { " level use" } else { "" };
                let _ = write!(
                    text,
                    " tmpl src {source} dst {destination} proto {protocol}{reqid} mode {}{level}",
                    template.mode
                );
            }
        }
    }
    text
}

fn state(sa: &SaParams, lost: &mut Lost) -> Option<String> {
    let protocol = if sa.id.protocol == ipsec_sa::Protocol::Ipcomp { "comp" } else { sa.id.protocol.name() };
    let mut text = format!("src {} dst {} proto {protocol} spi {:#x}", sa.source, sa.id.destination, sa.managed_spi());
    if sa.reqid != 0 {
        let _ = write!(text, " reqid {}", sa.reqid);
    }
    let mode = if sa.mode == Mode::Any { Mode::Transport } else { sa.mode };
    if sa.mode == Mode::Any {
        lost.note("SAs without a mode: transport is written");
    }
    let _ = write!(text, " mode {mode}");
    if sa.sequence == SeqWidth::Extended64 {
        text.push_str(" flag esn");
    }
    if sa.id.direction == Direction::Inbound {
        text.push_str(" replay-window 32");
    }
    match &sa.transform {
        TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
            if keys.integrity != IntegrityAlgorithm::None {
                let _ = write!(text, " {}", auth(keys.integrity, keys.integrity_key.expose(), lost)?);
            }
            let row = CIPHERS.iter().find(|row| row.1 == keys.cipher);
            let Some((name, _, icv)) = row else {
                lost.note("ciphers without a name in ip-xfrm(8): the SA is left out");
                return None;
            };
            let octets = keys.cipher_key.expose();
            let _ = match icv {
                Some(bits) => write!(text, " aead '{name}' {} {bits}", Hex(octets)),
                None if keys.cipher == CipherAlgorithm::Null => write!(text, " enc '{name}' ''"),
                None => write!(text, " enc '{name}' {}", Hex(octets)),
            };
        }
        TransformParams::Ah { integrity, key } => {
            let _ = write!(text, " {}", auth(*integrity, key.expose(), lost)?);
        }
        TransformParams::Ipcomp { .. } => text.push_str(" comp deflate"),
    }
    if let Some(encap) = sa.encap {
        let (source, destination) = (encap.ports.source, encap.ports.destination);
        let _ = write!(text, " encap espinudp {source} {destination} 0.0.0.0");
    }
    for (name, limit) in [("soft", &sa.lifetimes.soft), ("hard", &sa.lifetimes.hard)] {
        if let Some(age) = limit.age {
            let _ = write!(text, " limit time-{name} {}", age.as_secs());
        }
        if let Some(octets) = limit.octets {
            let _ = write!(text, " limit byte-{name} {octets}");
        }
    }
    Some(text)
}

fn auth(integrity: IntegrityAlgorithm, key: &[u8], lost: &mut Lost) -> Option<String> {
    let row = AUTH.iter().find(|row| row.1 == integrity);
    if row.is_none() {
        lost.note("integrity algorithms without a name in ip-xfrm(8): the SA is left out");
    }
    row.map(|(name, _, bits)| format!("auth-trunc '{name}' {} {bits}", Hex(key)))
}
