//! Extended authentication (draft-beaulieu-ike-xauth-02): after phase 1, the server requests the name and the password
//! of a user. Until it has accepted them, it negotiates no IPsec SAs with the client.
//!
//! ```text
//! server                                                 client
//! REQUEST(TYPE, USER_NAME, USER_PASSWORD)     -->
//!                                             <--        REPLY(USER_NAME, USER_PASSWORD)
//! SET(STATUS)                                 -->
//!                                             <--        ACK(STATUS)
//! ```

use core::fmt;

use ike_codec::{Attribute, Attributes, AuthMethod, Config, ConfigAttribute, ConfigKind, XauthStatus, XauthType};
use ipsec_crypto::{KeyError, Secret};
use ipsec_packet::Instant;

use super::event::{Failure, Gone, IsakmpSaId, Phase, SlotId};
use super::identity::{cookie_digest, user_digest};
use super::informational::new_message_id;
use super::ipsec_sa::{IpsecSlot, Negotiation};
use super::isakmp_sa::PendingDelete;
use super::mode_config::ModeConfig;
use super::stage::Stage;
use super::suspend::{Stop, answered};
use super::transaction::{Outcome, Step, identifier};
use super::{Host, Negotiator, Refusal, Role};
use crate::{IvChain, NextIv};

/// Longest user name, password or passcode in octets.
pub const MAX_CREDENTIAL: usize = 64;

/// Name and password of a user, which the client sends to the server. They are wiped on drop, and never printed.
#[derive(Debug)]
pub struct Credentials {
    user: Secret<MAX_CREDENTIAL>,
    password: Secret<MAX_CREDENTIAL>,
    passcode: Option<Secret<MAX_CREDENTIAL>>,
}

impl Credentials {
    /// Copies a name and a password, of at most [`MAX_CREDENTIAL`] octets each.
    ///
    /// # Errors
    /// [`KeyError::Length`] if one of them is longer.
    pub fn new(user: &[u8], password: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { user: Secret::new(user)?, password: Secret::new(password)?, passcode: None })
    }

    /// Adds the passcode of a token, for servers that request one.
    ///
    /// # Errors
    /// [`KeyError::Length`] if it is longer than [`MAX_CREDENTIAL`] octets.
    pub fn with_passcode(self, passcode: &[u8]) -> Result<Self, KeyError> {
        Ok(Self { passcode: Some(Secret::new(passcode)?), ..self })
    }
}

/// Request of a server for the credentials of a user.
#[derive(Clone, Copy, Debug)]
pub struct XauthRequest<'a> {
    /// ISAKMP SA of the request.
    pub sa: IsakmpSaId,
    attributes: Attributes<'a>,
}

impl<'a> XauthRequest<'a> {
    /// Returns the text of the server for the user, which is empty if there is none.
    pub fn message(&self) -> &'a [u8] {
        let found = self.attributes.find(ConfigAttribute::XAUTH_MESSAGE.0);
        found.and_then(|attribute| attribute.bytes()).unwrap_or_default()
    }

    /// Returns whether the server requests an attribute.
    pub fn asks(&self, attribute: ConfigAttribute) -> bool {
        self.attributes.find(attribute.0).is_some()
    }
}

/// Name and password that a client has sent. They are not printed.
#[derive(Clone, Copy)]
pub struct XauthAnswer<'a> {
    /// ISAKMP SA of the client.
    pub sa: IsakmpSaId,
    /// Name of the user, at most [`MAX_CREDENTIAL`] octets.
    pub user: &'a [u8],
    /// Password of the user, at most [`MAX_CREDENTIAL`] octets.
    pub password: &'a [u8],
}

impl fmt::Debug for XauthAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XauthAnswer").field("sa", &self.sa).finish_non_exhaustive()
    }
}

/// Role of a host in extended authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XauthRole {
    /// The host requests name and password of the user of the peer.
    Server,
    /// The host sends name and password of its user.
    Client,
}

