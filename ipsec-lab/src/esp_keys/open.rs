//! Decapsulation of captured packets with the keys of their SAs, without policies and anti-replay windows.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use ah_core::Profile;
use esp_core::OpenError;
use ipcomp_core::Inflate;
use ipsec_crypto::{AlgorithmError, AnySuite, IntegrityAlgorithm, KeyedSuite};
use ipsec_engine::{AnyAlgorithms, AnyWindow, DiscardReason, Sa, Transform};
use ipsec_packet::{ChecksumRepair, Cpi, IpProto, Marker, Ports, SeqWidth, Spi, UDP_HEADER, WindowSize, set_length};
use ipsec_sa::{Direction, Mode, Protocol, SaId, TransformParams, UdpEncap};

use super::{EspKeys, SaKeys, is_esp, opened_mode};
use crate::capture::{self, IpHeader};
use crate::gateway::{Outcome, PacketResult, TAILROOM, WireHeader, WorkBuffer};

/// Largest number of SAs with their addresses that are kept.
const MAX_SAS: usize = 4096;
/// Largest number of IPsec headers and tunnels of a packet.
const MAX_HEADERS: usize = 8;
/// CPI of DEFLATE without negotiation (RFC 3173 section 3.3).
const CPI_DEFLATE: u32 = 2;

/// Row of the keys, addresses, SPI and ports of packets in UDP.
type Key = (usize, IpAddr, IpAddr, u32, Option<(u16, u16)>);

/// Receiver of the packets of every SA in both directions.
pub struct Opener {
    keys: EspKeys,
    ports: BTreeSet<u16>,
    sas: HashMap<Key, Sa<AnyAlgorithms>>,
    inflate: Inflate,
    buffer: WorkBuffer,
}

/// Property of an SA that a file may leave open or have differently.
#[derive(Clone, Copy)]
enum Variant {
    /// Sequence numbers of 64 bits, of which Wireshark's table has no field.
    ExtendedSequence,
    /// HMAC-SHA2-256 truncated to 96 bits, which KAME and Linux have under the name of that with 128 bits.
    Sha256Truncated,
}

impl Variant {
    /// Returns whether the keys may be those of this variant.
    fn applies(self, keys: &SaKeys) -> bool {
        match (self, &keys.params.transform) {
            (Self::ExtendedSequence, _) => !keys.has_mode && keys.params.sequence == SeqWidth::Bits32,
            (Self::Sha256Truncated, TransformParams::Esp(own)) => own.integrity == IntegrityAlgorithm::HmacSha2_256_128,
            (Self::Sha256Truncated, _) => false,
        }
    }

    fn set(self, keys: &mut SaKeys, is_on: bool) {
        match (self, &mut keys.params.transform) {
            (Self::ExtendedSequence, _) => {
                keys.params.sequence = if is_on { SeqWidth::Extended64 } else { SeqWidth::Bits32 };
            }
            (Self::Sha256Truncated, TransformParams::Esp(own)) => {
                let (on, off) = (IntegrityAlgorithm::HmacSha2_256_96, IntegrityAlgorithm::HmacSha2_256_128);
                own.integrity = if is_on { on } else { off };
            }
            (Self::Sha256Truncated, _) => {}
        }
    }
}

fn key(row: usize, header: &IpHeader, wire: &WireHeader) -> Key {
    (row, header.source, header.destination, wire.spi, wire.ports)
}

/// Creates the suite of an ESP SA.
pub(super) fn suite(keys: &SaKeys) -> Result<AnySuite, AlgorithmError> {
    match &keys.params.transform {
        TransformParams::Esp(own) => <AnySuite as KeyedSuite>::from_keys(own),
        // NULL without integrity is not an SA, but a capture may contain it.
        TransformParams::EspWithoutIntegrity(own) => <AnySuite as KeyedSuite>::without_integrity(own),
        _ => Err(ipsec_crypto::KeyError::Unsupported.into()),
    }
}

impl Opener {
    /// Creates a receiver with these keys.
    pub fn new(keys: EspKeys) -> Self {
        let ports = keys.udp_ports().into_iter().collect();
        Self { keys, ports, sas: HashMap::new(), inflate: Inflate::new(), buffer: WorkBuffer::default() }
    }

    /// Returns the UDP ports of ESP, besides 4500.
    pub const fn ports(&self) -> &BTreeSet<u16> {
        &self.ports
    }

