//! isakmpd.conf(5): sections, names of transforms and suites, errors.
#![cfg(feature = "std")]

mod texts;

use ike_codec::{AuthMethod, ExchangeKind, Group, IdKind};
use ike_v1::{Identity, LocalIdentity};
use ipsec_config::{Configuration, Language, Severity};
use ipsec_crypto::{CipherAlgorithm as C, HashFunction, IntegrityAlgorithm as I};
use ipsec_sa::{Action, Mode, PolicyDirection, Protocol};
use texts::damage::damages;
use texts::{accepted, errors, loaded, reports, shown, warnings};

const SCENARIO: &str = include_str!("../../ipsec-gateway/examples/4-isakmpd/openbsd.isakmpd.conf");

fn read(text: &str) -> Configuration {
    accepted(text, Language::Isakmpd)
}

/// Returns a file of a peer and a connection with these transforms, suites and further sections.
fn file(transforms: &str, suites: &str, more: &str) -> String {
    format!(
        "[Phase 1]\n192.0.2.1= peer\n[Phase 2]\nPassive-connections= connection\n[peer]\nPhase= 1\nAddress= 192.0.2.1\n\
         Local-address= 192.0.2.2\nConfiguration= main-mode\nAuthentication= change-this-secret\n[connection]\nPhase= 2\n\
         ISAKMP-peer= peer\nConfiguration= quick-mode\nLocal-ID= local\nRemote-ID= remote\n[local]\nID-type= IPV4_ADDR\n\
         Address= 192.0.2.2\n[remote]\nID-type= IPV4_ADDR_SUBNET\nNetwork= 198.51.100.0\nNetmask= 255.255.255.0\n\
         [main-mode]\nDOI= IPSEC\nEXCHANGE_TYPE= ID_PROT\nTransforms= {transforms}\n[quick-mode]\nDOI= IPSEC\n\
         EXCHANGE_TYPE= QUICK_MODE\nSuites= {suites}\n{more}"
    )
}

#[test]
fn a_complete_isakmpd_conf_is_converted() {
    let conf = read(SCENARIO);
    let [peer] = conf.peers.as_slice() else { panic!() };
    let [proposal] = peer.config.proposals.as_slice() else { panic!() };
    assert_eq!((proposal.cipher, proposal.hash, proposal.group), (C::DesCbc, HashFunction::Sha1, Group(2)));
    // The range is what is accepted, the first number what is offered.
    assert_eq!(proposal.lifetimes.seconds, Some(86_400));
    assert_eq!((peer.config.address, peer.starts), (Some("192.0.2.1:500".parse().unwrap()), true));
    assert_eq!(peer.config.dead_peer_detection.unwrap().delay.as_secs(), 30);
    assert_eq!((conf.timing.transmissions, conf.timing.phase_1.unwrap().as_secs()), (Some(6), 120));
    assert_eq!(conf.keys[0].key.as_slice(), b"change-this-secret");
    let negotiation = conf.negotiations().next().unwrap();
    assert_eq!(negotiation.policy.params.selector.source.to_string(), "192.168.2.0/24");
    assert_eq!(negotiation.phase_2.unwrap().group, None);
    assert_eq!(negotiation.phase_2.unwrap().lifetimes.seconds, Some(1200));
    assert_eq!(negotiation.templates[0].1.len(), 1);
}

