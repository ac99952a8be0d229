//! Records of type `packet`.

use std::error::Error;

use ah_core::Profile;
use esp_core::{Inbound, PadCheck, Padding, SealParams, overhead, seal_with};
use ipsec_crypto::{AnyAhIntegrity, AnySuite, EspParts, Suite};
use ipsec_engine::{Mode, Transform};
use ipsec_packet::{
    DestinationOptions, Ip, IpError, IpProto, Ipv4, PacketBuf, ReplayWindow, Seq, Spi, TunnelError, UDP_HEADER,
    UdpChecksum, find_header, open_gap, push_udp, set_length, transport_position,
};
use test_vectors::{Expected, PacketRecord, to_hex};

use super::sa::With;
use super::{Failure, sa};

/// Checks that a receiver processes the wire packet as the record specifies, and, if it does, that a sender produces
/// the wire packet.
pub fn check(record: &PacketRecord) -> Result<(), Failure> {
    match (record.sa.proto.as_str(), sa::spi(record.sa.spi)) {
        ("esp", None) => {
            judge(record, open_spi_zero(record, &sa::suite(&record.sa)?))?;
            if record.seal { seal(record, &sa::suite(&record.sa)?) } else { Ok(()) }
        }
        ("esp", Some(spi)) => {
            let esp = Inbound::with_window(spi, sa::suite(&record.sa)?, sa::width(record.sa.esn), window(record));
            judge(record, receive(record, Transform::EspIn(esp))?)?;
            if record.seal { seal(record, &sa::suite(&record.sa)?) } else { Ok(()) }
        }
        ("ah", Some(spi)) => {
            let (integrity, profile) = (sa::ah_integrity(&record.sa)?, sa::profile(record.sa.ah_profile.as_deref())?);
            let width = sa::width(record.sa.esn);
            let ah = ah_core::Inbound::with_window(spi, integrity, width, profile, window(record));
            judge(record, receive(record, Transform::AhIn(ah))?)?;
            if record.seal { sign(record, spi, &sa::ah_integrity(&record.sa)?, profile) } else { Ok(()) }
        }
        ("ah", None) => Err(Failure::new("an SPI", "0")),
        (other, _) => Err(Failure::new("protocol `esp` or `ah`", other)),
    }
}

/// Creates the window of a receiver that has not received a packet; for extended sequence numbers the high half is
/// known.
fn window(record: &PacketRecord) -> ReplayWindow {
    match (record.sa.esn, record.seq_high) {
        (true, Some(high)) => ReplayWindow::starting_at(Seq::new(u64::from(high) << 32)),
        _ => ReplayWindow::new(),
    }
}

/// Compares the delivered packet with the record.
pub fn judge(record: &PacketRecord, delivered: Result<Vec<u8>, String>) -> Result<(), Failure> {
    match (record.expected, delivered) {
        (Expected::Any, _) => Ok(()),
        (Expected::Reject, Err(reason)) => super::refused(record.expected_reason.as_deref(), &reason),
        (Expected::Reject, Ok(packet)) => Err(Failure::new("reject", format!("{} octets delivered", packet.len()))),
        (Expected::Accept, Err(refused)) => Err(Failure::new("accept", refused)),
        (Expected::Accept, Ok(packet)) => match &record.plain_packet {
            Some(plain) if **plain == *packet => Ok(()),
            Some(plain) => Err(Failure::new(to_hex(plain), to_hex(&packet))),
            None => Err(Failure::new("plain_packet", "none")),
        },
    }
}

/// Returns the packet that a new receiver delivers for the wire packet.
fn receive(
    record: &PacketRecord,
    transform: Transform<With<ReplayWindow>>,
) -> Result<Result<Vec<u8>, String>, Failure> {
    let mut sa = sa::receiver(&record.sa.mode, &record.wire_packet, record.sa.udp_encap, transform)?;
    let mut bytes = record.wire_packet.to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    Ok(match sa.open_captured(&mut packet, None) {
        Ok(taken) => {
            // A wrong header checksum stays wrong in transport mode. It is not what a record tests, so it is ignored.
            if taken.mode == Mode::Transport
                && Ipv4::parse(&record.wire_packet).is_ok()
                && !has_right_checksum(&record.wire_packet)
            {
                let _ = set_length(packet.data_mut());
            }
            Ok(packet.data().to_vec())
        }
        Err(refused) => Err(refused.to_string()),
    })
}

