use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};

use crate::extension::{AddressRole, KeyRole, LifetimeRole, Side};
use crate::number::SaType;

/// System whose numbers a message uses (RFC 2367 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// KAME, with which all of HMAC-SHA2 is truncated to 96 bits.
    Kame,
    /// NetBSD, which extends KAME.
    NetBsd,
    /// FreeBSD with its own extensions.
    FreeBsd,
    /// Linux with the net/key interface.
    Linux,
    /// OpenBSD with flows instead of policies.
    OpenBsd,
}

/// Byte order of the integers of a message, which is that of the machine (RFC 2367 section 2). SPIs, addresses and
/// ports are always in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Little-endian, lowest octet first.
    Little,
    /// Big-endian, highest octet first.
    Big,
}

impl Order {
    /// Byte order of this machine.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    pub(crate) const fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    pub(crate) const fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    pub(crate) const fn u64(self, octets: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(octets),
            Self::Big => u64::from_be_bytes(octets),
        }
    }

    pub(crate) const fn octets16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) const fn octets32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) const fn octets64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// Dialect and byte order of a message (RFC 2367 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wire {
    /// System whose numbers are used.
    pub dialect: Dialect,
    /// Byte order of integers.
    pub order: Order,
}

/// Kind of an extension, independent of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sa,
    Lifetime(LifetimeRole),
    Address(AddressRole),
    Key(KeyRole),
    Identity(Side),
    Supported(KeyRole),
    SpiRange,
    Policy,
    Sa2,
    NatType,
    NatPort(Side),
    NatFragment,
    ReplayWindow,
    UdpEncap,
}

type ExtensionRow = (u16, Kind);

/// Extension numbers of RFC 2367.
const RFC: &[ExtensionRow] = &[
    (1, Kind::Sa),
    (2, Kind::Lifetime(LifetimeRole::Current)),
    (3, Kind::Lifetime(LifetimeRole::Hard)),
    (4, Kind::Lifetime(LifetimeRole::Soft)),
    (5, Kind::Address(AddressRole::Source)),
    (6, Kind::Address(AddressRole::Destination)),
    (7, Kind::Address(AddressRole::Proxy)),
    (8, Kind::Key(KeyRole::Authentication)),
    (9, Kind::Key(KeyRole::Encryption)),
    (10, Kind::Identity(Side::Source)),
    (11, Kind::Identity(Side::Destination)),
    (14, Kind::Supported(KeyRole::Authentication)),
    (15, Kind::Supported(KeyRole::Encryption)),
    (16, Kind::SpiRange),
];

/// Extension numbers that KAME, FreeBSD and Linux share.
const KAME: &[ExtensionRow] = &[
    (18, Kind::Policy),
    (19, Kind::Sa2),
    (20, Kind::NatType),
    (21, Kind::NatPort(Side::Source)),
    (22, Kind::NatPort(Side::Destination)),
    (23, Kind::Address(AddressRole::OriginalInitiator)),
];

const FREEBSD: &[ExtensionRow] = &[
    (24, Kind::Address(AddressRole::OriginalResponder)),
    (25, Kind::NatFragment),
    (26, Kind::ReplayWindow),
    (27, Kind::Address(AddressRole::NewSource)),
    (28, Kind::Address(AddressRole::NewDestination)),
];

/// Extension numbers of NetBSD after those of KAME.
const NETBSD: &[ExtensionRow] = &[(24, Kind::Address(AddressRole::OriginalResponder)), (25, Kind::NatFragment)];

const OPENBSD: &[ExtensionRow] = &[
    (17, Kind::Address(AddressRole::SourceMask)),
    (18, Kind::Address(AddressRole::DestinationMask)),
    (21, Kind::Address(AddressRole::SourceFlow)),
    (22, Kind::Address(AddressRole::DestinationFlow)),
    (24, Kind::Address(AddressRole::SecondDestination)),
    (31, Kind::UdpEncap),
    (32, Kind::Lifetime(LifetimeRole::LastUse)),
];

impl Dialect {
    /// Returns this dialect with a byte order.
    pub const fn with(self, order: Order) -> Wire {
        Wire { dialect: self, order }
    }

    const fn own(self) -> [&'static [ExtensionRow]; 2] {
        match self {
            Self::Kame | Self::NetBsd => [KAME, NETBSD],
            Self::FreeBsd => [KAME, FREEBSD],
            Self::Linux => [KAME, &[]],
            Self::OpenBsd => [OPENBSD, &[]],
        }
    }

