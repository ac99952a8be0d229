//! Text of the peers, policies and transforms that a configuration has in effect.

use std::fmt::{self, Display, Formatter};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use ike_codec::{AuthMethod, ExchangeKind, Group, Lifetimes};
use ike_v1::names::{CipherName, hash_name, integrity_name};
use ike_v1::{LocalIdentity, NatUse, Phase1Choice, Phase2Choice, Phase2Suite, ProposalCheck, XauthRole};
use ipsec_crypto::IntegrityAlgorithm;
use ipsec_packet::{AddressRange, PortRange, Selector, Upper};

use crate::{Configuration, ConfiguredPeer, GeneratedPolicies, Negotiation, Sources, Span, setkey};

impl Configuration {
    /// Returns the text of the effective configuration, with the positions in the files.
    pub fn describe<'c>(&'c self, sources: &'c Sources) -> impl Display + 'c {
        Description { configuration: self, sources }
    }
}

struct Description<'c> {
    configuration: &'c Configuration,
    sources: &'c Sources,
}

impl Description<'_> {
    fn at(&self, span: Span) -> String {
        format!("{}:{}", self.sources.name(span.file), self.sources.position(span).0)
    }

    fn peer(&self, f: &mut Formatter<'_>, peer: &ConfiguredPeer) -> fmt::Result {
        let config = &peer.config;
        let address = config.address.map_or("any address".to_string(), |address| address.to_string());
        writeln!(f, "peer {} at {address} ({})", config.name, self.at(peer.span))?;
        let exchanges: Vec<_> = config.exchanges.iter().map(exchange_name).collect();
        let initiates = if config.initiates { "initiator and responder" } else { "responder only" };
        writeln!(f, "  phase 1        {}; {initiates}", exchanges.join(", "))?;
        for proposal in &config.proposals {
            writeln!(f, "  proposal       {}", phase_1_text(proposal))?;
        }
        let own = match &config.local_identity {
            LocalIdentity::Address => "address of this host".to_string(),
            LocalIdentity::CertificateSubject => "subject of the certificate".to_string(),
            LocalIdentity::Given(identity) => identity_text(identity),
        };
        let theirs = config.remote_identity.iter().chain(&peer.other_identities).map(identity_text);
        let theirs: Vec<_> = if peer.verifies_identity { theirs.collect() } else { Vec::new() };
        let theirs = if theirs.is_empty() { "any identity".to_string() } else { theirs.join(" or ") };
        writeln!(f, "  identities     {own}; of the peer: {theirs}")?;
        let check = match config.check {
            ProposalCheck::Obey => "obey",
            ProposalCheck::Claim => "claim",
            ProposalCheck::Exact => "exact",
            _ => "strict",
        };
        let nat = match config.nat_traversal {
            NatUse::Off => "off",
            NatUse::On => "on",
            NatUse::Force => "force",
        };
        writeln!(
            f,
            "  proposal check {check}; NAT traversal {nat}; fragments {}",
            if config.fragment_size > 0 { "on" } else { "off" }
        )?;
        if let Some(detection) = config.dead_peer_detection {
            let (delay, retry) = (detection.delay.as_secs(), detection.retry.as_secs());
            writeln!(f, "  dead peer      after {delay} s, then {} times every {retry} s", detection.max_failures)?;
        }
        if let Some(part) = config.xauth {
            let part = if part == XauthRole::Server { "server" } else { "client" };
            writeln!(
                f,
                "  XAUTH          {part}{}",
                peer.login.as_ref().map(|login| format!(", user {login}")).unwrap_or_default()
            )?;
        }
        if peer.generated != GeneratedPolicies::Off {
            let level = if peer.generated == GeneratedPolicies::Unique { "unique" } else { "require" };
            writeln!(f, "  policies       generated, level {level}")?;
        }
        Ok(())
    }

    fn negotiation(&self, f: &mut Formatter<'_>, negotiation: &Negotiation<'_>) -> fmt::Result {
        let params = &negotiation.policy.params;
        writeln!(
            f,
            "policy {} {} ({})",
            params.direction,
            selector_text(&params.selector),
            self.at(negotiation.policy.span)
        )?;
        writeln!(f, "  action         {}", params.action)?;
        if negotiation.selector != params.selector {
            writeln!(f, "  client IDs     {}", selector_text(&negotiation.selector))?;
        }
        match negotiation.peer {
            Some((_, peer)) => writeln!(f, "  peer           {} ({})", peer.config.name, self.at(peer.span))?,
            None => writeln!(f, "  peer           none: only manual SAs are used")?,
        }
        let Some(phase_2) = negotiation.phase_2 else {
            return if negotiation.peer.is_some() { writeln!(f, "  phase 2        none matches") } else { Ok(()) };
        };
        let group = phase_2.group.map_or("no PFS".to_string(), |group| format!("PFS {}", group_name(group)));
        writeln!(f, "  phase 2        {group}, {} ({})", lifetimes_text(&phase_2.lifetimes), self.at(phase_2.span))?;
        for (template, transforms) in &negotiation.templates {
            let names: Vec<_> = transforms.iter().map(phase_2_text).collect();
            writeln!(f, "  {:14} {}", template.protocol.name(), names.join(", "))?;
        }
        Ok(())
    }
}

