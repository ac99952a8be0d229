//! Outbound processing (RFC 4301 section 5.1): SPD lookup, choice of the SAs, and encapsulation.

use core::net::IpAddr;

use ah_core::SignError;
use esp_core::{IvSource, SealError};
use ipsec_packet::{Flow, Instant, IpError, PacketBuf, ParsedIp, quoted_flow};

use ipsec_sa::{
    Acquire, Action, Bundle, Direction, MAX_TRANSFORMS, Mode, PolicyDirection, PolicyId, Protocol, Template,
};

use crate::acquire::AcquireLimit;
use crate::action::OutboundAction;
use crate::algorithms::Algorithms;
use crate::counters::Counter;
use crate::discard::DiscardReason;
use crate::encapsulate::{BatchSeal, Encapsulation, Inner, SizePlan, mode_of, protect};
use crate::engine::{Engine, PacketFacts};
use crate::header_check::HeaderCheck;
use crate::policy_set::{Rule, Verdict};
use crate::sa::Sa;
use crate::sad_index::Wanted;
use crate::spd::{Chosen, Lookup};
use crate::table::SlotNumber;

/// Reason why a packet is not sent, with the fields of its audit event beyond the IP header.
struct Refused {
    reason: DiscardReason,
    exhausted: Option<SequenceExhausted>,
}

/// SA without enough sequence numbers (RFC 4303 section 3.3.3).
struct SequenceExhausted {
    spi: u32,
    /// Low 32 bits of the last sequence number that was used.
    last: u32,
}

/// Headers of a packet, and the policy of its flow if it was looked up ahead.
pub(crate) struct ReadPacket {
    pub(crate) ip: Result<ParsedIp, IpError>,
    pub(crate) ahead: Option<Lookup>,
}

impl ReadPacket {
    pub(crate) fn of(packet: &[u8]) -> Self {
        Self { ip: ParsedIp::read(packet), ahead: None }
    }
}

/// Result of the policy of a packet.
#[allow(clippy::large_enum_variant)] // there is no heap
enum Selected {
    /// The SAs of a PROTECT policy, at least one.
    Sas(Chosen),
    Bypass,
    Acquire(Acquire),
}

impl<E: Into<DiscardReason>> From<E> for Refused {
    fn from(e: E) -> Self {
        Self { reason: e.into(), exhausted: None }
    }
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Protects a packet that is to be sent, by the policies for [`PolicyDirection::Out`] (RFC 4301 section 5.1).
    ///
    /// The buffer needs headroom and tailroom for the headers and trailers of the policy. IPComp works in the
    /// tailroom; without it the payload is sent uncompressed.
    ///
    /// The packet may be sent only if the result is [`OutboundAction::Send`] or [`OutboundAction::Bypass`]. Otherwise
    /// it is unmodified and no sequence number was used, unless a transform other than the first one of a bundle is
    /// refused.
    pub fn outbound(&mut self, packet: &mut PacketBuf<'_>, now: Instant, iv: &mut impl IvSource) -> OutboundAction {
        let mut read = ReadPacket::of(packet.data());
        self.send(&mut read, packet, (now, None), iv)
    }

    /// Protects a packet whose headers were read. In a batch the last step may be left to the batch.
    pub(crate) fn send(
        &mut self,
        read: &mut ReadPacket,
        packet: &mut PacketBuf<'_>,
        (now, batch): (Instant, Option<&mut BatchSeal>),
        iv: &mut impl IvSource,
    ) -> OutboundAction {
        let ip = match &mut read.ip {
            Ok(ip) => ip,
            Err(malformed) => {
                let reason = DiscardReason::from(*malformed);
                self.refuse(Direction::Outbound, now, reason, &PacketFacts::default());
                return OutboundAction::Discard(reason);
            }
        };
        match self.process_outbound((ip, read.ahead), packet, (now, batch), iv) {
            Ok(action) => {
                let counter = match action {
                    OutboundAction::Acquire(_) => Counter::Pending,
                    OutboundAction::Bypass => Counter::Bypassed,
                    OutboundAction::Send | OutboundAction::Discard(_) => Counter::Processed,
                };
                self.counters.add(Direction::Outbound, counter, 1);
                action
            }
            Err(Refused { reason, exhausted }) => {
                let (spi, sequence) = exhausted.map(|sa| (sa.spi, sa.last)).unzip();
                //= RFC 4303 3.3.3/2
                //# SHOULD: an overflow is logged with SPI, time, addresses and flow label
                self.refuse(Direction::Outbound, now, reason, &PacketFacts { spi, sequence, ..PacketFacts::of(ip) });
                OutboundAction::Discard(reason)
            }
        }
    }

