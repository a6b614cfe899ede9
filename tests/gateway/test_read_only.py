"""read_only: while a service is degraded its writes are refused and reads go on."""
import json
import urllib.parse

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.waiting import eventually

ONCE = {"max": 0}
BREAKER = {"consecutive": 1, "open": "1h"}
FAIL = answer(b"no", "500 Internal Server Error")


def is_broken(request):
    return request.target.startswith("/break")


@pytest.fixture
def shop(gateway, server):
    """A gateway before a service that fails at /break, and the service."""
    def start(read_only, **keys):
        up = server(lambda r, l: FAIL if is_broken(r) else answer(r.method))
        keys = {"breaker": BREAKER, **keys}
        gw = gateway([up], retry=ONCE, read_only=read_only, admin=ADMIN, **keys)
        gw.up = up
        return gw
    return start


def ask(gw, method="POST", target="/", body=None, *headers, **how):
    with gw.connect() as client:
        client.ask(method, target, body=body, headers=headers, **how)
        return client.answer(head_only=method == "HEAD")


def force(gw, what):
    with Admin(gw) as admin:
        assert admin.command(what).status_code == 200


def test_writes_are_refused_with_a_clear_message(shop):
    gw = shop({"when": "open"}, message={"read_only": "{service} is being mended; reading works."})
    assert ask(gw).status == 200
    assert gw.get("/break").status == 500
    reply = ask(gw, "PUT", "/x", b"data")
    assert reply.status == 503 and int(reply.headers["Retry-After"]) > 60
    told = reply.json()
    assert told["reason"] == "read_only" and told["error"] == "web is being mended; reading works."
    assert reply.story[1]["reason"] == "read_only" and reply.story[1]["breaker"] == "open"
    assert gw.get().json()["reason"] == "open"  # a read, which the breaker refuses as ever
    with Admin(gw) as admin:
        wanted = 'circuit_breaker_rejections_total{service="web",reason="read_only"} 1'
        assert wanted in admin.get("/metrics").text


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reads_go_on(shop, method):
    gw = shop({"when": "always"})
    assert ask(gw, method).status == 200 and gw.up.count == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "MKCOL"])
def test_writes_do_not(shop, method):
    gw = shop({"when": "always"})
    assert ask(gw, method, "/", b"x").json()["reason"] == "read_only" and gw.up.count == 0


def test_methods_that_only_read_here(shop):
    gw = shop({"when": "always", "allow": ["POST"]})
    assert ask(gw, "POST", "/", b"x").status == 200
    assert ask(gw, "PUT", "/", b"x").status == 503


def test_off_and_reload(shop):
    gw = shop({"when": "off"})
    assert ask(gw).status == 200
    config = json.loads(gw.path.read_text())
    config["services"]["web"]["read_only"]["when"] = "always"
    gw.reload(config)
    assert ask(gw).status == 503
    config["services"]["web"]["read_only"] = "off"
    gw.reload(config)
    assert ask(gw).status == 200


def test_degraded_is_when_one_endpoint_is_out(gateway, server):
    bad = server(lambda r, l: FAIL)
    good = server(lambda r, l: answer(r.method))
    gw = gateway([bad, good], retry=ONCE, breaker=BREAKER, balance="round_robin",
                 read_only={"when": "degraded"})
    gw2 = gateway([bad, good], retry=ONCE, breaker=BREAKER, balance="round_robin",
                  read_only={"when": "open"})
    for one in (gw, gw2):
        before = bad.count
        while bad.count == before:
            one.get()
    assert ask(gw).json()["reason"] == "read_only" and gw.get().status == 200
    assert ask(gw2).body == b"POST"  # one endpoint serves: that is enough for "open"


def test_by_an_operator(shop):
    gw = shop({})
    force(gw, "force-open")
    assert ask(gw).json()["reason"] == "read_only"
    force(gw, "reset")
    assert ask(gw).status == 200


