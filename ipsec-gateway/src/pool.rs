//! Pool of addresses for clients.

use std::net::{IpAddr, Ipv4Addr};

use ipsec_packet::AddressRange;

use ipsec_config::Pool as PoolConfig;

/// Addresses that are assigned to clients, each to the identifier `H` of the ISAKMP SA in which it was requested.
pub struct Pool<H> {
    first: u32,
    places: Vec<Place<H>>,
    /// Number of the last release.
    released: u64,
}

/// Assignment of one address of a pool.
#[derive(Clone)]
struct Place<H> {
    holder: Option<H>,
    /// Set if the ISAKMP SA no longer exists, and IPsec SAs still use the address.
    has_ended: bool,
    /// Name of the user that has, or had, the address; empty without one.
    user: Vec<u8>,
    /// Number of the release; 0 if the address was never assigned.
    released: u64,
}

impl<H: Copy + Eq> Pool<H> {
    /// Creates a pool whose addresses are free. Returns `None` without a first address.
    pub fn new(config: &PoolConfig) -> Option<Self> {
        let free = Place { holder: None, has_ended: false, user: Vec::new(), released: 0 };
        Some(Self { first: config.first?.into(), places: vec![free; usize::from(config.size)], released: 0 })
    }

    /// Assigns an address to an ISAKMP SA. Returns `None` if none is free. An SA that has an address keeps it. A client
    /// gets the address that it requests if it is free or assigned to the same user, whose phase 1 was renewed. Others
    /// get the one that their user had before, or the one that is free for the longest time.
    pub fn assign(&mut self, sa: H, user: &[u8], wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let index = self.choose(sa, user, wanted)?;
        let place = self.places.get_mut(index)?;
        (place.holder, place.has_ended, place.user) = (Some(sa), false, user.to_vec());
        Some(address_at(self.first, index))
    }

    /// Returns whether a range is outside of the pool, or one address that is assigned to an ISAKMP SA, or was assigned
    /// to its user in another one: the phase 1 of a client may be renewed without a new request.
    pub fn permits(&self, sa: H, user: &[u8], range: &AddressRange) -> bool {
        let (IpAddr::V4(first), IpAddr::V4(last)) = (range.first(), range.last()) else { return true };
        let (first, last) = (u32::from(first), u32::from(last));
        let is_own = |place: &Place<H>| {
            place.holder.is_some_and(|holder| holder == sa || (!user.is_empty() && place.user == user))
        };
        let mut within = (self.first..).zip(&self.places).filter(|(address, _)| (first..=last).contains(address));
        within.all(|(_, place)| first == last && is_own(place))
    }

    /// Returns whether a range is the address that is assigned to an ISAKMP SA, or to its user in another one.
    pub fn is_assigned(&self, sa: H, user: &[u8], range: &AddressRange) -> bool {
        let IpAddr::V4(first) = range.first() else { return false };
        let offset = u32::from(first).checked_sub(self.first).and_then(|offset| usize::try_from(offset).ok());
        offset.is_some_and(|offset| offset < self.places.len()) && self.permits(sa, user, range)
    }

    /// Releases the address of an ISAKMP SA that no longer exists, as soon as no IPsec SA uses it.
    pub fn release(&mut self, sa: H, is_used: impl Fn(IpAddr) -> bool) {
        if let Some(place) = self.places.iter_mut().find(|place| place.holder == Some(sa)) {
            place.has_ended = true;
            self.release_unused(is_used);
        }
    }

    /// Releases the addresses that are no longer used, of ISAKMP SAs that no longer exist.
    pub fn release_unused(&mut self, is_used: impl Fn(IpAddr) -> bool) {
        let ended = self.places.iter_mut().enumerate().filter(|(_, place)| place.has_ended);
        for (index, place) in ended {
            if !is_used(address_at(self.first, index).into()) {
                self.released += 1;
                (place.holder, place.has_ended, place.released) = (None, false, self.released);
            }
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
        let is_former = |place: &Place<H>| (place.holder.is_none() || place.has_ended) && is_same_user(place);
        let former = || self.places.iter().position(is_former);
        let oldest = || free().min_by_key(|(_, place)| place.released).map(|(index, _)| index);
        own.or_else(requested).or_else(former).or_else(oldest)
    }
}

/// Returns the address at a place of a pool.
fn address_at(first: u32, index: usize) -> Ipv4Addr {
    Ipv4Addr::from(first.saturating_add(u32::try_from(index).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 254);

    fn pool(size: u16) -> Pool<u32> {
        {
            let mut config = PoolConfig::default();
            (config.first, config.size) = (Some(FIRST), size);
            Pool::new(&config).unwrap()
        }
    }

    fn address(index: u32) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(u32::from(FIRST) + index))
    }

