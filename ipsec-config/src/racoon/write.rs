//! Text of racoon.conf(5) from its parsed form.

use std::fmt::{self, Display, Formatter};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use ike_codec::Group;

use super::names::{
    CHECKS, EC2N_GROUPS, ESP_CIPHERS, EXCHANGES, GENERATE_POLICY, GROUPS, HASHES, INTEGRITY, LOG_LEVELS,
    PHASE_1_CIPHERS, PROTOCOLS, SCRIPT_EVENTS, SWITCHES, name_of,
};
use super::quoted;
use super::syntax::{
    CertificateFiles, Extent, Identifier, PeersCertificate, Proposal, RacoonConf, Remote, RemoteValues, Sainfo,
    SainfoId,
};

const fn switch(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

impl Display for RacoonConf {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let paths = &self.paths;
        let rows = [
            ("include", &paths.include),
            ("pre_shared_key", &paths.pre_shared_key),
            ("certificate", &paths.certificate),
            ("script", &paths.script),
            ("backupsa", &paths.backupsa),
            ("pidfile", &paths.pidfile),
            ("xauth", &paths.xauth),
        ];
        for (name, path) in rows {
            if let Some(path) = path {
                writeln!(f, "path {name} {};", quoted(path))?;
            }
        }
        if let Some(level) = self.log {
            writeln!(f, "log {};", name_of(LOG_LEVELS, &level))?;
        }
        if let Some(value) = self.complex_bundle {
            writeln!(f, "complex_bundle {};", switch(value))?;
        }
        self.write_privsep(f)?;
        self.write_padding(f)?;
        self.write_listen(f)?;
        self.write_timer(f)?;
        self.write_mode_cfg(f)?;
        self.remotes.iter().try_for_each(|remote| remote.fmt(f))?;
        self.sainfos.iter().try_for_each(|sainfo| sainfo.fmt(f))
    }
}

/// Writes a block with its statements.
fn block(f: &mut Formatter<'_>, name: &str, statements: &[String]) -> fmt::Result {
    writeln!(f, "{name} {{")?;
    for statement in statements {
        // A block has no `;` after it.
        writeln!(f, "\t{statement}{}", if statement.ends_with('}') { "" } else { ";" })?;
    }
    writeln!(f, "}}")
}

/// Returns the statement of a value that is there.
fn optional<T: Display>(name: &str, value: Option<T>) -> Option<String> {
    value.map(|value| format!("{name} {value}"))
}

fn list<T>(name: &str, values: &[T], one: impl Fn(&T) -> String) -> Option<String> {
    let values: Vec<_> = values.iter().map(one).collect();
    (!values.is_empty()).then(|| format!("{name} {}", values.join(", ")))
}

impl RacoonConf {
    fn write_privsep(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(privsep) = &self.privsep else { return Ok(()) };
        let name = |value: &Option<String>| {
            value
                .as_ref()
                .map(|own| if own.bytes().all(|digit| digit.is_ascii_digit()) { own.clone() } else { quoted(own) })
        };
        let rows = [
            optional("user", name(&privsep.user)),
            optional("group", name(&privsep.group)),
            optional("chroot", privsep.chroot.as_deref().map(quoted)),
        ];
        block(f, "privsep", &rows.into_iter().flatten().collect::<Vec<_>>())
    }

    fn write_padding(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(padding) = &self.padding else { return Ok(()) };
        let rows = [
            optional("randomize", padding.randomize.map(switch)),
            optional("randomize_length", padding.randomize_length.map(switch)),
            optional("maximum_length", padding.maximum_length),
            optional("strict_check", padding.strict_check.map(switch)),
            optional("exclusive_tail", padding.exclusive_tail.map(switch)),
        ];
        block(f, "padding", &rows.into_iter().flatten().collect::<Vec<_>>())
    }

    fn write_listen(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(listen) = &self.listen else { return Ok(()) };
        let port = |port: &Option<u16>| port.map(|port| format!(" [{port}]")).unwrap_or_default();
        let mut rows: Vec<String> = Vec::new();
        rows.extend(listen.isakmp.iter().map(|(address, own)| format!("isakmp {address}{}", port(own))));
        rows.extend(listen.isakmp_natt.iter().map(|(address, own)| format!("isakmp_natt {address}{}", port(own))));
        match &listen.adminsock {
            None => {}
            Some(None) => rows.push("adminsock disabled".to_string()),
            Some(Some(socket)) => {
                let mut row = format!("adminsock {}", quoted(&socket.path));
                if let (Some(user), Some(group), Some(mode)) = (&socket.user, &socket.group, socket.mode) {
                    row = format!("{row} {} {} {mode:04o}", quoted(user), quoted(group));
                }
                rows.push(row);
            }
        }
        rows.extend(listen.strict_address.then(|| "strict_address".to_string()));
        block(f, "listen", &rows)
    }

