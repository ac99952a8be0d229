//! Captures of every format and link layer that `ike` and `open` read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Returns a first message of main mode whose only payload is a vendor ID.
fn message(cookie: u8) -> Vec<u8> {
    let mut message = [vec![cookie; 8], vec![0; 8], vec![13, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 48]].concat();
    message.extend([0, 0, 0, 20]);
    message.extend([7; 16]);
    message
}

fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    [ports[0].to_be_bytes(), ports[1].to_be_bytes(), length.to_be_bytes(), [0; 2]]
        .concat()
        .into_iter()
        .chain(payload.iter().copied())
        .collect()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let header = [0x45, 0, length[0], length[1], 0, 7, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1];
    [&header[..], payload].concat()
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    for last in [1, 2] {
        packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    [&packet[..], payload].concat()
}

/// Returns an IPv4 packet with a message.
fn packet(cookie: u8) -> Vec<u8> {
    ipv4(17, &udp([500, 500], &message(cookie)))
}

/// Byte order of a file.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}

use Order::{Big, Little};

fn pcap_header(order: Order, magic: u32, snap_length: u32, link: u32) -> Vec<u8> {
    let version = [order.u16(2), order.u16(4)].concat();
    [&order.u32(magic)[..], &version, &[0; 8], &order.u32(snap_length), &order.u32(link)].concat()
}

fn record(order: Order, time: [u32; 2], original: usize, octets: &[u8]) -> Vec<u8> {
    let fields = [time[0], time[1], u32::try_from(octets.len()).unwrap(), u32::try_from(original).unwrap()];
    [fields.map(|field| order.u32(field)).concat(), octets.to_vec()].concat()
}

/// Returns a pcap file of a link type with these frames, one a second.
fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = pcap_header(Little, 0xa1b2_c3d4, 65535, link);
    for (second, frame) in (1_700_000_000..).zip(frames) {
        file.extend(record(Little, [second, 250_000], frame.len(), frame));
    }
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = order.u32(u32::try_from(12 + body.len() + padding.len()).unwrap());
    [&order.u32(kind)[..], &length, body, &padding, &length].concat()
}

