//! Rows of Wireshark's table `esp_sa`, as the program, its option `-o` and strongSwan write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipsec_crypto::{CipherAlgorithm, IntegrityAlgorithm, SuiteKeys};
use ipsec_packet::SeqWidth;
use ipsec_sa::{Mode, Protocol, SaId, SaParams, TransformParams};
use test_vectors::from_hex;
use zeroize::Zeroizing;

use super::SaKeys;
use super::addresses::AddressPattern;
use crate::wireshark::has_rows;

/// Prefix of the rows on the command line of Wireshark.
pub const PREFIX: &str = "uat:esp_sa:";
/// Fields of a row without those of extended sequence numbers.
const FIELDS: usize = 8;
/// Parts of the name of an integrity algorithm that only says how long the ICV is.
const UNCHECKED: (&str, &str) = ("ANY ", " bit authentication [no checking]");

/// Parses a table. Lines that begin with `#`, and rows and options of other kinds, are left out: in a text that has
/// rows with the prefix, other lines are those of this table only if they begin with a quote.
pub fn parse(text: &[u8]) -> Result<Vec<SaKeys>, String> {
    let text = Zeroizing::new(String::from_utf8_lossy(text).into_owned());
    let mut sas = Vec::new();
    let is_prefixed = has_rows(text.as_bytes(), PREFIX);
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        let row = match line.split_once(PREFIX) {
            // The quotes of a shell around the option.
            Some((before, _)) if before.starts_with('#') => continue,
            Some((_, row)) if row.starts_with("\\\"") => row.trim_end().trim_end_matches('"').trim_end_matches('\\'),
            Some((_, row)) => row.trim_end_matches(['\'', ' ']),
            None if line.is_empty() || line.starts_with('#') || line.starts_with("uat:") => continue,
            None if is_prefixed && !line.starts_with('"') => continue,
            None => line,
        };
        let row = Zeroizing::new(match row.starts_with("\\\"") {
            true => row.replace("\\\"", "\"") + "\"",
            false => row.to_owned(),
        });
        let sa = parse_row(&row).map_err(|e| format!("line {}: {e}", number + 1))?;
        sas.push(sa);
    }
    Ok(sas)
}

fn parse_row(row: &str) -> Result<SaKeys, String> {
    let fields = fields(row).ok_or("a quoted field has no end")?;
    let [protocol, source, destination, spi, cipher, cipher_key, integrity, integrity_key] =
        fields.get(..FIELDS).and_then(|fields| fields.first_chunk::<FIELDS>()).ok_or_else(|| {
            format!("{} fields, expected {FIELDS}: protocol, source, destination, SPI, encryption algorithm and key, authentication algorithm and key", fields.len())
        })?;
    let [protocol, source, destination, spi] = [protocol, source, destination, spi].map(|field| field.as_str());
    let is_v4 = match protocol {
        "IPv4" => true,
        "IPv6" => false,
        _ => return Err(format!("protocol: got {protocol:?}, expected \"IPv4\" or \"IPv6\"")),
    };
    let address = |name: &str, text: &str| {
        let expected = || format!("{name}: got {text:?}, expected an {protocol} address, with a prefix length, or *");
        match AddressPattern::parse(text).ok_or_else(expected)? {
            AddressPattern::Any => Ok(AddressPattern::Prefix(unspecified(is_v4), 0)),
            pattern @ AddressPattern::Prefix(address, _) if address.is_ipv4() == is_v4 => Ok(pattern),
            AddressPattern::Prefix(..) => Err(expected()),
        }
    };
    let (source, destination) = (address("source", source)?, address("destination", destination)?);
    let any_spi = spi == "*";
    let number = if any_spi { Some(0) } else { number(spi) };
    let number = number.ok_or_else(|| format!("SPI: got {spi:?}, expected a number such as 0x00001001, or *"))?;
    let (cipher, integrity, unchecked_icv) = algorithms(cipher, integrity)?;
    let cipher_key = key("encryption key", cipher_key)?;
    let integrity_key = key("authentication key", integrity_key)?;
    let keys = SuiteKeys::new(cipher, &cipher_key, integrity, &integrity_key).map_err(|e| format!("key: {e}"))?;
    let has_icv = cipher.row().is_some_and(|row| row.icv > 0) || integrity != IntegrityAlgorithm::None;
    let transform = if has_icv { TransformParams::Esp(keys) } else { TransformParams::EspWithoutIntegrity(keys) };
    let id = SaId::inbound(unspecified(is_v4), Protocol::Esp, number);
    let mut params = SaParams::new(id, unspecified(is_v4), transform);
    params.mode = Mode::Any;
    // Newer versions add the length of the sequence number, and its upper half.
    if fields.get(FIELDS).is_some_and(|field| field.contains("64") || field.eq_ignore_ascii_case("true")) {
        params.sequence = SeqWidth::Extended64;
    }
    let keys = SaKeys { params, source, destination, has_mode: false, is_used: false, any_spi, unchecked_icv };
    check(&keys)?;
    Ok(keys)
}

