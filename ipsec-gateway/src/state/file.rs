//! Text of the state file.
//!
//! ```text
//! version 1
//! salt 000102030405060708090a0b0c0d0e0f
//! out esp 198.51.100.1 0x00001001 key 0123.. sequence 4096 seen - added 1790000000 first - octets 0 packets 0
//! in esp 192.0.2.1 0x00001002 key fedc.. sequence 71 seen ff.. added 1790000000 first 1790000009 octets 84 packets 1
//! add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc 0x..;
//! digest ..
//! ```
//!
//! The statements `add` are those of SAs that were added to the running gateway, if the configuration allows that
//! their keys are stored.
//!
//! The digest is SHA2-256 of all octets before its line. It reveals damage, not a copy that is older or was made
//! by another program. A line that begins with `#` is a comment.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipsec_crypto::HashFunction;

use zeroize::Zeroizing;

use super::added::AddStatement;
use super::name::{Hex, KeyHash, SALT, SaName};

const COMMENT: &str = "\
# Sequence numbers and anti-replay windows of SAs with manual keys, written by ipsec-gatewayd. An older copy in the
# place of this file repeats sequence numbers and accepts replays. Give the SAs new keys if it is lost or damaged.
";
const VERSION: &str = "version 1";
const ADD: &str = "add ";
const DIGEST: &str = "digest ";
/// Length of the line of the digest in octets.
const DIGEST_LINE: usize = DIGEST.len() + 64 + 1;
/// Longest window in octets: that of 65,536 packets.
const MAX_SEEN: usize = 8192;

/// Contents of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// Random number of the file, for the hashes of keys.
    pub salt: [u8; SALT],
    /// SAs, also those that are no longer configured.
    pub sas: BTreeMap<SaName, SavedSa>,
    /// Statements of the SAs that were added to the running gateway, with their keys.
    pub added: Vec<AddStatement>,
}

/// State of an SA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedSa {
    /// Outbound: no packet has a higher number. Inbound: highest number of the window.
    pub sequence: u64,
    /// Numbers that an inbound SA no longer accepts, up to `sequence`, which is the last bit. Lower numbers are not
    /// accepted either.
    pub seen: Vec<u8>,
    /// Time at which the SA was first installed, in seconds since 1970.
    pub added: u64,
    /// Time of the first packet in seconds since 1970.
    pub first: Option<u64>,
    /// Octets of payload that were processed.
    pub octets: u64,
    /// Packets that were processed.
    pub packets: u64,
    /// Set if the hard limit was reached.
    pub is_expired: bool,
}

/// Damage of a file: the line and its expected contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Line number, counted from 1.
    pub line: usize,
    /// Contents that the line should have.
    pub expected: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}", self.line, self.expected)
    }
}

impl fmt::Display for SavedSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence {} seen ", self.sequence)?;
        if self.seen.is_empty() {
            f.write_str("-")?
        } else {
            write!(f, "{}", Hex(&self.seen))?
        }
        write!(f, " added {} first ", self.added)?;
        match self.first {
            Some(first) => write!(f, "{first}")?,
            None => f.write_str("-")?,
        }
        write!(f, " octets {} packets {}", self.octets, self.packets)?;
        f.write_str(if self.is_expired { " expired" } else { "" })
    }
}

impl SavedState {
    /// Returns the state without SAs.
    pub const fn new(salt: [u8; SALT]) -> Self {
        Self { salt, sas: BTreeMap::new(), added: Vec::new() }
    }

    /// Writes a complete file.
    pub fn text(&self) -> Zeroizing<String> {
        let mut sas = format!("{COMMENT}{VERSION}\nsalt {}\n", Hex(&self.salt));
        self.sas.iter().for_each(|(name, sa)| sas.push_str(&format!("{name} {sa}\n")));
        let keys: usize = self.added.iter().map(|own| own.text().len() + 1).sum();
        // One allocation: a larger one would leave a copy of the keys behind.
        let mut text = Zeroizing::new(String::with_capacity(sas.len() + keys + DIGEST_LINE));
        text.push_str(&sas);
        for statement in &self.added {
            text.push_str(statement.text());
            text.push('\n');
        }
        let digest = HashFunction::Sha2_256.digest(&[text.as_bytes()]);
        text.push_str(&format!("{DIGEST}{}\n", Hex(digest.expose())));
        text
    }

