#!/usr/bin/env bash
# A network namespace of this machine as the host of a peer that needs no kernel of its own; addresses and interface as in peer-kernel.sh.
#   peer-namespace.sh up           creates the namespaces; exits with 77 if that is not possible
#   peer-namespace.sh exec 'CMD'   runs CMD on the peer, which has its own /run, /mnt and /dev/shm
#   peer-namespace.sh unpack PACKAGE PATTERN..   as in peer-kernel.sh
#   peer-namespace.sh down         ends the programs of the peer and removes the namespaces
# LIFE=1800 is the longest lifetime of the peer in seconds.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
base=${TMPDIR:-/tmp}/interop.$(id -u) run=$base/run

skip() { down; echo "skipped: $*"; exit 77; }
down() {
    local name; for name in pk-peer pk-dut; do
        ip netns pids $name 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
        ip netns del $name 2>/dev/null || true
    done
    rm -rf "$run"
}
host() { # NAMESPACE INTERFACE NUMBER
    ip -n "$1" link set lo up
    ip netns exec "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip -n "$1" addr add "192.168.$3.1/24" dev lo; ip -n "$1" addr add "fd00:$3::1/64" dev lo
    ip -n "$1" addr add "192.0.2.$3/24" dev "$2"; ip -n "$1" addr add "2001:db8:2::$3/64" dev "$2" nodad
    ip -n "$1" link set "$2" up
    local other=$((3 - $3))
    [ "$1" = pk-dut ] || { ip -n "$1" route add "192.168.$other.0/24" via "192.0.2.$other" src "192.168.$3.1"
        ip -n "$1" route add "fd00:$other::/64" via "2001:db8:2::$other" src "fd00:$3::1"; }
}
up() {
    [ "$(id -u)" = 0 ] || { echo "skipped: the namespaces of the peer need root"; exit 77; }
    mkdir -m 700 "$base" 2>/dev/null || true
    { [ -O "$base" ] && [ ! -L "$base" ]; } || { echo "skipped: $base belongs to another user"; exit 77; }
    "$here/peer-kernel.sh" down; down
    mkdir -p -m 700 "$base"; mkdir -p "$run" "$base/cache"
    { ip netns add pk-dut && ip netns add pk-peer &&
        ip link add name pk-tap netns pk-dut type veth peer name eth0 netns pk-peer; } 2>/dev/null || skip "no network namespaces"
    [ -c /dev/net/tun ] || { mkdir -p /dev/net; mknod /dev/net/tun c 10 200; } 2>/dev/null || skip "no /dev/net/tun"
    host pk-dut pk-tap 1; host pk-peer eth0 2
    # A process keeps the mounts.
    timeout "${LIFE:-1800}" ip netns exec pk-peer unshare -m sh -c "mount --bind $run /mnt && mount -t tmpfs tmpfs /dev/shm &&
        touch /mnt/ready && echo \$\$ >/mnt/pid && exec sleep ${LIFE:-1800}" </dev/null >"$run/console" 2>&1 &
    disown
    local i; for ((i = 0; i < 100; i++)); do [ ! -s "$run/pid" ] || break; sleep 0.05; done
    [ -s "$run/pid" ] || skip "no mount namespace: $(cat "$run/console")"
    echo "peer: $(uname -sr), namespaces pk-dut and pk-peer"
}
peer_exec() { nsenter -t "$(cat "$run/pid")" -n -m timeout -k 1 "${T:-60}" sh -c "$*"; }

case ${1:-} in
up) up ;;
exec) shift; peer_exec "$@" ;;
unpack) "$here/peer-kernel.sh" "$@" ;;
down) down; rmdir "$base" 2>/dev/null || true ;;
*) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
esac
