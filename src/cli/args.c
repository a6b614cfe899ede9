/* args.c - see args.h. */
#include "cli/args.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/buf.h"
#include "config/suggest.h"
#include "config/value.h"

static const struct arg_option no_options[] = {{0}};

static const struct arg_option *options_of(const struct command *c) {
    return c->options ? c->options : no_options;
}

void args_begin(struct args *a, const struct command *command, int argc, char **argv) {
    *a = (struct args){.command = command, .argc = argc, .argv = argv, .at = 1};
}

void args_fail(struct args *a, const char *format, ...) {
    char memory[1024];
    struct buf text;
    va_list list;
    buf_init_fixed(&text, memory, sizeof memory);
    va_start(list, format);
    buf_vprintf(&text, format, list);
    va_end(list);
    fprintf(stderr, "switchgear %s: %s\n", a->command->name,
            text.failed ? "a value is too long" : memory);
    a->failed = true;
}

/* ---- words ---------------------------------------------------------------- */

static void fail_unknown(struct args *a, struct bytes name) {
    struct suggestion s;
    suggest_begin(&s, name);
    for (const struct arg_option *o = options_of(a->command); o->name; o++)
        suggest_offer(&s, o->name);
    args_fail(a, "unknown option --%.*s%s%s%s", (int)name.len, name.at,
              s.best ? "; did you mean --" : "", s.best ? s.best : "", s.best ? "?" : "");
}

/* The value that stands in the next word, where one is due. */
static bool take_value(struct args *a) {
    if (a->at < a->argc) {
        a->value = a->argv[a->at++];
        return true;
    }
    args_fail(a, "--%s needs a value: %s", a->option->name, a->option->value);
    return false;
}

static int take_long(struct args *a, const char *word) {
    const char *equals = strchr(word, '=');
    struct bytes name = {word, equals ? (size_t)(equals - word) : strlen(word)};
    for (const struct arg_option *o = options_of(a->command); o->name; o++) {
        if (!bytes_equal(bytes_of(o->name), name))
            continue;
        a->option = o;
        a->value = equals ? equals + 1 : NULL;
        if (o->value && !equals && !take_value(a))
            return ARGS_END;
        if (!o->value && equals) {
            args_fail(a, "--%s takes no value", o->name);
            return ARGS_END;
        }
        return o->id;
    }
    fail_unknown(a, name);
    return ARGS_END;
}

static int take_letter(struct args *a) {
    char letter = *a->letters++;
    const char *rest = *a->letters ? a->letters : NULL;
    a->letters = rest;
    for (const struct arg_option *o = options_of(a->command); o->name; o++) {
        if (o->letter != letter)
            continue;
        a->option = o;
        a->value = NULL;
        if (!o->value)
            return o->id;
        a->letters = NULL;
        if (rest)
            a->value = *rest == '=' ? rest + 1 : rest;
        return rest || take_value(a) ? o->id : ARGS_END;
    }
    args_fail(a, "unknown option -%c", letter);
    a->letters = NULL;
    return ARGS_END;
}

static void take_operand(struct args *a, const char *word) {
    if (a->operand_count == a->command->operands_max || a->operand_count == ARGS_OPERANDS)
        args_fail(a, "unexpected argument \"%s\"", word);
    else
        a->operand[a->operand_count++] = word;
}

/* An option that is wrong is said and passed over, so that all are. */
int args_next(struct args *a) {
    while (a->letters || a->at < a->argc) {
        int id = ARGS_END;
        if (a->letters) {
            id = take_letter(a);
        } else {
            const char *word = a->argv[a->at++];
            if (a->only_operands || word[0] != '-' || !word[1])
                take_operand(a, word);
            else if (!strcmp(word, "--"))
                a->only_operands = true;
            else if (word[1] == '-')
                id = take_long(a, word + 2);
            else
                a->letters = word + 1;
        }
        if (id != ARGS_END)
            return id;
    }
    return ARGS_END;
}

bool args_done(struct args *a) {
    if (!a->failed && a->operand_count < a->command->operands_min)
        args_fail(a, "an argument is missing; usage: switchgear %s %.*s", a->command->name,
                  (int)strcspn(a->command->synopsis, "\n"), a->command->synopsis);
    if (a->failed)
        fprintf(stderr, "Try `switchgear help %s`.\n", a->command->name);
    return !a->failed;
}

/* ---- values ---------------------------------------------------------------- */

bool args_duration(struct args *a, uint64_t *ns) {
    if (value_duration(bytes_of(a->value), ns))
        return true;
    args_fail(a, "--%s: \"%s\" is no duration; expected one such as 250ms, 5s or 10m",
              a->option->name, a->value);
    return false;
}

bool args_size(struct args *a, uint64_t *bytes) {
    if (value_size(bytes_of(a->value), bytes))
        return true;
    args_fail(a, "--%s: \"%s\" is no size; expected one such as 4096, 64KiB or 1MiB",
              a->option->name, a->value);
    return false;
}

bool args_count(struct args *a, uint64_t *count) {
    if (value_count(bytes_of(a->value), count))
        return true;
    args_fail(a, "--%s: \"%s\" is no number", a->option->name, a->value);
    return false;
}
