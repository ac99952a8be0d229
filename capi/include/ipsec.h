/* ESP, AH, IPComp and IKEv1 messages, in the caller's memory. Made by cbindgen from the sources of capi.
 *
 * An SA (struct ipsec_esp_out and its like) must not be copied or moved once it is set up: a copy uses the same sequence numbers,
 * and with them the same nonces, again, and has a replay window of its own. An SA must not be used by two threads at a time:
 * no function takes a lock. Two threads may use two SAs. */

#ifndef IPSEC_H
#define IPSEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define IPSEC_ALIGNED(octets) __attribute__((aligned(octets)))

/*
 The cipher Null.
 */
#define IPSEC_CIPHER_NULL 0

/*
 The cipher DesCbc.
 */
#define IPSEC_CIPHER_DES_CBC 1

/*
 The cipher TripleDesCbc.
 */
#define IPSEC_CIPHER_3DES_CBC 2

/*
 The cipher BlowfishCbc.
 */
#define IPSEC_CIPHER_BLOWFISH_CBC 3

/*
 The cipher Cast128Cbc.
 */
#define IPSEC_CIPHER_CAST128_CBC 4

/*
 The cipher AesCbc.
 */
#define IPSEC_CIPHER_AES_CBC 5

/*
 The cipher AesCtr.
 */
#define IPSEC_CIPHER_AES_CTR 6

/*
 The cipher AesGcm8.
 */
#define IPSEC_CIPHER_AES_GCM_8 7

/*
 The cipher AesGcm12.
 */
#define IPSEC_CIPHER_AES_GCM_12 8

/*
 The cipher AesGcm16.
 */
#define IPSEC_CIPHER_AES_GCM_16 9

/*
 The cipher AesCcm8.
 */
#define IPSEC_CIPHER_AES_CCM_8 10

/*
 The cipher AesCcm12.
 */
#define IPSEC_CIPHER_AES_CCM_12 11

/*
 The cipher AesCcm16.
 */
#define IPSEC_CIPHER_AES_CCM_16 12

/*
 The cipher ChaCha20Poly1305.
 */
#define IPSEC_CIPHER_CHACHA20_POLY1305 13

/*
 The cipher NullAesGmac.
 */
#define IPSEC_CIPHER_NULL_AES_GMAC 14

/*
 The integrity algorithm None.
 */
#define IPSEC_MAC_NONE 0

/*
 The integrity algorithm HmacMd5_96.
 */
#define IPSEC_MAC_HMAC_MD5_96 1

/*
 The integrity algorithm HmacSha1_96.
 */
#define IPSEC_MAC_HMAC_SHA1_96 2

/*
 The integrity algorithm HmacSha2_256_96.
 */
#define IPSEC_MAC_HMAC_SHA2_256_96 3

/*
 The integrity algorithm HmacSha2_256_128.
 */
#define IPSEC_MAC_HMAC_SHA2_256_128 4

/*
 The integrity algorithm HmacSha2_384_192.
 */
#define IPSEC_MAC_HMAC_SHA2_384_192 5

/*
 The integrity algorithm HmacSha2_512_256.
 */
#define IPSEC_MAC_HMAC_SHA2_512_256 6

/*
 The integrity algorithm HmacRipemd160_96.
 */
#define IPSEC_MAC_HMAC_RIPEMD160_96 7

/*
 The integrity algorithm AesXcbcMac96.
 */
#define IPSEC_MAC_AES_XCBC_MAC_96 8

/*
 The integrity algorithm AesCmac96.
 */
#define IPSEC_MAC_AES_CMAC_96 9

/*
 The integrity algorithm AesGmac.
 */
#define IPSEC_MAC_AES_GMAC 10

/*
 How a call ended. What is refused is unchanged, if nothing else is said.
 */
