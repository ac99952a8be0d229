use core::convert::Infallible;

use ipsec_config::setkey::{self, ApplyErrorKind, Statement, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Engine, OutboundAction, Settings, Unmatched};
use ipsec_packet::{DestinationOptions, Flow, Instant, Ip, IpProto, PacketBuf, transport_position};
use ipsec_pfkey::{
    Dialect, Message, MessageKind, MessageWriter, Order, PfkeyBackend, Wire, event, read_policy, read_sa, write_sa,
};

/// Gateways of the engine's tests; `Gateway::send` asserts that a packet that is not sent is unmodified.
#[allow(clippy::unwrap_used)]
#[path = "../../../ipsec-engine/tests/gateway/mod.rs"]
pub(crate) mod gateway;
#[path = "inserted_headers.rs"]
mod inserted_headers;

use gateway::{Gateway, Received};

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
                    let direction = ipsec_engine::Direction::Inbound;
                    let _ = add.params(direction, None, &ipsec_config::setkey::LoadOptions::RFC);
                }
            }
            Err(error) => drop(error.to_string()),
        }
    }
    assert_eq!(statements.next(), Ok(None), "parser does not terminate");
    applied(&text, good.len());
    let mut reparsed = Statements::of(&written);
    for statement in good {
        match reparsed.next() {
            Ok(Some(read)) => assert_eq!(read.to_string(), statement.to_string()),
            other => panic!("{other:?} for {statement}"),
        }
    }
}

/// Applies the text to an engine and to a kernel. A text with a syntax error is not applied.
fn applied(text: &str, statements: usize) {
    let local = ["192.0.2.1".parse().expect("valid address")];
    let mut engine = Box::new(Engine::<AnyAlgorithms, 8, 8, 8>::new(Settings::SETKEY, None, None));
    let result = setkey::apply(&mut *engine, text.as_bytes(), &local, Instant::ZERO);
    if let Err(error) = &result {
        drop(error.to_string());
    }
    if matches!(&result, Err(error) if matches!(error.kind, ApplyErrorKind::Syntax(_))) || statements == 0 {
        assert_eq!((engine.sas().count(), engine.policies().count()), (0, 0));
    }
    let wire = Dialect::Linux.with(Order::NATIVE);
    let mut sent = 0;
    let mut socket = |message: &[u8]| {
        let parsed = Message::parse(message, wire).unwrap_or_else(|e| panic!("{e}"));
        assert!(parsed.header().sequence > 0);
        sent += 1;
        Ok::<(), Infallible>(())
    };
    if let Err(error) =
        setkey::apply(&mut PfkeyBackend::new(&mut socket, wire, 1), text.as_bytes(), &local, Instant::ZERO)
    {
        drop(error.to_string());
    }
    assert!(sent <= statements.max(1), "at most one message a statement");
}

/// Writes an SA or a policy that was read from a message, and reads it again as the same.
fn parameters(message: &Message<'_>, wire: Wire) {
    let mut buffer = [0; 4096];
    if let Ok(sa) = read_sa(message, Direction::Outbound)
        && let Ok(written) = write_sa(&mut buffer, wire, MessageKind::ADD, &sa, (1, 1))
    {
        let again = Message::parse(written, wire).unwrap_or_else(|e| panic!("{e}"));
        let again = read_sa(&again, Direction::Outbound).unwrap_or_else(|e| panic!("{e}: {sa:?}"));
        assert_eq!(
            (again.id, again.source, again.algorithms(), again.lifetimes, again.reqid, again.encap),
            (sa.id, sa.source, sa.algorithms(), sa.lifetimes, sa.reqid, sa.encap)
        );
    }
    let _ = read_policy(message);
    let _ = event(message, &["192.0.2.1".parse().expect("valid address")]);
}

