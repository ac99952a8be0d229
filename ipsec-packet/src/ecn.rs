//! Explicit congestion notification across a tunnel (RFC 6040, RFC 3168 9.2, RFC 2401 5.1.2).

/// How the two ECN bits cross the tunnel (RFC 6040 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EcnMode {
    /// RFC 6040 normal mode: copied on the way out, congestion marks combined on the way in.
    #[default]
    Normal,
    /// RFC 6040 compatibility mode: the outer header says Not-ECT, because the other end drops marks. On the way in as
    /// normal mode.
    Compatible,
    /// RFC 2401: copied on the way out with the rest of the TOS octet; the outer octet is ignored on the way in.
    Rfc2401,
    /// ECN is forbidden on the tunnel (RFC 3168 9.2.1, limited functionality): Not-ECT outside, inner bits untouched.
    Forbidden,
}

const NOT_ECT: u8 = 0b00;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

impl EcnMode {
    /// The outer ECN bits for a packet with these inner ones (RFC 6040 4.1).
    pub const fn encapsulate(self, inner: u8) -> u8 {
        match self {
            Self::Normal | Self::Rfc2401 => inner & 0b11,
            Self::Compatible | Self::Forbidden => NOT_ECT,
        }
    }

    /// The ECN bits of the inner packet once it leaves the tunnel (RFC 6040 figure 4); `None` where the packet must be
    /// dropped: congestion was marked on a packet whose transport does not listen.
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
