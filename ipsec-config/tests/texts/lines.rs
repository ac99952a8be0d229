//! Long texts in every language, for measurements of the cost per line.

use std::fmt::Write;

use ipsec_config::Language;

fn address(index: usize) -> String {
    format!("10.{}.{}.{}", index >> 16 & 255, index >> 8 & 255, index & 255)
}

/// Returns a text without errors. `lines` counts statements, or the lines that a statement takes.
pub fn good(language: Language, lines: usize) -> String {
    let mut text = String::new();
    let key = "0x000102030405060708090a0b0c0d0e0f";
    for index in 0..lines {
        let (own, peer) = (address(index), format!("172.{}", &address(index)[3..]));
        let _ = match language {
            Language::Setkey => match index % 3 {
                0 => writeln!(
                    text,
                    "add {own} {peer} esp {} -m tunnel -E aes-cbc {key} -A hmac-md5 {key};",
                    1000 + index
                ),
                1 => writeln!(text, "spdadd {own} {peer} any -P out ipsec esp/tunnel/{own}-{peer}/require;"),
                _ => writeln!(text, "spdadd {peer} {own} any -P in ipsec esp/tunnel/{peer}-{own}/require;"),
            },
            Language::Racoon => match index % 6 {
                0 => writeln!(
                    text,
                    "remote {own} {{ exchange_mode main; lifetime byte 5 MB; ph1id {index};\n proposal {{ encryption_algorithm aes;"
                ),
                1 => writeln!(text, " hash_algorithm sha1; authentication_method pre_shared_key; dh_group 14; }} }}"),
                2 => writeln!(text, "sainfo address {own} any address {peer} any {{ remoteid {};", index - 2),
                3 => writeln!(text, " encryption_algorithm aes;"),
                4 => writeln!(text, " authentication_algorithm hmac_sha1; compression_algorithm deflate; }}"),
                _ => writeln!(text, "remote 11{} inherit {} {{ passive on; }}", &own[2..], address(index - 5)),
            },
            Language::Psk => writeln!(text, "{own} key of {own}"),
            Language::OpenBsd => match index % 3 {
                0 => writeln!(text, "m{index} = \"{peer}\"\nike esp from {own} to $m{index} psk \"secret {index}\""),
                1 => writeln!(text, "flow esp from {own} to {peer}"),
                _ => writeln!(
                    text,
                    "esp from {own} to {peer} spi {:#x} auth hmac-md5 authkey {key} enckey {key}",
                    1000 + index
                ),
            },
            Language::Isakmpd => {
                writeln!(text, "[p{index}]\nAddress={own}\nAuthentication=secret {index}\nConfiguration=mm")
            }
            Language::Rc => writeln!(
                text,
                "ifconfig_gif{index}=\"inet {own}/32 {peer}\"\ngifconfig_gif{index}=\"{own} {peer}\"\nroute_r{index}=\"{own} {peer}\""
            ),
            Language::Gateway => match index {
                0 => writeln!(text, "policies rules; local 192.0.2.1; tun t0;"),
                _ => writeln!(
                    text,
                    "peer p{index} address {own} {{ proposal aes sha1 2;\n esp aes-sha1; identity fqdn {index}.example.org; }}"
                ),
            },
            _ => match index % 2 {
                0 => writeln!(
                    text,
                    "src {own} dst {peer}\n\tproto esp spi {} mode tunnel\n\tenc cbc(aes) {key}\n\tauth-trunc hmac(md5) {key} 96",
                    1000 + index
                ),
                _ => {
                    writeln!(text, "src {own} dst {peer}\n\tdir out\n\ttmpl src {own} dst {peer} proto esp mode tunnel")
                }
            },
        };
    }
    let names = |name: &str| (0..lines).map(|index| format!("{name}{index}")).collect::<Vec<_>>();
    match language {
        Language::Isakmpd => {
            text.push_str("[mm]\nTransforms=AES-SHA\n[Phase 1]\n");
            names("p")
                .iter()
                .enumerate()
                .for_each(|(index, name)| text.push_str(&format!("{}={name}\n", address(index))));
            text.push_str(&format!("[Phase 2]\nConnections={}\n", names("c").join(",")));
            for index in 0..lines {
                text.push_str(&format!(
                    "[c{index}]\nISAKMP-peer=p{index}\nConfiguration=qm\nLocal-ID=i{index}\nRemote-ID=i{index}\n"
                ));
                text.push_str(&format!("[i{index}]\nID-type=IPV4_ADDR\nAddress={}\n", address(index)));
            }
            text.push_str("[qm]\nSuites=QM-ESP-AES-SHA-SUITE\n");
        }
        Language::Rc => {
            text.push_str(&format!(
                "gif_interfaces=\"{}\"\nstatic_routes=\"{}\"\n",
                names("gif").join(" "),
                names("r").join(" ")
            ));
        }
        _ => {}
    }
    text
}

/// Returns a text in which every line has an error, or a name that is not defined.
pub fn bad(language: Language, lines: usize) -> String {
    let line = |index: usize| match language {
        Language::Setkey => format!("ad 192.0.2.1 x{index};\n"),
        Language::Racoon => format!("remot x{index} {{ a b; }}\n"),
        Language::Psk => format!("x{index}\n"),
        Language::OpenBsd => format!("m{index} = \"a\"\nike esp from $n{index} to any\n"),
        Language::Isakmpd => format!("[x{index}]\nAddress=y\n"),
        Language::Rc => format!("x{index}\ny{index}=\"\n"),
        Language::Gateway => format!("peer p address {} {{ a b; }}\n", address(index)),
        _ => format!("src x{index} dst y\n"),
    };
    let mut text: String = (0..lines).map(line).collect();
    if language == Language::Isakmpd {
        text.push_str("[Phase 1]\n");
        (0..lines).for_each(|index| text.push_str(&format!("{}=z{index}\n", address(index))));
        text.push_str("[Phase 2]\nConnections=a\n");
    }
    if language == Language::Rc {
        let names: Vec<_> = (0..lines).map(|index| format!("n{index}")).collect();
        text.push_str(&format!("static_routes=\"{}\"\n", names.join(" ")));
    }
    text
}
