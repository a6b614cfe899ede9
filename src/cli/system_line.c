/* system_line.c - see system_line.h. */
#include "cli/system_line.h"

#include <stdio.h>

#include "cli/json_in.h"
#include "cli/terminal.h"

/* "1.3 GiB" */
static const char *write_size(char out[32], double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int unit = 0;
    for (; bytes >= 1024 && unit < 5; unit++)
        bytes /= 1024;
    snprintf(out, 32, unit && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

static void print_disks(const struct node *disks) {
    char left[32], size[32];
    for (const struct node_entry *e = disks && disks->kind == NODE_MAP ? disks->first : NULL; e;
         e = e->next) {
        double bytes = json_in_number(e->value, "size_bytes", 0);
        if (bytes <= 0)
            continue;
        fputs(", disk of the ", stdout);
        terminal_text(stdout, e->key->text.at);
        printf(" %s free of %s", write_size(left, json_in_number(e->value, "free_bytes", 0)),
               write_size(size, bytes));
    }
}

void system_line_print(const struct node *system) {
    char is[32], most[32];
    double usage = json_in_number(system, "cpu_usage", -1);
    double limit = json_in_number(system, "memory_limit_bytes", 0);
    if (!system)
        return;
    if (usage >= 0)
        printf("cpu %.2f of %.3g, ", usage, json_in_number(system, "cpu_limit", 0));
    printf("memory %s", write_size(is, json_in_number(system, "resident_bytes", 0)));
    if (limit > 0)
        printf(" of %s", write_size(most, limit));
    printf(", descriptors %.0f of %.0f", json_in_number(system, "open_fds", 0),
           json_in_number(system, "max_fds", 0));
    print_disks(json_in_get(system, "disks"));
    fputs("\n", stdout);
}
