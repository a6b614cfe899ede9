/* metrics_api.c - the metrics, in the format that the scraper prefers. */
#include "admin/accept.h"
#include "admin/handlers.h"
#include "admin/problem.h"
#include "observe/metrics_text.h"

/* Only who names OpenMetrics gets it: people with a browser, and simple
 * scripts, ask for anything. */
static enum metrics_format preferred(const struct request *r) {
    struct bytes accept = request_field(r, HTTP_ACCEPT);
    unsigned open = accept_quality(accept, BYTES("application/openmetrics-text"));
    unsigned plain = accept_quality(accept, BYTES("text/plain"));
    return open && open >= plain ? METRICS_OPENMETRICS : METRICS_PROMETHEUS;
}

void handle_metrics(struct request *r, struct response *a) {
    enum metrics_format format = preferred(r);
    response_text(a, 200, metrics_content_type(format));
    buf_literal(&a->fields, "Vary: Accept\r\n");
    if (metrics_write(r->admin->gateway->metrics, &a->body, format) < 0)
        problem(a, 503, "no_memory", "the metrics do not fit into memory");
}
