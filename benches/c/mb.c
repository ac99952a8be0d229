/* Intel's ipsec-mb, with its job interface: the manager with the widest vectors for batches, the SSE manager for single
 * packets, which use only one lane. */
#include "peer.h"
/* Without it the header defines names of its former interface, of which AES_CCM is one. */
#define NO_COMPAT_IMB_API_053
#include <intel-ipsec-mb.h>

struct mb {
    struct suite suite;
    IMB_MGR *manager;
    _Alignas(64) uint32_t enc[15 * 4], dec[15 * 4];
    _Alignas(64) uint64_t des[3][IMB_DES_KEY_SCHED_SIZE / 8];
    const void *des_keys[3];
    _Alignas(64) uint8_t ipad[64], opad[64];
    _Alignas(64) struct gcm_key_data gcm;
};

static void *set_up(const struct suite *suite, IMB_MGR *manager) {
    struct mb *mb = NULL;
    if (!manager || posix_memalign((void **)&mb, 64, sizeof *mb)) {
        return NULL;
    }
    mb->suite = *suite;
    mb->manager = manager;
    switch (suite->cipher) {
    case NO_CIPHER: break;
    case DES_CBC:
        IMB_DES_KEYSCHED(manager, mb->des[0], suite->key);
        break;
    case TDES_CBC:
        for (int i = 0; i < 3; i++) {
            IMB_DES_KEYSCHED(manager, mb->des[i], suite->key + 8 * i);
            mb->des_keys[i] = mb->des[i];
        }
        break;
    case AES_CBC:
    case AES_CTR:
    case AES_CCM:
        if (suite->key_len == 32) {
            IMB_AES_KEYEXP_256(manager, suite->key, mb->enc, mb->dec);
        } else {
            IMB_AES_KEYEXP_128(manager, suite->key, mb->enc, mb->dec);
        }
        break;
    case AES_GCM:
        if (suite->key_len == 32) {
            IMB_AES256_GCM_PRE(manager, suite->key, &mb->gcm);
        } else {
            IMB_AES128_GCM_PRE(manager, suite->key, &mb->gcm);
        }
        break;
    case CHACHA20_POLY1305: break;
    default: return NULL; /* The library has no Blowfish and no CAST-128. */
    }
    if (suite->mac != NO_MAC) {
        uint8_t block[64] = {0};
        memcpy(block, suite->key, suite->mac_key_len);
        for (int pad = 0; pad < 2; pad++) {
            uint8_t *to = pad ? mb->opad : mb->ipad, keyed[64];
            for (int i = 0; i < 64; i++) keyed[i] = block[i] ^ (pad ? 0x5c : 0x36);
            switch (suite->mac) {
            case HMAC_MD5: IMB_MD5_ONE_BLOCK(manager, keyed, to); break;
            case HMAC_SHA1: IMB_SHA1_ONE_BLOCK(manager, keyed, to); break;
            default: IMB_SHA256_ONE_BLOCK(manager, keyed, to); break;
            }
        }
    }
    return mb;
}

void *ipsec_mb_new(const struct suite *suite) {
    IMB_MGR *manager = alloc_mb_mgr(0);
    if (manager) {
        init_mb_mgr_auto(manager, NULL);
    }
    return set_up(suite, manager);
}

void *ipsec_mb_sse_new(const struct suite *suite) {
    IMB_MGR *manager = alloc_mb_mgr(0);
    if (manager) {
        init_mb_mgr_sse(manager);
    }
    return set_up(suite, manager);
}

