use core::fmt;

use crate::dialect::Wire;
use crate::error::{PfkeyError, PfkeyErrorKind};
use crate::extension::{Extension, read};
use crate::number::{MessageKind, SaType};

/// Length of the message header in octets.
pub(crate) const HEADER: usize = 16;
/// Version number of PF_KEYv2 in the message header.
pub(crate) const VERSION: u8 = 2;

/// Header of a message (RFC 2367 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of the message.
    pub kind: MessageKind,
    /// Error number of the kernel, as its system defines it; 0 for none.
    pub errno: u8,
    /// Type of the SAs that the message applies to.
    pub sa_type: SaType,
    /// Sequence number, the same in request and reply.
    pub sequence: u32,
    /// Process ID of the requesting process.
    pub pid: u32,
}

/// Message that was validated as a whole (RFC 2367 section 2).
#[derive(Clone, Copy)]
pub struct Message<'a> {
    header: Header,
    body: &'a [u8],
    wire: Wire,
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("header", &self.header).field("extensions", &self.extensions()).finish()
    }
}

impl fmt::Debug for Extensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish() // keys show their lengths
    }
}

impl<'a> Message<'a> {
    /// Parses a message, whose length must be that of its header (RFC 2367 section 2.1).
    ///
    /// # Errors
    /// [`PfkeyError`].
    pub fn parse(octets: &'a [u8], wire: Wire) -> Result<Self, PfkeyError> {
        let order = wire.order;
        let wrong = |offset, kind| PfkeyError { offset, kind };
        let Some((header, body)) = octets.split_first_chunk::<HEADER>() else {
            return Err(wrong(0, PfkeyErrorKind::TooShort));
        };
        let [version, kind, errno, sa_type, l_1, l_2, _, _, s_1, s_2, s_3, s_4, pid @ ..] = *header;
        if version != VERSION {
            return Err(wrong(0, PfkeyErrorKind::Version(version)));
        }
        let units = order.u16([l_1, l_2]);
        if usize::from(units).saturating_mul(8) != octets.len() {
            return Err(wrong(0, PfkeyErrorKind::MessageLength { units, received: octets.len() }));
        }
        let header = Header {
            kind: MessageKind(kind),
            errno,
            sa_type: wire.dialect.sa_type(sa_type),
            sequence: order.u32([s_1, s_2, s_3, s_4]),
            pid: order.u32(pid),
        };
        let (mut rest, mut seen) = (body, [0u64; 4]);
        while !rest.is_empty() {
            let offset = octets.len().saturating_sub(rest.len());
            let (number, inside, behind) = split(wire, rest).map_err(|kind| wrong(offset, kind))?;
            read(wire, number, inside).map_err(|kind| wrong(offset, kind))?;
            // Extension numbers of 64 and above are unknown in every dialect, and may be repeated.
            let bit = 1u64.checked_shl(u32::from(number & 63)).unwrap_or(0);
            if let Some(word) = seen.get_mut(usize::from(number >> 6)) {
                if *word & bit != 0 {
                    return Err(wrong(offset, PfkeyErrorKind::Duplicate(number)));
                }
                *word |= bit;
            }
            rest = behind;
        }
        Ok(Self { header, body, wire })
    }

    /// Returns the header (RFC 2367 section 2.1).
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns dialect and byte order of the message.
    pub const fn wire(&self) -> Wire {
        self.wire
    }

    /// Iterates over the extensions in their order (RFC 2367 section 2.3).
    pub const fn extensions(&self) -> Extensions<'a> {
        Extensions { rest: self.body, wire: self.wire }
    }
}

/// Iterator over the extensions of a message (RFC 2367 section 2.3).
#[derive(Clone)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    wire: Wire,
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        // Both calls have succeeded when the message was parsed.
        let (number, inside, behind) = split(self.wire, self.rest).ok()?;
        self.rest = behind;
        read(self.wire, number, inside).ok()
    }
}

/// Splits octets into number and body of the first extension, and the rest.
fn split(wire: Wire, octets: &[u8]) -> Result<(u16, &[u8], &[u8]), PfkeyErrorKind> {
    let [l_1, l_2, n_1, n_2, ..] = *octets else { return Err(PfkeyErrorKind::TooShort) };
    let units = wire.order.u16([l_1, l_2]);
    let length = usize::from(units).saturating_mul(8);
    let whole = octets.split_at_checked(length).filter(|_| units > 0);
    let (extension, behind) = whole.ok_or(PfkeyErrorKind::ExtensionLength(units))?;
    Ok((wire.order.u16([n_1, n_2]), extension.get(4..).unwrap_or_default(), behind))
}