pub fn pfkey(octets: &[u8]) {
    let Some((&choice, octets)) = octets.split_first() else { return };
    let dialects = [Dialect::Kame, Dialect::FreeBsd, Dialect::Linux, Dialect::OpenBsd, Dialect::NetBsd];
    let dialect = dialects[usize::from(choice % 5)];
    let wire = dialect.with(if choice & 4 == 0 { Order::Little } else { Order::Big });
    let Ok(message) = Message::parse(octets, wire) else { return };
    parameters(&message, wire);
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
    let length = write(&mut buffer).unwrap_or_else(|| panic!("parsed message cannot be written: {message:?}"));
    let again = Message::parse(&buffer[..length], wire).unwrap_or_else(|e| panic!("{e}"));
    assert!(again.extensions().eq(message.extensions()));
}

const KEYS: &str =
    "-r 8 -E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213";

/// SAs and templates; the policies are added by [`Choice::pair`].
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

const A6: &str = "2001:db8:a::1";
const B6: &str = "2001:db8:b::1";

/// ESP alone in transport mode, in which preceding headers are not authenticated.
const ESP_TRANSPORT: (&str, &str) = ("esp 0x1001 -m transport ESP", "esp/transport//require");
/// Choice of `ESP_TRANSPORT` over IPv4; over IPv6 the low three bits choose it.
const ESP_TRANSPORT_V4: u8 = 0xe7;

/// Configuration that an octet chooses. Choices from `0xf0` use IPv6; if bit 3 is set, the policy protects only TCP
/// and the rest is bypassed.
#[derive(Clone, Copy)]
struct Choice(u8);

impl Choice {
    fn is_ipv6(self) -> bool {
        self.0 >= 0xf0
    }

    fn protects_only_tcp(self) -> bool {
        self.is_ipv6() && self.0 & 8 != 0
    }

    fn config(self) -> (&'static str, &'static str) {
        let number = if self.is_ipv6() { self.0 & 7 } else { self.0 };
        if number == ESP_TRANSPORT_V4 || self.is_ipv6() && number == 7 {
            return ESP_TRANSPORT;
        }
        CONFIGS[usize::from(number) % CONFIGS.len()]
    }

    fn ends(self) -> (&'static str, &'static str) {
        if self.is_ipv6() { (A6, B6) } else { (A, B) }
    }

    fn networks(self) -> (&'static str, &'static str) {
        if self.is_ipv6() { ("2001:db8:1::/48", "2001:db8:2::/48") } else { ("10.1.0.0/16", "10.2.0.0/16") }
    }

    /// Returns source and destination of packets that match the PROTECT policy.
    fn addresses(self) -> (&'static str, &'static str) {
        match (self.is_between_hosts(), self.is_ipv6()) {
            (true, _) => self.ends(),
            (_, true) => ("2001:db8:1::1", "2001:db8:2::1"),
            (_, false) => ("10.1.0.1", "10.2.0.1"),
        }
    }

    fn is_between_hosts(self) -> bool {
        !self.config().1.contains("tunnel")
    }

    /// Returns whether the payload is encrypted.
    fn is_encrypted(self) -> bool {
        !self.config().0.contains("ah 0x1001")
    }

    /// Returns the statements of the SAs, and the templates of the policy.
    fn texts(self) -> (String, String) {
        let ((sas, templates), (a, b)) = (self.config(), self.ends());
        let sas = sas.split(';').map(|sa| format!("add {a} {b} {};\n", sa.replace("ESP", KEYS))).collect();
        (sas, templates.replace("A-B", &format!("{a}-{b}")))
    }

    /// Returns a gateway with the SAs of the first one whose policy protects packets with any addresses.
    fn rogue_peer(self) -> Gateway {
        let ((sas, templates), any) = (self.texts(), if self.is_ipv6() { "::/0" } else { "0.0.0.0/0" });
        Gateway::new(&format!("{sas}spdadd {any} {any} any -P out ipsec {templates};\n"), self.ends().0)
    }

