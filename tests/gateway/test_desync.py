"""Upstreams that send what they should not: never taken for somebody else's answer."""
import pytest

from kit.http import answer

pytestmark = pytest.mark.short_io

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("extra", [b"x", OK, b"\r\n", b"HTTP/1.1 500 Injected\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_more_than_one_answer(gateway, upstream, extra, together):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/1")
        link = up.accept()
        link.request()
        link.send(OK + extra if together else OK)
        assert client.answer().body == b"ok"
        if not together:
            link.send(extra)
        assert link.ending() in ("ended", "reset")  # not used again
        client.ask("GET", "/2")
        up.serve(b"two")
        assert client.answer().body == b"two"


@pytest.mark.parametrize("reply", [
    b"HTTP/1.1 204 No Content\r\n\r\nsurprise",
    b"HTTP/1.1 304 Not Modified\r\n\r\nsurprise",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nsurprise",
])
def test_bytes_behind_the_end(gateway, upstream, reply):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/1")
        link = up.accept()
        link.request()
        link.send(reply)
        assert b"surprise" not in client.answer().body
        assert link.ending() in ("ended", "reset")
        client.ask("GET", "/2")
        up.serve(b"two")
        assert client.answer().body == b"two"


def test_body_of_a_head_answer(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("HEAD", "/1")
        link = up.accept()
        link.request()
        link.send(OK)
        assert client.answer(head_only=True).status == 200
        client.ask("GET", "/2")
        up.serve(b"two")
        assert client.answer().body == b"two"


GARBLED = {
    "cl and te": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Odd\r\n\r\n",
    "not http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "http/0.9": b"<html>hello</html>\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
    "nul": b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
    "bare cr": b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: evil\r\n\r\n",
    "huge head": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
}


@pytest.mark.parametrize("name", GARBLED)
def test_garbled_answer_is_an_error_of_the_upstream(gateway, upstream, name):
    up = upstream()
    gw = gateway([up], retry={"max": 0})
    with gw.connect() as client:
        client.ask("GET", "/1")
        link = up.accept()
        link.request()
        try:
            link.send(GARBLED[name])
        except OSError:
            pass  # cut off in the middle of it
        reply = client.answer()
        assert reply.status == 502 and b"evil" not in reply.raw
        assert reply.headers["Proxy-Status"].startswith("switchgear; error=http_protocol_error")
        assert b'"reason":"garbled"' in reply.body
        client.ask("GET", "/2")  # the client's connection is still good
        up.serve(b"two")
        assert client.answer().body == b"two"


def test_parked_connection_that_talks(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/1")
        link, _ = up.serve(b"one")
        assert client.answer().body == b"one"
        link.send(answer(b"poison"))
        assert link.ending() in ("ended", "reset")
        client.ask("GET", "/2")
        up.serve(b"two")
        assert client.answer().body == b"two"
