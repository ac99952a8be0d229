//! The libraries of this workspace: typed suites and `AnySuite`, single packets and batches, of one SA and of four.

use std::array;
use std::hint::black_box;

use esp_core::{Inbound, OpenSlot, Outbound, SealSlot, open_batch, seal_batch};
use ipsec_crypto::*;
use ipsec_packet::{IpProto, PacketBuf, ReplayWindow, Seq, SeqWidth, Spi};

use super::suite::{Cipher, KEY, Mac, Sizes, Suite as Spec};
use super::{Contender, Op, PACKETS};

/// Headroom of each payload in octets.
const FRONT: usize = 32;
/// Length of each buffer in octets.
const ROOM: usize = 1600;

/// Returns the contenders of this workspace for a suite, operation and size.
pub fn contenders(spec: Spec, op: Op, sizes: Sizes) -> Vec<Contender> {
    match (spec.cipher, spec.mac) {
        (Cipher::AesCbc(16), Mac::None) => return alone(op, sizes, || Aes128Cbc::new(&key())),
        (Cipher::AesCbc(32), Mac::None) => return alone(op, sizes, || Aes256Cbc::new(&key())),
        _ => {}
    }
    let mut all = typed(spec, op, sizes);
    all.push(packet_by_packet("ours-any", "packet", op, sizes, 1, &|| any(spec)));
    all
}

/// Returns the packets, sealed by this workspace; the other libraries must give the same octets.
pub fn sealed_packets(spec: Spec, sizes: Sizes) -> Vec<Vec<u8>> {
    sealed(&mut [Outbound::new(spi(0), any(spec), SeqWidth::Bits32)], sizes)
}

fn any(spec: Spec) -> AnySuite {
    let cipher = match spec.cipher {
        Cipher::Null => CipherAlgorithm::Null,
        Cipher::DesCbc => CipherAlgorithm::DesCbc,
        Cipher::TripleDesCbc => CipherAlgorithm::TripleDesCbc,
        Cipher::BlowfishCbc => CipherAlgorithm::BlowfishCbc,
        Cipher::Cast128Cbc => CipherAlgorithm::Cast128Cbc,
        Cipher::AesCbc(_) => CipherAlgorithm::AesCbc,
        Cipher::AesCtr(_) => CipherAlgorithm::AesCtr,
        Cipher::AesGcm(_) => CipherAlgorithm::AesGcm16,
        Cipher::AesCcm(_) => CipherAlgorithm::AesCcm16,
        Cipher::ChaCha20Poly1305 => CipherAlgorithm::ChaCha20Poly1305,
    };
    let mac = match spec.mac {
        Mac::None => IntegrityAlgorithm::None,
        Mac::Md5 => IntegrityAlgorithm::HmacMd5_96,
        Mac::Sha1 => IntegrityAlgorithm::HmacSha1_96,
        Mac::Sha256 => IntegrityAlgorithm::HmacSha2_256_128,
    };
    AnySuite::from_slices(cipher, &KEY[..spec.key() + spec.salt()], mac, &KEY[..spec.mac_key()]).expect("valid suite")
}

fn key<const N: usize>() -> [u8; N] {
    *KEY.first_chunk().expect("valid key")
}

/// Returns contenders of the cipher alone, to measure its share of a suite.
fn alone<C: ipsec_crypto::Confidential + 'static>(op: Op, sizes: Sizes, cipher: impl Fn() -> C) -> Vec<Contender> {
    let body = |n: usize| (sizes.payload(n) + 2).next_multiple_of(16);
    let bodies: Vec<_> = (0..PACKETS).map(|n| vec![0u8; body(n)]).collect();
    let (mut single, mut batch, iv) = (bodies.clone(), bodies, [7; 16]);
    let (one, many) = (cipher(), EncryptWithoutIntegrity::new(cipher()));
    let front = 8 + many.layout().iv_len();
    batch.iter_mut().for_each(|body| body.resize(front + body.len(), 7));
    let single: Box<dyn FnMut()> = Box::new(move || {
        single.iter_mut().for_each(|body| match op {
            Op::Seal => one.encrypt(&iv, black_box(body)),
            Op::Open => one.decrypt(&iv, black_box(body)),
        });
    });
    let batch: Box<dyn FnMut()> = Box::new(move || {
        let parts = |packet| EspParts::split(many.layout(), packet, None).expect("whole blocks");
        let mut packets: Vec<_> = batch.iter_mut().map(|packet| parts(packet)).collect();
        let mut batch: Vec<_> = packets.iter_mut().map(|parts| (&many, parts)).collect();
        batch::seal(black_box(&mut batch));
    });
    let mut all = vec![Contender { name: "ours", mode: "packet", run: single }];
    if op == Op::Seal {
        all.push(Contender { name: "ours", mode: "batch32", run: batch });
    }
    all
}

