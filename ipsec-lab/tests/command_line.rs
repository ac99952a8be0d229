//! Errors of the command line, closed pipes, completions and manual pages.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ipsec-lab")).args(args).output().expect("the tool runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("command-line").join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Returns the folder with the files of a run of `vpn`, and a function for their paths.
fn run(name: &str) -> impl Fn(&str) -> String {
    let folder = folder(name);
    let out = folder.to_str().expect("a path").to_owned();
    assert!(lab(&["vpn", "--seed", "3", "--mode", "tunnel", "--out", &out]).status.success());
    move |name: &str| folder.join(name).to_str().expect("a path").to_owned()
}

#[test]
fn errors_of_usual_mistakes_name_the_correction() {
    let path = run("mistakes");
    let key = "0x000102030405060708090a0b0c0d0e";
    let short = format!("add 192.0.2.1 192.0.2.2 esp 0x1001 -E aes-cbc {key} -A hmac-sha1 {key}0f10111213;\n");
    let row = format!("\"IPv4\",\"*\",\"*\",\"0x1001\",\"AES-CBC [RFC3602]\",\"{key}\",\"NULL\",\"\"\n");
    for (name, octets) in [
        ("empty.pcap", &b""[..]),
        ("blank.conf", b" \n"),
        ("cut.pcap", &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0]),
        ("short.conf", short.as_bytes()),
        ("short.esp_sa", row.as_bytes()),
        ("utf16.conf", &[0xff, 0xfe, b'a', 0]),
        ("ike.keys", b"0011223344556677,00112233445566778899aabbccddeeff\n"),
        ("text.pcap", b"12:00:00 IP 192.0.2.1 > 192.0.2.2: ESP\n"),
    ] {
        fs::write(path(name), octets).expect("a file");
    }
    let (wan, conf, esp_sa) = (path("wan.pcap"), path("gateway-a.conf"), path("esp_sa"));
    let directory = path("");
    let mistakes: &[(&[&str], &str)] = &[
        (&["open", "--config", &wan, &conf], "neither pcap nor pcapng: a configuration of setkey(8)"),
        (&["dump", "--config", &wan], "expected statements of setkey(8), found a capture"),
        (&["dump", "--config", &esp_sa], "found Wireshark's table esp_sa: `open` and `seal` take it as `--esp-keys`"),
        (&["dump", "--config", &path("utf16.conf")], "text in UTF-16: save it as UTF-8"),
        (&["dump", "--config", &directory], "a directory, expected a file"),
        (&["ping", "--config", &conf, "host.example"], "expected an IP address, as in 192.0.2.1"),
        (&["check", "absent.conf"], "ipsec-lab: absent.conf: No such file"),
        (&["check", &directory], "a directory, expected a configuration"),
        (&["convert", "--to", "xfrm", "absent.conf"], "ipsec-lab: absent.conf: No such file"),
        (&["dump", "--config", &path("blank.conf")], "the file is empty: expected statements of setkey(8)"),
        (&["open", "--config", &path("empty.pcap"), &wan], "the file is empty: expected statements of setkey(8)"),
        (&["open", "--esp-keys", &path("blank.conf"), &wan], "the file is empty: expected Wireshark's table esp_sa"),
        (&["open", "--esp-keys", &directory, &wan], "a directory, expected a file: Wireshark's table esp_sa"),
        (&["ike", "--ike-keys", &directory, &wan], "a directory, expected Wireshark's table ikev1_decryption_table"),
        (&["dump", "--config", &path("short.conf")], "got 120 bits, expected 128, 192 or 256"),
        (&["ike", &path("empty.pcap")], "the file is empty"),
        (&["ike", &path("cut.pcap")], "6 of 24 octets"),
        (&["ike", &path("text.pcap")], "record a capture with `tcpdump -w FILE`"),
        (&["ike", &directory], "a directory, expected a capture"),
        (&["ike", "absent.pcap"], "no such file"),
        (&["ike", "00112"], "an odd number of digits: 5"),
        (&["ike", "--ike-keys", &esp_sa, &wan], "which is for `ipsec-lab open --esp-keys`"),
        (&["ike", "--shared-secret", "xyz", &wan], "--shared-secret: not hexadecimal"),
        (&["open", "--esp-keys", &path("ike.keys"), &wan], "which is for `ipsec-lab ike --ike-keys`"),
        (&["open", "--esp-keys", &path("short.esp_sa"), &wan], "encryption key: got 15 octets, expected 16"),
        (&["open", &wan], "--esp-keys"),
        (&["seal", "--config", &conf, &wan, &wan], "the output would overwrite this input"),
        (&["vpn", "--suite", "aes128-hmac-sha1"], "did you mean aes128-sha1?"),
        (&["vpn", "--suite", "aes128"], "encryption without integrity: add one, as in aes128-sha1"),
        (&["negotiate", "--ike", "aes128-sha1-group2"], "did you mean aes128-sha1-modp1024?"),
        (&["check", &wan], "expected a configuration, found a capture"),
        (&["convert", "--to", "setkye", &conf], "'setkey'"),
        (&["conform", &wan], "found a capture"),
        (&["opne"], "'open'"),
    ];
    for (args, hint) in mistakes {
        let ran = lab(args);
        assert_eq!(ran.status.code(), Some(2), "{args:?}: {}", text(&ran));
        assert!(text(&ran).contains(hint), "{args:?}: {hint} in {}", text(&ran));
        assert!(!text(&ran).contains("0b0c0d"), "{args:?} prints a key");
    }
}

