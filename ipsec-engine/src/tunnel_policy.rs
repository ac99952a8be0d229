//! Decision whether an IP packet inside an SA without a mode is that of a tunnel. As in KAME, the policies decide.

use core::net::IpAddr;

use ipsec_packet::{AddressRange, Ip, IpProto, ParsedIp};

use ipsec_sa::{Action, Bundle, DefaultLevel, MAX_TRANSFORMS, Mode, Protocol, TunnelEndpoints};

use crate::policy_set::Rule;
use crate::spd::Spd;

/// Returns whether the inner and the outer addresses of an IP-in-IP packet are equal (RFC 2003 section 3). An SA
/// without a mode does not carry such a packet: it could be taken for the packet of a tunnel that no policy requires.
pub(crate) fn is_recursive(outer: &ParsedIp, packet: &[u8]) -> bool {
    let inside = outer.find(IpProto::IPV4).or_else(|_| outer.find(IpProto::IPV6));
    let inner = inside.ok().and_then(|place| Ip::parse(packet.get(place.at..)?).ok());
    inner.is_some_and(|inner| (inner.source(), inner.destination()) == outer.ends())
}

/// SA whose payload may be the packet of a tunnel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TunnelSa {
    pub(crate) protocol: Protocol,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// Addresses between which a transform applies.
#[derive(Clone, Copy)]
enum Between {
    /// The addresses that the selector of the policy allows.
    Networks,
    /// The endpoints of the tunnel inside.
    TunnelEndpoints(TunnelEndpoints),
}

impl<const P: usize, const F: usize> Spd<P, F> {
    /// Returns whether an inbound policy requires a tunnel with the endpoints of this SA for packets between the
    /// addresses of the inner packet. Protocols and ports are not compared: the inner packet may be protected in
    /// transport mode.
    pub(crate) fn requires_tunnel(&self, sa: TunnelSa, inner: (IpAddr, IpAddr), default_level: DefaultLevel) -> bool {
        self.policies().any_with_tunnel(inner, |rule| match &rule.policy.action {
            Action::Protect(bundle) => is_required(rule, bundle, sa, inner, default_level),
            _ => false,
        })
    }
}

fn is_required(
    rule: &Rule,
    bundle: &Bundle,
    sa: TunnelSa,
    (source, destination): (IpAddr, IpAddr),
    default_level: DefaultLevel,
) -> bool {
    let mut between = [None; MAX_TRANSFORMS + 1];
    if let Some(first) = between.first_mut() {
        *first = Some(Between::Networks);
    }
    let contains = |from: &AddressRange, to: &AddressRange| from.contains(source) && to.contains(destination);
    for template in bundle.iter().filter(|template| matches!(template.mode, Mode::Tunnel | Mode::Beet)) {
        let Some(ends) = template.ends else { continue };
        let is_inside = between.iter().flatten().any(|between| match between {
            Between::Networks => contains(&rule.policy.selector.source, &rule.policy.selector.destination),
            Between::TunnelEndpoints(ends) => ends.matches(source, destination),
        });
        if is_inside
            && (template.mode, template.protocol) == (Mode::Tunnel, sa.protocol)
            && ends.matches(sa.source, sa.destination)
        {
            return true;
        }
        // The next tunnel is outside this one, or outside the packet if this one is optional and absent.
        if !template.is_optional(default_level) {
            between = [None; MAX_TRANSFORMS + 1];
        }
        if let Some(free) = between.iter_mut().find(|place| place.is_none()) {
            *free = Some(Between::TunnelEndpoints(ends));
        }
    }
    false
}