/// Checks that the algorithms are available and that the keys have their lengths.
fn check(keys: &SaKeys) -> Result<(), String> {
    let (TransformParams::Esp(own) | TransformParams::EspWithoutIntegrity(own)) = &keys.params.transform else {
        return Ok(());
    };
    let length = |name: &str, algorithm: String, got: usize, allowed: ipsec_crypto::KeyLengths| {
        (!allowed.allow(got)).then(|| format!("{name}: got {got} octets, expected {allowed} for {algorithm}"))
    };
    let cipher = own
        .cipher
        .row()
        .filter(|row| row.algorithm != CipherAlgorithm::Null)
        .and_then(|row| length("encryption key", own.cipher.to_string(), own.cipher_key.expose().len(), row.keys));
    let integrity = own.integrity.row().and_then(|row| {
        length("authentication key", own.integrity.to_string(), own.integrity_key.expose().len(), row.keys)
    });
    match cipher.or(integrity) {
        Some(problem) => Err(problem),
        None => super::open::suite(keys).map(drop).map_err(|e| e.to_string()),
    }
}

/// Returns the algorithms with these names, and the octets of an ICV that is not verified.
fn algorithms(cipher: &str, integrity: &str) -> Result<(CipherAlgorithm, IntegrityAlgorithm, usize), String> {
    let unchecked = integrity.strip_prefix(UNCHECKED.0).and_then(|rest| rest.strip_suffix(UNCHECKED.1));
    let unchecked: Option<usize> = unchecked.and_then(|bits| bits.parse().ok()).map(|bits: usize| bits / 8);
    let is_named = |wireshark: Option<&str>, own: &str, name: &str| wireshark == Some(name) || own == name;
    let cipher = match (cipher, unchecked) {
        // Older versions have one name for all lengths of the ICV, which is that of the other field.
        ("AES-GCM [RFC4106]", Some(8)) => CipherAlgorithm::AesGcm8,
        ("AES-GCM [RFC4106]", Some(12)) => CipherAlgorithm::AesGcm12,
        ("AES-GCM [RFC4106]", _) => CipherAlgorithm::AesGcm16,
        (name, _) => {
            let row = CipherAlgorithm::ALL.iter().find(|row| is_named(row.wireshark, row.name, name));
            row.map(|row| row.algorithm).ok_or_else(|| {
                let names =
                    CipherAlgorithm::ALL.iter().map(|row| row.wireshark.unwrap_or(row.name)).collect::<Vec<_>>();
                format!("encryption algorithm: got {name:?}, expected one of: {}", names.join(", "))
            })?
        }
    };
    let has_own_icv = cipher.row().is_some_and(|row| row.icv > 0);
    match unchecked {
        Some(_) if has_own_icv => Ok((cipher, IntegrityAlgorithm::None, 0)),
        Some(octets) => Ok((cipher, IntegrityAlgorithm::None, octets)),
        None => {
            let row = IntegrityAlgorithm::ALL.iter().find(|row| is_named(row.wireshark, row.name, integrity));
            let found = row.map(|row| (cipher, row.algorithm, 0));
            found.ok_or_else(|| {
                let rows = IntegrityAlgorithm::ALL.iter();
                let names = rows.map(|row| row.wireshark.unwrap_or(row.name)).collect::<Vec<_>>();
                format!("authentication algorithm: got {integrity:?}, expected one of: {}", names.join(", "))
            })
        }
    }
}

const fn unspecified(is_v4: bool) -> IpAddr {
    if is_v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Parses a key in hexadecimal; an empty one may have the prefix. A text in other characters is the key itself.
fn key(name: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => from_hex(digits).map(Zeroizing::new).ok_or_else(|| {
            let count = digits.len();
            let odd = if count.is_multiple_of(2) {
                "characters other than hexadecimal digits"
            } else {
                "an odd number of digits"
            };
            format!("{name}: {odd}, expected hexadecimal after 0x")
        }),
        None => Ok(Zeroizing::new(text.as_bytes().to_vec())),
    }
}

/// Splits a row at commas outside quotes. In quotes, `""` is a quote, and `\xHH` an octet.
fn fields(row: &str) -> Option<Vec<Zeroizing<String>>> {
    let mut fields = Vec::new();
    let mut rest = row.trim();
    loop {
        let mut field = Zeroizing::new(String::new());
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let (text, behind) = quoted.split_once('"')?;
                field.push_str(text);
                quoted = behind;
                match behind.strip_prefix('"') {
                    Some(behind) => {
                        field.push('"');
                        quoted = behind;
                    }
                    None => break,
                }
            }
            field = unescaped(&field);
            rest = quoted.trim_start();
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.push_str(rest[..end].trim());
            rest = &rest[end..];
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => return Some(fields),
        }
    }
}

