# Part of ci/gateway: SAs with manual keys whose sequence numbers and windows are in a file, through crashes and replays.

key=00112233445566778899aabbccddeeff
for n in 1 2; do
    other=$((3 - n))
    cat >"$out/$n/gateway.conf" <<EOT
policies "setkey.conf"; local 192.0.2.$n; wan wan; tun ipsec0 address 10.$n.0.1/32; control "control.sock"; state "state";
EOT
    cat >"$out/$n/setkey.conf" <<EOT
add 192.0.2.1 192.0.2.2 esp 0x1001 -m tunnel -r 8 -E aes-cbc 0x$key -A hmac-sha1 0x${key}01020304;
add 192.0.2.2 192.0.2.1 esp 0x1002 -m tunnel -r 8 -E aes-cbc 0x$key -A hmac-sha1 0x${key}05060708;
spdadd 10.$n.0.0/24 10.$other.0.0/24 any -P out ipsec esp/tunnel/192.0.2.$n-192.0.2.$other/require;
spdadd 10.$other.0.0/24 10.$n.0.0/24 any -P in ipsec esp/tunnel/192.0.2.$other-192.0.2.$n/require;
EOT
done
replays() { ctl "$1" counters | awk '$2 == "in" && /replay/ { sum += $NF } END { print sum + 0 }'; } # N
# replay FILE: sends the ESP packets to gateway 1 again, and prints how many there are and how many of them reach the host.
replay() {
    capture h1 lan replayed.pcap icmp
    ip netns exec $id-wan python3 - "$out/$1" <<'EOT'
import socket, struct, sys
wire = open(sys.argv[1], "rb").read()
at, sent = 24, 0
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
while at < len(wire):
    length = struct.unpack_from("<I", wire, at + 8)[0]
    packet = wire[at + 16 + 14 : at + 16 + length]
    at += 16 + length
    if packet[9] == 50 and packet[16:20] == bytes([192, 0, 2, 1]):
        out.sendto(packet, ("192.0.2.1", 0))
        sent += 1
print(sent, end=" sent, ")
EOT
    echo "$(captured replayed.pcap) delivered"
}

start 1; start 2
named "manual keys, first start" 1 'state file .* does not exist: SAs with manual keys begin with sequence number 1'
capture wan bridge state.pcap esp
check "manual keys, pings answered" "$(pings h1 10.2.0.2 5)" 5
captured state.pcap >/dev/null
check "state file, mode and keys" "$(stat -c %a "$out/1/state") $(grep -c $key "$out/1/state" || true)" "600 0"
sleep 1.2
end 1 KILL; start 1
check "killed without traffic, pings answered" "$(pings h1 10.2.0.2 5)" 5
check "killed without traffic, replays at both ends" "$(replays 1) $(replays 2)" "0 0"
sleep 1.2
end 1 KILL; start 1
check "packets of before the crash, sent again" "$(replay state.pcap)" "5 sent, 0 delivered"
check "packets of before the crash, refused as replays" "$(replays 1)" 5

# Killed while packets arrive: those that the file reserves are refused, but no packet is delivered twice.
capture wan bridge state.pcap esp
pings h1 10.2.0.2 40 >/dev/null & pinging=$!
sleep 2; end 1 KILL; wait $pinging || true; captured state.pcap >/dev/null
start 1
check "killed with traffic, packets that are delivered again" "$(replay state.pcap | sed 's/.*, //')" "0 delivered"
on h1 ping -q -c 100 -i 0.02 -W 1 10.2.0.2 >"$out/pings" || true
check "killed with traffic, pings answered of 100" \
    "$([ "$(sed -n 's/.* \([0-9]*\) received.*/\1/p' "$out/pings")" -ge 60 ] && echo most)" most
end 1 TERM; start 1
check "after a clean stop, pings answered" "$(pings h1 10.2.0.2)" 3

# SAs that were added to the running gateway continue after a crash only if gateway.conf says that their keys are stored.
cp "$out/1/gateway.conf" "$out/1/gateway.conf.old"; cp "$out/1/setkey.conf" "$out/1/setkey.conf.old"
sed -i 's/ state "state";/ state "state" keys; export_keys on;/' "$out/1/gateway.conf"; sed -i '/^add/d' "$out/1/setkey.conf"
end 1 TERM; start 1
grep '^add' "$out/1/setkey.conf.old" | ctl 1 setkey -c
check "added SAs, pings answered" "$(pings h1 10.2.0.2)" 3
sleep 1.2
check "state file with keys, mode and keys" "$(stat -c %a "$out/1/state") $(grep -c $key "$out/1/state")" "600 2"
end 1 KILL; start 1
check "killed with added SAs, pings answered" "$(pings h1 10.2.0.2)" 3
check "killed with added SAs, keys for Wireshark" "$(ctl 1 export-keys | grep -c $key)" 2
sed "/^add/!d; s/^add/update/; s/0x0011/0xff11/g" "$out/1/setkey.conf.old" | ctl 1 setkey -c; sleep 0.2
check "updated SAs, keys for Wireshark and in the state file" "$(ctl 1 export-keys | grep -c 0xff11) $(grep -c 0xff11 "$out/1/state") $(grep -c $key "$out/1/state" || true)" "2 2 0"
sed "/^add/!d; s/^add/update/" "$out/1/setkey.conf.old" | ctl 1 setkey -c
cp "$out/1/gateway.conf.old" "$out/1/gateway.conf"; end 1 TERM; start 1
named "keys no longer stored" 1 'state file .*: 2 SAs with keys are removed from it, and not added'
check "keys no longer stored, pings and keys" "$(pings h1 10.2.0.2) $(grep -c $key "$out/1/state" || true)" "0 0"
mv "$out/1/gateway.conf.old" "$out/1/gateway.conf"; mv "$out/1/setkey.conf.old" "$out/1/setkey.conf"
end 1 TERM; start 1
check "SAs of setkey.conf again, pings answered" "$(pings h1 10.2.0.2)" 3

# A directory in the place of the temporary file: nothing can be written.
sleep 1.2; mkdir "$out/1/state.new"
check "state file that cannot be written, pings answered" "$(pings h1 10.2.0.2 2)" 0
named "state file that cannot be written" 1 'ERROR: state file .*: packets of SAs with manual keys are refused'
check "state file that cannot be written, packets refused" \
    "$(ctl 1 counters | grep -c '^state .*packets refused without the state file *[1-9]')" 1
rmdir "$out/1/state.new"; sleep 1.2
check "state file that can be written again, pings answered" "$(pings h1 10.2.0.2)" 3
end 1 TERM; end 2 TERM
echo damaged >>"$out/1/state"
run_gateway 1 2>"$out/1/log" || true
named "damaged state file" 1 'the state file is damaged: line .*give them new keys at both ends, and remove the file'
sed -i 's/-E aes-cbc \(0x[0-9a-f]*\) -A hmac-sha1 0x[0-9a-f]*/-E aes-gcm-16 \101020304/' "$out/1/setkey.conf"
run_gateway 1 2>"$out/1/log" || true
named "counter mode with manual keys and a state file" 1 'nonce is the sequence number, which a missing or older state file repeats'
rm "$out"/?/state*
