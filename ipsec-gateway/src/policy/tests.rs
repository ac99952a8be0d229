use super::*;
use crate::config::tests::config;

const CONFIG: &str = r#"
    policies "p"; keys "k"; local 192.0.2.1; tun ipsec0;
    peer east address 198.51.100.1 { proposal aes sha1 2; esp aes128-sha1; esp 3des-md5; }
"#;
const ROAD: &str = "peer road address any { proposal aes sha1 2; esp null-sha1; }";

/// Returns the policies and warnings of a text.
fn loaded(gateway: &str, text: &str) -> Result<(Vec<KeyedPolicy>, Vec<String>), String> {
    apply(&config(gateway, text)?, &mut new_engine(), Instant::ZERO)
}

fn pair(from: &str, to: &str, template_out: &str, template_in: &str) -> String {
    format!("spdadd {from} {to} any -P out ipsec {template_out}; spdadd {to} {from} any -P in ipsec {template_in};")
}

fn tunnel(remote: &str, level: &str) -> String {
    let (out, inward) =
        (format!("esp/tunnel/192.0.2.1-{remote}/{level}"), format!("esp/tunnel/{remote}-192.0.2.1/{level}"));
    pair("10.1.0.0/16", "10.2.0.0/16", &out, &inward)
}

#[test]
fn the_tunnel_endpoint_selects_the_peer() {
    let (policies, warnings) = loaded(CONFIG, &tunnel("198.51.100.1", "unique:7")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let [policy] = policies.as_slice() else { panic!("one policy") };
    let [esp] = policy.templates.as_slice() else { panic!("one template") };
    assert_eq!((policy.peer, esp.reqid, esp.inbound_reqid, esp.mode), (0, 7, 7, Mode::Tunnel));
    assert_eq!((esp.protocol, esp.proposals.len()), (ProtocolId::ESP, 2));
    assert_eq!(esp.proposals[0].lifetimes.seconds, Some(28800));
}

#[test]
fn unique_policies_of_both_directions_have_request_ids_of_their_own() {
    let (policies, _) = loaded(CONFIG, &tunnel("198.51.100.1", "unique")).unwrap();
    let esp = &policies[0].templates[0];
    assert!(esp.reqid != 0 && esp.inbound_reqid != 0);
    assert_ne!(esp.reqid, esp.inbound_reqid);
    let (policies, _) = loaded(CONFIG, &tunnel("198.51.100.1", "require")).unwrap();
    assert_eq!((policies[0].templates[0].reqid, policies[0].templates[0].inbound_reqid), (0, 0));
}

#[test]
fn the_destination_selects_the_peer_in_transport_mode() {
    let text = pair("192.0.2.1", "198.51.100.1", "esp/transport//require", "esp/transport//require");
    let (policies, warnings) = loaded(CONFIG, &text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((policies[0].peer, policies[0].templates[0].mode), (0, Mode::Transport));
}

#[test]
fn a_policy_that_several_clients_share_is_reported() {
    let config = format!("{CONFIG}{ROAD}");
    let warnings = |text: &str| loaded(&config, text).unwrap().1.join("\n");
    assert!(warnings(&tunnel("any", "unique")).contains("one client at a time"));
    assert_eq!(warnings(&tunnel("198.51.100.2", "unique")), "");
    let host = pair("10.1.0.0/16", "10.2.0.1", "esp/tunnel/192.0.2.1-any/unique", "esp/tunnel/any-192.0.2.1/unique");
    assert_eq!(warnings(&host), "");
}

#[test]
fn the_peer_at_any_address_has_the_remaining_policies() {
    let config = format!("{CONFIG}{ROAD}");
    let peer = |remote: &str| loaded(&config, &tunnel(remote, "require")).unwrap().0[0].peer;
    assert_eq!([peer("198.51.100.1"), peer("198.51.100.2")], [0, 1]);
}

#[test]
fn a_peer_with_an_address_precedes_the_peer_at_any_address() {
    let (head, east) = CONFIG.split_once("peer east").unwrap();
    for text in [format!("{CONFIG}{ROAD}"), format!("{head}{ROAD} peer east{east}")] {
        let config = config(&text, "").unwrap().configuration;
        let name = |address: [u8; 4]| config.find_peer(Some(address.into())).unwrap().1.config.name.clone();
        assert_eq!([name([198, 51, 100, 1]), name([198, 51, 100, 2])], ["east", "road"], "{text}");
    }
}

#[test]
fn bundles_have_the_transforms_of_each_protocol() {
    let config = CONFIG.replace("esp 3des-md5;", "ah sha256; ipcomp deflate; esp 3des-md5; ah md5;");
    let template =
        |from: &str, to: &str| format!("ipcomp/tunnel/{from}-{to}/use esp/transport//unique:5 ah/transport//require");
    let (out, inward) = (template("192.0.2.1", "198.51.100.1"), template("198.51.100.1", "192.0.2.1"));
    let (policies, warnings) = loaded(&config, &pair("10.1.0.0/16", "10.2.0.0/16", &out, &inward)).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let rows = policies[0].templates.iter();
    let rows: Vec<_> = rows.map(|row| (row.protocol, row.mode, row.inbound_reqid, row.proposals.len())).collect();
    assert_eq!(
        rows,
        [
            (ProtocolId::IPCOMP, Mode::Tunnel, 0, 1),
            (ProtocolId::ESP, Mode::Transport, 5, 2),
            (ProtocolId::AH, Mode::Transport, 0, 2),
        ]
    );
}

#[test]
fn bundles_that_quick_mode_cannot_negotiate_are_reported_with_the_reason() {
    let ends = "192.0.2.1-198.51.100.1";
    let table = [
        (
            "esp aes-sha1; ah sha1;",
            format!("esp/tunnel/{ends}/require ah/tunnel/{ends}/require"),
            "template 2 is in tunnel mode, expected transport",
        ),
        (
            "esp aes-sha1 pfs 2; ah sha1;",
            format!("esp/tunnel/{ends}/require ah/transport//require"),
            "the groups of `esp` and `ah` differ",
        ),
        ("esp aes-sha1;", format!("esp/tunnel/{ends}/require esp/transport//require"), "duplicate protocol ESP"),
        ("ah sha1;", format!("esp/tunnel/{ends}/require"), "peer east has no transform of `esp` for the policy"),
    ];
    for (transforms, bundle, reason) in table {
        let config = CONFIG.replace("esp aes128-sha1; esp 3des-md5;", transforms);
        let text = format!(
            "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec {bundle};
            spdadd 10.2.0.0/16 10.1.0.0/16 any -P in none;"
        );
        let (policies, warnings) = loaded(&config, &text).unwrap();
        assert!(policies.is_empty());
        assert!(warnings.iter().any(|warning| warning.ends_with(reason)), "{reason}: {warnings:?}");
    }
}

#[test]
fn policies_that_cannot_be_negotiated_are_reported_with_the_reason() {
    let networks = pair("10.1.0.0/16", "10.2.0.0/16", "esp/transport//require", "esp/transport//require");
    let ah = pair("192.0.2.1", "198.51.100.1", "ah/transport//require", "ah/transport//require");
    let table = [
        (tunnel("198.51.100.2", "require"), "no peer has the address 198.51.100.2"),
        (networks, "destination of a transport-mode policy is 10.2.0.0/16, expected one host"),
        (ah, "peer east has no transform of `ah` for the policy"),
    ];
    for (text, reason) in table {
        let (policies, warnings) = loaded(CONFIG, &text).unwrap();
        assert!(policies.is_empty());
        assert!(warnings.len() == 1 && warnings[0].ends_with(reason), "{warnings:?}");
    }
}

#[test]
fn tunnel_endpoints_of_other_hosts_are_refused() {
    let text = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.9-198.51.100.1/require;";
    let error = loaded(CONFIG, text).unwrap_err();
    assert!(error.ends_with("local tunnel endpoint 192.0.2.9 is not a `local` address of gateway.conf"), "{error}");
}

#[test]
fn errors_of_policies_have_line_and_column() {
    let error = loaded(CONFIG, "\nspdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec;").unwrap_err();
    assert!(error.starts_with("p:2:"), "{error}");
}

#[test]
fn policies_determine_the_local_address_of_their_peer() {
    let config = CONFIG.replace("local 192.0.2.1;", "local 192.0.2.1; local 192.0.2.2;");
    let locals = |text: &str| {
        let policies = loaded(&config, text)?.0;
        Ok::<_, String>(policies.iter().map(|policy| policy.local).collect::<Vec<_>>())
    };
    let second =
        tunnel("198.51.100.1", "require").replace("192.0.2.1-", "192.0.2.2-").replace("-192.0.2.1", "-192.0.2.2");
    let transport = |source: &str| pair(source, "198.51.100.1", "esp/transport//require", "esp/transport//require");
    assert_eq!(locals(&second).unwrap(), ["192.0.2.2".parse().ok()]);
    assert_eq!(locals(&transport("192.0.2.2")).unwrap(), ["192.0.2.2".parse().ok()]);
    assert_eq!(locals(&transport("192.0.2.0/24")).unwrap(), [None], "a network names no address");
    assert_eq!(
        locals(&format!("{second}{}", transport("192.0.2.1"))).unwrap_err(),
        "policy 3: local address mismatch: got 192.0.2.1, expected 192.0.2.2 as in policy 1 of peer east"
    );
}

#[test]
fn missing_interface_of_the_unprotected_side_is_reported() {
    let is_missing = |statement: &str, text: &str| {
        let (config, mut engine) = (config(&format!("{CONFIG}{statement}"), text).unwrap(), new_engine());
        apply(&config, &mut engine, Instant::ZERO).unwrap();
        is_wan_missing(&config, &engine)
    };
    let transport = pair("192.0.2.1", "198.51.100.1", "esp/transport//require", "esp/transport//require");
    assert!(is_missing("", &tunnel("198.51.100.1", "require")));
    assert!(!is_missing("wan wan0;", &tunnel("198.51.100.1", "require")));
    assert!(!is_missing("", &transport), "transport mode protects packets of this host");
    assert!(!is_missing("", "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out none;"));
}

/// A file with the last number does not help, because an older copy in its place has a lower one.
#[test]
fn manual_sas_whose_nonce_is_the_sequence_number_are_refused_with_any_state_file() {
    let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-nonce", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("state");
    let state = |sequence: u64| {
        let sa = "out esp 198.51.100.1 0x00001001 key 0001020304050607";
        format!("version 1\n{sa} sequence {sequence} seen - added 1 first - octets 0 packets 0\n")
    };
    for contents in [None, Some(state(1)), Some(state(1 << 20))] {
        let _ = std::fs::remove_file(&path);
        if let Some(contents) = contents {
            std::fs::write(&path, contents).unwrap();
        }
        let config = format!("{CONFIG} state \"{}\";", path.display());
        let keys = [("aes-gcm-16", 20), ("aes-ccm-16", 19), ("chacha20-poly1305", 36)];
        for (algorithm, octets) in keys {
            let text =
                format!("add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E {algorithm} 0x{};", "5a".repeat(octets));
            let error = loaded(&config, &text).unwrap_err();
            assert!(error.contains("static keys"), "{algorithm}: {error}");
        }
        let ah = format!("add 192.0.2.1 198.51.100.1 ah 0x1001 -A aes-gmac 0x{};", "5a".repeat(20));
        assert!(loaded(&config, &ah).unwrap_err().contains("static keys"));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn state_file_and_hmac_sha2_256_are_refused_with_the_back_end_pfkey() {
    let with = |statements: &str, suite: &str| {
        let peer = format!("peer b address 198.51.100.1 {{ proposal aes128 sha1 modp1024; esp {suite}; }}");
        let policy = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;";
        config(&format!("policies \"p\"; keys \"k\"; local 192.0.2.1; {statements} {peer}"), policy)
    };
    let error = with("backend pfkey; state \"s\";", "aes128-sha1").unwrap_err();
    assert!(error.ends_with("statement `state` requires the back end `userspace`"), "{error}");
    let loaded = |suite| load(&with("backend pfkey;", suite).unwrap(), &mut new_engine(), Instant::ZERO);
    assert_eq!(loaded("aes128-sha1").map(|policies| policies.len()), Ok(1));
    let error = loaded("aes128-sha256").unwrap_err();
    assert!(error.contains("PF_KEY of Linux truncates HMAC-SHA2-256 to 96 bits"), "{error}");
}