    /// Returns two gateways: the first sends, the second receives.
    fn pair(self) -> (Gateway, Gateway) {
        let (sas, templates) = self.texts();
        // Transport mode is between the gateways themselves.
        let (from, to) = if self.is_between_hosts() { self.ends() } else { self.networks() };
        let icmp = if self.is_ipv6() { "icmp6" } else { "icmp" };
        let (upper, except) = match self.protects_only_tcp() {
            true => ("tcp", String::new()),
            false => ("any", format!("spdadd {from} {to} {icmp} -P out discard;\n")),
        };
        let policy = |direction| {
            let protect = format!("spdadd {from} {to} {upper} -P {direction} ipsec {templates};\n");
            let pass = format!("spdadd {from} {to} any -P {direction} none;\n");
            if self.protects_only_tcp() { protect + &pass } else { protect }
        };
        let (a, b) = self.ends();
        (
            Gateway::new(&format!("{sas}{except}{}", policy("out")), a),
            Gateway::new(&format!("{sas}{}", policy("in")), b),
        )
    }

    /// Asserts that a bypassed packet does not match the PROTECT policy; a later fragment may match it.
    fn check_bypassed(self, packet: &[u8]) {
        if !self.is_ipv6() {
            return;
        }
        let flow = Flow::read(packet).unwrap_or_else(|e| panic!("{e}"));
        let (from, to) = self.addresses();
        let prefix = |address: std::net::IpAddr, of: &str| {
            let octets = if self.is_between_hosts() { 16 } else { 6 };
            matches!((address, of.parse()), (std::net::IpAddr::V6(a), Ok(std::net::IpAddr::V6(b)))
                if a.octets()[..octets] == b.octets()[..octets])
        };
        let is_protected = prefix(flow.source, from) && prefix(flow.destination, to);
        let may_be_tcp = flow.protocol == IpProto::TCP || inserted_headers::is_later_fragment(packet);
        assert!(
            !is_protected || self.protects_only_tcp() && !may_be_tcp,
            "packet of a PROTECT policy was bypassed: {packet:02x?}"
        );
    }
}

/// Marker that every protected packet contains.
const MARK: &[u8; 16] = b"must not be seen";

pub fn outbound(octets: &[u8]) {
    let [choice, mtu, packet @ ..] = octets else { return };
    let choice = Choice(*choice);
    if choice.is_ipv6() {
        return outbound_with_headers(choice, *mtu, packet);
    }
    let (mut gateway, _) = choice.pair();
    if mtu & 1 != 0 {
        gateway.engine.settings_mut().link_mtu = Some(u16::from(*mtu) * 8);
    }
    if mtu & 2 != 0 {
        gateway.engine.settings_mut().unmatched = Unmatched::Discard;
    }
    let packet = &packet[..packet.len().min(2000)];
    match gateway.send(packet) {
        Ok(wire) => {
            let ip = Ip::parse(&wire).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(ip.packet().len(), wire.len(), "length field differs from the packet length");
            let hidden = !wire.windows(MARK.len()).any(|w| w == MARK);
            assert!(hidden || !choice.is_encrypted(), "plaintext in the protected packet");
            let flow = Flow::read(&wire).unwrap_or_else(|e| panic!("{e}"));
            assert!(matches!(flow.protocol, IpProto::ESP | IpProto::AH | IpProto::UDP | IpProto::IPCOMP));
        }
        Err(OutboundAction::Bypass) => {
            let flow = Flow::read(packet).unwrap_or_else(|e| panic!("{e}"));
            let ours = |address: std::net::IpAddr, net: [u8; 2]| matches!(address, std::net::IpAddr::V4(a) if a.octets()[..2] == net);
            let protected = ours(flow.source, [10, 1]) && ours(flow.destination, [10, 2]);
            assert!(!protected || choice.is_between_hosts(), "packet of a PROTECT policy was bypassed");
        }
        Err(_) => {}
    }
}

