//! racoon.conf(5): statements, their meaning, and their text.
#![cfg(feature = "std")]

mod texts;

use std::net::IpAddr;

use ike_codec::{ExchangeKind, Group};
use ike_v1::{NatUse, ProposalCheck};
use ipsec_config::racoon::{self, Identifier, RacoonConf, ScriptEvent};
use ipsec_config::{Configuration, GeneratedPolicies, Language, Severity};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{AddressRange, IpProto, Selector, Upper};
use texts::{Texts, accepted, reports, warnings};

/// Statements of `remote` that every block needs.
const NEEDED: &str = "exchange_mode main; proposal { encryption_algorithm aes; hash_algorithm sha1; \
                      authentication_method pre_shared_key; dh_group 14; }";

fn parsed(text: &str) -> RacoonConf {
    let (conf, sources, diagnostics) = racoon::parse("racoon.conf", text);
    let errors: Vec<_> = diagnostics.iter().filter(|own| own.severity == Severity::Error).collect();
    let shown: String = errors.iter().map(|own| sources.show(own).to_string()).collect();
    assert!(errors.is_empty(), "{text}\n{shown}");
    conf
}

fn remote(statements: &str) -> String {
    format!("remote 198.51.100.1 {{ {NEEDED} {statements} }}\n")
}

fn sainfo(head: &str, statements: &str) -> String {
    let needed = "encryption_algorithm aes; authentication_algorithm hmac_sha1; compression_algorithm deflate;";
    format!("sainfo {head} {{ {needed} {statements} }}\n")
}

fn configured(text: &str) -> Configuration {
    accepted(text, Language::Racoon)
}

