/* top_order.h - which services `switchgear top` shows, and in which order. */
#ifndef SWG_CLI_TOP_ORDER_H
#define SWG_CLI_TOP_ORDER_H

#include "cli/top_view.h"

/* The services that pass the filter, sorted, to be freed; NULL: none, or no memory. */
const struct top_service **top_order(const struct top_view *, const struct top_data *,
                                     uint32_t *count);

#endif
