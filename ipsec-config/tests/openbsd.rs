//! ipsec.conf(5) of OpenBSD: rules, defaults of the releases, errors.
#![cfg(feature = "std")]

mod texts;

use ike_codec::{AuthMethod, ExchangeKind, Group, IdKind};
use ike_v1::LocalIdentity;
use ipsec_config::openbsd::Release;
use ipsec_config::{Configuration, Language};
use ipsec_crypto::{CipherAlgorithm as C, HashFunction, IntegrityAlgorithm as I};
use ipsec_sa::{Action, Level, Mode, Protocol, Template, TransformParams};
use texts::damage::damages;
use texts::{Texts, accepted, errors, loaded_for, reports, warnings};

fn read(text: &str) -> Configuration {
    accepted(text, Language::OpenBsd)
}

fn template(conf: &Configuration, index: usize) -> Template {
    match conf.policies[index].params.action {
        Action::Protect(bundle) => *bundle.iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Returns the policies as setkey(8) writes them, without the levels.
fn policies(conf: &Configuration) -> Vec<String> {
    let text = |own: &ipsec_config::ConfiguredPolicy| {
        let (selector, params) = (own.params.selector, own.params);
        format!("{} {} {} {}", params.direction, selector.source, selector.destination, params.action)
    };
    conf.policies.iter().map(text).collect()
}

#[test]
fn defaults_are_those_of_the_release() {
    let rule = "ike esp from 192.0.2.0/24 to 198.51.100.0/24 peer 203.0.113.1 psk \"change-this-secret\"\n";
    let table = [
        (Release::V3_8, 2, I::HmacSha2_256_96),
        (Release::V4_1, 2, I::HmacSha2_256_96),
        (Release::V4_6, 2, I::HmacSha2_256_96),
        (Release::V5_8, 15, I::HmacSha2_256_128),
        (Release::Newest, 15, I::HmacSha2_256_128),
    ];
    for (release, group, integrity) in table {
        let loaded = loaded_for(rule, release);
        let conf = &loaded.configuration;
        let config = &conf.peers[0].config;
        let [proposal] = config.proposals.as_slice() else { panic!() };
        assert_eq!((proposal.cipher, proposal.cipher_key, proposal.hash), (C::AesCbc, 16, HashFunction::Sha1));
        assert_eq!((proposal.group, proposal.auth_method), (Group(group), AuthMethod::PRE_SHARED_KEY), "{release:?}");
        assert_eq!((proposal.lifetimes.seconds, config.exchanges.as_slice()), (Some(3600), &[ExchangeKind::MAIN][..]));
        let negotiation = conf.negotiations().next().unwrap();
        let phase_2 = negotiation.phase_2.unwrap();
        assert_eq!((phase_2.group, phase_2.lifetimes.seconds), (Some(Group(group)), Some(1200)), "{release:?}");
        let [choice] = negotiation.templates[0].1.as_slice() else { panic!() };
        let ike_v1::Phase2Suite::Keyed { cipher, cipher_key, integrity: found, .. } = choice.suite else { panic!() };
        assert_eq!((cipher, cipher_key, found), (C::AesCbc, 16, integrity), "{release:?}");
    }
    assert_eq!(Release::NAMES.len(), table.len());
}

#[test]
fn phase_1_and_phase_2_parameters_are_converted() {
    let conf = read(
        "ike dynamic ah transport proto tcp from 192.0.2.1 port 80 to 198.51.100.1 port 1024 local 192.0.2.1 \\\n\
         \tpeer 198.51.100.1 aggressive auth hmac-md5 enc blowfish group modp1536 lifetime 2h \\\n\
         \tquick auth hmac-sha2-512 group none lifetime 30m srcid admin@example.org dstid gw.example.org \\\n\
         \tpsk 'a \"quoted\" secret' tag \"vpn\"\n",
    );
    let peer = &conf.peers[0];
    let config = &peer.config;
    assert_eq!(config.exchanges, [ExchangeKind::AGGRESSIVE]);
    let [proposal] = config.proposals.as_slice() else { panic!() };
    assert_eq!((proposal.cipher, proposal.cipher_key, proposal.group), (C::BlowfishCbc, 16, Group(5)));
    assert_eq!((proposal.hash, proposal.lifetimes.seconds), (HashFunction::Md5, Some(7200)));
    assert!(config.dead_peer_detection.is_some() && peer.starts && config.initiates);
    let LocalIdentity::Given(own) = &config.local_identity else { panic!() };
    assert_eq!((own.kind, own.to_string().as_str()), (IdKind::USER_FQDN, "admin@example.org"));
    assert_eq!(config.remote_identity.as_ref().unwrap().kind, IdKind::FQDN);
    assert_eq!(conf.keys[0].key.as_slice(), b"a \"quoted\" secret");
    let phase_2 = &conf.phase_2[0];
    assert_eq!((phase_2.group, phase_2.lifetimes.seconds), (None, Some(1800)));
    assert_eq!(phase_2.integrity, [I::HmacSha2_512_256]);
    let own = template(&conf, 0);
    assert_eq!((own.protocol, own.mode, own.ends), (Protocol::Ah, Mode::Transport, None));
}

#[test]
fn a_rule_makes_policies_for_all_combinations_in_both_directions() {
    let conf = read(
        "lan = \"{ 192.0.2.0/25, 192.0.2.128/25 }\"\ngw = \"203.0.113.1\"\nnet = \"198.51.100.0\"\n\
         ike passive esp from $lan to { $net/24 2001:db8::/32 } local 203.0.113.2 peer $gw psk secret\n",
    );
    let expected = [
        "out 192.0.2.0/25 198.51.100.0/24 ipsec esp/tunnel/203.0.113.2-203.0.113.1/require",
        "in 198.51.100.0/24 192.0.2.0/25 ipsec esp/tunnel/203.0.113.1-203.0.113.2/require",
        "out 192.0.2.128/25 198.51.100.0/24 ipsec esp/tunnel/203.0.113.2-203.0.113.1/require",
        "in 198.51.100.0/24 192.0.2.128/25 ipsec esp/tunnel/203.0.113.1-203.0.113.2/require",
    ];
    assert_eq!(policies(&conf), expected);
    assert_eq!((conf.peers.len(), conf.peers[0].config.initiates, conf.peers[0].starts), (1, false, false));
}

#[test]
fn the_peer_of_a_host_is_the_host_and_that_of_a_network_is_any() {
    let table = [
        ("from 192.0.2.1 to 198.51.100.1", Some("198.51.100.1:500")),
        ("from 192.0.2.1 to 198.51.100.0/24", None),
        ("from 192.0.2.1 to any", None),
        ("from 192.0.2.1 to 198.51.100.1 peer any", None),
        ("from 192.0.2.1 to 198.51.100.1 peer 203.0.113.1", Some("203.0.113.1:500")),
        ("from 2001:db8::1 to any peer 2001:db8::2", Some("[2001:db8::2]:500")),
        ("to 198.51.100.1 from 192.0.2.1", Some("198.51.100.1:500")),
    ];
    for (hosts, address) in table {
        let conf = read(&format!("ike esp {hosts} psk secret\n"));
        assert_eq!(conf.peers[0].config.address, address.map(|own| own.parse().unwrap()), "{hosts}");
    }
    let any = read("ike passive esp from any to any psk secret\n");
    assert_eq!(any.policies.len(), 4, "{:?}", policies(&any));
}

#[test]
fn rules_without_a_pre_shared_key_use_the_keys_of_isakmpd() {
    let conf = read("ike esp from 192.0.2.1 to 198.51.100.1 srcid gw.example.org");
    let files = &conf.peers[0].files;
    let own = files.own.first().map(|(certificate, key)| (certificate.as_str(), key.as_str()));
    assert_eq!(own, Some(("/etc/isakmpd/certs/gw.example.org.crt", "/etc/isakmpd/private/local.key")));
    assert_eq!(files.own_key.as_deref(), Some("/etc/isakmpd/private/local.key"));
    assert_eq!(files.public_key_directory.as_deref(), Some("/etc/isakmpd/pubkeys"));
    let conf = read("ike esp from 192.0.2.1 to 198.51.100.1 psk secret");
    assert_eq!(conf.peers[0].files, ipsec_config::CredentialFiles::default());
}

#[test]
fn rules_for_one_peer_add_their_transforms() {
    let rule =
        |net: &str, main: &str| format!("ike esp from 192.0.2.0/24 to {net} peer 203.0.113.1 main {main} psk secret\n");
    let text = [
        rule("198.51.100.0/25", "enc aes-256"),
        rule("198.51.100.128/25", "enc 3des"),
        rule("203.0.113.128/25", "enc aes-256"),
    ];
    let conf = read(&text.concat());
    let ciphers: Vec<_> = conf.peers[0].config.proposals.iter().map(|own| own.cipher).collect();
    assert_eq!((conf.peers.len(), ciphers), (1, vec![C::AesCbc, C::TripleDesCbc]));
    let other = text[0].clone() + "ike esp from 192.0.2.0/24 to 198.51.100.128/25 peer 203.0.113.1 psk other\n";
    assert!(warnings(other, Language::OpenBsd).iter().any(|own| own.contains("other parameters of phase 1")));
}

#[test]
fn identities_of_quick_mode_may_be_translated() {
    let conf = read("ike esp from 10.0.0.0/24 (192.0.2.0/24) to 198.51.100.0/24 peer 203.0.113.1 psk secret\n");
    let negotiation = conf.negotiations().next().unwrap();
    assert_eq!(negotiation.selector.source.to_string(), "192.0.2.0/24");
    assert_eq!(negotiation.policy.params.selector.source.to_string(), "10.0.0.0/24");
}

#[test]
fn flows_are_converted_to_policies() {
    let conf = read(
        "flow esp from 192.0.2.1 to 198.51.100.1\n\
         flow esp out from 192.0.2.0/24 to 198.51.100.0/24 local 203.0.113.2 peer 203.0.113.1 type use\n\
         flow ah in from 198.51.100.1 to 192.0.2.1\n\
         flow from 192.0.2.0/24 to 192.0.2.0/24 type bypass\n\
         flow from 192.0.2.0/24 to 10.0.0.0/8 type deny\n",
    );
    let expected = [
        "out 192.0.2.1/32 198.51.100.1/32 ipsec esp/tunnel/any-198.51.100.1/require",
        "in 198.51.100.1/32 192.0.2.1/32 ipsec esp/tunnel/198.51.100.1-any/require",
        "out 192.0.2.0/24 198.51.100.0/24 ipsec esp/tunnel/203.0.113.2-203.0.113.1/use",
        "in 198.51.100.1/32 192.0.2.1/32 ipsec ah/tunnel/198.51.100.1-any/require",
        "out 192.0.2.0/24 192.0.2.0/24 none",
        "in 192.0.2.0/24 192.0.2.0/24 none",
        "out 192.0.2.0/24 10.0.0.0/8 discard",
        "in 10.0.0.0/8 192.0.2.0/24 discard",
    ];
    assert_eq!(policies(&conf), expected);
    assert_eq!(template(&conf, 2).level, Level::Use);
    let key = "0x0123456789abcdef0123456789abcdef01234567";
    let text = format!(
        "flow ah from 192.0.2.1 to 198.51.100.1\nah transport from 192.0.2.1 to 198.51.100.1 spi 0x1000:0x1001 \
         auth hmac-sha1 authkey {key}:{key}\n"
    );
    // A flow has the mode of its SAs.
    assert_eq!(template(&read(&text), 0).mode, Mode::Transport);
}

#[test]
fn manual_sas_have_two_directions_and_keys_of_the_right_length() {
    let (k16, k20, k32) = ("01".repeat(16), "02".repeat(20), "03".repeat(32));
    let esp = format!(
        "esp from 192.0.2.1 to 198.51.100.1 spi 0x1000:0x2000 authkey 0x{k32}:0x{k32} enckey 0x{k16}:0x{k16}\n"
    );
    let conf = read(&esp);
    let found: Vec<_> = conf
        .sas
        .iter()
        .map(|sa| (sa.params.id.direction, sa.params.id.destination.to_string(), sa.params.id.spi, sa.params.mode))
        .collect();
    let [first, second] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(*first, (ipsec_sa::Direction::Outbound, "198.51.100.1".into(), 0x1000, Mode::Tunnel));
    assert_eq!(*second, (ipsec_sa::Direction::Inbound, "192.0.2.1".into(), 0x2000, Mode::Tunnel));
    let accepted = [
        (
            format!(
                "esp transport from 192.0.2.1 to 192.0.2.2 spi 256 auth hmac-md5 enc blowfish authkey 0x{k16} enckey 0x{k20}"
            ),
            C::BlowfishCbc,
        ),
        (
            format!(
                "esp from 192.0.2.1 to 192.0.2.2 spi 256 auth hmac-md5 enc blowfish authkey 0x{k16} enckey 0x0102030405"
            ),
            C::BlowfishCbc,
        ),
        (
            format!("esp from 192.0.2.1 to 192.0.2.2 spi 256 auth hmac-sha1 enc cast authkey 0x{k20} enckey 0x{k16}"),
            C::Cast128Cbc,
        ),
        (
            format!("esp from 192.0.2.1 to 192.0.2.2 spi 256 auth hmac-sha1 enc aes authkey 0x{k20} enckey 0x{k32}"),
            C::AesCbc,
        ),
        (format!("esp from 192.0.2.1 to 192.0.2.2 spi 256 auth hmac-sha1 enc null authkey 0x{k20}"), C::Null),
        (
            format!(
                "esp from 192.0.2.1 to 192.0.2.2 spi 256 auth hmac-sha1 enc des-cbc udpencap port 4501 authkey {k20} enckey 0102030405060708"
            ),
            C::DesCbc,
        ),
    ];
    for (text, cipher) in accepted {
        let conf = read(&text);
        let TransformParams::Esp(keys) = &conf.sas[0].params.transform else { panic!("{text}") };
        assert_eq!(keys.cipher, cipher, "{text}");
        assert_eq!(conf.sas[0].params.encap.is_some(), text.contains("udpencap"));
    }
    let refused = [
        (
            format!("enc aes-128 auth hmac-sha1 authkey 0x{k20} enckey 0x{k32}"),
            "`enckey`: expected 128 bits, found 256",
        ),
        (
            format!("enc aes auth hmac-sha1 authkey 0x{k20} enckey 0x{k20}"),
            "`enckey`: expected 128 to 256 bits, found 160",
        ),
        (format!("auth hmac-sha1 authkey 0x{k16} enckey 0x{k16}"), "`authkey`: expected 160 bits, found 128"),
        (format!("auth hmac-sha1 authkey 0x{k20}"), "`enckey` is missing: expected 128 to 256 bits"),
        (format!("enc aes-128-gcm enckey 0x{k20}"), "the cipher is not permitted with static keys"),
        (
            format!("enc aesctr auth hmac-sha1 authkey 0x{k20} enckey 0x{k20}"),
            "the cipher is not permitted with static keys",
        ),
        (
            format!("comp deflate auth hmac-sha1 authkey 0x{k20} enckey 0x{k16}"),
            "`comp` is a transform of `ipcomp` only",
        ),
        (format!("auth none enckey 0x{k16}"), "without integrity"),
        (format!("auth hmac-sha1 authkey 0x{k20} enckey 0x{k16}0"), "expected a key in pairs of hexadecimal digits"),
    ];
    for (text, expected) in refused {
        let errors = errors(format!("esp from 192.0.2.1 to 192.0.2.2 spi 256 {text}\n"), Language::OpenBsd);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{text}\n{errors:?}");
    }
    let texts =
        Texts::default().with("ipsec.conf", esp.replace(&format!("authkey 0x{k32}:0x{k32}"), "authkey file \"a:b\""));
    let loaded = texts.with("a", &k32).with("b", format!("0x{k32}\n")).load("ipsec.conf", Language::OpenBsd);
    assert_eq!((reports(&loaded, ipsec_config::Severity::Error), loaded.configuration.sas.len()), (vec![], 2));
}

#[test]
fn the_identity_of_a_dynamic_rule_is_the_name_of_the_host() {
    let rule = "ike dynamic from 192.0.2.1 to 198.51.100.1 quick auth hmac-sha1 psk secret\n";
    let own = |texts: Texts| {
        let loaded = texts.with("ipsec.conf", rule).load("ipsec.conf", Language::OpenBsd);
        let identity = match &loaded.configuration.peers[0].config.local_identity {
            LocalIdentity::Given(own) => Some((own.kind, own.to_string())),
            _ => None,
        };
        (identity, reports(&loaded, ipsec_config::Severity::Warning))
    };
    let fqdn = |name: &str| Some((IdKind::FQDN, name.to_owned()));
    for path in ["/proc/sys/kernel/hostname", "/etc/myname"] {
        assert_eq!(own(Texts::default().with(path, "road.example.org\n")), (fqdn("road.example.org"), vec![]));
    }
    let (identity, warnings) = own(Texts::default().with("/etc/myname", "\n"));
    assert_eq!((identity, warnings.len()), (None, 1));
    assert!(warnings[0].contains("the name of this host"), "{warnings:?}");
    let rule = rule.replace("psk", "srcid own.example.org psk").replace("dynamic", "active");
    let active = read(&rule);
    assert!(matches!(&active.peers[0].config.local_identity, LocalIdentity::Given(own) if own.kind == IdKind::FQDN));
    let plain = read("ike active from 192.0.2.1 to 198.51.100.1 psk secret\n");
    assert!(matches!(plain.peers[0].config.local_identity, LocalIdentity::Address));
}

#[test]
fn includes_host_names_quotes_and_abbreviations_are_resolved() {
    let texts = Texts::default()
        .with("/etc/ipsec.conf", "include \"ipsec.d/a.conf\"\ninclude b.conf\n")
        .with("/etc/ipsec.d/a.conf", "ike esp from gw.example.org to 198.51.100.1 psk secret\n")
        .with("/etc/b.conf", "ike esp from \"192.0.2.2\" to 198.51.100.2 main group \"modp1024\" psk secret")
        .with_host("gw.example.org", "192.0.2.1");
    let loaded = texts.load("/etc/ipsec.conf", Language::OpenBsd);
    assert_eq!(reports(&loaded, ipsec_config::Severity::Error), Vec::<String>::new());
    assert_eq!(loaded.configuration.peers.len(), 2);
    assert_eq!(loaded.configuration.peers[1].config.proposals[0].group, Group(2));
    let conf = read("ike esp from 192.0.2.1 to 192.0.2.2 quick enc cast auth hmac-sha2 psk \"joined \\\nlines\"\n");
    assert_eq!((conf.phase_2[0].ciphers[0].0, conf.keys[0].key.as_slice()), (C::Cast128Cbc, &b"joined lines"[..]));
    let notes = warnings("ike esp from 192.0.2.1 to 192.0.2.2 quick auth hmac-sha2 psk s", Language::OpenBsd);
    assert!(notes.iter().any(|own| own.ends_with("`hmac-sha2` is an abbreviation and means `hmac-sha2-256`")));
}

#[test]
fn rules_without_effect_are_accepted_with_a_warning() {
    let table = [
        ("tcpmd5 from 192.0.2.1 to 192.0.2.2 spi 0x1000 authkey 0x01\n", "`tcpmd5` has no effect"),
        ("ipip from 192.0.2.1 to 192.0.2.2 spi 0x1000\n", "`ipip` has no effect"),
        ("ike esp from 192.0.2.1 to 192.0.2.2 psk secret tag \"vpn\"\n", "`tag` has no effect"),
        ("ike esp from 192.0.2.1 to 192.0.2.2 quick comp deflate psk secret\n", "`comp` has no effect"),
    ];
    for (text, expected) in table {
        assert!(warnings(text, Language::OpenBsd).iter().any(|own| own.contains(expected)), "{text}");
    }
}

#[test]
fn errors_name_the_expected_value() {
    let table = [
        ("ikes esp from any to any", "1:1: expected a rule: ", "did you mean `ike`?"),
        ("main auth hmac-sha1", "1:1: expected a rule: ", "a backslash at the end of each line"),
        ("ike esp form 192.0.2.1 to 192.0.2.2", "1:9: expected `from`, found `form`", "did you mean `from`?"),
        ("ike esp from 192.0.2.1", "1:23: expected `to`, found the end of the line", ""),
        ("ike esp from 192.0.2.1 to $gw", "1:27: macro `gw` is not defined", ""),
        (
            "gwy = \"192.0.2.2\"\nike esp from 192.0.2.1 to $gw",
            "2:27: macro `gw` is not defined",
            "did you mean `$gwy`?",
        ),
        ("a = \"192.0.2.2\"\nb = \"$a\"\nike esp from 192.0.2.1 to $b", "3:27: macros are not replaced in quotes", ""),
        (
            "ike esp from 192.0.2.1 to 192.0.2.2 main auth hmac-sha3",
            "1:47: expected an authentication algorithm",
            "hmac-sha1",
        ),
        ("ike esp from 192.0.2.1 to 192.0.2.2 main enc aes enc 3des", "1:50: duplicate `enc`", ""),
        (
            "ike esp from 192.0.2.1 to 192.0.2.2 main group grp25",
            "1:48: `grp25` is a Diffie-Hellman group that is not",
            "",
        ),
        ("ike esp from 192.0.2.1 to 192.0.2.2 main lifetime 1d", "1:51: expected a number of seconds, or as `30m`", ""),
        (
            "ike esp from 192.0.2.1 to 192.0.2.2 main group none psk s",
            "1:1: expected a Diffie-Hellman group of phase 1",
            "",
        ),
        ("ike esp from 192.0.2.1 port 80 to 192.0.2.2", "1:9: expected `proto tcp` or `proto udp`", ""),
        ("ike esp from 192.0.2.1 to 2001:db8::1", "1:1: expected addresses of one family", ""),
        ("ike esp from 192.0.2.0/33 to any", "1:14: expected a prefix of at most 32 bits", ""),
        ("ike ipcomp from any to any", "1:5: expected `esp` or `ah`", ""),
        ("ike esp from em0 to 192.0.2.2", "1:14: expected an address", "names of interfaces"),
        ("ike esp from 192.0.2.1 to 192.0.2.2 psk \"open", "1:41: expected `\"` at the end of the text", ""),
        (
            "ike esp from 192.0.2.1 to 192.0.2.2 quick enc aes-128-gcm auth hmac-sha1 psk s",
            "1:1: the cipher of phase 2",
            "",
        ),
        ("ike esp from 192.0.2.1 to 192.0.2.2 psk s interface sec0", "1:43: `interface` is not implemented", ""),
        ("ike esp from { 192.0.2.1, to 192.0.2.2", "1:27: expected an address", ""),
        ("flow esp from 192.0.2.0/24 to 198.51.100.0/24", "1:31: expected `peer` and its address", ""),
        ("flow esp from 192.0.2.1 to 192.0.2.2 type requir", "1:43: expected a flow type", "did you mean `require`?"),
        ("esp from 192.0.2.1 to 192.0.2.2 spi 255", "1:37: expected an SPI from 256", ""),
        ("esp from 192.0.2.0/24 to 192.0.2.2 spi 256", "1:5: expected one host after `from`", ""),
        ("flow = \"a\"", "1:1: expected a macro name, found `flow`", ""),
        ("x =", "1:2: expected a value of the macro `x`", ""),
        ("include \"none\"", "1:9: none: ", ""),
    ];
    for (text, expected, help) in table {
        let errors = errors(text, Language::OpenBsd);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{text}\n{expected}\n{errors:#?}");
        assert!(errors[0].contains(help), "{text}\n{errors:#?}");
    }
}

#[test]
fn a_damaged_rule_has_its_error_in_its_lines() {
    for text in [
        include_str!("../../ipsec-gateway/examples/3-openbsd-x509/openbsd.ipsec.conf"),
        include_str!("../../ipsec-gateway/examples/4-isakmpd/openbsd.ipsec.conf"),
    ] {
        assert_eq!(errors(text, Language::OpenBsd), Vec::<String>::new());
        for damage in damages(text, "\\") {
            let errors = errors(&damage.text, Language::OpenBsd);
            let line = |error: &String| error.split(':').next().unwrap().parse::<usize>().unwrap();
            let near = damage.lines.0..=damage.lines.1;
            let is_near = errors.first().is_some_and(|first| near.contains(&line(first)));
            assert!(is_near && errors.len() <= 2, "{} in {near:?}: {errors:#?}", damage.what);
        }
    }
}
