/* Tests every function of ipsec.h from C: round trips, and refusals that leave the packet unchanged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipsec.h"

static int checks;

#define CHECK(what)                                                              \
    do {                                                                         \
        checks++;                                                                \
        if (!(what)) {                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);           \
            exit(1);                                                             \
        }                                                                        \
    } while (0)

enum { HEADROOM = 64, SIZE = 2048 };

static struct ipsec_packet packet_of(uint8_t *bytes, const uint8_t *data, size_t len) {
    memcpy(bytes + HEADROOM, data, len);
    return (struct ipsec_packet){.bytes = bytes, .size = SIZE, .start = HEADROOM, .len = len};
}

static bool equals(const struct ipsec_packet *packet, const uint8_t *data, size_t len) {
    return packet->len == len && memcmp(packet->bytes + packet->start, data, len) == 0;
}

static void esp(uint32_t cipher, size_t cipher_len, uint32_t mac, size_t mac_len) {
    uint8_t secret[128];
    for (size_t n = 0; n < sizeof secret; n++) secret[n] = (uint8_t)(n * 37 + 11);
    const struct ipsec_key one = {cipher, secret, cipher_len}, two = {mac, secret + 40, mac_len};
    /* On the heap, so that memory checkers detect accesses beyond the structs. */
    struct ipsec_esp_out *out = aligned_alloc(16, sizeof *out);
    struct ipsec_esp_in *in = aligned_alloc(16, sizeof *in);
    uint8_t *bytes = malloc(SIZE), payload[1300] = {0}, wire[SIZE], next = 0;
    memset(out, 0, sizeof *out);
    struct ipsec_packet packet = packet_of(bytes, payload, 0);
    CHECK(ipsec_esp_seal(out, &packet, 6, secret, 16) == IPSEC_STATUS_UNINITIALISED);
    CHECK(ipsec_esp_out_init(out, 0x1001, false, &one, &two) == IPSEC_STATUS_OK);
    CHECK(ipsec_esp_in_init(in, 0x1001, false, &one, &two) == IPSEC_STATUS_OK);
    for (size_t len = 0; len < sizeof payload; len += 13) {
        memset(payload, (int)len, len);
        packet = packet_of(bytes, payload, len);
        CHECK(ipsec_esp_seal(out, &packet, 6, secret, 16) == IPSEC_STATUS_OK);
        CHECK(packet.len > len && packet.start < HEADROOM);
        size_t sealed = packet.len;
        memcpy(wire, bytes + packet.start, sealed);
        bytes[packet.start + sealed - 1] ^= 1;
        struct ipsec_packet before = packet;
        CHECK(ipsec_esp_open(in, &packet, &next) == IPSEC_STATUS_ICV_MISMATCH);
        CHECK(memcmp(&before, &packet, sizeof packet) == 0);
        bytes[packet.start + sealed - 1] ^= 1;
        CHECK(ipsec_esp_open(in, &packet, &next) == IPSEC_STATUS_OK);
        CHECK(next == 6 && equals(&packet, payload, len));
        packet = packet_of(bytes, wire, sealed);
        CHECK(ipsec_esp_open(in, &packet, &next) == IPSEC_STATUS_REPLAYED);
        CHECK(equals(&packet, wire, sealed));
    }
    packet = (struct ipsec_packet){bytes, 40, 0, 40};
    CHECK(ipsec_esp_seal(out, &packet, 6, secret, 16) == IPSEC_STATUS_NO_SPACE);
    packet = (struct ipsec_packet){bytes, SIZE, SIZE, 1};
    CHECK(ipsec_esp_seal(out, &packet, 6, secret, 16) == IPSEC_STATUS_NO_SPACE);
    CHECK(ipsec_esp_out_clear(out) == IPSEC_STATUS_OK);
    CHECK(ipsec_esp_out_clear(out) == IPSEC_STATUS_UNINITIALISED);
    CHECK(ipsec_esp_in_clear(in) == IPSEC_STATUS_OK);
    for (size_t n = 0; n + cipher_len <= sizeof *out && cipher_len >= 16; n++) CHECK(memcmp((uint8_t *)out + n, secret, cipher_len) != 0);
    free(bytes);
    free(in);
    free(out);
}

