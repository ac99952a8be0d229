//! Several files of a host as one configuration.
#![cfg(feature = "std")]

mod texts;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipsec_config::{Files, Language, LoadSettings, Loaded, Target, load};

/// Files in memory with their permission bits.
struct Memory(BTreeMap<&'static str, (&'static str, u32)>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = path.to_str().and_then(|name| self.0.get(name));
        file.map(|(text, _)| text.as_bytes().to_vec()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        vec![pattern.to_owned()]
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        path.to_str().and_then(|name| self.0.get(name)).map(|(_, mode)| *mode)
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == "gw.example.org" { Ok(vec![[192, 0, 2, 1].into()]) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

const SETKEY: &str = "spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;\n\
                      spdadd 10.2.0.0/16 10.1.0.0/16 any -P in ipsec esp/tunnel/198.51.100.1-192.0.2.1/require;\n";
const RACOON: &str = "path pre_shared_key \"psk.txt\";\nremote anonymous { exchange_mode main; proposal { \
                      encryption_algorithm aes; hash_algorithm sha1; authentication_method pre_shared_key; dh_group 14; } }\n\
                      sainfo anonymous { encryption_algorithm aes; authentication_algorithm hmac_sha1; \
                      compression_algorithm deflate; }\n";
const GATEWAY: &str = "file \"racoon.conf\"; policies \"setkey.conf\"; local 192.0.2.1; tun ipsec0;";

/// Reads a file with the others beside it.
fn read(name: &str, files: &[(&'static str, &'static str, u32)]) -> (Loaded, String) {
    let memory = Memory(files.iter().map(|(name, text, mode)| (*name, (*text, *mode))).collect());
    let loaded = load(&memory, &[(name.into(), None)], &LoadSettings::default());
    let shown = loaded.diagnostics.iter().map(|own| format!("{}\n", loaded.sources.show(own))).collect();
    (loaded, shown)
}

#[test]
fn the_files_that_rc_conf_names_are_read_unless_gateway_conf_names_others() {
    const RC: &str =
        "ipsec_enable=YES\nipsec_file=/etc/setkey.conf\nracoon_enable=YES\nracoon_flags=\"-l log -f /etc/r.conf\"\n";
    let gateway = "file \"rc.conf\"; local 192.0.2.1; tun ipsec0;";
    let files = [
        ("gateway.conf", gateway, 0o644),
        ("rc.conf", RC, 0o644),
        ("/etc/setkey.conf", SETKEY, 0o644),
        ("/etc/r.conf", RACOON, 0o644),
        ("/etc/psk.txt", "198.51.100.1 secret\n", 0o600),
    ];
    let (loaded, shown) = read("gateway.conf", &files);
    assert!(loaded.diagnostics.is_empty(), "{shown}");
    assert_eq!((loaded.configuration.policies.len(), loaded.configuration.peers.len()), (2, 1));
    assert!(loaded.keys.is_some());

    // rc.conf alone describes its own lines only: its files may be those of another host.
    let (loaded, shown) = read("rc.conf", &files);
    assert!(loaded.diagnostics.is_empty(), "{shown}");
    assert_eq!((loaded.configuration.policies.len(), loaded.configuration.peers.len()), (0, 0));

    // A policy file that is missing would leave packets in clear.
    let without: Vec<_> = files.iter().filter(|own| own.0 != "/etc/setkey.conf").copied().collect();
    let (_, shown) = read("gateway.conf", &without);
    assert!(shown.contains("/etc/setkey.conf") && shown.contains("error"), "{shown}");

    let mut others = files.to_vec();
    others[0].1 = "file \"rc.conf\"; policies \"none.conf\"; local 192.0.2.1; tun ipsec0;";
    others.push(("none.conf", "spdflush;\n", 0o644));
    let (loaded, shown) = read("gateway.conf", &others);
    assert_eq!((loaded.configuration.policies.len(), loaded.configuration.peers.len()), (0, 1), "{shown}");
}

#[test]
fn isakmpd_and_its_rules_are_found_by_rc_conf_local() {
    const RULE: &str = "ike esp from 192.0.2.1 to 198.51.100.1 psk secret\n";
    let gateway = "file \"rc.conf.local\" rc; local 192.0.2.1; tun ipsec0;";
    // isakmpd runs without a file of its own, unless a flag names one.
    for (flags, is_complete) in [("-K", true), ("", true), ("-K -c/etc/i.conf", false)] {
        let rc: &'static str = format!("ipsec=YES\nisakmpd_flags=\"{flags}\"\n").leak();
        let files = [("gateway.conf", gateway, 0o644), ("rc.conf.local", rc, 0o644), ("/etc/ipsec.conf", RULE, 0o600)];
        let (loaded, shown) = read("gateway.conf", &files);
        assert_eq!((loaded.diagnostics.errors() == 0, loaded.configuration.peers.len()), (is_complete, 1), "{shown}");
    }
}

#[test]
fn the_files_that_gateway_conf_names_are_read() {
    let files = [
        ("gateway.conf", GATEWAY, 0o644),
        ("racoon.conf", RACOON, 0o644),
        ("setkey.conf", SETKEY, 0o644),
        ("psk.txt", "198.51.100.1 secret\n", 0o600),
    ];
    let (loaded, shown) = read("gateway.conf", &files);
    assert!(loaded.diagnostics.is_empty(), "{shown}");
    let mut configuration = loaded.configuration;
    let negotiation = configuration.negotiations().next().unwrap();
    assert_eq!((negotiation.peer.map(|(index, _)| index), negotiation.templates[0].1.len()), (Some(0), 1));
    // Phase 1 is initiated to the address of the policy; others may initiate from any address.
    configuration.add_peers_of_policies();
    let peers: Vec<_> = configuration.peers.iter().map(|peer| (peer.config.address, peer.config.initiates)).collect();
    assert_eq!(peers, [(None, false), (Some("198.51.100.1:500".parse().unwrap()), true)]);
    let negotiation = configuration.negotiations().next().unwrap();
    assert_eq!((negotiation.peer.map(|(index, _)| index), negotiation.templates[0].1.len()), (Some(1), 1));
}

#[test]
fn gateway_conf_sets_the_defaults_of_the_peers_of_other_files() {
    let at_96 = |statements: &str, added: bool| {
        let gateway: &'static str = format!("{GATEWAY} {statements}").leak();
        let files = [
            ("gateway.conf", gateway, 0o644),
            ("racoon.conf", RACOON, 0o644),
            ("setkey.conf", SETKEY, 0o644),
            ("psk.txt", "198.51.100.1 secret\n", 0o600),
        ];
        let (mut loaded, shown) = read("gateway.conf", &files);
        assert_eq!(loaded.diagnostics.errors(), 0, "{shown}");
        if added {
            loaded.add_peers_of_policies();
        }
        let peers = loaded.configuration.peers.iter().map(|peer| peer.config.defaults.sha2_256_at_96);
        peers.collect::<Vec<_>>()
    };
    assert_eq!(at_96("", true), [false, false]);
    assert_eq!(at_96("defaults racoon;", true), [true, true]);
    // The peer of the policy has the address, the one at any address has none.
    assert_eq!(at_96("defaults racoon 198.51.100.1;", true), [false, true]);
    assert_eq!(at_96("defaults racoon; defaults rfc 198.51.100.1;", true), [true, false]);
    assert_eq!(at_96("defaults racoon 198.51.100.9;", true), [false, false]);
    let own = "peer own address 198.51.100.9 { proposal aes128 sha1 modp2048; esp aes128-sha1; }";
    assert_eq!(at_96(&format!("defaults racoon; {own}"), false), [false, true]);
}

#[test]
fn gateway_conf_names_the_release_of_its_ipsec_conf() {
    let group = |statements: &str| {
        let gateway = format!("file \"ipsec.conf\" openbsd; local 192.0.2.1; tun ipsec0; {statements}");
        let rule = "ike esp from 192.0.2.1 to 198.51.100.1 psk secret\n";
        let files = [("gateway.conf", &*gateway.leak(), 0o644), ("ipsec.conf", rule, 0o600)];
        let (loaded, shown) = read("gateway.conf", &files);
        assert_eq!(loaded.diagnostics.errors(), 0, "{shown}");
        let peer = &loaded.configuration.peers[0].config;
        (peer.proposals[0].group.0, peer.defaults.sha2_256_at_96)
    };
    assert_eq!((group(""), group("release 4.1;"), group("release 5.8;")), ((15, false), (2, true), (15, false)));
}

#[test]
fn files_with_keys_that_others_can_read_are_reported() {
    let files = [
        ("gateway.conf", GATEWAY, 0o644),
        ("racoon.conf", RACOON, 0o644),
        ("setkey.conf", SETKEY, 0o644),
        ("psk.txt", "198.51.100.1 secret\n", 0o640),
    ];
    let (loaded, shown) = read("gateway.conf", &files);
    let text = "psk.txt:1:1: warning: the file contains keys: mode is 0640, expected 0600: run `chmod 600 psk.txt`";
    assert!(shown.contains(text) && !shown.contains("secret"), "{shown}");
    assert_eq!((loaded.diagnostics.errors(), loaded.diagnostics.iter().count()), (0, 1), "{shown}");
    let sa =
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -E aes-cbc \"sixteen octets !\" -A hmac-sha1 \"twenty octets it has\";";
    let (_, shown) = read("setkey.conf", &[("setkey.conf", sa, 0o644)]);
    assert!(shown.contains("the file contains keys: mode is 0644") && !shown.contains("octets"), "{shown}");
    let (_, shown) = read("setkey.conf", &[("setkey.conf", SETKEY, 0o644)]);
    assert_eq!(shown, "", "policies are not keys");
}

#[test]
fn a_gateway_conf_that_names_itself_is_refused() {
    let text = "file \"gateway.conf\" gateway; local 192.0.2.1; tun ipsec0;";
    let (_, shown) = read("gateway.conf", &[("gateway.conf", text, 0o644)]);
    assert!(shown.contains("expected one gateway.conf"), "{shown}");
}

#[test]
fn networks_and_domains_of_mode_cfg_are_sent_to_clients() {
    let read = |statements: &str| {
        let conf = format!(
            "path pre_shared_key \"psk.txt\"; mode_cfg {{ network4 10.99.0.10; {statements} }}\n\
             remote anonymous {{ exchange_mode main; mode_cfg on; proposal {{ encryption_algorithm aes; \
             hash_algorithm sha1; authentication_method xauth_psk_server; dh_group 14; }} }}"
        );
        let texts = texts::Texts::default().with("racoon.conf", conf).with("psk.txt", "192.0.2.9 key\n");
        let loaded = texts.load("racoon.conf", Language::Racoon);
        let shown = texts::shown(&loaded);
        (loaded.configuration.peers[0].pool.clone().unwrap().values, shown)
    };
    let (values, shown) =
        read("split_network local_lan 192.168.0.0/24, 10.0.0.0/8; split_dns \"a.example\", \"b.example\";");
    assert!(!shown.contains("no effect"), "{shown}");
    let excluded: Vec<_> = values.split_exclude.iter().flatten().map(|own| (own.address, own.mask)).collect();
    let expected = [([192, 168, 0, 0], [255, 255, 255, 0]), ([10, 0, 0, 0], [255, 0, 0, 0])];
    assert_eq!(excluded, expected.map(|(address, mask)| (address.into(), mask.into())));
    assert_eq!((values.split_include, values.split_dns.octets()), ([None; 8], &b"a.example,b.example"[..]));
    let (values, shown) = read(&format!("split_dns \"{}\";", "a".repeat(129)));
    assert!(
        shown.contains("`split_dns` has no effect: expected names of at most 128 octets together, found 129"),
        "{shown}"
    );
    assert_eq!(values.split_dns.octets(), b"");
}

#[test]
fn missing_files_and_keys_are_reported() {
    let files = [("gateway.conf", GATEWAY, 0o644), ("racoon.conf", RACOON, 0o644)];
    let (_, shown) = read("gateway.conf", &files);
    assert!(shown.contains("setkey.conf:1:1: error: entity not found"), "{shown}");
    let files = [
        ("gateway.conf", GATEWAY, 0o644),
        ("racoon.conf", RACOON, 0o644),
        ("setkey.conf", SETKEY, 0o644),
        ("psk.txt", "203.0.113.9 secret\n", 0o600),
    ];
    let (_, shown) = read("gateway.conf", &files);
    assert!(shown.contains("the file of the pre-shared keys has no line for 198.51.100.1"), "{shown}");
}

#[test]
fn languages_are_detected_by_names_and_first_words() {
    let table = [
        ("racoon.conf", "", Some(Language::Racoon)),
        ("/etc/psk.txt", "", Some(Language::Psk)),
        ("isakmpd.conf", "", Some(Language::Isakmpd)),
        ("ipsec.conf", "# comment\nflush;\n", Some(Language::Setkey)),
        ("ipsec.conf", "\nike esp from 10.0.0.1 to 10.0.0.2\n", Some(Language::OpenBsd)),
        ("ipsec.conf", "net = \"10.0.0.0/8\"\n", Some(Language::OpenBsd)),
        ("ipsec.conf", "esp from 10.0.0.1 to 10.0.0.2 spi 0x1000\n", Some(Language::OpenBsd)),
        ("a", "[General]\n", Some(Language::Isakmpd)),
        ("a", "src 192.0.2.1 dst 198.51.100.1\n", Some(Language::Xfrm)),
        ("a", "path certificate \"x\";\n", Some(Language::Racoon)),
        ("a", "unknown words\n", None),
        ("a", "", None),
    ];
    for (name, text, expected) in table {
        assert_eq!(Language::detect(Path::new(name), text.as_bytes()), expected, "{name}: {text}");
    }
}

#[test]
fn host_names_in_setkey_conf_are_resolved() {
    let text = "spdadd gw.example.org 198.51.100.1 any -P out ipsec esp/transport//require;\n\
                spdadd 198.51.100.1 gw.example.org any -P in ipsec esp/transport//require;\n";
    let (loaded, shown) = read("setkey.conf", &[("setkey.conf", text, 0o644)]);
    assert_eq!(loaded.diagnostics.errors(), 0, "{shown}");
    let source = loaded.configuration.policies[0].params.selector.source;
    assert_eq!(source.first(), IpAddr::from([192, 0, 2, 1]));
    let (_, shown) =
        read("setkey.conf", &[("setkey.conf", "spdadd gone.example.org 198.51.100.1 any -P out none;", 0o644)]);
    assert!(shown.contains("setkey.conf:1:8: error: `gone.example.org`"), "{shown}");
}

#[test]
fn ports_of_a_protocol_without_ports_are_refused() {
    let text = "src 10.0.0.1/32 dst 10.0.0.2/32 proto esp sport 80\n\tdir out priority 100\n";
    let (_, shown) = read("xfrm.txt", &[("xfrm.txt", text, 0o600)]);
    assert!(shown.contains("protocol esp has no ports: no packet matches the policy"), "{shown}");
}

#[test]
fn rc_conf_is_written_as_it_is_read() {
    let text = "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"192.0.2.1 198.51.100.1\"\n\
                ifconfig_gif0=\"inet 192.168.1.1 192.168.2.1 netmask 255.255.255.255 mtu 1400\"\n\
                ifconfig_gif0_alias0=\"inet6 2001:db8::1 prefixlen 64\"\nstatic_routes=\"vpn six\"\n\
                route_vpn=\"192.168.2.0/24 192.168.2.1\"\nroute_six=\"-inet6 2001:db8:2::/48 -interface gif0\"\n\
                ipsec_enable=\"YES\"\nracoon_enable=\"YES\"\nracoon_flags=\"-l /var/log/racoon.log\"\n";
    let (first, shown) = read("rc.conf", &[("rc.conf", text, 0o644)]);
    assert!(first.diagnostics.is_empty(), "{shown}");
    let (written, lost) = first.configuration.write(Target::Rc);
    assert_eq!(lost.iter().count(), 0);
    let written: &'static str = Box::leak(written.to_string().into_boxed_str());
    let (second, shown) = read("rc.conf", &[("rc.conf", written, 0o644)]);
    assert!(second.diagnostics.is_empty(), "{written}{shown}");
    let gifs = |own: &Loaded| -> Vec<_> {
        own.configuration.gifs.iter().map(|gif| (gif.name.clone(), gif.outer, gif.inner.clone(), gif.mtu)).collect()
    };
    let routes = |own: &Loaded| -> Vec<_> {
        let routes = own.configuration.routes.iter();
        routes.map(|route| (route.destination, route.gateway, route.interface.clone())).collect()
    };
    assert_eq!((gifs(&second), routes(&second)), (gifs(&first), routes(&first)), "{written}");
    assert_eq!((gifs(&first).len(), gifs(&first)[0].2.len(), routes(&first).len()), (1, 2, 2));
    assert_eq!(second.configuration.startup, first.configuration.startup);
}

#[test]
fn keys_of_rules_are_written_as_psk_txt() {
    let text = "ike from 10.1.0.0/16 to 10.2.0.0/16 peer 198.51.100.1 psk \"plain text\"\n\
                ike passive from 10.1.0.0/16 to 10.3.0.0/16 peer any dstid road.example.org psk \" blank\"\n";
    let (loaded, shown) = read("ipsec.conf", &[("ipsec.conf", text, 0o600)]);
    assert_eq!(loaded.diagnostics.errors(), 0, "{shown}");
    let (written, _) = loaded.configuration.write(Target::Psk);
    assert_eq!(written.as_str(), "198.51.100.1\tplain text\nroad.example.org\t0x20626c616e6b\n");
    let written: &'static str = Box::leak(written.to_string().into_boxed_str());
    let keys = read("psk.txt", &[("psk.txt", written, 0o600)]).0.keys.unwrap();
    assert_eq!(keys.key(None, Some("road.example.org")), Some(&b" blank"[..]));
}

#[test]
fn names_of_algorithms_elsewhere_are_suggested_as_those_of_setkey() {
    for (option, name, meant) in [
        ("-E", "aes", "aes-cbc"),
        ("-E", "aes128", "aes-cbc"),
        ("-E", "aes-256-cbc", "aes-cbc"),
        ("-E", "aes256-gcm16", "aes-gcm-16"),
        ("-E", "3des", "3des-cbc"),
        ("-E", "blowfish", "blowfish-cbc"),
        ("-A", "sha1", "hmac-sha1"),
        ("-A", "sha256", "hmac-sha256"),
        ("-A", "md5", "hmac-md5"),
    ] {
        let text = format!("add 10.0.0.1 10.0.0.2 esp 1 {option} {name} 0x00;");
        let (_, shown) = read("setkey.conf", &[("setkey.conf", Box::leak(text.into_boxed_str()), 0o600)]);
        assert!(shown.contains(&format!("did you mean `{meant}`?")), "{shown}");
    }
    let (_, shown) = read("setkey.conf", &[("setkey.conf", "add 10.0.0.1 10.0.0.2 esp 1 -E des-x1y2z3 0x00;", 0o600)]);
    assert!(shown.contains("unknown algorithm"), "{shown}");
}

/// Files of which each can be read once, as those of a pipe.
struct Pipes(Memory, std::cell::RefCell<Vec<PathBuf>>);

impl Files for Pipes {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut known = self.1.borrow_mut();
        if known.iter().any(|known| known == path) {
            return Ok(Vec::new());
        }
        known.push(path.to_owned());
        self.0.read(path)
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        self.0.expand(pattern)
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.resolve(name)
    }
}

#[test]
fn files_of_every_language_are_read_once() {
    for (language, text) in [
        (Language::Setkey, "spdadd 10.0.0.1 10.0.0.2 any -P out none;"),
        (Language::Racoon, "remote 192.0.2.1 { exchange_mode main; }"),
        (Language::OpenBsd, "esp from 10.0.0.1 to 10.0.0.2 spi 0x1:0x2 nonsense"),
        (Language::Isakmpd, "[General]\nListen-on=nonsense"),
        (Language::Rc, "nonsense"),
        (Language::Xfrm, "src 192.0.2.1 dst nonsense"),
        (Language::Gateway, "nonsense;"),
    ] {
        let files = || Memory([("a", (text, 0o600))].into());
        let paths = [(PathBuf::from("a"), Some(language))];
        let seen = |loaded: &Loaded| (loaded.diagnostics.iter().count(), loaded.configuration.policies.len());
        let twice = seen(&load(&files(), &paths, &LoadSettings::default()));
        let once = seen(&load(&Pipes(files(), Default::default()), &paths, &LoadSettings::default()));
        assert_eq!(once, twice, "{text}");
        assert_ne!(once, (0, 0), "{text}");
    }
}

#[test]
fn statements_after_exit_are_reported() {
    for (behind, expected) in [("\n# comment\n;\n", 0), ("flush;\n", 1), ("\n# c\nspdflush ;\n", 1)] {
        let text = format!("spdflush;\nexit;{behind}");
        let memory = texts::Texts::default().with("setkey.conf", &text);
        let loaded = memory.load("setkey.conf", Language::Setkey);
        let found = texts::reports(&loaded, ipsec_config::Severity::Warning);
        let about = found.iter().filter(|own| own.contains("the statements after this one are not read"));
        assert_eq!(about.count(), expected, "{text}: {found:?}");
    }
}
