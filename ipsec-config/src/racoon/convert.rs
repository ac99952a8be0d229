//! Conversion of racoon.conf(5) to the common configuration.

use std::borrow::ToOwned;
use std::collections::HashSet;
use std::format;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use ike_codec::{AuthMethod, IdKind, Lifetimes};
use ike_v1::{
    ClientConfig, ClientNetwork as SplitNetwork, DeadPeerDetection, Identity, LocalIdentity, ModeConfig, NatUse,
    PeerConfig, Phase1Choice, ProposalCheck, ShortText, XauthRole,
};
use ipsec_crypto::CipherAlgorithm;
use ipsec_packet::AddressRange;

use super::names::EC2N_GROUPS;
use super::syntax::{
    CertificateFiles, Extent, GeneratePolicy, Identifier, Listen, ModeCfg, PeersCertificate, Proposal, RacoonConf,
    Remote, RemoteName, Sainfo, SainfoId, ScriptEvent, Switch, Timer,
};
use crate::configuration::IKE_PORT;
use crate::files::relative_to;
use crate::{
    ClientNetwork, Configuration, ConfiguredPeer, Diagnostics, Files, GeneratedPolicies, Phase2Config, Pool,
    ProcessUser, Span, Timing, distinguished_name,
};

/// Lifetime in seconds without a statement, in both phases.
const LIFETIME: u64 = 28_800;
/// UDP port of NAT traversal (RFC 3947 section 4).
const NAT_TRAVERSAL_PORT: u16 = 4500;
/// Size of the packets of `ike_frag`.
const FRAGMENT_SIZE: u16 = 1280;

impl RacoonConf {
    /// Adds peers and parameters of phase 2 to a configuration. Values that cannot be used are reported.
    pub fn configure(&self, files: &dyn Files, configuration: &mut Configuration, diagnostics: &mut Diagnostics) {
        let first = configuration.peers.len();
        for remote in &self.remotes {
            // What is missing in a block with errors follows from them.
            let mut found = Diagnostics::default();
            let own = if remote.has_errors { &mut found } else { &mut *diagnostics };
            let peer = self.peer(remote, files, own);
            configuration.peers.push(peer);
        }
        let mut sainfos: Vec<&Sainfo> = self.sainfos.iter().collect();
        let rank = |sainfo: &Sainfo| (sainfo.local.rank().saturating_add(sainfo.remote.rank()), sainfo.from.is_some());
        sainfos.sort_by_key(|sainfo| core::cmp::Reverse(rank(sainfo)));
        let peers = configuration.peers.get(first..).unwrap_or_default();
        let ids: HashSet<u64> = peers.iter().map(|peer| peer.phase_1_id).collect();
        for sainfo in sainfos {
            if sainfo.remoteid.is_some_and(|id| id != 0 && !ids.contains(&id)) {
                diagnostics
                    .warning(sainfo.span, "no `remote` has the `ph1id` of `remoteid`: the `sainfo` is never used");
            }
            configuration.phase_2.extend(phase_2(sainfo, files, diagnostics));
        }
        configuration.listen.extend(self.listen.iter().flat_map(addresses));
        if let Some(file) = &self.paths.pre_shared_key {
            configuration.key_file = Some(self.path(file));
        }
        configuration.timing = timing(&self.timer);
        if let (Some(user), None) = (self.process_user(), &configuration.process_user) {
            configuration.process_user = Some(user);
        }
    }

    /// Returns user and group of the block `privsep`; `None` if it names no user.
    fn process_user(&self) -> Option<ProcessUser> {
        let privsep = self.privsep.as_ref()?;
        Some(ProcessUser { user: privsep.user.clone()?, group: privsep.group.clone() })
    }