    /// Parses a complete file.
    ///
    /// # Errors
    /// [`Damage`].
    pub fn parse(octets: &[u8]) -> Result<Self, Damage> {
        const WHOLE: &str = "the digest of the lines before, at the end of the file";
        let lines = octets.iter().filter(|octet| **octet == b'\n').count();
        let damage = Damage { line: lines.max(1), expected: WHOLE };
        let text = std::str::from_utf8(octets).map_err(|_| damage)?;
        let body = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n')).ok_or(damage)?;
        let (body, digest) = (text.get(..body.0.len() + 1).unwrap_or_default(), body.1);
        let expected = HashFunction::Sha2_256.digest(&[body.as_bytes()]);
        let digest = digest.strip_prefix(DIGEST).and_then(hex).ok_or(damage)?;
        expected.verify(&digest).map_err(|_| damage)?;
        let mut lines = (1..).zip(body.lines()).filter(|(_, text)| !text.starts_with('#'));
        let mut next = |expected| lines.next().ok_or(Damage { line: 1, expected });
        let (line, version) = next(VERSION)?;
        if version != VERSION {
            return Err(Damage { line, expected: VERSION });
        }
        let expected = "`salt` and 32 hexadecimal digits";
        let (line, salt) = next(expected)?;
        let salt = salt.strip_prefix("salt ").and_then(hex).and_then(|salt| salt.try_into().ok());
        let mut state = Self::new(salt.ok_or(Damage { line, expected })?);
        for (line, text) in lines {
            if text.starts_with(ADD) {
                let statement = AddStatement::parse(text);
                state.added.push(statement.ok_or(Damage { line, expected: "a statement `add` of setkey(8)" })?);
                continue;
            }
            let (name, sa) = entry(text).ok_or(Damage { line, expected: "an SA" })?;
            if state.sas.insert(name, sa).is_some() {
                return Err(Damage { line, expected: "an SA that no line before has" });
            }
        }
        Ok(state)
    }
}

/// Words of a line.
struct Words<'t>(std::str::Split<'t, char>);

impl<'t> Words<'t> {
    fn value(&mut self, name: &str) -> Option<&'t str> {
        (self.0.next()? == name).then(|| self.0.next())?
    }

    fn number(&mut self, name: &str) -> Option<u64> {
        number(self.value(name)?)
    }
}

fn entry(text: &str) -> Option<(SaName, SavedSa)> {
    let mut words = Words(text.split(' '));
    let is_outbound = one_of(words.0.next()?, ["in", "out"])?;
    let is_ah = one_of(words.0.next()?, ["esp", "ah"])?;
    let (destination, port) = endpoint(words.0.next()?)?;
    let spi = u32::from_str_radix(words.0.next()?.strip_prefix("0x")?, 16).ok()?;
    let key = KeyHash(hex(words.value("key")?)?.try_into().ok()?);
    let name = SaName { is_outbound, is_ah, destination, port, spi, key };
    let sequence = words.number("sequence")?;
    let seen = words.value("seen")?;
    let seen = if seen == "-" { Vec::new() } else { hex(seen).filter(|seen| seen.len() <= MAX_SEEN)? };
    let added = words.number("added")?;
    let first = words.value("first")?;
    let first = if first == "-" { None } else { Some(number(first)?) };
    let (octets, packets) = (words.number("octets")?, words.number("packets")?);
    let is_expired = match words.0.next() {
        None => false,
        Some("expired") => true,
        Some(_) => return None,
    };
    words.0.next().is_none().then_some((name, SavedSa { sequence, seen, added, first, octets, packets, is_expired }))
}

/// Returns whether a word is the second of two.
fn one_of(word: &str, words: [&str; 2]) -> Option<bool> {
    let position = words.iter().position(|known| *known == word)?;
    Some(position == 1)
}

