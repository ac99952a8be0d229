//! A search for the input that costs most for its length: single alterations of a genome, the better of two being kept.
//! It is deterministic: the same seed tries the same genomes.

use std::error::Error;

use test_vectors::to_hex;

use crate::callgrind::{Count, Counter};

/// Genomes have up to so many octets.
const LONGEST: usize = 40;
/// So many alterations without a gain, and the search starts at another place.
const PATIENCE: u32 = 60;

/// Tries so many genomes for a step, from a genome on that is known; prints each that is the worst so far.
pub fn search(counter: &mut Counter, step: &str, start: &[u8], tries: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Random(seed);
    let mut best: Option<(f64, Vec<u8>)> = None;
    let mut here: Option<(f64, Vec<u8>)> = None;
    let (mut without_gain, mut first) = (0, Some(start.to_vec()));
    for _ in 0..tries {
        let genome = match (first.take(), &here) {
            (Some(genome), _) => genome,
            (None, Some((_, genome))) if without_gain < PATIENCE => altered(genome, &mut random),
            _ => {
                (here, without_gain) = (None, 0);
                (0..random.below(8) + 3).map(|_| random.octet()).collect()
            }
        };
        let count = counter.count(&format!("step {step} {}", to_hex(&genome)))?;
        let cost = count.per_octet();
        if here.as_ref().is_none_or(|(before, _)| cost > *before) {
            (here, without_gain) = (Some((cost, genome.clone())), 0);
        } else {
            without_gain += 1;
        }
        if best.as_ref().is_none_or(|(before, _)| cost > *before * 1.001) {
            report(step, &genome, &count);
            best = Some((cost, genome));
        }
    }
    Ok(())
}

fn report(step: &str, genome: &[u8], count: &Count) {
    let Count { instructions, input, output } = *count;
    let (cost, genome) = (count.per_octet(), to_hex(genome));
    println!("{step} {genome}: {instructions} instructions for {input} octets in, {output} out: {cost:.2} for each");
}

fn altered(genome: &[u8], random: &mut Random) -> Vec<u8> {
    let mut genome = genome.to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(genome.len().max(1));
        match random.below(5) {
            0 if genome.len() < LONGEST => genome.insert(at, random.octet()),
            1 if genome.len() > 1 => drop(genome.remove(at)),
            2 if genome.len() + 2 < LONGEST => {
                // The pair in front of it once more.
                let pair: Vec<u8> = genome.iter().skip(at.saturating_sub(2)).take(2).copied().collect();
                genome.splice(at..at, pair);
            }
            3 => {
                if let Some(octet) = genome.get_mut(at) {
                    *octet = octet.wrapping_add([1, 255, 16, 240][random.below(4)]);
                }
            }
            _ => {
                if let Some(octet) = genome.get_mut(at) {
                    *octet = random.octet();
                }
            }
        }
    }
    genome
}

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from((self.next() >> 33) % limit as u64).unwrap_or(0)
    }

    fn octet(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}
