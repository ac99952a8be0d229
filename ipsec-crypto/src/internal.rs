/// Last argument of the methods of [`Suite`](crate::Suite), [`Cipher`](crate::Cipher) and
/// [`Integrity`](crate::Integrity) that exist for speed. The type cannot be named outside of this crate, so that only
/// this crate calls and implements these methods:
///
/// ```compile_fail,E0603
/// fn seal(batch: &mut [(&ipsec_crypto::AnySuite, &mut ipsec_crypto::EspParts<'_>)]) {
///     ipsec_crypto::Suite::seal_all(batch, ipsec_crypto::internal::Internal);
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Internal;
