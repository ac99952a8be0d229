//! No key is shown, and no text makes a parser panic: every language, with damaged and rearranged texts.
#![cfg(feature = "std")]

mod texts;

use ipsec_config::{Language, Target};
use proptest::prelude::*;
use texts::{Texts, loaded, shown};

/// Parts of keys that must not be shown. Shorter parts are as long as an SPI.
const TEXT: &str = "QZQZQ";
const HEX: &str = "deadbeefd";

/// Texts with keys. Every key is a repetition of one of the parts.
const GOOD: &[(Language, &str)] = &[
    (
        Language::Setkey,
        "flush;\nadd 192.0.2.1 198.51.100.1 esp 0x1000 -m tunnel -E aes-cbc 0xdeadbeefdeadbeefdeadbeefdeadbeef\n \
             -A hmac-sha1 \"QZQZQZQZQ QZQZQZQZQZ\";\n# comment\nadd 198.51.100.1 192.0.2.1 ah 0x1001 -A hmac-md5 \
             \"QZQZQZQ QZQZQZQZ\" ;\nspdadd 192.0.2.0/24 198.51.100.0/24 any -P out ipsec \
             esp/tunnel/192.0.2.1-198.51.100.1/require;\n",
    ),
    (
        Language::Racoon,
        "path pre_shared_key \"psk.txt\";\nldapcfg { bind_pw \"QZQZQZQZQZQZ\"; }\nremote 192.0.2.1 {\n exchange_mode main;\n \
             my_identifier fqdn \"a.example.org\";\n proposal { encryption_algorithm aes; hash_algorithm sha1;\n \
             authentication_method pre_shared_key; dh_group 2; }\n}\nsainfo anonymous { encryption_algorithm aes;\n \
             authentication_algorithm hmac_sha1; compression_algorithm deflate; }\n",
    ),
    (Language::Psk, "# keys\n192.0.2.1 QZQZQZQZQZ\ngw.example.org 0xdeadbeefdeadbeefdead\n* QZQZQZ QZQZQZ\r\n"),
    (
        Language::OpenBsd,
        "net = \"192.0.2.0/24\"\nike esp from $net to 198.51.100.0/24 peer 203.0.113.1 \\\n main enc aes psk \"QZQZQZ QZQZQ\"\n\
             esp from 192.0.2.1 to 192.0.2.2 spi 0x1000 auth hmac-md5 enc aes-128 \\\n \
             authkey 0xdeadbeefdeadbeefdeadbeefdeadbeef \\\n enckey 0xdeadbeefdeadbeefdeadbeefdeadbeef\n\
             ike esp from 192.0.2.3 to { 192.0.2.4, 192.0.2.5 } psk 'QZQZQ QZQZQ'\n",
    ),
    (
        Language::Isakmpd,
        "[General]\nRetransmits= 3\n[Phase 1]\n192.0.2.1= peer\n[Phase 2]\nConnections= c\n[peer]\nPhase= 1\n\
             Authentication= QZQZQZQZQZ\nConfiguration= mm\n[mm]\nTransforms= AES-SHA\n[c]\nISAKMP-peer= peer\n\
             Configuration= qm\nLocal-ID= l\nRemote-ID= l\n[qm]\nSuites= QM-ESP-AES-SHA-SUITE\n[l]\nID-type= IPV4_ADDR\n\
             Address= 192.0.2.2\n",
    ),
    (
        Language::Xfrm,
        "src 192.0.2.1 dst 198.51.100.1\n\tproto esp spi 0x1000 reqid 1 mode tunnel\n\tauth-trunc hmac(sha1) \
             0xdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef 96\n\tenc cbc(aes) 0xdeadbeefdeadbeefdeadbeefdeadbeef\n\
             src 192.0.2.0/24 dst 198.51.100.0/24\n\tdir out\n\ttmpl src 192.0.2.1 dst 198.51.100.1 proto esp mode tunnel\n",
    ),
    (
        Language::Xfrm,
        "#!/bin/sh\nip xfrm state add src 192.0.2.1 dst 198.51.100.1 proto esp spi 5 mode tunnel \\\n enc 'cbc(aes)' \
             'QZQZQZQZQZQZQZQZ' auth 'hmac(md5)' 0xdeadbeefdeadbeefdeadbeefdeadbeef\n",
    ),
    (
        Language::Rc,
        "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"192.0.2.1 198.51.100.1\"\nifconfig_gif0=\"inet 10.1.0.1 10.2.0.1 \
             netmask 255.255.255.255\"\nstatic_routes=\"a\"\nroute_a=\"10.2.0.0/16 10.2.0.1\"\n",
    ),
];

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    Remove(usize),
    Insert(usize, String),
    SwapLines(usize, usize),
    SwapWords(usize, usize),
    Repeat(usize),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let sign = prop_oneof![
        "[{}\\[\\];,=\"'#\\\\$/ \n\t-]",
        Just("\u{e9}".to_string()),
        Just("/*".to_string()),
        Just("esp".to_string()),
        Just("psk ".to_string()),
        Just("$net".to_string()),
        Just("\\\n".to_string()),
    ];
    prop_oneof![
        any::<usize>().prop_map(Change::Remove),
        (any::<usize>(), sign).prop_map(|(at, sign)| Change::Insert(at, sign)),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Change::SwapLines(a, b)),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Change::SwapWords(a, b)),
        any::<usize>().prop_map(Change::Repeat),
        any::<usize>().prop_map(Change::Cut),
    ]
}

