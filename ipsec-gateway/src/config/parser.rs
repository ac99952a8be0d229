//! Statements of gateway.conf.

mod access;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ike_codec::{AuthMethod, EncapsulationMode, ExchangeKind, IdKind, IpcompTransform, Lifetimes, ProtocolId};
use ike_v1::{DeadPeerDetection, Phase2Choice, Phase2Suite, ProposalCheck, names};

use super::error::{ConfigError, ConfigErrorKind, Location};
use super::lexer::{Lexer, Token, TokenKind};
use super::{CertificateFiles, Config, IKE_PORT, Identity, ModeConfigUse, NatUse, PeerConfig, TunConfig, algorithm};

/// Lifetime of phase 1 in seconds, if the configuration specifies none.
const PHASE_1_SECONDS: u64 = 28_800;
/// Lifetime of phase 2 in seconds, if the configuration specifies none.
const PHASE_2_SECONDS: u64 = 28_800;
/// MTU of the TUN interface: an Ethernet frame without the headers of ESP in UDP over IPv6.
const TUN_MTU: u16 = 1400;
/// Default firewall mark and routing table.
const DEFAULT_MARK: u32 = 500;
/// Longest name of a Linux interface.
const MAX_INTERFACE: usize = 15;

const STATEMENTS: &str = "policies, keys, local, wan, tun, mark, table or peer";
const PEER_STATEMENTS: &str = "proposal, esp, ah, ipcomp, identity, peers_identity, check, exchange_mode, \
                               nat_traversal, certificate, ca, crl, peers_certificate, users, xauth_login, mode_cfg, \
                               dpd_delay, dpd_retry, dpd_maxfail or `}`";

/// Returns an exchange of phase 1 by its name in racoon.conf(5).
fn exchange(word: &str) -> Option<ExchangeKind> {
    match word {
        "main" => Some(ExchangeKind::MAIN),
        "aggressive" => Some(ExchangeKind::AGGRESSIVE),
        "base" => Some(ExchangeKind::BASE),
        _ => None,
    }
}

/// Parses a text.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let mut lexer = Lexer::new(text);
    let next = lexer.next()?;
    Parser { lexer, next }.config()
}

/// Recursive descent parser with one token of lookahead.
struct Parser<'t> {
    lexer: Lexer<'t>,
    next: Token<'t>,
}

/// Statements that were parsed so far.
#[derive(Default)]
struct Draft {
    policies: Option<PathBuf>,
    keys: Option<PathBuf>,
    locals: Vec<SocketAddr>,
    wan: Vec<String>,
    tun: Option<TunConfig>,
    mark: Option<u32>,
    table: Option<u32>,
    peers: Vec<PeerConfig>,
}

impl<'t> Parser<'t> {
    fn config(mut self) -> Result<Config, ConfigError> {
        let mut draft = Draft::default();
        while self.next.kind != TokenKind::End {
            self.statement(&mut draft)?;
        }
        let missing = |statement| ConfigError::missing(self.next.at, statement);
        if draft.locals.is_empty() {
            return Err(missing("local"));
        }
        Ok(Config {
            policies: draft.policies.ok_or(missing("policies"))?,
            keys: draft.keys.ok_or(missing("keys"))?,
            locals: draft.locals,
            wan: draft.wan,
            tun: draft.tun.ok_or(missing("tun"))?,
            mark: draft.mark.unwrap_or(DEFAULT_MARK),
            table: draft.table.unwrap_or(DEFAULT_MARK),
            peers: draft.peers,
        })
    }

    fn statement(&mut self, draft: &mut Draft) -> Result<(), ConfigError> {
        let (word, at) = self.word(STATEMENTS)?;
        let once = |is_set: bool| if is_set { Err(ConfigError::duplicate(at, word)) } else { Ok(()) };
        match word {
            "policies" => {
                once(draft.policies.is_some())?;
                draft.policies = Some(self.text("the name of a file in quotes")?.0.into());
            }
            "keys" => {
                once(draft.keys.is_some())?;
                draft.keys = Some(self.text("the name of a file in quotes")?.0.into());
            }
            "local" => draft.locals.push(self.local(&draft.locals)?),
            "wan" => draft.wan.push(self.interface()?),
            "tun" => {
                once(draft.tun.is_some())?;
                draft.tun = Some(self.tun()?);
            }
            "mark" => {
                once(draft.mark.is_some())?;
                draft.mark = Some(self.number(1..=u64::from(u32::MAX), "a number above 0")?);
            }
            "table" => {
                once(draft.table.is_some())?;
                // Tables from 253 on, and rules from 32766 on, are those of the system.
                draft.table = Some(self.number(1..=32_765, "a number from 1 to 32765, without 253 to 255")?);
                if draft.table.is_some_and(|table| (253..=255).contains(&table)) {
                    return Err(ConfigError::expected(at, word, "a routing table without 253 to 255"));
                }
            }
            "peer" => return self.peer(draft),
            _ => return Err(ConfigError::expected(at, word, STATEMENTS)),
        }
        self.sign(';')
    }

