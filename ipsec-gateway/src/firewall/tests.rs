use ipsec_packet::Instant;

use super::*;
use crate::databases::Databases;
use crate::policy::new_engine;

const CONFIG: &str =
    "policies \"p\"; keys \"k\"; local 192.0.2.1; local 2001:db8::1[501]; wan wan0; tun ipsec0; mark 77;";

fn engine(text: &str) -> Box<Databases> {
    let mut engine = new_engine();
    ipsec_config::setkey::apply(&mut *engine, text.as_bytes(), &[], Instant::ZERO).unwrap();
    engine
}

/// Returns the lines of a chain without its declaration.
fn chain(name: &str, setkey: &str) -> Vec<String> {
    let (engine, config) = (engine(setkey), crate::config::tests::config(CONFIG, "").unwrap());
    let policies: Vec<_> = engine.policies().collect();
    let text = rules(&config, policies.into_iter());
    let chain = text.split(&format!("chain {name} {{\n")).nth(1).unwrap();
    chain.lines().skip(1).take_while(|line| *line != "\t}").map(|line| line.trim().to_owned()).collect()
}

const TUNNEL: &str = "
    spdadd 10.1.0.0/16 10.2.0.0/16 icmp 8 -P out none;
    spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
    spdadd 10.2.0.0/16 10.1.0.0/16 any -P in ipsec esp/tunnel/198.51.100.1-192.0.2.1/require;";

#[test]
fn cleartext_that_enters_is_dropped_except_from_the_tun() {
    let expected = [
        "iifname \"ipsec0\" accept",
        "ip daddr 192.0.2.1 udp dport { 500, 4500 } accept",
        "ip daddr 192.0.2.1 meta l4proto { esp, ah, comp } accept",
        "ip6 daddr 2001:db8::1 udp dport { 501, 4500 } accept",
        "ip6 daddr 2001:db8::1 meta l4proto { esp, ah, comp } accept",
        "iifname \"wan0\" ip saddr 10.1.0.0/16 ip daddr 10.2.0.0/16 counter drop comment \"policy 2\"",
        "ip saddr 10.2.0.0/16 ip daddr 10.1.0.0/16 counter drop comment \"policy 3\"",
    ];
    for name in ["enter", "forward", "input"] {
        assert_eq!(chain(name, TUNNEL), expected, "chain {name}");
    }
}

#[test]
fn cleartext_that_leaves_is_dropped_in_the_order_of_the_spd() {
    let expected = [
        "oifname \"ipsec0\" accept",
        "meta mark 77 accept",
        "ip saddr 10.1.0.0/16 ip daddr 10.2.0.0/16 icmp type 8 accept comment \"policy 1\"",
        "ip saddr 10.1.0.0/16 ip daddr 10.2.0.0/16 counter drop comment \"policy 2\"",
    ];
    assert_eq!(chain("leave", TUNNEL), expected);
}

#[test]
fn packets_of_gif_networks_pass_through_the_tun_only() {
    let rc = "gif_interfaces=\"gif0\"\ngifconfig_gif0=\"192.0.2.1 198.51.100.1\"\nifconfig_gif0=\"inet 192.168.1.1 \
              192.168.2.1 netmask 0xffffffff\"\nstatic_routes=\"vpn\"\nroute_vpn=\"192.168.2.0 192.168.2.1 netmask \
              0xffffff00\"\n";
    let gateway = format!("{CONFIG} file \"rc.conf\" rc;");
    let texts = [("gateway.conf", gateway), ("p", String::new()), ("k", String::new()), ("rc.conf", rc.to_owned())];
    let files = crate::config::tests::Memory(texts.into_iter().collect());
    let config = Config::read(&files, std::path::Path::new("gateway.conf")).unwrap();
    let text = rules(&config, std::iter::empty());
    let dropped = |condition: &str| {
        let rule = format!("\t\t{condition} counter drop comment \"network of a gif interface\"");
        text.lines().filter(|line| *line == rule).count()
    };
    for network in ["192.168.2.0/24", "192.168.2.1/32"] {
        assert_eq!(dropped(&format!("iifname \"wan0\" ip saddr {network}")), 3, "{text}");
        assert_eq!(dropped(&format!("oifname \"wan0\" ip daddr {network}")), 1, "{text}");
    }
}

#[test]
fn later_fragments_are_dropped_where_ports_decide() {
    let rules = |text: &str| chain("leave", text).split_off(2);
    let ends = "esp/tunnel/192.0.2.1-198.51.100.1/require";
    let tcp = rules(&format!("spdadd 10.1.0.0/16[22] 10.2.0.0/16 tcp -P out ipsec {ends};"));
    assert_eq!(
        tcp,
        [
            "ip saddr 10.1.0.0/16 ip daddr 10.2.0.0/16 ip frag-off & 0x1fff != 0 counter drop comment \"policy 1\"",
            "ip saddr 10.1.0.0/16 ip daddr 10.2.0.0/16 meta l4proto 6 th sport 22-22 counter drop comment \"policy 1\"",
        ]
    );
    let v6 = rules("spdadd fd00:1::/64 fd00:2::/64 any -P out discard;");
    assert_eq!(v6, ["ip6 saddr fd00:1::/64 ip6 daddr fd00:2::/64 counter drop comment \"policy 1\""]);
    let v6 = rules("spdadd fd00:1::/64 fd00:2::/64 icmp6 128,0 -P out discard;");
    assert_eq!(
        v6[0],
        "ip6 saddr fd00:1::/64 ip6 daddr fd00:2::/64 frag frag-off != 0 counter drop comment \"policy 1\""
    );
    assert!(v6[1].contains(" icmpv6 type 128 icmpv6 code 0 counter drop"), "{v6:?}");
}

#[test]
fn generated_rules_are_accepted_by_nftables() {
    let ends = "esp/tunnel/192.0.2.1-198.51.100.1/require";
    let ends6 = "esp/tunnel/2001:db8::1-2001:db8::2/require";
    let text = format!(
        "{TUNNEL}
        spdadd 0.0.0.0/0 10.3.0.0/16[80] tcp -P out ipsec {ends};
        spdadd 10.1.0.0/16[53] 10.3.0.0/16[80] any -P out ipsec {ends};
        spdadd 10.1.0.0/16 10.3.0.0/16 icmp 3,4 -P out discard;
        spdadd 10.1.0.1 10.3.0.1 ipencap -P fwd ipsec {ends};
        spdadd ::/0 fd00:2::/64 icmp6 128 -P in ipsec {ends6};
        spdadd ::/0 fd00:2::/64 udp -P in ipsec {ends6};"
    );
    let (engine, config) = (engine(&text), crate::config::tests::config(CONFIG, "").unwrap());
    let policies: Vec<_> = engine.policies().collect();
    let script = rules(&config, policies.into_iter());
    let check = || -> io::Result<std::process::Output> {
        let mut child =
            Command::new("nft").args(["-c", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().expect("a pipe").write_all(script.as_bytes())?;
        child.wait_with_output()
    };
    let Ok(output) = check() else {
        println!("skipped: nft is missing");
        return;
    };
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("Operation not permitted") || message.contains("not supported") {
        println!("skipped: {message}");
        return;
    }
    assert!(output.status.success(), "{message}\n{script}");
}
