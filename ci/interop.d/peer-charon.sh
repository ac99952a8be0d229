#!/usr/bin/env bash
# strongSwan's charon as the IKEv1 peer, in the kernel of peer-kernel.sh, whose ESP, AH and IPComp it uses. With HOST=peer-namespace.sh it
# runs in a namespace and has ESP in user space.
#   peer-charon.sh up             boots the kernel; exits with 77 if that is not possible
#   peer-charon.sh start IKE SA   starts charon anew, without its earlier SAs. IKE and SA are proposals of both phases, such as
#                                 `aes128-sha1-modp2048` and `aes128-sha1`; for AH, SA is an integrity algorithm
#   peer-charon.sh kill           ends charon and removes its SAs; no message is sent
#   peer-charon.sh initiate SECONDS   negotiates both phases
#   peer-charon.sh delete-sa, delete-ike   deletes the SAs of phase 2, or those of both phases
#   peer-charon.sh count-sas      prints a command that counts the SAs of phase 2 when it runs on the peer
#   peer-charon.sh log            prints the log of charon
#   peer-charon.sh exec, down     as in peer-kernel.sh
# Variables of `start`: PROTO (esp, ah or ipcomp, which is IPComp and ESP), MODE (tunnel or transport), PSK, TS (network of the
# peer), VERSION=6 for addresses of IPv6, IKE_LIFE and ESP_LIFE in seconds; RENEW=no leaves the renewal of the SAs to the other side;
# TRUNCATED=yes sends 96 bits of HMAC-SHA2-256; DPD is the interval of dead peer detection in seconds, which takes three times as long.
# EXCHANGE (main or aggressive), AUTH (psk, rsa, key or hybrid), ENCAP=yes pretends a NAT, FRAGMENT is the length of IKE fragments in
# octets. With RSA, PKI is the directory of ca.pem, peer.pem and peer.key, or of peer.pub and gateway.pub. XAUTH (client or server) is
# the part of charon for the user `alice` with the password `wonder land`; the address of the client is 10.99.0.10, which it requests
# unless PULL=no.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
kernel=$here/${HOST:-peer-kernel.sh}
# ESP of user space has its interface, and charon makes the routes to it.
case $kernel in *peer-kernel.sh) user_space= ;; *) user_space=kernel-libipsec ;; esac

# The root of the guest is read-only: charon writes to /run, in memory. OpenSSL is not to use AVX there either.
on_guest() {
    "$kernel" exec "export STRONGSWAN_CONF=/run/strongswan.conf SWANCTL_DIR=/run
[ -z \"\${GLIBC_TUNABLES:-}\" ] || export OPENSSL_ia32cap=~0x1c00100000000000:0x0
$*"
}

up() {
    "$kernel" up || exit $?
    local files; files=$("$kernel" unpack strongswan-charon ./usr/lib/ipsec/charon) || { echo "$files"; exit 77; }
    # The socket of the guest for ESP in UDP has the port that charon needs.
    on_guest "[ ! -e /dev/shm/espinudp.pid ] || kill \$(cat /dev/shm/espinudp.pid); mount -t tmpfs tmpfs /run && ln -s $files/usr/lib/ipsec/charon /run/charon"
}

kill_charon='[ ! -e /run/charon.pid ] || { kill -9 $(cat /run/charon.pid); rm -f /run/charon.pid /run/charon.vici; }
[ -n "'$user_space'" ] || { ip xfrm state flush; ip xfrm policy flush; }'

# renewal SECONDS: time of the renewal, 0 for none
renewal() { [ "${RENEW:-}" = no ] && echo 0 || echo $(($1 * 8 / 10)); }

start() {
    local address=192.0.2.2 gateway=192.0.2.1 network=192.168.2.0/24 behind=192.168.1.0/24
    [ "${VERSION:-4}" = 4 ] || address=2001:db8:2::2 gateway=2001:db8:2::1 network=fd00:2::/64 behind=fd00:1::/64
    local networks="local_ts = ${TS:-$network}
                remote_ts = $behind"
    [ "${MODE:-tunnel}" = tunnel ] || networks=
    local users= addresses= pools=
    case ${XAUTH:-} in
    client) users="local-xa {
            auth = xauth
            xauth_id = alice
        }" addresses="vips = 0.0.0.0" networks="remote_ts = 192.168.1.0/24" ;;
    server) users="remote-xa {
            auth = xauth
        }" addresses="pools = pool" networks="local_ts = 192.168.2.0/24" pools="pools {
    pool {
        addrs = 10.99.0.10-10.99.0.12
    }
}" ;;
    esac
    local ike=${IKE_LIFE:-3600} esp=${ESP_LIFE:-3600} proposals=esp_proposals ipcomp=no
    case ${PROTO:-esp} in ah) proposals=ah_proposals;; ipcomp) ipcomp=yes;; esac
    local own="auth = psk" others="auth = psk" keys= fragments=
    if [ "${AUTH:-psk}" != psk ]; then
        own="auth = pubkey
            certs = $PKI/peer.pem" others="auth = pubkey
            cacerts = $PKI/ca.pem" keys="mkdir -p /run/private; cp $PKI/peer.key /run/private/"
    fi
    if [ "${AUTH:-}" = key ]; then
        own="auth = pubkey
            pubkeys = $PKI/peer.pub" others="auth = pubkey
            pubkeys = $PKI/gateway.pub"
    fi
    case ${AUTH:-}:${XAUTH:-} in
    hybrid:client) own="auth = xauth
            xauth_id = alice" users= ;;
    hybrid:server) others="auth = xauth" users= ;;
    esac
    [ -z "${FRAGMENT:-}" ] || fragments="fragmentation = force"
    on_guest "$kill_charon
