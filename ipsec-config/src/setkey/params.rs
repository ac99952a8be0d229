//! Conversion of a statement to the parameters of an SA.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, KeyError, Secret, SuiteKeys};
use ipsec_packet::{
    Beet, ChecksumRepair, Cpi, IpProto, Marker, OriginalAddresses, Ports, ReservedCpi, Seq, SeqWidth, WindowSize,
};
use ipsec_sa::{
    CompressionAlgorithm, Direction, Lifetimes, Limit, Mode, PaddingCheck, Protocol, SaId, SaParams, TransformParams,
    UdpEncap,
};
use zeroize::Zeroizing;

use super::statement::{self, Add, Padding};
use super::values::SaProtocol;

/// Properties of an SA that a statement does not specify (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Length to which `hmac-sha2-256` is truncated: 128 bits in RFC 4868, 96 bits in KAME and Linux PF_KEY.
    pub sha2_256: Sha2256,
    /// Accepts ESP with a cipher and without an integrity algorithm, which an attacker can modify unnoticed.
    pub without_integrity: bool,
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
    pub const RFC: Self = Self { sha2_256: Sha2256::Bits128, without_integrity: false, last_sequence: None };

    /// Sets the last sequence number that outbound SAs with these keys have used.
    ///
    /// Keys in a file outlive the counter of an SA. With an algorithm whose nonce contains the sequence number, two
    /// packets with the same number reveal the exclusive or of their plaintexts and, except for AES-CTR, let an
    /// attacker forge packets: RFC 3686 section 7 and RFC 4106 section 9 forbid such keys unless the number is kept.
    /// The caller keeps the number of each SA, and stores it ahead of use
    /// ([`SeqCounter::export_ahead`](ipsec_packet::SeqCounter::export_ahead)).
    #[must_use]
    pub const fn continuing_after(self, last: Seq) -> Self {
        Self { last_sequence: Some(last), ..self }
    }
}

/// Reason why a well-formed statement cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementError {
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
    /// BEET mode needs the inner addresses of the SA, which a policy between two hosts provides.
    Beet,
    /// This protocol has no ports, or the ports are not a type and code of ICMP.
    Ports(IpProto),
    /// Security contexts of mandatory access control are not implemented.
    Label,
    /// Policies by tags of a packet filter are not implemented.
    Tagged,
    /// Policies by GRE keys are not implemented.
    GreKey,
    /// The policy has no action.
    NoAction,
    /// This last sequence number exceeds the 32 bits of the SA.
    Sequence(Seq),
}

impl StatementError {
    /// Returns whether a loader continues without the statement because it needs an obsolete or unsupported feature:
    /// TCP-MD5, ESP and AH of RFC 1825 to 1829, obsolete ciphers, tags of a packet filter. A policy whose SAs are
    /// skipped discards its packets.
    pub const fn is_skipped(&self) -> bool {
        matches!(self, Self::Algorithm(_) | Self::Protocol(_) | Self::Tagged)
    }
}

impl From<KeyError> for StatementError {
    fn from(e: KeyError) -> Self {
        Self::Key(e)
    }
}

impl From<ReservedCpi> for StatementError {
    fn from(e: ReservedCpi) -> Self {
        Self::Cpi(e)
    }
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpi(e) => e.fmt(f),
            Self::Key(e) => e.fmt(f),
            Self::NonceReuse(name) => {
                write!(f, "{name} must not be used with static keys unless the last sequence number is known")
            }
            Self::Algorithm(name) => write!(f, "{name} is not implemented"),
            Self::Protocol(name) => write!(f, "{name} is not implemented"),
            Self::Beet => f.write_str("BEET mode needs a policy between two hosts"),
            Self::Ports(protocol) => {
                write!(f, "protocol {protocol}: expected no ports, or an ICMP type and code of 0 to 255")
            }
            Self::Label => f.write_str("labels are not implemented"),
            Self::Tagged => f.write_str("policies by tag are not implemented"),
            Self::GreKey => f.write_str("policies by GRE key are not implemented"),
            Self::NoAction => f.write_str("policy without an action"),
            Self::Sequence(last) => write!(
                f,
                "last sequence number: got {}, expected at most {} without extended sequence numbers",
                last.get(),
                u32::MAX
            ),
        }
    }
}

