//! Access of clients: their users (draft-beaulieu-ike-xauth-02) and addresses (draft-dukes-ike-mode-cfg-02).

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;

use ike_v1::{ClientConfig, ConfigRequest, IsakmpSaId, PeerId, XauthAnswer};
use ipsec_crypto::HashFunction;
use ipsec_packet::{AddressRange, Instant};

use crate::files::GatewayFiles;
use crate::key_exchange::KeyExchange;
use crate::own_addresses::OwnAddresses;
use crate::pool::Pool;
use crate::psk::PskFile;
use crate::throttle::Throttle;

/// Users and addresses of the clients of all peers.
#[derive(Default)]
pub struct Access {
    /// Files of the users by peer, in the format of the pre-shared keys.
    users: HashMap<PeerId, PskFile>,
    /// Pools of addresses by peer.
    pools: HashMap<PeerId, Pool<IsakmpSaId>>,
    /// Addresses of this host.
    pub own: OwnAddresses,
    /// Users that were rejected, whose answers are delayed.
    throttle: Throttle<IsakmpSaId>,
    /// Names of the users that were accepted.
    accepted: HashMap<IsakmpSaId, Vec<u8>>,
}

impl Access {
    /// Reads the files of the users, and creates the pools.
    ///
    /// # Errors
    /// The message about a file, with its name.
    pub fn read(files: &Rc<dyn GatewayFiles>, exchange: &KeyExchange) -> Result<Self, String> {
        let mut access = Self::default();
        for (peer, id) in exchange.config.peers().iter().zip(exchange.ids()) {
            if let Some(file) = &peer.users {
                access.users.insert(*id, PskFile::read(files, Path::new(file))?);
            }
            if let Some(pool) = peer.pool.as_ref().and_then(Pool::new) {
                access.pools.insert(*id, pool);
            }
        }
        Ok(access)
    }

    /// Keeps the addresses and users of the peers that this access and a former one have.
    pub fn keep(&mut self, former: Self) {
        for (peer, pool) in former.pools {
            self.pools.entry(peer).and_modify(|own| *own = pool);
        }
        (self.own, self.throttle, self.accepted) = (former.own, former.throttle, former.accepted);
    }

    /// Returns whether a user and its password are in the file of a peer, `Pending` if the answer is to wait. The
    /// password is compared in constant time, also that of an unknown user.
    pub fn login(&mut self, now: Instant, peer: PeerId, answer: &XauthAnswer<'_>) -> Poll<bool> {
        if !self.is_refused(answer.sa) && self.matches(peer, answer.user, answer.password) {
            self.accepted.insert(answer.sa, answer.user.to_vec());
            return Poll::Ready(true);
        }
        self.throttle.refuse(now, answer.sa)
    }

    /// Returns whether the user of an ISAKMP SA was rejected, and its answer is delayed.
    pub fn is_refused(&self, sa: IsakmpSaId) -> bool {
        self.throttle.is_waiting(sa)
    }

    /// Returns the time of the next answer that waits.
    pub fn due(&self) -> Option<Instant> {
        self.throttle.due()
    }

    /// Returns the name of the user that was accepted in an ISAKMP SA.
    pub fn user(&self, sa: IsakmpSaId) -> Option<&[u8]> {
        self.accepted.get(&sa).map(Vec::as_slice)
    }

    /// Assigns an address of the pool of a peer. Returns `None` if the peer has no pool, or no address is free.
    pub fn lease(&mut self, peer: PeerId, values: &ClientConfig, request: &ConfigRequest) -> Option<ClientConfig> {
        let user = self.accepted.get(&request.sa).map_or(&[][..], Vec::as_slice);
        let pool = self.pools.get_mut(&peer)?;
        let mut config = *values;
        config.address = Some(pool.assign(request.sa, user, request.address)?);
        Some(config)
    }

    /// Returns whether clients of a peer are assigned addresses.
    pub fn has_pool(&self, peer: PeerId) -> bool {
        self.pools.contains_key(&peer)
    }

    /// Returns whether a client may negotiate for these addresses: none of the pool of its peer but its own.
    pub fn permits(&self, peer: PeerId, sa: IsakmpSaId, addresses: &AddressRange) -> bool {
        let Some(pool) = self.pools.get(&peer) else { return true };
        pool.permits(sa, self.user(sa).unwrap_or_default(), addresses)
    }

    /// Returns whether addresses are the one that is assigned to a client.
    pub fn has_lease(&self, peer: PeerId, sa: IsakmpSaId, addresses: &AddressRange) -> bool {
        let pool = self.pools.get(&peer);
        pool.is_some_and(|pool| pool.is_assigned(sa, self.user(sa).unwrap_or_default(), addresses))
    }

    /// Releases the user of an ISAKMP SA that no longer exists, and its address as soon as no IPsec SA uses it.
    pub fn release(&mut self, sa: IsakmpSaId, is_used: impl Fn(IpAddr) -> bool) {
        self.accepted.remove(&sa);
        self.throttle.forget(sa);
        self.pools.values_mut().for_each(|pool| pool.release(sa, &is_used));
    }

    /// Releases the addresses of ISAKMP SAs that no longer exist, as far as no IPsec SA uses them.
    pub fn release_unused(&mut self, is_used: impl Fn(IpAddr) -> bool) {
        self.pools.values_mut().for_each(|pool| pool.release_unused(&is_used));
    }

    fn matches(&mut self, peer: PeerId, user: &[u8], password: &[u8]) -> bool {
        let Some(users) = self.users.get_mut(&peer) else { return false };
        let known = std::str::from_utf8(user).ok().and_then(|user| users.named(user));
        // The hashes have the same length for passwords of any length.
        let expected = HashFunction::Sha2_256.digest(&[known.as_ref().map_or(&[][..], |known| known.expose())]);
        let is_equal = HashFunction::Sha2_256.digest(&[password]).verify(expected.expose()).is_ok();
        is_equal && known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn users_are_authenticated_by_peer_and_password() {
        let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-users", std::process::id()));
        fs::write(&path, "alice wonder land\n* anyone\n10.0.0.1 host\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let files = crate::files::local();
        let users = HashMap::from([(PeerId(1), PskFile::read(&files, &path).unwrap())]);
        let mut access = Access { users, ..Access::default() };
        let table: [(u16, &[u8], &[u8], bool); 10] = [
            (1, b"alice", b"wonder land", true),
            (0, b"alice", b"wonder land", false),
            (2, b"alice", b"wonder land", false),
            (1, b"alice", b"wonder lan", false),
            (1, b"alice", b"", false),
            (1, b"Alice", b"wonder land", false),
            (1, b"bob", b"anyone", false),
            (1, b"*", b"anyone", false),
            (1, b"10.0.0.1", b"host", false),
            (1, b"\xff", b"", false),
        ];
        for (peer, user, password, is_accepted) in table {
            let got = access.matches(PeerId(peer), user, password);
            assert_eq!(got, is_accepted, "{peer} {}", user.escape_ascii());
        }
        fs::write(&path, "alice another\n").unwrap();
        assert!(access.matches(PeerId(1), b"alice", b"another"), "a changed file is read again");
        fs::remove_file(path).unwrap();
    }
}
