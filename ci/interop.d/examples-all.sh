# Part of ci/interop.d/examples: what `--all` adds to a pair.

# Dead peer detection after a second in files of racoon, isakmpd and gateway.conf, after five seconds in rules of ipsec.conf(5), and a
# phase 1 of the handbook that lives for a minute.
shorten_times() {
    sed -i -E 's/^(\s*)(proposal_check \w+;|check obey;)/\1dpd_delay 1; dpd_retry 1; dpd_maxfail 2; \2/
        s/^(DPD-check-interval=\s*).*/\11/; s/lifetime time 24 hour;/lifetime time 1 min;/; s/^ike esp/ike dynamic esp/' \
        "$out"/files/*racoon.conf "$out"/files/*.gateway.conf "$out"/files/*isakmpd.conf "$out"/files/*.ipsec.conf 2>/dev/null || true
}
# Deletion by one side, and the next initiator.
delete_and_initiate() { # SIDE INITIATOR
    step=deletion; ctl "$1" delete "$(peer_of "$1")" >/dev/null
    wait_for has_none "$(other "$1")" || true
    check "SAs of both sides after a deletion by side $1" "$(sas a) $(sas b)" "0 0"
    step=$(role "$2")
    check "pings, side $2 initiates" "$(pings "$2")" 3
}
renew_under_traffic() { # SIDE
    local before; before=$(established "$1"); step=renewal
    # A negotiation within 30 seconds of one of the other side would have crossed it.
    sleep 31
    pings "$1" 80 0.05 >"$out/answers" & local traffic=$!
    sleep 1; ctl "$1" rekey >/dev/null; wait $traffic
    check "pings during a renewal by side $1" "$(cat "$out/answers")" 80
    check "new SAs of side $1" $(($(established "$1") - before)) 2
}
renew_phase_1_under_traffic() {
    local before; before=$(isakmp_sas); step=renewal
    check "pings for a minute" "$(pings a 1200 0.05)" 1200
    check "ISAKMP SAs were renewed" "$([ "$(isakmp_sas)" -gt "$before" ] && echo yes || echo no)" yes
}
isakmp_sas() { grep -c "phase 1 with .* is established" "$out/a.log" || true; }
restart() { # SIDE INITIATOR: the other side detects that it is dead
    local alive; alive=$(other "$1")
    step=dead-peer; end "$1" KILL
    pings_alone "$alive" & local traffic=$!
    wait_for has_none "$alive" || true
    check "SAs of side $alive whose peer was killed" "$(sas "$alive")" 0
    kill $traffic 2>/dev/null || true
    step=restart; start "$1"
    check "pings after a restart of side $1, side $2 initiates" "$(pings "$2")" 3
}
pings_alone() { local own peer; read -r own peer < <(ends "$1"); on "$1" ping -i 0.5 -I "$own" "$peer" >/dev/null 2>&1; }
# Pairs without a common transform: the responder refuses phase 1, and logs the reason.
refused() {
    step=refusal; pings_at_once a >/dev/null || true
    wait_for grep -qs 'NO-PROPOSAL-CHOSEN' "$out/a.log" || true
    check "refusals by side b that side a logs" "$(grep -c 'NO-PROPOSAL-CHOSEN' "$out/a.log" || true)" 1
    check "SAs of both sides" "$(sas a) $(sas b)" "0 0"
}
