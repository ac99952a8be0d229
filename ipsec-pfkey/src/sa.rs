//! Messages to the parameters of an SA or a policy, and back (RFC 2367 sections 3.1.2 and 3.1.3).

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, KeyError, Secret, SuiteKeys};
use ipsec_packet::{
    AddressRange, ChecksumRepair, IpProto, Marker, OriginalAddresses, PortRange, Ports, Selector, SeqWidth, Upper,
    WindowSize,
};
use ipsec_sa::{
    CompressionAlgorithm, Direction, Lifetimes, Limit, MAX_TRANSFORMS, Mode, PaddingCheck, PolicyParams, Priority,
    Protocol, SaId, SaParams, TransformParams, UdpEncap,
};

use crate::dialect::{Dialect, Wire};
use crate::error::NoSpace;
use crate::extension::{AddressRole, Extension, Key, KeyRole, Lifetime, LifetimeRole, Side};
use crate::message::Message;
use crate::number::{MessageKind, SaFlags, SaType};
use crate::write::MessageWriter;

/// Any upper-layer protocol, IPSEC_ULPROTO_ANY of KAME and Linux.
const ANY_PROTOCOL: IpProto = IpProto(255);

/// Reason why an SA or a policy cannot be written as a message of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small, or the dialect has no number for an extension.
    NoSpace,
    /// The dialect has no number for this cipher.
    Cipher(CipherAlgorithm),
    /// The dialect has no number for this integrity algorithm.
    Integrity(IntegrityAlgorithm),
    /// The dialect does not support this property of an SA or a policy.
    Unsupported(&'static str),
}

impl From<NoSpace> for WriteError {
    fn from(_: NoSpace) -> Self {
        Self::NoSpace
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => NoSpace.fmt(f),
            Self::Cipher(algorithm) => write!(f, "cipher {algorithm} has no PF_KEY number"),
            Self::Integrity(algorithm) => write!(f, "integrity algorithm {algorithm} has no PF_KEY number"),
            Self::Unsupported(what) => write!(f, "PF_KEY of this system does not support {what}"),
        }
    }
}

impl core::error::Error for WriteError {}

/// Reason why a message does not describe an SA or a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// This extension is missing.
    Missing(&'static str),
    /// The SA type of the message is none of ESP, AH and IPComp.
    SaType(SaType),
    /// The number of the cipher or compression algorithm is unknown.
    Cipher(u8),
    /// The number of the integrity algorithm is unknown.
    Integrity(u8),
    /// The number of the mode is unknown.
    Mode(u8),
    /// A key has an invalid length.
    Key(KeyError),
    /// The direction of the policy is unknown, or the policy is that of a socket.
    PolicyDirection(u8),
    /// The policy has more templates than are supported.
    TooManyTemplates,
    /// The prefix is longer than the address.
    Prefix(u8),
    /// The selector of the policy has an ICMP type and code in the place of the ports, which is not supported.
    IcmpType(u16, u16),
}

impl From<KeyError> for ReadError {
    fn from(e: KeyError) -> Self {
        Self::Key(e)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "{what} extension is missing"),
            Self::SaType(kind) => write!(f, "unsupported SA type {kind:?}"),
            Self::Cipher(number) => write!(f, "unknown cipher or compression algorithm {number}"),
            Self::Integrity(number) => write!(f, "unknown integrity algorithm {number}"),
            Self::Mode(number) => write!(f, "unknown mode {number}"),
            Self::Key(e) => e.fmt(f),
            Self::PolicyDirection(number) => write!(f, "unknown policy direction {number}"),
            Self::TooManyTemplates => {
                write!(f, "too many templates in one policy: expected at most {MAX_TRANSFORMS}")
            }
            Self::IcmpType(kind, code) => write!(f, "unsupported ICMP selector: type {kind}, code {code}"),
            Self::Prefix(bits) => {
                write!(f, "prefix length: got {bits}, expected at most 32 for IPv4, 128 for IPv6")
            }
        }
    }
}

