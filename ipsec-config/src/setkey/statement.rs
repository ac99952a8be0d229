use core::net::IpAddr;

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm};

use super::algorithm::{Algorithm, CIPHERS, Key, MACS, Salted, check_key, find, resembles_algorithm};
use super::error::{Fault, Location, Place, SetkeyError, SetkeyErrorKind};
use super::lexer::{Lexer, Token};
use super::policy::{self, PolicyStatement};
use super::values::{
    End, Family, HostNames, STATEMENTS, SaProtocol, SaSpec, SecurityContext, address, argument, context, end,
    error_at_word, hosts, natt_end, only_protocol, protocol, spi, word,
};
use ipsec_sa::{CompressionAlgorithm, Mode};

/// Limits of an SA; 0 for no limit (RFC 4301 section 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lifetimes {
    /// Hard limit in seconds, option `-lh`.
    pub hard_seconds: u64,
    /// Soft limit in seconds, option `-ls`.
    pub soft_seconds: u64,
    /// Hard limit in octets, option `-bh`.
    pub hard_bytes: u64,
    /// Soft limit in octets, option `-bs`.
    pub soft_bytes: u64,
}

/// Contents of the ESP padding, option `-f` (RFC 4303 section 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Padding {
    /// Octets 1, 2, 3 and so on, as RFC 4303 requires.
    #[default]
    Sequence,
    /// Octets of value 0.
    Zero,
    /// Octets of random value.
    Random,
}

/// Statement `add`: an SA with its keys (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Add<'a> {
    /// Addresses, protocol and SPI of the SA.
    pub id: SaSpec,
    /// Source address that the peer behind a NAT has in its packets, for `esp-udp`.
    pub original_address: Option<IpAddr>,
    /// Original addresses of both peers, and the ports of UDP encapsulation, option `-natt` of FreeBSD.
    pub natt: Option<(End, End)>,
    /// Largest size of a packet in UDP, options `-natt_mtu` of FreeBSD and `-esp_frag` of NetBSD.
    pub natt_mtu: u16,
    /// Mode of the SA, option `-m`.
    pub mode: Mode,
    /// Request ID of the SA, option `-u`.
    pub reqid: u32,
    /// Size of the window in octets of eight packets each, option `-r`.
    pub window_octets: u32,
    /// Soft and hard limits of the SA.
    pub lifetimes: Lifetimes,
    /// Set if sequence numbers may wrap to 0. This is the default of KAME, which no current system implements.
    pub cyclic: bool,
    /// Set for extended sequence numbers of 64 bits, option `-esn`.
    pub extended: bool,
    /// Contents of the ESP padding.
    pub padding: Padding,
    /// Security context of mandatory access control.
    pub context: Option<SecurityContext<'a>>,
    /// Encryption algorithm and its key, option `-E`.
    pub cipher: Option<(&'static Algorithm<CipherAlgorithm>, Key<'a>)>,
    /// Authentication algorithm and its key, option `-A`.
    pub mac: Option<(&'static Algorithm<IntegrityAlgorithm>, Key<'a>)>,
    /// Compression algorithm, option `-C`, and whether the SPI is the CPI on the wire, option `-R`.
    pub compression: Option<(CompressionAlgorithm, bool)>,
}