static void fill(struct mb *mb, IMB_JOB *job, struct packet *packet, uint8_t *nonce, uint8_t *tag, int enc) {
    const struct suite *suite = &mb->suite;
    size_t nonce_len = nonce_of(suite, packet, nonce);
    job->src = packet->at;
    job->dst = body_of(suite, packet);
    job->cipher_start_src_offset_in_bytes = 8 + suite->iv_len;
    job->msg_len_to_cipher_in_bytes = body_len(suite, packet);
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = text_len(suite, packet);
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = suite->icv_len;
    job->iv = nonce;
    job->iv_len_in_bytes = nonce_len;
    job->cipher_direction = enc ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
    job->chain_order = enc ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = mb->enc;
    job->dec_keys = mb->dec;
    job->key_len_in_bytes = suite->key_len;
    switch (suite->cipher) {
    case NO_CIPHER: job->cipher_mode = IMB_CIPHER_NULL; break;
    case DES_CBC:
        job->cipher_mode = IMB_CIPHER_DES;
        job->enc_keys = job->dec_keys = mb->des[0];
        break;
    case TDES_CBC:
        job->cipher_mode = IMB_CIPHER_DES3;
        job->enc_keys = job->dec_keys = mb->des_keys;
        break;
    case AES_CBC: job->cipher_mode = IMB_CIPHER_CBC; break;
    case AES_CTR: job->cipher_mode = IMB_CIPHER_CNTR; break;
    case AES_GCM:
        job->cipher_mode = IMB_CIPHER_GCM;
        job->enc_keys = job->dec_keys = &mb->gcm;
        job->hash_alg = IMB_AUTH_AES_GMAC;
        job->u.GCM.aad = packet->at;
        job->u.GCM.aad_len_in_bytes = 8;
        job->hash_start_src_offset_in_bytes = job->cipher_start_src_offset_in_bytes;
        job->msg_len_to_hash_in_bytes = job->msg_len_to_cipher_in_bytes;
        break;
    case AES_CCM:
        /* The MAC covers the plaintext. */
        job->chain_order = enc ? IMB_ORDER_HASH_CIPHER : IMB_ORDER_CIPHER_HASH;
        job->cipher_mode = IMB_CIPHER_CCM;
        job->hash_alg = IMB_AUTH_AES_CCM;
        job->u.CCM.aad = packet->at;
        job->u.CCM.aad_len_in_bytes = 8;
        job->hash_start_src_offset_in_bytes = job->cipher_start_src_offset_in_bytes;
        job->msg_len_to_hash_in_bytes = job->msg_len_to_cipher_in_bytes;
        break;
    default:
        job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
        job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
        job->enc_keys = job->dec_keys = suite->key;
        job->u.CHACHA20_POLY1305.aad = packet->at;
        job->u.CHACHA20_POLY1305.aad_len_in_bytes = 8;
        job->hash_start_src_offset_in_bytes = job->cipher_start_src_offset_in_bytes;
        job->msg_len_to_hash_in_bytes = job->msg_len_to_cipher_in_bytes;
        break;
    }
    if (suite->mac != NO_MAC) {
        job->hash_alg = suite->mac == HMAC_MD5 ? IMB_AUTH_MD5 : suite->mac == HMAC_SHA1 ? IMB_AUTH_HMAC_SHA_1 : IMB_AUTH_HMAC_SHA_256;
        job->u.HMAC._hashed_auth_key_xor_ipad = mb->ipad;
        job->u.HMAC._hashed_auth_key_xor_opad = mb->opad;
    }
}

/* Processes up to 64 packets; returns 0 if a job did not complete. */
static int run(struct mb *mb, struct packet *packets, size_t n, uint8_t tags[][32], int enc) {
    uint8_t nonces[64][16];
    size_t done = 0;
    IMB_JOB *job;
    for (size_t i = 0; i < n; i++) {
        job = IMB_GET_NEXT_JOB(mb->manager);
        fill(mb, job, &packets[i], nonces[i], enc ? icv_of(&mb->suite, &packets[i]) : tags[i], enc);
        for (job = IMB_SUBMIT_JOB_NOCHECK(mb->manager); job; job = IMB_GET_COMPLETED_JOB(mb->manager)) {
            done += job->status == IMB_STATUS_COMPLETED;
        }
    }
    while ((job = IMB_FLUSH_JOB(mb->manager))) {
        done += job->status == IMB_STATUS_COMPLETED;
    }
    return done == n;
}

void ipsec_mb_seal(void *peer, struct packet *packets, size_t n) {
    if (!run(peer, packets, n, NULL, 1)) {
        abort();
    }
}

int ipsec_mb_open(void *peer, struct packet *packets, size_t n) {
    struct mb *mb = peer;
    uint8_t tags[64][32];
    int differs = 0;
    if (!run(mb, packets, n, tags, 0)) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        differs |= differ(tags[i], icv_of(&mb->suite, &packets[i]), mb->suite.icv_len);
    }
    return !differs;
}

void ipsec_mb_sse_seal(void *peer, struct packet *packets, size_t n) {
    for (; n--; packets++) {
        ipsec_mb_seal(peer, packets, 1);
    }
}

int ipsec_mb_sse_open(void *peer, struct packet *packets, size_t n) {
    for (; n--; packets++) {
        if (!ipsec_mb_open(peer, packets, 1)) {
            return 0;
        }
    }
    return 1;
}