    #[test]
    fn each_isakmp_sa_is_assigned_one_address() {
        let mut pool = pool(3);
        assert_eq!(pool.assign(1, b"a", None), address(0));
        assert_eq!(pool.assign(2, b"b", None), address(1));
        assert_eq!(pool.assign(1, b"a", address(2)), address(0), "it keeps its address");
        assert_eq!(pool.assign(3, b"c", None), address(2), "the address after 10.99.0.255");
        assert_eq!(pool.assign(4, b"d", None), None, "all are assigned");
        pool.release(2, |_| false);
        assert_eq!(pool.assign(4, b"d", None), address(1));
    }

    #[test]
    fn a_requested_address_is_assigned_if_free_or_formerly_of_the_user() {
        let mut pool = pool(4);
        assert_eq!(pool.assign(1, b"a", address(2)), address(2));
        assert_eq!(pool.assign(2, b"b", address(2)), address(0), "it is assigned to another user");
        assert_eq!(pool.assign(3, b"a", address(2)), address(2), "the phase 1 of the user was renewed");
        pool.release(1, |_| false);
        assert_eq!(pool.assign(4, b"", address(2)), address(1), "the release of the former SA has no effect");
        assert_eq!(pool.assign(5, b"", address(1)), address(3), "clients without users are different ones");
        for outside in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 99, 0, 253), Ipv4Addr::BROADCAST] {
            assert_eq!(pool.assign(6, b"a", Some(outside)), None, "{outside}");
        }
    }

    #[test]
    fn addresses_are_for_their_holders() {
        let mut pool = pool(4);
        pool.assign(1, b"a", address(1));
        pool.assign(2, b"b", address(2));
        pool.assign(3, b"", address(3));
        let range = |first: u32, last: u32| {
            AddressRange::new(address(first).unwrap().into(), address(last).unwrap().into()).unwrap()
        };
        for (sa, user, permitted) in
            [(1, &b"a"[..], 1..2), (2, b"b", 2..3), (3, b"", 3..4), (9, b"a", 1..2), (9, b"", 0..0)]
        {
            for index in 0..4 {
                let is_permitted = pool.permits(sa, user, &range(index, index));
                assert_eq!(is_permitted, permitted.contains(&index), "SA {sa}, address {index}");
            }
            for (first, last) in [(1, 2), (0, 3), (3, 5)] {
                assert!(!pool.permits(sa, user, &range(first, last)), "SA {sa}, addresses {first} to {last}");
            }
            assert!(!pool.permits(sa, user, &AddressRange::ANY_V4));
            assert!(pool.permits(sa, user, &range(4, 9)), "outside of the pool");
            assert!(pool.permits(sa, user, &AddressRange::ANY_V6));
        }
        for (sa, user, first, last, is_assigned) in [
            (1, &b"a"[..], 1, 1, true),
            (9, b"a", 1, 1, true),
            (1, b"a", 2, 2, false),
            (1, b"a", 1, 2, false),
            (1, b"a", 4, 4, false),
        ] {
            assert_eq!(pool.is_assigned(sa, user, &range(first, last)), is_assigned, "SA {sa}, {first} to {last}");
        }
        assert!(!pool.is_assigned(1, b"a", &AddressRange::ANY_V6));
        pool.release(1, |_| false);
        assert!(!pool.permits(9, b"a", &range(1, 1)), "the address is free");
    }

    #[test]
    fn an_address_that_sas_use_is_released_after_them() {
        let mut pool = pool(2);
        let is_used = |own: IpAddr| Some(own) == address(0).map(IpAddr::V4);
        assert_eq!((pool.assign(1, b"a", None), pool.assign(2, b"b", None)), (address(0), address(1)));
        pool.release(1, is_used);
        pool.release(2, is_used);
        assert_eq!(pool.assign(3, b"c", address(0)), address(1), "the requested address is in use");
        assert_eq!(pool.assign(4, b"d", None), None, "the other one is in use");
        assert_eq!(pool.assign(5, b"a", None), address(0), "its user has it again");
        pool.release(5, is_used);
        pool.release_unused(|_| false);
        assert_eq!(pool.assign(4, b"d", None), address(0));
    }

    #[test]
    fn a_user_is_assigned_its_former_address_and_others_the_longest_free() {
        let mut pool = pool(3);
        for (sa, user) in [(1, b"a"), (2, b"b"), (3, b"c")] {
            pool.assign(sa, user, None);
        }
        [2, 1, 3].into_iter().for_each(|sa| pool.release(sa, |_| false));
        assert_eq!(pool.assign(4, b"c", None), address(2));
        assert_eq!(pool.assign(5, b"d", None), address(1), "the one that was released first");
    }
}