/// Statement of a configuration text (setkey(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // there is no heap to put it on, and no need to keep it
#[non_exhaustive]
pub enum Statement<'a> {
    /// Statement `add`, which installs an SA.
    Add(Add<'a>),
    /// Statement `update` of NetBSD, which replaces an SA.
    Update(Add<'a>),
    /// Statement `delete`, which removes an SA.
    Delete(SaSpec),
    /// Statement `deleteall`, which removes all SAs of a protocol between two hosts.
    DeleteAll {
        /// Source address of the SAs.
        source: IpAddr,
        /// Destination address of the SAs.
        destination: IpAddr,
        /// Security protocol of the SAs.
        protocol: SaProtocol,
    },
    /// Statement `get`, which shows an SA.
    Get(SaSpec),
    /// Statement `flush`, which removes all SAs of one protocol or of all.
    Flush(Option<SaProtocol>),
    /// Statement `dump`, which shows all SAs of one protocol or of all.
    Dump(Option<SaProtocol>),
    /// Statement `spdadd`, which adds a policy.
    SpdAdd(PolicyStatement<'a>),
    /// Statement `spdupdate`, which replaces a policy.
    SpdUpdate(PolicyStatement<'a>),
    /// Statement `spddelete`, which removes a policy.
    SpdDelete(PolicyStatement<'a>),
    /// Statement `spdflush`, which removes all policies.
    SpdFlush,
    /// Statement `spddump`, which shows all policies.
    SpdDump,
    /// Statement `exit`, `quit` or `bye`, which ends the text.
    Exit,
}

/// Reader of the statements of a text (setkey(8)). `exit`, `quit` and `bye` end the text; the rest is ignored.
#[derive(Clone, Debug)]
pub struct Statements<'a> {
    lexer: Lexer<'a>,
    /// Offset of the statement that was read last.
    begin: usize,
    place: Place,
}

impl<'a> Statements<'a> {
    /// Creates a reader of a text.
    pub const fn of(text: &'a str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    /// Creates a reader of a file whose comments and quoted keys may contain any octets. A byte order mark in front
    /// is skipped.
    pub const fn of_bytes(text: &'a [u8]) -> Self {
        Self { lexer: Lexer::new(text), begin: 0, place: Place::START }
    }

    /// Sets the resolver of the host names in the text.
    #[must_use]
    pub const fn with_names(self, names: &'a dyn HostNames) -> Self {
        Self { lexer: self.lexer.with_names(names), ..self }
    }

    /// Reads the next statement. Returns `None` at the end of the text (setkey(8)).
    ///
    /// # Errors
    /// [`SetkeyError`]; the next call continues after the invalid statement.
    #[allow(clippy::should_implement_trait)] // it can fail
    pub fn next(&mut self) -> Result<Option<Statement<'a>>, SetkeyError> {
        // Empty statements are skipped here, and not again after an error after them.
        while let Ok(Token::Semicolon) = self.lexer.peek() {
            let _ = self.lexer.next();
        }
        let before = self.lexer.clone();
        let result = self.statement();
        match result {
            Ok(Some(Statement::Exit)) => self.lexer.finish(),
            Ok(_) => {}
            Err(_) => {
                self.lexer = before;
                self.lexer.recover();
            }
        }
        result.map_err(|fault| {
            // The position stays at the beginning of the statement for `location`, so that each octet is counted at
            // most twice.
            self.location();
            fault.report(self.lexer.text(), &mut self.place.clone())
        })
    }

    /// Returns the position of the statement that was read last.
    pub fn location(&mut self) -> Location {
        self.place.move_to(self.lexer.text(), self.begin)
    }

    /// Returns the octets of the statement that was read last, without the `;`.
    #[cfg(feature = "std")]
    pub(super) fn span(&self, file: crate::FileId) -> crate::Span {
        crate::Span { file, begin: self.begin, end: self.lexer.position().max(self.begin) }
    }

    fn statement(&mut self) -> Result<Option<Statement<'a>>, Fault<'a>> {
        let lexer = &mut self.lexer;
        let first = lexer.next();
        self.begin = first.map_or_else(|fault| fault.at, |_| lexer.position());
        let name = match first? {
            Token::End => return Ok(None),
            Token::Word(name) => name,
            Token::Semicolon | Token::Quoted(_) => return Err(lexer.error("", SetkeyErrorKind::Statement)),
        };
        let statement = match name {
            "add" => Statement::Add(add(lexer)?),
            "update" => Statement::Update(add(lexer)?),
            "delete" => Statement::Delete(only_id(lexer)?),
            "get" => Statement::Get(only_id(lexer)?),
            "deleteall" => delete_all(lexer)?,
            "flush" => Statement::Flush(only_protocol(lexer)?),
            "dump" => Statement::Dump(only_protocol(lexer)?),
            "spdadd" => Statement::SpdAdd(policy::statement(lexer, false)?),
            "spdupdate" => Statement::SpdUpdate(policy::statement(lexer, false)?),
            "spddelete" => Statement::SpdDelete(policy::statement(lexer, true)?),
            "spdflush" => end(lexer).map(|()| Statement::SpdFlush)?,
            "spddump" => end(lexer).map(|()| Statement::SpdDump)?,
            "exit" | "quit" | "bye" => end(lexer).map(|()| Statement::Exit)?,
            other => return Err(lexer.error(other, SetkeyErrorKind::Statement)),
        };
        Ok(Some(statement))
    }
}

fn only_id<'a>(lexer: &mut Lexer<'a>) -> Result<SaSpec, Fault<'a>> {
    let (source, destination) = hosts(lexer)?;
    let protocol = protocol(lexer)?;
    let spi = spi(lexer, protocol)?;
    let id = SaSpec { source, destination, protocol, spi };
    // Options are allowed here and have no effect.
    options(lexer, &mut Add::new(id)).map(|()| id)
}

fn delete_all<'a>(lexer: &mut Lexer<'a>) -> Result<Statement<'a>, Fault<'a>> {
    let ((source, _), (destination, _)) = hosts(lexer)?;
    let protocol = protocol(lexer)?;
    end(lexer).map(|()| Statement::DeleteAll { source, destination, protocol })
}

