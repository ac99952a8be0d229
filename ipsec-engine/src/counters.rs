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
    /// Packets with an unfinished source route or routing header, or with an option that is malformed or asks to be
    /// discarded, in front of an IPsec header.
    PrecedingHeaders = "invalid header in front of an IPsec header",
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
    /// NAT keep-alives (RFC 3948 section 2.3).
    KeepAlive = "NAT keep-alives",
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

    /// Iterates over the counters of another stack by their names; each is the sum of the counters that it stands
    /// for.
    pub fn view(&self, view: View) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        view.table().iter().map(|(name, parts)| {
            (*name, parts.iter().map(|&(direction, counter)| self.get(direction, counter)).fold(0, u64::saturating_add))
        })
    }
}

const fn place(counter: Counter) -> usize {
    counter as usize
}

/// Other IPsec stacks whose counter names are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum View {
    /// `struct ipsecstat` of KAME.
    Kame,
    /// `ipsecstat`, `espstat`, `ahstat` and `ipcompstat` of FreeBSD.
    FastIpsec,
    /// `/proc/net/xfrm_stat` of Linux.
    Linux,
    /// The error counters of VPP's ESP and AH nodes.
    Vpp,
}

type Row = (&'static str, &'static [(Direction, Counter)]);

use Counter as C;
use Direction::{Inbound as In, Outbound as Out};
use ipsec_sa::Direction;

impl View {
    const fn table(self) -> &'static [Row] {
        match self {
            Self::Kame => KAME,
            Self::FastIpsec => FAST_IPSEC,
            Self::Linux => LINUX,
            Self::Vpp => VPP,
        }
    }
}

#[rustfmt::skip]
const KAME: &[Row] = &[
    ("in_success", &[(In, C::Processed)]),
    ("in_polvio", &[(In, C::Policy), (In, C::Cleartext), (In, C::SaMismatch), (In, C::NoPolicy), (In, C::Opaque)]),
    ("in_nosa", &[(In, C::NoSa)]),
    ("in_inval", &[(In, C::Malformed), (In, C::PrecedingHeaders), (In, C::Fragment), (In, C::SourceMismatch), (In, C::Encapsulation), (In, C::TooManyHeaders),
        (In, C::EspRunt), (In, C::EspUnaligned), (In, C::EspPadding), (In, C::AhLength), (In, C::AhHeaders), (In, C::Ipcomp), (In, C::Inner), (In, C::Udp),
        (In, C::Internal)]),
    ("in_nomem", &[(In, C::NoSpace)]),
    ("in_badspi", &[(In, C::Larval), (In, C::Expired)]),
    ("in_ahreplay", &[(In, C::AhDuplicate), (In, C::AhTooOld)]),
    ("in_espreplay", &[(In, C::EspDuplicate), (In, C::EspTooOld)]),
    ("in_ahauthsucc", &[(In, C::Ah)]),
    ("in_ahauthfail", &[(In, C::AhIcvMismatch)]),
    ("in_espauthsucc", &[(In, C::Esp)]),
    ("in_espauthfail", &[(In, C::EspIcvMismatch)]),
    ("out_success", &[(Out, C::Processed)]),
    ("out_polvio", &[(Out, C::Policy), (Out, C::NoPolicy), (Out, C::Opaque)]),
    ("out_nosa", &[(Out, C::Pending), (Out, C::SequenceExhausted)]),
    ("out_inval", &[(Out, C::Malformed), (Out, C::Fragment), (Out, C::TooLong), (Out, C::TooBig), (Out, C::AhHeaders), (Out, C::Inner),
        (Out, C::Internal)]),
    ("out_nomem", &[(Out, C::NoSpace)]),
    ("out_noroute", &[]),
    ("spdcachelookup", &[(In, C::CacheHit), (In, C::CacheMiss), (Out, C::CacheHit), (Out, C::CacheMiss)]),
    ("spdcachemiss", &[(In, C::CacheMiss), (Out, C::CacheMiss)]),
];

