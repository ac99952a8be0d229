use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Keyed digest by which a repeated message, or an identity, is recognised. Its functions are compiled once.
pub(crate) struct KeyedDigest(SipHasher13);

impl KeyedDigest {
    #[inline(never)]
    pub fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(key))
    }

    #[inline(never)]
    pub fn write(&mut self, octets: &[u8]) {
        self.0.write(octets);
    }

    #[inline(never)]
    pub fn finish(self) -> u64 {
        self.0.finish()
    }
}
