use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ike_codec::{ExchangeKind, IdKind, Identification};
use ipsec_packet::{AddressRange, Upper};

use super::*;
use crate::policy::new_engine;

const CONFIG: &str = r#"
    policies "setkey.conf"; keys "psk.txt"; local 192.0.2.1; local 2001:db8::1[501]; tun ipsec0;
    peer east address 198.51.100.1[501] { proposal aes sha1 2; esp aes128-sha1; peers_identity fqdn east.example.net; }
    peer six address 2001:db8::2 { proposal aes sha1 2; esp aes128-sha1; identity keyid west; }
    peer road address any { proposal aes sha1 2; esp aes128-sha1; peers_identity fqdn road.example.net; }
"#;
const POLICIES: &str = "
    spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
    spdadd 10.1.1.0/24 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
    spdadd 10.1.0.0/16 10.3.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-203.0.113.1/require;";

/// Gateway with its files in a directory of the test.
struct Gateway {
    folder: PathBuf,
    exchange: KeyExchange,
    keys: PskFile,
    access: Access,
    engine: Box<Databases>,
    limiter: Limiter,
    generated: Generated,
    hooks: Hooks,
}

impl Gateway {
    fn new(name: &str) -> Self {
        Self::with_config(name, CONFIG)
    }

    fn with_config(name: &str, config: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ipsec-gateway-{}-host-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let keys = "198.51.100.1 of east\nroad.example.net of road\n2001:db8::2 of six\n";
        for (name, text) in [("gateway.conf", config), ("setkey.conf", POLICIES), ("psk.txt", keys)] {
            fs::write(folder.join(name), text).unwrap();
        }
        fs::set_permissions(folder.join("psk.txt"), Permissions::from_mode(0o600)).unwrap();
        let config = Config::read(&ipsec_config::SystemFiles, &folder.join("gateway.conf")).unwrap();
        let mut engine = new_engine();
        let policies = policy::load(&config, &mut engine, Instant::ZERO).unwrap();
        let keys = PskFile::read(&crate::files::local(), config.keys.as_deref().unwrap()).unwrap();
        Self {
            folder,
            exchange: KeyExchange::new(&ipsec_config::SystemFiles, config, policies).unwrap(),
            keys,
            access: Access::default(),
            engine,
            limiter: Limiter::default(),
            generated: Generated::default(),
            hooks: Hooks::default(),
        }
    }

