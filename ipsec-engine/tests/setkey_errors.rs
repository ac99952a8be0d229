//! Errors of setkey texts: their places, and that no key is in them.

use ipsec_engine::setkey::{Location, SetkeyErrorKind as Kind, Statement, Statements};

const ADD: &str = "add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -E aes-cbc \"sixteen octets!!\" -A hmac-sha1 \"twenty octets it has\";";

/// Every error and every statement with its place.
fn places(text: &[u8]) -> Vec<(u32, u32, bool)> {
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
fn places_are_counted_on_from_one_error_to_the_next() {
    let text = format!("flush;\n  x; {ADD}\n# é\n\té x;\nspdflush; flush\n;; y;");
    assert_eq!(
        places(text.as_bytes()),
        [(1, 1, true), (2, 3, false), (2, 6, true), (4, 2, false), (5, 1, true), (5, 11, true), (6, 4, false)]
    );
}

#[test]
fn octets_that_are_no_text_are_refused_outside_of_comments_and_keys() {
    let key = b"add 192.0.2.1 198.51.100.1 ah 0x1001 -A hmac-md5 \"\xff\x00\n;#\x80789012345f\";";
    let text = [b"\xef\xbb\xbf# Z\xfcrich\nfl\xfcsh; flush;".as_slice(), key].concat();
    let mut statements = Statements::of_bytes(&text);
    let error = statements.next().unwrap_err();
    assert_eq!((error.line, error.column, error.kind), (2, 1, Kind::NotText));
    assert_eq!(statements.next(), Ok(Some(Statement::Flush(None))));
    let Ok(Some(Statement::Add(add))) = statements.next() else { panic!("not an SA") };
    let mut octets = [0; 16];
    assert_eq!(add.mac.unwrap().1.decode(&mut octets).unwrap(), b"\xff\x00\n;#\x80789012345f");
    let written = Statement::Add(add).to_string();
    assert!(written.contains("0xff000a3b238037383930313233343566"), "{written}");
}

#[test]
fn no_error_shows_a_key_wherever_it_stands() {
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
    let mut look = |words: &[String]| {
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
            look(&swapped);
            let mut bare = words.clone();
            bare[one] = words[one].trim_matches('"').trim_start_matches("0x").to_owned();
            bare.swap(one, other);
            look(&bare);
            let mut joined = words.clone();
            joined[one] = format!("{}{}", words[one], words[other]);
            look(&joined);
            let mut removed = words.clone();
            removed.remove(one);
            look(&removed);
            let mut cut = words.clone();
            let rest = cut[one].split_off(other.min(words[one].len()));
            cut.insert(one + 1, rest);
            look(&cut);
        }
    }
    assert!(errors > 500, "{errors}");
}

#[test]
fn a_passphrase_in_the_place_of_an_algorithm_is_not_shown() {
    for (words, shown) in
        [("-A correcthorse hmac-sha1", ""), ("-A \"correct horse\" hmac-sha1", ""), ("-A hmac-sha3 0x00", "hmac-sha3")]
    {
        let text = format!("add 192.0.2.1 198.51.100.1 ah 0x1001 {words};");
        assert_eq!(Statements::of(&text).next().unwrap_err().found, shown);
    }
}

#[test]
fn a_message_is_of_limited_length() {
    for text in ["add [".repeat(10_000), "x".repeat(10_000), "é".repeat(10_000)] {
        let error = Statements::of(&text).next().unwrap_err();
        assert!(error.to_string().len() < 300, "{}", error.to_string().len());
    }
}