fn swapped(mut parts: Vec<&str>, a: usize, b: usize, between: &str) -> String {
    let length = parts.len();
    parts.swap(a % length, b % length);
    parts.join(between)
}

fn changed(text: &str, change: &Change) -> String {
    let mut all: Vec<char> = text.chars().collect();
    if all.is_empty() {
        return String::new();
    }
    let length = all.len();
    match change {
        Change::Remove(at) => _ = all.remove(at % length),
        Change::Insert(at, sign) => {
            let at = at % (length + 1);
            all.splice(at..at, sign.chars());
        }
        Change::SwapLines(a, b) => return swapped(text.split('\n').collect(), *a, *b, "\n"),
        Change::SwapWords(a, b) => return swapped(text.split(' ').collect(), *a, *b, " "),
        Change::Repeat(at) => {
            let lines: Vec<_> = text.split('\n').collect();
            return format!("{}\n{text}", lines[at % lines.len()]);
        }
        Change::Cut(at) => all.truncate(at % length),
    }
    all.into_iter().collect()
}

fn languages() -> impl Strategy<Value = Language> {
    proptest::sample::select(Language::NAMES.iter().map(|row| row.1).collect::<Vec<_>>())
}

/// Returns the first part of a key in a text.
fn leaked(text: &str) -> Option<&str> {
    [TEXT, HEX].into_iter().find_map(|key| {
        let at = text.find(key)?;
        let from = text[..at].rfind('\n').map_or(0, |from| from + 1);
        text[from..].lines().next()
    })
}

#[test]
fn valid_texts_are_accepted_and_show_no_keys() {
    for (language, text) in GOOD {
        let loaded = loaded(text, *language);
        assert_eq!(loaded.diagnostics.errors(), 0, "{language:?}: {}", shown(&loaded));
        assert_eq!(leaked(&shown(&loaded)), None, "{language:?}");
    }
}

/// Asserts that every text has an error, and that no part of a key is shown.
fn assert_refused_without_keys(texts: &[(Language, &str)]) {
    for &(language, text) in texts {
        let loaded = loaded(text, language);
        assert!(loaded.diagnostics.errors() > 0, "{text}");
        assert_eq!(leaked(&shown(&loaded)), None, "{text}");
    }
}

#[test]
fn a_key_without_quotes_is_not_shown() {
    let table = [
        (Language::Setkey, "add 192.0.2.1 192.0.2.2 ah 9 -A hmac-md5 QZQZQZ;"),
        (Language::Setkey, "add 192.0.2.1 192.0.2.2 esp 9 -E des-cbc QZQZQZQZ -A hmac-md5 QZQZQZQZQZQ"),
        (Language::OpenBsd, "esp from 192.0.2.1 to 192.0.2.2 spi 9 auth hmac-md5 enc aes authkey QZQZQZ enckey QZQZQZ"),
        (Language::Xfrm, "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 5 enc 'cbc(aes)' QZQZQZ"),
        (Language::Gateway, "peer a address any { psk \"QZQZQ QZQZQZ\"; }"),
        (Language::Gateway, "peer a address any { psk QZQZQ QZQZQZ; }"),
        (Language::Gateway, "secret \"QZQZQZ\"; local 192.0.2.1;"),
    ];
    assert_refused_without_keys(&table);
}

