//! Equality of statements of racoon.conf(5) without regard to their places.

use super::syntax::{Proposal, Remote, Sainfo};

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, inherit: _, span: _, has_errors: _, values } = self;
        *name == other.name && *values == other.values
    }
}

impl Eq for Remote {}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        let Self { span: _, cipher, hash, method, group, lifetime_time, lifetime_byte } = self;
        (cipher, hash, method, group, lifetime_time, lifetime_byte)
            == (&other.cipher, &other.hash, &other.method, &other.group, &other.lifetime_time, &other.lifetime_byte)
    }
}

impl Eq for Proposal {}

impl PartialEq for Sainfo {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            span: _,
            local,
            remote,
            from,
            group,
            pfs_group,
            lifetime_time,
            lifetime_byte,
            ciphers,
            integrity,
            has_deflate,
            remoteid,
        } = self;
        let is_for = (local, remote, from, group, remoteid)
            == (&other.local, &other.remote, &other.from, &other.group, &other.remoteid);
        is_for
            && (pfs_group, lifetime_time, lifetime_byte, ciphers, integrity, has_deflate)
                == (
                    &other.pfs_group,
                    &other.lifetime_time,
                    &other.lifetime_byte,
                    &other.ciphers,
                    &other.integrity,
                    &other.has_deflate,
                )
    }
}

impl Eq for Sainfo {}