impl Add<'_> {
    //= RFC 4303 3.3.3/3
    //# SHOULD NOT: anti-replay is provided for manually distributed keys
    const fn new(id: SaSpec) -> Self {
        Self {
            id,
            original_address: None,
            natt: None,
            natt_mtu: 0,
            mode: Mode::Any,
            reqid: 0,
            window_octets: 0,
            lifetimes: Lifetimes { hard_seconds: 0, soft_seconds: 0, hard_bytes: 0, soft_bytes: 0 },
            cyclic: true,
            extended: false,
            padding: Padding::Sequence,
            context: None,
            cipher: None,
            mac: None,
            compression: None,
        }
    }
}

fn add<'a>(lexer: &mut Lexer<'a>) -> Result<Add<'a>, Fault<'a>> {
    let (source, destination) = hosts(lexer)?;
    let protocol = protocol(lexer)?;
    let at = lexer.position();
    let original_address = match (protocol, lexer.peek()?) {
        (SaProtocol::EspUdp, Token::Word(text)) => address(text, Family::Any),
        (SaProtocol::EspUdp, Token::Quoted(text)) => {
            core::str::from_utf8(text).ok().and_then(|text| address(text, Family::Any))
        }
        _ => None,
    };
    if original_address.is_some() {
        lexer.next()?;
    }
    let spi = spi(lexer, protocol)?;
    let mut sa = Add { original_address, ..Add::new(SaSpec { source, destination, protocol, spi }) };
    options(lexer, &mut sa)?;
    check_combination(&sa).map_err(|kind| lexer.error_at(at, protocol.name(), kind))?;
    Ok(sa)
}

/// Parses options up to the semicolon.
fn options<'a>(lexer: &mut Lexer<'a>, sa: &mut Add<'a>) -> Result<(), Fault<'a>> {
    loop {
        match lexer.next()? {
            Token::Semicolon => return Ok(()),
            Token::Word(name) => option(lexer, sa, name)?,
            // The string may be a misplaced key, so it is not shown.
            Token::Quoted(_) => return Err(lexer.error("", SetkeyErrorKind::Expected("an option"))),
            Token::End => return Err(lexer.error("", SetkeyErrorKind::Missing(";"))),
        }
    }
}

fn option<'a>(lexer: &mut Lexer<'a>, sa: &mut Add<'a>, name: &'a str) -> Result<(), Fault<'a>> {
    match name {
        "-m" => {
            let text = word(lexer, "a mode")?;
            sa.mode = Mode::by_name(text).ok_or(lexer.error(text, SetkeyErrorKind::Mode))?;
        }
        "-u" => sa.reqid = argument(lexer)?,
        "-r" => sa.window_octets = argument(lexer)?,
        "-lh" => sa.lifetimes.hard_seconds = argument(lexer)?,
        "-ls" => sa.lifetimes.soft_seconds = argument(lexer)?,
        "-bh" => sa.lifetimes.hard_bytes = argument(lexer)?,
        "-bs" => sa.lifetimes.soft_bytes = argument(lexer)?,
        "-esn" => sa.extended = true,
        "-natt" => sa.natt = Some((natt_end(lexer)?, natt_end(lexer)?)),
        "-natt_mtu" | "-esp_frag" => sa.natt_mtu = argument(lexer)?,
        "-f" => match word(lexer, "a flag")? {
            "cyclic-seq" => sa.cyclic = true,
            "nocyclic-seq" => sa.cyclic = false,
            "seq-pad" => sa.padding = Padding::Sequence,
            "zero-pad" => sa.padding = Padding::Zero,
            "random-pad" => sa.padding = Padding::Random,
            other => return Err(lexer.error(other, SetkeyErrorKind::Option)),
        },
        "-ctx" => sa.context = Some(context(lexer)?),
        "-E" if sa.cipher.is_none() => sa.cipher = Some(keyed(lexer, CIPHERS)?),
        "-A" if sa.mac.is_none() => sa.mac = Some(keyed(lexer, MACS)?),
        "-C" if sa.compression.is_none() => {
            let text = word(lexer, "a compression")?;
            let known = CompressionAlgorithm::by_name(text).ok_or(lexer.error(text, SetkeyErrorKind::Algorithm))?;
            sa.compression = Some((known, false));
        }
        "-R" => match &mut sa.compression {
            Some((_, raw)) if !*raw => *raw = true,
            _ => return Err(lexer.error(name, SetkeyErrorKind::Option)),
        },
        other if other.starts_with('-') || STATEMENTS.contains(&other) => {
            return Err(error_at_word(lexer, other, SetkeyErrorKind::Option));
        }
        // The word may be a misplaced key as well.
        _ => return Err(lexer.error("", SetkeyErrorKind::Expected("an option"))),
    }
    Ok(())
}

