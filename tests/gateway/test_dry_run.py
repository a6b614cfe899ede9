"""POST /api/v1/fallbacks/{service}/test: the chain as if the service were gone."""
import json
import sqlite3
import subprocess
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY
from kit.http import answer
from kit.waiting import DEADLINE

ONCE = {"max": 0}
STATIC = {"static": {"json": {"id": "{{path.id}}", "n": "{{body.n}}", "who": "{{header.X-User}}"}}}


@pytest.fixture
def web(gateway, server):
    """A gateway with one healthy service behind /u/{id}, and its admin API."""
    admins = []

    def start(fallback, services=None, **keys):
        up = server(lambda r, l: answer(b"healthy", "200 OK", "Cache-Control: max-age=60"))
        top = {k: keys.pop(k) for k in ("store", "databases") if k in keys}
        config = {
            "listen": [{"address": "127.0.0.1:0"}], "admin": ADMIN, "workers": keys.pop("workers", 1),
            "services": {"web": {"endpoints": [up.url], "retry": ONCE, "fallback": fallback, **keys},
                         **(services or {})},
            "routes": [{"path": "/u/{id}", "service": "web"}, {"prefix": "/", "service": "web"}],
            **top}
        gw = gateway(config=config)
        gw.up, gw.admin = up, Admin(gw)
        admins.append(gw.admin)
        return gw

    yield start
    for admin in admins:
        admin.close()


