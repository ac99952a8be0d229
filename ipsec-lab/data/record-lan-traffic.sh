#!/usr/bin/env bash
# record-lan-traffic.sh OUTPUT-DIRECTORY
#
# Records a little genuine traffic between two private networks and writes it
# to OUTPUT-DIRECTORY as lan.pcap (IPv4) and lan6.pcap (IPv6).  Both files are
# classic pcap, little endian, microseconds, LINKTYPE_RAW (101): every packet
# starts at its IP header.
#
# Three network namespaces are made and removed again; the machine's own
# network is not touched and nothing leaves the namespaces:
#
#   lan-a 192.168.1.10/24  --  router .1.1 / .2.1  --  lan-b 192.168.2.20/24
#         fd00:1::10/64               ::1 / ::1             fd00:2::20/64
#
# tcpdump listens inside lan-a.  All offloads are off, so sizes and checksums
# are those of the wire.  The hosts' IP MTU is 1400 (IPv4) and 1380 (IPv6), as
# behind a gateway that needs room for ESP.  ARP, neighbour discovery and the
# router's own packets are filtered out.
#
# Needs root and: ip, ss, sysctl, ethtool, tcpdump, dnsmasq, dig, curl, ping,
# python3.  If tshark is there too, it checks all checksums at the end.

set -euo pipefail
export LC_ALL=C

die() { echo "$0: $*" >&2; exit 1; }

