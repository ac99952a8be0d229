//! ICV coverage, lengths, fragments and nesting, including mistakes known from other implementations.

mod packets;

use ah_core::{MutableError, Profile, SignError, TosRule, VerifyError};
use ipsec_crypto::{AnySuite, CipherAlgorithm, HmacSha1_96, Integrity, IntegrityAlgorithm as I};
use ipsec_packet::{
    DestinationOptions, IpError, IpProto, PacketBuf, SeqWidth, Spi, close_gap, find_header, set_length,
    transport_position,
};
use packets::reference::is_immutable;
use packets::{
    DESTINATION, FRAGMENT, HOP_BY_HOP, PROFILES, ROUTING, Random, Sa, WIDTHS, integrities, ipv4, ipv6, options_header,
    routing_header, sign, source_route,
};

fn sa(profile: Profile) -> Sa {
    Sa::new(I::HmacSha1_96, SeqWidth::Bits32, profile)
}

fn refused_by_sender(packet: &[u8]) -> Option<SignError> {
    sign(&mut sa(Profile::RFC).sender(), packet).err()
}

#[test]
fn type_and_length_of_mutable_ipv6_options_are_covered_except_by_bsd_profiles() {
    let random = &mut Random(61);
    let (rfc, bsd) = ([Profile::RFC, Profile::LINUX, Profile::KAME], [Profile::BSD, Profile::OPENBSD]);
    let kinds =
        [(HOP_BY_HOP, 0x3e, true), (DESTINATION, 0xfe, true), (HOP_BY_HOP, 0x1e, false), (DESTINATION, 0xde, false)];
    for (header, option, mutable) in kinds {
        let headers = [(header, options_header(&[option, 4, 1, 2, 3, 4]))];
        let plain = ipv6(random, &headers, 9);
        let sa = |profile| Sa { options: DestinationOptions::Unprotected, ..sa(profile) };
        for from in [&rfc[..], &bsd].concat() {
            let wire = sa(from).signed(&plain);
            let mut retyped = wire.clone();
            retyped[42] ^= 0xc0; // the action bits for unknown options: the option is still mutable
            for to in [&rfc[..], &bsd].concat() {
                let same = !mutable || rfc.contains(&from) == rfc.contains(&to);
                let expected = if same { Ok(plain.clone()) } else { Err(VerifyError::IcvMismatch) };
                assert_eq!(sa(to).verified(&wire), expected, "option {option:02x} from {from:?} to {to:?}");
                let retyped = sa(to).verified(&retyped).is_ok();
                assert_eq!(retyped, mutable && same && bsd.contains(&to), "option {option:02x}, {from:?} to {to:?}");
            }
        }
    }
}

