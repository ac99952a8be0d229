//! What peers got wrong about IPComp, by the numbers of the list of traps, and the rules of RFC 3173.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use ipcomp_core::{
    Backoff, Compression, Compressor, DecompressError, Decompressor, Deflate, FixedDeflate, Inflate, InflateError,
    THRESHOLD, compress, decompress,
};
use ipsec_packet::{Cpi, DestinationOptions, IpError, IpProto, NoSpace, PacketBuf, locate, placement, set_length};

fn buffer(payload: &[u8], tailroom: usize) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    bytes.resize(payload.len() + tailroom, 0xee);
    bytes
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn i1_nested_ipcomp_is_refused_both_ways() {
    let text = [b'a'; 400];
    let mut bytes = buffer(&text, 800);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 400).unwrap();
    let done = compress(&mut packet, IpProto::IPCOMP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    assert_eq!(done, Compression::NotWorthwhile);
    compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    packet.data_mut()[0] = IpProto::IPCOMP.0;
    let before = packet.data().to_vec();
    let refused = decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new());
    assert_eq!(refused, Err(DecompressError::Nested));
    assert_eq!(packet.data(), before);
}

#[test]
fn a_counting_pattern_is_not_taken_for_noise() {
    // The payload of a large ping: every octet once before the first repetition, 256 octets back.
    let ping: Vec<u8> = (0..=u8::MAX).cycle().take(1400).collect();
    let mut bytes = buffer(&ping, 2800);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, ping.len()).unwrap();
    let done = compress(&mut packet, IpProto::ICMP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    assert!(matches!(done, Compression::Shrunk { saved } if saved > 1000), "{done:?}");
}

#[test]
fn i2_a_bomb_ends_in_an_error_and_leaves_the_packet() {
    // 60000 zeros in some hundred octets, and room for 2000.
    let mut bytes = buffer(&[0; 60000], 60000);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 60000).unwrap();
    compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    let bomb = packet.data().to_vec();
    assert!(bomb.len() < 300);
    let mut bytes = buffer(&bomb, 2000);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, bomb.len()).unwrap();
    let refused = decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new());
    assert_eq!(refused, Err(DecompressError::Payload(InflateError::OutputFull)));
    assert_eq!(packet.data(), bomb);
}

//= RFC 3173 2.2/1
#[test]
fn i3_a_packet_never_grows_the_header_counted() {
    for len in [90, 100, 511, 513, 1408, 9000] {
        for distinct in [2u8, 16, 64, 128, 255] {
            let payload: Vec<u8> = noise(len).iter().map(|o| o % distinct).collect();
            let mut bytes = buffer(&payload, len);
            let mut packet = PacketBuf::with_headroom(&mut bytes, 0, len).unwrap();
            match compress(&mut packet, IpProto::TCP, Cpi::DEFLATE, &mut Deflate::new()).unwrap() {
                Compression::Shrunk { saved } => assert_eq!(packet.len() + saved, len),
                Compression::NotWorthwhile | Compression::TooSmall => assert_eq!(packet.data(), payload),
            }
            assert!(packet.len() <= len);
        }
    }
}

#[test]
fn i3_an_equal_size_is_accepted_from_others() {
    // A stored block makes the payload larger; KAME sends such packets.
    let payload = noise(40);
    let mut stream = vec![IpProto::UDP.0, 0, 0, 2, 1, 40, 0, !40, 0xff];
    stream.extend(&payload);
    let len = stream.len();
    let mut bytes = buffer(&stream, 64);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, len).unwrap();
    assert_eq!(decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new()), Ok(IpProto::UDP));
    assert_eq!(packet.data(), payload);
}

//= RFC 3173 2.2/1
#[test]
fn i4_what_does_not_compress_is_sent_as_it_is() {
    let payload = noise(1408);
    let mut bytes = buffer(&payload, 1408);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 1408).unwrap();
    let (mut deflate, mut fixed) = (Deflate::new(), FixedDeflate::new());
    let tries = [
        compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut deflate),
        compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut fixed),
    ];
    assert_eq!(tries, [Ok(Compression::NotWorthwhile); 2]);
    assert_eq!(packet.data(), payload);
}

