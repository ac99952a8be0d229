//! Security gateway `ipsec-gatewayd`.

fn main() {}
