//! Ratios of the times of one run, and their median over the runs.

use super::super::measure::Measurement;

/// Time of this library relative to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Quotient of the times, below 1 if this library is faster.
    pub value: f64,
    /// Library that it is relative to.
    pub to: &'static str,
}

/// Returns the time of this library relative to the fastest other library of the same mode in one run. The suite that
/// is selected at run time (`ours-any`) is not compared.
pub fn to_fastest(run: &[Measurement], mode: &str) -> Option<Ratio> {
    let peers = run.iter().filter(|other| other.is_peer() && other.mode == mode);
    let fastest = peers.min_by(|a, b| a.ns.total_cmp(&b.ns))?;
    Some(Ratio { value: ours(run, mode)? / fastest.ns, to: fastest.name })
}

/// Returns the time of this library in one mode relative to another mode in one run.
pub fn to_mode(run: &[Measurement], mode: &str, of: &str) -> Option<Ratio> {
    Some(Ratio { value: ours(run, mode)? / ours(run, of)?, to: "" })
}

fn ours(run: &[Measurement], mode: &str) -> Option<f64> {
    run.iter().find(|ours| ours.name == "ours" && ours.mode == mode).map(|ours| ours.ns)
}

/// Ratios of the same cell in several runs, in rising order.
#[derive(Debug, PartialEq)]
pub struct Ratios(Vec<Ratio>);

impl Ratios {
    /// Returns the ratios of the runs, or `None` if one of them has none.
    pub fn new(runs: &[Vec<Measurement>], ratio: impl Fn(&[Measurement]) -> Option<Ratio>) -> Option<Self> {
        let mut ratios: Vec<_> = runs.iter().map(|run| ratio(run)).collect::<Option<_>>()?;
        ratios.sort_by(|a, b| a.value.total_cmp(&b.value));
        (!ratios.is_empty()).then_some(Self(ratios))
    }

    /// Returns the ratio in the middle with the library of that run.
    pub fn median(&self) -> Ratio {
        self.0[self.0.len() / 2]
    }

    /// Returns the difference of the largest and the smallest ratio.
    pub fn spread(&self) -> f64 {
        self.0[self.0.len() - 1].value - self.0[0].value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(times: &[(&'static str, &'static str, f64)]) -> Vec<Measurement> {
        times.iter().map(|&(name, mode, ns)| Measurement { name, mode, ns }).collect()
    }

    #[test]
    fn a_ratio_is_to_the_fastest_peer_of_the_mode() {
        let run = run(&[
            ("ours", "packet", 90.0),
            ("ours", "batch32", 30.0),
            ("ours-any", "packet", 40.0),
            ("a", "packet", 120.0),
            ("b", "packet", 100.0),
            ("a", "batch32", 20.0),
        ]);
        assert_eq!(to_fastest(&run, "packet"), Some(Ratio { value: 0.9, to: "b" }));
        assert_eq!(to_fastest(&run, "batch32"), Some(Ratio { value: 1.5, to: "a" }));
        assert_eq!(to_fastest(&run, "batch8"), None);
        assert_eq!(to_mode(&run, "batch32", "packet"), Some(Ratio { value: 1.0 / 3.0, to: "" }));
    }

    #[test]
    fn the_median_is_that_of_the_ratios_not_of_the_times() {
        // A slower machine in the second run leaves the ratio unchanged.
        let runs = [
            run(&[("ours", "packet", 10.0), ("a", "packet", 10.0)]),
            run(&[("ours", "packet", 30.0), ("a", "packet", 40.0)]),
            run(&[("ours", "packet", 10.0), ("b", "packet", 20.0)]),
        ];
        let ratios = Ratios::new(&runs, |run| to_fastest(run, "packet")).expect("all runs have a peer");
        assert_eq!(ratios.median(), Ratio { value: 0.75, to: "a" });
        assert_eq!(ratios.spread(), 0.5);
    }

    #[test]
    fn a_run_without_peer_gives_no_ratio() {
        let runs = [run(&[("ours", "packet", 10.0), ("a", "packet", 10.0)]), run(&[("ours", "packet", 30.0)])];
        assert_eq!(Ratios::new(&runs, |run| to_fastest(run, "packet")), None);
        assert_eq!(Ratios::new(&[], |run| to_fastest(run, "packet")), None);
    }
}
