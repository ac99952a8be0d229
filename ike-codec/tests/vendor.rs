//! Table of vendor IDs: hashes of the known texts, prefix matching, and the properties of a peer that follow from its
//! vendor IDs.

use ike_codec::{
    EncapsulationMode, ExchangeKind, FragmentationUse, Header, HeartbeatOrPskHash, Message, MessageWriter,
    NatTraversal, NatTraversals, PayloadKind, Quirks, RawRsaOrKeyNote, VendorIdMeaning, XauthOrGssApi, identify,
    vendor_ids,
};
use md5::{Digest, Md5};

/// Text whose MD5 hash is the vendor ID, and name of the row in the table. The vendor IDs of XAUTH and Unity are
/// truncated hashes; therefore the test compares with `starts_with`.
#[rustfmt::skip]
const TEXTS: &[(&str, &str)] = &[
    ("draft-ietf-ipsec-nat-t-ike-00", "draft-ietf-ipsec-nat-t-ike-00"),
    ("draft-ietf-ipsec-nat-t-ike-01", "draft-ietf-ipsec-nat-t-ike-01"),
    ("draft-ietf-ipsec-nat-t-ike-02", "draft-ietf-ipsec-nat-t-ike-02"),
    ("draft-ietf-ipsec-nat-t-ike-03", "draft-ietf-ipsec-nat-t-ike-03"),
    ("draft-ietf-ipsec-nat-t-ike-04", "draft-ietf-ipsec-nat-t-ike-04"),
    ("draft-ietf-ipsec-nat-t-ike-05", "draft-ietf-ipsec-nat-t-ike-05"),
    ("draft-ietf-ipsec-nat-t-ike-06", "draft-ietf-ipsec-nat-t-ike-06"),
    ("draft-ietf-ipsec-nat-t-ike-07", "draft-ietf-ipsec-nat-t-ike-07"),
    ("draft-ietf-ipsec-nat-t-ike-08", "draft-ietf-ipsec-nat-t-ike-08"),
    ("draft-ietf-ipsec-nat-t-ike-09", "draft-ietf-ipsec-nat-t-ike-09"),
    ("draft-ietf-ipsec-nat-t-ike-02\n", "draft-ietf-ipsec-nat-t-ike-02 with a newline"),
    ("RFC 3947", "RFC 3947 NAT traversal"),
    ("RFC XXXX", "NAT traversal, RFC XXXX"),
    ("Testing NAT-T RFC", "Testing NAT-T RFC"),
    ("ESPThruNAT", "ESPThruNAT"),
    ("draft-ietf-ipsra-isakmp-xauth-06.txt", "XAUTH"),
    ("CISCO-UNITY", "Cisco Unity"),
    ("CISCO-UNITY-FWTYPE", "Cisco Unity firewall type"),
    ("FRAGMENTATION", "IKE fragmentation"),
    ("MS NT5 ISAKMPOAKLEY", "Microsoft ISAKMP/Oakley"),
    ("GSSAPI", "GSS-API (Windows)"),
    ("A GSS-API Authentication Method for IKE", "GSS-API authentication method"),
    ("A GSS-API Authentication Method for IKE\n", "GSS-API authentication method with a newline"),
    ("Vid-Initial-Contact", "Microsoft initial contact"),
    ("MS-Negotiation Discovery Capable", "Microsoft negotiation discovery"),
    ("MS-MamieExists", "Microsoft AuthIP (MamieExists)"),
    ("NLBS_PRESENT", "Microsoft network load balancing"),
    ("IKE CGA version 1", "Microsoft IKE CGA"),
    ("KAME/racoon", "KAME racoon"),
    ("IPSec-Tools", "ipsec-tools racoon"),
    ("Ssh Communications Security IPSEC Express version 1.1.0", "SSH IPSEC Express 1.1.0"),
    ("Ssh Communications Security IPSEC Express version 1.1.1", "SSH IPSEC Express 1.1.1"),
    ("Ssh Communications Security IPSEC Express version 1.1.2", "SSH IPSEC Express 1.1.2"),
    ("Ssh Communications Security IPSEC Express version 1.2.1", "SSH IPSEC Express 1.2.1"),
    ("Ssh Communications Security IPSEC Express version 1.2.2", "SSH IPSEC Express 1.2.2"),
    ("SSH Communications Security IPSEC Express version 2.0.0", "SSH IPSEC Express 2.0.0"),
    ("SSH Communications Security IPSEC Express version 2.1.0", "SSH IPSEC Express 2.1.0"),
    ("SSH Communications Security IPSEC Express version 2.1.1", "SSH IPSEC Express 2.1.1"),
    ("SSH Communications Security IPSEC Express version 2.1.2", "SSH IPSEC Express 2.1.2"),
    ("SSH Communications Security IPSEC Express version 3.0.0", "SSH IPSEC Express 3.0.0"),
    ("SSH Communications Security IPSEC Express version 3.0.1", "SSH IPSEC Express 3.0.1"),
    ("SSH Communications Security IPSEC Express version 4.0.0", "SSH IPSEC Express 4.0.0"),
    ("SSH Communications Security IPSEC Express version 4.0.1", "SSH IPSEC Express 4.0.1"),
    ("SSH Communications Security IPSEC Express version 4.1.0", "SSH IPSEC Express 4.1.0"),
    ("SSH Communications Security IPSEC Express version 4.1.1", "SSH IPSEC Express 4.1.1"),
    ("SSH Communications Security IPSEC Express version 4.2.0", "SSH IPSEC Express 4.2.0"),
    ("SSH Communications Security IPSEC Express version 5.0", "SSH IPSEC Express 5.0"),
    ("SSH Communications Security IPSEC Express version 5.0.0", "SSH IPSEC Express 5.0.0"),
    ("SSH Communications Security IPSEC Express version 5.1.0", "SSH IPSEC Express 5.1.0"),
    ("SSH Communications Security IPSEC Express version 5.1.1", "SSH IPSEC Express 5.1.1"),
    ("SSH Communications Security QuickSec 0.9.0", "SSH QuickSec 0.9.0"),
    ("SSH Communications Security QuickSec 1.1.0", "SSH QuickSec 1.1.0"),
    ("SSH Communications Security QuickSec 1.1.1", "SSH QuickSec 1.1.1"),
    ("SSH Communications Security QuickSec 1.1.2", "SSH QuickSec 1.1.2"),
    ("SSH Communications Security QuickSec 1.1.3", "SSH QuickSec 1.1.3"),
    ("SSH Communications Security QuickSec 2.1.0", "SSH QuickSec 2.1.0"),
    ("SSH Sentinel", "SSH Sentinel"),
    ("SSH Sentinel 1.1", "SSH Sentinel 1.1"),
    ("SSH Sentinel 1.2", "SSH Sentinel 1.2"),
    ("SSH Sentinel 1.3", "SSH Sentinel 1.3"),
    ("SSH Sentinel 1.4", "SSH Sentinel 1.4"),
    ("SSH Sentinel 1.4.1", "SSH Sentinel 1.4.1"),
    ("strongSwan", "strongSwan"),
    ("strongSwan 5.1.1", "strongSwan 5.1.1"),
    ("strongSwan 5.1.0", "strongSwan 5.1.0"),
    ("strongSwan 5.0.4", "strongSwan 5.0.4"),
    ("strongSwan 5.0.3", "strongSwan 5.0.3"),
    ("strongSwan 5.0.2", "strongSwan 5.0.2"),
    ("strongSwan 5.0.1", "strongSwan 5.0.1"),
    ("strongSwan 5.0.0", "strongSwan 5.0.0"),
    ("strongSwan 4.6.4", "strongSwan 4.6.4"),
    ("strongSwan 4.6.3", "strongSwan 4.6.3"),
    ("strongSwan 4.6.2", "strongSwan 4.6.2"),
    ("strongSwan 4.6.1", "strongSwan 4.6.1"),
    ("strongSwan 4.6.0", "strongSwan 4.6.0"),
    ("strongSwan 4.5.3", "strongSwan 4.5.3"),
    ("strongSwan 4.5.2", "strongSwan 4.5.2"),
    ("strongSwan 4.5.1", "strongSwan 4.5.1"),
    ("strongSwan 4.5.0", "strongSwan 4.5.0"),
    ("strongSwan 4.4.1", "strongSwan 4.4.1"),
    ("strongSwan 4.4.0", "strongSwan 4.4.0"),
    ("strongSwan 4.3.7", "strongSwan 4.3.7"),
    ("strongSwan 4.3.5", "strongSwan 4.3.5"),
    ("strongSwan 4.3.4", "strongSwan 4.3.4"),
    ("strongSwan 4.3.3", "strongSwan 4.3.3"),
    ("strongSwan 4.3.2", "strongSwan 4.3.2"),
    ("strongSwan 4.3.1", "strongSwan 4.3.1"),
    ("strongSwan 4.3.0", "strongSwan 4.3.0"),
    ("strongSwan 4.2.9", "strongSwan 4.2.9"),
    ("strongSwan 4.2.8", "strongSwan 4.2.8"),
    ("strongSwan 4.2.7", "strongSwan 4.2.7"),
    ("strongSwan 4.2.6", "strongSwan 4.2.6"),
    ("strongSwan 4.2.5", "strongSwan 4.2.5"),
    ("strongSwan 4.2.4", "strongSwan 4.2.4"),
    ("strongSwan 4.2.3", "strongSwan 4.2.3"),
    ("strongSwan 4.2.2", "strongSwan 4.2.2"),
    ("strongSwan 4.2.1", "strongSwan 4.2.1"),
    ("strongSwan 4.2.0", "strongSwan 4.2.0"),
    ("strongSwan 4.1.11", "strongSwan 4.1.11"),
    ("strongSwan 4.1.10", "strongSwan 4.1.10"),
    ("strongSwan 4.1.9", "strongSwan 4.1.9"),
    ("strongSwan 4.1.8", "strongSwan 4.1.8"),
    ("strongSwan 4.1.7", "strongSwan 4.1.7"),
    ("strongSwan 4.1.6", "strongSwan 4.1.6"),
    ("strongSwan 4.1.5", "strongSwan 4.1.5"),
    ("strongSwan 4.1.4", "strongSwan 4.1.4"),
    ("strongSwan 4.1.3", "strongSwan 4.1.3"),
    ("strongSwan 4.1.2", "strongSwan 4.1.2"),
    ("strongSwan 4.1.1", "strongSwan 4.1.1"),
    ("strongSwan 4.1.0", "strongSwan 4.1.0"),
    ("strongSwan 4.0.7", "strongSwan 4.0.7"),
    ("strongSwan 4.0.6", "strongSwan 4.0.6"),
    ("strongSwan 4.0.5", "strongSwan 4.0.5"),
    ("strongSwan 4.0.4", "strongSwan 4.0.4"),
    ("strongSwan 4.0.3", "strongSwan 4.0.3"),
    ("strongSwan 4.0.2", "strongSwan 4.0.2"),
    ("strongSwan 4.0.1", "strongSwan 4.0.1"),
    ("strongSwan 4.0.0", "strongSwan 4.0.0"),
    ("strongSwan 2.8.9", "strongSwan 2.8.9"),
    ("strongSwan 2.8.8", "strongSwan 2.8.8"),
    ("strongSwan 2.8.7", "strongSwan 2.8.7"),
    ("strongSwan 2.8.6", "strongSwan 2.8.6"),
    ("strongSwan 2.8.5", "strongSwan 2.8.5"),
    ("strongSwan 2.8.4", "strongSwan 2.8.4"),
    ("strongSwan 2.8.3", "strongSwan 2.8.3"),
    ("strongSwan 2.8.2", "strongSwan 2.8.2"),
    ("strongSwan 2.8.1", "strongSwan 2.8.1"),
    ("strongSwan 2.8.0", "strongSwan 2.8.0"),
    ("strongSwan 2.7.3", "strongSwan 2.7.3"),
    ("strongSwan 2.7.2", "strongSwan 2.7.2"),
    ("strongSwan 2.7.1", "strongSwan 2.7.1"),
    ("strongSwan 2.7.0", "strongSwan 2.7.0"),
    ("strongSwan 2.6.4", "strongSwan 2.6.4"),
    ("strongSwan 2.6.3", "strongSwan 2.6.3"),
    ("strongSwan 2.6.2", "strongSwan 2.6.2"),
    ("strongSwan 2.6.1", "strongSwan 2.6.1"),
    ("strongSwan 2.6.0", "strongSwan 2.6.0"),
    ("strongSwan 2.5.7", "strongSwan 2.5.7"),
    ("strongSwan 2.5.6", "strongSwan 2.5.6"),
    ("strongSwan 2.5.5", "strongSwan 2.5.5"),
    ("strongSwan 2.5.4", "strongSwan 2.5.4"),
    ("strongSwan 2.5.3", "strongSwan 2.5.3"),
    ("strongSwan 2.5.2", "strongSwan 2.5.2"),
    ("strongSwan 2.5.1", "strongSwan 2.5.1"),
    ("strongSwan 2.5.0", "strongSwan 2.5.0"),
    ("strongSwan 2.4.4", "strongSwan 2.4.4"),
    ("strongSwan 2.4.3", "strongSwan 2.4.3"),
    ("strongSwan 2.4.2", "strongSwan 2.4.2"),
    ("strongSwan 2.4.1", "strongSwan 2.4.1"),
    ("strongSwan 2.4.0", "strongSwan 2.4.0"),
    ("strongSwan 2.3.2", "strongSwan 2.3.2"),
    ("strongSwan 2.3.1", "strongSwan 2.3.1"),
    ("strongSwan 2.3.0", "strongSwan 2.3.0"),
    ("strongSwan 2.2.2", "strongSwan 2.2.2"),
    ("strongSwan 2.2.1", "strongSwan 2.2.1"),
    ("strongSwan 2.2.0", "strongSwan 2.2.0"),
    ("strongSwan 4.3.6", "strongSwan 4.3.6"),
    ("OpenBSD-4.0", "isakmpd, OpenBSD 4.0"),
];

