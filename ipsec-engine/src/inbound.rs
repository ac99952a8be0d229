//! One packet in: its headers taken off one by one, and what is left compared with the policies (RFC 4301 5.2).

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;
use ipsec_packet::{
    ChecksumRepair, Flow, HeaderPosition, Ip, IpProto, OuterFields, PacketBuf, TunnelError, check_preceding_headers,
    locate, quoted_flow, remove_preceding_headers, repair_checksum,
};

use crate::algorithms::Algorithms;
use crate::counters::Counter;
use crate::decapsulate::{Extent, ah, esp, ipcomp};
use crate::disposition::{DiscardReason, Disposition};
use crate::engine::{Engine, PacketFacts};
use crate::ipsec_header::{Layer, numbers};
use crate::policy::{Action, Mode, Policy, PolicyDirection, Protocol};
use crate::policy_check::{AppliedSa, MAX_HEADERS, SecPath};
use crate::sa::{Direction, Encap, SaId};
use crate::sad::SaState;
use crate::spd::{Rule, Verdict};
use crate::tunnel_policy::{TunnelSa, is_recursive};

/// A packet on its way in.
struct Arrival<'p, 'b> {
    packet: &'p mut PacketBuf<'b>,
    /// The SAs it came through.
    sec_path: SecPath,
    /// Whether the header in front is one that nothing was said about yet: the packet's own, or one out of a tunnel.
    at_outer_header: bool,
    /// What the header that was looked at last tells.
    seen: PacketFacts,
    /// IPComp that nothing authentic was around: its SAs are charged when the packet is admitted.
    deferred_usage: Vec<(u16, usize), MAX_HEADERS>,
    /// Whether the last SA had no mode, and was used in transport mode.
    without_mode: bool,
    /// What is to be done about a checksum that a NAT made wrong, when everything was taken off.
    repair: Option<ChecksumRepair>,
    /// Where the packet has been in its buffer.
    extent: Extent,
    unauthenticated: Unauthenticated,
}

/// What no ICV covers between the IP header and what was opened in transport mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unauthenticated {
    /// Neither ESP nor AH was opened behind this IP header.
    Unknown,
    /// The headers up to this offset.
    Headers(usize),
    /// The IPv4 options that AH takes for zeros.
    ZeroedOptions,
    Nothing,
}

impl<A: Algorithms, const SAS: usize, const POLICIES: usize, const FLOWS: usize> Engine<A, SAS, POLICIES, FLOWS> {
    /// Opens a packet that arrived, and checks what is left by the policies for [`PolicyDirection::In`] and for
    /// [`PolicyDirection::Forward`]: where both speak of it, both must be content (RFC 4301 5.2).
    ///
    /// Every packet from the untrusted side comes here, in clear or not, addressed to us or through us: an IP packet, UDP
    /// of port 4500 included. IPComp needs tailroom for what it gives back.
    ///
    /// Headers in front of an IPsec header are checked before it is opened ([`check_preceding_headers`]): a packet that is not at its
    /// destination yet, or whose options ask to be discarded, is refused. In transport mode the IPv4 options and IPv6 extension headers
    /// that neither ESP nor AH authenticates are removed from a packet that is delivered ([`remove_preceding_headers`]): otherwise the
    /// IP stack behind could answer one of them with an ICMP error that quotes the plaintext. Those that AH covers stay;
    /// IPv4 options that AH takes for zeros are replaced ([`ah_core::replace_mutable_options`]).
    ///
    /// A packet that is discarded is as it was, but for octets behind its own length, if its outermost IPsec header was refused; behind that, what had been
    /// opened of it was wiped, in front of the packet and behind it, too. Windows and limits of an SA change only by packets that were authentic.
    pub fn inbound(&mut self, now: Duration, packet: &mut PacketBuf<'_>) -> Disposition {
        let mut arrival = Arrival {
            extent: Extent::of(packet),
            packet,
            sec_path: SecPath::new(),
            at_outer_header: true,
            seen: PacketFacts::default(),
            deferred_usage: Vec::new(),
            unauthenticated: Unauthenticated::Unknown,
            without_mode: false,
            repair: None,
        };
        match self.open(now, &mut arrival) {
            Ok(disposition) => {
                let counter = if disposition == Disposition::Bypass { Counter::Bypassed } else { Counter::Processed };
                self.counters.add(Direction::Inbound, counter, 1);
                disposition
            }
            Err(reason) => {
                let Arrival { packet, sec_path, seen, mut extent, .. } = arrival;
                self.refuse(Direction::Inbound, now, reason, &seen);
                if !sec_path.is_empty() {
                    extent.include(packet);
                    extent.wipe(packet);
                }
                Disposition::Discard(reason)
            }
        }
    }

