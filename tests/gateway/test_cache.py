"""The cache: what it keeps, for whom, how long, and who gets it.

Nothing waits for time to pass: an answer that comes with `Age` is as old as it says.
"""
import re
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.waiting import DEADLINE, eventually

FAIL = answer(b"no", "500 Internal Server Error")


@pytest.fixture
def origin(server):
    """An upstream that counts what it is asked; its answer is chosen by the test, as
    header lines or as a function of the request."""
    def make(*lines, body=b"", status="200 OK"):
        def respond(request, link):
            if callable(up.answer):
                return up.answer(request)
            return up.answer

        up = server(respond)
        up.says = lambda *ls, body=body, status=status: setattr(
            up, "answer", lambda r: answer(body or b"%d" % up.count, status, *ls))
        up.says(*lines)
        return up

    return make


def start(gateway, up, *, fallback=({"stale": {}},), cache=None, **keys):
    return gateway([up], cache=cache or {}, retry={"max": 0}, fallback=list(fallback), **keys)


def state(reply):
    """What Cache-Status says, without the name."""
    name, _, rest = reply.headers["Cache-Status"].partition(";")
    assert name == "switchgear"
    return rest.strip()


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


# ---- whose answer it is -----------------------------------------------------------


@pytest.mark.parametrize("first,second", [
    ("/a", "/b"), ("/a?x=1", "/a?x=2"), ("/a", "/a?"), ("/a", "/A"), ("/a", "/a/"),
    ("/%61", "/a"), ("/a?x=1&y=2", "/a?y=2&x=1")])
