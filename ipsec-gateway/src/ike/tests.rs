use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::buffer::Buffer;
use crate::config::Config;
use crate::policy;
use crate::throttle::DELAY;
use ike_v1::Counter;
use ipsec_engine::Capacity;

/// Sink that keeps datagrams and packets.
#[derive(Default)]
pub(crate) struct Wire {
    datagrams: RefCell<Vec<(Path, Vec<u8>)>>,
    pub packets: RefCell<Vec<Vec<u8>>>,
}

impl DatagramSink for Wire {
    fn send(&self, path: &Path, datagram: &[u8]) -> io::Result<()> {
        self.datagrams.borrow_mut().push((*path, datagram.to_vec()));
        Ok(())
    }
}

impl PacketSink for Wire {
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.packets.borrow_mut().push(packet.to_vec());
        Ok(())
    }
}

/// Gateway 1 or 2 of a tunnel between 192.0.2.1 and 192.0.2.2.
pub(crate) struct Gateway {
    pub folder: PathBuf,
    pub ike: Ike,
    pub plane: Plane,
    pub wire: Wire,
}

impl Gateway {
    pub fn new(name: &str, own: u8) -> Self {
        Self::with_statements(name, own, "proposal aes128 sha1 modp768;", ["wonder land", "10.1.0.0/16"])
    }

    /// Creates a gateway whose peer has these statements. The client `alice` has this password; that of the server is
    /// `wonder land`. The policies are for a network of gateway 1.
    pub fn with_statements(name: &str, own: u8, statements: &str, [password, network_1]: [&str; 2]) -> Self {
        let other = 3 - own;
        let [local, remote] = [own, other].map(|side| if side == 1 { network_1 } else { "10.2.0.0/16" });
        let policies = format!(
            "spdadd {local} {remote} any -P out ipsec esp/tunnel/192.0.2.{own}-192.0.2.{other}/require;
            spdadd {remote} {local} any -P in ipsec esp/tunnel/192.0.2.{other}-192.0.2.{own}/require;"
        );
        Self::with_policies(name, own, statements, password, &policies)
    }