#[test]
fn every_statement_prints_as_an_equal_one() {
    let top = [
        "path include \"/etc/racoon\";",
        "path pre_shared_key \"psk.txt\";",
        "path certificate \"certs\";",
        "path script \"scripts\";",
        "path backupsa \"sas\";",
        "path pidfile \"/run/racoon.pid\";",
        "path xauth \"users\";",
        "privsep { user \"racoon\"; group 77; chroot \"/var/racoon\"; }",
        "log error;",
        "log warning;",
        "log notify;",
        "log info;",
        "log debug;",
        "log debug2;",
        "padding { randomize on; randomize_length off; maximum_length 20; strict_check off; exclusive_tail on; }",
        "padding { }",
        "listen { isakmp 192.0.2.1 [500]; isakmp_natt 192.0.2.1 [4500]; isakmp 2001:db8::1; }",
        "listen { adminsock \"/run/racoon.sock\" \"root\" \"wheel\" 0660; strict_address; }",
        "listen { adminsock \"/run/racoon.sock\"; }",
        "listen { adminsock disabled; }",
        "timer { counter 5; interval 10 sec; persend 1; phase1 15 sec; phase2 1 min; natt_keepalive 20 seconds; }",
        "complex_bundle on;",
        "mode_cfg { network4 192.0.2.64; netmask4 255.255.255.192; pool_size 60; dns4 192.0.2.1, 192.0.2.2; }",
        "mode_cfg { wins4 192.0.2.1; split_network include 192.0.2.0/24, 198.51.100.0/24; split_dns \"example.org\"; }",
        "mode_cfg { split_network local_lan 203.0.113.0/24; default_domain \"example.org\"; banner \"/etc/motd\"; }",
        "mode_cfg { auth_source system; auth_groups \"vpn\", \"staff\"; group_source system; conf_source local; }",
        "mode_cfg { accounting none; auth_throttle 2; pfs_group 2; save_passwd on; nbns4 192.0.2.3; }",
    ];
    for text in top {
        let conf = parsed(text);
        assert_eq!(parsed(&conf.to_string()), conf, "{text}\n{conf}");
        assert_ne!(conf, RacoonConf::default(), "{text}");
    }
    let values = [
        "remote_address 203.0.113.1 [501];",
        "doi ipsec_doi; situation identity_only;",
        "my_identifier address;",
        "my_identifier address 192.0.2.1;",
        "my_identifier address \"192.0.2.1\";",
        "my_identifier fqdn \"gw.example.org\"; peers_identifier user_fqdn \"admin@example.org\"; verify_identifier on;",
        "my_identifier keyid tag \"office\"; peers_identifier keyid tag \"branch\"; peers_identifier address 203.0.113.1;",
        "my_identifier keyid file \"/etc/key-id\";",
        "my_identifier asn1dn; peers_identifier asn1dn \"C=DE, CN=gateway\";",
        "certificate_type x509 \"a.crt\" \"a.key\"; ca_type x509 \"ca.crt\"; peers_certfile x509 \"b.crt\";",
        "peers_certfile \"b.crt\";",
        "certificate_type plain_rsa \"a.rsa\"; peers_certfile plain_rsa \"b.rsa\"; peers_certfile plain_rsa \"c.rsa\";",
        "send_cert off; send_cr off; verify_cert off; match_empty_cr on;",
        "lifetime time 24 hour;",
        "lifetime byte 5 MB;",
        "proposal_check obey;",
        "proposal_check claim;",
        "proposal_check exact;",
        "initial_contact off; passive on; support_proxy on; generate_policy unique;",
        "generate_policy on;",
        "nat_traversal force; ike_frag on; esp_frag 552;",
        "dpd off; dpd_delay 30; dpd_retry 5; dpd_maxfail 3; rekey force;",
        "nonce_size 32; ph1id 7; mode_cfg on; xauth_login \"user\"; weak_phase1_check off;",
        "script \"up.sh\" phase1_up; script \"down.sh\" phase1_down; script \"dead.sh\" phase1_dead;",
        "proposal { encryption_algorithm blowfish 448; hash_algorithm sha512; authentication_method rsasig; \
         dh_group modp8192; lifetime time 1 min; lifetime byte 1 MB; }",
    ];
    for text in values {
        let conf = parsed(&remote(text));
        assert_eq!(parsed(&conf.to_string()), conf, "{text}\n{conf}");
    }
    let heads = [
        "anonymous",
        "anonymous clientaddr",
        "anonymous from fqdn \"a.example.org\"",
        "anonymous group \"staff\"",
        "anonymous address 192.0.2.1 any",
        "address 192.0.2.0/24 any address 198.51.100.0/24 any",
        "address 192.0.2.1 [500] udp subnet 198.51.100.1/32 [any] 4",
        "subnet 192.0.2.1-192.0.2.9 any anonymous",
        "address 2001:db8::1 icmp6 address 2001:db8::2 icmp6",
        "address 192.0.2.1 esp address 192.0.2.2 ah",
        "fqdn \"a.example.org\" anonymous",
    ];
    for head in heads {
        let conf = parsed(&sainfo(head, "pfs_group modp2048; remoteid 7; lifetime time 12 hour; lifetime byte 50 MB;"));
        assert_eq!(parsed(&conf.to_string()), conf, "{head}\n{conf}");
    }
    let all: String = top.iter().map(|text| text.replace("mode_cfg", "timer { } mode_cfg")).collect();
    let conf = parsed(&all);
    assert_eq!(parsed(&conf.to_string()), conf);
}

#[test]
fn defaults_are_those_of_racoon() {
    let conf = configured(&format!("{}{}", remote(""), sainfo("anonymous", "")));
    let [peer] = conf.peers.as_slice() else { panic!("{:?}", conf.peers) };
    let config = &peer.config;
    assert_eq!(config.address, Some("198.51.100.1:500".parse().unwrap()));
    assert_eq!((config.exchanges.as_slice(), config.check), (&[ExchangeKind::MAIN][..], ProposalCheck::Strict));
    assert_eq!((config.nat_traversal, config.fragment_size, config.dead_peer_detection), (NatUse::Off, 0, None));
    assert!(
        config.initiates && config.remote_identity.is_none() && !peer.verifies_identity && peer.verifies_certificate
    );
    assert_eq!((peer.generated, peer.phase_1_id), (GeneratedPolicies::Off, 0));
    assert!(config.initial_contact && peer.sends_certificates && peer.requests_certificates);
    let [proposal] = config.proposals.as_slice() else { panic!() };
    assert_eq!((proposal.cipher_key, proposal.group, proposal.lifetimes.seconds), (16, Group(14), Some(28_800)));
    let [phase_2] = conf.phase_2.as_slice() else { panic!() };
    assert_eq!((phase_2.group, phase_2.lifetimes.seconds, phase_2.has_deflate), (None, Some(28_800), true));
    assert_eq!(phase_2.ciphers, [(CipherAlgorithm::AesCbc, 16)]);
}

