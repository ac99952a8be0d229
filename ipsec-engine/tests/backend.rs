//! The engine as a back end of configuration and key exchange: engines of any algorithms, larval SAs, commands.

mod one_suite;

use core::net::IpAddr;
use std::error::Error;
use std::time::Duration;

use esp_core::RngIv;
use ipsec_config::setkey::{self, ApplyErrorKind, Warning};
use ipsec_crypto::{AlgorithmError, CipherAlgorithm, IntegrityAlgorithm, KeyError, SuiteKeys};
use ipsec_engine::{
    AnyAlgorithms, BackendError, Engine, Lifetimes, Limit, OutboundAction, PolicyBackend, Protocol, SaBackend,
    SaChange, SaError, SaEvent, SaId, SaParams, SaState, Settings, SpiRequest, TransformParams,
};
use ipsec_packet::{Instant, PacketBuf, WindowSize};
use one_suite::One;

const NOW: Instant = Instant::from_secs(1000);
const A: &str = "192.0.2.1";
const B: &str = "198.51.100.1";

const TEXT: &str = r#"
    add 192.0.2.1 198.51.100.1 esp 0x1001 -m tunnel -r 8 -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";
    add 198.51.100.1 192.0.2.1 esp 0x1002 -m tunnel -r 8 -E aes-cbc "sixteen octets !" -A hmac-sha1 "twenty octets it has";
    spdadd 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-198.51.100.1/require;
    spdadd 10.2.0.0/16 10.1.0.0/16 any -P in ipsec esp/tunnel/198.51.100.1-192.0.2.1/require;
"#;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn firmware() -> Engine<One, 4, 4> {
    Engine::new(Settings::STRICT, None, None)
}

fn suite(cipher: CipherAlgorithm, octets: usize) -> SuiteKeys {
    SuiteKeys::new(cipher, &[0x42; 56][..octets], IntegrityAlgorithm::HmacSha1_96, &[0x17; 20]).unwrap()
}

fn inbound(spi: u32) -> SaParams {
    let id = SaId::inbound(address(A), Protocol::Esp, spi);
    SaParams::new(id, address(B), TransformParams::Esp(suite(CipherAlgorithm::AesCbc, 16)))
}

