//! Seed inputs, generated from the vectors and tests of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use test_vectors::Record;

/// Returns the root folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let front = |prefix: &'static [u8]| move |seed: Vec<u8>| [prefix, &seed].concat();
    match target {
        "ike_message" | "ike_datagram" => messages(),
        "ike_plaintext" => {
            messages().into_iter().filter_map(|m| Some([&[*m.get(16)?][..], m.get(28..)?].concat())).collect()
        }
        "ike_encrypted" => {
            messages().into_iter().zip((0..6).cycle()).map(|(m, n)| [&[n, 7], &m[..]].concat()).collect()
        }
        "engine_choices" => (0..40).map(|n: u8| (0..200).map(|at| n.wrapping_mul(31) ^ at).collect()).collect(),
        "ike_negotiation" => (0..12)
            .chain([0x80, 0x82])
            .flat_map(|choice| {
                let agreement = [&[choice, 11][..], &[0; 12]].concat();
                let more: [&[u8]; 6] = [
                    &[11, 0, 0, 0],
                    &[0x8b, 0, 0, 0, 0x1c, 10, 1, 0, 0, 0],
                    &[0x9c, 0, 0],
                    &[0x2c, 0, 0],
                    &[10, 255, 10, 255],
                    &[0x8d],
                ];
                let lossy =
                    [&[choice, 11][..], &[4, 10, 5].repeat(3), &[5, 0].repeat(8), &[6, 40, 1, 10, 9, 0, 0]].concat();
                more.map(|more| [&agreement, more].concat()).into_iter().chain([lossy])
            })
            .collect(),
        "ike_hostile" => (0..12).flat_map(hostile_quick_modes).chain(hostile_transactions()).collect(),
        "ike_certificates" => {
            let Certificates { authority, intermediate, gateway, signature: _, others } = certificates();
            let field = |choice: u8, octets: &[u8]| {
                [&[choice], &u16::try_from(octets.len()).unwrap_or(0).to_be_bytes()[..], octets].concat()
            };
            let files = others.iter().flat_map(|octets| [4, 5, 9, 11].map(|choice| field(choice, octets)));
            let more = others.iter().map(|octets| [field(7, &[]), field(8, &[]), field(5, octets)].concat());
            let chain = [field(0, intermediate), field(0, gateway)];
            let texts =
                [": PUB 0sAQM=", ": RSA { Modulus: 0x1 PublicExponent: 0x3 }"].map(|text| field(11, text.as_bytes()));
            files.chain(more).chain([chain.concat(), field(10, authority), field(11, authority)]).chain(texts).collect()
        }
        "ike_fragments" => messages().into_iter().map(front(&[20, 1, 200])).collect(),
        "esp_open" => esp().into_iter().map(front(&[0, 0])).collect(),
        "esp_hostile" => (0..121).map(|n| [&[n, n], &[0x45; 30][..], &[1, 2, n % 4, 4]].concat()).collect(),
        "esp_suites" => vec![vec![7; 40], vec![0; 100]],
        "esp_batch" => (0..121)
            .map(|n| [&[n, n, 250][..], &[0, 64, 0x1d, 128, 0xf0, 9, 0x18, n, 8, 70].repeat(10)].concat())
            .collect(),
        "ah_verify" | "ah_mutable" => packets().into_iter().map(front(&[0])).collect(),
        "headers" | "udp" => packets(),
        "tunnel" => packets().into_iter().map(front(&[0, 4])).collect(),
        "inflate" => compressed(),
        "deflate" | "lzs" => compressed().into_iter().chain(packets().into_iter().take(20)).collect(),
        "replay" => vec![(0..90).collect(), [1, 0, 0, 1, 2, 0, 9, 1, 0, 1].to_vec(), vec![0x86; 60]],
        "setkey" => configurations(include_str!("../../../ipsec-config/tests/setkey/accepted.txt")),
        "config_racoon" => examples("racoon.conf"),
        "config_openbsd" => examples("openbsd.ipsec.conf"),
        "config_isakmpd" => {
            let own = ISAKMPD.as_bytes().to_vec();
            examples("isakmpd.conf").into_iter().chain([own]).collect()
        }
        "config_rc" => examples("rc.conf"),
        "config_gateway" => examples("gateway.conf"),
        "config_psk" => examples("psk.txt"),
        "config_xfrm" => {
            let bundle = "src 10.1.0.0/16 dst 10.2.0.0/16\n\tdir out priority 1\n\ttmpl src 192.0.2.1 dst 198.51.100.1\n\t\tproto \
                          comp mode tunnel\n\t\tlevel use\n\ttmpl src 0.0.0.0 dst 0.0.0.0\n\t\tproto esp mode transport\n";
            vec![XFRM.as_bytes().to_vec(), bundle.as_bytes().to_vec()]
        }
        "pfkey" => pfkey(),
        "engine_out" => {
            let packets = packets().into_iter().enumerate().map(|(n, p)| [&[n as u8, 0], &p[..]].concat());
            let inserted = (0xf0..=0xff).flat_map(|choice: u8| {
                // Kind, number of preceding headers and an octet of the header: options, a routing header, fragment
                // headers.
                [[0, 0, 0x1e], [1, 0, 0x7e], [1, 0, 0xc2], [2, 0, 1], [2, 0, 0], [3, 0, 0x08], [3, 0, 1], [4, 0, 0]]
                    .map(|header| [&[choice, 0, 1], &header[..], &[6], &[9; 30]].concat())
            });
            packets.chain(inserted).collect()
        }
        "engine_in" => {
            let altered = |n: u8| {
                [&[n, 0, 20], &[9; 20][..], &[0x80, 4, 1, 2, 3, 4], &[1, 1, 0, 1, 3, 0, 40, 1, 0, 1, 0]].concat()
            };
            (0..7)
                .map(altered)
                .chain((0xe7..=0xff).filter(|n| *n == 0xe7 || *n >= 0xf0).flat_map(with_inserted_headers))
                .collect()
        }
        "engine_batch" => (0..12)
            .map(|n| {
                [&[36, 3][..], &[n, 1, 20, n + 1, 2, 200, 8, 0, 90].repeat(12), &[1, 2, 40, 4, 0, 3, 0, 0, 5, 1, 9, 1]]
                    .concat()
                    .repeat(3)
            })
            .collect(),
        "pcap" => files(&root().join("ipsec-lab/data")).into_iter().chain(captures()).collect(),
        _ => Vec::new(),
    }
}

