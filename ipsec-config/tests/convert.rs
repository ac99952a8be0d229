//! Configurations that are written in a language and read again have the same SAs, policies, peers and transforms.
#![cfg(feature = "std")]

mod texts;

use ipsec_config::{Configuration, Language, Severity, Target};
use proptest::prelude::*;
use texts::{Texts, accepted, reports};

const READABLE: [(Target, Language); 4] = [
    (Target::Setkey, Language::Setkey),
    (Target::Xfrm, Language::Xfrm),
    (Target::OpenBsd, Language::OpenBsd),
    (Target::Isakmpd, Language::Isakmpd),
];

/// Returns the SAs and policies in one notation, in order. On Linux, packets for other hosts have a direction of their
/// own, which is left out.
fn lines(conf: &Configuration) -> Vec<String> {
    let (text, _) = conf.write(Target::Setkey);
    let mut lines: Vec<_> = text.lines().filter(|line| !line.contains("-P fwd")).map(String::from).collect();
    lines.sort();
    lines
}

/// Returns what is negotiated: peers, identities, transforms and lifetimes.
fn negotiated(conf: &Configuration) -> Vec<String> {
    let mut all: Vec<_> = conf
        .negotiations()
        .map(|own| {
            let peer = own.peer.map(|(index, peer)| {
                let key = conf.keys.iter().find(|key| key.peer == index).map(|key| key.key.to_vec());
                let config = &peer.config;
                (config.address, config.proposals.clone(), config.exchanges.clone(), key)
            });
            let phase_2 = own.phase_2.map(|own| (own.group, own.lifetimes.seconds));
            format!("{:?} {peer:?} {phase_2:?} {:?}", own.selector, own.templates)
        })
        .collect();
    all.sort();
    all
}

fn again(conf: &Configuration, target: Target, language: Language) -> Configuration {
    let (text, _) = conf.write(target);
    accepted(text.as_bytes(), language)
}

#[test]
fn negotiated_parameters_are_the_same_in_every_language() {
    let psk = "psk \"change-this-secret\"\n";
    let rules = [
        "ike esp from 192.0.2.0/24 to 198.51.100.0/24 local 203.0.113.1 peer 203.0.113.2 ",
        "ike esp transport proto udp from 203.0.113.1 port 500 to 203.0.113.2 port 1701 ",
        "ike esp proto gre from 203.0.113.1 to 203.0.113.2 main auth hmac-md5 enc 3des group modp1536 quick enc blowfish auth hmac-sha1 ",
        "ike esp from 2001:db8:1::/48 to 2001:db8:2::/48 local 2001:db8::1 peer 2001:db8::2 quick enc aes-256 group modp2048 ",
        "ike passive esp from 192.0.2.0/24 to 198.51.100.0/24 local 203.0.113.1 peer 203.0.113.2 aggressive lifetime 2h quick lifetime 30m ",
        "ike ah from 192.0.2.0/24 to 198.51.100.0/24 local 203.0.113.1 peer 203.0.113.2 quick auth hmac-sha2-512 ",
        "ike esp from 192.0.2.0/24 to 198.51.100.0/24 local 203.0.113.1 peer 203.0.113.2 quick enc aes-128-gcm group ecp256 ",
    ];
    for rule in rules {
        let conf = accepted(format!("{rule}{psk}"), Language::OpenBsd);
        let expected = negotiated(&conf);
        for (target, language) in [(Target::OpenBsd, Language::OpenBsd), (Target::Isakmpd, Language::Isakmpd)] {
            let (text, lost) = conf.write(target);
            assert_eq!(lost.iter().collect::<Vec<_>>(), Vec::<&str>::new(), "{rule}");
            let conf = accepted(text.as_bytes(), language);
            assert_eq!(negotiated(&conf), expected, "{rule}\n{}", text.as_str());
            assert_eq!(lines(&conf), lines(&accepted(format!("{rule}{psk}"), Language::OpenBsd)), "{rule}");
        }
        if rule.contains("gcm") {
            continue;
        }
        // The policies and keys of racoon are in other files.
        let (racoon, setkey) = (conf.write(Target::Racoon).0, conf.write(Target::Setkey).0);
        let texts = Texts::default().with("racoon.conf", racoon.as_bytes()).with("setkey.conf", setkey.as_bytes());
        let names = [("setkey.conf", Language::Setkey), ("racoon.conf", Language::Racoon)];
        let loaded = texts.load_with(&names, Default::default());
        assert_eq!(reports(&loaded, Severity::Error), Vec::<String>::new(), "{}", racoon.as_str());
        let without_key = |all: Vec<String>| all.into_iter().map(|own| key_free(&own)).collect::<Vec<_>>();
        assert_eq!(
            without_key(negotiated(&loaded.configuration)),
            without_key(expected),
            "{rule}\n{}",
            racoon.as_str()
        );
    }
}

