//! Image of generic code elsewhere: NAT detection of `ike-v1`, random IVs, a device of smoltcp.
#![no_std]
#![no_main]

mod image;

use core::convert::Infallible;
use core::net::{Ipv4Addr, SocketAddr};

use esp_core::{IvSource, RngIv};
use ike_v1::{Cookies, detect};
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, HashFunction, HmacSha1_96};
use ipsec_engine::{Algorithms, Engine, Never, Settings};
use ipsec_packet::{ReplayWindow, Seq};
use ipsec_smoltcp::Protected;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let sums = [nat(input), random(input, output), device(input, output)];
    sums.into_iter().flatten().fold(0, usize::wrapping_add)
}

fn nat(input: &[u8]) -> Option<usize> {
    let cookies = Cookies { initiator: *input.first_chunk()?, responder: *input.last_chunk()? };
    let end = |port: u16| Some(SocketAddr::from((Ipv4Addr::from(*input.first_chunk::<4>()?), port)));
    let found = detect(HashFunction::Sha1, &cookies, (end(500)?, end(4500)?), input.chunks(20))?;
    Some(usize::from(found == Default::default()))
}

/// Deterministic stand-in for a random number generator, for linking only: not random.
struct Rng(u64);

impl rand_core::TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| n as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.rotate_left(5) ^ 0x9e37;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        octets.fill(self.0 as u8);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Rng {}

fn random(input: &[u8], output: &mut [u8]) -> Option<usize> {
    RngIv(&mut Rng(input.len() as u64)).fill(Seq::new(1), output);
    output.first().copied().map(usize::from)
}

#[derive(Debug)]
enum Firmware {}

impl Algorithms for Firmware {
    type Suite = EncryptThenMac<Aes128Cbc, HmacSha1_96>;
    type Integrity = Never;
    type Window = ReplayWindow<2>;
    type Compressor = Never;
    type Decompressor = Never;
}

/// Device that receives one packet and counts the octets sent.
struct Line<'a> {
    packet: Option<&'a [u8]>,
    sent: usize,
}

struct Received<'a>(&'a [u8]);

struct Transmit<'l>(&'l mut usize);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        *self.0 = self.0.wrapping_add(len);
        f(&mut [0; 64])
    }
}

impl<'a> Device for Line<'a> {
    type RxToken<'t>
        = Received<'a>
    where
        Self: 't;
    type TxToken<'t>
        = Transmit<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Received<'a>, Transmit<'_>)> {
        Some((Received(self.packet.take()?), Transmit(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, self.sent);
        capabilities
    }
}

fn device(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let engine = Engine::<Firmware, 4, 4>::new(Settings::STRICT, None, None);
    let line = Line { packet: Some(input), sent: input.len() };
    let random = |_: Seq, iv: &mut [u8]| iv.fill(1);
    let mut device: Protected<_, _, _, 1600> = Protected::new(line, engine, random).ok()?;
    let now = Instant::from_micros(input.len() as i64);
    if let Some((packet, answer)) = device.receive(now) {
        let len = packet.consume(<[u8]>::len);
        answer.consume(len, |room| room.fill(0x45));
    }
    device.transmit(now)?.consume(output.len(), |room| room.iter_mut().zip(output).for_each(|(to, from)| *to = *from));
    let known = device.engine().policies().count();
    Some(device.inner().sent.wrapping_add(device.capabilities().max_transmission_unit).wrapping_add(known))
}
