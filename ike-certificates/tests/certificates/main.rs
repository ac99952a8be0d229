//! Verification of the certificates of peers.

mod constraints;
mod template;
mod verification;