#[test]
fn vendor_ids_are_hashes_of_known_texts() {
    for &(text, name) in TEXTS {
        let hash = Md5::digest(text.as_bytes());
        let id = vendor_ids().iter().find(|id| id.name == name).unwrap();
        assert!(hash.as_slice().starts_with(id.bytes), "{name}");
        assert!(id.bytes.len() >= 8, "{name}");
    }
    assert_eq!(TEXTS.len(), 158);
}

#[test]
fn every_vendor_id_of_the_table_is_identified_and_unique() {
    for id in vendor_ids() {
        assert_eq!(identify(id.bytes).map(|found| found.name), Some(id.name));
        assert_eq!(vendor_ids().iter().filter(|other| other.bytes == id.bytes).count(), 1, "{}", id.name);
    }
    assert_eq!(vendor_ids().len(), 218);
}

#[test]
fn identify_matches_longer_octets_for_prefix_rows_only() {
    for id in vendor_ids() {
        let longer = [id.bytes, &[0xee; 3]].concat();
        let found = identify(&longer).map(|found| found.name);
        assert_eq!(found == Some(id.name), id.is_prefix, "{}", id.name);
        let shorter = &id.bytes[..id.bytes.len() - 1];
        assert_ne!(identify(shorter).map(|found| found.name), Some(id.name), "{}", id.name);
    }
}