    fn local(&mut self, others: &[SocketAddr]) -> Result<SocketAddr, ConfigError> {
        let at = self.next.at;
        let address = self.value("an IP address")?;
        let local = SocketAddr::new(address, self.port()?);
        if others.contains(&local) {
            return Err(ConfigError::duplicate(at, &local.to_string()));
        }
        Ok(local)
    }

    fn tun(&mut self) -> Result<TunConfig, ConfigError> {
        let mut tun = TunConfig { name: self.interface()?, mtu: TUN_MTU, addresses: Vec::new() };
        loop {
            if self.accept("mtu")? {
                tun.mtu = self.number(576..=65_535, "an MTU from 576 to 65535")?;
            } else if self.accept("address")? {
                tun.addresses.push(self.prefix()?);
            } else {
                return Ok(tun);
            }
        }
    }

    fn peer(&mut self, draft: &mut Draft) -> Result<(), ConfigError> {
        let (name, at) = self.word("the name of the peer")?;
        if draft.peers.iter().any(|peer| peer.name == name) {
            return Err(ConfigError::duplicate(at, name));
        }
        self.keyword("address")?;
        let address = match self.next.kind {
            TokenKind::Word("any") => {
                self.advance()?;
                None
            }
            _ => Some(SocketAddr::new(self.value("an IP address, or any")?, self.port()?)),
        };
        if let Some(other) = draft.peers.iter().find(|peer| peer.address == address) {
            let kind = ConfigErrorKind::SamePeer(other.name.clone());
            return Err(ConfigError { at, found: name.to_owned(), kind });
        }
        let mut peer = PeerConfig {
            name: name.to_owned(),
            address,
            proposals: Vec::new(),
            transforms: Vec::new(),
            identity: None,
            peers_identity: None,
            check: ProposalCheck::default(),
            exchanges: Vec::new(),
            nat_traversal: NatUse::default(),
            certificates: CertificateFiles::default(),
            signs: false,
            verifies: false,
            xauth: None,
            users: None,
            login: None,
            mode_config: ModeConfigUse::default(),
            dead_peer_detection: DeadPeerDetection::after(Duration::ZERO),
        };
        self.sign('{')?;
        while self.next.kind != TokenKind::Sign('}') {
            self.peer_statement(&mut peer)?;
        }
        if peer.proposals.is_empty() {
            return Err(ConfigError::missing(self.next.at, "proposal"));
        }
        if peer.transforms.is_empty() {
            return Err(ConfigError::missing(self.next.at, "esp"));
        }
        if peer.exchanges.is_empty() {
            peer.exchanges.push(ExchangeKind::MAIN);
        }
        self.check_authentication(&peer)?;
        self.sign('}')?;
        draft.peers.push(peer);
        Ok(())
    }

