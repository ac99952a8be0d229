//! Message writer: its length, the maximum length of a message, and the encoding of attribute types.

use ike_codec::{Attribute, Attributes, ExchangeKind, Header, Message, MessageWriter, NoSpace, PayloadKind, Value};

fn header() -> Header {
    Header::new([1; 8], [2; 8], ExchangeKind::MAIN, 0)
}

#[test]
fn writer_len_counts_header_and_payloads() {
    let mut buf = [0; 60];
    let mut writer = MessageWriter::new(&mut buf, &header()).unwrap();
    assert_eq!((writer.len(), writer.is_empty()), (28, false));
    writer.bytes(PayloadKind::NONCE, &[7; 8]).unwrap();
    assert_eq!((writer.len(), writer.is_empty()), (40, false));
    assert!(writer.bytes(PayloadKind::HASH, &[7; 20]).is_err());
    assert_eq!(writer.len(), 40, "a failed payload must not be counted");
    assert_eq!(writer.finish().len(), 40);
}

//= RFC 2408 3.1/1, 3.1/4, 5.3/1, 5.3/3
//# MUST: the major version sent is 1
//# MUST: the minor version sent is 0
//# MUST: sending: the next payload field names the next payload
//# MUST: sending: the payload length is that of the payload
#[test]
fn writer_limits_message_to_65_535_octets() {
    let mut buf = vec![0; 70_000];
    let longest = 65_535 - 28 - 12 - 4;
    for (length, fits) in [(longest - 1, true), (longest, true), (longest + 1, false), (longest + 2, false)] {
        let mut writer = MessageWriter::new(&mut buf, &header()).unwrap();
        writer.bytes(PayloadKind::NONCE, &[7; 8]).unwrap();
        let written = writer.bytes(PayloadKind::VENDOR_ID, &vec![7; length]).map(|writer| writer.len());
        assert_eq!(written, if fits { Ok(28 + 12 + 4 + length) } else { Err(NoSpace) }, "{length}");
        let message = Message::parse(writer.finish()).unwrap();
        assert_eq!(message.payloads().count(), 1 + usize::from(fits), "{length}");
    }
}

#[test]
fn finish_padded_limits_message_to_65_535_octets() {
    let mut buf = vec![0; 70_000];
    for (block, fits) in [(1, true), (13, true), (8, false), (usize::MAX, false)] {
        let mut writer = MessageWriter::new(&mut buf, &header()).unwrap();
        writer.bytes(PayloadKind::VENDOR_ID, &vec![7; 65_535 - 28 - 4]).unwrap();
        assert_eq!(
            writer.finish_padded(block).map(|message| message.len()),
            if fits { Ok(65_535) } else { Err(NoSpace) }
        );
    }
}

#[test]
fn writer_sets_attribute_format_bit_from_value_encoding() {
    for kind in [1, 0x8001] {
        let mut buf = [0; 60];
        let mut writer = MessageWriter::new(&mut buf, &header()).unwrap();
        writer
            .payload(PayloadKind::HASH, |body| {
                body.attributes(|list| {
                    list.basic(kind, 7)?;
                    list.variable(kind, &[8, 9])
                })
            })
            .unwrap();
        let octets = &writer.finish()[32..];
        assert_eq!(octets, [0x80, 1, 0, 7, 0, 1, 0, 2, 8, 9], "{kind:#x}");
        let read: Vec<_> = Attributes::parse(octets).unwrap().iter().collect();
        let expected = [Value::Basic(7), Value::Variable(&[8, 9])].map(|value| Attribute { kind: 1, value });
        assert_eq!(read, expected, "{kind:#x}");
    }
}
