#!/usr/bin/env bash
# Libreswan's pluto as the IKE peer, in the guest of peer-kernel.sh, whose kernel processes the packets: IKEv1, raw ESP, AH, IPComp,
# transport mode, ESP in UDP.
#   peer-libreswan.sh up               boots the kernel of peer-kernel.sh and unpacks pluto; exits with 77 if that is not possible
#   peer-libreswan.sh start IKE SA     ends pluto and starts it with these proposals, such as 3des-md5-modp1536 aes128-sha1; a group in
#                                      the second is PFS
#   peer-libreswan.sh initiate SECONDS       sends packets, for which pluto negotiates both phases: a connection that a command has
#                                            started would be renewed after each deletion
#   peer-libreswan.sh delete-sa, delete-ike   deletes the SAs of phase 2, or those of both phases
#   peer-libreswan.sh count-sas        prints a command that counts the SAs of phase 2 when it runs on the peer
#   peer-libreswan.sh log              its log without debugging lines
#   peer-libreswan.sh kill             ends it at once, without deletions
#   peer-libreswan.sh exec 'CMD'       a command in the guest
#   peer-libreswan.sh down             as that of peer-kernel.sh
# Environment of `start`: PROTO esp, ah or ipcomp; MODE tunnel or transport; EXCHANGE main or aggressive; AUTH psk or rsa, with the
# certificates of the directory PKI; ENCAP=yes pretends a NAT; IKE_LIFE and ESP_LIFE in seconds; RENEW no; DPD seconds; PSK; TS its network; FRAGMENT yes;
# XAUTH client or server, its part for the user `alice` with the password `wonder land` and the address 10.99.0.10; PULL no, the server
# of Mode Config begins;
# VERSION 6 for addresses of IPv6.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
kernel=$here/peer-kernel.sh
run=${TMPDIR:-/tmp}/interop.$(id -u)/run
guest() { "$kernel" exec "$@"; }

# The files of the packages, which are not installed, appear in one directory.
unpack_all() {
    local package directory directories=()
    for package in libreswan libldns3 libunbound8 libnss3 libnss3-tools libnspr4 libevent-core-2.1-7 libevent-2.1-7 \
        libevent-pthreads-2.1-7 libcurl3-nss; do
        directory=$("$kernel" unpack $package './usr/*') || return
        directories+=("$directory")
    done
    mkdir -p "$run/pluto"
    for package in "${directories[@]}"; do cp -a "$package/usr/." "$run/pluto/"; done
}

# The environment of the programs: no vector instructions, whose registers the guest loses.
programs='export LD_LIBRARY_PATH=/mnt/pluto/lib/x86_64-linux-gnu
    export NSS_DISABLE_AVX=1 NSS_DISABLE_AVX2=1 NSS_DISABLE_HW_AES=1 NSS_DISABLE_PCLMUL=1 NSS_DISABLE_HW_SHA1=1 NSS_DISABLE_HW_SHA2=1
    cd /dev/shm/pluto'

up() {
    "$kernel" up || exit $?
    unpack_all || { "$kernel" down; echo "skipped: the package libreswan is missing"; exit 77; }
    # Pluto starts its helpers by their installed path, and receives ESP in UDP itself.
    guest "kill \$(cat /dev/shm/espinudp.pid); mount -t tmpfs tmpfs /run; mkdir -p /run/pluto /dev/shm/pluto/nss
        mount --bind /mnt/pluto/libexec /usr/libexec; $programs
        echo >password; timeout 20 /mnt/pluto/bin/certutil -N -f password -d sql:nss" ||
        { "$kernel" down; echo "skipped: pluto cannot run in the guest"; exit 77; }
    ! ldd_missing || { "$kernel" down; echo "skipped: libraries of pluto are missing: $missing"; exit 77; }
}
ldd_missing() { missing=$(guest "$programs; ldd /usr/libexec/ipsec/pluto" | awk '/not found/ { print $1 }' | xargs); [ -n "$missing" ]; }

# import NAME: certificate and key of PKI
import() {
    openssl pkcs12 -export -passout pass: -name "$1" -in "$PKI/$1.pem" -inkey "$PKI/$1.key" -out "$run/$1.p12"
    cp "$PKI/ca.pem" "$run/ca.pem"
    guest "$programs; certutil=/mnt/pluto/bin/certutil
        \$certutil -A -f password -d sql:nss -n ca -t CT,, -i /mnt/ca.pem
        timeout 20 /mnt/pluto/bin/pk12util -i /mnt/$1.p12 -d sql:nss -k password -W ''" >/dev/null
}

# algorithms NAME: as pluto names them
algorithms() { sed -E 's/-(modp|ecp)/;\1/; s/;ecp(.*)/;ecp_\1/; s/sha(256|384|512)/sha2_\1/; s/aes([0-9]+)(gcm|ccm)16/aes_\2_c\1/; s/aes([0-9]+)ctr/aes_ctr\1/' <<<"$1"; }

