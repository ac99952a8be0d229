//! Warnings about combinations of statements, and about weak algorithms and keys.

use std::collections::HashSet;
use std::format;
use std::string::String;
use std::vec::Vec;

use ike_codec::{ExchangeKind, Group, Lifetimes};
use ike_v1::ProposalCheck;
use ipsec_crypto::{CipherAlgorithm, HashFunction, IntegrityAlgorithm};
use ipsec_sa::{Action, PolicyDirection, PolicyParams};

use crate::describe::{group_name, selector_text};
use crate::{Configuration, ConfiguredPeer, Diagnostics, GeneratedPolicies, Phase2Config, Span};

/// Lifetimes in seconds that isakmpd accepts if nothing else is configured.
const ISAKMPD_LIFETIMES: core::ops::RangeInclusive<u64> = 60..=86_400;

impl Configuration {
    /// Adds warnings about combinations that do not work, or that are weak, to `diagnostics`.
    pub fn check(&self, diagnostics: &mut Diagnostics) {
        for peer in &self.peers {
            check_peer(peer, diagnostics);
        }
        self.check_policies(diagnostics);
        self.check_use(diagnostics);
    }

    fn check_policies(&self, diagnostics: &mut Diagnostics) {
        let mut known = HashSet::new();
        let mut inbound = HashSet::new();
        for policy in &self.policies {
            let PolicyParams { selector, direction, priority, action } = policy.params;
            if direction != PolicyDirection::Out && matches!(action, Action::Protect(_)) {
                inbound.insert((selector.source, selector.destination));
            }
            if !known.insert((selector, direction, priority)) {
                let text = "an earlier policy has the same selector and direction: this one is never used";
                diagnostics.warning(policy.span, text);
            }
        }
        for negotiation in self.negotiations() {
            let policy = negotiation.policy;
            let selector = policy.params.selector;
            if !inbound.contains(&(selector.destination, selector.source)) {
                let text = format!(
                    "no policy for the packets in the other direction, {} {}",
                    selector.destination, selector.source
                );
                diagnostics.warning(policy.span, text);
            }
            // Without any peer the SAs are manual.
            if self.peers.is_empty() {
                continue;
            }
            let Some((_, peer)) = negotiation.peer else {
                let address = negotiation.address.map_or("any address".into(), |address| format!("{address}"));
                let text =
                    format!("no peer has the address {address}: no SAs are negotiated, only manual SAs are used");
                diagnostics.warning(policy.span, text);
                continue;
            };
            match negotiation.phase_2 {
                None => {
                    let text = format!(
                        "no parameters of phase 2 match the client identities {} of the policy with peer {}",
                        selector_text(&negotiation.selector),
                        peer.config.name
                    );
                    diagnostics.warning(policy.span, text);
                }
                Some(phase_2) => {
                    let empty = negotiation.templates.iter().find(|(_, transforms)| transforms.is_empty());
                    if let Some((template, _)) = empty {
                        let text = format!(
                            "the parameters of phase 2 have no transform for {} of the policy",
                            template.protocol
                        );
                        diagnostics.warning(phase_2.span, text);
                    }
                }
            }
        }
    }

    /// Warns of parameters that no policy uses, and of weak parameters of phase 2.
    fn check_use(&self, diagnostics: &mut Diagnostics) {
        let used: HashSet<usize> = self.negotiations().filter_map(|own| own.peer.map(|(index, _)| index)).collect();
        for (index, peer) in self.peers.iter().enumerate() {
            let is_generated = peer.generated != GeneratedPolicies::Off;
            if !self.policies.is_empty() && !is_generated && !used.contains(&index) {
                let text = format!("no policy is for peer {}: it negotiates no SAs", peer.config.name);
                diagnostics.warning(peer.span, text);
            }
        }
        for phase_2 in &self.phase_2 {
            let of_peer = phase_2.peer.and_then(|index| self.peers.get(index));
            let peers = || of_peer.map_or(self.peers.as_slice(), core::slice::from_ref).iter();
            let is_at_128 = !peers().all(|peer| peer.config.defaults.sha2_256_at_96) || self.peers.is_empty();
            check_phase_2(phase_2, is_at_128, diagnostics);
        }
    }
}

