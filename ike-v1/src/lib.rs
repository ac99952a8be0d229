//! x
#![no_std]
mod cookie;
mod dh;
mod keymat;
mod natd;
mod proposal;
mod protect;

pub use cookie::CookieJar;
pub use dh::{DhError, DiffieHellman, GroupLengths, MAX_PUBLIC, Software};
pub use keymat::{Cookies, KeymatSeed, NoKeymat, Nonces, Phase1Publics, Skeyid, Skeyids};
pub use natd::{NatSituation, detect, detection_hash};
pub use proposal::{
    PeerDefaults, Phase1Choice, Phase2Choice, Phase2Suite, ProposalError, auth_numbers, encryption_number, esp_number,
};
pub use protect::{IvChain, NextIv, ProtectError, Protection, plaintext};
