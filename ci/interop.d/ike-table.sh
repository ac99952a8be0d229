# Sourced by the parts of ci/interop in which `ipsec-gatewayd` and another IKE daemon negotiate. They set `daemon`, its name, `peer`, its
# script, `fragment_lines`, patterns of its log for messages that were fragmented, and `dpd_line`, that of an answer to dead peer
# detection. A row is a line with what was tried, the role of the gateway, and the result. With the argument --all, `all` is 1.
. ci/install.sh
. ci/quick.sh
. ci/interop.d/table.sh
all=; [ "${1:-}" != --all ] || all=1

need_strongswan() {
    local plugins=/usr/lib/ipsec/plugins/libstrongswan
    need_command swanctl strongswan-swanctl
    need "strongSwan's libraries" "ls $plugins-socket-default.so $plugins-openssl.so" \
        install_packages strongswan-libcharon libstrongswan-standard-plugins
    [ -z "$all" ] || need "strongSwan's plugin xauth-generic" "ls $plugins-xauth-generic.so" install_packages libcharon-extauth-plugins
}
# begin: starts the host of the peer; `gateway` is the program, and `out` a directory.
begin() {
    [ "$(id -u)" = 0 ] || skip "the network of the peer needs root"
    need_command nft nftables
    need_command ping iputils-ping
    need_command nc netcat-openbsd
    need_command openssl openssl
    cargo build --quiet --release -p ipsec-gateway
    gateway=${CARGO_TARGET_DIR:-$PWD/target}/release/ipsec-gatewayd
    out=$(mktemp -d)
    trap '{ kill -9 $(jobs -p); wait; } 2>/dev/null || true; "$peer" down >/dev/null 2>&1 || true; rm -rf "$out"' EXIT
    [ -z "$all" ] || export LIFE=5400
    "$peer" up || exit $?
    export PKI=$out
    (umask 077; certificates >"$out/openssl" 2>&1) || { cat "$out/openssl"; exit 1; }
    printf '%-23s %-50s %-10s %s\n' protocol "phase 1 / phase 2" role result
}
on() { ip netns exec pk-dut "$@"; }