    fn extensions(self) -> impl Iterator<Item = &'static ExtensionRow> {
        RFC.iter().chain(self.own().into_iter().flatten())
    }

    pub(crate) fn kind(self, number: u16) -> Option<Kind> {
        self.extensions().find(|row| row.0 == number).map(|row| row.1)
    }

    pub(crate) fn number(self, kind: Kind) -> Option<u16> {
        self.extensions().find(|row| row.1 == kind).map(|row| row.0)
    }

    /// Returns the number of `AF_INET6`; `AF_INET` is 2 on every system.
    pub(crate) const fn inet6(self) -> u8 {
        match self {
            Self::Kame | Self::NetBsd | Self::OpenBsd => 24,
            Self::FreeBsd => 28,
            Self::Linux => 10,
        }
    }

    /// Returns whether a kernel truncates the ICV of an algorithm to 96 bits, where RFC 4868 section 2.6 specifies half
    /// of the hash.
    pub const fn truncates(self, algorithm: IntegrityAlgorithm) -> bool {
        match algorithm {
            IntegrityAlgorithm::HmacSha2_256_128 => matches!(self, Self::Kame | Self::Linux),
            IntegrityAlgorithm::HmacSha2_384_192 | IntegrityAlgorithm::HmacSha2_512_256 => matches!(self, Self::Kame),
            _ => false,
        }
    }

    /// Returns whether packets that are forwarded are subject to policies of their own.
    pub const fn has_forward_policies(self) -> bool {
        matches!(self, Self::Linux)
    }

    /// Returns whether policies have priorities; without them they have the order in which they were added.
    pub const fn has_priorities(self) -> bool {
        matches!(self, Self::Linux | Self::FreeBsd)
    }

    /// Returns whether the messages are those of KAME.
    pub(crate) const fn is_kame(self) -> bool {
        matches!(self, Self::Kame | Self::NetBsd | Self::FreeBsd)
    }

    /// Returns whether a socket address begins with its own length.
    pub(crate) const fn has_sa_len(self) -> bool {
        !matches!(self, Self::Linux)
    }

    /// Returns the SA type of a number (RFC 2367 section 3.4).
    pub const fn sa_type(self, number: u8) -> SaType {
        match (self, number) {
            (_, 0) => SaType::Unspecified,
            (Self::OpenBsd, 1) | (Self::Kame | Self::NetBsd | Self::FreeBsd | Self::Linux, 2) => SaType::Ah,
            (Self::OpenBsd, 2) | (Self::Kame | Self::NetBsd | Self::FreeBsd | Self::Linux, 3) => SaType::Esp,
            (_, 9) => SaType::Ipcomp,
            (Self::OpenBsd, 8) | (Self::Kame | Self::NetBsd | Self::FreeBsd, 11) => SaType::TcpSignature,
            (_, other) => SaType::Other(other),
        }
    }

    /// Returns the number of an SA type; `None` if the dialect has none (RFC 2367 section 3.4).
    pub const fn sa_type_number(self, kind: SaType) -> Option<u8> {
        match (self, kind) {
            (_, SaType::Unspecified) => Some(0),
            (Self::OpenBsd, SaType::Ah) => Some(1),
            (_, SaType::Ah) => Some(2),
            (Self::OpenBsd, SaType::Esp) => Some(2),
            (_, SaType::Esp) => Some(3),
            (_, SaType::Ipcomp) => Some(9),
            (Self::OpenBsd, SaType::TcpSignature) => Some(8),
            (Self::Linux, SaType::TcpSignature) => None,
            (_, SaType::TcpSignature) => Some(11),
            (_, SaType::Other(number)) => Some(number),
        }
    }

    /// Returns the number of a cipher; `None` if the dialect has none (RFC 2367 section 3.5).
    pub fn cipher_number(self, algorithm: CipherAlgorithm) -> Option<u8> {
        self.ciphers().find(|row| row.1 == algorithm).map(|row| row.0)
    }

    /// Returns the cipher of a number (RFC 2367 section 3.5).
    pub fn cipher(self, number: u8) -> Option<CipherAlgorithm> {
        self.ciphers().find(|row| row.0 == number).map(|row| row.1)
    }

    fn ciphers(self) -> impl Iterator<Item = &'static CipherRow> {
        let own: [&[CipherRow]; 3] = match self {
            Self::Kame | Self::NetBsd => [DES, &[], GMAC_23],
            Self::FreeBsd => [DES, FREEBSD_CIPHERS, GMAC_23],
            Self::Linux => [DES, CCM, GMAC_23],
            Self::OpenBsd => [&[], OPENBSD_CIPHERS, &[]],
        };
        CIPHERS.iter().chain(own.into_iter().flatten())
    }

    /// Returns the number of an integrity algorithm; `None` if the dialect has none (RFC 2367 section 3.5). Linux
    /// truncates SHA2-256 to 96 bits if it is requested by PF_KEY, and KAME truncates all of SHA2 to 96 bits: the
    /// caller has to supply the length on the wire.
    pub fn integrity_number(self, algorithm: IntegrityAlgorithm) -> Option<u8> {
        let algorithm = match (self, algorithm) {
            // Both truncations have one number.
            (Self::Linux | Self::Kame, IntegrityAlgorithm::HmacSha2_256_96) => IntegrityAlgorithm::HmacSha2_256_128,
            (_, algorithm) => algorithm,
        };
        self.macs().find(|row| row.1 == algorithm).map(|row| row.0)
    }

    /// Returns the integrity algorithm of a number (RFC 2367 section 3.5).
    pub fn integrity(self, number: u8) -> Option<IntegrityAlgorithm> {
        let algorithm = self.macs().find(|row| row.0 == number).map(|row| row.1)?;
        match (self, algorithm) {
            (Self::Linux | Self::Kame, IntegrityAlgorithm::HmacSha2_256_128) => {
                Some(IntegrityAlgorithm::HmacSha2_256_96)
            }
            (_, algorithm) => Some(algorithm),
        }
    }

    fn macs(self) -> impl Iterator<Item = &'static MacRow> {
        let own: &[MacRow] = match self {
            Self::Kame | Self::NetBsd | Self::FreeBsd | Self::Linux => XCBC,
            Self::OpenBsd => &[],
        };
        MACS.iter().chain(own)
    }
}

