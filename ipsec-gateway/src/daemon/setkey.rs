//! Statements of setkey(8) on the running gateway.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipsec_config::setkey::{
    self, DumpPolicy, DumpSa, Environment, LoadOptions, Location, SaDirections, SaSpec, Shown, Statement,
    StatementError, Statements, Warning,
};
use ipsec_config::{ConfiguredPolicy, Span};
use ipsec_engine::Direction;
use ipsec_packet::Instant;
use ipsec_sa::SaId;
use zeroize::Zeroizing;

use super::Daemon;
use super::requests::start_of_clock;
use crate::control::protocol::SetkeyOutput;
use crate::policy::PolicyTable;
use crate::shown_keys::ShownKeys;
use crate::state::added::AddStatement;
use crate::state::backend::WithState;
use crate::{log, policy};

/// Octets after which the output of statements is truncated.
const MAX_TEXT: usize = 1 << 20;

impl Daemon {
    /// Applies a text. Nothing is changed unless all statements are well-formed, and have parameters that the gateway
    /// uses. Policies and SAs are then changed in order, up to the first that the engine refuses.
    pub(super) fn setkey(&mut self, now: Instant, text: String) -> Result<SetkeyOutput, String> {
        let text = Zeroizing::new(text);
        let changes = check(text.as_bytes(), &self.ike.config().local_addresses())?;
        let locals = self.ike.config().local_addresses();
        let mut output = Output::new(&locals, now);
        let mut databases = WithState { engine: &mut self.plane.engine, state: self.plane.state.as_mut(), now };
        let applied = setkey::apply_with(&mut databases, text.as_bytes(), &mut output, &LoadOptions::RFC, now);
        if changes.has_sas {
            let keys = output.added.iter_mut().filter_map(|own| Some((own.id, own.keys.take()?)));
            self.ike.show_keys(keys, &self.plane.engine);
        }
        let mut output = self.keep_statements(output);
        if changes != Changes::default() {
            log::info(format_args!("request: statements of setkey were applied: {changes}"));
        }
        if changes.has_sas {
            self.ike.delete_incomplete(now, &mut self.plane.engine);
        }
        if changes.has_policies {
            self.follow_spd(now, &mut output.warnings).inspect_err(|e| log::error(e))?;
        }
        applied.map_err(|e| e.to_string())?;
        Ok(output)
    }

    /// Updates key exchange, firewall rules and routes after a change of the SPD.
    fn follow_spd(&mut self, now: Instant, warnings: &mut Vec<String>) -> Result<(), String> {
        let engine = &*self.plane.engine;
        let former = std::mem::take(&mut self.ike.config_mut().configuration.policies);
        let generated = self.ike.generated();
        let known: HashMap<_, _> = former
            .into_iter()
            .filter_map(|policy| {
                let params = policy::bound(&policy);
                Some((engine.find_policy(params.direction, &params.selector)?, (params, policy)))
            })
            .collect();
        let configured = engine.policies().filter(|(id, _)| !generated.contains(*id));
        let policies = configured.map(|(id, params)| match known.get(&id) {
            Some((own, policy)) if own == params => policy.clone(),
            _ => ConfiguredPolicy::new(Span::default(), *params),
        });
        let policies = policies.collect();
        self.ike.config_mut().configuration.policies = policies;
        let keyed = policy::keyed_policies(self.ike.config(), engine);
        warnings.extend(keyed.warnings.into_iter().chain(keyed.errors));
        if let Err(e) = policy::check_local_addresses(self.ike.config(), &keyed.policies) {
            warnings.push(e);
        }
        let keyed: PolicyTable = keyed.policies.into_iter().collect();
        let gone = super::reload::changed_policies(self.ike.exchange(), (&keyed, self.ike.exchange()));
        self.ike.delete_replaced(now, (&[], &gone), &mut self.plane.engine);
        gone.iter().for_each(|policy| self.plane.drop_waiting(*policy));
        self.ike.set_policies(keyed);
        let policies: Vec<_> = self.plane.engine.policies().collect();
        let outdated = self.ike.generated().outdated(self.ike.exchange(), &policies, &self.plane.engine);
        self.ike.forget_generated(now, &outdated, &mut self.plane.engine);
        self.replace_protection(now)
    }
}

/// Databases that the statements of a text may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    has_sas: bool,
    has_policies: bool,
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.has_sas, self.has_policies) {
            (true, true) => "SAs and policies",
            (true, false) => "SAs",
            _ => "policies",
        })
    }
}

