//! Wireshark's key tables: rows in files of options, and the command that opens a capture with tables beside it.

use std::path::Path;

/// Returns whether a text has rows of a table with the prefix `uat:TABLE:`, with which they are options of Wireshark.
/// Such a text may have rows of several tables.
pub fn has_rows(text: &[u8], prefix: &str) -> bool {
    let begins = |line: &&[u8]| !line.trim_ascii_start().starts_with(b"#");
    let contains = |line: &[u8]| line.windows(prefix.len()).any(|octets| octets == prefix.as_bytes());
    text.split(|octet| *octet == b'\n').filter(begins).any(contains)
}

/// Prints the command by which Wireshark opens a capture with the tables in its directory, `esp_sa` and
/// `ikev1_decryption_table`. The keys are not part of the command.
pub fn print_command(folder: &Path, capture: &str) {
    let folder = shell_quoted(&folder.to_string_lossy());
    sayln!("To see {capture} decrypted (`tshark` in place of `wireshark` for a terminal):");
    sayln!(
        "WIRESHARK_CONFIG_DIR={folder} wireshark -o esp.enable_encryption_decode:TRUE -o \
         esp.enable_authentication_check:TRUE -r {folder}/{capture}"
    );
}

/// Quotes a word for a shell, if it has other characters than those of usual paths.
fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_table_are_found_among_others() {
        let text = b"# uat:first:1\nuat:second:2\n-o 'uat:third:3'\n";
        assert_eq!(["uat:first:", "uat:second:", "uat:third:"].map(|table| has_rows(text, table)), [false, true, true]);
        assert!(!has_rows(b"", "uat:first:"));
    }

    #[test]
    fn words_with_other_characters_are_quoted() {
        assert_eq!(shell_quoted("/tmp/vpn-out"), "/tmp/vpn-out");
        assert_eq!(shell_quoted("my lab"), "'my lab'");
        assert_eq!(shell_quoted("a'b$(c)"), "'a'\\''b$(c)'");
        assert_eq!(shell_quoted(""), "''");
    }
}
