//! Search for the input with the highest cost per octet: a genome is mutated, and the more expensive of two is kept.
//! The search is deterministic: the same seed tries the same genomes.

use std::error::Error;

use test_vectors::to_hex;

use crate::callgrind::{Count, Counter};

/// Maximum length of a genome in octets.
const LONGEST: usize = 40;
/// Number of mutations without improvement after which the search restarts with a random genome.
const PATIENCE: u32 = 60;

/// Tries `tries` genomes for a step, beginning with `start`, and prints each that is the most expensive so far.
pub fn search(counter: &mut Counter, step: &str, start: &[u8], tries: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Random(seed);
    let mut best: Option<(f64, Vec<u8>)> = None;
    let mut current: Option<(f64, Vec<u8>)> = None;
    let (mut without_gain, mut first) = (0, Some(start.to_vec()));
    for _ in 0..tries {
        let genome = match (first.take(), &current) {
            (Some(genome), _) => genome,
            (None, Some((_, genome))) if without_gain < PATIENCE => mutated(genome, &mut random),
            _ => {
                (current, without_gain) = (None, 0);
                (0..random.below(8) + 3).map(|_| random.octet()).collect()
            }
        };
        let count = counter.count(&format!("step {step} {}", to_hex(&genome)))?;
        let cost = count.per_octet();
        if current.as_ref().is_none_or(|(before, _)| cost > *before) {
            (current, without_gain) = (Some((cost, genome.clone())), 0);
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
    println!("{step} {genome}: {instructions} instructions for {input} octets in, {output} out: {cost:.2} per octet");
}

fn mutated(genome: &[u8], random: &mut Random) -> Vec<u8> {
    let mut genome = genome.to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(genome.len().max(1));
        match random.below(5) {
            0 if genome.len() < LONGEST => genome.insert(at, random.octet()),
            1 if genome.len() > 1 => drop(genome.remove(at)),
            2 if genome.len() + 2 < LONGEST => {
                // Repeats the preceding pair.
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

/// Source of pseudo-random numbers (xorshift64*).
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
