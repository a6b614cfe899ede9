/* mock_records.h - what the mock has seen: counts, and the last requests.
 *
 * A test asks here what reached the service, and how often. Threading: the
 * mock's. Memory: bounded; paths beyond the table's size are counted together,
 * heads beyond 8 KiB are kept without their fields. */
#ifndef SWG_CLI_MOCK_RECORDS_H
#define SWG_CLI_MOCK_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/json_out.h"
#include "cli/mock_behaviour.h"

enum {
    MOCK_RECORDS = 1000,
    MOCK_RECORD_HEAD_MAX = 8 << 10,
    MOCK_PATHS_MAX = 256,
    MOCK_PATH_SLOTS = 1024,
};

/* How a request ended. */
enum mock_end {
    MOCK_UNDER_WAY,
    MOCK_ANSWERED,   /* the whole answer was handed to the kernel */
    MOCK_BROKEN_OFF, /* by the mock: reset, truncated, down */
    MOCK_GONE,       /* the client closed before it had its answer, or before its body was whole */
    MOCK_REFUSED,    /* it was no HTTP */
    MOCK_ENDS
};

struct mock_record {
    uint64_t number; /* from 1; 0: empty */
    uint64_t connection;
    int64_t at_ms; /* wall clock */
    uint64_t body_bytes;
    bool body_complete;
    uint8_t fate, end;
    uint16_t status; /* 0: none was sent */
    uint32_t head_len, head_size;
    char *head;
};

struct mock_records {
    uint64_t last; /* number of the last request */
    struct mock_record slots[MOCK_RECORDS];
};

struct mock_path {
    uint64_t count;
    char text[160]; /* "GET /path", cut where it is longer */
};

/* The control's own requests are not counted. */
struct mock_counts {
    uint64_t requests, in_flight, held;
    uint64_t fates[MOCK_FATES], ends[MOCK_ENDS];
    uint64_t status[600];
    uint64_t methods[16], other_paths, body_bytes;
    uint32_t path_count;
    struct mock_path paths[MOCK_PATHS_MAX];
    uint16_t path_slots[MOCK_PATH_SLOTS]; /* index + 1, by hash */
};

/* The number of the new record. */
uint64_t mock_records_add(struct mock_records *, uint64_t connection, enum mock_fate,
                          struct bytes head, int64_t at_ms);
/* NULL when it has been overwritten meanwhile. */
struct mock_record *mock_records_get(struct mock_records *, uint64_t number);
void mock_records_clear(struct mock_records *);
void mock_records_free(struct mock_records *);
/* Those after `since`, at most `limit` of the newest, oldest first, whose path
 * begins with `path`. */
void mock_records_write(const struct mock_records *, struct json_out *, uint64_t since,
                        uint64_t limit, struct bytes path);

void mock_counts_request(struct mock_counts *, unsigned method, struct bytes method_text,
                         struct bytes path, enum mock_fate);
void mock_counts_clear(struct mock_counts *); /* but for what is under way */
void mock_counts_write(const struct mock_counts *, struct json_out *);

#endif
