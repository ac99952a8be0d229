//! Properties of signing and verification: the original packet is restored, every change of an immutable octet is
//! refused, and a refusal changes nothing.

mod packets;

use ah_core::{MutableError, Profile, SignError, TosRule, VerifyError, sign_with, verify_with};
use ipsec_crypto::{AhIntegrity, Icv, IcvLen, IntegrityAlgorithm as I};
use ipsec_packet::{
    DestinationOptions, Ip, IpError, IpProto, NoSpace, PacketBuf, ReplayError, Seq, SeqWidth, set_length,
};
use packets::reference::{hop, reference_ipv4, reference_ipv6};
use packets::{
    DESTINATION, HOME_ADDRESS, PROFILES, ROUTING, Random, Sa, Sample, WIDTHS, integrities, ipv4, ipv6, options_header,
    routing_header, samples, sign, source_route,
};

/// Returns SAs of every algorithm with every profile and sequence number width.
fn sas() -> impl Iterator<Item = Sa> {
    integrities().into_iter().flat_map(|integrity| {
        PROFILES.into_iter().flat_map(move |(_, profile)| {
            let integrity = integrity.clone();
            WIDTHS.map(move |width| Sa { integrity: integrity.clone(), ..Sa::new(integrity.0, width, profile) })
        })
    })
}

/// Returns the headers as the ICV covers them, or `None` if they are malformed.
fn reference(headers: &[u8], profile: Profile) -> Option<Vec<u8>> {
    let tos = PROFILES.iter().any(|(_, p)| *p == profile && *p == Profile::RFC.with_tos(TosRule::Included));
    let whole_options = [Profile::BSD, Profile::OPENBSD, Profile::OPENBSD.strict_length()].contains(&profile);
    if headers[0] >> 4 == 4 { reference_ipv4(headers, tos) } else { reference_ipv6(headers, whole_options) }
}

/// Returns the ICV of a signed packet, calculated from the reference implementation of the ICV input.
fn reference_icv(sa: &Sa, wire: &[u8], at: usize, seq: Seq) -> Vec<u8> {
    let integrity = sa.integrity();
    let begin = at + 12 + integrity.iv_len();
    let end = at + 12 + integrity.field_len();
    let mut octets = [reference(&wire[..at], sa.profile).unwrap(), wire[at..].to_vec()].concat();
    octets[begin..end].fill(0);
    if sa.width == SeqWidth::Extended64 {
        octets.extend(&seq.get().to_be_bytes()[..4]);
    }
    let tag = integrity.authenticate(seq.get().to_be_bytes(), |absorb| absorb(&octets));
    assert_eq!(tag.as_slice().len(), end - begin);
    tag.as_slice().to_vec()
}

//= RFC 4302 2.3/1, 2.5/2
//# MUST: the reserved field is sent as zero
//# MUST: the sequence number is always present and transmitted
#[test]
fn signed_packet_has_the_reference_icv_and_verifies() {
    let random = &mut Random(21);
    let mut count = 0;
    for sa in sas() {
        for Sample { name, plain, at, options, .. } in samples(random) {
            let sa = Sa { options, ..sa.clone() };
            let mut tx = sa.sender();
            let (wire, iv_len) = (sign(&mut tx, &plain).unwrap(), sa.integrity().iv_len());
            let context = format!("{name}, {sa:?}");
            let ah = &wire[at..];
            assert_eq!(wire.len(), plain.len() + tx.overhead(plain[0] >> 4), "{context}");
            assert_eq!(Ip::parse(&wire).unwrap().packet().len(), wire.len(), "{context}");
            assert_eq!((usize::from(ah[1]) + 2) * 4, wire.len() - plain.len(), "{context}");
            assert_eq!(ah[2..12], [0, 0, 0, 0, 0x20, 1, 0, 0, 0, 1], "{context}");
            assert_eq!(ah[12..12 + iv_len], [0, 0, 0, 0, 0, 0, 0, 1][..iv_len], "{context}");
            let icv = reference_icv(&sa, &wire, at, Seq::new(1));
            assert_eq!(ah[12 + iv_len..][..icv.len()], icv, "{context}");
            assert_eq!(wire[wire.len() - (plain.len() - at)..], plain[at..], "{context}");
            if let Ip::V4(ip) = Ip::parse(&wire).unwrap() {
                assert!(ip.has_valid_checksum(), "{context}");
            }

            let mut bytes = wire.clone();
            let mut packet = PacketBuf::received(&mut bytes);
            let verified = sa.receiver().verify(&mut packet).unwrap();
            assert_eq!((verified.next_header, verified.seq), (IpProto(ah[0]), Seq::new(1)), "{context}");
            assert_eq!((packet.data(), packet.headroom()), (&plain[..], wire.len() - plain.len()), "{context}");
            count += 1;
        }
    }
    assert_eq!(count, 12 * 7 * 2 * 11);
}

