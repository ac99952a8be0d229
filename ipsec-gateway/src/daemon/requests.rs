//! Requests of the clients of the control socket.

use std::time::Duration;

use ipsec_config::setkey::{DumpPolicy, DumpSa};
use ipsec_engine::{Action, Direction, PolicyId, PolicyParams, SaBackend, SaStatus};
use ipsec_packet::{Instant, PortRange, Upper};

use super::Daemon;
use crate::control::protocol::{CounterEntry, PAGE, Page, PolicyEntry, Reply, Request, SaEntry, Status};
use crate::{clock, log};

impl Daemon {
    /// Carries out the requests that have arrived, and sends the replies.
    pub(super) fn handle_requests(&mut self, now: Instant) {
        for (client, request) in self.control.poll(now) {
            if let Some(reply) = self.reply_to(now, request) {
                // A client that reads the reply finds the messages sent and the log lines written.
                self.ike.drive(now, &mut self.plane, self.udp.as_slice(), &self.raw);
                self.control.reply(now, client, &reply);
            }
        }
    }

    fn reply_to(&mut self, now: Instant, request: Request) -> Option<Reply> {
        let engine = &mut *self.plane.engine;
        let done = |result: Result<Vec<String>, String>| match result {
            Ok(lines) => {
                lines.iter().for_each(|line| log::info(format_args!("request: {line}")));
                Reply::Done(lines)
            }
            Err(e) => Reply::Error(e.lines().map(str::to_owned).collect()),
        };
        Some(match request {
            Request::Watch => return None,
            Request::Status => Reply::Status(self.status(now)),
            Request::Sas { keys: true, .. } if !self.ike.config().exports_keys => {
                Reply::error("keys are not shown: gateway.conf has no statement `export_keys on;`")
            }
            Request::Sas { from, keys } => Reply::Sas(self.sas(now, from, keys)),
            Request::Policies { from } => Reply::Policies(self.policies(from)),
            Request::Counters => Reply::Counters(self.counters()),
            Request::Initiate { peer } => done(self.ike.initiate_with(now, &peer, engine)),
            Request::Rekey { what } => done(self.ike.rekey(now, what.as_deref(), engine)),
            Request::Delete { what } => done(self.ike.delete_named(now, &what, engine)),
            Request::Reload => done(self.reload(now)),
            Request::ExportKeys => match self.ike.export_keys() {
                Ok(rows) => {
                    log::warning("the keys of all SAs were exported to a client of the control socket");
                    Reply::Keys(rows)
                }
                Err(e) => Reply::error(e),
            },
            Request::Setkey { text } => match self.setkey(now, text) {
                Ok(output) => Reply::Setkey(output),
                Err(e) => Reply::Error(e.lines().map(str::to_owned).collect()),
            },
        })
    }

    fn status(&self, now: Instant) -> Status {
        let engine = &self.plane.engine;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: now.saturating_duration_since(self.started).as_secs(),
            sas: engine.sas().count(),
            policies: engine.policies().count(),
            peers: self.ike.peers(now),
        }
    }

    fn sas(&self, now: Instant, from: usize, with_keys: bool) -> Page<SaEntry> {
        let (mut position, mut entries) = (0_usize, Vec::new());
        let start = start_of_clock(now);
        SaBackend::dump(&*self.plane.engine, &mut |sa| {
            if position >= from && entries.len() < PAGE {
                let text = DumpSa { sa, now, start }.to_string();
                let keys = if with_keys { self.ike.shown_keys(&sa.id) } else { None };
                let text = keys.map_or(text.clone(), |keys| keys.added_to(&text).as_str().to_owned());
                entries.push(SaEntry { negotiated: self.ike.negotiated(&sa.id), text, ..sa_entry(now, sa) });
            }
            position += 1;
        });
        let next = from.saturating_add(entries.len());
        Page { entries, next: (next < position).then_some(next) }
    }

    fn policies(&self, from: usize) -> Page<PolicyEntry> {
        let mut rest = self.plane.engine.policies().skip(from);
        let entries: Vec<_> = rest.by_ref().take(PAGE).map(|(id, policy)| policy_entry(id, policy)).collect();
        let next = from.saturating_add(entries.len());
        Page { entries, next: rest.next().map(|_| next) }
    }

    fn counters(&self) -> Vec<CounterEntry> {
        let counters = self.plane.engine.counters();
        let of_engine = [Direction::Inbound, Direction::Outbound].into_iter().flat_map(|direction| {
            ipsec_engine::Counter::ALL.iter().map(move |counter| CounterEntry {
                part: "engine".to_owned(),
                direction: Some(direction.to_string()),
                name: counter.name().to_owned(),
                value: counters.get(direction, *counter),
            })
        });
        of_engine.chain(self.ike.counters()).chain(self.state_counters()).collect()
    }
}

