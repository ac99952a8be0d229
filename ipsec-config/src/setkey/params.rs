//! Conversion of parsed statements to SAs and policies.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use ah_core::Profile;
use esp_core::PadCheck;
use ipsec_crypto::{
    AhIntegrity, AnyAhIntegrity, AnySuite, CipherAlgorithm, IntegrityAlgorithm, IvRule, KeyError, Suite,
};
use ipsec_packet::{
    AddressRange, Beet, ChecksumRepair, Cpi, IpProto, Marker, OriginalAddresses, PortRange, Ports, ReservedCpi,
    ReservedSpi, Seq, SeqCounter, SeqWidth, Spi, WindowSize,
};
use zeroize::Zeroizing;

use super::algorithm::Compression;
use super::policy::{PolicyStatement, Range, Selector, Upper};
use super::statement::{self, Add, Padding};
use super::values::SaProtocol;
use crate::algorithms::AnyAlgorithms;
use crate::any_window::AnyWindow;
use crate::lifetime::{Lifetimes, Limit};
use crate::policy::{Mode, Policy};
use crate::sa::{Direction, Encap, IpcompOut, Label, Sa, Transform};

/// Properties of an SA that a statement does not specify (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Length to which `hmac-sha2-256` is truncated: 128 bits in RFC 4868, 96 bits in KAME and Linux PF_KEY.
    pub sha2_256: Sha2256,
    /// Accepts ESP with a cipher and without an integrity algorithm, which an attacker can modify unnoticed.
    pub without_integrity: bool,
    /// Interpretation of the ambiguous rules of AH by the peer.
    pub profile: Profile,
    /// Last sequence number that outbound SAs with these keys have used; 0 for keys that were never used. `None`
    /// refuses algorithms whose nonce is the sequence number: AES-CTR, AES-GCM, AES-CCM, AES-GMAC and
    /// ChaCha20-Poly1305 (see [`continuing_after`](Self::continuing_after)).
    pub last_sequence: Option<Seq>,
}

/// Truncation of HMAC-SHA2-256 (RFC 4868 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sha2256 {
    /// 128 bits, as in RFC 4868.
    Bits128,
    /// 96 bits, as in draft-ietf-ipsec-ciph-sha-256-00.
    Bits96,
}

impl LoadOptions {
    /// Properties that the RFCs specify.
    pub const RFC: Self =
        Self { sha2_256: Sha2256::Bits128, without_integrity: false, profile: Profile::RFC, last_sequence: None };

    /// Sets the last sequence number that outbound SAs with these keys have used.
    ///
    /// Keys in a file outlive the counter of an SA. With an algorithm whose nonce contains the sequence number, two
    /// packets with the same number reveal the exclusive or of their plaintexts and, except for AES-CTR, let an
    /// attacker forge packets: RFC 3686 section 7 and RFC 4106 section 9 forbid such keys unless the number is kept.
    /// The caller keeps the number of each SA, and stores it ahead of use ([`SeqCounter::export_ahead`]).
    #[must_use]
    pub const fn continuing_after(self, last: Seq) -> Self {
        Self { last_sequence: Some(last), ..self }
    }
}

