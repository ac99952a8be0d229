//! The command `ike` on captures made of recorded exchanges.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use test_vectors::support::{self, udp};
use test_vectors::{FlowRecord, Phase1Record, Record, read_file, to_hex};

/// Returns the recorded exchanges, each with the secrets of its phase 1.
fn exchanges() -> Vec<(FlowRecord, Phase1Record)> {
    let records = || read_file(&test_vectors::data().join("ike/strongswan.jsonl")).unwrap().into_iter();
    let phases = records().filter_map(|l| match l.record {
        Record::Phase1(record) => Some(*record),
        _ => None,
    });
    let flows = records().filter_map(|l| match l.record {
        Record::Flow(record) => Some(*record),
        _ => None,
    });
    let phases: Vec<_> = phases.collect();
    flows
        .map(|flow| {
            let phase =
                phases.iter().find(|phase| flow.messages[1].wire[..16] == [&phase.cky_i[..], &phase.cky_r].concat());
            (flow.clone(), phase.unwrap().clone())
        })
        .collect()
}

/// Writes a capture of raw IPv4 with the messages of an exchange between 192.0.2.1 and 192.0.2.2, on port 500, then on
/// 4500.
fn capture(flow: &FlowRecord, path: &Path) {
    write_capture(&messages(flow), path);
}

/// Returns the messages of an exchange, and whether they come from its initiator.
fn messages(flow: &FlowRecord) -> Vec<(bool, Vec<u8>)> {
    flow.messages.iter().map(|m| (m.from_.as_deref() == Some("initiator"), m.wire.to_vec())).collect()
}

fn write_capture(messages: &[(bool, Vec<u8>)], path: &Path) {
    let ends = |_, from_initiator| {
        if from_initiator { ([192, 0, 2, 1], [192, 0, 2, 2]) } else { ([192, 0, 2, 2], [192, 0, 2, 1]) }
    };
    write_capture_between(messages, ends, path);
}

/// Writes a capture whose messages, by index and whether the initiator sends them, have these addresses.
fn write_capture_between(messages: &[(bool, Vec<u8>)], ends: impl Fn(usize, bool) -> ([u8; 4], [u8; 4]), path: &Path) {
    let packets = messages.iter().enumerate().map(|(index, (from_initiator, message))| {
        let port: u16 = if index < 2 { 500 } else { 4500 };
        let udp = if index < 2 { udp(port, port, message) } else { udp(port, port, &[&[0; 4][..], message].concat()) };
        let mut packet = vec![0x45, 0];
        packet.extend(u16::try_from(20 + udp.len()).unwrap().to_be_bytes());
        let (source, destination) = ends(index, *from_initiator);
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend([source, destination].concat());
        packet.extend(udp);
        packet
    });
    support::write_capture(path, 0, packets);
}

fn ike(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ipsec-lab")).arg("ike").args(arguments).output().unwrap()
}

