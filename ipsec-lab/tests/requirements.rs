//! Requirements of RFCs: each one in `requirements/` is met in code that cites it, or has a reason. `REQUIREMENTS.md`
//! is the table of them.
//!
//! A citation is a line `//= RFC 4303 3.4.3/2, 3.4.3/3` beside the code or the test, with the section and the number of
//! the requirement in it. Lines `//# MUST: ..` below it are the words of the requirement; `ci/traceability --write`
//! inserts them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// RFC number, and section with the number of the requirement.
type Id = (String, String);

struct Requirement {
    id: Id,
    level: String,
    what: String,
    status: Status,
}

enum Status {
    /// Code implements it.
    Met,
    /// The types exclude a violation.
    ByType,
    /// The caller is responsible, for this reason.
    Caller(String),
    /// The requirement is not met, for this reason.
    Not(String),
    /// The requirement is the same as another.
    Same(Id),
}

/// Files that cite a requirement.
#[derive(Default)]
struct Cited {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

#[test]
fn requirements_are_cited_or_have_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (titles, requirements) = requirements(root);
    let cited = citations(root);
    let mut wrong = Vec::new();
    let statuses: BTreeMap<&Id, &Status> = requirements.iter().map(|r| (&r.id, &r.status)).collect();
    assert_eq!(statuses.len(), requirements.len(), "duplicate requirement");
    for Requirement { id, status, .. } in &requirements {
        let here = cited.get(id).map_or(0, |cited| cited.code.len());
        match status {
            Status::Met | Status::ByType if here == 0 => wrong.push(format!("{id:?}: not cited by code")),
            Status::Same(other) if !matches!(statuses.get(other), Some(s) if !matches!(s, Status::Same(_))) => {
                wrong.push(format!("{id:?}: the same as {other:?}, which has no status"));
            }
            _ => {}
        }
    }
    for (id, files) in &cited {
        if !matches!(statuses.get(id), Some(Status::Met | Status::ByType)) {
            wrong.push(format!("{id:?} is cited in {:?} {:?}, but not marked as met", files.code, files.tests));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let is_writing = env::var_os("WRITE_REQUIREMENTS").is_some();
    for file in sources(root) {
        let text = fs::read_to_string(&file).unwrap();
        let expected = with_words(&text, &requirements);
        if is_writing && text != expected {
            fs::write(&file, &expected).unwrap();
        }
        assert!(is_writing || text == expected, "{}: run ci/traceability --write", file.display());
    }
    let table = table(&titles, &requirements, &cited);
    let file = root.join("REQUIREMENTS.md");
    if is_writing {
        fs::write(&file, &table).unwrap();
    }
    assert!(
        fs::read_to_string(file).is_ok_and(|there| there == table),
        "REQUIREMENTS.md is not current: run ci/traceability --write"
    );
}

/// Returns a source text with the words of each requirement below the line that cites it.
fn with_words(text: &str, requirements: &[Requirement]) -> String {
    let known: BTreeMap<&Id, &Requirement> = requirements.iter().map(|r| (&r.id, r)).collect();
    let mut written = String::new();
    for line in text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("//# ")) {
        written.push_str(line);
        let Some(cites) = line.trim().strip_prefix("//= RFC ") else { continue };
        let (rfc, ids) = cites.split_once(' ').expect(line);
        let indent = &line[..line.len() - line.trim_start().len()];
        for id in ids.split(", ") {
            if let Some(Requirement { level, what, .. }) = known.get(&(rfc.to_owned(), id.to_owned())) {
                let mut row = format!("{indent}//# {level}:");
                for word in what.split(' ') {
                    if row.len() + word.len() >= 119 {
                        written += &format!("{row}\n");
                        row = format!("{indent}//#  ");
                    }
                    row += &format!(" {word}");
                }
                written += &format!("{row}\n");
            }
        }
    }
    written
}

/// Reads titles and requirements of `requirements/rfcNNNN.txt`.
fn requirements(root: &Path) -> (Vec<(String, String)>, Vec<Requirement>) {
    let (mut titles, mut all) = (Vec::new(), Vec::new());
    let mut files: Vec<_> =
        fs::read_dir(root.join("requirements")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let rfc = file.file_stem().unwrap().to_str().unwrap().strip_prefix("rfc").unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                titles.push((rfc.clone(), comment.split(": ").next().unwrap().to_owned()));
                continue;
            }
            let [id, level, what, status] = line.split(" | ").collect::<Vec<_>>()[..] else { panic!("{rfc}: {line}") };
            assert!(["MUST", "MUST NOT", "SHOULD", "SHOULD NOT"].contains(&level), "{rfc} {id}: {level}");
            let status = match status.split_once(": ").unwrap_or((status, "")) {
                ("met", "") => Status::Met,
                ("type", "") => Status::ByType,
                ("caller", why) if !why.is_empty() => Status::Caller(why.to_owned()),
                ("not", why) if !why.is_empty() => Status::Not(why.to_owned()),
                (same, "") => {
                    let (other, id) = same.strip_prefix("= ").and_then(|s| s.split_once(' ')).expect(status);
                    Status::Same((other.to_owned(), id.to_owned()))
                }
                _ => panic!("{rfc} {id}: {status}"),
            };
            all.push(Requirement {
                id: (rfc.clone(), id.to_owned()),
                level: level.to_owned(),
                what: what.to_owned(),
                status,
            });
        }
    }
    (titles, all)
}