#[test]
fn i5_every_kind_of_block_is_read_up_to_the_whole_window() {
    // Stored, fixed and dynamic blocks in one stream, and a distance of 32768 across them.
    let mut stored = vec![0u8, 0, 0x80, 0, 0];
    stored.extend(noise(32768));
    // A fixed block, written bit by bit: length 3 (symbol 257), distance 32768 (symbol 29 and 13 ones), end of block.
    let bits = "1" // last
        .chars()
        .chain("10".chars()) // fixed codes, the lower bit first
        .chain("0000001".chars())
        .chain("11101".chars())
        .chain("1111111111111".chars())
        .chain("0000000".chars());
    let mut octets = vec![0u8; 5];
    bits.enumerate().for_each(|(n, bit)| octets[n / 8] |= u8::from(bit == '1') << (n % 8));
    let first = stored.len() - 32768;
    stored.extend(octets);
    stored[3] = !stored[1];
    stored[4] = !stored[2];
    let mut output = vec![0; 40000];
    assert_eq!(Inflate::new().decompress(&stored, &mut output), Ok(32771));
    assert_eq!(output[32768..32771], stored[first..first + 3]);
    assert_eq!(miniz_oxide::inflate::decompress_to_vec(&stored).unwrap(), output[..32771]);
}

#[test]
fn i6_cpis_have_ranges() {
    for value in [0, 64, 100, 255] {
        assert!(Cpi::new(value).is_err(), "{value}");
    }
    for (value, well_known, negotiated, private) in [
        (1, true, false, false),
        (63, true, false, false),
        (256, false, true, false),
        (61439, false, true, false),
        (61440, false, false, true),
        (65535, false, false, true),
    ] {
        let cpi = Cpi::new(value).unwrap();
        assert_eq!(
            (cpi.is_well_known(), cpi.is_negotiated(), cpi.is_private()),
            (well_known, negotiated, private),
            "{value}"
        );
    }
}

//= RFC 3173 3.3/1, 3.3/3
#[test]
fn i6_another_cpi_is_refused_and_named() {
    let mut bytes = buffer(&[b'x'; 300], 300);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 300).unwrap();
    compress(&mut packet, IpProto::UDP, Cpi::new(8192).unwrap(), &mut Deflate::new()).unwrap();
    assert_eq!(packet.data()[1..4], [0, 0x20, 0]);
    let refused = decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new());
    assert_eq!(refused, Err(DecompressError::WrongCpi { expected: Cpi::DEFLATE, found: 8192 }));
}

/// An IPv6 packet with hop-by-hop options, a routing header and destination options in front of UDP.
fn ipv6_with_extensions(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
    packet.extend([0x20; 32]);
    packet.extend([43, 0, 1, 4, 0, 0, 0, 0]); // hop-by-hop: PadN
    packet.extend([60, 2, 0, 0, 0, 0, 0, 0]); // routing, type 0, no segments left
    packet.extend([0x21; 16]);
    packet.extend([17, 0, 1, 4, 0, 0, 0, 0]); // destination options
    packet.extend(payload);
    set_length(&mut packet).unwrap();
    packet
}

//= RFC 3173 2.1/1, 2/1, 2/5, 2/6
#[test]
fn i10_ipcomp_goes_behind_hop_by_hop_and_routing_and_the_right_octet_names_it() {
    let plain = ipv6_with_extensions(&[b'z'; 500]);
    let mut bytes = buffer(&plain, 1000);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, plain.len()).unwrap();
    let place = placement(packet.data(), DestinationOptions::Protected).unwrap();
    assert_eq!((place.at, place.named_at, place.next), (40 + 8 + 24, 48, IpProto::DESTINATION_OPTIONS));
    packet.pull_front(place.at).unwrap();
    compress(&mut packet, place.next, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    packet.push_front(place.at).unwrap();
    packet.data_mut()[place.named_at] = IpProto::IPCOMP.0;
    set_length(packet.data_mut()).unwrap();
    assert_eq!(packet.data()[6], 0, "the fixed header still names hop-by-hop options");

    let found = locate(packet.data(), IpProto::IPCOMP).unwrap();
    assert_eq!((found.at, found.named_at), (place.at, place.named_at));
    packet.pull_front(found.at).unwrap();
    let next = decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new()).unwrap();
    packet.push_front(found.at).unwrap();
    packet.data_mut()[found.named_at] = next.0;
    set_length(packet.data_mut()).unwrap();
    assert_eq!(packet.data(), plain);
}

