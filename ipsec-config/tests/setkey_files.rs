//! Configuration files as in the documentation of KAME, the BSDs and ipsec-tools: those in `setkey/` are accepted and
//! print as equal statements; those in `setkey/wrong/` are refused with the line and the message in their first line.

use std::fs;
use std::path::Path;

use ipsec_config::setkey::{Statement, Statements};

/// Returns the files of a folder: name without `.conf`, and text.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("folder entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .map(|path| {
            let name = path.file_stem().expect("file name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("UTF-8 text"))
        })
        .collect();
    found.sort();
    found
}

/// Returns all statements, or line and message of each error.
fn read(text: &str) -> Result<Vec<Statement<'_>>, Vec<(u32, String)>> {
    let (mut statements, mut good, mut errors) = (Statements::of(text), Vec::new(), Vec::new());
    for _ in 0..=text.len() {
        match statements.next() {
            Ok(Some(statement)) => good.push(statement),
            Ok(None) => return if errors.is_empty() { Ok(good) } else { Err(errors) },
            Err(error) => errors.push((error.line, error.to_string())),
        }
    }
    panic!("parser does not terminate: {text}");
}

fn written(statements: &[Statement<'_>]) -> String {
    statements.iter().map(|statement| format!("{statement}\n")).collect()
}

/// Returns the statements of a file that must be accepted.
fn good(text: &str) -> Result<Vec<Statement<'_>>, String> {
    let statements = read(text).map_err(|errors| format!("{errors:?}"))?;
    if statements.is_empty() { Err("no statement".to_owned()) } else { Ok(statements) }
}

/// Checks that the statements of an accepted file print as equal statements.
fn check_written(text: &str) -> Result<(), String> {
    let Ok(statements) = good(text) else { return Ok(()) };
    let once = written(&statements);
    let again = read(&once).map_err(|errors| format!("{errors:?} when written as\n{once}"))?;
    if again != statements || written(&again) != once {
        return Err(format!("changes when written as\n{once}"));
    }
    Ok(())
}

/// Checks that a file is refused with the line and message in its first line.
fn check_wrong(text: &str) -> Result<(), String> {
    let expected = text
        .lines()
        .next()
        .and_then(|first| first.strip_prefix("# expected: "))
        .expect("first line must be `# expected: LINE: MESSAGE`");
    let (line, message) = expected.split_once(": ").expect("line and message");
    let line: u32 = line.parse().expect("line number");
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
    let failure = |(name, text): &(String, String)| check(text).err().map(|why| format!("{name}: {why}"));
    let failures: Vec<_> = files.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{folder}:\n{}", failures.join("\n"));
}

#[test]
fn every_configuration_is_accepted() {
    check_all("setkey", 60, |text| good(text).map(drop));
}

#[test]
fn every_configuration_prints_as_equal_statements() {
    check_all("setkey", 60, check_written);
}

#[test]
fn every_error_has_the_expected_line_and_message() {
    check_all("setkey/wrong", 80, check_wrong);
}

#[test]
fn every_configuration_begins_with_a_comment() {
    for (name, text) in files("setkey") {
        assert!(text.starts_with('#'), "{name}");
    }
}

#[test]
fn error_messages_contain_no_key() {
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
