/* document.c - see document.h.
 *
 * libfyaml's parser hands out one event after the other; collections under
 * construction lie on a stack and are attached to their parent when they end,
 * so that whatever is attached, or found behind an anchor, is complete. An
 * alias can therefore only point to something finished before it, and the
 * graph has no cycle. */
#include "config/document.h"

#include <assert.h>
#include <libfyaml.h>
#include <string.h>

#include "base/json_out.h"
#include "config/report.h"

enum { ANCHORS_MAX = 1000 };

struct anchor {
    struct anchor *next;
    struct bytes name;
    const struct node *node;
};

/* A collection that has begun and not ended. */
struct frame {
    struct node *node;
    const struct node *key; /* the pair's key has come, its value has not */
    struct bytes anchor;
};

struct builder {
    struct arena *arena;
    struct config_report *report;
    struct bytes text;
    struct frame stack[DOCUMENT_DEPTH_MAX];
    uint32_t depth, nodes, anchor_count, documents;
    uint32_t line, column; /* of the last event that had a place */
    struct anchor *anchors;
    const struct node *root;
};

/* The functions below return false when something was reported that makes
 * reading on pointless. */
static bool check_bytes(struct builder *);
static bool read_events(struct builder *, struct fy_parser *);
static bool take_event(struct builder *, struct fy_event *);
static bool take_scalar(struct builder *, struct fy_event *);
static bool take_alias(struct builder *, struct fy_event *);
static bool begin(struct builder *, struct fy_event *, enum node_kind);
static bool end(struct builder *);
static bool attach(struct builder *, const struct node *);
static bool add_pair(struct builder *, struct node *map, const struct node *key,
                     const struct node *value, bool merged);
static bool add_merged(struct builder *, struct node *map, const struct node *from);
static bool merge_map(struct builder *, struct node *map, const struct node *from);
static bool add_entry(struct builder *, struct node *to, const struct node *key,
                      const struct node *value, bool merged);
static bool name_anchor(struct builder *, struct bytes name, const struct node *);
static struct node *new_node(struct builder *, enum node_kind);
static bool count_node(struct builder *);
static void report_syntax(struct builder *, struct fy_diag *);
static void note_place(struct builder *, struct fy_event *);
static struct bytes copy_token(struct builder *, struct fy_token *);
static struct node_entry *find(const struct node *map, struct bytes key);
static void say_nothing(struct fy_diag *, void *user, const char *text, size_t len);

const struct node *document_read(struct arena *arena, struct bytes text,
                                 struct config_report *report) {
    struct builder b = {.arena = arena, .report = report, .text = text, .line = 1, .column = 1};
    if (!check_bytes(&b))
        return NULL;
    struct fy_diag_cfg quiet = {.output_fn = say_nothing, .level = FYET_ERROR, .module_mask = ~0U};
    struct fy_diag *diag = fy_diag_create(&quiet);
    struct fy_parse_cfg how = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_JSON_NONE,
                               .diag = diag};
    struct fy_parser *parser = diag ? fy_parser_create(&how) : NULL;
    bool good = false;
    if (!parser || fy_parser_set_string(parser, b.text.at, b.text.len) != 0) {
        report_error(report, NULL, NULL, NULL, "out of memory");
    } else {
        fy_diag_set_collect_errors(diag, true);
        good = read_events(&b, parser);
        if (good && fy_parser_get_stream_error(parser)) {
            report_syntax(&b, diag);
            good = false;
        }
    }
    if (parser)
        fy_parser_destroy(parser);
    if (diag)
        fy_diag_destroy(diag);
    if (good && !b.root) {
        b.line = b.column = 1;
        b.root = new_node(&b, NODE_MAP);
    }
    return good ? b.root : NULL;
}

const struct node *node_get(const struct node *map, const char *key) {
    if (!map || map->kind != NODE_MAP)
        return NULL;
    const struct node_entry *e = find(map, bytes_of(key));
    return e ? e->value : NULL;
}

bool node_is_null(const struct node *n) {
    return n->kind == NODE_SCALAR && n->plain &&
           (n->text.len == 0 || bytes_equal(n->text, BYTES("~")) ||
            bytes_equal(n->text, BYTES("null")) || bytes_equal(n->text, BYTES("Null")) ||
            bytes_equal(n->text, BYTES("NULL")));
}

const char *node_kind_words(const struct node *n) {
    return n->kind == NODE_MAP ? "a mapping" : n->kind == NODE_LIST ? "a list" : "a single value";
}

/* ---- bytes ------------------------------------------------------------- */

/* UTF-8 without control characters, so that libfyaml, and every message, sees
 * nothing else. Columns count characters, as libfyaml's do. */
