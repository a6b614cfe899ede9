"""Whose answer it is: which requests share what is stored, and which never do.

The rule behind most of these: two requests that reach the service as different ones, and
may be answered differently, never share an entry, or whoever sends the one decides what
the other is given.
"""
import pytest

from kit.caching import start
from kit.http import answer

KEPT = "Cache-Control: max-age=60"


def echo(what):
    """Answers with what the service was sent, to be kept for a minute."""
    return lambda request, link: answer(what(request), "200 OK", KEPT)


# ---- paths ----------------------------------------------------------------------------


@pytest.mark.parametrize("first,second", [
    ("/a", "/b"), ("/a?x=1", "/a?x=2"), ("/a", "/a?"), ("/a", "/A"), ("/a", "/a/"), ("/a", "//a"),
    ("/a?x=1&y=2", "/a?y=2&x=1"), ("/a%2Fb", "/a/b"), ("/a?%61", "/a?a"), ("/a%3Fx", "/a?x"),
    ("/a;x", "/a"), ("/a%23x", "/a"), ("/a/..%2f", "/"), ("/a+b", "/a%20b"), ("/a%25", "/a%2525"),
    ("/a", "/a%09"), ("/a\\b", "/a/b"), ("/a/%2e%2e%2f", "/")])
def test_other_paths_have_other_answers(gateway, server, first, second):
    up = server(echo(lambda r: r.target))
    gw = start(gateway, up)
    one, two = gw.get(first), gw.get(second)
    assert one.body != two.body and up.count == 2
    assert gw.get(first).body == one.body and gw.get(second).body == two.body and up.count == 2


@pytest.mark.parametrize("first,second", [
    ("/a", "/%61"), ("/a", "/./a"), ("/a", "/b/../a"), ("/a%2fb", "/a%2Fb"), ("/a", "http://test/a"),
    ("/%7Ea", "/~a"), ("/", "http://test")])
def test_other_spellings_of_one_path_reach_the_service_as_one(gateway, server, first, second):
    up = server(echo(lambda r: r.target))
    gw = start(gateway, up)
    assert gw.get(first).body == gw.get(second).body and up.count == 1


@pytest.mark.parametrize("select", [{"host": "two"}, {"method": "HEAD"}])
def test_routes_that_strip_differently_do_not_share(gateway, server, select):
    """One path, one service, and yet two requests: the route makes the difference."""
    up = server(echo(lambda r: r.target))
    gw = start(gateway, up, cache={"key": ["method", "path", "query"]}, routes=[
        {"prefix": "/api", "match": select, "service": "web", "strip_prefix": "/api"},
        {"prefix": "/api", "service": "web"}])
    with gw.connect() as client:
        assert client.get("/api/x").body == b"/api/x"
        if "host" in select:
            assert client.get("/api/x", "Host: two").body == b"/x"
        else:  # the service answers HEAD as it answers GET, by length
            assert client.get("/api/x", method="HEAD").headers["Content-Length"] == "2"


def test_paths_that_reach_the_service_as_one_share(gateway, server):
    up = server(echo(lambda r: r.target))
    gw = start(gateway, up, routes=[
        {"prefix": "/v1", "service": "web", "strip_prefix": "/v1"}, {"prefix": "/", "service": "web"}])
    assert gw.get("/v1/x").body == gw.get("/x").body == b"/x" and up.count == 1
    assert gw.post("/v1/x", b"new").status == 200  # and so they are forgotten together
    gw.get("/x")
    assert up.count == 3


# ---- what a client may make up --------------------------------------------------------


@pytest.mark.parametrize("first,second", [
    ("a", "b"), ("a", "A"), ("a", "a:80"), ("a", "a."), ("a:80", "a:81")])
def test_hosts_are_told_apart_as_they_are_sent(gateway, server, first, second):
    up = server(echo(lambda r: r.headers["Host"]))
    gw = start(gateway, up)
    with gw.connect() as client:
        for host in (first, second, first, second):
            assert client.get("/x", f"Host: {host}").body == host.encode()
    assert up.count == 2


def test_a_host_in_the_target_is_the_host(gateway, server):
    up = server(echo(lambda r: r.headers["Host"] + " " + r.headers["X-Forwarded-Host"]))
    gw = start(gateway, up)
    with gw.connect() as client:
        assert client.get("http://real/x", "Host: evil").body == b"real real"
        assert client.get("/x", "Host: real").body == b"real real"
        assert client.get("/x", "Host: evil").body == b"evil evil"


@pytest.mark.parametrize("name", [
    "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-For", "X-Real-IP",
    "Forwarded", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Host",
    "X-Original-URL", "X-Rewrite-URL", "X-Original-Host", "X-HTTP-Method-Override",
    "X-Method-Override", "Front-End-Https"])
def test_what_a_client_makes_up_does_not_shape_answers_for_others(gateway, server, name):
    """Whether the service never sees it, or it has an entry of its own."""
    up = server(echo(lambda r: r.headers.get(name, "none")))
    gw = start(gateway, up)
    with gw.connect() as client:
        client.get("/x", f"{name}: host=evil")
        assert b"evil" not in client.get("/x").body
        client.get("/y")
        client.get("/y", f"{name}: host=evil")
        assert b"evil" not in client.get("/y").body