[ $# -eq 1 ] || die "usage: $0 OUTPUT-DIRECTORY"
[ "$(id -u)" -eq 0 ] || die "must be run as root"
for tool in ip ss sysctl ethtool tcpdump dnsmasq dig curl ping python3; do
    command -v "$tool" >/dev/null || die "$tool is missing"
done
mkdir -p -- "$1"
out=$(cd -- "$1" && pwd)

A=lan-a R=router B=lan-b
a4=192.168.1.10 b4=192.168.2.20 a6=fd00:1::10 b6=fd00:2::20
mtu4=1400 mtu6=1380

tmp=$(mktemp -d)
made=()                 # namespaces made here, and only those
pids=()                 # processes started here, and only those
cleanup() {
    local x
    for x in "${pids[@]}"; do kill "$x" 2>/dev/null || true; done
    for x in "${pids[@]}"; do wait "$x" 2>/dev/null || true; done
    for x in "${made[@]}"; do ip netns del "$x" || true; done
    rm -rf -- "$tmp"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# until_true COMMAND...: try for five seconds
until_true() {
    local i
    for i in $(seq 50); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    die "gave up waiting for: $*"
}

# ---- namespaces ------------------------------------------------------------

for ns in $A $R $B; do
    ip netns add "$ns" || die "namespace $ns is in use, not touching it"
    made+=("$ns")
    ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 \
        net.ipv6.conf.default.disable_ipv6=0 \
        net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0
    ip -n "$ns" link set lo up
done

ip -n $A link add eth0 type veth peer name to-a netns $R
ip -n $B link add eth0 type veth peer name to-b netns $R

quiet_nic() {           # NAMESPACE INTERFACE ADDRESS4 ADDRESS6
    ip netns exec "$1" ethtool -K "$2" rx off tx off sg off tso off gso off gro off >/dev/null
    if ip netns exec "$1" ethtool -k "$2" | grep -Eq \
        '^(rx-checksumming|tx-checksumming|tcp-segmentation-offload|generic-segmentation-offload|generic-receive-offload): on'
    then die "cannot turn off the offloads of $2 in $1"; fi
    ip -n "$1" addr add "$3/24" dev "$2"
    ip -n "$1" addr add "$4/64" dev "$2" nodad
    ip -n "$1" link set "$2" up
}
quiet_nic $A eth0 $a4         $a6
quiet_nic $B eth0 $b4         $b6
quiet_nic $R to-a 192.168.1.1 fd00:1::1
quiet_nic $R to-b 192.168.2.1 fd00:2::1

for ns in $A $B; do
    ip -n $ns link set eth0 mtu $mtu4
    ip netns exec $ns sysctl -qw net.ipv6.conf.eth0.mtu=$mtu6
done
ip -n $A route add 192.168.2.0/24 via 192.168.1.1
ip -n $B route add 192.168.1.0/24 via 192.168.2.1
ip -n $A route add fd00:2::/64 via fd00:1::1
ip -n $B route add fd00:1::/64 via fd00:2::1
ip netns exec $R sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

# ---- what lan-b serves -----------------------------------------------------

mkdir "$tmp/www4" "$tmp/www6"
python3 - "$tmp" <<'PY'
import sys
tmp = sys.argv[1]
paragraphs = [
"A branch office is seldom an island. Its people read files that are kept at headquarters, print on machines down the corridor, look up names in a directory which somebody else maintains, and expect all of it to work before the first cup of coffee is finished. The network between the two buildings is therefore treated as if it were a single long cable, although it is nothing of the kind.",
"The gateway is the small machine at the edge of each office. It has one foot in the local network and one in the outside world. Whatever is addressed to the other office is wrapped, sealed and sent on its way; whatever arrives sealed is checked, opened and handed to its recipient. Nobody inside should ever notice that this has happened, except perhaps by a few milliseconds of delay.",
"Sealing a packet makes it larger. There is a new outer header, a number that tells the receiver which key to use, a sequence number, some padding, and a tag at the end which proves that nothing was altered. All this needs room, and the room has to come from somewhere. The simplest answer is to let the hosts send slightly smaller packets than the line could carry.",
"Every packet carries a sequence number, and the receiver remembers which numbers it has already seen. A packet which turns up for the second time is thrown away without further thought. Packets do overtake each other on the way, so the receiver keeps a window rather than a single number: anything inside the window and not seen before is welcome, anything older is not.",
"Keys do not last forever. After a given time, or a given amount of data, the two gateways agree on new ones. For a short moment both the old and the new key are valid, because packets sealed with the old key may still be under way. A careful administrator looks at the log after the first such change, not only after the first connection.",
"When something does not work, begin with the plain things. Is the cable plugged in? Does each gateway reach the other without any sealing at all? Is the clock right? Do the two sides agree on the networks that they connect? Most faults are found with these four questions, and most of the remaining ones with a recording of the traffic on both sides.",
"A recording should be short. It should begin before the fault and end soon after it, and it should come with a note that says what was done and what was expected. Ten packets with an explanation are worth more than ten million without one. Remember also that a recording contains whatever people were doing at the time, and treat it accordingly.",
"Finally, write things down. The next person to look after this gateway will not know why the packet size was lowered, why one address range was left out, or why the second tunnel exists. A page of plain sentences, kept where it will be found, saves an afternoon every time somebody reads it.",
]
def handbook(editions):
    out = ["THE SMALL OFFICE GATEWAY HANDBOOK", ""]
    for e in range(editions):
        out += ["Part %d" % (e + 1), ""]
        for n, p in enumerate(paragraphs):
            line = "%d.%d" % (e + 1, n + 1)
            for word in p.split():
                if len(line) + 1 + len(word) > 76:
                    out.append(line)
                    line = word
                else:
                    line += " " + word
            out += [line, ""]
    return "\n".join(out)
def page(rows):
    items = "".join("    <tr><td>Room %d</td><td>printer-%02d.lan.test</td><td>%s</td></tr>\n"
                    % (100 + r, r, "colour" if r % 3 == 0 else "black and white") for r in range(1, rows + 1))
    return ("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  <title>Branch office</title>\n</head>\n"
            "<body>\n  <h1>Welcome to the branch office</h1>\n  <p>The <a href=\"handbook.txt\">gateway handbook</a> is here.</p>\n"
            "  <table>\n" + items + "  </table>\n</body>\n</html>\n")
for d, editions, rows in (("www4", 7, 40), ("www6", 4, 12)):
    open("%s/%s/handbook.txt" % (tmp, d), "w").write(handbook(editions))
    open("%s/%s/index.html" % (tmp, d), "w").write(page(rows))
PY

ip netns exec $B dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file="$tmp/dnsmasq.pid" \
    --user=root --no-resolv --no-hosts --no-poll --bind-interfaces --port=53 \
    --listen-address=$b4 --listen-address=$b6 \
    --address=/files.lan.test/$b4 --address=/www.lan.test/$b4 \
    --address=/files.lan.test/$b6 --address=/www.lan.test/$b6 \
    --log-facility="$tmp/dnsmasq.log" & pids+=($!)
ip netns exec $B python3 -m http.server --bind $b4 --directory "$tmp/www4" 80 >"$tmp/http4.log" 2>&1 & pids+=($!)
ip netns exec $B python3 -m http.server --bind $b6 --directory "$tmp/www6" 80 >"$tmp/http6.log" 2>&1 & pids+=($!)
ip netns exec $B python3 -c '
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 514))
while True: print(s.recv(2048), flush=True)
' >"$tmp/syslog.log" & pids+=($!)
serving() {
    local l
    l=$(ip netns exec $B ss -Hlntu)
    [[ $l == *"$b4:80 "* && $l == *"[$b6]:80 "* && $l == *"$b4:53 "* && $l == *"[$b6]:53 "* && $l == *":514 "* ]]
}
until_true serving