static bool check_bytes(struct builder *b) {
    if (b->text.len > DOCUMENT_BYTES_MAX) {
        report_error(b->report, NULL, "at most 1 MiB", NULL, "the file is too large");
        return false;
    }
    if (bytes_starts(b->text, BYTES("\xef\xbb\xbf")))
        b->text = (struct bytes){b->text.at + 3, b->text.len - 3};
    uint32_t line = 1, column = 1;
    const char *at = b->text.at, *stop = at + b->text.len;
    while (at < stop) {
        unsigned len = utf8_length(at, stop);
        unsigned char c = (unsigned char)*at;
        if (!len || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
            report_error_at(b->report, line, column, "text in UTF-8", "the byte 0x%02x %s", c,
                            len ? "is a control character" : "does not belong to any character");
            return false;
        }
        column++;
        if (c == '\n') {
            line++;
            column = 1;
        }
        at += len;
    }
    return true;
}

/* ---- events ------------------------------------------------------------ */

static bool read_events(struct builder *b, struct fy_parser *parser) {
    bool good = true;
    struct fy_event *event;
    while (good && (event = fy_parser_parse(parser)) != NULL) {
        note_place(b, event);
        good = take_event(b, event);
        fy_parser_event_free(parser, event);
    }
    return good;
}

static bool take_event(struct builder *b, struct fy_event *event) {
    if (event->type != FYET_STREAM_END && b->documents > 1) {
        report_error_at(b->report, b->line, b->column, "one", "a second document begins");
        return false;
    }
    struct fy_token *tag = fy_event_get_tag_token(event);
    if (tag) {
        report_error_at(b->report, b->line, b->column, "the value alone",
                        "tags such as !!str are not used here");
        return false;
    }
    switch (event->type) {
    case FYET_DOCUMENT_START:
        b->documents++;
        return true;
    case FYET_MAPPING_START:
        return begin(b, event, NODE_MAP);
    case FYET_SEQUENCE_START:
        return begin(b, event, NODE_LIST);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        return end(b);
    case FYET_SCALAR:
        return take_scalar(b, event);
    case FYET_ALIAS:
        return take_alias(b, event);
    default:
        return true;
    }
}

static bool take_scalar(struct builder *b, struct fy_event *event) {
    struct node *n = new_node(b, NODE_SCALAR);
    if (!n)
        return false;
    n->plain = fy_token_scalar_style(event->scalar.value) == FYSS_PLAIN;
    n->text = copy_token(b, event->scalar.value);
    struct fy_token *anchor = fy_event_get_anchor_token(event);
    if (anchor && !name_anchor(b, copy_token(b, anchor), n))
        return false;
    return attach(b, n);
}

static bool take_alias(struct builder *b, struct fy_event *event) {
    struct bytes name = copy_token(b, event->alias.anchor);
    for (uint32_t i = 0; i < b->depth; i++) {
        if (b->stack[i].anchor.len && bytes_equal(b->stack[i].anchor, name)) {
            report_error_at(b->report, b->line, b->column, NULL,
                            "*%s is inside the value it stands for", name.at);
            return false;
        }
    }
    for (const struct anchor *a = b->anchors; a; a = a->next) {
        if (bytes_equal(a->name, name))
            return count_node(b) && attach(b, a->node);
    }
    report_error_at(b->report, b->line, b->column, "an anchor (&name) before it",
                    "*%s stands for nothing", name.at);
    return false;
}

static bool begin(struct builder *b, struct fy_event *event, enum node_kind kind) {
    if (b->depth == DOCUMENT_DEPTH_MAX) {
        report_error_at(b->report, b->line, b->column, "at most 32 levels", "nested too deeply");
        return false;
    }
    struct node *n = new_node(b, kind);
    if (!n)
        return false;
    struct frame *f = &b->stack[b->depth++];
    struct fy_token *anchor = fy_event_get_anchor_token(event);
    *f = (struct frame){.node = n};
    if (anchor)
        f->anchor = copy_token(b, anchor);
    return true;
}

static bool end(struct builder *b) {
    struct frame *f = &b->stack[--b->depth];
    if (f->anchor.len && !name_anchor(b, f->anchor, f->node))
        return false;
    return attach(b, f->node);
}

/* ---- the tree ---------------------------------------------------------- */

static bool attach(struct builder *b, const struct node *n) {
    if (!b->depth) {
        b->root = n;
        return true;
    }
    struct frame *f = &b->stack[b->depth - 1];
    assert(f->node);
    if (f->node->kind == NODE_LIST)
        return add_entry(b, f->node, NULL, n, false);
    if (f->key) {
        const struct node *key = f->key;
        f->key = NULL;
        if (key->plain && bytes_equal(key->text, BYTES("<<")))
            return add_merged(b, f->node, n);
        return add_pair(b, f->node, key, n, false);
    }
    if (n->kind != NODE_SCALAR) {
        report_error(b->report, n, "a name", NULL, "%s cannot be a key", node_kind_words(n));
        return false;
    }
    f->key = n;
    return true;
}

static bool add_pair(struct builder *b, struct node *map, const struct node *key,
                     const struct node *value, bool merged) {
    struct node_entry *old = find(map, key->text);
    if (!old)
        return add_entry(b, map, key, value, merged);
    if (merged)
        return true; /* the mapping's own, or an earlier merge, comes first */
    if (old->merged) {
        *old = (struct node_entry){old->next, key, value, false};
        return true;
    }
    char shown[SHOW_SIZE];
    report_error(b->report, key, "each key once", NULL,
                 "%s is given a second time (first on line %u)", report_show(shown, key->text),
                 old->key->line);
    return true;
}

