"""The fallback chain: what answers when the service does not."""
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.upstream import dead_port
from kit.waiting import DEADLINE, eventually

FAIL = answer(b"no", "500 Internal Server Error")
ONCE = {"max": 0}
STATIC = {"static": {"status": 200, "json": {"items": [], "degraded": True}}}


@pytest.fixture
def dead():
    """The address of a service that is not there."""
    kept, port = dead_port()
    yield f"http://127.0.0.1:{port}"
    kept.close()


# ---- static -----------------------------------------------------------------------


def test_a_static_answer(gateway, dead):
    gw = gateway([dead], retry=ONCE, fallback=[
        {"static": {"status": 203, "text": "Come back later.", "headers": {"X-Kind": "canned"}}}])
    reply = gw.get("/any")
    assert reply.status == 203 and reply.body == b"Come back later."
    assert reply.headers["X-Kind"] == "canned"
    source, story = reply.story
    assert source == "static" and story["attempts"] == "1"


def test_a_static_answer_in_json(gateway, dead):
    reply = gateway([dead], retry=ONCE, fallback=[STATIC]).get()
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    assert reply.body == b'{"items":[],"degraded":true}'


def test_head_gets_its_length_and_no_body(gateway, dead):
    gw = gateway([dead], retry=ONCE, fallback=[{"static": {"status": 200, "text": "12345"}}])
    with gw.connect() as client:
        for _ in range(2):
            reply = client.get(method="HEAD")
            assert reply.status == 200 and reply.headers["Content-Length"] == "5"


# ---- when it is used ----------------------------------------------------------------


def test_an_open_breaker_falls_back_at_once(gateway, server):
    up = server(lambda request, link: FAIL)
    gw = gateway([up], retry=ONCE, breaker={"consecutive": 1, "open": "1h"}, fallback=[STATIC])
    gw.get()
    reply = gw.get()
    source, story = reply.story
    assert reply.status == 200 and source == "static"
    assert story["reason"] == "open" and story["attempts"] == "0" and up.count == 1


@pytest.mark.parametrize("status", ["500 Error", "502 Bad Gateway", "503 No", "504 Late"])
def test_a_failure_falls_back(gateway, server, status):
    gw = gateway([server(lambda r, l: answer(b"no", status))], retry=ONCE, fallback=[STATIC])
    assert gw.get().story[0] == "static"


@pytest.mark.parametrize("status", ["200 OK", "204 None", "301 Moved", "400 Bad", "404 Not Found",
                                    "501 Not Implemented"])
def test_an_answer_stays_an_answer(gateway, server, status):
    gw = gateway([server(lambda r, l: answer(b"", status))], retry=ONCE, fallback=[STATIC])
    reply = gw.get()
    assert reply.status == int(status[:3]) and reply.story[0] == "upstream"


def test_a_timeout_falls_back(gateway, upstream):
    up = upstream()
    gw = gateway([up], retry=ONCE, timeout={"attempt": "50ms"}, fallback=[STATIC])
    with gw.connect() as client:
        client.ask()
        up.accept().request()
        assert client.answer().story[0] == "static"


def test_a_full_bulkhead_falls_back(gateway, upstream):
    up = upstream()
    gw = gateway([up], bulkhead={"concurrent": 1}, fallback=[STATIC])
    with gw.connect() as first:
        first.ask()
        link = up.accept()
        link.request()
        source, story = gw.get().story
        assert source == "static" and story["reason"] == "bulkhead_full"
        link.reply(b"x")
        assert first.answer().body == b"x"


def test_it_can_be_switched_off(gateway, dead):
    gw = gateway([dead], retry=ONCE, fallback=[STATIC], enabled={"fallback": False})
    assert gw.get().status in (502, 503)


def test_retries_come_first(gateway, server):
    answers = [FAIL, FAIL, answer(b"third")]
    up = server(lambda r, l: answers[up.count - 1])
    gw = gateway([up], retry={"max": 2, "on": [500]}, fallback=[STATIC])
    assert gw.get().body == b"third"


