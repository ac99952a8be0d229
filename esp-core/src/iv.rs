use ipsec_crypto::{Cbc, Iv};
use ipsec_packet::Seq;
use rand_core::CryptoRng;

/// Source of the IVs of CBC suites. They must be unpredictable (RFC 3602 section 2.1): a counter or the last
/// ciphertext block is not acceptable.
///
/// Suites whose IVs must be unique instead (CTR, GCM, CCM, ChaCha20-Poly1305) do not use it: [`crate::Outbound`] uses
/// the sequence number, which never repeats under one key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of IVs",
    note = "wrap a cryptographic random number generator in `esp_core::RngIv`",
    note = "without one for each packet, use `esp_core::EncryptedCounterIv` with a key of its own",
    note = "a closure `|seq: Seq, iv: &mut [u8]| ..` is a source, too"
)]
pub trait IvSource {
    /// Fills the IV of the packet with this sequence number (RFC 4303 section 2.3).
    fn fill(&mut self, seq: Seq, iv: &mut [u8]);
}

impl<F: FnMut(Seq, &mut [u8])> IvSource for F {
    fn fill(&mut self, seq: Seq, iv: &mut [u8]) {
        self(seq, iv);
    }
}

/// Source of random IVs (RFC 3602 section 3).
#[derive(Debug)]
pub struct RngIv<R>(pub R);

impl<R: CryptoRng> IvSource for RngIv<R> {
    fn fill(&mut self, _: Seq, iv: &mut [u8]) {
        self.0.fill_bytes(iv);
    }
}

/// Source of IVs that are the sequence number, encrypted under a separate key (NIST SP 800-38A appendix C), for
/// devices without a random number per packet. The key must be secret, and different from those of this SA and of
/// earlier SAs.
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