/// Sections of isakmpd.conf that describe transforms, suites and lifetimes.
const ISAKMPD: &str = "[Phase 1]\nDefault=p\n[Phase 2]\nPassive-connections=c\n[p]\nPhase=1\nConfiguration=m\n\
                       Authentication=secret\nID=i\n[i]\nID-type=USER_FQDN\nName=a@example.org\n[m]\nEXCHANGE_TYPE=AGGRESSIVE\n\
                       Transforms=t\n[t]\nENCRYPTION_ALGORITHM=AES_CBC\nKEY_LENGTH=192,128:256\nHASH_ALGORITHM=SHA\n\
                       AUTHENTICATION_METHOD=PRE_SHARED\nGROUP_DESCRIPTION=MODP_1536\nLife=l\n[l]\nLIFE_TYPE=SECONDS\n\
                       LIFE_DURATION=3600,60:86400\n[c]\nPhase=2\nISAKMP-peer=p\nConfiguration=q\nLocal-ID=n\nRemote-ID=h\n\
                       [n]\nID-type=IPV6_ADDR_SUBNET\nNetwork=2001:db8::\nNetmask=ffff:ffff::\n[h]\nID-type=IPV6_ADDR\n\
                       Address=2001:db8:1::1\nProtocol=6\nPort=22\n[q]\nSuites=s\n[s]\nProtocols=e\n[e]\nPROTOCOL_ID=IPSEC_ESP\n\
                       Transforms=x\n[x]\nTRANSFORM_ID=3DES\nENCAPSULATION_MODE=TRANSPORT\n\
                       AUTHENTICATION_ALGORITHM=HMAC_SHA\nGROUP_DESCRIPTION=MODP_1024\n";