def dry(gw, service="web", status=200, **body):
    reply = gw.admin.post(f"/api/v1/fallbacks/{service}/test", json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


def results(told):
    return [(t["tier"], t["result"]) for t in told["tiers"]]


def test_a_healthy_service_is_not_asked(web):
    gw = web([STATIC])
    told = dry(gw, path="/u/7?x=1", method="POST", headers={"X-User": "ann"}, body={"n": 5})
    assert gw.up.count == 0
    assert told["would_answer"] == "1-static" and told["service"] == "web"
    tier = told["tiers"][0]
    assert tier["kind"] == "static" and tier["result"] == "answered" and tier["status"] == 200
    assert json.loads(tier["preview"]) == {"id": "7", "n": 5, "who": "ann"}
    assert tier["took_ms"] >= 0


def test_nothing_is_counted(web):
    gw = web([STATIC], rate_limit={"rate": "1/h", "burst": 1})
    before = gw.admin.breaker()
    for _ in range(3):
        dry(gw)
    assert gw.admin.breaker() == {**before, "next_probe_in_ms": before["next_probe_in_ms"]}
    text = gw.admin.get("/metrics").text
    assert 'fallback_tried_total{service="web",tier="1-static"} 0' in text
    assert 'rejections_total{service="web"' not in text
    assert 'gateway_proxy_requests_total{service="web"' not in text
    assert gw.get().status == 200  # the one that the rate allows


def test_stale(web):
    gw = web([{"stale": {}}, STATIC], cache={"fresh": "1h", "stale": "1h"})
    assert results(dry(gw, path="/a")) == [("1-stale", "failed"), ("2-static", "answered")]
    gw.get("/a", "Host: shop.example.com")
    told = dry(gw, path="/a", headers={"Host": "shop.example.com"})
    assert results(told) == [("1-stale", "answered"), ("2-static", "not_reached")]
    assert told["tiers"][0]["preview"] == "healthy" and told["would_answer"] == "1-stale"


def test_another_service_is_asked_only_when_told_to(web, server):
    other = server(lambda r, l: answer(b"from " + r.target.encode()))
    gw = web([{"service": {"name": "other", "path": "/v2/{{path.id}}"}}, STATIC],
             services={"other": {"endpoints": [other.url], "retry": ONCE}})
    told = dry(gw, path="/u/7")
    assert results(told) == [("1-service", "would_ask"), ("2-static", "answered")]
    assert told["would_answer"] == "1-service" and other.count == 0
    told = dry(gw, path="/u/7", ask=True)
    assert results(told) == [("1-service", "answered"), ("2-static", "not_reached")]
    assert told["tiers"][0]["preview"] == "from /v2/7" and other.count == 1
    gw.admin.command("force-open", "other")
    told = dry(gw)
    assert told["tiers"][0]["result"] == "failed" and "open" in told["tiers"][0]["reason"]
    assert told["would_answer"] == "2-static"


def test_a_service_that_hangs(web, upstream):
    up = upstream()
    gw = web([{"service": "other"}, STATIC], timeout={"total": "200ms"},
             services={"other": {"endpoints": [up.url], "retry": ONCE}})
    assert results(dry(gw, ask=True)) == [("1-service", "failed"), ("2-static", "answered")]


def test_a_queue_stores_nothing(web, tmp_path):
    gw = web([{"queue": {}}, STATIC], store=f"sqlite:{tmp_path}/outbox.db")
    told = dry(gw, method="POST", path="/orders", body="x")
    assert results(told) == [("1-queue", "would_queue"), ("2-static", "answered")]
    assert told["would_answer"] == "1-queue"
    assert results(dry(gw)) == [("1-queue", "skipped"), ("2-static", "answered")]  # a read
    assert gw.admin.json("/api/v1/outbox")["entries"] == []


def test_a_query(web, tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE users (id INTEGER, name TEXT)")
        db.execute("INSERT INTO users VALUES (7, 'ann')")
    gw = web([{"sql": {"database": f"sqlite:{path}", "query": "SELECT name FROM users WHERE id = :id",
                       "params": {"id": "path.id"}, "as": "row", "public": True}}, STATIC])
    told = dry(gw, path="/u/7")
    assert told["would_answer"] == "1-sql" and json.loads(told["tiers"][0]["preview"]) == {"name": "ann"}
    assert results(dry(gw, path="/u/8"))[1] == ("2-static", "answered")


def test_nobody_would_answer(web):
    gw = web([{"stale": {}}], cache={"fresh": "1h"})
    told = dry(gw)
    assert told["would_answer"] is None and told["status"] == 503
    assert results(told) == [("1-stale", "failed")]


@pytest.mark.parametrize("body", [
    {"pth": "/"}, {"path": "x"}, {"path": "/ x"}, {"method": "GET /"}, {"headers": {"A": "b\r\nC: d"}},
    {"headers": {"Content-Length": "5"}}, {"headers": []}, {"assume": "nothing"}, {"ask": "yes"}])
def test_what_is_wrong_is_told(web, body):
    assert dry(web([STATIC]), status=400, **body)["reason"] == "bad_body"


def test_unknown_services_and_the_other_path(web):
    gw = web([STATIC])
    assert dry(gw, "nobody", status=404)["reason"] == "unknown_service"
    reply = gw.admin.post("/fallback-chain/test", json={"service": "web", "path": "/u/1"})
    assert reply.json()["would_answer"] == "1-static"
    assert gw.admin.post("/fallback-chain/test", json={}).status_code == 404


def test_who_goes_away_while_it_runs(web, upstream):
    up = upstream()
    gw = web([{"service": "other"}], services={"other": {"endpoints": [up.url], "retry": ONCE}},
             timeout={"total": "300ms"})
    for _ in range(3):
        try:
            gw.admin.post("/api/v1/fallbacks/web/test", json={"ask": True}, timeout=0.05)
        except Exception:
            pass
    assert results(dry(gw)) == [("1-service", "would_ask")]


def test_many_at_once_while_the_configuration_changes(web):
    gw = web([STATIC], workers=2)
    config = json.loads(gw.path.read_text())
    bad = []

    def many():
        with Admin(gw) as admin:
            for i in range(30):
                told = admin.post("/api/v1/fallbacks/web/test", json={"path": f"/u/{i}"}).json()
                if told.get("would_answer") != "1-static":
                    bad.append(told)

    threads = [threading.Thread(target=many) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        gw.reload(config)
    for thread in threads:
        thread.join(DEADLINE)
    assert not bad


def test_from_the_command_line(web):
    gw = web([{"stale": {}}, STATIC], cache={"fresh": "1h"})
    address = str(gw.admin.base_url.netloc, "ascii")

    def explain(*more):
        return subprocess.run([BINARY, "explain", "-c", gw.path, "--admin", address, "--rehearse",
                               "/u/7", "-H", "X-User: ann", *more],
                              capture_output=True, text=True, timeout=DEADLINE)

    told = explain()
    assert told.returncode == 0, told
    assert "if the service were gone now: 2-static" in told.stdout
    assert '200 {"id":"7","n":null,"who":"ann"}' in told.stdout
    assert "1-stale: failed" in told.stdout
    assert json.loads(explain("--json").stdout)["would_answer"] == "2-static"


def test_tiers_have_a_histogram(gateway, server):
    up = server(lambda r, l: answer(b"no", "500 No"))
    gw = gateway([up], retry=ONCE, admin=ADMIN, cache={"stale": "1h"},
                 fallback=[{"stale": {}}, {"static": {"text": "x"}}])
    for _ in range(3):
        gw.get()
    with Admin(gw) as admin:
        text = admin.get("/metrics").text
    for tier in ("1-stale", "2-static"):
        assert f'fallback_tier_duration_seconds_count{{service="web",tier="{tier}"}} 3' in text
