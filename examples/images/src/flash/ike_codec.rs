//! Size of parsing a message down to the attributes of its proposals, and of writing one.
#![no_std]
#![no_main]

#[path = "../image.rs"]
mod image;

use ike_codec::{Body, Message, MessageWriter, PayloadKind, ProposalHead, ProtocolId, TransformHead, TransformId};

fn run(input: &[u8], output: &mut [u8]) -> usize {
    parsed(input).unwrap_or(0).wrapping_add(written(input, output).unwrap_or(0))
}

fn parsed(input: &[u8]) -> Option<usize> {
    let message = Message::parse(input).ok()?;
    let mut sum = 0usize;
    for payload in message.chain().payloads() {
        sum = sum.wrapping_add(match payload.view() {
            Body::SecurityAssociation(sa) => sa
                .proposals()
                .flat_map(|proposal| proposal.transforms())
                .flat_map(|transform| transform.attributes.iter())
                .filter_map(|attribute| attribute.number())
                .fold(0, |sum, number| sum.wrapping_add(number as usize)),
            _ => payload.body.len(),
        });
    }
    Some(sum)
}

fn written(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let message = Message::parse(input).ok()?;
    let mut writer = MessageWriter::new(output, message.header()).ok()?;
    let offer = writer.sa(|sa| {
        sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
            proposal.transform(&TransformHead::new(1, TransformId::KEY_IKE), |list| list.variable(1, input))
        })
    });
    offer.ok()?;
    writer.bytes(PayloadKind::NONCE, input).ok()?;
    Some(writer.finish().len())
}
