"""Requests that are refused, and what must not reach an upstream by them."""
import pytest

from kit.http import Message

HOST = "Host: x\r\n"

# Each is refused with this status, and the connection closed behind it: nothing that
# follows is taken as a request.
SMUGGLING = {
    "cl and te": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "te and cl": (400, f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
    "list of lengths": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4, 5\r\n\r\nabcd"),
    "signed length": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length: +4\r\n\r\nabcd"),
    "negative length": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n"),
    "hex length": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0x4\r\n\r\nabcd"),
    "huge length": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length: 18446744073709551616\r\n\r\n"),
    "empty length": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length:\r\n\r\nabcd"),
    "te twice": (400, f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "te chunked last not": (400, f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "te unknown": (501, f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "te identity": (400, f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: identity\r\n\r\n"),
    "te with vt": (400, f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "te in 1.0": (400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "space before colon": (400, f"POST / HTTP/1.1\r\n{HOST}Content-Length : 4\r\n\r\nabcd"),
    "space before name": (400, f"POST / HTTP/1.1\r\n{HOST} Content-Length: 4\r\n\r\nabcd"),
    "folded": (400, f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "bare lf": (400, "GET / HTTP/1.1\nHost: x\n\n"),
    "bare lf in fields": (400, f"GET / HTTP/1.1\r\n{HOST}A: b\nContent-Length: 4\r\n\r\nabcd"),
    "bare cr": (400, f"GET / HTTP/1.1\r\n{HOST}A: b\rContent-Length: 4\r\n\r\n"),
    "nul": (400, f"GET / HTTP/1.1\r\n{HOST}A: b\0c\r\n\r\n"),
    "no host": (400, "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
    "two hosts": (400, f"GET / HTTP/1.1\r\n{HOST}Host: y\r\n\r\n"),
    "bad host": (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    "two spaces": (400, f"GET  / HTTP/1.1\r\n{HOST}\r\n"),
    "tab": (400, f"GET\t/ HTTP/1.1\r\n{HOST}\r\n"),
    "no version": (400, f"GET /\r\n{HOST}\r\n"),
    "two requests in one line": (400, f"GET / HTTP/1.1 GET /x HTTP/1.1\r\n{HOST}\r\n"),
    "version 2": (505, f"GET / HTTP/2.0\r\n{HOST}\r\n"),
    "version 0.9": (505, f"GET / HTTP/0.9\r\n{HOST}\r\n"),
    "preface of http/2": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "tls": (400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 40),
    "bad method": (400, f"G(T / HTTP/1.1\r\n{HOST}\r\n"),
    "bad escape": (400, f"GET /%zz HTTP/1.1\r\n{HOST}\r\n"),
    "encoded nul": (400, f"GET /%00 HTTP/1.1\r\n{HOST}\r\n"),
    "raw utf-8": (400, f"GET /\xc3\xa9 HTTP/1.1\r\n{HOST}\r\n"),
    "fragment": (400, f"GET /a#b HTTP/1.1\r\n{HOST}\r\n"),
    "user in target": (400, f"GET http://u@h/ HTTP/1.1\r\n{HOST}\r\n"),
    "no name": (400, f"GET / HTTP/1.1\r\n{HOST}: x\r\n\r\n"),
    "no colon": (400, f"GET / HTTP/1.1\r\n{HOST}abc\r\n\r\n"),
}


@pytest.mark.short_io
@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling_form_is_refused_and_the_connection_closed(gateway, server, name):
    status, request = SMUGGLING[name]
    up = server()
    gw = gateway([up])
    if name in ("bad escape", "encoded nul", "user in target"):  # well-framed: no need to close
        request = request.replace(HOST, HOST + "Connection: close\r\n")
    data, how = gw.raw_request((request + f"GET /smuggled HTTP/1.1\r\n{HOST}\r\n").encode("latin-1"))
    assert how == "ended"
    head = Message(data[: data.index(b"\r\n\r\n") + 4])
    assert head.status == status, head
    assert head.headers["Connection"] == "close"
    assert data.count(b"HTTP/1.1 ") == 1
    assert gw.get("/after").body == b"/after"
    assert [r.target for r in up.requests] == ["/after"]


BROKEN_BODIES = {
    "bad size": b"zz\r\n",
    "size with sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "size with 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size too large": b"10000000000000000\r\nabc",
    "size with space": b"3 \nabc",
    "chunk longer than its size": b"3\r\nabcdef\r\n0\r\n\r\n",
    "bare lf after size": b"3\nabc\r\n0\r\n\r\n",
    "bare lf after data": b"3\r\nabc\n0\r\n\r\n",
    "huge extension": b"3;" + b"x" * 100000 + b"\r\nabc\r\n0\r\n\r\n",
    "bad trailer": b"3\r\nabc\r\n0\r\nX Y: 1\r\n\r\n",
    "folded trailer": b"3\r\nabc\r\n0\r\nX: 1\r\n 2\r\n\r\n",
}


@pytest.mark.short_io
@pytest.mark.parametrize("name", BROKEN_BODIES)
def test_broken_chunks_never_become_a_whole_request(gateway, upstream, name):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n" +
                    BROKEN_BODIES[name])
        link = up.accept()
        data, _ = link.whole_ending()
        assert not data.endswith(b"0\r\n\r\n") and b"\r\n0\r\n" not in data
        assert client.answer().status in (400, 431)
        assert client.ending() == "ended"
    assert not up.has_caller(0.05)  # nor is it tried again


LIMITS = {"headers": 10, "header_bytes": 1024, "url": 100}


@pytest.mark.short_io
@pytest.mark.parametrize("status, request_", [
    (431, "GET / HTTP/1.1\r\n" + HOST + "A: b\r\n" * 10 + "\r\n"),
    (431, "GET / HTTP/1.1\r\n" + HOST + "A: " + "b" * 1100 + "\r\n\r\n"),
    (431, "GET / HTTP/1.1\r\n" + HOST + "A: " + "b" * 1100),  # and does not wait for the end
    (414, "GET /" + "a" * 100 + " HTTP/1.1\r\n" + HOST + "\r\n"),
    (414, "GET /" + "a" * 2000),
    (200, "GET /" + "a" * 99 + " HTTP/1.1\r\n" + HOST + "A: b\r\n" * 8 + "Connection: close\r\n\r\n"),
])
def test_limits_of_heads(gateway, server, status, request_):
    gw = gateway([server()], limits=LIMITS)
    data, how = gw.raw_request(request_)
    assert data.startswith(f"HTTP/1.1 {status} ".encode()) and how == "ended"


def test_head_that_never_ends(gateway, server):
    gw = gateway([server()], limits={"header_timeout": "200ms"})
    with gw.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\nA: ")
        assert client.answer().status == 408
        assert client.ending() == "ended"


def test_head_that_trickles(gateway, server):
    """A byte now and then does not keep the connection: the limit is for the whole head."""
    gw = gateway([server()], limits={"header_timeout": "300ms"})
    with gw.connect() as client:
        client.get("/")  # nor is it different for a second request
        client.send("GET / HTTP/1.1\r\nHost: x\r\nA: ")
        client.sock.settimeout(0.02)
        for _ in range(500):
            try:
                client.send("b")
                client.fill()
                break
            except TimeoutError:
                continue
        client.sock.settimeout(20)
        assert client.answer().status == 408


def test_connection_that_says_nothing(gateway, server):
    gw = gateway([server()], limits={"header_timeout": "200ms"})
    with gw.connect() as client:
        assert client.ending() == "ended"


def test_connection_limit(gateway, server):
    gw = gateway([server()], limits={"connections": 3})
    clients = [gw.connect() for _ in range(3)]
    for client in clients:
        assert client.get("/").status == 200
    with gw.connect() as fourth:
        reply = fourth.answer()
        assert reply.status == 503 and "Retry-After" in reply.headers
    clients.pop().close()
    from kit.waiting import eventually

    def can_connect():
        with gw.connect() as client:
            client.ask()
            return client.answer().status == 200
    eventually(can_connect, "the place is free again")
    for client in clients:
        client.close()


def test_connection_limit_of_one_client(gateway, server):
    gw = gateway([server()], limits={"connections_per_client": 2})
    clients = [gw.connect() for _ in range(2)]
    for client in clients:
        assert client.get("/").status == 200
    with gw.connect() as third:
        assert third.answer().status in (429, 503)
    for client in clients:
        client.close()