def test_a_service_of_writes_only_recovers(shop):
    """When the open time is over, a write is the try."""
    gw = shop({"when": "degraded"}, breaker={"consecutive": 1, "open": "1ms", "open_max": "5ms"})
    for _ in range(5):
        gw.get("/break")
        eventually(lambda: ask(gw).status == 200 and ask(gw).status == 200, "it takes writes again")


def test_a_fallback_may_still_answer(shop):
    gw = shop({"when": "always"}, fallback=[{"static": {"status": 202, "text": "later"}}])
    reply = ask(gw, "POST", "/", b"x")
    assert reply.status == 202 and reply.story[0] == "static"
    assert reply.story[1]["reason"] == "read_only"


def test_a_queue_takes_the_write(gateway, server, tmp_path):
    up = server(lambda r, l: FAIL if is_broken(r) else answer(b"ok"))
    config = {
        "listen": [{"address": "127.0.0.1:0"}], "admin": "off", "workers": 1,
        "store": f"sqlite:{tmp_path}/outbox.db",
        "services": {"web": {
            "endpoints": [up.url], "retry": ONCE, "breaker": BREAKER,
            "read_only": {"when": "degraded"}, "fallback": [{"queue": {}}]}},
        "routes": [{"prefix": "/", "service": "web"}]}
    gw = gateway(config=config)
    gw.get("/break")
    reply = ask(gw, "POST", "/", b"x")
    assert reply.status == 202 and reply.json()["status"] == "queued"
    assert reply.story[1]["reason"] == "read_only"


# ---- SQL over HTTP ---------------------------------------------------------------------

SQL = {"when": "always", "sql": True}


@pytest.mark.short_io
@pytest.mark.parametrize("statement,reads", [
    ("SELECT 1", True), ("  -- INSERT\n/* x */ with a as (select 1) select * from a", True),
    ("SHOW TABLES", True), ("INSERT INTO t VALUES (1)", False),
    ("SELECT 1; DROP TABLE t", False), ("WITH a AS (SELECT 1) INSERT INTO t SELECT 1", False),
    ("", False)])
def test_the_verb_decides(shop, statement, reads):
    gw = shop(SQL)
    for chunked in (False, True):
        reply = ask(gw, "POST", "/", statement.encode(), chunked=chunked)
        assert reply.status == (200 if reads else 503), reply
        if reads:
            assert gw.up.requests[-1].body == statement.encode()
    assert gw.up.count == (2 if reads else 0)


@pytest.mark.parametrize("query,body,reads", [
    ("SELECT 1", b"", True), ("SELECT 1 WHERE", b" x = 1", True), ("INSERT INTO t FORMAT CSV", b"1,2", False),
    ("SELECT 1;", b"DROP TABLE t", False), ("SHOW TABLES", b"", True)])
def test_the_statement_in_the_query(shop, query, body, reads):
    gw = shop(SQL)
    reply = ask(gw, "POST", "/?database=x&query=" + urllib.parse.quote(query), body)
    assert reply.status == (200 if reads else 503)


def test_what_cannot_be_read_is_a_write(shop):
    gw = shop(SQL)
    assert ask(gw, "POST", "/", b"SELECT 1", "Content-Encoding: gzip").status == 503
    with gw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\nSELECT 1 --"
                    + b" " * 100000)
        assert client.answer().status == 503
    assert gw.up.count == 0


def test_who_asks_first_is_told_to_send(shop):
    gw = shop(SQL)
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n"
                    "Expect: 100-continue\r\n\r\n")
        assert client.answer(interim=True).status == 100
        client.send("SELECT 1")
        assert client.answer().status == 200


def test_a_healthy_service_streams_as_ever(shop, upstream, gateway):
    up = upstream()
    gw = gateway([up], read_only={"when": "degraded", "sql": True})
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nSELEC")
        link = up.accept()
        link.head()
        assert link.exactly(5) == b"SELEC"  # before the rest has come
        client.send("T 123")
        assert link.exactly(5) == b"T 123"
        link.reply(b"done")
        assert client.answer().body == b"done"