static void refusals(void) {
    struct ipsec_esp_out out;
    uint8_t secret[32] = {0}, bytes[SIZE];
    struct ipsec_packet packet = packet_of(bytes, secret, 32);
    const struct ipsec_key aes = {IPSEC_CIPHER_AES_CBC, secret, 16}, none = {IPSEC_MAC_NONE, NULL, 0};
    const struct ipsec_key sha1 = {IPSEC_MAC_HMAC_SHA1_96, secret, 20}, odd = {IPSEC_CIPHER_AES_CBC, secret, 15};
    const struct ipsec_key unknown = {99, secret, 16}, missing = {IPSEC_CIPHER_AES_CBC, NULL, 16};
    CHECK(ipsec_esp_out_init(NULL, 0x1001, false, &aes, &sha1) == IPSEC_STATUS_NULL);
    CHECK(ipsec_esp_out_init(&out, 0x1001, false, NULL, &sha1) == IPSEC_STATUS_NULL);
    CHECK(ipsec_esp_out_init(&out, 0x1001, false, &missing, &sha1) == IPSEC_STATUS_NULL);
    CHECK(ipsec_esp_out_init(&out, 0x1001, false, &aes, &none) == IPSEC_STATUS_ALGORITHM);
    CHECK(ipsec_esp_out_init(&out, 0x1001, false, &unknown, &sha1) == IPSEC_STATUS_ALGORITHM);
    CHECK(ipsec_esp_out_init(&out, 0x1001, false, &odd, &sha1) == IPSEC_STATUS_KEY);
    CHECK(ipsec_esp_out_init(&out, 255, false, &aes, &sha1) == IPSEC_STATUS_RESERVED);
    CHECK(ipsec_esp_out_init(&out, 0x1001, false, &aes, &sha1) == IPSEC_STATUS_OK);
    CHECK(ipsec_esp_seal(&out, &packet, 6, secret, 15) == IPSEC_STATUS_IV);
    CHECK(ipsec_esp_seal(&out, &packet, 6, NULL, 16) == IPSEC_STATUS_NULL);
    CHECK(ipsec_esp_seal(&out, NULL, 6, secret, 16) == IPSEC_STATUS_NULL);
    CHECK(ipsec_esp_out_clear(&out) == IPSEC_STATUS_OK);
    for (int status = 0; status < 17; status++) CHECK(strcmp(ipsec_status_text(status), "unknown status") != 0);
    CHECK(strcmp(ipsec_status_text(17), "unknown status") == 0);
}

