//! Packet buffers, IP headers and sequence numbers, which ESP, AH and IPComp share.
//!
//! This crate contains packet buffers with head- and tailroom, SPIs, sequence numbers and anti-replay windows, views
//! of IPv4 and IPv6 headers and extension headers, tunnel, transport and BEET encapsulation, UDP encapsulation, and
//! division into fragments.
//! Cryptography is in `ipsec-crypto`, the transforms are in `esp-core`, `ah-core` and `ipcomp-core`, and the SAD is
//! in `ipsec-engine`.
//!
//! ```
//! use ipsec_packet::PacketBuf;
//!
//! let mut frame = [0u8; 128];
//! let mut packet = PacketBuf::with_headroom(&mut frame, 40, 20)?;
//! packet.push_front(8)?.copy_from_slice(b"ESP head");
//! assert_eq!(packet.data().len(), 28);
//! # Ok::<(), ipsec_packet::NoSpace>(())
//! ```
//!
//! Features: none.
//!
//! Security notes: every length from the wire is validated once, where it is read. The crate does not panic, allocate
//! or use `unsafe`. Checksums of outer IP headers are verified by the IP layer below, not here.
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

mod beet;
mod buf;
mod checksum;
mod ecn;
mod fault;
mod fragment;
mod icmp;
mod instant;
mod ip;
mod ip_in_ip;
mod ipv4;
mod ipv6;
mod lifetime;
mod mss;
mod parsed;
mod preceding;
mod proto;
mod replay;
mod selector;
mod seq;
mod spi;
mod state;
mod transport;
mod transport_checksum;
mod tunnel;
mod udp_encap;

pub use beet::{Beet, BeetError};
pub use buf::{Checkpoint, NoSpace, PacketBuf, TooShort};
pub use checksum::{Checksum, adjust_checksum};
pub use ecn::EcnMode;
pub use fault::Fault;
pub use fragment::{FragmentError, Fragments};
pub use icmp::{TooBig, quoted_flow, too_big_reply};
pub use instant::Instant;
pub use ip::{Ip, IpError, adjust_length, set_length, set_next_header};
pub use ipv4::{Ipv4, Ipv4Header};
pub use ipv6::{Chain, ChainLink, Extension, Ipv6, Ipv6Header, MAX_EXTENSION_HEADERS};
pub use lifetime::ByteLimit;
pub use mss::{clamp_tcp_mss, is_tcp_syn, tcp_mss};
pub use parsed::{Fragment, ParsedIp};
pub use preceding::{
    check_preceding_headers, check_route_finished, remove_atomic_fragment_headers, remove_preceding_headers,
    replace_ipv4_options,
};
pub use proto::IpProto;
pub use replay::{AntiReplay, NoReplay, ReplayError, ReplayWindow, WindowSize};
pub use selector::{AddressRange, Detail, Flow, Match, PortRange, Selector, Upper};
pub use seq::{Seq, SeqCounter, SeqRun, SeqWidth, SequenceExhausted};
pub use spi::{Cpi, ReservedCpi, ReservedSpi, Spi};
pub use state::StateError;
pub use transport::{DestinationOptions, HeaderPosition, close_gap, find_header, locate, open_gap, transport_position};
pub use transport_checksum::{ChecksumRepair, OriginalAddresses, repair_checksum};
pub use tunnel::{
    DfPolicy, DscpPolicy, FlowPolicy, HopLimitPolicy, HopLimits, Outer, OuterFields, Tunnel, TunnelError, TunnelRules,
};
pub use udp_encap::{
    Datagram, Marker, Ports, UDP_HEADER, UdpChecksum, UdpError, classify, pop_udp, push_udp, restore_udp_headers,
};
