//! Transport mode of a whole IP packet, for hosts without the databases of `ipsec-engine` (RFC 4303 section 3.1.1).
//!
//! ```text
//! before   | IP header, extension headers |              upper layer |
//! after    | IP header, extension headers | ESP header | upper layer, ESP trailer | ICV |
//! ```

use core::fmt;

use ipsec_crypto::Suite;
use ipsec_packet::{
    AntiReplay, DestinationOptions, IpError, IpProto, PacketBuf, adjust_length, close_gap, locate, open_gap,
    remove_preceding_headers, transport_position,
};

use crate::iv::IvSource;
use crate::open::OpenError;
use crate::sa::{Inbound, Outbound};
use crate::seal::SealError;

/// Error of [`Outbound::seal_transport`]; the packet is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealTransportError {
    /// The IP header is malformed, or the packet is a fragment.
    Ip(IpError),
    /// The packet cannot be sealed.
    Seal(SealError),
}

/// Reason why [`Inbound::open_transport`] refuses a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenTransportError {
    /// The IP header is malformed, the packet is a fragment, it has no ESP header, or a header in front of ESP is
    /// refused; the packet is unchanged.
    Ip(IpError),
    /// ESP processing failed; the packet is unchanged, except for [`OpenError::InvalidPadding`] and
    /// [`OpenError::InvalidPadLength`], which wipe it.
    Open(OpenError),
    /// The packet is an authentic dummy packet (RFC 4303 section 2.6). It is to be discarded, and its contents are
    /// wiped.
    Dummy,
}

impl fmt::Display for SealTransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(e) => e.fmt(f),
            Self::Seal(e) => e.fmt(f),
        }
    }
}

impl fmt::Display for OpenTransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(e) => e.fmt(f),
            Self::Open(e) => e.fmt(f),
            Self::Dummy => f.write_str("dummy packet"),
        }
    }
}

impl core::error::Error for SealTransportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Ip(e) => Some(e),
            Self::Seal(e) => Some(e),
        }
    }
}

impl core::error::Error for OpenTransportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Ip(e) => Some(e),
            Self::Open(e) => Some(e),
            Self::Dummy => None,
        }
    }
}

impl From<IpError> for SealTransportError {
    fn from(e: IpError) -> Self {
        Self::Ip(e)
    }
}

impl From<IpError> for OpenTransportError {
    fn from(e: IpError) -> Self {
        Self::Ip(e)
    }
}

impl<S: Suite> Outbound<S> {
    /// Protects an IP packet in place in transport mode: ESP is inserted after the IP header and those extension
    /// headers that routers read, and length, protocol number and checksum are updated (RFC 4303 section 3.1.1).
    ///
    /// The buffer needs the headroom and tailroom of [`overhead`](Self::overhead) for the payload. Octets after the
    /// length of the IP header are removed.
    ///
    /// # Errors
    /// [`SealTransportError`]; the packet is unchanged and no sequence number was used.
    pub fn seal_transport(
        &mut self,
        packet: &mut PacketBuf<'_>,
        iv: &mut impl IvSource,
    ) -> Result<(), SealTransportError> {
        let place = transport_position(packet.data(), DestinationOptions::Protected)?;
        let length = ipsec_packet::Ip::parse(packet.data())?.packet().len();
        let overhead = self.overhead(length.saturating_sub(place.at));
        let whole = length.saturating_add(overhead.front).saturating_add(overhead.back);
        if whole > usize::from(u16::MAX) {
            return Err(IpError::TooLong(whole).into());
        }
        packet.check_space(overhead.front, overhead.back).map_err(IpError::from)?;
        let behind = packet.data().len().saturating_sub(length);
        packet.truncate(length);
        open_gap(packet, place, overhead.front, IpProto::ESP)?;
        let head = place.at.saturating_add(overhead.front);
        packet.pull_front(head).map_err(IpError::from)?;
        if let Err(refused) = self.seal(packet, place.next, iv) {
            packet.push_front(head).map_err(IpError::from)?;
            close_gap(packet, place, overhead.front, place.next)?;
            packet.push_back(behind).map_err(IpError::from)?;
            return Err(SealTransportError::Seal(refused));
        }
        packet.push_front(place.at).map_err(IpError::from)?;
        Ok(adjust_length(packet.data_mut())?)
    }
}

impl<S: Suite, W: AntiReplay> Inbound<S, W> {
    /// Opens an IP packet in place in transport mode: ESP is removed, and length, protocol number and checksum are
    /// updated (RFC 4303 section 3.1.1).
    ///
    /// Headers in front of ESP are checked before ([`locate`]). Afterwards, those that ESP does not authenticate are
    /// removed ([`remove_preceding_headers`]), so that the IP stack does not answer them with an error that quotes the
    /// plaintext.
    ///
    /// # Errors
    /// [`OpenTransportError`]; the window is unchanged unless the packet is authentic.
    pub fn open_transport(&mut self, packet: &mut PacketBuf<'_>) -> Result<(), OpenTransportError> {
        let place = locate(packet.data(), IpProto::ESP)?;
        let length = ipsec_packet::Ip::parse(packet.data())?.packet().len();
        let behind = packet.data().len().saturating_sub(length);
        packet.truncate(length);
        packet.pull_front(place.at).map_err(IpError::from)?;
        let (in_front, esp) = (packet.headroom(), packet.len());
        let opened = match self.open(packet) {
            Ok(opened) => opened,
            Err(refused) => {
                packet.push_front(place.at).map_err(IpError::from)?;
                if packet.len() == place.at.saturating_add(esp) {
                    packet.push_back(behind).map_err(IpError::from)?;
                }
                return Err(OpenTransportError::Open(refused));
            }
        };
        let header = packet.headroom().saturating_sub(in_front);
        let trailer = esp.saturating_sub(header).saturating_sub(packet.len());
        if opened.is_dummy() && !packet.is_empty() {
            packet.wipe(header, trailer);
            return Err(OpenTransportError::Dummy);
        }
        let placed = packet
            .push_front(place.at.saturating_add(header))
            .map(drop)
            .map_err(IpError::from)
            .and_then(|()| close_gap(packet, place, header, opened.next_header))
            .and_then(|()| remove_preceding_headers(packet, place.at));
        placed.map_err(|refused| {
            packet.wipe(0, trailer);
            refused.into()
        })
    }
}