impl core::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Key(e) => Some(e),
            _ => None,
        }
    }
}

/// Returns the SA type of a protocol (RFC 2367 section 3.4).
pub(crate) const fn sa_type(protocol: Protocol) -> SaType {
    match protocol {
        Protocol::Esp => SaType::Esp,
        Protocol::Ah => SaType::Ah,
        Protocol::Ipcomp => SaType::Ipcomp,
    }
}

/// Writes the message that installs an SA, SADB_ADD or SADB_UPDATE (RFC 2367 sections 3.1.2 and 3.1.3).
///
/// # Errors
/// [`WriteError`], among others for an algorithm without a number in the dialect.
pub fn write_sa<'b>(
    buffer: &'b mut [u8],
    wire: Wire,
    kind: MessageKind,
    sa: &SaParams,
    numbers: (u32, u32),
) -> Result<&'b mut [u8], WriteError> {
    write_sa_with(buffer, wire, kind, (sa, sa.reqid), numbers)
}

/// Writes the message that installs an SA with another request ID.
pub(crate) fn write_sa_with<'b>(
    buffer: &'b mut [u8],
    wire: Wire,
    kind: MessageKind,
    (sa, reqid): (&SaParams, u32),
    (sequence, pid): (u32, u32),
) -> Result<&'b mut [u8], WriteError> {
    if sa.mode == Mode::Beet {
        return Err(WriteError::Unsupported("BEET mode"));
    }
    if sa.last_sequence.is_some_and(|last| last.get() > 0) {
        return Err(WriteError::Unsupported("initial sequence number"));
    }
    let mut writer = MessageWriter::new(buffer, wire, kind, sa_type(sa.id.protocol), sequence, pid)?;
    writer.push(&sa_extension(wire.dialect, sa)?)?;
    if wire.dialect != Dialect::OpenBsd {
        writer.push(&Extension::Sa2 { mode: Extension::mode_number(sa.mode), sequence: 0, reqid })?;
    } else if reqid > 0 {
        return Err(WriteError::Unsupported("request ID"));
    }
    let limits = [(LifetimeRole::Hard, &sa.lifetimes.hard), (LifetimeRole::Soft, &sa.lifetimes.soft)];
    // KAME refuses one without the other.
    let has_both = wire.dialect.is_kame() && limits.iter().any(|(_, limit)| **limit != Limit::default());
    for (role, limit) in limits {
        if has_both || *limit != Limit::default() {
            writer.push(&Extension::Lifetime(role, lifetime(limit)?))?;
        }
    }
    push_address(&mut writer, AddressRole::Source, IpProto(0), AddressRange::host(sa.source), 0)?;
    push_address(&mut writer, AddressRole::Destination, IpProto(0), AddressRange::host(sa.id.destination), 0)?;
    push_keys(&mut writer, wire.dialect, &sa.transform)?;
    if let Some(encap) = sa.encap {
        push_encap(&mut writer, wire.dialect, encap, sa.repair)?;
        if let Some(size) = sa.max_packet.filter(|_| wire.dialect.is_kame()) {
            writer.push(&Extension::NatFragment(size))?;
        }
    }
    if matches!(wire.dialect, Dialect::FreeBsd) && sa.window.in_packets() > 32 {
        writer.push(&Extension::ReplayWindow(sa.window.in_packets()))?;
    }
    Ok(writer.finish()?)
}

