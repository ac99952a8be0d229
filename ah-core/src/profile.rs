use crate::header::HEADER;

/// What peers disagree about (RFC 4302 2.6, 3.3.3.1). A profile changes both what is sent and what is accepted, except where it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(crate) align_v4: usize,
    pub(crate) align_v6: usize,
    pub(crate) strict_length: bool,
    pub(crate) ipv6_options: Ipv6Options,
    pub(crate) tos: TosRule,
    pub(crate) unfinished_routes: bool,
}

/// What counts for the ICV of an IPv6 option that may change on the way (RFC 4302 3.3.3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ipv6Options {
    /// Its type and length count, its data count as zeros (RFC 4302 3.3.3.1.2.2; KAME, Linux).
    DataZeroed,
    /// All of it counts as zeros, type and length too (FreeBSD, OpenBSD, NetBSD and what comes from FAST_IPSEC).
    WholeZeroed,
}

/// Whether the TOS octet of IPv4 counts for the ICV (RFC 4302 3.3.3.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TosRule {
    /// It is mutable and counts as zero (RFC 2402, RFC 4302 3.3.3.1.1).
    Mutable,
    /// It counts as it is (RFC 1826; BSD with `ah_cleartos` off).
    Included,
}

impl Profile {
    /// RFC 4302. The header is a multiple of 4 octets on IPv4 and of 8 on IPv6; received headers may also be padded to the
    /// other, or not at all, as the length field is covered by the ICV.
    //= RFC 4302 2.6/2
    pub const RFC: Self = Self {
        align_v4: 4,
        align_v6: 8,
        strict_length: false,
        ipv6_options: Ipv6Options::DataZeroed,
        tos: TosRule::Mutable,
        unfinished_routes: false,
    };

    /// Linux without `flag align4`: a multiple of 8 octets on IPv4, too.
    pub const LINUX: Self = Self { align_v4: 8, ..Self::RFC };

    /// FreeBSD and NetBSD: RFC alignment, but mutable IPv6 options count as zeros altogether.
    pub const BSD: Self = Self { ipv6_options: Ipv6Options::WholeZeroed, ..Self::RFC };

    /// OpenBSD: as BSD, and no alignment to 8 on IPv6.
    pub const OPENBSD: Self = Self { align_v6: 4, ..Self::BSD };

    /// KAME: RFC rules, but no alignment to 8 on IPv6.
    pub const KAME: Self = Self { align_v6: 4, ..Self::RFC };

    /// With this treatment of the TOS octet (RFC 4302 3.3.3.1.1.1).
    #[must_use]
    pub const fn with_tos(self, tos: TosRule) -> Self {
        Self { tos, ..self }
    }

    /// Accepting only headers padded as this profile pads them, as OpenBSD does (RFC 4302 3.3.3.2.1).
    #[must_use]
    pub const fn strict_length(self) -> Self {
        Self { strict_length: true, ..self }
    }

    /// Verifying packets whose source route or routing header is not used up, with the destination that follows from it (RFC 4302
    /// 3.3.3.1.1.2): for the analysis of captures. Such a packet must not be delivered: an attacker on the path can turn a mutable option
    /// into a source route.
    #[must_use]
    pub const fn accepting_unfinished_routes(self) -> Self {
        Self { unfinished_routes: true, ..self }
    }

    /// Octets of a header whose ICV field has `field` octets, in a packet of this IP version.
    //= RFC 4302 2.6/1
    pub(crate) fn header_len(self, version: u8, field: usize) -> usize {
        aligned(HEADER.saturating_add(field), if version == 6 { self.align_v6 } else { self.align_v4 })
    }

    /// Whether a received header of this length is accepted.
    //= RFC 4302 2.6/1
    pub(crate) fn accepts(self, version: u8, field: usize, len: usize) -> bool {
        let exact = HEADER.saturating_add(field);
        match self.strict_length {
            true => len == self.header_len(version, field),
            false => len == aligned(exact, 4) || len == aligned(exact, 8),
        }
    }
}

fn aligned(len: usize, to: usize) -> usize {
    len.checked_next_multiple_of(to).unwrap_or(len)
}
