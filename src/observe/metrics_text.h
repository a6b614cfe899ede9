/* metrics_text.h - the metrics as text, for who scrapes them.
 *
 * Two formats: Prometheus text 0.0.4 and OpenMetrics 1.0. They differ in small
 * things: OpenMetrics names a counter's family without _total, states units,
 * escapes quotes in help, and ends with # EOF. Which one a client gets is
 * negotiated by whoever serves it. */
#ifndef SWG_OBSERVE_METRICS_TEXT_H
#define SWG_OBSERVE_METRICS_TEXT_H

#include "base/buf.h"
#include "observe/metrics.h"

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

/* For the Content-Type of the answer. */
const char *metrics_content_type(enum metrics_format);

/* Appends the text of all families. Any thread; takes no lock; runs the
 * collectors. 0, or -ENOMEM also when `to` is full: what it holds is then not
 * to be sent. */
int metrics_write(struct metrics *, struct buf *to, enum metrics_format);

/* `a="1",b="2"`: values escaped, what is not UTF-8 replaced. */
void metric_labels_write(struct buf *to, const struct metric_desc *, const char *const *values);
/* Asserts what promtool would complain about: names, units, suffixes. */
void metric_desc_check(const struct metric_desc *);

#endif
