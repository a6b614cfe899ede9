/* thread_pool.c - many threads, one policy: a bulkhead keeps a slow service from
 * taking all of them.
 *
 *     example_thread_pool 127.0.0.1 8080 16 200
 *
 * So many threads make so many calls; at most four talk to the service at once, and
 * who would have to wait for longer than 100 ms does something else. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <switchgear/switchgear.h>

static struct {
    struct swg_policy *policy;
    struct sockaddr_in address;
    _Atomic int left, answered, failed, inside, most; /* any thread; counts, so relaxed would do */
    _Atomic int refused[SWG_REFUSAL_COUNT];
} pool;

static struct swg_answer ask(void *arg, uint64_t deadline_ns) {
    static const char request[] = "GET / HTTP/1.0\r\nHost: example\r\n\r\n";
    char head[16] = "";
    (void)arg, (void)deadline_ns;
    int inside = atomic_fetch_add(&pool.inside, 1) + 1, most = atomic_load(&pool.most);
    while (inside > most && !atomic_compare_exchange_weak(&pool.most, &most, inside))
        ;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct swg_answer a = {.kind = SWG_CONNECT_FAILED};
    if (fd >= 0 && connect(fd, (struct sockaddr *)&pool.address, sizeof pool.address) == 0) {
        bool sent = write(fd, request, sizeof request - 1) == sizeof request - 1;
        a.kind = sent && recv(fd, head, 12, MSG_WAITALL) == 12 ? SWG_ANSWERED : SWG_RESET;
        a.status = a.kind == SWG_ANSWERED ? atoi(head + 9) : 0;
    }
    if (fd >= 0)
        close(fd);
    atomic_fetch_sub(&pool.inside, 1);
    return a;
}

static void *work(void *arg) {
    (void)arg;
    while (atomic_fetch_sub(&pool.left, 1) > 0) {
        struct swg_story story;
        enum swg_error e =
            swg_run(pool.policy, ask, NULL, &(struct swg_run_options){.story = &story});
        if (e == SWG_OK)
            atomic_fetch_add(&pool.answered, 1);
        else if (story.reason)
            atomic_fetch_add(&pool.refused[story.reason], 1);
        else
            atomic_fetch_add(&pool.failed, 1);
    }
    return NULL;
}

int main(int argc, char **argv) {
    static const struct swg_policy_options options = {
        .bulkhead = {.concurrent = 4, .queue = 100, .wait_ns = SWG_MS(100)},
        .retry = {.max = 1, .base_ns = SWG_MS(5)},
        .breaker = {.consecutive = 5},
    };
    pthread_t threads[64];
    int count = argc == 5 ? atoi(argv[3]) : 0;
    if (count < 1 || count > 64 || inet_pton(AF_INET, argv[1], &pool.address.sin_addr) != 1)
        return 2;
    pool.address.sin_family = AF_INET;
    pool.address.sin_port = htons((uint16_t)atoi(argv[2]));
    pool.left = atoi(argv[4]);
    if (swg_policy_create(&pool.policy, &options, swg_now(), swg_now()))
        return 2;
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("answered=%d failed=%d most=%d", pool.answered, pool.failed, pool.most);
    for (int i = 1; i < SWG_REFUSAL_COUNT; i++) {
        if (pool.refused[i])
            printf(" %s=%d", swg_refusal_word((enum swg_refusal)i), pool.refused[i]);
    }
    printf("\n");
    swg_policy_release(pool.policy);
    return 0;
}