#[test]
fn sections_of_transforms_and_suites_are_followed() {
    let text = file(
        "AES-M2048",
        "SUITE-1,SUITE-2",
        "[AES-M2048]\nENCRYPTION_ALGORITHM= AES_CBC\nKEY_LENGTH= 256,128:256\nHASH_ALGORITHM= SHA2_256\n\
         AUTHENTICATION_METHOD= PRE_SHARED\nGROUP_DESCRIPTION= MODP_2048\nLife= LIFE_600_SECS,LIFE_1000_KB\n\
         [SUITE-1]\nProtocols= ESP-1\n[ESP-1]\nPROTOCOL_ID= IPSEC_ESP\nTransforms= XF-1,XF-2\nReplayWindow= -1\n\
         [XF-1]\nTRANSFORM_ID= AES\nKEY_LENGTH= 192,192:192\nENCAPSULATION_MODE= TRANSPORT\n\
         AUTHENTICATION_ALGORITHM= HMAC_SHA2_512\nGROUP_DESCRIPTION= ECP_256\nLife= LIFE_600_SECS\n\
         [XF-2]\nTRANSFORM_ID= 3DES\nENCAPSULATION_MODE= TRANSPORT\nAUTHENTICATION_ALGORITHM= HMAC_MD5\n\
         GROUP_DESCRIPTION= ECP_256\n[SUITE-2]\nProtocols= ESP-2\n[ESP-2]\nPROTOCOL_ID= IPSEC_ESP\nTransforms= XF-3\n\
         [XF-3]\nTRANSFORM_ID= AES_GCM_16\nKEY_LENGTH= 256,256:256\nENCAPSULATION_MODE= TRANSPORT\n\
         GROUP_DESCRIPTION= ECP_256\n\
         [LIFE_600_SECS]\nLIFE_TYPE= SECONDS\nLIFE_DURATION= 600,450:720\n\
         [LIFE_1000_KB]\nLIFE_TYPE= KILOBYTES\nLIFE_DURATION= 1000,768:1536\n",
    );
    let conf = read(&text);
    let [proposal] = conf.peers[0].config.proposals.as_slice() else { panic!() };
    assert_eq!((proposal.cipher_key, proposal.group, proposal.hash), (32, Group(14), HashFunction::Sha2_256));
    assert_eq!(proposal.lifetimes.seconds, Some(600));
    let phase_2 = &conf.phase_2[0];
    // Suites are not the product of their algorithms.
    let suites =
        [(C::AesCbc, 24, I::HmacSha2_512_256), (C::TripleDesCbc, 24, I::HmacMd5_96), (C::AesGcm16, 36, I::None)];
    assert_eq!(phase_2.suites, suites);
    assert_eq!((phase_2.group, phase_2.lifetimes.seconds), (Some(Group(19)), Some(600)));
    let negotiation = conf.negotiations().next().unwrap();
    let (template, transforms) = &negotiation.templates[0];
    assert_eq!((template.mode, transforms.len()), (Mode::Transport, 3));
    assert!(!conf.peers[0].starts);
    let notes = warnings(&text, Language::Isakmpd);
    assert!(notes.iter().any(|own| own.contains("lifetime in kilobytes is not used")), "{notes:#?}");
}

#[test]
fn names_mean_the_transforms_that_isakmpd_makes() {
    let conf = read(&file(
        "AES-256-SHA2-256-GRP14,3DES-MD5",
        "QM-ESP-AES-256-SHA-PFS-GRP5-SUITE,QM-ESP-3DES-MD5-PFS-GRP5-SUITE",
        "",
    ));
    let found: Vec<_> =
        conf.peers[0].config.proposals.iter().map(|own| (own.cipher, own.cipher_key, own.hash, own.group)).collect();
    let expected =
        [(C::AesCbc, 32, HashFunction::Sha2_256, Group(14)), (C::TripleDesCbc, 24, HashFunction::Md5, Group(2))];
    assert_eq!(found, expected);
    assert_eq!(conf.phase_2[0].suites, [(C::AesCbc, 32, I::HmacSha1_96), (C::TripleDesCbc, 24, I::HmacMd5_96)]);
    let conf = read(&file("AES-SHA-RSA_SIG", "QM-AH-TRP-SHA2-256-SUITE", ""));
    assert_eq!(conf.peers[0].config.proposals[0].auth_method, AuthMethod::RSA_SIGNATURE);
    let Action::Protect(bundle) = conf.policies[0].params.action else { panic!() };
    let template = bundle.iter().next().unwrap();
    assert_eq!((template.protocol, template.mode), (Protocol::Ah, Mode::Transport));
}

