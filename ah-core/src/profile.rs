use crate::header::HEADER;

/// Interpretation of AH rules on which implementations differ (RFC 4302 sections 2.6 and 3.3.3.1). A profile applies
/// to signing and verification, unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(crate) align_v4: usize,
    pub(crate) align_v6: usize,
    pub(crate) strict_length: bool,
    pub(crate) ipv6_options: Ipv6Options,
    pub(crate) tos: TosRule,
    pub(crate) unfinished_routes: bool,
}

/// ICV input of an IPv6 option that may change on the path (RFC 4302 section 3.3.3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ipv6Options {
    /// Type and length are included, the data is replaced by zeros (RFC 4302 section 3.3.3.1.2.2; KAME, Linux).
    DataZeroed,
    /// The whole option is replaced by zeros, including type and length (FreeBSD, OpenBSD, NetBSD and other
    /// descendants of FAST_IPSEC).
    WholeZeroed,
}

/// ICV input of the TOS octet of IPv4 (RFC 4302 section 3.3.3.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TosRule {
    /// The octet is mutable and replaced by zero (RFC 2402, RFC 4302 section 3.3.3.1.1).
    Mutable,
    /// The octet is included unchanged (RFC 1826; BSD with `ah_cleartos` off).
    Included,
}

impl Profile {
    /// Profile of RFC 4302. The header is a multiple of 4 octets on IPv4 and of 8 on IPv6. Received headers may also
    /// have the other alignment, or none, as the ICV covers the length field.
    //= RFC 4302 2.6/2
    //# MUST: no more padding is inserted than the alignment requires
    pub const RFC: Self = Self {
        align_v4: 4,
        align_v6: 8,
        strict_length: false,
        ipv6_options: Ipv6Options::DataZeroed,
        tos: TosRule::Mutable,
        unfinished_routes: false,
    };

    /// Profile of Linux without `flag align4`: the header is a multiple of 8 octets on IPv4 as well.
    pub const LINUX: Self = Self { align_v4: 8, ..Self::RFC };

    /// Profile of FreeBSD and NetBSD: the alignment of the RFC, but mutable IPv6 options are replaced by zeros as a
    /// whole.
    pub const BSD: Self = Self { ipv6_options: Ipv6Options::WholeZeroed, ..Self::RFC };

    /// Profile of OpenBSD: like BSD, without alignment to 8 octets on IPv6.
    pub const OPENBSD: Self = Self { align_v6: 4, ..Self::BSD };

    /// Profile of KAME: the rules of the RFC, without alignment to 8 octets on IPv6.
    pub const KAME: Self = Self { align_v6: 4, ..Self::RFC };

    /// Sets the treatment of the TOS octet (RFC 4302 section 3.3.3.1.1.1).
    #[must_use]
    pub const fn with_tos(self, tos: TosRule) -> Self {
        Self { tos, ..self }
    }

    /// Accepts only headers with the alignment of this profile, as OpenBSD does (RFC 4302 section 3.3.3.2.1).
    #[must_use]
    pub const fn strict_length(self) -> Self {
        Self { strict_length: true, ..self }
    }

    /// Accepts packets with an unfinished source route or routing header, and verifies them with its final
    /// destination (RFC 4302 section 3.3.3.1.1.2), for the analysis of captures. Such a packet must not be delivered:
    /// an attacker on the path can turn a mutable option into a source route.
    #[must_use]
    pub const fn accepting_unfinished_routes(self) -> Self {
        Self { unfinished_routes: true, ..self }
    }

    /// Returns the length of a header whose ICV field has `field` octets, for this IP version.
    //= RFC 4302 2.6/1
    //# MUST: explicit padding of the ICV field to 4 (IPv4) or 8 (IPv6) octets is supported
    pub(crate) fn header_len(self, version: u8, field: usize) -> usize {
        aligned(HEADER.saturating_add(field), if version == 6 { self.align_v6 } else { self.align_v4 })
    }

    /// Returns whether a received header of this length is accepted.
    //= RFC 4302 2.6/1
    //# MUST: explicit padding of the ICV field to 4 (IPv4) or 8 (IPv6) octets is supported
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
