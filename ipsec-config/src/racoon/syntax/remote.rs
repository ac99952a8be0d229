//! Statement `remote` with its proposals.

use std::net::IpAddr;
use std::string::String;
use std::vec::Vec;

use ike_codec::{ExchangeKind, Group};
use ike_v1::ProposalCheck;
use ipsec_crypto::{CipherAlgorithm, HashFunction};

use super::super::names::Method;
use crate::Span;

/// Name of a statement `remote`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RemoteName {
    /// Any address: the word `anonymous`.
    Anonymous,
    /// Address and port of the peer.
    Address(IpAddr, Option<u16>),
    /// Name in quotes; the address is that of `remote_address`.
    Name(String),
}

/// Statement `remote`, with the values that it inherits. The span and the origin of the values do not count for
/// equality.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Remote {
    /// Name or address of the peer.
    pub name: RemoteName,
    /// Statement whose values it inherits.
    pub inherit: Option<RemoteName>,
    /// Octets of the head.
    pub span: Span,
    /// Set if the block has errors, so that values may be missing.
    pub has_errors: bool,
    /// Values of the block.
    pub values: RemoteValues,
}

/// Values of a block `remote`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names of racoon.conf(5)
#[non_exhaustive]
pub struct RemoteValues {
    pub remote_address: Option<(IpAddr, Option<u16>)>,
    pub exchange_mode: Vec<ExchangeKind>,
    pub my_identifier: Option<Identifier>,
    pub peers_identifiers: Vec<Identifier>,
    pub verify_identifier: Option<bool>,
    pub certificate: Option<CertificateFiles>,
    pub ca: Option<String>,
    pub peers_certificates: Vec<PeersCertificate>,
    pub send_cert: Option<bool>,
    pub send_cr: Option<bool>,
    pub verify_cert: Option<bool>,
    pub match_empty_cr: Option<bool>,
    /// Lifetime of the ISAKMP SA in seconds.
    pub lifetime_time: Option<u64>,
    /// Lifetime of the ISAKMP SA in kilobytes.
    pub lifetime_byte: Option<u64>,
    pub proposals: Vec<Proposal>,
    pub proposal_check: Option<ProposalCheck>,
    pub initial_contact: Option<bool>,
    pub passive: Option<bool>,
    pub support_proxy: Option<bool>,
    pub generate_policy: Option<GeneratePolicy>,
    pub nat_traversal: Option<Switch>,
    pub ike_frag: Option<Switch>,
    pub esp_frag: Option<u64>,
    pub dpd: Option<bool>,
    /// Time without proof of liveness before a DPD query, in seconds.
    pub dpd_delay: Option<u64>,
    /// Interval of repeated DPD queries in seconds.
    pub dpd_retry: Option<u64>,
    pub dpd_maxfail: Option<u64>,
    pub rekey: Option<Switch>,
    pub nonce_size: Option<u64>,
    pub ph1id: Option<u64>,
    pub mode_cfg: Option<bool>,
    pub xauth_login: Option<String>,
    pub weak_phase1_check: Option<bool>,
    /// Script, and the event at which it is run.
    pub scripts: Vec<(String, ScriptEvent)>,
}

impl RemoteValues {
    /// Fills values that are missing with those of another block. Proposals of the other block come first.
    pub(in crate::racoon) fn inherit(&mut self, from: &Self) {
        macro_rules! fill {
            ($($name:ident),*) => {$(if self.$name.is_none() { self.$name.clone_from(&from.$name); })*};
        }
        fill!(
            remote_address,
            my_identifier,
            verify_identifier,
            certificate,
            ca,
            send_cert,
            send_cr,
            verify_cert,
            match_empty_cr,
            lifetime_time,
            lifetime_byte,
            proposal_check,
            initial_contact,
            passive,
            support_proxy,
            generate_policy,
            nat_traversal,
            ike_frag,
            esp_frag,
            dpd,
            dpd_delay,
            dpd_retry,
            dpd_maxfail,
            rekey,
            nonce_size,
            ph1id,
            mode_cfg,
            xauth_login,
            weak_phase1_check
        );
        if self.exchange_mode.is_empty() {
            self.exchange_mode.clone_from(&from.exchange_mode);
        }
        if self.peers_certificates.is_empty() {
            self.peers_certificates.clone_from(&from.peers_certificates);
        }
        if self.peers_identifiers.is_empty() {
            self.peers_identifiers.clone_from(&from.peers_identifiers);
        }
        self.proposals.splice(0..0, from.proposals.iter().cloned());
        self.scripts.splice(0..0, from.scripts.iter().cloned());
    }
}

/// Identity in phase 1 or in a statement `sainfo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identifier {
    /// Address; `None` for that of the socket.
    Address(Option<IpAddr>),
    /// Fully qualified domain name.
    Fqdn(String),
    /// Fully qualified name of a user.
    UserFqdn(String),
    /// Octets whose meaning the peers know.
    KeyId(String),
    /// File whose contents are the key ID.
    KeyIdFile(String),
    /// Distinguished name; `None` for the subject of the certificate.
    Asn1Dn(Option<String>),
}

/// Files of the statement `certificate_type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFiles {
    /// X.509 certificate and its private key.
    X509(String, String),
    /// Private key without a certificate.
    PlainRsa(String),
}

/// File of the statement `peers_certfile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeersCertificate {
    /// X.509 certificate of the peer.
    X509(String),
    /// RSA public key of the peer.
    PlainRsa(String),
}

/// Statement that is off, on, or on in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names of racoon.conf(5)
pub enum Switch {
    Off,
    On,
    Force,
}

/// Value of the statement `generate_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names of racoon.conf(5)
pub enum GeneratePolicy {
    Off,
    Require,
    Unique,
}

/// Event at which a script is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names of racoon.conf(5)
pub enum ScriptEvent {
    Phase1Up,
    Phase1Down,
    Phase1Dead,
}

/// Block `proposal`: a transform of phase 1. The span does not count for equality.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Proposal {
    /// Octets of the name of the block.
    pub span: Span,
    /// Cipher, and the length of its key in bits.
    pub cipher: Option<(CipherAlgorithm, Option<u16>)>,
    /// Hash algorithm of phase 1.
    pub hash: Option<HashFunction>,
    /// Authentication method of phase 1.
    pub method: Option<&'static Method>,
    /// Diffie-Hellman group of phase 1.
    pub group: Option<Group>,
    /// Lifetime of the ISAKMP SA in seconds.
    pub lifetime_time: Option<u64>,
    /// Lifetime of the ISAKMP SA in kilobytes.
    pub lifetime_byte: Option<u64>,
}
