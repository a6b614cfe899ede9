"""The end of a gateway: nobody who asks notices."""
import signal
import socket

import pytest

from kit.admin import ADMIN, Admin
from kit.http import Client, answer
from kit.load import Load, echo
from kit.waiting import DEADLINE, eventually

FOREVER = {"delay": "0s", "timeout": "1h"}


@pytest.mark.threads
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_request_fails_when_it_is_told_to_end(gateway, server, number):
    gw = gateway([server(echo)], workers=2, drain={"delay": "300ms", "timeout": "1h"})
    load = Load(gw, clients=6)
    load.wait_answers(100)
    gw.signal(number)
    load.wait_close_told()
    load.join()  # each ends when it cannot connect any more
    assert load.refused == 6
    assert gw.wait() == 0


def test_who_waits_to_be_accepted_is_served(gateway, server):
    gw = gateway([server(echo)], drain=FOREVER)
    # stopped, it accepts nobody: the kernel alone has these connections
    gw.signal(signal.SIGSTOP)
    waiting = [gw.connect() for _ in range(20)]
    for i, client in enumerate(waiting):
        client.ask("GET", f"/{i}")
    gw.signal(signal.SIGTERM)
    gw.signal(signal.SIGCONT)
    for i, client in enumerate(waiting):
        assert client.answer().body == b"/%d" % i
    assert gw.wait() == 0


def test_running_requests_finish(gateway, upstream):
    up = upstream()
    gw = gateway([up], drain=FOREVER)
    with gw.connect() as slow, gw.connect() as streaming:
        slow.ask("GET", "/slow")
        link = up.accept()
        link.request()
        streaming.ask("GET", "/stream")
        stream = up.accept()
        stream.request()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        assert streaming.head().status == 200
        gw.signal(signal.SIGTERM)
        gw.wait_message("draining")
        link.reply(b"late")
        reply = slow.answer()
        assert reply.body == b"late" and reply.headers["Connection"] == "close"
        assert slow.ending() == "ended"
        stream.send(b"def")
        assert streaming.exactly(6) == b"abcdef"
        assert streaming.ending() == "ended"
    assert gw.wait() == 0


def test_idle_clients_are_closed_after_the_delay(gateway, server):
    gw = gateway([server(echo)], drain={"delay": "10ms", "timeout": "1h"})
    with gw.connect() as used, gw.connect() as silent:
        used.get("/")
        gw.signal(signal.SIGTERM)
        assert used.ending() == "ended"
        assert silent.ending() == "ended"
    assert gw.wait() == 0


def test_in_the_delay_new_clients_are_still_served(gateway, server):
    gw = gateway([server(echo)], drain={"delay": "1h", "timeout": "1h"})
    gw.signal(signal.SIGTERM)
    gw.wait_message("draining")
    for _ in range(3):
        with gw.connect() as client:
            reply = client.get("/x")
            assert reply.status == 200 and reply.headers["Connection"] == "close"
            assert client.ending() == "ended"
    gw.signal(signal.SIGTERM)
    assert gw.wait() == 0


def test_after_the_delay_nobody_can_connect(gateway, upstream):
    up = upstream()
    gw = gateway([up], drain=FOREVER)
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        port = gw.port
        gw.signal(signal.SIGTERM)

        def refused():
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) != 0

        eventually(refused, "connections are refused")
        link.reply(b"x")
        assert client.answer().body == b"x"
    assert gw.wait() == 0


def test_a_request_that_does_not_end_is_cut_off(gateway, upstream):
    up = upstream()
    gw = gateway([up], drain={"delay": "0s", "timeout": "50ms"})
    with gw.connect() as client:
        client.ask("GET", "/")
        up.accept().request()
        gw.signal(signal.SIGTERM)
        line = gw.wait_message("drain time is over; requests are cut off")
        assert line["requests"] == 1
        client.whole_ending()
    assert gw.wait() == 0


def test_a_second_signal_quits_at_once(gateway, upstream):
    up = upstream()
    gw = gateway([up], drain=FOREVER)
    with gw.connect() as client:
        client.ask("GET", "/")
        up.accept().request()
        gw.signal(signal.SIGTERM)
        gw.wait_message("draining")
        gw.signal(signal.SIGTERM)
        gw.process.wait(DEADLINE)
        assert gw.process.returncode == 0


def test_a_waiting_retry_is_given_up(gateway, server):
    """What waits before its next attempt would only hold up the end."""
    up = server(lambda request, link: answer(b"no", "503 Service Unavailable",
                                             "Retry-After: 60"))
    gw = gateway([up], drain=FOREVER, retry={"retry_after_max": "1h"},
                 timeout={"total": "1h", "attempt": "1h"})
    with gw.connect() as client:
        client.ask("GET", "/")
        up.wait_count(1)
        gw.signal(signal.SIGTERM)
        assert client.answer().status == 503
    assert gw.wait() == 0
    assert up.count == 1


def test_readiness_says_so_at_once(gateway, server):
    gw = gateway([server(echo)], admin=ADMIN, drain={"delay": "1h", "timeout": "1h"})
    with Admin(gw) as admin:
        assert admin.get("/readyz").status_code == 200
        gw.signal(signal.SIGTERM)
        eventually(lambda: admin.get("/readyz").status_code == 503, "not ready")
        assert admin.get("/livez").status_code == 200
    gw.signal(signal.SIGTERM)
    assert gw.wait() == 0


@pytest.mark.threads
def test_the_admin_call_drains_too(gateway, server):
    gw = gateway([server(echo)], admin=ADMIN, workers=2,
                 drain={"delay": "100ms", "timeout": "1h"})
    load = Load(gw)
    load.wait_answers(20)
    with Admin(gw) as admin:
        assert admin.post("/api/v1/drain").status_code < 300
    load.join()
    assert gw.wait() == 0


def test_a_tunnel_ends_with_the_drain_time(gateway, upstream):
    up = upstream()
    gw = gateway([up], drain={"delay": "0s", "timeout": "100ms"})
    with gw.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
        link = up.accept()
        link.request()
        link.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhello")
        assert client.head().status == 101
        assert client.exactly(5) == b"hello"
        gw.signal(signal.SIGTERM)
        gw.wait_message("draining")
        link.send(b"still")
        client.whole_ending()
    assert gw.wait() == 0


def test_an_upload_finishes(gateway, upstream):
    up = upstream()
    gw = gateway([up], drain=FOREVER)
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        link = up.accept()
        head = link.head()
        gw.signal(signal.SIGTERM)
        gw.wait_message("draining")
        client.send(b"def")
        assert link.body(head) == b"abcdef"
        link.reply(b"taken")
        assert client.answer().body == b"taken"
    assert gw.wait() == 0


def test_a_listener_on_a_unix_socket_drains(gateway, server, tmp_path):
    path = str(tmp_path / "gateway.sock")
    gw = gateway([server(echo)], listen=[{"address": f"unix:{path}"}], drain=FOREVER)

    def connect():
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DEADLINE)
        sock.connect(path)
        return Client(sock)

    with connect() as client:
        assert client.get("/u").body == b"/u"
        gw.signal(signal.SIGTERM)
        assert client.ending() == "ended"
    assert gw.wait() == 0
