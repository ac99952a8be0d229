//! Names of /etc/protocols and /etc/services that are common in policies. Other protocols and ports are numeric.

/// Upper-layer protocols by name.
#[rustfmt::skip]
pub(super) const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1), ("igmp", 2), ("ipencap", 4), ("ip4", 4), ("tcp", 6), ("egp", 8), ("igp", 9), ("udp", 17), ("dccp", 33),
    ("ipv6", 41), ("rsvp", 46), ("gre", 47), ("esp", 50), ("ah", 51), ("icmp6", 58), ("ipv6-icmp", 58), ("icmpv6", 58),
    ("eigrp", 88), ("ospf", 89), ("ospfigp", 89), ("ipip", 94), ("etherip", 97), ("encap", 98), ("pim", 103),
    ("ipcomp", 108), ("vrrp", 112), ("carp", 112), ("l2tp", 115), ("isis", 124), ("sctp", 132),
    ("mobility-header", 135), ("udplite", 136),
];

/// Ports by name of their service.
#[rustfmt::skip]
pub(super) const PORTS: &[(&str, u16)] = &[
    ("ftp-data", 20), ("ftp", 21), ("ssh", 22), ("telnet", 23), ("smtp", 25), ("mail", 25), ("domain", 53),
    ("bootps", 67), ("bootpc", 68), ("tftp", 69), ("http", 80), ("www", 80), ("kerberos", 88), ("pop3", 110),
    ("sunrpc", 111), ("ntp", 123), ("netbios-ns", 137), ("netbios-dgm", 138), ("netbios-ssn", 139), ("imap", 143),
    ("imap2", 143), ("snmp", 161), ("snmptrap", 162), ("bgp", 179), ("ldap", 389), ("https", 443),
    ("microsoft-ds", 445), ("isakmp", 500), ("syslog", 514), ("printer", 515), ("router", 520), ("ripng", 521),
    ("ldaps", 636), ("imaps", 993), ("pop3s", 995), ("l2tp", 1701), ("pptp", 1723), ("radius", 1812),
    ("radius-acct", 1813), ("nfs", 2049), ("nfsd", 2049), ("ipsec-nat-t", 4500), ("ipsec-msft", 4500), ("sip", 5060),
    ("postgresql", 5432),
];
