//! Parsing, writing and reassembly do not allocate, for accepted and for refused messages.

mod common;

use std::hint::black_box;

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use ike_codec::{
    ExchangeKind, Header, Message, MessageWriter, OakleyAttribute, PayloadKind, ProposalHead, ProtocolId, Reassembly,
    TransformHead, TransformId, write_fragment,
};

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

/// Returns the number of heap operations of `work` in this thread, and its result.
fn counted<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = violation_count();
    let result = assert_no_alloc(work);
    ((violation_count() - before) as usize, result)
}

#[test]
fn parser_writer_and_reassembly_do_not_allocate() {
    let (count, made) = counted(|| vec![7u8; black_box(100)]);
    assert!(count > 0 && made.len() == 100, "the allocation counter must report an allocation");

    let (open, hostile, sets) = (common::messages(), common::corpus(), common::fragment_sets());
    let mut scratch = vec![0; 65_535];
    for record in &open {
        let (count, same) = counted(|| {
            let message = Message::parse(&record.hex).ok()?;
            black_box(Message::parse_strict(&record.hex).is_ok());
            Some(common::walk(&message, &record.hex, &mut scratch))
        });
        assert_eq!((count, same), (0, Some(true)), "{}", record.id);
    }
    for bytes in &hostile {
        let (count, _) = counted(|| {
            for end in 0..=bytes.len() {
                black_box(Message::parse(&bytes[..end]).is_ok());
            }
        });
        assert_eq!(count, 0);
    }
    let mut store = vec![0; 65_535];
    for set in &sets {
        let (count, same) = counted(|| {
            let mut reassembly = Reassembly::new(&mut store);
            for fragment in &set.fragments {
                reassembly.add(&Message::parse(fragment).ok()?).ok()?;
            }
            Some(reassembly.message(&mut scratch).ok()? == &set.reassembled[..])
        });
        assert_eq!((count, same), (0, Some(true)), "{}", set.id);
    }
    let (count, length) = counted(|| {
        let mut writer = MessageWriter::new(&mut scratch, &Header::new([1; 8], [0; 8], ExchangeKind::MAIN, 0)).ok()?;
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
        Some(write_fragment(&mut store, message, 1, 1, 20).ok()??.len())
    });
    assert_eq!((count, length), (0, Some(28 + 8 + 20)));
}
