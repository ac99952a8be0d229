//! Application of a configuration text to the databases of any back end.

use core::fmt;
use core::net::IpAddr;

use heapless::Vec;
use ipsec_packet::Instant;
use ipsec_sa::{
    Action, Direction, Mode, PolicyBackend, PolicyId, PolicyParams, Protocol, SaBackend, SaId, SaStatus,
    TunnelEndpoints,
};

use super::error::{Location, SetkeyError};
use super::params::{LoadOptions, StatementError};
use super::statement::{Add, Statement, Statements};
use super::values::{SaProtocol, SaSpec};

/// Directions in which an SA is used (RFC 4301 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaDirections {
    /// The SA opens received packets.
    Inbound,
    /// The SA seals packets that are sent.
    Outbound,
    /// Both, as for traffic between two addresses of this host.
    Both,
}

impl SaDirections {
    fn iter(self) -> impl Iterator<Item = Direction> {
        let inbound = (self != Self::Outbound).then_some(Direction::Inbound);
        inbound.into_iter().chain((self != Self::Inbound).then_some(Direction::Outbound))
    }
}

/// Properties of the host that a configuration text does not specify, and the output of its statements.
pub trait Environment {
    /// Returns the directions of an SA, which a statement does not specify.
    fn directions(&self, sa: &SaSpec) -> SaDirections;

    /// Returns the inner source and destination address of an SA of BEET mode. The default is that of the policy with
    /// the endpoints of the SA, which is searched in the text.
    fn inner_addresses(&self, sa: &SaSpec, text: &[u8]) -> Option<(IpAddr, IpAddr)> {
        inner_addresses(sa, text)
    }

    /// Returns the last sequence number that an outbound SA with these keys has sent, for algorithms whose nonce
    /// contains it; `None` refuses them ([`StatementError::NonceReuse`]), which is the default.
    fn last_sequence(&mut self, sa: &SaSpec) -> Option<ipsec_packet::Seq> {
        let _ = sa;
        None
    }

    /// Handles an SA that was added. `is_numbered` is set if [`last_sequence`](Self::last_sequence) was called for it.
    fn added(&mut self, sa: &Add<'_>, id: SaId, is_numbered: bool) {
        let _ = (sa, id, is_numbered);
    }

    /// Handles a statement that had no effect, or has another effect than it appears to have. The text of a statement
    /// may contain keys.
    fn warning(&mut self, at: Location, statement: &Statement<'_>, warning: Warning) {
        let _ = (at, statement, warning);
    }

    /// Handles each SA that `get` or `dump` shows, and each policy that `spddump` shows.
    fn show(&mut self, shown: Shown<'_>) {
        let _ = shown;
    }
}

/// Entry that a statement shows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Shown<'a> {
    /// SA of the SAD.
    Sa(&'a SaStatus),
    /// Policy of the SPD with its number.
    Policy(PolicyId, &'a PolicyParams),
    /// The SAD has no such entry.
    NoSa,
    /// The SPD is empty.
    NoPolicy,
}

/// Environment of a host with these addresses: SAs to one of them are inbound, the others outbound.
#[derive(Clone, Debug)]
pub struct LocalAddresses<'l> {
    addresses: &'l [IpAddr],
    loaded: Loaded,
}

impl<'l> LocalAddresses<'l> {
    /// Creates the environment of a host with these addresses.
    pub const fn new(addresses: &'l [IpAddr]) -> Self {
        Self { addresses, loaded: Loaded { sas: 0, warnings: Vec::new(), more_warnings: 0 } }
    }

    /// Returns the number of loaded SAs and the warnings.
    pub const fn loaded(&self) -> &Loaded {
        &self.loaded
    }
}

impl Environment for LocalAddresses<'_> {
    fn directions(&self, sa: &SaSpec) -> SaDirections {
        let is_local = |address| self.addresses.contains(&address);
        match (is_local(sa.source.0), is_local(sa.destination.0)) {
            (true, true) => SaDirections::Both,
            (true, false) => SaDirections::Outbound,
            // An SA between other hosts is never used to send.
            (false, _) => SaDirections::Inbound,
        }
    }

    fn added(&mut self, _: &Add<'_>, _: SaId, _: bool) {
        self.loaded.sas = self.loaded.sas.saturating_add(1);
    }

    fn warning(&mut self, at: Location, _: &Statement<'_>, warning: Warning) {
        if self.loaded.warnings.push((at, warning)).is_err() {
            self.loaded.more_warnings = self.loaded.more_warnings.saturating_add(1);
        }
    }
}

