"""What is stored but stale is asked about: a 304 brings it back, anything else replaces it."""
import pytest

from kit.admin import ADMIN, Admin
from kit.caching import FAIL, answers, ask_many, metric, start, state, wait_asked
from kit.http import answer
from kit.waiting import eventually

NEARLY = ("Cache-Control: max-age=60", "Age: 59")  # fresh for a second
KEPT = "Cache-Control: max-age=60"
MODIFIED = "Last-Modified: Wed, 01 Jun 2022 00:00:00 GMT"


def wait_stale(gw, *lines):
    """Until what is there may not be used any more; asks nobody."""
    eventually(lambda: gw.get("/x", "Cache-Control: only-if-cached", *lines).status == 504,
               "it is stale")


def kept(gateway, up, *lines, body=b"body", **keys):
    """A gateway that has an answer with these lines, stale by now; from then on `up` says
    304 to its conditions, with what `up.renews` has."""
    up.says(*NEARLY, *lines, body=body)
    gw = start(gateway, up, **keys)
    assert gw.get("/x").body == body
    if not any("revalidate" in line for line in lines):
        wait_stale(gw)
    up.renews = [KEPT]
    up.answer = lambda r: not_modified(up, r)
    return gw


def not_modified(up, request):
    if "If-None-Match" not in request.headers and "If-Modified-Since" not in request.headers:
        return answer(b"new", "200 OK", KEPT)
    lines = "".join(f"{line}\r\n" for line in up.renews)
    return f"HTTP/1.1 304 Not Modified\r\n{lines}\r\n"


@pytest.mark.short_io
def test_a_304_brings_it_back(gateway, origin):
    up = origin()
    gw = kept(gateway, up, 'ETag: "a"', MODIFIED, "X-Own: 1", "X-Other: 1", "Content-Type: text/a")
    up.renews = [KEPT, 'ETag: "a"', "X-Own: 2", "Date: Wed, 01 Jan 2025 00:00:00 GMT",
                 "Content-Type: text/b", "Connection: X-Hop", "X-Hop: 1"]
    for source, count in (("upstream", 2), ("cache", 2)):
        reply = gw.get("/x")
        assert (reply.status, reply.body, reply.story[0]) == (200, b"body", source)
        assert reply.headers.all("X-Own") == ["2"] and reply.headers.all("X-Other") == ["1"]
        assert reply.headers["Date"] == "Wed, 01 Jan 2025 00:00:00 GMT"
        assert reply.headers.all("Content-Type") == ["text/a"] and "X-Hop" not in reply.headers
        assert reply.headers["ETag"] == '"a"' and int(reply.headers["Age"]) < 59
        assert up.count == count
    asked = up.requests[1].headers
    assert asked.all("If-None-Match") == ['"a"']
    assert asked.all("If-Modified-Since") == ["Wed, 01 Jun 2022 00:00:00 GMT"]


def test_it_is_told(gateway, origin):
    up = origin()
    gw = kept(gateway, up, 'ETag: "a"')
    assert state(gw.get("/x")) == "fwd=stale; fwd-status=304; stored"
    assert state(gw.get("/x")).startswith("hit; ttl=")


@pytest.mark.parametrize("line", ['ETag: W/"a"', MODIFIED])
def test_either_validator_will_do(gateway, origin, line):
    up = origin()
    gw = kept(gateway, up, line)
    assert gw.get("/x").body == gw.get("/x").body == b"body" and up.count == 2


def test_without_a_validator_it_is_fetched(gateway, origin):
    up = origin()
    gw = kept(gateway, up)
    assert gw.get("/x").body == b"new"


def test_another_answer_replaces_it(gateway, origin):
    up = origin()
    gw = kept(gateway, up, 'ETag: "a"')
    up.says(KEPT, 'ETag: "b"', body=b"other")
    assert gw.get("/x").body == gw.get("/x").body == b"other" and up.count == 2


@pytest.mark.parametrize("line,status", [('If-None-Match: "a"', 304), ('If-None-Match: "b"', 200)])
def test_the_clients_own_conditions_are_judged_here(gateway, origin, line, status):
    """And are not passed on: what comes is for all."""
    up = origin()
    gw = kept(gateway, up, 'ETag: "a"')
    reply = gw.get("/x", line)
    assert reply.status == status and reply.body == (b"body" if status == 200 else b"")
    assert up.requests[1].headers.all("If-None-Match") == ['"a"']
    assert gw.get("/x").body == b"body" and up.count == 2