    fn peer(&self, remote: &Remote, files: &dyn Files, diagnostics: &mut Diagnostics) -> ConfiguredPeer {
        let values = &remote.values;
        let address = match &remote.name {
            RemoteName::Address(address, port) => Some((*address, *port)),
            RemoteName::Anonymous | RemoteName::Name(_) => None,
        };
        let address = values.remote_address.or(address);
        let address = address.map(|(address, port)| SocketAddr::new(address, port.unwrap_or(IKE_PORT)));
        let name = match &remote.name {
            RemoteName::Name(name) => name.clone(),
            other => other.to_string(),
        };
        let lifetimes = (values.lifetime_time.or(Some(LIFETIME)), values.lifetime_byte);
        let is_on = |switch: Option<Switch>| switch.is_some_and(|switch| switch != Switch::Off);
        let mut identities =
            values.peers_identifiers.iter().filter_map(|own| self.identity(own, remote.span, files, diagnostics));
        let (first, others): (Option<Identity>, Vec<Identity>) = (identities.next(), identities.collect());
        let verifies_identity = values.verify_identifier.unwrap_or(false);
        let proposals: Vec<_> = values.proposals.iter().filter_map(|proposal| choice(proposal, lifetimes)).collect();
        let methods = || values.proposals.iter().filter_map(|proposal| proposal.method);
        let xauth = methods().find_map(|method| method.role);
        if methods().any(|method| method.role != xauth) {
            let text =
                "expected one role of extended authentication: a client could choose the proposal without a user";
            diagnostics.error(remote.span, text);
        }
        let pool = self.mode_cfg.as_ref().filter(|_| xauth == Some(XauthRole::Server));
        let detection = self.detection(remote);
        let config = PeerConfig {
            proposals,
            exchanges: values.exchange_mode.clone(),
            local_identity: self.local_identity(values.my_identifier.as_ref(), remote.span, files, diagnostics),
            remote_identity: first.filter(|_| verifies_identity),
            check: values.proposal_check.unwrap_or(ProposalCheck::Strict),
            nat_traversal: match values.nat_traversal {
                Some(Switch::On) => NatUse::On,
                Some(Switch::Force) => NatUse::Force,
                Some(Switch::Off) | None => NatUse::Off,
            },
            fragment_size: if is_on(values.ike_frag) { FRAGMENT_SIZE } else { 0 },
            dead_peer_detection: detection,
            xauth,
            mode_config: match (xauth, pool) {
                (Some(XauthRole::Server), Some(_)) => Some(ModeConfig::Answer),
                (Some(XauthRole::Client), _) if values.mode_cfg == Some(true) => Some(ModeConfig::Request),
                _ => None,
            },
            initiates: values.passive != Some(true) && xauth != Some(XauthRole::Server),
            renews: match values.rekey {
                Some(Switch::Off) => false,
                Some(Switch::Force) => true,
                // Without dead peer detection, an SA with a peer that has vanished would be renewed without an end.
                Some(Switch::On) | None => detection.is_some_and(|own| !own.delay.is_zero()),
            },
            initial_contact: values.initial_contact.unwrap_or(true),
            ..PeerConfig::new(name, address)
        };
        let mut peer = ConfiguredPeer::new(remote.span, config);
        self.add_files(remote, &mut peer, diagnostics);
        peer.other_identities = others;
        peer.verifies_identity = verifies_identity;
        peer.verifies_certificate = values.verify_cert.unwrap_or(true);
        peer.users = self.paths.xauth.as_ref().map(|name| self.path(name));
        peer.login.clone_from(&values.xauth_login);
        peer.pool = pool.map(|pool| convert_pool(pool, remote.span, files, diagnostics));
        peer.generated = match values.generate_policy {
            Some(GeneratePolicy::Require) => GeneratedPolicies::Require,
            Some(GeneratePolicy::Unique) => GeneratedPolicies::Unique,
            Some(GeneratePolicy::Off) | None => GeneratedPolicies::Off,
        };
        peer.esp_fragment_size = values.esp_frag.and_then(|size| u16::try_from(size).ok());
        peer.phase_1_id = values.ph1id.unwrap_or(0);
        peer.sends_certificates = values.send_cert.unwrap_or(true);
        peer.requests_certificates = values.send_cr.unwrap_or(true);
        peer.scripts = self.scripts(remote, diagnostics);
        if xauth == Some(XauthRole::Client) && peer.login.is_none() {
            diagnostics.error(
                remote.span,
                "statement `xauth_login` is missing: a client of extended authentication has a user",
            );
        }
        peer
    }