fn sa_extension(dialect: Dialect, sa: &SaParams) -> Result<Extension<'static>, WriteError> {
    let mut flags = 0;
    let is_openbsd = dialect == Dialect::OpenBsd;
    match (sa.sequence, dialect) {
        (SeqWidth::Bits32, _) => {}
        (SeqWidth::Extended64, Dialect::FreeBsd | Dialect::OpenBsd) => flags |= SaFlags::ESN,
        (SeqWidth::Extended64, _) => return Err(WriteError::Unsupported("extended sequence numbers")),
    }
    if is_openbsd && sa.mode == Mode::Tunnel {
        flags |= SaFlags::OPENBSD_TUNNEL;
    }
    if is_openbsd && sa.encap.is_some() {
        flags |= SaFlags::OPENBSD_UDPENCAP;
    }
    let (cipher, integrity) = match &sa.transform {
        TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
            let cipher = dialect.cipher_number(keys.cipher).ok_or(WriteError::Cipher(keys.cipher))?;
            (cipher, dialect.integrity_number(keys.integrity).ok_or(WriteError::Integrity(keys.integrity))?)
        }
        TransformParams::Ah { integrity, .. } => {
            (0, dialect.integrity_number(*integrity).ok_or(WriteError::Integrity(*integrity))?)
        }
        TransformParams::Ipcomp { algorithm, spi } => {
            // KAME and its descendants use the well-known CPI unless the flag selects the SPI.
            if *spi == sa.id.spi && !matches!(dialect, Dialect::Linux | Dialect::OpenBsd) {
                flags |= SaFlags::KAME_RAWCPI;
            }
            (compression_number(*algorithm)?, 0)
        }
    };
    let spi = match (&sa.transform, dialect) {
        // Linux and OpenBSD have no SPI of an IPComp SA beside the CPI.
        (TransformParams::Ipcomp { .. }, Dialect::Linux | Dialect::OpenBsd) => sa.id.spi,
        _ => sa.managed_spi(),
    };
    let packets = sa.window.in_packets();
    let replay = if dialect.is_kame() { packets.div_ceil(8) } else { packets };
    let replay = u8::try_from(replay).unwrap_or(u8::MAX);
    let mature = 1;
    Ok(Extension::Sa { spi, replay, state: mature, integrity, cipher, flags: SaFlags(flags) })
}

const fn compression_number(algorithm: CompressionAlgorithm) -> Result<u8, WriteError> {
    match algorithm {
        CompressionAlgorithm::Oui => Ok(1),
        CompressionAlgorithm::Deflate => Ok(2),
        CompressionAlgorithm::Lzs => Ok(3),
        _ => Err(WriteError::Unsupported("number for the compression algorithm")),
    }
}

fn lifetime(limit: &Limit) -> Result<Lifetime, WriteError> {
    // 0 means unlimited.
    let packets = u32::try_from(limit.packets.map_or(0, |packets| packets.max(1)));
    Ok(Lifetime {
        allocations: packets.map_err(|_| WriteError::Unsupported("packet limit above 2^32 - 1"))?,
        octets: limit.octets.map_or(0, |octets| octets.max(1)),
        added: limit.age.map_or(0, |age| age.as_secs().max(1)),
        used: limit.use_age.map_or(0, |age| age.as_secs().max(1)),
    })
}

fn push_keys(writer: &mut MessageWriter<'_>, dialect: Dialect, transform: &TransformParams) -> Result<(), WriteError> {
    let mut push = |role, octets: &[u8]| {
        let bits = u16::try_from(octets.len().saturating_mul(8)).map_err(|_| WriteError::NoSpace)?;
        // KAME refuses ESP without a key of the cipher, and that of NULL has no octets.
        let is_required = matches!(role, KeyRole::Encryption) && dialect.is_kame();
        if bits > 0 || is_required {
            writer.push(&Extension::Key(role, Key { bits, octets }))?;
        }
        Ok(())
    };
    match transform {
        TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
            push(KeyRole::Authentication, keys.integrity_key.expose())?;
            push(KeyRole::Encryption, keys.cipher_key.expose())
        }
        TransformParams::Ah { key, .. } => push(KeyRole::Authentication, key.expose()),
        TransformParams::Ipcomp { .. } => Ok(()),
    }
}

