use ike_codec::IdKind;
use ipsec_config::{LoadSettings, load};

use super::*;

const PATH: Path = Path {
    local: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 500),
    remote: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9)), 500),
};

/// Returns the peer of a racoon.conf with scripts for all events.
fn peer(method: &str, statements: &str) -> ConfiguredPeer {
    let text = format!(
        "path script \"/etc/scripts\"; path xauth \"users\"; mode_cfg {{ network4 10.99.0.1; pool_size 2; }}
        remote 192.0.2.9 {{ exchange_mode main; {statements}
        script \"a\" phase1_up; script \"a\" phase1_down; script \"a\" phase1_dead;
        proposal {{ encryption_algorithm aes; hash_algorithm sha1; authentication_method {method}; dh_group 14; }} }}"
    );
    let files = crate::config::tests::Memory([("racoon.conf", text)].into_iter().collect());
    let loaded = load(&files, &[("racoon.conf".into(), None)], &LoadSettings::default());
    let errors: Vec<_> = loaded.diagnostics.iter().map(|own| loaded.sources.show(own).to_string()).collect();
    loaded.configuration.peers.into_iter().next().unwrap_or_else(|| panic!("{errors:?}"))
}

/// Identifier of an ISAKMP SA.
const SA: u8 = 1;

/// Returns the events of the calls.
fn events(hooks: &mut Hooks<u8>) -> Vec<ScriptEvent> {
    hooks.take_calls().into_iter().map(|call| call.event).collect()
}

const UP: ScriptEvent = ScriptEvent::Phase1Up;

#[test]
fn scripts_wait_for_user_and_address() {
    let id = PeerId(0);
    let table = [
        ("pre_shared_key", "", [true, false, false]),
        ("xauth_psk_server", "", [false, true, false]),
        ("xauth_psk_client", "xauth_login \"alice\";", [false, true, false]),
        ("xauth_psk_client", "xauth_login \"alice\"; mode_cfg on;", [false, false, true]),
    ];
    for (method, statements, expected) in table {
        let (peer, mut hooks) = (peer(method, statements), Hooks::default());
        hooks.established((SA, PATH), (id, &peer));
        let established = events(&mut hooks) == [UP];
        hooks.logged_in(SA, &peer);
        let logged_in = events(&mut hooks) == [UP];
        hooks.leased(SA, &peer, &ClientConfig::default());
        let leased = events(&mut hooks) == [UP];
        assert_eq!([established, logged_in, leased], expected, "{method} {statements}");
        hooks.leased(SA, &peer, &ClientConfig::default());
        assert_eq!(events(&mut hooks), [], "once for each SA");
        hooks.dead(SA, &peer);
        hooks.removed(SA, Some(&peer));
        hooks.removed(SA, Some(&peer));
        assert_eq!(events(&mut hooks), [ScriptEvent::Phase1Dead, ScriptEvent::Phase1Down]);
    }
}

#[test]
fn peers_that_were_not_announced_have_no_other_events() {
    let (peer, mut hooks) = (peer("xauth_psk_server", ""), Hooks::default());
    hooks.established((SA, PATH), (PeerId(0), &peer));
    hooks.dead(SA, &peer);
    hooks.removed(SA, Some(&peer));
    assert_eq!(events(&mut hooks), []);
}

#[test]
fn environment_has_identity_and_assigned_address() {
    let peer = peer("xauth_psk_client", "xauth_login \"alice\"; mode_cfg on;");
    let mut hooks = Hooks::default();
    let identity = Identity::text(IdKind::FQDN, "gw.example.org");
    hooks.authenticated(PATH, identity);
    hooks.established((SA, PATH), (PeerId(3), &peer));
    let mut config = ClientConfig::default();
    config.address = Some([10, 99, 0, 1].into());
    hooks.leased(SA, &peer, &config);
    let [call] = <[Call; 1]>::try_from(hooks.take_calls()).unwrap();
    let value = |variable| call.environment.iter().find(|(own, _)| *own == variable).map(|(_, value)| value.as_str());
    assert_eq!((call.peer, value(Variable::RemoteId)), (PeerId(3), Some("gw.example.org")));
    assert_eq!(value(Variable::InternalAddress), Some("10.99.0.1"));
}

#[test]
fn identities_without_an_isakmp_sa_are_bounded() {
    let mut hooks = Hooks::<u8>::default();
    for port in 1..=1000 {
        let remote = std::net::SocketAddr::new(PATH.remote.ip(), port);
        hooks.authenticated(Path { remote, ..PATH }, Identity::text(IdKind::FQDN, "gw.example.org"));
        assert!(hooks.identities.len() <= MAX_IDENTITIES);
    }
    hooks.authenticated(PATH, Identity::text(IdKind::FQDN, "gw.example.org"));
    hooks.established((SA, PATH), (PeerId(0), &peer("pre_shared_key", "")));
    assert!(!hooks.identities.contains_key(&PATH), "the event has it");
}
