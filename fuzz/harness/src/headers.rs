use ipsec_packet::{
    ChecksumRepair, Datagram, DestinationOptions, EcnMode, Flow, Fragments, HopLimitPolicy, Ip, IpProto, Marker,
    OuterFields, PacketBuf, TooBig, Tunnel, clamp_tcp_mss, classify, close_gap, locate, open_gap, pop_udp,
    repair_checksum, set_length, too_big_reply, transport_position,
};

pub fn headers(octets: &[u8]) {
    let Ok(ip) = Ip::parse(octets) else { return };
    let own = ip.packet().to_vec();
    if let Ip::V6(v6) = &ip {
        let mut chain = v6.chain();
        let mut at = chain.link().offset;
        while let Ok(Some(_)) = chain.next_extension() {
            assert!(chain.link().offset > at, "extension header iteration does not advance");
            at = chain.link().offset;
        }
    }
    let (flow, mut out) = (Flow::read(octets), [0; 1280]);
    assert_eq!(flow.as_ref().ok().map(|flow| flow.reversed().reversed()), flow.ok());
    let from = if octets[0] >> 4 == 4 { [192, 0, 2, 1].into() } else { [0x20; 16].into() };
    if let Some(answer) = too_big_reply(octets, 1400, from, &mut out) {
        assert!(Ip::parse(answer).is_ok_and(|ip| ip.packet().len() == answer.len() && ip.source() == from));
    }
    let _ = TooBig::read(octets);
    for wanted in [IpProto::ESP, IpProto::AH, IpProto::IPCOMP, IpProto::UDP] {
        if let Ok(place) = locate(octets, wanted) {
            assert_eq!(IpProto(own[place.next_header_at]), wanted);
        }
    }
    if let Ok(mut fragments) = Fragments::new(octets, 600, 1) {
        let (mut out, mut payload) = ([0; 600], 0);
        while let Some(fragment) = fragments.write_next(&mut out).unwrap_or_else(|e| panic!("{e}")) {
            assert!(Ip::parse(fragment).is_ok_and(|ip| ip.packet().len() == fragment.len()));
            payload += fragment.len() - 20;
        }
        assert!(payload >= own.len() - 20, "octets are in no fragment");
    }
    let mut clamped = own.clone();
    let _ = clamp_tcp_mss(&mut clamped, 1200);
    let _ = repair_checksum(&mut clamped, ChecksumRepair::Recompute);
    for options in [DestinationOptions::Protected, DestinationOptions::Unprotected] {
        let Ok(place) = transport_position(&own, options) else { continue };
        // The length field is set to the packet length, and the checksum accordingly.
        let mut plain = own.clone();
        if set_length(&mut plain).is_err() {
            continue;
        }
        let mut bytes = [&[0; 24][..], &plain].concat();
        let Ok(mut packet) = PacketBuf::with_headroom(&mut bytes, 24, plain.len()) else { continue };
        if open_gap(&mut packet, place, 24, IpProto::ESP).is_ok() {
            close_gap(&mut packet, place, 24, place.next).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(packet.data(), plain, "packet differs after opening and closing a gap");
        }
    }
}

pub fn tunnel(octets: &[u8]) {
    let [rules, next, inner @ ..] = octets else { return };
    let mut tunnel = Tunnel::v4([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
    if rules & 1 != 0 {
        tunnel = Tunnel::v6([0x20; 16].into(), [0x21; 16].into());
    }
    tunnel = tunnel.with_ecn([EcnMode::Normal, EcnMode::Forbidden][usize::from(rules >> 1 & 1)]);
    if rules & 4 != 0 {
        tunnel = tunnel.with_hop_limit(HopLimitPolicy::Decrement(64));
    }
    // The packet is encapsulated, and decapsulated at the other end.
    let mut bytes = [&[0; 40][..], inner].concat();
    let Ok(mut packet) = PacketBuf::with_headroom(&mut bytes, 40, inner.len()) else { return };
    if let Ok((outer, proto)) = tunnel.outer_for(packet.data_mut()) {
        let sent = packet.data().to_vec();
        if outer.push(&mut packet, proto, 1).is_ok() {
            let seen = Ip::parse(packet.data()).map(|ip| OuterFields::read(&ip)).unwrap_or_else(|e| panic!("{e}"));
            packet.pull_front(tunnel.overhead()).unwrap_or_else(|e| panic!("{e:?}"));
            if tunnel.accept(&seen, proto, &mut packet).is_ok() && rules & 4 == 0 {
                assert_eq!(
                    packet.data(),
                    &sent[..packet.len()],
                    "decapsulated packet differs from the encapsulated one"
                );
            }
        }
    }
    // Arbitrary octets are accepted as an inner packet, or refused.
    let mut bytes = inner.to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    let outer = [0x45, 3, 0, 20, 0, 0, 0, 0, 64, 50, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1];
    let seen = Ip::parse(&outer).map(|ip| OuterFields::read(&ip)).unwrap_or_else(|e| panic!("{e}"));
    if tunnel.accept(&seen, IpProto(*next), &mut packet).is_err() {
        assert_eq!(packet.data(), inner, "refused packet was modified");
    }
}

pub fn udp(octets: &[u8]) {
    let mut bytes = octets.to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    if pop_udp(&mut packet).is_err() {
        assert_eq!(packet.data(), octets);
    }
    for marker in [Marker::NonEsp, Marker::NonIke] {
        if let Datagram::Ike(inner) | Datagram::Esp(inner) = classify(octets, marker) {
            assert!(octets.ends_with(inner) && octets.len() - inner.len() <= 8);
        }
    }
}
