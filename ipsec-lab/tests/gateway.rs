//! `seal`, `open` and `dump`, run as a user runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use test_vectors::support::packets_of_capture;

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

/// Returns the two files that `vpn` writes for a variant, and the packets that go from A to B.
fn pair(name: &str, options: &[&str]) -> (PathBuf, String, String) {
    let folder = folder(name);
    let out = folder.to_str().expect("a path").to_owned();
    let ran = lab(&[&["vpn", "--seed", "3", "--out", &out][..], options].concat());
    assert!(ran.status.success(), "{name}: {}", text(&ran));
    let file = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    (folder.clone(), file("gateway-a.conf"), file("gateway-b.conf"))
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
fn open_restores_the_packets_of_seal() {
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
        assert!(text(&ran).contains("--mirror"), "{name}: {}", text(&ran));
        assert_eq!(fs::read(&again).expect("a capture"), fs::read(&lan).expect("a capture"), "{name}");
    }
}

#[test]
fn protected_packets_are_not_sent_without_an_sa() {
    let (folder, a, _) = pair("missing", &["--mode", "tunnel"]);
    let path = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    let whole = fs::read_to_string(&a).expect("a file");
    let without_sas: String =
        whole.lines().filter(|line| line.starts_with("spdadd")).map(|l| format!("{l}\n")).collect();
    let used_up = whole.replace(" -m tunnel", " -m tunnel -bh 1");
    for (name, text_of, reason) in [("no-sa", without_sas, "acquire pending"), ("used-up", used_up, "acquire pending")]
    {
        fs::write(path("changed.conf"), text_of).expect("a file");
        let (lan, sealed) = (path("lan-a.pcap"), path("sealed.pcap"));
        let ran = lab(&["seal", "--config", &path("changed.conf"), &lan, &sealed]);
        assert!(text(&ran).contains(reason), "{name}: {}", text(&ran));
        let from_a = |packet: &Vec<u8>| packet[12..15] == [192, 168, 1];
        assert!(!packets_of_capture(Path::new(&sealed)).iter().any(from_a), "{name}");
    }
}

#[test]
fn injected_packets_are_discarded_with_their_reason() {
    let (folder, _, b) = pair("attacked", &["--mode", "tunnel"]);
    let path = |name: &str| folder.join(name).to_str().expect("a path").to_owned();
    // The genuine packets first: an attacker who replays has waited for them.
    let mut both = fs::read(path("wan.pcap")).expect("a capture");
    both.extend_from_slice(&fs::read(path("attack.pcap")).expect("a capture")[24..]);
    fs::write(path("both.pcap"), both).expect("a file");
    let ran = lab(&["open", "--config", &b, &path("both.pcap"), &path("opened.pcap")]);
    let said = text(&ran);
    for reason in ["ESP ICV verification failed", "ESP replay: duplicate"] {
        assert!(said.contains(reason), "{reason} in {said}");
    }
    let to_b = |packets: Vec<Vec<u8>>| packets.into_iter().filter(|p| p[16..19] == [192, 168, 2]).collect::<Vec<_>>();
    let (opened, lan) =
        (to_b(packets_of_capture(&folder.join("opened.pcap"))), to_b(packets_of_capture(&folder.join("lan-a.pcap"))));
    assert_eq!(opened, lan);
}

