//! `seal`, `open` and `dump`, run as a user runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ipsec-lab")).args(args).output().expect("the tool runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gateway").join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The two files that `vpn` writes for a variant, and the packets that go from A to B.
fn pair(name: &str, options: &[&str]) -> (PathBuf, String, String) {
    let folder = folder(name);
    let out = folder.to_str().expect("a path").to_owned();
    let ran = lab(&[&["vpn", "--seed", "3", "--out", &out][..], options].concat());
    assert!(ran.status.success(), "{name}: {}", text(&ran));
    let file = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    (folder.clone(), file("gateway-a.conf"), file("gateway-b.conf"))
}

fn packets(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("a capture");
    let mut rest = &bytes[24..];
    let mut packets = Vec::new();
    while rest.len() >= 16 {
        let len = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        packets.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    packets
}

const VARIANTS: &[(&str, &[&str])] = &[
    ("tunnel", &["--suite", "aes256-sha256"]),
    ("transport", &["--mode", "transport"]),
    ("v6", &["--ipv6", "--suite", "3des-md5"]),
    ("bundle", &["--proto", "ah+esp", "--ipcomp"]),
    ("ah", &["--proto", "ah"]),
    ("gcm", &["--suite", "aes128gcm16", "--esn"]),
];

#[test]
fn open_gives_back_what_seal_was_given() {
    for (name, options) in VARIANTS {
        let (folder, a, b) = pair(name, options);
        let path = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
        let (lan, sealed, opened) = (path("lan-a.pcap"), path("sealed.pcap"), path("opened.pcap"));
        let ran = lab(&["seal", "--config", &a, &lan, &sealed]);
        assert!(ran.status.success() && text(&ran).contains(" protected"), "{name}: {}", text(&ran));
        let ran = lab(&["open", "--config", &b, &sealed, &opened]);
        assert!(ran.status.success() && text(&ran).contains(" opened"), "{name}: {}", text(&ran));
        assert_eq!(fs::read(&opened).expect("a capture"), fs::read(&lan).expect("a capture"), "{name}");
        // The same with the sender's own file, read as the other side's.
        let again = path("again.pcap");
        let ran = lab(&["open", "--config", &a, &sealed, &again]);
        assert!(text(&ran).contains("the other side"), "{name}: {}", text(&ran));
        assert_eq!(fs::read(&again).expect("a capture"), fs::read(&lan).expect("a capture"), "{name}");
    }
}

#[test]
fn what_a_policy_protects_does_not_leave_in_clear_whatever_is_missing() {
    let (folder, a, _) = pair("missing", &["--mode", "tunnel"]);
    let path = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    let whole = fs::read_to_string(&a).expect("a file");
    let without_sas: String =
        whole.lines().filter(|line| line.starts_with("spdadd")).map(|l| format!("{l}\n")).collect();
    let used_up = whole.replace(" -m tunnel", " -m tunnel -bh 1");
    for (name, text_of, reason) in
        [("no-sa", without_sas, "waiting for an sa"), ("used-up", used_up, "waiting for an sa")]
    {
        fs::write(path("changed.conf"), text_of).expect("a file");
        let (lan, sealed) = (path("lan-a.pcap"), path("sealed.pcap"));
        let ran = lab(&["seal", "--config", &path("changed.conf"), &lan, &sealed]);
        assert!(text(&ran).contains(reason), "{name}: {}", text(&ran));
        let from_a = |packet: &Vec<u8>| packet[12..15] == [192, 168, 1];
        assert!(!packets(Path::new(&sealed)).iter().any(from_a), "{name}");
    }
}

#[test]
fn attackers_packets_are_refused_with_their_reasons() {
    let (folder, _, b) = pair("attacked", &["--mode", "tunnel"]);
    let path = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    // The genuine packets first: an attacker who replays has waited for them.
    let mut both = fs::read(path("wan.pcap")).expect("a capture");
    both.extend_from_slice(&fs::read(path("attack.pcap")).expect("a capture")[24..]);
    fs::write(path("both.pcap"), both).expect("a file");
    let ran = lab(&["open", "--config", &b, &path("both.pcap"), &path("opened.pcap")]);
    let said = text(&ran);
    for reason in ["icv does not hold", "replayed: seen before"] {
        assert!(said.contains(reason), "{reason} in {said}");
    }
    let to_b = |packets: Vec<Vec<u8>>| packets.into_iter().filter(|p| p[16..19] == [192, 168, 2]).collect::<Vec<_>>();
    let (opened, lan) = (to_b(packets(&folder.join("opened.pcap"))), to_b(packets(&folder.join("lan-a.pcap"))));
    assert_eq!(opened, lan);
}

#[test]
fn dump_shows_the_databases_and_no_key() {
    let (_, a, _) = pair("dump", &["--suite", "aes256-sha512", "--ipcomp"]);
    let key = fs::read_to_string(&a).expect("a file");
    let key = key.split("0x").nth(2).and_then(|rest| rest.split([' ', ';']).next()).expect("a key");
    assert_eq!(key.len(), 64);
    let said = text(&lab(&["dump", "--config", &a]));
    for line in [
        "192.0.2.1 198.51.100.1\n\tesp mode=transport spi=4097(0x00001001) reqid=0(0x00000000)\n\tE: aes-cbc\n\tA: hmac-sha2-512",
        "\tipcomp mode=tunnel spi=12289(0x00003001)",
        "192.168.1.0/24[any] 192.168.2.0/24[any] any\n\tout ipsec\n\tipcomp/tunnel/192.0.2.1-198.51.100.1/use\n\tesp/transport//require",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    assert!(!said.contains(key));
    assert!(!text(&lab(&["dump", "-P", "--config", &a])).contains("state="));
    assert!(!text(&lab(&["dump", "-D", "--config", &a])).contains("spid="));
}

#[test]
fn a_wrong_file_is_refused_with_its_place_and_without_its_keys() {
    let path = folder("wrong").join("wrong.conf");
    let wrong = [
        ("flush;\nadd 192.0.2.1 192.0.2.2 esp 1 -E des-cbc \"ninechars\";\n", "line 2, column 42"),
        ("spdadd 10.0.0.0/8 10.0.0.0/33 any -P out none;\n", "line 1, column 19"),
        ("add 192.0.2.1 192.0.2.2 esp 0x10 -E null -A hmac-md5 \"sixteen octets !\";\n", "spi 16 is reserved"),
        ("add 192.0.2.1 192.0.2.2 esp 0x1000 -E null;\n", "null encryption without integrity"),
        ("add 192.0.2.1 192.0.2.2 esp-old 0x1000 -E des-cbc \"8 octets\";\n", "esp-old is not implemented"),
        ("spddelete 10.0.0.0/8 10.0.0.0/8 any -P out;\n", "no such policy"),
    ];
    for (config, reason) in wrong {
        fs::write(&path, config).expect("a file");
        let ran = lab(&["dump", "--config", path.to_str().expect("a path")]);
        let said = text(&ran);
        assert!(!ran.status.success() && said.contains(reason) && said.contains("wrong.conf"), "{reason} in {said}");
        assert!(!said.contains("ninechars") && !said.contains("octets !"), "{said}");
    }
}
