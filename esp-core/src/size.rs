use ipsec_crypto::Layout;

use crate::Padding;
use crate::header::HEADER;

/// Number of octets that sealing adds to a payload (RFC 4303 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// Octets in front of the payload: SPI, sequence number, IV. The headroom that a packet needs.
    pub front: usize,
    /// Octets after the payload: TFC padding, padding, pad length, next header, ICV. The tailroom that a packet
    /// needs.
    pub back: usize,
}

impl Overhead {
    /// Returns the sum of both.
    pub const fn total(self) -> usize {
        self.front.saturating_add(self.back)
    }
}

/// Returns the octets that sealing adds to a payload of this length (RFC 4303 section 2).
pub fn overhead(layout: Layout, padding: Padding, payload: usize) -> Overhead {
    let tfc = padding.tfc(payload);
    let pad = usize::from(padding.len(layout, payload.saturating_add(tfc)));
    Overhead {
        front: HEADER.saturating_add(layout.iv_len()),
        back: tfc.saturating_add(pad).saturating_add(2).saturating_add(layout.icv_len()),
    }
}

/// Returns the length of the largest payload whose ESP packet fits into `room` octets, the exact inverse of
/// [`overhead`] (RFC 4303 section 2). For a tunnel, `room` is the MTU without the outer header and the UDP header;
/// values above 65,535 have no effect.
///
/// Returns `None` if not even an empty payload fits.
pub fn largest_payload(layout: Layout, padding: Padding, room: usize) -> Option<usize> {
    let fixed = HEADER.checked_add(layout.iv_len())?.checked_add(layout.icv_len())?;
    let body = room.min(usize::from(u16::MAX)).checked_sub(fixed)?;
    let body = body.checked_sub(body.checked_rem(padding.align(layout))?)?;
    let payload = body.checked_sub(2)?.checked_sub(padding.floor(layout))?;
    (padding.tfc(payload) == 0).then_some(payload)
}
