//! Time to parse a main mode message and read every field, compared with an IKEv2 parser on a message of the same
//! length.

use std::hint::black_box;
use std::time::Instant;

use ike_codec::{
    Body, ExchangeKind, Header, Message, MessageWriter, OakleyAttribute, PayloadKind, ProposalHead, ProtocolId,
    TransformHead, TransformId, Value,
};

const ROUNDS: usize = 41;
const PASSES: u32 = 20_000;

/// Runs the comparison and prints medians.
pub fn run() {
    let mut buf = [0; 512];
    let main_mode = main_mode(&mut buf);
    let init = sa_init();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(|| visit(black_box(main_mode))));
        theirs.push(time(|| visit_ikev2(black_box(&init))));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("ike-codec     IKEv1 main mode, {} octets, 4 transforms, 5 vendor IDs   {ours:7.1} ns", main_mode.len());
    println!("ipsec-parser  IKE_SA_INIT, {} octets, 5 transforms                     {theirs:7.1} ns", init.len());
    println!("ratio {:.2}", theirs / ours);
}

fn time(mut f: impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    for _ in 0..PASSES {
        black_box(f());
    }
    start.elapsed().as_nanos() as f64 / f64::from(PASSES)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Writes a message of 276 octets: an SA with 4 transforms of 7 attributes, and 5 vendor IDs.
fn main_mode(buf: &mut [u8]) -> &[u8] {
    let mut writer = MessageWriter::new(buf, &Header::new([0x11; 8], [0; 8], ExchangeKind::MAIN, 0)).unwrap();
    writer
        .sa(|sa| {
            sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
                (1..=4).try_for_each(|number| {
                    proposal.transform(&TransformHead::new(number, TransformId::KEY_IKE), |list| {
                        list.basic(OakleyAttribute::ENCRYPTION.0, 7)?;
                        list.basic(OakleyAttribute::KEY_LENGTH.0, 128)?;
                        list.basic(OakleyAttribute::HASH.0, 2)?;
                        list.basic(OakleyAttribute::GROUP.0, 14)?;
                        list.basic(OakleyAttribute::AUTH_METHOD.0, 1)?;
                        list.basic(OakleyAttribute::LIFE_TYPE.0, 1)?;
                        list.basic(OakleyAttribute::LIFE_DURATION.0, 28800)
                    })
                })
            })
        })
        .unwrap();
    for length in [8, 16, 16, 16, 8] {
        writer.bytes(PayloadKind::VENDOR_ID, &[0x5a; 16][..length]).unwrap();
    }
    writer.finish()
}

/// Parses the message and reads every field of every item.
fn visit(message: &[u8]) -> u64 {
    let message = Message::parse(message).unwrap();
    let header = message.header();
    let mut sum = u64::from(header.message_id) + u64::from(header.length) + u64::from(header.exchange.0);
    for payload in message.payloads() {
        sum += u64::from(payload.kind.0) + payload.body.len() as u64;
        let Body::SecurityAssociation(sa) = payload.view() else { continue };
        for proposal in sa.proposals() {
            sum += u64::from(proposal.number) + u64::from(proposal.protocol.0) + proposal.spi.len() as u64;
            for transform in proposal.transforms() {
                sum += u64::from(transform.number) + u64::from(transform.id.0);
                for attribute in &transform.attributes {
                    sum += u64::from(attribute.kind);
                    sum += match attribute.value {
                        Value::Basic(value) => u64::from(value),
                        Value::Variable(bytes) => bytes.len() as u64,
                    };
                }
            }
        }
    }
    sum
}

/// Returns an IKEv2 message of similar length: an SA with 5 transforms, a key exchange, a nonce, two notifications.
fn sa_init() -> Vec<u8> {
    let payload = |next: u8, body: &[u8]| {
        let mut bytes = vec![next, 0];
        bytes.extend((body.len() as u16 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let transform = |more: u8, kind: u8, id: u16, attributes: &[u8]| {
        let mut bytes = vec![more, 0];
        bytes.extend((attributes.len() as u16 + 8).to_be_bytes());
        bytes.extend([kind, 0]);
        bytes.extend(id.to_be_bytes());
        bytes.extend(attributes);
        bytes
    };
    let mut proposal = vec![1, 1, 0, 5];
    proposal.extend(transform(3, 1, 12, &[0x80, 14, 0, 128]));
    for (more, kind, id) in [(3, 2, 2), (3, 3, 2), (3, 4, 14), (0, 4, 2)] {
        proposal.extend(transform(more, kind, id, &[]));
    }
    let mut rest = payload(34, &payload(0, &proposal));
    rest.extend(payload(40, &[&[0, 2, 0, 0][..], &[7; 128]].concat()));
    rest.extend(payload(41, &[9; 32]));
    rest.extend(payload(0, &[0, 0, 0x40, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
    let mut message = vec![0x11; 8];
    message.extend([0; 8]);
    message.extend([33, 0x20, 34, 8, 0, 0, 0, 0]);
    message.extend((rest.len() as u32 + 28).to_be_bytes());
    message.extend(rest);
    message
}

fn visit_ikev2(message: &[u8]) -> u64 {
    use ipsec_parser::{IkeV2PayloadContent, parse_ikev2_header, parse_ikev2_payload_list};
    let (rest, header) = parse_ikev2_header(message).unwrap();
    let (_, payloads) = parse_ikev2_payload_list(rest, header.next_payload).unwrap();
    let mut sum = u64::from(header.msg_id) + u64::from(header.length);
    for payload in payloads.unwrap() {
        sum += 1;
        if let IkeV2PayloadContent::SA(proposals) = payload.content {
            for proposal in proposals {
                sum += u64::from(proposal.num_transforms);
                sum += proposal.transforms.iter().map(|t| u64::from(t.transform_id)).sum::<u64>();
            }
        }
    }
    sum
}
