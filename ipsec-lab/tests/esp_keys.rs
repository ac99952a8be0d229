//! `open` and `seal` with keys alone, run as a user runs them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use test_vectors::support::packets_of_capture;

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ipsec-lab")).args(args).output().expect("the tool runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Folder of a run of `vpn`.
struct Run(PathBuf);

impl Run {
    fn new(name: &str, options: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("esp-keys").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let ran = lab(&[&["vpn", "--seed", "3", "--out", folder.to_str().expect("a path")][..], options].concat());
        assert!(ran.status.success(), "{name}: {}", text(&ran));
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path").to_owned()
    }

    fn packets(&self, name: &str) -> Vec<Vec<u8>> {
        packets_of_capture(&self.0.join(name))
    }

    /// Opens a capture with keys and returns the output and the packets.
    fn open(&self, keys: &str, capture: &str) -> (Output, Vec<Vec<u8>>) {
        let out = self.path("opened.pcap");
        let ran = lab(&["open", "--esp-keys", &self.path(keys), &self.path(capture), &out]);
        (ran, self.packets("opened.pcap"))
    }
}

const VARIANTS: &[(&str, &[&str])] = &[
    ("tunnel", &["--suite", "aes256-sha256"]),
    ("des", &["--suite", "3des-md5"]),
    ("gcm", &["--suite", "aes128gcm8"]),
    ("ccm", &["--suite", "aes256ccm16"]),
    ("chacha", &["--suite", "chacha20poly1305"]),
    ("transport", &["--mode", "transport"]),
    ("v6", &["--ipv6", "--suite", "aes128-sha512"]),
    ("v6-transport", &["--ipv6", "--mode", "transport"]),
    ("nat", &["--nat"]),
    ("v6-nat", &["--nat", "--ipv6"]),
    ("esn", &["--esn", "--suite", "aes128gcm16"]),
    ("ipcomp", &["--ipcomp"]),
];

/// The table of Wireshark has no addresses, mode or width of sequence numbers; setkey(8) and `ip xfrm` have them.
#[test]
fn every_format_of_keys_opens_both_directions_in_any_mode() {
    for (name, options) in VARIANTS {
        let run = Run::new(name, options);
        let lan = run.packets("lan-a.pcap");
        let xfrm = lab(&["convert", "--to", "xfrm", &run.path("gateway-a.conf")]);
        fs::write(run.path("xfrm"), &xfrm.stdout).expect("a file");
        let plain = fs::read_to_string(run.path("esp_sa")).expect("a table");
        let prefixed: String = plain.lines().map(|line| format!("uat:esp_sa:{line}\n")).collect();
        fs::write(run.path("prefixed"), &prefixed).expect("a file");
        // Rows of several tables in one file, as in the options of Wireshark.
        let mixed = format!("\nuat:ikev1_decryption_table:0011223344556677,0011\nesp.enable: TRUE\n{prefixed}");
        fs::write(run.path("mixed"), mixed).expect("a file");
        for keys in ["esp_sa", "prefixed", "mixed", "gateway-a.conf", "gateway-b.conf", "xfrm"] {
            let (ran, opened) = run.open(keys, "wan.pcap");
            assert!(ran.status.success(), "{name}, {keys}: {}", text(&ran));
            assert!(text(&ran).contains(&format!("{:8} opened", lan.len())), "{name}, {keys}: {}", text(&ran));
            // A NAT changes addresses, and checksums with them.
            assert!(opened == lan, "{name}, {keys}");
        }
    }
}

#[test]
fn bundles_are_opened_with_the_keys_of_all_their_sas() {
    let run = Run::new("bundle", &["--proto", "ah+esp", "--ipcomp"]);
    let (ran, opened) = run.open("gateway-b.conf", "wan.pcap");
    assert!(ran.status.success(), "{}", text(&ran));
    assert!(opened == run.packets("lan-a.pcap"));
    // Without the key of AH, nothing is opened.
    let (ran, opened) = run.open("esp_sa", "wan.pcap");
    assert_eq!((ran.status.code(), opened.len()), (Some(1), 0), "{}", text(&ran));
    assert!(text(&ran).contains("no key for SPI 0x00002001 to 198.51.100.1"), "{}", text(&ran));
}