impl Display for Description<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let configuration = self.configuration;
        let listen: Vec<_> = configuration.listen.iter().map(|address| address.to_string()).collect();
        if !listen.is_empty() {
            writeln!(f, "listen {}", listen.join(", "))?;
        }
        configuration.peers.iter().try_for_each(|peer| self.peer(f, peer))?;
        for negotiation in configuration.negotiations() {
            self.negotiation(f, &negotiation)?;
        }
        let is_negotiated = |params: &ipsec_sa::PolicyParams| {
            params.direction == ipsec_sa::PolicyDirection::Out && matches!(params.action, ipsec_sa::Action::Protect(_))
        };
        for policy in configuration.policies.iter().filter(|policy| !is_negotiated(&policy.params)) {
            let params = &policy.params;
            writeln!(f, "policy {} {} ({})", params.direction, selector_text(&params.selector), self.at(policy.span))?;
            writeln!(f, "  action         {}", params.action)?;
        }
        for sa in &configuration.sas {
            writeln!(f, "sa {} ({})", sa.params, self.at(sa.span))?;
        }
        for gif in &configuration.gifs {
            let outer = gif.outer.map_or("no outer addresses".to_string(), |(own, peer)| format!("{own} - {peer}"));
            writeln!(f, "gif {} {outer}, MTU {} ({})", gif.name, gif.mtu, self.at(gif.span))?;
            for (own, peer, length) in &gif.inner {
                let peer = peer.map(|peer| format!(" peer {peer}")).unwrap_or_default();
                writeln!(f, "  inner          {own}/{length}{peer}")?;
            }
        }
        for route in &configuration.routes {
            let (address, length) = route.destination;
            let via = route.gateway.map(|own| own.to_string()).or_else(|| route.interface.clone()).unwrap_or_default();
            writeln!(f, "route {address}/{length} via {via} ({})", self.at(route.span))?;
        }
        Ok(())
    }
}

fn exchange_name(exchange: &ExchangeKind) -> String {
    match *exchange {
        ExchangeKind::MAIN => "main".to_string(),
        ExchangeKind::AGGRESSIVE => "aggressive".to_string(),
        ExchangeKind::BASE => "base".to_string(),
        other => other.to_string(),
    }
}

/// Returns the name of a group, or its number.
pub(crate) fn group_name(group: Group) -> String {
    group.name().map_or_else(|| format!("group {}", group.0), ToString::to_string)
}

