//! Tree of names and values of a message, printed as text or as JSON.

use std::fmt::{self, Display};

use ike_codec::{
    AhTransform, Attribute, AuthAlgorithm, AuthMethod, Body, Chain, ConfigAttribute, DecodeError, EncapsulationMode,
    Encryption, EspTransform, Group, GroupType, Hash, Header, IdAddress, IdKind, Identification, IpcompTransform,
    IpsecAttribute, LifeType, Message, OakleyAttribute, Payload, PayloadKind, Proposal, ProtocolId, Transform,
    TransformId, Value, XauthStatus, XauthType, identify,
};
use ike_v1::plaintext;
use serde_json::{Map, json};
use test_vectors::to_hex;

/// Node with fields and children.
pub struct Node {
    name: String,
    fields: Vec<(&'static str, serde_json::Value)>,
    children: Vec<Node>,
}

impl Node {
    fn new(name: impl Display) -> Self {
        Self { name: name.to_string(), fields: Vec::new(), children: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn with_some(self, name: &'static str, value: Option<impl Into<serde_json::Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Replaces the value of a field.
    pub fn replacing(mut self, name: &'static str, value: Option<impl Into<serde_json::Value>>) -> Self {
        if let (Some(field), Some(value)) = (self.fields.iter_mut().find(|field| field.0 == name), value) {
            field.1 = value.into();
        }
        self
    }

    /// Replaces the length of every node with an offset by the one that a message declares there.
    pub fn with_declared_lengths(mut self, message: &[u8]) -> Self {
        let offset = self.fields.iter().find(|field| field.0 == "offset").and_then(|field| field.1.as_u64());
        let at = offset.and_then(|offset| usize::try_from(offset).ok());
        let declared = at.and_then(|at| message.get(at + 2..)?.first_chunk().map(|field| u16::from_be_bytes(*field)));
        self.children = self.children.into_iter().map(|child| child.with_declared_lengths(message)).collect();
        self.replacing("length", declared)
    }

    fn containing(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Returns the node as a JSON object.
    pub fn json(&self) -> serde_json::Value {
        let mut object = Map::new();
        object.insert("name".to_owned(), json!(self.name));
        object.extend(self.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        if !self.children.is_empty() {
            object.insert("contains".to_owned(), self.children.iter().map(Self::json).collect());
        }
        object.into()
    }

    /// Writes the node as indented lines.
    pub fn write(&self, f: &mut impl fmt::Write, depth: usize) -> fmt::Result {
        write!(f, "{:1$}{2}", "", depth * 4, self.name)?;
        for (name, value) in &self.fields {
            match value {
                serde_json::Value::String(text) => write!(f, " {name}={}", printable(text))?,
                other => write!(f, " {name}={other}")?,
            }
        }
        writeln!(f)?;
        self.children.iter().try_for_each(|child| child.write(f, depth + 1))
    }
}

/// Returns text of a peer without characters that act on a terminal.
fn printable(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_graphic()) { text.to_owned() } else { format!("{text:?}") }
}

/// Returns the tree of a message; for an encrypted message with the length of the ciphertext.
pub fn message(message: &Message<'_>) -> Node {
    let node = header(message.header());
    match message.ciphertext() {
        Some(ciphertext) => {
            node.containing([Node::new("ciphertext").with("octets", ciphertext.len()).with("data", to_hex(ciphertext))])
        }
        None => node.containing(payloads(message.chain())),
    }
}

/// Returns the tree of a reassembled or decrypted message. The padding of a decrypted one may have any value.
pub fn clear(bytes: &[u8]) -> Result<Node, DecodeError> {
    if let Ok(message) = Message::parse(bytes) {
        return Ok(self::message(&message));
    }
    let (head, _) = Header::parse(bytes)?;
    Ok(header(&head).containing(payloads(&plaintext(bytes)?)))
}

fn header(header: &Header) -> Node {
    Node::new("ISAKMP")
        .with("initiator_cookie", to_hex(&header.initiator_cookie))
        .with("responder_cookie", to_hex(&header.responder_cookie))
        .with("next_payload", header.next_payload.0)
        .with("version", format!("{}.{}", header.version.major(), header.version.minor()))
        .with("exchange", header.exchange.0)
        .with("exchange_name", header.exchange.to_string())
        .with("flags", header.flags.0)
        .with("message_id", format!("{:08x}", header.message_id))
        .with("length", header.length)
}

/// Returns the payloads of a chain. The numbers of attributes differ between phase 1 and phase 2; the protocol of the
/// proposal decides.
fn payloads(chain: &Chain<'_>) -> Vec<Node> {
    let padding = Some(chain.padding()).filter(|p| !p.is_empty());
    let padding =
        padding.map(|padding| Node::new("padding").with("octets", padding.len()).with("data", to_hex(padding)));
    chain.payloads().map(|p| payload(&p)).chain(padding).collect()
}

fn payload(payload: &Payload<'_>) -> Node {
    let node = Node::new(payload.kind)
        .with("kind", payload.kind.0)
        .with("offset", payload.offset)
        .with("length", payload.length())
        .with_some("reserved", Some(payload.reserved).filter(|&r| r != 0));
    match payload.view() {
        Body::SecurityAssociation(sa) => node
            .with("doi", sa.doi.0)
            .with("doi_name", sa.doi.to_string())
            .with("situation", sa.situation.0)
            .with_some("labels", Some(sa.labels).filter(|l| !l.is_empty()).map(to_hex))
            .containing(sa.proposals().map(|p| proposal(&p))),
        Body::OtherDoi(doi, bytes) => node.with("doi", doi.0).with("data", to_hex(bytes)),
        Body::Identification(id) => identity(node, &id),
        Body::Certificate(cert) | Body::CertificateRequest(cert) => node
            .with("encoding", cert.encoding.0)
            .with("encoding_name", cert.encoding.to_string())
            .with("data", to_hex(cert.data)),
        Body::Notification(n) => node
            .with("doi", n.doi.0)
            .with("doi_name", n.doi.to_string())
            .with("protocol", n.protocol.0)
            .with("protocol_name", n.protocol.to_string())
            .with("type", n.kind.0)
            .with("type_name", n.kind.to_string())
            .with("spi", to_hex(n.spi))
            .with("data", to_hex(n.data)),
        Body::Delete(delete) => node
            .with("doi", delete.doi.0)
            .with("doi_name", delete.doi.to_string())
            .with("protocol", delete.protocol.0)
            .with("protocol_name", delete.protocol.to_string())
            .with("spi_size", delete.spi_size)
            .with("spi_count", delete.spi_count)
            .with("spis", delete.spis().map(to_hex).collect::<Vec<_>>()),
        Body::VendorId(bytes) => {
            node.with_some("vendor", identify(bytes).map(|id| id.name)).with("data", to_hex(bytes))
        }
        Body::Config(config) => node
            .with("type", config.kind.0)
            .with("type_name", config.kind.to_string())
            .with_some("config_reserved", Some(config.reserved).filter(|&r| r != 0))
            .with("identifier", config.identifier)
            .with_some("padding", Some(config.padding).filter(|p| !p.is_empty()).map(to_hex))
            .containing(config.attributes.iter().map(|a| config_attribute(&a))),
        Body::NatOriginalAddress(original) => {
            let reserved = Some(original.reserved).filter(|r| *r != [0; 3]);
            let node = node.with("id_type", original.kind.0).with_some("nat_reserved", reserved.map(|r| to_hex(&r)));
            match original.address() {
                Some(address) => node.with("address", address.to_string()),
                None => node.with("data", to_hex(original.data)),
            }
        }
        Body::Fragment(fragment) => node
            .with("fragment_id", fragment.id)
            .with("number", fragment.number)
            .with("flags", fragment.flags)
            .with("last", fragment.is_last())
            .with("data", to_hex(fragment.data)),
        _ => node.with("data", to_hex(payload.body)),
    }
}

fn identity(node: Node, id: &Identification<'_>) -> Node {
    let node = node
        .with("id_type", id.kind.0)
        .with("id_type_name", id.kind.to_string())
        .with("protocol", id.protocol)
        .with("port", id.port);
    match (id.address(), id.kind) {
        (Some(IdAddress::V4(a)), _) => node.with("address", a.to_string()),
        (Some(IdAddress::V6(a)), _) => node.with("address", a.to_string()),
        (Some(IdAddress::V4Subnet(a, b)), _) => node.with("address", a.to_string()).with("mask", b.to_string()),
        (Some(IdAddress::V6Subnet(a, b)), _) => node.with("address", a.to_string()).with("mask", b.to_string()),
        (Some(IdAddress::V4Range(a, b)), _) => node.with("first", a.to_string()).with("last", b.to_string()),
        (Some(IdAddress::V6Range(a, b)), _) => node.with("first", a.to_string()).with("last", b.to_string()),
        (None, IdKind::FQDN | IdKind::USER_FQDN) => match id.name() {
            Some(name) => node.with("id", name),
            None => node.with("data", to_hex(id.data)),
        },
        (None, _) => node.with("data", to_hex(id.data)),
    }
}

fn proposal(proposal: &Proposal<'_>) -> Node {
    Node::new("proposal")
        .with("kind", PayloadKind::PROPOSAL.0)
        .with("offset", proposal.offset)
        .with("length", proposal.length)
        .with("number", proposal.number)
        .with("protocol", proposal.protocol.0)
        .with("protocol_name", proposal.protocol.to_string())
        .with_some("reserved", Some(proposal.reserved).filter(|&r| r != 0))
        .with("spi", to_hex(proposal.spi))
        .containing(proposal.transforms().map(|t| transform(proposal.protocol, &t)))
}

fn transform(protocol: ProtocolId, transform: &Transform<'_>) -> Node {
    let name = match (protocol, transform.id.0) {
        (ProtocolId::AH, id) => AhTransform(id).to_string(),
        (ProtocolId::ESP, id) => EspTransform(id).to_string(),
        (ProtocolId::IPCOMP, id) => IpcompTransform(id).to_string(),
        (_, id) => TransformId(id).to_string(),
    };
    Node::new("transform")
        .with("kind", PayloadKind::TRANSFORM.0)
        .with("offset", transform.offset)
        .with("length", transform.length)
        .with("number", transform.number)
        .with("id", transform.id.0)
        .with("id_name", name)
        .with_some("reserved", Some(transform.reserved).filter(|&r| r != 0))
        .with_some("reserved2", Some(transform.reserved2).filter(|&r| r != 0))
        .containing(transform.attributes.iter().map(|a| match protocol {
            ProtocolId::ISAKMP => oakley_attribute(&a),
            _ => ipsec_attribute(&a),
        }))
}

fn oakley_attribute(a: &Attribute<'_>) -> Node {
    let meaning = short(a).and_then(|value| match OakleyAttribute(a.kind) {
        OakleyAttribute::ENCRYPTION => Encryption(value).name(),
        OakleyAttribute::HASH => Hash(value).name(),
        OakleyAttribute::AUTH_METHOD => AuthMethod(value).name(),
        OakleyAttribute::GROUP => Group(value).name(),
        OakleyAttribute::GROUP_TYPE => GroupType(value).name(),
        OakleyAttribute::LIFE_TYPE => LifeType(value).name(),
        _ => None,
    });
    attribute(OakleyAttribute(a.kind).to_string(), a, meaning)
}

fn ipsec_attribute(a: &Attribute<'_>) -> Node {
    let meaning = short(a).and_then(|value| match IpsecAttribute(a.kind) {
        IpsecAttribute::LIFE_TYPE => LifeType(value).name(),
        IpsecAttribute::GROUP => Group(value).name(),
        IpsecAttribute::ENCAPSULATION_MODE => EncapsulationMode(value).name(),
        IpsecAttribute::AUTH_ALGORITHM => AuthAlgorithm(value).name(),
        _ => None,
    });
    attribute(IpsecAttribute(a.kind).to_string(), a, meaning)
}

fn config_attribute(a: &Attribute<'_>) -> Node {
    let meaning = short(a).and_then(|value| match ConfigAttribute(a.kind) {
        ConfigAttribute::XAUTH_TYPE => XauthType(value).name(),
        ConfigAttribute::XAUTH_STATUS => XauthStatus(value).name(),
        _ => None,
    });
    attribute(ConfigAttribute(a.kind).to_string(), a, meaning)
}

fn attribute(name: String, a: &Attribute<'_>, meaning: Option<&'static str>) -> Node {
    let node = Node::new(name).with("type", a.kind);
    match a.value {
        Value::Basic(value) => node.with("value", value),
        Value::Variable(bytes) => node.with("data", to_hex(bytes)),
    }
    .with_some("meaning", meaning)
}

fn short(a: &Attribute<'_>) -> Option<u16> {
    a.number().and_then(|n| u16::try_from(n).ok())
}