/// The reader closes the pipe after the first octet. Without it, `println!` would panic with status 101.
#[test]
fn closed_pipes_end_every_command_quietly() {
    let path = run("pipes");
    let many: String =
        (0..2000).map(|n| format!("spdadd 10.0.{}.{} 10.1.0.0/16 any -P out none;\n", n / 256, n % 256)).collect();
    fs::write(path("many.conf"), many).expect("a file");
    let failing = "{\"type\":\"isakmp-bytes\",\"id\":\"x\",\"hex\":\"00\",\"expected\":\"accept\"}\n".repeat(5000);
    fs::write(path("failing.jsonl"), failing).expect("a file");
    let (wan, esp_sa, conf, out) = (path("wan.pcap"), path("esp_sa"), path("many.conf"), path("out"));
    let negotiated = path("negotiated");
    assert!(lab(&["negotiate", "--out", &negotiated]).status.success());
    let wire = path("negotiated/wire.pcap");
    let commands: &[&[&str]] = &[
        &["dump", "--config", &conf],
        &["check", &conf],
        &["convert", "--to", "setkey", &conf],
        &["conform", &path("failing.jsonl")],
        &["conform", "--schema"],
        &["ike", &wire],
        &["ike", "--json", &wire],
        &["open", "-v", "--esp-keys", &esp_sa, &wan],
        &["open", "--esp-keys", &esp_sa, &wan, "-"],
        &["seal", "--esp-keys", &esp_sa, &wan, "-"],
        &["vpn", "--out", &out],
        &["negotiate", "--out", &negotiated],
        &["suites"],
        &["completions", "bash"],
        &["man", "open"],
    ];
    for args in commands {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"))
            .args(*args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool runs");
        let mut first = [0];
        let mut stdout = child.stdout.take().expect("a pipe");
        let _ = stdout.read(&mut first);
        drop(stdout);
        let output = child.wait_with_output().expect("output");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{args:?}: {:?} {said}", output.status);
        assert!(!said.contains("panicked") && !said.contains("roken pipe"), "{args:?}: {said}");
    }
}

#[test]
fn output_of_closed_streams_does_not_lose_the_files() {
    let path = run("files");
    let out = path("out.pcap");
    let mut child = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"))
        .args(["open", "-v", "--esp-keys", &path("esp_sa"), &path("wan.pcap"), &out])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the tool runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("a status").code(), Some(0));
    assert_eq!(fs::read(&out).expect("a capture"), fs::read(path("lan-a.pcap")).expect("a capture"));
}