fn quirks(names: &[&str]) -> Quirks {
    let mut quirks = Quirks::default();
    for name in names {
        quirks.add(vendor_ids().iter().find(|id| id.name == *name).unwrap().bytes);
    }
    quirks
}

#[test]
fn nat_traversal_documents_have_their_payloads_modes_and_ports() {
    use EncapsulationMode as Mode;
    for one in NatTraversal::ALL {
        let row = (one.detection(), one.original_address(), one.tunnel(), one.transport(), one.changes_port());
        let drafts = (PayloadKind(130), PayloadKind(131), Mode(61443), Mode(61444));
        let expected = match one {
            NatTraversal::Draft00 | NatTraversal::Draft01 => (drafts.0, drafts.1, drafts.2, drafts.3, false),
            NatTraversal::Draft02 | NatTraversal::Draft02Newline | NatTraversal::Draft03 => {
                (drafts.0, drafts.1, drafts.2, drafts.3, true)
            }
            NatTraversal::Rfc3947 => (PayloadKind(20), PayloadKind(21), Mode(3), Mode(4), true),
            _ => (PayloadKind(15), PayloadKind(16), Mode(3), Mode(4), true),
        };
        assert_eq!(row, expected, "{one:?}");
    }
}

#[test]
fn identify_matches_linear_search() {
    let expected = |body: &[u8]| {
        let matches = |id: &&ike_codec::VendorId| {
            if id.is_prefix { body.starts_with(id.bytes) } else { body == id.bytes }
        };
        vendor_ids().iter().filter(matches).max_by_key(|id| (!id.is_prefix, id.bytes.len()))
    };
    assert_eq!(identify(&[]), None);
    for octet in 0..=255 {
        assert_eq!(identify(&[octet]), expected(&[octet]), "{octet:02x}");
    }
    for id in vendor_ids() {
        assert!(identify(id.bytes).is_some(), "{}", id.name);
        let longer = [id.bytes, &[0]].concat();
        let mut altered = id.bytes.to_vec();
        *altered.last_mut().unwrap() ^= 1;
        for body in [id.bytes, &id.bytes[..id.bytes.len() - 1], &longer, &altered] {
            assert_eq!(identify(body), expected(body), "{}: {body:02x?}", id.name);
        }
    }
}

