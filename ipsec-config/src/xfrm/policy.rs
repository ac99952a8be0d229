//! Policies and their templates.

use ipsec_packet::{IpProto, PortRange, Selector, Upper};
use ipsec_sa::{
    Action, Bundle, Level, Mode, PolicyDirection, PolicyParams, Priority, Protocol, Template, TunnelEndpoints,
};

use super::record::Record;
use crate::blocks::number;
use crate::{ConfiguredPolicy, setkey};

impl Record<'_, '_> {
    pub(super) fn policy(&mut self) -> Option<ConfiguredPolicy> {
        let span = self.span();
        let (mut source, mut destination) = (None, None);
        let (mut protocol, mut ports, mut icmp) = (None, (PortRange::ANY, PortRange::ANY), (None, None));
        let (mut direction, mut priority, mut is_blocked) = (None, Priority::DEFAULT, false);
        let mut bundle = Bundle::default();
        while let Some((word, at)) = self.next() {
            match word {
                "src" => source = Some(self.range()?),
                "dst" => destination = Some(self.range()?),
                "proto" => {
                    protocol = Some(self.value("an upper-layer protocol", |word| {
                        setkey::protocol_number(word).or_else(|| number(word).and_then(|own| u8::try_from(own).ok()))
                    })?);
                }
                "sport" => ports.0 = PortRange::one(self.number("a port")?),
                "dport" => ports.1 = PortRange::one(self.number("a port")?),
                "type" => icmp.0 = Some(self.number::<u8>("an ICMP type")?),
                "code" => icmp.1 = Some(self.number::<u8>("an ICMP code")?),
                "dir" => {
                    direction = Some(self.value("a direction: `in`, `out` or `fwd`", PolicyDirection::by_name)?);
                }
                "priority" => priority = Priority(self.number("a priority")?),
                "action" => {
                    is_blocked = self.value("an action: `allow` or `block`", |word| match word {
                        "allow" => Some(false),
                        "block" => Some(true),
                        _ => None,
                    })?
                }
                "tmpl" => {
                    let template = self.template()?;
                    match bundle.with(template) {
                        Some(with) => bundle = with,
                        None => {
                            self.diagnostics.error(at, "the policy has more templates than are supported");
                            return None;
                        }
                    }
                }
                // Words with one value, and the words of lifetimes.
                "ptype" | "index" | "uid" | "if_id" | "dev" => _ = self.next(),
                _ => {}
            }
        }
        let (Some(source), Some(destination), Some(direction)) = (source, destination, direction) else {
            self.diagnostics.error(span, "expected `src`, `dst` and `dir` in the policy");
            return None;
        };
        let upper = match (protocol.filter(|own| *own != 0).map(IpProto), ports, icmp) {
            (Some(protocol), _, (Some(kind), code)) => Upper::Icmp(protocol, kind, code),
            (None, (PortRange::ANY, PortRange::ANY), _) => Upper::Any,
            (Some(protocol), (PortRange::ANY, PortRange::ANY), _) => Upper::Protocol(protocol),
            (protocol, (from, to), _) => Upper::Ports(protocol, from, to),
        };
        let selector = Selector { source, destination, upper };
        let action = match (is_blocked, bundle.iter().next()) {
            (true, _) => Action::Discard,
            (false, Some(_)) => Action::Protect(bundle),
            (false, None) => Action::Bypass,
        };
        Some(ConfiguredPolicy::new(span, PolicyParams { selector, direction, priority, action }))
    }

    fn template(&mut self) -> Option<Template> {
        let (mut source, mut destination) = (None, None);
        let mut template =
            Template { protocol: Protocol::Esp, mode: Mode::Transport, ends: None, level: Level::Require };
        while let Some((word, _)) = self.words.get(self.at).copied() {
            match word {
                "tmpl" => break,
                "src" | "dst" => {
                    self.at = self.at.saturating_add(1);
                    let end = Some(self.address()?).filter(|address| !address.is_unspecified());
                    if word == "src" {
                        source = end
                    } else {
                        destination = end
                    }
                    continue;
                }
                "proto" => {
                    self.at = self.at.saturating_add(1);
                    template.protocol = self.protocol()?;
                    continue;
                }
                "mode" => {
                    self.at = self.at.saturating_add(1);
                    template.mode = self.mode()?;
                    continue;
                }
                "reqid" => {
                    self.at = self.at.saturating_add(1);
                    let reqid: u32 = self.value("a request ID", |word| {
                        let digits = word.split('(').next().unwrap_or(word);
                        number(digits).and_then(|own| u32::try_from(own).ok())
                    })?;
                    if reqid != 0 && template.level == Level::Require {
                        template.level = Level::UniqueId(reqid);
                    }
                    continue;
                }
                "level" => {
                    self.at = self.at.saturating_add(1);
                    if self.next().is_some_and(|(word, _)| word == "use") {
                        template.level = Level::Use;
                    }
                    continue;
                }
                _ => self.at = self.at.saturating_add(1),
            }
        }
        if template.mode != Mode::Transport && (source.is_some() || destination.is_some()) {
            template.ends = Some(TunnelEndpoints { source: (source, None), destination: (destination, None) });
        }
        Some(template)
    }
}
