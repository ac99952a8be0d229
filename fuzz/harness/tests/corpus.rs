//! Runs the fuzz targets without a fuzzer: on seeds, corpora, regressions and altered seeds.

use std::fs;
use std::path::Path;

use fuzz_harness::{TARGETS, corpus, seeds};
use test_vectors::Random;

/// Returns the regressions of a target, sorted by file name.
fn regressions(target: &str) -> Vec<Vec<u8>> {
    let folder = seeds::root().join("fuzz/regressions").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|path: &std::path::PathBuf| fs::read(path).expect("readable input")).collect()
}

#[test]
fn every_target_has_seeds_and_passes_them() {
    for (name, target, _) in TARGETS {
        let seeds = seeds::of(name);
        assert!(seeds.len() >= 2, "{name} has {} seeds", seeds.len());
        seeds.iter().for_each(|seed| target(seed));
    }
}

#[test]
fn every_target_passes_its_corpus_and_regressions() {
    for (name, target, _) in TARGETS {
        let corpus =
            corpus::read(&corpus::archive(name)).unwrap_or_else(|e| panic!("corpus of {name} is not readable: {e}"));
        assert!(!corpus.is_empty(), "corpus of {name} is empty");
        corpus.iter().for_each(|(_, input)| target(input));
        regressions(name).iter().for_each(|input| target(input));
    }
}

#[test]
fn unpacked_corpus_is_packed_into_the_same_archive() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    for (name, ..) in TARGETS {
        let (archive, packed) = (corpus::archive(name), folder.join(format!("{name}.tar")));
        let _ = fs::remove_dir_all(folder.join(name));
        let count = corpus::unpack(&archive, &folder.join(name)).expect("archive is unpacked");
        assert_eq!(corpus::pack(&folder.join(name), &packed).expect("folder is packed"), count, "{name}");
        assert!(fs::read(&packed).expect("packed archive") == fs::read(&archive).expect("archive"), "{name} differs");
    }
    fs::remove_dir_all(folder).expect("folder is removed");
}

/// Alters seeds as a fuzzer does: flipped bits, replaced octets, truncation and duplication.
#[test]
fn every_target_passes_altered_seeds() {
    let mut random = Random(7);
    for (name, target, _) in TARGETS {
        let seeds = seeds::of(name);
        for _ in 0..400 {
            let mut input = seeds[random.below(seeds.len())].clone();
            input.truncate(2048);
            for _ in 0..=random.below(4) {
                let at = random.below(input.len().max(1));
                match random.below(4) {
                    _ if input.is_empty() => input.push(0),
                    0 => input[at] ^= 1 << random.below(8),
                    1 => input[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    2 => input.truncate(at.max(1)),
                    _ => input.extend_from_within(at..),
                }
            }
            target(&input);
        }
    }
}

#[test]
fn targets_equal_those_of_libfuzzer() {
    let manifest = fs::read_to_string(seeds::root().join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    let binaries = manifest.split("[[bin]]\n").skip(1);
    let mut binaries: Vec<&str> = binaries.map(|bin| bin.split('"').nth(1).expect("the name comes first")).collect();
    binaries.sort_unstable();
    let mut names: Vec<&str> = TARGETS.iter().map(|row| row.0).collect();
    names.sort_unstable();
    assert_eq!(binaries, names);
}