#[test]
fn help_documents_the_exit_status_of_every_command() {
    let help = text(&lab(&["--help"]));
    assert!(help.contains("Exit status:") && help.contains("ipsec-lab suites"), "{help}");
    for command in ["vpn", "seal", "open", "dump", "ping", "negotiate", "check", "convert", "ike", "conform", "suites"]
    {
        let help = text(&lab(&[command, "--help"]));
        assert!(help.to_lowercase().contains("exit status"), "{command}: {help}");
    }
    for command in ["vpn", "negotiate"] {
        let help = text(&lab(&[command, "--help"]));
        for name in ["aes192ctr", "aes256ccm12", "chacha20poly1305", "sha256_96", "ripemd160"] {
            assert!(help.contains(name), "{command}: {name} in {help}");
        }
    }
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = lab(&["completions", shell]);
        assert!(ran.status.success() && text(&ran).contains("esp-keys"), "{shell}");
    }
    let folder = folder("man");
    let ran = lab(&["man", "--out", folder.to_str().expect("a path")]);
    assert!(ran.status.success(), "{}", text(&ran));
    for name in ["ipsec-lab", "ipsec-lab-open", "ipsec-lab-vpn", "ipsec-lab-conform"] {
        let page = fs::read_to_string(folder.join(format!("{name}.1"))).expect("a page");
        assert!(page.contains(".TH") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let page = text(&lab(&["man", "open"]));
    assert!(page.contains("esp\\-keys") && page.contains("xit status"), "{page}");
    assert_eq!(lab(&["man", "absent"]).status.code(), Some(2));
}

#[test]
fn names_of_files_and_records_are_escaped() {
    let folder = folder("escaped");
    let file = folder.join("records.jsonl");
    fs::write(
        &file,
        "{\"type\":\"isakmp-bytes\",\"id\":\"a\\u001b[2Jb\\u202e\",\"hex\":\"00\",\"expected\":\"accept\"}\n",
    )
    .expect("a file");
    let said = text(&lab(&["conform", file.to_str().expect("a path")]));
    assert!(said.contains("a\\u{1b}[2Jb\\u{202e}"), "{said}");
    let said = text(&lab(&["ike", "absent\u{1b}[2J"]));
    assert!(said.contains("absent\\u{1b}[2J"), "{said}");
}

#[test]
fn records_name_the_field_that_is_wrong_and_the_reason_that_differs() {
    let file = folder("records").join("records.jsonl");
    let path = file.to_str().expect("a path").to_owned();
    let record =
        |hex: &str, rest: &str| format!("{{\"type\":\"isakmp-bytes\",\"id\":\"x\",\"hex\":\"{hex}\",{rest}}}\n");
    for (line, status, expected) in [
        (record("00", "\"expected\":{\"reject\":\"too short\"}"), 1, "expected reject: too short, got reject: "),
        (record("00", "\"expected\":\"reject\""), 0, "1 passed, 0 failed"),
        (record("00", "\"expcted\":\"reject\""), 1, "field \"expcted\": unknown field, did you mean \"expected\"?"),
        (
            record("0", "\"expected\":\"reject\""),
            1,
            "field \"hex\": got the text \"0\", expected octets in hexadecimal",
        ),
        ("{\"type\":\"riddle\"}\n".to_owned(), 1, "records.jsonl:1 : expected a record of riddle"),
    ] {
        fs::write(&file, &line).expect("a file");
        let ran = lab(&["conform", &path]);
        assert_eq!(ran.status.code(), Some(status), "{line}: {}", text(&ran));
        assert!(text(&ran).contains(expected), "{expected} in {}", text(&ran));
    }
    let schema: serde_json::Value = serde_json::from_slice(&lab(&["conform", "--schema"]).stdout).expect("JSON");
    assert!(schema["oneOf"].as_array().expect("types").len() >= 10);
}
