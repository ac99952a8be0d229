use core::net::{IpAddr, SocketAddr};

use ike_codec::Cookie;
use ipsec_crypto::{IcvMismatch, Prf, PrfOutput, Secret};

/// Generator of stateless responder cookies (RFC 2408 section 2.5.3). A cookie is a keyed hash of both addresses and
/// ports, the initiator cookie and the time, under a local secret; no state is kept for a peer.
#[derive(Debug)]
pub struct CookieGenerator {
    secret: Secret<32>,
}

impl CookieGenerator {
    /// Creates a generator with a secret from a cryptographically secure random source (RFC 2408
    /// section 2.5.3).
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { secret: Secret::from_array(secret) }
    }

    /// Computes the responder cookie for an initiator; it is never zero (RFC 2408 section 2.5.3).
    ///
    /// `ends` are the local and the remote address; `epoch` is the time in units of the lifetime of a cookie.
    //= RFC 2408 2.5.3/4
    //# MUST: date and time are part of what a cookie is hashed from
    pub fn cookie(&self, ends: (SocketAddr, SocketAddr), initiator: &Cookie, epoch: u32) -> Cookie {
        let mut cookie = Cookie::default();
        cookie.iter_mut().zip(self.hash(ends, initiator, epoch).expose()).for_each(|(to, from)| *to = *from);
        if cookie == [0; 8] { [1; 8] } else { cookie }
    }

    /// Verifies that a cookie was computed by this generator for this initiator, in this epoch or the preceding one
    /// (RFC 2408 section 2.5.3).
    ///
    /// # Errors
    /// [`IcvMismatch`] when the cookie does not match.
    pub fn check(
        &self,
        ends: (SocketAddr, SocketAddr),
        initiator: &Cookie,
        epoch: u32,
        cookie: &Cookie,
    ) -> Result<(), IcvMismatch> {
        let verify_in =
            |epoch| PrfOutput::import(&self.cookie(ends, initiator, epoch)).map_err(|_| IcvMismatch)?.verify(cookie);
        let (now, previous) = (verify_in(epoch), verify_in(epoch.wrapping_sub(1)));
        now.or(previous)
    }

    //= RFC 2408 2.5.3/3
    //# MUST: cookies are generated fast
    fn hash(&self, ends: (SocketAddr, SocketAddr), initiator: &Cookie, epoch: u32) -> PrfOutput {
        let address = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (local, remote) = ends;
        let ports = [local.port().to_be_bytes(), remote.port().to_be_bytes()];
        //= RFC 2408 2.5.3/1
        //# MUST: a cookie depends on the parties
        let segments = [&address(local)[..], &address(remote), ports.as_flattened(), initiator, &epoch.to_be_bytes()];
        //= RFC 2408 2.5.3/2
        //# MUST: only its issuer can create a cookie, and the local secret cannot be derived from one
        Prf::HmacSha1.compute(self.secret.expose(), &segments)
    }
}
