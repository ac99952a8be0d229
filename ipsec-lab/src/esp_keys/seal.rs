//! Protection of captured packets with the keys of ESP SAs, without policies.

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;

use esp_core::{Outbound, Prepared, RngIv, Unsealed, seal_prepared};
use ipsec_crypto::AnySuite;
use ipsec_engine::DiscardReason;
use ipsec_packet::{
    IpError, IpProto, PacketBuf, Seq, SeqCounter, Spi, Tunnel, UDP_HEADER, UdpChecksum, adjust_length, find_header,
    open_gap, push_udp,
};
use ipsec_sa::{Mode, SaParams, UdpEncap};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{EspKeys, SaKeys, is_esp};
use crate::capture::{Frame, IpHeader};
use crate::gateway::{HEADROOM, Numbers, Outcome, PacketResult, WorkBuffer};
use crate::private_file;

/// Largest number of hosts whose side is kept.
const MAX_HOSTS: usize = 65536;
/// Tailroom after each packet, for padding, ESP trailer and ICV, in octets. It is small, as batches are slower with
/// buffers that exceed the caches of the processor.
const ESP_TAILROOM: usize = 512;

/// Sender with the SAs of a file.
///
/// An SA in transport mode protects the packets between its addresses. Of the SAs in tunnel mode, the first protects
/// the packets in the direction of the first packet, and the first with exchanged addresses those in the other; of the
/// rows of Wireshark's table without addresses, so do the first and the second.
pub struct Sealer {
    sas: Vec<Sender>,
    /// Hosts by side: `true` for that of the source of the first packet.
    sides: HashMap<IpAddr, bool>,
    numbers: Numbers,
    rng: StdRng,
    identification: u16,
    buffers: Vec<WorkBuffer>,
}

/// Result of a packet and the packet, or an error that ends the run.
type Sealed = Result<(Outcome, Vec<u8>), Box<dyn Error>>;

/// Packet of a batch with its headers.
struct Begun<'b> {
    packet: PacketBuf<'b>,
    outcome: Outcome,
    /// SA of a packet that is not encrypted yet.
    pending: Option<(usize, Prepared)>,
}

struct Sender {
    keys: SaKeys,
    outbound: Outbound<AnySuite>,
    /// Name in the file of sequence numbers, if the nonce contains the number.
    name: Option<String>,
}

impl Sealer {
    /// Creates a sender. Sequence numbers of keys whose nonce contains them continue where the last run has ended.
    pub fn new(keys: EspKeys) -> Result<Self, Box<dyn Error>> {
        let mut numbers = numbers(&keys)?;
        let (mut sas, mut others, mut open_only, path) = (Vec::new(), 0u64, 0u64, keys.path);
        for keys in keys.sas {
            if !is_esp(&keys.params.transform) {
                others += 1;
            } else if keys.any_spi || keys.unchecked_icv > 0 {
                open_only += 1;
            } else {
                sas.push(sender(keys, &mut numbers)?);
            }
        }
        let mut left_out = Vec::new();
        if others > 0 {
            left_out.push(format!("SAs of AH and IPComp, which protect with `--config` and policies only: {others}"));
        }
        if open_only > 0 {
            left_out.push(format!(
                "rows without SPI or authentication key, with which packets are only opened: {open_only}"
            ));
        }
        if sas.is_empty() {
            let found = left_out.join("; ");
            return Err(format!("{}: no ESP SA that protects packets; found {found}", path.display()).into());
        }
        left_out.iter().for_each(|what| noteln!("ipsec-lab: warning: not used: {what}"));
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let identification = rng.random();
        Ok(Self { sas, sides: HashMap::new(), numbers, rng, identification, buffers: Vec::new() })
    }

    /// Returns whether packets of an SA are encrypted faster together with others.
    pub fn gains_from_batches(&self, packets: usize) -> bool {
        self.sas.iter().any(|sa| sa.outbound.gains_from_batch(packets))
    }

    /// Protects packets in their order. A packet that belongs to no SA is refused. Packets are encrypted together if
    /// that is faster. Results end with the first error.
    pub fn seal(&mut self, frames: &[Frame]) -> Vec<Sealed> {
        let mut buffers = std::mem::take(&mut self.buffers);
        buffers.resize_with(frames.len().max(buffers.len()), WorkBuffer::default);
        let mut begun = Vec::new();
        for (frame, buffer) in frames.iter().zip(&mut buffers) {
            let packet = buffer.packet(&frame.packet, HEADROOM, ESP_TAILROOM);
            begun.push(self.begin(&frame.packet, packet, frames.len()));
            if begun.last().is_some_and(Result::is_err) {
                break;
            }
        }
        let waiting = begun.iter_mut().flatten().filter_map(|Begun { packet, pending, .. }| {
            let (sa, prepared) = (*pending)?;
            Some(Unsealed { suite: self.sas.get(sa)?.outbound.suite(), prepared, packet: packet.data_mut() })
        });
        let complete = seal_prepared(waiting);
        // A packet that is not complete contains plaintext.
        if complete != begun.iter().flatten().filter(|packet| packet.pending.is_some()).count() {
            return vec![Err("a prepared packet was not encrypted".into())];
        }
        let sealed = begun.into_iter().zip(frames).map(|(begun, frame)| {
            let Begun { packet, outcome, .. } = begun?;
            let is_sealed = outcome.result == PacketResult::Processed;
            Ok((outcome, if is_sealed { packet.data().to_vec() } else { frame.packet.clone() }))
        });
        let sealed = sealed.collect();
        self.buffers = buffers;
        sealed
    }

