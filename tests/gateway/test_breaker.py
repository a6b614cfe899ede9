"""The breaker of a service, as clients and operators meet it."""
import json
import select
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.waiting import DEADLINE, eventually

FAIL = answer(b"no", "500 Internal Server Error")
GOOD = answer(b"good")
ONCE = {"max": 0}


@pytest.fixture
def moody(server):
    """An upstream whose answer the test chooses."""
    def make(first=FAIL):
        up = server(lambda request, link: up.answer)
        up.answer = first
        return up

    return make


def statuses(gw, count):
    with gw.connect() as client:
        return [client.get().status for _ in range(count)]


def changes(admin):
    events = admin.json("/api/v1/circuit-breakers/web/history")["events"]
    return [event for event in events if event["kind"] == "state_change"]


# ---- what opens it -------------------------------------------------------------


def test_failures_in_a_row_open_it(gateway, moody):
    up = moody()
    gw = gateway([up], retry=ONCE, breaker={"consecutive": 3, "open": "1h"})
    assert statuses(gw, 5) == [500, 500, 500, 503, 503]
    assert up.count == 3


def test_a_success_in_between_begins_the_row_anew(gateway, moody):
    up = moody()
    gw = gateway([up], retry=ONCE, breaker={"consecutive": 3, "open": "1h"})
    statuses(gw, 2)
    up.answer = GOOD
    statuses(gw, 1)
    up.answer = FAIL
    assert statuses(gw, 3) == [500, 500, 500]
    assert statuses(gw, 1) == [503]


def test_failures_in_the_window_open_it(gateway, moody):
    up = moody(GOOD)
    gw = gateway([up], retry=ONCE, breaker={"failures": 3, "window": 10, "open": "1h"})
    for kind in (FAIL, GOOD, GOOD, FAIL, GOOD, FAIL):
        up.answer = kind
        statuses(gw, 1)
    up.answer = GOOD
    assert statuses(gw, 1) == [503]


def test_the_rate_counts_from_min_calls_on(gateway, moody):
    up = moody()
    gw = gateway([up], retry=ONCE,
                 breaker={"failure_rate": "50%", "min_calls": 6, "window": "1h", "open": "1h"})
    assert statuses(gw, 5) == [500] * 5
    up.answer = GOOD
    assert statuses(gw, 2) == [200, 503]  # the sixth, a success, is what tips the scale


def test_a_rate_below_the_rule_never_opens_it(gateway, moody):
    up = moody()
    gw = gateway([up], retry=ONCE,
                 breaker={"failure_rate": "50%", "min_calls": 4, "window": "1h", "open": "1h"})
    for _ in range(10):
        up.answer = GOOD
        assert statuses(gw, 2) == [200, 200]
        up.answer = FAIL
        assert statuses(gw, 1) == [500]


@pytest.mark.parametrize("status,opens", [
    ("400 Bad", False), ("404 Not Found", False), ("429 Too Many", False), ("499 Gone", False),
    ("501 Not Implemented", False), ("505 Version", False),
    ("500 Error", True), ("502 Bad Gateway", True), ("503 Unavailable", True), ("599 X", True)])
def test_which_answers_are_failures(gateway, moody, status, opens):
    up = moody(answer(b"", status))
    gw = gateway([up], retry=ONCE, breaker={"consecutive": 2, "open": "1h"})
    statuses(gw, 2)
    up.answer = GOOD
    assert statuses(gw, 1) == ([503] if opens else [200])


def test_a_hang_opens_it_though_its_clients_leave_first(gateway, upstream):
    """No timeout of ours is near; the clients' patience is shorter. Each that left was
    older than slow_call, and that counts."""
    up = upstream()
    gw = gateway([up], admin=ADMIN, retry=ONCE,
                 breaker={"slow_call": "20ms", "consecutive": 3, "open": "1h"},
                 timeout={"attempt": "1h", "total": "1h"})
    clients = [gw.connect() for _ in range(3)]
    for client in clients:
        client.ask()
        up.accept().request()
    with Admin(gw) as admin:
        # what is still under way and slow counts already
        admin.wait_state("open")
    for client in clients:
        client.close()
    assert gw.get().status == 503