#[test]
fn rows_without_a_key_of_integrity_open_packets_without_verification() {
    for (name, options) in [("unchecked", &["--suite", "aes128-sha1"][..]), ("unchecked-nat", &["--nat"])] {
        let run = Run::new(name, options);
        let rows = fs::read_to_string(run.path("esp_sa")).expect("a table");
        let any = "\"ANY 96 bit authentication [no checking]\",\"0x\"";
        let rows: String =
            rows.lines().map(|row| format!("{}{any}\n", row.split("\"HMAC").next().expect("a row"))).collect();
        fs::write(run.path("any"), rows).expect("a file");
        let (ran, opened) = run.open("any", "wan.pcap");
        assert!(ran.status.success(), "{name}: {}", text(&ran));
        assert!(opened == run.packets("lan-a.pcap"), "{name}");
    }
}

/// KAME and Linux have HMAC-SHA2-256 with 96 bits under the name of that with 128 bits.
#[test]
fn truncation_of_sha2_256_is_found_by_the_packets() {
    let run = Run::new("sha256-96", &["--suite", "aes128-sha256_96"]);
    let text_of = |name: &str| fs::read_to_string(run.path(name)).expect("a file");
    fs::write(run.path("named"), text_of("gateway-a.conf").replace("hmac-sha2-256-96", "hmac-sha2-256"))
        .expect("a file");
    let (ran, opened) = run.open("named", "wan.pcap");
    assert!(ran.status.success() && opened == run.packets("lan-a.pcap"), "{}", text(&ran));
    let (named, lan, sealed) = (run.path("named"), run.path("lan-a.pcap"), run.path("sealed.pcap"));
    assert!(lab(&["seal", "--sha256-96", "--esp-keys", &named, &lan, &sealed]).status.success());
    let ran = lab(&["open", "--config", &run.path("gateway-b.conf"), &sealed, &run.path("opened.pcap")]);
    assert!(text(&ran).contains("40 opened"), "{}", text(&ran));
}

#[test]
fn exit_status_is_1_if_a_packet_is_refused_or_none_is_opened() {
    let run = Run::new("status", &["--suite", "aes128-sha1"]);
    let (ran, _) = run.open("esp_sa", "attack.pcap");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran).contains("ESP ICV verification failed"), "{}", text(&ran));
    let (ran, passed) = run.open("esp_sa", "lan-a.pcap");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran).contains("is ESP, AH or IPComp"), "{}", text(&ran));
    assert!(passed == run.packets("lan-a.pcap"), "packets without IPsec pass");
    let rows = fs::read_to_string(run.path("esp_sa")).expect("a table").replace("0x00001001", "0x00001234");
    fs::write(run.path("other"), rows).expect("a file");
    let (ran, _) = run.open("other", "wan.pcap");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran).contains("no key for SPI 0x00001001 to 198.51.100.1: packets: 40"), "{}", text(&ran));
}

#[test]
fn verbose_output_has_a_line_for_each_packet_and_json_an_object() {
    let run = Run::new("lines", &["--suite", "aes128-sha1", "--nat"]);
    let said = text(&lab(&["open", "-v", "--esp-keys", &run.path("esp_sa"), &run.path("wan.pcap")]));
    let first = said.lines().next().expect("a line");
    for part in [
        "1: ",
        "192.0.2.1[61234] > 198.51.100.1[4500]: ESP in UDP spi=0x00001001 seq=1 opened: ",
        "IP 192.168.1.10 > 192.168.2.20: ICMP echo request",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert_eq!(said.lines().filter(|line| line.contains("spi=0x")).count(), 75);
    let said = text(&lab(&["open", "-v", "--esp-keys", &run.path("esp_sa"), &run.path("attack.pcap")]));
    assert!(said.contains("spi=0x00001002 seq=3 refused: ICV verification failed\n"), "{said}");
    let ran = lab(&["open", "--json", "--esp-keys", &run.path("esp_sa"), &run.path("wan.pcap")]);
    let lines: Vec<serde_json::Value> =
        String::from_utf8(ran.stdout).unwrap().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 76);
    assert_eq!(lines[1]["wire"]["spi"], 0x1002);
    assert_eq!((&lines[0]["frame"], &lines[0]["result"]), (&1.into(), &"processed".into()));
    assert_eq!(lines[0]["inner"]["source"], "192.168.1.10");
    assert_eq!((&lines[75]["packets"], &lines[75]["results"]["processed"]), (&75.into(), &75.into()));
    // With policies, the same lines.
    let config = run.path("gateway-b.conf");
    let said = text(&lab(&["open", "-v", "--config", &config, &run.path("wan.pcap")]));
    assert!(said.contains("ESP in UDP spi=0x00001001 seq=1 opened: IP 192.168.1.10 > 192.168.2.20"), "{said}");
    let (lan, out) = (run.path("lan-a.pcap"), run.path("out.pcap"));
    let said = text(&lab(&["seal", "-v", "--config", &run.path("gateway-a.conf"), &lan, &out]));
    assert!(said.contains("ESP in UDP spi=0x00001001 seq=1 protected: IP 192.168.1.10 > 192.168.2.20"), "{said}");
}