    //= RFC 3173 2/8
    fn open(&mut self, now: Duration, arrival: &mut Arrival<'_, '_>) -> Result<Disposition, DiscardReason> {
        loop {
            let ip = Ip::parse(arrival.packet.data())?;
            let (seen, length) = (OuterFields::read(&ip), ip.packet().len());
            let ends = (ip.source(), ip.destination());
            arrival.packet.truncate(length);
            if arrival.at_outer_header {
                let PacketFacts { spi, sequence, .. } = arrival.seen;
                arrival.seen = PacketFacts { spi, sequence, ..PacketFacts::of(arrival.packet.data()) };
            }
            let found = match self.next_layer(arrival.packet.data())? {
                //= RFC 3948 4/1
                Layer::KeepAlive if self.is_not_ours(arrival, ends.1) => None,
                //= RFC 3948 2.3/5
                Layer::KeepAlive => return Err(DiscardReason::KeepAlive),
                Layer::Fragment(_) if self.is_not_ours(arrival, ends.1) => None,
                //= RFC 4303 3.4.1/1, 3.4.1/2
                Layer::Fragment(first) => {
                    if let Some((protocol, place)) = first
                        && let Ok((spi, sequence)) = numbers(arrival.packet.data(), protocol, place, None)
                    {
                        (arrival.seen.spi, arrival.seen.sequence) = (Some(spi), sequence);
                    }
                    return Err(DiscardReason::Fragment);
                }
                Layer::Ipsec(protocol, place, encap) => {
                    let (spi, sequence) = numbers(arrival.packet.data(), protocol, place, encap)?;
                    //= RFC 4303 2.1/1
                    let key = SaId { direction: Direction::Inbound, destination: ends.1, protocol, spi };
                    let found = self.sad.find(&key, ends.0);
                    if found.is_some() || arrival.at_outer_header {
                        (arrival.seen.spi, arrival.seen.sequence) = (Some(spi), sequence);
                    }
                    match found {
                        Some(at) => Some((at, place, encap)),
                        None if self.is_not_ours(arrival, ends.1) => None,
                        //= RFC 4303 3.4.2/1
                        //= RFC 3173 4/1
                        None => return Err(DiscardReason::NoSa),
                    }
                }
                Layer::Upper => self.find_ipcomp_sa(now, arrival.packet.data(), ends),
            };
            let Some((at, place, encap)) = found else { break };
            if arrival.at_outer_header && !arrival.sec_path.is_empty() {
                self.match_outer_policy(arrival);
            }
            self.decapsulate(now, arrival, at, place, encap, &seen, ends)?;
        }
        // Compressed or not, what the peer's checksum covers is there by now.
        //= RFC 3948 3.1.2/2
        if let Some(repair) = arrival.repair {
            repair_checksum(arrival.packet.data_mut(), repair)?;
        }
        if arrival.without_mode && is_recursive(arrival.packet.data()) {
            return Err(DiscardReason::Tunnel(TunnelError::Recursive));
        }
        let disposition = self.admit(arrival)?;
        match arrival.unauthenticated {
            Unauthenticated::Headers(at) if at > ip_header_len(arrival.packet.data()) => {
                remove_preceding_headers(arrival.packet, at)?;
            }
            Unauthenticated::ZeroedOptions => ah_core::replace_mutable_options(arrival.packet.data_mut())?,
            _ => {}
        }
        for &(at, octets) in &arrival.deferred_usage {
            self.charge(now, at, octets);
        }
        Ok(disposition)
    }

    /// Charges an SA, and looks at its limits.
    fn charge(&mut self, now: Duration, at: u16, octets: usize) {
        if let Some(slot) = self.sad.get_mut(at) {
            slot.usage.charge(now, octets);
        }
        self.sad.refresh(at, now);
    }

