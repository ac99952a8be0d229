/* OpenSSL's libcrypto: `openssl` uses EVP and HMAC contexts that are created once; `openssl-low` uses the low-level
 * functions, and HMAC from saved states. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "peer.h"
#include <openssl/blowfish.h>
#include <openssl/cast.h>
#include <openssl/des.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/md5.h>
#include <openssl/provider.h>
#include <openssl/sha.h>

struct evp {
    struct suite suite;
    EVP_CIPHER_CTX *enc, *dec;
    HMAC_CTX *hmac;
};

static const char *cipher_name(const struct suite *suite) {
    int big = suite->key_len == 32;
    switch (suite->cipher) {
    case DES_CBC: return "DES-CBC";
    case TDES_CBC: return "DES-EDE3-CBC";
    case BLOWFISH_CBC: return "BF-CBC";
    case CAST_CBC: return "CAST5-CBC";
    case AES_CBC: return big ? "AES-256-CBC" : "AES-128-CBC";
    case AES_CTR: return "AES-128-CTR";
    case AES_GCM: return big ? "AES-256-GCM" : "AES-128-GCM";
    case AES_CCM: return "AES-128-CCM";
    case CHACHA20_POLY1305: return "ChaCha20-Poly1305";
    default: return NULL;
    }
}

static EVP_CIPHER_CTX *keyed(const struct suite *suite, EVP_CIPHER *cipher, int enc) {
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, enc)) {
        return NULL;
    }
    if (suite->cipher == AES_CCM) {
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 11, NULL);
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, NULL);
    }
    EVP_CIPHER_CTX_set_key_length(ctx, suite->key_len);
    EVP_CipherInit_ex(ctx, NULL, NULL, suite->key, NULL, enc);
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    return ctx;
}

void *openssl_new(const struct suite *suite) {
    static int loaded;
    if (!loaded++) {
        OSSL_PROVIDER_load(NULL, "legacy");
        OSSL_PROVIDER_load(NULL, "default");
    }
    struct evp *evp = calloc(1, sizeof *evp);
    evp->suite = *suite;
    const char *name = cipher_name(suite);
    if (name) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
        if (!cipher || !(evp->enc = keyed(suite, cipher, 1)) || !(evp->dec = keyed(suite, cipher, 0))) {
            return NULL;
        }
    }
    if (suite->mac != NO_MAC) {
        const EVP_MD *md = suite->mac == HMAC_MD5 ? EVP_md5() : suite->mac == HMAC_SHA1 ? EVP_sha1() : EVP_sha256();
        evp->hmac = HMAC_CTX_new();
        if (!HMAC_Init_ex(evp->hmac, suite->key, suite->mac_key_len, md, NULL)) {
            return NULL;
        }
    }
    return evp;
}

static void crypt(struct evp *evp, EVP_CIPHER_CTX *ctx, struct packet *packet) {
    const struct suite *suite = &evp->suite;
    uint8_t nonce[16];
    int len;
    if (suite->cipher == NO_CIPHER) {
        return;
    }
    nonce_of(suite, packet, nonce);
    EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1);
    EVP_CipherUpdate(ctx, body_of(suite, packet), &len, body_of(suite, packet), body_len(suite, packet));
}

static void mac(struct evp *evp, struct packet *packet, uint8_t *tag) {
    HMAC_Init_ex(evp->hmac, NULL, 0, NULL, NULL);
    HMAC_Update(evp->hmac, packet->at, text_len(&evp->suite, packet));
    HMAC_Final(evp->hmac, tag, NULL);
}

static void aead_seal(struct evp *evp, struct packet *packet) {
    const struct suite *suite = &evp->suite;
    uint8_t nonce[16];
    int len;
    nonce_of(suite, packet, nonce);
    EVP_EncryptInit_ex(evp->enc, NULL, NULL, NULL, nonce);
    if (suite->cipher == AES_CCM) {
        EVP_EncryptUpdate(evp->enc, NULL, &len, NULL, body_len(suite, packet));
    }
    EVP_EncryptUpdate(evp->enc, NULL, &len, packet->at, 8);
    EVP_EncryptUpdate(evp->enc, body_of(suite, packet), &len, body_of(suite, packet), body_len(suite, packet));
    EVP_EncryptFinal_ex(evp->enc, NULL, &len);
    EVP_CIPHER_CTX_ctrl(evp->enc, EVP_CTRL_AEAD_GET_TAG, 16, icv_of(suite, packet));
}

static int aead_open(struct evp *evp, struct packet *packet) {
    const struct suite *suite = &evp->suite;
    uint8_t nonce[16];
    int len, good;
    nonce_of(suite, packet, nonce);
    EVP_DecryptInit_ex(evp->dec, NULL, NULL, NULL, nonce);
    EVP_CIPHER_CTX_ctrl(evp->dec, EVP_CTRL_AEAD_SET_TAG, 16, icv_of(suite, packet));
    if (suite->cipher == AES_CCM) {
        EVP_DecryptUpdate(evp->dec, NULL, &len, NULL, body_len(suite, packet));
    }
    EVP_DecryptUpdate(evp->dec, NULL, &len, packet->at, 8);
    good = EVP_DecryptUpdate(evp->dec, body_of(suite, packet), &len, body_of(suite, packet), body_len(suite, packet));
    if (suite->cipher == AES_CCM) {
        return good > 0;
    }
    return EVP_DecryptFinal_ex(evp->dec, NULL, &len) > 0;
}

void openssl_seal(void *peer, struct packet *packets, size_t n) {
    struct evp *evp = peer;
    for (; n--; packets++) {
        if (evp->suite.mac == NO_MAC) {
            aead_seal(evp, packets);
        } else {
            uint8_t tag[32];
            crypt(evp, evp->enc, packets);
            mac(evp, packets, tag);
            memcpy(icv_of(&evp->suite, packets), tag, evp->suite.icv_len);
        }
    }
}

int openssl_open(void *peer, struct packet *packets, size_t n) {
    struct evp *evp = peer;
    for (; n--; packets++) {
        if (evp->suite.mac == NO_MAC) {
            if (!aead_open(evp, packets)) {
                return 0;
            }
        } else {
            uint8_t tag[32];
            mac(evp, packets, tag);
            if (differ(tag, icv_of(&evp->suite, packets), evp->suite.icv_len)) {
                return 0;
            }
            crypt(evp, evp->dec, packets);
        }
    }
    return 1;
}

struct low {
    struct suite suite;
    struct evp *aes;
    DES_key_schedule des[3];
    BF_KEY blowfish;
    CAST_KEY cast;
    union {
        MD5_CTX md5;
        SHA_CTX sha1;
        SHA256_CTX sha256;
    } inner, outer;
};

/* Saves the hash state after one block of the key. */
#define KEYED(low, field, init, update)                                                                                \
    do {                                                                                                               \
        uint8_t block[64] = {0};                                                                                       \
        memcpy(block, suite->key, suite->mac_key_len);                                                                 \
        for (int i = 0; i < 64; i++) block[i] ^= 0x36;                                                                 \
        init(&low->inner.field);                                                                                       \
        update(&low->inner.field, block, 64);                                                                          \
        for (int i = 0; i < 64; i++) block[i] ^= 0x36 ^ 0x5c;                                                          \
        init(&low->outer.field);                                                                                       \
        update(&low->outer.field, block, 64);                                                                          \
    } while (0)

