use crate::body::Body;
use crate::message::Message;
use crate::natt::NatTraversals;
use crate::vendor::{VendorIdMeaning, identify};

/// Properties of a peer, derived from all vendor IDs that it sent (RFC 2408 section 3.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Quirks {
    /// NAT traversal documents that the peer supports; the payload numbers and modes follow from the one chosen.
    pub nat_traversal: NatTraversals,
    /// Support of dead peer detection (RFC 3706).
    pub dead_peer_detection: bool,
    /// Support of extended authentication (XAUTH).
    pub xauth: bool,
    /// Support of Cisco Unity attributes and of mode config in pull mode.
    pub unity: bool,
    /// Support of IKE fragmentation, with the exchanges for which it is announced.
    pub fragmentation: Option<FragmentationUse>,
    /// Version of Windows (2 is Windows 2000, 3 XP, 4 Server 2003, 5 Vista ..), 0 if the vendor ID contains none.
    pub windows: Option<u32>,
    /// Support of GSS-API authentication.
    pub gss_api: bool,
    /// The peer is a product of Cisco.
    pub cisco: bool,
    /// The peer is racoon, of KAME or ipsec-tools.
    pub racoon: bool,
    /// The peer is isakmpd, of OpenBSD.
    pub isakmpd: bool,
    /// The peer is Check Point FireWall-1.
    pub check_point: bool,
    /// The peer is SSH Sentinel 1.4.1, which sends its XAUTH acknowledgement with a new message ID.
    pub xauth_ack_has_new_message_id: bool,
}

/// Exchanges in which a peer accepts fragments, from the four capability octets that may follow the vendor ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentationUse {
    /// Fragments are accepted in main and aggressive mode; assumed when the capabilities are absent.
    pub identity: bool,
    /// Fragments are accepted in the base exchange.
    pub base: bool,
}

/// Meaning of the ambiguous authentication method 65001 (draft-beaulieu-ike-xauth-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XauthOrGssApi {
    /// XAUTH after pre-shared key authentication; the initiator is the client.
    XauthPreSharedKey,
    /// GSS-API with Kerberos (Windows 2000).
    GssApi,
}

/// Meaning of the ambiguous notification 40503 (RFC 2408 section 3.14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatOrPskHash {
    /// Heartbeat as sent by racoon.
    Heartbeat,
    /// Hash of the pre-shared key (Cisco).
    PskHash,
}

/// Meaning of the ambiguous certificate encoding 11 (RFC 2408 section 3.9, RFC 4306 section 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawRsaOrKeyNote {
    /// Raw RSA public key.
    RawRsa,
    /// KeyNote credentials as sent by isakmpd.
    KeyNote,
}

impl Quirks {
    /// Derives the properties of a peer from the vendor IDs of one message (RFC 2408 section 3.16).
    pub fn of(message: &Message<'_>) -> Self {
        let mut quirks = Self::default();
        for payload in message.payloads() {
            if let Body::VendorId(body) = payload.view() {
                quirks.add(body);
            }
        }
        quirks
    }

    /// Adds the properties that follow from one vendor ID; unknown vendor IDs are ignored (RFC 2408 section 3.16).
    pub fn add(&mut self, body: &[u8]) {
        let Some(id) = identify(body) else { return };
        let rest = body.get(id.bytes.len()..).unwrap_or_default();
        match id.meaning {
            VendorIdMeaning::NatTraversal(one) => self.nat_traversal = self.nat_traversal.with(one),
            VendorIdMeaning::DeadPeerDetection => self.dead_peer_detection = true,
            VendorIdMeaning::Xauth => self.xauth = true,
            VendorIdMeaning::Unity => (self.unity, self.cisco) = (true, true),
            VendorIdMeaning::Fragmentation => self.fragmentation = Some(FragmentationUse::read(rest)),
            VendorIdMeaning::Windows => self.windows = Some(first_u32(rest).unwrap_or(0)),
            VendorIdMeaning::GssApi => self.gss_api = true,
            VendorIdMeaning::Cisco => self.cisco = true,
            VendorIdMeaning::Racoon | VendorIdMeaning::Heartbeat => self.racoon = true,
            VendorIdMeaning::Isakmpd => self.isakmpd = true,
            VendorIdMeaning::CheckPoint => self.check_point = true,
            VendorIdMeaning::SshSentinel141 => self.xauth_ack_has_new_message_id = true,
            VendorIdMeaning::Microsoft
            | VendorIdMeaning::NetScreen
            | VendorIdMeaning::FreeSwan
            | VendorIdMeaning::StrongSwan
            | VendorIdMeaning::Ssh
            | VendorIdMeaning::Other => {}
        }
    }

    /// Returns the meaning of authentication method 65001: GSS-API if the peer is Windows or announces GSS-API, unless
    /// it announces XAUTH as well (draft-beaulieu-ike-xauth-02).
    pub const fn xauth_or_gss_api(&self) -> XauthOrGssApi {
        if (self.gss_api || self.windows.is_some()) && !self.xauth {
            XauthOrGssApi::GssApi
        } else {
            XauthOrGssApi::XauthPreSharedKey
        }
    }

    /// Returns the meaning of notification 40503: a hash from Cisco, a heartbeat otherwise (RFC 2408 section 3.14.1).
    pub const fn heartbeat_or_psk_hash(&self) -> HeartbeatOrPskHash {
        if self.cisco && !self.racoon { HeartbeatOrPskHash::PskHash } else { HeartbeatOrPskHash::Heartbeat }
    }

    /// Returns the meaning of certificate encoding 11: KeyNote from isakmpd, a raw RSA key otherwise (RFC 2408 section
    /// 3.9, RFC 4306 section 3.6).
    pub const fn raw_rsa_or_keynote(&self) -> RawRsaOrKeyNote {
        if self.isakmpd { RawRsaOrKeyNote::KeyNote } else { RawRsaOrKeyNote::RawRsa }
    }

    /// Returns whether messages to the peer may be padded to a multiple of four octets after the last payload; Check
    /// Point drops such messages.
    pub const fn tolerates_message_padding(&self) -> bool {
        !self.check_point
    }
}

impl FragmentationUse {
    fn read(capabilities: &[u8]) -> Self {
        let bits = first_u32(capabilities).unwrap_or(0x8000_0000);
        Self { identity: bits & 0x8000_0000 != 0, base: bits & 0x4000_0000 != 0 }
    }
}

/// Decodes the first four octets as a number in network byte order.
fn first_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|&b| u32::from_be_bytes(b))
}
