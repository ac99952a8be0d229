//! Files of setkey(8) as parts of a configuration: all errors with suggestions, host names resolved.

use std::collections::{HashMap, HashSet};
use std::format;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use ipsec_packet::Seq;
use ipsec_sa::{Action, Direction, Mode, PolicyDirection, PolicyParams};

use super::algorithm::{CIPHERS, MACS};
use super::error::{SetkeyError, SetkeyErrorKind};
use super::names::PROTOCOLS;
use super::params::{LoadOptions, StatementError};
use super::statement::{Add, Statement, Statements};
use super::values::{Family, HostNames, STATEMENTS};
use crate::diagnostic::nearest;
use crate::secret::Secrets;
use crate::{Configuration, ConfiguredPolicy, ConfiguredSa, Diagnostics, FileId, Files, Severity, Sources, Span};

/// Resolver of host names with the addresses that were found.
struct Names<'f>(&'f dyn Files);

impl core::fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Names")
    }
}

impl HostNames for Names<'_> {
    fn resolve(&self, name: &str, family: Family) -> Option<IpAddr> {
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !name.chars().all(is_host) || !name.contains(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let addresses = self.0.resolve(name).ok()?;
        addresses.into_iter().find(|address| match family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        })
    }
}

/// Reads a file and adds its SAs and policies to a configuration. Errors and warnings are added to `diagnostics`.
///
/// # Errors
/// The error of the file system.
pub fn read(
    files: &dyn Files,
    path: &Path,
    sources: &mut Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) -> io::Result<()> {
    let text = files.read(path)?;
    let file = sources.add(path.to_string_lossy(), text, Secrets::Keys);
    configure(files, file, sources, configuration, diagnostics);
    Ok(())
}

