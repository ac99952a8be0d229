use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

fn read(path: &Path) -> Result<PskFile, String> {
    PskFile::read(&crate::files::local(), path)
}

fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ipsec-gateway-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn files_above_the_limit_are_refused() {
    let line = b"* key\n";
    for (length, is_read) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let comment = [&line[..], b"#", &vec![b'x'; length - line.len() - 1]].concat();
        let path = file("size", &comment);
        let error = read(&path).err();
        fs::remove_file(&path).unwrap();
        let expected = format!("{}: invalid file size: got 1048577 bytes, expected at most 1048576", path.display());
        assert_eq!(error, (!is_read).then_some(expected));
    }
}

#[test]
fn files_that_others_can_read_are_refused() {
    let path = file("mode", b"* key\n");
    assert!(read(&path).is_ok());
    for mode in [0o640, 0o604, 0o620, 0o644] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = read(&path).err().unwrap();
        assert!(error.contains(&format!("got {mode:04o}, expected 0600; run `chmod 600 ")), "{error}");
    }
    let directory = read(&std::env::temp_dir()).err().unwrap();
    assert!(directory.contains("not a regular file"), "{directory}");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_changed_file_is_read_again_unless_it_is_invalid() {
    let path = file("change", b"* one\n");
    let mut keys = read(&path).unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"one");
    fs::write(&path, b"* another\n").unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"another");
    fs::write(&path, b"broken").unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"another");
    fs::remove_file(&path).unwrap();
    assert_eq!(keys.key(None, None).unwrap().expose(), b"another");
}

#[test]
fn each_change_of_the_file_is_reported_once() {
    let path = file("once", b"* one\n");
    let mut keys = read(&path).unwrap();
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