fn section(order: Order) -> Vec<u8> {
    let body = [&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

fn option(order: Order, kind: u16, value: &[u8]) -> Vec<u8> {
    let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
    [&order.u16(kind)[..], &order.u16(u16::try_from(value.len()).unwrap()), value, &padding].concat()
}

fn interface(order: Order, link: u16, options: &[u8]) -> Vec<u8> {
    block(order, 1, &[&order.u16(link)[..], &[0; 2], &order.u32(0), options].concat())
}

fn enhanced(order: Order, interface: u32, units: u64, packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packet.len()).unwrap();
    let time = [u32::try_from(units >> 32).unwrap(), (units & 0xffff_ffff) as u32];
    let fields = [interface, time[0], time[1], length, length].map(|field| order.u32(field)).concat();
    block(order, 6, &[&fields[..], packet].concat())
}

fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("captures");
    fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

fn ike(name: &str, file: &[u8]) -> Output {
    let path = scratch(name);
    fs::write(&path, file).unwrap();
    Command::new(env!("CARGO_BIN_EXE_ipsec-lab")).arg("ike").arg(&path).arg("--json").output().unwrap()
}

fn json(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the frame numbers of the messages in a capture.
fn frames(name: &str, file: &[u8]) -> Vec<u64> {
    json(&ike(name, file)).iter().map(|message| message["frame"].as_u64().unwrap()).collect()
}

/// Returns the times of the messages in a capture.
fn times(name: &str, file: &[u8]) -> Vec<String> {
    json(&ike(name, file)).iter().map(|message| message["time"].as_str().unwrap().to_owned()).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind.to_be_bytes(), payload].concat()
}

#[test]
fn every_link_layer_is_read() {
    let (v4, v6) = (packet(1), ipv6(17, &udp([500, 500], &message(1))));
    let ppp = [&[0, 0x21][..], &v4].concat();
    let session = [&[0x11, 0, 0, 1, 0, 90][..], &ppp].concat();
    let nflog = |order: Order| {
        let mut frame = vec![2, 0, 0, 0];
        frame.extend([order.u16(5), order.u16(10)].concat());
        frame.extend([b'x', 0, 0, 0]);
        frame.extend([order.u16(u16::try_from(4 + v4.len()).unwrap()), order.u16(9)].concat());
        frame.extend(&v4);
        frame
    };
    let cases: Vec<(&str, u32, Vec<u8>)> = vec![
        ("null, little-endian", 0, [&[2, 0, 0, 0][..], &v4].concat()),
        ("null, big-endian", 0, [&[0, 0, 0, 24][..], &v6].concat()),
        ("loop", 108, [&[0, 0, 0, 2][..], &v4].concat()),
        ("raw", 101, v6.clone()),
        ("raw of BSD", 12, v4.clone()),
        ("loop of OpenBSD", 12, [&[0, 0, 0, 2][..], &v4].concat()),
        ("raw of OpenBSD", 14, v4.clone()),
        ("IPv4", 228, v4.clone()),
        ("IPv6", 229, v6.clone()),
        ("Ethernet", 1, ethernet(0x0800, &v4)),
        ("Ethernet IPv6", 1, ethernet(0x86dd, &v6)),
        ("Ethernet with FCS bits", 0x2400_0001, [ethernet(0x0800, &v4), vec![1, 2, 3, 4]].concat()),
        ("VLAN", 1, ethernet(0x8100, &[&[0, 5, 8, 0][..], &v4].concat())),
        ("QinQ", 1, ethernet(0x88a8, &[&[0, 5, 0x81, 0, 0, 6, 0x86, 0xdd][..], &v6].concat())),
        ("old QinQ", 1, ethernet(0x9100, &[&[0, 5, 0x81, 0, 0, 6, 8, 0][..], &v4].concat())),
        ("PPPoE", 1, ethernet(0x8864, &session)),
        ("PPPoE in a VLAN", 1, ethernet(0x8100, &[&[0, 5, 0x88, 0x64][..], &session].concat())),
        ("PPPoE frames", 51, session.clone()),
        ("MPLS", 1, ethernet(0x8847, &[&[0, 1, 0, 64, 0, 2, 1, 64][..], &v4].concat())),
        ("Ethernet in MPLS", 1, ethernet(0x8848, &[&[0, 1, 1, 64, 0, 0, 0, 0][..], &ethernet(0x0800, &v4)].concat())),
        ("SNAP", 1, ethernet(100, &[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &v4].concat())),
        ("LLC", 1, ethernet(100, &[&[6, 6, 3][..], &v4].concat())),
        ("LLC of ATM", 100, [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &v4].concat()),
        ("PPP", 9, [&[0xff, 3][..], &ppp].concat()),
        ("PPP, compressed", 9, [&[0x21][..], &v4].concat()),
        ("PPP IPv6", 9, [&[0, 0x57][..], &v6].concat()),
        ("PPP over a serial line", 50, [&[0xff, 3][..], &ppp].concat()),
        ("Cisco HDLC", 104, [&[0x0f, 0, 8, 0][..], &v4].concat()),
        ("PPP with direction", 204, [&[1, 0xff, 3][..], &ppp].concat()),
        ("Linux cooked", 113, [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0][..], &v4].concat()),
        ("Linux cooked v2", 276, [&[0x86, 0xdd][..], &[0; 18], &v6].concat()),
        ("enc", 109, [&[2, 0, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 0][..], &v4].concat()),
        ("enc of OpenBSD", 13, [&[0, 0, 0, 2, 0, 0, 0x10, 1, 0, 0, 0, 0][..], &v4].concat()),
        ("NFLOG, little-endian", 239, nflog(Little)),
        ("pflog", 117, [&[61, 2][..], &[0; 62], &v4].concat()),
        ("pktap", 258, [&[108, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0][..], &[0; 96], &ethernet(0x0800, &v4)].concat()),
    ];
    for (name, link, frame) in cases {
        assert_eq!(frames("link.pcap", &pcap(link, &[frame])), [1], "{name}");
    }
    let mut big = pcap_header(Big, 0xa1b2_c3d4, 65535, 239);
    big.extend(record(Big, [0, 0], 200, &nflog(Big)));
    assert_eq!(frames("link.pcap", &big), [1], "NFLOG, big-endian");
}

#[test]
fn captures_without_a_message_fail_with_a_description_of_their_contents() {
    let esp_in_udp = ipv4(17, &udp([4500, 4500], &[0, 0, 16, 1, 0, 0, 0, 1, 9, 9]));
    let packets = [ipv4(50, &[9; 40]), ipv4(50, &[9; 40]), esp_in_udp, ipv4(17, &udp([53, 53], &[]))];
    let cases = [
        (pcap(101, &packets), "has no IKE message: it has ESP: 2, UDP of other ports: 1, UDP of port 4500 (ESP): 1\n"),
        (pcap(1, &[ethernet(0x0806, &[0; 28])]), "has no IKE message: it has frames without IP: 1\n"),
        (pcap(147, &[vec![0; 60]]), "has no IKE message: it has frames without IP: 1\n"),
        (pcap(101, &[fragment_v4(17, &[0; 80], 8, 40)]), "has no IKE message: it has fragments: 1\n"),
        (pcap(1, &[]), "has no IKE message: it has no frames\n"),
    ];
    for (file, text) in cases {
        let output = ike("none.pcap", &file);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(stderr(&output).ends_with(text), "{}", stderr(&output));
    }
}

