# Part of ci/interop.d/examples: the commands of ipsec-gateway/README.md and ipsec-gateway/examples/README.md, as they are written.

# block FILE HEADING N: the Nth block of commands below a heading.
block() {
    awk -v heading="$2" -v wanted="$3" 'index($0, "### " heading) == 1 || index($0, "## " heading) == 1 { is_in = 1 }
        is_in && /^```$/ { is_shown = 0 } is_shown && count == wanted { print } is_in && /^```sh$/ { is_shown = 1; count++ }' "$1"
}

# two_machines LABEL BLOCK VALUES-A VALUES-B: the commands in two namespaces whose directories /run and /etc/ipsec-gateway are their own.
# Side b has VALUES-B in place of VALUES-A; hosts behind the gateways ping each other.
two_machines() {
    local label=$1 block=$2 side folder=/etc/ipsec-gateway made=
    local address_a=192.0.2.1 address_b=198.51.100.1 from=192.168.1.1 to=192.168.2.1
    block=$(sed -e "s/ wan=eth0 / wan=wan /; s|^cargo install .*|PATH=${gateway%/*}:\$PATH|" <<<"$block")
    [ -d $folder ] || { mkdir $folder; made=1; }
    connect
    for side in a b; do
        rm -f "$out/$side.log"
        # The commands turn forwarding on.
        on $side sysctl -qw net.ipv4.ip_forward=0
        [ $side = a ] || block=${block/"$3"/"$4"}
        on $side unshare -m bash -c "mount -t tmpfs none /run && mount -t tmpfs none $folder && { $block
            wait; }" >"$out/$side.log" 2>&1 &
    done
    wait_for grep -qs 'the gateway runs' "$out/a.log" || cat "$out/a.log"
    wait_for grep -qs 'the gateway runs' "$out/b.log" || cat "$out/b.log"
    for side in ha hb; do check "pings answered, from side $side" "$(pings $side)" 3; done
    for side in a b; do ip netns pids $id-$side | xargs -r kill; done
    wait 2>/dev/null || true
    remove
    [ -z "$made" ] || rmdir $folder
}
label="two machines"
lines=$(block ipsec-gateway/README.md "Two machines" 1)
check "lines of the README" "$(wc -l <<<"$lines")" 10
two_machines "two machines" "$lines" 'own=192.0.2.1 peer=198.51.100.1 net=192.168.1.0/24 far=192.168.2.0/24' \
    'own=198.51.100.1 peer=192.0.2.1 net=192.168.2.0/24 far=192.168.1.0/24'
two_machines "two machines with the files of the handbook" \
    "$(block ipsec-gateway/examples/README.md "Start of an example" 2)" 'side=a' 'side=b'

# The namespaces of the examples: their names begin with those of this run, and the programs may be in another directory.
label="README of the examples"
lines=$(block ipsec-gateway/examples/README.md "Start of an example" 1 | sed -e "s/ n=handbook$/ n=$id/; s|target/release/|$programs/|g")
namespaces+=(host-a host-b)
timeout 120 bash -c "$lines" >"$out/readme" 2>&1 || cat "$out/readme"
check "pings answered" "$([ "$(answers <"$out/readme")" -ge 1 ] && echo "at least one" || cat "$out/readme")" "at least one"
check "SAs that are shown" "$(grep -c 'esp mode=tunnel' "$out/readme" || true)" 2
check "namespaces that remain" "$(ip netns list | grep -c "^$id-" || true)" 0

if "$gateway" --demo >"$out/demo" 2>&1 && [ "$(grep -c ' 3 received' "$out/demo")" = 1 ] && ! ip netns list | grep -q ipsec-demo
then echo "ok      --demo: pings answered: 3"
else echo "FAIL    --demo"; cat "$out/demo"; failed=1; fi
