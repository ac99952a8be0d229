//! Capture files: frames of pcap and pcapng, read one at a time as IP packets with their times.

mod file_kind;
mod fragments;
mod ip;
mod link;
mod pcap;
mod pcapng;
mod record;
mod skipped;
mod source;
mod stream;
mod tunnel;
mod writer;

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;

pub use file_kind::FileKind;
pub use fragments::{Fragments, Reassembled};
pub use ip::IpHeader;
use pcap::Pcap;
use pcapng::{Pcapng, SECTION_HEADER};
use record::{Next, Record};
pub use skipped::Skipped;
use source::Source;
pub use stream::{Segment, Streams};
pub use tunnel::inner;
pub use writer::Writer;

/// IP packet of a captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the frame in the capture, from 1.
    pub number: u64,
    /// Time since the epoch.
    pub time: Duration,
    /// Original length of a frame of which not all octets were captured.
    pub cut: Option<u32>,
    /// Packet from the IP header on.
    pub packet: Vec<u8>,
}

impl Frame {
    /// Creates a frame that was not read from a capture.
    pub const fn new(time: Duration, packet: Vec<u8>) -> Self {
        Self { number: 0, time, cut: None, packet }
    }
}

/// Iterator over the frames of a capture that contain an IP packet. Other frames are skipped and counted.
///
/// The file is read as the iterator advances, and memory does not grow with its length. A file that ends in a record
/// ends after the last complete one; [`Frames::skipped`] reports that.
pub struct Frames<'r> {
    source: Source<'r>,
    format: Format,
    number: u64,
    skipped: Skipped,
    is_ended: bool,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// Octets of a file that is not a capture by which its kind is found.
const LOOKED_AT: usize = 4096;

/// Opens a capture file; `-` is standard input.
pub fn open(path: &Path) -> Result<Frames<'static>, Box<dyn Error>> {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    if path.as_os_str() == "-" {
        return read(std::io::stdin()).map_err(|e| format!("standard input: {e}").into());
    }
    if path.is_dir() {
        return Err(named(&"a directory, expected a capture").into());
    }
    let file = File::open(path).map_err(|e| named(&e))?;
    read(file).map_err(|e| named(&e).into())
}

/// Reads the header of a capture in pcap or pcapng format, which may be compressed with gzip.
pub fn read<'r>(source: impl Read + 'r) -> Result<Frames<'r>, Box<dyn Error>> {
    let (magic, rest) = with_magic(source)?;
    if magic.starts_with(&[0x1f, 0x8b]) {
        let plain = MultiGzDecoder::new(BufReader::new(Cursor::new(magic).chain(rest)));
        let (magic, rest) = with_magic(plain).map_err(|e| format!("gzip: {e}"))?;
        return begin(&magic, Source::new(rest));
    }
    begin(&magic, Source::new(BufReader::with_capacity(1 << 16, rest)))
}

/// Reads the first four octets, or as many as there are.
fn with_magic<'r>(source: impl Read + 'r) -> Result<(Vec<u8>, impl Read + 'r), Box<dyn Error>> {
    let mut source = source;
    let mut magic = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut magic)?;
    Ok((magic, source))
}

fn begin<'r>(magic: &[u8], mut source: Source<'r>) -> Result<Frames<'r>, Box<dyn Error>> {
    let Ok(magic): Result<[u8; 4], _> = magic.try_into() else {
        return Err(match magic.len() {
            0 => FileKind::Empty.as_capture(),
            octets => format!("neither pcap nor pcapng: the file has {octets} octets"),
        }
        .into());
    };
    source.offset = 4;
    let format = match u32::from_be_bytes(magic) {
        SECTION_HEADER => Format::Pcapng(Pcapng::begin(magic)),
        _ if Pcap::is(magic) => Format::Pcap(Pcap::begin(magic, &mut source)?),
        other => {
            let mut first = magic.to_vec();
            source.append(LOOKED_AT, &mut first)?;
            return Err(match FileKind::of(&first) {
                kind @ (FileKind::Binary | FileKind::Capture) => format!("{}: {other:08x}", kind.as_capture()),
                kind => kind.as_capture(),
            }
            .into());
        }
    };
    Ok(Frames { source, format, number: 0, skipped: Skipped::default(), is_ended: false })
}

impl Frames<'_> {
    /// Returns the frames that were skipped so far, and whether the file was truncated.
    pub const fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    fn record(&mut self) -> Result<Option<Record>, Box<dyn Error>> {
        let next = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.source),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.source),
        };
        match next.map_err(|e| format!("after frame {}: {e}", self.number))? {
            Next::Record(record) => Ok(Some(record)),
            Next::End => Ok(None),
            Next::Truncated(place) => {
                self.skipped.truncated = Some(format!("capture is truncated after frame {}: {place}", self.number));
                Ok(None)
            }
        }
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, Box<dyn Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_ended {
            let record = match self.record() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.is_ended = true;
                    return None;
                }
                Err(e) => {
                    self.is_ended = true;
                    return Some(Err(e));
                }
            };
            self.number = self.number.saturating_add(1);
            let Record { link, time, cut, order, mut octets } = record;
            let Some(link) = link else {
                self.skipped.without_interface += 1;
                continue;
            };
            if !link::is_supported(link) {
                self.skipped.count_link(link);
                continue;
            }
            let Some(packet) = link::ip_packet(link, order, &octets) else {
                self.skipped.not_ip += 1;
                continue;
            };
            let (at, length) = (packet.as_ptr().addr() - octets.as_ptr().addr(), packet.len());
            octets.drain(..at);
            octets.truncate(length);
            return Some(Ok(Frame { number: self.number, time, cut, packet: octets }));
        }
        None
    }
}