#[test]
fn a_connection_has_policies_in_both_directions() {
    let text = file("AES-SHA", "QM-ESP-AES-SHA-SUITE", "").replace("[remote]", "[remote]\nProtocol= tcp\nPort= 80");
    let conf = read(&text.replace("[local]", "[local]\nProtocol= tcp"));
    let found: Vec<_> = conf.policies.iter().map(|own| (own.params.direction, own.params.selector.source)).collect();
    assert_eq!(found[0], (PolicyDirection::Out, ipsec_packet::AddressRange::host("192.0.2.2".parse().unwrap())));
    assert_eq!(found[1].0, PolicyDirection::In);
    let Action::Protect(bundle) = conf.policies[1].params.action else { panic!() };
    let ends = bundle.iter().next().unwrap().ends.unwrap();
    assert_eq!(ends.source.0, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(ends.destination.0, Some("192.0.2.2".parse().unwrap()));
}

#[test]
fn identities_of_phase_1_are_read() {
    let table = [
        ("ID-type= FQDN\nName= gw.example.org", "gw.example.org"),
        ("ID-type= USER_FQDN\nName= admin@example.org", "admin@example.org"),
        ("ID-type= IPV4_ADDR\nAddress= 192.0.2.7", "192.0.2.7"),
        ("ID-type= KEY_ID\nName= office", "office"),
    ];
    for (section, expected) in table {
        let text = file("AES-SHA", "QM-ESP-AES-SHA-SUITE", &format!("[own-id]\n{section}\n"));
        let conf = read(&text.replace("[peer]", "[peer]\nID= own-id\nRemote-ID= own-id"));
        assert_eq!(conf.peers[0].config.remote_identity.as_ref().unwrap().to_string(), expected);
    }
    let aggressive = file("AES-SHA", "QM-ESP-AES-SHA-SUITE", "").replace("ID_PROT", "AGGRESSIVE");
    assert_eq!(read(&aggressive).peers[0].config.exchanges, [ExchangeKind::AGGRESSIVE]);
}

#[test]
fn the_identity_of_peers_without_one_is_that_of_the_section_general() {
    let conf = |own: &str| {
        let general = "[General]\nDefault-phase-1-ID= all\n[all]\nID-type= FQDN\nName= all.example.org\n";
        let text = file("3DES-SHA", "QM-ESP-3DES-SHA-SUITE", &format!("{own}{general}"));
        read(&text).peers[0].config.local_identity.clone()
    };
    let named = |name: &str| LocalIdentity::Given(Identity::text(IdKind::FQDN, name));
    assert_eq!(conf(""), named("all.example.org"));
    let own = "[peer]\nID= own\n[own]\nID-type= FQDN\nName= own.example.org\n";
    assert_eq!(conf(own), named("own.example.org"));
}

#[test]
fn tags_without_effect_are_accepted_with_a_warning() {
    for name in ["Use-Keynote", "Check-interval", "Loglevel", "Shared-SADB", "Acquire-Only", "Delete-SAs"] {
        let text = file("3DES-SHA", "QM-ESP-3DES-SHA-SUITE", &format!("[General]\n{name}= 1\n"));
        let expected = format!("tag `{name}` has no effect in section [General]");
        let found = warnings(&text, Language::Isakmpd);
        assert!(found.iter().any(|own| own.contains(&expected)), "{found:?}");
    }
}

#[test]
fn comments_joined_lines_and_unused_sections_are_accepted() {
    let text = file(
        "AES-SHA,\\\n3DES-SHA",
        "QM-ESP-AES-SHA-SUITE",
        "; comment\n# [comment]\n  # comment\n[LIFE_60]\nLIFE_TYPE= SECONDS\n",
    );
    assert_eq!(read(&text).peers[0].config.proposals.len(), 2);
    let notes = warnings(text.clone() + "[local-2]\nID-type= IPV4_ADDR\n", Language::Isakmpd);
    let unused: Vec<_> = notes.iter().filter(|own| own.contains("no other section names it")).collect();
    assert!(unused.len() == 1 && unused[0].contains("[local-2]"), "{notes:#?}");
}

#[test]
fn a_section_continues_and_quotes_are_part_of_values() {
    let text = file("AES-SHA", "QM-ESP-AES-SHA-SUITE", "[peer] # again\nPort= 501\n[PEER]\nPhase= 1\n");
    let conf = read(&text.replace("change-this-secret", "\"a b\""));
    assert_eq!((conf.peers[0].config.address.unwrap().port(), conf.keys[0].key.as_slice()), (501, &b"\"a b\""[..]));
    let notes = warnings(text.replace("change-this-secret", "\"a b\""), Language::Isakmpd);
    for expected in ["]: its tags are added to the first one", "the quotes are part of the value of `Authentication`"] {
        assert!(notes.iter().any(|own| own.contains(expected)), "{notes:#?}");
    }
}

#[test]
fn errors_name_the_section_and_tag() {
    let good = file("AES-SHA", "QM-ESP-AES-SHA-SUITE", "");
    let table = [
        ("[Phase 1]", "[Phase 3]", "1:1: section [Phase 1] is missing"),
        ("[peer]", "[peers]", "2:12: section [peer] is missing (did you mean `peers`?)"),
        (
            "Configuration= main-mode",
            "Configuration= main-mod",
            "9:16: section [main-mod] is missing (did you mean `main-mode`?)",
        ),
        ("Authentication= change-this-secret\n", "", "5:1: tag `Authentication` of section [peer] is missing"),
        ("Transforms= AES-SHA", "Transforms= AES-SHAA", "27:13: expected a transform as `AES-SHA-GRP2-RSA_SIG`"),
        ("Suites= QM", "Suites= Q", "31:9: expected a suite as"),
        ("ID_PROT", "ID_PORT", "26:16: expected an exchange of phase 1: `ID_PROT` or `AGGRESSIVE`"),
        ("Netmask= 255.255.255.0", "Netmask= 255.0.255.0", "23:10: expected a contiguous mask of 198.51.100.0"),
        ("Network= 198.51.100.0", "Network= 198.51.100", "22:10: expected an address, found `198.51.100`"),
        ("ID-type= IPV4_ADDR\n", "ID-type= IPV6_ADDR\n", "17:1: expected an address of the family of `ID-type`"),
        ("[local]\n", "[local\n", "17:7: expected `]` at the end of the name of the section"),
        ("Phase= 2", "Phase 2", "12:1: expected `[section]` or `tag=value`, found no `=`"),
        ("ISAKMP-peer= peer\n", "", "11:1: tag `ISAKMP-peer` of section [connection] is missing"),
        ("192.0.2.1= peer", "192.0.2.= peer", "2:1: expected the address of a peer or `Default`"),
        ("Phase= 1", "Port= isakmpd", "6:7: expected a port, found `isakmpd`"),
    ];
    for (from, to, expected) in table {
        assert!(good.contains(from), "{from}");
        let errors = errors(good.replacen(from, to, 1), Language::Isakmpd);
        assert!(errors[0].starts_with(expected), "{to}: {expected}\n{errors:#?}");
        assert!(errors.len() <= 2, "{to}: {errors:#?}");
    }
    let bundle = file("AES-SHA", "BOTH", "[BOTH]\nProtocols= AH,ESP\n[AH]\n[ESP]\n");
    assert!(errors(&bundle, Language::Isakmpd)[0].contains("suites of several protocols are not implemented"));
}

#[test]
fn a_damaged_file_is_reported_at_the_damaged_line() {
    for damage in damages(SCENARIO, "[]=,") {
        let loaded = loaded(&damage.text, Language::Isakmpd);
        let errors = reports(&loaded, Severity::Error);
        let all = [errors.clone(), reports(&loaded, Severity::Warning)].concat();
        let line = |report: &String| report.split(':').next().unwrap().parse::<usize>().unwrap();
        let near = damage.lines.0..=damage.lines.1;
        let is_near = all.iter().any(|own| near.contains(&line(own)));
        // A name that is the same in both places, and a key, may be any text. A missing section is reported where it is
        // named, a missing tag at its section.
        let is_key = damage.what.contains("change-this-secret");
        let names_it = all.iter().any(|own| own.contains("is missing") || own.contains("no other section"));
        assert!(is_near || names_it || is_key || is_free(&damage.what), "{} in {near:?}: {all:#?}", damage.what);
        assert!(errors.len() <= 2, "{}: {errors:#?}", damage.what);
    }
}

/// Returns whether isakmpd reads nothing of a word.
fn is_free(what: &str) -> bool {
    ["udp", "without `,`", "IPSEC"].iter().any(|word| what.ends_with(word))
}

#[test]
fn keys_are_not_shown() {
    let good = file("AES-SHA", "QM-ESP-AES-SHA-SUITE", "").replace("change-this-secret", "HIDDEN");
    for (from, to) in [
        ("Authentication=", "Authentication=="),
        ("Authentication=", "Authentification="),
        ("Authentication=", "Authentication"),
    ] {
        let all = shown(&loaded(good.replace(from, to), Language::Isakmpd));
        assert!(!all.contains("HIDDEN"), "{to}\n{all}");
    }
}