#[test]
fn every_header_of_pcap_is_read() {
    for order in [Little, Big] {
        for (magic, fraction, time) in [
            (0xa1b2_c3d4, 1, "1700000000.000001"),
            (0xa1b2_c3d4, 1_500_000, "1700000001.500000"),
            (0xa1b2_c3d4, u32::MAX, "1700004294.967295"),
            (0xa1b2_3c4d, 1, "1700000000.000000001"),
            (0xa1b2_3c4d, 250_000_000, "1700000000.250000"),
        ] {
            let mut file = pcap_header(order, magic, 0, 101);
            file.extend(record(order, [1_700_000_000, fraction], packet(1).len(), &packet(1)));
            // The original length is less than the captured one.
            file.extend(record(order, [1_700_000_000, fraction], packet(1).len() - 1, &packet(1)));
            assert_eq!(times("header.pcap", &file), [time, time], "{magic:x}");
        }
        // The modified format has eight more octets in front of each frame.
        let mut file = pcap_header(order, 0xa1b2_cd34, 100, 101);
        let whole = record(order, [0, 0], packet(1).len(), &packet(1));
        file.extend([&whole[..16], &[0; 8], &whole[16..]].concat());
        assert_eq!(frames("header.pcap", &file), [1]);
        // IXIA writes the length of all records after the header.
        let file = [pcap_header(order, 0x1c00_01ac, 100, 101), vec![0; 4], whole.clone()].concat();
        assert_eq!(frames("header.pcap", &file), [1]);
        // Before version 2.3, the original length preceded the captured one.
        let mut file = pcap_header(order, 0xa1b2_c3d4, 100, 101);
        file[6..8].copy_from_slice(&order.u16(2));
        let swapped = record(order, [0, 0], packet(1).len(), &packet(1));
        let original = order.u32(1400);
        file.extend([&swapped[..8], &original, &swapped[8..12], &swapped[16..]].concat());
        assert_eq!(frames("header.pcap", &file), [1]);
    }
}

#[test]
fn frames_longer_than_the_snap_length_are_truncated_and_do_not_end_the_file() {
    let long = [ethernet(0x0800, &ipv4(6, &[0; 1400])), vec![0; 100]].concat();
    let mut file = pcap_header(Little, 0xa1b2_c3d4, 96, 1);
    file.extend(record(Little, [0, 0], long.len(), &long[..96]));
    file.extend(record(Little, [0, 0], 90, &ethernet(0x0800, &packet(1))));
    assert_eq!(frames("snap.pcap", &file), [2]);
}

#[test]
fn frames_without_ip_are_counted_in_the_frame_numbers() {
    let arp = ethernet(0x0806, &[0; 28]);
    let ip = ethernet(0x0800, &packet(1));
    assert_eq!(frames("arp.pcap", &pcap(1, &[arp.clone(), ip.clone(), arp, ip])), [2, 4]);
}

/// Returns a pcapng file of many kinds of blocks and options, with the frames 1 to 6 in it.
fn all_blocks(order: Order) -> Vec<u8> {
    let p = packet(1);
    let length = u32::try_from(p.len()).unwrap();
    let without_end = option(order, 9, &[6]);
    let odd =
        [option(order, 2, b"\xe4\xff"), option(order, 10, &[0; 4]), option(order, 9, &[9]), option(order, 0, &[])];
    let obsolete = [
        &order.u16(0)[..],
        &order.u16(0xffff),
        &[0; 8].map(|_: u8| 0),
        &order.u32(length),
        &order.u32(length),
        &p,
        &option(order, 1, b"comment"),
    ];
    [
        section(order),
        block(order, 0x0bad, &[1, 2, 3]), // a block of the sender's own
        interface(order, 101, &without_end),
        enhanced(order, 0, 1_000_000, &p),
        block(order, 4, &[0; 4]), // names
        block(order, 2, &obsolete.concat()),
        block(order, 3, &[&order.u32(length)[..], &p].concat()),
        interface(order, 147, &[]),
        enhanced(order, 1, 0, &p), // a link type of users
        interface(order, 1, &odd.concat()),
        enhanced(order, 2, 1_000_000_000, &ethernet(0x0800, &p)),
        enhanced(order, 77, 0, &p), // an interface without a description
        block(order, 5, &[0; 12]),  // statistics
    ]
    .concat()
}

