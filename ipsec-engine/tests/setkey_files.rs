//! Configuration files of the kinds that the documents of KAME, the BSDs and ipsec-tools show: those in `setkey/` are read
//! and come back as they were, those in `setkey/wrong/` are refused with the line and the reason that their first line says.

use std::fs;
use std::path::Path;

use ipsec_engine::setkey::{Statement, Statements};

/// The files of a folder: name without `.conf`, and text.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    found.sort();
    found
}

/// Every statement, or the line and the message of every error.
fn read(text: &str) -> Result<Vec<Statement<'_>>, Vec<(u32, String)>> {
    let (mut statements, mut good, mut errors) = (Statements::of(text), Vec::new(), Vec::new());
    for _ in 0..=text.len() {
        match statements.next() {
            Ok(Some(statement)) => good.push(statement),
            Ok(None) => return if errors.is_empty() { Ok(good) } else { Err(errors) },
            Err(error) => errors.push((error.line, error.to_string())),
        }
    }
    panic!("does not end: {text}");
}

fn written(statements: &[Statement<'_>]) -> String {
    statements.iter().map(|statement| format!("{statement}\n")).collect()
}

/// The statements of a file that ought to be good.
fn good(text: &str) -> Result<Vec<Statement<'_>>, String> {
    let statements = read(text).map_err(|errors| format!("{errors:?}"))?;
    if statements.is_empty() { Err("no statement".to_owned()) } else { Ok(statements) }
}

/// What is wrong with what is written of a file that is read.
fn check_written(text: &str) -> Result<(), String> {
    let Ok(statements) = good(text) else { return Ok(()) };
    let once = written(&statements);
    let again = read(&once).map_err(|errors| format!("{errors:?} when written as\n{once}"))?;
    if again != statements || written(&again) != once {
        return Err(format!("changes when written as\n{once}"));
    }
    Ok(())
}

/// What is wrong with the refusal of a file that ought to be refused.
fn check_wrong(text: &str) -> Result<(), String> {
    let expected = text.lines().next().and_then(|first| first.strip_prefix("# expected: ")).expect("what is expected");
    let (line, message) = expected.split_once(": ").expect("a line and a message");
    let line: u32 = line.parse().expect("a line");
    match read(text) {
        Ok(_) => Err("accepted".to_owned()),
        Err(errors) => match errors.as_slice() {
            [(at, found)] if *at == line && found.contains(message) => Ok(()),
            _ => Err(format!("expected {line}: {message}\n     found {errors:?}")),
        },
    }
}

fn check_all(folder: &str, at_least: usize, check: fn(&str) -> Result<(), String>) {
    let files = files(folder);
    assert!(files.len() >= at_least, "{} files in {folder}", files.len());
    let complaint = |(name, text): &(String, String)| check(text).err().map(|why| format!("{name}: {why}"));
    let complaints: Vec<_> = files.iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{folder}:\n{}", complaints.join("\n"));
}

#[test]
fn every_configuration_is_read() {
    check_all("setkey", 60, |text| good(text).map(drop));
}

#[test]
fn every_configuration_comes_back_as_it_was() {
    check_all("setkey", 60, check_written);
}

#[test]
fn every_mistake_is_found_at_its_line_and_named() {
    check_all("setkey/wrong", 80, check_wrong);
}

#[test]
fn every_configuration_begins_with_what_it_is_for() {
    for (name, text) in files("setkey") {
        assert!(text.starts_with('#'), "{name}");
    }
}

#[test]
fn no_message_contains_a_key() {
    let strings = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    for (name, text) in files("setkey/wrong") {
        let keys = strings(&text).into_iter().chain(
            text.split(|c: char| c.is_whitespace() || c == ';')
                .filter(|word| word.starts_with("0x") && word.len() >= 16)
                .map(str::to_owned),
        );
        let errors = read(&text).err().unwrap_or_default();
        for key in keys.filter(|key| key.len() >= 8) {
            assert!(errors.iter().all(|(_, message)| !message.contains(&key)), "{name}: {errors:?}");
        }
    }
}