    /// Whether IPsec without an SA may be looked at as any other packet: it came out of a tunnel, it is addressed to nobody
    /// whose SAs we have or ask for, or a policy lets it pass in clear.
    fn is_not_ours(&mut self, arrival: &Arrival<'_, '_>, destination: IpAddr) -> bool {
        if !arrival.at_outer_header {
            return false;
        }
        if !arrival.sec_path.is_empty() || !self.is_our_end(destination) {
            return true;
        }
        let Ok(flow) = Flow::read(arrival.packet.data()) else { return false };
        match self.lookup(Direction::Inbound, PolicyDirection::In, &flow) {
            Verdict::Rule(at) => self.spd.rule(at).is_some_and(|rule| rule.policy.action.passes()),
            Verdict::NoPolicy | Verdict::Opaque => false,
        }
    }

    /// Whether SAs end here, or policies ask for such.
    fn is_our_end(&self, address: IpAddr) -> bool {
        let ends_here = |rule: &Rule| match rule.policy.action {
            Action::Ipsec(bundle) if rule.policy.direction != PolicyDirection::Out => {
                bundle.iter().any(|template| template.ends.is_some_and(|ends| ends.destination.0 == Some(address)))
            }
            _ => false,
        };
        self.sad.iter().any(|(_, slot)| (slot.key.direction, slot.key.destination) == (Direction::Inbound, address))
            || self.spd.rules().iter().any(ends_here)
    }

    /// A tunnel of IPComp whose packet was not worth compressing arrives as a plain tunnel (RFC 3173 2.2).
    fn find_ipcomp_sa(
        &self,
        now: Duration,
        packet: &[u8],
        ends: (IpAddr, IpAddr),
    ) -> Option<(u16, HeaderPosition, Option<Encap>)> {
        if !self.sad.has_ipcomp_in() {
            return None;
        }
        let place = locate(packet, IpProto::IPV4).or_else(|_| locate(packet, IpProto::IPV6)).ok()?;
        // Any tunnel between these ends would look the same: a policy has to ask for IPComp.
        let tunnel = TunnelSa { protocol: Protocol::Ipcomp, source: ends.0, destination: ends.1 };
        if !self.spd.asks_for_tunnel(tunnel, packet.get(place.at..)?, self.settings.default_level) {
            return None;
        }
        let between = |slot: &crate::sad::Slot<A>| {
            let key = slot.key;
            let is_tunnel = slot.sa.as_ref().is_some_and(|sa| matches!(sa.mode, Mode::Tunnel | Mode::Any));
            is_tunnel
                && (key.direction, key.protocol) == (Direction::Inbound, Protocol::Ipcomp)
                && (slot.source, key.destination) == ends
        };
        // One that is alive, if there is one.
        let (at, _) =
            self.sad.iter().filter(|(_, slot)| between(slot)).min_by_key(|(_, slot)| {
                slot.sa.as_ref().is_some_and(|sa| sa.lifetimes.hard.reached(&slot.usage, now))
            })?;
        Some((at, place, None))
    }

