//! Wording of doc comments, messages and names of tests: the rules of CONTRIBUTING.md, "Style of text", as far as a
//! program can check them.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Words with which a doc summary does not begin: pronouns, prepositions, conjunctions and question words.
const NOT_FIRST: &[&str] = &[
    "about",
    "above",
    "after",
    "against",
    "among",
    "and",
    "anything",
    "as",
    "at",
    "before",
    "behind",
    "below",
    "beneath",
    "beside",
    "between",
    "but",
    "by",
    "during",
    "each's",
    "everything",
    "for",
    "from",
    "he",
    "her",
    "his",
    "how",
    "if",
    "in",
    "inside",
    "into",
    "it",
    "its",
    "like",
    "nobody",
    "none",
    "not",
    "nothing",
    "of",
    "off",
    "on",
    "onto",
    "or",
    "our",
    "out",
    "outside",
    "over",
    "she",
    "since",
    "so",
    "such",
    "than",
    "that",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "through",
    "to",
    "toward",
    "under",
    "until",
    "up",
    "upon",
    "we",
    "what",
    "whatever",
    "when",
    "where",
    "whether",
    "which",
    "who",
    "whoever",
    "whom",
    "whose",
    "why",
    "with",
    "within",
    "without",
    "you",
    "your",
];

/// Words that replace a term in the first sentence of a summary.
const NOT_IN_SUMMARIES: &[&str] = &["what", "whatever"];

/// Words that the name of a test does not contain: it is a sentence, not a question.
const NOT_IN_TESTS: &[&str] = &["cut", "how", "what", "whatever", "who", "why"];

/// Phrases that the terms of the RFCs replace, in doc comments, comments and messages.
const NOT_ANYWHERE: &[&str] = &[
    "nobody",
    "upper protocol",
    "whoever",
    "somebody",
    "anybody",
    "everybody",
    " asks for",
    "asked for",
    "was asked",
    "be asked",
    "not asked",
    "given way",
    "takes note",
    "given up its",
    "gives up all",
    "word of old",
    "is not initiated to",
    "does not hold",
    "hold together",
    "no room",
    "there is room",
    "speaks of",
    "taken off",
    "takes off",
    "is no number",
    "at the door",
    "what is wrong",
    "says so",
    "make room",
    "makes room",
    "told apart",
    "sign of life",
    "signs of life",
    "under way",
    "is gone",
    "lossy wire",
    "faulty wire",
    "comes back",
    "lately",
    "give way",
    "gives way",
    "any more",
    "whose fault",
    "is told",
    "are told",
    "is asked",
    "stands for",
    "occurs twice",
    "policy was made",
    "was made for",
    "were made for",
    "are made for",
    "entered the spd",
    "enters the spd",
    "left the spd",
    "or cut",
    "was cut",
    "is cut",
    "has cut",
    "cut off",
    "in front of this",
    "behind this one",
    "directly behind",
    "right behind",
];

/// Acronyms that are upper case in messages, unless the message quotes a configuration.
const UPPER_CASE: &[&str] = &["icv", "spi", "spis", "ike", "isakmp", "hmac", "mtu", "ipv4", "ipv6"];

/// Words that end like a verb in the third person, but do not make a sentence of the summary of a function.
const NOT_VERBS: &[&str] = &[
    "Addresses",
    "Algorithms",
    "Always",
    "Bits",
    "Files",
    "Gateways",
    "Is",
    "Its",
    "Keys",
    "Lines",
    "Messages",
    "Octets",
    "Options",
    "Packets",
    "Parameters",
    "Peers",
    "Policies",
    "SAs",
    "Seconds",
    "Secrets",
    "Texts",
    "This",
    "Values",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        } else if path.is_dir() && !["target", "corpus", "data"].iter().any(|name| path.ends_with(name)) {
            sources(&path, found);
        }
    }
}

/// Returns the first paragraph of the doc comment that begins at a line, without its marks.
fn summary(lines: &[&str], at: usize) -> String {
    let mark = lines[at].get(..3).unwrap_or_default();
    let paragraph = lines[at..].iter().map_while(|line| line.strip_prefix(mark)).map(str::trim);
    paragraph.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns the string literals of a line with a space in them.
fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2).filter(|text| text.trim().contains(' '))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '\'').filter(|word| !word.is_empty())
}

/// Returns the source files of all workspaces except for this one.
fn source_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("Cargo.toml").exists() || folder.ends_with("examples") {
            sources(&folder, &mut files);
        }
    }
    files.retain(|file| !file.ends_with("wording.rs"));
    assert!(files.len() > 300, "{} source files", files.len());
    files
}

