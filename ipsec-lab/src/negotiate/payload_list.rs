//! Payload list of a message in the format of `tcpdump -v`.

use std::fmt::Write;

use ike_codec::{
    Attribute, AuthAlgorithm, AuthMethod, Body, Chain, Doi, EncapsulationMode, Encryption, EspTransform, ExchangeKind,
    Group, Hash, IdAddress, IdKind, Identification, LifeType, Message, OakleyAttribute, Payload, PayloadKind, Proposal,
    ProtocolId, Value,
};
use ike_v1::plaintext;
use test_vectors::to_hex;

/// Name of the protocol in the output of tcpdump.
const PROTOCOL: &str = "isakmp";

/// Returns the line and the payloads of a message. `role` is `I` if the initiator of phase 1 has sent it, and `R`
/// otherwise; `clear` is the decrypted message of an encrypted one.
pub fn text(message: &[u8], role: char, clear: Option<&[u8]>) -> String {
    let mut text = String::new();
    let Ok(parsed) = Message::parse(message) else { return "[|isakmp]\n".to_owned() };
    let header = parsed.header();
    let phase = if header.message_id == 0 { "phase 1" } else { "phase 2/others" };
    let encrypted = if parsed.is_encrypted() { "[E]" } else { "" };
    let exchange = exchange_name(header.exchange);
    let _ = write!(text, "{PROTOCOL} 1.0 msgid {:08x}: {phase} {role} {exchange}{encrypted}:", header.message_id);
    match (parsed.is_encrypted(), clear.and_then(|clear| plaintext(clear).ok())) {
        (false, _) => write_payloads(&mut text, parsed.chain()),
        (true, Some(payloads)) => {
            text.push_str(" decrypted");
            write_payloads(&mut text, &payloads);
        }
        (true, None) => {
            let _ = writeln!(text, " [encrypted {}]", payload_name(header.next_payload));
        }
    }
    text
}

fn write_payloads(text: &mut String, chain: &Chain<'_>) {
    text.push('\n');
    for payload in chain.payloads() {
        text.push_str("    ");
        write_payload(text, &payload);
        text.push('\n');
    }
}

fn write_payload(text: &mut String, payload: &Payload<'_>) {
    // Writing to a string cannot fail.
    let _ = match payload.view() {
        Body::SecurityAssociation(sa) => {
            let _ = write!(text, "(sa: doi={} situation=identity", doi_name(sa.doi));
            for proposal in sa.proposals() {
                write_proposal(text, &proposal);
            }
            text.write_str(")")
        }
        Body::KeyExchange(value) => write!(text, "(ke: key len={})", value.len()),
        Body::Nonce(nonce) => write!(text, "(nonce: n len={})", nonce.len()),
        Body::Hash(hash) => write!(text, "(hash: len={})", hash.len()),
        Body::VendorId(id) => write!(text, "(vid: len={})", id.len()),
        Body::Identification(id) => write_identification(text, &id),
        Body::Notification(notification) => write!(
            text,
            "(n: doi={} proto={} type={}{})",
            doi_name(notification.doi),
            protocol_name(notification.protocol),
            notification.kind,
            if notification.spi.is_empty() { String::new() } else { format!(" spi={}", to_hex(notification.spi)) }
        ),
        Body::Delete(delete) => {
            let _ = write!(
                text,
                "(d: doi={} proto={} spilen={} nspi={} spi=",
                doi_name(delete.doi),
                protocol_name(delete.protocol),
                delete.spi_size,
                delete.spi_count
            );
            let spis: Vec<String> = delete.spis().map(to_hex).collect();
            write!(text, "{})", spis.join(","))
        }
        _ => write!(text, "({}: len={})", payload_name(payload.kind), payload.body.len()),
    };
}