    /// Performs the steps of RFC 4301 section 5.1: SPD lookup, choice of the SAs, and encapsulation.
    fn process_outbound(
        &mut self,
        (ip, ahead): (&mut ParsedIp, Option<Lookup>),
        packet: &mut PacketBuf<'_>,
        (now, mut batch): (Instant, Option<&mut BatchSeal>),
        iv: &mut impl IvSource,
    ) -> Result<OutboundAction, Refused> {
        // Steps 1 to 3: the selectors of the packet are looked up in the cache, which has the SAs of a known flow as
        // well.
        let own = ip.flow()?;
        let lookup = self.lookup_after(ahead, (Direction::Outbound, PolicyDirection::Out), &own);
        let chosen = match self.known_choice(&lookup, now) {
            Some(chosen) if chosen.iter().next().is_some() => chosen,
            _ => match self.choose_for(packet.data(), (&own, lookup), now)? {
                Selected::Sas(chosen) => chosen,
                Selected::Bypass => return Ok(OutboundAction::Bypass),
                Selected::Acquire(acquire) => return Ok(OutboundAction::Acquire(acquire)),
            },
        };
        // Everything that can fail is checked before the packet is changed.
        let inner = Inner { ip, packet: packet.data() };
        let mut plan = self.plan(&chosen, inner, usize::MAX)?;
        self.check_sequence_numbers(&chosen)?;
        self.check_headers(&chosen, inner)?;
        let fragment = self.check_size(now, &chosen, &mut plan, inner)?;
        plan.check_space_in(packet).map_err(IpError::from)?;
        packet.truncate(ip.len());
        //= RFC 2406 3.3/1
        //# MUST: where several ipsec headers are required, policy defines their order
        let mut transforms = chosen.iter().peekable();
        while let Some((at, mode)) = transforms.next() {
            let is_outermost = transforms.peek().is_none();
            let Some(slot) = self.sad.get_mut(at) else { return Err(DiscardReason::NoSa.into()) };
            let Some(sa) = &mut slot.sa else { return Err(DiscardReason::Larval.into()) };
            let mut batch = batch.as_deref_mut().filter(|_| is_outermost);
            if let Some(batch) = &mut batch {
                batch.sa = Some(at);
            }
            let mut encapsulation = Encapsulation {
                compressor: self.compressor.as_mut(),
                counters: &mut self.counters,
                fragment,
                identification: &mut self.identification,
                max_tfc: plan.max_tfc,
                ip,
                batch,
            };
            let octets = protect(sa, mode, &mut encapsulation, packet, iv)?;
            debug_assert!(ip.is_of(packet.data()), "headers were changed and not their parsed form");
            self.sad.charge(at, now, octets);
            self.check_sequence_left(at);
        }
        // Step 4: the caller forwards the packet.
        Ok(OutboundAction::Send)
    }

    /// Returns the SAs that were chosen for a flow, if the same would be chosen now.
    fn known_choice(&mut self, lookup: &Lookup, now: Instant) -> Option<Chosen> {
        let known = *self.spd.chosen(lookup)?;
        if !self.sad.is_current(&known) {
            return None;
        }
        for (at, _) in known.chosen.iter() {
            self.sad.read_ahead(at);
            self.sad.refresh(at, now);
        }
        self.sad.is_current(&known).then_some(known.chosen)
    }

