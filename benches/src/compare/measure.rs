//! Times of all contenders for one suite, operation and size: interleaved rounds, medians.

use std::time::{Duration, Instant};

use super::suite::{Sizes, Suite};
use super::{Contender, Op, PACKETS, c, ours, peer, rust};

/// Time for a packet in nanoseconds from which on another library is left out of a cell. The manager of ipsec-mb for
/// single packets takes milliseconds for DES and 3DES.
const TOO_SLOW: f64 = 1e6;

/// Time that a contender took for a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Name of the implementation.
    pub name: &'static str,
    /// Mode of processing: `packet`, `batch32`, ..
    pub mode: &'static str,
    /// Median time for a packet in nanoseconds.
    pub ns: f64,
}

impl Measurement {
    /// Returns whether the implementation is that of another library.
    pub fn is_peer(&self) -> bool {
        is_peer(self.name)
    }
}

fn is_peer(name: &str) -> bool {
    !name.starts_with("ours")
}

/// Duration of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    rounds: u32,
    slice: Duration,
}

impl Effort {
    /// A few milliseconds for each contender, whose results vary.
    pub const QUICK: Self = Self { rounds: 7, slice: Duration::from_micros(150) };
    /// Eleven milliseconds for each contender.
    pub const FULL: Self = Self { rounds: 21, slice: Duration::from_micros(500) };
}

/// Measures the contenders that `select` returns true for.
pub fn measure(
    suite: Suite,
    op: Op,
    sizes: Sizes,
    effort: Effort,
    select: impl Fn(&Contender) -> bool,
) -> Vec<Measurement> {
    let mut contenders = ours::contenders(suite, op, sizes);
    if !suite.cipher_alone() {
        let sealed = ours::sealed_packets(suite, sizes);
        let peers = rust::peers(suite).into_iter().chain(c::peers(suite));
        contenders.extend(peers.map(|peer| peer::contender(peer, suite, op, sizes, &sealed)));
    }
    contenders.retain(select);
    // A round that is not counted warms up caches.
    contenders.retain_mut(|contender| {
        let ns = time(contender, effort.slice);
        let too_slow = is_peer(contender.name) && ns > TOO_SLOW;
        if too_slow {
            eprintln!(
                "{} {}: {} is left out with {:.1} ms for a packet",
                suite.name,
                op.name(),
                contender.name,
                ns / 1e6
            );
        }
        !too_slow
    });
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            times.push(time(contender, effort.slice));
        }
    }
    let measured = contenders.iter().zip(times);
    measured.map(|(&Contender { name, mode, .. }, times)| Measurement { name, mode, ns: median(times) }).collect()
}

/// Returns the time for a packet in nanoseconds.
fn time(contender: &mut Contender, slice: Duration) -> f64 {
    let (start, mut calls) = (Instant::now(), 0u32);
    while start.elapsed() < slice {
        (contender.run)();
        calls += 1;
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls) / PACKETS as f64
}

/// Returns the value in the middle, of an even number of values the upper one.
///
/// # Panics
///
/// If there are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_value_in_the_middle() {
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 3.0);
    }
}