#[test]
fn key_lengths_are_in_bits_and_have_the_defaults_of_racoon() {
    let table = [
        ("aes", CipherAlgorithm::AesCbc, 16),
        ("aes 256", CipherAlgorithm::AesCbc, 32),
        ("rijndael 192", CipherAlgorithm::AesCbc, 24),
        ("blowfish", CipherAlgorithm::BlowfishCbc, 16),
        ("blowfish 128", CipherAlgorithm::BlowfishCbc, 16),
        ("cast128", CipherAlgorithm::Cast128Cbc, 16),
        ("3des", CipherAlgorithm::TripleDesCbc, 24),
        ("des", CipherAlgorithm::DesCbc, 8),
        ("null_enc", CipherAlgorithm::Null, 0),
        ("null", CipherAlgorithm::Null, 0),
    ];
    for (text, cipher, octets) in table {
        let text = format!("sainfo anonymous {{ encryption_algorithm {text}; authentication_algorithm hmac_md5; }}");
        assert_eq!(configured(&text).phase_2[0].ciphers, [(cipher, octets)], "{text}");
    }
}

#[test]
fn lists_are_negotiated_in_their_order_without_unimplemented_algorithms() {
    let text = "sainfo anonymous {\n encryption_algorithm rc5 240, 3des, twofish, aes 256;\n \
                authentication_algorithm hmac_sha256, hmac_sha1;\n compression_algorithm lzs, deflate;\n}";
    let conf = configured(text);
    let ciphers = [(CipherAlgorithm::TripleDesCbc, 24), (CipherAlgorithm::AesCbc, 32)];
    assert_eq!(conf.phase_2[0].ciphers, ciphers);
    assert_eq!(conf.phase_2[0].integrity, [IntegrityAlgorithm::HmacSha2_256_128, IntegrityAlgorithm::HmacSha1_96]);
    let notes = warnings(text, Language::Racoon);
    for expected in ["2:23: `rc5` is not implemented", "2:38: `twofish` is not implemented", "4:24: `lzs` is not"] {
        assert!(notes.iter().any(|note| note.starts_with(expected)), "{expected}: {notes:#?}");
    }
    assert!(conf.phase_2[0].has_deflate);
}

#[test]
fn words_of_old_racoon_are_accepted_with_a_warning() {
    let table = [
        ("log debug4;".to_string(), "1:5: `debug4` is an obsolete keyword"),
        ("listen { admin [7002]; }".to_string(), "1:10: `admin` is an obsolete keyword"),
        (remote("support_mip6 on;"), "`support_mip6` is an obsolete keyword"),
        (remote("keepalive;"), "`keepalive` is an obsolete keyword"),
        (remote("lifetime byte 5 MB;"), "newer racoon refuses `lifetime byte`"),
        (sainfo("anonymous", "my_identifier user_fqdn \"a@example.org\";"), "`my_identifier` of `sainfo`"),
        // The lexer of racoon skips the sign.
        (remote("dpd_delay = 30;"), "`=` is not part of the language"),
        (sainfo("anonymous", "").replace("compression_algorithm deflate;", ""), "racoon refuses a `sainfo` without"),
    ];
    for (text, expected) in table {
        let notes = warnings(&text, Language::Racoon);
        assert!(notes.iter().any(|note| note.contains(expected)), "{text}: {notes:#?}");
    }
    let conf = configured(&remote("dpd_delay = 30; lifetime byte 5 MB;"));
    assert_eq!(conf.peers[0].config.dead_peer_detection.unwrap().delay.as_secs(), 30);
    assert_eq!(conf.peers[0].config.proposals[0].lifetimes.kilobytes, Some(5120));
}