# ---- the traffic -----------------------------------------------------------

fetch() {               # ADDRESS NAME PATH DIRECTORY
    local host=$1
    if [[ $host == *:* ]]; then host="[$host]"; fi
    ip netns exec $A curl -q -sS --fail --noproxy '*' --max-time 10 --resolve "$2:80:$host" \
        -o "$tmp/got" "http://$2/$3"
    cmp -- "$tmp/got" "$4/$3"
}
lookup() {              # ADDRESS TYPE NAME EXPECTED
    local got
    got=$(ip netns exec $A dig +tries=1 +time=3 +short "@$1" "$2" "$3")
    [ "$got" = "$4" ] || die "wrong answer for $3: $got"
}
pings() { ip netns exec "$1" ping -n -q -i 0.3 -W 3 "${@:2}" >/dev/null; }

syslog() {              # ADDRESS
    ip netns exec $A python3 - "$1" <<'PY'
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"<134>" + time.strftime("%b %e %H:%M:%S").encode() +
         b" desk-10 backup[412]: nightly backup finished, 3 files changed", (sys.argv[1], 514))
PY
}

# One echo request with a destination options header and one with a hop-by-hop
# options header, each with a PadN option.  Linux fills in the ICMPv6 checksum.
ping_options() {        # ADDRESS
    ip netns exec $A python3 - "$1" <<'PY'
import os, socket, struct, sys
for seq, opt in ((1, socket.IPV6_DSTOPTS), (2, socket.IPV6_HOPOPTS)):
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    s.settimeout(3)
    s.setsockopt(socket.IPPROTO_IPV6, opt, bytes((0, 0, 1, 4, 0, 0, 0, 0)))
    ident = os.getpid() & 0xffff
    s.sendto(struct.pack("!BBHHH", 128, 0, 0, ident, seq) + b"echo request with an options header", (sys.argv[1], 0))
    while True:
        r, who = s.recvfrom(2048)
        if r[0] == 129 and struct.unpack("!HH", r[4:8]) == (ident, seq):
            break
    s.close()
PY
}

traffic4() {
    pings $A -c 3 $b4
    pings $A -c 2 -s 1372 $b4
    lookup $b4 A files.lan.test $b4
    lookup $b4 A www.lan.test $b4
    fetch $b4 www.lan.test index.html "$tmp/www4"
    fetch $b4 files.lan.test handbook.txt "$tmp/www4"
    syslog $b4
    pings $B -c 1 $a4
}
traffic6() {
    pings $A -6 -c 3 $b6
    pings $A -6 -c 1 -s $((mtu6 - 48)) $b6
    lookup $b6 AAAA files.lan.test $b6
    lookup $b6 A www.lan.test $b4
    fetch $b6 www.lan.test index.html "$tmp/www6"
    fetch $b6 files.lan.test handbook.txt "$tmp/www6"
    ping_options $b6
    syslog $b6
    pings $B -6 -c 1 $a6
}

