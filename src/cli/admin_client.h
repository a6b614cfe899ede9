/* admin_client.h - asks the admin API of a running gateway.
 *
 * Which one: --admin, else SWITCHGEAR_ADMIN, else what the configuration says
 * (--config, or the default file if it is there), else 127.0.0.1:9797. The
 * token: --token-file, else SWITCHGEAR_ADMIN_TOKEN, else the configuration's,
 * but that goes only to the address of the same configuration.
 *
 * Blocking, one connection a call. What goes wrong is printed, as it should be
 * seen by whoever typed the command. */
#ifndef SWG_CLI_ADMIN_CLIENT_H
#define SWG_CLI_ADMIN_CLIENT_H

#include "base/buf.h"
#include "cli/args.h"
#include "cli/json_in.h"

enum { ADMIN_ID = 'A', ADMIN_TOKEN_ID = 'T', ADMIN_CONFIG_ID = 'c', ADMIN_TIMEOUT_ID = 't' };

/* Rows for the option table of a command that asks. */
#define ADMIN_OPTIONS                                                                  \
    {ADMIN_ID, 0, "admin", "ADDRESS",                                                  \
     "Where the admin API is. Default: SWITCHGEAR_ADMIN, then admin.address of the "   \
     "configuration, then 127.0.0.1:9797."},                                           \
        {ADMIN_TOKEN_ID, 0, "token-file", "FILE",                                      \
         "The admin token, in a file. Default: SWITCHGEAR_ADMIN_TOKEN, then the "      \
         "configuration's."},                                                          \
        {ADMIN_CONFIG_ID, 'c', "config", "FILE",                                       \
         "The configuration to look into. Default: switchgear.yaml, then "             \
         "/etc/switchgear/switchgear.yaml."},                                          \
    {                                                                                  \
        ADMIN_TIMEOUT_ID, 0, "timeout", "TIME", "How long to wait for the answer; 5s." \
    }

struct admin_client {
    const char *command; /* for messages */
    const char *address, *token_file, *config;
    uint64_t timeout_ns;
    char host[256], port[8], token[1024];
    const char *source; /* of the address: "--admin", … */
};

void admin_client_init(struct admin_client *, const char *command);
/* True if the option was one of ADMIN_OPTIONS. */
bool admin_client_option(struct admin_client *, struct args *, int id);
/* After the options. False: something is wrong, and was said. */
bool admin_client_settle(struct admin_client *);

/* `body` is JSON, or empty. The answer's body is in *answer and its status in
 * *status, whatever it is; -1 with the message printed when there is none. */
int admin_client_send(struct admin_client *, const char *method, const char *path,
                      struct bytes body, struct buf *answer, int *status);
/* The same, but an answer that is no success (`good`: 0 for 2xx, else one more
 * status) is printed as an error: -1. */
int admin_client_ask(struct admin_client *, const char *method, const char *path, struct bytes body,
                     struct buf *answer, int good);
/* Prints what such an answer says. */
void admin_client_problem(const struct admin_client *, int status, struct bytes answer);
/* The same, as JSON; call json_in_free() only after 0. */
int admin_client_read(struct admin_client *, const char *path, int good, struct json_in *);

/* The request as it is sent; `fields`: further lines, each with CR LF. For who asks
 * by itself (admin_link.h). */
void admin_client_write_request(const struct admin_client *, const char *method, const char *path,
                                const char *fields, struct bytes body, struct buf *to);
/* What kept an answer from coming: -errno in words. */
const char *admin_client_error_words(int error);

/* Whether anybody takes a connection there; says nothing. */
bool admin_client_is_there(const struct admin_client *);

/* {"author": …}, for commands that change something: your user name. */
void admin_client_author(struct buf *body);
const char *admin_client_user(void);

/* A segment of a path. */
void admin_client_escape(struct buf *path, const char *segment);

#endif
