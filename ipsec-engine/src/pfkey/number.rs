use core::fmt;

/// The type of a message; unknown ones are kept (RFC 2367 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageKind(pub u8);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl MessageKind {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// The name, where there is one: those from 12 on are KAME's, FreeBSD's and Linux's.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

kinds! {
    /// Reserves an SPI (RFC 2367 3.1.1).
    GETSPI = 1;
    /// Fills in a larval SA (RFC 2367 3.1.2).
    UPDATE = 2;
    /// Installs an SA (RFC 2367 3.1.3).
    ADD = 3;
    /// Takes an SA out (RFC 2367 3.1.4).
    DELETE = 4;
    /// Asks for an SA (RFC 2367 3.1.5).
    GET = 5;
    /// Asks for keys (RFC 2367 3.1.6).
    ACQUIRE = 6;
    /// Asks to be asked (RFC 2367 3.1.7).
    REGISTER = 7;
    /// A limit is reached (RFC 2367 3.1.8).
    EXPIRE = 8;
    /// Takes all SAs out (RFC 2367 3.1.9).
    FLUSH = 9;
    /// Asks for all SAs (RFC 2367 3.1.10).
    DUMP = 10;
    /// Asks for all messages (RFC 2367 appendix A).
    PROMISC = 11;
    /// Passive close (RFC 2367 appendix B).
    PCHANGE = 12;
    /// Changes a policy.
    SPDUPDATE = 13;
    /// Adds a policy.
    SPDADD = 14;
    /// Takes a policy out.
    SPDDELETE = 15;
    /// Asks for a policy.
    SPDGET = 16;
    /// A policy is asked for.
    SPDACQUIRE = 17;
    /// Asks for all policies.
    SPDDUMP = 18;
    /// Takes all policies out.
    SPDFLUSH = 19;
    /// Adds the selector of a policy.
    SPDSETIDX = 20;
    /// A policy's time is over.
    SPDEXPIRE = 21;
    /// Takes a policy out by its number.
    SPDDELETE2 = 22;
    /// A NAT has changed the peer's port (Linux).
    NAT_T_NEW_MAPPING = 23;
    /// Moves SAs and policies (Linux).
    MIGRATE = 24;
}

impl MessageKind {
    /// OpenBSD: adds a flow.
    pub const OPENBSD_ADDFLOW: Self = Self(12);
    /// OpenBSD: takes a flow out.
    pub const OPENBSD_DELFLOW: Self = Self(13);
    /// OpenBSD: makes a bundle of SAs.
    pub const OPENBSD_GRPSPIS: Self = Self(14);
    /// OpenBSD: asks for a policy by its number.
    pub const OPENBSD_ASKPOLICY: Self = Self(15);
}

impl fmt::Debug for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "MessageKind({})", self.0),
        }
    }
}

/// The type of an SA (RFC 2367 3.4). Its numbers differ between dialects: see [`Dialect::sa_type`](super::Dialect::sa_type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SaType {
    /// Any.
    Unspecified,
    /// AH.
    Ah,
    /// ESP.
    Esp,
    /// IPComp.
    Ipcomp,
    /// TCP-MD5.
    TcpSignature,
    /// Another one, by its number.
    Other(u8),
}

/// Flags of an SA (RFC 2367 3.2). What they mean above the first depends on the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SaFlags(pub u32);

impl SaFlags {
    /// Perfect forward secrecy (RFC 2367 2.3.1).
    pub const PFS: u32 = 1;
    /// KAME, FreeBSD: ESP or AH of RFC 1826 and 1827.
    pub const KAME_OLD: u32 = 0x1;
    /// KAME: an IV of 4 octets.
    pub const KAME_IV4B: u32 = 0x10;
    /// KAME: DES with a derived IV.
    pub const KAME_DERIV: u32 = 0x20;
    /// KAME: numbers may start again.
    pub const KAME_CYCSEQ: u32 = 0x40;
    /// KAME: the SPI of IPComp is the CPI of the wire.
    pub const KAME_RAWCPI: u32 = 0x80;
    /// KAME: padding is random.
    pub const KAME_PRAND: u32 = 0x100;
    /// KAME: padding is zeros.
    pub const KAME_PZERO: u32 = 0x200;
    /// FreeBSD, OpenBSD: extended sequence numbers (RFC 4303 2.2.1).
    pub const ESN: u32 = 0x400;
    /// OpenBSD: tunnel mode.
    pub const OPENBSD_TUNNEL: u32 = 0x4;
    /// OpenBSD: ESP in UDP.
    pub const OPENBSD_UDPENCAP: u32 = 0x200;
    /// Linux: no path MTU discovery.
    pub const LINUX_NOPMTUDISC: u32 = 0x2000_0000;
    /// Linux: DSCP is copied to the inner header.
    pub const LINUX_DECAP_DSCP: u32 = 0x4000_0000;
    /// Linux: ECN is not carried over.
    pub const LINUX_NOECN: u32 = 0x8000_0000;

    /// Whether all bits of a flag are set.
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag == flag
    }
}