//= RFC 4302 2.6/1, 2.6/2
//# MUST: explicit padding of the ICV field to 4 (IPv4) or 8 (IPv6) octets is supported
//# MUST: no more padding is inserted than the alignment requires
#[test]
fn header_length_follows_the_profile_and_peer_padding_is_accepted() {
    let random = &mut Random(62);
    // Lengths of AH in octets with an ICV of 12, 16, 24 and 32 octets, and with AES-GMAC.
    let algorithms = [I::HmacSha1_96, I::HmacSha2_256_128, I::HmacSha2_384_192, I::HmacSha2_512_256, I::AesGmac];
    #[rustfmt::skip]
    let lengths = [
        ("rfc",     Profile::RFC,     [24, 28, 36, 44, 36], [24, 32, 40, 48, 40]),
        ("linux",   Profile::LINUX,   [24, 32, 40, 48, 40], [24, 32, 40, 48, 40]),
        ("bsd",     Profile::BSD,     [24, 28, 36, 44, 36], [24, 32, 40, 48, 40]),
        ("openbsd", Profile::OPENBSD, [24, 28, 36, 44, 36], [24, 28, 36, 44, 36]),
        ("kame",    Profile::KAME,    [24, 28, 36, 44, 36], [24, 28, 36, 44, 36]),
    ];
    for (number, algorithm) in algorithms.into_iter().enumerate() {
        for (plain, at) in [(ipv4(random, &[], 9), 20), (ipv6(random, &[], 9), 40)] {
            let octets =
                |lengths: &(_, _, [usize; 5], [usize; 5])| if at == 20 { lengths.2 } else { lengths.3 }[number];
            for from in &lengths {
                let sa = Sa::new(algorithm, SeqWidth::Bits32, from.1);
                let wire = sa.signed(&plain);
                assert_eq!(wire.len() - plain.len(), octets(from), "{algorithm} of {}", from.0);
                assert_eq!(usize::from(wire[at + 1] + 2) * 4, octets(from));
                for to in &lengths {
                    assert_eq!(Sa { profile: to.1, ..sa.clone() }.verified(&wire), Ok(plain.clone()));
                    let strict = Sa { profile: to.1.strict_length(), ..sa.clone() }.verified(&wire);
                    let length = Err(VerifyError::LengthMismatch { octets: octets(from) });
                    let expected = if octets(to) == octets(from) { Ok(plain.clone()) } else { length };
                    assert_eq!(strict, expected, "{algorithm} from {} to strict {}", from.0, to.0);
                }
                // The padding may have any value, but the ICV covers it.
                let mut padded = wire.clone();
                padded[at + octets(from) - 1] ^= 0x80;
                assert_eq!(sa.verified(&padded), Err(VerifyError::IcvMismatch));
            }
        }
    }
}

#[test]
fn segments_left_must_not_exceed_the_addresses() {
    let random = &mut Random(63);
    let sa = sa(Profile::RFC);
    for (kind, n) in [(0, 0), (0, 1), (0, 3), (0, 127), (2, 1)] {
        for left in 0..=n + 1 {
            let headers = [(ROUTING, routing_header(random, kind, n, left))];
            let plain = ipv6(random, &headers, 9);
            let expected = (left > n).then_some(SignError::Mutable(MutableError::Routing { offset: 40 }));
            assert_eq!(refused_by_sender(&plain), expected, "{left} of {n}");
        }
        let headers = [(ROUTING, routing_header(random, kind, n, 0))];
        let mut wire = sa.signed(&ipv6(random, &headers, 9));
        for left in n + 1..=255 {
            wire[43] = left as u8;
            let expected = VerifyError::Ip(IpError::RouteNotFinished { offset: 40 });
            assert_eq!(sa.verified(&wire), Err(expected), "{left} of {n}");
        }
    }
}

#[test]
fn source_route_length_and_pointer_must_be_valid() {
    let random = &mut Random(64);
    let sa = sa(Profile::RFC);
    #[rustfmt::skip]
    let routes = [
        // length, pointer, accepted
        (3, 4, true), (4, 4, false), (5, 4, false), (6, 4, false), (7, 4, true), (7, 8, true), (8, 4, false),
        (7, 0, false), (7, 1, false), (7, 3, false), (7, 5, false), (7, 7, false), (7, 9, false), (7, 12, true),
        (11, 4, true), (11, 6, false), (11, 8, true), (11, 12, true), (39, 36, true), (39, 40, true), (39, 39, false),
    ];
    for kind in [0x83, 0x89] {
        for (length, pointer, accepted) in routes {
            let mut options = [&[kind, length, pointer][..], &random.octets(37)].concat();
            options[usize::from(length)..].fill(1);
            let plain = ipv4(random, &options, 9);
            let malformed = MutableError::Option { offset: 0 };
            let expected = (!accepted).then_some(SignError::Mutable(malformed));
            assert_eq!(refused_by_sender(&plain), expected, "length {length}, pointer {pointer}");
            // A mutable option, covered as zeros, becomes a source route in transit: refused while addresses are left.
            options[0] = 7;
            let mut wire = sa.signed(&ipv4(random, &options, 9));
            wire[20] = kind;
            let expected = match (pointer <= length, accepted) {
                (true, _) => Some(VerifyError::Ip(IpError::RouteNotFinished { offset: 20 })),
                (false, false) => Some(VerifyError::Mutable(malformed)),
                (false, true) => None,
            };
            assert_eq!(sa.verified(&wire).err(), expected, "length {length}, pointer {pointer}");
        }
    }
}

