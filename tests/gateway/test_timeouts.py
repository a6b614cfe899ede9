"""Every wait has an end: on the way to a service, in its answer, and with clients.

Timeouts that must end something are short; those that must not are long, so that a test
in which the wrong one ends it hangs, and fails."""
import signal
import socket
import threading
import time

import pytest

from kit.admin import ADMIN, Admin
from kit.http import Closed, answer, chunks
from kit.upstream import black_hole
from kit.waiting import DEADLINE, eventually

LATE = "It took too long. Please try again."
NEVER = {"connect": "1h", "first_byte": "1h", "attempt": "1h", "total": "1h", "idle": "1h",
         "upgrade_idle": "1h"}
SHORT = "200ms"
BIG = 64 << 20  # more than all buffers on the way


def only(**short):
    """All timeouts far away but these; nothing is retried, and users are told LATE."""
    return {"timeout": {**NEVER, **short}, "message": {"timeout": LATE, "open": "Closed."},
            "retry": {"max": 0}}


def timed_out(reply, attempts="1"):
    """A 504 in our own words."""
    assert reply.status == 504
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["Cache-Control"] == "no-store" and "Retry-After" not in reply.headers
    assert reply.headers["Proxy-Status"].startswith("switchgear; error=connection_")
    body = reply.json()
    assert (body["error"], body["status"], body["service"]) == (LATE, 504, "web")
    assert body["title"] == "Gateway Timeout" and body["type"].endswith(body["reason"])
    assert body["request_id"] == reply.headers["X-Request-Id"]
    source, story = reply.story
    assert source == "error" and story["attempts"] == attempts
    return body


@pytest.fixture
def hole():
    """An address where connecting never ends."""
    kept, port = black_hole()
    yield f"http://127.0.0.1:{port}"
    for sock in kept:
        sock.close()


# ---- before the answer -------------------------------------------------------------


@pytest.mark.parametrize("key", ["connect", "attempt", "total"])
def test_connecting_ends(gateway, hole, key):
    gw = gateway([hole], **only(**{key: SHORT}))
    assert timed_out(gw.get("/"))["reason"] == "timeout"


@pytest.mark.parametrize("key", ["first_byte", "attempt", "total"])
def test_waiting_for_the_answer_ends(gateway, upstream, key):
    up = upstream()
    gw = gateway([up], **only(**{key: SHORT}))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        assert timed_out(client.answer())["reason"] == "timeout"
        assert link.ending() in ("ended", "reset")  # it is told that nobody waits
        client.ask("GET", "/")  # and the client may ask again
        up.serve(b"well")
        assert client.answer().body == b"well"


def test_connect_timeout_is_for_connecting_only(gateway, upstream):
    up = upstream()
    gw = gateway([up], **only(connect="50ms"))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        assert client.is_silent(0.3)
        link.reply(b"late")
        assert client.answer().body == b"late"


def test_first_byte_counts_from_the_whole_request(gateway, upstream):
    """A client that takes its time with the body takes nothing from the service's."""
    up = upstream()
    gw = gateway([up], **only(first_byte="300ms"))
    with gw.connect() as client:
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        link = up.accept()
        link.head()
        assert client.is_silent(0.6)
        client.send("b")
        assert link.exactly(2) == b"ab"
        timed_out(client.answer())


@pytest.mark.parametrize("key", ["attempt", "total"])
def test_slow_upload_is_not_a_slow_service(gateway, upstream, key):
    up = upstream()
    gw = gateway([up], **only(**{key: "300ms"}))
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        link = up.accept()
        link.head()
        for _ in range(4):
            client.send("1\r\na\r\n")
            assert link.chunk() == b"a"
            assert client.is_silent(0.15)
        client.send("0\r\n\r\n")
        assert link.chunk() == b""
        link.reply(b"well")
        assert client.answer().body == b"well"


def test_answer_head_that_trickles_is_not_an_answer(gateway, upstream):
    """A byte now and then does not lengthen the attempt."""
    up = upstream()
    gw = gateway([up], **only(attempt=SHORT))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\nA: ")
        link.sock.settimeout(0.02)
        with pytest.raises((Closed, OSError)):
            for _ in range(int(DEADLINE / 0.02)):
                link.send("b")
                try:
                    link.fill()
                except socket.timeout:
                    pass
        timed_out(client.answer())


