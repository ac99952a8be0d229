//! Time of each public operation alone: `cargo bench -p ipsec-benches`.

use std::net::IpAddr;

use divan::{Bencher, black_box};
use esp_core::{Inbound, NullEsp, Outbound, Padding, null_esp_heuristic, peek};
use ipcomp_core::{Backoff, Deflate, FixedDeflate, Inflate, Lzs, compress, decompress};
use ipsec_crypto::*;
use ipsec_packet::*;

const SIZES: [usize; 3] = [64, 512, 1408];

/// Headroom and tailroom of each packet in octets.
const FRONT: usize = 128;
const BACK: usize = 2048;

fn main() {
    divan::main();
}

fn key<const N: usize>() -> [u8; N] {
    std::array::from_fn(|n| (n as u8).wrapping_mul(37).wrapping_add(11))
}

fn spi() -> Spi {
    Spi::new(0x1001).expect("an spi")
}

fn iv(seq: Seq, iv: &mut [u8]) {
    iv.fill(seq.get() as u8);
}

fn v4() -> (IpAddr, IpAddr) {
    ([192, 0, 2, 1].into(), [198, 51, 100, 1].into())
}

/// Returns an IPv4 packet with a UDP datagram.
fn udp(octets: usize) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = v4() else { unreachable!() };
    let mut header = Ipv4Header::new(source, destination, IpProto::UDP, 64);
    header.set_total_length(octets as u16);
    header.set_checksum();
    let mut packet = zerocopy::IntoBytes::as_bytes(&header).to_vec();
    packet.extend(b"GET /index.html HTTP/1.1 Host: www.example.org ".iter().cycle().take(octets - 20));
    packet
}

/// Returns a packet in a buffer with headroom and tailroom.
fn framed(packet: &[u8]) -> Vec<u8> {
    [&[0; FRONT][..], packet, &[0; BACK]].concat()
}

fn buf(bytes: &mut [u8]) -> PacketBuf<'_> {
    let length = bytes.len() - FRONT - BACK;
    PacketBuf::with_headroom(bytes, FRONT, length).expect("room")
}

macro_rules! esp {
    ($($name:ident: $suite:expr;)*) => {$(
        mod $name {
            use super::*;

            #[divan::bench(args = SIZES)]
            fn seal(bencher: Bencher, size: usize) {
                let mut sa = Outbound::new(spi(), $suite, SeqWidth::Extended64);
                bencher.with_inputs(|| framed(&udp(size))).bench_local_refs(|bytes| {
                    sa.seal(&mut buf(bytes), IpProto::IPV4, &mut iv).expect("sealed")
                });
            }

            #[divan::bench(args = SIZES)]
            fn open(bencher: Bencher, size: usize) {
                let mut sender = Outbound::new(spi(), $suite, SeqWidth::Extended64);
                let mut sa = Inbound::new(spi(), $suite, SeqWidth::Extended64);
                let mut sealed = || {
                    let mut bytes = framed(&udp(size));
                    let mut packet = buf(&mut bytes);
                    sender.seal(&mut packet, IpProto::IPV4, &mut iv).expect("sealed");
                    packet.data().to_vec()
                };
                bencher.with_inputs(|| sealed()).bench_local_refs(|bytes| {
                    sa.open(&mut PacketBuf::received(bytes)).expect("opened")
                });
            }
        }
    )*};
}

mod esp {
    use super::*;