#[test]
fn link_layer_padding_is_ignored() {
    let random = &mut Random(22);
    for sa in sas() {
        for octets in [0, 1, 13, 64, 1400] {
            let plain = if random.one_in(2) { ipv4(random, &[], octets) } else { ipv6(random, &[], octets) };
            let (wire, padding) = (sa.signed(&plain), random.octets(5));
            assert_eq!(sa.signed(&[&plain[..], &padding].concat()), wire);
            assert_eq!(sa.verified(&[&wire[..], &padding].concat()), Ok(plain));
        }
    }
}

#[test]
fn pure_functions_accept_every_sequence_number() {
    let random = &mut Random(23);
    for sa in sas() {
        let (integrity, plain) = (sa.integrity(), ipv4(random, &[], 40));
        for seq in [1, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, 0x8000_0000_0000_0001, u64::MAX] {
            if sa.width == SeqWidth::Bits32 && seq > 0xffff_ffff {
                continue;
            }
            let seq = Seq::new(seq);
            let options = DestinationOptions::Protected;
            let envelope = ah_core::SignParams { spi: sa.spi(), seq, width: sa.width, profile: sa.profile, options };
            let mut bytes = [&[0; 64][..], &plain].concat();
            let mut packet = PacketBuf::with_headroom(&mut bytes, 64, plain.len()).unwrap();
            sign_with(&integrity, &envelope, seq.get().to_be_bytes(), &mut packet).unwrap();
            assert_eq!(ah_core::peek(packet.data()), Ok((sa.spi, seq.get() as u32)));
            let wire = packet.data().to_vec();
            if sa.width == SeqWidth::Extended64 {
                // The high-order half is not transmitted, but authenticated.
                let other = Seq::new(seq.get() ^ 1 << 32);
                let refused = verify_with(&integrity, other, sa.width, sa.profile, &mut packet);
                assert_eq!((refused, packet.data()), (Err(VerifyError::IcvMismatch), &wire[..]));
            }
            let verified = verify_with(&integrity, seq, sa.width, sa.profile, &mut packet).unwrap();
            assert_eq!((verified.next_header, verified.seq, packet.data()), (IpProto::UDP, seq, &plain[..]));
        }
    }
}

#[test]
fn overhead_is_the_required_headroom() {
    let random = &mut Random(24);
    for sa in sas() {
        for plain in [ipv4(random, &[], 33), ipv6(random, &[], 33)] {
            let mut tx = sa.sender();
            let needed = tx.overhead(plain[0] >> 4);
            for available in [0, 1, needed - 1] {
                let mut bytes = [&vec![0xee; available][..], &plain, &[0xdd; 32]].concat();
                let before = bytes.clone();
                let mut packet = PacketBuf::with_headroom(&mut bytes, available, plain.len()).unwrap();
                let refused = tx.sign(&mut packet);
                assert_eq!(refused, Err(SignError::Ip(IpError::NoSpace(NoSpace::Front { needed, available }))));
                assert_eq!(
                    (packet.len(), packet.headroom(), tx.counter().last_used().get()),
                    (plain.len(), available, 0)
                );
                assert_eq!(bytes, before);
            }
            let mut bytes = [&vec![0xee; needed][..], &plain, &[0xdd; 32]].concat();
            let mut packet = PacketBuf::with_headroom(&mut bytes, needed, plain.len()).unwrap();
            assert_eq!(tx.sign(&mut packet), Ok(Seq::new(1)));
            assert_eq!((packet.len(), packet.headroom(), packet.tailroom()), (needed + plain.len(), 0, 32));
            assert_eq!(bytes[bytes.len() - 32..], [0xdd; 32]);
        }
    }
}

#[test]
fn refused_packet_keeps_its_link_layer_padding() {
    let sa = Sa::new(I::HmacSha1_96, SeqWidth::Bits32, Profile::RFC);
    for plain in [ipv4(&mut Random(25), &[], 8), ipv6(&mut Random(25), &[], 8)] {
        let mut bytes = [&[0xee; 23][..], &plain, &[0xdd; 4]].concat();
        let mut packet = PacketBuf::with_headroom(&mut bytes, 23, plain.len() + 4).unwrap();
        assert!(sa.sender().sign(&mut packet).is_err());
        assert_eq!(packet.data(), [&plain[..], &[0xdd; 4]].concat());
    }
}

