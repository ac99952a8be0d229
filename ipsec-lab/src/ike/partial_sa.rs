//! SA payloads up to a fault: whole transforms, and the whole attributes of the last one.

/// Lengths of the fixed parts of SA payload, proposal, transform and attribute.
const SA: usize = 12;
const PROPOSAL: usize = 8;
const TRANSFORM: usize = 8;
const ATTRIBUTE: usize = 4;

/// Octets of a message up to a limit.
struct Limited<'m>(&'m [u8]);

impl Limited<'_> {
    fn octets(&self, at: usize, length: usize) -> Option<&[u8]> {
        self.0.get(at..at.checked_add(length)?)
    }

    fn length(&self, at: usize) -> Option<usize> {
        self.octets(at, 2).map(|field| usize::from(u16::from_be_bytes([field[0], field[1]])))
    }
}

/// Returns the SA payload at an offset as far as it is present before the limit, as a valid payload, and the offset
/// after its contents.
pub fn shrink(message: &[u8], at: usize, limit: usize) -> Option<(Vec<u8>, usize)> {
    let message = Limited(message.get(..limit.min(message.len()))?);
    let mut payload = message.octets(at, SA)?.to_vec();
    let (mut place, mut previous) = (at + SA, None);
    while let Some((proposal, end, is_last)) = proposal(&message, place) {
        if let Some(previous) = previous {
            *payload.get_mut::<usize>(previous)? = 2;
        }
        previous = Some(payload.len());
        payload.extend(proposal);
        place = end;
        if is_last {
            break;
        }
    }
    *payload.first_mut()? = 0;
    let length = u16::try_from(payload.len()).ok()?;
    payload.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
    Some((payload, place))
}

/// Returns a proposal with its transforms, the offset after it, and whether nothing follows.
fn proposal(message: &Limited<'_>, at: usize) -> Option<(Vec<u8>, usize, bool)> {
    let spi = usize::from(*message.octets(at, PROPOSAL)?.get(6)?);
    let declared = message.length(at + 2)?;
    let mut proposal = message.octets(at, PROPOSAL + spi)?.to_vec();
    let (mut place, mut previous, mut count, mut is_whole) = (at + proposal.len(), None, 0u8, true);
    while is_whole && place < at + declared {
        let Some((transform, end, is_complete)) = transform(message, place) else {
            is_whole = false;
            break;
        };
        if let Some(previous) = previous {
            *proposal.get_mut::<usize>(previous)? = 3;
        }
        previous = Some(proposal.len());
        proposal.extend(transform);
        (place, is_whole, count) = (end, is_complete, count.checked_add(1)?);
    }
    let is_last = !is_whole || message.octets(at, 1) == Some(&[0]);
    *proposal.first_mut()? = 0;
    *proposal.get_mut(7)? = count;
    let length = u16::try_from(proposal.len()).ok()?;
    proposal.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
    Some((proposal, place, is_last))
}

/// Returns a transform with its whole attributes, the offset after them, and whether the transform is complete.
fn transform(message: &Limited<'_>, at: usize) -> Option<(Vec<u8>, usize, bool)> {
    let declared = message.length(at + 2).filter(|length| *length >= TRANSFORM)?;
    message.octets(at, TRANSFORM)?;
    let mut place = at + TRANSFORM;
    while place < at + declared {
        let Some(kind) = message.length(place) else { break };
        let value = if kind & 0x8000 == 0 { message.length(place + 2) } else { Some(0) };
        let Some(length) = value.map(|value| ATTRIBUTE + value) else { break };
        if message.octets(place, length).is_none() || place + length > at + declared {
            break;
        }
        place += length;
    }
    let mut transform = message.octets(at, place - at)?.to_vec();
    *transform.first_mut()? = 0;
    let length = u16::try_from(transform.len()).ok()?;
    transform.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
    Some((transform, place, place == at + declared))
}
