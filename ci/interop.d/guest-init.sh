#!/bin/sh
# The first process of the peer's kernel (peer-kernel.sh). Its root is the host's file system, read-only.
set -u
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm; mount -t tmpfs tmpfs /dev/shm
for word in $(cat /proc/cmdline); do case $word in pk.io=*) io=${word#pk.io=};; esac; done
case $io in
hostfs:*) mount -t hostfs none /mnt -o "${io#*:}" ;;
9p:*) mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 io /mnt ;;
esac
# The modules are not in /lib/modules. The kernel calls modprobe too, but without the GLIBC_TUNABLES that user-mode-linux needs.
printf '#!/bin/sh\nexec /sbin/modprobe -d /mnt "$@"\n' >/mnt/bin/modprobe; chmod +x /mnt/bin/modprobe
case $io in hostfs:*) echo ;; *) echo /mnt/bin/modprobe ;; esac >/proc/sys/kernel/modprobe
export PATH=/mnt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/dev/shm TMPDIR=/dev/shm
cd /dev/shm
hostname peer

modprobe -a xfrm_user af_key esp4 esp6 ah4 ah6 ipcomp ipcomp6 xfrm4_tunnel xfrm6_tunnel
modprobe -aq jitterentropy_rng drbg seqiv echainiv authenc authencesn crypto_null cbc ctr ecb gcm ghash-generic ccm xcbc cmac hmac \
    md5 sha1_generic sha256_generic sha512_generic rmd160 aes_generic des_generic blowfish_generic cast5_generic camellia_generic \
    serpent_generic twofish_generic chacha20poly1305 chacha_generic poly1305_generic deflate af_packet dummy tun

[ -e /sys/class/net/vec0 ] && ip link set vec0 name eth0
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.send_redirects=0 net.ipv6.conf.eth0.router_solicitations=0
ip link set lo up
ip addr add 192.168.2.1/24 dev lo
ip addr add fd00:2::1/64 dev lo
ip link set eth0 up
ip addr add 192.0.2.2/24 dev eth0
ip addr add 2001:db8:2::2/64 dev eth0 nodad
ip route add 192.168.1.0/24 via 192.0.2.1 src 192.168.2.1
ip route add fd00:1::/64 via 2001:db8:2::1 src fd00:2::1
# ESP in UDP is received only with a socket that is configured for it, and past a transport policy only where the socket bypasses policies.
python3 - <<'P' &
import socket, struct, time
IP_XFRM_POLICY, IPV6_XFRM_POLICY, UDP_ENCAP, ESPINUDP = 17, 35, 100, 2
sockets = []
for family, level, option in ((socket.AF_INET, socket.IPPROTO_IP, IP_XFRM_POLICY),
                              (socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_XFRM_POLICY)):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(level, socket.IPV6_V6ONLY, 1)
    for direction in 0, 1:
        s.setsockopt(level, option, struct.pack("40xH14x96x8xB7x", family, direction))
    s.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, ESPINUDP)
    s.bind(("", 4500))
    sockets.append(s)
while True:
    time.sleep(1000)
P
echo $! >/dev/shm/espinudp.pid
for i in $(seq 100); do ss -Hlun6 | grep -q :4500 && break; sleep 0.1; done

echo "Linux $(uname -r)" >/mnt/ready.new; mv /mnt/ready.new /mnt/ready
n=1
while [ ! -e /mnt/stop ]; do
    if [ -e "/mnt/cmd.$n" ]; then
        sh "/mnt/cmd.$n" >"/mnt/out.$n" 2>&1 </dev/null
        echo $? >"/mnt/status.$n.new"; mv "/mnt/status.$n.new" "/mnt/status.$n"
        n=$((n + 1))
    else
        sleep 0.02
    fi
done
echo o >/proc/sysrq-trigger
sleep 5
