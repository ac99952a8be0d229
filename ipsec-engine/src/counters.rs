use crate::sa::Direction;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What the engine counts, of each way apart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Counter {
            $($(#[$doc])* $name,)*
        }

        impl Counter {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A name in words.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        const COUNTERS: usize = Counter::ALL.len();
    };
}

counters! {
    /// Packets that passed as they were.
    Bypassed = "passed in clear",
    /// Packets that were protected, or opened and delivered.
    Processed = "protected or delivered",
    /// Packets that wait for an SA.
    Pending = "waiting for an sa",
    /// ESP packets sealed, or opened.
    Esp = "esp",
    /// Octets of their payload.
    EspOctets = "esp octets",
    /// AH packets signed, or verified.
    Ah = "ah",
    /// Octets of the packets that were.
    AhOctets = "ah octets",
    /// Packets compressed, or decompressed.
    Compressed = "ipcomp",
    /// Octets of their payload in clear.
    CompressedOctets = "ipcomp octets",
    /// Packets of an IPComp association that were not worth compressing; on arrival, those of a tunnel.
    Uncompressed = "ipcomp not worthwhile",
    /// Packets put into, or taken out of, a tunnel.
    Tunnelled = "tunnelled",
    /// Lookups that the cache of flows answered.
    CacheHit = "flow cache hits",
    /// Lookups that searched the policies.
    CacheMiss = "flow cache misses",
    /// [`Malformed`](crate::Reason::Malformed) packets.
    Malformed = "malformed ip",
    /// Source routes and routing headers that are not used up, and options that are malformed or ask to be discarded, in front of IPsec.
    PrecedingHeaders = "headers in front of IPsec",
    /// The caller's buffer was too small.
    NoSpace = "no room in the buffer",
    /// More than 65535 octets.
    TooLong = "longer than ip packets get",
    /// Fragments.
    Fragment = "fragments",
    /// A policy discards them.
    Policy = "discarded by policy",
    /// No policy speaks of them.
    NoPolicy = "no policy",
    /// Fragments that may be a protected policy's.
    Opaque = "fragments of unknown ports",
    /// No SA.
    NoSa = "no sa",
    /// An SA without keys yet.
    Larval = "sa larval",
    /// An SA whose time is over.
    Expired = "sa expired",
    /// From elsewhere than the end of the SA.
    SourceMismatch = "wrong source",
    /// UDP encapsulation where there should be none, or the reverse.
    Encapsulation = "udp encapsulation mismatch",
    /// Clear packets that should be protected.
    Cleartext = "in clear against policy",
    /// Packets through other SAs than the policy asks for.
    SaMismatch = "wrong sa for policy",
    /// Too many headers.
    TooManyHeaders = "too many headers",
    /// ESP too short for its SA.
    EspRunt = "esp too short",
    /// ESP whose length is not whole blocks.
    EspUnaligned = "esp not whole blocks",
    /// ESP replays within the window.
    EspDuplicate = "replayed: seen before",
    /// ESP below the window, or number 0.
    EspTooOld = "replayed: below the window",
    /// ESP whose ICV does not hold.
    EspIcvMismatch = "icv does not hold",
    /// Authentic ESP whose padding is wrong.
    EspPadding = "esp padding",
    /// AH too short, or of the wrong length.
    AhLength = "ah length",
    /// AH replays within the window.
    AhDuplicate = "ah replayed: seen before",
    /// AH below the window, or number 0.
    AhTooOld = "ah replayed: below the window",
    /// AH whose ICV does not hold.
    AhIcvMismatch = "ah icv does not hold",
    /// Headers or options that AH cannot cover.
    AhHeaders = "ah headers",
    /// IPComp that does not decompress.
    Ipcomp = "ipcomp malformed",
    /// What is inside a tunnel is no packet to deliver.
    Inner = "inner packet",
    /// UDP around ESP is malformed.
    Udp = "udp header",
    /// Dummies.
    Dummy = "dummies",
    /// NAT keep-alives.
    KeepAlive = "nat keep-alives",
    /// Sequence numbers used up.
    SequenceExhausted = "sequence numbers exhausted",
    /// Too big for the tunnel.
    TooBig = "too big",
    /// An algorithm contradicts itself, as none of this workspace does.
    Internal = "internal",
}

/// Everything the engine counted.
#[derive(Clone, Debug)]
pub struct Counters {
    inbound: [u64; COUNTERS],
    outbound: [u64; COUNTERS],
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self { inbound: [0; COUNTERS], outbound: [0; COUNTERS] }
    }

    /// One of them.
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

    /// All of them that are not 0.
    pub fn iter(&self) -> impl Iterator<Item = (Direction, Counter, u64)> + '_ {
        [Direction::Inbound, Direction::Outbound]
            .into_iter()
            .flat_map(move |direction| {
                Counter::ALL.iter().map(move |&counter| (direction, counter, self.get(direction, counter)))
            })
            .filter(|(.., count)| *count > 0)
    }

    /// As another stack shows them: its names, each with the sum of what it stands for.
    pub fn view(&self, view: View) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        view.table().iter().map(|(name, parts)| {
            (*name, parts.iter().map(|&(direction, counter)| self.get(direction, counter)).fold(0, u64::saturating_add))
        })
    }
}

const fn place(counter: Counter) -> usize {
    counter as usize
}

/// Whose names counters are shown under.
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
