//! Access of clients: their users (draft-beaulieu-ike-xauth-02) and addresses (draft-dukes-ike-mode-cfg-02).

use std::collections::HashMap;

use ike_v1::{ClientConfig, ConfigRequest, IsakmpSaId, PeerId, XauthAnswer};
use ipsec_crypto::HashFunction;

use crate::config::{Config, ModeConfigUse};
use crate::pool::Pool;
use crate::psk::PskFile;

/// Users and addresses of the clients of all peers.
#[derive(Default)]
pub struct Access {
    /// Files of the users, by peer. They have the format of the pre-shared keys.
    users: Vec<Option<PskFile>>,
    /// Addresses, by peer.
    pools: Vec<Option<Pool<IsakmpSaId>>>,
    /// Names of the users that were accepted.
    accepted: HashMap<IsakmpSaId, Vec<u8>>,
}

impl Access {
    /// Reads the files of the users, and creates the pools.
    ///
    /// # Errors
    /// The message about a file, with its name.
    pub fn read(config: &Config) -> Result<Self, String> {
        let users = config.peers.iter().map(|peer| peer.users.as_deref().map(PskFile::read).transpose());
        let pools = config.peers.iter().map(|peer| match &peer.mode_config {
            ModeConfigUse::Pool(pool) => Some(Pool::new(pool)),
            _ => None,
        });
        Ok(Self { users: users.collect::<Result<_, _>>()?, pools: pools.collect(), accepted: HashMap::new() })
    }

    /// Returns whether a user and its password are in the file of a peer. The password is compared in constant time, also
    /// that of an unknown user.
    pub fn login(&mut self, peer: PeerId, answer: &XauthAnswer<'_>) -> bool {
        let is_accepted = self.matches(peer, answer.user, answer.password);
        if is_accepted {
            self.accepted.insert(answer.sa, answer.user.to_vec());
        }
        is_accepted
    }

    /// Returns the name of the user that was accepted in an ISAKMP SA.
    pub fn user(&self, sa: IsakmpSaId) -> Option<&[u8]> {
        self.accepted.get(&sa).map(Vec::as_slice)
    }

    /// Assigns an address of the pool of a peer. Returns `None` if the peer has no pool, or no address is free.
    pub fn lease(&mut self, peer: PeerId, values: &ClientConfig, request: &ConfigRequest) -> Option<ClientConfig> {
        let user = self.accepted.get(&request.sa).map_or(&[][..], Vec::as_slice);
        let pool = self.pools.get_mut(usize::from(peer.0))?.as_mut()?;
        let mut config = *values;
        config.address = Some(pool.assign(request.sa, user, request.address)?);
        Some(config)
    }

    /// Releases what an ISAKMP SA has, which no longer exists.
    pub fn release(&mut self, sa: IsakmpSaId) {
        self.accepted.remove(&sa);
        self.pools.iter_mut().flatten().for_each(|pool| pool.release(sa));
    }

    fn matches(&mut self, peer: PeerId, user: &[u8], password: &[u8]) -> bool {
        let Some(Some(users)) = self.users.get_mut(usize::from(peer.0)) else { return false };
        let known = std::str::from_utf8(user).ok().and_then(|user| users.named(user));
        // The hashes have the same length, whatever the passwords have.
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
    fn users_are_those_of_their_peer_and_have_a_password() {
        let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-users", std::process::id()));
        fs::write(&path, "alice wonder land\n* anyone\n10.0.0.1 host\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let users = vec![None, Some(PskFile::read(&path).unwrap())];
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
