//! The main job, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use test_vectors::support::packets_of_capture;

fn vpn(name: &str, args: &[&str]) -> (Output, PathBuf) {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let ran = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"))
        .args(["vpn", "--seed", "7", "--out"])
        .arg(&out)
        .args(args)
        .output()
        .expect("the tool runs");
    (ran, out)
}

#[test]
fn every_variant_delivers_exactly_the_packets_that_entered() {
    let variants: &[(&str, &[&str])] = &[
        ("plain", &[]),
        ("no-attack", &["--attack", "false"]),
        ("gif", &["--gif"]),
        ("net", &["--net", "10.1.0.0/16", "172.16.4.0/26"]),
        ("net-nat", &["--net", "10.1.0.0/16", "10.2.0.0/16", "--nat"]),
        ("net-v6", &["--net", "2001:db8:1::/64", "2001:db8:2::/64", "--mode", "transport"]),
        ("net-beet", &["--net", "10.1.0.0/16", "10.2.0.0/16", "--mode", "beet"]),
        ("transport", &["--mode", "transport"]),
        ("beet", &["--mode", "beet"]),
        ("nat", &["--nat"]),
        ("nat-beet", &["--nat", "--mode", "beet"]),
        ("v6", &["--ipv6"]),
        ("v6-nat", &["--ipv6", "--nat"]),
        ("v6-transport", &["--ipv6", "--mode", "transport"]),
        ("v6-beet", &["--ipv6", "--mode", "beet"]),
        ("ah", &["--proto", "ah"]),
        ("ah-esp", &["--proto", "ah+esp", "--ipv6", "--esn"]),
        ("ah-transport", &["--proto", "ah", "--ipv6", "--mode", "transport"]),
        ("ipcomp", &["--ipcomp"]),
        ("ipcomp-v6-transport", &["--ipcomp", "--ipv6", "--mode", "transport"]),
        ("ipcomp-ah", &["--ipcomp", "--proto", "ah"]),
        ("ipcomp-nat-beet", &["--ipcomp", "--nat", "--mode", "beet"]),
        ("esn", &["--esn", "--suite", "aes256-sha512"]),
        ("3des", &["--suite", "3des-md5"]),
        ("blowfish", &["--suite", "blowfish448-sha1"]),
        ("cast", &["--suite", "cast40-sha384"]),
        ("gcm", &["--suite", "aes256gcm8", "--nat"]),
        ("ccm", &["--suite", "aes192ccm12", "--esn"]),
        ("chacha", &["--suite", "chacha20poly1305"]),
    ];
    for (name, args) in variants {
        let (ran, out) = vpn(name, args);
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stdout));
        let (entered, delivered) =
            (packets_of_capture(&out.join("lan-a.pcap")), packets_of_capture(&out.join("lan-b.pcap")));
        assert!(entered.len() > 50, "{name}");
        assert_eq!(entered, delivered, "{name}");
        assert_eq!(packets_of_capture(&out.join("wan.pcap")).len(), entered.len(), "{name}");
    }
}

#[test]
fn nat_in_transport_mode_changes_addresses_and_keeps_checksums_valid() {
    for (name, args) in
        [("nat-t", &["--nat", "--mode", "transport"][..]), ("nat-t6", &["--ipv6", "--nat", "--mode", "transport"])]
    {
        let (ran, out) = vpn(name, args);
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stdout));
        let (entered, delivered) =
            (packets_of_capture(&out.join("lan-a.pcap")), packets_of_capture(&out.join("lan-b.pcap")));
        assert_eq!(entered.len(), delivered.len(), "{name}");
        assert_ne!(entered, delivered, "{name}");
    }
}

#[test]
fn no_cleartext_packet_is_sent() {
    for (name, args) in
        [("hidden", &[][..]), ("hidden-t", &["--mode", "transport"]), ("hidden-b", &["--mode", "beet", "--nat"])]
    {
        let (_, out) = vpn(name, args);
        let clear = packets_of_capture(&out.join("lan-a.pcap"));
        assert!(clear.iter().any(|p| p.windows(8).any(|w| w == b"HTTP/1.0")));
        let wire = packets_of_capture(&out.join("wan.pcap"));
        assert_eq!(wire.len(), clear.len(), "acknowledgements and pings included");
        for packet in wire.iter().chain(&packets_of_capture(&out.join("attack.pcap"))) {
            assert!(!packet.windows(4).any(|w| w == b"HTTP"), "{name}");
            assert!(matches!(packet[9], 50 | 17), "{name}: protocol {}", packet[9]);
        }
    }
}