fn has_right_checksum(packet: &[u8]) -> bool {
    Ipv4::parse(packet).is_ok_and(|ip| ip.has_valid_checksum())
}

/// Opens a packet with SPI 0, which no SA has but an example of a draft. The pure function does not check the SPI.
fn open_spi_zero(record: &PacketRecord, suite: &AnySuite) -> Result<Vec<u8>, String> {
    let mut bytes = record.wire_packet.to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    let text = |e: &dyn std::error::Error| e.to_string();
    let place = find_header(packet.data(), IpProto::ESP).map_err(|e| text(&e))?;
    packet.pull_front(place.at).map_err(|e| text(&e))?;
    let seq = Seq::new(esp_core::peek(packet.data()).map_err(|e| text(&e))?.seq_low.into());
    let opened =
        esp_core::open_with(suite, seq, sa::width(false), PadCheck::Full, &mut packet).map_err(|e| text(&e))?;
    match opened.next_header {
        IpProto::IPV4 | IpProto::IPV6 => {
            let inner = Ip::parse(packet.data()).map_err(|e| text(&TunnelError::Inner(e)))?;
            Ok(inner.packet().to_vec())
        }
        other => Err(format!("{other} in a tunnel")),
    }
}

/// Seals the plain packet with sequence number and IV of the record and compares it with the wire packet.
fn seal(record: &PacketRecord, suite: &AnySuite) -> Result<(), Failure> {
    let (Some(plain), Some(seq)) = (&record.plain_packet, record.seq) else {
        return Err(Failure::new("plain_packet and seq", "none"));
    };
    let room = record.wire_packet.len();
    let mut bytes = vec![0; plain.len() + 2 * room];
    bytes[room..room + plain.len()].copy_from_slice(plain);
    let mut packet =
        PacketBuf::with_headroom(&mut bytes, room, plain.len()).map_err(|e| Failure::new("space for the packet", e))?;
    let sealed = match record.sa.mode.as_str() {
        "tunnel" => seal_tunnel(record, suite, Seq::new(seq), &mut packet),
        _ => seal_transport(record, suite, Seq::new(seq), &mut packet),
    };
    sealed.map_err(|e| Failure::new("a packet that can be sealed", e))?;
    compare(packet.data(), &record.wire_packet)
}

/// Signs the plain packet, in tunnel mode with the outer header of the record, and compares it with the wire packet.
fn sign(record: &PacketRecord, spi: Spi, integrity: &AnyAhIntegrity, profile: Profile) -> Result<(), Failure> {
    let (Some(plain), Some(seq)) = (&record.plain_packet, record.seq) else {
        return Err(Failure::new("plain_packet and seq", "none"));
    };
    let problem = |e: &dyn std::error::Error| Failure::new("a packet that can be signed", e);
    let wanted = find_header(&record.wire_packet, IpProto::AH).map_err(|e| problem(&e))?;
    let room = record.wire_packet.len();
    let mut bytes = vec![0; room + plain.len()];
    bytes[room..].copy_from_slice(plain);
    let mut packet = PacketBuf::with_headroom(&mut bytes, room, plain.len()).map_err(|e| problem(&e))?;
    if record.sa.mode == "tunnel" {
        packet.prepend(&record.wire_packet[..wanted.at]).map_err(|e| problem(&e))?;
        let next = record.wire_packet.get(wanted.at).ok_or_else(|| problem(&IpError::NotFound))?;
        packet.data_mut()[wanted.next_header_at] = *next;
        set_length(packet.data_mut()).map_err(|e| problem(&e))?;
    }
    // The position relative to destination options is the choice of the sender, as with ESP.
    let at = |options| transport_position(packet.data(), options).map(|place| place.at);
    let options = match at(DestinationOptions::Protected) {
        Ok(at) if at == wanted.at => DestinationOptions::Protected,
        _ => DestinationOptions::Unprotected,
    };
    let mut iv = [0; 8];
    iv.iter_mut().zip(record.iv.iter()).for_each(|(to, from)| *to = *from);
    let (seq, width) = (Seq::new(seq), sa::width(record.sa.esn));
    let envelope = ah_core::SignParams { spi, seq, width, profile, options };
    ah_core::sign_with(integrity, &envelope, iv, &mut packet).map_err(|e| problem(&e))?;
    compare(packet.data(), &record.wire_packet)
}

