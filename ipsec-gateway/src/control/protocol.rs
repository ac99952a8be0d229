//! Protocol of the control socket, for the daemon and its clients.
//!
//! A client sends requests, each a JSON object on a line of its own, and receives one reply to each, also a JSON object
//! on a line. After [`Request::Watch`] the replies are events, and further requests are not read.

use serde::{Deserialize, Serialize};

use crate::log::Event;

/// Path of the socket without a statement in gateway.conf.
pub const DEFAULT_SOCKET: &str = "/run/ipsec-gateway.sock";
/// Longest request in octets, with the end of its line.
pub const MAX_REQUEST: usize = 1 << 20;
/// Number of SAs or policies in one reply. A client requests the rest with the number of the next entry.
pub const PAGE: usize = 256;

/// Request of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Peers with their SAs.
    Status,
    /// SAs in the order of the SAD.
    Sas {
        /// Number of the first SA, counted from 0.
        #[serde(default)]
        from: usize,
        /// Set if the text of each SA has its keys, which the configuration must allow.
        #[serde(default)]
        keys: bool,
    },
    /// Policies in the order of the SPD.
    Policies {
        /// Number of the first policy, counted from 0.
        #[serde(default)]
        from: usize,
    },
    /// Counters of the engine and of key exchange.
    Counters,
    /// Negotiate SAs for the policies with a peer that have none.
    Initiate {
        /// Name of the peer.
        peer: String,
    },
    /// Delete the SAs with a peer, or those with an SPI, and notify the peer.
    Delete {
        /// Name of a peer, or an SPI in decimal or, after `0x`, hexadecimal digits.
        what: String,
    },
    /// Negotiate new SAs for the policies that have some.
    Rekey {
        /// Name of a peer, or an SPI; `None` for all peers.
        #[serde(default)]
        what: Option<String>,
    },
    /// Read the configuration again.
    Reload,
    /// Keys of all SAs as tables of Wireshark, which the configuration must allow.
    ExportKeys,
    /// Log lines as they are written.
    Watch,
    /// Statements in the language of setkey(8).
    Setkey {
        /// Text of the statements.
        text: String,
    },
}

/// Reply to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The request was carried out. Each line describes one change.
    Done(Vec<String>),
    /// The request was refused. Each line is an error.
    Error(Vec<String>),
    /// Reply to [`Request::Status`]: the peers.
    Status(Status),
    /// Reply to [`Request::Sas`]: a part of the SAD.
    Sas(Page<SaEntry>),
    /// Reply to [`Request::Policies`]: a part of the SPD.
    Policies(Page<PolicyEntry>),
    /// Reply to [`Request::Counters`]: counters with their values.
    Counters(Vec<CounterEntry>),
    /// Reply to [`Request::ExportKeys`]: rows with keys.
    Keys(KeyRows),
    /// Reply to [`Request::Setkey`]: output of the statements.
    Setkey(SetkeyOutput),
    /// Event after [`Request::Watch`]: a log line.
    Event(Box<EventEntry>),
}

impl Reply {
    /// Returns a reply with one line about an error.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(vec![text.into()])
    }
}

/// State of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Seconds since the daemon was started.
    pub uptime: u64,
    /// Number of SAs in the SAD.
    pub sas: usize,
    /// Number of policies in the SPD.
    pub policies: usize,
    /// Peers in the order of the configuration.
    pub peers: Vec<PeerEntry>,
}

/// State of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerEntry {
    /// Name of the peer.
    pub name: String,
    /// Address and port of the peer; `None` for a peer at any address.
    pub address: Option<String>,
    /// ISAKMP SAs with the peer.
    pub isakmp_sas: Vec<IsakmpEntry>,
    /// Number of policies whose SAs are negotiated with the peer.
    pub policies: usize,
    /// Number of those policies that have an outbound SA.
    pub established: usize,
    /// Number of those policies for which this host has begun a negotiation.
    pub negotiating: usize,
}

/// State of an ISAKMP SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsakmpEntry {
    /// Local address and port.
    pub local: String,
    /// Address and port of the peer.
    pub remote: String,
    /// Role of this host in phase 1.
    pub role: String,
    /// Cookies of initiator and responder, as `0123456789abcdef:0123456789abcdef`.
    pub cookies: String,
    /// Cipher with the bits of its key, hash algorithm, group and authentication method.
    pub algorithms: String,
    /// Set if ESP is sent in UDP.
    pub in_udp: bool,
    /// Seconds since the SA was established.
    pub age: u64,
    /// Seconds until its lifetime ends.
    pub expires_in: u64,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Entries in the order of the list.
    pub entries: Vec<T>,
    /// Number of the next entry; `None` if there is none.
    pub next: Option<usize>,
}