impl fmt::Display for XauthRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// Returns the role of a host in extended authentication, `None` if the authentication method of phase 1 has none. The
/// name of a method says whether the initiator or the responder of phase 1 is the client.
pub(crate) fn xauth_role(method: AuthMethod, role: Role) -> Option<XauthRole> {
    let client = match method {
        AuthMethod::XAUTH_INIT_PRE_SHARED
        | AuthMethod::XAUTH_INIT_DSS
        | AuthMethod::XAUTH_INIT_RSA
        | AuthMethod::XAUTH_INIT_RSA_ENCRYPTION
        | AuthMethod::XAUTH_INIT_RSA_REVISED
        | AuthMethod::HYBRID_INIT_RSA
        | AuthMethod::HYBRID_INIT_DSS => Role::Initiator,
        AuthMethod::XAUTH_RESP_PRE_SHARED
        | AuthMethod::XAUTH_RESP_DSS
        | AuthMethod::XAUTH_RESP_RSA
        | AuthMethod::XAUTH_RESP_RSA_ENCRYPTION
        | AuthMethod::XAUTH_RESP_RSA_REVISED
        | AuthMethod::HYBRID_RESP_RSA
        | AuthMethod::HYBRID_RESP_DSS => Role::Responder,
        _ => return None,
    };
    Some(if role == client { XauthRole::Client } else { XauthRole::Server })
}

/// Progress of an ISAKMP SA from phase 1 to the negotiation of IPsec SAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Phase 1 is complete, and the configuration of the peer has not been read yet.
    New,
    /// Server: the user of the client is not authenticated.
    OwesLogin,
    /// Server: the client acknowledges that its user was rejected.
    RefusesLogin,
    /// Client: the server has not accepted the user.
    AwaitsLogin,
    /// Server: the configuration of the client is to be set.
    OwesConfig,
    /// Client: the configuration is to be requested.
    RequestsConfig,
    /// Client: the server sets the configuration.
    AwaitsConfig,
    /// Client: the caller is to fetch the configuration, as it may change the policies.
    HasConfig,
    /// IPsec SAs may be negotiated.
    Open,
    /// The SA is deleted for this reason.
    Denied(Denied),
}

/// Reason why an ISAKMP SA ends before IPsec SAs are negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The server has rejected the user, or the client has no credentials.
    Rejected,
    /// The server has no address for the client.
    NoAddress,
    /// Extended authentication was not completed in time.
    Late,
    /// A transaction exchange had no answer.
    NoAnswer,
}

impl Access {
    /// Returns the initial state of an SA.
    pub fn first(login: Option<XauthRole>, config: Option<ModeConfig>) -> Self {
        match login {
            Some(XauthRole::Server) => Self::OwesLogin,
            Some(XauthRole::Client) => Self::AwaitsLogin,
            None => Self::after_login(config),
        }
    }

    /// Returns the state after extended authentication.
    pub const fn after_login(config: Option<ModeConfig>) -> Self {
        match config {
            Some(ModeConfig::Request) => Self::RequestsConfig,
            Some(ModeConfig::Accept) => Self::AwaitsConfig,
            Some(ModeConfig::Assign) => Self::OwesConfig,
            Some(ModeConfig::Answer) | None => Self::Open,
        }
    }

    /// Returns whether the peer may begin quick mode, or request its configuration.
    pub const fn permits_peer(self) -> bool {
        !matches!(self, Self::New | Self::OwesLogin | Self::RefusesLogin | Self::AwaitsLogin | Self::Denied(_))
    }

    /// Returns the first stage of the transaction exchange that this host has to begin.
    pub const fn to_begin(self) -> Option<Stage> {
        match self {
            Self::OwesLogin => Some(Stage::XauthAwaitsReply),
            Self::RequestsConfig => Some(Stage::ConfigAwaitsReply),
            Self::OwesConfig => Some(Stage::ConfigAwaitsAck),
            _ => None,
        }
    }

    /// Returns the state after the acknowledgement of a transaction exchange.
    pub const fn acknowledged(self, stage: Stage) -> Self {
        match (self, stage) {
            (Self::RefusesLogin, Stage::XauthAwaitsAck) => Self::Denied(Denied::Rejected),
            (Self::OwesConfig, Stage::ConfigAwaitsAck) => Self::Open,
            (other, _) => other,
        }
    }

    /// Returns the state after a transaction exchange that has failed. A user that was accepted may have missed it, and
    /// a client without an acknowledgement may have its configuration.
    pub const fn failed(self, stage: Stage) -> Self {
        match (self, stage) {
            (Self::OwesLogin, Stage::XauthAwaitsReply)
            | (Self::AwaitsLogin, Stage::TransactionAwaitsHost)
            | (Self::RequestsConfig, Stage::ConfigAwaitsReply) => Self::Denied(Denied::NoAnswer),
            (other, _) => other.acknowledged(stage),
        }
    }
}

