"""Aggregate routes: an answer of several parts, each under its own service's policy."""
import json
import signal
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.upstream import dead_port
from kit.waiting import DEADLINE, eventually

ONCE = {"max": 0}
FAIL = answer(b"no", "500 Internal Server Error")


def data(value, status="200 OK"):
    return answer(json.dumps(value), status, "Content-Type: application/json")


@pytest.fixture
def dead():
    kept, port = dead_port()
    yield f"http://127.0.0.1:{port}"
    kept.close()


@pytest.fixture
def page(gateway):
    """A gateway with the route /page/{id} made of the parts; services by name."""
    def start(services, parts, **top):
        config = {
            "listen": [{"address": "127.0.0.1:0"}], "admin": ADMIN, "workers": top.pop("workers", 1),
            "services": {name: {"retry": ONCE, "breaker": {"consecutive": 1000}, **keys}
                         for name, keys in services.items()},
            "routes": [{"path": "/page/{id}", "aggregate": parts}], **top}
        return gateway(config=config)
    return start


def two(server, a=None, b=None):
    one = server(a or (lambda r, l: data({"at": r.target})))
    other = server(b or (lambda r, l: data([r.target])))
    return one, other, {"one": {"endpoints": [one.url]}, "two": {"endpoints": [other.url]}}


PARTS = {"first": {"service": "one", "path": "/a"}, "second": {"service": "two", "path": "/b"}}


@pytest.mark.short_io
def test_the_parts_in_order(page, server):
    one, other, services = two(server)
    gw = page(services, {"second": {"service": "two", "path": "/b?x={{path.id}}&y={{query.y|1}}"},
                         "first": {"service": "one", "path": "/items/{{path.id}}"}})
    with gw.connect() as client:
        for _ in range(3):
            reply = client.get("/page/a%2Fb?y=2")
            assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
            assert reply.headers["Cache-Control"] == "no-store"
            assert list(reply.json()) == ["second", "first"]
            assert reply.json() == {
                "second": {"status": 200, "source": "upstream", "data": ["/b?x=a%2Fb&y=2"]},
                "first": {"status": 200, "source": "upstream", "data": {"at": "/items/a%2Fb"}}}
            assert reply.story[0] == "aggregate"


def test_side_by_side(page, server):
    """Each part waits for the other to have been asked."""
    both = threading.Barrier(2)

    def respond(request, link):
        both.wait(DEADLINE)
        return data(1)

    _, _, services = two(server, respond, respond)
    assert page(services, PARTS).get("/page/1").status == 200


def test_a_part_that_fails_costs_only_itself(page, server, dead):
    up = server(lambda r, l: data("good"))
    gw = page({"one": {"endpoints": [up.url]},
               "two": {"endpoints": [dead], "message": {"open": "Two is resting."}}}, PARTS)
    reply = gw.get("/page/1")
    assert reply.status == 200
    assert reply.json() == {"first": {"status": 200, "source": "upstream", "data": "good"},
                            "second": {"status": 502, "reason": "connect", "error": "Two is resting."}}


def test_parts_have_the_fallbacks_of_their_service(page, dead):
    gw = page({"one": {"endpoints": [dead], "fallback": [{"static": {"json": {"items": []}}}]},
               "two": {"endpoints": [dead], "fallback": [{"service": "one"}]}}, PARTS)
    got = gw.get("/page/1").json()
    assert got["first"] == {"status": 200, "source": "static", "data": {"items": []}}
    assert got["second"]["data"] == {"items": []}


def test_parts_come_from_the_cache(page, server):
    one, other, services = two(server)
    services["one"]["cache"] = {"fresh": "1h"}
    gw = page(services, PARTS)
    gw.get("/page/1")
    assert gw.get("/page/2").json()["first"]["source"] == "cache"
    assert one.count == 1 and other.count == 2


@pytest.mark.parametrize("required,status", [(False, 200), (True, 503)])
def test_required_parts(page, server, required, status):
    _, _, services = two(server, b=lambda r, l: FAIL)
    gw = page(services, {**PARTS, "second": {**PARTS["second"], "required": required}})
    reply = gw.get("/page/1")
    assert reply.status == status and reply.json()["first"]["data"] == {"at": "/a"}
    assert reply.json()["second"] == {"status": 500, "reason": "status",
                                      "error": "Internal Server Error"}
    assert ("Retry-After" in reply.headers) == (status == 503)


def test_none_at_all(page, dead):
    gw = page({"one": {"endpoints": [dead]}, "two": {"endpoints": [dead]}}, PARTS)
    reply = gw.get("/page/1")
    assert reply.status == 503 and int(reply.headers["Retry-After"]) >= 1


def test_a_part_that_hangs_is_not_waited_for(page, server, upstream):
    up, good = upstream(), server(lambda r, l: data(1))
    gw = page({"one": {"endpoints": [good.url]},
               "two": {"endpoints": [up.url], "message": {"timeout": "Two is slow."}}},
              {**PARTS, "second": {**PARTS["second"], "timeout": "50ms"}})
    got = gw.get("/page/1").json()
    assert got["first"]["data"] == 1
    assert got["second"] == {"status": 504, "reason": "timeout", "error": "Two is slow."}
    link = up.accept()
    link.request()
    assert link.whole_ending()[0] == b""  # given up


def test_who_goes_away_takes_all_parts_along(page, upstream):
    one, other = upstream(), upstream()
    gw = page({"one": {"endpoints": [one.url]}, "two": {"endpoints": [other.url]}}, PARTS)
    with gw.connect() as client:
        client.ask("GET", "/page/1")
        links = [one.accept(), other.accept()]
        for link in links:
            link.request()
    for link in links:
        assert link.whole_ending()[0] == b""
    with Admin(gw) as admin:
        eventually(lambda: "gateway_requests_in_flight 0" in admin.get("/metrics").text, "all over")