/// Sends a packet that matches the policy addresses and has inserted headers. A protected packet must not show its
/// payload, a bypassed one must not match the PROTECT policy, and the receiver delivers the packet or leaves no
/// plaintext.
fn outbound_with_headers(choice: Choice, mtu: u8, octets: &[u8]) {
    let [count, rest @ ..] = octets else { return };
    let (headers, rest) = rest.split_at((usize::from(*count & 3) * 3).min(rest.len()));
    let (&protocol, rest) = rest.split_first().unwrap_or((&6, &[]));
    let (mut from, mut to) = choice.pair();
    from.engine.settings_mut().link_mtu = (mtu & 1 != 0).then(|| u16::from(mtu) * 8);
    let ports = [0, 80, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0];
    let payload = [&ports, &rest[..rest.len().min(1500)], MARK].concat();
    let (source, destination) = choice.addresses();
    let packet = inserted_headers::insert(&gateway::ip(source, destination, IpProto(protocol), &payload), headers);
    match from.send(&packet) {
        Ok(wire) => {
            let hidden = !wire.windows(MARK.len()).any(|window| window == MARK);
            // Transport mode does not protect extension headers, and the mark may be in one.
            let end_of_headers =
                transport_position(&packet, DestinationOptions::Unprotected).map_or(0, |place| place.at);
            let is_in_header = choice.is_between_hosts() && end_of_headers + MARK.len() > packet.len();
            assert!(hidden || is_in_header || !choice.is_encrypted(), "plaintext in the protected packet");
            match receive(&mut to, &wire) {
                (Received::Deliver, opened, _) => {
                    let expected =
                        if choice.is_between_hosts() { inserted_headers::bare(&packet) } else { packet.clone() };
                    let opened = if choice.is_between_hosts() { inserted_headers::bare(&opened) } else { opened };
                    assert!(same(&expected, &opened), "sent {packet:02x?}, delivered {opened:02x?}");
                }
                (_, _, buffer) => {
                    let shown = buffer.windows(MARK.len()).any(|window| window == MARK);
                    assert!(!hidden || !shown, "plaintext in the buffer of a refused packet");
                }
            }
        }
        Err(OutboundAction::Bypass) => choice.check_bypassed(&packet),
        Err(_) => {}
    }
    if receive(&mut to, &packet).0 == Received::Bypass {
        choice.check_bypassed(&packet);
    }
}

/// Instruction that inserts headers into a sent packet; one of the values that alter a packet, with otherwise unused
/// bits set.
const INSERT: u8 = 0xa9;

/// Executes instructions: send a packet, send one without a policy at the receiver, receive a sent one unmodified,
/// altered or with inserted headers, or receive arbitrary octets.
pub fn inbound(octets: &[u8]) {
    let [choice, rest @ ..] = octets else { return };
    let choice = Choice(*choice);
    let (mut from, mut to) = choice.pair();
    let mut rogue_peer = choice.rogue_peer();
    let (mut rest, mut sent, mut genuine) = (rest, Vec::new(), Vec::new());
    while let [what, n, more @ ..] = rest {
        let (payload, behind) = more.split_at(usize::from(*n).min(more.len()));
        rest = behind;
        match what % 4 {
            0 if what & 0x80 != 0 && !choice.is_between_hosts() => {
                let (source, destination) =
                    if choice.is_ipv6() { ("2001:db8:f::1", "2001:db8:2::1") } else { ("172.16.0.1", "10.2.0.1") };
                let unwanted = gateway::udp(source, destination, 7, u16::from(*n), payload);
                if let Ok(wire) = rogue_peer.send(&unwanted) {
                    // IP in IP without a matching IPComp template is delivered as a packet of the peer itself.
                    let (action, opened) = to.receive(&wire);
                    let stays_inside =
                        || Flow::read(&opened).is_ok_and(|flow| matches!(flow.protocol, IpProto::IPV4 | IpProto::IPV6));
                    assert!(action != Received::Deliver || stays_inside(), "packet without a policy was delivered");
                }
            }
            0 => {
                let (source, destination) = choice.addresses();
                let packet = if choice.protects_only_tcp() {
                    gateway::tcp(source, destination, 7, u16::from(*n), payload)
                } else {
                    gateway::udp(source, destination, 7, u16::from(*n), payload)
                };
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
                if *what == INSERT {
                    wire = inserted_headers::insert(&wire, &payload[1..]);
                } else {
                    for pair in payload[1..].chunks_exact(2) {
                        let place = usize::from(pair[0]) % wire.len();
                        wire[place] ^= pair[1];
                    }
                }
                deliver(choice, &mut to, &wire, &mut genuine);
            }
            _ => deliver(choice, &mut to, payload, &mut genuine),
        }
    }
}

