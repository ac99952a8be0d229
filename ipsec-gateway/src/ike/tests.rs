use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::buffer::Buffer;
use crate::config::Config;
use ipsec_engine::Capacity;

/// Sink that keeps datagrams and packets.
#[derive(Default)]
struct Wire {
    datagrams: RefCell<Vec<(Path, Vec<u8>)>>,
    packets: RefCell<Vec<Vec<u8>>>,
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
struct Gateway {
    folder: PathBuf,
    ike: Ike,
    plane: Plane,
    wire: Wire,
}

impl Gateway {
    fn new(name: &str, own: u8) -> Self {
        Self::with_statements(name, own, "proposal aes128 sha1 modp768;", "wonder land")
    }

    /// Gateway whose peer has these statements. The client `alice` has this password; that of the server is `wonder land`.
    fn with_statements(name: &str, own: u8, statements: &str, password: &str) -> Self {
        let other = 3 - own;
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-ike-{name}-{own}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "policies \"setkey.conf\"; keys \"psk.txt\"; local 192.0.2.{own}; wan wan; tun ipsec0;
            peer other address 192.0.2.{other} {{ {statements} esp aes128-sha1; dpd_delay 20; }}"
        );
        let policies = format!(
            "spdadd 10.{own}.0.0/16 10.{other}.0.0/16 any -P out ipsec esp/tunnel/192.0.2.{own}-192.0.2.{other}/require;
            spdadd 10.{other}.0.0/16 10.{own}.0.0/16 any -P in ipsec esp/tunnel/192.0.2.{other}-192.0.2.{own}/require;"
        );
        let keys = format!("* a shared secret\nalice {password}\n");
        for (name, text) in [
            ("gateway.conf", &*config),
            ("setkey.conf", &*policies),
            ("psk.txt", &*keys),
            ("users.txt", "alice wonder land"),
        ] {
            fs::write(folder.join(name), text).unwrap();
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).unwrap();
        }
        let config = Config::read(&folder.join("gateway.conf")).unwrap();
        let mut engine = policy::engine_with(Capacity { sas: 256, policies: 16, flows: 16 });
        let policies = policy::load(&config, &mut engine, Instant::ZERO).unwrap();
        let keys = PskFile::read(&config.keys).unwrap();
        let access = Access::read(&config).unwrap();
        let ike = Ike::new(KeyExchange::new(config, policies).unwrap(), keys, access, None);
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
    fn send(&mut self, now: Instant, own: u8) {
        let other = 3 - own;
        let mut packet = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, own, 0, 1, 10, other, 0, 1];
        let sum = ipsec_packet::Checksum::new().over(&packet).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        self.ike.note_sent(now);
        self.plane.outbound(now, &mut Buffer::new().copy(&packet).unwrap(), &self.wire).unwrap();
    }

    /// Returns the SAs of the engine.
    fn sas(&self) -> Vec<SaId> {
        self.plane.engine.sas().map(|sa| sa.key).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Delivers messages in both directions until there are none. Returns their number.
fn exchange(now: Instant, a: &mut Gateway, b: &mut Gateway) -> usize {
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

const NOW: Instant = Instant::from_secs(1);
/// Time for which a gateway accepts packets of an SA that the peer has deleted.
const UNDER_WAY: Duration = Duration::from_secs(5);

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
        mode_cfg { network4 10.99.0.10; pool_size 1; };";
    let gateway = |own, statements| Gateway::with_statements(name, own, statements, password);
    (gateway(1, client), gateway(2, server))
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
    for now in [NOW, NOW + UNDER_WAY] {
        exchange(now, &mut client, &mut server);
    }
    assert_eq!(server.ike.access.user(sa), None, "what the SA had is released");
}

#[test]
fn a_user_with_a_wrong_password_has_no_sas() {
    let (mut client, mut server) = client_and_server("password", "another");
    client.send(NOW, 1);
    exchange(NOW, &mut client, &mut server);
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
    let later = later + UNDER_WAY;
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
fn a_pair_without_its_outbound_sa_is_deleted_at_both_gateways() {
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
    exchange(NOW + UNDER_WAY, &mut a, &mut b);
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
        exchange(NOW + UNDER_WAY, &mut a, &mut b);
        assert_eq!((a.sas(), b.sas()), (vec![], vec![]), "{direction:?}");
        assert_eq!((a.ike.installed.len(), b.ike.installed.len()), (0, 0), "{direction:?}");
    }
}

#[test]
fn lines_about_other_addresses_have_a_limit_of_their_own() {
    let mut gateway = Gateway::new("limit", 1);
    let Ike { limiters, exchange, .. } = &mut gateway.ike;
    let mut limiter = |address: &str| std::ptr::from_mut(limiters.of(exchange, address.parse().unwrap()));
    assert_eq!(limiter("192.0.2.2"), limiter("192.0.2.2"));
    assert_ne!(limiter("192.0.2.2"), limiter("192.0.2.9"));
}

#[test]
fn a_renewal_that_has_failed_is_tried_again() {
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
fn a_gateway_that_has_restarted_begins_phase_1_when_it_is_asked() {
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
