//! Static keys outlive the sequence number counter of an SA. If the counter forms the nonce, the last number must be
//! given.

use ah_core::Profile;
use ipsec_config::setkey::{LoadOptions, Statement, StatementError, Statements};
use ipsec_engine::{AnyAlgorithms, Direction, Sa};
use ipsec_packet::Seq;

const KEY: &str = "0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223";

/// Builds an `add` statement from options, algorithm names and key lengths.
fn statement(protocol: &str, algorithms: &[(&str, &str, usize)], options: &str) -> String {
    let algorithms: String =
        algorithms.iter().map(|(o, name, octets)| format!(" {o} {name} {}", &KEY[..2 + 2 * octets])).collect();
    format!("add 192.0.2.1 198.51.100.1 {protocol} 0x1001 {options}{algorithms};")
}

fn load(text: &str, direction: Direction, loading: &LoadOptions) -> Result<Sa<AnyAlgorithms>, StatementError> {
    let Ok(Some(Statement::Add(add))) = Statements::of(text).next() else { panic!("{text}") };
    let params = add.params(direction, None, loading)?;
    Ok(Sa::from_params(&params, Profile::RFC).expect(text))
}

fn nonce_is_the_number() -> Vec<(String, &'static str)> {
    let mut cases: Vec<_> = [
        ("aes-gcm-8", 20),
        ("aes-gcm-12", 28),
        ("aes-gcm-16", 36),
        ("aes-ccm-8", 19),
        ("aes-ccm-12", 27),
        ("aes-ccm-16", 35),
        ("chacha20-poly1305", 36),
        ("aes-gmac", 20),
    ]
    .map(|(name, octets)| (statement("esp", &[("-E", name, octets)], ""), name))
    .into();
    cases.push((statement("esp", &[("-E", "aes-ctr", 20), ("-A", "hmac-sha1", 20)], ""), "aes-ctr"));
    cases.push((statement("ah", &[("-A", "aes-gmac", 20)], ""), "aes-gmac"));
    cases
}

#[test]
fn outbound_counter_mode_sas_without_the_last_sequence_number_are_refused() {
    for (text, name) in nonce_is_the_number() {
        assert_eq!(
            load(&text, Direction::Outbound, &LoadOptions::RFC).err(),
            Some(StatementError::NonceReuse(name)),
            "{text}"
        );
        assert!(load(&text, Direction::Inbound, &LoadOptions::RFC).is_ok(), "{text}");
    }
    let cbc = statement("esp", &[("-E", "aes-cbc", 16), ("-A", "hmac-sha1", 20)], "");
    assert!(load(&cbc, Direction::Outbound, &LoadOptions::RFC).is_ok());
}

#[test]
fn counter_mode_sas_continue_after_the_last_sequence_number() {
    for (text, _) in nonce_is_the_number() {
        for last in [0, 1, 4711, u32::MAX.into()] {
            let sa = load(&text, Direction::Outbound, &LoadOptions::RFC.continuing_after(Seq::new(last))).unwrap();
            assert_eq!(sa.transform().sequence(), Some(Seq::new(last)), "{text}");
        }
        let beyond = LoadOptions::RFC.continuing_after(Seq::new(1 << 32));
        let refused = StatementError::Sequence(Seq::new(1 << 32));
        assert_eq!(load(&text, Direction::Outbound, &beyond).err(), Some(refused), "{text}");
        let extended = text.replace("0x1001 ", "0x1001 -esn ");
        assert!(load(&extended, Direction::Outbound, &beyond).is_ok(), "{text}");
    }
}
