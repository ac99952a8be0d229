//! Tables of the fields of each type of record.

use super::{Field, Kind, RecordType};

const U8: Kind = Kind::Number(0xff);
const U16: Kind = Kind::Number(0xffff);
const U32: Kind = Kind::Number(0xffff_ffff);
const U64: Kind = Kind::Number(u64::MAX);
const HEX: Kind = Kind::Hex;
const TEXT: Kind = Kind::Text;
const MODE: Kind = Kind::Word(&["transport", "tunnel"]);
const SENDER: Kind = Kind::Word(&["initiator", "responder"]);

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, is_required: true, doc }
}

const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, is_required: false, doc }
}

/// Fields of every record. Those of kind `Any` are information.
const COMMON: &[Field] = &[
    required("type", TEXT, "Type of the record."),
    required("id", TEXT, "Name of the record, which a failure prints."),
    optional("source", Kind::Any, "Origin of the record."),
    optional("licence", Kind::Any, "Licence of the record."),
    optional("verified", Kind::Any, "Programs that agree with the record."),
    optional("tags", Kind::Any, "Words to select records by."),
    optional("derived_from", Kind::Any, "Record that was altered."),
    optional("note", Kind::Any, "Remark."),
    optional("reason", Kind::Any, "Description of what was altered."),
    optional("scenario", Kind::Any, "Configuration of the programs that made the record."),
    optional("variant", Kind::Any, "Variant of the program that made the record."),
];

const SA: &[Field] = &[
    required("proto", Kind::Word(&["esp", "ah"]), "Protocol."),
    required("mode", MODE, "Mode of the SA."),
    optional("cipher", TEXT, "Cipher or AEAD of ESP, such as aes-cbc or aes-gcm; absent for AH."),
    optional("enc_key", HEX, "Key of the cipher without the salt."),
    optional("salt", HEX, "Salt of an AEAD, or nonce of AES-CTR."),
    optional(
        "auth",
        TEXT,
        "Integrity algorithm by its name in the workspace; `none` or absent with an AEAD or without integrity.",
    ),
    optional("auth_key", HEX, "Key of the integrity algorithm."),
    optional("icv_len", Kind::Number(64), "Length of the ICV in octets; 0 or absent if the algorithm has one length."),
    required("spi", U32, "SPI."),
    optional("esn", Kind::Bool, "Sequence numbers have 64 bits."),
    optional(
        "ah_profile",
        Kind::Word(&["align8"]),
        "Padding of the ICV of AH to 64 bits over IPv4; absent for RFC 4302.",
    ),
    optional("udp_encap", Kind::Object(UDP_PORTS), "Ports of ESP in UDP (RFC 3948)."),
    required("ip_version", U8, "IP version of the outer header."),
];

const UDP_PORTS: &[Field] = &[required("sport", U16, "Source port."), required("dport", U16, "Destination port.")];

const PACKET: &[Field] = &[
    optional("seq", U64, "Sequence number, with its high half for an SA with 64 bits."),
    optional("seq_high", U32, "High half that the receiver knows."),
    optional("iv", HEX, "IV as transmitted."),
    optional("plain_packet", HEX, "IP packet before protection."),
    required("wire_packet", HEX, "IP packet after protection."),
    required("expected", Kind::Expected, "Result of a new receiver of wire_packet with a window of 64 packets."),
    optional("seal", Kind::Bool, "Protecting plain_packet gives exactly wire_packet."),
];

const REPLAY: &[Field] = &[
    required("window", U32, "Size of the anti-replay window in packets."),
    required("initial_top", U64, "Top of the window; no number up to it was received."),
    required("packets", Kind::List(&Kind::Object(REPLAY_PACKET)), "Packets in the order of arrival."),
];

const REPLAY_PACKET: &[Field] = &[
    required("seq", U64, "Sequence number with its high half."),
    required("wire_packet", HEX, "IP packet after protection."),
    required("plain_packet", HEX, "IP packet before protection."),
    required("expected", Kind::Expected, "Result of the receiver."),
];

