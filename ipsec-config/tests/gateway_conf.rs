//! Statements of gateway.conf.
#![cfg(feature = "std")]

use std::net::Ipv4Addr;
use std::time::Duration;

use ike_codec::{AuthMethod, Group, ProtocolId};
use ike_v1::{
    ClientNetwork, DeadPeerDetection, LocalIdentity, ModeConfig, NatUse, PeerDefaults, Phase2Choice, Phase2Suite,
    ProposalCheck, XauthRole,
};
use ipsec_config::gateway::{ControlSocket, GatewayConf, parse};
use ipsec_config::{Configuration, Diagnostics, Language, Sources};
use ipsec_crypto::{CipherAlgorithm, HashFunction};
use ipsec_sa::Mode;

/// Configuration with every statement about the host, and most of those about a peer.
const WHOLE: &str = r#"
policies "setkey.conf"; file "racoon.conf"; file "rules" openbsd; keys "psk.txt";
local 192.0.2.1; local 2001:db8::1[501];
wan wan0; tun ipsec0 mtu 1300 address 10.1.0.254/24 address fd00::1/64;
mark 0x20; table 77; backend userspace; limit sas 5000; limit half_open 9;
peer east address 198.51.100.1[501] {
    proposal aes128 sha1 modp2048 lifetime 600;
    proposal 3des md5 2;
    proposal 3des sha1 2 kilobytes 5120;
    esp aes128-sha1 lifetime 300 kilobytes 4096;
    esp aes256gcm16 pfs 14;
    ah sha256; ipcomp deflate;
    identity fqdn west.example.net;
    peers_identity address 198.51.100.1;
    check obey; defaults racoon; nat_traversal force; exchange_mode main aggressive;
    dpd_delay 30; dpd_retry 3; dpd_maxfail 4; start on; esp_frag 552;
}
peer road address any {
    proposal aes256 sha256 ecp256; esp null-sha1; rekey off; initial_contact off; ike_frag off; send_cert off; send_cr off;
}
"#;

/// Path of 108 octets.
const LONG_CONTROL: &str = "control /123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/1234567;";

fn parsed(text: &str) -> (GatewayConf, Configuration) {
    let (conf, configuration, sources, diagnostics) = parse("/etc/gateway.conf", text);
    assert!(diagnostics.is_empty(), "{text}: {}", shown(&sources, &diagnostics));
    (conf, configuration)
}

fn shown(sources: &Sources, diagnostics: &Diagnostics) -> String {
    diagnostics.iter().map(|own| format!("{}\n", sources.show(own))).collect()
}

/// Returns the messages about a text.
fn messages(text: &str) -> String {
    let (_, _, sources, diagnostics) = parse("g", text);
    shown(&sources, &diagnostics)
}

#[test]
fn defaults_of_racoon_truncate_hmac_sha2_256_wherever_the_statement_is() {
    let icv_bits = |statements: &str| {
        let text = format!(
            "local 192.0.2.1; wan w; tun t; policies \"p\"; peer a address 192.0.2.2 {{ proposal aes128 sha1 14; {statements} }}"
        );
        let (_, configuration) = parsed(&text);
        let integrity = |choice: &Phase2Choice| match choice.suite {
            Phase2Suite::Keyed { integrity, .. } => integrity.row().map(|row| row.icv * 8),
            _ => None,
        };
        configuration.phase_2[0].explicit.iter().filter_map(integrity).collect::<Vec<_>>()
    };
    let transforms = "esp aes128-sha256; ah sha256; esp aes128-sha1;";
    assert_eq!(icv_bits(transforms), [128, 128, 96]);
    assert_eq!(icv_bits(&format!("{transforms} defaults racoon;")), [96, 96, 96]);
    assert_eq!(icv_bits(&format!("defaults racoon; {transforms}")), [96, 96, 96]);
}

