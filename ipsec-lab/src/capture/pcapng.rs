//! Reader of pcapng files (draft-ietf-opsawg-pcapng).

use std::error::Error;
use std::time::Duration;

use super::record::{MAX_FRAME, Next, Order, Record};
use super::source::Source;

/// Type of a section header block, which is the same in both byte orders.
pub const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Options of an interface.
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// Largest number of interfaces in a section. Frames of others are skipped.
const MAX_INTERFACES: usize = 1 << 16;
/// Largest number of octets of a block that are kept. The rest is skipped.
const MAX_BLOCK: usize = MAX_FRAME + (1 << 12);

/// Reader of the blocks of a pcapng file.
///
/// ```text
///  0        4        8                 length-4
/// +--------+--------+-----------------+--------+
/// |  type  | length | body and options| length |
/// +--------+--------+-----------------+--------+
/// ```
pub struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
    /// First four octets of the file, which were read to determine its format.
    read_ahead: Option<[u8; 4]>,
}

struct Interface {
    link: u32,
    snap_length: u32,
    resolution: u8,
    offset: i64,
}

impl Interface {
    /// Returns the time since the epoch; zero if it is before the epoch.
    fn time(&self, units: u64) -> Duration {
        let exponent = u32::from(self.resolution & 0x7f);
        let scaled = u128::from(units) * 1_000_000_000;
        let nanoseconds = match self.resolution & 0x80 {
            0 => 10u128.checked_pow(exponent).map_or(0, |power| scaled / power),
            _ => scaled >> exponent,
        };
        let whole = i128::try_from(nanoseconds).unwrap_or(i128::MAX);
        let whole = whole.saturating_add(i128::from(self.offset) * 1_000_000_000).max(0);
        let seconds = u64::try_from(whole / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, u32::try_from(whole % 1_000_000_000).unwrap_or(0))
    }
}

/// Header of a block.
struct Block {
    kind: u32,
    /// Length of the body with options.
    body: u64,
    /// Octets after the body: the repeated length, after padding if the length of the block is not a multiple of four.
    trailer: u64,
}

impl Pcapng {
    /// Begins with the first four octets of a file.
    pub fn begin(magic: [u8; 4]) -> Self {
        Self { order: Order::Little, interfaces: Vec::new(), read_ahead: Some(magic) }
    }

    /// Reads blocks up to the next frame.
    pub fn next(&mut self, source: &mut Source<'_>) -> Result<Next, Box<dyn Error>> {
        loop {
            let at = source.offset.saturating_sub(if self.read_ahead.is_some() { 4 } else { 0 });
            let truncated = |part: &str, present: u64, whole: u64| {
                Ok(Next::Truncated(format!("{part} of the block at offset {at}: {present} of {whole} octets")))
            };
            let (kind, present) = match self.read_ahead.take() {
                Some(magic) => (magic, 4),
                None => source.array()?,
            };
            if present == 0 {
                return Ok(Next::End);
            }
            let (length, more) = source.array()?;
            if present + more < 8 {
                return truncated("header", (present + more) as u64, 8);
            }
            let block = match self.header(kind, length, source, at)? {
                Some(block) => block,
                None => return truncated("byte-order magic", 0, 4),
            };
            let mut body = Vec::new();
            let is_read =
                matches!(block.kind, INTERFACE_DESCRIPTION | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
            let kept = if is_read { block.body.min(MAX_BLOCK as u64) } else { 0 };
            let mut present = source.append(usize::try_from(kept)?, &mut body)? as u64;
            if present == kept {
                present += source.skip(block.body - kept)?;
            }
            if present < block.body {
                return truncated("body", present, block.body);
            }
            // A block whose body is complete is used, even if the file ends in its trailer.
            source.skip(block.trailer)?;
            match block.kind {
                SECTION_HEADER => self.interfaces.clear(),
                INTERFACE_DESCRIPTION => self.describe(&body),
                OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => {
                    return Ok(Next::Record(self.record(block.kind, body)));
                }
                _ => {}
            }
        }
    }

    /// Interprets the header of a block, and reads the byte order of a section. Returns `None` if the file ends there.
    fn header(
        &mut self,
        kind: [u8; 4],
        length: [u8; 4],
        source: &mut Source<'_>,
        at: u64,
    ) -> Result<Option<Block>, Box<dyn Error>> {
        let kind = self.order.u32(kind);
        let mut head = 8u64;
        if kind == SECTION_HEADER {
            let (magic, present) = source.array()?;
            if present < magic.len() {
                return Ok(None);
            }
            self.order = match magic {
                [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                other => {
                    let got = u32::from_be_bytes(other);
                    return Err(
                        format!("byte-order magic at offset {}: got {got:08x}, expected 1a2b3c4d", at + 8).into()
                    );
                }
            };
            head = 12;
        }
        let length = self.order.u32(length);
        let Some(body) = u64::from(length).checked_sub(head + 4) else {
            return Err(format!("block length {length} at offset {} is less than {}", at + 4, head + 4).into());
        };
        // Some writers do not count the padding.
        Ok(Some(Block { kind, body, trailer: 4 + (4 - u64::from(length % 4)) % 4 }))
    }

    fn describe(&mut self, body: &[u8]) {
        if self.interfaces.len() == MAX_INTERFACES {
            return;
        }
        let mut interface = Interface {
            link: self.order.u16_at(body, 0).into(),
            snap_length: self.order.u32_at(body, 4),
            resolution: 6,
            offset: 0,
        };
        let mut options = body.get(8..).unwrap_or_default();
        while let Some((&[k0, k1, l0, l1], rest)) = options.split_first_chunk() {
            let (kind, length) = (self.order.u16([k0, k1]), usize::from(self.order.u16([l0, l1])));
            match (kind, rest.get(..length)) {
                (0, _) | (_, None) => break,
                (IF_TSRESOL, Some([resolution, ..])) => interface.resolution = *resolution,
                (IF_TSOFFSET, Some(value)) => {
                    if let Some(value) = value.first_chunk() {
                        interface.offset = match self.order {
                            Order::Little => i64::from_le_bytes(*value),
                            Order::Big => i64::from_be_bytes(*value),
                        };
                    }
                }
                _ => {}
            }
            options = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
    }

    fn record(&self, kind: u32, mut body: Vec<u8>) -> Record {
        let field = |at| self.order.u32_at(&body, at);
        let (interface, head) = match kind {
            SIMPLE_PACKET => (0, 4),
            OBSOLETE_PACKET => (self.order.u16_at(&body, 0).into(), 20),
            _ => (field(0), 20),
        };
        let interface = usize::try_from(interface).ok().and_then(|number| self.interfaces.get(number));
        let (units, captured, original) = match kind {
            SIMPLE_PACKET => {
                let snap_length = interface.map_or(0, |interface| interface.snap_length);
                (None, if snap_length == 0 { field(0) } else { field(0).min(snap_length) }, field(0))
            }
            _ => (Some(u64::from(field(4)) << 32 | u64::from(field(8))), field(12), field(16)),
        };
        let time = interface.zip(units).map_or(Duration::ZERO, |(interface, units)| interface.time(units));
        body.drain(..head.min(body.len()));
        body.truncate((captured as usize).min(MAX_FRAME));
        let cut = (body.len() < original as usize).then_some(original);
        Record { link: interface.map(|interface| interface.link), time, cut, order: self.order, octets: body }
    }
}