    /// Removes every IPsec header of a packet. A packet without one is bypassed.
    pub fn open(&mut self, packet: &[u8]) -> (Outcome, Vec<u8>) {
        let (mut packet, mut is_opened) = (packet.to_vec(), false);
        for _ in 0..MAX_HEADERS {
            let Some(header) = IpHeader::parse(&packet) else { break };
            let Some(wire) = WireHeader::read(&packet, &self.ports) else {
                match capture::inner(&header, &packet) {
                    Some(inner) if !is_opened && contains_ipsec(inner, &self.ports) => packet = inner.to_vec(),
                    Some(inner) if is_opened && self.is_uncompressed(&header) => packet = inner.to_vec(),
                    _ => break,
                }
                continue;
            };
            match self.remove_header(&header, &wire, &packet) {
                Ok(opened) => (packet, is_opened) = (opened, true),
                Err(reason) => return (Outcome::from(reason), packet),
            }
        }
        let name = if is_opened { "opened" } else { "bypassed" };
        let result = if is_opened { PacketResult::Processed } else { PacketResult::Bypassed };
        (Outcome::of(name, result), packet)
    }

    /// Returns whether an IP-in-IP packet is one of IPComp in tunnel mode that was not compressed (RFC 3173
    /// section 2.2).
    fn is_uncompressed(&self, header: &IpHeader) -> bool {
        let is_tunnel = |keys: &SaKeys| (keys.params.id.protocol, keys.params.mode) == (Protocol::Ipcomp, Mode::Tunnel);
        self.keys.sas.iter().any(|keys| is_tunnel(keys) && keys.has_addresses(header))
    }

    /// Removes the outermost IPsec header with the first key that fits.
    fn remove_header(&mut self, header: &IpHeader, wire: &WireHeader, packet: &[u8]) -> Result<Vec<u8>, DiscardReason> {
        if header.fragment.is_some() {
            return Err(DiscardReason::Fragment);
        }
        let mut first = None;
        for row in self.candidates(header, wire) {
            match self.open_with(row, header, wire, packet) {
                Ok(opened) => return Ok(opened),
                // The packet is authentic: other keys do not fit.
                Err(DiscardReason::Dummy) => return Err(DiscardReason::Dummy),
                Err(reason) => first = first.or(Some(reason)),
            }
        }
        if first.is_none() && wire.protocol == Protocol::Ipcomp && wire.spi >= CPI_DEFLATE {
            // DEFLATE is the only algorithm in use; its association needs no key.
            let cpi = u16::try_from(wire.spi).ok().and_then(|cpi| Cpi::new(cpi).ok()).ok_or(DiscardReason::NoSa)?;
            let sa = Sa::new(header.source, header.destination, Transform::IpcompIn(cpi));
            let mut sa = sa.map_err(|_| DiscardReason::NoSa)?.with_mode(Mode::Any);
            return self.decapsulate(&mut sa, packet);
        }
        Err(first.unwrap_or(DiscardReason::NoSa))
    }

    /// Returns the rows with protocol and SPI of a packet: those with its addresses first, as a NAT changes addresses.
    fn candidates(&self, header: &IpHeader, wire: &WireHeader) -> Vec<usize> {
        let with_spi = self.keys.sas.iter().enumerate().filter(|(_, keys)| keys.has_spi(wire.protocol, wire.spi));
        let (mut rows, others): (Vec<_>, Vec<_>) = with_spi.partition(|(_, keys)| keys.has_addresses(header));
        rows.extend(others.into_iter().filter(|(_, keys)| !keys.any_spi));
        rows.into_iter().map(|(row, _)| row).collect()
    }

    /// Opens a packet with a row. Properties that the row does not specify are tried until a packet is authentic
    /// ([`Variant`]).
    fn open_with(
        &mut self,
        row: usize,
        header: &IpHeader,
        wire: &WireHeader,
        packet: &[u8],
    ) -> Result<Vec<u8>, DiscardReason> {
        let opened = self.open_as_it_is(row, header, wire, packet);
        if self.keys.sas[row].is_used || !matches!(opened, Err(DiscardReason::Open(_))) {
            self.keys.sas[row].is_used |= opened.is_ok();
            return opened;
        }
        for variant in [Variant::ExtendedSequence, Variant::Sha256Truncated] {
            if !variant.applies(&self.keys.sas[row]) {
                continue;
            }
            variant.set(&mut self.keys.sas[row], true);
            self.sas.remove(&key(row, header, wire));
            let other = self.open_as_it_is(row, header, wire, packet);
            if other.is_ok() {
                self.keys.sas[row].is_used = true;
                return other;
            }
            variant.set(&mut self.keys.sas[row], false);
            self.sas.remove(&key(row, header, wire));
        }
        opened
    }

