//! Names that a user may have meant.

/// Largest number of changed characters of a suggestion.
const MAX_CHANGES: usize = 4;
/// Parts of names elsewhere that the names here do not have.
const LEFT_OUT: &[&str] = &["hmac", "cbc", "mac", "_96", "-96", "-128", "-192"];

/// Names elsewhere, and the names here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("rijndael-cbc", "aes128"),
    ("aes-cbc", "aes128"),
    ("aes-ctr", "aes128ctr"),
    ("aes-gcm", "aes128gcm"),
    ("aes-ccm", "aes128ccm"),
    ("triple-des", "3des"),
    ("tripledes", "3des"),
    ("des-ede3", "3des"),
    ("3des-ede", "3des"),
    ("cast5", "cast128"),
    ("sha2-", "sha"),
    ("sha2_", "sha"),
    ("sha-", "sha"),
    ("rmd160", "ripemd160"),
    ("group14", "modp2048"),
    ("group15", "modp3072"),
    ("group16", "modp4096"),
    ("group17", "modp6144"),
    ("group18", "modp8192"),
    ("group19", "ecp256"),
    ("group20", "ecp384"),
    ("group21", "ecp521"),
    ("group1", "modp768"),
    ("group2", "modp1024"),
    ("group5", "modp1536"),
];

/// Returns the candidate that is most similar to a name.
pub fn similar<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let (exact, plain) = (letters(name), letters(&without_parts(name)));
    let changes = |candidate: &str| {
        let candidate = letters(candidate);
        distance(&exact, &candidate).min(distance(&plain, &candidate))
    };
    let best = candidates.into_iter().map(|candidate| (changes(candidate), candidate)).min()?;
    (best.0 <= MAX_CHANGES && best.0 < exact.len()).then_some(best.1)
}

fn without_parts(name: &str) -> String {
    let name = ELSEWHERE.iter().fold(name.to_lowercase(), |name, (other, own)| name.replace(other, own));
    let name = LEFT_OUT.iter().fold(name, |name, part| name.replace(part, ""));
    // The longest ICV is the usual one.
    if name.ends_with("gcm") || name.ends_with("ccm") { name + "16" } else { name }
}

/// Returns the letters and digits of a name in lower case.
fn letters(name: &str) -> Vec<char> {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Returns the number of characters to insert, remove or replace.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_suite_name_has_a_suggestion() {
        let names = ["aes128-sha1", "aes256-sha256", "3des-md5", "aes128gcm16", "chacha20poly1305", "blowfish128-sha1"];
        for (name, expected) in [
            ("AES128-SHA1", "aes128-sha1"),
            ("aes128-hmac-sha1-96", "aes128-sha1"),
            ("aes-256-cbc-sha256", "aes256-sha256"),
            ("aes128gcm", "aes128gcm16"),
            ("aes-cbc-hmac-sha1", "aes128-sha1"),
            ("3des-cbc-hmac-md5-96", "3des-md5"),
            ("aes-128-gcm-16", "aes128gcm16"),
            ("3des-cbc-hmac-md5", "3des-md5"),
            ("chacha20-poly1305", "chacha20poly1305"),
        ] {
            assert_eq!(similar(name, names), Some(expected), "{name}");
        }
        assert_eq!(similar("xyz", names), None);
        assert_eq!(similar("", names), None);
    }
}
