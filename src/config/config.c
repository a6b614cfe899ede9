/* config.c - see config.h. Bytes, document, options, checks: one after the other. */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/directives.h"
#include "config/document.h"
#include "config/fill.h"
#include "config/patch.h"
#include "config/types.h"

enum { SCRATCH_BYTES_MAX = 64 << 20 };

static int read_file(const char *path, struct buf *to);
static struct gateway_options *new_options(const char *name);
static void keep_source(struct fill *, struct bytes text);
static void fill_options(struct fill *, const struct node *root);
static void finish_top(struct fill *);
static uint32_t core_count(void);
static bool differs(const struct directive *, const struct gateway_options *old,
                    const struct gateway_options *new);

int config_load(const char *path, struct gateway_options **out, struct config_report *report) {
    struct buf text;
    *out = NULL;
    buf_init(&text, DOCUMENT_BYTES_MAX + 1);
    int result = read_file(path, &text);
    if (result < 0) {
        const char *kept = arena_copy(&report->arena, bytes_of(path));
        report->file = kept ? kept : "";
        report_error(report, NULL, NULL, NULL, "cannot be read: %s", strerror(-result));
        result = -1;
    } else {
        result = config_load_text(path, (struct bytes){buf_cstr(&text), text.len}, out, report);
    }
    buf_free(&text);
    return result;
}

static int load(const char *name, struct bytes text, const struct policy_patch *patches,
                uint32_t patch_count, struct gateway_options **out, struct config_report *report) {
    struct arena scratch;
    uint32_t errors_before = report->error_count;
    *out = NULL;
    const char *kept = arena_copy(&report->arena, bytes_of(name));
    report->file = kept ? kept : "";
    arena_init(&scratch, NULL, 0, SCRATCH_BYTES_MAX);
    struct fill *f = arena_zalloc(&scratch, sizeof *f);
    struct gateway_options *options = f ? new_options(name) : NULL;
    if (!options) {
        report_error(report, NULL, NULL, NULL, "out of memory");
        arena_reset(&scratch);
        return -1;
    }
    f->report = report;
    f->scratch = &scratch;
    f->arena = options->arena;
    f->options = options;
    const struct node *root = document_read(&scratch, text, report);
    keep_source(f, text);
    if (root)
        root = patch_document(f, root, patches, patch_count);
    if (root)
        fill_options(f, root);
    arena_reset(&scratch);
    if (report->error_count > errors_before) {
        gateway_options_release(options);
        return -1;
    }
    *out = options;
    return 0;
}

int config_load_text(const char *name, struct bytes text, struct gateway_options **out,
                     struct config_report *report) {
    return load(name, text, NULL, 0, out, report);
}

int config_load_patched(const struct gateway_options *from, const struct policy_patch *patches,
                        uint32_t count, struct gateway_options **out,
                        struct config_report *report) {
    return load(from->file, from->source, patches, count, out, report);
}

const char *config_default_path(void) {
    static const char here[] = "switchgear.yaml", system[] = "/etc/switchgear/switchgear.yaml";
    return access(here, F_OK) != 0 && access(system, F_OK) == 0 ? system : here;
}

void config_write_restart_keys(const struct gateway_options *old, const struct gateway_options *new,
                               struct buf *to) {
    size_t empty = to->len;
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (!(d->flags & DIRECTIVE_RESTART) || strpbrk(d->path, "[*"))
            continue;
        if (differs(d, old, new))
            buf_printf(to, "%s%s", to->len > empty ? ", " : "", d->path);
    }
}

static const char *secret_of(const struct directive *d, const struct gateway_options *o) {
    const char *secret;
    memcpy(&secret, (const char *)o + d->offset, sizeof secret);
    return secret ? secret : "";
}

/* Compared as printed, so that a type need not know more than reading and
 * writing. Of a switched group only the switch counts: its keys are rows. */