/// Parses all statements. Returns the databases that they may change.
pub(super) fn check(text: &[u8], locals: &[IpAddr]) -> Result<Changes, String> {
    let (mut changes, mut statements) = (Changes::default(), Statements::of_bytes(text));
    while let Some(statement) = statements.next().map_err(|e| e.to_string())? {
        let at = statements.location();
        // A statement that is skipped is a warning when the text is applied.
        let refused = |e: StatementError| if e.is_skipped() { Ok(()) } else { Err(format!("{at}: {e}")) };
        match &statement {
            Statement::Add(add) | Statement::Update(add) => {
                changes.has_sas = true;
                let is_outbound = locals.contains(&add.id.source.0);
                let direction = if is_outbound { Direction::Outbound } else { Direction::Inbound };
                // The addresses of BEET mode are those of a policy, which is found when the text is applied.
                let inner = Some((add.id.source.0, add.id.destination.0));
                match add.params(direction, inner, &LoadOptions::RFC) {
                    Ok(params) => policy::check_manual_sa(&params).map_err(|e| format!("{at}: {e}"))?,
                    Err(e) => refused(e)?,
                }
            }
            Statement::Delete(_) | Statement::DeleteAll { .. } | Statement::Flush(_) => changes.has_sas = true,
            Statement::SpdAdd(policy) | Statement::SpdUpdate(policy) => {
                changes.has_policies = true;
                policy.policy().map(drop).or_else(refused)?;
            }
            Statement::SpdDelete(policy) => {
                changes.has_policies = true;
                policy.selector().map(drop).or_else(refused)?;
            }
            Statement::SpdFlush => changes.has_policies = true,
            _ => {}
        }
    }
    Ok(changes)
}

/// Environment of the statements, with their output.
pub(super) struct Output<'l> {
    /// Addresses of this host: SAs from one of them are outbound.
    locals: &'l [IpAddr],
    now: Instant,
    start: std::time::Duration,
    pub(super) output: SetkeyOutput,
    is_cut: bool,
    pub(super) added: Vec<AddedSa>,
}

/// SA that a statement has added.
pub(super) struct AddedSa {
    pub(super) id: SaId,
    pub(super) source: IpAddr,
    /// The statement, if it can be stored.
    pub(super) statement: Option<AddStatement>,
    pub(super) keys: Option<ShownKeys>,
}

impl<'l> Output<'l> {
    /// Creates the environment of a host with these addresses.
    pub(super) fn new(locals: &'l [IpAddr], now: Instant) -> Self {
        let start = start_of_clock(now);
        Self { locals, now, start, output: SetkeyOutput::default(), is_cut: false, added: Vec::new() }
    }
}

impl Environment for Output<'_> {
    fn directions(&self, sa: &SaSpec) -> SaDirections {
        setkey::LocalAddresses::new(self.locals).directions(sa)
    }

    fn added(&mut self, sa: &setkey::Add<'_>, id: SaId, _: bool) {
        let (statement, keys) = (AddStatement::of(sa), ShownKeys::of_statement(sa, id.direction));
        self.added.push(AddedSa { id, source: sa.id.source.0, statement, keys });
    }

    fn warning(&mut self, at: Location, _: &Statement<'_>, warning: Warning) {
        self.output.warnings.push(format!("{at}: {warning}"));
    }

    fn show(&mut self, shown: Shown<'_>) {
        let text = &mut self.output.text;
        if text.len() > MAX_TEXT {
            if !self.is_cut {
                self.output.warnings.push(format!("output truncated at {MAX_TEXT} octets: `dump` shows all entries"));
            }
            self.is_cut = true;
            return;
        }
        // A String takes everything.
        let _ = match shown {
            Shown::Sa(sa) => writeln!(text, "{}", DumpSa { sa, now: self.now, start: self.start }),
            Shown::Policy(id, policy) => writeln!(text, "{}", DumpPolicy { id, policy }),
            Shown::NoSa => writeln!(text, "No SAD entries."),
            Shown::NoPolicy => writeln!(text, "No SPD entries."),
            _ => Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_checked_before_any_is_applied() {
        let locals = ["192.0.2.1".parse().unwrap()];
        let changes = |text: &str| check(text.as_bytes(), &locals);
        let sa = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc 0x00112233445566778899aabbccddeeff";
        let is = |has_sas, has_policies| Ok(Changes { has_sas, has_policies });
        assert_eq!(changes("dump; spddump;"), is(false, false));
        assert_eq!(changes("flush;"), is(true, false));
        assert_eq!(changes("spdflush; flush esp;"), is(true, true));
        assert_eq!(changes("spddelete 10.1.0.0/16 10.2.0.0/16 any -P out;"), is(false, true));
        assert_eq!(changes(&format!("{sa} -A hmac-sha1 0x{};", "ab".repeat(20))), is(true, false));
        for (text, error) in [
            ("flush; spdad;", "line 1, column 8: `spdad`: unknown command"),
            (&format!("{sa};"), "line 1, column 1: "),
            (
                "add 192.0.2.1 198.51.100.1 esp 0x1001 -E aes-gcm-16 0x00112233445566778899aabbccddeeff00112233;",
                "must not be used with static keys",
            ),
        ] {
            let got = changes(text).unwrap_err();
            assert!(got.contains(error), "{text}: {got}");
        }
    }
}