enum ipsec_status {
  /*
   Done.
   */
  IPSEC_STATUS_OK = 0,
  /*
   A pointer is null.
   */
  IPSEC_STATUS_NULL = 1,
  /*
   The struct was never initialised, or was cleared.
   */
  IPSEC_STATUS_UNINITIALISED = 2,
  /*
   No such algorithm, or not with this one.
   */
  IPSEC_STATUS_ALGORITHM = 3,
  /*
   A key of the wrong length, or a weak one.
   */
  IPSEC_STATUS_KEY = 4,
  /*
   An SPI or CPI that is reserved.
   */
  IPSEC_STATUS_RESERVED = 5,
  /*
   The buffer has no room for what is added.
   */
  IPSEC_STATUS_NO_ROOM = 6,
  /*
   The packet is too short to be one.
   */
  IPSEC_STATUS_TOO_SHORT = 7,
  /*
   It is malformed.
   */
  IPSEC_STATUS_MALFORMED = 8,
  /*
   It is of another SA.
   */
  IPSEC_STATUS_WRONG_SPI = 9,
  /*
   Its number was received before, or is too old.
   */
  IPSEC_STATUS_REPLAYED = 10,
  /*
   Its ICV does not hold.
   */
  IPSEC_STATUS_FORGED = 11,
  /*
   Its padding is not what it should be. It was authentic, and its plaintext is wiped.
   */
  IPSEC_STATUS_PADDING = 12,
  /*
   Every number of the SA was used.
   */
  IPSEC_STATUS_EXHAUSTED = 13,
  /*
   An IV of another length.
   */
  IPSEC_STATUS_IV = 14,
  /*
   Compression gains nothing: to be sent as it is.
   */
  IPSEC_STATUS_NOT_WORTHWHILE = 15,
  /*
   It is larger than its kind may be.
   */
  IPSEC_STATUS_TOO_LONG = 16,
};

/*
 An SA of AH that sends.
 */
struct IPSEC_ALIGNED(16) ipsec_ah_out {
  uint8_t private_octets[1024];
};

/*
 An algorithm, and a key that stays the caller's: octets, and how many. The salt of a counter mode is the end of the key.
 */
struct ipsec_key {
  /*
   One of `IPSEC_CIPHER_..` or `IPSEC_MAC_..`.
   */
  uint32_t algorithm;
  /*
   The key.
   */
  const uint8_t *octets;
  /*
   Octets of it.
   */
  size_t len;
};

/*
 An SA of AH that receives, with a window of 64 packets.
 */
struct IPSEC_ALIGNED(16) ipsec_ah_in {
  uint8_t private_octets[1024];
};

/*
 Where a packet lies in a buffer of the caller: `size` octets at `bytes`, of which `len` from `start` on are the packet. Headers are
 written in front of it, and trailers behind it.
 */
struct ipsec_packet {
  /*
   The buffer.
   */
  uint8_t *bytes;
  /*
   Octets of the buffer.
   */
  size_t size;
  /*
   Where the packet begins.
   */
  size_t start;
  /*
   Octets of the packet.
   */
  size_t len;
};

/*
 An SA of ESP that sends.
 */
struct IPSEC_ALIGNED(16) ipsec_esp_out {
  uint8_t private_octets[4736];
};

/*
 An SA of ESP that receives, with a window of 64 packets.
 */
struct IPSEC_ALIGNED(16) ipsec_esp_in {
  uint8_t private_octets[4736];
};

/*
 The header of a message (RFC 2408 3.1).
 */
struct ipsec_ike_header {
  /*
   The cookie of who began.
   */
  uint8_t initiator_cookie[8];
  /*
   The cookie of who answers, or zeros.
   */
  uint8_t responder_cookie[8];
  /*
   The exchange.
   */
  uint8_t exchange;
  /*
   Whether what follows is encrypted.
   */
  bool encrypted;
  /*
   The exchange of phase 2 that it belongs to, or 0.
   */
  uint32_t message_id;
};

/*
 A payload of a message, which it points into.
 */
struct ipsec_ike_payload {
  /*
   What it is (RFC 2408 3.1, the numbers of next payloads).
   */
  uint8_t kind;
  /*
   Its body, behind the generic header.
   */
  const uint8_t *body;
  /*
   Octets of the body.
   */
  size_t len;
};

/*
 What a compressor and a decompressor need while they work; nothing in it lasts from one packet to the next.
 */
