//! IKEv1 (RFC 2408, RFC 2409) without I/O: negotiation of SAs, and its cryptographic building blocks.
//!
//! [`Negotiator`] is a state machine in fixed memory: main, aggressive and base mode with pre-shared keys, signatures
//! and hybrid authentication, NAT traversal, dead peer detection, XAUTH and Mode Config, quick mode for ESP, AH, IPComp
//! and bundles of them in tunnel and transport mode, and informational exchanges, in both roles. Datagrams, time and
//! requests go in; [`Event`]s and datagrams come out. [`Host`] supplies configuration, keys, random numbers, SPIs and
//! the Diffie-Hellman arithmetic. `ipsec-lab negotiate` is a complete use of it.
//!
//! [`Follower`] takes the messages of both sides from a capture, decrypts them with the secrets that are known and
//! verifies their hashes: main, aggressive and base mode, quick mode, informational and transaction exchanges.
//!
//! The crate also contains the key schedule from a shared secret to KEYMAT ([`Skeyid`], [`Phase1Keys`]), the encryption
//! of messages with its chain of IVs ([`Protection`], [`IvChain`]), Diffie-Hellman groups ([`DiffieHellman`],
//! [`Software`]), the mapping between wire numbers and algorithms ([`Phase1Choice`], [`Phase2Choice`]), NAT detection
//! and stateless cookies. Messages are parsed and written by `ike-codec`; the algorithms are those of `ipsec-crypto`.
//!
//! ```
//! use ike_codec::{ExchangeKind, Header, MessageWriter, PayloadKind};
//! use ike_v1::{Cookies, IvChain, Nonces, Protection, Skeyid, plaintext};
//! use ipsec_crypto::{CipherAlgorithm, HashFunction};
//!
//! let (cookies, nonces) = (Cookies { initiator: [1; 8], responder: [2; 8] }, Nonces { initiator: &[3; 16], responder: &[4; 16] });
//! let keys = Skeyid::pre_shared_key(HashFunction::Sha1.prf(), b"secret", &nonces)?.derive(&[5; 128], &cookies);
//! let ka = keys.cipher_key(CipherAlgorithm::AesCbc, 32)?; // longer than SKEYID_e, therefore expanded
//! let protection = Protection::new(CipherAlgorithm::AesCbc, ka.expose(), HashFunction::Sha1)?;
//! let chain: IvChain = protection.phase_1(&[6; 128], &[7; 128]);
//!
//! # let mut buf = [0; 128];
//! let mut writer = MessageWriter::new(&mut buf, &Header::new([1; 8], [2; 8], ExchangeKind::MAIN, 0))?;
//! writer.bytes(PayloadKind::HASH, &[8; 20])?;
//! let message = writer.finish_padded(protection.block())?;
//! protection.encrypt(&chain, message)?;
//! protection.decrypt(&chain, message)?;
//! assert_eq!(plaintext(message)?.payloads().next().map(|p| p.body), Some(&[8; 20][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `modern` and `legacy` enable the algorithms of `ipsec-crypto`, `modp` and `ecp` the Diffie-Hellman groups;
//! groups 1, 2 and 5 need `legacy` as well. `alloc` keeps the SAs and exchanges of the negotiator on the heap.
//! `aggressive`, `base`, `signatures`, `nat-traversal`, `dead-peer-detection`, `xauth`, `fragments`, `suspension`
//! (hosts that answer later), `bundles` (policies of several protocols) and `phase-1-events` (the event that phase 1
//! has begun), together `all-exchanges`, add what a negotiator supports besides main mode with pre-shared keys and
//! quick mode of one protocol. All features are additive.
//!
//! Security notes: decryption does not authenticate. The negotiator verifies the hash of a message before its contents
//! are used, and confirms the IV chain after that; users of the building blocks have to do the same. A pre-shared key
//! in aggressive mode, or a weak one in main mode, can be searched offline (CVE-2018-5389); the strength of the key is
//! the only protection. With the key of a group, each of its users can pose as the server, and receives the passwords
//! of extended authentication; hybrid authentication prevents that. Groups 1, 2 and 5, DES and MD5 are intended for
//! peers without stronger algorithms. Secrets are wiped on drop and never printed; block ciphers other than AES are not
//! constant-time.
#![no_std]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc
)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod cookie;
mod dh;
mod follower;
mod keymat;
mod method;
pub mod names;
mod natd;
mod negotiator;
#[cfg(feature = "alloc")]
mod peer_config;
mod proposal;
mod protect;

pub use cookie::CookieGenerator;
pub use dh::{DhError, DiffieHellman, GroupLengths, MAX_PUBLIC, Software};
pub use follower::{FollowError, Followed, Follower, HashForm, NotVerified, Secrets, Verdict};
pub use keymat::{Cookies, EmptyKeymat, KeymatSeed, Nonces, Phase1Keys, Phase1Publics, Skeyid};
pub use natd::{NatDetection, detect, detection_hash};
pub use negotiator::{
    CertificateRefusal, CertificateRequests, ClientConfig, ClientNetwork, ClientNetworkV6, ConfigRequest, Counter,
    Counters, Credentials, DeadPeerDetection, Difference, Event, Failure, Gone, Host, IpsecPolicy, IpsecSaId,
    IpsecTemplate, IsakmpSaId, IsakmpSaView, MAX_BUNDLE, MAX_CREDENTIAL, Mismatch, ModeConfig, NatSituation,
    NegotiatedSa, Negotiator, Parameter, Path, Peer, PeerHint, PeerId, Phase, PolicyRefusal, PolicyRequest,
    PreSharedKey, ProposalCheck, Refusal, Refused, Role, Settings, ShortText, SignedIdentity, SpiPair, Table, Target,
    Transmit, XauthAnswer, XauthRequest, XauthRole,
};
#[cfg(feature = "alloc")]
pub use peer_config::{Identity, LocalIdentity, NatUse, PeerConfig};
pub use proposal::{
    PeerDefaults, Phase1Choice, Phase2Choice, Phase2Suite, ProposalError, auth_numbers, encryption_number, esp_number,
    hash_number,
};
pub use protect::{IvChain, NextIv, ProtectError, Protection, plaintext};