rm -rf /run/private; $keys
cat >/run/strongswan.conf <<'E'
charon {
    load = random nonce x509 revocation constraints pubkey pkcs1 pkcs8 pem openssl hmac $user_space kernel-netlink socket-default vici${XAUTH:+ xauth-generic}
    install_routes = $([ -n "$user_space" ] && echo yes || echo no)
    i_dont_care_about_security_and_use_aggressive_mode_psk = yes
    ${FRAGMENT:+fragment_size = $FRAGMENT}
    retransmit_timeout = 1
    filelog {
        file {
            path = /run/charon.log
            append = no
            flush_line = yes
            default = 1
            ike = 2
            cfg = 2
        }
    }
    plugins {
        vici {
            socket = unix:///run/charon.vici
        }
        openssl {
            load_legacy = yes
        }
    }
}
swanctl {
    load = random pem pkcs1 pkcs8 x509 pubkey openssl
}
E
cat >/run/swanctl.conf <<'E'
connections {
    peer {
        version = 1
        local_addrs = $address
        remote_addrs = $gateway
        proposals = $1
        aggressive = $([ "${EXCHANGE:-main}" = aggressive ] && echo yes || echo no)
        encap = ${ENCAP:-no}
        pull = ${PULL:-yes}
        $fragments
        $addresses
        rekey_time = $(renewal "$ike")s
        over_time = $((ike - $(renewal "$ike")))s
        rand_time = 0
        ${DPD:+dpd_delay = ${DPD}s}
        ${DPD:+dpd_timeout = $((${DPD:-0} * 3))s}
        local {
            $own
            id = $address
        }
        remote {
            $others
            id = $gateway
        }
        $users
        children {
            net {
                $proposals = $2
                mode = ${MODE:-tunnel}
                ipcomp = $ipcomp
                $networks
                life_time = ${esp}s
                rekey_time = $(renewal "$esp")s
                rand_time = 0
                ${DPD:+dpd_action = clear}
                sha256_96 = ${TRUNCATED:-no}
            }
        }
    }
}
secrets {
    ike {
        secret = \"${PSK:-a shared secret}\"
    }
    xauth {
        id = alice
        secret = \"${PASSWORD:-wonder land}\"
    }
}
$pools
E
/run/charon >/run/charon.out 2>&1 &
for i in \$(seq 200); do [ ! -S /run/charon.vici ] || break; sleep 0.05; done
swanctl --load-all --uri unix:///run/charon.vici 2>&1 || { cat /run/charon.out; exit 1; }"
}

# The connection is `peer`, its child `net`.
swanctl() { on_guest "timeout 20 swanctl $* --uri unix:///run/charon.vici 2>&1"; }

case ${1:-} in
up) up ;;
start) shift; start "$@" ;;
kill) on_guest "$kill_charon" ;;
initiate) swanctl --initiate --child net --timeout "$2" ;;
delete-sa) swanctl --terminate --child net ;;
delete-ike) swanctl --terminate --ike peer ;;
count-sas)
    # Those of the kernel without an SPI are requested.
    if [ -z "$user_space" ]; then echo "ip xfrm state | grep -c 'spi 0x0*[1-9a-f]';"
    else echo "timeout 5 swanctl --list-sas --uri unix:///run/charon.vici | grep -cE '^ +(in|out) ';"; fi ;;
log) on_guest 'cat /run/charon.log' ;;
exec) shift; on_guest "$*" ;;
down) "$kernel" down ;;
*) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
esac
