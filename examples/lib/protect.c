/* protect.c - a connection to a TCP service, protected.
 *
 *     protect 127.0.0.1 8080
 *
 * Five calls; each is tried again, and once the service has refused three
 * times in a row, the breaker spares it (and us) the rest. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <switchgear/switchgear.h>

static struct swg_answer reach(void *arg, uint64_t deadline_ns) {
    const struct sockaddr_in *to = arg;
    (void)deadline_ns; /* loopback answers at once */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool reached = fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof *to) == 0;
    if (fd >= 0)
        close(fd);
    return reached ? SWG_OK_ANSWER : (struct swg_answer){.kind = SWG_CONNECT_FAILED};
}

int main(int argc, char **argv) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: protect ADDRESS PORT\n");
        return 2;
    }
    to.sin_port = htons((uint16_t)atoi(argv[2]));
    struct swg_policy *policy;
    struct swg_policy_options options = {.breaker = {.consecutive = 3},
                                         .retry = {.max = 1, .base_ns = SWG_MS(10)}};
    if (swg_policy_create(&policy, &options, swg_now(), swg_now()) != SWG_OK)
        return 1;
    for (int i = 1; i <= 5; i++) {
        struct swg_story story;
        enum swg_error e = swg_run(policy, reach, &to, &(struct swg_run_options){.story = &story});
        printf("call %d: %s, %u attempts%s%s\n", i, swg_error_name(e), story.attempts,
               story.reason ? ", refused: " : "",
               story.reason ? swg_refusal_word(story.reason) : "");
    }
    swg_policy_release(policy);
    return 0;
}