/// Returns small captures in pcap of every link type, and in pcapng with several interfaces.
fn captures() -> Vec<Vec<u8>> {
    const LINKS: [u8; 18] = [0, 1, 9, 12, 13, 14, 50, 51, 100, 101, 104, 108, 109, 113, 117, 149, 204, 239];
    let message = messages().into_iter().find(|message| message.len() < 200).unwrap_or_default();
    let length = |octets: usize| u8::try_from(octets).unwrap_or(0);
    let udp = [&[1, 244, 1, 244, 0, length(8 + message.len()), 0, 0][..], &message].concat();
    let tcp = [&[1, 244, 1, 244, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0, 0, 0, 0, 0, 0][..], &message].concat();
    let ip = |protocol: u8, flags: u8, payload: &[u8]| {
        let header = [0x45, 0, 0, length(20 + payload.len()), 0, 7, flags, 0, 64, protocol, 0, 0];
        [&header[..], &[192, 0, 2, 1, 198, 51, 100, 1], payload].concat()
    };
    let packets = [ip(17, 0, &udp), ip(6, 0, &tcp), ip(4, 0, &ip(17, 0, &udp)), ip(17, 0x20, &udp[..48])];
    let record = |packet: &[u8]| {
        let lengths = u32::try_from(packet.len()).unwrap_or(0).to_le_bytes();
        [&[0; 8][..], &lengths, &lengths, packet].concat()
    };
    let file = |link: u8| {
        let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, link, 0, 0, 0];
        [&header[..], &packets.iter().flat_map(|packet| record(packet)).collect::<Vec<_>>()].concat()
    };
    let block = |kind: u8, body: &[u8]| {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let length = u32::try_from(12 + body.len() + padding.len()).unwrap_or(0).to_le_bytes();
        [&[kind, 0, 0, 0][..], &length, body, &padding, &length].concat()
    };
    let section =
        [&[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8], &[28, 0, 0, 0]];
    let interface =
        |link: u8| block(1, &[link, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let enhanced = packets.iter().flat_map(|packet| block(6, &[&[0; 4][..], &record(packet)].concat()));
    let next = [&section.concat()[..], &interface(101), &interface(1), &enhanced.collect::<Vec<_>>()].concat();
    LINKS.into_iter().map(file).chain([next]).collect()
}

/// Output of `ip xfrm state` and `ip xfrm policy`.
const XFRM: &str = "src 192.0.2.1 dst 198.51.100.1\n\tproto esp spi 0x00001001 reqid 1 mode tunnel\n\treplay-window 32 \
                    flag af-unspec\n\tauth-trunc hmac(sha1) 0x000102030405060708090a0b0c0d0e0f10111213 96\n\tenc \
                    cbc(aes) 0x000102030405060708090a0b0c0d0e0f\n\tencap type espinudp sport 4500 dport 4500 addr \
                    0.0.0.0\nsrc 10.1.0.0/16 dst 10.2.0.0/16 proto tcp sport 80\n\tdir out priority 100 ptype \
                    main\n\ttmpl src 192.0.2.1 dst 198.51.100.1\n\t\tproto esp reqid 1 mode tunnel\n";

/// Returns the files of the gateway's examples whose names end with this.
fn examples(end: &str) -> Vec<Vec<u8>> {
    let scenarios = fs::read_dir(root().join("ipsec-gateway/examples")).into_iter().flatten().flatten();
    let files = scenarios.filter_map(|scenario| fs::read_dir(scenario.path()).ok()).flatten().flatten();
    let mut files: Vec<_> =
        files.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(end)).collect();
    files.sort();
    files.iter().filter_map(|path| fs::read(path).ok()).collect()
}

/// Returns the configurations of a text, each of which begins with a line of `====` and its name.
fn configurations(all: &str) -> Vec<Vec<u8>> {
    let sections = all.split("==== ").filter_map(|section| section.split_once('\n'));
    sections.map(|(_, text)| text.as_bytes().to_vec()).collect()
}