const IPCOMP: &[Field] = &[
    required("mode", MODE, "Mode of the association."),
    required("ip_version", U8, "IP version of the outer header."),
    required("cpi", U16, "CPI."),
    required("algorithm", TEXT, "Compression algorithm: deflate."),
    optional("plain_packet", HEX, "IP packet before compression."),
    required("wire_packet", HEX, "IP packet after compression."),
    required("expected", Kind::Expected, "Result of a receiver of wire_packet."),
    optional("compressible", Kind::Bool, "False if a sender must not compress the packet."),
];

const ISAKMP: &[Field] = &[
    required("hex", HEX, "Message without a marker."),
    optional("udp_payload", HEX, "UDP payload with the non-ESP marker."),
    required("header", Kind::Object(ISAKMP_HEADER), "Fields of the ISAKMP header."),
    required("encrypted", Kind::Bool, "The body is ciphertext."),
    optional("payloads", Kind::Payloads, "Payloads of a message in cleartext, with offsets from the ISAKMP header."),
    required("expected", Kind::Expected, "Result of a parser."),
    optional("ka", Kind::Any, "Encryption key, as information."),
    optional("decrypted_payloads", Kind::Any, "Payloads of the decrypted message, as information."),
];

const ISAKMP_HEADER: &[Field] = &[
    required("initiator_cookie", HEX, "Cookie of the initiator."),
    required("responder_cookie", HEX, "Cookie of the responder."),
    required("next_payload", U8, "Type of the first payload."),
    required("version", TEXT, "Version, such as 1.0."),
    required("exchange", U8, "Exchange type."),
    required("flags", U8, "Flags."),
    required("message_id", HEX, "Message ID."),
    required("length", U32, "Length field."),
];

const ISAKMP_BYTES: &[Field] =
    &[required("hex", HEX, "Octets of the datagram."), required("expected", Kind::Expected, "Result of a parser.")];

const ISAKMP_FRAGMENTS: &[Field] = &[
    required("fragments", Kind::List(&HEX), "Messages with one fragment each, in order."),
    required("fragment_id", U16, "Fragment ID of all fragments."),
    required("reassembled", HEX, "Message of all fragments."),
    required("expected", Kind::Expected, "Result of a receiver."),
];

const PHASE_1: &[Field] = &[
    required("prf", TEXT, "Pseudo-random function by its name in the workspace."),
    optional("hash", TEXT, "Hash algorithm, if it is not that of prf."),
    optional("auth_method", TEXT, "Authentication method; absent for psk."),
    optional("psk", HEX, "Pre-shared key."),
    optional("cky_i", HEX, "Cookie of the initiator."),
    optional("cky_r", HEX, "Cookie of the responder."),
    optional("ni", HEX, "Nonce of the initiator."),
    optional("nr", HEX, "Nonce of the responder."),
    optional("g_xi", HEX, "Public value of the initiator."),
    optional("g_xr", HEX, "Public value of the responder."),
    optional("g_xy", HEX, "Shared secret."),
    optional("sai_b", HEX, "Body of the SA payload of the initiator."),
    optional("idii_b", HEX, "Body of the identification of the initiator."),
    optional("idir_b", HEX, "Body of the identification of the responder."),
    optional("skeyid", HEX, "SKEYID."),
    optional("skeyid_d", HEX, "SKEYID_d."),
    optional("skeyid_a", HEX, "SKEYID_a."),
    optional("skeyid_e", HEX, "SKEYID_e."),
    optional("ka", HEX, "Encryption key."),
    optional("initial_iv", HEX, "First IV of phase 1."),
    optional("hash_i", HEX, "HASH_I."),
    optional("hash_i_data", HEX, "Input of HASH_I."),
    optional("hash_r", HEX, "HASH_R."),
    optional("hash_r_data", HEX, "Input of HASH_R."),
];

