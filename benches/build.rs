//! Compiles the C code of the other libraries that are installed; a warning names each one that is skipped.

fn main() {
    println!("cargo::rerun-if-changed=c");
    for (peer, packages, library, header) in [
        ("openssl", "libssl-dev", "libcrypto", None),
        ("gcrypt", "libgcrypt20-dev", "libgcrypt", None),
        ("mb", "libipsec-mb-dev", "", Some("/usr/include/intel-ipsec-mb.h")),
    ] {
        println!("cargo::rustc-check-cfg=cfg(has_{peer})");
        let mut build = cc::Build::new();
        build.file(format!("c/{peer}.c")).opt_level(3);
        let found = match header {
            // The library has no file for pkg-config.
            Some(header) => std::fs::exists(header).unwrap_or_default(),
            None => pkg_config::Config::new().cargo_metadata(false).probe(library).is_ok_and(|library| {
                build.includes(library.include_paths);
                true
            }),
        };
        if !found {
            println!("cargo::warning={peer} is skipped: install {packages} to compare with it");
            continue;
        }
        build.compile(&format!("peer_{peer}"));
        println!("cargo::rustc-cfg=has_{peer}");
        println!(
            "cargo::rustc-link-lib={}",
            match peer {
                "openssl" => "crypto",
                "gcrypt" => "gcrypt",
                _ => "IPSec_MB",
            }
        );
    }
}