/// Result of [`apply`]: SAs that were added, and warnings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Number of SAs that were added.
    pub sas: u32,
    /// Warnings with their positions, up to 16.
    pub warnings: Vec<(Location, Warning), 16>,
    /// Number of further warnings.
    pub more_warnings: u32,
}

/// Warning about a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The statement was skipped.
    Skipped(StatementError),
    /// The statement removes an entry that does not exist.
    NoSuchEntry,
    /// The action is meant for the policies of sockets. In the SPD it means the same as `none`.
    SocketAction,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(why) => write!(f, "{why}; statement skipped"),
            Self::NoSuchEntry => f.write_str("no such entry"),
            Self::SocketAction => f.write_str("bypass and entrust are for sockets and mean none here"),
        }
    }
}

/// Error of a configuration text that was applied. `S` and `P` are the errors of the back end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplyError<S, P> {
    /// Position of the statement.
    pub at: Location,
    /// Kind of the error.
    pub kind: ApplyErrorKind<S, P>,
}

/// Kind of an error of a configuration text that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyErrorKind<S, P> {
    /// The text is not well-formed. No statement was applied.
    Syntax(SetkeyError),
    /// A well-formed statement cannot be applied.
    Statement(Option<SaSpec>, StatementError),
    /// The back end refused a command about SAs, as a rule about this one.
    Sa(Option<SaSpec>, S),
    /// The back end refused a policy.
    Policy(P),
}

impl<S: fmt::Display, P: fmt::Display> fmt::Display for ApplyError<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match &self.kind {
            // The error has a position of its own, that of the word.
            ApplyErrorKind::Syntax(e) => e.fmt(f),
            ApplyErrorKind::Statement(Some(sa), e) => write!(f, "{at}: add {sa}: {e}"),
            ApplyErrorKind::Statement(None, e) => write!(f, "{at}: {e}"),
            ApplyErrorKind::Sa(Some(sa), e) => write!(f, "{at}: add {sa}: {e}"),
            ApplyErrorKind::Sa(None, e) => write!(f, "{at}: {e}"),
            ApplyErrorKind::Policy(e) => write!(f, "{at}: policy: {e}"),
        }
    }
}

impl<S: core::error::Error + 'static, P: core::error::Error + 'static> core::error::Error for ApplyError<S, P> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            ApplyErrorKind::Syntax(e) => Some(e),
            ApplyErrorKind::Statement(_, e) => Some(e),
            ApplyErrorKind::Sa(_, e) => Some(e),
            ApplyErrorKind::Policy(e) => Some(e),
        }
    }
}

impl<S, P> From<StatementError> for ApplyErrorKind<S, P> {
    fn from(e: StatementError) -> Self {
        Self::Statement(None, e)
    }
}

/// Error of the commands of a back end.
type Refused<B> = ApplyErrorKind<<B as SaBackend>::Error, <B as PolicyBackend>::Error>;
/// Result of [`apply_with`] for a back end.
type Applied<B> = Result<(), ApplyError<<B as SaBackend>::Error, <B as PolicyBackend>::Error>>;

/// Applies a text to a back end, with the properties of the RFCs ([`LoadOptions::RFC`]). SAs to one of the `local`
/// addresses are inbound, SAs from one of them outbound.
///
/// # Errors
/// [`ApplyError`], with the position of the statement. A text with a syntax error is not applied at all. If the back
/// end refuses a statement, those before it stay applied.
pub fn apply<B: SaBackend + PolicyBackend>(
    backend: &mut B,
    text: &[u8],
    local: &[IpAddr],
    now: Instant,
) -> Result<Loaded, ApplyError<<B as SaBackend>::Error, <B as PolicyBackend>::Error>> {
    let mut environment = LocalAddresses::new(local);
    apply_with(backend, text, &mut environment, &LoadOptions::RFC, now)?;
    Ok(environment.loaded)
}

