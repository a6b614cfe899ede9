"""Bodies both ways: lengths, chunks, trailers, Expect."""
import hashlib
import os

import pytest

from kit.http import answer, chunks

pytestmark = pytest.mark.short_io


@pytest.mark.parametrize("size", [0, 1, 5, 65535, 65536, 65537, 100001])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_many_sizes_come_through(gateway, server, size, chunked):
    body = os.urandom(size)

    def respond(request, link):
        return answer(request.body[::-1], chunked=chunked)

    gw = gateway([server(respond)])
    with gw.connect() as client:
        for _ in range(2):
            client.ask("POST", "/", body=body, chunked=chunked)
            reply = client.answer()
            assert reply.status == 200
            assert hashlib.md5(reply.body).digest() == hashlib.md5(body[::-1]).digest()


def test_chunks_of_any_cut(gateway, upstream):
    """Chunk boundaries mean nothing; extensions are not passed on."""
    up = upstream()
    gw = gateway([up])
    body = bytes(range(256)) * 40
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(body), 300):
            piece = body[i:i + 300]
            client.send(b"%04X;ext=\"a b\"\r\n%s\r\n" % (len(piece), piece))
        client.send("0\r\n\r\n")
        link = up.accept()
        request = link.head()
        assert request.headers["Transfer-Encoding"] == "chunked"
        raw = b""
        while not raw.endswith(b"0\r\n\r\n"):
            raw += link.exactly(1)
        assert b"ext" not in raw
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(body), 7):
            piece = body[i:i + 7]
            link.send(b"%x;e=1\r\n%s\r\n" % (len(piece), piece))
        link.send("0\r\n\r\n")
        assert client.answer().body == body


def test_trailers_pass_both_ways(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                    "TE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\n\r\n"
                    "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
        link = up.accept()
        request = link.request()
        assert request.body == b"abc" and request.trailers["X-Sum"] == "42"
        assert request.headers["TE"] == "trailers"
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
                  "2\r\nok\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n")
        reply = client.answer()
        assert reply.body == b"ok"
        assert (reply.trailers["X-T"], reply.trailers["X-U"]) == ("1", "2")


@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil",
                                   "Authorization: Basic eA=="])
def test_trailers_cannot_smuggle_fields(gateway, upstream, field):
    up = upstream()
    gw = gateway([up], retry={"max": 0})
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    f"3\r\nabc\r\n0\r\n{field}\r\n\r\n")
        assert client.answer().status == 400
        assert client.ending() == "ended"
    link = up.accept()
    data, _ = link.whole_ending()
    assert b"\r\n0\r\n" not in data  # never a whole request


def test_chunked_answer_for_http_1_0_is_until_close(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        up.serve(b"hello world", chunked=True)
        reply = client.head()
        assert reply.start == "HTTP/1.1 200 OK"
        assert "Transfer-Encoding" not in reply.headers
        assert reply.headers["Connection"] == "close"
        assert client.rest() == b"hello world"


def test_until_close_becomes_chunked_and_keeps_the_client(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.0 200 OK\r\n\r\nuntil the end")
        link.close()
        reply = client.answer()
        assert reply.headers["Transfer-Encoding"] == "chunked" and reply.body == b"until the end"
        client.ask("GET", "/")
        up.serve(b"again")
        assert client.answer().body == b"again"


def test_expect_is_answered_by_the_upstream(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\n")
        link = up.accept()
        request = link.request(body=False)
        assert request.headers["Expect"] == "100-continue"
        assert client.is_silent()
        link.send("HTTP/1.1 100 Continue\r\n\r\n")
        assert client.head().status == 100
        client.send("abc")
        assert link.exactly(3) == b"abc"
        link.reply(b"done")
        assert client.head().status == 200


@pytest.mark.parametrize("status", ["417 Expectation Failed", "401 Unauthorized"])
def test_expect_refused_by_the_upstream(gateway, upstream, status):
    """No byte of the body is sent, and the client's connection is not read on: what
    would come next might be the body or another request."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\n")
        link = up.accept()
        link.request(body=False)
        link.reply(b"no", status)
        reply = client.answer()
        assert (reply.status, reply.body) == (int(status[:3]), b"no")
        assert reply.headers["Connection"] == "close"
        assert client.ending() == "ended"
        assert link.whole_ending()[0] == b""  # and it is not used again


def test_client_that_does_not_wait_for_continue(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\nabc")
        link = up.accept()
        assert link.request().body == b"abc"
        link.reply(b"done")
        assert client.answer().body == b"done"


def test_unknown_expectation(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/", headers=["Expect: 200-ok"])
        assert client.answer().status == 417


def test_answer_before_the_body_is_there(gateway, upstream):
    """An upstream may answer early and go on reading: both directions flow at once."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        link = up.accept()
        link.head()
        assert link.chunked(3) == b"one"
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n")
        assert client.head().status == 200
        assert client.chunked(3) == b"ONE"
        for word in (b"two", b"six"):
            client.send(b"3\r\n%s\r\n" % word)
            assert link.chunked(3) == word
            link.send(b"3\r\n%s\r\n" % word.upper())
            assert client.chunked(3) == word.upper()
        client.send("0\r\n\r\n")
        assert link.chunk() == b"" and link.line() == b""
        link.send("0\r\n\r\n")
        assert client.chunk() == b"" and client.line() == b""
        client.ask("GET", "/")  # both connections are good for more
        link.request()
        link.reply(b"again")
        assert client.answer().body == b"again"


def test_error_before_the_body_is_there(gateway, upstream):
    """413 and the like: the answer reaches a client that is still sending."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" +
                    b"x" * 100000)
        link = up.accept()
        link.head()
        link.reply(b"too much", "413 Content Too Large", "Connection: close")
        reply = client.answer()
        assert (reply.status, reply.body) == (413, b"too much")
        assert reply.headers["Connection"] == "close"


def test_body_limit(gateway, upstream):
    up = upstream()
    gw = gateway([up], limits={"body": 1000}, retry={"max": 0})
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
        assert client.answer().status == 413
        assert client.ending() == "ended"
    with gw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                    chunks(b"x" * 1001, 100))
        reply = client.answer()
        assert reply.status == 413
        assert client.ending() == "ended"
    link = up.accept()
    assert b"\r\n0\r\n" not in link.whole_ending()[0]
    with gw.connect() as client:
        client.ask("POST", "/", body=b"x" * 1000)
        _, request = up.serve(b"ok")
        assert len(request.body) == 1000
        assert client.answer().status == 200