#[test]
fn every_statement_is_parsed() {
    let (conf, configuration) = parsed(WHOLE);
    let files = [
        ("/etc/setkey.conf".to_owned(), Some(Language::Setkey)),
        ("/etc/racoon.conf".to_owned(), None),
        ("/etc/rules".to_owned(), Some(Language::OpenBsd)),
    ];
    assert_eq!((conf.files, configuration.key_file.as_deref()), (files.to_vec(), Some("/etc/psk.txt")));
    assert_eq!(conf.locals, ["192.0.2.1:500".parse().unwrap(), "[2001:db8::1]:501".parse().unwrap()]);
    assert_eq!((conf.mark, conf.table, conf.wan.as_slice()), (32, 77, &["wan0".to_owned()][..]));
    assert_eq!((conf.limits.sas, conf.limits.policies, conf.limits.half_open), (Some(5000), None, Some(9)));
    let tun = conf.tun.unwrap();
    assert_eq!((tun.mtu, tun.addresses.len()), (1300, 2));
    let [east, road] = configuration.peers.as_slice() else { panic!("two peers") };
    let config = &east.config;
    assert_eq!(config.address, Some("198.51.100.1:501".parse().unwrap()));
    assert_eq!((config.check, config.defaults), (ProposalCheck::Obey, PeerDefaults::RACOON));
    assert_eq!((config.nat_traversal, config.exchanges.len(), config.initiates), (NatUse::Force, 2, true));
    let lifetimes: Vec<_> = config.proposals.iter().map(|proposal| proposal.lifetimes.seconds).collect();
    assert_eq!(lifetimes, [Some(600), Some(28_800), Some(28_800)]);
    assert_eq!(config.proposals[2].lifetimes.kilobytes, Some(5120));
    let second = config.proposals[1];
    assert_eq!((second.cipher, second.hash), (CipherAlgorithm::TripleDesCbc, HashFunction::Md5));
    assert_eq!(second.group, Group::MODP_1024);
    let LocalIdentity::Given(identity) = &config.local_identity else { panic!("an identity") };
    assert_eq!(identity.to_string(), "west.example.net");
    assert_eq!(config.remote_identity.as_ref().unwrap().to_string(), "198.51.100.1");
    let detection =
        DeadPeerDetection { delay: Duration::from_secs(30), retry: Duration::from_secs(3), max_failures: 4 };
    assert_eq!(config.dead_peer_detection, Some(detection));
    assert!(configuration.peers[0].starts && !configuration.peers[1].starts);
    assert_eq!((east.esp_fragment_size, road.esp_fragment_size), (Some(552), None));
    for (peer, is_on) in [(east, true), (road, false)] {
        let own = &peer.config;
        assert_eq!([own.renews, own.initial_contact, own.fragment_size > 0], [is_on; 3]);
        assert_eq!([peer.sends_certificates, peer.requests_certificates], [is_on; 2]);
    }
    let road = &road.config;
    assert_eq!((road.dead_peer_detection, road.address, road.initiates), (None, None, false));
    assert_eq!((road.check, &road.local_identity), (ProposalCheck::Strict, &LocalIdentity::Address));
}

#[test]
fn user_statement_has_an_optional_group() {
    let user = |statement: &str| parsed(&format!("{WHOLE} {statement}")).0.user.map(|own| (own.user, own.group));
    let table = [
        ("", None),
        ("user \"ipsec\";", Some(("ipsec".to_owned(), None))),
        ("user \"ipsec\" \"network\";", Some(("ipsec".to_owned(), Some("network".to_owned())))),
        ("user 77 78;", Some(("77".to_owned(), Some("78".to_owned())))),
    ];
    for (statement, expected) in table {
        assert_eq!(user(statement), expected, "{statement}");
    }
    let (_, _, _, diagnostics) = parse("/etc/gateway.conf", &format!("{WHOLE} user a; user b;"));
    assert!(diagnostics.iter().any(|own| own.message.contains("duplicate statement `user`")));
}

#[test]
fn state_file_and_mss_clamping_have_defaults() {
    let conf = |statements: &str| parsed(&format!("{WHOLE} {statements}")).0;
    assert_eq!((conf("").state, conf("").clamps_mss), (None, true));
    let state = |text: &str| (conf(text).state, conf(text).stores_keys);
    assert_eq!(state("state \"s\";"), (Some("/etc/s".to_owned()), false));
    assert_eq!(state("state \"s\" keys;"), (Some("/etc/s".to_owned()), true));
    assert!(conf("mss_clamping on;").clamps_mss && !conf("mss_clamping off;").clamps_mss);
}