    /// Returns the paths of the scripts, which are files in the directory of `path script`.
    fn scripts(&self, remote: &Remote, diagnostics: &mut Diagnostics) -> Vec<(ScriptEvent, String)> {
        let scripts = &remote.values.scripts;
        let Some(directory) = self.paths.script.as_ref().map(|name| self.path(name)) else {
            if !scripts.is_empty() {
                diagnostics.warning(remote.span, "`script` has no effect here: no `path script` is configured");
            }
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, event) in scripts {
            let path = relative_to(Some(Path::new(&directory)), name);
            let (file, parent) = (Path::new(&path).file_name(), Path::new(&path).parent());
            if file.is_some() && parent == Some(Path::new(&directory)) && !name.is_empty() {
                found.push((*event, path));
            } else {
                let text = format!("expected a script in the directory `{directory}` of `path script`, found `{name}`");
                diagnostics.error(remote.span, text);
            }
        }
        found
    }

    /// Returns the name of a file, which is relative to the directory of racoon.conf.
    fn path(&self, name: &str) -> String {
        relative_to(self.directory.as_deref(), name)
    }

    fn detection(&self, remote: &Remote) -> Option<DeadPeerDetection> {
        let values = &remote.values;
        let delay = values.dpd_delay.filter(|delay| *delay > 0 && values.dpd != Some(false))?;
        Some(DeadPeerDetection {
            delay: Duration::from_secs(delay),
            retry: Duration::from_secs(values.dpd_retry.unwrap_or(5)),
            max_failures: values.dpd_maxfail.and_then(|count| u8::try_from(count).ok()).unwrap_or(5),
        })
    }

    /// Adds the files of certificates; names are relative to `path certificate`.
    fn add_files(&self, remote: &Remote, peer: &mut ConfiguredPeer, diagnostics: &mut Diagnostics) {
        let values = &remote.values;
        let directory = self.paths.certificate.as_ref().map(|name| self.path(name));
        let in_directory = |name: &String| match &directory {
            Some(directory) => relative_to(Some(Path::new(directory)), name),
            None => self.path(name),
        };
        match &values.certificate {
            Some(CertificateFiles::X509(certificate, key)) => {
                peer.files.own.push((in_directory(certificate), in_directory(key)));
            }
            Some(CertificateFiles::PlainRsa(key)) => peer.files.own_key = Some(in_directory(key)),
            None => {}
        }
        peer.files.authorities = values.ca.iter().map(in_directory).collect();
        for file in &values.peers_certificates {
            match file {
                PeersCertificate::X509(file) => peer.files.peers.push(in_directory(file)),
                PeersCertificate::PlainRsa(file) => peer.files.public_keys.push(in_directory(file)),
            }
        }
        peer.files.directory.clone_from(&directory);
        let methods = || values.proposals.iter().filter_map(|proposal| proposal.method);
        if methods().any(|method| method.signs) && values.certificate.is_none() {
            diagnostics.error(
                remote.span,
                "statement `certificate_type` is missing: an authentication method signs with its key",
            );
        }
        let has_trust = values.ca.is_some() || !values.peers_certificates.is_empty() || directory.is_some();
        if methods().any(|method| method.verifies) && !has_trust {
            let text =
                "no `ca_type`, `peers_certfile` or `path certificate`: no certificate of the peer can be trusted";
            diagnostics.error(remote.span, text);
        }
    }

    fn local_identity(
        &self,
        identifier: Option<&Identifier>,
        span: Span,
        files: &dyn Files,
        diagnostics: &mut Diagnostics,
    ) -> LocalIdentity {
        match identifier {
            None | Some(Identifier::Address(None)) => LocalIdentity::Address,
            Some(Identifier::Asn1Dn(None)) => LocalIdentity::CertificateSubject,
            Some(other) => {
                self.identity(other, span, files, diagnostics).map_or(LocalIdentity::Address, LocalIdentity::Given)
            }
        }
    }