#[rustfmt::skip]
const FAST_IPSEC: &[Row] = &[
    ("ips_in_polvio", &[(In, C::Policy), (In, C::Cleartext), (In, C::SaMismatch), (In, C::NoPolicy), (In, C::Opaque)]),
    ("ips_in_nomem", &[(In, C::NoSpace)]),
    ("ips_in_inval", &[(In, C::Malformed), (In, C::PrecedingHeaders), (In, C::Fragment), (In, C::SourceMismatch), (In, C::Encapsulation), (In, C::TooManyHeaders), (In, C::Inner),
        (In, C::Udp), (In, C::Internal)]),
    ("ips_out_polvio", &[(Out, C::Policy), (Out, C::NoPolicy), (Out, C::Opaque)]),
    ("ips_out_nosa", &[(Out, C::Pending)]),
    ("ips_out_nomem", &[(Out, C::NoSpace)]),
    ("ips_out_noroute", &[]),
    ("ips_out_inval", &[(Out, C::Malformed), (Out, C::Fragment), (Out, C::TooLong), (Out, C::TooBig), (Out, C::Inner), (Out, C::Internal)]),
    ("ips_out_bundlesa", &[(Out, C::Esp), (Out, C::Ah), (Out, C::Compressed), (Out, C::Uncompressed)]),
    ("ips_spdcache_hits", &[(In, C::CacheHit), (Out, C::CacheHit)]),
    ("ips_spdcache_misses", &[(In, C::CacheMiss), (Out, C::CacheMiss)]),
    ("esps_hdrops", &[(In, C::EspRunt)]),
    ("esps_notdb", &[(In, C::NoSa)]),
    ("esps_badilen", &[(In, C::EspUnaligned)]),
    ("esps_badenc", &[(In, C::EspPadding)]),
    ("esps_badauth", &[(In, C::EspIcvMismatch)]),
    ("esps_replay", &[(In, C::EspDuplicate), (In, C::EspTooOld)]),
    ("esps_wrap", &[(Out, C::SequenceExhausted)]),
    ("esps_invalid", &[(In, C::Larval), (In, C::Expired)]),
    ("esps_toobig", &[(Out, C::TooLong)]),
    ("esps_input", &[(In, C::Esp)]),
    ("esps_output", &[(Out, C::Esp)]),
    ("esps_ibytes", &[(In, C::EspOctets)]),
    ("esps_obytes", &[(Out, C::EspOctets)]),
    ("ahs_hdrops", &[(In, C::AhHeaders)]),
    ("ahs_badauthl", &[(In, C::AhLength)]),
    ("ahs_badauth", &[(In, C::AhIcvMismatch)]),
    ("ahs_replay", &[(In, C::AhDuplicate), (In, C::AhTooOld)]),
    ("ahs_input", &[(In, C::Ah)]),
    ("ahs_output", &[(Out, C::Ah)]),
    ("ahs_ibytes", &[(In, C::AhOctets)]),
    ("ahs_obytes", &[(Out, C::AhOctets)]),
    ("ipcomps_hdrops", &[(In, C::Ipcomp)]),
    ("ipcomps_input", &[(In, C::Compressed)]),
    ("ipcomps_output", &[(Out, C::Compressed)]),
    ("ipcomps_ibytes", &[(In, C::CompressedOctets)]),
    ("ipcomps_obytes", &[(Out, C::CompressedOctets)]),
    ("ipcomps_uncompr", &[(Out, C::Uncompressed)]),
];