#[test]
fn scripts_are_files_in_their_directory() {
    let scripts = |directory: &str, scripts: &str| {
        let text = format!("path script \"{directory}\"; {}", remote(scripts));
        configured(&text).peers[0].scripts.clone()
    };
    let [up, down] = [ScriptEvent::Phase1Up, ScriptEvent::Phase1Down];
    let both = "script \"up.sh\" phase1_up; script \"/etc/scripts/down.sh\" phase1_down;";
    let expected = [(up, "/etc/scripts/up.sh".to_owned()), (down, "/etc/scripts/down.sh".to_owned())];
    assert_eq!(scripts("/etc/scripts", both), expected);
    assert_eq!(configured(&remote(both)).peers[0].scripts, [], "without `path script`");
    for name in ["../up.sh", "/etc/up.sh", "a/up.sh", "..", "/etc/scripts/../up.sh", ""] {
        let text = format!("path script \"/etc/scripts\"; {}", remote(&format!("script \"{name}\" phase1_up;")));
        let expected = format!("expected a script in the directory `/etc/scripts` of `path script`, found `{name}`");
        let loaded = Texts::default().with("racoon.conf", &text).load("racoon.conf", Language::Racoon);
        let found = reports(&loaded, Severity::Error);
        assert!(found.iter().any(|own| own.contains(&expected)), "{name}: {found:?}");
    }
}

#[test]
fn statements_without_effect_are_accepted_with_a_warning() {
    let of_remotes = ["verify_cert off;", "nonce_size 16;", "script \"/etc/up.sh\" phase1_up;"];
    let of_files = [
        "privsep { user \"racoon\"; chroot \"/var/empty\"; }",
        "complex_bundle off;",
        "timer { persend 2; }",
        "log debug;",
        "padding { maximum_length 20; }",
        "listen { adminsock \"/run/racoon.sock\"; }",
        "path pidfile \"/run/racoon.pid\";",
        "path backupsa \"/var/sas\";",
    ];
    let texts = of_remotes.map(remote).into_iter().chain(of_files.map(str::to_owned));
    for text in texts {
        let found = warnings(&text, Language::Racoon);
        assert_eq!(found.iter().filter(|own| own.contains("no effect here: ")).count(), 1, "{text}\n{found:?}");
    }
    let with_effect = [
        "send_cert on; send_cr on; verify_cert on; initial_contact on; rekey on; nonce_size 32;",
        "match_empty_cr on; support_proxy on; passive on; dpd off;",
        "send_cert off; send_cr off; initial_contact off; rekey off;",
    ];
    for text in with_effect.map(remote).into_iter().chain(["complex_bundle on;".to_owned()]) {
        assert_eq!(
            warnings(&text, Language::Racoon).iter().filter(|own| own.contains("no effect")).count(),
            0,
            "{text}"
        );
    }
}

#[test]
fn isakmp_sas_are_renewed_with_dead_peer_detection_or_by_force() {
    let cases = [
        ("", false),
        ("rekey on;", false),
        ("dpd_delay 0;", false),
        ("dpd_delay 20;", true),
        ("rekey on; dpd_delay 20;", true),
        ("dpd off; dpd_delay 20;", false),
        ("rekey off; dpd_delay 20;", false),
        ("rekey force;", true),
    ];
    for (text, renews) in cases {
        assert_eq!(configured(&remote(text)).peers[0].config.renews, renews, "{text}");
    }
}

#[test]
fn switches_of_a_peer_are_converted() {
    let conf = configured(&remote("send_cert off; send_cr off; initial_contact off; passive on;"));
    let peer = &conf.peers[0];
    assert!(!peer.sends_certificates && !peer.requests_certificates);
    assert!(!peer.config.initial_contact && !peer.config.initiates);
}