fn write_proposal(text: &mut String, proposal: &Proposal<'_>) {
    let (number, protocol) = (proposal.number, protocol_name(proposal.protocol));
    let _ = write!(text, "\n        (p: #{number} protoid={protocol} transform={}", proposal.transform_count);
    if !proposal.spi.is_empty() {
        let _ = write!(text, " spi={}", to_hex(proposal.spi));
    }
    for transform in proposal.transforms() {
        let name = match proposal.protocol {
            ProtocolId::ISAKMP => "ike".to_owned(),
            _ => esp_name(EspTransform(transform.id.0)),
        };
        let _ = write!(text, "\n            (t: #{} id={name} ", transform.number);
        for attribute in &transform.attributes {
            write_attribute(text, proposal.protocol, &attribute);
        }
        text.push(')');
    }
    text.push(')');
}

fn write_attribute(text: &mut String, protocol: ProtocolId, attribute: &Attribute<'_>) {
    let (name, value) = match (protocol, attribute.value) {
        (ProtocolId::ISAKMP, Value::Basic(value)) => oakley(OakleyAttribute(attribute.kind), value),
        (ProtocolId::ISAKMP, Value::Variable(_)) => oakley(OakleyAttribute(attribute.kind), 0),
        (_, Value::Basic(value)) => ipsec(attribute.kind, value),
        (_, Value::Variable(_)) => ipsec(attribute.kind, 0),
    };
    let _ = match (attribute.value, value) {
        (Value::Basic(_), Some(value)) => write!(text, "(type={name} value={value})"),
        (Value::Basic(value), None) => write!(text, "(type={name} value={value:04x})"),
        (Value::Variable(octets), _) => write!(text, "(type={name} len={} value={})", octets.len(), to_hex(octets)),
    };
}

/// Returns the name of an attribute of phase 1, and that of its value.
fn oakley(kind: OakleyAttribute, value: u16) -> (&'static str, Option<&'static str>) {
    match kind {
        OakleyAttribute::ENCRYPTION => ("enc", encryption_name(Encryption(value))),
        OakleyAttribute::HASH => ("hash", hash_name(Hash(value))),
        OakleyAttribute::AUTH_METHOD => {
            ("auth", Some("preshared").filter(|_| AuthMethod(value) == AuthMethod::PRE_SHARED_KEY))
        }
        OakleyAttribute::GROUP => ("group desc", Group(value).name()),
        OakleyAttribute::LIFE_TYPE => ("lifetype", life_name(LifeType(value))),
        OakleyAttribute::LIFE_DURATION => ("lifeduration", None),
        OakleyAttribute::KEY_LENGTH => ("keylen", None),
        _ => ("other", None),
    }
}

/// Returns the name of an attribute of phase 2, and that of its value.
fn ipsec(kind: u16, value: u16) -> (&'static str, Option<&'static str>) {
    match kind {
        1 => ("lifetype", life_name(LifeType(value))),
        2 => ("life", None),
        3 => ("group desc", Group(value).name()),
        4 => (
            "enc mode",
            match EncapsulationMode(value) {
                EncapsulationMode::TUNNEL => Some("tunnel"),
                EncapsulationMode::TRANSPORT => Some("transport"),
                _ => None,
            },
        ),
        5 => ("auth", authentication_name(AuthAlgorithm(value))),
        6 => ("keylen", None),
        11 => ("esn", None),
        _ => ("other", None),
    }
}

const fn encryption_name(encryption: Encryption) -> Option<&'static str> {
    Some(match encryption {
        Encryption::DES_CBC => "1des",
        Encryption::BLOWFISH_CBC => "blowfish",
        Encryption::TRIPLE_DES_CBC => "3des",
        Encryption::CAST_CBC => "cast",
        Encryption::AES_CBC => "aes",
        _ => return None,
    })
}

const fn hash_name(hash: Hash) -> Option<&'static str> {
    Some(match hash {
        Hash::MD5 => "md5",
        Hash::SHA1 => "sha1",
        Hash::SHA2_256 => "sha2-256",
        Hash::SHA2_384 => "sha2-384",
        Hash::SHA2_512 => "sha2-512",
        _ => return None,
    })
}

