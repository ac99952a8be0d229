//! Counters of an engine under the names of other IPsec stacks.

use ipsec_engine::Counter as C;
use ipsec_engine::Counters;
use ipsec_engine::Direction::{self, Inbound as In, Outbound as Out};

/// IPsec stack whose counter names are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stack {
    /// `ipsecstat` of KAME and NetBSD
    Kame,
    /// `ipsecstat`, `espstat`, `ahstat` and `ipcompstat` of FreeBSD
    Freebsd,
    /// Counters in `/proc/net/xfrm_stat` of Linux
    Linux,
    /// Error counters of the ESP and AH nodes of VPP
    Vpp,
}

/// Name of a counter, and the counters of the engine whose sum it is.
type Row = (&'static str, &'static [(Direction, C)]);

/// Iterates over the counters of a stack; each is the sum of the counters that it comprises.
pub fn rows(counters: &Counters, stack: Stack) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    table(stack).iter().map(|(name, parts)| {
        let values = parts.iter().map(|&(direction, counter)| counters.get(direction, counter));
        (*name, values.fold(0, u64::saturating_add))
    })
}

const fn table(stack: Stack) -> &'static [Row] {
    match stack {
        Stack::Kame => KAME,
        Stack::Freebsd => FAST_IPSEC,
        Stack::Linux => LINUX,
        Stack::Vpp => VPP,
    }
}

#[rustfmt::skip]
const KAME: &[Row] = &[
    ("in_success", &[(In, C::Processed)]),
    ("in_polvio", &[(In, C::Policy), (In, C::Cleartext), (In, C::SaMismatch), (In, C::NoPolicy), (In, C::Opaque)]),
    ("in_nosa", &[(In, C::NoSa)]),
    ("in_inval", &[(In, C::Malformed), (In, C::PrecedingHeaders), (In, C::Fragment), (In, C::SourceMismatch),
        (In, C::Encapsulation), (In, C::TooManyHeaders),
        (In, C::EspRunt), (In, C::EspUnaligned), (In, C::EspPadding), (In, C::AhLength), (In, C::AhHeaders),
        (In, C::Ipcomp), (In, C::Inner), (In, C::Udp),
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
    ("out_inval", &[(Out, C::Malformed), (Out, C::Fragment), (Out, C::TooLong), (Out, C::TooBig), (Out, C::AhHeaders),
        (Out, C::Inner),
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
    ("ips_in_inval", &[(In, C::Malformed), (In, C::PrecedingHeaders), (In, C::Fragment), (In, C::SourceMismatch),
        (In, C::Encapsulation), (In, C::TooManyHeaders), (In, C::Inner),
        (In, C::Udp), (In, C::Internal)]),
    ("ips_out_polvio", &[(Out, C::Policy), (Out, C::NoPolicy), (Out, C::Opaque)]),
    ("ips_out_nosa", &[(Out, C::Pending)]),
    ("ips_out_nomem", &[(Out, C::NoSpace)]),
    ("ips_out_noroute", &[]),
    ("ips_out_inval", &[(Out, C::Malformed), (Out, C::Fragment), (Out, C::TooLong), (Out, C::TooBig), (Out, C::Inner),
        (Out, C::Internal)]),
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
    ("XfrmInStateProtoError", &[(In, C::EspIcvMismatch), (In, C::EspRunt), (In, C::EspUnaligned), (In, C::EspPadding),
        (In, C::AhIcvMismatch), (In, C::AhLength),
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
    ("esp-decrypt rx_pkts", &[(In, C::Esp), (In, C::EspIcvMismatch), (In, C::EspRunt), (In, C::EspUnaligned),
        (In, C::EspPadding), (In, C::EspDuplicate), (In, C::EspTooOld)]),
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
    ("ah-decrypt rx_pkts", &[(In, C::Ah), (In, C::AhIcvMismatch), (In, C::AhLength), (In, C::AhDuplicate),
        (In, C::AhTooOld)]),
    ("ah-decrypt integ_error", &[(In, C::AhIcvMismatch)]),
    ("ah-decrypt replay", &[(In, C::AhDuplicate), (In, C::AhTooOld)]),
    ("ah-encrypt rx_pkts", &[(Out, C::Ah)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Counters that are not a reason to discard a packet, and those of packets that are discarded without a fault.
    const NO_FAULT: &[C] = &[
        C::Bypassed,
        C::Processed,
        C::Pending,
        C::Esp,
        C::EspOctets,
        C::Ah,
        C::AhOctets,
        C::Compressed,
        C::CompressedOctets,
        C::Uncompressed,
        C::Tunnelled,
        C::CacheHit,
        C::CacheMiss,
        C::Dummy,
        C::KeepAlive,
    ];

    #[test]
    fn every_inbound_discard_is_counted_once_by_kame_linux_and_freebsd() {
        // Outbound only: a received packet cannot exceed these limits.
        let is_outbound = |counter: &C| matches!(counter, C::TooLong | C::TooBig | C::SequenceExhausted);
        for stack in [Stack::Kame, Stack::Linux, Stack::Freebsd] {
            for counter in C::ALL.iter().filter(|counter| !NO_FAULT.contains(counter) && !is_outbound(counter)) {
                let rows = table(stack).iter().filter(|(_, parts)| parts.contains(&(In, *counter)));
                let names: Vec<_> = rows.map(|(name, _)| *name).collect();
                assert_eq!(names.len(), 1, "{stack:?} {counter:?}: {names:?}");
            }
        }
    }

    #[test]
    fn names_are_unique() {
        for stack in [Stack::Kame, Stack::Freebsd, Stack::Linux, Stack::Vpp] {
            let mut names: Vec<_> = table(stack).iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{stack:?}");
        }
    }

    /// KAME (`esp4_input`, `ah4_input`) counts in_nosa without an SA, and in_badspi with an SA that is neither mature
    /// nor dying.
    #[test]
    fn kame_distinguishes_missing_sas_from_sas_in_the_wrong_state() {
        let parts = |wanted| KAME.iter().find(|(name, _)| *name == wanted).map(|(_, parts)| *parts);
        assert_eq!(parts("in_nosa"), Some(&[(In, C::NoSa)][..]));
        assert_eq!(parts("in_badspi"), Some(&[(In, C::Larval), (In, C::Expired)][..]));
    }
}
