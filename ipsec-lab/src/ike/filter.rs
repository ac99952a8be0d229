//! Selection of the messages that are printed.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ike_codec::ExchangeKind;
use test_vectors::from_hex;

use super::source::Found;

/// Field of a message with the value that it must have.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Source or destination address.
    Host(IpAddr),
    /// Source or destination port.
    Port(u16),
    /// Cookie of the initiator or of the responder.
    Cookie(Vec<u8>),
    /// Range of frame numbers.
    Frames(RangeInclusive<u64>),
    /// Exchange type of the message.
    Exchange(u8),
    /// Message ID of the exchange.
    MessageId(u32),
}

/// Names of exchange types.
const EXCHANGES: &[(&str, ExchangeKind)] = &[
    ("base", ExchangeKind::BASE),
    ("main", ExchangeKind::MAIN),
    ("aggressive", ExchangeKind::AGGRESSIVE),
    ("informational", ExchangeKind::INFORMATIONAL),
    ("transaction", ExchangeKind::TRANSACTION),
    ("quick", ExchangeKind::QUICK),
];

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (field, value) = text.split_once('=').ok_or("expected FIELD=VALUE")?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("expected a number, found `{text}`"));
        match field {
            "host" => value.parse().map(Self::Host).map_err(|_| format!("expected an address, found `{value}`")),
            "port" => value.parse().map(Self::Port).map_err(|_| format!("expected a port, found `{value}`")),
            "cookie" => {
                let octets = from_hex(value.trim_start_matches("0x")).filter(|octets| octets.len() == 8);
                octets.map(Self::Cookie).ok_or(format!("expected 8 octets in hexadecimal, found `{value}`"))
            }
            "frame" => match value.split_once('-') {
                Some((first, last)) => Ok(Self::Frames(number(first)?..=number(last)?)),
                None => number(value).map(|number| Self::Frames(number..=number)),
            },
            "exchange" => {
                let named = EXCHANGES.iter().find(|row| row.0 == value).map(|row| row.1.0);
                let names = EXCHANGES.iter().map(|row| row.0).collect::<Vec<_>>().join(", ");
                let found = named.or(value.parse().ok()).map(Self::Exchange);
                found.ok_or(format!("expected {names} or a number, found `{value}`"))
            }
            "message-id" => u32::from_str_radix(value.trim_start_matches("0x"), 16)
                .map(Self::MessageId)
                .map_err(|_| format!("expected a message ID in hexadecimal, found `{value}`")),
            _ => Err(format!("expected host, port, cookie, frame, exchange or message-id, found `{field}`")),
        }
    }
}

impl Filter {
    /// Returns whether a message has the value. The fields of a malformed message are those of its header.
    pub fn matches(&self, found: &Found) -> bool {
        let ends = || found.ends.into_iter().flat_map(|(source, destination)| [source, destination]);
        let octets = |at: usize, length: usize| found.message.get(at..at + length);
        match self {
            Self::Host(address) => ends().any(|end| end.ip() == *address),
            Self::Port(port) => ends().any(|end| end.port() == *port),
            Self::Cookie(cookie) => [0, 8].into_iter().any(|at| octets(at, 8) == Some(cookie)),
            Self::Frames(numbers) => numbers.contains(&found.frame),
            Self::Exchange(exchange) => octets(18, 1) == Some(&[*exchange]),
            Self::MessageId(id) => octets(20, 4) == Some(&id.to_be_bytes()),
        }
    }
}
