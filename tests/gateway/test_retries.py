"""When an attempt is made again, when it is not, and what is said about it."""
import email.utils
import os
import threading
import time

import pytest

from kit.admin import ADMIN, Admin
from kit.http import Closed, answer, chunks
from kit.upstream import dead_port

FAILING = {500: "500 Internal Server Error", 502: "502 Bad Gateway",
           503: "503 Service Unavailable", 504: "504 Gateway Timeout"}
SLOWLY = {"base": "1h", "cap": "1h", "jitter": "none"}  # whoever waits is seen to wait


def failing(*replies):
    """A respond() that plays these, one a request, and then is well. A callable plays
    with the link; what it returns is sent."""
    left = list(replies)
    lock = threading.Lock()

    def respond(request, link):
        with lock:
            reply = left.pop(0) if left else None
        if reply is None:
            return answer(request.target.encode())
        return reply(link) if callable(reply) else answer(b"failed", reply)

    return respond


def hang(link):
    """Says nothing until the gateway has had enough."""
    try:
        link.fill()
    except Closed:
        pass


def metric(gw, name, **labels):
    """The value, 0 where it is not there."""
    with Admin(gw) as admin:
        text = admin.get("/metrics").text
    for line in text.splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.split()[-1])
    return 0


def skipped(gw, reason):
    return metric(gw, "gateway_proxy_retries_skipped_total", service="web", reason=reason)


# ---- what is retried ---------------------------------------------------------------


@pytest.mark.short_io
@pytest.mark.parametrize("status", FAILING)
def test_get_is_retried_on_status(gateway, server, status):
    up = server(failing(FAILING[status], FAILING[status]))
    gw = gateway([up])
    reply = gw.get("/x")
    assert (reply.status, reply.body) == (200, b"/x")
    assert reply.story[0] == "upstream" and reply.story[1]["attempts"] == "3"
    assert "no_retry" not in reply.story[1] and up.count == 3


@pytest.mark.parametrize("bytes_", [
    b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n",
    b"no http at all\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"])
@pytest.mark.parametrize("ending", ["close", "reset"])
def test_get_is_retried_where_no_valid_head_came(gateway, upstream, bytes_, ending):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/x")
        link = up.accept()
        link.request()
        if bytes_:
            link.send(bytes_)
        getattr(link, ending)()
        up.serve(b"fine")
        reply = client.answer()
        assert (reply.status, reply.body) == (200, b"fine")
        assert reply.story[1]["attempts"] == "2"


def test_get_is_retried_where_nobody_listens(gateway):
    kept, port = dead_port()
    gw = gateway([f"http://127.0.0.1:{port}"])
    reply = gw.get("/")
    assert reply.status == 502 and reply.json()["reason"] == "connect"
    assert reply.story[1]["attempts"] == "4" and reply.story[1]["no_retry"] == "max_retries"
    kept.close()


def test_get_is_retried_on_attempt_timeout(gateway, server):
    up = server(failing(hang))
    gw = gateway([up], timeout={"attempt": "200ms"})
    reply = gw.get("/x")
    assert (reply.status, reply.body) == (200, b"/x")
    assert reply.story[1]["attempts"] == "2" and "reason" not in reply.story[1]


@pytest.mark.parametrize("status", ["501 Not Implemented", "505 HTTP Version Not Supported",
                                    "404 Not Found", "400 Bad Request", "409 Conflict",
                                    "429 Too Many Requests", "302 Found"])
def test_other_statuses_are_passed_on_at_once(gateway, server, status):
    up = server(failing(status))
    gw = gateway([up])
    reply = gw.get("/")
    assert (reply.status, reply.body) == (int(status[:3]), b"failed")
    assert reply.story[1]["attempts"] == "1" and up.count == 1