#[test]
fn sign_refuses_packets_above_the_maximum_length() {
    let sa = Sa::new(I::HmacSha1_96, SeqWidth::Bits32, Profile::RFC);
    for (plain, header) in [(ipv4(&mut Random(26), &[], 0), 20), (ipv6(&mut Random(26), &[], 0), 0)] {
        for (over, fits) in [(0, true), (1, false), (24, false)] {
            let mut plain = [&plain[..], &vec![7; 65535 - 24 - header + over]].concat();
            set_length(&mut plain).unwrap();
            let total = plain.len() + 24;
            match sign(&mut sa.sender(), &plain) {
                Ok(wire) => assert_eq!((fits, sa.verified(&wire)), (true, Ok(plain))),
                Err(e) => assert_eq!((fits, e), (false, SignError::Ip(IpError::TooLong(total)))),
            }
        }
    }
}

#[test]
fn sign_refuses_too_many_extension_headers() {
    let random = &mut Random(32);
    let sa = Sa::new(I::HmacSha1_96, SeqWidth::Bits32, Profile::RFC);
    for options in [DestinationOptions::Unprotected, DestinationOptions::Protected] {
        for n in 0..=20 {
            let headers = vec![(DESTINATION, options_header(&[])); n];
            let plain = ipv6(random, &headers, 7);
            let sa = Sa { options, ..sa.clone() };
            match sign(&mut sa.sender(), &plain) {
                Ok(wire) => assert_eq!(sa.verified(&wire), Ok(plain), "{n} headers, {options:?}"),
                Err(e) => assert_eq!((e, n > 15), (SignError::Ip(IpError::TooManyExtensions), true), "{n} headers"),
            }
        }
    }
}

/// Integrity algorithm whose ICV of this length exceeds the AH payload length field.
struct OversizedIcv(usize);

impl AhIntegrity for OversizedIcv {
    fn iv_len(&self) -> usize {
        0
    }

    fn field_len(&self) -> usize {
        self.0
    }

