//! Counts instructions under valgrind, for `ci/cost`.
//!
//! `cost check TABLE TOOL` measures every row of the table and every parser and loader, and fails if one exceeds its
//! bound. `cost write TABLE` writes the measured values into the table and keeps the bounds. `cost search STEP TRIES
//! SEED [GENOME]` searches for more expensive inputs. `cost lines [NAME]..` compares the cost of a line of long and
//! short configurations. `cost serve` runs under valgrind and performs one request per line of its input.

mod bounds;
mod callgrind;
mod configuration;
mod engine;
mod generate;
mod growth;
mod measure;
mod scratch;
mod search;
mod steps;
#[path = "../../../ipsec-config/tests/texts/mod.rs"]
mod texts;
mod tool;

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use test_vectors::from_hex;

use bounds::Row;
use callgrind::{Count, Counter};
use growth::{CONTROL, FAMILIES, Family};
use steps::{STEPS, Step};
use tool::LOADERS;

/// Maximum ratio of the instructions for ten times the input.
const GROWTH: f64 = 12.0;
/// Stack size in bytes of the thread that performs the steps.
const STACK: usize = 64 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        // Large databases are created on the stack and moved to the heap.
        ["serve"] => thread::Builder::new()
            .stack_size(STACK)
            .spawn(|| serve().map_err(|e| e.to_string()))
            .map_err(Into::into)
            .and_then(|served| served.join().unwrap_or_else(|_| Err("a step panicked".to_owned())).map_err(Into::into))
            .map(|()| true),
        ["check", table, tool] => check(Path::new(table), Path::new(tool)),
        ["write", table] => write(Path::new(table)).map(|()| true),
        ["search", step, tries, seed, ref genome @ ..] => search(step, tries, seed, genome.first().unwrap_or(&"")),
        ["lines", ref names @ ..] => configuration::compare_lines(names),
        _ => {
            Err("usage: cost check TABLE TOOL | write TABLE | search STEP TRIES SEED [GENOME] | lines [NAME]..".into())
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("cost: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Performs one request per line of the input, and prints the lengths of its input and output.
fn serve() -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<_> = line.split_whitespace().collect();
        let (input, output) = match words[..] {
            ["step", name, ref genome @ ..] => once(name, &input(name, genome.first().unwrap_or(&""))?)?,
            ["normal", name, length] => once(name, &(step(name)?.normal)(length.parse()?))?,
            ["growth", name, size] => {
                let size = size.parse()?;
                (family(name)?.run)(size);
                (size, 0)
            }
            _ => return Err(format!("unknown request: {line}").into()),
        };
        println!("{input} {output}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn step(name: &str) -> Result<&'static Step, String> {
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| format!("unknown step: {name}"))
}

fn family(name: &str) -> Result<&'static Family, String> {
    let mut all = FAMILIES.iter().chain([&CONTROL]);
    all.find(|family| family.name == name).ok_or_else(|| format!("unknown parser or loader: {name}"))
}

fn input(name: &str, genome: &str) -> Result<Vec<u8>, String> {
    Ok((step(name)?.input)(&octets(genome).ok_or_else(|| format!("invalid genome: {genome}"))?))
}

/// Parses a genome: hexadecimal parts separated by commas, each of which may be repeated, as in `21,0000*16`; `-` is
/// empty.
fn octets(genome: &str) -> Option<Vec<u8>> {
    let part = |part: &str| match part.split_once('*') {
        Some((part, count)) => Some(from_hex(part)?.repeat(count.parse().ok()?)),
        None => from_hex(part),
    };
    let parts: Option<Vec<_>> = genome.split(',').filter(|part| *part != "-").map(part).collect();
    Some(parts?.concat())
}

fn once(name: &str, input: &[u8]) -> Result<(usize, usize), String> {
    Ok((input.len(), (step(name)?.run)(input)))
}

