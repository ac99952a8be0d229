//! ESP seal and open beside other libraries, in one run: interleaved rounds, medians, ratios.

mod c;
mod ours;
mod peer;
mod rust;
mod suite;

use std::time::{Duration, Instant};

use suite::{SUITES, Sizes, Suite};

/// Packets that one call of a contender works through.
const PACKETS: usize = 32;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Seal,
    Open,
}

/// Somebody who seals or opens [`PACKETS`] packets a call.
pub struct Contender {
    /// Who it is.
    pub name: &'static str,
    /// How it takes them: `packet`, `batch8`, ..
    pub mode: &'static str,
    /// One call.
    pub run: Box<dyn FnMut()>,
}

/// What is asked for on the command line.
struct Asked {
    json: bool,
    quick: bool,
    suite: Option<String>,
    size: Option<String>,
    only: Option<String>,
}

/// Runs the comparison.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let asked = Asked::read(arguments)?;
    for missing in c::MISSING {
        eprintln!("skipped: {missing} is not installed");
    }
    let suites = SUITES.iter().filter(|suite| asked.suite.as_ref().is_none_or(|name| name == suite.name));
    for &suite in suites {
        for (label, sizes) in
            [("64", Sizes::Of(64)), ("512", Sizes::Of(512)), ("1408", Sizes::Of(1408)), ("imix", Sizes::Imix)]
        {
            if asked.size.as_ref().is_some_and(|size| size != label) {
                continue;
            }
            for op in [Op::Seal, Op::Open] {
                cell(&asked, suite, op, label, sizes);
            }
        }
    }
    Ok(())
}

impl Asked {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self { json: false, quick: false, suite: None, size: None, only: None };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => asked.json = true,
                "--quick" => asked.quick = true,
                "--suite" => asked.suite = Some(arguments.next().ok_or("--suite which?")?),
                "--size" => asked.size = Some(arguments.next().ok_or("--size how many octets?")?),
                "--only" => asked.only = Some(arguments.next().ok_or("--only whose?")?),
                other => return Err(format!("what is {other}?")),
            }
        }
        Ok(asked)
    }
}

fn cell(asked: &Asked, suite: Suite, op: Op, label: &str, sizes: Sizes) {
    let mut contenders = ours::contenders(suite, op, sizes);
    if !suite.cipher_alone() {
        let sealed = ours::sealed_packets(suite, sizes);
        let peers = rust::peers(suite).into_iter().chain(c::peers(suite));
        contenders.extend(peers.map(|peer| peer::contender(peer, suite, op, sizes, &sealed)));
    }
    contenders.retain(|contender| asked.only.as_ref().is_none_or(|name| name == contender.name));
    let (rounds, slice) = if asked.quick { (7, Duration::from_micros(150)) } else { (21, Duration::from_micros(500)) };
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    // Round 0 only warms up.
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
    // Ratios are to the fastest of the others that takes packet by packet, or to ourselves where there are none.
    let others = contenders
        .iter()
        .zip(&medians)
        .filter(|(c, _)| (suite.cipher_alone() || !c.name.starts_with("ours")) && c.mode == "packet");
    let fastest = others.map(|(_, ns)| *ns).fold(f64::INFINITY, f64::min);
    for (contender, ns) in contenders.iter().zip(medians) {
        let Contender { name, mode, .. } = contender;
        if asked.json {
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
