/* cache_key.c - what is hashed, and how it is kept apart.
 *
 * Each part goes in as a tag, its length, and its bytes, so that no part can
 * pretend to be the end of one and the beginning of the next. Several values
 * of one field stay several. */
#include "gateway/cache_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>

/* The algorithm is looked up once: EVP_sha256() would do so for every key.
 * Written under once, read after it; never freed, as the library's own tables.
 * Each thread has a context of its own, freed when it ends. */
static EVP_MD *sha256;
static pthread_key_t context_of_thread;
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_context(void *context) {
    EVP_MD_CTX_free(context);
}

static void prepare(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    has_key = pthread_key_create(&context_of_thread, free_context) == 0;
}

/* Ready for a new hash, or NULL. */
static EVP_MD_CTX *begin(void) {
    pthread_once(&once, prepare);
    if (!sha256 || !has_key)
        return NULL;
    EVP_MD_CTX *context = pthread_getspecific(context_of_thread);
    if (!context) {
        context = EVP_MD_CTX_new();
        if (!context || pthread_setspecific(context_of_thread, context)) {
            EVP_MD_CTX_free(context);
            return NULL;
        }
    }
    return EVP_DigestInit_ex2(context, sha256, NULL) == 1 ? context : NULL;
}

/* Names of parts in the hash; part of the format, never renumbered. */
enum tag {
    TAG_SERVICE = 1,
    TAG_METHOD,
    TAG_HOST,
    TAG_PATH,
    TAG_QUERY,
    TAG_NO_QUERY,
    TAG_BODY,
    TAG_FIELD_NAME,
    TAG_FIELD_VALUE,
};

/* Small parts are gathered: one long update costs a fraction of ten short ones. */
struct hash {
    EVP_MD_CTX *context;
    bool failed;
    size_t held_len;
    unsigned char held[512];
};

static void flush(struct hash *h) {
    if (h->held_len && EVP_DigestUpdate(h->context, h->held, h->held_len) != 1)
        h->failed = true;
    h->held_len = 0;
}

/* Room for up to n bytes, at most all that can be held; *got are there. */
static unsigned char *room(struct hash *h, size_t n, size_t *got) {
    if (h->held_len == sizeof(h->held))
        flush(h);
    unsigned char *at = h->held + h->held_len;
    size_t left = sizeof(h->held) - h->held_len;
    *got = n < left ? n : left;
    h->held_len += *got;
    return at;
}

static void add_bytes(struct hash *h, struct bytes b) {
    if (b.len > sizeof(h->held)) {
        flush(h);
        if (EVP_DigestUpdate(h->context, b.at, b.len) != 1)
            h->failed = true;
        return;
    }
    for (size_t n; b.len; b.at += n, b.len -= n) {
        unsigned char *to = room(h, b.len, &n);
        memcpy(to, b.at, n);
    }
}

static void add_tag(struct hash *h, enum tag tag, size_t len) {
    char head[9] = {(char)tag};
    for (int i = 0; i < 8; i++)
        head[1 + i] = (char)((uint64_t)len >> (8 * i));
    add_bytes(h, (struct bytes){head, sizeof(head)});
}

static void add(struct hash *h, enum tag tag, struct bytes part) {
    add_tag(h, tag, part.len);
    add_bytes(h, part);
}

/* The same, with ASCII letters made small. */
static void add_folded(struct hash *h, enum tag tag, struct bytes part) {
    add_tag(h, tag, part.len);
    for (size_t n; part.len; part.at += n, part.len -= n) {
        unsigned char *to = room(h, part.len, &n);
        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)part.at[i];
            to[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        }
    }
}

static void add_field(struct hash *h, struct bytes name, const struct cache_key_parts *parts) {
    add_folded(h, TAG_FIELD_NAME, name);
    for (uint16_t i = 0; i < parts->field_count; i++)
        if (bytes_equal_nocase(parts->fields[i].name, name))
            add(h, TAG_FIELD_VALUE, parts->fields[i].value);
}

static void add_all(struct hash *h, const struct cache_key_parts *parts,
                    const struct cache_options *options) {
    uint32_t wanted = options->key;
    add(h, TAG_SERVICE, parts->service);
    if (wanted & KEY_METHOD)
        add(h, TAG_METHOD, parts->method);
    if (wanted & KEY_HOST)
        add_folded(h, TAG_HOST, parts->host);
    if (wanted & KEY_PATH)
        add(h, TAG_PATH, parts->path);
    if (wanted & KEY_QUERY)
        add(h, parts->query.at ? TAG_QUERY : TAG_NO_QUERY, parts->query);
    if (wanted & KEY_BODY)
        add(h, TAG_BODY, parts->body);
    for (uint32_t i = 0; i < options->header_count; i++)
        add_field(h, bytes_of(options->headers[i]), parts);
}

int cache_key_make(struct cache_key *key, const struct cache_key_parts *parts,
                   const struct cache_options *options) {
    struct hash h;
    h.context = begin();
    h.failed = false;
    h.held_len = 0;
    if (!h.context)
        return -ENOMEM;
    add_all(&h, parts, options);
    flush(&h);
    if (h.failed || EVP_DigestFinal_ex(h.context, key->bytes, NULL) != 1)
        return -ENOMEM;
    return 0;
}