/// Returns a text without the octets of a key, which racoon has in another file.
fn key_free(text: &str) -> String {
    let key = format!("Some({:?})", b"change-this-secret".to_vec());
    text.replace(&key, "None")
}

#[test]
fn the_scenario_with_manual_keys_is_the_same_in_the_other_languages() {
    let conf = accepted(include_str!("../../ipsec-gateway/examples/5-manual/a.ipsec.conf"), Language::Setkey);
    assert_eq!(lines(&again(&conf, Target::Setkey, Language::Setkey)), lines(&conf));
    // A mode of SAs that both transport and tunnel templates find exists in setkey only.
    let transport = include_str!("../../ipsec-gateway/examples/5-manual/a.ipsec.conf")
        .replace(" -E", " -m transport -E")
        .replace(" ah 0x10000 ", " ah 0x10000 -m transport ")
        .replace(" ah 0x10001 ", " ah 0x10001 -m transport ");
    let conf = accepted(transport, Language::Setkey);
    assert_eq!(lines(&again(&conf, Target::Xfrm, Language::Xfrm)), lines(&conf));
}

#[test]
fn the_written_racoon_conf_is_read_as_the_same_configuration() {
    for text in [
        include_str!("../../ipsec-gateway/examples/1-handbook/racoon.conf"),
        include_str!("../../ipsec-gateway/examples/2-windows/racoon.conf"),
        include_str!("../../ipsec-gateway/examples/3-openbsd-x509/freebsd.racoon.conf"),
        include_str!("../../ipsec-gateway/examples/4-isakmpd/freebsd.racoon.conf"),
    ] {
        let policies = "spdadd 192.0.2.1 198.51.100.1 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;";
        let load = |text: &str| {
            let texts = Texts::default().with("racoon.conf", text).with("setkey.conf", policies);
            texts.load_with(&[("setkey.conf", Language::Setkey), ("racoon.conf", Language::Racoon)], Default::default())
        };
        let first = load(text);
        let second = load(&first.racoon[0].to_string());
        assert_eq!(negotiated(&second.configuration), negotiated(&first.configuration));
        // The same by way of the common configuration.
        let (written, _) = first.configuration.write(Target::Racoon);
        assert_eq!(negotiated(&load(&written).configuration), negotiated(&first.configuration), "{}", written.as_str());
    }
}