    /// Takes one header off, by the SA that it names.
    #[allow(clippy::too_many_arguments)] // one step of the loop above, apart to be read
    fn decapsulate(
        &mut self,
        now: Duration,
        arrival: &mut Arrival<'_, '_>,
        at: u16,
        place: HeaderPosition,
        encap: Option<Encap>,
        seen: &OuterFields,
        ends: (IpAddr, IpAddr),
    ) -> Result<(), DiscardReason> {
        match self.sad.refresh(at, now) {
            Some(SaState::Mature | SaState::Dying) => {}
            Some(SaState::Larval) => return Err(DiscardReason::Larval),
            //= RFC 4303 3.4.2/1
            Some(SaState::Dead) | None => return Err(DiscardReason::Expired),
        }
        if arrival.sec_path.is_full() {
            return Err(DiscardReason::TooManyHeaders);
        }
        let Some(slot) = self.sad.get(at) else { return Err(DiscardReason::NoSa) };
        let (key, Some(sa)) = (slot.key, &slot.sa) else { return Err(DiscardReason::Larval) };
        // The peer's port may be another behind a NAT; ours is not.
        let differs = |(sa, packet): (Encap, Encap)| {
            (sa.marker, sa.ports.destination) != (packet.marker, packet.ports.destination)
        };
        if sa.encap.is_some() != encap.is_some() || sa.encap.zip(encap).is_some_and(differs) {
            return Err(DiscardReason::Encapsulation);
        }
        // Behind a NAT addresses change, and the ICV vouches for the packet.
        if sa.source != ends.0 && !sa.source.is_unspecified() && encap.is_none() {
            return Err(DiscardReason::SourceMismatch);
        }
        check_preceding_headers(arrival.packet.data(), place.at)?;
        if key.protocol == Protocol::Ipcomp && place.next == IpProto::IPCOMP && !arrival.sec_path.is_authentic() {
            let next = IpProto(arrival.packet.data().get(place.at).copied().unwrap_or_default());
            self.check_bare_ipcomp(&arrival.sec_path, at, next, ends)?;
        }
        let tunnel = TunnelSa {
            protocol: key.protocol,
            source: if sa.source.is_unspecified() { ends.0 } else { sa.source },
            destination: sa.destination,
        };
        let (spd, default_level) = (&self.spd, self.settings.default_level);
        let decides = |inner: &[u8]| spd.asks_for_tunnel(tunnel, inner, default_level);
        let Some(slot) = self.sad.get_mut(at) else { return Err(DiscardReason::NoSa) };
        let Some(sa) = &mut slot.sa else { return Err(DiscardReason::Larval) };
        let decapsulated = match key.protocol {
            Protocol::Esp => esp(sa, arrival.packet, place, encap, seen, &decides)?,
            Protocol::Ah => ah(sa, arrival.packet, seen, &decides)?,
            // A plain tunnel came here because the policies ask for it.
            Protocol::Ipcomp if place.next != IpProto::IPCOMP => {
                ipcomp(sa, self.decompressor.as_mut(), arrival.packet, place, seen, &|_| true)?
            }
            Protocol::Ipcomp => ipcomp(sa, self.decompressor.as_mut(), arrival.packet, place, seen, &decides)?,
        };
        arrival.extent.include(arrival.packet);
        match decapsulated.mode {
            Mode::Transport => arrival.repair = encap.map(|_| sa.repair).or(arrival.repair),
            Mode::Tunnel | Mode::Beet | Mode::Any => arrival.repair = None,
        }
        let mode = sa.mode;
        let moved = encap.is_some() && sa.source != ends.0 && !sa.source.is_unspecified();
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
        // Whoever held packets back on the way moves nobody: where the peer is, its newest packet says.
        let newest = sa.transform.sequence().map(|top| u32::from_be_bytes(top.low())) == arrival.seen.sequence;
        if let Some(encap) = encap.filter(|_| newest) {
            self.sad.update_pending(at, |pending| pending.moved = Some((ends.0, encap.ports.source)));
        }
        self.counters.add(Direction::Inbound, packets, 1);
        self.counters.add(Direction::Inbound, octets, decapsulated.octets);
        // What only IPComp vouches for, anybody can send.
        if key.protocol != Protocol::Ipcomp || arrival.sec_path.is_authentic() {
            self.charge(now, at, decapsulated.octets);
        } else {
            // There is room: see above.
            let _ = arrival.deferred_usage.push((at, decapsulated.octets));
        }
        arrival.sec_path.push(applied);
        if let Some(reason) = decapsulated.refused {
            return Err(reason);
        }
        // Without a tunnel the address that a NAT, or anybody, wrote would be the packet's own.
        if moved && decapsulated.mode == Mode::Transport {
            return Err(DiscardReason::SourceMismatch);
        }
        if decapsulated.dummy {
            return Err(DiscardReason::Dummy);
        }
        match (decapsulated.mode, key.protocol) {
            (Mode::Transport, Protocol::Esp) if arrival.unauthenticated == Unauthenticated::Unknown => {
                arrival.unauthenticated = Unauthenticated::Headers(place.at);
            }
            (Mode::Transport, Protocol::Ah) if arrival.unauthenticated != Unauthenticated::Nothing => {
                arrival.unauthenticated = Unauthenticated::ZeroedOptions;
            }
            (Mode::Transport, _) => {}
            // The next IP header and what follows it came out of the SAs so far.
            (Mode::Tunnel | Mode::Beet | Mode::Any, _) => {
                let is_authentic = arrival.sec_path.is_authentic();
                arrival.unauthenticated =
                    if is_authentic { Unauthenticated::Nothing } else { Unauthenticated::Unknown };
            }
        }
        arrival.without_mode = (decapsulated.mode, mode) == (Mode::Transport, Mode::Any);
        arrival.at_outer_header = decapsulated.mode != Mode::Transport;
        if arrival.at_outer_header {
            self.counters.add(Direction::Inbound, Counter::Tunnelled, 1);
        }
        Ok(())
    }