#[test]
fn control_statement_sets_the_socket_path_or_disables_the_socket() {
    let conf = |statements: &str| parsed(&format!("{WHOLE} {statements}")).0;
    assert_eq!((conf("").control, conf("").exports_keys), (ControlSocket::Default, false));
    assert_eq!(conf("control off; export_keys on;").control, ControlSocket::Off);
    assert!(conf("export_keys on;").exports_keys);
    assert_eq!(conf("control \"c.sock\";").control, ControlSocket::Path("/etc/c.sock".to_owned()));
    assert_eq!(conf("control /run/c;").control, ControlSocket::Path("/run/c".to_owned()));
}

#[test]
fn peers_are_the_same_wherever_their_statements_are() {
    let peer = |text: &str| parsed(text).1.peers.remove(0);
    let own = peer(WHOLE);
    assert!(own.is_same(&peer(&format!("# moved\n{WHOLE}"))));
    assert!(!own.is_same(&peer(&WHOLE.replace("check obey", "check strict"))));
}

#[test]
fn transforms_of_phase_2_are_those_of_the_peer_in_order() {
    let (_, configuration) = parsed(WHOLE);
    let own = configuration.phase_2.iter().find(|phase_2| phase_2.peer == Some(0)).unwrap();
    let esp = own.transforms(ProtocolId::ESP, Mode::Transport, &PeerDefaults::RFC);
    let values: Vec<_> = esp.iter().map(|esp| (esp.lifetimes.seconds, esp.lifetimes.kilobytes, esp.group)).collect();
    assert_eq!(values, [(Some(300), Some(4096), None), (Some(28_800), None, Some(Group(14)))]);
    assert_eq!(own.transforms(ProtocolId::AH, Mode::Tunnel, &PeerDefaults::RFC).len(), 1);
    assert_eq!(own.transforms(ProtocolId::IPCOMP, Mode::Tunnel, &PeerDefaults::RFC).len(), 1);
}

#[test]
fn errors_have_position_value_and_expectation() {
    let table = [
        ("locale 192.0.2.1;", "g:1:1: error: expected a statement, found `locale`"),
        ("locale 192.0.2.1;", "did you mean `local`?"),
        ("local 192.0.2;", "g:1:7: error: expected an IPv4 or IPv6 address, found `192.0.2`"),
        ("local 192.0.2.1", "g:1:16: error: expected `;` after `192.0.2.1`, found the end of the file"),
        ("local 192.0.2.1[0x10000];", "g:1:17: error: expected a port from 0 to 65535, found `0x10000`"),
        ("local 192.0.2.1;\nlocal 192.0.2.1;", "g:2:7: error: duplicate statement `local 192.0.2.1:500`"),
        ("keys \"a\"; keys \"b\";", "g:1:11: error: duplicate statement `keys`"),
        ("file \"a\" rakoon;", "did you mean `racoon`?"),
        ("wan eth0{accept};", "g:1:9: error: expected `;` after `eth0`, found `{`"),
        ("wan averylonginterface;", "expected an interface name"),
        ("tun ipsec0 mtu 100;", "g:1:16: error: expected an MTU from 576 to 65535, found `100`"),
        ("tun ipsec0 address 10.0.0.1;", "g:1:20: error: expected an IP address with the length of its prefix"),
        ("backend kernel;", "expected a back end"),
        ("peer b address any { start on; }", "`start on` requires the address of the peer"),
        (
            "peer b address 192.0.2.7 { proposal aes128 sha1 2; esp aes128-sha1; start on; passive on; }",
            "`start on` requires `passive off`",
        ),
        ("limit half_open 256;", "g:1:17: error: expected a number of exchanges from 1 to 255, found `256`"),
        ("control;", "g:1:8: error: expected a file name in quotes, found `;`"),
        ("state \"a\"; state \"b\";", "g:1:12: error: duplicate statement `state`"),
        ("control \"a\"; control off;", "g:1:14: error: duplicate statement `control`"),
        (LONG_CONTROL, "g:1:9: error: expected a path of at most 107 octets, found 108"),
        ("export_keys 2;", "g:1:13: error: expected"),
        ("table 254;", "g:1:7: error: expected a routing table other than 253 to 255"),
        ("peer a address 192.0.2.2 proposal aes sha1 2;", "g:1:25: error: expected `{` after `192.0.2.2`"),
        ("peer a address any { lifetime 3; }", "g:1:22: error: expected a statement of `peer`, found `lifetime`"),
        ("peer a address any { proposal aes md4 2; }", "g:1:35: error: expected a hash algorithm"),
        ("peer a address any { proposal aes md5 3; }", "g:1:39: error: expected a group: modp768"),
        ("peer a address any { ah sha3; }", "g:1:25: error: expected an integrity algorithm: md5,"),
        ("peer a address any { ipcomp lzs; }", "g:1:29: error: expected deflate, found `lzs`"),
        ("peer a address any { esp aes128; }", "g:1:26: error: expected an ESP suite"),
        ("peer a address any { esp aes-md5; }", "g:1:1: error: statement `proposal` is missing"),
        ("peer a address any { proposal aes sha1 2; }", "statement `esp` is missing"),
        ("peer a address any { check demand; }", "g:1:28: error: expected a level of comparison: `obey`"),
        ("peer a address any { dpd_maxfail 0; }", "g:1:34: error: expected a number of queries from 1 to 255"),
        ("peer a address any { exchange_mode main main; }", "duplicate exchange"),
        ("policies \"a\";", "g:1:14: error: statement `local` is missing"),
    ];
    for (text, message) in table {
        let found = messages(text);
        assert!(found.contains(message), "{text:?}: {found}");
    }
}

