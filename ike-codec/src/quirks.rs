use crate::body::Body;
use crate::message::Message;
use crate::natt::NatTraversals;
use crate::vendor::{Meaning, identify};

/// What to expect of a peer, from all the vendor IDs it sent (RFC 2408 3.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Quirks {
    /// The documents of NAT traversal it knows; the payload numbers and modes follow from the one chosen.
    pub nat_traversal: NatTraversals,
    /// Dead peer detection.
    pub dead_peer_detection: bool,
    /// Extended authentication.
    pub xauth: bool,
    /// Cisco Unity attributes, and mode config pulled by the client.
    pub unity: bool,
    /// IKE fragmentation, with the exchanges it is for.
    pub fragmentation: Option<FragmentationUse>,
    /// The version of Windows (2 is Windows 2000, 3 XP, 4 Server 2003, 5 Vista ..), 0 if it says none.
    pub windows: Option<u32>,
    /// GSS-API authentication.
    pub gss_api: bool,
    /// A product of Cisco.
    pub cisco: bool,
    /// racoon.
    pub racoon: bool,
    /// isakmpd.
    pub isakmpd: bool,
    /// Check Point.
    pub check_point: bool,
    /// SSH Sentinel 1.4.1, whose XAUTH acknowledgement comes under a new message ID.
    pub xauth_ack_has_new_message_id: bool,
}

/// In which exchanges a peer takes fragments, from the four octets that may follow the vendor ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentationUse {
    /// In main and aggressive mode; assumed of a peer that says nothing.
    pub identity: bool,
    /// In the base exchange.
    pub base: bool,
}

/// The two readings of authentication method 65001 (draft-beaulieu-ike-xauth-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XauthOrGssApi {
    /// XAUTH after a pre-shared key, the initiator being the client.
    XauthPreSharedKey,
    /// GSS-API with Kerberos (Windows 2000).
    GssApi,
}

/// The two readings of notification 40503 (RFC 2408 3.14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatOrPskHash {
    /// racoon's heartbeat.
    Heartbeat,
    /// A hash of the pre-shared key (Cisco).
    PskHash,
}

/// The readings of certificate encoding 11 (RFC 2408 3.9, RFC 4306 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawRsaOrKeyNote {
    /// A raw RSA key.
    RawRsa,
    /// KeyNote credentials (isakmpd).
    KeyNote,
}

impl Quirks {
    /// What the vendor IDs of one message say (RFC 2408 3.16).
    pub fn of(message: &Message<'_>) -> Self {
        let mut quirks = Self::default();
        for payload in message.payloads() {
            if let Body::VendorId(body) = payload.view() {
                quirks.add(body);
            }
        }
        quirks
    }

    /// Takes one more vendor ID into account; unknown ones change nothing (RFC 2408 3.16).
    pub fn add(&mut self, body: &[u8]) {
        let Some(id) = identify(body) else { return };
        let rest = body.get(id.bytes.len()..).unwrap_or_default();
        match id.meaning {
            Meaning::NatTraversal(one) => self.nat_traversal = self.nat_traversal.with(one),
            Meaning::DeadPeerDetection => self.dead_peer_detection = true,
            Meaning::Xauth => self.xauth = true,
            Meaning::Unity => (self.unity, self.cisco) = (true, true),
            Meaning::Fragmentation => self.fragmentation = Some(FragmentationUse::read(rest)),
            Meaning::Windows => self.windows = Some(number(rest).unwrap_or(0)),
            Meaning::GssApi => self.gss_api = true,
            Meaning::Cisco => self.cisco = true,
            Meaning::Racoon | Meaning::Heartbeat => self.racoon = true,
            Meaning::Isakmpd => self.isakmpd = true,
            Meaning::CheckPoint => self.check_point = true,
            Meaning::SshSentinel141 => self.xauth_ack_has_new_message_id = true,
            Meaning::Microsoft
            | Meaning::NetScreen
            | Meaning::FreeSwan
            | Meaning::StrongSwan
            | Meaning::Ssh
            | Meaning::Other => {}
        }
    }

    /// What 65001 means: GSS-API from Windows or who names it, unless the peer names XAUTH as well (draft-beaulieu-ike-xauth-02).
    pub const fn xauth_or_gss_api(&self) -> XauthOrGssApi {
        if (self.gss_api || self.windows.is_some()) && !self.xauth {
            XauthOrGssApi::GssApi
        } else {
            XauthOrGssApi::XauthPreSharedKey
        }
    }

    /// What 40503 means (RFC 2408 3.14.1).
    pub const fn heartbeat_or_psk_hash(&self) -> HeartbeatOrPskHash {
        if self.cisco && !self.racoon { HeartbeatOrPskHash::PskHash } else { HeartbeatOrPskHash::Heartbeat }
    }

    /// What certificate encoding 11 means (RFC 2408 3.9, RFC 4306 3.6).
    pub const fn raw_rsa_or_keynote(&self) -> RawRsaOrKeyNote {
        if self.isakmpd { RawRsaOrKeyNote::KeyNote } else { RawRsaOrKeyNote::RawRsa }
    }

    /// Whether messages may be padded to four octets behind their last payload; Check Point drops such a message.
    pub const fn tolerates_message_padding(&self) -> bool {
        !self.check_point
    }
}

impl FragmentationUse {
    fn read(capabilities: &[u8]) -> Self {
        let bits = number(capabilities).unwrap_or(0x8000_0000);
        Self { identity: bits & 0x8000_0000 != 0, base: bits & 0x4000_0000 != 0 }
    }
}

/// The number in the first four octets, if there are as many.
fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk::<4>().map(|&b| u32::from_be_bytes(b))
}
