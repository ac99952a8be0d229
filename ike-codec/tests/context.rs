//! Interpretation of octets that depends on context: the NAT traversal document, the port, the DOI, and strict or
//! lenient parsing.

use ike_codec::{
    Body, Chain, Datagram, DecodeErrorKind, Doi, ExchangeKind, Header, Message, MessageWriter, NatTraversal,
    PayloadKind, Port, ProposalHead, ProtocolId, Situation, StreamError, TCP_PREFIX, TransformHead, TransformId,
    strip_tcp_prefix, unframe_udp,
};
use ipsec_packet::{Marker, classify};

fn message<'b>(buf: &'b mut [u8], kind: PayloadKind, body: &[u8]) -> &'b [u8] {
    let mut writer = MessageWriter::new(buf, &Header::new([1; 8], [2; 8], ExchangeKind::MAIN, 0)).unwrap();
    writer.bytes(kind, body).unwrap();
    writer.finish()
}

#[test]
fn view_with_decodes_payloads_15_and_16_as_nat_t_in_drafts_04_to_08_only() {
    let (mut buf, address) = ([0; 100], [1, 0, 0, 0, 192, 0, 2, 1]);
    for one in NatTraversal::ALL {
        let is_draft_04_to_08 = one > NatTraversal::Draft03 && one < NatTraversal::Rfc3947;
        let bytes = message(&mut buf, PayloadKind(15), &[7; 20]);
        let payload = Message::parse(bytes).unwrap().payloads().next().unwrap();
        let expected = if is_draft_04_to_08 { Body::NatDetection(&[7; 20]) } else { Body::Other(&[7; 20]) };
        assert_eq!(payload.view_with(one), expected, "{one:?}");
        let bytes = message(&mut buf, PayloadKind(16), &address);
        let payload = Message::parse(bytes).unwrap().payloads().next().unwrap();
        let is_address = matches!(payload.view_with(one), Body::NatOriginalAddress(a) if a.data == [192, 0, 2, 1]);
        assert_eq!(is_address, is_draft_04_to_08, "{one:?}");
        // The SAT payload of GDOI has the same number. It is neither an address nor an error.
        let bytes = message(&mut buf, PayloadKind(16), &address[..7]);
        let payload = Message::parse(bytes).unwrap().payloads().next().unwrap();
        assert_eq!(payload.view_with(one), Body::Other(&address[..7]));
    }
}

#[test]
fn unframe_udp_finds_esp_on_port_500_after_eight_zeros_in_first_drafts_only() {
    let esp = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 1];
    assert_eq!(unframe_udp(Port::IkeAndEsp, &esp), Datagram::Esp(&esp[8..]));
    assert_eq!(unframe_udp(Port::Ike, &esp), Datagram::Ike(&esp));
    assert_eq!(unframe_udp(Port::IkeAndEsp, &[1; 30]), Datagram::Ike(&[1; 30]));
    assert_eq!(unframe_udp(Port::IkeAndEsp, &[0xff]), Datagram::KeepAlive);
}

/// `ipsec-packet` and this crate used to disagree on payloads of up to 7 octets.
#[test]
fn short_payloads_are_classified_as_by_the_engine() {
    for length in 0..=8 {
        for octet in [0, 1, 0xff] {
            let payload = vec![octet; length];
            for (port, marker) in [(Port::NatTraversal, Marker::NonEsp), (Port::IkeAndEsp, Marker::NonIke)] {
                assert_eq!(unframe_udp(port, &payload), classify(&payload, marker), "{payload:?}");
            }
        }
    }
    assert_eq!(unframe_udp(Port::NatTraversal, &[1; 7]), Datagram::Runt, "neither a marker nor an ESP header");
    assert_eq!(unframe_udp(Port::NatTraversal, &[0; 4]), Datagram::Ike(&[]));
    assert_eq!(unframe_udp(Port::Ike, &[]), Datagram::Ike(&[]));
}