def test_a_client_that_leaves_early_is_nobodys_fault(gateway, upstream):
    up = upstream()
    gw = gateway([up], admin=ADMIN, retry=ONCE,
                 breaker={"slow_call": "1h", "consecutive": 1, "open": "1h"})
    for _ in range(5):
        with gw.connect() as client:
            client.ask()
            link = up.accept()
            link.request()
        assert link.ending() in ("ended", "reset")
    with gw.connect() as client:
        client.ask()
        up.serve(b"good")
        assert client.answer().body == b"good"


def test_an_answer_that_breaks_off_is_a_failure(gateway, server):
    """Although its head was a good one."""
    def respond(request, link):
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    up = server(respond)
    gw = gateway([up], admin=ADMIN, retry=ONCE, breaker={"consecutive": 2, "open": "1h"})
    for _ in range(2):
        gw.raw_request("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    with Admin(gw) as admin:
        admin.wait_state("open")
    assert gw.get().status == 503


def test_it_can_be_switched_off(gateway, moody):
    up = moody()
    gw = gateway([up], retry=ONCE, breaker={"consecutive": 1, "open": "1h"},
                 enabled={"breaker": False})
    assert statuses(gw, 10) == [500] * 10 and up.count == 10


# ---- what clients see while it is open --------------------------------------------


def test_what_a_refused_client_is_told(gateway, moody):
    up = moody()
    gw = gateway([up], retry=ONCE, breaker={"consecutive": 1, "open": "1m", "jitter": "0%"},
                 message={"open": "The shop takes a short break."})
    gw.get()
    reply = gw.get()
    assert reply.status == 503
    assert 1 <= int(reply.headers["Retry-After"]) <= 60
    source, story = reply.story
    assert story["reason"] == "open" and story["breaker"] == "open" and story["attempts"] == "0"
    assert "switchgear" in reply.headers["Proxy-Status"]
    body = json.loads(reply.body)
    assert body["error"] == "The shop takes a short break."
    assert body["status"] == 503 and body["service"] == "web" and body["reason"] == "open"
    assert body["retry_after"] == int(reply.headers["Retry-After"])
    assert body["type"] and body["title"]
    assert up.count == 1


def test_a_refused_head_request_has_no_body(gateway, moody):
    gw = gateway([moody()], retry=ONCE, breaker={"consecutive": 1, "open": "1h"})
    gw.get()
    with gw.connect() as client:
        assert client.get(method="HEAD").status == 503
        assert client.get(method="HEAD").status == 503  # nothing was left over in between


# ---- how it comes back --------------------------------------------------------------


def test_probes_close_it(gateway, moody):
    up = moody()
    gw = gateway([up], admin=ADMIN, retry=ONCE,
                 breaker={"consecutive": 1, "open": "10ms", "open_max": "10ms", "close_after": 2})
    gw.get()
    up.answer = GOOD
    eventually(lambda: gw.get().status == 200, "a probe passes")
    assert statuses(gw, 3) == [200, 200, 200]
    with Admin(gw) as admin:
        assert admin.breaker()["state"] == "closed"
        assert {c["to"] for c in changes(admin)} == {"open", "half_open", "closed"}


def test_a_probe_that_fails_opens_it_again(gateway, moody):
    up = moody()
    gw = gateway([up], retry=ONCE,
                 breaker={"consecutive": 1, "open": "10ms", "open_max": "1h", "jitter": "0%"})
    gw.get()
    seen = up.count
    eventually(lambda: gw.get() and up.count == seen + 1, "the probe")
    reply = gw.get()
    assert reply.status == 503 and up.count == seen + 1


def test_no_more_probes_than_allowed(gateway, server):
    """While they are out, everybody else is refused at once."""
    gate = threading.Event()

    def hold(request, link):
        gate.wait(DEADLINE)
        return GOOD

    up = server(lambda request, link: FAIL)
    gw = gateway([up], retry=ONCE, workers=2,
                 breaker={"consecutive": 1, "open": "1ms", "open_max": "1ms", "half_open": 2,
                          "close_after": 2})
    assert gw.get().status == 500
    up.respond = hold
    clients = []
    while up.count < 3:
        clients.append(gw.connect())
        clients[-1].ask()
        eventually(lambda: up.count == 1 + out(clients), "it is a probe, or is refused")
    for _ in range(10):
        reply = gw.get()
        assert reply.status == 503 and reply.story[1]["reason"] == "half_open_full"
    assert up.count == 3
    gate.set()
    assert [client.answer().status for client in clients].count(200) == 2
    assert gw.get().status == 200
    for client in clients:
        client.close()


def readable(client):
    return bool(select.select([client.sock], [], [], 0)[0])


def out(clients):
    """How many have no answer yet."""
    return sum(not readable(client) for client in clients)


# ---- by hand ------------------------------------------------------------------------


def test_forced_open_refuses_a_service_that_is_well(gateway, moody):
    up = moody(GOOD)
    gw = gateway([up], admin=ADMIN)
    with Admin(gw) as admin:
        assert admin.command("force-open", reason="maintenance", author="ann").status_code == 200
        reply = gw.get()
        assert reply.status == 503 and reply.story[1]["reason"] == "forced_open"
        assert up.count == 0
        assert admin.command("reset", author="ann").status_code == 200
        assert gw.get().status == 200


def test_forced_closed_admits_a_service_that_fails(gateway, moody):
    up = moody()
    gw = gateway([up], admin=ADMIN, retry=ONCE, breaker={"consecutive": 1, "open": "1h"})
    gw.get()
    with Admin(gw) as admin:
        assert admin.command("force-close", reason="I know", **{"for": "1h"}).status_code == 200
        assert statuses(gw, 5) == [500] * 5
        assert admin.breaker()["state"] == "forced_closed"


def test_manual_control_ends_by_itself(gateway, moody):
    gw = gateway([moody(GOOD)], admin=ADMIN)
    with Admin(gw) as admin:
        assert admin.command("disable", reason="drill", **{"for": "50ms"}).status_code == 200
        admin.wait_state("closed")
        assert gw.get().status == 200


def test_one_endpoint_is_taken_out_by_name(gateway, server):
    one, two = server(lambda r, l: answer(b"1")), server(lambda r, l: answer(b"2"))
    gw = gateway([one, two], admin=ADMIN)
    with Admin(gw) as admin:
        done = admin.command("force-open", reason="disk", endpoint=one.url)
        assert done.status_code == 200, done.text
        bodies = {gw.get().body for _ in range(20)}
        assert bodies == {b"2"} and one.count == 0
        assert admin.breaker()["state"] == "closed"


# ---- where it is told ------------------------------------------------------------------


def test_each_change_is_in_the_log_the_metrics_and_the_history(gateway, moody):
    up = moody()
    gw = gateway([up], admin=ADMIN, retry=ONCE, breaker={"consecutive": 2, "open": "1h"})
    statuses(gw, 4)
    lines = eventually(lambda: [line for line in gw.lines if line.get("to") == "open"], "a line")
    assert lines[0]["service"] == "web"
    with Admin(gw) as admin:
        text = admin.get("/metrics").text
        for wanted in ('circuit_breaker_state{service="web"} 1',
                       'circuit_breaker_failures_total{service="web"} 2',
                       'circuit_breaker_rejections_total{service="web",reason="open"} 2',
                       'gateway_circuit_breaker_state_changes_total{service="web",state="open"} 1'):
            assert wanted in text, wanted
        [change] = changes(admin)
        assert change["from"] == "closed" and change["to"] == "open"
        assert change["cause"] == "consecutive"