//= RFC 3173 2/4, 2/7
#[test]
fn i7_fragments_are_refused() {
    let mut v4 = vec![0x45, 0, 0, 120, 0, 1, 0x20, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    v4.resize(120, b'a');
    assert_eq!(placement(&v4, DestinationOptions::Protected), Err(IpError::Fragment));
    v4[9] = IpProto::IPCOMP.0;
    assert_eq!(locate(&v4, IpProto::IPCOMP), Err(IpError::Fragment));
}

#[test]
fn i8_what_was_saved_tells_the_uncompressed_size_so_that_lifetimes_count_it_once() {
    let payload = [b'q'; 1000];
    let mut bytes = buffer(&payload, 1000);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 1000).unwrap();
    let done = compress(&mut packet, IpProto::TCP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    let Compression::Shrunk { saved } = done else { panic!("{done:?}") };
    assert_eq!(packet.len() + saved, 1000);
    decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new()).unwrap();
    assert_eq!(packet.len(), 1000);
}

#[test]
fn i9_the_whole_state_fits_small_devices() {
    assert!(size_of::<Deflate>() <= 10 * 1024, "{}", size_of::<Deflate>());
    assert!(size_of::<FixedDeflate>() <= 2 * 1024, "{}", size_of::<FixedDeflate>());
    assert!(size_of::<Inflate>() <= 8 * 1024, "{}", size_of::<Inflate>());
}

#[test]
fn short_payloads_are_left_alone_and_missing_room_is_an_error() {
    let mut bytes = buffer(&[b'a'; 400], 100);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, THRESHOLD - 1).unwrap();
    assert_eq!(compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()), Ok(Compression::TooSmall));
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 400).unwrap();
    let refused = compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new());
    assert_eq!(refused, Err(NoSpace::Back { needed: 395, available: 100 }));
    assert_eq!(packet.data(), [b'a'; 400]);
}

#[test]
fn what_is_cut_off_or_altered_leaves_the_packet_as_it_was() {
    let mut bytes = buffer(&[b'k'; 600], 600);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 600).unwrap();
    compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    let whole = packet.data().to_vec();
    for len in 0..whole.len() {
        let mut bytes = buffer(&whole[..len], 1000);
        let mut packet = PacketBuf::with_headroom(&mut bytes, 0, len).unwrap();
        assert!(decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new()).is_err(), "{len}");
        assert_eq!(packet.data(), &whole[..len]);
    }
}

#[test]
fn the_backoff_tries_less_and_less_and_forgets_at_once() {
    let mut backoff = Backoff::new();
    let mut tried = 0;
    for _ in 0..2000 {
        if backoff.try_next() {
            tried += 1;
            backoff.learn(false);
        }
    }
    assert!((10..25).contains(&tried), "{tried} of 2000 hopeless packets tried");
    while !backoff.try_next() {}
    backoff.learn(true);
    assert!((0..3).all(|_| {
        let tried = backoff.try_next();
        backoff.learn(false);
        tried
    }));
}

#[test]
fn the_backoff_lets_twice_as_many_packets_pass_each_time() {
    let mut backoff = Backoff::new();
    let mut passed = Vec::new();
    for _ in 0..14 {
        let untried = (0..).take_while(|_| !backoff.try_next()).count();
        passed.push(untried);
        backoff.learn(false);
    }
    assert_eq!(passed, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256]);
}

//= RFC 2394 3/1
#[test]
fn the_shortest_payload_that_is_tried() {
    for (length, shrinks) in [(THRESHOLD - 1, false), (THRESHOLD, true)] {
        let mut bytes = buffer(&vec![b'a'; length], 800);
        let mut packet = PacketBuf::with_headroom(&mut bytes, 0, length).unwrap();
        let done = compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
        assert_eq!(matches!(done, Compression::Shrunk { .. }), shrinks, "{length}");
        assert_eq!(done == Compression::TooSmall, !shrinks, "{length}");
    }
}