    fn host(&mut self) -> GatewayHost<'_> {
        let Self { exchange, keys, access, engine, limiter, generated, hooks, .. } = self;
        let (admission, now) = (Admission::Open, Instant::ZERO);
        GatewayHost { exchange, keys, access, engine, generated, hooks, admission, limiter, now }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn path(remote: &str) -> Path {
    Path { local: "192.0.2.1:500".parse().unwrap(), remote: remote.parse().unwrap() }
}

fn selector(source: &str, length: u8, destination: &str) -> Selector {
    let range = |address: &str, length| AddressRange::prefix(address.parse().unwrap(), length).unwrap();
    Selector { source: range(source, length), destination: range(destination, 16), upper: Upper::Any }
}

#[test]
fn a_peer_is_found_by_its_address() {
    let mut gateway = Gateway::new("find");
    let host = gateway.host();
    let find = |remote, candidate| {
        host.find_peer(&PeerHint { path: path(remote), exchange: ExchangeKind::MAIN, candidate, identity: None })
    };
    assert_eq!(find("198.51.100.1:500", None), Some(PeerId(0)));
    assert_eq!(find("198.51.100.9:500", None), Some(PeerId(2)), "the peer at any address");
    assert_eq!(find("198.51.100.9:500", Some(PeerId(0))), Some(PeerId(0)), "the peer does not change");
}

#[test]
fn a_peer_at_any_address_yields_to_one_with_the_address() {
    let peer = "proposal aes sha1 2; esp aes128-sha1;";
    let peers = format!("peer any address any {{ {peer} }} peer east address 198.51.100.1 {{ {peer} }}");
    let start = "policies \"setkey.conf\"; keys \"psk.txt\"; local 192.0.2.1; tun ipsec0;";
    let mut gateway = Gateway::with_config("any", &format!("{start} {peers}"));
    let host = gateway.host();
    let find = |remote| {
        let exchange = ExchangeKind::AGGRESSIVE;
        host.find_peer(&PeerHint { path: path(remote), exchange, candidate: None, identity: None })
    };
    assert_eq!([find("198.51.100.1:500"), find("198.51.100.9:500")], [Some(PeerId(1)), Some(PeerId(0))]);
}

#[test]
fn the_local_address_of_a_peer_is_that_of_its_policies() {
    let config = CONFIG.replace("local 192.0.2.1;", "local 192.0.2.9; local 192.0.2.1[4000];");
    let mut gateway = Gateway::with_config("local", &config);
    let host = gateway.host();
    let east = host.peer(PeerId(0)).unwrap();
    let expected = Path { local: "192.0.2.1:4000".parse().unwrap(), ..path("198.51.100.1:501") };
    assert_eq!((east.path, east.local_identity.data), (Some(expected), &[192, 0, 2, 1][..]));
    let find = |local: &str, remote: &str| {
        let path = Path { local: local.parse().unwrap(), ..path(remote) };
        host.find_peer(&PeerHint { path, exchange: ExchangeKind::MAIN, candidate: None, identity: None })
    };
    assert_eq!(find("192.0.2.1:500", "198.51.100.1:500"), Some(PeerId(0)));
    assert_eq!(find("192.0.2.9:500", "198.51.100.1:500"), None, "the policies have another local address");
    assert_eq!(find("192.0.2.9:500", "203.0.113.1:500"), None, "likewise for the peer at any address");
    let (config, policies) = (crate::config::tests::config(&config, "").unwrap(), Vec::new());
    let exchange = KeyExchange::new(&ipsec_config::SystemFiles, config, policies).unwrap();
    assert_eq!(exchange.path(PeerId(0)).unwrap().local, "192.0.2.9:500".parse().unwrap(), "without policies");
    assert_eq!(exchange.local(PeerId(2)), None);
}

#[test]
fn path_and_identities_of_a_peer_are_those_of_its_configuration() {
    let mut gateway = Gateway::new("peer");
    let host = gateway.host();
    let (east, six, road) = (host.peer(PeerId(0)), host.peer(PeerId(1)), host.peer(PeerId(2)));
    let (east, six, road) = (east.unwrap(), six.unwrap(), road.unwrap());
    assert_eq!(east.path, Some(path("198.51.100.1:501")));
    assert_eq!((east.local_identity.kind, east.local_identity.data), (IdKind::IPV4, &[192, 0, 2, 1][..]));
    assert_eq!(east.remote_identity.unwrap().name(), Some("east.example.net"));
    assert_eq!(six.path.unwrap().local.port(), 501, "the local address has the family of the peer");
    assert_eq!((six.local_identity.kind, six.local_identity.data), (IdKind::KEY_ID, &b"west"[..]));
    assert_eq!(road.path, None, "this host does not initiate phase 1 with a peer at any address");
    assert!(host.peer(PeerId(3)).is_none());
}

#[test]
fn pre_shared_keys_are_found_by_address_and_identity() {
    let mut gateway = Gateway::new("keys");
    let mut host = gateway.host();
    let anywhere = path("203.0.113.77:500");
    let mut key = |peer| match host.pre_shared_key(PeerId(peer), &anywhere) {
        Poll::Ready(key) => key.map(|key| key.expose().to_vec()),
        Poll::Pending => panic!("the key is in a file"),
    };
    assert_eq!(key(0).unwrap(), b"of east");
    assert_eq!(key(1).unwrap(), b"of six");
    assert_eq!(key(2).unwrap(), b"of road");
    assert_eq!(key(3), None);
}

#[test]
fn a_peer_without_address_and_identity_has_the_keys_of_addresses() {
    let peers = "peer any address any { proposal aes sha1 2; esp aes128-sha1; }
        peer road address any { proposal aes sha1 2; esp aes128-sha1; peers_identity fqdn road.example.org; }";
    let start = "policies \"setkey.conf\"; keys \"psk.txt\"; local 192.0.2.1; tun ipsec0;";
    let missing = |peer: &str, keys: &str| {
        let mut gateway = Gateway::with_config("keyless", &format!("{start} {peer}"));
        fs::write(gateway.folder.join("psk.txt"), keys).unwrap();
        missing_keys(&gateway.exchange.config, &mut gateway.keys).len()
    };
    let [any, road] = [0, 1].map(|line| peers.lines().nth(line).unwrap());
    assert_eq!(missing(any, "203.0.113.7 of an initiator\n"), 0);
    assert_eq!(missing(any, "other.example.org of a name\n"), 1, "no line is for an address");
    assert_eq!(missing(road, "203.0.113.7 of an initiator\n"), 1, "the identity has no key");
    assert_eq!(missing(road, "road.example.org of road\n"), 0);
}

#[test]
fn the_policy_with_equal_selectors_is_preferred() {
    let mut gateway = Gateway::new("policy");
    let host = gateway.host();
    let find = |peer, selector: Selector| host.policy_for(PeerId(peer), &selector).map(|policy| policy.id.get());
    assert_eq!(find(0, selector("10.1.1.0", 24, "10.2.0.0")), Some(2));
    assert_eq!(find(0, selector("10.1.2.0", 24, "10.2.0.0")), Some(1), "the policy contains the selector");
    assert_eq!(find(0, selector("10.0.0.0", 8, "10.2.0.0")), None, "a wider selector");
    assert_eq!(find(0, selector("10.1.0.0", 16, "10.3.0.0")), None, "a policy of another peer");
    assert_eq!(find(2, selector("10.1.0.0", 16, "10.3.0.0")), Some(3));
    assert_eq!(host.policy(2).unwrap().selector, selector("10.1.1.0", 24, "10.2.0.0"));
}

#[test]
fn a_stopping_host_accepts_no_new_peers_or_policies() {
    let mut gateway = Gateway::new("stop");
    let mut host = gateway.host();
    host.admission = Admission::Closed;
    let find = |candidate| {
        let (path, exchange) = (path("198.51.100.1:500"), ExchangeKind::MAIN);
        host.find_peer(&PeerHint { path, exchange, candidate, identity: None })
    };
    assert_eq!((find(None), find(Some(PeerId(0)))), (None, Some(PeerId(0))));
    assert!(host.policy(1).is_none());
    assert!(host.policy_for(PeerId(0), &selector("10.1.1.0", 24, "10.2.0.0")).is_none());
}

#[test]
fn reserved_spis_are_larval_until_released() {
    let mut gateway = Gateway::new("spi");
    let mut host = gateway.host();
    let path = path("198.51.100.1:500");
    for (protocol, max) in [(ProtocolId::ESP, u32::MAX), (ProtocolId::AH, u32::MAX), (ProtocolId::IPCOMP, MAX_CPI)] {
        let Poll::Ready(Some(spi)) = host.reserve_spi(protocol, &path) else { panic!("SPIs are available") };
        assert!((MIN_SPI..=max).contains(&spi));
        assert_eq!(host.engine.sas().map(|sa| sa.key.spi).collect::<Vec<_>>(), [spi]);
        host.release_spi(protocol, &path, spi);
        assert_eq!(host.engine.sas().count(), 0);
    }
    assert_eq!(host.reserve_spi(ProtocolId::ISAKMP, &path), Poll::Ready(None));
}

#[test]
fn a_peer_without_a_local_address_of_its_family_is_refused() {
    let config = CONFIG.replace("local 2001:db8::1[501];", "");
    let error =
        KeyExchange::new(&ipsec_config::SystemFiles, crate::config::tests::config(&config, "").unwrap(), Vec::new())
            .err()
            .unwrap();
    assert_eq!(error, "peer six: no `local` address has the address family of the peer");
}

#[test]
fn refused_values_are_shown_with_those_that_are_configured() {
    let mut gateway = Gateway::new("refused");
    let host = gateway.host();
    let sent = Identification { kind: IdKind::FQDN, protocol: 0, port: 0, data: b"west\n.example.net" };
    assert_eq!(
        host.text_of(PeerId(0), &Refused::Identity(sent)),
        "peer east: got the identity ID_FQDN west\\n.example.net, expected ID_FQDN east.example.net"
    );
    let network = |second| AddressRange::prefix([10, second, 0, 0].into(), 16).unwrap();
    let selector = Selector { source: network(9), destination: network(2), upper: Upper::Any };
    assert_eq!(
        host.text_of(PeerId(0), &Refused::Selectors(selector)),
        "peer east: got the selectors 10.9.0.0/16 10.2.0.0/16, expected those of one of the policies \
         1 (10.1.0.0/16 10.2.0.0/16), 2 (10.1.1.0/24 10.2.0.0/16)"
    );
}
