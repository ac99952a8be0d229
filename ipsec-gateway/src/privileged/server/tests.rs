use std::collections::BTreeMap;

use super::*;
use crate::config::tests::Memory;
use crate::hooks::Variable;
use crate::privileged::message::Contents;
use crate::privileged::policies::tests::entry;

const GATEWAY: &str =
    "policies \"p\"; keys \"k\"; local 192.0.2.1; local 2001:db8::1[501]; tun ipsec0; limit policies 2;";
/// Peer that assigns an address to this host.
const SERVER: &str = "peer office address 192.0.2.9 {
    exchange_mode aggressive; identity keyid \"group\"; proposal aes128 sha1 modp1024 xauth_psk_client;
    esp aes128-sha1; xauth_login \"alice\"; mode_cfg on; }";

/// Returns the privileged process with a configuration, before the daemon runs.
fn server(gateway: &str) -> Result<Server, String> {
    let texts = [("gateway.conf", gateway), ("p", ""), ("k", "alice secret\n192.0.2.9 group\n"), ("other", "x")];
    let texts: BTreeMap<_, _> = texts.into_iter().map(|(name, text)| (name, text.to_owned())).collect();
    let options = Options { path: "gateway.conf".into(), firewall: Firewall::Unused, export_keys: None };
    Server::new(Rc::new(Memory(texts)), options)
}

