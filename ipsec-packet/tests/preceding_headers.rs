//! Headers before an IPsec header: validated before processing and removed after it.

use ipsec_packet::{
    Ip, IpError, IpProto, Ipv4Header, Ipv6Header, PacketBuf, check_preceding_headers, find_header, locate,
    remove_atomic_fragment_headers, remove_preceding_headers, set_length,
};
use zerocopy::IntoBytes;

fn v4(options: &[u8]) -> Vec<u8> {
    let header = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), IpProto::ESP, 64);
    let mut packet = [header.as_bytes(), options, &[7; 24]].concat();
    packet[0] = 0x45 + (options.len() / 4) as u8;
    set_length(&mut packet).unwrap();
    packet
}

/// Builds an ESP packet with these extension headers, whose first octet is overwritten with the next header.
fn v6(headers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut kinds = headers.iter().map(|(kind, _)| *kind).chain([50]);
    let first = IpProto(kinds.next().unwrap());
    let mut packet = Ipv6Header::new([1; 16].into(), [2; 16].into(), first, 64).as_bytes().to_vec();
    for ((_, octets), next) in headers.iter().zip(kinds) {
        packet.push(next);
        packet.extend(&octets[1..]);
    }
    packet.extend([7; 24]);
    set_length(&mut packet).unwrap();
    packet
}

fn removed(packet: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let mut buffer = PacketBuf::received(&mut bytes);
    remove_preceding_headers(&mut buffer, at).unwrap();
    buffer.data().to_vec()
}

#[test]
fn truncated_or_overlong_option_is_refused() {
    for kind in 0..=255u8 {
        for len in 0..=40u8 {
            let mut options = [1; 8];
            options[..4].copy_from_slice(&[kind, len, 4, 0]);
            let found = check_preceding_headers(&v4(&options), 28);
            let whole = kind < 2 || (2..=8).contains(&len);
            assert!(whole || found == Err(IpError::Option { offset: 20 }), "{kind} {len}: {found:?}");
            let header = vec![0, 0, kind, len, 0, 0, 0, 0];
            for place in [0, 60] {
                let found = check_preceding_headers(&v6(&[(place, header.clone())]), 48);
                let skipped = kind == 0 || kind >> 6 == 0 && len <= 4;
                assert!(skipped || found == Err(IpError::Option { offset: 42 }), "{kind} {len}: {found:?}");
            }
        }
    }
}

#[test]
fn offset_inside_a_header_is_refused() {
    for at in [0, 19, 21, 24, 48] {
        assert_eq!(check_preceding_headers(&v4(&[]), at), Err(IpError::NotFound));
        assert!(check_preceding_headers(&v6(&[(0, vec![0; 8])]), at).is_err() || at == 48);
    }
}

#[test]
fn removal_keeps_ipv6_header_and_hop_by_hop_options() {
    let (hop, options) = ((0, vec![0, 0, 1, 4, 9, 9, 9, 9]), (60, vec![0, 0, 1, 4, 0, 0, 0, 0]));
    let (fragment, routing) = ((44, vec![0, 0, 0, 0, 1, 2, 3, 4]), (43, vec![0, 0, 7, 0, 0, 0, 0, 0]));
    let cleaned = (0, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    for others in
        [vec![], vec![options.clone()], vec![fragment.clone()], vec![options.clone(), routing, options, fragment]]
    {
        let at = 40 + 8 * others.len();
        assert_eq!(removed(&v6(&others), at), v6(&[]));
        let with_hop = [vec![hop.clone()], others].concat();
        assert_eq!(removed(&v6(&with_hop), at + 8), v6(std::slice::from_ref(&cleaned)));
    }
}

#[test]
fn invalid_ipv4_checksum_stays_invalid() {
    let mut packet = v4(&[0x86, 8, 0, 0, 0, 1, 2, 2]);
    for wrong in [false, true] {
        packet[10] ^= u8::from(wrong);
        let Ok(Ip::V4(ip)) = Ip::parse(&packet) else { panic!("not IPv4") };
        assert_eq!(ip.has_valid_checksum(), !wrong);
        let removed = removed(&packet, 28);
        let Ok(Ip::V4(ip)) = Ip::parse(&removed) else { panic!("not IPv4") };
        assert_eq!((ip.options(), ip.has_valid_checksum()), (&[1; 8][..], !wrong));
    }
}

#[test]
fn atomic_fragment_headers_are_removed_at_every_position() {
    let fragment = (44, vec![0, 0, 0, 0, 1, 2, 3, 4]);
    let hop = (0, vec![0, 0, 5, 2, 0, 0, 1, 0]);
    for (headers, left) in [
        (vec![], vec![]),
        (vec![fragment.clone()], vec![]),
        (vec![hop.clone(), fragment.clone()], vec![hop.clone()]),
        (vec![hop.clone(), fragment.clone(), fragment], vec![hop]),
    ] {
        let mut bytes = v6(&headers);
        let mut packet = PacketBuf::received(&mut bytes);
        remove_atomic_fragment_headers(&mut packet, 40 + 8 * headers.len()).unwrap();
        assert_eq!(packet.data(), v6(&left));
    }
}

#[test]
fn locate_refuses_unfinished_route_and_unknown_option() {
    let unfinished = v6(&[(43, vec![0, 0, 9, 1, 0, 0, 0, 0])]);
    assert_eq!(locate(&unfinished, IpProto::ESP), Err(IpError::RouteNotFinished { offset: 40 }));
    assert_eq!(find_header(&unfinished, IpProto::ESP).unwrap().at, 48);
    let home_address = (60, [vec![0, 2, 0xc9, 16], vec![9; 16], vec![1, 2, 0, 0]].concat());
    assert_eq!(locate(&v6(&[home_address]), IpProto::ESP), Err(IpError::Option { offset: 42 }));
}
