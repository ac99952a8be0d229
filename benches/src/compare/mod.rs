//! Speed of sealing and opening ESP compared with other libraries in one run: interleaved rounds, medians, ratios.

mod c;
mod ours;
mod peer;
mod rust;
mod suite;

use std::time::{Duration, Instant};

use suite::{SUITES, Sizes, Suite};

/// Number of packets that one call of a contender processes.
const PACKETS: usize = 32;

/// Operation that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Seal,
    Open,
}

/// Implementation under test, which seals or opens [`PACKETS`] packets per call.
pub struct Contender {
    /// Name of the implementation.
    pub name: &'static str,
    /// Mode of processing: `packet`, `batch8`, ..
    pub mode: &'static str,
    /// Processes the packets of one call.
    pub run: Box<dyn FnMut()>,
}

/// Options of the command line.
struct Options {
    json: bool,
    quick: bool,
    suite: Option<String>,
    size: Option<String>,
    only: Option<String>,
}

/// Runs the comparison and prints the results.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let options = Options::read(arguments)?;
    for missing in c::MISSING {
        eprintln!("skipped: {missing} is not installed");
    }
    let suites = SUITES.iter().filter(|suite| options.suite.as_ref().is_none_or(|name| name == suite.name));
    for &suite in suites {
        for (label, sizes) in
            [("64", Sizes::Of(64)), ("512", Sizes::Of(512)), ("1408", Sizes::Of(1408)), ("imix", Sizes::Imix)]
        {
            if options.size.as_ref().is_some_and(|size| size != label) {
                continue;
            }
            for op in [Op::Seal, Op::Open] {
                cell(&options, suite, op, label, sizes);
            }
        }
    }
    Ok(())
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { json: false, quick: false, suite: None, size: None, only: None };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                "--suite" => options.suite = Some(arguments.next().ok_or("missing argument of --suite")?),
                "--size" => options.size = Some(arguments.next().ok_or("missing argument of --size")?),
                "--only" => options.only = Some(arguments.next().ok_or("missing argument of --only")?),
                other => return Err(format!("unknown argument: {other}")),
            }
        }
        Ok(options)
    }
}

fn cell(options: &Options, suite: Suite, op: Op, label: &str, sizes: Sizes) {
    let mut contenders = ours::contenders(suite, op, sizes);
    if !suite.cipher_alone() {
        let sealed = ours::sealed_packets(suite, sizes);
        let peers = rust::peers(suite).into_iter().chain(c::peers(suite));
        contenders.extend(peers.map(|peer| peer::contender(peer, suite, op, sizes, &sealed)));
    }
    contenders.retain(|contender| options.only.as_ref().is_none_or(|name| name == contender.name));
    let (rounds, slice) =
        if options.quick { (7, Duration::from_micros(150)) } else { (21, Duration::from_micros(500)) };
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    // Round 0 warms up caches and is not counted.
    for round in 0..=rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let (start, mut calls) = (Instant::now(), 0u32);
            while start.elapsed() < slice {
                (contender.run)();
                calls += 1;
            }
            let ns = start.elapsed().as_nanos() as f64 / f64::from(calls) / PACKETS as f64;
            if round > 0 {
                times.push(ns);
            }
        }
    }
    let op = if op == Op::Seal { "seal" } else { "open" };
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    // Ratios are to the fastest other library in packet mode, or to this library if there is no other.
    let others = contenders
        .iter()
        .zip(&medians)
        .filter(|(c, _)| (suite.cipher_alone() || !c.name.starts_with("ours")) && c.mode == "packet");
    let fastest = others.map(|(_, ns)| *ns).fold(f64::INFINITY, f64::min);
    for (contender, ns) in contenders.iter().zip(medians) {
        let Contender { name, mode, .. } = contender;
        if options.json {
            println!(
                r#"{{"suite":"{}","op":"{op}","size":"{label}","mode":"{mode}","impl":"{name}","ns":{ns:.1}}}"#,
                suite.name
            );
        } else {
            println!("{:<18} {op} {label:>5}  {mode:<10} {name:<14} {ns:>9.1} ns  {:>5.2}", suite.name, ns / fastest);
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
