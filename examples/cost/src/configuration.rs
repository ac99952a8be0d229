//! Languages of configurations: cost of a line of a text of every language, with and without errors.

use std::hint::black_box;

use ipsec_config::{Language, LoadSettings, Loaded, Target, load};

use crate::callgrind::Counter;
use crate::growth::{FAMILIES, Family};
use crate::measure::measured;
use crate::texts::Texts;
use crate::texts::lines::{bad, good};

/// Numbers of lines that `cost lines` compares.
const LINES: (usize, usize) = (10_000, 1_000_000);
/// Maximum ratio of the instructions for a line.
const GROWTH: f64 = 1.2;

/// Loads a text of `lines` lines without errors and describes it, like `ipsec-lab check`.
pub fn load_good(language: Language, lines: usize) {
    run(language, good, lines, false);
}

/// Loads a text of `lines` lines with an error in each, and shows the errors.
pub fn load_bad(language: Language, lines: usize) {
    run(language, bad, lines, true);
}

/// Loads a text of `lines` lines without errors and writes it in every language.
pub fn write(language: Language, lines: usize) {
    let texts = texts(&good, language, lines);
    measured(&mut || {
        let configuration = read(&texts, &[("file", language)]).configuration;
        Target::NAMES.iter().map(|(_, target)| black_box(configuration.write(*target)).0.len()).sum()
    });
}

/// Adds the peers of `policies` policies from a proposal for any peer.
pub fn add_peers(policies: usize) {
    const PEERS: &str = "remote anonymous { exchange_mode main; proposal { encryption_algorithm aes; \
                         hash_algorithm sha1; authentication_method pre_shared_key; dh_group 2; } }\n\
                         sainfo anonymous { encryption_algorithm aes; authentication_algorithm hmac_sha1; \
                         compression_algorithm deflate; }";
    let texts = texts(&good, Language::Setkey, policies * 3).with("peers", PEERS);
    measured(&mut || {
        let mut configuration = read(&texts, &[("file", Language::Setkey), ("peers", Language::Racoon)]).configuration;
        configuration.add_peers_of_policies();
        assert!(configuration.peers.len() > policies / 2, "{} of {policies} peers", configuration.peers.len());
        configuration.peers.len()
    });
}

fn run(language: Language, text: fn(Language, usize) -> String, lines: usize, errors: bool) {
    let texts = texts(&text, language, lines);
    measured(&mut || {
        let loaded = read(&texts, &[("file", language)]);
        let found = loaded.diagnostics.errors();
        assert!(
            if errors { found >= lines / 4 } else { found == 0 },
            "{found} errors in {lines} lines of {language:?}"
        );
        let shown: usize = loaded.diagnostics.iter().map(|own| loaded.sources.show(own).to_string().len()).sum();
        shown + black_box(loaded.configuration.describe(&loaded.sources).to_string()).len()
    });
}

/// Returns a file of `lines` lines.
fn texts(text: &dyn Fn(Language, usize) -> String, language: Language, lines: usize) -> Texts {
    // A statement may take several lines; six make a text of any language complete.
    let sample = text(language, 600).lines().count();
    let statements = (lines * 600).div_ceil(sample).next_multiple_of(6);
    Texts::default().with("file", text(language, statements)).with("rules", "")
}

fn read(texts: &Texts, files: &[(&str, Language)]) -> Loaded {
    let files: Vec<_> = files.iter().map(|&(name, language)| (name.into(), Some(language))).collect();
    load(texts, &files, &LoadSettings::default())
}

/// Compares the instructions for a line of a short text and of a long one. `names` are those of parsers; all if it is
/// empty.
pub fn compare_lines(names: &[&str]) -> Result<bool, Box<dyn std::error::Error>> {
    if let Some(unknown) = names.iter().find(|&&name| FAMILIES.iter().all(|family| family.name != name)) {
        return Err(format!("no parser has the name {unknown}; an example is config-setkey").into());
    }
    let (short, long) = LINES;
    println!("instructions for a line of {short} and of {long} lines, and their ratio; at most {GROWTH}");
    let is_measured = |family: &&Family| match names {
        [] => family.name.starts_with("config-"),
        names => names.contains(&family.name),
    };
    let mut all_good = true;
    for family in FAMILIES.iter().filter(is_measured) {
        // A process for each: one does not use the memory that another one has allocated.
        let of = |lines: usize| -> Result<f64, Box<dyn std::error::Error>> {
            let count = Counter::start()?.count(&format!("growth {} {lines}", family.name))?;
            Ok(count.instructions as f64 / lines as f64)
        };
        let (in_short, in_long) = (of(short)?, of(long)?);
        let ratio = in_long / in_short;
        all_good &= ratio <= GROWTH;
        let note = if ratio <= GROWTH { "" } else { ": ABOVE THE BOUND" };
        println!("{:24} {in_short:9.0} {in_long:9.0} {ratio:7.2}{note}", family.name);
    }
    Ok(all_good)
}