#[test]
fn sealed_packets_are_opened_with_the_same_keys() {
    for (name, options) in VARIANTS {
        if options.contains(&"--ipcomp") {
            continue;
        }
        let run = Run::new(&format!("seal-{name}"), options);
        let lan = run.packets("lan-a.pcap");
        for keys in ["gateway-a.conf", "esp_sa"] {
            let (path, sealed) = (run.path(keys), run.path("sealed.pcap"));
            let ran = lab(&["seal", "--esp-keys", &path, &run.path("lan-a.pcap"), &sealed]);
            assert!(ran.status.success(), "{name}, {keys}: {}", text(&ran));
            assert!(run.packets("sealed.pcap") != lan, "{name}, {keys}");
            let (ran, opened) = run.open(keys, "sealed.pcap");
            assert!(ran.status.success(), "{name}, {keys}: {}", text(&ran));
            assert!(opened == lan, "{name}, {keys}");
            // Both SAs of the file are used, each for one direction.
            let said = text(&lab(&["open", "-v", "--esp-keys", &path, &sealed]));
            for spi in ["spi=0x00001001", "spi=0x00001002"] {
                let lines: Vec<_> = said.lines().filter(|line| line.contains(spi)).collect();
                let sources: std::collections::BTreeSet<_> =
                    lines.iter().filter_map(|line| line.split(' ').nth(2)).collect();
                assert_eq!(sources.len(), 1, "{name}, {keys}, {spi}: {sources:?}");
            }
        }
    }
}

/// With the sequence number in the nonce, a second run continues where the first has ended.
#[test]
fn sequence_numbers_are_not_reused_as_nonces() {
    let run = Run::new("nonces", &["--suite", "aes128gcm16"]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let ran = lab(&["seal", "--esp-keys", &run.path("esp_sa"), &run.path("lan-a.pcap"), &run.path("sealed.pcap")]);
        assert!(ran.status.success(), "{}", text(&ran));
        for packet in run.packets("sealed.pcap") {
            assert!(seen.insert(packet[20..28].to_vec()), "SPI and sequence number {:?}", &packet[20..28]);
        }
    }
    assert_eq!(seen.len(), 3 * 75);
}

