"""More than fits: connections, descriptors, workers."""
import contextlib
import re
import resource
import socket
import struct

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import is_sanitized
from kit.http import Closed, answer
from kit.load import Load, echo
from kit.upstream import Server
from kit.waiting import eventually


def test_workers_share_the_connections(gateway, server):
    """Each has a socket of its own; the kernel deals the connections out."""
    gw = gateway([server(echo)], workers=4)
    clients = [gw.connect() for _ in range(64)]
    for i, client in enumerate(clients):
        client.ask("GET", f"/{i}")
    for i, client in enumerate(clients):
        assert client.answer().body == b"/%d" % i
    assert len(listening_sockets(gw.port)) == 4
    for client in clients:
        client.close()


def listening_sockets(port):
    with open("/proc/net/tcp") as table:
        return [line for line in table if re.search(rf":{port:04X} \S+ 0A ", line)]


@pytest.mark.threads
def test_breakers_are_shared_by_workers(gateway, server):
    """Five failures in a row are five, whichever workers saw them."""
    up = server(lambda request, link: answer(b"no", "500 Internal Server Error"))
    gw = gateway([up], workers=4, retry={"max": 0}, breaker={"consecutive": 5, "open": "1h"})
    clients = [gw.connect() for _ in range(40)]
    statuses = [client.get().status for client in clients]
    assert statuses == [500] * 5 + [503] * 35
    assert up.count == 5
    for client in clients:
        client.close()


@pytest.mark.threads
def test_a_rate_limit_is_shared_by_workers(gateway, server):
    up = server(echo)
    gw = gateway([up], workers=4, rate_limit={"rate": "1/h", "burst": 10})
    clients = [gw.connect() for _ in range(40)]
    statuses = [client.get().status for client in clients]
    assert sorted(statuses) == [200] * 10 + [429] * 30 and up.count == 10
    for client in clients:
        client.close()


@pytest.mark.threads
def test_a_bulkhead_is_shared_by_workers(gateway, upstream):
    up = upstream()
    gw = gateway([up], workers=4, bulkhead={"concurrent": 3})
    running = [gw.connect() for _ in range(3)]
    links = []
    for client in running:
        client.ask()
        links.append(up.accept())
        links[-1].request()
    for _ in range(20):
        assert gw.get().status == 503
    for link in links:
        link.reply(b"x")
    for client in running:
        assert client.answer().body == b"x"
        client.close()


def test_thousands_of_idle_connections_leave_it_serving(gateway, server):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(2000 if is_sanitized() else 10000, most - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gw = gateway([server(echo)], workers=2)
    before = gw.rss()
    with contextlib.ExitStack() as stack:
        for i in range(count):
            client = stack.enter_context(gw.connect())
            if i % 10 == 0:
                assert client.get(f"/{i}").status == 200
        assert gw.get("/one more").status in (200, 400)
        assert gw.get("/more").body == b"/more"
        if not is_sanitized():
            assert gw.rss() - before < count * 1024
    eventually(lambda: gw.open_files() < 100, "the connections are closed")
    assert gw.get("/after").body == b"/after"


def test_descriptors_run_out_and_come_back(gateway, server):
    """Of 200 clients on 64 descriptors all are served: those that wait get their turn."""
    up = server(echo)
    gw = gateway([up], files=64)
    clients = [gw.connect() for _ in range(200)]
    for i, client in enumerate(clients):
        client.ask("GET", f"/{i}", headers=["Connection: close"])
    for i, client in enumerate(clients):
        assert client.answer().body == b"/%d" % i
        client.close()
    assert gw.get("/after").body == b"/after"


def test_idle_clients_make_room_when_descriptors_run_out(gateway, server):
    gw = gateway([server(echo)], files=64)
    idle = []
    for i in range(100):
        idle.append(gw.connect())
        assert idle[-1].get(f"/{i}").body == b"/%d" % i
    assert gw.get("/after").body == b"/after"
    for client in idle:
        client.close()


def test_the_connection_limit_holds(gateway, server):
    gw = gateway([server(echo)], limits={"connections": 10})
    clients = [gw.connect() for _ in range(10)]
    for client in clients:
        assert client.get("/x").status == 200
    with gw.connect() as late:
        data, _ = late.whole_ending()
        assert data == b"" or b" 503 " in data.split(b"\r\n")[0]
    clients.pop().close()
    eventually(lambda: served(gw), "there is room again")
    for client in clients:
        assert client.get("/still").status == 200
        client.close()


def served(gw):
    with gw.connect() as client:
        try:
            return client.get("/room").status == 200
        except (Closed, OSError):
            return False


def test_a_burst_of_clients_that_reset(gateway, server):
    gw = gateway([server(echo)], workers=2, admin=ADMIN)
    for i in range(300):
        sock = socket.socket()
        sock.connect(("127.0.0.1", gw.port))
        if i % 3:
            sock.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"[: i % 28])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    assert gw.get("/after").body == b"/after"
    with Admin(gw) as admin:
        eventually(lambda: connections(admin) == 0, "all connections are gone")


def connections(admin):
    text = admin.get("/metrics").text
    return int(float(re.search(r"^gateway_client_connections(?:\{[^}]*\})? (\S+)$", text, re.M)[1]))


def test_upstreams_that_refuse_descriptors_do_not_stop_others(gateway, server):
    """A service without room in its queue is a service that fails; not the gateway."""
    full, kept = socket.socket(), []
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        kept.append(filler)
    gw = gateway([server(echo)],
                 services={"full": {"endpoints": [f"http://127.0.0.1:{full.getsockname()[1]}"],
                                    "timeout": {"connect": "1h", "attempt": "1h", "total": "1h"}}},
                 routes=[{"prefix": "/full", "service": "full"}, {"prefix": "/", "service": "web"}])
    waiting = [gw.connect() for _ in range(50)]
    for client in waiting:
        client.ask("GET", "/full")
    load = Load(gw, clients=2)
    load.wait_answers(50)
    load.stop()
    for sock in waiting + kept:
        sock.close()
    full.close()


def test_an_upstream_that_comes_and_goes_leaks_nothing(gateway):
    up = Server(echo)
    port = up.port
    gw = gateway([up], breaker={"consecutive": 1000}, retry={"max": 0})
    gw.get()
    before = gw.open_files()
    for _ in range(5):
        up.close()
        for _ in range(10):
            assert gw.get().status in (502, 503)
        up = Server(echo, port)
        for _ in range(10):
            gw.get()
    eventually(lambda: gw.open_files() <= before + 1, "no descriptor is left over")
    up.close()
