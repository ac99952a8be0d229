use core::time::Duration;

/// Parameters of a negotiator that apply to all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Local port whose messages have a non-ESP marker (RFC 3948 section 2.2).
    pub nat_traversal_port: u16,
    /// Time until the first retransmission. Each further one waits twice as long.
    pub first_wait: Duration,
    /// Longest time between two retransmissions.
    pub longest_wait: Duration,
    /// Number of times that a message is sent, the first included.
    pub sends: u8,
    /// Longest duration of an exchange.
    pub exchange_lifetime: Duration,
    /// Time for which the last message of an exchange is kept, to answer a retransmission of the peer.
    pub keep_answer: Duration,
    /// Largest number of exchanges that one IPv4 address, or one IPv6 network of 64 bits, may have begun without being
    /// authenticated.
    pub half_open_per_source: u8,
    /// Largest number of ISAKMP SAs that one IPv4 address, or one IPv6 network of 64 bits, may have while their users
    /// are still to be authenticated. All sources together may have half of the ISAKMP SAs, at least one.
    pub logins_per_source: u8,
    /// Largest number of key exchanges in a second for initiators that are not authenticated.
    pub key_exchanges_per_second: u16,
    /// Largest number of key exchanges in a second for initiators of aggressive mode, whose addresses may be forged.
    pub unproven_key_exchanges_per_second: u16,
    /// Largest number of signatures of initiators in a second that the host verifies, with their certificates.
    pub verifications_per_second: u16,
    /// Time without a datagram to a peer after which a NAT-keepalive packet is sent, if this host is behind a NAT
    /// (RFC 3948 section 4).
    pub keep_alive: Duration,
    /// Time between the two copies of a delete payload, which has no acknowledgement.
    pub delete_interval: Duration,
    /// Time for which the inbound SA of a pair is kept after a newer pair has replaced it.
    pub keep_renewed: Duration,
    /// Set if a pair is deleted after this time when this host has initiated the newer one. Otherwise it exists until
    /// its lifetime ends. Some peers send on an old SA until it is deleted.
    pub delete_renewed: bool,
}

impl Settings {
    /// Settings for a daemon.
    pub const DAEMON: Self = Self {
        nat_traversal_port: 4500,
        first_wait: Duration::from_secs(2),
        longest_wait: Duration::from_secs(16),
        sends: 6,
        exchange_lifetime: Duration::from_secs(120),
        keep_answer: Duration::from_secs(60),
        half_open_per_source: 4,
        logins_per_source: 8,
        key_exchanges_per_second: 50,
        unproven_key_exchanges_per_second: 5,
        verifications_per_second: 50,
        keep_alive: Duration::from_secs(20),
        delete_interval: Duration::from_millis(200),
        keep_renewed: Duration::from_secs(120),
        delete_renewed: true,
    };
    /// Settings for firmware on a local network.
    pub const FIRMWARE: Self = Self {
        first_wait: Duration::from_secs(1),
        half_open_per_source: 1,
        logins_per_source: 1,
        key_exchanges_per_second: 5,
        unproven_key_exchanges_per_second: 1,
        verifications_per_second: 5,
        ..Self::DAEMON
    };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DAEMON
    }
}