    esp! {
        null_sha1: EncryptThenMac::new(Null, HmacSha1_96::new(&key()));
        des_md5: EncryptThenMac::new(DesCbc::new(&key()).expect("a key"), HmacMd5_96::new(&key()));
        triple_des_sha1: EncryptThenMac::new(TripleDesCbc::new(&key()).expect("a key"), HmacSha1_96::new(&key()));
        blowfish_sha1:
            EncryptThenMac::new(BlowfishCbc::from_slice(&key::<16>()).expect("a key"), HmacSha1_96::new(&key()));
        cast128_ripemd160:
            EncryptThenMac::new(Cast128Cbc::from_slice(&key::<16>()).expect("a key"), HmacRipemd160_96::new(&key()));
        aes128_sha1: EncryptThenMac::new(Aes128Cbc::new(&key()), HmacSha1_96::new(&key()));
        aes192_sha384: EncryptThenMac::new(Aes192Cbc::new(&key()), HmacSha2_384_192::new(&key()));
        aes256_sha256: EncryptThenMac::new(Aes256Cbc::new(&key()), HmacSha2_256_128::new(&key()));
        aes256_sha512: EncryptThenMac::new(Aes256Cbc::new(&key()), HmacSha2_512_256::new(&key()));
        aes128_xcbc: EncryptThenMac::new(Aes128Cbc::new(&key()), AesXcbcMac96::new(&key()));
        aes128_cmac: EncryptThenMac::new(Aes128Cbc::new(&key()), AesCmac96::new(&key()));
        aes128ctr_sha1: EncryptThenMac::new(Aes128Ctr::new(&key(), key()), HmacSha1_96::new(&key()));
        aes128gcm: Aes128Gcm16::new(&key(), key());
        aes256gcm: Aes256Gcm16::new(&key(), key());
        aes128ccm: Aes128Ccm16::new(&key(), key());
        chacha20poly1305: ChaCha20Poly1305::new(&key(), key());
        at_run_time: AnySuite::from_slices(
            CipherAlgorithm::AesCbc, &key::<16>(), IntegrityAlgorithm::HmacSha1_96, &key::<20>()).expect("a suite");
    }

    #[divan::bench]
    fn peek_at_a_packet(bencher: Bencher) {
        let packet = udp(100);
        bencher.bench(|| peek(black_box(&packet)).expect("a packet"));
    }

    #[divan::bench]
    fn null_or_not(bencher: Bencher) {
        let packet = udp(100);
        bencher.bench(|| null_esp_heuristic(black_box(&packet)) == NullEsp::Encrypted);
    }

    #[divan::bench]
    fn largest_payload(bencher: Bencher) {
        let layout = EncryptThenMac::new(Aes128Cbc::new(&key()), HmacSha1_96::new(&key())).layout();
        bencher.bench(|| esp_core::largest_payload(layout, Padding::MINIMAL, black_box(1400)));
    }
}

mod ah {
    use super::*;

    #[divan::bench(args = SIZES)]
    fn sign(bencher: Bencher, size: usize) {
        let mut sa = ah_core::Outbound::new(spi(), HmacSha1_96::new(&key()), SeqWidth::Bits32, ah_core::Profile::RFC);
        bencher.with_inputs(|| framed(&udp(size))).bench_local_refs(|bytes| sa.sign(&mut buf(bytes)).expect("signed"));
    }

    #[divan::bench(args = SIZES)]
    fn verify(bencher: Bencher, size: usize) {
        let icv = || HmacSha1_96::new(&key());
        let mut sender = ah_core::Outbound::new(spi(), icv(), SeqWidth::Bits32, ah_core::Profile::RFC);
        let mut sa = ah_core::Inbound::new(spi(), icv(), SeqWidth::Bits32, ah_core::Profile::RFC);
        let signed = || {
            let mut bytes = framed(&udp(size));
            let mut packet = buf(&mut bytes);
            sender.sign(&mut packet).expect("signed");
            packet.data().to_vec()
        };
        bencher
            .with_inputs(signed)
            .bench_local_refs(|bytes| sa.verify(&mut PacketBuf::received(bytes)).expect("verified"));
    }
}

mod ipcomp {
    use super::*;

    fn cpi() -> Cpi {
        Cpi::DEFLATE
    }

    #[divan::bench(args = SIZES)]
    fn deflate(bencher: Bencher, size: usize) {
        let mut with = Deflate::new();
        bencher
            .with_inputs(|| framed(&udp(size)))
            .bench_local_refs(|bytes| compress(&mut buf(bytes), IpProto::IPV4, cpi(), &mut with).expect("room"));
    }

    #[divan::bench(args = SIZES)]
    fn deflate_fixed(bencher: Bencher, size: usize) {
        let mut with = FixedDeflate::new();
        bencher
            .with_inputs(|| framed(&udp(size)))
            .bench_local_refs(|bytes| compress(&mut buf(bytes), IpProto::IPV4, cpi(), &mut with).expect("room"));
    }

    #[divan::bench(args = SIZES)]
    fn lzs(bencher: Bencher, size: usize) {
        let mut with = Lzs::new();
        bencher
            .with_inputs(|| framed(&udp(size)))
            .bench_local_refs(|bytes| compress(&mut buf(bytes), IpProto::IPV4, cpi(), &mut with).expect("room"));
    }