@pytest.mark.parametrize("on, retried", [
    ([503], [503]), (["reset"], ["reset"]), (["timeout"], ["timeout"]), ([404], [404]),
    (["connect"], []),
])
def test_retry_on_names_what_is_retried(gateway, server, on, retried):
    def reset(link):
        link.reset()

    ends = {500: FAILING[500], 503: FAILING[503], 404: "404 Not Found", "reset": reset,
            "timeout": hang}
    for end, reply in ends.items():
        up = server(failing(reply))
        gw = gateway([up], retry={"on": on}, timeout={"attempt": "150ms"})
        reply = gw.get("/")
        assert (reply.status == 200) == (end in retried), (end, reply)
        assert up.count == (2 if end in retried else 1), end


def test_last_answer_of_the_service_is_passed_on(gateway, server):
    """Better than a word of our own."""
    count = iter(range(100))
    up = server(lambda r, l: answer(b"%d" % next(count), FAILING[503], "X-Own: yes"))
    gw = gateway([up], admin=ADMIN)
    reply = gw.get("/")
    assert (reply.status, reply.body, reply.headers["X-Own"]) == (503, b"3", "yes")
    story = reply.story[1]
    assert (story["attempts"], story["no_retry"]) == ("4", "max_retries")
    assert metric(gw, "gateway_proxy_retries_total", service="web") == 3
    assert skipped(gw, "max_retries") == 1


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_story_and_log_tell_the_number_of_attempts(gateway, server, count):
    up = server(failing(*[FAILING[503]] * (count - 1)))
    gw = gateway([up], log={"requests": "all"}, admin=ADMIN)
    assert gw.get("/").story[1]["attempts"] == str(count)
    assert gw.wait_message("request")["attempts"] == count
    assert metric(gw, "gateway_proxy_retries_total", service="web") == count - 1


# ---- methods -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_idempotent_method_is_retried(gateway, server, method):
    up = server(failing(FAILING[503]))
    gw = gateway([up])
    assert gw.get("/", method=method).status == 200
    assert [r.method for r in up.requests] == [method] * 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
@pytest.mark.parametrize("how", ["status", "reset", "timeout"])
def test_other_method_is_never_sent_twice(gateway, server, method, how):
    def reset(link):
        link.reset()

    up = server(failing({"status": FAILING[503], "reset": reset, "timeout": hang}[how]))
    gw = gateway([up], timeout={"attempt": "200ms"}, admin=ADMIN)
    with gw.connect() as client:
        client.ask(method, "/", body=b"once")
        reply = client.answer()
    assert reply.status == {"status": 503, "reset": 502, "timeout": 504}[how]
    assert reply.story[1]["attempts"] == "1" and reply.story[1]["no_retry"] == "not_idempotent"
    assert up.count == 1 and skipped(gw, "not_idempotent") == 1


@pytest.mark.parametrize("how", ["status", "reset", "timeout"])
def test_post_with_idempotency_key_is_retried(gateway, server, how):
    def reset(link):
        link.reset()

    up = server(failing({"status": FAILING[503], "reset": reset, "timeout": hang}[how]))
    gw = gateway([up], timeout={"attempt": "200ms"})
    reply = gw.post("/", b"pay", "Idempotency-Key: 7")
    assert reply.status == 200 and reply.story[1]["attempts"] == "2"
    assert [(r.method, r.body, r.headers["Idempotency-Key"]) for r in up.requests] == \
        [("POST", b"pay", "7")] * 2


def test_methods_any_retries_a_post(gateway, server):
    up = server(failing(FAILING[503]))
    gw = gateway([up], retry={"methods": "any"})
    assert gw.post("/", b"twice").status == 200
    assert [r.body for r in up.requests] == [b"twice"] * 2


def test_post_that_never_left_goes_to_the_other_endpoint(gateway, server):
    """Nobody has seen it, so it is not sent twice."""
    kept, port = dead_port()
    up = server()
    gw = gateway([f"http://127.0.0.1:{port}", up], balance="round_robin")
    assert [gw.post("/", b"x").status for _ in range(6)] == [200] * 6
    assert up.count == 6
    kept.close()


