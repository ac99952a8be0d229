//! Sections that describe identities, transforms and lifetimes.

use std::format;
use std::net::IpAddr;
use std::vec::Vec;

use ike_codec::{AuthMethod, Group, IdKind, ProtocolId};
use ike_v1::Identity;
use ipsec_crypto::{CipherAlgorithm as C, HashFunction, IntegrityAlgorithm as I};
use ipsec_packet::{AddressRange, IpProto, PortRange, Upper};

use super::ini::{Ini, Section, Tag};
use super::suites::{self, Phase1, Phase2};
use crate::diagnostic::{alternatives, did_you_mean, shown_word};
use crate::{Diagnostics, Severity, Span, setkey};

const ID_TYPES: &[(&str, IdKind)] = &[
    ("IPV4_ADDR", IdKind::IPV4),
    ("IPV4_ADDR_SUBNET", IdKind::IPV4_SUBNET),
    ("IPV6_ADDR", IdKind::IPV6),
    ("IPV6_ADDR_SUBNET", IdKind::IPV6_SUBNET),
    ("FQDN", IdKind::FQDN),
    ("USER_FQDN", IdKind::USER_FQDN),
    ("KEY_ID", IdKind::KEY_ID),
];
const ID_TAGS: &[&str] = &["ID-type", "Address", "Network", "Netmask", "Name", "Protocol", "Port"];

/// Returns the value of a word of a table, or reports the expected words.
pub(super) fn choice<T: Copy>(tag: &Tag, what: &str, table: &[(&str, T)], diagnostics: &mut Diagnostics) -> Option<T> {
    let found = table.iter().find(|row| row.0.eq_ignore_ascii_case(&tag.value)).map(|row| row.1);
    if found.is_none() {
        let names: std::vec::Vec<_> = table.iter().map(|row| row.0).collect();
        let help = did_you_mean(&tag.value, names.iter().copied());
        let text = format!("expected {what}: {}, found `{}`", alternatives(&names), shown_word(&tag.value));
        diagnostics.add(Severity::Error, tag.span, text, help);
    }
    found
}

fn address(tag: &Tag, diagnostics: &mut Diagnostics) -> Option<IpAddr> {
    let address = tag.value.parse().ok();
    if address.is_none() {
        diagnostics.error(tag.span, format!("expected an address, found `{}`", shown_word(&tag.value)));
    }
    address
}

/// Reads a section of an identity in phase 1.
pub(super) fn identity(section: &Section, diagnostics: &mut Diagnostics) -> Option<Identity> {
    section.check_tags(ID_TAGS, diagnostics);
    let kind = choice(section.required("ID-type", diagnostics)?, "an identity type", ID_TYPES, diagnostics)?;
    match kind {
        IdKind::IPV4 | IdKind::IPV6 => {
            address(section.required("Address", diagnostics)?, diagnostics).map(Identity::address)
        }
        IdKind::FQDN | IdKind::USER_FQDN | IdKind::KEY_ID => {
            let name = section.required("Name", diagnostics)?;
            Some(Identity::text(kind, text(name, diagnostics)))
        }
        _ => {
            diagnostics.error(section.span, "expected an identity of phase 1: an address or a name");
            None
        }
    }
}

/// Addresses, protocol and port of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub range: AddressRange,
    pub protocol: u8,
    pub port: u16,
}

/// Reads a section of a client identity.
pub(super) fn client(section: &Section, diagnostics: &mut Diagnostics) -> Option<Client> {
    section.check_tags(ID_TAGS, diagnostics);
    let kind = choice(section.required("ID-type", diagnostics)?, "an identity type", ID_TYPES, diagnostics)?;
    let range = match kind {
        IdKind::IPV4 | IdKind::IPV6 => {
            AddressRange::host(address(section.required("Address", diagnostics)?, diagnostics)?)
        }
        IdKind::IPV4_SUBNET | IdKind::IPV6_SUBNET => {
            let network = address(section.required("Network", diagnostics)?, diagnostics)?;
            let mask = section.required("Netmask", diagnostics)?;
            let length = prefix_length(address(mask, diagnostics)?);
            let range = length.and_then(|length| AddressRange::prefix(network, length));
            if range.is_none() {
                let text = format!("expected a contiguous mask of {network}, found `{}`", shown_word(&mask.value));
                diagnostics.error(mask.span, text);
            }
            range?
        }
        _ => {
            diagnostics.error(section.span, "expected a client identity: an address or a network");
            return None;
        }
    };
    let is_v4 = matches!(kind, IdKind::IPV4 | IdKind::IPV4_SUBNET);
    if is_v4 != range.first().is_ipv4() {
        diagnostics
            .error(section.span, format!("expected an address of the family of `ID-type`, found {}", range.first()));
        return None;
    }
    let number = |name: &str| section.tag(name).map(|tag| (tag, tag.value.parse::<u16>().ok()));
    let protocol = match number("Protocol") {
        None => 0,
        Some((tag, value)) => {
            let named = setkey::protocol_number(&tag.value);
            match named.or(value.and_then(|value| u8::try_from(value).ok())) {
                Some(protocol) => protocol,
                None => {
                    let found = shown_word(&tag.value);
                    diagnostics.error(tag.span, format!("expected an upper-layer protocol, found `{found}`"));
                    return None;
                }
            }
        }
    };
    let port = match number("Port") {
        None => 0,
        Some((_, Some(port))) => port,
        Some((tag, None)) => {
            diagnostics.error(tag.span, format!("expected a port from 0 to 65535, found `{}`", shown_word(&tag.value)));
            return None;
        }
    };
    Some(Client { range, protocol, port })
}