    #[divan::bench(args = [512, 1408])]
    fn inflate(bencher: Bencher, size: usize) {
        let (mut to, mut with) = (Deflate::new(), Inflate::new());
        let compressed = || {
            let mut bytes = framed(&udp(size));
            let mut packet = buf(&mut bytes);
            compress(&mut packet, IpProto::IPV4, cpi(), &mut to).expect("compressed");
            [packet.data(), &[0; 2000]].concat()
        };
        bencher.with_inputs(compressed).bench_local_refs(|bytes| {
            let length = bytes.len() - 2000;
            let mut packet = PacketBuf::with_headroom(bytes, 0, length).expect("room");
            decompress(&mut packet, cpi(), &mut with).expect("decompressed")
        });
    }

    #[divan::bench]
    fn back_off(bencher: Bencher) {
        let mut backoff = Backoff::new();
        bencher.bench_local(|| {
            let tries = backoff.try_next();
            backoff.record(!tries);
        });
    }
}

mod packet {
    use super::*;

    #[divan::bench]
    fn replay_window_in_order(bencher: Bencher) {
        let (mut window, mut seq) = (ReplayWindow::<2>::new(), 0);
        bencher.bench_local(|| {
            seq += 1;
            assert!(window.check(Seq::new(seq)).is_ok());
            window.record(Seq::new(seq));
        });
    }

    #[divan::bench]
    fn tunnel_out(bencher: Bencher) {
        let tunnel = Tunnel::v4([192, 0, 2, 1].into(), [198, 51, 100, 1].into());
        bencher.with_inputs(|| framed(&udp(512))).bench_local_refs(|bytes| {
            let mut packet = buf(bytes);
            let (outer, _) = tunnel.outer_for(packet.data_mut()).expect("a packet");
            outer.push(&mut packet, IpProto::ESP, 7).expect("room");
        });
    }

    #[divan::bench]
    fn flow_of_a_packet(bencher: Bencher) {
        let packet = udp(512);
        bencher.bench(|| Flow::read(black_box(&packet)).expect("a packet"));
    }

    #[divan::bench]
    fn udp_encapsulation(bencher: Bencher) {
        let ports = Ports { source: 4500, destination: 4500 };
        bencher.with_inputs(|| framed(&udp(512))).bench_local_refs(|bytes| {
            let mut packet = buf(bytes);
            push_udp(&mut packet, ports, Marker::NonEsp, UdpChecksum::Zero).expect("room");
            pop_udp(&mut packet).expect("udp");
        });
    }

    #[divan::bench]
    fn mss_clamped(bencher: Bencher) {
        let mut syn = udp(60);
        syn[9] = 6;
        syn[20 + 12] = 0x60;
        syn[20 + 13] = 2;
        syn[40..44].copy_from_slice(&[2, 4, 5, 0xb4]);
        bencher.with_inputs(|| syn.clone()).bench_local_refs(|packet| clamp_tcp_mss(packet, 1300));
    }
}

mod setkey {
    use super::*;
    use ipsec_config::setkey::{LoadOptions, Statement, Statements};

    const TEXT: &str = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc 0x000102030405060708090a0b0c0d0e0f \
                        -A hmac-sha1 0x000102030405060708090a0b0c0d0e0f10111213;\n\
                        spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;\n";

    #[divan::bench]
    fn two_statements() -> usize {
        let mut statements = Statements::of(black_box(TEXT));
        let mut count = 0;
        while let Some(statement) = statements.next().expect("a good text") {
            count += usize::from(matches!(statement, Statement::Add(_) | Statement::SpdAdd(_)));
        }
        count
    }

    #[divan::bench]
    fn an_sa_of_a_statement() -> bool {
        let mut statements = Statements::of(black_box(TEXT));
        let Ok(Some(Statement::Add(add))) = statements.next() else { return false };
        let params = add.params(ipsec_engine::Direction::Outbound, None, &LoadOptions::RFC);
        params.is_ok_and(|params| {
            ipsec_engine::Sa::<ipsec_engine::AnyAlgorithms>::from_params(&params, ah_core::Profile::RFC).is_ok()
        })
    }
}