#[test]
fn a_dynamic_block_has_286_and_30_symbols_at_most() {
    let block = |literals: u32, distances: u32| {
        let bits = 1 | 2 << 1 | (literals - 257) << 3 | (distances - 1) << 8;
        let stream = [&bits.to_le_bytes()[..], &[0; 40]].concat();
        Inflate::new().decompress(&stream, &mut [0; 100])
    };
    for (literals, distances) in [(287, 1), (288, 1), (257, 31), (257, 32), (288, 32)] {
        assert_eq!(block(literals, distances), Err(InflateError::TooManySymbols), "{literals} {distances}");
    }
    assert_ne!(block(286, 30), Err(InflateError::TooManySymbols));
}

#[test]
fn few_different_octets_without_a_repetition_are_worth_compressing() {
    // Four bits of each octet say all.
    let text: Vec<u8> = noise(1400).iter().map(|octet| b'a' + octet % 16).collect();
    let mut space = vec![0; 2000];
    let length = Deflate::new().compress(&text, &mut space).unwrap();
    assert!((700..840).contains(&length), "{length}");
    assert_eq!(Deflate::new().compress(&noise(1400), &mut space[..1399]), None);
}

#[test]
fn a_long_repetition_is_found_however_far_it_is() {
    let text: Vec<u8> = noise(6000).iter().map(|octet| b'a' + octet % 16).collect();
    let length = |text: &[u8]| Deflate::new().compress(text, &mut vec![0; 9000]).unwrap();
    // 500 octets that were there 6000 octets ago.
    let again = [&text[..], &text[..500]].concat();
    let (without, with) = (length(&text), length(&again));
    assert!(with < without + 40, "{without} {with}");
}

#[test]
fn each_error_of_inflate_says_something_of_its_own() {
    let errors = [
        InflateError::EndsEarly,
        InflateError::OutputFull,
        InflateError::BlockType,
        InflateError::StoredLength,
        InflateError::TooManySymbols,
        InflateError::Code,
        InflateError::RunOfNothing,
        InflateError::RunTooLong,
        InflateError::NoEndOfBlock,
        InflateError::Symbol,
        InflateError::TooFarBack,
    ];
    let mut texts: Vec<String> = errors.iter().map(InflateError::to_string).collect();
    assert!(texts.iter().all(|text| text.len() > 10));
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), errors.len());
}

#[test]
fn refusals_of_packets_say_what_is_wrong() {
    let cpi: DecompressError<InflateError> = DecompressError::WrongCpi { expected: Cpi::DEFLATE, found: 0x1234 };
    assert_eq!(cpi.to_string(), "cpi 0x1234 where 0x0002 belongs");
    assert_eq!(DecompressError::<InflateError>::Nested.to_string(), "ipcomp in ipcomp");
    assert_eq!(DecompressError::Payload(InflateError::BlockType).to_string(), "deflate block of unknown type");
    let room = DecompressError::<InflateError>::NoSpace(NoSpace::Back { needed: 9, available: 1 });
    assert_eq!(room.to_string(), "no room behind the packet: 9 octets needed, 1 there");
}

//= RFC 3173 3.3/2
#[test]
fn flags_are_ignored_whatever_they_are() {
    let text = [b'a'; 400];
    let mut bytes = buffer(&text, 800);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 400).unwrap();
    compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    for flags in [1, 0x80, 0xff] {
        let mut octets = packet.data().to_vec();
        octets[1] = flags;
        octets.resize(octets.len() + 800, 0);
        let mut flagged = PacketBuf::with_headroom(&mut octets, 0, packet.len()).unwrap();
        assert_eq!(decompress(&mut flagged, Cpi::DEFLATE, &mut Inflate::new()), Ok(IpProto::UDP));
        assert_eq!(flagged.data(), text);
    }
}

//= RFC 3173 2.2/2
#[test]
fn what_does_not_compress_is_given_up_early() {
    struct Counted<C>(C, usize);
    impl<C: Compressor> Compressor for Counted<C> {
        fn compress(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
            let done = self.0.compress(input, out);
            self.1 = out.iter().rposition(|octet| *octet != 0xee).map_or(0, |last| last + 1);
            done
        }
    }
    let mut deflate = Counted(Deflate::new(), 0);
    let mut bytes = buffer(&noise(1400), 1400);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 1400).unwrap();
    let done = compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut deflate);
    assert_eq!(done, Ok(Compression::NotWorthwhile));
    assert!(deflate.1 < 700, "{} octets were written", deflate.1);
}