#[test]
fn standard_input_and_output_are_captures() {
    let run = Run::new("pipe", &["--suite", "aes128-sha1"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"))
        .args(["open", "--esp-keys", &run.path("esp_sa"), "-v", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool runs");
    let capture = fs::read(run.path("wan.pcap")).expect("a capture");
    child.stdin.take().expect("a pipe").write_all(&capture).expect("written");
    let output = child.wait_with_output().expect("output");
    assert!(output.status.success());
    assert_eq!(output.stdout, fs::read(run.path("lan-a.pcap")).expect("a capture"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("75 opened"));
}

#[test]
fn keys_are_read_from_a_pipe() {
    let run = Run::new("key-pipe", &["--suite", "aes128-sha1"]);
    for keys in ["esp_sa", "gateway-b.conf"] {
        for name in ["-", "/dev/stdin"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"));
            command.args(["open", "--esp-keys", name, &run.path("wan.pcap")]).stdin(Stdio::piped());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool runs");
            let octets = fs::read(run.path(keys)).expect("a file");
            child.stdin.take().expect("a pipe").write_all(&octets).expect("written");
            let output = child.wait_with_output().expect("output");
            assert!(output.status.success() && text(&output) == "75 packets\n      75 opened\n", "{keys}: {output:?}");
        }
    }
    let ran = lab(&["open", "--esp-keys", "-", "-"]);
    assert!(text(&ran).contains("cannot both be standard input"), "{}", text(&ran));
}

#[test]
fn warnings_name_policies_and_keys_without_a_matching_packet() {
    let run = Run::new("warnings", &["--mode", "tunnel"]);
    let out = run.path("out.pcap");
    // No packet of the other network is sent by gateway A in another direction.
    let mut config = fs::read_to_string(run.path("gateway-a.conf")).expect("a file");
    config = config.replace("192.168.", "10.99.");
    fs::write(run.path("other.conf"), config).expect("a file");
    let ran = lab(&["seal", "--config", &run.path("other.conf"), &run.path("lan-a.pcap"), &out]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran).contains("warning: no packet matched a PROTECT policy of"), "{}", text(&ran));
    let ran = lab(&["open", "--config", &run.path("gateway-a.conf"), &run.path("lan-a.pcap"), &out]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran).contains("no packet of"), "{}", text(&ran));
}

#[test]
fn keys_that_are_not_keys_are_refused_with_a_hint() {
    let run = Run::new("hints", &["--mode", "tunnel"]);
    let wan = run.path("wan.pcap");
    fs::write(run.path("ike"), "0011223344556677,00112233445566778899aabbccddeeff\n").expect("a file");
    fs::write(run.path("empty"), "").expect("a file");
    fs::write(run.path("policies"), "spdadd 10.0.0.0/8 10.0.0.0/8 any -P out none;\n").expect("a file");
    for (keys, hint) in [
        ("wan.pcap", "found a capture: captures are given without an option"),
        ("ike", "`ipsec-lab ike --ike-keys`"),
        ("empty", "expected Wireshark's table esp_sa"),
        ("policies", "the file has no SA with keys"),
        ("absent", "No such file"),
    ] {
        let ran = lab(&["open", "--esp-keys", &run.path(keys), &wan]);
        assert_eq!(ran.status.code(), Some(2), "{keys}: {}", text(&ran));
        assert!(text(&ran).contains(hint), "{hint} in {}", text(&ran));
    }
    let ran = lab(&["open", "--esp-keys", &run.path("esp_sa"), &wan, &wan]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(text(&ran).contains("would overwrite this input"), "{}", text(&ran));
    assert!(run.packets("wan.pcap").len() == 75);
    let ran = lab(&["open", &wan]);
    assert!(text(&ran).contains("--esp-keys"), "{}", text(&ran));
}

#[test]
fn wrong_keys_are_reported_as_the_reason() {
    let run = Run::new("wrong-key", &["--suite", "aes128-sha1"]);
    let other = run.path("other");
    assert!(lab(&["vpn", "--seed", "4", "--suite", "aes128-sha1", "--out", &other]).status.success());
    for (option, file, count) in [("--esp-keys", "esp_sa", 75), ("--config", "gateway-b.conf", 40)] {
        let ran = lab(&["open", option, &format!("{other}/{file}"), &run.path("wan.pcap")]);
        assert_eq!(ran.status.code(), Some(1));
        let said = format!("no packet was opened; packets whose ICV verification failed: {count}; compare keys");
        assert!(text(&ran).contains(&said), "{}", text(&ran));
        assert!(!text(&ran).contains("PROTECT policy"), "{}", text(&ran));
    }
}

#[test]
fn keys_that_protect_no_packet_are_an_error_of_seal() {
    let run = Run::new("seal-others", &["--proto", "ah"]);
    let key = "0x000102030405060708090a0b0c0d0e0f";
    let row = format!(
        "\"IPv4\",\"*\",\"*\",\"0x1001\",\"AES-CBC [RFC3602]\",\"{key}\",\"ANY 96 bit authentication [no checking]\",\"0x\"\n"
    );
    fs::write(run.path("any"), row).expect("a file");
    for (file, said) in [
        ("gateway-a.conf", "found SAs of AH and IPComp, which protect with `--config` and policies only: 2"),
        ("any", "found rows without SPI or authentication key, with which packets are only opened: 1"),
    ] {
        let ran = lab(&["seal", "--esp-keys", &run.path(file), &run.path("lan-a.pcap"), &run.path("sealed.pcap")]);
        assert_eq!(ran.status.code(), Some(2), "{}", text(&ran));
        assert!(text(&ran).contains("no ESP SA that protects packets") && text(&ran).contains(said), "{}", text(&ran));
    }
}