#[test]
fn a_passphrase_without_quotes_is_not_shown() {
    let table = [
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 psk QZQZQ1 QZQZQ2 QZQZQ3"),
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 psk = QZQZQZ QZQZQZ"),
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 psk=QZQZQZ"),
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 \\\n psk \\\n QZQZQZ QZQZQZ"),
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 psk QZQZQZ \\\n QZQZQZ"),
        (Language::Setkey, "add 192.0.2.1 192.0.2.2 ah 0x1001 -A hmac-md5 QZQZQ1 QZQZQ2 QZQZQ3;"),
        (Language::Setkey, "add 192.0.2.1 192.0.2.2 ah 0x1001 -A hmac-md5\n  QZQZQZQZQZQZQZQZ;"),
        (Language::Setkey, "add 192.0.2.1 192.0.2.2 ah 0x1001 -A\n\n# key\nhmac-md5\n  QZQZQ QZQZQ\nQZQZQ\";"),
        (Language::Xfrm, "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 5 enc 'cbc(aes)' QZQZQZ QZQZQZ"),
    ];
    assert_refused_without_keys(&table);
}

#[test]
fn quotes_in_a_key_and_over_lines_end_where_the_language_says() {
    let table = [
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 psk 'QZQZQ \\\nQZQZQZ QZQZQZ' bogus"),
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 psk \"QZQZQ \\\"QZQZQZ QZQZQZ\\\" QZQZQZ\" agressive"),
        (Language::Setkey, "add 192.0.2.1 192.0.2.2 ah 9 -A hmac-md5 \"QZQZQ\nQZQZQZ QZQZQZ\" bogus;"),
    ];
    assert_refused_without_keys(&table);
}

#[test]
fn words_after_a_key_in_quotes_are_shown() {
    let table = [
        (Language::OpenBsd, "ike esp from 192.0.2.1 to 192.0.2.2 psk \"QZQZQZ\" agressive", "`agressive`"),
        (
            Language::Setkey,
            "add 192.0.2.1 192.0.2.2 ah 9 -A hmac-md5 \"QZQZQZQZQZQZQZQZ\";\nspdad a b;",
            "\n    2 | spdad a b;",
        ),
        (
            Language::Setkey,
            "add 192.0.2.1 192.0.2.2 ah 9 -A hmac-md5 QZQZQZQZQZQZQZQZ;\nspdad a b;",
            "\n    2 | spdad a b;",
        ),
    ];
    for (language, text, expected) in table {
        let shown = shown(&loaded(text, language));
        assert!(shown.contains(expected), "{shown}");
        assert_eq!(leaked(&shown), None, "{text}");
    }
}

#[test]
fn names_in_statements_of_gateway_conf_are_shown() {
    let text = "policies \"setkey.conf\" 5; peer a address any { xauth_login \"alice\" x; users \"u\" 7; }";
    let shown = shown(&loaded(text, Language::Gateway));
    assert!(shown.contains(text), "{shown}");
}

#[test]
fn words_after_the_name_of_an_algorithm_are_shown() {
    let text = "ike esp from 192.0.2.1 to 192.0.2.2 main auth hmac-md5 enc aes group modp1024 lifetime 3x psk \"s\"\n";
    let shown = shown(&loaded(text, Language::OpenBsd));
    assert!(shown.contains("auth hmac-md5 enc aes group modp1024 lifetime 3x"), "{shown}");
}

#[test]
fn a_superfluous_quote_shows_no_key() {
    let table = [
        (Language::Setkey, "add 192.0.2.1 192.0.2.2 ah 9 -A h\"mac-sha1 \"QZQZQZQZQZQZQZQZQZQZ\";"),
        (Language::Racoon, "ldapcfg ind_pw \"QZQZQZQZQZQZ\"; }"),
        (Language::Racoon, "ldapcfg \"{ bind_pw \"QZQZQZQZQZQZ\"; }"),
        (Language::OpenBsd, "ike esp from 192.0.2.1 to \"192.0.2.2 psk \"QZQZQZQZQZ\""),
    ];
    assert_refused_without_keys(&table);
}