    fn authenticate(&self, _: [u8; 8], _: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Icv {
        Icv::truncated(&[0; 32], IcvLen::of::<32>()).unwrap()
    }
}

#[test]
fn sign_refuses_an_icv_beyond_the_payload_length_field() {
    let (sa, plain) = (Sa::new(I::HmacSha1_96, SeqWidth::Bits32, Profile::RFC), ipv4(&mut Random(33), &[], 9));
    // The payload length is in words, minus 2, and at most 255.
    for octets in [257 * 4 - 12 + 1, 4000, 60_000] {
        let (seq, width, profile, options) = (Seq::new(1), sa.width, sa.profile, sa.options);
        let envelope = ah_core::SignParams { spi: sa.spi(), seq, width, profile, options };
        let mut bytes = [&vec![0; 65_000], &plain[..]].concat();
        let mut packet = PacketBuf::with_headroom(&mut bytes, 65_000, plain.len()).unwrap();
        let refused = sign_with(&OversizedIcv(octets), &envelope, [0; 8], &mut packet);
        assert_eq!((refused, packet.data()), (Err(SignError::IcvLength), &plain[..]));
    }
}

#[test]
fn verify_ignores_octets_after_the_packet_length() {
    let sa = Sa::new(I::HmacSha1_96, SeqWidth::Bits32, Profile::RFC);
    let wire = sa.signed(&ipv4(&mut Random(34), &[], 9));
    for cut in 20..32 {
        let mut short = wire[..cut].to_vec();
        set_length(&mut short).unwrap();
        short.extend(&wire[cut..]);
        assert_eq!(ah_core::peek(&short), Err(VerifyError::TooShort), "length field {cut}");
        assert_eq!(sa.verified(&short), Err(VerifyError::TooShort), "length field {cut}");
    }
}

#[test]
fn error_messages_name_field_and_values() {
    let sa = Sa::new(I::HmacSha1_96, SeqWidth::Bits32, Profile::RFC);
    let (malformed, fragment) = (MutableError::Option { offset: 3 }, IpError::Fragment);
    #[rustfmt::skip]
    let lines = [
        (SignError::SequenceExhausted.to_string(),                    "sequence numbers exhausted"),
        (SignError::Ip(fragment).to_string(),                         "fragment"),
        (SignError::Mutable(malformed).to_string(),                   "malformed option at octet 3"),
        (SignError::Mutable(fragment.into()).to_string(),             "fragment"),
        (SignError::IcvLength.to_string(), "ICV length exceeds the AH payload length field"),
        (VerifyError::Ip(IpError::NotFound).to_string(),              "header not found in the packet"),
        (VerifyError::TooShort.to_string(),                           "truncated AH header"),
        (VerifyError::LengthMismatch { octets: 28 }.to_string(),
            "AH length mismatch: got 28 octets, expected the length of the SA's ICV"),
        (VerifyError::SpiMismatch { expected: sa.spi(), found: 1 }.to_string(),
            "SPI mismatch: got 0x00000001, expected 0x00002001"),
        (VerifyError::Replayed(ReplayError::Duplicate).to_string(),        "sequence number was received before"),
        (VerifyError::IcvMismatch.to_string(),                             "ICV verification failed"),
        (VerifyError::Mutable(malformed).to_string(),                 "malformed option at octet 3"),
    ];
    for (line, expected) in lines {
        assert_eq!(line, expected);
    }
}

/// Verifies the packet with each bit flipped, and returns the offsets of octets with an accepted flip.
fn accepted_flips(sa: &Sa, sample: &Sample) -> Vec<usize> {
    let wire = sa.signed(&sample.plain);
    let covered = reference(&wire[..sample.at], sa.profile);
    let mut accepted = Vec::new();
    for bit in 0..8 * wire.len() {
        let (octet, mask) = (bit / 8, 1 << (bit % 8));
        let mut flipped = wire.clone();
        flipped[octet] ^= mask;
        let seen = sa.verified(&flipped); // `verified` asserts that a refusal changes nothing
        let context = format!("{}, octet {octet} ^ {mask:02x}: {seen:?}, {sa:?}", sample.name);
        let fragment = wire[0] >> 4 == 4 && (octet == 6 && mask < 0x40 || octet == 7);
        let mutable = octet < sample.at && reference(&flipped[..sample.at], sa.profile) == covered;
        match seen {
            _ if fragment => assert_eq!(seen, Err(VerifyError::Ip(IpError::Fragment)), "{context}"),
            Ok(packet) => {
                let mut expected = sample.plain.clone();
                expected[octet] ^= mask;
                // The checksum was adjusted for the removal of AH only and is still invalid for the flipped bit.
                if let Ok(Ip::V4(ip)) = Ip::parse(&packet) {
                    assert!(!ip.has_valid_checksum(), "{context}");
                    expected[10..12].copy_from_slice(&packet[10..12]);
                }
                assert!(mutable && packet == expected, "{context}");
                accepted.push(octet);
            }
            Err(_) => assert!(!mutable, "{context}"),
        }
    }
    accepted.dedup();
    accepted
}

#[test]
fn verify_refuses_every_flipped_bit_of_immutable_octets() {
    let random = &mut Random(27);
    let algorithms = integrities();
    for (at, (_, profile)) in PROFILES.into_iter().enumerate() {
        for (number, sample) in samples(random).into_iter().enumerate() {
            let integrity = algorithms[(at + number) % algorithms.len()].clone();
            let (width, options) = (WIDTHS[number % 2], sample.options);
            let sa = Sa { integrity: integrity.clone(), options, ..Sa::new(integrity.0, width, profile) };
            let accepted = accepted_flips(&sa, &sample);
            let tos = profile != Profile::RFC.with_tos(TosRule::Included);
            let fields = match sample.plain[0] >> 4 {
                4 => [6, 8, 10, 11].into_iter().chain(tos.then_some(1)).collect::<Vec<_>>(),
                _ => vec![0, 1, 2, 3, 7],
            };
            let in_header = |octets: Vec<usize>| octets.into_iter().filter(|octet| *octet < 20).collect::<Vec<_>>();
            let mut sorted = fields.clone();
            sorted.sort_unstable();
            assert_eq!(in_header(accepted.clone()), sorted, "{}, {sa:?}", sample.name);
            assert!(sample.changing.iter().all(|octet| accepted.contains(octet)), "{}, {accepted:?}", sample.name);
            if sample.changing.is_empty() {
                assert_eq!(accepted, sorted, "{}", sample.name);
            }
        }
    }
}

//= RFC 4302 3.4.4/1
//# MUST: a packet whose ICV verification fails is discarded
#[test]
fn verify_refuses_every_flipped_bit_with_every_algorithm() {
    let random = &mut Random(28);
    for (algorithm, key) in integrities() {
        for width in WIDTHS {
            let sa = Sa { integrity: (algorithm, key.clone()), ..Sa::new(algorithm, width, Profile::RFC) };
            for plain in [ipv4(random, &[], 9), ipv6(random, &[], 9)] {
                let at = if plain[0] >> 4 == 4 { 20 } else { 40 };
                let sample = Sample { name: "", plain, at, options: sa.options, changing: vec![] };
                assert_eq!(accepted_flips(&sa, &sample).len(), 5);
            }
        }
    }
}

#[test]
fn verify_refuses_every_truncation() {
    let random = &mut Random(29);
    for (algorithm, key) in integrities() {
        for sample in samples(random) {
            let sa = Sa::new(algorithm, SeqWidth::Extended64, Profile::RFC);
            let sa = Sa { integrity: (algorithm, key.clone()), options: sample.options, ..sa };
            let wire = sa.signed(&sample.plain);
            for cut in 0..wire.len() {
                let mut short = wire[..cut].to_vec();
                let seen = sa.verified(&short);
                assert!(matches!(seen, Err(VerifyError::Ip(_))), "{cut} of {}: {seen:?}", sample.name);
                if cut >= 20 && set_length(&mut short).is_ok() {
                    let seen = sa.verified(&short);
                    assert!(seen.is_err(), "{cut} of {}", sample.name);
                    if cut >= sample.at + sa.sender().overhead(wire[0] >> 4) {
                        assert_eq!(seen, Err(VerifyError::IcvMismatch), "{cut} of {}", sample.name);
                    }
                }
            }
        }
    }
}

#[test]
fn source_routed_ipv4_packet_verifies_at_its_destination() {
    let random = &mut Random(30);
    let sa = Sa::new(I::HmacSha2_256_128, SeqWidth::Bits32, Profile::RFC);
    for kind in [0x83, 0x89] {
        for n in 1..=9 {
            for visited in 0..=n {
                let route = source_route(random, kind, n, u8::try_from(4 + 4 * visited).unwrap());
                let plain = ipv4(random, &[&route[..], &[0]].concat(), 11);
                let wire = sa.signed(&plain);
                let routers: Vec<_> = (visited..n).map(|_| random.octets(5)).collect();
                let mut arrived = [plain, wire];
                for packet in &mut arrived {
                    for router in &routers {
                        // RFC 791 section 3.1: the router replaces the next address in the route by its own.
                        let next = 20 + usize::from(packet[22]) - 1;
                        packet.copy_within(next..next + 4, 16);
                        packet[next..next + 4].copy_from_slice(&router[..4]);
                        (packet[22], packet[8]) = (packet[22] + 4, router[4]);
                    }
                    set_length(packet).unwrap(); // for the checksum
                }
                let [plain, wire] = arrived;
                assert_eq!(sa.verified(&wire), Ok(plain), "{kind:02x}, {visited} of {n} visited");
            }
        }
    }
}

#[test]
fn source_routed_ipv6_packet_verifies_at_its_destination() {
    let random = &mut Random(31);
    let sa = Sa::new(I::AesCmac96, SeqWidth::Extended64, Profile::KAME);
    let sa = Sa { options: DestinationOptions::Unprotected, ..sa };
    for (kind, n) in (0..=10).map(|n| (0, n)).chain([(2, 1)]) {
        for left in 0..=n {
            for home in [false, true] {
                let mut headers = vec![(ROUTING, routing_header(random, kind, n, left))];
                let address = options_header(&[&[HOME_ADDRESS, 16], &*random.octets(16)].concat());
                headers.extend(home.then_some((DESTINATION, address)));
                let plain = ipv6(random, &headers, 11);
                let route = [(ROUTING, 40..48 + 16 * n)];
                let mut arrived = [sa.signed(&plain), plain];
                for packet in &mut arrived {
                    let mut hops = 0;
                    while hop(packet, &route).unwrap() {
                        packet[7] = packet[7].wrapping_sub(1);
                        hops += 1;
                    }
                    assert_eq!(hops, left);
                }
                let [wire, plain] = arrived;
                assert_eq!(sa.verified(&wire), Ok(plain), "type {kind}, {left} of {n} left, home address: {home}");
            }
        }
    }
}