@pytest.mark.parametrize("body,expected", [
    (b"plain text", "plain text"), (b"{broken", "{broken"), (b"", None), (b" [1, 2] ", [1, 2]),
    (b"12345678901234567890.5e1", 12345678901234567890.5e1), (b"\xff", "\ufffd"), (b'"\\u0000"', "\0")])
def test_what_is_no_json_is_text(page, server, body, expected):
    _, _, services = two(server, a=lambda r, l: answer(body))
    assert page(services, PARTS).get("/page/1").json()["first"]["data"] == expected


def test_a_part_that_is_too_long(page, server):
    _, _, services = two(server, a=lambda r, l: answer(b"x" * 2000))
    got = page(services, {**PARTS, "first": {**PARTS["first"], "max": "1KiB"}}).get("/page/1").json()
    assert got["first"]["reason"] == "too_large" and "data" not in got["first"]
    assert "data" in got["second"]


def test_a_part_that_breaks_off(page, server):
    def respond(request, link):
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    _, _, services = two(server, a=respond)
    got = page(services, PARTS).get("/page/1").json()
    assert got["first"]["reason"] == "reset" and "data" not in got["first"]


def test_fields_of_the_client_go_along(page, server):
    one, other, services = two(server)
    gw = page(services, PARTS)
    reply = gw.get("/page/1", "Authorization: Bearer x", "Cookie: a=b", "Accept-Language: de",
                   "Accept-Encoding: gzip", "If-None-Match: \"x\"", "Range: bytes=0-1",
                   "traceparent: 00-1-2-01", "X-Forwarded-For: 6.6.6.6", "X-Request-Id: my-id",
                   "Connection: X-Hop", "X-Hop: 1")
    assert reply.headers["X-Request-Id"] == "my-id"
    for up in (one, other):
        fields = up.requests[0].headers
        assert fields["Authorization"] == "Bearer x" and fields["Cookie"] == "a=b"
        assert fields["Accept-Language"] == "de" and fields["traceparent"] == "00-1-2-01"
        assert fields["X-Request-Id"] == "my-id" and fields["X-Forwarded-For"] == "127.0.0.1"
        for name in ("Accept-Encoding", "If-None-Match", "Range", "X-Hop"):
            assert name not in fields, name


@pytest.mark.parametrize("method,status", [("HEAD", 200), ("POST", 405), ("OPTIONS", 405)])
def test_methods(page, server, method, status):
    one, _, services = two(server)
    gw = page(services, PARTS)
    with gw.connect() as client:
        reply = client.get("/page/1", method=method)
        assert reply.status == status
        if status == 405:
            assert reply.headers["Allow"] == "GET, HEAD" and one.count == 0
        else:
            assert one.requests[0].method == "GET"
            assert client.get("/page/1").status == 200


def test_a_part_that_lacks_its_value(page, server):
    _, _, services = two(server)
    gw = page(services, {**PARTS, "first": {"service": "one", "path": "/u/{{query.u}}"}})
    assert gw.get("/page/1").json()["first"]["status"] == 400
    assert gw.get("/page/1?u=..").json()["first"]["status"] == 400
    assert gw.get("/page/1?u=7").json()["first"]["data"] == {"at": "/u/7"}


def test_one_line_in_the_log_and_each_service_counts(page, server):
    _, _, services = two(server)
    gw = page(services, PARTS, log={"requests": "all"})
    gw.get("/page/1")
    assert gw.wait_message("request")["path"] == "/page/1"
    with Admin(gw) as admin:
        text = admin.get("/metrics").text
    for name in ("one", "two"):
        assert f'gateway_proxy_requests_total{{service="{name}",method="GET",status="200"}} 1' in text
    assert len(gw.messages("request")) == 1


def test_a_page_under_way_is_finished_when_the_gateway_ends(page, upstream, server):
    """One part is answered during the drain; the other waits for a retry, which is given up."""
    slow, bad = upstream(), server(lambda r, l: FAIL)
    gw = page({"one": {"endpoints": [slow.url]},
               "two": {"endpoints": [bad.url], "retry": {"max": 3, "base": "1h", "cap": "1h", "jitter": "none"},
                       "timeout": {"total": "10h"}}},
              PARTS, drain={"delay": "0s", "timeout": "1h"})
    with gw.connect() as client:
        client.ask("GET", "/page/1")
        link = slow.accept()
        link.request()
        bad.wait_count(1)
        gw.signal(signal.SIGTERM)
        gw.wait_message("draining")
        link.reply(b"[1]")
        reply = client.answer()
        assert reply.status == 200 and reply.json()["first"]["data"] == [1]
        assert "data" not in reply.json()["second"] and reply.json()["second"]["error"]
        assert reply.headers["Connection"] == "close"
    assert gw.wait() == 0


def test_a_crowd_while_the_configuration_changes(page, server):
    one, _, services = two(server, b=lambda r, l: FAIL)
    gw = page(services, PARTS, workers=2)
    config = json.loads(gw.path.read_text())
    bad = []

    def many():
        with gw.connect() as client:
            for i in range(60):
                reply = client.get(f"/page/{i}")
                if reply.status != 200 or reply.json()["first"]["data"] != {"at": "/a"}:
                    bad.append(reply)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        gw.reload(config)
    for thread in threads:
        thread.join(DEADLINE)
    assert not bad
