//! SAs that statements of setkey(8) have added to the running gateway, with their keys.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use ipsec_config::setkey::{Add, Statement, Statements};
use ipsec_sa::{Direction, Mode, SaId};
use zeroize::Zeroizing;

use crate::shown_keys::ShownKeys;

/// Statement `add` in one line, with the keys of the SA. It is wiped on drop and not written to logs.
#[derive(Clone, PartialEq, Eq)]
pub struct AddStatement(Zeroizing<String>);

impl AddStatement {
    /// Writes the statement of an SA. Returns `None` if its text has a line break in a quoted word, or if its mode is
    /// BEET, whose inner addresses are those of a policy.
    pub fn of(sa: &Add<'_>) -> Option<Self> {
        if sa.mode == Mode::Beet {
            return None;
        }
        let statement = Statement::Add(*sa);
        let mut length = Length(0);
        write!(length, "{statement}").ok()?;
        // One allocation: a larger one would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(length.0));
        write!(text, "{statement}").ok()?;
        Self::parse(&text)
    }

    /// Parses a line that is one statement `add`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut statements = Statements::of(line);
        let is_add = matches!(statements.next(), Ok(Some(Statement::Add(_))));
        let is_one = is_add && matches!(statements.next(), Ok(None)) && !line.contains(['\n', '\r']);
        is_one.then(|| Self(Zeroizing::new(line.to_owned())))
    }

    /// Returns the keys of the SA in one direction.
    pub fn keys(&self, direction: Direction) -> Option<ShownKeys> {
        let Ok(Some(Statement::Add(sa))) = Statements::of(&self.0).next() else { return None };
        ShownKeys::of_statement(&sa, direction)
    }

    /// Returns the statement as text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AddStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement of {} octets", self.0.len())
    }
}

/// Number of octets that are written.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Statements whose SAs exist.
#[derive(Debug, Default)]
pub struct AddedSas {
    /// Statement of each SA, with its place in the order in which they were applied. A statement has two SAs if both
    /// ends are addresses of this host.
    sas: HashMap<SaId, (u64, AddStatement)>,
    next: u64,
}

impl AddedSas {
    /// Adds an SA of a statement. It replaces the former one with the identifier, which an `update` has removed.
    pub fn add(&mut self, statement: AddStatement, id: SaId) {
        self.sas.insert(id, (self.next, statement));
        self.next = self.next.saturating_add(1);
    }

    /// Removes SAs. Returns whether there was one.
    pub fn remove(&mut self, is_removed: impl Fn(&SaId) -> bool) -> bool {
        let former = self.sas.len();
        self.sas.retain(|id, _| !is_removed(id));
        self.sas.len() != former
    }

    /// Returns the keys of all SAs.
    pub fn keys(&self) -> impl Iterator<Item = (SaId, ShownKeys)> {
        self.sas.iter().filter_map(|(id, (_, statement))| Some((*id, statement.keys(id.direction)?)))
    }

    /// Returns the statements that have SAs, in the order in which they were applied.
    pub fn statements(&self) -> Vec<AddStatement> {
        let mut all: Vec<_> = self.sas.values().collect();
        all.sort_unstable_by_key(|(order, _)| *order);
        let mut statements: Vec<_> = all.into_iter().map(|(_, statement)| statement.clone()).collect();
        statements.dedup(); // both SAs of a statement are added one after the other
        statements
    }
}

#[cfg(test)]
mod tests {
    use ipsec_sa::Protocol;

    use super::*;

    const SA: &str = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc 0x00112233445566778899aabbccddeeff;";

    #[test]
    fn a_line_is_one_statement_that_adds_an_sa() {
        let statement = AddStatement::parse(SA).unwrap();
        assert_eq!(statement.text(), SA);
        assert!(!format!("{statement:?}").contains("0011"));
        let lines =
            ["", "flush;", &SA.repeat(2), &format!("{SA} flush;"), &SA.replace(';', ""), &SA.replace(' ', "\n")];
        assert!(lines.iter().all(|line| AddStatement::parse(line).is_none()), "{lines:?}");
    }

    #[test]
    fn statements_that_are_written_have_the_parameters_of_those_that_were_parsed() {
        let written = |text: &str| {
            let Statement::Add(add) = Statements::of(text).next().unwrap().unwrap() else { panic!("{text}") };
            AddStatement::of(&add).map(|own| own.text().to_owned())
        };
        for text in [
            SA,
            "add 192.0.2.1[4500] 198.51.100.1[4501] esp-udp 0x1001 -m tunnel -u 7 -r 8 -lh 60 -ls 50 -bh 9 -bs 8 \
             -E aes-cbc \"sixteen octets !\" -A hmac-sha1 \"twenty octets it has\";",
            "add 192.0.2.1 198.51.100.1 ipcomp 0x1001 -m tunnel -C deflate;",
            "add 2001:db8::1 2001:db8::2 ah 0x1001 -A hmac-md5 \"sixteen octets !\";",
        ] {
            let own = written(text).unwrap();
            assert_eq!(written(&own).as_deref(), Some(own.as_str()), "{text}");
        }
        assert_eq!(written(&SA.replace("tunnel", "beet")), None);
        assert_eq!(written("add 192.0.2.1 198.51.100.1 ah 1 -A hmac-md5 \"sixteen\noctets !\";"), None);
    }

    #[test]
    fn a_statement_remains_until_both_of_its_sas_are_removed() {
        let (mut sas, statement) = (AddedSas::default(), AddStatement::parse(SA).unwrap());
        let destination = "198.51.100.1".parse().unwrap();
        let ids = [SaId::inbound(destination, Protocol::Esp, 1), SaId::outbound(destination, Protocol::Esp, 1)];
        ids.iter().for_each(|id| sas.add(statement.clone(), *id));
        assert_eq!(sas.statements(), std::slice::from_ref(&statement));
        let (mut updated, other) = (AddedSas::default(), AddStatement::parse(&SA.replace("0011", "1111")).unwrap());
        [&statement, &other].iter().for_each(|own| updated.add((*own).clone(), ids[0]));
        assert_eq!(updated.statements(), [other]);
        assert!(sas.remove(|id| *id == ids[0]));
        assert_eq!(sas.statements(), [statement]);
        assert!(sas.remove(|id| *id == ids[1]) && !sas.remove(|id| *id == ids[1]));
        assert_eq!(sas.statements(), []);
    }
}