#[test]
fn strip_tcp_prefix_accepts_partial_prefix_and_refuses_first_difference() {
    assert_eq!(TCP_PREFIX, *b"IKETCP");
    for end in 0..TCP_PREFIX.len() {
        let (so_far, next) = (&TCP_PREFIX[..end], TCP_PREFIX[end]);
        assert_eq!(strip_tcp_prefix(so_far), Ok(None), "{end}");
        for wrong in [0, next.to_ascii_lowercase(), next ^ 1, 0xff] {
            let short = [so_far, &[wrong]].concat();
            let long = [so_far, &[wrong], b"IKETCP"].concat();
            assert_eq!(strip_tcp_prefix(&short), Err(StreamError::NoPrefix), "{short:02x?}");
            assert_eq!(strip_tcp_prefix(&long), Err(StreamError::NoPrefix), "{long:02x?}");
        }
    }
    assert_eq!(strip_tcp_prefix(b"IKETCP"), Ok(Some(&[][..])));
    assert_eq!(strip_tcp_prefix(b"IKETCP\0\x20"), Ok(Some(&[0, 0x20][..])));
}

//= RFC 2407 4.2.2/1, 4.2.3/1
//# MUST NOT: an initiator that does not support sit_secrecy sets no bit and sends no label of it
//# MUST NOT: an initiator that does not support sit_integrity sets no bit and sends no label of it
//= RFC 2408 2.1/1
//# SHOULD: several domains of interpretation are supported at once
#[test]
fn sa_of_doi_0_is_decoded_if_it_has_the_structure_of_ipsec_doi() {
    let mut buf = [0; 100];
    let mut writer = MessageWriter::new(&mut buf, &Header::new([1; 8], [0; 8], ExchangeKind::MAIN, 0)).unwrap();
    writer
        .sa(|sa| {
            sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
                proposal.transform(&TransformHead::new(1, TransformId::KEY_IKE), |list| list.basic(1, 7))
            })
        })
        .unwrap();
    let mut bytes = writer.finish().to_vec();
    bytes[35] = 0; // the DOI
    let parsed = Message::parse(&bytes).unwrap();
    let Body::SecurityAssociation(sa) = parsed.payloads().next().unwrap().view() else { panic!() };
    assert_eq!((sa.doi, sa.situation, sa.proposals().count()), (Doi::ISAKMP, Situation::IDENTITY_ONLY, 1));
    assert_eq!(parsed.write(&mut [0; 100]).unwrap(), bytes);
    // Another structure of DOI 0 is not decoded, and an SA payload of GDOI is never decoded.
    let odd = message(&mut buf, PayloadKind::SA, &[0, 0, 0, 0, 9, 9, 9]);
    let view = Message::parse(odd).unwrap().payloads().next().unwrap().view();
    assert_eq!(view, Body::OtherDoi(Doi::ISAKMP, &[9, 9, 9]));
    bytes[35] = 2;
    let gdoi = Message::parse(&bytes).unwrap();
    assert!(matches!(gdoi.payloads().next().unwrap().view(), Body::OtherDoi(Doi::GDOI, _)));
}

