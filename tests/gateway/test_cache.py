"""The cache: what it keeps, for whom, how long, and who gets it.

Nothing waits for time to pass: an answer that comes with `Age` is as old as it says.
"""
import re
import time

import pytest

from kit.admin import ADMIN, Admin
from kit.caching import FAIL, OLD, metric, start, state
from kit.http import answer
from kit.waiting import eventually


# ---- fresh ---------------------------------------------------------------------


@pytest.mark.threads
def test_a_fresh_answer_comes_from_the_cache(gateway, origin):
    up = origin("Cache-Control: max-age=3600", "ETag: \"a\"", "X-Own: 1")
    gw = start(gateway, up)
    first, second = gw.get("/x"), gw.get("/x")
    assert first.body == second.body == b"1" and up.count == 1
    assert state(first).startswith("fwd=miss") and state(second).startswith("hit; ttl=")
    assert second.story[0] == "cache" and second.story[1]["attempts"] == "0"
    assert second.headers["ETag"] == '"a"' and second.headers["X-Own"] == "1"
    assert int(second.headers["Age"]) >= 0 and "Age" not in first.headers


@pytest.mark.parametrize("lines,kept", [
    (["Cache-Control: max-age=60"], True),
    (["Cache-Control: s-maxage=60, max-age=0"], True),
    (["Cache-Control: public, max-age=60"], True),
    (["Expires: Wed, 01 Jan 2070 00:00:00 GMT"], True),
    (["Cache-Control: max-age=60", "Age: 10"], True),
    (["Cache-Control: max-age=60", "Age: 60"], False),  # was old when it came
    (["Cache-Control: max-age=0"], False),
    (["Cache-Control: s-maxage=0, max-age=60"], False),
    (["Cache-Control: no-store, max-age=60"], False),
    (["Cache-Control: no-cache, max-age=60"], False),
    (["Cache-Control: private, max-age=60"], False),
    (["Cache-Control: max-age=x"], False),
    (["Expires: 0"], False),
    (["Expires: Wed, 01 Jan 2020 00:00:00 GMT"], False),
    (["Cache-Control: max-age=60", "Vary: *"], False),
    (["Cache-Control: max-age=60", "Set-Cookie: id=1"], False),
    ([], False),
])
def test_what_the_answer_says_of_itself(gateway, origin, lines, kept):
    up = origin(*lines)
    gw = start(gateway, up, fallback=())
    bodies = [gw.get("/x").body for _ in range(2)]
    assert bodies == ([b"1", b"1"] if kept else [b"1", b"2"])


def test_an_answer_that_says_nothing_is_as_fresh_as_configured(gateway, origin):
    up = origin()
    gw = start(gateway, up, cache={"fresh": "1h"})
    assert gw.get("/x").body == gw.get("/x").body == b"1"
    up.says("Cache-Control: no-store")  # but what it says goes first
    assert gw.get("/y").body != gw.get("/y").body


@pytest.mark.parametrize("status,kept", [
    ("200 OK", True), ("203 Other", True), ("204 None", True), ("301 Moved", True),
    ("404 Not Found", True), ("410 Gone", True), ("206 Partial", False), ("500 Error", False),
    ("503 No", False)])
def test_which_statuses_are_kept(gateway, origin, status, kept):
    up = origin("Cache-Control: max-age=3600", status=status)
    gw = start(gateway, up, fallback=())
    gw.get("/x")
    gw.get("/x")
    assert up.count == (1 if kept else 2)


def test_without_a_cache_nothing_is_kept(gateway, origin):
    up = origin("Cache-Control: max-age=3600")
    gw = gateway([up])
    reply = gw.get("/x")
    gw.get("/x")
    assert up.count == 2 and "Cache-Status" not in reply.headers


# ---- stale ------------------------------------------------------------------------------

def kept_but_stale(gateway, origin, *lines, cache=None, fallback=({"stale": {}},)):
    up = origin(*lines, OLD)
    gw = start(gateway, up, cache=cache or {"stale": "1h"}, fallback=fallback)
    assert gw.get("/x").body == b"1"
    up.answer = FAIL
    return gw


def test_stale_serves_when_the_service_fails(gateway, origin):
    gw = kept_but_stale(gateway, origin, "Cache-Control: max-age=60")
    reply = gw.get("/x")
    assert reply.status == 200 and reply.body == b"1" and reply.story[0] == "stale"
    assert int(reply.headers["Age"]) >= 1000
    assert re.match(r"hit; ttl=-\d+", state(reply)), reply


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60",
                                       "no-cache"])
def test_who_forbids_it_is_not_served_stale(gateway, origin, directive):
    gw = kept_but_stale(gateway, origin, f"Cache-Control: max-age=60, {directive}")
    assert gw.get("/x").status == 500


def test_unless_the_configuration_says_so(gateway, origin):
    gw = kept_but_stale(gateway, origin, "Cache-Control: max-age=60, must-revalidate",
                        cache={"stale": "1h", "force_stale": True})
    assert gw.get("/x").body == b"1"


def test_an_answer_that_says_nothing_serves_stale_too(gateway, origin):
    """The usual API: no Cache-Control at all. It is asked each time while it is well; what
    is kept is a few seconds old at most."""
    up = origin()
    gw = start(gateway, up, cache={"stale": "1h"})
    assert [gw.get("/x").body for _ in range(3)] == [b"1", b"2", b"3"]
    up.answer = FAIL
    reply = gw.get("/x")
    assert reply.story[0] == "stale" and reply.body in (b"1", b"2", b"3")


def test_too_old_is_too_old(gateway, origin):
    gw = kept_but_stale(gateway, origin, "Cache-Control: max-age=60", cache={"stale": "10m"})
    assert gw.get("/x").status == 500


