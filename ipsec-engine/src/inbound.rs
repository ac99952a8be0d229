//! Inbound processing (RFC 4301 section 5.2): IPsec headers are removed one by one, and the result is compared with
//! the policies.

use core::net::IpAddr;

use heapless::Vec;
use ipsec_packet::{
    ChecksumRepair, Flow, Instant, IpProto, PacketBuf, ParsedIp, TunnelError, quoted_flow, remove_preceding_headers,
    repair_checksum,
};

use ipsec_sa::{Action, Direction, Mode, PolicyDirection, PolicyParams, Protocol, SaId, SaState, UdpEncap};

use crate::action::InboundAction;
use crate::algorithms::Algorithms;
use crate::counters::Counter;
use crate::decapsulate::{DecapsulateError, Extent, IpsecHeader, Rejected, ah, esp, ipcomp};
use crate::discard::DiscardReason;
use crate::engine::{Engine, PacketFacts};
use crate::ipsec_header::{FirstHeader, FoundSa, spi_and_sequence};
use crate::policy_check::{AppliedSa, MAX_HEADERS, SecPath};
use crate::policy_set::{Rule, Verdict};
use crate::table::SlotNumber;
use crate::tunnel_policy::{TunnelSa, is_recursive};

/// Received packet and the state of its processing.
struct Received<'p, 'b> {
    packet: &'p mut PacketBuf<'b>,
    /// Headers of the packet as it is now.
    ip: &'p mut ParsedIp,
    /// SAs that were applied so far, the outermost first.
    sec_path: SecPath,
    /// Innermost of these SAs with ESP or AH, or with IPComp if there is no other.
    sa: Option<SaId>,
    /// Set if the outermost header has not been processed yet: the packet's own header, or one that came out of a
    /// tunnel.
    at_outer_header: bool,
    /// Fields of the last IP header and the last IPsec header, for audit events.
    seen: PacketFacts,
    /// Usage of IPComp SAs outside ESP and AH. It is charged when the packet is admitted.
    deferred_usage: Vec<(SlotNumber, usize), MAX_HEADERS>,
    /// Set if the last SA has no mode and was used in transport mode.
    without_mode: bool,
    /// Repair of an upper-layer checksum that a NAT has changed, due when all headers are removed.
    repair: Option<ChecksumRepair>,
    /// Part of the buffer that the packet has occupied.
    extent: Extent,
    unauthenticated: Unauthenticated,
}