/// Applies a text to a back end, in an environment and with properties of the caller.
///
/// # Errors
/// [`ApplyError`], see [`apply`].
pub fn apply_with<B: SaBackend + PolicyBackend>(
    backend: &mut B,
    text: &[u8],
    environment: &mut impl Environment,
    options: &LoadOptions,
    now: Instant,
) -> Applied<B> {
    let syntax = |e: SetkeyError| {
        let at = Location { line: e.line, column: e.column };
        ApplyError { at, kind: ApplyErrorKind::Syntax(e) }
    };
    let mut check = Statements::of_bytes(text);
    while check.next().map_err(syntax)?.is_some() {}
    let mut statements = Statements::of_bytes(text);
    while let Some(statement) = statements.next().map_err(syntax)? {
        let mut step = Step { backend: &mut *backend, environment: &mut *environment, options, now, text };
        match step.apply(&statement) {
            Ok(None) => {}
            Ok(Some(warning)) => environment.warning(statements.location(), &statement, warning),
            Err(ApplyErrorKind::Statement(_, why)) if why.is_skipped() => {
                environment.warning(statements.location(), &statement, Warning::Skipped(why));
            }
            Err(kind) => return Err(ApplyError { at: statements.location(), kind }),
        }
    }
    Ok(())
}

/// Application of one statement.
struct Step<'s, B, E> {
    backend: &'s mut B,
    environment: &'s mut E,
    options: &'s LoadOptions,
    now: Instant,
    text: &'s [u8],
}

impl<B: SaBackend + PolicyBackend, E: Environment> Step<'_, B, E> {
    fn apply(&mut self, statement: &Statement<'_>) -> Result<Option<Warning>, Refused<B>> {
        let done = |found: bool| Ok((!found).then_some(Warning::NoSuchEntry));
        match statement {
            Statement::Add(sa) => self.add(sa, false),
            Statement::Update(sa) => self.add(sa, true),
            Statement::Delete(spec) => done(self.delete(Selection::One(*spec))?),
            Statement::DeleteAll { source, destination, protocol } => {
                done(self.delete(Selection::Between(*source, *destination, *protocol))?)
            }
            Statement::Flush(protocol) => {
                if let Some(protocol) = of_protocol(*protocol) {
                    self.backend.flush(protocol).map_err(|e| ApplyErrorKind::Sa(None, e))?;
                }
                Ok(None)
            }
            Statement::Get(spec) => self.show(Selection::One(*spec)),
            Statement::Dump(protocol) => self.show(Selection::All(*protocol)),
            Statement::SpdAdd(statement) => {
                self.backend.add_policy(&statement.policy()?).map_err(ApplyErrorKind::Policy)?;
                Ok(statement.warning())
            }
            Statement::SpdUpdate(statement) => {
                self.backend.update_policy(&statement.policy()?).map_err(ApplyErrorKind::Policy)?;
                Ok(statement.warning())
            }
            Statement::SpdDelete(statement) => {
                let selector = statement.selector()?;
                done(self.backend.delete_policy(statement.direction, &selector).map_err(ApplyErrorKind::Policy)?)
            }
            Statement::SpdFlush => self.backend.flush_policies().map_err(ApplyErrorKind::Policy).map(|()| None),
            Statement::SpdDump => {
                let mut is_empty = true;
                let environment = &mut *self.environment;
                self.backend.dump_policies(&mut |id, policy| {
                    is_empty = false;
                    environment.show(Shown::Policy(id, policy));
                });
                if is_empty {
                    self.environment.show(Shown::NoPolicy);
                }
                Ok(None)
            }
            Statement::Exit => Ok(None),
        }
    }

    fn add(&mut self, sa: &Add<'_>, replaces: bool) -> Result<Option<Warning>, Refused<B>> {
        let inner = match sa.mode {
            Mode::Beet => self.environment.inner_addresses(&sa.id, self.text),
            _ => None,
        };
        for direction in self.environment.directions(&sa.id).iter() {
            let impossible = |e| ApplyErrorKind::Statement(Some(sa.id), e);
            let (params, is_numbered) = match sa.params(direction, inner, self.options) {
                Err(why @ StatementError::NonceReuse(_)) => {
                    let last = self.environment.last_sequence(&sa.id).ok_or(impossible(why))?;
                    (sa.params(direction, inner, &self.options.continuing_after(last)).map_err(impossible)?, true)
                }
                params => (params.map_err(impossible)?, false),
            };
            let refused = |e| ApplyErrorKind::Sa(Some(sa.id), e);
            if replaces && self.backend.get(&params.id, params.source).is_some() {
                self.backend.delete(&params.id, params.source).map_err(refused)?;
            }
            self.backend.add(&params, self.now).map_err(refused)?;
            self.environment.added(sa, params.id, is_numbered);
            if !B::IS_LOCAL {
                break;
            }
        }
        Ok(None)
    }

    /// Removes the SAs that a statement selects. Returns whether there were any, as far as the back end answers.
    fn delete(&mut self, selection: Selection) -> Result<bool, Refused<B>> {
        let mut found = false;
        loop {
            let mut next = None;
            self.backend.dump(&mut |sa| {
                if next.is_none() && selection.selects(sa) {
                    next = Some((sa.id, sa.source));
                }
            });
            let Some((id, source)) = next else { break };
            let refused = |e| ApplyErrorKind::Sa(selection.spec(), e);
            self.backend.delete(&id, source).map_err(refused)?;
            found = true;
        }
        if !B::IS_LOCAL
            && let Some((id, source)) = selection.id()
        {
            self.backend.delete(&id, source).map_err(|e| ApplyErrorKind::Sa(selection.spec(), e))?;
            found = true;
        }
        Ok(found)
    }

    fn show(&mut self, selection: Selection) -> Result<Option<Warning>, Refused<B>> {
        let mut is_empty = true;
        let environment = &mut *self.environment;
        self.backend.dump(&mut |sa| {
            if selection.selects(sa) {
                is_empty = false;
                environment.show(Shown::Sa(sa));
            }
        });
        if is_empty {
            self.environment.show(Shown::NoSa);
        }
        Ok(None)
    }
}

