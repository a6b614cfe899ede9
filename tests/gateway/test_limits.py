"""What one client may ask of the gateway: sizes, numbers, and how slowly it may talk."""
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import Closed
from kit.waiting import DEADLINE, eventually

HEAD = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
CHUNKED = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PROBLEM = {"error", "type", "title", "status", "reason"}


def problem(reply, status, reason):
    """A refusal says what it is, and ends the connection where it must."""
    body = reply.json()
    assert (reply.status, body["status"], body["reason"]) == (status, status, reason)
    assert PROBLEM <= set(body) and body["type"].endswith(reason)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["Proxy-Status"].startswith("switchgear; error=")
    assert reply.headers["Connection"] == "close"
    return body


# ---- heads -----------------------------------------------------------------------


@pytest.mark.short_io
@pytest.mark.parametrize("status, reason, head", [
    (414, "target_too_long", "GET /" + "a" * 100 + " HTTP/1.1\r\nHost: x\r\n\r\n"),
    (431, "too_many_fields", "GET / HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 10 + "\r\n"),
    (431, "head_too_large", "GET / HTTP/1.1\r\nHost: x\r\nA: " + "b" * 1100 + "\r\n\r\n"),
])
def test_head_beyond_a_limit_is_refused_with_its_reason(gateway, server, status, reason, head):
    up = server()
    gw = gateway([up], limits={"headers": 10, "header_bytes": 1024, "url": 100})
    with gw.connect() as client:
        client.send(head)
        problem(client.answer(), status, reason)
        assert client.ending() == "ended"
    assert up.count == 0


@pytest.mark.parametrize("keys, head", [
    ({"url": 100}, "GET /" + "a" * 99 + " HTTP/1.1\r\nHost: x\r\n\r\n"),
    ({"headers": 10}, "GET / HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 9 + "\r\n"),
    ({"header_bytes": 1024}, ("GET / HTTP/1.1\r\nHost: x\r\nA: ").ljust(1020, "b") + "\r\n\r\n"),
])
def test_head_exactly_at_a_limit_passes(gateway, server, keys, head):
    gw = gateway([server()], limits=keys)
    with gw.connect() as client:
        client.send(head)
        assert client.answer().status == 200


# ---- bodies ----------------------------------------------------------------------


def test_body_too_large_by_its_length_is_refused_before_it_comes(gateway, server):
    up = server()
    gw = gateway([up], limits={"body": "1KiB"})
    with gw.connect() as client:
        client.send(HEAD.format(1025))
        problem(client.answer(), 413, "body_too_large")
        assert client.ending() == "ended"
    assert up.connections == 0


@pytest.mark.short_io
def test_chunked_body_is_refused_when_it_passes_the_limit(gateway, upstream):
    """What came before has gone on already; the upstream never gets its end."""
    up = upstream()
    gw = gateway([up], limits={"body": "1KiB"})
    with gw.connect() as client:
        client.send(CHUNKED + "400\r\n" + "a" * 1024 + "\r\n")
        link = up.accept()
        request = link.head()
        assert link.chunked(1024) == b"a" * 1024
        client.send("1\r\nb\r\n0\r\n\r\n")
        problem(client.answer(), 413, "body_too_large")
        assert client.ending() == "ended"
        with pytest.raises(Closed):
            link.body(request)
    assert not up.has_caller(0.05)


@pytest.mark.parametrize("chunked", [False, True])
def test_body_exactly_at_the_limit_passes(gateway, server, chunked):
    up = server()
    gw = gateway([up], limits={"body": "1KiB"})
    with gw.connect() as client:
        for _ in range(2):
            client.ask("POST", "/", body=b"x" * 1024, chunked=chunked)
            assert client.answer().status == 200
    assert [len(r.body) for r in up.requests] == [1024, 1024]


def test_body_refused_while_another_attempt_is_waited_for(gateway, upstream):
    """The limit holds also for what comes between two attempts."""
    up = upstream()
    gw = gateway([up], limits={"body": "1KiB"}, retry={"base": "1h", "cap": "1h", "jitter": "none"},
                 timeout={"total": "off"})
    with gw.connect() as client:
        client.send(CHUNKED.replace("POST", "PUT") + "1\r\na\r\n")
        link = up.accept()
        link.head()
        assert link.chunk() == b"a"
        link.reply(b"", "503 Service Unavailable")
        link.ending()
        client.send("401\r\n" + "a" * 1025 + "\r\n")
        problem(client.answer(), 413, "body_too_large")


# ---- connections -------------------------------------------------------------------


@pytest.mark.parametrize("key", ["connections", "connections_per_client"])
def test_connections_beyond_the_limit_are_told_so(gateway, server, key):
    gw = gateway([server()], limits={key: 2})
    kept = [gw.connect() for _ in range(2)]
    for client in kept:
        assert client.get("/").status == 200
    with gw.connect() as third:
        reply = third.answer()
        assert reply.status == 503 and reply.headers["Retry-After"] == "1"
        assert "connection_limit_reached" in reply.headers["Proxy-Status"]
        assert third.ending() in ("ended", "reset")
    for client in kept:  # those that are in notice nothing
        assert client.get("/").status == 200
        client.close()

    def is_free():
        with gw.connect() as client:
            try:
                return client.get("/").status == 200
            except (Closed, ConnectionError):
                return False
    eventually(is_free, "a place that was left can be taken")


@pytest.mark.threads
def test_connections_are_counted_over_all_workers(gateway, server):
    gw = gateway([server()], workers=3, limits={"connections_per_client": 6})
    kept = [gw.connect() for _ in range(6)]
    assert [client.get("/").status for client in kept] == [200] * 6
    with gw.connect() as client:
        assert client.answer().status == 503
    for client in kept:
        client.close()


@pytest.mark.threads
def test_refused_connections_leave_the_count_as_it_was(gateway, server):
    gw = gateway([server()], workers=2, limits={"connections": 2}, admin=ADMIN)
    kept = [gw.connect() for _ in range(2)]
    for client in kept:
        client.get("/")

    def knock():
        for _ in range(20):
            with gw.connect() as client:
                client.whole_ending()
    threads = [threading.Thread(target=knock) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert "gateway_client_connections 2\n" in Admin(gw).get("/metrics").text
    for client in kept:
        client.close()


# ---- slow heads --------------------------------------------------------------------


def dribble(client, byte="b", pause=0.02):
    """Sends a byte now and then until something comes back, or the connection ends."""
    client.sock.settimeout(pause)
    try:
        while True:
            try:
                client.send(byte)
                client.fill()
                return
            except TimeoutError:
                continue
            except (Closed, ConnectionError):
                return
    finally:
        client.sock.settimeout(DEADLINE)


def test_head_that_is_dribbled_gets_408_by_header_timeout(gateway, server):
    """Each byte is in time; the head is not."""
    up = server()
    gw = gateway([up], limits={"header_timeout": "300ms"})
    with gw.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\nA: ")
        dribble(client)
        problem(client.answer(), 408, "request_timeout")
        assert client.ending() in ("ended", "reset")
    assert up.count == 0


def test_many_dribbled_heads_do_not_keep_others_out(gateway, server):
    gw = gateway([server()], limits={"header_timeout": "500ms"})
    slow = [gw.connect() for _ in range(50)]
    for client in slow:
        client.send("GET / HTTP/1.1\r\nHo")
    assert gw.get("/").status == 200
    for client in slow:
        assert client.answer().status == 408
        client.close()


# ---- slow bodies -------------------------------------------------------------------

# so that the grace is short; the rate is far above what the tests send, or below it
SLOW = {"body_rate": "64KiB", "header_timeout": "300ms"}


@pytest.mark.short_io
@pytest.mark.parametrize("chunked", [False, True])
def test_body_that_is_dribbled_gets_408(gateway, upstream, chunked):
    """No idle limit ever sees it: a byte is always moving."""
    up = upstream()
    gw = gateway([up], limits=SLOW)
    with gw.connect() as client:
        client.send(CHUNKED + "1000\r\n" if chunked else HEAD.format(4096))
        link = up.accept()
        request = link.head()
        dribble(client)
        problem(client.answer(), 408, "body_too_slow")
        assert client.ending() in ("ended", "reset")
        with pytest.raises(Closed):
            link.body(request)
    assert not up.has_caller(0.05)


def test_body_that_stops_gets_408(gateway, upstream):
    up = upstream()
    gw = gateway([up], limits=SLOW)
    with gw.connect() as client:
        client.send(HEAD.format(1 << 20) + "a" * 100000)  # a fast beginning is no credit
        link = up.accept()
        link.head()
        link.exactly(100000)
        problem(client.answer(), 408, "body_too_slow")


def test_body_that_never_begins_gets_408_before_it_has_an_attempt_too(gateway, server):
    """Here the body is read first: it is part of the name in the cache."""
    up = server()
    gw = gateway([up], limits=SLOW,
                 cache={"fresh": "60s", "key": ["method", "path", "body"]})
    with gw.connect() as client:
        client.send(HEAD.format(10).replace("POST", "GET"))
        problem(client.answer(), 408, "body_too_slow")
    assert up.count == 0


def test_slow_body_is_nobodys_failure_but_the_clients(gateway, upstream):
    """Neither a failure of the service nor retried; seen in metric and log."""
    up = upstream()
    gw = gateway([up], limits=SLOW, admin=ADMIN, log={"requests": "all"},
                 breaker={"consecutive": 1})
    with gw.connect() as client:
        client.send(HEAD.format(10).replace("POST", "PUT"))
        up.accept()
        assert client.answer().status == 408
    line = gw.wait_message("request")
    assert line["status"] == 408 and line["attempts"] == 1
    admin = Admin(gw)
    assert admin.breaker()["state"] == "closed"
    metrics = admin.get("/metrics").text
    assert 'gateway_proxy_requests_total{service="web",method="PUT",status="408"} 1' in metrics
    assert 'circuit_breaker_failures_total{service="web"} 0' in metrics


def test_body_above_the_rate_passes(gateway, upstream):
    """Slow, and for longer than the grace, but not below the rate."""
    up = upstream()
    gw = gateway([up], limits={"body_rate": 1, "header_timeout": "1s"})
    with gw.connect() as client:
        client.send(HEAD.format(40))
        link = up.accept()
        link.head()
        for i in range(40):
            client.send(b"%c" % (65 + i))
            assert link.exactly(1) == b"%c" % (65 + i)
            if i % 10 == 9:
                assert client.is_silent(0.3)
        link.reply(b"fine")
        assert client.answer().body == b"fine"


def test_upstream_that_does_not_read_is_not_the_clients_fault(gateway, upstream):
    """Back-pressure stops the client, and with it the clock."""
    up = upstream()
    size = 64 << 20
    gw = gateway([up], limits=SLOW, timeout={"attempt": "60s"})
    with gw.connect() as client:
        client.send(HEAD.format(size))
        link = up.accept()
        link.head()
        out = client.sock.dup()
        out.settimeout(DEADLINE)
        sender = threading.Thread(target=lambda: out.sendall(b"x" * size), daemon=True)
        sender.start()
        assert client.is_silent(1.0)  # three times the grace
        got = len(link.take(len(link.buffer)))
        while got < size:
            piece = link.sock.recv(1 << 20)
            assert piece, f"cut off after {got} bytes"
            got += len(piece)
        sender.join(DEADLINE)
        out.close()
        link.reply(b"all of it")
        assert client.answer().body == b"all of it"


def test_client_that_waits_for_100_continue_is_not_slow(gateway, upstream):
    up = upstream()
    gw = gateway([up], limits=SLOW)
    with gw.connect() as client:
        client.send(HEAD.format(3).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"))
        link = up.accept()
        link.head()
        assert client.is_silent(0.7)
        link.send("HTTP/1.1 100 Continue\r\n\r\n")
        assert client.head().status == 100
        client.send("abc")
        assert link.exactly(3) == b"abc"
        link.reply(b"done")
        assert client.answer().body == b"done"


def test_client_that_got_100_continue_and_is_silent_gets_408(gateway, upstream):
    up = upstream()
    gw = gateway([up], limits=SLOW)
    with gw.connect() as client:
        client.send(HEAD.format(3).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"))
        link = up.accept()
        link.head()
        link.send("HTTP/1.1 100 Continue\r\n\r\n")
        assert client.head().status == 100
        problem(client.answer(), 408, "body_too_slow")


def test_dialogue_is_not_judged_by_its_rate(gateway, upstream):
    """Once the answer has begun, a slow client may be one that waits for the service."""
    up = upstream()
    gw = gateway([up], limits=SLOW)
    with gw.connect() as client:
        client.send(CHUNKED + "3\r\none\r\n")
        link = up.accept()
        link.head()
        assert link.chunk() == b"one"
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n")
        assert client.head().status == 200 and client.chunk() == b"ONE"
        assert client.is_silent(0.7)
        client.send("3\r\ntwo\r\n0\r\n\r\n")
        assert link.chunk() == b"two" and link.chunk() == b""
        link.send("0\r\n\r\n")
        assert client.chunk() == b""


def test_upload_that_resumes_after_a_failed_attempt_is_watched(gateway, upstream):
    """The client was not read while its upstream changed; from then on it is waited for."""
    up, other = upstream(), upstream()
    gw = gateway([up, other], limits=SLOW, balance="round_robin")
    with gw.connect() as client:
        client.send(HEAD.format(1000).replace("POST", "PUT") + "a")
        pair = [up, other]
        first = next(u for u in pair if u.has_caller(0.5))
        link = first.links[-1]
        link.head()
        assert link.exactly(1) == b"a"
        link.reset()
        second = pair[1 - pair.index(first)].accept()
        second.head()
        assert second.exactly(1) == b"a"
        problem(client.answer(), 408, "body_too_slow")
        with pytest.raises(Closed):
            second.exactly(999)
