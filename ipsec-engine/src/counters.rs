use ipsec_sa::Direction;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Counters of the engine; each exists once per direction.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Counter {
            $($(#[$doc])* $name,)*
        }

        impl Counter {
            /// All counters, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name of the counter for logs and tables.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        const COUNTERS: usize = Counter::ALL.len();
    };
}

counters! {
    /// Packets that a BYPASS policy, or the default for packets without a policy, let pass unmodified.
    Bypassed = "bypassed",
    /// Outbound packets that were protected, and inbound packets that were decapsulated and delivered.
    Processed = "protected or delivered",
    /// Packets for which an SA was requested.
    Pending = "acquires pending",
    /// ESP packets sealed, or opened.
    Esp = "ESP packets",
    /// Octets of ESP payload.
    EspOctets = "ESP octets",
    /// AH packets signed, or verified.
    Ah = "AH packets",
    /// Octets of the packets that AH covered.
    AhOctets = "AH octets",
    /// IPComp packets compressed, or decompressed.
    Compressed = "IPComp packets",
    /// Octets of the uncompressed payload of those packets.
    CompressedOctets = "IPComp octets",
    /// Packets of an IPComp association that were sent uncompressed because compression did not make them smaller;
    /// inbound, those of a tunnel.
    Uncompressed = "IPComp not compressed",
    /// Packets that were encapsulated in, or decapsulated from, a tunnel.
    Tunnelled = "tunnel mode packets",
    /// SPD lookups that the flow cache answered.
    CacheHit = "flow cache hits",
    /// SPD lookups that searched the policies.
    CacheMiss = "flow cache misses",
    /// Packets with a [malformed](crate::DiscardReason::Malformed) IP header or extension header.
    Malformed = "malformed IP header",
    /// Packets with an unfinished source route or routing header, or with an option that is malformed or requires the
    /// packet to be discarded, before an IPsec header.
    PrecedingHeaders = "invalid header before an IPsec header",
    /// Packets whose buffer was too small.
    NoSpace = "buffer too small",
    /// Packets that would exceed 65,535 octets.
    TooLong = "longer than 65535 octets",
    /// Fragments of IPsec packets, and fragments that transport mode cannot protect.
    Fragment = "fragments of IPsec packets",
    /// Packets that matched a DISCARD policy.
    Policy = "discarded by policy",
    /// Packets that matched no policy.
    NoPolicy = "no policy",
    /// Fragments without ports that may match a policy for certain ports.
    Opaque = "fragments without ports",
    /// Packets whose SPI has no SA.
    NoSa = "no SA",
    /// Packets for an SA that is still larval.
    Larval = "SA is larval",
    /// Packets for an SA whose hard limit was reached.
    Expired = "SA expired",
    /// Packets whose outer source address differs from that of the SA.
    SourceMismatch = "source address mismatch",
    /// Packets whose UDP encapsulation differs from that of the SA.
    Encapsulation = "UDP encapsulation mismatch",
    /// Cleartext packets that matched a PROTECT policy.
    Cleartext = "cleartext packet matches a PROTECT policy",
    /// Packets whose SAs do not match the templates of the policy.
    SaMismatch = "SA does not match the policy",
    /// Packets with more nested IPsec headers than are decapsulated.
    TooManyHeaders = "too many IPsec headers",
    /// ESP packets shorter than header, IV, trailer and ICV of the SA.
    EspRunt = "ESP packet too short",
    /// ESP packets whose ciphertext is not a multiple of the block size.
    EspUnaligned = "ESP ciphertext not a multiple of the block size",
    /// ESP packets whose sequence number was received before.
    EspDuplicate = "ESP replay: duplicate",
    /// ESP packets left of the anti-replay window, or with sequence number 0.
    EspTooOld = "ESP replay: left of the window",
    /// ESP packets that failed ICV verification.
    EspIcvMismatch = "ESP ICV verification failed",
    /// ESP packets with a verified ICV and invalid padding.
    EspPadding = "invalid ESP padding",
    /// AH packets that are too short, or whose length does not fit the algorithm.
    AhLength = "invalid AH length",
    /// AH packets whose sequence number was received before.
    AhDuplicate = "AH replay: duplicate",
    /// AH packets left of the anti-replay window, or with sequence number 0.
    AhTooOld = "AH replay: left of the window",
    /// AH packets that failed ICV verification.
    AhIcvMismatch = "AH ICV verification failed",
    /// Packets with headers or options that AH cannot cover.
    AhHeaders = "headers that AH cannot cover",
    /// IPComp packets that could not be decompressed.
    Ipcomp = "malformed IPComp payload",
    /// Packets whose inner packet is malformed or not acceptable.
    Inner = "invalid inner packet",
    /// Packets whose UDP header around ESP is malformed.
    Udp = "malformed UDP header",
    /// Dummy packets (RFC 4303 section 2.6).
    Dummy = "dummy packets",
    /// NAT-keepalive packets (RFC 3948 section 2.3).
    KeepAlive = "NAT-keepalives",
    /// Outbound packets of an SA whose sequence numbers are exhausted.
    SequenceExhausted = "sequence numbers exhausted",
    /// Outbound packets that exceed the MTU of the path and must not be fragmented.
    TooBig = "packet too big",
    /// Violations of the contract of an algorithm implementation; no algorithm of this workspace causes any.
    Internal = "internal error",
}

/// Values of all counters, per direction.
#[derive(Clone, Debug)]
pub struct Counters {
    inbound: [u64; COUNTERS],
    outbound: [u64; COUNTERS],
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self { inbound: [0; COUNTERS], outbound: [0; COUNTERS] }
    }

    /// Returns the value of one counter.
    pub fn get(&self, direction: Direction, counter: Counter) -> u64 {
        let counts = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        counts.get(place(counter)).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, direction: Direction, counter: Counter, n: usize) {
        let counts = match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        };
        if let Some(count) = counts.get_mut(place(counter)) {
            *count = count.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        }
    }

    /// Iterates over the counters that are not 0.
    pub fn iter(&self) -> impl Iterator<Item = (Direction, Counter, u64)> + '_ {
        [Direction::Inbound, Direction::Outbound]
            .into_iter()
            .flat_map(move |direction| {
                Counter::ALL.iter().map(move |&counter| (direction, counter, self.get(direction, counter)))
            })
            .filter(|(.., count)| *count > 0)
    }
}

const fn place(counter: Counter) -> usize {
    counter as usize
}