    fn write_timer(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let timer = &self.timer;
        let seconds = |value: Option<u64>| value.map(|value| format!("{value} sec"));
        let rows = [
            optional("counter", timer.counter),
            optional("interval", seconds(timer.interval)),
            optional("persend", timer.persend),
            optional("phase1", seconds(timer.phase1)),
            optional("phase2", seconds(timer.phase2)),
            optional("natt_keepalive", seconds(timer.natt_keepalive)),
        ];
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        if rows.is_empty() { Ok(()) } else { block(f, "timer", &rows) }
    }

    fn write_mode_cfg(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(conf) = &self.mode_cfg else { return Ok(()) };
        let address = |address: &std::net::Ipv4Addr| address.to_string();
        let text = |text: &String| quoted(text);
        let split = conf.split_network.as_ref().and_then(|(is_local, networks)| {
            let name = if *is_local { "split_network local_lan" } else { "split_network include" };
            list(name, networks, |(address, length)| format!("{address}/{length}"))
        });
        let rows = [
            optional("network4", conf.network4),
            optional("netmask4", conf.netmask4),
            optional("pool_size", conf.pool_size),
            list("dns4", &conf.dns4, address),
            list("wins4", &conf.wins4, address),
            split,
            list("split_dns", &conf.split_dns, text),
            optional("default_domain", conf.default_domain.as_ref().map(text)),
            optional("banner", conf.banner.as_ref().map(text)),
            optional("auth_source", conf.auth_source.as_ref()),
            list("auth_groups", &conf.auth_groups, text),
            optional("group_source", conf.group_source.as_ref()),
            optional("conf_source", conf.conf_source.as_ref()),
            optional("accounting", conf.accounting.as_ref()),
            optional("auth_throttle", conf.auth_throttle),
            optional("pfs_group", conf.pfs_group.map(|group| name_of(GROUPS, &group))),
            optional("save_passwd", conf.save_passwd.map(switch)),
        ];
        block(f, "mode_cfg", &rows.into_iter().flatten().collect::<Vec<_>>())
    }
}

impl Display for Identifier {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(None) => f.write_str("address"),
            Self::Address(Some(address)) => write!(f, "address {address}"),
            Self::Fqdn(name) => write!(f, "fqdn {}", quoted(name)),
            Self::UserFqdn(name) => write!(f, "user_fqdn {}", quoted(name)),
            Self::KeyId(id) => write!(f, "keyid tag {}", quoted(id)),
            Self::KeyIdFile(name) => write!(f, "keyid file {}", quoted(name)),
            Self::Asn1Dn(None) => f.write_str("asn1dn"),
            Self::Asn1Dn(Some(name)) => write!(f, "asn1dn {}", quoted(name)),
        }
    }
}

impl Display for Remote {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Inherited values are written as the own ones: the text means the same without the other statement.
        block(f, &format!("remote {}", self.name), &statements(&self.values))
    }
}

fn statements(values: &RemoteValues) -> Vec<String> {
    let seconds = |value: Option<u64>| value.map(|value| format!("{value} sec"));
    let on_off = |name: &str, value: Option<bool>| optional(name, value.map(switch));
    let address = values
        .remote_address
        .map(|(address, port)| port.map_or(address.to_string(), |port| format!("{address} [{port}]")));
    let certificate = values.certificate.as_ref().map(|files| match files {
        CertificateFiles::X509(certificate, key) => format!("x509 {} {}", quoted(certificate), quoted(key)),
        CertificateFiles::PlainRsa(key) => format!("plain_rsa {}", quoted(key)),
    });
    let mut rows: Vec<String> = [
        optional("remote_address", address),
        list("exchange_mode", &values.exchange_mode, |own| name_of(EXCHANGES, own).to_string()),
        optional("my_identifier", values.my_identifier.as_ref()),
        on_off("verify_identifier", values.verify_identifier),
        optional("certificate_type", certificate),
        optional("ca_type x509", values.ca.as_deref().map(quoted)),
        on_off("send_cert", values.send_cert),
        on_off("send_cr", values.send_cr),
        on_off("verify_cert", values.verify_cert),
        on_off("match_empty_cr", values.match_empty_cr),
        optional("lifetime time", seconds(values.lifetime_time)),
        optional("lifetime byte", values.lifetime_byte.map(|value| format!("{value} KB"))),
        optional("proposal_check", values.proposal_check.map(|own| name_of(CHECKS, &own))),
        on_off("initial_contact", values.initial_contact),
        on_off("passive", values.passive),
        on_off("support_proxy", values.support_proxy),
        optional("generate_policy", values.generate_policy.map(|own| name_of(GENERATE_POLICY, &own))),
        optional("nat_traversal", values.nat_traversal.map(|own| name_of(SWITCHES, &own))),
        optional("ike_frag", values.ike_frag.map(|own| name_of(SWITCHES, &own))),
        optional("esp_frag", values.esp_frag),
        on_off("dpd", values.dpd),
        optional("dpd_delay", values.dpd_delay),
        optional("dpd_retry", values.dpd_retry),
        optional("dpd_maxfail", values.dpd_maxfail),
        optional("rekey", values.rekey.map(|own| name_of(SWITCHES, &own))),
        optional("nonce_size", values.nonce_size),
        optional("ph1id", values.ph1id),
        on_off("mode_cfg", values.mode_cfg),
        optional("xauth_login", values.xauth_login.as_deref().map(quoted)),
        on_off("weak_phase1_check", values.weak_phase1_check),
    ]
    .into_iter()
    .flatten()
    .collect();
    rows.extend(values.peers_certificates.iter().map(|file| match file {
        PeersCertificate::X509(file) => format!("peers_certfile x509 {}", quoted(file)),
        PeersCertificate::PlainRsa(file) => format!("peers_certfile plain_rsa {}", quoted(file)),
    }));
    rows.extend(values.peers_identifiers.iter().map(|own| format!("peers_identifier {own}")));
    let script = |(name, event): &(String, _)| format!("script {} {}", quoted(name), name_of(SCRIPT_EVENTS, event));
    rows.extend(values.scripts.iter().map(script));
    rows.extend(values.proposals.iter().map(proposal));
    rows
}