    /// Applies the policy of a packet, and chooses the SAs of a PROTECT policy.
    fn choose_for(
        &mut self,
        packet: &[u8],
        (own, lookup): (&Flow, Lookup),
        now: Instant,
    ) -> Result<Selected, DiscardReason> {
        let (at, flow, lookup) = match lookup.verdict {
            Verdict::Rule(at) => (at, *own, lookup),
            Verdict::Opaque => return Err(DiscardReason::Opaque),
            Verdict::NoPolicy => match self.return_traffic_policy(own, packet) {
                Some(found) => found,
                None => return self.unmatched().map(|()| Selected::Bypass),
            },
        };
        let Some(Rule { id, policy, .. }) = self.spd.policies().rule(at) else { return Err(DiscardReason::NoPolicy) };
        let (id, bundle) = match &policy.action {
            Action::Bypass => return Ok(Selected::Bypass),
            Action::Discard => return Err(DiscardReason::Policy),
            Action::Protect(bundle) => (*id, *bundle),
        };
        // A packet that is return traffic by its payload only has other addresses: a tunnel can carry it, transport
        // mode cannot.
        if flow != *own && bundle.iter().next().is_some_and(|template| template.mode != Mode::Tunnel) {
            return Err(DiscardReason::NoPolicy);
        }
        // A PROTECT policy is applied with the SAs of its templates; a missing one is requested.
        match self.choose(now, (id, &bundle), (&flow, lookup)) {
            // All templates are optional and have no SA.
            Ok(chosen) if chosen.iter().next().is_none() => Ok(Selected::Bypass),
            Ok(chosen) => Ok(Selected::Sas(chosen)),
            Err(acquire) => {
                if let Some(last) = self.spd.last_acquire(at) {
                    let limit = AcquireLimit { now, interval: self.settings.acquire_interval };
                    self.acquires.record(limit, &acquire, last);
                }
                Ok(Selected::Acquire(acquire))
            }
        }
    }

    /// Finds the policy and the flow of the return traffic of a packet that an ICMP error quotes: an error without a
    /// policy of its own is sent like that traffic (RFC 4301 section 6.2).
    fn return_traffic_policy(&mut self, own: &Flow, packet: &[u8]) -> Option<(SlotNumber, Flow, Lookup)> {
        if !own.is_icmp() {
            return None;
        }
        let flow = quoted_flow(packet)?.reversed();
        let lookup = self.lookup(Direction::Outbound, PolicyDirection::Out, &flow);
        match lookup.verdict {
            Verdict::Rule(at) => Some((at, flow, lookup)),
            Verdict::Opaque | Verdict::NoPolicy => None,
        }
    }

    /// Finds the SAs of a bundle in the flow cache or by search, or the acquire for the first one that is missing.
    #[allow(clippy::result_large_err)] // there is no heap
    pub(crate) fn choose(
        &mut self,
        now: Instant,
        (id, bundle): (PolicyId, &Bundle),
        (flow, lookup): (&Flow, Lookup),
    ) -> Result<Chosen, Acquire> {
        if let Some(known) = self.known_choice(&lookup, now) {
            return Ok(known);
        }
        let mut chosen = Chosen::default();
        let mut asked = [None; MAX_TRANSFORMS];
        // Addresses of the packet, and behind a tunnel those of the tunnel.
        let mut ends = (flow.source, flow.destination);
        let (mut is_in_tunnel, mut depends_on_packet) = (false, false);
        for (n, (template, asked)) in (0..).zip(bundle.iter().zip(&mut asked)) {
            let names_tunnel = template.mode == Mode::Tunnel && template.ends.is_some();
            depends_on_packet |= !is_in_tunnel && !names_tunnel;
            let reqid = id.reqid(template);
            let wanted = wanted(template, reqid, ends);
            self.refresh_all(&wanted, now);
            *asked = Some(wanted);
            let found = self.sad.choose(&wanted, |sa| serves(sa, template, reqid, ends));
            match found.and_then(|at| Some((at, self.sad.get(at)?.sa.as_ref()?))) {
                Some((at, sa)) => {
                    let mode = mode_of(template.mode, sa.mode);
                    chosen.set(n, at, mode);
                    if mode != Mode::Transport {
                        ends = (sa.source, sa.destination);
                        is_in_tunnel = true;
                    }
                }
                None if self.is_optional(template) => {}
                //= RFC 3173 4/1
                //# MUST: two nodes establish an association before they use IPComp
                None => return Err(acquire(id, template, reqid, flow, ends)),
            }
        }
        let known = self.sad.known(chosen, asked.into_iter().flatten());
        self.spd.set_chosen(&lookup, known, depends_on_packet);
        Ok(chosen)
    }

    /// Checks the lifetimes of the SAs that may serve a template.
    fn refresh_all(&mut self, wanted: &Wanted, now: Instant) {
        let mut behind = None;
        while let Some(at) = self.sad.next_wanted(wanted, behind) {
            self.sad.refresh(at, now);
            behind = Some(at);
        }
    }

    /// Returns whether a packet may be sent without the transform of this template.
    pub(crate) fn is_optional(&self, template: &Template) -> bool {
        template.is_optional(self.settings.default_level)
    }