fn typed(spec: Spec, op: Op, sizes: Sizes) -> Vec<Contender> {
    fn salt<const N: usize>(at: usize) -> [u8; N] {
        *KEY[at..].first_chunk().expect("salt")
    }
    macro_rules! of {
        ($suite:expr) => {
            modes(op, sizes, &|| $suite)
        };
    }
    match (spec.cipher, spec.mac) {
        (Cipher::AesCbc(16), Mac::Sha1) => {
            of!(EncryptThenMac::new(Aes128Cbc::new(&key()), HmacSha1_96::new(&key())))
        }
        (Cipher::AesCbc(16), Mac::Sha256) => {
            of!(EncryptThenMac::new(Aes128Cbc::new(&key()), HmacSha2_256_128::new(&key())))
        }
        (Cipher::AesCbc(16), Mac::Md5) => of!(EncryptThenMac::new(Aes128Cbc::new(&key()), HmacMd5_96::new(&key()))),
        (Cipher::AesCbc(32), Mac::Sha256) => {
            of!(EncryptThenMac::new(Aes256Cbc::new(&key()), HmacSha2_256_128::new(&key())))
        }
        (Cipher::AesCtr(16), Mac::Sha1) => {
            of!(EncryptThenMac::new(Aes128Ctr::new(&key(), salt(16)), HmacSha1_96::new(&key())))
        }
        (Cipher::Null, Mac::Sha1) => of!(EncryptThenMac::new(Null, HmacSha1_96::new(&key()))),
        (Cipher::TripleDesCbc, Mac::Md5) => {
            of!(EncryptThenMac::new(TripleDesCbc::new(&key()).expect("valid key"), HmacMd5_96::new(&key())))
        }
        (Cipher::DesCbc, Mac::Md5) => {
            of!(EncryptThenMac::new(DesCbc::new(&key()).expect("valid key"), HmacMd5_96::new(&key())))
        }
        (Cipher::BlowfishCbc, Mac::Sha1) => {
            of!(EncryptThenMac::new(BlowfishCbc::from_slice(&KEY[..16]).expect("valid key"), HmacSha1_96::new(&key())))
        }
        (Cipher::Cast128Cbc, Mac::Sha1) => {
            of!(EncryptThenMac::new(Cast128Cbc::from_slice(&KEY[..16]).expect("valid key"), HmacSha1_96::new(&key())))
        }
        (Cipher::AesGcm(16), Mac::None) => of!(Aes128Gcm16::new(&key(), salt(16))),
        (Cipher::AesGcm(32), Mac::None) => of!(Aes256Gcm16::new(&key(), salt(32))),
        (Cipher::AesCcm(16), Mac::None) => of!(Aes128Ccm16::new(&key(), salt(16))),
        (Cipher::ChaCha20Poly1305, Mac::None) => of!(ChaCha20Poly1305::new(&key(), salt(32))),
        _ => Vec::new(),
    }
}

fn modes<S: Suite + 'static>(op: Op, sizes: Sizes, suite: &dyn Fn() -> S) -> Vec<Contender> {
    vec![
        packet_by_packet("ours", "packet", op, sizes, 1, suite),
        packet_by_packet("ours", "packet-4sa", op, sizes, 4, suite),
        batched::<S, 32>("loop32", op, sizes, 1, suite),
        batched::<S, 1>("batch1", op, sizes, 1, suite),
        batched::<S, 8>("batch8", op, sizes, 1, suite),
        batched::<S, 32>("batch32", op, sizes, 1, suite),
        batched::<S, 32>("batch32-4sa", op, sizes, 4, suite),
    ]
}

fn spi(n: usize) -> Spi {
    Spi::new(0x1001 + n as u32).expect("valid SPI")
}

fn iv(seq: Seq, iv: &mut [u8]) {
    iv.fill(seq.get() as u8);
}