fn proposal(proposal: &Proposal) -> String {
    let rows = [
        proposal.cipher.map(|own| format!("encryption_algorithm {}", cipher(PHASE_1_CIPHERS, own))),
        proposal.hash.map(|own| format!("hash_algorithm {}", name_of(HASHES, &Some(own)))),
        proposal.method.map(|own| format!("authentication_method {}", own.name)),
        proposal.group.map(|own| format!("dh_group {}", name_of(GROUPS, &own))),
        optional("lifetime time", proposal.lifetime_time.map(|value| format!("{value} sec"))),
        optional("lifetime byte", proposal.lifetime_byte.map(|value| format!("{value} KB"))),
    ];
    let rows: String = rows.into_iter().flatten().map(|row| format!("\n\t\t{row};")).collect();
    format!("proposal {{{rows}\n\t}}")
}

fn cipher(
    table: &[(&'static str, Option<ipsec_crypto::CipherAlgorithm>)],
    (cipher, bits): (ipsec_crypto::CipherAlgorithm, Option<u16>),
) -> String {
    let name = name_of(table, &Some(cipher));
    bits.map_or(name.to_string(), |bits| format!("{name} {bits}"))
}

impl Display for SainfoId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::ClientAddress => f.write_str("clientaddr"),
            Self::Name(name) => name.fmt(f),
            Self::Network { is_subnet, address, extent, port, protocol } => {
                write!(f, "{} {address}", if *is_subnet { "subnet" } else { "address" })?;
                match extent {
                    Extent::Prefix(None) => {}
                    Extent::Prefix(Some(length)) => write!(f, "/{length}")?,
                    Extent::Range(last) => write!(f, "-{last}")?,
                }
                if *port != 0 {
                    write!(f, "[{port}]")?;
                }
                match PROTOCOLS.iter().find(|row| row.1 == *protocol) {
                    Some((name, _)) => write!(f, " {name}"),
                    None => write!(f, " {protocol}"),
                }
            }
        }
    }
}

impl Display for Sainfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut head = match (&self.local, &self.remote) {
            (SainfoId::Anonymous, SainfoId::Anonymous) => "sainfo anonymous".to_string(),
            (local, remote) => format!("sainfo {local} {remote}"),
        };
        if let Some(from) = &self.from {
            head = format!("{head} from {from}");
        }
        if let Some(group) = &self.group {
            head = format!("{head} group {}", quoted(group));
        }
        let rows = [
            optional("remoteid", self.remoteid),
            optional("pfs_group", self.pfs_group.map(|group| name_of(pfs_groups(group), &group))),
            optional("lifetime time", self.lifetime_time.map(|value| format!("{value} sec"))),
            optional("lifetime byte", self.lifetime_byte.map(|value| format!("{value} KB"))),
            list("encryption_algorithm", &self.ciphers, |own| cipher(ESP_CIPHERS, *own)),
            list("authentication_algorithm", &self.integrity, |own| name_of(INTEGRITY, &Some(*own)).to_string()),
            self.has_deflate.then(|| "compression_algorithm deflate".to_string()),
        ];
        block(f, &head, &rows.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// Returns the table that has the name of a group of a `sainfo`.
fn pfs_groups(group: Group) -> &'static [(&'static str, Group)] {
    if EC2N_GROUPS.iter().any(|(_, own)| *own == group) { EC2N_GROUPS } else { GROUPS }
}
