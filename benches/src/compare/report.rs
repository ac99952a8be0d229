//! Tables of `PERFORMANCE.md`, from three runs on this machine.
//!
//! The file has a section for each class of processors. A report writes the section of the processor that it runs on,
//! so that figures which were measured with other instructions remain, with their date.

mod document;
mod ratio;
mod table;

use std::time::{SystemTime, UNIX_EPOCH};

use super::measure::{Effort, Measurement, measure};
use super::suite::{SUITES, Suite};
use super::{Op, SIZES, c};

/// Number of runs, of which a cell has the median.
const RUNS: usize = 3;

/// File whose tables are written.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../PERFORMANCE.md");

/// Ratios to the fastest other library that are to be reached: suite, operation and size.
const TARGETS: &[(&str, Op, &str, f64)] =
    &[("bf128-sha1", Op::Open, "1408", 1.05), ("chacha20poly1305", Op::Seal, "64", 0.9)];

/// Suite and operation with the measurements of each size, in the order of [`SIZES`]: of each run, of each contender.
struct Row {
    suite: Suite,
    op: Op,
    sizes: [Vec<Vec<Measurement>>; SIZES.len()],
}

/// Measures every suite and replaces the section of this class of processors.
pub fn write() -> Result<(), String> {
    let error = |error: std::io::Error| format!("{FILE}: {error}");
    let before = std::fs::read_to_string(FILE).map_err(error)?;
    let class = processor();
    // Fails before the measurement if the file has no section.
    document::replace(&before, class, "")?;
    let suites = SUITES.into_iter().filter(|suite| !suite.cipher_alone());
    let rows = suites.flat_map(|suite| Op::ALL.map(|op| Row { suite, op, sizes: Default::default() }));
    let mut rows: Vec<Row> = rows.collect();
    for run in 1..=RUNS {
        for row in &mut rows {
            eprintln!("run {run} of {RUNS}: {} {}", row.suite.name, row.op.name());
            for ((_, sizes), runs) in SIZES.iter().zip(&mut row.sizes) {
                runs.push(measure(row.suite, row.op, *sizes, Effort::FULL, |_| true));
            }
        }
    }
    let section = table::section(class, &today(), c::MISSING, &rows);
    std::fs::write(FILE, document::replace(&before, class, &section)?).map_err(error)
}

/// Returns the class of this processor, after the widest vectors that the workspace has code for.
fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512vbmi2") && is_x86_feature_detected!("vaes") && is_x86_feature_detected!("sha") {
        return "AVX-512";
    } else if is_x86_feature_detected!("avx2") {
        return "AVX2";
    }
    std::env::consts::ARCH
}

fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    date(days)
}

/// Returns the date of the Gregorian calendar that is some days after 1970-01-01.
fn date(mut days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for len in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_calendar() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (31 + 27, "1970-02-28"),
            (31 + 28, "1970-03-01"),
            (364, "1970-12-31"),
            (11_016, "2000-02-29"),
            (20_789, "2026-12-02"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn every_target_has_a_cell() {
        for (suite, _, size, _) in TARGETS {
            assert!(SUITES.iter().any(|known| known.name == *suite && !known.cipher_alone()), "{suite}");
            assert!(SIZES.iter().any(|(label, _)| label == size), "{size}");
        }
    }
}
