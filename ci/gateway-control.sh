# Part of ci/gateway: verbs of `ipsec-gatewayctl` on two gateways with established SAs and on the traffic between them.

ctl() { "$control" -s "$out/$1/control.sock" "${@:2}"; } # N VERB ..
outbound() { ctl "$1" dump --ipsecctl | sed -n "s/^esp tunnel from 192.0.2.$1 .* spi \(0x[0-9a-f]*\) .*/\1/p" | sort; }
spis() { ctl "$1" --json dump -D | grep -o '"spi":[0-9]*' | sort; }
outbounds() { outbound "$1" | wc -l; }
sas() { ctl "$1" --json dump -D | grep -o '"spi":' | wc -l; }
until_is() { # EXPECTED COMMAND ..: the output of the command, as soon as it is the expected one
    for _ in {1..80}; do [ "$("${@:2}")" != "$1" ] || break; sleep 0.1; done; "${@:2}"
}

daemon=$(pgrep -f "^$gateway .*$out/1/gateway.conf" | head -n 1)
check "core dumps of the daemon" "$(awk '/^Max core file size/ { print $5, $6 }' /proc/$daemon/limits)" "0 0"
if grep -q 'WARNING: keys in memory may be written to swap space' "$out/1/log"; then
    echo "skipped locked memory of the daemon: the system does not permit it"
else
    check "locked memory of the daemon" "$(awk '/^VmLck/ { print ($2 > 1000) }' /proc/$daemon/status)" 1
fi
check "mode of the control socket" "$(stat -c %a "$out/1/control.sock")" 600
check "peers with SAs in the status" "$(ctl 1 status | grep -c '^other (192.0.2.2\[500\]): 1 of 1 policies established$')" 1
check "ISAKMP SA in the status" "$(ctl 1 status | grep -c 'phase 1 192.0.2.1\[500\] 192.0.2.2\[500\] .*aes-cbc 128')" 1
check "peers in the JSON status" "$(ctl 1 --json status | grep -o '"name":"other"' | wc -l)" 1
check "policies in the dump" "$(ctl 1 dump -P | grep -c 'esp/tunnel/192.0.2.*/require')" 2
check "flows in the dump of ipsecctl" "$(ctl 1 dump --ipsecctl | grep -c '^flow esp .* peer 192.0.2.2 type require$')" 2
check "SAs with keys in the dump" "$(ctl 1 dump -D --keys | grep -c '	E: aes-cbc  [0-9a-f ]\{35\}$')" "$(sas 1)"
check "keys without the option" "$(ctl 1 dump -D | grep -c '	E: aes-cbc$')" "$(sas 1)"
check "exported keys, SAs that the table of the daemon has" \
    "$(ctl 1 export-keys | grep -cFf "$out/1/keys/esp_sa")" "$(sas 1)"
check "counters, ESP packets sent" "$(ctl 1 counters | grep -c '^engine out *ESP packets  *[1-9]')" 1
check "counters for Prometheus" \
    "$(ctl 1 counters --prometheus | grep -c '^ipsec_gateway_engine_total{direction="out",counter="ESP packets"} [1-9]\|^ipsec_gateway_peer_established{peer="other"} 1$')" 2
ctl 1 initiate west 2>"$out/error" && status=0 || status=$?
check "unknown peer, exit status and message" "$status $(grep -c 'unknown peer: got `west`, expected one of other' "$out/error")" "1 1"
check "initiation with SAs that exist" "$(ctl 1 initiate other)" "peer other: all policies have SAs"

# A malformed request, a client that sends nothing, and one that reads nothing: packets pass.
ctl 1 watch >"$out/events" & watcher=$!
nc -U "$out/1/control.sock" </dev/zero >/dev/null 2>&1 & clients=$!
sleep 60 | nc -U "$out/1/control.sock" >/dev/null 2>&1 & clients+=" $!"
check "with clients that do not keep to the protocol, pings answered" "$(pings h1 10.2.0.2 5)" 5
check "status meanwhile" "$(ctl 1 status | grep -c '1 of 1 policies established')" 1