#[test]
fn dump_shows_sas_and_policies_without_keys() {
    let (_, a, _) = pair("dump", &["--suite", "aes256-sha512", "--ipcomp"]);
    let key = fs::read_to_string(&a).expect("a file");
    let key = key.split("0x").nth(2).and_then(|rest| rest.split([' ', ';']).next()).expect("a key");
    assert_eq!(key.len(), 64);
    let said = text(&lab(&["dump", "--config", &a]));
    for line in [
        "192.0.2.1 198.51.100.1\n\tesp mode=transport spi=4097(0x00001001) reqid=0(0x00000000)\n\tE: aes-cbc\n\tA: hmac-sha2-512",
        "\tipcomp mode=tunnel spi=12289(0x00003001)",
        "\tdirection=out\n",
        "192.168.1.0/24[any] 192.168.2.0/24[any] any\n\tout ipsec\n\tipcomp/tunnel/192.0.2.1-198.51.100.1/use\n\tesp/transport//require",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    assert!(!said.contains(key));
    assert!(!text(&lab(&["dump", "-P", "--config", &a])).contains("state="));
    assert!(!text(&lab(&["dump", "-D", "--config", &a])).contains("spid="));
}

#[test]
fn dump_without_anything_to_show_is_a_failure() {
    let path = folder("nothing").join("flush.conf");
    let file = path.to_str().expect("a path");
    let sa = "add 192.0.2.1 192.0.2.2 ah 0x1001 -A hmac-md5 \"sixteen octets!!\";";
    let cases: &[(&str, &[&str], &str)] = &[
        ("flush; spdflush;", &[], "has neither SA nor policy"),
        ("flush; spdflush;", &["-D"], "has no SA"),
        (sa, &["-P"], "has no policy"),
    ];
    for (text_of_file, options, said) in cases {
        fs::write(&path, text_of_file).expect("a file");
        let ran = lab(&[&["dump", "--config", file][..], options].concat());
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(text(&ran).contains(said), "{}", text(&ran));
    }
    assert!(lab(&["dump", "--config", file, "-D"]).status.success());
}

#[test]
fn errors_have_line_and_column_and_contain_no_keys() {
    let path = folder("wrong").join("wrong.conf");
    let wrong = [
        ("flush;\nadd 192.0.2.1 192.0.2.2 esp 1 -E des-cbc \"ninechars\";\n", "line 2, column 42"),
        ("spdadd 10.0.0.0/8 10.0.0.0/33 any -P out none;\n", "line 1, column 19"),
        (
            "\n add 192.0.2.1 192.0.2.2 esp 0x10 -E null -A hmac-md5 \"sixteen octets !\";\n",
            "line 2, column 2: add 192.0.2.1",
        ),
        ("add 192.0.2.1 192.0.2.2 esp 0x10 -E null -A hmac-md5 \"sixteen octets !\";\n", "SPI 16 is reserved"),
        ("flush; add 192.0.2.1 192.0.2.2 esp 0x1000 -E null;\n", "line 1, column 8: add 192.0.2.1"),
        ("add 192.0.2.1 192.0.2.2 esp 0x1000 -E null;\n", "NULL encryption without integrity"),
        ("add 192.0.2.1 192.0.2.2 esp 0x1000 -E des-cbc 0x0101010101010101;\n", "line 1, column 1: add 192.0.2.1"),
    ];
    for (config, reason) in wrong {
        fs::write(&path, config).expect("a file");
        let ran = lab(&["dump", "--config", path.to_str().expect("a path")]);
        let said = text(&ran);
        assert!(!ran.status.success() && said.contains(reason) && said.contains("wrong.conf"), "{reason} in {said}");
        assert!(!said.contains("ninechars") && !said.contains("octets !"), "{said}");
    }
}

#[test]
fn absent_entries_and_unsupported_statements_are_skipped_with_a_warning() {
    let path = folder("aside").join("aside.conf");
    let good = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc \"sixteen octets!!\" -A hmac-sha1 \"twenty octets it has\";\n";
    let cases = [
        ("spddelete 10.0.0.0/8 10.0.0.0/8 any -P out;\n", "line 1, column 1: spddelete"),
        ("delete 192.0.2.1 192.0.2.2 esp 0x1000;\n", "line 1, column 1: delete"),
        ("deleteall 192.0.2.1 192.0.2.2 esp;\n", "line 1, column 1: deleteall"),
        ("add 192.0.2.1 192.0.2.2 esp-old 0x1000 -E des-cbc \"8 octets\";\n", "esp-old is not implemented"),
        ("add 192.0.2.1 192.0.2.2 tcp 0x1000 -A tcp-md5 \"bgp\";\n", "tcp is not implemented"),
        ("add 192.0.2.1 192.0.2.2 ah-old 0x1000 -A keyed-md5 \"sixteen octets!!\";\n", "ah-old is not implemented"),
        (
            "add 192.0.2.1 192.0.2.2 esp 0x1000 -E twofish-cbc \"sixteen octets!!\" -A hmac-md5 \"sixteen octets!!\";\n",
            "twofish-cbc",
        ),
        ("spdadd tagged \"a tag\" -P out ipsec esp/transport//require;\n", "line 1, column 1: warning"),
    ];
    for (statement, warning) in cases {
        fs::write(&path, [statement.as_bytes(), b"# Z\xfcrich\n", good.as_bytes()].concat()).expect("a file");
        let ran = lab(&["dump", "--config", path.to_str().expect("a path")]);
        let said = text(&ran);
        assert!(ran.status.success() && said.contains("192.0.2.1 198.51.100.1"), "{statement}: {said}");
        assert!(said.contains("warning") && said.contains(warning), "{warning} in {said}");
        assert_eq!(said.matches("warning").count(), 1, "once: {said}");
    }
    fs::write(&path, format!("{good}exit;\nthis is not a statement \"nor a string")).expect("a file");
    assert!(lab(&["dump", "--config", path.to_str().expect("a path")]).status.success());
}

const KEY: &str = "0x000102030405060708090a0b0c0d0e0f10111213";

/// Configuration with one ESP tunnel, a link to it, a capture of packets for it, and the file of its sequence numbers.
struct Tunnel {
    folder: PathBuf,
    config: PathBuf,
    link: PathBuf,
    sequence: PathBuf,
}

impl Tunnel {
    /// Creates the files in a new folder.
    fn new(name: &str) -> Self {
        let folder = folder("nonces").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let (config, link, sequence) =
            (folder.join("a.conf"), folder.join("link.conf"), folder.join("a.conf.sequence"));
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/data/lan.pcap"), folder.join("in.pcap")).expect("a capture");
        Self { folder, config, link, sequence }
    }

    /// Writes the configuration; the protocol is `esp` or `esp-udp`.
    fn write(&self, protocol: &str, algorithms: &str) {
        let text = format!(
            "add 192.0.2.1 198.51.100.1 {protocol} 0x1001 -m tunnel {algorithms};\nspdadd 192.168.1.0/24 192.168.2.0/24 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;\n"
        );
        fs::write(&self.config, text).expect("a file");
    }

    fn seal(&self, config: &Path) -> Output {
        let (plain, sealed) = (self.folder.join("in.pcap"), self.folder.join("sealed.pcap"));
        let [config, plain, sealed] = [config, &plain, &sealed].map(|path| path.to_str().expect("a path"));
        lab(&["seal", "--config", config, plain, sealed])
    }

    /// Returns the sequence number and IV of each sealed packet, which is ESP or ESP in UDP.
    fn nonces(&self) -> Vec<Vec<u8>> {
        let packets = packets_of_capture(&self.folder.join("sealed.pcap"));
        let nonce = |packet: &Vec<u8>| match packet[9] {
            50 => Some(packet[24..36].to_vec()),
            17 if packet[22..24] == 4500u16.to_be_bytes() => Some(packet[32..44].to_vec()),
            _ => None,
        };
        packets.iter().filter_map(nonce).collect()
    }
}

/// Returns the algorithms whose nonce is the sequence number.
fn counter_modes() -> [(&'static str, String); 2] {
    [("gcm", format!("-E aes-gcm-16 {KEY}")), ("ctr", format!("-E aes-ctr {KEY} -A hmac-sha1 {KEY}"))]
}

/// The file by its name and by a link, with ESP and with ESP in UDP: the keys are the same.
#[test]
fn sequence_numbers_are_not_reused_as_nonces() {
    for (name, algorithms) in counter_modes() {
        let tunnel = Tunnel::new(&format!("reuse-{name}"));
        tunnel.write("esp", &algorithms);
        #[cfg(unix)]
        std::os::unix::fs::symlink(&tunnel.config, &tunnel.link).expect("a link");
        #[cfg(not(unix))]
        fs::hard_link(&tunnel.config, &tunnel.link).expect("a link");
        let mut seen = std::collections::BTreeSet::new();
        for run in 0..6 {
            let ran = tunnel.seal(if cfg!(unix) && run % 2 == 1 { &tunnel.link } else { &tunnel.config });
            assert!(ran.status.success(), "{name}, run {run}: {}", text(&ran));
            for nonce in tunnel.nonces() {
                assert!(seen.insert(nonce), "{name}, run {run}: a number and its nonce are used again");
            }
            tunnel.write(if run > 2 { "esp-udp" } else { "esp" }, &algorithms);
        }
        assert!(seen.len() > 200, "{name}: {} packets", seen.len());
    }
}

/// The other process has locked the keys; the configuration is a new file meanwhile.
#[test]
fn keys_in_use_by_another_process_are_refused() {
    for (name, algorithms) in counter_modes() {
        let tunnel = Tunnel::new(&format!("lock-{name}"));
        tunnel.write("esp", &algorithms);
        assert!(tunnel.seal(&tunnel.config).status.success(), "{name}");
        let lock = fs::File::open(tunnel.folder.join("a.conf.sequence.lock")).expect("a lock");
        lock.lock().expect("a lock");
        fs::remove_file(&tunnel.config).expect("a file");
        tunnel.write("esp", &algorithms);
        let ran = tunnel.seal(&tunnel.config);
        assert!(
            !ran.status.success() && text(&ran).contains("keys are in use by another process"),
            "{name}: {}",
            text(&ran)
        );
        drop(lock);
        assert!(tunnel.seal(&tunnel.config).status.success(), "{name}, after the lock was released");
    }
}

/// A file that cannot be read is never taken for numbers that were not used.
#[test]
fn damaged_file_of_sequence_numbers_is_refused() {
    for (name, algorithms) in counter_modes() {
        let tunnel = Tunnel::new(&format!("damaged-{name}"));
        tunnel.write("esp", &algorithms);
        assert!(tunnel.seal(&tunnel.config).status.success(), "{name}");
        let whole = fs::read(&tunnel.sequence).expect("numbers");
        for damaged in [&b"damaged"[..], b"", &whole[..whole.len() - 8]] {
            fs::write(&tunnel.sequence, damaged).expect("a file");
            assert!(!tunnel.seal(&tunnel.config).status.success(), "{name}: {} octets", damaged.len());
        }
    }
}

#[test]
fn sequence_numbers_of_cbc_are_not_stored() {
    let tunnel = Tunnel::new("cbc");
    tunnel.write("esp", &format!("-E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 {KEY}"));
    assert!(tunnel.seal(&tunnel.config).status.success());
    assert!(!tunnel.sequence.exists());
}
