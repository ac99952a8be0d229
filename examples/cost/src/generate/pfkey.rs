//! PF_KEY messages with the maximum number of extensions and transforms for their length.

use super::Genome;

/// Returns a message of Linux with the extensions of a genome, repeated up to a length.
pub fn message(genome: &[u8]) -> Vec<u8> {
    let mut genome = Genome::new(genome);
    let length = genome.length() + HEADER;
    let pairs = genome.pairs();
    let mut extensions = Vec::new();
    let mut seen = Vec::new();
    let mut turns = 0;
    for (kind, parameter) in pairs.iter().cycle() {
        let (number, body) = extension(*kind, *parameter);
        turns += 1;
        if HEADER + extensions.len() + body.len() + 4 > length || turns > 1000 {
            break;
        }
        // A known extension occurs once in a message.
        if number < 256 && seen.contains(&number) {
            continue;
        }
        seen.push(number);
        extensions.extend(with_header(number, body));
    }
    of(&extensions)
}

/// Returns a message that one extension fills: a normal input.
pub fn normal(length: usize) -> Vec<u8> {
    let octets = (length / 8 * 8).max(HEADER + 24) - HEADER;
    let mut key = vec![0; octets - 4];
    key[..2].copy_from_slice(&u16::try_from((octets - 8) * 8).unwrap_or(0).to_le_bytes());
    of(&with_header(9, key))
}

const HEADER: usize = 16;

/// Returns a message with these extensions.
pub fn of(extensions: &[u8]) -> Vec<u8> {
    let units = u16::try_from((HEADER + extensions.len()) / 8).unwrap_or(u16::MAX).to_le_bytes();
    [&[2, 3, 0, 3][..], &units, &[0; 2], &[1, 0, 0, 0, 1, 0, 0, 0], extensions].concat()
}

/// Returns an extension, padded to a multiple of 8 octets.
pub fn with_header(number: u16, mut body: Vec<u8>) -> Vec<u8> {
    body.resize((body.len() + 4).next_multiple_of(8) - 4, 0);
    let units = u16::try_from((body.len() + 4) / 8).unwrap_or(u16::MAX);
    [&units.to_le_bytes()[..], &number.to_le_bytes(), &body].concat()
}

fn extension(kind: u8, parameter: u8) -> (u16, Vec<u8>) {
    let n = usize::from(parameter);
    match kind % 8 {
        0 => (300, Vec::new()),
        1 => (18, policy(n)),
        2 => (15, vec![0; 4 + 8 * n]),
        3 => (10, vec![0; 12 + 4 * n]), // an identity of zeros
        4 => (1, vec![0; 12]),
        5 => (5, [vec![0, 32, 0, 0, 2, 0, 0, 0], vec![0; 12]].concat()),
        6 => (3, vec![0; 28]),
        _ => (19, vec![0; 12]),
    }
}

/// Returns a policy extension with `transforms` templates of ESP in transport mode.
pub fn policy(transforms: usize) -> Vec<u8> {
    let transform = [16, 0, 50, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [vec![2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], transform.repeat(transforms)].concat()
}
