use ipsec_crypto::Layout;

use crate::Padding;
use crate::header::HEADER;

/// What sealing adds to a payload, in octets (RFC 4303 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// In front: SPI, sequence number, IV. The headroom a packet needs.
    pub front: usize,
    /// Behind: TFC padding, padding, pad length, next header, ICV. The tailroom a packet needs.
    pub back: usize,
}

impl Overhead {
    /// All of it.
    pub const fn total(self) -> usize {
        self.front.saturating_add(self.back)
    }
}

/// What sealing a payload of so many octets adds to it (RFC 4303 2).
pub fn overhead(layout: Layout, padding: Padding, payload: usize) -> Overhead {
    let tfc = padding.tfc(payload);
    let pad = usize::from(padding.len(layout, payload.saturating_add(tfc)));
    Overhead {
        front: HEADER.saturating_add(layout.iv),
        back: tfc.saturating_add(pad).saturating_add(2).saturating_add(layout.icv),
    }
}

/// The largest payload that fits into `room` octets once sealed: the exact inverse of [`overhead`] (RFC 4303 2). For a tunnel, `room` is
/// the MTU without the outer header (and without UDP header); above 65535 octets more of it is of no use.
///
/// `None` when not even an empty payload fits.
pub fn largest_payload(layout: Layout, padding: Padding, room: usize) -> Option<usize> {
    let fixed = HEADER.checked_add(layout.iv)?.checked_add(layout.icv)?;
    let body = room.min(usize::from(u16::MAX)).checked_sub(fixed)?;
    let body = body.checked_sub(body.checked_rem(padding.align(layout))?)?;
    let payload = body.checked_sub(2)?.checked_sub(padding.floor(layout))?;
    (padding.tfc(payload) == 0).then_some(payload)
}
