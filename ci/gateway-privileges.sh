# Part of ci/gateway: the worker of `ipsec-gatewayd` without privileges, what the process with privileges does for it, and scripts.

worker_of() { pgrep -P "${pid[$1]}" | head -n 1; } # N
remaining() { ps -o pid= -p "$1" -p "$2" | wc -l; } # PID PID
field() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; } # PID NAME
worker=$(worker_of 1)
check "command of the worker" "$(tr '\0' ' ' <"/proc/$worker/cmdline")" "ipsec-gatewayd worker "
check "user of the worker" "$(field $worker Uid | tr '\t' ' ')" "$(for _ in 1 2 3 4; do id -u nobody; done | paste -sd ' ')"
check "group of the worker" "$(field $worker Gid | tr '\t' ' ')" "$(for _ in 1 2 3 4; do id -g nobody; done | paste -sd ' ')"
check "further groups of the worker" "$(field $worker Groups | tr -d ' ')" ""
check "capabilities of the worker" "$(for set in CapInh CapPrm CapEff CapAmb; do field $worker $set; done | sort -u)" 0000000000000000
check "new privileges of the worker" "$(field $worker NoNewPrivs)" 1
check "core dumps of the worker" "$(awk '/^Max core file size/ { print $5, $6 }' /proc/$worker/limits)" "0 0"
if grep -q 'WARNING: keys in memory may be written to swap space' "$out/1/log"; then
    echo "skipped locked memory of the worker: the system does not permit it"
else
    check "locked memory of the worker" "$(awk '/^VmLck/ { print ($2 > 1000) }' /proc/$worker/status)" 1
fi
check "process with privileges, sockets of IKE" "$(on g1 ss -Hulnp | grep -c "pid=${pid[1]}," || true)" 0

# A new local address: the process with privileges opens its sockets.
former=$(spis 1)
on g1 ip addr add 192.0.2.31/24 dev wan
cp "$out/1/gateway.conf" "$out/1/gateway.conf.old"; echo 'local 192.0.2.31;' >>"$out/1/gateway.conf"
under_traffic "reload with another local address" ctl 1 reload
check "reload with another local address, sockets" "$(on g1 ss -Huln | grep -c '192.0.2.31:\(500\|4500\) ')" 2
check "reload with another local address, SAs" "$(spis 1)" "$former"
mv "$out/1/gateway.conf.old" "$out/1/gateway.conf"; ctl 1 reload >/dev/null
check "reload without the local address, sockets" "$(on g1 ss -Huln | grep -c '192.0.2.31:' || true)" 0
echo 'user "daemon";' >>"$out/1/gateway.conf"
check "reload with another user" "$(ctl 1 reload 2>&1 | grep -c 'changed statements: `user`;')" 1

# A changed file of keys that only root can read is used without a reload.
for n in 1 2; do echo "192.0.2.$((3 - n)) a changed secret" >"$out/$n/psk.txt"; done
ctl 1 delete other >/dev/null; sleep 5.5
check "changed keys, pings answered" "$([ "$(pings h1 10.2.0.2 15)" -ge 8 ] && echo most)" most

# The end of one process is the end of the other. Cleartext does not pass.
end_both() { # TEXT PID: kills one process of gateway 1, and waits for the end of both
    local worker status=0; worker=$(worker_of 1)
    kill -9 "$2"; { wait "${pid[1]}" || status=$?; } 2>/dev/null
    check "$1, processes that remain" "$(until_is 0 remaining "${pid[1]}" "$worker")" 0
    check "$1, exit status" $status 137
}
end_both "process with privileges killed" "${pid[1]}"
check "process with privileges killed, injected cleartext arrives" "$(inject)" "0 host, 0 socket"
check "process with privileges killed, cleartext leaves" "$(leak)" 0
start 1
worker=$(worker_of 1)
check "user of the worker by the statement" "$(field $worker Uid | tr '\t' ' ')" "$(for _ in 1 2 3 4; do id -u daemon; done | paste -sd ' ')"
end_both "worker killed" $worker
named "worker killed" 1 'the worker was ended by signal 9'
check "worker killed, injected cleartext arrives" "$(inject)" "0 host, 0 socket"
check "worker killed, cleartext leaves" "$(leak)" 0
check "worker started by hand, messages" "$("$gateway" worker 2>&1 </dev/null | grep -c 'privileges')" 1

# Scripts of racoon.conf, with the environment of phase 1. One that other users can change is not run.
mkdir -m 755 "$out/1/scripts"
sed -i 's/^peer other.*/file "racoon.conf";/; /^user/d' "$out/1/gateway.conf"
cat >"$out/1/racoon.conf" <<E
path script "scripts";
remote 192.0.2.2 {
    exchange_mode main; script "event.sh" phase1_up; script "event.sh" phase1_down; script "open.sh" phase1_up;
    proposal { encryption_algorithm aes; hash_algorithm sha1; authentication_method pre_shared_key; dh_group 14; }
}
sainfo anonymous { encryption_algorithm aes; authentication_algorithm hmac_sha1; compression_algorithm deflate; }
E
cat >"$out/1/scripts/event.sh" <<'E'
#!/bin/sh
{ id -u; env | grep -v '^PWD=\|^_=\|^SHLVL=\|^OLDPWD=' | sort; } >"${0%/*}/$1.part" && mv "${0%/*}/$1.part" "${0%/*}/$1"
E
cp "$out/1/scripts/event.sh" "$out/1/scripts/open.sh"
chmod 755 "$out/1/scripts/event.sh"; chmod 777 "$out/1/scripts/open.sh"
start 1 -v -l "$out/1/file"
check "with scripts, pings answered" "$([ "$(pings h1 10.2.0.2 15)" -ge 8 ] && echo most)" most
cat >"$out/expected" <<'E'
0
LOCAL_ADDR=192.0.2.1
LOCAL_PORT=500
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
REMOTE_ADDR=192.0.2.2
REMOTE_ID=192.0.2.2
REMOTE_PORT=500
E
environment() { for _ in {1..40}; do [ ! -e "$out/1/scripts/$1" ] || break; sleep 0.1; done; cat "$out/1/scripts/$1"; } # EVENT
check "user and environment of a script for phase1_up" "$(environment phase1_up)" "$(cat "$out/expected")"
check "script that others can change" "$(grep -c 'script .*/open.sh: mode mismatch: got 0777, expected no write permission for group and others' "$out/1/file")" 1
mv "$out/1/file" "$out/1/file.old"; kill -HUP "${pid[1]}"
read_again() { grep -c 'configuration .*gateway.conf was read' "$out/1/file" 2>/dev/null || true; }
check "log file that was renamed" "$(until_is 1 read_again)" 1
end 1 TERM
check "user and environment of a script for phase1_down" "$(environment phase1_down)" "$(cat "$out/expected")"
configure 'a shared secret' 'aes128 sha1 modp2048'
end 2 TERM; start 1; start 2
sleep 0.5; pings h1 10.2.0.2 5 >/dev/null || true