#[test]
fn exchanges_need_no_commas() {
    for text in ["main,aggressive,base", "main aggressive base", "main , aggressive base"] {
        let conf = configured(&remote(&format!("exchange_mode {text};")));
        let expected = [ExchangeKind::MAIN, ExchangeKind::AGGRESSIVE, ExchangeKind::BASE];
        assert_eq!(conf.peers[0].config.exchanges, expected, "{text}");
    }
}

#[test]
fn a_key_id_without_a_word_is_a_file() {
    let conf = parsed(&remote("my_identifier keyid \"/etc/id\";"));
    assert_eq!(conf.remotes[0].values.my_identifier, Some(Identifier::KeyIdFile("/etc/id".into())));
    let texts = Texts::default().with("racoon.conf", remote("my_identifier keyid \"/etc/id\";"));
    let loaded = texts.load("racoon.conf", Language::Racoon);
    let errors = reports(&loaded, Severity::Error);
    assert!(errors[0].contains("/etc/id") && errors[0].contains("write `keyid tag`"), "{errors:#?}");
    let loaded = texts.with("/etc/id", "office").load("racoon.conf", Language::Racoon);
    assert_eq!(reports(&loaded, Severity::Error), Vec::<String>::new());
}

#[test]
fn a_block_inherits_and_overrides() {
    let text = format!(
        "remote \"base\" {{ {NEEDED} lifetime time 1 hour; dpd_delay 20; }}\n\
         remote 203.0.113.1 inherit \"base\" {{ lifetime time 2 hour; exchange_mode aggressive; }}\n\
         remote 203.0.113.2 inherit 203.0.113.1;\n"
    );
    let conf = configured(&text);
    let lifetimes: Vec<_> = conf.peers.iter().map(|peer| peer.config.proposals[0].lifetimes.seconds).collect();
    assert_eq!(lifetimes, [Some(3600), Some(7200), Some(7200)]);
    assert!(conf.peers.iter().all(|peer| peer.config.dead_peer_detection.is_some()));
    assert_eq!(conf.peers[2].config.exchanges, [ExchangeKind::AGGRESSIVE]);
    assert_eq!(conf.peers[2].config.address, Some("203.0.113.2:500".parse().unwrap()));
}

#[test]
fn keys_without_a_certificate_are_files_beside_certificates() {
    let keys = "certificate_type plain_rsa \"own.rsa\"; peers_certfile plain_rsa \"a.rsa\"; \
                peers_certfile plain_rsa \"/keys/b.rsa\"; peers_certfile x509 \"c.crt\";";
    let rsa = NEEDED.replace("pre_shared_key", "rsasig");
    let text = format!(
        "path certificate \"/etc/keys\";\nremote 203.0.113.1 {{ {rsa} {keys} }}\n\
         remote 203.0.113.2 inherit 203.0.113.1;\n"
    );
    for peer in configured(&text).peers {
        let files = peer.files;
        assert_eq!((files.own.len(), files.own_key.as_deref()), (0, Some("/etc/keys/own.rsa")));
        assert_eq!(files.public_keys, ["/etc/keys/a.rsa", "/keys/b.rsa"]);
        assert_eq!(files.peers, ["/etc/keys/c.crt"]);
    }
}

#[test]
fn the_port_of_ike_does_not_count_in_the_name_of_a_remote() {
    let text = format!("remote 203.0.113.1 [500] {{ {NEEDED} }}\nremote anonymous inherit 203.0.113.1;\n");
    let conf = configured(&text);
    assert_eq!(conf.peers[1].config.proposals, conf.peers[0].config.proposals);
    let twice = format!("remote 203.0.113.1 [500] {{ {NEEDED} }}\nremote 203.0.113.1 {{ {NEEDED} }}\n");
    assert_eq!(texts::errors(twice, Language::Racoon).len(), 1);
    let other = format!("remote 203.0.113.1 [501] {{ {NEEDED} }}\nremote 203.0.113.1 {{ {NEEDED} }}\n");
    assert_eq!(texts::errors(other, Language::Racoon), Vec::<String>::new());
    // The block seems to lack what it would have inherited.
    let unknown = "remote 203.0.113.1 inherit 203.0.113.2 { passive on; }";
    assert_eq!(texts::errors(unknown, Language::Racoon), ["1:28: expected the name of an earlier `remote`"]);
}

