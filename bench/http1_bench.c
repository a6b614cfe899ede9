/* http1_bench.c - time to parse a head, in nanoseconds of CPU time.
 *
 * Not part of the build; for whoever changes the parser:
 *   cc -O2 -D_GNU_SOURCE -Isrc -o /tmp/b bench/http1_bench.c src/wire/http*.c src/wire/chars.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/http1.h"

static const char short_request[] = "GET /api/v1/items/42?fields=name HTTP/1.1\r\n"
                                    "Host: shop.example.com:8080\r\n"
                                    "User-Agent: curl/7.88.1\r\n"
                                    "Accept: */*\r\n"
                                    "Accept-Encoding: gzip, br\r\n"
                                    "X-Request-Id: 01HF3Z7Q8N5V\r\n"
                                    "Connection: keep-alive\r\n\r\n";
static const char browser_request[] =
    "GET /products/list?category=shoes&page=3 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/118.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Referer: https://www.example.com/products\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\n"
                               "Server: nginx/1.22.1\r\n"
                               "Date: Tue, 21 Nov 2023 00:35:37 GMT\r\n"
                               "Content-Type: application/json\r\n"
                               "Content-Length: 1024\r\n"
                               "Connection: keep-alive\r\n\r\n";

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run(const char *name, const char *text, size_t len, int is_response) {
    static const struct http1_limits limits = {16384, 8192, 100, 8192};
    struct http_field fields[100];
    const int rounds = 1000000;
    double best = 1e9;
    for (int repeat = 0; repeat < 5; repeat++) {
        double start = now_ns();
        for (int i = 0; i < rounds; i++) {
            struct http1_head head = {.fields = fields};
            size_t used;
            if (is_response)
                http1_parse_response(text, len, 0, HTTP_GET, &limits, &head, &used);
            else
                http1_parse_request(text, len, 0, &limits, &head, &used);
            if (used != len)
                abort();
        }
        double each = (now_ns() - start) / rounds;
        best = each < best ? each : best;
    }
    printf("%-16s %4zu bytes  %6.1f ns  %5.2f GB/s\n", name, len, best, (double)len / best);
}

int main(void) {
    run("short request", short_request, sizeof short_request - 1, 0);
    run("browser request", browser_request, sizeof browser_request - 1, 0);
    run("response", response, sizeof response - 1, 1);
    return 0;
}