#[test]
fn a_configuration_file_is_loaded_into_an_engine_with_one_suite() -> Result<(), Box<dyn Error>> {
    let mut engine = firmware();
    let loaded = setkey::apply(&mut engine, TEXT.as_bytes(), &[address(A)], NOW)?;
    assert_eq!((loaded.sas, loaded.warnings.len()), (2, 0));
    let mut frame = [0; 256];
    frame[100..120].copy_from_slice(&[0x45, 0, 0, 20, 0x1c, 0x46, 0, 0, 64, 59, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
    let mut packet = PacketBuf::with_headroom(&mut frame, 100, 20)?;
    assert_eq!(engine.outbound(&mut packet, NOW, &mut RngIv(rand::rng())), OutboundAction::Send);
    Ok(())
}

#[test]
fn unavailable_algorithms_are_reported_with_their_statement() {
    for (algorithms, expected, why) in [
        (
            "-E 3des-cbc \"twenty-four octets: 3DES\" -A hmac-sha1 \"twenty octets it has\"",
            AlgorithmError::Cipher(CipherAlgorithm::TripleDesCbc),
            "cipher 3des-cbc is not available",
        ),
        (
            "-E aes-cbc \"sixteen octets !\" -A hmac-md5 \"sixteen octets !\"",
            AlgorithmError::Integrity(IntegrityAlgorithm::HmacMd5_96),
            "integrity algorithm hmac-md5-96 is not available",
        ),
    ] {
        let text = format!("\n  add 192.0.2.1 198.51.100.1 esp 0x1001 {algorithms};");
        let error = setkey::apply(&mut firmware(), text.as_bytes(), &[address(A)], NOW).unwrap_err();
        assert_eq!((error.at.line, error.at.column), (2, 3));
        assert!(
            matches!(error.kind, ApplyErrorKind::Sa(Some(_), BackendError::Sa(SaError::Algorithm(e))) if e == expected),
            "{error:?}"
        );
        assert!(error.to_string().ends_with(why), "{error}");
        let source = error.source().and_then(Error::source).and_then(Error::source);
        assert_eq!(source.map(ToString::to_string).as_deref(), Some(why), "the cause is reachable by source()");
    }
    let aes_192 = SaParams::new(
        SaId::outbound(address(B), Protocol::Esp, 0x1001),
        address(A),
        TransformParams::Esp(suite(CipherAlgorithm::AesCbc, 24)),
    );
    assert!(matches!(
        SaBackend::add(&mut firmware(), &aes_192, NOW),
        Err(BackendError::Sa(SaError::Algorithm(AlgorithmError::Key(KeyError::Length { actual: 24, .. }))))
    ));
}

#[test]
fn a_window_that_the_engine_lacks_is_refused() {
    for (packets, fits) in [(0, false), (1, true), (64, true), (65, false)] {
        let sa = SaParams { window: WindowSize::packets(packets), ..inbound(0x1001) };
        assert_eq!(SaBackend::add(&mut firmware(), &sa, NOW).is_ok(), fits, "{packets}");
    }
}

#[test]
fn a_syntax_error_changes_nothing() {
    let mut engine = firmware();
    let text = format!("{TEXT} add wrong;");
    let error = setkey::apply(&mut engine, text.as_bytes(), &[address(A)], NOW).unwrap_err();
    assert!(matches!(error.kind, ApplyErrorKind::Syntax(_)), "{error}");
    assert_eq!((engine.sas().count(), engine.policies().count()), (0, 0));
}

#[test]
fn skipped_and_ineffective_statements_are_reported() {
    let text = "delete 192.0.2.1 198.51.100.1 esp 0x1001;
        spddelete 10.1.0.0/16 10.2.0.0/16 any -P out;
        spdadd 10.1.0.0/16 10.2.0.0/16 any -P out entrust;
        add 192.0.2.1 198.51.100.1 tcp 0x1000 -A tcp-md5 \"secret\";";
    let loaded = setkey::apply(&mut firmware(), text.as_bytes(), &[address(A)], NOW).unwrap();
    let lines: Vec<_> = loaded.warnings.iter().map(|(at, warning)| (at.line, *warning)).collect();
    assert!(
        matches!(
            lines[..],
            [
                (1, Warning::NoSuchEntry),
                (2, Warning::NoSuchEntry),
                (3, Warning::SocketAction),
                (4, Warning::Skipped(_))
            ]
        ),
        "{lines:?}"
    );
}

#[test]
fn a_larval_sa_remains_after_a_refused_add_and_becomes_mature() {
    let mut engine = firmware();
    let request = SpiRequest {
        source: address(B),
        destination: address(A),
        protocol: Protocol::Esp,
        min: 0x1000,
        max: 0x1003,
        random: 0xdead_beef,
    };
    let spi = SaBackend::get_spi(&mut engine, &request, NOW).unwrap().expect("answer at once");
    assert!((0x1000..=0x1003).contains(&spi));
    let status = |engine: &Engine<One, 4, 4>| SaBackend::get(engine, &request.id(spi), address(B)).unwrap().state;
    assert_eq!(status(&engine), SaState::Larval);
    let wrong = SaParams { transform: TransformParams::Esp(suite(CipherAlgorithm::DesCbc, 8)), ..inbound(spi) };
    SaBackend::add(&mut engine, &wrong, NOW).unwrap_err();
    assert_eq!(status(&engine), SaState::Larval, "a refused SA leaves the reservation");
    SaBackend::add(&mut engine, &inbound(spi), NOW).unwrap();
    assert_eq!(status(&engine), SaState::Mature);
    assert!(matches!(SaBackend::add(&mut engine, &inbound(spi), NOW), Err(BackendError::Exists(_))));

    let rest: Vec<_> = (0..4).map(|_| SaBackend::get_spi(&mut engine, &request, NOW)).collect();
    assert_eq!(rest.iter().filter(|spi| matches!(spi, Ok(Some(_)))).count(), 3, "each SPI once");
    assert_eq!(rest[3], Err(BackendError::NoSpi));
}

#[test]
fn a_refused_update_of_a_policy_leaves_the_former_one() {
    let mut engine = firmware();
    setkey::apply(&mut engine, TEXT.as_bytes(), &[address(A)], NOW).unwrap();
    let before: Vec<_> = engine.policies().map(|(id, policy)| (id, *policy)).collect();
    let text = "spdupdate 10.1.0.0/16 10.2.0.0/16 any -P out ipsec esp/tunnel/192.0.2.1-any/require;";
    let error = setkey::apply(&mut engine, text.as_bytes(), &[address(A)], NOW).unwrap_err().to_string();
    assert!(error.contains("without endpoints"), "{error}");
    assert!(engine.policies().map(|(id, policy)| (id, *policy)).eq(before));
}

#[test]
fn a_refused_sa_leaves_no_slot_in_use() {
    let mut engine = firmware();
    for spi in 0x1001..0x1009 {
        let wrong = SaParams { transform: TransformParams::Esp(suite(CipherAlgorithm::DesCbc, 8)), ..inbound(spi) };
        SaBackend::add(&mut engine, &wrong, NOW).unwrap_err();
    }
    assert_eq!(engine.sas().count(), 0);
    for spi in 0x1001..0x1005 {
        SaBackend::add(&mut engine, &inbound(spi), NOW).unwrap();
    }
    assert_eq!(SaBackend::add(&mut engine, &inbound(0x1005), NOW), Err(BackendError::Full));
}

#[test]
fn lifetimes_and_peers_are_changed_and_sas_flushed() {
    let mut engine: Box<Engine<AnyAlgorithms, 4, 4>> = Box::new(Engine::new(Settings::STRICT, None, None));
    setkey::apply(&mut *engine, TEXT.as_bytes(), &[address(A)], NOW).unwrap();
    let id = SaId::outbound(address(B), Protocol::Esp, 0x1001);
    let hard = Limit { age: Some(Duration::from_secs(60)), ..Limit::default() };
    let change = SaChange { lifetimes: Some(Lifetimes { hard, ..Lifetimes::default() }), peer: None };
    assert_eq!(SaBackend::update(&mut *engine, &id, address(A), &change, NOW), Ok(id));
    engine.tick(NOW + Duration::from_secs(61));
    assert!(matches!(SaBackend::poll_event(&mut *engine), Some(SaEvent::Expire(found, _)) if found == id));
    let missing = SaId::outbound(address(B), Protocol::Ah, 1);
    assert_eq!(SaBackend::delete(&mut *engine, &missing, address(A)), Err(BackendError::NotFound(missing)));
    SaBackend::flush(&mut *engine, Some(Protocol::Ah)).unwrap();
    assert_eq!(engine.sas().count(), 1);
    SaBackend::flush(&mut *engine, None).unwrap();
    PolicyBackend::flush_policies(&mut *engine).unwrap();
    assert_eq!((engine.sas().count(), engine.policies().count()), (0, 0));
}