#[test]
fn type_and_length_of_mutable_ipv4_options_are_not_covered() {
    let random = &mut Random(65);
    let sa = sa(Profile::RFC);
    for kind in 2..=u8::MAX {
        if matches!(kind, 0x83 | 0x89) {
            continue; // the contents of source routes are validated: tested above
        }
        let plain = ipv4(random, &[kind, 4, 0x55, 0x66, 7, 3, 0, 1], 9);
        let wire = sa.signed(&plain);
        for (octet, mask) in [(22, 1), (23, 0x80)] {
            let mut changed = wire.clone();
            changed[octet] ^= mask;
            let seen = sa.verified(&changed);
            assert_eq!(seen.is_err(), is_immutable(kind), "data of option {kind:02x}: {seen:?}");
        }
        // The type is changed to that of another mutable option.
        let mut retyped = wire.clone();
        retyped[20] = if kind == 0x44 { 7 } else { 0x44 };
        assert_eq!(sa.verified(&retyped).is_err(), is_immutable(kind), "type of option {kind:02x}");
        // Two options are joined into one.
        let mut joined = wire;
        joined[21] = 7;
        assert_eq!(sa.verified(&joined).is_err(), is_immutable(kind), "length of option {kind:02x}");
    }
}

#[test]
fn octets_after_end_of_options_are_covered() {
    let random = &mut Random(66);
    let sa = sa(Profile::RFC);
    for trailing in [[0, 0, 0], [7, 3, 4], [0x83, 3, 4], [7, 0, 0], [7, 255, 0], [1, 1, 7]] {
        let plain = ipv4(random, &[&[0], &trailing[..]].concat(), 9);
        let wire = sa.signed(&plain);
        assert_eq!(sa.verified(&wire), Ok(plain));
        for octet in 20..24 {
            let mut changed = wire.clone();
            changed[octet] ^= 0x10;
            assert!(sa.verified(&changed).is_err(), "octet {octet} of {trailing:?}");
        }
    }
}

#[test]
fn malformed_ipv4_options_are_refused_by_sender_and_receiver() {
    let random = &mut Random(67);
    let sa = sa(Profile::RFC);
    #[rustfmt::skip]
    let malformed: [(&[u8], usize); 8] = [
        (&[7, 0, 0, 0], 0), (&[7, 1, 0, 0], 0), (&[7, 5, 0, 0], 0), (&[1, 7, 4, 0], 1), (&[0x94, 3, 0, 7], 3),
        (&[1, 1, 1, 0x94], 3), (&[0x94, 4, 0, 0, 1, 1, 0x82, 3], 6), (&[0x82, 255, 0, 0], 0),
    ];
    for (options, offset) in malformed {
        let error = MutableError::Option { offset };
        let plain = ipv4(random, options, 9);
        assert_eq!(refused_by_sender(&plain), Some(SignError::Mutable(error)), "{options:?}");
        let mut wire = sa.signed(&ipv4(random, &vec![1; options.len()], 9));
        wire[20..20 + options.len()].copy_from_slice(options);
        assert_eq!(sa.verified(&wire), Err(VerifyError::Mutable(error)), "{options:?}");
    }
}

#[test]
fn malformed_ipv6_options_are_refused_by_sender_and_receiver() {
    let random = &mut Random(67);
    let sa = sa(Profile::RFC);
    for octets in [[17, 0, 5, 5, 0, 0, 0, 0], [17, 0, 1, 3, 0, 0, 0, 5], [17, 0, 0, 0, 0, 0, 0, 0x3e]] {
        let plain = ipv6(random, &[(HOP_BY_HOP, octets.to_vec())], 9);
        let offset = if octets[2] == 5 { 42 } else { 47 };
        let error = MutableError::Option { offset };
        assert_eq!(refused_by_sender(&plain), Some(SignError::Mutable(error)), "{octets:?}");
        let mut wire = sa.signed(&ipv6(random, &[(HOP_BY_HOP, options_header(&[]))], 9));
        wire[42..48].copy_from_slice(&octets[2..]);
        assert_eq!(sa.verified(&wire), Err(VerifyError::Mutable(error)), "{octets:?}");
    }
}