def test_interim_answers_do_not_lengthen_the_attempt(gateway, upstream):
    up = upstream()
    gw = gateway([up], **only(attempt=SHORT))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 102 Processing\r\n\r\n")
        assert client.head().status == 102
        timed_out(client.answer())


def test_each_attempt_has_its_time(gateway, server):
    """Two that hang, then one that does not."""
    turn = iter(range(100))

    def respond(request, link):
        if next(turn) < 2:
            try:
                link.fill()
            except Closed:
                return None
        return answer(b"third")

    gw = gateway([server(respond)], timeout={**NEVER, "attempt": SHORT})
    reply = gw.get("/")
    assert reply.body == b"third" and reply.story[1]["attempts"] == "3"


def test_total_includes_retries(gateway, server):
    """The attempts are within their time each; all together are not."""
    def respond(request, link):
        try:
            link.fill()
        except Closed:
            return None

    up = server(respond)
    keys = {**only(attempt="100ms", total="350ms"), "retry": {"max": 100, "budget": "off"}}
    gw = gateway([up], **keys)
    reply = gw.get("/")
    body = timed_out(reply, attempts=str(up.count))
    assert 2 <= up.count <= 4 and body["reason"] in ("timeout", "deadline")


def test_total_includes_waits(gateway, server):
    """A wait that could not end in time is not begun: the answer comes at once."""
    up = server(lambda r, l: answer(b"down", "503 Service Unavailable", "Retry-After: 20"))
    gw = gateway([up], timeout={**NEVER, "total": "10s"})
    before = time.monotonic()
    assert gw.get("/").story[1]["no_retry"] == "deadline"
    assert time.monotonic() - before < 9


@pytest.mark.parametrize("key", ["attempt", "total", "first_byte"])
def test_timeouts_end_at_the_head(gateway, upstream, key):
    """However long the body takes: it is the idle limit's."""
    up = upstream()
    gw = gateway([up], **only(**{key: "300ms"}))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        assert client.head().status == 200
        for i in range(5):
            assert client.is_silent(0.15)
            link.send(b"%d" % i)
            assert client.exactly(1) == b"%d" % i
        client.ask("GET", "/")
        link.request()
        link.reply(b"again")
        assert client.answer().body == b"again"


def test_timeout_off_is_no_timeout(gateway, upstream):
    up = upstream()
    gw = gateway([up], timeout=dict.fromkeys(NEVER, "off"))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        assert client.is_silent(0.3)
        link.reply(b"late")
        assert client.answer().body == b"late"


def test_timeout_counts_as_failure_and_is_seen(gateway, upstream):
    up = upstream()
    gw = gateway([up], admin=ADMIN, log={"requests": "all"}, breaker={"consecutive": 1},
                 **only(attempt=SHORT))
    with gw.connect() as client:
        client.ask("GET", "/")
        up.accept().request()
        timed_out(client.answer())
    line = gw.wait_message("request")
    assert (line["status"], line["source"], line["attempts"]) == (504, "error", 1)
    with Admin(gw) as admin:
        assert admin.breaker()["state"] == "open"
        text = admin.get("/metrics").text
    assert 'gateway_proxy_requests_total{service="web",method="GET",status="504"} 1' in text
    assert 'circuit_breaker_failures_total{service="web"} 1' in text


def test_message_of_an_open_breaker_is_the_other(gateway, upstream):
    up = upstream()
    gw = gateway([up], breaker={"consecutive": 1}, **only(attempt=SHORT))
    with gw.connect() as client:
        client.ask("GET", "/")
        up.accept().request()
        assert client.answer().json()["error"] == LATE
        reply = client.get("/")
        assert (reply.status, reply.json()["error"]) == (503, "Closed.")
        assert reply.json()["reason"] == "open" and int(reply.headers["Retry-After"]) >= 1


