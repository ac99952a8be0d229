//! Parsing, writing and reassembly do not allocate, for accepted and for refused messages.

mod common;

use std::hint::black_box;

use ike_codec::{
    ExchangeKind, Header, Message, MessageWriter, OakleyAttribute, PayloadKind, ProposalHead, ProtocolId, Reassembly,
    TransformHead, TransformId, write_fragment,
};
use test_vectors::support::allocation::{
    CountingAllocator, assert_operations_are_counted, heap_operations, without_allocation,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn allocator_counts_heap_operations() {
    assert_operations_are_counted();
}

#[test]
fn parsing_of_valid_messages_does_not_allocate() {
    let messages = common::messages();
    let mut scratch = vec![0; 65_535];
    for record in &messages {
        let (count, same) = heap_operations(|| {
            let message = Message::parse(&record.hex).ok()?;
            black_box(Message::parse_strict(&record.hex).is_ok());
            Some(common::walk(&message, &record.hex, &mut scratch))
        });
        assert_eq!((count, same), (0, Some(true)), "{}", record.id);
    }
}

#[test]
fn refusal_of_malformed_and_truncated_messages_does_not_allocate() {
    let corpus = common::corpus();
    for (at, bytes) in corpus.iter().enumerate() {
        without_allocation(format_args!("message {at} of the corpus"), || {
            for end in 0..=bytes.len() {
                black_box(Message::parse(&bytes[..end]).is_ok());
            }
        });
    }
}

#[test]
fn reassembly_does_not_allocate() {
    let sets = common::fragment_sets();
    let (mut store, mut scratch) = (vec![0; 65_535], vec![0; 65_535]);
    for set in &sets {
        let (count, same) = heap_operations(|| {
            let mut reassembly = Reassembly::new(&mut store);
            for fragment in &set.fragments {
                reassembly.add(&Message::parse(fragment).ok()?).ok()?;
            }
            Some(reassembly.message(&mut scratch).ok()? == &set.reassembled[..])
        });
        assert_eq!((count, same), (0, Some(true)), "{}", set.id);
    }
}

#[test]
fn writer_of_messages_and_fragments_does_not_allocate() {
    let (mut message, mut fragment) = (vec![0; 65_535], vec![0; 65_535]);
    let (count, length) = heap_operations(|| {
        let mut writer = MessageWriter::new(&mut message, &Header::new([1; 8], [0; 8], ExchangeKind::MAIN, 0)).ok()?;
        writer
            .sa(|sa| {
                sa.proposal(&ProposalHead::new(1, ProtocolId::ISAKMP, &[]), |proposal| {
                    proposal.transform(&TransformHead::new(1, TransformId::KEY_IKE), |list| {
                        list.basic(OakleyAttribute::GROUP.0, 14)?;
                        list.lifetime((11, 12), 1, 28_800)
                    })
                })
            })
            .ok()?
            .bytes(PayloadKind::NONCE, &[7; 16])
            .ok()?;
        let message = writer.finish();
        Some(write_fragment(&mut fragment, message, 1, 1, 20).ok()??.len())
    });
    assert_eq!((count, length), (0, Some(28 + 8 + 20)));
}
