//! Wire format of IKEv1 (ISAKMP, RFC 2407 to 2409): messages are parsed without copying and written octet for octet.
//!
//! The crate contains [`Message::parse`], which checks the whole message once, and iterators over payloads, proposals,
//! transforms and attributes that cannot fail after that; [`MessageWriter`], which fills in the lengths and next
//! payload fields; [`Reassembly`] of fragments; the framing of UDP ports 500 and 4500 and of TCP; and a table of known
//! vendor IDs with the properties of a peer that follow from them ([`Quirks`]). It contains no cryptography (the body
//! of an encrypted message is opaque; [`Chain::decrypted`] parses its plaintext), no negotiation, and no IKEv2, which
//! is recognised and refused.
//!
//! ```
//! use ike_codec::{Body, ExchangeKind, Header, Message, MessageWriter, OakleyAttribute, PayloadKind};
//! use ike_codec::{ProposalHead, ProtocolId, TransformHead, TransformId};
//!
//! let mut buf = [0u8; 256];
//! let header = Header::new([1; 8], [0; 8], ExchangeKind::MAIN, 0);
//! let mut writer = MessageWriter::new(&mut buf, &header)?;
//! writer.sa(|sa| {
//!     sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
//!         proposal.transform(&TransformHead::new(1, TransformId::KEY_IKE), |list| list.basic(OakleyAttribute::GROUP.0, 14))
//!     })
//! })?;
//! writer.bytes(PayloadKind::VENDOR_ID, b"example")?;
//! let message = Message::parse(writer.finish())?;
//! assert!(message.payloads().any(|payload| payload.view() == Body::VendorId(b"example")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate has no Cargo features.
//!
//! Security notes: a cleartext message is not authenticated; no content of it may delete or change an SA. The work for
//! any input is linear in its length, lengths and counts are checked against the octets present, and no input panics.
//! Errors carry numbers, never octets of the message.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

mod attribute;
mod body;
mod certificate;
mod chain;
mod config;
mod delete;
mod error;
mod fragment;
mod header;
mod id;
mod message;
mod nat;
mod natt;
mod notification;
mod number;
mod quirks;
mod sa;
mod strict;
mod transport;
mod typed;
mod vendor;
mod writer;

pub use attribute::{Attribute, AttributeIter, Attributes, Value};
pub use body::Body;
pub use certificate::Certificate;
pub use chain::{Chain, GENERIC_HEADER, Payload, Payloads};
pub use config::Config;
pub use delete::Delete;
pub use error::{DecodeError, DecodeErrorKind, NoSpace};
pub use fragment::{Fragment, FragmentError, MAX_FRAGMENTS, Progress, Reassembly, write_fragment};
pub use header::{Cookie, Header};
pub use id::{IdAddress, Identification};
pub use ipsec_packet::Datagram;
pub use message::Message;
pub use nat::OriginalAddress;
pub use natt::{NatTraversal, NatTraversals};
pub use notification::Notification;
pub use number::*;
pub use quirks::{FragmentationUse, HeartbeatOrPskHash, Quirks, RawRsaOrKeyNote, XauthOrGssApi};
pub use sa::{Proposal, Proposals, SecurityAssociation, Transform, Transforms};
pub use transport::{
    NON_ESP_MARKER, Port, StreamError, TCP_PREFIX, split_tcp, strip_tcp_prefix, tcp_frame_header, unframe_udp,
};
pub use typed::{AttributeError, IpsecAttributes, Lifetimes, OakleyAttributes};
pub use vendor::{VendorId, VendorIdMeaning, identify, vendor_ids};
pub use writer::{AttributeWriter, BodyWriter, MessageWriter, ProposalHead, SaWriter, TransformHead, TransformWriter};
