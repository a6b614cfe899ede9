"""A new configuration while requests run: nothing is lost, nothing is forgotten."""
import copy
import signal

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import configuration
from kit.http import answer
from kit.load import Load, echo
from kit.mock import command
from kit.upstream import dead_port

FAIL = answer(b"no", "500 Internal Server Error")


def with_change(config, **keys):
    """The same configuration with other keys of the service `web`."""
    changed = copy.deepcopy(config)
    changed["services"]["web"].update(keys)
    return changed


@pytest.mark.threads
def test_no_request_fails_in_a_hundred_reloads(gateway, server):
    up, other = server(echo), server(echo)
    one = configuration([up], workers=2)
    two = configuration([other, up], workers=2, bulkhead={"concurrent": 50},
                        routes=[{"path": "/extra", "service": "web"},
                                {"prefix": "/", "service": "web"}])
    gw = gateway(config=one)
    load = Load(gw, clients=4)
    for i in range(100):
        gw.reload(one if i % 2 else two)
        if i % 10 == 0:
            load.wait_answers(5)
    load.stop()
    assert up.count and other.count


def test_memory_does_not_grow_with_reloads(gateway, server):
    config = configuration([server(echo)], workers=2)
    gw = gateway(config=config)

    def reload_many():
        for i in range(60):
            gw.reload(with_change(config, message={"open": f"Message {i}."}))
            gw.get("/")
        return gw.rss()

    reload_many()
    before = reload_many()
    assert reload_many() < before + (8 << 20)


def test_an_open_breaker_stays_open(gateway, server):
    up = server(lambda request, link: FAIL)
    config = configuration([up], admin=ADMIN, breaker={"consecutive": 3, "open": "1h"},
                           retry={"max": 0})
    gw = gateway(config=config)
    for _ in range(3):
        assert gw.get().status == 500
    with Admin(gw) as admin:
        before = admin.breaker()
        assert before["state"] == "open"
        gw.reload(with_change(config, message={"open": "Another sentence."}))
        after = admin.breaker()
        assert after["state"] == "open" and after["opened_at"] == before["opened_at"]
        assert after["failure_count"] == before["failure_count"]
    reply = gw.get()
    assert reply.status == 503 and b"Another sentence." in reply.body
    assert up.count == 3


def test_a_window_that_is_half_full_goes_on(gateway, server):
    up = server(lambda request, link: FAIL)
    config = configuration([up], breaker={"failures": 6, "window": 100, "open": "1h"},
                           retry={"max": 0})
    gw = gateway(config=config)
    for _ in range(4):
        assert gw.get().status == 500
    gw.reload(with_change(config, breaker={"failures": 6, "window": 50, "open": "1h"}))
    assert gw.get().status == 500
    assert gw.get().status == 500
    assert gw.get().status == 503 and up.count == 6


def test_manual_control_survives(gateway, server):
    config = configuration([server(echo)], admin=ADMIN)
    gw = gateway(config=config)
    with Admin(gw) as admin:
        assert admin.command("force-open", reason="maintenance", author="me").status_code == 200
        gw.reload(with_change(config, message={"open": "Back soon."}))
        assert admin.breaker()["state"] == "forced_open"
        assert gw.get().status == 503
        assert admin.command("reset", author="me").status_code == 200
        assert gw.get().status == 200


def test_new_endpoints_count_at_once(gateway, server):
    one = server(lambda request, link: answer(b"one"))
    two = server(lambda request, link: answer(b"two"))
    config = configuration([one])
    gw = gateway(config=config)
    with gw.connect() as client:
        assert client.get().body == b"one"
        gw.reload(with_change(config, endpoints=[two.url]))
        assert client.get().body == b"two"  # also for clients that are connected


def test_new_routes_count_at_once(gateway, server):
    up = server(echo)
    gw = gateway(config=configuration([up], routes=[{"prefix": "/a", "service": "web"}]))
    assert gw.get("/a").status == 200 and gw.get("/b").status == 404
    gw.reload(configuration([up], routes=[{"prefix": "/b", "service": "web"}]))
    assert gw.get("/a").status == 404 and gw.get("/b").status == 200


def test_a_running_call_keeps_what_it_began_with(gateway, upstream, server):
    """Its endpoint, its retries, and its fallback."""
    up, other = upstream(), server(lambda request, link: answer(b"other"))
    config = configuration([up], fallback=[{"static": {"status": 200, "text": "old"}}],
                           retry={"max": 0})
    gw = gateway(config=config)
    with gw.connect() as client:
        client.ask()
        link = up.accept()
        link.request()
        gw.reload(with_change(config, endpoints=[other.url],
                              fallback=[{"static": {"status": 200, "text": "new"}}]))
        link.send(FAIL)
        assert client.answer().body == b"old"
        assert client.get().body == b"other"


