use core::net::{IpAddr, SocketAddr};

use ike_codec::Cookie;
use ipsec_crypto::{IcvMismatch, Prf, PrfOutput, Secret};

/// Makes and checks responder cookies without a state for each peer (RFC 2408 2.5.3): a keyed hash of both ends, the
/// initiator's cookie and the time, with a secret that only this side has.
#[derive(Debug)]
pub struct CookieJar {
    secret: Secret<32>,
}

impl CookieJar {
    /// With a secret from a good random source (RFC 2408 2.5.3).
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { secret: Secret::from_array(secret) }
    }

    /// The cookie for an initiator, never zero; `ends` are ours and the initiator's, `epoch` is the time in units of as long as a cookie is to be good (RFC 2408 2.5.3).
    //= RFC 2408 2.5.3/4
    pub fn cookie(&self, ends: (SocketAddr, SocketAddr), initiator: &Cookie, epoch: u32) -> Cookie {
        let mut cookie = Cookie::default();
        cookie.iter_mut().zip(self.hash(ends, initiator, epoch).expose()).for_each(|(to, from)| *to = *from);
        if cookie == [0; 8] { [1; 8] } else { cookie }
    }

    /// Whether a cookie was made here for this initiator, in this epoch or the one before (RFC 2408 2.5.3).
    ///
    /// # Errors
    /// [`IcvMismatch`] when it was not.
    pub fn check(
        &self,
        ends: (SocketAddr, SocketAddr),
        initiator: &Cookie,
        epoch: u32,
        cookie: &Cookie,
    ) -> Result<(), IcvMismatch> {
        let made_in =
            |epoch| PrfOutput::import(&self.cookie(ends, initiator, epoch)).map_err(|_| IcvMismatch)?.verify(cookie);
        let (now, before) = (made_in(epoch), made_in(epoch.wrapping_sub(1)));
        now.or(before)
    }

    //= RFC 2408 2.5.3/3
    fn hash(&self, ends: (SocketAddr, SocketAddr), initiator: &Cookie, epoch: u32) -> PrfOutput {
        let address = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (local, remote) = ends;
        let ports = [local.port().to_be_bytes(), remote.port().to_be_bytes()];
        //= RFC 2408 2.5.3/1
        let segments = [&address(local)[..], &address(remote), ports.as_flattened(), initiator, &epoch.to_be_bytes()];
        //= RFC 2408 2.5.3/2
        Prf::HmacSha1.compute(self.secret.expose(), &segments)
    }
}