/// Returns the citations of the sources of the workspace.
fn citations(root: &Path) -> BTreeMap<Id, Cited> {
    let mut all = BTreeMap::<Id, Cited>::new();
    for file in sources(root) {
        let path = file.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        for line in fs::read_to_string(&file).unwrap().lines() {
            let Some(cites) = line.trim().strip_prefix("//= RFC ") else { continue };
            let (rfc, ids) = cites.split_once(' ').expect(line);
            for id in ids.split(", ") {
                let cited = all.entry((rfc.to_owned(), id.to_owned())).or_default();
                let files = if path.contains("/tests/") { &mut cited.tests } else { &mut cited.code };
                files.insert(path.clone());
            }
        }
    }
    all
}

fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("Cargo.toml").exists());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                Some(rs) if rs == "rs" => found.push(path),
                _ if path.is_dir() && !path.ends_with("target") && !path.ends_with("corpus") => folders.push(path),
                _ => {}
            }
        }
    }
    found
}

fn table(titles: &[(String, String)], requirements: &[Requirement], cited: &BTreeMap<Id, Cited>) -> String {
    let of = |rfc: &str| requirements.iter().filter(move |r| r.id.0 == rfc).collect::<Vec<_>>();
    let known: BTreeMap<&Id, &Requirement> = requirements.iter().map(|r| (&r.id, r)).collect();
    let settled = |r: &Requirement| match &r.status {
        Status::Same(other) => known[other],
        _ => known[&r.id],
    };
    let tested = |r: &Requirement| cited.get(&r.id).is_some_and(|cited| !cited.tests.is_empty());
    let mut text = String::from(
        "# Requirements\n\nEvery MUST and SHOULD of the RFCs of IPsec packets, and of the codec parts of IKEv1: where each is met, or why it is not. Generated by `ci/traceability --write` from `requirements/` and from the citations `//= RFC ..` beside code and tests; `ci/traceability`\n\
         and `cargo test` check it. The number after a section counts its requirements; the text is a summary.\n\n\
         | RFC | requirements | met | of these with a test that cites them | up to the caller | not met |\n|---|---|---|---|---|---|\n",
    );
    for (rfc, title) in titles {
        let all = of(rfc);
        let count = |is: &dyn Fn(&Requirement) -> bool| all.iter().filter(|r| is(settled(r))).count();
        let met = |r: &Requirement| matches!(r.status, Status::Met | Status::ByType);
        let row = [
            count(&met),
            count(&|r| met(r) && tested(r)),
            count(&|r| matches!(r.status, Status::Caller(_))),
            count(&|r| matches!(r.status, Status::Not(_))),
        ];
        writeln!(text, "| {title} | {} | {} |", all.len(), row.map(|n| n.to_string()).join(" | ")).unwrap();
    }
    text.push_str("\n## Not met\n\n| RFC | | requirement | implementation |\n|---|---|---|---|\n");
    for Requirement { id: (rfc, id), level, what, status } in requirements {
        if let Status::Not(why) = status {
            writeln!(text, "| {rfc} {id} | {level} | {what} | {why} |").unwrap();
        }
    }
    for (rfc, title) in titles {
        write!(text, "\n## {title}\n\n| | | requirement | code | tests |\n|---|---|---|---|---|\n").unwrap();
        for Requirement { id, level, what, status } in of(rfc) {
            let files =
                |files: &BTreeSet<String>| files.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(" ");
            let (code, tests) = match (status, cited.get(id)) {
                (Status::Caller(who), _) => (format!("up to the caller: {who}"), String::new()),
                (Status::Not(why), _) => (format!("**not met**: {why}"), String::new()),
                (Status::Same((other, same)), _) => (format!("as RFC {other} {same}"), String::new()),
                (Status::Met, Some(cited)) => (files(&cited.code), files(&cited.tests)),
                (Status::ByType, Some(cited)) => {
                    (format!("cannot be otherwise: {}", files(&cited.code)), files(&cited.tests))
                }
                (Status::Met | Status::ByType, None) => unreachable!("checked before"),
            };
            writeln!(text, "| {} | {level} | {what} | {code} | {tests} |", id.1).unwrap();
        }
    }
    text
}
