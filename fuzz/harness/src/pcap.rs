//! Captures, read at once and in small reads.

use std::io::{self, Read};

#[allow(dead_code, unused_imports, missing_docs)] // functions that write are not fuzzed
#[path = "../../../ipsec-lab/src/capture/mod.rs"]
mod capture;

/// Reader that returns a few octets at a time.
struct Small<'a> {
    rest: &'a [u8],
    at_once: usize,
}

impl Read for Small<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.at_once.min(buffer.len());
        let read = self.rest.read(&mut buffer[..length])?;
        self.at_once = self.at_once % 7 + 1;
        Ok(read)
    }
}

pub fn pcap(octets: &[u8]) {
    let whole = frames(octets);
    let small = frames(Small { rest: octets, at_once: 1 });
    assert!(whole == small, "the frames depend on the size of reads");
    let is_compressed = octets.starts_with(&[0x1f, 0x8b]);
    follow(whole.0.clone());
    let total = whole.0.iter().map(|frame| frame.packet.len()).sum::<usize>();
    assert!(is_compressed || total <= octets.len(), "packets exceed the length of the file");
}

/// Follows fragments, tunnels and TCP connections.
fn follow(frames: Vec<capture::Frame>) {
    let (mut fragments, mut streams) = (capture::Fragments::default(), capture::Streams::default());
    for mut frame in frames {
        for _ in 0..4 {
            let capture::Reassembled::Whole(whole) = fragments.add(frame) else { break };
            let Some(header) = capture::IpHeader::parse(&whole.packet) else { break };
            if let Some(segment) =
                capture::Segment::parse([header.source, header.destination], header.payload(&whole.packet))
            {
                streams.add(&segment, whole.cut.is_some());
            }
            let Some(inner) = capture::inner(&header, &whole.packet).map(<[u8]>::to_vec) else { break };
            frame = capture::Frame { packet: inner, ..whole };
        }
    }
}

/// Returns the frames of a capture, and the error with which it ends or its skipped frames.
fn frames(source: impl Read) -> (Vec<capture::Frame>, String) {
    let mut frames = match capture::read(source) {
        Ok(frames) => frames,
        Err(e) => return (Vec::new(), e.to_string()),
    };
    let mut read = Vec::new();
    for frame in frames.by_ref().take(1000) {
        match frame {
            Ok(frame) => read.push(frame),
            Err(e) => return (read, e.to_string()),
        }
    }
    (read, format!("{:?}", frames.skipped()))
}
