//! Replies of the daemon as text.

use std::fmt::Write as _;

use ipsec_gateway::control::protocol::{CounterEntry, PolicyEntry, Reply, SaEntry, Status};

/// Returns a reply as text.
pub fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done(lines) | Reply::Error(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
        Reply::Status(status) => self::status(status),
        Reply::Counters(values) => counters(values),
        Reply::Keys(rows) => {
            let table = |name: &str, rows: &[String]| format!("# {name}\n{}", lines(rows));
            table("ikev1_decryption_table", &rows.ikev1_decryption_table) + &table("esp_sa", &rows.esp_sa)
        }
        Reply::Setkey(output) => output.text.clone(),
        Reply::Sas(page) => page.entries.iter().map(|sa| format!("{}\n", sa.text)).collect(),
        Reply::Policies(page) => page.entries.iter().map(|policy| format!("{}\n", policy.text)).collect(),
        Reply::Event(event) => format!("{}: {}: {}\n", event.time, event.level, event.text),
    }
}

fn lines(rows: &[String]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// Returns the texts of entries, or another text if there are none.
pub fn entries<'t>(texts: impl Iterator<Item = &'t str>, none: &str) -> String {
    let all: String = texts.map(|text| format!("{text}\n")).collect();
    if all.is_empty() { format!("{none}\n") } else { all }
}

/// Returns a time in seconds with its largest units.
fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn status(status: &Status) -> String {
    let Status { version, uptime, sas, policies, peers } = status;
    let mut text = format!("ipsec-gatewayd {version}, up {}: {sas} SAs, {policies} policies\n", duration(*uptime));
    for peer in peers {
        let address = peer.address.as_deref().unwrap_or("any address");
        let (established, all) = (peer.established, peer.policies);
        text += &format!("{} ({address}): {established} of {all} policies established", peer.name);
        if peer.negotiating > 0 {
            text += &format!(", {} negotiating", peer.negotiating);
        }
        text.push('\n');
        for sa in &peer.isakmp_sas {
            let udp = if sa.in_udp { ", ESP in UDP" } else { "" };
            let (age, left) = (duration(sa.age), duration(sa.expires_in));
            text += &format!(
                "    phase 1 {} {} {}: {}{udp}, {}, since {age}, expires in {left}\n",
                sa.local, sa.remote, sa.role, sa.algorithms, sa.cookies
            );
        }
    }
    text
}

/// Returns the counters that are not 0.
fn counters(counters: &[CounterEntry]) -> String {
    let mut text = String::new();
    for CounterEntry { part, direction, name, value } in counters.iter().filter(|counter| counter.value > 0) {
        let part = direction.as_ref().map_or_else(|| part.clone(), |direction| format!("{part} {direction}"));
        let _ = writeln!(text, "{part:<12} {name:<56} {value:>12}"); // a String takes everything
    }
    text
}

/// Returns SAs and policies in the format of `ipsecctl -sa`.
pub fn ipsecctl(sas: &[SaEntry], policies: &[PolicyEntry]) -> String {
    let mut text = "FLOWS:\n".to_owned();
    for policy in policies {
        let (protocol, peer) = policy.first.clone().unwrap_or_else(|| ("esp".to_owned(), None));
        let peer = peer.map(|peer| format!(" peer {peer}")).unwrap_or_default();
        let kind = match policy.action.as_str() {
            "ipsec" => "require",
            "discard" => "deny",
            _ => "bypass",
        };
        let PolicyEntry { direction, source, destination, .. } = policy;
        let with = |word: &str, value: &Option<String>| value.as_ref().map(|value| format!(" {word} {value}"));
        let upper = with("proto", &policy.protocol).unwrap_or_default();
        let [from, to] = [&policy.source_ports, &policy.destination_ports].map(|own| with("port", own));
        let icmp = policy.icmp.as_ref().map(|icmp| format!(" icmp-type {}", icmp.replace(',', " code ")));
        let (from, to, icmp) = (from.unwrap_or_default(), to.unwrap_or_default(), icmp.unwrap_or_default());
        text += &format!(
            "flow {protocol} {direction}{upper} from {source}{from} to {destination}{to}{icmp}{peer} type {kind}\n"
        );
    }
    if policies.is_empty() {
        text += "No flows\n";
    }
    text += "\nSAD:\n";
    for sa in sas {
        let SaEntry { protocol, mode, source, destination, spi, .. } = sa;
        text += &format!("{protocol} {mode} from {source} to {destination} spi {spi:#010x}");
        for (word, algorithm) in [("auth", &sa.integrity), ("enc", &sa.cipher), ("comp", &sa.compression)] {
            if let Some(algorithm) = algorithm {
                text += &format!(" {word} {}", openbsd_name(&algorithm.to_lowercase()));
            }
        }
        text.push('\n');
    }
    if sas.is_empty() {
        text += "No entries\n";
    }
    text
}