struct IPSEC_ALIGNED(16) ipsec_deflate {
  uint8_t private_octets[5344];
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Asked for by what is compiled to unwind, and never called: nothing here unwinds.
 */
void rust_eh_personality(void);

/*
 Makes an SA that signs.

 # Safety
 `sa` may be written; the key is good for reading.
 */
enum ipsec_status ipsec_ah_out_init(struct ipsec_ah_out *sa,
                                    uint32_t number,
                                    bool extended,
                                    const struct ipsec_key *mac);

/*
 Makes an SA that verifies.

 # Safety
 As [`ipsec_ah_out_init`].
 */
enum ipsec_status ipsec_ah_in_init(struct ipsec_ah_in *sa,
                                   uint32_t number,
                                   bool extended,
                                   const struct ipsec_key *mac);

/*
 Signs an IP packet in place: AH goes behind its IP header (RFC 4302 3.3).

 # Safety
 `sa` was initialised, or is zero; `packet` and its buffer are good for what they say.
 */
enum ipsec_status ipsec_ah_sign(struct ipsec_ah_out *sa, struct ipsec_packet *packet);

/*
 Verifies an IP packet and takes AH out of it (RFC 4302 3.4).

 # Safety
 As [`ipsec_ah_sign`].
 */
enum ipsec_status ipsec_ah_verify(struct ipsec_ah_in *sa, struct ipsec_packet *packet);

/*
 Wipes the key of an SA that signs, and ends it.

 # Safety
 `sa` was initialised, or is zero.
 */
enum ipsec_status ipsec_ah_out_clear(struct ipsec_ah_out *sa);

/*
 Wipes the key of an SA that verifies, and ends it.

 # Safety
 `sa` was initialised, or is zero.
 */
enum ipsec_status ipsec_ah_in_clear(struct ipsec_ah_in *sa);

/*
 Makes an SA that sends, its numbers from 1, extended (ESN) or not. `mac` is of `IPSEC_MAC_NONE` with ciphers that bring their own.

 # Safety
 `sa` may be written; the keys are good for reading.
 */
enum ipsec_status ipsec_esp_out_init(struct ipsec_esp_out *sa,
                                     uint32_t number,
                                     bool extended,
                                     const struct ipsec_key *cipher,
                                     const struct ipsec_key *mac);

/*
 Makes an SA that receives.

 # Safety
 As [`ipsec_esp_out_init`].
 */
enum ipsec_status ipsec_esp_in_init(struct ipsec_esp_in *sa,
                                    uint32_t number,
                                    bool extended,
                                    const struct ipsec_key *cipher,
                                    const struct ipsec_key *mac);

/*
 Seals a payload in place (RFC 4303 3.3): the packet becomes ESP. `random` are octets that nobody can foretell, as many as an IV at
 least (16 are always enough); a suite that counts its IVs does not look at them.

 # Safety
 `sa` was initialised, or is zero; `packet` and its buffer, and `random`, are good for what they say.
 */
enum ipsec_status ipsec_esp_seal(struct ipsec_esp_out *sa,
                                 struct ipsec_packet *packet,
                                 uint8_t next_header,
                                 const uint8_t *random,
                                 size_t random_len);

/*
 Opens an ESP packet in place (RFC 4303 3.4): it becomes the payload, and `next_header` what that is.

 # Safety
 As [`ipsec_esp_seal`]; `next_header` may be written.
 */
enum ipsec_status ipsec_esp_open(struct ipsec_esp_in *sa,
                                 struct ipsec_packet *packet,
                                 uint8_t *next_header);

/*
 Wipes the keys of an SA that sends, and ends it.

 # Safety
 `sa` was initialised, or is zero.
 */
enum ipsec_status ipsec_esp_out_clear(struct ipsec_esp_out *sa);

/*
 Wipes the keys of an SA that receives, and ends it.

 # Safety
 `sa` was initialised, or is zero.
 */
enum ipsec_status ipsec_esp_in_clear(struct ipsec_esp_in *sa);

/*
 Parses a message, all of it, before `visitor` is given its payloads one after the other and says whether to go on; those of an
 encrypted message are not seen. `visitor` may be null.

 # Safety
 `message` is good for `len` octets, `header` may be written, and `visitor` takes `context`.
 */
enum ipsec_status ipsec_ike_parse(const uint8_t *message,
                                  size_t len,
                                  struct ipsec_ike_header *header,
                                  bool (*visitor)(void *context,
                                                  const struct ipsec_ike_payload *payload),
                                  void *context);

/*
 Makes the state of a compressor.

 # Safety
 `state` may be written.
 */
enum ipsec_status ipsec_deflate_init(struct ipsec_deflate *state);

/*
 Compresses a payload in place, if that makes it smaller (RFC 3173 2.2); `next_header` is what it is. What lies behind it in the buffer
 is overwritten: as much room as the payload is always enough. [`IpsecStatus::NotWorthwhile`] leaves it as it was.

 # Safety
 `state` was initialised, or is zero; `packet` and its buffer are good for what they say.
 */
enum ipsec_status ipsec_ipcomp_compress(struct ipsec_deflate *state,
                                        struct ipsec_packet *packet,
                                        uint8_t next_header,
                                        uint16_t cpi);

/*
 Decompresses a packet that begins with an IPComp header, and says what it is.

 # Safety
 As [`ipsec_ipcomp_compress`]; `next_header` may be written.
 */
enum ipsec_status ipsec_ipcomp_decompress(struct ipsec_deflate *state,
                                          struct ipsec_packet *packet,
                                          uint16_t cpi,
                                          uint8_t *next_header);

/*
 What a status means, in English. The text is the library's, and constant.
 */
const char *ipsec_status_text(int32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* IPSEC_H */