/// Returns the name of an authentication method.
pub(crate) fn method_name(method: AuthMethod) -> String {
    let table = [
        (AuthMethod::PRE_SHARED_KEY, "psk"),
        (AuthMethod::RSA_SIGNATURE, "rsasig"),
        (AuthMethod::XAUTH_INIT_PRE_SHARED, "xauth-psk"),
        (AuthMethod::XAUTH_INIT_RSA, "xauth-rsa"),
        (AuthMethod::HYBRID_INIT_RSA, "hybrid-rsa"),
    ];
    table.iter().find(|row| row.0 == method).map_or_else(|| method.to_string(), |row| row.1.to_string())
}

fn identity_text(identity: &ike_v1::Identity) -> String {
    if identity.kind == ike_codec::IdKind::DER_ASN1_DN
        && let Some(name) = crate::distinguished_name::decode(&identity.data)
    {
        return format!("{} {name}", identity.kind);
    }
    format!("{} {identity}", identity.kind)
}

fn lifetimes_text(lifetimes: &Lifetimes) -> String {
    let seconds = lifetimes.seconds.map(|seconds| format!("{seconds} s"));
    let kilobytes = lifetimes.kilobytes.map(|kilobytes| format!("{kilobytes} KB"));
    let both: Vec<_> = seconds.into_iter().chain(kilobytes).collect();
    if both.is_empty() { "no lifetime".to_string() } else { both.join(", ") }
}

/// Returns the text of a transform of phase 1: `3des-sha1-modp1024 psk 86400 s`.
pub(crate) fn phase_1_text(choice: &Phase1Choice) -> String {
    let cipher = CipherName(choice.cipher, choice.cipher_key);
    let hash = hash_name(choice.hash).unwrap_or("unknown");
    let (group, method) = (group_name(choice.group), method_name(choice.auth_method));
    format!("{cipher}-{hash}-{group} {method}, {}", lifetimes_text(&choice.lifetimes))
}

/// Returns the text of the algorithms of a transform of phase 2: `aes128-sha1`.
pub(crate) fn phase_2_text(choice: &Phase2Choice) -> String {
    match choice.suite {
        Phase2Suite::Keyed { cipher, cipher_key, integrity, .. } => {
            let integrity_name = integrity_name(integrity).unwrap_or("unknown");
            match integrity {
                IntegrityAlgorithm::None => CipherName(cipher, cipher_key).to_string(),
                _ if choice.protocol == ike_codec::ProtocolId::AH => integrity_name.to_string(),
                _ => format!("{}-{integrity_name}", CipherName(cipher, cipher_key)),
            }
        }
        Phase2Suite::Compression(transform) => transform.to_string(),
        _ => "unknown".to_string(),
    }
}

/// Returns the text of a selector in the order of setkey(8): source, destination, upper-layer protocol.
pub(crate) fn selector_text(selector: &Selector) -> String {
    let (source, destination) = match selector.upper {
        Upper::Ports(_, source, destination) => (source, destination),
        _ => (PortRange::ANY, PortRange::ANY),
    };
    let upper = match selector.upper {
        Upper::Any | Upper::Ports(None, ..) => "any".to_string(),
        Upper::Protocol(protocol) | Upper::Ports(Some(protocol), ..) => protocol_text(protocol.0),
        Upper::Icmp(protocol, kind, None) => format!("{} {kind}", protocol_text(protocol.0)),
        Upper::Icmp(protocol, kind, Some(code)) => format!("{} {kind},{code}", protocol_text(protocol.0)),
    };
    format!("{} {} {upper}", range_text(&selector.source, source), range_text(&selector.destination, destination))
}

/// Returns the name or the number of an upper-layer protocol.
pub(crate) fn protocol_text(protocol: u8) -> String {
    setkey::protocol_name(protocol).map_or_else(|| protocol.to_string(), ToString::to_string)
}

fn range_text(range: &AddressRange, ports: PortRange) -> String {
    let addresses = match range.prefix_length() {
        Some(length) => format!("{}/{length}", range.first()),
        None => format!("{}-{}", range.first(), range.last()),
    };
    match ports {
        PortRange::ANY => addresses,
        PortRange { first, last } if first == last => format!("{addresses}[{first}]"),
        PortRange { first, last } => format!("{addresses}[{first}-{last}]"),
    }
}