#[test]
fn tos_is_covered_only_if_the_profile_includes_it() {
    let random = &mut Random(68);
    for (name, profile) in PROFILES {
        for (rule, covered) in [(TosRule::Mutable, false), (TosRule::Included, true)] {
            let sa = sa(profile.with_tos(rule));
            let mut plain = ipv4(random, &[], 9);
            let mut wire = sa.signed(&plain);
            for tos in 0..=u8::MAX {
                let same = wire[1] == tos;
                let mut changed = wire.clone();
                changed[1] = tos;
                assert_eq!(sa.verified(&changed).is_ok(), same || !covered, "{name}, {rule:?}, TOS {tos}");
            }
            // The rule does not apply to IPv6, whose traffic class is never covered.
            plain = ipv6(random, &[], 9);
            wire = sa.signed(&plain);
            wire[1] ^= 0xf0;
            assert!(sa.verified(&wire).is_ok(), "{name}, {rule:?}");
        }
    }
}

//= RFC 4302 3.4.1/1
//# MUST: an IP fragment offered to AH is discarded
#[test]
fn ipv4_fragments_are_neither_signed_nor_verified() {
    let random = &mut Random(69);
    let sa = sa(Profile::RFC);
    for field in [0x2000_u16, 0x0001, 0x1fff, 0x3fff, 0x6000, 0x4010, 0xa000] {
        let mut plain = ipv4(random, &[], 9);
        let mut wire = sa.signed(&plain);
        for packet in [&mut plain, &mut wire] {
            packet[6..8].copy_from_slice(&field.to_be_bytes());
        }
        assert_eq!(refused_by_sender(&plain), Some(SignError::Ip(IpError::Fragment)), "{field:04x}");
        assert_eq!(sa.verified(&wire), Err(VerifyError::Ip(IpError::Fragment)), "{field:04x}");
    }
}

#[test]
fn ipv6_fragments_are_neither_signed_nor_verified() {
    let random = &mut Random(69);
    let sa = sa(Profile::RFC);
    for field in [0x0001_u16, 0x0008, 0xfff8, 0xfff9] {
        let [high, low] = field.to_be_bytes();
        let header = (FRAGMENT, vec![0, 0, high, low, 1, 2, 3, 4]);
        let plain = ipv6(random, std::slice::from_ref(&header), 9);
        assert_eq!(refused_by_sender(&plain), Some(SignError::Ip(IpError::Fragment)), "{field:04x}");
        let mut wire = sa.signed(&ipv6(random, &[], 9));
        wire.splice(40..40, header.1);
        (wire[6], wire[40]) = (FRAGMENT, 51);
        set_length(&mut wire).unwrap();
        assert_eq!(sa.verified(&wire), Err(VerifyError::Ip(IpError::Fragment)), "{field:04x}");
    }
}

//= RFC 4302 A2/1, A2/2
//# MUST: a fragment header that reassembly left in a received packet is skipped for the ICV
//# MUST: a fragment header of a whole packet is skipped for the ICV of the sender
#[test]
fn atomic_fragment_header_is_not_covered() {
    // RFC 4302 appendix A2: "AH MUST remove (or skip over) this header", on both sides.
    let random = &mut Random(70);
    let sa = sa(Profile::RFC);
    let header = (FRAGMENT, vec![0, 0, 0, 0, 1, 2, 3, 4]);
    let plain = ipv6(random, &[], 9);
    let mut received = sa.signed(&plain);
    received.splice(40..40, [51, 0, 0, 0, 1, 2, 3, 4]);
    received[6] = FRAGMENT;
    set_length(&mut received).unwrap();
    let verified = sa.verified(&received);
    assert!(verified.is_ok(), "received with a fragment header: {verified:?}");

    let plain = ipv6(random, &[header], 9);
    let mut reassembled = sa.signed(&plain);
    reassembled.drain(40..48);
    reassembled[6] = 51;
    set_length(&mut reassembled).unwrap();
    let verified = sa.verified(&reassembled);
    assert!(verified.is_ok(), "sent with a fragment header that reassembly removed: {verified:?}");
}