#[rustfmt::skip]
const LINUX: &[Row] = &[
    ("XfrmInError", &[(In, C::Udp), (In, C::TooManyHeaders), (In, C::Internal)]),
    ("XfrmInBufferError", &[(In, C::NoSpace)]),
    ("XfrmInHdrError", &[(In, C::Malformed), (In, C::PrecedingHeaders), (In, C::Fragment)]),
    ("XfrmInNoStates", &[(In, C::NoSa)]),
    ("XfrmInStateProtoError", &[(In, C::EspIcvMismatch), (In, C::EspRunt), (In, C::EspUnaligned), (In, C::EspPadding), (In, C::AhIcvMismatch), (In, C::AhLength),
        (In, C::AhHeaders), (In, C::Ipcomp)]),
    ("XfrmInStateModeError", &[(In, C::Inner)]),
    ("XfrmInStateSeqError", &[(In, C::EspDuplicate), (In, C::EspTooOld), (In, C::AhDuplicate), (In, C::AhTooOld)]),
    ("XfrmInStateExpired", &[(In, C::Expired)]),
    ("XfrmInStateMismatch", &[(In, C::Encapsulation), (In, C::SourceMismatch)]),
    ("XfrmInStateInvalid", &[(In, C::Larval)]),
    ("XfrmInTmplMismatch", &[(In, C::SaMismatch), (In, C::Cleartext)]),
    ("XfrmInNoPols", &[(In, C::NoPolicy), (In, C::Opaque)]),
    ("XfrmInPolBlock", &[(In, C::Policy)]),
    ("XfrmInPolError", &[]),
    ("XfrmOutError", &[(Out, C::NoSpace), (Out, C::TooLong), (Out, C::Malformed), (Out, C::Fragment)]),
    ("XfrmOutBundleGenError", &[(Out, C::TooBig)]),
    ("XfrmOutBundleCheckError", &[]),
    ("XfrmOutNoStates", &[(Out, C::Pending)]),
    ("XfrmOutStateProtoError", &[(Out, C::AhHeaders), (Out, C::Internal)]),
    ("XfrmOutStateModeError", &[(Out, C::Inner)]),
    ("XfrmOutStateSeqError", &[(Out, C::SequenceExhausted)]),
    ("XfrmOutStateExpired", &[(Out, C::Expired)]),
    ("XfrmOutPolBlock", &[(Out, C::Policy), (Out, C::NoPolicy), (Out, C::Opaque)]),
    ("XfrmOutPolDead", &[]),
    ("XfrmOutPolError", &[]),
    ("XfrmFwdHdrError", &[]),
    ("XfrmOutStateInvalid", &[(Out, C::Larval)]),
    ("XfrmAcquireError", &[]),
];

#[rustfmt::skip]
const VPP: &[Row] = &[
    ("esp-decrypt rx_pkts", &[(In, C::Esp), (In, C::EspIcvMismatch), (In, C::EspRunt), (In, C::EspUnaligned), (In, C::EspPadding), (In, C::EspDuplicate), (In, C::EspTooOld)]),
    ("esp-decrypt decryption_failed", &[(In, C::EspPadding)]),
    ("esp-decrypt integ_error", &[(In, C::EspIcvMismatch)]),
    ("esp-decrypt crypto_engine_error", &[(In, C::Internal)]),
    ("esp-decrypt replay", &[(In, C::EspDuplicate), (In, C::EspTooOld)]),
    ("esp-decrypt runt", &[(In, C::EspRunt), (In, C::EspUnaligned)]),
    ("esp-decrypt no_buffers", &[(In, C::NoSpace)]),
    ("esp-decrypt unsup_payload", &[(In, C::Inner)]),
    ("esp-encrypt rx_pkts", &[(Out, C::Esp)]),
    ("esp-encrypt seq_cycled", &[(Out, C::SequenceExhausted)]),
    ("esp-encrypt crypto_engine_error", &[(Out, C::Internal)]),
    ("esp-encrypt no_buffers", &[(Out, C::NoSpace)]),
    ("esp-encrypt no_protection", &[(Out, C::Pending)]),
    ("ah-decrypt rx_pkts", &[(In, C::Ah), (In, C::AhIcvMismatch), (In, C::AhLength), (In, C::AhDuplicate), (In, C::AhTooOld)]),
    ("ah-decrypt integ_error", &[(In, C::AhIcvMismatch)]),
    ("ah-decrypt replay", &[(In, C::AhDuplicate), (In, C::AhTooOld)]),
    ("ah-encrypt rx_pkts", &[(Out, C::Ah)]),
];
