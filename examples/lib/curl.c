/* curl.c - libcurl, protected: retries, a deadline, a breaker.
 *
 *     example_curl http://127.0.0.1:8080
 *
 * Each line of standard input is a path to get. What this adds to curl: an attempt
 * that cannot succeed is not made, one that failed is made again if that helps,
 * and all of it ends by the deadline. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include <switchgear/switchgear.h>

struct request {
    CURL *curl;
    char url[1024];
};

static size_t discard(char *data, size_t size, size_t count, void *arg) {
    (void)data, (void)arg;
    return size * count;
}

/* What curl says, as an answer that the policy understands. */
static struct swg_answer answer_of(CURL *curl, CURLcode code) {
    struct swg_answer a = {.kind = SWG_ANSWERED};
    curl_off_t retry_after_s = 0;
    long status = 0;
    switch (code) {
    case CURLE_OK:
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_after_s); /* both forms */
        a.status = (int)status;
        a.retry_after_ns = SWG_SECONDS((uint64_t)retry_after_s);
        break;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        a.kind = SWG_CONNECT_FAILED;
        break;
    case CURLE_OPERATION_TIMEDOUT:
        a.kind = SWG_TIMED_OUT;
        break;
    default:
        a.kind = SWG_RESET;
    }
    return a;
}

static struct swg_answer get(void *arg, uint64_t deadline_ns) {
    struct request *r = arg;
    uint64_t now_ns = swg_now();
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / 1000000 + 1 : 1;
    curl_easy_setopt(r->curl, CURLOPT_URL, r->url);
    curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, left_ms < 3600000 ? (long)left_ms : 3600000L);
    return answer_of(r->curl, curl_easy_perform(r->curl));
}

static void get_one(struct swg_policy *policy, struct request *r) {
    struct swg_story story;
    enum swg_error e = swg_run(policy, get, r, &(struct swg_run_options){.story = &story});
    printf("%s status=%d attempts=%u reason=%s\n", swg_error_name(e), story.last.status,
           story.attempts, story.reason ? swg_refusal_word(story.reason) : "none");
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const struct swg_policy_options options = {
        .timeout = {.attempt_ns = SWG_SECONDS(1), .total_ns = SWG_SECONDS(3)},
        .retry = {.max = 2, .base_ns = SWG_MS(10), .cap_ns = SWG_MS(50)},
        .breaker = {.consecutive = 3, .open_ns = SWG_MS(50), .open_max_ns = SWG_MS(50)},
    };
    struct request r = {.curl = curl_easy_init()};
    struct swg_policy *policy;
    char path[512];
    if (argc != 2 || !r.curl || swg_policy_create(&policy, &options, swg_now(), swg_now()))
        return 2;
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = 0;
        snprintf(r.url, sizeof r.url, "%.500s%s", argv[1], path);
        get_one(policy, &r);
    }
    swg_policy_release(policy);
    curl_easy_cleanup(r.curl);
    return 0;
}
