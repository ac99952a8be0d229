//! Fragments of IP packets (RFC 791, RFC 8200).

use ipsec_packet::{Checksum, IpProto};

/// Divides an IPv4 packet without options into fragments of at most `mtu` octets (RFC 791 section 3.2). Returns none if
/// that is not possible.
pub fn fragments(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    const HEADER: usize = 20;
    const MORE_FRAGMENTS: u16 = 0x2000;
    let step = usize::from(mtu).saturating_sub(HEADER) / 8 * 8;
    let (Some((header, payload)), Some(0x45)) = (packet.split_at_checked(HEADER), packet.first()) else {
        return Vec::new();
    };
    if step == 0 {
        return Vec::new();
    }
    // The packet may be a fragment itself.
    let first = u16::from_be_bytes([header[6], header[7]]);
    let last = payload.len().div_ceil(step).saturating_sub(1);
    let fragment = |(at, chunk): (usize, &[u8])| {
        let more = if at < last { MORE_FRAGMENTS } else { 0 };
        let offset = u16::try_from(at * step / 8).ok()?.checked_add(first)?;
        let mut fragment = [header, chunk].concat();
        let length = u16::try_from(fragment.len()).ok()?;
        fragment[2..4].copy_from_slice(&length.to_be_bytes());
        fragment[6..8].copy_from_slice(&(offset | more).to_be_bytes());
        fragment[10..12].fill(0);
        let sum = Checksum::new().over(&fragment[..HEADER]).finish();
        fragment[10..12].copy_from_slice(&sum.to_be_bytes());
        Some(fragment)
    };
    payload.chunks(step).enumerate().map(fragment).collect::<Option<_>>().unwrap_or_default()
}

/// Divides an IPv6 packet into fragments of at most `mtu` octets (RFC 8200 section 4.5). Returns none if that is not
/// possible, or if extension headers must remain in front of the fragment header.
pub fn fragments_v6(packet: &[u8], mtu: u16, identification: u32) -> Vec<Vec<u8>> {
    const HEADER: usize = 40;
    const FRAGMENT_HEADER: usize = 8;
    let step = usize::from(mtu).saturating_sub(HEADER + FRAGMENT_HEADER) / 8 * 8;
    let Some((header, payload)) = packet.split_at_checked(HEADER) else { return Vec::new() };
    let next = IpProto(header[6]);
    if step == 0 || next == IpProto::HOP_BY_HOP || next == IpProto::ROUTING || next == IpProto::FRAGMENT {
        return Vec::new();
    }
    let last = payload.len().div_ceil(step).saturating_sub(1);
    let fragment = |(at, chunk): (usize, &[u8])| {
        let offset = u16::try_from(at * step).ok()? | u16::from(at < last);
        let mut fragment = header.to_vec();
        fragment[4..6].copy_from_slice(&u16::try_from(FRAGMENT_HEADER + chunk.len()).ok()?.to_be_bytes());
        fragment[6] = IpProto::FRAGMENT.0;
        fragment.extend([next.0, 0]);
        fragment.extend(offset.to_be_bytes());
        fragment.extend(identification.to_be_bytes());
        fragment.extend_from_slice(chunk);
        Some(fragment)
    };
    payload.chunks(step).enumerate().map(fragment).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ipsec_packet::Ip;

    use super::*;

    #[test]
    fn fragments_of_ipv6_have_the_octets_of_the_packet() {
        let mut packet = vec![0x60, 0, 0, 0, 0x03, 0xe8, 50, 64];
        packet.extend([0x20; 32]);
        packet.extend((0..1000u16).map(|at| at.to_le_bytes()[0]));
        let fragments = fragments_v6(&packet, 500, 0x0102_0304);
        let mut payload = Vec::new();
        for fragment in &fragments {
            let more = u16::from(payload.len() + fragment.len() - 48 < 1000);
            assert!(fragment.len() <= 500 && Ip::parse(fragment).unwrap().packet().len() == fragment.len());
            assert_eq!((&fragment[..4], fragment[6], &fragment[7..40]), (&packet[..4], 44, &packet[7..40]));
            let offset = u16::try_from(payload.len()).unwrap() | more;
            assert_eq!(fragment[40..48], [&[50, 0], &offset.to_be_bytes()[..], &[1, 2, 3, 4]].concat());
            payload.extend_from_slice(&fragment[48..]);
        }
        assert_eq!((fragments.len(), payload == packet[40..]), (3, true));
        packet[6] = 0;
        assert!(fragments_v6(&packet, 500, 1).is_empty(), "hop-by-hop options remain in front");
        assert!(fragments_v6(&packet[..30], 500, 1).is_empty());
        packet[6] = 50;
        assert!(fragments_v6(&packet, 55, 1).is_empty(), "no octets of the payload");
    }

    #[test]
    fn fragments_have_the_octets_of_the_packet() {
        let mut packet = vec![0x45, 0, 0, 0, 0x1c, 0x46, 0, 0, 64, 50, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend((0..1000u16).map(|at| at.to_le_bytes()[0]));
        let fragments = fragments(&packet, 500);
        let mut payload = Vec::new();
        for fragment in &fragments {
            let Ok(Ip::V4(ip)) = Ip::parse(fragment) else { panic!("IPv4") };
            assert!(fragment.len() <= 500 && ip.has_valid_checksum());
            assert_eq!((ip.packet().len(), ip.header().identification()), (fragment.len(), 0x1c46));
            let offset = u16::from_be_bytes([fragment[6], fragment[7]]);
            let more = if payload.len() + ip.payload().len() < 1000 { 0x2000 } else { 0 };
            assert_eq!(usize::from(offset), (payload.len() / 8) | more);
            payload.extend_from_slice(ip.payload());
        }
        assert_eq!((fragments.len(), payload == packet[20..]), (3, true));
    }

    #[test]
    fn packets_that_must_not_be_fragmented_have_no_fragments() {
        let packet = [0x45; 100];
        assert!(fragments(&packet, 27).is_empty(), "no octets of the payload");
        assert!(fragments(&packet[..10], 500).is_empty());
        assert!(fragments(&[0x46; 100], 50).is_empty(), "options");
    }
}
