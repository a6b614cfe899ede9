/* findings.c - see findings.h. */
#include "cli/findings.h"

#include <stdio.h>

#include "cli/terminal.h"

void findings_print(const char *command, const struct node *problem) {
    const struct node *errors = json_in_get(problem, "errors");
    fprintf(stderr, "switchgear %s: ", command);
    terminal_text(stderr, json_in_text_or(problem, "detail", "refused"));
    fputc('\n', stderr);
    for (struct node_entry *e = errors && errors->kind == NODE_LIST ? errors->first : NULL; e;
         e = e->next) {
        if (e->value->kind != NODE_SCALAR)
            continue;
        terminal_text(stderr, e->value->text.at);
        fputc('\n', stderr);
    }
}