static bool add_merged(struct builder *b, struct node *map, const struct node *from) {
    if (from->kind == NODE_LIST) {
        for (const struct node_entry *e = from->first; e; e = e->next) {
            if (!merge_map(b, map, e->value))
                return false;
        }
        return true;
    }
    return merge_map(b, map, from);
}

static bool merge_map(struct builder *b, struct node *map, const struct node *from) {
    if (from->kind != NODE_MAP) {
        report_error(b->report, from, "a mapping, as in <<: *name", NULL, "<< cannot merge %s",
                     node_kind_words(from));
        return true;
    }
    for (const struct node_entry *e = from->first; e; e = e->next) {
        if (!count_node(b) || !add_pair(b, map, e->key, e->value, true))
            return false;
    }
    return true;
}

static bool add_entry(struct builder *b, struct node *to, const struct node *key,
                      const struct node *value, bool merged) {
    if (key && to->count == DOCUMENT_KEYS_MAX) {
        report_error(b->report, key, "at most 2000", NULL, "too many keys in one mapping");
        return false;
    }
    struct node_entry *e = arena_alloc(b->arena, sizeof *e);
    if (!e) {
        report_error(b->report, NULL, NULL, NULL, "out of memory");
        return false;
    }
    *e = (struct node_entry){NULL, key, value, merged};
    if (to->last)
        to->last->next = e;
    else
        to->first = e;
    to->last = e;
    to->count++;
    return true;
}

static bool name_anchor(struct builder *b, struct bytes name, const struct node *n) {
    struct anchor *a = b->anchor_count < ANCHORS_MAX ? arena_alloc(b->arena, sizeof *a) : NULL;
    if (!a) {
        report_error(b->report, n, "at most 1000", NULL, "too many anchors");
        return false;
    }
    *a = (struct anchor){b->anchors, name, n};
    b->anchors = a;
    b->anchor_count++;
    return true;
}

static struct node *new_node(struct builder *b, enum node_kind kind) {
    if (!count_node(b))
        return NULL;
    struct node *n = arena_zalloc(b->arena, sizeof *n);
    if (!n) {
        report_error(b->report, NULL, NULL, NULL, "out of memory");
        return NULL;
    }
    n->kind = kind;
    n->line = b->line;
    n->column = b->column;
    n->text = BYTES("");
    return n;
}

static bool count_node(struct builder *b) {
    if (b->nodes++ < DOCUMENT_NODES_MAX)
        return true;
    report_error_at(b->report, b->line, b->column, "at most 100000, counting what aliases repeat",
                    "too many values");
    return false;
}

static struct node_entry *find(const struct node *map, struct bytes key) {
    for (struct node_entry *e = map->first; e; e = e->next) {
        if (bytes_equal(e->key->text, key))
            return e;
    }
    return NULL;
}

/* ---- libfyaml ---------------------------------------------------------- */

/* Marks of quoted scalars and of aliases point behind the quote and the star. */
static void note_place(struct builder *b, struct fy_event *event) {
    const struct fy_mark *mark = fy_event_start_mark(event);
    if (!mark || event->type == FYET_MAPPING_END || event->type == FYET_SEQUENCE_END)
        return;
    b->line = (uint32_t)mark->line + 1;
    b->column = (uint32_t)mark->column + 1;
    bool behind = event->type == FYET_ALIAS;
    if (event->type == FYET_SCALAR) {
        enum fy_scalar_style style = fy_token_scalar_style(event->scalar.value);
        behind = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    }
    if (behind && b->column > 1)
        b->column--;
}

static struct bytes copy_token(struct builder *b, struct fy_token *token) {
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;
    if (!text || !len)
        return BYTES("");
    char *copy = arena_copy(b->arena, (struct bytes){text, len});
    if (!copy) {
        report_error(b->report, NULL, NULL, NULL, "out of memory");
        return BYTES("");
    }
    return (struct bytes){copy, len};
}

/* The first error is the one that matters. ${X} inside { } is such a common
 * cause, and so hard to see in YAML's own words, that it gets a hint. */
static void report_syntax(struct builder *b, struct fy_diag *diag) {
    void *at = NULL;
    const struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at);
    if (!e) {
        report_error(b->report, NULL, NULL, NULL, "this is not YAML");
        return;
    }
    uint32_t line = e->line > 0 ? (uint32_t)e->line : 1;
    uint32_t column = e->column > 0 ? (uint32_t)e->column : 1;
    struct bytes rest = b->text, found = BYTES("");
    for (uint32_t i = 0; i < line && bytes_split(&rest, '\n', &found); i++)
        ;
    bool variable = found.len && memmem(found.at, found.len, "${", 2);
    report_error_at(b->report, line, column,
                    variable ? "quotes around a ${…} that stands inside { } or [ ]" : NULL,
                    "YAML: %s", e->msg ? e->msg : "syntax error");
}

static void say_nothing(struct fy_diag *diag, void *user, const char *text, size_t len) {
}
