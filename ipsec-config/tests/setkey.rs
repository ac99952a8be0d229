//! Parsing and printing of setkey(8) statements, their meaning, and their errors.

use ipsec_config::setkey::{
    Key, Padding, PolicyAction, PolicyStatement, Range, SaProtocol, Selector, SetkeyErrorKind as Kind, Statement,
    Statements, Upper,
};
use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};
use ipsec_packet::{IpProto, PortRange};
use ipsec_sa::{Level, Mode, PolicyDirection, Priority, Protocol};
use proptest::prelude::*;

fn one(text: &str) -> Statement<'_> {
    let mut statements = Statements::of(text);
    let statement = statements.next().unwrap_or_else(|e| panic!("{text}: {e}")).unwrap();
    assert_eq!(statements.next(), Ok(None), "{text}");
    statement
}

fn refusal(text: &str) -> (u32, String, Kind) {
    let error = Statements::of(text).next().expect_err(text);
    (error.line, error.found.as_str().to_owned(), error.kind)
}

fn policy(text: &str) -> PolicyStatement<'_> {
    match one(text) {
        Statement::SpdAdd(policy) => policy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn gateway_pair_configuration_is_parsed() {
    let text = "
        #!/usr/sbin/setkey -f
        flush;
        spdflush;
        # to the other office
        add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E rijndael-cbc 0x000102030405060708090a0b0c0d0e0f
            -A hmac-sha1 \"this is the test key\" ;
        add 198.51.100.1 192.0.2.1 esp 4098 -m tunnel -r 8 -lh 3600 -ls 3000 -bh 1000000 -u 7 -f zero-pad
            -E 3des-cbc \"123456789012345678901234\" -A hmac-sha2-256 \"12345678901234567890123456789012\";
        spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
        spdadd 10.2.0.0/16 10.1.0.0/16 any -P in ipsec esp/tunnel/198.51.100.1-192.0.2.1/require;
    ";
    let mut statements = Statements::of(text);
    let mut all = Vec::new();
    while let Some(statement) = statements.next().unwrap() {
        all.push(statement);
    }
    assert_eq!(all.len(), 6);
    assert_eq!((all[0], all[1]), (Statement::Flush(None), Statement::SpdFlush));
    let Statement::Add(sa) = all[3] else { panic!("{:?}", all[3]) };
    assert_eq!((sa.id.protocol, sa.id.spi, sa.mode, sa.reqid), (SaProtocol::Esp, 4098, Mode::Tunnel, 7));
    assert_eq!((sa.window_octets, sa.lifetimes.hard_seconds, sa.lifetimes.soft_seconds), (8, 3600, 3000));
    assert_eq!((sa.lifetimes.hard_bytes, sa.padding), (1_000_000, Padding::Zero));
    assert_eq!(sa.cipher.unwrap().0.known, Some(CipherAlgorithm::TripleDesCbc));
    assert_eq!(sa.mac.unwrap().0.known, Some(IntegrityAlgorithm::HmacSha2_256_128));
    let Statement::Add(first) = all[2] else { panic!("{:?}", all[2]) };
    let (mut key, mut text) = ([0; 16], [0; 20]);
    assert_eq!(first.cipher.unwrap().1.decode(&mut key).unwrap(), std::array::from_fn::<u8, 16, _>(|i| i as u8));
    assert_eq!(first.mac.unwrap().1.decode(&mut text).unwrap(), b"this is the test key");
    let Statement::SpdAdd(out) = all[4] else { panic!("{:?}", all[4]) };
    let PolicyAction::Ipsec(bundle) = out.action.unwrap() else { panic!("{out:?}") };
    let request = bundle.iter().next().unwrap();
    assert_eq!((request.protocol, request.mode, request.level), (Protocol::Esp, Mode::Tunnel, Level::Require));
    assert_eq!(request.ends.unwrap().destination, (Some("198.51.100.1".parse().unwrap()), None));
    assert_eq!(out.direction, PolicyDirection::Out);
}

#[test]
fn selectors_with_prefixes_ports_and_upper_protocols_are_parsed() {
    let range = |text: &str, prefix, port| Range { address: text.parse().unwrap(), prefix, port };
    for (source, upper_text, expected, upper) in [
        ("10.0.0.1", "any", range("10.0.0.1", 32, None), Upper::Any),
        ("10.0.0.0/8[any]", "tcp", range("10.0.0.0", 8, None), Upper::Protocol(IpProto::TCP)),
        ("10.0.0.0/8[80]", "udp", range("10.0.0.0", 8, Some(80)), Upper::Protocol(IpProto::UDP)),
        ("10.0.0.1[isakmp]", "17", range("10.0.0.1", 32, Some(500)), Upper::Protocol(IpProto::UDP)),
        ("0.0.0.0/0", "ipencap", range("0.0.0.0", 0, None), Upper::Protocol(IpProto::IPV4)),
        ("10.0.0.1", "icmp,8", range("10.0.0.1", 32, None), Upper::Icmp(IpProto::ICMP, 8, None)),
        ("10.0.0.1", "icmp,3,4", range("10.0.0.1", 32, None), Upper::Icmp(IpProto::ICMP, 3, Some(4))),
    ] {
        let text = format!("spdadd {source} 10.9.9.9 {upper_text} -P in discard;");
        let Selector::Flow { source, upper: found, .. } = policy(&text).selector else { panic!("{text}") };
        assert_eq!((source, found), (expected, upper), "{text}");
    }
}

#[test]
fn ipv6_selector_with_port_and_icmp_type_is_parsed() {
    let v6 = policy("spdadd -6n 2001:db8::/32[any] ::1[22] icmp6,135,0 -P out none;");
    let Selector::Flow { source, destination, upper } = v6.selector else { panic!() };
    assert_eq!((source.prefix, destination.port), (32, Some(22)));
    assert_eq!(upper, Upper::Icmp(IpProto::ICMPV6, 135, Some(0)));
}

#[test]
fn tagged_selector_is_parsed() {
    assert_eq!(policy("spdadd tagged \"lan\" -P out bypass;").selector, Selector::Tagged("lan"));
}

#[test]
fn policies_with_directions_priorities_and_actions_are_parsed() {
    for (text, direction, priority, action) in [
        ("-P in discard", PolicyDirection::In, Priority::DEFAULT, PolicyAction::Discard),
        ("-P fwd none", PolicyDirection::Forward, Priority::DEFAULT, PolicyAction::None),
        ("-P out prio high entrust", PolicyDirection::Out, Priority::HIGH, PolicyAction::Entrust),
        ("-P out prio low - 5 bypass", PolicyDirection::Out, Priority(0xc000_0005), PolicyAction::Bypass),
        ("-P out priority high + 16 bypass", PolicyDirection::Out, Priority(0x3fff_fff0), PolicyAction::Bypass),
        ("-P out prio 16 bypass", PolicyDirection::Out, Priority(0x7fff_fff0), PolicyAction::Bypass),
        ("-P out prio -16 bypass", PolicyDirection::Out, Priority(0x8000_0010), PolicyAction::Bypass),
    ] {
        let text = format!("spdadd 10.0.0.1 10.0.0.2 any {text};");
        let found = policy(&text);
        assert_eq!((found.direction, found.priority, found.action), (direction, priority, Some(action)), "{text}");
    }
}

#[test]
fn templates_with_modes_levels_and_endpoints_are_parsed() {
    let text = "spdadd 10.0.0.1 10.0.0.2 any -P out ipsec ipcomp/transport//use esp/transport//require ah/transport
        esp/tunnel/me-192.0.2.9[4500]/unique:31;";
    let Some(PolicyAction::Ipsec(bundle)) = policy(text).action else { panic!() };
    let found: Vec<_> = bundle.iter().map(|r| (r.protocol, r.mode, r.level)).collect();
    let expected = [
        (Protocol::Ipcomp, Mode::Transport, Level::Use),
        (Protocol::Esp, Mode::Transport, Level::Require),
        (Protocol::Ah, Mode::Transport, Level::Default),
        (Protocol::Esp, Mode::Tunnel, Level::UniqueId(31)),
    ];
    assert_eq!(found, expected);
    let ends = bundle.iter().last().unwrap().ends.unwrap();
    assert_eq!((ends.source, ends.destination), ((None, None), (Some("192.0.2.9".parse().unwrap()), Some(4500))));
}

#[test]
fn other_statements_are_parsed_and_written() {
    for text in [
        "delete 10.0.0.1 10.0.0.2 ah 24500;",
        "get 10.0.0.1 10.0.0.2 esp-old 0x2a;",
        "deleteall 10.0.0.1 10.0.0.2 esp;",
        "flush ah;",
        "dump;",
        "dump ipcomp;",
        "spddump;",
        "exit;",
        "spddelete 10.0.0.1 10.0.0.2 any -P out;",
        "spdupdate 10.0.0.1 10.0.0.2 any -P out discard;",
        "add 10.0.0.1 10.0.0.2 ipcomp 0x2000 -m transport -C deflate -R;",
        "add 10.0.0.1 10.0.0.2 tcp 0x1000 -A tcp-md5 \"bgp\";",
        "add 10.0.0.1[4500] 10.0.0.2[4500] esp-udp \"10.9.9.9\" 0x77 -E null -A hmac-md5 0x00112233445566778899aabbccddeeff;",
        "add 10.0.0.1 10.0.0.2 esp 0x77 -ctx 1 1 \"system_u:object_r\" -E aes-gcm-16 0x000102030405060708090a0b0c0d0e0f10111213;",
        "add ::1 ::2 ah 0x77 -A aes-xcbc-mac 0x00112233445566778899aabbccddeeff;",
    ] {
        let first = one(text);
        let written = first.to_string();
        assert_eq!(one(&written), first, "{text} as {written}");
    }
}

#[test]
fn synonyms_of_exit_are_parsed() {
    assert_eq!(one("bye;"), Statement::Exit);
    assert_eq!(one(";;quit ;"), Statement::Exit);
}

#[test]
fn each_syntax_error_has_its_kind_and_line() {
    let add = "add 10.0.0.1 10.0.0.2";
    for (text, found, kind) in [
        ("\n\nfrobnicate;", "frobnicate", Kind::Statement),
        ("flush", "", Kind::Missing(";")),
        ("flush all;", "all", Kind::Protocol),
        ("spdflush now;", "now", Kind::Expected(";")),
        ("add gateway 10.0.0.2 esp 1;", "gateway", Kind::Address),
        ("add -6 10.0.0.1 10.0.0.2 esp 1;", "10.0.0.1", Kind::Address),
        ("add 10.0.0.1 ::1 esp 1;", "", Kind::Family),
        ("add 10.0.0.1[65536] 10.0.0.2 esp 1;", "10.0.0.1[65536]", Kind::Port),
        (&format!("{add} esq 1;"), "esq", Kind::Protocol),
        (&format!("{add} esp 0x100000000;"), "0x100000000", Kind::Spi),
        (&format!("{add} ipcomp 65536;"), "65536", Kind::Spi),
        (&format!("{add} esp;"), "", Kind::Missing("an SPI")),
        (&format!("{add} esp 1 -m been;"), "been", Kind::Mode),
        (&format!("{add} esp 1 -u 4294967296;"), "4294967296", Kind::Number),
        (&format!("{add} esp 1 -z;"), "-z", Kind::Option),
        (&format!("{add} esp 1 -E aes 0x00;"), "aes", Kind::Algorithm),
        (&format!("{add} esp 1 -E des-cbc 0x001;"), "", Kind::Key),
        (
            &format!("{add} esp 1 -E des-cbc \"short\";"),
            "des-cbc",
            Kind::KeyLength { bits: 40, min: 64, max: 64, step: 8, salt: 0 },
        ),
        (
            &format!("{add} esp 1 -E aes-cbc \"12345678901234567\";"),
            "aes-cbc",
            Kind::KeyLength { bits: 136, min: 128, max: 256, step: 64, salt: 0 },
        ),
        (&format!("{add} esp 1 -E des-cbc \"12345678;"), "", Kind::Unterminated),
        (&format!("{add} esp 1 -A hmac-md5 \"1234567890123456\";"), "esp", Kind::Algorithms),
        (&format!("{add} ah 1 -E null;"), "ah", Kind::Algorithms),
        (&format!("{add} ipcomp 2 -R;"), "-R", Kind::Option),
        ("spdadd 10.0.0.0/33 10.0.0.2 any -P in none;", "10.0.0.0/33", Kind::Prefix),
        ("spdadd 10.0.0.1 ::1 any -P in none;", "::1", Kind::Family),
        ("spdadd 10.0.0.1 10.0.0.2 tpc -P in none;", "tpc", Kind::Upper),
        ("spdadd 10.0.0.1 10.0.0.2 tcp,1 -P in none;", "tcp,1", Kind::Upper),
        ("spdadd 10.0.0.1 10.0.0.2 any in none;", "in", Kind::Expected("-P")),
        ("spdadd 10.0.0.1 10.0.0.2 any -P over none;", "over", Kind::PolicyDirection),
        ("spdadd 10.0.0.1 10.0.0.2 any -P in allow;", "allow", Kind::Policy),
        ("spdadd 10.0.0.1 10.0.0.2 any -P in ipsec;", "", Kind::Missing("a template")),
        ("spdadd 10.0.0.1 10.0.0.2 any -P in ipsec esp/tunnel//require;", "esp/tunnel//require", Kind::NoEndpoints),
        (
            "spdadd 10.0.0.1 10.0.0.2 any -P in ipsec esp/transport/1.1.1.1/use;",
            "esp/transport/1.1.1.1/use",
            Kind::Template,
        ),
        ("spdadd 10.0.0.1 10.0.0.2 any -P in ipsec esp/transport//must;", "esp/transport//must", Kind::Level),
        ("spdadd 10.0.0.1 10.0.0.2 any -P in ipsec esp/wormhole//use;", "esp/wormhole//use", Kind::Mode),
        ("spdadd 10.0.0.1 10.0.0.2 any -P in ipsec esp/transport//use/x;", "esp/transport//use/x", Kind::Template),
        (
            "spdadd 10.0.0.1 10.0.0.2 any -P in ipsec ah/transport ah/transport ah/transport ah/transport esp/transport;",
            "esp/transport",
            Kind::TooManyTemplates,
        ),
        ("spdadd 10.0.0.1 10.0.0.2 any -P in prio high + 1073741825 none;", "high + 1073741825", Kind::Priority),
    ] {
        let lines = u32::try_from(text.matches('\n').count()).unwrap();
        assert_eq!(refusal(text), (lines + 1, found.to_owned(), kind), "{text}");
    }
}

#[test]
fn errors_of_key_lengths_name_every_length() {
    for (protocol, option, lengths) in [
        ("esp", "-E des-cbc 0x00", "64"),
        ("esp", "-E aes-cbc 0x00", "128, 192 or 256"),
        ("esp", "-E blowfish-cbc 0x00", "40 to 448 in steps of 8"),
        ("esp", "-E aes-gcm-16 0x00", "160, 224 or 288, of which the last 32 are the salt"),
        ("esp", "-E aes-ccm-8 0x00", "152, 216 or 280, of which the last 24 are the salt"),
        ("ah", "-A hmac-sha2-256 0x00", "256"),
        ("ah", "-A aes-gmac 0x00", "160, 224 or 288, of which the last 32 are the salt"),
    ] {
        let (_, _, kind) = refusal(&format!("add 10.0.0.1 10.0.0.2 {protocol} 1 {option};"));
        assert_eq!(kind.to_string(), format!("invalid key length: got 8 bits, expected {lengths}"));
    }
}

#[test]
fn parsing_continues_after_an_error() {
    let mut statements = Statements::of("add 10.0.0.1 nonsense esp 1;\nflush;\nspdadd x;\ndump");
    assert_eq!(statements.next().unwrap_err().line, 1);
    assert_eq!(statements.next(), Ok(Some(Statement::Flush(None))));
    assert_eq!(statements.next().unwrap_err().line, 3);
    assert_eq!(statements.next().unwrap_err().kind, Kind::Missing(";"));
    assert_eq!(statements.next(), Ok(None));
}

#[test]
fn debug_output_and_errors_show_no_key() {
    let text = "add 10.0.0.1 10.0.0.2 ah 1 -A hmac-md5 \"correcthorsebatt\";";
    assert!(!format!("{:?}", one(text)).contains("correcthorse"));
    for text in [
        "add 10.0.0.1 10.0.0.2 ah 1 -A hmac-md5 \"correcthorse\";",
        "add 10.0.0.1 10.0.0.2 ah 1 -A hmac-md5 0xcorrecthorse;",
        "add 10.0.0.1 10.0.0.2 ah 1 -A hmac-md5 \"correcthorsebatt\" -Q;",
    ] {
        assert!(!Statements::of(text).next().unwrap_err().to_string().contains("correcthorse"));
    }
    assert_eq!(format!("{:?}", Key::Hex("0011")), "Key(2 octets)");
}

proptest! {
    #[test]
    fn parsing_of_any_text_ends_without_panic(text in "\\PC{0,200}") {
        walk(&text);
    }

    #[test]
    fn parsed_statements_print_as_equal_statements(words in proptest::collection::vec(0usize..WORDS.len(), 0..40)) {
        let text: String = words.iter().map(|&n| format!("{} ", WORDS[n])).collect();
        walk(&text);
    }
}

/// Parses all statements; each parsed statement is printed and parsed again.
fn walk(text: &str) {
    let mut statements = Statements::of(text);
    for _ in 0..=text.len() {
        match statements.next() {
            Ok(None) => return,
            Ok(Some(statement)) => assert_eq!(one(&statement.to_string()), statement),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    panic!("parser does not terminate: {text}");
}

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "add", "delete", "deleteall", "get", "flush", "dump", "spdadd", "spdupdate", "spddelete", "spddump", "spdflush",
    "exit", ";", ";", ";",
    "10.0.0.1", "10.0.0.0/8[any]", "10.0.0.2[500]", "::1", "2001:db8::/32[22]", "esp", "ah", "ipcomp", "esp-udp",
    "tcp", "any", "icmp6,135",
    "0x1001", "17", "-m", "tunnel", "transport", "-E", "des-cbc", "\"12345678\"", "0x0011223344556677", "-A",
    "hmac-md5", "null",
    "-C", "deflate", "-R", "-P", "in", "out", "fwd", "prio", "high", "low", "+", "-", "discard", "none", "ipsec",
    "esp/transport//require",
    "esp/tunnel/10.0.0.1-10.0.0.2/unique:7", "ah/any", "-u", "-r", "-lh", "-f", "zero-pad", "-ctx", "\"label\"",
    "tagged", "-4", "-6n", "#",
];

fn upper(text: &str) -> ipsec_packet::Upper {
    let mut statements = Statements::of(text);
    let Ok(Some(Statement::SpdAdd(policy))) = statements.next() else { panic!("{text}") };
    policy.policy().unwrap().selector.upper
}

#[test]
fn port_0_and_upper_protocol_255_are_any() {
    let udp = |from, to| ipsec_packet::Upper::Ports(Some(IpProto::UDP), from, to);
    let one = PortRange::one;
    for (source, destination, protocol, expected) in [
        ("[0]", "[0]", "udp", ipsec_packet::Upper::Protocol(IpProto::UDP)),
        ("[1701]", "[0]", "udp", udp(one(1701), PortRange::ANY)),
        ("[0]", "[1701]", "17", udp(PortRange::ANY, one(1701))),
        ("[0x0]", "[any]", "udp", ipsec_packet::Upper::Protocol(IpProto::UDP)),
        ("[0]", "[0]", "any", ipsec_packet::Upper::Any),
        ("[0]", "[0]", "255", ipsec_packet::Upper::Any),
        ("", "", "0xff", ipsec_packet::Upper::Any),
        ("[7]", "[0]", "255", ipsec_packet::Upper::Ports(None, one(7), PortRange::ANY)),
        ("[0]", "[0]", "icmp", ipsec_packet::Upper::Protocol(IpProto::ICMP)),
        ("[0]", "[0]", "47", ipsec_packet::Upper::Protocol(IpProto::GRE)),
    ] {
        let text = format!("spdadd 10.0.0.1/32{source} 0.0.0.0/0{destination} {protocol} -P out discard;");
        assert_eq!(upper(&text), expected, "{text}");
    }
}

#[test]
fn port_0_of_esp_in_udp_is_port_4500() {
    let text = "add 192.0.2.1[0] 198.51.100.1[24500] esp-udp 0x1001 -E null -A hmac-md5 \"sixteen octets!!\";";
    let Ok(Some(Statement::Add(add))) = Statements::of(text).next() else { panic!("{text}") };
    assert_eq!((add.id.source.1, add.id.destination.1), (None, Some(24500)));
}

#[test]
fn statements_after_exit_are_not_parsed() {
    for word in ["exit", "quit", "bye"] {
        let text = format!("flush; {word};\nthis is not a statement \"nor this a string\nspdadd");
        let mut statements = Statements::of(&text);
        assert_eq!(statements.next(), Ok(Some(Statement::Flush(None))));
        assert_eq!(statements.next(), Ok(Some(Statement::Exit)));
        assert_eq!((statements.next(), statements.next()), (Ok(None), Ok(None)));
    }
}