def test_a_service_may_go_while_it_answers(gateway, upstream, server):
    up, stays = upstream(), server(echo)
    config = configuration([stays], services={"old": {"endpoints": [up.url]}},
                           routes=[{"path": "/old", "service": "old"},
                                   {"prefix": "/", "service": "web"}])
    gw = gateway(config=config)
    with gw.connect() as client:
        client.ask("GET", "/old")
        link = up.accept()
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        assert client.head().status == 200
        gw.reload(configuration([stays]))
        link.send(b"def")
        assert client.exactly(6) == b"abcdef"
        assert client.get("/old").body == b"/old"  # of the service that is left


def test_connections_to_endpoints_that_are_gone_are_closed(gateway, upstream, server):
    up, other = upstream(), server(echo)
    config = configuration([up])
    gw = gateway(config=config)
    with gw.connect() as client:
        client.ask()
        link, _ = up.serve(b"x")
        assert client.answer().body == b"x"
        gw.reload(with_change(config, endpoints=[other.url]))
        assert link.ending() == "ended"


# ---- what does not load ------------------------------------------------------

BAD = """\
listen: [{address: "127.0.0.1:0"}]
services:
  web:
    endpoints: [http://127.0.0.1:1]
    retri: {max: 3}
routes: [{prefix: /, service: nobody}]
"""


def test_a_bad_file_changes_nothing_and_says_why(gateway, server):
    up = server(echo)
    gw = gateway(config=configuration([up], admin=ADMIN))
    gw.write(BAD)
    gw.signal(signal.SIGHUP)
    line = gw.wait_message("configuration not reloaded: the old one stays in force")
    for part in (":5:5:", "retri", "did you mean", "retry", ":6:", "nobody"):
        assert part in line["cause"], line
    assert gw.get("/still").body == b"/still"
    with Admin(gw) as admin:
        refused = admin.post("/api/v1/config/reload")
        assert refused.status_code == 422 or refused.status_code == 400, refused.text
        assert "retri" in refused.text and refused.headers["content-type"].startswith(
            "application/problem+json")
    assert gw.get("/still").body == b"/still"


@pytest.mark.parametrize("text", ["", "listen: [", "\0\1\2", "services: {}", "- 1\n- 2"])
def test_what_is_no_configuration_at_all_changes_nothing(gateway, server, text):
    gw = gateway([server(echo)])
    gw.write(text)
    gw.signal(signal.SIGHUP)
    gw.wait_message("configuration not reloaded: the old one stays in force")
    assert gw.get("/still").body == b"/still"


def test_a_file_that_is_gone_changes_nothing(gateway, server):
    gw = gateway([server(echo)])
    gw.path.unlink()
    gw.signal(signal.SIGHUP)
    line = gw.wait_message("configuration not reloaded: the old one stays in force")
    assert "switchgear.yaml" in line["cause"]
    assert gw.get("/still").body == b"/still"


@pytest.mark.threads
def test_bad_files_in_between_lose_no_request(gateway, server):
    config = configuration([server(echo)], workers=2)
    gw = gateway(config=config)
    load = Load(gw, clients=3)
    for _ in range(10):
        gw.reload(BAD, ok=False)
        gw.reload(config)
    load.wait_answers(5)
    load.stop()


def test_what_needs_a_restart_is_told(gateway, server):
    config = configuration([server(echo)])
    gw = gateway(config=config)
    line = gw.reload({**config, "workers": 2})
    assert "workers" in line["needs_restart"]
    assert gw.get("/still").body == b"/still"


# ---- other ways to ask for it ---------------------------------------------------


def test_the_command_reloads(gateway, server):
    config = configuration([server(echo)], admin=ADMIN)
    gw = gateway(config=config)
    with Admin(gw) as admin:
        address = str(admin.base_url)
    gw.write(with_change(config, endpoints=["http://127.0.0.1:1"]))
    command("reload", "--admin", address)
    gw.wait_message("configuration reloaded")
    assert gw.get().status == 502 or gw.get().status == 503
    gw.write(BAD)
    _, err = command("reload", "--admin", address, code=2)
    assert "retri" in err


def test_a_reload_that_brings_the_endpoint_back_is_served(gateway, server):
    """The three-at-night case: the address was wrong, and the breaker open."""
    kept, port = dead_port()
    config = configuration([f"http://127.0.0.1:{port}"],
                           breaker={"consecutive": 2, "open": "1h"}, retry={"max": 0})
    gw = gateway(config=config)
    up = server(echo)
    for _ in range(3):
        assert gw.get().status in (502, 503)
    gw.reload(with_change(config, endpoints=[up.url]))
    assert gw.get("/back").body == b"/back"
    kept.close()