def test_head_request_that_times_out_has_no_body(gateway, upstream):
    up = upstream()
    gw = gateway([up], **only(attempt=SHORT))
    with gw.connect() as client:
        client.ask("HEAD", "/")
        up.accept().request()
        reply = client.answer(head_only=True)
        assert reply.status == 504 and int(reply.headers["Content-Length"]) > 0
        client.ask("GET", "/")
        up.serve(b"well")
        assert client.answer().body == b"well"


# ---- bodies that stop ----------------------------------------------------------------


@pytest.mark.short_io
@pytest.mark.parametrize("framing", ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n",
                                     ""])
def test_answer_that_stops_in_the_middle_ends(gateway, upstream, framing):
    """And the client can tell that it is not whole."""
    up = upstream()
    gw = gateway([up], log={"requests": "all"}, **only(idle=SHORT))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\n" + framing + "\r\n" +
                  ("3\r\nabc\r\n" if "chunked" in framing else "abc"))
        reply = client.head()
        assert client.exactly(3) if "Length" in framing else client.chunked(3) == b"abc"
        with pytest.raises(Closed):
            client.body(reply)
        assert link.ending() in ("ended", "reset")
    line = gw.wait_message("request")
    assert line["whole"] is False and line["status"] == 200


def test_answer_that_stops_for_http_1_0_is_reset(gateway, upstream):
    up = upstream()
    gw = gateway([up], **only(idle=SHORT))
    with gw.connect() as client:
        client.send("GET / HTTP/1.0\r\n\r\n")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\n\r\nabc")
        try:
            client.head()
            assert client.exactly(3) == b"abc"
            assert client.ending() == "reset"
        except Closed as closed:  # the reset took along what was not read yet
            assert closed.how == "reset"


def test_answer_that_never_stops_for_long_goes_on(gateway, upstream):
    up = upstream()
    gw = gateway([up], **only(idle="500ms"))
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.head()
        for _ in range(8):
            link.send("1\r\na\r\n")
            assert client.chunk() == b"a"
            assert client.is_silent(0.1)
        link.send("0\r\n\r\n")
        assert client.chunk() == b""


def test_client_that_does_not_read_ends(gateway, upstream):
    """A client that takes nothing of its answer is let go, and the upstream with it."""
    up = upstream()
    gw = gateway([up], log={"requests": "all"}, **only(idle=SHORT))
    with gw.connect(receive_buffer=8192) as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send(f"HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n")
        with pytest.raises(OSError):
            link.send(b"x" * BIG)
    line = gw.wait_message("request")
    assert line["whole"] is False and line["bytes_out"] < BIG


def test_client_that_reads_slowly_is_kept(gateway, upstream):
    up = upstream()
    size = 4 << 20
    gw = gateway([up], **only(idle="1s"))
    with gw.connect(receive_buffer=8192) as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        sender = threading.Thread(target=link.reply, args=(b"x" * size,), daemon=True)
        sender.start()
        client.head()
        for _ in range(16):  # for longer than the limit, but never without a byte for so long
            client.exactly(10000)
            time.sleep(0.1)
        assert client.exactly(size - 160000) == b"x" * (size - 160000)
        sender.join(DEADLINE)


def later(client, size, seconds=2.6):
    """Reads a body of that size: a little after a while, and then the rest."""
    got = len(client.take(len(client.buffer)))
    for _ in range(4):
        time.sleep(seconds / 4)
        got += len(client.sock.recv(min(100000, size - got)))
    while got < size:
        piece = client.sock.recv(min(1 << 20, size - got))
        assert piece, f"cut off after {got} bytes"
        got += len(piece)


CACHED = 16 << 20  # is sent in one piece, and is more than the kernel keeps


@pytest.fixture
def cached(gateway, server):
    """A gateway that has a large answer in its cache."""
    def make(**keys):
        gw = gateway([server(lambda r, l: answer(b"x" * CACHED))], cache={"fresh": "1h"},
                     cache_memory="256MiB", **keys)
        assert len(gw.get("/").body) == CACHED
        return gw
    return make


@pytest.mark.parametrize("head", ["GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
                                  "GET / HTTP/1.0\r\nHost: test\r\n\r\n"])
