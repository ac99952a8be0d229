//! Security gateway: joins networks over IPsec. It negotiates SAs with IKEv1 (`ike-v1`), and protects packets in user
//! space (`ipsec-engine`) between a TUN interface and raw sockets. The protocols are in those crates; this crate
//! contains configuration, sockets, firewall rules and the event loop of `ipsec-gatewayd`, for Linux.
#![cfg(target_os = "linux")]

pub mod access;
pub mod buffer;
pub mod clock;
pub mod config;
pub mod control;
pub mod credentials;
pub mod daemon;
pub mod databases;
pub mod demo;
pub mod files;
pub mod firewall;
pub mod generated;
pub mod gif;
pub mod hooks;
pub mod host;
pub mod ike;
pub mod kernel;
pub mod key_exchange;
pub mod key_tables;
pub mod log;
pub mod memory;
pub mod own_addresses;
pub mod plane;
pub mod policy;
pub mod pool;
pub mod privileged;
pub mod protection;
pub mod psk;
pub mod raw;
pub mod routes;
pub mod shown_keys;
pub mod sockets;
pub mod spd;
pub mod state;
pub mod throttle;
mod tun;
pub mod udp;
