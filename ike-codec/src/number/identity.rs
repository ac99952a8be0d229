use super::numbers;

numbers! {
    /// Type of an identification payload (RFC 2407 section 4.6.2.1, RFC 3554, RFC 7619).
    IdKind(u8) {
        RESERVED = 0 "reserved",
        IPV4 = 1 "ID_IPV4_ADDR",
        FQDN = 2 "ID_FQDN",
        USER_FQDN = 3 "ID_USER_FQDN",
        IPV4_SUBNET = 4 "ID_IPV4_ADDR_SUBNET",
        IPV6 = 5 "ID_IPV6_ADDR",
        IPV6_SUBNET = 6 "ID_IPV6_ADDR_SUBNET",
        IPV4_RANGE = 7 "ID_IPV4_ADDR_RANGE",
        IPV6_RANGE = 8 "ID_IPV6_ADDR_RANGE",
        DER_ASN1_DN = 9 "ID_DER_ASN1_DN",
        DER_ASN1_GN = 10 "ID_DER_ASN1_GN",
        KEY_ID = 11 "ID_KEY_ID",
        LIST = 12 "ID_LIST",
        NULL = 13 "ID_NULL",
    }
}

numbers! {
    /// Certificate encoding (RFC 2408 section 3.9 and later documents).
    ///
    /// Encoding 11 is a raw RSA key for most implementations, including the plain RSA key of racoon, and KeyNote for
    /// isakmpd ([`Quirks::raw_rsa_or_keynote`](crate::Quirks::raw_rsa_or_keynote)).
    CertificateEncoding(u8) {
        NONE = 0 "none",
        PKCS7 = 1 "PKCS #7 wrapped X.509",
        PGP = 2 "PGP",
        DNS_KEY = 3 "DNS signed key",
        X509_SIGNATURE = 4 "X.509 signature",
        X509_KEY_EXCHANGE = 5 "X.509 key exchange",
        KERBEROS = 6 "Kerberos tokens",
        CRL = 7 "certificate revocation list",
        ARL = 8 "authority revocation list",
        SPKI = 9 "SPKI",
        X509_ATTRIBUTE = 10 "X.509 attribute",
        RAW_RSA = 11 "raw RSA key (or KeyNote, isakmpd)",
        HASH_AND_URL = 12 "hash and URL of X.509",
        HASH_AND_URL_BUNDLE = 13 "hash and URL of bundle",
        OCSP = 14 "OCSP content",
        RAW_PUBLIC_KEY = 15 "raw public key",
    }
}