#[test]
fn peers_with_the_same_name_or_address_are_refused() {
    let block = "{ proposal aes sha1 2; esp aes-sha1; }";
    let found = |second: &str| messages(&format!("peer a address 192.0.2.2 {block} {second} {block}"));
    assert!(found("peer a address 192.0.2.3").contains("duplicate peer `a`"));
    assert!(found("peer b address 192.0.2.2").contains("peer `b` has the address of peer `a`"));
}

#[test]
fn every_truncation_is_refused_or_complete() {
    for length in 0..WHOLE.len() {
        let (_, _, _, diagnostics) = parse("g", &WHOLE[..length]);
        if diagnostics.errors() == 0 {
            // Only a text that ends after a statement is complete.
            assert!(WHOLE[..length].trim_end().ends_with(['}', ';']), "{length}");
        }
    }
}

/// Returns the peer of a configuration with these statements, or the messages.
fn peer(statements: &str) -> Result<ipsec_config::ConfiguredPeer, String> {
    let text = format!(
        "peer road address any {{ esp aes128-sha1; {statements} }} policies \"a\"; local 192.0.2.1; tun ipsec0;"
    );
    let (_, mut configuration, sources, diagnostics) = parse("g", &text);
    if diagnostics.is_empty() { Ok(configuration.peers.remove(0)) } else { Err(shown(&sources, &diagnostics)) }
}

const POOL: &str = "network4 10.99.0.10; pool_size 9; netmask4 255.255.255.0; dns4 10.1.0.1; dns4 10.1.0.2; \
                    wins4 10.1.0.3; default_domain \"example.net\"; banner \"authorised users only\"; \
                    split_network include 10.1.0.0/16 10.2.3.4/32; split_network local_lan 192.168.0.0/16; \
                    split_dns \"example.net\" \"example.org\";";

#[test]
fn xauth_server_with_users_and_pool_is_parsed() {
    let server = peer(&format!("proposal aes sha1 2 xauth_psk_server; users \"u\"; mode_cfg {{ {POOL} }};")).unwrap();
    let config = &server.config;
    assert_eq!((config.xauth, config.initiates, config.needs_key()), (Some(XauthRole::Server), false, true));
    assert_eq!(config.proposals[0].auth_method, AuthMethod::XAUTH_INIT_PRE_SHARED);
    assert_eq!((config.mode_config, server.users.as_deref()), (Some(ModeConfig::Answer), Some("u")));
    let pool = server.pool.unwrap();
    assert_eq!((pool.first, pool.size, pool.pushes), (Some(Ipv4Addr::new(10, 99, 0, 10)), 9, false));
    let values = &pool.values;
    assert_eq!((values.address, values.netmask), (None, Some(Ipv4Addr::new(255, 255, 255, 0))));
    let dns = [1, 2].map(|last| Some(Ipv4Addr::new(10, 1, 0, last)));
    assert_eq!((values.dns, values.nbns[0]), ([dns[0], dns[1], None, None], Some(Ipv4Addr::new(10, 1, 0, 3))));
    assert_eq!((values.domain.octets(), values.banner.octets()), (&b"example.net"[..], &b"authorised users only"[..]));
    let networks: Vec<_> = values.split_include.iter().flatten().map(|own| (own.address, own.mask)).collect();
    let expected = [
        (Ipv4Addr::new(10, 1, 0, 0), Ipv4Addr::new(255, 255, 0, 0)),
        (Ipv4Addr::new(10, 2, 3, 4), Ipv4Addr::BROADCAST),
    ];
    assert_eq!(networks, expected);
    let local = ClientNetwork { address: Ipv4Addr::new(192, 168, 0, 0), mask: Ipv4Addr::new(255, 255, 0, 0) };
    assert_eq!(values.split_exclude, [Some(local), None, None, None]);
    assert_eq!(values.split_dns.octets(), b"example.net,example.org");
    let pushing = peer(&format!("proposal aes sha1 2; mode_cfg {{ {POOL} push on; }};")).unwrap();
    assert_eq!(pushing.config.mode_config, Some(ModeConfig::Assign));
}