/// Reason why a well-formed statement cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyError {
    /// The SPI is reserved.
    Spi(ReservedSpi),
    /// The CPI is reserved.
    Cpi(ReservedCpi),
    /// The keys, or the combination of algorithms, are not acceptable.
    Key(KeyError),
    /// The nonce of this algorithm is the sequence number, and the last number that was used is not known:
    /// [`LoadOptions::continuing_after`].
    NonceReuse(&'static str),
    /// This algorithm of setkey(8) is obsolete and not implemented.
    Algorithm(&'static str),
    /// This protocol is not implemented: ESP or AH of RFC 1825 to 1829, or TCP-MD5.
    Protocol(&'static str),
    /// The window has more than 4096 packets.
    Window(WindowSize),
    /// BEET mode needs the inner addresses of the SA, which a policy between two hosts provides.
    Beet,
    /// This protocol has no ports, or the ports are no type and code of ICMP.
    Ports(IpProto),
    /// Security contexts of mandatory access control are not implemented.
    Label,
    /// Policies by tags of a packet filter are not implemented.
    Tagged,
    /// Policies by GRE keys are not implemented.
    GreKey,
    /// The policy has no action.
    NoAction,
    /// The last sequence number exceeds the 32 bits of the SA.
    Sequence,
}

impl ApplyError {
    /// Returns whether a loader continues without the statement because it needs an obsolete or unsupported feature:
    /// TCP-MD5, ESP and AH of RFC 1825 to 1829, obsolete ciphers, tags of a packet filter. A policy whose SAs are
    /// skipped discards its packets.
    pub const fn is_skipped(&self) -> bool {
        matches!(self, Self::Algorithm(_) | Self::Protocol(_) | Self::Tagged)
    }
}

impl From<KeyError> for ApplyError {
    fn from(e: KeyError) -> Self {
        Self::Key(e)
    }
}

impl From<ReservedSpi> for ApplyError {
    fn from(e: ReservedSpi) -> Self {
        Self::Spi(e)
    }
}

impl From<ReservedCpi> for ApplyError {
    fn from(e: ReservedCpi) -> Self {
        Self::Cpi(e)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spi(e) => e.fmt(f),
            Self::Cpi(e) => e.fmt(f),
            Self::Key(e) => e.fmt(f),
            Self::NonceReuse(name) => {
                write!(f, "{name} must not be used with static keys unless the last sequence number is known")
            }
            Self::Algorithm(name) => write!(f, "{name} is not implemented"),
            Self::Protocol(name) => write!(f, "{name} is not implemented"),
            Self::Window(size) => write!(f, "window of {} packets: 4096 is the maximum", size.in_packets()),
            Self::Beet => f.write_str("BEET mode needs a policy between two hosts"),
            Self::Ports(protocol) => write!(f, "protocol {protocol} has no such ports"),
            Self::Label => f.write_str("labels are not implemented"),
            Self::Tagged => f.write_str("policies by tag are not implemented"),
            Self::GreKey => f.write_str("policies by GRE key are not implemented"),
            Self::NoAction => f.write_str("policy without an action"),
            Self::Sequence => f.write_str("last sequence number exceeds 32 bits"),
        }
    }
}

impl core::error::Error for ApplyError {}

/// Length of the longest key in octets: a string of setkey(8) for algorithm `null`.
const MAX_KEY: usize = 256;

impl Add<'_> {
    /// Creates the inbound or outbound SA; the statement does not specify the direction (RFC 4301 section 4.5.1).
    /// `inner` are the source and destination address of the inner packets, for BEET mode.
    ///
    /// # Errors
    /// [`ApplyError`].
    /// [`ApplyError`].
    pub fn sa(
        &self,
        direction: Direction,
        inner: Option<(IpAddr, IpAddr)>,
        loading: &LoadOptions,
    ) -> Result<Sa<AnyAlgorithms>, ApplyError> {
        if self.context.is_some() {
            return Err(ApplyError::Label);
        }
        let width = if self.extended { SeqWidth::Extended64 } else { SeqWidth::Bits32 };
        let window = || {
            let size = WindowSize::bitmap_octets(self.window_octets);
            AnyWindow::new(size).ok_or(ApplyError::Window(size))
        };
        let transform = match self.id.protocol {
            SaProtocol::Esp | SaProtocol::EspUdp => {
                let (spi, suite) = (Spi::new(self.id.spi)?, self.suite(loading)?);
                match direction {
                    Direction::Outbound => {
                        let is_nonce = suite.layout().iv_rule == IvRule::Unique;
                        let mut esp = esp_core::Outbound::new(spi, suite, width);
                        if let Some(used) = self.used(is_nonce, width, loading)? {
                            esp.import(&used).map_err(|_| ApplyError::Sequence)?;
                        }
                        Transform::EspOut(esp)
                    }
                    Direction::Inbound => {
                        let mut esp = esp_core::Inbound::with_window(spi, suite, width, window()?);
                        if self.padding != Padding::Sequence {
                            esp.set_pad_check(PadCheck::LengthOnly);
                        }
                        Transform::EspIn(esp)
                    }
                }
            }
            SaProtocol::Ah => {
                let (spi, integrity) = (Spi::new(self.id.spi)?, self.integrity(loading)?);
                match direction {
                    Direction::Outbound => {
                        let is_nonce = integrity.iv_len() > 0;
                        let mut ah = ah_core::Outbound::new(spi, integrity, width, loading.profile);
                        if let Some(used) = self.used(is_nonce, width, loading)? {
                            ah.import(&used).map_err(|_| ApplyError::Sequence)?;
                        }
                        Transform::AhOut(ah)
                    }
                    Direction::Inbound => {
                        let ah = ah_core::Inbound::with_window(spi, integrity, width, loading.profile, window()?);
                        Transform::AhIn(ah)
                    }
                }
            }
            SaProtocol::Ipcomp => match (direction, self.cpi()?) {
                (Direction::Outbound, cpi) => Transform::IpcompOut(IpcompOut::new(cpi)),
                (Direction::Inbound, cpi) => Transform::IpcompIn(cpi),
            },
            other @ (SaProtocol::EspOld | SaProtocol::AhOld | SaProtocol::Tcp) => {
                return Err(ApplyError::Protocol(other.name()));
            }
        };
        let (source, destination) = (self.id.source.0, self.id.destination.0);
        // The parser has checked that both addresses have the same family.
        let sa = Sa::new(source, destination, transform).map_err(|_| ApplyError::Beet)?;
        let sa = sa.with_reqid(self.reqid).with_lifetimes(self.limits()).with_label(self.label());
        let sa = match self.encap() {
            Some(encap) => sa.with_encap(encap, self.repair()),
            None => sa,
        };
        if self.mode != Mode::Beet {
            return Ok(sa.with_mode(self.mode));
        }
        let (local, remote) = match (direction, inner.ok_or(ApplyError::Beet)?) {
            (Direction::Outbound, (source, destination)) => (source, destination),
            (Direction::Inbound, (source, destination)) => (destination, source),
        };
        match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Ok(sa.with_beet(Beet::v4(local, remote))),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Ok(sa.with_beet(Beet::v6(local, remote))),
            _ => Err(ApplyError::Beet),
        }
    }

    /// Returns the state of a counter after the last sequence number of these keys; `None` for keys that were never
    /// used.
    fn used(
        &self,
        is_nonce: bool,
        width: SeqWidth,
        loading: &LoadOptions,
    ) -> Result<Option<[u8; SeqCounter::STATE]>, ApplyError> {
        match loading.last_sequence {
            None if is_nonce => {
                let name = self.cipher.map(|(row, _)| row.name).or(self.mac.map(|(row, _)| row.name));
                Err(ApplyError::NonceReuse(name.unwrap_or_default()))
            }
            None => Ok(None),
            Some(last) if last.get() > width.last() => Err(ApplyError::Sequence),
            Some(last) => Ok(Some(SeqCounter::new(width).export_ahead(last.get()))),
        }
    }

    fn suite(&self, loading: &LoadOptions) -> Result<AnySuite, ApplyError> {
        let Some((cipher, key)) = &self.cipher else { return Err(KeyError::Unsupported.into()) };
        let algorithm = cipher.known.ok_or(ApplyError::Algorithm(cipher.name))?;
        let mac = match &self.mac {
            Some((mac, key)) => Some((cut(mac.known.ok_or(ApplyError::Algorithm(mac.name))?, loading), key)),
            None => None,
        };
        let (mut cipher_key, mut mac_key) = (Zeroizing::new([0; MAX_KEY]), Zeroizing::new([0; MAX_KEY]));
        // A key behind `null` is ignored.
        let octets = if algorithm == CipherAlgorithm::Null { Some(&[][..]) } else { key.decode(cipher_key.as_mut()) };
        let octets = octets.ok_or(KeyError::Unsupported)?;
        let suite = match mac {
            None | Some((IntegrityAlgorithm::None, _)) if loading.without_integrity && is_no_aead(algorithm) => {
                AnySuite::without_integrity(algorithm, octets)
            }
            None | Some((IntegrityAlgorithm::None, _)) => {
                AnySuite::from_slices(algorithm, octets, IntegrityAlgorithm::None, &[])
            }
            Some((mac, key)) => {
                let mac_octets = key.decode(mac_key.as_mut()).ok_or(KeyError::Unsupported)?;
                AnySuite::from_slices(algorithm, octets, mac, mac_octets)
            }
        };
        Ok(suite?)
    }

    fn integrity(&self, loading: &LoadOptions) -> Result<AnyAhIntegrity, ApplyError> {
        let Some((mac, key)) = &self.mac else { return Err(KeyError::NoIntegrity.into()) };
        let algorithm = cut(mac.known.ok_or(ApplyError::Algorithm(mac.name))?, loading);
        let mut octets = Zeroizing::new([0; MAX_KEY]);
        Ok(AnyAhIntegrity::new(algorithm, key.decode(octets.as_mut()).ok_or(KeyError::Unsupported)?)?)
    }

    /// Returns the CPI on the wire: the SPI with `-R`, otherwise the well-known number of the algorithm.
    fn cpi(&self) -> Result<Cpi, ApplyError> {
        match self.compression {
            Some((Compression::Deflate, false)) => Ok(Cpi::DEFLATE),
            Some((Compression::Deflate, true)) => {
                let cpi = u16::try_from(self.id.spi).map_err(|_| ReservedCpi(u16::MAX))?;
                Ok(Cpi::new(cpi)?)
            }
            Some((other, _)) => Err(ApplyError::Algorithm(other.name())),
            None => Err(ApplyError::Algorithm("IPComp without an algorithm")),
        }
    }

    fn encap(&self) -> Option<Encap> {
        let (source, destination) = match (self.natt, self.id.protocol) {
            (Some((source, destination)), _) => (source.1, destination.1),
            (None, SaProtocol::EspUdp) => (self.id.source.1, self.id.destination.1),
            (None, _) => return None,
        };
        let ports = Ports { source: source.unwrap_or(4500), destination: destination.unwrap_or(4500) };
        Some(Encap { ports, marker: Marker::NonEsp })
    }

    /// Returns the checksum repair: by the difference if the original address of the peer is known, otherwise by
    /// recomputation.
    fn repair(&self) -> ChecksumRepair {
        let original = match (self.natt, self.original_address) {
            (Some((source, destination)), _) => Some((source.0, destination.0)),
            (None, Some(source)) => Some((source, self.id.destination.0)),
            (None, None) => None,
        };
        original.map_or(ChecksumRepair::Recompute, |(source, destination)| {
            ChecksumRepair::Incremental(OriginalAddresses { source, destination })
        })
    }

    fn limits(&self) -> Lifetimes {
        let statement::Lifetimes { hard_seconds, soft_seconds, hard_bytes, soft_bytes } = self.lifetimes;
        let some = |n: u64| (n > 0).then_some(n);
        let limit = |seconds, octets| Limit {
            age: some(seconds).map(Duration::from_secs),
            octets: some(octets),
            ..Limit::default()
        };
        Lifetimes { soft: limit(soft_seconds, soft_bytes), hard: limit(hard_seconds, hard_bytes) }
    }

    fn label(&self) -> Label {
        let name = match self.compression {
            Some((compression, _)) => Some(compression.name()),
            None => self.cipher.map(|(cipher, _)| cipher.name),
        };
        Label { index: self.id.spi, cipher: name, mac: self.mac.map(|(mac, _)| mac.name) }
    }
}