fn push_encap(
    writer: &mut MessageWriter<'_>,
    dialect: Dialect,
    encap: UdpEncap,
    repair: ChecksumRepair,
) -> Result<(), WriteError> {
    if dialect == Dialect::OpenBsd {
        writer.push(&Extension::UdpEncap(encap.ports.destination))?;
        return Ok(());
    }
    writer.push(&Extension::NatType(match encap.marker {
        Marker::NonIke => 1,
        Marker::NonEsp => 2,
    }))?;
    writer.push(&Extension::NatPort(Side::Source, encap.ports.source))?;
    writer.push(&Extension::NatPort(Side::Destination, encap.ports.destination))?;
    if let ChecksumRepair::Incremental(OriginalAddresses { source, .. }) = repair {
        push_address(writer, AddressRole::OriginalInitiator, IpProto(0), AddressRange::host(source), 0)?;
    }
    Ok(())
}

pub(crate) fn push_address(
    writer: &mut MessageWriter<'_>,
    role: AddressRole,
    proto: IpProto,
    range: AddressRange,
    port: u16,
) -> Result<(), WriteError> {
    let prefix = range.prefix_length().ok_or(WriteError::Unsupported("address ranges"))?;
    writer.push(&Extension::Address { role, proto, prefix, address: range.first(), port })?;
    Ok(())
}

/// Writes the addresses of a selector (KAME and Linux). Type and code of ICMP are in the ports.
pub(crate) fn push_selector(writer: &mut MessageWriter<'_>, selector: &Selector) -> Result<(), WriteError> {
    let port = |range: PortRange| match range {
        PortRange::ANY => Ok(0),
        PortRange { first, last } if first == last && first > 0 => Ok(first),
        _ => Err(WriteError::Unsupported("port ranges")),
    };
    let (proto, from, to) = match selector.upper {
        Upper::Any => (ANY_PROTOCOL, 0, 0),
        Upper::Protocol(proto) => (proto, 0, 0),
        Upper::Ports(proto, from, to) => (proto.unwrap_or(ANY_PROTOCOL), port(from)?, port(to)?),
        Upper::Icmp(..) => return Err(WriteError::Unsupported("ICMP type selectors")),
    };
    push_address(writer, AddressRole::Source, proto, selector.source, from)?;
    push_address(writer, AddressRole::Destination, proto, selector.destination, to)
}

/// Reads the parameters of an SA from SADB_ADD, SADB_UPDATE, SADB_GET or SADB_DUMP. A message does not contain the
/// direction of the SA.
///
/// # Errors
/// [`ReadError`].
pub fn read_sa(message: &Message<'_>, direction: Direction) -> Result<SaParams, ReadError> {
    let (dialect, found) = (message.wire().dialect, Found::of(message));
    let Some((spi, replay, integrity, cipher, flags)) = found.sa else { return Err(ReadError::Missing("SA")) };
    let source = found.source.ok_or(ReadError::Missing("source address"))?;
    let destination = found.destination.ok_or(ReadError::Missing("destination address"))?;
    let protocol = match message.header().sa_type {
        SaType::Esp => Protocol::Esp,
        SaType::Ah => Protocol::Ah,
        SaType::Ipcomp => Protocol::Ipcomp,
        other => return Err(ReadError::SaType(other)),
    };
    let transform = found.transform(dialect, protocol, (integrity, cipher), spi)?;
    let cpi = match transform {
        TransformParams::Ipcomp { algorithm, .. } if is_well_known(dialect, flags) => {
            compression_number(algorithm).unwrap_or(0).into()
        }
        _ => spi,
    };
    let encap = found.encap();
    let peer_port = encap.filter(|_| direction == Direction::Outbound).map(|encap| encap.ports.destination);
    let id = SaId { direction, destination, protocol, spi: cpi, peer_port };
    let mode = match (dialect, found.mode) {
        (Dialect::OpenBsd, _) if flags.has(SaFlags::OPENBSD_TUNNEL) => Mode::Tunnel,
        (Dialect::OpenBsd, _) => Mode::Transport,
        (_, None) => Mode::Any,
        (_, Some(number)) => Extension::mode(number).ok_or(ReadError::Mode(number))?,
    };
    let has_esn = matches!(dialect, Dialect::FreeBsd | Dialect::OpenBsd) && flags.has(SaFlags::ESN);
    let zero_or_random = SaFlags::KAME_PRAND | SaFlags::KAME_PZERO;
    let is_kame = dialect.is_kame();
    Ok(SaParams {
        mode,
        sequence: if has_esn { SeqWidth::Extended64 } else { SeqWidth::Bits32 },
        window: found.window.map_or(
            if is_kame { WindowSize::bitmap_octets(replay.into()) } else { WindowSize::packets(replay.into()) },
            WindowSize::packets,
        ),
        padding: if is_kame && flags.0 & zero_or_random != 0 {
            PaddingCheck::LengthOnly
        } else {
            PaddingCheck::Sequence
        },
        encap,
        max_packet: found.max_packet,
        repair: found.original.map_or(ChecksumRepair::Recompute, |source| {
            ChecksumRepair::Incremental(OriginalAddresses { source, destination })
        }),
        lifetimes: found.lifetimes,
        reqid: found.reqid,
        ..SaParams::new(id, source, transform)
    })
}