#[test]
fn both_vendor_ids_of_draft_02_are_known() {
    let both = quirks(&["draft-ietf-ipsec-nat-t-ike-02", "draft-ietf-ipsec-nat-t-ike-02 with a newline"]).nat_traversal;
    assert_eq!(both, NatTraversals::NONE.with(NatTraversal::Draft02).with(NatTraversal::Draft02Newline));
}

#[test]
fn best_of_both_returns_latest_common_document() {
    let theirs = quirks(&["draft-ietf-ipsec-nat-t-ike-00", "draft-ietf-ipsec-nat-t-ike-03", "RFC 3947 NAT traversal"]);
    let ours = NatTraversals::ALL;
    assert_eq!(ours.latest_common(theirs.nat_traversal), Some(NatTraversal::Rfc3947));
    let old = NatTraversals::NONE.with(NatTraversal::Draft03).with(NatTraversal::Draft02);
    assert_eq!(old.latest_common(theirs.nat_traversal), Some(NatTraversal::Draft03));
    assert_eq!(NatTraversals::NONE.latest_common(theirs.nat_traversal), None);
}

#[test]
fn vendor_ids_resolve_ambiguous_numbers() {
    assert_eq!(quirks(&["Microsoft ISAKMP/Oakley", "GSS-API (Windows)"]).xauth_or_gss_api(), XauthOrGssApi::GssApi);
    assert_eq!(quirks(&["XAUTH", "Cisco Unity"]).xauth_or_gss_api(), XauthOrGssApi::XauthPreSharedKey);
    assert_eq!(quirks(&["Cisco Unity"]).heartbeat_or_psk_hash(), HeartbeatOrPskHash::PskHash);
    assert_eq!(quirks(&["KAME racoon"]).heartbeat_or_psk_hash(), HeartbeatOrPskHash::Heartbeat);
    assert_eq!(quirks(&["isakmpd, OpenBSD 4.0"]).raw_rsa_or_keynote(), RawRsaOrKeyNote::KeyNote);
    assert_eq!(quirks(&[]).raw_rsa_or_keynote(), RawRsaOrKeyNote::RawRsa);
    assert!(!quirks(&["Check Point FireWall-1"]).tolerates_message_padding());
}

