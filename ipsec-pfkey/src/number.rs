use core::fmt;

/// Type of a message; unknown numbers are preserved (RFC 2367 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageKind(pub u8);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl MessageKind {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Returns the name of the type, if it has one. Numbers from 12 on are those of KAME, FreeBSD and Linux.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

kinds! {
    /// Reserves an SPI (RFC 2367 section 3.1.1).
    GETSPI = 1;
    /// Completes a larval SA, or changes an SA (RFC 2367 section 3.1.2).
    UPDATE = 2;
    /// Installs an SA (RFC 2367 section 3.1.3).
    ADD = 3;
    /// Removes an SA (RFC 2367 section 3.1.4).
    DELETE = 4;
    /// Requests an SA (RFC 2367 section 3.1.5).
    GET = 5;
    /// Requests key exchange for an SA (RFC 2367 section 3.1.6).
    ACQUIRE = 6;
    /// Registers for acquires (RFC 2367 section 3.1.7).
    REGISTER = 7;
    /// Reports that a limit is reached (RFC 2367 section 3.1.8).
    EXPIRE = 8;
    /// Removes all SAs (RFC 2367 section 3.1.9).
    FLUSH = 9;
    /// Requests all SAs (RFC 2367 section 3.1.10).
    DUMP = 10;
    /// Requests copies of all messages (RFC 2367 appendix A).
    PROMISC = 11;
    /// Announces a passive close (RFC 2367 appendix B).
    PCHANGE = 12;
    /// Replaces a policy with its selector.
    SPDUPDATE = 13;
    /// Adds a policy with its selector.
    SPDADD = 14;
    /// Removes a policy by its selector.
    SPDDELETE = 15;
    /// Requests a policy by its number.
    SPDGET = 16;
    /// Requests a policy for a socket.
    SPDACQUIRE = 17;
    /// Requests all policies of the SPD.
    SPDDUMP = 18;
    /// Removes all policies from the SPD.
    SPDFLUSH = 19;
    /// Adds the selector of a policy.
    SPDSETIDX = 20;
    /// Reports that the lifetime of a policy is over.
    SPDEXPIRE = 21;
    /// Removes a policy by its number.
    SPDDELETE2 = 22;
    /// Reports that a NAT has changed the address or port of the peer (Linux).
    NAT_T_NEW_MAPPING = 23;
    /// Moves SAs and policies to other addresses (Linux).
    MIGRATE = 24;
}

impl MessageKind {
    /// Adds a flow (OpenBSD).
    pub const OPENBSD_ADDFLOW: Self = Self(12);
    /// Removes a flow (OpenBSD).
    pub const OPENBSD_DELFLOW: Self = Self(13);
    /// Groups SAs into a bundle (OpenBSD).
    pub const OPENBSD_GRPSPIS: Self = Self(14);
    /// Requests a policy by its number (OpenBSD).
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

/// Type of an SA (RFC 2367 section 3.4). Its number depends on the dialect: see
/// [`Dialect::sa_type`](super::Dialect::sa_type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SaType {
    /// Unspecified type, which means SAs of all types.
    Unspecified,
    /// SAs of the Authentication Header.
    Ah,
    /// SAs of the Encapsulating Security Payload.
    Esp,
    /// SAs of IP Payload Compression.
    Ipcomp,
    /// SAs of TCP-MD5 signatures.
    TcpSignature,
    /// Other type with this number.
    Other(u8),
}

/// Flags of an SA (RFC 2367 section 3.2). Except for the first, their meaning depends on the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SaFlags(pub u32);

impl SaFlags {
    /// Perfect forward secrecy (RFC 2367 section 2.3.1).
    pub const PFS: u32 = 1;
    /// ESP or AH of RFC 1826 and 1827 (KAME, FreeBSD).
    pub const KAME_OLD: u32 = 0x1;
    /// IV of 4 octets (KAME).
    pub const KAME_IV4B: u32 = 0x10;
    /// DES with a derived IV (KAME).
    pub const KAME_DERIV: u32 = 0x20;
    /// Sequence numbers may wrap (KAME).
    pub const KAME_CYCSEQ: u32 = 0x40;
    /// SPI of IPComp is the CPI on the wire (KAME).
    pub const KAME_RAWCPI: u32 = 0x80;
    /// Random padding octets (KAME).
    pub const KAME_PRAND: u32 = 0x100;
    /// Padding octets of value 0 (KAME).
    pub const KAME_PZERO: u32 = 0x200;
    /// Extended sequence numbers, RFC 4303 section 2.2.1 (FreeBSD, OpenBSD).
    pub const ESN: u32 = 0x400;
    /// Tunnel mode SA (OpenBSD).
    pub const OPENBSD_TUNNEL: u32 = 0x4;
    /// UDP encapsulation of ESP (OpenBSD).
    pub const OPENBSD_UDPENCAP: u32 = 0x200;
    /// Path MTU discovery is disabled (Linux).
    pub const LINUX_NOPMTUDISC: u32 = 0x2000_0000;
    /// DSCP is copied to the inner header (Linux).
    pub const LINUX_DECAP_DSCP: u32 = 0x4000_0000;
    /// ECN is not copied to the inner header (Linux).
    pub const LINUX_NOECN: u32 = 0x8000_0000;

    /// Returns whether all bits of a flag are set.
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag == flag
    }
}
