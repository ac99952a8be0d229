# Sourced by ci/gateway, without a daemon: what happens to the SAs while hosts send and an attacker injects cleartext.

# under_attack PEER-HOST ATTACKED COMMAND: runs the command while the host of network 1 sends to PEER-HOST, and the attacker to ATTACKED.
# `attack` is then the number of cleartext packets that have left gateway 1, neighbour discovery excepted, and of those that have reached
# the host.
under_attack() {
    local dumps=() files=(leaves enters) file
    ip netns exec $id-g1 tcpdump -Z root -U --immediate-mode -ni wan -Q out -w "$out/leaves" "(net 10.1.0.0/24 or net 10.2.0.0/24 or
        net fd00:1::/64 or net fd00:2::/64) and not (icmp6 and (ip6[40] == 135 or ip6[40] == 136))" >"$out/leaves.log" 2>&1 & dumps+=($!)
    ip netns exec $id-h1 tcpdump -Z root -U --immediate-mode -ni lan -w "$out/enters" udp port 7777 >"$out/enters.log" 2>&1 & dumps+=($!)
    for file in "${files[@]}"; do until grep -qs 'listening on' "$out/$file.log"; do sleep 0.02; done; done
    ip netns exec $id-h1 ping -q -i 0.02 "$1" >/dev/null 2>&1 & dumps+=($!)
    ip netns exec $id-wan bash -c "while sleep 0.02; do echo cleartext >/dev/udp/$2/7777; done" >/dev/null 2>&1 & dumps+=($!)
    eval "$3"
    sleep 0.3
    { kill "${dumps[@]}"; wait "${dumps[@]}"; } 2>/dev/null || true
    tcpdump -nr "$out/leaves" -c 3 2>/dev/null || true
    attack=$(for file in "${files[@]}"; do echo "$(tcpdump -nr "$out/$file" 2>/dev/null | wc -l) $file"; done | paste -sd' ')
}

check "after unprotect, firewall rules and routing rules" \
    "$(on g1 nft list tables | grep -c ipsec_gatewayd || true) $(on g1 ip rule | grep -c '^500:' || true)" "0 0"
under_attack 10.2.0.2 10.1.0.2 'sleep 0.5' >/dev/null
check "without protection, both kinds of cleartext" "$(grep -c '^[1-9].* leaves [1-9].* enters$' <<<"$attack")" 1

# The peer is dead, and the lifetimes end.
configure 'a shared secret' 'aes128 sha1 modp2048'
for n in 1 2; do sed -i 's/esp aes128-sha1;/esp aes128-sha1 lifetime 10;/' "$out/$n/gateway.conf"; done
start 1; start 2
check "lifetime of ten seconds, pings answered" "$(pings h1 10.2.0.2)" 3
expire() {
    end 2 KILL
    for _ in {1..300}; do ! grep -q 'SA .* out has expired' "$out/1/log" || break; sleep 0.1; done
    sleep 1
}
under_attack 10.2.0.2 10.1.0.2 expire
check "while SAs expire without a peer, cleartext" "$attack" "0 leaves 0 enters"
named "SA at the end of its lifetime" 1 'SA .* out has expired'
start 2
check "after the expiry, pings from the other side answered" "$([ "$(pings h2 10.1.0.2 15)" -ge 8 ] && echo most)" most

# Reloads that keep the SAs, renumber the policies, replace the peer, and are refused.
configure 'a shared secret' 'aes128 sha1 modp2048'
change() {
    local n
    for n in 1 2 3 4; do
        sed -i "1i spdadd 10.1.0.0/24 10.3.$n.0/24 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;" "$out/1/setkey.conf"
        ctl 1 reload >/dev/null; sleep 0.2
        sed -i "s/check [a-z]*/check $([ $((n % 2)) = 0 ] && echo obey || echo strict)/" "$out/1/gateway.conf"
        ctl 1 reload >/dev/null; sleep 0.2
        echo 'spdadd' >>"$out/1/setkey.conf"
        check "reload of an invalid file" "$(ctl 1 reload 2>&1 | grep -c 'setkey.conf:')" 1
        sed -i '$d' "$out/1/setkey.conf"
    done
    sed -i '/10.3/d' "$out/1/setkey.conf"; ctl 1 reload >/dev/null
}
under_attack 10.2.0.2 10.1.0.2 change
check "during reloads, cleartext" "$attack" "0 leaves 0 enters"
check "after the reloads, pings answered" "$([ "$(pings h1 10.2.0.2 15)" -ge 8 ] && echo most)" most
end 1 TERM; end 2 TERM
run_gateway 1 unprotect; run_gateway 2 unprotect