def test_slow_reader_gets_its_last_answer_whole(cached, head):
    """The connection is to be closed behind it, but not before it is read."""
    gw = cached()
    with gw.connect(receive_buffer=8192) as client:
        client.send(head)
        assert "hit" in client.head().headers["Cache-Status"]
        later(client, CACHED)
        assert client.ending() == "ended"


def test_slow_reader_of_a_kept_connection_is_not_idle(cached):
    gw = cached(limits={"idle_timeout": "1s"})
    with gw.connect(receive_buffer=8192) as client:
        client.ask("GET", "/")
        assert "hit" in client.head().headers["Cache-Status"]
        later(client, CACHED)
        assert client.ending() == "ended"  # and now it is


def test_client_that_does_not_read_its_last_answer_ends(cached):
    """By a reset: what it will find in its buffer is not the whole."""
    gw = cached(limits={"idle_timeout": "300ms"}, admin=ADMIN)
    with gw.connect(receive_buffer=8192) as client, Admin(gw) as admin:
        client.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        client.head()
        eventually(lambda: "gateway_client_connections 0\n" in admin.get("/metrics").text,
                   "it is closed")
        assert client.whole_ending()[1] == "reset"


def test_drain_that_ends_early_resets_what_has_no_length(gateway, upstream):
    """A body that ends with its connection must not seem whole."""
    up = upstream()
    gw = gateway([up], drain={"delay": "0s", "timeout": "100ms"})
    with gw.connect() as client:
        client.send("GET / HTTP/1.0\r\n\r\n")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\n\r\nabc")
        client.head()
        assert client.exactly(3) == b"abc"
        gw.signal(signal.SIGTERM)
        assert client.ending() == "reset"
        assert gw.wait() == 0


def test_upstream_that_reads_slowly_is_not_stuck(gateway, upstream):
    """It takes something all the time, although its kernel does not ask for more."""
    up = upstream()
    # else its window opens again only when a good part of megabytes was read
    up.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    gw = gateway([up], **only(attempt="1s"))
    with gw.connect() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {BIG}\r\n\r\n")
        link = up.accept()
        link.head()
        out = client.sock.dup()
        out.settimeout(DEADLINE)
        sender = threading.Thread(target=out.sendall, args=(b"x" * BIG,), daemon=True)
        sender.start()
        got = len(link.take(len(link.buffer)))
        for _ in range(16):
            got += len(link.sock.recv(10000))
            time.sleep(0.1)
        while got < BIG:
            piece = link.sock.recv(1 << 20)
            assert piece, f"cut off after {got} bytes"
            got += len(piece)
        link.reply(b"all of it")
        assert client.answer().body == b"all of it"
        sender.join(DEADLINE)
        out.close()


def test_upload_that_stops_gets_408(gateway, upstream):
    """A client's silence is not the service's failure."""
    up = upstream()
    gw = gateway([up], admin=ADMIN, **only(idle=SHORT))
    with gw.connect() as client:
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        link = up.accept()
        request = link.head()
        assert link.exactly(3) == b"abc"
        reply = client.answer()
        assert reply.status == 408 and reply.json()["reason"] == "request_timeout"
        assert reply.headers["Connection"] == "close"
        with pytest.raises(Closed):
            link.body(request)
        assert client.ending() in ("ended", "reset")
    assert 'circuit_breaker_failures_total{service="web"} 0' in Admin(gw).get("/metrics").text
    assert not up.has_caller(0.05)


def test_upload_that_stops_after_another_attempt_took_over_gets_408(gateway, upstream):
    """On a connection that stood already, too: somebody must watch the client then."""
    first, second = upstream(), upstream()
    gw = gateway([first, second], balance="round_robin", timeout={**NEVER, "idle": SHORT})
    with gw.connect() as one, gw.connect() as two:  # a kept connection to each
        links = []
        for client in (one, two):
            client.ask("GET", "/")
        for up in (first, second):
            links.append(up.accept())
            links[-1].request()
            links[-1].reply(b"")
        one.answer(), two.answer()
        one.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        link = readable(links)
        link.head()
        assert link.exactly(3) == b"abc"
        link.reply(b"no", "503 Service Unavailable")
        other = links[1 - links.index(link)]
        other.head()
        assert other.exactly(3) == b"abc"
        assert one.answer().status == 408
        assert other.whole_ending()[0] == b""


