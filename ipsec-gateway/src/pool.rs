//! Pool of addresses for clients.

use std::net::Ipv4Addr;

use crate::config::PoolConfig;

/// Addresses that are assigned to clients, each to the identifier `H` of the ISAKMP SA in which it was requested.
pub struct Pool<H> {
    first: u32,
    places: Vec<Place<H>>,
    /// Number of addresses that were released.
    released: u64,
}

/// Address of a pool.
#[derive(Clone)]
struct Place<H> {
    holder: Option<H>,
    /// Name of the user that has, or had, the address; empty without one.
    user: Vec<u8>,
    /// Number of the release; 0 if the address was never assigned.
    released: u64,
}

impl<H: Copy + Eq> Pool<H> {
    /// Creates a pool whose addresses are free.
    pub fn new(config: &PoolConfig) -> Self {
        let free = Place { holder: None, user: Vec::new(), released: 0 };
        Self { first: config.first.into(), places: vec![free; usize::from(config.size)], released: 0 }
    }

    /// Assigns an address to an ISAKMP SA; `None` if none is free. An SA that has an address keeps it. A client gets the
    /// address that it requests if it is free or assigned to the same user, whose phase 1 was renewed. Others get the
    /// one that their user had before, or the one that is free for the longest time.
    pub fn assign(&mut self, sa: H, user: &[u8], wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let index = self.choose(sa, user, wanted)?;
        let place = self.places.get_mut(index)?;
        (place.holder, place.user) = (Some(sa), user.to_vec());
        Some(Ipv4Addr::from(self.first.checked_add(u32::try_from(index).ok()?)?))
    }

    /// Releases the address of an ISAKMP SA.
    pub fn release(&mut self, sa: H) {
        if let Some(place) = self.places.iter_mut().find(|place| place.holder == Some(sa)) {
            self.released += 1;
            (place.holder, place.released) = (None, self.released);
        }
    }

    fn choose(&self, sa: H, user: &[u8], wanted: Option<Ipv4Addr>) -> Option<usize> {
        let own = self.places.iter().position(|place| place.holder == Some(sa));
        let is_same_user = |place: &Place<H>| !user.is_empty() && place.user == user;
        let requested = || {
            let index = usize::try_from(u32::from(wanted?).checked_sub(self.first)?).ok()?;
            let place = self.places.get(index)?;
            (place.holder.is_none() || is_same_user(place)).then_some(index)
        };
        let free = || self.places.iter().enumerate().filter(|(_, place)| place.holder.is_none());
        let former = || free().find(|(_, place)| is_same_user(place)).map(|(index, _)| index);
        let oldest = || free().min_by_key(|(_, place)| place.released).map(|(index, _)| index);
        own.or_else(requested).or_else(former).or_else(oldest)
    }
}

#[cfg(test)]
mod tests {
    use ike_v1::ClientConfig;

    use super::*;

    const FIRST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 254);

    fn pool(size: u16) -> Pool<u32> {
        Pool::new(&PoolConfig { first: FIRST, size, values: ClientConfig::default() })
    }

    fn address(index: u32) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(u32::from(FIRST) + index))
    }

    #[test]
    fn each_sa_has_one_address() {
        let mut pool = pool(3);
        assert_eq!(pool.assign(1, b"a", None), address(0));
        assert_eq!(pool.assign(2, b"b", None), address(1));
        assert_eq!(pool.assign(1, b"a", address(2)), address(0), "it keeps its address");
        assert_eq!(pool.assign(3, b"c", None), address(2), "the address after 10.99.0.255");
        assert_eq!(pool.assign(4, b"d", None), None, "all are assigned");
        pool.release(2);
        assert_eq!(pool.assign(4, b"d", None), address(1));
    }

    #[test]
    fn a_requested_address_is_free_or_of_the_same_user() {
        let mut pool = pool(4);
        assert_eq!(pool.assign(1, b"a", address(2)), address(2));
        assert_eq!(pool.assign(2, b"b", address(2)), address(0), "it is assigned to another user");
        assert_eq!(pool.assign(3, b"a", address(2)), address(2), "the phase 1 of the user was renewed");
        pool.release(1);
        assert_eq!(pool.assign(4, b"", address(2)), address(1), "the release of the former SA has no effect");
        assert_eq!(pool.assign(5, b"", address(1)), address(3), "clients without users are different ones");
        for outside in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 99, 0, 253), Ipv4Addr::BROADCAST] {
            assert_eq!(pool.assign(6, b"a", Some(outside)), None, "{outside}");
        }
    }

    #[test]
    fn a_user_gets_the_former_address_and_others_the_oldest() {
        let mut pool = pool(3);
        for (sa, user) in [(1, b"a"), (2, b"b"), (3, b"c")] {
            pool.assign(sa, user, None);
        }
        [2, 1, 3].into_iter().for_each(|sa| pool.release(sa));
        assert_eq!(pool.assign(4, b"c", None), address(2));
        assert_eq!(pool.assign(5, b"d", None), address(1), "the one that was released first");
    }
}
