//! Changes of an installed SA (SADB_UPDATE, RFC 2367 section 3.1.2).

use core::fmt;
use core::net::IpAddr;
use core::ops::Deref;

use esp_core::{PadCheck, Padding, Resync};
use ipsec_packet::StateError;
use ipsec_sa::{Direction, Lifetimes};

use crate::algorithms::Algorithms;
use crate::sa::{MixedFamilies, Sa, Transform};

/// Installed SA whose parameters, counter and window can be changed in its slot. The SA itself and its keys cannot be
/// replaced, because the octets between the fields of the SA before would remain in memory.
pub struct SaUpdate<'a, A: Algorithms>(&'a mut Sa<A>);

impl<'a, A: Algorithms> SaUpdate<'a, A> {
    pub(crate) const fn new(sa: &'a mut Sa<A>) -> Self {
        Self(sa)
    }

    /// Replaces the soft and hard limits (RFC 4301 section 4.4.2.1).
    pub const fn set_lifetimes(&mut self, lifetimes: Lifetimes) {
        self.0.lifetimes = lifetimes;
    }

    /// Changes the address and port of a peer that a NAT has moved (see
    /// [`SaEvent::NatMapping`](crate::SaEvent::NatMapping); RFC 3947 section 7). The known path MTU is reset.
    ///
    /// # Errors
    /// [`MixedFamilies`]; nothing has changed.
    pub fn move_peer(&mut self, address: IpAddr, port: u16) -> Result<(), MixedFamilies> {
        let sa = &mut *self.0;
        let direction = sa.transform.direction();
        let ((source, destination), (local, remote)) = match direction {
            Direction::Inbound => ((address, sa.destination), (sa.destination, address)),
            Direction::Outbound => ((sa.source, address), (sa.source, address)),
        };
        sa.tunnel = sa.tunnel.with_endpoints(local, remote).ok_or(MixedFamilies)?;
        (sa.source, sa.destination, sa.path_mtu) = (source, destination, None);
        if let Some(encap) = &mut sa.encap {
            match direction {
                Direction::Inbound => encap.ports.source = port,
                Direction::Outbound => encap.ports.destination = port,
            }
        }
        Ok(())
    }

    /// Advances the sequence counter of an outbound SA to an exported state (RFC 4303 section 3.3.3).
    ///
    /// # Errors
    /// [`StateError`], also for an SA without a counter; nothing has changed.
    pub fn import_counter(&mut self, state: &[u8]) -> Result<(), StateError> {
        match &mut self.0.transform {
            Transform::EspOut(esp) => esp.import(state),
            Transform::AhOut(ah) => ah.import(state),
            _ => Err(StateError::Malformed),
        }
    }

    /// Returns the anti-replay window of an inbound SA, for import; `None` for other SAs (RFC 4303 section 3.4.3).
    pub const fn window_mut(&mut self) -> Option<&mut A::Window> {
        match &mut self.0.transform {
            Transform::EspIn(esp) => Some(esp.window_mut()),
            Transform::AhIn(ah) => Some(ah.window_mut()),
            _ => None,
        }
    }

    /// Sets the padding of an outbound ESP SA (RFC 4303 sections 2.4 and 2.7). Returns whether the SA is one; other
    /// SAs are unchanged.
    pub fn set_padding(&mut self, padding: Padding) -> bool {
        match &mut self.0.transform {
            Transform::EspOut(esp) => esp.set_padding(padding),
            _ => return false,
        }
        true
    }

    /// Sets the check of the padding of an inbound ESP SA (RFC 4303 section 2.4). Returns whether the SA is one; other
    /// SAs are unchanged.
    pub const fn set_pad_check(&mut self, check: PadCheck) -> bool {
        match &mut self.0.transform {
            Transform::EspIn(esp) => esp.set_pad_check(check),
            _ => return false,
        }
        true
    }

    /// Sets the resynchronization of an inbound ESP SA (RFC 4303 appendix A3). Returns whether the SA is one; other SAs
    /// are unchanged.
    pub const fn set_resync(&mut self, resync: Option<Resync>) -> bool {
        match &mut self.0.transform {
            Transform::EspIn(esp) => esp.set_resync(resync),
            _ => return false,
        }
        true
    }
}

impl<A: Algorithms> Deref for SaUpdate<'_, A> {
    type Target = Sa<A>;

    fn deref(&self) -> &Sa<A> {
        self.0
    }
}

impl<A: Algorithms> fmt::Debug for SaUpdate<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
