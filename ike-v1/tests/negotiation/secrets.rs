//! Secrets of a negotiator: in its memory, from which they are wiped when they are no longer needed, and in the text
//! of `Debug`.

use std::time::Duration;

use ike_codec::Group;

use crate::endpoint::configs;
use crate::wire::Link;
use crate::xauth;

/// Returns a link whose initiator has sent its public value: its private value is in memory.
fn with_private_value() -> Link {
    let mut configs = configs();
    for config in &mut configs {
        config.esp[0] = config.esp[0].with_group(Group::MODP_768);
    }
    let mut link = Link::new(configs, 1600);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    while link.sent.len() < 3 {
        assert!(link.step(now + Duration::from_secs(1)));
    }
    link
}

/// Returns a link whose server waits for the result of a login: the password is in its memory.
fn with_password() -> Link {
    let mut link = Link::new(xauth::pull(), 1601);
    let now = link.now;
    link.ends[0].initiate(now).unwrap();
    // Pre-shared key, public value and shared secret, and then the login.
    link.ends[1].host.later.questions = Some(|question| question == 3);
    link.ends[1].host.later.delay = Duration::from_secs(10);
    while link.ends[1].host.later.waiting.is_empty() {
        assert!(link.step(now + Duration::from_secs(5)));
    }
    link
}

#[test]
fn debug_output_hides_passwords() {
    let link = with_password();
    let password = link.ends[0].host.config.user.clone().unwrap().1;
    for end in &link.ends {
        let text = format!("{:?}", end.negotiator);
        let octets = format!("{password:?}");
        assert!(!text.contains("wonderland") && !text.contains(octets.trim_matches(['[', ']'])));
    }
    assert!(format!("{:?}", link.ends[1].negotiator).contains("XauthAwaitsReply"), "the state is shown");
    let credentials = ike_v1::Credentials::new(b"alice", &password).unwrap();
    assert!(!format!("{credentials:?}").contains("wonderland"));
}

#[test]
fn debug_output_of_the_negotiator_hides_secrets() {
    let link = with_private_value();
    let text = format!("{:?}", link.ends[0].negotiator);
    let private = format!("{:?}", link.ends[0].host.secrets[0]);
    assert!(!text.contains(private.trim_matches(['[', ']'])), "private value of an exchange");
    let key = format!("{:?}", link.ends[0].secret);
    assert!(!text.contains(&key), "key of the digests");
    assert!(text.contains("MainAwaitsKeyR"), "the state is shown");
}

/// Memory of a process, which Linux shows as a file. With the feature `alloc` the tables are not inside the negotiator.
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "alloc")))]
mod memory {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use ike_codec::{Message, PayloadKind};
    use ike_v1::{Nonces, Skeyid, Target};
    use ipsec_crypto::HashFunction;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::spy::Spy;

    /// Reads the memory of a negotiator, whose tables are inside it.
    fn memory(end: &Endpoint) -> Vec<u8> {
        let mut octets = vec![0; size_of_val(&*end.negotiator)];
        let address = (&raw const *end.negotiator).addr();
        File::open("/proc/self/mem").unwrap().read_exact_at(&mut octets, address as u64).unwrap();
        octets
    }

    fn contains(memory: &[u8], secret: &[u8]) -> bool {
        assert!(secret.len() >= 16);
        memory.windows(secret.len()).any(|window| window == secret)
    }

    /// Computes SKEYID from the nonces of messages 3 and 4.
    fn skeyid(link: &Link) -> Vec<u8> {
        let nonce = |message: &[u8]| {
            let parsed = Message::parse(message).unwrap();
            parsed.payloads().find(|payload| payload.kind == PayloadKind::NONCE).unwrap().body.to_vec()
        };
        let [initiator, responder] = [2, 3].map(|index: usize| nonce(&link.sent[index].1));
        let key = link.ends[0].host.config.key.as_deref().unwrap();
        let nonces = Nonces { initiator: &initiator, responder: &responder };
        Skeyid::pre_shared_key(HashFunction::Sha1.prf(), key, &nonces).unwrap().expose().to_vec()
    }

    #[test]
    fn passwords_are_wiped_after_use() {
        let mut link = with_password();
        let password = link.ends[0].host.config.user.clone().unwrap().1;
        assert!(contains(&memory(&link.ends[1]), &password), "the host has not verified it");
        assert!(!contains(&memory(&link.ends[0]), &password), "the client has sent it");
        link.run(Duration::from_secs(30));
        assert_eq!(link.agreed(), 1);
        for (side, end) in link.ends.iter().enumerate() {
            assert!(!contains(&memory(end), &password), "side {side}");
        }
    }

    #[test]
    fn secrets_are_wiped_after_use() {
        let mut link = with_private_value();
        assert!(contains(&memory(&link.ends[0]), &link.ends[0].host.secrets[0]), "it is needed");
        link.run(Duration::from_secs(5));
        assert_eq!(link.agreed(), 1);
        let spy = Spy::new(&link);
        for (side, end) in link.ends.iter().enumerate() {
            let memory = memory(end);
            assert!(contains(&memory, spy.keys.d()), "the SA needs it");
            assert_eq!(end.host.secrets.len(), 4, "a private value and a shared secret of each phase");
            for (number, secret) in end.host.secrets.iter().enumerate() {
                assert!(!contains(&memory, secret), "side {side}: private value or shared secret {number}");
            }
            for installed in end.inbound.values().chain(end.outbound.values()) {
                assert!(!contains(&memory, &installed.cipher_key), "side {side}: key that was fetched");
            }
            let copies = memory.windows(spy.keys.d().len()).filter(|window| *window == spy.keys.d()).count();
            assert_eq!(copies, 1, "side {side}: copies of SKEYID_d");
            assert!(!contains(&memory, &skeyid(&link)), "side {side}: SKEYID");
            // The key of AES-CBC is its beginning.
            assert!(!contains(&memory, spy.keys.e()), "side {side}: SKEYID_e");
        }
        let (now, end) = (link.now, &mut link.ends[0]);
        end.negotiator.delete(now, Target::All, &mut end.host);
        link.run(Duration::from_secs(100));
        for (side, end) in link.ends.iter().enumerate() {
            let memory = memory(end);
            for secret in [spy.keys.d(), spy.keys.a(), spy.keys.e()] {
                assert!(!contains(&memory, secret), "side {side}: keys of an ISAKMP SA that is deleted");
            }
        }
    }
}