impl Denied {
    /// Returns the reason for the events. A message was sent this number of times.
    pub const fn refusal(self, sends: u8) -> Refusal {
        match self {
            Self::Rejected => Refusal::XauthRejected,
            Self::NoAddress => Refusal::NoAddress,
            Self::Late => Refusal::XauthOwed,
            Self::NoAnswer => Refusal::NoAnswer { sends },
        }
    }
}

impl<const SAS: usize, const EXCHANGES: usize, const IPSEC_SAS: usize, const BUFFER: usize>
    Negotiator<SAS, EXCHANGES, IPSEC_SAS, BUFFER>
{
    /// Records the end of a transaction exchange that has failed.
    pub(super) fn end_transaction(&mut self, sa: Option<SlotId>, stage: Stage) {
        if let Some(sa) = sa.and_then(|id| self.isakmp_sa_mut(id).ok()) {
            sa.access = sa.access.failed(stage);
        }
    }

    /// Deletes an ISAKMP SA whose user or configuration was refused. The requests that wait for it fail.
    pub(super) fn deny(&mut self, index: usize, now: Instant, why: Denied, host: &mut dyn Host) {
        let reason = why.refusal(self.settings.sends);
        let Some(sa) = self.isakmp.get_mut(index) else { return };
        let (peer, path, role) = (sa.peer, sa.path, sa.role);
        sa.delete = Some(PendingDelete::new(new_message_id(sa, host), now));
        sa.end(Gone::AccessDenied);
        if why != Denied::NoAnswer {
            self.counters.count(reason.counter());
        }
        let mut is_wanted = false;
        for index in 0..self.pairs.len() {
            let is_it =
                |pair: &IpsecSlot| pair.peer == peer && pair.stage == Negotiation::Wanted && pair.gone.is_none();
            if self.pairs.get(index).is_some_and(is_it) {
                is_wanted = true;
                self.fail_pair(index, Phase::Transaction, reason, None);
            }
        }
        if !is_wanted {
            let phase = Phase::Transaction;
            self.fail(Failure { peer: Some(peer), path, sa: None, phase, role, reason, hint: None });
        }
        self.end_orphans();
        self.touch();
    }
}

/// Returns whether a message is one of extended authentication.
pub(crate) fn is_xauth(attributes: &Attributes<'_>) -> bool {
    attributes.iter().any(|attribute| is_xauth_kind(attribute.kind))
}

/// Requests name and password as server.
pub(crate) fn begin(step: &mut Step<'_>) -> Result<(), Stop> {
    let (chain, id) = (step.first_chain()?, identifier(step.state.message_id));
    step.send(&chain, ConfigKind::REQUEST, id, &mut |list| {
        list.basic(ConfigAttribute::XAUTH_TYPE.0, XauthType::GENERIC.0)?;
        list.variable(ConfigAttribute::XAUTH_USER_NAME.0, &[])?;
        list.variable(ConfigAttribute::XAUTH_USER_PASSWORD.0, &[])
    })?;
    step.state.stage = Stage::XauthAwaitsReply;
    Ok(())
}

/// Verifies name and password as server, and sends the result in a new exchange.
pub(crate) fn take_reply(step: &mut Step<'_>, config: &Config<'_>) -> Result<Outcome, Stop> {
    let find = |kind: ConfigAttribute| config.attributes.find(kind.0);
    let octets = |kind| find(kind).and_then(|attribute| attribute.bytes()).filter(|o| o.len() <= MAX_CREDENTIAL);
    let has_given_up = find(ConfigAttribute::XAUTH_STATUS).is_some();
    let name_and_password = (octets(ConfigAttribute::XAUTH_USER_NAME), octets(ConfigAttribute::XAUTH_USER_PASSWORD));
    let (is_valid, user) = match name_and_password {
        (Some(user), Some(password)) if !has_given_up => {
            let answer = XauthAnswer { sa: IsakmpSaId(step.sa.id), user, password };
            (answered(step.host.login(step.state.peer, &answer))?, user)
        }
        _ => (false, &[][..]),
    };
    let mode = step.host.peer(step.state.peer).ok_or(Refusal::Superseded)?.mode_config;
    step.state.message_id = new_message_id(step.sa, step.host);
    let (chain, id) = (step.first_chain()?, identifier(step.state.message_id));
    let status = if is_valid { XauthStatus::OK } else { XauthStatus::FAIL };
    step.send(&chain, ConfigKind::SET, id, &mut |list| list.basic(ConfigAttribute::XAUTH_STATUS.0, status.0))?;
    step.state.stage = Stage::XauthAwaitsAck;
    if is_valid {
        step.sa.access = Access::after_login(mode);
        step.sa.has_logged_in = true;
        // Users of a group have the same identity in phase 1. From now on, that of the SA is the one of the user.
        step.sa.identity ^= user_digest(step.secret, user) ^ cookie_digest(step.secret, &step.sa.cookies);
    } else {
        step.sa.access = Access::RefusesLogin;
    }
    Ok(Outcome::Sent)
}

