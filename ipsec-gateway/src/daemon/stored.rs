//! State file of the SAs with manual keys in the event loop.

use std::net::IpAddr;

use ipsec_config::setkey::{LoadOptions, apply_with};
use ipsec_packet::Instant;
use ipsec_sa::{Expiry, SaEvent};
use rand::RngExt as _;

use super::Daemon;
use super::setkey::{self, AddedSa, Output};
use crate::config::Config;
use crate::control::protocol::{CounterEntry, SetkeyOutput};
use crate::databases::Databases;
use crate::state::ManualState;
use crate::state::added::AddStatement;
use crate::state::backend::WithState;
use crate::state::store::Store;
use crate::{clock, log};

/// Opens the state file of a configuration, and continues the SAs of the engine.
///
/// # Errors
/// The message about a file that cannot be read, is damaged, or cannot be written.
pub(super) fn open(
    config: &Config,
    store: Option<Box<dyn Store>>,
    engine: &mut Databases,
    now: Instant,
) -> Result<Option<ManualState>, String> {
    let (Some(path), Some(store)) = (&config.state, store) else { return Ok(None) };
    let (mut state, is_found) = ManualState::open(store, rand::rng().random(), now)?;
    let wall = clock::unix_seconds();
    if !is_found && !config.configuration.sas.is_empty() {
        log::warning(format_args!(
            "state file {} does not exist: SAs with manual keys begin with sequence number 1",
            path.display()
        ));
    }
    config.configuration.sas.iter().for_each(|sa| state.adopt(engine, &sa.params, wall));
    let statements = state.take_statements();
    if config.stores_keys {
        state.store_keys();
        let locals = config.local_addresses();
        statements.iter().for_each(|statement| restore(statement, &mut state, engine, (&locals, now)));
    } else if !statements.is_empty() {
        log::warning(format_args!(
            "state file {}: {} SAs with keys are removed from it, and not added: expected `keys` in the statement \
             `state` of gateway.conf",
            path.display(),
            statements.len()
        ));
    }
    state.begin(engine, now, wall)?;
    Ok(Some(state))
}

/// Adds the SA of a statement of the state file. An error is logged: the SA is not in the next file.
fn restore(
    statement: &AddStatement,
    state: &mut ManualState,
    engine: &mut Databases,
    (locals, now): (&[IpAddr], Instant),
) {
    let text = statement.text().as_bytes();
    let mut output = Output::new(locals, now);
    let mut databases = WithState { engine, state: Some(state), now };
    let added = setkey::check(text, locals).and_then(|_| {
        let options = LoadOptions::RFC;
        let applied = apply_with(&mut databases, text, &mut output, &options, now);
        applied.map_err(|e| e.to_string())
    });
    for problem in added.err().into_iter().chain(output.output.warnings) {
        log::error(format_args!("state file: an SA was not added: {problem}"));
    }
    output.added.into_iter().for_each(|own| state.keep_statement(statement.clone(), own.id));
}

impl Daemon {
    /// Stores the statements of SAs that were added, if the configuration allows that. Returns the output, with a
    /// warning for each SA that cannot be stored.
    pub(super) fn keep_statements(&mut self, output: Output<'_>) -> SetkeyOutput {
        let Output { mut output, added, .. } = output;
        let Some(state) = self.plane.state.as_mut().filter(|state| state.stores_keys()) else { return output };
        // An SA that a later statement has removed is not stored.
        let engine = &self.plane.engine;
        for AddedSa { id, statement, .. } in added.into_iter().filter(|own| engine.sa(&own.id, own.source).is_some()) {
            match statement {
                Some(statement) => state.keep_statement(statement, id),
                None => output.warnings.push(format!("SA {id} is not stored: it ends with the daemon")),
            }
        }
        output
    }

    /// Writes the state file if that is due.
    pub(super) fn store_state(&mut self, now: Instant) {
        if let Some(state) = &mut self.plane.state {
            state.tick(&self.plane.engine, now, clock::unix_seconds());
        }
    }

    /// Returns the time at which the state file is written next.
    pub(super) fn state_due(&self) -> Option<Instant> {
        self.plane.state.as_ref()?.due(&self.plane.engine, clock::now())
    }

    /// Writes the state file at the end.
    pub(super) fn close_state(&mut self) {
        if let Some(state) = &mut self.plane.state {
            state.close(&self.plane.engine, clock::now(), clock::unix_seconds());
        }
    }

    /// Records an SA with manual keys that has expired.
    pub(super) fn note_expiry(&mut self, event: &SaEvent) {
        if let (Some(state), SaEvent::Expire(id, Expiry::Hard)) = (&mut self.plane.state, event) {
            state.expired(id);
        }
    }

    /// Returns the databases, for changes of SAs with manual keys.
    pub(super) fn databases(&mut self, now: Instant) -> WithState<'_> {
        WithState { engine: &mut self.plane.engine, state: self.plane.state.as_mut(), now }
    }

    /// Returns the counters of the state file.
    pub(super) fn state_counters(&self) -> Vec<CounterEntry> {
        let Some(state) = &self.plane.state else { return Vec::new() };
        let counters = state.counters();
        let table = [
            ("state file written", counters.writes),
            ("state file not written", counters.failures),
            ("packets refused without the state file", counters.refused),
        ];
        let entry = |(name, value): (&str, u64)| CounterEntry {
            part: "state".to_owned(),
            direction: None,
            name: name.to_owned(),
            value,
        };
        table.into_iter().map(entry).collect()
    }
}
