//! Explicit Congestion Notification across a tunnel (RFC 6040, RFC 3168 section 9.2, RFC 2401 section 5.1.2).

/// Treatment of the two ECN bits by a tunnel (RFC 6040 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EcnMode {
    /// Normal mode of RFC 6040: copied at encapsulation; congestion marks are combined at decapsulation.
    #[default]
    Normal,
    /// Compatibility mode of RFC 6040: the outer header has Not-ECT, because the peer drops marks. Decapsulation as
    /// in normal mode.
    Compatible,
    /// RFC 2401: copied at encapsulation with the rest of the TOS octet; the outer octet is ignored at decapsulation.
    Rfc2401,
    /// ECN is not used on the tunnel (RFC 3168 section 9.2.1, limited functionality): Not-ECT outside, inner bits
    /// unchanged.
    Forbidden,
}

const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

impl EcnMode {
    /// Returns the ECN bits of the outer header for those of the inner header (RFC 6040 section 4.1).
    pub const fn encapsulate(self, inner: u8) -> u8 {
        match self {
            Self::Normal | Self::Rfc2401 => inner & 0b11,
            Self::Compatible | Self::Forbidden => NOT_ECT,
        }
    }

    /// Returns the ECN bits of the inner packet after decapsulation (RFC 6040 figure 4); `None` if the packet must be
    /// dropped because congestion was marked on a packet without ECN-capable transport.
    pub const fn decapsulate(self, outer: u8, inner: u8) -> Option<u8> {
        let (outer, inner) = (outer & 0b11, inner & 0b11);
        match self {
            Self::Rfc2401 | Self::Forbidden => Some(inner),
            Self::Normal | Self::Compatible => match (inner, outer) {
                (NOT_ECT, CE) => None,
                (NOT_ECT, _) => Some(NOT_ECT),
                (_, CE) | (CE, _) => Some(CE),
                (_, ECT_1) => Some(ECT_1),
                _ => Some(inner),
            },
        }
    }
}