const KEYMAT: &[Field] = &[
    required("prf", TEXT, "Pseudo-random function."),
    required("skeyid_d", HEX, "SKEYID_d."),
    required("seed_initiator_sa", HEX, "Seed of the SA to the initiator."),
    required("seed_responder_sa", HEX, "Seed of the SA to the responder."),
    optional("seed_format", Kind::Any, "Form of the seed, as information."),
    optional("pfs", Kind::Bool, "The seed begins with a shared secret."),
    required("enc_key_initiator", HEX, "Encryption key of the SA to the initiator."),
    required("integ_key_initiator", HEX, "Integrity key of the SA to the initiator."),
    required("enc_key_responder", HEX, "Encryption key of the SA to the responder."),
    required("integ_key_responder", HEX, "Integrity key of the SA to the responder."),
];

const FLOW: &[Field] = &[
    required("prf", TEXT, "Pseudo-random function."),
    optional("hash", TEXT, "Hash algorithm, if it is not that of prf."),
    required("ka", HEX, "Encryption key."),
    required("skeyid_a", HEX, "SKEYID_a."),
    required("messages", Kind::List(&Kind::Object(FLOW_MESSAGE)), "Messages in order."),
    optional("phase1", Kind::Any, "Record of phase 1, as information."),
];

const FLOW_MESSAGE: &[Field] = &[
    optional("from_", SENDER, "Sender."),
    required("wire", HEX, "Message."),
    optional("cipher", TEXT, "Cipher of an encrypted message."),
    optional("iv", HEX, "IV of an encrypted message."),
    optional("plaintext", HEX, "Decrypted body."),
    optional("payloads", Kind::List(&Kind::Pair(&U8, &U32)), "Type and length of each payload."),
    optional("padding", HEX, "Padding of the body."),
    optional("hash", TEXT, "Hash of phase 2 in the message, a text that begins with HASH(1), HASH(2) or HASH(3)."),
    optional("frame", Kind::Any, "Number of the frame, as information."),
    optional("exchange", Kind::Any, "Exchange type, as information."),
    optional("message_id", Kind::Any, "Message ID, as information."),
];

const CONVERSATION: &[Field] = &[
    optional("psk", HEX, "Pre-shared key."),
    optional("shared", Kind::List(&HEX), "Shared secrets in any order."),
    optional("ka", Kind::List(&Kind::Pair(&HEX, &HEX)), "Cookie and encryption key of SAs without a shared secret."),
    required("messages", Kind::List(&Kind::Object(CONVERSATION_MESSAGE)), "Messages in order."),
];

const CONVERSATION_MESSAGE: &[Field] = &[
    required("from_", SENDER, "Sender."),
    required("wire", HEX, "Message."),
    optional("hash", Kind::Word(&["good", "signature", "not verified"]), "Result of the verification."),
    optional("signed", HEX, "Value that is signed."),
];

/// Every type of record.
pub(super) const TYPES: &[RecordType] = &[
    RecordType { names: &["packet"], doc: "ESP or AH packet with its SA.", fields: &[COMMON, SA, PACKET] },
    RecordType { names: &["replay"], doc: "Packets for one receiver.", fields: &[COMMON, SA, REPLAY] },
    RecordType { names: &["ipcomp"], doc: "IPComp packet.", fields: &[COMMON, IPCOMP] },
    RecordType { names: &["isakmp"], doc: "IKEv1 message with its fields.", fields: &[COMMON, ISAKMP] },
    RecordType {
        names: &["isakmp-bytes"],
        doc: "Malformed or unusual IKEv1 message.",
        fields: &[COMMON, ISAKMP_BYTES],
    },
    RecordType {
        names: &["isakmp-fragments"],
        doc: "IKEv1 message in fragments.",
        fields: &[COMMON, ISAKMP_FRAGMENTS],
    },
    RecordType {
        names: &["ike-phase1", "ike-skeyid", "ike-psk-hash"],
        doc: "Keys and hashes of phase 1.",
        fields: &[COMMON, PHASE_1],
    },
    RecordType { names: &["ike-keymat"], doc: "Keying material of quick mode.", fields: &[COMMON, KEYMAT] },
    RecordType { names: &["ike-flow"], doc: "Exchange with encrypted messages.", fields: &[COMMON, FLOW] },
    RecordType {
        names: &["ike-conversation"],
        doc: "Recorded conversation of two peers.",
        fields: &[COMMON, CONVERSATION],
    },
];