//= RFC 2407 4.4.2.1/1
//# MUST: key_ike is supported
//= RFC 2408 5.14/11, 5.6/4
//# MUST: receiving: a notification of an invalid type is discarded
//# MUST: receiving: transforms of unknown or unsupported numbers are ignored
#[test]
fn parse_strict_refuses_reserved_and_unassigned_values() {
    use DecodeErrorKind::{Reserved, Unassigned};
    let sa = |tail: &[u8]| [&[0, 0, 0, 1][..], tail].concat();
    let proposal = |protocol, id| [0, 0, 0, 16, 1, protocol, 0, 1, 0, 0, 0, 8, 1, id, 0, 0];
    let plain = |protocol, id| sa(&[&[0, 0, 0, 1][..], &proposal(protocol, id)].concat());
    let with_attribute = |protocol, kind| {
        let id = if protocol == 1 { 1 } else { 12 };
        let attribute = [0, 0, 0, 1, 0, 0, 0, 20, 1, protocol, 0, 1, 0, 0, 0, 12, 1, id, 0, 0, 0x80, kind, 0, 1];
        sa(&attribute)
    };
    let labels = [[0, 0, 0, 2], [0, 0, 0, 9], [0, 0, 0, 7], [0, 0, 0, 0]].concat();
    for (kind, body, expected) in [
        (1, plain(1, 1), None),
        (1, plain(1, 200), Some(Unassigned)),
        (1, plain(3, 12), None),
        (1, plain(3, 99), Some(Unassigned)),
        (1, sa(&[&[0, 0, 0, 9][..], &proposal(1, 1)].concat()), Some(Reserved)),
        (1, with_attribute(1, 11), None),
        (1, with_attribute(1, 99), Some(Unassigned)),
        (1, with_attribute(3, 11), None),
        (1, with_attribute(3, 12), Some(Unassigned)),
        (14, vec![1, 0, 0, 1, 0x80, 1, 0, 0], None),
        (14, vec![1, 0, 0, 1, 0x81, 0, 0, 0], Some(Unassigned)),
        (1, sa(&[&labels[..], &proposal(1, 1)].concat()), Some(Reserved)),
        (11, vec![0, 0, 0, 1, 3, 0, 0, 14], None),
        (11, vec![0, 0, 0, 1, 3, 0, 0, 77], Some(Unassigned)),
        (21, vec![9, 0, 0, 0, 1], Some(Unassigned)),
        (14, vec![1, 0, 0, 1, 0, 0], Some(Reserved)),
        (132, vec![0, 1, 1, 1, 7], None),
        (132, vec![0, 1, 1, 3, 7], Some(Reserved)),
    ] {
        let mut buf = [0; 100];
        let bytes = message(&mut buf, PayloadKind(kind), &body);
        assert!(Message::parse(bytes).is_ok(), "{kind} {body:02x?}");
        assert_eq!(Message::parse_strict(bytes).err().map(|e| e.kind), expected, "{kind} {body:02x?}");
    }
}

#[test]
fn check_strictly_refuses_padding_of_a_decrypted_chain() {
    let hash = [&[0, 0, 0, 8][..], &[5; 4]].concat();
    let padded = [&hash[..], &[0; 8]].concat();
    assert_eq!(Chain::decrypted(PayloadKind::HASH, &hash).unwrap().check_strictly(), Ok(()));
    let error = Chain::decrypted(PayloadKind::HASH, &padded).unwrap().check_strictly().unwrap_err();
    assert_eq!((error.kind, error.offset), (DecodeErrorKind::TrailingData, 36));
}

//= RFC 2408 2.5.2/1, 5.3/2
//# MUST: reserved fields are sent as zero
//# MUST: sending: the reserved field is zero
#[test]
fn parse_strict_accepts_assigned_values() {
    use DecodeErrorKind::Unassigned;
    let sa = |protocol, id, attributes: &[u8]| {
        let length = u8::try_from(attributes.len()).unwrap();
        let head = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 16 + length, 1, protocol, 0, 1, 0, 0, 0, 8 + length, 1, id, 0, 0];
        [&head[..], attributes].concat()
    };
    // Encryption, hash, authentication, group, lifetime and key length of phase 1; 16 is a group order (RFC 2409
    // appendix A).
    let oakley: Vec<u8> = [1, 2, 3, 4, 11, 12, 14].into_iter().flat_map(|kind| [0x80, kind, 0, 1]).collect();
    for (kind, body, expected) in [
        (1, sa(1, 1, &oakley), None),
        (1, sa(1, 1, &[0, 16, 0, 3, 1, 2, 3]), None),
        (1, sa(3, 12, &[0, 16, 0, 3, 1, 2, 3]), Some(Unassigned)),
        // AH_MD5, AH_SHA and AH_DES; 0 and 1 are reserved (RFC 2407 section 4.4.3).
        (1, sa(2, 0, &[]), Some(Unassigned)),
        (1, sa(2, 1, &[]), Some(Unassigned)),
        (1, sa(2, 2, &[]), None),
        (1, sa(2, 3, &[]), None),
        (1, sa(2, 4, &[]), None),
        // GDOI, and DOI 0 with another structure.
        (1, vec![0, 0, 0, 2, 9], None),
        (1, vec![0, 0, 0, 0, 9], None),
        (1, vec![0, 0, 0, 9, 9], Some(Unassigned)),
        (5, vec![1, 0, 0, 0, 192, 0, 2, 1], None),
        (5, [&[3, 17, 1, 244][..], b"a@b.c"].concat(), None),
        (21, vec![1, 0, 0, 0, 192, 0, 2, 1], None),
        (131, [&[5, 0, 0, 0][..], &[7; 16]].concat(), None),
    ] {
        let mut buf = [0; 100];
        let bytes = message(&mut buf, PayloadKind(kind), &body);
        assert!(Message::parse(bytes).is_ok(), "{kind} {body:02x?}");
        assert_eq!(Message::parse_strict(bytes).err().map(|e| e.kind), expected, "{kind} {body:02x?}");
    }
}