    fn peer_statement(&mut self, peer: &mut PeerConfig) -> Result<(), ConfigError> {
        let (word, at) = self.word(PEER_STATEMENTS)?;
        match word {
            "proposal" => {
                let cipher = self.named(algorithm::PHASE_1_CIPHERS, algorithm::phase_1_cipher)?;
                let hash = self.named(algorithm::HASHES, names::hash)?;
                let group = self.named(algorithm::GROUPS, algorithm::group)?;
                let method = self.method(peer)?;
                let seconds = if self.accept("lifetime")? { self.seconds()? } else { PHASE_1_SECONDS };
                peer.proposals.push(algorithm::proposal(cipher, hash, method, group, seconds));
            }
            "esp" => {
                let suite = self.named(algorithm::SUITES, algorithm::suite)?;
                peer.transforms.push(self.transform(ProtocolId::ESP, suite)?);
            }
            "ah" => {
                let suite = self.named(algorithm::INTEGRITIES, algorithm::integrity)?;
                peer.transforms.push(self.transform(ProtocolId::AH, suite)?);
            }
            "ipcomp" => {
                let is_deflate = |name: &str| (name == "deflate").then_some(IpcompTransform::DEFLATE);
                let suite = Phase2Suite::Compression(self.named("deflate", is_deflate)?);
                peer.transforms.push(self.transform(ProtocolId::IPCOMP, suite)?);
            }
            "identity" | "peers_identity" => {
                let slot = if word == "identity" { &mut peer.identity } else { &mut peer.peers_identity };
                if slot.is_some() {
                    return Err(ConfigError::duplicate(at, word));
                }
                *slot = Some(self.identity()?);
            }
            "check" => {
                peer.check = self.named("obey, strict, claim or exact", |word| match word {
                    "obey" => Some(ProposalCheck::Obey),
                    "strict" => Some(ProposalCheck::Strict),
                    "claim" => Some(ProposalCheck::Claim),
                    "exact" => Some(ProposalCheck::Exact),
                    _ => None,
                })?;
            }
            "exchange_mode" => {
                let expected = "main, aggressive or base";
                while peer.exchanges.is_empty() || self.next.kind != TokenKind::Sign(';') {
                    let at = self.next.at;
                    let exchange = self.named(expected, exchange)?;
                    if peer.exchanges.contains(&exchange) {
                        return Err(ConfigError::duplicate(at, &exchange.to_string()));
                    }
                    peer.exchanges.push(exchange);
                }
            }
            "nat_traversal" => {
                peer.nat_traversal = self.named("on, off or force", |word| match word {
                    "on" => Some(NatUse::On),
                    "off" => Some(NatUse::Off),
                    "force" => Some(NatUse::Force),
                    _ => None,
                })?;
            }
            "certificate" => {
                if peer.certificates.own.is_some() {
                    return Err(ConfigError::duplicate(at, word));
                }
                let certificate = self.text("the name of the file of the certificate")?.0.into();
                let key = self.text("the name of the file of the private key")?.0.into();
                peer.certificates.own = Some((certificate, key));
            }
            "ca" => peer.certificates.authorities.push(self.text("the name of a file")?.0.into()),
            "crl" => peer.certificates.crls.push(self.text("the name of a file")?.0.into()),
            "peers_certificate" => peer.certificates.peers.push(self.text("the name of a file")?.0.into()),
            "users" | "xauth_login" | "mode_cfg" => self.access(word, at, peer)?,
            "dpd_delay" => {
                let seconds = self.number(0..=86_400, "a number of seconds to 86400, or 0 for none")?;
                peer.dead_peer_detection.delay = Duration::from_secs(seconds);
            }
            "dpd_retry" => {
                let seconds = self.number(1..=3600, "a number of seconds from 1 to 3600")?;
                peer.dead_peer_detection.retry = Duration::from_secs(seconds);
            }
            "dpd_maxfail" => peer.dead_peer_detection.max_failures = self.number(1..=255, "a number from 1 to 255")?,
            _ => return Err(ConfigError::expected(at, word, PEER_STATEMENTS)),
        }
        self.sign(';')
    }

    /// Parses what follows the algorithms of a transform of phase 2. The group of IPComp is that of its bundle.
    fn transform(&mut self, protocol: ProtocolId, suite: Phase2Suite) -> Result<Phase2Choice, ConfigError> {
        let mut lifetimes = Lifetimes { seconds: Some(PHASE_2_SECONDS), ..Lifetimes::default() };
        let mut group = None;
        loop {
            if protocol != ProtocolId::IPCOMP && self.accept("pfs")? {
                group = Some(self.named(algorithm::GROUPS, algorithm::group)?);
            } else if self.accept("lifetime")? {
                lifetimes.seconds = Some(self.seconds()?);
            } else if self.accept("kilobytes")? {
                lifetimes.kilobytes = Some(self.number(1024..=u64::from(u32::MAX), "a number of 1024 or more")?);
            } else {
                let choice = Phase2Choice::new(protocol, suite, EncapsulationMode::TUNNEL).with_lifetimes(lifetimes);
                return Ok(group.map_or(choice, |group| choice.with_group(group)));
            }
        }
    }

