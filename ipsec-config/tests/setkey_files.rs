//! Configurations as in the documentation of KAME, the BSDs and ipsec-tools: those in `setkey/accepted.txt` are
//! accepted and print as equal statements; those in `setkey/refused.txt` are refused with the line and the message in
//! their first line. Each begins with a line of `====` and its name.

use ipsec_config::setkey::{Statement, Statements};

const ACCEPTED: &str = include_str!("setkey/accepted.txt");
const REFUSED: &str = include_str!("setkey/refused.txt");

/// Returns the configurations of a text: name and lines.
fn configurations(all: &'static str) -> Vec<(&'static str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in all.split_inclusive('\n') {
        match (line.strip_prefix("==== "), found.last_mut()) {
            (Some(name), _) => found.push((name.trim_end(), String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => panic!("text before the first name"),
        }
    }
    for (name, text) in &mut found {
        if let Some(short) = name.strip_suffix(" (no line feed at the end)") {
            *name = short;
            text.pop();
        }
    }
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

fn check_all(all: &'static str, count: usize, check: fn(&str) -> Result<(), String>) {
    let configurations = configurations(all);
    assert_eq!(configurations.len(), count);
    let failure = |(name, text): &(&str, String)| check(text).err().map(|why| format!("{name}: {why}"));
    let failures: Vec<_> = configurations.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_configuration_is_accepted() {
    check_all(ACCEPTED, 64, |text| good(text).map(drop));
}

#[test]
fn every_configuration_prints_as_equal_statements() {
    check_all(ACCEPTED, 64, check_written);
}

#[test]
fn every_error_has_the_expected_line_and_message() {
    check_all(REFUSED, 85, check_wrong);
}

#[test]
fn every_configuration_begins_with_a_comment() {
    for (name, text) in configurations(ACCEPTED) {
        assert!(text.starts_with('#'), "{name}");
    }
}

#[test]
fn error_messages_contain_no_key() {
    let strings = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    for (name, text) in configurations(REFUSED) {
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
