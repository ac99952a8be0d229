use ipsec_crypto::{Cbc, Iv};
use ipsec_packet::Seq;
use rand_core::CryptoRng;

/// Where the IVs of CBC suites come from. They must not be foreseeable (RFC 3602 2.1): a counter or the last ciphertext
/// block will not do.
///
/// Suites whose IVs must be unique instead (CTR, GCM, CCM, ChaCha20) do not ask: [`crate::Outbound`] gives them the
/// sequence number, which never repeats under one key.
pub trait IvSource {
    /// Fills the IV of the packet with this number (RFC 4303 2.3).
    fn fill(&mut self, seq: Seq, iv: &mut [u8]);
}

impl<F: FnMut(Seq, &mut [u8])> IvSource for F {
    fn fill(&mut self, seq: Seq, iv: &mut [u8]) {
        self(seq, iv);
    }
}

/// IVs from a random source (RFC 3602 3).
#[derive(Debug)]
pub struct RngIv<R>(pub R);

impl<R: CryptoRng> IvSource for RngIv<R> {
    fn fill(&mut self, _: Seq, iv: &mut [u8]) {
        self.0.fill_bytes(iv);
    }
}

/// IVs from the sequence number, encrypted under a key of their own (NIST SP 800-38A appendix C): for devices without a
/// random source for each packet. The key must be secret, and neither the SA's nor that of an earlier SA.
#[derive(Debug)]
pub struct EncryptedCounterIv<C>(pub C);

impl<C: Cbc> IvSource for EncryptedCounterIv<C> {
    fn fill(&mut self, seq: Seq, iv: &mut [u8]) {
        let mut counter: Iv = [0; 16];
        counter.iter_mut().zip(seq.get().to_be_bytes()).for_each(|(to, from)| *to = from);
        self.0.encrypt(&[0; 16], &mut counter);
        iv.iter_mut().zip(counter).for_each(|(to, from)| *to = from);
    }
}
