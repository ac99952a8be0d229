use core::fmt;

use crate::dialect::{Dialect, Wire};
use crate::error::PfkeyErrorKind;
use crate::extension::{Extension, sockaddr, take};
use ipsec_sa::{Action, Bundle, Level, Mode, PolicyDirection, Protocol, Template, TunnelEndpoints};

/// Policy without its selector, which is in the addresses of the message (ipsec_set_policy(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyExtension<'a> {
    /// Type of the policy.
    pub kind: PolicyKind,
    /// Direction by number: see [`direction`](Self::direction).
    pub direction: u8,
    /// Number of the policy; 0 if the kernel chooses it.
    pub id: u32,
    /// Priority of the policy, which Linux and FreeBSD use.
    pub priority: u32,
    /// Templates of the policy.
    pub templates: Templates<'a>,
}

/// Type of a policy (RFC 4301 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub enum PolicyKind {
    Discard,
    None,
    Ipsec,
    Entrust,
    Bypass,
}

/// Templates of a policy (ipsec_set_policy(3)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Templates<'a> {
    octets: &'a [u8],
    wire: Wire,
}

impl<'a> PolicyExtension<'a> {
    pub(crate) fn read(wire: Wire, body: &mut &'a [u8]) -> Result<Self, PfkeyErrorKind> {
        let order = wire.order;
        let [a, b, direction, _] = *take(body)?;
        let kind = match order.u16([a, b]) {
            0 => PolicyKind::Discard,
            1 => PolicyKind::None,
            2 => PolicyKind::Ipsec,
            3 => PolicyKind::Entrust,
            4 => PolicyKind::Bypass,
            _ => return Err(PfkeyErrorKind::Policy),
        };
        let (id, priority) = (order.u32(*take(body)?), order.u32(*take(body)?));
        let templates = Templates { octets: body, wire };
        let mut rest = templates.octets;
        while !rest.is_empty() {
            rest = templates.split(rest)?.1;
        }
        Ok(Self { kind, direction, id, priority, templates })
    }

    /// Returns the direction; `None` for the policy of a socket, and for unknown numbers (RFC 4301 section 4.4.1).
    pub const fn direction(&self) -> Option<PolicyDirection> {
        match self.direction {
            1 => Some(PolicyDirection::In),
            2 => Some(PolicyDirection::Out),
            3 => Some(PolicyDirection::Forward),
            _ => None,
        }
    }

    /// Returns the action, where `none`, `entrust` and `bypass` are one; `None` if the policy has more templates than
    /// [`Bundle`] can hold (RFC 4301 section 4.4.1).
    pub fn action(&self) -> Option<Action> {
        Some(match self.kind {
            PolicyKind::Discard => Action::Discard,
            PolicyKind::None | PolicyKind::Entrust | PolicyKind::Bypass => Action::Bypass,
            PolicyKind::Ipsec => {
                Action::Protect(self.templates.iter().try_fold(Bundle::default(), |bundle, next| bundle.with(next))?)
            }
        })
    }
}

/// Returns the length of a template without its addresses, in octets: Linux has a request ID of 32 bits, and 4 octets
/// behind it.
pub(crate) const fn template_head(dialect: Dialect) -> usize {
    if matches!(dialect, Dialect::Linux) { 16 } else { 8 }
}

impl<'a> Templates<'a> {
    /// Iterates over the templates in their order.
    pub fn iter(&self) -> impl Iterator<Item = Template> + 'a {
        let (all, mut rest) = (*self, self.octets);
        core::iter::from_fn(move || {
            let (template, behind) = all.split(rest).ok()?;
            rest = behind;
            Some(template)
        })
    }

    pub(crate) const fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// Splits the first template from the rest.
    fn split(&self, octets: &'a [u8]) -> Result<(Template, &'a [u8]), PfkeyErrorKind> {
        let order = self.wire.order;
        let wrong = PfkeyErrorKind::Template;
        let &[l_1, l_2, p_1, p_2, mode, level, r_1, r_2] = octets.first_chunk().ok_or(wrong)?;
        let length = usize::from(order.u16([l_1, l_2]));
        let (template, behind) = octets.split_at_checked(length).ok_or(wrong)?;
        let (head, addresses) = template.split_at_checked(template_head(self.wire.dialect)).ok_or(wrong)?;
        let reqid = match head.get(8..).and_then(<[u8]>::first_chunk) {
            Some(reqid) => order.u32(*reqid),
            None => order.u16([r_1, r_2]).into(),
        };
        let protocol = match order.u16([p_1, p_2]) {
            50 => Protocol::Esp,
            51 => Protocol::Ah,
            108 => Protocol::Ipcomp,
            _ => return Err(wrong),
        };
        let mode = Extension::mode(mode).ok_or(wrong)?;
        let level = match (level, reqid) {
            (0, _) => Level::Default,
            (1, _) => Level::Use,
            (2, _) => Level::Require,
            (3, 0) => Level::Unique,
            (3, id) => Level::UniqueId(id),
            _ => return Err(wrong),
        };
        let ends = match addresses {
            [] if mode == Mode::Tunnel => return Err(wrong),
            [] => None,
            // Linux fills the addresses of a template in transport mode with zeros.
            addresses if mode == Mode::Transport && addresses.iter().all(|octet| *octet == 0) => None,
            addresses => {
                let (source, port, octets) = sockaddr(self.wire, addresses)?;
                let rest = addresses.get(octets..).ok_or(wrong)?;
                let (destination, to_port, _) = sockaddr(self.wire, rest)?;
                let named = |port: u16| (port != 0).then_some(port);
                let end =
                    |address: core::net::IpAddr, port| ((!address.is_unspecified()).then_some(address), named(port));
                Some(TunnelEndpoints { source: end(source, port), destination: end(destination, to_port) })
            }
        };
        Ok((Template { protocol, mode, ends, level }, behind))
    }
}

impl fmt::Debug for Templates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
