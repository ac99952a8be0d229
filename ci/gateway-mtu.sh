# Part of ci/gateway: TCP through tunnels with a small MTU, where ICMP errors do not reach the hosts.

# transfer FROM TO ADDRESS: 200 kB by TCP within ten seconds, `complete` or the number of octets.
transfer() {
    head -c 200000 /dev/urandom >"$out/sent"
    ip netns exec $id-"$2" timeout 12 nc -l "$3" 7000 >"$out/received" & local receiver=$!
    sleep 0.3; on "$1" timeout 10 nc -N "$3" 7000 <"$out/sent" || true
    { kill $receiver; wait $receiver || true; } 2>/dev/null
    if cmp -s "$out/sent" "$out/received"; then echo complete; else stat -c %s "$out/received"; fi
}
for n in 1 2; do
    other=$((3 - n))
    cat >"$out/$n/gateway.conf" <<EOT
policies "setkey.conf"; keys "psk.txt"; local 192.0.2.$n; wan wan; control "control.sock";
tun ipsec0 mtu 1500 address 10.$n.0.1/32 address fd00:$n::1/128;
peer other address 192.0.2.$other { proposal aes128 sha1 modp2048; esp aes128-sha1; }
EOT
    (umask 077; echo "192.0.2.$other a shared secret" >"$out/$n/psk.txt")
    for name in h$n g$n; do on $name sysctl -qw net.ipv6.conf.all.disable_ipv6=0; done
    on g$n sysctl -qw net.ipv6.conf.all.forwarding=1
    on h$n ip addr replace fd00:$n::2/64 dev lan nodad; on g$n ip addr replace fd00:$n::1/64 dev lan nodad
    on h$n ip route replace default via fd00:$n::1
    : >"$out/$n/setkey.conf"
    for nets in "10.$n.0.0/24 10.$other.0.0/24" "fd00:$n::/64 fd00:$other::/64"; do
        cat >>"$out/$n/setkey.conf" <<EOT
spdadd $nets any -P out ipsec esp/tunnel/192.0.2.$n-192.0.2.$other/require;
spdadd ${nets#* } ${nets% *} any -P in ipsec esp/tunnel/192.0.2.$other-192.0.2.$n/require;
EOT
    done
    # The hosts receive no ICMP error.
    on h$n nft 'table inet deaf { chain enter { type filter hook input priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }'
    on g$n ip link set wan mtu 1300
done
start 1; start 2
pings h1 10.2.0.2 3 >/dev/null || true
capture h2 lan syn.pcap 'dst host 10.2.0.2 and tcp[tcpflags] & tcp-syn != 0'
check "MTU 1300 without ICMP errors, TCP from network 1" "$(transfer h1 h2 10.2.0.2)" complete
check "MTU 1300 without ICMP errors, TCP from network 2" "$(transfer h2 h1 10.1.0.2)" complete
captured syn.pcap >/dev/null
# 1300 octets less 20 of the outer header, 8 and 16 of ESP and IV, 12 of the ICV, and of the 1,232 octets that are left as blocks two of the trailer and 40 of IP and TCP.
check "MSS of SYN segments in both directions" \
    "$(tshark -r "$out/syn.pcap" -T fields -e tcp.options.mss_val 2>/dev/null | sort -u | tr '\n' ' ')" "1190 "
check "checksums of SYN segments that the path has changed" \
    "$(tshark -r "$out/syn.pcap" -o tcp.check_checksum:TRUE -Y 'ip.src == 10.1.0.2 && tcp.checksum.status != 1' 2>/dev/null | wc -l)" 0
check "MTU 1300 without ICMP errors, TCP over IPv6" "$(transfer h1 h2 fd00:2::2)" complete
for n in 1 2; do sed -i '$a mss_clamping off;' "$out/$n/gateway.conf"; ctl $n reload >/dev/null; done
for n in 1 2; do on h$n ip route flush cache; done
check "without MSS clamping, TCP from network 1" "$([ "$(transfer h1 h2 10.2.0.2)" = complete ] && echo complete || echo stalled)" stalled
for n in 1 2; do on h$n nft delete table inet deaf; on g$n ip link set wan mtu 1500; done
end 1 TERM; end 2 TERM
for name in h1 g1 g2 h2; do on $name sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
