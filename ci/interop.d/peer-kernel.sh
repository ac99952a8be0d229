#!/usr/bin/env bash
# Linux kernel as the IPsec peer, with keys set by `ip xfrm`.
#   peer-kernel.sh up           boots the kernel; exits with 77 if that is not possible
#   peer-kernel.sh exec 'CMD'   runs CMD on the peer and returns its output and status (124: no answer in ${T:-60} s)
#   peer-kernel.sh unpack PACKAGE PATTERN..   unpacks a Debian package, not installed, and prints the directory
#   peer-kernel.sh down         stops the kernel and removes everything except downloads
#   peer-kernel.sh clean        down, and removes the downloads
# Local namespace pk-dut: 192.0.2.1/24 and 2001:db8:2::1/64 on pk-tap, LANs 192.168.1.1/24 and fd00:1::1/64 on lo.
# The peer: 192.0.2.2 and 2001:db8:2::2 on eth0, LANs 192.168.2.1/24 and fd00:2::1/64 on lo, routes to the local LANs.
# PEER="uml qemu" are the ways to boot, tried in this order: Debian's user-mode-linux, or Debian's kernel in qemu's
# software emulation. LIFE=1800 is its longest lifetime in seconds.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
base=${TMPDIR:-/tmp}/interop.$(id -u) run=$base/run cache=$base/cache
export DEBIAN_FRONTEND=noninteractive

mkdir -m 700 "$base" 2>/dev/null || true
{ [ -O "$base" ] && [ ! -L "$base" ]; } || { echo "skipped: $base belongs to another user"; exit 77; }

skip() { remove; echo "skipped: $*"; exit 77; }
skip_missing() {
    [ "${CI:-}" != true ] || skip "packages are missing and cannot be installed:$missing"
    skip "packages are missing; CI=true or --install installs them:$missing"
}

missing=
# need COMMAND PACKAGE
need() { command -v "$1" >/dev/null || apt install -y -q --no-install-recommends --no-remove "$2" || { missing+=" $2"; return 1; }; }

# Packages are installed and downloaded only with CI=true, as in ci/install.sh.
apt() {
    [ "${CI:-}" = true ] || return
    local wait=(-o DPkg::Lock::Timeout=600)
    apt-get "${wait[@]}" "$@" >>"$run/apt" 2>&1 && return
    apt-get "${wait[@]}" update -q >>"$run/apt" 2>&1 && apt-get "${wait[@]}" "$@" >>"$run/apt" 2>&1
}