/// Sends name and password as client, or a failure if there are none.
pub(crate) fn answer(step: &mut Step<'_>, config: &Config<'_>, next: NextIv) -> Result<Outcome, Stop> {
    let request = XauthRequest { sa: IsakmpSaId(step.sa.id), attributes: config.attributes };
    let of_type = config.attributes.find(ConfigAttribute::XAUTH_TYPE.0);
    let kind = of_type.and_then(|attribute| attribute.number()).unwrap_or(0);
    let is_generic = kind == u64::from(XauthType::GENERIC.0);
    let asked = if is_generic { answered(step.host.credentials(step.state.peer, &request))? } else { None };
    let credentials = asked.filter(|credentials| credentials.satisfy(&request));
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(next);
    step.send(&chain, ConfigKind::REPLY, config.identifier, &mut |list| {
        let Some(credentials) = &credentials else {
            return list.basic(ConfigAttribute::XAUTH_STATUS.0, XauthStatus::FAIL.0);
        };
        // The type is returned, and the order is that of the request.
        for attribute in config.attributes.iter() {
            if attribute.kind == ConfigAttribute::XAUTH_TYPE.0 {
                list.attribute(&attribute)?;
            } else if let Some(value) = credentials.value(ConfigAttribute(attribute.kind)) {
                list.variable(attribute.kind, value)?;
            }
        }
        Ok(())
    })?;
    step.state.stage = Stage::Answers;
    Ok(Outcome::Sent)
}

impl Credentials {
    /// Returns the value of an attribute, which is empty for a domain, and `None` for attributes without a value.
    fn value(&self, attribute: ConfigAttribute) -> Option<&[u8]> {
        match attribute {
            ConfigAttribute::XAUTH_USER_NAME => Some(self.user.expose()),
            ConfigAttribute::XAUTH_USER_PASSWORD => Some(self.password.expose()),
            ConfigAttribute::XAUTH_PASSCODE | ConfigAttribute::XAUTH_ANSWER => Some(self.passcode.as_ref()?.expose()),
            ConfigAttribute::XAUTH_DOMAIN => Some(&[]),
            _ => None,
        }
    }

    /// Returns whether there is a value of every attribute that the server requests.
    fn satisfy(&self, request: &XauthRequest<'_>) -> bool {
        let is_told = |attribute: Attribute<'_>| {
            matches!(
                ConfigAttribute(attribute.kind),
                ConfigAttribute::XAUTH_TYPE | ConfigAttribute::XAUTH_MESSAGE | ConfigAttribute::XAUTH_CHALLENGE
            )
        };
        let mut all =
            request.attributes.iter().filter(|attribute| is_xauth_kind(attribute.kind) && !is_told(*attribute));
        all.all(|attribute| self.value(ConfigAttribute(attribute.kind)).is_some())
    }
}

fn is_xauth_kind(kind: u16) -> bool {
    (ConfigAttribute::XAUTH_TYPE.0..=ConfigAttribute::XAUTH_ANSWER.0).contains(&kind)
}

/// Acknowledges the result as client.
pub(crate) fn take_status(step: &mut Step<'_>, config: &Config<'_>, next: NextIv) -> Result<Outcome, Stop> {
    let unexpected = Refusal::ConfigKind { got: config.kind, expected: None };
    let status = config.attributes.find(ConfigAttribute::XAUTH_STATUS.0).ok_or(unexpected)?;
    let mode = step.host.peer(step.state.peer).ok_or(Refusal::Superseded)?.mode_config;
    let mut chain = IvChain::starting_at(&[]);
    chain.confirm(next);
    step.send(&chain, ConfigKind::ACK, config.identifier, &mut |list| list.attribute(&status))?;
    step.state.stage = Stage::Answers;
    if status.number() == Some(XauthStatus::OK.0.into()) {
        step.sa.has_logged_in = true;
        // A server may authenticate the user again later.
        if step.sa.access == Access::AwaitsLogin {
            step.sa.access = Access::after_login(mode);
        }
    } else {
        step.sa.access = Access::Denied(Denied::Rejected);
    }
    Ok(Outcome::Sent)
}
