/* metrics_table.c - see metrics_table.h. */
#include "gateway/metrics_table.h"

#include "gateway/metrics.h"

#define X(id, kind, title, unit_, sentence, ...)                          \
    static const struct metric_desc desc_##id = {.name = title,           \
                                                 .type = METRIC_##kind,   \
                                                 .help = sentence,        \
                                                 .unit = unit_,           \
                                                 .labels = {__VA_ARGS__}, \
                                                 .series_max = 20000};
FAMILIES(X)
#undef X

const struct metric_desc *const gateway_metric_rows[] = {
#define X(id, ...) &desc_##id,
    FAMILIES(X)
#undef X
        NULL};

const struct metric_desc *const *gateway_metric_table(void) {
    return gateway_metric_rows;
}