/// Returns whether the SPI of an IPComp SA is not the CPI on the wire.
fn is_well_known(dialect: Dialect, flags: SaFlags) -> bool {
    !matches!(dialect, Dialect::Linux | Dialect::OpenBsd) && !flags.has(SaFlags::KAME_RAWCPI)
}

/// Extensions of a message about an SA.
#[derive(Default)]
struct Found<'m> {
    sa: Option<(u32, u8, u8, u8, SaFlags)>,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    original: Option<IpAddr>,
    mode: Option<u8>,
    reqid: u32,
    lifetimes: Lifetimes,
    integrity_key: &'m [u8],
    cipher_key: &'m [u8],
    nat_type: Option<u8>,
    ports: (u16, u16),
    udp_port: Option<u16>,
    max_packet: Option<u16>,
    window: Option<u32>,
}

impl<'m> Found<'m> {
    fn of(message: &Message<'m>) -> Self {
        let mut found = Self::default();
        for extension in message.extensions() {
            match extension {
                Extension::Sa { spi, replay, integrity, cipher, flags, .. } => {
                    found.sa = Some((spi, replay, integrity, cipher, flags));
                }
                Extension::Address { role: AddressRole::Source, address, .. } => found.source = Some(address),
                Extension::Address { role: AddressRole::Destination, address, .. } => found.destination = Some(address),
                Extension::Address { role: AddressRole::OriginalInitiator, address, .. } => {
                    found.original = Some(address);
                }
                Extension::Sa2 { mode, reqid, .. } => (found.mode, found.reqid) = (Some(mode), reqid),
                Extension::Lifetime(LifetimeRole::Hard, lifetime) => found.lifetimes.hard = limit(&lifetime),
                Extension::Lifetime(LifetimeRole::Soft, lifetime) => found.lifetimes.soft = limit(&lifetime),
                Extension::Key(KeyRole::Authentication, key) => found.integrity_key = key.octets,
                Extension::Key(KeyRole::Encryption, key) => found.cipher_key = key.octets,
                Extension::NatType(kind) => found.nat_type = Some(kind),
                Extension::NatPort(Side::Source, port) => found.ports.0 = port,
                Extension::NatPort(Side::Destination, port) => found.ports.1 = port,
                Extension::UdpEncap(port) => found.udp_port = Some(port),
                Extension::NatFragment(size) => found.max_packet = Some(size).filter(|size| *size > 0),
                Extension::ReplayWindow(packets) => found.window = Some(packets),
                _ => {}
            }
        }
        found
    }

