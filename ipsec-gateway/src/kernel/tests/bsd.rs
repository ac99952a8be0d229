//! Kernels of NetBSD and FreeBSD, and of KAME, from which both descend.

use super::*;

const KERNELS: [Dialect; 3] = [Dialect::Kame, Dialect::NetBsd, Dialect::FreeBsd];

/// SADB_ACQUIRE message whose addresses and policy libreswan logged on FreeBSD and NetBSD (its issue 3049), with the
/// number of the policy as its fourth octet from the end.
const ACQUIRE: [u8; 80] = [
    2, 6, 0, 3, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, //
    3, 0, 5, 0, 255, 32, 0, 0, 16, 2, 0, 0, 192, 0, 1, 15, 0, 0, 0, 0, 0, 0, 0, 0, //
    3, 0, 6, 0, 255, 32, 0, 0, 16, 2, 0, 0, 192, 0, 2, 12, 0, 0, 0, 0, 0, 0, 0, 0, //
    2, 0, 18, 0, 2, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0,
];
/// Offset of the number of the policy in `ACQUIRE`.
const POLICY: usize = 72;

fn wire(dialect: Dialect) -> Wire {
    dialect.with(Order::Little)
}

fn last_sa(model: &Model) -> SaParams {
    let request = model.requests.borrow().last().unwrap().clone();
    read_sa(&Message::parse(&request, model.wire).unwrap(), Direction::Outbound).unwrap()
}

#[test]
fn an_acquire_leads_to_an_sa_with_the_request_id_of_its_policy() {
    for dialect in KERNELS {
        let (mut kernel, model) = kernel_of(wire(dialect));
        let (id, policy) = (PolicyId::new(5), tunnel(PolicyDirection::Out, Level::Unique));
        kernel.add_policy(id, &policy).unwrap();
        for number in [1, u8::try_from(FIRST_POLICY).unwrap()] {
            let mut acquire = ACQUIRE;
            acquire[POLICY] = number;
            model.replies.borrow_mut().push_back(acquire.to_vec());
        }
        let Some(SaEvent::Acquire(acquire)) = kernel.poll_event() else { panic!("{dialect:?}") };
        assert_eq!((acquire.policy, acquire.destination), (id, Some(address("192.0.2.12"))), "{dialect:?}");
        assert_eq!(kernel.poll_event(), None, "policy 1 is that of another program");
        let Action::Protect(bundle) = policy.action else { panic!("a bundle") };
        let own = id.reqid(bundle.iter().next().unwrap());
        kernel.add(&sa(IntegrityAlgorithm::HmacSha1_96, 20, own)).unwrap();
        assert_eq!(last_sa(&model).reqid, FIRST_REQID + FIRST_POLICY, "{dialect:?}");
    }
}

#[test]
fn forwarded_packets_have_no_policy_of_their_own() {
    for dialect in KERNELS {
        let (mut kernel, model) = kernel_of(wire(dialect));
        let policy = tunnel(PolicyDirection::In, Level::Require);
        model.requests.borrow_mut().clear();
        kernel.add_policy(PolicyId::new(1), &policy).unwrap();
        let next = PolicyParams { action: Action::Discard, ..policy };
        kernel.replace_policy((PolicyId::new(1), &policy), (PolicyId::new(2), &next)).unwrap();
        kernel.remove_policy(PolicyId::new(2), &next, false).unwrap();
        let messages = policy_messages(&model);
        let expected = ["update in ipsec", "update in discard", "update in discard", "delete in discard"];
        assert_eq!(messages, expected, "{dialect:?}");
    }
}

#[test]
fn missing_entries_are_removed() {
    let (id, source) = (SaId::outbound(address("192.0.2.2"), Protocol::Esp, 0x1234), address("192.0.2.1"));
    let policy = tunnel(PolicyDirection::Out, Level::Require);
    // The numbers of SA and policy that do not exist, and one of a refusal.
    for (dialect, of_sa, of_policy, refused) in
        [(Dialect::Linux, 3, 2, 22), (Dialect::NetBsd, 2, 22, 1), (Dialect::FreeBsd, 2, 22, 1)]
    {
        let (mut kernel, model) = kernel_of(wire(dialect));
        model.errors.borrow_mut().extend([of_sa, of_policy, refused, of_sa]);
        kernel.remove(&id, source).unwrap();
        kernel.remove_policy(PolicyId::new(1), &policy, false).unwrap();
        assert!(kernel.remove_policy(PolicyId::new(1), &policy, false).is_err(), "{dialect:?}");
        assert!(matches!(kernel.packets(&id, source), Ok(None)), "{dialect:?}");
    }
}

#[test]
fn only_kame_truncates_hmac_sha2() {
    for (integrity, key) in [(IntegrityAlgorithm::HmacSha2_256_128, 32), (IntegrityAlgorithm::HmacSha2_512_256, 64)] {
        for dialect in KERNELS {
            let (mut kernel, model) = kernel_of(wire(dialect));
            match kernel.add(&sa(integrity, key, 0)) {
                Ok(()) => assert_eq!(last_sa(&model).algorithms().integrity, Some(integrity), "{dialect:?}"),
                Err(e) => {
                    assert_eq!(dialect, Dialect::Kame);
                    assert!(e.to_string().contains("KAME truncates HMAC-SHA2 to 96 bits"), "{e}");
                }
            }
            assert_eq!(kinds(&model).contains(&MessageKind::ADD), dialect != Dialect::Kame, "{dialect:?}");
        }
    }
}
