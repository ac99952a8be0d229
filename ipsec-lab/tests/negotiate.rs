//! `ipsec-lab negotiate`, run as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_vectors::support::packets_of_capture;

/// Runs the command and returns whether it succeeded, its output and the output directory.
fn negotiate(name: &str, args: &[&str]) -> (bool, String, PathBuf) {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("negotiate-{name}"));
    let ran = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"))
        .args(["negotiate", "--out"])
        .arg(&out)
        .args(args)
        .output()
        .expect("the tool runs");
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    (ran.status.success(), String::from_utf8(ran.stdout).expect("text"), out)
}

#[test]
fn pings_are_answered_over_negotiated_suites() {
    let variants: &[(&str, &[&str])] = &[
        ("default", &[]),
        ("windows", &["--ike", "3des-md5-modp1024", "--suite", "3des-md5", "--transport"]),
        ("curve", &["--ike", "aes256-sha384-ecp384", "--suite", "aes256gcm16"]),
        ("des", &["--ike", "des-md5-modp768", "--suite", "des-md5"]),
        ("blowfish", &["--ike", "blowfish128-sha1-modp1536", "--suite", "blowfish448-sha512"]),
        ("cast", &["--ike", "cast128-sha1-modp1024", "--suite", "cast128-ripemd160"]),
    ];
    for (name, args) in variants {
        let (succeeded, text, out) = negotiate(name, &[&["--seed", "3"], *args].concat());
        assert!(succeeded, "{name}: {text}");
        for line in ["ping 192", "198.51.100.1"] {
            assert!(text.contains(line), "{name}: {text}");
        }
        assert_eq!(text.matches(": 3 sent, 3 answered").count(), 2, "{name}: {text}");
        assert_eq!(text.matches("state=mature").count(), 4, "{name}: {text}");
        // Nine messages, and a request and a reply for each ping.
        assert_eq!(packets_of_capture(&out.join("wire.pcap")).len(), 9 + 2 * 6, "{name}");
        assert_eq!(fs::read_to_string(out.join("ikev1_decryption_table")).unwrap().lines().count(), 1);
        assert_eq!(fs::read_to_string(out.join("esp_sa")).unwrap().lines().count(), 2);
    }
}

#[test]
fn messages_are_printed_with_their_payloads() {
    let (_, text, _) = negotiate("text", &["--seed", "4"]);
    let expected = [
        "192.0.2.1.500 > 198.51.100.1.500: isakmp 1.0 msgid 00000000: phase 1 I ident:",
        "(t: #1 id=ike (type=enc value=aes)(type=keylen value=0080)(type=hash value=sha1)(type=auth value=preshared)",
        "(ke: key len=128)",
        "phase 1 R ident[E]: decrypted",
        "(id: idtype=IPv4 protoid=0 port=0 len=4 198.51.100.1)",
        "phase 2/others I oakley-quick[E]: decrypted",
        "(id: idtype=IPv4net protoid=0 port=0 len=8 192.168.2.0/255.255.255.0)",
        "is established as responder",
    ];
    for line in expected {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn negotiation_over_a_lossy_network_succeeds_or_names_the_reason() {
    let mut agreed = 0;
    for seed in 0..12 {
        let (succeeded, text, _) = negotiate("loss", &["--loss", "30", "--seed", &seed.to_string()]);
        agreed += usize::from(succeeded);
        assert!(succeeded || text.contains(" failed: no answer after sending 6 times"), "seed {seed}: {text}");
    }
    assert!(agreed >= 10, "{agreed} of 12");
}

#[test]
fn negotiation_with_different_keys_fails_with_the_reason() {
    let (succeeded, text, _) = negotiate("key", &["--wrong-key", "--seed", "5"]);
    assert!(!succeeded);
    assert!(text.contains("the pre-shared keys probably differ"), "{text}");
    assert_eq!(text.matches("No SAD entries.").count(), 2, "{text}");
}

#[test]
fn the_same_seed_gives_the_same_negotiation() {
    let runs = [1, 2].map(|_| negotiate("seed", &["--loss", "20", "--seed", "9"]).1);
    assert_eq!(runs[0], runs[1]);
}
