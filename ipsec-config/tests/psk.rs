//! Pre-shared keys of racoon: psk.txt.
#![cfg(feature = "std")]

mod texts;

use ipsec_config::psk::{PskFile, PskIdentifier};
use ipsec_config::{Diagnostics, Language, Sources};
use texts::{Texts, errors, loaded, reports, shown, warnings};

fn file(text: &[u8]) -> PskFile {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::default());
    PskFile::parse("psk.txt", text.to_vec(), &mut sources, &mut diagnostics)
}

#[test]
fn the_first_line_that_matches_is_used() {
    let keys = file(
        b"# comment\n192.0.2.1\tfirst\n192.0.2.1 second\n2001:db8::1 six\ngw.example.org name of host\n\
          admin@example.org 0x000aff\n* any\n192.0.2.9 never\n",
    );
    let of = |address: Option<&str>, name: Option<&str>| keys.key(address.map(|own| own.parse().unwrap()), name);
    assert_eq!(of(Some("192.0.2.1"), None), Some(&b"first"[..]));
    assert_eq!(of(Some("2001:db8:0::1"), None), Some(&b"six"[..]));
    // The key is the rest of the line.
    assert_eq!(of(None, Some("gw.example.org")), Some(&b"name of host"[..]));
    assert_eq!(of(None, Some("admin@example.org")), Some(&[0, 10, 255][..]));
    assert_eq!(of(Some("192.0.2.9"), None), Some(&b"any"[..]));
    assert_eq!(keys.named("gw.example.org"), Some(&b"name of host"[..]));
    assert_eq!((keys.named("*"), keys.named("other")), (None, None));
    assert_eq!(keys.entries[5].identifier, PskIdentifier::Any);
}

#[test]
fn carriage_returns_and_blanks_are_part_of_the_key() {
    let keys = file(b"192.0.2.1 key\r\n192.0.2.2 key \n192.0.2.3 key\t\n");
    let found: Vec<_> = keys.entries.iter().map(|entry| entry.key.to_vec()).collect();
    assert_eq!(found, [b"key\r".to_vec(), b"key ".to_vec(), b"key\t".to_vec()]);
    let notes = warnings("192.0.2.1 key\r\n192.0.2.2 key \n", Language::Psk);
    assert_eq!(
        notes,
        [
            "1:1: the key ends with a carriage return, which is part of the key",
            "2:1: the key ends with a blank, which is part of the key"
        ]
    );
}

#[test]
fn lines_that_are_never_used_are_reported() {
    let notes = warnings("192.0.2.1 a\n192.0.2.1 b\n* c\n192.0.2.2 d\n # e\n", Language::Psk);
    let expected = [
        "2:1: an earlier line has the same identifier: this one is never used",
        "4:1: an earlier line with `*` matches every peer: this one is never used",
        "5:2: `#` begins a comment in the first column only: this line is a key",
        "5:2: an earlier line with `*` matches every peer: this one is never used",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn lines_without_a_key_are_refused() {
    let table: [(&[u8], &str); 6] = [
        (b"192.0.2.1\n", "1:1: expected a key after the identifier, found the end of the line"),
        (b"192.0.2.1 \n", "1:1: expected a key after the identifier"),
        (b"192.0.2.1 \r\n", "1:1: expected a key after the identifier"),
        (b"192.0.2.1 0x123\n", "1:1: expected pairs of hexadecimal digits after `0x`"),
        (b"192.0.2.1 0x\n", "1:1: expected pairs of hexadecimal digits after `0x`"),
        (b"\xff\xfe key\n", "1:1: expected an identifier in UTF-8"),
    ];
    for (text, expected) in table {
        let errors = errors(text, Language::Psk);
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{text:?}: {errors:?}");
    }
    let long = [b"192.0.2.1 ".as_slice(), &[b'k'; 2000]].concat();
    assert!(errors(&long, Language::Psk)[0].contains("expected a key of at most 256 octets"));
}

#[test]
fn keys_are_not_shown() {
    for text in ["192.0.2.1 HIDDEN\r\n192.0.2.1 HIDDEN\n", "x 0xHIDDEN\n", " # HIDDEN HIDDEN\n"] {
        let loaded = loaded(text, Language::Psk);
        let all = shown(&loaded);
        assert!(!all.contains("HIDDEN") && all.contains("***"), "{all}");
    }
}

#[test]
fn a_peer_without_a_line_is_reported() {
    let racoon = "path pre_shared_key \"psk.txt\"; remote 192.0.2.1 { exchange_mode main; proposal { \
                  encryption_algorithm aes; hash_algorithm sha1; authentication_method pre_shared_key; dh_group 14; } }";
    let missing = "the file of the pre-shared keys has no line for 192.0.2.1";
    for (text, is_missing) in [("192.0.2.2 key\n", true), ("192.0.2.1 key\n", false), ("* key\n", false)] {
        let texts = Texts::default().with("racoon.conf", racoon).with("psk.txt", text);
        let notes = reports(&texts.load("racoon.conf", Language::Racoon), ipsec_config::Severity::Warning);
        assert_eq!(notes.iter().any(|note| note.contains(missing)), is_missing, "{text}: {notes:?}");
    }
}