/// Octet after the packet in a buffer.
const FILLER: u8 = 0xee;

/// Receives a packet; returns the action, the packet and the whole buffer.
fn receive(to: &mut Gateway, wire: &[u8]) -> (Received, Vec<u8>, Vec<u8>) {
    let mut bytes = [wire, &[FILLER; 4096]].concat();
    let Ok(mut buffer) = PacketBuf::with_headroom(&mut bytes, 0, wire.len()) else { panic!("buffer is too small") };
    let action = to.engine.inbound(&mut buffer, to.now);
    let opened = buffer.data().to_vec();
    (action.into(), opened, bytes)
}

/// Receives a packet and asserts that a delivered packet was sent and not delivered before, and that a refused packet
/// leaves no plaintext.
fn deliver(choice: Choice, to: &mut Gateway, wire: &[u8], genuine: &mut Vec<Vec<u8>>) {
    let (action, opened, buffer) = receive(to, wire);
    match action {
        Received::Deliver => {
            assert!(inserted_headers::is_harmless(&opened), "unauthenticated headers were delivered: {opened:02x?}");
            let opened = if choice.is_between_hosts() { inserted_headers::bare(&opened) } else { opened };
            let at = genuine.iter().position(|packet| same(packet, &opened));
            let at = at.unwrap_or_else(|| panic!("delivered packet was not sent: {opened:02x?}"));
            genuine.remove(at);
        }
        Received::Bypass => choice.check_bypassed(&opened),
        _ if choice.is_encrypted() => {
            let ends = genuine.iter().filter_map(|packet| packet.get(60..)?.last_chunk::<16>());
            let contains = |octets: &[u8], end: &[u8; 16]| octets.windows(16).any(|window| window == end);
            // The buffer is filled, and wiped, with two octets.
            let before = [wire, &[FILLER; 16]].concat();
            let is_filler = |end: &[u8; 16]| end.iter().all(|octet| [0, FILLER].contains(octet));
            let mut shown = ends.filter(|end| contains(&buffer, end) && !contains(&before, end) && !is_filler(end));
            assert_eq!(shown.next(), None, "plaintext in the buffer of a refused packet");
        }
        _ => {}
    }
    while to.engine.poll_event().is_some() {}
}

/// Compares packets except for fields that may change: ESP does not cover the header before it in transport mode, and
/// ECN changes the traffic class of inner packets.
fn same(sent: &[u8], opened: &[u8]) -> bool {
    let ipv6 = sent.first().is_some_and(|first| first >> 4 == 6);
    let may_change = |at: usize| if ipv6 { matches!(at, 0..=3 | 7) } else { matches!(at, 1 | 4..=8 | 10 | 11) };
    sent.len() == opened.len() && sent.iter().zip(opened).enumerate().all(|(at, (a, b))| a == b || may_change(at))
}

/// Oracle of the engine's tests; the octets are its choices of policies, SAs and packets.
#[path = "../../../ipsec-engine/tests/oracle/case.rs"]
#[allow(clippy::pedantic)]
mod oracle;

pub fn choices(octets: &[u8]) {
    oracle::run(oracle::Random::given(octets.to_vec()), 8, false, &mut oracle::host::Tally::new());
}
