//! Writer of the statements of setkey(8).

use std::fmt::Write;
use std::format;
use std::string::{String, ToString};

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{PortRange, SeqWidth, Upper};
use ipsec_sa::{Action, Mode, PolicyParams, Priority, SaParams, TransformParams};

use super::{Hex, Lost};
use crate::Configuration;
use crate::describe::selector_text;
use crate::setkey::{cipher_name, mac_name};

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    configuration.note_key_exchange(lost);
    let mut text = String::from("flush;\nspdflush;\n");
    for sa in &configuration.sas {
        if let Some(statement) = add(&sa.params, lost) {
            let _ = writeln!(text, "{statement};");
        }
    }
    for policy in &configuration.policies {
        let _ = writeln!(text, "{};", spdadd(&policy.params, lost));
    }
    text
}

/// Returns a statement `spdadd` without its `;`.
fn spdadd(policy: &PolicyParams, lost: &mut Lost) -> String {
    if let Upper::Ports(_, source, destination) = policy.selector.upper
        && [source, destination].iter().any(|ports| *ports != PortRange::ANY && ports.first != ports.last)
    {
        lost.note("port ranges: setkey(8) has one port");
    }
    if policy.selector.source.prefix_length().is_none() || policy.selector.destination.prefix_length().is_none() {
        lost.note("address ranges that are not prefixes");
    }
    if let Action::Protect(bundle) = policy.action
        && bundle.iter().any(|template| template.mode != Mode::Transport && template.ends.is_none())
    {
        lost.note("tunnels without endpoints: setkey(8) needs at least one address");
    }
    let priority = match policy.priority {
        Priority::DEFAULT => String::new(),
        Priority(value) => {
            let offset = i64::from(Priority::DEFAULT.0).saturating_sub(i64::from(value));
            format!(" priority {offset}")
        }
    };
    format!("spdadd {} -P {}{priority} {}", selector_text(&policy.selector), policy.direction, policy.action)
}

/// Returns a statement `add` without its `;`.
fn add(sa: &SaParams, lost: &mut Lost) -> Option<String> {
    let mut text = match sa.encap {
        Some(encap) => {
            let ports = encap.ports;
            let (source, destination) = (sa.source, sa.id.destination);
            format!("add {source}[{}] {destination}[{}] esp-udp {:#x}", ports.source, ports.destination, sa.id.spi)
        }
        None => format!("add {} {} {} {:#x}", sa.source, sa.id.destination, sa.id.protocol, sa.managed_spi()),
    };
    if sa.mode != Mode::Any {
        let _ = write!(text, " -m {}", sa.mode);
    }
    if sa.reqid != 0 {
        let _ = write!(text, " -u {}", sa.reqid);
    }
    if sa.sequence == SeqWidth::Extended64 {
        text.push_str(" -esn");
    }
    for (name, limit) in [("-l", &sa.lifetimes.hard), ("-l", &sa.lifetimes.soft)]
        .iter()
        .zip(["h", "s"])
        .map(|((name, limit), kind)| (format!("{name}{kind}"), limit))
    {
        if let Some(age) = limit.age {
            let _ = write!(text, " {name} {}", age.as_secs());
        }
        if let Some(octets) = limit.octets {
            let _ = write!(text, " {} {octets}", name.replace("-l", "-b"));
        }
    }
    match &sa.transform {
        TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
            let cipher = named(cipher_name(keys.cipher), lost)?;
            let _ =
                write!(text, " -E {cipher} {}", key(keys.cipher_key.expose(), keys.cipher == CipherAlgorithm::Null));
            if matches!(sa.transform, TransformParams::EspWithoutIntegrity(_)) {
                lost.note("ESP without integrity: an attacker can modify packets unnoticed, and the statement is refused here");
            }
            if keys.integrity != IntegrityAlgorithm::None {
                let _ =
                    write!(text, " -A {} {}", named(mac_name(keys.integrity), lost)?, Hex(keys.integrity_key.expose()));
            }
        }
        TransformParams::Ah { integrity, key } => {
            let _ = write!(text, " -A {} {}", named(mac_name(*integrity), lost)?, Hex(key.expose()));
        }
        TransformParams::Ipcomp { algorithm, spi } => {
            let raw = if sa.id.spi == *spi { " -R" } else { "" };
            let _ = write!(text, " -C {algorithm}{raw}");
        }
    }
    Some(text)
}

fn named(name: Option<&'static str>, lost: &mut Lost) -> Option<&'static str> {
    if name.is_none() {
        lost.note("algorithms without a name in setkey(8): the SA is left out");
    }
    name
}

/// Returns a key. The one of `null` is empty.
fn key(octets: &[u8], is_null: bool) -> String {
    if is_null { "\"\"".to_string() } else { Hex(octets).to_string() }
}
