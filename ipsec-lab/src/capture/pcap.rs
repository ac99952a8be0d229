//! Reader of pcap files (draft-ietf-opsawg-pcap).

use std::error::Error;
use std::time::Duration;

use super::record::{MAX_FRAME, Next, Order, Record};
use super::source::Source;

/// Reader of the records of a pcap file.
///
/// ```text
///  0       4       8       12      16            the modified format adds 8 octets
/// +-------+-------+-------+-------+- - - - - - -+--------
/// |seconds|fract. |captur.|origin.|  interface  | frame
/// +-------+-------+-------+-------+- - - - - - -+--------
/// ```
pub struct Pcap {
    order: Order,
    is_nano: bool,
    record_header: usize,
    /// Minor version of the format: before 3, the two lengths were in the other order.
    minor: u16,
    link: u32,
}

/// Returns the kind of a file by its first four octets: byte order, whether times have nanoseconds, length of a record
/// header.
fn kind(magic: [u8; 4]) -> Option<(Order, bool, usize)> {
    [Order::Little, Order::Big].into_iter().find_map(|order| match order.u32(magic) {
        0xa1b2_c3d4 => Some((order, false, 16)),
        0xa1b2_3c4d => Some((order, true, 16)),
        0xa1b2_cd34 => Some((order, false, 24)),
        // Two formats of IXIA: the length of all records follows the header.
        0x1c00_01ac | 0x1c00_01ab => Some((order, true, 16)),
        _ => None,
    })
}

impl Pcap {
    /// Returns whether these are the first octets of a pcap file.
    pub fn is(magic: [u8; 4]) -> bool {
        kind(magic).is_some()
    }

    /// Reads the header of a file after its first four octets.
    pub fn begin(magic: [u8; 4], source: &mut Source<'_>) -> Result<Self, Box<dyn Error>> {
        let (order, is_nano, record_header) = kind(magic).ok_or("not a pcap file")?;
        let (header, length) = source.array::<20>()?;
        if length < header.len() {
            return Err(format!("truncated pcap header: {} of 24 octets", length + 4).into());
        }
        if matches!(order.u32(magic), 0x1c00_01ac | 0x1c00_01ab) {
            source.skip(4)?;
        }
        let (major, minor) = (order.u16_at(&header, 0), order.u16_at(&header, 2));
        if major != 2 {
            return Err(format!("unsupported version {major}.{minor} of pcap at offset 4: expected 2.x").into());
        }
        // The upper bits are the length of the frame check sequence.
        let link = order.u32_at(&header, 16) & 0xffff;
        Ok(Self { order, is_nano, record_header, minor, link })
    }

    /// Reads the next record.
    pub fn next(&mut self, source: &mut Source<'_>) -> Result<Next, Box<dyn Error>> {
        let at = source.offset;
        let mut header = Vec::with_capacity(self.record_header);
        match source.append(self.record_header, &mut header)? {
            0 => return Ok(Next::End),
            length if length < self.record_header => {
                let whole = self.record_header;
                return Ok(Next::Truncated(format!("record header at offset {at}: {length} of {whole} octets")));
            }
            _ => {}
        }
        let field = |at| self.order.u32_at(&header, at);
        let (mut captured, mut original) = (field(8), field(12));
        if self.minor < 3 || self.minor == 3 && captured > original {
            (captured, original) = (original, captured);
        }
        let mut octets = Vec::new();
        let kept = (captured as usize).min(MAX_FRAME);
        let mut present = source.append(kept, &mut octets)? as u64;
        present += source.skip(u64::from(captured) - kept as u64)?;
        if present < u64::from(captured) {
            return Ok(Next::Truncated(format!("record at offset {at}: {present} of {captured} octets")));
        }
        // Fractions of a second or more carry over.
        let fraction = match self.is_nano {
            true => Duration::from_nanos(field(4).into()),
            false => Duration::from_micros(field(4).into()),
        };
        let time = Duration::from_secs(field(0).into()) + fraction;
        let cut = (octets.len() < original as usize).then_some(original);
        Ok(Next::Record(Record { link: Some(self.link), time, cut, order: self.order, octets }))
    }
}