#[test]
fn typed_attributes_cover_every_assigned_type() {
    use ike_codec::{Attributes, IpsecAttributes, OakleyAttributes};
    let list = |kinds: &[(u16, bool)]| -> Vec<u8> {
        let attribute = |&(kind, basic): &(u16, bool)| match basic {
            true => [(kind | 0x8000).to_be_bytes(), [0, 1]].concat(),
            false => [&kind.to_be_bytes()[..], &[0, 3, 1, 2, 3]].concat(),
        };
        kinds.iter().flat_map(attribute).collect()
    };
    let basic = [1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 17].map(|kind| (kind, true));
    let variable = [6, 7, 8, 9, 10, 16, 16384].map(|kind| (kind, false));
    let bytes = list(&[&basic[..], &variable].concat());
    let read = OakleyAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap();
    assert_eq!(read.other, None);
    assert_eq!((read.group_order, read.block_size, read.lifetimes.seconds), (Some(&[1, 2, 3][..]), Some(1), Some(1)));
    let basic = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 14, 15].map(|kind| (kind, true));
    let bytes = list(&[&basic[..], &[(9, false), (32001, false)]].concat());
    let read = IpsecAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap();
    assert_eq!(read.other, None);
    assert_eq!((read.direction, read.compress_private_algorithm), (Some(1), Some(&[1, 2, 3][..])));
    let bytes = list(&[(18, true), (400, false)]);
    assert_eq!(OakleyAttributes::read(&Attributes::parse(&bytes).unwrap()).unwrap().other, Some(18));
}

//= RFC 2407 4.6.3.3/2
//# MUST: initial-contact has DOI, protocol, SPI and type as drawn
#[test]
fn cleartext_notification_is_reported_as_not_encrypted() {
    let mut buf = [0; 100];
    let bytes = message(&mut buf, PayloadKind::NOTIFICATION, &[0, 0, 0, 1, 1, 0, 0x60, 2]);
    let parsed = Message::parse(bytes).unwrap();
    assert!(!parsed.is_encrypted());
    let Body::Notification(initial_contact) = parsed.payloads().next().unwrap().view() else { panic!() };
    assert_eq!(initial_contact.kind, ike_codec::NotifyKind::INITIAL_CONTACT);
}

//= RFC 2407 4.6.3.1/1
//# MUST: responder-lifetime has DOI, protocol, SPI, type and attributes as drawn
#[test]
fn responder_lifetime_notification_contains_attributes() {
    use ike_codec::{Attributes, IpsecAttributes};
    let body = [&[0, 0, 0, 1, 3, 4, 0x60, 0, 1, 2, 3, 4][..], &[0x80, 1, 0, 1, 0, 2, 0, 4, 0, 0, 0x0e, 0x10]].concat();
    let mut buf = [0; 100];
    let bytes = message(&mut buf, PayloadKind::NOTIFICATION, &body);
    let Body::Notification(n) = Message::parse(bytes).unwrap().payloads().next().unwrap().view() else { panic!() };
    let lifetimes = IpsecAttributes::read(&Attributes::parse(n.data).unwrap()).unwrap().lifetimes;
    assert_eq!((n.spi, lifetimes.seconds, lifetimes.kilobytes), (&[1, 2, 3, 4][..], Some(3600), None));
}
