use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn key(text: &[u8], address: Option<&str>, name: Option<&str>) -> Option<Vec<u8>> {
    let (entries, _) = parse(text).unwrap();
    let address = address.map(|address| address.parse().unwrap());
    entries.iter().find(|entry| entry.identifier.matches(address, name)).map(|entry| entry.key.expose().to_vec())
}

#[test]
fn the_first_line_that_matches_is_used() {
    let text = b"# comment\n\n198.51.100.1\tfirst key\n198.51.100.1 second\na.example.net  0x00ff\n* any\n";
    assert_eq!(key(text, Some("198.51.100.1"), None).unwrap(), b"first key");
    assert_eq!(key(text, Some("198.51.100.1"), Some("a.example.net")).unwrap(), b"first key");
    assert_eq!(key(text, None, Some("a.example.net")).unwrap(), [0, 0xff]);
    assert_eq!(key(text, Some("198.51.100.2"), None).unwrap(), b"any");
    assert_eq!(key(b"198.51.100.1 k", Some("198.51.100.2"), None), None);
    assert_eq!(key(b"2001:db8:0::1 k", Some("2001:db8::1"), None).unwrap(), b"k");
}

#[test]
fn a_comment_begins_in_the_first_column() {
    assert_eq!(key(b"# *\n * #key\n", None, None).unwrap(), b"#key");
    assert_eq!(key(b"#", None, None), None);
}

#[test]
fn a_carriage_return_and_trailing_blanks_are_part_of_the_key() {
    let (entries, warnings) = parse(b"a k\r\nb k \nc k").unwrap();
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.expose()).collect();
    assert_eq!(keys, [&b"k\r"[..], b"k ", b"k"]);
    assert_eq!(warnings, [(1, Warning::CarriageReturn), (2, Warning::TrailingBlank)]);
}

#[test]
fn errors_have_the_line_and_not_the_key() {
    let long = [b"a ".as_slice(), &[b'k'; 257]].concat();
    let table: [(&[u8], &str); 7] = [
        (b"\na", "line 2: no key behind the identifier"),
        (b"a  ", "line 1: no key behind the identifier"),
        (b"a \r\n", "line 1: no key behind the identifier"),
        (b"a k\na\t \r\n", "line 2: no key behind the identifier"),
        (b"a 0xabc", "line 1: invalid key: expected pairs of hexadecimal digits behind 0x"),
        (b"\xff k", "line 1: identifier is not UTF-8"),
        (&long, "line 1: invalid key length: got 257 octets, expected at most 256"),
    ];
    for (text, message) in table {
        assert_eq!(parse(text).err().unwrap().to_string(), message);
    }
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_identifier() {
    assert_eq!(key(b"\xef\xbb\xbf198.51.100.1 k", Some("198.51.100.1"), None).unwrap(), b"k");
    assert_eq!(key(b"\xef\xbb\xbf# comment\n* k", None, None).unwrap(), b"k");
}

#[test]
fn files_above_the_limit_are_refused() {
    let line = b"* key\n";
    for (length, is_read) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let comment = [&line[..], b"#", &vec![b'x'; length - line.len() - 1]].concat();
        let path = file("size", &comment);
        let error = PskFile::read(&path).err();
        fs::remove_file(&path).unwrap();
        let expected = format!("{}: invalid file size: got 1048577 bytes, expected at most 1048576", path.display());
        assert_eq!(error, (!is_read).then_some(expected));
    }
}

#[test]
fn files_that_others_can_read_are_refused() {
    let path = file("mode", b"* key\n");
    assert!(PskFile::read(&path).is_ok());
    for mode in [0o640, 0o604, 0o620, 0o644] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = PskFile::read(&path).err().unwrap();
        assert!(error.contains(&format!("got {mode:04o}, expected 0600; run `chmod 600 ")), "{error}");
    }
    let directory = PskFile::read(&std::env::temp_dir()).err().unwrap();
    assert!(directory.contains("not a regular file"), "{directory}");
    fs::remove_file(path).unwrap();
}

#[test]
fn files_of_other_users_are_refused() {
    let path = file("owner", b"* key\n");
    let metadata = fs::metadata(&path).unwrap();
    let error = check_access(&path, &metadata, metadata.uid() + 1).unwrap_err();
    let expected = metadata.uid() + 1;
    let command = format!("expected {expected}; run `chown {expected} {}`", path.display());
    assert!(error.starts_with("owner mismatch: got user ") && error.ends_with(&command), "{error}");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_changed_file_is_read_again_and_a_wrong_one_is_not() {
    let path = file("change", b"* one\n");
    let mut keys = PskFile::read(&path).unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"one");
    fs::write(&path, b"* another\n").unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"another");
    fs::write(&path, b"broken").unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"another");
    fs::remove_file(&path).unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"another");
}

#[test]
fn each_change_is_an_error_once() {
    let path = file("once", b"* one\n");
    let mut keys = PskFile::read(&path).unwrap();
    assert_eq!(keys.reload(), Ok(()));
    fs::write(&path, b"broken").unwrap();
    assert_eq!([keys.reload().is_ok(), keys.reload().is_ok()], [false, true]);
    fs::write(&path, b"* third\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    assert_eq!([keys.reload().is_ok(), keys.reload().is_ok()], [false, true], "a wrong mode");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"third", "the mode was corrected");
    fs::remove_file(&path).unwrap();
    assert_eq!([keys.reload().is_ok(), keys.reload().is_ok()], [false, true], "a missing file");
    file("once", b"* another\n");
    assert_eq!(keys.key(None, None).unwrap().expose(), b"another");
    fs::remove_file(path).unwrap();
}
