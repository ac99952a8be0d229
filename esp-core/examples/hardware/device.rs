//! Model of a crypto accelerator with a descriptor queue, its own memory, and one interrupt for all queued packets.
//!
//! A driver prepares descriptors, starts the device and collects the results. [`Accelerator`] implements [`Suite`]
//! with it, and [`BatchSuite`] for several packets per start.

use std::cell::RefCell;

use ipsec_crypto::batch::BatchSuite;
use ipsec_crypto::{Aes128Cbc, EncryptThenMac, EspParts, HmacSha1_96, Icv, IcvLen, IcvMismatch, Layout, Suite};

/// Job of the device: the direction, and the position of the packet in the device's memory.
struct Descriptor {
    seal: bool,
    at: usize,
    len: usize,
    seq_high: Option<[u8; 4]>,
    /// Result that the device writes: the packet was sealed, or its ICV verified.
    done: bool,
}

/// The device; software takes the place of its hardware.
struct Device {
    silicon: EncryptThenMac<Aes128Cbc, HmacSha1_96>,
    memory: Vec<u8>,
    queue: Vec<Descriptor>,
    starts: usize,
}

impl Device {
    /// Processes all queued descriptors. A real driver would wait for the interrupt.
    fn start(&mut self) {
        self.starts += 1;
        let layout = self.silicon.layout();
        for job in &mut self.queue {
            let Some(packet) = self.memory.get_mut(job.at..job.at + job.len) else { continue };
            let Ok(mut parts) = EspParts::split(layout, packet, job.seq_high) else { continue };
            job.done = if job.seal {
                self.silicon.seal(&mut parts);
                true
            } else {
                self.silicon.open(&mut parts).is_ok()
            };
        }
    }
}

/// Suite of AES-128-CBC and HMAC-SHA1-96 that the device computes.
pub struct Accelerator(RefCell<Device>);

impl Accelerator {
    /// Loads the keys into the device.
    pub fn new(cipher: &[u8; 16], mac: &[u8; 20]) -> Self {
        let silicon = EncryptThenMac::new(Aes128Cbc::new(cipher), HmacSha1_96::new(mac));
        Self(RefCell::new(Device { silicon, memory: Vec::new(), queue: Vec::new(), starts: 0 }))
    }

    /// Returns the number of times that the device was started.
    pub fn starts(&self) -> usize {
        self.0.borrow().starts
    }

    /// Copies the packet into the device's memory and queues a descriptor for it.
    fn prepare(&self, seal: bool, parts: &EspParts<'_>) {
        let mut device = self.0.borrow_mut();
        let [input, high] = parts.integrity_input().segments();
        let at = device.memory.len();
        device.memory.extend_from_slice(input);
        device.memory.extend_from_slice(parts.icv());
        let len = device.memory.len() - at;
        device.queue.push(Descriptor { seal, at, len, seq_high: high.try_into().ok(), done: false });
    }

    /// Copies one packet back, unless its ICV is wrong.
    fn finish(&self, job: usize, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        let device = self.0.borrow();
        let job = device.queue.get(job).filter(|job| job.done).ok_or(IcvMismatch)?;
        let packet = device.memory.get(job.at..job.at + job.len).ok_or(IcvMismatch)?;
        let (input, icv) = packet.split_at_checked(job.len - self.layout().icv_len()).ok_or(IcvMismatch)?;
        let body = input.len() - parts.body().len();
        parts.body().copy_from_slice(input.get(body..).ok_or(IcvMismatch)?);
        parts.set_icv(&IcvLen::new(icv.len()).and_then(|len| Icv::truncated(icv, len)).ok_or(IcvMismatch)?);
        Ok(())
    }

    /// Wipes the device's memory, which contains plaintext, and empties the queue.
    fn clear(&self) {
        let mut device = self.0.borrow_mut();
        device.memory.fill(0);
        device.memory.clear();
        device.queue.clear();
    }
}

impl Suite for Accelerator {
    fn layout(&self) -> Layout {
        self.0.borrow().silicon.layout()
    }

    fn seal(&self, parts: &mut EspParts<'_>) {
        self.prepare(true, parts);
        self.0.borrow_mut().start();
        if self.finish(0, parts).is_err() {
            // When the device fails, the packet must not leave in cleartext.
            parts.body().fill(0);
        }
        self.clear();
    }

    fn open(&self, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        self.prepare(false, parts);
        self.0.borrow_mut().start();
        let opened = self.finish(0, parts);
        self.clear();
        opened
    }
}

impl BatchSuite for Accelerator {
    /// Prepares all consecutive packets of one SA, each of which has its own device, before starting the device once.
    fn seal_batch(batch: &mut [(&Self, &mut EspParts<'_>)]) {
        for run in batch.chunk_by_mut(|(one, _), (next, _)| std::ptr::eq(*one, *next)) {
            let Some((device, _)) = run.first() else { continue };
            let device = *device;
            run.iter().for_each(|(_, parts)| device.prepare(true, parts));
            device.0.borrow_mut().start();
            for (job, (_, parts)) in run.iter_mut().enumerate() {
                if device.finish(job, parts).is_err() {
                    parts.body().fill(0);
                }
            }
            device.clear();
        }
    }
}