def test_who_does_not_want_it_from_the_cache_has_it_asked_about(gateway, origin):
    up = origin(KEPT, 'ETag: "a"', body=b"body")
    gw = start(gateway, up)
    gw.get("/x")
    up.renews = [KEPT]
    up.answer = lambda r: not_modified(up, r)
    reply = gw.get("/x", "Cache-Control: no-cache")
    assert reply.body == b"body" and up.count == 2 and "fwd=request" in state(reply)


def test_a_variant_is_asked_about_by_its_own_validator(gateway, server):
    def respond(request, link):
        name = request.headers["A"]
        if "If-None-Match" in request.headers:
            assert request.headers["If-None-Match"] == f'"{name}"'
            return f"HTTP/1.1 304 Not Modified\r\n{KEPT}\r\n\r\n"
        return answer(name, "200 OK", *NEARLY, f'ETag: "{name}"', "Vary: A")

    up = server(respond)
    gw = start(gateway, up)
    gw.get("/x", "A: 1")
    gw.get("/x", "A: 2")
    wait_stale(gw, "A: 1")
    wait_stale(gw, "A: 2")
    for _ in range(2):
        assert gw.get("/x", "A: 1").body == b"1" and gw.get("/x", "A: 2").body == b"2"
    assert up.count == 4


@pytest.mark.threads
def test_one_asks_for_all(gateway, held):
    up = held()
    up.gate.set()
    gw = kept(gateway, up, 'ETag: "a"', workers=2, admin=ADMIN)
    up.gate.clear()
    clients = ask_many(gw, 12)
    with Admin(gw) as admin:
        wait_asked(admin, 12)
    up.gate.set()
    assert {reply.body for reply in answers(clients)} == {b"body"} and up.count == 2


@pytest.mark.threads
def test_a_refresh_asks_too(gateway, origin):
    up = origin()
    gw = kept(gateway, up, 'ETag: "a"', "Cache-Control: stale-while-revalidate=86400",
              workers=2, admin=ADMIN)
    eventually(lambda: int(gw.get("/x").headers["Age"]) < 59, "it is fresh again")
    assert up.count == 2 and up.requests[1].headers["If-None-Match"] == '"a"'
    with Admin(gw) as admin:
        eventually(lambda: metric(admin, "gateway_client_connections") == 0, "nothing is left")


def test_the_connection_goes_on(gateway, upstream):
    up = upstream()
    gw = start(gateway, up)
    with gw.connect() as client:
        client.ask("GET", "/x")
        link, _ = up.serve(b"body", "200 OK", *NEARLY, 'ETag: "a"')
        assert client.answer().body == b"body"
        wait_stale(gw)
        client.ask("GET", "/x")
        link.request()
        link.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n"
                  "Cache-Control: no-store\r\n\r\n")
        assert client.answer().body == b"body"
        client.ask("GET", "/x")
        link.request()
        link.reply(b"new")
        assert client.answer().body == b"new"


def test_what_it_says_of_keeping_counts(gateway, origin):
    up = origin()
    gw = kept(gateway, up, 'ETag: "a"', fallback=())
    up.renews = ["Cache-Control: no-store", "Set-Cookie: id=1"]
    reply = gw.get("/x")
    assert reply.body == b"body" and reply.headers["Set-Cookie"] == "id=1"
    gw.get("/x")
    assert up.count == 3


def test_who_fails_to_say_is_stood_in_for(gateway, origin):
    up = origin()
    gw = kept(gateway, up, 'ETag: "a"', cache={"stale": "1h"})
    up.answer = FAIL
    assert gw.get("/x").story[0] == "stale"
    up.answer = lambda r: not_modified(up, r)
    assert gw.get("/x").story[0] == "upstream"
    assert gw.get("/x").story[0] == "cache"


def test_an_empty_answer_too(gateway, origin):
    up = origin()
    up.body = b""
    up.answer = answer(b"", "204 None", *NEARLY, 'ETag: "a"')
    gw = start(gateway, up)
    assert gw.get("/x").status == 204
    wait_stale(gw)
    up.renews = [KEPT]
    up.answer = lambda r: not_modified(up, r)
    with gw.connect() as client:
        assert client.get("/x").status == 204 and client.get("/x").status == 204
    assert up.count == 2