/// Parses an address, with a port in brackets if there is one.
fn endpoint(word: &str) -> Option<(IpAddr, Option<u16>)> {
    match word.strip_suffix(']') {
        Some(word) => {
            let (address, port) = word.split_once('[')?;
            Some((address.parse().ok()?, Some(port.parse().ok()?)))
        }
        None => Some((word.parse().ok()?, None)),
    }
}

fn number(word: &str) -> Option<u64> {
    word.bytes().all(|octet| octet.is_ascii_digit()).then(|| word.parse().ok())?
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> SavedState {
        let name = |is_outbound, is_ah, destination: &str, port| SaName {
            is_outbound,
            is_ah,
            destination: destination.parse().unwrap(),
            port,
            spi: 0x1001,
            key: KeyHash([0, 1, 2, 3, 4, 5, 6, 0xff]),
        };
        let mut state = SavedState::new([0xa5; SALT]);
        state
            .sas
            .insert(name(true, false, "198.51.100.1", Some(4500)), SavedSa { sequence: 4096, ..SavedSa::default() });
        state.sas.insert(
            name(false, true, "2001:db8::1", None),
            SavedSa {
                sequence: u64::MAX,
                seen: vec![0xff, 0, 0xf0, 1],
                added: 1_790_000_000,
                first: Some(1_790_000_001),
                octets: 12,
                packets: 3,
                is_expired: true,
            },
        );
        state
            .added
            .push(AddStatement::parse("add 192.0.2.1 192.0.2.2 ah 1 -A hmac-md5 \"sixteen octets !\";").unwrap());
        state
    }

    #[test]
    fn written_states_are_read_back() {
        for state in [state(), SavedState::new([1; SALT])] {
            assert_eq!(SavedState::parse(state.text().as_bytes()), Ok(state));
        }
    }

    #[test]
    fn truncated_and_modified_state_files_are_refused() {
        let (text, own) = (state().text().as_bytes().to_vec(), Ok(state()));
        for length in 0..text.len() {
            assert!(SavedState::parse(&text[..length]).is_err(), "{length} octets");
        }
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                let read = SavedState::parse(&changed);
                // Hexadecimal digits of the digest may be of either case.
                assert!(read.is_err() || read == own, "octet {at}, bit {bit}: {read:?}");
            }
        }
    }

    #[test]
    fn malformed_lines_with_a_digest_are_refused_with_their_number() {
        let with_digest =
            |text: &str| format!("{text}digest {}\n", Hex(HashFunction::Sha2_256.digest(&[text.as_bytes()]).expose()));
        let head = format!("version 1\nsalt {}\n", "00".repeat(SALT));
        let sa = "in esp 192.0.2.1 0x1001 key 0001020304050607 sequence 1 seen 0001 added 1 first - octets 0 packets 0";
        assert!(SavedState::parse(with_digest(&format!("{head}# text\n{sa}\n")).as_bytes()).is_ok());
        let refused = [
            (String::new(), 1),
            ("version 2\n".to_owned(), 1),
            ("version 1\nsalt 00\n".to_owned(), 2),
            (format!("{head}{sa}\n{sa}\n"), 4),
            (format!("{head}\n"), 3),
            (format!("{head}{sa} more\n"), 3),
            (format!("{head}{sa}\nadd 192.0.2.1 192.0.2.2 ah 1;flush;\n"), 4),
            (format!("{head}{}\n", sa.replace("sequence 1", "sequence -1")), 3),
            (format!("{head}{}\n", sa.replace("sequence 1", "sequence 18446744073709551616")), 3),
            (format!("{head}{}\n", sa.replace("seen 0001", "seen 000")), 3),
            (format!("{head}{}\n", sa.replace("key 00", "key ")), 3),
            (format!("{head}{}\n", sa.replace("192.0.2.1", "192.0.2.1[]")), 3),
            (format!("{head}{}\n", sa.replace("0x1001", "0x100000000")), 3),
            (format!("{head}{}\n", sa.replace("seen 0001", &format!("seen {}", "00".repeat(MAX_SEEN + 1)))), 3),
        ];
        for (text, line) in refused {
            let read = SavedState::parse(with_digest(&text).as_bytes());
            assert_eq!(read.map_err(|damage| damage.line).err(), Some(line), "{text:.200}");
        }
    }
}