# ---- bodies ------------------------------------------------------------------------


@pytest.mark.short_io
@pytest.mark.parametrize("size", [0, 1, 50000, 65536])
@pytest.mark.parametrize("chunked", [False, True])
def test_body_is_replayed_byte_for_byte(gateway, server, size, chunked):
    body = os.urandom(size)
    up = server(failing(FAILING[503], FAILING[500]))
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("PUT", "/", body=body, chunked=chunked)
        assert client.answer().status == 200
    assert [r.body == body for r in up.requests] == [True] * 3
    framing = "Transfer-Encoding" if chunked else "Content-Length"
    assert all(framing in r.headers for r in up.requests)


def test_trailers_are_replayed(gateway, server):
    up = server(failing(FAILING[503]))
    gw = gateway([up])
    with gw.connect() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                    b"TE: trailers\r\nConnection: TE\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
        assert client.answer().status == 200
    assert [(r.body, r.trailers["X-Sum"]) for r in up.requests] == [(b"abc", "42")] * 2


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("keep, size", [("1KiB", 1025), ("64KiB", 300000), ("0", 1)])
def test_body_above_the_limit_passes_but_is_not_retried(gateway, server, chunked, keep, size):
    """And that it was not is counted, and told."""
    body = os.urandom(size)
    up = server(failing(FAILING[503]))
    gw = gateway([up], retry={"body": keep}, admin=ADMIN)
    with gw.connect() as client:
        client.ask("PUT", "/", body=body, chunked=chunked)
        reply = client.answer()
    assert reply.status == 503
    assert reply.story[1]["no_retry"] == "body_too_large" and reply.story[1]["attempts"] == "1"
    assert [r.body == body for r in up.requests] == [True]
    assert skipped(gw, "body_too_large") == 1
    with gw.connect() as client:
        client.ask("PUT", "/", body=body, chunked=chunked)
        reply = client.answer()
        assert reply.status == 200 and "no_retry" not in reply.story[1]


def test_failure_before_the_body_was_whole_is_retried(gateway, upstream):
    """However long the body will be: what has come is kept still."""
    up = upstream()
    gw = gateway([up], retry={"body": "1KiB"})
    with gw.connect() as client:
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
        link = up.accept()
        link.head()
        assert link.exactly(3) == b"abc"
        link.reply(b"", FAILING[503])
        second = up.accept()
        second.head()
        assert second.exactly(3) == b"abc"
        client.send(b"d" * 99997)
        assert second.exactly(99997) == b"d" * 99997
        second.reply(b"fine")
        assert client.answer().status == 200


def test_upload_that_breaks_off_is_not_replayed(gateway, upstream):
    up = upstream()
    gw = gateway([up], log={"requests": "all"})
    with gw.connect() as client:
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        link = up.accept()
        link.head()
        link.exactly(3)
        client.close()
        assert link.whole_ending()[0] == b""
    assert gw.wait_message("request")["attempts"] == 1
    assert not up.has_caller(0.05)


