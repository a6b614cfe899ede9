"""Upgraded connections: bytes both ways, whatever they are."""
import asyncio
import os
import threading

import pytest
import websockets

pytestmark = pytest.mark.short_io

ASK = ("GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: raw\r\nConnection: keep-alive, Upgrade\r\n"
       "X-A: b\r\n\r\n")
SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: upgrade\r\nX-C: d\r\n\r\n"


@pytest.fixture
def tunnel(gateway, upstream):
    """An upgraded connection: (client, link, gateway)."""
    def make(**config):
        up = upstream()
        gw = gateway([up], **config)
        client = gw.connect()
        client.send(ASK)
        link = up.accept()
        request = link.request()
        assert request.headers["Upgrade"] == "raw"
        assert "upgrade" in request.headers["Connection"].lower()
        link.send(SWITCH)
        reply = client.head()
        assert (reply.status, reply.headers["Upgrade"], reply.headers["X-C"]) == (101, "raw", "d")
        assert "upgrade" in reply.headers["Connection"].lower()
        assert "Transfer-Encoding" not in reply.headers and "Content-Length" not in reply.headers
        return client, link, gw
    return make


def test_bytes_both_ways(tunnel):
    client, link, _ = tunnel()
    for word in (b"\0\r\n\r\nGET / HTTP/1.1\r\n\r\n", os.urandom(10000)):
        client.send(word)
        assert link.exactly(len(word)) == word
        link.send(word[::-1])
        assert client.exactly(len(word)) == word[::-1]
    client.close()
    assert link.ending() in ("ended", "reset")


def test_bytes_right_behind_the_heads(gateway, upstream):
    """Neither side needs to wait for the other before it speaks."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send(ASK + "early words")
        link = up.accept()
        link.request()
        link.send(SWITCH + "welcome")
        assert client.head().status == 101
        assert client.exactly(7) == b"welcome"
        assert link.exactly(11) == b"early words"
        client.send("more")
        assert link.exactly(4) == b"more"


def test_client_closes_its_half(tunnel):
    client, link, _ = tunnel()
    client.send("last")
    client.shut()
    assert link.exactly(4) == b"last" and link.ending() == "ended"
    link.send("answer to it")
    assert client.exactly(12) == b"answer to it"
    link.close()
    assert client.ending() == "ended"


def test_upstream_closes_its_half(tunnel):
    client, link, _ = tunnel()
    link.send("last")
    link.shut()
    assert client.exactly(4) == b"last" and client.ending() == "ended"
    client.send("answer to it")
    assert link.exactly(12) == b"answer to it"
    client.close()
    assert link.ending() in ("ended", "reset")


def test_reset_of_the_upstream_is_a_reset_for_the_client(tunnel):
    client, link, _ = tunnel()
    link.reset()
    assert client.whole_ending()[1] == "reset"


def test_refused_upgrade_leaves_http(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.send(ASK)
        link, _ = up.serve(b"no", "426 Upgrade Required")
        assert client.answer().status == 426
        client.ask("GET", "/next")
        assert link.request().target == "/next"
        link.reply(b"ok")
        assert client.answer().body == b"ok"


def test_idle_tunnel_is_closed(tunnel):
    client, link, _ = tunnel(timeout={"upgrade_idle": "200ms"})
    client.send("x")
    assert link.exactly(1) == b"x"
    client.whole_ending()
    link.whole_ending()


def test_tunnel_outlives_the_timeouts_of_requests(tunnel):
    client, link, _ = tunnel(timeout={"attempt": "50ms", "total": "100ms", "idle": "50ms"})
    assert client.is_silent(0.4) and link.is_silent(0.01)
    client.send("x")
    assert link.exactly(1) == b"x"


def test_back_pressure_in_a_tunnel(tunnel):
    """Nobody reads at one end: the other is stopped, and nothing is lost."""
    client, link, gw = tunnel()
    before = gw.rss()
    data = os.urandom(1 << 20)
    for sender, reader in ((client, link), (link, client)):
        sent = 0
        sender.sock.settimeout(0.5)
        try:
            while sent < 64 << 20:
                sent += sender.sock.send(data[sent % len(data):][:65536])
        except TimeoutError:
            pass
        assert sent < 64 << 20, "it was never stopped"
        assert gw.rss() - before < 32 << 20
        sender.sock.settimeout(20)
        got = 0
        while got < sent:
            piece = reader.exactly(min(65536 - got % 65536, sent - got))
            at = got % len(data)
            assert piece == (data[at:] + data)[:len(piece)]
            got += len(piece)


@pytest.mark.threads
def test_websocket_library_at_both_ends(gateway):
    ready = threading.Event()
    stop = asyncio.Event()
    state = {}

    async def echo(socket, _path=None):
        async for message in socket:
            await socket.send(message)

    async def serve():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as ws:
            state["port"] = ws.sockets[0].getsockname()[1]
            state["loop"] = asyncio.get_running_loop()
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(20)
    gw = gateway([f"http://127.0.0.1:{state['port']}"], workers=2)

    async def talk():
        messages = ["hello", "", "\u00e4\u20ac" * 1000, os.urandom(3 << 20)]
        async with websockets.connect(f"ws://127.0.0.1:{gw.port}/x", max_size=None) as ws:
            for message in messages:
                await ws.send(message)
                assert await ws.recv() == message
            assert (await (await ws.ping())) is not None or True
        async def one(i):
            async with websockets.connect(f"ws://127.0.0.1:{gw.port}/x") as ws:
                for n in range(5):
                    await ws.send(f"{i}-{n}")
                    assert await ws.recv() == f"{i}-{n}"
        await asyncio.gather(*(one(i) for i in range(20)))

    try:
        asyncio.run(asyncio.wait_for(talk(), 60))
    finally:
        state["loop"].call_soon_threadsafe(stop.set)
        thread.join(20)