/// Adds the SAs and policies of a text to a configuration.
pub(crate) fn configure(
    files: &dyn Files,
    file: FileId,
    sources: &Sources,
    configuration: &mut Configuration,
    diagnostics: &mut Diagnostics,
) {
    let text = sources.shared_text(file);
    let names = Names(files);
    let mut statements = Statements::of_bytes(&text).with_names(&names);
    let mut sas: Vec<(Span, Add<'_>)> = Vec::new();
    loop {
        match statements.next() {
            Ok(None) => break,
            Ok(Some(statement)) => {
                let span = statements.span(file);
                match statement {
                    Statement::Add(sa) | Statement::Update(sa) => sas.push((span, sa)),
                    Statement::SpdAdd(policy) | Statement::SpdUpdate(policy) => {
                        if let Some(warning) = policy.warning() {
                            diagnostics.warning(span, warning.to_string());
                        }
                        match policy.policy() {
                            Ok(params) => configuration.policies.push(ConfiguredPolicy::new(span, params)),
                            Err(why) => refuse(diagnostics, span, why),
                        }
                    }
                    Statement::Flush(None) => {
                        sas.clear();
                        configuration.sas.clear();
                    }
                    Statement::SpdFlush => configuration.policies.clear(),
                    // Its octets are all that follow.
                    Statement::Exit => {
                        let text = text.get(span.begin..).unwrap_or_default();
                        let end = text.iter().position(|octet| *octet == b';').unwrap_or(text.len());
                        if has_statements(text.get(end..).unwrap_or_default()) {
                            let span = Span { end: span.begin.saturating_add(end), ..span };
                            diagnostics.warning(span, "the statements after this one are not read");
                        }
                    }
                    _ => {}
                }
            }
            Err(error) => report(&error, file, sources, diagnostics),
        }
    }
    let mut locals = local_addresses(&configuration.policies);
    locals.extend(configuration.listen.iter().map(|address| address.ip()));
    let inner = inner_addresses(&configuration.policies);
    for (span, sa) in sas {
        let direction = if locals.contains(&sa.id.destination.0) { Direction::Inbound } else { Direction::Outbound };
        let inner = inner.get(&(sa.id.source.0, sa.id.destination.0)).copied().filter(|_| sa.mode == Mode::Beet);
        // The daemon numbers packets ahead of use; a check has no packets.
        let options = LoadOptions::RFC.continuing_after(Seq::new(0));
        match sa.params(direction, inner, &options) {
            Ok(params) => configuration.sas.push(ConfiguredSa { span, params }),
            Err(why) => refuse(diagnostics, span, why),
        }
    }
}

/// Returns whether a text has more than blanks and comments.
fn has_statements(text: &[u8]) -> bool {
    let is_blank = |octet: &u8| octet.is_ascii_whitespace() || *octet == b';';
    let mut lines = text.split(|octet| *octet == b'\n');
    lines.any(|line| line.iter().find(|octet| !is_blank(octet)).is_some_and(|octet| *octet != b'#'))
}

/// Returns the hosts of the first policy for each pair of endpoints of BEET mode.
fn inner_addresses(policies: &[ConfiguredPolicy]) -> HashMap<(IpAddr, IpAddr), (IpAddr, IpAddr)> {
    let mut addresses = HashMap::new();
    for PolicyParams { selector, action, .. } in policies.iter().map(|policy| policy.params) {
        let Action::Protect(bundle) = action else { continue };
        for ends in bundle.iter().filter(|template| template.mode == Mode::Beet).filter_map(|template| template.ends) {
            if let (Some(source), Some(destination)) = (ends.source.0, ends.destination.0) {
                let hosts = (selector.source.first(), selector.destination.first());
                addresses.entry((source, destination)).or_insert(hosts);
            }
        }
    }
    addresses
}

fn refuse(diagnostics: &mut Diagnostics, span: Span, why: StatementError) {
    if why.is_skipped() {
        diagnostics.warning(span, format!("{why}: the statement is skipped"));
    } else {
        diagnostics.error(span, why.to_string());
    }
}

/// Returns the addresses of this host in the policies for outbound packets.
fn local_addresses(policies: &[ConfiguredPolicy]) -> HashSet<IpAddr> {
    let mut addresses = HashSet::new();
    for PolicyParams { selector, direction, action, .. } in policies.iter().map(|policy| policy.params) {
        let (Action::Protect(bundle), PolicyDirection::Out) = (action, direction) else { continue };
        let ends = bundle.iter().filter_map(|template| template.ends?.source.0);
        let host = (selector.source.first() == selector.source.last()).then_some(selector.source.first());
        addresses.extend(ends.chain(host));
    }
    addresses
}

fn report(error: &SetkeyError, file: FileId, sources: &Sources, diagnostics: &mut Diagnostics) {
    let begin = sources.offset(file, error.line, error.column);
    let span = Span { file, begin, end: begin.saturating_add(error.found.len().max(1)) };
    let found = if error.found.is_empty() { String::new() } else { format!("`{}`: ", error.found.escape_default()) };
    let help = suggestion(error);
    diagnostics.add(Severity::Error, span, format!("{found}{}", error.kind), help);
}

/// Returns a similar word that would be valid at the place of an error.
fn suggestion(error: &SetkeyError) -> Option<String> {
    let word = error.found.as_str();
    let names = |list: &[&'static str]| nearest(word, list.iter().copied());
    let near = match error.kind {
        SetkeyErrorKind::Statement => names(STATEMENTS),
        SetkeyErrorKind::Algorithm => {
            let tables = || CIPHERS.iter().map(|row| row.name).chain(MACS.iter().map(|row| row.name));
            let containing = |part: &str| tables().find(|name| part.len() >= 3 && name.contains(part));
            // Names of other systems are a part of these, or contain the length of the key.
            let plain =
                ["128", "192", "256"].iter().fold(word.to_ascii_lowercase(), |word, bits| word.replace(bits, ""));
            let near = nearest(word, tables().chain(["deflate", "lzs"])).or_else(|| containing(word));
            near.or_else(|| nearest(&plain, tables())).or_else(|| containing(plain.trim_end_matches('-')))
        }
        SetkeyErrorKind::Upper => nearest(word, PROTOCOLS.iter().map(|row| row.0).chain(["any"])),
        SetkeyErrorKind::Mode => names(&["transport", "tunnel", "any", "beet"]),
        SetkeyErrorKind::Policy => names(&["ipsec", "none", "discard", "bypass", "entrust"]),
        SetkeyErrorKind::PolicyDirection => names(&["in", "out", "fwd"]),
        SetkeyErrorKind::Protocol => names(&["esp", "ah", "ipcomp", "esp-udp", "esp-old", "ah-old", "tcp"]),
        SetkeyErrorKind::Option => {
            names(&["-m", "-u", "-r", "-lh", "-ls", "-bh", "-bs", "-E", "-A", "-C", "-R", "-f", "-esn", "-natt"])
        }
        // A part of a template is misspelled.
        SetkeyErrorKind::Level | SetkeyErrorKind::Template => {
            let words = ["default", "use", "require", "unique", "esp", "ah", "ipcomp", "transport", "tunnel"];
            let wrong = word.split('/').find(|part| {
                part.chars().all(|c| c.is_ascii_alphabetic()) && !part.is_empty() && !words.contains(part)
            });
            wrong.and_then(|part| nearest(part, words))
        }
        _ => None,
    };
    near.filter(|near| *near != word).map(|near| format!("did you mean `{near}`?"))
}