#[test]
fn auth_65001_is_gss_api_for_gss_api_or_windows_without_xauth() {
    let (gss, windows) = ("GSS-API authentication method", "Microsoft ISAKMP/Oakley");
    for names in [&[gss][..], &[windows], &[windows, gss]] {
        assert_eq!(quirks(names).xauth_or_gss_api(), XauthOrGssApi::GssApi, "{names:?}");
    }
    for names in [&[][..], &["Dead Peer Detection"], &["XAUTH"], &[gss, "XAUTH"], &[windows, "XAUTH"]] {
        assert_eq!(quirks(names).xauth_or_gss_api(), XauthOrGssApi::XauthPreSharedKey, "{names:?}");
    }
}

#[test]
fn notify_40503_is_heartbeat_for_racoon_with_unity() {
    for names in [["KAME racoon", "Cisco Unity"], ["Cisco Unity", "ipsec-tools racoon"]] {
        let quirks = quirks(&names);
        assert!(quirks.cisco && quirks.racoon);
        assert_eq!(quirks.heartbeat_or_psk_hash(), HeartbeatOrPskHash::Heartbeat, "{names:?}");
    }
    assert_eq!(
        quirks(&["strongSwan"]).heartbeat_or_psk_hash(),
        HeartbeatOrPskHash::Heartbeat,
        "only Cisco sends a hash of the key"
    );
}