def readable(links):
    import select
    found, _, _ = select.select([link.sock for link in links], [], [], DEADLINE)
    return next(link for link in links if link.sock is found[0])


def test_upload_that_the_upstream_does_not_take_ends(gateway, upstream):
    """Neither reads nor answers: that is the service's time, and 504."""
    up = upstream()
    gw = gateway([up], **only(attempt="300ms"))
    with gw.connect() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {BIG}\r\n\r\n")
        up.accept().head()
        out = client.sock.dup()
        out.settimeout(DEADLINE)

        def send():
            try:
                out.sendall(b"x" * BIG)
            except OSError:
                pass
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        timed_out(client.answer())
        sender.join(DEADLINE)
        out.close()


# ---- between requests, and beyond them --------------------------------------------------


def test_silent_tunnel_ends(gateway, upstream):
    up = upstream()
    gw = gateway([up], **only(upgrade_idle=SHORT))
    with gw.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n")
        link = up.accept()
        link.head()
        link.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n")
        assert client.head().status == 101
        assert client.ending() in ("ended", "reset") and link.ending() in ("ended", "reset")


@pytest.mark.parametrize("sender", ["client", "upstream"])
def test_tunnel_in_which_one_side_talks_goes_on(gateway, upstream, sender):
    up = upstream()
    gw = gateway([up], **only(upgrade_idle="500ms", idle="50ms"))
    with gw.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n")
        link = up.accept()
        link.head()
        link.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\n\r\n")
        assert client.head().status == 101
        here, there = (client, link) if sender == "client" else (link, client)
        for _ in range(8):
            here.send("a")
            assert there.exactly(1) == b"a"
            assert there.is_silent(0.1)


@pytest.mark.parametrize("before", [0, 2])
def test_kept_client_is_closed_when_idle(gateway, server, before):
    """Before its first request it is the head that is waited for."""
    gw = gateway([server()], limits={"idle_timeout": "150ms", "header_timeout": "150ms"})
    with gw.connect() as client:
        for _ in range(before):
            assert client.get("/").status == 200
        assert client.ending() == "ended"


def test_idle_time_begins_anew_with_each_request(gateway, server):
    gw = gateway([server()], limits={"idle_timeout": "500ms"})
    with gw.connect() as client:
        for _ in range(6):
            assert client.get("/").status == 200
            assert client.is_silent(0.15)


def test_idle_timeout_is_not_for_requests_under_way(gateway, upstream):
    up = upstream()
    gw = gateway([up], limits={"idle_timeout": "50ms", "header_timeout": "50ms"})
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        assert client.is_silent(0.3)
        link.reply(b"late")
        assert client.answer().body == b"late"


def test_header_timeout_is_not_for_bodies(gateway, upstream):
    up = upstream()
    gw = gateway([up], limits={"header_timeout": "150ms"})
    with gw.connect() as client:
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        link = up.accept()
        link.head()
        assert client.is_silent(0.4)
        client.send(chunks(b"abc"))
        assert link.chunk() == b"abc"
        link.reply(b"fine", "200 OK", "Connection: close")
        assert client.answer().body == b"fine"


@pytest.mark.threads
def test_timeouts_of_many_at_once(gateway, server):
    """Some hang, some do not; each gets what is its own."""
    def respond(request, link):
        if request.target == "/hang":
            try:
                link.fill()
            except Closed:
                pass
            return None
        return answer(request.target.encode())

    gw = gateway([server(respond)], workers=2, **only(attempt="300ms"))
    wrong = []

    def ask(target):
        with gw.connect() as client:
            for _ in range(3):
                reply = client.get(target)
                if reply.status != (504 if target == "/hang" else 200):
                    wrong.append(reply)
    threads = [threading.Thread(target=ask, args=(t,)) for t in ["/hang", "/well"] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not wrong