start() {
    local mode=${MODE:-tunnel} own=192.0.2.2 other=192.0.2.1 networks=(192.168.2.0/24 192.168.1.0/24 192.168.2.1 192.168.1.1)
    local proto=${PROTO:-esp} pfs=no compress=no
    [ "${VERSION:-4}" = 4 ] || { own=2001:db8:2::2 other=2001:db8:2::1 networks=(fd00:2::/64 fd00:1::/64 fd00:2::1 fd00:1::1); }
    local ends="leftsubnet=${TS:-${networks[0]}}"$'\n\t'"rightsubnet=${networks[1]}"
    [ "$mode" = tunnel ] || ends=
    [ "$proto" != ipcomp ] || { proto=esp compress=yes; }
    case $2 in *-modp*|*-ecp*) pfs=yes;; esac
    local auth=$'authby=secret'
    if [ "${AUTH:-psk}" = rsa ]; then
        auth=$'authby=rsasig\n\tleftcert=peer\n\tleftid=192.0.2.2\n\trightid=192.0.2.1\n\tleftsendcert=always\n\trightca=%same'
        [ -e "$run/peer.p12" ] || import peer
    fi
    local xauth=
    case ${XAUTH:-} in
    client)
        xauth=$'leftxauthclient=yes\n\trightxauthserver=yes\n\tleftmodecfgclient=yes\n\trightmodecfgserver=yes\n\tleftusername=alice'
        ends="rightsubnet=${networks[1]}" ;;
    server)
        xauth=$'leftxauthserver=yes\n\trightxauthclient=yes\n\tleftmodecfgserver=yes\n\trightmodecfgclient=yes\n\txauthby=file'
        xauth+=$'\n\trightaddresspool=10.99.0.10-10.99.0.12' ends="leftsubnet=${networks[0]}" ;;
    esac
    [ -z "$xauth" ] || xauth+=$'\n\tmodecfgpull='${PULL:-yes}
    cat >"$run/ipsec.conf" <<C
config setup
	ikev1-policy=accept
	uniqueids=yes
	${FRAGMENT:+plutodebug=base}
conn net
	ikev2=no
	left=$own
	right=$other
	type=$mode
	$ends
	$auth
	aggressive=$([ "${EXCHANGE:-main}" = main ] && echo no || echo yes)
	ike=$(algorithms "$1")
	phase2=$proto
	phase2alg=$(algorithms "$2")
	pfs=$pfs
	compress=$compress
	encapsulation=$([ "${ENCAP:-no}" = no ] && echo auto || echo yes)
	fragmentation=$([ -n "${FRAGMENT:-}" ] && echo force || echo yes)
	$xauth
	ikelifetime=${IKE_LIFE:-3600}s
	salifetime=${ESP_LIFE:-3600}s
	rekey=${RENEW:-yes}
	rekeymargin=4s
	rekeyfuzz=0%
	${DPD:+dpddelay=$DPD}
	${DPD:+dpdtimeout=$((DPD * 3))}
	${DPD:+dpdaction=clear}
	leftupdown=/bin/true
	initial-contact=yes
	auto=add
C
    case $mode:${TS:-}${XAUTH:-} in
    tunnel:|tunnel:server) echo "-I ${networks[2]} ${networks[3]}" ;;
    tunnel:*) ;;
    *) echo $other ;;
    esac >"$run/ping"
    echo "$own $other : PSK \"${PSK:-a shared secret}\"" >"$run/ipsec.secrets"
    echo '@alice : XAUTH "wonder land"' >>"$run/ipsec.secrets"
    echo "alice:$(openssl passwd -5 'wonder land'):net" >"$run/passwd"
    kill_pluto
    guest "$programs; cp /mnt/ipsec.conf /mnt/ipsec.secrets /mnt/passwd .; chmod 600 ipsec.secrets passwd; rm -f log
        # What the script of updown would do.
        ip addr $([ "${XAUTH:-}" = client ] && echo replace || echo del) 10.99.0.10/32 dev lo 2>/dev/null
        /usr/libexec/ipsec/pluto --config \$PWD/ipsec.conf --secretsfile \$PWD/ipsec.secrets --nssdir \$PWD/nss --ipsecdir \$PWD \
            --rundir /run/pluto --logfile \$PWD/log
        for i in \$(seq 200); do
            grep -q '\"net\": added' log && grep -q 'loading secrets' log && exit; sleep 0.05
        done
        cat log; exit 1"
}
kill_pluto() {
    guest 'pid=$(cat /run/pluto/pluto.pid 2>/dev/null) || exit 0; kill -9 $pid 2>/dev/null; rm -f /run/pluto/*; ip xfrm state flush
        ip xfrm policy flush'
}

# whack SECONDS ARGUMENT ..: a command to pluto
whack() { guest "$programs; timeout $1 /usr/libexec/ipsec/whack --rundir /run/pluto ${*:2}"; }

initiate() {
    # No packet has an address of another network, or one that Mode Config has not assigned yet.
    if [ -s "$run/ping" ]; then whack 5 --route --name net; guest "ping -c 1 -i 0.3 -w $1 $(cat "$run/ping")"; else whack "$1" --initiate --name net; fi
}

case ${1:-} in
up) up ;;
start) start "$2" "$3" ;;
initiate) initiate "$2" ;;
delete-sa) for state in $(whack 5 --trafficstatus | sed -n 's/.*#\([0-9]*\): "net".*/\1/p'); do whack 5 --deletestate "$state"; done ;;
count-sas) echo "ip xfrm state | grep -c 'spi 0x0*[1-9a-f]';" ;;
delete-ike) whack 5 --terminate --name net ;;
# Fragments are in debugging lines.
log) guest "awk '!/ [|] / || /IKE fragment/' /dev/shm/pluto/log" | cut -d ' ' -f 4- ;;
kill) kill_pluto ;;
exec|down) "$kernel" "$@" ;;
*) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
esac
