"""Every method, and answers that have no body."""
import pytest

from kit.http import answer

pytestmark = pytest.mark.short_io

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "REPORT",
           "M-SEARCH", "X!#$%&'*+-.^_`|~9"]


@pytest.mark.parametrize("method", METHODS)
def test_method_reaches_the_upstream_as_it_is(gateway, upstream, method):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask(method, "/a?b=c")
        link = up.accept()
        request = link.request()
        assert request.start == f"{method} /a?b=c HTTP/1.1"
        assert "Content-Length" not in request.headers
        assert "Transfer-Encoding" not in request.headers
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        if method != "HEAD":
            link.send(b"hello")
        reply = client.answer(head_only=method == "HEAD")
        assert reply.status == 200 and reply.headers["Content-Length"] == "5"
        assert reply.body == (b"" if method == "HEAD" else b"hello")
        client.ask("GET", "/next")  # nothing is left over between the two
        assert link.request().target == "/next"
        link.reply(b"ok")
        assert client.answer().body == b"ok"


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "QUERY", "POST"])
def test_every_method_may_have_a_body(gateway, upstream, method):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask(method, "/", body=b"payload")
        link, request = up.serve(b"ok")
        assert (request.method, request.body) == (method, b"payload")
        assert client.answer().body == b"ok"


@pytest.mark.parametrize("method, target", [("CONNECT", "a:1"), ("TRACE", "/")])
def test_what_a_gateway_does_not_do(gateway, upstream, method, target):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask(method, target)
        assert client.answer().status == 501
    assert not up.has_caller()


def test_options_of_the_gateway_itself(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("OPTIONS", "*")
        reply = client.answer()
        assert reply.status == 204
        assert "GET" in reply.headers["Allow"] and "OPTIONS" in reply.headers["Allow"]
        client.ask("GET", "/still-usable")
        up.serve(b"ok")
        assert client.answer().body == b"ok"


def test_max_forwards_ends_options_here(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("OPTIONS", "/a", headers=["Max-Forwards: 0"])
        assert client.answer().status == 204
        client.ask("OPTIONS", "/a", headers=["Max-Forwards: 3"])
        _, request = up.serve(b"ok")
        assert request.headers.all("Max-Forwards") == ["2"]
        assert client.answer().status == 200


@pytest.mark.parametrize("target", ["*", "a:1"])
def test_target_forms_of_other_methods(gateway, upstream, target):
    gw = gateway([upstream()])
    data, _ = gw.raw_request(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_body(gateway, upstream, status):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send(f"HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n")
        reply = client.answer()
        assert reply.status == int(status[:3]) and reply.headers["ETag"] == '"x"'
        assert "Transfer-Encoding" not in reply.headers and "Content-Length" not in reply.headers
        client.ask("GET", "/2")
        link.request()
        link.reply(b"two")
        assert client.answer().body == b"two"


def test_length_of_304_tells_of_the_body_that_would_be(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")
        assert client.answer().headers["Content-Length"] == "1000"
        client.ask("GET", "/2")
        link.request()
        link.reply(b"two")
        assert client.answer().body == b"two"


def test_head_of_a_chunked_resource(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("HEAD", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.answer(head_only=True).status == 200
        client.ask("GET", "/2")
        link.request()
        link.reply(b"two")
        assert client.answer().body == b"two"


def test_early_hints_come_early(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n"
                  "Connection: X-Hop\r\nX-Hop: 1\r\n\r\n")
        hints = client.head()  # the final answer does not exist yet
        assert hints.status == 103 and "preload" in hints.headers["Link"]
        assert "X-Hop" not in hints.headers
        link.send("HTTP/1.1 102 Processing\r\n\r\n" "HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n")
        link.reply(b"done")
        assert [client.head().status, client.head().status] == [102, 103]
        assert client.answer().body == b"done"


def test_hints_are_not_for_http_1_0(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send("GET / HTTP/1.0\r\n\r\n")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"done").decode())
        assert client.head().status == 200
        assert client.rest() == b"done"


def test_continue_that_nobody_asked_for_is_swallowed(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("POST", "/", body=b"abc")
        link = up.accept()
        assert link.request().body == b"abc"
        link.send("HTTP/1.1 100 Continue\r\n\r\n" + answer(b"done").decode())
        assert client.head().status == 200


def test_switching_that_nobody_asked_for_is_an_error(gateway, upstream):
    up = upstream()
    gw = gateway([up], retry={"max": 0})
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        link.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhi")
        assert client.answer().status == 502
        assert link.ending() in ("ended", "reset")
