use ipsec_engine::pfkey::{Dialect, Message, MessageWriter, Order};
use ipsec_engine::setkey::{Statement, Statements};
use ipsec_engine::{Disposition, Unmatched};
use ipsec_packet::{Flow, Ip, IpProto};

/// Gateways from texts are those of the engine's own tests; sending checks that what is refused is as it was.
#[allow(clippy::unwrap_used)]
#[path = "../../../ipsec-engine/tests/common/mod.rs"]
mod common;

use common::Gateway;

pub fn setkey(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let (mut statements, mut written) = (Statements::of(&text), String::new());
    let mut good = Vec::new();
    for _ in 0..=octets.len() {
        match statements.next() {
            Ok(None) => break,
            Ok(Some(statement)) => {
                written += &format!("{statement}\n");
                good.push(statement);
                if let Statement::Add(add) = statement {
                    let way = ipsec_engine::Way::In;
                    let _ = add.sa(way, None, &ipsec_engine::setkey::Loading::RFC);
                }
            }
            Err(error) => drop(error.to_string()),
        }
    }
    assert_eq!(statements.next(), Ok(None), "it ends");
    let mut again = Statements::of(&written);
    for statement in good {
        match again.next() {
            Ok(Some(read)) => assert_eq!(read.to_string(), statement.to_string()),
            other => panic!("{other:?} for {statement}"),
        }
    }
}

pub fn pfkey(octets: &[u8]) {
    let Some((&choice, octets)) = octets.split_first() else { return };
    let dialect = [Dialect::Kame, Dialect::FreeBsd, Dialect::Linux, Dialect::OpenBsd][usize::from(choice & 3)];
    let wire = dialect.with(if choice & 4 == 0 { Order::Little } else { Order::Big });
    let Ok(message) = Message::parse(octets, wire) else { return };
    let header = message.header();
    let mut buffer = vec![0; octets.len() + 64];
    let write = |buffer: &mut [u8]| -> Option<usize> {
        let mut writer =
            MessageWriter::new(buffer, wire, header.kind, header.sa_type, header.sequence, header.pid).ok()?;
        for extension in message.extensions() {
            writer.push(&extension).ok()?;
        }
        Some(writer.finish().ok()?.len())
    };
    let length = write(&mut buffer).unwrap_or_else(|| panic!("what was read can be written: {message:?}"));
    let again = Message::parse(&buffer[..length], wire).unwrap_or_else(|e| panic!("{e}"));
    assert!(again.extensions().eq(message.extensions()));
}

const KEYS: &str =
    "-r 8 -E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";

/// SAs and transforms, without their policies.
const CONFIGS: &[(&str, &str)] = &[
    ("esp 0x1001 -m tunnel ESP", "esp/tunnel/A-B/require"),
    (
        "esp 0x1001 -m transport ESP; ah 0x1002 -m transport -r 8 -A hmac-md5 0x000102030405060708090a0b0c0d0e0f",
        "esp/transport//require ah/transport//require",
    ),
    ("ah 0x1001 -m tunnel -r 8 -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213", "ah/tunnel/A-B/require"),
    (
        "ipcomp 0x2001 -m tunnel -C deflate -R; esp 0x1001 -m transport ESP",
        "ipcomp/tunnel/A-B/use esp/transport//require",
    ),
    ("esp 0x1001 -m tunnel ESP; esp 0x1002 -m tunnel ESP", "esp/tunnel/A-B/require esp/tunnel/A-B/require"),
    ("esp-udp 0x1001 -m tunnel ESP", "esp/tunnel/A-B/require"),
    ("esp 0x1001 -m tunnel -r 8 -E aes-gcm-16 0x000102030405060708090a0b0c0d0e0f10111213", "esp/tunnel/A-B/require"),
];

const A: &str = "192.0.2.1";
const B: &str = "198.51.100.1";

/// The texts of a configuration.
fn texts(choice: u8) -> (String, String) {
    let (sas, transforms) = CONFIGS[usize::from(choice) % CONFIGS.len()];
    let sas = sas.split(';').map(|sa| format!("add {A} {B} {};\n", sa.replace("ESP", KEYS))).collect();
    (sas, transforms.replace("A-B", &format!("{A}-{B}")))
}

/// The first gateway in other hands: it sends whatever it likes by its SAs.
fn traitor(choice: u8) -> Gateway {
    let (sas, transforms) = texts(choice);
    Gateway::new(&format!("{sas}spdadd 0.0.0.0/0 0.0.0.0/0 any -P out ipsec {transforms};\n"), A)
}

/// Two gateways, the second of which takes what the first sends.
fn pair(choice: u8) -> (Gateway, Gateway) {
    let (sas, transforms) = texts(choice);
    // Transport mode is between the gateways themselves.
    let (from, to) = if choice.is_multiple_of(2) && !transforms.contains("tunnel") {
        (A, B)
    } else {
        ("10.1.0.0/16", "10.2.0.0/16")
    };
    let (from, to) = if transforms.contains("tunnel") { (from, to) } else { (A, B) };
    let policy = |way| format!("spdadd {from} {to} any -P {way} ipsec {transforms};\n");
    let except = format!("spdadd {from} {to} icmp -P out discard;\n");
    (Gateway::new(&format!("{sas}{except}{}", policy("out")), A), Gateway::new(&format!("{sas}{}", policy("in")), B))
}