# ---- recording -------------------------------------------------------------

record() {              # NAME TRAFFIC-FUNCTION HOST-A HOST-B
    local cap
    ip netns exec $A tcpdump -Z root -n -p -U --immediate-mode --time-stamp-precision=micro \
        -i eth0 -w "$tmp/$1" "(src host $3 and dst host $4) or (src host $4 and dst host $3)" 2>"$tmp/$1.log" &
    cap=$!
    pids+=("$cap")
    until_true grep -q 'listening on' "$tmp/$1.log"
    sleep 0.3
    $2
    sleep 0.7
    kill -INT "$cap"
    wait "$cap" || die "tcpdump failed: $(cat "$tmp/$1.log")"
    unset 'pids[-1]'
    grep -q '^0 packets dropped by kernel' "$tmp/$1.log" || die "tcpdump lost packets"
}

to_raw() {              # FROM TO LARGEST: take off the Ethernet headers
    python3 - "$@" <<'PY'
import struct, sys
src, dst, largest = open(sys.argv[1], "rb").read(), sys.argv[2], int(sys.argv[3])
end = "<" if src[:4] == b"\xd4\xc3\xb2\xa1" else ">"
magic, link = struct.unpack(end + "I", src[:4])[0], struct.unpack(end + "I", src[20:24])[0]
assert magic == 0xa1b2c3d4 and link == 1, "not an Ethernet recording"
out, at, last = [struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101)], 24, (0, 0)
while at < len(src):
    sec, usec, caplen, wirelen = struct.unpack(end + "IIII", src[at:at + 16])
    frame, at = src[at + 16:at + 16 + caplen], at + 16 + caplen
    ip = frame[14:]
    if frame[12:14] == b"\x08\x00":
        size = struct.unpack("!H", ip[2:4])[0]
    else:
        assert frame[12:14] == b"\x86\xdd", "neither IPv4 nor IPv6"
        size = 40 + struct.unpack("!H", ip[4:6])[0]
    assert caplen == wirelen and len(ip) >= size <= largest, "truncated or too large"
    assert (sec, usec) >= last, "time runs backwards"
    last = sec, usec
    out.append(struct.pack("<IIII", sec, usec, size, size) + ip[:size])
open(dst, "wb").write(b"".join(out))
print("%s: %d packets, %d bytes" % (dst, len(out) - 1, sum(map(len, out))))
PY
}

check() {               # FILE: every checksum must be verified good
    command -v tshark >/dev/null || { echo "no tshark, checksums not checked"; return 0; }
    local bad all
    local opts=(-n -o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE)
    all='(!ip || ip.checksum.status == 1) && (tcp.checksum.status == 1 || udp.checksum.status == 1 || icmp.checksum.status == 1 || icmpv6.checksum.status == 1)'
    bad=$(tshark "${opts[@]}" -r "$1" -Y "!($all)" 2>/dev/null) || die "tshark failed"
    [ -z "$bad" ] || die "bad checksums in $1: $bad"
    echo "$1: all checksums are good"
}

record v4 traffic4 $a4 $b4
record v6 traffic6 $a6 $b6
to_raw "$tmp/v4" "$tmp/lan.pcap" $mtu4
to_raw "$tmp/v6" "$tmp/lan6.pcap" $mtu6
check "$tmp/lan.pcap"
check "$tmp/lan6.pcap"
[ "$(grep -c 'nightly backup' "$tmp/syslog.log")" -eq 2 ] || die "a syslog message was lost"
install -m 644 -- "$tmp/lan.pcap" "$tmp/lan6.pcap" "$out/"
