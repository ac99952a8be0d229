//! Image of the functions for programs without an engine or a negotiator: a host in transport mode, an offer of phase
//! 1, and the body of an identification payload.
#![no_std]
#![no_main]

mod image;

use core::convert::Infallible;

use esp_core::{Inbound, IvSource, Outbound, RngIv};
use ike_codec::{AuthMethod, BodyWriter, Group, IdKind, Identification, NoSpace};
use ike_v1::Phase1Choice;
use ipsec_crypto::{Aes128Cbc, CipherAlgorithm, EncryptThenMac, HashFunction, HmacSha1_96};
use ipsec_packet::{PacketBuf, SeqWidth, Spi};
use rand_core::{TryCryptoRng, TryRng};

type Suite = EncryptThenMac<Aes128Cbc, HmacSha1_96>;

/// Both SAs of a host that protects its own packets in transport mode (RFC 4303 section 3.1.1).
struct TransportMode {
    out: Outbound<Suite>,
    back: Inbound<Suite>,
}

impl TransportMode {
    fn new(spi: [Spi; 2], cipher: [&[u8; 16]; 2], mac: [&[u8; 20]; 2]) -> Self {
        let suite = |n: usize| Suite::new(Aes128Cbc::new(cipher[n]), HmacSha1_96::new(mac[n]));
        Self {
            out: Outbound::new(spi[0], suite(0), SeqWidth::Bits32),
            back: Inbound::new(spi[1], suite(1), SeqWidth::Bits32),
        }
    }

    /// Protects an IP packet before it is sent. The buffer needs 24 octets of headroom and 29 octets of tailroom.
    fn send(&mut self, packet: &mut PacketBuf<'_>, iv: &mut impl IvSource) -> bool {
        self.out.seal_transport(packet, iv).is_ok()
    }

    /// Opens a received IP packet. A refused packet must be dropped.
    fn receive(&mut self, packet: &mut PacketBuf<'_>) -> bool {
        self.back.open_transport(packet).is_ok()
    }
}

/// Writes the attributes of an ISAKMP transform: AES-128, SHA-1, pre-shared key, group 14.
fn offer(buffer: &mut [u8]) -> Result<usize, NoSpace> {
    let choice =
        Phase1Choice::new(CipherAlgorithm::AesCbc, HashFunction::Sha1, AuthMethod::PRE_SHARED_KEY, Group::MODP_2048);
    let mut body = BodyWriter::new(buffer);
    body.attributes(|attributes| choice.write(attributes))?;
    Ok(body.finish().len())
}

/// Writes `IDii_b` of the hashes of main mode (RFC 2409 section 5): the address of this host.
fn identity(address: [u8; 4], buffer: &mut [u8]) -> Result<usize, NoSpace> {
    let mut body = BodyWriter::new(buffer);
    Identification { kind: IdKind::IPV4, protocol: 17, port: 500, data: &address }.write(&mut body)?;
    Ok(body.finish().len())
}

/// Replaces the random number generator of the device.
struct Device(u64);

impl TryRng for Device {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|next| next as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        for octet in octets {
            *octet = self.try_next_u64()?.to_be_bytes()[0];
        }
        Ok(())
    }
}

impl TryCryptoRng for Device {}

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let written = offer(output).unwrap_or(1).wrapping_add(identity([192, 0, 2, 1], output).unwrap_or(2));
    written.wrapping_add(transported(input, output).unwrap_or(3))
}

fn transported(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let spi = Spi::new(u32::from_be_bytes(*input.first_chunk()?)).ok()?;
    let (cipher, mac) = (input.first_chunk()?, input.first_chunk()?);
    let mut host = TransportMode::new([spi, spi], [cipher, cipher], [mac, mac]);
    let mut packet = PacketBuf::with_headroom(output, 64, input.len()).ok()?;
    let sent = host.send(&mut packet, &mut RngIv(Device(input.len() as u64)));
    Some(usize::from(sent ^ host.receive(&mut packet)))
}