#[test]
fn the_bits_of_a_key_may_follow_without_a_blank() {
    let proposal = "proposal { encryption_algorithm aes256; hash_algorithm sha1; authentication_method pre_shared_key; dh_group 2; }";
    let text = [
        remote(proposal),
        "sainfo anonymous { encryption_algorithm aes256, blowfish128, rijndael 192, cast128, camellia256; \
         authentication_algorithm hmac_sha1; compression_algorithm none; }"
            .to_owned(),
    ]
    .concat();
    let conf = configured(&text);
    assert_eq!(conf.peers[0].config.proposals.last().map(|own| own.cipher_key), Some(32));
    let ciphers: Vec<_> = conf.phase_2[0].ciphers.iter().map(|row| row.1).collect();
    assert_eq!(ciphers, [32, 16, 24, 16]);
    assert!(!conf.phase_2[0].has_deflate);
    let first = |text: &str| texts::errors(text, Language::Racoon).remove(0);
    for (word, expected) in [
        ("aes257", "expected a key length of aes-cbc from 128 to 256 bits, found `257`"),
        ("camellia256", "`camellia` is an encryption algorithm that is not implemented"),
        ("aes_256", "expected an encryption algorithm: "),
        ("aes256x", "expected an encryption algorithm: "),
    ] {
        let found = first(&remote(&format!("proposal {{ encryption_algorithm {word}; }}")));
        assert!(found.contains(expected), "{found}");
    }
    let comma = "sainfo anonymous { encryption_algorithm aes256 aes128; }";
    assert!(first(comma).contains("`,` between two algorithms"));
}

#[test]
fn a_number_of_queries_beyond_the_limit_is_reduced() {
    let text = remote("dpd_delay 30; dpd_maxfail 800;");
    let found = texts::warnings(&text, Language::Racoon);
    assert!(found.iter().any(|own| own.contains("`dpd_maxfail` is at most 255 here")), "{found:?}");
    let peer = &configured(&text).peers[0];
    assert_eq!(peer.config.dead_peer_detection.map(|own| own.max_failures), Some(255));
}

#[test]
fn the_most_specific_sainfo_is_used() {
    let text = [
        remote(""),
        sainfo("anonymous", "pfs_group 1;"),
        sainfo("address 192.0.2.0/24 any anonymous", "pfs_group 2;"),
        sainfo("address 192.0.2.0/24 any address 203.0.113.0/24 any", "pfs_group 5;"),
        sainfo("address 192.0.2.0/24 4 address 203.0.113.0/24 4", "pfs_group 14;"),
    ]
    .concat();
    let policy = |local: &str, remote: &str, upper: &str| {
        format!("spdadd {local} {remote} {upper} -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;\n")
    };
    let table = [
        ("192.0.2.0/24", "203.0.113.0/24", "any", 5),
        ("192.0.2.0/24", "203.0.113.0/24", "ipencap", 14),
        // The identities must be equal: a part of the network is another one.
        ("192.0.2.0/25", "203.0.113.0/24", "any", 1),
        ("192.0.2.0/24", "203.0.113.0/25", "any", 2),
    ];
    for (local, remote, upper, group) in table {
        let texts = Texts::default().with("racoon.conf", &text).with("setkey.conf", policy(local, remote, upper));
        let names = [("setkey.conf", Language::Setkey), ("racoon.conf", Language::Racoon)];
        let loaded = texts.load_with(&names, Default::default());
        let negotiation = loaded.configuration.negotiations().next().unwrap();
        let found = negotiation.phase_2.and_then(|own| own.group);
        assert_eq!(found, Some(Group(group)), "{local} {remote} {upper}");
        assert_eq!(negotiation.peer.map(|(index, _)| index), Some(0));
    }
}

