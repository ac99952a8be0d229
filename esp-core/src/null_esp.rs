//! Heuristic detection of ESP with NULL encryption (RFC 5879), for firewalls and intrusion detection.

use ipsec_packet::IpProto;

use crate::header::HEADER;

/// Classification of an ESP packet without its keys (RFC 5879 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NullEsp {
    /// The payload is probably unencrypted, with these lengths in octets and this protocol.
    Likely {
        /// Length of the IV: 8 with AES-GMAC, otherwise 0.
        iv: usize,
        /// Length of the ICV in octets.
        icv: usize,
        /// Protocol number of the payload.
        next_header: IpProto,
    },
    /// The payload is encrypted, or has lengths that are not in use.
    Encrypted,
    /// The packet is too short for a classification.
    Unsure,
}

/// Pairs of IV and ICV length that are tried, the most common first (RFC 5879 section 8.1).
const LENGTHS: [(usize, usize); 6] = [(0, 12), (0, 16), (0, 24), (0, 32), (8, 16), (0, 20)];

/// Classifies one packet that begins with the ESP header. One packet is weak evidence: the caller collects the
/// results of an SPI and uses them when several agree (RFC 5879 section 7).
pub fn null_esp_heuristic(esp: &[u8]) -> NullEsp {
    if esp.len() < HEADER.saturating_add(32) {
        return NullEsp::Unsure;
    }
    let fits = LENGTHS.iter().find_map(|&(iv, icv)| clear_payload(esp, iv, icv).map(|next| (iv, icv, next)));
    match fits {
        Some((iv, icv, next_header)) => NullEsp::Likely { iv, icv, next_header },
        None => NullEsp::Encrypted,
    }
}

/// Returns the next header, if padding, trailer and payload header are consistent with these lengths (RFC 5879
/// sections 8.2 and 8.3).
fn clear_payload(esp: &[u8], iv: usize, icv: usize) -> Option<IpProto> {
    let body = esp.get(HEADER.checked_add(iv)?..esp.len().checked_sub(icv)?)?;
    let (rest, &[pad_len, next]) = body.split_last_chunk::<2>()?;
    let (payload, padding) = rest.split_at_checked(rest.len().checked_sub(pad_len.into())?)?;
    if padding.iter().zip(1u8..=u8::MAX).any(|(is, ought)| *is != ought) || body.len() & 3 != 0 {
        return None;
    }
    let next = IpProto(next);
    let sane = match (next, payload) {
        (IpProto::TCP, [_, _, _, _, .., _]) => payload.get(12).is_some_and(|offset| offset >> 4 >= 5),
        (IpProto::UDP, [_, _, _, _, high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])) == payload.len(),
        (IpProto::ICMP, [kind, ..]) => matches!(kind, 0 | 3 | 4 | 5 | 8 | 9 | 10 | 11 | 12 | 13 | 14),
        (IpProto::ICMPV6, [kind, ..]) => matches!(kind, 1..=4 | 128..=161),
        (IpProto::SCTP, [_, _, _, _, ..]) => payload.len() >= 12,
        (IpProto::IPV4, [first, ..]) => first >> 4 == 4 && first & 15 >= 5,
        (IpProto::IPV6, [first, ..]) => first >> 4 == 6 && payload.len() >= 40,
        (IpProto::NO_NEXT, _) => !padding.is_empty(),
        _ => false,
    };
    sane.then_some(next)
}
