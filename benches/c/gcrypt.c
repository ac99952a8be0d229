/* libgcrypt. */
#include "peer.h"
#include <gcrypt.h>

struct gcrypt {
    struct suite suite;
    gcry_cipher_hd_t cipher;
    gcry_md_hd_t hmac;
};

void *libgcrypt_new(const struct suite *suite) {
    static int loaded;
    if (!loaded++) {
        gcry_check_version(NULL);
        gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    struct gcrypt *peer = calloc(1, sizeof *peer);
    peer->suite = *suite;
    int aes = suite->key_len == 32 ? GCRY_CIPHER_AES256 : GCRY_CIPHER_AES128, algorithm = aes, mode = GCRY_CIPHER_MODE_CBC;
    switch (suite->cipher) {
    case DES_CBC: algorithm = GCRY_CIPHER_DES; break;
    case TDES_CBC: algorithm = GCRY_CIPHER_3DES; break;
    case BLOWFISH_CBC: algorithm = GCRY_CIPHER_BLOWFISH; break;
    case CAST_CBC: algorithm = GCRY_CIPHER_CAST5; break;
    case AES_CTR: mode = GCRY_CIPHER_MODE_CTR; break;
    case AES_GCM: mode = GCRY_CIPHER_MODE_GCM; break;
    case AES_CCM: mode = GCRY_CIPHER_MODE_CCM; break;
    case CHACHA20_POLY1305:
        algorithm = GCRY_CIPHER_CHACHA20;
        mode = GCRY_CIPHER_MODE_POLY1305;
        break;
    default: break;
    }
    if (suite->cipher != NO_CIPHER
        && (gcry_cipher_open(&peer->cipher, algorithm, mode, 0)
            || gcry_cipher_setkey(peer->cipher, suite->key, suite->key_len))) {
        return NULL;
    }
    if (suite->mac != NO_MAC) {
        int md = suite->mac == HMAC_MD5 ? GCRY_MD_MD5 : suite->mac == HMAC_SHA1 ? GCRY_MD_SHA1 : GCRY_MD_SHA256;
        if (gcry_md_open(&peer->hmac, md, GCRY_MD_FLAG_HMAC)
            || gcry_md_setkey(peer->hmac, suite->key, suite->mac_key_len)) {
            return NULL;
        }
    }
    return peer;
}

/* Sets the IV; for an AEAD also the lengths and the associated data. */
static void begin(struct gcrypt *peer, struct packet *packet) {
    const struct suite *suite = &peer->suite;
    uint8_t nonce[16];
    size_t len = nonce_of(suite, packet, nonce);
    if (suite->cipher == AES_CTR) {
        gcry_cipher_setctr(peer->cipher, nonce, len);
        return;
    }
    if (suite->mac == NO_MAC) {
        gcry_cipher_reset(peer->cipher);
    }
    gcry_cipher_setiv(peer->cipher, nonce, len);
    if (suite->cipher == AES_CCM) {
        uint64_t lengths[3] = {body_len(suite, packet), 8, 16};
        gcry_cipher_ctl(peer->cipher, GCRYCTL_SET_CCM_LENGTHS, lengths, sizeof lengths);
    }
    if (suite->mac == NO_MAC) {
        gcry_cipher_authenticate(peer->cipher, packet->at, 8);
    }
}

static const uint8_t *mac(struct gcrypt *peer, struct packet *packet) {
    gcry_md_reset(peer->hmac);
    gcry_md_write(peer->hmac, packet->at, text_len(&peer->suite, packet));
    return gcry_md_read(peer->hmac, 0);
}

void libgcrypt_seal(void *opaque, struct packet *packets, size_t n) {
    struct gcrypt *peer = opaque;
    const struct suite *suite = &peer->suite;
    for (; n--; packets++) {
        if (suite->cipher != NO_CIPHER) {
            begin(peer, packets);
            gcry_cipher_encrypt(peer->cipher, body_of(suite, packets), body_len(suite, packets), NULL, 0);
        }
        if (suite->mac == NO_MAC) {
            gcry_cipher_gettag(peer->cipher, icv_of(suite, packets), 16);
        } else {
            memcpy(icv_of(suite, packets), mac(peer, packets), suite->icv_len);
        }
    }
}

int libgcrypt_open(void *opaque, struct packet *packets, size_t n) {
    struct gcrypt *peer = opaque;
    const struct suite *suite = &peer->suite;
    for (; n--; packets++) {
        if (suite->mac != NO_MAC && differ(mac(peer, packets), icv_of(suite, packets), suite->icv_len)) {
            return 0;
        }
        if (suite->cipher != NO_CIPHER) {
            begin(peer, packets);
            gcry_cipher_decrypt(peer->cipher, body_of(suite, packets), body_len(suite, packets), NULL, 0);
        }
        if (suite->mac == NO_MAC && gcry_cipher_checktag(peer->cipher, icv_of(suite, packets), 16)) {
            return 0;
        }
    }
    return 1;
}