/// Returns the number of texts: `PROPTEST_CASES`, or 2,000.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(2000, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn damaged_texts_show_no_keys(
        (language, good) in proptest::sample::select(GOOD.to_vec()),
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        // Where keys are words without quotes, or names are in quotes, too, a word in another place is not a key.
        let has_words = matches!(language, Language::Psk | Language::Isakmpd);
        let has_names = has_words || matches!(language, Language::Racoon | Language::OpenBsd);
        let is_moved = |own: &&Change| match own {
            // A key in another place that has lost a quote is a word like others.
            Change::SwapWords(..) => has_names || changes.len() > 1,
            // A part of a key in a line of its own is not a key, unless the statement or the text continues there.
            Change::Insert(_, sign) if sign.contains('\n') => {
                !matches!(language, Language::Setkey | Language::OpenBsd | Language::Xfrm)
                    || (sign != "\\\n" && language != Language::Setkey)
            }
            Change::Insert(_, sign) => has_words && sign.contains(['\n', '=', '[', ']', ',', '#', '\\', ' ', '\t']),
            _ => false,
        };
        let changes = changes.iter().filter(|own| !is_moved(own));
        let text = changes.fold(good.to_string(), |text, own| changed(&text, own));
        let loaded = loaded(&text, language);
        let all = shown(&loaded);
        prop_assert_eq!(leaked(&all), None, "{}\n{}", text, all);
        for (_, target) in Target::NAMES {
            let _ = loaded.configuration.write(*target);
        }
    }

    #[test]
    fn arbitrary_octets_are_read_without_a_panic(
        language in languages(),
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..60),
    ) {
        let _ = shown(&loaded(&octets, language));
        let loaded = loaded(words.concat(), language);
        let _ = shown(&loaded);
        if let [conf] = loaded.racoon.as_slice() {
            let texts = Texts::default().with("again", conf.to_string());
            let _ = texts.load("again", Language::Racoon);
        }
    }
}

/// Words of all languages, with the blanks and signs between them.
const WORDS: &[&str] = &[
    "peer p address any { ",
    "proposal aes sha1 2 ",
    "esp aes-sha1 pfs 14 ",
    "local 192.0.2.1[500] ",
    "tun t0 mtu 1400 address ",
    "users \"a\";",
    " ",
    " ",
    " ",
    "\n",
    "\n",
    ";",
    "{",
    "}",
    "[",
    "]",
    ",",
    "=",
    "\"",
    "'",
    "(",
    ")",
    "/",
    "-",
    "#",
    "\\\n",
    "$a",
    "a",
    "add ",
    "spdadd ",
    "flush;",
    "192.0.2.1 ",
    "192.0.2.0/24 ",
    "2001:db8::1 ",
    "any ",
    "esp ",
    "ah ",
    "ipcomp ",
    "-P out ",
    "ipsec ",
    "esp/tunnel/192.0.2.1-192.0.2.2/require",
    "-E aes-cbc ",
    "-A hmac-md5 ",
    "0x0123 ",
    "-m tunnel ",
    "4294967296 ",
    "remote ",
    "anonymous ",
    "inherit ",
    "exchange_mode main;",
    "proposal {",
    "lifetime time ",
    "18446744073709551615 ",
    "sec;",
    "hour;",
    "sainfo ",
    "address ",
    "pfs_group 2;",
    "encryption_algorithm aes ",
    "mode_cfg {",
    "network4 ",
    "timer { counter ",
    "ike ",
    "flow ",
    "from ",
    "to ",
    "peer ",
    "local ",
    "port 80 ",
    "proto tcp ",
    "main ",
    "quick ",
    "auth hmac-sha1 ",
    "enc aes ",
    "group modp1024 ",
    "lifetime 1h ",
    "srcid ",
    "psk ",
    "spi 0x1000 ",
    "authkey ",
    "enckey ",
    "[Phase 1]\n",
    "[Phase 2]\n",
    "[General]\n",
    "Connections=a\n",
    "192.0.2.1=a\n",
    "[a]\n",
    "Configuration=a\n",
    "Suites=a\n",
    "Transforms=a\n",
    "Protocols=a\n",
    "Life=a\n",
    "ISAKMP-peer=a\n",
    "Local-ID=a\n",
    "Remote-ID=a\n",
    "\nsrc ",
    "dst ",
    "dir out ",
    "tmpl ",
    "mode tunnel ",
    "reqid 1 ",
    "spi 5 ",
    "aead rfc4106(gcm(aes)) ",
    "encap ",
    "limit: ",
    "sel ",
    "flag ",
    "ip xfrm state add ",
    "gif_interfaces=",
    "gif0 ",
    "ifconfig_gif0=",
    "tunnel ",
    "inet ",
    "netmask ",
    "static_routes=",
    "route_a=",
    "* ",
    "0xff",
    "\u{e9}",
    "\r\n",
];
