//! `PacketBuf` compared with a model of three vectors.

use ipsec_packet::{NoSpace, PacketBuf, TooShort};
use proptest::prelude::*;

/// Reference model `front | data | back`; `None` marks an octet of a closed gap, whose value is unspecified.
#[derive(Clone)]
struct Model {
    front: Vec<Option<u8>>,
    data: Vec<u8>,
    back: Vec<Option<u8>>,
}

#[derive(Clone, Debug)]
enum Step {
    PushFront(usize),
    PushBack(usize),
    PullFront(usize),
    PullBack(usize),
    Prepend(Vec<u8>),
    Append(Vec<u8>),
    Truncate(usize),
    OpenGap(usize, usize),
    CloseGap(usize, usize),
    RoomFor(usize, usize),
    Replace(Vec<u8>, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (n, bytes) = (0usize..40, proptest::collection::vec(any::<u8>(), 0..24));
    let step = prop_oneof![
        n.clone().prop_map(Step::PushFront),
        n.clone().prop_map(Step::PushBack),
        n.clone().prop_map(Step::PullFront),
        n.clone().prop_map(Step::PullBack),
        bytes.clone().prop_map(Step::Prepend),
        bytes.clone().prop_map(Step::Append),
        (bytes, n.clone()).prop_map(|(head, len)| Step::Replace(head, len)),
        (0usize..120).prop_map(Step::Truncate),
        (n.clone(), n.clone()).prop_map(|(head, size)| Step::OpenGap(head, size)),
        (n.clone(), n.clone()).prop_map(|(head, size)| Step::CloseGap(head, size)),
        (n.clone(), n.clone()).prop_map(|(front, back)| Step::RoomFor(front, back)),
        prop_oneof![Just(usize::MAX), Just(usize::MAX - 20)].prop_flat_map(|huge| prop_oneof![
            Just(Step::PushFront(huge)),
            Just(Step::PushBack(huge)),
            Just(Step::PullFront(huge)),
            Just(Step::PullBack(huge)),
            Just(Step::Truncate(huge)),
            Just(Step::OpenGap(huge, 4)),
            Just(Step::OpenGap(4, huge)),
            Just(Step::CloseGap(huge, 4)),
            Just(Step::CloseGap(4, huge)),
            Just(Step::CloseGap(huge, huge)),
            Just(Step::RoomFor(huge, huge)),
        ]),
    ];
    proptest::collection::vec(step, 0..40)
}

impl Model {
    /// Asserts that the known octets of room that becomes data are unmodified, then overwrites the room with `fresh`.
    fn gained(known: Vec<Option<u8>>, slot: &mut [u8], fresh: &[u8]) -> Vec<u8> {
        assert_eq!(known.len(), slot.len());
        assert!(known.iter().zip(&*slot).all(|(known, is)| known.is_none_or(|octet| octet == *is)));
        slot.copy_from_slice(fresh);
        fresh.to_vec()
    }

    fn push_front(&mut self, packet: &mut PacketBuf<'_>, n: usize, fresh: &[u8]) -> Result<(), NoSpace> {
        let available = self.front.len();
        let Some(at) = available.checked_sub(n) else {
            assert_eq!(packet.push_front(n).map(|_| ()), Err(NoSpace::Front { needed: n, available }));
            return Err(NoSpace::Front { needed: n, available });
        };
        let gained = Self::gained(self.front.split_off(at), packet.push_front(n)?, fresh);
        self.data.splice(..0, gained);
        Ok(())
    }