def test_expectation_is_asked_again_of_the_next_attempt(gateway, upstream):
    """The client has got no 100 yet, so the second upstream is asked as the first was."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\n")
        link = up.accept()
        assert link.head().headers["Expect"] == "100-continue"
        link.reply(b"", FAILING[503])
        second = up.accept()
        assert second.head().headers["Expect"] == "100-continue"
        second.send("HTTP/1.1 100 Continue\r\n\r\n")
        assert client.head().status == 100
        client.send("abc")
        assert second.exactly(3) == b"abc"
        second.reply(b"fine")
        assert client.answer().status == 200


# ---- Retry-After ---------------------------------------------------------------------


def http_date(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def timed(first):
    """respond() that fails once with this Retry-After; and the times of the requests."""
    times = []

    def respond(request, link):
        times.append((time.monotonic(), time.time()))
        if len(times) == 1:
            return answer(b"later", FAILING[503], f"Retry-After: {first()}")
        return answer(b"fine")

    return respond, times


def test_retry_after_in_seconds_is_a_floor(gateway, server):
    respond, times = timed(lambda: "1")
    gw = gateway([server(respond)])
    assert gw.get("/").body == b"fine"
    assert times[1][0] - times[0][0] > 0.95


def test_retry_after_as_a_date_is_a_floor(gateway, server):
    told = []

    def date():
        told.append(int(time.time()) + 2)
        return email.utils.formatdate(told[0], usegmt=True)

    respond, times = timed(date)
    gw = gateway([server(respond)])
    assert gw.get("/").body == b"fine"
    # our clock for dates counts whole seconds, and may be one behind the tick
    assert times[1][1] > told[0] - 1.1 and times[1][0] - times[0][0] > 0.5


@pytest.mark.parametrize("value", ["0", "soon", "-5", "", "1.5",
                                   "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_retry_after_that_is_past_or_no_time_is_no_floor(gateway, server, value):
    respond, _ = timed(lambda: value)
    gw = gateway([server(respond)])
    assert gw.get("/").body == b"fine"


@pytest.mark.parametrize("value", [
    lambda: "31", lambda: "86400", lambda: "99999999999999999999", lambda: http_date(3600)],
    ids=["a second more", "a day", "no number of ours", "date"])
def test_retry_after_beyond_the_limit_ends_the_retries(gateway, server, value):
    """Nobody is made to wait that long: the answer goes on at once, with its field."""
    up = server(lambda r, l: answer(b"later", FAILING[503], f"Retry-After: {value()}"))
    gw = gateway([up], admin=ADMIN)
    reply = gw.get("/")
    assert (reply.status, reply.body) == (503, b"later") and "Retry-After" in reply.headers
    assert reply.story[1]["no_retry"] == "retry_after" and up.count == 1
    assert skipped(gw, "retry_after") == 1


def test_retry_after_max_is_configurable(gateway, server):
    up = server(lambda r, l: answer(b"later", FAILING[503], "Retry-After: 2"))
    gw = gateway([up], retry={"retry_after_max": "1s"})
    assert gw.get("/").story[1]["no_retry"] == "retry_after" and up.count == 1


def test_overload_is_retried_when_its_time_is_named(gateway, server):
    def busy(link):
        return answer(b"busy", "429 Too Many Requests", "Retry-After: 1")

    up = server(failing(busy))
    gw = gateway([up])
    assert gw.get("/").status == 200 and up.count == 2


# ---- bounds ----------------------------------------------------------------------------


def test_budget_stops_the_retries(gateway, server):
    """A floor of one a second over ten seconds pays ten retries; no more."""
    up = server(lambda r, l: answer(b"down", FAILING[503]))
    gw = gateway([up], retry={"max": 1, "budget": {"ratio": "0%", "floor": "1/s"}}, admin=ADMIN)
    stories = [gw.get("/").story[1] for _ in range(14)]
    assert [s["attempts"] for s in stories[:10]] == ["2"] * 10
    # a slow machine may earn another meanwhile, when the first of them leave the window
    last = [(s["attempts"], s["no_retry"]) for s in stories[10:]]
    assert ("1", "budget") in last
    assert skipped(gw, "budget") == last.count(("1", "budget"))
    assert up.count == 14 + 10 + last.count(("2", "max_retries"))


def test_budget_off_is_no_bound(gateway, server):
    up = server(lambda r, l: answer(b"down", FAILING[503]))
    gw = gateway([up], retry={"max": 10, "budget": "off"})
    for _ in range(15):
        assert gw.get("/").story[1]["attempts"] == "11"


def test_no_retry_that_could_not_end_in_time(gateway, server):
    """The wait would outlast the total: nobody is made to wait for nothing."""
    up = server(failing(FAILING[503]))
    gw = gateway([up], retry=SLOWLY, timeout={"total": "30m"})
    reply = gw.get("/")
    assert reply.status == 503 and reply.story[1]["no_retry"] == "deadline"


@pytest.mark.parametrize("keys, reason", [
    ({"retry": {"max": 0}}, "max_retries"), ({"enabled": {"retry": False}}, "switched_off")])
def test_retries_can_be_switched_off(gateway, server, keys, reason):
    up = server(failing(FAILING[503]))
    gw = gateway([up], **keys)
    reply = gw.get("/")
    assert reply.status == 503 and reply.story[1]["no_retry"] == reason and up.count == 1


def test_open_breaker_ends_the_retries(gateway, server):
    """Waiting for a refusal would help nobody."""
    up = server(lambda r, l: answer(b"down", FAILING[503]))
    gw = gateway([up], breaker={"consecutive": 2, "open": "60s", "jitter": "0%"})
    reply = gw.get("/")
    assert (reply.status, reply.body) == (503, b"down")
    assert reply.story[1]["attempts"] == "2" and reply.story[1]["no_retry"] == "open"
    assert up.count == 2


# ---- the answer, once begun ----------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_never_after_the_first_byte(gateway, upstream, status):
    up = upstream()
    gw = gateway([up], admin=ADMIN)
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send(f"HTTP/1.1 {status}\r\nContent-Length: 10\r\n\r\nabc")
        assert client.head().status == int(status[:3])
        link.reset()
        with pytest.raises(Closed):
            client.exactly(10)
    assert not up.has_caller(0.05)
    assert metric(gw, "gateway_proxy_retries_total", service="web") == 0


def test_failing_answer_that_breaks_off_is_retried(gateway, upstream):
    """Nothing of it has gone to the client."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1000\r\n\r\nabc")
        link.reset()
        up.serve(b"fine")
        assert client.answer().body == b"fine"


