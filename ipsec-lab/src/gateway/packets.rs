//! Packets of a capture, with fragments of IPsec packets reassembled.

use std::collections::VecDeque;
use std::error::Error;
use std::path::Path;

use ipsec_packet::IpProto;

use crate::capture::{self, Fragments, Frame, Frames, IpHeader, Reassembled};

/// Packets of a capture, some of which may be read ahead.
pub struct Packets {
    name: String,
    frames: Frames<'static>,
    /// Fragments of IPsec packets, if they are reassembled.
    fragments: Option<Fragments>,
    /// Largest number of packets of a batch.
    pub most: usize,
    /// Packets that were read ahead.
    pub ahead: VecDeque<Frame>,
    /// Number of packets of which octets were not captured.
    cut: u64,
}

impl Packets {
    /// Opens a capture. With a table of fragments, packets are reassembled.
    pub fn open(path: &Path, fragments: Option<Fragments>) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            name: path.display().to_string(),
            frames: capture::open(path)?,
            fragments,
            most: 1,
            ahead: VecDeque::new(),
            cut: 0,
        })
    }

    /// Reads ahead until `count` packets, or all packets of the capture, are in the queue.
    pub fn look_ahead(&mut self, count: usize) -> Result<(), Box<dyn Error>> {
        while self.ahead.len() < count {
            let Some(frame) = self.read()? else { break };
            self.ahead.push_back(frame);
        }
        Ok(())
    }

    /// Returns the next packet.
    fn next(&mut self) -> Result<Option<Frame>, Box<dyn Error>> {
        match self.ahead.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.read(),
        }
    }

    /// Returns the packets of the next batch, and an error after them if there is one. Without packets and error, the
    /// capture has ended.
    pub fn batch(&mut self) -> (Vec<Frame>, Result<(), Box<dyn Error>>) {
        let mut frames = Vec::with_capacity(self.most);
        while frames.len() < self.most {
            match self.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(e) => return (frames, Err(e)),
            }
        }
        (frames, Ok(()))
    }

    /// Reads the next packet. Fragments of IPsec packets are reassembled before they are opened (RFC 4303 section
    /// 3.4.1); others are read as they are.
    fn read(&mut self) -> Result<Option<Frame>, Box<dyn Error>> {
        loop {
            let Some(frame) = self.frames.next().transpose().map_err(|e| format!("{}: {e}", self.name))? else {
                return Ok(None);
            };
            let header = IpHeader::parse(&frame.packet);
            self.cut += u64::from(frame.cut.is_some() && header.is_none_or(|header| header.is_cut(&frame.packet)));
            let protocol = header.map(|header| IpProto(header.protocol));
            let is_ipsec = matches!(protocol, Some(IpProto::ESP | IpProto::AH | IpProto::IPCOMP | IpProto::UDP));
            match &mut self.fragments {
                Some(fragments) if is_ipsec => match fragments.add(frame) {
                    Reassembled::Whole(frame) | Reassembled::Cut(frame) => return Ok(Some(frame)),
                    Reassembled::Waiting => {}
                },
                _ => return Ok(Some(frame)),
            }
        }
    }

    /// Returns the number of frames so far that have no IP packet or could not be read.
    pub fn skipped(&self) -> u64 {
        self.frames.skipped().total()
    }

    /// Prints the numbers of skipped frames and packets. Returns whether packets were among them.
    pub fn print_skipped(&self) -> bool {
        self.frames.skipped().warnings().iter().for_each(|line| noteln!("ipsec-lab: {line}"));
        if self.cut > 0 {
            noteln!("ipsec-lab: packets truncated by the snap length, which cannot be processed: {}", self.cut);
        }
        let incomplete = self.fragments.as_ref().map_or(0, Fragments::incomplete);
        if incomplete > 0 {
            noteln!("ipsec-lab: packets whose fragments are not complete: {incomplete}");
        }
        self.cut > 0 || incomplete > 0
    }
}