#[test]
fn every_block_of_pcapng_is_read_in_any_order() {
    for order in [Little, Big] {
        let mut file = all_blocks(order);
        let output = ike("blocks.pcapng", &file);
        let found: Vec<_> = json(&output).iter().map(|message| message["frame"].as_u64().unwrap()).collect();
        assert_eq!(found, [1, 2, 3, 5]);
        assert!(stderr(&output).contains("skipped 1 frame of link type 147, which is not supported"));
        assert!(stderr(&output).contains("skipped 1 frame of an interface without a description"));
        // A second section in the other byte order begins with no interface.
        file.extend(all_blocks(if order == Big { Little } else { Big }));
        assert_eq!(frames("blocks.pcapng", &file), [1, 2, 3, 5, 7, 8, 9, 11]);
    }
}

#[test]
fn timestamps_apply_the_resolution_and_offset_of_the_interface() {
    let cases: &[(&[u8], i64, u64, &str)] = &[
        (&[6], 0, 1_700_000_000_250_000, "1700000000.250000"),
        (&[], 0, 1_700_000_000_250_000, "1700000000.250000"),
        (&[0], 0, 1_700_000_000, "1700000000.000000"),
        (&[3], 1_700_000_000, 1_001, "1700000001.001000"),
        (&[9], 0, 1_700_000_000_000_000_001, "1700000000.000000001"),
        (&[12], 1_700_000_000, 1_500_000_000_000, "1700000001.500000"),
        (&[0x80], 0, 1_700_000_000, "1700000000.000000"),
        (&[0x81], 0, 3_400_000_001, "1700000000.500000"),
        (&[0x94], -3_600, 1_700_000_000 << 20, "1699996400.000000"),
        (&[6], -1_700_000_000, 0, "0.000000"),
        (&[0x7f], 0, u64::MAX, "0.000000"),
        (&[0xff], 0, u64::MAX, "0.000000"),
    ];
    for order in [Little, Big] {
        for (resolution, offset, units, time) in cases {
            let offset = if order == Little { offset.to_le_bytes() } else { offset.to_be_bytes() };
            let mut options = option(order, 14, &offset);
            if !resolution.is_empty() {
                options.extend(option(order, 9, resolution));
            }
            let file = [section(order), interface(order, 101, &options), enhanced(order, 0, *units, &packet(1))];
            assert_eq!(times("times.pcapng", &file.concat()), [*time], "{resolution:?}");
        }
    }
}

#[test]
fn files_truncated_at_any_octet_give_the_complete_frames() {
    let classic = pcap(101, &[packet(1), packet(2)]);
    let each = (classic.len() - 24) / 2;
    for (name, file) in [("cut.pcap", classic), ("cut.pcapng", all_blocks(Little))] {
        let mut last = 0;
        for length in (0..file.len()).filter(|length| length % 3 == 0 || length % each < 20) {
            let output = ike(name, &file[..length]);
            let found = json(&output).len();
            let status = output.status.code().unwrap();
            assert!(if found > 0 { status == 0 } else { status > 0 && status < 3 }, "{length}: {}", stderr(&output));
            assert!(found >= last, "{name} {length}");
            last = found;
            if output.status.code() == Some(2) {
                assert!(found == 0 && stderr(&output).contains(name), "{length}: {}", stderr(&output));
            }
        }
        assert!(last >= 1);
    }
    let output = ike("cut.pcap", &pcap(101, &[packet(1), packet(2)])[..24 + each + 10]);
    assert_eq!(json(&output).len(), 1);
    assert!(stderr(&output).contains("truncated after frame 1: record header at offset 116: 10 of 16 octets"));
}

#[test]
fn compressed_captures_are_read_and_may_be_truncated() {
    use std::io::Write;
    let file = pcap(101, &[packet(1), packet(2)]);
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(&file).unwrap();
    let compressed = writer.finish().unwrap();
    assert_eq!(frames("whole.pcap.gz", &compressed), [1, 2]);
    for length in 0..compressed.len() {
        let output = ike("cut.pcap.gz", &compressed[..length]);
        let status = output.status.code().unwrap();
        assert!(if json(&output).is_empty() { status > 0 && status < 3 } else { status == 0 }, "{length}");
    }
    let mut wrong = compressed;
    let at = wrong.len() - 6;
    wrong[at] ^= 1;
    assert_eq!(ike("wrong.pcap.gz", &wrong).status.code(), Some(2));
}