passed=0 failed=0 problems=
row() { # NAME ROLE [STEP]: the line of a case, and the logs if it failed; STEP is a column of the table, and the role if it is absent
    printf '%-23s %-50s %-10s %s\n' "$what" "$1" "$2" "${problems:-ok}"
    record "$what" "${3:-$2}" "$([ -z "$problems" ] && echo ok || echo failed)"
    if [ -z "$problems" ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "--- ipsec-gatewayd"; tail -n 12 "$out/log" || true; echo "--- $daemon"; "$peer" log | tail -n 20 || true; echo "---"
    fi
    problems=
}
want() { [ "$2" = "$3" ] || problems+="$1: got $2, expected $3; "; } # TEXT GOT EXPECTED
logged() { # PATTERN [SECONDS]: waits for a line in the log of the gateway
    local i; for ((i = 0; i < ${2:-5} * 20; i++)); do ! grep -q "$1" "$out/log" || return 0; sleep 0.05; done
    problems+="no line with \`$1\`; "
}

# A CA with a certificate for each side, and another CA. The certificates have many names, so that messages are fragmented.
certificates() {
    local name address names; names=$(printf ',DNS:host-%s.interop.example' $(seq 40))
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$out/ca.key" -out "$out/ca.pem" -days 2 -subj "/CN=interop CA"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$out/other.key" -out "$out/other.pem" -days 2 -subj "/CN=another CA"
    for name in gateway:192.0.2.1 peer:192.0.2.2; do
        address=${name#*:} name=${name%:*}
        openssl req -newkey rsa:2048 -nodes -keyout "$out/$name.key" -out "$out/$name.csr" -subj "/CN=$name"
        openssl x509 -req -in "$out/$name.csr" -CA "$out/ca.pem" -CAkey "$out/ca.key" -set_serial "0x${address##*.}" -days 2 \
            -extfile <(echo "subjectAltName = IP:$address$names") -out "$out/$name.pem"
        openssl pkey -in "$out/$name.key" -pubout -out "$out/$name.pub"
    done
}

# configure IKE SA [PROTO [MODE]]: the gateway, with the proposals as the scripts of the peers have them; $life is the lifetime of both
# phases, $exchange the exchange of phase 1, $auth is psk, rsa, key (RSA without certificates) or hybrid, $ca the CA, $before are other
# certificates of the gateway, $xauth is the role of the peer in XAUTH and Mode Config, $push is on if the server of Mode Config begins,
# and $statements are others of the peer. With $version 6, all addresses are of IPv6.
configure() {
    local life=${life:-3600} exchange=${exchange:-main} method=psk certificate= ends back templates inward transforms
    local sa=$2 pfs= proto=${3:-esp} mode=${4:-tunnel}
    what=${title:-$proto $mode} us=192.168.1.1 them=192.168.2.1 nets='192.168.1.0/24 192.168.2.0/24' wire=$proto
    local hosts=(192.0.2.1 192.0.2.2) bits=32
    [ "${version:-4}" = 4 ] || {
        what+=', IPv6' us=fd00:1::1 them=fd00:2::1 nets='fd00:1::/64 fd00:2::/64' hosts=(2001:db8:2::1 2001:db8:2::2) bits=128
    }
    case ${2##*-} in modp*|ecp*) sa=${2%-*} pfs="pfs ${2##*-}";; esac
    local own=$us
    ends=${hosts[0]}-${hosts[1]} back=${hosts[1]}-${hosts[0]}
    [ "$mode" = tunnel ] || { us=${hosts[0]} them=${hosts[1]} nets="${hosts[*]}" ends= back=; }
    templates=$proto/$mode/$ends/require inward=$proto/$mode/$back/require transforms="$proto $sa $pfs lifetime $life;"
    if [ "$proto" = ipcomp ]; then
        templates="ipcomp/$mode/$ends/use esp/transport//require" inward="ipcomp/$mode/$back/use esp/transport//require"
        transforms="esp $sa $pfs lifetime $life; ipcomp deflate lifetime $life;" wire=esp
    fi
    match="meta l4proto $wire"
    # The peer sends to another port of a gateway behind a NAT.
    case ${encap:-no} in
    no) ;;
    translated) wire="ESP in UDP" match='th sport . th dport { 4500 . 30000-39999, 30000-39999 . 4500, 4500 . 4500 }' ;;
    *) wire="ESP in UDP" match="udp dport 4500" ;;
    esac
    case ${auth:-psk}:${xauth:-} in
    psk:) ;;
    *:) method=rsasig ;;
    hybrid:client) method=hybrid_rsa_server ;;
    hybrid:server) method=hybrid_rsa_client ;;
    *:client) method=xauth_${auth}_server ;;
    *:server) method=xauth_${auth}_client ;;
    esac
    case ${xauth:-} in
    client) nets='192.168.1.0/24 10.99.0.0/24' them=10.99.0.10
        certificate="users \"users.txt\"; mode_cfg { network4 10.99.0.10; pool_size 3; push ${push:-off}; };" ;;
    server) nets='0.0.0.0/0 192.168.2.0/24' us=10.99.0.10 own=
        certificate="xauth_login \"alice\"; mode_cfg $([ "${push:-off}" = on ] && echo push || echo on);" ;;
    esac
    case ${auth:-psk} in
    psk) ;;
    key) certificate='private_key "gateway.key"; peers_public_key "peer.pub";' ;;
    *) certificate+="${before:-} certificate \"gateway.pem\" \"gateway.key\"; ca \"${ca:-ca}.pem\";" ;;
    esac
    cat >"$out/gateway.conf" <<EOF