void *openssl_low_new(const struct suite *suite) {
    if (suite->mac == NO_MAC) {
        return NULL;
    }
    struct low *low = calloc(1, sizeof *low);
    low->suite = *suite;
    switch (suite->cipher) {
    case DES_CBC: DES_set_key_unchecked((void *)suite->key, &low->des[0]); break;
    case TDES_CBC:
        for (int i = 0; i < 3; i++) DES_set_key_unchecked((void *)(suite->key + 8 * i), &low->des[i]);
        break;
    case BLOWFISH_CBC: BF_set_key(&low->blowfish, suite->key_len, suite->key); break;
    case CAST_CBC: CAST_set_key(&low->cast, suite->key_len, suite->key); break;
    case NO_CIPHER: break;
    default: /* The low-level AES functions do not use AES instructions. */
        if (!(low->aes = openssl_new(suite))) {
            return NULL;
        }
    }
    switch (suite->mac) {
    case HMAC_MD5: KEYED(low, md5, MD5_Init, MD5_Update); break;
    case HMAC_SHA1: KEYED(low, sha1, SHA1_Init, SHA1_Update); break;
    default: KEYED(low, sha256, SHA256_Init, SHA256_Update); break;
    }
    return low;
}

static void low_crypt(struct low *low, struct packet *packet, int enc) {
    const struct suite *suite = &low->suite;
    uint8_t iv[16], *body = body_of(suite, packet);
    size_t len = body_len(suite, packet);
    memcpy(iv, packet->at + 8, suite->iv_len);
    switch (suite->cipher) {
    case DES_CBC: DES_ncbc_encrypt(body, body, len, &low->des[0], (void *)iv, enc); break;
    case TDES_CBC:
        DES_ede3_cbc_encrypt(body, body, len, &low->des[0], &low->des[1], &low->des[2], (void *)iv, enc);
        break;
    case BLOWFISH_CBC: BF_cbc_encrypt(body, body, len, &low->blowfish, iv, enc); break;
    case CAST_CBC: CAST_cbc_encrypt(body, body, len, &low->cast, iv, enc); break;
    case NO_CIPHER: break;
    default: crypt(low->aes, enc ? low->aes->enc : low->aes->dec, packet);
    }
}

#define MAC(field, type, update, final, digest)                                                                        \
    do {                                                                                                               \
        type ctx = low->inner.field;                                                                                   \
        update(&ctx, packet->at, text_len(&low->suite, packet));                                                       \
        final(tag, &ctx);                                                                                              \
        ctx = low->outer.field;                                                                                        \
        update(&ctx, tag, digest);                                                                                     \
        final(tag, &ctx);                                                                                              \
    } while (0)

static void low_mac(struct low *low, struct packet *packet, uint8_t *tag) {
    switch (low->suite.mac) {
    case HMAC_MD5: MAC(md5, MD5_CTX, MD5_Update, MD5_Final, 16); break;
    case HMAC_SHA1: MAC(sha1, SHA_CTX, SHA1_Update, SHA1_Final, 20); break;
    default: MAC(sha256, SHA256_CTX, SHA256_Update, SHA256_Final, 32); break;
    }
}

void openssl_low_seal(void *peer, struct packet *packets, size_t n) {
    struct low *low = peer;
    for (; n--; packets++) {
        uint8_t tag[32];
        low_crypt(low, packets, 1);
        low_mac(low, packets, tag);
        memcpy(icv_of(&low->suite, packets), tag, low->suite.icv_len);
    }
}

int openssl_low_open(void *peer, struct packet *packets, size_t n) {
    struct low *low = peer;
    for (; n--; packets++) {
        uint8_t tag[32];
        low_mac(low, packets, tag);
        if (differ(tag, icv_of(&low->suite, packets), low->suite.icv_len)) {
            return 0;
        }
        low_crypt(low, packets, 0);
    }
    return 1;
}
