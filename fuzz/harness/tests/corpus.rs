//! Runs the fuzz targets without a fuzzer: on seeds, corpora, regressions and altered seeds.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_harness::corpus::{self, Collection};
use fuzz_harness::{TARGETS, seeds};
use test_vectors::Random;

/// Name and function of a target, and the path of its archive.
type Archive = (&'static str, fn(&[u8]), PathBuf);

/// Returns the targets whose archives the repository contains.
fn archives(collection: Collection) -> Vec<Archive> {
    let all = TARGETS.iter().map(|&(name, target, _)| (name, target, collection.archive(name)));
    all.filter(|(.., archive)| collection == Collection::Corpus || archive.exists()).collect()
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
    for collection in [Collection::Corpus, Collection::Regressions] {
        for (name, target, archive) in archives(collection) {
            let inputs = corpus::read(&archive).unwrap_or_else(|e| panic!("archive of {name} is not readable: {e}"));
            assert!(!inputs.is_empty(), "archive of {name} is empty");
            inputs.iter().for_each(|(_, input)| target(input));
        }
    }
}

#[test]
fn every_archive_belongs_to_a_target() {
    for collection in [Collection::Corpus, Collection::Regressions] {
        let known: Vec<PathBuf> = archives(collection).into_iter().map(|(.., archive)| archive).collect();
        let folder = collection.archive("none");
        let entries = fs::read_dir(folder.parent().expect("archives have a folder")).expect("folder is readable");
        let paths = entries.map(|entry| entry.expect("entry is readable").path());
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "tar")) {
            assert!(known.contains(&path), "{} is the archive of no target", path.display());
        }
    }
}

#[test]
fn unpacked_archive_is_packed_into_the_same_archive() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus");
    let all = [archives(Collection::Corpus), archives(Collection::Regressions)].concat();
    for (name, _, archive) in all {
        let packed = folder.join(format!("{name}.tar"));
        let _ = fs::remove_dir_all(folder.join(name));
        let count = corpus::unpack(&archive, &folder.join(name)).expect("archive is unpacked");
        assert_eq!(corpus::pack(&folder.join(name), &packed).expect("folder is packed"), count, "{name}");
        assert!(fs::read(&packed).expect("packed archive") == fs::read(&archive).expect("archive"), "{name} differs");
    }
    fs::remove_dir_all(folder).expect("folder is removed");
}

/// Alters seeds as a fuzzer does: flipped bits, replaced octets, truncation and duplication.
#[test]
fn every_target_accepts_altered_seeds_without_panic() {
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