TRUSTING = [{"address": "127.0.0.1:0", "trust": ["127.0.0.0/8"]}]


@pytest.mark.parametrize("first,second", [
    ("X-Forwarded-Proto: https", "X-Forwarded-Proto: http"),
    ("X-Forwarded-Proto: https", "X-Nothing: 1"),
    ("X-Forwarded-Host: a", "X-Forwarded-Host: b"),
    ("Forwarded: for=1.2.3.4;proto=https", "Forwarded: for=1.2.3.4;proto=http"),
    ("Forwarded: for=1.2.3.4;host=evil", "Forwarded: for=1.2.3.4")])
def test_what_a_trusted_hop_tells_is_told_apart(gateway, server, first, second):
    """A redirect to https, kept from plain http, would else go round and round."""
    up = server(echo(lambda r: r.raw.split(b"X-Request-Id")[0]))
    gw = start(gateway, up, listen=TRUSTING)
    with gw.connect() as client:
        assert client.get("/x", first).body != client.get("/x", second).body


def test_whom_a_trusted_hop_forwards_for_is_not(gateway, server):
    up = server(echo(lambda r: "same"))
    gw = start(gateway, up, listen=TRUSTING)
    with gw.connect() as client:
        for host in range(3):
            client.get("/x", f"X-Forwarded-For: 192.0.2.{host}",
                       f"Forwarded: for=192.0.2.{host};proto=https", "X-Forwarded-Proto: https")
    assert up.count == 1


def test_fields_that_connection_takes_out_do_not_poison(gateway, server):
    """The service never sees them, so its answer is not the one for who has them."""
    up = server(lambda r, l: answer((r.headers.get("Accept-Language") or "none"), "200 OK", KEPT,
                                    "Vary: Accept-Language"))
    gw = start(gateway, up)
    with gw.connect() as client:
        reply = client.get("/x", "Accept-Language: de", "Connection: accept-language")
        assert reply.body == b"none"
        assert client.get("/x", "Accept-Language: de").body == b"de"


def test_fields_of_the_key_that_connection_takes_out_do_not_poison(gateway, server):
    up = server(echo(lambda r: r.headers.get("X-Tenant") or "none"))
    gw = start(gateway, up, cache={"key": ["method", "path", "header.X-Tenant"]})
    with gw.connect() as client:
        assert client.get("/x", "X-Tenant: a", "Connection: x-tenant").body == b"none"
        assert client.get("/x", "X-Tenant: a").body == b"a"