    /// Takes the sequence number of a packet and adds its headers.
    fn begin<'b>(
        &mut self,
        packet: &[u8],
        mut buffer: PacketBuf<'b>,
        packets: usize,
    ) -> Result<Begun<'b>, Box<dyn Error>> {
        let refused =
            |name, reason: String, packet| Begun { packet, outcome: Outcome::refused(name, reason), pending: None };
        let Some(header) = IpHeader::parse(packet) else {
            return Ok(refused("malformed packet", "the IP header is malformed".into(), buffer));
        };
        let Some((at, mode)) = self.choose(&header) else {
            let reason = format!("no SA of the file is for {} > {}", header.source, header.destination);
            return Ok(refused("no SA", reason, buffer));
        };
        self.identification = self.identification.wrapping_add(1);
        let sa = &mut self.sas[at];
        if let Some(name) = &sa.name {
            self.numbers.reserve(name, sa.outbound.counter().last_used().get(), sa.keys.params.sequence)?;
        }
        buffer.truncate(header.length.min(packet.len()));
        let sealed = match mode {
            Mode::Tunnel => tunnel(sa, &mut buffer, self.identification, &mut self.rng, packets),
            _ => transport(sa, &mut buffer, &mut self.rng).map(|()| None),
        };
        Ok(match sealed {
            Ok(prepared) => Begun {
                packet: buffer,
                outcome: Outcome::of("protected", PacketResult::Processed),
                pending: prepared.map(|prepared| (at, prepared)),
            },
            Err(reason) => Begun { packet: buffer, outcome: Outcome::from(reason), pending: None },
        })
    }

    /// Stores the sequence numbers that were used.
    pub fn finish(&mut self) -> Result<(), Box<dyn Error>> {
        let used =
            self.sas.iter().filter_map(|sa| Some((sa.name.as_deref()?, sa.outbound.counter().last_used().get())));
        self.numbers.store(used)
    }

    /// Returns the SA of a packet and its mode.
    fn choose(&mut self, header: &IpHeader) -> Option<(usize, Mode)> {
        let ends = Some((header.source, header.destination));
        let is_transport = |sa: &Sender| match sa.keys.params.mode {
            Mode::Transport | Mode::Any => sa.keys.has_addresses(header) && (sa.keys.has_mode || !is_tunnel(sa, ends)),
            _ => false,
        };
        let mut fitting = self.sas.iter().enumerate().filter(|(_, sa)| is_transport(sa)).map(|(at, _)| at);
        match (fitting.next(), fitting.next()) {
            (Some(first), Some(second)) if self.sas[first].keys.ends().is_none() => {
                return Some((if self.is_forward(header) { first } else { second }, Mode::Transport));
            }
            (Some(first), _) => return Some((first, Mode::Transport)),
            (None, _) => {}
        }
        let first = self.sas.iter().position(|sa| is_tunnel(sa, ends))?;
        let (source, destination) = self.sas[first].keys.ends()?;
        let reverse =
            self.sas.iter().position(|sa| sa.keys.ends() == Some((destination, source)) && is_tunnel(sa, ends));
        Some((if self.is_forward(header) { first } else { reverse? }, Mode::Tunnel))
    }

    /// Returns whether a packet goes in the direction of the first packet, by the side of its hosts.
    fn is_forward(&mut self, header: &IpHeader) -> bool {
        let is_forward = match (self.sides.get(&header.source), self.sides.get(&header.destination)) {
            (Some(side), _) => *side,
            (None, Some(side)) => !*side,
            (None, None) => true,
        };
        if self.sides.len() < MAX_HOSTS {
            self.sides.entry(header.source).or_insert(is_forward);
            self.sides.entry(header.destination).or_insert(!is_forward);
        }
        is_forward
    }
}

/// Returns the sequence numbers beside the file of the keys, which is needed if a nonce contains them.
fn numbers(keys: &EspKeys) -> Result<Numbers, Box<dyn Error>> {
    if !keys.sas.iter().any(|sa| sa.params.transform.has_sequence_nonce()) {
        return Ok(Numbers::New);
    }
    if keys.path.as_os_str() == "-" {
        return Err(
            "keys whose nonce contains the sequence number need a file, beside which the numbers are kept".into()
        );
    }
    Ok(Numbers::Unopened(private_file::canonical(&keys.path)?))
}

