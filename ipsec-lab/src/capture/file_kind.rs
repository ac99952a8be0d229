//! Kinds of files that are easily given in place of another, by their first octets.

/// Kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// File that contains no octets.
    Empty,
    /// Capture that this tool reads: pcap or pcapng.
    Capture,
    /// Capture in another format, with its name.
    OtherCapture(&'static str),
    /// Compressed file, with the name of the format.
    Compressed(&'static str),
    /// Text in UTF-16, which is not read.
    Utf16,
    /// Table of Wireshark with the keys of IKEv1.
    IkeKeys,
    /// Table of Wireshark with the keys of ESP.
    EspKeys,
    /// Configuration in the language of setkey(8).
    Setkey,
    /// Output of the command ip-xfrm(8).
    Xfrm,
    /// Text of another kind.
    Text,
    /// Octets that are not text.
    Binary,
}

const MAGIC: &[(&[u8], FileKind)] = &[
    (&[0x0a, 0x0d, 0x0d, 0x0a], FileKind::Capture),
    (&[0xa1, 0xb2, 0xc3, 0xd4], FileKind::Capture),
    (&[0xd4, 0xc3, 0xb2, 0xa1], FileKind::Capture),
    (&[0xa1, 0xb2, 0x3c, 0x4d], FileKind::Capture),
    (&[0x4d, 0x3c, 0xb2, 0xa1], FileKind::Capture),
    (&[0xa1, 0xb2, 0xcd, 0x34], FileKind::Capture),
    (&[0x34, 0xcd, 0xb2, 0xa1], FileKind::Capture),
    (b"snoop\0", FileKind::OtherCapture("snoop")),
    (b"GMBU", FileKind::OtherCapture("Network Monitor")),
    (b"RTSS", FileKind::OtherCapture("Network Monitor")),
    (&[0x1f, 0x8b], FileKind::Compressed("gzip")),
    (&[0xfd, b'7', b'z', b'X', b'Z'], FileKind::Compressed("xz")),
    (&[0x28, 0xb5, 0x2f, 0xfd], FileKind::Compressed("zstd")),
    (b"BZh", FileKind::Compressed("bzip2")),
    (b"PK\x03\x04", FileKind::Compressed("zip")),
    (&[0x04, 0x22, 0x4d, 0x18], FileKind::Compressed("lz4")),
    (&[0xff, 0xfe], FileKind::Utf16),
    (&[0xfe, 0xff], FileKind::Utf16),
];

impl FileKind {
    /// Returns the kind of a file that begins with these octets.
    pub fn of(first: &[u8]) -> Self {
        if first.is_empty() {
            return Self::Empty;
        }
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| first.starts_with(magic)) {
            return *kind;
        }
        let is_text = |octet: &u8| matches!(octet, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
        if !first.iter().all(is_text) { Self::Binary } else { Self::of_text(&String::from_utf8_lossy(first)) }
    }

    fn of_text(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let Some(line) = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#')) else {
            return Self::Text;
        };
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_hexdigit());
        let cookie = line.split_once(',').map(|(cookie, _)| cookie.trim_matches('"').trim_start_matches("0x"));
        if line.contains("uat:esp_sa:") || line.starts_with("\"IPv4\"") || line.starts_with("\"IPv6\"") {
            return Self::EspKeys;
        }
        if line.contains("uat:ikev1_decryption_table:")
            || cookie.is_some_and(|cookie| cookie.len() == 16 && is_hex(cookie))
        {
            return Self::IkeKeys;
        }
        match line.split([' ', '\t', ';']).next().unwrap_or_default() {
            "add" | "update" | "delete" | "deleteall" | "flush" | "spdadd" | "spdupdate" | "spddelete" | "spdflush"
            | "dump" | "spddump" => Self::Setkey,
            "src" | "ip" => Self::Xfrm,
            _ => Self::Text,
        }
    }

    /// Returns the error of a file where a capture is expected: its kind and the remedy.
    pub fn as_capture(self) -> String {
        let hint = match self {
            Self::Empty => {
                return "the file is empty: a capture begins with a header (was the capture stopped too early?)".into();
            }
            Self::Capture => "the header is not complete",
            Self::OtherCapture(name) => {
                return format!("a capture in the format of {name}: convert it with `editcap -F pcapng`");
            }
            Self::Compressed("gzip") => return "damaged gzip file".into(),
            Self::Compressed(name) => {
                return format!("compressed with {name}: decompress it first (gzip is read as it is)");
            }
            Self::Setkey => "a configuration of setkey(8): give it with `--config`, and a capture instead",
            Self::EspKeys => "Wireshark's table esp_sa: give it with `--esp-keys`, and a capture instead",
            Self::Xfrm => "output of ip-xfrm(8): give it with `--esp-keys`, and a capture instead",
            Self::IkeKeys => "Wireshark's table ikev1_decryption_table: give it with `ike --ike-keys`",
            Self::Text | Self::Utf16 => "a text file: record a capture with `tcpdump -w FILE`, not from the terminal",
            Self::Binary => "an unknown format",
        };
        format!("neither pcap nor pcapng: {hint}")
    }

    /// Returns the error of a file where a text in `language` is expected; `None` for a text. An empty file is
    /// one.
    pub fn as_text(self, language: &str) -> Option<String> {
        let hint = match self {
            Self::Capture | Self::OtherCapture(_) => "a capture: captures are given without an option".to_owned(),
            Self::Compressed(name) => format!("a file compressed with {name}: decompress it first"),
            Self::Utf16 => "text in UTF-16: save it as UTF-8".to_owned(),
            Self::Binary => "a binary file".to_owned(),
            _ => return None,
        };
        Some(format!("expected {language}, found {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_kind_is_detected_from_the_first_octets() {
        let table: &[(&[u8], FileKind)] = &[
            (b"", FileKind::Empty),
            (&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0], FileKind::Capture),
            (b"snoop\0\0\0", FileKind::OtherCapture("snoop")),
            (&[0x28, 0xb5, 0x2f, 0xfd, 0], FileKind::Compressed("zstd")),
            (&[0xff, 0xfe, b'a', 0], FileKind::Utf16),
            (b"# keys\nuat:esp_sa:\"IPv4\",\"*\"", FileKind::EspKeys),
            (b"\"IPv6\",\"*\",\"*\"", FileKind::EspKeys),
            (b"0011223344556677,aabb\n", FileKind::IkeKeys),
            (b"\nadd 192.0.2.1", FileKind::Setkey),
            (b"flush;", FileKind::Setkey),
            (b"src 192.0.2.1 dst 192.0.2.2\n", FileKind::Xfrm),
            (b"12:00:00.000 IP 192.0.2.1 > 192.0.2.2: ESP\n", FileKind::Text),
            (&[0, 1, 2, 3], FileKind::Binary),
        ];
        for (first, kind) in table {
            assert_eq!(FileKind::of(first), *kind, "{first:?}");
        }
    }

    #[test]
    fn only_text_is_accepted_as_text() {
        assert_eq!(FileKind::Text.as_text("setkey(8)"), None);
        assert_eq!(FileKind::Empty.as_text("setkey(8)"), None);
        let said = FileKind::Capture.as_text("setkey(8)").unwrap();
        assert!(said.contains("expected setkey(8), found a capture"), "{said}");
    }
}
