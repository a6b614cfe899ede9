/* traceparent.c - the fields of a trace: what is read is written back the same, and
 * what is passed on is a list as the standard wants it. A line with traceparent, then one
 * with tracestate. */
#include "fuzz.h"
#include "observe/trace_context.h"

static void check_parent(struct bytes text) {
    struct trace_context read, again;
    char written[TRACEPARENT_LEN + 1];
    if (!traceparent_read(text, &read))
        return;
    MUST((read.trace.high | read.trace.low) && read.span);
    MUST(!(read.flags & ~(TRACE_SAMPLED | TRACE_RANDOM)));
    traceparent_write(written, &read);
    MUST(strlen(written) == TRACEPARENT_LEN && !memcmp(written, "00-", 3));
    MUST(!memcmp(written + 3, text.at + 3, 50));
    MUST(traceparent_read(bytes_of(written), &again));
    MUST(read.trace.high == again.trace.high && read.trace.low == again.trace.low);
    MUST(read.span == again.span && read.flags == again.flags);
}

/* Judged again member by member, by nothing else than the words of the standard. */
static void check_state(struct bytes list) {
    unsigned members = 0;
    if (!tracestate_is_good(list))
        return;
    MUST(list.len <= TRACESTATE_MAX);
    for (struct bytes rest = list, member; bytes_split(&rest, ',', &member);) {
        member = bytes_trim(member);
        const char *equals = member.len ? memchr(member.at, '=', member.len) : NULL;
        MUST(!member.len || (equals && equals > member.at));
        MUST(!member.len ||
             !memchr(equals + 1, '=', (size_t)(member.at + member.len - equals - 1)));
        for (size_t i = 0; i < member.len; i++)
            MUST(member.at[i] >= ' ' && member.at[i] <= '~');
        members += member.len > 0;
    }
    MUST(members > 0 && members <= TRACESTATE_MEMBERS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    size_t first = end ? (size_t)(end - data) : size, skip = first + (end != NULL);
    char *parent = fuzz_copy(data, first), *state = fuzz_copy(data + skip, size - skip);
    check_parent((struct bytes){parent, first});
    check_state((struct bytes){state, size - skip});
    free(parent);
    free(state);
    return 0;
}
