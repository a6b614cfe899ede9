/* redis.c - a look into Redis by hiredis, with a breaker alone and a fallback.
 *
 *     example_redis 127.0.0.1 6379
 *
 * Each line of standard input is a key. A cache that is gone must cost nothing: after
 * three failures it is not asked for a while, and the program goes on with what it
 * remembers, or without. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <switchgear/breaker.h>
#include <switchgear/clock.h>

struct cache {
    const char *host;
    int port;
    redisContext *redis;
    struct swg_breaker *breaker;
    char remembered[256];
};

static bool connected(struct cache *c) {
    static const struct timeval limit = {.tv_usec = 200000};
    if (c->redis && !c->redis->err)
        return true;
    if (c->redis)
        redisFree(c->redis);
    c->redis = redisConnectWithTimeout(c->host, c->port, limit);
    return c->redis && !c->redis->err && redisSetTimeout(c->redis, limit) == REDIS_OK;
}

/* True: Redis answered; the value, if there is one, is remembered. */
static bool get(struct cache *c, const char *key) {
    redisReply *reply = connected(c) ? redisCommand(c->redis, "GET %s", key) : NULL;
    if (reply && reply->type == REDIS_REPLY_STRING)
        snprintf(c->remembered, sizeof c->remembered, "%s", reply->str);
    bool answered = reply && reply->type != REDIS_REPLY_ERROR;
    if (reply)
        freeReplyObject(reply);
    return answered;
}

static void look_up(struct cache *c, const char *key) {
    struct swg_permit permit;
    enum swg_refusal refusal = swg_breaker_admit(c->breaker, &permit, swg_now(), swg_now());
    const char *from = "redis";
    if (refusal != SWG_ADMITTED) {
        from = swg_refusal_word(refusal);
    } else {
        bool answered = get(c, key);
        swg_breaker_record(c->breaker, &permit, answered ? SWG_SUCCESS : SWG_FAILURE, 0, swg_now());
        from = answered ? "redis" : "failed";
    }
    printf("value=%s from=%s\n", c->remembered[0] ? c->remembered : "none", from);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const struct swg_breaker_options options = {
        .consecutive = 3, .open_ns = SWG_MS(50), .open_max_ns = SWG_MS(50), .close_after = 1};
    struct cache c = {0};
    char key[256];
    if (argc != 3 || swg_breaker_create(&c.breaker, &options, swg_now(), swg_now()))
        return 2;
    c.host = argv[1];
    c.port = atoi(argv[2]);
    while (fgets(key, sizeof key, stdin)) {
        key[strcspn(key, "\n")] = 0;
        look_up(&c, key);
    }
    if (c.redis)
        redisFree(c.redis);
    swg_breaker_destroy(c.breaker);
    return 0;
}
