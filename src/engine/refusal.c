/* refusal.c - the table of reasons, made from the list in refusal.h. */
#include <switchgear/refusal.h>

#include <stddef.h>

struct entry {
    const char *word, *sentence;
};

static const struct entry table[SWG_REFUSAL_COUNT] = {
    [SWG_ADMITTED] = {"admitted", "nothing stood in the way"},
#define X(name, word, sentence) [SWG_REFUSED_##name] = {word, sentence},
    SWG_REFUSALS(X)
#undef X
};

static const struct entry *find(enum swg_refusal r) {
    static const struct entry unknown = {"unknown", "a reason this library does not know"};
    return (size_t)r < SWG_REFUSAL_COUNT ? &table[r] : &unknown;
}

const char *swg_refusal_word(enum swg_refusal r) {
    return find(r)->word;
}

const char *swg_refusal_sentence(enum swg_refusal r) {
    return find(r)->sentence;
}