impl Client {
    /// Returns the upper-layer protocol and ports of a selector between two clients.
    pub fn upper(local: &Self, remote: &Self) -> Upper {
        let ports = |port: u16| if port == 0 { PortRange::ANY } else { PortRange::one(port) };
        let protocol = if local.protocol != 0 { local.protocol } else { remote.protocol };
        match (protocol, local.port, remote.port) {
            (0, 0, 0) => Upper::Any,
            (protocol, 0, 0) => Upper::Protocol(IpProto(protocol)),
            (0, from, to) => Upper::Ports(None, ports(from), ports(to)),
            (protocol, from, to) => Upper::Ports(Some(IpProto(protocol)), ports(from), ports(to)),
        }
    }
}

/// Returns the length of the prefix of a mask.
fn prefix_length(mask: IpAddr) -> Option<u8> {
    let (ones, is_whole) = match mask {
        IpAddr::V4(mask) => {
            let bits = mask.to_bits();
            (
                bits.leading_ones(),
                bits.leading_ones().checked_add(bits.trailing_zeros()) == Some(32) || bits == 0 || bits == u32::MAX,
            )
        }
        IpAddr::V6(mask) => {
            let bits = mask.to_bits();
            (
                bits.leading_ones(),
                bits.leading_ones().checked_add(bits.trailing_zeros()) == Some(128) || bits == 0 || bits == u128::MAX,
            )
        }
    };
    u8::try_from(ones).ok().filter(|_| is_whole)
}

/// Reads `X,Y:Z`: the lifetime that is offered, and those that are accepted. A name is that of a section.
pub(super) fn lifetime(ini: &Ini, tag: &Tag, diagnostics: &mut Diagnostics) -> Option<u64> {
    let is_named = tag.list().next().is_some_and(|(name, _)| ini.find(name).is_some());
    if !is_named {
        return seconds(tag, diagnostics);
    }
    let mut found = None;
    // A lifetime in seconds and one in kilobytes may stand together.
    for (name, span) in tag.list() {
        let section = ini.named(name, span, diagnostics)?;
        section.check_tags(&["LIFE_TYPE", "LIFE_DURATION"], diagnostics);
        match section.tag("LIFE_TYPE") {
            Some(kind) if kind.value.eq_ignore_ascii_case("KILOBYTES") => {
                diagnostics.warning(span, "the lifetime in kilobytes is not used");
            }
            Some(kind) if !kind.value.eq_ignore_ascii_case("SECONDS") => {
                choice(kind, "a lifetime type", &[("SECONDS", ()), ("KILOBYTES", ())], diagnostics)?;
            }
            _ => {
                let duration = section.required("LIFE_DURATION", diagnostics)?;
                found = found.or(seconds(duration, diagnostics));
            }
        }
    }
    found
}

/// Returns the seconds of a text as `3600,60:86400`: those that are offered.
fn seconds(tag: &Tag, diagnostics: &mut Diagnostics) -> Option<u64> {
    let offered = tag.value.split(',').next().unwrap_or_default().trim();
    let seconds = offered.parse::<u32>().ok().filter(|seconds| *seconds > 0);
    if seconds.is_none() {
        let found = shown_word(&tag.value);
        let text = format!("expected a lifetime as `3600,60:86400` or a section name, found `{found}`");
        diagnostics.error(tag.span, text);
    }
    seconds.map(u64::from)
}