/// Returns the time since 1970 at which the clock of the daemon started.
pub(super) fn start_of_clock(now: Instant) -> Duration {
    Duration::from_secs(clock::unix_seconds().saturating_sub(now.as_secs()))
}

fn sa_entry(now: Instant, sa: &SaStatus) -> SaEntry {
    let since = |at: Instant| now.saturating_duration_since(at).as_secs();
    let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
    SaEntry {
        protocol: sa.id.protocol.name().to_owned(),
        direction: sa.id.direction.to_string(),
        source: sa.source.to_string(),
        destination: sa.id.destination.to_string(),
        spi: sa.managed_spi,
        mode: sa.mode.to_string(),
        state: sa.state.to_string(),
        reqid: sa.reqid,
        cipher: sa.algorithms.cipher.map(|cipher| cipher.to_string()),
        integrity: sa.algorithms.integrity.map(|integrity| integrity.to_string()),
        compression: sa.algorithms.compression.map(|compression| compression.to_string()),
        udp: sa.encap.map(|encap| (encap.ports.source, encap.ports.destination)),
        sequence: sa.sequence.map(|sequence| sequence.get()),
        window: sa.window,
        octets: sa.usage.octets,
        packets: sa.usage.packets,
        age: since(sa.usage.added),
        idle: sa.usage.last.map(since),
        lifetime: (seconds(sa.lifetimes.hard.age), seconds(sa.lifetimes.soft.age)),
        negotiated: None,
        text: String::new(),
    }
}

fn policy_entry(id: PolicyId, policy: &PolicyParams) -> PolicyEntry {
    let bundle = match policy.action {
        Action::Protect(bundle) => Some(bundle),
        _ => None,
    };
    let first = bundle.and_then(|bundle| bundle.iter().next().copied());
    let is_outbound = policy.direction == ipsec_engine::PolicyDirection::Out;
    let peer = |template: &ipsec_engine::Template| {
        let ends = template.ends?;
        let (address, _) = if is_outbound { ends.destination } else { ends.source };
        address.map(|address| address.to_string())
    };
    let (protocol, (from, to), icmp) = match policy.selector.upper {
        Upper::Any => (None, (PortRange::ANY, PortRange::ANY), None),
        Upper::Protocol(protocol) => (Some(protocol), (PortRange::ANY, PortRange::ANY), None),
        Upper::Ports(protocol, from, to) => (protocol, (from, to), None),
        Upper::Icmp(protocol, kind, code) => {
            let code = code.map(|code| format!(",{code}")).unwrap_or_default();
            (Some(protocol), (PortRange::ANY, PortRange::ANY), Some(format!("{kind}{code}")))
        }
    };
    PolicyEntry {
        number: id.get(),
        direction: policy.direction.to_string(),
        source: policy.selector.source.to_string(),
        destination: policy.selector.destination.to_string(),
        protocol: protocol.map(|own| own.name().map_or_else(|| own.0.to_string(), str::to_owned)),
        source_ports: ports(from),
        destination_ports: ports(to),
        icmp,
        action: if bundle.is_some() { "ipsec".to_owned() } else { policy.action.to_string() },
        templates: bundle
            .iter()
            .flat_map(|bundle| bundle.iter().map(ToString::to_string).collect::<Vec<_>>())
            .collect(),
        first: first.map(|first| (first.protocol.name().to_owned(), peer(&first))),
        text: DumpPolicy { id, policy }.to_string(),
    }
}

/// Returns the text of a range of ports; `None` for all ports.
fn ports(range: PortRange) -> Option<String> {
    match range {
        PortRange::ANY => None,
        PortRange { first, last } if first == last => Some(first.to_string()),
        PortRange { first, last } => Some(format!("{first}-{last}")),
    }
}
