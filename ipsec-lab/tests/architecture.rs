//! Source layout of ARCHITECTURE.md: each path of its table exists, and each source file has a row.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Returns the words in backticks of a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the paths of the table by their source directory, such as `esp-core/src`. A row names the folder of its
/// first path only.
fn table(page: &str) -> BTreeMap<&str, Vec<PathBuf>> {
    let mut named: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    let mut directory = "";
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (first, contents) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        if let Some(own) = first.strip_prefix("**`").and_then(|own| own.strip_suffix("`**")) {
            directory = own;
            named.entry(own).or_default().extend(code(contents).filter(|own| own.ends_with(".rs")).map(PathBuf::from));
        } else if first.starts_with('`') && !directory.is_empty() && !first.starts_with("`requirements/") {
            let folder = code(first).next().and_then(|own| Path::new(own).parent()).unwrap_or(Path::new(""));
            let paths = code(first).enumerate().map(|(n, own)| if n == 0 { own.into() } else { folder.join(own) });
            named.entry(directory).or_default().extend(paths);
        }
    }
    named
}

/// Appends the files and folders below a directory that no row names. A folder whose files have rows needs none, nor
/// does the file of a module whose folder has one.
fn unnamed(directory: &Path, folder: &Path, named: &[PathBuf], found: &mut Vec<String>) {
    for entry in fs::read_dir(directory.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if named.contains(&path)
            || named.contains(&path.with_extension(""))
            || ["lib.rs", "main.rs"].iter().any(|name| path == Path::new(name))
        {
            continue;
        }
        if entry.path().is_dir() && named.iter().any(|own| own.starts_with(&path)) {
            unnamed(directory, &path, named, found);
        } else {
            found.push(directory.join(path).display().to_string());
        }
    }
}

#[test]
fn source_layout_names_every_file_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, page) = page.split_once("\n## Source layout\n").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let (mut wrong, named) = (Vec::new(), table(page));
    for (directory, paths) in &named {
        let directory = root.join(directory);
        let missing = paths.iter().map(|path| directory.join(path)).filter(|path| !path.exists());
        wrong.extend(missing.map(|path| format!("{}: does not exist", path.display())));
        let mut found = Vec::new();
        unnamed(&directory, Path::new(""), paths, &mut found);
        wrong.extend(found.into_iter().map(|path| format!("{path}: has no row")));
    }
    for entry in fs::read_dir(root).unwrap() {
        let own = entry.unwrap().path().join("src");
        if own.exists() && !own.starts_with(root.join("benches")) && !named.keys().any(|name| root.join(name) == own) {
            wrong.push(format!("{}: has no rows", own.display()));
        }
    }
    assert!(named.len() > 15, "{} source directories", named.len());
    assert!(wrong.is_empty(), "ARCHITECTURE.md:\n{}", wrong.join("\n"));
}