    fn apply(&mut self, packet: &mut PacketBuf<'_>, step: &Step, mark: u8) {
        let (len, front, back) = (self.data.len(), self.front.len(), self.back.len());
        match *step {
            Step::PushFront(n) => {
                let _ = self.push_front(packet, n, &vec![mark; n.min(front)]);
            }
            Step::PushBack(n) if n > back => {
                assert_eq!(packet.push_back(n).map(|_| ()), Err(NoSpace::Back { needed: n, available: back }));
            }
            Step::PushBack(n) => {
                let rest = self.back.split_off(n);
                let known = std::mem::replace(&mut self.back, rest);
                let gained = Self::gained(known, packet.push_back(n).unwrap(), &vec![mark; n]);
                self.data.extend(gained);
            }
            Step::Prepend(ref bytes) => {
                let expected = if bytes.len() > front {
                    Err(NoSpace::Front { needed: bytes.len(), available: front })
                } else {
                    self.front.truncate(front - bytes.len());
                    self.data.splice(..0, bytes.iter().copied());
                    Ok(())
                };
                assert_eq!(packet.prepend(bytes), expected);
            }
            Step::Append(ref bytes) => {
                let expected = if bytes.len() > back {
                    Err(NoSpace::Back { needed: bytes.len(), available: back })
                } else {
                    self.back.drain(..bytes.len());
                    self.data.extend(bytes);
                    Ok(())
                };
                assert_eq!(packet.append(bytes), expected);
            }
            Step::PullFront(n) | Step::PullBack(n) if n > len => {
                let refused = match step {
                    Step::PullFront(_) => packet.pull_front(n),
                    _ => packet.pull_back(n),
                };
                assert_eq!(refused, Err(TooShort { needed: n, available: len }));
            }
            Step::PullFront(n) => {
                assert_eq!(packet.pull_front(n), Ok(()));
                self.front.extend(self.data.drain(..n).map(Some));
            }
            Step::PullBack(n) => {
                assert_eq!(packet.pull_back(n), Ok(()));
                self.back.splice(..0, self.data.split_off(len - n).into_iter().map(Some));
            }
            Step::Truncate(n) => {
                packet.truncate(n);
                self.back.splice(..0, self.data.split_off(n.min(len)).into_iter().map(Some));
            }
            Step::OpenGap(head, size) => {
                let opened = packet.open_gap(head, size);
                if head > len {
                    assert_eq!(opened, Err(NoSpace::Back { needed: head, available: len }));
                } else if size > front {
                    assert_eq!(opened, Err(NoSpace::Front { needed: size, available: front }));
                } else {
                    assert_eq!(opened, Ok(()));
                    packet.data_mut()[head..head + size].fill(mark);
                    self.front.truncate(front - size);
                    self.data.splice(head..head, vec![mark; size]);
                }
            }
            Step::CloseGap(head, size) => {
                let needed = head.saturating_add(size);
                let closed = packet.close_gap(head, size);
                if needed > len {
                    assert_eq!(closed, Err(TooShort { needed, available: len }));
                } else {
                    assert_eq!(closed, Ok(()));
                    self.front.extend(vec![None; size]);
                    self.data.drain(head..needed);
                }
            }
            // The octets between the new end and the old one are unspecified. A head as long as the packet is covered
            // by `replace_accepts_head_of_packet_length`.
            Step::Replace(ref head, n) if head.len() != len => {
                let (data, tailroom) = packet.data_and_tailroom();
                assert_eq!((data, tailroom.len()), (&self.data[..], back));
                let fresh: Vec<u8> = (0..n.min(back)).map(|i| mark.wrapping_add(i as u8)).collect();
                Self::gained(self.back[..fresh.len()].to_vec(), &mut tailroom[..fresh.len()], &fresh);
                self.back.splice(..fresh.len(), fresh.iter().copied().map(Some));
                let expected = if n > back {
                    Err(NoSpace::Back { needed: n, available: back })
                } else if head.len() > len {
                    Err(NoSpace::Back { needed: head.len(), available: len })
                } else {
                    self.back.splice(..n, vec![None; len - head.len()]);
                    self.data = [&head[..], &fresh].concat();
                    Ok(())
                };
                assert_eq!(packet.replace(head, n), expected);
            }
            Step::Replace(..) => {}
            Step::RoomFor(f, b) => {
                let expected = match (f > front, b > back) {
                    (true, _) => Err(NoSpace::Front { needed: f, available: front }),
                    (_, true) => Err(NoSpace::Back { needed: b, available: back }),
                    _ => Ok(()),
                };
                assert_eq!(packet.check_space(f, b), expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn packet_buffer_behaves_like_three_vectors(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
        cut in (0usize..120, 0usize..120),
        steps in steps(),
    ) {
        let start = cut.0.min(bytes.len());
        let end = (start + cut.1).min(bytes.len());
        let known = |part: &[u8]| part.iter().copied().map(Some).collect::<Vec<_>>();
        let mut model =
            Model { front: known(&bytes[..start]), data: bytes[start..end].to_vec(), back: known(&bytes[end..]) };
        let mut packet = PacketBuf::with_headroom(&mut bytes, start, end - start).unwrap();
        for (mark, step) in (1u8..).zip(&steps) {
            model.apply(&mut packet, step, mark);
            prop_assert_eq!(packet.data(), &model.data[..], "after {:?}", step);
            prop_assert_eq!((packet.headroom(), packet.tailroom()), (model.front.len(), model.back.len()));
            prop_assert_eq!((packet.len(), packet.is_empty()), (model.data.len(), model.data.is_empty()));
        }
        // The octets around the packet are unmodified as well.
        prop_assert_eq!(&*packet.into_data(), &model.data[..]);
        let whole: Vec<_> = model.front.into_iter().chain(model.data.into_iter().map(Some)).chain(model.back).collect();
        prop_assert_eq!(whole.len(), bytes.len());
        for (octet, is) in whole.iter().zip(&bytes) {
            prop_assert!(octet.is_none_or(|octet| octet == *is));
        }
    }
}

/// Columns: octets of the buffer, headroom, packet length, whether the packet fits.
#[test]
fn with_headroom_refuses_packet_beyond_its_buffer() {
    for (octets, headroom, len, fits) in [
        (0, 0, 0, true),
        (10, 0, 10, true),
        (10, 4, 6, true),
        (10, 10, 0, true),
        (10, 4, 7, false),
        (10, 11, 0, false),
        (10, usize::MAX, 1, false),
        (10, 1, usize::MAX, false),
        (10, usize::MAX, usize::MAX, false),
    ] {
        let mut bytes = vec![0; octets];
        let made = PacketBuf::with_headroom(&mut bytes, headroom, len).map(|p| (p.headroom(), p.len(), p.tailroom()));
        let available = octets.saturating_sub(headroom);
        let expected = match fits {
            true => Ok((headroom, len, octets - headroom - len)),
            false => Err(NoSpace::Back { needed: len, available }),
        };
        assert_eq!(made, expected, "{len} octets after {headroom} in {octets}");
    }
}

#[test]
fn replace_accepts_head_of_packet_length() {
    let mut bytes = [1, 2, 3, 4, 5, 6];
    let mut packet = PacketBuf::with_headroom(&mut bytes, 1, 2).unwrap();
    assert_eq!(packet.replace(&[7, 8], 2), Ok(()));
    assert_eq!((packet.data(), packet.tailroom()), (&[7, 8, 4, 5][..], 1));
}

#[test]
fn received_packet_has_no_headroom_or_tailroom() {
    let mut bytes = [1, 2, 3];
    let packet = PacketBuf::received(&mut bytes);
    assert_eq!((packet.headroom(), packet.data(), packet.tailroom()), (0, &[1, 2, 3][..], 0));
}

#[test]
fn checkpoint_restores_both_ends() {
    let mut bytes = *b"front|data|back";
    let mut packet = PacketBuf::with_headroom(&mut bytes, 6, 4).unwrap();
    let checkpoint = packet.checkpoint();
    packet.pull_front(2).unwrap();
    packet.truncate(1);
    packet.restore(checkpoint);
    assert_eq!((packet.headroom(), packet.data(), packet.tailroom()), (6, &b"data"[..], 5));
    packet.push_front(3).unwrap();
    packet.push_back(5).unwrap();
    packet.restore(checkpoint);
    assert_eq!(packet.data(), b"data");
}

#[test]
fn checkpoint_of_a_larger_buffer_is_truncated() {
    let (mut large, mut small) = ([1; 64], [2; 8]);
    let checkpoint = PacketBuf::with_headroom(&mut large, 32, 16).unwrap().checkpoint();
    let mut packet = PacketBuf::received(&mut small);
    packet.restore(checkpoint);
    assert_eq!((packet.headroom(), packet.len(), packet.tailroom()), (8, 0, 0));
}