def test_stale_if_error_of_the_answer(gateway, origin):
    gw = kept_but_stale(gateway, origin, "Cache-Control: max-age=60, stale-if-error=86400",
                        cache={"stale": "0s"})
    assert gw.get("/x").body == b"1"


REFRESHED = ("Cache-Control: max-age=60, stale-while-revalidate=86400", OLD)


@pytest.mark.threads
def test_stale_while_revalidate(gateway, held):
    """The old one at once, for all, and the new one fetched behind, once."""
    up = held(*REFRESHED)
    up.gate.set()
    gw = start(gateway, up, workers=2)
    assert gw.get("/x").body == b"1"
    up.gate.clear()
    up.says("Cache-Control: max-age=60")
    for _ in range(10):
        reply = gw.get("/x")
        assert reply.body == b"1" and reply.story[0] == "cache" and int(reply.headers["Age"]) >= 1000
    up.wait_count(2)
    up.gate.set()
    eventually(lambda: gw.get("/x").body == b"2", "the new one is in the cache")
    assert up.count == 2


@pytest.mark.parametrize("line", ['If-None-Match: "a"', "If-Modified-Since: Wed, 01 Jan 2025 00:00:00 GMT"])
def test_a_refresh_is_for_all(gateway, server, line):
    """Not under the conditions of the client that happened to be there."""
    name = line.split(":")[0]
    up = server(lambda r, l: answer(b"", "304 Not Modified") if name in r.headers else
                answer(b"%d" % up.count, "200 OK", *(
                    REFRESHED if up.count == 1 else ["Cache-Control: max-age=60"])))
    gw = start(gateway, up)
    assert gw.get("/x").body == b"1"
    gw.get("/x", line)
    eventually(lambda: gw.get("/x").body == b"2", "the new one is in the cache")
    assert up.count == 2


def test_a_refresh_that_fails_hurts_nobody(gateway, origin):
    up = origin(*REFRESHED)
    gw = start(gateway, up)
    gw.get("/x")
    up.answer = FAIL
    begun = time.monotonic()
    for _ in range(30):
        assert gw.get("/x").body == b"1"
    # nor the service, which is tried again once a second at most
    assert up.count - 1 <= 2 + (time.monotonic() - begun)
    up.says("Cache-Control: max-age=60")
    eventually(lambda: gw.get("/x").body != b"1", "a later refresh succeeds")


def test_a_refresh_has_nobody_to_be_consoled(gateway, origin):
    """It asks no other service, and counts as nobody's request."""
    up, other = origin(*REFRESHED), origin()
    gw = gateway([up], cache={}, retry={"max": 0}, admin=ADMIN,
                 fallback=[{"service": {"name": "other"}}],
                 services={"other": {"endpoints": [other.url]}})
    gw.get("/x")
    up.answer = FAIL
    gw.get("/x")
    up.wait_count(2)
    with Admin(gw) as admin:
        eventually(lambda: metric(admin, "gateway_requests_in_flight") == 0, "the refresh is over")
        assert metric(admin, 'gateway_proxy_requests_total{service="web",method="GET",'
                             'status="200"}') == 2
        assert metric(admin, 'gateway_proxy_requests_total{service="web",method="GET",'
                             'status="500"}') == 0
    assert other.count == 0


def test_a_refresh_that_brings_what_may_not_be_kept_is_not_read_to_its_end(gateway, upstream):
    up = upstream()
    gw = start(gateway, up)
    with gw.connect() as client:
        client.ask("GET", "/x")
        link, _ = up.serve(b"old", "200 OK", *REFRESHED)
        assert client.answer().body == b"old"
        assert client.get("/x").body == b"old"
        link.request()
        link.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1000\r\n\r\nx")
        assert link.ending() in ("ended", "reset")
        assert client.get("/x").body == b"old"


# ---- what cannot be kept ------------------------------------------------------------------


def test_an_answer_that_broke_off_is_not_kept(gateway, server):
    answers = [b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\npart",
               answer(b"0123456789", "200 OK", "Cache-Control: max-age=60")]

    def respond(request, link):
        link.send(answers[up.count - 1])

    up = server(respond)
    gw = start(gateway, up, fallback=())
    gw.raw_request("GET /x HTTP/1.1\r\nHost: test\r\n\r\n")
    assert gw.get("/x").body == b"0123456789"


def test_what_is_too_large_passes_and_is_not_kept(gateway, server):
    body = b"x" * (1 << 20)
    up = server(lambda r, l: answer(body, "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up, cache_memory="1MiB")
    for _ in range(2):
        assert gw.get("/x").body == body
    assert up.count == 2


def test_memory_is_bounded_and_the_popular_stays(gateway, server):
    up = server(lambda r, l: answer(b"x" * 4000, "200 OK", "Cache-Control: max-age=3600"))
    gw = start(gateway, up, cache_memory="1MiB", admin=ADMIN)
    with gw.connect() as client, Admin(gw) as admin:
        for i in range(1000):
            client.get("/popular")
            client.get(f"/{i}")
        used, evicted = metric(admin, "cache_size_bytes"), metric(admin, "cache_evictions_total")
    assert used <= 1 << 20 and evicted > 100
    assert sum(r.target == "/popular" for r in up.requests) == 1


def test_it_is_counted(gateway, origin):
    up = origin("Cache-Control: max-age=60")
    gw = start(gateway, up, admin=ADMIN)
    for _ in range(3):
        gw.get("/x")
    with Admin(gw) as admin:
        text = admin.get("/metrics").text
    assert 'cache_lookups_total{result="miss"} 1' in text
    assert 'cache_lookups_total{result="fresh"} 2' in text
    assert "cache_entries 1" in text
