//! Suites that both programs test.

pub mod suites;