/// Returns the name that OpenBSD shows for an algorithm: without CBC, and without the length of the ICV.
fn openbsd_name(name: &str) -> &str {
    match name {
        "aes-cbc" => "aes",
        "aes-ctr" => "aesctr",
        "blowfish-cbc" => "blowfish",
        "cast128-cbc" => "cast128",
        "aes-gcm-16" => "aes-gcm",
        "hmac-md5-96" => "hmac-md5",
        "hmac-sha1-96" => "hmac-sha1",
        "hmac-ripemd160-96" => "hmac-ripemd160",
        "hmac-sha2-256-128" => "hmac-sha2-256",
        "hmac-sha2-384-192" => "hmac-sha2-384",
        "hmac-sha2-512-256" => "hmac-sha2-512",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use ipsec_gateway::control::protocol::{IsakmpEntry, KeyRows, PeerEntry};

    use super::*;

    #[test]
    fn status_has_a_line_for_each_peer_and_isakmp_sa() {
        let sa = IsakmpEntry {
            local: "192.0.2.1[500]".to_owned(),
            remote: "192.0.2.2[500]".to_owned(),
            role: "initiator".to_owned(),
            cookies: "0102030405060708:1112131415161718".to_owned(),
            algorithms: "AES-CBC 128, SHA, MODP2048, pre-shared key".to_owned(),
            in_udp: false,
            age: 61,
            expires_in: 28_739,
        };
        let peer = |name: &str, isakmp_sas, negotiating| PeerEntry {
            name: name.to_owned(),
            address: (negotiating == 0).then(|| "192.0.2.2[500]".to_owned()),
            isakmp_sas,
            policies: 2,
            established: 1,
            negotiating,
        };
        let peers = vec![peer("east", vec![sa], 0), peer("road", Vec::new(), 1)];
        let status = Status { version: "1.2.3".to_owned(), uptime: 90_061, sas: 4, policies: 6, peers };
        let expected = "ipsec-gatewayd 1.2.3, up 25 h 1 min: 4 SAs, 6 policies\n\
            east (192.0.2.2[500]): 1 of 2 policies established\n    \
            phase 1 192.0.2.1[500] 192.0.2.2[500] initiator: AES-CBC 128, SHA, MODP2048, pre-shared key, \
            0102030405060708:1112131415161718, since 61 s, expires in 7 h 58 min\n\
            road (any address): 1 of 2 policies established, 1 negotiating\n";
        assert_eq!(reply(&Reply::Status(status)), expected);
    }

    #[test]
    fn key_tables_are_printed_with_their_names() {
        let rows = KeyRows { ikev1_decryption_table: vec!["01,02".to_owned()], esp_sa: Vec::new() };
        assert_eq!(reply(&Reply::Keys(rows)), "# ikev1_decryption_table\n01,02\n# esp_sa\n");
    }

    #[test]
    fn databases_are_printed_like_ipsecctl() {
        assert_eq!(ipsecctl(&[], &[]), "FLOWS:\nNo flows\n\nSAD:\nNo entries\n");
        let policy = PolicyEntry {
            number: 1,
            direction: "out".to_owned(),
            source: "10.1.0.0/24".to_owned(),
            destination: "10.2.0.0/24".to_owned(),
            protocol: None,
            source_ports: None,
            destination_ports: None,
            icmp: None,
            action: "ipsec".to_owned(),
            templates: Vec::new(),
            first: Some(("esp".to_owned(), Some("192.0.2.2".to_owned()))),
            text: String::new(),
        };
        let flow = "flow esp out from 10.1.0.0/24 to 10.2.0.0/24 peer 192.0.2.2 type require\n";
        assert!(ipsecctl(&[], std::slice::from_ref(&policy)).contains(flow));
        let some = |text: &str| Some(text.to_owned());
        let tcp = PolicyEntry { protocol: some("tcp"), destination_ports: some("80"), ..policy.clone() };
        let icmp = PolicyEntry { protocol: some("icmp"), icmp: some("3,4"), ..policy };
        let text = ipsecctl(&[], &[tcp, icmp]);
        assert!(text.contains("flow esp out proto tcp from 10.1.0.0/24 to 10.2.0.0/24 port 80 peer"), "{text}");
        assert!(
            text.contains("flow esp out proto icmp from 10.1.0.0/24 to 10.2.0.0/24 icmp-type 3 code 4 peer"),
            "{text}"
        );
        assert_eq!(openbsd_name("hmac-sha1-96"), "hmac-sha1");
    }
}
