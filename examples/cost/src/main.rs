//! Counts instructions under valgrind: see `ci/cost`.
//!
//! `cost check TABLE TOOL` measures every row of the table and every parser and loader, and fails for those above their
//! bounds; `cost write TABLE` writes what it measures into the table, bounds apart; `cost search STEP TRIES SEED [GENOME]`
//! looks for worse inputs. `cost serve` is what runs under valgrind: it performs what its input asks for, a line each.

mod bounds;
mod callgrind;
mod engine;
mod generate;
mod growth;
mod measure;
mod scratch;
mod search;
mod steps;
mod tool;

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use test_vectors::from_hex;

use bounds::Row;
use callgrind::{Count, Counter};
use growth::{CONTROL, EXPECTED, FAMILIES, Family};
use steps::{STEPS, Step};
use tool::LOADERS;

/// Ten times the input may cost so many times the instructions.
const GROWTH: f64 = 12.0;
/// Octets of stack of the thread that performs the steps.
const STACK: usize = 64 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        // Large databases pass over the stack on their way to the heap.
        ["serve"] => thread::Builder::new()
            .stack_size(STACK)
            .spawn(|| serve().map_err(|e| e.to_string()))
            .map_err(Into::into)
            .and_then(|served| served.join().unwrap_or_else(|_| Err("a step panicked".to_owned())).map_err(Into::into))
            .map(|()| true),
        ["check", table, tool] => check(Path::new(table), Path::new(tool)),
        ["write", table] => write(Path::new(table)).map(|()| true),
        ["search", step, tries, seed, ref genome @ ..] => search(step, tries, seed, genome.first().unwrap_or(&"")),
        _ => Err("cost check TABLE TOOL | write TABLE | search STEP TRIES SEED [GENOME]".into()),
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

/// Performs a step for each line that is read, and answers with the octets that went in and came out.
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
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| format!("no such step: {name}"))
}

fn family(name: &str) -> Result<&'static Family, String> {
    let mut all = FAMILIES.iter().chain([&CONTROL]);
    all.find(|family| family.name == name).ok_or_else(|| format!("no such parser or loader: {name}"))
}

fn input(name: &str, genome: &str) -> Result<Vec<u8>, String> {
    Ok((step(name)?.input)(&octets(genome).ok_or_else(|| format!("not a genome: {genome}"))?))
}

/// The octets of a genome: parts in hexadecimal between commas, each of which may be repeated, as in `21,0000*16`; `-` for
/// none.
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
    let start = octets(genome).ok_or_else(|| format!("not a genome: {genome}"))?;
    search::search(&mut Counter::start()?, step, &start, tries.parse()?, seed.parse()?)?;
    Ok(true)
}

/// What a row costs, and how often that is what a normal input of the same length costs.
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
    println!("instructions for each octet that goes in or comes out, and their ratio to those of a normal input");
    for row in &rows {
        let (count, ratio) = measure(&mut counter, row)?;
        let cost = count.per_octet();
        let above = cost > row.bound || ratio > row.ratio_bound;
        // The control is a step that has to be found.
        let expected = row.step == "control";
        good &= above == expected;
        let verdict = match (above, expected) {
            (false, false) => "",
            (true, true) => ": above, as it must be",
            (true, false) => ": ABOVE THE BOUND",
            (false, true) => ": NOT FOUND",
        };
        println!(
            "{:17} {:22} {:6} + {:5} octets {cost:9.2} of {:7}, {ratio:7.2} of {:7}{verdict}",
            row.step, row.input, count.input, count.output, row.bound, row.ratio_bound
        );
    }
    println!("instructions for ten times the input, in those for the input; at most {GROWTH}");
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

/// Prints a row, and says whether it is as it must be.
fn grows(name: &str, size: usize, small: u64, large: u64) -> bool {
    let ratio = large as f64 / small.max(1) as f64;
    let (above, must) = (ratio > GROWTH, name == CONTROL.name);
    let (good, verdict) = match (above, must) {
        // Not above the limit any more: the exception has to be removed.
        _ if name == EXPECTED.0 && ratio <= EXPECTED.1 => (
            above,
            if above { ": above, as is known" } else { ": BELOW THE LIMIT AGAIN, remove the exception in growth.rs" },
        ),
        (false, false) => (true, ""),
        (true, true) => (true, ": above, as it must be"),
        (true, false) => (false, ": ABOVE THE BOUND"),
        (false, true) => (false, ": NOT FOUND"),
    };
    println!("{name:24} {size:5} {small:11} {large:12} {ratio:7.2}{verdict}");
    good
}