# A package's files in the cache, not installed; tar's patterns choose some of them.
unpack() {
    local name=$1 to=$cache/$1; shift
    [ -e "$to/.done" ] && return
    rm -rf "$to"; mkdir -p "$to"
    (cd "$to" && apt download "$name") || { missing+=" $name"; return 1; }
    dpkg-deb --fsys-tarfile "$to"/*.deb | tar -x -C "$to" --wildcards "$@" || return
    rm "$to"/*.deb; touch "$to/.done"
}

in_background() {
    timeout -k 5 "${LIFE:-1800}" ip netns exec pk-dut "$@" </dev/null >"$run/console" 2>&1 &
    echo $! >"$run/pid"; disown
}

boot_uml() {
    unpack user-mode-linux ./usr/bin/linux.uml './usr/lib/uml/modules' || return
    ln -sfn "$cache/user-mode-linux/usr/lib/uml/modules" "$run/lib/modules"
    # Registers that plain-fpu.py omits are lost at every page fault of the guest: no AVX in the C library.
    TMPDIR=$run in_background "$here/plain-fpu.py" "$cache/user-mode-linux/usr/bin/linux.uml" \
        mem=192M rootfstype=hostfs rootflags=/ ro quiet umid=pk uml_dir="$run/" con=null con0=fd:0,fd:1 \
        vec0:transport=tap,ifname=pk-tap,depth=128,gro=0,mac=02:00:00:00:00:02 \
        init="$here/guest-init.sh" pk.io=hostfs:"$run" \
        GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load,-FMA,-XSAVE,-XSAVEC
}

newest_image() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p'; }

boot_qemu() {
    local image version linux mods m n=10
    need qemu-system-x86_64 qemu-system-x86 && need busybox busybox-static || return
    image=$(ls "$cache" | grep -m1 '^linux-image-') || image=$(newest_image)
    [ -n "$image" ] || { apt update -q; image=$(newest_image); }
    [ -n "$image" ] || { missing+=" linux-image-amd64"; return 1; }
    unpack "$image" './boot/vmlinuz*' '*/kernel/'{arch,crypto,lib,net,fs,drivers/virtio,drivers/net}/\* '*/modules.*' || return
    version=${image#linux-image-} linux=$cache/$image
    [ -e "$linux/lib/modules/$version/modules.dep" ] || depmod -b "$linux" "$version"
    ln -sfn "$linux/lib/modules" "$run/lib/modules"
    # The first file system only finds the root, which is the one of this machine, read-only.
    mkdir -p "$run/initrd/root" "$run/initrd/bin"
    cp "$(command -v busybox)" "$run/initrd/bin/busybox"
    mods=$(modprobe -d "$linux" -S "$version" -aD virtio_pci virtio_net 9pnet_virtio 9p | sed -n 's/^insmod //p' | awk '!seen[$0]++')
    for m in $mods; do n=$((n + 1)); cp "$m" "$run/initrd/$n.ko"; done
    cat >"$run/initrd/init" <<INIT
#!/bin/busybox sh
for m in /*.ko; do /bin/busybox insmod \$m; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose root /root
exec /bin/busybox switch_root /root $here/guest-init.sh
INIT
    chmod +x "$run/initrd/init"
    (cd "$run/initrd" && find . | busybox cpio -o -H newc >"$run/initrd.cpio" 2>/dev/null)
    in_background qemu-system-x86_64 -accel tcg -cpu max -m 384 -nodefaults -no-user-config -no-reboot -display none -serial stdio \
        -kernel "$linux/boot/vmlinuz-$version" -initrd "$run/initrd.cpio" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 pk.io=9p:$run" \
        -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root \
        -fsdev local,id=io,path="$run",security_model=none -device virtio-9p-pci,fsdev=io,mount_tag=io \
        -netdev tap,id=net,ifname=pk-tap,script=no,downscript=no,vnet_hdr=off -device virtio-net-pci,netdev=net,mac=02:00:00:00:00:02,romfile=
}

alive() { kill -0 "$(cat "$run/pid" 2>/dev/null)" 2>/dev/null; }

stop() {
    [ -e "$run/pid" ] || return 0
    local pid i; pid=$(cat "$run/pid")
    touch "$run/stop"
    for i in $(seq 20); do kill -0 -- "-$pid" 2>/dev/null || break; sleep 0.1; done
    # `timeout` leads a process group, and so does user-mode-linux
    for pid in "$pid" $(cat "$run/pk/pid" 2>/dev/null); do
        # process numbers are reused: only processes that were started here
        grep -qsF -e "$run" -e pk-dut -e pk-tap "/proc/$pid/cmdline" && kill -KILL -- "-$pid" 2>/dev/null || true
    done
    rm -f "$run/pid"
}

namespace() {
    ip netns add pk-dut && ip -n pk-dut link set lo up && ip -n pk-dut tuntap add dev pk-tap mode tap || return
    ip netns exec pk-dut sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.pk-tap.router_solicitations=0
    ip -n pk-dut addr add 192.168.1.1/24 dev lo
    ip -n pk-dut addr add fd00:1::1/64 dev lo
    ip -n pk-dut addr add 192.0.2.1/24 dev pk-tap
    ip -n pk-dut addr add 2001:db8:2::1/64 dev pk-tap nodad
    ip -n pk-dut link set pk-tap up
}

up() {
    [ "$(id -u)" = 0 ] || { echo "skipped: the kernel peer needs root"; exit 77; }
    [ "$(uname -m)" = x86_64 ] || { echo "skipped: the kernel peer needs an x86-64 machine"; exit 77; }
    down
    mkdir -p -m 700 "$base"; mkdir -p "$run" "$cache"
    need ip iproute2 && need modprobe kmod && need ping iputils-ping && need python3 python3-minimal || skip_missing
    [ -c /dev/net/tun ] || { mkdir -p /dev/net; mknod /dev/net/tun c 10 200; } 2>/dev/null || skip "no /dev/net/tun"
    local way i start=$SECONDS
    for way in ${PEER:-uml qemu}; do
        rm -rf "$run"; mkdir -p "$run/lib" "$run/bin"
        ip netns del pk-dut 2>/dev/null || true
        namespace 2>/dev/null || skip "no tap device in a network namespace"
        "boot_$way" || { cp "$run/apt" "$base/console.$way" 2>/dev/null || true; continue; }
        start=$SECONDS
        for i in $(seq "$([ "$way" = uml ] && echo 300 || echo 1200)"); do
            alive && [ ! -e "$run/ready" ] || break; sleep 0.1
        done
        if [ -e "$run/ready" ] && alive; then
            echo "peer: $(cat "$run/ready") by $way, up in $((SECONDS - start)) s, namespace pk-dut"; return
        fi
        cp "$run/console" "$base/console.$way"
        stop
    done
    [ -z "$missing" ] || skip_missing
    skip "no Linux kernel can be started, tried ${PEER:-uml qemu} (see $base/console.*)"
}

peer_exec() {
    alive || { echo "the peer is not running"; return 125; }
    exec 9>"$run/lock"; flock 9
    local n i; n=$(($(cat "$run/seq" 2>/dev/null || echo 0) + 1)); echo "$n" >"$run/seq"
    printf '%s\n' "$*" >"$run/cmd.$n.new"; mv "$run/cmd.$n.new" "$run/cmd.$n"
    for i in $(seq $((${T:-60} * 50))); do
        [ -e "$run/status.$n" ] && break
        sleep 0.02
    done
    cat "$run/out.$n" 2>/dev/null || true
    [ -e "$run/status.$n" ] || { echo "the peer gave no answer"; return 124; }
    i=$(cat "$run/status.$n"); rm -f "$run"/*."$n"
    return "$i"
}

remove() {
    stop
    ip netns del pk-dut 2>/dev/null || true
    rm -rf "$run"
}

down() { remove; rm -f "$base"/console.*; rmdir "$base" 2>/dev/null || true; }

case ${1:-} in
up) up ;;
exec) shift; peer_exec "$@" ;;
unpack) shift; unpack "$@" || skip_missing; echo "$cache/$1" ;;
down) down ;;
clean) down; rm -rf "$base" ;;
*) echo "usage: $0 up | exec 'CMD' | unpack PACKAGE PATTERN.. | down | clean" >&2; exit 2 ;;
esac