impl core::error::Error for StatementError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Cpi(e) => Some(e),
            Self::Key(e) => Some(e),
            _ => None,
        }
    }
}

/// Length of the longest key in octets: a string of setkey(8) for algorithm `null`.
const MAX_KEY: usize = 256;

impl Add<'_> {
    /// Converts the statement to the parameters of the inbound or outbound SA; the statement does not specify the
    /// direction (RFC 4301 section 4.5.1). `inner` are the source and destination address of the inner packets, for
    /// BEET mode.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn params(
        &self,
        direction: Direction,
        inner: Option<(IpAddr, IpAddr)>,
        options: &LoadOptions,
    ) -> Result<SaParams, StatementError> {
        if self.context.is_some() {
            return Err(StatementError::Label);
        }
        let (protocol, transform, spi) = match self.id.protocol {
            SaProtocol::Esp | SaProtocol::EspUdp => (Protocol::Esp, self.esp(options)?, self.id.spi),
            SaProtocol::Ah => (Protocol::Ah, self.ah(options)?, self.id.spi),
            SaProtocol::Ipcomp => self.ipcomp()?,
            other @ (SaProtocol::EspOld | SaProtocol::AhOld | SaProtocol::Tcp) => {
                return Err(StatementError::Protocol(other.name()));
            }
        };
        let (source, destination) = (self.id.source.0, self.id.destination.0);
        let encap = self.encap();
        let peer_port = encap.filter(|_| direction == Direction::Outbound).map(|encap| encap.ports.destination);
        let id = SaId { direction, destination, protocol, spi, peer_port };
        let (mode, sequence) = (self.mode, if self.extended { SeqWidth::Extended64 } else { SeqWidth::Bits32 });
        Ok(SaParams {
            mode,
            sequence,
            last_sequence: self.last_sequence(direction, &transform, sequence, options)?,
            window: WindowSize::bitmap_octets(self.window_octets),
            padding: match self.padding {
                Padding::Sequence => PaddingCheck::Sequence,
                Padding::Zero | Padding::Random => PaddingCheck::LengthOnly,
            },
            encap,
            repair: self.repair(),
            max_packet: Some(self.natt_mtu).filter(|size| *size > 0 && direction == Direction::Outbound),
            lifetimes: self.limits(),
            reqid: self.reqid,
            beet: if mode == Mode::Beet { Some(beet(direction, inner)?) } else { None },
            ..SaParams::new(id, source, transform)
        })
    }

    /// Returns the last sequence number of the keys of an outbound SA; `None` for keys that were never used.
    fn last_sequence(
        &self,
        direction: Direction,
        transform: &TransformParams,
        width: SeqWidth,
        options: &LoadOptions,
    ) -> Result<Option<Seq>, StatementError> {
        match options.last_sequence {
            _ if direction == Direction::Inbound || matches!(transform, TransformParams::Ipcomp { .. }) => Ok(None),
            None if transform.has_sequence_nonce() => {
                let name = self.cipher.map(|(row, _)| row.name).or(self.mac.map(|(row, _)| row.name));
                Err(StatementError::NonceReuse(name.unwrap_or_default()))
            }
            Some(last) if last.get() > width.last() => Err(StatementError::Sequence(last)),
            last => Ok(last),
        }
    }

    fn esp(&self, options: &LoadOptions) -> Result<TransformParams, StatementError> {
        let Some((cipher, key)) = &self.cipher else { return Err(KeyError::Unsupported.into()) };
        let algorithm = cipher.known.ok_or(StatementError::Algorithm(cipher.name))?;
        let (mut cipher_key, mut mac_key) = (Zeroizing::new([0; MAX_KEY]), Zeroizing::new([0; MAX_KEY]));
        // A key after `null` is ignored.
        let octets = if algorithm == CipherAlgorithm::Null { Some(&[][..]) } else { key.decode(cipher_key.as_mut()) };
        let octets = octets.ok_or(KeyError::Unsupported)?;
        let (integrity, mac_octets) = match &self.mac {
            None => (IntegrityAlgorithm::None, &[][..]),
            Some((mac, key)) => match cut(mac.known.ok_or(StatementError::Algorithm(mac.name))?, options) {
                IntegrityAlgorithm::None => (IntegrityAlgorithm::None, &[][..]),
                integrity => (integrity, key.decode(mac_key.as_mut()).ok_or(KeyError::Unsupported)?),
            },
        };
        let keys = SuiteKeys::new(algorithm, octets, integrity, mac_octets)?;
        let is_aead = algorithm.row().is_some_and(|row| row.icv > 0);
        if integrity == IntegrityAlgorithm::None && !is_aead && options.without_integrity {
            return Ok(TransformParams::EspWithoutIntegrity(keys));
        }
        match (integrity, algorithm, is_aead) {
            //= RFC 4303 3.2/1
            //# MUST: confidentiality or integrity is selected: the algorithms are never both null
            (IntegrityAlgorithm::None, CipherAlgorithm::Null, _) => Err(KeyError::NullWithoutIntegrity.into()),
            (IntegrityAlgorithm::None, _, false) => Err(KeyError::NoIntegrity.into()),
            _ => Ok(TransformParams::Esp(keys)),
        }
    }

    fn ah(&self, options: &LoadOptions) -> Result<TransformParams, StatementError> {
        let Some((mac, key)) = &self.mac else { return Err(KeyError::NoIntegrity.into()) };
        let integrity = cut(mac.known.ok_or(StatementError::Algorithm(mac.name))?, options);
        if integrity == IntegrityAlgorithm::None {
            return Err(KeyError::NoIntegrity.into());
        }
        let mut octets = Zeroizing::new([0; MAX_KEY]);
        let key = Secret::new(key.decode(octets.as_mut()).ok_or(KeyError::Unsupported)?)?;
        Ok(TransformParams::Ah { integrity, key })
    }

    /// Returns the association with its CPI on the wire: the SPI with `-R`, otherwise the well-known number of the
    /// algorithm.
    fn ipcomp(&self) -> Result<(Protocol, TransformParams, u32), StatementError> {
        let spi = self.id.spi;
        let (algorithm, cpi) = match self.compression {
            Some((algorithm @ CompressionAlgorithm::Deflate, false)) => (algorithm, Cpi::DEFLATE),
            Some((algorithm @ CompressionAlgorithm::Deflate, true)) => {
                (algorithm, Cpi::new(u16::try_from(spi).map_err(|_| ReservedCpi(u16::MAX))?)?)
            }
            Some((other, _)) => return Err(StatementError::Algorithm(other.name())),
            None => return Err(StatementError::Algorithm("IPComp without an algorithm")),
        };
        Ok((Protocol::Ipcomp, TransformParams::Ipcomp { algorithm, spi }, cpi.get().into()))
    }

    fn encap(&self) -> Option<UdpEncap> {
        let (source, destination) = match (self.natt, self.id.protocol) {
            (Some((source, destination)), _) => (source.1, destination.1),
            (None, SaProtocol::EspUdp) => (self.id.source.1, self.id.destination.1),
            (None, _) => return None,
        };
        let ports = Ports { source: source.unwrap_or(4500), destination: destination.unwrap_or(4500) };
        Some(UdpEncap { ports, marker: Marker::NonEsp })
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
}

/// Returns the inner addresses of BEET mode as seen from this host.
fn beet(direction: Direction, inner: Option<(IpAddr, IpAddr)>) -> Result<Beet, StatementError> {
    let (local, remote) = match (direction, inner.ok_or(StatementError::Beet)?) {
        (Direction::Outbound, (source, destination)) => (source, destination),
        (Direction::Inbound, (source, destination)) => (destination, source),
    };
    match (local, remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => Ok(Beet::v4(local, remote)),
        (IpAddr::V6(local), IpAddr::V6(remote)) => Ok(Beet::v6(local, remote)),
        _ => Err(StatementError::Beet),
    }
}

fn cut(algorithm: IntegrityAlgorithm, options: &LoadOptions) -> IntegrityAlgorithm {
    match (algorithm, options.sha2_256) {
        (IntegrityAlgorithm::HmacSha2_256_128, Sha2256::Bits96) => IntegrityAlgorithm::HmacSha2_256_96,
        (algorithm, _) => algorithm,
    }
}
