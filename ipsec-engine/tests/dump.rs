//! SAD and SPD in the format of `setkey -D` and `setkey -DP`.

mod gateway;
mod gateway_pair;

use gateway::Gateway;
use gateway_pair::*;
use ipsec_config::setkey::{DumpPolicy, DumpSa};
use ipsec_engine::{Direction, Protocol, SaBackend, SaId};
use ipsec_packet::Instant;
use std::time::Duration;

/// Clock of the tests: seconds since 1970.
const START: Duration = Duration::ZERO;

fn dumped(gateway: &Gateway, key: &SaId) -> String {
    let sa = SaBackend::get(&*gateway.engine, key, address(A)).unwrap();
    DumpSa { sa: &sa, now: gateway.now, start: START }.to_string()
}

#[test]
fn sa_is_printed_as_setkey_prints_it() {
    let options = "-m tunnel -u 5 -r 4 -lh 3600 -ls 3000 -bh 100000 -bs 90000";
    let sa = format!("add {A} {B} esp 0x1001 {options} {KEYS};\n");
    let (mut a, mut b) = tunnel(&sa, &format!("ipsec esp/tunnel/{A}-{B}/require"));
    for _ in 0..3 {
        carries(&mut a, &mut b, &inner());
    }
    let octets = 3 * inner().len();
    b.now += Duration::from_secs(90);
    let expected = format!(
        "192.0.2.1 198.51.100.1\n\
         \tesp mode=tunnel spi=4097(0x00001001) reqid=5(0x00000005)\n\
         \tE: aes-cbc\n\
         \tA: hmac-sha1\n\
         \tseq=0x00000003 replay=4 flags=0x00000000 state=mature\n\
         \tcreated: Nov 18 11:06:40 2026\tcurrent: Nov 18 11:08:10 2026\n\
         \tdiff: 90(s)\thard: 3600(s)\tsoft: 3000(s)\n\
         \tlast: Nov 18 11:06:40 2026\thard: 0(s)\tsoft: 0(s)\n\
         \tcurrent: {octets}(bytes)\thard: 100000(bytes)\tsoft: 90000(bytes)\n\
         \tallocated: 3\thard: 0\tsoft: 0\n\
         \tdirection=in"
    );
    assert_eq!(dumped(&b, &key(Direction::Inbound, B, Protocol::Esp, 0x1001)), expected);
}

#[test]
fn larval_udp_and_ipcomp_sas_are_printed_as_setkey_prints_them() {
    let mut b = Gateway::new("", B);
    let larval = key(Direction::Inbound, B, Protocol::Ah, 0x2001);
    b.engine.reserve(larval, address(A), b.now).unwrap();
    let expected = "192.0.2.1 198.51.100.1\n\
         \tah mode=any spi=8193(0x00002001) reqid=0(0x00000000)\n\
         \tseq=0x00000000 replay=0 flags=0x00000000 state=larval\n\
         \tcreated: Nov 18 11:06:40 2026\tcurrent: Nov 18 11:06:40 2026\n\
         \tdiff: 0(s)\thard: 0(s)\tsoft: 0(s)\n\
         \tlast: \thard: 0(s)\tsoft: 0(s)\n\
         \tcurrent: 0(bytes)\thard: 0(bytes)\tsoft: 0(bytes)\n\
         \tallocated: 0\thard: 0\tsoft: 0\n\
         \tdirection=in";
    assert_eq!(dumped(&b, &larval), expected);
    b.load(&format!("add {A}[4500] {B}[30111] esp-udp 0x1001 -m transport {KEYS}; add {A} {B} ipcomp 0x4001 -m tunnel -C deflate;"), B);
    let lines = |text: String| text.lines().take(4).map(str::to_owned).collect::<Vec<_>>();
    let expected = [
        "192.0.2.1[4500] 198.51.100.1[30111]",
        "\tesp-udp mode=transport spi=4097(0x00001001) reqid=0(0x00000000)",
        "\tE: aes-cbc",
        "\tA: hmac-sha1",
    ];
    assert_eq!(lines(dumped(&b, &key(Direction::Inbound, B, Protocol::Esp, 0x1001))), expected);
    // Packets have the well-known CPI of DEFLATE; setkey(8) prints the number in the `add` statement.
    let shown = lines(dumped(&b, &key(Direction::Inbound, B, Protocol::Ipcomp, 2)));
    assert_eq!(shown[1..3], ["\tipcomp mode=tunnel spi=16385(0x00004001) reqid=0(0x00000000)", "\tC: deflate"]);
}

#[test]
fn dates_of_leap_years_are_printed() {
    for (seconds, expected) in [
        (0, "Jan  1 00:00:00 1970"),
        (68_169_599, "Feb 28 23:59:59 1972"),
        (68_169_600, "Feb 29 00:00:00 1972"),
        (951_868_799, "Feb 29 23:59:59 2000"),
        (951_868_800, "Mar  1 00:00:00 2000"),
        (1_798_761_599, "Dec 31 23:59:59 2026"),
        (4_107_542_399, "Feb 28 23:59:59 2100"),
        (4_107_542_400, "Mar  1 00:00:00 2100"),
    ] {
        let mut b = Gateway::new("", B);
        b.now = Instant::from_secs(seconds);
        b.engine.reserve(key(Direction::Inbound, B, Protocol::Ah, 0x2001), address(A), b.now).unwrap();
        let text = dumped(&b, &key(Direction::Inbound, B, Protocol::Ah, 0x2001));
        assert!(text.contains(&format!("created: {expected}\t")), "{text}");
    }
}

#[test]
fn dates_are_those_of_the_clock_and_ages_those_of_the_instants() {
    let mut b = Gateway::new("", B);
    let larval = key(Direction::Inbound, B, Protocol::Ah, 0x2001);
    b.engine.reserve(larval, address(A), Instant::from_secs(60)).unwrap();
    let sa = SaBackend::get(&*b.engine, &larval, address(A)).unwrap();
    let start = Duration::from_secs(1_795_000_000);
    let text = DumpSa { sa: &sa, now: Instant::from_secs(90), start }.to_string();
    assert!(text.contains("created: Nov 18 11:07:40 2026\tcurrent: Nov 18 11:08:10 2026\n\tdiff: 30(s)"), "{text}");
}

#[test]
fn policies_are_printed_as_setkey_prints_them() {
    let text = "spdadd 10.1.0.0/16[any] 10.2.3.4[80] tcp -P out prio high + 5 ipsec esp/tunnel/192.0.2.1-198.51.100.1/unique:3 ah/transport//use;
        spdadd 2001:db8::/32 ::1 icmp6 135,0 -P in none;
        spdadd 10.0.0.0/8 0.0.0.0/0 any -P fwd discard;";
    let a = Gateway::new(text, A);
    let shown: Vec<_> = a.engine.policies().map(|(id, policy)| DumpPolicy { id, policy }.to_string()).collect();
    let expected = [
        "10.1.0.0/16[any] 10.2.3.4[80] tcp\n\tout prio high + 5 ipsec\n\tesp/tunnel/192.0.2.1-198.51.100.1/unique:3\n\tah/transport//use\n\tspid=1",
        "2001:db8::/32[any] ::1[any] ipv6-icmp,135,0\n\tin none\n\tspid=2",
        "10.0.0.0/8[any] 0.0.0.0/0[any] any\n\tfwd discard\n\tspid=3",
    ];
    assert_eq!(shown, expected);
}
