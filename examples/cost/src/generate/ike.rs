//! ISAKMP messages with the maximum number of items for their length.

use super::Genome;

/// Returns a message with the payloads of a genome, repeated up to a length.
pub fn message(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let length = genome.length() + HEADER;
    let pairs = genome.pairs();
    let (mut payloads, mut total) = (Vec::new(), HEADER);
    for (kind, parameter) in pairs.iter().cycle() {
        let (kind, body) = payload(*kind, *parameter);
        total += body.len() + 4;
        if total > length && !payloads.is_empty() {
            break;
        }
        payloads.push((kind, body));
    }
    of(&payloads)
}

/// Returns a message with a proposal and vendor IDs of 16 octets: a normal input.
pub fn normal(length: usize) -> Vec<u8> {
    let mut payloads = Vec::new();
    let mut free = length.max(HEADER + 4) - HEADER;
    let proposal = association(1, 4, 6, false);
    if free > proposal.len() + 4 {
        free -= proposal.len() + 4;
        payloads.push((SA, proposal));
    }
    while free >= 4 {
        // The last vendor ID fills the message.
        let octets = if free < 44 { free - 4 } else { 16 };
        free -= octets + 4;
        payloads.push((VENDOR_ID, vec![0x55; octets]));
    }
    of(&payloads)
}

const HEADER: usize = 28;
/// Payload types (RFC 2408 section 3.1).
const SA: u8 = 1;
const VENDOR_ID: u8 = 13;
const FRAGMENT: u8 = 132;

/// Returns a main mode message with these payloads.
pub fn of(payloads: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut message = vec![0xaa; 8];
    message.extend([0; 8]);
    message.extend([payloads.first().map_or(0, |payload| payload.0), 0x10, 2, 0]);
    message.extend([0; 8]);
    for (at, (_, body)) in payloads.iter().enumerate() {
        message.extend([payloads.get(at + 1).map_or(0, |payload| payload.0), 0]);
        message.extend(u16::try_from(body.len() + 4).unwrap_or(u16::MAX).to_be_bytes());
        message.extend(body);
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    message[24..28].copy_from_slice(&length);
    message
}

fn payload(kind: u8, parameter: u8) -> (u8, Vec<u8>) {
    let n = usize::from(parameter);
    match kind % 16 {
        0 => (VENDOR_ID, Vec::new()),
        1 => (VENDOR_ID, vec![parameter; n % 24 + 1]),
        2 => (12, deletes(0, 0)),
        3 => (12, deletes(n % 32, 4)),
        4 => (SA, association(1, n % 8 + 1, 0, false)),
        5 => (SA, association(n % 8 + 1, 1, 0, false)),
        6 => (SA, association(1, 1, n % 64 + 1, false)),
        7 => (SA, association(1, 1, n % 64 + 1, true)),
        8 => (SA, association(n % 4 + 1, n % 4 + 1, n % 4 + 1, true)),
        9 => (14, [vec![1, 0, 0, 0], attributes(n % 64, true)].concat()),
        10 => (11, notification(n % 16)),
        11 => (5, vec![1, 17, 1, 0xf4, 192, 0, 2, 1]),
        12 => (10, vec![parameter; n % 16 + 8]),
        13 => (6, vec![4]),
        14 => (SA, labels(n % 8 * 4)),
        _ => (21, vec![1, 0, 0, 0, 192, 0, 2, 1]),
    }
}

/// Returns the body of a delete payload with `count` SPIs of `size` octets.
pub fn deletes(count: usize, size: u8) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 3, size];
    body.extend(u16::try_from(count).unwrap_or(0).to_be_bytes());
    body.resize(8 + count * usize::from(size), 0x77);
    body
}

/// Returns the body of an SA payload with these numbers of proposals, transforms per proposal and attributes per
/// transform.
pub fn association(proposals: usize, transforms: usize, attributes: usize, variable: bool) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 1];
    let attributes = self::attributes(attributes, variable);
    for proposal in 0..proposals {
        let length = 8 + transforms * (8 + attributes.len());
        body.extend([if proposal + 1 < proposals { 2 } else { 0 }, 0]);
        body.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        body.extend([u8::try_from(proposal % 256).unwrap_or(0), 1, 0, u8::try_from(transforms).unwrap_or(u8::MAX)]);
        for transform in 0..transforms {
            body.extend([if transform + 1 < transforms { 3 } else { 0 }, 0]);
            body.extend(u16::try_from(8 + attributes.len()).unwrap_or(u16::MAX).to_be_bytes());
            body.extend([u8::try_from(transform % 256).unwrap_or(0), 1, 0, 0]);
            body.extend(&attributes);
        }
    }
    body
}

/// Returns attributes of four octets each, in basic form or in variable form without a value.
fn attributes(count: usize, variable: bool) -> Vec<u8> {
    if variable { [0, 1, 0, 0].repeat(count) } else { [0x80, 1, 0, 1].repeat(count) }
}

fn notification(data: usize) -> Vec<u8> {
    [vec![0, 0, 0, 1, 3, 4, 0x60, 2], vec![0x11; 4 + data]].concat()
}

/// Returns the body of an SA payload with secrecy and integrity labels and a proposal.
fn labels(octets: usize) -> Vec<u8> {
    let label = |length: usize| {
        let [high, low] = u16::try_from(length).unwrap_or(0).to_be_bytes();
        [vec![high, low, 0, 0], vec![0; octets]].concat()
    };
    let labels = [label(octets), label(octets * 8), label(octets), label(octets * 8)].concat();
    let proposal = association(1, 1, 0, false).split_off(8);
    [vec![0, 0, 0, 1, 0, 0, 0, 7], vec![0, 0, 0, 0], labels, proposal].concat()
}

/// Returns messages with the fragments of one message. The genome determines their number, length and order, and the
/// number of duplicates.
pub fn fragments(genome: &[u8]) -> Vec<Vec<u8>> {
    let mut genome = Genome::new(genome);
    let (count, octets, order, twice) = (genome.take() % 64 + 1, genome.take(), genome.take(), genome.take() % 64);
    let mut numbers: Vec<u8> = (1..=count).collect();
    match order % 3 {
        0 => {}
        1 => numbers.reverse(),
        _ => numbers.rotate_left(usize::from(order % count)),
    }
    let last = numbers.pop();
    let again: Vec<u8> = numbers.iter().copied().take(usize::from(twice)).collect();
    numbers.extend(again);
    numbers.extend(last);
    numbers.iter().map(|number| fragment(7, *number, *number == count, usize::from(octets) * 5 + 1)).collect()
}

/// Returns a message with one fragment of `octets` octets.
pub fn fragment(id: u16, number: u8, last: bool, octets: usize) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend([number, u8::from(last)]);
    body.resize(4 + octets, number);
    of(&[(FRAGMENT, body)])
}