    fn identity(&mut self) -> Result<Identity, ConfigError> {
        let expected = "address, fqdn, user_fqdn, keyid or asn1dn";
        let (word, at) = self.word(expected)?;
        let kind = match word {
            "address" => return self.value("an IP address").map(Identity::address),
            "fqdn" => IdKind::FQDN,
            "user_fqdn" => IdKind::USER_FQDN,
            "keyid" => IdKind::KEY_ID,
            // The subject of the certificate.
            "asn1dn" => return Ok(Identity { kind: IdKind::DER_ASN1_DN, data: Vec::new() }),
            _ => return Err(ConfigError::expected(at, word, expected)),
        };
        let (name, at) = self.text("the identity as a word or in quotes")?;
        if name.is_empty() {
            return Err(ConfigError::expected(at, "", "an identity that is not empty"));
        }
        Ok(Identity { kind, data: name.as_bytes().to_vec() })
    }

    /// Parses the name of an interface, which occurs in the rules of the firewall.
    fn interface(&mut self) -> Result<String, ConfigError> {
        let is_valid = |name: &str| {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            (1..=MAX_INTERFACE).contains(&name.len()) && name.chars().all(is_allowed) && !name.starts_with(['-', '.'])
        };
        self.named("the name of an interface: letters, digits, `-`, `_` and `.`, at most 15", |name| {
            is_valid(name).then(|| name.to_owned())
        })
    }

    fn prefix(&mut self) -> Result<(IpAddr, u8), ConfigError> {
        self.named("an IP address with the length of its prefix", |word| {
            let (address, length) = word.split_once('/')?;
            let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
            (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
        })
    }

    /// Parses an optional port in brackets.
    fn port(&mut self) -> Result<u16, ConfigError> {
        if self.next.kind != TokenKind::Sign('[') {
            return Ok(IKE_PORT);
        }
        self.advance()?;
        let port = self.number(1..=65_535, "a port from 1 to 65535")?;
        self.sign(']')?;
        Ok(port)
    }

    fn seconds(&mut self) -> Result<u64, ConfigError> {
        self.number(10..=u64::from(u32::MAX), "a number of seconds from 10 to 4294967295")
    }

    fn number<N: TryFrom<u64>>(
        &mut self,
        range: std::ops::RangeInclusive<u64>,
        expected: &str,
    ) -> Result<N, ConfigError> {
        self.named(expected, |word| {
            let number = word.strip_prefix("0x").map_or_else(|| word.parse(), |hex| u64::from_str_radix(hex, 16));
            N::try_from(number.ok().filter(|number| range.contains(number))?).ok()
        })
    }

    fn value<T: FromStr>(&mut self, expected: &str) -> Result<T, ConfigError> {
        self.named(expected, |word| word.parse().ok())
    }

    fn named<T>(&mut self, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ConfigError> {
        let (word, at) = self.word(expected)?;
        read(word).ok_or_else(|| ConfigError::expected(at, word, expected))
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), ConfigError> {
        if self.accept(keyword)? { Ok(()) } else { Err(self.unexpected(format!("`{keyword}`"))) }
    }

    /// Skips a keyword if it is next, and returns whether it was.
    fn accept(&mut self, keyword: &str) -> Result<bool, ConfigError> {
        let found = self.next.kind == TokenKind::Word(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn word(&mut self, expected: &str) -> Result<(&'t str, Location), ConfigError> {
        let TokenKind::Word(word) = self.next.kind else { return Err(self.unexpected(expected)) };
        Ok((word, self.advance()?.at))
    }

    /// Parses a string, or a word.
    fn text(&mut self, expected: &str) -> Result<(&'t str, Location), ConfigError> {
        let (TokenKind::Word(text) | TokenKind::Text(text)) = self.next.kind else {
            return Err(self.unexpected(expected));
        };
        Ok((text, self.advance()?.at))
    }

    fn sign(&mut self, sign: char) -> Result<(), ConfigError> {
        if self.next.kind != TokenKind::Sign(sign) {
            return Err(self.unexpected(format!("`{sign}`")));
        }
        self.advance().map(|_| ())
    }

    fn advance(&mut self) -> Result<Token<'t>, ConfigError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn unexpected(&self, expected: impl Into<String>) -> ConfigError {
        let mut sign = [0; 4];
        let found: &str = match self.next.kind {
            TokenKind::Word(text) | TokenKind::Text(text) => text,
            TokenKind::Sign(c) => c.encode_utf8(&mut sign),
            TokenKind::End => "",
        };
        ConfigError::expected(self.next.at, found, expected)
    }
}

#[cfg(test)]
mod tests;
