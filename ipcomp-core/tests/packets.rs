//! Compression and decompression of packets: the rules of RFC 3173, malformed packets, and known faults of IPComp
//! implementations.

use ipcomp_core::{
    Backoff, Compression, Compressor, DecompressError, Decompressor, Deflate, FixedDeflate, Inflate, InflateError,
    THRESHOLD, compress, decompress,
};
use ipsec_packet::{
    Cpi, DestinationOptions, IpError, IpProto, NoSpace, PacketBuf, locate, set_length, transport_position,
};

fn buffer(payload: &[u8], tailroom: usize) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    bytes.resize(payload.len() + tailroom, 0xee);
    bytes
}

fn noise(len: usize) -> Vec<u8> {
    test_vectors::Random(7).octets(len)
}

#[test]
fn nested_ipcomp_is_refused_in_both_directions() {
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
fn counting_pattern_is_compressed() {
    // The payload of a large ping contains every octet once before the first repetition, 256 octets back.
    let ping: Vec<u8> = (0..=u8::MAX).cycle().take(1400).collect();
    let mut bytes = buffer(&ping, 2800);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, ping.len()).unwrap();
    let done = compress(&mut packet, IpProto::ICMP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    assert!(matches!(done, Compression::Compressed { saved } if saved > 1000), "{done:?}");
}

#[test]
fn decompression_bomb_is_refused_and_packet_unchanged() {
    // 60000 zeros are compressed to a few hundred octets; the tailroom has 2000 octets.
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
//# MUST: a datagram that is not smaller with IPComp header and compressed payload is sent uncompressed
#[test]
fn compressed_packet_with_header_is_never_larger() {
    for len in [90, 100, 511, 513, 1408, 9000] {
        for distinct in [2u8, 16, 64, 128, 255] {
            let payload: Vec<u8> = noise(len).iter().map(|o| o % distinct).collect();
            let mut bytes = buffer(&payload, len);
            let mut packet = PacketBuf::with_headroom(&mut bytes, 0, len).unwrap();
            match compress(&mut packet, IpProto::TCP, Cpi::DEFLATE, &mut Deflate::new()).unwrap() {
                Compression::Compressed { saved } => assert_eq!(packet.len() + saved, len),
                Compression::NotWorthwhile | Compression::TooSmall => assert_eq!(packet.data(), payload),
            }
            assert!(packet.len() <= len);
        }
    }
}

#[test]
fn decompress_accepts_payload_that_compression_enlarged() {
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
//# MUST: a datagram that is not smaller with IPComp header and compressed payload is sent uncompressed
#[test]
fn incompressible_payload_is_unchanged() {
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
fn inflate_reads_distance_of_whole_window() {
    // Stored, fixed and dynamic blocks in one stream, and a distance of 32768 across them.
    let mut stored = vec![0u8, 0, 0x80, 0, 0];
    stored.extend(noise(32768));
    // Bits of a fixed block: length 3 (symbol 257), distance 32768 (symbol 29 and 13 ones), end of block.
    let bits = "1" // BFINAL
        .chars()
        .chain("10".chars()) // BTYPE = 01, fixed codes, lower bit first
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
fn reserved_cpis_are_refused() {
    for value in [0, 64, 100, 255] {
        assert!(Cpi::new(value).is_err(), "{value}");
    }
}

#[test]
fn cpis_are_well_known_negotiated_or_private() {
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
//# MUST: the flags are sent as zero
//# MUST: the outbound header has the CPI that the decompressing node chose
#[test]
fn decompress_refuses_and_reports_other_cpi() {
    let mut bytes = buffer(&[b'x'; 300], 300);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 300).unwrap();
    compress(&mut packet, IpProto::UDP, Cpi::new(8192).unwrap(), &mut Deflate::new()).unwrap();
    assert_eq!(packet.data()[1..4], [0, 0x20, 0]);
    let refused = decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new());
    assert_eq!(refused, Err(DecompressError::CpiMismatch { expected: Cpi::DEFLATE, found: 8192 }));
}

/// Builds an IPv6 packet with hop-by-hop options, a routing header and destination options before UDP.
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
//# MUST NOT: IPComp is not applied to hop-by-hop, routing and fragment headers
//# MUST: a datagram that was compressed and decompressed is the original one
//# MUST: on IPv6, compression comes before hop-by-hop options or a routing header are added
//# MUST: hop-by-hop options and routing headers are sent in their original form
#[test]
fn ipcomp_header_follows_hop_by_hop_and_routing_headers() {
    let plain = ipv6_with_extensions(&[b'z'; 500]);
    let mut bytes = buffer(&plain, 1000);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, plain.len()).unwrap();
    let place = transport_position(packet.data(), DestinationOptions::Protected).unwrap();
    assert_eq!((place.at, place.next_header_at, place.next), (40 + 8 + 24, 48, IpProto::DESTINATION_OPTIONS));
    packet.pull_front(place.at).unwrap();
    compress(&mut packet, place.next, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    packet.push_front(place.at).unwrap();
    packet.data_mut()[place.next_header_at] = IpProto::IPCOMP.0;
    set_length(packet.data_mut()).unwrap();
    assert_eq!(packet.data()[6], 0, "the IPv6 header must still name hop-by-hop options");

    let found = locate(packet.data(), IpProto::IPCOMP).unwrap();
    assert_eq!((found.at, found.next_header_at), (place.at, place.next_header_at));
    packet.pull_front(found.at).unwrap();
    let next = decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new()).unwrap();
    packet.push_front(found.at).unwrap();
    packet.data_mut()[found.next_header_at] = next.0;
    set_length(packet.data_mut()).unwrap();
    assert_eq!(packet.data(), plain);
}

//= RFC 3173 2/4, 2/7
//# MUST: outbound datagrams are compressed before any fragmentation
//# MUST: inbound datagrams are decompressed after their reassembly
#[test]
fn fragments_are_refused() {
    let mut v4 = vec![0x45, 0, 0, 120, 0, 1, 0x20, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    v4.resize(120, b'a');
    assert_eq!(transport_position(&v4, DestinationOptions::Protected), Err(IpError::Fragment));
    v4[9] = IpProto::IPCOMP.0;
    assert_eq!(locate(&v4, IpProto::IPCOMP), Err(IpError::Fragment));
}

#[test]
fn saved_plus_compressed_length_is_original_length() {
    let payload = [b'q'; 1000];
    let mut bytes = buffer(&payload, 1000);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 1000).unwrap();
    let done = compress(&mut packet, IpProto::TCP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
    let Compression::Compressed { saved } = done else { panic!("{done:?}") };
    // Lifetimes count the uncompressed length, which the caller computes from `saved`.
    assert_eq!(packet.len() + saved, 1000);
    decompress(&mut packet, Cpi::DEFLATE, &mut Inflate::new()).unwrap();
    assert_eq!(packet.len(), 1000);
}

#[test]
fn state_sizes_are_bounded() {
    assert!(size_of::<Deflate>() <= 10 * 1024, "{}", size_of::<Deflate>());
    assert!(size_of::<FixedDeflate>() <= 2 * 1024, "{}", size_of::<FixedDeflate>());
    assert!(size_of::<Inflate>() <= 8 * 1024, "{}", size_of::<Inflate>());
}

#[test]
fn short_payload_is_not_tried_and_missing_tailroom_is_an_error() {
    let mut bytes = buffer(&[b'a'; 400], 100);
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, THRESHOLD - 1).unwrap();
    assert_eq!(compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()), Ok(Compression::TooSmall));
    let mut packet = PacketBuf::with_headroom(&mut bytes, 0, 400).unwrap();
    let refused = compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new());
    assert_eq!(refused, Err(NoSpace::Back { needed: 395, available: 100 }));
    assert_eq!(packet.data(), [b'a'; 400]);
}

#[test]
fn truncated_packet_is_refused_and_unchanged() {
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
fn backoff_reduces_tries_for_incompressible_packets() {
    let mut backoff = Backoff::new();
    let mut tried = 0;
    for _ in 0..2000 {
        if backoff.try_next() {
            tried += 1;
            backoff.record(false);
        }
    }
    assert!((10..25).contains(&tried), "{tried} of 2000 incompressible packets tried");
}

#[test]
fn backoff_is_reset_by_a_compressed_packet() {
    let mut backoff = Backoff::new();
    for _ in 0..2000 {
        if backoff.try_next() {
            backoff.record(false);
        }
    }
    while !backoff.try_next() {}
    backoff.record(true);
    assert!((0..3).all(|_| {
        let tried = backoff.try_next();
        backoff.record(false);
        tried
    }));
}

#[test]
fn backoff_doubles_skipped_packets_up_to_256() {
    let mut backoff = Backoff::new();
    let mut passed = Vec::new();
    for _ in 0..14 {
        let untried = (0..).take_while(|_| !backoff.try_next()).count();
        passed.push(untried);
        backoff.record(false);
    }
    assert_eq!(passed, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256]);
}

//= RFC 2394 3/1
//# SHOULD NOT: payloads of fewer than 90 octets are not compressed
#[test]
fn compress_tries_payloads_from_threshold() {
    for (length, shrinks) in [(THRESHOLD - 1, false), (THRESHOLD, true)] {
        let mut bytes = buffer(&vec![b'a'; length], 800);
        let mut packet = PacketBuf::with_headroom(&mut bytes, 0, length).unwrap();
        let done = compress(&mut packet, IpProto::UDP, Cpi::DEFLATE, &mut Deflate::new()).unwrap();
        assert_eq!(matches!(done, Compression::Compressed { .. }), shrinks, "{length}");
        assert_eq!(done == Compression::TooSmall, !shrinks, "{length}");
    }
}

#[test]
fn inflate_refuses_more_than_286_and_30_symbols() {
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
fn few_distinct_octets_without_repetition_are_compressed() {
    // Each octet contains four bits of information.
    let text: Vec<u8> = noise(1400).iter().map(|octet| b'a' + octet % 16).collect();
    let mut space = vec![0; 2000];
    let length = Deflate::new().compress(&text, &mut space).unwrap();
    assert!((700..840).contains(&length), "{length}");
    assert_eq!(Deflate::new().compress(&noise(1400), &mut space[..1399]), None);
}

#[test]
fn long_repetition_is_found_at_any_distance() {
    let text: Vec<u8> = noise(6000).iter().map(|octet| b'a' + octet % 16).collect();
    let length = |text: &[u8]| Deflate::new().compress(text, &mut vec![0; 9000]).unwrap();
    // 500 octets are repeated after 6000 octets.
    let again = [&text[..], &text[..500]].concat();
    let (without, with) = (length(&text), length(&again));
    assert!(with < without + 40, "{without} {with}");
}

#[test]
fn inflate_errors_have_distinct_messages() {
    let errors = [
        InflateError::Truncated,
        InflateError::OutputFull,
        InflateError::BlockType,
        InflateError::StoredLength,
        InflateError::TooManySymbols,
        InflateError::InvalidCode,
        InflateError::MissingPreviousLength,
        InflateError::RunTooLong,
        InflateError::NoEndOfBlock,
        InflateError::InvalidSymbol,
        InflateError::DistanceTooLarge,
    ];
    let mut texts: Vec<String> = errors.iter().map(InflateError::to_string).collect();
    assert!(texts.iter().all(|text| text.len() > 10));
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), errors.len());
}

#[test]
fn decompress_errors_name_their_cause() {
    let cpi: DecompressError<InflateError> = DecompressError::CpiMismatch { expected: Cpi::DEFLATE, found: 0x1234 };
    assert_eq!(cpi.to_string(), "CPI mismatch: got 0x1234, expected 0x0002");
    assert_eq!(DecompressError::<InflateError>::Nested.to_string(), "nested IPComp header");
    assert_eq!(DecompressError::Payload(InflateError::BlockType).to_string(), "invalid DEFLATE block type");
    let room = DecompressError::<InflateError>::NoSpace(NoSpace::Back { needed: 9, available: 1 });
    assert_eq!(room.to_string(), "tailroom too small: 9 octets needed, 1 available");
}

//= RFC 3173 3.3/2
//# MUST: the receiver ignores the flags
#[test]
fn flags_are_ignored() {
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
//# SHOULD: the algorithm stops as soon as it finds that data does not compress
#[test]
fn incompressible_input_is_abandoned_early() {
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