fn packet_by_packet<S: Suite + 'static>(
    name: &'static str,
    mode: &'static str,
    op: Op,
    sizes: Sizes,
    sas: usize,
    suite: &dyn Fn() -> S,
) -> Contender {
    let mut senders: Vec<_> = (0..sas).map(|n| Outbound::new(spi(n), suite(), SeqWidth::Bits32)).collect();
    let run: Box<dyn FnMut()> = match op {
        Op::Seal => {
            let mut buffers = vec![[0u8; ROOM]; PACKETS];
            Box::new(move || {
                for (n, buffer) in buffers.iter_mut().enumerate() {
                    let mut packet =
                        PacketBuf::with_headroom(buffer, FRONT, sizes.payload(n)).expect("buffer too small");
                    black_box(senders[n % sas].seal(&mut packet, IpProto::IPV4, &mut iv).expect("sealed"));
                }
            })
        }
        Op::Open => {
            let sealed = sealed(&mut senders, sizes);
            let mut receivers: Vec<_> =
                (0..sas).map(|n| Inbound::<S>::new(spi(n), suite(), SeqWidth::Bits32)).collect();
            let mut buffers = vec![[0u8; ROOM]; PACKETS];
            Box::new(move || {
                for receiver in &mut receivers {
                    *receiver.window_mut() = ReplayWindow::new();
                }
                receive(&mut buffers, &sealed);
                for (n, (buffer, sealed)) in black_box(&mut buffers).iter_mut().zip(&sealed).enumerate() {
                    let mut packet = PacketBuf::with_headroom(buffer, 0, sealed.len()).expect("buffer too small");
                    black_box(receivers[n % sas].open(&mut packet).expect("opened"));
                }
            })
        }
    };
    Contender { name, mode, run }
}

fn sealed<S: Suite>(senders: &mut [Outbound<S>], sizes: Sizes) -> Vec<Vec<u8>> {
    (0..PACKETS)
        .map(|n| {
            let mut buffer = [0u8; ROOM];
            let mut packet = PacketBuf::with_headroom(&mut buffer, FRONT, sizes.payload(n)).expect("buffer too small");
            let of = n % senders.len();
            senders[of].seal(&mut packet, IpProto::IPV4, &mut iv).expect("sealed");
            packet.data().to_vec()
        })
        .collect()
}

/// Processes `N` packets per batch. Mode `loop32` processes the same slots one by one.
fn batched<S: Suite + 'static, const N: usize>(
    mode: &'static str,
    op: Op,
    sizes: Sizes,
    sas: usize,
    suite: &dyn Fn() -> S,
) -> Contender {
    const { assert!(PACKETS.is_multiple_of(N)) };
    let mut senders: Vec<_> = (0..sas).map(|n| Outbound::new(spi(n), suite(), SeqWidth::Bits32)).collect();
    let mut buffers = vec![[0u8; ROOM]; PACKETS];
    let in_turn = mode.starts_with("loop");
    let run: Box<dyn FnMut()> = match op {
        Op::Seal => Box::new(move || {
            let mut pending = buffers.iter_mut().enumerate();
            for _ in 0..PACKETS / N {
                let mut slots: [SealSlot<'_>; N] = array::from_fn(|_| {
                    let (n, buffer) = pending.next().expect("one packet per slot");
                    let packet = PacketBuf::with_headroom(buffer, FRONT, sizes.payload(n)).expect("buffer too small");
                    SealSlot::new(packet, IpProto::IPV4).of(n % sas)
                });
                if in_turn {
                    for SealSlot { sa, packet, next_header, outcome } in &mut slots {
                        *outcome = Some(senders[*sa].seal(packet, *next_header, &mut iv));
                    }
                } else {
                    seal_batch(&mut senders, &mut slots, |_, seq, octets| iv(seq, octets));
                }
                assert!(black_box(&slots).iter().all(|slot| matches!(slot.outcome, Some(Ok(_)))));
            }
        }),
        Op::Open => {
            let sealed = sealed(&mut senders, sizes);
            let mut receivers: Vec<_> =
                (0..sas).map(|n| Inbound::<S>::new(spi(n), suite(), SeqWidth::Bits32)).collect();
            Box::new(move || {
                for receiver in &mut receivers {
                    *receiver.window_mut() = ReplayWindow::new();
                }
                receive(&mut buffers, &sealed);
                let mut pending = black_box(&mut buffers).iter_mut().zip(&sealed).enumerate();
                for _ in 0..PACKETS / N {
                    let mut slots: [OpenSlot<'_>; N] = array::from_fn(|_| {
                        let (n, (buffer, sealed)) = pending.next().expect("one packet per slot");
                        OpenSlot::new(PacketBuf::with_headroom(buffer, 0, sealed.len()).expect("buffer too small"))
                            .of(n % sas)
                    });
                    if in_turn {
                        for OpenSlot { sa, packet, outcome } in &mut slots {
                            *outcome = Some(receivers[*sa].open(packet));
                        }
                    } else {
                        open_batch(&mut receivers, &mut slots);
                    }
                    assert!(black_box(&slots).iter().all(|slot| matches!(slot.outcome, Some(Ok(_)))));
                }
            })
        }
    };
    Contender { name: "ours", mode, run }
}

/// Copies the sealed packets to the buffers that they are opened in.
fn receive(buffers: &mut [[u8; ROOM]], sealed: &[Vec<u8>]) {
    buffers.iter_mut().zip(sealed).for_each(|(buffer, sealed)| buffer[..sealed.len()].copy_from_slice(sealed));
}