type CipherRow = (u8, CipherAlgorithm);
type MacRow = (u8, IntegrityAlgorithm);

/// Cipher numbers that all dialects share.
const CIPHERS: &[CipherRow] = &[
    (3, CipherAlgorithm::TripleDesCbc),
    (6, CipherAlgorithm::Cast128Cbc),
    (7, CipherAlgorithm::BlowfishCbc),
    (11, CipherAlgorithm::Null),
    (12, CipherAlgorithm::AesCbc),
    (13, CipherAlgorithm::AesCtr),
    (18, CipherAlgorithm::AesGcm8),
    (19, CipherAlgorithm::AesGcm12),
    (20, CipherAlgorithm::AesGcm16),
];
const DES: &[CipherRow] = &[(2, CipherAlgorithm::DesCbc)];
const CCM: &[CipherRow] =
    &[(14, CipherAlgorithm::AesCcm8), (15, CipherAlgorithm::AesCcm12), (16, CipherAlgorithm::AesCcm16)];
const GMAC_23: &[CipherRow] = &[(23, CipherAlgorithm::NullAesGmac)];
const FREEBSD_CIPHERS: &[CipherRow] = &[(15, CipherAlgorithm::ChaCha20Poly1305)];
const OPENBSD_CIPHERS: &[CipherRow] = &[(21, CipherAlgorithm::NullAesGmac), (22, CipherAlgorithm::ChaCha20Poly1305)];

/// Integrity algorithm numbers that all dialects share.
const MACS: &[MacRow] = &[
    (0, IntegrityAlgorithm::None),
    (2, IntegrityAlgorithm::HmacMd5_96),
    (3, IntegrityAlgorithm::HmacSha1_96),
    (5, IntegrityAlgorithm::HmacSha2_256_128),
    (6, IntegrityAlgorithm::HmacSha2_384_192),
    (7, IntegrityAlgorithm::HmacSha2_512_256),
    (8, IntegrityAlgorithm::HmacRipemd160_96),
    // Number of setkey(8) and libreswan for no integrity algorithm; the first row is the one that is written.
    (251, IntegrityAlgorithm::None),
];
const XCBC: &[MacRow] = &[(9, IntegrityAlgorithm::AesXcbcMac96)];