    /// A packet out of a tunnel that is protected again, by a policy of its own for what is between here and there: if that
    /// policy is content with the SAs so far, they are no more the matter of the policy for what is inside.
    fn match_outer_policy(&mut self, arrival: &mut Arrival<'_, '_>) {
        let Ok(flow) = Flow::read(arrival.packet.data()) else { return };
        if let Verdict::Rule(at) = self.lookup(Direction::Inbound, PolicyDirection::In, &flow)
            && let Some(&Rule { id, policy: Policy { action: Action::Ipsec(bundle), .. }, .. }) = self.spd.rule(at)
        {
            arrival.sec_path.match_outer_policy(id, &bundle, |template| self.is_optional(template));
        }
    }

    /// Compares what is left of a packet, and the SAs it came through, with the policies.
    fn admit(&mut self, arrival: &Arrival<'_, '_>) -> Result<Disposition, DiscardReason> {
        let flow = Flow::read(arrival.packet.data())?;
        if let Some(disposition) = self.admit_flow(arrival, &flow)? {
            return Ok(disposition);
        }
        // An ICMP error that no policy is for is judged by the packet that it quotes, which must be one of the return traffic of what a
        // policy is for (RFC 4301 6.2).
        if let Some(quoted) = quoted_flow(arrival.packet.data())
            && let Some(disposition) = self.admit_flow(arrival, &quoted.reversed())?
        {
            return Ok(disposition);
        }
        match (arrival.sec_path.is_without_tunnel(), arrival.sec_path.is_empty()) {
            (true, true) => self.unmatched().map(|()| Disposition::Bypass),
            (true, false) => self.unmatched().map(|()| Disposition::Deliver),
            (false, _) => Err(DiscardReason::NoPolicy),
        }
    }

    /// What the policies for a flow say of the SAs that a packet came through; `None` where none is for it.
    fn admit_flow(&mut self, arrival: &Arrival<'_, '_>, flow: &Flow) -> Result<Option<Disposition>, DiscardReason> {
        let sec_path = &arrival.sec_path;
        let opened = !sec_path.is_empty();
        let passes = if opened { Disposition::Deliver } else { Disposition::Bypass };
        // What a tunnel brought must be wanted by a policy: otherwise its other end could send in anybody's name.
        let (mut has_policy, mut is_required) = (false, sec_path.is_without_tunnel());
        for direction in [PolicyDirection::In, PolicyDirection::Forward] {
            let at = match self.lookup(Direction::Inbound, direction, flow) {
                Verdict::Rule(at) => at,
                Verdict::Opaque => return Err(DiscardReason::Opaque),
                Verdict::NoPolicy => continue,
            };
            let Some(&Rule { id, policy, .. }) = self.spd.rule(at) else { continue };
            has_policy = true;
            match policy.action {
                Action::Discard => return Err(DiscardReason::Policy),
                Action::None | Action::Bypass | Action::Entrust => {}
                //= RFC 3948 3.1.1/1
                Action::Ipsec(bundle) if sec_path.satisfies(id, &bundle, |template| self.is_optional(template)) => {
                    is_required = true;
                }
                Action::Ipsec(_) if opened => return Err(DiscardReason::SaMismatch),
                Action::Ipsec(_) => return Err(DiscardReason::Cleartext),
            }
        }
        match (has_policy, is_required) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(passes)),
            (true, false) => Err(DiscardReason::SaMismatch),
        }
    }
}

/// Octets of the IP header without options or extension headers.
fn ip_header_len(packet: &[u8]) -> usize {
    if packet.first().is_some_and(|first| first >> 4 == 4) { 20 } else { 40 }
}
