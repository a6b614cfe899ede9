/* error.c - the table of errors, made from the list in error.h. */
#include <switchgear/error.h>

#include <stddef.h>

struct entry {
    const char *name, *sentence;
};

static const struct entry table[] = {[SWG_OK] = {"SWG_OK", "no error"},
#define X(name, sentence) [SWG_ERR_##name] = {"SWG_ERR_" #name, sentence},
                                     SWG_ERRORS(X)
#undef X
};

static const struct entry *find(enum swg_error e) {
    static const struct entry unknown = {"SWG_ERR_UNKNOWN", "an error this library does not know"};
    return (size_t)e < sizeof table / sizeof *table ? &table[e] : &unknown;
}

const char *swg_error_name(enum swg_error e) {
    return find(e)->name;
}

const char *swg_error_sentence(enum swg_error e) {
    return find(e)->sentence;
}
