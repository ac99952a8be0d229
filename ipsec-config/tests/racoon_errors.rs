//! Errors of racoon.conf(5): their places, messages and suggestions, and how few follow from one.
#![cfg(feature = "std")]

mod texts;

use ipsec_config::{Language, Severity};
use texts::damage::damages;
use texts::{errors, loaded, reports, shown};

const SCENARIOS: [&str; 4] = [
    include_str!("../../ipsec-gateway/examples/1-handbook/racoon.conf"),
    include_str!("../../ipsec-gateway/examples/2-windows/racoon.conf"),
    include_str!("../../ipsec-gateway/examples/3-openbsd-x509/freebsd.racoon.conf"),
    include_str!("../../ipsec-gateway/examples/4-isakmpd/freebsd.racoon.conf"),
];

fn line(report: &str) -> usize {
    report.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn the_scenarios_are_accepted() {
    for text in SCENARIOS {
        assert_eq!(errors(text, Language::Racoon), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_damaged_file_has_its_error_at_the_damaged_line() {
    let mut wrong = Vec::new();
    for text in SCENARIOS {
        for damage in damages(text, "{};,") {
            let loaded = loaded(&damage.text, Language::Racoon);
            let errors = reports(&loaded, Severity::Error);
            // racoon ignores commas between exchanges.
            if damage.what == "without `,`" && errors.is_empty() {
                continue;
            }
            let is_near = errors.first().is_some_and(|first| (damage.lines.0..=damage.lines.1).contains(&line(first)));
            let what = damage.what.strip_prefix("without ").unwrap_or_default();
            let sign = if what == "a quote" { "`\"`" } else { what };
            let is_glued = sign == "`,`"
                && errors.iter().any(|error| error.contains("found `") && !error.contains("expected `,`"));
            let names = is_glued
                || !sign.starts_with('`')
                || errors.iter().any(|error| error.contains(&format!("expected {sign}")));
            if !is_near || !names || errors.len() > 2 {
                wrong.push(format!("{} in line {:?}: {errors:#?}\n", damage.what, damage.lines));
            }
        }
    }
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.concat());
}

#[test]
fn a_misspelled_word_is_suggested() {
    let mut without = Vec::new();
    for text in SCENARIOS {
        for damage in damages(text, "{};,").iter().filter(|damage| damage.what.starts_with("misspelled")) {
            let word = damage.what.strip_prefix("misspelled ").unwrap();
            let errors = errors(&damage.text, Language::Racoon);
            let is_suggested = errors.iter().any(|error| error.contains(&format!("did you mean `{word}`")));
            if !is_suggested && word.len() > 2 {
                without.push(format!("{word}: {errors:?}\n"));
            }
        }
    }
    assert!(without.is_empty(), "{}: {}", without.len(), without.concat());
}

#[test]
fn errors_name_the_expected_value() {
    let remote = |text: &str| {
        format!(
            "remote 192.0.2.1 {{\nexchange_mode main;\nproposal {{ encryption_algorithm aes; hash_algorithm sha1; \
             authentication_method pre_shared_key; dh_group 2; }}\n{text}\n}}\n"
        )
    };
    let table = [
        ("lgo info;".into(), "1:1: expected a statement, found `lgo` (did you mean `log`?)"),
        ("log loud;".into(), "1:5: expected a level of messages: "),
        ("path pre_shared_key psk.txt;".into(), "1:21: expected a file or directory name in quotes, found `psk.txt`"),
        ("}".into(), "1:1: expected a statement, found `}`: no block is open"),
        ("timer { counter 0; }".into(), "1:17: expected a number of transmissions from 1 to 100, found `0`"),
        ("timer { interval 5 sek; }".into(), "1:20: expected a time unit: "),
        (
            "remote 192.0.2.300 { }".into(),
            "1:8: expected `anonymous`, an address or a name in quotes, found `192.0.2.300`",
        ),
        ("remote 192.0.2.1 { }".into(), "1:1: statement `exchange_mode` is missing (write `exchange_mode main;`)"),
        ("remote 192.0.2.1 { exchange_mode main; }".into(), "1:1: block `proposal` is missing"),
        (
            remote("dh_group 2;"),
            "4:1: expected a statement of `remote`, found `dh_group` (`dh_group` is a statement of the block `proposal`)",
        ),
        (
            remote("pfs_group 2;"),
            "4:1: expected a statement of `remote`, found `pfs_group` (`pfs_group` is a statement of the block `sainfo`)",
        ),
        (remote("proposal { encryption_algorithm aes 257; }"), "4:33: expected a key length of"),
        (remote("proposal { encryption_algorithm AES; }"), "4:33: expected an encryption algorithm: "),
        (
            remote("proposal { encryption_algorithm camellia; }"),
            "4:33: `camellia` is an encryption algorithm that is not implemented",
        ),
        (remote("proposal { hash_algorithm sha1; }"), "4:1: statement `encryption_algorithm` of `proposal` is missing"),
        (remote("nonce_size 7;"), "4:12: expected a number of octets from 8 to 256, found `7`"),
        (remote("weak_phase1_check on;"), "`weak_phase1_check on` is not implemented"),
        (remote("peers_certfile dnssec;"), "4:16: `dnssec` is not implemented"),
        (remote("situation secrecy;"), "4:11: `secrecy` is a situation that is not implemented"),
        (remote("my_identifier asn1dn \"CM=a\";"), "did you mean `CN`?"),
        (remote("my_identifier fqdn;"), "4:19: expected a domain name in quotes, found `;`"),
        (remote("") + &remote(""), "6:1: expected another name: an earlier `remote` has this one"),
        ("sainfo 192.0.2.0/24 any { }".into(), "1:8: expected the local identity: "),
        ("sainfo address 192.0.2.0/33 any anonymous { }".into(), "1:16: expected a prefix of at most 32 bits"),
        ("sainfo address 192.0.2.1 ipencap anonymous { }".into(), "racoon has no name for the protocol: write 4"),
        ("sainfo address 192.0.2.1 [5] icmp anonymous { }".into(), "1:30: expected no port: ICMP has none"),
        (
            "sainfo address 2001:db8::1 icmp anonymous { }".into(),
            "1:28: expected `icmp6` with 2001:db8::1, found protocol 1",
        ),
        (
            "sainfo anonymous { authentication_algorithm hmac_md5; }".into(),
            "1:1: statement `encryption_algorithm` is missing",
        ),
        (
            "sainfo anonymous { encryption_algorithm null; authentication_algorithm non_auth; }".into(),
            "`non_auth`: together they protect nothing",
        ),
        (
            "sainfo anonymous { encryption_algorithm twofish; authentication_algorithm hmac_md5; }".into(),
            "that is implemented",
        ),
        ("mode_cfg { auth_source radius; }".into(), "1:24: `radius` is not implemented: expected `system`"),
        ("/* comment".into(), "1:1: expected `*/` at the end of the comment"),
    ];
    for (text, expected) in table {
        let text: String = text;
        let errors = errors(&text, Language::Racoon);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{text}\n{expected}\n{errors:#?}");
    }
}

#[test]
fn all_errors_of_a_file_are_reported() {
    let text = "log loud;\nremote anonymous {\n exchange_mod main;\n proposal { dh_group 3; hash_algorithm sha; }\n}\nsainfo anonymous { pfs_group x; }\n";
    let lines: Vec<_> = errors(text, Language::Racoon).iter().map(|error| line(error)).collect();
    assert_eq!(lines, [1, 3, 4, 4, 6]);
}

#[test]
fn passwords_in_wrong_places_are_not_shown() {
    let table = [
        "ldapcfg { bind_pw \"HIDDEN\" ",
        "ldapcfg \"a\" { bind_pw \"HIDDEN\"; }",
        "radiuscfg { auth \"192.0.2.1\" \"HIDDEN\"; acct \"192.0.2.1\" 1813 \"HIDDEN\"; }",
        "remote 192.0.2.1 { pre_shared_key \"HIDDEN\"; }",
        "remote 192.0.2.1 {\n authentication_method pre_shared_key \"HIDDEN\";\n}",
        "psk \"HIDDEN\";",
        "psk \"HIDDEN",
    ];
    for text in table {
        let all = shown(&loaded(text, Language::Racoon));
        assert!(!all.contains("HIDDEN"), "{text}\n{all}");
    }
}
