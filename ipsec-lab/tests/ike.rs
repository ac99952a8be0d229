//! The command `ike` on captures made of recorded exchanges.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use test_vectors::{FlowRecord, Phase1Record, Record, read_file, to_hex};

/// The recorded exchanges, each with the secrets of its phase 1.
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

/// A capture of raw IPv4 with the messages of an exchange between 192.0.2.1 and 192.0.2.2, on port 500, then on 4500.
fn capture(flow: &FlowRecord, path: &Path) {
    write_capture(&messages(flow), path);
}

/// The messages of an exchange, and whether they come from its initiator.
fn messages(flow: &FlowRecord) -> Vec<(bool, Vec<u8>)> {
    flow.messages.iter().map(|m| (m.from_.as_deref() == Some("initiator"), m.wire.to_vec())).collect()
}

fn write_capture(messages: &[(bool, Vec<u8>)], path: &Path) {
    let mut bytes =
        [0xa1b2_c3d4u32.to_le_bytes(), [2, 0, 4, 0], [0; 4], [0; 4], 65535u32.to_le_bytes(), 101u32.to_le_bytes()]
            .concat();
    for (index, (from_initiator, message)) in messages.iter().enumerate() {
        let port: u16 = if index < 2 { 500 } else { 4500 };
        let payload = if index < 2 { message.clone() } else { [&[0; 4][..], message].concat() };
        let udp = u16::try_from(8 + payload.len()).unwrap();
        let mut packet = vec![0x45, 0];
        packet.extend((20 + udp).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, if *from_initiator { 1 } else { 2 }]);
        packet.extend([192, 0, 2, if *from_initiator { 2 } else { 1 }]);
        packet.extend([port, port, udp, 0].iter().flat_map(|n| n.to_be_bytes()));
        packet.extend(payload);
        let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
        bytes.extend([[0; 4], [0; 4], length, length].concat());
        bytes.extend(packet);
    }
    fs::write(path, bytes).unwrap();
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
            format!("uat:ikev1_decryption_table:{},{}\nuat:esp_sa:\"IPv4\"\n", to_hex(cookie), to_hex(key))
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
        assert_eq!(message["not_decrypted"], "no key given");
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
        (Some("truncated message: header declares 200 octets"), Some(24))
    );
    assert!(!ike(&[&first[..80]]).status.success());
    assert!(!ike(&["neither"]).status.success());
}

/// The options that open everything of an exchange.
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

/// A message with one fragment, the last, that holds `data`.
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