#[test]
fn other_files_are_refused_with_their_first_octets() {
    for (file, text) in [
        (&b""[..], "the file is empty"),
        (b"abc", "the file has 3 octets"),
        (b"abcdefgh", "a text file: record a capture with `tcpdump -w FILE`"),
        (b"\0\x01\x02\x03\x04", "an unknown format: 00010203"),
        (b"snoop\0\0\0", "the format of snoop: convert it with `editcap -F pcapng`"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "compressed with xz: decompress it first"),
        (b"# keys\nadd 192.0.2.1 192.0.2.2 esp 1;", "a configuration of setkey(8): give it with `--config`"),
        (b"\"IPv4\",\"*\",\"*\"", "table esp_sa: give it with `--esp-keys`"),
        (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0], "truncated pcap header: 6 of 24 octets"),
        (&[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4], "byte-order magic at offset 8: got 01020304"),
    ] {
        let output = ike("other", file);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    }
}

/// Returns a fragment of the payload of an IPv4 packet.
fn fragment_v4(protocol: u8, payload: &[u8], offset: usize, length: usize) -> Vec<u8> {
    let end = payload.len().min(offset + length);
    let mut packet = ipv4(protocol, &payload[offset..end]);
    let more = if end < payload.len() { 0x2000 } else { 0 };
    packet[6..8].copy_from_slice(&(more | u16::try_from(offset / 8).unwrap()).to_be_bytes());
    packet
}

/// Returns a fragment of the payload of an IPv6 packet, after destination options.
fn fragment_v6(next: u8, payload: &[u8], offset: usize, length: usize) -> Vec<u8> {
    let end = payload.len().min(offset + length);
    let field = u16::try_from(offset | usize::from(end < payload.len())).unwrap().to_be_bytes();
    let header = [44, 0, 1, 4, 0, 0, 0, 0, next, 0, field[0], field[1], 0, 0, 0, 9];
    ipv6(60, &[&header[..], &payload[offset..end]].concat())
}

#[test]
fn fragments_of_both_versions_are_reassembled_in_any_order() {
    let payload = udp([500, 500], &message(1));
    for fragment in [fragment_v4, fragment_v6] {
        let pieces: Vec<_> = (0..payload.len()).step_by(16).map(|offset| fragment(17, &payload, offset, 16)).collect();
        let last = u64::try_from(pieces.len()).unwrap();
        assert_eq!(frames("fragments.pcap", &pcap(101, &pieces)), [last]);
        let reversed: Vec<_> = pieces.iter().rev().cloned().collect();
        assert_eq!(frames("fragments.pcap", &pcap(101, &reversed)), [last]);
        let twice: Vec<_> = pieces.iter().flat_map(|piece| [piece.clone(), piece.clone()]).collect();
        assert_eq!(frames("fragments.pcap", &pcap(101, &twice)), [2 * last - 1]);
        // Without one of them, nothing is found, and that is reported.
        for missing in 0..pieces.len() {
            let mut some = pieces.clone();
            some.remove(missing);
            let output = ike("fragments.pcap", &pcap(101, &some));
            assert!(json(&output).is_empty() && stderr(&output).contains("fragments of 1 packet are not complete"));
        }
        // Fragments that overlap are dropped.
        let overlapping = [fragment(17, &payload, 0, 24), fragment(17, &payload, 16, 100)];
        assert!(frames("fragments.pcap", &pcap(101, &overlapping)).is_empty());
    }
}

#[test]
fn fragments_use_bounded_memory_and_expire() {
    let payload = udp([500, 500], &message(1));
    let pieces = [fragment_v4(17, &payload, 0, 48), fragment_v4(17, &payload, 48, 100)];
    let mut file = pcap_header(Little, 0xa1b2_c3d4, 65535, 101);
    for (second, piece) in [100, 161].into_iter().zip(&pieces) {
        file.extend(record(Little, [second, 0], piece.len(), piece));
    }
    assert!(frames("late.pcap", &file).is_empty());
    let mut many: Vec<_> = (0..3000u16)
        .map(|id| {
            let mut piece = pieces[0].clone();
            piece[4..6].copy_from_slice(&(id + 100).to_be_bytes());
            piece
        })
        .collect();
    many.extend(pieces);
    let output = ike("many.pcap", &pcap(101, &many));
    assert_eq!(json(&output).len(), 1);
    assert!(stderr(&output).contains("fragments of 3000 packets are not complete"), "{}", stderr(&output));
}