    /// Returns an identity; `None` if it is any of its type, or cannot be used, which is reported.
    fn identity(
        &self,
        identifier: &Identifier,
        span: Span,
        files: &dyn Files,
        diagnostics: &mut Diagnostics,
    ) -> Option<Identity> {
        match identifier {
            Identifier::Address(address) => address.map(Identity::address),
            Identifier::Fqdn(name) => Some(Identity::text(IdKind::FQDN, name)),
            Identifier::UserFqdn(name) => Some(Identity::text(IdKind::USER_FQDN, name)),
            Identifier::KeyId(id) => Some(Identity::text(IdKind::KEY_ID, id)),
            Identifier::KeyIdFile(name) => match files.read(Path::new(name)) {
                Ok(data) => Some(Identity { kind: IdKind::KEY_ID, data }),
                Err(e) => {
                    let help = "write `keyid tag` for a key ID in the configuration itself";
                    diagnostics.error_with_help(span, format!("{name}: {e}"), help);
                    None
                }
            },
            Identifier::Asn1Dn(None) => None,
            Identifier::Asn1Dn(Some(name)) if distinguished_name::has_wildcard(name) => {
                diagnostics
                    .error(span, "`*` in a distinguished name is not implemented: expected the name of the peer");
                None
            }
            Identifier::Asn1Dn(Some(name)) => {
                distinguished_name::encode(name).ok().map(|data| Identity { kind: IdKind::DER_ASN1_DN, data })
            }
        }
    }
}

/// Returns the values for clients. The banner is the text of a file.
fn convert_pool(conf: &ModeCfg, span: Span, files: &dyn Files, diagnostics: &mut Diagnostics) -> Pool {
    let mut values = ClientConfig::default();
    values.netmask = conf.netmask4;
    let fill = |slots: &mut [Option<Ipv4Addr>], found: &[Ipv4Addr], name: &str, diagnostics: &mut Diagnostics| {
        if found.len() > slots.len() {
            diagnostics
                .warning(span, format!("`{name}`: at most {} addresses are sent, found {}", slots.len(), found.len()));
        }
        slots.iter_mut().zip(found).for_each(|(slot, address)| *slot = Some(*address));
    };
    fill(&mut values.dns, &conf.dns4, "dns4", diagnostics);
    fill(&mut values.nbns, &conf.wins4, "wins4", diagnostics);
    if let Some((is_local, networks)) = &conf.split_network {
        let slots = if *is_local { &mut values.split_exclude[..] } else { &mut values.split_include[..] };
        if networks.len() > slots.len() {
            let (most, found) = (slots.len(), networks.len());
            diagnostics.warning(span, format!("`split_network`: at most {most} networks are sent, found {found}"));
        }
        for (slot, (address, length)) in slots.iter_mut().zip(networks) {
            *slot = Some(SplitNetwork { address: *address, mask: crate::gateway::mask(*length) });
        }
    }
    match crate::gateway::split_dns(&conf.split_dns) {
        Ok(names) => values.split_dns = names,
        Err(reason) => diagnostics.warning(span, format!("`split_dns` has no effect: {reason}")),
    }
    if let Some(domain) = &conf.default_domain {
        values.domain = ShortText::new(domain.as_bytes());
    }
    if let Some(name) = &conf.banner {
        match files.read(Path::new(name)) {
            Ok(text) => values.banner = ShortText::new(text.trim_ascii_end()),
            Err(e) => diagnostics.warning(span, format!("banner: {name}: {e}")),
        }
    }
    Pool {
        first: conf.network4,
        size: conf.pool_size.and_then(|size| u16::try_from(size).ok()).unwrap_or(255),
        values,
        pushes: false,
        throttle: conf.auth_throttle.unwrap_or(1),
        saves_password: conf.save_passwd.unwrap_or(false),
    }
}

