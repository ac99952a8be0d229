//! The configurations of the examples are read without errors, and both sides of each fit together.

use std::path::{Path, PathBuf};

use ipsec_config::{Language, LoadSettings, Loaded, SystemFiles, load};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn read(name: &str) -> Loaded {
    let loaded = load(&SystemFiles, &[(example(name), Some(Language::Gateway))], &LoadSettings::default());
    let shown: String = loaded.diagnostics.iter().map(|own| format!("{}\n", loaded.sources.show(own))).collect();
    assert_eq!(loaded.diagnostics.errors(), 0, "{name}: {shown}");
    loaded
}

#[test]
fn every_example_is_read_without_errors() {
    let mut count = 0;
    for scenario in std::fs::read_dir(example("")).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in std::fs::read_dir(scenario.path()).unwrap().flatten().map(|entry| entry.path()) {
            if file.to_string_lossy().ends_with("gateway.conf") {
                let name = file.strip_prefix(example("")).unwrap().to_string_lossy().into_owned();
                let policies = read(&name).configuration.policies.len();
                assert!(policies >= 2, "{name}: {policies} policies");
                count += 1;
            }
        }
    }
    assert_eq!(count, 18);
}

#[test]
fn both_sides_of_an_example_have_common_transforms() {
    let sides = [
        ("1-handbook/a.gateway.conf", "1-handbook/b.gateway.conf"),
        ("2-windows/host.gateway.conf", "2-windows/windows.gateway.conf"),
        ("2-windows/net.gateway.conf", "2-windows/windows-net.gateway.conf"),
        ("3-openbsd-x509/freebsd-gif.gateway.conf", "3-openbsd-x509/openbsd-gif.gateway.conf"),
        ("3-openbsd-x509/freebsd-gif.gateway.conf", "3-openbsd-x509/openbsd-ipencap.gateway.conf"),
        ("3-openbsd-x509/freebsd-any.gateway.conf", "3-openbsd-x509/openbsd.gateway.conf"),
        ("4-isakmpd/freebsd.gateway.conf", "4-isakmpd/openbsd.gateway.conf"),
        ("4-isakmpd/freebsd-blowfish.gateway.conf", "4-isakmpd/openbsd-rules.gateway.conf"),
    ];
    for (first, second) in sides {
        let transforms = |loaded: &Loaded| -> Vec<_> {
            let own = loaded.configuration.negotiations().next().unwrap();
            let peer = &own.peer.unwrap().1.config;
            let phase_1 = peer.proposals.iter().map(|own| format!("{} {:?} {}", own.cipher, own.hash, own.group));
            let phase_2 = own.templates[0].1.iter().map(|own| format!("{:?}", own.suite));
            phase_1.chain(phase_2).collect()
        };
        let (first_side, second_side) = (transforms(&read(first)), transforms(&read(second)));
        let common = second_side.iter().filter(|own| first_side.contains(own)).count();
        assert!(common >= 2, "{first}: {first_side:?}, {second}: {second_side:?}");
    }
}

#[test]
fn manual_sas_have_opposite_directions_on_both_sides() {
    let [first, second] = ["a", "b"].map(|side| read(&format!("5-manual/{side}.gateway.conf")));
    assert_eq!(first.configuration.sas.len(), 4);
    for own in &first.configuration.sas {
        let is_same = |other: &&ipsec_config::ConfiguredSa| {
            (other.params.id.spi, other.params.source, other.params.id.destination)
                == (own.params.id.spi, own.params.source, own.params.id.destination)
        };
        let other = second.configuration.sas.iter().find(is_same).expect("the SA of the other side");
        assert_ne!(own.params.id.direction, other.params.id.direction);
    }
}