#[test]
fn inner_packets_of_tunnels_are_read() {
    let (v4, v6) = (packet(1), ipv6(17, &udp([500, 500], &message(1))));
    let cases = [
        ("IP in IP", ipv4(4, &v4)),
        ("IPv6 in IP", ipv4(41, &v6)),
        ("IP in IPv6", ipv6(4, &v4)),
        ("three tunnels", ipv4(4, &ipv6(41, &ipv4(4, &v4)))),
        ("GRE", ipv4(47, &[&[0, 0, 8, 0][..], &v4].concat())),
        ("GRE IPv6", ipv6(47, &[&[0, 0, 0x86, 0xdd][..], &v6].concat())),
        ("GRE with all fields", ipv4(47, &[&[0xb0, 0, 8, 0][..], &[0; 12], &v4].concat())),
        (
            "GRE with a source route",
            ipv4(47, &[&[0x40, 0, 8, 0][..], &[0; 4], &[8, 0, 0, 4, 1, 2, 3, 4], &[0; 4], &v4].concat()),
        ),
        ("PPTP", ipv4(47, &[&[0x30, 0x81, 0x88, 0x0b][..], &[0; 12], &[0x21], &v4].concat())),
        ("ERSPAN I", ipv4(47, &[&[0, 0, 0x88, 0xbe][..], &ethernet(0x0800, &v4)].concat())),
        ("ERSPAN II", ipv4(47, &[&[0x10, 0, 0x88, 0xbe][..], &[0; 12], &ethernet(0x0800, &v4)].concat())),
        ("ERSPAN III", ipv4(47, &[&[0x10, 0, 0x22, 0xeb][..], &[0; 16], &ethernet(0x86dd, &v6)].concat())),
        (
            "ERSPAN III with options",
            ipv4(47, &[&[0x10, 0, 0x22, 0xeb][..], &[0; 15], &[1], &[0; 8], &ethernet(0x0800, &v4)].concat()),
        ),
        ("EtherIP", ipv4(97, &[&[0x30, 0][..], &ethernet(0x0800, &v4)].concat())),
        ("MPLS in IP", ipv4(137, &[&[0, 1, 1, 64][..], &v4].concat())),
        ("Ethernet in GRE", ipv4(47, &[&[0, 0, 0x65, 0x58][..], &ethernet(0x0800, &v4)].concat())),
    ];
    for (name, packet) in &cases {
        assert_eq!(frames("tunnel.pcap", &pcap(101, std::slice::from_ref(packet))), [1], "{name}");
    }
    // Fragments in a tunnel, and a tunnel in fragments.
    let payload = udp([500, 500], &message(1));
    let inside = [0, 48].map(|offset| ipv4(4, &fragment_v4(17, &payload, offset, 48)));
    assert_eq!(frames("tunnel.pcap", &pcap(101, &inside)), [2]);
    let outside = [0, 48].map(|offset| fragment_v4(4, &v4, offset, 48));
    assert_eq!(frames("tunnel.pcap", &pcap(101, &outside)), [2]);
}

fn tcp(ports: [u16; 2], sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [ports[0].to_be_bytes(), ports[1].to_be_bytes()].concat();
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    ipv4(6, &[&segment[..], payload].concat())
}

/// Returns the segments of a stream after its SYN, with `octets` octets in each.
fn segments(ports: [u16; 2], stream: &[u8], octets: usize) -> Vec<Vec<u8>> {
    let start = u32::MAX - 20; // sequence numbers wrap
    let mut segments = vec![tcp(ports, start - 1, 2, &[])];
    for (index, part) in stream.chunks(octets).enumerate() {
        let sequence = start.wrapping_add(u32::try_from(index * octets).unwrap());
        segments.push(tcp(ports, sequence, 0x18, part));
    }
    segments
}

fn framed(payload: &[u8]) -> Vec<u8> {
    [&u16::try_from(payload.len() + 2).unwrap().to_be_bytes()[..], payload].concat()
}

#[test]
fn tcp_connections_are_read_in_segments_of_any_length_and_order() {
    let marked = |cookie| framed(&[&[0; 4][..], &message(cookie)].concat());
    let esp = framed(&[0, 0, 0x10, 1, 0, 0, 0, 1, 9, 9]);
    let rfc_8229 = [b"IKETCP".to_vec(), marked(1), esp, marked(2)].concat();
    let plain = [message(1), message(2)].concat();
    for (ports, stream) in
        [([40_000, 4500], &rfc_8229), ([40_000, 443], &rfc_8229), ([40_000, 500], &rfc_8229), ([40_000, 500], &plain)]
    {
        for octets in [6, 7, 29, 48, 60, 1000] {
            let in_order = segments(ports, stream, octets);
            let mut swapped = in_order.clone();
            swapped[1..].reverse();
            let twice = [&in_order[..], &in_order[1..]].concat();
            for (name, packets) in [("order", &in_order), ("swapped", &swapped), ("twice", &twice)] {
                // On other ports, a connection is recognised by its first octets.
                if name == "swapped" && ports == [40_000, 443] {
                    continue;
                }
                let output = ike("stream.pcap", &pcap(101, packets));
                let found = json(&output);
                assert_eq!(found.len(), 2, "{name} {ports:?} {octets}");
                assert!(output.status.success());
            }
        }
    }
    // The responder sends no prefix.
    let mut both = segments([40_000, 500], &rfc_8229, 1000);
    both.extend(segments([500, 40_000], &marked(3), 1000).into_iter().map(|mut packet| {
        let (source, destination) = packet[12..20].split_at(4);
        let swapped = [destination, source].concat();
        packet[12..20].copy_from_slice(&swapped);
        packet
    }));
    assert_eq!(json(&ike("stream.pcap", &pcap(101, &both))).len(), 3);
}