@pytest.mark.parametrize("framing", ["Content-Length: 3\r\n\r\nfat",
                                     "Transfer-Encoding: chunked\r\n\r\n3\r\nfat\r\n0\r\n\r\n"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_get_with_a_body_is_nobody_elses(gateway, server, method, framing):
    up = server(echo(lambda r: r.body or "thin"))
    gw = start(gateway, up)
    with gw.connect() as client:
        for _ in range(2):
            client.send(f"{method} /x HTTP/1.1\r\nHost: test\r\n{framing}")
            client.answer(head_only=method == "HEAD")
        assert up.count == 2
        assert client.get("/x").body == b"thin"
        client.send(f"{method} /x HTTP/1.1\r\nHost: test\r\n{framing}")
        reply = client.answer(head_only=method == "HEAD")
        assert reply.headers["Content-Length"] == "3" and up.count == 4


# ---- whose it is ------------------------------------------------------------------------


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


@pytest.mark.parametrize("field", ["*", "X-Forwarded-For", "accept, forwarded", "X-Request-Id"])
def test_what_differs_for_each_client_is_not_kept(gateway, server, field):
    """What the service varies on is not what the client sent, but what we did."""
    up = server(lambda r, l: answer(r.headers["X-Forwarded-For"], "200 OK", KEPT, f"Vary: {field}"))
    gw = start(gateway, up)
    gw.get("/x")
    gw.get("/x")
    assert up.count == 2


def test_several_names_and_values_of_vary(gateway, server):
    up = server(lambda r, l: answer(r.headers.get("A", "-") + r.headers.get("B", "-"), "200 OK",
                                    KEPT, "Vary: a", "Vary: B,"))
    gw = start(gateway, up)
    cases = {(): b"--", ("A: 1",): b"1-", ("B: 1",): b"-1", ("A: 1", "B: 1"): b"11",
             ("A: 1", "A: 2"): b"1, 2-", ("A: 1", "B: 2"): b"12", ("a: 2", "b: 1"): b"21"}
    for _ in range(2):
        for fields, body in cases.items():
            assert gw.get("/x", *fields).body == body
    assert up.count == len(cases)


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


def test_fields_of_a_json_body(gateway, server):
    """What is not named does not matter, what is named does, however it is written."""
    up = server(lambda r, l: answer(b"%d" % up.count, "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up, cache={"key": ["method", "path", "body.model", "body.messages.0"]})

    def ask(body):
        return gw.post("/chat", body.encode(), "Content-Type: application/json").body

    first = ask('{"model": "a", "messages": [{"role": "user", "n": 1.50}], "id": 1}')
    assert ask('{"id":2,"messages":[{"n":1.50,"role":"\\u0075ser"},7],"model":"a"}') == first
    for other in ('{"model": "b", "messages": [{"role": "user", "n": 1.50}]}',
                  '{"model": "a", "messages": [{"role": "user", "n": 1.5}]}',
                  '{"model": "a", "messages": [{"role": "user", "n": "1.50"}]}',
                  '{"model": "a", "messages": [{"role": "user"}]}',
                  '{"model": "a"}', '{"model": null}', '{}', '[]', '"a"'):
        fresh = ask(other)
        assert fresh != first and ask(other) == fresh or other in ("[]", '"a"'), other


@pytest.mark.parametrize("body", [b"model=a", b"{", b'{"model": "a", "model": "b"}', b"",
                                  b"\xff", b'{"model": 01}'])
def test_what_is_not_json_has_no_fields(gateway, server, body):
    up = server(lambda r, l: answer(b"%d" % up.count, "200 OK", "Cache-Control: max-age=60"))
    gw = start(gateway, up, cache={"key": ["method", "path", "body.model"]})
    assert gw.post("/q", body).body != gw.post("/q", body).body


def test_a_body_with_another_meaning_is_another(gateway, server):
    up = server(echo(lambda r: r.headers.get("Content-Type", "-").encode() + r.body))
    gw = start(gateway, up, cache={"key": ["method", "path", "query", "body"]})
    assert gw.post("/q", b"x", "Content-Type: text/a").body == b"text/ax"
    assert gw.post("/q", b"x", "Content-Type: text/b").body == b"text/bx"


def test_a_body_too_long_to_be_compared_passes(gateway, server):
    up = server(echo(lambda r: b"%d" % len(r.body)))
    gw = start(gateway, up, cache={"key": ["method", "path", "body"]})
    for _ in range(2):
        assert gw.post("/q", b"x" * 200_000).body == b"200000"
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


@pytest.mark.parametrize("line", ['If-Match: "b"',
                                  "If-Unmodified-Since: Wed, 01 Jan 2020 00:00:00 GMT"])
def test_conditions_of_a_write_are_the_services(gateway, server, line):
    up = server(lambda r, l: answer(b"", "412 Precondition Failed")
                if line.split(":")[0] in r.headers else answer(b"all", "200 OK", KEPT))
    gw = start(gateway, up)
    for _ in range(2):
        assert gw.get("/x", line).status == 412
        assert gw.get("/x").status == 200
    assert up.count == 3


@pytest.mark.parametrize("line,age,served", [
    ("max-age=100", 50, True), ("max-age=100", 200, False), ("min-fresh=100", 50, True),
    ("min-fresh=100", 550, False), ("max-stale", 100_000, True), ("max-stale=1000", 700, True),
    ("max-stale=1000", 100_000, False), ("max-age=10, max-stale=100", 50, True)])
def test_how_old_a_client_takes_it(gateway, origin, line, age, served):
    up = origin("Cache-Control: max-age=600", f"Age: {age}")
    gw = start(gateway, up, cache={"stale": "1000h"})
    gw.get("/x")
    reply = gw.get("/x", f"Cache-Control: {line}")
    assert (up.count == 1) is served
    if served:
        assert int(reply.headers["Age"]) >= age


def test_max_stale_does_not_overrule_the_answer(gateway, origin):
    up = origin("Cache-Control: max-age=600, must-revalidate", "Age: 700")
    gw = start(gateway, up, cache={"stale": "1000h", "force_stale": True})
    gw.get("/x")
    gw.get("/x", "Cache-Control: max-stale")
    assert up.count == 2


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


def test_a_write_forgets_all_variants_and_only_its_own(gateway, server):
    up = server(lambda r, l: answer(b"%d" % up.count, "200 OK", KEPT, "Vary: A"))
    gw = start(gateway, up)
    for target, line in (("/x", "A: 1"), ("/x", "A: 2"), ("/y", "A: 1")):
        gw.get(target, line)
    gw.post("/x", b"new")
    assert up.count == 4
    bodies = [gw.get(t, line).body for t, line in (("/x", "A: 1"), ("/x", "A: 2"), ("/y", "A: 1"))]
    assert bodies == [b"5", b"6", b"3"]


def test_a_get_that_began_before_a_write_is_not_kept_after_it(gateway, upstream):
    up = upstream()
    gw = start(gateway, up)
    with gw.connect() as reader, gw.connect() as writer:
        reader.ask("GET", "/x")
        link = up.accept()
        link.request()
        writer.ask("PUT", "/x", body=b"new")
        other, _ = up.serve(b"", "204 Done")
        assert writer.answer().status == 204
        link.reply(b"old", "200 OK", KEPT, "Connection: close")
        assert reader.answer().body == b"old"
        reader.ask("GET", "/x")
        other.request()
        other.reply(b"new", "200 OK", KEPT)
        assert reader.answer().body == b"new"
