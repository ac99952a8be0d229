use super::numbers;

numbers! {
    /// Transform ID, whose meaning depends on the protocol of the proposal: see [`EspTransform`], [`AhTransform`],
    /// [`IpcompTransform`].
    TransformId(u8) {
        KEY_IKE = 1 "KEY_IKE",
    }
}

numbers! {
    /// Transform ID of AH (RFC 2407 section 4.4.3, RFC 4359, RFC 4543 and private use).
    AhTransform(u8) {
        MD5 = 2 "AH_MD5",
        SHA = 3 "AH_SHA",
        DES = 4 "AH_DES",
        SHA2_256 = 5 "AH_SHA2-256",
        SHA2_384 = 6 "AH_SHA2-384",
        SHA2_512 = 7 "AH_SHA2-512",
        RIPEMD = 8 "AH_RIPEMD",
        AES_XCBC_MAC = 9 "AH_AES-XCBC-MAC",
        RSA = 10 "AH_RSA",
        AES_128_GMAC = 11 "AH_AES-128-GMAC",
        AES_192_GMAC = 12 "AH_AES-192-GMAC",
        AES_256_GMAC = 13 "AH_AES-256-GMAC",
        KEYED_MD5 = 249 "keyed MD5 (private)",
        KEYED_SHA = 250 "keyed SHA or AES-CMAC-96 (private)",
        NULL = 251 "NULL (KAME)",
        SHA2_256_TRUNCATED = 252 "SHA2-256 with 96 bits (libreswan) or TCP-MD5 (KAME)",
    }
}

numbers! {
    /// Transform ID of ESP (RFC 2407 section 4.4.4, RFC 3602, RFC 3686, RFC 4106, RFC 4309, RFC 4543 and private use).
    EspTransform(u8) {
        DES_IV64 = 1 "ESP_DES_IV64",
        DES = 2 "ESP_DES",
        TRIPLE_DES = 3 "ESP_3DES",
        RC5 = 4 "ESP_RC5",
        IDEA = 5 "ESP_IDEA",
        CAST = 6 "ESP_CAST",
        BLOWFISH = 7 "ESP_BLOWFISH",
        TRIPLE_IDEA = 8 "ESP_3IDEA",
        DES_IV32 = 9 "ESP_DES_IV32",
        RC4 = 10 "ESP_RC4",
        NULL = 11 "ESP_NULL",
        AES_CBC = 12 "ESP_AES-CBC",
        AES_CTR = 13 "ESP_AES-CTR",
        AES_CCM_8 = 14 "ESP_AES-CCM_8",
        AES_CCM_12 = 15 "ESP_AES-CCM_12",
        AES_CCM_16 = 16 "ESP_AES-CCM_16",
        AES_GCM_8 = 18 "ESP_AES-GCM_8",
        AES_GCM_12 = 19 "ESP_AES-GCM_12",
        AES_GCM_16 = 20 "ESP_AES-GCM_16",
        SEED_CBC = 21 "ESP_SEED_CBC",
        CAMELLIA_CBC = 22 "ESP_CAMELLIA",
        NULL_AUTH_AES_GMAC = 23 "ESP_NULL_AUTH_AES-GMAC",
        CAMELLIA_CTR = 24 "ESP_CAMELLIA-CTR (libreswan)",
        CAMELLIA_CCM_8 = 25 "ESP_CAMELLIA-CCM_8 (libreswan)",
        CAMELLIA_CCM_12 = 26 "ESP_CAMELLIA-CCM_12 (libreswan)",
        CAMELLIA_CCM_16 = 27 "ESP_CAMELLIA-CCM_16 (libreswan)",
        CHACHA20_POLY1305 = 28 "ESP_CHACHA20_POLY1305",
        MARS = 249 "MARS (private)",
        RC6 = 250 "RC6 or Twofish (private)",
        RIJNDAEL = 251 "Rijndael (isakmpd) or NULL (KAME)",
        SERPENT = 252 "Serpent (private)",
        TWOFISH = 253 "Twofish (private)",
    }
}