/// Returns the transform of a proposal; `None` if it lacks a parameter, which was reported.
fn choice(proposal: &Proposal, (time, byte): (Option<u64>, Option<u64>)) -> Option<Phase1Choice> {
    let (cipher, bits) = proposal.cipher?;
    let method = proposal.method?.number.unwrap_or(AuthMethod::PRE_SHARED_KEY);
    let lifetimes = Lifetimes {
        seconds: proposal.lifetime_time.or(time),
        kilobytes: proposal.lifetime_byte.or(byte),
        ..Lifetimes::default()
    };
    let choice = Phase1Choice::new(cipher, proposal.hash?, method, proposal.group?);
    Some(choice.with_cipher_key(key_octets(cipher, bits)).with_lifetimes(lifetimes))
}

/// Returns the length of a key in octets. Without a length it is the default of the RFCs, which racoon proposes as
/// well: Blowfish has 128 bits (RFC 2451 section 2.2).
pub(super) fn key_octets(cipher: CipherAlgorithm, bits: Option<u16>) -> usize {
    let row = cipher.row();
    match bits {
        Some(bits) => usize::from(bits >> 3).saturating_add(row.map_or(0, |row| row.salt)),
        None => row.map_or(0, |row| row.default_key),
    }
}

fn phase_2(sainfo: &Sainfo, files: &dyn Files, diagnostics: &mut Diagnostics) -> Option<Phase2Config> {
    if EC2N_GROUPS.iter().any(|(_, group)| sainfo.pfs_group == Some(*group)) {
        return None;
    }
    let mut client = |id: &SainfoId| match id {
        SainfoId::Anonymous | SainfoId::ClientAddress => Ok(None),
        SainfoId::Network { address, extent, port, protocol, .. } => {
            let range = match extent {
                Extent::Prefix(None) => Some(AddressRange::host(*address)),
                Extent::Prefix(Some(length)) => AddressRange::prefix(*address, *length),
                Extent::Range(last) => AddressRange::new(*address, *last),
            };
            let range = range.ok_or(())?;
            Ok(Some(ClientNetwork { addresses: (range.first(), range.last()), port: *port, protocol: *protocol }))
        }
        SainfoId::Name(_) => {
            diagnostics.warning(
                sainfo.span,
                "client identities that are names are not negotiated: the `sainfo` is never used",
            );
            Err(())
        }
    };
    let (local, remote) = (client(&sainfo.local).ok()?, client(&sainfo.remote).ok()?);
    let from = sainfo.from.as_ref();
    let from = from.and_then(|own| RacoonConf::default().identity(own, sainfo.span, files, diagnostics));
    Some(Phase2Config {
        span: sainfo.span,
        local,
        remote,
        from,
        phase_1_id: sainfo.remoteid.unwrap_or(0),
        ciphers: sainfo.ciphers.iter().map(|&(cipher, bits)| (cipher, key_octets(cipher, bits))).collect(),
        integrity: sainfo.integrity.clone(),
        has_deflate: sainfo.has_deflate,
        group: sainfo.pfs_group,
        lifetimes: Lifetimes {
            seconds: sainfo.lifetime_time.or(Some(LIFETIME)),
            kilobytes: sainfo.lifetime_byte,
            ..Lifetimes::default()
        },
        ..Phase2Config::new(sainfo.span)
    })
}

fn addresses(listen: &Listen) -> Vec<SocketAddr> {
    let of = |list: &[(std::net::IpAddr, Option<u16>)], default: u16| -> Vec<SocketAddr> {
        list.iter().map(|(address, port)| SocketAddr::new(*address, port.unwrap_or(default))).collect()
    };
    [of(&listen.isakmp, IKE_PORT), of(&listen.isakmp_natt, NAT_TRAVERSAL_PORT)].concat().to_owned()
}

fn timing(timer: &Timer) -> Timing {
    let seconds = |value: Option<u64>| value.map(Duration::from_secs);
    Timing {
        transmissions: timer.counter.and_then(|count| u8::try_from(count).ok()),
        interval: seconds(timer.interval),
        phase_1: seconds(timer.phase1),
        phase_2: seconds(timer.phase2),
        keep_alive: seconds(timer.natt_keepalive).unwrap_or(Timing::default().keep_alive),
    }
}
