use super::numbers;

numbers! {
    /// Attribute type of an ISAKMP transform (RFC 2409 appendix A).
    OakleyAttribute(u16) {
        ENCRYPTION = 1 "encryption algorithm",
        HASH = 2 "hash algorithm",
        AUTH_METHOD = 3 "authentication method",
        GROUP = 4 "group description",
        GROUP_TYPE = 5 "group type",
        GROUP_PRIME = 6 "group prime or irreducible polynomial",
        GROUP_GENERATOR_ONE = 7 "group generator one",
        GROUP_GENERATOR_TWO = 8 "group generator two",
        GROUP_CURVE_A = 9 "group curve A",
        GROUP_CURVE_B = 10 "group curve B",
        LIFE_TYPE = 11 "life type",
        LIFE_DURATION = 12 "life duration",
        PRF = 13 "PRF",
        KEY_LENGTH = 14 "key length",
        FIELD_SIZE = 15 "field size",
        GROUP_ORDER = 16 "group order",
        BLOCK_SIZE = 17 "block size",
        GSS_ID = 16384 "GSS identity name",
        GSS_ID_WINDOWS = 32001 "GSS identity name (Windows)",
    }
}

numbers! {
    /// Encryption algorithm of phase 1 (RFC 2409 appendix A, RFC 3602 and private use).
    Encryption(u16) {
        DES_CBC = 1 "DES-CBC",
        IDEA_CBC = 2 "IDEA-CBC",
        BLOWFISH_CBC = 3 "Blowfish-CBC",
        RC5_CBC = 4 "RC5-R16-B64-CBC",
        TRIPLE_DES_CBC = 5 "3DES-CBC",
        CAST_CBC = 6 "CAST-CBC",
        AES_CBC = 7 "AES-CBC",
        CAMELLIA_CBC = 8 "Camellia-CBC",
        AES_CTR = 13 "AES-CTR",
        AES_CCM_8 = 14 "AES-CCM-8",
        AES_CCM_12 = 15 "AES-CCM-12",
        AES_CCM_16 = 16 "AES-CCM-16",
        AES_GCM_8 = 18 "AES-GCM-8",
        AES_GCM_12 = 19 "AES-GCM-12",
        AES_GCM_16 = 20 "AES-GCM-16",
        NULL_AUTH_AES_GMAC = 21 "NULL with AES-GMAC",
        CAMELLIA_CBC_IKEV2 = 23 "Camellia-CBC (as in IKEv2)",
        CAMELLIA_CTR = 24 "Camellia-CTR",
        CAMELLIA_CCM_8 = 25 "Camellia-CCM-8",
        CAMELLIA_CCM_12 = 26 "Camellia-CCM-12",
        CAMELLIA_CCM_16 = 27 "Camellia-CCM-16",
        MARS_CBC = 65001 "MARS-CBC",
        RC6_CBC = 65002 "RC6-CBC",
        PRIVATE_65003 = 65003 "private 65003",
        SERPENT_CBC = 65004 "Serpent-CBC",
        TWOFISH_CBC = 65005 "Twofish-CBC",
        TWOFISH_CBC_SSH = 65289 "Twofish-CBC (SSH)",
    }
}

numbers! {
    /// Hash algorithm of phase 1 (RFC 2409 appendix A, RFC 4868).
    Hash(u16) {
        MD5 = 1 "MD5",
        SHA1 = 2 "SHA1",
        TIGER = 3 "Tiger",
        SHA2_256 = 4 "SHA2-256",
        SHA2_384 = 5 "SHA2-384",
        SHA2_512 = 6 "SHA2-512",
    }
}