fn unescaped(field: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(field.len()));
    let mut rest = field;
    while let Some((before, escape)) = rest.split_once("\\x") {
        text.push_str(before);
        let octet = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet {
            Some(octet) => {
                text.push(char::from(octet));
                rest = &escape[2..];
            }
            None => {
                text.push_str("\\x");
                rest = escape;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0x000102030405060708090a0b0c0d0e0f";

    fn row(cipher: &str, key: &str, integrity: &str, auth: &str) -> String {
        format!("\"IPv4\",\"192.0.2.1\",\"*\",\"0x00001001\",\"{cipher}\",\"{key}\",\"{integrity}\",\"{auth}\"")
    }

    #[test]
    fn rows_are_read_with_and_without_a_prefix() {
        let plain = row("AES-CBC [RFC3602]", KEY, "HMAC-MD5-96 [RFC2403]", KEY);
        let shell = format!("-o 'uat:esp_sa:{plain}'");
        let escaped = format!("-o \"uat:esp_sa:{}\"", plain.replace('"', "\\\""));
        let text = format!(
            "# comment\n\n{plain}\nuat:esp_sa:{plain}\n{shell}\nuat:other:1\n-o uat:ikev1_decryption_table:0011223344556677,aa\nesp.enable_encryption_decode: TRUE\n# {PREFIX}no row\n{escaped}\n{plain},\"64-bit\"\n"
        );
        let sas = parse(text.as_bytes()).unwrap();
        assert_eq!(sas.len(), 5);
        assert!(sas.iter().all(|sa| sa.params.id.spi == 0x1001 && !sa.has_mode && !sa.any_spi));
        assert_eq!(sas[4].params.sequence, SeqWidth::Extended64);
        assert!(sas[0].source.matches("192.0.2.1".parse().unwrap()));
        assert!(!sas[0].source.matches("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn one_name_of_gcm_has_the_icv_of_the_other_field() {
        let key = format!("{KEY}10111213");
        for (bits, cipher) in
            [("64", CipherAlgorithm::AesGcm8), ("96", CipherAlgorithm::AesGcm12), ("128", CipherAlgorithm::AesGcm16)]
        {
            let integrity = format!("ANY {bits} bit authentication [no checking]");
            let sas = parse(row("AES-GCM [RFC4106]", &key, &integrity, "0x").as_bytes()).unwrap();
            let TransformParams::Esp(keys) = &sas[0].params.transform else { panic!("{bits}") };
            assert_eq!((keys.cipher, sas[0].unchecked_icv), (cipher, 0));
        }
        let sas =
            parse(row("AES-CBC [RFC3602]", KEY, "ANY 96 bit authentication [no checking]", "").as_bytes()).unwrap();
        assert_eq!(sas[0].unchecked_icv, 12);
    }

    #[test]
    fn errors_name_the_field_and_contain_no_key() {
        let sha = "HMAC-SHA-1-96 [RFC2404]";
        let table = [
            ("\"IPv4\",\"*\"".to_owned(), "2 fields, expected 8"),
            ("\"IPv5\",\"*\",\"*\",\"1\",\"NULL\",\"\",\"NULL\",\"\"".to_owned(), "protocol: got \"IPv5\""),
            ("\"IPv4\",\"::1\",\"*\",\"1\",\"NULL\",\"\",\"NULL\",\"\"".to_owned(), "source: got \"::1\""),
            ("\"IPv4\",\"*\",\"host\",\"1\",\"NULL\",\"\",\"NULL\",\"\"".to_owned(), "destination: got \"host\""),
            ("\"IPv4\",\"*\",\"*\",\"0xg\",\"NULL\",\"\",\"NULL\",\"\"".to_owned(), "SPI: got \"0xg\""),
            (row("AES", KEY, sha, KEY), "encryption algorithm: got \"AES\", expected one of: NULL, DES-CBC [RFC2405]"),
            (row("NULL", "", "SHA1", KEY), "authentication algorithm: got \"SHA1\", expected one of:"),
            (row("AES-CBC [RFC3602]", "0x00010203", sha, KEY), "encryption key: got 4 octets, expected 16"),
            (row("AES-CBC [RFC3602]", "0x123", sha, KEY), "encryption key: an odd number of digits"),
            (row("AES-CBC [RFC3602]", "0x0g", sha, KEY), "encryption key: characters other than"),
            (format!("\"IPv4\",\"*{KEY}"), "no end"),
        ];
        for (text, reason) in table {
            let said = parse(text.as_bytes()).err().unwrap_or_default();
            assert!(said.starts_with("line 1: ") && said.contains(reason), "{reason} in {said}");
            assert!(!said.contains("0a0b0c"), "{said}");
        }
    }

    #[test]
    fn quotes_and_octets_are_unescaped() {
        let texts = |row: &str| fields(row).map(|all| all.iter().map(|field| field.to_string()).collect::<Vec<_>>());
        assert_eq!(texts("\"a\",\"b"), None);
        assert_eq!(texts("\"a\",\"b\"\""), None);
        assert_eq!(texts("\"a\",\"\""), Some(vec!["a".into(), String::new()]));
        assert_eq!(texts(r#""a\x2cb" , c,"d""e""#), Some(vec!["a,b".into(), "c".into(), "d\"e".into()]));
    }
}