/// Returns the privileged process of a daemon that runs.
fn running(gateway: &str) -> Server {
    let mut server = server(gateway).unwrap();
    assert!(matches!(server.handle(&Request::Adopt).reply, Reply::Done) && server.is_running());
    server
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Returns why a request is refused.
fn refusal(server: &Server, request: &Request) -> Option<String> {
    server.permit(request).err()
}

fn protect(which: Which, change: PolicyChange, policies: &[PolicyEntry]) -> Request {
    Request::Protect { which, change, policies: policies.to_vec() }
}

#[test]
fn invalid_configurations_have_the_messages_of_the_daemon() {
    let error = server(&GATEWAY.replace("tun ipsec0;", "")).err().unwrap();
    assert!(error.contains("statement `tun` is missing"), "{error}");
    let error = server(&GATEWAY.replace("\"k\"", "\"missing\"")).err().unwrap();
    assert!(error.starts_with("missing: "), "{error}");
}

#[test]
fn daemon_reads_the_files_of_the_privileged_process_once() {
    let mut server = server(GATEWAY).unwrap();
    let answer = server.handle(&Request::ReadConfiguration);
    let Reply::Configuration { path, index } = answer.reply else { panic!("{:?}", answer.reply) };
    let recording = index.with_texts(&answer.secret).unwrap();
    assert_eq!(path, Path::new("gateway.conf"));
    assert_eq!(recording.read(Path::new("gateway.conf")).unwrap().unwrap(), GATEWAY.as_bytes());
    assert_eq!(recording.key_files().into_iter().collect::<Vec<_>>(), [Path::new("k")]);
    assert!(recording.read(Path::new("other")).is_none(), "no statement names it");
}

#[test]
fn only_key_files_of_the_configuration_are_opened() {
    let server = running(GATEWAY);
    let request = |path: &str| Request::KeyFile { path: path.into(), known: None };
    assert_eq!(refusal(&server, &request("k")), None);
    for path in ["other", "gateway.conf", "p", "/etc/shadow", "./k", "../k", ""] {
        let expected = format!("file {path}: expected a file that the configuration names");
        assert_eq!(refusal(&server, &request(path)), Some(expected));
    }
}

#[test]
fn sockets_are_opened_only_for_configured_local_addresses() {
    let server = running(GATEWAY);
    let udp = |local: &str| refusal(&server, &Request::Udp(local.parse().unwrap()));
    for local in ["192.0.2.1:500", "192.0.2.1:4500", "[2001:db8::1]:501", "[2001:db8::1]:4500"] {
        assert_eq!(udp(local), None, "{local}");
    }
    for local in ["192.0.2.1:501", "192.0.2.1:22", "192.0.2.2:500", "0.0.0.0:500", "[2001:db8::1]:500"] {
        assert_eq!(udp(local), Some(format!("UDP socket {local}: expected a `local` address of the configuration")));
    }
    for (local, is_permitted) in [("192.0.2.1", true), ("2001:db8::1", true), ("192.0.2.2", false), ("::", false)] {
        assert_eq!(refusal(&server, &Request::Raw(ip(local))).is_none(), is_permitted, "{local}");
    }
}

#[test]
fn policies_out_of_bounds_are_refused() {
    let server = running(GATEWAY);
    let valid = entry();
    let invalid = PolicyEntry { source: (valid.source.1, valid.source.0), ..valid };
    let generated = |added: &[PolicyEntry]| PolicyChange::Generated { added: added.to_vec(), has_removed: true };
    let running = Which::Running;
    let permitted = [
        protect(running, PolicyChange::Installed, &[]),
        protect(running, PolicyChange::Replaced, &[valid, valid]),
        protect(running, generated(&[valid]), &[valid]),
    ];
    for request in permitted {
        assert_eq!(refusal(&server, &request), None, "{request:?}");
    }
    let refused = [
        (protect(running, PolicyChange::Installed, &[invalid]), "source addresses: got 10.1.255.255 to 10.1.0.0"),
        (protect(running, PolicyChange::Replaced, &[valid, invalid]), "source addresses"),
        (protect(running, generated(&[invalid]), &[]), "source addresses"),
        (protect(running, PolicyChange::Replaced, &[valid; 3]), "policies: got 3, expected at most 2"),
        (protect(running, generated(&[valid; 3]), &[]), "policies: got 3, expected at most 2"),
        (protect(Which::Next, PolicyChange::Installed, &[valid]), "no valid configuration was read"),
    ];
    for (request, expected) in refused {
        assert!(refusal(&server, &request).is_some_and(|own| own.starts_with(expected)), "{request:?}");
    }
}

#[test]
fn addresses_are_added_only_for_mode_config_clients_and_only_unicast() {
    let add = |address: &str| Request::AddAddress { address: ip(address), policies: Vec::new() };
    let refused = refusal(&running(GATEWAY), &add("10.99.0.1")).unwrap();
    assert!(refused.ends_with("no peer of the configuration assigns addresses to this host"), "{refused}");
    let mut server = running(&format!("{GATEWAY} {SERVER}"));
    assert_eq!(refusal(&server, &add("10.99.0.1")), None);
    for address in
        ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.0.1", "::", "::1", "fe80::1", "ff02::1"]
    {
        let expected = format!("address {address}: expected a unicast address");
        assert_eq!(refusal(&server, &add(address)), Some(expected));
    }
    for address in ["192.0.2.1", "2001:db8::1", "192.0.2.9"] {
        let expected = format!("address {address}: expected none of this host or of a peer");
        assert_eq!(refusal(&server, &add(address)), Some(expected));
    }
    let invalid = PolicyEntry { destination: (ip("10.0.0.2"), ip("10.0.0.1")), ..entry() };
    let request = Request::AddAddress { address: ip("10.99.0.1"), policies: vec![invalid] };
    assert!(refusal(&server, &request).is_some_and(|own| own.starts_with("destination addresses")));
    server.assigned.extend((0..256).map(|last: u32| IpAddr::V4((0x0a63_0000 + last).into())));
    assert_eq!(refusal(&server, &add("10.99.0.1")), None, "it is assigned already");
    let expected = "address 10.100.0.1: expected at most 256 assigned addresses";
    assert_eq!(refusal(&server, &add("10.100.0.1")).as_deref(), Some(expected));
}

#[test]
fn only_assigned_addresses_are_removed() {
    let mut server = running(&format!("{GATEWAY} {SERVER}"));
    let request = Request::RemoveAddress(ip("10.99.0.1"));
    assert_eq!(refusal(&server, &request).as_deref(), Some("address 10.99.0.1: expected an assigned address"));
    server.assigned.insert(ip("10.99.0.1"));
    assert_eq!(refusal(&server, &request), None);
}

#[test]
fn descriptors_of_the_start_are_refused_to_a_running_daemon() {
    let before = server(GATEWAY).unwrap();
    let after = running(GATEWAY);
    for request in [Request::Tun, Request::OpenState, Request::Control, Request::KeyTables] {
        assert_eq!(refusal(&before, &request), None, "{request:?}");
        let expected = format!("{request:?}: expected the request before the daemon runs");
        assert_eq!(refusal(&after, &request), Some(expected));
    }
    assert_eq!(refusal(&after, &Request::Adopt).as_deref(), Some("no valid configuration was read"));
}

#[test]
fn pf_key_socket_is_opened_only_with_the_back_end_pfkey() {
    let expected = "PF_KEY socket: expected the back end `pfkey` in the configuration";
    assert_eq!(refusal(&server(GATEWAY).unwrap(), &Request::Pfkey).as_deref(), Some(expected));
    let pfkey = format!("{GATEWAY} backend pfkey;");
    assert_eq!(refusal(&server(&pfkey).unwrap(), &Request::Pfkey), None);
    assert!(refusal(&running(&pfkey), &Request::Pfkey).is_some(), "the daemon runs");
}

#[test]
fn state_file_that_is_not_open_is_not_replaced() {
    let request = Request::ReplaceState { contents: Contents::default() };
    assert_eq!(
        refusal(&running(GATEWAY), &request).as_deref(),
        Some("state file: got a request to replace a file that is not open")
    );
}

#[test]
fn configurations_that_need_a_restart_are_not_adopted() {
    let mut server = running(GATEWAY);
    let mut reload = |text: &str| {
        let texts = [("gateway.conf", text), ("p", ""), ("k", "")].map(|(name, text)| (name, text.to_owned()));
        server.files = Rc::new(Memory(texts.into_iter().collect()));
        server.handle(&Request::ReadConfiguration);
        refusal(&server, &Request::Adopt).is_none()
    };
    assert!(reload(&format!("{GATEWAY} local 192.0.2.2;")));
    for text in [GATEWAY.replace("ipsec0", "ipsec1"), format!("{GATEWAY} mark 7;"), format!("{GATEWAY} user a;")] {
        assert!(!reload(&text), "{text}");
    }
    assert!(!reload(&format!("{GATEWAY} broken")));
}

/// File of racoon.conf with two scripts for one event of a peer.
const RACOON: &str = "path script \"/nonexistent\";
    remote 192.0.2.9 { exchange_mode main; script \"up.sh\" phase1_up; script \"more.sh\" phase1_up;
    proposal { encryption_algorithm aes; hash_algorithm sha1; authentication_method pre_shared_key; dh_group 14; } }";

#[test]
fn only_scripts_of_the_configuration_are_run() {
    let texts = [("gateway.conf", &*format!("{GATEWAY} file \"racoon.conf\";")), ("p", ""), ("racoon.conf", RACOON)];
    let texts = texts.into_iter().chain([("k", "192.0.2.9 group\n")]).map(|(name, text)| (name, text.to_owned()));
    let options = Options { path: "gateway.conf".into(), firewall: Firewall::Unused, export_keys: None };
    let mut server = Server::new(Rc::new(Memory(texts.collect())), options).unwrap();
    let request = |peer, event, environment: &[(Variable, &str)]| Request::RunScripts {
        peer,
        event,
        environment: environment.iter().map(|(variable, value)| (*variable, (*value).to_owned())).collect(),
    };
    let valid = request(0, EventEntry::Up, &[(Variable::RemoteAddress, "192.0.2.9")]);
    assert_eq!(refusal(&server, &valid).as_deref(), Some("no valid configuration was read"), "before the daemon runs");
    server.handle(&Request::Adopt);
    assert_eq!(refusal(&server, &valid), None);
    let refused = [
        (request(1, EventEntry::Up, &[]), "scripts of peer 1 for phase1_up: the configuration has none"),
        (request(0, EventEntry::Down, &[]), "scripts of peer 0 for phase1_down: the configuration has none"),
        (
            request(0, EventEntry::Up, &[(Variable::RemoteAddress, "$(reboot)")]),
            "scripts of peer 0 for phase1_up: REMOTE_ADDR has another kind of value",
        ),
        (
            request(0, EventEntry::Up, &[(Variable::Banner, "a\nb")]),
            "scripts of peer 0 for phase1_up: BANNER has another kind of value",
        ),
        (
            request(0, EventEntry::Up, &[(Variable::Banner, "a"), (Variable::Banner, "b")]),
            "scripts of peer 0 for phase1_up: duplicate BANNER",
        ),
    ];
    for (request, expected) in refused {
        assert_eq!(refusal(&server, &request).as_deref(), Some(expected));
    }
    // Both scripts are missing, which is found when they are to be started.
    let Reply::Error(e) = server.handle(&valid).reply else { panic!("{valid:?}") };
    assert_eq!(e.matches("No such file").count(), 2, "{e}");
}