/// Returns whether an SA protects packets in tunnel mode: by its mode, or without one if it has addresses that are not
/// those of the packet.
fn is_tunnel(sa: &Sender, packet: Option<(IpAddr, IpAddr)>) -> bool {
    match sa.keys.params.mode {
        Mode::Tunnel => true,
        Mode::Any => sa.keys.ends().is_some_and(|ends| Some(ends) != packet),
        _ => false,
    }
}

fn sender(keys: SaKeys, numbers: &mut Numbers) -> Result<Sender, Box<dyn Error>> {
    let SaParams { id, sequence: width, .. } = keys.params;
    let problem = |e: &dyn std::fmt::Display| format!("SA with SPI {:#010x}: {e}", id.spi);
    let suite = super::open::suite(&keys).map_err(|e| problem(&e))?;
    let spi = Spi::new(id.spi).map_err(|e| problem(&e))?;
    let mut outbound = Outbound::new(spi, suite, width);
    let name = keys.params.transform.has_sequence_nonce().then(|| name(&keys));
    if let Some(name) = &name {
        let last = Seq::new(numbers.last_of(name)?);
        let state = SeqCounter::new(width).export_ahead(last.get());
        let reason = || format!("last sequence number: got {}, expected at most {}", last.get(), u32::MAX);
        outbound.import(&state).map_err(|_| problem(&reason()))?;
    }
    Ok(Sender { keys, outbound, name })
}

/// Returns the name of an SA in the file of sequence numbers.
fn name(keys: &SaKeys) -> String {
    match keys.ends() {
        Some((source, destination)) => format!("{source} {destination} esp {:#x}", keys.params.id.spi),
        None => format!("* * esp {:#x}", keys.params.id.spi),
    }
}

/// Adds the headers of tunnel mode, and encrypts the packet unless that is faster together with others.
fn tunnel(
    sa: &mut Sender,
    packet: &mut PacketBuf<'_>,
    id: u16,
    rng: &mut StdRng,
    packets: usize,
) -> Result<Option<Prepared>, DiscardReason> {
    let (source, destination) = sa.keys.ends().ok_or(DiscardReason::NoSa)?;
    let tunnel = match (source, destination) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => Tunnel::v4(local, remote),
        (IpAddr::V6(local), IpAddr::V6(remote)) => Tunnel::v6(local, remote),
        _ => return Err(DiscardReason::NoSa),
    };
    let (outer, next) = tunnel.with_rules(sa.keys.params.tunnel).outer_for(packet.data_mut())?;
    // A checksum over ESP needs the whole packet.
    let has_checksum = sa.keys.params.encap.is_some() && !source.is_ipv4();
    let prepared = if !has_checksum && sa.outbound.gains_from_batch(packets) {
        let padding = sa.outbound.padding();
        Some(sa.outbound.prepare(packet, next, padding, &mut RngIv(rng))?)
    } else {
        sa.outbound.seal(packet, next, &mut RngIv(rng))?;
        None
    };
    let proto = match sa.keys.params.encap {
        Some(encap) => {
            push_udp(packet, encap.ports, encap.marker, checksum(source, destination))?;
            IpProto::UDP
        }
        None => IpProto::ESP,
    };
    outer.push(packet, proto, id)?;
    Ok(prepared)
}

fn transport(sa: &mut Sender, packet: &mut PacketBuf<'_>, rng: &mut StdRng) -> Result<(), DiscardReason> {
    sa.outbound.seal_transport(packet, &mut RngIv(rng)).map_err(|e| match e {
        esp_core::SealTransportError::Ip(e) => e.into(),
        esp_core::SealTransportError::Seal(e) => e.into(),
        _ => DiscardReason::Fragment,
    })?;
    match sa.keys.params.encap {
        Some(encap) => Ok(put_in_udp(encap, packet)?),
        None => Ok(()),
    }
}

/// Inserts a UDP header in front of ESP.
fn put_in_udp(encap: UdpEncap, packet: &mut PacketBuf<'_>) -> Result<(), IpError> {
    let place = find_header(packet.data(), IpProto::ESP)?;
    let gap = UDP_HEADER + encap.marker.esp_offset();
    open_gap(packet, place, gap, IpProto::UDP)?;
    let header = IpHeader::parse(packet.data()).ok_or(IpError::NotFound)?;
    packet.pull_front(place.at + gap)?;
    let pushed = push_udp(packet, encap.ports, encap.marker, checksum(header.source, header.destination));
    pushed.map_err(|_| IpError::TooLong(packet.len()))?;
    packet.push_front(place.at)?;
    adjust_length(packet.data_mut())
}

/// Returns the checksum of ESP in UDP, which is computed over IPv6 only.
fn checksum(source: IpAddr, destination: IpAddr) -> UdpChecksum {
    if source.is_ipv4() { UdpChecksum::Zero } else { UdpChecksum::Computed { source, destination } }
}
