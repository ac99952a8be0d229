//! Writer of the lines of rc.conf(5).

use std::fmt::Write;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::Lost;
use crate::{Configuration, Gif};

pub(super) fn write(configuration: &Configuration, lost: &mut Lost) -> String {
    let mut text = String::new();
    let names: Vec<&str> = configuration.gifs.iter().map(|gif| gif.name.as_str()).collect();
    if !names.is_empty() {
        let _ = writeln!(text, "gif_interfaces=\"{}\"", names.join(" "));
    }
    configuration.gifs.iter().for_each(|gif| write_gif(&mut text, gif));
    let routes: Vec<String> = (0..configuration.routes.len()).map(|index| format!("route{index}")).collect();
    if !routes.is_empty() {
        let _ = writeln!(text, "static_routes=\"{}\"", routes.join(" "));
    }
    for (route, name) in configuration.routes.iter().zip(&routes) {
        let (address, length) = route.destination;
        let via = match (&route.gateway, &route.interface) {
            (Some(gateway), _) => gateway.to_string(),
            (None, Some(interface)) => format!("-interface {interface}"),
            (None, None) => continue,
        };
        let family = if address.is_ipv4() { "" } else { "-inet6 " };
        let _ = writeln!(text, "route_{name}=\"{family}{address}/{length} {via}\"");
    }
    let startup = &configuration.startup;
    if let Some(file) = &startup.ipsec_file {
        let _ = writeln!(text, "ipsec_enable=\"YES\"\nipsec_file=\"{file}\"");
    }
    if let Some(flags) = &startup.racoon_flags {
        let _ = writeln!(text, "racoon_enable=\"YES\"\nracoon_flags=\"{flags}\"");
    }
    if let Some(flags) = &startup.isakmpd_flags {
        let _ = writeln!(text, "isakmpd_flags=\"{flags}\"");
    }
    if let Some(file) = &startup.ipsec_rules {
        let _ = writeln!(text, "ipsec=YES\nipsec_rules={file}");
    }
    if !configuration.policies.is_empty() || !configuration.peers.is_empty() || !configuration.sas.is_empty() {
        lost.note("policies, SAs and peers: rc.conf names their files");
    }
    text
}

fn write_gif(text: &mut String, gif: &Gif) {
    let name = &gif.name;
    if let Some((own, peer)) = gif.outer {
        let _ = writeln!(text, "gifconfig_{name}=\"{own} {peer}\"");
    }
    let mut suffix = String::new();
    for (index, (own, peer, length)) in gif.inner.iter().enumerate() {
        let peer = peer.map(|peer| format!(" {peer}")).unwrap_or_default();
        let mtu = if index == 0 && gif.mtu != Gif::DEFAULT_MTU { format!(" mtu {}", gif.mtu) } else { String::new() };
        let address = match own {
            std::net::IpAddr::V4(_) => format!("inet {own}{peer} netmask {}", crate::gateway::mask(*length)),
            std::net::IpAddr::V6(_) => format!("inet6 {own}{peer} prefixlen {length}"),
        };
        let _ = writeln!(text, "ifconfig_{name}{suffix}=\"{address}{mtu}\"");
        suffix = format!("_alias{index}");
    }
}
