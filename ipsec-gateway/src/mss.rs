//! TCP maximum segment size of connections through tunnels (RFC 6691): the MSS option of SYN segments is lowered to
//! the MTU of the path of the SA, in both directions. Hosts then send no segment that would be too big, even if ICMP
//! errors do not reach them.

use std::net::IpAddr;

use ipsec_packet::{DestinationOptions, Instant, IpProto, clamp_tcp_mss, is_tcp_syn, tcp_mss, transport_position};

use crate::databases::Engine;

/// Limits of the packets of a tunnel.
#[derive(Clone, Copy)]
pub struct Path<R> {
    /// MTU of the TUN interface in octets.
    pub tun_mtu: u16,
    /// Returns the MTU of the route between two addresses of the unprotected side, if it is known.
    pub route_mtu: R,
}

/// Lowers the MSS of a SYN segment of the protected side, also within IP in IP, before the packet is protected.
pub fn clamp_outbound(
    engine: &mut Engine,
    packet: &mut [u8],
    now: Instant,
    path: Path<impl FnOnce(IpAddr, IpAddr) -> Option<u16>>,
) {
    let Some(at) = syn_position(packet) else { return };
    if let Some(mtu) = engine.policy_mtu_over(packet, now, path.route_mtu) {
        clamp(packet, at, mtu, path.tun_mtu);
    }
}

/// Lowers the MSS of a SYN segment that was decapsulated: it limits the segments that the host sends in reply.
pub fn clamp_inbound(
    engine: &mut Engine,
    packet: &mut [u8],
    now: Instant,
    path: Path<impl FnOnce(IpAddr, IpAddr) -> Option<u16>>,
) {
    let Some(at) = syn_position(packet) else { return };
    let Some(reply) = reversed(packet) else { return };
    if let Some(mtu) = engine.policy_mtu_over(&reply, now, path.route_mtu) {
        clamp(packet, at, mtu, path.tun_mtu);
    }
}

/// Lowers the MSS of the packet that begins at an offset within one of at most `mtu` octets. The TUN interface carries
/// the former.
fn clamp(packet: &mut [u8], at: usize, mtu: u16, tun_mtu: u16) {
    let Some(inner) = packet.get_mut(at..) else { return };
    let version = inner.first().map_or(4, |octet| octet >> 4);
    let mss = tcp_mss(usize::from(mtu).saturating_sub(at).min(tun_mtu.into()), version);
    // A malformed packet is unchanged.
    let _ = clamp_tcp_mss(inner, u16::try_from(mss).unwrap_or(u16::MAX));
}

/// Returns the offset of the IP header of a TCP SYN: 0, or the length of the outer header of IP in IP.
fn syn_position(packet: &[u8]) -> Option<usize> {
    if is_tcp_syn(packet) {
        return Some(0);
    }
    let place = transport_position(packet, DestinationOptions::Unprotected).ok()?;
    let is_tunnelled = place.next == IpProto::IPV4 || place.next == IpProto::IPV6;
    (is_tunnelled && is_tcp_syn(packet.get(place.at..)?)).then_some(place.at)
}

/// Returns a packet with exchanged addresses and, of TCP, ports, for the search of the policy of replies.
fn reversed(packet: &[u8]) -> Option<Vec<u8>> {
    let place = transport_position(packet, DestinationOptions::Unprotected).ok()?;
    let mut reply = packet.to_vec();
    let (addresses, length) = if packet.first()? >> 4 == 4 { (12, 4) } else { (8, 16) };
    swap(&mut reply, addresses, length)?;
    if place.next == IpProto::TCP {
        swap(&mut reply, place.at, 2)?;
    }
    Some(reply)
}

/// Exchanges two fields of this length, one after the other.
fn swap(packet: &mut [u8], at: usize, length: usize) -> Option<()> {
    let (first, second) = packet.get_mut(at..at.checked_add(length.checked_mul(2)?)?)?.split_at_mut(length);
    first.swap_with_slice(second);
    Some(())
}

#[cfg(test)]
mod tests {
    use ipsec_config::setkey;
    use ipsec_packet::Checksum;

    use super::*;
    use crate::databases::Databases;
    use crate::policy::new_engine;

    const NOW: Instant = Instant::from_secs(1);

    fn engine(sa: &str, policy: &str) -> Box<Databases> {
        let mut engine = new_engine();
        let text = format!(
            "add 192.0.2.1 198.51.100.1 {sa}-E aes-cbc \"sixteen octets !\" -A hmac-sha1 \"twenty octets it has\"; \
             {policy}"
        );
        setkey::apply(&mut *engine, text.as_bytes(), &["192.0.2.1".parse().unwrap()], NOW).unwrap();
        engine
    }

    fn tunnel() -> Box<Databases> {
        let policy = "spdadd 10.1.0.0/16 10.2.0.0/16 tcp -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;";
        engine("esp 0x1001 -m tunnel ", policy)
    }

    /// Returns a SYN with an MSS, and valid checksums.
    fn syn(from: [u8; 4], to: [u8; 4], mss: u16) -> Vec<u8> {
        let mut segment = vec![0x30, 0x39, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4];
        segment.extend(mss.to_be_bytes());
        let pseudo = [&from[..], &to, &[0, 6, 0, 24]].concat();
        let sum = Checksum::new().over(&pseudo).over(&segment).finish();
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        in_ip(from, to, 6, &segment)
    }

    fn in_ip(from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        let mut header = vec![0x45, 0, length[0], length[1], 0x1c, 0x46, 0x40, 0, 64, protocol, 0, 0];
        header.extend([from, to].concat());
        let sum = Checksum::new().over(&header).finish();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        [&header, payload].concat()
    }

