//! Records of type `ipcomp`.

use std::error::Error;

use ipcomp_core::{Compression, Deflate, Inflate, compress};
use ipsec_engine::Transform;
use ipsec_packet::{
    Cpi, DestinationOptions, IpError, IpProto, PacketBuf, ReplayWindow, find_header, set_length, transport_position,
};
use test_vectors::{Expected, IpcompRecord, to_hex};

use super::sa::With;
use super::{Failure, sa};

/// Size of a buffer for the largest IP packet with work space for another one after it.
const ROOM: usize = 2 * 65536;

/// Decompresses the wire packet, and compresses and decompresses the plain one.
pub fn check(record: &IpcompRecord) -> Result<(), Failure> {
    if record.algorithm != "deflate" {
        return Err(Failure::new("a known algorithm", &record.algorithm));
    }
    match (record.expected, open(record)) {
        (Expected::Any, _) => return Ok(()),
        (Expected::Reject, Err(reason)) => {
            return super::refused(record.expected_reason.as_deref(), &reason.to_string());
        }
        (Expected::Reject, Ok(packet)) => {
            return Err(Failure::new("reject", format!("{} octets delivered", packet.len())));
        }
        (Expected::Accept, Err(refused)) => return Err(Failure::new("accept", refused)),
        (Expected::Accept, Ok(packet)) => match &record.plain_packet {
            Some(plain) if **plain == *packet => {}
            Some(plain) => return Err(Failure::new(to_hex(plain), to_hex(&packet))),
            None => return Err(Failure::new("plain_packet", "none")),
        },
    }
    there_and_back(record).map_err(|e| Failure::new("a packet that decompresses to the original", e))?
}

/// Returns the CPI of an association that negotiated DEFLATE: its well-known or a negotiated number, not that of
/// another algorithm.
fn deflate_cpi(cpi: u16) -> Result<Cpi, IpError> {
    match Cpi::new(cpi) {
        Ok(cpi) if cpi == Cpi::DEFLATE || !cpi.is_well_known() => Ok(cpi),
        _ => Err(IpError::NotFound),
    }
}

fn open(record: &IpcompRecord) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = vec![0; record.wire_packet.len() + ROOM];
    bytes[..record.wire_packet.len()].copy_from_slice(&record.wire_packet);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, record.wire_packet.len())?;
    decompress(&record.mode, deflate_cpi(record.cpi)?, &mut packet)?;
    Ok(packet.data().to_vec())
}

fn decompress(mode: &str, cpi: Cpi, packet: &mut PacketBuf<'_>) -> Result<(), Box<dyn Error>> {
    // In transport mode a packet may be sent uncompressed (RFC 3173 section 2.2).
    if mode != "tunnel" && matches!(find_header(packet.data(), IpProto::IPCOMP), Err(IpError::NotFound)) {
        return Ok(());
    }
    let transform = Transform::<With<ReplayWindow>>::IpcompIn(cpi);
    let mut association = sa::receiver(mode, packet.data(), None, transform).map_err(|failure| failure.got)?;
    association.open(packet, Some(&mut Inflate::new()))?;
    Ok(())
}

fn there_and_back(record: &IpcompRecord) -> Result<Result<(), Failure>, Box<dyn Error>> {
    let Some(plain) = &record.plain_packet else { return Ok(Ok(())) };
    let cpi = deflate_cpi(record.cpi)?;
    let mut bytes = vec![0; plain.len() + ROOM];
    bytes[..plain.len()].copy_from_slice(plain);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, plain.len())?;
    let place = transport_position(packet.data(), DestinationOptions::Protected)?;
    packet.pull_front(place.at)?;
    let done = compress(&mut packet, place.next, cpi, &mut Deflate::new())?;
    packet.push_front(place.at)?;
    if let Compression::Compressed { .. } = done {
        packet.data_mut()[place.next_header_at] = IpProto::IPCOMP.0;
        set_length(packet.data_mut())?;
        if record.compressible == Some(false) {
            return Ok(Err(Failure::new("uncompressed", format!("compressed after {} octets", place.at))));
        }
        if packet.len() >= plain.len() {
            return Ok(Err(Failure::new("a smaller packet", format!("{} octets for {}", packet.len(), plain.len()))));
        }
    }
    decompress("transport", cpi, &mut packet)?;
    let same = packet.data() == &**plain;
    Ok(if same { Ok(()) } else { Err(Failure::new(to_hex(plain), to_hex(packet.data()))) })
}