    /// Checks that every SA has enough sequence numbers: an SA that matches two templates needs two.
    fn check_sequence_numbers(&mut self, chosen: &Chosen) -> Result<(), Refused> {
        for (at, _) in chosen.iter() {
            let uses = chosen.iter().filter(|(other, _)| *other == at).count();
            let uses = u64::try_from(uses).unwrap_or(u64::MAX);
            let Some(left) = self.sad.numbers_left(at, uses) else { continue };
            //= RFC 4303 3.3.3/1
            //# MUST NOT: a packet is sent that would make the number cycle
            if left < uses
                && let Some(slot) = self.sad.get(at)
                && let Some(counter) = slot.sa.as_ref().and_then(|sa| sa.transform.counter())
            {
                //= RFC 4303 4/5
                //# SHOULD: an overflow: logged with SPI, time, addresses, number and flow label
                let exhausted =
                    SequenceExhausted { spi: slot.key.spi, last: u32::from_be_bytes(counter.last_used().low()) };
                let reason = match slot.key.protocol {
                    Protocol::Ah => SignError::SequenceExhausted.into(),
                    _ => SealError::SequenceExhausted.into(),
                };
                self.check_sequence_left(at);
                return Err(Refused { reason, exhausted: Some(exhausted) });
            }
        }
        Ok(())
    }

    /// Computes the length of a packet after all transforms, with at most this much TFC padding.
    pub(crate) fn plan(&self, chosen: &Chosen, inner: Inner<'_>, max_tfc: usize) -> Result<SizePlan, DiscardReason> {
        let mut plan = SizePlan::of(inner.ip).with_max_tfc(max_tfc);
        self.through(chosen).try_for_each(|(sa, mode)| plan.through(sa, mode, inner))?;
        Ok(plan)
    }

    /// Checks that no transform will refuse the headers of the packet after another one has changed it. The first
    /// transform checks them itself.
    fn check_headers(&self, chosen: &Chosen, inner: Inner<'_>) -> Result<(), DiscardReason> {
        if chosen.iter().nth(1).is_none() {
            return Ok(());
        }
        let mut check = HeaderCheck::of(inner);
        self.through(chosen).try_for_each(|(sa, mode)| check.through(sa, mode))
    }

    pub(crate) fn through<'s>(&'s self, chosen: &'s Chosen) -> impl Iterator<Item = (&'s Sa<A>, Mode)> + 's {
        chosen.iter().filter_map(|(at, mode)| Some((self.sad.get(at)?.sa.as_ref()?, mode)))
    }
}

fn acquire(id: PolicyId, template: &Template, reqid: u32, flow: &Flow, ends: (IpAddr, IpAddr)) -> Acquire {
    let (source, destination) = match &template.ends {
        Some(ends) => (ends.source.0, ends.destination.0),
        None => (Some(ends.0), Some(ends.1)),
    };
    Acquire { policy: id, template: *template, source, destination, reqid, flow: *flow }
}

/// Returns the properties that the SA of a template must have; `flow` are the addresses of the packet at that
/// point.
fn wanted(template: &Template, reqid: u32, flow: (IpAddr, IpAddr)) -> Wanted {
    let named = template.ends.and_then(|ends| ends.destination.0);
    let is_transport = template.mode == Mode::Transport || template.ends.is_none();
    Wanted::new(template.protocol, named.or(is_transport.then_some(flow.1)), reqid)
}

/// Returns whether an SA matches a template: protocol, mode, endpoints and request ID. In transport mode the
/// addresses of the SA are also those of the packet at that point.
fn serves<A: Algorithms>(sa: &Sa<A>, template: &Template, reqid: u32, flow: (IpAddr, IpAddr)) -> bool {
    let key = sa.key();
    let mode =
        template.mode == sa.mode || template.mode == Mode::Any || sa.mode == Mode::Any && template.mode != Mode::Beet;
    let named = template.ends.is_none_or(|ends| ends.matches(sa.source, sa.destination));
    let ends = match mode_of(template.mode, sa.mode) {
        Mode::Transport | Mode::Any => (sa.source, sa.destination) == flow,
        Mode::Tunnel | Mode::Beet => template.ends.is_some(),
    };
    key.direction == Direction::Outbound
        && key.protocol == template.protocol
        && mode
        && named
        && ends
        && (reqid == 0 || sa.reqid == reqid)
}