    fn transform(
        &self,
        dialect: Dialect,
        protocol: Protocol,
        (integrity, cipher): (u8, u8),
        spi: u32,
    ) -> Result<TransformParams, ReadError> {
        let integrity_of = |number| dialect.integrity(number).ok_or(ReadError::Integrity(number));
        Ok(match protocol {
            Protocol::Esp => {
                let cipher = dialect.cipher(cipher).ok_or(ReadError::Cipher(cipher))?;
                let integrity = integrity_of(integrity)?;
                let keys = SuiteKeys::new(cipher, self.cipher_key, integrity, self.integrity_key)?;
                let is_aead = cipher.row().is_some_and(|row| row.icv > 0);
                if integrity == IntegrityAlgorithm::None && !is_aead {
                    TransformParams::EspWithoutIntegrity(keys)
                } else {
                    TransformParams::Esp(keys)
                }
            }
            Protocol::Ah => {
                TransformParams::Ah { integrity: integrity_of(integrity)?, key: Secret::new(self.integrity_key)? }
            }
            Protocol::Ipcomp => {
                let algorithm = match cipher {
                    1 => CompressionAlgorithm::Oui,
                    2 => CompressionAlgorithm::Deflate,
                    3 => CompressionAlgorithm::Lzs,
                    other => return Err(ReadError::Cipher(other)),
                };
                TransformParams::Ipcomp { algorithm, spi }
            }
        })
    }

    fn encap(&self) -> Option<UdpEncap> {
        let ports = Ports { source: self.ports.0, destination: self.ports.1 };
        match (self.nat_type, self.udp_port) {
            (Some(1), _) => Some(UdpEncap { ports, marker: Marker::NonIke }),
            (Some(2), _) => Some(UdpEncap { ports, marker: Marker::NonEsp }),
            (_, Some(port)) => {
                Some(UdpEncap { ports: Ports { source: 4500, destination: port }, marker: Marker::NonEsp })
            }
            _ => None,
        }
    }
}

fn limit(lifetime: &Lifetime) -> Limit {
    let some = |n: u64| (n > 0).then_some(n);
    Limit {
        age: some(lifetime.added).map(Duration::from_secs),
        use_age: some(lifetime.used).map(Duration::from_secs),
        octets: some(lifetime.octets),
        packets: some(lifetime.allocations.into()),
    }
}

/// Reads the parameters of a policy from SADB_X_SPDADD, SADB_X_SPDUPDATE or SADB_X_SPDDUMP (KAME and Linux).
///
/// # Errors
/// [`ReadError`].
pub fn read_policy(message: &Message<'_>) -> Result<PolicyParams, ReadError> {
    let (mut source, mut destination, mut policy) = (None, None, None);
    for extension in message.extensions() {
        match extension {
            Extension::Address { role: AddressRole::Source, proto, prefix, address, port } => {
                let range = AddressRange::prefix(address, prefix).ok_or(ReadError::Prefix(prefix))?;
                source = Some((range, proto, port));
            }
            Extension::Address { role: AddressRole::Destination, prefix, address, port, .. } => {
                destination = Some((AddressRange::prefix(address, prefix).ok_or(ReadError::Prefix(prefix))?, port));
            }
            Extension::Policy(found) => policy = Some(found),
            _ => {}
        }
    }
    let (source, proto, from) = source.ok_or(ReadError::Missing("source address"))?;
    let (destination, to) = destination.ok_or(ReadError::Missing("destination address"))?;
    let policy = policy.ok_or(ReadError::Missing("policy"))?;
    let ports = |port| if port == 0 { PortRange::ANY } else { PortRange::one(port) };
    let named = (proto != ANY_PROTOCOL).then_some(proto);
    let upper = match (named, from, to) {
        (None, 0, 0) => Upper::Any,
        (Some(proto), 0, 0) => Upper::Protocol(proto),
        (Some(IpProto::ICMP | IpProto::ICMPV6), kind, code) => return Err(ReadError::IcmpType(kind, code)),
        _ => Upper::Ports(named, ports(from), ports(to)),
    };
    Ok(PolicyParams {
        selector: Selector { source, destination, upper },
        direction: policy.direction().ok_or(ReadError::PolicyDirection(policy.direction))?,
        priority: if policy.priority == 0 { Priority::DEFAULT } else { Priority(policy.priority) },
        action: policy.action().ok_or(ReadError::TooManyTemplates)?,
    })
}