/// Returns the parts of a text that are not in backticks.
fn outside_backticks(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// Returns whether a text says that something "is no" thing instead of "is not a" thing. Terms such as "no operation"
/// are not meant.
fn has_is_no(text: &str) -> bool {
    let words: Vec<&str> = words(text).collect();
    words.windows(4).any(|own| {
        !["there", "here"].contains(&own[0])
            && ["is", "are", "was", "were"].contains(&own[1])
            && own[2] == "no"
            && !["longer", "more", "next", "operation"].contains(&own[3])
    })
}

#[test]
fn test_names_are_sentences_without_question_words() {
    let (mut wrong, mut tests) = (Vec::new(), 0);
    for file in source_files() {
        let text = fs::read_to_string(&file).unwrap();
        for (_, rest) in text.match_indices("#[test]\n").map(|(at, mark)| text.split_at(at + mark.len())) {
            let name = rest.split_once("fn ").and_then(|(_, name)| name.split(['(', '<']).next()).unwrap_or_default();
            let mut words = name.split('_');
            // A macro names its tests by its arguments.
            if !name.starts_with('$') && (words.clone().count() < 3 || words.any(|word| NOT_IN_TESTS.contains(&word))) {
                wrong.push(format!("{}: {name}", file.display()));
            }
            tests += 1;
        }
    }
    assert!(tests > 1_500, "{tests} tests");
    assert!(wrong.is_empty(), "fewer than three words, or a question word:\n{}", wrong.join("\n"));
}

/// Returns whether a text has another form of the term NAT-keepalive (RFC 3948 section 2.3). Words of a configuration
/// are in backticks or part of a longer word; the notifications of Cisco IOS have a name of their own.
fn has_keep_alive(lower: &str) -> bool {
    let is_other = |word: &str| ["keep-alive", "keep-alives", "keepalive", "keepalives"].contains(&word);
    let outside = outside_backticks(lower);
    !lower.starts_with("ios ")
        && outside.split_whitespace().any(|word| is_other(word.trim_matches(|c: char| !c.is_alphanumeric())))
}

/// Returns the word with which a summary begins, if it is a verb in the third person.
fn verb(sentence: &str) -> Option<&str> {
    let word = sentence.split(|c: char| !c.is_alphabetic() && c != '-').next()?;
    let is_verb = word.starts_with(char::is_uppercase) && word.ends_with('s') && !NOT_VERBS.contains(&word);
    is_verb.then_some(word)
}

/// Returns whether the item after the doc comment that begins at a line is a function, and not a test, whose summary
/// may describe the circumstances.
fn is_function(lines: &[&str], at: usize) -> bool {
    let mut after = lines[at..].iter().skip_while(|line| line.starts_with("///")).peekable();
    while let Some(line) = after.next_if(|line| line.starts_with("#[") || line.starts_with("//")) {
        if *line == "#[test]" {
            return false;
        }
    }
    after.next().is_some_and(|line| line.starts_with("fn ") || line.contains(" fn "))
}

/// Returns the faults of the summary of a function.
fn faults_of_function(summary: &str) -> Vec<&'static str> {
    let mut faults = Vec::new();
    if verb(summary).is_none() {
        faults.push("the summary of a function does not begin with a verb in the third person");
    }
    let has_none = |sentence: &str| sentence.contains("; `None`") || sentence.contains(", `None`");
    if summary.split(". ").any(|own| has_none(own) && verb(own).is_some_and(|verb| verb != "Returns")) {
        faults.push("`None` depends on another verb than `Returns`");
    }
    faults
}