const fn authentication_name(algorithm: AuthAlgorithm) -> Option<&'static str> {
    Some(match algorithm {
        AuthAlgorithm::HMAC_MD5 => "hmac-md5",
        AuthAlgorithm::HMAC_SHA1 => "hmac-sha1",
        AuthAlgorithm::HMAC_SHA2_256 => "hmac-sha2-256",
        AuthAlgorithm::HMAC_SHA2_384 => "hmac-sha2-384",
        AuthAlgorithm::HMAC_SHA2_512 => "hmac-sha2-512",
        _ => return None,
    })
}

const fn life_name(life_type: LifeType) -> Option<&'static str> {
    match life_type {
        LifeType::SECONDS => Some("sec"),
        LifeType::KILOBYTES => Some("kb"),
        _ => None,
    }
}

fn esp_name(transform: EspTransform) -> String {
    match transform {
        EspTransform::DES => "des",
        EspTransform::TRIPLE_DES => "3des",
        EspTransform::CAST => "cast",
        EspTransform::BLOWFISH => "blowfish",
        EspTransform::NULL => "null",
        EspTransform::AES_CBC => "aes",
        other => return other.to_string(),
    }
    .to_owned()
}

fn write_identification(text: &mut String, id: &Identification<'_>) -> std::fmt::Result {
    let kind = match id.kind {
        IdKind::IPV4 => "IPv4",
        IdKind::IPV4_SUBNET => "IPv4net",
        IdKind::IPV4_RANGE => "IPv4range",
        IdKind::IPV6 => "IPv6",
        IdKind::IPV6_SUBNET => "IPv6net",
        IdKind::IPV6_RANGE => "IPv6range",
        IdKind::FQDN => "FQDN",
        IdKind::USER_FQDN => "user FQDN",
        IdKind::KEY_ID => "keyid",
        _ => "other",
    };
    let (protocol, port, len) = (id.protocol, id.port, id.data.len());
    write!(text, "(id: idtype={kind} protoid={protocol} port={port} len={len} ")?;
    match id.address() {
        Some(IdAddress::V4(address)) => write!(text, "{address})"),
        Some(IdAddress::V6(address)) => write!(text, "{address})"),
        Some(IdAddress::V4Subnet(address, mask)) => write!(text, "{address}/{mask})"),
        Some(IdAddress::V6Subnet(address, mask)) => write!(text, "{address}/{mask})"),
        Some(IdAddress::V4Range(first, last)) => write!(text, "{first}-{last})"),
        Some(IdAddress::V6Range(first, last)) => write!(text, "{first}-{last})"),
        None => write!(text, "{})", id.data.escape_ascii()),
    }
}

const fn exchange_name(exchange: ExchangeKind) -> &'static str {
    match exchange {
        ExchangeKind::MAIN => "ident",
        ExchangeKind::AGGRESSIVE => "agg",
        ExchangeKind::BASE => "base",
        ExchangeKind::QUICK => "oakley-quick",
        ExchangeKind::INFORMATIONAL => "inf",
        _ => "other",
    }
}

fn payload_name(kind: PayloadKind) -> String {
    match kind {
        PayloadKind::SA => "sa".to_owned(),
        PayloadKind::ID => "id".to_owned(),
        PayloadKind::HASH => "hash".to_owned(),
        other => other.to_string(),
    }
}

fn doi_name(doi: Doi) -> String {
    if doi == Doi::IPSEC { "ipsec".to_owned() } else { doi.to_string() }
}

fn protocol_name(protocol: ProtocolId) -> String {
    match protocol {
        ProtocolId::ISAKMP => "isakmp".to_owned(),
        ProtocolId::AH => "ipsec-ah".to_owned(),
        ProtocolId::ESP => "ipsec-esp".to_owned(),
        ProtocolId::IPCOMP => "ipcomp".to_owned(),
        other => other.to_string(),
    }
}