/// State of an SA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaEntry {
    /// `esp`, `ah` or `ipcomp`.
    pub protocol: String,
    /// Direction of the SA: `in` or `out`.
    pub direction: String,
    /// Source address of the SA.
    pub source: String,
    /// Destination address of the SA.
    pub destination: String,
    /// SPI of the SA, or CPI of IPComp.
    pub spi: u32,
    /// Mode of the SA.
    pub mode: String,
    /// State: larval, mature, dying or dead.
    pub state: String,
    /// Request ID; 0 for none.
    pub reqid: u32,
    /// Cipher of an ESP SA.
    pub cipher: Option<String>,
    /// Integrity algorithm of the SA.
    pub integrity: Option<String>,
    /// Compression algorithm of an IPComp SA.
    pub compression: Option<String>,
    /// UDP ports of source and destination, if ESP is in UDP.
    pub udp: Option<(u16, u16)>,
    /// Last sequence number that was sent, or the highest that was received.
    pub sequence: Option<u64>,
    /// Size of the anti-replay window in packets.
    pub window: u32,
    /// Octets that were processed.
    pub octets: u64,
    /// Packets that were processed.
    pub packets: u64,
    /// Seconds since the SA was installed.
    pub age: u64,
    /// Seconds since the last packet.
    pub idle: Option<u64>,
    /// Hard and soft limit of the age in seconds.
    pub lifetime: (Option<u64>, Option<u64>),
    /// Peer and number of the policy of a negotiated SA.
    pub negotiated: Option<(String, u32)>,
    /// SA in the format of `setkey -D`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Policy of the SPD.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEntry {
    /// Number of the policy.
    pub number: u32,
    /// `in`, `out` or `fwd`.
    pub direction: String,
    /// Source addresses of the selector.
    pub source: String,
    /// Destination addresses of the selector.
    pub destination: String,
    /// Upper-layer protocol of the selector, by its name or number; `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Source ports of the selector, as `80` or `1000-2000`; `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<String>,
    /// Destination ports of the selector in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<String>,
    /// Type, or type and code as `3,4`, of a selector for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<String>,
    /// `ipsec`, `none` or `discard`.
    pub action: String,
    /// Templates in the order in which they are applied, as in setkey(8).
    pub templates: Vec<String>,
    /// Protocol of the first template, and the peer's end of its tunnel.
    pub first: Option<(String, Option<String>)>,
    /// Policy in the format of `setkey -DP`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Value of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterEntry {
    /// Part of the gateway: `engine` or `ike`.
    pub part: String,
    /// `in` or `out` for a counter of the engine.
    pub direction: Option<String>,
    /// Name of the counter.
    pub name: String,
    /// Value since the daemon was started.
    pub value: u64,
}

/// Rows of the key tables of Wireshark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRows {
    /// Rows of the table `ikev1_decryption_table`.
    pub ikev1_decryption_table: Vec<String>,
    /// Rows of the table `esp_sa`.
    pub esp_sa: Vec<String>,
}

/// Output of statements of setkey(8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetkeyOutput {
    /// Entries that `get`, `dump` and `spddump` show.
    pub text: String,
    /// Warnings with their positions.
    pub warnings: Vec<String>,
}

/// Line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventEntry {
    /// Date and time in UTC.
    pub time: String,
    /// ERROR, WARNING, INFO or DEBUG.
    pub level: String,
    /// Text of the line.
    pub text: String,
    /// Kind of the event, and its peer and SA, if the line is about one.
    #[serde(flatten)]
    pub event: Option<Event>,
}

/// Parses the request of a line.
///
/// # Errors
/// The message of the parser with the position.
pub fn parse(line: &[u8]) -> Result<Request, String> {
    serde_json::from_slice(line).map_err(|e| format!("invalid request: {e}"))
}

/// Writes a request or a reply as one line.
pub fn write(message: &impl Serialize) -> Vec<u8> {
    // Serialization of these types fails for lack of memory only.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Parses an SPI in decimal or, after `0x`, hexadecimal digits.
pub fn parse_spi(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')),
        None => text.parse().ok().filter(|_| !text.starts_with('+')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_lines_of_json() {
        let table = [
            ("{\"verb\":\"status\"}", Request::Status),
            ("{\"verb\":\"sas\"}", Request::Sas { from: 0, keys: false }),
            ("{\"verb\":\"policies\",\"from\":256}", Request::Policies { from: 256 }),
            ("{\"verb\":\"initiate\",\"peer\":\"east\"}", Request::Initiate { peer: "east".to_owned() }),
            ("{\"verb\":\"rekey\"}", Request::Rekey { what: None }),
            ("{\"verb\":\"export-keys\"}", Request::ExportKeys),
            ("{\"verb\":\"setkey\",\"text\":\"dump;\\n\"}", Request::Setkey { text: "dump;\n".to_owned() }),
        ];
        for (text, request) in table {
            assert_eq!(parse(text.as_bytes()), Ok(request.clone()), "{text}");
            let line = write(&request);
            assert_eq!(line.iter().filter(|octet| **octet == b'\n').count(), 1, "{text}");
            assert_eq!(parse(&line), Ok(request), "{text}");
        }
    }

    #[test]
    fn malformed_requests_are_refused_with_their_reason() {
        let table = [
            ("", "EOF"),
            ("{}", "missing field `verb`"),
            ("{\"verb\":\"halt\"}", "unknown variant `halt`"),
            ("{\"verb\":\"initiate\"}", "missing field `peer`"),
            ("{\"verb\":\"delete\",\"what\":7}", "invalid type"),
            ("{\"verb\":\"sas\",\"from\":-1}", "invalid value"),
            ("{\"verb\":\"rekey\",\"peer\":\"a\"}", "unknown field `peer`"),
            ("{\"verb\":\"status\"} x", "trailing characters"),
            ("\u{0}", "expected value"),
        ];
        for (text, reason) in table {
            let got = parse(text.as_bytes()).unwrap_err();
            assert!(got.starts_with("invalid request: ") && got.contains(reason), "{text}: {got}");
        }
        let nested = format!("{{\"x\":{}", "[".repeat(100_000));
        assert!(parse(nested.as_bytes()).unwrap_err().contains("recursion limit"));
    }

    #[test]
    fn spis_are_parsed_in_decimal_or_hexadecimal() {
        for (text, spi) in
            [("4097", Some(4097)), ("0x1001", Some(0x1001)), ("0xffffffff", Some(u32::MAX)), ("4294967296", None)]
        {
            assert_eq!(parse_spi(text), spi, "{text}");
        }
        for text in ["", "0x", "+1", "0x+1", "-1", "east", "1 "] {
            assert_eq!(parse_spi(text), None, "{text}");
        }
    }
}
