//! Records of type `ipcomp`.

use ipcomp_core::Deflate;
use ipsec_packet::{
    Cpi, DestinationOptions, EcnMode, Ip, IpError, IpProto, OuterSeen, PacketBuf, Tunnel, locate, placement,
};
use test_vectors::{Expected, IpcompRecord, to_hex};

use super::Failure;
use crate::road::{IpcompIn, IpcompOut, Refused};

/// The largest IP packet, and room for one more behind it to work in.
const ROOM: usize = 2 * 65536;

/// Decompresses the wire packet, and compresses the plain one by our own means and back.
pub fn check(record: &IpcompRecord) -> Result<(), Failure> {
    if record.algorithm != "deflate" {
        return Err(Failure::new("a known algorithm", &record.algorithm));
    }
    match (record.expected, open(record)) {
        (Expected::Any, _) | (Expected::Reject, Err(_)) => return Ok(()),
        (Expected::Reject, Ok(packet)) => {
            return Err(Failure::new("reject", format!("{} octets delivered", packet.len())));
        }
        (Expected::Accept, Err(refused)) => return Err(Failure::new("accept", refused)),
        (Expected::Accept, Ok(packet)) => match &record.plain_packet {
            Some(plain) if **plain == *packet => {}
            Some(plain) => return Err(Failure::new(to_hex(plain), to_hex(&packet))),
            None => return Err(Failure::new("a plain_packet to compare with", "none")),
        },
    }
    there_and_back(record).map_err(|e| Failure::new("compressed and back", e))?
}

/// An association that negotiated DEFLATE has its well-known number or a negotiated one, not that of another algorithm.
fn deflate_cpi(cpi: u16) -> Result<Cpi, Refused> {
    match Cpi::new(cpi) {
        Ok(cpi) if cpi == Cpi::DEFLATE || !cpi.is_well_known() => Ok(cpi),
        _ => Err(IpError::NotFound.into()),
    }
}

fn open(record: &IpcompRecord) -> Result<Vec<u8>, Refused> {
    let mut association = IpcompIn::new(deflate_cpi(record.cpi)?);
    let mut bytes = vec![0; record.wire_packet.len() + ROOM];
    bytes[..record.wire_packet.len()].copy_from_slice(&record.wire_packet);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, record.wire_packet.len()).map_err(IpError::from)?;
    let outer = Ip::parse(packet.data())?;
    let (seen, own_length) = (OuterSeen::read(&outer), outer.packet().len());
    packet.truncate(own_length);
    match record.mode.as_str() {
        "tunnel" => {
            let place = locate(packet.data(), IpProto::IPCOMP)?;
            packet.pull_front(place.at).map_err(IpError::from)?;
            let next = association.payload(&mut packet, IpProto::IPCOMP)?;
            // The ends are the record's; what comes out is delivered as it is.
            let tunnel = Tunnel::v4([0; 4].into(), [0; 4].into()).with_ecn(EcnMode::Forbidden);
            tunnel.accept(&seen, next, &mut packet)?;
        }
        _ => association.packet(&mut packet)?,
    }
    Ok(packet.data().to_vec())
}

fn there_and_back(record: &IpcompRecord) -> Result<Result<(), Failure>, Refused> {
    let Some(plain) = &record.plain_packet else { return Ok(Ok(())) };
    let cpi = deflate_cpi(record.cpi)?;
    let (mut out, mut back) = (IpcompOut::new(cpi, Deflate::new()), IpcompIn::new(cpi));
    let mut bytes = vec![0; plain.len() + ROOM];
    bytes[..plain.len()].copy_from_slice(plain);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, plain.len()).map_err(IpError::from)?;
    let at = placement(packet.data(), DestinationOptions::Protected)?.at;
    out.packet(&mut packet)?;
    let compressed = packet.data() != &**plain;
    if compressed && record.compressible == Some(false) {
        return Ok(Err(Failure::new("left as it is", format!("compressed behind {at} octets"))));
    }
    if compressed && packet.len() >= plain.len() {
        return Ok(Err(Failure::new("smaller", format!("{} octets for {}", packet.len(), plain.len()))));
    }
    back.packet(&mut packet)?;
    let same = packet.data() == &**plain;
    Ok(if same { Ok(()) } else { Err(Failure::new(to_hex(plain), to_hex(packet.data()))) })
}