#[test]
fn injected_packets_are_counted_by_reason() {
    let (ran, out) = vpn("attacked", &[]);
    let text = String::from_utf8(ran.stdout).expect("text");
    for reason in
        ["ESP ICV verification failed", "ESP replay: duplicate", "ESP ciphertext not a multiple of the block size"]
    {
        assert!(text.contains(reason), "{reason} in {text}");
    }
    let injected = packets_of_capture(&out.join("attack.pcap")).len();
    assert!(injected > 20 && text.contains(&format!("{injected} packets injected")), "{injected} in {text}");
    assert!(text.contains("    0 of them delivered"), "{text}");
}

#[test]
fn default_policy_is_esp_tunnel_between_the_networks() {
    let (_, out) = vpn("default", &["--net", "10.1.0.0/16", "10.2.0.0/16"]);
    let text = std::fs::read_to_string(out.join("gateway-a.conf")).expect("a file");
    let policy = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;";
    assert!(text.contains(policy), "{text}");
    for packet in packets_of_capture(&out.join("lan-a.pcap")) {
        let ends = (&packet[12..14], &packet[16..18]);
        assert!(matches!(ends, ([10, 1], [10, 2]) | ([10, 2], [10, 1])), "{ends:?}");
    }
    // The same files, given as configurations, join the networks of their policies.
    let files = ["gateway-a.conf", "gateway-b.conf"].map(|name| out.join(name).to_str().expect("a path").to_owned());
    let (ran, again) = vpn("configs", &["--configs", &files[0], &files[1]]);
    assert!(ran.status.success());
    assert_eq!(packets_of_capture(&again.join("lan-a.pcap")), packets_of_capture(&out.join("lan-a.pcap")));
    let (_, gif) = vpn("gif-policy", &["--gif"]);
    assert!(std::fs::read_to_string(gif.join("gateway-a.conf")).expect("a file").contains("ipencap -P out"));
}

#[test]
fn output_begins_with_an_explanation_and_ends_with_the_command_of_wireshark() {
    let (ran, out) = vpn("explained", &[]);
    let text = String::from_utf8(ran.stdout).expect("text");
    let lines: Vec<_> = text.lines().collect();
    for (line, parts) in [
        (
            0,
            &["Gateway A (192.0.2.1)", "192.168.1.0/24 to 192.168.2.0/24", "gateway B (198.51.100.1)", "esp/tunnel"][..],
        ),
        (1, &["lan-a.pcap", "wan.pcap", "lan-b.pcap"]),
        (2, &["attack.pcap", "have to be refused"]),
        (3, &[]),
    ] {
        assert!(parts.iter().all(|part| lines[line].contains(part)), "{}", lines[line]);
    }
    let folder = out.to_str().expect("a path");
    let command = format!(
        "WIRESHARK_CONFIG_DIR={folder} wireshark -o esp.enable_encryption_decode:TRUE -o \
         esp.enable_authentication_check:TRUE -r {folder}/wan.pcap"
    );
    assert_eq!(lines.last(), Some(&command.as_str()));
    // With a space in the path, the words are quoted.
    let (ran, _) = vpn("with space", &[]);
    assert!(String::from_utf8_lossy(&ran.stdout).contains("with space'/wan.pcap"));
}

#[test]
fn networks_that_cannot_be_joined_are_refused() {
    for (a, b, reason) in [
        ("10.1.0.0/16", "10.1.2.0/24", "overlap"),
        ("10.1.0.0/16", "fd00::/64", "address families"),
        ("10.1.0.0", "10.2.0.0/16", "expected ADDRESS/LENGTH"),
        ("10.1.0.1/16", "10.2.0.0/16", "bits after the prefix length"),
    ] {
        let (ran, _) = vpn("refused-net", &["--net", a, b]);
        assert_eq!(ran.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&ran.stderr).contains(reason), "{reason}: {ran:?}");
    }
    // A capture of other networks has no traffic for the tunnel.
    let lan = concat!(env!("CARGO_MANIFEST_DIR"), "/data/lan.pcap");
    let (ran, _) = vpn("other-net", &["--net", "10.1.0.0/16", "10.2.0.0/16", "--lan", lan]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("name the networks of the capture with --net"));
}

#[test]
fn same_seed_gives_the_same_packets() {
    let ((_, one), (_, two)) = (vpn("seed-1", &[]), vpn("seed-2", &[]));
    assert_eq!(packets_of_capture(&one.join("wan.pcap")), packets_of_capture(&two.join("wan.pcap")));
}

#[test]
fn suites_without_integrity_are_refused() {
    for (suite, reason) in [("null", "NULL encryption without integrity"), ("aes128", "encryption without integrity")] {
        let (ran, _) = vpn("refused", &["--suite", suite]);
        assert!(!ran.status.success());
        assert!(String::from_utf8_lossy(&ran.stderr).contains(reason), "{suite}");
    }
}

#[test]
fn compressed_packets_behind_a_nat_have_valid_checksums() {
    let (ran, _) = vpn("nat-ipcomp", &["--mode", "transport", "--nat", "--ipcomp"]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && said.contains("75 packets delivered, 0 of them modified"), "{said}");
}