fn is_no_aead(algorithm: CipherAlgorithm) -> bool {
    algorithm.row().is_some_and(|row| row.icv == 0)
}

fn cut(algorithm: IntegrityAlgorithm, loading: &LoadOptions) -> IntegrityAlgorithm {
    match (algorithm, loading.sha2_256) {
        (IntegrityAlgorithm::HmacSha2_256_128, Sha2256::Bits96) => IntegrityAlgorithm::HmacSha2_256_96,
        (algorithm, _) => algorithm,
    }
}

impl PolicyStatement<'_> {
    /// Converts the selector of the policy (RFC 4301 section 4.4.1.1).
    ///
    /// # Errors
    /// [`ApplyError::Tagged`], [`ApplyError::GreKey`], [`ApplyError::Label`], [`ApplyError::Ports`].
    pub fn selector(&self) -> Result<ipsec_packet::Selector, ApplyError> {
        let Selector::Flow { source, destination, upper } = self.selector else { return Err(ApplyError::Tagged) };
        if self.context.is_some() {
            return Err(ApplyError::Label);
        }
        let ports = |range: Range| range.port.map_or(PortRange::ANY, PortRange::one);
        let (from, to) = (ports(source), ports(destination));
        let upper = match (upper, from == PortRange::ANY && to == PortRange::ANY) {
            (Upper::Any, true) => ipsec_packet::Upper::Any,
            (Upper::Any, false) => ipsec_packet::Upper::Ports(None, from, to),
            (Upper::Protocol(protocol), true) => ipsec_packet::Upper::Protocol(protocol),
            (Upper::Protocol(protocol), false) => icmp_or_ports(protocol, source.port, destination.port, from, to)?,
            (Upper::Gre(_), _) => return Err(ApplyError::GreKey),
            (Upper::Icmp(protocol, kind, code), _) => ipsec_packet::Upper::Icmp(protocol, kind, code),
        };
        Ok(ipsec_packet::Selector { source: addresses(source), destination: addresses(destination), upper })
    }

    /// Converts the policy (RFC 4301 section 4.4.1.2).
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn policy(&self) -> Result<Policy, ApplyError> {
        Ok(Policy {
            selector: self.selector()?,
            direction: self.direction,
            priority: self.priority,
            action: self.action.ok_or(ApplyError::NoAction)?,
        })
    }
}

/// Converts ports. With ICMP they are type and code, as in setkey(8).
fn icmp_or_ports(
    protocol: IpProto,
    source: Option<u16>,
    destination: Option<u16>,
    from: PortRange,
    to: PortRange,
) -> Result<ipsec_packet::Upper, ApplyError> {
    match protocol {
        IpProto::ICMP | IpProto::ICMPV6 => {
            let octet = |port: u16| u8::try_from(port).map_err(|_| ApplyError::Ports(protocol));
            let kind = octet(source.ok_or(ApplyError::Ports(protocol))?)?;
            Ok(ipsec_packet::Upper::Icmp(protocol, kind, destination.map(octet).transpose()?))
        }
        _ if protocol.has_ports() => Ok(ipsec_packet::Upper::Ports(Some(protocol), from, to)),
        // A policy that no packet matches would protect nothing.
        _ => Err(ApplyError::Ports(protocol)),
    }
}

/// Converts a range. The parser has checked that the prefix is no longer than the address.
fn addresses(range: Range) -> AddressRange {
    AddressRange::prefix(range.address, range.prefix).unwrap_or(AddressRange::host(range.address))
}
