//! Packets of different lengths one after the other through `seal` and `open`, whose buffers are used again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_vectors::support::checksum::set_ipv4_checksum;
use test_vectors::support::{packets_of_capture, udp, write_capture};

/// Octet of the payload of the long packet, which is in no other packet.
const MARK: u8 = 0xaa;
/// SAs in tunnel mode whose ESP packets are not encrypted, so that any octet of another packet would be seen.
const CONFIG: &str = "\
add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E null -A hmac-md5 0x000102030405060708090a0b0c0d0e0f;
spdadd 192.168.1.0/24 192.168.2.0/24 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
";

/// Returns an IPv4 packet of UDP whose payload has this length.
fn packet(octet: u8, length: usize) -> Vec<u8> {
    let [l0, l1] = u16::try_from(28 + length).expect("a length").to_be_bytes();
    let mut packet = vec![0x45, 0, l0, l1, 0, 0, 0, 0, 64, 17, 0, 0, 192, 168, 1, 1, 192, 168, 2, 1];
    set_ipv4_checksum(&mut packet);
    packet.extend(udp(5000, 6000, &vec![octet; length]));
    packet
}

fn run(command: &str, option: &str, config: &Path, input: &Path, output: &Path) -> (Option<i32>, Vec<Vec<u8>>) {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"));
    let ran = lab.args([command, option]).args([config, input, output]).output().expect("the tool runs");
    (ran.status.code(), packets_of_capture(output))
}

fn has_mark(packet: &[u8]) -> bool {
    packet.windows(4).any(|octets| octets == [MARK; 4])
}

#[test]
fn no_octet_of_an_earlier_packet_appears_in_a_later_one() {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("work-buffer");
    fs::create_dir_all(&folder).expect("a folder");
    let [config, lan, wan, plain] = ["config", "lan.pcap", "wan.pcap", "plain.pcap"].map(|name| folder.join(name));
    fs::write(&config, CONFIG).expect("a file");
    // Every length of padding, and a packet that is refused because its header is malformed.
    let mut packets = vec![packet(MARK, 1400), vec![0x45, 0, 0]];
    packets.extend((0..40).rev().map(|length| packet(0x11, length)));
    write_capture(&lan, 1_700_000_000, packets.clone());
    let valid: Vec<_> = packets.iter().filter(|packet| packet.len() > 3).cloned().collect();
    for option in ["--config", "--esp-keys"] {
        let (code, sealed) = run("seal", option, &config, &lan, &wan);
        assert_eq!((code, sealed.len()), (Some(1), valid.len()), "{option}");
        assert!(has_mark(&sealed[0]) && !sealed[1..].iter().any(|packet| has_mark(packet)), "{option}");
        for (sealed, packet) in sealed.iter().zip(&valid) {
            // Outer header, SPI, sequence number, padding to four octets, trailer and ICV of 12 octets.
            assert_eq!(sealed.len(), 28 + (packet.len() + 2).next_multiple_of(4) + 12, "{option}");
        }
        // An ESP packet that is too short, and one with a wrong ICV, after the long packet.
        let (mut received, mut short, mut wrong) = (sealed.clone(), sealed[1].clone(), sealed[2].clone());
        short.truncate(30);
        short[2..4].copy_from_slice(&30u16.to_be_bytes());
        *wrong.last_mut().expect("a packet") ^= 1;
        received.splice(1..1, [short, wrong]);
        write_capture(&wan, 1_700_000_000, received);
        let mirror = if option == "--config" { vec!["open", "--mirror"] } else { vec!["open"] };
        let mut lab = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"));
        let ran = lab.args(mirror).arg(option).args([&config, &wan, &plain]).output().expect("the tool runs");
        assert_eq!(ran.status.code(), Some(1), "{option}");
        assert_eq!(packets_of_capture(&plain), valid, "{option}");
    }
}