#[test]
fn a_gateway_conf_made_of_other_languages_negotiates_the_same() {
    let own = "192.0.2.1-198.51.100.1";
    let policies = format!("spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/{own}/require;");
    let rule = "ike esp from 192.0.2.0/24 to 198.51.100.0/24 local 203.0.113.1 peer 203.0.113.2 \
                main enc 3des group modp1536 quick enc aes-256 group modp2048 psk \"change-this-secret\"\n";
    let racoon = |text| (policies.as_str(), Language::Setkey, text, Language::Racoon);
    let handbook = include_str!("../../ipsec-gateway/examples/1-handbook/racoon.conf");
    let switched = handbook.replacen(
        "exchange_mode main,aggressive;",
        "exchange_mode main; passive on; rekey off; ike_frag on; esp_frag 552; send_cert off; send_cr off;",
        1,
    );
    let switched = switched.replacen("initial_contact on;", "initial_contact off;", 1);
    assert!(switched.contains("passive on;") && switched.contains("initial_contact off;"));
    let table = [
        racoon(handbook),
        racoon(&switched),
        racoon(include_str!("../../ipsec-gateway/examples/2-windows/racoon.conf")),
        racoon(include_str!("../../ipsec-gateway/examples/3-openbsd-x509/freebsd.racoon.conf")),
        racoon(include_str!("../../ipsec-gateway/examples/4-isakmpd/freebsd.racoon.conf")),
        ("", Language::Setkey, rule, Language::OpenBsd),
    ];
    // Peers, and the transforms of each policy. The names of the peers may differ.
    let of = |conf: &Configuration| -> Vec<String> {
        let all = conf.negotiations().map(|own| {
            let (_, peer) = own.peer.expect("a peer");
            let config = &peer.config;
            let identities = (&config.local_identity, &config.remote_identity);
            let switches = [config.initiates, config.renews, config.initial_contact, config.fragment_size > 0];
            let certificates = (peer.sends_certificates, peer.requests_certificates, peer.esp_fragment_size);
            let (address, proposals) = (config.address, &config.proposals);
            format!("{address:?} {proposals:?} {identities:?} {switches:?} {certificates:?} {:?}", own.templates)
        });
        all.collect()
    };
    for (first, language, second, other) in table {
        let texts = Texts::default().with("first", first).with("second", second);
        let loaded = texts.load_with(&[("first", language), ("second", other)], Default::default());
        assert_eq!(reports(&loaded, Severity::Error), Vec::<String>::new(), "{second}");
        let mut conf = loaded.configuration;
        let (text, _) = conf.write(Target::Gateway);
        let texts = Texts::default()
            .with("gateway.conf", text.as_bytes())
            .with("setkey.conf", conf.write(Target::Setkey).0.as_bytes())
            .with("psk.txt", conf.write(Target::Psk).0.as_bytes());
        let loaded = texts.load("gateway.conf", Language::Gateway);
        assert_eq!(reports(&loaded, Severity::Error), Vec::<String>::new(), "{}", text.as_str());
        // The daemon does the same with `remote anonymous`.
        conf.add_peers_of_policies();
        assert!(!of(&conf).is_empty());
        assert_eq!(of(&loaded.configuration), of(&conf), "{}", text.as_str());
        assert_eq!(loaded.gateway.map(|conf| conf.locals.len()), Some(1), "{}", text.as_str());
    }
}

#[test]
fn values_that_a_language_cannot_express_are_reported() {
    let manual = "add 192.0.2.1 192.0.2.2 esp 0x1000 -m tunnel -u 7 -E aes-ctr 0x0102030405060708090a0b0c0d0e0f1011121314 -A hmac-sha1 \"twenty octets it has\";";
    let table = [
        (Language::Setkey, manual, Target::OpenBsd, "does not permit with static keys"),
        (Language::Setkey, manual, Target::Isakmpd, "SAs with manual keys"),
        (
            Language::OpenBsd,
            "ike esp from 192.0.2.1 to 192.0.2.2 psk secret\n",
            Target::Setkey,
            "peers and parameters of phase 2",
        ),
        (
            Language::OpenBsd,
            "ike esp from 192.0.2.1 to 192.0.2.2 psk secret\n",
            Target::Racoon,
            "pre-shared keys: write them into psk.txt",
        ),
    ];
    for (language, text, target, expected) in table {
        let (_, lost) = accepted(text, language).write(target);
        assert!(lost.iter().any(|own| own.contains(expected)), "{target:?}: {lost:?}");
    }
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<[u8; 4]>()
            .prop_filter("unspecified", |own| own[0] != 0)
            .prop_map(|own| std::net::Ipv4Addr::from(own).to_string()),
        any::<u16>().prop_map(|last| format!("2001:db8::{last:x}:1")),
    ]
}

/// Generates two addresses of one family.
fn ends() -> impl Strategy<Value = (String, String)> {
    (address(), address()).prop_filter("one family", |(a, b)| a.contains(':') == b.contains(':') && a != b)
}

fn network() -> impl Strategy<Value = String> {
    (any::<[u8; 4]>(), 1_u8..=32).prop_map(|(octets, length)| {
        let bits = u32::from_be_bytes(octets) & (u32::MAX << (32 - length));
        format!("{}/{length}", std::net::Ipv4Addr::from(bits))
    })
}

