/* seal.c - see seal.h. */
#include "store/seal.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum { VERSION = 1, SECRET = 32, NAME = 8, NONCE = 12, TAG = 16, HEAD = 1 + NAME + NONCE };

struct secret {
    unsigned char key[SECRET];
    unsigned char name[NAME]; /* of its hash: tells secrets apart, and nothing of them */
};

struct sealer {
    EVP_CIPHER_CTX *cipher;
    size_t count;
    struct secret secrets[SEAL_SECRETS_MAX];
};

static int digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool read_secret(struct secret *s, const char **at) {
    unsigned char hash[SHA256_DIGEST_LENGTH];
    for (size_t i = 0; i < SECRET; i++, *at += 2) {
        int high = digit((*at)[0]), low = high < 0 ? -1 : digit((*at)[1]);
        if (low < 0)
            return false;
        s->key[i] = (unsigned char)(high << 4 | low);
    }
    SHA256(s->key, SECRET, hash);
    memcpy(s->name, hash, NAME);
    return !**at || is_space(**at);
}

static bool read_secrets(struct sealer *s, const char *at) {
    for (;; s->count++) {
        while (is_space(*at))
            at++;
        if (!*at)
            return s->count > 0;
        if (s->count == SEAL_SECRETS_MAX || !read_secret(&s->secrets[s->count], &at))
            return false;
    }
}

int sealer_create(struct sealer **out, const char *secrets) {
    struct sealer *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return -ENOMEM;
    if (!read_secrets(s, secrets)) {
        sealer_destroy(s);
        return -EINVAL;
    }
    s->cipher = EVP_CIPHER_CTX_new();
    if (!s->cipher) {
        sealer_destroy(s);
        return -ENOMEM;
    }
    *out = s;
    return 0;
}

void sealer_destroy(struct sealer *s) {
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->cipher);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}

int seal(struct sealer *s, struct bytes about, struct bytes plain, unsigned char *out) {
    unsigned char *nonce = out + 1 + NAME, *sealed = out + HEAD;
    int len;
    if (plain.len > INT_MAX - SEAL_EXTRA || about.len > INT_MAX)
        return -EIO;
    out[0] = VERSION;
    memcpy(out + 1, s->secrets[0].name, NAME);
    if (RAND_bytes(nonce, NONCE) != 1 ||
        !EVP_EncryptInit_ex(s->cipher, EVP_aes_256_gcm(), NULL, s->secrets[0].key, nonce) ||
        !EVP_EncryptUpdate(s->cipher, NULL, &len, (const unsigned char *)about.at,
                           (int)about.len) ||
        !EVP_EncryptUpdate(s->cipher, sealed, &len, (const unsigned char *)plain.at,
                           (int)plain.len) ||
        !EVP_EncryptFinal_ex(s->cipher, sealed + len, &len) ||
        !EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_GCM_GET_TAG, TAG, sealed + plain.len))
        return -EIO;
    return 0;
}

static const struct secret *find_secret(const struct sealer *s, const unsigned char *name) {
    for (size_t i = 0; i < s->count; i++) {
        if (memcmp(s->secrets[i].name, name, NAME) == 0)
            return &s->secrets[i];
    }
    return NULL;
}

int unseal(struct sealer *s, struct bytes about, struct bytes sealed, unsigned char *out,
           size_t *len) {
    const unsigned char *in = (const unsigned char *)sealed.at;
    int part, rest;
    if (sealed.len < SEAL_EXTRA || sealed.len > INT_MAX || about.len > INT_MAX || in[0] != VERSION)
        return -EBADMSG;
    const struct secret *secret = find_secret(s, in + 1);
    size_t plain = sealed.len - SEAL_EXTRA;
    if (!secret ||
        !EVP_DecryptInit_ex(s->cipher, EVP_aes_256_gcm(), NULL, secret->key, in + 1 + NAME) ||
        !EVP_DecryptUpdate(s->cipher, NULL, &part, (const unsigned char *)about.at,
                           (int)about.len) ||
        !EVP_DecryptUpdate(s->cipher, out, &part, in + HEAD, (int)plain) ||
        !EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_GCM_SET_TAG, TAG, (void *)(in + HEAD + plain)) ||
        !EVP_DecryptFinal_ex(s->cipher, out + part, &rest))
        return -EBADMSG;
    *len = plain;
    return 0;
}
