/* outbox_content.c - see outbox_content.h. */
#include "store/outbox_content.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>

enum { LENGTH = 8 }; /* of the fields, in front of the content */

int outbox_open_sealer(struct sealer **out, const char *secret, char *why, size_t size) {
    int error = secret ? sealer_create(out, secret) : 0;
    if (error == -EINVAL)
        snprintf(why, size, "the secret must be 64 hexadecimal digits");
    return error;
}

/* Length of the fields, fields, body; sealed or not. 0 or -errno. */
int outbox_pack(struct sealer *sealer, const struct outbox_entry *e, struct arena *memory,
                struct bytes *out) {
    if (e->fields.len > OUTBOX_CONTENT_MAX || e->body.len > OUTBOX_CONTENT_MAX - e->fields.len)
        return -E2BIG;
    size_t len = LENGTH + e->fields.len + e->body.len;
    char *plain = arena_alloc(memory, len);
    if (!plain)
        return -ENOMEM;
    for (int i = 0; i < LENGTH; i++)
        plain[i] = (char)(e->fields.len >> (8 * i));
    if (e->fields.len)
        memcpy(plain + LENGTH, e->fields.at, e->fields.len);
    if (e->body.len)
        memcpy(plain + LENGTH + e->fields.len, e->body.at, e->body.len);
    *out = (struct bytes){plain, len};
    if (!sealer)
        return 0;
    unsigned char *sealed = arena_alloc(memory, len + SEAL_EXTRA);
    if (!sealed)
        return -ENOMEM;
    int error = seal(sealer, bytes_of(e->id), *out, sealed);
    *out = (struct bytes){(char *)sealed, len + SEAL_EXTRA};
    return error;
}

int outbox_unpack(struct sealer *sealer, struct bytes in, bool sealed, struct arena *memory,
                  struct outbox_entry *e) {
    if (sealed && !sealer)
        return -EBADMSG;
    if (sealed) {
        unsigned char *plain = arena_alloc(memory, in.len + 1);
        size_t len;
        if (!plain)
            return -ENOMEM;
        int error = unseal(sealer, bytes_of(e->id), in, plain, &len);
        if (error)
            return error;
        in = (struct bytes){(char *)plain, len};
    }
    uint64_t fields = 0;
    if (in.len < LENGTH)
        return -EBADMSG;
    for (int i = 0; i < LENGTH; i++)
        fields |= (uint64_t)(unsigned char)in.at[i] << (8 * i);
    if (fields > in.len - LENGTH || in.len - LENGTH != e->content_len)
        return -EBADMSG;
    e->fields = (struct bytes){in.at + LENGTH, (size_t)fields};
    e->body = (struct bytes){in.at + LENGTH + fields, in.len - LENGTH - (size_t)fields};
    return 0;
}

int outbox_fingerprint(const struct outbox_entry *e, unsigned char out[OUTBOX_PRINT_LEN]) {
    const struct bytes parts[] = {e->method, e->target, e->body};
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool good = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    for (size_t i = 0; good && i < sizeof parts / sizeof *parts; i++) {
        uint64_t len = parts[i].len;
        good = EVP_DigestUpdate(hash, &len, sizeof len) &&
               (!len || EVP_DigestUpdate(hash, parts[i].at, len));
    }
    good = good && EVP_DigestFinal_ex(hash, out, NULL);
    EVP_MD_CTX_free(hash);
    return good ? 0 : -ENOMEM;
}

/* Milliseconds, then 80 random bits, as UUIDs of version 7 begin: nobody guesses one, and
 * what is appended together lies together in the index. With random ones each append
 * would dirty a page of its own. */
int outbox_make_id(char id[OUTBOX_ID_LEN + 1], int64_t now_ms) {
    unsigned char bytes[OUTBOX_ID_LEN / 2];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -EIO;
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)((uint64_t)now_ms >> (40 - 8 * i));
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}