/// Parses an algorithm and its key. The key of an algorithm without one is optional.
fn keyed<'a, T: Salted>(
    lexer: &mut Lexer<'a>,
    table: &'static [Algorithm<T>],
) -> Result<(&'static Algorithm<T>, Key<'a>), Fault<'a>> {
    let name = match lexer.next()? {
        Token::Word(name) if !name.starts_with("0x") && !name.starts_with("0X") => name,
        Token::Word(_) | Token::Quoted(_) => return Err(lexer.error("", SetkeyErrorKind::Expected("an algorithm"))),
        Token::Semicolon | Token::End => return Err(lexer.error("", SetkeyErrorKind::Missing("an algorithm"))),
    };
    let shown = if resembles_algorithm(name) { name } else { "" };
    let algorithm = find(table, name).ok_or(lexer.error(shown, SetkeyErrorKind::Algorithm))?;
    let key = match lexer.peek()? {
        Token::Quoted(text) => Key::Text(text),
        // The word is an option or the end of the statement, and no key.
        Token::Word(option) if option.starts_with('-') && algorithm.min_bits == 0 => {
            return Ok((algorithm, Key::Text(&[])));
        }
        Token::Semicolon if algorithm.min_bits == 0 => return Ok((algorithm, Key::Text(&[]))),
        Token::Word(digits) => {
            lexer.next()?;
            let key = Key::hex(digits).ok_or(lexer.error("", SetkeyErrorKind::Key))?;
            check_key(algorithm, &key).map_err(|kind| lexer.error(name, kind))?;
            return Ok((algorithm, key));
        }
        Token::Semicolon | Token::End => return Err(lexer.error("", SetkeyErrorKind::Missing("a key"))),
    };
    lexer.next()?;
    check_key(algorithm, &key).map_err(|kind| lexer.error(name, kind))?;
    Ok((algorithm, key))
}

/// Checks the combination of algorithms: ESP needs a cipher, AH an authentication algorithm only, IPComp a
/// compression algorithm only. The old protocols have rules of their own.
fn check_combination(sa: &Add<'_>) -> Result<(), SetkeyErrorKind> {
    let has = (sa.cipher.is_some(), sa.mac.is_some(), sa.compression.is_some());
    let complete = match sa.id.protocol {
        SaProtocol::Esp | SaProtocol::EspOld | SaProtocol::EspUdp => matches!(has, (true, _, false)),
        SaProtocol::Ah | SaProtocol::AhOld | SaProtocol::Tcp => has == (false, true, false),
        SaProtocol::Ipcomp => has == (false, false, true),
    };
    if !complete {
        return Err(SetkeyErrorKind::Algorithms);
    }
    let old = matches!(sa.id.protocol, SaProtocol::EspOld | SaProtocol::AhOld);
    let named = |name| sa.cipher.is_some_and(|(cipher, _)| cipher.name == name);
    let tcp_md5 = sa.mac.is_some_and(|(mac, _)| mac.name == "tcp-md5");
    match sa.cipher {
        _ if old && sa.window_octets != 0 => Err(SetkeyErrorKind::OldProtocol("-r")),
        _ if named("des-deriv") && old => Err(SetkeyErrorKind::OldProtocol("des-deriv")),
        _ if named("des-32iv") && !old => Err(SetkeyErrorKind::OldProtocol("des-32iv")),
        _ if tcp_md5 != (sa.id.protocol == SaProtocol::Tcp) => Err(SetkeyErrorKind::OldProtocol("tcp-md5")),
        // An AEAD provides its own integrity.
        Some((cipher, _)) if cipher.is_aead() && sa.mac.is_some() => {
            Err(SetkeyErrorKind::RedundantIntegrity(cipher.name))
        }
        _ => Ok(()),
    }
}