def test_what_has_begun_to_arrive_is_not_replaced(gateway, server):
    up = server(lambda r, l: link_cut(l))
    gw = gateway([up], retry={"max": 3}, fallback=[STATIC])
    data, _ = gw.raw_request("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert data.count(b"HTTP/1.1") == 1 and b"degraded" not in data


def link_cut(link):
    link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")


# ---- another service -------------------------------------------------------------------


def other(up, **keys):
    return {"other": {"endpoints": [up.url], "retry": {"max": 0}, **keys}}


def test_another_service_answers(gateway, server, dead):
    up = server()
    gw = gateway([dead], retry=ONCE, fallback=[{"service": "other"}], services=other(up))
    reply = gw.get("/v1/x?y=1")
    assert reply.status == 200 and reply.body == b"/v1/x?y=1"
    assert reply.story[0] == "service"


def test_another_service_under_another_path(gateway, server, dead):
    up = server()
    gw = gateway([dead], retry=ONCE, fallback=[{"service": {"name": "other", "path": "/small"}}],
                 services=other(up))
    assert gw.get("/large?x=1").body.startswith(b"/small")


def test_the_body_goes_to_the_other_service_too(gateway, server):
    up = server(lambda request, link: answer(request.body))
    gw = gateway([server(lambda r, l: FAIL)], retry=ONCE, fallback=[{"service": "other"}],
                 services=other(up))
    with gw.connect() as client:
        client.ask("PUT", "/", body=b"the whole body", chunked=True)
        assert client.answer().body == b"the whole body"


@pytest.mark.parametrize("keys,lines,who", [
    ({}, [], "static"),  # a payment, say: the first service may have taken it
    ({}, ["Idempotency-Key: 7"], "service"),
    ({"methods": "any"}, [], "service"),  # a language model: asking twice does no harm
])
def test_what_may_not_be_done_twice(gateway, server, keys, lines, who):
    up = server(lambda r, l: answer(b"2"))
    gw = gateway([server(lambda r, l: FAIL)], retry={"max": 0, **keys},
                 fallback=[{"service": "other"}, STATIC], services=other(up))
    with gw.connect() as client:
        assert client.post("/", b"amount=5", *lines).story[0] == who
    assert up.count == (who == "service")


def test_what_was_never_sent_may_be_done_by_the_other(gateway, server, dead):
    up = server(lambda r, l: answer(b"2"))
    gw = gateway([dead], retry=ONCE, fallback=[{"service": "other"}, STATIC], services=other(up))
    with gw.connect() as client:
        assert client.post("/", b"amount=5").body == b"2"


def test_the_chain_goes_on_when_the_other_service_fails(gateway, server, dead):
    up = server(lambda r, l: FAIL)
    gw = gateway([dead], retry=ONCE, fallback=[{"service": "other"}, STATIC], services=other(up))
    assert gw.get().story[0] == "static" and up.count == 1


def test_the_other_service_has_a_breaker_of_its_own(gateway, server, dead):
    up = server(lambda r, l: FAIL)
    gw = gateway([dead], retry=ONCE, fallback=[{"service": "other"}, STATIC],
                 services=other(up, breaker={"consecutive": 2, "open": "1h"}))
    for _ in range(5):
        assert gw.get().story[0] == "static"
    assert up.count == 2


def test_a_fallback_of_the_fallback(gateway, server, dead):
    last = server(lambda r, l: answer(b"last"))
    gw = gateway([dead], retry=ONCE, fallback=[{"service": "second"}],
                 services={"second": {"endpoints": [dead], "retry": {"max": 0},
                                      "fallback": [{"service": "third"}]},
                           "third": {"endpoints": [last.url]}})
    assert gw.get().body == b"last"


def test_the_failed_answer_is_passed_on_when_nothing_helps(gateway, server, dead):
    """Better the service's own words than ours."""
    up = server(lambda r, l: answer(b"its own words", "500 Internal Server Error"))
    gw = gateway([up], retry=ONCE, fallback=[{"service": "other"}],
                 services={"other": {"endpoints": [dead], "retry": {"max": 0}}})
    reply = gw.get()
    assert reply.status == 500 and reply.body == b"its own words"


def test_a_hanging_fallback_gives_way_in_time(gateway, upstream, dead):
    up = upstream()
    gw = gateway([dead], retry=ONCE, timeout={"total": "200ms", "attempt": "100ms"},
                 fallback=[{"service": "other"}, STATIC],
                 services={"other": {"endpoints": [up.url], "retry": {"max": 0}}})
    with gw.connect() as client:
        client.ask()
        up.accept().request()
        assert client.answer().story[0] == "static"


def test_a_failing_answer_is_kept_while_a_fallback_hangs(gateway, server, upstream):
    """The tier is given up when its time is over, not what the service said."""
    up = server(lambda r, l: answer(b"its own words", "500 Internal Server Error"))
    hanging = upstream()
    gw = gateway([up], retry=ONCE, fallback=[{"service": "other", "time": "100ms", "share": "1%"}],
                 services={"other": {"endpoints": [hanging.url], "retry": {"max": 0}}})
    with gw.connect() as client:
        for _ in range(2):
            client.ask()
            hanging.accept().request()
            reply = client.answer()
            assert reply.status == 500 and reply.body == b"its own words"


def test_a_share_leaves_time_for_the_next_tier(gateway, upstream, server, dead):
    slow, good = upstream(), server()
    gw = gateway([dead], retry=ONCE, timeout={"total": "10s"},
                 fallback=[{"service": "slow", "share": "1%"}, {"service": "other"}],
                 services={"slow": {"endpoints": [slow.url], "retry": {"max": 0}}, **other(good)})
    with gw.connect() as client:
        client.ask("GET", "/x")
        slow.accept().request()  # and says nothing
        assert client.answer().body == b"/x"


def test_time_of_its_own_when_none_is_left(gateway, upstream, server):
    up, good = upstream(), server()
    for keys, source in (({}, "error"), ({"time": "30s"}, "service")):
        gw = gateway([up], retry={"max": 0, "methods": "any"}, timeout={"total": "50ms"},
                     fallback=[{"service": "other", **keys}], services=other(good))
        with gw.connect() as client:
            client.ask()
            up.accept().request()
            assert client.answer().story[0] == source


# ---- stale ---------------------------------------------------------------------------------

CACHED = answer(b"the good answer", "200 OK", "Cache-Control: max-age=0, stale-if-error=3600")


def test_a_stale_answer_serves_while_the_service_fails(gateway, server):
    up = server(lambda r, l: up.answer)
    up.answer = CACHED
    gw = gateway([up], retry=ONCE, cache={"stale": "1h"}, fallback=[{"stale": {}}, STATIC])
    assert gw.get("/a").body == b"the good answer"
    up.answer = FAIL
    reply = gw.get("/a")
    assert reply.status == 200 and reply.body == b"the good answer"
    assert reply.story[0] == "stale" and int(reply.headers["Age"]) >= 0
    assert "switchgear" in reply.headers["Cache-Status"]
    assert gw.get("/b").story[0] == "static"  # of which there is nothing stale


def test_stale_is_not_for_writes(gateway, server):
    up = server(lambda r, l: up.answer)
    up.answer = CACHED
    gw = gateway([up], retry=ONCE, cache={"stale": "1h"}, fallback=[{"stale": {}}, STATIC])
    gw.get("/a")
    up.answer = FAIL
    assert gw.post("/a", b"x").story[0] == "static"


def test_the_order_is_that_of_the_list(gateway, server):
    up = server(lambda r, l: up.answer)
    up.answer = CACHED
    gw = gateway([up], retry=ONCE, cache={"stale": "1h"}, fallback=[STATIC, {"stale": {}}])
    gw.get("/a")
    up.answer = FAIL
    assert gw.get("/a").story[0] == "static"


# ---- counted --------------------------------------------------------------------------------


def test_tiers_are_counted(gateway, server, dead):
    up = server(lambda r, l: FAIL)
    gw = gateway([dead], admin=ADMIN, retry=ONCE, fallback=[{"service": "other"}, STATIC],
                 services=other(up))
    for _ in range(3):
        gw.get()
    with Admin(gw) as admin:
        text = admin.get("/metrics").text
        for wanted in ('fallback_tried_total{service="web",tier="1-service"} 3',
                       'fallback_answered_total{service="web",tier="1-service"} 0',
                       'fallback_tried_total{service="web",tier="2-static"} 3',
                       'fallback_answered_total{service="web",tier="2-static"} 3'):
            assert wanted in text, text


# ---- limits of a service --------------------------------------------------------------------


def test_a_rate_limit_refuses_with_429(gateway, server):
    up = server()
    gw = gateway([up], rate_limit={"rate": "1/h", "burst": 2})
    assert [gw.get().status for _ in range(3)] == [200, 200, 429]
    reply = gw.get()
    assert int(reply.headers["Retry-After"]) > 0
    assert reply.story[1]["reason"] == "rate_limited" and up.count == 2


def test_who_waits_for_the_bulkhead_gets_its_turn(gateway, server):
    gate = threading.Event()

    def respond(request, link):
        gate.wait(DEADLINE)
        return answer(request.target.encode())

    up = server(respond)
    gw = gateway([up], admin=ADMIN, bulkhead={"concurrent": 1, "queue": 1, "wait": "1h"},
                 timeout={"total": "1h"})
    with gw.connect() as first, gw.connect() as second, Admin(gw) as admin:
        first.ask("GET", "/1")
        up.wait_count(1)
        second.ask("GET", "/2")
        eventually(lambda: 'bulkhead_waiting{service="web"} 1' in admin.get("/metrics").text,
                   "it waits")
        assert gw.get("/3").status == 503  # the queue is full too
        gate.set()
        assert first.answer().body == b"/1"
        assert second.answer().body == b"/2"
    assert up.count == 2


def test_who_waits_too_long_is_refused(gateway, upstream):
    up = upstream()
    gw = gateway([up], bulkhead={"concurrent": 1, "queue": 5, "wait": "30ms"})
    with gw.connect() as first:
        first.ask()
        link = up.accept()
        link.request()
        reply = gw.get()
        assert reply.status == 503 and reply.story[1]["reason"] == "queue_timeout"
        link.reply(b"x")
        assert first.answer().body == b"x"