#[test]
fn xauth_client_with_a_login_is_parsed() {
    let text = "proposal aes sha1 2 hybrid_rsa_client lifetime 60; ca \"c\"; xauth_login \"alice\"; mode_cfg on;";
    let client = peer(text).unwrap();
    assert_eq!((client.config.xauth, client.login.as_deref()), (Some(XauthRole::Client), Some("alice")));
    assert_eq!((client.config.needs_key(), client.config.mode_config), (false, Some(ModeConfig::Request)));
    assert_eq!(client.config.proposals[0].lifetimes.seconds, Some(60));
    let waiting = peer(&text.replace("mode_cfg on", "mode_cfg push")).unwrap();
    assert_eq!(waiting.config.mode_config, Some(ModeConfig::Accept));
}

#[test]
fn authentication_methods_need_their_statements() {
    let table = [
        ("proposal aes sha1 2 rsasig;", "statement `certificate` is missing"),
        ("proposal aes sha1 2 rsasig; certificate \"c\" \"k\";", "statement `ca` is missing"),
        ("proposal aes sha1 2 hybrid_rsa_server; users \"u\";", "statement `certificate` is missing"),
        ("proposal aes sha1 2 hybrid_rsa_client; xauth_login a;", "statement `ca` is missing"),
        ("proposal aes sha1 2 xauth_psk_server;", "statement `users` is missing"),
        ("proposal aes sha1 2 xauth_psk_client;", "statement `xauth_login` is missing"),
        (
            "proposal aes sha1 2; users \"u\";",
            "expected a proposal of a server of extended authentication with `users`",
        ),
        ("proposal aes sha1 2; xauth_login a;", "expected a proposal of a client of extended authentication"),
        (
            "proposal aes sha1 2 xauth_psk_server; users \"u\"; proposal aes sha1 2;",
            "expected the role in extended authentication of the first proposal, found `psk`",
        ),
        ("proposal aes sha1 2 dsssig;", "expected an authentication method: `psk`, `rsasig`, or"),
        ("users \"u\"; users \"v\";", "duplicate statement `users`"),
        ("xauth_login \"\";", "expected a text of 1 to 64 octets"),
    ];
    for (text, message) in table {
        let error = peer(text).unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn values_of_a_pool_are_checked() {
    let table = [
        ("maybe;", "expected on, push, off or `{`, found `maybe`"),
        ("{ };", "statement `network4` is missing"),
        ("{ network4 fd00::1; };", "expected an IPv4 address, found `fd00::1`"),
        ("{ network4 255.255.255.250; pool_size 7; };", "expected a pool below 255.255.255.255"),
        ("{ pool_size 0; };", "expected a number of addresses from 1 to 65535, found `0`"),
        ("{ dns4 1.1.1.1; dns4 1.1.1.1; dns4 1.1.1.1; dns4 1.1.1.1; dns4 1.1.1.2; };", "expected at most 4 values"),
        (
            "{ split_network exclude 10.0.0.0/8; };",
            "expected a value of `split_network`: `include` or `local_lan`, found `exclude`",
        ),
        ("{ split_network include fd00::/8; };", "expected an IPv4 address with the length of its prefix"),
        ("{ split_dns \"a,b\"; };", "expected a domain name without commas, found `a,b`"),
        ("{ split_dns \"\"; };", "expected a domain name without commas, found `nothing`"),
        ("{ auth_source radius; };", "expected a statement of `mode_cfg`, found `auth_source`"),
    ];
    for (text, message) in table {
        let error = peer(&format!("proposal aes sha1 2; mode_cfg {text}")).unwrap_err();
        assert!(error.contains(message), "{text}: {error}");
    }
    let name = "a".repeat(64);
    let statement = format!("proposal aes sha1 2; mode_cfg {{ network4 10.0.0.1; split_dns \"{name}\" \"{name}\"; }};");
    let error = peer(&statement).unwrap_err();
    assert!(error.contains("expected names of at most 128 octets together, found 129"), "{error}");
    let zero = peer("proposal aes sha1 2; mode_cfg { network4 10.0.0.1; split_network include 0.0.0.0/0; };").unwrap();
    let network = zero.pool.unwrap().values.split_include[0];
    assert_eq!(network.map(|network| network.mask), Some(Ipv4Addr::UNSPECIFIED));
    assert!(peer("proposal aes sha1 2; mode_cfg { network4 255.255.255.249; pool_size 7; };").is_ok());
}

/// Returns what the peers of a configuration have besides their places in the text.
fn peers(configuration: &Configuration) -> Vec<String> {
    let peers = configuration.peers.iter().enumerate().map(|(index, peer)| {
        let own = configuration.phase_2.iter().filter(|own| own.peer == Some(index));
        let phase_2: Vec<_> = own.map(|own| &own.explicit).collect();
        let access = (&peer.files, &peer.login, &peer.users, &peer.pool, &peer.generated);
        format!("{:?} {access:?} {phase_2:?}", peer.config)
    });
    peers.collect()
}

#[test]
fn the_written_text_is_read_as_the_same_configuration() {
    let access = r#"
policies "setkey.conf"; isakmpd "isakmpd"; local 192.0.2.1; tun ipsec0; control "/run/own.sock"; export_keys on;
state "own.state" keys; mss_clamping off; backend pfkey; release 4.6; defaults racoon; defaults rfc 2001:db8::7;
peer server address any {
    proposal aes256 sha256 modp2048 xauth_rsa_server lifetime 600;
    esp aes128ctr-sha1;
    esp chacha20poly1305 pfs ecp256;
    certificate "own.crt" "own key"; certificate "other.crt" "other key";
    ca "a.crt"; ca "b.crt"; crl "a.crl"; peers_certificate "peer.crt";
    identity asn1dn;
    peers_identity asn1dn "C=DE, CN=peer.example.org";
    users "users.txt"; generate_policy unique;
    nat_traversal off;
    mode_cfg {
        network4 10.9.0.1; pool_size 20; netmask4 255.255.255.0; dns4 10.0.0.53; wins4 10.0.0.54;
        split_network include 10.0.0.0/8, 172.16.0.0/12; default_domain "example.org"; banner "Welcome."; push on;
        split_network local_lan 192.168.0.0/16; split_dns "example.org", "lab.example.org";
    }
}
peer client address 2001:db8::2 {
    proposal aes sha1 2 xauth_psk_client; esp 3des-md5; xauth_login "a user"; mode_cfg on;
    identity keyid "group 1"; peers_identity user_fqdn "a@example.org";
}
peer keys address 192.0.2.9 {
    proposal aes sha1 2 rsasig; esp aes-sha1; private_key "own.key"; peers_public_key "a.pub"; peers_public_key "b.pub";
}
peer waiting address 2001:db8::3 {
    proposal aes sha1 2 xauth_psk_client; esp 3des-md5; xauth_login "a user"; mode_cfg push;
}
"#;
    for text in [WHOLE, access] {
        let (conf, configuration) = parsed(text);
        let (written, lost) = conf.write(&configuration);
        assert_eq!(lost.iter().collect::<Vec<_>>(), Vec::<&str>::new());
        let statements: Vec<_> = written.lines().filter(|line| line.contains("generate_policy")).collect();
        assert_eq!(statements.len(), text.matches("generate_policy").count(), "{written}");
        let (again, configuration_again) = parsed(&written);
        assert_eq!(again, conf, "{written}");
        assert_eq!(peers(&configuration_again), peers(&configuration), "{written}");
        assert_eq!(configuration_again.key_file, configuration.key_file);
    }
}
