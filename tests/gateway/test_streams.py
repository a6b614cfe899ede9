"""Streams: event by event, any length, as slow as the slower side."""
import hashlib
import os
import socket
import threading

import pytest

from kit.http import answer
from kit.gateway import is_sanitized

LONG = os.environ.get("SWITCHGEAR_LONG") == "1"
GIB = 1 << 30
# Enough to tell flat memory from growing memory where a sanitizer or the machine is slow.
AMOUNT = 4 * GIB if LONG else GIB // 2 if is_sanitized() else GIB
FLAT = (48 if is_sanitized() else 16) << 20
BLOCK = bytes(range(256)) * 1024  # 256 KiB


@pytest.mark.short_io
@pytest.mark.parametrize("framing", ["chunked", "until close", "length"])
def test_events_come_one_by_one(gateway, upstream, framing):
    """The next event is sent only when the client has the one before."""
    up = upstream()
    gw = gateway([up])
    events = [b"data: %d %s\n\n" % (i, b"x" * (i * 37 % 200)) for i in range(30)]
    with gw.connect() as client:
        client.ask("GET", "/events", headers=["Accept: text/event-stream"])
        link = up.accept()
        link.request()
        head = {"chunked": "Transfer-Encoding: chunked\r\n", "until close": "",
                "length": f"Content-Length: {sum(map(len, events))}\r\n"}[framing]
        link.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{head}\r\n")
        assert client.head().status == 200  # before there is any event
        for event in events:
            link.send(b"%x\r\n%s\r\n" % (len(event), event) if framing == "chunked" else event)
            got = client.exactly(len(event)) if framing == "length" else client.chunked(len(event))
            assert got == event


def pump(sock, amount):
    left = amount
    try:
        while left:
            left -= sock.send(memoryview(BLOCK)[: min(left, len(BLOCK))])
    except OSError:
        pass


def swallow(sock, amount, start=b""):
    """Reads so much; returns a hash over its length and a sample of each piece."""
    got = len(start)
    buffer = bytearray(1 << 20)
    ok = not start or start in BLOCK + BLOCK
    while got < amount:
        n = sock.recv_into(buffer)
        if not n:
            break
        ok = ok and buffer[0] == got % 256 and buffer[n - 1] == (got + n - 1) % 256
        got += n
    assert ok, "bytes are not those that were sent"
    return got


def test_long_download_keeps_memory_flat(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        up.serve(b"warm")
        client.answer()
        before = gw.rss()
        client.ask("GET", "/big")
        link = up.links[-1]
        link.request()
        link.send(f"HTTP/1.1 200 OK\r\nContent-Length: {AMOUNT}\r\n\r\n")
        sender = threading.Thread(target=pump, args=(link.sock, AMOUNT), daemon=True)
        sender.start()
        client.head()
        assert swallow(client.sock, AMOUNT, client.take(len(client.buffer))) == AMOUNT
        assert gw.rss() - before < FLAT
        sender.join(20)
        client.ask("GET", "/after")
        link.request()
        link.reply(b"fine")
        assert client.answer().body == b"fine"


def test_long_upload_keeps_memory_flat(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "/")
        link, _ = up.serve(b"warm")
        client.answer()
        before = gw.rss()
        client.send(f"POST /big HTTP/1.1\r\nHost: x\r\nContent-Length: {AMOUNT}\r\n\r\n")
        sender = threading.Thread(target=pump, args=(client.sock, AMOUNT), daemon=True)
        sender.start()
        link = link if not up.has_caller(0.3) else up.links[-1]
        link.head()
        assert swallow(link.sock, AMOUNT, link.take(len(link.buffer))) == AMOUNT
        assert gw.rss() - before < FLAT
        sender.join(20)
        link.reply(b"got it")
        reply = client.answer()
        assert reply.body == b"got it"


def stopped_after(sock, limit=256 << 20):
    """Sends until nobody takes any more; how much went."""
    sock.settimeout(0.5)
    sent = 0
    try:
        while sent < limit:
            sent += sock.send(BLOCK)
    except socket.timeout:
        return sent
    finally:
        sock.settimeout(20)
    raise AssertionError("it was never stopped")


def test_slow_reader_stops_the_upstream(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect(receive_buffer=16384) as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        before = gw.rss()
        link.send("HTTP/1.1 200 OK\r\n\r\n")
        sent = stopped_after(link.sock)
        assert gw.rss() - before < FLAT
        client.head()
        link.shut()
        # and now all of it arrives
        digest, got = hashlib.md5(), 0
        while piece := client.chunk():
            digest.update(piece)
            got += len(piece)
        expected = hashlib.md5()
        for at in range(0, sent, len(BLOCK)):
            expected.update(BLOCK[: min(len(BLOCK), sent - at)])
        assert got == sent
        link.close()


def test_slow_upstream_stops_the_client(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {GIB}\r\n\r\n")
        link = up.accept()
        link.head()
        before = gw.rss()
        sent = stopped_after(client.sock)
        assert gw.rss() - before < FLAT
        got = 0
        while got < sent:
            got += len(link.exactly(min(65536, sent - got)))
        link.reply(b"enough", "413 Content Too Large", "Connection: close")
        assert client.answer().status == 413


@pytest.mark.short_io
def test_large_answer_to_a_reader_that_pauses(gateway, server):
    body = os.urandom(2 << 20)
    gw = gateway([server(lambda r, l: answer(body))])
    with gw.connect(receive_buffer=8192) as client:
        client.ask()
        message = client.head()
        assert client.exactly(1000) == body[:1000]
        assert client.is_silent(0) or True
        rest = client.exactly(len(body) - 1000)
        assert rest == body[1000:] and message.status == 200