def test_early_hints_do_not_commit(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        assert client.head().status == 103
        link.reset()
        up.serve(b"fine")
        assert client.answer().body == b"fine"


# ---- where to ----------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["least_request", "round_robin", "random"])
def test_retry_goes_to_the_other_endpoint(gateway, server, balance):
    sick = server(lambda r, l: answer(b"sick", FAILING[503]))
    well = server()
    gw = gateway([sick, well], balance=balance, retry={"max": 1, "budget": "off"})
    for i in range(20):
        reply = gw.get(f"/{i}")
        assert (reply.status, reply.body) == (200, b"/%d" % i)
    assert well.count == 20


def test_retries_go_round_all_endpoints(gateway, server):
    ups = [server(lambda r, l: answer(b"sick", FAILING[503])) for _ in range(4)]
    gw = gateway(ups)
    assert gw.get("/").story[1]["attempts"] == "4"
    assert [up.count for up in ups] == [1] * 4


def test_other_endpoint_needs_no_wait_where_one_hung_up(gateway, upstream, server):
    up, well = upstream(), server()
    gw = gateway([up, well], balance="round_robin", retry=SLOWLY)
    with gw.connect() as first, gw.connect() as second:  # one of them goes to each
        first.ask("GET", "/x")
        second.ask("GET", "/x")
        link = up.accept()
        link.request()
        link.reset()
        assert [c.answer().body for c in (first, second)] == [b"/x"] * 2


# ---- the race on a kept connection ---------------------------------------------------------


def parked(gw, up, count):
    """So many connections, kept by the gateway."""
    clients = [gw.connect() for _ in range(count)]
    links = []
    for client in clients:
        client.ask("GET", "/")
        links.append(up.accept())
        links[-1].request()
    for client, link in zip(clients, links):
        link.reply(b"")
        client.answer()
    return clients, links


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_reuse_race_is_no_retry_and_no_failure(gateway, upstream, ending):
    """The service closed what was idle: nobody's fault, nobody's budget."""
    up = upstream()
    gw = gateway([up], retry={"max": 0}, breaker={"consecutive": 1}, admin=ADMIN)
    (client,), (link,) = parked(gw, up, 1)
    with client:
        client.ask("GET", "/2")
        link.request()
        getattr(link, ending)()
        _, request = up.serve(b"2")
        reply = client.answer()
        assert (request.target, reply.body) == ("/2", b"2")
        assert reply.story[1]["attempts"] == "2" and "no_retry" not in reply.story[1]
    assert metric(gw, "gateway_proxy_retries_total", service="web") == 0
    assert metric(gw, "circuit_breaker_failures_total", service="web") == 0


def test_reuse_race_is_silent_only_once(gateway, upstream):
    """The second time it is an attempt that failed, and the policy decides."""
    up = upstream()
    gw = gateway([up], retry={"max": 0})
    clients, links = parked(gw, up, 2)
    clients[0].ask("GET", "/2")
    for link in reversed(links):  # the youngest is used first
        link.request()
        link.close()
    reply = clients[0].answer()
    assert reply.status == 502 and reply.story[1]["attempts"] == "2"
    assert reply.story[1]["no_retry"] == "max_retries"
    assert not up.has_caller(0.05)
    for client in clients:
        client.close()


def test_reuse_race_replays_the_body(gateway, upstream):
    up = upstream()
    gw = gateway([up], retry={"max": 0})
    (client,), (link,) = parked(gw, up, 1)
    with client:
        client.ask("PUT", "/2", body=b"abc" * 1000)
        link.request()
        link.close()
        _, request = up.serve(b"2")
        assert request.body == b"abc" * 1000 and client.answer().status == 200


# ---- clients that go away ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
def test_no_retry_for_a_client_that_went_away(gateway, upstream, how):
    up = upstream()
    gw = gateway([up], retry=SLOWLY, timeout={"total": "off"}, log={"requests": "all"}, admin=ADMIN)
    client = gw.connect()
    client.ask("GET", "/")
    link, _ = up.serve(b"no", FAILING[503])
    assert client.is_silent(0.05)
    getattr(client, how)()
    line = gw.wait_message("request")
    assert line["attempts"] == 1 and line["no_retry"] == "cancelled" and line["status"] == 499
    assert skipped(gw, "cancelled") == 1 and not up.has_caller(0.05)


def test_client_that_goes_away_during_the_second_attempt(gateway, upstream):
    up = upstream()
    gw = gateway([up], log={"requests": "all"})
    client = gw.connect()
    client.ask("GET", "/")
    up.serve(b"no", FAILING[503])
    # the first connection was kept, or a new one is made
    link = up.links[0] if not up.has_caller(0.1) else up.links[1]
    link.request()
    client.close()
    assert link.ending() in ("ended", "reset")
    assert gw.wait_message("request")["attempts"] == 2


@pytest.mark.threads
def test_many_clients_retry_at_once(gateway, server):
    """Each gets its own answer, however the attempts fail."""
    count, lock = [0], threading.Lock()

    def respond(request, link):
        with lock:
            count[0] += 1
            turn = count[0] % 4
        if turn == 0:
            return answer(b"down", FAILING[503])
        if turn == 1:
            link.reset()
            return None
        return answer(request.target.encode() + request.body)

    gw = gateway([server(respond), server(respond)], workers=2,
                 retry={"max": 50, "budget": "off"})
    wrong = []

    def ask(n):
        with gw.connect() as client:
            for i in range(15):
                body = b"%d.%d" % (n, i)
                client.ask("PUT", f"/{n}/{i}", body=body, chunked=i % 2 == 1)
                reply = client.answer()
                if (reply.status, reply.body) != (200, b"/%d/%d%s" % (n, i, body)):
                    wrong.append(reply)
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong


def test_chunks_are_cut_anew_but_whole(gateway, upstream):
    """A replay need not keep the cuts, only the bytes."""
    up = upstream()
    gw = gateway([up])
    body = os.urandom(3000)
    with gw.connect() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                    chunks(body, 7))
        link = up.accept()
        assert link.request().body == body
        link.reset()
        _, request = up.serve(b"fine")
        assert request.body == body and client.answer().status == 200