fn hex(octets: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<u8>(), octets)
        .prop_map(|key| format!("0x{}", key.iter().map(|octet| format!("{octet:02x}")).collect::<String>()))
}

/// Generates SAs of ESP and AH with ciphers that all languages have, for setkey(8).
fn sa() -> impl Strategy<Value = String> {
    let cipher = prop_oneof![
        hex(16).prop_map(|key| format!("aes-cbc {key}")),
        hex(32).prop_map(|key| format!("aes-cbc {key}")),
        hex(20).prop_map(|key| format!("blowfish-cbc {key}")),
        hex(16).prop_map(|key| format!("cast128-cbc {key}")),
        Just("null \"\"".to_string()),
    ];
    let mac = prop_oneof![
        hex(16).prop_map(|key| format!("hmac-md5 {key}")),
        hex(20).prop_map(|key| format!("hmac-sha1 {key}")),
        hex(32).prop_map(|key| format!("hmac-sha2-256 {key}")),
        hex(64).prop_map(|key| format!("hmac-sha2-512 {key}")),
    ];
    let mode = prop_oneof![Just("transport"), Just("tunnel")];
    (ends(), 256..u32::MAX, mode, proptest::option::of(cipher), mac).prop_map(|((from, to), spi, mode, cipher, mac)| {
        let protocol = if cipher.is_some() { "esp" } else { "ah" };
        let cipher = cipher.map(|own| format!(" -E {own}")).unwrap_or_default();
        format!("add {from} {to} {protocol} {spi:#x} -m {mode}{cipher} -A {mac};\n")
    })
}

/// Generates policies that all languages have, for setkey(8).
fn policy() -> impl Strategy<Value = String> {
    let upper =
        prop_oneof![Just(("any", "", "")), Just(("tcp", "[80]", "")), Just(("udp", "", "[53]")), Just(("gre", "", ""))];
    let level = prop_oneof![Just("require"), Just("use")];
    (network(), network(), upper, ends(), level, 0..4_u8).prop_map(
        |(from, to, (upper, sport, dport), (a, b), level, kind)| {
            let direction = if kind & 1 == 0 { "out" } else { "in" };
            let action = match kind {
                0 | 1 => format!("ipsec esp/tunnel/{a}-{b}/{level}"),
                2 => "none".to_string(),
                _ => "discard".to_string(),
            };
            format!("spdadd {from}{sport} {to}{dport} {upper} -P {direction} {action};\n")
        },
    )
}

proptest! {
    #[test]
    fn sas_and_policies_are_the_same_in_every_language(
        sas in proptest::collection::vec(sa(), 0..4),
        policies in proptest::collection::vec(policy(), 0..4),
    ) {
        let conf = accepted([sas.concat(), policies.concat()].concat(), Language::Setkey);
        for (target, language) in READABLE.into_iter().take(3) {
            let (text, lost) = conf.write(target);
            prop_assert_eq!(lost.iter().count(), 0, "{:?}: {:?}", target, lost);
            prop_assert_eq!(lines(&accepted(text.as_bytes(), language)), lines(&conf), "{}", text.as_str());
        }
    }

    #[test]
    fn lifetimes_request_ids_and_ports_are_the_same_in_setkey_and_xfrm(
        (from, to) in ends(), reqid in 0..u32::MAX, key in hex(16), mac in hex(20),
        hard in 1..u32::MAX, soft in 1..u32::MAX, is_wide in any::<bool>(),
    ) {
        let wide = if is_wide { " -esn" } else { "" };
        let text = format!(
            "add {from} {to} esp 0x1000 -m tunnel -u {reqid}{wide} -lh {hard} -ls {soft} -bh {hard} -bs {soft} \
             -E aes-cbc {key} -A hmac-sha1 {mac};\n\
             add {from}[4500] {to}[4501] esp-udp 0x1001 -m tunnel -E aes-cbc {key} -A hmac-sha1 {mac};\n"
        );
        let conf = accepted(&text, Language::Setkey);
        for (target, language) in READABLE.into_iter().take(2) {
            prop_assert_eq!(lines(&again(&conf, target, language)), lines(&conf));
        }
    }
}