#[test]
fn tcp_streams_without_messages_are_bounded() {
    let garbage: Vec<_> = (0..2000u32).map(|n| tcp([40_000, 500], n * 2_000_003, 0x18, &[0xff; 1000])).collect();
    let output = ike("garbage.pcap", &pcap(101, &garbage));
    assert_eq!(output.status.code(), Some(1));
    let other = [tcp([40_000, 80], 1, 0x18, &message(1))];
    assert!(frames("garbage.pcap", &pcap(101, &other)).is_empty());
}

#[test]
fn port_4500_has_precedence_over_port_500() {
    let marked = [&[0; 4][..], &message(1)].concat();
    let esp = [&[0, 0, 0x10, 1, 0, 0, 0, 1][..], &[0xaa; 60]].concat();
    for ports in [[500, 4500], [4500, 500]] {
        assert_eq!(frames("ports.pcap", &pcap(101, &[ipv4(17, &udp(ports, &marked))])), [1]);
        assert!(frames("ports.pcap", &pcap(101, &[ipv4(17, &udp(ports, &esp))])).is_empty());
        // A NAT that maps port 500 of a host to 4500 does not add a marker.
        assert_eq!(frames("ports.pcap", &pcap(101, &[ipv4(17, &udp(ports, &message(1)))])), [1]);
    }
    let found = json(&ike("ports.pcap", &pcap(101, &[ipv4(17, &udp([500, 4500], &marked))])));
    assert_eq!(found[0]["ports"], serde_json::json!([500, 4500]));
    assert_eq!(found[0]["ends"], serde_json::json!(["192.0.2.1", "198.51.100.1"]));
}

#[test]
fn truncated_messages_are_shown_up_to_the_fault_with_the_rest_in_hexadecimal() {
    let whole = packet(1);
    for length in 28..whole.len() {
        let mut file = pcap_header(Little, 0xa1b2_c3d4, 96, 101);
        file.extend(record(Little, [0, 0], whole.len(), &whole[..length]));
        let output = ike("cut-message.pcap", &file);
        let found = json(&output);
        assert_eq!(found.len(), 1, "{length}");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(found[0]["truncated_from"], whole.len());
        assert!(found[0]["error"].is_string());
        assert_eq!(found[0]["message"].is_object(), length >= 56, "{length}");
        let rest = &whole[if length >= 56 { 56 } else { 28 }..length];
        assert_eq!(found[0]["rest"], test_vectors::to_hex(rest));
    }
    // A fault between payloads: those in front of it are shown.
    let mut malformed = message(1);
    malformed[27] += 6;
    malformed[28] = 13;
    malformed.extend([0, 0, 0, 200, 1, 2]);
    let found = json(&ike("cut-message.pcap", &pcap(101, &[ipv4(17, &udp([500, 500], &malformed))])));
    assert_eq!(found[0]["rest"], "000000c80102");
    assert_eq!(found[0]["message"]["contains"].as_array().map(Vec::len), Some(1));
    assert_eq!(found[0]["offset"], 48);
}

/// Returns a message with an SA payload of one proposal with two transforms of two attributes each.
fn message_with_proposal() -> Vec<u8> {
    let transform = |next: u8, number: u8| [next, 0, 0, 16, number, 1, 0, 0, 0x80, 1, 0, 7, 0x80, 14, 0, 128];
    let transforms = [transform(3, 1), transform(0, 2)].concat();
    let proposal = [&[0, 0, 0, 40, 1, 1, 0, 2][..], &transforms].concat();
    let sa = [&[0, 0, 0, 52, 0, 0, 0, 1, 0, 0, 0, 1][..], &proposal].concat();
    [&[1; 8][..], &[0; 8], &[1, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 80], &sa].concat()
}

/// Returns the number of nodes of a tree.
fn nodes(node: &Value) -> usize {
    1 + node["contains"].as_array().map_or(0, |children| children.iter().map(nodes).sum())
}

