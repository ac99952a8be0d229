//! A crypto accelerator that does not exist: a queue of descriptors, memory of its own, one interrupt for all that was queued.
//! A driver prepares, starts the device, and finishes; [`Accelerator`] makes a [`Suite`] of that.

use std::cell::RefCell;

use ipsec_crypto::{Aes128Cbc, EncryptThenMac, EspParts, HmacSha1_96, IcvMismatch, Layout, Suite};

/// What the device is asked: a direction, and where in its memory the packet lies.
struct Descriptor {
    seal: bool,
    at: usize,
    len: usize,
    seq_high: Option<[u8; 4]>,
    /// What it answers: whether the ICV held.
    holds: bool,
}

/// The device. What is behind the registers of a real one is software here.
struct Device {
    silicon: EncryptThenMac<Aes128Cbc, HmacSha1_96>,
    memory: Vec<u8>,
    queue: Vec<Descriptor>,
    starts: usize,
}

impl Device {
    /// Works on all that is queued; a real driver would sleep until the interrupt.
    fn start(&mut self) {
        self.starts += 1;
        let layout = self.silicon.layout();
        for job in &mut self.queue {
            let Some(packet) = self.memory.get_mut(job.at..job.at + job.len) else { continue };
            let Ok(mut parts) = EspParts::split(layout, packet, job.seq_high) else { continue };
            job.holds = if job.seal {
                self.silicon.seal(&mut parts);
                true
            } else {
                self.silicon.open(&mut parts).is_ok()
            };
        }
    }
}

/// AES-128-CBC with HMAC-SHA1-96, done elsewhere.
pub struct Accelerator(RefCell<Device>);

impl Accelerator {
    /// Loads the keys into the device.
    pub fn new(cipher: &[u8; 16], mac: &[u8; 20]) -> Self {
        let silicon = EncryptThenMac::new(Aes128Cbc::new(cipher), HmacSha1_96::new(mac));
        Self(RefCell::new(Device { silicon, memory: Vec::new(), queue: Vec::new(), starts: 0 }))
    }

    /// How often it was started.
    pub fn starts(&self) -> usize {
        self.0.borrow().starts
    }

    /// First phase: the packet goes into the device's memory, and a descriptor into its queue.
    fn prepare(&self, seal: bool, parts: &EspParts<'_>) {
        let mut device = self.0.borrow_mut();
        let [text, high] = parts.integrity_input().segments();
        let at = device.memory.len();
        device.memory.extend_from_slice(text);
        device.memory.extend_from_slice(parts.icv());
        let len = device.memory.len() - at;
        device.queue.push(Descriptor { seal, at, len, seq_high: high.try_into().ok(), holds: false });
    }

    /// Last phase: one packet comes back, unless its ICV did not hold.
    fn finish(&self, job: usize, parts: &mut EspParts<'_>) -> Result<(), IcvMismatch> {
        let device = self.0.borrow();
        let job = device.queue.get(job).filter(|job| job.holds).ok_or(IcvMismatch)?;
        let packet = device.memory.get(job.at..job.at + job.len).ok_or(IcvMismatch)?;
        let (text, icv) = packet.split_at_checked(job.len - self.layout().icv).ok_or(IcvMismatch)?;
        let body = text.len() - parts.body().len();
        parts.body().copy_from_slice(text.get(body..).ok_or(IcvMismatch)?);
        parts.set_icv(icv);
        Ok(())
    }

    /// The packets that were prepared are forgotten, and their plaintext with them.
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
            // A device that failed must not let a packet leave in clear.
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

    /// Here it pays: all packets in a row of one SA, which has a device of its own, are prepared before it is started, once.
    fn seal_batch(batch: &mut [(&Self, &mut EspParts<'_>)]) {
        for of_one in batch.chunk_by_mut(|(one, _), (next, _)| std::ptr::eq(*one, *next)) {
            let Some((device, _)) = of_one.first() else { continue };
            let device = *device;
            of_one.iter().for_each(|(_, parts)| device.prepare(true, parts));
            device.0.borrow_mut().start();
            for (job, (_, parts)) in of_one.iter_mut().enumerate() {
                if device.finish(job, parts).is_err() {
                    parts.body().fill(0);
                }
            }
            device.clear();
        }
    }
}