const GROUPS: &[(&str, Group)] = &[
    ("MODP_768", Group(1)),
    ("MODP_1024", Group(2)),
    ("MODP_1536", Group(5)),
    ("MODP_2048", Group(14)),
    ("MODP_3072", Group(15)),
    ("MODP_4096", Group(16)),
    ("MODP_6144", Group(17)),
    ("MODP_8192", Group(18)),
    ("ECP_256", Group(19)),
    ("ECP_384", Group(20)),
    ("ECP_521", Group(21)),
];

/// Returns the transform of phase 1 that a name means: that of a section, or of a name that isakmpd(8) makes.
pub(super) fn phase_1(
    ini: &Ini,
    name: &str,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<(Phase1, Option<u64>)> {
    let Some(section) = ini.find(name) else {
        let found = suites::phase_1(name);
        if found.is_none() {
            unknown(ini, name, span, "a transform as `AES-SHA-GRP2-RSA_SIG`", diagnostics);
        }
        return found.map(|found| (found, None));
    };
    section.check_tags(
        &[
            "ENCRYPTION_ALGORITHM",
            "KEY_LENGTH",
            "HASH_ALGORITHM",
            "AUTHENTICATION_METHOD",
            "GROUP_DESCRIPTION",
            "PRF",
            "Life",
        ],
        diagnostics,
    );
    let ciphers = [
        ("DES_CBC", (C::DesCbc, 8)),
        ("3DES_CBC", (C::TripleDesCbc, 24)),
        ("BLOWFISH_CBC", (C::BlowfishCbc, 16)),
        ("CAST_CBC", (C::Cast128Cbc, 16)),
        ("AES_CBC", (C::AesCbc, 16)),
    ];
    let hashes = [
        ("MD5", HashFunction::Md5),
        ("SHA", HashFunction::Sha1),
        ("SHA2_256", HashFunction::Sha2_256),
        ("SHA2_384", HashFunction::Sha2_384),
        ("SHA2_512", HashFunction::Sha2_512),
    ];
    let methods = [("PRE_SHARED", AuthMethod::PRE_SHARED_KEY), ("RSA_SIG", AuthMethod::RSA_SIGNATURE)];
    let cipher = section.required("ENCRYPTION_ALGORITHM", diagnostics)?;
    let cipher = choice(cipher, "an encryption algorithm", &ciphers, diagnostics)?;
    let hash = choice(section.required("HASH_ALGORITHM", diagnostics)?, "a hash algorithm", &hashes, diagnostics)?;
    let method = section.required("AUTHENTICATION_METHOD", diagnostics)?;
    let method = choice(method, "an authentication method", &methods, diagnostics)?;
    let group = section.required("GROUP_DESCRIPTION", diagnostics)?;
    let group = choice(group, "a Diffie-Hellman group", GROUPS, diagnostics)?;
    let octets = key_length(section, cipher, diagnostics)?;
    let life = section.tag("Life").and_then(|tag| lifetime(ini, tag, diagnostics));
    Some((Phase1 { cipher: cipher.0, octets, hash, group, method }, life))
}

/// Returns the length of a key in octets: `KEY_LENGTH=bits,least:most`, or the default.
fn key_length(section: &Section, (cipher, default): (C, usize), diagnostics: &mut Diagnostics) -> Option<usize> {
    let Some(tag) = section.tag("KEY_LENGTH") else { return Some(default) };
    let bits = tag.value.split(',').next().unwrap_or_default().trim().parse::<usize>().ok();
    let octets = bits.filter(|bits| bits & 7 == 0).map(|bits| bits >> 3);
    let row = cipher.row();
    // The salt has no place in the length.
    let octets = octets.map(|octets| octets.saturating_add(row.map_or(0, |row| row.salt)));
    let octets = octets.filter(|octets| row.is_some_and(|row| row.keys.allow(*octets)));
    if octets.is_none() {
        diagnostics
            .error(tag.span, format!("expected a key length of {cipher} in bits, found `{}`", shown_word(&tag.value)));
    }
    octets
}

fn unknown(ini: &Ini, name: &str, span: Span, expected: &str, diagnostics: &mut Diagnostics) {
    let names = ini.sections.iter().map(|section| section.name.as_str());
    let help = did_you_mean(name, names.take_while(|_| diagnostics.suggests()));
    let text = format!("expected {expected}, or a section name, found `{}`", shown_word(name));
    diagnostics.add(Severity::Error, span, text, help);
}

/// Returns the suite of phase 2 that a name means: that of sections, or of a name that isakmpd(8) makes.
pub(super) fn phase_2(
    ini: &Ini,
    name: &str,
    span: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(Phase2, Option<u64>)>> {
    let Some(section) = ini.find(name) else {
        let found = suites::phase_2(name);
        if found.is_none() {
            unknown(ini, name, span, "a suite as `QM-ESP-AES-SHA-PFS-SUITE`", diagnostics);
        }
        return found.map(|found| std::vec![(found, None)]);
    };
    section.check_tags(&["Protocols"], diagnostics);
    let protocols = section.required("Protocols", diagnostics)?;
    if let Some((_, second)) = protocols.list().nth(1) {
        diagnostics.error(second, "suites of several protocols are not implemented: expected one");
        return None;
    }
    let (protocol, at) = protocols.list().next()?;
    let protocol = ini.named(protocol, at, diagnostics)?;
    protocol.check_tags(&["PROTOCOL_ID", "Transforms", "ReplayWindow"], diagnostics);
    let ids = [("IPSEC_ESP", ProtocolId::ESP), ("IPSEC_AH", ProtocolId::AH)];
    let id = choice(protocol.required("PROTOCOL_ID", diagnostics)?, "a protocol", &ids, diagnostics)?;
    let mut found = Vec::new();
    for (transform, at) in protocol.required("Transforms", diagnostics)?.list() {
        let transform = ini.named(transform, at, diagnostics)?;
        found.push(transform_of(ini, id, transform, diagnostics)?);
    }
    Some(found)
}

fn transform_of(
    ini: &Ini,
    protocol: ProtocolId,
    section: &Section,
    diagnostics: &mut Diagnostics,
) -> Option<(Phase2, Option<u64>)> {
    section.check_tags(
        &["TRANSFORM_ID", "KEY_LENGTH", "ENCAPSULATION_MODE", "AUTHENTICATION_ALGORITHM", "GROUP_DESCRIPTION", "Life"],
        diagnostics,
    );
    let ciphers = [
        ("DES", (C::DesCbc, 8)),
        ("3DES", (C::TripleDesCbc, 24)),
        ("BLOWFISH", (C::BlowfishCbc, 16)),
        ("CAST", (C::Cast128Cbc, 16)),
        ("AES", (C::AesCbc, 16)),
        ("AES_CTR", (C::AesCtr, 20)),
        ("AES_GCM_16", (C::AesGcm16, 20)),
        ("AES_GMAC", (C::NullAesGmac, 20)),
        ("NULL", (C::Null, 0)),
    ];
    let integrity = [
        ("HMAC_MD5", I::HmacMd5_96),
        ("HMAC_SHA", I::HmacSha1_96),
        ("HMAC_SHA2_256", I::HmacSha2_256_128),
        ("HMAC_SHA2_384", I::HmacSha2_384_192),
        ("HMAC_SHA2_512", I::HmacSha2_512_256),
        ("HMAC_RIPEMD", I::HmacRipemd160_96),
    ];
    let cipher = match protocol {
        ProtocolId::ESP => {
            let tag = section.required("TRANSFORM_ID", diagnostics)?;
            let cipher = choice(tag, "a transform of ESP", &ciphers, diagnostics)?;
            (cipher.0, key_length(section, cipher, diagnostics)?)
        }
        _ => (C::Null, 0),
    };
    let is_aead = cipher.0.row().is_some_and(|row| row.icv > 0);
    let integrity = match is_aead {
        true => I::None,
        false => {
            let auth = section.required("AUTHENTICATION_ALGORITHM", diagnostics)?;
            choice(auth, "an authentication algorithm", &integrity, diagnostics)?
        }
    };
    let modes = [("TUNNEL", true), ("TRANSPORT", false)];
    let is_tunnel = match section.tag("ENCAPSULATION_MODE") {
        Some(tag) => choice(tag, "a mode", &modes, diagnostics)?,
        None => true,
    };
    let group = match section.tag("GROUP_DESCRIPTION") {
        Some(tag) => Some(choice(tag, "a Diffie-Hellman group", GROUPS, diagnostics)?),
        None => None,
    };
    let life = section.tag("Life").and_then(|tag| lifetime(ini, tag, diagnostics));
    Some((Phase2 { protocol, is_tunnel, cipher, integrity, group }, life))
}

/// Returns the text of a value. Quotes are part of it, which is seldom meant.
pub(super) fn text<'t>(tag: &'t Tag, diagnostics: &mut Diagnostics) -> &'t str {
    if tag.value.starts_with('"') {
        diagnostics.warning(tag.name_span, format!("the quotes are part of the value of `{}`", tag.name));
    }
    &tag.value
}
