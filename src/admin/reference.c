/* reference.c - docs/reference/admin-api.md, from the table of routes. */
#include "admin/admin.h"
#include "admin/api.h"
#include "wire/http.h"

static const char head[] =
    "# Admin API\n"
    "\n"
    "<!-- Made by `make docs` from the table in src/admin/api.c. -->\n"
    "\n"
    "JSON over HTTP on `admin.address`, `127.0.0.1:9797` by default. Times are RFC 3339 in UTC,\n"
    "durations in numbers end in `_ms`, rates are between 0 and 1. Errors are\n"
    "`application/problem+json` (RFC 9457) with a `reason` for programs and a `detail` for "
    "people.\n"
    "\n"
    "```sh\n"
    "curl http://127.0.0.1:9797/api/v1/circuit-breakers\n"
    "curl -X POST http://127.0.0.1:9797/api/v1/circuit-breakers/search/force-open \\\n"
    "     -d '{\"reason\": \"index is being rebuilt\", \"author\": \"ada\", \"for\": \"10m\"}'\n"
    "curl -N http://127.0.0.1:9797/api/v1/events\n"
    "```\n"
    "\n"
    "## Access\n"
    "\n"
    "| | loopback, no token | loopback, with a token | any other address |\n"
    "| --- | --- | --- | --- |\n"
    "| free: probes and `/metrics` | free | free | free |\n"
    "| read | free ¹ | free ¹ | token |\n"
    "| change | free ² | token ² | token ² |\n"
    "\n"
    "The token is `admin.token`, sent as `Authorization: Bearer …`. ¹ Without it, `Host` must be\n"
    "`localhost` or a loopback address, so that no web page can reach in by a name of its own.\n"
    "² Besides, `Origin` and `Sec-Fetch-Site`, where a browser sends them, must be this address\n"
    "itself. Every change is written to the history, with its author and reason.\n"
    "\n"
    "## Paths\n"
    "\n"
    "| method | path | access | what |\n"
    "| --- | --- | --- | --- |\n";

static const char *access_word(enum access access) {
    switch (access) {
    case ACCESS_FREE:
        return "free";
    case ACCESS_READ:
    case ACCESS_PAGE:
        return "read";
    case ACCESS_CHANGE:
        return "change";
    }
    return "";
}

void admin_reference_write(FILE *to) {
    fputs(head, to);
    for (const struct route *r = api_routes; r->pattern; r++) {
        if (!r->alias_of)
            fprintf(to, "| %s | `%s` | %s | %s |\n", http_method_name(r->method), r->pattern,
                    access_word(r->access), r->help);
    }
    fputs(
        "\nA GET path answers HEAD too. Kept as aliases:\n\n| method | path | is |\n| --- | --- | "
        "--- |\n",
        to);
    for (const struct route *r = api_routes; r->pattern; r++) {
        if (r->alias_of)
            fprintf(to, "| %s | `%s` | `%s` |\n", http_method_name(r->method), r->pattern,
                    r->alias_of);
    }
}
