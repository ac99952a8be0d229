use ike_codec::Group;
use ipsec_crypto::{CipherAlgorithm, HashFunction};

use super::*;

/// Configuration with every statement.
const WHOLE: &str = r#"
policies "setkey.conf"; keys "psk.txt";
local 192.0.2.1; local 2001:db8::1[501];
wan wan0; tun ipsec0 mtu 1300 address 10.1.0.254/24 address fd00::1/64;
mark 0x20; table 77;
peer east address 198.51.100.1[501] {
    proposal aes128 sha1 modp2048 lifetime 600;
    proposal 3des md5 2;
    esp aes128-sha1 lifetime 300 kilobytes 4096;
    esp aes256gcm16;
    identity fqdn west.example.net;
    peers_identity address 198.51.100.1;
    check obey;
    dpd_delay 30; dpd_retry 3; dpd_maxfail 4;
}
peer road address any { proposal aes256 sha256 ecp256; esp null-sha1; }
"#;

#[test]
fn every_statement_is_parsed() {
    let config = parse(WHOLE).unwrap();
    assert_eq!(config.policies.to_str(), Some("setkey.conf"));
    assert_eq!(config.locals, ["192.0.2.1:500".parse().unwrap(), "[2001:db8::1]:501".parse().unwrap()]);
    assert_eq!((config.mark, config.table, config.wan.as_slice()), (32, 77, &["wan0".to_owned()][..]));
    assert_eq!((config.tun.mtu, config.tun.addresses.len()), (1300, 2));
    let [east, road] = config.peers.as_slice() else { panic!("two peers") };
    assert_eq!(east.address, Some("198.51.100.1:501".parse().unwrap()));
    assert_eq!(east.check, ProposalCheck::Obey);
    let lifetimes: Vec<_> = east.proposals.iter().map(|proposal| proposal.lifetimes.seconds).collect();
    assert_eq!(lifetimes, [Some(600), Some(28_800)]);
    let second = east.proposals[1];
    assert_eq!((second.cipher, second.hash), (CipherAlgorithm::TripleDesCbc, HashFunction::Md5));
    assert_eq!(second.group, Group::MODP_1024);
    let esp: Vec<_> = east.transforms.iter().map(|esp| (esp.lifetimes.seconds, esp.lifetimes.kilobytes)).collect();
    assert_eq!(esp, [(Some(300), Some(4096)), (Some(28800), None)]);
    assert_eq!(east.identity.as_ref().unwrap().to_string(), "west.example.net");
    assert_eq!(east.peers_identity.as_ref().unwrap().to_string(), "198.51.100.1");
    let detection =
        DeadPeerDetection { delay: Duration::from_secs(30), retry: Duration::from_secs(3), max_failures: 4 };
    assert_eq!(east.dead_peer_detection, detection);
    assert_eq!(road.dead_peer_detection, DeadPeerDetection::after(Duration::ZERO), "none");
    assert_eq!((road.address, road.check, &road.identity), (None, ProposalCheck::Strict, &None));
}

#[test]
fn errors_name_position_value_and_expectation() {
    let table = [
        ("locale 192.0.2.1;", "line 1, column 1: found `locale`, expected policies, keys, local,"),
        ("local 192.0.2;", "line 1, column 7: found `192.0.2`, expected an IP address"),
        ("local 192.0.2.1", "line 1, column 16: expected `;`"),
        ("local 192.0.2.1[0];", "line 1, column 17: found `0`, expected a port from 1 to 65535"),
        ("local 192.0.2.1;\nlocal 192.0.2.1;", "line 2, column 7: duplicate `192.0.2.1:500`"),
        ("keys \"a\"; keys \"b\";", "line 1, column 11: duplicate `keys`"),
        ("wan \"eth0\";", "line 1, column 5: found `eth0`, expected the name of an interface"),
        ("wan eth0{accept};", "line 1, column 9: found `{`, expected `;`"),
        ("tun ipsec0 address 10.1.0.1/8 mtu 100;", "line 1, column 35: found `100`, expected an MTU from 576 to 65535"),
        ("tun ipsec0 address 10.0.0.1;", "line 1, column 20: found `10.0.0.1`, expected an IP address with the length"),
        ("table 254;", "line 1, column 1: found `table`, expected a routing table without 253 to 255"),
        ("peer a address 192.0.2.2 proposal", "line 1, column 26: found `proposal`, expected `{`"),
        (
            "peer a address any { lifetime 3;",
            "line 1, column 22: found `lifetime`, expected proposal, esp, ah, ipcomp, identity,",
        ),
        ("peer a address any { proposal aes", "line 1, column 34: expected a hash algorithm"),
        ("peer a address any { proposal aes md4", "line 1, column 35: found `md4`, expected a hash algorithm"),
        ("peer a address any { proposal aes md5 3", "line 1, column 39: found `3`, expected a group: modp768"),
        ("peer a address any { ah sha3;", "line 1, column 25: found `sha3`, expected an integrity algorithm: md5,"),
        ("peer a address any { ipcomp lzs;", "line 1, column 29: found `lzs`, expected deflate"),
        ("peer a address any { esp aes128;", "line 1, column 26: found `aes128`, expected an ESP suite"),
        ("peer a address any { esp aes-md5; }", "line 1, column 35: statement `proposal` is missing"),
        (
            "peer a address any { check demand;",
            "line 1, column 28: found `demand`, expected obey, strict, claim or exact",
        ),
        ("peer a address any { dpd_maxfail 0;", "line 1, column 34: found `0`, expected a number from 1 to 255"),
        ("policies \"a\";", "line 1, column 14: statement `local` is missing"),
    ];
    for (text, message) in table {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
}

#[test]
fn two_peers_have_different_names_and_addresses() {
    let block = "{ proposal aes sha1 2; esp aes-sha1; }";
    let error = |second: &str| parse(&format!("peer a address 192.0.2.2 {block} {second} {block}")).unwrap_err();
    assert!(error("peer a address 192.0.2.3").to_string().ends_with("duplicate `a`"));
    let same = error("peer b address 192.0.2.2").to_string();
    assert!(same.ends_with("peer `b` has the address of peer `a`"), "{same}");
}

#[test]
fn every_truncation_is_refused_or_complete() {
    for length in 0..WHOLE.len() {
        if let Ok(config) = parse(&WHOLE[..length]) {
            // Only a text that ends behind a statement is complete.
            assert!(WHOLE[..length].trim_end().ends_with(['}', ';']), "{length}");
            assert!(config.peers.len() <= 2);
        }
    }
}