#[test]
fn sa_payload_is_shown_up_to_the_fault() {
    let whole = message_with_proposal();
    let mut last = 0;
    for length in 28..=whole.len() {
        let found = json(&ike("sa.pcap", &pcap(101, &[ipv4(17, &udp([500, 500], &whole[..length]))])));
        let shown = nodes(&found[0]["message"]);
        assert!(shown >= last, "{length}");
        last = shown;
        if length < whole.len() {
            let rest = found[0]["rest"].as_str().unwrap();
            assert!(test_vectors::to_hex(&whole[..length]).ends_with(rest), "{length}");
            // An SA payload without a transform is not shown; later, less than an attribute or a transform is left.
            assert!(rest.len() <= 2 * if length < 56 { 27 } else { 7 }, "{length}: {rest}");
        }
    }
    // ISAKMP, SA, proposal, and two transforms with their attributes.
    assert_eq!(last, 9);
    // A fault in an attribute of the second transform.
    let mut malformed = whole;
    malformed[72..76].copy_from_slice(&[0, 1, 0, 200]);
    let found = json(&ike("sa.pcap", &pcap(101, &[ipv4(17, &udp([500, 500], &malformed))])));
    assert_eq!((nodes(&found[0]["message"]), found[0]["rest"].as_str()), (7, Some("000100c8800e0080")));
    assert_eq!(found[0]["message"]["contains"][0]["length"], 52);
}

#[test]
fn every_altered_message_is_listed() {
    let whole = [&message_with_proposal()[..], &[0, 0, 0, 20], &[7; 16]].concat();
    let altered = |at: usize, value: u8, length: usize| {
        let mut message = whole.clone();
        message[28] = 13;
        message[27] = 100;
        message[at] = value;
        message.truncate(length);
        ipv4(17, &udp([500, 500], &message))
    };
    let values = [0, 1, 2, 3, 4, 8, 0x7f, 0x80, 0xff];
    let packets: Vec<_> = (0..whole.len())
        .flat_map(|at| values.map(|value| (at, value)))
        .flat_map(|(at, value)| [altered(at, value, 100), altered(at, value, 99), altered(at, value, 70)])
        .collect();
    let output = ike("altered.pcap", &pcap(101, &packets));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let found = json(&output);
    assert_eq!(found.len(), packets.len());
    for (message, packet) in found.iter().zip(&packets) {
        // The tree and the rest have every octet.
        if let Some(rest) = message["rest"].as_str() {
            assert!(test_vectors::to_hex(packet).ends_with(rest));
        } else {
            assert!(message["message"].is_object());
        }
    }
}

#[test]
fn open_reassembles_fragments_of_esp_and_reports_truncated_packets() {
    let config = scratch("fragments.conf");
    let text = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m transport -E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A \
                hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;\nspdadd 192.0.2.1 198.51.100.1 any -P out ipsec \
                esp/transport//require;\n";
    fs::write(&config, text).unwrap();
    let [input, sealed, opened] = ["fragments-in.pcap", "fragments-esp.pcap", "fragments-out.pcap"].map(scratch);
    let run = |status: i32, from: &Path, to: &Path| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"));
        let output = tool.arg("open").arg("--config").arg(&config).arg("--mirror").args([from, to]).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output))
    };
    let plain = ipv4(6, &[9; 1400]);
    fs::write(&input, pcap(101, std::slice::from_ref(&plain))).unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"));
    assert!(tool.arg("seal").arg("--config").arg(&config).args([&input, &sealed]).status().unwrap().success());
    // A file header of 24 octets and a record header of 16 octets precede the packet, and the packet its IP header.
    let esp = fs::read(&sealed).unwrap()[24 + 16 + 20..].to_vec();
    let pieces: Vec<_> = [800, 0].iter().map(|offset| fragment_v4(50, &esp, *offset, 800)).collect();
    fs::write(&sealed, pcap(101, &pieces)).unwrap();
    let (counts, _) = run(0, &sealed, &opened);
    assert!(counts.contains("1 packets") && counts.contains("1 opened"), "{counts}");
    let restored = fs::read(&opened).unwrap();
    assert!(restored.ends_with(&[9; 1400]) && restored.len() == 24 + 16 + plain.len());
    // Without one fragment, the packet is neither opened nor delivered, and that is reported.
    fs::write(&sealed, pcap(101, &pieces[..1])).unwrap();
    let (counts, warnings) = run(1, &sealed, &opened);
    assert!(counts.contains("0 packets") && warnings.contains("fragments are not complete: 1"), "{warnings}");
    let mut file = pcap_header(Little, 0xa1b2_c3d4, 100, 101);
    file.extend(record(Little, [0, 0], plain.len(), &plain[..100]));
    fs::write(&sealed, file).unwrap();
    let (counts, warnings) = run(1, &sealed, &opened);
    assert!(!counts.contains("opened") && warnings.contains("cannot be processed: 1"), "{counts} {warnings}");
}