#[test]
fn a_sainfo_with_a_group_that_is_not_implemented_is_never_used() {
    let text =
        sainfo("anonymous", "pfs_group 14;") + &sainfo("address 192.0.2.1 any address 192.0.2.2 any", "pfs_group 3;");
    assert_eq!(
        texts::warnings(&text, Language::Racoon),
        ["2:157: group ec2n155 is not implemented: the `sainfo` is never used"]
    );
    let conf = configured(&text);
    assert_eq!(conf.phase_2.iter().map(|own| own.group).collect::<Vec<_>>(), [Some(Group::MODP_2048)]);
    // In phase 1, no proposal would be left.
    let phase_1 = format!("remote 203.0.113.1 {{ {} }}", NEEDED.replace("dh_group 14", "dh_group 3"));
    let errors = texts::errors(phase_1, Language::Racoon);
    assert!(errors.iter().any(|error| error.contains("group ec2n155 is not implemented")), "{errors:?}");
}

#[test]
fn sainfo_is_selected_by_peer_range_and_upper_layer_protocol() {
    let text = [
        &remote(""),
        &sainfo("anonymous", ""),
        &sainfo("address 192.0.2.0/24 any anonymous", ""),
        &sainfo("address 192.0.2.0/24 any address 203.0.113.0/24 any", ""),
        &sainfo("address 192.0.2.0/24 17 address 198.18.0.0/15 17", ""),
    ];
    let conf = configured(&text.map(String::as_str).concat());
    let range = |text: &str, length| AddressRange::prefix(text.parse().unwrap(), length).unwrap();
    let (own, udp) = (range("192.0.2.0", 25), Upper::Protocol(IpProto(17)));
    for (source, destination, upper, expected) in [
        (own, range("203.0.113.0", 24), Upper::Any, Some([203, 0, 113, 0])),
        (own, range("203.0.113.128", 32), udp, Some([203, 0, 113, 0])),
        (own, range("203.0.112.0", 23), Upper::Any, None),
        (own, range("198.51.100.0", 24), Upper::Any, None),
        (AddressRange::ANY_V4, range("203.0.113.0", 24), Upper::Any, None),
        (own, range("198.19.0.0", 16), udp, Some([198, 18, 0, 0])),
        (own, range("198.19.0.0", 16), Upper::Any, None),
        (own, AddressRange::ANY_V4, Upper::Any, None),
        (AddressRange::ANY_V6, AddressRange::ANY_V6, Upper::Any, None),
    ] {
        let selector = Selector { source, destination, upper };
        let found = conf.phase_2_containing(0, &selector).and_then(|index| conf.phase_2[index].remote);
        assert_eq!(found.map(|own| own.addresses.0), expected.map(IpAddr::from), "{source} {destination}");
        assert_eq!(conf.phase_2_containing(1, &selector), None, "there is no such peer");
    }
}

#[test]
fn files_are_included() {
    let texts = Texts::default()
        .with("racoon.conf", "path include \"/etc/racoon\";\ninclude \"*.inc\";\nlog info;\n")
        .with("/etc/racoon/a.inc", remote(""))
        .with("/etc/racoon/b.inc", sainfo("anonymous", "pfs_grup 2;"));
    let loaded = texts.load("racoon.conf", Language::Racoon);
    assert_eq!(loaded.configuration.peers.len(), 1);
    let error = loaded.diagnostics.iter().find(|own| own.severity == Severity::Error).unwrap();
    let shown = loaded.sources.show(error).to_string();
    assert!(shown.starts_with("/etc/racoon/b.inc:1:") && shown.contains("did you mean `pfs_group`?"), "{shown}");
    let loaded = Texts::default().with("racoon.conf", "include \"*.none\";").load("racoon.conf", Language::Racoon);
    assert_eq!(reports(&loaded, Severity::Error), ["1:9: no file matches *.none"]);
    let endless = Texts::default().with("racoon.conf", "include \"racoon.conf\";");
    let errors = reports(&endless.load("racoon.conf", Language::Racoon), Severity::Error);
    assert_eq!(errors, ["1:9: `include` is nested too deeply: expected at most 10 levels"]);
}
