/* A killed endpoint must refuse connects, keep its port, and still say how
 * many tried. A socket that is bound but not listening does the first two: the
 * kernel answers a SYN with RST. The third needs to see the SYNs, which reach
 * no socket; a packet socket with a filter for them does (CAP_NET_RAW; without
 * it the figure is null). The filter drops everything else in the kernel. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int bind_port(uint16_t port, uint16_t *got) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof(address);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    *got = ntohs(address.sin_port);
    return fd;
}

/* Passes, of IPv4 packets that arrive (not those that leave: on the loopback
 * each is seen twice), the TCP ones to `port` with SYN and without ACK. */
static int open_refusal_tap(uint16_t port) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_HOST, 0, 9),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), /* protocol; SOCK_DGRAM: the IP header is at 0 */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 7),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X: length of the IP header */
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),  /* destination port */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 4),
        BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13), /* flags */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    struct sockaddr_ll loopback = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    int room = 4 << 20; /* between two counts, tens of milliseconds apart */
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    loopback.sll_ifindex = (int)if_nametoindex("lo");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0 ||
        bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int make_answer(struct endpoint *e, size_t body) {
    char date[64];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    int n = snprintf(e->answer, sizeof(e->answer),
                     "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                     "X-Upstream: %c\r\nContent-Length: %zu\r\n\r\n",
                     date, e->name, body);
    if (n < 0 || (size_t)n + body > sizeof(e->answer))
        return -EMSGSIZE;
    e->answer_head_len = (size_t)n;
    memset(e->answer + n, '.', body);
    e->answer_len = (size_t)n + body;
    return 0;
}

int endpoint_open(struct endpoint *e, char name, uint16_t port, size_t body) {
    memset(e, 0, sizeof(*e));
    e->name = name;
    e->refusal_tap = -1;
    e->listener = bind_port(port, &e->port);
    if (e->listener < 0)
        return e->listener;
    int err = make_answer(e, body);
    if (err != 0)
        endpoint_close(e);
    return err;
}

int endpoint_refuse(struct endpoint *e) {
    uint16_t port;

    close(e->listener); /* resets what waits in its queue */
    e->listening = false;
    e->listener = bind_port(e->port, &port);
    e->refusal_tap = open_refusal_tap(e->port);
    if (e->refusal_tap < 0)
        e->refusals_unseen = true;
    return e->listener < 0 ? e->listener : 0;
}

int endpoint_listen(struct endpoint *e) {
    if (e->listener < 0)
        return -EBADF;
    if (listen(e->listener, 4096) != 0)
        return -errno;
    e->listening = true;
    if (e->refusal_tap >= 0) {
        endpoint_count_refused(e);
        close(e->refusal_tap);
        e->refusal_tap = -1;
    }
    return 0;
}

void endpoint_count_refused(struct endpoint *e) {
    char byte[64];

    if (e->refusal_tap < 0)
        return;
    while (recv(e->refusal_tap, byte, sizeof(byte), 0) >= 0)
        e->refused++;
}

void endpoint_close(struct endpoint *e) {
    if (e->listener >= 0)
        close(e->listener);
    if (e->refusal_tap >= 0)
        close(e->refusal_tap);
    e->listener = e->refusal_tap = -1;
}

void endpoint_reset_counts(struct endpoint *e) {
    e->connections = 0;
    e->refused = 0;
    memset(&e->all, 0, sizeof(e->all));
    memset(&e->in_fault, 0, sizeof(e->in_fault));
    memset(e->seconds, 0, sizeof(e->seconds));
}

static void counts_json(const char *name, const struct endpoint_counts *c, FILE *out) {
    fprintf(out, "\"%s\": {\"gets\": %llu, \"posts\": %llu, \"checks\": %llu, \"answers\": %llu}, ",
            name, (unsigned long long)c->gets, (unsigned long long)c->posts,
            (unsigned long long)c->checks, (unsigned long long)c->answers);
}

void endpoint_counts_json(const struct endpoint *e, unsigned seconds, FILE *out) {
    fprintf(out, "\"%c\": {\"port\": %u, \"fault\": \"%s\", \"connections\": %llu, ", e->name,
            e->port, fault_name(e->fault), (unsigned long long)e->connections);
    counts_json("all", &e->all, out);
    counts_json("in_fault", &e->in_fault, out);
    if (!e->refusals_unseen)
        fprintf(out, "\"refused\": %llu, ", (unsigned long long)e->refused);
    else
        fprintf(out, "\"refused\": null, ");
    fprintf(out, "\"seconds\": [");
    for (unsigned i = 0; i < seconds && i < ENDPOINT_SECONDS_MAX; i++)
        fprintf(out, "%s%u", i > 0 ? ", " : "", e->seconds[i]);
    fprintf(out, "]}");
}
