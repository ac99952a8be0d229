//! `seal` with keys in a table of a file, whose packets are sealed in batches, and of a pipe, whose packets are sealed
//! one by one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use test_vectors::support::checksum::set_ipv4_checksum;
use test_vectors::support::{packets_of_capture, udp, write_capture};

/// Tunnels over IPv6 with IVs from the sequence number, so that two runs have the same output. The ICVs of several
/// packets are computed together.
const KEYS: &str = "\
add 2001:db8::1 2001:db8::2 esp 0x1001 -m tunnel -E aes-ctr 0x000102030405060708090a0b0c0d0e0f10111213 \
-A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;
add 2001:db8::2 2001:db8::1 esp 0x1002 -m tunnel -E aes-ctr 0x100102030405060708090a0b0c0d0e0f10111213 \
-A hmac-sha2-256 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f;
add 192.0.2.1 192.0.2.2 esp 0x1003 -m transport -E aes-ctr 0x200102030405060708090a0b0c0d0e0f10111213 \
-A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;
";
/// The first SA has 195 sequence numbers left, fewer than the packets of the test need.
const SEQUENCE: &str = "2001:db8::1 2001:db8::2 esp 0x1001 4294967100\nend 1\n";

fn packet(number: u16) -> Vec<u8> {
    let length = 28 + number * 37 % 1400;
    // Both directions of a network behind each gateway, the hosts of the SA in transport mode, and a hop limit of 0
    // for which no tunnel is.
    let (source, destination) = match number % 5 {
        0 => ([192, 0, 2, 1], [192, 0, 2, 2]),
        1 | 2 => ([192, 168, 1, 1], [192, 168, 2, 1]),
        _ => ([192, 168, 2, 1], [192, 168, 1, 1]),
    };
    let hops = if number % 11 == 3 { 0 } else { 64 };
    let [l0, l1] = length.to_be_bytes();
    let mut packet = [&[0x45, 0, l0, l1, 0, 0, 0, 0, hops, 17, 0, 0][..], &source, &destination].concat();
    set_ipv4_checksum(&mut packet);
    let octet = u8::try_from(number % 251).expect("an octet");
    packet.extend(udp(5000, 6000, &vec![octet; usize::from(length) - 28]));
    if number % 13 == 7 {
        packet[0] = 0x44; // a header that is too short
    }
    packet
}

/// Seals a capture with new keys and returns the exit status, the text, the capture and the sequence numbers.
fn seal(folder: &Path, input: Option<&Path>, lan: &Path) -> (Option<i32>, [Vec<u8>; 4]) {
    let [keys, sequence, wan] = ["keys", "keys.sequence", "wan.pcap"].map(|name| folder.join(name));
    fs::write(&keys, KEYS).expect("a file");
    fs::write(&sequence, SEQUENCE).expect("a file");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"));
    lab.args(["seal", "--json", "--esp-keys"]).args([&keys, input.unwrap_or(Path::new("-")), &wan]);
    let stdin = if input.is_none() { Stdio::from(File::open(lan).expect("a file")) } else { Stdio::null() };
    let ran = lab.stdin(stdin).output().expect("the tool runs");
    let [capture, numbers] = [&wan, &sequence].map(|path| fs::read(path).expect("a file"));
    (ran.status.code(), [ran.stdout, ran.stderr, capture, numbers])
}

#[test]
fn batches_have_the_output_of_packets_one_by_one() {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seal-batches");
    fs::create_dir_all(&folder).expect("a folder");
    let lan = folder.join("lan.pcap");
    for count in [1, 31, 32, 33, 600] {
        write_capture(&lan, 1_700_000_000, (0..count).map(packet));
        let (in_batches, one_by_one) = (seal(&folder, Some(&lan), &lan), seal(&folder, None, &lan));
        if count == 600 {
            let said = String::from_utf8_lossy(&in_batches.1[0]);
            for reason in ["malformed packet", "sequence", "\"processed\""] {
                assert!(said.contains(reason), "{reason} in {said}");
            }
            assert!(packets_of_capture(&folder.join("wan.pcap")).len() > 300);
        }
        assert!(in_batches == one_by_one, "{count}: {in_batches:?} {one_by_one:?}");
    }
}
