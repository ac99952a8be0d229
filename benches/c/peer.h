/* Interface of every C library: it expands the keys once, then processes packets in place. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum cipher { NO_CIPHER, DES_CBC, TDES_CBC, BLOWFISH_CBC, CAST_CBC, AES_CBC, AES_CTR, AES_GCM, AES_CCM, CHACHA20_POLY1305 };
enum mac { NO_MAC, HMAC_MD5, HMAC_SHA1, HMAC_SHA256 };

/* Suite. Lengths are in octets; the salt of counter modes follows the key. */
struct suite {
    int32_t cipher, mac;
    uint32_t key_len, salt_len, mac_key_len, iv_len, icv_len;
    const uint8_t *key;
};

/* ESP packet: SPI, sequence number, IV, body, ICV. */
struct packet {
    uint8_t *at;
    size_t len;
};

static inline uint8_t *body_of(const struct suite *suite, const struct packet *packet) {
    return packet->at + 8 + suite->iv_len;
}

static inline size_t body_len(const struct suite *suite, const struct packet *packet) {
    return packet->len - 8 - suite->iv_len - suite->icv_len;
}

static inline uint8_t *icv_of(const struct suite *suite, const struct packet *packet) {
    return packet->at + packet->len - suite->icv_len;
}

/* Number of octets that the MAC covers. */
static inline size_t text_len(const struct suite *suite, const struct packet *packet) {
    return packet->len - suite->icv_len;
}

/* Writes the nonce of a counter mode or AEAD: salt, then IV; AES-CTR appends a block counter. */
static inline size_t nonce_of(const struct suite *suite, const struct packet *packet, uint8_t nonce[16]) {
    memcpy(nonce, suite->key + suite->key_len, suite->salt_len);
    memcpy(nonce + suite->salt_len, packet->at + 8, suite->iv_len);
    size_t len = suite->salt_len + suite->iv_len;
    if (suite->cipher == AES_CTR) {
        memcpy(nonce + len, "\0\0\0\1", 4);
        len += 4;
    }
    return len;
}

/* Returns the differing bits of two ICVs, without a branch. */
static inline int differ(const uint8_t *a, const uint8_t *b, size_t len) {
    int found = 0;
    while (len--) {
        found |= *a++ ^ *b++;
    }
    return found;
}