numbers! {
    /// Transform ID of IPComp (RFC 2407 section 4.4.5).
    IpcompTransform(u8) {
        OUI = 1 "IPCOMP_OUI",
        DEFLATE = 2 "IPCOMP_DEFLATE",
        LZS = 3 "IPCOMP_LZS",
        LZJH = 4 "IPCOMP_LZJH",
    }
}

numbers! {
    /// Attribute type of an AH, ESP or IPComp transform (RFC 2407 section 4.5 and the IANA registry).
    IpsecAttribute(u16) {
        LIFE_TYPE = 1 "SA life type",
        LIFE_DURATION = 2 "SA life duration",
        GROUP = 3 "group description",
        ENCAPSULATION_MODE = 4 "encapsulation mode",
        AUTH_ALGORITHM = 5 "authentication algorithm",
        KEY_LENGTH = 6 "key length",
        KEY_ROUNDS = 7 "key rounds",
        COMPRESS_DICTIONARY_SIZE = 8 "compress dictionary size",
        COMPRESS_PRIVATE_ALGORITHM = 9 "compress private algorithm",
        ECN_TUNNEL = 10 "ECN tunnel (or an old security context)",
        EXTENDED_SEQUENCE = 11 "extended sequence number",
        SIGNATURE_ENCODING = 13 "signature encoding algorithm value",
        ADDRESS_PRESERVATION = 14 "address preservation",
        DIRECTION = 15 "SA direction",
        SECURITY_CONTEXT = 32001 "security context",
    }
}

numbers! {
    /// Encapsulation mode of an SA (RFC 2407 section 4.5, RFC 3947 section 5.1 and its drafts).
    EncapsulationMode(u16) {
        ANY = 0 "any (internal)",
        TUNNEL = 1 "tunnel",
        TRANSPORT = 2 "transport",
        UDP_TUNNEL = 3 "UDP-encapsulated tunnel",
        UDP_TRANSPORT = 4 "UDP-encapsulated transport",
        UDP_TUNNEL_DRAFT = 61443 "UDP-encapsulated tunnel (draft)",
        UDP_TRANSPORT_DRAFT = 61444 "UDP-encapsulated transport (draft)",
    }
}

numbers! {
    /// Authentication algorithm of an ESP or AH transform (RFC 2407 section 4.5 and the IANA registry).
    AuthAlgorithm(u16) {
        HMAC_MD5 = 1 "HMAC-MD5",
        HMAC_SHA1 = 2 "HMAC-SHA1",
        DES_MAC = 3 "DES-MAC",
        KPDK = 4 "KPDK",
        HMAC_SHA2_256 = 5 "HMAC-SHA2-256",
        HMAC_SHA2_384 = 6 "HMAC-SHA2-384",
        HMAC_SHA2_512 = 7 "HMAC-SHA2-512",
        HMAC_RIPEMD = 8 "HMAC-RIPEMD",
        AES_XCBC_MAC = 9 "AES-XCBC-MAC",
        SIG_RSA = 10 "SIG-RSA",
        AES_128_GMAC = 11 "AES-128-GMAC",
        AES_192_GMAC = 12 "AES-192-GMAC",
        AES_256_GMAC = 13 "AES-256-GMAC",
        AES_CMAC = 250 "AES-CMAC (private)",
        NULL = 251 "NULL (KAME)",
        HMAC_SHA2_256_96 = 252 "HMAC-SHA2-256 with 96 bits (libreswan)",
        NONE = 254 "none (racoon)",
    }
}

numbers! {
    /// ECN in the tunnel, allowed or forbidden (RFC 3168 section 9.2.1).
    EcnTunnel(u16) {
        ALLOWED = 1 "allowed",
        FORBIDDEN = 2 "forbidden",
    }
}