fn compare(ours: &[u8], wire: &[u8]) -> Result<(), Failure> {
    if same_packet(ours, wire) { Ok(()) } else { Err(Failure::new(format!("sealed {}", to_hex(wire)), to_hex(ours))) }
}

/// Compares packets octet by octet, except for an IPv4 header checksum that the sender of the record left to its
/// network card: a wrong checksum in the record is not compared.
fn same_packet(ours: &[u8], record: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 10..12;
    let mut ours = ours.to_vec();
    if let (Ok(Ip::V4(ip)), Some(checksum)) = (Ip::parse(record), ours.get_mut(CHECKSUM))
        && !ip.has_valid_checksum()
    {
        checksum.copy_from_slice(&record[CHECKSUM]);
    }
    ours == record
}

/// Seals in tunnel mode with the outer header, and UDP header, of the record.
fn seal_tunnel(
    record: &PacketRecord,
    suite: &AnySuite,
    seq: Seq,
    packet: &mut PacketBuf<'_>,
) -> Result<(), Box<dyn Error>> {
    let next = match Ip::parse(packet.data())? {
        Ip::V4(_) => IpProto::IPV4,
        Ip::V6(_) => IpProto::IPV6,
    };
    seal_esp(record, suite, seq, packet, next)?;
    let (at, _) = esp_in_wire(record)?;
    Ok(packet.prepend(&record.wire_packet[..at]).map_err(IpError::from)?)
}

fn seal_transport(
    record: &PacketRecord,
    suite: &AnySuite,
    seq: Seq,
    packet: &mut PacketBuf<'_>,
) -> Result<(), Box<dyn Error>> {
    // RFC 4303 section 3.1.1 leaves the position relative to destination options to the sender.
    let (esp_at, header) = esp_in_wire(record)?;
    let mut place = transport_position(packet.data(), DestinationOptions::Protected)?;
    if place.at != header {
        place = transport_position(packet.data(), DestinationOptions::Unprotected)?;
    }
    let encap = sa::encap(record.sa.udp_encap);
    let gap = overhead(suite.layout(), Padding::MINIMAL, packet.len() - place.at).front + (esp_at - header);
    open_gap(packet, place, gap, if encap.is_some() { IpProto::UDP } else { IpProto::ESP })?;
    packet.pull_front(place.at + gap)?;
    seal_esp(record, suite, seq, packet, place.next)?;
    if let Some(encap) = encap {
        push_udp(packet, encap.ports, encap.marker, UdpChecksum::Zero)?;
    }
    packet.push_front(place.at)?;
    set_length(packet.data_mut())?;
    if encap.is_some() {
        // The sender also chooses whether the UDP checksum is computed (RFC 3948 section 2.1).
        let checksum = esp_at - 2..esp_at;
        packet.data_mut()[checksum.clone()].copy_from_slice(&record.wire_packet[checksum]);
    }
    Ok(())
}

/// Returns the offset of ESP in the wire packet and the length of the IP header.
fn esp_in_wire(record: &PacketRecord) -> Result<(usize, usize), IpError> {
    Ok(match record.sa.udp_encap {
        None => find_header(&record.wire_packet, IpProto::ESP).map(|place| (place.at, place.at))?,
        Some(_) => find_header(&record.wire_packet, IpProto::UDP).map(|place| (place.at + UDP_HEADER, place.at))?,
    })
}

fn seal_esp(
    record: &PacketRecord,
    suite: &AnySuite,
    seq: Seq,
    packet: &mut PacketBuf<'_>,
    next_header: IpProto,
) -> Result<(), esp_core::SealError> {
    let spi = sa::spi(record.sa.spi);
    let width = sa::width(record.sa.esn);
    // An SA cannot have SPI 0. The example of the draft is sealed with another SPI, and once more through the suite
    // with the SPI replaced.
    let stand_in = spi.or(Spi::reserved(1).ok());
    let Some(stand_in) = stand_in else { return Err(esp_core::SealError::SequenceExhausted) };
    let envelope = SealParams { spi: stand_in, seq, width, next_header, padding: Padding::MINIMAL };
    seal_with(suite, &envelope, &record.iv, packet)?;
    if spi.is_none() {
        if let Ok(mut parts) = EspParts::split(suite.layout(), packet.data_mut(), None) {
            let _ = suite.open(&mut parts);
        }
        packet.data_mut()[..4].fill(0);
        if let Ok(mut parts) = EspParts::split(suite.layout(), packet.data_mut(), None) {
            suite.seal(&mut parts);
        }
    }
    Ok(())
}