#[test]
fn payload_length_must_match_the_sa() {
    let random = &mut Random(71);
    for (algorithm, key) in integrities() {
        for (plain, at) in [(ipv4(random, &[], 1100), 20), (ipv6(random, &[], 1100), 40)] {
            let sa = Sa { integrity: (algorithm, key.clone()), ..Sa::new(algorithm, SeqWidth::Bits32, Profile::RFC) };
            let wire = sa.signed(&plain);
            let field = ipsec_crypto::AhIntegrity::field_len(&sa.integrity());
            let accepted = [12 + field, (12 + field).next_multiple_of(8)];
            for words in 0..=u8::MAX {
                let mut changed = wire.clone();
                changed[at + 1] = words;
                let octets = (usize::from(words) + 2) * 4;
                let expected = match () {
                    () if words == wire[at + 1] => Ok(plain.clone()),
                    () if accepted.contains(&octets) => Err(VerifyError::IcvMismatch),
                    () => Err(VerifyError::LengthMismatch { octets }),
                };
                assert_eq!(sa.verified(&changed), expected, "{algorithm}, {words} words");
            }
            // A packet that ends within AH is refused.
            for cut in at..wire.len() - 1100 {
                let mut short = wire[..cut].to_vec();
                set_length(&mut short).unwrap();
                let refused = sa.verified(&short).unwrap_err();
                assert!(
                    matches!(refused, VerifyError::TooShort | VerifyError::Ip(IpError::Extension { .. })),
                    "{refused}"
                );
            }
        }
    }
}

//= RFC 2402 3.3/2
//# SHOULD: an ipsec header takes no notice of those that are put on after it
#[test]
fn nested_ah_is_signed_inside_out_and_verified_outside_in() {
    let random = &mut Random(72);
    let inner = Sa { spi: 0x3001, ..Sa::new(I::HmacSha2_256_128, SeqWidth::Extended64, Profile::RFC) };
    let outer = Sa { spi: 0x3002, ..Sa::new(I::AesGmac, SeqWidth::Bits32, Profile::LINUX) };
    let headers = [(HOP_BY_HOP, options_header(&[0x3e, 2, 9, 9])), (DESTINATION, options_header(&[]))];
    for (plain, at) in
        [(ipv4(random, &[0x94, 4, 0, 0], 9), 24), (ipv6(random, &[], 9), 40), (ipv6(random, &headers, 9), 48)]
    {
        let once = inner.signed(&plain);
        let twice = outer.signed(&once);
        assert_eq!(twice[at], 51, "next header of the outer AH is not AH");
        assert_eq!((&twice[at + 4..at + 8], &once[at + 4..at + 8]), (&[0, 0, 0x30, 2][..], &[0, 0, 0x30, 1][..]));
        assert_eq!(twice[twice.len() - (once.len() - at)..], once[at..], "the inner AH was changed");
        let (expected, found) = (inner.spi(), outer.spi);
        assert_eq!(inner.verified(&twice), Err(VerifyError::SpiMismatch { expected, found }));
        assert_eq!(outer.verified(&twice), Ok(once.clone()));
        assert_eq!(inner.verified(&once), Ok(plain.clone()));
        // The outer ICV covers the inner AH completely.
        for bit in 0..8 * (once.len() - plain.len()) {
            let mut changed = twice.clone();
            let place = twice.len() - (once.len() - at) + bit / 8;
            changed[place] ^= 1 << (bit % 8);
            assert_eq!(outer.verified(&changed), Err(VerifyError::IcvMismatch));
        }
    }
}

fn esp() -> (Spi, AnySuite) {
    let suite = AnySuite::from_slices(CipherAlgorithm::AesCbc, &[7; 16], I::HmacSha2_256_128, &[8; 32]);
    (Spi::new(0x4001).unwrap(), suite.unwrap())
}

