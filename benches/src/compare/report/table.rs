//! Text and tables of a section of `PERFORMANCE.md`.

use std::fmt::Write;

use super::super::SIZES;
use super::super::measure::median;
use super::ratio::{Ratio, Ratios, to_fastest, to_mode};
use super::{RUNS, Row, TARGETS};

/// Library whose batches are compared.
const BATCH_PEER: &str = "ipsec-mb";

/// Returns the section of a class of processors, which was measured on this date. `missing` are the libraries that
/// were not installed.
pub fn section(class: &str, date: &str, missing: &[&str], rows: &[Row]) -> String {
    let mut spreads = Vec::new();
    let packets = packets(rows, &mut spreads);
    let batches = batches(rows, missing, &mut spreads);
    let most = spreads.iter().copied().fold(0.0, f64::max);
    let absent = match missing {
        [] => String::new(),
        missing => format!(" Not installed: {}.", missing.join(", ")),
    };
    format!(
        "### Processor with {class}, {date}\n\n\
         Medians of the ratios of {RUNS} runs, which differ by {:.2} in the median cell and by {most:.2} \
         at most.{absent}\n\n\
         Packet by packet, relative to the fastest other library that processes packet by packet:\n\n{packets}\n\
         Batches of 32 packets: relative to a batch of {BATCH_PEER}, then relative to this library packet by packet, \
         with one SA and with four:\n\n{batches}",
        if spreads.is_empty() { 0.0 } else { median(spreads) },
    )
}

fn packets(rows: &[Row], spreads: &mut Vec<f64>) -> String {
    let mut all = vec![["suite", ""].map(str::to_owned).into_iter().chain(sizes()).collect()];
    for row in rows {
        let cells = SIZES.iter().zip(&row.sizes).map(|((size, _), runs)| {
            let target =
                TARGETS.iter().find(|(suite, op, of, _)| (*suite, *op, *of) == (row.suite.name, row.op, *size));
            let ratios = Ratios::new(runs, |run| to_fastest(run, "packet"));
            spreads.extend(ratios.as_ref().map(Ratios::spread));
            packet_cell(ratios.map(|ratios| ratios.median()), target.map(|(.., target)| *target))
        });
        all.push(front(row).into_iter().chain(cells).collect());
    }
    table(&all)
}

fn batches(rows: &[Row], missing: &[&str], spreads: &mut Vec<f64>) -> String {
    let installed = !missing.iter().any(|missing| missing.starts_with(BATCH_PEER));
    let others = ["1408, one SA", "1408, four SAs", "IMIX, one SA"];
    let mut all = vec![["suite", ""].map(str::to_owned).into_iter().chain(sizes()).collect::<Vec<_>>()];
    all[0].extend(others.map(str::to_owned));
    for row in rows {
        let mut cells: Vec<String> = front(row).into();
        for runs in &row.sizes {
            let ratios = Ratios::new(runs, |run| to_fastest(run, "batch32"));
            spreads.extend(ratios.as_ref().map(Ratios::spread));
            cells.push(batch_cell(ratios.map(|ratios| ratios.median()), installed));
        }
        let [.., long, imix] = &row.sizes;
        for (runs, mode, of) in
            [(long, "batch32", "packet"), (long, "batch32-4sa", "packet-4sa"), (imix, "batch32", "packet")]
        {
            let ratios = Ratios::new(runs, |run| to_mode(run, mode, of));
            cells.push(ratios.map_or_else(|| "not measured".to_owned(), |ratios| number(ratios.median().value)));
        }
        all.push(cells);
    }
    table(&all)
}

fn front(row: &Row) -> [String; 2] {
    [row.suite.name.to_owned(), row.op.name().to_owned()]
}

fn sizes() -> impl Iterator<Item = String> {
    SIZES.iter().map(|(label, _)| if *label == "imix" { "IMIX".to_owned() } else { (*label).to_owned() })
}

/// Returns a cell with ratio, library and target.
fn packet_cell(ratio: Option<Ratio>, target: Option<f64>) -> String {
    let measured = match ratio {
        Some(Ratio { value, to }) => format!("{} {to}", number(value)),
        None => "no other library".to_owned(),
    };
    match target {
        Some(target) => format!("{measured} (target {})", number(target)),
        None => measured,
    }
}

