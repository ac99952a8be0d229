#!/usr/bin/env bash
# vpnc as the client of `ipsec-gatewayd`: aggressive mode with a group key, XAUTH and Mode Config, pings and transfers through raw ESP and
# through ESP in UDP, renewal, dead peers and a restart; a wrong password and a wrong group key; generated policies; hybrid authentication.
# Used by `ci/interop --all strongswan`.
#   vpnc.sh GATEWAY   the path of the daemon; prints a line a case, and fails if one has failed
# The variable PKI is the directory of ca.pem, gateway.pem and gateway.key.
set -euo pipefail
. "$(dirname "$0")/table.sh"
gateway=$1 id=vpnc$$ failed=0
out=$(mktemp -d)
cleanup() {
    { kill -9 $(jobs -p); wait; } 2>/dev/null || true
    [ ! -s "$out/pid" ] || kill "$(cat "$out/pid")" 2>/dev/null || true
    ip netns del $id-server 2>/dev/null || true; ip netns del $id-client 2>/dev/null || true
    rm -rf "$out"
}
trap cleanup EXIT
server() { ip netns exec $id-server "$@"; }
client() { ip netns exec $id-client "$@"; }

ip netns add $id-server; ip netns add $id-client
ip link add name wan netns $id-server type veth peer name wan netns $id-client
for end in server:1 client:2; do
    ip -n $id-${end%:*} addr add 192.0.2.${end#*:}/24 dev wan
    ip -n $id-${end%:*} link set wan up; ip -n $id-${end%:*} link set lo up
done
# configure METHOD STATEMENTS: the authentication method of the gateway, and further statements
configure() {
    cat >"$out/gateway.conf" <<E
policies "setkey.conf"; keys "psk.txt";
local 192.0.2.1; wan wan; tun ipsec0 address 10.1.0.1/32;
peer road address any {
    check obey; exchange_mode aggressive; peers_identity keyid "group";
    proposal aes128 sha1 modp1024 $1; esp aes128-sha1; $2
    users "users.txt";
    mode_cfg {
        network4 10.99.0.10; pool_size 2; netmask4 255.255.255.0; dns4 10.1.0.1; default_domain "interop.example";
        split_network include 10.1.0.0/24; banner "interop banner";
    };
}
E
}
cat >"$out/setkey.conf" <<E
spdadd 0.0.0.0/0 10.99.0.0/24 any -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require;
spdadd 10.99.0.0/24 0.0.0.0/0 any -P in ipsec esp/tunnel/192.0.2.2-192.0.2.1/require;
E
# Commands that vpnc executes before it forwards packets, and at its end; vpnc passes the values of Mode Config in the environment.
cat >"$out/script" <<E
#!/bin/sh
[ "\$reason" = connect ] || exit 0
env | sort >"$out/env"
ip link set "\$TUNDEV" up mtu 1300
ip addr add "\$INTERNAL_IP4_ADDRESS/32" dev "\$TUNDEV"
ip route add 10.1.0.0/24 dev "\$TUNDEV" src "\$INTERNAL_IP4_ADDRESS"
E
chmod +x "$out/script"
(umask 077; echo 'group the group key' >"$out/psk.txt"; echo 'alice wonder land' >"$out/users.txt")

problems= during= hybrid=() part=vpnc what="XAUTH, Mode Config"
row() { # NAME [STEP]: STEP is a column of the table
    record "$what" "${2:-responder}" "$([ -z "$problems" ] && echo ok || echo failed)"
    printf '%-23s %-50s %-10s %s\n' vpnc "$1" responder "${problems:-ok}"
    [ -z "$problems" ] || { failed=1; tail -n 15 "$out/log"; tail -n 15 "$out/vpnc"; }
    problems=
}
logged() { # PATTERN
    local i; for ((i = 0; i < 100; i++)); do ! grep -q "$1" "$out/log" || return 0; sleep 0.05; done
    problems+="no line with \`$1\`; "
}
received() { sed -n 's/.* \([0-9]*\) received.*/\1/p'; }
# transfer: 300 kB by TCP in each direction; prints what arrived complete.
transfer() {
    local _ from to receiver
    head -c 300000 /dev/urandom >"$out/sent"
    for _ in client:10.99.0.10:server:10.1.0.1 server:10.1.0.1:client:10.99.0.10; do
        IFS=: read -r from own to peer <<<"$_"
        $to timeout 12 nc -l $peer 7000 >"$out/received" & receiver=$!
        for _ in $(seq 40); do ! $from timeout 10 nc -N -s $own $peer 7000 <"$out/sent" || break; sleep 0.1; done
        wait $receiver || true
        ! cmp -s "$out/sent" "$out/received" || echo "$from"
    done
}
want() { [ "$2" = "$3" ] || problems+="$1: got $2, expected $3; "; } # TEXT GOT EXPECTED
start() {
    rm -f "$out/log"
    ip netns exec $id-server "$gateway" -c "$out/gateway.conf" >"$out/log" 2>&1 & pid=$!
    until grep -qs 'the gateway runs' "$out/log"; do kill -0 $pid || { cat "$out/log"; exit 1; }; sleep 0.02; done
}
# connect MODE [KEY [PASSWORD [LINE ..]]]: the status of vpnc, which ends when the tunnel exists
connect() {
    printf '%s\n' 'IPSec gateway 192.0.2.1' 'IPSec ID group' "IPSec secret ${2:-the group key}" 'Xauth username alice' \
        "Xauth password ${3:-wonder land}" "NAT Traversal Mode $1" "Pidfile $out/pid" "Script $out/script" \
        'Perfect Forward Secrecy nopfs' Noninteractive "${hybrid[@]}" "${@:4}" >"$out/vpnc.conf"
    rm -f "$out/env"
    client timeout 20 vpnc "$out/vpnc.conf" >"$out/vpnc" 2>&1
}
ends() { # [SECONDS]: waits for the end of vpnc
    local i vpnc; vpnc=$(cat "$out/pid")
    for ((i = 0; i < ${1:-5} * 20; i++)); do kill -0 "$vpnc" 2>/dev/null || return 0; sleep 0.05; done
    return 1
}
disconnect() {
    local i vpnc; vpnc=$(cat "$out/pid" 2>/dev/null) && kill "$vpnc" 2>/dev/null || { problems+="vpnc does not run; "; return; }
    for ((i = 0; i < 100; i++)); do kill -0 "$vpnc" 2>/dev/null || break; sleep 0.05; done
    logged 'phase 1 with road has ended .*: deleted by the peer'
    logged 'SA esp .* out was removed: deleted by the peer'
}
# tunnel MODE PROTOCOL: pings, and only this protocol on the wire
tunnel() {
    connect "$1" || problems+="vpnc has failed; "
    for value in INTERNAL_IP4_ADDRESS=10.99.0.10 INTERNAL_IP4_NETMASK=255.255.255.0 INTERNAL_IP4_DNS=10.1.0.1 \
        CISCO_DEF_DOMAIN=interop.example CISCO_BANNER=interop CISCO_SPLIT_INC_0_ADDR=10.1.0.0 CISCO_SPLIT_INC_0_MASKLEN=24; do
        grep -qs "^$value" "$out/env" || problems+="vpnc has no $value; "
    done
    server nft "table ip wire; delete table ip wire; table ip wire {
        counter right { }; counter other { }
        chain count { udp dport 500 return; $2 counter name right return; counter name other; }
        chain enter { type filter hook prerouting priority -450; iifname wan jump count; }
        chain leave { type filter hook postrouting priority 450; oifname wan jump count; }
    }"
    want "pings of the client" "$(client ping -c 3 -i 0.2 -W 1 10.1.0.1 2>&1 | sed -n 's/.* \([0-9]*\) received.*/\1/p')" 3
    want "pings of the gateway" \
        "$(server ping -c 3 -i 0.2 -W 1 -I 10.1.0.1 10.99.0.10 | sed -n 's/.* \([0-9]*\) received.*/\1/p')" 3
    for counter in right:12 other:0; do
        want "packets (${counter%:*})" \
            "$(server nft list counter ip wire ${counter%:*} | sed -n 's/.*packets \([0-9]*\) .*/\1/p')" ${counter#*:}
    done
    logged 'road is authenticated as user `alice`'; logged 'road is assigned the address 10.99.0.10'
    want "transfers" "$(transfer | xargs)" "client server"
    [ -z "$during" ] || want "policies, routes and rules" "$(protected)" "$during"
    disconnect
}

configure xauth_psk_server ''
start
tunnel none 'ip protocol esp'; row "XAUTH, Mode Config, ESP"
tunnel force-natt 'udp dport 4500'; row "XAUTH, Mode Config, ESP in UDP"
! connect none 'the group key' 'wonder' || problems+="vpnc has an SA; "
logged 'user `alice` was rejected: unknown name or wrong password'
want "SAs of both tunnels" "$(grep -c 'SA established' "$out/log")" 4; row "wrong password" refusal
! connect none 'another key' || problems+="vpnc has an SA; "
grep -q 'check group password' "$out/vpnc" || problems+="vpnc does not blame the key; "; row "wrong group key" refusal
{ kill -KILL $pid; wait $pid || true; } 2>/dev/null
# Without configured policies: they exist as long as the SAs of the client, with their firewall rules and routes.
protected() { # the policies, the routes to the client, and the rules for it
    echo "$("${gateway%d}ctl" -s "$out/control" dump -P | grep -c 10.99.0.10)" \
        "$(server ip route show table all | grep -c '10.99.0.10 dev ipsec0')" \
        "$(server nft list table inet ipsec_gatewayd | grep -c 10.99.0.10)"
}
configure xauth_psk_server 'generate_policy unique;'
printf 'control "%s";\n' "$out/control" >>"$out/gateway.conf"
mv "$out/setkey.conf" "$out/policies"; echo '# no policies' >"$out/setkey.conf"
start
want "policies, routes and rules before" "$(protected)" "0 0 0"
during='2 1 7'; tunnel none 'ip protocol esp'; during=
logged 'policy .* (0.0.0.0/0 10.99.0.10/32) was generated for road'
sleep 3 # the inbound SA is kept for packets in flight
logged 'policy .* (0.0.0.0/0 10.99.0.10/32), which was generated for an initiator, was removed'
want "policies, routes and rules after" "$(protected)" "0 0 0"; row "generated policies"
{ kill -KILL $pid; wait $pid || true; } 2>/dev/null
mv "$out/policies" "$out/setkey.conf"
# The lifetime of vpnc is 24 days, and it accepts no other: a request renews the SAs under traffic. It refuses a renewal with the other
# ciphers, after it has changed its SPI.
configure xauth_psk_server 'dpd_delay 1; dpd_retry 1; dpd_maxfail 2;'
sed -i 's/esp aes128-sha1/esp aes256-sha1/' "$out/gateway.conf"
printf 'control "%s";\n' "$out/control" >>"$out/gateway.conf"
start
connect none || problems+="vpnc has failed; "
client ping -c 60 -i 0.1 -W 1 10.1.0.1 >"$out/pings" 2>&1 & pings=$!
for _ in 1 2; do sleep 1.5; "${gateway%d}ctl" -s "$out/control" rekey road >/dev/null || problems+="no renewal; "; done
wait $pings || true
# It has the keys of one pair of SAs: the answer to the first packet with new ones may still have the old ones.
[ "$(received <"$out/pings")" -ge 58 ] || problems+="$(received <"$out/pings") of 60 pings were answered during two renewals; "
want "outbound SAs" "$(grep -c 'SA established: .* out ' "$out/log" || true)" 3; row "renewal by the gateway" renewal
sleep 1
want "pings after answers to dead peer detection" "$(client ping -c 3 -i 0.2 -W 1 10.1.0.1 2>&1 | received)" 3
vpnc=$(cat "$out/pid"); kill -KILL "$vpnc"; rm -f "$out/pid"
logged 'road (.*) has not answered dead peer detection'
logged 'SA esp .* in was removed: peer is dead'
row "dead peer detection" dead-peer
connect none || problems+="vpnc has failed; "
want "pings of the client" "$(client ping -c 3 -i 0.2 -W 1 10.1.0.1 2>&1 | received)" 3
row "restart of vpnc" restart
"${gateway%d}ctl" -s "$out/control" delete road >/dev/null
# It negotiates a deleted SA again, and ends without an answer.
ends 60 || problems+="vpnc runs without SAs; "; row "deletion by the gateway" deletion
connect none 'the group key' 'wonder land' 'DPD idle timeout (our side) 10' || problems+="vpnc has failed; "
sleep 12
want "pings after answers to dead peer detection" "$(client ping -c 3 -i 0.2 -W 1 10.1.0.1 2>&1 | received)" 3
{ kill -KILL $pid; wait $pid || true; } 2>/dev/null
ends 120 || problems+="vpnc runs without a peer; "; row "dead peer detection by vpnc" dead-peer
configure hybrid_rsa_server "certificate \"$PKI/gateway.pem\" \"$PKI/gateway.key\";"
hybrid=('IKE Authmode hybrid' "CA-File $PKI/ca.pem")
start
tunnel none 'ip protocol esp'; row "hybrid authentication"
exit $failed
