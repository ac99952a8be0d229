//! Image of `ike-codec` with arbitrary octets: parsing, every view, writing, fragments, framing, vendor IDs, and
//! formatting of errors and numbers.
#![no_std]
#![no_main]

use core::fmt::Write;

use ike_codec::{
    Attributes, Body, Chain, Header, IpsecAttributes, Message, MessageWriter, OakleyAttributes, PayloadKind, Port,
    ProposalHead, ProtocolId, Quirks, Reassembly, TransformHead, TransformId, split_tcp, strip_tcp_prefix,
    tcp_frame_header, unframe_udp, write_fragment,
};

mod image;

fn run(input: &[u8], output: &mut [u8]) -> usize {
    let room = output.len();
    let mut sum = transport(input);
    for parsed in [Message::parse(input), Message::parse_strict(input)] {
        let message = match parsed {
            Ok(message) => message,
            Err(error) => {
                sum = sum.wrapping_add(usize::from(write!(Counter(0), "{error}").is_ok()));
                continue;
            }
        };
        let header = message.header();
        sum =
            sum.wrapping_add(usize::from(write!(Counter(0), "{} {:?}", header.exchange, header.next_payload).is_ok()));
        sum = sum.wrapping_add(chain(message.chain()));
        sum = sum.wrapping_add(usize::from(Quirks::of(&message).dead_peer_detection));
        sum = sum.wrapping_add(message.write(output).map_or(0, |m| m.len()));
        let (store, out) = output.split_at_mut_checked(room >> 1).unwrap_or_default();
        let mut reassembly = Reassembly::new(store);
        let added = reassembly.add(&message).is_ok();
        sum = sum.wrapping_add(usize::from(added)).wrapping_add(reassembly.message(out).map_or(0, |m| m.len()));
    }
    if let Ok(chain_of_plaintext) = Chain::decrypted(PayloadKind::HASH, input) {
        sum = sum.wrapping_add(chain(&chain_of_plaintext));
    }
    if let Ok(Some(fragment)) = write_fragment(output, input, 1, 2, input.len()) {
        sum = sum.wrapping_add(fragment.len());
    }
    sum.wrapping_add(write(input, output))
}

/// Counts the octets of formatted text.
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 = self.0.wrapping_add(text.len());
        Ok(())
    }
}

fn transport(input: &[u8]) -> usize {
    let framed = unframe_udp(Port::NatTraversal, input) == unframe_udp(Port::Ike, input);
    let split = split_tcp(input).is_ok_and(|s| s.is_some()) || strip_tcp_prefix(input).is_ok();
    usize::from(framed ^ split ^ tcp_frame_header(input.len()).is_ok())
}

fn chain(chain: &Chain<'_>) -> usize {
    let mut sum = chain.padding().len();
    for payload in chain.payloads() {
        sum = sum.wrapping_add(match payload.view() {
            Body::SecurityAssociation(sa) => {
                sa.proposals().flat_map(|p| p.transforms()).map(|t| attributes(&t.attributes)).sum()
            }
            Body::Identification(id) => usize::from(id.address().is_some() ^ id.name().is_some()),
            Body::Delete(delete) => delete.spis().count(),
            Body::Config(config) => attributes(&config.attributes),
            Body::NatOriginalAddress(original) => usize::from(original.address().is_some()),
            Body::Notification(notification) => usize::from(notification.number().is_some()),
            _ => payload.body.len(),
        });
    }
    sum
}

fn attributes(list: &Attributes<'_>) -> usize {
    let typed = OakleyAttributes::read(list).is_ok() ^ IpsecAttributes::read(list).is_ok();
    list.iter().filter(|a| a.number().is_some()).count().wrapping_add(usize::from(typed))
}

fn write(input: &[u8], output: &mut [u8]) -> usize {
    let Ok((header, rest)) = Header::read(input) else { return 0 };
    let Ok(mut writer) = MessageWriter::new(output, &header) else { return 0 };
    let sa = writer.sa(|sa| {
        sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, rest), |proposal| {
            proposal.transform(&TransformHead::new(1, TransformId::KEY_IKE), |list| list.variable(1, rest))
        })
    });
    let sa = sa.is_ok();
    let written = writer.bytes(PayloadKind::NONCE, rest).is_ok() ^ sa;
    writer.finish_padded(16).map_or(0, |m| m.len()).wrapping_add(usize::from(written))
}