    /// Creates a gateway whose peer has these statements and policies.
    pub fn with_policies(name: &str, own: u8, statements: &str, password: &str, policies: &str) -> Self {
        let other = 3 - own;
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-ike-{name}-{own}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "policies \"setkey.conf\"; keys \"psk.txt\"; local 192.0.2.{own}; wan wan; tun ipsec0;
            peer other address 192.0.2.{other} {{ {statements} esp aes128-sha1; dpd_delay 20; }}"
        );
        let keys = format!("* a shared secret\nalice {password}\n");
        for (name, text) in [
            ("gateway.conf", &*config),
            ("setkey.conf", policies),
            ("psk.txt", &*keys),
            ("users.txt", "alice wonder land"),
        ] {
            fs::write(folder.join(name), text).unwrap();
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
        }
        let config = Config::read(&ipsec_config::SystemFiles, &folder.join("gateway.conf")).unwrap();
        let mut engine = policy::engine_with(Capacity { sas: 256, policies: 16, flows: 16 });
        let policies = policy::load(&config, &mut engine, Instant::ZERO).unwrap();
        let keys = PskFile::read(&crate::files::local(), config.keys.as_deref().unwrap()).unwrap();
        let exchange = KeyExchange::new(&ipsec_config::SystemFiles, config, policies).unwrap();
        let access = Access::read(&crate::files::local(), &exchange).unwrap();
        let ike = Ike::new(exchange, keys, access, None);
        Self { folder, ike, plane: Plane::new(engine), wire: Wire::default() }
    }

    /// Handles the events of the engine and of the negotiator. Returns the messages for the other gateway.
    fn drive(&mut self, now: Instant) -> Vec<(Path, Vec<u8>)> {
        while let Some(event) = self.plane.engine.poll_event() {
            self.ike.handle_sa_event(now, &event, &mut self.plane.engine);
        }
        self.ike.handle_timeout(now, &mut self.plane.engine);
        self.ike.drive(now, &mut self.plane, &self.wire, &self.wire);
        std::mem::take(&mut self.wire.datagrams.borrow_mut())
    }

    fn receive(&mut self, now: Instant, messages: Vec<(Path, Vec<u8>)>) {
        for (Path { local, remote }, mut datagram) in messages {
            let path = Path { local: remote, remote: local };
            self.ike.handle_datagram(now, path, &mut datagram, &mut self.plane.engine);
        }
    }

    /// Sends a packet from network 1 to network 2, or in the other direction.
    pub fn send(&mut self, now: Instant, own: u8) {
        self.send_from(now, own, 1);
    }

    /// Sends a packet from the host with this last octet.
    pub fn send_from(&mut self, now: Instant, own: u8, last: u8) {
        self.send_packet(now, [10, own, 0, last], [10, 3 - own, 0, 1]);
    }

    /// Sends a packet between these addresses.
    pub fn send_packet(&mut self, now: Instant, source: [u8; 4], destination: [u8; 4]) {
        let mut packet = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        packet[12..16].copy_from_slice(&source);
        packet[16..].copy_from_slice(&destination);
        let sum = ipsec_packet::Checksum::new().over(&packet).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        self.ike.note_sent(now);
        self.plane.outbound(now, &mut Buffer::new().copy(&packet).unwrap(), &self.wire).unwrap();
    }

    /// Negotiates SAs for the first policy.
    pub fn initiate_first(&mut self) {
        self.ike.initiate(NOW, PeerId(0), PolicyId::new(1), &mut self.plane.engine);
    }

    /// Returns the SAs of the engine.
    pub fn sas(&self) -> Vec<SaId> {
        self.plane.engine.sas().map(|sa| sa.key).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Delivers messages in both directions until there are none. Returns their number.
pub(crate) fn exchange(now: Instant, a: &mut Gateway, b: &mut Gateway) -> usize {
    let mut count = 0;
    loop {
        let (of_a, of_b) = (a.drive(now), b.drive(now));
        if of_a.is_empty() && of_b.is_empty() {
            return count;
        }
        count += of_a.len() + of_b.len();
        b.receive(now, of_a);
        a.receive(now, of_b);
    }
}

pub(crate) const NOW: Instant = Instant::from_secs(1);
/// Time for which a gateway accepts packets of an SA that the peer has deleted.
pub(crate) const IN_TRANSIT: Duration = Duration::from_secs(5);

/// Returns two gateways with a pair of SAs, which gateway 1 has initiated.
fn established(name: &str) -> (Gateway, Gateway) {
    let (mut a, mut b) = (Gateway::new(name, 1), Gateway::new(name, 2));
    a.send(NOW, 1);
    assert_eq!(exchange(NOW, &mut a, &mut b), 9, "main mode and quick mode");
    assert_eq!((a.sas().len(), b.sas().len()), (2, 2));
    (a, b)
}

/// Returns a client with this password and its server.
fn client_and_server(name: &str, password: &str) -> (Gateway, Gateway) {
    let client = "proposal aes128 sha1 modp768 xauth_psk_client; xauth_login alice; mode_cfg on;";
    let server = "proposal aes128 sha1 modp768 xauth_psk_server; users \"users.txt\";
        mode_cfg { network4 10.1.0.1; pool_size 2; };";
    let client = Gateway::with_statements(name, 1, client, [password, "10.1.0.1"]);
    (client, Gateway::with_statements(name, 2, server, [password, "10.1.0.0/16"]))
}

/// The policy of the client is for another address than the assigned one, with and without a request for an address.
#[test]
fn a_client_has_no_sas_for_the_address_of_another_one() {
    for (request, address) in [("mode_cfg on;", "10.1.0.2"), ("", "10.1.0.1"), ("", "10.1.0.0/16")] {
        let (_, mut server) = client_and_server("lease", "wonder land");
        let statements = format!("proposal aes128 sha1 modp768 xauth_psk_client; xauth_login alice; {request}");
        let mut client = Gateway::with_statements("other", 1, &statements, ["wonder land", address]);
        client.send(NOW, 1);
        if address == "10.1.0.2" {
            let policy = PolicyId::new(1);
            client.ike.initiate(NOW, PeerId(0), policy, &mut client.plane.engine);
        }
        while exchange(NOW, &mut client, &mut server) > 0 {}
        let refused = server.ike.negotiator.counters().get(Counter::NotLeased);
        assert_eq!((refused, server.sas().len()), (1, 0), "{request} {address}");
    }
}

/// The policies of both are for a network. The SAs are for the assigned address, and the server drops other packets.
#[test]
fn packets_of_a_client_have_its_assigned_address() {
    let (_, mut server) = client_and_server("source", "wonder land");
    let statements = "proposal aes128 sha1 modp768 xauth_psk_client; xauth_login alice; mode_cfg on;";
    let mut client = Gateway::with_statements("network", 1, statements, ["wonder land", "10.1.0.0/16"]);
    client.send_from(NOW, 1, 9);
    while exchange(NOW, &mut client, &mut server) > 0 {}
    assert_eq!(client.ike.take_address_changes(), [AddressChange::Added([10, 1, 0, 1].into())]);
    assert_eq!((client.sas().len(), server.sas().len()), (2, 2));
    client.send_from(NOW, 1, 1);
    let host = Wire::default();
    // The packet that has waited for the SA, and one with the assigned address.
    let sent = std::mem::take(&mut *client.wire.packets.borrow_mut());
    let delivered = sent.iter().map(|packet| {
        let mut buffer = Buffer::new();
        server.plane.inbound(NOW, &mut buffer.copy(packet).unwrap(), &host).map_err(|e| e.kind()).map(|sa| sa.is_some())
    });
    assert_eq!(delivered.collect::<Vec<_>>(), [Err(io::ErrorKind::PermissionDenied), Ok(true)]);
    assert_eq!(host.packets.borrow().len(), 1);
}

#[test]
fn a_user_is_authenticated_before_sas_are_negotiated() {
    let (mut client, mut server) = client_and_server("login", "wonder land");
    server.send(NOW, 2);
    assert_eq!(exchange(NOW, &mut client, &mut server), 0, "a server does not initiate");
    client.send(NOW, 1);
    assert_eq!(exchange(NOW, &mut client, &mut server), 12, "main mode and three transaction exchanges");
    assert_eq!(exchange(NOW, &mut client, &mut server), 3, "quick mode, when the assigned address is known");
    assert_eq!((client.sas().len(), server.sas().len()), (2, 2));
    let sa = server.ike.negotiator.sas().next().unwrap().id();
    assert_eq!(server.ike.access.user(sa), Some(&b"alice"[..]));
    client.ike.stop(NOW, &mut client.plane.engine);
    for now in [NOW, NOW + IN_TRANSIT] {
        exchange(now, &mut client, &mut server);
    }
    assert_eq!(server.ike.access.user(sa), None, "what the SA had is released");
}

#[test]
fn a_user_with_a_wrong_password_has_no_sas() {
    let (mut client, mut server) = client_and_server("password", "another");
    client.send(NOW, 1);
    exchange(NOW, &mut client, &mut server);
    let (due, almost) = (NOW + DELAY, NOW + DELAY / 2);
    assert_eq!(server.ike.poll_timeout(), Some(due), "the answer is delayed");
    assert_eq!(exchange(almost, &mut client, &mut server), 0);
    assert!(exchange(due, &mut client, &mut server) > 0);
    assert_eq!((client.sas(), server.sas()), (vec![], vec![]));
    assert!(client.ike.negotiator.sas().chain(server.ike.negotiator.sas()).next().is_none());
}

#[test]
fn a_packet_without_an_sa_is_sent_when_the_sa_exists() {
    let (a, _) = established("acquire");
    assert_eq!(a.wire.packets.borrow().len(), 1);
}

#[test]
fn no_negotiation_begins_after_the_stop() {
    let (mut a, mut b) = established("stop");
    let later = NOW + Duration::from_secs(2);
    a.ike.stop(later, &mut a.plane.engine);
    exchange(later, &mut a, &mut b);
    let later = later + IN_TRANSIT;
    exchange(later, &mut a, &mut b);
    assert_eq!((a.sas(), b.sas()), (vec![], vec![]), "both gateways have deleted the SAs");
    a.ike.handle_unknown_spi(later, "192.0.2.2".parse().unwrap(), &mut a.plane.engine);
    a.send(later, 1);
    b.send(later, 2);
    let messages = b.drive(later);
    assert_eq!(messages.len(), 1, "the peer begins main mode");
    a.receive(later, messages);
    assert_eq!(a.drive(later).len(), 0, "neither an answer nor a negotiation of its own");
    assert_eq!((a.sas().len(), a.ike.initiated.len()), (0, 0));
}

#[test]
fn a_pair_that_lacks_its_outbound_sa_is_deleted_at_both_gateways() {
    let (mut a, mut b) = (Gateway::new("full", 1), Gateway::new("full", 2));
    b.send(NOW, 2);
    // Gateway 1 is the responder: it installs its inbound SA before the last message arrives.
    let message_3 = loop {
        let of_b = b.drive(NOW);
        if !a.sas().is_empty() {
            break of_b;
        }
        a.receive(NOW, of_b);
        let of_a = a.drive(NOW);
        b.receive(NOW, of_a);
    };
    let manual = (0x2000..)
        .map(|spi| format!("add 10.0.0.1 10.0.0.2 esp {spi} -E null \"\" -A hmac-sha1 \"twenty octets it has\";"));
    for text in manual.take(255) {
        ipsec_config::setkey::apply(&mut *a.plane.engine, text.as_bytes(), &[], NOW).unwrap();
    }
    a.receive(NOW, message_3);
    exchange(NOW, &mut a, &mut b);
    exchange(NOW + IN_TRANSIT, &mut a, &mut b);
    assert_eq!((a.ike.installed.len(), b.ike.installed.len()), (0, 0));
    assert_eq!((a.sas().len(), b.sas()), (255, vec![]), "the manual SAs remain");
    assert!(a.ike.failed.contains_key(&PolicyId::new(1)));
}

#[test]
fn a_pair_is_deleted_at_both_gateways_when_one_of_its_sas_expires() {
    for direction in [Direction::Inbound, Direction::Outbound] {
        let (mut a, mut b) = established("expire");
        let mut installed = a.ike.installed.iter().map(|(id, sa)| (*id, sa.source));
        let (id, source) = installed.find(|(id, _)| id.direction == direction).unwrap();
        a.plane.engine.remove(&id, source);
        a.ike.handle_sa_event(NOW, &SaEvent::Expire(id, Expiry::Hard), &mut a.plane.engine);
        assert_eq!(exchange(NOW, &mut a, &mut b), 1, "a delete message");
        exchange(NOW + IN_TRANSIT, &mut a, &mut b);
        assert_eq!((a.sas(), b.sas()), (vec![], vec![]), "{direction:?}");
        assert_eq!((a.ike.installed.len(), b.ike.installed.len()), (0, 0), "{direction:?}");
    }
}

#[test]
fn log_lines_about_unknown_addresses_have_a_separate_limit() {
    let mut gateway = Gateway::new("limit", 1);
    let Ike { limiters, exchange, .. } = &mut gateway.ike;
    let mut limiter = |address: &str| std::ptr::from_mut(limiters.of(exchange, address.parse().unwrap()));
    assert_eq!(limiter("192.0.2.2"), limiter("192.0.2.2"));
    assert_ne!(limiter("192.0.2.2"), limiter("192.0.2.9"));
}

#[test]
fn a_failed_renewal_is_repeated() {
    let (mut a, mut b) = established("renewal");
    let outbound =
        |gateway: &Gateway| gateway.sas().into_iter().find(|id| id.direction == Direction::Outbound).unwrap();
    let old = outbound(&a);
    let soft = NOW + Duration::from_secs(100);
    a.ike.handle_sa_event(soft, &SaEvent::Expire(old, Expiry::Soft), &mut a.plane.engine);
    // The messages are lost for longer than the negotiation is tried.
    let mut now = soft;
    while a.ike.renewals.is_empty() {
        now += Duration::from_secs(1);
        a.drive(now);
        assert!(now < soft + Duration::from_secs(100), "the negotiation fails");
    }
    for _ in 0..30 {
        now += Duration::from_secs(1);
        exchange(now, &mut a, &mut b);
    }
    assert_ne!(outbound(&a), old);
    assert!(a.ike.renewals.is_empty());
}

#[test]
fn a_peer_that_answers_is_not_dead() {
    let (mut a, mut b) = established("alive");
    let before = a.sas();
    for second in 2..100 {
        let now = NOW + Duration::from_secs(second);
        a.send(now, 1);
        exchange(now, &mut a, &mut b);
    }
    let counters = a.ike.negotiator.counters();
    let answers = counters.get(ike_v1::Counter::DpdAnswered);
    assert!((4..=5).contains(&answers), "{answers}");
    assert_eq!(a.sas(), before);
}

#[test]
fn the_sas_of_a_dead_peer_are_removed_and_a_packet_begins_phase_1() {
    let (mut a, mut b) = established("dead");
    let mut now = NOW;
    while !a.sas().is_empty() {
        now += Duration::from_secs(1);
        a.send(now, 1);
        a.drive(now);
        assert!(now < NOW + Duration::from_secs(60), "the peer is found dead");
    }
    assert!(now >= NOW + Duration::from_secs(45), "after the delay and five queries");
    assert_eq!(b.sas().len(), 2);
    let old = b.sas();
    now += Duration::from_secs(1);
    a.send(now, 1);
    exchange(now, &mut a, &mut b);
    assert_eq!((a.sas().len(), b.sas().len()), (2, 2));
    assert!(b.sas().iter().all(|id| !old.contains(id)), "INITIAL-CONTACT has removed the others");
}

#[test]
fn sas_with_a_peer_are_negotiated_without_a_packet() {
    let statements = "proposal aes128 sha1 modp768; start on;";
    let gateway = |own| Gateway::with_statements("start", own, statements, ["wonder land", "10.1.0.0/16"]);
    let (mut a, mut b) = (gateway(1), Gateway::new("start", 2));
    exchange(NOW, &mut a, &mut b);
    assert_eq!((a.sas().len(), b.sas().len()), (2, 2));
    // SAs that were deleted are negotiated again by the next check, and only then.
    b.ike.stop(NOW, &mut b.plane.engine);
    exchange(NOW, &mut a, &mut b);
    assert_eq!(a.ike.outbound().count(), 0);
    let mut b = Gateway::new("start", 2);
    exchange(NOW + Duration::from_secs(30), &mut a, &mut b);
    assert_eq!(a.ike.outbound().count(), 0);
    assert!(a.ike.poll_timeout().is_some_and(|due| due <= NOW + Duration::from_secs(60)));
    exchange(NOW + Duration::from_secs(60), &mut a, &mut b);
    assert_eq!((a.ike.outbound().count(), b.ike.outbound().count()), (1, 1));
}

#[test]
fn a_pair_with_an_sa_that_the_kernel_no_longer_has_is_deleted_at_both_ends() {
    let (mut a, mut b) = established("lost");
    let (kernel, model) = crate::kernel::tests::kernel();
    a.plane.engine.attach(kernel);
    let now = NOW + Duration::from_secs(10);
    a.ike.read_usage(now, &mut a.plane.engine);
    exchange(now, &mut a, &mut b);
    assert_eq!((a.ike.outbound().count(), b.ike.outbound().count()), (1, 1));
    // ESRCH
    model.errors.borrow_mut().push_back(3);
    a.ike.read_usage(now + Duration::from_secs(4), &mut a.plane.engine);
    assert_eq!(model.errors.take(), [3], "SADB_GET is sent every five seconds");
    model.errors.borrow_mut().push_back(3);
    let now = now + Duration::from_secs(5);
    a.ike.read_usage(now, &mut a.plane.engine);
    exchange(now, &mut a, &mut b);
    assert_eq!((a.ike.outbound().count(), b.ike.outbound().count()), (0, 0));
}

#[test]
fn a_restarted_gateway_begins_phase_1_after_a_message_of_an_unknown_sa() {
    let (mut a, b) = established("restarted");
    drop(b);
    let mut b = Gateway::new("restarted", 2);
    let mut now = NOW;
    while b.sas().is_empty() {
        now += Duration::from_secs(1);
        a.send(now, 1);
        exchange(now, &mut a, &mut b);
        assert!(now < NOW + Duration::from_secs(40), "the first query has unknown cookies");
    }
    assert_eq!((a.sas().len(), b.sas().len()), (2, 2));
}

#[test]
fn the_times_of_a_configuration_are_those_of_the_negotiator() {
    assert_eq!(settings(&Timing::default(), &Limits::default()), Settings::DAEMON);
    let mut timing = Timing::default();
    (timing.transmissions, timing.interval) = (Some(5), Some(Duration::from_secs(20)));
    (timing.phase_1, timing.phase_2) = (Some(Duration::from_secs(90)), Some(Duration::from_secs(15)));
    timing.keep_alive = Duration::ZERO;
    let found = settings(&timing, &Limits::default());
    assert_eq!(
        (found.sends, found.first_wait, found.longest_wait),
        (5, timing.interval.unwrap(), timing.interval.unwrap())
    );
    assert_eq!((found.exchange_lifetime, found.keep_alive), (Duration::from_secs(90), NEVER));
    timing.phase_1 = None;
    assert_eq!(settings(&timing, &Limits::default()).exchange_lifetime, SHORTEST_EXCHANGE);
}