/// SAs that a statement selects.
#[derive(Clone, Copy)]
enum Selection {
    One(SaSpec),
    Between(IpAddr, IpAddr, SaProtocol),
    All(Option<SaProtocol>),
}

impl Selection {
    fn selects(&self, sa: &SaStatus) -> bool {
        let is_of = |protocol| of_protocol(Some(protocol)).is_some_and(|known| known == Some(sa.id.protocol));
        let ends = (sa.source, sa.id.destination);
        match *self {
            Self::One(spec) => {
                ends == (spec.source.0, spec.destination.0) && sa.managed_spi == spec.spi && is_of(spec.protocol)
            }
            Self::Between(source, destination, protocol) => ends == (source, destination) && is_of(protocol),
            Self::All(protocol) => protocol.is_none_or(is_of),
        }
    }

    /// Returns the identifier and source of a single SA.
    fn id(&self) -> Option<(SaId, IpAddr)> {
        let Self::One(spec) = self else { return None };
        let protocol = of_protocol(Some(spec.protocol))??;
        Some((SaId::inbound(spec.destination.0, protocol, spec.spi), spec.source.0))
    }

    const fn spec(&self) -> Option<SaSpec> {
        match *self {
            Self::One(spec) => Some(spec),
            Self::Between(source, destination, protocol) => {
                Some(SaSpec { source: (source, None), destination: (destination, None), protocol, spi: 0 })
            }
            Self::All(_) => None,
        }
    }
}

/// Returns the protocol of the SAs of a statement; `None` inside for all, and outside for those that no back end has.
const fn of_protocol(protocol: Option<SaProtocol>) -> Option<Option<Protocol>> {
    match protocol {
        None => Some(None),
        Some(SaProtocol::Esp | SaProtocol::EspUdp) => Some(Some(Protocol::Esp)),
        Some(SaProtocol::Ah) => Some(Some(Protocol::Ah)),
        Some(SaProtocol::Ipcomp) => Some(Some(Protocol::Ipcomp)),
        Some(SaProtocol::EspOld | SaProtocol::AhOld | SaProtocol::Tcp) => None,
    }
}

/// Returns the hosts of the first policy of the text that uses an SA of BEET mode between these endpoints.
fn inner_addresses(sa: &SaSpec, text: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let mut statements = Statements::of_bytes(text);
    while let Ok(Some(statement)) = statements.next() {
        let (Statement::SpdAdd(policy) | Statement::SpdUpdate(policy)) = statement else { continue };
        let Ok(PolicyParams { selector, action: Action::Protect(bundle), .. }) = policy.policy() else { continue };
        let ends = |ends: TunnelEndpoints| ends.matches(sa.source.0, sa.destination.0);
        if bundle.iter().any(|template| template.mode == Mode::Beet && template.ends.is_some_and(ends)) {
            return Some((selector.source.first(), selector.destination.first()));
        }
    }
    None
}