def test_other_requests_have_other_answers(gateway, server, first, second):
    """Whatever reaches the service as another request is another one here."""
    up = server(lambda r, l: answer(r.target.encode(), "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up)
    for target in (first, second, first, second):
        seen = up.count
        reply = gw.get(target)
        assert up.count > seen or reply.body == served_as(up, target), (target, reply.body)


def served_as(up, target):
    """What the service was asked for when this was not yet in the cache."""
    asked = {r.target for r in up.requests}
    return target.encode() if target in asked else next(iter(asked)).encode()


def test_hosts_are_told_apart(gateway, server):
    up = server(lambda r, l: answer(b"%d" % up.count, "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up, routes=[{"prefix": "/", "service": "web"}])
    with gw.connect() as client:
        bodies = [client.get("/x", f"Host: {host}").body for host in ("a", "b", "a", "b")]
    assert bodies == [b"1", b"2", b"1", b"2"]


def test_fields_that_a_client_may_forge_do_not_poison(gateway, server):
    """What is not in the key must not shape the answer for others. X-Forwarded-Host is
    replaced by ours before the service sees it."""
    up = server(lambda r, l: answer((r.headers.get("X-Forwarded-Host") or "none").encode(),
                                    "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up)
    with gw.connect() as client:
        client.get("/x", "X-Forwarded-Host: evil.example")
        assert b"evil" not in client.get("/x").body


def test_services_never_share(gateway, server):
    one = server(lambda r, l: answer(b"one", "200 OK", "Cache-Control: max-age=60"))
    two = server(lambda r, l: answer(b"two", "200 OK", "Cache-Control: max-age=60"))
    gw = gateway([one], cache={}, services={"two": {"endpoints": [two.url], "cache": {}}},
                 routes=[{"path": "/x", "match": {"host": "two"}, "service": "two"},
                         {"prefix": "/", "service": "web"}])
    with gw.connect() as client:
        assert client.get("/x", "Host: one").body == b"one"
        assert client.get("/x", "Host: two").body == b"two"
        assert client.get("/x", "Host: one").body == b"one"


@pytest.mark.parametrize("lines,shared", [
    ([], False), (["Cache-Control: max-age=60"], False),
    (["Cache-Control: public, max-age=60"], True),
    (["Cache-Control: s-maxage=60"], True),
    (["Cache-Control: must-revalidate, max-age=60"], True)])
def test_an_authorized_answer_is_its_own(gateway, origin, lines, shared):
    up = origin(*lines)
    gw = start(gateway, up, cache={"fresh": "1h"}, fallback=())
    first = gw.get("/x", "Authorization: Bearer a").body
    second = gw.get("/x", "Authorization: Bearer b").body
    assert (first == second) is shared


def test_vary(gateway, server):
    up = server(lambda r, l: answer((r.headers.get("Accept-Language") or "-").encode(), "200 OK",
                                    "Cache-Control: max-age=60", "Vary: Accept-Language"))
    gw = start(gateway, up)
    for _ in range(2):
        for language in ("de", "fr", "it"):
            assert gw.get("/x", f"Accept-Language: {language}").body == language.encode()
        assert gw.get("/x").body == b"-"
    assert up.count == 4


def test_fields_of_the_key(gateway, server):
    up = server(lambda r, l: answer(b"%d" % up.count, "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up, cache={"key": ["method", "path", "header.X-Tenant"]})
    bodies = [gw.get(t, f"X-Tenant: {n}").body
              for n, t in (("a", "/x?1"), ("b", "/x?1"), ("a", "/x?2"))]
    assert bodies == [b"1", b"2", b"1"]  # the query is no part of this key


def test_a_post_that_only_asks(gateway, server):
    """Where the user says that the body is part of the key."""
    up = server(lambda r, l: answer(b"of " + r.body, "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up, cache={"key": ["method", "path", "query", "body"]})
    for _ in range(2):
        assert gw.post("/q", b"SELECT 1").body == b"of SELECT 1"
        assert gw.post("/q", b"SELECT 2").body == b"of SELECT 2"
    assert up.count == 2


def test_a_post_is_not_kept_else(gateway, origin):
    up = origin("Cache-Control: max-age=60")
    gw = start(gateway, up)
    gw.post("/x", b"a")
    gw.post("/x", b"a")
    assert up.count == 2


# ---- what the client asks for -------------------------------------------------------


def test_head_is_answered_from_what_get_brought(gateway, origin):
    up = origin("Cache-Control: max-age=60", body=b"12345")
    gw = start(gateway, up)
    gw.get("/x")
    with gw.connect() as client:
        for _ in range(2):
            reply = client.get("/x", method="HEAD")
            assert reply.status == 200 and reply.headers["Content-Length"] == "5"
    assert up.count == 1


@pytest.mark.parametrize("line,status", [
    ('If-None-Match: "a"', 304), ('If-None-Match: W/"a"', 304), ('If-None-Match: "b", "a"', 304),
    ("If-None-Match: *", 304), ('If-None-Match: "b"', 200),
    ("If-Modified-Since: Wed, 01 Jan 2025 00:00:00 GMT", 304),
    ("If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT", 200),
    ("If-Modified-Since: yesterday", 200)])
def test_conditions_are_answered_from_the_cache(gateway, origin, line, status):
    up = origin("Cache-Control: max-age=60", 'ETag: "a"',
                "Last-Modified: Wed, 01 Jun 2022 00:00:00 GMT")
    gw = start(gateway, up)
    gw.get("/x")
    with gw.connect() as client:
        reply = client.get("/x", line)
        assert reply.status == status and up.count == 1
        assert reply.headers["ETag"] == '"a"'
        assert client.get("/x").status == 200  # the connection is in step


@pytest.mark.parametrize("line", ["Cache-Control: no-cache", "Pragma: no-cache",
                                  "Cache-Control: max-age=0"])
def test_a_client_may_want_it_fresh(gateway, origin, line):
    up = origin("Cache-Control: max-age=60")
    gw = start(gateway, up)
    gw.get("/x")
    assert gw.get("/x", line).body == b"2"


def test_only_if_cached(gateway, origin):
    up = origin("Cache-Control: max-age=60")
    gw = start(gateway, up)
    assert gw.get("/x", "Cache-Control: only-if-cached").status == 504 and up.count == 0
    gw.get("/x")
    assert gw.get("/x", "Cache-Control: only-if-cached").status == 200 and up.count == 1


def test_a_request_may_forbid_keeping(gateway, origin):
    up = origin("Cache-Control: max-age=60")
    gw = start(gateway, up)
    gw.get("/x", "Cache-Control: no-store")
    assert gw.get("/x").body == b"2"


def test_ranges_pass_by(gateway, server):
    up = server(lambda r, l: answer(b"part", "206 Partial Content", "Cache-Control: max-age=60",
                                    "Content-Range: bytes 0-3/10")
                if "Range" in r.headers else answer(b"0123456789", "200 OK",
                                                    "Cache-Control: max-age=60"))
    gw = start(gateway, up)
    assert gw.get("/x", "Range: bytes=0-3").status == 206
    assert gw.get("/x").body == b"0123456789"
    reply = gw.get("/x", "Range: bytes=0-3")
    assert (reply.status, reply.body) in ((206, b"part"), (200, b"0123456789"))


# ---- writes ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_write_forgets_what_was_kept(gateway, origin, method):
    up = origin("Cache-Control: max-age=3600")
    gw = start(gateway, up)
    gw.get("/x")
    with gw.connect() as client:
        client.ask(method, "/x", body=b"new")
        client.answer()
    assert gw.get("/x").body == b"3"


def test_a_write_that_failed_forgets_nothing(gateway, origin):
    up = origin("Cache-Control: max-age=3600")
    gw = start(gateway, up)
    gw.get("/x")
    up.answer = answer(b"", "400 Bad")
    gw.post("/x", b"bad")
    assert gw.get("/x").body == b"1"


# ---- stale ------------------------------------------------------------------------------

OLD = "Age: 1000"


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


def test_stale_while_revalidate(gateway, origin):
    """The old one at once, and the new one fetched behind."""
    up = origin("Cache-Control: max-age=60, stale-while-revalidate=86400", OLD)
    gw = start(gateway, up)
    assert gw.get("/x").body == b"1"
    up.says("Cache-Control: max-age=60")
    assert gw.get("/x").body == b"1"
    up.wait_count(2)
    eventually(lambda: gw.get("/x").body == b"2", "the new one is in the cache")
    assert up.count == 2


def test_a_refresh_that_fails_hurts_nobody(gateway, origin):
    up = origin("Cache-Control: max-age=60, stale-while-revalidate=86400", OLD)
    gw = start(gateway, up)
    gw.get("/x")
    up.answer = FAIL
    for _ in range(5):
        assert gw.get("/x").body == b"1"
    up.wait_count(2)
    up.says("Cache-Control: max-age=60")
    eventually(lambda: gw.get("/x").body != b"1", "a later refresh succeeds")


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
        text = admin.get("/metrics").text
        used = int(re.search(r"^cache_size_bytes (\d+)", text, re.M)[1])
        evicted = int(re.search(r"^cache_evictions_total (\d+)", text, re.M)[1])
    assert used <= 1 << 20 and evicted > 100
    assert sum(r.target == "/popular" for r in up.requests) == 1


# ---- one for many -----------------------------------------------------------------------


class Held:
    """An upstream that answers when the test says so."""

    def __init__(self, server, *lines):
        self.gate = threading.Event()
        self.lines = lines
        self.up = server(self.respond)

    def respond(self, request, link):
        assert self.gate.wait(DEADLINE)
        return answer(b"%d" % self.up.count, "200 OK", *self.lines)


def ask_many(gw, count, target="/x", *headers):
    clients = [gw.connect() for _ in range(count)]
    for client in clients:
        client.ask("GET", target, headers=list(headers))
    return clients


def waiting(admin):
    text = admin.get("/metrics").text
    return int(re.search(r"^gateway_requests_in_flight (\d+)", text, re.M)[1])


@pytest.mark.threads
@pytest.mark.parametrize("workers", [1, 4])
def test_many_equal_requests_are_one(gateway, server, workers):
    held = Held(server, "Cache-Control: max-age=60")
    gw = start(gateway, held.up, workers=workers, admin=ADMIN)
    clients = ask_many(gw, 20)
    with Admin(gw) as admin:
        eventually(lambda: waiting(admin) == 20, "all have asked")
    held.gate.set()
    assert {client.answer().body for client in clients} == {b"1"}
    assert held.up.count == 1
    for client in clients:
        client.close()


@pytest.mark.threads
def test_when_the_first_goes_away_another_fetches(gateway, server):
    held = Held(server, "Cache-Control: max-age=60")
    gw = start(gateway, held.up, admin=ADMIN)
    leader = gw.connect()
    leader.ask("GET", "/x")
    held.up.wait_count(1)
    clients = ask_many(gw, 10)
    with Admin(gw) as admin:
        eventually(lambda: waiting(admin) == 11, "all have asked")
        leader.reset()
        eventually(lambda: waiting(admin) == 10, "the first is gone")
    held.gate.set()
    bodies = {client.answer().body for client in clients}
    assert len(bodies) == 1 and held.up.count <= 2
    for client in clients:
        client.close()


@pytest.mark.threads
def test_when_the_first_fails_the_others_are_told(gateway, server):
    """Not one after the other: a service that fails would be asked as often as before."""
    gate = threading.Event()

    def respond(request, link):
        assert gate.wait(DEADLINE)
        return FAIL

    up = server(respond)
    gw = gateway([up], cache={}, retry={"max": 0}, admin=ADMIN,
                 fallback=[{"static": {"status": 200, "text": "sorry"}}])
    clients = ask_many(gw, 10)
    with Admin(gw) as admin:
        eventually(lambda: waiting(admin) == 10, "all have asked")
    gate.set()
    assert {client.answer().body for client in clients} == {b"sorry"}
    for client in clients:
        client.close()


def test_what_may_not_be_shared_lets_the_others_go(gateway, server):
    held = Held(server, "Cache-Control: private")
    gw = start(gateway, held.up, admin=ADMIN, fallback=())
    clients = ask_many(gw, 6)
    with Admin(gw) as admin:
        eventually(lambda: waiting(admin) == 6, "all have asked")
    held.gate.set()
    for client in clients:
        assert client.answer().status == 200
        client.close()
    assert held.up.count == 6  # each its own
    # and it is known from now on: nobody waits for the first any more
    held.gate.clear()
    clients = ask_many(gw, 3)
    held.up.wait_count(9)
    held.gate.set()
    for client in clients:
        assert client.answer().status == 200
        client.close()


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
