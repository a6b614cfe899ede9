"""Drills: faults that an operator injects, and what is seen of them."""
import json
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.caching import metric
from kit.http import answer
from kit.mock import command
from kit.tcp import Echo, dial, passing
from kit.waiting import eventually

TOKEN = "drill-sergeant"
ONCE = {"max": 0}
STATIC = {"static": {"status": 200, "text": "instead"}}


@pytest.fixture
def start(gateway):
    """A gateway and its operator, who has the token."""
    def make(endpoints, **keys):
        gw = gateway(endpoints, admin={**ADMIN, "token": TOKEN}, **keys)
        return gw, Admin(gw, TOKEN)
    return make


def drill(admin, expect=201, **body):
    body = {"service": "web", "for": "10m", **body}
    reply = admin.post("/api/v1/drills", json=body)
    assert reply.status_code == expect, reply.text
    return reply.json()


def stop(admin, which=None, **body):
    path = "/api/v1/drills" + (f"/{which['id']}" if which else "")
    reply = admin.request("DELETE", path, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def hits(admin, which):
    return next(d for d in admin.json("/api/v1/drills")["drills"] if d["id"] == which["id"])["hits"]


# ---- what happens to attempts ------------------------------------------------------------------


def test_an_error_instead_of_an_answer(start, server):
    up = server()
    gw, admin = start([up], retry=ONCE)
    assert gw.get().status == 200
    made = drill(admin, kind="error", status=507)
    for method in ("GET", "HEAD", "POST"):
        reply = gw.get(method=method)
        assert reply.status == 507 and reply.story[0] == "upstream"
        assert reply.story[1]["drill"] == "error" and reply.story[1]["attempts"] == "1"
    assert json.loads(gw.get().body) == {"title": "Insufficient Storage", "status": 507}
    assert gw.post(body=b"x" * 300_000).status == 507  # of which nobody reads a byte
    assert up.count == 1 and hits(admin, made) == 5
    stop(admin, made)
    reply = gw.get("/after")
    assert reply.body == b"/after" and "drill" not in reply.story[1]


def test_breaker_retries_and_fallback_react_as_in_an_outage(start, server):
    up = server()
    gw, admin = start([up], breaker={"consecutive": 6, "open": "1h"}, fallback=[STATIC])
    drill(admin, kind="error")
    reply = gw.get()
    assert reply.body == b"instead" and reply.story[1]["attempts"] == "4"  # with three retries
    reply = gw.get()
    assert reply.story[1]["attempts"] == "2"  # then it opened
    reply = gw.get()
    assert reply.body == b"instead" and reply.story[1]["reason"] == "open"
    assert "drill" not in reply.story[1]  # which is the breaker's doing
    assert up.count == 0 and admin.breaker()["state"] == "open"


def test_a_reset_is_retried_where_that_is_safe(start, server):
    up = server()
    gw, admin = start([up])
    made = drill(admin, kind="abort")
    reply = gw.get()
    assert reply.status == 502 and json.loads(reply.body)["reason"] == "reset"
    assert reply.story[1]["attempts"] == "4" and reply.story[1]["drill"] == "abort"
    assert gw.post(body=b"once").story[1]["no_retry"] == "not_idempotent"
    assert up.count == 0 and hits(admin, made) == 5


def test_a_delay_eats_the_attempts_time(start, server):
    up = server()
    gw, admin = start([up], retry=ONCE, timeout={"attempt": "80ms"})
    made = drill(admin, kind="delay", delay_ms=60_000)
    for ask in (gw.get, lambda: gw.post(body=b"hello")):
        reply = ask()
        assert reply.status == 504 and json.loads(reply.body)["reason"] == "timeout"
    assert up.count == 0
    stop(admin, made)
    assert gw.get("/x").body == b"/x"


def test_a_delayed_attempt_is_the_real_one(start, server):
    up = server(lambda request, link: answer(request.body))
    gw, admin = start([up], log={"requests": "all"})
    drill(admin, kind="delay", delay_ms=40.5)
    body = b"body" * 50_000  # more than is kept
    reply = gw.post("/slow", body)
    assert reply.body == body and float(reply.story[1]["took"]) >= 40
    assert reply.story[1]["drill"] == "delay" and up.count == 1
    assert gw.wait_message("request")["drill"] == "delay"
    # delays add up, and go before a fault
    drill(admin, kind="error", delay_ms=40)
    reply = gw.get()
    assert reply.status == 503 and float(reply.story[1]["took"]) >= 80


def test_who_leaves_during_a_delay_leaves_nothing_behind(start, server):
    up = server()
    gw, admin = start([up], drain={"timeout": "200ms"})
    made = drill(admin, kind="delay", delay_ms=600_000)
    waiting = gw.connect()
    waiting.ask("GET", "/")
    leaving = gw.connect()
    leaving.ask("POST", "/", body=b"gone")
    eventually(lambda: hits(admin, made) == 2, "both are held")
    leaving.close()
    eventually(lambda: admin.breaker()["bulkhead"]["in_use"] == 1, "one has gone")
    gw.stop()  # ends the other one
    assert up.count == 0


def test_one_endpoint_of_two(start, server):
    ups = [server(), server()]
    gw, admin = start(ups, breaker={"consecutive": 2, "open": "1h"})
    made = drill(admin, kind="abort", endpoint=ups[0].url)
    assert all(gw.get().status == 200 for _ in range(12))
    assert ups[0].count == 0 and ups[1].count == 12 and 1 <= hits(admin, made) <= 2
    states = {e["name"]: e["state"] for e in admin.breaker()["endpoints"]}
    assert states == {ups[0].url: "open", ups[1].url: "closed"}


def test_a_share_of_attempts(start, server):
    gw, admin = start([server()], retry=ONCE)
    made = drill(admin, kind="error", percent=30)
    with gw.connect() as client:
        failed = sum(client.get().status == 503 for _ in range(400))
    assert hits(admin, made) == failed
    assert abs(failed - 120) < 55  # six standard deviations


def test_only_with_a_header_field(start, server):
    up = server()
    gw, admin = start([up], retry=ONCE)
    named = drill(admin, kind="error", header="X-Drill: yes")
    assert named["header"] == "X-Drill: yes"
    assert [gw.get("/", h).status for h in ("X-Drill: no", "X-Other: yes", "x-drill:  yes ")] \
        == [200, 200, 503]
    stop(admin)
    drill(admin, kind="error", header="X-Drill")
    assert gw.get().status == 200 and gw.get("/", "X-DRILL: anything").status == 503


def test_the_service_behind_a_fallback(start, server):
    """What is drilled is the service that is asked, whoever asks."""
    web, spare = server(lambda r, l: answer(b"", "500 No")), server()
    gw, admin = start([web], retry=ONCE, fallback=[{"service": {"name": "spare"}}, STATIC],
                      services={"spare": {"endpoints": [spare.url], "retry": ONCE}})
    assert gw.get("/a").body == b"/a"
    drill(admin, service="spare", kind="error")
    reply = gw.get()
    assert reply.body == b"instead" and reply.story[1]["drill"] == "error"
    assert web.count == 2 and spare.count == 1


def test_queued_writes_are_delivered_during_a_drill(start, server):
    """They were promised: only the first try can be hit, never a replay."""
    up = server()
    gw, admin = start([up], retry=ONCE, store="sqlite:outbox.db", fallback=[{"queue": {}}])
    drill(admin, kind="error", status=422)
    drill(admin, kind="abort")
    assert gw.post(body=b"no").status == 422  # an answer, as the first drill is the earlier one
    stop(admin, admin.json("/api/v1/drills")["drills"][0])
    assert gw.post("/later", b"promised").status == 202
    up.wait_count(1)
    assert (up.requests[0].target, up.requests[0].body) == ("/later", b"promised")


def is_reset(gw):
    try:
        with dial(gw) as client:
            return client.ending() == "reset"
    except ConnectionResetError:  # before connect() had returned
        return True


def test_connections_that_are_passed_on(gateway):
    service = Echo()
    try:
        gw = gateway(config=passing(service.port, retry={"max": 0}, timeout={"attempt": "10s"},
                                    top={"admin": {**ADMIN, "token": TOKEN}}))
        admin = Admin(gw, TOKEN)
        for wrong in ({"kind": "error"}, {"kind": "abort", "header": "X-Drill"}):
            assert "passed on" in drill(admin, 400, service="db", **wrong)["detail"]
        made = drill(admin, service="db", kind="delay", delay_ms=50)
        with dial(gw) as client:
            client.send(b"hello")
            assert client.exactly(5) == b"hello"
        told = gw.wait_message("connection")
        assert told["drill"] == "delay" and told["connect_ms"] >= 50
        stop(admin, made)
        made = drill(admin, service="db", kind="abort", delay_ms=1)
        assert is_reset(gw)
        told = gw.wait_message("connection", 2)
        assert told["result"] == "failed" and told["drill"] == "abort" and hits(admin, made) == 1
        stop(admin, made)
        made = drill(admin, service="db", kind="abort")
        assert is_reset(gw)
        assert hits(admin, made) == 1
        stop(admin, made)
        held = drill(admin, service="db", kind="delay", delay_ms=600_000)
        with dial(gw):
            eventually(lambda: hits(admin, held) == 1, "it is held back")
        gw.wait_message("connection", 4)  # the client has left
        stop(admin)
        with dial(gw) as client:
            client.send(b"again")
            assert client.exactly(5) == b"again"
        assert "drill" not in gw.wait_message("connection", 5)
    finally:
        service.close()


# ---- who may -------------------------------------------------------------------------------------


def test_only_an_operator_with_a_token(gateway, server):
    body = {"service": "web", "kind": "abort", "for": "1m"}
    none = Admin(gateway([server()], admin=ADMIN))
    for reply in (none.post("/api/v1/drills", json=body), none.delete("/api/v1/drills"),
                  none.delete("/api/v1/drills/0")):
        assert reply.status_code == 403 and reply.json()["reason"] == "no_token"
        assert "admin.token" in reply.json()["detail"]
    gw = gateway([server()], admin={**ADMIN, "token": TOKEN})
    for guess in (None, "wrong"):
        admin = Admin(gw, guess)
        assert admin.post("/api/v1/drills", json=body).status_code == 401
        assert admin.delete("/api/v1/drills").status_code == 401
        assert admin.json("/api/v1/drills") == {"drills": []}  # reading is free on loopback


GOOD = {"service": "web", "kind": "error", "for": "1m"}


@pytest.mark.parametrize("wrong, said", [
    ({"service": None}, "service"), ({"kind": "explode"}, "delay, error or abort"),
    ({"for": "61m"}, "at most 1h"), ({"for": "0s"}, "duration"), ({"for": 60}, "duration"),
    ({"kind": "delay"}, "delay_ms is missing"), ({"delay_ms": 0}, "above 0"),
    ({"delay_ms": 600_001}, "600000"), ({"delay_ms": "1s"}, "milliseconds"),
    ({"status": 200}, "400 to 599"), ({"status": "503"}, "400 to 599"),
    ({"kind": "abort", "status": 503}, "only"), ({"percent": 100.1}, "0 to 100"),
    ({"percent": -1}, "0 to 100"), ({"percent": "30%"}, "0 to 100"),
    ({"header": "two words: x"}, "X-Drill"), ({"header": "X: \u0001"}, "X-Drill"),
    ({"header": ": x"}, "X-Drill"), ({"reason": "x" * 101}, "100"), ({"author": 7}, "47"),
    ({"precent": 3}, "not known"),
])
def test_what_cannot_be_meant_is_refused(admin_once, wrong, said):
    body = {k: v for k, v in {**GOOD, **wrong}.items() if v is not None}
    reply = admin_once.post("/api/v1/drills", json=body)
    assert reply.status_code == 400 and said in reply.json()["detail"], reply.text


def test_what_is_not_there(admin_once):
    drill(admin_once, 404, kind="abort", service="nobody")
    drill(admin_once, 404, kind="abort", endpoint="http://127.0.0.1:1")
    assert admin_once.delete("/api/v1/drills/00000000").status_code == 404
    assert admin_once.post("/api/v1/drills", content=b"[]").status_code == 400
    assert admin_once.post("/api/v1/drills", content=b"").status_code == 400
    assert admin_once.request("DELETE", "/api/v1/drills", json={"for": "1m"}).status_code == 400
    for _ in range(32):
        drill(admin_once, kind="abort", percent=0)
    drill(admin_once, 409, kind="abort")
    assert stop(admin_once) == {"stopped": 32}
    assert stop(admin_once) == {"stopped": 0}


@pytest.fixture(scope="module")
def admin_once(tmp_path_factory):
    """One gateway for all that it refuses."""
    from kit.gateway import Gateway, configuration
    gw = Gateway(tmp_path_factory.mktemp("refusing"),
                 configuration(["http://127.0.0.1:9"], admin={**ADMIN, "token": TOKEN}))
    yield Admin(gw, TOKEN)
    gw.stop()


# ---- seen everywhere -----------------------------------------------------------------------------


def test_everybody_can_see_it(start, server):
    gw, admin = start([server()], retry=ONCE)
    shown = {"ada", "game day", "web"}
    address = gw.wait_message("admin listening")["address"]

    def run(*arguments, **how):
        return command(*arguments, "--admin", address,
                       env={"SWITCHGEAR_ADMIN_TOKEN": TOKEN}, **how)[0]

    assert "no drill is on" in run("drill")
    with admin.follow() as events:
        out = run("drill", "start", "web", "--error", "418", "--percent", "100", "--for", "59m",
                  "--header", "X-Drill: yes", "--reason", "game day", "--author", "ada")
        assert all(word in out for word in ("418", "100%", "X-Drill: yes", *shown))
        began = events.until("drill", to="started")
        assert began["service"] == "web" and began["author"] == "ada" and began["cause"] == "error"
        assert "418 for 100% with X-Drill: game day" in began["text"]

        assert gw.get("/", "X-Drill: yes").status == 418
        for told in (admin.json("/health")["details"]["drills"],
                     admin.json("/api/v1/drills")["drills"],
                     json.loads(run("drill", "list", "--json"))["drills"]):
            [one] = told
            assert one["service"] == "web" and one["status"] == 418 and one["percent"] == 100
            assert one["author"] == "ada" and one["reason"] == "game day" and one["hits"] == 1
            assert one["delay_ms"] is None and one["endpoint"] is None
            assert 0 < one["ends_in_ms"] <= 59 * 60_000
        assert all(word in run("status") for word in shown | {"drill:"})
        assert all(word in run("status", "web") for word in shown | {"drill:"})
        assert metric(admin, 'drills_active{service="web"}') == 1
        assert metric(admin, 'drill_hits_total{service="web",kind="error"}') == 1

        gw.reload()
        assert gw.get("/", "X-Drill: yes").status == 418

        assert "stopped after 2 hits" in run("drill", "stop", one["id"], "--reason", "seen enough")
        ended = events.until("drill", to="stopped")
        assert "seen enough" in ended["text"] and ended["author"] not in ("ada", "")
    assert gw.get("/", "X-Drill: yes").status == 200
    assert metric(admin, 'drills_active{service="web"}') == 0
    assert "drill" not in run("status")
    assert [e["to"] for e in admin.json("/api/v1/circuit-breakers/web/history")["events"]
            if e["kind"] == "drill"] == ["started", "stopped"]
    first, last = gw.messages("drill")
    assert first["what"] == "started" and first["author"] == "ada" and first["reason"] == "game day"
    assert last["what"] == "stopped" and last["hits"] == 2


def test_it_ends_by_itself(start, server):
    gw, admin = start([server()], retry=ONCE)
    with admin.follow() as events:
        drill(admin, kind="abort", **{"for": "300ms"}, author="ada")
        assert gw.get().status == 502
        ended = events.until("drill", to="expired")
        assert ended["author"] == "ada"
    assert gw.get().status == 200 and admin.json("/api/v1/drills") == {"drills": []}
    assert gw.messages("drill")[-1]["what"] == "expired"


def test_starts_and_stops_under_load(start, server):
    """Neither loses a request that was not hit, nor finds a lock held (or, under tsan, a race)."""
    gw, admin = start([server()], retry=ONCE, workers=2)
    wrong, done = [], threading.Event()

    def call():
        with gw.connect() as client:
            while not done.is_set():
                reply = client.get("/x")
                if reply.status not in (200, 503) or \
                        (reply.status == 503) != (reply.story[1].get("drill") == "error"):
                    wrong.append(reply)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for t in threads:
        t.start()
    for _ in range(15):
        made = [drill(admin, kind="error", percent=50), drill(admin, kind="delay", delay_ms=2)]
        stop(admin, made[0])
        stop(admin)
    done.set()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("wrong", [
    ("start",), ("start", "web"), ("start", "web", "--abort"), ("start", "web", "--for", "1m"),
    ("start", "web", "--abort", "--error", "503", "--for", "1m"), ("stop",), ("stop", "x", "--all"),
    ("start", "web", "--error", "200", "--for", "1m"), ("list", "web"), ("frob",),
    ("start", "web", "--abort", "--for", "1m", "--percent", "many"),
])
def test_commands_that_cannot_be_meant(wrong):
    assert "switchgear drill: " in command("drill", *wrong, code=2)[1]
