//! Output and commands of ip-xfrm(8).
#![cfg(feature = "std")]

mod texts;

use ipsec_config::{Configuration, Language, Severity};
use ipsec_crypto::{CipherAlgorithm as C, IntegrityAlgorithm as I};
use ipsec_packet::{Marker, SeqWidth};
use ipsec_sa::{Action, Direction, Level, Mode, PolicyDirection, Priority, Protocol, SaParams, TransformParams};
use texts::{accepted, errors, loaded, reports, shown, warnings};

const K16: &str = "0x000102030405060708090a0b0c0d0e0f";
const K20: &str = "0x000102030405060708090a0b0c0d0e0f10111213";
const K32: &str = "0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn read(text: &str) -> Configuration {
    accepted(text, Language::Xfrm)
}

fn suite(sa: &SaParams) -> (C, usize, I) {
    match &sa.transform {
        TransformParams::Esp(keys) | TransformParams::EspWithoutIntegrity(keys) => {
            (keys.cipher, keys.cipher_key.expose().len(), keys.integrity)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn states_are_read_with_all_their_lines() {
    let text = format!(
        "src 192.0.2.1 dst 198.51.100.1\n\tproto esp spi 0xc400e8c7(3288393927) reqid 7(0x00000007) mode tunnel\n\
         \treplay-window 32 seq 0x00000000 flag af-unspec esn (0x10100000)\n\tauth-trunc hmac(sha256) {K32} 128\n\
         \tenc cbc(aes) {K16}\n\tencap type espinudp sport 4500 dport 4501 addr 0.0.0.0\n\tanti-replay esn context:\n\
         \t seq-hi 0x0, seq 0x0, oseq-hi 0x0, oseq 0x0\n\t replay_window 32, bitmap-length 1\n\t 00000000 \n\
         \tcrypto offload parameters: dev eth0 dir out\n\tif_id 0x64\n\tsel src 0.0.0.0/0 dst 0.0.0.0/0 proto tcp sport 80\n\
         \tlifetime config:\n\t  limit: soft 1000(bytes), hard 2000(bytes)\n\t  limit: soft (INF)(packets), hard (INF)(packets)\n\
         \t  expire add: soft 3000(sec), hard 3600(sec)\n\t  expire use: soft 0(sec), hard 0(sec)\n\
         \tlifetime current:\n\t  84(bytes), 1(packets)\n\t  add 2024-01-01 12:00:00 use -\n\tstats:\n\
         \t  replay-window 0 replay 0 failed 0\n"
    );
    let conf = read(&text);
    let [sa] = conf.sas.as_slice() else { panic!("{:?}", conf.sas) };
    let sa = &sa.params;
    assert_eq!((sa.id.spi, sa.id.protocol, sa.mode, sa.reqid), (0xc400_e8c7, Protocol::Esp, Mode::Tunnel, 7));
    assert_eq!((sa.sequence, suite(sa)), (SeqWidth::Extended64, (C::AesCbc, 16, I::HmacSha2_256_128)));
    let encap = sa.encap.unwrap();
    assert_eq!((encap.ports.source, encap.ports.destination, encap.marker), (4500, 4501, Marker::NonEsp));
    assert_eq!((sa.lifetimes.soft.octets, sa.lifetimes.hard.octets), (Some(1000), Some(2000)));
    assert_eq!(sa.lifetimes.hard.age.unwrap().as_secs(), 3600);
    // The lines may have blanks in front, as in a message.
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    assert_eq!(read(&indented).sas.len(), 1);
}

#[test]
fn a_replay_window_does_not_mean_extended_numbers() {
    let text = format!(
        "src 192.0.2.1 dst 198.51.100.1\n proto esp spi 1000 mode transport\n replay-window 0 flag af-unspec\n \
         aead rfc4106(gcm(aes)) {K20} 128\n anti-replay esn context:\n  seq 0x0\n"
    );
    assert_eq!(read(&text).sas[0].params.sequence, SeqWidth::Bits32);
}

#[test]
fn kernel_algorithm_names_are_parsed() {
    let table = [
        (format!("enc cbc(des3_ede) {}ffffffff auth-trunc hmac(md5) {K16} 96", K20), C::TripleDesCbc, I::HmacMd5_96),
        (format!("enc ecb(cipher_null) auth-trunc hmac(sha1) {K20} 96"), C::Null, I::HmacSha1_96),
        (format!("enc cbc(aes) {K32} auth hmac(sha256) {K32}"), C::AesCbc, I::HmacSha2_256_96),
        (format!("enc cbc(aes) {K32} auth-trunc hmac(sha256) {K32} 96"), C::AesCbc, I::HmacSha2_256_96),
        (format!("enc rfc3686(ctr(aes)) {K20} auth-trunc hmac(sha1) {K20} 96"), C::AesCtr, I::HmacSha1_96),
        (format!("aead rfc4106(gcm(aes)) {K20} 96"), C::AesGcm12, I::None),
        (format!("aead rfc7539esp(chacha20,poly1305) {K32}00010203 128"), C::ChaCha20Poly1305, I::None),
        (format!("enc cbc(blowfish) {K16} auth-trunc hmac(rmd160) {K20} 96"), C::BlowfishCbc, I::HmacRipemd160_96),
    ];
    for (text, cipher, integrity) in table {
        let conf = read(&format!("src 192.0.2.1 dst 198.51.100.1\n proto esp spi 0x1000 mode tunnel\n {text}\n"));
        let (found, _, own) = suite(&conf.sas[0].params);
        assert_eq!((found, own), (cipher, integrity), "{text}");
    }
    let ah = read(&format!(
        "src 192.0.2.1 dst 198.51.100.1\n proto ah spi 0x1000 mode transport\n auth-trunc hmac(sha1) {K20} 96\n"
    ));
    assert!(matches!(ah.sas[0].params.transform, TransformParams::Ah { integrity: I::HmacSha1_96, .. }));
    let comp = read("src 192.0.2.1 dst 198.51.100.1\n proto comp spi 0x1000 mode tunnel\n comp deflate\n");
    assert_eq!(comp.sas[0].params.id.protocol, Protocol::Ipcomp);
}

#[test]
fn policies_are_read_and_determine_the_local_addresses() {
    let text = format!(
        "src 192.0.2.0/24 dst 198.51.100.0/24 proto tcp sport 80 \n\tdir out priority 1761505 ptype main \n\
         \ttmpl src 203.0.113.1 dst 203.0.113.2\n\t\tproto esp spi 0x1000 reqid 16389 mode tunnel\n\
         src 198.51.100.0/24 dst 192.0.2.0/24 \n\tdir in action block priority 5 \n\
         src 198.51.100.0/24 dst 192.0.2.0/24 \n\tdir fwd priority 5 \n\
         \ttmpl src 203.0.113.2 dst 203.0.113.1\n\t\tproto comp reqid 1 mode tunnel\n\t\tlevel use \n\
         \ttmpl src 0.0.0.0 dst 0.0.0.0\n\t\tproto esp reqid 1 mode transport\n\
         src ::/0 dst ::/0 \n\tsocket in priority 0 ptype main \nsrc 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket out priority 0 \n\
         src 203.0.113.2 dst 203.0.113.1\n\tproto esp spi 0x1001 reqid 1 mode tunnel\n\taead rfc4106(gcm(aes)) {K20} 128\n"
    );
    let conf = read(&text);
    let params: Vec<_> = conf.policies.iter().map(|own| own.params).collect();
    assert_eq!(params.len(), 3);
    assert_eq!((params[0].direction, params[0].priority), (PolicyDirection::Out, Priority(1_761_505)));
    assert_eq!(params[1].action, Action::Discard);
    let Action::Protect(bundle) = params[2].action else { panic!() };
    let found: Vec<_> = bundle.iter().map(|own| (own.protocol, own.mode, own.level, own.ends.is_some())).collect();
    assert_eq!(found[0], (Protocol::Ipcomp, Mode::Tunnel, Level::Use, true));
    assert_eq!(found[1], (Protocol::Esp, Mode::Transport, Level::UniqueId(1), false));
    assert_eq!(conf.sas[0].params.id.direction, Direction::Inbound);
    let notes = warnings(&text, Language::Xfrm);
    assert_eq!(notes.iter().filter(|own| own.contains("policies of sockets")).count(), 1, "{notes:#?}");
}

#[test]
fn commands_of_a_script_are_read() {
    let text = "#!/bin/sh\nset -e\nip xfrm state flush\nip xfrm policy flush\n\
                sudo ip xfrm state add src 192.0.2.1 dst 198.51.100.1 proto esp spi 4523 reqid 9 mode tunnel \\\n  \
                enc 'cbc(aes)' 'sixteen-octets-1' auth 'hmac(sha1)' 'twenty-octets-it-has' sel src 0.0.0.0/0 dst 0.0.0.0/0 \\\n  \
                encap espinudp 4500 4501 0.0.0.0 limit time-hard 60 limit byte-soft 5000 flag esn\n\
                echo dir in\n\
                ip -4 x p a src 192.0.2.0/24 dst 198.51.100.0/24 dir out tmpl src 192.0.2.1 dst 198.51.100.1 proto esp reqid 9 mode tunnel\n";
    let conf = read(text);
    assert_eq!((conf.sas.len(), conf.policies.len()), (1, 1));
    let sa = &conf.sas[0].params;
    assert_eq!((suite(sa), sa.reqid, sa.sequence), ((C::AesCbc, 16, I::HmacSha1_96), 9, SeqWidth::Extended64));
    assert_eq!((sa.encap.unwrap().ports.destination, sa.lifetimes.soft.octets), (4501, Some(5000)));
    assert_eq!(sa.lifetimes.hard.age.unwrap().as_secs(), 60);
}

#[test]
fn errors_name_the_word() {
    let state = |text: &str| format!("src 192.0.2.1 dst 198.51.100.1\n proto esp spi 0x1000 mode tunnel\n {text}\n");
    let table = [
        ("nonsense".to_string(), "1:1: expected `src` at the beginning of an SA or policy, found `nonsense`"),
        (state("enc cbc(serpent) 0x00"), "3:6: cipher `cbc(serpent)` is not implemented"),
        (state(&format!("aead rfc4106(gcm(aes)) {K20} 120")), "3:7: cipher `rfc4106(gcm(aes))` is not implemented"),
        (
            state(&format!("enc cbc(aes) {K16} auth-trunc hmac(sha1) {K20} 80")),
            "integrity algorithm `hmac(sha1)` with 80 bits",
        ),
        (state("enc cbc(aes) 0x0"), "3:15: expected a key in pairs of hexadecimal digits"),
        (state(&format!("enc cbc(aes) {K20}")), "1:1: key of aes-cbc: got 20 octets, expected 16 to 32 in steps of 8"),
        (state(""), "1:1: expected `enc` or `aead` in the SA of ESP"),
        (state("").replace("tunnel", "tunel"), "2:28: expected a mode: `transport`, `tunnel` or `beet`, found `tunel`"),
        (state("").replace("esp", "epp"), "2:8: expected a protocol: `esp`, `ah` or `comp`, found `epp`"),
        (state("").replace("192.0.2.1", "192.0.2"), "1:5: expected an address, found `192.0.2`"),
        (state("encap type espintcp sport 1 dport 2 addr ::"), "3:2: encapsulation `espintcp` is not implemented"),
        ("src 192.0.2.0/33 dst 192.0.2.1 dir out".into(), "1:5: expected a network, found `192.0.2.0/33`"),
        ("src 192.0.2.0/24 dst 192.0.2.1 dir up".into(), "1:36: expected a direction: `in`, `out` or `fwd`"),
        ("src 192.0.2.1 dst 192.0.2.2 proto esp".into(), "1:1: expected `src`, `dst`, `proto` and `spi` in the SA"),
    ];
    for (text, expected) in table {
        let errors = errors(&text, Language::Xfrm);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{text}\n{expected}\n{errors:#?}");
    }
}

#[test]
fn keys_are_not_shown() {
    let hidden = "00112233445566778899aabbccddeeff";
    for text in [
        format!(
            "src 192.0.2.1 dst 198.51.100.1\n proto esp spi 0x1000 mode tunnel\n enc cbc(aes) 0x{hidden}\n auth-trunc hmac(sha9) 0x{hidden} 96"
        ),
        format!("src 192.0.2.1 dst 198.51.100.1\n proto esp spi 0x{hidden} mode 0x{hidden}"),
        format!("src 0x{hidden}"),
        "ip xfrm state add src 1 enc 'cbc(aes)' '00112233445566778899aabbccddeeff' dst 5".into(),
    ] {
        let loaded = loaded(&text, Language::Xfrm);
        assert!(!reports(&loaded, Severity::Error).is_empty());
        let all = shown(&loaded);
        assert!(!all.contains(hidden), "{all}");
    }
}