    /// Returns the MSS after clamping, and verifies that the rest is that of a SYN with this MSS.
    fn mss_of(packet: &[u8], from: [u8; 4], to: [u8; 4]) -> u16 {
        let mss = u16::from_be_bytes([packet[42], packet[43]]);
        assert_eq!(packet, syn(from, to, mss), "checksum and other fields");
        mss
    }

    const HOST: [u8; 4] = [10, 1, 0, 2];
    const PEER: [u8; 4] = [10, 2, 0, 2];

    /// The largest packet of the MSS fits into the route, and one of the next block of the cipher does not.
    #[test]
    fn segments_of_the_mss_fit_into_the_path() {
        for mtu in [600, 1000, 1280, 1281, 1300, 1500] {
            let (mut engine, mut packet) = (tunnel(), syn(HOST, PEER, 1460));
            clamp_outbound(engine.engine_mut(), &mut packet, NOW, Path { tun_mtu: 1400, route_mtu: |_, _| Some(mtu) });
            let mss = mss_of(&packet, HOST, PEER);
            // Outer header, ESP header, IV and ICV, and the packet with its trailer.
            let sealed = |inner: u16| 20 + 8 + 16 + (inner + 2).div_ceil(16) * 16 + 12;
            assert!(sealed(mss + 40) <= mtu, "{mtu}: {mss}");
            assert!(mss == 1360 || sealed(mss + 41) > mtu, "{mtu}: {mss}");
        }
    }

    #[test]
    fn the_mss_of_received_segments_is_that_of_the_path_back() {
        let mut engine = tunnel();
        let route_mtu = |source: IpAddr, destination: IpAddr| {
            let is_back = (source.to_string(), destination.to_string());
            (is_back == ("192.0.2.1".to_owned(), "198.51.100.1".to_owned())).then_some(1000)
        };
        let mut packet = syn(PEER, HOST, 1460);
        clamp_inbound(engine.engine_mut(), &mut packet, NOW, Path { tun_mtu: 1400, route_mtu });
        let received = mss_of(&packet, PEER, HOST);
        let mut packet = syn(HOST, PEER, 1460);
        clamp_outbound(engine.engine_mut(), &mut packet, NOW, Path { tun_mtu: 1400, route_mtu });
        assert_eq!(received, mss_of(&packet, HOST, PEER));
        assert!(received < 1000);
    }

    #[test]
    fn segments_without_a_tunnel_are_unchanged() {
        let mut engine = tunnel();
        let other = syn(HOST, [10, 3, 0, 2], 1460);
        let mut packet = other.clone();
        clamp_outbound(engine.engine_mut(), &mut packet, NOW, Path { tun_mtu: 1000, route_mtu: |_, _| Some(1000) });
        clamp_inbound(engine.engine_mut(), &mut packet, NOW, Path { tun_mtu: 1000, route_mtu: |_, _| Some(1000) });
        assert_eq!(packet, other);
        let own = syn(HOST, PEER, 1460);
        let mut packet = own.clone();
        clamp_outbound(engine.engine_mut(), &mut packet, NOW, Path { tun_mtu: 1000, route_mtu: |_, _| None });
        assert_eq!(packet, own, "the path is not known");
    }

    #[test]
    fn segments_within_ip_in_ip_are_clamped() {
        let policy = "spdadd 192.0.2.1 198.51.100.1 ipencap -P out ipsec esp/transport//require;";
        let mut engine = engine("esp 0x1001 -m transport ", policy);
        let mut packet = in_ip([192, 0, 2, 1], [198, 51, 100, 1], 4, &syn(HOST, PEER, 1460));
        clamp_outbound(engine.engine_mut(), &mut packet, NOW, Path { tun_mtu: 1480, route_mtu: |_, _| Some(1000) });
        let mss = mss_of(&packet[20..], HOST, PEER);
        // Outer header, ESP header, IV and ICV, and the inner packet with its trailer.
        let sealed = |inner: u16| 20 + 8 + 16 + (inner + 2).div_ceil(16) * 16 + 12;
        assert!(sealed(mss + 40) <= 1000 && sealed(mss + 41) > 1000, "{mss}");
    }

    #[test]
    fn truncated_segments_are_unchanged_and_modified_ones_do_not_panic() {
        let mut engine = tunnel();
        let whole = in_ip([10, 1, 0, 1], [10, 2, 0, 1], 4, &syn(HOST, PEER, 1460));
        for packet in [&whole[..], &whole[20..]] {
            for length in 0..packet.len() {
                let mut cut = packet[..length].to_vec();
                clamp_outbound(engine.engine_mut(), &mut cut, NOW, Path { tun_mtu: 600, route_mtu: |_, _| Some(600) });
                clamp_inbound(engine.engine_mut(), &mut cut, NOW, Path { tun_mtu: 600, route_mtu: |_, _| Some(600) });
                assert_eq!(cut, packet[..length], "{length} octets");
            }
            for at in 0..packet.len() * 8 {
                let mut changed = packet.to_vec();
                changed[at / 8] ^= 1 << (at % 8);
                clamp_outbound(
                    engine.engine_mut(),
                    &mut changed,
                    NOW,
                    Path { tun_mtu: 600, route_mtu: |_, _| Some(600) },
                );
                clamp_inbound(
                    engine.engine_mut(),
                    &mut changed,
                    NOW,
                    Path { tun_mtu: 600, route_mtu: |_, _| Some(600) },
                );
            }
        }
    }
}