/// Returns the packet with ESP in transport mode.
fn sealed(plain: &[u8]) -> Vec<u8> {
    let place = transport_position(plain, DestinationOptions::Protected).unwrap();
    let mut bytes = [&[0; 64][..], &plain[place.at..], &[0; 64]].concat();
    let mut packet = PacketBuf::with_headroom(&mut bytes, 64, plain.len() - place.at).unwrap();
    let mut tx = esp_core::Outbound::new(esp().0, esp().1, SeqWidth::Bits32);
    tx.seal(&mut packet, place.next, &mut |_, iv: &mut [u8]| iv.fill(3)).unwrap();
    let mut sealed = [&plain[..place.at], packet.data()].concat();
    sealed[place.next_header_at] = IpProto::ESP.0;
    set_length(&mut sealed).unwrap();
    sealed
}

fn opened(sealed: &[u8]) -> Vec<u8> {
    let place = find_header(sealed, IpProto::ESP).unwrap();
    let mut bytes = sealed[place.at..].to_vec();
    let mut packet = PacketBuf::received(&mut bytes);
    let next = esp_core::Inbound::new(esp().0, esp().1, SeqWidth::Bits32).open(&mut packet).unwrap().next_header;
    let mut bytes = [&sealed[..place.at], packet.data()].concat();
    let mut packet = PacketBuf::received(&mut bytes);
    close_gap(&mut packet, place, 0, next).unwrap();
    packet.data().to_vec()
}

//= RFC 2402 3.3/2
//# SHOULD: an ipsec header takes no notice of those that are put on after it
#[test]
fn ah_over_esp_and_esp_over_ah_verify() {
    let random = &mut Random(73);
    let headers = [(HOP_BY_HOP, options_header(&[0x3e, 2, 9, 9])), (ROUTING, routing_header(random, 0, 2, 0))];
    let plains = [(ipv4(random, &[7, 4, 4, 0], 33), 24), (ipv6(random, &[], 33), 40), (ipv6(random, &headers, 33), 88)];
    for (algorithm, key) in integrities() {
        for width in WIDTHS {
            let sa = Sa { integrity: (algorithm, key.clone()), ..Sa::new(algorithm, width, Profile::RFC) };
            for (plain, at) in &plains {
                let esp = sealed(plain);
                let wire = sa.signed(&esp);
                assert_eq!((find_header(&wire, IpProto::AH).unwrap().at, wire[*at]), (*at, IpProto::ESP.0));
                let mut tampered = wire.clone();
                *tampered.last_mut().unwrap() ^= 1;
                assert_eq!(sa.verified(&tampered), Err(VerifyError::IcvMismatch));
                assert_eq!(sa.verified(&wire), Ok(esp.clone()));
                assert_eq!(opened(&esp), *plain);

                let signed = sa.signed(plain);
                let wire = sealed(&signed);
                assert_eq!(find_header(&wire, IpProto::ESP).unwrap().at, *at);
                assert_eq!(sa.verified(&wire), Err(VerifyError::Ip(IpError::NotFound)));
                assert_eq!(opened(&wire), signed);
                assert_eq!(sa.verified(&opened(&wire)), Ok(plain.clone()));
            }
        }
    }
}

//= RFC 4302 3.4.4/1
//# MUST: a packet whose ICV verification fails is discarded
#[test]
fn every_bit_of_the_icv_is_compared() {
    // The comparison in constant time is a matter of ipsec-crypto.
    let random = &mut Random(90);
    let sa = sa(Profile::RFC);
    let plain = ipv6(random, &[], 40);
    let wire = sa.signed(&plain);
    assert_eq!(sa.verified(&wire), Ok(plain));
    for at in 40 + 12..40 + 24 {
        for bit in 0..8 {
            let mut forged = wire.clone();
            forged[at] ^= 1 << bit;
            assert_eq!(sa.verified(&forged), Err(VerifyError::IcvMismatch), "octet {at}, bit {bit}");
        }
    }
    let mut all_wrong = wire.clone();
    all_wrong[52..64].fill(0);
    assert_eq!(sa.verified(&all_wrong), Err(VerifyError::IcvMismatch));
}