# Each change while a ping runs: none of 30 packets is lost.
under_traffic() { # TEXT COMMAND ..
    pings h1 10.2.0.2 30 >"$out/answered" & local pinging=$!
    sleep 1; "${@:2}" >"$out/done" 2>&1 || true; wait $pinging
    check "$1, pings answered" "$(cat "$out/answered")" 30
}
former=$(outbound 1)
under_traffic "rekey" ctl 1 rekey
check "rekey, answer" "$(grep -c 'a negotiation with other has begun' "$out/done")" 1
check "rekey, outbound SAs that remain" "$(outbound 1 | grep -cxF "$former" || true)" 0
former=$(spis 1)
cp "$out/1/gateway.conf" "$out/1/gateway.conf.old"; cp "$out/1/setkey.conf" "$out/1/setkey.conf.old"
echo 'peer third address 192.0.2.9 { proposal aes128 sha1 modp2048; esp aes128-sha1; }' >>"$out/1/gateway.conf"
(umask 077; echo '192.0.2.9 another secret' >>"$out/1/psk.txt")
cat >>"$out/1/setkey.conf" <<EOF
spdadd 10.1.0.0/24 10.3.0.0/24 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.9/require;
spdadd 10.3.0.0/24 10.1.0.0/24 any -P in ipsec esp/tunnel/192.0.2.9-192.0.2.1/require;
EOF
under_traffic "reload with another peer" ctl 1 reload
check "reload, answer" "$(grep -c '^2 of 2 policies and their SAs are unchanged$\|^1 of 1 peers and their SAs are unchanged$' "$out/done")" 2
check "reload, SAs" "$(spis 1)" "$former"
check "reload, peers" "$(ctl 1 status | grep -c '^other\|^third')" 2
check "reload, route of the new policy" "$(on g1 ip route show table 500 | grep -c '^10.3.0.0/24 dev ipsec0')" 1
check "reload, rules of the new policy" "$([ "$(on g1 nft list table inet ipsec_gatewayd | grep -c 'daddr 10.3.0.0/24')" -gt 0 ] && echo some)" some
echo 'peer broken adress 192.0.2.8;' >>"$out/1/gateway.conf"
ctl 1 reload >"$out/done" 2>"$out/error" && status=0 || status=$?
check "reload of an invalid file, exit status and message" "$status $(grep -c 'expected `address`' "$out/error")" "1 1"
sed 's/tun ipsec0/tun ipsec7/' "$out/1/gateway.conf.old" >"$out/1/gateway.conf"
check "reload that needs a restart" "$(ctl 1 reload 2>&1 | grep -c 'changed statements: `tun`;')" 1
check "after both, peers and SAs" "$(ctl 1 status | grep -c '^other\|^third') $(spis 1)" "2 $former"
mv "$out/1/gateway.conf.old" "$out/1/gateway.conf"; mv "$out/1/setkey.conf.old" "$out/1/setkey.conf"
under_traffic "SIGHUP" kill -HUP "${pid[1]}"
named "SIGHUP" 1 'configuration .*gateway.conf was read'
check "SIGHUP, peers and SAs" "$(ctl 1 status | grep -c '^other\|^third') $(spis 1)" "1 $former"
check "SIGHUP, route of the former policy" "$(on g1 ip route show table 500 | grep -c '10.3.0.0/24' || true)" 0

# A change of the peer: its SAs are deleted at both ends, and negotiated again by the ping.
sed -i 's/check obey/check strict/' "$out/1/gateway.conf"
ctl 1 reload >"$out/done"
check "reload with a changed peer, answer" "$(grep -c '^0 of 1 peers' "$out/done")" 1
check "reload with a changed peer, outbound SAs of both ends" "$(until_is 0 outbounds 1), $(until_is 0 outbounds 2)" "0, 0"
check "reload with a changed peer, pings answered" "$([ "$(pings h1 10.2.0.2 15)" -ge 8 ] && echo most)" most