/// Returns the faults of a source file with the numbers of their lines, and the number of doc summaries. Some rules are
/// for libraries and programs only.
fn check(text: &str, is_library: bool) -> (Vec<(usize, String)>, usize) {
    let (mut wrong, mut summaries) = (Vec::new(), 0);
    let (mut was_doc, mut is_code) = (false, false);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (number, line) in lines.iter().enumerate().map(|(n, line)| (n + 1, *line)) {
        let mut reject = |why: &str| wrong.push((number, format!("{why}: {line}")));
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim);
        if doc.is_some_and(|doc| doc.starts_with("```")) {
            is_code = !is_code;
        }
        if let Some(doc) = doc.filter(|_| !is_code && !was_doc && is_library) {
            summaries += 1;
            let first = words(doc).next().unwrap_or_default().to_lowercase();
            if NOT_FIRST.contains(&first.as_str()) && !doc.starts_with('`') {
                reject("the summary begins with a pronoun, a preposition, a conjunction or a question word");
            }
            let sentence = summary(&lines, number - 1);
            let sentence = sentence.split(". ").next().unwrap_or_default();
            if words(&outside_backticks(sentence)).any(|word| NOT_IN_SUMMARIES.contains(&word)) {
                reject("a clause with `what` in place of the term");
            }
            if summary(&lines, number - 1).split_whitespace().count() <= 3 {
                reject("the summary has three words or fewer: a sentence, or no comment where the name says it");
            }
        }
        if !was_doc && line.starts_with("///") && is_function(&lines, number - 1) {
            faults_of_function(&summary(&lines, number - 1)).into_iter().for_each(&mut reject);
        }
        was_doc = doc.is_some();
        is_code &= was_doc;
        let is_comment = line.starts_with("//") && !is_code;
        let prose = if is_comment { vec![line] } else { literals(line).collect() };
        for text in prose {
            let lower = text.to_lowercase();
            if let Some(phrase) = NOT_ANYWHERE.iter().find(|phrase| lower.contains(**phrase)) {
                reject(&format!("`{phrase}`"));
            }
            if has_is_no(&lower) {
                reject("`is no` in place of `is not a`");
            }
            if has_keep_alive(&lower) {
                reject("the term of RFC 3948 is NAT-keepalive");
            }
            let quotes_configuration = [
                "add ",
                "-E ",
                "-A ",
                " -m ",
                "draft-",
                "ike-codec",
                "=",
                "/",
                "usage:",
                "src ",
                "isakmp {",
                " spi {",
                " mtu {",
            ]
            .iter();
            if !is_comment && is_library && !quotes_configuration.into_iter().any(|sign| text.contains(sign)) {
                // Words of a configuration are in backticks.
                let outside = outside_backticks(text);
                let fixed = outside.split('{').map(|part| part.split_once('}').map_or(part, |(_, behind)| behind));
                if fixed.flat_map(words).any(|word| UPPER_CASE.contains(&word)) {
                    reject("an acronym is in lower case");
                }
            }
        }
    }
    (wrong, summaries)
}

#[test]
fn doc_summaries_and_messages_use_the_terms_of_the_rfcs() {
    let (mut wrong, mut summaries) = (Vec::new(), 0);
    for file in source_files() {
        let text = fs::read_to_string(&file).unwrap();
        let is_library = file.components().any(|part| part.as_os_str() == "src");
        let (faults, count) = check(&text, is_library);
        summaries += count;
        wrong.extend(faults.into_iter().map(|(number, fault)| format!("{}:{number}: {fault}", file.display())));
    }
    assert!(summaries > 2_500, "{summaries} doc summaries");
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn planted_faults_of_wording_are_found() {
    let planted = [
        ("/// Identity that is an address.\nfn f() {}", "does not begin with a verb"),
        ("/// Messages that no step expects.\n#[inline]\npub(crate) const fn f() {}", "does not begin with a verb"),
        ("/// ```text\n/// | Version |\n/// ```\nfn f() {}", "does not begin with a verb"),
        ("/// Creates the tables; `None` if there are none.\n//= RFC 1 2/3\nfn f() {}", "another verb than `Returns`"),
        ("/// Takes a number. Finds its SA, `None` if it has none.\nunsafe fn f() {}", "another verb than `Returns`"),
        ("// Any upper protocol is valid.", "`upper protocol`"),
        ("f(\"unknown upper protocol\")", "`upper protocol`"),
        ("/// The packet is a NAT keep-alive, which is ignored.", "NAT-keepalive"),
        ("f(\"keepalives received\")", "NAT-keepalive"),
    ];
    for (text, expected) in planted {
        let (faults, _) = check(text, true);
        assert!(matches!(&faults[..], [(1, fault)] if fault.contains(expected)), "{text}: {faults:?}");
    }
    let correct = [
        "/// Returns the SA of a packet; `None` if it has none.\nfn f() {}",
        "/// Creates the key tables. Returns `None` if they were not requested.\nfn f() {}",
        "/// XORs the key stream to a body.\nfn f() {}",
        "/// Identity of this host; `None` for its address.\nidentity: Option<Identity>,",
        "/// Another encoding of the same contents has another signature.\n#[test]\nfn f() {}",
        "/// Counts the NAT-keepalive packets, at the interval `natt_keepalive` of a file.\nfn f() {}",
        "f(\"timer { natt_keepalive 20 seconds; }\")",
    ];
    for text in correct {
        assert_eq!(check(text, true).0, [], "{text}");
    }
}