fn check_peer(peer: &ConfiguredPeer, diagnostics: &mut Diagnostics) {
    let config = &peer.config;
    let is_aggressive = config.exchanges.contains(&ExchangeKind::AGGRESSIVE);
    if is_aggressive && config.needs_key() {
        let text = "aggressive mode with a pre-shared key sends a hash of the key to any initiator: a weak key can be \
                    found by an offline search";
        diagnostics.warning(peer.span, text);
    }
    let signs = config.proposals.iter().any(|proposal| !is_shared(proposal.auth_method));
    if signs && !peer.verifies_identity {
        diagnostics.warning(
            peer.span,
            "`verify_identifier` is off: every peer with a certificate of a trusted CA is accepted",
        );
    }
    if signs && !peer.verifies_certificate {
        diagnostics
            .warning(peer.span, "`verify_cert` is off: the path of the peer's certificate is verified nevertheless");
    }
    let mut weak: Vec<String> = Vec::new();
    for proposal in &config.proposals {
        note_group(&mut weak, proposal.group);
        note_cipher(&mut weak, proposal.cipher);
        if proposal.hash == HashFunction::Md5 {
            note(&mut weak, "HMAC-MD5");
        }
        check_lifetimes(peer.span, "phase 1", &proposal.lifetimes, diagnostics);
    }
    weak_warning(peer.span, "phase 1", &weak, diagnostics);
    if config.xauth.is_some() && config.check != ProposalCheck::Obey {
        let text = "vpnc offers a lifetime of 2147483 s in phase 1, which only `proposal_check obey` accepts";
        diagnostics.warning(peer.span, text);
    }
}

fn is_shared(method: ike_codec::AuthMethod) -> bool {
    use ike_codec::AuthMethod as M;
    [M::PRE_SHARED_KEY, M::XAUTH_INIT_PRE_SHARED, M::XAUTH_RESP_PRE_SHARED].contains(&method)
}

/// Warns of weak algorithms and lifetimes. `is_at_128` is set if a peer truncates HMAC-SHA2-256 to 128 bits.
fn check_phase_2(phase_2: &Phase2Config, is_at_128: bool, diagnostics: &mut Diagnostics) {
    let mut weak: Vec<String> = Vec::new();
    if let Some(group) = phase_2.group {
        note_group(&mut weak, group);
    }
    phase_2.ciphers.iter().for_each(|(cipher, _)| note_cipher(&mut weak, *cipher));
    if phase_2.integrity.contains(&IntegrityAlgorithm::HmacMd5_96) {
        note(&mut weak, "HMAC-MD5");
    }
    weak_warning(phase_2.span, "phase 2", &weak, diagnostics);
    if phase_2.integrity.contains(&IntegrityAlgorithm::HmacSha2_256_128) && is_at_128 {
        let text = "HMAC-SHA2-256 is truncated to 128 bits: a peer with KAME, or with Linux and PF_KEY, truncates it to 96 \
                    bits and refuses all packets";
        diagnostics.warning(phase_2.span, text);
    }
    check_lifetimes(phase_2.span, "phase 2", &phase_2.lifetimes, diagnostics);
}

fn check_lifetimes(span: Span, phase: &str, lifetimes: &Lifetimes, diagnostics: &mut Diagnostics) {
    if let Some(seconds) = lifetimes.seconds.filter(|seconds| !ISAKMPD_LIFETIMES.contains(seconds)) {
        let (least, most) = (ISAKMPD_LIFETIMES.start(), ISAKMPD_LIFETIMES.end());
        let text = format!("lifetime of {phase}: isakmpd accepts {least} to {most} s, found {seconds}");
        diagnostics.warning(span, text);
    }
    if lifetimes.kilobytes.is_some() {
        let text =
            format!("lifetime of {phase} in kilobytes: isakmpd refuses it unless its configuration has one, too");
        diagnostics.warning(span, text);
    }
}

fn note(weak: &mut Vec<String>, name: &str) {
    if !weak.iter().any(|known| known == name) {
        weak.push(name.into());
    }
}

fn note_group(weak: &mut Vec<String>, group: Group) {
    if group.0 <= 2 {
        note(weak, &group_name(group));
    }
}

fn note_cipher(weak: &mut Vec<String>, cipher: CipherAlgorithm) {
    if cipher == CipherAlgorithm::DesCbc {
        note(weak, "DES");
    }
}

fn weak_warning(span: Span, phase: &str, weak: &[String], diagnostics: &mut Diagnostics) {
    if !weak.is_empty() {
        diagnostics
            .warning(span, format!("{phase}: weak, for peers without stronger algorithms only: {}", weak.join(", ")));
    }
}
