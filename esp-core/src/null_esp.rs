//! Telling NULL-encrypted ESP from encrypted ESP without keys (RFC 5879), for firewalls and intrusion detection.

use ipsec_packet::IpProto;

use crate::header::HEADER;

/// What an ESP packet looks like from outside (RFC 5879 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NullEsp {
    /// In clear, with these lengths in octets and this payload.
    Likely {
        /// Length of the IV (8 with AES-GMAC, else 0).
        iv: usize,
        /// Length of the ICV.
        icv: usize,
        /// What the payload is.
        next_header: IpProto,
    },
    /// Encrypted, or NULL with lengths that nobody uses.
    Encrypted,
    /// Too short to say.
    Unsure,
}

/// The pairs of IV and ICV length to try, the commonest first (RFC 5879 8.1).
const LENGTHS: [(usize, usize); 6] = [(0, 12), (0, 16), (0, 24), (0, 32), (8, 16), (0, 20)];

/// Judges one packet that begins with the ESP header. One packet proves little: remember the verdicts of an SPI and
/// believe them when several agree (RFC 5879 7).
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

/// The next header, if padding, trailer and payload header all make sense under these lengths (RFC 5879 8.2, 8.3).
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