# delete and initiate, without packets of the hosts.
ctl 1 delete other >"$out/done"
check "delete, answer" "$(grep -c 'peer other: deleted [24] IPsec SAs and 1 ISAKMP SAs' "$out/done")" 1
check "delete, outbound SAs of both ends" "$(until_is 0 outbounds 1), $(until_is 0 outbounds 2)" "0, 0"
sleep 5.5
check "initiate, answer" "$(ctl 1 initiate other | grep -c 'a negotiation with other has begun')" 1
check "initiate, outbound SAs of both ends" "$(until_is 1 outbounds 1), $(until_is 1 outbounds 2)" "1, 1"
check "delete by SPI, answer" "$(ctl 2 delete "$(outbound 2)" | grep -c 'deleted 2 IPsec SAs with peer other')" 1
check "delete by SPI, outbound SAs of both ends" "$(until_is 0 outbounds 1), $(until_is 0 outbounds 2)" "0, 0"

# Statements of setkey: a text with an error changes nothing, one without changes SPD, rules and routes.
text='spdadd 10.1.0.0/24 10.4.0.0/24 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;'
echo "$text spdad;" | ctl 1 setkey -c 2>"$out/error" && status=0 || status=$?
check "setkey with an error, exit status and policies" "$status $(ctl 1 setkey -DP | grep -c spid=)" "1 2"
echo "$text" >"$out/statements"; ctl 1 setkey -f "$out/statements"
check "setkey -f, policies" "$(ctl 1 setkey -DP | grep -c spid=)" 3
check "setkey -f, route" "$(on g1 ip route show table 500 | grep -c '^10.4.0.0/24 dev ipsec0')" 1
check "setkey -f, policies of the peer" "$(ctl 1 status | grep -c '^other .*0 of 2 policies established')" 1

# An update of the firewall rules that fails is repeated.
rules() { on g1 nft list table inet ipsec_gatewayd | grep -c "$1" || true; }
touch "$out/refuse"
echo "${text/10.4./10.5.}" | ctl 1 setkey -c 2>"$out/error" && status=0 || status=$?
check "nft fails, exit status, message and rules" "$status $(grep -c 'next attempt in 1 s: nft' "$out/error") $(rules 10.5.0.0/24)" "1 1 0"
rm "$out/refuse"
named "nft works again" 1 'firewall rules and routes are those of the SPD again'
check "nft works again, rules and route" \
    "$([ "$(rules 10.5.0.0/24)" -gt 0 ] && echo some) $(on g1 ip route show table 500 | grep -c '^10.5.0.0/24 dev ipsec0')" "some 1"
echo 'spddelete 10.1.0.0/24 10.5.0.0/24 any -P out;' | ctl 1 setkey -c

echo 'spddelete 10.1.0.0/24 10.4.0.0/24 any -P out; spddump;' | ctl 1 setkey -c >"$out/done"
check "setkey -c, policies" "$(grep -c spid= "$out/done")" 2
sleep 5.5; pings h1 10.2.0.2 5 >/dev/null || true
check "SAs before setkey -F" "$([ "$(ctl 1 setkey -D | grep -c '	esp mode=tunnel')" -ge 2 ] && echo some)" some
ctl 1 setkey -F
check "setkey -F, outbound SAs of both ends" "$(until_is 0 outbounds 1), $(until_is 0 outbounds 2)" "0, 0"
ctl 1 setkey -FP
check "setkey -FP" "$(ctl 1 setkey -DP)" "No SPD entries."
ctl 1 reload >/dev/null
check "reload after setkey -FP, policies" "$(ctl 1 setkey -DP | grep -c spid=)" 2
check "events of the watcher" "$([ "$(grep -c 'SA established' "$out/events")" -ge 4 ] && echo some)" some
kill $watcher $clients 2>/dev/null || true; wait $watcher $clients 2>/dev/null || true
sed -i 's/check strict/check obey/' "$out/1/gateway.conf"; ctl 1 reload >/dev/null
sleep 5.5; pings h1 10.2.0.2 5 >/dev/null || true