policies "setkey.conf"; keys "psk.txt";
local ${hosts[0]}; wan pk-tap; tun ipsec0${own:+ address $own/$bits};
peer $daemon address ${hosts[1]} {
    proposal ${1//-/ } $method lifetime $life; $transforms $certificate exchange_mode $exchange; ${statements:-}
}
EOF
    cat >"$out/setkey.conf" <<EOF
spdadd $nets any -P out ipsec $templates;
spdadd ${nets#* } ${nets% *} any -P in ipsec $inward;
EOF
    (umask 077; echo 'alice wonder land' >"$out/users.txt"; printf "${hosts[1]} a shared secret\nalice wonder land\n" >"$out/psk.txt")
}
start() {
    rm -f "$out/log"
    ip netns exec pk-dut "$gateway" -c "$out/gateway.conf" >"$out/log" 2>&1 & pid=$!
    until grep -qs 'the gateway runs' "$out/log"; do kill -0 $pid || { cat "$out/log"; exit 1; }; sleep 0.02; done
}
end() { { kill -"$1" $pid; wait $pid || true; } 2>/dev/null; }
start_peer() {
    local forced=${encap:-}
    VERSION=${version:-4} EXCHANGE=${exchange:-} AUTH=${auth:-} ENCAP=${forced/translated/no} XAUTH=${xauth:-} PROTO=${3:-} MODE=${4:-} "$peer" start "$1" "$2" >"$out/start" ||
        { cat "$out/start"; exit 1; }
}
# initiate ROLE: that side begins. The first packets of the gateway arrive before the peer has its SAs, as nothing confirms them.
initiate() {
    if [ "$1" = responder ]; then
        "$peer" initiate 10 >"$out/peer" || problems+="$daemon: $(tail -n 1 "$out/peer"); "
    elif [ "${xauth:-}" = server ]; then
        # The gateway has its address behind phase 1: the first packet has another one.
        local i; for ((i = 0; i < 12; i++)); do ! on ping -c 1 -W 1 $them >/dev/null 2>&1 || return 0; done
        problems+="no answer; "
    else
        on ping -c 1 -w "${WAIT:-12}" -i 0.3 -I $us $them >/dev/null 2>&1 || problems+="no answer; "
    fi
}

received() { sed -n 's/.* \([0-9]*\) received.*/\1/p'; }
pings() { # COUNT [INTERVAL]: both sides; prints how many answers each has received
    local options="-c $1 -i ${2:-0.2} -W 1 -s 1000 -p 61"
    "$peer" exec "ping $options -I $them $us" >"$out/theirs" & local theirs=$!
    on ping $options -I $us $them >"$out/ours" || true
    wait $theirs || true
    echo "$(received <"$out/ours") $(received <"$out/theirs")"
}
# Captured packets: those of the protocol, the long ones, and others than IKE and the protocol.
count_wire() {
    on nft 'table inet wire; delete table inet wire; table inet wire {
        counter right { }; counter long { }; counter other { }
        chain count { udp dport 500 return; udp sport 500 return; udp dport 4500 @th,64,32 0 return; udp sport 4500 @th,64,32 0 return
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report } return
            '$match' meta length > 400 counter name long
            '$match' counter name right return; counter name other; }
        chain enter { type filter hook prerouting priority -450; iifname pk-tap jump count; }
        chain leave { type filter hook postrouting priority 450; oifname pk-tap jump count; }
    }'
}
wire() { on nft list counter inet wire "$1" | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }
# transfer: 300 kB by TCP in each direction; prints what arrived complete.
transfer() {
    local connect='for i in $(seq 40); do timeout 10 nc -N -s' i; files=${TMPDIR:-/tmp}/interop.$(id -u)/run
    head -c 300000 /dev/urandom >"$files/sent"
    on timeout 12 nc -l $us 7000 >"$out/received" & local receiver=$!
    "$peer" exec "$connect $them $us 7000 </mnt/sent && exit; sleep 0.1; done"
    wait $receiver || true
    ! cmp -s "$files/sent" "$out/received" || echo received
    "$peer" exec "timeout 12 nc -l $them 7000 >/dev/shm/received; cmp -s /mnt/sent /dev/shm/received" & receiver=$!
    for i in $(seq 40); do ! on timeout 10 nc -N -s $us $them 7000 <"$files/sent" || break; sleep 0.1; done
    ! wait $receiver || echo sent
}
# traffic ROLE: pings both ways and transfers, and only the protocol on the wire.
traffic() {
    count_wire
    want "pings answered" "$(pings 3)" "3 3"
    want "packets of $wire, of 12" "$(wire right)" 12
    case $what in ipcomp*) want "packets that are not compressed" "$(wire long)" 0;; esac
    [ -n "$problems" ] || want transfers "$(transfer | xargs)" "received sent"
    want "packets of other protocols" "$(wire other)" 0
    logged "phase 1 with $daemon .* is established as $1" 1
}
sas() { # EXPECTED: number of SAs of the peer; waits for the expected one
    "$peer" exec "count() { $("$peer" count-sas) }
        for i in \$(seq 30); do [ \$(count) != $1 ] || break; sleep 0.1; done; count" || true
}

