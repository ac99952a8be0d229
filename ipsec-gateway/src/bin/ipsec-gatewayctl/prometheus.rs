//! Counters and gauges in the text format of Prometheus.

use ipsec_gateway::control::protocol::{CounterEntry, PeerEntry, Status};

/// Name, description and value of a gauge of a peer.
type OfPeer = (&'static str, &'static str, fn(&PeerEntry) -> usize);

/// Returns the counters, and gauges of the peers.
pub fn write(counters: &[CounterEntry], status: &Status) -> String {
    let mut text = String::new();
    let parts = [
        ("engine", "Packets and octets of the IPsec engine."),
        ("ike", "Messages of key exchange."),
        ("state", "Writes of the state file."),
    ];
    for (part, help) in parts {
        let name = format!("ipsec_gateway_{part}_total");
        text += &format!("# HELP {name} {help}\n# TYPE {name} counter\n");
        for counter in counters.iter().filter(|counter| counter.part == part) {
            let direction = counter.direction.as_ref();
            let direction = direction.map(|own| format!("direction=\"{}\",", escaped(own))).unwrap_or_default();
            text += &format!("{name}{{{direction}counter=\"{}\"}} {}\n", escaped(&counter.name), counter.value);
        }
    }
    let gauges = [
        ("uptime_seconds", "Seconds since the daemon was started.", status.uptime),
        ("sas", "SAs in the SAD.", number(status.sas)),
        ("policies", "Policies in the SPD.", number(status.policies)),
    ];
    for (name, help, value) in gauges {
        text += &format!("{}ipsec_gateway_{name} {value}\n", gauge(name, help));
    }
    let of_peers: [OfPeer; 4] = [
        ("peer_isakmp_sas", "ISAKMP SAs with the peer.", |peer| peer.isakmp_sas.len()),
        ("peer_policies", "Policies whose SAs are negotiated with the peer.", |peer| peer.policies),
        ("peer_established", "Policies with the peer that have an outbound SA.", |peer| peer.established),
        ("peer_negotiating", "Policies with the peer that wait for a negotiation.", |peer| peer.negotiating),
    ];
    for (name, help, value) in of_peers {
        text += &gauge(name, help);
        for peer in &status.peers {
            text += &format!("ipsec_gateway_{name}{{peer=\"{}\"}} {}\n", escaped(&peer.name), value(peer));
        }
    }
    text
}

fn gauge(name: &str, help: &str) -> String {
    format!("# HELP ipsec_gateway_{name} {help}\n# TYPE ipsec_gateway_{name} gauge\n")
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Returns the value of a label with its escape sequences.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_types_labels_and_values() {
        let counter = |part: &str, direction: Option<&str>, value| CounterEntry {
            part: part.to_owned(),
            direction: direction.map(str::to_owned),
            name: "ESP \"packets\"".to_owned(),
            value,
        };
        let counters = [counter("engine", Some("in"), 7), counter("ike", None, 0), counter("state", None, 3)];
        let peer = PeerEntry {
            name: "a\\b".to_owned(),
            address: None,
            isakmp_sas: Vec::new(),
            policies: 2,
            established: 1,
            negotiating: 0,
        };
        let status = Status { version: String::new(), uptime: 5, sas: 4, policies: 6, peers: vec![peer] };
        let text = write(&counters, &status);
        for line in [
            "# TYPE ipsec_gateway_engine_total counter",
            "ipsec_gateway_engine_total{direction=\"in\",counter=\"ESP \\\"packets\\\"\"} 7",
            "ipsec_gateway_ike_total{counter=\"ESP \\\"packets\\\"\"} 0",
            "ipsec_gateway_state_total{counter=\"ESP \\\"packets\\\"\"} 3",
            "ipsec_gateway_uptime_seconds 5",
            "ipsec_gateway_peer_established{peer=\"a\\\\b\"} 1",
        ] {
            assert_eq!(text.lines().filter(|own| *own == line).count(), 1, "{line} in {text}");
        }
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), 10);
    }
}