/// Returns messages of a peer with the key: proposals of ESP in quick mode, and deletions and notifications.
fn hostile_quick_modes(choice: u8) -> Vec<Vec<u8>> {
    let attributes: &[&[u8]] = &[
        &[0x80, 4, 0, 1, 0x80, 5, 0, 2, 0x80, 6, 0, 128],
        &[0x80, 4, 0, 2, 0x80, 5, 0, 2, 0x80, 6, 0, 128, 0x80, 1, 0, 1, 0x80, 2, 0x0e, 0x10],
        &[0x80, 1, 0, 1, 0, 2, 0, 4, 0, 0, 0x70, 0x80, 0x80, 4, 0, 1],
    ];
    let quick = attributes.iter().map(|attributes| {
        let transform = [&[0, 0, 0, 8 + attributes.len() as u8, 1, 12, 0, 0], *attributes].concat();
        let proposal = [&[0, 0, 0, 12 + transform.len() as u8, 1, 3, 4, 1, 0, 0, 0x12, 0x34], &transform[..]].concat();
        let sa = [&[10, 0, 0, 12 + proposal.len() as u8, 0, 0, 0, 1, 0, 0, 0, 1], &proposal[..]].concat();
        let nonce = [&[5, 0, 0, 20][..], &[3; 16]].concat();
        let network = |next: u8, third: u8| [next, 0, 0, 16, 4, 0, 0, 0, 10, third, 0, 0, 255, 255, 0, 0];
        let payloads = [&sa[..], &nonce, &network(5, 2), &network(0, 1)].concat();
        [&[0, 1, payloads.len() as u8], &payloads[..]].concat()
    });
    let delete = [0, 0, 0, 16, 0, 0, 0, 1, 3, 4, 0, 1, 0, 0, 0x12, 0x34];
    let notify = [0, 0, 0, 16, 0, 0, 0, 1, 3, 4, 0, 14, 0, 0, 0x12, 0x34];
    let delete = [&[1, 12, 16][..], &delete].concat();
    let notify = [&[1, 11, 16][..], &notify].concat();
    quick.map(|quick| [&[choice][..], &quick, &delete, &notify, &quick].concat()).collect()
}

/// Returns inputs that log in, request a configuration, and begin quick mode before and after it.
fn hostile_transactions() -> Vec<Vec<u8>> {
    let payload = |kind: u8, attributes: &[u8]| {
        let body = [&[0, 0, 0, 8 + attributes.len() as u8, kind, 0, 0, 0], attributes].concat();
        [&[8, 14, body.len() as u8], &body[..]].concat()
    };
    let variable = |kind: u16, value: &[u8]| [&kind.to_be_bytes(), &[0, value.len() as u8][..], value].concat();
    let login = payload(2, &[variable(16_521, b"user"), variable(16_522, b"password")].concat());
    let status = payload(3, &[0xc0, 0x8f, 0, 1]);
    let request = payload(1, &[variable(1, &[]), variable(3, &[]), variable(28_676, &[])].concat());
    let set = payload(3, &[variable(1, &[10, 0, 0, 1]), variable(28_676, &[7; 14])].concat());
    let quick = &hostile_quick_modes(0x80)[0][1..];
    let orders = [[&request[..], quick, &login, &request, quick], [&login, &status, &set, &request, quick]];
    [0x80, 0x82].into_iter().flat_map(|choice| orders.map(|order| [&[choice], &order.concat()[..]].concat())).collect()
}

/// Returns inputs that send a packet and receive it with inserted headers, and then unmodified.
fn with_inserted_headers(choice: u8) -> impl Iterator<Item = Vec<u8>> {
    let sent = [&[0, 40][..], &[9; 40]].concat();
    let headers: [[u8; 3]; 11] = [
        [0, 0, 0x1e],
        [0, 0, 5],
        [1, 0, 0x7e],
        [1, 0, 0xbe],
        [6, 0, 0xc2],
        [2, 0, 0],
        [7, 0, 0x0d],
        [3, 0, 0x08],
        [3, 0, 1],
        [4, 0, 0],
        [5, 0, 0x80],
    ];
    headers.into_iter().flat_map(move |header| {
        let of = |headers: &[u8]| {
            let insert = [&[0xa9, headers.len() as u8 + 1, 0], headers].concat();
            [&[choice], &sent[..], &insert, &[1, 1, 0]].concat()
        };
        [of(&header), of(&[&header[..], &[1, 1, 0x1e]].concat())]
    })
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.iter().filter_map(|path| fs::read(path).ok()).filter(|text| text.len() < 100_000).collect()
}

