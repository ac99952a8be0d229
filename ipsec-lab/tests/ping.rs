//! `ipsec-lab ping` between two addresses of the loopback interface, with one file for both hosts.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const CONFIG: &str = "\
add 127.0.0.3 127.0.0.4 esp 0x1001 -m transport -E aes-cbc 0x000102030405060708090a0b0c0d0e0f
    -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;
add 127.0.0.4 127.0.0.3 esp 0x1002 -m transport -E aes-cbc 0x000102030405060708090a0b0c0d0e0f
    -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111214;
spdadd 127.0.0.3 127.0.0.4 any -P out ipsec esp/transport//require;
spdadd 127.0.0.4 127.0.0.3 any -P in ipsec esp/transport//require;
";

/// Without the right to open raw sockets, the command says what to do.
#[cfg(target_os = "linux")]
#[test]
fn hosts_with_one_file_answer_each_other_in_the_time_of_the_network() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ping");
    fs::create_dir_all(&folder).expect("a folder");
    let config = folder.join("hosts.conf");
    fs::write(&config, CONFIG).expect("a file");
    let ping = |source: &str, address: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipsec-lab"));
        command.args(["ping", address, "--source", source, "--config"]).arg(&config).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool runs")
    };
    // The host that answers is there first and stays until the other one has ended.
    let answering = ping("127.0.0.4", "127.0.0.3", &["--mirror", "--count", "1", "--wait", "4000", "--answers", "5"]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let asking = ping("127.0.0.3", "127.0.0.4", &["--count", "5", "--interval", "50", "--answers", "0"]);
    let (asked, answered) = (asking.wait_with_output().expect("output"), answering.wait_with_output().expect("output"));
    let said = String::from_utf8_lossy(&asked.stdout).into_owned() + &String::from_utf8_lossy(&asked.stderr);
    if asked.status.code() == Some(2) {
        assert!(said.contains("raw sockets need root or CAP_NET_RAW: run the command with sudo"), "{said}");
        return;
    }
    let outside = ping("127.0.0.3", "127.0.0.9", &["--count", "1", "--wait", "0"]).wait_with_output().expect("output");
    assert_eq!(outside.status.code(), Some(1));
    let text = String::from_utf8_lossy(&outside.stdout);
    assert!(text.contains("icmp_seq=1: not sent: no PROTECT policy for its addresses"), "{text}");
    assert!(asked.status.success(), "{said}");
    assert!(said.contains("5 packets transmitted, 5 received, 0% packet loss"), "{said}");
    let times: Vec<f64> =
        said.lines().filter_map(|line| line.split("time=").nth(1)?.strip_suffix(" ms")?.parse().ok()).collect();
    // Sockets that are polled in turn would add more than 100 ms.
    assert!(times.len() == 5 && times.iter().any(|time| *time < 50.0), "{times:?}");
    assert!(String::from_utf8_lossy(&answered.stdout).contains("5 echo requests answered"), "{answered:?}");
}