/* Writes a UDP packet from 10.0.0.1 to 10.0.0.2. */
static size_t ipv4(uint8_t *packet, size_t payload) {
    static const uint8_t header[20] = {0x45, 0, 0, 0, 0x1c, 0x46, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
    memcpy(packet, header, sizeof header);
    packet[2] = (uint8_t)((20 + payload) >> 8);
    packet[3] = (uint8_t)(20 + payload);
    for (size_t n = 0; n < payload; n++) packet[20 + n] = "GET /index.html HTTP/1.1 "[n % 25];
    return 20 + payload;
}

static void ah(void) {
    uint8_t secret[20] = {7}, packet_bytes[600], bytes[SIZE];
    struct ipsec_ah_out out;
    struct ipsec_ah_in in;
    const struct ipsec_key mac = {IPSEC_MAC_HMAC_SHA1_96, secret, 20};
    CHECK(ipsec_ah_out_init(&out, 0x2001, true, &mac) == IPSEC_STATUS_OK);
    CHECK(ipsec_ah_in_init(&in, 0x2001, true, &mac) == IPSEC_STATUS_OK);
    size_t len = ipv4(packet_bytes, 500);
    struct ipsec_packet packet = packet_of(bytes, packet_bytes, len);
    CHECK(ipsec_ah_sign(&out, &packet) == IPSEC_STATUS_OK);
    CHECK(packet.len == len + 24 && bytes[packet.start + 9] == 51);
    bytes[packet.start + 100] ^= 1;
    CHECK(ipsec_ah_verify(&in, &packet) == IPSEC_STATUS_ICV_MISMATCH);
    bytes[packet.start + 100] ^= 1;
    CHECK(ipsec_ah_verify(&in, &packet) == IPSEC_STATUS_OK);
    CHECK(packet.len == len && memcmp(bytes + packet.start + 20, packet_bytes + 20, len - 20) == 0);
    packet.len = 10;
    CHECK(ipsec_ah_sign(&out, &packet) == IPSEC_STATUS_MALFORMED);
    CHECK(ipsec_ah_out_clear(&out) == IPSEC_STATUS_OK && ipsec_ah_in_clear(&in) == IPSEC_STATUS_OK);
    CHECK(ipsec_ah_sign(&out, &packet) == IPSEC_STATUS_UNINITIALISED);
}

static void ipcomp(void) {
    uint8_t text[620], bytes[SIZE], next = 0;
    struct ipsec_deflate *state = aligned_alloc(16, sizeof *state);
    CHECK(ipsec_deflate_init(state) == IPSEC_STATUS_OK);
    size_t len = ipv4(text, 600);
    struct ipsec_packet packet = packet_of(bytes, text, len);
    CHECK(ipsec_ipcomp_compress(state, &packet, 4, 2) == IPSEC_STATUS_OK);
    CHECK(packet.len < len / 2 && bytes[packet.start] == 4);
    CHECK(ipsec_ipcomp_decompress(state, &packet, 3, &next) == IPSEC_STATUS_SPI_MISMATCH);
    CHECK(ipsec_ipcomp_decompress(state, &packet, 2, &next) == IPSEC_STATUS_OK);
    CHECK(next == 4 && equals(&packet, text, len));
    packet = packet_of(bytes, text, 40);
    CHECK(ipsec_ipcomp_compress(state, &packet, 4, 2) == IPSEC_STATUS_NOT_WORTHWHILE);
    packet.len = 3;
    CHECK(ipsec_ipcomp_decompress(state, &packet, 2, &next) == IPSEC_STATUS_TOO_SHORT);
    free(state);
}

static bool visit(void *context, const struct ipsec_ike_payload *payload) {
    int *seen = context;
    *seen = *seen * 100 + payload->kind;
    return payload->len > 0;
}

static void ike(void) {
    /* A message of main mode with a nonce, a vendor ID and a hash payload. */
    const uint8_t message[] = {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 48,
                               13, 0, 0, 8, 9, 9, 9, 9, 8, 0, 0, 6, 5, 5, 0, 0, 0, 6, 1, 1};
    struct ipsec_ike_header header;
    int seen = 0;
    CHECK(ipsec_ike_parse(message, sizeof message, &header, visit, &seen) == IPSEC_STATUS_OK);
    CHECK(seen == 101308 && header.exchange == 2 && !header.encrypted && header.message_id == 0);
    CHECK(header.initiator_cookie[7] == 8);
    CHECK(ipsec_ike_parse(message, sizeof message - 1, &header, visit, &seen) == IPSEC_STATUS_MALFORMED);
    CHECK(ipsec_ike_parse(message, sizeof message, &header, NULL, NULL) == IPSEC_STATUS_OK);
    CHECK(ipsec_ike_parse(NULL, 48, &header, NULL, NULL) == IPSEC_STATUS_NULL);
    CHECK(ipsec_ike_parse(message, sizeof message, NULL, NULL, NULL) == IPSEC_STATUS_NULL);
}

int main(void) {
    esp(IPSEC_CIPHER_AES_CBC, 16, IPSEC_MAC_HMAC_SHA1_96, 20);
    esp(IPSEC_CIPHER_3DES_CBC, 24, IPSEC_MAC_HMAC_MD5_96, 16);
    esp(IPSEC_CIPHER_BLOWFISH_CBC, 16, IPSEC_MAC_HMAC_SHA2_512_256, 64);
    esp(IPSEC_CIPHER_AES_GCM_16, 36, IPSEC_MAC_NONE, 0);
    esp(IPSEC_CIPHER_CHACHA20_POLY1305, 36, IPSEC_MAC_NONE, 0);
    esp(IPSEC_CIPHER_NULL, 0, IPSEC_MAC_HMAC_SHA2_256_128, 32);
    refusals();
    ah();
    ipcomp();
    ike();
    printf("%d checks passed\n", checks);
    return 0;
}