numbers! {
    /// Authentication method of phase 1 (RFC 2409 appendix A, RFC 4754, the XAUTH, hybrid and CRACK drafts).
    ///
    /// Method 65001 is pre-shared key authentication of the XAUTH draft as well as GSS-API of Windows 2000; the vendor
    /// IDs of the peer resolve the ambiguity ([`Quirks::xauth_or_gss_api`](crate::Quirks::xauth_or_gss_api)).
    AuthMethod(u16) {
        PRE_SHARED_KEY = 1 "pre-shared key",
        DSS_SIGNATURE = 2 "DSS signature",
        RSA_SIGNATURE = 3 "RSA signature",
        RSA_ENCRYPTION = 4 "RSA encryption",
        RSA_REVISED_ENCRYPTION = 5 "revised RSA encryption",
        ELGAMAL_ENCRYPTION = 6 "ElGamal encryption",
        ELGAMAL_REVISED_ENCRYPTION = 7 "revised ElGamal encryption",
        ECDSA_SIGNATURE = 8 "ECDSA signature",
        ECDSA_256 = 9 "ECDSA-256",
        ECDSA_384 = 10 "ECDSA-384",
        ECDSA_521 = 11 "ECDSA-521",
        NULL = 13 "null",
        CRACK = 128 "CRACK",
        HYBRID_INIT_RSA = 64221 "hybrid initiator RSA",
        HYBRID_RESP_RSA = 64222 "hybrid responder RSA",
        HYBRID_INIT_DSS = 64223 "hybrid initiator DSS",
        HYBRID_RESP_DSS = 64224 "hybrid responder DSS",
        XAUTH_INIT_PRE_SHARED = 65001 "XAUTH initiator pre-shared key, or GSS-API (Windows)",
        XAUTH_RESP_PRE_SHARED = 65002 "XAUTH responder pre-shared key",
        XAUTH_INIT_DSS = 65003 "XAUTH initiator DSS",
        XAUTH_RESP_DSS = 65004 "XAUTH responder DSS",
        XAUTH_INIT_RSA = 65005 "XAUTH initiator RSA",
        XAUTH_RESP_RSA = 65006 "XAUTH responder RSA",
        XAUTH_INIT_RSA_ENCRYPTION = 65007 "XAUTH initiator RSA encryption",
        XAUTH_RESP_RSA_ENCRYPTION = 65008 "XAUTH responder RSA encryption",
        XAUTH_INIT_RSA_REVISED = 65009 "XAUTH initiator revised RSA encryption",
        XAUTH_RESP_RSA_REVISED = 65010 "XAUTH responder revised RSA encryption",
    }
}

numbers! {
    /// Diffie-Hellman group (RFC 2409 section 6, RFC 3526, RFC 5114, RFC 5903 and the IANA registry).
    Group(u16) {
        MODP_768 = 1 "modp768",
        MODP_1024 = 2 "modp1024",
        EC2N_155 = 3 "ec2n155",
        EC2N_185 = 4 "ec2n185",
        MODP_1536 = 5 "modp1536",
        EC2N_163_RANDOM = 6 "ec2n163 random",
        EC2N_163_KOBLITZ = 7 "ec2n163 Koblitz",
        EC2N_283_RANDOM = 8 "ec2n283 random",
        EC2N_283_KOBLITZ = 9 "ec2n283 Koblitz",
        EC2N_409_RANDOM = 10 "ec2n409 random",
        EC2N_409_KOBLITZ = 11 "ec2n409 Koblitz",
        EC2N_571_RANDOM = 12 "ec2n571 random",
        EC2N_571_KOBLITZ = 13 "ec2n571 Koblitz",
        MODP_2048 = 14 "modp2048",
        MODP_3072 = 15 "modp3072",
        MODP_4096 = 16 "modp4096",
        MODP_6144 = 17 "modp6144",
        MODP_8192 = 18 "modp8192",
        ECP_256 = 19 "ecp256",
        ECP_384 = 20 "ecp384",
        ECP_521 = 21 "ecp521",
        MODP_1024_160 = 22 "modp1024, subgroup 160",
        MODP_2048_224 = 23 "modp2048, subgroup 224",
        MODP_2048_256 = 24 "modp2048, subgroup 256",
        ECP_192 = 25 "ecp192",
        ECP_224 = 26 "ecp224",
        BRAINPOOL_224 = 27 "brainpool224",
        BRAINPOOL_256 = 28 "brainpool256",
        BRAINPOOL_384 = 29 "brainpool384",
        BRAINPOOL_512 = 30 "brainpool512",
        CURVE_25519 = 31 "curve25519",
        CURVE_448 = 32 "curve448",
    }
}

numbers! {
    /// Type of a group that is described in a proposal or in new group mode (RFC 2409 appendix A).
    GroupType(u16) {
        MODP = 1 "MODP",
        ECP = 2 "ECP",
        EC2N = 3 "EC2N",
    }
}

numbers! {
    /// Unit of a lifetime (RFC 2407 section 4.5, RFC 2409 appendix A).
    LifeType(u16) {
        SECONDS = 1 "seconds",
        KILOBYTES = 2 "kilobytes",
    }
}