fn records() -> impl Iterator<Item = Record> {
    let folder = root().join("test-vectors/data");
    let folders = ["packets", "ipcomp", "ikev1", "ike"].map(|name| folder.join(name));
    folders.into_iter().flat_map(|folder| files(&folder)).flat_map(|file| {
        let text = String::from_utf8_lossy(&file).into_owned();
        text.lines().map(test_vectors::parse_line).collect::<Vec<_>>()
    })
}

fn messages() -> Vec<Vec<u8>> {
    let of = |record| match record {
        Record::Isakmp(record) => Some(record.hex.to_vec()),
        Record::IsakmpBytes(record) => Some(record.hex.to_vec()),
        _ => None,
    };
    records().filter_map(of).collect()
}

fn packets() -> Vec<Vec<u8>> {
    let of = |record| match record {
        Record::Packet(record) => Some([Some(record.wire_packet.to_vec()), record.plain_packet.map(|p| p.to_vec())]),
        Record::Ipcomp(record) => Some([Some(record.wire_packet.to_vec()), None]),
        _ => None,
    };
    records().filter_map(of).flatten().flatten().collect()
}

fn esp() -> Vec<Vec<u8>> {
    let esp = |packet: Vec<u8>| packet.get(20..).filter(|_| packet.get(9) == Some(&50)).map(<[u8]>::to_vec);
    packets().into_iter().filter_map(esp).collect()
}

fn compressed() -> Vec<Vec<u8>> {
    let of = |record| match record {
        Record::Ipcomp(record) => record.wire_packet.get(24..).map(<[u8]>::to_vec),
        _ => None,
    };
    records().filter_map(of).collect()
}

/// Returns the PF_KEY messages of the engine's tests, which are little-endian messages of Linux.
fn pfkey() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(root().join("ipsec-pfkey/tests/messages.rs")).unwrap_or_default();
    let messages = text.split("const ").filter(|part| part.contains(": &str ="));
    let hex = |part: &str| {
        part.split('"').skip(1).step_by(2).filter(|s| s.bytes().all(|b| b.is_ascii_hexdigit())).collect::<String>()
    };
    messages.filter_map(|part| test_vectors::from_hex(&hex(part))).map(|m| [&[2][..], &m].concat()).collect()
}

/// Certificates of the tests of `ike-certificates`, in DER except for the first.
pub struct Certificates {
    /// Certificate of the CA in PEM.
    pub authority: Vec<u8>,
    /// Certificate of a CA below it.
    pub intermediate: Vec<u8>,
    /// Certificate of a peer.
    pub gateway: Vec<u8>,
    /// Signature of the peer over the octets 0 to 19.
    pub signature: Vec<u8>,
    /// PKCS#7, CRLs and keys.
    pub others: Vec<Vec<u8>>,
}

/// Returns the certificates of the tests of `ike-certificates`.
pub fn certificates() -> &'static Certificates {
    static READ: LazyLock<Certificates> = LazyLock::new(|| {
        let bundle = include_str!("../../../ike-certificates/tests/bundle.pem");
        let section = |name: &str| bundle.split("==== ").find_map(|text| text.strip_prefix(name)?.strip_prefix('\n'));
        let decode = |name: &str| {
            let lines = section(name).unwrap_or_default().lines().filter(|line| !line.starts_with('-'));
            Base64::decode_vec(&lines.collect::<String>()).unwrap_or_default()
        };
        Certificates {
            authority: section("authority certificate").unwrap_or_default().into(),
            intermediate: decode("intermediate certificate"),
            gateway: decode("gateway certificate"),
            signature: section("signature of gateway over the octets 0 to 19")
                .and_then(|hex| test_vectors::from_hex(hex.trim()))
                .unwrap_or_default(),
            others: [
                "gateway PKCS#7",
                "CRL version 1 of intermediate",
                "CRL version 2 of authority",
                "gateway key",
                "gateway key PKCS#1",
                "gateway public key",
                "gateway public key PKCS#1",
            ]
            .map(decode)
            .into(),
        }
    });
    &READ
}
