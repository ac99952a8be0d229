//! What both programs share.

pub mod suites;
