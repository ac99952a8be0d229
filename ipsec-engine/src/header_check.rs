//! Check of the headers of a packet against all transforms of a bundle, before the first of them changes the packet.

use ipsec_sa::Mode;

use crate::algorithms::Algorithms;
use crate::discard::DiscardReason;
use crate::encapsulate::Inner;
use crate::sa::{Sa, Transform};

/// Headers that the next transform will find.
pub(crate) struct HeaderCheck<'p> {
    inner: Inner<'p>,
    /// Hop limit of the outermost header.
    hop_limit: u8,
    /// Offset of the outermost header that a transform has inserted in transport mode.
    inserted: usize,
    /// Set after the transform of a tunnel: the outer header has neither options nor extension headers.
    is_tunnelled: bool,
}

impl<'p> HeaderCheck<'p> {
    /// Describes the headers of a packet without transforms.
    pub(crate) fn of(inner: Inner<'p>) -> Self {
        Self { inner, hop_limit: inner.ip.hop_limit(), inserted: usize::MAX, is_tunnelled: false }
    }

    /// Checks the transform of one SA, and describes the headers after it.
    ///
    /// # Errors
    /// [`DiscardReason::Tunnel`] for a packet without hops left, [`DiscardReason::Sign`] for headers that AH cannot
    /// cover, and the error of a malformed extension header.
    pub(crate) fn through<A: Algorithms>(&mut self, sa: &Sa<A>, mode: Mode) -> Result<(), DiscardReason> {
        if matches!(mode, Mode::Tunnel | Mode::Beet) {
            self.hop_limit = sa.tunnel.hop_limits(self.hop_limit)?.outer;
            self.is_tunnelled = true;
            return Ok(());
        }
        if self.is_tunnelled {
            return Ok(());
        }
        let own = self.inner.ip.transport_position(sa.options)?.at;
        match &sa.transform {
            Transform::AhOut(ah) => {
                self.inserted = self.inserted.min(own);
                ah.check_headers(self.inner.packet, self.inserted)?;
            }
            Transform::EspOut(_) => self.inserted = self.inserted.min(own),
            // A payload that does not become smaller stays as it is, without a header.
            _ => {}
        }
        Ok(())
    }
}
