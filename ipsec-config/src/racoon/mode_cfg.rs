//! Block `mode_cfg` of racoon.conf(5).

use std::borrow::ToOwned;
use std::format;
use std::net::Ipv4Addr;
use std::string::String;
use std::vec::Vec;

use super::parser::{BLOCKS, TOP};
use super::syntax::ModeCfg;
use crate::Span;
use crate::blocks::{Parsed, Parser, Scope};
use crate::diagnostic::shown_word;

pub(super) const MODE_CFG: &[&str] = &[
    "network4",
    "netmask4",
    "pool_size",
    "dns4",
    "wins4",
    "nbns4",
    "split_network",
    "split_dns",
    "default_domain",
    "banner",
    "auth_source",
    "auth_groups",
    "group_source",
    "conf_source",
    "accounting",
    "auth_throttle",
    "pfs_group",
    "save_passwd",
];

pub(super) fn mode_cfg(parser: &mut Parser<'_, '_>, span: Span) -> Parsed<ModeCfg> {
    let scope = Scope { name: "mode_cfg", statements: MODE_CFG, outer: Some(&TOP), elsewhere: BLOCKS };
    let mut conf = ModeCfg::default();
    parser.block(&scope, span, &mut |parser, word, _| {
        match word {
            "network4" => conf.network4 = Some(ipv4(parser)?),
            "netmask4" => conf.netmask4 = Some(ipv4(parser)?),
            "pool_size" => conf.pool_size = Some(parser.number("a number of addresses", 1..=65_535)?),
            "dns4" => list(parser, &mut conf.dns4, ipv4)?,
            "wins4" | "nbns4" => list(parser, &mut conf.wins4, ipv4)?,
            "split_network" => {
                let (is_local, _) =
                    parser.choice("a value of `split_network`", &[("include", false), ("local_lan", true)])?;
                let mut networks = Vec::new();
                list(parser, &mut networks, network4)?;
                conf.split_network = Some((is_local, networks));
            }
            "split_dns" => list(parser, &mut conf.split_dns, |parser| parser.text("a domain name").map(|text| text.0))?,
            "auth_groups" => {
                list(parser, &mut conf.auth_groups, |parser| parser.text("a group name").map(|text| text.0))?
            }
            "default_domain" => conf.default_domain = Some(parser.text("a domain name")?.0),
            "banner" => conf.banner = Some(parser.text("a file name")?.0),
            "auth_source" => conf.auth_source = source(parser, &["system", "radius", "pam", "ldap"], &["system"])?,
            "group_source" => conf.group_source = source(parser, &["system", "ldap"], &["system"])?,
            "conf_source" => conf.conf_source = source(parser, &["local", "radius", "ldap"], &["local"])?,
            "accounting" => conf.accounting = source(parser, &["none", "system", "radius", "pam"], &["none"])?,
            "auth_throttle" => conf.auth_throttle = Some(parser.number("a number of seconds", 0..=3600)?),
            "pfs_group" => conf.pfs_group = Some(parser.dh_group()?),
            _ => conf.save_passwd = Some(parser.boolean()?),
        }
        parser.end(&scope)
    })?;
    Ok(conf)
}

/// Parses a source of users or addresses, and refuses those that are not implemented.
fn source(parser: &mut Parser<'_, '_>, words: &[&'static str], known: &[&str]) -> Parsed<Option<String>> {
    let table: Vec<(&str, &'static str)> = words.iter().map(|word| (*word, *word)).collect();
    let (word, span) = parser.choice("a source", &table)?;
    if known.contains(&word) {
        Ok(Some(word.to_owned()))
    } else {
        parser.refuse(span, format!("`{word}` is not implemented: expected {}", crate::diagnostic::alternatives(known)))
    }
}

/// Parses values with commas between them.
fn list<'t, 'd, T>(
    parser: &mut Parser<'t, 'd>,
    values: &mut Vec<T>,
    mut one: impl FnMut(&mut Parser<'t, 'd>) -> Parsed<T>,
) -> Parsed<()> {
    loop {
        values.push(one(parser)?);
        if !parser.accept_sign(b',') {
            return Ok(());
        }
    }
}

fn ipv4(parser: &mut Parser<'_, '_>) -> Parsed<Ipv4Addr> {
    let (word, span) = parser.word("an IPv4 address")?;
    match word.parse() {
        Ok(address) => Ok(address),
        Err(_) => parser.refuse(span, format!("expected an IPv4 address, found `{}`", shown_word(word))),
    }
}

/// Parses a network: an address with a mask or with the length of a prefix.
fn network4(parser: &mut Parser<'_, '_>) -> Parsed<(Ipv4Addr, u8)> {
    const EXPECTED: &str = "an IPv4 network as 10.1.0.0/16 or 10.1.0.0/255.255.0.0";
    let (word, span) = parser.word(EXPECTED)?;
    let parsed = word.split_once('/').and_then(|(address, length)| {
        let length = match length.parse::<Ipv4Addr>() {
            Ok(mask) => {
                let mask = u32::from(mask);
                let length = mask.leading_ones();
                (mask.checked_shl(length).unwrap_or(0) == 0)
                    .then_some(length)
                    .and_then(|length| u8::try_from(length).ok())?
            }
            Err(_) => length.parse().ok().filter(|length| *length <= 32)?,
        };
        Some((address.parse().ok()?, length))
    });
    match parsed {
        Some(network) => Ok(network),
        None => parser.refuse(span, format!("expected {EXPECTED}, found `{}`", shown_word(word))),
    }
}
