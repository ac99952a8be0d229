//! Writer of capture files.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writer of a pcap file of raw IP with microseconds.
pub struct Writer {
    out: BufWriter<Box<dyn Write>>,
    path: PathBuf,
    /// Set when the reader of a pipe has closed it: the rest is discarded.
    is_closed: bool,
}

/// Link type of raw IP.
const LINKTYPE_RAW: u32 = 101;
/// Largest length of a packet.
const SNAP_LENGTH: u32 = 65535;

impl Writer {
    /// Creates a capture file; `-` is standard output.
    pub fn create(path: &Path) -> Result<Self, Box<dyn Error>> {
        let out: Box<dyn Write> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            Box::new(File::create(path).map_err(|e| format!("{}: {e}", path.display()))?)
        };
        let mut writer = Self { out: BufWriter::new(out), path: path.to_owned(), is_closed: false };
        let header = [
            &0xa1b2_c3d4_u32.to_le_bytes()[..],
            &[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &SNAP_LENGTH.to_le_bytes(),
            &LINKTYPE_RAW.to_le_bytes(),
        ];
        writer.put(&header.concat())?;
        Ok(writer)
    }

    /// Writes one packet with its time.
    pub fn write(&mut self, time: Duration, packet: &[u8]) -> Result<(), Box<dyn Error>> {
        let length = u32::try_from(packet.len())?;
        // The format has 32 bits of seconds.
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        for field in [seconds, time.subsec_micros(), length, length] {
            self.put(&field.to_le_bytes())?;
        }
        self.put(packet)
    }

    /// Returns whether the reader of a pipe has closed it.
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Writes the buffered packets.
    pub fn finish(mut self) -> Result<(), Box<dyn Error>> {
        let flushed = if self.is_closed { Ok(()) } else { self.out.flush() };
        let checked = self.check(flushed);
        if self.is_closed {
            // The buffer would be written again when it is dropped.
            let _ = self.out.into_parts();
        }
        checked
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), Box<dyn Error>> {
        let written = if self.is_closed { Ok(()) } else { self.out.write_all(octets) };
        self.check(written)
    }

    fn check(&mut self, written: io::Result<()>) -> Result<(), Box<dyn Error>> {
        match written {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            written => Ok(written.map_err(|e| format!("{}: {e}", self.path.display()))?),
        }
    }
}