/// Returns a cell with the ratio to the batch of the other library.
fn batch_cell(ratio: Option<Ratio>, installed: bool) -> String {
    match ratio {
        Some(ratio) => number(ratio.value),
        None if installed => "no other library".to_owned(),
        None => "not installed".to_owned(),
    }
}

fn number(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// Returns a table of Markdown whose first row is the heading.
fn table(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | ").replace("  ", " "));
        if at == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::Op;
    use super::super::super::measure::Measurement;
    use super::super::super::suite::{SUITES, Suite};
    use super::*;

    fn suite(name: &str) -> Suite {
        *SUITES.iter().find(|suite| suite.name == name).expect("known suite")
    }

    /// Returns a row whose runs are the same.
    fn row(name: &str, op: Op, times: &[(&'static str, &'static str, f64)]) -> Row {
        let run: Vec<_> = times.iter().map(|&(name, mode, ns)| Measurement { name, mode, ns }).collect();
        Row { suite: suite(name), op, sizes: std::array::from_fn(|_| vec![run.clone(); RUNS]) }
    }

    const OURS: [(&str, &str, f64); 4] = [
        ("ours", "packet", 100.0),
        ("ours", "packet-4sa", 110.0),
        ("ours", "batch32", 50.0),
        ("ours", "batch32-4sa", 55.0),
    ];

    fn times(peers: &[(&'static str, &'static str, f64)]) -> Vec<(&'static str, &'static str, f64)> {
        OURS.iter().chain(peers).copied().collect()
    }

    #[test]
    fn a_section_has_a_row_of_each_table() {
        let rows = [row("aes128gcm", Op::Open, &times(&[("ring", "packet", 200.0), ("ipsec-mb", "batch32", 40.0)]))];
        let text = section("AVX2", "2026-01-02", &[], &rows);
        assert!(text.starts_with("### Processor with AVX2, 2026-01-02\n\nMedians of the ratios of 3 runs, "));
        assert!(text.contains("\n| suite | | 64 | 512 | 1408 | IMIX |\n|---|---|---|---|---|---|\n"), "{text}");
        assert!(text.contains("\n| aes128gcm | open | 0.50 ring | 0.50 ring | 0.50 ring | 0.50 ring |\n"), "{text}");
        assert!(text.ends_with("\n| aes128gcm | open | 1.25 | 1.25 | 1.25 | 1.25 | 0.50 | 0.50 | 0.50 |\n"), "{text}");
        assert!(!text.contains("Not installed"));
    }

    #[test]
    fn a_target_is_beside_its_cell() {
        let rows = [row("bf128-sha1", Op::Open, &times(&[("libgcrypt", "packet", 80.0)]))];
        let text = section("AVX2", "2026-01-02", &[], &rows);
        let of_1408 = "| 1.25 libgcrypt | 1.25 libgcrypt (target 1.05) | 1.25 libgcrypt |\n";
        assert!(text.contains(of_1408), "{text}");
    }

    #[test]
    fn a_cell_without_peer_says_so() {
        let rows = [row("bf128-sha1", Op::Seal, &times(&[]))];
        let text = section("AVX2", "2026-01-02", &[], &rows);
        assert!(text.contains("| bf128-sha1 | seal | no other library | "), "{text}");
        assert!(text.contains("| bf128-sha1 | seal | no other library | "), "{text}");
        let text = section("AVX2", "2026-01-02", &["ipsec-mb (libipsec-mb-dev)"], &rows);
        assert!(text.contains(" Not installed: ipsec-mb (libipsec-mb-dev).\n"), "{text}");
        assert!(text.contains("| bf128-sha1 | seal | not installed | "), "{text}");
    }

    #[test]
    fn a_mode_that_was_not_measured_is_named() {
        let rows = [row("bf128-sha1", Op::Seal, &[("ours", "packet", 10.0)])];
        assert!(
            section("AVX2", "2026-01-02", &[], &rows).ends_with("| not measured | not measured | not measured |\n")
        );
    }
}