static bool differs(const struct directive *d, const struct gateway_options *old,
                    const struct gateway_options *new) {
    const struct gateway_options *sides[] = {old, new};
    struct buf printed[2];
    if (d->type == &type_switched)
        return field_get(d, old) != field_get(d, new);
    if (d->type == &type_secret) /* prints as *** whatever it is */
        return strcmp(secret_of(d, old), secret_of(d, new)) != 0;
    for (int i = 0; i < 2; i++) {
        struct json_out out;
        buf_init(&printed[i], DOCUMENT_BYTES_MAX);
        json_init(&out, &printed[i]);
        json_object(&out);
        d->type->write(&out, d, directive_key(d), sides[i]);
        json_object_end(&out);
    }
    bool result = !bytes_equal(buf_view(&printed[0]), buf_view(&printed[1]));
    buf_free(&printed[0]);
    buf_free(&printed[1]);
    return result;
}

/* ---- the file ---------------------------------------------------------- */

/* Not only regular files: a pipe (<(…), /dev/stdin) is fine. One byte more
 * than may be is enough to know that it is too large. */
static int read_file(const char *path, struct buf *to) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int result = 0;
    while (to->len <= DOCUMENT_BYTES_MAX) {
        char piece[16384];
        size_t room = DOCUMENT_BYTES_MAX + 1 - to->len;
        ssize_t got = read(fd, piece, room < sizeof piece ? room : sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = -errno;
        if (got <= 0)
            break;
        buf_append(to, piece, (size_t)got);
        if (to->failed) {
            result = -ENOMEM;
            break;
        }
    }
    close(fd);
    return result;
}

/* ---- the options ------------------------------------------------------- */

static struct gateway_options *new_options(const char *name) {
    struct arena *arena = malloc(sizeof *arena);
    if (!arena)
        return NULL;
    arena_init(arena, NULL, 0, OPTIONS_BYTES_MAX);
    struct gateway_options *o = arena_zalloc(arena, sizeof *o);
    const char *file = o ? arena_copy(arena, bytes_of(name)) : NULL;
    if (!file) {
        arena_reset(arena);
        free(arena);
        return NULL;
    }
    o->references = 1;
    o->arena = arena;
    o->file = file;
    return o;
}

/* For a change at run time: the file may be another by then. */
static void keep_source(struct fill *f, struct bytes text) {
    f->options->source = (struct bytes){fill_copy(f, text), text.len};
}

static void fill_options(struct fill *f, const struct node *root) {
    f->named = &f->top;
    f->options->admin.enabled = true;
    fill_defaults(f, "", f->options);
    fill_map(f, "", root, f->options);
    fill_databases(f);
    fill_policies(f);
    if (f->starved)
        return; /* half filled: whatever else seems wrong may not be */
    fill_tcp(f);
    fill_routes(f);
    check_whole(f);
    finish_top(f);
}

/* Whoever kills us in the end wants to see us gone by ourselves before. */
static void finish_drain(struct drain_options *d) {
    uint64_t left_ns = d->within_ns / 10 < SWG_SECONDS(1) ? d->within_ns / 10 : SWG_SECONDS(1);
    if (!d->enabled)
        d->delay_ns = d->timeout_ns = 0;
    if (d->within_ns == SWG_OFF)
        return;
    uint64_t end_ns = d->within_ns - left_ns;
    if (d->delay_ns > end_ns)
        d->delay_ns = end_ns;
    if (d->timeout_ns > end_ns - d->delay_ns)
        d->timeout_ns = end_ns - d->delay_ns;
}

static void finish_top(struct fill *f) {
    struct gateway_options *o = f->options;
    finish_drain(&o->drain);
    if (!o->workers)
        o->workers = core_count();
    struct service_options *services = fill_alloc(f, f->draft_count, sizeof *services);
    for (uint32_t i = 0; services && i < f->draft_count; i++)
        services[i] = f->drafts[i].options;
    o->services = services;
    o->service_count = services ? f->draft_count : 0;
    if (!o->listens) {
        struct listen_options *listen = fill_alloc(f, 1, sizeof *listen);
        if (!listen)
            return;
        *listen =
            (struct listen_options){.address = "127.0.0.1:8080", .host = "127.0.0.1", .port = 8080};
        o->listens = listen;
        o->listen_count = 1;
    }
}

/* Those that this process may run on, not those of the machine. */
static uint32_t core_count(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > 256 ? 256 : (uint32_t)count;
}