fn json(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ike");
    fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

#[test]
fn secrets_of_a_peer_decrypt_all_messages_and_verify_all_hashes() {
    for (number, (flow, phase)) in exchanges().into_iter().enumerate() {
        let (path, table) = (scratch(&format!("all-{number}.pcap")), scratch(&format!("all-{number}.keys")));
        capture(&flow, &path);
        let psk = format!("0x{}", to_hex(&phase.psk));
        let shared = to_hex(phase.g_xy.as_ref().unwrap());
        let (path, table) = (path.to_str().unwrap(), table.to_str().unwrap());
        let output = ike(&[path, "--json", "--psk", &psk, "--shared-secret", &shared, "--write-ike-keys", table]);
        assert!(output.status.success(), "{}", flow.id);
        let messages = json(&output);
        assert_eq!(messages.len(), flow.messages.len());
        for (found, recorded) in messages.iter().zip(&flow.messages) {
            let encrypted = recorded.plaintext.is_some();
            assert_eq!(found["encrypted"], encrypted);
            assert_eq!(found["hash_is_good"].as_bool(), encrypted.then_some(true), "{}", flow.id);
            assert_eq!(found["decrypted"].is_object(), encrypted);
        }
        assert_eq!(fs::read_to_string(table).unwrap(), format!("{},{}\n", to_hex(&phase.cky_i), to_hex(&flow.ka)));
    }
}

#[test]
fn recorded_conversations_are_decrypted_and_verified() {
    let records = read_file(&test_vectors::data().join("ike/recorded.jsonl")).unwrap();
    assert_eq!(records.len(), 41);
    for located in records {
        let Record::Conversation(record) = located.record else { panic!("{}", located.record.kind()) };
        let (path, preferences) = (scratch(&format!("{}.pcap", record.id)), scratch(&format!("{}.uat", record.id)));
        let all: Vec<_> = record.messages.iter().map(|m| (m.from_ == "initiator", m.wire.to_vec())).collect();
        write_capture(&all, &path);
        let rows = record.ka.iter().map(|(cookie, key)| {
            let (cookie, key) = (to_hex(cookie), to_hex(key));
            format!("uat:esp_sa:\"IPv4\"\n-o 'uat:ikev1_decryption_table:\"{cookie}\",\"{key}\"'\nisakmp.x: TRUE\n")
        });
        fs::write(&preferences, rows.collect::<String>()).unwrap();
        let mut arguments = vec![path.to_str().unwrap().to_owned(), "--json".to_owned()];
        arguments.extend(record.psk.iter().flat_map(|psk| ["--psk".to_owned(), format!("0x{}", to_hex(psk))]));
        arguments.extend(record.shared.iter().flat_map(|shared| ["--shared-secret".to_owned(), to_hex(shared)]));
        arguments.extend(["--ike-keys".to_owned(), preferences.to_str().unwrap().to_owned()]);
        let output = ike(&arguments.iter().map(|argument| &**argument).collect::<Vec<_>>());
        assert!(output.status.success(), "{}", record.id);
        let messages = json(&output);
        assert_eq!(messages.len(), record.messages.len());
        for (found, recorded) in messages.iter().zip(&record.messages) {
            let at = format!("{} message {}", record.id, found["frame"]);
            assert_eq!(found["decrypted"].is_object(), found["encrypted"] == true, "{at}");
            let good = recorded.hash.as_deref().and_then(|hash| (hash == "good").then_some(true));
            assert_eq!(found["hash_is_good"].as_bool(), good, "{at}");
            assert_eq!(found["hash_not_verified"].is_string(), recorded.hash.is_some() && good.is_none(), "{at}");
            assert_eq!(found["signed_value"].as_str(), recorded.signed.as_deref().map(to_hex).as_deref(), "{at}");
        }
    }
}

#[test]
fn key_table_decrypts_all_messages_without_verifying_hashes() {
    for (number, (flow, phase)) in exchanges().into_iter().enumerate() {
        let (path, table) = (scratch(&format!("table-{number}.pcap")), scratch(&format!("table-{number}.keys")));
        capture(&flow, &path);
        fs::write(&table, format!("# a comment\n\"{}\",\"{}\"\n", to_hex(&phase.cky_i), to_hex(&flow.ka))).unwrap();
        let output = ike(&[path.to_str().unwrap(), "--json", "--ike-keys", table.to_str().unwrap()]);
        assert!(output.status.success());
        let messages = json(&output);
        assert!(messages.iter().all(|m| m["hash_is_good"].is_null()));
        let opened = messages.iter().filter(|m| m["decrypted"].is_object()).count();
        assert_eq!(opened, flow.messages.iter().filter(|m| m.plaintext.is_some()).count());
    }
}

#[test]
fn wrong_or_missing_keys_are_reported() {
    let (flow, phase) = exchanges().remove(0);
    let path = scratch("closed.pcap");
    capture(&flow, &path);
    let path = path.to_str().unwrap();
    for message in json(&ike(&[path, "--json"])).iter().filter(|m| m["encrypted"] == true) {
        assert_eq!(message["not_decrypted"], "encryption key is not known");
    }
    let shared = to_hex(phase.g_xy.as_ref().unwrap());
    let wrong = json(&ike(&[path, "--json", "--psk", "not the key", "--shared-secret", &shared]));
    assert!(wrong.iter().all(|m| m["hash_is_good"] != true));
    assert!(wrong.iter().any(|m| m["not_decrypted"].is_string()));
}

#[test]
fn hexadecimal_message_is_decoded_or_reported_with_its_offset() {
    let (flow, _) = exchanges().remove(0);
    let first = to_hex(&flow.messages[0].wire);
    let output = ike(&[&first]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for part in ["identity protection (main mode)", "encryption algorithm", "AES-CBC", "vendor=XAUTH"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let cut = json(&ike(&[&first[..80], "--json"]));
    assert_eq!(
        (cut[0]["error"].as_str(), cut[0]["offset"].as_u64()),
        (Some("truncated message: got 40 octets, header declares 200"), Some(24))
    );
    assert!(!ike(&[&first[..80]]).status.success());
    assert!(!ike(&["neither"]).status.success());
}

/// Returns the options with the secrets that decrypt and verify every message of an exchange.
fn secrets(phase: &Phase1Record) -> [String; 4] {
    let (psk, shared) = (to_hex(&phase.psk), to_hex(phase.g_xy.as_ref().unwrap()));
    ["--psk".to_owned(), format!("0x{psk}"), "--shared-secret".to_owned(), shared]
}

#[test]
fn retransmissions_are_decrypted_in_any_order() {
    let (flow, phase) = exchanges().remove(1);
    let once = messages(&flow);
    let again: Vec<_> = once.iter().chain(&once[4..]).cloned().collect();
    let path = scratch("again.pcap");
    write_capture(&again, &path);
    let secrets = secrets(&phase);
    let arguments: Vec<&str> =
        [path.to_str().unwrap(), "--json"].into_iter().chain(secrets.iter().map(|s| &**s)).collect();
    let output = ike(&arguments);
    assert!(output.status.success());
    let found = json(&output);
    assert_eq!(found.len(), again.len());
    assert!(found[4..].iter().all(|m| m["hash_is_good"] == true));
}

#[test]
fn forged_messages_do_not_advance_the_iv_chain() {
    let (flow, phase) = exchanges().remove(1);
    let secrets = secrets(&phase);
    for genuine in 4..flow.messages.len() {
        let mut all = messages(&flow);
        let mut forged = all[genuine].clone();
        let in_the_hash = forged.1.len().min(28 + 20);
        forged.1[in_the_hash - 1] ^= 1;
        all.insert(genuine, forged);
        let path = scratch(&format!("forged-{genuine}.pcap"));
        write_capture(&all, &path);
        let arguments: Vec<&str> =
            [path.to_str().unwrap(), "--json"].into_iter().chain(secrets.iter().map(|s| &**s)).collect();
        let output = ike(&arguments);
        assert!(!output.status.success());
        for (index, message) in json(&output).iter().enumerate().skip(4) {
            assert_eq!(message["hash_is_good"] == true, index != genuine, "{genuine}: {index}");
        }
    }
}

#[test]
fn keys_without_a_decrypted_message_are_not_written() {
    let (flow, phase) = exchanges().remove(0);
    let (path, table, written) = (scratch("zero.pcap"), scratch("zero.keys"), scratch("zero.written"));
    capture(&flow, &path);
    fs::write(&table, format!("{},{}\n", to_hex(&phase.cky_i), "00".repeat(flow.ka.len()))).unwrap();
    let paths = [&path, &table, &written].map(|p| p.to_str().unwrap());
    let output = ike(&[paths[0], "--json", "--ike-keys", paths[1], "--write-ike-keys", paths[2]]);
    assert!(!output.status.success());
    assert_eq!(fs::read_to_string(&written).unwrap(), "");
}

/// Returns a message with one fragment, the last, that contains `data`.
fn fragment(data: &[u8], id: u16, number: u8, last: bool) -> Vec<u8> {
    let mut message = [vec![1; 8], vec![2; 8], vec![132, 0x10, 2, 0, 0, 0, 0, 0]].concat();
    message.extend(u32::try_from(36 + data.len()).unwrap().to_be_bytes());
    message.extend([0, 0]);
    message.extend(u16::try_from(8 + data.len()).unwrap().to_be_bytes());
    message.extend(id.to_be_bytes());
    message.extend([number, u8::from(last)]);
    message.extend(data);
    message
}

#[test]
fn fragments_are_reassembled_once() {
    let (flow, _) = exchanges().remove(0);
    let whole = flow.messages[0].wire.to_vec();
    let pieces: Vec<_> = whole.chunks(80).collect();
    let all: Vec<_> =
        (1u8..).zip(&pieces).map(|(n, p)| (true, fragment(p, 1, n, usize::from(n) == pieces.len()))).collect();
    // The same ID is used for another message after that.
    let twice: Vec<_> = all.iter().chain(all.iter().take(1)).chain(&all).cloned().collect();
    let path = scratch("fragments.pcap");
    write_capture(&twice, &path);
    let found = json(&ike(&[path.to_str().unwrap(), "--json"]));
    assert!(found[pieces.len() - 1]["reassembled"]["contains"].is_array());
    let mut nested = whole;
    for _ in 0..1000 {
        nested = fragment(&nested, 1, 1, true);
    }
    write_capture(&[(true, nested)], &path);
    let output = ike(&[path.to_str().unwrap(), "--json"]);
    assert!(output.status.success());
    assert!(json(&output)[0]["reassembled"].is_object());
}

/// Runs the tool with the secrets of an exchange.
fn with_secrets(path: &Path, phase: &Phase1Record, more: &[&str]) -> Output {
    let secrets = secrets(phase);
    let arguments: Vec<&str> =
        [path.to_str().unwrap(), "--json"].into_iter().chain(secrets.iter().map(|s| &**s)).collect();
    ike(&[&arguments[..], more].concat())
}

#[test]
fn initiator_and_responder_are_identified_by_cookies_and_order_if_addresses_change_or_are_equal() {
    const A: [u8; 4] = [192, 0, 2, 1];
    const B: [u8; 4] = [198, 51, 100, 1];
    const MOVED: [u8; 4] = [203, 0, 113, 77];
    type Ends = fn(usize, bool) -> ([u8; 4], [u8; 4]);
    let cases: &[(&str, Ends)] = &[
        ("initiator-moves", |index, forth| {
            let initiator = if index < 4 { A } else { MOVED };
            if forth { (initiator, B) } else { (B, initiator) }
        }),
        ("responder-moves", |index, forth| {
            let responder = if index < 3 { B } else { MOVED };
            if forth { (A, responder) } else { (responder, A) }
        }),
        ("both-move", |index, forth| match (index < 4, forth) {
            (true, true) => (A, B),
            (true, false) => (B, A),
            (false, true) => (MOVED, [203, 0, 113, 78]),
            (false, false) => ([203, 0, 113, 78], MOVED),
        }),
        ("loopback", |_, _| ([127, 0, 0, 1], [127, 0, 0, 1])),
        ("one direction mapped", |_, forth| if forth { (A, B) } else { (B, MOVED) }),
    ];
    for (number, (flow, phase)) in exchanges().into_iter().enumerate() {
        for (name, ends) in cases {
            let path = scratch(&format!("{name}-{number}.pcap"));
            write_capture_between(&messages(&flow), ends, &path);
            let output = with_secrets(&path, &phase, &[]);
            for (found, recorded) in json(&output).iter().zip(&flow.messages) {
                let encrypted = recorded.plaintext.is_some();
                assert_eq!(found["hash_is_good"].as_bool(), encrypted.then_some(true), "{name} {}", flow.id);
                if recorded.wire[20..24] == [0; 4] {
                    assert_eq!(found["sender"].as_str(), recorded.from_.as_deref(), "{name} {}", flow.id);
                }
            }
            assert!(output.status.success());
        }
    }
}

/// Adds attributes to the last transform of the SA payload with which a message begins.
fn with_attributes(message: &[u8], attributes: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let end = 28 + usize::from(u16::from_be_bytes([message[30], message[31]]));
    message.splice(end..end, attributes.iter().copied());
    // Message, SA payload, proposal and transform become longer.
    for at in [26, 30, 42, 50] {
        let length = u16::from_be_bytes([message[at], message[at + 1]]) + u16::try_from(attributes.len()).unwrap();
        message[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    message
}

#[test]
fn keys_are_derived_for_transforms_with_unusual_attributes() {
    let cases: &[(&str, &[u8])] = &[
        ("private attribute", &[0xfd, 0x89, 0, 1]),
        ("duration without type", &[0x80, 12, 0x0e, 0x10]),
        ("type without duration", &[0x80, 11, 0, 2]),
        ("two durations", &[0, 12, 0, 4, 0, 1, 0x51, 0x80, 0x80, 11, 0, 1, 0x80, 12, 0, 9]),
        ("attribute twice", &[0x80, 2, 0, 2]),
        ("number of a PRF", &[0x80, 13, 0, 1]),
        ("key length of a cipher with one length", &[0x80, 14, 0, 192]),
    ];
    let mut tested = 0;
    for (number, (flow, phase)) in exchanges().into_iter().enumerate() {
        // HASH_I and HASH_R cover the SA payload of the initiator only.
        let is_plain = |wire: &[u8]| {
            wire[16] == 1 && u16::from_be_bytes([wire[42], wire[43]]) + 12 == u16::from_be_bytes([wire[30], wire[31]])
        };
        if flow.messages[1].wire[18] != 2 || !is_plain(&flow.messages[1].wire) {
            continue;
        }
        for (name, attributes) in cases {
            let mut all = messages(&flow);
            all[1].1 = with_attributes(&all[1].1, attributes);
            let path = scratch(&format!("agreed-{number}.pcap"));
            write_capture(&all, &path);
            let output = with_secrets(&path, &phase, &[]);
            assert!(output.status.success(), "{name} {}", flow.id);
            let found = json(&output);
            assert!(found.iter().all(|m| m["encrypted"] != true || m["hash_is_good"] == true), "{name} {}", flow.id);
            tested += 1;
        }
    }
    assert!(tested > 20, "{tested}");
}

#[test]
fn exit_status_is_1_with_the_reason_if_a_key_does_not_decrypt() {
    let (flow, phase) = exchanges().remove(0);
    let (path, table) = (scratch("reason.pcap"), scratch("reason.keys"));
    fs::write(&table, format!("{},{}\n", to_hex(&phase.cky_i), to_hex(&flow.ka))).unwrap();
    let keys = ["--json", "--ike-keys", table.to_str().unwrap()];
    let run = |all: &[(bool, Vec<u8>)], options: &[&str]| {
        write_capture(all, &path);
        let output = ike(&[&[path.to_str().unwrap()], options].concat());
        let reasons = json(&output).iter().find_map(|m| m["not_decrypted"].as_str().map(ToOwned::to_owned));
        (reasons, output.status.code())
    };
    let reason = |text: &str, status| (Some(text.to_owned()), Some(status));
    let all = messages(&flow);
    // The capture begins after the SA was agreed on.
    assert_eq!(run(&all[2..], &keys), reason("algorithms of phase 1 are not known", 1));
    let without_public_values = [&all[..2], &all[4..]].concat();
    assert_eq!(run(&without_public_values, &keys), reason("public values of phase 1 are not known", 1));
    // A cipher that is not implemented: IDEA (2).
    let mut idea = all.clone();
    let at = idea[1].1.windows(4).position(|octets| octets[..3] == [0x80, 1, 0]).unwrap();
    idea[1].1[at + 3] = 2;
    let (why, status) = run(&idea, &keys);
    assert!(why.unwrap().contains("IDEA"), "the cipher is named");
    assert_eq!(status, Some(1));
    // Without a key, encrypted messages are not a failure; with one of another SA, they are.
    assert_eq!(run(&idea, &["--json"]), reason("encryption key is not known", 0));
    let other = scratch("other.keys");
    for text in ["0011223344556677,00112233445566778899aabbccddeeff\n", "\n", ""] {
        fs::write(&other, text).unwrap();
        let keys = ["--json", "--ike-keys", other.to_str().unwrap()];
        assert_eq!(run(&all, &keys), reason("encryption key is not known", 1), "{text}");
        assert_eq!(run(&all[..2], &keys), (None, Some(0)), "{text}");
    }
    // The shared secret alone is not sufficient where a pre-shared key authenticates the peers.
    let shared = to_hex(phase.g_xy.as_ref().unwrap());
    let expected = reason("encryption key cannot be derived: pre-shared key is not known", 1);
    assert_eq!(run(&all, &["--json", "--shared-secret", &shared]), expected);
    assert_eq!(run(&all, &keys), (None, Some(0)));
}

#[test]
fn filters_select_messages_that_are_decrypted_with_the_others() {
    let (flow, phase) = exchanges().remove(0);
    let path = scratch("filter.pcap");
    capture(&flow, &path);
    let frames = |filters: &[&str]| {
        let options: Vec<_> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
        let output = with_secrets(&path, &phase, &options);
        let found = json(&output);
        assert_eq!(output.status.success(), !found.is_empty());
        found.iter().map(|m| (m["frame"].as_u64().unwrap(), m["hash_is_good"] == true)).collect::<Vec<_>>()
    };
    let count = flow.messages.len();
    assert_eq!(frames(&[]).len(), count);
    assert_eq!(frames(&["frame=5"]), [(5, true)]);
    assert_eq!(frames(&["frame=4-5"]), [(4, false), (5, true)]);
    assert_eq!(frames(&["port=500"]).len(), 2);
    assert_eq!(frames(&["port=4500", "frame=1-3"]).len(), 1);
    assert_eq!(frames(&["host=192.0.2.1"]).len(), count);
    assert!(frames(&["host=192.0.2.9"]).is_empty());
    assert_eq!(frames(&[&format!("cookie={}", to_hex(&phase.cky_i))]).len(), count);
    assert_eq!(frames(&[&format!("cookie={}", to_hex(&phase.cky_r))]).len(), count - 1);
    assert!(frames(&["exchange=quick"]).iter().all(|(_, is_good)| *is_good));
    let by_exchange = ["main", "quick", "informational"].map(|name| frames(&[&format!("exchange={name}")]).len());
    assert_eq!(by_exchange.iter().sum::<usize>(), count);
    assert_eq!(frames(&["message-id=0"]).len(), frames(&["exchange=2"]).len());
    for wrong in ["host", "host=here", "port=70000", "cookie=00", "frame=a", "exchange=mine", "message-id=x", "a=b"] {
        assert_eq!(ike(&[path.to_str().unwrap(), "--filter", wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn summary_says_which_secret_is_missing() {
    let (flow, _) = exchanges().remove(0);
    let path = scratch("hint.pcap");
    capture(&flow, &path);
    for (options, text) in [
        (&[][..], "give their keys with `--ike-keys`, or g^xy with `--shared-secret`"),
        (&["--psk", "a"], "a pre-shared key alone decrypts no message: give g^xy with `--shared-secret` as well"),
        (&["--shared-secret", "00"], "no encrypted message was decrypted: the reasons are with the messages"),
    ] {
        let output = ike(&[&[path.to_str().unwrap()], options].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(text), "{said}");
    }
    let output = ike(&[path.to_str().unwrap(), "--filter", "frame=900"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no IKE message that --filter selects"));
}

#[test]
fn summary_counts_messages_and_results() {
    let (flow, phase) = exchanges().remove(0);
    let path = scratch("summary.pcap");
    capture(&flow, &path);
    let secrets = secrets(&phase);
    let arguments: Vec<_> = [path.to_str().unwrap()].into_iter().chain(secrets.iter().map(|s| &**s)).collect();
    let text = String::from_utf8(ike(&arguments).stdout).unwrap();
    let encrypted = flow.messages.iter().filter(|m| m.plaintext.is_some()).count();
    let expected = format!(
        "messages: {}, of 1 ISAKMP SAs; malformed: 0; encrypted: {encrypted}, decrypted: {encrypted}; hashes: \
         {encrypted} verified, 0 failed or missing, 0 not checked",
        flow.messages.len()
    );
    assert_eq!(text.lines().last(), Some(&*expected));
    assert!(text.starts_with("1: 0.000000 192.0.2.1[500] > 192.0.2.2[500]: ISAKMP"));
}
