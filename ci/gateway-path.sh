# Part of ci/gateway: a router with an MTU of 900 octets between the gateways. IKE and ESP pass in fragments, and ICMP errors of the
# router lower the path MTU of the SAs, which the hosts are told.

on wan ip link set g1 nomaster; on wan ip addr add 10.9.0.1/24 dev g1; on wan ip addr add 192.0.2.7/24 dev bridge
on wan sysctl -qw net.ipv4.ip_forward=1
on wan ip route replace 192.0.2.2/32 dev bridge mtu lock 900
on wan ip route replace 10.9.0.2/32 dev g1 mtu lock 900
on g1 ip addr add 10.9.0.2/24 dev wan; on g1 ip route replace 192.0.2.2/32 via 10.9.0.1
on g2 ip route replace 10.9.0.0/24 via 192.0.2.7
for n in 1 2; do
    other=$((3 - n)) own=10.9.0.2 peer=192.0.2.2
    [ $n = 1 ] || own=192.0.2.2 peer=10.9.0.2
    cat >"$out/$n/gateway.conf" <<EOT
policies "setkey.conf"; keys "psk.txt"; local $own; wan wan; tun ipsec0 mtu 1500 address 10.$n.0.1/32; control "control.sock";
peer other address $peer { proposal aes128 sha1 modp8192; esp aes128-sha1; nat_traversal NAT; }
EOT
    (umask 077; echo "$peer a shared secret" >"$out/$n/psk.txt")
    cat >"$out/$n/setkey.conf" <<EOT
spdadd 10.$n.0.0/24 10.$other.0.0/24 any -P out ipsec esp/tunnel/$own-$peer/require;
spdadd 10.$other.0.0/24 10.$n.0.0/24 any -P in ipsec esp/tunnel/$peer-$own/require;
EOT
done
for encapsulation in off force; do
    for n in 1 2; do
        sed -i "s/nat_traversal [a-zA-Z]*/nat_traversal $encapsulation/" "$out/$n/gateway.conf"
        on g$n ip route flush cache; on h$n ip route flush cache
    done
    name="router with MTU 900, NAT traversal $encapsulation"
    start 1; start 2
    capture wan g1 path.pcap 'ip[6:2] & 0x3fff != 0'
    pings h1 10.2.0.2 30 >/dev/null || true
    check "$name, pings answered" "$(pings h1 10.2.0.2)" 3
    check "$name, fragments of IKE" "$([ "$(captured path.pcap)" -ge 2 ] && echo some)" some
    capture wan g1 path.pcap 'ip[6:2] & 0x3fff != 0'
    check "$name, packets without DF, pings answered" \
        "$(on h1 ping -M dont -s 1200 -c 5 -i 0.2 -W 1 10.2.0.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')" 5
    check "$name, fragments of ESP" "$([ "$(captured path.pcap)" -ge 10 ] && echo some)" some
    for n in 1 2; do
        other=$((3 - n))
        on h$n ping -M do -s 1200 -c 6 -i 0.2 -W 1 10.$other.0.2 >"$out/pings" 2>&1 || true
        mtu=$(sed -n 's/.*Frag needed.*mtu = \([0-9]*\).*/\1/p' "$out/pings" | head -n 1)
        check "$name, MTU that host $n is told" "$([ -n "$mtu" ] && [ "$mtu" -lt 900 ] && [ "$mtu" -gt 800 ] && echo "800 to 900" || cat "$out/pings")" "800 to 900"
        check "$name, packets of that MTU from host $n, pings answered" \
            "$(on h$n ping -M do -s $((${mtu:-800} - 28)) -c 3 -i 0.2 -W 1 10.$other.0.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')" 3
    done
    end 1 TERM; end 2 TERM
done
on wan ip addr flush dev g1; on wan ip addr del 192.0.2.7/24 dev bridge; on wan ip link set g1 master bridge
on wan ip route del 192.0.2.2/32 2>/dev/null || true
for n in 1 2; do on g$n ip route flush cache; on h$n ip route flush cache; done
on g1 ip addr del 10.9.0.2/24 dev wan; on g1 ip route del 192.0.2.2/32 2>/dev/null || true; on g2 ip route del 10.9.0.0/24

