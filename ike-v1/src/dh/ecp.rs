//! Diffie-Hellman on curves over a prime field. IKE encodes a point as both coordinates without a prefix (RFC 5903
//! section 7).

use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey, ecdh};
use zeroize::Zeroize;

use super::DhError;

/// Computes the public point of a private scalar, or the x coordinate of its product with the point of the peer.
pub(super) fn multiply<C>(private: &[u8], peer: Option<&[u8]>, out: &mut [u8]) -> Result<(), DhError>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    let secret = SecretKey::<C>::from_slice(private).map_err(|_| DhError::InvalidPrivateValue)?;
    let Some(peer) = peer else {
        let point = secret.public_key().to_sec1_point(false);
        copy(out, point.as_bytes().get(1..).unwrap_or_default());
        return Ok(());
    };
    let mut point = [4u8; 1 + 2 * 66]; // SEC 1 prefix of an uncompressed point
    let coordinates = point.get_mut(1..).unwrap_or_default();
    copy(coordinates, peer);
    let encoded = point.get(..peer.len().saturating_add(1)).unwrap_or_default();
    let public = PublicKey::<C>::from_sec1_bytes(encoded).map_err(|_| DhError::InvalidPublicValue)?;
    let mut scalar = secret.to_nonzero_scalar();
    let shared = ecdh::diffie_hellman(scalar, public.as_affine());
    copy(out, shared.raw_secret_bytes());
    scalar.zeroize();
    Ok(())
}

fn copy(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
