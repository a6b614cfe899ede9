/* scene.h - a gateway without workers, an admin side without a kernel, and
 * clients made of text. */
#ifndef SWG_TESTS_ADMIN_SCENE_H
#define SWG_TESTS_ADMIN_SCENE_H

#include "admin/admin_priv.h"
#include "fake_io.h"

struct scene {
    struct fake_io io;
    struct gateway_options *options;
    struct metrics *metrics;
    struct events *events;
    struct gateway *gateway;
    struct health *health;
    struct admin *admin;
    /* what the process was asked to do, and what it is to answer */
    uint32_t reloads, drains;
    char author[64];
    bool reload_fails, not_ready, not_alive;
};

/* `host` and `token` are admin.address and admin.token. Services: shop (two
 * endpoints, tiers 1-stale and 2-static), pay (critical), bank (critical),
 * each opened by three failures in a row. Aborts when anything fails. */
void scene_init(struct scene *, const char *host, const char *token);
void scene_free(struct scene *);

struct service *scene_service(struct scene *, const char *name);
/* Three failed calls on an endpoint: its breaker opens. */
void scene_break(struct scene *, const char *service, uint32_t endpoint);

/* A client that has connected. */
struct fake_stream *scene_connect(struct scene *);
void scene_say(struct fake_stream *, const char *text);
/* The whole answer of a connection of its own to `method path` with these
 * further lines of the head ("A: b\r\n") and body; ends with a NUL; belongs to
 * the scene. Host is localhost unless `fields` has one. */
const char *scene_ask(struct scene *, const char *method, const char *path, const char *fields,
                      const char *body);
int scene_status(const char *answer);

#endif
