//! Configuration languages of key exchange. A text is read, its diagnostics are shown, and it is written in every
//! language.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipsec_config::racoon::{self, RacoonConf};
use ipsec_config::{Files, Language, LoadSettings, Loaded, Target, load};

/// Key in the files that a text may include: no output may contain it.
const KEY: &str = "f00dfacef00dfacef00dfacef00dface";

/// One text for every file that is read.
struct Text<'t>(&'t [u8]);

impl Files for Text<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match path.to_str() {
            Some("text") => Ok(self.0.to_vec()),
            Some(name) if name.ends_with("key") => Ok(format!("0x{KEY}\n").into_bytes()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn expand(&self, pattern: &Path) -> Vec<PathBuf> {
        vec![pattern.to_owned()]
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name.starts_with("host") {
            Ok(vec![IpAddr::from([192, 0, 2, 7])])
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

/// Reads a text, and shows all that is said about it.
fn read(octets: &[u8], language: Language) -> Loaded {
    // A text that contains the key itself may have it where no key is expected.
    let has_key = String::from_utf8_lossy(octets).to_lowercase().contains(KEY.get(..16).unwrap_or(KEY));
    let loaded = load(&Text(octets), &[("text".into(), Some(language))], &LoadSettings::default());
    for diagnostic in loaded.diagnostics.iter() {
        let shown = loaded.sources.show(diagnostic).to_string();
        assert!(has_key || !shown.contains(KEY), "a key is shown: {shown}");
        let (line, column) = loaded.sources.position(diagnostic.span);
        assert!(line >= 1 && column >= 1);
    }
    let described = loaded.configuration.describe(&loaded.sources).to_string();
    assert!(has_key || !described.contains(KEY), "a key is shown: {described}");
    loaded
}

/// Reads a text and writes it in all languages. What setkey(8) can express is read as the same policies.
fn convert(octets: &[u8], language: Language) {
    let loaded = read(octets, language);
    if loaded.diagnostics.errors() > 0 {
        return;
    }
    for (_, target) in Target::NAMES {
        let (text, lost) = loaded.configuration.write(*target);
        if *target == Target::Setkey && lost.iter().next().is_none() {
            let again = read(text.as_bytes(), Language::Setkey);
            assert_eq!(again.diagnostics.errors(), 0, "{}", text.as_str());
            let policies = |own: &Loaded| own.configuration.policies.iter().map(|own| own.params).collect::<Vec<_>>();
            assert_eq!(policies(&again), policies(&loaded), "{}", text.as_str());
        }
    }
    let mut configuration = loaded.configuration;
    configuration.add_peers_of_policies();
    let peers = configuration.peers.len();
    assert!(configuration.negotiations().all(|own| own.peer.is_none_or(|(index, _)| index < peers)));
}

/// Reads a racoon.conf. What is written from a text without errors is read as an equal text.
pub fn racoon(octets: &[u8]) {
    convert(octets, Language::Racoon);
    let (conf, _, diagnostics) = racoon::parse("text", &String::from_utf8_lossy(octets));
    if diagnostics.errors() == 0 {
        let written = conf.to_string();
        let (again, sources, diagnostics) = racoon::parse("text", &written);
        let shown: String = diagnostics.iter().map(|own| sources.show(own).to_string()).collect();
        assert_eq!(diagnostics.errors(), 0, "{shown}");
        assert_eq!(RacoonConf::to_string(&again), written);
    }
}

pub fn openbsd(octets: &[u8]) {
    convert(octets, Language::OpenBsd);
}

pub fn isakmpd(octets: &[u8]) {
    convert(octets, Language::Isakmpd);
}

pub fn rc(octets: &[u8]) {
    convert(octets, Language::Rc);
}

pub fn xfrm(octets: &[u8]) {
    convert(octets, Language::Xfrm);
}

pub fn gateway(octets: &[u8]) {
    convert(octets, Language::Gateway);
}

pub fn psk(octets: &[u8]) {
    let loaded = read(octets, Language::Psk);
    let keys = loaded.keys.expect("keys of a file");
    for entry in &keys.entries {
        assert!(!entry.key.is_empty());
        assert!(!format!("{entry:?}").contains("key: ["));
    }
}