suite() { # IKE SA [PROTO [MODE]]: both roles, or those in $roles; the gateway deletes its SAs after each
    local role line
    configure "$@"; start_peer "$@"
    for role in ${roles:-responder initiator}; do
        start; initiate $role; traffic $role; end TERM
        # Pluto negotiates again what a command has started, as for a client.
        [ $daemon:${xauth:-} = pluto:client ] || want "SAs of $daemon after the deletion" "$(sas 0)" 0
        [ -z "${FRAGMENT:-}" ] || for line in "${fragment_lines[@]}"; do
            "$peer" log | grep -q "$line" || problems+="$daemon: no line with \`$line\`; "
        done
        row "$1 / $2" $role
    done
}
# combination EXCHANGE AUTH ENCAP: the peer forces NAT traversal as initiator if ENCAP is yes
combination() { exchange=$1 auth=$2 encap=$3 title="$1 $2$([ "$3" = no ] || echo ' in UDP')" suite $ike $sa; }
# client EXCHANGE AUTH: the peer is the client of XAUTH and Mode Config, then the server.
client() {
    exchange=$1 auth=$2 xauth=client roles=responder title="XAUTH $1 $2" suite $ike $sa
    want user "$(grep -c "$daemon is authenticated as user .alice." "$out/log")" 1; row "user of $daemon" responder
    exchange=$1 auth=$2 xauth=server roles=initiator title="XAUTH $1 $2" suite $ike $sa
    # The TUN interface remains, without the address: it is that of the peer in the next case.
    want "addresses that remain" "$(on ip addr show dev ipsec0 | grep -c 10.99.0.10)" 0
    want address "$(grep -c "$daemon has assigned the address 10.99.0.10" "$out/log")" 1; row "address of $daemon" initiator
}
# refusal NAME ROLE PATTERN [SECONDS]: the negotiation fails, the log has the reason, and no ping is answered.
refusal() {
    start
    [ "$2" = initiator ] || ! "$peer" initiate 1 >"$out/peer" || problems+="$daemon has an SA; "
    want "pings answered" "$(pings 3)" "0 0"
    logged "$3" "${4:-5}"
    want "SAs" "$(grep -c 'SA established' "$out/log")" 0
    end KILL
    row "$1" "$2" refusal
}
# renewal ROLE SECONDS IKE SA [PROTO [MODE]]: that side renews the SAs of both phases during pings. Those of the gateway live 10
# seconds, those of the peer 15, which it renews after 12 or less. No packet is lost but those that its kernel has counted, at most one
# at each renewal: it installs its SAs only after message 3 of quick mode, after which the gateway uses them (XfrmInNoStates),
# and its kernel finds no outbound SA for a moment (XfrmAcquireError, XfrmOutNoStates).
renewal() {
    local role=$1 count=$(($2 * 10)) times=$(($2 / 10)) ours theirs lost line; shift 2
    if [ $role = initiator ]; then
        life=10 configure "$@"; RENEW=no start_peer "$@"
    else
        configure "$@"; IKE_LIFE=15 ESP_LIFE=15 start_peer "$@"
    fi
    start; initiate $role; "$peer" exec 'cat /proc/net/xfrm_stat' >"$out/before"
    read -r ours theirs <<<"$(pings $count 0.1)"
    "$peer" exec 'cat /proc/net/xfrm_stat' >"$out/after"
    lost=$(paste "$out/before" "$out/after" | awk '{ n += $4 - $2 } END { print n + 0 }')
    want "pings answered, of $((2 * count)) without $lost" $((ours + theirs + lost)) $((2 * count))
    [ $lost -le $times ] || problems+="$lost packets were lost; "
    for line in "phase 1 with $daemon .* is established as $role" 'SA established: .* out '; do
        [ "$(grep -c "$line" "$out/log")" -gt $times ] || problems+="fewer than $((times + 1)) lines with \`$line\`; "
    done
    [ -z "$problems" ] || problems+="kernel of $daemon: $(diff "$out/before" "$out/after" | tr -s ' \t\n' ' ' || true)"
    end TERM
    row "renewal, $1 / $2" $role renewal
}
# restarts IKE SA [PROTO [MODE]]: the side that begins again has lost its SAs without a message.
restarts() {
    configure "$@"; start_peer "$@"
    start; initiate responder
    "$peer" kill; start_peer "$@"; initiate responder
    logged 'SA .* was removed: peer has restarted'
    traffic responder; row "restart of $daemon" responder restart
    restart_of_gateway
}
# restart_of_gateway: a gateway that has SAs is killed and started. Then the peer has as many SAs as before, or $remaining.
restart_of_gateway() {
    local expected; expected=${remaining:-$("$peer" exec "$("$peer" count-sas)")} || true
    end KILL; start
    "$peer" exec "ping -c 1 -w 12 -i 0.3 -I $them $us" >"$out/theirs" || problems+="no answer to $daemon; "
    logged "$daemon uses an SA that does not exist: a new one is negotiated"
    traffic initiator; want "SAs of $daemon" "$(sas "$expected")" "$expected"
    row "restart of the gateway" initiator restart
    end TERM
}
# deletions ROLE IKE SA: the peer deletes SAs that the gateway has negotiated in this role. The next packet starts a negotiation.
deletions() {
    configure "${@:2}"; start_peer "${@:2}"
    start; initiate "$1"
    "$peer" delete-sa >"$out/peer" || problems+="$daemon: $(tail -n 1 "$out/peer"); "
    logged 'SA .* in was removed: deleted by the peer'; logged 'SA .* out was removed: deleted by the peer'
    initiate initiator; traffic "$1"
    want "ISAKMP SAs" "$(grep -c 'is established as' "$out/log")" 1
    "$peer" delete-ike >"$out/peer" || problems+="$daemon: $(tail -n 1 "$out/peer"); "
    logged "phase 1 with $daemon has ended .*: deleted by the peer"
    initiate initiator; traffic initiator
    end TERM
    row "deletion by $daemon" "$1" deletion
}
# dead_peer IKE SA [PROTO [MODE]]: the peer ends without a message. The gateway removes its SAs, and negotiates with its successor.
dead_peer() {
    statements="${statements:-} dpd_delay 1; dpd_retry 1; dpd_maxfail 2;" configure "$@"; start_peer "$@"
    start; initiate initiator
    "$peer" kill
    on ping -c 8 -i 0.5 -W 1 -I $us $them >/dev/null 2>&1 || true
    logged "$daemon (.*) has not answered dead peer detection"
    for direction in in out; do logged "SA .* $direction was removed: peer is dead"; done
    start_peer "$@"; initiate initiator; traffic initiator
    end TERM
    row "dead peer detection" initiator dead-peer
}
# dead_gateway IKE SA [PROTO [MODE]]: the gateway answers dead peer detection until it is killed. Then the peer removes its SAs.
dead_gateway() {
    local i
    configure "$@"; DPD=1 start_peer "$@"
    start; initiate responder; traffic responder; sleep 2
    want "answers to dead peer detection" "$("$peer" log | grep -c "$dpd_line" | sed 's/^[1-9].*/some/')" some
    [ "$(sas 0)" -gt 0 ] || problems+="$daemon has removed its SAs; "
    end KILL
    for i in 1 2 3 4; do [ "$(sas 0)" != 0 ] || break; done
    want "SAs of $daemon whose peer was killed" "$(sas 0)" 0
    start; initiate responder; traffic responder
    end TERM
    row "dead peer detection by $daemon" responder dead-peer
}
# every_step IKE SA [PROTO [MODE]]: what can happen to a tunnel, with each side as initiator
every_step() {
    local role
    suite "$@"
    for role in initiator responder; do renewal $role 15 "$@"; deletions $role "$@"; done
    dead_peer "$@"; dead_gateway "$@"; restarts "$@"
}
# of_racoon_conf: the peer of a racoon.conf, with which both sides send 96 bits of HMAC-SHA2-256.
of_racoon_conf() {
    local ike=aes128-sha1-modp1024 sa=aes128-sha256
    configure $ike $sa; what="racoon.conf, 96 bits"; export TRUNCATED=yes; start_peer $ike $sa
    sed -i "/^peer/,\$d" "$out/gateway.conf"
    echo 'file "racoon.conf"; defaults racoon 192.0.2.2;' >>"$out/gateway.conf"
    cat >"$out/racoon.conf" <<'EOF'
remote 192.0.2.2 {
    exchange_mode main; proposal_check obey;
    proposal { encryption_algorithm aes 128; hash_algorithm sha1; authentication_method pre_shared_key; dh_group 2; }
}
sainfo anonymous { encryption_algorithm aes 128; authentication_algorithm hmac_sha256; compression_algorithm deflate; }
EOF
    for role in responder initiator; do start; initiate $role; daemon=192.0.2.2 traffic $role; end TERM; row "$ike / $sa" $role; done
    unset TRUNCATED
}
# translated EXCHANGE IKE SA: a NAT in the namespace of the gateway changes the ports of what it sends, so that it begins.
translated() {
    on nft 'table ip translation { chain leave { type nat hook postrouting priority srcnat
        oifname pk-tap udp sport { 500, 4500 } masquerade to :30000-39999 random; }; }'
    local exchange=$1 title="$1 psk, NAT" encap=translated; shift
    configure "$@"; start_peer "$@"
    start; initiate initiator; traffic initiator
    logged "this host is behind a NAT: ESP with $daemon is sent in UDP" 1
    want "ports of the gateway that $daemon sees" "$("$peer" exec 'ip xfrm state' | grep -c 'sport 3[0-9]\{4\} dport 4500')" 1
    end TERM
    want "SAs of $daemon after the deletion" "$(sas 0)" 0
    row "$1 / $2" initiator
    if [ -n "${all:-}" ]; then
        renewal initiator 15 "$@"; deletions initiator "$@"; dead_peer "$@"
        # After aggressive mode charon ignores INITIAL-CONTACT, and replaces its outbound SA only.
        local remaining=${remaining:-$([ $exchange = main ] && echo 2 || echo 3)}
        configure "$@"; start_peer "$@"; start; initiate initiator; restart_of_gateway
    fi
    on nft delete table ip translation
}
# finish_part VERSION: the number of cases, with the version of the peer; fails if one has failed
finish_part() { echo "$passed of $((passed + failed)) cases in $SECONDS s; peer: $1"; [ $failed = 0 ]; }