#[test]
fn destination_is_substituted_only_while_the_source_route_is_incomplete() {
    let random = &mut Random(74);
    let sa = sa(Profile::RFC);
    for n in 1..=9 {
        for pointer in (4..=4 * n + 8).step_by(4) {
            let option = source_route(random, 0x83, n.into(), pointer);
            let plain = ipv4(random, &[&option[..], &[1]].concat(), 9);
            let wire = sa.signed(&plain);
            // The same packet with a completed route, with the current and with the final destination.
            let [unchanged_destination, final_destination] = [false, true].map(|final_destination| {
                let mut arrived = wire.clone();
                arrived[22] = 4 * n + 4;
                if final_destination {
                    arrived.copy_within(usize::from(20 + 4 * n - 1)..usize::from(20 + 4 * n + 3), 16);
                }
                sa.verified(&arrived).is_ok()
            });
            let complete = pointer > 4 * n + 3;
            assert_eq!(
                (unchanged_destination, final_destination),
                (complete, !complete),
                "pointer {pointer} of {n} addresses"
            );
        }
    }
}

#[test]
fn esn_high_half_is_covered_with_every_algorithm() {
    let random = &mut Random(75);
    for (algorithm, key) in integrities() {
        let sa = Sa { integrity: (algorithm, key.clone()), ..Sa::new(algorithm, SeqWidth::Extended64, Profile::RFC) };
        for plain in [ipv4(random, &[], 40), ipv6(random, &[], 41)] {
            let mut wires = Vec::new();
            for high in [0_u64, 1, 0xffff_ffff] {
                let mut bytes = [&[0; 64][..], &plain].concat();
                let mut packet = PacketBuf::with_headroom(&mut bytes, 64, plain.len()).unwrap();
                let mut tx = sa.sender();
                let mut state = tx.counter().export();
                state[4..].copy_from_slice(&((high << 32) + 0x40).to_be_bytes());
                tx.import(&state).unwrap();
                let seq = tx.reserve(1).unwrap().next().unwrap();
                let (width, profile, options) = (sa.width, sa.profile, sa.options);
                let envelope = ah_core::SignParams { spi: sa.spi(), seq, width, profile, options };
                ah_core::sign_with(&sa.integrity(), &envelope, seq.get().to_be_bytes(), &mut packet).unwrap();
                let wire = packet.data().to_vec();
                let mut again = sa.sender();
                again.import(&state).unwrap();
                assert_eq!(sign(&mut again, &plain).as_ref(), Ok(&wire));
                assert_eq!(packets::verify(&mut sa.receiver_from(seq.get()), &wire), Ok(plain.clone()));
                wires.push(wire);
            }
            let [a, b, c] = &wires[..] else { panic!("three packets expected") };
            assert!(a != b && b != c && a != c, "{algorithm}: the high-order half is not covered");
        }
    }
}

//= RFC 4302 2.3/2
//# SHOULD: a receiver ignores the reserved field, but for the ICV
#[test]
fn reserved_field_is_covered_and_otherwise_ignored() {
    let plain = ipv4(&mut Random(71), &[], 40);
    let wire = sa(Profile::RFC).signed(&plain);
    let mut reserved = wire.clone();
    reserved[22..24].copy_from_slice(&[0, 7]);
    assert_eq!(
        sa(Profile::RFC).verified(&reserved),
        Err(VerifyError::IcvMismatch),
        "the ICV does not cover the reserved field"
    );
    let mac = HmacSha1_96::from_slice(&sa(Profile::RFC).integrity.1).unwrap();
    let mut covered = reserved.clone();
    covered[1] = 0;
    covered[6..8].fill(0);
    covered[8] = 0;
    covered[10..12].fill(0);
    covered[32..44].fill(0);
    reserved[32..44].copy_from_slice(mac.compute(&[&covered]).as_slice());
    assert_eq!(sa(Profile::RFC).verified(&reserved), Ok(plain), "a nonzero reserved field was refused");
}