fn search(step: &str, tries: &str, seed: &str, genome: &str) -> Result<bool, Box<dyn Error>> {
    let start = octets(genome).ok_or_else(|| format!("invalid genome: {genome}"))?;
    search::search(&mut Counter::start()?, step, &start, tries.parse()?, seed.parse()?)?;
    Ok(true)
}

/// Returns the cost of a row, and its ratio to the cost of a normal input of the same length.
fn measure(counter: &mut Counter, row: &Row) -> Result<(Count, f64), Box<dyn Error>> {
    let count = counter.count(&format!("step {} {}", row.step, row.genome))?;
    let normal = counter.count(&format!("normal {} {}", row.step, count.input))?;
    Ok((count, count.per_octet() / normal.per_octet()))
}

fn write(table: &Path) -> Result<(), Box<dyn Error>> {
    let (mut rows, mut counter) = (bounds::read(table)?, Counter::start()?);
    for row in &mut rows {
        let (count, ratio) = measure(&mut counter, row)?;
        (row.measured, row.ratio) = (count.per_octet(), ratio);
    }
    bounds::write(table, &rows)
}

fn check(table: &Path, tool: &Path) -> Result<bool, Box<dyn Error>> {
    let (rows, mut counter, mut good) = (bounds::read(table)?, Counter::start()?, true);
    for step in STEPS {
        if !rows.iter().any(|row| row.step == step.name) {
            println!("{}: no bound", step.name);
            good = false;
        }
    }
    println!("instructions per octet of input and output, and their ratio to those of a normal input");
    for row in &rows {
        let (count, ratio) = measure(&mut counter, row)?;
        let cost = count.per_octet();
        let above = cost > row.bound || ratio > row.ratio_bound;
        // The control must exceed its bound.
        let expected = row.step == "control";
        good &= above == expected;
        let note = match (above, expected) {
            (false, false) => "",
            (true, true) => ": above the bound, as expected",
            (true, false) => ": ABOVE THE BOUND",
            (false, true) => ": NOT DETECTED",
        };
        println!(
            "{:17} {:22} {:6} + {:5} octets {cost:9.2} of {:7}, {ratio:7.2} of {:7}{note}",
            row.step, row.input, count.input, count.output, row.bound, row.ratio_bound
        );
    }
    println!("instructions for an input and for ten times the input, and their ratio; at most {GROWTH}");
    for family in FAMILIES.iter().chain([&CONTROL]) {
        let mut of = |size| counter.count(&format!("growth {} {size}", family.name)).map(|count| count.instructions);
        let (small, large) = (of(family.size)?, of(10 * family.size)?);
        good &= grows(family.name, family.size, small, large);
    }
    let mut empty = Vec::new();
    for loader in LOADERS {
        let nothing = match empty.iter().find(|(arguments, _)| *arguments == loader.arguments()) {
            Some((_, count)) => *count,
            None => {
                let count = tool::count(tool, loader, 0)?;
                empty.push((loader.arguments(), count));
                count
            }
        };
        let of = |size| tool::count(tool, loader, size).map(|count| count.saturating_sub(nothing));
        let (small, large) = (of(loader.size)?, of(10 * loader.size)?);
        good &= grows(loader.name, loader.size, small, large);
    }
    Ok(good)
}

/// Prints a row and returns whether its ratio is as expected.
fn grows(name: &str, size: usize, small: u64, large: u64) -> bool {
    let ratio = large as f64 / small.max(1) as f64;
    let (above, must) = (ratio > GROWTH, name == CONTROL.name);
    let (good, note) = match (above, must) {
        (false, false) => (true, ""),
        (true, true) => (true, ": above the bound, as expected"),
        (true, false) => (false, ": ABOVE THE BOUND"),
        (false, true) => (false, ": NOT DETECTED"),
    };
    println!("{name:24} {size:5} {small:11} {large:12} {ratio:7.2}{note}");
    good
}
