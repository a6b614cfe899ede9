"""Connections on both sides: kept, closed, reused, pipelined; HTTP/1.0."""
import socket

import pytest

from kit.http import answer
from kit.waiting import eventually

pytestmark = pytest.mark.short_io


def test_both_connections_are_kept(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/0")
        link, _ = up.serve(b"0")
        assert client.answer().body == b"0"
        for i in range(1, 5):
            client.ask("GET", f"/{i}")
            assert link.request().target == f"/{i}"
            link.reply(b"%d" % i)
            reply = client.answer()
            assert reply.body == b"%d" % i and "Connection" not in reply.headers


def test_another_client_uses_the_same_upstream_connection(gateway, server):
    up = server()
    gw = gateway([up])
    for i in range(5):
        with gw.connect() as client:
            assert client.get(f"/{i}").body == b"/%d" % i
    assert up.connections == 1


def test_connection_close_of_the_client(gateway, server):
    gw = gateway([server()])
    with gw.connect() as client:
        reply = client.get("/", "Connection: close")
        assert reply.headers["Connection"] == "close"
        assert client.ending() == "ended"


def test_connection_close_of_the_upstream_stays_there(gateway, server):
    up = server(lambda request, link: answer(b"x", "200 OK", "Connection: close"))
    gw = gateway([up])
    with gw.connect() as client:
        for _ in range(3):
            assert "Connection" not in client.get("/").headers
    assert up.connections == 3


def test_http_1_0_client(gateway, server):
    gw = gateway([server()])
    with gw.connect() as client:
        client.send("GET /a HTTP/1.0\r\n\r\n")
        reply = client.answer()
        assert reply.body == b"/a" and reply.headers["Connection"] == "close"
        assert client.ending() == "ended"
    with gw.connect() as client:
        for _ in range(2):
            client.send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            reply = client.answer()
            assert reply.body == b"/a" and reply.headers["Connection"] == "keep-alive"


def test_http_1_0_upstream(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        assert link.request().version == "HTTP/1.1"
        link.send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        reply = client.answer()
        assert reply.start == "HTTP/1.1 200 OK" and reply.body == b"ok"
        assert link.ending() == "ended"  # 1.0 without keep-alive is not reused
        client.ask("GET", "/")
        link, _ = up.serve(b"ok", "200 OK")
        assert client.answer().body == b"ok"


def test_http_1_0_upstream_that_keeps(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        for _ in range(3):
            link.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
            assert client.answer().body == b"ok"
            client.ask("GET", "/")
            link.request()
        link.reply(b"")
        client.answer()


def test_idle_upstream_connection_closed_by_its_server(gateway, upstream):
    """It is dropped from the pool; nobody gets an error."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/1")
        link, _ = up.serve(b"1")
        assert client.answer().body == b"1"
        files = gw.open_files()
        link.close()
        eventually(lambda: gw.open_files() == files - 1, "the connection is closed here too")
        client.ask("GET", "/2")
        up.serve(b"2")
        reply = client.answer()
        assert reply.body == b"2" and reply.story[1]["attempts"] == "1"


def close_while_sending(up, link):
    """Reads the request and hangs up, as a server does whose idle time ran out just then."""
    request = link.request()
    link.close()
    return request


def test_reuse_race_of_a_get_is_silent(gateway, upstream):
    up = upstream()
    gw = gateway([up], retry={"max": 0})
    with gw.connect() as client:
        client.ask("GET", "/1")
        link, _ = up.serve(b"1")
        client.answer()
        client.ask("GET", "/2")
        close_while_sending(up, link)
        _, request = up.serve(b"2")
        assert request.target == "/2"
        reply = client.answer()
        assert (reply.status, reply.body) == (200, b"2")


def test_reuse_race_of_a_post_is_not_sent_twice(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/1")
        link, _ = up.serve(b"1")
        client.answer()
        client.ask("POST", "/2", body=b"x")
        assert close_while_sending(up, link).body == b"x"
        assert client.answer().status == 502
    assert not up.has_caller()


def test_pipelined_answers_come_in_order(gateway, server):
    def respond(request, link):
        return answer(request.target.encode() + request.body, chunked=request.target == "/3")

    gw = gateway([server(respond)])
    with gw.connect() as client:
        client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
                    "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                    "POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\ndef\r\n0\r\n\r\n"
                    "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"
                    "HEAD /4 HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                    "GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        bodies = [client.answer(head_only=i == 4).body for i in range(6)]
        assert bodies == [b"/1", b"/2abc", b"/3def", b"/none", b"", b"/5"]
        assert client.ending() == "ended"


def test_pipelined_request_waits_for_the_one_before(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/1")
        client.ask("POST", "/2", body=b"x")
        link = up.accept()
        assert link.request().target == "/1"
        assert link.is_silent() and not up.has_caller(0.05)
        link.reply(b"1")
        assert link.request().target == "/2"
        link.reply(b"2")
        assert [client.answer().body, client.answer().body] == [b"1", b"2"]


def test_pipelined_one_byte_at_a_time(gateway, server):
    gw = gateway([server(lambda request, link: answer(request.target.encode() + request.body))])
    data = (b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
            b"POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
    with gw.connect() as client:
        for i in range(len(data)):
            client.send(data[i:i + 1])
        assert [client.answer().body for _ in range(3)] == [b"/1", b"/2abc", b"/3"]


def test_pipelining_without_reading_is_bounded(gateway, server):
    """Who asks on and on without reading is not read on, and costs little memory."""
    body = b"x" * 20000
    up = server(lambda request, link: answer(body))
    gw = gateway([up])
    with gw.connect(receive_buffer=4096) as client:
        client.get("/")
        before = gw.rss()
        request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
        client.sock.settimeout(1)
        sent = 0
        with pytest.raises(socket.timeout):
            while sent < 2000:
                client.sock.sendall(request)
                sent += 1
        assert gw.rss() - before < 24 << 20
        client.sock.settimeout(20)
        for _ in range(50):
            assert client.answer().body == body


def test_half_closed_client_of_whole_requests(gateway, server):
    """What was asked before the end is answered, or cancelled; nothing is cut short."""
    gw = gateway([server()])
    with gw.connect() as client:
        client.ask("GET", "/1")
        assert client.answer().body == b"/1"
        client.shut()
        assert client.ending() == "ended"


def test_empty_lines_before_a_request(gateway, server):
    gw = gateway([server()])
    with gw.connect() as client:
        client.send("\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.answer().body == b"/1"
        client.send("\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.answer().body == b"/2"


def test_idle_client_is_closed(gateway, server):
    gw = gateway([server()], limits={"idle_timeout": "100ms"})
    with gw.connect() as client:
        client.get("/")
        assert client.ending() == "ended"


def test_parked_upstream_connection_is_closed_in_time(gateway, upstream):
    up = upstream()
    gw = gateway([up], timeout={"keep_alive": "100ms"})
    with gw.connect() as client:
        client.ask("GET", "/")
        link, _ = up.serve(b"1")
        client.answer()
        assert link.ending() == "ended"


def test_keep_alive_timeout_of_the_upstream_is_heeded(gateway, upstream):
    """Told that the server closes after a second, the gateway does not wait for it."""
    up = upstream()
    gw = gateway([up], timeout={"keep_alive": "1h"})
    with gw.connect() as client:
        client.ask("GET", "/")
        link, _ = up.serve(b"1", "200 OK", "Keep-Alive: timeout=1, max=5")
        client.answer()
        assert link.ending() == "ended"


def test_unix_sockets_on_both_sides(gateway, tmp_path):
    from kit.http import Client
    from kit.upstream import Link
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "up.sock"))
    listener.listen(8)
    listener.settimeout(20)
    path = str(tmp_path / "gw.sock")
    gateway([f"unix:{tmp_path}/up.sock"], listen=[{"address": f"unix:{path}"}])
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    with Client(sock) as client, listener:
        client.ask("GET", "/x")
        link = Link(listener.accept()[0])
        assert link.request().target == "/x"
        link.reply(b"ok")
        assert client.answer().body == b"ok"
        link.close()
