/* cache_key.c - what is hashed, and how it is kept apart.
 *
 * Each part goes in as a tag, its length, and its bytes, so that no part can
 * pretend to be the end of one and the beginning of the next. Several values
 * of one field stay several.
 *
 * Hosts are not folded: case says nothing to a browser, but there are services
 * that fail on EXAMPLE.com, and one such failure must not be everybody's. */
#include "gateway/cache_key.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "gateway/cache_json.h"

/* The algorithm is looked up once: EVP_sha256() would do so for every key.
 * Written under sha256_once, read after it; never freed, as the library's own
 * tables. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
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
    TAG_SCHEME,
    TAG_FORWARDED_HOST,
    TAG_FORWARDED,
    TAG_BODY_FIELD,
    TAG_BODY_VALUE,
};

enum { FOLD_PIECE = 128 };

static bool add_tag(EVP_MD_CTX *hash, enum tag tag, size_t len) {
    unsigned char head[9] = {(unsigned char)tag};
    for (int i = 0; i < 8; i++)
        head[1 + i] = (unsigned char)((uint64_t)len >> (8 * i));
    return EVP_DigestUpdate(hash, head, sizeof(head)) == 1;
}

static bool add(EVP_MD_CTX *hash, enum tag tag, struct bytes part) {
    return add_tag(hash, tag, part.len) &&
           (!part.len || EVP_DigestUpdate(hash, part.at, part.len) == 1);
}

/* The same, with ASCII letters made small. */
static bool add_folded(EVP_MD_CTX *hash, enum tag tag, struct bytes part) {
    if (!add_tag(hash, tag, part.len))
        return false;
    while (part.len) {
        unsigned char piece[FOLD_PIECE];
        size_t n = part.len < sizeof(piece) ? part.len : sizeof(piece);
        for (size_t i = 0; i < n; i++) {
            unsigned char c = (unsigned char)part.at[i];
            piece[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        }
        if (EVP_DigestUpdate(hash, piece, n) != 1)
            return false;
        part.at += n;
        part.len -= n;
    }
    return true;
}

static bool add_field(EVP_MD_CTX *hash, struct bytes name, const struct cache_key_parts *parts) {
    if (!add_folded(hash, TAG_FIELD_NAME, name))
        return false;
    for (uint16_t i = 0; i < parts->field_count; i++) {
        const struct http_field *f = &parts->fields[i];
        if (bytes_equal_nocase(f->name, name) && !add(hash, TAG_FIELD_VALUE, f->value))
            return false;
    }
    return true;
}

/* Unknown to us, but not to what runs behind us: they change what is asked for. */
static bool changes_meaning(const struct http_field *f) {
    static const char *const names[] = {
        "X-Original-URL",       "X-Rewrite-URL",          "X-Original-Host", "X-Host",
        "X-HTTP-Host-Override", "X-HTTP-Method-Override", "X-HTTP-Method",   "X-Method-Override",
        "X-URL-Scheme",         "Front-End-Https"};
    static const char forwarded[] = "X-Forwarded-";
    if (f->id != HTTP_FIELD_OTHER || f->name.len < 6)
        return false;
    if (f->name.len >= sizeof(forwarded) &&
        !strncasecmp(f->name.at, forwarded, sizeof(forwarded) - 1))
        return true;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (bytes_equal_nocase(f->name, bytes_of(names[i])))
            return true;
    return false;
}

/* Takes the next parameter off a Forwarded field, whoever's element it is in. */
static bool next_parameter(struct bytes *rest, struct bytes *parameter) {
    bool quoted = false;
    size_t n = 0;
    if (!rest->len)
        return false;
    for (; n < rest->len && (quoted || (rest->at[n] != ';' && rest->at[n] != ',')); n++) {
        if (rest->at[n] == '"')
            quoted = !quoted;
        else if (quoted && rest->at[n] == '\\' && n + 1 < rest->len)
            n++;
    }
    *parameter = bytes_trim((struct bytes){rest->at, n});
    n += n < rest->len;
    *rest = (struct bytes){rest->at + n, rest->len - n};
    return true;
}

static bool says_origin(struct bytes parameter) {
    return (parameter.len > 5 && !strncasecmp(parameter.at, "host=", 5)) ||
           (parameter.len > 6 && !strncasecmp(parameter.at, "proto=", 6));
}

static bool add_passed_on(EVP_MD_CTX *hash, const struct cache_key_parts *parts) {
    bool ok = true;
    for (uint16_t i = 0; ok && i < parts->field_count; i++) {
        const struct http_field *f = &parts->fields[i];
        struct bytes rest = f->value, parameter;
        if (changes_meaning(f))
            ok = add_folded(hash, TAG_FIELD_NAME, f->name) && add(hash, TAG_FIELD_VALUE, f->value);
        if (!parts->forwards || f->id != HTTP_FORWARDED)
            continue;
        while (ok && next_parameter(&rest, &parameter))
            ok = !says_origin(parameter) || add(hash, TAG_FORWARDED, parameter);
    }
    return ok;
}

/* What a body means is said beside it. */
static bool add_body(EVP_MD_CTX *hash, const struct cache_key_parts *parts) {
    return add(hash, TAG_BODY, parts->body) && add_field(hash, BYTES("Content-Type"), parts) &&
           add_field(hash, BYTES("Content-Encoding"), parts);
}

/* 0, or what cache_json.h says. Only a GET may come without a body. */
static int add_body_fields(EVP_MD_CTX *hash, const struct cache_key_parts *parts,
                           const struct cache_options *options) {
    struct cache_json *json;
    if (!parts->body.len && !bytes_equal(parts->method, BYTES("GET")))
        return -EBADMSG;
    int failed = cache_json_create(&json, parts->body);
    for (uint32_t i = 0; !failed && i < options->body_field_count; i++) {
        char *value;
        failed = cache_json_text(json, options->body_fields[i], &value);
        if (failed)
            break;
        bool ok = add(hash, TAG_BODY_FIELD, bytes_of(options->body_fields[i])) &&
                  (!value || add(hash, TAG_BODY_VALUE, bytes_of(value)));
        failed = ok ? 0 : -ENOMEM;
        free(value);
    }
    cache_json_destroy(json);
    if (failed)
        return failed;
    bool ok = add_field(hash, BYTES("Content-Type"), parts) &&
              add_field(hash, BYTES("Content-Encoding"), parts);
    return ok ? 0 : -ENOMEM;
}

static bool add_all(EVP_MD_CTX *hash, const struct cache_key_parts *parts,
                    const struct cache_options *options) {
    uint32_t wanted = options->key;
    bool ok = add(hash, TAG_SERVICE, parts->service);
    if (parts->scheme.len)
        ok = ok && add(hash, TAG_SCHEME, parts->scheme);
    if (wanted & KEY_METHOD)
        ok = ok && add(hash, TAG_METHOD, parts->method);
    if (wanted & KEY_HOST)
        ok = ok && add(hash, TAG_HOST, parts->host);
    if ((wanted & KEY_HOST) && parts->forwarded_host.len)
        ok = ok && add(hash, TAG_FORWARDED_HOST, parts->forwarded_host);
    if (wanted & KEY_PATH)
        ok = ok && add(hash, TAG_PATH, parts->path);
    if (wanted & KEY_QUERY)
        ok = ok && add(hash, parts->query.at ? TAG_QUERY : TAG_NO_QUERY, parts->query);
    if (wanted & KEY_BODY)
        ok = ok && add_body(hash, parts);
    for (uint32_t i = 0; ok && i < options->header_count; i++)
        ok = add_field(hash, bytes_of(options->headers[i]), parts);
    return ok && add_passed_on(hash, parts);
}

int cache_key_make(struct cache_key *key, const struct cache_key_parts *parts,
                   const struct cache_options *options) {
    pthread_once(&sha256_once, fetch_sha256);
    EVP_MD_CTX *hash = sha256 ? EVP_MD_CTX_new() : NULL;
    bool ok = hash && EVP_DigestInit_ex2(hash, sha256, NULL) == 1 && add_all(hash, parts, options);
    int failed = ok ? 0 : -ENOMEM;
    if (!failed && (options->key & KEY_BODY_FIELDS))
        failed = add_body_fields(hash, parts, options);
    if (!failed && EVP_DigestFinal_ex(hash, key->bytes, NULL) != 1)
        failed = -ENOMEM;
    EVP_MD_CTX_free(hash);
    return failed;
}