/// Part between the IP header and the payload of transport mode that no ICV covers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unauthenticated {
    /// Neither ESP nor AH was verified after this IP header.
    Unknown,
    /// The headers from the IP header up to this offset.
    Headers(usize),
    /// The IPv4 options that AH replaces by zeros.
    ZeroedOptions,
    Nothing,
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Processes a received packet: decapsulates it and compares the result with the policies for
    /// [`PolicyDirection::In`] and [`PolicyDirection::Forward`]. If policies of both directions match, both have to
    /// permit the packet (RFC 4301 section 5.2).
    ///
    /// Every packet from the unprotected side is passed to this function, protected or not, addressed to this host or
    /// forwarded: an IP packet, including UDP of port 4500. Decompression of IPComp needs tailroom.
    ///
    /// Headers in front of an IPsec header are checked before it is decapsulated
    /// ([`ParsedIp::check_preceding_headers`]): a packet that has not reached its destination, or whose options require
    /// to be discarded, is refused. In transport mode the IPv4 options and IPv6 extension headers that neither ESP nor
    /// AH authenticates are removed from a packet that is delivered ([`remove_preceding_headers`]): otherwise the IP
    /// stack could answer one of them with an ICMP error that quotes the plaintext. Headers that AH covers stay; IPv4
    /// options that AH replaces by zeros are replaced ([`ah_core::replace_mutable_options`]).
    ///
    /// If the outermost IPsec header was refused, a discarded packet is unmodified except for octets after its own
    /// length. If it was refused later, the plaintext is wiped, also in front of the packet and after it. Windows
    /// and lifetimes of an SA change by authentic packets only.
    pub fn inbound(&mut self, packet: &mut PacketBuf<'_>, now: Instant) -> InboundAction {
        let mut parsed = ParsedIp::read(packet.data());
        let ip = match &mut parsed {
            Ok(ip) => ip,
            Err(malformed) => {
                let reason = DiscardReason::from(*malformed);
                self.refuse(Direction::Inbound, now, reason, &PacketFacts::default());
                return InboundAction::Discard(reason);
            }
        };
        let extent = Extent::of(packet);
        packet.truncate(ip.len());
        let mut received = Received {
            seen: PacketFacts::of(ip),
            packet,
            ip,
            sec_path: SecPath::new(),
            sa: None,
            at_outer_header: true,
            deferred_usage: Vec::new(),
            without_mode: false,
            repair: None,
            extent,
            unauthenticated: Unauthenticated::Unknown,
        };
        match self.process_inbound(&mut received, now) {
            Ok(()) => {
                let (counter, action) = match received.sa {
                    None => (Counter::Bypassed, InboundAction::Bypass),
                    Some(sa) => (Counter::Processed, InboundAction::Deliver { sa }),
                };
                self.counters.add(Direction::Inbound, counter, 1);
                action
            }
            Err(reason) => {
                let Received { packet, sec_path, seen, mut extent, .. } = received;
                self.refuse(Direction::Inbound, now, reason, &seen);
                if !sec_path.is_empty() {
                    extent.include(packet);
                    extent.wipe(packet);
                }
                InboundAction::Discard(reason)
            }
        }
    }

    /// Performs the steps of RFC 4301 section 5.2: the SAs of the IPsec headers, and the policies.
    //= RFC 3173 2/8
    //# MUST: inbound datagrams are decompressed after all security processing
    fn process_inbound(&mut self, received: &mut Received<'_, '_>, now: Instant) -> Result<(), DiscardReason> {
        // Steps 2 and 3a: the SA of the outermost IPsec header.
        while let Some(found) = self.find_sa(received, now)? {
            debug_assert!(received.ip.is_of(received.packet.data()), "headers were changed and not their parsed form");
            if received.at_outer_header && !received.sec_path.is_empty() {
                self.match_outer_policy(received);
            }
            // Step 4: its header is removed, and the SA is recorded for the comparison with the policies.
            self.check_sa(received, &found, now)?;
            self.decapsulate(received, &found, now)?;
        }
        // The payload that the peer's checksum covers is complete, whether it was compressed or not.
        //= RFC 3948 3.1.2/2
        //# SHOULD: checksums are waived only in transport mode, of packets with integrity
        if let Some(repair) = received.repair {
            repair_checksum(received.packet.data_mut(), repair)?;
        }
        if received.without_mode && is_recursive(received.ip, received.packet.data()) {
            return Err(DiscardReason::Tunnel(TunnelError::Recursive));
        }
        debug_assert!(received.ip.is_of(received.packet.data()), "headers were changed and not their parsed form");
        // Steps 3b, 4 and 5: the policies admit the packet and its SAs.
        self.admit(received)?;
        match received.unauthenticated {
            Unauthenticated::Headers(at) if at > ip_header_len(received.ip) => {
                remove_preceding_headers(received.packet, at)?;
            }
            Unauthenticated::ZeroedOptions => ah_core::replace_mutable_options(received.packet.data_mut())?,
            _ => {}
        }
        for &(at, octets) in &received.deferred_usage {
            self.sad.charge(at, now, octets);
        }
        Ok(())
    }

    /// Finds the SA of the outermost IPsec header. Returns `None` if the packet has none, or passes like any other
    /// packet.
    fn find_sa(&mut self, received: &mut Received<'_, '_>, now: Instant) -> Result<Option<FoundSa>, DiscardReason> {
        let (source, destination) = received.ip.ends();
        let first = match self.find_ipsec_header(received.ip, received.packet.data())? {
            FirstHeader::Upper => return Ok(self.find_ipcomp_sa(received.ip, received.packet.data(), now)),
            first => first,
        };
        let (protocol, place, encap) = match first {
            FirstHeader::Ipsec(protocol, place, encap) => (protocol, place, encap),
            //= RFC 3948 4/1
            //# MUST NOT: NAT-keepalive packets are not used to detect whether a connection is live
            _ if self.may_pass_as_other(received, destination) => return Ok(None),
            //= RFC 3948 2.3/5
            //# SHOULD: a received NAT-keepalive packet is ignored
            FirstHeader::KeepAlive => return Err(DiscardReason::KeepAlive),
            //= RFC 4303 3.4.1/1, 3.4.1/2
            //# MUST: an IP fragment offered to ESP is discarded
            //# SHOULD: a fragment is logged with SPI, time, addresses, number and flow label
            FirstHeader::Fragment(first) => {
                if let Some((protocol, place)) = first
                    && let Ok((spi, sequence)) = spi_and_sequence(received.packet.data(), protocol, place, None)
                {
                    (received.seen.spi, received.seen.sequence) = (Some(spi), sequence);
                }
                return Err(DiscardReason::Fragment);
            }
            FirstHeader::Upper => return Ok(None),
        };
        let (spi, sequence) = spi_and_sequence(received.packet.data(), protocol, place, encap)?;
        //= RFC 4303 2.1/1
        //# MUST: inbound unicast traffic is mapped to an SA by SPI, alone or with the protocol
        let key = SaId::inbound(destination, protocol, spi);
        let found = self.sad.find(&key, source);
        if found.is_some() || received.at_outer_header {
            (received.seen.spi, received.seen.sequence) = (Some(spi), sequence);
        }
        match found {
            Some(at) => {
                self.sad.read_ahead(at);
                Ok(Some(FoundSa { at, place, encap }))
            }
            None if self.may_pass_as_other(received, destination) => Ok(None),
            //= RFC 4303 3.4.2/1
            //# MUST: a packet without a valid SA is discarded
            //= RFC 3173 4/1
            //# MUST: two nodes establish an association before they use IPComp
            None => Err(DiscardReason::NoSa),
        }
    }

    /// Returns whether an IPsec packet without an SA may be processed like any other packet: it came out of a tunnel,
    /// or a policy bypasses it; or its destination is the address of no SA and of no tunnel, and no policy protects it.
    fn may_pass_as_other(&mut self, received: &Received<'_, '_>, destination: IpAddr) -> bool {
        if !received.at_outer_header {
            return false;
        }
        if !received.sec_path.is_empty() {
            return true;
        }
        let is_foreign = !self.has_destination(destination);
        let Ok(flow) = received.ip.flow() else { return is_foreign };
        match self.lookup(Direction::Inbound, PolicyDirection::In, &flow).verdict {
            Verdict::Rule(at) => match self.spd.policies().rule(at).map(|rule| &rule.policy.action) {
                Some(Action::Bypass) => true,
                // A policy of transport mode may protect all protocols between two hosts. The packet is not cleartext.
                Some(Action::Protect(_)) => false,
                Some(Action::Discard) | None => is_foreign,
            },
            Verdict::NoPolicy | Verdict::Opaque => is_foreign,
        }
    }

    /// Checks that an SA may receive a packet: its state, the addresses and the UDP encapsulation of the packet, and
    /// the headers in front of the IPsec header.
    fn check_sa(
        &mut self,
        received: &Received<'_, '_>,
        &FoundSa { at, place, encap }: &FoundSa,
        now: Instant,
    ) -> Result<(), DiscardReason> {
        match self.sad.refresh(at, now) {
            Some(SaState::Mature | SaState::Dying) => {}
            Some(SaState::Larval) => return Err(DiscardReason::Larval),
            //= RFC 4303 3.4.2/1
            //# MUST: a packet without a valid SA is discarded
            Some(SaState::Dead) | None => return Err(DiscardReason::Expired),
        }
        if received.sec_path.is_full() {
            return Err(DiscardReason::TooManyHeaders);
        }
        let Some(slot) = self.sad.get(at) else { return Err(DiscardReason::NoSa) };
        let (key, Some(sa)) = (slot.key, &slot.sa) else { return Err(DiscardReason::Larval) };
        // A NAT may change the port of the peer, but not the local port.
        let differs = |(sa, packet): (UdpEncap, UdpEncap)| {
            (sa.marker, sa.ports.destination) != (packet.marker, packet.ports.destination)
        };
        if sa.encap.is_some() != encap.is_some() || sa.encap.zip(encap).is_some_and(differs) {
            return Err(DiscardReason::Encapsulation);
        }
        let ends = received.ip.ends();
        // Behind a NAT the source address changes, and the ICV authenticates the packet.
        if sa.source != ends.0 && !sa.source.is_unspecified() && encap.is_none() {
            return Err(DiscardReason::SourceMismatch);
        }
        received.ip.check_preceding_headers(received.packet.data(), place.at)?;
        if key.protocol == Protocol::Ipcomp && place.next == IpProto::IPCOMP && !received.sec_path.is_authentic() {
            let next = IpProto(received.packet.data().get(place.at).copied().unwrap_or_default());
            self.check_bare_ipcomp(&received.sec_path, at, next, ends)?;
        }
        Ok(())
    }

    /// Removes one IPsec header by its SA, which was checked.
    fn decapsulate(
        &mut self,
        received: &mut Received<'_, '_>,
        &FoundSa { at, place, encap }: &FoundSa,
        now: Instant,
    ) -> Result<(), DiscardReason> {
        let (spd, default_level) = (&self.spd, self.settings.default_level);
        let Some(slot) = self.sad.get_mut(at) else { return Err(DiscardReason::NoSa) };
        let (key, Some(sa)) = (slot.key, &mut slot.sa) else { return Err(DiscardReason::Larval) };
        let source = received.ip.source();
        let tunnel = TunnelSa {
            protocol: key.protocol,
            source: if sa.source.is_unspecified() { source } else { sa.source },
            destination: sa.destination,
        };
        // The policies have required IPComp for a plain tunnel.
        let is_plain = key.protocol == Protocol::Ipcomp && place.next != IpProto::IPCOMP;
        let is_tunnel = |inner: &ParsedIp| is_plain || spd.requires_tunnel(tunnel, inner.ends(), default_level);
        let header = IpsecHeader { place, encap, is_tunnel: &is_tunnel };
        let (packet, ip) = (&mut *received.packet, &mut *received.ip);
        let result = match key.protocol {
            Protocol::Esp => esp(sa, packet, ip, &header),
            Protocol::Ah => ah(sa, packet, ip, &header),
            Protocol::Ipcomp => ipcomp(sa, self.decompressor.as_mut(), packet, ip, &header),
        };
        // A packet that is rejected after its ICV counts for the SA like any other.
        let (decapsulated, accepted) = match result {
            Ok(decapsulated) => (decapsulated, Ok(())),
            Err(DecapsulateError::Rejected(Rejected { decapsulated, reason })) => (decapsulated, Err(reason)),
            Err(DecapsulateError::Refused(reason)) => return Err(reason),
        };
        received.extent.include(received.packet);
        match decapsulated.mode {
            Mode::Transport => received.repair = encap.map(|_| sa.repair).or(received.repair),
            Mode::Tunnel | Mode::Beet | Mode::Any => received.repair = None,
        }
        let mode = sa.mode;
        let moved = encap.is_some() && sa.source != source && !sa.source.is_unspecified();
        let (packets, octets) = match key.protocol {
            Protocol::Esp => (Counter::Esp, Counter::EspOctets),
            Protocol::Ah => (Counter::Ah, Counter::AhOctets),
            Protocol::Ipcomp if place.next == IpProto::IPCOMP => (Counter::Compressed, Counter::CompressedOctets),
            Protocol::Ipcomp => (Counter::Uncompressed, Counter::CompressedOctets),
        };
        let applied = AppliedSa {
            protocol: key.protocol,
            mode: decapsulated.mode,
            source: tunnel.source,
            destination: tunnel.destination,
            reqid: sa.reqid,
        };
        // A packet that was delayed on its way must not move the peer: only the packet with the highest sequence
        // number does.
        let newest = sa.transform.sequence().map(|top| u32::from_be_bytes(top.low())) == received.seen.sequence;
        if let Some(encap) = encap.filter(|_| newest) {
            self.sad.update_pending(at, |pending| pending.moved = Some((source, encap.ports.source)));
        }
        self.counters.add(Direction::Inbound, packets, 1);
        self.counters.add(Direction::Inbound, octets, decapsulated.octets);
        // A packet with IPComp only is not authenticated.
        if key.protocol != Protocol::Ipcomp || received.sa.is_none() {
            received.sa = Some(key);
        }
        if key.protocol != Protocol::Ipcomp || received.sec_path.is_authentic() {
            self.sad.charge(at, now, decapsulated.octets);
        } else {
            // The vector has space: the path was checked above.
            let _ = received.deferred_usage.push((at, decapsulated.octets));
        }
        received.sec_path.push(applied);
        accepted?;
        // In transport mode the address that a NAT, or an attacker, wrote would be the source address of the
        // delivered packet.
        if moved && decapsulated.mode == Mode::Transport {
            return Err(DiscardReason::SourceMismatch);
        }
        match (decapsulated.mode, key.protocol) {
            (Mode::Transport, Protocol::Esp) if received.unauthenticated == Unauthenticated::Unknown => {
                received.unauthenticated = Unauthenticated::Headers(place.at);
            }
            (Mode::Transport, Protocol::Ah) if received.unauthenticated != Unauthenticated::Nothing => {
                received.unauthenticated = Unauthenticated::ZeroedOptions;
            }
            (Mode::Transport, _) => {}
            // The inner IP header and the headers after it came out of the SAs so far.
            (Mode::Tunnel | Mode::Beet | Mode::Any, _) => {
                let is_authentic = received.sec_path.is_authentic();
                received.unauthenticated =
                    if is_authentic { Unauthenticated::Nothing } else { Unauthenticated::Unknown };
            }
        }
        received.without_mode = (decapsulated.mode, mode) == (Mode::Transport, Mode::Any);
        received.at_outer_header = decapsulated.mode != Mode::Transport;
        if received.at_outer_header {
            let PacketFacts { spi, sequence, .. } = received.seen;
            received.seen = PacketFacts { spi, sequence, ..PacketFacts::of(received.ip) };
            self.counters.add(Direction::Inbound, Counter::Tunnelled, 1);
        }
        Ok(())
    }

    /// Compares a packet from a tunnel that is itself protected with the policy of its own addresses. If that policy
    /// matches the SAs so far, the policy of the inner packet does not have to match them.
    fn match_outer_policy(&mut self, received: &mut Received<'_, '_>) {
        let Ok(flow) = received.ip.flow() else { return };
        if let Verdict::Rule(at) = self.lookup(Direction::Inbound, PolicyDirection::In, &flow).verdict
            && let Some(&Rule { id, policy: PolicyParams { action: Action::Protect(bundle), .. }, .. }) =
                self.spd.policies().rule(at)
        {
            received.sec_path.match_outer_policy(id, &bundle, |template| self.is_optional(template));
        }
    }

    /// Compares the packet and the SAs that were applied to it with the policies.
    fn admit(&mut self, received: &Received<'_, '_>) -> Result<(), DiscardReason> {
        let flow = received.ip.flow()?;
        if self.has_policy_that_admits(received, &flow)? {
            return Ok(());
        }
        // An ICMP error without a policy of its own is checked by the packet that it quotes, whose return traffic a
        // policy has to select (RFC 4301 section 6.2).
        if flow.is_icmp()
            && let Some(quoted) = quoted_flow(received.packet.data())
            && self.has_policy_that_admits(received, &quoted.reversed())?
        {
            return Ok(());
        }
        if received.sec_path.is_without_tunnel() { self.unmatched() } else { Err(DiscardReason::NoPolicy) }
    }

    /// Compares the SAs of a packet with the policies of a flow. Returns whether a policy matches the flow.
    fn has_policy_that_admits(&mut self, received: &Received<'_, '_>, flow: &Flow) -> Result<bool, DiscardReason> {
        let sec_path = &received.sec_path;
        let opened = !sec_path.is_empty();
        // A policy has to require the tunnel of a packet: otherwise its peer could send packets with any source
        // address.
        let (mut has_policy, mut is_required) = (false, sec_path.is_without_tunnel());
        for direction in [PolicyDirection::In, PolicyDirection::Forward] {
            let at = match self.lookup(Direction::Inbound, direction, flow).verdict {
                Verdict::Rule(at) => at,
                Verdict::Opaque => return Err(DiscardReason::Opaque),
                Verdict::NoPolicy => continue,
            };
            let Some(Rule { id, policy, .. }) = self.spd.policies().rule(at) else { continue };
            has_policy = true;
            match &policy.action {
                Action::Discard => return Err(DiscardReason::Policy),
                Action::Bypass => {}
                //= RFC 3948 3.1.1/1
                //# MUST: out of a tunnel, the inner source is checked by policy or assignment, or translated
                Action::Protect(bundle) if sec_path.satisfies(*id, bundle, |template| self.is_optional(template)) => {
                    is_required = true;
                }
                Action::Protect(_) if opened => return Err(DiscardReason::SaMismatch),
                Action::Protect(_) => return Err(DiscardReason::Cleartext),
            }
        }
        match (has_policy, is_required) {
            (false, _) => Ok(false),
            (true, true) => Ok(true),
            (true, false) => Err(DiscardReason::SaMismatch),
        }
    }
}

/// Returns the length of the IP header without options or extension headers, in octets.
const fn ip_header_len(ip: &ParsedIp) -> usize {
    if ip.version() == 4 { 20 } else { 40 }
}
