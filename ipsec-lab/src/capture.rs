//! Capture files, read as IP packets with their times.

use std::borrow::Cow;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, Endianness, TsResolution};

/// IP packet of a capture with its time.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Time since the epoch.
    pub time: Duration,
    /// Packet from the IP header on.
    pub packet: Vec<u8>,
}

/// Reads a capture in pcap or pcapng format with raw IP, Ethernet (with VLAN tags), Linux cooked or loopback frames.
/// Frames that are not IP are skipped.
pub fn read(mut source: impl Read) -> Result<Vec<Captured>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) { read_pcapng(&bytes) } else { read_pcap(&bytes) }
}

fn read_pcap(bytes: &[u8]) -> Result<Vec<Captured>, Box<dyn Error>> {
    let mut reader = PcapReader::new(bytes)?;
    let link = reader.header().datalink;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = match packet {
            Ok(packet) => packet,
            Err(e) if packets.is_empty() => return Err(e.into()),
            Err(e) => {
                eprintln!("ipsec-lab: capture is truncated: {e}");
                break;
            }
        };
        if let Some(ip) = strip_link(link, &packet.data)? {
            packets.push(Captured { time: packet.timestamp, packet: ip.to_vec() });
        }
    }
    Ok(packets)
}

fn read_pcapng(bytes: &[u8]) -> Result<Vec<Captured>, Box<dyn Error>> {
    let mut reader = PcapNgReader::new(bytes)?;
    let (mut packets, mut links) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block() {
        match block? {
            Block::SectionHeader(_) => links.clear(),
            Block::InterfaceDescription(interface) => links.push(interface.linktype),
            Block::EnhancedPacket(packet) => {
                let link = links.get(usize::try_from(packet.interface_id)?).ok_or("packet without an interface")?;
                if let Some(ip) = strip_link(*link, &packet.data)? {
                    packets.push(Captured { time: packet.timestamp, packet: ip.to_vec() });
                }
            }
            Block::SimplePacket(packet) => {
                let link = links.first().ok_or("packet without an interface")?;
                if let Some(ip) = strip_link(*link, &packet.data)? {
                    packets.push(Captured { time: Duration::ZERO, packet: ip.to_vec() });
                }
            }
            _ => {}
        }
    }
    Ok(packets)
}

/// Returns the IP packet in a frame, if there is one.
fn strip_link(link: DataLink, frame: &[u8]) -> Result<Option<&[u8]>, Box<dyn Error>> {
    match link {
        // Some writers use the DLT_RAW number of their system for raw IP instead of LINKTYPE_RAW.
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 | DataLink::Unknown(12 | 14) => Ok(Some(frame)),
        DataLink::ETHERNET => Ok(frame.get(12..).and_then(behind_ether_type)),
        DataLink::LINUX_SLL => Ok(frame.get(14..).and_then(behind_ether_type)),
        // In LINUX_SLL2 the protocol is the first field, and the packet follows 20 octets.
        DataLink::Unknown(276) => Ok(frame.get(20..).filter(|_| matches!(frame, [0x08, 0, ..] | [0x86, 0xdd, ..]))),
        DataLink::NULL | DataLink::LOOP => Ok(frame.get(4..)),
        other => Err(format!("unsupported link type {}", u32::from(other)).into()),
    }
}

/// Returns the octets behind an EtherType of IP and any VLAN tags.
fn behind_ether_type(mut bytes: &[u8]) -> Option<&[u8]> {
    while let [0x81, 0x00, _, _, tagged @ ..] | [0x88, 0xa8, _, _, tagged @ ..] | [0x91, 0x00, _, _, tagged @ ..] =
        bytes
    {
        bytes = tagged;
    }
    match bytes {
        [0x08, 0x00, ip @ ..] | [0x86, 0xdd, ip @ ..] => Some(ip),
        _ => None,
    }
}

/// Writer of a capture file of raw IP.
pub struct Writer(PcapWriter<BufWriter<File>>);

impl Writer {
    /// Creates a capture file.
    pub fn create(path: &Path) -> Result<Self, Box<dyn Error>> {
        let header = PcapHeader {
            datalink: DataLink::RAW,
            snaplen: 65535,
            ts_resolution: TsResolution::MicroSecond,
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(PcapWriter::with_header(BufWriter::new(file), header)?))
    }

    /// Writes one packet with its time.
    pub fn write(&mut self, time: Duration, packet: &[u8]) -> Result<(), Box<dyn Error>> {
        let orig_len = u32::try_from(packet.len())?;
        self.0.write_packet(&PcapPacket { timestamp: time, orig_len, data: Cow::Borrowed(packet) })?;
        Ok(())
    }
}
