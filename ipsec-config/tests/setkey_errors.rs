//! Errors of setkey(8) statements: locations, and absence of keys.

use ipsec_config::setkey::{Location, SetkeyErrorKind as Kind, Statement, Statements};

const ADD: &str = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc \"sixteen octets!!\" -A hmac-sha1 \"twenty octets it has\";";

/// Returns line, column and success of each statement or error.
fn locations(text: &[u8]) -> Vec<(u32, u32, bool)> {
    let mut statements = Statements::of_bytes(text);
    let mut places = Vec::new();
    loop {
        match statements.next() {
            Ok(None) => return places,
            Ok(Some(_)) => {
                let Location { line, column } = statements.location();
                places.push((line, column, true));
            }
            Err(e) => places.push((e.line, e.column, false)),
        }
    }
}

#[test]
fn line_and_column_are_correct_after_errors() {
    let text = format!("flush;\n  x; {ADD}\n# é\n\té x;\nspdflush; flush\n;; y;");
    assert_eq!(
        locations(text.as_bytes()),
        [(1, 1, true), (2, 3, false), (2, 6, true), (4, 2, false), (5, 1, true), (5, 11, true), (6, 4, false)]
    );
}

#[test]
fn non_utf8_octets_are_refused_outside_comments_and_keys() {
    let key = b"add 192.0.2.1 198.51.100.1 ah 0x1001 -A hmac-md5 \"\xff\x00\n;#\x80789012345f\";";
    let text = [b"\xef\xbb\xbf# Z\xfcrich\nfl\xfcsh; flush;".as_slice(), key].concat();
    let mut statements = Statements::of_bytes(&text);
    let error = statements.next().unwrap_err();
    assert_eq!((error.line, error.column, error.kind), (2, 1, Kind::NotUtf8));
    assert_eq!(statements.next(), Ok(Some(Statement::Flush(None))));
    let Ok(Some(Statement::Add(add))) = statements.next() else { panic!("not an SA") };
    let mut octets = [0; 16];
    assert_eq!(add.mac.unwrap().1.decode(&mut octets).unwrap(), b"\xff\x00\n;#\x80789012345f");
    let written = Statement::Add(add).to_string();
    assert!(written.contains("0xff000a3b238037383930313233343566"), "{written}");
}

#[test]
fn permuted_words_with_keys_show_no_key_in_errors() {
    let words = [
        "add",
        "192.0.2.1",
        "198.51.100.1",
        "esp",
        "0x1001",
        "-m",
        "tunnel",
        "-u",
        "7",
        "-E",
        "aes-cbc",
        "0x5ec2e75ec2e75ec2e75ec2e75ec2e7ff",
        "-A",
        "hmac-sha1",
        "\"5ec2e75ec2e75ec2e7ab\"",
        ";",
    ];
    let mut errors = 0;
    let mut check = |words: &[String]| {
        let text = words.join(" ");
        let mut statements = Statements::of(&text);
        loop {
            match statements.next() {
                Ok(None) => return,
                Ok(Some(statement)) => assert!(!format!("{statement:?}").contains("5ec2e7"), "{text}"),
                Err(error) => {
                    errors += 1;
                    assert!(!format!("{error} {error:?}").contains("5ec2e7"), "{text}: {error}");
                }
            }
        }
    };
    let words = words.map(str::to_owned).to_vec();
    for one in 0..words.len() {
        for other in 0..words.len() {
            let mut swapped = words.clone();
            swapped.swap(one, other);
            check(&swapped);
            let mut bare = words.clone();
            bare[one] = words[one].trim_matches('"').trim_start_matches("0x").to_owned();
            bare.swap(one, other);
            check(&bare);
            let mut joined = words.clone();
            joined[one] = format!("{}{}", words[one], words[other]);
            check(&joined);
            let mut removed = words.clone();
            removed.remove(one);
            check(&removed);
            let mut cut = words.clone();
            let rest = cut[one].split_off(other.min(words[one].len()));
            cut.insert(one + 1, rest);
            check(&cut);
        }
    }
    assert!(errors > 500, "{errors}");
}

#[test]
fn passphrase_in_place_of_an_algorithm_is_not_shown() {
    for (words, shown) in
        [("-A correcthorse hmac-sha1", ""), ("-A \"correct horse\" hmac-sha1", ""), ("-A hmac-sha3 0x00", "hmac-sha3")]
    {
        let text = format!("add 192.0.2.1 198.51.100.1 ah 0x1001 {words};");
        assert_eq!(Statements::of(&text).next().unwrap_err().found, shown);
    }
}

#[test]
fn error_message_has_limited_length() {
    for text in ["add [".repeat(10_000), "x".repeat(10_000), "é".repeat(10_000)] {
        let error = Statements::of(&text).next().unwrap_err();
        assert!(error.to_string().len() < 300, "{}", error.to_string().len());
    }
}

#[test]
fn error_after_a_misplaced_key_does_not_show_it() {
    for text in [
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -E 0x5ec2e75ec2e75ec2e75ec2e75ec2e7ff;",
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -E aes-cbc 0x00010203040506070809101112131415 5ec2e75ec2e7;",
        "add 192.0.2.1 198.51.100.1 esp 0x1001 -E null -A \"5ec2e75ec2e75ec2e7\";",
    ] {
        let e = Statements::of(text).next().unwrap_err();
        assert!(!e.to_string().contains("5ec2e7"), "{e}");
    }
}