/// What is in every packet that is to be protected, and nowhere else.
const MARK: &[u8; 16] = b"must not be seen";

pub fn outbound(octets: &[u8]) {
    let [choice, mtu, packet @ ..] = octets else { return };
    let (mut gateway, _) = pair(*choice);
    if mtu & 1 != 0 {
        gateway.engine.settings_mut().link_mtu = Some(u16::from(*mtu) * 8);
    }
    if mtu & 2 != 0 {
        gateway.engine.settings_mut().unmatched = Unmatched::Discard;
    }
    let packet = &packet[..packet.len().min(2000)];
    let protects_all = CONFIGS[usize::from(*choice) % CONFIGS.len()].0.contains("ah 0x1001").then_some(());
    match gateway.send(packet) {
        Ok(wire) => {
            let ip = Ip::parse(&wire).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(ip.packet().len(), wire.len(), "as long as it says");
            let hidden = !wire.windows(MARK.len()).any(|w| w == MARK);
            assert!(hidden || protects_all.is_some(), "in clear");
            let flow = Flow::read(&wire).unwrap_or_else(|e| panic!("{e}"));
            assert!(matches!(flow.protocol, IpProto::ESP | IpProto::AH | IpProto::UDP | IpProto::IPCOMP));
        }
        Err(Disposition::Bypass) => {
            let flow = Flow::read(packet).unwrap_or_else(|e| panic!("{e}"));
            let ours = |address: std::net::IpAddr, net: [u8; 2]| matches!(address, std::net::IpAddr::V4(a) if a.octets()[..2] == net);
            let protected = ours(flow.source, [10, 1]) && ours(flow.destination, [10, 2]);
            assert!(
                !protected || CONFIGS[usize::from(*choice) % CONFIGS.len()].1.contains("transport//require ah"),
                "in clear"
            );
        }
        Err(_) => {}
    }
}

/// Instructions: send a packet, send one that no policy wants, deliver one again, alter it first, or invent one.
pub fn inbound(octets: &[u8]) {
    let [choice, rest @ ..] = octets else { return };
    let (mut from, mut to) = pair(*choice);
    let mut traitor = traitor(*choice);
    let (mut rest, mut sent, mut genuine) = (rest, Vec::new(), Vec::new());
    let between_hosts = !CONFIGS[usize::from(*choice) % CONFIGS.len()].1.contains("tunnel");
    while let [what, n, more @ ..] = rest {
        let (payload, behind) = more.split_at(usize::from(*n).min(more.len()));
        rest = behind;
        match what % 4 {
            0 if what & 0x80 != 0 && !between_hosts => {
                let unwanted = common::udp("172.16.0.1", "10.2.0.1", 7, u16::from(*n), payload);
                if let Ok(wire) = traitor.send(&unwanted) {
                    // A plain tunnel that no policy asks for stays one: a packet of the peer's own, as it may send in clear.
                    let (disposition, opened) = to.receive(&wire);
                    let stays_inside = || Flow::read(&opened).is_ok_and(|flow| flow.protocol == IpProto::IPV4);
                    assert!(disposition != Disposition::Deliver || stays_inside(), "no policy wants it");
                }
            }
            0 => {
                let (source, destination) = if between_hosts { (A, B) } else { ("10.1.0.1", "10.2.0.1") };
                let packet = common::udp(source, destination, 7, u16::from(*n), payload);
                if let Ok(wire) = from.send(&packet) {
                    sent.push(wire);
                    genuine.push(packet);
                }
            }
            1 | 2 => {
                let Some(at) = payload.first().and_then(|at| usize::from(*at).checked_rem(sent.len())) else {
                    continue;
                };
                let mut wire = sent[at].clone();
                for pair in payload[1..].chunks_exact(2) {
                    let place = usize::from(pair[0]) % wire.len();
                    wire[place] ^= pair[1];
                }
                deliver(&mut to, &wire, &mut genuine);
            }
            _ => deliver(&mut to, payload, &mut genuine),
        }
    }
}

/// Whatever is delivered was sent, and was not delivered before.
fn deliver(to: &mut Gateway, wire: &[u8], genuine: &mut Vec<Vec<u8>>) {
    let (disposition, opened) = to.receive(wire);
    if disposition == Disposition::Deliver {
        let at = genuine.iter().position(|packet| same(packet, &opened));
        let at = at.unwrap_or_else(|| panic!("nobody sent {opened:02x?}"));
        genuine.remove(at);
    }
    while to.engine.poll_event().is_some() {}
}

/// The header in front of ESP in transport mode is not covered: its TOS and TTL may change on the way, and with ECN those of
/// what is inside a tunnel.
fn same(sent: &[u8], opened: &[u8]) -> bool {
    sent.len() == opened.len()
        && sent.iter().zip(opened).enumerate().all(|(at, (a, b))| a == b || matches!(at, 1 | 4..=8 | 10 | 11))
}

/// The oracle of the engine's tests: the octets are its choices, of policies, SAs and packets alike.
#[path = "../../../ipsec-engine/tests/oracle/case.rs"]
#[allow(clippy::pedantic)]
mod oracle;

pub fn choices(octets: &[u8]) {
    oracle::run(oracle::Random::given(octets.to_vec()), 8, false, &mut oracle::host::Tally::new());
}
