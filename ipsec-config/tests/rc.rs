//! Lines of rc.conf(5) and rc.conf.local(8).
#![cfg(feature = "std")]

mod texts;

use ipsec_config::{Configuration, Language};
use texts::damage::damages;
use texts::{accepted, errors, loaded, reports, warnings};

const SCENARIO: &str = include_str!("../../ipsec-gateway/examples/1-handbook/a.rc.conf");

fn read(text: &str) -> Configuration {
    accepted(text, Language::Rc)
}

#[test]
fn the_scenario_configures_a_gif_and_a_route() {
    let conf = read(SCENARIO);
    let [gif] = conf.gifs.as_slice() else { panic!("{:?}", conf.gifs) };
    assert_eq!((gif.name.as_str(), gif.mtu), ("gif0", 1280));
    assert_eq!(gif.outer, Some(("192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap())));
    assert_eq!(gif.inner, [("192.168.1.1".parse().unwrap(), Some("192.168.2.1".parse().unwrap()), 32)]);
    let [route] = conf.routes.as_slice() else { panic!("{:?}", conf.routes) };
    assert_eq!(route.destination, ("192.168.2.0".parse().unwrap(), 24));
    assert_eq!(route.gateway, Some("192.168.2.1".parse().unwrap()));
    assert_eq!(conf.startup.ipsec_file.as_deref(), Some("/etc/ipsec.conf"));
}

#[test]
fn gif_interfaces_are_configured_in_every_notation() {
    let inner = |conf: &Configuration| conf.gifs[0].inner.clone();
    let (own, peer) = ("198.51.100.1".parse().unwrap(), "198.51.100.2".parse().unwrap());
    let table = [
        "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"192.0.2.1 192.0.2.2\"\nifconfig_gif0=\"inet 198.51.100.1 198.51.100.2 netmask 0xffffffff\"",
        "gif_interfaces=gif0\ngifconfig_gif0=\"inet 192.0.2.1 192.0.2.2\"\nifconfig_gif0=\"inet 198.51.100.1/32 198.51.100.2 mtu 1280\"",
        "cloned_interfaces=\"lo1 gif0\"\nifconfig_gif0=\"tunnel 192.0.2.1 192.0.2.2\"\nifconfig_gif0_alias0=\"inet 198.51.100.1 198.51.100.2 netmask 255.255.255.255\"",
        "cloned_interfaces='gif0'\ncreate_args_gif0=\"tunnel 192.0.2.1 192.0.2.2\"\nifconfig_gif0=\"198.51.100.1 198.51.100.2\"",
        "gw=192.0.2.1\ncloned_interfaces=\"bridge0\"\ncloned_interfaces=\"${cloned_interfaces} gif0\"\nifconfig_gif0=\"tunnel $gw 192.0.2.2 up\"\nifconfig_gif0_alias0=\"inet 198.51.100.1 \\\n 198.51.100.2\"",
    ];
    for text in table {
        let conf = read(text);
        let outer = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(conf.gifs.len(), 1, "{text}");
        assert_eq!(conf.gifs[0].outer, Some(outer), "{text}");
        assert_eq!(inner(&conf), [(own, Some(peer), 32)], "{text}");
    }
    let six = "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"inet6 2001:db8::1 2001:db8::2\"\n\
               ipv6_ifconfig_gif0=\"2001:db8:1::1 prefixlen 64\"\nifconfig_gif0_ipv6=\"inet6 2001:db8:2::1/48\"\n";
    let conf = read(six);
    assert!(conf.gifs[0].outer.unwrap().0.is_ipv6());
    assert_eq!(inner(&conf).iter().map(|own| own.2).collect::<Vec<_>>(), [64, 48]);
}

#[test]
fn routes_are_parsed_with_netmask_prefix_length_class_or_interface() {
    let table = [
        ("192.168.2.0 192.0.2.1 netmask 0xffffff00", 24),
        ("-net 192.168.2.0/25 192.0.2.1", 25),
        ("192.168.2.0 192.0.2.1", 24),
        ("172.16.0.0 192.0.2.1", 16),
        ("10.0.0.0 192.0.2.1", 8),
        ("-host 192.168.2.0 192.0.2.1", 32),
        ("192.168.2.1 192.0.2.1", 32),
        ("default 192.0.2.1", 0),
        ("192.168.2.0/24 -interface gif0", 24),
        ("-inet6 2001:db8::/32 2001:db8::1", 32),
    ];
    for (text, length) in table {
        let conf = read(&format!("static_routes=\"a\"\nroute_a=\"{text}\"\n"));
        assert_eq!(conf.routes[0].destination.1, length, "{text}");
    }
    assert_eq!(
        read("static_routes=\"a:gif0\"\nroute_a=\"10.0.0.0 -iface gif0\"").routes[0].interface.as_deref(),
        Some("gif0")
    );
}

#[test]
fn daemons_are_those_of_freebsd_netbsd_and_openbsd() {
    let startup = |text: &str| read(text).startup;
    assert_eq!(startup("ipsec_enable=\"YES\"").ipsec_file.as_deref(), Some("/etc/ipsec.conf"));
    assert_eq!(startup("ipsec_enable=NO\nipsec_file=\"a\"").ipsec_file, None);
    assert_eq!(startup("racoon_enable=\"yes\"\nracoon_flags=\"-l log\"").racoon_flags.as_deref(), Some("-l log"));
    assert_eq!(startup("isakmpd_flags=\"-K\"   # no policies").isakmpd_flags.as_deref(), Some("-K"));
    assert_eq!(startup("isakmpd_flags=NO").isakmpd_flags, None);
    assert_eq!(startup("ipsec=YES").ipsec_rules.as_deref(), Some("/etc/ipsec.conf"));
}

#[test]
fn errors_name_the_line_and_the_expected_value() {
    let table = [
        ("gif_interfaces =\"gif0\"", "1:1: expected `=` directly after the name, found a blank"),
        ("gif_interfaces= \"gif0\"", "1:1: expected a value directly after `=`, found a blank"),
        ("a=\"b\nc=\"d\"\n", "1:3: expected `\"` at the end of the value, found the end of the line"),
        ("a=\"b", "1:3: expected `\"` at the end of the value"),
        ("ipsec_enable=\"maybe\"", "1:14: expected YES or NO, found `maybe`"),
        ("nonsense", "1:1: expected name=\"value\", found `nonsense`"),
        ("gif_interfaces=\"gif0\"\ngifconfig_gif0=\"192.0.2.1\"", "2:16: expected the outer addresses"),
        (
            "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"192.0.2.1 192.0.2.256\"",
            "2:16: expected an address, found `192.0.2.256`",
        ),
        ("gif_interfaces=\"gif0\"\nifconfig_gif0=\"inet 192.0.2.1 netmask 255.0.255.0\"", "2:15: expected a mask"),
        (
            "static_routes=\"vpn\"\nroute_vnp=\"10.0.0.0 192.0.2.1\"",
            "1:15: `route_vpn` is missing (did you mean `route_vnp`?)",
        ),
        ("static_routes=\"a\"\nroute_a=\"10.0.0.0/8\"", "2:9: expected the address of the next host"),
        ("static_routes=\"a\"\nroute_a=\"\"", "2:9: expected a destination"),
    ];
    for (text, expected) in table {
        let errors = errors(text, Language::Rc);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{text}: {errors:?}");
    }
}

#[test]
fn other_lines_of_the_system_are_accepted() {
    let text = "hostname=\"gw.example.org\"\nsshd_enable=\"YES\"\n. /etc/rc.conf.site\njails=\"a \\\n  b\"\nkeymap=''\nempty=\n\
                pf_rules=\"/etc/pf.conf\" # rules\nif [ -f /a ]; then x=1; fi\n";
    let notes = warnings(text, Language::Rc);
    assert_eq!(notes, ["3:1: shell commands are ignored", "9:1: shell commands are ignored"]);
    assert!(warnings("gif_interface=\"gif0\"", Language::Rc)[0].contains("did you mean `gif_interfaces`?"));
}

#[test]
fn a_damaged_file_is_reported_at_the_damaged_line() {
    for damage in damages(SCENARIO, "=") {
        let loaded = loaded(&damage.text, Language::Rc);
        let all =
            [ipsec_config::Severity::Error, ipsec_config::Severity::Warning].map(|own| reports(&loaded, own)).concat();
        // The name of the file may be any text.
        let is_free = damage.lines.0 == 7 && !damage.what.contains("quote");
        // An empty list and a value that the system does not read are valid.
        let is_empty = damage.what == "without a text";
        let is_near = all.iter().any(|own| own.starts_with(&format!("{}:", damage.lines.0)));
        let is_list = all.iter().any(|own| own.contains("missing") || own.contains("no outer"));
        assert!(is_near || is_free || is_empty || is_list, "{} in {:?}: {all:#?}", damage.what, damage.lines);
        assert!(all.len() <= 3, "{}: {all:#?}", damage.what);
    }
}