    fn open_as_it_is(
        &mut self,
        row: usize,
        header: &IpHeader,
        wire: &WireHeader,
        packet: &[u8],
    ) -> Result<Vec<u8>, DiscardReason> {
        let key = key(row, header, wire);
        if self.sas.len() >= MAX_SAS && !self.sas.contains_key(&key) {
            self.sas.clear();
        }
        let mut sa = match self.sas.remove(&key) {
            Some(sa) => sa,
            None => sa(&mut self.keys.sas[row], header, wire)?,
        };
        let octets = self.keys.sas[row].unchecked_icv;
        let opened = match octets {
            0 => self.decapsulate(&mut sa, packet),
            _ => {
                let packet = without_icv(header, wire, packet, octets);
                packet
                    .ok_or(DiscardReason::Open(OpenError::TooShort))
                    .and_then(|packet| self.decapsulate(&mut sa, &packet))
            }
        };
        self.sas.insert(key, sa);
        opened
    }

    fn decapsulate(&mut self, sa: &mut Sa<AnyAlgorithms>, packet: &[u8]) -> Result<Vec<u8>, DiscardReason> {
        let mut buffer = self.buffer.packet(packet, 0, TAILROOM);
        sa.open_captured(&mut buffer, Some(&mut self.inflate))?;
        Ok(buffer.data().to_vec())
    }
}

/// Returns whether an inner packet of a tunnel without protection is IPsec, or has such a packet inside.
fn contains_ipsec(packet: &[u8], ports: &BTreeSet<u16>) -> bool {
    let mut packet = packet;
    for _ in 0..MAX_HEADERS {
        if WireHeader::read(packet, ports).is_some() {
            return true;
        }
        let Some(inner) = IpHeader::parse(packet).and_then(|header| capture::inner(&header, packet)) else {
            return false;
        };
        packet = inner;
    }
    false
}

/// Creates the SA of a row for packets with these addresses.
fn sa(keys: &mut SaKeys, header: &IpHeader, wire: &WireHeader) -> Result<Sa<AnyAlgorithms>, DiscardReason> {
    let spi = Spi::reserved(wire.spi).map_err(|_| DiscardReason::NoSa)?;
    let sa = if is_esp(&keys.params.transform) {
        let suite = suite(keys).map_err(|_| DiscardReason::NoSa)?;
        let window = AnyWindow::new(WindowSize::packets(0)).ok_or(DiscardReason::NoSa)?;
        let esp = esp_core::Inbound::with_window(spi, suite, keys.params.sequence, window);
        let sa = Sa::new(header.source, header.destination, Transform::EspIn(esp));
        sa.map_err(|_| DiscardReason::NoSa)?.with_mode(opened_mode(keys))
    } else {
        let (source, id, mode) = (keys.params.source, keys.params.id, keys.params.mode);
        keys.params.source = header.source;
        keys.params.id = SaId { direction: Direction::Inbound, destination: header.destination, peer_port: None, ..id };
        keys.params.mode = opened_mode(keys);
        keys.params.window = WindowSize::packets(0);
        let sa = Sa::from_params(&keys.params, Profile::RFC.accepting_unfinished_routes());
        (keys.params.source, keys.params.id, keys.params.mode) = (source, id, mode);
        sa.map_err(|_| DiscardReason::NoSa)?
    };
    let sa = match keys.params.beet.filter(|_| opened_mode(keys) == Mode::Beet) {
        Some(beet) => sa.with_beet(beet),
        None => sa,
    };
    Ok(match wire.ports {
        Some((source, destination)) => {
            let marker = keys.params.encap.map_or(Marker::NonEsp, |encap| encap.marker);
            let encap = UdpEncap { ports: Ports { source, destination }, marker };
            sa.with_encap(encap, ChecksumRepair::Recompute)
        }
        None => sa,
    })
}

/// Removes the ICV of a packet that is not verified.
fn without_icv(header: &IpHeader, wire: &WireHeader, packet: &[u8], octets: usize) -> Option<Vec<u8>> {
    let end = header.length.min(packet.len()).checked_sub(octets)?;
    let mut cut = packet.get(..end)?.to_vec();
    set_length(&mut cut).ok()?;
    if wire.ports.is_some() {
        let length =
            u16::try_from(end.checked_sub(header.at)?).ok().filter(|length| usize::from(*length) >= UDP_HEADER)?;
        cut.get_mut(header.at + 4..header.at + 6)?.copy_from_slice(&length.to_be_bytes());
    }
    debug_assert!(matches!(IpProto(header.protocol), IpProto::ESP | IpProto::UDP));
    Some(cut)
}
