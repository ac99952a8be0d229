//! Creation of an SA from its parameters, for engines of any algorithms.

use core::fmt;

use ah_core::Profile;
use esp_core::PadCheck;
use ipsec_crypto::{AlgorithmError, KeyedAhIntegrity, KeyedSuite};
use ipsec_packet::{Cpi, ReservedCpi, ReservedSpi, Seq, SeqCounter, SeqWidth, Spi, WindowSize};
use ipsec_sa::{CompressionAlgorithm, Direction, Mode, PaddingCheck, Protocol, SaParams, TransformParams};

use crate::algorithms::{Algorithms, SizedWindow};
use crate::sa::{IpcompOut, MixedFamilies, Sa, Transform};

/// Reason why an SA was not created from its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaError {
    /// The engine lacks an algorithm, or a key is refused.
    Algorithm(AlgorithmError),
    /// The engine does not have this compression algorithm.
    Compression(CompressionAlgorithm),
    /// The algorithms are not those of the protocol of the SA.
    Protocol(Protocol),
    /// The SPI is reserved.
    Spi(ReservedSpi),
    /// The CPI is reserved.
    Cpi(ReservedCpi),
    /// The engine has no anti-replay window of this size.
    Window(WindowSize),
    /// This last sequence number exceeds the width of those of the SA.
    Sequence(Seq),
    /// Source and destination have different families.
    Families(MixedFamilies),
    /// BEET mode needs the inner addresses of the SA.
    Beet,
}

impl fmt::Display for SaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(e) => e.fmt(f),
            Self::Compression(algorithm) => write!(f, "compression algorithm {algorithm} is not available"),
            Self::Protocol(protocol) => write!(f, "algorithms are not valid for protocol {protocol}"),
            Self::Spi(e) => e.fmt(f),
            Self::Cpi(e) => e.fmt(f),
            Self::Window(size) => write!(f, "anti-replay window of {} packets is not available", size.in_packets()),
            Self::Sequence(last) => write!(
                f,
                "last sequence number: got {}, expected at most {} without extended sequence numbers",
                last.get(),
                u32::MAX
            ),
            Self::Families(e) => e.fmt(f),
            Self::Beet => f.write_str("BEET mode without inner addresses"),
        }
    }
}

impl core::error::Error for SaError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Algorithm(e) => Some(e),
            Self::Spi(e) => Some(e),
            Self::Cpi(e) => Some(e),
            Self::Families(e) => Some(e),
            Self::Compression(_) | Self::Protocol(_) | Self::Window(_) | Self::Sequence(_) | Self::Beet => None,
        }
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {
        $(impl From<$error> for SaError {
            fn from(e: $error) -> Self {
                Self::$variant(e)
            }
        })*
    };
}

from!(AlgorithmError => Algorithm, ReservedSpi => Spi, ReservedCpi => Cpi, MixedFamilies => Families);

impl<A> Sa<A>
where
    A: Algorithms<Suite: KeyedSuite, Integrity: KeyedAhIntegrity, Window: SizedWindow>,
{
    /// Creates an SA from its parameters (SADB_ADD, RFC 2367 section 3.1.3). `profile` is the interpretation of AH by
    /// the peer.
    ///
    /// # Errors
    /// [`SaError`], among others for an algorithm that is not one of `A`.
    pub fn from_params(params: &SaParams, profile: Profile) -> Result<Self, SaError> {
        let mut sa = Self::new(params.source, params.id.destination, transform(params, profile)?)?
            .with_tunnel(|tunnel| tunnel.with_rules(params.tunnel))
            .with_reqid(params.reqid)
            .with_lifetimes(params.lifetimes)
            .with_max_packet(params.max_packet)
            .with_algorithms(params.algorithms());
        if params.managed_spi() != params.id.spi {
            sa = sa.with_managed_spi(params.managed_spi());
        }
        if let Some(encap) = params.encap {
            sa = sa.with_encap(encap, params.repair);
        }
        match params.mode {
            Mode::Beet => Ok(sa.with_beet(params.beet.ok_or(SaError::Beet)?)),
            mode => Ok(sa.with_mode(mode)),
        }
    }
}

fn transform<A>(params: &SaParams, profile: Profile) -> Result<Transform<A>, SaError>
where
    A: Algorithms<Suite: KeyedSuite, Integrity: KeyedAhIntegrity, Window: SizedWindow>,
{
    let SaParams { id, sequence: width, .. } = *params;
    let window = || A::Window::with_size(params.window).ok_or(SaError::Window(params.window));
    match (&params.transform, id.protocol, id.direction) {
        (TransformParams::Esp(keys), Protocol::Esp, _) => esp(params, A::Suite::from_keys(keys)?),
        (TransformParams::EspWithoutIntegrity(keys), Protocol::Esp, _) => {
            esp(params, A::Suite::without_integrity(keys)?)
        }
        (TransformParams::Ah { integrity, key }, Protocol::Ah, direction) => {
            let (spi, integrity) = (Spi::new(id.spi)?, A::Integrity::from_key(*integrity, key.expose())?);
            if direction == Direction::Inbound {
                return Ok(Transform::AhIn(ah_core::Inbound::with_window(spi, integrity, width, profile, window()?)));
            }
            let mut ah = ah_core::Outbound::new(spi, integrity, width, profile);
            if let Some((last, used)) = used(params, width)? {
                ah.import(&used).map_err(|_| SaError::Sequence(last))?;
            }
            Ok(Transform::AhOut(ah))
        }
        (TransformParams::Ipcomp { algorithm, .. }, Protocol::Ipcomp, direction) => {
            if A::COMPRESSION != Some(*algorithm) {
                return Err(SaError::Compression(*algorithm));
            }
            let cpi = Cpi::new(u16::try_from(id.spi).map_err(|_| ReservedCpi(u16::MAX))?)?;
            Ok(match direction {
                Direction::Outbound => Transform::IpcompOut(IpcompOut::new(cpi)),
                Direction::Inbound => Transform::IpcompIn(cpi),
            })
        }
        _ => Err(SaError::Protocol(id.protocol)),
    }
}

fn esp<A: Algorithms<Window: SizedWindow>>(params: &SaParams, suite: A::Suite) -> Result<Transform<A>, SaError> {
    let (spi, width) = (Spi::new(params.id.spi)?, params.sequence);
    if params.id.direction == Direction::Inbound {
        let window = A::Window::with_size(params.window).ok_or(SaError::Window(params.window))?;
        let mut esp = esp_core::Inbound::with_window(spi, suite, width, window);
        if params.padding == PaddingCheck::LengthOnly {
            esp.set_pad_check(PadCheck::LengthOnly);
        }
        return Ok(Transform::EspIn(esp));
    }
    let mut esp = esp_core::Outbound::new(spi, suite, width);
    if let Some((last, used)) = used(params, width)? {
        esp.import(&used).map_err(|_| SaError::Sequence(last))?;
    }
    Ok(Transform::EspOut(esp))
}

/// Returns the last sequence number of these keys, and the state of a counter after it; `None` for new keys.
fn used(params: &SaParams, width: SeqWidth) -> Result<Option<(Seq, [u8; SeqCounter::STATE])>, SaError> {
    match params.last_sequence {
        None => Ok(None),
        Some(last) if last.get() > width.last() => Err(SaError::Sequence(last)),
        Some(last) => Ok(Some((last, SeqCounter::new(width).export_ahead(last.get())))),
    }
}
