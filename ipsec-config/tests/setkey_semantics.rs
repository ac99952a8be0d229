//! Meaning of setkey(8) statements: numbers that mean any, default ports, and the end of the text.

use ipsec_config::setkey::{Statement, Statements};
use ipsec_packet::{IpProto, PortRange, Upper};

fn upper(text: &str) -> Upper {
    let mut statements = Statements::of(text);
    let Ok(Some(Statement::SpdAdd(policy))) = statements.next() else { panic!("{text}") };
    policy.policy().unwrap().selector.upper
}

#[test]
fn port_0_and_upper_protocol_255_are_any() {
    let udp = |from, to| Upper::Ports(Some(IpProto::UDP), from, to);
    let one = PortRange::one;
    for (source, destination, protocol, expected) in [
        ("[0]", "[0]", "udp", Upper::Protocol(IpProto::UDP)),
        ("[1701]", "[0]", "udp", udp(one(1701), PortRange::ANY)),
        ("[0]", "[1701]", "17", udp(PortRange::ANY, one(1701))),
        ("[0x0]", "[any]", "udp", Upper::Protocol(IpProto::UDP)),
        ("[0]", "[0]", "any", Upper::Any),
        ("[0]", "[0]", "255", Upper::Any),
        ("", "", "0xff", Upper::Any),
        ("[7]", "[0]", "255", Upper::Ports(None, one(7), PortRange::ANY)),
        ("[0]", "[0]", "icmp", Upper::Protocol(IpProto::ICMP)),
        ("[0]", "[0]", "47", Upper::Protocol(IpProto::GRE)),
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
        let text = format!("flush; {word};\nthis is no statement \"and this no string\nspdadd");
        let mut statements = Statements::of(&text);
        assert_eq!(statements.next(), Ok(Some(Statement::Flush(None))));
        assert_eq!(statements.next(), Ok(Some(Statement::Exit)));
        assert_eq!((statements.next(), statements.next()), (Ok(None), Ok(None)));
    }
}