# The same over IPv6 with an MTU of 1,300 octets, for packets of both versions.
for name in g1 wan g2; do on $name sysctl -qw net.ipv6.conf.all.disable_ipv6=0; done
on wan sysctl -qw net.ipv6.conf.all.forwarding=1
on wan ip link set g1 nomaster; on wan ip addr add 2001:db8:9::1/64 dev g1 nodad; on wan ip addr add 2001:db8::7/64 dev bridge nodad
on g1 ip addr add 2001:db8:9::2/64 dev wan nodad; on g1 ip route replace 2001:db8::/64 via 2001:db8:9::1
on g2 ip addr replace 2001:db8::2/64 dev wan nodad; on g2 ip route replace 2001:db8:9::/64 via 2001:db8::7
on wan ip route replace 2001:db8::2/128 dev bridge mtu lock 1300
on wan ip route replace 2001:db8:9::2/128 dev g1 mtu lock 1300
for n in 1 2; do
    other=$((3 - n)) own=2001:db8:9::2 peer=2001:db8::2
    [ $n = 1 ] || own=2001:db8::2 peer=2001:db8:9::2
    for name in h$n g$n; do on $name sysctl -qw net.ipv6.conf.all.disable_ipv6=0; done
    on g$n sysctl -qw net.ipv6.conf.all.forwarding=1
    on h$n ip addr replace fd00:$n::2/64 dev lan nodad; on g$n ip addr replace fd00:$n::1/64 dev lan nodad
    on h$n ip route replace default via fd00:$n::1; on h$n ip route flush cache
    cat >"$out/$n/gateway.conf" <<EOT
policies "setkey.conf"; keys "psk.txt"; local $own; wan wan; control "control.sock";
tun ipsec0 mtu 1500 address 10.$n.0.1/32 address fd00:$n::1/128;
peer other address $peer { proposal aes128 sha1 modp2048; esp aes128-sha1; }
EOT
    (umask 077; echo "$peer a shared secret" >"$out/$n/psk.txt")
    : >"$out/$n/setkey.conf"
    for nets in "10.$n.0.0/24 10.$other.0.0/24" "fd00:$n::/64 fd00:$other::/64"; do
        cat >>"$out/$n/setkey.conf" <<EOT
spdadd $nets any -P out ipsec esp/tunnel/$own-$peer/require;
spdadd ${nets#* } ${nets% *} any -P in ipsec esp/tunnel/$peer-$own/require;
EOT
    done
done
name="router with MTU 1300 over IPv6"
start 1; start 2
pings h1 10.2.0.2 20 >/dev/null || true
check "$name, pings answered" "$(pings h1 10.2.0.2)" 3
on h1 ping -M do -s 1300 -c 6 -i 0.2 -W 1 10.2.0.2 >"$out/pings" 2>&1 || true
mtu=$(sed -n 's/.*Frag needed.*mtu = \([0-9]*\).*/\1/p' "$out/pings" | head -n 1)
check "$name, MTU that host 1 is told" "$([ "${mtu:-0}" -gt 1200 ] && [ "$mtu" -lt 1300 ] && echo "1200 to 1300" || cat "$out/pings")" "1200 to 1300"
check "$name, packets of that MTU, pings answered" \
    "$(on h1 ping -M do -s $((${mtu:-800} - 28)) -c 3 -i 0.2 -W 1 10.2.0.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')" 3
on h2 ping -M do -s 1300 -c 2 -i 0.2 -W 1 10.1.0.2 >/dev/null 2>&1 || true
check "$name, packets without DF after the report, pings answered" \
    "$(on h1 ping -M dont -s 1300 -c 3 -i 0.2 -W 1 10.2.0.2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')" 3
# Packets of IPv6 up to 1,280 octets need not be made smaller: they leave in fragments.
check "$name, IPv6 packets of 1280 octets, pings answered" \
    "$(on h1 ping -s 1232 -c 3 -i 0.2 -W 1 fd00:2::2 | sed -n 's/.* \([0-9]*\) received.*/\1/p')" 3
end 1 TERM; end 2 TERM
on wan ip link set g1 master bridge
# All addresses and routes of IPv6 are removed with this.
for name in h1 g1 wan g2 h2; do on $name sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
