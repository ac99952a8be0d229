//! Addresses, networks, protocols and ports.

use std::borrow::ToOwned;
use std::format;
use std::net::{IpAddr, Ipv4Addr};
use std::string::String;
use std::vec::Vec;

use super::super::syntax::{Hosts, Network, Peers};
use super::{KEYWORDS, Parser};
use crate::blocks::{Failed, Parsed, number};
use crate::diagnostic::{did_you_mean, shown_word};
use crate::{Severity, setkey};

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Parser<'_> {
    pub(super) fn peers(&mut self) -> Parsed<Peers> {
        let mut peers = Peers::default();
        loop {
            if peers.local.is_none() && self.accept("local") {
                peers.local = Some(self.host("the address of this host")?.0);
            } else if peers.peer.is_none() && self.accept("peer") {
                let is_any = self.accept("any");
                peers.peer = Some(if is_any { None } else { Some(self.host("the address of the peer, or `any`")?.0) });
            } else {
                return Ok(peers);
            }
        }
    }

    /// Parses `proto`, `from` and `to`, which may be in either order.
    pub(super) fn hosts(&mut self) -> Parsed<Hosts> {
        let mut hosts = Hosts::default();
        let at = self.span();
        if self.accept("proto") {
            hosts.protocol = self.protocol()?;
        }
        let is_reversed = self.next_word() == Some("to");
        for is_source in if is_reversed { [false, true] } else { [true, false] } {
            self.keyword(if is_source { "from" } else { "to" })?;
            let networks = self.networks()?;
            let port = if self.accept("port") { self.port()? } else { 0 };
            if is_source {
                (hosts.sources, hosts.source_port) = (networks, port);
            } else {
                (hosts.destinations, hosts.destination_port) = (networks, port);
            }
        }
        if (hosts.source_port != 0 || hosts.destination_port != 0) && !matches!(hosts.protocol, TCP | UDP) {
            return self.refuse(at, "expected `proto tcp` or `proto udp` in a rule with ports");
        }
        Ok(hosts)
    }

    fn protocol(&mut self) -> Parsed<u8> {
        let (word, span) = self.word("an upper-layer protocol")?;
        match setkey::protocol_number(&word).or_else(|| number(&word).and_then(|number| u8::try_from(number).ok())) {
            Some(protocol) => Ok(protocol),
            None => self.refuse(
                span,
                format!("expected an upper-layer protocol, by name or number, found `{}`", shown_word(&word)),
            ),
        }
    }

    pub(super) fn port(&mut self) -> Parsed<u16> {
        let (word, span) = self.word("a port")?;
        match setkey::port_number(&word).or_else(|| number(&word).and_then(|number| u16::try_from(number).ok())) {
            Some(port) => Ok(port),
            None => self.refuse(span, format!("expected a port name or number, found `{}`", shown_word(&word))),
        }
    }

    fn networks(&mut self) -> Parsed<Vec<Network>> {
        if !self.accept_sign(b'{') {
            return Ok(std::vec![self.network()?]);
        }
        let mut networks = Vec::new();
        loop {
            networks.push(self.network()?);
            // Commas between the elements are optional.
            self.accept_sign(b',');
            if self.accept_sign(b'}') {
                return Ok(networks);
            }
            if self.next().is_none() {
                return self.unexpected("`}` at the end of the list");
            }
        }
    }

    fn network(&mut self) -> Parsed<Network> {
        let span = self.span();
        if self.accept("any") {
            return Ok(Network {
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                length: 0,
                is_any: true,
                negotiated: None,
                span,
            });
        }
        let (address, length) = self.prefix()?;
        let negotiated = if self.accept_sign(b'(') {
            let negotiated = self.prefix()?;
            if !self.accept_sign(b')') {
                return self.unexpected("`)`");
            }
            Some(negotiated)
        } else {
            None
        };
        Ok(Network { address, length, is_any: false, negotiated, span })
    }

    fn prefix(&mut self) -> Parsed<(IpAddr, u8)> {
        let span = self.span();
        let (address, length) = self.host("an address, a network as 10.1.0.0/16, `any`, or a list in braces")?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match length {
            None => Ok((address, most)),
            Some(length) => match length.parse::<u8>().ok().filter(|length| *length <= most) {
                Some(length) => Ok((address, length)),
                None => self.refuse(
                    span,
                    format!("expected a prefix of at most {most} bits, found `/{}`", shown_word(&length)),
                ),
            },
        }
    }

    /// Parses an address or the name of a host, and the text of the length of a prefix.
    fn host(&mut self, expected: &str) -> Parsed<(IpAddr, Option<String>)> {
        let (word, span) = self.word(expected)?;
        let (host, length) = match word.split_once('/') {
            Some((host, length)) => (host, Some(length.to_owned())),
            None => (word.as_str(), None),
        };
        if let Ok(address) = host.parse() {
            return Ok((address, length));
        }
        // `10.1/16` is a network in the classful notation of inet_net_pton(3).
        if let Some(address) = short_address(host).filter(|_| length.is_some()) {
            return Ok((address, length));
        }
        if KEYWORDS.contains(&host) || !host.contains(|c: char| c.is_ascii_alphabetic()) {
            return self.refuse(span, format!("expected {expected}, found `{}`", shown_word(&word)));
        }
        match self.files.resolve(host).ok().and_then(|addresses| addresses.first().copied()) {
            Some(address) => Ok((address, length)),
            None => {
                let message = format!("expected {expected}, found `{}`, which is not a host name", shown_word(&word));
                let help = "names of interfaces and of their groups are not resolved: write the address".to_owned();
                let near = did_you_mean(host, ["any", "to", "from", "peer", "local"]);
                self.diagnostics.add(Severity::Error, span, message, Some(near.unwrap_or(help)));
                Err(Failed)
            }
        }
    }
}

/// Returns the address of the first one to three octets of a network.
fn short_address(text: &str) -> Option<IpAddr> {
    let mut octets = [0; 4];
    let mut slots = octets.iter_mut();
    for part in text.split('.') {
        *slots.next()? = part.parse().ok()?;
    }
    Some(IpAddr::from(octets))
}