#[test]
fn message_padding_is_tolerated_except_by_check_point() {
    for names in [&[][..], &["strongSwan"], &["Cisco Unity", "XAUTH"]] {
        assert!(quirks(names).tolerates_message_padding(), "{names:?}");
    }
    assert!(!quirks(&["XAUTH", "Check Point FireWall-1"]).tolerates_message_padding());
}

#[test]
fn nat_traversals_with_is_idempotent() {
    for one in NatTraversal::ALL {
        let set = NatTraversals::NONE.with(one);
        assert!(set.contains(one) && set.with(one) == set, "{one:?}");
        assert_eq!(NatTraversals::ALL.with(one), NatTraversals::ALL, "{one:?}");
    }
    // The drafts 08 and 09 have the same variant, and a peer may announce both.
    let both = quirks(&["draft-ietf-ipsec-nat-t-ike-08", "draft-ietf-ipsec-nat-t-ike-09"]).nat_traversal;
    assert_eq!(both, NatTraversals::NONE.with(NatTraversal::Draft08));
}

#[test]
fn quirks_of_message_combine_all_vendor_ids() {
    let names = ["XAUTH", "RFC 3947 NAT traversal", "Dead Peer Detection", "Check Point FireWall-1"];
    let mut buf = [0; 256];
    let mut writer = MessageWriter::new(&mut buf, &Header::new([1; 8], [0; 8], ExchangeKind::MAIN, 0)).unwrap();
    writer.bytes(PayloadKind::NONCE, &[7; 8]).unwrap();
    for name in names {
        let id = vendor_ids().iter().find(|id| id.name == name).unwrap();
        writer.bytes(PayloadKind::VENDOR_ID, id.bytes).unwrap();
    }
    writer.bytes(PayloadKind::VENDOR_ID, b"unknown vendor").unwrap();
    // The octets of a vendor ID in a payload of another kind have no effect.
    let unity = vendor_ids().iter().find(|id| id.name == "Cisco Unity").unwrap();
    writer.bytes(PayloadKind::HASH, unity.bytes).unwrap();
    let found = Quirks::of(&Message::parse(writer.finish()).unwrap());
    assert_eq!(found, quirks(&names));
    assert!(found.xauth && found.dead_peer_detection && found.check_point && !found.unity);
    assert_eq!(found.nat_traversal, NatTraversals::NONE.with(NatTraversal::Rfc3947));
}

#[test]
fn windows_version_is_parsed_after_the_hash_of_the_vendor_id() {
    let mut quirks = Quirks::default();
    quirks.add(&[&Md5::digest(b"MS NT5 ISAKMPOAKLEY")[..], &[0, 0, 0, 4]].concat());
    assert_eq!(quirks.windows, Some(4));
}

#[test]
fn fragmentation_is_read_with_and_without_capabilities() {
    let hash = Md5::digest(b"FRAGMENTATION");
    let both = FragmentationUse { identity: true, base: true };
    for (tail, expected) in [
        (&[][..], FragmentationUse { identity: true, base: false }),
        (&[0x80, 0, 0, 0], FragmentationUse { identity: true, base: false }),
        (&[0x40, 0, 0, 0], FragmentationUse { identity: false, base: true }),
        (&[0xc0, 0, 0, 0], both),
        (&[0xc0, 0], FragmentationUse { identity: true, base: false }),
    ] {
        let mut quirks = Quirks::default();
        quirks.add(&[&hash[..], tail].concat());
        assert_eq!(quirks.fragmentation, Some(expected), "{tail:02x?}");
    }
}

#[test]
fn dead_peer_detection_is_identified_in_any_version() {
    for version in [[1, 0], [1, 1], [9, 9]] {
        let body =
            [&[0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57][..], &version]
                .concat();
        assert_eq!(identify(&body).map(|id| id.meaning), Some(VendorIdMeaning::DeadPeerDetection));
    }
}
